//! `inspect`: config, layers and files of an image, wherever it is.

use serde_json::json;

use super::args::{Global, ListFormat};
use super::environment::Environment;
use super::image_source::{Chosen, Finder, Found};
use super::output::{print, print_json};
use crate::exit::Exit;
use crate::report::bytes;
use crate::targets::images;
use imgmake_guard::printable::{self, Colors};
use imgmake_oci::image::{Descriptor, ImageConfig, ImageManifest, from_json, is_image};
use imgmake_oci::layer::{Entry, EntryKind, Layer};
use imgmake_oci::store::Store;

const LARGEST: u64 = 4 << 20;

pub fn inspect(
    global: &Global,
    image: &str,
    chosen: Chosen,
    format: ListFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    let finder = Finder::new(global, environment)?;
    let Found { root, names } = finder.find(image, chosen)?;
    let store = &finder.store;
    match format {
        ListFormat::Json => {
            let value = value(store, &root, &names)?;
            let text = serde_json::to_string_pretty(&value).expect("strings are JSON");
            print_json(&format!("{text}\n"))?;
        }
        ListFormat::Text => print(&text(store, &root, &names)?)?,
    }
    Ok(0)
}

fn config(store: &Store, manifest: &ImageManifest) -> anyhow::Result<ImageConfig> {
    Ok(from_json(
        &store.read_blob(&manifest.config.digest, LARGEST)?,
    )?)
}

fn text(store: &Store, root: &Descriptor, names: &[String]) -> anyhow::Result<String> {
    let mut text = format!("digest    {}\n", root.digest);
    if !names.is_empty() {
        text.push_str(&format!("names     {}\n", names.join(", ")));
    }
    for (descriptor, manifest) in images::tree(store, root)?.manifests() {
        if !is_image(descriptor, manifest) {
            text.push_str(&format!("{}\n", beside(descriptor)));
            continue;
        }
        let config = config(store, manifest)?;
        // The index's word, where there is one: a base may be of another platform.
        let platform = descriptor.platform.clone();
        let platform = platform.unwrap_or_else(|| config.platform());
        text.push_str(&format!("platform  {platform}\n"));
        if descriptor.digest != root.digest {
            text.push_str(&format!("manifest  {}\n", descriptor.digest));
        }
        let run = &config.config;
        let mut say = |name: &str, value: String| {
            if !value.is_empty() {
                // Whoever made the image wrote it: a line break would make a line of its own.
                let value = printable::line(&value, Colors::Removed);
                text.push_str(&format!("{name:9} {value}\n"));
            }
        };
        say("user", run.user.clone());
        say("workdir", run.working_dir.clone());
        say(
            "entry",
            run.entrypoint
                .iter()
                .flatten()
                .map(|w| format!("{w:?}"))
                .collect::<Vec<_>>()
                .join(" "),
        );
        say(
            "cmd",
            run.cmd
                .iter()
                .flatten()
                .map(|w| format!("{w:?}"))
                .collect::<Vec<_>>()
                .join(" "),
        );
        say(
            "ports",
            run.exposed_ports
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(" "),
        );
        say(
            "volumes",
            run.volumes.keys().cloned().collect::<Vec<_>>().join(" "),
        );
        for pair in &run.env {
            say("env", pair.clone());
        }
        for (name, value) in &run.labels {
            say("label", format!("{name}={value}"));
        }
        layers(store, manifest, &config, &mut text)?;
    }
    Ok(text)
}

/// What lies in an index beside images: attestations say of which image they are.
fn beside(descriptor: &Descriptor) -> String {
    let (kind, of) = (
        "vnd.docker.reference.type",
        descriptor.annotations.get("vnd.docker.reference.digest"),
    );
    let kind = descriptor.annotations.get(kind);
    let what = match kind.map(String::as_str) {
        Some("attestation-manifest") => "attests  ",
        _ => "artifact ",
    };
    let of = of.map(|digest| format!(" of {digest}"));
    format!("{what} {}{}", descriptor.digest, of.unwrap_or_default())
}

fn layers(
    store: &Store,
    manifest: &ImageManifest,
    config: &ImageConfig,
    text: &mut String,
) -> anyhow::Result<()> {
    let mut made_by = config.history.iter().filter(|entry| !entry.empty_layer);
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let by = made_by
            .next()
            .map(|entry| entry.created_by.clone())
            .unwrap_or_default();
        text.push_str(&format!(
            "\nlayer     {} ({})  {}\n",
            layer.digest,
            bytes(layer.size),
            printable::line(&by, Colors::Removed)
        ));
        if !store.holds(layer) {
            text.push_str("  not in the store: no step has read it\n");
            continue;
        }
        let layer = Layer::new(diff_id.clone(), layer.clone());
        for entry in &store.index(&layer)?.entries {
            text.push_str(&line(&entry.entry));
        }
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

fn value(store: &Store, root: &Descriptor, names: &[String]) -> anyhow::Result<serde_json::Value> {
    let (mut images, mut others) = (Vec::new(), Vec::new());
    for (descriptor, manifest) in images::tree(store, root)?.manifests() {
        if !is_image(descriptor, manifest) {
            others.push(json!({"digest": descriptor.digest, "annotations": descriptor.annotations, "manifest": manifest}));
            continue;
        }
        images.push(json!({"digest": descriptor.digest, "manifest": manifest, "config": config(store, manifest)?}));
    }
    let mut value = json!({"digest": root.digest, "names": names, "images": images});
    if !others.is_empty() {
        value["others"] = others.into();
    }
    Ok(value)
}
