//! A Compose file and those that it names as one: `include` and `extends` are followed, and all paths start
//! where those of the main file do (compose-spec, "Include" and "Extends"; compose-go, `loader/include.go`,
//! `loader/extends.go`).
//!
//! Opens no file: what others hold comes in as values, and what is missing is noted for whoever can read it.

mod merge;
mod paths;
mod scope;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::json::{Json, Kind, Name, object};
use super::others::{Others, lines};
use super::problem::{Problem, unknown};
use super::yaml::{self, copy, size};
use scope::Scope;

/// Includes within includes, and services that extend services; more are a mistake.
const DEEPEST: usize = 32;
/// Files that a Compose file may name, those that do not exist counted.
const MOST_FILES: usize = 512;
/// Values that `extends` and `include` may copy, as a file may hold them.
const MOST_COPIED: usize = 1_000_000;

const TOP: [&str; 9] = [
    "configs", "include", "models", "name", "networks", "secrets", "services", "version", "volumes",
];
/// What is read of a service; how it runs is not looked at.
const OF_SERVICES: [&str; 5] = ["build", "env_file", "environment", "extends", "image"];
const OF_INCLUDES: [&str; 3] = ["env_file", "path", "project_directory"];
const OF_EXTENDS: [&str; 2] = ["file", "service"];

type Members = Vec<(Name, Json)>;

/// Files beside the main one, and which of them are still to be read.
pub(super) struct Library<'a> {
    texts: &'a Others,
    /// The first line of each, counted through all files of a request.
    begins: BTreeMap<&'a str, usize>,
    missing: RefCell<BTreeSet<String>>,
}

impl<'a> Library<'a> {
    /// `after` lines of other files.
    pub(super) fn new(texts: &'a Others, after: usize) -> Library<'a> {
        let mut line = after;
        let mut begins = BTreeMap::new();
        for (path, text) in texts {
            begins.insert(path.as_str(), line);
            line += text.as_deref().map_or(0, lines);
        }
        Library {
            texts,
            begins,
            missing: RefCell::default(),
        }
    }

    pub(super) fn missing(&self) -> Vec<String> {
        self.missing.borrow().iter().cloned().collect()
    }

    /// The text and the lines before it; nothing, if there is no such file or it is still to be read.
    fn text(&self, path: &str) -> Result<Option<(&'a str, usize)>, Problem> {
        match self.texts.get_key_value(path) {
            Some((path, text)) => {
                let text = text.as_deref();
                Ok(text.map(|text| (text, self.begins[path.as_str()])))
            }
            None if self.texts.len() + self.missing.borrow().len() >= MOST_FILES => {
                let message = format!("Compose files name more than {MOST_FILES} others");
                Err(Problem::at(None, message))
            }
            None => {
                self.missing.borrow_mut().insert(path.to_string());
                Ok(None)
            }
        }
    }

    /// Whether the file is known not to be there.
    fn is_absent(&self, path: &str) -> bool {
        matches!(self.texts.get(path), Some(None))
    }
}

/// Services whose `extends` and `include` are followed, and the secrets of all files.
pub(super) struct Composed {
    pub services: Members,
    pub secrets: Members,
    /// Where `services` stands in the main file.
    pub line: usize,
}

/// `before` lines stand in the files before this one.
///
/// # Errors
/// Not YAML; no services; a circle; a service or file that does not exist.
pub(super) fn composed(
    path: &str,
    text: &str,
    before: usize,
    library: &Library,
) -> Result<Composed, Problem> {
    let mut reader = Reader {
        library,
        scopes: vec![Scope::default()],
        documents: Vec::new(),
        bases: BTreeMap::new(),
        done: BTreeMap::new(),
        copied: 0,
    };
    let file = File {
        path,
        directory: "",
        scope: 0,
    };
    let mut including = vec![paths::clean(path)];
    let read = reader.file(&file, text, before, &mut including)?;
    let line = read.services_line.ok_or_else(|| {
        Problem::at(None, "a Compose file has `services`")
            .with_help("a bake file ends with `.hcl` or `.json`")
    });
    match (line, read.has_include) {
        (Err(problem), false) => Err(problem),
        (line, _) => Ok(Composed {
            services: read.services,
            secrets: read.secrets,
            line: line.unwrap_or(before + 1),
        }),
    }
}

/// A file as it is read.
struct File<'a> {
    path: &'a str,
    /// Where its paths start, seen from where those of the main file do; empty is there.
    directory: &'a str,
    scope: usize,
}

#[derive(Default)]
struct Read {
    services: Members,
    secrets: Members,
    services_line: Option<usize>,
    has_include: bool,
}

/// Services of a file before their `extends` is followed.
struct Document {
    path: String,
    directory: String,
    scope: usize,
    services: BTreeMap<String, Json>,
}

impl Document {
    fn of(file: &File, services: Members) -> Document {
        let named = services.into_iter().map(|(name, value)| (name.text, value));
        Document {
            path: file.path.to_string(),
            directory: file.directory.to_string(),
            scope: file.scope,
            services: named.collect(),
        }
    }
}

struct Reader<'a, 'l> {
    library: &'l Library<'a>,
    /// Of the included files; the first is that of the main file.
    scopes: Vec<Scope>,
    documents: Vec<Document>,
    /// Files that services extend, by path and scope.
    bases: BTreeMap<(String, usize), usize>,
    /// Services whose `extends` is followed.
    done: BTreeMap<(usize, String), Json>,
    copied: usize,
}

impl Reader<'_, '_> {
    /// A file with what it includes.
    fn file(
        &mut self,
        file: &File,
        text: &str,
        before: usize,
        including: &mut Vec<String>,
    ) -> Result<Read, Problem> {
        let mut top = self.parsed(text, before)?;
        let mut read = Read::default();
        for (name, value) in &top {
            let key = name.text.as_str();
            if !TOP.contains(&key) && !key.starts_with("x-") {
                return Err(unknown(Some(name.line), key, &TOP));
            }
            if key == "services" {
                read.services_line = Some(value.line);
            }
        }
        let include = take(&mut top, "include").filter(|one| !matches!(one.kind, Kind::Null));
        let mut services = self.services(&mut top, file)?;
        read.secrets = self.secrets(&mut top, file)?;
        if let Some(include) = include {
            read.has_include = true;
            for one in self.includes(&include)? {
                let included = self.include(file, &one, including)?;
                import(&mut services, included.services, merge::service)?;
                import(&mut read.secrets, included.secrets, merge::value)?;
            }
        }
        let document = self.documents.len();
        let named = |(name, _): &(Name, Json)| (name.text.clone(), name.line);
        let names: Vec<(String, usize)> = services.iter().map(named).collect();
        self.documents.push(Document::of(file, services));
        for (text, line) in names {
            let mut service = self.extended(document, &text, line, &mut Vec::new())?;
            paths::default_context(&mut service, file.directory);
            read.services.push((Name { line, text }, service));
        }
        Ok(read)
    }

    /// The keys of a file, whose lines are counted through all of them.
    fn parsed(&self, text: &str, before: usize) -> Result<Members, Problem> {
        let moved = |problem: Problem| Problem {
            line: problem.line.map(|line| line + before),
            ..problem
        };
        let mut document = yaml::parse(text).map_err(moved)?;
        document.move_down(before);
        let line = document.line;
        match document.kind {
            Kind::Object(pairs) => Ok(pairs),
            Kind::Null => Ok(Vec::new()),
            _ => Err(Problem::at(Some(line), "a Compose file is a map")),
        }
    }

    /// What is read of the services, with paths that start in the main file's directory.
    fn services(&self, top: &mut Members, file: &File) -> Result<Members, Problem> {
        let Some(said) = take(top, "services") else {
            return Ok(Vec::new());
        };
        let mut services = members(said, "`services`")?;
        for (name, service) in &mut services {
            object(service, &format!("the service `{}`", name.text))?;
            let Kind::Object(pairs) = &mut service.kind else {
                continue;
            };
            pairs.retain(|(name, _)| OF_SERVICES.contains(&name.text.as_str()));
            self.scopes[file.scope].apply(service)?;
            paths::of_service(service, file.directory)?;
        }
        Ok(services)
    }

    fn secrets(&self, top: &mut Members, file: &File) -> Result<Members, Problem> {
        let Some(said) = take(top, "secrets") else {
            return Ok(Vec::new());
        };
        let mut secrets = members(said, "`secrets`")?;
        for (_, secret) in &mut secrets {
            self.scopes[file.scope].apply(secret)?;
            paths::of_secret(secret, file.directory)?;
        }
        Ok(secrets)
    }

    /// Each entry of `include`: a path, or a map with `path`, `project_directory` and `env_file`.
    fn includes(&self, include: &Json) -> Result<Vec<Include>, Problem> {
        let Kind::List(list) = &include.kind else {
            return Err(Problem::at(Some(include.line), "`include` is a list"));
        };
        let one = |entry: &Json| {
            let mut read = Include {
                line: entry.line,
                paths: Vec::new(),
                directory: None,
                env_files: Vec::new(),
            };
            let Kind::Object(pairs) = &entry.kind else {
                read.paths = vec![path_of(entry, "include")?];
                return Ok(read);
            };
            for (name, value) in pairs {
                match name.text.as_str() {
                    "path" => read.paths = paths_of(value, "path")?,
                    "env_file" => read.env_files = paths_of(value, "env_file")?,
                    "project_directory" => {
                        read.directory = Some(path_of(value, "project_directory")?);
                    }
                    key => return Err(unknown(Some(name.line), key, &OF_INCLUDES)),
                }
            }
            match read.paths.is_empty() {
                true => Err(Problem::at(Some(entry.line), "an `include` has a `path`")),
                false => Ok(read),
            }
        };
        list.iter().map(one).collect()
    }

    /// What the files of one `include` say together: later ones are over the earlier.
    fn include(
        &mut self,
        from: &File,
        include: &Include,
        including: &mut Vec<String>,
    ) -> Result<Read, Problem> {
        let at = Some(include.line);
        let paths: Vec<String> = include
            .paths
            .iter()
            .map(|path| paths::join(from.directory, path))
            .collect();
        let directory = match &include.directory {
            Some(directory) => paths::join(from.directory, directory),
            None => paths::parent(&paths[0]).to_string(),
        };
        let directory = if directory == "." {
            String::new()
        } else {
            directory
        };
        if including.len() > DEEPEST {
            let message = format!("`include`: more than {DEEPEST} files include each other");
            return Err(Problem::at(at, message));
        }
        let scope = self.scope(from, include, &directory)?;
        let mut all = Read::default();
        for path in &paths {
            if including.contains(path) {
                let circle: Vec<&str> = including.iter().map(String::as_str).collect();
                let message = format!("`include` in a circle: {} → {path}", circle.join(" → "));
                return Err(Problem::at(at, message));
            }
            let Some((text, before)) = self.library.text(path)? else {
                self.exists(path, at)?;
                continue;
            };
            let file = File {
                path,
                directory: &directory,
                scope,
            };
            including.push(path.clone());
            let read = self.file(&file, text, before, including)?;
            including.pop();
            all.services = over(
                std::mem::take(&mut all.services),
                read.services,
                merge::service,
            )?;
            all.secrets = over(std::mem::take(&mut all.secrets), read.secrets, merge::value)?;
        }
        Ok(all)
    }

    fn exists(&self, path: &str, at: Option<usize>) -> Result<(), Problem> {
        match self.library.is_absent(path) {
            true => Err(Problem::at(at, format!("file `{path}` not found"))),
            false => Ok(()),
        }
    }

    /// The variables of an included file: those of its `env_file`, or of `.env` in its directory.
    fn scope(&mut self, from: &File, include: &Include, directory: &str) -> Result<usize, Problem> {
        let mut scope = self.scopes[from.scope].clone();
        let files: Vec<String> = match &include.env_files[..] {
            // The manifest names that of its own directory.
            [] if directory.is_empty() => return Ok(from.scope),
            [] => vec![paths::join(directory, ".env")],
            files => files
                .iter()
                .filter(|file| *file != "/dev/null")
                .map(|file| paths::join(from.directory, file))
                .collect(),
        };
        for file in files {
            match self.library.text(&file)? {
                Some((text, before)) => scope.read(&file, text, before)?,
                None if include.env_files.is_empty() => {}
                None => self.exists(&file, Some(include.line))?,
            }
        }
        self.scopes.push(scope);
        Ok(self.scopes.len() - 1)
    }

    /// A service over those that it extends.
    fn extended(
        &mut self,
        document: usize,
        name: &str,
        line: usize,
        trail: &mut Vec<(usize, String)>,
    ) -> Result<Json, Problem> {
        let key = (document, name.to_string());
        if let Some(done) = self.done.get(&key) {
            let done = copy(done);
            self.count(&done, line)?;
            return Ok(done);
        }
        if trail.contains(&key) {
            let circle: Vec<&str> = trail.iter().map(|(_, name)| name.as_str()).collect();
            let message = format!("`extends` in a circle: {} → {name}", circle.join(" → "));
            return Err(Problem::at(Some(line), message));
        }
        if trail.len() >= DEEPEST {
            let message = format!("`extends`: more than {DEEPEST} services extend each other");
            return Err(Problem::at(Some(line), message));
        }
        let services = &self.documents[document].services;
        let service = services.get(name).map(copy).ok_or_else(|| {
            let file = &self.documents[document].path;
            let message = format!("`extends`: service `{name}` not found in `{file}`");
            let names = services.keys().map(String::as_str);
            let help = imgmake_core::manifest::suggest::help(name, names);
            Problem::at(Some(line), message).with_help(help.unwrap_or_default())
        })?;
        self.count(&service, line)?;
        let mut service = service;
        let extends = match &mut service.kind {
            Kind::Object(pairs) => take(pairs, "extends"),
            _ => None,
        };
        let Some(extends) = extends.filter(|one| !matches!(one.kind, Kind::Null)) else {
            return Ok(service);
        };
        trail.push(key.clone());
        let merged = match self.base(document, &extends, trail)? {
            Some(base) => merge::service(base, service)?,
            None => service,
        };
        trail.pop();
        self.count(&merged, line)?;
        self.done.insert(key, copy(&merged));
        Ok(merged)
    }

    /// What `extends: NAME` or `extends: { service: NAME, file: FILE }` names; nothing, if its file is still
    /// to be read.
    fn base(
        &mut self,
        document: usize,
        extends: &Json,
        trail: &mut Vec<(usize, String)>,
    ) -> Result<Option<Json>, Problem> {
        let line = extends.line;
        let (mut service, mut file) = (None, None);
        match &extends.kind {
            Kind::Object(pairs) => {
                for (name, value) in pairs {
                    match name.text.as_str() {
                        "service" => service = Some(path_of(value, "service")?),
                        "file" => file = Some(path_of(value, "file")?),
                        key => return Err(unknown(Some(name.line), key, &OF_EXTENDS)),
                    }
                }
            }
            _ => service = Some(path_of(extends, "extends")?),
        }
        let service =
            service.ok_or_else(|| Problem::at(Some(line), "an `extends` has a `service`"))?;
        let document = match file {
            None => document,
            Some(file) => {
                let from = &self.documents[document];
                let path = paths::join(&from.directory, &file);
                let scope = from.scope;
                match self.document(&path, scope, line)? {
                    Some(document) => document,
                    None => return Ok(None),
                }
            }
        };
        self.extended(document, &service, line, trail).map(Some)
    }

    /// A file whose services others extend. Its `include` is not followed, as Compose has it.
    fn document(
        &mut self,
        path: &str,
        scope: usize,
        line: usize,
    ) -> Result<Option<usize>, Problem> {
        let key = (path.to_string(), scope);
        if let Some(known) = self.bases.get(&key) {
            return Ok(Some(*known));
        }
        let Some((text, before)) = self.library.text(path)? else {
            self.exists(path, Some(line))?;
            return Ok(None);
        };
        let directory = match paths::parent(path) {
            "." => "",
            parent => parent,
        };
        let file = File {
            path,
            directory,
            scope,
        };
        let mut top = self.parsed(text, before)?;
        let services = self.services(&mut top, &file)?;
        let document = self.documents.len();
        self.documents.push(Document::of(&file, services));
        self.bases.insert(key, document);
        Ok(Some(document))
    }

    /// A small file must not become a large one.
    fn count(&mut self, value: &Json, line: usize) -> Result<(), Problem> {
        self.copied += size(value);
        match self.copied > MOST_COPIED {
            true => Err(Problem::at(
                Some(line),
                "the services grow too large when `extends` is followed",
            )),
            false => Ok(()),
        }
    }
}

struct Include {
    line: usize,
    paths: Vec<String>,
    directory: Option<String>,
    env_files: Vec<String>,
}

type Merge = fn(Json, Json) -> Result<Json, Problem>;

/// What is included, below what a file itself says.
fn import(own: &mut Members, included: Members, merge: Merge) -> Result<(), Problem> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (at, (name, _)) in own.iter().enumerate() {
        places.insert(name.text.clone(), at);
    }
    for (name, value) in included {
        match places.get(&name.text) {
            None => {
                places.insert(name.text.clone(), own.len());
                own.push((name, value));
            }
            Some(at) => {
                let said = &mut own[*at].1;
                let line = said.line;
                let kind = std::mem::replace(&mut said.kind, Kind::Null);
                *said = merge(value, Json { line, kind })?;
            }
        }
    }
    Ok(())
}

/// `later` over `earlier`.
fn over(earlier: Members, mut later: Members, merge: Merge) -> Result<Members, Problem> {
    import(&mut later, earlier, merge)?;
    Ok(later)
}

fn take(pairs: &mut Members, key: &str) -> Option<Json> {
    let at = pairs.iter().position(|(name, _)| name.text == key)?;
    Some(pairs.remove(at).1)
}

fn members(value: Json, what: &str) -> Result<Members, Problem> {
    let line = value.line;
    match value.kind {
        Kind::Object(pairs) => Ok(pairs),
        Kind::Null => Ok(Vec::new()),
        _ => Err(Problem::at(Some(line), format!("{what} is a map"))),
    }
}

/// A path or a name, which no variable may stand in: it decides which files are read.
fn path_of(value: &Json, what: &str) -> Result<String, Problem> {
    match &value.kind {
        Kind::Text(text) if text.contains('$') => Err(Problem::at(
            Some(value.line),
            format!("`{what}`: a variable cannot name a file or a service: `{text}`"),
        )
        .with_help("write the path itself")),
        Kind::Text(text) if text.contains("://") || text.starts_with("git@") => Err(Problem::at(
            Some(value.line),
            format!("`{what}`: only files are read, not addresses"),
        )
        .with_help("check the repository out beside this file, and name the path")),
        Kind::Text(text) | Kind::Number(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(Problem::at(
            Some(value.line),
            format!("`{what}`: a text is expected"),
        )),
    }
}

/// One path, or a list of them.
fn paths_of(value: &Json, what: &str) -> Result<Vec<String>, Problem> {
    match &value.kind {
        Kind::List(list) => list.iter().map(|one| path_of(one, what)).collect(),
        _ => Ok(vec![path_of(value, what)?]),
    }
}
