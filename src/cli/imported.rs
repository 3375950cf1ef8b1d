//! Bake files and Compose files as manifests: what `import` writes, and what `-f compose.yaml` and `-f docker-bake.hcl` read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::manifest_files::Disk;
use crate::exit::Exit;
use imgmake_compat::import::bake::{
    self, Form, Imported, Mistake, Others, Request, Unsayable, Valueless, Variable,
};
use imgmake_compat::import::kdl;
use imgmake_core::manifest::{Files, TargetKind};
use imgmake_oci::image::Reference;

/// Another time: what is different then depends on the time.
const ANOTHER_TIME: &str = "1970-12-30T22:58:57Z";

const ENV_FILE: &str = ".env";

/// By its name.
pub fn is_compose(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// A Compose file or a bake file, by its name.
pub fn is_imported(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_compose(name) || lower.ends_with(".hcl") || lower.ends_with(".json")
}

/// The manifest that a Compose file or a bake file is, for one run, and the other files that it is made of.
///
/// # Errors
/// It has a mistake, or says what no manifest can; a Dockerfile in it would have to be a file.
pub fn manifest_of_import(
    name: &str,
    text: &str,
    directory: &Path,
) -> Result<(String, Vec<String>), Exit> {
    let files = [bake::File { name, text }];
    let others = others(&files, directory)?;
    let now = jiff::Timestamp::now().to_string();
    let source = Source {
        name,
        files: &files,
        wanted: &[],
        overrides: &[],
        now: &now,
        directory,
        others: &others,
    };
    let written = source.written().map_err(usage)?;
    if let Some((file, _)) = written.files.first() {
        let message = format!("`{name}` contains a Dockerfile, which must be a file: `{file}`");
        return Err(Exit::usage(message).with_help(format!(
            "`imgmake import {name}` writes it, and a manifest that names it"
        )));
    }
    for note in &written.notes {
        super::output::tell(format!("note: {note}"));
    }
    Ok((written.text, others.into_keys().collect()))
}

/// The files that Compose files name with `include` and `extends`, and their env-files.
///
/// # Errors
/// One cannot be read; there are too many.
pub fn others(files: &[bake::File], directory: &Path) -> Result<Others, Exit> {
    let mut others = Others::new();
    let disk = Disk {
        directory,
        left_out: &[],
    };
    let environment = BTreeMap::new();
    loop {
        let missing = bake::missing(&Request {
            files,
            environment: &environment,
            wanted: &[],
            overrides: &[],
            now: "",
            unsayable: Unsayable::LeftOut,
            others: &others,
            valueless: Valueless::Later,
        });
        let missing = missing.map_err(usage)?;
        if missing.is_empty() {
            return Ok(others);
        }
        for path in missing {
            let text = match disk.read(&path) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(Exit::usage(format!("cannot read `{path}`: {error}"))),
            };
            others.insert(path, text);
        }
    }
}

/// Variables whose defaults are in names of images and make them invalid: somebody always gives them another value.
fn without_use(imported: &Imported, marked: &Imported, variables: &[Variable]) -> Vec<String> {
    let is_name = |text: &str| text.parse::<Reference>().is_ok();
    let tags = |all: &Imported| -> Vec<String> {
        let builds = all.targets.iter().filter_map(|target| match &target.kind {
            TargetKind::Build(build) => Some(&build.tags),
            _ => None,
        });
        builds.flatten().map(|tag| tag.value.clone()).collect()
    };
    let mut found = Vec::new();
    for (own, marked) in tags(imported).iter().zip(tags(marked)) {
        if is_name(own) {
            continue;
        }
        // The name as one variable makes it, whatever the others say.
        let filled = |value: &dyn Fn(&Variable) -> String| {
            let mut text = marked.clone();
            for variable in variables {
                text = text.replace(&variable.mark, &value(variable));
            }
            text
        };
        for variable in variables {
            // An empty one gets a default of its own.
            let counts = variable.form == Form::Default && !variable.value.is_empty();
            let with_default = |one: &Variable| match one.name == variable.name {
                true => one.value.clone(),
                false => "x".to_string(),
            };
            if counts
                && marked.contains(&variable.mark)
                && is_name(&filled(&|_| "x".to_string()))
                && !is_name(&filled(&with_default))
            {
                found.push(variable.name.clone());
            }
        }
    }
    found
}

/// A mistake of the file, with its help.
pub fn usage(mistake: Mistake) -> Exit {
    let exit = Exit::usage(mistake.to_string());
    match mistake.help {
        Some(help) => exit.with_help(help),
        None => exit,
    }
}

pub struct Source<'a> {
    /// For people.
    pub name: &'a str,
    pub files: &'a [bake::File<'a>],
    pub wanted: &'a [String],
    pub overrides: &'a [String],
    pub now: &'a str,
    /// Where the files are.
    pub directory: &'a Path,
    /// Files that these name.
    pub others: &'a Others,
}

impl Source<'_> {
    /// # Errors
    /// The first mistake of the files, or what no manifest can say.
    pub fn written(&self) -> Result<kdl::Written, Mistake> {
        let plain = BTreeMap::new();
        let wanted = match self.wanted {
            [] => bake::everything(&self.request(&plain, &[], self.now))?,
            names => names.to_vec(),
        };
        let request = self.request(&plain, &wanted, self.now);
        let mut imported = bake::read(&request)?;
        let mut files = self.files.iter();
        // As Compose reads it: beside the file, over the defaults in it.
        if files.any(|file| is_compose(file.name)) && self.directory.join(ENV_FILE).is_file() {
            imported.env_files.push(ENV_FILE.to_string());
        }
        imported.notes.extend(self.overrides_that_are_not_read());
        if self.wanted.is_empty() {
            let mut parents = bake::mere_parents(&request)?;
            parents.retain(|name| imported.targets.iter().all(|t| t.name.value != *name));
            if !parents.is_empty() {
                imported.notes.push(format!(
                    "left out, because other targets inherit from them and no group has them: {}; `imgmake import {} NAME…` takes those that are named",
                    imgmake_guard::printable::list(&parents),
                    self.name,
                ));
            }
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
        // The default of a place needs its variable.
        let names: Vec<String> = kept.iter().map(|variable| variable.name.clone()).collect();
        kept.retain(|variable| match &variable.form {
            Form::DefaultOf(name) => names.contains(name),
            Form::Default | Form::Given | Form::NotEmpty => true,
        });
        let all = marked(&kept);
        for name in all
            .iter()
            .flat_map(|all| without_use(&imported, all, &kept))
            .collect::<BTreeSet<String>>()
        {
            imported.notes.push(format!(
                "`{name}`: its default makes no valid name of an image, so the variable has none: set it, or give `--var {name}=…`"
            ));
            let variables = kept.iter_mut().filter(|variable| variable.name == name);
            variables.for_each(|variable| variable.form = Form::Given);
            let marks = kept.iter().filter(|variable| variable.name == name);
            let marks: Vec<&str> = marks.map(|variable| variable.mark.as_str()).collect();
            // Which registry it is, nobody knows yet.
            let is_placed = |names: &[String]| {
                let mut names = names
                    .iter()
                    .map(|name| name.rsplit_once(':').map_or(&**name, |n| n.0));
                !names.any(|place| marks.iter().any(|mark| place.contains(*mark)))
            };
            let published = all.iter().flat_map(|all| &all.published);
            let unplaced = published.filter(|(_, names)| !is_placed(names));
            for (target, _) in unplaced {
                let before = imported.published.len();
                imported.published.retain(|(known, _)| known != target);
                if imported.published.len() < before {
                    imported.notes.push(format!(
                        "no `push` is written for `{target}`: `{name}` decides where its image goes"
                    ));
                }
            }
        }
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
                "not variables of the manifest, because they are not plain texts; values that depend on them are written as they are now: {}",
                imgmake_guard::printable::list(&others)
            ));
        }
        Ok(written)
    }

    /// Compose itself reads them over the file.
    fn overrides_that_are_not_read(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for file in self.files.iter().filter(|file| is_compose(file.name)) {
            let Some((stem, _)) = file.name.rsplit_once('.') else {
                continue;
            };
            for end in ["yaml", "yml"] {
                let other = format!("{stem}.override.{end}");
                let is_read = self.files.iter().any(|file| file.name == other)
                    || self.others.contains_key(&other);
                if !is_read && self.directory.join(&other).is_file() {
                    notes.push(format!(
                        "`{other}` is not read: `imgmake import {} --merge {other}` does",
                        file.name
                    ));
                }
            }
        }
        notes
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
            others: self.others,
            valueless: Valueless::Later,
        }
    }
}
