//! Archives as other tools write them: several images in one, attestations beside images.

use std::path::Path;

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{temporary, write};
use imgmake_oci::image::Digest;

/// A blob of a layout, and the descriptor of what it is.
fn blob(layout: &Path, kind: &str, bytes: &[u8]) -> serde_json::Value {
    let digest = Digest::of(bytes);
    std::fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    serde_json::json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
}

/// Of a package that no image here has.
const ADVISORY: &str = r#"{"id": "X-1", "modified": "2026-01-01T00:00:00Z", "affected": [{"package": {"ecosystem": "PyPI", "name": "nothing"}, "versions": ["1"]}]}"#;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `app` built into a layout, to which BuildKit's attestation is added.
fn with_attestation(directory: &Path) {
    write(directory, "Dockerfile", "FROM scratch\nLABEL word=app\n");
    write(directory, "imgmake.kdl", "build app { layout \"app\" }\n");
    Imgmake::new().ok(directory, &["app"]);
    let layout = directory.join("app");
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let image = index["manifests"][0].clone();
    // As BuildKit writes it: no architecture, no platform in the configuration.
    let config = blob(&layout, "application/vnd.oci.image.config.v1+json", b"{}");
    let layer = blob(
        &layout,
        "application/vnd.in-toto+json",
        b"{\"_type\":\"x\"}",
    );
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    let mut attestation = blob(&layout, MANIFEST, manifest.to_string().as_bytes());
    attestation["platform"] = serde_json::json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = serde_json::json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image["digest"],
    });
    let mut plain = image.clone();
    plain.as_object_mut().unwrap().remove("annotations");
    let both = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [plain, attestation]});
    let root = blob(&layout, INDEX, both.to_string().as_bytes());
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [root]});
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn attestations_beside_an_image_are_named_and_go_along() {
    let (directory, registry) = (temporary(), Registry::start());
    with_attestation(directory.path());
    let text = Imgmake::new()
        .ok(directory.path(), &["inspect", "app"])
        .stdout;
    assert!(text.contains("label     word=app"), "{text}");
    assert!(text.contains("attests   sha256:"), "{text}");
    let json = Imgmake::new().ok(directory.path(), &["inspect", "app", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["images"].as_array().unwrap().len(), 1);
    assert_eq!(json["others"].as_array().unwrap().len(), 1);
    // The gate looks at the image, and the push takes both.
    let manifest = format!(
        "registry hub \"{}\"\nscan gate {{ from tar=\"app\"; advisories \"none\" }}\n\
         push release {{ from tar=\"app\"; needs gate; to hub {{ repository \"app\"; tags \"1\" }} }}\n",
        registry.host
    );
    write(directory.path(), "none/one.json", ADVISORY);
    write(directory.path(), "push.kdl", manifest);
    Imgmake::new().ok(directory.path(), &["-f", "push.kdl", "release"]);
    assert_eq!(registry.tags(), ["app:1"]);
}

/// A docker archive with the images `one:1` and `two:1`.
fn two_images(directory: &Path) {
    let recipe = |word: &str| format!("FROM scratch\nLABEL word={word}\n");
    write(directory, "one.Dockerfile", recipe("one"));
    write(directory, "two.Dockerfile", recipe("two"));
    let manifest = "build one { dockerfile \"one.Dockerfile\"; layout \"one\"; tags \"one:1\" }\n\
                    build two { dockerfile \"two.Dockerfile\"; layout \"two\"; tags \"two:1\" }\n";
    write(directory, "imgmake.kdl", manifest);
    Imgmake::new().ok(directory, &["one", "two"]);
    let read = |name: &str| -> serde_json::Value {
        let text = std::fs::read(directory.join(name).join("index.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let (mut one, two) = (read("one"), read("two"));
    let more = two["manifests"][0].clone();
    one["manifests"].as_array_mut().unwrap().push(more);
    for blob in std::fs::read_dir(directory.join("two/blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        std::fs::copy(
            blob.path(),
            directory.join("one/blobs/sha256").join(blob.file_name()),
        )
        .unwrap();
    }
    std::fs::write(directory.join("one/index.json"), one.to_string()).unwrap();
    std::fs::rename(directory.join("one"), directory.join("both")).unwrap();
}

#[test]
fn one_of_several_images_is_chosen_by_its_name_or_its_place() {
    let (directory, registry) = (temporary(), Registry::start());
    two_images(directory.path());
    let refused = Imgmake::new().run(directory.path(), &["inspect", "both"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    for says in ["2 images", "1. one:1", "2. two:1", "`--image NAME`"] {
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
    }
    for chosen in [["--image", "two:1"], ["--index", "2"]] {
        let text = Imgmake::new().ok(directory.path(), &["inspect", "both", chosen[0], chosen[1]]);
        assert!(text.stdout.contains("word=two"), "{}", text.stdout);
    }
    let manifest = format!(
        "registry hub \"{}\"\nscan gate {{ from tar=\"both\" image=\"two:1\"; advisories \"none\" }}\n\
         push named {{ from tar=\"both\" image=\"two:1\"; needs gate; to hub {{ repository \"named\"; tags \"1\" }} }}\n\
         push first {{ from tar=\"both\" index=1; to hub {{ repository \"first\"; tags \"1\" }} }}\n",
        registry.host
    );
    write(directory.path(), "none/one.json", ADVISORY);
    write(directory.path(), "push.kdl", &manifest);
    Imgmake::new().ok(directory.path(), &["-f", "push.kdl", "named", "first"]);
    // A gate for one of the images says nothing of the other.
    write(
        directory.path(),
        "push.kdl",
        manifest.replace("index=1;", "index=1; needs gate;"),
    );
    let ungated = Imgmake::new().run(directory.path(), &["-f", "push.kdl", "first"]);
    assert_eq!(ungated.code, 2, "{}", ungated.stderr);
    assert!(
        ungated.stderr.contains("image 1 of the archive `both`"),
        "{}",
        ungated.stderr
    );
    Imgmake::new()
        .with("PLUGIN_PUSH_ONLY", "true")
        .with("PLUGIN_SOURCE_TAR_PATH", "both")
        .with("PLUGIN_SOURCE_IMAGE", "two:1")
        .with("PLUGIN_REPO", &format!("{}/plugin", registry.host))
        .ok(directory.path(), &["plugin", "--as", "kaniko-docker"]);
    assert_eq!(registry.tags(), ["first:1", "named:1", "plugin:latest"]);
}
