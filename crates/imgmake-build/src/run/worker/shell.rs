//! `--shell-on-fail`: a shell in the root of the step that failed. Whoever owns the
//! terminal implements [`Terminals`]; the helper knows only the device.

use std::path::{Path, PathBuf};

/// Of whoever owns the terminal.
pub type TerminalError = Box<dyn std::error::Error + Send + Sync>;

/// Gives out terminals, one for each step that may fail.
pub trait Terminals: Send + Sync {
    /// # Errors
    /// There is none to be had.
    fn open(&self) -> Result<Box<dyn Terminal>, TerminalError>;
}

/// Closed when dropped: what a person sees is as before then.
pub trait Terminal {
    /// The device that the shell opens.
    fn device(&self) -> &Path;
    /// `TERM` and the like, where the step does not set them.
    fn environment(&self) -> Vec<(String, String)>;
    /// Connects the person; `exit` is what the command failed with.
    ///
    /// # Errors
    /// The terminal cannot be set up.
    fn begin(&mut self, exit: i32) -> Result<(), TerminalError>;
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct ShellRequest {
    pub terminal: PathBuf,
    pub environment: Vec<(String, String)>,
}

/// The shell that the step itself ran in, if it was one.
pub(super) fn shell_of(argv: &[String]) -> Vec<String> {
    let program = argv.first().map_or("", String::as_str);
    let name = program.rsplit('/').next().unwrap_or_default();
    match ["sh", "ash", "bash", "dash", "ksh", "zsh", "fish"].contains(&name) {
        true => vec![program.to_string()],
        false => vec!["/bin/sh".to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_the_steps_own() {
        let shell =
            |argv: &[&str]| shell_of(&argv.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(shell(&["/bin/bash", "-c", "x"]), ["/bin/bash"]);
        assert_eq!(shell(&["make", "all"]), ["/bin/sh"]);
        assert_eq!(shell(&[]), ["/bin/sh"]);
    }
}
