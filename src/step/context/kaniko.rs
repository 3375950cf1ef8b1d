//! The directory that one of kaniko's contexts comes to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{fetch, git};
use crate::exit::{Exit, FAILED};
use imgmake_compat::plugin::kaniko::{self, Invocation, Request};
use imgmake_compat::plugin::{Refusal, Workspace};
use imgmake_git::Client;
use imgmake_guard::checkout::Checkout;
use imgmake_oci::store::Store;

/// A context of kaniko's, named by one of its plugins.
///
/// # Errors
/// It is not a context, or cannot be fetched.
pub(super) fn named(
    written: &str,
    sub_path: Option<&str>,
    variables: &BTreeMap<String, String>,
    store: &Store,
    client: &Client,
    standard_input: fetch::StandardInput<'_>,
) -> Result<PathBuf, Exit> {
    let workspace = Workspace {
        environment: variables,
        read: &|path| here().read_to_string(Path::new(path)),
        now: "",
    };
    let mut arguments = vec!["--no-push".to_string(), format!("--context={written}")];
    arguments.extend(sub_path.map(|path| format!("--context-sub-path={path}")));
    let Invocation::Build(request) = kaniko::interpret(&arguments, &workspace).map_err(refused)?
    else {
        unreachable!("neither help nor version is asked for")
    };
    let repositories = git::Repositories {
        client: client.clone(),
        git_directory: git::git_directory(None),
    };
    let root = fetch::context(&request.context, store, &repositories, standard_input)
        .map_err(|error| fetch_failed(&request, &error))?;
    within(&request, &root)
}

/// The wanted directory of the context: nothing outside of it, whatever is a link there.
pub fn within(request: &Request, root: &Path) -> Result<PathBuf, Exit> {
    let sub_path = request.within().map_err(refused)?;
    let whole = match sub_path.as_str() {
        // Joining nothing would add a slash, which a file does not bear.
        "" => root.to_path_buf(),
        sub_path => root.join(sub_path),
    };
    let name = request.context.name();
    if !whole.is_dir() {
        let message = match (sub_path.is_empty(), whole.exists()) {
            (true, false) => format!("--context={name}: directory not found"),
            (true, true) => format!("--context={name} is not a directory"),
            (false, _) => {
                format!("--context-sub-path={sub_path}: directory not found in the context {name}")
            }
        };
        return Err(Exit::error(FAILED, message).with_help(no_directory(&name)));
    }
    let is_inside = || {
        Some(
            whole
                .canonicalize()
                .ok()?
                .starts_with(root.canonicalize().ok()?),
        )
    };
    if !sub_path.is_empty() && is_inside() != Some(true) {
        return Err(Exit::error(
            FAILED,
            format!("--context-sub-path={sub_path} leads out of the context {name}"),
        )
        .with_help("a link is followed only inside the context"));
    }
    Ok(whole)
}

/// What to give instead of a context that is not there.
fn no_directory(name: &str) -> &'static str {
    match name {
        // Nobody wrote it.
        kaniko::DEFAULT_CONTEXT => {
            "it is kaniko's default; give the directory of the sources, such as `--context=.`"
        }
        "pwd" | "$PWD" | "$(pwd)" | "`pwd`" => {
            "single quotes keep the shell from filling it in; write `--context=.`"
        }
        _ => "give an existing directory; write an archive as `tar://FILE`",
    }
}

pub fn fetch_failed(request: &Request, error: &anyhow::Error) -> Exit {
    Exit::error(
        FAILED,
        format!("--context={}: {error:#}", request.context.name()),
    )
}

/// The working directory, which may be a checkout.
pub fn here() -> Checkout {
    Checkout::new([Path::new(".")])
}

pub fn refused(refusal: Refusal) -> Exit {
    let exit = Exit::error(FAILED, refusal.fact);
    if refusal.help.is_empty() {
        return exit;
    }
    exit.with_help(refusal.help)
}
