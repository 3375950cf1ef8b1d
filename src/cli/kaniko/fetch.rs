//! A context becomes a directory. What is fetched lies among the store's
//! temporary files: it goes when the process ends, or with a later run's sweep.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Stdin};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{git, http};
use crate::event::Cancel;
use crate::plugin::kaniko::Context;
use crate::rootfs::unpack_archive;
use crate::store::Store;

pub struct Root {
    pub path: PathBuf,
    /// Whether it was made here, from what somebody else wrote.
    pub fetched: bool,
}

/// # Errors
/// It cannot be had; the caller says which context it was.
pub fn context(context: &Context, store: &Store, repositories: &git::Repositories) -> Result<Root> {
    let cancel = &repositories.client.cancel;
    if let Context::Directory(path) = context {
        return Ok(Root {
            path: PathBuf::from(path),
            fetched: false,
        });
    }
    let path = store.temporary_dir()?;
    match context {
        Context::Directory(_) => unreachable!("a directory is not fetched"),
        Context::Tar(archive) => {
            let file = File::open(archive).context("cannot open the archive")?;
            unpack_archive(file, &path, cancel)?;
        }
        Context::StandardInput => {
            let input = std::io::stdin();
            if input.is_terminal() {
                bail!(
                    "there is no archive on standard input, but a terminal; pipe one in, and with docker or kubectl give `-i`"
                );
            }
            unpack_archive(Attentive { input, cancel }, &path, cancel)?;
        }
        Context::Git(git) => git::clone(git, &path, repositories)?,
        Context::Https(address) => {
            let archive = store.temporary_dir()?.join("context");
            http::download(&address.0, &archive, cancel)?;
            unpack_archive(File::open(&archive)?, &path, cancel)?;
            drop(std::fs::remove_file(archive));
        }
    }
    Ok(Root {
        path,
        fetched: true,
    })
}

/// Standard input that a signal can interrupt: a pipe may stay silent for ever.
struct Attentive<'a> {
    input: Stdin,
    cancel: &'a Cancel,
}

impl Read for Attentive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const PAUSE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        loop {
            self.cancel.check().map_err(io::Error::other)?;
            let ready = poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&PAUSE));
            match ready {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(rustix::io::read(&self.input, buffer)?),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
