//! Which targets are touched, and why.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::watch::Watched;
use crate::targets::Project;
use imgmake_core::graph::TargetId;
use imgmake_core::manifest::{Manifest, PushTarget, Target, TargetKind};
use imgmake_core::plan::Plan;
use imgmake_git::Since;

pub(super) enum Reason {
    /// It reads a file that was added, changed or removed; from the top of the checkout.
    File(String),
    /// The manifest did not have it.
    Added,
    /// The manifest says something else of it now.
    Settings,
    /// A change of the manifest cannot be compared.
    Manifest,
    /// What it depends on is touched.
    Dependency(String),
    /// It has no inputs and is run every time.
    Always,
}

impl Reason {
    pub fn text(&self) -> String {
        match self {
            Reason::File(path) => format!("file {path}"),
            Reason::Added => "new in the manifest".to_string(),
            Reason::Settings => "its settings changed in the manifest".to_string(),
            Reason::Manifest => {
                "the manifest changed, and its former version cannot be read".to_string()
            }
            Reason::Dependency(name) => format!("dependency {name} is touched"),
            Reason::Always => "always: it has no inputs".to_string(),
        }
    }

    pub fn json(&self) -> Value {
        let kind = match self {
            Reason::File(_) => "file",
            Reason::Added => "added",
            Reason::Settings => "settings",
            Reason::Manifest => "manifest",
            Reason::Dependency(_) => "dependency",
            Reason::Always => "always",
        };
        let mut value = json!({"kind": kind, "text": self.text()});
        match self {
            Reason::File(path) => value["path"] = json!(path),
            Reason::Dependency(name) => value["target"] = json!(name),
            _ => {}
        }
        value
    }
}

pub(super) struct Touched {
    reasons: BTreeMap<TargetId, Vec<Reason>>,
}

impl Touched {
    /// `past` is the manifest as it was.
    pub fn by(
        project: &Project,
        plan: &Plan,
        watched: &Watched,
        since: &Since,
        changed: &[PathBuf],
        past: Option<&Manifest>,
    ) -> Touched {
        let graph = &project.graph;
        let files = Files::of(project, watched, since, changed);
        let (now, past) = (Named::of(graph.manifest()), past.map(Named::of));
        let mut touched = Touched {
            reasons: BTreeMap::new(),
        };
        for id in &plan.order {
            let target = graph.target(*id);
            let mut reasons = Vec::new();
            if files.is_of_manifest {
                reasons.extend(match &past {
                    Some(past) => change_of(target, &now, past),
                    None => Some(Reason::Manifest),
                });
            }
            let is_build = matches!(target.kind, TargetKind::Build(_));
            let lock = files.lock.iter().filter(|_| is_build);
            let read = files.by_target.get(&target.name.value);
            let read = read.into_iter().flatten().chain(lock);
            reasons.extend(read.map(|path| Reason::File(path.clone())));
            let needs: BTreeSet<TargetId> = graph
                .dependencies(*id)
                .iter()
                .map(|(need, _)| *need)
                .collect();
            for need in needs {
                let is_touched = |reason: &Reason| !matches!(reason, Reason::Always);
                if touched.reasons(need).iter().any(is_touched) {
                    reasons.push(Reason::Dependency(graph.name(need).to_string()));
                }
            }
            if reasons.is_empty()
                && matches!(&target.kind, TargetKind::Run(run) if run.inputs.is_empty())
            {
                reasons.push(Reason::Always);
            }
            if !reasons.is_empty() {
                touched.reasons.insert(*id, reasons);
            }
        }
        touched
    }

    pub fn reasons(&self, id: TargetId) -> &[Reason] {
        self.reasons.get(&id).map_or(&[], Vec::as_slice)
    }

    pub fn is_touched(&self, id: TargetId) -> bool {
        self.reasons.contains_key(&id)
    }
}

/// Changed files, by who reads them.
struct Files {
    by_target: BTreeMap<String, BTreeSet<String>>,
    /// The manifest, what it includes, or an env-file is among them.
    is_of_manifest: bool,
    /// The lock file, if it is.
    lock: Option<String>,
}

impl Files {
    fn of(project: &Project, watched: &Watched, since: &Since, changed: &[PathBuf]) -> Files {
        let mut files = Files {
            by_target: BTreeMap::new(),
            is_of_manifest: false,
            lock: None,
        };
        let lock = project.lock.as_ref().map(|lock| lock.path());
        for path in changed {
            let full = since.top().join(path);
            let shown = path.to_string_lossy();
            files.is_of_manifest |= watched.is_of_manifest(&full);
            if lock == Some(full.as_path()) {
                files.lock = Some(shown.to_string());
            }
            // A directory may be gone as a whole.
            let gone = full.ancestors().skip(1);
            let gone = gone.take_while(|above| above.symlink_metadata().is_err());
            let mut readers = match full.is_dir() {
                true => watched.readers(&full),
                false => watched.readers_of_file(&full),
            };
            readers.extend(gone.flat_map(|above| watched.readers_of_file(above)));
            for reader in readers {
                let of_target = files.by_target.entry(reader).or_default();
                of_target.insert(shown.to_string());
            }
        }
        files
    }
}

/// A manifest, searched once for each target.
struct Named<'m> {
    manifest: &'m Manifest,
    targets: HashMap<&'m str, &'m Target>,
    /// Where each is.
    registries: HashMap<&'m str, &'m str>,
}

impl<'m> Named<'m> {
    fn of(manifest: &'m Manifest) -> Named<'m> {
        let targets = manifest.targets.iter();
        let registries = manifest.registries.iter();
        Named {
            manifest,
            targets: targets
                .map(|target| (target.name.value.as_str(), target))
                .collect(),
            registries: registries
                .map(|one| (one.name.value.as_str(), one.prefix.value.as_str()))
                .collect(),
        }
    }
}

/// What the manifest says otherwise of a target.
fn change_of(target: &Target, now: &Named<'_>, past: &Named<'_>) -> Option<Reason> {
    let Some(other) = past.targets.get(target.name.value.as_str()) else {
        return Some(Reason::Added);
    };
    let mut differs = placeless(target) != placeless(other);
    match &target.kind {
        TargetKind::Build(_) => {
            differs |= now.manifest.settings.epoch != past.manifest.settings.epoch;
        }
        TargetKind::Push(push) => differs |= destinations(push, now) != destinations(push, past),
        TargetKind::Run(_) | TargetKind::Scan(_) => {}
    }
    differs.then_some(Reason::Settings)
}

/// Where the registries of a push are.
fn destinations<'m>(push: &PushTarget, manifest: &Named<'m>) -> BTreeSet<&'m str> {
    let names = push.to.iter().flat_map(|to| &to.registries);
    names
        .filter_map(|name| manifest.registries.get(name.value.as_str()).copied())
        .collect()
}

/// A target's values without their places in the file.
fn placeless(target: &Target) -> Value {
    let target = Target {
        // For people alone.
        description: None,
        ..target.clone()
    };
    let mut value = serde_json::to_value(target).expect("names and numbers are JSON");
    forget_places(&mut value);
    value
}

fn forget_places(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_place = |span: &Value| {
                span.as_object().is_some_and(|span| {
                    span.len() == 2 && span.get("start").is_some_and(Value::is_number)
                })
            };
            if fields.len() == 2
                && fields.contains_key("value")
                && fields.get("span").is_some_and(is_place)
            {
                fields.remove("span");
            }
            fields.values_mut().for_each(forget_places);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_places),
        _ => {}
    }
}
