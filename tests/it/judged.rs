//! What is written, read by the types that the Open Container Initiative's Rust
//! project makes of the specification: they accept it, and written again it says
//! the same.

use std::path::Path;

use oci_spec::distribution::Reference;
use oci_spec::image::{
    Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout, Os,
};
use serde_json::Value;

use crate::ground::imgmake::Imgmake;
use crate::ground::{temporary, write};

const DOCKERFILE: &str = r#"FROM scratch AS base
COPY Dockerfile /
ENV PATH=/bin LANG="C.UTF-8"
LABEL one=1 two="2 words"
EXPOSE 80 53/udp
VOLUME /data
WORKDIR /srv
USER 1000:1000
STOPSIGNAL SIGINT
ENTRYPOINT ["/app"]
CMD ["--port", "80"]
FROM base
COPY imgmake.kdl /more/
"#;

const MANIFEST: &str = r#"
build app {
    context "."
    platforms "linux/amd64" "linux/arm/v7"
    tags "reg.example/team/app:1.2" "other:latest"
    annotations { org.opencontainers.image.source "https://example.com" }
    layout "layout"
}
build plain { context "."; tags "plain:1"; layout "plain" }
"#;

fn blob(layout: &Path, descriptor: &Descriptor) -> Vec<u8> {
    let digest = descriptor.as_digest_sha256().expect("digests are sha256");
    let bytes = std::fs::read(layout.join("blobs/sha256").join(digest)).unwrap();
    assert_eq!(bytes.len() as u64, descriptor.size());
    bytes
}

/// Read strictly, written again: nothing was lost and nothing added.
fn keeps<T: serde::de::DeserializeOwned + serde::Serialize>(bytes: &[u8]) -> T {
    let read: T = serde_json::from_slice(bytes)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)));
    let mut before: Value = serde_json::from_slice(bytes).unwrap();
    // Docker's own additions, which those types do not know.
    if let Some(config) = before.get_mut("config").and_then(Value::as_object_mut) {
        for name in ["ArgsEscaped", "Healthcheck", "OnBuild", "Shell"] {
            config.remove(name);
        }
    }
    assert_eq!(serde_json::to_value(&read).unwrap(), before);
    read
}

fn image(layout: &Path, descriptor: &Descriptor) {
    let manifest: ImageManifest = keeps(&blob(layout, descriptor));
    assert_eq!(manifest.schema_version(), 2);
    assert_eq!(manifest.media_type(), &Some(MediaType::ImageManifest));
    assert_eq!(manifest.config().media_type(), &MediaType::ImageConfig);
    let config: ImageConfiguration = keeps(&blob(layout, manifest.config()));
    assert_eq!(config.rootfs().diff_ids().len(), manifest.layers().len());
    let history = config.history().as_ref().expect("there is a history");
    let with_layer = history.iter().filter(|h| h.empty_layer() != Some(true));
    assert_eq!(with_layer.count(), manifest.layers().len());
    assert_eq!(config.os(), &Os::Linux);
    let inner = config.config().as_ref().unwrap();
    assert_eq!(inner.entrypoint(), &Some(vec!["/app".to_string()]));
    assert_eq!(inner.user(), &Some("1000:1000".to_string()));
    assert_eq!(inner.exposed_ports().as_ref().unwrap().len(), 2);
    for layer in manifest.layers() {
        assert_eq!(layer.media_type(), &MediaType::ImageLayerGzip);
        blob(layout, layer);
    }
}

#[test]
fn layouts_indexes_manifests_and_configs_are_the_specifications() {
    let project = temporary();
    let path = project.path();
    write(path, "Dockerfile", DOCKERFILE);
    write(path, "imgmake.kdl", MANIFEST);
    write(path, ".dockerignore", "layout\nplain\n");
    Imgmake::new().ok(path, &["app", "plain"]);

    let layout = path.join("layout");
    let file: OciLayout = keeps(&std::fs::read(layout.join("oci-layout")).unwrap());
    assert_eq!(file.image_layout_version(), "1.0.0");
    let index: ImageIndex = keeps(&std::fs::read(layout.join("index.json")).unwrap());
    assert_eq!(index.manifests().len(), 2, "one entry for each name");
    for named in index.manifests() {
        let annotations = named.annotations().as_ref().unwrap();
        let full: Reference = annotations["io.containerd.image.name"].parse().unwrap();
        let tag = &annotations["org.opencontainers.image.ref.name"];
        assert_eq!(full.tag(), Some(tag.as_str()));
        let platforms: ImageIndex = keeps(&blob(&layout, named));
        let architectures: Vec<&Arch> = platforms
            .manifests()
            .iter()
            .map(|child| child.platform().as_ref().unwrap().architecture())
            .collect();
        assert_eq!(architectures, [&Arch::Amd64, &Arch::ARM]);
        for child in platforms.manifests() {
            image(&layout, child);
        }
    }
    let plain = path.join("plain");
    let index: ImageIndex = keeps(&std::fs::read(plain.join("index.json")).unwrap());
    image(&plain, &index.manifests()[0]);
}
