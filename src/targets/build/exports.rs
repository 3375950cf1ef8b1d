//! What is made of an image: archives, layouts, images in daemons.

use super::super::task::BuildTask;
use super::super::{images, load, outputs};
use imgmake_core::manifest::TarFormat;
use imgmake_core::state::{FileKind, Output};
use imgmake_oci::archive;
use imgmake_oci::image::Descriptor;

/// Writes what the target declares, and loads the image where it is wanted.
pub(super) fn write(task: &BuildTask<'_>, root: &Descriptor) -> anyhow::Result<Vec<Output>> {
    let mut exported = Vec::new();
    if task.target.tar.is_none() && task.target.layout.is_none() && task.target.load.is_empty() {
        return Ok(exported);
    }
    let store = task.runner.store()?;
    if task.target.tar.is_some() || task.target.layout.is_some() {
        images::fetch_missing(task.runner, task.name, root)?;
    }
    let tags: Vec<String> = task
        .target
        .tags
        .iter()
        .map(|tag| tag.value.clone())
        .collect();
    if let Some(tar) = &task.target.tar {
        let path = task.runner.path(&tar.path.value);
        match tar.format {
            TarFormat::Docker => {
                archive::write_docker(store, &[(root.clone(), tags.clone())], &path)?
            }
            TarFormat::Oci => archive::write_oci_archive(store, root, &tags, &path)?,
        }
        exported.push(outputs::written(
            task.runner,
            FileKind::Tar,
            &tar.path.value,
        )?);
    }
    if let Some(layout) = &task.target.layout {
        archive::write_layout(store, root, &tags, &task.runner.path(&layout.value))?;
        exported.push(outputs::written(
            task.runner,
            FileKind::Layout,
            &layout.value,
        )?);
    }
    for node in &task.target.load {
        exported.extend(load::load(task, node, root)?);
    }
    Ok(exported)
}
