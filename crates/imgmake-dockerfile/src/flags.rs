//! The front of an instruction: its name, its `--flags`, and arguments in JSON.

use super::ast::Escape;
use super::error::{DockerfileError, Kind, Mistake};
use super::suggest;

/// The blanks that separate words; other Unicode blanks belong to them.
pub const BLANKS: [char; 5] = [' ', '\t', '\x0b', '\x0c', '\r'];

/// Name and rest of a trimmed line.
pub fn keyword(line: &str) -> (&str, &str) {
    match line.split_once(BLANKS) {
        Some((keyword, rest)) => (keyword, rest.trim()),
        None => (line, ""),
    }
}

/// Words separated by blanks.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(BLANKS).filter(|word| !word.is_empty())
}

/// The leading words that start with `--`, unquoted, and what follows them.
pub fn split(line: &str, escape: Escape) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest.trim());
        }
        let (flag, after) = flag(rest, escape.character());
        rest = after;
        // A lone `--` ends the flags.
        if flag == "--" {
            return (flags, rest.trim());
        }
        flags.push(flag);
    }
}

/// One word with quotes and escapes removed, and the text behind it.
fn flag(text: &str, escape: char) -> (String, &str) {
    let mut flag = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => return (flag, &text[at..]),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (_, c) if c == escape => flag.extend(characters.next().map(|(_, c)| c)),
            (_, c) => flag.push(c),
        }
    }
    (flag, "")
}

/// A JSON array of strings; `None` if the text is something else (then it is shell form).
pub fn json_strings(text: &str) -> Result<Option<Vec<String>>, DockerfileError> {
    if !text.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else {
        return Ok(None);
    };
    let strings = values.iter().map(|value| match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(
            Mistake::invalid(format!("string `{value}` in the JSON array"))
                .in_word(value.to_string())
                .help("put every element in double quotes"),
        ),
    });
    strings.collect::<Result<Vec<_>, _>>().map(Some)
}

/// The flags of one instruction, taken out one by one; [`Flags::finish`] refuses what is left.
pub struct Flags {
    instruction: &'static str,
    given: Vec<(String, Option<String>)>,
    known: Vec<&'static str>,
}

impl Flags {
    pub fn new(instruction: &'static str, flags: Vec<String>) -> Flags {
        let given = flags.into_iter().map(|flag| {
            let flag = flag.strip_prefix("--").unwrap_or(&flag);
            match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (flag.to_owned(), None),
            }
        });
        Flags {
            instruction,
            given: given.collect(),
            known: Vec::new(),
        }
    }

    fn take(&mut self, name: &'static str) -> Vec<Option<String>> {
        self.known.push(name);
        let (taken, left) = std::mem::take(&mut self.given)
            .into_iter()
            .partition(|(n, _)| n == name);
        self.given = left;
        let taken: Vec<(String, Option<String>)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// `--name=text`, at most once; empty counts as not given.
    pub fn text(&mut self, name: &'static str) -> Result<Option<String>, DockerfileError> {
        let mut values = self.texts(name)?;
        match values.len() {
            0 | 1 => Ok(values.pop().filter(|v| !v.is_empty())),
            _ => Err(self.duplicate(name)),
        }
    }

    /// `--name=text`, any number of times.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<String>, DockerfileError> {
        let values = self.take(name).into_iter();
        values
            .map(|value| value.ok_or_else(|| missing(name)))
            .collect()
    }

    /// `--name` or `--name=true|false`.
    pub fn truth(&mut self, name: &'static str) -> Result<Option<bool>, DockerfileError> {
        let values = self.take(name);
        let value = match values.as_slice() {
            [] => return Ok(None),
            [value] => value,
            _ => return Err(self.duplicate(name)),
        };
        match value.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some("") => Err(missing(name)),
            Some(other) => {
                let what = format!("`--{name}={other}`");
                Err(Mistake::unusable(what, "is neither true nor false").in_word(other))
            }
        }
    }

    fn duplicate(&self, name: &str) -> DockerfileError {
        let kind = Kind::Flag {
            instruction: self.instruction,
        };
        Mistake::duplicate(kind, name).in_word(format!("--{name}"))
    }

    /// The name of the first that was given and not taken yet.
    pub fn first(&self) -> Option<&str> {
        self.given.first().map(|(name, _)| name.as_str())
    }

    /// Every flag must have been asked for.
    pub fn finish(self) -> Result<(), DockerfileError> {
        let Some((name, _)) = self.given.into_iter().next() else {
            return Ok(());
        };
        let flags: Vec<String> = self.known.iter().map(|k| format!("--{k}")).collect();
        let help = match flags.is_empty() {
            true => format!("{} takes no flags", self.instruction),
            false => format!("its flags are {}", flags.join(", ")),
        };
        let kind = Kind::Flag {
            instruction: self.instruction,
        };
        Err(Mistake::unknown(kind, name.as_str())
            .in_word(format!("--{name}"))
            .nearest(suggest::nearest(&name, self.known.iter().copied()))
            .help(help))
    }
}

fn missing(name: &str) -> DockerfileError {
    Mistake::missing(format!("the flag `--{name}`"), "a value")
        .in_word(format!("--{name}"))
        .help(format!("write --{name}=VALUE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_end_at_the_first_other_word() {
        let (flags, rest) = split("--a=1 --b --c='x y' z --d", Escape::Backslash);
        assert_eq!(flags, ["--a=1", "--b", "--c=x y"]);
        assert_eq!(rest, "z --d");
    }

    #[test]
    fn two_dashes_end_the_flags() {
        let (flags, rest) = split("--a -- --b", Escape::Backslash);
        assert_eq!(
            (flags.as_slice(), rest),
            (["--a".to_owned()].as_slice(), "--b")
        );
    }

    #[test]
    fn escapes_in_flags_follow_the_directive() {
        assert_eq!(split("--a=x\\ y z", Escape::Backslash).0, ["--a=x y"]);
        assert_eq!(split("--a=c:\\x z", Escape::Backtick).0, ["--a=c:\\x"]);
    }

    #[test]
    fn broken_json_is_not_json() {
        assert_eq!(json_strings("[\"a\", \"b\"]").unwrap().unwrap(), ["a", "b"]);
        assert_eq!(json_strings("['a']").unwrap(), None);
        assert_eq!(json_strings("[\"a\"] x").unwrap(), None);
        assert!(json_strings("[1]").is_err());
    }
}
