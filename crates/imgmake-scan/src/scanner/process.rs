//! Another program, run with its own process group, a time limit and an end:
//! when it is over, nothing of it is left.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use serde::de::DeserializeOwned;

use super::spelling;
use crate::error::{ProgramFailure, Result, ScanError};
use imgmake_event::Cancel;
use imgmake_guard::program::{Program, StartError, Started, may_be_stopped};
use imgmake_oci::image::Unrepeated;

/// Between two looks at a running program.
const BEAT: Duration = Duration::from_millis(20);
/// From being asked to end until being ended.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes that a report may have.
pub const LARGEST_REPORT: u64 = 512 << 20;
/// Bytes of the end of stderr that an error quotes.
const QUOTED: u64 = 2000;

/// A program that ended by itself.
pub struct Ended {
    pub status: ExitStatus,
    /// At its start.
    pub stdout: File,
    /// Of stderr.
    pub last_lines: String,
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started, takes longer than `timeout`, writes too much, or the run is cancelled.
pub fn run(
    name: &str,
    program: Result<Program, StartError>,
    timeout: Option<Duration>,
    cancel: &Cancel,
) -> Result<Ended> {
    let failed =
        |e: std::io::Error| ScanError::program(name, ProgramFailure::NotStarted(Box::new(e)));
    let refused = |e: StartError| ScanError::Other(Box::new(e));
    let mut stdout = tempfile::tempfile().map_err(failed)?;
    let mut stderr = tempfile::tempfile().map_err(failed)?;
    let outputs = (
        stdout.try_clone().map_err(failed)?,
        stderr.try_clone().map_err(failed)?,
    );
    let program = program.map_err(refused)?;
    let program = program.configure(|command| command.stdout(outputs.0).stderr(outputs.1));
    let running = Running {
        name,
        timeout,
        cancel,
    };
    let status = running.wait(program.spawn().map_err(refused)?, &stdout)?;
    if may_be_stopped(status) && cancel.explains_an_end() {
        return Err(imgmake_event::Cancelled.into());
    }
    stdout.rewind().map_err(failed)?;
    Ok(Ended {
        status,
        stdout,
        last_lines: last_lines(&mut stderr).map_err(failed)?,
    })
}

struct Running<'a> {
    name: &'a str,
    timeout: Option<Duration>,
    cancel: &'a Cancel,
}

impl Running<'_> {
    fn wait(&self, child: Started, stdout: &File) -> Result<ExitStatus> {
        let started = Instant::now();
        let group = Group::of(child);
        while !group.has_ended() {
            if self.cancel.is_cancelled() {
                group.end();
                return Err(imgmake_event::Cancelled.into());
            }
            if let Some(limit) = self.timeout.filter(|limit| started.elapsed() >= *limit) {
                group.end();
                return Err(ScanError::program(
                    self.name,
                    ProgramFailure::TimedOut(limit),
                ));
            }
            if stdout.metadata().is_ok_and(|m| m.len() > LARGEST_REPORT) {
                group.end();
                let failure = ProgramFailure::TooMuchOutput(LARGEST_REPORT);
                return Err(ScanError::program(self.name, failure));
            }
            std::thread::sleep(BEAT);
        }
        group
            .end()
            .ok_or_else(|| ScanError::program(self.name, ProgramFailure::Lost))
    }
}

/// A program and everything that it started and that did not leave its group.
struct Group {
    leader: Started,
    id: Pid,
}

impl Group {
    fn of(leader: Started) -> Group {
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
pub fn describe(ended: &Ended) -> String {
    let how = match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_string(),
    };
    match ended.last_lines.as_str() {
        "" => how,
        lines => format!("{how}: {lines}"),
    }
}

/// A report, with what it should have been in the error. A byte order mark before it is
/// skipped: programs of other systems write one.
pub fn json<T: DeserializeOwned>(report: File, name: &str) -> Result<T> {
    let mut reader = BufReader::new(report.take(LARGEST_REPORT));
    if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let read = serde_json::from_reader(reader).and_then(|Unrepeated(value)| {
        spelling::check(&value)?;
        serde_json::from_value(value)
    });
    read.map_err(|error: serde_json::Error| {
        let failure = match error.is_eof() && error.column() == 0 {
            true => ProgramFailure::NoReport,
            false => invalid_report(error.to_string()),
        };
        ScanError::program(name, failure)
    })
}

pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub fn invalid_report(why: impl Into<String>) -> ProgramFailure {
    ProgramFailure::InvalidReport {
        why: why.into(),
        ended: None,
    }
}
