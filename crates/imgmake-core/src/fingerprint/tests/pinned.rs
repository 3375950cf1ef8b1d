//! The settings of ten projects, `tests/data/keys/*.kdl`, and the keys that they give, `*.keys`. A change of
//! keys makes every project build everything again: it is on purpose, with a new version in `semantics`.
//! `UPDATE=1 cargo test -p imgmake-core pinned` rewrites them.

use std::path::Path;

use crate::fingerprint::{
    Inputs, build_settings, push_settings, run_settings, scan_settings, upstream,
};
use crate::manifest::{Facts, Manifest, TargetKind, load};

fn keys(manifest: &Manifest) -> String {
    let mut text = String::new();
    for target in &manifest.targets {
        let mut inputs = Inputs::new();
        match &target.kind {
            TargetKind::Run(run) => run_settings(&mut inputs, run),
            TargetKind::Build(build) => build_settings(&mut inputs, build),
            TargetKind::Scan(scan) => scan_settings(&mut inputs, scan),
            TargetKind::Push(push) => push_settings(&mut inputs, push),
        }
        upstream(&mut inputs, "base", &[7; 32]);
        text += &format!("{} {}\n", target.name.value, inputs.key());
        for input in inputs.entries() {
            let hash = hex::encode(&input.hash[..8]);
            text += &format!("    {} {} {hash}\n", input.kind, input.name);
        }
    }
    text
}

#[test]
fn keys_of_projects_change_on_purpose_alone() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys");
    let mut different = String::new();
    let mut projects = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "kdl") {
            continue;
        }
        projects += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let (manifest, _) = load("imgmake.kdl", &text, &Facts::default(), &nothing)
            .unwrap_or_else(|found| panic!("{}: {found:?}", path.display()));
        let found = keys(&manifest);
        let pinned = path.with_extension("keys");
        if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
            std::fs::write(&pinned, &found).unwrap();
        }
        if found != std::fs::read_to_string(&pinned).unwrap_or_default() {
            different += &format!("{}:\n{found}\n", path.display());
        }
    }
    assert_eq!(projects, 10);
    assert!(different.is_empty(), "other keys than pinned:\n{different}");
}
