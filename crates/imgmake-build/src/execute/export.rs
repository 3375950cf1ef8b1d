//! The files of an image outside of it: in a directory or in a tar archive, as BuildKit's exporters write them.

use std::fs::File;
use std::io;
use std::path::Path;

use super::engine::Engine;
use super::layers::LayerAccess;
use super::layers_of;
use super::rewrite::Rewrite;
use crate::define::base::BaseImages;
use crate::error::{Context, Result};
use crate::rootfs::unpack_files;
use imgmake_event::Cancel;
use imgmake_oci::image::{Descriptor, Platform};
use imgmake_oci::layer::{
    Compression, Entry, EntryKind, Layer, LayerReader, LayerWriter, decompress, join,
};
use imgmake_oci::store::Store;

/// How the files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesForm {
    /// Among the files of a directory; they belong to whoever builds.
    Directory,
    /// With the owners and attributes that the image has.
    Tar,
}

/// Writes the files of an image. Those of each of several platforms are in a directory that is named after it:
/// `linux_arm64`.
///
/// # Errors
/// A layer that cannot be had; a place that cannot be written; a device, which no directory of an ordinary user holds.
pub fn write_files(
    engine: &Engine,
    target: &str,
    root: &Descriptor,
    platforms: &[Platform],
    form: FilesForm,
    to: &Path,
) -> Result<()> {
    let cx = engine.for_target(target);
    let bases = engine.bases(&cx, false);
    let access = layers_of(engine, &cx);
    let mut trees = Vec::new();
    for platform in platforms {
        let image = bases.built(target, root, platform)?;
        let directory = match platforms {
            [_] => String::new(),
            _ => platform.to_string().replace('/', "_"),
        };
        trees.push((directory, merged(&access, &image.layers, &cx.cancel)?));
    }
    match form {
        FilesForm::Directory => {
            for (directory, tree) in &trees {
                let to = to.join(directory);
                std::fs::create_dir_all(&to)
                    .with_context(|| format!("cannot make `{}`", to.display()))?;
                cx.store
                    .with_blob(tree.digest(), |blob| unpack_files(blob, &to, &cx.cancel))?;
            }
            Ok(())
        }
        FilesForm::Tar => write_tar(&trees, &cx.store, to, &cx.cancel),
    }
}

/// All layers as one, which is a plain tar archive.
fn merged(access: &LayerAccess, layers: &[Layer], cancel: &Cancel) -> Result<Layer> {
    let all: Vec<&Layer> = layers.iter().collect();
    access.read_indexes(&all)?;
    let rewrite = Rewrite::squash(&access.indexes(layers)?, 0)?;
    let read: Vec<&Layer> = rewrite.sources().map(|number| &layers[number]).collect();
    access.pull(&read)?;
    rewrite.write(layers, Compression::None, &access.cx.store, cancel)
}

/// One file, there whole or not at all.
fn write_tar(trees: &[(String, Layer)], store: &Store, to: &Path, cancel: &Cancel) -> Result<()> {
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let failed = || format!("cannot write `{}`", to.display());
    std::fs::create_dir_all(parent).with_context(failed)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let file = tempfile::Builder::new()
        .prefix(".imgmake-")
        .permissions(permissions)
        .tempfile_in(parent)
        .with_context(failed)?;
    let out: File = file.as_file().try_clone().with_context(failed)?;
    let mut writer = LayerWriter::new(out, Compression::None)?.stopped_by(cancel);
    for (directory, tree) in trees {
        if !directory.is_empty() {
            writer.append_empty(&Entry::directory(directory, 0o755))?;
        }
        store.with_blob(tree.digest(), |blob| {
            copy(&mut writer, blob, directory.as_bytes(), cancel)
        })?;
    }
    writer.finish()?;
    file.persist(to)
        .map_err(|error| error.error)
        .with_context(failed)?;
    Ok(())
}

/// Every entry, below a directory.
fn copy(
    writer: &mut LayerWriter,
    tree: impl io::Read + Send,
    directory: &[u8],
    cancel: &Cancel,
) -> Result<()> {
    let mut reader = LayerReader::new(decompress(cancel.reader(tree))?).stopped_by(cancel);
    while let Some(mut entry) = reader.next_entry()? {
        if entry.path.is_empty() {
            continue;
        }
        if !directory.is_empty() {
            entry.path = join(directory, &entry.path);
            if let EntryKind::HardLink { target } = &mut entry.kind {
                *target = join(directory, target);
            }
        }
        writer.append(&entry, &mut reader)?;
    }
    Ok(())
}
