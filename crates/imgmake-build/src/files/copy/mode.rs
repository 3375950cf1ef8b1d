//! `--chmod`: octal, or symbolic as in chmod(1) without a umask.

use crate::error::{BuildError, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

/// One `u+x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// Bits of `ugo` as 0o4, 0o2, 0o1.
    who: u8,
    operator: char,
    permissions: String,
}

impl Chmod {
    /// # Errors
    /// Says what a mode looks like.
    pub fn parse(text: &str) -> Result<Chmod> {
        let invalid = |why: &str| BuildError::invalid(format!("mode `{text}`"), why);
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Chmod::Octal(mode)),
                _ => Err(invalid("expected octal digits between 0 and 7777")),
            };
        }
        let clauses: Option<Vec<Vec<Clause>>> = text.split(',').map(clauses).collect();
        match clauses {
            Some(list) => Ok(Chmod::Symbolic(list.concat())),
            None => Err(invalid(
                "expected octal like `0755` or symbolic like `u=rwX,go=rX`",
            )),
        }
    }

    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Chmod::Octal(octal) => *octal,
            Chmod::Symbolic(clauses) => clauses
                .iter()
                .fold(mode, |mode, clause| clause.apply(mode, is_directory)),
        }
    }
}

/// `u+x-w` is two clauses with the same `who`.
fn clauses(text: &str) -> Option<Vec<Clause>> {
    let operator_at = text.find(['+', '-', '='])?;
    let mut who = 0;
    for c in text[..operator_at].chars() {
        who |= match c {
            'u' => 4,
            'g' => 2,
            'o' => 1,
            'a' => 7,
            _ => return None,
        };
    }
    let who = if who == 0 { 7 } else { who };
    let mut list = Vec::new();
    let mut rest = &text[operator_at..];
    while let Some(operator) = rest.chars().next() {
        let end = rest[1..]
            .find(['+', '-', '='])
            .map_or(rest.len(), |i| i + 1);
        let permissions = &rest[1..end];
        if !permissions.chars().all(|c| "rwxXstugo".contains(c)) {
            return None;
        }
        list.push(Clause {
            who,
            operator,
            permissions: permissions.to_string(),
        });
        rest = &rest[end..];
    }
    Some(list)
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let mut triple = 0; // rwx of one class
        let mut special = 0;
        for c in self.permissions.chars() {
            match c {
                'r' => triple |= 4,
                'w' => triple |= 2,
                'x' => triple |= 1,
                'X' if is_directory || mode & 0o111 != 0 => triple |= 1,
                's' => {
                    special |= if self.who & 4 != 0 { 0o4000 } else { 0 };
                    special |= if self.who & 2 != 0 { 0o2000 } else { 0 };
                }
                't' => special |= 0o1000,
                'u' => triple |= (mode >> 6) & 7,
                'g' => triple |= (mode >> 3) & 7,
                'o' => triple |= mode & 7,
                _ => {}
            }
        }
        let spread = |triple: u32| {
            let part = |bit: u8, shift: u32| {
                if self.who & bit != 0 {
                    triple << shift
                } else {
                    0
                }
            };
            part(4, 6) | part(2, 3) | part(1, 0)
        };
        let bits = spread(triple) | special;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !spread(7) & !self.specials_cleared(is_directory)) | bits,
        }
    }

    /// `=` clears the special bits of the classes it names; a directory keeps setuid and setgid.
    fn specials_cleared(&self, is_directory: bool) -> u32 {
        if is_directory {
            return 0;
        }
        (if self.who & 4 != 0 { 0o4000 } else { 0 }) | (if self.who & 2 != 0 { 0o2000 } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_do_what_chmod_does() {
        for (text, before, directory, after) in [
            ("+x", 0o644, false, 0o755),
            ("u+x", 0o644, false, 0o744),
            ("go-rwx", 0o755, false, 0o700),
            ("a=rX", 0o644, false, 0o444),
            ("a=rX", 0o755, true, 0o555),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("g=u", 0o640, false, 0o660),
            ("u+s", 0o755, false, 0o4755),
            ("+t", 0o777, true, 0o1777),
            ("u+x-w", 0o644, false, 0o544),
            ("0755", 0o600, false, 0o755),
            ("1777", 0o755, true, 0o1777),
        ] {
            let mode = Chmod::parse(text).unwrap();
            assert_eq!(mode.apply(before, directory), after, "{text} on {before:o}");
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "8", "10000", "rwx", "u*x", "u+q", "0x755"] {
            assert!(Chmod::parse(text).is_err(), "{text}");
        }
    }
}
