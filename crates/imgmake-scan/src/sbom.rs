//! What is in an image, as a document of its own: without a policy, without advisories.

use std::collections::BTreeMap;

use imgmake_event::Cancel;
use imgmake_oci::image::{Descriptor, ImageConfig};
use imgmake_oci::store::Store;
use serde_json::Value;

use crate::error::{Result, ScanError};
use crate::report::SbomFormat;
use crate::subject::{self, Child};
use crate::{ImageVerdict, PlatformVerdict, Verdict, inventory, report};

/// The bill of materials of one manifest.
#[derive(Clone, Debug)]
pub struct Sbom {
    /// The manifest of a platform.
    pub image: Descriptor,
    pub format: SbomFormat,
    pub document: Value,
}

/// The documents of every platform of an image. Equal images give equal documents: they carry the time of the
/// image, not of now.
///
/// # Errors
/// Layers that are missing or damaged; package databases that cannot be read, since a document without them
/// would say that nothing is there; cancellation. Of another file that cannot be read the documents say so.
pub fn sboms(
    name: &str,
    root: &Descriptor,
    formats: &[SbomFormat],
    store: &Store,
    cancel: &Cancel,
) -> Result<Vec<Sbom>> {
    let mut found = Vec::new();
    for child in subject::children(root, store)? {
        cancel.check()?;
        let inventory = inventory::take(&child.manifest.layers, store, cancel)?;
        if let Some(gap) = inventory.gaps.first() {
            return Err(ScanError::invalid(
                format!("image {}", child.descriptor.digest),
                gap.clone(),
            ));
        }
        let inventories = BTreeMap::from([(child.descriptor.digest.clone(), inventory)]);
        let verdict = bare(name, root, &child, inventories);
        let created = created(&child.config);
        for format in formats {
            found.push(Sbom {
                image: child.descriptor.clone(),
                format: *format,
                document: report::sbom(*format, name, created.clone(), &verdict),
            });
        }
    }
    Ok(found)
}

/// A verdict that has judged nothing, as reports take them.
fn bare(
    name: &str,
    root: &Descriptor,
    child: &Child,
    inventories: BTreeMap<imgmake_oci::image::Digest, inventory::Inventory>,
) -> Verdict {
    Verdict {
        at: jiff::Timestamp::default(),
        passed: true,
        images: vec![ImageVerdict {
            name: name.to_string(),
            digest: root.digest.clone(),
            passed: true,
            platforms: vec![PlatformVerdict {
                digest: child.descriptor.digest.clone(),
                platform: child.platform.clone(),
                passed: true,
                layers: Vec::new(),
                findings: Vec::new(),
            }],
        }],
        refusals: Vec::new(),
        failures: Vec::new(),
        unrated: Vec::new(),
        warnings: Vec::new(),
        table: String::new(),
        bases: Vec::new(),
        inventories,
    }
}

/// A config may say nothing, or nonsense: then it is the epoch.
fn created(config: &ImageConfig) -> String {
    let said = config.created.as_deref().unwrap_or_default();
    let time: jiff::Timestamp = said.parse().unwrap_or_default();
    report::timestamp(time)
}
