//! A RUN, an unpacking, a merge as the helper process is asked for them; `protocol` has them all.

use imgmake_oci::layer::{Compression, Layer};
use imgmake_sandbox::Limits;

use crate::request::Resolver;

/// What a RUN needs; all values final (expanded), user names unresolved.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct RunRequest {
    /// Bottom first. Their blobs are in the store (the caller pulls them before).
    pub layers: Vec<Layer>,
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub workdir: String,
    /// `USER` as written: name, uid, `u:g`; empty is root.
    pub user: String,
    pub stdin: Option<Vec<u8>>,
    /// Files put into the sandbox for this step alone and never in the layer (heredoc scripts): path, bytes, mode.
    pub files: Vec<(String, Vec<u8>, u32)>,
    pub mounts: Vec<RunMount>,
    /// Of the cache mounts.
    pub cache_scope: CacheScope,
    pub network: Network,
    pub limits: Limits,
    pub insecure: bool,
    pub hostname: String,
    pub add_hosts: Vec<(String, String)>,
    pub resolver: Resolver,
    /// Certificates in PEM that the command trusts besides the image's; in no key and no layer.
    pub authorities: Vec<u8>,
    pub compression: Compression,
    /// Of the platform that is built for: `arm64`.
    pub architecture: String,
    /// Clamp times of the layer to this many seconds.
    pub epoch: Option<i64>,
}
/// Who shares cache mounts of the same id. In no key: like a cache's content, it says nothing
/// about the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CacheScope {
    /// Every build of the user.
    #[default]
    User,
    /// Builds of the project in this directory, by its canonical path.
    Project(String),
}
impl CacheScope {
    pub fn project(&self) -> Option<&str> {
        match self {
            CacheScope::User => None,
            CacheScope::Project(directory) => Some(directory),
        }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Network {
    Host,
    None,
    Isolated,
}
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum RunMount {
    /// `source` inside the tree that `layers` give, or inside a host directory.
    Bind {
        from: TreeSource,
        source: String,
        target: String,
        writable: bool,
    },
    Cache {
        id: String,
        target: String,
        sharing: Sharing,
        readonly: bool,
        mode: u32,
        uid: u32,
        gid: u32,
        seed: Option<(TreeSource, String)>,
    },
    Tmpfs {
        target: String,
        size: Option<u64>,
    },
    Secret {
        target: String,
        bytes: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A unix socket on the host.
    Ssh {
        socket: String,
        target: String,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}
/// `Host` for contexts holds what the ignore file keeps, already chosen: (relative path) list, or everything.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum TreeSource {
    Layers(Vec<Layer>),
    Host {
        dir: String,
        only: Option<Vec<String>>,
    },
    Empty,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Sharing {
    Shared,
    Private,
    Locked,
}
