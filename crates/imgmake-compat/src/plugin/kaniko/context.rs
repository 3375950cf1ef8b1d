//! Where kaniko's context is: a directory, an archive, standard input, a git
//! repository or an archive on a server.

use std::collections::BTreeMap;

use super::command_line::CommandLine;
use crate::error::{Fact, invalid, malformed, missing, unknown};
use crate::hidden::Hidden;
use crate::plugin::{Refusal, value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    Directory(String),
    /// An archive in the file system, compressed or not.
    Tar(String),
    /// An archive on standard input.
    StandardInput,
    Git(GitContext),
    /// An archive on a server.
    Https(Hidden),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitContext {
    /// Without user and password.
    pub url: String,
    /// `main`, `refs/tags/v1` or a commit: what follows the first `#`.
    pub reference: Option<String>,
    /// What follows the second `#`.
    pub commit: Option<String>,
    /// What follows a colon in the reference: a directory of the repository.
    pub directory: Option<String>,
    /// `--git branch=`: a branch or a tag; it goes before the reference.
    pub branch: Option<String>,
    pub single_branch: bool,
    /// Zero is the whole history.
    pub depth: u32,
    pub recurse_submodules: bool,
    pub skip_tls_verify: bool,
    /// User and password.
    pub login: Option<(Hidden, Hidden)>,
}

/// Reads `--context`, `--bucket` and `--git`.
pub(super) fn context(
    line: &CommandLine,
    environment: &BTreeMap<String, String>,
) -> Result<Context, Refusal> {
    // Asked for here so that a bucket is refused in the words of its flag.
    drop(line.all("bucket"));
    let options = line.all("git");
    let written = line.text("context").ok_or_else(|| {
        Refusal::new(
            missing("--context", "nothing to build"),
            "give the directory, or `tar://…`, `git://…`, `https://…`",
        )
    })?;
    let Some((scheme, rest)) = written.split_once("://") else {
        return Ok(Context::Directory(written));
    };
    let context = match scheme {
        "dir" if rest.is_empty() => return Err(no_path(&written, "dir:///workspace")),
        "tar" if rest.is_empty() => return Err(no_path(&written, "tar:///path/to/context.tar.gz")),
        "dir" => Context::Directory(rest.to_string()),
        "tar" if rest == "stdin" => Context::StandardInput,
        "tar" => Context::Tar(rest.to_string()),
        "gs" | "s3" => return Err(bucket(scheme, &written)),
        "git" => Context::Git(git(&written, rest, environment, &options)?),
        "https" if is_azure(rest) => return Err(bucket("azure", &written)),
        "https" if is_repository(rest) => Context::Git(git(&written, rest, environment, &options)?),
        "https" => Context::Https(Hidden(written.clone())),
        _ => {
            return Err(Refusal::new(
                malformed(
                    format!("--context={}", redacted(&written)),
                    format!("unknown scheme `{scheme}://`"),
                ),
                "write a directory, `dir://`, `tar://`, `tar://stdin`, `git://` or `https://`",
            ));
        }
    };
    Ok(context)
}

fn no_path(written: &str, example: &str) -> Refusal {
    Refusal::new(
        invalid("context", format!("--context={written}")),
        format!("write it as `{example}`"),
    )
}

/// Buckets have clients of their own, which CI images have anyway.
fn bucket(kind: &str, written: &str) -> Refusal {
    let address = redacted(written);
    let command = match kind {
        "gs" => format!("gcloud storage cp {address} context.tar.gz"),
        "s3" => format!("aws s3 cp {address} context.tar.gz"),
        _ => format!("az storage blob download --blob-url {address} --file context.tar.gz"),
    };
    Refusal::new(
        Fact::Unsupported(format!("--context={address}: a bucket")),
        format!("fetch it first, `{command}`, and give `--context=tar://context.tar.gz`"),
    )
}

fn is_azure(rest: &str) -> bool {
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    [
        ".blob.core.windows.net",
        ".blob.core.chinacloudapi.cn",
        ".blob.core.cloudapi.de",
        ".blob.core.usgovcloudapi.net",
    ]
    .iter()
    .any(|suffix| host.ends_with(suffix))
}

/// `https://host/repository.git`, with or without `#reference`.
fn is_repository(rest: &str) -> bool {
    rest.split('#')
        .next()
        .is_some_and(|path| path.trim_end_matches('/').ends_with(".git") && !path.contains('?'))
}

/// `[user[:password]@]host/path[#reference[:directory]][#commit]`.
fn git(
    written: &str,
    rest: &str,
    environment: &BTreeMap<String, String>,
    options: &[String],
) -> Result<GitContext, Refusal> {
    let mut parts = rest.split('#');
    let place = parts.next().unwrap_or_default();
    let part = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(String::from);
    let reference = part(parts.next());
    let commit = part(parts.next());
    if place.is_empty() || parts.next().is_some() {
        return Err(Refusal::new(
            invalid(
                "address of a repository",
                format!("--context={}", redacted(written)),
            ),
            "write `git://host/path.git#reference#commit`; reference and commit can be left out",
        ));
    }
    let (login, place) = match place
        .split_once('/')
        .map_or(place, |(host, _)| host)
        .rfind('@')
    {
        Some(at) => (Some(&place[..at]), &place[at + 1..]),
        None => (None, place),
    };
    let mut git = GitContext {
        url: format!("{}://{place}", method(environment)),
        login: login_from(environment).or_else(|| {
            let (user, password) = login?.split_once(':').unwrap_or((login?, ""));
            Some((Hidden(user.into()), Hidden(password.into())))
        }),
        commit,
        ..GitContext::default()
    };
    // No reference of git holds a colon.
    (git.reference, git.directory) = match reference.as_deref().map(|r| r.split_once(':')) {
        Some(Some((reference, directory))) => (part(Some(reference)), part(Some(directory))),
        _ => (reference, None),
    };
    for name in [&git.reference, &git.commit].into_iter().flatten() {
        check_name("--context", name)?;
    }
    for option in options {
        apply(&mut git, option)?;
    }
    Ok(git)
}

/// No name begins as an option of git.
fn check_name(flag: &str, name: &str) -> Result<(), Refusal> {
    if name.starts_with('-')
        || name.contains(char::is_whitespace)
        || name.contains(char::is_control)
    {
        return Err(Refusal::new(
            invalid(
                "name of a branch, tag or commit",
                format!("{flag}: {name:?}"),
            ),
            "write it as `git branch` or `git tag` lists it",
        ));
    }
    Ok(())
}

/// kaniko's `GIT_PULL_METHOD`: `https` unless it says `http`.
fn method(environment: &BTreeMap<String, String>) -> &'static str {
    match environment.get("GIT_PULL_METHOD").map(String::as_str) {
        Some("http") => "http",
        _ => "https",
    }
}

/// A token is the user, without a password, as kaniko sends it.
fn login_from(environment: &BTreeMap<String, String>) -> Option<(Hidden, Hidden)> {
    let text = |name: &str| environment.get(name).cloned().unwrap_or_default();
    let (user, password) = match text("GIT_TOKEN") {
        token if !token.is_empty() => (token, String::new()),
        _ => (text("GIT_USERNAME"), text("GIT_PASSWORD")),
    };
    (!user.is_empty() || !password.is_empty()).then_some((Hidden(user), Hidden(password)))
}

/// One `--git key=value`.
fn apply(git: &mut GitContext, option: &str) -> Result<(), Refusal> {
    let (key, text) = option
        .split_once('=')
        .expect("pairs are checked at the door");
    let name = format!("--git {key}");
    match key {
        "branch" => {
            check_name("--git branch", text)?;
            git.branch = Some(text.to_string()).filter(|t| !t.is_empty());
        }
        "single-branch" => git.single_branch = value::boolean(&name, text)?,
        "recurse-submodules" => git.recurse_submodules = value::boolean(&name, text)?,
        "insecure-skip-tls" => git.skip_tls_verify = value::boolean(&name, text)?,
        "depth" => {
            git.depth = u32::try_from(value::integer(&name, text)?).map_err(|_| {
                Refusal::new(
                    invalid("number of commits", format!("{name}={text}")),
                    "write 0 for all of them, or how many",
                )
            })?;
        }
        _ => {
            let options = [
                "branch",
                "single-branch",
                "depth",
                "recurse-submodules",
                "insecure-skip-tls",
            ];
            return Err(Refusal::new(
                unknown("option", format!("`{key}` of --git")),
                imgmake_core::manifest::suggest::help(key, options).unwrap_or_default(),
            ));
        }
    }
    Ok(())
}

/// An address without what can be secret in it: user, password and query.
pub(super) fn redacted(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let host_ends = rest.find('/').unwrap_or(rest.len());
    let rest = match rest[..host_ends].rfind('@') {
        Some(at) => format!("…@{}", &rest[at + 1..]),
        None => rest.to_string(),
    };
    match rest.split_once('?') {
        Some((path, _)) => format!("{scheme}{path}?…"),
        None => format!("{scheme}{rest}"),
    }
}

impl Context {
    /// How messages call it: nothing secret is in it.
    pub fn name(&self) -> String {
        match self {
            Context::Directory(path) | Context::Tar(path) => path.clone(),
            Context::StandardInput => "standard input".into(),
            Context::Git(git) => git.url.clone(),
            Context::Https(address) => redacted(&address.0),
        }
    }
}
