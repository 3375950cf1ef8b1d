//! Alpine's order, token by token as apk-tools 2 reads versions:
//! `1.2.3a_rc1_p2-r3`. A part that does not fit ends the reading.

use std::cmp::Ordering;

/// In the order that decides which of two versions with equal beginnings is
/// longer; a later kind means an earlier end, so the smaller version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Invalid,
    DigitOrZero,
    Digit,
    Letter,
    Suffix,
    SuffixNumber,
    Revision,
    End,
}

pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (Reader::new(a), Reader::new(b));
    loop {
        let (value_a, value_b) = (a.value(), b.value());
        if value_a != value_b {
            return value_a.cmp(&value_b);
        }
        let over = matches!(a.next, Token::End | Token::Invalid);
        if a.next != b.next || over {
            break;
        }
    }
    if a.next == b.next {
        return Ordering::Equal;
    }
    // A pre-release suffix makes the longer version the smaller one.
    if a.next == Token::Suffix && a.value() < 0 {
        return Ordering::Less;
    }
    if b.next == Token::Suffix && b.value() < 0 {
        return Ordering::Greater;
    }
    b.next.cmp(&a.next)
}

struct Reader<'a> {
    rest: &'a [u8],
    next: Token,
}

impl<'a> Reader<'a> {
    fn new(version: &'a str) -> Reader<'a> {
        Reader {
            rest: version.trim().as_bytes(),
            next: Token::Digit,
        }
    }

    /// The value of the token that comes next; then looks at the one after it.
    fn value(&mut self) -> i128 {
        if self.rest.is_empty() {
            self.next = Token::End;
            return 0;
        }
        let value = match self.next {
            Token::DigitOrZero if self.rest[0] == b'0' => return self.leading_zeros(),
            Token::DigitOrZero | Token::Digit | Token::SuffixNumber | Token::Revision => {
                self.number()
            }
            Token::Letter => self.take(1)[0].into(),
            Token::Suffix => match self.suffix() {
                Some(value) => value,
                None => return self.give_up(),
            },
            Token::Invalid | Token::End => return self.give_up(),
        };
        self.advance();
        value
    }

    /// `1.01` is less than `1.1`: zeros count as a negative value of their own.
    fn leading_zeros(&mut self) -> i128 {
        let zeros = self.rest.iter().take_while(|b| **b == b'0').count();
        self.take(zeros);
        self.next = Token::Digit;
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            self.advance();
        }
        -i128::try_from(zeros).unwrap_or(i128::MAX)
    }

    fn number(&mut self) -> i128 {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.take(digits).iter().fold(0i128, |n, d| {
            n.saturating_mul(10).saturating_add(i128::from(d - b'0'))
        })
    }

    fn suffix(&mut self) -> Option<i128> {
        // `pre` stands before `p`: the longer name must be tried first.
        const SUFFIXES: [(&str, i128); 9] = [
            ("alpha", -4),
            ("beta", -3),
            ("pre", -2),
            ("rc", -1),
            ("cvs", 0),
            ("svn", 1),
            ("git", 2),
            ("hg", 3),
            ("p", 4),
        ];
        let (name, value) = SUFFIXES
            .iter()
            .find(|(name, _)| self.rest.starts_with(name.as_bytes()))?;
        self.take(name.len());
        Some(*value)
    }

    fn advance(&mut self) {
        let was = self.next;
        let number = matches!(was, Token::Digit | Token::DigitOrZero);
        let next = match self.rest {
            [] => Token::End,
            [c, ..] if number && c.is_ascii_lowercase() => Token::Letter,
            [c, ..] if was == Token::Letter && c.is_ascii_digit() => Token::Digit,
            [c, ..] if was == Token::Suffix && c.is_ascii_digit() => Token::SuffixNumber,
            [b'.', ..] => self.skip(1, Token::DigitOrZero),
            [b'_', ..] => self.skip(1, Token::Suffix),
            [b'-', b'r', ..] => self.skip(2, Token::Revision),
            _ => Token::Invalid,
        };
        let backwards_is_fine = matches!(
            (next, was),
            (Token::DigitOrZero, Token::Digit)
                | (Token::Suffix, Token::SuffixNumber)
                | (Token::Digit, Token::Letter)
        );
        self.next = if next < was && !backwards_is_fine {
            Token::Invalid
        } else {
            next
        };
    }

    fn skip(&mut self, count: usize, next: Token) -> Token {
        self.take(count);
        next
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }

    fn give_up(&mut self) -> i128 {
        self.next = Token::Invalid;
        -1
    }
}
