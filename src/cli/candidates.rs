//! What may follow on a command line that is being typed: the scripts of `completions` ask for it.
//!
//! Knows the commands and their options from clap, and the names of targets and images from the project and the store.

use std::ffi::OsString;
use std::fmt::Write;

use clap::{Arg, Command, CommandFactory, Parser};

use super::args::{Cli, Global};
use super::environment::Environment;
use super::output::print_exactly;
use super::project;
use super::trust::open_store;
use super::word_order::command_first;
use crate::exit::Exit;
use crate::targets::kind_name;
use imgmake_guard::printable::{self, Colors};

/// The first argument, which no person types; the words of the command line follow, the last one unfinished.
pub const ASK: &str = "__complete";

/// What is proposed for the last word.
#[derive(Debug, PartialEq, Eq)]
enum Candidate {
    Word {
        value: String,
        help: String,
    },
    /// Names of files, which the shell knows.
    Files,
    Directories,
}

/// Prints a line for each candidate: `w`, the word and what it is, with tabs between them; `f` or `d` for files or directories.
pub fn candidates(words: &[String], environment: &Environment) -> Result<u8, Exit> {
    let mut cli = Cli::command();
    cli.build();
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let names = Names {
        project: global(before).map(|global| (global, environment)),
    };
    let mut text = String::new();
    for candidate in proposed(&cli, before, last, &names) {
        match candidate {
            Candidate::Word { value, help } => {
                let line = |text: &str| printable::line(text, Colors::Removed).replace('\t', " ");
                writeln!(text, "w\t{}\t{}", line(&value), line(&help)).expect("a string takes all");
            }
            Candidate::Files => text.push_str("f\n"),
            Candidate::Directories => text.push_str("d\n"),
        }
    }
    print_exactly(&text)?;
    Ok(0)
}

/// `-C`, `-f`, `--store` and the like, as far as they are typed.
fn global(before: &[String]) -> Option<Global> {
    let mut argv = vec![OsString::from("imgmake"), OsString::from("list")];
    let mut words = before.iter();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if ["-C", "--directory", "-f", "--file", "--store"].contains(&name) {
            argv.push(word.into());
            if !word.contains('=') {
                argv.extend(words.next().map(OsString::from));
            }
        }
    }
    Some(Cli::try_parse_from(command_first(argv)).ok()?.global)
}

/// Where names come from that no command line has.
struct Names<'a> {
    /// None where the options cannot be read.
    project: Option<(Global, &'a Environment)>,
}

impl Names<'_> {
    fn targets(&self) -> Vec<(String, String)> {
        let named = self.project.as_ref();
        let loaded =
            named.and_then(|(global, environment)| project::load(global, environment).ok());
        let Some(project) = loaded.map(|loaded| loaded.project) else {
            return Vec::new();
        };
        let graph = &project.graph;
        let target = |id| {
            let kind = kind_name(graph, id);
            let help = match &graph.target(id).description {
                Some(description) => format!("{kind}: {description}"),
                None => kind.to_string(),
            };
            (graph.name(id).to_string(), help)
        };
        let groups = graph.manifest().groups.iter();
        let groups = groups.map(|group| (group.name.value.clone(), "group".to_string()));
        graph.ids().map(target).chain(groups).collect()
    }

    /// Of the store, if there is one.
    fn images(&self) -> Vec<(String, String)> {
        let Some((global, environment)) = &self.project else {
            return Vec::new();
        };
        let exists = |path: std::path::PathBuf| path.is_dir();
        if !environment.store(global).is_ok_and(exists) {
            return Vec::new();
        }
        let Ok(store) = open_store(global, environment) else {
            return Vec::new();
        };
        let images = store.images().into_iter();
        images
            .map(|(name, _)| (name, "image".to_string()))
            .collect()
    }
}

/// Where the words before the last one lead.
struct Place<'c> {
    command: &'c Command,
    /// Whose value is typed.
    option: Option<&'c Arg>,
    positionals: usize,
    /// Behind `--`.
    is_argument: bool,
}

fn place<'c>(cli: &'c Command, before: &[String]) -> Place<'c> {
    let mut place = Place {
        command: cli,
        option: None,
        positionals: 0,
        is_argument: false,
    };
    for word in before {
        if place.is_argument || place.option.take().is_some() {
            continue;
        }
        match word.as_str() {
            "--" => place.is_argument = true,
            word if word.starts_with('-') && word.len() > 1 => {
                place.option = option(place.command, word)
                    .filter(|(_, takes)| *takes)
                    .map(|(arg, _)| arg);
            }
            word => match place.command.find_subcommand(word) {
                Some(command) if place.positionals == 0 => place.command = command,
                _ => place.positionals += 1,
            },
        }
    }
    place
}

/// The option of a word, and whether the next word is its value.
fn option<'c>(command: &'c Command, word: &str) -> Option<(&'c Arg, bool)> {
    let takes = |arg: &Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    if let Some(name) = word.strip_prefix("--") {
        let (name, has_value) = match name.split_once('=') {
            Some((name, _)) => (name, true),
            None => (name, false),
        };
        let mut all = command.get_arguments();
        let arg = all.find(|arg| {
            let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
            longs.contains(&name)
        })?;
        return Some((arg, takes(arg) && !has_value));
    }
    let mut letters = word.chars().skip(1).peekable();
    while let Some(letter) = letters.next() {
        let mut all = command.get_arguments();
        let arg = all.find(|arg| arg.get_short() == Some(letter))?;
        if arg.get_action().takes_values() {
            return Some((arg, takes(arg) && letters.peek().is_none()));
        }
        if letters.peek().is_none() {
            return Some((arg, false));
        }
    }
    None
}

fn proposed(cli: &Command, before: &[String], last: &str, names: &Names<'_>) -> Vec<Candidate> {
    let place = place(cli, before);
    if place.is_argument {
        return vec![Candidate::Files];
    }
    if let Some(option) = place.option {
        return starting(values(option, names), last);
    }
    if let Some((name, value)) = last.split_once('=')
        && let Some((option, _)) = option(place.command, name)
    {
        let with_name = |candidate| match candidate {
            Candidate::Word { value, help } => Candidate::Word {
                value: format!("{name}={value}"),
                help,
            },
            other => other,
        };
        return starting(values(option, names), value)
            .into_iter()
            .map(with_name)
            .collect();
    }
    if last.starts_with('-') {
        return starting(options(place.command), last);
    }
    let mut all = Vec::new();
    if place.positionals == 0 {
        let commands = place
            .command
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        all.extend(commands.map(|command| word(command.get_name(), command.get_about())));
    }
    all.extend(
        positional(&place)
            .map(|arg| values(arg, names))
            .unwrap_or_default(),
    );
    if place.command.get_name() == "build" {
        // With docker's flags.
        all.push(Candidate::Directories);
    }
    starting(all, last)
}

fn positional<'c>(place: &Place<'c>) -> Option<&'c Arg> {
    let mut all = place
        .command
        .get_positionals()
        .filter(|arg| !arg.is_last_set());
    let mut found = all.next()?;
    for _ in 0..place.positionals {
        if matches!(found.get_action(), clap::ArgAction::Append) {
            break;
        }
        found = all.next()?;
    }
    Some(found)
}

fn options(command: &Command) -> Vec<Candidate> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let longs = shown.filter_map(|arg| {
        let value = match arg.is_require_equals_set() && arg.get_num_args()?.min_values() > 0 {
            true => format!("--{}=", arg.get_long()?),
            false => format!("--{}", arg.get_long()?),
        };
        Some(word(&value, arg.get_help()))
    });
    longs.collect()
}

/// What an option or an argument takes.
fn values(arg: &Arg, names: &Names<'_>) -> Vec<Candidate> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let values = possible.iter().filter(|value| !value.is_hide_set());
        return values
            .map(|value| word(value.get_name(), value.get_help()))
            .collect();
    }
    let of = |names: Vec<(String, String)>| {
        let words = names
            .into_iter()
            .map(|(value, help)| Candidate::Word { value, help });
        words.collect::<Vec<_>>()
    };
    let name = arg.get_value_names().and_then(|names| names.first());
    match name.map_or("", |name| name.as_str()) {
        "TARGET" => of(names.targets()),
        "IMAGE" | "OTHER" => {
            let mut all = of(names.targets());
            all.extend(of(names.images()));
            all.push(Candidate::Files);
            all
        }
        "FILE" | "PATH" => vec![Candidate::Files],
        "DIR" => vec![Candidate::Directories],
        "COMMAND" => {
            let cli = Cli::command();
            let commands = cli
                .get_subcommands()
                .filter(|command| !command.is_hide_set());
            commands
                .map(|command| word(command.get_name(), command.get_about()))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn word(value: &str, help: Option<&clap::builder::StyledStr>) -> Candidate {
    let help = help.map(ToString::to_string).unwrap_or_default();
    Candidate::Word {
        value: value.to_string(),
        help: help.lines().next().unwrap_or_default().to_string(),
    }
}

/// Files begin as the shell sees fit.
fn starting(all: Vec<Candidate>, last: &str) -> Vec<Candidate> {
    let fits = |candidate: &Candidate| match candidate {
        Candidate::Word { value, .. } => value.starts_with(last),
        Candidate::Files | Candidate::Directories => true,
    };
    all.into_iter().filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<String> {
        let mut cli = Cli::command();
        cli.build();
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        let (last, before) = words.split_last().unwrap();
        let names = Names { project: None };
        let shown = |candidate| match candidate {
            Candidate::Word { value, .. } => value,
            Candidate::Files => "(files)".to_string(),
            Candidate::Directories => "(directories)".to_string(),
        };
        proposed(&cli, before, last, &names)
            .into_iter()
            .map(shown)
            .collect()
    }

    #[test]
    fn what_may_follow_depends_on_the_words_before() {
        for (line, expected) in [
            ("insp", &["inspect"][..]),
            ("-C dir insp", &["inspect"]),
            ("--progress pl", &["plain"]),
            ("--progress=pl", &["--progress=plain"]),
            ("plan --progress q", &["quiet"]),
            ("run --cache-t", &["--cache-to", "--cache-ttl"]),
            ("-f ", &["(files)"]),
            ("-C ", &["(directories)"]),
            ("-qf ", &["(files)"]),
            ("verify --key ", &["(files)"]),
            ("inspect ", &["(files)"]),
            ("man ", &["(directories)"]),
            ("db i", &["import"]),
            ("db import ", &["(files)"]),
            ("completions z", &["zsh"]),
            ("help ver", &["verify"]),
            ("test -- ", &["(files)"]),
            ("gc --keep ", &[]),
            ("run plan", &[]),
            ("build ", &["(directories)"]),
            ("login ", &[]),
            ("--attem", &[]),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
