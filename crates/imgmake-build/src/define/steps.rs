//! Steps of a manifest, which need no Dockerfile: the same operations and settings, without variables.

use super::chmod;
use crate::error::{BuildError, Result};
use crate::files::download::{Download, redacted};
use crate::files::git::GitSource;
use crate::files::patterns::Patterns;
use crate::files::source::{CopyMode, FileStep, Inline, Operation, Origin, Source, TreeSource};
use crate::request::{Command, RemoteContext, Step};
use imgmake_core::manifest::RemoteKind;
use imgmake_dockerfile::{
    CommandLine, Instruction, ListForm, Pair, Run, RunNetwork, RunSecurity, Separator, WordList,
};

/// What a step comes down to.
pub enum Meaning {
    /// A layer of files; owners are still names.
    Files(Vec<FileStep>),
    /// The Dockerfile instruction that does the same; values are final.
    Instruction(Instruction),
}

/// # Errors
/// Modes that are none; steps in a `layer` that are not about files.
pub fn meaning(step: &Step, absolute: &impl Fn(&str) -> String) -> Result<Meaning> {
    let words = |words: &[String]| WordList {
        words: words.to_vec(),
        form: ListForm::Json,
    };
    let pairs = |pairs: &[(String, String)]| {
        pairs
            .iter()
            .map(|(key, value)| Pair {
                key: key.clone(),
                value: value.clone(),
                separator: Separator::Equals,
            })
            .collect()
    };
    Ok(Meaning::Instruction(match step {
        Step::Layer(steps) => {
            let mut list = Vec::new();
            for step in steps {
                list.push(file_step(step, absolute)?.ok_or_else(|| {
                    BuildError::unsupported(format!("`{}` in a `layer`", describe(step)), "")
                })?);
            }
            return Ok(Meaning::Files(list));
        }
        Step::Fetch(context) => {
            return Ok(Meaning::Files(vec![FileStep::plain(Operation::Copy {
                source: fetched(context)?,
                to: "/".into(),
            })]));
        }
        Step::Copy { .. } | Step::File { .. } | Step::Symlink { .. } | Step::Mkdir { .. } => {
            let step = file_step(step, absolute)?
                .ok_or_else(|| BuildError::internal("a step about files is one"))?;
            return Ok(Meaning::Files(vec![step]));
        }
        Step::Run { command } => Instruction::Run(Run {
            command: CommandLine::Exec(match command {
                Command::Shell(text) => vec!["/bin/sh".into(), "-ec".into(), text.clone()],
                Command::Argv(words) => words.clone(),
            }),
            heredocs: Vec::new(),
            mounts: Vec::new(),
            network: RunNetwork::Default,
            security: RunSecurity::Sandbox,
        }),
        Step::Env(list) => Instruction::Env(pairs(list)),
        Step::Label(list) => Instruction::Label(pairs(list)),
        Step::User(user) => Instruction::User(user.clone()),
        Step::Workdir(path) => Instruction::Workdir(path.clone()),
        Step::Expose(ports) => Instruction::Expose(imgmake_dockerfile::exposed_ports(ports)?),
        Step::Entrypoint(argv) => Instruction::Entrypoint(CommandLine::Exec(argv.clone())),
        Step::Cmd(argv) => Instruction::Cmd(CommandLine::Exec(argv.clone())),
        Step::Volume(paths) => Instruction::Volume(words(paths)),
        Step::StopSignal(signal) => Instruction::Stopsignal(signal.clone()),
        Step::Healthcheck(check) => Instruction::Healthcheck(healthcheck(check)),
    }))
}

/// What a context that is elsewhere is fetched as.
///
/// # Errors
/// Its address is none.
pub fn fetched(context: &RemoteContext) -> Result<Source> {
    Ok(match context.kind {
        RemoteKind::Git => {
            let mut source = GitSource::parse(&context.address, None, None)?;
            source.keep_git_directory |= context.keep_git_directory;
            Source::Git(source)
        }
        RemoteKind::Archive => Source::Download(Download::archive(&context.address)?),
    })
}

fn file_step(step: &Step, absolute: &impl Fn(&str) -> String) -> Result<Option<FileStep>> {
    let parsed = |mode: &Option<String>| mode.as_deref().map(chmod::parse).transpose();
    let (operation, chmod, owner) = match step {
        Step::Copy {
            sources,
            to,
            mode,
            owner,
        } => {
            let operation = Operation::Copy {
                source: Source::Tree(TreeSource {
                    from: Origin::Context,
                    paths: sources.clone(),
                    mode: CopyMode::Plain,
                }),
                to: absolute(to),
            };
            (operation, parsed(mode)?, owner)
        }
        Step::File {
            path,
            content,
            mode,
            owner,
        } => {
            let to = absolute(path);
            let operation = Operation::Copy {
                source: Source::Inline(Inline {
                    name: to.rsplit('/').next().unwrap_or_default().to_string(),
                    text: content.clone(),
                    mode: match parsed(mode)? {
                        Some(mode) => mode.apply(0o644, false),
                        None => 0o644,
                    },
                }),
                to,
            };
            // Not a chmod of the step: parents made on the way are directories.
            (operation, None, owner)
        }
        Step::Symlink { path, to } => {
            let operation = Operation::Symlink {
                path: absolute(path),
                target: to.clone(),
            };
            (operation, None, &None)
        }
        Step::Mkdir { path, mode, owner } => {
            let operation = Operation::Directory {
                path: absolute(path),
                mode: parsed(mode)?,
            };
            (operation, None, owner)
        }
        _ => return Ok(None),
    };
    let step = FileStep {
        operation,
        owner: owner.clone(),
        chmod,
        exclude: Patterns::default(),
    };
    Ok(Some(step))
}

fn healthcheck(check: &imgmake_oci::image::Healthcheck) -> imgmake_dockerfile::Healthcheck {
    let words = |skip: usize| check.test.iter().skip(skip).cloned().collect::<Vec<_>>();
    let command = match check.test.first().map(String::as_str) {
        None | Some("NONE") => return imgmake_dockerfile::Healthcheck::None,
        Some("CMD-SHELL") => CommandLine::Shell(words(1).join(" ")),
        _ => CommandLine::Exec(words(1)),
    };
    let duration = |nanoseconds: i64| {
        u64::try_from(nanoseconds)
            .ok()
            .filter(|n| *n > 0)
            .map(std::time::Duration::from_nanos)
    };
    imgmake_dockerfile::Healthcheck::Check(imgmake_dockerfile::Check {
        command,
        interval: duration(check.interval),
        timeout: duration(check.timeout),
        start_period: duration(check.start_period),
        start_interval: duration(check.start_interval),
        retries: u32::try_from(check.retries).ok(),
    })
}

/// A step in one line, for people and for the history.
pub fn describe(step: &Step) -> String {
    match step {
        Step::Copy { sources, to, .. } => format!("copy {} to={to}", sources.join(" ")),
        Step::Layer(steps) => {
            let steps: Vec<String> = steps.iter().map(describe).collect();
            format!("layer {{ {} }}", steps.join("; "))
        }
        Step::File { path, .. } => format!("file {path}"),
        Step::Symlink { path, to } => format!("symlink {path} to={to}"),
        Step::Mkdir { path, .. } => format!("mkdir {path}"),
        Step::Run { command } => match command {
            Command::Shell(text) => format!("run {text}"),
            Command::Argv(words) => format!("run {}", words.join(" ")),
        },
        Step::Env(pairs) => format!("env {}", joined(pairs)),
        Step::Label(pairs) => format!("label {}", joined(pairs)),
        Step::User(user) => format!("user {user}"),
        Step::Workdir(path) => format!("workdir {path}"),
        Step::Expose(ports) => format!("expose {}", ports.join(" ")),
        Step::Entrypoint(argv) => format!("entrypoint {}", argv.join(" ")),
        Step::Cmd(argv) => format!("cmd {}", argv.join(" ")),
        Step::Volume(paths) => format!("volume {}", paths.join(" ")),
        Step::StopSignal(signal) => format!("stopsignal {signal}"),
        Step::Healthcheck(_) => "healthcheck".into(),
        Step::Fetch(context) => format!("fetch {}", shown(context)),
    }
}

/// Without what can be secret in it.
fn shown(context: &RemoteContext) -> String {
    match fetched(context) {
        Ok(Source::Git(source)) => source.to_string(),
        _ => redacted(&context.address).into_owned(),
    }
}

fn joined(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(" ")
}
