//! `completions`: for the shells that clap knows.

use clap::CommandFactory;

use super::args::Cli;
use super::exit::Exit;
use super::output::print;

pub fn completions(shell: clap_complete::Shell) -> Result<u8, Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "imgmake", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
