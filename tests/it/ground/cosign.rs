//! cosign's signatures, made with `openssl` as its specification says, and put into a
//! registry where cosign puts them.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::registry::Registry;
use super::{run, temporary};

/// A pair of keys.
pub struct Signer {
    directory: tempfile::TempDir,
    kind: &'static str,
}

/// One layer of a manifest of signatures.
pub struct Signature {
    pub payload: Vec<u8>,
    /// Base64.
    pub signature: String,
    pub media_type: &'static str,
}

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What cosign signs.
pub fn payload(digest: &str) -> Vec<u8> {
    payload_of(digest, "cosign container image signature")
}

pub fn payload_of(digest: &str, kind: &str) -> Vec<u8> {
    let payload = json!({"critical": {
        "identity": {"docker-reference": "elsewhere.example/where/it/was/signed"},
        "image": {"docker-manifest-digest": digest},
        "type": kind,
    }, "optional": null});
    payload.to_string().into_bytes()
}

impl Signer {
    /// `P-256`, `P-384`, `ED25519`, `RSA-2048` or `RSA-1024`.
    pub fn new(kind: &'static str) -> Signer {
        let directory = temporary();
        let signer = Signer { directory, kind };
        let private = signer.private().display().to_string();
        let mut arguments = vec!["genpkey", "-quiet", "-out", &private, "-algorithm"];
        let bits;
        match kind.split_once('-') {
            Some(("P", _)) => {
                bits = format!("ec_paramgen_curve:{kind}");
                arguments.extend(["EC", "-pkeyopt", &bits]);
            }
            Some((_, size)) => {
                bits = format!("rsa_keygen_bits:{size}");
                arguments.extend(["RSA", "-pkeyopt", &bits]);
            }
            None => arguments.push(kind),
        }
        run("openssl", &arguments);
        let public = signer.public().display().to_string();
        run(
            "openssl",
            &["pkey", "-in", &private, "-pubout", "-out", &public],
        );
        signer
    }

    pub fn private(&self) -> PathBuf {
        self.directory.path().join("cosign.key")
    }

    pub fn public(&self) -> PathBuf {
        self.directory.path().join("cosign.pub")
    }

    pub fn sign(&self, payload: Vec<u8>) -> Signature {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let (message, signature) = (path("message"), path("signature"));
        std::fs::write(&message, &payload).unwrap();
        let private = self.private().display().to_string();
        match self.kind {
            "ED25519" => run(
                "openssl",
                &[
                    "pkeyutl", "-sign", "-rawin", "-inkey", &private, "-in", &message, "-out",
                    &signature,
                ],
            ),
            _ => run(
                "openssl",
                &[
                    "dgst", "-sha256", "-sign", &private, "-out", &signature, &message,
                ],
            ),
        };
        Signature {
            payload,
            signature: STANDARD.encode(std::fs::read(&signature).unwrap()),
            media_type: SIMPLE_SIGNING,
        }
    }
}

/// cosign's tag for the signatures of an image.
pub fn tag(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}

/// Puts signatures under cosign's tag.
pub fn attach(registry: &Registry, repository: &str, digest: &str, signatures: &[Signature]) {
    let manifest = manifest(registry, repository, signatures);
    put_manifest(registry, repository, &tag(digest), &manifest);
}

/// Puts signatures among the referrers of an image: this registry has no API for them, so
/// that the list is the fallback tag's.
pub fn refer(
    registry: &Registry,
    repository: &str,
    digest: &str,
    kind: &str,
    signatures: &[Signature],
) {
    let mut manifest = manifest(registry, repository, signatures);
    manifest["config"]["mediaType"] = json!(kind);
    manifest["subject"] = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
    });
    let bytes = manifest.to_string();
    let own = put_manifest(registry, repository, "signatures", &manifest);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": kind, "digest": own, "size": bytes.len(),
        }],
    });
    put_manifest(registry, repository, &digest.replace(':', "-"), &index);
}

fn manifest(registry: &Registry, repository: &str, signatures: &[Signature]) -> Value {
    let config = put_blob(registry, repository, b"{}");
    let layers: Vec<Value> = signatures
        .iter()
        .map(|one| {
            json!({
                "mediaType": one.media_type,
                "digest": put_blob(registry, repository, &one.payload),
                "size": one.payload.len(),
                "annotations": {"dev.cosignproject.cosign/signature": one.signature},
            })
        })
        .collect();
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": layers,
    })
}

fn digest_of(bytes: &[u8]) -> String {
    imgmake_oci::image::Digest::of(bytes).to_string()
}

/// Sends a file with curl, and demands success; what curl prints.
fn send(arguments: &[&str], bytes: &[u8]) -> String {
    let directory = temporary();
    let file = directory.path().join("body");
    std::fs::write(&file, bytes).unwrap();
    let body = format!("@{}", file.display());
    let common = ["-sS", "--fail-with-body", "--data-binary", &body];
    run("curl", &[&common, arguments].concat())
}

pub fn put_blob(registry: &Registry, repository: &str, bytes: &[u8]) -> String {
    let digest = digest_of(bytes);
    let url = format!("http://{}/v2/{repository}/blobs/uploads/", registry.host);
    let location = send(
        &[
            "-X",
            "POST",
            "-o",
            "/dev/null",
            "-w",
            "%header{location}",
            &url,
        ],
        b"",
    );
    let url = format!("{location}&digest={digest}");
    let octets = "Content-Type: application/octet-stream";
    send(&["-X", "PUT", "-H", octets, &url], bytes);
    digest
}

pub fn put_manifest(registry: &Registry, repository: &str, tag: &str, manifest: &Value) -> String {
    let bytes = manifest.to_string();
    let url = format!("http://{}/v2/{repository}/manifests/{tag}", registry.host);
    let kind = format!("Content-Type: {}", manifest["mediaType"].as_str().unwrap());
    send(&["-X", "PUT", "-H", &kind, &url], bytes.as_bytes());
    digest_of(bytes.as_bytes())
}
