//! Statements about images inside their index, as BuildKit puts them there: the images stay those that the gate let
//! pass, and skopeo, the gate and a later push read the index as one of BuildKit's.

use serde_json::{Value, json};

use crate::ground::cosign::{Signer, put_manifest};
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A project whose push has a gate; `platforms` are those of its image.
fn project(registry: &Registry, signer: &Signer, platforms: &str, push: &str) -> tempfile::TempDir {
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "Dockerfile",
        "FROM scratch\nCOPY package.json /app/node_modules/left-pad/\n",
    );
    write(
        path,
        "package.json",
        r#"{"name":"left-pad","version":"1.3.0"}"#,
    );
    write(
        path,
        "advisories/npm/a.json",
        r#"{"id":"CVE-1","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"other"}}]}"#,
    );
    let host = &registry.host;
    let manifest = format!(
        r#"registry hub "{host}"
build app {{ context "."; platforms {platforms}; layout "out" }}
scan gate {{ images app; advisories "advisories" }}
scan again {{ from image="{host}/app:1"; advisories "advisories" }}
push release {{ images app; needs gate; to hub {{ tags "1" }}; {push} }}
push promote {{ from image="{host}/app:1"; to hub {{ repository "prod"; tags "1" }}; needs-attestation gate key="cosign.pub" }}
"#
    );
    write(path, "imgmake.kdl", manifest);
    std::fs::copy(signer.private(), path.join("cosign.key")).unwrap();
    std::fs::copy(signer.public(), path.join("cosign.pub")).unwrap();
    directory
}

/// What skopeo reads under the tag.
fn raw(registry: &Registry, name: &str) -> Value {
    let name = format!("docker://{}/{name}:1", registry.host);
    let text = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &name]);
    serde_json::from_str(&text).unwrap()
}

fn children(index: &Value) -> (Vec<Value>, Vec<Value>) {
    assert_eq!(index["mediaType"], INDEX);
    let all = index["manifests"].as_array().unwrap().clone();
    all.into_iter()
        .partition(|child| child["platform"]["os"] != "unknown")
}

fn blob(registry: &Registry, digest: &str) -> Value {
    let hex = digest.trim_start_matches("sha256:");
    let mut files = registry.blob_files().into_iter();
    let file = files.find(|file| file.to_string_lossy().contains(hex));
    serde_json::from_slice(&std::fs::read(file.unwrap()).unwrap()).unwrap()
}

#[test]
fn an_index_has_statements_of_each_image_as_buildkit_writes_them() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let push =
        "sign key=\"cosign.key\"; attest \"spdx\" \"provenance\" as=\"index\"; attest \"verdict\"";
    let project = project(&registry, &signer, "\"linux/amd64\" \"linux/arm64\"", push);
    let (path, imgmake) = (project.path(), Imgmake::new());
    imgmake.ok(path, &["release"]);
    let index = raw(&registry, "app");
    let (images, beside) = children(&index);
    assert_eq!((images.len(), beside.len()), (2, 2));
    // After the images, as BuildKit has them.
    let all = index["manifests"].as_array().unwrap();
    assert_eq!(all[2..], beside[..]);
    for (image, child) in images.iter().zip(&beside) {
        assert_eq!(
            child["platform"],
            json!({"architecture": "unknown", "os": "unknown"})
        );
        let said = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image["digest"],
        });
        assert_eq!(child["annotations"], said);
        let manifest = registry.json(child["digest"].as_str().unwrap());
        assert_eq!(
            manifest["artifactType"],
            "application/vnd.docker.attestation.manifest.v1+json"
        );
        assert_eq!(manifest["subject"]["digest"], image["digest"]);
        assert_eq!(manifest["subject"]["size"], image["size"]);
        assert_eq!(
            manifest["config"]["mediaType"],
            "application/vnd.oci.empty.v1+json"
        );
        let layers = manifest["layers"].as_array().unwrap();
        let kinds = [
            "https://spdx.dev/Document",
            "https://slsa.dev/provenance/v1",
        ];
        assert_eq!(layers.len(), kinds.len());
        for (layer, kind) in layers.iter().zip(kinds) {
            assert_eq!(layer["mediaType"], IN_TOTO);
            assert_eq!(
                layer["annotations"],
                json!({"in-toto.io/predicate-type": kind})
            );
            let statement = blob(&registry, layer["digest"].as_str().unwrap());
            assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
            assert_eq!(statement["predicateType"], kind);
            let subject = statement["subject"][0]["digest"]["sha256"].as_str();
            let subject = format!("sha256:{}", subject.unwrap());
            assert_eq!(image["digest"], subject.as_str());
        }
        let document = blob(&registry, layers[0]["digest"].as_str().unwrap());
        assert!(document.to_string().contains("pkg:npm/left-pad@1.3.0"));
    }

    // The images are those that were built, judged and written into the layout; the index is another, and is signed.
    let layout = std::fs::read_to_string(path.join("out/index.json")).unwrap();
    let layout: Value = serde_json::from_str(&layout).unwrap();
    let built = layout["manifests"][0]["digest"].as_str().unwrap();
    assert_ne!(Some(built.to_string()), registry.digest("app", "1"));
    let built = std::fs::read(path.join("out/blobs/sha256").join(&built[7..])).unwrap();
    let built: Value = serde_json::from_slice(&built).unwrap();
    let digests =
        |all: &[Value]| -> Vec<Value> { all.iter().map(|one| one["digest"].clone()).collect() };
    assert_eq!(
        digests(&images),
        digests(built["manifests"].as_array().unwrap())
    );
    let name = format!("{}/app:1", registry.host);
    for kind in ["signature", "verdict"] {
        imgmake.ok(path, &["verify", &name, "-k", "cosign.pub", "-t", kind]);
    }
    // Statements in the index are of nobody.
    let asked = ["verify", &name, "-k", "cosign.pub", "-t", "spdx"];
    imgmake.refused(path, &asked, 3, &["has no SPDX document that is signed"]);

    // Another push of it is the same, and everybody reads it: skopeo, the gate, a push that demands the verdict.
    let before = registry.digest("app", "1");
    imgmake.ok(path, &["--force", "release"]);
    assert_eq!(registry.digest("app", "1"), before);
    let copy = path.join("copy").display().to_string();
    let (from, to) = (format!("docker://{name}"), format!("oci:{copy}:1"));
    run(
        "skopeo",
        &["copy", "--all", "--src-tls-verify=false", &from, &to],
    );
    imgmake.ok(path, &["again"]);
    imgmake.ok(path, &["promote"]);
    assert_eq!(registry.digest("prod", "1"), before);

    // What somebody else put into the index is covered by no signature.
    let mut other = index.clone();
    other["manifests"][3]["annotations"]["vnd.docker.reference.digest"] =
        images[0]["digest"].clone();
    put_manifest(&registry, "app", "1", &other);
    let says = [
        "an attestation by another builder",
        "the index is not signed with the key `cosign.pub`",
    ];
    imgmake.refused(path, &["promote"], 3, &says);
}

/// A manifest alone gets an index, since only there statements can be beside it.
#[test]
fn an_image_of_one_platform_gets_an_index() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let push = "attest \"cyclonedx\" as=\"index\"";
    let project = project(&registry, &signer, "\"linux/amd64\"", push);
    let imgmake = Imgmake::new();
    imgmake.ok(project.path(), &["release"]);
    let (images, beside) = children(&raw(&registry, "app"));
    assert_eq!((images.len(), beside.len()), (1, 1));
    assert_eq!(images[0]["platform"]["architecture"], "amd64");
    let layout = std::fs::read_to_string(project.path().join("out/index.json")).unwrap();
    let layout: Value = serde_json::from_str(&layout).unwrap();
    assert_eq!(layout["manifests"][0]["digest"], images[0]["digest"]);
    // Nothing that would have to be signed.
    let tags = registry.tags();
    assert!(!tags.iter().any(|tag| tag.ends_with(".sig")), "{tags:?}");
}

#[test]
fn a_verdict_is_in_no_index() {
    let place = temporary();
    let refused = |attest: &str, says: &[&str]| {
        let text = format!(
            "registry hub \"localhost:1\"\nbuild app {{ context \".\" }}\nscan gate {{ images app }}\npush p {{ images app; needs gate; to hub {{ tags \"1\" }}; sign key=\"k\"; {attest} }}\n"
        );
        write(place.path(), "imgmake.kdl", text);
        Imgmake::new().refused(place.path(), &["plan", "p"], 2, says);
    };
    refused(
        "attest \"verdict\" as=\"index\"",
        &["what is in an index is not"],
    );
    refused("attest \"spdx\" as=\"inside\"", &["`inside`", "index"]);
    refused(
        "attest \"spdx\"; attest \"provenance\" \"spdx\"",
        &["duplicate attestation `spdx`"],
    );
}
