//! Keys: what they hold, and that they hold all of it.

mod fields;
mod pinned;

use super::*;

fn inputs(entries: &[(&'static str, &str, &str)]) -> Inputs {
    let mut inputs = Inputs::default();
    for (kind, name, value) in entries {
        inputs.value(kind, *name, value.as_bytes());
    }
    inputs
}

#[test]
fn every_input_and_its_order_reach_the_key() {
    let base = inputs(&[("file", "a", "1"), ("file", "b", "2")]);
    for other in [
        inputs(&[("file", "a", "1")]),
        inputs(&[("file", "a", "1"), ("file", "b", "3")]),
        inputs(&[("file", "a", "1"), ("file", "c", "2")]),
        inputs(&[("file", "b", "2"), ("file", "a", "1")]),
        inputs(&[("env", "a", "1"), ("file", "b", "2")]),
    ] {
        assert_ne!(base.key(), other.key());
        assert!(!base.explanation().changes(&other.explanation()).is_empty());
    }
    assert_eq!(base.key(), base.clone().key());
}

#[test]
fn an_explanation_names_exactly_what_was_added_removed_and_changed() {
    let before = inputs(&[
        ("file", "a", "1"),
        ("file", "b", "2"),
        ("variable", "TAG", "x"),
    ]);
    let after = inputs(&[
        ("file", "b", "9"),
        ("file", "c", "3"),
        ("variable", "TAG", "x"),
    ]);
    let changes = before.explanation().changes(&after.explanation());
    let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["file b changed", "file c added", "file a removed"]);
}

#[test]
fn a_hash_is_that_of_its_values_with_their_lengths_however_many_there_are() {
    let parts: Vec<Vec<u8>> = (0..300).map(|n| vec![n as u8; n * 3]).collect();
    let (mut hasher, mut whole) = (LengthPrefixedHasher::new(), blake3::Hasher::new());
    for part in &parts {
        hasher.bytes(part);
        whole
            .update(&(part.len() as u64).to_le_bytes())
            .update(part);
    }
    assert_eq!(hasher.finish(), *whole.finalize().as_bytes());
}

#[test]
fn neighboring_values_cannot_run_together() {
    let key = |values: [&str; 2]| {
        let mut hasher = LengthPrefixedHasher::of(Semantics::Steps, "t");
        hasher.text(values[0]).text(values[1]).hex()
    };
    assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
    let nothing: Option<String> = None;
    assert_ne!(fingerprint_of(&nothing), fingerprint_of(&Some("")));
}

#[test]
fn a_list_is_not_its_joined_text() {
    let mut one = Inputs::default();
    one.list("setting", "command", ["a b"]);
    let mut two = Inputs::default();
    two.list("setting", "command", ["a", "b"]);
    assert_ne!(one.key(), two.key());
}
