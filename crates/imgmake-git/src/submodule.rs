//! A commit's files in a directory, with its index, and what `.gitmodules` adds to a checkout: other repositories' commits in its
//! directories, and theirs in turn.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use gix_hash::ObjectId;
use gix_object::bstr::BStr;

use super::checkout::{Submodule, Written, checkout};
use super::config::settings;
use super::error::During as _;
use super::fetch::{
    ALL_BRANCHES, FetchOptions, GitDirectory, History, Submodules, commit_alone, ids_of,
};
use super::repository::{Repository, in_quotes, quoted};
use super::session::{Reference, Session, Want};
use super::{GitError, Remote, Result, index};

/// Repositories can hold each other for ever.
const DEEPEST: usize = 16;

/// What `.gitmodules` says of one.
#[derive(Default)]
struct Named {
    path: Option<String>,
    url: Option<String>,
    update: Option<String>,
}

/// Fetches the submodules of what was checked out in `tree`.
fn all(
    options: FetchOptions<'_>,
    remote: &Remote,
    repository: &mut Repository,
    written: &Written,
    tree: &Path,
    level: usize,
) -> Result<()> {
    let Some(modules) = &written.modules else {
        return Ok(());
    };
    if level >= DEEPEST {
        return Err(GitError::Limit {
            what: format!("submodules within each other, down to `{}`", remote.address),
            limit: DEEPEST,
            unit: "levels",
        });
    }
    let named = named(&String::from_utf8_lossy(modules));
    for submodule in &written.submodules {
        let path = submodule.path.display();
        let found = named.iter().find(|(_, named)| {
            named.path.as_deref().map(OsStr::new) == Some(submodule.path.as_os_str())
        });
        let (name, named) = found.ok_or_else(|| {
            let reason = "submodule not found in .gitmodules";
            GitError::invalid("submodule", path.to_string(), reason)
        })?;
        if named.update.as_deref() == Some("none") {
            continue;
        }
        one(
            options,
            remote,
            repository,
            submodule,
            (name, named),
            tree,
            level,
        )
        .with_during(|| format!("submodule `{path}`"))?;
    }
    Ok(())
}

fn named(text: &str) -> BTreeMap<String, Named> {
    let mut all: BTreeMap<String, Named> = BTreeMap::new();
    for setting in settings(text) {
        if setting.section != "submodule" || setting.subsection.is_empty() {
            continue;
        }
        let named = all.entry(setting.subsection).or_default();
        match setting.name.as_str() {
            "path" => named.path = Some(setting.value.trim_end_matches('/').to_string()),
            "url" => named.url = Some(setting.value),
            "update" => named.update = Some(setting.value),
            _ => {}
        }
    }
    all
}

fn one(
    options: FetchOptions<'_>,
    parent: &Remote,
    above: &mut Repository,
    submodule: &Submodule,
    (name, named): (&str, &Named),
    tree: &Path,
    level: usize,
) -> Result<()> {
    // The name becomes a directory below `.git`.
    if gix_validate::submodule::name(BStr::new(name)).is_err() || name.starts_with('/') {
        return Err(GitError::invalid(
            "submodule name",
            name,
            "not a path below .git",
        ));
    }
    let url = named.url.as_deref().ok_or_else(|| GitError::Invalid {
        what: ".gitmodules",
        value: None,
        reason: "no `url`".into(),
    })?;
    let remote = resolve_relative(parent, url)?;
    let directory = above.directory.join("modules").join(name);
    let place = tree.join(&submodule.path);
    let mut repository = Repository::create(&directory, submodule.commit.kind())?;
    let worktree = relative(&directory, &place)?;
    repository.add_config(&format!("\tworktree = {}\n", quoted(&worktree)));
    repository.add_origin(&remote.address, ALL_BRANCHES);
    let (references, mut shallow) = fetch(options, &remote, &repository, submodule)?;
    files(
        options,
        &remote,
        &mut repository,
        submodule.commit,
        &place,
        level + 1,
    )?;
    repository.finish(&submodule.commit.to_string(), &references, &mut shallow)?;
    above.add_config(&format!(
        "[submodule {}]\n\tactive = true\n\turl = {}\n",
        in_quotes(name),
        quoted(&remote.address.to_string())
    ));
    if options.git_directory == GitDirectory::Keep {
        if options.history == History::None {
            repository.repack(&options.client.cancel)?;
        }
        let link = format!("gitdir: {}\n", relative(&place, &directory)?);
        fs::write(place.join(".git"), link).during("cannot write its .git")?;
    }
    Ok(())
}

/// The parent's login goes along to the same server only.
fn resolve_relative(parent: &Remote, url: &str) -> Result<Remote> {
    let (address, login) = parent.address.join(url)?;
    let inherited = parent
        .address
        .is_beside(&address)
        .then(|| parent.login.clone());
    Ok(Remote {
        login: login.or(inherited.flatten()),
        verification: parent.verification,
        address,
    })
}

fn fetch(
    options: FetchOptions<'_>,
    remote: &Remote,
    repository: &Repository,
    submodule: &Submodule,
) -> Result<(Vec<Reference>, Vec<gix_hash::ObjectId>)> {
    let client = options.client;
    if options.history == History::None {
        let shallow = commit_alone(client, remote, repository, submodule.commit)?;
        return Ok((Vec::new(), shallow));
    }
    let mut session = Session::open(client, remote)?;
    let mut references = session.references(&["refs/heads/", "refs/tags/"])?;
    references.retain(|r| r.name.starts_with("refs/heads/") || r.name.starts_with("refs/tags/"));
    let want = Want {
        ids: &ids_of(&references),
        depth: None,
    };
    if !references.is_empty() {
        session.fetch(&want, |pack| repository.receive(pack, &client.cancel))?;
    }
    let mut shallow = Vec::new();
    if !repository.has(&submodule.commit)? {
        shallow = commit_alone(client, remote, repository, submodule.commit)?;
    }
    for reference in &mut references {
        if let Some(branch) = reference.name.strip_prefix("refs/heads/") {
            reference.name = format!("refs/remotes/origin/{branch}");
        }
    }
    Ok((references, shallow))
}

/// The way from one directory to another.
fn relative(from: &Path, to: &Path) -> Result<String> {
    let parts = |path: &Path| -> Vec<PathBuf> {
        let parts = path.components().filter(|c| *c != Component::CurDir);
        parts.map(|c| PathBuf::from(c.as_os_str())).collect()
    };
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut way = PathBuf::new();
    way.extend(std::iter::repeat_n("..", from.len() - common));
    way.extend(&to[common..]);
    let text = std::str::from_utf8(way.as_os_str().as_bytes());
    let text =
        text.map_err(|_| GitError::invalid("path", way.display().to_string(), "not UTF-8"))?;
    Ok(text.to_string())
}

/// A commit's files, its index, and its submodules.
pub(super) fn files(
    options: FetchOptions<'_>,
    remote: &Remote,
    repository: &mut Repository,
    commit: ObjectId,
    to: &Path,
    level: usize,
) -> Result<()> {
    let written = checkout(repository, commit, to, &options.client.cancel)
        .with_during(|| format!("cannot check out {commit} of `{}`", remote.address))?;
    let index =
        File::create(repository.directory.join("index")).during("cannot write the index")?;
    let mut index = BufWriter::new(index);
    index::write(&written.entries, repository.kind, &mut index)
        .and_then(|()| index.flush())
        .during("cannot write the index")?;
    match options.submodules {
        Submodules::Recursive => all(options, remote, repository, &written, to, level),
        Submodules::Leave => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_directories_is_relative() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to)).unwrap();
        assert_eq!(way("/t/.git/modules/lib", "/t/lib"), "../../../lib");
        assert_eq!(
            way("/t/a/lib", "/t/.git/modules/lib"),
            "../../.git/modules/lib"
        );
    }

    #[test]
    fn a_login_stays_with_its_server() {
        let parent = Remote::parse("https://ann:secret@example.com/app.git").unwrap();
        assert!(
            resolve_relative(&parent, "../lib.git")
                .unwrap()
                .login
                .is_some()
        );
        assert!(
            resolve_relative(&parent, "https://example.com/x.git")
                .unwrap()
                .login
                .is_some()
        );
        for other in [
            "https://example.com:444/x.git",
            "http://example.com/x.git",
            "https://other.example/x.git",
        ] {
            assert_eq!(
                resolve_relative(&parent, other).unwrap().login,
                None,
                "{other}"
            );
        }
    }
}
