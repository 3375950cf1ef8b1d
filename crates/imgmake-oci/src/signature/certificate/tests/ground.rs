//! An authority as Fulcio is, with one between, a log as Rekor is, and what they sign, made by openssl once a test runs.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::super::{SigningKey, Statement, predicate};
use super::super::*;

pub const ME: &str = "https://ci.example.com/acme/app/release.yml";
pub const LOGIN: &str = "https://login.example.com";
/// The certificate is valid for ten minutes from here.
pub const THEN: &str = "2026-03-01T10:00:00Z";

/// An authority with one between, a log, and a key with a certificate.
pub struct Ground {
    pub directory: tempfile::TempDir,
    pub log: SigningKey,
    pub key: SigningKey,
}

/// What is unusual about a certificate.
pub struct Leaf {
    pub identity: &'static str,
    pub issuer: &'static str,
    pub usage: &'static str,
    pub purpose: &'static str,
    pub is_authority: &'static str,
    pub from: &'static str,
    pub until: &'static str,
}

pub const USUAL: Leaf = Leaf {
    identity: ME,
    issuer: LOGIN,
    usage: "critical,digitalSignature",
    purpose: "codeSigning",
    is_authority: "FALSE",
    from: "20260301095900Z",
    until: "20260301100900Z",
};

impl Ground {
    pub fn new() -> Ground {
        let directory = tempfile::tempdir().unwrap();
        let make = |name: &str| made_key(directory.path(), name);
        let (log, key) = (make("log"), make("leaf"));
        for name in ["root", "between", "other"] {
            make(name);
        }
        let ground = Ground {
            directory,
            log,
            key,
        };
        let authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
        ground.certificate(
            "root",
            "root",
            authority,
            "20250101000000Z",
            "20350101000000Z",
        );
        ground.certificate(
            "other",
            "other",
            authority,
            "20250101000000Z",
            "20350101000000Z",
        );
        ground.certificate(
            "between",
            "root",
            authority,
            "20250101000000Z",
            "20350101000000Z",
        );
        ground
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// `NAME.crt` for `NAME.key`, by the authority.
    pub fn certificate(&self, name: &str, by: &str, extensions: &str, from: &str, until: &str) {
        let place = self.directory.path();
        let (key, request) = (self.path(&format!("{name}.key")), self.path("request"));
        std::fs::write(self.path("extensions"), extensions).unwrap();
        let subject = format!("/CN={name}");
        openssl(
            place,
            &[
                "req", "-new", "-key", &key, "-subj", &subject, "-out", &request,
            ],
        );
        std::fs::write(self.path("database"), "").unwrap();
        let text = format!(
            "[ca]\ndefault_ca=a\n[a]\ndatabase={}\nrand_serial=yes\npolicy=p\n[p]\ncommonName=supplied\n",
            self.path("database")
        );
        std::fs::write(self.path("config"), text).unwrap();
        let (config, extensions) = (self.path("config"), self.path("extensions"));
        let out = self.path(&format!("{name}.crt"));
        let (by_key, by_certificate) = (
            self.path(&format!("{by}.key")),
            self.path(&format!("{by}.crt")),
        );
        let mut arguments = vec![
            "ca",
            "-batch",
            "-notext",
            "-md",
            "sha256",
            "-config",
            &config,
            "-extfile",
            &extensions,
            "-in",
            &request,
            "-keyfile",
            &by_key,
            "-startdate",
            from,
            "-enddate",
            until,
            "-outdir",
            place.to_str().unwrap(),
            "-out",
            &out,
        ];
        match by == name {
            true => arguments.push("-selfsign"),
            false => arguments.extend(["-cert", &by_certificate]),
        }
        openssl(place, &arguments);
    }

    pub fn leaf(&self, leaf: &Leaf) -> Vec<u8> {
        let Leaf {
            identity,
            issuer,
            usage,
            purpose,
            is_authority,
            from,
            until,
        } = leaf;
        let kind = if identity.contains("://") {
            "URI"
        } else {
            "email"
        };
        let extensions = format!(
            "basicConstraints=critical,CA:{is_authority}\nkeyUsage={usage}\nextendedKeyUsage={purpose}\nsubjectAltName=critical,{kind}:{identity}\n1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:{issuer}\n"
        );
        self.certificate("leaf", "between", &extensions, from, until);
        self.der("leaf")
    }

    pub fn pem(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.crt"))).unwrap()
    }

    pub fn der(&self, name: &str) -> Vec<u8> {
        trust::certificates(self.pem(name).as_bytes())
            .unwrap()
            .remove(0)
    }

    /// A `trusted_root.json`, without logs of certificates.
    pub fn trust(&self) -> Value {
        let raw = |name: &str| json!({"rawBytes": STANDARD.encode(self.der(name))});
        let valid = json!({"start": "2026-01-01T00:00:00Z"});
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://rekor.example.com",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": STANDARD.encode(self.log_key()), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid},
                "logId": {"keyId": STANDARD.encode(digest(&SHA256, &self.log_key()))},
            }],
            "certificateAuthorities": [{
                "certChain": {"certificates": [raw("between"), raw("root")]},
                "validFor": valid,
            }],
        })
    }

    /// DER.
    pub fn log_key(&self) -> Vec<u8> {
        let out = self.path("log.pub");
        openssl(
            self.directory.path(),
            &[
                "pkey",
                "-in",
                &self.path("log.key"),
                "-pubout",
                "-out",
                &out,
            ],
        );
        PublicKey::der_of(&std::fs::read(out).unwrap()).unwrap()
    }

    /// An entry of the log, which promises it.
    pub fn entry(&self, body: &Value, time: &str) -> Value {
        let time: Timestamp = time.parse().unwrap();
        let id = digest(&SHA256, &self.log_key());
        let body = STANDARD.encode(body.to_string());
        let promised = json!({"body": body, "integratedTime": time.as_second(), "logID": hex::encode(id), "logIndex": 7});
        json!({
            "logIndex": "7",
            "logId": {"keyId": STANDARD.encode(id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": time.as_second().to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(self.log.sign(promised.to_string().as_bytes()))},
            "canonicalizedBody": body,
        })
    }

    /// A bundle with the certificate, and an entry of the time.
    pub fn bundle(&self, leaf: &[u8], time: &str) -> Value {
        let about = Statement::of(&image(), "app", predicate::SPDX, json!({"a": 1}));
        let bundle: Value = serde_json::from_slice(&bundle::seal(&about, &self.key)).unwrap();
        self.logged_bundle(leaf, time, bundle)
    }

    /// The same, with an envelope that is signed already.
    pub fn logged_bundle(&self, leaf: &[u8], time: &str, mut bundle: Value) -> Value {
        let envelope = bundle["dsseEnvelope"].clone();
        let payload = STANDARD
            .decode(envelope["payload"].as_str().unwrap())
            .unwrap();
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "payloadHash": {"algorithm": "sha256", "value": hex::encode(digest(&SHA256, &payload))},
                "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": STANDARD.encode(pem_of(leaf))}],
            },
        });
        bundle["verificationMaterial"] = json!({
            "certificate": {"rawBytes": STANDARD.encode(leaf)},
            "tlogEntries": [self.entry(&body, time)],
        });
        bundle
    }

    pub fn unsealed(&self, bundle: &Value, trust: &Value) -> Result<Statement, Refusal> {
        self.unsealed_by(bundle, trust, |_| ())
    }

    pub fn unsealed_by(
        &self,
        bundle: &Value,
        trust: &Value,
        change: impl FnOnce(&mut Demanded<'_>),
    ) -> Result<Statement, Refusal> {
        let trust = Trust::read(trust.to_string().as_bytes()).unwrap();
        let mut demanded = Demanded {
            trust: &trust,
            identity: ME,
            issuer: LOGIN,
            without_entry: None,
        };
        change(&mut demanded);
        demanded.unseal(bundle.to_string().as_bytes(), &[&image()])
    }
}

pub fn made_key(place: &Path, name: &str) -> SigningKey {
    let file = format!("{name}.key");
    let kind = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    openssl(place, &[&["genpkey", "-out", &file][..], &kind].concat());
    SigningKey::from_pem(&std::fs::read(place.join(file)).unwrap(), None).unwrap()
}

pub fn openssl(place: &Path, arguments: &[&str]) {
    let ran = Command::new("openssl")
        .args(arguments)
        .current_dir(place)
        .output()
        .expect("openssl is installed");
    assert!(
        ran.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

pub fn pem_of(der: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(der)
    )
}

pub fn image() -> Digest {
    Digest::of(b"image")
}

impl Ground {
    /// Of the authority that issues certificates.
    pub fn issuer_key(&self) -> Vec<u8> {
        let between = CertificateDer::from(self.der("between"));
        let between = EndEntityCert::try_from(&between).unwrap();
        between.subject_public_key_info().to_vec()
    }

    /// By which the log says that it has a certificate: the list that the extension holds.
    pub fn stamped(&self, without: &[u8], time: i64, issuer: &[u8]) -> Vec<u8> {
        let time = u64::try_from(time * 1000).unwrap().to_be_bytes();
        let length = u32::try_from(without.len()).unwrap().to_be_bytes();
        let kind = [0, 1];
        let signed = [
            &[0, 0][..],
            &time,
            &kind,
            issuer,
            &length[1..],
            without,
            &[0, 0],
        ];
        let signature = self.log.sign(&signed.concat());
        let id = digest(&SHA256, &self.log_key());
        let sized = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            [&length[..], bytes].concat()
        };
        // SHA-256 and ECDSA.
        let algorithms = [0, 0, 4, 3];
        let one = [
            &[0][..],
            id.as_ref(),
            &time,
            &algorithms,
            &sized(&signature),
        ]
        .concat();
        der::encode(der::OCTETS, &sized(&sized(&one)))
    }

    /// The certificate with the list in it.
    pub fn logged(&self, certificate: &[u8], list: &[u8]) -> Vec<u8> {
        use der::{OBJECT, OCTETS, SEQUENCE, encode};
        let named = [encode(OBJECT, oid::TIMESTAMPS), encode(OCTETS, list)];
        self.with_extension(certificate, &encode(SEQUENCE, &named.concat()))
    }

    /// The certificate with one more extension, issued again.
    pub fn with_extension(&self, certificate: &[u8], extension: &[u8]) -> Vec<u8> {
        use der::{BITS, SEQUENCE, encode, value};
        let (content, _) = value(certificate, SEQUENCE).unwrap();
        let (_, rest) = value(content, SEQUENCE).unwrap();
        let (algorithm, _) = value(rest, SEQUENCE).unwrap();
        let mut parts = Parts::of(certificate).unwrap();
        parts.extensions.push(extension);
        let inner = parts.without(&[]);
        let pem = std::fs::read(self.path("between.key")).unwrap();
        let signature = SigningKey::from_pem(&pem, None).unwrap().sign(&inner);
        let signature = encode(BITS, &[&[0][..], &signature].concat());
        let algorithm = encode(SEQUENCE, algorithm);
        encode(SEQUENCE, &[inner, algorithm, signature].concat())
    }
}
