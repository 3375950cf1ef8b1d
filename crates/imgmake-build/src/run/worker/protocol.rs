//! What parent and helper say to each other: frames of a length (four bytes, little
//! end first) and postcard.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::request::RunRequest;
use super::shell::ShellRequest;
use crate::error::{BuildError, Context, Result};
use crate::rootfs::{Blob, Indexing};
use imgmake_oci::layer::Layer;
use imgmake_oci::store::{Damaged, FoundAgain};
use imgmake_sandbox::{IsolationMode, Limit};

/// A re-executed imgmake with this name is a helper; its socket is descriptor 0.
pub(super) const ARGV0: &str = "imgmake-worker";
/// The same, after it has entered its namespaces.
pub(super) const ARGV0_INSIDE: &str = "imgmake-worker-inside";

/// The first frame, from the parent.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Hello {
    pub store: PathBuf,
    pub isolation: IsolationMode,
    /// Names the trees that are of use under this isolation mode's ids.
    pub id_map: String,
    pub parent: u32,
    /// Of a store that others write too; its key is asked for.
    pub shared: Option<FoundAgain>,
}

/// The helper's answers, until it is ready.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Start {
    /// It has a user namespace; the parent applies the id maps and answers with an empty frame.
    NeedsIds,
    /// Of the store's records; the parent answers with it. A command line shows what it holds.
    NeedsKey,
    Ready,
    Refused(String),
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Asked {
    pub id: u64,
    pub request: Request,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Request {
    Run {
        request: Box<RunRequest>,
        /// What opens in the step's root when the command fails.
        shell: Option<ShellRequest>,
    },
    Delete(Vec<PathBuf>),
    /// A later RUN is going to need this layer.
    Unpack {
        layer: Box<Layer>,
        blob: Blob,
        indexing: Indexing,
    },
    /// Whether overlay works on the store's file system.
    Overlay,
    /// The request of this id is no longer wanted.
    Cancel,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Answered {
    pub id: u64,
    pub answer: Answer,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Answer {
    Line {
        stderr: bool,
        line: Vec<u8>,
    },
    /// The command failed with this code; a shell opens on the terminal now.
    Shell {
        exit: i32,
    },
    Ran {
        exit: i32,
        layer: Option<Box<Layer>>,
    },
    Deleted,
    Unpacked,
    Overlay(Result<(), String>),
    /// A RUN was killed: it went beyond a limit.
    Exceeded(Limit),
    Failed {
        message: String,
        /// For want of room on the disk.
        is_storage_full: bool,
        /// Of the store, found meanwhile.
        damaged: Vec<Damaged>,
    },
    Cancelled,
}

const MAX_FRAME: usize = 1 << 30;

pub(super) fn send(out: &mut impl Write, message: &impl Serialize) -> Result<()> {
    let mut frame = vec![0; 4];
    frame = postcard::to_extend(message, frame).context("a message cannot be written")?;
    let length = frame.len() - 4;
    if length > MAX_FRAME {
        return Err(too_long(length));
    }
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    out.write_all(&frame)?;
    Ok(())
}

/// `None` at the end of the stream.
pub(super) fn receive<T: DeserializeOwned>(input: &mut impl Read) -> Result<Option<T>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(too_long(length));
    }
    let mut frame = vec![0; length];
    input.read_exact(&mut frame)?;
    Ok(Some(
        postcard::from_bytes(&frame).context("a message cannot be read")?,
    ))
}

fn too_long(length: usize) -> BuildError {
    BuildError::limit(format!("a message of {length} bytes"), MAX_FRAME, "")
}
