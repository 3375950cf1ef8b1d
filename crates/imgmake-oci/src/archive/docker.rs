//! Docker's `manifest.json`: which file is which image's config and layers.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::contents::Contents;
use super::contents::blob_name;
use super::name::Name;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub config: String,
    #[serde(default)]
    pub repo_tags: Vec<String>,
    #[serde(default)]
    pub layers: Vec<String>,
}

impl DockerImage {
    pub fn of(contents: &Contents, names: &[Name]) -> Result<DockerImage> {
        let manifest = match contents.images.as_slice() {
            [(_, manifest)] => manifest,
            [] => bail!("it holds no image, only attestations or other artifacts"),
            several => {
                let platforms: Vec<String> = several
                    .iter()
                    .filter_map(|(d, _)| d.platform.as_ref().map(ToString::to_string))
                    .collect();
                bail!(
                    "a docker archive holds one platform, and this image has {} ({}); write it with format=oci",
                    several.len(),
                    imgmake_guard::printable::list(&platforms)
                )
            }
        };
        if let Some(foreign) = manifest.layers.iter().find(|l| l.is_foreign()) {
            bail!(
                "layer {} must not be distributed, and a docker archive would",
                foreign.digest
            );
        }
        Ok(DockerImage {
            config: blob_name(&manifest.config.digest),
            repo_tags: names.iter().map(|n| n.familiar.clone()).collect(),
            layers: manifest
                .layers
                .iter()
                .map(|l| blob_name(&l.digest))
                .collect(),
        })
    }
}
