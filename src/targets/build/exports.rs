//! What is made of an image: archives, layouts, its files, images in daemons.

use anyhow::{Context, anyhow, bail};

use super::super::task::BuildTask;
use super::super::{images, load, outputs};
use crate::no_links::refuse_links;
use imgmake_build::{FilesForm, write_files};
use imgmake_core::manifest::{ExportForm, TarFormat};
use imgmake_core::state::{FileKind, Output};
use imgmake_oci::archive;
use imgmake_oci::image::{Descriptor, Platform};

/// Writes what the target declares, and loads the image where it is wanted.
pub(super) fn write(task: &BuildTask<'_>, root: &Descriptor) -> anyhow::Result<Vec<Output>> {
    let mut exported = Vec::new();
    export_files(task, root, &mut exported)?;
    if let Some((id, layout)) = &task.runner.tools.layout_of
        && *id == task.id
    {
        images::fetch_missing(task.runner, task.name, root)?;
        archive::write_layout(task.runner.store()?, root, &[], layout)?;
    }
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

/// What an image holds decides where a path inside of an exported directory leads.
fn refuse_nested(task: &BuildTask<'_>) -> anyhow::Result<()> {
    let target = task.target;
    let tar = target.tar.iter().map(|tar| &tar.path.value);
    let layout = target.layout.iter().map(|layout| &layout.value);
    let exports = target.exports.iter().map(|export| &export.path.value);
    for path in tar.chain(layout).chain(exports) {
        for export in &target.exports {
            let directory = &export.path.value;
            let (inner, outer) = (task.runner.path(path), task.runner.path(directory));
            if inner != outer && inner.starts_with(&outer) {
                bail!(
                    "the output `{path}` is inside the export `{directory}`; use a separate directory"
                );
            }
        }
    }
    Ok(())
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
    refuse_nested(task)?;
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
        // Neither a link of the checkout nor one that an image brought along leads out of the directory.
        let project = &task.runner.project.directory;
        let directories = platforms
            .iter()
            .map(|one| one.to_string().replace('/', "_"));
        for place in std::iter::once(to.clone()).chain(directories.map(|name| to.join(name))) {
            refuse_links(&place, project).map_err(|exit| anyhow!("{}", exit.text))?;
        }
        write_files(&engine, task.name, root, &platforms, form, &to)
            .with_context(|| format!("cannot export to `{path}`"))?;
        exported.push(outputs::written(task.runner, FileKind::Export, path)?);
    }
    Ok(())
}
