//! `inspect`: config, layers and files of an image, wherever it is: a screenful first, more of it when asked.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::{Global, InspectArgs, ListFormat};
use super::environment::Environment;
use super::image_source::{Chosen, Finder, Found};
use super::output::{print, print_json};
use crate::exit::Exit;
use crate::report::{bytes, short_digest};
use crate::targets::images;
use imgmake_guard::printable::{self, Colors};
use imgmake_oci::image::{Descriptor, ImageConfig, ImageManifest, from_json, is_image};
use imgmake_oci::layer::{Entry, EntryKind, Index, IndexEntry, Layer, View};
use imgmake_oci::store::Store;

/// Variables, labels and names that are shown at first.
const SHOWN_VALUES: usize = 6;
const SHOWN_LAYERS: usize = 12;
const SHOWN_FILES: usize = 6;
/// Characters of a value.
const LONGEST_VALUE: usize = 200;
/// Characters of an instruction beside its layer.
const LONGEST_INSTRUCTION: usize = 45;

pub fn inspect(global: &Global, args: &InspectArgs, environment: &Environment) -> Result<u8, Exit> {
    let named = args.of_archive.as_deref().map(Chosen::Named);
    let numbered = args.index.map(Chosen::Numbered);
    let chosen = named.or(numbered).unwrap_or(Chosen::Only);
    let finder = Finder::new(global, environment)?;
    let Found { root, names } = finder.find(&args.image, chosen)?;
    let store = &finder.store;
    let digests = match environment.shows_short_digests() {
        true => Digests::Short,
        false => Digests::Whole,
    };
    match args.format() {
        ListFormat::Json => {
            let value = document(store, args, &root, &names)?;
            let text = serde_json::to_string_pretty(&value).expect("strings are JSON");
            print_json(&format!("{text}\n"))?;
        }
        ListFormat::Text => print(&text(store, args, &root, &names, digests)?)?,
    }
    Ok(0)
}

/// How digests are shown.
#[derive(Clone, Copy)]
enum Digests {
    Whole,
    Short,
}

impl Digests {
    fn show(self, digest: impl std::fmt::Display) -> String {
        let whole = digest.to_string();
        match self {
            Digests::Whole => whole,
            Digests::Short => short_digest(&whole),
        }
    }
}

/// One image, read.
struct Image<'a> {
    manifest: &'a ImageManifest,
    config: ImageConfig,
    /// None of a layer that is not in the store.
    indexes: Vec<Option<Arc<Index>>>,
}

impl<'a> Image<'a> {
    fn read(store: &Store, manifest: &'a ImageManifest) -> anyhow::Result<Image<'a>> {
        let (config, _) = images::config(store, manifest)?;
        let layers = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let index = |(layer, diff_id): (&Descriptor, _)| match store.holds(layer) {
            true => Ok(Some(
                store.index(&Layer::new(Clone::clone(diff_id), layer.clone()))?,
            )),
            false => Ok(None),
        };
        let indexes = layers.map(index).collect::<anyhow::Result<_>>()?;
        Ok(Image {
            manifest,
            config,
            indexes,
        })
    }

    /// Layers with the instructions that made them.
    fn layers(&self) -> Vec<(&'a Descriptor, &str, Option<&Index>)> {
        let mut made_by = self
            .config
            .history
            .iter()
            .filter(|entry| !entry.empty_layer);
        let layers = self.manifest.layers.iter().zip(&self.indexes);
        layers
            .map(|(layer, index)| {
                let by = made_by.next().map_or("", |entry| entry.created_by.as_str());
                (layer, by, index.as_deref())
            })
            .collect()
    }

    /// All files of the image, with the layer that holds each, from 1.
    fn files(&self) -> Vec<(usize, IndexEntry)> {
        let indexes: Vec<Arc<Index>> = self.indexes.iter().flatten().cloned().collect();
        let view = View::new(&indexes);
        let holds = |index: &Option<Arc<Index>>, entry: &IndexEntry| {
            index
                .as_ref()
                .is_some_and(|index| index.get(&entry.entry.path).is_some())
        };
        let all = view.walk(b"").map(|entry| {
            let at = self.indexes.iter().rposition(|index| holds(index, entry));
            (at.map_or(0, |at| at + 1), entry.clone())
        });
        all.filter(|(_, entry)| !entry.entry.path.is_empty())
            .collect()
    }
}

fn size_of(entry: &Entry) -> u64 {
    match entry.kind {
        EntryKind::File { size } => size,
        _ => 0,
    }
}

fn is_file(entry: &Entry) -> bool {
    matches!(
        entry.kind,
        EntryKind::File { .. } | EntryKind::HardLink { .. }
    )
}

fn text(
    store: &Store,
    args: &InspectArgs,
    root: &Descriptor,
    names: &[String],
    digests: Digests,
) -> anyhow::Result<String> {
    let mut text = format!("digest    {}\n", digests.show(&root.digest));
    if !names.is_empty() {
        let shown = printable::listed(&names[..names.len().min(SHOWN_VALUES)], ", ");
        let shown = printable::line(&shown, Colors::Removed);
        let more = names.len().saturating_sub(SHOWN_VALUES);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        writeln!(text, "names     {shown}{more}")?;
    }
    for (descriptor, manifest) in images::tree(store, root)?.manifests() {
        if !is_image(descriptor, manifest) {
            writeln!(text, "{}", beside(descriptor, digests))?;
            continue;
        }
        let image = Image::read(store, manifest)?;
        // The index's word, where there is one: a base may be of another platform.
        let platform = descriptor.platform.clone();
        let platform = platform.unwrap_or_else(|| image.config.platform());
        let platform = platform.to_string();
        let platform = printable::line(&platform, Colors::Removed);
        writeln!(text, "platform  {platform}")?;
        if descriptor.digest != root.digest {
            writeln!(text, "manifest  {}", digests.show(&descriptor.digest))?;
        }
        config(&image.config, &mut text);
        if args.layers {
            each_layer(&image, digests, &mut text)?;
        }
        if args.files {
            all_files(&image, &mut text)?;
        }
        if !args.layers && !args.files {
            overview(&image, &mut text)?;
        }
    }
    Ok(text)
}

/// What a container is started with.
fn config(config: &ImageConfig, text: &mut String) {
    let run = &config.config;
    // Whoever made the image wrote it: a line break would make a line of its own.
    let mut say = |name: &str, value: String| {
        if !value.is_empty() {
            let value = printable::cut(&value, LONGEST_VALUE).into_owned();
            let value = printable::line(&value, Colors::Removed);
            text.push_str(&format!("{name:9} {value}\n"));
        }
    };
    let words = |words: &Option<Vec<String>>| {
        let words = words.iter().flatten().map(|word| format!("{word:?}"));
        words.collect::<Vec<_>>().join(" ")
    };
    let joined = |names: Vec<&String>| {
        let names = names.into_iter().map(String::as_str);
        names.collect::<Vec<_>>().join(" ")
    };
    say("user", run.user.clone());
    say("workdir", run.working_dir.clone());
    say("entry", words(&run.entrypoint));
    say("cmd", words(&run.cmd));
    say("ports", joined(run.exposed_ports.keys().collect()));
    say("volumes", joined(run.volumes.keys().collect()));
    let health = run.healthcheck.as_ref().map(|check| check.test.join(" "));
    say("health", health.unwrap_or_default());
    for pair in run.env.iter().take(SHOWN_VALUES) {
        say("env", pair.clone());
    }
    for (name, value) in run.labels.iter().take(SHOWN_VALUES) {
        say("label", format!("{name}={value}"));
    }
    for (count, what) in [(run.env.len(), "variables"), (run.labels.len(), "labels")] {
        if let more @ 1.. = count.saturating_sub(SHOWN_VALUES) {
            text.push_str(&format!("and {more} more {what}: `--json` has all\n"));
        }
    }
}

/// What lies in an index beside images: attestations say of which image they are.
fn beside(descriptor: &Descriptor, digests: Digests) -> String {
    let (kind, of) = (
        "vnd.docker.reference.type",
        descriptor.annotations.get("vnd.docker.reference.digest"),
    );
    let kind = descriptor.annotations.get(kind);
    let what = match kind.map(String::as_str) {
        Some("attestation-manifest") => "attests  ",
        _ => "artifact ",
    };
    let of = of.map(|digest| digests.show(printable::line(digest, Colors::Removed)));
    let of = of.map(|digest| format!(" of {digest}"));
    let digest = digests.show(&descriptor.digest);
    format!("{what} {digest}{}", of.unwrap_or_default())
}

/// A line for each layer, and the largest files.
fn overview(image: &Image, text: &mut String) -> anyhow::Result<()> {
    let layers = image.layers();
    let total: u64 = layers.iter().map(|(layer, ..)| layer.size).sum();
    writeln!(
        text,
        "\nlayers    {}, {} compressed",
        layers.len(),
        bytes(total)
    )?;
    for (at, (layer, by, index)) in layers.iter().enumerate().take(SHOWN_LAYERS) {
        let entries = match index {
            Some(index) if index.entries.len() == 1 => "1 entry".to_string(),
            Some(index) => format!("{} entries", index.entries.len()),
            None => "not in the store".to_string(),
        };
        let by = printable::line(by, Colors::Removed);
        let by = printable::cut(&by, LONGEST_INSTRUCTION);
        writeln!(
            text,
            "  {:>2}  {:>9}  {entries:>15}  {by}",
            at + 1,
            bytes(layer.size)
        )?;
    }
    if let more @ 1.. = layers.len().saturating_sub(SHOWN_LAYERS) {
        writeln!(
            text,
            "  and {more} more: `--layers` lists all with their files"
        )?;
    }
    let mut files = image.files();
    files.retain(|(_, entry)| is_file(&entry.entry));
    files.sort_by(|(_, a), (_, b)| {
        let sizes = size_of(&b.entry).cmp(&size_of(&a.entry));
        sizes.then_with(|| a.entry.path.cmp(&b.entry.path))
    });
    if !files.is_empty() {
        let unpacked: u64 = files.iter().map(|(_, entry)| size_of(&entry.entry)).sum();
        writeln!(
            text,
            "\nfiles     {}, {}; the largest:",
            files.len(),
            bytes(unpacked)
        )?;
    }
    without_missing(image, text)?;
    for (layer, entry) in files.iter().take(SHOWN_FILES) {
        let (size, path) = (
            bytes(size_of(&entry.entry)),
            entry.entry.path.escape_ascii(),
        );
        writeln!(text, "  {size:>9}  /{path}  (layer {layer})")?;
    }
    if files.len() > SHOWN_FILES {
        writeln!(text, "`--files` lists all")?;
    }
    text.push('\n');
    Ok(())
}

/// Every layer with its digest and everything in it.
fn each_layer(image: &Image, digests: Digests, text: &mut String) -> anyhow::Result<()> {
    for (layer, by, index) in image.layers() {
        let by = printable::line(by, Colors::Removed);
        writeln!(
            text,
            "\nlayer     {} ({})  {by}",
            digests.show(&layer.digest),
            bytes(layer.size)
        )?;
        match index {
            None => writeln!(text, "  not in the store: no step has read it")?,
            Some(index) => {
                let entries = index.entries.iter();
                entries.for_each(|entry| text.push_str(&line(&entry.entry)));
            }
        }
    }
    Ok(())
}

/// The files of the image, whichever layers they come from.
fn all_files(image: &Image, text: &mut String) -> anyhow::Result<()> {
    without_missing(image, text)?;
    text.push('\n');
    for (_, entry) in image.files() {
        text.push_str(&line(&entry.entry));
    }
    Ok(())
}

/// What cannot be known of the files of an image.
fn without_missing(image: &Image, text: &mut String) -> anyhow::Result<()> {
    match image.indexes.iter().filter(|index| index.is_none()).count() {
        0 => {}
        1 => writeln!(
            text,
            "without the files of 1 layer that is not in the store"
        )?,
        n => writeln!(
            text,
            "without the files of {n} layers that are not in the store"
        )?,
    }
    Ok(())
}

fn line(entry: &Entry) -> String {
    let (kind, size, more) = match &entry.kind {
        EntryKind::Directory => ('d', 0, String::new()),
        EntryKind::File { size } => ('-', *size, String::new()),
        EntryKind::Symlink { target } => ('l', 0, format!(" -> {}", target.escape_ascii())),
        EntryKind::HardLink { target } => ('h', 0, format!(" = /{}", target.escape_ascii())),
        EntryKind::CharDevice { major, minor } => ('c', 0, format!(" {major},{minor}")),
        EntryKind::BlockDevice { major, minor } => ('b', 0, format!(" {major},{minor}")),
        EntryKind::Fifo => ('p', 0, String::new()),
    };
    let path = entry.path.escape_ascii();
    format!(
        "  {kind}{:04o} {:>5}:{:<5} {:>8}  /{path}{more}\n",
        entry.mode,
        entry.uid,
        entry.gid,
        bytes(size)
    )
}

fn document(
    store: &Store,
    args: &InspectArgs,
    root: &Descriptor,
    names: &[String],
) -> anyhow::Result<Value> {
    let (mut images, mut others) = (Vec::new(), Vec::new());
    for (descriptor, manifest) in images::tree(store, root)?.manifests() {
        if !is_image(descriptor, manifest) {
            others.push(json!({"digest": descriptor.digest, "annotations": descriptor.annotations, "manifest": manifest}));
            continue;
        }
        let image = Image::read(store, manifest)?;
        let layer = |(layer, by, index): (&Descriptor, &str, Option<&Index>)| {
            let mut value = json!({
                "digest": layer.digest,
                "size": layer.size,
                "created_by": by,
                "entries": index.map(|index| index.entries.len()),
            });
            if let (true, Some(index)) = (args.layers, index) {
                value["files"] = index
                    .entries
                    .iter()
                    .map(|entry| file(&entry.entry, None))
                    .collect();
            }
            value
        };
        let layers: Vec<Value> = image.layers().into_iter().map(layer).collect();
        let (_, bytes) = images::config(store, manifest)?;
        let config: Value = from_json(&bytes)?;
        let mut value = json!({"digest": descriptor.digest, "manifest": manifest, "config": config, "layers": layers});
        if args.files {
            let files = image.files();
            let files = files
                .iter()
                .map(|(layer, entry)| file(&entry.entry, Some(*layer)));
            value["files"] = files.collect();
        }
        images.push(value);
    }
    let mut value = json!({"digest": root.digest, "names": names, "images": images});
    if !others.is_empty() {
        value["others"] = others.into();
    }
    Ok(value)
}

fn file(entry: &Entry, layer: Option<usize>) -> Value {
    let (kind, target) = match &entry.kind {
        EntryKind::Directory => ("directory", None),
        EntryKind::File { .. } => ("file", None),
        EntryKind::Symlink { target } => ("symlink", Some(target)),
        EntryKind::HardLink { target } => ("hardlink", Some(target)),
        EntryKind::CharDevice { .. } => ("char-device", None),
        EntryKind::BlockDevice { .. } => ("block-device", None),
        EntryKind::Fifo => ("pipe", None),
    };
    let mut value = json!({
        "path": format!("/{}", entry.path.escape_ascii()),
        "type": kind,
        "size": size_of(entry),
        "mode": format!("{:04o}", entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
    });
    if let Some(target) = target {
        value["target"] = target.escape_ascii().to_string().into();
    }
    if let Some(layer) = layer {
        value["layer"] = layer.into();
    }
    value
}
