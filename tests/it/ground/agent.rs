//! A real ssh agent with one key, for as long as a test runs.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::images::path;
use super::{run, temporary};

pub struct Agent {
    directory: tempfile::TempDir,
    process: Child,
}

impl Agent {
    pub fn start() -> Agent {
        let directory = temporary();
        let (socket, key) = (directory.path().join("agent"), directory.path().join("key"));
        let made = [
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "key-of-the-test",
            "-f",
            path(&key),
        ];
        run("ssh-keygen", &made);
        let process = Command::new("ssh-agent")
            .args(["-D", "-a", path(&socket)])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tests/run installs openssh-client");
        let agent = Agent { directory, process };
        let add = || {
            let mut command = Command::new("ssh-add");
            command.arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket);
            command.stderr(Stdio::null()).status().unwrap().success()
        };
        // It listens a moment after it was started.
        let mut tries = 0;
        while !add() {
            tries += 1;
            assert!(tries < 200, "the ssh agent does not take a key");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        agent
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("agent")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
