//! Whatever a server or a repository holds, it is read or refused.

use std::collections::BTreeMap;
use std::io::Read as _;

use gix_hash::{Kind, ObjectId};
use gix_object::Write as _;
use proptest::prelude::*;

use super::address::Address;
use super::checkout::checkout;
use super::config::settings;
use super::line::{Lines, Pack};
use super::repository::Repository;
use super::session::greeting;
use imgmake_event::Cancel;

/// Bytes that look a little like the protocol.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        Just("version 2\n".to_string()),
        Just("# service=git-upload-pack\n".to_string()),
        Just("packfile\n".to_string()),
        "[0-9a-f]{40} refs/heads/[a-z./]{0,6}\0symref=HEAD:refs/heads/x [ =:a-z]{0,9}\n",
        "[0-9a-f]{40} refs/tags/[a-z]{0,3}\\^\\{\\}\n",
        "\\PC{0,20}",
        "[\0-\u{4}]\\PC{0,20}",
    ];
    let line = text.prop_map(|text| format!("{:04x}{text}", text.len() + 4).into_bytes());
    let end = prop_oneof![
        Just(b"0000".to_vec()),
        Just(b"0001".to_vec()),
        Just(b"00".to_vec())
    ];
    prop::collection::vec(
        prop_oneof![4 => line, 1 => end, 1 => any::<Vec<u8>>()],
        0..12,
    )
    .prop_map(|parts| parts.concat())
}

/// Trees whose entries may be anything.
fn trees() -> impl Strategy<Value = Vec<u8>> {
    let mode = prop_oneof![
        Just("40000"),
        Just("100644"),
        Just("120000"),
        Just("160000"),
        Just("7")
    ];
    let name = prop_oneof![
        "[a-c]",
        "\\.\\.?",
        "\\.[gG][iI][tT]",
        "[a/.]{1,4}",
        "\\PC{0,5}"
    ];
    let which = 0..3usize;
    let entry = (mode, name, which).prop_map(|(mode, name, which)| {
        let mut bytes = format!("{mode} {name}\0").into_bytes();
        bytes.extend_from_slice(ids()[which].as_slice());
        bytes
    });
    prop::collection::vec(prop_oneof![9 => entry, 1 => any::<Vec<u8>>()], 0..5)
        .prop_map(|parts| parts.concat())
}

fn id_of(kind: gix_object::Kind, data: &[u8]) -> ObjectId {
    gix_object::compute_hash(Kind::Sha1, kind, data).unwrap()
}

/// A file, an empty tree, and an object that is not there.
fn ids() -> [ObjectId; 3] {
    [
        id_of(gix_object::Kind::Blob, b"../outside"),
        id_of(gix_object::Kind::Tree, b""),
        ObjectId::null(Kind::Sha1),
    ]
}

proptest! {
    #[test]
    fn any_answer_is_read_or_refused(bytes in answers()) {
        let _ = greeting(&mut Lines::new(bytes.as_slice()), &mut BTreeMap::new());
        let _ = Pack::new(&mut Lines::new(bytes.as_slice())).read_to_end(&mut Vec::new());
    }

    #[test]
    fn any_text_is_an_address_or_none(text in "(https?://|git://|ssh://|)[a-z@:/\\[\\].%#?-]{0,20}|\\PC{0,30}") {
        if let Ok((address, _)) = Address::parse(&text) {
            prop_assert!(text.starts_with("http") || !address.host().starts_with('-'));
            let _ = address.join("../x");
        }
    }

    #[test]
    fn any_text_is_a_configuration(text in "([\\[\\]\"\\\\=#; a-z\n]|\\PC){0,60}") {
        for setting in settings(&text) {
            prop_assert!(!setting.name.contains('\n'));
        }
    }

    #[test]
    fn any_tree_is_written_inside_or_refused(root in trees()) {
        let around = tempfile::tempdir().unwrap();
        let place = around.path().join("place");
        std::fs::create_dir(&place).unwrap();
        let repository = Repository::create(&around.path().join("git"), Kind::Sha1).unwrap();
        let objects = gix_odb::loose::Store::at(around.path().join("git/objects"), Kind::Sha1);
        objects.write_buf(gix_object::Kind::Blob, b"../outside").unwrap();
        objects.write_buf(gix_object::Kind::Tree, b"").unwrap();
        let tree = objects.write_buf(gix_object::Kind::Tree, &root).unwrap();
        let text = format!("tree {tree}\nauthor t <t@t> 0 +0000\ncommitter t <t@t> 0 +0000\n\nx\n");
        let commit = objects.write_buf(gix_object::Kind::Commit, text.as_bytes()).unwrap();
        let _ = checkout(&repository, commit, &place, &Cancel::default());
        let mut left: Vec<_> = std::fs::read_dir(around.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        prop_assert_eq!(left, ["git", "place"]);
    }
}

#[test]
fn objects_are_packed_anew_until_the_cancellation() {
    let around = tempfile::tempdir().unwrap();
    let repository = Repository::create(&around.path().join("git"), Kind::Sha1).unwrap();
    let place = around.path().join("git/objects");
    let objects = gix_odb::loose::Store::at(place, Kind::Sha1);
    for number in 0..20 {
        let text = format!("{number}");
        objects
            .write_buf(gix_object::Kind::Blob, text.as_bytes())
            .unwrap();
    }
    let cancel = Cancel::default();
    repository.repack(&cancel).unwrap();
    repository.set_modes(&cancel).unwrap();
    cancel.cancel();
    assert!(repository.repack(&cancel).unwrap_err().is_cancelled());
    assert!(repository.set_modes(&cancel).unwrap_err().is_cancelled());
}
