//! A project's files: the main manifest and what it includes, each decoded with its own
//! variables (and the main one's), then moved to where it lies and named after it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::context::DecodeContext;
use super::declarations;
use super::diagnostic::Diagnostic;
use super::duplicates::Names;
use super::facts::Facts;
use super::fields;
use super::glob::{Glob, clean, is_pattern};
use super::rebase::{self, Rebase};
use super::scope::Scope;
use super::sets::Sets;
use super::sources::Sources;
use super::templates::Templates;
use super::tree::{self, Node};
use super::{Manifest, RunTarget, Spanned, TargetKind, env_file, settings, suggest, variables};

/// How a project sees the disk; paths are relative to the main manifest's directory.
pub trait Files {
    fn read(&self, path: &str) -> std::io::Result<String>;
    /// Files that match, in any order.
    fn matching(&self, pattern: &Glob) -> std::io::Result<Vec<String>>;
}

/// Files that can be read but not listed.
pub(super) struct NoDirectory<'r>(pub &'r dyn Fn(&str) -> std::io::Result<String>);

impl Files for NoDirectory<'_> {
    fn read(&self, path: &str) -> std::io::Result<String> {
        (self.0)(path)
    }

    fn matching(&self, _: &Glob) -> std::io::Result<Vec<String>> {
        Err(std::io::Error::other("directories cannot be listed here"))
    }
}

/// Files in one project beyond this are a mistake (an include of itself by other names).
const MOST_FILES: usize = 1000;

pub(super) struct Project<'p> {
    facts: &'p Facts,
    files: &'p dyn Files,
    diagnostics: RefCell<Vec<Diagnostic>>,
    manifest: Manifest,
    sources: Sources,
    names: Names,
    /// Every variable of every file: what `--var` may name.
    variables: BTreeSet<String>,
    looked_at: BTreeSet<String>,
}

impl<'p> Project<'p> {
    pub fn new(facts: &'p Facts, files: &'p dyn Files) -> Project<'p> {
        Project {
            facts,
            files,
            diagnostics: RefCell::default(),
            manifest: Manifest::default(),
            sources: Sources::default(),
            names: Names::default(),
            variables: BTreeSet::new(),
            looked_at: BTreeSet::new(),
        }
    }

    /// The main file, then what it includes, then what those include.
    pub fn load(&mut self, file: &str, text: &str) {
        let Some(main) = self.parse(file, text.to_string()) else {
            return;
        };
        if main.is_empty() {
            self.report(
                Diagnostic::plain(format!("`{file}` declares nothing")).with_help(
                    "declare a target, such as `build app { context \".\" }`, or run `imgmake init`",
                ),
            );
            return;
        }
        let facts = self.facts;
        let mut scope = Scope::new(facts);
        self.head(&main, "", &mut scope);
        let templates = Templates::collect(&main, None);
        let sets = Sets::parse(&facts.sets, &DecodeContext::new(&scope, &self.diagnostics));
        let mut waiting = self.file(&main, "", &scope, &templates, &sets);
        let mut seen = BTreeSet::from([clean(file)]);
        while let Some((pattern, directory)) = waiting.pop() {
            for path in self.resolve(&pattern, &directory) {
                if seen.insert(path.clone()) && seen.len() <= MOST_FILES {
                    waiting.extend(self.included(&path, &pattern, &scope, &templates, &sets));
                }
            }
        }
        self.looked_at.extend(scope.looked_at());
        let cx = DecodeContext::new(&scope, &self.diagnostics);
        templates.finish(&cx);
        sets.finish(&self.manifest, &cx);
    }

    pub fn finish(mut self) -> (Manifest, Vec<Diagnostic>, Sources) {
        self.unknown_overrides();
        self.manifest.read_environment = self.looked_at.into_iter().collect();
        (self.manifest, self.diagnostics.into_inner(), self.sources)
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    fn parse(&mut self, name: &str, text: String) -> Option<Vec<Node>> {
        let base = self.sources.add(name, text);
        self.names.begin_file(base);
        let text = &self.sources.files.last().expect("it was just added").text;
        match tree::parse(text, base) {
            Ok(nodes) => Some(nodes),
            Err(found) => {
                self.diagnostics.borrow_mut().extend(found);
                None
            }
        }
    }

    /// Settings and env-files first, since variables read them; then variables, since all else reads those.
    fn head(&mut self, nodes: &[Node], directory: &str, scope: &mut Scope) {
        let settings_nodes: Vec<&Node> = named(nodes, "imgmake").collect();
        let settings_node = settings_nodes.first().copied();
        if let [first, second, ..] = settings_nodes.as_slice() {
            let cx = DecodeContext::new(scope, &self.diagnostics);
            fields::twice(&cx, first.name.span, &second.name);
        }
        let env_files = settings_node
            .map(|node| settings::env_files(node, &DecodeContext::new(scope, &self.diagnostics)));
        for mut file in env_files.unwrap_or_default() {
            file.path.value = rebase::joined(directory, &file.path.value);
            let read = |path: &str| self.files.read(path);
            let values =
                env_file::read(&file, &read, &DecodeContext::new(scope, &self.diagnostics));
            self.manifest.read_files.push(file.path.value);
            // As with docker compose, a later file overrides an earlier one.
            scope.env_file.extend(values);
        }
        let variable_nodes: Vec<&Node> = named(nodes, "var").collect();
        let found = variables::resolve(&variable_nodes, scope, &self.diagnostics);
        self.variables
            .extend(found.iter().map(|one| one.name.value.clone()));
        // An included file's settings count when it is run by itself; here they are only checked,
        // but for what it demands of pushes: its own are among them.
        let settings = settings_node
            .map(|node| settings::settings(node, &DecodeContext::new(scope, &self.diagnostics)));
        if directory.is_empty() && self.sources.files.len() == 1 {
            self.manifest.settings = settings.unwrap_or_default();
        } else if let Some(demand) = settings.and_then(|s| s.every_push_needs_gate) {
            let known = &mut self.manifest.settings.every_push_needs_gate;
            known.get_or_insert(demand);
        }
        self.manifest.variables.extend(found);
    }

    /// Decodes one file into the manifest; gives its includes, with the file's directory.
    fn file(
        &mut self,
        nodes: &[Node],
        directory: &str,
        scope: &Scope,
        templates: &Templates,
        sets: &Sets,
    ) -> Vec<(Spanned<String>, String)> {
        let cx = DecodeContext::new(scope, &self.diagnostics).within(directory);
        let mut found = declarations::decode(nodes, templates, sets, &cx);
        let targets = found
            .manifest
            .targets
            .iter()
            .map(|target| &target.name.value);
        let groups = found.manifest.groups.iter().map(|group| &group.name.value);
        let disabled = found.manifest.disabled.iter().map(|name| &name.value);
        let own: HashSet<String> = targets.chain(groups).chain(disabled).cloned().collect();
        let rebase = Rebase {
            directory,
            own: &own,
        };
        let mut read = BTreeMap::new();
        for target in &mut found.manifest.targets {
            rebase.target(target, rebase::head(nodes, target));
            if let TargetKind::Run(run) = &mut target.kind {
                add_env_files(run, &mut read, self.files, &cx);
            }
        }
        let read_files = read.into_keys().map(|(path, _)| path);
        self.manifest.read_files.extend(read_files);
        found
            .manifest
            .groups
            .iter_mut()
            .for_each(|group| rebase.group(group));
        for name in &mut found.manifest.disabled {
            name.value = rebase::qualified(directory, &name.value);
        }
        found
            .manifest
            .secrets
            .iter_mut()
            .for_each(|secret| rebase.secret(secret));
        found
            .manifest
            .registries
            .iter_mut()
            .for_each(|registry| rebase.registry(registry));
        let targets = found.manifest.targets.iter().map(|target| &target.name);
        let groups = found.manifest.groups.iter().map(|group| &group.name);
        for name in targets.chain(groups) {
            // Within one file, `decode` has told what is taken.
            self.names.book_of_other_file("target", name, &cx);
        }
        self.add(found.manifest);
        let includes = found.includes.into_iter();
        includes
            .map(|pattern| (pattern, directory.to_string()))
            .collect()
    }

    /// Secrets and registries are the project's: the same declaration twice is one.
    fn add(&mut self, found: Manifest) {
        self.manifest.targets.extend(found.targets);
        self.manifest.groups.extend(found.groups);
        self.manifest.disabled.extend(found.disabled);
        for secret in found.secrets {
            let mut known = self.manifest.secrets.iter();
            match known.find(|one| one.name.value == secret.name.value) {
                Some(one) if one.source == secret.source => {}
                Some(one) => self.report(differs("secret", &secret.name, &one.name)),
                None => self.manifest.secrets.push(secret),
            }
        }
        for registry in found.registries {
            let mut known = self.manifest.registries.iter();
            match known.find(|one| one.name.value == registry.name.value) {
                Some(one) if one.prefix.value == registry.prefix.value => {}
                Some(one) => self.report(differs("registry", &registry.name, &one.name)),
                None => self.manifest.registries.push(registry),
            }
        }
    }

    fn resolve(&mut self, pattern: &Spanned<String>, directory: &str) -> Vec<String> {
        let path = rebase::joined(directory, &pattern.value);
        if !is_pattern(&path) {
            return vec![clean(&path)];
        }
        self.manifest.read_patterns.push(path.clone());
        let listed = match Glob::new(&path) {
            Ok(glob) => self.files.matching(&glob),
            Err(_) => return Vec::new(),
        };
        match listed {
            Ok(mut paths) => {
                paths.iter_mut().for_each(|path| *path = clean(path));
                paths.sort();
                if paths.is_empty() {
                    let message = format!("no file matches `{}`", pattern.value);
                    self.report(Diagnostic::at(pattern.span, message, "matches nothing"));
                }
                paths
            }
            Err(error) => {
                let message = format!("cannot look for `{}`", pattern.value);
                self.report(Diagnostic::at(pattern.span, message, error.to_string()));
                Vec::new()
            }
        }
    }

    fn included(
        &mut self,
        path: &str,
        pattern: &Spanned<String>,
        main: &Scope,
        templates: &Templates,
        sets: &Sets,
    ) -> Vec<(Spanned<String>, String)> {
        let text = match self.files.read(path) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("cannot read `{path}`");
                self.report(Diagnostic::at(pattern.span, message, error.to_string()));
                return Vec::new();
            }
        };
        self.manifest.read_files.push(path.to_string());
        self.manifest.included.push(path.to_string());
        let Some(nodes) = self.parse(path, text) else {
            return Vec::new();
        };
        let directory = rebase::directory_of(path);
        let mut scope = main.inherited();
        self.head(&nodes, &directory, &mut scope);
        let own = Templates::collect(&nodes, Some(templates));
        let includes = self.file(&nodes, &directory, &scope, &own, sets);
        own.finish(&DecodeContext::new(&scope, &self.diagnostics));
        self.looked_at.extend(scope.looked_at());
        includes
    }

    fn unknown_overrides(&self) {
        // Variables are unknown when the file does not even parse.
        if self.manifest.targets.is_empty() && !self.diagnostics.borrow().is_empty() {
            return;
        }
        for (name, _) in &self.facts.vars {
            if self.variables.contains(name) {
                continue;
            }
            let message = format!("`--var {name}=…`: the manifest declares no variable `{name}`");
            let mut diagnostic = Diagnostic::plain(message);
            diagnostic.help = suggest::help(name, self.variables.iter().map(String::as_str))
                .or_else(|| Some(format!("declare it: `var {name} \"…\"`")));
            self.report(diagnostic);
        }
    }
}

/// Gives a command what its env-files say, a later one before an earlier, its own `env` before all. A missing file
/// is an error of who does not say that it may be missing, whoever else says so.
fn add_env_files(
    run: &mut RunTarget,
    read: &mut BTreeMap<(String, bool), BTreeMap<String, String>>,
    files: &dyn Files,
    cx: &DecodeContext,
) {
    let mut values = BTreeMap::new();
    for file in &run.env_files {
        let known = read
            .entry((file.path.value.clone(), file.optional))
            .or_insert_with(|| env_file::read(file, &|path| files.read(path), cx));
        let length = known
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if cx.scope.count(length).is_err() {
            let message = "the values are longer than 64 MiB together, the limit";
            return cx.error(file.path.span, message, "with those of this file");
        }
        values.extend(known.clone());
    }
    values.append(&mut run.env);
    run.env = values;
}

fn named<'n>(nodes: &'n [Node], name: &'static str) -> impl Iterator<Item = &'n Node> {
    nodes.iter().filter(move |node| node.name.value == name)
}

fn differs(what: &str, second: &Spanned<String>, first: &Spanned<String>) -> Diagnostic {
    let message = format!(
        "the {what} `{}` is declared differently elsewhere",
        second.value
    );
    Diagnostic::at(second.span, message, "declared here")
        .with_related(first.span, "and differently here")
}
