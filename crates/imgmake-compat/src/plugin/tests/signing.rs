//! Signatures that a step asks for.

use super::*;
use imgmake_core::manifest::{SignKey, SignNode, Target};

const KEY: &str = "PLUGIN_COSIGN_PRIVATE_KEY";
const PASSWORD: &str = "PLUGIN_COSIGN_PASSWORD";
const PARAMS: &str = "PLUGIN_COSIGN_PARAMS";

fn signed(more: &[(&str, &str)]) -> (Vec<SignNode>, Step) {
    let pairs = [&[("PLUGIN_REPO", "r.io/app")], more].concat();
    let step = step("drone-docker", &pairs);
    let sign = |target: &Target| match &target.kind {
        TargetKind::Push(push) => push.sign.clone(),
        _ => None,
    };
    let signed = step.manifest.targets.iter().filter_map(sign);
    (signed.collect(), step)
}

#[test]
fn a_key_is_a_text_or_a_file_and_stays_in_its_variable() {
    let pem = (
        KEY,
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
    );
    let (nodes, of_text) = signed(&[pem, (PASSWORD, "hunter2"), (PARAMS, "--yes")]);
    let [
        SignNode {
            key: SignKey::Secret(_),
            password: Some(_),
        },
    ] = &nodes[..]
    else {
        panic!("{nodes:?}")
    };
    let sources = of_text
        .manifest
        .secrets
        .iter()
        .map(|secret| secret.source.clone());
    let env = |name: &str| SecretFrom::Env(name.to_string());
    assert_eq!(sources.collect::<Vec<_>>(), [env(KEY), env(PASSWORD)]);
    assert!(!format!("{of_text:?}").contains("hunter2"));
    let (nodes, _) = signed(&[(KEY, "keys/cosign.key")]);
    assert_eq!(nodes[0].key, SignKey::File(plain("keys/cosign.key")));
    // What may be the key in another form is not repeated.
    let base64 = "LS0tLS1CRUdJTiBFTkNSWVBURUQ".repeat(12);
    let quoted = "\"-----BEGIN EC PRIVATE KEY-----\nhunter2\"";
    for (value, hidden) in [
        (&base64[..], "LS0t"),
        (quoted, "hunter2"),
        ("awskms://hunter2/key", "hunter2"),
    ] {
        let refusal = refused("drone-docker", &[("PLUGIN_REPO", "r.io/app"), (KEY, value)]);
        assert!(refusal.contains(KEY), "{refusal}");
        assert!(!refusal.contains(hidden), "{refusal}");
    }
    let (nodes, unsigned) = signed(&[(PASSWORD, "x")]);
    assert!(nodes.is_empty());
    assert_eq!(
        unsigned.notes,
        [format!("{PASSWORD} has no effect without {KEY}")]
    );
    let other = [
        ("PLUGIN_REPO", "r.io/app"),
        pem,
        (PARAMS, "--yes -a who=hunter2"),
    ];
    let refusal = refused("drone-docker", &other);
    assert!(
        refusal.contains("`-a` in PLUGIN_COSIGN_PARAMS"),
        "{refusal}"
    );
    assert!(!refusal.contains("hunter2"), "{refusal}");
}
