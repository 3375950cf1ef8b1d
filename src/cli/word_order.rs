//! The order of words on the command line: a command may stand behind options, and a target may have
//! the name of a command.

use std::ffi::OsString;

use clap::Subcommand;

use super::args::Command;

/// Options that take the next word as their value.
const TAKE_A_VALUE: [&str; 21] = [
    "-C",
    "--directory",
    "-f",
    "--file",
    "--source",
    "--var",
    "--set",
    "--store",
    "--progress",
    "--color",
    "--cache-from",
    "--cache-to",
    "--cache-ttl",
    "-j",
    "--jobs",
    "--network",
    "--timing",
    "--since",
    "--junit",
    "--code-quality",
    "--attempt",
];

/// Moves the command before the options, so that `imgmake -C dir plan` is
/// `imgmake plan -C dir`. A first word that is not a command is a target.
pub fn command_first(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = with_numbers(arguments);
    let mut at = 1;
    while let Some(word) = arguments.get(at) {
        match word.to_str() {
            Some("--") => break,
            Some(option) if TAKE_A_VALUE.contains(&option) => at += 2,
            Some(option) if option.len() > 1 && option.starts_with('-') => at += 1,
            Some(word) if Command::has_subcommand(word) => {
                let command = arguments.remove(at);
                arguments.insert(1, command);
                break;
            }
            _ => break,
        }
    }
    arguments
}

/// `-k 3` and `-k3` are `-k=3`: what is no number after it is a target.
fn with_numbers(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut joined: Vec<OsString> = Vec::new();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(word) = arguments.next() {
        if word == "--" {
            joined.push(word);
            joined.extend(arguments);
            return joined;
        }
        let text = word.to_str().unwrap_or_default();
        if let Some(number) = text.strip_prefix("-k").filter(|rest| is_number(rest)) {
            joined.push(format!("-k={number}").into());
            continue;
        }
        let next = arguments.peek().and_then(|next| next.to_str());
        match next.filter(|next| matches!(text, "-k" | "--keep-going") && is_number(next)) {
            Some(number) => {
                joined.push(format!("{text}={number}").into());
                arguments.next();
            }
            None => joined.push(word),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::super::args::Cli;
    use super::super::run_args::NetworkMode;
    use super::*;

    fn arranged(words: &[&str]) -> Vec<String> {
        let words = std::iter::once("imgmake")
            .chain(words.iter().copied())
            .map(OsString::from);
        let arranged = command_first(words).into_iter().skip(1);
        arranged.map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_command_may_stand_behind_options_and_a_target_may_have_its_name() {
        for (words, meant) in [
            (&["-C", "plan", "list"][..], &["list", "-C", "plan"][..]),
            (
                &["--progress=json", "run", "list"],
                &["run", "--progress=json", "list"],
            ),
            (
                &["--network", "none", "plan"],
                &["plan", "--network", "none"],
            ),
            (&["-j", "4", "app", "plan"], &["-j", "4", "app", "plan"]),
            (&["-k", "run", "a"], &["run", "-k", "a"]),
            (&["--", "plan"], &["--", "plan"]),
            (&["-k", "3", "run", "a"], &["run", "-k=3", "a"]),
            (&["-k3", "a"], &["-k=3", "a"]),
            (
                &["--keep-going", "2", "--", "-k", "1"],
                &["--keep-going=2", "--", "-k", "1"],
            ),
            (&["-j4", "-v", "plan"], &["plan", "-j4", "-v"]),
        ] {
            assert_eq!(arranged(words), meant);
        }
    }

    #[test]
    fn the_networks_are_those_of_the_manifest() {
        let names = NetworkMode::value_variants().iter().map(|mode| {
            let value = mode.to_possible_value().unwrap();
            assert_eq!(value.get_name(), mode.name());
            mode.name()
        });
        assert!(names.eq(imgmake_core::manifest::NETWORKS));
    }

    #[test]
    fn every_option_with_a_value_is_known_to_take_one() {
        for option in Cli::command()
            .get_arguments()
            .filter(|a| a.get_action().takes_values() && !a.is_require_equals_set())
        {
            let short = option.get_short().map(|short| format!("-{short}"));
            let long = option.get_long().map(|long| format!("--{long}"));
            for name in short.into_iter().chain(long) {
                let takes = TAKE_A_VALUE.contains(&name.as_str());
                assert!(takes, "{name}");
            }
        }
    }
}
