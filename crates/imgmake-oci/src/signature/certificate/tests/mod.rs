//! Certificates are made by openssl once a test runs: an authority as Fulcio is, with one between, and a log as Rekor
//! is. What is found good is what sigstore's own library finds good, too: `tests/it/certificates.rs` asks it.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::{payload_of, predicate};
use super::*;

mod ground;

use ground::*;

#[test]
fn a_certificate_says_who_signed_and_a_log_says_when() {
    let ground = Ground::new();
    let leaf = ground.leaf(&USUAL);
    let bundle = ground.bundle(&leaf, THEN);
    let trust = ground.trust();
    let statement = ground.unsealed(&bundle, &trust).unwrap();
    assert_eq!(statement.predicate_type, predicate::SPDX);
    let refused = |bundle: &Value, change: fn(&mut Demanded<'_>)| {
        ground.unsealed_by(bundle, &trust, change).unwrap_err()
    };
    let other = refused(&bundle, |d| {
        d.identity = "https://ci.example.com/acme/app/release.ymlx"
    });
    assert_eq!(other, Refusal::OtherIdentity(vec![ME.to_string()]));
    let other = refused(&bundle, |d| d.issuer = "https://login.example.org");
    assert_eq!(other, Refusal::OtherIssuer(LOGIN.to_string()));
    // An address of mail is a name, too.
    let mail = ground.leaf(&Leaf {
        identity: "me@example.com",
        ..USUAL
    });
    let found = ground.unsealed_by(&ground.bundle(&mail, THEN), &trust, |d| {
        d.identity = "me@example.com"
    });
    assert!(found.is_ok(), "{found:?}");
    // Of another image.
    let read = Trust::read(trust.to_string().as_bytes()).unwrap();
    let demanded = Demanded {
        trust: &read,
        identity: ME,
        issuer: LOGIN,
        without_entry: None,
    };
    let elsewhere = Digest::of(b"elsewhere");
    let other = demanded.unseal(bundle.to_string().as_bytes(), &[&elsewhere]);
    assert_eq!(other, Err(Refusal::OtherImage));
}

/// Cosign hashes with SHA-256 for each key, and with SHA-384 for these since its third version.
#[test]
fn keys_of_p384_sign_and_issue_too() {
    let ground = Ground::new();
    let place = ground.directory.path();
    for name in ["between", "leaf"] {
        let file = format!("{name}.key");
        let curve = "ec_paramgen_curve:P-384";
        openssl(
            place,
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                curve,
                "-out",
                &file,
            ],
        );
    }
    let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
    let (from, until) = ("20250101000000Z", "20350101000000Z");
    ground.certificate("between", "root", authority, from, until);
    let leaf = ground.leaf(&USUAL);
    let sealed = ground.bundle(&leaf, THEN);
    let payload = sealed["dsseEnvelope"]["payload"].as_str().unwrap();
    let payload = STANDARD.decode(payload).unwrap();
    let kind = sealed["dsseEnvelope"]["payloadType"].as_str().unwrap();
    let mut text = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    text.extend_from_slice(&payload);
    std::fs::write(place.join("text"), text).unwrap();
    for (hash, is_good) in [("-sha256", true), ("-sha384", true), ("-sha512", false)] {
        openssl(
            place,
            &[
                "dgst",
                hash,
                "-sign",
                "leaf.key",
                "-out",
                "signature",
                "text",
            ],
        );
        let signature = std::fs::read(place.join("signature")).unwrap();
        let mut bundle = sealed.clone();
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!(STANDARD.encode(signature));
        let bundle = ground.logged_bundle(&leaf, THEN, bundle);
        let found = ground.unsealed(&bundle, &ground.trust());
        assert_eq!(found.is_ok(), is_good, "{hash}: {found:?}");
    }
}

/// What is not supported is refused with its name, never passed.
#[test]
fn timestamps_and_newer_logs_are_refused_by_their_names() {
    let ground = Ground::new();
    let leaf = ground.leaf(&USUAL);
    let trust = ground.trust();
    let refused = |bundle: &Value| ground.unsealed(bundle, &trust).unwrap_err().to_string();
    let good = ground.bundle(&leaf, THEN);
    // Rekor's second version: no promise, a timestamp beside it.
    let mut newer = good.clone();
    let material = &mut newer["verificationMaterial"];
    material["tlogEntries"][0]["inclusionPromise"] = Value::Null;
    material["tlogEntries"][0]["integratedTime"] = json!("0");
    material["timestampVerificationData"] =
        json!({"rfc3161Timestamps": [{"signedTimestamp": "MAA="}]});
    assert!(refused(&newer).contains("timestamps of RFC 3161, and the second version of Rekor"));
    // A timestamp alone.
    material_without_entries(&mut newer);
    assert!(refused(&newer).contains("no entry in a transparency log"));
    // An entry of another kind, which the log promised.
    let body = json!({"apiVersion": "0.0.2", "kind": "intoto", "spec": {}});
    let mut other = good;
    other["verificationMaterial"]["tlogEntries"] = json!([ground.entry(&body, THEN)]);
    let says = "its entry in the transparency log is of the kind `intoto`, which is not supported";
    assert_eq!(refused(&other), says);
}

fn material_without_entries(bundle: &mut Value) {
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
}

#[test]
fn a_certificate_must_be_valid_when_it_signed() {
    let ground = Ground::new();
    let (leaf, trust) = (ground.leaf(&USUAL), ground.trust());
    for time in ["2026-03-01T09:58:00Z", "2026-03-01T10:10:00Z"] {
        let refused = ground
            .unsealed(&ground.bundle(&leaf, time), &trust)
            .unwrap_err();
        assert!(matches!(refused, Refusal::Expired { .. }), "{refused:?}");
    }
    // Nobody says when.
    let mut bare = ground.bundle(&leaf, THEN);
    bare["verificationMaterial"]["tlogEntries"] = json!([]);
    assert_eq!(ground.unsealed(&bare, &trust), Err(Refusal::NoEntry));
    // The user takes the clock for it.
    let now = |time: &str| {
        let time = time.parse().unwrap();
        ground.unsealed_by(&bare, &trust, |demanded| {
            demanded.without_entry = Some(time)
        })
    };
    assert!(now(THEN).is_ok());
    assert!(matches!(
        now("2026-03-02T10:00:00Z"),
        Err(Refusal::Expired { .. })
    ));
    // An entry is what it must be, all the same.
    let mut changed = ground.bundle(&leaf, THEN);
    changed["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = json!("1772359201");
    let time = THEN.parse().unwrap();
    let refused = ground.unsealed_by(&changed, &trust, |demanded| {
        demanded.without_entry = Some(time)
    });
    assert_eq!(refused, Err(Refusal::Entry));
}

#[test]
fn an_entry_is_what_the_log_promised_and_about_this_signature() {
    let ground = Ground::new();
    let (leaf, trust) = (ground.leaf(&USUAL), ground.trust());
    let good = ground.bundle(&leaf, THEN);
    let entry = |change: &dyn Fn(&mut Value)| {
        let mut bundle = good.clone();
        change(&mut bundle["verificationMaterial"]["tlogEntries"][0]);
        ground.unsealed(&bundle, &trust).unwrap_err()
    };
    assert_eq!(
        entry(&|entry| entry["integratedTime"] = json!("1772359260")),
        Refusal::Entry
    );
    assert_eq!(
        entry(&|entry| entry["logIndex"] = json!("8")),
        Refusal::Entry
    );
    assert_eq!(
        entry(&|entry| entry["canonicalizedBody"] = json!(STANDARD.encode("{}"))),
        Refusal::Entry
    );
    assert_eq!(
        entry(&|entry| entry["inclusionPromise"] = Value::Null),
        Refusal::NoPromise
    );
    assert_eq!(
        entry(&|entry| entry["logId"]["keyId"] = json!(STANDARD.encode("x"))),
        Refusal::OtherLog
    );
    // One of an earlier signature by the same certificate, of something else.
    let mut swapped = good.clone();
    let other = ground.bundle(&leaf, THEN);
    swapped["verificationMaterial"]["tlogEntries"] =
        other["verificationMaterial"]["tlogEntries"].clone();
    assert_eq!(ground.unsealed(&swapped, &trust), Err(Refusal::OtherEntry));
    // Of the same signature by another certificate: its time says nothing about this one.
    let late = ground.leaf(&Leaf {
        from: "20260401000000Z",
        until: "20260401001000Z",
        ..USUAL
    });
    let mut renewed = good.clone();
    renewed["verificationMaterial"]["certificate"]["rawBytes"] = json!(STANDARD.encode(&late));
    assert_eq!(ground.unsealed(&renewed, &trust), Err(Refusal::OtherEntry));
    // The log's key was not in use then.
    let mut old = trust.clone();
    old["tlogs"][0]["publicKey"]["validFor"] =
        json!({"start": "2025-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"});
    assert_eq!(ground.unsealed(&good, &old), Err(Refusal::OtherLog));
    let mut none = trust.clone();
    none["tlogs"] = json!([]);
    assert_eq!(ground.unsealed(&good, &none), Err(Refusal::OtherLog));
}

#[test]
fn a_chain_leads_to_a_trusted_authority() {
    let ground = Ground::new();
    let (leaf, trust) = (ground.leaf(&USUAL), ground.trust());
    let good = ground.bundle(&leaf, THEN);
    let raw = |name: &str| json!({"rawBytes": STANDARD.encode(ground.der(name))});
    let with = |chain: Value, valid: Value| {
        let mut trust = trust.clone();
        trust["certificateAuthorities"][0] =
            json!({"certChain": {"certificates": chain}, "validFor": valid});
        ground.unsealed(&good, &trust)
    };
    let any = json!({});
    assert!(matches!(
        with(json!([raw("other")]), any.clone()),
        Err(Refusal::Chain(_))
    ));
    // The one between is not there; it is trusted itself; the bundle has it.
    assert!(matches!(
        with(json!([raw("root")]), any.clone()),
        Err(Refusal::Chain(_))
    ));
    assert!(with(json!([raw("between")]), any.clone()).is_ok());
    let mut chained = good.clone();
    let material = &mut chained["verificationMaterial"];
    material["x509CertificateChain"] =
        json!({"certificates": [material["certificate"], raw("between")]});
    material["certificate"] = Value::Null;
    let mut root = trust.clone();
    root["certificateAuthorities"][0] = json!({"certChain": {"certificates": [raw("root")]}});
    assert!(ground.unsealed(&chained, &root).is_ok());
    // It was trusted at another time.
    let past = json!({"start": "2025-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"});
    assert!(matches!(
        with(json!([raw("between"), raw("root")]), past),
        Err(Refusal::Chain(_))
    ));
    // The key of another certificate.
    let mut forged = good.clone();
    forged["dsseEnvelope"]["payload"] = json!(STANDARD.encode("{}"));
    assert_eq!(ground.unsealed(&forged, &trust), Err(Refusal::OtherEntry));
}

#[test]
fn a_certificate_is_one_for_signatures_of_documents() {
    let ground = Ground::new();
    let trust = ground.trust();
    let refused = |leaf: &Leaf| {
        ground
            .unsealed(&ground.bundle(&ground.leaf(leaf), THEN), &trust)
            .unwrap_err()
    };
    assert_eq!(
        refused(&Leaf {
            usage: "critical,keyAgreement",
            ..USUAL
        }),
        Refusal::Usage
    );
    assert_eq!(
        refused(&Leaf {
            purpose: "serverAuth",
            ..USUAL
        }),
        Refusal::Usage
    );
    let authority = refused(&Leaf {
        is_authority: "TRUE",
        ..USUAL
    });
    assert!(matches!(authority, Refusal::Chain(_)), "{authority:?}");
    let extensions = format!(
        "keyUsage=digitalSignature\nsubjectAltName=URI:{ME}\n1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:{LOGIN}\n"
    );
    ground.certificate("leaf", "between", &extensions, USUAL.from, USUAL.until);
    let bundle = ground.bundle(&ground.der("leaf"), THEN);
    assert_eq!(ground.unsealed(&bundle, &trust), Err(Refusal::Usage));
    // Without the extension nobody says who logged in.
    ground.certificate(
        "leaf",
        "between",
        &format!(
            "keyUsage=digitalSignature\nextendedKeyUsage=codeSigning\nsubjectAltName=URI:{ME}\n"
        ),
        USUAL.from,
        USUAL.until,
    );
    let bundle = ground.bundle(&ground.der("leaf"), THEN);
    assert_eq!(ground.unsealed(&bundle, &trust), Err(Refusal::NoIssuer));
    // Both forms must agree.
    ground.certificate(
        "leaf",
        "between",
        &format!("keyUsage=digitalSignature\nextendedKeyUsage=codeSigning\nsubjectAltName=URI:{ME}\n1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:{LOGIN}\n1.3.6.1.4.1.57264.1.1=DER:{}\n", hex::encode("https://other")),
        USUAL.from,
        USUAL.until,
    );
    let bundle = ground.bundle(&ground.der("leaf"), THEN);
    assert_eq!(
        ground.unsealed(&bundle, &trust),
        Err(Refusal::OtherIssuer("https://other".into()))
    );
}

/// The log of certificates signs a certificate without its own signature in it (RFC 6962, 3.2).
#[test]
fn a_log_of_certificates_has_the_certificate() {
    let ground = Ground::new();
    let before = ground.leaf(&USUAL);
    let mut trust = ground.trust();
    trust["ctlogs"] = trust["tlogs"].clone();
    let refused = ground.unsealed(&ground.bundle(&before, THEN), &trust);
    assert_eq!(refused, Err(Refusal::NotLogged));
    let parts = Parts::of(&before).unwrap();
    let without = parts.without(oid::TIMESTAMPS);
    // The parts are put together as they were.
    assert!(before.windows(without.len()).any(|part| part == without));
    let key = ground.issuer_key();
    let issuer = digest(&SHA256, &key);
    let stamped = |time: i64, issuer: &[u8]| ground.stamped(&without, time, issuer);
    let is_logged = |list: &[u8], issuer: &[u8]| {
        let certificate = ground.logged(&before, list);
        let parts = Parts::of(&certificate).unwrap();
        assert_eq!(parts.without(oid::TIMESTAMPS), without);
        let read = Trust::read(trust.to_string().as_bytes()).unwrap();
        let is_logged = timestamps::is_logged(&parts, issuer, &read.certificate_logs);
        if issuer == key {
            let found = ground.unsealed(&ground.bundle(&certificate, THEN), &trust);
            match is_logged {
                true => assert!(found.is_ok(), "{found:?}"),
                false => assert_eq!(found, Err(Refusal::NotLogged)),
            }
        }
        is_logged
    };
    let then = 1_772_359_200;
    let good = stamped(then, issuer.as_ref());
    assert!(is_logged(&good, &key));
    assert!(!is_logged(&good, b"another issuer"));
    assert!(!is_logged(&stamped(then, &[0; 32]), &key));
    // Before the log's key was in use.
    assert!(!is_logged(&stamped(1_700_000_000, issuer.as_ref()), &key));
    for at in [3, 40, good.len() - 1] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(!is_logged(&changed, &key), "{at}");
    }
}

/// cosign's older form: certificate, chain and entry are annotations.
#[test]
fn a_payload_has_its_certificate_beside_it() {
    let ground = Ground::new();
    let leaf = ground.leaf(&USUAL);
    let payload = payload_of("registry.example/app", &image());
    let signature = STANDARD.encode(ground.key.sign(&payload));
    let body = json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hex::encode(digest(&SHA256, &payload))}},
            "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(pem_of(&leaf))}},
        },
    });
    let entry = ground.entry(&body, THEN);
    let id = hex::encode(digest(&SHA256, &ground.log_key()));
    let entry = json!({
        "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
        "Payload": {
            "body": entry["canonicalizedBody"],
            "integratedTime": entry["integratedTime"].as_str().unwrap().parse::<i64>().unwrap(),
            "logIndex": 7,
            "logID": id,
        },
    });
    let (certificate, entry) = (pem_of(&leaf), entry.to_string());
    let trust = Trust::read(ground.trust().to_string().as_bytes()).unwrap();
    let demanded = Demanded {
        trust: &trust,
        identity: ME,
        issuer: LOGIN,
        without_entry: None,
    };
    let judged = |entry: Option<&str>, payload: &[u8]| {
        let annotation = |name: &str| match name {
            CERTIFICATE_ANNOTATION => Some(certificate.as_str()),
            ENTRY_ANNOTATION => entry,
            _ => None,
        };
        demanded.judge(payload, &signature, annotation, &[&image()])
    };
    assert_eq!(judged(Some(&entry), &payload), Ok(()));
    assert_eq!(judged(None, &payload), Err(Refusal::NoEntry));
    assert_eq!(judged(Some("{}"), &payload), Err(Refusal::Entry));
    let other = payload_of("registry.example/app", &Digest::of(b"elsewhere"));
    assert_eq!(judged(Some(&entry), &other), Err(Refusal::OtherEntry));
    let bare = demanded.judge(&payload, &signature, |_| None, &[&image()]);
    assert_eq!(bare, Err(Refusal::NoCertificate));
}

#[test]
fn a_file_of_trust_names_an_authority() {
    let error = |text: &str| Trust::read(text.as_bytes()).unwrap_err();
    assert_eq!(error("text"), TrustError::NotFound);
    assert_eq!(error("{}"), TrustError::NoAuthority);
    assert!(matches!(error("{\"tlogs\": 1}"), TrustError::Json(_)));
    assert_eq!(error(&pem_of(b"no certificate")), TrustError::Certificate);
    let ground = Ground::new();
    let both = format!("{}{}", ground.pem("root"), ground.pem("other"));
    let mut trust = Trust::read(both.as_bytes()).unwrap();
    assert_eq!(trust.authorities.len(), 2);
    assert!(trust.add_log(b"text").is_err());
    let pem = std::fs::read(ground.path("log.pub"));
    assert!(pem.is_err());
    ground.log_key();
    trust
        .add_log(&std::fs::read(ground.path("log.pub")).unwrap())
        .unwrap();
    assert_eq!(
        trust.logs[0].id,
        digest(&SHA256, &ground.log_key()).as_ref()
    );
}

proptest::proptest! {
    /// Whoever wrote them: certificates, bundles and entries are read to an end.
    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let _ = Parts::of(&bytes).map(|parts| (parts.names(), parts.without(oid::TIMESTAMPS)));
        let trust = Trust::default();
        let demanded = Demanded { trust: &trust, identity: "", issuer: "", without_entry: Some(Timestamp::UNIX_EPOCH) };
        proptest::prop_assert!(demanded.unseal(&bytes, &[&image()]).is_err());
        let text = String::from_utf8_lossy(&bytes);
        proptest::prop_assert!(demanded.judge(&bytes, "", |_| Some(&text), &[&image()]).is_err());
    }
}

/// What sigstore's own library for Node says of a bundle and a `trusted_root.json`: a line with `good` or why not.
const PEER: &str = r#"
const fs = require('fs');
const { bundleFromJSON } = require('@sigstore/bundle');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const read = (name) => JSON.parse(fs.readFileSync(name));
const [, , bundle, root, name, issuer, logs] = process.argv;
try {
  const material = toTrustMaterial(TrustedRoot.fromJSON(read(root)));
  const verifier = new Verifier(material, { ctlogThreshold: Number(logs), tlogThreshold: 1, tsaThreshold: 0 });
  const policy = { subjectAlternativeName: name, extensions: { issuer } };
  verifier.verify(toSignedEntity(bundleFromJSON(read(bundle))), policy);
  console.log('good');
} catch (error) {
  console.log('refused: ' + (error.code || '') + ' ' + error.message);
}
"#;

/// `NODE_PATH` names the packages of `tests/sigstore`.
#[test]
#[ignore = "needs Node and packages of npm: `tests/run --long sigstore`"]
fn sigstores_own_library_agrees() {
    let ground = Ground::new();
    let (trust, usual) = (ground.trust(), ground.leaf(&USUAL));
    std::fs::write(ground.path("peer.js"), PEER).unwrap();
    let agree = |bundle: &Value, trust: &Value, expected: bool| {
        // The form that needs no proof of inclusion beside the promise: it has a chain.
        let mut bundle = bundle.clone();
        bundle["mediaType"] = json!("application/vnd.dev.sigstore.bundle+json;version=0.1");
        let material = &mut bundle["verificationMaterial"];
        let certificate = material["certificate"].take();
        material["x509CertificateChain"] = json!({"certificates": [certificate]});
        material.as_object_mut().unwrap().remove("certificate");
        std::fs::write(ground.path("bundle.json"), bundle.to_string()).unwrap();
        std::fs::write(ground.path("root.json"), trust.to_string()).unwrap();
        let logs = trust["ctlogs"].as_array().map_or(0, |_| 1).to_string();
        let files = ["peer.js", "bundle.json", "root.json"].map(|name| ground.path(name));
        let ran = Command::new("node")
            .args(files)
            .args([ME, LOGIN, &logs])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let ours = ground.unsealed(&bundle, trust);
        println!("{} {ours:?}", said.trim());
        assert_eq!(
            said.starts_with("good"),
            expected,
            "{said} {}",
            String::from_utf8_lossy(&ran.stderr)
        );
        assert_eq!(ours.is_ok(), expected, "{ours:?}");
    };
    let good = ground.bundle(&usual, THEN);
    agree(&good, &trust, true);
    agree(
        &ground.bundle(&usual, "2026-03-01T10:10:00Z"),
        &trust,
        false,
    );
    let mut changed = good.clone();
    changed["verificationMaterial"]["tlogEntries"][0]["integratedTime"] = json!("1772359260");
    agree(&changed, &trust, false);
    let mut swapped = good.clone();
    let other = ground.bundle(&usual, THEN);
    swapped["verificationMaterial"]["tlogEntries"] =
        other["verificationMaterial"]["tlogEntries"].clone();
    agree(&swapped, &trust, false);
    let mut foreign = trust.clone();
    let raw = json!({"rawBytes": STANDARD.encode(ground.der("other"))});
    foreign["certificateAuthorities"][0]["certChain"]["certificates"] = json!([raw]);
    agree(&good, &foreign, false);
    for leaf in [
        Leaf {
            identity: "https://ci.example.com/other",
            ..USUAL
        },
        Leaf {
            issuer: "https://login.example.org",
            ..USUAL
        },
    ] {
        agree(&ground.bundle(&ground.leaf(&leaf), THEN), &trust, false);
    }
    let mut logged = trust.clone();
    logged["ctlogs"] = trust["tlogs"].clone();
    agree(&good, &logged, false);
    let without = Parts::of(&usual).unwrap().without(oid::TIMESTAMPS);
    let list = ground.stamped(
        &without,
        1_772_359_200,
        digest(&SHA256, &ground.issuer_key()).as_ref(),
    );
    agree(
        &ground.bundle(&ground.logged(&usual, &list), THEN),
        &logged,
        true,
    );
    let other = ground.stamped(&without, 1_772_359_200, &[0; 32]);
    agree(
        &ground.bundle(&ground.logged(&usual, &other), THEN),
        &logged,
        false,
    );
}
