//! The command line: reads arguments and surroundings, wires the parts together,
//! shows errors once, and ends with the right code.

mod advisory_origins;
mod args;
mod base_policy;
#[cfg(test)]
mod book;
mod build;
mod build_args;
mod cache;
mod candidates;
mod ci;
mod claims;
mod completions;
mod db;
mod demanded_gate;
mod diff;
mod doctor;
mod environment;
mod gc;
mod git_facts;
mod graph;
mod help;
mod image_source;
mod import;
mod importable;
mod imported;
mod init;
mod inspect;
mod jobs;
mod kaniko;
mod kinds;
mod lint;
mod list;
mod login;
mod logs;
mod man;
mod manifest_cache;
mod manifest_files;
mod output;
mod outside;
mod plan;
mod plan_json;
mod plan_rows;
mod plugin;
mod project;
mod project_copy;
mod report_file;
mod reproduce;
mod rmi;
mod run;
mod run_args;
mod shared_cache;
mod shell;
mod signals;
mod since;
mod source;
mod source_project;
mod step;
mod timing;
mod tips;
mod tokens;
mod tools;
mod trust;
mod update;
mod variables;
mod verify;
mod watch;
mod why;
mod word_order;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, ListFormat, PlanArgs, SourceCommand};
use environment::Environment;

use crate::exit::{self, Exit};
use crate::report::{Level, annotation};
use crate::targets::watchdog;

/// Everything that the program does.
pub fn main() -> ExitCode {
    watchdog::entry();
    let environment = Environment::read();
    if environment.has_terminal() {
        output::wrap_at(environment.width);
    }
    if environment.prints_to_terminal() {
        output::wrap_results_at(environment.width);
    }
    let argv: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let [_, first, words @ ..] = &argv[..]
        && first == candidates::ASK
    {
        return ended(candidates::candidates(words, &environment), &environment);
    }
    if let Some(entry) = plugin::called(&argv) {
        return ended(plugin::plugin(entry, &environment), &environment);
    }
    if let Some(arguments) = kaniko::called(&argv) {
        return ended(kaniko::kaniko(arguments, &environment), &environment);
    }
    let code = match Cli::try_parse_from(word_order::command_first(std::env::args_os())) {
        Ok(cli) => return ended(dispatch(cli, &environment), &environment),
        Err(error) => {
            let error = tips::improved(error);
            // Help and version come this way too, with 0.
            if error.use_stderr() {
                output::allow_colors(environment.color(args::When::Auto));
                output::tell(error.render().ansi().to_string().trim_end());
            } else {
                drop(error.print());
            }
            u8::try_from(error.exit_code()).unwrap_or(exit::USAGE)
        }
    };
    ExitCode::from(code)
}

/// Shows the error, if there is one left to show.
fn ended(result: Result<u8, Exit>, environment: &Environment) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|exit| {
        if !exit.text.is_empty() {
            output::tell(exit.text.trim_end());
            if environment.is_github() {
                annotate(&exit.text);
            }
        }
        exit.code
    }))
}

/// Each error of a text that people have read, where GitHub shows it.
fn annotate(text: &str) {
    let mut errors: Vec<String> = Vec::new();
    for line in text.lines() {
        match errors.last_mut() {
            Some(last) if !line.starts_with("error: ") => {
                last.push('\n');
                last.push_str(line);
            }
            _ => errors.push(line.to_string()),
        }
    }
    for error in errors.iter().filter(|error| error.starts_with("error: ")) {
        let text = annotation(Level::Error, "imgmake", error);
        // A closed reader is no error.
        drop(output::print_exactly(&format!("{text}\n")));
    }
}

/// The name of a command that works with no project, or changes its files.
fn without_source(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::Run(_)
        | Command::Build(_)
        | Command::Plan { since: None, .. }
        | Command::Why { .. }
        | Command::Check { .. }
        | Command::List { .. }
        | Command::Graph { .. }
        | Command::Lint(_)
        | Command::Inspect(_)
        | Command::Diff(_)
        | Command::Source {
            command: SourceCommand::Push { .. },
        } => return None,
        Command::Plan { .. } => "plan --since",
        Command::Watch(_) => "watch",
        Command::Ci(_) => "ci",
        Command::Reproduce(_) => "reproduce",
        Command::Logs(_) => "logs",
        Command::Update { .. } => "update",
        Command::Init => "init",
        Command::Import { .. } => "import",
        Command::Source { .. } => "source pull` or `source show",
        Command::Gc(_) => "gc",
        Command::Rmi { .. } => "rmi",
        Command::Cache { .. } => "cache",
        Command::Db { .. } => "db",
        Command::Verify(_) => "verify",
        Command::Login(_) => "login",
        Command::Logout { .. } => "logout",
        Command::Doctor => "doctor",
        Command::Completions { .. } => "completions",
        Command::Man { .. } => "man",
        Command::Kaniko { .. } => "kaniko",
        Command::Plugin { .. } => "plugin",
        Command::Help { .. } => "help",
    })
}

fn dispatch(cli: Cli, environment: &Environment) -> Result<u8, Exit> {
    let Cli {
        global,
        run,
        command,
    } = cli;
    output::allow_colors(environment.color(global.color));
    if global.source.is_some()
        && let Some(command) = command.as_ref().and_then(without_source)
    {
        return Err(Exit::usage(format!(
            "`--source` cannot be used with `{command}`"
        )));
    }
    match command {
        None => plan::or_run(&global, &run, environment),
        Some(Command::Run(run)) => plan::or_run(&global, &run, environment),
        Some(Command::Build(args)) => build::build(&global, &args, environment),
        Some(Command::Diff(args)) => diff::diff(&global, &args, environment),
        Some(Command::Plan {
            args,
            force,
            since,
            format,
        }) => match since {
            Some(since) => since::plan(&global, &args, &since, format, environment),
            None => plan::plan(&global, &args, force, format, environment),
        },
        Some(Command::Why {
            target,
            format,
            rehash,
            outside,
            network,
        }) => {
            let args = PlanArgs {
                targets: vec![target],
                rehash,
                outside,
                network,
                arguments: Vec::new(),
            };
            why::why(&global, &args, format, environment)
        }
        Some(Command::Update { names, format }) => {
            update::update(&global, &names, format, environment)
        }
        Some(Command::Check { args, format }) => plan::check(&global, &args, format, environment),
        Some(Command::List { format }) => list::list(&global, format, environment),
        Some(Command::Graph { format }) => graph::graph(&global, format, environment),
        Some(Command::Ci(args)) => ci::ci(&global, &args, environment),
        Some(Command::Watch(run)) => watch::watch(&global, &run, environment),
        Some(Command::Inspect(args)) => inspect::inspect(&global, &args, environment),
        Some(Command::Reproduce(args)) => reproduce::reproduce(&global, &args, environment),
        Some(Command::Logs(args)) => logs::logs(&global, &args, environment),
        Some(Command::Gc(args)) => gc::gc(&global, &args, environment),
        Some(Command::Rmi { images }) => rmi::rmi(&global, &images, environment),
        Some(Command::Cache { format, json }) => {
            let format = if json { ListFormat::Json } else { format };
            cache::usage(&global, format, environment)
        }
        Some(Command::Init) => init::init(&global),
        Some(Command::Import {
            bake_file,
            targets,
            merge,
        }) => import::import(&global, bake_file.as_deref(), &merge, &targets, environment),
        Some(Command::Doctor) => doctor::doctor(&global, environment),
        Some(Command::Lint(args)) => lint::lint(&global, &args, environment),
        Some(Command::Db { command }) => db::db(&command, &global, environment),
        Some(Command::Source { command }) => source::source(&command, &global, environment),
        Some(Command::Verify(args)) => verify::verify(&global, &args, environment),
        Some(Command::Login(args)) => login::login(&args, environment),
        Some(Command::Logout { registry }) => login::logout(&registry, environment),
        Some(Command::Completions { shell }) => completions::completions(shell),
        Some(Command::Man { directory }) => man::man(&directory),
        Some(Command::Help { command }) => help::help(&command, environment),
        Some(Command::Kaniko { arguments }) => kaniko::kaniko(&arguments, environment),
        Some(Command::Plugin { name }) => plugin::named(&name, environment),
    }
}
