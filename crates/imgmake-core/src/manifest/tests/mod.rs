//! The manifest page as a specification.

mod commands;
mod hostile;
mod included;
mod templates;
mod variables;
mod whole;

use std::collections::BTreeMap;

use super::*;

fn read_nothing(_: &str) -> std::io::Result<String> {
    Err(std::io::ErrorKind::NotFound.into())
}

fn load_text(text: &str) -> Result<Manifest, Vec<Diagnostic>> {
    let mut facts = Facts::default();
    facts.git.insert("short".to_string(), "abc1234".to_string());
    load("imgmake.kdl", text, &facts, &read_nothing).map(|(manifest, _)| manifest)
}

const COMPLETE: &str = include_str!("../../../tests/data/manifest/complete.kdl");

fn with(facts: Facts, text: &str) -> Result<Manifest, Vec<String>> {
    let read = |path: &str| match path {
        ".env" => Ok("TAG=file\nONLY_FILE=file".to_string()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    load("imgmake.kdl", text, &facts, &read)
        .map(|(manifest, _)| manifest)
        .map_err(|found| found.into_iter().map(|one| one.message).collect())
}

fn facts(vars: &[(&str, &str)], environment: &[(&str, &str)]) -> Facts {
    let owned = |pair: &(&str, &str)| (pair.0.to_string(), pair.1.to_string());
    Facts {
        vars: vars.iter().map(owned).collect(),
        environment: environment.iter().map(owned).collect(),
        ..Facts::default()
    }
}

fn build_of<'m>(manifest: &'m Manifest, name: &str) -> &'m BuildTarget {
    let target = manifest
        .targets
        .iter()
        .find(|target| target.name.value == name);
    match &target.unwrap_or_else(|| panic!("no target {name}")).kind {
        TargetKind::Build(build) => build,
        other => panic!("{other:?}"),
    }
}

fn arg<'m>(manifest: &'m Manifest, target: &str, name: &str) -> &'m str {
    &build_of(manifest, target).args[name].value
}
