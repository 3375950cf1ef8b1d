//! Numbers as HCL has them: binary, with 512 bits, rounded to the nearest; as texts they
//! have as few digits as tell them from their neighbors.

mod decimal;
mod natural;

use std::cmp::Ordering;
use std::fmt;

use natural::Natural;

/// HCL's precision.
const BITS: usize = 512;
/// Powers of two beyond this (about 1e1200) are a mistake in a bake file.
const LARGEST_POWER: i64 = 4096;
/// The same for a literal's power of ten.
const LARGEST_EXPONENT: u64 = 1000;
/// A literal with more characters than this is a mistake.
const LONGEST: usize = 2000;

/// `mantissa` · 2^`power`, and its sign. The mantissa is odd, or all is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    negative: bool,
    mantissa: Natural,
    power: i64,
}

/// Too large, too small, or no number.
pub(super) type Computed = Result<Number, String>;

impl Number {
    fn zero() -> Number {
        Number {
            negative: false,
            mantissa: Natural::default(),
            power: 0,
        }
    }

    /// Rounded; `sticky` says that something smaller than the last bit was cut off.
    fn rounded(negative: bool, mantissa: Natural, power: i64, sticky: bool) -> Computed {
        let (mut mantissa, mut power) = (mantissa, power);
        if mantissa.bits() > BITS {
            let cut = mantissa.bits() - BITS;
            let kept = mantissa.shifted_right(cut);
            let rest = mantissa.minus(&kept.shifted_left(cut));
            let half = Natural::from_u64(1).shifted_left(cut - 1);
            let up = match rest.cmp(&half) {
                Ordering::Less => false,
                Ordering::Greater => true,
                Ordering::Equal => sticky || !kept.is_even(),
            };
            let one = Natural::from_u64(u64::from(up));
            (mantissa, power) = (kept.plus(&one), power + cut as i64);
        }
        if mantissa.is_zero() {
            return Ok(Number::zero());
        }
        let zeros = mantissa.trailing_zeros();
        (mantissa, power) = (mantissa.shifted_right(zeros), power + zeros as i64);
        match (-LARGEST_POWER..=LARGEST_POWER).contains(&(power + mantissa.bits() as i64)) {
            true => Ok(Number {
                negative,
                mantissa,
                power,
            }),
            false => Err("the number is too large or too small".into()),
        }
    }

    /// `12`, `1.5`, `1e3`; also with a sign.
    pub(super) fn parse(text: &str) -> Option<Number> {
        if text.len() > LONGEST {
            return None;
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        if exponent.unsigned_abs() > LARGEST_EXPONENT {
            return None;
        }
        let mantissa = Natural::parse(&format!("{whole}{part}"), 10)?;
        let exponent = exponent - part.len() as i64;
        let ten = |power: i64| Natural::from_u64(10).to_the(power.unsigned_abs() as usize);
        let number = match exponent {
            0.. => Number::rounded(negative, mantissa.times(&ten(exponent)), 0, false),
            _ => Number::ratio(negative, &mantissa, &ten(exponent), 0),
        };
        number.ok()
    }

    /// # Errors
    /// Not a whole number to this base (2 to 36).
    pub(super) fn parse_whole(text: &str, base: u32) -> Option<Number> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let digits = Some(digits).filter(|digits| digits.len() <= LONGEST);
        let mantissa = Natural::parse(digits?, base)?;
        Number::rounded(negative, mantissa, 0, false).ok()
    }

    /// What it takes to read this text, about.
    pub(super) fn parse_cost(text: &str) -> usize {
        let power = if text.contains(['e', 'E', '.']) {
            4096
        } else {
            0
        };
        let digits = text.len().min(LONGEST);
        power + digits * digits / 16
    }

    /// What it takes to write it as a text, about.
    pub(super) fn text_cost(&self) -> usize {
        let bits = self.mantissa.bits() + self.power.unsigned_abs() as usize;
        if self.is_whole() && bits <= BITS {
            return 0;
        }
        let words = (bits + BITS) / 32;
        words * words * words / 32
    }

    fn ratio(negative: bool, one: &Natural, by: &Natural, power: i64) -> Computed {
        let shift = (BITS + 2 + by.bits()).saturating_sub(one.bits());
        let (quotient, rest) = one.shifted_left(shift).divided(by);
        // A rest makes what was cut off more than it looks.
        let quotient = quotient.shifted_left(1);
        let sticky = Natural::from_u64(u64::from(!rest.is_zero()));
        let quotient = quotient.plus(&sticky);
        Number::rounded(negative, quotient, power - shift as i64 - 1, false)
    }

    /// Of an `f64` as its shortest text says it.
    pub(super) fn from_f64(value: f64) -> Option<Number> {
        let text = value.is_finite().then(|| format!("{value:e}"))?;
        Number::parse(&text)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.mantissa.is_zero()
    }

    pub(super) fn is_negative(&self) -> bool {
        self.negative
    }

    pub(super) fn is_whole(&self) -> bool {
        self.power >= 0
    }

    pub(super) fn to_f64(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    pub(super) fn to_i64(&self) -> Option<i64> {
        let bits = self.mantissa.bits() as i64 + self.power;
        if !self.is_whole() || bits > 64 {
            return None;
        }
        let value = self.mantissa.shifted_left(self.power as usize).to_u64()?;
        match self.negative {
            true => 0i64.checked_sub_unsigned(value),
            false => i64::try_from(value).ok(),
        }
    }

    /// To another base than ten; what is no whole number has none.
    pub(super) fn whole_digits(&self, base: u32) -> Option<String> {
        let whole = self
            .is_whole()
            .then(|| self.mantissa.shifted_left(self.power as usize))?;
        let sign = if self.negative { "-" } else { "" };
        Some(format!("{sign}{}", whole.digits(base)))
    }

    pub(super) fn negated(&self) -> Number {
        let negative = !self.negative && !self.is_zero();
        Number {
            negative,
            ..self.clone()
        }
    }

    pub(super) fn absolute(&self) -> Number {
        Number {
            negative: false,
            ..self.clone()
        }
    }

    /// Without what follows the point.
    pub(super) fn truncated(&self) -> Number {
        if self.is_whole() {
            return self.clone();
        }
        let mantissa = self
            .mantissa
            .shifted_right(self.power.unsigned_abs() as usize);
        Number::rounded(self.negative, mantissa, 0, false).expect("it is smaller than it was")
    }

    pub(super) fn floor(&self) -> Computed {
        match self.negative && !self.is_whole() {
            true => self.truncated().minus(&Number::from(1)),
            false => Ok(self.truncated()),
        }
    }

    pub(super) fn ceil(&self) -> Computed {
        Ok(self.negated().floor()?.negated())
    }

    pub(super) fn plus(&self, other: &Number) -> Computed {
        let power = self.power.min(other.power);
        let aligned = |of: &Number| of.mantissa.shifted_left((of.power - power) as usize);
        let (one, two) = (aligned(self), aligned(other));
        let (negative, sum) = match (self.negative == other.negative, one.cmp(&two)) {
            (true, _) => (self.negative, one.plus(&two)),
            (false, Ordering::Less) => (other.negative, two.minus(&one)),
            (false, _) => (self.negative, one.minus(&two)),
        };
        Number::rounded(negative, sum, power, false)
    }

    pub(super) fn minus(&self, other: &Number) -> Computed {
        self.plus(&other.negated())
    }

    pub(super) fn times(&self, other: &Number) -> Computed {
        let negative = self.negative != other.negative;
        let product = self.mantissa.times(&other.mantissa);
        Number::rounded(negative, product, self.power + other.power, false)
    }

    /// # Errors
    /// By zero.
    pub(super) fn divided(&self, by: &Number) -> Computed {
        if by.is_zero() {
            return Err("nothing can be divided by zero".into());
        }
        let negative = self.negative != by.negative;
        Number::ratio(
            negative,
            &self.mantissa,
            &by.mantissa,
            self.power - by.power,
        )
    }

    /// What a division without a fraction leaves; it has the sign of this number.
    ///
    /// # Errors
    /// By zero.
    pub(super) fn modulo(&self, by: &Number) -> Computed {
        let times = self.divided(by)?.truncated();
        self.minus(&by.times(&times)?)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Number {
        let mantissa = Natural::from_u64(value.unsigned_abs());
        Number::rounded(value < 0, mantissa, 0, false).expect("64 bits are not too many")
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        if self.negative != other.negative {
            return other.negative.cmp(&self.negative);
        }
        let power = self.power.min(other.power);
        let aligned = |of: &Number| of.mantissa.shifted_left((of.power - power) as usize);
        let order = aligned(self).cmp(&aligned(other));
        if self.negative {
            order.reverse()
        } else {
            order
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        match self.is_whole() && self.mantissa.bits() as i64 + self.power <= BITS as i64 {
            true => write!(f, "{}", self.whole_digits(10).unwrap_or_default()),
            false => write!(
                f,
                "{sign}{}",
                decimal::shortest(&self.mantissa, self.power, BITS)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn texts_are_as_short_as_they_can_be() {
        for text in [
            "0",
            "1",
            "-1",
            "0.1",
            "-0.25",
            "12345678901234567890123",
            "1000000",
            "3.14159",
        ] {
            assert_eq!(number(text).to_string(), text);
        }
        assert_eq!(number("1e3").to_string(), "1000");
        assert_eq!(number("1.50").to_string(), "1.5");
        assert_eq!(number("-0").to_string(), "0");
        for text in ["", "x", "1.x", "1e", "1e9999", "0x1", " 1", "--1"] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn sums_products_and_quotients_are_exact() {
        let (tenth, fifth) = (number("0.1"), number("0.2"));
        assert_eq!(tenth.plus(&fifth).unwrap().to_string(), "0.3");
        assert_eq!(
            number("1.5").times(&number("1.5")).unwrap().to_string(),
            "2.25"
        );
        let large = number("9007199254740993");
        assert_eq!(
            large.plus(&number("1")).unwrap().to_string(),
            "9007199254740994"
        );
        let third = number("1").divided(&number("3")).unwrap().to_string();
        assert_eq!(
            (third.len(), third.starts_with("0.3333")),
            (157, true),
            "{third}"
        );
        assert_eq!(number("7").modulo(&number("-3")).unwrap().to_string(), "1");
        assert_eq!(number("-7").modulo(&number("3")).unwrap().to_string(), "-1");
        assert!(number("1").divided(&number("0")).is_err());
        assert!(number("1e1000").times(&number("1e1000")).is_err());
    }

    #[test]
    fn floor_and_ceil_go_down_and_up() {
        for (text, floor, ceil) in [
            ("1.5", "1", "2"),
            ("-1.5", "-2", "-1"),
            ("2", "2", "2"),
            ("0.2", "0", "1"),
        ] {
            assert_eq!(number(text).floor().unwrap().to_string(), floor);
            assert_eq!(number(text).ceil().unwrap().to_string(), ceil);
        }
        assert!(number("-2") < number("-1.5") && number("0.1") < number("1e3"));
        assert_eq!(number("-9223372036854775808").to_i64(), Some(i64::MIN));
        assert_eq!(number("9223372036854775808").to_i64(), None);
        assert_eq!(number("255").whole_digits(16).as_deref(), Some("ff"));
    }

    proptest::proptest! {
        #[test]
        fn doubles_keep_their_texts(value in -1e30f64..1e30) {
            let text = format!("{value}");
            proptest::prop_assert_eq!(number(&text).to_string(), text);
        }
    }
}
