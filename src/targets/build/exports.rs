//! What is made of an image: archives, layouts, its files, images in daemons.

use anyhow::Context;

use super::super::task::BuildTask;
use super::super::{images, load, outputs};
use imgmake_build::{FilesForm, write_files};
use imgmake_core::manifest::{ExportForm, TarFormat};
use imgmake_core::state::{FileKind, Output};
use imgmake_oci::archive;
use imgmake_oci::image::{Descriptor, Platform};

/// Writes what the target declares, and loads the image where it is wanted.
pub(super) fn write(task: &BuildTask<'_>, root: &Descriptor) -> anyhow::Result<Vec<Output>> {
    let mut exported = Vec::new();
    export_files(task, root, &mut exported)?;
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

/// The image's files, without the image: for each of several platforms in a directory of its own.
fn export_files(
    task: &BuildTask<'_>,
    root: &Descriptor,
    exported: &mut Vec<Output>,
) -> anyhow::Result<()> {
    if task.target.exports.is_empty() {
        return Ok(());
    }
    let engine = task.runner.engine()?;
    let written = task.target.platforms.iter();
    let platforms: Result<Vec<Platform>, _> = written.map(|text| text.value.parse()).collect();
    let mut platforms = platforms?;
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    for export in &task.target.exports {
        let path = &export.path.value;
        let form = match export.form {
            ExportForm::Directory => FilesForm::Directory,
            ExportForm::Tar => FilesForm::Tar,
        };
        let to = task.runner.path(path);
        write_files(&engine, task.name, root, &platforms, form, &to)
            .with_context(|| format!("cannot export to `{path}`"))?;
        exported.push(outputs::written(task.runner, FileKind::Export, path)?);
    }
    Ok(())
}
