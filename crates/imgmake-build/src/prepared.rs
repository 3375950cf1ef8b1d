//! A request with its definition: the Dockerfile from disk, or from the context that is fetched.

use std::fs::File;
use std::path::Path;

use crate::checkouts::Checkout;
use crate::define::definition::ParsedDefinition;
use crate::define::steps::fetched;
use crate::error::{BuildError, Context, Result};
use crate::files::source::Source;
use crate::files::{download, git};
use crate::request::{BuildRequest, RemoteContext};
use crate::rootfs::unpack_archive;
use crate::target::TargetContext;
use imgmake_core::fingerprint::LengthPrefixedHasher;
use imgmake_guard::checkout;

/// # Errors
/// As [`ParsedDefinition::prepare`]; the context cannot be fetched, or has no such file.
pub fn prepare(
    request: &BuildRequest,
    cx: &TargetContext,
) -> Result<(ParsedDefinition, BuildRequest)> {
    let definition = match request.fetched_dockerfile() {
        None => ParsedDefinition::read(request)?,
        Some((context, path)) => {
            let (name, bytes) = of_context(context, path, cx, request)?;
            ParsedDefinition::of(&name, bytes)?
        }
    };
    ParsedDefinition::prepare(definition, request, cx)
}

/// Read once for each content of the context, and kept in the store: a run in which nothing is to do fetches
/// nothing.
fn of_context(
    context: &RemoteContext,
    path: &Path,
    cx: &TargetContext,
    request: &BuildRequest,
) -> Result<(String, Vec<u8>)> {
    let written = path.display().to_string();
    let mut key = LengthPrefixedHasher::new();
    key.text("Dockerfile of a context").text(&written);
    match fetched(context)? {
        Source::Git(source) => {
            let commit = git::resolve(&source, cx, request)?;
            key.text(&source.key(&commit));
            let read = || {
                let checkout = git::kept_checkout(&source, &commit, cx, request)?;
                in_directory(&checkout, path, &source.to_string())
            };
            Ok((written, kept(&key.hex(), cx, read)?))
        }
        Source::Download(download) => {
            let fetched = download::fetch(&download, cx, request)?;
            let shown = download::redacted(&download.url);
            key.text("archive").bytes(&fetched.hash);
            let read = || {
                let unpacked = Checkout::empty(&cx.store, &cx.cancel)?;
                let archive = File::open(&fetched.path)?;
                unpack_archive(archive, unpacked.directory(), &cx.cancel)
                    .with_context(|| format!("cannot use `{shown}` as a context"))?;
                in_directory(&unpacked, path, &shown)
            };
            Ok((written, kept(&key.hex(), cx, read)?))
        }
        Source::Tree(_) | Source::Inline(_) => {
            Err(BuildError::internal("what is fetched is elsewhere"))
        }
    }
}

fn kept(key: &str, cx: &TargetContext, read: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    if let Some(bytes) = cx.store.step(key) {
        return Ok(bytes);
    }
    let bytes = read()?;
    cx.store.put_step(key, &bytes)?;
    Ok(bytes)
}

/// A file of somebody's tree, whose links lead nowhere else.
fn in_directory(checkout: &Checkout, path: &Path, place: &str) -> Result<Vec<u8>> {
    let root = &checkout.root;
    let read = checkout::Checkout::new([root.as_path()]).read(&root.join(path));
    read.with_context(|| format!("cannot read the Dockerfile `{}` of {place}", path.display()))
}
