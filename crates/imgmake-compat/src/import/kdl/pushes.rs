//! Pushes of what was imported, and the registries that they go to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Writer;
use super::words::{has_host, parts, word};
use crate::import::bake::Imported;

impl Writer<'_> {
    /// A push for each target that has names, and a node for each of their registries.
    pub(super) fn pushes(&mut self, imported: &Imported, marked: &[Imported]) -> String {
        let mut registries: Vec<String> = Vec::new();
        let mut text = String::new();
        let mut pushes = Vec::new();
        for (target, names) in &imported.published {
            let known: Vec<(usize, &String)> = names
                .iter()
                .enumerate()
                .filter(|(_, name)| !name.starts_with('/'))
                .collect();
            if known.len() < names.len() {
                self.notes.push(format!(
                    "`tags` of `{target}`: the variable at the beginning of a name is empty, so its registry is unknown, and no push of it is written; give the variable a default value"
                ));
            }
            if known.is_empty() {
                continue;
            }
            let same = |all: &Imported| {
                let found = all.published.iter().find(|(one, _)| one == target);
                found.map(|(_, names)| names.clone()).unwrap_or_default()
            };
            let twins: Vec<Vec<String>> = marked.iter().map(same).collect();
            let push = self.free(&format!(
                "push-{}",
                self.names.get(target).unwrap_or(target)
            ));
            let _ = writeln!(
                text,
                "\npush {} {{\n    images {}",
                word(&push),
                self.name(target)
            );
            let mut lines: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
            for (at, name) in known {
                let all = self.elements(names, at, &twins);
                let twin = self
                    .same(name, &all)
                    .map(|twin| parts(twin, has_host(name)));
                let own = match &twin {
                    // A variable may hold the host and what follows it: then that is the registry.
                    Some((host, repository, tag)) if !repository.is_empty() => {
                        let filled = (self.filled(host), self.filled(repository), self.filled(tag));
                        let whole = format!("{}/{}", filled.0, filled.1);
                        match name.starts_with(&whole) && has_host(name) {
                            true => filled,
                            false => parts(name, has_host(name)),
                        }
                    }
                    _ => parts(name, has_host(name)),
                };
                let twin = twin.unwrap_or_else(|| own.clone());
                let later = all.last().filter(|_| self.has_later);
                let later = match later.filter(|later| **later != name) {
                    Some(later) => shaped(later, &own.0, has_host(name)),
                    None => own.clone(),
                };
                let place = format!("`tags` of `{target}`");
                let host = self.say(&place, &own.0, &[&twin.0, &later.0]);
                let repository = self.say(&place, &own.1, &[&twin.1, &later.1]);
                let tag = self.say(&place, &own.2, &[&twin.2, &later.2]);
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
        if !pushes.is_empty() && !self.is_taken("release") {
            let all: Vec<String> = pushes.iter().map(|name| word(name)).collect();
            let _ = writeln!(text, "\ngroup release {}", all.join(" "));
        }
        text
    }
}

/// The parts of a name, with this registry where it begins with it.
fn shaped(name: &str, registry: &str, has_host: bool) -> (String, String, String) {
    let rest = name
        .strip_prefix(registry)
        .and_then(|rest| rest.strip_prefix('/'));
    match rest.and_then(|rest| rest.rsplit_once(':')) {
        Some((repository, tag)) => (registry.into(), repository.into(), tag.into()),
        None => parts(name, has_host),
    }
}

fn registry_name(at: usize) -> String {
    match at {
        0 => "registry".into(),
        at => format!("registry-{}", at + 1),
    }
}
