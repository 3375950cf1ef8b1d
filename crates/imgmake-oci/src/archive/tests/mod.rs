//! What is written is read by skopeo, podman and umoci and by us; what they write
//! is read by us; digests stay; damage is named and harms nothing.

mod hostile;
mod others;
mod reading;
mod writing;

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::image::{
    Digest, ImageConfig, ImageIndex, ImageManifest, ManifestFormat, Platform, media_type,
};
use crate::layer::{Compression, Entry, Layer, LayerWriter};

/// A store and a place for files.
struct Ground {
    dir: TempDir,
    store: Store,
}

const GZIP: Compression = Compression::Gzip { level: 6 };

impl Ground {
    fn new() -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Ground { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A second store, which holds nothing.
    fn empty_store(&self, name: &str) -> Store {
        Store::open(&self.path(name)).unwrap()
    }

    fn layer(&self, name: &str, content: &[u8], compression: Compression) -> Layer {
        let (file, out) = self.store.layer_file().unwrap();
        let mut writer = LayerWriter::new(out, compression).unwrap();
        let entry = Entry::file(name, 0o755, content.len() as u64);
        writer.append(&entry, &mut &content[..]).unwrap();
        let (layer, index) = writer.finish().unwrap();
        self.store.adopt_layer(file, &layer, &index).unwrap();
        layer
    }

    fn image_of(&self, layers: &[Layer], format: ManifestFormat, arch: &str) -> Descriptor {
        let platform = Platform::new("linux", arch, None);
        let mut config = ImageConfig::scratch(&platform);
        config.rootfs.diff_ids = layers.iter().map(|l| l.diff_id.clone()).collect();
        config.config.cmd = Some(vec!["/hello".into()]);
        let config = to_json(&config);
        self.store.put_bytes(&config).unwrap();
        let config = Descriptor::of(media_type::OCI_CONFIG, &config);
        let layers = layers.iter().map(|l| l.descriptor.clone()).collect();
        let manifest = to_json(&ImageManifest::new(format, config, layers));
        self.store.put_bytes(&manifest).unwrap();
        let mut root = Descriptor::of(format.manifest(), &manifest);
        root.platform = Some(platform);
        root
    }

    /// Two layers, gzip.
    fn image(&self, salt: &str) -> Descriptor {
        let first = self.layer("hello", b"#!/bin/sh\necho hello\n", GZIP);
        let second = self.layer("etc/salt", salt.as_bytes(), GZIP);
        let mut root = self.image_of(&[first, second], ManifestFormat::Oci, "amd64");
        root.platform = None;
        root
    }

    fn two_platforms(&self) -> Descriptor {
        let children = ["amd64", "arm64"].map(|arch| {
            let layer = self.layer("hello", arch.as_bytes(), GZIP);
            self.image_of(&[layer], ManifestFormat::Oci, arch)
        });
        let index = to_json(&ImageIndex::new(ManifestFormat::Oci, children.to_vec()));
        self.store.put_bytes(&index).unwrap();
        Descriptor::of(media_type::OCI_INDEX, &index)
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|_| panic!("these tests need {program}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn refusal(result: Result<Imported>) -> String {
    format!("{:#}", result.expect_err("must be refused"))
}
