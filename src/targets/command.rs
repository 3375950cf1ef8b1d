//! `run` targets: commands on the host.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};

use super::failure::plain;
use super::task::{CommandTask, Runnable};
use super::{files, outputs};
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::fingerprint::{self, Inputs, LengthPrefixedHasher};
use imgmake_core::manifest::CommandNode;
use imgmake_core::state::Output;
use imgmake_event::{Event, Product, Stream};
use imgmake_guard::program::may_be_stopped;

/// How long a stopped command may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

impl Runnable for CommandTask<'_> {
    fn inputs(&self, _: &Upstream<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
        add_inputs(self, inputs)
    }

    fn verify_output(&self, output: &Output) -> Result<Option<String>, Failure> {
        Ok(match output {
            Output::Tree { path, hash } => {
                let now = files::tree_hash(self.runner, &self.runner.path(path));
                outputs::compare(path, now, hash)
            }
            Output::Image { .. }
            | Output::File { .. }
            | Output::Pushed { .. }
            | Output::Passed { .. }
            | Output::Loaded { .. } => outputs::foreign(),
        })
    }

    fn run(&self, _: &Upstream<'_>) -> Result<Artifacts, Failure> {
        run(self)
    }
}

fn add_inputs(task: &CommandTask<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
    fingerprint::run_settings(inputs, task.target);
    let outputs: Vec<&str> = task
        .target
        .outputs
        .iter()
        .map(|output| output.value.as_str())
        .collect();
    let patterns = task
        .target
        .inputs
        .iter()
        .map(|pattern| pattern.value.as_str());
    files::add(task.runner, patterns, &outputs, inputs).map_err(|(at, error)| {
        let pattern = &task.target.inputs[at];
        let label = plain(&error);
        let message = format!("cannot read the input `{}`", pattern.value);
        task.runner.project.failure(pattern.span, message, label)
    })
}

fn run(task: &CommandTask<'_>) -> Result<Artifacts, Failure> {
    for output in &task.target.outputs {
        if let Some(parent) = task.runner.path(&output.value).parent() {
            std::fs::create_dir_all(parent)
                .map_err(|e| Failure::failed(format!("cannot make `{}`: {e}", parent.display())))?;
        }
    }
    let mut child = start(task)?;
    let status = attend(task, &mut child)?;
    if may_be_stopped(status) && task.runner.tools.cancel.explains_an_end() {
        return Err(Failure::new(FailureKind::Cancelled, "stopped"));
    }
    if !status.success() {
        return Err(Failure::failed(format!(
            "its command ended with {}",
            describe(status)
        )));
    }
    artifacts(task)
}

fn start(task: &CommandTask<'_>) -> Result<Child, Failure> {
    let directory = task.target.dir.as_ref().map_or_else(
        || task.runner.project.directory.clone(),
        |dir| task.runner.path(&dir.value),
    );
    let (program, arguments): (&str, Vec<&str>) = match &task.target.command.value {
        CommandNode::Shell(text) => ("sh", vec!["-ec", text]),
        CommandNode::Argv(argv) => (&argv[0], argv[1..].iter().map(String::as_str).collect()),
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&directory)
        .env_remove(imgmake_guard::mac::VARIABLE)
        .envs(&task.target.env);
    // A group of its own, so that stopping it stops its children too.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.spawn().map_err(|error| {
        let (message, label) = match directory.is_dir() {
            true => (format!("cannot start `{program}`"), plain(&error)),
            false => (
                format!("there is no directory `{}` to run in", directory.display()),
                "it is to run there".to_string(),
            ),
        };
        let span = task
            .target
            .dir
            .as_ref()
            .filter(|_| !directory.is_dir())
            .map_or(task.target.command.span, |dir| dir.span);
        task.runner.project.failure(span, message, label)
    })
}

/// Passes the output on until the command ends, is stopped, or takes too long.
fn attend(task: &CommandTask<'_>, child: &mut Child) -> Result<ExitStatus, Failure> {
    let stdout = child.stdout.take().expect("it was piped");
    let stderr = child.stderr.take().expect("it was piped");
    let group = rustix::process::Pid::from_child(child);
    let _guard = task.runner.tools.watchdog().guard(group);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| pass_on(task, stdout, Stream::Stdout));
        scope.spawn(|| pass_on(task, stderr, Stream::Stderr));
        let mut stopped: Option<(Instant, Failure)> = None;
        // A group that is gone already is what was wanted.
        let kill = |signal| {
            let _ = kill_process_group(group, signal);
        };
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = child
                .try_wait()
                .map_err(|e| Failure::failed(e.to_string()))?
            {
                // What the command left running holds the pipes open; it is stopped with it.
                kill(Signal::KILL);
                return stopped.map_or(Ok(status), |(_, failure)| Err(failure));
            }
            match &stopped {
                None => {
                    stopped = reason_to_stop(task, begun).map(|failure| (Instant::now(), failure));
                    if stopped.is_some() {
                        kill(Signal::TERM);
                    }
                }
                Some((since, _)) if since.elapsed() > GRACE => kill(Signal::KILL),
                Some(_) => {}
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    })
}

/// Why the command should not go on, if it should not.
fn reason_to_stop(task: &CommandTask<'_>, begun: Instant) -> Option<Failure> {
    if task.runner.tools.cancel.is_cancelled() {
        return Some(Failure::new(FailureKind::Cancelled, "stopped"));
    }
    let limit = task
        .target
        .timeout
        .filter(|limit| begun.elapsed() > *limit)?;
    let text = format!(
        "its command took longer than {}",
        crate::report::duration(limit)
    );
    Some(Failure::new(FailureKind::Timeout, text))
}

fn pass_on(task: &CommandTask<'_>, pipe: impl Read, stream: Stream) {
    let mut reader = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        // A line without end is passed on in pieces.
        match reader.by_ref().take(64 << 10).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        task.runner.tools.events.send(Event::Output {
            target: task.name.to_string(),
            step: None,
            stream,
            line,
        });
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_string(),
    }
}

fn artifacts(task: &CommandTask<'_>) -> Result<Artifacts, Failure> {
    let mut outputs = Vec::new();
    let mut digest = LengthPrefixedHasher::new();
    for output in &task.target.outputs {
        let hash =
            files::tree_hash(task.runner, &task.runner.path(&output.value)).map_err(|error| {
                let message = format!(
                    "its command succeeded and did not make the output `{}`",
                    output.value
                );
                let label = plain(&error);
                task.runner.project.failure(output.span, message, label)
            })?;
        digest.bytes(output.value.as_bytes()).bytes(&hash);
        let path = output.value.clone();
        task.runner.produced(task.name, Product::File { path });
        outputs.push(Output::Tree {
            path: output.value.clone(),
            hash,
        });
    }
    Ok(Artifacts {
        digest: digest.finish(),
        outputs,
    })
}
