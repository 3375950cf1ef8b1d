//! A clone as kaniko makes its contexts: all branches and tags and the `.git`,
//! unless less is asked for, with HEAD where the reference says.

use std::fs;
use std::path::Path;

use gix_hash::ObjectId;

use super::commit::reference_not_found;
use super::error::During as _;
use super::fetch::{ALL_BRANCHES, FetchOptions, History, ids_of};
use super::repository::{Repository, in_quotes, quoted};
use super::session::{Reference, Session, Want};
use super::submodule::files;
use super::{Client, GitDirectory, GitError, Remote, Result, Submodules};
use imgmake_guard::confined::remove_tree;

/// What to clone.
#[derive(std::clone::Clone, Debug)]
pub struct Clone {
    /// The branch or tag that the clone starts on; the server's HEAD without.
    pub branch: Option<String>,
    /// A branch, tag, commit, or reference in full, where the files are from.
    pub reference: Option<String>,
    /// A commit, which goes before the reference.
    pub commit: Option<String>,
    pub single_branch: bool,
    /// So many commits of each history.
    pub depth: Option<u32>,
    pub submodules: Submodules,
    pub git_directory: GitDirectory,
}

/// Where the files come from in the end.
enum Goal {
    /// Where the clone starts.
    Branch,
    /// A reference that no clone brings, like that of a pull request.
    Reference(String),
    Commit(String),
}

impl Clone {
    fn goal(&self) -> Goal {
        match (&self.commit, &self.reference) {
            (Some(commit), _) => Goal::Commit(commit.clone()),
            (None, Some(name)) if is_commit(name) => Goal::Commit(name.clone()),
            (None, Some(name)) if is_other(name) => Goal::Reference(name.clone()),
            (None, _) => Goal::Branch,
        }
    }

    /// A branch or tag of its own goes before the reference.
    fn branch(&self) -> Option<&str> {
        let named = self.reference.as_deref();
        let named = named.filter(|name| !is_commit(name) && !is_other(name));
        self.branch
            .as_deref()
            .or_else(|| named.map(|name| name.strip_prefix("refs/heads/").unwrap_or(name)))
    }
}

fn is_commit(name: &str) -> bool {
    matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Neither a branch nor the short name of something.
fn is_other(name: &str) -> bool {
    name.starts_with("refs/") && !name.starts_with("refs/heads/")
}

/// What the server has of what a clone takes.
struct Advertised {
    head: Option<Reference>,
    /// What the clone starts on: a branch or a tag.
    start: Option<Reference>,
    branches: Vec<Reference>,
    tags: Vec<Reference>,
    goal: Option<Reference>,
}

impl Client {
    /// # Errors
    /// The repository, branch or commit was not found; the server's; the disk's.
    pub fn clone_to(&self, remote: &Remote, clone: &Clone, to: &Path) -> Result<()> {
        let mut session = Session::open(self, remote)?;
        let advertised = advertised(&mut session, remote, clone)?;
        let mut repository = Repository::create(&to.join(".git"), session.kind)?;
        let mut shallow = self.fetch(&mut session, &repository, &advertised, clone)?;
        let (head, commit) = match clone.goal() {
            Goal::Branch => {
                let start = advertised
                    .start
                    .as_ref()
                    .ok_or_else(|| nothing_to_check_out(remote, &advertised))?;
                let commit = repository.commit(start.id)?;
                match start.name.starts_with("refs/heads/") {
                    true => (format!("ref: {}", start.name), commit),
                    false => (commit.to_string(), commit),
                }
            }
            Goal::Reference(_) => {
                let goal = advertised.goal.as_ref().expect("it was checked");
                let commit = repository.commit(goal.id)?;
                (commit.to_string(), commit)
            }
            Goal::Commit(name) => {
                let commit = self.commit(remote, &repository, &name, clone, &mut shallow)?;
                (commit.to_string(), commit)
            }
        };
        configure(&mut repository, remote, &advertised, clone);
        let options = FetchOptions {
            client: self,
            history: History::All,
            git_directory: clone.git_directory,
            submodules: clone.submodules,
        };
        files(options, remote, &mut repository, commit, to, 0)?;
        let references = kept(&repository, &advertised, clone)?;
        repository.finish(&head, &references, &mut shallow)?;
        match clone.git_directory {
            GitDirectory::Keep => repository.set_modes(&self.cancel),
            GitDirectory::Remove => remove_tree(&repository.directory).during("cannot remove .git"),
        }
    }

    fn fetch(
        &self,
        session: &mut Session,
        repository: &Repository,
        advertised: &Advertised,
        clone: &Clone,
    ) -> Result<Vec<ObjectId>> {
        let mut wanted = match clone.single_branch {
            true => advertised.start.iter().cloned().collect(),
            false => [&advertised.branches[..], &advertised.tags[..]].concat(),
        };
        wanted.extend(advertised.start.iter().chain(&advertised.goal).cloned());
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let want = Want {
            ids: &ids_of(&wanted),
            depth: clone.depth,
        };
        session.fetch(&want, |pack| repository.receive(pack, &self.cancel))
    }

    /// A commit that came along, or is asked for.
    fn commit(
        &self,
        remote: &Remote,
        repository: &Repository,
        name: &str,
        clone: &Clone,
        shallow: &mut Vec<ObjectId>,
    ) -> Result<ObjectId> {
        let id = ObjectId::from_hex(name.as_bytes());
        let id = id.ok().filter(|id| id.kind() == repository.kind);
        let id = id.ok_or_else(|| {
            let length = repository.kind.len_in_hex();
            GitError::invalid("commit", name, format!("expected all {length} digits"))
        })?;
        if !repository.has(&id)? {
            let want = Want {
                ids: &[id],
                depth: clone.depth,
            };
            let mut session = Session::open(self, remote)?;
            let fetched = session.fetch(&want, |pack| repository.receive(pack, &self.cancel));
            match fetched {
                Ok(cut) => shallow.extend(cut),
                Err(error) if error.is_refusal() => {
                    return Err(GitError::CommitNotFound {
                        repository: remote.address.to_string(),
                        commit: id,
                        source: Some(Box::new(error)),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        repository.commit(id)
    }
}

fn advertised(session: &mut Session, remote: &Remote, clone: &Clone) -> Result<Advertised> {
    let goal = match clone.goal() {
        Goal::Reference(name) => Some(name),
        _ => None,
    };
    let mut prefixes = vec!["HEAD", "refs/heads/", "refs/tags/"];
    prefixes.extend(goal.as_deref());
    let listed = session.references(&prefixes)?;
    let named = |name: &str| listed.iter().find(|r| r.name == name).cloned();
    let below = |prefix: &str| -> Vec<Reference> {
        let below = listed.iter().filter(|r| r.name.starts_with(prefix));
        below.cloned().collect()
    };
    let head = named("HEAD");
    let start = match clone.branch() {
        Some(name) => {
            let branch = named(&format!("refs/heads/{name}"));
            let start = branch.or_else(|| named(&format!("refs/tags/{name}")));
            if start.is_none() {
                return Err(reference_not_found(session, remote, name)?);
            }
            start
        }
        None => head.as_ref().map(|head| {
            let of_name = head.target.as_deref().and_then(named);
            // Old servers do not say what HEAD stands for.
            let of_commit = || {
                let all = below("refs/heads/");
                let same: Vec<&Reference> = all.iter().filter(|r| r.id == head.id).collect();
                let usual = ["refs/heads/main", "refs/heads/master"];
                let best = same.iter().find(|r| usual.contains(&r.name.as_str()));
                best.or(same.first()).map(|r| (*r).clone())
            };
            of_name.or_else(of_commit).unwrap_or_else(|| head.clone())
        }),
    };
    let advertised = Advertised {
        start,
        branches: below("refs/heads/"),
        tags: below("refs/tags/"),
        goal: goal.as_deref().and_then(named),
        head,
    };
    if let (Some(name), None) = (&goal, &advertised.goal) {
        return Err(reference_not_found(session, remote, name)?);
    }
    if advertised.start.is_none() && matches!(clone.goal(), Goal::Branch) {
        return Err(nothing_to_check_out(remote, &advertised));
    }
    Ok(advertised)
}

fn nothing_to_check_out(remote: &Remote, advertised: &Advertised) -> GitError {
    GitError::NothingToCheckOut {
        repository: remote.address.to_string(),
        has_branches: !advertised.branches.is_empty(),
    }
}

fn configure(repository: &mut Repository, remote: &Remote, advertised: &Advertised, clone: &Clone) {
    let start = advertised.start.as_ref().map(|start| start.name.as_str());
    let branch = start.and_then(|name| name.strip_prefix("refs/heads/"));
    let fetched = match (clone.single_branch, branch, start) {
        (true, Some(branch), _) => format!("+refs/heads/{branch}:refs/remotes/origin/{branch}"),
        (true, None, Some(tag)) => format!("+{tag}:{tag}"),
        _ => ALL_BRANCHES.to_string(),
    };
    repository.add_origin(&remote.address, &fetched);
    if let Some(branch) = branch {
        repository.add_config(&format!(
            "[branch {}]\n\tremote = origin\n\tmerge = {}\n",
            in_quotes(branch),
            quoted(&format!("refs/heads/{branch}"))
        ));
    }
}

/// The references of the clone: the server's branches below `origin`, the tags
/// whose objects came, and the branch that it starts on.
fn kept(repository: &Repository, advertised: &Advertised, clone: &Clone) -> Result<Vec<Reference>> {
    let mut kept = Vec::new();
    let start = advertised.start.as_ref();
    for branch in &advertised.branches {
        let is_start = start.is_some_and(|start| start.name == branch.name);
        if clone.single_branch && !is_start {
            continue;
        }
        let short = branch.name.trim_start_matches("refs/heads/");
        kept.push(Reference {
            name: format!("refs/remotes/origin/{short}"),
            ..branch.clone()
        });
        if is_start {
            kept.push(branch.clone());
        }
    }
    let objects = repository.objects()?;
    let has = |id: &ObjectId| gix_object::Exists::exists(&objects, id);
    let came = |tag: &&Reference| has(&tag.id) && tag.peeled.as_ref().is_none_or(has);
    kept.extend(advertised.tags.iter().filter(came).cloned());
    let head = advertised
        .head
        .as_ref()
        .and_then(|head| head.target.as_deref());
    let remote_head = head.and_then(|name| name.strip_prefix("refs/heads/"));
    if let Some(name) = remote_head.filter(|name| {
        kept.iter()
            .any(|r| r.name == format!("refs/remotes/origin/{name}"))
    }) {
        let place = repository.directory.join("refs/remotes/origin");
        fs::create_dir_all(&place)
            .and_then(|()| {
                fs::write(
                    place.join("HEAD"),
                    format!("ref: refs/remotes/origin/{name}\n"),
                )
            })
            .during("cannot write origin's HEAD")?;
    }
    Ok(kept)
}
