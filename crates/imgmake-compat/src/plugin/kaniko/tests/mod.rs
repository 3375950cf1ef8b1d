//! Steps of kaniko's executor, from its arguments.

mod builds;
mod contexts;
mod flags;
mod outputs;
mod registries;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::flags::{Effect, FLAGS};
use super::*;
use crate::credentials::of_variable;
use crate::hidden::Hidden;
use crate::plugin::{Refusal, Workspace};
use crate::step::{ImmutableTags, Step, Verbosity};
use imgmake_core::manifest::{
    AuthNode, BuildTarget, ImageFormat, PasswordFrom, RecipeNode, SecretFrom, Spanned, TarFormat,
};

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect()
}

fn read(path: &str) -> io::Result<String> {
    match path {
        "/workspace/Dockerfile" | "here/Dockerfile" | "Other" | "src/Other" => {
            Ok("FROM scratch\n".into())
        }
        "azure.json" => {
            Ok(r#"{"tenantId": "t", "aadClientId": "c", "aadClientSecret": "s"}"#.into())
        }
        "/secret/config.json" => Ok(r#"{"auths": {"https://known.io/v1/": {}}}"#.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn invocation(arguments: &[&str], pairs: &[(&str, &str)]) -> Result<Invocation, Refusal> {
    let environment = environment(pairs);
    let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
    let workspace = Workspace {
        environment: &environment,
        read: &read,
        now: "",
    };
    interpret(&arguments, &workspace)
}

fn request(arguments: &[&str], pairs: &[(&str, &str)]) -> Box<Request> {
    match invocation(arguments, pairs).unwrap() {
        Invocation::Build(request) => request,
        _ => panic!("{arguments:?} is not a build"),
    }
}

fn attempt(arguments: &[&str], pairs: &[(&str, &str)]) -> Result<Step, Refusal> {
    let Invocation::Build(request) = invocation(arguments, pairs)? else {
        panic!("{arguments:?} is not a build")
    };
    let environment = environment(pairs);
    let workspace = Workspace {
        environment: &environment,
        read: &read,
        now: "",
    };
    let bases = ["base.io/os:1".to_string(), "alpine".to_string()];
    request.step("/workspace", "/workspace/Dockerfile", &bases, &workspace)
}

fn step(arguments: &[&str]) -> Step {
    attempt(arguments, &[]).unwrap_or_else(|refusal| panic!("{arguments:?}: {refusal}"))
}

fn build(arguments: &[&str]) -> BuildTarget {
    step(arguments).build().expect("the step builds").clone()
}

fn texts(values: &[Spanned<String>]) -> Vec<&str> {
    values.iter().map(|one| one.value.as_str()).collect()
}

fn refused(arguments: &[&str]) -> String {
    match attempt(arguments, &[]) {
        Ok(_) => panic!("{arguments:?} was taken"),
        Err(refusal) => refusal.to_string(),
    }
}
