//! What a RUN executes: its command line and its heredocs put together.

use super::ast::{CommandLine, Heredoc, Run};

/// What a RUN executes, heredocs resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunCommand {
    Exec(Vec<String>),
    /// Goes to the SHELL in force as one argument.
    Shell(String),
    /// A lone heredoc starting with `#!`: BuildKit puts it at `/dev/pipes/NAME`, mode 0755, and runs it.
    Script {
        name: String,
        content: String,
    },
}

impl Run {
    /// A lone heredoc is the script; otherwise bodies are handed to the shell after its command line.
    pub fn executes(&self) -> RunCommand {
        match &self.command {
            CommandLine::Exec(arguments) => RunCommand::Exec(arguments.clone()),
            CommandLine::Shell(text) if self.heredocs.is_empty() => RunCommand::Shell(text.clone()),
            CommandLine::Shell(text) if Heredoc::from_word(text).is_some() => self.lone_heredoc(),
            CommandLine::Shell(text) => RunCommand::Shell(self.with_bodies(text)),
        }
    }

    fn lone_heredoc(&self) -> RunCommand {
        let content = self.heredocs[0].text();
        match content.starts_with("#!") {
            true => RunCommand::Script {
                name: self.heredocs[0].name.clone(),
                content,
            },
            false => RunCommand::Shell(content),
        }
    }

    fn with_bodies(&self, text: &str) -> String {
        let bodies = self.heredocs.iter();
        bodies.fold(text.to_owned(), |script, heredoc| {
            script + "\n" + &heredoc.content + &heredoc.name
        })
    }
}
