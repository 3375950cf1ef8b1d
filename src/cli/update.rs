//! `update`: what base tags, URLs and git references stand for now, in the lock file.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::args::{Global, NetworkArgs};
use super::claims;
use super::environment::Environment;
use super::output::{print, tell};
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
use imgmake_event::{Cancel, Event, Events};

/// # Errors
/// There is no lock file to write; a name that nothing has; something that does not answer.
pub fn update(global: &Global, names: &[String], environment: &Environment) -> Result<u8, Exit> {
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
        Events::to(|event| {
            if let Event::Warning { message, .. } = event {
                tell(format!("warning: {message}"));
            }
        }),
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
    print(&told(project, lock, &before, &now))?;
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

/// A line for each difference.
fn told(project: &Project, lock: &LockedPins, before: &LockFile, now: &LockFile) -> String {
    let (before, now) = (pins(before), pins(now));
    let mut text = String::new();
    for (name, value) in &now {
        let old = before.iter().find(|(known, _)| known == name);
        let label = pin_label(name);
        match old {
            None => text.push_str(&format!("added    {label}  {}\n", shortened(value))),
            Some((_, old)) if old != value => {
                text.push_str(&format!("moved    {label}  {}\n", difference(old, value)))
            }
            Some(_) => {}
        }
    }
    for (name, _) in &before {
        if !now.iter().any(|(known, _)| known == name) {
            text.push_str(&format!("removed  {}\n", pin_label(name)));
        }
    }
    if text.is_empty() {
        let file = project.directory.join(lock.name());
        let file = file.file_name().unwrap_or_default().display().to_string();
        text = match now.len() {
            0 => {
                "nothing to resolve: the builds use no base tag, URL or git reference\n".to_string()
            }
            1 => format!("nothing moved: the name in {file} resolves as before\n"),
            n => format!("nothing moved: all {n} names in {file} resolve as before\n"),
        };
    }
    text
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
