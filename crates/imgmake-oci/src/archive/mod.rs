//! Images as files: docker archives, OCI archives and OCI layouts, written and read.
//! Knows images, layers and the store. Knows no registry, and no daemon but by
//! the formats it loads.
//!
//! ```text
//! docker archive   oci-layout, index.json, manifest.json, blobs/sha256/…
//! OCI archive      oci-layout, index.json,                blobs/sha256/…
//! layout           the same as an OCI archive, in a directory
//! ```
//!
//! A docker archive's `manifest.json` names the compressed blobs, as `docker save`
//! does since version 25: so one file serves `docker load`, and a push from it
//! keeps every digest. Equal images give equal bytes.

mod candidate;
mod contents;
mod docker;
mod import;
mod layout;
mod members;
mod name;
mod output;
mod recognize;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::error::{Context, OciError, Result};

use crate::image::{Descriptor, to_json};
use crate::store::Store;

pub use contents::blobs;
pub use import::Imported;
pub use layout::write_layout;

use contents::{Contents, blob_name};
use docker::DockerImage;
use layout::{LAYOUT_FILE, index_of, named};
use name::Name;
use output::{Body, Member, write_archive};
use source::Source;

/// Writes a docker archive: each image with its `repo:tag` names.
///
/// # Errors
/// An image of several platforms (an OCI archive can hold those), a blob that the
/// store lacks, a name that is none, a destination that cannot be written.
pub fn write_docker(
    store: &Store,
    images: &[(Descriptor, Vec<String>)],
    path: &Path,
) -> Result<()> {
    let action = || format!("cannot write the docker archive `{}`", path.display());
    let members = docker_members(store, images).with_context(action)?;
    write_archive(store, &members, path).with_context(action)
}

/// The same as a stream, for whoever does not want a file.
///
/// # Errors
/// As [`write_docker`].
pub fn send_docker(
    store: &Store,
    images: &[(Descriptor, Vec<String>)],
    out: &mut dyn std::io::Write,
) -> Result<()> {
    let members = docker_members(store, images)?;
    let mut buffered = std::io::BufWriter::with_capacity(128 << 10, out);
    output::write_members(store, &members, &mut buffered)?;
    Ok(std::io::Write::flush(&mut buffered)?)
}

fn docker_members(store: &Store, images: &[(Descriptor, Vec<String>)]) -> Result<Vec<Member>> {
    let mut docker_images: Vec<DockerImage> = Vec::new();
    let (mut descriptors, mut blobs) = (Vec::new(), Vec::new());
    for (root, names) in images {
        let names = Name::parse_all(names)?;
        let contents = Contents::of(store, root)?;
        docker_images.push(DockerImage::of(&contents, &names)?);
        descriptors.extend(named(root, &names));
        blobs.extend(contents.blobs);
    }
    if images.is_empty() {
        return Err(OciError::not_found("image to write", ""));
    }
    let mut members = oci_members(&descriptors);
    members.push(Member::bytes("manifest.json", to_json(&docker_images)));
    members.extend(blob_members(blobs));
    Ok(members)
}

/// Writes an OCI archive: the tar of a layout.
///
/// # Errors
/// A blob that the store lacks, a name that is none, a destination that cannot be written.
pub fn write_oci_archive(
    store: &Store,
    root: &Descriptor,
    names: &[String],
    path: &Path,
) -> Result<()> {
    let action = || format!("cannot write the OCI archive `{}`", path.display());
    let names = Name::parse_all(names).with_context(action)?;
    let contents = Contents::of(store, root).with_context(action)?;
    let mut members = oci_members(&named(root, &names));
    members.extend(blob_members(contents.blobs));
    write_archive(store, &members, path).with_context(action)
}

/// Reads an image from a docker archive, OCI archive or layout (known by content,
/// packed or not) into the store, verifying every digest and diff id.
///
/// `pick` chooses among several: a name or tag, a digest, a platform, or the
/// number that the error lists.
///
/// # Errors
/// What is there is no image, or damaged, or holds several and `pick` does not say which.
pub fn read(store: &Store, path: &Path, pick: Option<&str>) -> Result<Imported> {
    let action = || format!("cannot read an image from `{}`", path.display());
    let source = Source::open(store, path).with_context(action)?;
    let candidates = candidate::list(&source).with_context(action)?;
    let chosen = candidate::pick(candidates, pick).with_context(action)?;
    import::import(store, &source, chosen).with_context(action)
}

/// The same for the image with this number, from 1, in the order in which an archive has them.
///
/// # Errors
/// As [`read`].
pub fn read_numbered(store: &Store, path: &Path, number: usize) -> Result<Imported> {
    let action = || format!("cannot read an image from `{}`", path.display());
    let source = Source::open(store, path).with_context(action)?;
    let candidates = candidate::list(&source).with_context(action)?;
    let chosen = candidate::numbered(candidates, number).with_context(action)?;
    import::import(store, &source, chosen).with_context(action)
}

/// Metadata first: who reads a pipe knows what is coming.
fn oci_members(descriptors: &[Descriptor]) -> Vec<Member> {
    vec![
        Member::bytes("oci-layout", LAYOUT_FILE.to_vec()),
        Member::bytes("index.json", to_json(&index_of(descriptors.to_vec()))),
    ]
}

fn blob_members(blobs: Vec<Descriptor>) -> impl Iterator<Item = Member> {
    let mut seen = std::collections::BTreeSet::new();
    blobs
        .into_iter()
        .filter(move |blob| seen.insert(blob.digest.clone()))
        .map(|blob| Member {
            name: blob_name(&blob.digest),
            body: Body::Blob(Box::new(blob)),
        })
}
