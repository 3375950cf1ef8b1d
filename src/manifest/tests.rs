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
