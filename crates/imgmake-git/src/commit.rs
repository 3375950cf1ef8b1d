//! One commit's files, as ADD takes them: with no more history than that, and a
//! `.git` of the same bytes for the same commit where it is wanted.

use std::path::Path;

use gix_hash::ObjectId;

use super::error::During as _;
use super::fetch::{ALL_BRANCHES, FetchOptions, GitDirectory, History, Submodules, commit_alone};
use super::repository::Repository;
use super::session::{Reference, Session};
use super::submodule::files;
use super::{Client, GitError, Remote, Result};
use imgmake_guard::confined::remove_tree;

impl Client {
    /// The commit that a name means: `HEAD`, a branch, a tag, or a reference in full.
    ///
    /// # Errors
    /// [`GitError::ReferenceNotFound`], and the server's.
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
            None => Err(reference_not_found(&mut session, remote, name)?),
        }
    }

    /// When a commit was made, by its committer: seconds since the epoch. It is fetched into an empty directory.
    ///
    /// # Errors
    /// The commit is not there; the server's; the disk's.
    pub fn time(&self, remote: &Remote, commit: &str, scratch: &Path) -> Result<i64> {
        let id = ObjectId::from_hex(commit.as_bytes());
        let id = id.map_err(|_| GitError::invalid("commit", commit, "not a hash"))?;
        let repository = Repository::create(&scratch.join(".git"), id.kind())?;
        commit_alone(self, remote, &repository, id)?;
        repository.time_of(repository.commit(id)?)
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
        let options = FetchOptions {
            client: self,
            history: History::None,
            git_directory,
            submodules,
        };
        let id = ObjectId::from_hex(commit.as_bytes());
        let id = id.map_err(|_| GitError::invalid("commit", commit, "not a hash"))?;
        let mut repository = Repository::create(&to.join(".git"), id.kind())?;
        let mut shallow = commit_alone(self, remote, &repository, id)?;
        repository.add_origin(&remote.address, ALL_BRANCHES);
        let commit = repository.commit(id)?;
        files(options, remote, &mut repository, commit, to, 0)?;
        repository.finish(&commit.to_string(), &[], &mut shallow)?;
        match git_directory {
            GitDirectory::Remove => remove_tree(&repository.directory).during("cannot remove .git"),
            GitDirectory::Keep => {
                repository.repack(&self.cancel)?;
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
pub(super) fn reference_not_found(
    session: &mut Session,
    remote: &Remote,
    name: &str,
) -> Result<GitError> {
    let listed = session.references(&["refs/heads/", "refs/tags/"])?;
    let short = |r: &Reference| {
        let branch = r.name.strip_prefix("refs/heads/");
        branch
            .or_else(|| r.name.strip_prefix("refs/tags/"))
            .map(String::from)
    };
    Ok(GitError::ReferenceNotFound {
        repository: remote.address.to_string(),
        name: name.to_string(),
        existing: listed.iter().filter_map(short).collect(),
    })
}
