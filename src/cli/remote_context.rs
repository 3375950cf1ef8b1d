//! A plugin's `PLUGIN_CONTEXT` that is not a directory: kaniko's contexts for its
//! plugins, repositories as Docker writes them for the others. What is fetched lies
//! among the store's temporary files, and the variables then name it.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::exit::{Exit, FAILED};
use super::kaniko::context::context;
use super::kaniko::git::{KEEP_GIT, explained, git_directory};
use imgmake_compat::plugin::Family;
use imgmake_git::{Client, GitDirectory, Remote, Submodules};
use imgmake_oci::store::Store;

const CONTEXT: &str = "PLUGIN_CONTEXT";

/// Whether there may be something to fetch.
pub fn is_remote(environment: &Environment) -> bool {
    let context = environment.get(CONTEXT).unwrap_or_default();
    context.starts_with("git@") || context.contains("://") && !context.starts_with("dir://")
}

/// The environment with a directory for a context; `None` if nothing is to be fetched.
///
/// # Errors
/// The context cannot be had.
pub fn fetched(
    family: Family,
    environment: &Environment,
    store: &Store,
    client: &Client,
) -> Result<Option<Environment>, Exit> {
    let Some(written) = environment.get(CONTEXT) else {
        return Ok(None);
    };
    let directory = match family {
        Family::Kaniko if is_kaniko_context(written) => {
            let sub_path = environment.get("PLUGIN_CONTEXT_SUB_PATH");
            let context = context(written, sub_path, environment, store, client);
            context.map_err(in_variables)?
        }
        Family::Buildx | Family::Buildah if is_repository(written) => {
            docker_git_context(written, environment, store, client)?
        }
        _ => return Ok(None),
    };
    let mut variables = environment.variables.clone();
    variables.remove("PLUGIN_CONTEXT_SUB_PATH");
    if family != Family::Kaniko {
        // Docker looks nowhere else for it.
        let dockerfile = environment.get("PLUGIN_DOCKERFILE").unwrap_or("Dockerfile");
        let dockerfile = directory.join(dockerfile.trim_start_matches("./"));
        variables.insert("PLUGIN_DOCKERFILE".into(), text(&dockerfile)?);
    }
    variables.insert(CONTEXT.into(), text(&directory)?);
    Ok(Some(environment.with_variables(variables)))
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
    environment: &Environment,
    store: &Store,
    client: &Client,
) -> Result<PathBuf, Exit> {
    let keep = build_arg(environment, KEEP_GIT);
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

/// One of a list's build arguments.
fn build_arg(environment: &Environment, name: &str) -> Option<String> {
    let lists = ["PLUGIN_BUILD_ARGS", "PLUGIN_BUILD_ARGS_NEW"];
    let pairs = lists.iter().filter_map(|list| environment.get(list));
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
