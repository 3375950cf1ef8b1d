//! The protocol over one connection in both directions: git's own port, or the
//! standard input and output of `ssh`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, kill_process_group};

use super::Client;
use super::address::{Address, Place};
use super::line::{Lines, plain, put};
use imgmake_event::Cancel;
use imgmake_guard::program::{Kind, Program, Started, group_of};
use imgmake_registry::connection;

const CONNECT: Duration = Duration::from_secs(30);
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

pub(super) struct Stream {
    pub(super) lines: Lines<Box<dyn Read>>,
    output: Box<dyn Write>,
    ssh: Option<Ssh>,
}

impl Stream {
    pub(super) fn open(client: &Client, address: &Address) -> Result<Stream> {
        match &address.place {
            Place::Daemon { host, port, path } => daemon(client, address, host, *port, path),
            Place::Ssh { host, port, path } => ssh(client, host, *port, path),
            Place::Http(_) => unreachable!("HTTP has a link of its own"),
        }
    }

    pub(super) fn send(&mut self, request: &[u8]) -> Result<()> {
        let sent = self
            .output
            .write_all(request)
            .and_then(|()| self.output.flush());
        sent.map_err(|error| self.explained(error.into()))
    }

    /// An error with what ssh said about it.
    pub(super) fn explained(&mut self, error: anyhow::Error) -> anyhow::Error {
        let said = self.ssh.as_mut().map(Ssh::last_words).unwrap_or_default();
        match said.is_empty() {
            true => error,
            false => error.context(format!("ssh said: {said}")),
        }
    }
}

fn daemon(client: &Client, address: &Address, host: &str, port: u16, path: &str) -> Result<Stream> {
    let unreachable = || format!("`{address}` cannot be reached");
    let places: Vec<_> = (host, port)
        .to_socket_addrs()
        .with_context(unreachable)?
        .collect();
    let socket = connection::tcp(&places, CONNECT.min(client.patience), &client.cancel)
        .with_context(unreachable)?;
    let mut greeting = Vec::new();
    put(
        &mut greeting,
        &format!("git-upload-pack {path}\0host={host}\0\0version=2\0"),
    );
    let input = Attentive::new(OwnedFd::from(socket.try_clone()?), client);
    let mut stream = Stream {
        lines: Lines::new(Box::new(input)),
        output: Box::new(socket),
        ssh: None,
    };
    stream.send(&greeting)?;
    Ok(stream)
}

/// A running `ssh`, ended with the conversation.
struct Ssh {
    child: Started,
    said: File,
}

impl Ssh {
    fn last_words(&mut self) -> String {
        const MOST: u64 = 1000;
        let length = self.said.metadata().map_or(0, |meta| meta.len());
        let mut bytes = Vec::new();
        drop(self.said.seek(SeekFrom::Start(length.saturating_sub(MOST))));
        drop((&self.said).take(MOST).read_to_end(&mut bytes));
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
    let said = tempfile::tempfile().context("there is no place for ssh's messages")?;
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
    let stderr = said.try_clone()?;
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
        .context("cannot start `ssh`, which an address like `git@host:path` needs; install it, or write the repository as `https://…`")?;
    let input = child.stdout.take().expect("its output is piped");
    let output = child.stdin.take().expect("its input is piped");
    Ok(Stream {
        lines: Lines::new(Box::new(Attentive::new(input.into(), client))),
        output: Box::new(output),
        ssh: Some(Ssh { child, said }),
    })
}

/// Reads that a cancellation ends, and a silence that lasts too long.
pub(super) struct Attentive {
    file: OwnedFd,
    cancel: Cancel,
    patience: Duration,
}

impl Attentive {
    pub(super) fn new(file: OwnedFd, client: &Client) -> Attentive {
        Attentive {
            file,
            cancel: client.cancel.clone(),
            patience: client.patience,
        }
    }
}

impl Read for Attentive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            self.cancel.check().map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&GLANCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(rustix::io::read(&self.file, buffer)?),
                Err(error) => return Err(error.into()),
            }
            if since.elapsed() >= self.patience {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the server does not answer",
                ));
            }
        }
    }
}
