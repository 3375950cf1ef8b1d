//! The documents against `oci-spec`, the types that the Open Container Initiative's Rust project
//! makes of the specification: what we write, it reads and writes again unchanged. And the facts
//! that keep those types out of the program: whoever sees one of these tests fail after an update
//! of that crate may ask again whether ours are still needed.

use std::collections::BTreeMap;

use oci_spec::distribution::{ErrorCode, ErrorResponse};
use oci_spec::image as spec;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

/// Read by the specification's type and written by it: the same document, whatever the order.
fn is_kept<T: DeserializeOwned + Serialize>(document: &impl Serialize) {
    let bytes = to_json(document);
    let read: T = serde_json::from_slice(&bytes)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&bytes)));
    let expected: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), expected);
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-z.]{1,9}", "\\PC{0,9}", 0..4)
}

fn descriptors() -> impl Strategy<Value = Descriptor> {
    let kinds = [
        media_type::OCI_LAYER_ZSTD,
        media_type::DOCKER_LAYER_GZIP,
        "application/x",
    ];
    let platform = prop::option::of(prop::sample::select(vec![
        "linux/amd64",
        "linux/arm/v7",
        "windows/386",
        "linux/loong64",
    ]));
    (
        prop::sample::select(kinds.to_vec()),
        prop::collection::vec(any::<u8>(), 0..9),
        texts(),
        prop::collection::vec("https://[a-z]{1,9}", 0..3),
        platform,
        prop::option::of("[a-z/]{1,9}"),
    )
        .prop_map(
            |(kind, content, annotations, urls, platform, artifact_type)| Descriptor {
                annotations,
                urls,
                platform: platform.map(|p| p.parse().unwrap()),
                artifact_type,
                data: Some("AAAA".into()),
                ..Descriptor::of(kind, &content)
            },
        )
}

proptest! {
    #[test]
    fn what_we_write_is_the_specifications(
        config in descriptors(),
        layers in prop::collection::vec(descriptors(), 0..4),
        annotations in texts(),
        subject in prop::option::of(descriptors()),
    ) {
        let manifest = ImageManifest {
            annotations: annotations.clone(),
            subject: subject.clone(),
            ..ImageManifest::new(ManifestFormat::Oci, config, layers.clone())
        };
        is_kept::<spec::ImageManifest>(&manifest);
        let index = ImageIndex {
            annotations,
            subject,
            artifact_type: Some("application/x".into()),
            ..ImageIndex::new(ManifestFormat::Docker, layers)
        };
        is_kept::<spec::ImageIndex>(&index);
    }
}

#[test]
fn media_types_are_the_specifications() {
    use media_type as ours;
    use spec::MediaType as Spec;
    for (text, kind) in [
        (ours::OCI_MANIFEST, Spec::ImageManifest),
        (ours::OCI_INDEX, Spec::ImageIndex),
        (ours::OCI_CONFIG, Spec::ImageConfig),
        (ours::OCI_LAYER, Spec::ImageLayer),
        (ours::OCI_LAYER_GZIP, Spec::ImageLayerGzip),
        (ours::OCI_LAYER_ZSTD, Spec::ImageLayerZstd),
        (
            ours::OCI_LAYER_NONDISTRIBUTABLE,
            Spec::ImageLayerNonDistributable,
        ),
        (
            ours::OCI_LAYER_NONDISTRIBUTABLE_GZIP,
            Spec::ImageLayerNonDistributableGzip,
        ),
        (
            ours::OCI_LAYER_NONDISTRIBUTABLE_ZSTD,
            Spec::ImageLayerNonDistributableZstd,
        ),
        (ours::OCI_EMPTY, Spec::EmptyJSON),
    ] {
        assert_eq!(Spec::from(text), kind);
        assert_eq!(kind.as_ref(), text);
    }
}

#[test]
fn the_specifications_platform_loses_what_windows_images_are_chosen_by() {
    let text = r#"{"architecture":"amd64","os":"windows","os.version":"10.0.1"}"#;
    let theirs: spec::Platform = serde_json::from_str(text).unwrap();
    assert_eq!(theirs.os_version(), &None);
    let ours: Platform = from_json(text.as_bytes()).unwrap();
    assert_eq!(to_json(&ours), text.as_bytes());
    let text = r#"{"architecture":"armbe","os":"linux"}"#;
    let theirs: spec::Platform = serde_json::from_str(text).unwrap();
    assert_eq!(theirs.architecture(), &spec::Arch::ARM64be);
}

#[test]
fn the_specifications_manifest_refuses_a_list_that_is_null() {
    let config = serde_json::to_string(&Descriptor::of(media_type::OCI_CONFIG, b"{}")).unwrap();
    let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":null}}"#);
    assert!(serde_json::from_str::<spec::ImageManifest>(&text).is_err());
    assert!(from_json::<ImageManifest>(text.as_bytes()).is_ok());
}

#[test]
fn the_specifications_error_response_refuses_codes_that_it_does_not_list() {
    let read = |code: &str| {
        let text = format!(r#"{{"errors":[{{"code":"{code}","message":"m"}}]}}"#);
        serde_json::from_str::<ErrorResponse>(&text)
    };
    let listed = read("DENIED").unwrap();
    assert_eq!(listed.detail()[0].code(), &ErrorCode::Denied);
    // Docker Hub's and Harbor's.
    for code in ["UNKNOWN", "PROJECTPOLICYVIOLATION"] {
        assert!(read(code).is_err());
    }
}
