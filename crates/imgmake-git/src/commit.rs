//! One commit's files, as ADD takes them: with no more history than that, and a
//! `.git` of the same bytes for the same commit where it is wanted.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use gix_hash::ObjectId;

use super::checkout::checkout;
use super::repository::Repository;
use super::session::{Reference, Session, Wish};
use super::{Client, NoReference, Passing, Remote, ServerSaid, index, submodule};
use imgmake_guard::confined::remove_tree;

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
pub(super) struct Manner<'a> {
    pub client: &'a Client,
    pub history: History,
    pub git_directory: GitDirectory,
    pub submodules: Submodules,
}

pub(super) const ALL_BRANCHES: &str = "+refs/heads/*:refs/remotes/origin/*";

impl Client {
    /// The commit that a name means: `HEAD`, a branch, a tag, or a reference in full.
    ///
    /// # Errors
    /// [`NoReference`], and the server's.
    pub fn resolve(&self, remote: &Remote, name: &str) -> Result<String> {
        let mut session = Session::open(self, remote)?;
        let candidates = candidates(name);
        let prefixes: Vec<&str> = candidates.iter().map(String::as_str).collect();
        let listed = session.references(&prefixes)?;
        let found = candidates
            .iter()
            .find_map(|candidate| listed.iter().find(|r| r.name == *candidate));
        match found {
            Some(reference) => Ok(reference.commit().to_string()),
            None => Err(no_reference(&mut session, remote, name)?.into()),
        }
    }

    /// The files of a commit in an empty directory.
    ///
    /// # Errors
    /// The commit is not there; the server's; the disk's; a tree that no git checks out.
    pub fn checkout(
        &self,
        remote: &Remote,
        commit: &str,
        to: &Path,
        git_directory: GitDirectory,
        submodules: Submodules,
    ) -> Result<()> {
        let manner = Manner {
            client: self,
            history: History::None,
            git_directory,
            submodules,
        };
        let id = ObjectId::from_hex(commit.as_bytes());
        let id = id
            .ok()
            .with_context(|| format!("`{commit}` is no commit"))?;
        let mut repository = Repository::create(&to.join(".git"), id.kind())?;
        let mut shallow = commit_alone(self, remote, &repository, id)?;
        repository.add_origin(&remote.address, ALL_BRANCHES);
        let commit = repository.commit(id)?;
        files(manner, remote, &mut repository, commit, to, 0)?;
        repository.finish(&commit.to_string(), &[], &mut shallow)?;
        match git_directory {
            GitDirectory::Remove => {
                remove_tree(&repository.directory).context("cannot remove .git")
            }
            GitDirectory::Keep => {
                repository.settle(&self.cancel)?;
                repository.set_modes(&self.cancel)
            }
        }
    }
}

/// What a name may stand for, the likeliest first.
fn candidates(name: &str) -> Vec<String> {
    match name == "HEAD" || name.starts_with("refs/") {
        true => vec![name.to_string()],
        false => vec![
            format!("refs/heads/{name}"),
            format!("refs/tags/{name}"),
            format!("refs/{name}"),
            name.to_string(),
        ],
    }
}

/// The error that names what there is instead.
pub(super) fn no_reference(
    session: &mut Session,
    remote: &Remote,
    name: &str,
) -> Result<NoReference> {
    let listed = session.references(&["refs/heads/", "refs/tags/"])?;
    let short = |r: &Reference| {
        let branch = r.name.strip_prefix("refs/heads/");
        branch
            .or_else(|| r.name.strip_prefix("refs/tags/"))
            .map(String::from)
    };
    Ok(NoReference {
        repository: remote.address.to_string(),
        name: name.to_string(),
        known: listed.iter().filter_map(short).collect(),
    })
}

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
        bail!(
            "`{}` names its objects by {}, and {commit} is no such name",
            remote.address,
            session.kind
        );
    }
    let alone = Wish {
        ids: &[commit],
        depth: Some(1),
    };
    match session.fetch(&alone, |pack| repository.receive(pack, &client.cancel)) {
        // Some refuse with words, some without.
        Err(error) if error.is::<ServerSaid>() || error.is::<Passing>() => {}
        other => return other,
    }
    let mut session = Session::open(client, remote)?;
    let listed = session.references(&["refs/"])?;
    let all = Wish {
        ids: &ids_of(&listed),
        depth: None,
    };
    session.fetch(&all, |pack| repository.receive(pack, &client.cancel))?;
    match repository.has(&commit)? {
        true => Ok(Vec::new()),
        false => bail!(
            "`{}` has no commit {commit} on any branch or tag",
            remote.address
        ),
    }
}

/// Each object once, in order.
pub(super) fn ids_of(references: &[Reference]) -> Vec<ObjectId> {
    let mut ids: Vec<ObjectId> = references.iter().map(|r| r.id).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// A commit's files, its index, and its submodules.
pub(super) fn files(
    manner: Manner<'_>,
    remote: &Remote,
    repository: &mut Repository,
    commit: ObjectId,
    to: &Path,
    level: usize,
) -> Result<()> {
    let written = checkout(repository, commit, to, &manner.client.cancel)
        .with_context(|| format!("cannot check out {commit} of `{}`", remote.address))?;
    let index =
        File::create(repository.directory.join("index")).context("cannot write the index")?;
    let mut index = BufWriter::new(index);
    index::write(&written.entries, repository.kind, &mut index)
        .and_then(|()| index.flush())
        .context("cannot write the index")?;
    match manner.submodules {
        Submodules::Recursive => submodule::all(manner, remote, repository, &written, to, level),
        Submodules::Leave => Ok(()),
    }
}
