//! Docker's and Podman's own image stores, through the API on their sockets:
//! images go in as a stream, come out as a stream, nothing else is asked of them.
//!
//! Knows the API and sockets. Knows no store of ours, no manifest and no target:
//! whoever calls writes the archive.

mod socket;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use imgmake_event::Cancel;

/// Answers that are read whole.
const SMALL: u64 = 1 << 20;
/// What a daemon tells while it loads an image.
const LARGEST_PROGRESS: u64 = 64 << 20;

/// Which daemon is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Docker,
    Podman,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Docker => "docker",
            Kind::Podman => "podman",
        }
    }
}

pub struct Daemon {
    socket: PathBuf,
    agent: ureq::Agent,
}

/// Sockets where a daemon may listen, in the order in which its own tools look.
///
/// # Errors
/// The environment names one that is no Unix socket.
pub fn sockets(kind: Kind, environment: &BTreeMap<String, String>) -> Result<Vec<PathBuf>> {
    let variable = match kind {
        Kind::Docker => "DOCKER_HOST",
        Kind::Podman => "CONTAINER_HOST",
    };
    let set = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    if let Some(address) = set(variable) {
        let path = address.strip_prefix("unix://").with_context(|| {
            format!(
                "{variable}={address}: only a socket on this machine, `unix:///path`, is supported"
            )
        })?;
        return Ok(vec![PathBuf::from(path)]);
    }
    let runtime = set("XDG_RUNTIME_DIR").map(PathBuf::from);
    let beneath = |path: &str| runtime.iter().map(|r| r.join(path)).collect::<Vec<_>>();
    Ok(match kind {
        Kind::Docker => [
            vec![PathBuf::from("/var/run/docker.sock")],
            beneath("docker.sock"),
        ]
        .concat(),
        Kind::Podman => [
            beneath("podman/podman.sock"),
            vec![PathBuf::from("/run/podman/podman.sock")],
        ]
        .concat(),
    })
}

impl Daemon {
    /// The daemon whose socket is there; `None` when there is none.
    ///
    /// # Errors
    /// As [`sockets`].
    pub fn find(
        kind: Kind,
        environment: &BTreeMap<String, String>,
        cancel: &Cancel,
    ) -> Result<Option<Daemon>> {
        let found = sockets(kind, environment)?;
        let found = found.into_iter().find(|path| path.exists());
        Ok(found.map(|socket| Daemon::at(socket, cancel)))
    }

    /// As [`Daemon::find`], where a daemon must be.
    ///
    /// # Errors
    /// There is none; the text says where it was looked for.
    pub fn get(
        kind: Kind,
        environment: &BTreeMap<String, String>,
        cancel: &Cancel,
    ) -> Result<Daemon> {
        if let Some(daemon) = Daemon::find(kind, environment, cancel)? {
            return Ok(daemon);
        }
        let looked: Vec<String> = sockets(kind, environment)?
            .iter()
            .map(|path| format!("`{}`", path.display()))
            .collect();
        let looked = looked.join(" or ");
        match kind {
            Kind::Docker => bail!(
                "there is no Docker daemon: no socket at {looked}; start it, or name its socket in DOCKER_HOST=unix:///path"
            ),
            Kind::Podman => bail!(
                "Podman does not listen: no socket at {looked}; start `podman system service`, or name its socket in CONTAINER_HOST=unix:///path"
            ),
        }
    }

    pub fn at(socket: PathBuf, cancel: &Cancel) -> Daemon {
        Daemon {
            agent: socket::agent(socket.clone(), cancel),
            socket,
        }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Loads an archive that `write` produces while it is sent: nothing of it is kept here.
    ///
    /// # Errors
    /// Those of `write`; the daemon cannot be reached, or refuses the archive, in its own words.
    pub fn load(&self, write: impl FnOnce(&mut dyn Write) -> Result<()> + Send) -> Result<()> {
        let (reader, mut writer) = io::pipe().context("cannot make a pipe")?;
        let whole = AtomicBool::new(false);
        let (answer, written) = std::thread::scope(|scope| {
            let whole = &whole;
            let writing = scope.spawn(move || {
                let written = write(&mut writer);
                // Before the pipe closes: what follows its end must be known to be all.
                whole.store(written.is_ok(), Ordering::SeqCst);
                drop(writer);
                written
            });
            let mut body = Archive { reader, whole };
            let answer = self.post(&mut body);
            // A daemon that refused leaves the writer alone with a full pipe.
            drop(body);
            let written = writing
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (answer, written)
        });
        match (answer, written) {
            (Ok(()), written) => written,
            (Err(refused), Ok(())) => Err(refused),
            (Err(refused), Err(error)) => match is_closed_pipe(&error) {
                true => Err(refused),
                false => Err(error),
            },
        }
    }

    fn post(&self, body: &mut Archive) -> Result<()> {
        let answer = self
            .agent
            .post(url("images/load?quiet=1"))
            .header("Content-Type", "application/x-tar")
            .send(ureq::SendBody::from_reader(body))
            .map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_reader();
        if !(200..300).contains(&status) {
            bail!(
                "{} refuses the image: {}",
                self.name(),
                refusal(body, status)
            );
        }
        read_progress(body).with_context(|| format!("{} could not load the image", self.name()))
    }

    /// The id under which it knows an image; `None` when it does not.
    ///
    /// # Errors
    /// It cannot be reached, or fails.
    pub fn id(&self, name: &str) -> Result<Option<String>> {
        let answer = self.call(&format!("images/{name}/json"))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_reader();
        match status {
            200 => {
                let value: Value = serde_json::from_reader(body.take(SMALL))
                    .with_context(|| format!("{} answers what is not JSON", self.name()))?;
                let id = value["Id"].as_str().map(String::from);
                id.map(Some)
                    .with_context(|| format!("{} describes `{name}` without an id", self.name()))
            }
            404 => Ok(None),
            _ => bail!(
                "{} cannot say whether it has `{name}`: {}",
                self.name(),
                refusal(body, status)
            ),
        }
    }

    /// An image as a docker archive, written to `out`.
    ///
    /// # Errors
    /// It does not have it; it cannot be reached; it breaks off.
    pub fn save(&self, name: &str, out: &mut impl Write) -> Result<()> {
        let answer = self.call(&format!("images/{name}/get"))?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body().into_reader();
        if status != 200 {
            bail!(
                "{} does not give `{name}`: {}",
                self.name(),
                refusal(body, status)
            );
        }
        io::copy(&mut body, out)
            .with_context(|| format!("{} ended the transfer of `{name}` early", self.name()))?;
        Ok(())
    }

    fn call(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>> {
        let answer = self.agent.get(url(path)).call();
        answer.map_err(|error| self.unreachable(&error))
    }

    fn name(&self) -> String {
        format!("the daemon at `{}`", self.socket.display())
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        let why = match error {
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "this user may not connect to it (is the group `docker` missing?)".to_string()
                }
                io::ErrorKind::ConnectionRefused => "nothing listens there".to_string(),
                _ => error.to_string(),
            },
            other => other.to_string(),
        };
        anyhow!("{}: {why}", self.name())
    }
}

fn url(path: &str) -> String {
    // The host is for the protocol alone: the socket is what is connected to.
    format!("http://127.0.0.1/{path}")
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// The reading end of an archive under way; its end is one only if all was written.
struct Archive<'a> {
    reader: PipeReader,
    whole: &'a AtomicBool,
}

impl Read for Archive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.whole.load(Ordering::SeqCst) {
            return Err(io::Error::other(
                "the archive could not be written to its end",
            ));
        }
        Ok(count)
    }
}

/// The daemon's own words: `{"message": "…"}`, or Podman's `{"cause": …, "message": …}`.
fn refusal(body: impl Read, status: u16) -> String {
    let mut bytes = Vec::new();
    // What came before a broken connection still says something.
    drop(body.take(SMALL).read_to_end(&mut bytes));
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    match value["message"].as_str() {
        Some(message) => message.trim().to_string(),
        None => format!("it answers {status}"),
    }
}

/// The progress of a load: JSON values one after the other. An error among them is the outcome, whatever the
/// status said before.
fn read_progress(body: impl Read) -> Result<()> {
    let values =
        serde_json::Deserializer::from_reader(body.take(LARGEST_PROGRESS)).into_iter::<Value>();
    for value in values {
        let value = match value {
            Ok(value) => value,
            // Words that are no JSON: older versions end with a plain line.
            Err(error) if error.is_syntax() => return Ok(()),
            Err(error) => bail!("the transfer ended early: {error}"),
        };
        let error = value["errorDetail"]["message"]
            .as_str()
            .or(value["error"].as_str());
        if let Some(error) = error {
            bail!(error.trim().to_string());
        }
    }
    Ok(())
}
