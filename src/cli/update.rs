//! `update`: what base tags, URLs and git references stand for now, in the lock file.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::args::{Global, ListFormat, NetworkArgs};
use super::claims;
use super::environment::Environment;
use super::output::{print, print_json, tell, warnings};
use super::outside::no_lock;
use super::project::{self, Loaded};
use super::run::today;
use super::signals;
use super::tools::tools;
use super::trust::Keys;
use crate::exit::{self, Exit};
use crate::no_links::refuse_links;
use crate::targets::{
    LockedPins, PinUse, Project, RunOptions, Selected, TargetRunner, Verdicts, difference,
    is_called, pin_label, shortened,
};
use imgmake_build::PinName;
use imgmake_core::execute::Upstream;
use imgmake_core::graph::{EdgeKind, TargetId};
use imgmake_core::manifest::{LockFile, TargetKind};
use imgmake_core::plan::Plan;
use imgmake_core::state::State;
use imgmake_event::Cancel;

/// # Errors
/// There is no lock file to write; a name that nothing has; something that does not answer.
pub fn update(
    global: &Global,
    names: &[String],
    format: ListFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    let loaded = project::load_with(global, environment, Keys::Make, NetworkArgs::default())?;
    let Loaded { project, trust, .. } = &loaded;
    let Some(lock) = &project.lock else {
        return Err(no_lock("the manifest has no `lock`"));
    };
    refuse_links(lock.path(), &project.directory)?;
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let held = claims::take_all(&project.directory, &cancel, &stopped)?;
    project::read_lock_file_again(project)?;
    let state = Arc::new(State::open(&project.directory, &trust.key, &held)?);
    if let Some(ignored) = state.ignored() {
        trust.tell_ignored(ignored);
    }
    let mut tools = tools(
        project,
        trust.of_store(),
        environment,
        environment.store(global)?,
        warnings(),
        cancel.clone(),
    )?;
    tools.pin_use = PinUse::Move(match names {
        [] => Selected::All,
        names => Selected::Named(names.to_vec()),
    });
    let builds = |id: &TargetId| matches!(project.graph.target(*id).kind, TargetKind::Build(_));
    let plan = Plan {
        order: project.graph.ids().filter(builds).collect(),
        requested: Vec::new(),
    };
    let runner = TargetRunner {
        arguments: None,
        project,
        plan: &plan,
        variables: &environment.variables,
        tools: &tools,
        state: Arc::clone(&state),
        verdicts: Verdicts::default(),
        options: RunOptions {
            jobs: 1,
            only_resolves: true,
            ..RunOptions::default()
        },
        today: today(),
        recording: None,
    };
    let mut failed = None;
    let actions = project.actions(&plan);
    let upstream = Upstream::recorded(&actions, &state);
    for id in &plan.order {
        if let Err(failure) = runner.resolve(*id, &upstream) {
            if let Some(code) = stopped.exit_code() {
                return Ok(code);
            }
            let name = project.graph.name(*id);
            tell(format!(
                "error: target `{name}`: {}",
                failure.message.trim_end()
            ));
            failed.get_or_insert(exit::code_of(failure.kind));
        }
    }
    unknown(lock, names, failed.is_some())?;
    let unknown = unknown_contexts(project, &plan, &upstream);
    match unknown.is_empty() {
        true if names.is_empty() && failed.is_none() => lock.drop_unseen(),
        true => {}
        false => tell(format!(
            "warning: not built yet: {}; names that builds on top of them use may be missing, and no line is removed",
            imgmake_guard::printable::list(&unknown)
        )),
    }
    lock.write()?;
    let (before, now) = lock.before_and_now();
    let scope = match (failed.is_some(), names) {
        (true, _) => Scope::Part,
        (false, []) => Scope::All,
        (false, _) => Scope::Named,
    };
    let changes = changes(&before, &now);
    match format {
        ListFormat::Json => print_json(&document(&changes, scope))?,
        ListFormat::Text if changes.is_empty() => {
            print(&nothing(project, lock, pins(&now).len(), scope))?;
        }
        ListFormat::Text => print(&text(&changes))?,
    }
    Ok(failed.unwrap_or(0))
}

/// The targets that builds start from or copy from, and whose images are not known: what follows from
/// their environment or their triggers is not known either.
fn unknown_contexts(project: &Project, plan: &Plan, upstream: &Upstream<'_>) -> Vec<String> {
    let used = plan
        .order
        .iter()
        .flat_map(|id| project.graph.dependencies(*id));
    let used = used.filter(|(_, kind)| *kind == EdgeKind::Context);
    let names: BTreeSet<&str> = used.map(|(id, _)| project.graph.name(*id)).collect();
    let unknown = names
        .into_iter()
        .filter(|name| upstream.made(name).is_none());
    unknown.map(str::to_string).collect()
}

/// A name that meant nothing is an error, unless a target failed that could have had it.
fn unknown(lock: &LockedPins, names: &[String], is_incomplete: bool) -> Result<(), Exit> {
    let seen = lock.seen();
    let is_unknown = |word: &&String| !seen.iter().any(|pin| is_called(pin, word));
    match names.iter().find(is_unknown) {
        Some(word) if !is_incomplete => {
            let known: Vec<String> = seen.iter().map(pin_label).collect();
            let known = imgmake_guard::printable::list(&known);
            Err(
                Exit::usage(format!("`{word}` not found: no build uses such a name"))
                    .with_help(format!("the builds use {known}")),
            )
        }
        _ => Ok(()),
    }
}

/// What was resolved, of the names in the lock file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Named,
    /// Something failed.
    Part,
}

/// A name of the lock file whose value is another now.
struct Change {
    name: PinName,
    /// `None` of a name that is new.
    from: Option<String>,
    /// `None` of one that is gone.
    to: Option<String>,
}

/// Those that are there now in the order of the file, then those that are gone.
fn changes(before: &LockFile, now: &LockFile) -> Vec<Change> {
    let (before, now) = (pins(before), pins(now));
    let mut found = Vec::new();
    for (name, to) in &now {
        let from = before.iter().find(|(known, _)| known == name);
        let from = from.map(|(_, value)| value.clone());
        if from.as_ref() != Some(to) {
            found.push(Change {
                name: name.clone(),
                from,
                to: Some(to.clone()),
            });
        }
    }
    for (name, from) in before {
        if !now.iter().any(|(known, _)| *known == name) {
            found.push(Change {
                name,
                from: Some(from),
                to: None,
            });
        }
    }
    found
}

/// A line for each.
fn text(changes: &[Change]) -> String {
    let line = |change: &Change| {
        let label = pin_label(&change.name);
        match (&change.from, &change.to) {
            (Some(from), Some(to)) => format!("moved    {label}  {}\n", difference(from, to)),
            (None, Some(to)) => format!("added    {label}  {}\n", shortened(to)),
            (_, None) => format!("removed  {label}\n"),
        }
    };
    changes.iter().map(line).collect()
}

/// What is said where nothing is different. `count`: names in the file.
fn nothing(project: &Project, lock: &LockedPins, count: usize, scope: Scope) -> String {
    let file = project.directory.join(lock.name());
    let file = file.file_name().unwrap_or_default().display().to_string();
    match (scope, count) {
        (Scope::Part, _) => {
            format!("nothing moved in {file}, but not every name could be resolved\n")
        }
        (_, 0) => {
            "nothing to resolve: the builds use no base tag, URL or git reference\n".to_string()
        }
        (Scope::Named, _) => {
            format!("nothing moved: what you named resolves as it is in {file}\n")
        }
        (Scope::All, 1) => format!("nothing moved: the name in {file} resolves as before\n"),
        (Scope::All, count) => {
            format!("nothing moved: all {count} names in {file} resolve as before\n")
        }
    }
}

fn document(changes: &[Change], scope: Scope) -> String {
    let changes = changes.iter().map(|change| {
        let kind = match (&change.from, &change.to) {
            (Some(_), Some(_)) => "moved",
            (None, _) => "added",
            (_, None) => "removed",
        };
        json!({"change": kind, "name": pin_label(&change.name), "from": change.from, "to": change.to})
    });
    let document = json!({
        "changes": changes.collect::<Vec<_>>(),
        "complete": scope != Scope::Part,
    });
    format!("{document:#}\n")
}

fn pins(file: &LockFile) -> Vec<(PinName, String)> {
    let images = file.images.iter();
    let images = images.map(|(name, digest)| (PinName::Image(name.clone()), digest.to_string()));
    let urls = file.urls.iter();
    let urls = urls.map(|(url, pin)| (PinName::Url(url.clone()), pin.to_string()));
    let git = file.git.iter().map(|((address, reference), commit)| {
        let (address, reference) = (address.clone(), reference.clone());
        (PinName::Git { address, reference }, commit.clone())
    });
    images.chain(urls).chain(git).collect()
}
