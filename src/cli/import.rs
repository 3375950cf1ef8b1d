//! `import`: a manifest for what a bake file says.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::Global;
use super::environment::Environment;
use super::output::{print, tell};
use super::project;
use crate::exit::{Exit, USAGE};
use crate::output_file::write_whole;
use imgmake_compat::import::bake::{self, Imported, Mistake, Request, Unsayable, Variable};
use imgmake_compat::import::kdl;

/// As bake reads them, a later one over the earlier.
const FILES: [&str; 4] = [
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];
/// Another time: what is different then depends on the time.
const ANOTHER_TIME: &str = "1970-12-30T22:58:57Z";

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
    let file = imgmake_guard::printable::listed(&names, ", ");
    let now = jiff::Timestamp::now().to_string();
    let source = Source {
        name: &file,
        files: &files,
        wanted,
        overrides: &global.sets,
        now: &now,
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

fn found(directory: &Path) -> Result<Vec<String>, Exit> {
    let here = FILES.iter().filter(|file| directory.join(file).exists());
    let here: Vec<String> = here.map(|file| (*file).to_string()).collect();
    match here.iter().any(|file| !file.contains(".override.")) {
        true => Ok(here),
        false => Err(
            Exit::error(USAGE, "`docker-bake.hcl` or `docker-bake.json` not found")
                .with_help("name the bake file: `imgmake import FILE`"),
        ),
    }
}

struct Source<'a> {
    /// For people.
    name: &'a str,
    files: &'a [bake::File<'a>],
    wanted: &'a [String],
    overrides: &'a [String],
    now: &'a str,
}

impl Source<'_> {
    fn written(&self) -> Result<kdl::Written, Mistake> {
        let plain = BTreeMap::new();
        let wanted = match self.wanted {
            [] => bake::everything(&self.request(&plain, &[], self.now))?,
            names => names.to_vec(),
        };
        let request = self.request(&plain, &wanted, self.now);
        let imported = bake::read(&request)?;
        if let Some(one) = imported.repositories.first() {
            return Err(Mistake {
                file: one.place.clone(),
                line: None,
                message: format!(
                    "target `{}`: a context is a repository, and a manifest's is a directory",
                    one.target
                ),
                help: Some("check it out beside the manifest, and name its directory".into()),
            });
        }
        // One whose mark makes the file a mistake, or leaves a target out, decides something: it
        // stays a value.
        let targets = imported.targets.len();
        let marked = |variables: &[Variable]| {
            let marked = self.marked(variables, &wanted)?;
            (marked.targets.len() == targets).then_some(marked)
        };
        let mut kept = bake::variables(&request)?;
        kept.retain(|variable| marked(std::slice::from_ref(variable)).is_some());
        let all = marked(&kept);
        let single = kept
            .iter()
            .filter_map(|variable| marked(std::slice::from_ref(variable)));
        let twins: Vec<Imported> = all.into_iter().chain(single).collect();
        let later = bake::read(&self.request(&plain, &wanted, ANOTHER_TIME)).ok();
        let mut written = kdl::manifest(&imported, &twins, later.as_ref(), &kept, self.name);
        let mut others = bake::variable_names(&request)?;
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
        bake::read(&self.request(&marks, wanted, self.now)).ok()
    }

    fn request<'a>(
        &'a self,
        environment: &'a BTreeMap<String, String>,
        wanted: &'a [String],
        now: &'a str,
    ) -> Request<'a> {
        Request {
            files: self.files,
            environment,
            wanted,
            overrides: self.overrides,
            now,
            unsayable: match self.wanted {
                [] => Unsayable::LeftOut,
                _ => Unsayable::Refused,
            },
        }
    }
}
