//! Another program, run with its own process group, a time limit and an end:
//! when it is over, nothing of it is left.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::ScannerError;
use crate::event::Cancel;

/// Between two looks at a running program.
const BEAT: Duration = Duration::from_millis(20);
/// From being asked to end until being ended.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes that a report may have.
pub const LARGEST_REPORT: u64 = 512 << 20;
/// Of what a program said on stderr, the end that an error quotes.
const QUOTED: u64 = 2000;

pub struct Program<'a> {
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: BTreeMap<OsString, OsString>,
    pub directory: &'a Path,
    pub timeout: Option<Duration>,
}

/// A program that ended by itself.
pub struct Ended {
    pub status: ExitStatus,
    /// At its start.
    pub stdout: File,
    /// The last lines on stderr.
    pub said: String,
}

/// The program of a name in `PATH`.
pub fn find(name: &str, environment: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
    let path = environment.get(OsStr::new("PATH"))?;
    let candidates = std::env::split_paths(path).map(|directory| directory.join(name));
    candidates
        .filter(|p| p.is_absolute())
        .find(|p| fs::metadata(p).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
}

impl Program<'_> {
    pub fn run(&self, cancel: &Cancel) -> Result<Ended, ScannerError> {
        let failed = |e: std::io::Error| {
            ScannerError::Failed(format!("cannot run `{}`: {e}", self.path.display()))
        };
        let mut stdout = tempfile::tempfile().map_err(failed)?;
        let mut stderr = tempfile::tempfile().map_err(failed)?;
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.directory)
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().map_err(failed)?)
            .stderr(stderr.try_clone().map_err(failed)?)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let status = self.wait(child, &stdout, cancel)?;
        stdout.rewind().map_err(failed)?;
        let said = last_lines(&mut stderr).map_err(failed)?;
        Ok(Ended {
            status,
            stdout,
            said,
        })
    }

    fn wait(
        &self,
        child: Child,
        stdout: &File,
        cancel: &Cancel,
    ) -> Result<ExitStatus, ScannerError> {
        let started = Instant::now();
        let group = Group::of(child);
        while !group.has_ended() {
            if cancel.is_cancelled() {
                group.end();
                return Err(ScannerError::Cancelled(crate::event::Cancelled));
            }
            if let Some(limit) = self.timeout.filter(|limit| started.elapsed() >= *limit) {
                group.end();
                return Err(ScannerError::Failed(format!(
                    "`{}` took longer than {}",
                    self.name(),
                    duration(limit)
                )));
            }
            if stdout.metadata().is_ok_and(|m| m.len() > LARGEST_REPORT) {
                group.end();
                return Err(ScannerError::Failed(format!(
                    "`{}` wrote more than {} MiB",
                    self.name(),
                    LARGEST_REPORT >> 20
                )));
            }
            std::thread::sleep(BEAT);
        }
        group
            .end()
            .ok_or_else(|| ScannerError::Failed(format!("`{}` was lost", self.name())))
    }

    fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

fn duration(limit: Duration) -> String {
    if limit.subsec_nanos() == 0 {
        format!("{} s", limit.as_secs())
    } else {
        format!("{} ms", limit.as_millis())
    }
}

/// A program and everything that it started and that did not leave its group.
struct Group {
    leader: Child,
    id: Pid,
}

impl Group {
    fn of(leader: Child) -> Group {
        Group {
            id: Pid::from_child(&leader),
            leader,
        }
    }

    /// Looks without reaping: as long as the leader is not reaped, nobody else can
    /// get the group's number.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.id), options), Ok(None))
    }

    /// Ends what still runs, politely at first.
    fn end(mut self) -> Option<ExitStatus> {
        if !self.has_ended() {
            // A group that is gone already is fine, here and below.
            let _ = kill_process_group(self.id, Signal::TERM);
            let asked = Instant::now();
            while !self.has_ended() && asked.elapsed() < GRACE {
                std::thread::sleep(BEAT);
            }
        }
        let _ = kill_process_group(self.id, Signal::KILL);
        self.leader.wait().ok()
    }
}

fn last_lines(stderr: &mut File) -> std::io::Result<String> {
    let length = stderr.metadata()?.len();
    stderr.seek(SeekFrom::Start(length.saturating_sub(QUOTED)))?;
    let mut bytes = Vec::new();
    stderr.take(QUOTED).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    Ok(lines[lines.len().saturating_sub(5)..].join("; "))
}

/// How a program ended, and its last words.
pub fn describe(name: &str, ended: &Ended) -> String {
    let how = match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) => format!("`{name}` exited with {code}"),
        (None, Some(signal)) => format!("`{name}` was killed by signal {signal}"),
        (None, None) => format!("`{name}` ended in an unknown way"),
    };
    if ended.said.is_empty() {
        how
    } else {
        format!("{how}: {}", ended.said)
    }
}
