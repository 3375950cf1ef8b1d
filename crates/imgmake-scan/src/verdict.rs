//! What the gate decided, of each image and platform.

use std::collections::BTreeMap;

use jiff::Timestamp;

use imgmake_oci::image::{Digest, Platform};

use crate::basis::Basis;
use crate::inventory::Inventory;
use crate::policy::Judged;

/// What the gate decided.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// When it was judged.
    pub at: Timestamp,
    /// Every image passed and nothing else spoke against it.
    pub passed: bool,
    pub images: Vec<ImageVerdict>,
    /// Why the gate refuses, one sentence each; empty when it passed.
    pub refusals: Vec<String>,
    /// Those of the refusals for which no finding stands: a scanner that failed,
    /// an image that could not be read.
    pub failures: Vec<String>,
    /// Findings whose severity nobody states, named by image.
    pub unrated: Vec<String>,
    /// What did not decide but should be read.
    pub warnings: Vec<String>,
    /// For people: findings by severity, then a summary line.
    pub table: String,
    /// What it was judged by: databases, lists, the image with which it was compared.
    pub bases: Vec<Basis>,
    /// What the images hold, by manifest digest, as far as somebody asked for it.
    pub inventories: BTreeMap<Digest, Inventory>,
}

/// The verdict on one named image; an index passes only if every child does.
#[derive(Clone, Debug)]
pub struct ImageVerdict {
    pub name: String,
    /// Of the manifest or index that was named.
    pub digest: Digest,
    pub passed: bool,
    pub platforms: Vec<PlatformVerdict>,
}

#[derive(Clone, Debug)]
pub struct PlatformVerdict {
    /// Of the manifest.
    pub digest: Digest,
    pub platform: Platform,
    pub passed: bool,
    /// Its layers, bottom first.
    pub layers: Vec<Digest>,
    pub findings: Vec<Judged>,
}

impl Verdict {
    /// The digests that a push may publish: of every image and child that passed
    /// in a gate that passed as a whole.
    pub(crate) fn passed_digests(&self) -> Vec<&Digest> {
        let images = self.images.iter().filter(|i| self.passed && i.passed);
        images
            .flat_map(|i| std::iter::once(&i.digest).chain(i.platforms.iter().map(|p| &p.digest)))
            .collect()
    }
}
