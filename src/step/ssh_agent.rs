//! An ssh agent for one step that was given a private key. The key goes to
//! `ssh-add` through a pipe and is in no file, no argument and no message.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use imgmake_guard::program::{Kind, Program, Started};

/// The agent, ended when this is dropped, and also when this process dies: its
/// shell then reads the end of the pipe.
pub(super) struct SshAgent {
    pub socket: PathBuf,
    guard: Started,
    _directory: tempfile::TempDir,
}

const GUARD: &str =
    r#"ssh-agent -D -a "$0" >/dev/null 2>&1 & pid=$!; read -r _; kill $pid; wait $pid"#;
const LONGEST_START: Duration = Duration::from_secs(10);

impl SshAgent {
    /// # Errors
    /// The programs are missing, or cannot read the key.
    pub(super) fn start(key: &str, variables: &BTreeMap<String, String>) -> Result<SshAgent> {
        let is_there = |name| Program::new(Kind::SshAgent, name, variables).is_ok();
        if !is_there("ssh-agent") || !is_there("ssh-add") {
            bail!("`ssh-agent` not found; install the package openssh-client");
        }
        // Not in the store: a socket's path may have 107 bytes.
        let directory = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .tempdir()
            .context("cannot create a directory for the ssh agent")?;
        let socket = directory.path().join("agent");
        let guard = Program::shell(Kind::SshAgent, GUARD, variables)?.configure(|command| {
            command
                .arg(&socket)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
        });
        let guard = guard
            .spawn()
            .context("cannot start a shell for the ssh agent")?;
        let mut agent = SshAgent {
            socket,
            guard,
            _directory: directory,
        };
        agent.wait()?;
        agent.add(key, variables)?;
        Ok(agent)
    }

    fn wait(&mut self) -> Result<()> {
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&self.socket).is_err() {
            if begun.elapsed() > LONGEST_START {
                bail!(
                    "`ssh-agent` did not start within {} s",
                    LONGEST_START.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn add(&self, key: &str, variables: &BTreeMap<String, String>) -> Result<()> {
        let adding = Program::new(Kind::SshAgent, "ssh-add", variables)?;
        let adding = adding.configure(|command| {
            command
                .args(["-q", "-"])
                .env("SSH_AUTH_SOCK", &self.socket)
                // A key with a passphrase fails rather than asks.
                .env("SSH_ASKPASS", "/bin/false")
                .env("SSH_ASKPASS_REQUIRE", "force")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
        });
        let mut adding = adding
            .spawn()
            .context("cannot start `ssh-add`; is the package openssh-client installed?")?;
        let mut pipe = adding.stdin.take().context("`ssh-add` has no input")?;
        // Keys that went through a CI platform have lost their last newline, or gained returns.
        let text = format!("{}\n", key.replace("\r\n", "\n").trim_end());
        let sent = pipe.write_all(text.as_bytes());
        drop(pipe);
        let ended = adding.output().context("`ssh-add` was lost")?;
        if !ended.status.success() || sent.is_err() {
            bail!(
                "`ssh-add` cannot read the key: it must be a whole private key without a passphrase"
            );
        }
        Ok(())
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // It has nothing else to do than to end the agent.
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn variables() -> BTreeMap<String, String> {
        let path = std::env::var("PATH").expect("tests have a PATH");
        BTreeMap::from([("PATH".to_string(), path)])
    }

    fn listed(socket: &std::path::Path) -> String {
        let output = Command::new("ssh-add")
            .arg("-l")
            .env("SSH_AUTH_SOCK", socket)
            .output();
        let output = output.expect("tests/run installs openssh-client");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    #[test]
    #[ignore = "needs ssh-agent: tests/run runs it"]
    fn the_agent_has_the_key_and_ends_with_the_step() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "of the step", "-f"])
            .arg(&file)
            .status();
        assert!(status.unwrap().success());
        let key = std::fs::read_to_string(&file).unwrap();
        // As platforms hand it over.
        let agent = SshAgent::start(&key.trim_end().replace('\n', "\r\n"), &variables()).unwrap();
        let socket = agent.socket.clone();
        assert!(listed(&socket).contains("ED25519"), "{}", listed(&socket));
        drop(agent);
        assert!(!socket.exists());
        assert!(!listed(&socket).contains("ED25519"));
    }

    #[test]
    #[ignore = "needs ssh-agent: tests/run runs it"]
    fn an_invalid_key_is_refused_and_not_printed() {
        let error = SshAgent::start("hunter2", &variables()).err().unwrap();
        let text = format!("{error:#}");
        assert!(
            text.contains("cannot read the key") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
