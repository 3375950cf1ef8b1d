use proptest::prelude::*;
use serde_json::json;

use super::bundle::{seal, unseal};
use super::*;
use crate::image::Digest;

/// Made with openssl; `encrypted.key` is `plain.key`, encrypted by hashlib's scrypt and PyNaCl's SecretBox
/// as cosign does it (with a smaller N, since tests are not optimized).
macro_rules! key {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/data/keys/", $name))
    };
}

fn key() -> SigningKey {
    SigningKey::from_pem(key!("plain.key"), None).unwrap()
}

fn other() -> PublicKey {
    let pem = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    PublicKey::from_pem(pem).unwrap()
}

fn public() -> PublicKey {
    PublicKey::from_pem(key!("cosign.pub")).unwrap()
}

#[test]
fn a_private_key_signs_what_its_public_key_verifies() {
    let signature = key().sign(b"text");
    assert!(public().verifies(b"text", &signature));
    assert!(key().public().verifies(b"text", &signature));
    assert!(!public().verifies(b"Text", &signature));
    assert_eq!(public().hint(), key().public().hint());
}

#[test]
fn an_encrypted_key_needs_its_password() {
    let pem = key!("encrypted.key");
    let opened = SigningKey::from_pem(pem, Some(b"open sesame")).unwrap();
    assert!(public().verifies(b"text", &opened.sign(b"text")));
    let error = |password: Option<&[u8]>| SigningKey::from_pem(pem, password).unwrap_err();
    assert_eq!(error(None), SigningKeyError::NoPassword);
    assert_eq!(error(Some(b"sesame")), SigningKeyError::WrongPassword);
}

#[test]
fn what_is_no_key_that_cosign_has_is_refused_with_what_it_is() {
    let error = |pem: &[u8]| SigningKey::from_pem(pem, None).unwrap_err();
    assert_eq!(error(b"text"), SigningKeyError::NotFound);
    assert_eq!(error(key!("cosign.pub")), SigningKeyError::Public);
    assert_eq!(error(key!("ed25519.key")), SigningKeyError::Unsupported);
    let sec1 = error(key!("sec1.key"));
    assert_eq!(
        sec1,
        SigningKeyError::OtherForm("EC PRIVATE KEY".to_string())
    );
    assert!(sec1.to_string().contains("openssl pkcs8"), "{sec1}");
}

/// A key file that asks for gigabytes, or for another cipher, costs nothing.
#[test]
fn parameters_of_an_encrypted_key_are_bounded() {
    use base64::Engine as _;
    let error = |kdf: &str, n: usize, r: usize, p: usize| {
        let json = json!({
            "kdf": {"name": kdf, "params": {"N": n, "r": r, "p": p}, "salt": ""},
            "cipher": {"name": "nacl/secretbox", "nonce": ""},
            "ciphertext": "",
        });
        let body = base64::engine::general_purpose::STANDARD.encode(json.to_string());
        let label = "ENCRYPTED COSIGN PRIVATE KEY";
        let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        SigningKey::from_pem(pem.as_bytes(), Some(b"")).unwrap_err()
    };
    for (n, r, p) in [
        (1 << 40, 8, 1),
        (1 << 20, 1 << 20, 1),
        (65536, 8, usize::MAX),
        (0, 8, 1),
        (1000, 8, 1),
        (16, 0, 1),
        (usize::MAX, usize::MAX, 1),
    ] {
        assert_eq!(
            error("scrypt", n, r, p),
            SigningKeyError::Damaged,
            "{n} {r} {p}"
        );
    }
    let unknown = error("argon2", 16, 1, 1);
    assert_eq!(
        unknown,
        SigningKeyError::UnknownCipher("argon2".to_string())
    );
}

#[test]
fn a_payload_is_judged_as_cosign_s_own_is() {
    use base64::Engine as _;
    let (image, elsewhere) = (Digest::of(b"image"), Digest::of(b"other"));
    let payload = payload_of("registry.example/app", &image);
    let signature = base64::engine::general_purpose::STANDARD.encode(key().sign(&payload));
    let verdict = |keys: &[&PublicKey], image: &Digest| judge(&payload, &signature, keys, &[image]);
    assert_eq!(verdict(&[&public()], &image), Verdict::Good(image.clone()));
    assert_eq!(verdict(&[&other()], &image), Verdict::OtherKey);
    assert!(matches!(
        verdict(&[&public()], &elsewhere),
        Verdict::OtherImage(_)
    ));
}

#[test]
fn a_bundle_says_of_one_image_what_its_key_signed() {
    let (image, elsewhere) = (Digest::of(b"image"), Digest::of(b"other"));
    let about = Statement::of(&image, "app", predicate::CYCLONEDX, json!({"a": 1}));
    let sealed = seal(&about, &key());
    assert_eq!(
        unseal(&sealed, &[&other(), &public()], &[&image]),
        Unsealed::Good(about)
    );
    assert_eq!(unseal(&sealed, &[&other()], &[&image]), Unsealed::OtherKey);
    assert_eq!(unseal(&sealed, &[], &[&image]), Unsealed::OtherKey);
    assert_eq!(
        unseal(&sealed, &[&public()], &[&elsewhere]),
        Unsealed::OtherImage
    );
    let text = String::from_utf8(sealed).unwrap();
    let older = text.replace("bundle.v0.3+json", "other+json");
    assert_eq!(
        unseal(older.as_bytes(), &[&public()], &[&image]),
        Unsealed::Damaged
    );
    let typed = text.replace(
        "application/vnd.in-toto+json",
        "application/vnd.in-toto-json",
    );
    assert_eq!(
        unseal(typed.as_bytes(), &[&public()], &[&image]),
        Unsealed::OtherKey
    );
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..600, to: u8) {
        let image = Digest::of(b"image");
        let _ = SigningKey::from_pem(&bytes, Some(b"p"));
        let _ = unseal(&bytes, &[&public()], &[&image]);
        let statement = Statement::of(&image, "app", predicate::SIGNATURE, json!(null));
        let mut sealed = seal(&statement, &key());
        let at = at % sealed.len();
        let before = sealed[at];
        sealed[at] = to;
        // Whatever changes, what is found good is what was signed.
        if let Unsealed::Good(found) = unseal(&sealed, &[&public()], &[&image]) {
            prop_assert_eq!(found, statement, "{} {}", before, to);
        }
    }
}
