//! An image as a text that people read: warnings, tree, layers, config, history.
//! The tree is told beside the base's: what the build added or changed, and `gone` what
//! it took away. Layers are told by the names in them: whiteouts, hard links and
//! what should not be there show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read;
use std::sync::Arc;

use imgmake_oci::image::media_type::is_index;
use imgmake_oci::image::{
    ContainerConfig, Descriptor, Healthcheck, ImageConfig, ImageIndex, ImageManifest, from_json,
};
use imgmake_oci::layer::{EntryKind, Index, IndexEntry, LayerReader, View, decompress, split};
use imgmake_oci::store::Store;

use super::case::Request;

/// Contents up to here are shown, longer ones by size and hash.
const SHOWN: u64 = 200;

pub struct Image {
    pub root: Descriptor,
    pub warnings: Vec<String>,
    /// One per platform.
    parts: Vec<Part>,
    /// Of the index, if there is one.
    annotations: String,
}

/// Its mount points, what it writes where nothing was said, and what it does not.
fn is_buildahs_own(line: &str) -> bool {
    const MOUNTS: [&str; 7] = [
        "/dev",
        "/proc",
        "/run",
        "/sys",
        "/etc/hosts",
        "/etc/hostname",
        "/etc/resolv.conf",
    ];
    let place = line.split(' ').nth(3).unwrap_or_default();
    MOUNTS.contains(&place) || ["Entrypoint []", "Cmd []", "WorkingDir /"].contains(&line)
}

struct Part {
    platform: String,
    annotations: String,
    tree: String,
    /// Above the base's.
    added: usize,
    layers: String,
    config: String,
    history: String,
}

impl Image {
    pub fn read(store: &Store, root: &Descriptor, base: &Descriptor, asked: &Request) -> Image {
        let manifests = match is_index(&root.media_type) {
            true => json::<ImageIndex>(store, root).manifests,
            false => vec![root.clone()],
        };
        let part = |manifest: &Descriptor| Part::read(store, manifest, base, asked);
        let annotations = match is_index(&root.media_type) {
            true => {
                let index = json::<ImageIndex>(store, root);
                let described = index.manifests.iter().map(|manifest| {
                    let platform = manifest.platform.as_ref();
                    let document = format!("description of {}", platform.unwrap());
                    annotated(&document, &manifest.annotations)
                });
                let described: String = described.collect();
                "[index]\n".to_string() + &annotated("index", &index.annotations) + &described
            }
            false => String::new(),
        };
        Image {
            root: root.clone(),
            warnings: Vec::new(),
            parts: manifests.iter().map(part).collect(),
            annotations,
        }
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for warning in &self.warnings {
            writeln!(text, "warning: {warning}").unwrap();
        }
        text += &self.annotations;
        for part in &self.parts {
            let Part {
                platform,
                annotations,
                tree,
                layers,
                config,
                history,
                ..
            } = part;
            write!(
                text,
                "[image {platform}]\n{annotations}{tree}[layers]\n{layers}[config]\n{config}[history]\n{history}"
            )
            .unwrap();
        }
        text
    }

    /// What every builder must agree on.
    pub fn essence(&self) -> String {
        let parts = self.parts.iter();
        let text: String = parts
            .map(|part| format!("[image]\n{}[config]\n{}", part.tree, part.config))
            .collect();
        let lines = text.lines().filter(|line| !is_buildahs_own(line));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// How many layers each platform's image has above the base.
    pub fn added_layers(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.added).collect()
    }

    /// The paths of the whole tree, as the text writes them.
    pub fn tree(&self) -> &str {
        &self.parts[0].tree
    }
}

impl Part {
    fn read(store: &Store, root: &Descriptor, base: &Descriptor, asked: &Request) -> Part {
        let manifest: ImageManifest = json(store, root);
        let config: ImageConfig = json(store, &manifest.config);
        let base: ImageManifest = json(store, base);
        let base: ImageConfig = json(store, &base.config);
        let mut own = layers(store, &manifest);
        // By their tars: another builder may have packed them anew.
        let below = match config.rootfs.diff_ids.starts_with(&base.rootfs.diff_ids) {
            true => own.drain(..base.rootfs.diff_ids.len()).collect(),
            false => Vec::new(),
        };
        let mut part = Part {
            platform: config.platform().to_string(),
            annotations: annotated("manifest", &manifest.annotations),
            tree: tree(&below, &own, asked.times),
            added: own.len(),
            layers: own.iter().enumerate().map(|(n, l)| l.names(n)).collect(),
            config: settings(&config.config),
            history: history(&config),
        };
        if asked.created {
            part.config += &created(&config);
        }
        if below.is_empty() && own.is_empty() {
            part.layers = "none\n".into();
        }
        let metadata = String::from_utf8_lossy(&blob(store, &manifest.config)).into_owned();
        for text in &asked.absent {
            let within = |bytes: &[u8]| bytes.windows(text.len()).any(|w| w == text.as_bytes());
            assert!(!metadata.contains(text), "`{text}` is in the config");
            assert!(
                !own.iter().any(|layer| within(&layer.bytes)),
                "`{text}` is in a layer"
            );
        }
        part
    }
}

struct Layer {
    /// The tar.
    bytes: Vec<u8>,
    index: Arc<Index>,
    /// Short contents, by path.
    contents: BTreeMap<[u8; 32], Vec<u8>>,
}

impl Layer {
    fn names(&self, number: usize) -> String {
        let mut text = format!("layer {}\n", number + 1);
        for IndexEntry { entry, .. } in &self.index.entries {
            text += &format!("  /{}", shown(&entry.path));
            if let EntryKind::HardLink { target } = &entry.kind {
                text += &format!(" = /{}", shown(target));
            }
            text.push('\n');
        }
        text
    }
}

fn layers(store: &Store, manifest: &ImageManifest) -> Vec<Layer> {
    let read = |descriptor: &Descriptor| {
        let packed = store.open_blob(&descriptor.digest).unwrap();
        let mut bytes = Vec::new();
        decompress(packed).unwrap().read_to_end(&mut bytes).unwrap();
        let mut contents = BTreeMap::new();
        let mut reader = LayerReader::new(&bytes[..]);
        while let Some(entry) = reader.next_entry().unwrap() {
            if entry.size() <= SHOWN {
                let mut content = Vec::new();
                reader.read_to_end(&mut content).unwrap();
                contents.insert(*blake3::hash(&content).as_bytes(), content);
            }
        }
        Layer {
            index: Arc::new(Index::read(&bytes[..]).unwrap()),
            contents,
            bytes,
        }
    };
    manifest.layers.iter().map(read).collect()
}

fn tree(below: &[Layer], own: &[Layer], times: bool) -> String {
    let indexes = |layers: &[Layer]| layers.iter().map(|l| l.index.clone()).collect::<Vec<_>>();
    let base = View::new(&indexes(below));
    let whole = View::new(&[indexes(below), indexes(own)].concat());
    let mut contents = BTreeMap::new();
    for layer in own {
        contents.extend(layer.contents.iter());
    }
    let mut text = String::new();
    for found in whole.walk(b"") {
        let line = line(found, &contents, times);
        let before = base.get(&found.entry.path);
        if before.is_none_or(|before| self::line(before, &contents, times) != line) {
            text += &line;
        }
    }
    let mut gone = BTreeSet::new();
    for IndexEntry { entry, .. } in base.walk(b"") {
        if whole.get(&entry.path).is_none() {
            if !gone.contains(split(&entry.path).0) {
                writeln!(text, "gone /{}", shown(&entry.path)).unwrap();
            }
            gone.insert(entry.path.as_slice());
        }
    }
    text
}

fn line(found: &IndexEntry, contents: &BTreeMap<&[u8; 32], &Vec<u8>>, times: bool) -> String {
    let entry = &found.entry;
    let (kind, more) = match &entry.kind {
        EntryKind::Directory => ("dir", String::new()),
        EntryKind::File { size } => ("file", content(found, *size, contents)),
        EntryKind::Symlink { target } => ("link", format!(" -> {}", shown(target))),
        EntryKind::HardLink { target } => ("BROKEN", format!(" = {}", shown(target))),
        EntryKind::CharDevice { major, minor } => ("char", format!(" {major}:{minor}")),
        EntryKind::BlockDevice { major, minor } => ("block", format!(" {major}:{minor}")),
        EntryKind::Fifo => ("fifo", String::new()),
    };
    let (mode, uid, gid) = (entry.mode, entry.uid, entry.gid);
    let path = shown(&entry.path);
    let mut line = match entry.kind {
        // Nothing asks for a link's mode, and file systems differ in it.
        EntryKind::Symlink { .. } => format!("{kind} {uid}:{gid} /{path}{more}"),
        _ => format!("{kind} {mode:04o} {uid}:{gid} /{path}{more}"),
    };
    for (name, value) in &entry.xattrs {
        write!(line, " [{}={}]", shown(name), value.escape_ascii()).unwrap();
    }
    if times {
        write!(line, " @{}.{}", entry.mtime.seconds, entry.mtime.nanos).unwrap();
    }
    line + "\n"
}

fn content(found: &IndexEntry, size: u64, contents: &BTreeMap<&[u8; 32], &Vec<u8>>) -> String {
    let hash = found.content.unwrap_or_default();
    match contents.get(&hash) {
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!(" {text:?}"),
            Err(_) => format!(" b\"{}\"", bytes.escape_ascii()),
        },
        None => format!(
            " {size} bytes, {}",
            &blake3::Hash::from(hash).to_hex()[..16]
        ),
    }
}

fn settings(config: &ContainerConfig) -> String {
    let mut text = String::new();
    let mut tell = |name: &str, value: String| {
        if !value.is_empty() {
            writeln!(text, "{name} {value}").unwrap();
        }
    };
    for pair in &config.env {
        tell("Env", shown(pair.as_bytes()));
    }
    let list = |list: &Option<Vec<String>>| list.as_ref().map(|l| format!("{l:?}"));
    tell("Entrypoint", list(&config.entrypoint).unwrap_or_default());
    tell("Cmd", list(&config.cmd).unwrap_or_default());
    tell("Shell", list(&config.shell).unwrap_or_default());
    tell("User", config.user.clone());
    tell("WorkingDir", config.working_dir.clone());
    for (name, value) in &config.labels {
        // buildah's own, on images of its own.
        if name != "io.buildah.version" {
            tell("Label", format!("{name}={}", shown(value.as_bytes())));
        }
    }
    for port in config.exposed_ports.keys() {
        tell("ExposedPort", port.clone());
    }
    for volume in config.volumes.keys() {
        tell("Volume", volume.clone());
    }
    tell(
        "Healthcheck",
        config
            .healthcheck
            .as_ref()
            .map(healthcheck)
            .unwrap_or_default(),
    );
    tell("StopSignal", config.stop_signal.clone());
    for trigger in &config.on_build {
        tell("OnBuild", shown(trigger.as_bytes()));
    }
    text
}

fn healthcheck(check: &Healthcheck) -> String {
    let mut text = format!("{:?}", check.test);
    for (name, value) in [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start-period", check.start_period),
        ("start-interval", check.start_interval),
    ] {
        if value != 0 {
            write!(text, " {name}={value}ns").unwrap();
        }
    }
    if check.retries != 0 {
        write!(text, " retries={}", check.retries).unwrap();
    }
    text
}

fn annotated(document: &str, annotations: &BTreeMap<String, String>) -> String {
    let lines = annotations.iter();
    lines
        .map(|(name, value)| format!("{document} annotation {name}={}\n", shown(value.as_bytes())))
        .collect()
}

/// When it was made, and when its own steps were.
fn created(config: &ImageConfig) -> String {
    let mut text = format!("Created {}\n", config.created.as_deref().unwrap_or("never"));
    if let Some(last) = config.history.last() {
        let at = last.created.as_deref().unwrap_or("never");
        writeln!(text, "Created (last step) {at}").unwrap();
    }
    text
}

fn history(config: &ImageConfig) -> String {
    let entries = config.history.iter();
    let line = |entry: &imgmake_oci::image::History| {
        let kind = if entry.empty_layer { "empty" } else { "layer" };
        format!("{kind} {}\n", shown(entry.created_by.as_bytes()))
    };
    entries.map(line).collect()
}

fn json<T: serde::de::DeserializeOwned>(store: &Store, descriptor: &Descriptor) -> T {
    from_json(&blob(store, descriptor)).unwrap()
}

fn blob(store: &Store, descriptor: &Descriptor) -> Vec<u8> {
    store.read_blob(&descriptor.digest, 1 << 22).unwrap()
}

/// On one line, whatever the bytes.
pub fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.into(),
        _ => bytes.escape_ascii().to_string(),
    }
}
