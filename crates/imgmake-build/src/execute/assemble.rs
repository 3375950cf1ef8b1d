//! Puts an image together: configuration, manifest, and the index over several platforms. Small JSON into
//! the store; layers are only named.

use std::collections::BTreeMap;

use crate::define::state::ImageState;
use crate::error::{Context, Result};
use crate::request::BuildRequest;
use imgmake_oci::image::{
    AnnotationLevel, AnnotationPlace, Descriptor, ImageIndex, ImageManifest, Platform, RootFs,
    to_json,
};
use imgmake_oci::store::Store;

/// What an annotation is written into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Document<'a> {
    /// The image of this platform; annotations without a level are its, too.
    Manifest(&'a Platform),
    /// What the index says of the image of this platform.
    Descriptor(&'a Platform),
    Index,
}

fn annotations(request: &BuildRequest, document: Document<'_>) -> BTreeMap<String, String> {
    let own = |key: &str| {
        let place = AnnotationPlace::of(key);
        let of_platform = |platform: &Platform| {
            let wanted = place.platform.as_ref();
            wanted.is_none_or(|wanted| platform.serves(wanted))
        };
        let is_own = match (place.level, document) {
            (AnnotationLevel::Manifest, Document::Manifest(platform))
            | (AnnotationLevel::Descriptor, Document::Descriptor(platform)) => {
                of_platform(platform)
            }
            (AnnotationLevel::Index, Document::Index) => true,
            _ => false,
        };
        is_own.then(|| place.name.to_string())
    };
    let all = request.annotations.iter();
    all.filter_map(|(key, value)| Some((own(key)?, value.clone())))
        .collect()
}

/// The manifest of one platform's image.
///
/// # Errors
/// The store cannot be written.
pub fn manifest(
    image: &ImageState,
    request: &BuildRequest,
    wanted: &Platform,
    store: &Store,
) -> Result<Descriptor> {
    let mut config = image.config.image.clone();
    config.created = Some(image.config.created.clone());
    config.config.labels.extend(request.labels.clone());
    config.rootfs = RootFs {
        diff_ids: image.layers.iter().map(|l| l.diff_id.clone()).collect(),
        ..RootFs::default()
    };
    let config_bytes = to_json(&config);
    let config_descriptor = Descriptor::of(request.format.config(), &config_bytes);
    store.put_bytes(&config_bytes)?;
    let layers = image.layers.iter().map(|l| l.descriptor.clone()).collect();
    let mut manifest = ImageManifest::new(request.format, config_descriptor, layers);
    manifest.annotations = annotations(request, Document::Manifest(&image.platform));
    let bytes = to_json(&manifest);
    store
        .put_bytes(&bytes)
        .context("cannot write the image's manifest")?;
    Ok(Descriptor {
        platform: Some(entry_platform(wanted, &config.platform())),
        ..Descriptor::of(request.format.manifest(), &bytes)
    })
}

/// What an index says of an image: the platform that was asked for, as BuildKit has it, also where the
/// base is of another. Windows' version comes from the base.
fn entry_platform(wanted: &Platform, made: &Platform) -> Platform {
    let mut platform = wanted.clone();
    if wanted.os == "windows" && made.os == wanted.os {
        platform.os_version.clone_from(&made.os_version);
        platform.os_features.clone_from(&made.os_features);
    }
    platform
}

/// One manifest stays itself; several get an index.
///
/// # Errors
/// The store cannot be written.
pub fn root(
    manifests: Vec<Descriptor>,
    request: &BuildRequest,
    store: &Store,
) -> Result<Descriptor> {
    let setting = request.args.get("BUILDKIT_MULTI_PLATFORM");
    let always = setting.is_some_and(|v| matches!(v.as_str(), "1" | "true" | "TRUE" | "True"));
    if let ([only], false) = (manifests.as_slice(), always) {
        return Ok(Descriptor {
            platform: None,
            ..only.clone()
        });
    }
    let described = manifests.into_iter().map(|manifest| {
        let platform = manifest.platform.as_ref();
        let more = platform.map(|platform| annotations(request, Document::Descriptor(platform)));
        let mut annotations = manifest.annotations.clone();
        annotations.extend(more.unwrap_or_default());
        Descriptor {
            annotations,
            ..manifest
        }
    });
    let mut index = ImageIndex::new(request.format, described.collect());
    index.annotations = annotations(request, Document::Index);
    let bytes = to_json(&index);
    store
        .put_bytes(&bytes)
        .context("cannot write the image's index")?;
    Ok(Descriptor::of(request.format.index(), &bytes))
}
