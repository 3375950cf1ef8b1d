//! `diff`: what is different between two images.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::args::{DiffArgs, Global, ListFormat};
use super::environment::Environment;
use super::image_source::{Chosen, Finder, Found};
use super::output::{print_json, print_sentences};
use crate::exit::{self, Exit};
use crate::report::short_digest;
use crate::targets::compare::{
    Change, Comparison, Contents, FileChange, Kind, LayerChange, compare,
};
use crate::targets::images;
use imgmake_guard::printable::{self, Colors};
use imgmake_oci::image::{ImageConfig, ImageManifest, from_json, is_image};
use imgmake_oci::store::Store;

/// Files that are shown without `--files`.
const SHOWN_FILES: usize = 40;
/// Bytes of a config.
const LARGEST: u64 = 4 << 20;

/// What is compared of one platform; `None` where only one image has it.
type Compared = (String, Result<Comparison, &'static str>);

pub fn diff(global: &Global, args: &DiffArgs, environment: &Environment) -> Result<u8, Exit> {
    let finder = Finder::new(global, environment)?;
    let from = finder.find(&args.from, Chosen::Only)?;
    let to = finder.find(&args.to, Chosen::Only)?;
    let difference = of_images(&finder.store, args, environment, &from, &to)?;
    Ok(match args.exit_code && difference != Difference::None {
        true => exit::FAILED,
        false => 0,
    })
}

/// How much of two images is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    None,
    /// Nothing but times of files.
    Times,
    Content,
}

/// Prints what is different between two images of a store.
///
/// # Errors
/// One of them cannot be read.
pub fn of_images(
    store: &Store,
    args: &DiffArgs,
    environment: &Environment,
    from: &Found,
    to: &Found,
) -> Result<Difference, Exit> {
    let compared = platforms(store, from, to)?;
    match args.format() {
        ListFormat::Json => print_json(&document(from, to, &compared))?,
        ListFormat::Text => {
            print_sentences(&text(args, environment, (from, to), &compared))?;
        }
    }
    let is_times = |(_, result): &Compared| {
        let only = |one: &Comparison| {
            one.config.is_empty() && one.files.iter().all(FileChange::is_time_alone)
        };
        result.as_ref().is_ok_and(only)
    };
    let has_files = |(_, result): &Compared| result.as_ref().is_ok_and(|one| !one.files.is_empty());
    Ok(if from.root.digest == to.root.digest {
        Difference::None
    } else if compared.iter().all(is_times) && compared.iter().any(has_files) {
        Difference::Times
    } else {
        Difference::Content
    })
}

/// Two images of one platform are compared whatever these are; of several platforms each with its own.
fn platforms(store: &Store, from: &Found, to: &Found) -> Result<Vec<Compared>, Exit> {
    let (one, other) = (manifests(store, from)?, manifests(store, to)?);
    let read = |manifest: &ImageManifest| -> Result<Contents, Exit> {
        Ok(Contents::read(store, manifest)?)
    };
    if let ([(platform, from)], [(_, to)]) = (&one[..], &other[..]) {
        let compared = compare(&read(from)?, &read(to)?);
        return Ok(vec![(platform.clone(), Ok(compared))]);
    }
    let (one, other): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (one.into_iter().collect(), other.into_iter().collect());
    let mut compared = Vec::new();
    for (platform, from) in &one {
        let result = match other.get(platform) {
            Some(to) => Ok(compare(&read(from)?, &read(to)?)),
            None => Err("only in the first image"),
        };
        compared.push((platform.clone(), result));
    }
    for platform in other.keys().filter(|platform| !one.contains_key(*platform)) {
        compared.push((platform.clone(), Err("only in the second image")));
    }
    Ok(compared)
}

/// The images of an index, or the one image, by platform.
fn manifests(store: &Store, found: &Found) -> Result<Vec<(String, ImageManifest)>, Exit> {
    let tree = images::tree(store, &found.root)?;
    let mut all = Vec::new();
    for (descriptor, manifest) in tree.manifests() {
        if !is_image(descriptor, manifest) {
            continue;
        }
        let platform = match &descriptor.platform {
            Some(platform) => platform.to_string(),
            None => {
                let bytes = store.read_blob(&manifest.config.digest, LARGEST)?;
                let config: ImageConfig = from_json(&bytes).map_err(anyhow::Error::from)?;
                config.platform().to_string()
            }
        };
        all.push((platform, manifest.clone()));
    }
    Ok(all)
}

fn document(from: &Found, to: &Found, compared: &[Compared]) -> String {
    let one = |(platform, result): &Compared| match result {
        Ok(comparison) => {
            let mut value = serde_json::to_value(comparison).expect("a comparison is JSON");
            value["platform"] = json!(platform);
            value
        }
        Err(only) => json!({"platform": platform, "only": only}),
    };
    let platforms: Vec<Value> = compared.iter().map(one).collect();
    let value = json!({
        "from": from.root.digest,
        "to": to.root.digest,
        "same": from.root.digest == to.root.digest,
        "platforms": platforms,
    });
    let text = serde_json::to_string_pretty(&value).expect("strings are JSON");
    format!("{text}\n")
}

fn text(
    args: &DiffArgs,
    environment: &Environment,
    (from, to): (&Found, &Found),
    compared: &[Compared],
) -> String {
    let shown = |found: &Found| {
        let whole = found.root.digest.to_string();
        match environment.shows_short_digests() {
            true => short_digest(&whole),
            false => whole,
        }
    };
    if from.root.digest == to.root.digest {
        return format!("the same image: {}\n", shown(from));
    }
    let mut text = format!("from  {}\nto    {}\n", shown(from), shown(to));
    let several = compared.len() > 1;
    for (platform, result) in compared {
        if several {
            let platform = printable::line(platform, Colors::Removed);
            text.push_str(&format!("\nplatform {platform}\n"));
        }
        match result {
            Ok(comparison) => text.push_str(&described(args, comparison)),
            Err(only) => text.push_str(&format!("{only}\n")),
        }
    }
    text
}

fn described(args: &DiffArgs, comparison: &Comparison) -> String {
    let mut text = String::new();
    for change in &comparison.config {
        text.push_str(&format!("config  {}\n", value(change)));
    }
    text.push_str(&layers(&comparison.layers));
    let files = comparison.files.iter();
    let (times, files): (Vec<_>, Vec<_>) =
        files.partition(|file| file.is_time_alone() && !args.times);
    let most = match args.files {
        true => files.len(),
        false => SHOWN_FILES,
    };
    for file in files.iter().take(most) {
        text.push_str(&line(file));
    }
    if files.len() > most {
        let more = files.len() - most;
        let files = if more == 1 { "file" } else { "files" };
        text.push_str(&format!("and {more} more {files}: `--files` lists all\n"));
    }
    if !times.is_empty() {
        text.push_str(&match times.len() {
            1 => "1 file differs only in its time: `--times` shows it\n".to_string(),
            count => format!("{count} files differ only in their times: `--times` lists them\n"),
        });
    }
    if comparison.is_empty() {
        text.push_str(
            "config and layers have the same content: only their form, or annotations or media types of the manifests differ\n",
        );
    } else if comparison.config.is_empty() && comparison.files.is_empty() {
        text.push_str(
            "config and files are the same: the layers are split or compressed differently\n",
        );
    }
    text
}

/// `layers  the lowest 2 are the same; above them 1 and 3`
fn layers(layers: &LayerChange) -> String {
    let (from, to) = (layers.from.len(), layers.to.len());
    let above = match (from, to) {
        (0, 0) => String::new(),
        (from, to) => format!("; above them {from} and {to}"),
    };
    match layers.common {
        0 => format!("layers  none is the same: {from} and {to}\n"),
        1 => format!("layers  the lowest is the same{above}\n"),
        common => format!("layers  the lowest {common} are the same{above}\n"),
    }
}

/// `~ /etc/a  mode 0644 -> 0755, size 3 -> 5  (layer 1 -> 2)`
fn line(file: &FileChange) -> String {
    let sign = match file.kind {
        Kind::Added => '+',
        Kind::Removed => '-',
        Kind::Changed => '~',
    };
    let changes: Vec<String> = file.changes.iter().map(value).collect();
    let layer = match (file.from_layer, file.to_layer) {
        (Some(from), Some(to)) if from != to => format!("layer {from} -> {to}"),
        (_, Some(layer)) | (Some(layer), None) => format!("layer {layer}"),
        (None, None) => String::new(),
    };
    let changes = match changes.is_empty() {
        true => String::new(),
        false => format!("  {}", changes.join(", ")),
    };
    format!("{sign} {}{changes}  ({layer})\n", file.path)
}

fn value(change: &Change) -> String {
    let shown = |value: &Option<String>| match value.as_deref() {
        None => "(none)".to_string(),
        Some("") => "\"\"".to_string(),
        // Whoever made the image wrote it: a line break would make a line of its own.
        Some(text) => printable::line(text, Colors::Removed).into_owned(),
    };
    format!(
        "{} {} -> {}",
        printable::line(&change.name, Colors::Removed),
        shown(&change.from),
        shown(&change.to)
    )
}
