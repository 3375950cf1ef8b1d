//! A store with small images, a directory of advisories, and a request that
//! names them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::{Policy, ReportFormat, ScanImage, ScanRequest, Scanner, Verdict, scan};
use imgmake_event::{Cancel, Events};
use imgmake_oci::image::{
    Descriptor, ImageConfig, ImageIndex, ImageManifest, ManifestFormat, Platform, to_json,
};
use imgmake_oci::layer::{Compression, Entry, LayerWriter};
use imgmake_oci::store::Store;

pub struct Ground {
    pub directory: tempfile::TempDir,
    pub store: Store,
}

pub type File = (String, u32, Vec<u8>);

pub fn file(path: &str, text: &str) -> File {
    (path.to_string(), 0o644, text.as_bytes().to_vec())
}

pub const OPENSSL: &str = r#"{"id": "CVE-2026-1", "modified": "2026-06-01T00:00:00Z", "summary": "openssl reads too far",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected": [{"package": {"ecosystem": "Debian:12", "name": "openssl"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.0.11-1~deb12u2"}]}]}]}"#;

impl Ground {
    pub fn new() -> Ground {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        fs::create_dir(directory.path().join("advisories")).unwrap();
        Ground { directory, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn advisory(self, document: impl ToString) -> Ground {
        let directory = self.path("advisories");
        let count = fs::read_dir(&directory).unwrap().count();
        fs::write(
            directory.join(format!("{count}.json")),
            document.to_string(),
        )
        .unwrap();
        self
    }

    /// A Debian 12 image with libssl3 of openssl.
    pub fn debian(&self, name: &str, version: &str) -> ScanImage {
        let status = format!(
            "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\nVersion: {version}\n\n"
        );
        self.image(
            name,
            &[
                &[file("usr/lib/os-release", "ID=debian\nVERSION_ID=\"12\"\n")],
                &[file("var/lib/dpkg/status", &status)],
            ],
        )
    }

    pub fn image(&self, name: &str, layers: &[&[File]]) -> ScanImage {
        let entry = |(path, mode, bytes): &File| {
            let size = bytes.len() as u64;
            (Entry::file(path, *mode, size), bytes.clone())
        };
        let layers = layers.iter().map(|files| files.iter().map(entry).collect());
        self.image_of(name, layers.collect())
    }

    /// An image of layers with entries of any kind, in this order.
    pub fn image_of(&self, name: &str, layers: Vec<Vec<(Entry, Vec<u8>)>>) -> ScanImage {
        let platform = Platform::new("linux", "amd64", None);
        let mut config = ImageConfig::scratch(&platform);
        let mut descriptors = Vec::new();
        for entries in layers {
            let blob = self.layer(&entries);
            config.rootfs.diff_ids.push(blob.diff_id);
            descriptors.push(blob.descriptor);
        }
        let config = self.document(&config, ManifestFormat::Oci.config());
        let manifest = ImageManifest::new(ManifestFormat::Oci, config, descriptors);
        let mut root = self.document(&manifest, ManifestFormat::Oci.manifest());
        root.platform = Some(platform);
        ScanImage {
            name: name.into(),
            root,
        }
    }

    fn layer(&self, entries: &[(Entry, Vec<u8>)]) -> imgmake_oci::layer::Layer {
        let (temporary, out) = self.store.layer_file().unwrap();
        let mut writer = LayerWriter::new(out, Compression::Gzip { level: 1 }).unwrap();
        for (entry, bytes) in entries {
            writer.append(entry, &mut &bytes[..]).unwrap();
        }
        let (blob, index) = writer.finish().unwrap();
        self.store.adopt_layer(temporary, &blob, &index).unwrap();
        blob
    }

    pub fn index(&self, name: &str, images: &[&ScanImage]) -> ScanImage {
        let children = images.iter().map(|i| i.root.clone()).collect();
        let index = ImageIndex::new(ManifestFormat::Oci, children);
        ScanImage {
            name: name.into(),
            root: self.document(&index, ManifestFormat::Oci.index()),
        }
    }

    fn document<T: serde::Serialize>(&self, value: &T, media_type: &str) -> Descriptor {
        let bytes = to_json(value);
        self.store.put_bytes(&bytes).unwrap();
        Descriptor::of(media_type, &bytes)
    }

    pub fn forget_layers(&self, image: &ScanImage) {
        let bytes = self.store.read_blob(&image.root.digest, 1 << 20).unwrap();
        let manifest: ImageManifest = imgmake_oci::image::from_json(&bytes).unwrap();
        for layer in manifest.layers {
            fs::remove_file(self.store.blob_path(&layer.digest)).unwrap();
        }
    }

    pub fn request(&self, images: &[ScanImage]) -> ScanRequest {
        ScanRequest {
            target: "gate".into(),
            images: images.to_vec(),
            scanner: Scanner::Builtin,
            policy: Policy::new("2026-06-15T12:00:00Z".parse().unwrap()),
            baseline: None,
            advisories_name: None,
            advisories: vec![self.path("advisories")],
            reports: BTreeMap::new(),
            timeout: None,
            environment: BTreeMap::new(),
            directory: self.directory.path().to_path_buf(),
            width: 80,
        }
    }

    pub fn with_all_reports(&self, images: &[ScanImage]) -> ScanRequest {
        let mut request = self.request(images);
        for (format, name) in [
            (ReportFormat::Table, "scan.txt"),
            (ReportFormat::Json, "scan.json"),
            (ReportFormat::Sarif, "scan.sarif"),
            (ReportFormat::CycloneDx, "bom.cdx.json"),
            (ReportFormat::Spdx, "bom.spdx.json"),
            (ReportFormat::JUnit, "scan.xml"),
            (ReportFormat::Html, "scan.html"),
            (ReportFormat::CodeQuality, "quality.json"),
        ] {
            request.reports.insert(format, self.path("out").join(name));
        }
        request
    }

    pub fn run(&self, request: &ScanRequest) -> Verdict {
        let outcome = scan(request, &self.store, &Events::discard(), &Cancel::default());
        outcome.unwrap().verdict
    }

    pub fn scan(&self, images: &[ScanImage]) -> Verdict {
        self.run(&self.request(images))
    }
}
