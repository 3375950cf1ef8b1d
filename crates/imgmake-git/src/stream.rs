//! The protocol over one connection in both directions: git's own port, or the
//! standard input and output of `ssh`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, kill_process_group};

use super::address::{Address, Place};
use super::error::{Cause as _, During as _};
use super::line::{Lines, plain, put};
use super::{Client, GitError, Result};
use imgmake_event::{CancelFd, Cancelled};
use imgmake_guard::offline;
use imgmake_guard::program::{Kind, Program, Started, group_of};
use imgmake_registry::connection;

const CONNECT: Duration = Duration::from_secs(30);
const DESCRIPTOR: &str = "cannot make a descriptor";

pub(super) struct Stream {
    pub(super) lines: Lines<Box<dyn Read>>,
    output: Box<dyn Write>,
    ssh: Option<Ssh>,
}

impl Stream {
    pub(super) fn open(client: &Client, address: &Address) -> Result<Stream> {
        match &address.place {
            Place::Daemon { host, port, path } => daemon(client, address, host, *port, path),
            Place::Ssh { host, port, path } => {
                forbidden(address)?;
                ssh(client, host, *port, path)
            }
            Place::Http(_) => unreachable!("HTTP has a link of its own"),
        }
    }

    pub(super) fn send(&mut self, request: &[u8]) -> Result<()> {
        let sent = self
            .output
            .write_all(request)
            .and_then(|()| self.output.flush());
        sent.map_err(|error| {
            self.explained(GitError::Disconnected {
                source: Some(error),
            })
        })
    }

    /// An error with the last messages of ssh.
    pub(super) fn explained(&mut self, error: GitError) -> GitError {
        let messages = self.ssh.as_mut().map(Ssh::last_messages);
        match messages.filter(|messages| !messages.is_empty()) {
            None => error,
            Some(messages) => error.while_doing(format!("ssh: {messages}")),
        }
    }
}

fn daemon(client: &Client, address: &Address, host: &str, port: u16, path: &str) -> Result<Stream> {
    let unreachable = |error: io::Error| match Cancelled::ended(&error) {
        true => GitError::Cancelled,
        false => GitError::Unreachable {
            repository: address.to_string(),
            source: error.into(),
            is_transient: false,
        },
    };
    forbidden(address)?;
    let places = (host, port).to_socket_addrs().map_err(unreachable)?;
    let places: Vec<_> = places.collect();
    let socket = connection::tcp(&places, CONNECT.min(client.patience), &client.cancel)
        .map_err(unreachable)?;
    let mut greeting = Vec::new();
    put(
        &mut greeting,
        &format!("git-upload-pack {path}\0host={host}\0\0version=2\0"),
    );
    let input = socket.try_clone().map(OwnedFd::from);
    let input = input.and_then(|input| Attentive::new(input, client));
    let input = input.during(DESCRIPTOR)?;
    let mut stream = Stream {
        lines: Lines::new(Box::new(input)),
        output: Box::new(socket),
        ssh: None,
    };
    stream.send(&greeting)?;
    Ok(stream)
}

/// # Errors
/// `--offline` is given.
fn forbidden(address: &Address) -> Result<()> {
    offline::check(address.host()).map_err(|error| GitError::Unreachable {
        repository: address.to_string(),
        source: error.into(),
        is_transient: false,
    })
}

/// A running `ssh`, ended with the conversation.
struct Ssh {
    child: Started,
    messages: File,
}

impl Ssh {
    fn last_messages(&mut self) -> String {
        const MOST: u64 = 1000;
        let length = self.messages.metadata().map_or(0, |meta| meta.len());
        let mut bytes = Vec::new();
        drop(
            self.messages
                .seek(SeekFrom::Start(length.saturating_sub(MOST))),
        );
        drop((&self.messages).take(MOST).read_to_end(&mut bytes));
        plain(&bytes)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(group_of) {
            // It has ended by itself in most cases.
            let _ = kill_process_group(group, Signal::TERM);
        }
        drop(self.child.wait());
    }
}

fn ssh(client: &Client, host: &str, port: Option<u16>, path: &str) -> Result<Stream> {
    let messages = tempfile::tempfile().during("cannot make a file for ssh's messages")?;
    let environment = &*client.environment;
    let program = match client.variable("GIT_SSH_COMMAND") {
        Some(written) => {
            let shell = Program::shell(Kind::Ssh, &format!("{written} \"$@\""), environment);
            shell.map(|shell| shell.configure(|command| command.arg("ssh")))
        }
        None => {
            let ssh = client.variable("GIT_SSH").unwrap_or("ssh");
            Program::new(Kind::Ssh, ssh, environment)
        }
    };
    let quoted = path.replace('\'', r"'\''");
    let stderr = messages.try_clone().during(DESCRIPTOR)?;
    let arranged = program.map(|program| {
        program.configure(|command| {
            // Nobody is there to answer a question.
            command.args(["-o", "BatchMode=yes", "-o", "SendEnv=GIT_PROTOCOL"]);
            if let Some(port) = port {
                command.args(["-p", &port.to_string()]);
            }
            command
                .arg(host)
                .arg(format!("git-upload-pack '{quoted}'"))
                .env("GIT_PROTOCOL", "version=2")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(stderr)
        })
    });
    let mut child = arranged
        .and_then(Program::spawn)
        .map_err(|source| GitError::Start {
            action: "cannot start `ssh`, which an address like `git@host:path` needs; install it, or write the repository as `https://…`",
            source,
        })?;
    let input = child.stdout.take().expect("its output is piped");
    let output = child.stdin.take().expect("its input is piped");
    let input = Attentive::new(input.into(), client).during(DESCRIPTOR)?;
    Ok(Stream {
        lines: Lines::new(Box::new(input)),
        output: Box::new(output),
        ssh: Some(Ssh { child, messages }),
    })
}

/// Reads that a cancellation ends, and a silence that lasts too long.
pub(super) struct Attentive {
    file: OwnedFd,
    cancel: CancelFd,
    patience: Duration,
}

impl Attentive {
    pub(super) fn new(file: OwnedFd, client: &Client) -> io::Result<Attentive> {
        Ok(Attentive {
            file,
            cancel: client.cancel.descriptor()?,
            patience: client.patience,
        })
    }
}

impl Read for Attentive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.cancel.wait_readable(&self.file, Some(self.patience))? {
            true => Ok(rustix::io::read(&self.file, buffer)?),
            false => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
