//! `plugin`, and the binary called by a plugin's name: a step of Harness or
//! Drone, read from its variables.

use std::collections::BTreeMap;
use std::path::Path;

use super::environment::Environment;
use super::kaniko::standard_input;
use super::{signals, step};
use crate::exit::{Exit, FAILED};
use crate::step::bases;
use crate::step::context::variables;
use crate::targets::password;
use imgmake_compat::plugin::{
    EntryPoint, Outcome, Refusal, UnnamedRegistry, Workspace, interpret, unnamed_registry,
    with_env_file,
};
use imgmake_core::manifest::{PasswordFrom, SecretNode};
use imgmake_event::Cancel;
use imgmake_git as git;
use imgmake_guard::checkout::Checkout;
use imgmake_oci::store::Store;
use imgmake_registry::{Client, ClientOptions, Secret};

/// The plugin that the program is called as.
pub fn called(argv: &[String]) -> Option<EntryPoint> {
    EntryPoint::called(argv)
}

pub fn named(name: &str, environment: &Environment) -> Result<u8, Exit> {
    let entry = EntryPoint::named(name).ok_or_else(|| {
        let names: Vec<&str> = EntryPoint::names().collect();
        Exit::usage(format!("unknown plugin `--as {name}`"))
            .with_help(format!("expected one of {}", names.join(", ")))
    })?;
    plugin(entry, environment)
}

pub fn plugin(entry: EntryPoint, environment: &Environment) -> Result<u8, Exit> {
    let workspace = std::env::current_dir().map_err(|error| {
        Exit::error(
            FAILED,
            format!("cannot find the working directory: {error}"),
        )
    })?;
    // What the step reads of the workspace, tags and variables among it, is not what a link
    // in it leads out to.
    let checkout = Checkout::new([workspace.as_path()]);
    let read = |path: &str| checkout.read_to_string(&workspace.join(path));
    let refused = |refusal: Refusal| Exit::error(FAILED, &refusal.fact).with_help(&refusal.help);
    let variables = with_env_file(entry, &environment.variables, &read).map_err(refused)?;
    let mut environment = environment.with_variables(variables);
    let unnamed = unnamed_registry(entry, &environment.variables).map_err(refused)?;
    if let Some(unnamed) = unnamed {
        let registry = match unnamed {
            UnnamedRegistry::OfTheName(host) => host,
            UnnamedRegistry::OfTheKeys { options, secrets } => {
                ecr_registry(&options, &secrets, &environment)?
            }
        };
        let mut variables = environment.variables.clone();
        variables.insert("PLUGIN_REGISTRY".into(), registry);
        environment = environment.with_variables(variables);
    }
    let _files;
    match fetched_context(entry, &environment, &workspace)? {
        None => {}
        Some(Fetched::Stopped(code)) => return Ok(code),
        Some(Fetched::With(with, store)) => (environment, _files) = (with, store),
    }
    let now = jiff::Timestamp::now().to_string();
    let facts = Workspace {
        environment: &environment.variables,
        read: &read,
        now: &now,
    };
    match interpret(entry, &facts).map_err(refused)? {
        Outcome::Run(one) => step::run(bases::with_bases(*one, &read), &workspace, &environment),
        Outcome::NothingToDo(why) => {
            super::output::tell(format!("nothing to do: {why}"));
            Ok(0)
        }
    }
}

/// A context that had to be fetched.
enum Fetched {
    /// The variables name it; it goes with the store's temporary files.
    With(Environment, Store),
    /// A signal came first.
    Stopped(u8),
}

fn fetched_context(
    entry: EntryPoint,
    environment: &Environment,
    workspace: &Path,
) -> Result<Option<Fetched>, Exit> {
    if !variables::is_remote(&environment.variables) {
        return Ok(None);
    }
    let store = step::store_path(workspace, environment);
    let place = step::Place::new(workspace.to_path_buf(), store, environment);
    let store = place
        .map_err(|exit| Exit {
            code: FAILED,
            ..exit
        })?
        .open_store()?;
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let client = git::Client::new(environment.variables.clone(), &cancel);
    let fetched = variables::fetched(
        entry.family,
        &environment.variables,
        &store,
        &client,
        &standard_input,
    );
    if let Some(code) = stopped.exit_code() {
        return Ok(Some(Fetched::Stopped(code)));
    }
    let with = |variables| Fetched::With(environment.with_variables(variables), store);
    Ok(fetched?.map(with))
}

/// The registry that a step's keys belong to, for a step that does not name one.
fn ecr_registry(
    options: &BTreeMap<String, PasswordFrom>,
    secrets: &[SecretNode],
    environment: &Environment,
) -> Result<String, Exit> {
    let value = |(name, from): (&String, &PasswordFrom)| {
        let directory = Path::new(".");
        // No signal is caught yet: it ends the process.
        let cancel = Cancel::default();
        let value = password(from, secrets, directory, &environment.variables, &cancel)?;
        Ok((name.clone(), value))
    };
    let options = options.iter().map(value);
    let options = options.collect::<anyhow::Result<BTreeMap<String, Secret>>>()?;
    let client = Client::new(ClientOptions {
        environment: environment.variables.clone(),
        ..ClientOptions::default()
    });
    let registry = client.and_then(|client| client.ecr_registry(&options));
    registry.map_err(|error| {
        Exit::error(
            FAILED,
            format!("PLUGIN_REGISTRY is not set, and AWS did not return it: {error}"),
        )
        .with_help(
            "set it to the registry's host, such as `123456789012.dkr.ecr.eu-west-1.amazonaws.com`",
        )
    })
}
