//! Alpine's order, token by token as apk-tools 3 reads versions:
//! `1.2.3a_rc1_p2~0123abc-r3`. A text with a part that does not fit is no version.

use std::cmp::Ordering;

use super::digits::{compare_digits, split_while};

/// In the order that decides which of two versions with equal beginnings is
/// longer; a later kind means an earlier end, so the smaller version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    FirstNumber,
    Number,
    Letter,
    Suffix,
    SuffixNumber,
    CommitHash,
    Revision,
    End,
    Invalid,
}

/// From the earliest; the release itself stands after the fourth.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];
const RELEASE: usize = 4;

/// None if one of them is no version.
pub fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Reader::new(a.trim()), Reader::new(b.trim()));
    (a.is_valid() && b.is_valid()).then(|| order(a, b))
}

fn order(mut a: Reader, mut b: Reader) -> Ordering {
    while a.kind == b.kind && a.kind < Kind::End {
        let order = a.compare(&b);
        if order.is_ne() {
            return order;
        }
        a.advance();
        b.advance();
    }
    if a.kind == b.kind {
        return Ordering::Equal;
    }
    // A suffix before the release makes the longer version the smaller one.
    if a.is_before_release() {
        return Ordering::Less;
    }
    if b.is_before_release() {
        return Ordering::Greater;
    }
    b.kind.cmp(&a.kind)
}

#[derive(Clone)]
struct Reader<'a> {
    kind: Kind,
    /// The token's own text.
    value: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn new(version: &'a str) -> Reader<'a> {
        let mut reader = Reader {
            kind: Kind::FirstNumber,
            value: "",
            rest: version,
        };
        reader.number(Kind::FirstNumber);
        reader
    }

    /// Whether all of it can be read.
    fn is_valid(&self) -> bool {
        let mut reader = self.clone();
        while reader.kind < Kind::End {
            reader.advance();
        }
        reader.kind == Kind::End
    }

    /// Of two tokens of one kind.
    fn compare(&self, other: &Reader) -> Ordering {
        let (a, b) = (self.value, other.value);
        match self.kind {
            // `1.05` is before `1.1`: with a zero in front, numbers are compared as fractions.
            Kind::Number if a.starts_with('0') || b.starts_with('0') => a.cmp(b),
            Kind::FirstNumber | Kind::Number | Kind::SuffixNumber | Kind::Revision => {
                compare_digits(a, b)
            }
            Kind::Suffix => suffix(a).cmp(&suffix(b)),
            Kind::Letter | Kind::CommitHash | Kind::End | Kind::Invalid => a.cmp(b),
        }
    }

    fn is_before_release(&self) -> bool {
        self.kind == Kind::Suffix && suffix(self.value).is_some_and(|at| at < RELEASE)
    }

    fn advance(&mut self) {
        let was = self.kind;
        let rest = self.rest;
        let Some(first) = rest.bytes().next() else {
            self.kind = Kind::End;
            return;
        };
        match first {
            b'a'..=b'z' if was <= Kind::Number => self.take(Kind::Letter, rest.split_at(1)),
            b'.' if was <= Kind::Number => {
                self.rest = &rest[1..];
                self.number(Kind::Number);
            }
            b'0'..=b'9' if was <= Kind::Number => self.number(Kind::Number),
            b'0'..=b'9' if was == Kind::Suffix => self.number(Kind::SuffixNumber),
            b'_' if was <= Kind::SuffixNumber => {
                let word = split_while(&rest[1..], |c| c.is_ascii_lowercase());
                self.take(Kind::Suffix, word);
                if suffix(word.0).is_none() {
                    self.kind = Kind::Invalid;
                }
            }
            b'~' if was < Kind::CommitHash => {
                let hash = split_while(&rest[1..], |c| matches!(c, '0'..='9' | 'a'..='f'));
                self.take(Kind::CommitHash, hash);
                if hash.0.is_empty() {
                    self.kind = Kind::Invalid;
                }
            }
            b'-' if was < Kind::Revision && rest.starts_with("-r") => {
                self.rest = &rest[2..];
                self.number(Kind::Revision);
            }
            _ => self.kind = Kind::Invalid,
        }
    }

    fn number(&mut self, kind: Kind) {
        let digits = split_while(self.rest, |c| c.is_ascii_digit());
        self.take(kind, digits);
        if digits.0.is_empty() {
            self.kind = Kind::Invalid;
        }
    }

    fn take(&mut self, kind: Kind, (value, rest): (&'a str, &'a str)) {
        (self.kind, self.value, self.rest) = (kind, value, rest);
    }
}

fn suffix(word: &str) -> Option<usize> {
    SUFFIXES.iter().position(|suffix| *suffix == word)
}
