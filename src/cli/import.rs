//! `import`: a manifest for what a bake file says.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::Global;
use super::environment::Environment;
use super::output::{print, tell};
use super::project;
use crate::exit::{Exit, USAGE};
use crate::output_file::write_whole;
use imgmake_compat::import::bake::{self, Imported, Mistake, Request, Variable};
use imgmake_compat::import::kdl;

const FILES: [&str; 2] = ["docker-bake.hcl", "docker-bake.json"];

pub fn import(
    global: &Global,
    file: Option<&str>,
    wanted: &[String],
    environment: &Environment,
) -> Result<u8, Exit> {
    let directory = global.directory.clone().unwrap_or_else(|| ".".into());
    let manifest = directory.join(&global.file);
    refuse_existing(&manifest)?;
    let file = match file {
        Some(file) => file.to_string(),
        None => found(&directory)?,
    };
    let path = directory.join(&file);
    let text = imgmake_guard::bounded::read_text(&path)
        .map_err(|error| Exit::usage(format!("cannot read `{}`: {error}", path.display())))?;
    let source = Source {
        file: &file,
        text: &text,
        wanted,
        overrides: &global.sets,
    };
    let written = source.written().map_err(|mistake| {
        let exit = Exit::usage(mistake.to_string());
        match mistake.help {
            Some(help) => exit.with_help(help),
            None => exit,
        }
    })?;
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
    let plain = Global {
        sets: Vec::new(),
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

fn found(directory: &Path) -> Result<String, Exit> {
    let here = FILES.iter().find(|file| directory.join(file).exists());
    here.map(|file| (*file).to_string()).ok_or_else(|| {
        Exit::error(USAGE, format!("`{}` not found", FILES.join("` or `")))
            .with_help("name the bake file: `imgmake import FILE`")
    })
}

struct Source<'a> {
    file: &'a str,
    text: &'a str,
    wanted: &'a [String],
    overrides: &'a [String],
}

impl Source<'_> {
    fn written(&self) -> Result<kdl::Written, Mistake> {
        let wanted = match self.wanted {
            [] => bake::everything(&self.request(&BTreeMap::new(), &[]))?,
            names => names.to_vec(),
        };
        let plain = BTreeMap::new();
        let imported = bake::read(&self.request(&plain, &wanted))?;
        if let Some(one) = imported.repositories.first() {
            return Err(Mistake {
                file: self.file.to_string(),
                line: one.line,
                message: format!(
                    "target `{}`: a context is a repository, and a manifest's is a directory",
                    one.target
                ),
                help: Some("check it out beside the manifest, and name its directory".into()),
            });
        }
        // One whose mark makes the file a mistake decides something: it stays a value.
        let works = |variable: &Variable| {
            self.marked(std::slice::from_ref(variable), &wanted)
                .is_some()
        };
        let mut kept = bake::variables(&self.request(&plain, &wanted))?;
        kept.retain(works);
        let all = self.marked(&kept, &wanted);
        let single = kept
            .iter()
            .filter_map(|variable| self.marked(std::slice::from_ref(variable), &wanted));
        let marked: Vec<Imported> = all.into_iter().chain(single).collect();
        let mut written = kdl::manifest(&imported, &marked, &kept, self.file);
        let mut others = bake::variable_names(&self.request(&plain, &wanted))?;
        others.retain(|name| kept.iter().all(|variable| variable.name != *name));
        if !others.is_empty() {
            written.notes.push(format!(
                "not variables of the manifest, since they are not plain texts; what depends on them is written as its value: {}",
                imgmake_guard::printable::list(&others)
            ));
        }
        Ok(written)
    }

    fn marked(&self, variables: &[Variable], wanted: &[String]) -> Option<Imported> {
        let marks = variables.iter();
        let marks = marks
            .map(|variable| (variable.name.clone(), variable.mark.clone()))
            .collect();
        bake::read(&self.request(&marks, wanted)).ok()
    }

    fn request<'a>(
        &'a self,
        environment: &'a BTreeMap<String, String>,
        wanted: &'a [String],
    ) -> Request<'a> {
        Request {
            file: self.file,
            text: self.text,
            environment,
            wanted,
            overrides: self.overrides,
            now: "1970-01-01T00:00:00Z",
        }
    }
}
