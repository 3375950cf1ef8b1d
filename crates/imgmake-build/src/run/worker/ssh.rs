//! The agent's socket in a step: a socket of ours, with the owner and mode that the
//! step asks for, whose connections go on to the host's.

use crate::error::{Context, Result};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

/// Forwards for as long as it lives.
pub(super) struct Agent {
    path: PathBuf,
    listener: UnixListener,
}

impl Agent {
    pub(super) fn forward(
        directory: &Path,
        name: &str,
        host: &str,
        (mode, uid, gid): (u32, u32, u32),
    ) -> Result<Agent> {
        UnixStream::connect(host)
            .with_context(|| format!("cannot reach the ssh agent at `{host}`"))?;
        let path = directory.join(name);
        let listener = at_short_name(&path, |short| UnixListener::bind(short))
            .context("cannot make a socket for the agent")?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))?;
        if (uid, gid) != (0, 0) {
            chown(&path, Some(uid), Some(gid))
                .with_context(|| format!("cannot give the agent's socket to {uid}:{gid}"))?;
        }
        let (host, accepting) = (host.to_string(), listener.try_clone()?);
        thread::spawn(move || accept(&accepting, &host));
        Ok(Agent { path, listener })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Wakes the thread that accepts. Not by a connection: the path is one that the
        // command could put something else at.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}

/// A socket's address is short, and the store's path need not be.
fn at_short_name<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let opened = std::fs::File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    act(&short.join(name))
}

fn accept(listener: &UnixListener, host: &str) {
    for client in listener.incoming() {
        let Ok(client) = client else {
            return;
        };
        let Ok(agent) = UnixStream::connect(host) else {
            continue;
        };
        let (Ok(from_client), Ok(to_client)) = (client.try_clone(), agent.try_clone()) else {
            continue;
        };
        thread::spawn(move || pass(from_client, agent));
        thread::spawn(move || pass(to_client, client));
    }
}

fn pass(mut from: UnixStream, mut to: UnixStream) {
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}
