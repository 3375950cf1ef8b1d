//! What a step does before its manifest is built, and what it finds out before it pushes.

use std::collections::BTreeMap;
use std::path::Path;

use super::ssh_agent::SshAgent;
use super::{image, unused_stages};
use crate::exit::{Exit, FAILED};
use crate::no_links::refuse_links;
use crate::targets::{Tools, secret_value};
use imgmake_compat::Step;
use imgmake_compat::nodes::plain;
use imgmake_compat::step::{PUSH, TextFile};
use imgmake_event::Cancel;
use imgmake_oci::image::{Reference, ReferenceError};
use imgmake_oci::store::Store;

/// What goes when the step ends.
pub struct Prepared {
    _agent: Option<SshAgent>,
}

/// Where a step is prepared, and with what.
pub struct Surroundings<'a> {
    pub workspace: &'a Path,
    pub variables: &'a BTreeMap<String, String>,
    pub store: &'a Store,
    pub cancel: &'a Cancel,
    /// Takes lines for people.
    pub tell: &'a dyn Fn(String),
}

/// # Errors
/// Something to push or to build from is not there, or the agent does not take the key.
pub fn prepare(step: &mut Step, around: &Surroundings<'_>) -> Result<Prepared, Exit> {
    let Surroundings {
        workspace,
        variables,
        store,
        cancel,
        tell,
    } = *around;
    image::find(step, store, workspace, variables, cancel, tell)?;
    if step.preparations.name_unused_stages {
        let build = step.build();
        let note = build.and_then(|build| unused_stages::note(build, workspace));
        step.notes.extend(note);
    }
    if let Some(warmed) = &step.options.warmed
        && !workspace.join(&warmed.directory).is_dir()
    {
        let directory = &warmed.directory;
        step.notes.push(format!(
            "directory `{directory}` with warmed base images not found"
        ));
    }
    let agent = with_agent(step, workspace, variables, cancel)?;
    write_dockerfiles(step, workspace)?;
    Ok(Prepared { _agent: agent })
}

/// What is asked of registries before anything is built or pushed.
///
/// # Errors
/// The image to push is nowhere, or a registry would refuse the push.
pub fn check(step: &Step, tools: &Tools, store: &Store) -> Result<(), Exit> {
    image::check(step, tools, store)?;
    check_permission(step, tools)
}

/// Those that a bake file holds. They stay: messages name their lines.
fn write_dockerfiles(step: &Step, workspace: &Path) -> Result<(), Exit> {
    for TextFile { path, text } in &step.preparations.files {
        let file = workspace.join(path);
        refuse_links(&file, workspace)?;
        let parent = file.parent().unwrap_or(workspace);
        let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&file, text));
        written.map_err(|error| Exit::error(FAILED, format!("cannot write `{path}`: {error}")))?;
    }
    Ok(())
}

/// An agent with the step's key, for as long as what is returned lives.
fn with_agent(
    step: &mut Step,
    workspace: &Path,
    variables: &BTreeMap<String, String>,
    cancel: &Cancel,
) -> Result<Option<SshAgent>, Exit> {
    let Some(source) = &step.preparations.ssh_key else {
        return Ok(None);
    };
    let key = secret_value(source, workspace, variables, cancel)?;
    let key = key.unwrap_or_default();
    let agent = SshAgent::start(&String::from_utf8_lossy(&key), variables)?;
    let socket = agent.socket.display().to_string();
    if let Some(build) = step.build_mut() {
        build.ssh.retain(|(id, _)| id.value != "default");
        build.ssh.push((plain("default"), Some(socket)));
    }
    Ok(Some(agent))
}

/// Names that no registry would take are refused where nothing is pushed, too: a
/// later step means to.
pub fn check_names(step: &Step) -> Result<(), Exit> {
    for destination in &step.names {
        let parsed: Result<Reference, ReferenceError> = destination.parse();
        parsed.map_err(|error| Exit::error(FAILED, error))?;
    }
    Ok(())
}

/// A push that would be refused is refused before anything is built for it: every registry is asked.
fn check_permission(step: &Step, tools: &Tools) -> Result<(), Exit> {
    if !step.preparations.check_permission {
        return Ok(());
    }
    let mut checked: Vec<String> = Vec::new();
    let mut refused: Vec<String> = Vec::new();
    for destination in &step.names {
        let to: Reference = destination
            .parse()
            .map_err(|error: ReferenceError| Exit::error(FAILED, error))?;
        if checked.contains(&to.name()) {
            continue;
        }
        checked.push(to.name());
        if let Err(error) = tools.client()?.check_push(&to, &tools.operation(PUSH)) {
            refused.push(error.to_string());
        }
        if tools.cancel.is_cancelled() {
            break;
        }
    }
    let nothing = match step.builds() {
        true => "nothing is built, since it could not be pushed",
        false => "nothing is pushed",
    };
    match refused.is_empty() {
        true => Ok(()),
        false => Err(Exit::error(
            FAILED,
            format!("{nothing}: {}", refused.join("\n")),
        )),
    }
}
