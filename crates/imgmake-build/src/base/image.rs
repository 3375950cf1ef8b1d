//! FROM: tags become digests once and are remembered; manifest and configuration come into the store, layers
//! stay where they are until something needs their bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::policy::BasePolicy;
use super::warmed::Warmed;
use crate::define::base::{BaseImage, BaseImages};
use crate::error::{BuildError, Context, Result};
use crate::layer_sources;
use crate::pins::PinName;
use crate::target::TargetContext;
use imgmake_oci::image::{
    Descriptor, Digest, ImageConfig, ManifestOrIndex, Platform, Reference, from_json,
};
use imgmake_oci::layer::Layer;
use imgmake_oci::store::Store;

const MOST_MANIFEST: u64 = 16 << 20;

/// Resolves bases, each once per build.
pub struct Bases<'a> {
    cx: &'a TargetContext,
    policy: &'a BasePolicy,
    warmed: Option<&'a Warmed>,
    move_pins: bool,
    known: Mutex<BTreeMap<(String, String), Arc<BaseImage>>>,
}

impl<'a> Bases<'a> {
    pub fn new(
        policy: &'a BasePolicy,
        warmed: Option<&'a Warmed>,
        cx: &'a TargetContext,
        pull: bool,
    ) -> Bases<'a> {
        Bases {
            cx,
            policy,
            warmed,
            move_pins: pull,
            known: Mutex::default(),
        }
    }

    fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<BaseImage> {
        let name = reference.to_string();
        let pin = PinName::Image(name.clone());
        let pinned = match (&reference.digest, self.move_pins) {
            (Some(digest), _) => Some(digest.clone()),
            (None, true) => None,
            (None, false) => self
                .cx
                .pins
                .get(&pin)?
                .and_then(|text| text.parse::<Digest>().ok()),
        };
        let wanted = match &pinned {
            Some(digest) => reference.with_digest(digest),
            None => reference.clone(),
        };
        if let Some(digest) = &wanted.digest {
            self.take_warmed(&name, digest);
        }
        let resolved =
            self.cx
                .registry
                .resolve(&wanted, platform, &self.cx.store, &self.cx.operation())?;
        self.policy.check_signature(self.cx, reference, &resolved)?;
        if reference.digest.is_none() {
            self.cx.pins.set(&pin, resolved.named.digest.as_str())?;
        }
        self.take_warmed(&name, &resolved.manifest.digest);
        self.read(reference, resolved.named.digest, &resolved.manifest)
    }

    /// What was fetched beforehand. An unusable file is a warning, and the registry is asked.
    fn take_warmed(&self, name: &str, image: &Digest) {
        let Some(warmed) = self.warmed else {
            return;
        };
        match warmed.bring(image, &self.cx.store) {
            Ok(None) => {}
            Ok(Some(path)) => self
                .cx
                .note(format!("{name} comes from `{}`", path.display())),
            Err(error) => self.cx.warn(format!(
                "the warmed copy of {name} is not used, and it is pulled: {error:#}"
            )),
        }
    }

    fn read(
        &self,
        reference: &Reference,
        named: Digest,
        manifest: &Descriptor,
    ) -> Result<BaseImage> {
        let source = Reference {
            tag: None,
            digest: None,
            ..reference.clone()
        };
        let (config, layers) = read_image(&self.cx.store, manifest, &|_| Some(source.clone()))?;
        Ok(BaseImage {
            name: reference.familiar(),
            named,
            config,
            layers,
        })
    }
}

impl BaseImages for Bases<'_> {
    fn image(&self, reference: &Reference, platform: &Platform) -> Result<Arc<BaseImage>> {
        let reference = &with_tag(reference);
        // Before the registry is asked: a name that is not allowed is not contacted.
        self.policy.check_name(reference)?;
        let slot = (reference.to_string(), platform.to_string());
        let known = |bases: &Bases| {
            bases
                .known
                .lock()
                .expect("no resolver panics while it holds this")
                .get(&slot)
                .cloned()
        };
        if let Some(found) = known(self) {
            return Ok(found);
        }
        let image = Arc::new(self.resolve(reference, platform).with_context(|| {
            format!("cannot resolve the base image `{}`", reference.familiar())
        })?);
        let mut all = self
            .known
            .lock()
            .expect("no resolver panics while it holds this");
        Ok(all.entry(slot).or_insert(image).clone())
    }

    fn built(&self, name: &str, root: &Descriptor, platform: &Platform) -> Result<Arc<BaseImage>> {
        let sources = layer_sources::of_image(&self.cx.store, &root.digest);
        let manifest = choose(&self.cx.store, root, platform)
            .with_context(|| format!("cannot use the image of target `{name}`"))?;
        let here = |l: &Descriptor| match self.cx.store.holds(l) {
            true => None,
            false => sources.get(l.digest.as_str()).cloned(),
        };
        let (config, layers) = read_image(&self.cx.store, &manifest, &here)?;
        Ok(Arc::new(BaseImage {
            name: name.to_string(),
            named: root.digest.clone(),
            config,
            layers,
        }))
    }
}

fn with_tag(reference: &Reference) -> Reference {
    match (&reference.tag, &reference.digest) {
        (None, None) => reference.with_tag("latest"),
        _ => reference.clone(),
    }
}

/// The manifest of a platform, out of a manifest or an index in the store.
fn choose(store: &Store, root: &Descriptor, platform: &Platform) -> Result<Descriptor> {
    let bytes = store.read_blob(&root.digest, MOST_MANIFEST)?;
    let index = match ManifestOrIndex::parse(&bytes, Some(&root.media_type))? {
        ManifestOrIndex::Manifest(_) => return Ok(root.clone()),
        ManifestOrIndex::Index(index) => index,
    };
    let offered: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|m| m.platform.as_ref().map(Platform::to_string))
        .collect();
    index
        .manifests
        .into_iter()
        .find(|m| m.platform.as_ref().is_some_and(|p| p.serves(platform)))
        .ok_or_else(|| {
            let offered = imgmake_guard::printable::list(&offered);
            BuildError::not_found(format!("image for {platform}"), format!("it has {offered}"))
        })
}

fn read_image(
    store: &Store,
    manifest: &Descriptor,
    source: &dyn Fn(&Descriptor) -> Option<Reference>,
) -> Result<(ImageConfig, Vec<Layer>)> {
    let bytes = store.read_blob(&manifest.digest, MOST_MANIFEST)?;
    let ManifestOrIndex::Manifest(manifest) =
        ManifestOrIndex::parse(&bytes, Some(&manifest.media_type))?
    else {
        return Err(BuildError::invalid("image manifest", "it is an index"));
    };
    let bytes = store.read_blob(&manifest.config.digest, MOST_MANIFEST)?;
    let config: ImageConfig = from_json(&bytes)
        .map_err(|why| BuildError::invalid("image configuration", why.to_string()))?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(BuildError::invalid(
            "image",
            format!(
                "its configuration counts {} layers, its manifest {}",
                config.rootfs.diff_ids.len(),
                manifest.layers.len()
            ),
        ));
    }
    let layers = manifest
        .layers
        .iter()
        .zip(&config.rootfs.diff_ids)
        .map(|(descriptor, diff_id)| Layer {
            source: source(descriptor),
            descriptor: Descriptor {
                annotations: BTreeMap::new(),
                ..descriptor.clone()
            },
            diff_id: diff_id.clone(),
        })
        .collect();
    Ok((config, layers))
}
