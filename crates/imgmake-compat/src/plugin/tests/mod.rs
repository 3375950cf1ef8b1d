//! Steps of each plugin, from their variables.

mod builds;
mod caches;
mod destinations;
mod registries;
mod signing;
mod variables;

use super::family::{Cloud, Family};
use super::variables::{Effect, VARIABLES};
use super::*;
use crate::nodes::plain;
use crate::step::{NamedImage, Step, Verbosity};
use imgmake_core::manifest::{
    AuthNode, BuildTarget, PasswordFrom, PushFrom, SecretFrom, SecretNode, Spanned, TarFormat,
    TargetKind,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect()
}

fn read(path: &str) -> io::Result<String> {
    match path {
        "Dockerfile" | "docker/Dockerfile" | "./docker/Dockerfile" | "./Dockerfile" => {
            Ok("FROM scratch\n".into())
        }
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn outcome(name: &str, pairs: &[(&str, &str)]) -> Result<Outcome, Refusal> {
    let environment = environment(pairs);
    let workspace = Workspace {
        environment: &environment,
        read: &read,
        now: "2026-01-01T00:00:00Z",
    };
    interpret(EntryPoint::named(name).unwrap(), &workspace)
}

fn step(name: &str, pairs: &[(&str, &str)]) -> Step {
    match outcome(name, pairs).unwrap() {
        Outcome::Run(step) => *step,
        Outcome::NothingToDo(why) => panic!("{why}"),
    }
}

fn build(step: &Step) -> &BuildTarget {
    step.build().expect("the step builds")
}

fn texts(values: &[Spanned<String>]) -> Vec<&str> {
    values.iter().map(|one| one.value.as_str()).collect()
}

fn refused(name: &str, pairs: &[(&str, &str)]) -> String {
    outcome(name, pairs).unwrap_err().to_string()
}
