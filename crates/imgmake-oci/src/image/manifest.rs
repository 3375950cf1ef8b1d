//! Manifests and indexes (OCI manifest.md and image-index.md; Docker schema 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, media_type};

/// Which family of media types a document belongs to.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum ManifestFormat {
    #[default]
    Oci,
    Docker,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ImageManifest {
    /// A manifest of our own making. Layer and config descriptors take the media
    /// types of `format`, whatever they carried where they came from.
    pub fn new(
        format: ManifestFormat,
        config: Descriptor,
        layers: Vec<Descriptor>,
    ) -> ImageManifest {
        ImageManifest {
            schema_version: 2,
            media_type: format.manifest().into(),
            artifact_type: None,
            config: Descriptor {
                media_type: format.config().into(),
                ..config
            },
            layers: layers
                .into_iter()
                .map(|l| Descriptor {
                    media_type: format.layer(&l.media_type),
                    ..l
                })
                .collect(),
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

impl ImageManifest {
    /// Whether it is an image's, and no other artifact's.
    pub fn is_image(&self) -> bool {
        let kind = self.config.media_type.as_str();
        [media_type::OCI_CONFIG, media_type::DOCKER_CONFIG].contains(&kind)
    }
}

impl ImageIndex {
    pub fn new(format: ManifestFormat, manifests: Vec<Descriptor>) -> ImageIndex {
        ImageIndex {
            schema_version: 2,
            media_type: format.index().into(),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}

impl ManifestFormat {
    /// The family of a manifest or index media type; OCI when it says nothing.
    pub fn of(media_type: &str) -> ManifestFormat {
        if media_type.starts_with("application/vnd.docker.") {
            ManifestFormat::Docker
        } else {
            ManifestFormat::Oci
        }
    }

    pub fn manifest(self) -> &'static str {
        match self {
            ManifestFormat::Oci => media_type::OCI_MANIFEST,
            ManifestFormat::Docker => media_type::DOCKER_MANIFEST,
        }
    }

    pub fn index(self) -> &'static str {
        match self {
            ManifestFormat::Oci => media_type::OCI_INDEX,
            ManifestFormat::Docker => media_type::DOCKER_LIST,
        }
    }

    pub fn config(self) -> &'static str {
        match self {
            ManifestFormat::Oci => media_type::OCI_CONFIG,
            ManifestFormat::Docker => media_type::DOCKER_CONFIG,
        }
    }

    /// The name that a layer's media type has in this family; the bytes and so
    /// the digest stay the same.
    pub fn layer(self, from: &str) -> String {
        use media_type as m;
        const PAIRS: [(&str, &str); 4] = [
            (m::OCI_LAYER, m::DOCKER_LAYER),
            (m::OCI_LAYER_GZIP, m::DOCKER_LAYER_GZIP),
            (m::OCI_LAYER_ZSTD, m::DOCKER_LAYER_ZSTD),
            (
                m::OCI_LAYER_NONDISTRIBUTABLE_GZIP,
                m::DOCKER_LAYER_FOREIGN_GZIP,
            ),
        ];
        let pair = PAIRS
            .iter()
            .find(|(oci, docker)| *oci == from || *docker == from);
        match (pair, self) {
            (Some((oci, _)), ManifestFormat::Oci) => (*oci).to_string(),
            (Some((_, docker)), ManifestFormat::Docker) => (*docker).to_string(),
            (None, _) => from.to_string(),
        }
    }
}

/// What stands behind a manifest digest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // One at a time, on its way to somebody who looks at it.
pub enum ManifestOrIndex {
    Manifest(ImageManifest),
    Index(ImageIndex),
}

impl ManifestOrIndex {
    /// Reads a manifest or an index; the `mediaType` field decides, then the
    /// media type that came with it, then which of `manifests` and `layers` is there.
    ///
    /// # Errors
    /// JSON that is neither, including Docker's schema 1; or that another reader could take for the other kind.
    pub fn parse(bytes: &[u8], said: Option<&str>) -> Result<ManifestOrIndex, ParseError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Probe {
            schema_version: Option<u32>,
            media_type: Option<String>,
            manifests: Option<serde_json::Value>,
            config: Option<serde_json::Value>,
            layers: Option<serde_json::Value>,
        }
        let probe: Probe = super::from_json(bytes)?;
        if probe.schema_version == Some(1) {
            return Err(ParseError::SchemaOne);
        }
        let is_manifest = probe.config.is_some() || probe.layers.is_some();
        if is_manifest && probe.manifests.is_some() {
            return Err(ParseError::Both);
        }
        let media_type = probe.media_type.as_deref().or(said).unwrap_or("");
        if media_type::is_index(media_type)
            || (!media_type::is_manifest(media_type) && probe.manifests.is_some())
        {
            if is_manifest {
                return Err(ParseError::OtherKind(media_type.to_string()));
            }
            return Ok(ManifestOrIndex::Index(super::from_json(bytes)?));
        }
        if probe.config.is_none() {
            return Err(ParseError::Neither);
        }
        Ok(ManifestOrIndex::Manifest(super::from_json(bytes)?))
    }

    /// Whether it is what a descriptor with this media type says. Other types say nothing.
    ///
    /// # Errors
    /// An index is called a manifest, or a manifest an index.
    pub fn is_said(&self, media_type: &str) -> Result<(), ParseError> {
        let is_other = match self {
            ManifestOrIndex::Manifest(_) => media_type::is_index(media_type),
            ManifestOrIndex::Index(_) => media_type::is_manifest(media_type),
        };
        match is_other {
            true => Err(ParseError::OtherKind(media_type.to_string())),
            false => Ok(()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("this is neither an image manifest nor an index")]
    Neither,
    #[error(
        "this is both an image manifest and an index: it has `manifests`, and `config` or `layers`"
    )]
    Both,
    #[error("its content is not what its media type says (`{0}`)")]
    OtherKind(String),
    #[error(
        "this is a schema 1 manifest, which registries dropped in 2019; push the image again with a current tool"
    )]
    SchemaOne,
    #[error("this is not a manifest: {0}")]
    Json(#[from] serde_json::Error),
}
