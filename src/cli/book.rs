//! The page about the command line is what clap knows: every command, every option, and a text for each.

use clap::{Arg, Command, CommandFactory};

use super::args::Cli;

const PAGE: &str = include_str!("../../book/src/commands.md");

/// What is not for people who read the page.
fn is_shown(argument: &Arg) -> bool {
    let id = argument.get_id().as_str();
    !argument.is_hide_set() && !matches!(id, "help" | "version")
}

/// Its options as they are typed: the long name, or the short one.
fn typed(argument: &Arg) -> Option<String> {
    let long = argument.get_long().map(|long| format!("--{long}"));
    long.or_else(|| argument.get_short().map(|short| format!("-{short}")))
}

/// The part of the page whose heading names the command, up to the next heading.
fn section<'p>(name: &str) -> Option<&'p str> {
    let named = |part: &&str| {
        let heading = part.lines().next().unwrap_or_default();
        heading
            .split('`')
            .skip(1)
            .step_by(2)
            .any(|word| word == name)
    };
    PAGE.split("\n## ").skip(1).find(named)
}

#[test]
fn every_command_and_option_is_in_the_book() {
    let mut cli = Cli::command();
    cli.build();
    let everywhere = PAGE
        .split("\n## ")
        .find(|part| part.starts_with("Options of every command"));
    let everywhere = everywhere.expect("the page has the options of every command");
    let mut missing = Vec::new();
    for command in cli.get_subcommands() {
        let name = command.get_name();
        // kaniko's flags and the plugins' variables have pages of their own.
        let Some(section) = section(name) else {
            if !matches!(name, "kaniko" | "plugin") {
                missing.push(format!("a section about `{name}`"));
            }
            continue;
        };
        for argument in command.get_arguments().filter(|a| is_shown(a)) {
            let Some(option) = typed(argument) else {
                continue;
            };
            let place = if argument.is_global_set() {
                everywhere
            } else {
                section
            };
            if !place.contains(&option) {
                missing.push(format!("`{name} {option}`"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "not in book/src/commands.md: {missing:#?}"
    );
}

#[test]
fn every_argument_has_a_text() {
    fn look(command: &Command, silent: &mut Vec<String>) {
        if command.get_about().is_none() {
            silent.push(command.get_name().to_string());
        }
        for argument in command.get_arguments().filter(|a| is_shown(a)) {
            if argument.get_help().is_none() {
                silent.push(format!("{} {}", command.get_name(), argument.get_id()));
            }
        }
        command
            .get_subcommands()
            .for_each(|inner| look(inner, silent));
    }
    let mut silent = Vec::new();
    look(&Cli::command(), &mut silent);
    assert!(silent.is_empty(), "{silent:?}");
}
