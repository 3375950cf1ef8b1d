//! ADD of a git repository: references become commits once and are remembered; the files of the
//! commit are checked out for the step alone.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError};

use crate::checkouts::Checkout;
use crate::error::{BuildError, Result};
use crate::pins::PinName;
use crate::request::{BuildRequest, SecretSource};
use crate::target::TargetContext;
use imgmake_core::fingerprint::LengthPrefixedHasher;
use imgmake_core::manifest::suggest;
use imgmake_git::{Client, GitDirectory, GitError, Login, Remote, Submodules};

/// A repository as ADD names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    pub remote: Remote,
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
    /// `REMOTE[#REF[:DIR]]` or `REMOTE?ref=…&subdir=…`, as BuildKit reads it. `keep` and `checksum` are what flags say.
    ///
    /// # Errors
    /// Query fields that mean nothing, that are there twice, or that say something else than a flag or the fragment.
    pub fn parse(source: &str, keep: Option<bool>, checksum: Option<&str>) -> Result<GitSource> {
        let (rest, fragment) = source.split_once('#').unwrap_or((source, ""));
        let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (reference, subdirectory) = fragment.split_once(':').unwrap_or((fragment, ""));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
        let mut git = GitSource {
            remote: Remote::parse(remote)?,
            reference: some(reference),
            subdirectory: subdirectory.to_string(),
            keep_git_directory: keep.unwrap_or(false),
            submodules: true,
            checksum: checksum.map(str::to_string),
        };
        git.query(query, keep)?;
        Ok(git)
    }

    fn query(&mut self, query: &str, keep: Option<bool>) -> Result<()> {
        // Without the login and the options, which can be secret.
        let address = self.remote.address.to_string();
        let of = |key: &str| format!("option `{key}` of `{address}`");
        let mut seen = BTreeSet::new();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let key = key.as_ref();
            if !seen.insert(key.to_string()) {
                return Err(BuildError::invalid(of(key), "duplicate"));
            }
            let truth = || match value.as_ref() {
                "" | "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
                "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
                other => Err(BuildError::invalid(
                    format!("option `{key}={other}` of `{address}`"),
                    "expected true or false",
                )),
            };
            let flags = ["submodules", "keep-git-dir", "fetch-by-commit"];
            if value.is_empty() && !flags.contains(&key) {
                return Err(BuildError::invalid(of(key), "it has no value"));
            }
            match key {
                "ref" | "branch" | "tag" => {
                    let wanted = in_full(key, &value);
                    replace(&mut self.reference, wanted, || of(key))?;
                }
                "subdir" => {
                    let mut written =
                        Some(std::mem::take(&mut self.subdirectory)).filter(|d| !d.is_empty());
                    replace(&mut written, value.to_string(), || of(key))?;
                    self.subdirectory = written.unwrap_or_default();
                }
                "checksum" | "commit" => {
                    replace(&mut self.checksum, value.to_string(), || of(key))?;
                }
                "submodules" => self.submodules = truth()?,
                "keep-git-dir" => {
                    let wanted = truth()?;
                    if keep.is_some_and(|flag| flag != wanted) {
                        return Err(BuildError::invalid(
                            format!("--keep-git-dir for `{address}`"),
                            "the address has another value",
                        ));
                    }
                    self.keep_git_directory = wanted;
                }
                // The commit is fetched by its hash in any case.
                "fetch-by-commit" => drop(truth()?),
                // Layers have one time for all files.
                "mtime" if value == "checkout" => {}
                "mtime" => {
                    return Err(BuildError::unsupported(
                        format!("option `mtime={value}` of `{address}`"),
                        "files of a context have the time of SOURCE_DATE_EPOCH, which may be `context`",
                    ));
                }
                other => return Err(BuildError::unknown(of(other), "")),
            }
        }
        Ok(())
    }

    /// What of it decides which files there are, wherever they come from.
    pub fn key(&self, commit: &str) -> String {
        let mut key = LengthPrefixedHasher::new();
        key.text("files of a git commit").text(commit);
        key.text(&self.subdirectory);
        key.add(&self.submodules).add(&self.keep_git_directory);
        // Submodules may be named by where they are beside it, and a `.git` names it.
        key.text(&self.remote.address.to_string());
        key.hex()
    }

    fn wanted(&self) -> &str {
        match (&self.reference, &self.checksum) {
            (Some(reference), _) => reference,
            (None, Some(commit)) if is_commit(commit) => commit,
            (None, _) => "HEAD",
        }
    }
}

/// A tag and a branch of one name are told apart by `tag=` and `branch=`.
fn in_full(key: &str, value: &str) -> String {
    let prefix = match key {
        "tag" => "refs/tags/",
        "branch" => "refs/heads/",
        _ => "",
    };
    match value.starts_with(prefix) {
        true => value.to_string(),
        false => format!("{prefix}{value}"),
    }
}

/// # Errors
/// Something else is there already.
fn replace(place: &mut Option<String>, value: String, what: impl Fn() -> String) -> Result<()> {
    match place {
        Some(other) if *other != value => {
            let why = format!("it is `{value}`, and the address says `{other}` too");
            Err(BuildError::invalid(what(), why))
        }
        _ => {
            *place = Some(value);
            Ok(())
        }
    }
}

impl fmt::Display for GitSource {
    /// Without a login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.remote.address)?;
        let reference = self.reference.as_deref().unwrap_or_default();
        match (reference, self.subdirectory.as_str()) {
            ("", "") => Ok(()),
            (reference, "") => write!(f, "#{reference}"),
            (reference, directory) => write!(f, "#{reference}:{directory}"),
        }
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The commit that the source means: asked once, then remembered until `--pull`.
///
/// # Errors
/// The server's; no such reference; not the commit that the checksum says.
pub fn resolve(source: &GitSource, cx: &TargetContext, request: &BuildRequest) -> Result<String> {
    let wanted = source.wanted();
    if is_commit(wanted) {
        return checked(source, wanted.to_ascii_lowercase());
    }
    let name = PinName::Git {
        address: source.remote.address.to_string(),
        reference: wanted.to_string(),
    };
    if !request.pull
        && let Some(commit) = cx.pins.get(&name)?.filter(|c| is_commit(c))
    {
        return checked(source, commit);
    }
    let remote = with_login(source, request)?;
    let client = client(cx, request);
    let commit = client.resolve(&remote, wanted).map_err(explained)?;
    cx.pins.set(&name, &commit)?;
    checked(source, commit)
}

/// When the commit was made that the source means: asked once for each commit.
///
/// # Errors
/// As [`resolve`] and [`checkout`].
pub fn time(source: &GitSource, cx: &TargetContext, request: &BuildRequest) -> Result<i64> {
    let commit = resolve(source, cx, request)?;
    let name = PinName::TimeOfCommit(commit.clone());
    if let Some(seconds) = cx.pins.get(&name)?.and_then(|text| text.parse().ok()) {
        return Ok(seconds);
    }
    let remote = with_login(source, request)?;
    let scratch = Checkout::empty(&cx.store, &cx.cancel)?;
    let time = client(cx, request).time(&remote, &commit, scratch.directory());
    let time = time.map_err(explained)?;
    cx.pins.set(&name, &time.to_string())?;
    Ok(time)
}

/// ssh asks the agent that the build was given.
fn client(cx: &TargetContext, request: &BuildRequest) -> Client {
    let agent = request
        .ssh
        .get("default")
        .and_then(|socket| socket.to_str());
    match agent {
        Some(socket) => cx.git.with("SSH_AUTH_SOCK", socket),
        None => cx.git.clone(),
    }
}

/// The login of the address, else that of the secrets that BuildKit looks for, for this host or
/// for all.
fn with_login(source: &GitSource, request: &BuildRequest) -> Result<Remote> {
    let mut remote = source.remote.clone();
    if remote.login.is_some() {
        return Ok(remote);
    }
    let host = remote.address.host().to_string();
    for suffix in [format!(".{host}"), String::new()] {
        let secret = |name: &str| secret(request, &format!("{name}{suffix}"));
        if let Some(header) = secret("GIT_AUTH_HEADER")? {
            let login = Login::header(&header);
            let invalid = || BuildError::invalid("secret GIT_AUTH_HEADER", "not a header's value");
            remote.login = Some(login.ok_or_else(invalid)?);
            break;
        }
        if let Some(token) = secret("GIT_AUTH_TOKEN")? {
            remote.login = Some(Login::basic("x-access-token", token.trim()));
            break;
        }
    }
    Ok(remote)
}

fn secret(request: &BuildRequest, name: &str) -> Result<Option<String>> {
    let bytes = match request.secrets.get(name) {
        None => return Ok(None),
        Some(SecretSource::Value(bytes)) => bytes.clone(),
        Some(SecretSource::Empty { .. }) => Vec::new(),
        Some(SecretSource::Absent { why }) => {
            return Err(BuildError::not_found(format!("secret `{name}`"), why));
        }
    };
    let text = String::from_utf8(bytes).ok();
    let invalid = || BuildError::invalid(format!("secret {name}"), "not UTF-8");
    Ok(Some(text.ok_or_else(invalid)?))
}

/// What to do about it.
fn explained(error: GitError) -> BuildError {
    let fact = error.root();
    let advice = match fact {
        GitError::ReferenceNotFound { name, existing, .. } => {
            suggest::help(name, existing.iter().map(String::as_str))
        }
        GitError::Login { .. } => Some("give the secret GIT_AUTH_TOKEN, or a `.netrc`".to_string()),
        _ => None,
    };
    match advice {
        Some(advice) => BuildError::Advised {
            fact: fact.to_string(),
            advice,
        },
        None => error.into(),
    }
}

fn checked(source: &GitSource, commit: String) -> Result<String> {
    match &source.checksum {
        Some(sum) if !commit.starts_with(&sum.to_ascii_lowercase()) => Err(BuildError::mismatch(
            format!("`{}` at `{}`", source.remote.address, source.wanted()),
            format!("commit {commit}"),
            format!("--checksum says {sum}"),
        )),
        _ => Ok(commit),
    }
}

/// A checkout that waits for the step that copies it, which takes it: the Dockerfile in it is read before.
///
/// # Errors
/// As [`checkout`].
pub fn kept_checkout(
    source: &GitSource,
    commit: &str,
    cx: &TargetContext,
    request: &BuildRequest,
) -> Result<Arc<Checkout>> {
    let name = source.key(commit);
    // Of targets that begin with the same repository at the same time, one fetches it.
    let turn = cx.store.turn(&name);
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    cx.checkouts
        .kept(&name, || checkout(source, commit, cx, request))
}

/// # Errors
/// The server's; a subdirectory that is not there.
pub fn checkout(
    source: &GitSource,
    commit: &str,
    cx: &TargetContext,
    request: &BuildRequest,
) -> Result<Checkout> {
    let mut checkout = Checkout::empty(&cx.store, &cx.cancel)?;
    let remote = with_login(source, request)?;
    let keep = match source.keep_git_directory {
        true => GitDirectory::Keep,
        false => GitDirectory::Remove,
    };
    let submodules = match source.submodules {
        true => Submodules::Recursive,
        false => Submodules::Leave,
    };
    let place = checkout.directory();
    let done = cx.git.checkout(&remote, commit, place, keep, submodules);
    done.map_err(explained)?;
    let inner = crate::files::tree::relative(&source.subdirectory);
    checkout.root = checkout.directory().join(super::tree::show(&inner));
    let whole = checkout.directory().canonicalize()?;
    let root = checkout
        .root
        .canonicalize()
        .ok()
        .filter(|r| r.is_dir() && r.starts_with(&whole));
    checkout.root = root.ok_or_else(|| {
        let (inner, address) = (&source.subdirectory, &source.remote.address);
        BuildError::not_found(format!("directory `{inner}` in `{address}`"), "")
    })?;
    Ok(checkout)
}
