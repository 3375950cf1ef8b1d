//! The program under test, run as root or as an ordinary user, with a home and a
//! store of its own.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the tests.
    Own,
    /// An ordinary user with subordinate ids.
    WithSubordinateIds,
    /// An ordinary user without.
    Plain,
}

impl User {
    fn name(self) -> Option<&'static str> {
        match self {
            User::Own => None,
            User::WithSubordinateIds => Some("imgmake-test"),
            User::Plain => Some("imgmake-plain"),
        }
    }
}

pub struct Imgmake {
    user: User,
    /// Program, home and store.
    directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Imgmake {
    pub fn new() -> Imgmake {
        Imgmake::run_by(User::Own)
    }

    pub fn run_by(user: User) -> Imgmake {
        let directory = super::temporary();
        // A copy: an ordinary user may not reach the build directory.
        let program = directory.path().join("imgmake");
        // By another process: a handle for writing that a test on another thread
        // inherits while it forks would make the program "busy".
        super::run(
            "cp",
            &[env!("CARGO_BIN_EXE_imgmake"), program.to_str().unwrap()],
        );
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let home = directory.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let made = Imgmake {
            user,
            directory,
            environment: Vec::new(),
        };
        made.give(&home);
        made
    }

    /// Sets a variable of its environment.
    pub fn with(mut self, name: &str, value: &str) -> Imgmake {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Hands a path, and what is in it, to the user who runs.
    pub fn give(&self, path: &Path) {
        if let Some(name) = self.user.name() {
            let id: u32 = super::run("id", &["-u", name]).trim().parse().unwrap();
            give_to(path, id);
        }
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub fn store(&self) -> PathBuf {
        self.home().join("store")
    }

    pub fn program(&self) -> PathBuf {
        self.directory.path().join("imgmake")
    }

    /// The command, ready to be given arguments.
    pub fn command(&self, directory: &Path) -> Command {
        let program = self.program();
        let mut command = match self.user.name() {
            None => Command::new(&program),
            Some(name) => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid", name, "--regid", name, "--init-groups", "--"])
                    .arg(&program);
                command
            }
        };
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.home())
            .env("IMGMAKE_STORE", self.store())
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .current_dir(directory)
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, directory: &Path, arguments: &[&str]) -> Ran {
        let output = self.command(directory).args(arguments).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs and expects success.
    pub fn ok(&self, directory: &Path, arguments: &[&str]) -> Ran {
        let ran = self.run(directory, arguments);
        assert_eq!(
            ran.code,
            0,
            "imgmake {} failed:\n{}{}",
            arguments.join(" "),
            ran.stdout,
            ran.stderr
        );
        ran
    }

    /// Runs and expects an exit code and a piece of what the user reads.
    pub fn refused(&self, directory: &Path, arguments: &[&str], code: i32, says: &[&str]) -> Ran {
        let ran = self.run(directory, arguments);
        assert_eq!(
            ran.code,
            code,
            "imgmake {}:\n{}{}",
            arguments.join(" "),
            ran.stdout,
            ran.stderr
        );
        for piece in says {
            assert!(
                ran.stderr.contains(piece),
                "`{piece}` is not in what the user reads:\n{}",
                ran.stderr
            );
        }
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        ran
    }
}

fn give_to(path: &Path, id: u32) {
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_to(&entry.unwrap().path(), id);
        }
        chown(path, Some(id), Some(id)).unwrap();
    } else {
        std::os::unix::fs::lchown(path, Some(id), Some(id)).unwrap();
    }
}
