//! Steps of the manifest as steps of a build.

use imgmake_build::{Command, Step};
use imgmake_core::manifest::{CommandNode, HealthcheckTest, StepNode};
use imgmake_oci::image::Healthcheck;

pub(super) fn step_of(node: &StepNode) -> Step {
    match node.clone() {
        StepNode::Copy {
            sources,
            to,
            mode,
            owner,
        } => Step::Copy {
            sources: sources.into_iter().map(|s| s.value).collect(),
            to: to.value,
            mode,
            owner,
        },
        StepNode::Layer(steps) => {
            Step::Layer(steps.iter().map(|step| step_of(&step.value)).collect())
        }
        StepNode::File {
            path,
            content,
            mode,
            owner,
        } => Step::File {
            path: path.value,
            content,
            mode,
            owner,
        },
        StepNode::Symlink { path, to } => Step::Symlink {
            path: path.value,
            to,
        },
        StepNode::Mkdir { path, mode, owner } => Step::Mkdir {
            path: path.value,
            mode,
            owner,
        },
        StepNode::Run(CommandNode::Shell(text)) => Step::Run {
            command: Command::Shell(text),
        },
        StepNode::Run(CommandNode::Argv(argv)) => Step::Run {
            command: Command::Argv(argv),
        },
        StepNode::Env(pairs) => Step::Env(pairs),
        StepNode::User(user) => Step::User(user),
        StepNode::Workdir(path) => Step::Workdir(path),
        StepNode::Expose(ports) => Step::Expose(ports),
        StepNode::Entrypoint(argv) => Step::Entrypoint(argv),
        StepNode::Cmd(argv) => Step::Cmd(argv),
        StepNode::Label(pairs) => Step::Label(pairs),
        StepNode::Volume(paths) => Step::Volume(paths),
        StepNode::StopSignal(signal) => Step::StopSignal(signal),
        StepNode::Healthcheck {
            test,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } => {
            let nanos = |duration: Option<std::time::Duration>| {
                duration.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
            };
            let test = match test {
                HealthcheckTest::None => vec!["NONE".to_string()],
                HealthcheckTest::Shell(text) => vec!["CMD-SHELL".to_string(), text],
                HealthcheckTest::Argv(argv) => {
                    std::iter::once("CMD".to_string()).chain(argv).collect()
                }
            };
            Step::Healthcheck(Healthcheck {
                test,
                interval: nanos(interval),
                timeout: nanos(timeout),
                start_period: nanos(start_period),
                start_interval: nanos(start_interval),
                retries: retries.map_or(0, i64::from),
            })
        }
    }
}
