//! Podman's service on a socket of its own, with storage of its own.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Podman {
    directory: tempfile::TempDir,
    guard: Child,
}

/// `$0` is the directory of everything.
const GUARD: &str = r#"
podman --root "$0/root" --runroot "$0/run" --storage-driver vfs system service --time=0 "unix://$0/socket" \
    >"$0/log" 2>&1 &
pid=$!
read -r _
kill $pid
wait $pid
"#;

impl Podman {
    pub fn start() -> Podman {
        let directory = super::temporary();
        let guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let podman = Podman { directory, guard };
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(podman.socket()).is_err() {
            let log = std::fs::read_to_string(podman.directory.path().join("log"));
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "podman does not listen; it says:\n{}",
                log.unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        podman
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let at = |name: &str| super::images::path(&self.directory.path().join(name)).to_string();
        let (root, run) = (at("root"), at("run"));
        let own = [
            "--root",
            &root,
            "--runroot",
            &run,
            "--storage-driver",
            "vfs",
        ];
        super::run("podman", &[&own[..], arguments].concat())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}
