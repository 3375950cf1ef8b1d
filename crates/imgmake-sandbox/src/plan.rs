//! What one sandbox is to be, in full: it crosses a socket to the process that makes it.

use std::path::PathBuf;

use super::{IsolationMode, OverlayXattrs};

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    pub isolation: IsolationMode,
    pub root: Root,
    /// An empty directory for mount points, this plan's alone.
    pub scratch: PathBuf,
    /// Directories whose attributes the top layer hides by accident (it holds files
    /// below them but says nothing about them): path in the image and what is true.
    pub stubs: Vec<Stub>,
    /// Mounted in this order.
    pub mounts: Vec<Mount>,
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Absolute; made when it does not exist.
    pub workdir: String,
    /// As `USER` says it: empty, name, id, either with `:group`.
    pub user: String,
    pub stdin: Option<Vec<u8>>,
    /// The device of a terminal that the command talks to, instead of pipes.
    pub terminal: Option<PathBuf>,
    pub network: Network,
    pub hostname: String,
    /// All capabilities and no filter (`RUN --security=insecure`).
    pub insecure: bool,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Root {
    Overlay {
        /// Top first.
        lowers: Vec<PathBuf>,
        /// Takes what the command changes.
        upper: PathBuf,
        /// Empty, on the file system of `upper`.
        work: PathBuf,
        xattrs: OverlayXattrs,
    },
    /// A directory that belongs to this plan alone and is changed in place.
    Directory(PathBuf),
}

/// A directory with its attributes, taken from `like` (a host path).
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Stub {
    pub path: PathBuf,
    pub like: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Network {
    /// The host's.
    Host,
    /// An empty one with loopback alone.
    None,
    /// One of its own that reaches servers elsewhere and nothing of the host.
    Isolated,
}

impl Network {
    /// Whether it is a namespace of its own.
    pub fn is_own(self) -> bool {
        self != Network::Host
    }
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    /// In the image; links are followed inside it. Made when it does not exist,
    /// without a trace in the layer.
    pub target: PathBuf,
    pub kind: MountKind,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum MountKind {
    /// A file or directory of the host.
    Bind { source: PathBuf, readonly: bool },
    /// Size in bytes; `None` is the kernel's default, half of the memory.
    Tmpfs { size: Option<u64>, mode: u32 },
    /// Bytes that are only ever in memory.
    File(PlanFile),
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct PlanFile {
    pub bytes: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl std::fmt::Debug for PlanFile {
    /// Without the bytes: they may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlanFile")
            .field("bytes", &self.bytes.len())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
