//! Arguments as Go's pflag reads them: `--flag=value`, `--flag value`, `-f value`,
//! `-fvalue`, `-f=value`; a boolean takes no following word; `--` ends the flags.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::flags::{Effect, FLAGS, Flag, Kind};
use crate::error::{self, Fact, invalid, malformed};
use crate::plugin::{Refusal, log, value};
use imgmake_core::manifest::suggest;

/// Flags whose empty value is not as good as none: something is to be built, and to go somewhere;
/// no helpers are none.
const MEANT: [&str; 4] = ["context", "credential-helpers", "destination", "dockerfile"];

/// What was written, by the flags' own names (aliases are resolved).
#[derive(Default)]
pub(super) struct CommandLine {
    values: BTreeMap<&'static str, Vec<String>>,
    /// What people wrote, for notes: `--tarPath` for `tar-path`.
    written: BTreeSet<&'static str>,
    pub(super) positional: Vec<String>,
    /// What was said about the log and means nothing.
    remarks: Vec<String>,
    /// Names that were asked for; a test compares them with the table.
    asked: RefCell<BTreeSet<&'static str>>,
}

impl CommandLine {
    /// # Errors
    /// A flag that is unknown, lacks its value, or has one that is not of its kind.
    pub(super) fn parse(arguments: &[String]) -> Result<CommandLine, Refusal> {
        let mut line = CommandLine::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                line.positional.extend(rest.cloned());
                break;
            }
            match argument.strip_prefix("--") {
                Some(long) => line.long(long, &mut rest)?,
                None if argument.len() > 1 && argument.starts_with('-') => {
                    line.short(&argument[1..], &mut rest)?;
                }
                None => line.positional.push(argument.clone()),
            }
        }
        Ok(line)
    }

    fn long<'a>(
        &mut self,
        text: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), Refusal> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (text, None),
        };
        let flag = FLAGS
            .iter()
            .find(|flag| flag.name == name)
            .ok_or_else(|| unknown(name))?;
        let value = match value {
            Some(value) => value,
            None if flag.kind == Kind::Bool => "true".to_string(),
            None => rest.next().cloned().ok_or_else(|| no_value(flag))?,
        };
        self.set(flag, value)
    }

    /// One or more letters after one dash.
    fn short<'a>(
        &mut self,
        text: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), Refusal> {
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let after = letters.as_str();
            let flag = FLAGS
                .iter()
                .find(|flag| flag.short == Some(letter))
                .ok_or_else(|| unknown_letter(letter))?;
            if let Some(value) = after.strip_prefix('=') {
                return self.set(flag, value.to_string());
            }
            if flag.kind == Kind::Bool {
                self.set(flag, "true".to_string())?;
                continue;
            }
            let value = match after {
                "" => rest.next().cloned().ok_or_else(|| no_value(flag))?,
                attached => attached.to_string(),
            };
            return self.set(flag, value);
        }
        Ok(())
    }

    fn set(&mut self, flag: &'static Flag, mut value: String) -> Result<(), Refusal> {
        if value.is_empty() && !MEANT[..].contains(&flag.name) && flag.kind != Kind::Bool {
            // Pipelines pass variables that may be empty.
            return Ok(());
        }
        if let (Kind::Choice(choices), "verbosity" | "log-format") = (flag.kind, flag.name) {
            match log::choice(&format!("--{}", flag.name), &value, choices) {
                Ok(known) => value = known,
                Err(remark) => {
                    self.remarks.push(remark);
                    return Ok(());
                }
            }
        }
        check(flag, &value)?;
        if flag.effect == Effect::NotYet && !is_off(flag, &value) {
            return Err(Refusal::new(
                Fact::Unsupported(format!("--{}", flag.name)),
                flag.does,
            ));
        }
        let name = match flag.effect {
            Effect::SameAs(name) => name,
            _ => flag.name,
        };
        self.written.insert(flag.name);
        self.values.entry(name).or_default().push(value);
        Ok(())
    }

    fn row(&self, name: &str) -> &'static Flag {
        let row = FLAGS
            .iter()
            .find(|flag| flag.name == name)
            .unwrap_or_else(|| unreachable!("the table has no --{name}"));
        self.asked.borrow_mut().insert(row.name);
        row
    }

    /// The last value, when one was given.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        let row = self.row(name);
        self.values.get(row.name)?.last().map(String::as_str)
    }

    /// The last value, or the default; `None` when that is empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = self
            .given(name)
            .unwrap_or_else(|| self.row(name).default)
            .to_string();
        Some(text).filter(|text| !text.is_empty())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        let text = self
            .given(name)
            .unwrap_or_else(|| self.row(name).default)
            .to_string();
        value::boolean(name, &text).expect("every value was checked at the door")
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let text = self.given(name)?;
        Some(value::integer(name, text).expect("every value was checked at the door"))
    }

    /// Every value, in the order written.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let row = self.row(name);
        self.values.get(row.name).cloned().unwrap_or_default()
    }

    /// Every `key=value`, split.
    pub(super) fn pairs(&self, name: &str) -> Vec<(String, String)> {
        let split = |pair: String| {
            let (key, value) = pair
                .split_once('=')
                .expect("every value was checked at the door");
            (key.to_string(), value.to_string())
        };
        self.all(name).into_iter().map(split).collect()
    }

    /// One line for each flag that was given and changes nothing here.
    pub(super) fn notes(&self) -> Vec<String> {
        let effective = |flag: &&'static Flag| match flag.effect {
            Effect::SameAs(name) => FLAGS.iter().find(|row| row.name == name),
            _ => Some(*flag),
        };
        FLAGS
            .iter()
            .filter(|flag| self.written.contains(flag.name))
            .filter_map(|flag| Some((flag, effective(&flag)?)))
            .filter(|(_, row)| row.effect == Effect::Inherent)
            .filter(|(_, row)| {
                let last = self.values.get(row.name).and_then(|all| all.last());
                last.is_some_and(|value| !is_off(row, value))
            })
            .map(|(flag, row)| format!("--{}: {}", flag.name, row.does))
            .chain(self.remarks.clone())
            .collect()
    }

    #[cfg(test)]
    pub(super) fn asked(&self) -> BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }
}

/// Whether a value says no more than its absence would.
fn is_off(flag: &Flag, text: &str) -> bool {
    text.is_empty()
        || text == flag.default
        || (flag.kind == Kind::Bool
            && value::boolean(flag.name, text).ok() == value::boolean(flag.name, flag.default).ok())
}

/// Whether a text is a value of its flag's kind.
fn check(flag: &Flag, text: &str) -> Result<(), Refusal> {
    let name = format!("--{}", flag.name);
    match flag.kind {
        Kind::Bool if text.is_empty() => Err(Refusal::new(
            invalid("boolean", format!("{name}=")),
            "write `true` or `false`",
        )),
        Kind::Bool => value::boolean(&name, text).map(drop),
        Kind::Int => value::integer(&name, text).map(drop),
        Kind::Count => match value::integer(&name, text)? {
            0..=1000 => Ok(()),
            _ => Err(Refusal::new(
                invalid("number of retries", format!("{name}={text}")),
                "write a number from 0 to 1000",
            )),
        },
        Kind::Choice(choices) if !choices.contains(&text) => Err(Refusal::new(
            invalid("value", format!("{name}={text:?}")),
            suggest::help(text, choices.iter().copied()).unwrap_or_default(),
        )),
        Kind::Pairs => match text.split_once('=') {
            Some((key, _)) if !key.is_empty() => Ok(()),
            _ => Err(Refusal::new(
                invalid("`key=value`", format!("{name}={text:?}")),
                format!("write {name} key=value"),
            )),
        },
        Kind::Duration if !is_duration(text) => Err(Refusal::new(
            invalid("duration", format!("{name}={text:?}")),
            "write a number and a unit, such as `6h` or `1h30m`",
        )),
        Kind::Choice(_) | Kind::Duration | Kind::Text | Kind::Many => Ok(()),
    }
}

/// Go's durations: `300ms`, `-1.5h`, `2h45m`, `0`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.trim_start_matches(['-', '+']);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() || text.len() - rest.len() > 1 {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        if rest[..digits].parse::<f64>().is_err() {
            return false;
        }
        rest = &rest[digits..];
        let unit = ["ns", "us", "µs", "ms", "s", "m", "h"]
            .into_iter()
            .find(|unit| {
                rest.strip_prefix(unit)
                    .is_some_and(|after| !after.starts_with(char::is_alphabetic))
            });
        match unit {
            Some(unit) => rest = &rest[unit.len()..],
            None => return false,
        }
    }
    true
}

fn unknown(name: &str) -> Refusal {
    let names = FLAGS.iter().map(|flag| flag.name);
    let near = suggest::nearest(name, names).or_else(|| {
        // `--cache_repo`, `--no_push`: people write underscores.
        let dashed = name.replace('_', "-");
        FLAGS
            .iter()
            .map(|flag| flag.name)
            .find(|flag| *flag == dashed)
    });
    let near = near.or_else(|| within(name));
    let help = match near {
        Some(near) => format!("did you mean `--{near}`?"),
        None => "`imgmake kaniko --help` lists all flags".to_string(),
    };
    Refusal::new(error::unknown("flag", format!("`--{name}`")), help)
}

/// The longest flag whose words are all in the name, one after the other: `--insecure-skip-tls-verify`
/// holds `--skip-tls-verify`.
fn within(name: &str) -> Option<&'static str> {
    let words = format!("-{name}-");
    let names = FLAGS.iter().map(|flag| flag.name);
    let held = names.filter(|flag| flag.contains('-') && words.contains(&format!("-{flag}-")));
    held.max_by_key(|flag| flag.len())
}

fn unknown_letter(letter: char) -> Refusal {
    let letters: Vec<String> = FLAGS
        .iter()
        .filter_map(|flag| Some(format!("`-{}` for `--{}`", flag.short?, flag.name)))
        .collect();
    Refusal::new(
        error::unknown("flag", format!("`-{letter}`")),
        format!("expected one of {}", letters.join(", ")),
    )
}

fn no_value(flag: &Flag) -> Refusal {
    Refusal::new(
        malformed(format!("--{}", flag.name), "missing value"),
        format!("write `--{}=VALUE`", flag.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<CommandLine, Refusal> {
        let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
        CommandLine::parse(&arguments)
    }

    #[test]
    fn a_flag_that_is_part_of_a_longer_word_is_what_was_meant() {
        for (written, meant) in [
            ("--insecure-skip-tls-verify", "`--skip-tls-verify`"),
            ("--kaniko-no-push", "`--no-push`"),
            ("--cache_repo=a", "`--cache-repo`"),
            ("--banana-target", "--help"),
        ] {
            let refusal = parse(&[written]).err().expect(written);
            assert!(refusal.help.contains(meant), "{written}: {}", refusal.help);
        }
    }

    #[test]
    fn every_way_of_writing_a_value_is_read() {
        for arguments in [
            &["--context=a=b"][..],
            &["--context", "a=b"],
            &["-c", "a=b"],
            &["-ca=b"],
            &["-c=a=b"],
            &["-c", "x", "--context=a=b"],
        ] {
            assert_eq!(
                parse(arguments).unwrap().given("context"),
                Some("a=b"),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn a_boolean_takes_no_following_word() {
        let line = parse(&["--no-push", "false", "--cache=F"]).unwrap();
        assert!(line.flag("no-push") && !line.flag("cache"));
        assert_eq!(line.positional, ["false"]);
        assert!(parse(&["--no-push="]).is_err());
        assert!(parse(&["--no-push=maybe"]).is_err());
    }

    #[test]
    fn repeated_values_are_kept_whole() {
        let line = parse(&["-d", "a/b,c/d", "--destination=e/f"]).unwrap();
        assert_eq!(line.all("destination"), ["a/b,c/d", "e/f"]);
    }

    #[test]
    fn two_dashes_end_the_flags() {
        let line = parse(&["--", "--nonsense", "-x"]).unwrap();
        assert_eq!(line.positional, ["--nonsense", "-x"]);
    }

    #[test]
    fn an_unknown_flag_is_refused_with_the_nearest_name_and_without_its_value() {
        let message = parse(&["--destinaton=hunter2"]).err().unwrap().to_string();
        assert!(message.contains("--destination") && !message.contains("hunter2"));
        let message = parse(&["--no_push_cache"]).err().unwrap().to_string();
        assert!(message.contains("--no-push-cache"), "{message}");
        assert!(
            parse(&["-x"])
                .err()
                .unwrap()
                .to_string()
                .contains("`-d` for `--destination`")
        );
        for arguments in [&["--=x"][..], &["---x"], &["--context"], &["-c"]] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn durations_are_gos() {
        for text in ["336h", "1h30m", "1.5h", "300ms", "0", "-1s", "1µs"] {
            assert!(is_duration(text), "{text}");
        }
        for text in ["", "6", "6d", "h", "1h30", "--1s", "1 h", "1..5h"] {
            assert!(!is_duration(text), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_arguments_cause_a_panic(arguments in proptest::collection::vec(r"(-{0,3}[a-zµ=,-]{0,12}(=.{0,6})?)|.{0,8}", 0..6)) {
            drop(CommandLine::parse(&arguments).map(|line| line.notes()));
        }
    }
}
