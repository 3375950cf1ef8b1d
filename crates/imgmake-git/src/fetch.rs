//! A commit's objects from a server, and how much is fetched beside them.

use gix_hash::ObjectId;

use super::repository::Repository;
use super::session::{Reference, Session, Want};
use super::{Client, GitError, Remote, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitDirectory {
    Keep,
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submodules {
    Recursive,
    /// Empty directories.
    Leave,
}

/// How much is fetched beside the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// The commit alone.
    None,
    /// All branches and tags.
    All,
}

/// What holds for a repository and its submodules.
#[derive(Clone, Copy)]
pub(super) struct FetchOptions<'a> {
    pub client: &'a Client,
    pub history: History,
    pub git_directory: GitDirectory,
    pub submodules: Submodules,
}

pub(super) const ALL_BRANCHES: &str = "+refs/heads/*:refs/remotes/origin/*";

/// Fetches a commit without its history, or everything from servers that give no
/// single commits. Returns where histories are cut.
pub(super) fn commit_alone(
    client: &Client,
    remote: &Remote,
    repository: &Repository,
    commit: ObjectId,
) -> Result<Vec<ObjectId>> {
    let mut session = Session::open(client, remote)?;
    if session.kind != commit.kind() {
        let format = session.kind;
        let reason = format!("`{}` has objects named by {format}", remote.address);
        return Err(GitError::invalid("commit", commit.to_string(), reason));
    }
    let alone = Want {
        ids: &[commit],
        depth: Some(1),
    };
    match session.fetch(&alone, |pack| repository.receive(pack, &client.cancel)) {
        Err(error) if error.is_refusal() => {}
        other => return other,
    }
    let mut session = Session::open(client, remote)?;
    let listed = session.references(&["refs/"])?;
    let all = Want {
        ids: &ids_of(&listed),
        depth: None,
    };
    session.fetch(&all, |pack| repository.receive(pack, &client.cancel))?;
    match repository.has(&commit)? {
        true => Ok(Vec::new()),
        false => Err(GitError::CommitNotFound {
            repository: remote.address.to_string(),
            commit,
            source: None,
        }),
    }
}

/// Each object once, in order.
pub(super) fn ids_of(references: &[Reference]) -> Vec<ObjectId> {
    let mut ids: Vec<ObjectId> = references.iter().map(|r| r.id).collect();
    ids.sort();
    ids.dedup();
    ids
}
