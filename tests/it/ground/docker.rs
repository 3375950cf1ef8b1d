//! Debian's Docker daemon, with everything of its own in a temporary directory,
//! and containers in which imgmake runs. Containers have the host's network, so
//! the daemon needs neither a bridge nor iptables.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::imgmake::Ran;
use super::{images, run};

/// The image in which imgmake runs.
pub const DEBIAN: &str = "debian";

pub struct Docker {
    socket: PathBuf,
    directory: PathBuf,
    /// Ends the daemon when this process closes the pipe or dies in any way.
    _guard: Child,
}

/// One daemon for all tests of the process.
pub fn docker() -> &'static Docker {
    static DOCKER: OnceLock<Docker> = OnceLock::new();
    DOCKER.get_or_init(|| {
        let docker = Docker::start();
        docker.import(DEBIAN, &images::layer_blob(&images::debian()));
        docker
    })
}

/// `$0` is the directory of everything.
const GUARD: &str = r#"
dockerd --iptables=false --ip6tables=false --bridge=none --data-root "$0/data" --exec-root "$0/exec" \
    --pidfile "$0/pid" --host "unix://$0/socket" >"$0/log" 2>&1 &
pid=$!
read -r _
kill $pid
wait $pid
umount "$0"/exec/netns/* 2>/dev/null
rm -rf "$0"
"#;

impl Docker {
    fn start() -> Docker {
        let directory = super::temporary().keep();
        let guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the tests; what they started is ended in order.
            .process_group(0)
            .spawn()
            .unwrap();
        let docker = Docker {
            socket: directory.join("socket"),
            directory,
            _guard: guard,
        };
        docker.wait_until_it_answers();
        docker
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn wait_until_it_answers(&self) {
        let begun = Instant::now();
        while !self
            .command(&["version"])
            .output()
            .unwrap()
            .status
            .success()
        {
            let log = || std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "dockerd does not answer; it says:\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The client, talking to this daemon.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command
            .arg("--host")
            .arg(format!("unix://{}", self.socket.display()))
            .args(arguments)
            .env("DOCKER_CONFIG", &self.directory)
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .stdin(Stdio::null());
        command
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        super::succeeded(&format!("docker {}", arguments.join(" ")), &output)
    }

    fn import(&self, name: &str, layer: &Path) {
        self.ok(&["import", images::path(layer), name]);
    }

    /// Runs a command in a container that has imgmake, `work` at `/work` and the
    /// host's network; `options` are `docker run`'s.
    pub fn run(&self, work: &Path, options: &[&str], command: &[&str]) -> Ran {
        let output = self
            .command(&run_arguments(&["--rm"], work, options, command))
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts one in the background; its id.
    pub fn start_container(&self, work: &Path, options: &[&str], command: &[&str]) -> String {
        let output = self
            .command(&run_arguments(&["--detach"], work, options, command))
            .output()
            .unwrap();
        let id = super::succeeded("docker run --detach", &output);
        id.trim().to_string()
    }
}

fn run_arguments<'a>(
    how: &[&'a str],
    work: &Path,
    options: &[&'a str],
    command: &[&'a str],
) -> Vec<&'a str> {
    let work: &'static str = format!("{}:/work", work.display()).leak();
    let mut arguments = vec!["run", "--network", "host", "--workdir", "/work"];
    arguments.extend([
        "--env",
        "HOME=/work/home",
        "--env",
        "IMGMAKE_STORE=/work/store",
    ]);
    arguments.extend(["--volume", work]);
    arguments.extend(how);
    for volume in program_volumes() {
        arguments.extend(["--volume", volume]);
    }
    arguments.extend(options);
    arguments.push(DEBIAN);
    arguments.extend(command);
    arguments
}

/// The program and the libraries that it was linked with: the container's own may be older.
fn program_volumes() -> &'static [String] {
    static VOLUMES: OnceLock<Vec<String>> = OnceLock::new();
    VOLUMES.get_or_init(|| {
        let program = env!("CARGO_BIN_EXE_imgmake");
        let mut volumes = vec![format!("{program}:/usr/local/bin/imgmake:ro")];
        for line in run("ldd", &[program]).lines() {
            let path = line.split_whitespace().find(|word| word.starts_with('/'));
            if let Some(path) = path {
                volumes.push(format!("{path}:{path}:ro"));
            }
        }
        volumes
    })
}
