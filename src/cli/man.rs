//! `man`: the manual pages, made from what `--help` knows.

use std::path::Path;

use clap::CommandFactory;

use super::args::Cli;
use super::output::print;
use crate::exit::{self, Exit};

pub fn man(directory: &Path) -> Result<u8, Exit> {
    let cannot = |error: std::io::Error| {
        let message = format!(
            "cannot write manual pages into `{}`: {error}",
            directory.display()
        );
        Exit::error(exit::FAILED, message)
    };
    std::fs::create_dir_all(directory).map_err(cannot)?;
    clap_mangen::generate_to(explained(Cli::command()), directory).map_err(cannot)?;
    print(&format!(
        "wrote the manual pages into {0}; `man {0}/imgmake.1` shows the first\n",
        directory.display()
    ))?;
    Ok(0)
}

/// Options that short help leaves out have their text too, which clap_mangen shows as long help alone.
fn explained(command: clap::Command) -> clap::Command {
    let with_text = |argument: clap::Arg| match (argument.get_help(), argument.get_long_help()) {
        (Some(help), None) => {
            let help = help.clone();
            argument.long_help(help)
        }
        _ => argument,
    };
    command.mut_args(with_text).mut_subcommands(explained)
}
