//! The only reader of environment, terminal and clock: everything else gets
//! them as values.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{Global, Progress, When};
use crate::report::{Folding, Options, Style};
use crate::targets::jobserver::Parent;
use imgmake_guard::mac::VARIABLE;

/// Names the directory of logs, and asks for them in CI.
pub const LOGS: &str = "IMGMAKE_LOGS";

/// Facts about the surroundings of this process.
#[derive(Clone, Debug)]
pub struct Environment {
    pub variables: BTreeMap<String, String>,
    pub width: usize,
    stderr_is_terminal: bool,
    stdout_is_terminal: bool,
    pub stdin_is_terminal: bool,
    /// Not among the variables: nothing that we start is to have it.
    state_key: Option<String>,
    make: Make,
}

/// Whether make started this process.
#[derive(Clone, Debug)]
pub enum Make {
    Not,
    /// With its jobserver.
    Jobserver(Arc<Parent>),
    /// The recipe has no `+`.
    Unavailable,
}

impl Environment {
    pub fn read() -> Environment {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let mut variables: BTreeMap<String, String> =
            std::env::vars_os().filter_map(text).collect();
        variables.remove(VARIABLE);
        // Any bytes are a key.
        let hex = |bytes: std::ffi::OsString| hex::encode(bytes.as_encoded_bytes());
        let key = std::env::var_os(VARIABLE).map(|key| key.into_string().unwrap_or_else(hex));
        let makeflags = variables.get("MAKEFLAGS").map(|flags| Parent::of(flags));
        let make = match makeflags.flatten() {
            None => Make::Not,
            Some(Ok(parent)) => Make::Jobserver(Arc::new(parent)),
            Some(Err(_)) => Make::Unavailable,
        };
        let columns = variables.get("COLUMNS").and_then(|c| c.parse().ok());
        let (_, measured) = console::Term::stderr().size_checked().unwrap_or((24, 80));
        Environment {
            width: columns.unwrap_or(measured as usize).clamp(40, 400),
            variables,
            stderr_is_terminal: std::io::stderr().is_terminal(),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            state_key: key.filter(|key| !key.trim().is_empty()),
            make,
        }
    }

    /// Whether messages go to a terminal.
    pub fn has_terminal(&self) -> bool {
        self.stderr_is_terminal
    }

    pub fn make(&self) -> &Make {
        &self.make
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether diagnostics are colored: `--color`, then `NO_COLOR` and `CLICOLOR_FORCE`, then the terminal.
    pub fn color(&self, when: When) -> bool {
        match when {
            When::Always => true,
            When::Never => false,
            When::Auto if self.get("NO_COLOR").is_some() => false,
            When::Auto if self.get("CLICOLOR_FORCE").is_some_and(|v| v != "0") => true,
            When::Auto => self.stderr_is_terminal && self.get("TERM") != Some("dumb"),
        }
    }

    /// Whether results go to a terminal.
    pub fn prints_to_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Twelve digits of each: people at a terminal; programs get whole ones.
    pub fn shows_short_digests(&self) -> bool {
        self.stdout_is_terminal
    }

    pub fn report_options(&self, global: &Global) -> Options {
        let style = match (global.quiet, global.progress) {
            (true, _) | (_, Progress::Quiet) => Style::Quiet,
            (_, Progress::Json) => Style::Json,
            (_, Progress::Tty) => Style::Live,
            (_, Progress::Plain) => Style::Plain,
            (_, Progress::Auto) => {
                let live = self.stderr_is_terminal
                    && !global.timestamps
                    && self.get("CI").is_none()
                    && self.get("TERM") != Some("dumb");
                if live { Style::Live } else { Style::Plain }
            }
        };
        Options {
            style,
            color: self.color(global.color),
            width: self.width,
            annotations: self.is_github() && style != Style::Json,
            folding: self.folding(),
            short_digests: self.shows_short_digests(),
            keeps_logs: self.kept_logs().is_some(),
            verbose: global.verbose,
            timestamps: global.timestamps,
        }
    }

    /// A job of GitHub Actions.
    pub fn is_github(&self) -> bool {
        self.get("GITHUB_ACTIONS") == Some("true")
    }

    fn folding(&self) -> Folding {
        match self.get("GITLAB_CI") {
            _ if self.is_github() => Folding::Github,
            Some("true") => Folding::Gitlab,
            _ => Folding::None,
        }
    }

    /// `--store`, else `$XDG_CACHE_HOME/imgmake`, else `~/.cache/imgmake`.
    pub fn store(&self, global: &Global) -> Result<PathBuf, crate::exit::Exit> {
        let store = global.store.clone().or_else(|| self.usual_store());
        let store = store.ok_or_else(|| {
            crate::exit::Exit::usage("cannot choose a directory for the store: HOME is not set")
                .with_help("give a directory with `--store` or IMGMAKE_STORE")
        })?;
        if store.exists() && !store.is_dir() {
            let message = format!("the store `{}` is not a directory", store.display());
            return Err(crate::exit::Exit::usage(message)
                .with_help("`--store` or IMGMAKE_STORE names another one"));
        }
        Ok(store)
    }

    /// Where it is unless another is set.
    pub fn usual_store(&self) -> Option<PathBuf> {
        if let Some(cache) = self.get("XDG_CACHE_HOME") {
            return Some(PathBuf::from(cache).join("imgmake"));
        }
        let home = self.get("HOME")?;
        Some(PathBuf::from(home).join(".cache/imgmake"))
    }

    /// Where logs of runs are: `IMGMAKE_LOGS`, else `$XDG_STATE_HOME/imgmake`, else `~/.local/state/imgmake`.
    /// Never in the store, which CI systems keep and share between jobs.
    pub fn logs(&self) -> Option<PathBuf> {
        if let Some(named) = self.get(LOGS) {
            let named = PathBuf::from(named);
            return Some(std::path::absolute(&named).unwrap_or(named));
        }
        let state = self.get("XDG_STATE_HOME").map(PathBuf::from);
        // A relative one does not count, says the specification.
        let state = state.filter(|state| state.is_absolute());
        let of_home = || Some(PathBuf::from(self.get("HOME")?).join(".local/state"));
        Some(state.or_else(of_home)?.join("imgmake"))
    }

    /// The same where logs are written: not in CI, unless `IMGMAKE_LOGS` asks for them.
    pub fn kept_logs(&self) -> Option<PathBuf> {
        let is_wanted = self.get(LOGS).is_some() || self.get("CI").is_none();
        self.logs().filter(|_| is_wanted)
    }

    /// The text in IMGMAKE_STATE_KEY.
    pub fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    /// The same surroundings with other variables.
    pub fn with_variables(&self, variables: BTreeMap<String, String>) -> Environment {
        Environment {
            variables,
            ..self.clone()
        }
    }
}
