//! Names given to images: `repo:tag` → the manifest's descriptor. For push-only
//! from the store and for people. A name ages like everything else, and keeps its image until then.

use std::fs;
use std::path::PathBuf;

use crate::error::{Context, Result};

use super::Store;
use super::trust::{Names, Trust};
use crate::image::{Descriptor, Reference};

#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) manifest: Descriptor,
    /// The directory of the project that gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) project: Option<String>,
}

const FOLDER: &str = "images";

impl Store {
    /// # Errors
    /// The file system is full or read-only.
    pub fn tag(&self, name: &str, manifest: &Descriptor, project: Option<&str>) -> Result<()> {
        let named = Named {
            name: name.to_string(),
            manifest: manifest.clone(),
            project: project.map(str::to_string),
        };
        self.put_record(FOLDER, &file_of(name), &crate::image::to_json(&named))
    }

    /// The image of that name, when its manifest is still there.
    pub fn tagged(&self, name: &str) -> Option<Descriptor> {
        let manifest = self.named(&file_of(name), self.believes_names())?.manifest;
        (Store::mark_used(&self.name_path(name)) && self.holds(&manifest)).then_some(manifest)
    }

    /// Takes a name away; its image stays for as long as something else uses it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn untag(&self, name: &str) -> Result<()> {
        let path = self.name_path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("cannot remove `{}`", path.display())),
        }
    }

    pub(super) fn name_path(&self, name: &str) -> PathBuf {
        self.record_path(FOLDER, &file_of(name))
    }

    /// Whether this name was given by somebody who has the store's key; elsewhere nothing
    /// but the content behind it is proven.
    pub fn is_own_name(&self, name: &str) -> bool {
        self.named(&file_of(name), false).is_some()
    }

    /// Every name with its image, sorted by name.
    pub fn images(&self) -> Vec<(String, Descriptor)> {
        let images = self.all_images(self.believes_names()).into_iter();
        images.map(|named| (named.name, named.manifest)).collect()
    }

    /// The same; of anybody, or with a MAC alone.
    pub(super) fn all_images(&self, of_anybody: bool) -> Vec<Named> {
        let Ok(entries) = fs::read_dir(self.root().join(FOLDER)) else {
            return Vec::new();
        };
        let mut images: Vec<Named> = entries
            .filter_map(|entry| {
                let file = entry.ok()?.file_name().into_string().ok()?;
                self.named(&file, of_anybody)
            })
            .collect();
        images.sort_by(|a, b| a.name.cmp(&b.name));
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
