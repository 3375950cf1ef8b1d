mod blobs;
mod blocks;
mod damage;
mod gc;
mod images;
mod records;
mod shared;
mod work;

use std::fs;
use std::io::Write;
use std::time::{Duration, SystemTime};

use super::*;
use crate::error::OciError;
use crate::image::{Descriptor, ImageManifest, ManifestFormat};
use crate::layer::{Compression, Entry, LayerWriter};

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store")).unwrap();
    (directory, store)
}

/// A store that was closed and opened, so that nothing is remembered.
fn opened_again(store: &Store) -> Store {
    Store::open(store.root()).unwrap()
}
