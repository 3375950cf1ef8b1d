//! A push that signs its images and says what is in them; openssl is the judge of the signatures, and
//! imgmake's own `verify` of everything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::ground::cosign::{Signer, put_manifest, tag};
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

/// Two platforms, each with a package of npm.
fn project(registry: &Registry, signer: &Signer, push: &str) -> tempfile::TempDir {
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
    let manifest = format!(
        r#"registry hub "{}"
build app {{ context "."; platforms "linux/amd64" "linux/arm64"; format "oci" }}
push release {{ images app; {push}; to hub {{ tags "1" }} }}
"#,
        registry.host
    );
    write(path, "imgmake.kdl", manifest);
    std::fs::copy(signer.private(), path.join("cosign.key")).unwrap();
    std::fs::copy(signer.public(), path.join("cosign.pub")).unwrap();
    directory
}

fn decoded(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// openssl says whether a signature is the key's.
fn judged_by_openssl(signer: &Signer, message: &[u8], signature: &[u8]) {
    let directory = temporary();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("message"), message).unwrap();
    std::fs::write(path("signature"), signature).unwrap();
    let public = signer.public().display().to_string();
    let (signed, text) = (path("signature"), path("message"));
    let verify = [
        "dgst",
        "-sha256",
        "-verify",
        &public,
        "-signature",
        &signed,
        &text,
    ];
    assert!(run("openssl", &verify).contains("Verified OK"));
}

/// The statement of a bundle, which openssl says the key signed.
pub fn opened(signer: &Signer, bundle: &Value) -> Value {
    let envelope = &bundle["dsseEnvelope"];
    let text = decoded(&envelope["payload"]);
    let kind = envelope["payloadType"].as_str().unwrap();
    let before = format!("DSSEv1 {} {kind} {} ", kind.len(), text.len());
    let message = [before.as_bytes(), text.as_slice()].concat();
    let signature = decoded(&envelope["signatures"][0]["sig"]);
    judged_by_openssl(signer, &message, &signature);
    serde_json::from_slice(&text).unwrap()
}

fn blob(registry: &Registry, digest: &str) -> Vec<u8> {
    let hex = digest.trim_start_matches("sha256:");
    let mut files = registry.blob_files().into_iter();
    let file = files.find(|file| file.to_string_lossy().contains(hex));
    std::fs::read(file.expect("the blob is there")).unwrap()
}

/// The bundles beside an image, with the types that they are annotated with.
pub fn bundles(registry: &Registry, digest: &str) -> Vec<(String, Value)> {
    let index = registry.manifest("app", &digest.replace(':', "-"));
    let entries = index["manifests"].as_array().unwrap();
    let mut found = Vec::new();
    for entry in entries {
        assert_eq!(
            entry["artifactType"],
            "application/vnd.dev.sigstore.bundle.v0.3+json"
        );
        let manifest = registry.json(entry["digest"].as_str().unwrap());
        assert_eq!(manifest["subject"]["digest"], digest);
        let kind = &manifest["annotations"]["dev.sigstore.bundle.predicateType"];
        let layer = manifest["layers"][0]["digest"].as_str().unwrap();
        let bundle = serde_json::from_slice(&blob(registry, layer)).unwrap();
        found.push((kind.as_str().unwrap().to_string(), bundle));
    }
    found
}

#[test]
fn a_push_signs_the_image_and_says_what_each_platform_holds() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let attested = "sign key=\"cosign.key\"; attest \"cyclonedx\" \"spdx\"";
    let project = project(&registry, &signer, attested);
    let imgmake = Imgmake::new();
    let ran = imgmake.ok(project.path(), &["release"]);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("attached a signature"));
    // Only the tag was pushed, as far as programs and people are told.
    let pushed = ran.stdout.lines().filter(|line| line.contains("pushed"));
    let expected = format!("{}/app:1@sha256:", registry.host);
    assert_eq!(pushed.count(), 1, "{}", ran.stdout);
    assert!(ran.stdout.contains(&expected), "{}", ran.stdout);

    // cosign's older form.
    let digest = registry.digest("app", "1").unwrap();
    let manifest = registry.manifest("app", &tag(&digest));
    let layer = &manifest["layers"][0];
    let payload = blob(&registry, layer["digest"].as_str().unwrap());
    let signature = decoded(&layer["annotations"]["dev.cosignproject.cosign/signature"]);
    judged_by_openssl(&signer, &payload, &signature);
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        payload["critical"]["image"]["docker-manifest-digest"],
        digest.as_str()
    );

    // The bundle of the index, and two of each platform.
    let index = registry.manifest("app", "1");
    let mut kinds = Vec::new();
    let children = index["manifests"].as_array().unwrap().iter();
    let children = children.map(|child| child["digest"].as_str().unwrap().to_string());
    for image in std::iter::once(digest.clone()).chain(children) {
        for (kind, bundle) in bundles(&registry, &image) {
            let statement = opened(&signer, &bundle);
            let subject = &statement["subject"][0]["digest"]["sha256"];
            assert_eq!(format!("sha256:{}", subject.as_str().unwrap()), image);
            assert_eq!(statement["predicateType"], kind.as_str());
            if kind == "https://cyclonedx.org/bom" {
                let components = statement["predicate"]["components"].to_string();
                assert!(
                    components.contains("pkg:npm/left-pad@1.3.0"),
                    "{components}"
                );
            }
            kinds.push(kind);
        }
    }
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "https://cyclonedx.org/bom",
            "https://cyclonedx.org/bom",
            "https://sigstore.dev/cosign/sign/v1",
            "https://spdx.dev/Document",
            "https://spdx.dev/Document",
        ]
    );

    // Nothing is added by a second push, and it is said to be so.
    let before = registry.blobs();
    imgmake.ok(project.path(), &["--force", "release"]);
    assert_eq!(registry.blobs(), before);
}

#[test]
fn verify_says_what_a_key_signed_and_refuses_everything_else() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let signed = project(
        &registry,
        &signer,
        "sign key=\"cosign.key\"; attest \"cyclonedx\"",
    );
    let imgmake = Imgmake::new();
    imgmake.ok(signed.path(), &["release"]);
    let (path, image) = (signed.path(), format!("{}/app:1", registry.host));
    let digest = registry.digest("app", "1").unwrap();

    // A key is looked for where the program is told to work.
    let there = [
        "-C",
        path.to_str().unwrap(),
        "verify",
        &image,
        "-k",
        "cosign.pub",
    ];
    imgmake.ok(std::path::Path::new("/"), &there);
    let ran = imgmake.ok(path, &["verify", &image, "--key", "cosign.pub"]);
    let expected = format!("{image} is {digest}\nsignature: signed with `cosign.pub`\n");
    assert_eq!(ran.stdout, expected);
    let documents = [
        "verify",
        &image,
        "-k",
        "cosign.pub",
        "--type",
        "cyclonedx",
        "--format",
        "json",
    ];
    let ran = imgmake.ok(path, &documents);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["verified"].as_array().unwrap().len(), 2);
    let components = found["verified"][1]["predicate"]["components"].to_string();
    assert!(components.contains("left-pad"), "{components}");

    let other = Signer::new("P-256");
    std::fs::copy(other.public(), path.join("other.pub")).unwrap();
    let asked = ["verify", &image, "-k", "other.pub"];
    imgmake.refused(
        path,
        &asked,
        3,
        &["has no signature by `other.pub`", "none is valid"],
    );
    let asked = ["verify", &image, "-k", "cosign.pub", "-t", "spdx"];
    imgmake.refused(
        path,
        &asked,
        3,
        &["has no SPDX document that is signed by `cosign.pub`"],
    );
    let asked = ["verify", &image, "-k", "cosign.key"];
    imgmake.refused(path, &asked, 2, &["it contains a private key"]);
    let gone = format!("{}/app:2", registry.host);
    let asked = ["verify", &gone, "-k", "cosign.pub"];
    imgmake.refused(path, &asked, 4, &["cannot pull the manifest `2`"]);
}

/// What this program signs, its own policy for bases accepts.
#[test]
fn an_image_that_is_signed_here_is_a_base_that_is_signed() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let project = project(&registry, &signer, "sign key=\"cosign.key\"");
    let imgmake = Imgmake::new();
    imgmake.ok(project.path(), &["release"]);
    let next = temporary();
    let image = format!("{}/app:1", registry.host);
    let manifest = "imgmake version=1 { bases { require-signature key=\"cosign.pub\" } }\nbuild next { context \".\" }\n";
    write(next.path(), "imgmake.kdl", manifest);
    write(
        next.path(),
        "Dockerfile",
        format!("FROM {image}\nCOPY Dockerfile /\n"),
    );
    std::fs::copy(signer.public(), next.path().join("cosign.pub")).unwrap();
    imgmake.ok(next.path(), &[]);
    let other = Signer::new("P-256");
    std::fs::copy(other.public(), next.path().join("cosign.pub")).unwrap();
    imgmake.refused(
        next.path(),
        &["--force", "--pull"],
        3,
        &["is not signed by"],
    );
}

#[test]
fn a_key_that_cannot_sign_is_found_before_anything_is_pushed() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let imgmake = Imgmake::new();
    let project = project(&registry, &signer, "sign key=\"cosign.key\"");
    let path = project.path();
    for (key, message) in [
        (
            Signer::new("P-384").private(),
            "not of the kind ECDSA P-256",
        ),
        (signer.public(), "it contains a public key"),
    ] {
        std::fs::copy(key, path.join("cosign.key")).unwrap();
        imgmake.refused(
            path,
            &["release"],
            1,
            &["cannot sign with the key `cosign.key`", message],
        );
    }
    std::fs::remove_file(path.join("cosign.key")).unwrap();
    imgmake.refused(
        path,
        &["release"],
        1,
        &["cannot sign with the key `cosign.key`"],
    );
    let encrypted = include_str!("../../crates/imgmake-oci/tests/data/keys/encrypted.key");
    write(path, "cosign.key", encrypted);
    imgmake.refused(
        path,
        &["release"],
        1,
        &["no password is given", "COSIGN_PASSWORD"],
    );
    assert_eq!(registry.tags(), Vec::<String>::new());
    let knows = Imgmake::new().with("COSIGN_PASSWORD", "open sesame");
    knows.ok(path, &["release"]);
    assert!(registry.digest("app", "1").is_some());
}

/// What is beside the sources gets into an image by `COPY . .`; the key that signs it must not.
#[test]
fn a_private_key_in_the_context_stays_out_of_the_image() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let project = project(&registry, &signer, "sign key=\"cosign.key\"");
    let path = project.path();
    write(path, "Dockerfile", "FROM scratch\nCOPY . /all/\n");
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["release"]);
    let layer = registry.manifest("app", "1")["manifests"][0]["digest"].clone();
    let layer = registry.json(layer.as_str().unwrap())["layers"][0]["digest"].clone();
    let unpacked = temporary();
    let file = unpacked.path().join("layer.tgz");
    std::fs::write(&file, blob(&registry, layer.as_str().unwrap())).unwrap();
    let names = run("tar", &["-tzf", file.to_str().unwrap()]);
    assert!(names.contains("all/cosign.pub"), "{names}");
    assert!(!names.contains("cosign.key"), "{names}");
}

/// An entry in the list of referrers whose document is gone says nothing about the next one.
#[test]
fn a_referrer_that_is_gone_hides_no_other_one() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let attested = "sign key=\"cosign.key\"; attest \"cyclonedx\" \"spdx\"";
    let project = project(&registry, &signer, attested);
    let imgmake = Imgmake::new();
    imgmake.ok(project.path(), &["release"]);
    let index = registry.manifest("app", "1");
    for child in index["manifests"].as_array().unwrap() {
        let image = child["digest"].as_str().unwrap().replace(':', "-");
        let first = registry.manifest("app", &image)["manifests"][0]["digest"].clone();
        let bundle = registry.json(first.as_str().unwrap())["layers"][0]["digest"].clone();
        let hex = bundle.as_str().unwrap().trim_start_matches("sha256:");
        let mut files = registry.blob_files().into_iter();
        let file = files.find(|file| file.to_string_lossy().contains(hex));
        std::fs::remove_file(file.unwrap()).unwrap();
    }
    let name = format!("{}/app:1", registry.host);
    let asked = |kind| ["verify", name.as_str(), "-k", "cosign.pub", "-t", kind];
    imgmake.ok(project.path(), &asked("spdx"));
    imgmake.refused(project.path(), &asked("cyclonedx"), 3, &["none is valid"]);
}

/// An index without images has nothing that could be verified.
#[test]
fn an_index_without_an_image_is_not_verified() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let empty = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [],
    });
    put_manifest(&registry, "app", "none", &empty);
    let place = temporary();
    std::fs::copy(signer.public(), place.path().join("cosign.pub")).unwrap();
    let name = format!("{}/app:none", registry.host);
    let asked = ["verify", &name, "-k", "cosign.pub", "-t", "spdx"];
    Imgmake::new().refused(place.path(), &asked, 3, &["contains no image"]);
}

/// Keys of CI systems are variables.
#[test]
fn a_key_may_be_a_secret_and_its_password_another() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let sign = "sign key=(secret)key password=(secret)word";
    let project = project(&registry, &signer, sign);
    let declared = "secret key env=\"SIGNING_KEY\"\nsecret word env=\"WORD\"\n";
    let path = project.path();
    let manifest = std::fs::read_to_string(path.join("imgmake.kdl")).unwrap();
    write(path, "imgmake.kdl", format!("{declared}{manifest}"));
    let key = include_str!("../../crates/imgmake-oci/tests/data/keys/encrypted.key");
    let given = Imgmake::new()
        .with("SIGNING_KEY", key)
        .with("WORD", "open sesame");
    given.ok(path, &["release"]);
    let wrong = Imgmake::new().with("SIGNING_KEY", key).with("WORD", "shut");
    wrong.refused(path, &["--force", "release"], 1, &["the password is wrong"]);
    Imgmake::new().refused(
        path,
        &["--force", "release"],
        1,
        &["the variable `SIGNING_KEY` is not set"],
    );
}

/// The key is a text or a file; what is built only is not signed.
#[test]
fn a_plugins_step_signs_what_it_pushes() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let workspace = temporary();
    let path = workspace.path();
    write(path, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    std::fs::copy(signer.public(), path.join("cosign.pub")).unwrap();
    let text = std::fs::read_to_string(signer.private()).unwrap();
    let file = signer.private().display().to_string();
    for (tag, key) in [("text", &text), ("file", &file)] {
        let image = format!("{}/{tag}", registry.host);
        let step = || {
            Imgmake::new()
                .with("PLUGIN_REPO", &image)
                .with("PLUGIN_TAGS", "1")
                .with("PLUGIN_COSIGN_PRIVATE_KEY", key)
        };
        let plugin = ["plugin", "--as", "drone-docker"];
        step().with("PLUGIN_DRY_RUN", "true").ok(path, &plugin);
        let ran = step().ok(path, &plugin);
        let log = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!log.contains("PRIVATE KEY"), "{log}");
        let name = format!("{image}:1");
        Imgmake::new().ok(path, &["verify", &name, "-k", "cosign.pub"]);
    }
}

#[test]
fn without_a_key_documents_are_attached_unsigned_and_verify_does_not_take_them() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let project = project(&registry, &signer, "attest \"spdx\"");
    let imgmake = Imgmake::new();
    imgmake.ok(project.path(), &["release"]);
    let index = registry.manifest("app", "1");
    let image = index["manifests"][0]["digest"].as_str().unwrap();
    let beside = registry.manifest("app", &image.replace(':', "-"));
    assert_eq!(
        beside["manifests"][0]["artifactType"],
        "application/vnd.in-toto+json"
    );
    let name = format!("{}/app:1", registry.host);
    let asked = ["verify", &name, "-k", "cosign.pub", "-t", "spdx"];
    imgmake.refused(
        project.path(),
        &asked,
        3,
        &["it has no signature and no signed document"],
    );
    let again = imgmake.ok(project.path(), &["--force", "release"]);
    let said = format!("{}{}", again.stdout, again.stderr);
    assert!(!said.contains("attached"), "{said}");
}
