//! Bake files and Compose files as manifests: what `import` writes, and what `-f compose.yaml` and `-f docker-bake.hcl` read.

use std::collections::BTreeMap;
use std::path::Path;

use crate::exit::Exit;
use imgmake_compat::import::bake::{self, Form, Imported, Mistake, Request, Unsayable, Variable};
use imgmake_compat::import::kdl;

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

/// The manifest that a Compose file or a bake file is, for one run.
///
/// # Errors
/// It has a mistake, or says what no manifest can; a Dockerfile in it would have to be a file.
pub fn manifest_of_import(name: &str, text: &str, directory: &Path) -> Result<String, Exit> {
    let files = [bake::File { name, text }];
    let now = jiff::Timestamp::now().to_string();
    let source = Source {
        name,
        files: &files,
        wanted: &[],
        overrides: &[],
        now: &now,
        directory,
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
    Ok(written.text)
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
                let is_read = self.files.iter().any(|file| file.name == other);
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
        }
    }
}
