//! umoci's opinion on what our layers unpack to.

use imgmake_oci::archive;

use super::super::text::Image;
use super::super::workshop::Workshop;
use crate::ground::{temporary, tree};

/// Fails unless umoci finds exactly the described paths.
pub fn unpacks(workshop: &Workshop, image: &Image) {
    let directory = temporary();
    let file = directory.path().join("image.tar");
    archive::write_oci_archive(&workshop.store, &image.root, &[], &file).unwrap();
    let unpacked = tree::unpack(&format!("oci-archive:{}", file.display()));
    for line in image.tree().lines() {
        let (about, described) = line.split_once(" /").unwrap();
        if described.is_empty() {
            continue;
        }
        let named = described.split(' ').next().unwrap();
        let found = unpacked.tree.get(named);
        if about == "gone" {
            assert!(found.is_none(), "{line}, and umoci finds {found:?}");
            continue;
        }
        let found = found.unwrap_or_else(|| panic!("{line}, and umoci does not find it"));
        let owner = about.split(' ').next_back().unwrap();
        assert!(found.contains(&format!(" {owner} ")), "{line}: {found}");
    }
}

/// Fails unless umoci unpacks two images to the same tree, numbers of links included.
pub fn finds_the_same(workshop: &Workshop, one: &Image, other: &Image) {
    let unpacked = |image: &Image| {
        let directory = temporary();
        let file = directory.path().join("image.tar");
        archive::write_oci_archive(&workshop.store, &image.root, &[], &file).unwrap();
        tree::unpack(&format!("oci-archive:{}", file.display())).tree
    };
    tree::assert_same(&unpacked(one), &unpacked(other));
}
