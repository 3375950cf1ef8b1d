//! ADD of a git repository, through the user's own `git`: references become commits once and are
//! remembered; the files of the commit are checked out for the step alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{BuildRequest, Engine};
use crate::dockerfile;

/// A repository as ADD names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    pub remote: String,
    /// Branch, tag or commit; HEAD without one.
    pub reference: Option<String>,
    /// The directory to take; all without one.
    pub subdirectory: String,
    pub keep_git_directory: bool,
    pub submodules: bool,
    /// A commit, or the beginning of one, that it must be.
    pub checksum: Option<String>,
}

impl GitSource {
    /// `REMOTE[#REF[:DIR]]` or `REMOTE?ref=…&subdir=…`.
    ///
    /// # Errors
    /// Query fields that mean nothing, or that say something else than a flag.
    pub fn parse(source: &str, add: &dockerfile::Add) -> Result<GitSource> {
        let (rest, fragment) = source.split_once('#').unwrap_or((source, ""));
        let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (reference, subdirectory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
        let mut git = GitSource {
            remote: remote.to_string(),
            reference: some(reference),
            subdirectory: subdirectory.to_string(),
            keep_git_directory: add.keep_git_dir.unwrap_or(false),
            submodules: true,
            checksum: add.checksum.clone(),
        };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let truth = || match value.as_ref() {
                "" | "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                other => bail!("`{key}={other}` in `{source}`: expected true or false"),
            };
            match key.as_ref() {
                "ref" | "branch" | "tag" => git.reference = some(&value),
                "subdir" => git.subdirectory = value.to_string(),
                "checksum" | "commit" => git.checksum = some(&value),
                "submodules" => git.submodules = truth()?,
                "keep-git-dir" => {
                    let keep = truth()?;
                    if add.keep_git_dir.is_some_and(|flag| flag != keep) {
                        bail!("`{source}` and --keep-git-dir say different things");
                    }
                    git.keep_git_directory = keep;
                }
                other => bail!("`{other}` in `{source}` is no option of a git source"),
            }
        }
        Ok(git)
    }

    fn wanted(&self) -> &str {
        match (&self.reference, &self.checksum) {
            (Some(reference), _) => reference,
            (None, Some(commit)) if is_commit(commit) => commit,
            (None, _) => "HEAD",
        }
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The commit that the source means: asked once, then remembered until `--pull`.
///
/// # Errors
/// git's own; no such reference; not the commit that the checksum says.
pub fn resolve(source: &GitSource, engine: &Engine, request: &BuildRequest) -> Result<String> {
    let wanted = source.wanted();
    if is_commit(wanted) {
        return checked(source, wanted.to_ascii_lowercase());
    }
    let name = format!("git {}#{wanted}", source.remote);
    if !request.pull
        && let Some(commit) = engine.pins.get(&name).filter(|c| is_commit(c))
    {
        return checked(source, commit);
    }
    let peeled = format!("{wanted}^{{}}");
    let listed = git(None, &["ls-remote", "--", &source.remote, wanted, &peeled])?;
    let commit = listed_commit(&listed, wanted)
        .with_context(|| format!("`{}` has no reference `{wanted}`", source.remote))?;
    engine.pins.set(&name, &commit);
    checked(source, commit)
}

/// What `git ls-remote` lists: a tag that points at a tag object is shown again with the commit behind it.
fn listed_commit(listed: &str, wanted: &str) -> Option<String> {
    let lines: Vec<(&str, &str)> = listed.lines().filter_map(|l| l.split_once('\t')).collect();
    let names = [
        wanted.to_string(),
        format!("refs/heads/{wanted}"),
        format!("refs/tags/{wanted}^{{}}"),
        format!("refs/tags/{wanted}"),
    ];
    let named = |name: &String| {
        lines
            .iter()
            .find(|(_, n)| n == name)
            .map(|(commit, _)| *commit)
    };
    names
        .iter()
        .find_map(named)
        .or_else(|| lines.first().map(|(commit, _)| *commit))
        .map(str::to_string)
}

fn checked(source: &GitSource, commit: String) -> Result<String> {
    match &source.checksum {
        Some(sum) if !commit.starts_with(&sum.to_ascii_lowercase()) => bail!(
            "`{}` at `{}` is commit {commit}, but --checksum says {sum}",
            source.remote,
            source.wanted()
        ),
        _ => Ok(commit),
    }
}

/// A checkout that goes away with this value.
pub struct Checkout {
    directory: PathBuf,
    /// What is to be copied.
    pub root: PathBuf,
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// # Errors
/// git's own; a subdirectory that is not there.
pub fn checkout(source: &GitSource, commit: &str, engine: &Engine) -> Result<Checkout> {
    let directory = engine.store.temporary_dir()?;
    let mut checkout = Checkout {
        root: directory.clone(),
        directory,
    };
    let at = Some(checkout.directory.as_path());
    // No hooks, no history of this machine: the directory may end up in an image.
    git(at, &["init", "-q", "--template=", "-b", "main", "."])?;
    git(at, &["remote", "add", "origin", &source.remote])?;
    let shallow = ["fetch", "-q", "--depth", "1", "origin", commit];
    if git(at, &shallow).is_err() {
        // Some servers give no single commits.
        git(
            at,
            &[
                "fetch",
                "-q",
                "--tags",
                "origin",
                "+refs/*:refs/remotes/origin/*",
            ],
        )?;
    }
    git(at, &["checkout", "-q", "--detach", commit])?;
    if source.submodules && checkout.directory.join(".gitmodules").exists() {
        git(
            at,
            &[
                "submodule",
                "-q",
                "update",
                "--init",
                "--recursive",
                "--depth",
                "1",
            ],
        )?;
    }
    match source.keep_git_directory {
        true => forget_this_machine(&checkout.directory)?,
        false => std::fs::remove_dir_all(checkout.directory.join(".git"))
            .context("cannot remove .git")?,
    }
    let inner = super::copy::tree::relative(&source.subdirectory);
    checkout.root = checkout.directory.join(super::copy::tree::show(&inner));
    let whole = checkout.directory.canonicalize()?;
    let root = checkout
        .root
        .canonicalize()
        .ok()
        .filter(|r| r.is_dir() && r.starts_with(&whole));
    checkout.root = root.with_context(|| {
        format!(
            "`{}` has no directory `{}`",
            source.remote, source.subdirectory
        )
    })?;
    Ok(checkout)
}

/// `.git` without times, inodes and names of this moment: equal commits give equal layers.
fn forget_this_machine(checkout: &Path) -> Result<()> {
    for name in ["FETCH_HEAD", "ORIG_HEAD", "index"] {
        match std::fs::remove_file(checkout.join(".git").join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove .git/{name}"));
            }
            _ => {}
        }
    }
    // An index from the commit alone holds no file's time.
    git(Some(checkout), &["read-tree", "HEAD"]).map(drop)
}

fn git(at: Option<&Path>, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command
        .args([
            "-c",
            "advice.detachedHead=false",
            "-c",
            "core.symlinks=true",
            "-c",
            "core.logAllRefUpdates=false",
        ])
        .args(arguments)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null());
    if let Some(directory) = at {
        command.current_dir(directory);
    }
    let output = command.output().context(
        "cannot run `git`, which ADD of a repository needs: install it, or ADD an archive instead",
    )?;
    if !output.status.success() {
        bail!(
            "git {} failed: {}",
            arguments.first().unwrap_or(&""),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
