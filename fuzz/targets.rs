//! What reads bytes from outside, as functions of bytes. Whatever the bytes, a target
//! returns: it does not panic, loop or ask for memory without bounds, and what it
//! asserts holds. `fuzz/` drives them with libFuzzer; `tests/it/fuzz.rs` with mutations
//! of real input on a stable compiler.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::Read;

use imgmake::dockerfile::ignore::{Ignore, Parent};
use imgmake::dockerfile::lint::{Facts, lint};
use imgmake::dockerfile::wildcard::Wildcard;
use imgmake::dockerfile::{Dockerfile, Escape, parse_trigger, words};
use imgmake::image::{
    Digest, ImageConfig, ImageIndex, ImageManifest, ManifestOrIndex, Platform, Reference,
    from_json, to_json,
};
use imgmake::layer::{Index, LayerReader, View, decompress};
use imgmake::store::Store;

pub type Target = fn(&[u8]);

/// By name; each has a file of that name in `fuzz_targets/`.
pub const TARGETS: [(&str, Target); 11] = [
    ("dockerfile", dockerfile),
    ("words", words_of_dockerfiles),
    ("ignore", ignore),
    ("manifest", manifest),
    ("reference", reference),
    ("layer", layer),
    ("archive", archive),
    ("docker_manifest", docker_manifest),
    ("oci_index", oci_index),
    ("documents", documents),
    ("challenge", challenge),
];

fn environment(name: &str) -> Option<String> {
    match name {
        "A" => Some("a/b-c.tar.gz".into()),
        "EMPTY" => Some(String::new()),
        "ODD" => Some("${A} $A 'q' \"\\".into()),
        _ => None,
    }
}

/// Parsing, printing and parsing again agree; everything expands or says why not.
pub fn dockerfile(bytes: &[u8]) {
    let lines = 1 + bytes.iter().filter(|b| **b == b'\n').count();
    let file = match Dockerfile::parse(bytes) {
        Ok(file) => file,
        Err(errors) => {
            let placed = |line: usize| (1..=lines).contains(&line);
            assert!(
                !errors.0.is_empty() && errors.0.iter().all(|e| placed(e.line)),
                "{errors}"
            );
            return;
        }
    };
    let printed = file.to_string();
    let again = Dockerfile::parse(printed.as_bytes()).expect("what was printed parses");
    assert_eq!(printed, again.to_string());
    let escape = file.directives.escape;
    for stage in &file.stages {
        for instruction in &stage.instructions {
            let _ = instruction.expand(&environment, escape);
            let _ = parse_trigger(&instruction.text);
        }
        let _ = stage.from.value.expand_image(&environment, escape);
    }
    let args: BTreeMap<String, String> = [("A".to_string(), "x".to_string())].into();
    let facts = Facts {
        build_args: Some(&args),
        ..Facts::default()
    };
    for warning in lint(&file, &facts) {
        assert!((1..=lines).contains(&warning.line), "{warning}");
    }
}

pub fn words_of_dockerfiles(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for escape in [Escape::Backslash, Escape::Backtick] {
        let _ = words::expand(&text, &environment, escape);
        let _ = words::expand_words(&text, &environment, escape);
        let _ = words::expand_for_display(&text, &environment, escape);
    }
    let _ = words::expand_text(&text, &environment);
}

/// Patterns, a blank line, a path. A walk from the root comes to the verdict of the path alone.
pub fn ignore(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (patterns, path) = text.rsplit_once("\n\n").unwrap_or((&text, "a/b/c"));
    if let Ok(wildcard) = Wildcard::new(patterns.lines().next().unwrap_or_default()) {
        let _ = wildcard.matches(path.as_bytes());
    }
    let Ok(ignore) = Ignore::parse(patterns) else {
        return;
    };
    let parts: Vec<&str> = path
        .split('/')
        .filter(|p| !["", ".", ".."].contains(p))
        .collect();
    let mut parent = Parent::default();
    for depth in 1..=parts.len().min(40) {
        let here = parts[..depth].join("/");
        let (verdict, next) = ignore.descend(&here, &parent);
        assert_eq!(
            verdict.is_hidden(),
            ignore.is_hidden(&here),
            "{here:?} in {patterns:?}"
        );
        parent = next;
    }
}

pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let missing = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let facts = imgmake::manifest::Facts::default();
    if let Err(found) = imgmake::manifest::load("imgmake.kdl", text, &facts, &missing) {
        assert!(!found.is_empty());
        for diagnostic in found {
            assert!(diagnostic.span.end <= text.len(), "{diagnostic:?}");
        }
    }
}

/// What parses prints as something that parses to the same.
pub fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(
            reference.to_string().parse::<Reference>().ok(),
            Some(reference.clone())
        );
        assert_eq!(
            reference.familiar().parse::<Reference>().ok(),
            Some(reference)
        );
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(
            platform.to_string().parse::<Platform>().ok(),
            Some(platform)
        );
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
    }
}

/// Expansion beyond this is a matter of time, not of reading.
const MOST: u64 = 8 << 20;

/// A layer's tar, packed or not: entries, index, whiteouts, merged view.
pub fn layer(bytes: &[u8]) {
    if let Ok(plain) = decompress(bytes)
        && let Ok(index) = Index::read(plain.take(MOST))
    {
        let encoded = index.encode();
        let again = Index::decode(&encoded).expect("what was encoded is decoded");
        assert_eq!(again.entries, index.entries);
        let view = View::new(&[index.into(), again.into()]);
        let _ = view.walk(b"").count();
    }
    let _ = Index::decode(bytes);
    let mut reader = LayerReader::new(bytes);
    while let Ok(Some(entry)) = reader.next_entry() {
        let read = std::io::copy(&mut (&mut reader).take(MOST), &mut std::io::sink());
        assert!(
            read.map_or(true, |n| n <= entry.size()),
            "more than {} bytes",
            entry.size()
        );
    }
}

/// A directory of this thread, with a store in it.
struct Ground {
    directory: tempfile::TempDir,
    store: Store,
}

fn with_ground<T>(act: impl FnOnce(&Ground) -> T) -> T {
    thread_local!(static GROUND: OnceCell<Ground> = const { OnceCell::new() });
    GROUND.with(|ground| {
        act(ground.get_or_init(|| {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let store = Store::open(&directory.path().join("store")).expect("a store");
            Ground { directory, store }
        }))
    })
}

/// The whole file: docker archive, OCI archive, root file system, or nothing of the kind.
pub fn archive(bytes: &[u8]) {
    with_ground(|ground| {
        let file = ground.directory.path().join("image.tar");
        std::fs::write(&file, bytes).expect("the directory takes files");
        let _ = imgmake::archive::read(&ground.store, &file, None);
    });
}

/// `manifest.json` of a docker archive whose other members are there.
pub fn docker_manifest(bytes: &[u8]) {
    let mut tar = tar::Builder::new(Vec::new());
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    for (name, content) in [
        ("manifest.json", bytes),
        ("config.json", config),
        ("layer.tar", b""),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content)
            .expect("a vector takes bytes");
    }
    archive(&tar.into_inner().expect("a vector takes bytes"));
}

/// `index.json` of a layout.
pub fn oci_index(bytes: &[u8]) {
    with_ground(|ground| {
        let layout = ground.directory.path().join("layout");
        std::fs::create_dir_all(layout.join("blobs/sha256")).expect("the directory takes files");
        let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
        std::fs::write(layout.join("oci-layout"), version).expect("the directory takes files");
        std::fs::write(layout.join("index.json"), bytes).expect("the directory takes files");
        let _ = imgmake::archive::read(&ground.store, &layout, None);
    });
}

/// What registries answer: manifests, indexes, configurations.
pub fn documents(bytes: &[u8]) {
    if let Ok(manifest) = from_json::<ImageManifest>(bytes) {
        let again: ImageManifest = from_json(&to_json(&manifest)).expect("ours is read");
        assert_eq!(to_json(&again), to_json(&manifest));
    }
    if let Ok(index) = from_json::<ImageIndex>(bytes) {
        let _: ImageIndex = from_json(&to_json(&index)).expect("ours is read");
    }
    if let Ok(config) = from_json::<ImageConfig>(bytes) {
        let again: ImageConfig = from_json(&to_json(&config)).expect("ours is read");
        assert_eq!(to_json(&again), to_json(&config));
        let _ = config.platform().to_string();
    }
    let _ = ManifestOrIndex::parse(bytes, None);
}

pub fn challenge(bytes: &[u8]) {
    let _ = imgmake::registry::understands_challenge(&String::from_utf8_lossy(bytes));
}
