//! `verify` by a certificate: an authority, a log and a signer are made with openssl, and what they signed lies in a
//! registry as cosign puts it there. Which refusal has which reason is in the unit tests of the signatures.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imgmake_oci::image::Digest;
use imgmake_oci::signature::{SigningKey, Statement, bundle, predicate};
use serde_json::{Value, json};

use crate::ground::cosign::{put_blob, put_manifest};
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

const ME: &str = "https://ci.example.com/acme/app/release.yml";
const LOGIN: &str = "https://login.example.com";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// `root.crt`, `leaf.crt` and `log.pub` in a directory; the certificate is valid from now on.
fn authority(place: &Path) {
    let file = |name: &str| place.join(name).display().to_string();
    let openssl = |arguments: &[&str]| {
        run("openssl", arguments);
    };
    for name in ["root", "other", "leaf", "log"] {
        let key = file(&format!("{name}.key"));
        let kind = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        openssl(&[&["genpkey", "-quiet", "-out", &key][..], &kind].concat());
    }
    openssl(&[
        "pkey",
        "-in",
        &file("log.key"),
        "-pubout",
        "-out",
        &file("log.pub"),
    ]);
    for name in ["root", "other"] {
        let (key, out) = (file(&format!("{name}.key")), file(&format!("{name}.crt")));
        openssl(&[
            "req", "-x509", "-key", &key, "-out", &out, "-days", "2", "-subj", "/CN=root",
        ]);
    }
    let extensions = format!(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\nsubjectAltName=critical,URI:{ME}\n1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:{LOGIN}\n"
    );
    write(place, "extensions", extensions);
    let (key, request) = (file("leaf.key"), file("request"));
    openssl(&["req", "-new", "-key", &key, "-subj", "/", "-out", &request]);
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &file("root.crt"),
        "-CAkey",
        &file("root.key"),
        "-CAcreateserial",
        "-days",
        "1",
        "-extfile",
        &file("extensions"),
        "-out",
        &file("leaf.crt"),
    ]);
}

fn der(pem: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(pem).unwrap();
    let body = text.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(body.collect::<String>()).unwrap()
}

fn key(place: &Path, name: &str) -> SigningKey {
    SigningKey::from_pem(&std::fs::read(place.join(name)).unwrap(), None).unwrap()
}

/// A bundle that says that the image is signed, with the entry of a log.
fn signed(place: &Path, image: &str) -> Value {
    let image: Digest = image.parse().unwrap();
    let about = Statement::of(&image, "", predicate::SIGNATURE, json!({}));
    sealed(place, &about)
}

/// The same of any statement.
fn sealed(place: &Path, about: &Statement) -> Value {
    let sealed = bundle::seal(about, &key(place, "leaf.key"));
    let mut bundle: Value = serde_json::from_slice(&sealed).unwrap();
    let envelope = &bundle["dsseEnvelope"];
    let payload = STANDARD
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    let certificate = std::fs::read(place.join("leaf.crt")).unwrap();
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "dsse",
        "spec": {
            "payloadHash": {"algorithm": "sha256", "value": Digest::of(&payload).hex()},
            "signatures": [{
                "signature": envelope["signatures"][0]["sig"],
                "verifier": STANDARD.encode(certificate),
            }],
        },
    });
    let body = STANDARD.encode(body.to_string());
    let log = Digest::of(&der(&place.join("log.pub")));
    let id = STANDARD.encode(hex::decode(log.hex()).unwrap());
    let time = jiff::Timestamp::now().as_second();
    let promised = json!({"body": body, "integratedTime": time, "logID": log.hex(), "logIndex": 1});
    let promise = key(place, "log.key").sign(promised.to_string().as_bytes());
    bundle["verificationMaterial"] = json!({
        "certificate": {"rawBytes": STANDARD.encode(der(&place.join("leaf.crt")))},
        "tlogEntries": [{
            "logIndex": "1",
            "logId": {"keyId": id},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": time.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(promise)},
            "canonicalizedBody": body,
        }],
    });
    bundle
}

/// Puts a bundle beside an image, as cosign 3 does.
fn attach(registry: &Registry, image: &str, bundle: &Value) {
    let text = bundle.to_string();
    let layer = put_blob(registry, "app", text.as_bytes());
    let config = put_blob(registry, "app", b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": BUNDLE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": BUNDLE, "digest": layer, "size": text.len()}],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image, "size": 1},
    });
    let own = put_manifest(registry, "app", "bundle", &manifest);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": BUNDLE,
            "digest": own,
            "size": manifest.to_string().len(),
        }],
    });
    put_manifest(registry, "app", &image.replace(':', "-"), &index);
}

#[test]
fn verify_accepts_who_a_certificate_names_and_nobody_else() {
    let registry = Registry::start();
    let place = temporary();
    let path = place.path();
    authority(path);
    write(path, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let manifest = format!(
        "registry hub \"{}\"\nbuild app {{ context \".\" }}\npush release {{ images app; to hub {{ tags \"1\" }} }}\n",
        registry.host
    );
    write(path, "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["release"]);
    let image = registry.digest("app", "1").unwrap();
    let good = signed(path, &image);
    attach(&registry, &image, &good);
    let name = format!("{}/app:1", registry.host);
    let by = |root: &str, identity: &str, issuer: &str, more: &[&str]| -> Vec<String> {
        let asked = [
            "verify",
            &name,
            "--certificate-root",
            root,
            "--certificate-identity",
            identity,
            "--certificate-oidc-issuer",
            issuer,
        ];
        let all = asked.iter().chain(more);
        all.map(|one| one.to_string()).collect()
    };
    let ok = |asked: Vec<String>| {
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        imgmake.ok(path, &asked).stdout
    };
    let refused = |asked: Vec<String>, code: i32, says: &[&str]| {
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        imgmake.refused(path, &asked, code, says);
    };
    let log = ["--rekor-key", "log.pub"];
    let said = ok(by("root.crt", ME, LOGIN, &log));
    let expected =
        format!("{name} is {image}\nsignature: signed by a certificate of `{ME}` ({LOGIN})\n");
    assert_eq!(said, expected);
    let json = ok(by(
        "root.crt",
        ME,
        LOGIN,
        &[&log[..], &["--format", "json"]].concat(),
    ));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["verified"][0]["certificate"],
        json!({"identity": ME, "issuer": LOGIN})
    );

    let other = "https://login.example.org";
    refused(
        by("root.crt", "me@example.com", LOGIN, &log),
        3,
        &["no signature by a certificate of `me@example.com`", ME],
    );
    refused(
        by("root.crt", ME, other, &log),
        3,
        &["for a login at `https://login.example.com`"],
    );
    refused(
        by("other.crt", ME, LOGIN, &log),
        3,
        &["does not lead to a trusted root"],
    );
    refused(
        by("root.crt", ME, LOGIN, &[]),
        3,
        &["in a log that is not trusted"],
    );
    refused(
        by("log.pub", ME, LOGIN, &log),
        2,
        &["cannot use the certificates `log.pub`"],
    );
    refused(
        by("root.crt", ME, LOGIN, &["--rekor-key", "root.crt"]),
        2,
        &["cannot use the key `root.crt`"],
    );
    refused(
        by("root.crt", ME, LOGIN, &["-k", "log.pub"]),
        2,
        &["cannot be used with"],
    );
    let half = ["verify", &name, "--certificate-root", "root.crt"];
    imgmake.refused(path, &half, 2, &["--certificate-identity"]);

    // Without an entry the user must say that the clock will do.
    let mut bare = good.clone();
    bare["verificationMaterial"]["tlogEntries"] = json!([]);
    attach(&registry, &image, &bare);
    refused(
        by("root.crt", ME, LOGIN, &log),
        3,
        &["no entry in a transparency log"],
    );
    ok(by("root.crt", ME, LOGIN, &["--without-log-entry"]));
}

/// `certificate-root=… certificate-identity=…` of a manifest.
fn demand(identity: &str, issuer: &str) -> String {
    format!(
        "certificate-root=\"root.crt\" certificate-identity=\"{identity}\" certificate-oidc-issuer=\"{issuer}\" rekor-key=\"log.pub\""
    )
}

#[test]
fn a_base_may_be_signed_by_who_a_certificate_names() {
    let registry = Registry::start();
    let place = temporary();
    let path = place.path();
    authority(path);
    let host = &registry.host;
    write(path, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let base = format!(
        "registry hub \"{host}\"\nbuild app {{ context \".\" }}\npush release {{ images app; to hub {{ tags \"1\" }} }}\n"
    );
    write(path, "imgmake.kdl", base);
    Imgmake::new().ok(path, &["release"]);
    let image = registry.digest("app", "1").unwrap();
    let manifest = |demands: &str| {
        let text = format!(
            "imgmake version=1 {{ bases {{ {demands} }} }}\nbuild next {{ from \"{host}/app:1\"; file \"/x\" \"y\" }}\n"
        );
        write(path, "imgmake.kdl", text);
    };
    let refused = |demands: &str, code: i32, says: &[&str]| {
        manifest(demands);
        Imgmake::new().refused(path, &["next"], code, says);
    };
    let good = format!("require-signature {}", demand(ME, LOGIN));
    refused(
        &good,
        3,
        &["is not signed by a certificate of", "no signature found"],
    );
    attach(&registry, &image, &signed(path, &image));
    manifest(&good);
    Imgmake::new().ok(path, &["next"]);
    // One of several is enough.
    std::fs::copy(path.join("log.pub"), path.join("k.pub")).unwrap();
    manifest(&format!("require-signature key=\"k.pub\"; {good}"));
    Imgmake::new().ok(path, &["next"]);

    let of =
        |identity: &str, issuer: &str| format!("require-signature {}", demand(identity, issuer));
    let other = "https://login.example.org";
    refused(
        &of("me@example.com", LOGIN),
        3,
        &["is not signed by a certificate of `me@example.com`", ME],
    );
    refused(
        &of(ME, other),
        3,
        &["for a login at `https://login.example.com`"],
    );
    let root = good.replace("root.crt", "other.crt");
    refused(&root, 3, &["does not lead to a trusted root"]);
    let without_log = good.replace("rekor-key=\"log.pub\"", "");
    refused(&without_log, 3, &["in a log that is not trusted"]);
    refused(
        &good.replace("root.crt", "log.pub"),
        2,
        &["cannot use the certificates `log.pub`", "imgmake.kdl:1"],
    );
    refused(
        &format!("{good} key=\"k.pub\""),
        2,
        &["a key and a certificate exclude each other"],
    );
    let half = "require-signature certificate-root=\"root.crt\" certificate-oidc-issuer=\"x\"";
    refused(half, 2, &["`certificate-identity=\"…\"`"]);
    refused(&of("", LOGIN), 2, &["`certificate-identity=` is empty"]);
    refused("require-signature", 2, &["`key=\"base.pub\"`"]);
    // Signed about something else.
    let provenance = Statement::of(
        &image.parse().unwrap(),
        "",
        predicate::PROVENANCE,
        json!({}),
    );
    attach(&registry, &image, &sealed(path, &provenance));
    refused(&good, 3, &["is not signed by a certificate of"]);
}

#[test]
fn a_verdict_may_be_signed_by_who_a_certificate_names() {
    let registry = Registry::start();
    let place = temporary();
    let path = place.path();
    authority(path);
    let host = &registry.host;
    let package = r#"{"name":"left-pad","version":"1.3.0"}"#;
    write(path, "package.json", package);
    write(
        path,
        "Dockerfile",
        "FROM scratch\nCOPY package.json /app/node_modules/left-pad/\n",
    );
    let advisory = r#"{"id":"A-1","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"9.0.0"}]}]}]}"#;
    write(path, "advisories/npm/a.json", advisory);
    let manifest = |signer: &str| {
        let text = format!(
            "registry hub \"{host}\"\nbuild app {{ context \".\" }}\nscan gate {{ images app; advisories \"advisories\" }}\n\
             push release {{ images app; needs gate; to hub {{ tags \"1\" }}; sign key=\"other.key\"; attest \"verdict\" }}\n\
             push promote {{ from image=\"{host}/app:1\"; to hub {{ repository \"prod\"; tags \"1\" }}; needs-attestation gate {signer} }}\n"
        );
        write(path, "imgmake.kdl", text);
    };
    write(path, ".dockerignore", "*\n!package.json\n");
    let other = path.join("other.key").display().to_string();
    let public = path.join("other.pub").display().to_string();
    run(
        "openssl",
        &["pkey", "-in", &other, "-pubout", "-out", &public],
    );
    manifest(&demand(ME, LOGIN));
    Imgmake::new().ok(path, &["release"]);
    let image = registry.digest("app", "1").unwrap();
    let says = [
        "has no valid verdict of the gate `gate`",
        "signed by a certificate of",
        ME,
    ];
    Imgmake::new().refused(path, &["promote"], 3, &says);
    let name = format!("{host}/app:1");
    let asked = [
        "verify",
        &name,
        "--key",
        "other.pub",
        "--type",
        "verdict",
        "--format",
        "json",
    ];
    let printed: Value = serde_json::from_str(&Imgmake::new().ok(path, &asked).stdout).unwrap();
    let verdict = &printed["verified"][0];
    let kind = verdict["predicateType"].as_str().unwrap();
    let about = Statement::of(
        &image.parse().unwrap(),
        "",
        kind,
        verdict["predicate"].clone(),
    );
    attach(&registry, &image, &sealed(path, &about));
    manifest(&demand("me@example.com", LOGIN));
    let says = [
        "signed by a certificate of `me@example.com`",
        "its certificate is of",
        ME,
    ];
    Imgmake::new().refused(path, &["promote"], 3, &says);
    assert_eq!(registry.digest("prod", "1"), None);
    manifest(&demand(ME, LOGIN));
    Imgmake::new().ok(path, &["promote"]);
    assert_eq!(registry.digest("prod", "1"), Some(image));
}
