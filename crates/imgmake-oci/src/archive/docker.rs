//! Docker's `manifest.json`: which file is which image's config and layers.

use crate::error::{OciError, Result};
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
            [] => {
                let help = "it contains only attestations or other artifacts";
                return Err(OciError::not_found("image", help));
            }
            several => {
                let platforms: Vec<String> = several
                    .iter()
                    .filter_map(|(d, _)| d.platform.as_ref().map(ToString::to_string))
                    .collect();
                let what = format!(
                    "an image of {} platforms ({}) in a docker archive",
                    several.len(),
                    imgmake_guard::printable::list(&platforms)
                );
                return Err(OciError::unsupported(what, "write it with format=oci"));
            }
        };
        if let Some(foreign) = manifest.layers.iter().find(|l| l.is_foreign()) {
            let what = format!("layer {} in a docker archive", foreign.digest);
            return Err(OciError::unsupported(what, "it must not be distributed"));
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
