//! `imgmake build`, `push`, `scan`, `load`: the targets of a kind, unless a target has that name.

use clap::CommandFactory;

use super::args::Cli;
use super::tips;
use crate::exit::Exit;
use imgmake_core::error::CoreError;
use imgmake_core::graph::{Graph, TargetId};
use imgmake_core::manifest::{TargetKind, suggest};
use imgmake_core::plan::{self, Plan};
use imgmake_oci::image::Reference;

/// What the word of a kind selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Build,
    Push,
    Scan,
    /// Builds that go into a daemon.
    Load,
}

impl Kind {
    fn named(word: &str) -> Option<Kind> {
        Some(match word {
            "build" => Kind::Build,
            "push" => Kind::Push,
            "scan" => Kind::Scan,
            "load" => Kind::Load,
            _ => return None,
        })
    }

    fn includes(self, kind: &TargetKind) -> bool {
        match (self, kind) {
            (Kind::Build, TargetKind::Build(_))
            | (Kind::Push, TargetKind::Push(_))
            | (Kind::Scan, TargetKind::Scan(_)) => true,
            (Kind::Load, TargetKind::Build(build)) => !build.load.is_empty(),
            _ => false,
        }
    }

    /// What to write for an image that is named after the word.
    fn of_image(self) -> Option<&'static str> {
        match self {
            Kind::Push => Some(
                "an image is pushed by a `push` target: `push release { images app; to hub { tags \"1.0\" } }`; `from image=\"NAME\"` instead of `images` copies one from another registry",
            ),
            Kind::Scan => Some(
                "an image is scanned by a `scan` target: `scan gate { images app }`, or with `from image=\"NAME\"` instead of `images`",
            ),
            Kind::Build | Kind::Load => None,
        }
    }

    /// As a message names it, and how one is declared.
    fn described(self) -> (&'static str, &'static str) {
        match self {
            Kind::Build => (
                "`build` target",
                "declare one: `build app { context \".\" }`",
            ),
            Kind::Push => (
                "`push` target",
                "declare one: `push release { images app; to hub { tags \"1.0\" } }`",
            ),
            Kind::Scan => ("`scan` target", "declare one: `scan gate { images app }`"),
            Kind::Load => (
                "`build` target with `load`",
                "write `load docker` or `load podman` in a `build` target",
            ),
        }
    }
}

/// The names that were asked for, with a kind in front replaced by its targets. After a kind, names
/// choose among them: `imgmake push release`.
///
/// # Errors
/// There is no target of the kind, or a named one is of another.
pub fn expanded(graph: &Graph, requested: &[String]) -> Result<Vec<String>, Exit> {
    let [word, names @ ..] = requested else {
        return Ok(Vec::new());
    };
    let Some(kind) = Kind::named(word).filter(|_| !is_declared(graph, word)) else {
        return Ok(requested.to_vec());
    };
    let is_of_kind = |id: &TargetId| kind.includes(&graph.target(*id).kind);
    let (what, how) = kind.described();
    if names.is_empty() {
        let found = graph.ids().filter(is_of_kind);
        let found: Vec<String> = found.map(|id| graph.name(id).to_string()).collect();
        if found.is_empty() {
            return Err(Exit::usage(format!("the manifest has no {what}")).with_help(how));
        }
        return Ok(found);
    }
    let chosen = select_of(graph, names, Some(kind))?.requested;
    if let Some(other) = chosen.iter().find(|id| !is_of_kind(id)) {
        let name = graph.name(*other);
        let message = format!("target `{name}` is not a {what}");
        return Err(Exit::usage(message).with_help(format!("`imgmake {name}` runs it")));
    }
    Ok(names.to_vec())
}

fn is_declared(graph: &Graph, name: &str) -> bool {
    let mut disabled = graph.manifest().disabled.iter();
    graph.find(name).is_some()
        || graph.group(name).is_some()
        || disabled.any(|target| target.value == name)
}

/// The plan for these names. Users of docker name a directory.
///
/// # Errors
/// A name that is not there.
pub fn select(graph: &Graph, names: &[String]) -> Result<Plan, Exit> {
    select_of(graph, names, None)
}

/// The same; after the word of a kind, users of docker name an image.
fn select_of(graph: &Graph, names: &[String], kind: Option<Kind>) -> Result<Plan, Exit> {
    plan::select(graph, names).map_err(|error| {
        let exit = Exit::usage(error.to_string());
        let is_directory = |name: &String| name == "." || name.starts_with("./") || name.starts_with('/');
        let is_number = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
        let help = error.help();
        let is_unknown = matches!(error, CoreError::NotFound { .. })
            && !help.is_some_and(|help| help.starts_with("did you mean"));
        let word = names.first().filter(|_| is_unknown);
        let docker = word.and_then(|word| tips::of_docker_command(word));
        let command = word.and_then(|word| near_command(word));
        let image = kind.and_then(Kind::of_image).filter(|_| word.is_some_and(|word| is_image(word)));
        match (names.iter().any(is_directory), help) {
            _ if names.iter().any(is_number) => exit.with_help(
                "a number belongs to its option: `-j N`, `-k=N`",
            ),
            (true, _) => exit.with_help(
                "a directory is the `context` of a `build` target; `imgmake build` builds all of them",
            ),
            (false, _) if docker.is_some() => exit.with_help(docker.unwrap_or_default()),
            (false, _) if command.is_some() => exit.with_help(format!(
                "did you mean the command `{}`?",
                command.unwrap_or_default()
            )),
            (false, _) if image.is_some() => exit.with_help(image.unwrap_or_default()),
            (false, Some(help)) => exit.with_help(help),
            (false, None) => exit,
        }
    })
}

/// A name with a registry or a tag.
fn is_image(name: &str) -> bool {
    name.contains([':', '/']) && name.parse::<Reference>().is_ok()
}

/// A mistyped command is taken for a target.
fn near_command(name: &str) -> Option<String> {
    let cli = Cli::command();
    let commands = cli.get_subcommands().map(clap::Command::get_name);
    suggest::nearest(name, commands).map(String::from)
}
