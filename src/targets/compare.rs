//! Two images compared: config value by value, and files with what changed of them and the
//! layers that hold them.
//!
//! Knows images of the store. Knows no name, no archive and no registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::images;
use imgmake_oci::OciError;
use imgmake_oci::image::{ImageManifest, from_json};
use imgmake_oci::layer::{Entry, EntryKind, Index, IndexEntry, Layer, View, Whiteout};
use imgmake_oci::store::Store;

/// What an image holds, read for a comparison.
pub struct Contents {
    /// As it was written: fields that no type of ours has are compared, too.
    config: Value,
    layers: Vec<String>,
    indexes: Vec<Arc<Index>>,
    view: View,
}

impl Contents {
    /// # Errors
    /// A layer or the config is not in the store, or is damaged.
    pub fn read(store: &Store, manifest: &ImageManifest) -> anyhow::Result<Contents> {
        let (config, bytes) = images::config(store, manifest)?;
        let layers = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let indexes = layers
            .map(|(layer, diff_id)| store.index(&Layer::new(diff_id.clone(), layer.clone())))
            .collect::<Result<Vec<_>, OciError>>()?;
        Ok(Contents {
            view: View::new(&indexes),
            layers: manifest
                .layers
                .iter()
                .map(|layer| layer.digest.to_string())
                .collect(),
            indexes,
            config: from_json(&bytes)?,
        })
    }

    /// The topmost layer that has this path, from 1.
    fn layer_of(&self, path: &[u8]) -> Option<usize> {
        let at = self
            .indexes
            .iter()
            .rposition(|index| index.get(path).is_some())?;
        Some(at + 1)
    }
}

/// Everything that differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    pub config: Vec<Change>,
    pub files: Vec<FileChange>,
    pub layers: LayerChange,
}

impl Comparison {
    pub fn is_empty(&self) -> bool {
        self.config.is_empty() && self.files.is_empty() && self.layers.is_empty()
    }
}

/// A value that differs; `None` where there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// `config.Env.PATH`, `size`, `mode`.
    pub name: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Added,
    Removed,
    Changed,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileChange {
    /// With `/` in front; what is not text is escaped.
    pub path: String,
    pub kind: Kind,
    /// What of it: `type`, `size`, `content`, `mode`, `owner`, `link`, `device`, `attributes`, `time`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The layers that hold it, from 1.
    pub from_layer: Option<usize>,
    pub to_layer: Option<usize>,
}

impl FileChange {
    /// Only its time is another.
    pub fn is_time_alone(&self) -> bool {
        matches!(&*self.changes, [only] if only.name == "time")
    }
}

/// How many layers at the bottom are the same, and the digests above them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LayerChange {
    pub common: usize,
    pub from: Vec<String>,
    pub to: Vec<String>,
}

impl LayerChange {
    fn is_empty(&self) -> bool {
        self.from.is_empty() && self.to.is_empty()
    }
}

/// What is different in `to`, seen from `from`.
pub fn compare(from: &Contents, to: &Contents) -> Comparison {
    let pairs = from.layers.iter().zip(&to.layers);
    let common = pairs.take_while(|(one, other)| one == other).count();
    let layers = LayerChange {
        common,
        from: from.layers[common..].to_vec(),
        to: to.layers[common..].to_vec(),
    };
    Comparison {
        config: configs(&from.config, &to.config, layers.is_empty()),
        files: files(from, to),
        layers,
    }
}

/// The names of the variables, in the order in which they are set.
const ORDER: &str = "order of config.Env";

/// Value by value. Layers are compared as layers, and so is their history, unless they are the same.
fn configs(from: &Value, to: &Value, with_history: bool) -> Vec<Change> {
    let values = |config: &Value| {
        let mut flat = BTreeMap::new();
        flatten("", config, &mut flat);
        let is_history = |name: &str| name == "history" || name.starts_with("history.");
        flat.retain(|name, _| !name.starts_with("rootfs") && (with_history || !is_history(name)));
        flat
    };
    let (from, to) = (values(from), values(to));
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let change = |name: &String| Change {
        name: name.clone(),
        from: from.get(name).cloned(),
        to: to.get(name).cloned(),
    };
    let all = names.into_iter().map(change);
    let mut changes: Vec<Change> = all.filter(|change| change.from != change.to).collect();
    // Another variable is another order.
    if changes
        .iter()
        .any(|change| change.name.starts_with("config.Env."))
    {
        changes.retain(|change| change.name != ORDER);
    }
    changes
}

fn flatten(name: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    let within = |key: &str| match name.is_empty() {
        true => key.to_string(),
        false => format!("{name}.{key}"),
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                flatten(&within(key), value, flat);
            }
        }
        Value::Array(pairs) if name == "config.Env" => {
            let mut order = Vec::new();
            for pair in pairs.iter().filter_map(Value::as_str) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                flat.insert(within(key), value.to_string());
                order.push(key);
            }
            flat.insert(ORDER.to_string(), order.join(" "));
        }
        Value::Array(entries) if name == "history" => {
            for (at, entry) in entries.iter().enumerate() {
                flatten(&within(&(at + 1).to_string()), entry, flat);
            }
        }
        Value::String(text) => {
            flat.insert(name.to_string(), text.clone());
        }
        other => {
            flat.insert(name.to_string(), other.to_string());
        }
    }
}

fn files(from: &Contents, to: &Contents) -> Vec<FileChange> {
    let mut paths: BTreeSet<&[u8]> = BTreeSet::new();
    for index in from.indexes.iter().chain(&to.indexes) {
        let entries = index
            .entries
            .iter()
            .map(|entry| entry.entry.path.as_slice());
        paths.extend(entries.filter(|path| Whiteout::parse(path).is_none()));
    }
    let mut found = Vec::new();
    for path in paths {
        let (kind, changes) = match (from.view.get(path), to.view.get(path)) {
            (None, None) => continue,
            (None, Some(_)) => (Kind::Added, Vec::new()),
            (Some(_), None) => (Kind::Removed, Vec::new()),
            (Some(one), Some(other)) => match changes(one, other) {
                changes if changes.is_empty() => continue,
                changes => (Kind::Changed, changes),
            },
        };
        found.push(FileChange {
            path: format!("/{}", path.escape_ascii()),
            kind,
            changes,
            from_layer: from.layer_of(path).filter(|_| kind != Kind::Added),
            to_layer: to.layer_of(path).filter(|_| kind != Kind::Removed),
        });
    }
    found
}

fn changes(from: &IndexEntry, to: &IndexEntry) -> Vec<Change> {
    let mut found = Vec::new();
    let mut say = |name: &str, one: String, other: String| {
        if one != other {
            found.push(Change {
                name: name.to_string(),
                from: Some(one),
                to: Some(other),
            });
        }
    };
    let (one, other) = (&from.entry, &to.entry);
    let same_type = type_of(one) == type_of(other);
    say("type", type_of(one).to_string(), type_of(other).to_string());
    if same_type {
        match (&one.kind, &other.kind) {
            (EntryKind::File { size: one }, EntryKind::File { size: other }) => {
                say("size", one.to_string(), other.to_string());
            }
            (EntryKind::Directory, _) | (EntryKind::Fifo, _) => {}
            _ => say("link", detail(&one.kind), detail(&other.kind)),
        }
        let hash = |entry: &IndexEntry| {
            entry
                .content
                .map(|hash| hex(&hash[..6]))
                .unwrap_or_default()
        };
        if from.content != to.content {
            say("content", hash(from), hash(to));
        }
    }
    say(
        "mode",
        format!("{:04o}", one.mode),
        format!("{:04o}", other.mode),
    );
    say(
        "owner",
        format!("{}:{}", one.uid, one.gid),
        format!("{}:{}", other.uid, other.gid),
    );
    say("attributes", attributes(one), attributes(other));
    say("time", time(one), time(other));
    found
}

fn type_of(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryKind::Directory => "directory",
        EntryKind::File { .. } => "file",
        EntryKind::Symlink { .. } => "link",
        EntryKind::HardLink { .. } => "hard link",
        EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } => "device",
        EntryKind::Fifo => "pipe",
    }
}

/// Where a link leads; the numbers of a device.
fn detail(kind: &EntryKind) -> String {
    match kind {
        EntryKind::Symlink { target } | EntryKind::HardLink { target } => {
            target.escape_ascii().to_string()
        }
        EntryKind::CharDevice { major, minor } => format!("c {major},{minor}"),
        EntryKind::BlockDevice { major, minor } => format!("b {major},{minor}"),
        EntryKind::Directory | EntryKind::File { .. } | EntryKind::Fifo => String::new(),
    }
}

fn attributes(entry: &Entry) -> String {
    let one = |(name, value): (&Vec<u8>, &Vec<u8>)| {
        format!("{}={}", name.escape_ascii(), value.escape_ascii())
    };
    let all: Vec<String> = entry.xattrs.iter().map(one).collect();
    all.join(" ")
}

fn time(entry: &Entry) -> String {
    match entry.mtime.nanos {
        0 => entry.mtime.seconds.to_string(),
        nanos => format!("{}.{nanos:09}", entry.mtime.seconds),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use imgmake_oci::layer::Timestamp;
    use serde_json::json;

    fn file(text: &str, mode: u32, time: i64) -> IndexEntry {
        let entry = Entry::file("etc/a", mode, text.len() as u64);
        IndexEntry {
            entry: entry.modified(Timestamp::from_seconds(time)),
            content: Some(*blake3::hash(text.as_bytes()).as_bytes()),
        }
    }

    fn contents(layers: &[&[IndexEntry]], env: &str) -> Contents {
        let indexes: Vec<Arc<Index>> = layers
            .iter()
            .map(|entries| Arc::new(Index::new(entries.to_vec())))
            .collect();
        let history =
            json!([{"created_by": "RUN a"}, {"created_by": "RUN b", "empty_layer": true}]);
        Contents {
            config: json!({"config": {"Env": [env, "PATH=/bin"]}, "history": history}),
            layers: (0..layers.len()).map(|at| format!("sha256:{at}")).collect(),
            view: View::new(&indexes),
            indexes,
        }
    }

    /// Equal layers may have another history, variables another order, and a config may hold what no type here has.
    #[test]
    fn what_is_in_the_config_alone_is_named() {
        let layer = file("one", 0o644, 1);
        let image = || contents(&[std::slice::from_ref(&layer)], "A=1");
        let (from, mut to) = (image(), image());
        to.config["config"]["Env"] = json!(["PATH=/bin", "A=1"]);
        to.config["config"]["Memory"] = json!(5);
        to.config["history"][1]["comment"] = json!("other");
        let compared = compare(&from, &to);
        let names: Vec<&str> = compared.config.iter().map(|change| &*change.name).collect();
        assert_eq!(names, ["config.Memory", "history.2.comment", ORDER]);
        assert!(!compared.is_empty());
    }

    #[test]
    fn each_difference_is_named_with_what_it_is_of() {
        let (one, other) = (file("one", 0o644, 1), file("three", 0o755, 2));
        let from = contents(&[std::slice::from_ref(&one)], "A=1");
        let to = contents(&[&[one], &[other]], "B=2");
        let compared = compare(&from, &to);
        let names: Vec<&str> = compared.config.iter().map(|change| &*change.name).collect();
        assert_eq!(names, ["config.Env.A", "config.Env.B"]);
        let [changed] = &compared.files[..] else {
            panic!("{compared:?}");
        };
        let names: Vec<&str> = changed.changes.iter().map(|change| &*change.name).collect();
        assert_eq!(names, ["size", "content", "mode", "time"]);
        assert_eq!((changed.from_layer, changed.to_layer), (Some(1), Some(2)));
        assert_eq!((compared.layers.common, compared.layers.to.len()), (1, 1));
        assert!(compare(&from, &from).is_empty());
    }
}
