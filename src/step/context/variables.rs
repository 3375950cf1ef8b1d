//! A plugin's `PLUGIN_CONTEXT` that is not a directory: kaniko's contexts for its
//! plugins, repositories as Docker writes them for the others. What is fetched lies
//! among the store's temporary files, and the variables then name it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fetch::StandardInput;
use super::git::{KEEP_GIT, explained, git_directory};
use super::kaniko;
use crate::exit::{Exit, FAILED};
use imgmake_compat::plugin::Family;
use imgmake_git::{Client, GitDirectory, Remote, Submodules};
use imgmake_oci::store::Store;

const CONTEXT: &str = "PLUGIN_CONTEXT";

/// Whether there may be something to fetch.
pub fn is_remote(variables: &BTreeMap<String, String>) -> bool {
    let context = get(variables, CONTEXT).unwrap_or_default();
    context.starts_with("git@") || context.contains("://") && !context.starts_with("dir://")
}

/// The variables with a directory for a context; `None` if nothing is to be fetched.
///
/// # Errors
/// The context cannot be had.
pub fn fetched(
    family: Family,
    variables: &BTreeMap<String, String>,
    store: &Store,
    client: &Client,
    standard_input: StandardInput<'_>,
) -> Result<Option<BTreeMap<String, String>>, Exit> {
    let Some(written) = get(variables, CONTEXT) else {
        return Ok(None);
    };
    let directory = match family {
        Family::Kaniko if is_kaniko_context(written) => {
            let sub_path = get(variables, "PLUGIN_CONTEXT_SUB_PATH");
            let context =
                kaniko::named(written, sub_path, variables, store, client, standard_input);
            context.map_err(in_variables)?
        }
        Family::Buildx | Family::Buildah if is_repository(written) => {
            docker_git_context(written, variables, store, client)?
        }
        _ => return Ok(None),
    };
    let mut changed = variables.clone();
    changed.remove("PLUGIN_CONTEXT_SUB_PATH");
    if family != Family::Kaniko {
        // Docker looks nowhere else for it.
        let dockerfile = get(variables, "PLUGIN_DOCKERFILE").unwrap_or("Dockerfile");
        let dockerfile = directory.join(dockerfile.trim_start_matches("./"));
        changed.insert("PLUGIN_DOCKERFILE".into(), text(&dockerfile)?);
    }
    changed.insert(CONTEXT.into(), text(&directory)?);
    Ok(Some(changed))
}

/// What kaniko calls by its flags, by the plugin's variables.
fn in_variables(exit: Exit) -> Exit {
    let text = exit
        .text
        .replace("--context-sub-path=", "PLUGIN_CONTEXT_SUB_PATH=")
        .replace("--context=", "PLUGIN_CONTEXT=");
    Exit { text, ..exit }
}

fn is_kaniko_context(written: &str) -> bool {
    ["git://", "https://", "tar://"]
        .iter()
        .any(|scheme| written.starts_with(scheme))
}

/// What Docker takes for a repository.
fn is_repository(written: &str) -> bool {
    let place = written.split('#').next().unwrap_or_default();
    let is_web = place.starts_with("https://") || place.starts_with("http://");
    let is_git = ["git://", "ssh://", "git@"];
    is_web && place.ends_with(".git") || is_git.iter().any(|start| place.starts_with(start))
}

fn docker_git_context(
    written: &str,
    variables: &BTreeMap<String, String>,
    store: &Store,
    client: &Client,
) -> Result<PathBuf, Exit> {
    let keep = build_arg(variables, KEEP_GIT);
    repository(CONTEXT, written, keep.as_deref(), store, client)
}

/// `REMOTE[#REFERENCE[:DIRECTORY]]`, as a directory among the store's temporary files.
/// `place_of` is who names it, for messages.
///
/// # Errors
/// It cannot be had.
pub fn repository(
    place_of: &str,
    written: &str,
    keep: Option<&str>,
    store: &Store,
    client: &Client,
) -> Result<PathBuf, Exit> {
    let (place, fragment) = written.split_once('#').unwrap_or((written, ""));
    let (reference, inner) = fragment.split_once(':').unwrap_or((fragment, ""));
    let failed = |name: &str, error: &anyhow::Error| {
        Exit::error(FAILED, format!("{place_of}={name}: {error:#}"))
    };
    let remote = Remote::parse(place).map_err(|error| failed("…", &error.into()))?;
    let name = remote.address.to_string();
    let keep = match keep {
        None | Some("") => GitDirectory::Remove,
        argument => git_directory(argument),
    };
    let fetch = || -> anyhow::Result<PathBuf> {
        let is_commit =
            matches!(reference.len(), 40 | 64) && reference.bytes().all(|b| b.is_ascii_hexdigit());
        let commit = match reference {
            commit if is_commit => commit.to_ascii_lowercase(),
            "" => client.resolve(&remote, "HEAD")?,
            reference => client.resolve(&remote, reference)?,
        };
        let directory = store.temporary_dir()?;
        client.checkout(&remote, &commit, &directory, keep, Submodules::Recursive)?;
        Ok(directory.canonicalize()?)
    };
    let whole =
        fetch().map_err(|error| failed(&name, &explained(error, remote.login.is_some())))?;
    let wanted = whole.join(inner.trim_matches('/'));
    let found = wanted.canonicalize().ok();
    found
        .filter(|path| path.is_dir() && path.starts_with(&whole))
        .ok_or_else(|| {
            Exit::error(
                FAILED,
                format!("{place_of}={name} has no directory `{inner}`"),
            )
        })
}

/// A variable that is set and not empty.
fn get<'a>(variables: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let text = variables.get(name).map(String::as_str);
    text.filter(|text| !text.is_empty())
}

/// One of a list's build arguments.
fn build_arg(variables: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let lists = ["PLUGIN_BUILD_ARGS", "PLUGIN_BUILD_ARGS_NEW"];
    let pairs = lists.iter().filter_map(|list| get(variables, list));
    let mut pairs = pairs.flat_map(|list| list.split([',', ';']));
    let found = pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
    found.map(String::from)
}

fn text(path: &Path) -> Result<String, Exit> {
    path.to_str().map(String::from).ok_or_else(|| {
        Exit::error(
            FAILED,
            format!("the path `{}` is not UTF-8", path.display()),
        )
    })
}
