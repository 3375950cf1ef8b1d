//! Where push-only takes its image from: an archive, what an earlier step left in
//! the workspace's store, or a registry.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use crate::daemon::{Daemon, Kind};
use crate::exit::{Exit, FAILED};
use crate::targets::Tools;
use imgmake_compat::Step;
use imgmake_compat::nodes::{parts, plain};
use imgmake_compat::step::NamedImage;
use imgmake_core::manifest::PushFrom;
use imgmake_event::Cancel;
use imgmake_oci::image::Reference;
use imgmake_oci::store::Store;

/// Push-only takes an image that an earlier step left in the workspace, else one
/// of a registry where the plugin would have looked there too.
pub fn find(
    step: &mut Step,
    store: &Store,
    workspace: &Path,
    variables: &BTreeMap<String, String>,
    cancel: &Cancel,
    tell: &dyn Fn(String),
) -> Result<(), Exit> {
    if let Some(archive) = &step.preparations.archive
        && !workspace.join(archive).exists()
    {
        let message = format!(
            "cannot push `{archive}`: archive not found in `{}`",
            workspace.display()
        );
        return Err(Exit::error(FAILED, message)
            .with_help("write it in an earlier step with PLUGIN_TAR_PATH; paths start at the working directory"));
    }
    let Some(NamedImage { name, remote }) = step.preparations.image.clone() else {
        return Ok(());
    };
    // The image to push was not named: the step before built it, perhaps for
    // another registry.
    let unnamed = step.names.first() == Some(&name);
    let from_store = |name: String| PushFrom::Stored(plain(name));
    if let Some(stored) = named(store, &name) {
        tell(from_where(store, &stored));
        step.push_from(&from_store(stored));
    } else if let Some(other) = unnamed.then(|| elsewhere(store, &name)).flatten() {
        tell(format!(
            "note: `{name}` is pushed from `{other}`, which an earlier step built"
        ));
        tell(from_where(store, &other));
        step.push_from(&from_store(other));
    } else if remote {
        match of_daemon(store, &name, variables, cancel, tell)? {
            Some(archive) => {
                tell(format!("note: `{name}` comes from the Docker daemon"));
                step.push_from(&PushFrom::Tar {
                    path: plain(archive),
                    pick: None,
                });
            }
            None => return Ok(()),
        }
    } else {
        let message = format!(
            "cannot push `{name}`: image not found in the workspace's store `{}`",
            store.root().display()
        );
        return Err(Exit::error(FAILED, message).with_help(format!(
            "{}; build it in an earlier step with PLUGIN_NO_PUSH=true, or name an archive in PLUGIN_SOURCE_TAR_PATH",
            held(store)
        )));
    }
    // Found: its registry need not be asked.
    step.preparations.image = None;
    Ok(())
}

/// The image as an archive, out of a Docker daemon that is there and has it.
fn of_daemon(
    store: &Store,
    name: &str,
    variables: &BTreeMap<String, String>,
    cancel: &Cancel,
    tell: &dyn Fn(String),
) -> Result<Option<String>, Exit> {
    let Some(daemon) = Daemon::find(Kind::Docker, variables, cancel)? else {
        return Ok(None);
    };
    match daemon.id(name) {
        Ok(Some(_)) => {}
        Ok(None) => return Ok(None),
        Err(error) => {
            tell(format!(
                "note: {error:#}; the image is looked up in its registry instead"
            ));
            return Ok(None);
        }
    }
    let path = store.temporary_dir()?.join("image.tar");
    let failed = || format!("cannot write `{}`", path.display());
    let mut file = std::fs::File::create(&path).with_context(failed)?;
    daemon.save(name, &mut file)?;
    Ok(Some(path.display().to_string()))
}

/// The store's own name of an image: `app` and `docker.io/library/app:latest` are one.
fn named(store: &Store, name: &str) -> Option<String> {
    let wanted = parts(name);
    let mut names = store.images().into_iter().map(|(stored, _)| stored);
    names.find(|stored| parts(stored) == wanted && store.tagged(stored).is_some())
}

/// The one image that was built under this name and tag for another registry.
fn elsewhere(store: &Store, name: &str) -> Option<String> {
    let short = |name: &str| {
        let (_, repository, tag) = parts(name);
        let last = repository
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_string();
        (last, tag)
    };
    let wanted = short(name);
    let mut images = store.images();
    images.retain(|(stored, _)| short(stored) == wanted && store.tagged(stored).is_some());
    let (first, image) = images.first()?;
    let one = images.iter().all(|(_, other)| other.digest == image.digest);
    one.then(|| first.clone())
}

/// What is pushed, and who says that it is this image: its content is proven, its name is
/// that of whoever wrote into the workspace.
fn from_where(store: &Store, name: &str) -> String {
    let digest = store.tagged(name).map(|image| image.digest.to_string());
    let proof = match store.is_own_name(name) {
        true => "",
        false => ", under a name that anyone who can write to the workspace could have set",
    };
    format!(
        "note: `{name}` is {} of the store `{}`{proof}",
        digest.unwrap_or_default(),
        store.root().display()
    )
}

/// What could have been meant, for help.
fn held(store: &Store) -> String {
    let names: Vec<String> = store.images().into_iter().map(|(name, _)| name).collect();
    match names.len() {
        0 => "it contains no image".to_string(),
        1..=8 => format!("it contains {}", names.join(", ")),
        more => format!(
            "it contains {} and {} more",
            names[..8].join(", "),
            more - 8
        ),
    }
}

/// Asked before the push begins: the registry of an image that the workspace does
/// not hold. Elsewhere there is nothing to ask.
pub fn check(step: &Step, tools: &Tools, store: &Store) -> Result<(), Exit> {
    match &step.preparations.image {
        Some(image) => is_there(&image.name, tools, store),
        None => Ok(()),
    }
}

fn is_there(name: &str, tools: &Tools, store: &Store) -> Result<(), Exit> {
    let found = tools.client()?.head(&reference(name)?);
    let why = match found {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => "its registry does not have it".to_string(),
        Err(error) => error.to_string(),
    };
    let message = format!(
        "cannot push `{name}`: image not found: it is not in the workspace's store `{}`, no Docker daemon has it, and {why}",
        store.root().display()
    );
    Err(Exit::error(FAILED, message).with_help(format!(
        "{}; name what an earlier step built in PLUGIN_SOURCE_IMAGE, or an archive in PLUGIN_SOURCE_TAR_PATH; PLUGIN_NO_PUSH=true, not PLUGIN_PUSH_ONLY, builds without pushing",
        held(store)
    )))
}

fn reference(name: &str) -> Result<Reference, Exit> {
    name.parse()
        .map_err(|error: imgmake_oci::image::ReferenceError| Exit::error(FAILED, error))
}
