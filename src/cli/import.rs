//! `import`: a manifest for what a bake file or a Compose file says.

use std::path::Path;

use super::args::Global;
use super::environment::Environment;
use super::importable::files_of_bake;
use super::imported::{Source, others, usage};
use super::output::{print, tell};
use super::project;
use crate::exit::{Exit, USAGE};
use crate::output_file::write_whole;
use imgmake_compat::import::bake;

pub fn import(
    global: &Global,
    file: Option<&str>,
    merged: &[String],
    wanted: &[String],
    environment: &Environment,
) -> Result<u8, Exit> {
    let directory = global.directory.clone().unwrap_or_else(|| ".".into());
    let manifest = directory.join(&global.file);
    refuse_existing(&manifest)?;
    let names = match file {
        Some(file) => [&[file.to_string()], merged].concat(),
        None => [&found(&directory)?, merged].concat(),
    };
    let mut texts = Vec::new();
    for name in &names {
        let path = directory.join(name);
        let text = imgmake_guard::bounded::read_text(&path)
            .map_err(|error| Exit::usage(format!("cannot read `{}`: {error}", path.display())))?;
        texts.push(text);
    }
    let files = names.iter().zip(&texts);
    let files: Vec<bake::File> = files
        .map(|(name, text)| bake::File { name, text })
        .collect();
    let others = others(&files, &directory)?;
    let read = others.iter().filter(|(_, text)| text.is_some());
    let read = read.map(|(path, _)| path.clone());
    let all: Vec<String> = names.iter().cloned().chain(read).collect();
    let file = imgmake_guard::printable::listed(&all, ", ");
    let now = jiff::Timestamp::now().to_string();
    let source = Source {
        name: &file,
        files: &files,
        wanted,
        overrides: &global.sets,
        now: &now,
        directory: &directory,
        others: &others,
    };
    let written = source.written().map_err(usage)?;
    let beside: Vec<(std::path::PathBuf, &String)> = written
        .files
        .iter()
        .map(|(name, text)| (directory.join(name), text))
        .collect();
    for (path, _) in &beside {
        refuse_existing(path)?;
    }
    for (path, text) in &beside {
        write_whole(path, text.as_bytes())?;
    }
    write_whole(&manifest, written.text.as_bytes())?;
    // What cannot be loaded is not left behind.
    // `--set` was the bake file's.
    // What has no default is not needed before something is built.
    let demanded = written.demanded.iter();
    let missing = demanded.filter(|name| environment.get(name).is_none());
    let missing = missing.map(|name| format!("{name}=x"));
    let plain = Global {
        sets: Vec::new(),
        vars: global.vars.iter().cloned().chain(missing).collect(),
        ..global.clone()
    };
    if let Err(exit) = project::load(&plain, environment) {
        let paths = beside.iter().map(|(path, _)| path.as_path());
        for path in paths.chain([manifest.as_path()]) {
            drop(std::fs::remove_file(path));
        }
        tell(format!("error: `{file}` cannot be converted to a manifest"));
        return Err(exit);
    }
    for note in &written.notes {
        tell(format!("note: {note}"));
    }
    print(&format!("wrote {} from {file}\n", manifest.display()))?;
    Ok(0)
}

fn refuse_existing(path: &Path) -> Result<(), Exit> {
    match path.exists() {
        false => Ok(()),
        true => Err(Exit::usage(format!("`{}` exists already", path.display()))
            .with_help("give another name with `-f`, or move it away")),
    }
}

fn found(directory: &Path) -> Result<Vec<String>, Exit> {
    let here = files_of_bake(directory);
    match here.is_empty() {
        false => Ok(here),
        true => Err(Exit::error(
            USAGE,
            "`docker-bake.hcl`, `docker-bake.json` or `compose.yaml` not found",
        )
        .with_help("name the file: `imgmake import FILE`")),
    }
}
