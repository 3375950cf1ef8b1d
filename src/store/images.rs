//! Names given to images: `repo:tag` → the manifest's descriptor. For push-only
//! from the store and for people; gc keeps whatever has a name.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::Store;
use crate::image::Descriptor;

#[derive(serde::Serialize, serde::Deserialize)]
struct Named {
    name: String,
    manifest: Descriptor,
}

impl Store {
    /// # Errors
    /// The file system is full or read-only.
    pub fn tag(&self, name: &str, manifest: &Descriptor) -> Result<()> {
        let named = Named {
            name: name.to_string(),
            manifest: manifest.clone(),
        };
        self.write_file(&self.image_path(name), &crate::image::to_json(&named))
    }

    /// The image of that name, when its manifest is still there.
    pub fn tagged(&self, name: &str) -> Option<Descriptor> {
        let named: Named = serde_json::from_slice(&fs::read(self.image_path(name)).ok()?).ok()?;
        (named.name == name && self.holds(&named.manifest)).then_some(named.manifest)
    }

    /// Every name with its image, sorted by name.
    pub fn images(&self) -> Vec<(String, Descriptor)> {
        let Ok(entries) = fs::read_dir(self.root().join("images")) else {
            return Vec::new();
        };
        let mut images: Vec<(String, Descriptor)> = entries
            .filter_map(|entry| {
                let named: Named =
                    serde_json::from_slice(&fs::read(entry.ok()?.path()).ok()?).ok()?;
                Some((named.name, named.manifest))
            })
            .collect();
        images.sort_by(|a, b| a.0.cmp(&b.0));
        images
    }

    fn image_path(&self, name: &str) -> PathBuf {
        self.root()
            .join("images")
            .join(blake3::hash(name.as_bytes()).to_hex().as_str())
    }
}
