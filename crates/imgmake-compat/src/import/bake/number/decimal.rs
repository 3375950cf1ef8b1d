//! The shortest decimal text of a binary number.

use super::natural::Natural;

/// Digits `0.d₁d₂d₃… · 10^point`.
struct Decimal {
    digits: Vec<u8>,
    point: i64,
}

/// Exactly `mantissa` · 2^`power`.
fn exact(mantissa: &Natural, power: i64) -> Decimal {
    let (whole, moved) = match power {
        0.. => (mantissa.shifted_left(power as usize), 0),
        // Two to the minus n is five to the n, with the point n places to the left.
        _ => {
            let places = power.unsigned_abs() as usize;
            (mantissa.times(&Natural::from_u64(5).to_the(places)), places)
        }
    };
    let digits: Vec<u8> = whole.digits(10).bytes().map(|digit| digit - b'0').collect();
    let point = digits.len() as i64 - moved as i64;
    Decimal { digits, point }
}

impl Decimal {
    fn digit(&self, at: usize, point: i64) -> u8 {
        let at = at as i64 - (point - self.point);
        usize::try_from(at)
            .ok()
            .and_then(|at| self.digits.get(at))
            .copied()
            .unwrap_or(0)
    }

    /// Whether nothing but zeros follows this place.
    fn ends_at(&self, at: usize, point: i64) -> bool {
        let after = at as i64 - (point - self.point) + 1;
        let after = usize::try_from(after).unwrap_or(0);
        self.digits.iter().skip(after).all(|digit| *digit == 0)
    }
}

/// Of all texts that mean this number and no other of as many bits the shortest.
pub(super) fn shortest(mantissa: &Natural, power: i64, bits: usize) -> String {
    // One bit more than the precision has: the number's neighbors are two away.
    let shift = bits + 1 - mantissa.bits();
    let (wide, power_of_wide) = (mantissa.shifted_left(shift), power - shift as i64);
    let one = Natural::from_u64(1);
    let value = exact(mantissa, power);
    let lower = exact(&wide.minus(&one), power_of_wide);
    let upper = exact(&wide.plus(&one), power_of_wide);
    // Half way to a neighbor belongs to the one that is even.
    let inclusive = wide.shifted_right(1).is_even();
    let point = upper.point.max(value.point);
    let length = value.digits.len() + (point - value.point) as usize;
    for at in 0..length {
        let (low, own, high) = (
            lower.digit(at, point),
            value.digit(at, point),
            upper.digit(at, point),
        );
        // Once the bounds part, what follows is free.
        let down = low != own || inclusive && lower.ends_at(at, point);
        let up = own != high && (inclusive || own + 1 < high || !upper.ends_at(at, point));
        let kept: Vec<u8> = (0..=at).map(|at| value.digit(at, point)).collect();
        let next = value.digit(at + 1, point);
        let rest_is_half = next == 5 && value.ends_at(at + 1, point);
        let nearest_is_up = next > 5 || next == 5 && (!rest_is_half || own % 2 == 1);
        match (down, up) {
            (false, false) => {}
            (true, true) if nearest_is_up => return written(incremented(kept), point),
            (true, _) => return written((kept, 0), point),
            (false, true) => return written(incremented(kept), point),
        }
    }
    written((value.digits, 0), value.point)
}

/// The digits plus one in the last place, and by how much they grew longer.
fn incremented(mut digits: Vec<u8>) -> (Vec<u8>, i64) {
    for digit in digits.iter_mut().rev() {
        if *digit < 9 {
            *digit += 1;
            return (digits, 0);
        }
        *digit = 0;
    }
    digits.insert(0, 1);
    (digits, 1)
}

fn written((digits, longer): (Vec<u8>, i64), point: i64) -> String {
    let point = point + longer;
    let digit = |at: i64| {
        let digit = usize::try_from(at).ok().and_then(|at| digits.get(at));
        char::from(b'0' + digit.copied().unwrap_or(0))
    };
    let whole: String = (0..point.max(0)).map(digit).collect();
    let part: String = (point.min(0)..digits.len() as i64)
        .filter(|at| *at >= point)
        .map(digit)
        .collect();
    let part = part.trim_end_matches('0');
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    match part {
        "" => whole.to_string(),
        part => format!("{whole}.{part}"),
    }
}
