//! Whole numbers of any size, as far as [`super::Number`] needs them.

use std::cmp::Ordering;

/// Digits to the base 2³², the least first; the last is never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Natural(Vec<u32>);

impl Natural {
    pub(super) fn from_u64(value: u64) -> Natural {
        Natural(vec![value as u32, (value >> 32) as u32]).trimmed()
    }

    fn trimmed(mut self) -> Natural {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_even(&self) -> bool {
        self.0.first().is_none_or(|digit| digit % 2 == 0)
    }

    pub(super) fn bits(&self) -> usize {
        match self.0.last() {
            Some(last) => self.0.len() * 32 - last.leading_zeros() as usize,
            None => 0,
        }
    }

    pub(super) fn trailing_zeros(&self) -> usize {
        let whole = self.0.iter().take_while(|digit| **digit == 0).count();
        let rest = self.0.get(whole).map_or(0, |digit| digit.trailing_zeros());
        whole * 32 + rest as usize
    }

    pub(super) fn to_u64(&self) -> Option<u64> {
        let digit = |at: usize| u64::from(self.0.get(at).copied().unwrap_or(0));
        (self.0.len() <= 2).then(|| digit(0) | digit(1) << 32)
    }

    pub(super) fn plus(&self, other: &Natural) -> Natural {
        let mut sum = Vec::new();
        let mut carry = 0;
        for at in 0..self.0.len().max(other.0.len()) {
            let digit = |of: &Natural| u64::from(of.0.get(at).copied().unwrap_or(0));
            carry += digit(self) + digit(other);
            sum.push(carry as u32);
            carry >>= 32;
        }
        sum.push(carry as u32);
        Natural(sum).trimmed()
    }

    /// `other` is not more than this.
    pub(super) fn minus(&self, other: &Natural) -> Natural {
        let mut rest = Vec::new();
        let mut borrow = 0;
        for (at, digit) in self.0.iter().enumerate() {
            let taken = i64::from(other.0.get(at).copied().unwrap_or(0)) + borrow;
            let left = i64::from(*digit) - taken;
            borrow = i64::from(left < 0);
            rest.push(left as u32);
        }
        Natural(rest).trimmed()
    }

    pub(super) fn times(&self, other: &Natural) -> Natural {
        let mut product = vec![0u32; self.0.len() + other.0.len()];
        for (at, one) in self.0.iter().enumerate() {
            let mut carry = 0u64;
            for (by, two) in other.0.iter().enumerate() {
                carry += u64::from(product[at + by]) + u64::from(*one) * u64::from(*two);
                product[at + by] = carry as u32;
                carry >>= 32;
            }
            product[at + other.0.len()] = carry as u32;
        }
        Natural(product).trimmed()
    }

    pub(super) fn to_the(&self, power: usize) -> Natural {
        let mut product = Natural::from_u64(1);
        for bit in (0..power.checked_ilog2().map_or(0, |last| last + 1)).rev() {
            product = product.times(&product);
            if power >> bit & 1 == 1 {
                product = product.times(self);
            }
        }
        product
    }

    pub(super) fn shifted_left(&self, by: usize) -> Natural {
        if self.is_zero() {
            return self.clone();
        }
        let mut digits = vec![0u32; by / 32];
        let mut carry = 0u64;
        for digit in &self.0 {
            carry |= u64::from(*digit) << (by % 32);
            digits.push(carry as u32);
            carry >>= 32;
        }
        digits.push(carry as u32);
        Natural(digits).trimmed()
    }

    pub(super) fn shifted_right(&self, by: usize) -> Natural {
        let digits = self.0.get(by / 32..).unwrap_or_default();
        let digit = |at: usize| u64::from(digits.get(at).copied().unwrap_or(0));
        let shifted =
            (0..digits.len()).map(|at| ((digit(at) | digit(at + 1) << 32) >> (by % 32)) as u32);
        Natural(shifted.collect()).trimmed()
    }

    /// Quotient and remainder; the divisor is not zero. By hand, digit after digit (Knuth's D).
    pub(super) fn divided(&self, by: &Natural) -> (Natural, Natural) {
        if self < by {
            return (Natural::default(), self.clone());
        }
        let count = by.0.len();
        if let [by] = by.0[..] {
            let (quotient, rest) = self.divided_by_digit(by);
            return (quotient, Natural::from_u64(u64::from(rest)));
        }
        // The divisor's first bit is set, so that a digit is guessed too large by two at most.
        let shift = by.0[count - 1].leading_zeros() as usize;
        let by = by.shifted_left(shift).0;
        let mut rest = self.shifted_left(shift).0;
        rest.resize(self.0.len() + 1, 0);
        let mut quotient = vec![0u32; rest.len() - count];
        let (first, second) = (u64::from(by[count - 1]), u64::from(by[count - 2]));
        for at in (0..quotient.len()).rev() {
            let head = u64::from(rest[at + count]) << 32 | u64::from(rest[at + count - 1]);
            let (mut digit, mut left) = (head / first, head % first);
            while digit >> 32 != 0
                || digit * second > (left << 32 | u64::from(rest[at + count - 2]))
            {
                digit -= 1;
                left += first;
                if left >> 32 != 0 {
                    break;
                }
            }
            let (mut carry, mut borrow) = (0u64, 0i64);
            for (place, of) in by.iter().enumerate() {
                carry += digit * u64::from(*of);
                let taken = i64::from(rest[at + place]) - i64::from(carry as u32) - borrow;
                rest[at + place] = taken as u32;
                borrow = i64::from(taken < 0);
                carry >>= 32;
            }
            let taken = i64::from(rest[at + count]) - carry as i64 - borrow;
            rest[at + count] = taken as u32;
            if taken < 0 {
                // One too many was taken: it is given back.
                digit -= 1;
                let mut carry = 0u64;
                for (place, of) in by.iter().enumerate() {
                    carry += u64::from(rest[at + place]) + u64::from(*of);
                    rest[at + place] = carry as u32;
                    carry >>= 32;
                }
                rest[at + count] = rest[at + count].wrapping_add(carry as u32);
            }
            quotient[at] = digit as u32;
        }
        let rest = Natural(rest).trimmed().shifted_right(shift);
        (Natural(quotient).trimmed(), rest)
    }

    fn divided_by_digit(&self, by: u32) -> (Natural, u32) {
        let mut quotient = self.0.clone();
        let mut rest = 0u64;
        for digit in quotient.iter_mut().rev() {
            rest = rest << 32 | u64::from(*digit);
            *digit = (rest / u64::from(by)) as u32;
            rest %= u64::from(by);
        }
        (Natural(quotient).trimmed(), rest as u32)
    }

    /// # Errors
    /// Not digits to this base (2 to 36).
    pub(super) fn parse(digits: &str, base: u32) -> Option<Natural> {
        let mut number = Natural::default();
        for c in digits.chars() {
            let mut carry = u64::from(c.to_digit(base)?);
            for digit in &mut number.0 {
                carry += u64::from(*digit) * u64::from(base);
                *digit = carry as u32;
                carry >>= 32;
            }
            if carry > 0 {
                number.0.push(carry as u32);
            }
        }
        Some(number).filter(|_| !digits.is_empty())
    }

    /// To this base, 2 to 36.
    pub(super) fn digits(&self, base: u32) -> String {
        // As many digits at a time as one division gives.
        let places = u32::MAX.ilog(base);
        let mut rest = self.clone();
        let mut text = Vec::new();
        while !rest.is_zero() {
            let (quotient, mut part) = rest.divided_by_digit(base.pow(places));
            rest = quotient;
            for _ in 0..places {
                text.push(char::from_digit(part % base, base).expect("it is below the base"));
                part /= base;
            }
        }
        while text.last() == Some(&'0') {
            text.pop();
        }
        if text.is_empty() {
            text.push('0');
        }
        text.into_iter().rev().collect()
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Natural) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Natural) -> Ordering {
        let lengths = self.0.len().cmp(&other.0.len());
        lengths.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}
