//! A repository as kaniko clones it, with the `git` program: all branches and
//! its `.git`, unless the options say less.
//!
//! The login goes to git through its environment, bound to the repository's host,
//! so it is on no command line and in no configuration of the clone.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::event::Cancel;
use crate::plugin::kaniko::GitContext;

/// # Errors
/// There is no `git`, or it failed; its own words are part of the error.
pub fn clone(context: &GitContext, to: &Path, cancel: &Cancel) -> Result<()> {
    let git = Git {
        context,
        directory: to,
        cancel,
    };
    let wanted = Wanted::of(context);
    git.clone(&wanted)?;
    if let Some(name) = &wanted.fetched {
        git.fetch(name)?;
    }
    let commit = context.commit.as_deref();
    match (commit, &wanted.fetched) {
        (Some(commit), _) => {
            let is_there = git
                .run(&["cat-file", "-e", &format!("{commit}^{{commit}}")])
                .is_ok();
            if !is_there {
                git.fetch(commit)?;
            }
            git.run(&["checkout", "--quiet", "--detach", commit, "--"])?;
        }
        (None, Some(_)) => git.run(&["checkout", "--quiet", "--detach", "FETCH_HEAD", "--"])?,
        (None, None) => git.run(&["checkout", "--quiet"])?,
    }
    if context.recurse_submodules {
        git.run(&["submodule", "--quiet", "update", "--init", "--recursive"])?;
    }
    Ok(())
}

/// How the reference is had: some can be cloned by name, others are fetched afterwards.
struct Wanted {
    branch: Option<String>,
    fetched: Option<String>,
}

impl Wanted {
    fn of(context: &GitContext) -> Wanted {
        // A branch or tag of `--git` is what the clone stands on; a commit still moves it.
        let branch = context.branch.clone();
        let by_name = |name: &str| Wanted {
            branch: branch.clone().or_else(|| Some(name.to_string())),
            fetched: None,
        };
        match context.reference.as_deref() {
            None => Wanted {
                branch,
                fetched: None,
            },
            Some(name) if is_commit(name) => Wanted {
                branch,
                fetched: Some(name.to_string()),
            },
            Some(name) => match name.strip_prefix("refs/heads/") {
                Some(head) => by_name(head),
                None if name.starts_with("refs/") => Wanted {
                    branch,
                    fetched: Some(name.to_string()),
                },
                None => by_name(name),
            },
        }
    }
}

fn is_commit(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit())
}

struct Git<'a> {
    context: &'a GitContext,
    directory: &'a Path,
    cancel: &'a Cancel,
}

impl Git<'_> {
    fn clone(&self, wanted: &Wanted) -> Result<()> {
        let mut arguments = vec!["clone", "--quiet", "--no-checkout"];
        let depth = format!("--depth={}", self.context.depth);
        if self.context.depth > 0 {
            arguments.push(&depth);
            // git would take a depth for a wish for one branch.
            arguments.push("--no-single-branch");
        }
        if self.context.single_branch {
            arguments.push("--single-branch");
        }
        if let Some(branch) = &wanted.branch {
            arguments.extend(["--branch", branch]);
        }
        arguments.extend(["--", &self.context.url, "."]);
        self.run(&arguments)
    }

    fn fetch(&self, name: &str) -> Result<()> {
        let depth = format!("--depth={}", self.context.depth);
        let mut arguments = vec!["fetch", "--quiet"];
        if self.context.depth > 0 {
            arguments.push(&depth);
        }
        arguments.extend(["origin", name]);
        self.run(&arguments)
    }

    /// Runs git in the clone; a cancelled run ends it with all of its children.
    fn run(&self, arguments: &[&str]) -> Result<()> {
        let said = tempfile::tempfile().context("there is no place for git's messages")?;
        let mut child = self
            .command(arguments)
            .stderr(said.try_clone()?)
            .spawn()
            .context("cannot start `git`; install it, or fetch the sources first and give their directory")?;
        loop {
            if let Some(status) = child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("git {} failed: {}", arguments[0], last_words(said));
            }
            if let Err(cancelled) = self.cancel.check() {
                if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    // It may be gone already.
                    let _ = kill_process_group(group, Signal::TERM);
                }
                drop(child.wait());
                return Err(cancelled.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C");
        // The login goes another way; a surrounding repository is none of this one's business.
        for name in [
            "GIT_USERNAME",
            "GIT_PASSWORD",
            "GIT_TOKEN",
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
        ] {
            command.env_remove(name);
        }
        if self.context.skip_tls_verify {
            command.env("GIT_SSL_NO_VERIFY", "true");
        }
        if let Some((user, password)) = &self.context.login {
            let login = format!("{}:{}", user.0, password.0);
            let encoded = base64::engine::general_purpose::STANDARD.encode(login);
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env(
                    "GIT_CONFIG_KEY_0",
                    format!("http.{}.extraHeader", self.server()),
                )
                .env(
                    "GIT_CONFIG_VALUE_0",
                    format!("Authorization: Basic {encoded}"),
                );
        }
        command
    }

    /// `https://host:port/`.
    fn server(&self) -> String {
        let url = &self.context.url;
        let start = url.find("://").map_or(0, |at| at + 3);
        let end = url[start..].find('/').map_or(url.len(), |at| start + at);
        format!("{}/", &url[..end])
    }
}

/// The end of what git said, as one line.
fn last_words(mut said: File) -> String {
    use std::io::{Read, Seek, SeekFrom};
    const MOST: u64 = 2000;
    let length = said.metadata().map_or(0, |meta| meta.len());
    let mut bytes = Vec::new();
    drop(said.seek(SeekFrom::Start(length.saturating_sub(MOST))));
    drop(said.take(MOST).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    match lines.as_slice() {
        [] => "it said nothing".to_string(),
        lines => lines[lines.len().saturating_sub(4)..].join("; "),
    }
}
