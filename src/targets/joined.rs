//! Images of single platforms → one index over all of them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::images;
use imgmake_oci::image::{
    Descriptor, Digest, ImageConfig, ImageIndex, ImageManifest, ManifestFormat, ManifestOrIndex,
    Platform, attestation_of, from_json, media_type, to_json,
};
use imgmake_oci::store::Store;

/// Bytes of a configuration.
const LARGEST_CONFIG: u64 = 4 << 20;

/// One of the images that are joined.
pub struct Member<'a> {
    /// For messages.
    pub name: &'a str,
    pub root: &'a Descriptor,
}

/// Writes the index over all manifests of the members, in their order. Indexes among them are
/// taken apart; attestations stay beside the images that they are of. It is a list of Docker's when
/// all of them are Docker's.
///
/// # Errors
/// Two members have the same platform, or one is no image.
pub fn index(store: &Store, members: &[Member<'_>]) -> Result<Descriptor> {
    let mut found: Vec<(&str, Platform, Descriptor)> = Vec::new();
    let mut beside = Vec::new();
    let mut known: BTreeSet<Digest> = BTreeSet::new();
    for member in members {
        let tree = images::tree(store, member.root)?;
        // What the gate scans is what becomes a platform: both take the tree's word for it.
        for (attestation, of) in tree.attestations() {
            if known.insert(attestation.digest.clone()) {
                beside.push((attestation.clone(), of));
            }
        }
        for (named, manifest) in tree.images() {
            let platform =
                platform(store, named, manifest).with_context(|| format!("`{}`", member.name))?;
            let twice = found.iter().find(|(_, other, _)| is_same(other, &platform));
            if let Some((first, ..)) = twice {
                bail!(
                    "duplicate platform `{platform}`: `{first}` and `{}` are both images of it; an index has one image for each platform",
                    member.name
                );
            }
            let descriptor = Descriptor {
                platform: Some(platform.clone()),
                ..named.clone()
            };
            found.push((member.name, platform, descriptor));
        }
    }
    let images: BTreeSet<Digest> = found
        .iter()
        .map(|(.., image)| image.digest.clone())
        .collect();
    beside.retain(|(_, of)| images.contains(of));
    let children: Vec<Descriptor> = found
        .into_iter()
        .map(|(.., image)| image)
        .chain(beside.into_iter().map(|(attestation, _)| attestation))
        .collect();
    let is_docker = children
        .iter()
        .all(|child| child.media_type == media_type::DOCKER_MANIFEST);
    let format = match is_docker {
        true => ManifestFormat::Docker,
        false => ManifestFormat::Oci,
    };
    let bytes = to_json(&ImageIndex::new(format, children));
    store.put_bytes(&bytes).context("cannot write the index")?;
    Ok(Descriptor::of(format.index(), &bytes))
}

/// The index of an image with one more manifest for each statement about one of its images. A manifest alone gets an
/// index, as BuildKit gives it one.
///
/// # Errors
/// The image has an index within its index: attestations are beside the images that they are of.
pub fn with_attestations(
    store: &Store,
    root: &Descriptor,
    beside: &[(Descriptor, Digest)],
) -> Result<Descriptor> {
    let tree = images::tree(store, root)?;
    let document = tree.documents().last().context("the image is empty")?;
    let mut index = match &document.content {
        ManifestOrIndex::Index(index) => index.clone(),
        ManifestOrIndex::Manifest(manifest) => {
            let image = Descriptor {
                platform: Some(platform(store, root, manifest)?),
                ..root.clone()
            };
            ImageIndex::new(ManifestFormat::Oci, vec![image])
        }
    };
    if let Some(inner) = index
        .manifests
        .iter()
        .find(|child| media_type::is_index(&child.media_type))
    {
        bail!(
            "the index {} has another index {}, to which `attest as=\"index\"` adds nothing",
            root.digest,
            inner.digest
        );
    }
    for (manifest, of) in beside {
        let mut named = manifest.clone();
        named.platform = Some(Platform::new("unknown", "unknown", None));
        named.annotations = attestation_of(of);
        if !index
            .manifests
            .iter()
            .any(|known| known.digest == named.digest)
        {
            index.manifests.push(named);
        }
    }
    index.media_type = media_type::OCI_INDEX.to_string();
    let bytes = to_json(&index);
    store.put_bytes(&bytes).context("cannot write the index")?;
    Ok(Descriptor::of(media_type::OCI_INDEX, &bytes))
}

/// As the index that it comes from says, else as its configuration says.
fn platform(store: &Store, named: &Descriptor, manifest: &ImageManifest) -> Result<Platform> {
    if let Some(platform) = &named.platform {
        return Ok(platform.clone());
    }
    let kind = manifest.config.media_type.as_str();
    if !manifest.is_image() {
        bail!(
            "{} is not an image: its configuration is `{kind}`",
            named.digest
        );
    }
    let bytes = store.read_blob(&manifest.config.digest, LARGEST_CONFIG)?;
    let config: ImageConfig = from_json(&bytes)
        .with_context(|| format!("invalid configuration {}", manifest.config.digest))?;
    Ok(config.platform())
}

/// Whether a runtime that looks for one would take the other: Windows images of different versions
/// stand beside each other.
fn is_same(one: &Platform, other: &Platform) -> bool {
    one.serves(other) && one.os_version == other.os_version && one.os_features == other.os_features
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ATTESTED: &str = "vnd.docker.reference.digest";

    struct Shelf {
        store: Store,
        _directory: tempfile::TempDir,
    }

    impl Shelf {
        fn new() -> Shelf {
            let directory = tempfile::tempdir().unwrap();
            let store = Store::open(&directory.path().join("store")).unwrap();
            Shelf {
                store,
                _directory: directory,
            }
        }

        fn put(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
            self.store.put_bytes(bytes).unwrap();
            Descriptor::of(media_type, bytes)
        }

        fn image(&self, platform: &str) -> Descriptor {
            let config = ImageConfig::scratch(&platform.parse().unwrap());
            let config = self.put(media_type::OCI_CONFIG, &to_json(&config));
            let manifest = ImageManifest::new(ManifestFormat::Oci, config, Vec::new());
            self.put(media_type::OCI_MANIFEST, &to_json(&manifest))
        }

        /// As BuildKit pushes an image of one platform.
        fn attested(&self, platform: &str, version: Option<&str>) -> Descriptor {
            let mut image = self.image(platform);
            let mut own: Platform = platform.parse().unwrap();
            own.os_version = version.map(str::to_string);
            image.platform = Some(own);
            let statement = self.put("application/vnd.in-toto+json", platform.as_bytes());
            let config = self.put(media_type::OCI_CONFIG, b"{}");
            let manifest = ImageManifest::new(ManifestFormat::Oci, config, vec![statement]);
            let mut beside = self.put(media_type::OCI_MANIFEST, &to_json(&manifest));
            beside.platform = Some("unknown/unknown".parse().unwrap());
            beside.annotations = BTreeMap::from([
                (ATTESTED.to_string(), image.digest.to_string()),
                (
                    "vnd.docker.reference.type".to_string(),
                    "attestation-manifest".to_string(),
                ),
            ]);
            let index = ImageIndex::new(ManifestFormat::Oci, vec![image, beside]);
            self.put(media_type::OCI_INDEX, &to_json(&index))
        }

        fn join(&self, roots: &[&Descriptor]) -> Result<ImageIndex> {
            let names: Vec<String> = (0..roots.len()).map(|at| format!("image-{at}")).collect();
            let members: Vec<Member<'_>> = names
                .iter()
                .zip(roots)
                .map(|(name, root)| Member { name, root })
                .collect();
            let joined = index(&self.store, &members)?;
            let bytes = self.store.read_blob(&joined.digest, 1 << 20)?;
            Ok(from_json(&bytes)?)
        }
    }

    fn platforms(index: &ImageIndex) -> Vec<String> {
        let platform = |child: &Descriptor| child.platform.as_ref().unwrap().to_string();
        index.manifests.iter().map(platform).collect()
    }

    #[test]
    fn attestations_stay_beside_the_images_that_they_are_of() {
        let shelf = Shelf::new();
        let (amd, arm) = (
            shelf.attested("linux/amd64", None),
            shelf.image("linux/arm64"),
        );
        let index = shelf.join(&[&amd, &arm]).unwrap();
        assert_eq!(
            platforms(&index),
            ["linux/amd64", "linux/arm64", "unknown/unknown"]
        );
        let of = &index.manifests[2].annotations[ATTESTED];
        assert_eq!(*of, index.manifests[0].digest.to_string());
        assert_eq!(index.media_type, media_type::OCI_INDEX);
    }

    #[test]
    fn what_is_only_called_an_attestation_is_an_image_as_the_gate_has_it() {
        let shelf = Shelf::new();
        let hidden = shelf.image("linux/arm64");
        let index = ImageIndex::new(ManifestFormat::Oci, vec![hidden.clone()]);
        let mut pretends = shelf.put(media_type::OCI_INDEX, &to_json(&index));
        let attested = shelf.attested("linux/amd64", None);
        let mut outer: ImageIndex =
            from_json(&shelf.store.read_blob(&attested.digest, 1 << 20).unwrap()).unwrap();
        pretends.platform = outer.manifests[1].platform.clone();
        pretends.annotations = outer.manifests[1].annotations.clone();
        outer.manifests[1] = pretends;
        let root = shelf.put(media_type::OCI_INDEX, &to_json(&outer));

        // The gate scans the images of the tree: the same ones.
        let joined = shelf.join(&[&root]).unwrap();
        assert_eq!(platforms(&joined), ["linux/amd64", "linux/arm64"]);
        let tree = images::tree(&shelf.store, &root).unwrap();
        let scanned: Vec<&Digest> = tree.images().map(|(named, _)| &named.digest).collect();
        let published: Vec<&Digest> = joined.manifests.iter().map(|m| &m.digest).collect();
        assert_eq!(published, scanned);
    }

    #[test]
    fn one_platform_is_refused_twice_however_it_is_written() {
        let shelf = Shelf::new();
        let arm = shelf.image("linux/arm64");
        let mut named = arm.clone();
        let mut platform: Platform = "linux/arm64".parse().unwrap();
        platform.variant = Some("v8".to_string());
        named.platform = Some(platform);
        let other = ImageIndex::new(ManifestFormat::Oci, vec![named]);
        let other = shelf.put(media_type::OCI_INDEX, &to_json(&other));
        for roots in [[&arm, &other], [&other, &arm], [&arm, &arm]] {
            let refused = shelf.join(&roots).unwrap_err().to_string();
            assert!(
                refused.starts_with("duplicate platform `linux/arm64"),
                "{refused}"
            );
            assert!(refused.contains("`image-0` and `image-1`"), "{refused}");
        }
    }

    #[test]
    fn windows_images_of_different_versions_stand_beside_each_other() {
        let shelf = Shelf::new();
        let old = shelf.attested("windows/amd64", Some("10.0.17763.1"));
        let new = shelf.attested("windows/amd64", Some("10.0.20348.1"));
        let index = shelf.join(&[&old, &new]).unwrap();
        assert_eq!(platforms(&index)[..2], ["windows/amd64", "windows/amd64"]);
        shelf.join(&[&old, &old]).unwrap_err();
    }

    #[test]
    fn what_is_no_image_has_no_platform() {
        let shelf = Shelf::new();
        let config = shelf.put("application/vnd.example+json", b"{}");
        let chart = ImageManifest::new(ManifestFormat::Oci, config.clone(), Vec::new());
        let chart = ImageManifest { config, ..chart };
        let chart = shelf.put(media_type::OCI_MANIFEST, &to_json(&chart));
        let refused = format!("{:#}", shelf.join(&[&chart]).unwrap_err());
        assert!(
            refused.contains("`image-0`") && refused.contains("is not an image"),
            "{refused}"
        );
    }
}
