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
        let one = Natural::from_u64(1);
        (0..power).fold(one, |product, _| product.times(self))
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

    /// Quotient and remainder; the divisor is not zero.
    pub(super) fn divided(&self, by: &Natural) -> (Natural, Natural) {
        let mut quotient = vec![0u32; self.0.len()];
        let mut rest = Natural::default();
        for at in (0..self.bits()).rev() {
            rest = rest.shifted_left(1);
            if self.0[at / 32] >> (at % 32) & 1 == 1 {
                rest = rest.plus(&Natural::from_u64(1));
            }
            if rest >= *by {
                rest = rest.minus(by);
                quotient[at / 32] |= 1 << (at % 32);
            }
        }
        (Natural(quotient).trimmed(), rest)
    }

    /// # Errors
    /// Not digits to this base (2 to 36).
    pub(super) fn parse(digits: &str, base: u32) -> Option<Natural> {
        let base_number = Natural::from_u64(u64::from(base));
        let next = |number: Natural, c: char| {
            let digit = Natural::from_u64(u64::from(c.to_digit(base)?));
            Some(number.times(&base_number).plus(&digit))
        };
        let number = digits.chars().try_fold(Natural::default(), next);
        number.filter(|_| !digits.is_empty())
    }

    /// To this base, 2 to 36.
    pub(super) fn digits(&self, base: u32) -> String {
        let mut rest = self.0.clone();
        let mut text = Vec::new();
        while !rest.is_empty() {
            let mut carry = 0u64;
            for digit in rest.iter_mut().rev() {
                carry = carry << 32 | u64::from(*digit);
                *digit = (carry / u64::from(base)) as u32;
                carry %= u64::from(base);
            }
            text.push(char::from_digit(carry as u32, base).expect("a remainder is below the base"));
            while rest.last() == Some(&0) {
                rest.pop();
            }
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
