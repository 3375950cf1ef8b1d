//! What was imported, as the text of a manifest. Whoever reads it goes on from there:
//! variables stay variables where a text holds their value and nothing else depends
//! on it; everything else is written as its value.

mod dockerfiles;
mod names;
mod pushes;
mod times;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::bake::{FROM_ENVIRONMENT, Form, Imported, Variable};
use imgmake_core::manifest::{
    Absence, ArchiveImage, BuildTarget, CacheAccess, CacheDepth, ContextNode, ExportForm,
    ImageFormat, LoadInto, OnCacheError, RecipeNode, SecretFrom, Spanned, TarFormat, Target,
    TargetKind,
};
use words::{beside, escaped, quoted, word};

/// A manifest, and files that stand beside it.
#[derive(Debug)]
pub struct Written {
    pub text: String,
    pub files: Vec<(String, String)>,
    /// What people should look at.
    pub notes: Vec<String>,
    /// Variables that have no default.
    pub demanded: Vec<String>,
}

/// `marked` is the same import with variables' values replaced by their marks: all of
/// them, then one by one, since one alone may decide what a list holds. `later` is the same import
/// at another time.
pub fn manifest(
    imported: &Imported,
    marked: &[Imported],
    later: Option<&Imported>,
    variables: &[Variable],
    from: &str,
) -> Written {
    // The last of the twins, where there is one.
    let marked: Vec<Imported> = marked.iter().chain(later).cloned().collect();
    let marked = &marked[..];
    let mut writer = Writer {
        text: format!("// From {from}.\n"),
        variables,
        notes: imported.notes.clone(),
        names: BTreeMap::new(),
        groups: BTreeMap::new(),
        has_later: later.is_some(),
        times: Vec::new(),
        timed: BTreeMap::new(),
    };
    let pulled = imported
        .pulled
        .iter()
        .map(|name| format!("`pull` of `{name}`: `imgmake run --pull` resolves base tags again"));
    writer.notes.extend(pulled);
    writer.names(imported);
    writer.settings(imported, marked);
    writer.variables();
    let after_variables = writer.text.len();
    for secret in &imported.secrets {
        let source = match &secret.source {
            SecretFrom::Env(name) if secret.absence == Absence::Empty => {
                format!("env={} unset=\"empty\"", quoted(name))
            }
            SecretFrom::Env(name) => format!("env={}", quoted(name)),
            SecretFrom::File(path) => format!("file={}", quoted(path)),
        };
        writer.line(0, &format!("secret {} {source}", word(&secret.name.value)));
    }
    let pushes = writer.pushes(imported, marked);
    for target in &imported.targets {
        let same = |one: &&Target| one.name.value == target.name.value;
        let twins = marked
            .iter()
            .filter_map(|all| all.targets.iter().find(same));
        writer.target(target, &twins.collect::<Vec<_>>());
    }
    writer.text.push_str(&pushes);
    writer.groups(imported);
    writer.dockerfiles(imported, marked);
    let times = writer.times.iter().map(|(value, name)| {
        format!(
            "var {name} {} desc=\"the time, where the bake file asks for it\"\n",
            quoted(value)
        )
    });
    let times: String = times.collect();
    writer.text.insert_str(after_variables, &times);
    writer.note_times();
    let mut said = std::collections::BTreeSet::new();
    writer.notes.retain(|note| said.insert(note.clone()));
    Written {
        files: Writer::files(imported),
        demanded: variables
            .iter()
            .filter(|one| matches!(one.form, Form::Given | Form::NotEmpty))
            .map(|one| one.name.clone())
            .collect(),
        notes: writer.notes,
        text: writer.text,
    }
}

struct Writer<'a> {
    text: String,
    variables: &'a [Variable],
    notes: Vec<String>,
    /// Names of targets in the file → names here, which begin with a letter or digit.
    names: BTreeMap<String, String>,
    /// The same of groups. A file may have both under one name, a manifest may not.
    groups: BTreeMap<String, String>,
    /// Whether the last of all twins is that of another time.
    has_later: bool,
    /// Values that depend on the time, and the variables that hold them.
    times: Vec<(String, String)>,
    /// Those variables, and where their values stand in the file.
    timed: BTreeMap<String, Vec<String>>,
}

type Text = Spanned<String>;

impl Writer<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        let indent = "    ".repeat(depth);
        writeln!(self.text, "{indent}{text}").expect("a String takes every text");
    }

    /// A text in quotes, with variables where one of its twins has their marks and says
    /// the same.
    fn say(&mut self, place: &str, text: &str, twins: &[&str]) -> String {
        let own = text;
        if let Some(later) = twins.last().filter(|_| self.has_later)
            && !later.is_empty()
            && *later != text
        {
            return self.time(place, text, later, &twins[..twins.len() - 1]);
        }
        if let Some(twin) = self.same(text, twins) {
            let mut text = self.unmarked(twin);
            if place.starts_with("`tags`") && (own.is_empty() || own.ends_with(':')) {
                text = self.with_latest(place, text);
            }
            return format!("\"{text}\"");
        }
        if twins.iter().any(|twin| *twin != text) {
            self.constant(place, text);
        }
        quoted(text)
    }

    /// An empty variable makes no tag: until it is given, `latest` takes its place.
    fn with_latest(&mut self, place: &str, text: String) -> String {
        let empty = self
            .variables
            .iter()
            .filter(|one| one.form == Form::Default);
        let mut names = empty.map(|variable| &variable.name);
        let Some(name) = names.find(|name| text.ends_with(&format!("${{{name}}}"))) else {
            return text;
        };
        let start = text.len() - name.len() - 3;
        let text = format!("{}${{default({name}, 'latest')}}", &text[..start]);
        self.notes.push(format!(
            "{place}: `{name}` is empty, which is not a tag: `latest` is used until it is set"
        ));
        text
    }

    /// A text of a manifest, with variables in the place of their marks.
    fn unmarked(&self, marked: &str) -> String {
        let mut text = escaped(marked);
        for variable in self.variables {
            let said = match &variable.form {
                Form::Default | Form::Given | Form::NotEmpty => format!("${{{}}}", variable.name),
                Form::DefaultOf(name) => format!("${{default({name}, '{}')}}", variable.value),
            };
            text = text.replace(&escaped(&variable.mark), &said);
        }
        text
    }

    fn constant(&mut self, place: &str, text: &str) {
        self.notes.push(format!(
            "{place}: {} is an expression of variables, and written as its value",
            quoted(text)
        ));
    }

    /// The twin that has marks where the text has their values.
    fn same<'t>(&self, text: &str, twins: &[&'t str]) -> Option<&'t str> {
        let fills = |twin: &&&str| {
            let mut filled = twin.to_string();
            for variable in self.variables {
                filled = filled.replace(&variable.mark, &variable.value);
            }
            **twin != text && filled == text
        };
        twins.iter().find(fills).copied()
    }

    /// Values in the place of marks.
    fn filled(&self, text: &str) -> String {
        let mut filled = text.to_string();
        for variable in self.variables {
            filled = filled.replace(&variable.mark, &variable.value);
        }
        filled
    }

    fn texts(&mut self, place: &str, list: &[Text], twins: &[&[Text]]) -> String {
        let values =
            |list: &[Text]| -> Vec<String> { list.iter().map(|text| text.value.clone()).collect() };
        let twins: Vec<Vec<String>> = twins.iter().map(|twin| values(twin)).collect();
        let own = values(list);
        let one = |at: usize| {
            let twins = self.elements(&own, at, &twins);
            self.say(place, &own[at], &twins)
        };
        let value: Vec<String> = (0..own.len()).map(one).collect();
        value.join(" ")
    }

    /// The twins of one element: those at its place, and where a list has another length,
    /// those that say the same.
    fn elements<'t>(&self, own: &[String], at: usize, twins: &'t [Vec<String>]) -> Vec<&'t str> {
        let twin = |twin: &'t Vec<String>| {
            if twin.len() == own.len() {
                return twin[at].as_str();
            }
            let all: Vec<&str> = twin.iter().map(String::as_str).collect();
            let constant = all.iter().find(|text| **text == own[at]).copied();
            self.same(&own[at], &all).or(constant).unwrap_or_default()
        };
        twins.iter().map(twin).collect()
    }

    fn settings(&mut self, imported: &Imported, marked: &[Imported]) {
        self.line(0, "imgmake version=1 {");
        for file in &imported.env_files {
            self.line(1, &format!("env-file {}", quoted(file)));
        }
        let mut caches: BTreeMap<&str, (bool, bool, usize)> = BTreeMap::new();
        for (at, cache) in imported.caches.iter().enumerate() {
            let cache_use = caches
                .entry(&cache.reference.value)
                .or_insert((false, false, at));
            cache_use.0 |= matches!(cache.access, CacheAccess::Read | CacheAccess::ReadWrite);
            if matches!(cache.access, CacheAccess::Write | CacheAccess::ReadWrite) {
                *cache_use = (cache_use.0, true, at);
            }
        }
        if !caches.is_empty() {
            self.line(1, "cache {");
        }
        let same = |marked: &&Imported| marked.caches.len() == imported.caches.len();
        let twins: Vec<&Imported> = marked.iter().filter(same).collect();
        for (reference, (reads, writes, at)) in &caches {
            let cache = &imported.caches[*at];
            let twins = twins
                .iter()
                .map(|all| all.caches[*at].reference.value.as_str());
            let twins: Vec<&str> = twins.collect();
            let mut line = format!("registry ref={}", self.say("cache", reference, &twins));
            match (reads, writes) {
                (true, false) => line.push_str(" access=read"),
                (false, true) => line.push_str(" access=write"),
                _ => {}
            }
            if cache.mode == CacheDepth::Min {
                line.push_str(" mode=min");
            }
            if cache.on_error == OnCacheError::Fail {
                line.push_str(" on-error=fail");
            }
            self.line(2, &line);
        }
        if !caches.is_empty() {
            self.line(1, "}");
        }
        self.line(0, "}");
        // An empty block is a line of noise.
        self.text = self
            .text
            .replace("imgmake version=1 {\n}\n", "imgmake version=1\n");
    }

    fn variables(&mut self) {
        if !self.variables.is_empty() {
            self.text.push('\n');
        }
        for variable in self.variables {
            let name = word(&variable.name);
            let mut line = match &variable.form {
                Form::Default => format!("var {name} {}", quoted(&variable.value)),
                Form::Given | Form::NotEmpty => {
                    format!("var {name} env={}", quoted(&variable.name))
                }
                Form::DefaultOf(_) => continue,
            };
            if let Some(description) = &variable.description {
                let _ = write!(line, " desc={}", quoted(description));
            }
            if variable.form == Form::NotEmpty {
                line.push_str(" { matches \".\" }");
            }
            self.line(0, &line);
        }
    }

    fn target(&mut self, target: &Target, twins: &[&Target]) {
        let Some(own) = build_of(target) else { return };
        let twins: Vec<&BuildTarget> = twins.iter().filter_map(|twin| build_of(twin)).collect();
        let name = self.name(&target.name.value);
        self.line(0, &format!("\nbuild {name} {{"));
        if let Some(description) = &target.description {
            self.line(1, &format!("desc {}", quoted(description)));
        }
        self.build(&target.name.value, own, &twins);
        self.line(0, "}");
    }

    fn build(&mut self, name: &str, build: &BuildTarget, twins: &[&BuildTarget]) {
        self.one(name, "context", build, twins, |build| {
            build.context.as_ref()
        });
        self.recipe(name, build, twins);
        self.contexts(name, build, twins);
        type Map = fn(&BuildTarget) -> &BTreeMap<String, Text>;
        let maps: [(&str, Map); 4] = [
            ("args", |build| &build.args),
            ("labels", |build| &build.labels),
            ("annotations", |build| &build.annotations),
            ("add-hosts", |build| &build.add_hosts),
        ];
        for (key, pick) in maps {
            self.map(
                name,
                key,
                pick(build),
                &twins.iter().map(|twin| pick(twin)).collect::<Vec<_>>(),
            );
        }
        type List = fn(&BuildTarget) -> &[Text];
        let lists: [(&str, List); 3] = [
            ("platforms", |build| &build.platforms),
            ("secrets", |build| &build.secrets),
            ("tags", |build| &build.tags),
        ];
        for (key, pick) in lists {
            if !pick(build).is_empty() {
                let twins: Vec<&[Text]> = twins.iter().map(|twin| pick(twin)).collect();
                let value = self.texts(&format!("`{key}` of `{name}`"), pick(build), &twins);
                self.line(1, &format!("{key} {value}"));
            }
        }
        for (id, socket) in &build.ssh {
            let line = match socket {
                Some(socket) => format!("ssh {}={}", word(&id.value), quoted(socket)),
                None => format!("ssh {}", word(&id.value)),
            };
            self.line(1, &line);
        }
        self.one(name, "network", build, twins, |build| {
            build.network.as_ref()
        });
        self.outputs(name, build, twins);
        if build.no_cache {
            self.line(1, "no-cache #true");
        }
    }

    fn one(
        &mut self,
        name: &str,
        key: &str,
        build: &BuildTarget,
        twins: &[&BuildTarget],
        pick: fn(&BuildTarget) -> Option<&Text>,
    ) {
        let Some(text) = pick(build) else { return };
        let twins: Vec<&str> = twins
            .iter()
            .map(|twin| pick(twin).map_or("", |text| text.value.as_str()))
            .collect();
        let value = self.say(&format!("`{key}` of `{name}`"), &text.value, &twins);
        self.line(1, &format!("{key} {value}"));
    }

    fn map(
        &mut self,
        name: &str,
        key: &str,
        map: &BTreeMap<String, Text>,
        twins: &[&BTreeMap<String, Text>],
    ) {
        if map.is_empty() {
            return;
        }
        self.line(1, &format!("{key} {{"));
        for (inner, text) in map {
            if text.value == FROM_ENVIRONMENT {
                self.line(2, &word(inner));
                continue;
            }
            let twins: Vec<&str> = twins
                .iter()
                .map(|twin| twin.get(inner).map_or("", |text| text.value.as_str()))
                .collect();
            let place = format!("`{key}.{inner}` of `{name}`");
            let value = self.say(&place, &text.value, &twins);
            self.line(2, &format!("{} {value}", word(inner)));
        }
        self.line(1, "}");
    }

    fn recipe(&mut self, name: &str, build: &BuildTarget, twins: &[&BuildTarget]) {
        let parts = |build: &BuildTarget| match &build.recipe {
            RecipeNode::Dockerfile { path, stage, .. } => {
                let stage = stage.as_ref().map(|stage| stage.value.clone());
                (beside(&path.value), stage.unwrap_or_default())
            }
            RecipeNode::Steps { .. } => (String::new(), String::new()),
        };
        let (path, stage) = parts(build);
        let twins: Vec<(String, String)> = twins.iter().map(|twin| parts(twin)).collect();
        let paths: Vec<&str> = twins.iter().map(|(path, _)| path.as_str()).collect();
        let stages: Vec<&str> = twins.iter().map(|(_, stage)| stage.as_str()).collect();
        let context = build
            .context
            .as_ref()
            .map_or(".", |context| context.value.as_str());
        // The Dockerfile of the context needs no word.
        let (usual, kind) = match (build.directory(), build.dockerfile()) {
            (Some(_), _) => {
                let path = format!("{}/Dockerfile", context.trim_end_matches('/'));
                (beside(&path), "")
            }
            (None, None) => ("Dockerfile".to_string(), ""),
            (None, Some(_)) => (String::new(), "(path)"),
        };
        if path != usual {
            let value = self.say(&format!("`dockerfile` of `{name}`"), &path, &paths);
            self.line(1, &format!("dockerfile {kind}{value}"));
        }
        if !stage.is_empty() {
            let value = self.say(&format!("`target` of `{name}`"), &stage, &stages);
            self.line(1, &format!("stage {value}"));
        }
    }

    fn contexts(&mut self, name: &str, build: &BuildTarget, twins: &[&BuildTarget]) {
        if build.contexts.is_empty() {
            return;
        }
        let value = |node: &ContextNode| match node {
            ContextNode::Target(text)
            | ContextNode::Image(text)
            | ContextNode::Path(text)
            | ContextNode::Git(text)
            | ContextNode::Layout { path: text, .. } => text.value.clone(),
        };
        self.line(1, "contexts {");
        for (key, node) in &build.contexts {
            let same = |twin: &&BuildTarget| {
                let found = twin.contexts.iter().find(|(one, _)| one.value == key.value);
                found.map(|(_, node)| value(node)).unwrap_or_default()
            };
            let picked = |twin: &&BuildTarget| {
                let found = twin.contexts.iter().find(|(one, _)| one.value == key.value);
                match found {
                    Some((
                        _,
                        ContextNode::Layout {
                            pick: Some(ArchiveImage::Named(image)),
                            ..
                        },
                    )) => image.clone(),
                    _ => String::new(),
                }
            };
            let build_twins = twins;
            let twins: Vec<String> = twins.iter().map(same).collect();
            let twins: Vec<&str> = twins.iter().map(String::as_str).collect();
            let place = format!("`contexts.{}` of `{name}`", key.value);
            let value = match node {
                ContextNode::Target(target) => format!("(target){}", self.name(&target.value)),
                ContextNode::Image(image) => {
                    format!("(image){}", self.say(&place, &image.value, &twins))
                }
                ContextNode::Path(path) => {
                    format!("(path){}", self.say(&place, &path.value, &twins))
                }
                ContextNode::Git(address) => {
                    format!("(git){}", self.say(&place, &address.value, &twins))
                }
                ContextNode::Layout { path, pick } => {
                    let path = self.say(&place, &path.value, &twins);
                    let picks: Vec<String> = build_twins.iter().map(picked).collect();
                    let picks: Vec<&str> = picks.iter().map(String::as_str).collect();
                    match pick {
                        None => format!("(layout){path}"),
                        Some(ArchiveImage::Numbered(number)) => {
                            format!("(layout){path} index={number}")
                        }
                        Some(ArchiveImage::Named(image)) => {
                            let image = self.say(&place, image, &picks);
                            format!("(layout){path} image={image}")
                        }
                    }
                }
            };
            self.line(2, &format!("{} {value}", word(&key.value)));
        }
        self.line(1, "}");
    }

    fn outputs(&mut self, name: &str, build: &BuildTarget, twins: &[&BuildTarget]) {
        let place = format!("`output` of `{name}`");
        if let Some(tar) = &build.tar {
            let path = |twin: &&BuildTarget| {
                twin.tar
                    .as_ref()
                    .map_or(String::new(), |tar| tar.path.value.clone())
            };
            let twins: Vec<String> = twins.iter().map(path).collect();
            let twins: Vec<&str> = twins.iter().map(String::as_str).collect();
            let value = self.say(&place, &tar.path.value, &twins);
            let format = if tar.format == TarFormat::Oci {
                " format=oci"
            } else {
                ""
            };
            self.line(1, &format!("tar {value}{format}"));
        }
        self.one(name, "layout", build, twins, |build| build.layout.as_ref());
        for (at, export) in build.exports.iter().enumerate() {
            let path = |twin: &&BuildTarget| {
                let same = twin.exports.get(at);
                same.map_or(String::new(), |export| export.path.value.clone())
            };
            let twins: Vec<String> = twins.iter().map(path).collect();
            let twins: Vec<&str> = twins.iter().map(String::as_str).collect();
            let value = self.say(&place, &export.path.value, &twins);
            let format = match export.form {
                ExportForm::Tar => " format=tar",
                ExportForm::Directory => "",
            };
            self.line(1, &format!("export {value}{format}"));
        }
        for load in &build.load {
            let into = if load.into == LoadInto::Podman {
                "podman"
            } else {
                "docker"
            };
            self.line(1, &format!("load {into}"));
        }
        if build.format == ImageFormat::Docker {
            self.line(1, "format docker");
        }
        if let Some(compression) = &build.compression {
            let level = build
                .compression_level
                .map(|level| format!(" level={level}"));
            let line = format!(
                "compression {}{}",
                compression.value,
                level.unwrap_or_default()
            );
            self.line(1, &line);
        }
    }
}

fn build_of(target: &Target) -> Option<&BuildTarget> {
    match &target.kind {
        TargetKind::Build(build) => Some(build),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
