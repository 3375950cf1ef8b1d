//! The manifest page as a specification.
use super::*;

fn read_nothing(_: &str) -> std::io::Result<String> {
    Err(std::io::ErrorKind::NotFound.into())
}

fn load_text(text: &str) -> Result<Manifest, Vec<Diagnostic>> {
    load("imgmake.kdl", text, &Facts::default(), &read_nothing).map(|(manifest, _)| manifest)
}

#[test]
fn a_first_manifest_loads() {
    let manifest = load_text("build app { context \".\" }").unwrap();
    assert_eq!(manifest.targets[0].name.value, "app");
}

const COMPLETE: &str = include_str!("../../tests/data/manifest/complete.kdl");

#[test]
fn the_complete_example_loads() {
    let manifest = load_text(COMPLETE)
        .unwrap_or_else(|found| panic!("{}", render(&found, "imgmake.kdl", COMPLETE, false, 100)));
    assert_eq!(manifest.targets.len(), 8);
    assert_eq!(manifest.registries.len(), 5);
}
