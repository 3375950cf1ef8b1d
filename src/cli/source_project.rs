//! The project of `--source`: fetched, put in place, and read as any other.

use std::collections::BTreeMap;

use super::args::Global;
use super::environment::Environment;
use super::trust::{Keys, Trust, open_told};
use super::variables::variables;
use crate::exit::{self, Exit};
use crate::share::source::{self, Opened, Tree};
use imgmake_core::manifest::Facts;
use imgmake_core::share::SourceFacts;
use imgmake_event::Cancel;
use imgmake_oci::image::Reference;
use imgmake_oci::store::Store;
use imgmake_registry::{Client, ClientOptions, OperationContext, RegistryError};

/// What of a source's files is here when its manifest is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    All,
    /// What is read to make keys.
    Early,
}

/// Fetches a source and puts it in place.
///
/// # Errors
/// The registry does not have it (4), or it is unsound; the directory has other files.
pub fn put(
    name: &str,
    global: &Global,
    environment: &Environment,
    brought: Brought,
) -> Result<Tree, Exit> {
    let connection = Connection::new(global, environment)?;
    let opened = connection.open(name)?;
    let tree = Tree::open(opened, &connection.store, global.directory.as_deref())?;
    let Connection { client, work, .. } = &connection;
    let done = match brought {
        Brought::All => tree.bring_all(client, work),
        Brought::Early => tree.bring_early(client, work),
    };
    done.map_err(of_registry)?;
    Ok(tree)
}

/// The facts of a source, and what the command line says besides.
///
/// # Errors
/// A `--var` is not NAME=VALUE.
pub fn facts(of_source: &SourceFacts, global: &Global) -> Result<Facts, Exit> {
    let given = variables(&global.vars)?;
    let mut vars: BTreeMap<String, String> = of_source.variables.clone();
    vars.extend(given);
    Ok(Facts {
        vars: vars.into_iter().collect(),
        environment: of_source.environment.clone(),
        git: of_source.git.clone(),
        sets: of_source.sets.iter().chain(&global.sets).cloned().collect(),
    })
}

/// What sources are fetched with: no manifest says anything about their registry.
pub struct Connection {
    pub client: Client,
    pub store: Store,
    pub work: OperationContext,
}

impl Connection {
    /// # Errors
    /// The store cannot be opened.
    pub fn new(global: &Global, environment: &Environment) -> Result<Connection, Exit> {
        let client = Client::new(ClientOptions {
            environment: environment.variables.clone(),
            ..ClientOptions::default()
        });
        let path = environment.store(global)?;
        // The project is in the store, wherever the command is called.
        let project = path.join("sources");
        let trust = Trust::of_project(&project, global, environment, Keys::Read)?.of_store();
        Ok(Connection {
            client: client.map_err(|error| Exit::error(exit::REGISTRY, error))?,
            store: open_told(&path, trust, &Cancel::default())?,
            work: OperationContext::background(),
        })
    }

    /// The same, ended by a signal.
    #[must_use]
    pub fn stopped_by(mut self, cancel: &Cancel) -> Connection {
        self.work.cancel = cancel.clone();
        self
    }

    /// # Errors
    /// It is no name of a source; the registry does not have it; it is unsound.
    pub fn open(&self, name: &str) -> Result<Opened, Exit> {
        let from = reference(name)?;
        source::open(&self.client, &self.store, &from, &self.work).map_err(of_registry)
    }
}

/// A name with or without `oci://`.
///
/// # Errors
/// It is none.
pub fn reference(name: &str) -> Result<Reference, Exit> {
    let plain = name.strip_prefix("oci://").unwrap_or(name);
    let parsed = plain.parse::<Reference>();
    parsed.map_err(|error| {
        Exit::usage(format!("invalid name of a source `{name}`: {error}"))
            .with_help("such as `oci://registry.example.com/acme/source@sha256:…`")
    })
}

/// What a source cannot be had for is the registry's fault, or that of who wrote it.
pub fn of_registry(error: anyhow::Error) -> Exit {
    let is_of_registry = error.chain().any(|cause| cause.is::<RegistryError>());
    match is_of_registry {
        true => Exit::error(exit::REGISTRY, format!("{error:#}")),
        false => Exit::from(error),
    }
}
