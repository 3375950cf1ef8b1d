//! What was imported, as the text of a manifest. Whoever reads it goes on from there:
//! variables stay variables where a text holds their value and nothing else depends
//! on it; everything else is written as its value.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::bake::{Imported, Variable};
use imgmake_core::manifest::{
    BuildTarget, CacheAccess, CacheDepth, ContextNode, ImageFormat, LoadInto, OnCacheError,
    RecipeNode, SecretFrom, Spanned, TarFormat, Target, TargetKind,
};

/// A manifest, and files that stand beside it.
#[derive(Debug)]
pub struct Written {
    pub text: String,
    pub files: Vec<(String, String)>,
    /// What people should look at.
    pub notes: Vec<String>,
}

/// `marked` is the same import with variables' values replaced by their marks: all of
/// them, then one by one, since one alone may decide what a list holds.
pub fn manifest(
    imported: &Imported,
    marked: &[Imported],
    variables: &[Variable],
    from: &str,
) -> Written {
    let mut writer = Writer {
        text: format!("// From {from}.\n"),
        variables,
        notes: imported.notes.clone(),
        names: BTreeMap::new(),
    };
    writer.names(imported);
    writer.settings(imported, marked);
    writer.variables();
    for secret in &imported.secrets {
        let source = match &secret.source {
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
    let files = imported.inline.iter();
    let files = files.map(|inline| (beside(&inline.path), inline.text.clone()));
    Written {
        files: files.collect(),
        notes: writer.notes,
        text: writer.text,
    }
}

struct Writer<'a> {
    text: String,
    variables: &'a [Variable],
    notes: Vec<String>,
    /// Names in the file → names here, which begin with a letter or digit.
    names: BTreeMap<String, String>,
}

type Text = Spanned<String>;

impl Writer<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        let indent = "    ".repeat(depth);
        writeln!(self.text, "{indent}{text}").expect("a String takes every text");
    }

    fn names(&mut self, imported: &Imported) {
        let groups = imported.groups.iter().map(|(name, _)| name);
        let targets = imported.targets.iter().map(|target| &target.name.value);
        for name in targets.chain(groups) {
            let mut legal = name.trim_start_matches(['_', '-']).to_string();
            if legal.is_empty() {
                legal = "target".into();
            }
            while self.names.values().any(|taken| *taken == legal) && !self.names.contains_key(name)
            {
                legal.push_str("-2");
            }
            self.names.entry(name.clone()).or_insert(legal);
        }
    }

    /// The name here, in quotes where it has to have them.
    fn name(&self, name: &str) -> String {
        word(self.names.get(name).map_or(name, String::as_str))
    }

    /// A text in quotes, with variables where one of its twins has their marks and says
    /// the same.
    fn say(&mut self, place: &str, text: &str, twins: &[&str]) -> String {
        if let Some(twin) = self.same(text, twins) {
            let mut text = escaped(twin);
            for variable in self.variables {
                let name = format!("${{{}}}", variable.name);
                text = text.replace(&escaped(&variable.mark), &name);
            }
            return format!("\"{text}\"");
        }
        if twins.iter().any(|twin| *twin != text) {
            self.notes.push(format!(
                "{place}: {} is an expression of variables, and written as its value",
                quoted(text)
            ));
        }
        quoted(text)
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
            let mut line = format!("var {} {}", word(&variable.name), quoted(&variable.value));
            if let Some(description) = &variable.description {
                let _ = write!(line, " desc={}", quoted(description));
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
            RecipeNode::Dockerfile { path, stage } => {
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
        if path != beside(&format!("{}/Dockerfile", context.trim_end_matches('/'))) {
            let value = self.say(&format!("`dockerfile` of `{name}`"), &path, &paths);
            self.line(1, &format!("dockerfile {value}"));
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
            ContextNode::Target(text) | ContextNode::Image(text) | ContextNode::Path(text) => {
                text.value.clone()
            }
        };
        self.line(1, "contexts {");
        for (key, node) in &build.contexts {
            let same = |twin: &&BuildTarget| {
                let found = twin.contexts.iter().find(|(one, _)| one.value == key.value);
                found.map(|(_, node)| value(node)).unwrap_or_default()
            };
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

    /// A push for each target that has names, and a node for each of their registries.
    fn pushes(&mut self, imported: &Imported, marked: &[Imported]) -> String {
        let mut registries: Vec<String> = Vec::new();
        let mut text = String::new();
        let mut pushes = Vec::new();
        for (target, names) in &imported.published {
            if names.is_empty() {
                continue;
            }
            let same = |all: &Imported| {
                let found = all.published.iter().find(|(one, _)| one == target);
                found.map(|(_, names)| names.clone()).unwrap_or_default()
            };
            let twins: Vec<Vec<String>> = marked.iter().map(same).collect();
            let push = format!("push-{}", self.names.get(target).unwrap_or(target));
            let _ = writeln!(
                text,
                "\npush {} {{\n    images {}",
                word(&push),
                self.name(target)
            );
            let mut lines: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
            for (at, name) in names.iter().enumerate() {
                let own = parts(name, has_host(name));
                let twin = self.same(name, &self.elements(names, at, &twins));
                let twin = twin.map_or_else(|| own.clone(), |twin| parts(twin, has_host(name)));
                let place = format!("`tags` of `{target}`");
                let host = self.say(&place, &own.0, &[&twin.0]);
                let repository = self.say(&place, &own.1, &[&twin.1]);
                let tag = self.say(&place, &own.2, &[&twin.2]);
                let position = registries.iter().position(|other| *other == host);
                let registry = position.unwrap_or_else(|| {
                    registries.push(host);
                    registries.len() - 1
                });
                lines.entry((registry, repository)).or_default().push(tag);
            }
            for ((registry, repository), tags) in lines {
                let tags = tags.join(" ");
                let name = registry_name(registry);
                let _ = writeln!(
                    text,
                    "    to {name} {{ repository {repository}; tags {tags} }}"
                );
            }
            text.push_str("}\n");
            pushes.push(push);
        }
        if !registries.is_empty() {
            self.text.push('\n');
        }
        for (at, host) in registries.iter().enumerate() {
            self.line(0, &format!("registry {} {host}", registry_name(at)));
        }
        let taken = self.names.values().any(|name| name == "release");
        if !pushes.is_empty() && !taken {
            let all: Vec<String> = pushes.iter().map(|name| word(name)).collect();
            let _ = writeln!(text, "\ngroup release {}", all.join(" "));
        }
        text
    }

    fn groups(&mut self, imported: &Imported) {
        if !imported.groups.is_empty() {
            self.text.push('\n');
        }
        for (name, members) in &imported.groups {
            let members: Vec<String> = members.iter().map(|member| self.name(member)).collect();
            let line = format!("group {} {}", self.name(name), members.join(" "));
            self.line(0, &line);
        }
    }
}

fn build_of(target: &Target) -> Option<&BuildTarget> {
    match &target.kind {
        TargetKind::Build(build) => Some(build),
        _ => None,
    }
}

fn registry_name(at: usize) -> String {
    match at {
        0 => "registry".into(),
        at => format!("registry-{}", at + 1),
    }
}

/// Dockerfiles that the bake file holds lie beside the manifest.
fn beside(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    path.strip_prefix(".imgmake/bake/")
        .unwrap_or(path)
        .to_string()
}

/// Whether a name begins with a registry, as the grammar of names says.
fn has_host(name: &str) -> bool {
    let first = name.split_once('/').map(|(first, _)| first);
    first.is_some_and(|first| first.contains(['.', ':']) || first == "localhost")
}

/// Host, repository and tag of a name. What looks like a separator inside a mark is not one.
fn parts(name: &str, has_host: bool) -> (String, String, String) {
    let mut plain = String::new();
    let mut inside = false;
    for c in name.chars() {
        inside |= c == '\u{e000}';
        // As long as it was, so that places stay.
        match inside {
            true => plain.extend(std::iter::repeat_n('x', c.len_utf8())),
            false => plain.push(c),
        }
        inside &= c != '\u{e001}';
    }
    let end = plain.rfind(':').filter(|at| !plain[*at..].contains('/'));
    let (whole, tag) = match end {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => (name, "latest"),
    };
    match plain[..whole.len()].find('/') {
        Some(at) if has_host => (name[..at].into(), whole[at + 1..].into(), tag.into()),
        Some(_) => ("docker.io".into(), whole.into(), tag.into()),
        None => ("docker.io".into(), format!("library/{whole}"), tag.into()),
    }
}

/// A name without quotes where KDL reads it so.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let keyword = ["true", "false", "null", "inf", "nan"].contains(&text);
    match starts && !keyword && text.chars().all(plain) {
        true => text.to_string(),
        false => quoted(text),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

/// What KDL takes for the end of a line, or not at all since it turns text around.
fn may_not_stand(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// As KDL writes it; `${` would be a variable.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.replace("${", "$${").chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || may_not_stand(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
