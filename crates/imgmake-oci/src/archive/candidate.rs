//! Which images an archive holds, and which of them is meant.

use crate::error::{Context, OciError, Result};

use crate::image::{Descriptor, Digest, ImageIndex, ManifestOrIndex, Reference, from_json};

use super::contents::blob_name;
use super::docker::DockerImage;
use super::layout::{CONTAINERD_NAME, REF_NAME};
use super::source::Source;

/// One image in an archive.
#[derive(Debug)]
pub(super) struct Candidate {
    /// As people write them.
    pub tags: Vec<String>,
    /// Other words by which it may be picked: OCI's `ref.name`, the platform.
    words: Vec<String>,
    pub form: Form,
}

#[derive(Debug)]
pub(super) enum Form {
    /// Named by `index.json`; its digest is kept.
    Oci(Descriptor),
    /// Known from `manifest.json` alone: its manifest is ours to write.
    Docker(DockerImage),
}

pub(super) fn list(source: &Source) -> Result<Vec<Candidate>> {
    let index: Option<ImageIndex> = parse(source, "index.json")?;
    let docker: Option<Vec<DockerImage>> = parse(source, "manifest.json")?;
    if index.is_none() && docker.is_none() {
        return Err(no_image(source));
    }
    let mut candidates = from_index(index.map(|i| i.manifests).unwrap_or_default());
    for mut image in docker.unwrap_or_default() {
        image.repo_tags = image.repo_tags.iter().map(|tag| familiar(tag)).collect();
        match candidates.iter_mut().find(|c| c.is_also(source, &image)) {
            Some(known) => known.add_tags(image.repo_tags),
            None => candidates.push(Candidate {
                tags: image.repo_tags.clone(),
                words: Vec::new(),
                form: Form::Docker(image),
            }),
        }
    }
    Ok(candidates)
}

pub(super) fn pick(mut candidates: Vec<Candidate>, pick: Option<&str>) -> Result<Candidate> {
    let Some(pick) = pick else {
        return match candidates.len() {
            0 => Err(OciError::not_found("image in the archive", "")),
            1 => Ok(candidates.remove(0)),
            several => {
                let what = format!("the archive contains {several} images");
                Err(OciError::ambiguous(what, listing(&candidates)))
            }
        };
    };
    let mut meant: Vec<usize> = (0..candidates.len())
        .filter(|at| candidates[*at].answers_to(pick))
        .collect();
    if meant.is_empty()
        && let Ok(number) = pick.parse::<usize>()
        && (1..=candidates.len()).contains(&number)
    {
        meant.push(number - 1);
    }
    match meant.as_slice() {
        [one] => Ok(candidates.remove(*one)),
        [] => {
            let help = format!("the archive contains\n{}", listing(&candidates));
            Err(OciError::not_found(format!("image `{pick}`"), help))
        }
        several => {
            let what = format!("`{pick}` may mean {} images", several.len());
            Err(OciError::ambiguous(what, listing(&candidates)))
        }
    }
}

pub(super) fn numbered(mut candidates: Vec<Candidate>, number: usize) -> Result<Candidate> {
    if (1..=candidates.len()).contains(&number) {
        return Ok(candidates.remove(number - 1));
    }
    let help = format!("the archive contains\n{}", listing(&candidates));
    Err(OciError::not_found(format!("image number {number}"), help))
}

fn listing(candidates: &[Candidate]) -> String {
    let line =
        |(at, candidate): (usize, &Candidate)| format!("  {}. {}", at + 1, candidate.shown());
    imgmake_guard::printable::listed(candidates.iter().enumerate().map(line), "\n")
}

impl Candidate {
    fn shown(&self) -> String {
        let names = match (self.tags.as_slice(), self.words.as_slice()) {
            ([], []) => "(no name)".to_string(),
            ([], words) => imgmake_guard::printable::list(words),
            (tags, _) => imgmake_guard::printable::list(tags),
        };
        match &self.form {
            Form::Oci(root) => format!("{names} ({})", root.digest.short()),
            Form::Docker(_) => names,
        }
    }

    fn answers_to(&self, pick: &str) -> bool {
        let digest = match &self.form {
            Form::Oci(root) => root.digest.as_str() == pick,
            Form::Docker(_) => false,
        };
        let named = |text: &String| text == pick || same_name(text, pick);
        digest || self.tags.iter().any(named) || self.words.iter().any(|w| w == pick)
    }

    fn add_tags(&mut self, tags: Vec<String>) {
        for tag in tags {
            if !self.tags.iter().any(|known| same_name(known, &tag)) {
                self.tags.push(tag);
            }
        }
    }

    /// Does `manifest.json` speak of the same image, by its config?
    fn is_also(&self, source: &Source, image: &DockerImage) -> bool {
        match &self.form {
            Form::Oci(root) => holds_config(source, root, &image.config).unwrap_or(false),
            Form::Docker(_) => false,
        }
    }
}

/// Descriptors of one digest are one image with several names.
fn from_index(manifests: Vec<Descriptor>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for mut root in manifests {
        let full = root.annotations.remove(CONTAINERD_NAME);
        let reference = root.annotations.remove(REF_NAME);
        let tag = match (&full, &reference) {
            (Some(full), _) => Some(familiar(full)),
            (None, Some(name)) => Some(name.clone()),
            (None, None) => None,
        };
        let platform = root.platform.as_ref().map(ToString::to_string);
        let digest = root.digest.clone();
        let same = |c: &&mut Candidate| matches!(&c.form, Form::Oci(d) if d.digest == digest);
        let candidate = match candidates.iter_mut().find(same) {
            Some(known) => known,
            None => {
                candidates.push(Candidate {
                    tags: Vec::new(),
                    words: platform.into_iter().collect(),
                    form: Form::Oci(root),
                });
                candidates.last_mut().expect("just pushed")
            }
        };
        candidate.add_tags(tag.into_iter().collect());
        candidate.words.extend(reference);
    }
    candidates
}

fn holds_config(source: &Source, root: &Descriptor, config: &str) -> Result<bool> {
    let Some(bytes) = source.json(&blob_name(&root.digest))? else {
        return Ok(false);
    };
    match ManifestOrIndex::parse(&bytes, Some(&root.media_type))? {
        ManifestOrIndex::Manifest(manifest) => {
            Ok(config_digest(config).as_ref() == Some(&manifest.config.digest))
        }
        ManifestOrIndex::Index(index) => Ok(index.manifests.iter().any(|child| {
            !crate::image::media_type::is_index(&child.media_type)
                && holds_config(source, child, config).unwrap_or(false)
        })),
    }
}

/// `blobs/sha256/<hex>` and `<hex>.json` say what the config's digest is.
pub(super) fn config_digest(path: &str) -> Option<Digest> {
    let name = path.rsplit('/').next()?;
    let hex = name.strip_suffix(".json").unwrap_or(name);
    format!("sha256:{hex}").parse().ok()
}

fn same_name(a: &str, b: &str) -> bool {
    let full = |text: &str| text.parse::<Reference>().ok();
    match (full(a), full(b)) {
        (Some(a), Some(b)) => a.name() == b.name() && a.tag_or_latest() == b.tag_or_latest(),
        _ => a == b,
    }
}

fn familiar(full: &str) -> String {
    full.parse::<Reference>()
        .map_or_else(|_| full.to_string(), |reference| reference.familiar())
}

fn parse<T: serde::de::DeserializeOwned>(source: &Source, name: &str) -> Result<Option<T>> {
    let Some(bytes) = source.json(name)? else {
        return Ok(None);
    };
    let parsed = from_json(&bytes).with_context(|| {
        if name == "manifest.json" && ManifestOrIndex::parse(&bytes, None).is_ok() {
            "it is in skopeo's `dir:` format, where blobs have no fixed names; copy it to `oci:`"
                .to_string()
        } else {
            format!("invalid `{name}`")
        }
    });
    parsed.map(Some)
}

fn no_image(source: &Source) -> OciError {
    let what = if source.has("repositories") {
        "it is a docker archive from before Docker 1.10, without manifest.json; \
         load it with a current docker and save it again"
    } else if source.is_root_file_system() {
        "it is a root file system; to make an image of it, `ADD` it in a Dockerfile `FROM scratch`"
    } else {
        "it contains neither index.json (OCI) nor manifest.json (docker)"
    };
    OciError::invalid("image archive", what)
}
