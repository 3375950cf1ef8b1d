//! Names given to images: `repo:tag` → the manifest's descriptor. For push-only
//! from the store and for people; gc keeps whatever has a name.

use std::fs;

use crate::error::Result;

use super::Store;
use super::trust::{Names, Trust};
use crate::image::{Descriptor, Reference};

#[derive(serde::Serialize, serde::Deserialize)]
struct Named {
    name: String,
    manifest: Descriptor,
}

const FOLDER: &str = "images";

impl Store {
    /// # Errors
    /// The file system is full or read-only.
    pub fn tag(&self, name: &str, manifest: &Descriptor) -> Result<()> {
        let named = Named {
            name: name.to_string(),
            manifest: manifest.clone(),
        };
        self.put_record(FOLDER, &file_of(name), &crate::image::to_json(&named))
    }

    /// The image of that name, when its manifest is still there.
    pub fn tagged(&self, name: &str) -> Option<Descriptor> {
        let manifest = self.named(&file_of(name), self.believes_names())?.manifest;
        self.holds(&manifest).then_some(manifest)
    }

    /// Whether this name was given by somebody who has the store's key; elsewhere nothing
    /// but the content behind it is proven.
    pub fn is_own_name(&self, name: &str) -> bool {
        self.named(&file_of(name), false).is_some()
    }

    /// Every name with its image, sorted by name.
    pub fn images(&self) -> Vec<(String, Descriptor)> {
        self.all_images(self.believes_names())
    }

    /// The same; of anybody, or with a MAC alone.
    pub(super) fn all_images(&self, of_anybody: bool) -> Vec<(String, Descriptor)> {
        let Ok(entries) = fs::read_dir(self.root().join(FOLDER)) else {
            return Vec::new();
        };
        let mut images: Vec<(String, Descriptor)> = entries
            .filter_map(|entry| {
                let file = entry.ok()?.file_name().into_string().ok()?;
                let named = self.named(&file, of_anybody)?;
                Some((named.name, named.manifest))
            })
            .collect();
        images.sort_by(|a, b| a.0.cmp(&b.0));
        images
    }

    pub(super) fn believes_names(&self) -> bool {
        matches!(&self.inner.trust, Trust::Shared(shared) if shared.names == Names::Any)
    }

    fn named(&self, file: &str, of_anybody: bool) -> Option<Named> {
        let content = match of_anybody {
            true => self.record_of_anybody(FOLDER, file),
            false => self.record(FOLDER, file),
        };
        let named: Named = serde_json::from_slice(&content?).ok()?;
        // Of a name that anybody gave, messages show what a name may hold.
        let is_name = !of_anybody || named.name.parse::<Reference>().is_ok();
        (is_name && file_of(&named.name) == file).then_some(named)
    }
}

fn file_of(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex().to_string()
}
