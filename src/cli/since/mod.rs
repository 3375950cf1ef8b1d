//! `plan --since`: which targets are touched by what changed in a checkout since a commit. Needs no
//! state: a fresh clone gives the same answer.
//!
//! ```text
//! touched     which targets, and why
//! past        the manifest as the commit has it
//! ```

mod past;
mod touched;

use serde_json::{Value, json};

use super::args::{Global, PlanArgs, PlanFormat};
use super::environment::Environment;
use super::output::{print_json, print_sentences, tell};
use super::outside;
use super::plan_json;
use super::plan_rows::{self, Row};
use super::project::{self, Loaded};
use super::signals;
use super::trust::Keys;
use super::watch::Watched;
use crate::exit::Exit;
use crate::targets::{Project, kind_name};
use imgmake_core::manifest::suggest::nearest;
use imgmake_core::plan::Plan;
use imgmake_event::Cancel;
use imgmake_git::{GitError, Since};
use touched::{Reason, Touched};

/// Digits of a commit, for people.
const SHORT: usize = 12;

/// # Errors
/// There is no checkout or no such revision; the manifest is wrong.
pub fn plan(
    global: &Global,
    args: &PlanArgs,
    revision: &str,
    format: PlanFormat,
    environment: &Environment,
) -> Result<u8, Exit> {
    outside::apply(args.outside);
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let loaded = project::load_with(global, environment, Keys::Read, args.network)?;
    let Loaded { project, .. } = &loaded;
    let plan = project::select(project, &args.targets)?;
    let answer = || {
        let since = Since::of(
            &project.directory,
            revision,
            &environment.variables,
            &cancel,
        )?;
        Ok(match since {
            Some(since) => Some((since.changed()?, since)),
            None => None,
        })
    };
    let answered: Result<_, GitError> = answer();
    let (changed, since) = match answered {
        Ok(Some(answer)) => answer,
        Ok(None) => return Err(no_checkout(project)),
        Err(error) if error.is_cancelled() => {
            return Err(Exit::silent(stopped.exit_code().unwrap_or(130)));
        }
        Err(error) => return Err(wrong(revision, error)),
    };
    if !since.is_common() {
        tell(format!(
            "warning: the common commit of `{revision}` and HEAD was not fetched: compared with `{revision}` itself, so changes on that side count, too"
        ));
    }
    let names: Vec<String> = plan
        .order
        .iter()
        .map(|id| project.graph.name(*id).to_string())
        .collect();
    let watched = Watched::of_targets(project, &names, &environment.variables)?;
    let past = past::manifest(global, environment, project, &since, &changed);
    let touched = Touched::by(project, &plan, &watched, &since, &changed, past.as_ref());
    let text = match format {
        PlanFormat::Json => json_text(project, &plan, &since, revision, &touched),
        PlanFormat::GithubMatrix => {
            let wanted = plan.requested.iter().filter(|id| touched.is_touched(**id));
            plan_rows::matrix(
                wanted.map(|id| (project.graph.name(*id), kind_name(&project.graph, *id))),
            )
        }
        PlanFormat::Text => text(project, &plan, &since, revision, &touched),
    };
    match format {
        PlanFormat::Text => print_sentences(&text)?,
        PlanFormat::Json | PlanFormat::GithubMatrix => print_json(&text)?,
    }
    Ok(0)
}

fn text(
    project: &Project,
    plan: &Plan,
    since: &Since,
    revision: &str,
    touched: &Touched,
) -> String {
    let rows = plan.order.iter().filter(|id| touched.is_touched(**id));
    let rows: Vec<Row<'_>> = rows
        .map(|id| Row {
            kind: kind_name(&project.graph, *id),
            target: project.graph.name(*id),
            reasons: touched.reasons(*id).iter().map(Reason::text).collect(),
        })
        .collect();
    match rows.is_empty() {
        true => format!(
            "no target is touched by changes since `{revision}` ({})\n",
            &since.commit()[..SHORT]
        ),
        false => plan_rows::text(&rows),
    }
}

fn json_text(
    project: &Project,
    plan: &Plan,
    since: &Since,
    revision: &str,
    touched: &Touched,
) -> String {
    let graph = &project.graph;
    let targets = plan.order.iter().map(|id| {
        let needs = graph.dependencies(*id).iter();
        let mut needs: Vec<&str> = needs.map(|(need, _)| graph.name(*need)).collect();
        needs.dedup();
        let reasons = touched.reasons(*id);
        let state = match reasons {
            [] => "untouched",
            [Reason::Always] => "always",
            _ => "touched",
        };
        let mut value = json!({
            "name": graph.name(*id),
            "kind": kind_name(graph, *id),
            "needs": needs,
            "state": state,
            "reasons": reasons.iter().map(Reason::json).collect::<Vec<_>>(),
        });
        plan_json::add_resolved(project, *id, &mut value);
        value
    });
    let answer = json!({
        "version": 1,
        "since": {"revision": revision, "commit": since.commit(), "common": since.is_common()},
        "targets": targets.collect::<Vec<Value>>(),
    });
    serde_json::to_string_pretty(&answer).expect("strings are JSON") + "\n"
}

fn no_checkout(project: &Project) -> Exit {
    Exit::usage(format!(
        "`--since`: `{}` is not in a git checkout",
        project.directory.display()
    ))
    .with_help("without `--since`, `plan` compares with the last build")
}

fn wrong(revision: &str, error: GitError) -> Exit {
    let GitError::ReferenceNotFound { existing, .. } = error.root() else {
        let error = anyhow::Error::from(error);
        return Exit::usage(format!("`--since {revision}`: {error:#}"));
    };
    let near = nearest(revision, existing.iter().map(String::as_str));
    Exit::usage(format!("`--since {revision}`: revision not found")).with_help(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "fetch it first: many CI systems fetch one commit by default (`fetch-depth: 0` in actions/checkout and `GIT_DEPTH: 0` in GitLab fetch all)".to_string(),
    })
}
