//! A change of modes as it is written in `--chmod` or a manifest: octal, or symbolic as in
//! chmod(1) without a umask.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    Octal(u32),
    Symbolic(Vec<Change>),
}

/// What one part of a symbolic mode does, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Clear(u32),
    Set(u32),
    /// `X`: of directories, and of files that somebody could execute before.
    SetIfExecutable(u32),
    /// `g=u`: the bits of one class for others. Set-id bits stay as they are.
    Copy {
        from: Class,
        /// The permissions of the classes that are changed, such as 0o770.
        to: u32,
        operator: Operator,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    User,
    Group,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Add,
    Remove,
    Assign,
}

const SET_ID: u32 = 0o6000;
const STICKY: u32 = 0o1000;
const PERMISSIONS: u32 = 0o777;
const OTHERS: u32 = 0o007;

impl Chmod {
    /// # Errors
    /// Why it is none: a half sentence that begins with "expected".
    pub fn parse(text: &str) -> Result<Chmod, &'static str> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Chmod::Octal(mode)),
                _ => Err("expected octal digits between 0 and 7777"),
            };
        }
        let changes: Option<Vec<Vec<Change>>> = text.split(',').map(clause).collect();
        let changes = changes.ok_or("expected octal like `0755` or symbolic like `u=rwX,go=rX`")?;
        Ok(Chmod::Symbolic(changes.concat()))
    }

    /// The mode of an entry that had `mode`.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Chmod::Octal(octal) => *octal,
            Chmod::Symbolic(changes) => {
                let executable = is_directory || mode & 0o111 != 0;
                let change = |mode, change: &Change| change.apply(mode, executable);
                changes.iter().fold(mode, change)
            }
        }
    }
}

/// `u+x-w` is two operations on the same classes.
fn clause(text: &str) -> Option<Vec<Change>> {
    let operator_at = text.find(['+', '-', '='])?;
    let mut who = 0;
    for c in text[..operator_at].chars() {
        who |= match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => OTHERS,
            'a' => SET_ID | PERMISSIONS,
            _ => return None,
        };
    }
    let who = if who == 0 { SET_ID | PERMISSIONS } else { who };
    let mut changes = Vec::new();
    let mut rest = &text[operator_at..];
    while let Some(operator) = rest.chars().next() {
        let end = rest[1..]
            .find(['+', '-', '='])
            .map_or(rest.len(), |i| i + 1);
        let operator = match operator {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            _ => Operator::Assign,
        };
        operation(who, operator, &rest[1..end], &mut changes)?;
        rest = &rest[end..];
    }
    Some(changes)
}

fn operation(who: u32, operator: Operator, written: &str, changes: &mut Vec<Change>) -> Option<()> {
    let (mut bits, mut executable) = (0, 0);
    let mut copies = Vec::new();
    for c in written.chars() {
        match c {
            'r' => bits |= 0o444 & who,
            'w' => bits |= 0o222 & who,
            'x' => bits |= 0o111 & who,
            'X' if operator == Operator::Remove => bits |= 0o111 & who,
            'X' => executable |= 0o111 & who,
            // The set-id bits do not apply to others, the sticky bit does not apply to them alone.
            's' => bits |= SET_ID & who,
            't' if who == OTHERS => {}
            't' => bits |= STICKY,
            'u' => copies.push(Class::User),
            'g' => copies.push(Class::Group),
            'o' => copies.push(Class::Other),
            _ => return None,
        }
    }
    match operator {
        Operator::Remove => changes.push(Change::Clear(bits)),
        Operator::Add => changes.push(Change::Set(bits)),
        // A copy alone clears what it replaces.
        Operator::Assign if bits == 0 && executable == 0 && !copies.is_empty() => {}
        Operator::Assign => changes.extend([Change::Clear(who), Change::Set(bits)]),
    }
    changes.push(Change::SetIfExecutable(executable));
    for (at, from) in copies.into_iter().enumerate() {
        let added = at > 0 || bits != 0 || executable != 0;
        changes.push(Change::Copy {
            from,
            to: who & PERMISSIONS,
            operator: match operator {
                Operator::Assign if added => Operator::Add,
                operator => operator,
            },
        });
    }
    Some(())
}

impl Change {
    fn apply(self, mode: u32, executable: bool) -> u32 {
        match self {
            Change::Clear(bits) => mode & !bits,
            Change::Set(bits) => mode | bits,
            Change::SetIfExecutable(bits) if executable => mode | bits,
            Change::SetIfExecutable(_) => mode,
            Change::Copy { from, to, operator } => {
                let triple = match from {
                    Class::User => mode >> 6,
                    Class::Group => mode >> 3,
                    Class::Other => mode,
                } & 7;
                let bits = (triple << 6 | triple << 3 | triple) & to;
                match operator {
                    Operator::Add => mode | bits,
                    Operator::Remove => mode & !bits,
                    Operator::Assign => (mode & !to) | bits,
                }
            }
        }
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
            ("go=rX", 0o2750, true, 0o755),
            ("u=rwX", 0o6755, true, 0o2755),
            ("u=rwX", 0o1777, true, 0o1777),
            ("u=g", 0o4750, false, 0o4550),
            ("u=g", 0o6750, true, 0o6550),
            ("o=u", 0o750, false, 0o757),
            ("o+t", 0o755, true, 0o755),
            ("o+s", 0o755, false, 0o755),
            ("a-x,a+X", 0o755, false, 0o755),
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
