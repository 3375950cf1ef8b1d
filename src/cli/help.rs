//! `help`: what `--help` of a command prints.

use clap::CommandFactory;

use super::args::Cli;
use super::environment::Environment;
use super::kaniko;
use super::output::print_exactly;
use crate::exit::Exit;
use imgmake_core::manifest::suggest;

pub fn help(path: &[String], environment: &Environment) -> Result<u8, Exit> {
    if path.first().is_some_and(|name| name == "kaniko") {
        return kaniko::kaniko(&["--help".to_string()], environment);
    }
    let mut command = Cli::command();
    // Options of every command are handed down to the others.
    command.build();
    let mut found = &mut command;
    for name in path {
        let known: Vec<String> = found
            .get_subcommands()
            .map(|c| c.get_name().into())
            .collect();
        found = match found.find_subcommand_mut(name) {
            Some(found) => found,
            None => {
                let exit = Exit::usage(format!("unknown command `{}`", path.join(" ")));
                let near = suggest::nearest(name, known.iter().map(String::as_str));
                return Err(match near {
                    Some(near) => exit.with_help(format!("did you mean `{near}`?")),
                    None => exit.with_help("`imgmake help` lists the commands"),
                });
            }
        };
    }
    print_exactly(&found.render_long_help().to_string())?;
    Ok(0)
}
