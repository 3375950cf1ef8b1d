//! `run` targets: commands on the host.

use std::io::{PipeReader, PipeWriter};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::command_output::{self, Pipe};
use super::failure::plain;
use super::foreground::{self, Foreground};
use super::git_ignore::GitIgnore;
use super::jobserver::Jobserver;
use super::task::{CommandTask, Runnable};
use super::{files, outputs};
use imgmake_core::execute::{Artifacts, Failure, FailureKind, Upstream};
use imgmake_core::files::{Evidence, ReadAs};
use imgmake_core::fingerprint::{self, CacheKey, Inputs, LengthPrefixedHasher};
use imgmake_core::manifest::CommandNode;
use imgmake_core::state::Output;
use imgmake_event::{Cancelled, Event, Product, Stream};
use imgmake_guard::program::may_be_stopped;

/// How long a stopped command may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

impl Runnable for CommandTask<'_> {
    fn inputs(&self, _: &Upstream<'_>, inputs: &mut Inputs) -> Result<(), Failure> {
        add_settings(self, inputs);
        add_files(self, inputs).map(drop)
    }

    fn verify_output(&self, output: &Output) -> Result<Option<String>, Failure> {
        Ok(match output {
            Output::Tree { path, hash } => {
                let now = files::tree_hash(self.runner, path);
                outputs::compare(path, now, hash)
            }
            Output::Image { .. }
            | Output::File { .. }
            | Output::Pushed { .. }
            | Output::Passed { .. }
            | Output::Loaded { .. }
            | Output::ValidUntil { .. } => outputs::foreign(),
        })
    }

    fn run(&self, seen: &Inputs, _: &Upstream<'_>) -> Result<Artifacts, Failure> {
        run(self, seen)
    }
}

/// Everything that a command depends on; what its files were like is remembered with the key.
pub(super) fn inputs_of(
    task: &CommandTask<'_>,
    upstream: &Upstream<'_>,
) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::new();
    task.runner.add_variables(task.id, &mut inputs);
    add_settings(task, &mut inputs);
    let evidence = add_files(task, &mut inputs)?;
    task.runner.add_upstream(task.id, upstream, &mut inputs);
    if let (Some(evidence), Some(context)) = (evidence, context(task, upstream)) {
        let sightings = &task.runner.state.sightings;
        let key = inputs.key();
        sightings.learn(&sighting(task), &context, &key.0, &evidence);
    }
    Ok(inputs)
}

/// The same as its key alone, while all files are as they were when it was made.
pub(super) fn known_key(task: &CommandTask<'_>, upstream: &Upstream<'_>) -> Option<CacheKey> {
    let sightings = &task.runner.state.sightings;
    let cancel = &task.runner.tools.cancel;
    let key = sightings.hash(&sighting(task), &context(task, upstream)?, cancel);
    key.map(CacheKey)
}

/// What its files are remembered by.
fn sighting(task: &CommandTask<'_>) -> Vec<u8> {
    [b"inputs ", task.name.as_bytes()].concat()
}

/// What else its key is made of, and which files are looked for; `None` where files are not all that tells
/// which files these are.
fn context(task: &CommandTask<'_>, upstream: &Upstream<'_>) -> Option<[u8; 32]> {
    if task.target.git_ignore {
        return None;
    }
    let mut context = Inputs::new();
    task.runner.add_variables(task.id, &mut context);
    add_settings(task, &mut context);
    task.runner.add_upstream(task.id, upstream, &mut context);
    context.list("files", "named", patterns(task));
    context.list("files", "left out", left_out(task));
    Some(context.key().0)
}

fn add_settings(task: &CommandTask<'_>, inputs: &mut Inputs) {
    fingerprint::run_settings(inputs, task.target);
    let arguments = task.runner.arguments(task.id);
    if !arguments.is_empty() {
        inputs.list("arguments", "--", arguments);
    }
}

fn patterns<'t>(task: &CommandTask<'t>) -> impl Iterator<Item = &'t str> {
    let inputs = task.target.inputs.iter();
    inputs.map(|pattern| pattern.value.as_str())
}

/// Its own outputs, and those of targets after it.
fn left_out<'t>(task: &CommandTask<'t>) -> impl Iterator<Item = &'t str> {
    let own = task.target.outputs.iter();
    let own = own.map(|output| output.value.as_str());
    let made_later = task.runner.project.graph.left_out(task.id);
    own.chain(made_later.iter().map(String::as_str))
}

fn add_files(task: &CommandTask<'_>, inputs: &mut Inputs) -> Result<Option<Evidence>, Failure> {
    if let Some(dir) = &task.target.dir {
        task.runner
            .record(task.runner.path(&dir.value), ReadAs::Followed);
    }
    let outputs: Vec<&str> = left_out(task).collect();
    let git = task.target.git_ignore.then(|| {
        GitIgnore::of(
            &task.runner.project.directory,
            &task.runner.project.git_index,
        )
    });
    let added = files::add(task.runner, patterns(task), &outputs, git.as_ref(), inputs);
    if let Some(problem) = git.as_ref().and_then(GitIgnore::problem) {
        let place = task.target.inputs.first();
        let place = place.map_or(task.target.command.span, |input| input.span);
        let message = "cannot tell which inputs git tracks: its index cannot be read";
        return Err(task.failure(place, message, problem));
    }
    added.map_err(|(at, error)| {
        if Cancelled::ended(&error) {
            return Failure::new(FailureKind::Cancelled, "stopped");
        }
        let pattern = &task.target.inputs[at];
        let label = plain(&error);
        let message = format!("cannot read the input `{}`", pattern.value);
        task.failure(pattern.span, message, label)
    })
}

fn run(task: &CommandTask<'_>, seen: &Inputs) -> Result<Artifacts, Failure> {
    for output in &task.target.outputs {
        if let Some(parent) = task.runner.path(&output.value).parent() {
            std::fs::create_dir_all(parent)
                .map_err(|e| Failure::failed(format!("cannot make `{}`: {e}", parent.display())))?;
        }
    }
    let jobserver = task.runner.tools.jobserver.as_deref();
    let _command = jobserver.map(Jobserver::command);
    // What can fail comes before the command, which nobody would stop then.
    let ends = std::io::pipe().map_err(|error| {
        let label = plain(&error);
        task.failure(task.target.command.span, "cannot start its command", label)
    })?;
    let mut child = start(task)?;
    let status = attend(task, &mut child, ends)?;
    if may_be_stopped(status) && task.runner.tools.cancel.explains_an_end() {
        return Err(Failure::new(FailureKind::Cancelled, "stopped"));
    }
    if !status.success() {
        return Err(Failure::failed(format!(
            "its command ended with {}",
            describe(status)
        )));
    }
    artifacts(task, seen)
}

fn start(task: &CommandTask<'_>) -> Result<Child, Failure> {
    if has_terminal(task) && task.runner.tools.input_is_terminal && foreground::is_background() {
        return Err(task.failure(
            task.target.command.span,
            "its command needs the terminal, and imgmake works in its background",
            "run imgmake in the foreground, or with another standard input, as `< /dev/null`",
        ));
    }
    let directory = task.target.dir.as_ref().map_or_else(
        || task.runner.project.directory.clone(),
        |dir| task.runner.path(&dir.value),
    );
    let (program, mut arguments): (&str, Vec<&str>) = match &task.target.command.value {
        // The shell's own name, then what it has as `$@`.
        CommandNode::Shell(text) => ("sh", vec!["-ec", text, "sh"]),
        CommandNode::Argv(argv) => (&argv[0], argv[1..].iter().map(String::as_str).collect()),
    };
    let further = task.runner.arguments(task.id).iter();
    arguments.extend(further.map(String::as_str));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&directory)
        .env_remove(imgmake_guard::mac::VARIABLE);
    let jobserver = task.runner.tools.jobserver.as_deref();
    if let Some(makeflags) = jobserver.and_then(Jobserver::makeflags) {
        command.env("MAKEFLAGS", makeflags);
    }
    command.envs(&task.target.env);
    if !has_terminal(task) {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }
    // A group of its own, so that stopping it stops its children too.
    command.process_group(0);
    command.spawn().map_err(|error| {
        let (message, label) = match directory.is_dir() {
            true => (format!("cannot start `{program}`"), plain(&error)),
            false => (
                format!("directory `{}` not found", directory.display()),
                "the command runs there".to_string(),
            ),
        };
        let span = task
            .target
            .dir
            .as_ref()
            .filter(|_| !directory.is_dir())
            .map_or(task.target.command.span, |dir| dir.span);
        task.failure(span, message, label)
    })
}

/// An interactive command has what imgmake has, unless something else reads or shows there.
fn has_terminal(task: &CommandTask<'_>) -> bool {
    task.target.interactive && task.runner.tools.lends_terminal
}

/// What ends a wait for a command.
enum Wake {
    Ended,
    /// By the terminal, which it does not have.
    Stopped,
    Cancelled,
}

/// Passes the output on until the command ends, is stopped, or takes too long.
fn attend(
    task: &CommandTask<'_>,
    child: &mut Child,
    (ended, end): (PipeReader, PipeWriter),
) -> Result<ExitStatus, Failure> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let group = Pid::from_child(child);
    let _guard = task.runner.watchdog().guard(group);
    let foreground = match has_terminal(task) {
        true => Foreground::lend(group),
        false => None,
    };
    let has_foreground = foreground.is_some();
    let (waker, wakes) = mpsc::channel();
    let cancelled = waker.clone();
    let cancel = &task.runner.tools.cancel;
    let _registered = cancel.on_cancel(move || drop(cancelled.send(Wake::Cancelled)));
    let pass_on = |pipe: &dyn Pipe, stream| {
        command_output::lines(pipe, &ended, |line| {
            task.runner.tools.events.send(Event::Output {
                target: task.name.to_string(),
                step: None,
                stream,
                line,
            });
        });
    };
    let stopped = std::thread::scope(|scope| {
        if let Some(stdout) = &stdout {
            scope.spawn(|| pass_on(stdout, Stream::Stdout));
        }
        if let Some(stderr) = &stderr {
            scope.spawn(|| pass_on(stderr, Stream::Stderr));
        }
        scope.spawn(move || {
            match has_foreground {
                true => wait_for_end_of_foreground(group),
                false => wait_for_end(group, || drop(waker.send(Wake::Stopped))),
            }
            drop(waker.send(Wake::Ended));
        });
        let stopped = stop_when_asked(task, group, &wakes);
        // What the command left running is stopped with it, unless it left the group. The command
        // was not waited for yet, so the number is still its group's.
        kill(group, Signal::KILL);
        drop(end);
        stopped
    });
    drop(foreground);
    let status = child
        .wait()
        .map_err(|error| Failure::failed(error.to_string()))?;
    stopped.map_or(Ok(status), Err)
}

/// Returns when the command has ended, with the reason if it was stopped.
fn stop_when_asked(task: &CommandTask<'_>, group: Pid, wakes: &Receiver<Wake>) -> Option<Failure> {
    let mut stopped = None;
    let mut until = task.target.timeout.and_then(from_now);
    loop {
        let woken = match until {
            Some(until) => wakes.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => wakes.recv().map_err(RecvTimeoutError::from),
        };
        let reason = match woken {
            Ok(Wake::Ended) | Err(RecvTimeoutError::Disconnected) => return stopped,
            Ok(Wake::Cancelled) => Failure::new(FailureKind::Cancelled, "stopped"),
            Ok(Wake::Stopped) => uses_terminal(task),
            Err(RecvTimeoutError::Timeout) if stopped.is_some() => {
                kill(group, Signal::KILL);
                until = None;
                continue;
            }
            Err(RecvTimeoutError::Timeout) => timed_out(task),
        };
        if stopped.is_none() {
            stopped = Some(reason);
            kill(group, Signal::TERM);
            // One that is stopped learns of it when it goes on.
            kill(group, Signal::CONT);
            until = from_now(GRACE);
        }
    }
}

/// `None` for a time that never comes.
fn from_now(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

fn timed_out(task: &CommandTask<'_>) -> Failure {
    let limit = task.target.timeout.unwrap_or_default();
    let text = format!(
        "its command took longer than {}",
        crate::report::duration(limit)
    );
    Failure::new(FailureKind::Timeout, text)
}

fn uses_terminal(task: &CommandTask<'_>) -> Failure {
    let help = match (task.target.interactive, has_terminal(task)) {
        (false, _) => "`interactive #true` lends it the terminal",
        (true, false) => "with `watch` and `--progress=json`, no command has the terminal",
        (true, true) => "run imgmake in the foreground of its terminal",
    };
    let message = "its command was stopped: it uses the terminal, which it does not have";
    task.failure(task.target.command.span, message, help)
}

/// Waits for the end of a child and leaves it to be waited for again. `on_stop` is called when it
/// was stopped because it read from the terminal or changed its settings. Whoever stops it in
/// another way can wake it.
fn wait_for_end(child: Pid, on_stop: impl Fn()) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(child), options) {
            Err(Errno::INTR) => {}
            Ok(Some(status)) if status.stopped() => {
                let by_terminal = [Signal::TTIN, Signal::TTOU].map(|signal| Some(signal.as_raw()));
                if by_terminal.contains(&status.stopping_signal()) {
                    on_stop();
                }
                // So that the same stop is not seen again.
                let seen = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
                let _ = waitid(WaitId::Pid(child), seen);
            }
            Ok(_) | Err(_) => return,
        }
    }
}

/// Waits for the end of a child that has the terminal, in the same way; Ctrl-Z stops nothing, since no
/// shell is there that could go on with it.
fn wait_for_end_of_foreground(child: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(child), options) {
            Err(Errno::INTR) => {}
            Ok(Some(status)) if status.stopped() => {
                foreground::resume(child);
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(_) | Err(_) => return,
        }
    }
}

fn kill(group: Pid, signal: Signal) {
    // A group that is gone already is what was wanted.
    let _ = kill_process_group(group, signal);
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_string(),
    }
}

/// What a command without outputs passes on is what it saw, so that who needs it learns that
/// it ran. One without inputs is run every time, which is no news.
fn artifacts(task: &CommandTask<'_>, seen: &Inputs) -> Result<Artifacts, Failure> {
    let mut outputs = Vec::new();
    let mut digest = LengthPrefixedHasher::new();
    if task.target.outputs.is_empty() && !task.target.inputs.is_empty() {
        digest.bytes(&seen.key().0);
    }
    for output in &task.target.outputs {
        let hash = files::tree_hash(task.runner, &output.value).map_err(|error| {
            let message = format!(
                "its command succeeded, but did not write the output `{}`",
                output.value
            );
            let label = plain(&error);
            task.failure(output.span, message, label)
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
