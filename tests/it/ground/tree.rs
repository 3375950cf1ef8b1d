//! What an image holds, read by umoci: the tree of its layers and its config,
//! in a form that two builders' results can be compared in.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::images::path;
use super::{run, temporary};

/// Path → everything about it but its times.
pub type Tree = BTreeMap<String, String>;

/// The tree of an image, and its config.
pub struct Unpacked {
    pub tree: Tree,
    pub config: serde_json::Value,
}

/// Reads any image that skopeo can name: `oci:dir:tag`, `oci-archive:file`, `docker-archive:file`.
pub fn unpack(image: &str) -> Unpacked {
    let directory = temporary();
    let layout = directory.path().join("layout");
    let bundle = directory.path().join("bundle");
    run(
        "skopeo",
        &[
            "copy",
            "-q",
            "--src-tls-verify=false",
            image,
            &format!("oci:{}:it", layout.display()),
        ],
    );
    run(
        "umoci",
        &[
            "unpack",
            "--image",
            &format!("{}:it", layout.display()),
            path(&bundle),
        ],
    );
    let config = run(
        "skopeo",
        &[
            "inspect",
            "--config",
            &format!("oci:{}:it", layout.display()),
        ],
    );
    let mut tree = Tree::new();
    walk(&bundle.join("rootfs"), &bundle.join("rootfs"), &mut tree);
    Unpacked {
        tree,
        config: serde_json::from_str(&config).unwrap(),
    }
}

fn walk(root: &Path, directory: &Path, tree: &mut Tree) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .strip_prefix(root)
            .unwrap()
            .as_os_str()
            .as_bytes()
            .escape_ascii()
            .to_string();
        tree.insert(name, describe(&path));
        if path.is_dir() && !path.is_symlink() {
            walk(root, &path, tree);
        }
    }
}

fn describe(path: &Path) -> String {
    let meta = path.symlink_metadata().unwrap();
    let kind = meta.file_type();
    let what = if kind.is_symlink() {
        format!("link {}", std::fs::read_link(path).unwrap().display())
    } else if kind.is_dir() {
        "directory".into()
    } else if kind.is_char_device() || kind.is_block_device() {
        format!("device {:x}", meta.rdev())
    } else if kind.is_fifo() {
        "fifo".into()
    } else {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update_reader(std::fs::File::open(path).unwrap())
            .unwrap();
        format!(
            "file {} {} links {}",
            meta.len(),
            &hasher.finalize().to_hex()[..16],
            meta.nlink()
        )
    };
    let mut attributes: Vec<String> = xattr::list(path)
        .map(|names| {
            names
                .map(|n| format!("{}={:?}", n.display(), xattr::get(path, &n).unwrap()))
                .collect()
        })
        .unwrap_or_default();
    attributes.sort();
    format!(
        "{what} {:o} {}:{} {}",
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid(),
        attributes.join(" ")
    )
}

/// `file 12 … 755 5:8 ` → `file 12 … 755 `.
pub fn without_owner(node: &str) -> String {
    let is_owner = |word: &&str| {
        let numbers = word.split_once(':');
        numbers.is_some_and(|(u, g)| u.parse::<u32>().is_ok() && g.parse::<u32>().is_ok())
    };
    let words: Vec<&str> = node.split(' ').filter(|w| !is_owner(w)).collect();
    words.join(" ")
}

/// Fails, naming what is different, unless the trees are equal.
pub fn assert_same(ours: &Tree, theirs: &Tree) {
    let mut different = Vec::new();
    for (path, node) in theirs {
        match ours.get(path) {
            None => different.push(format!("- {path}: {node}")),
            Some(mine) if mine != node => {
                different.push(format!("! {path}: ours {mine}, theirs {node}"))
            }
            Some(_) => {}
        }
    }
    different.extend(
        ours.keys()
            .filter(|p| !theirs.contains_key(*p))
            .map(|p| format!("+ {p}: {}", ours[p])),
    );
    let shown: Vec<_> = different.iter().take(25).cloned().collect();
    assert!(
        different.is_empty(),
        "{} differences:\n{}",
        different.len(),
        shown.join("\n")
    );
}
