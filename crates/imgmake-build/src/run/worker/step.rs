//! One RUN: stack the layers, start the sandbox, pass its lines on, make what it
//! changed a layer.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::authorities;
use super::helper_state::{Lines, Server, Task};
use super::mounts::Prepared;
use super::names;
use super::protocol::Answer;
use super::request::{Network, RunRequest};
use super::shell::{ShellRequest, shell_of};
use super::views::{stubs, uses_overlay};
use crate::error::{BuildError, Context, Result};
use crate::rootfs::{self, DiffOptions, Owners, Snapshot};
use imgmake_event::Cancel;
use imgmake_guard::confined::{open_beneath, open_root, remove_tree, remove_unfinished};
use imgmake_guard::modes::{self, PRIVATE, VISIBLE};
use imgmake_oci::layer::{Layer, View};
use imgmake_sandbox::{
    self as sandbox, IsolationMode, MadePoints, Mount, MountKind, Plan, PlanFile, Root, Running,
};

/// The step's directory in the store; removed whatever happens.
struct Scratch(PathBuf, Cancel);

impl Drop for Scratch {
    fn drop(&mut self) {
        // The run that was cancelled waits for it.
        drop(remove_unfinished(&self.0, &self.1));
    }
}

pub(super) fn run(
    server: &Server,
    request: &RunRequest,
    shell: Option<&ShellRequest>,
    task: &Task,
    lines: &Lines,
) -> Result<Answer> {
    if request.insecure && server.isolation != IsolationMode::Root {
        return Err(BuildError::unsupported(
            "`RUN --security=insecure`",
            format!(
                "it needs real root, and this is {} isolation",
                server.isolation
            ),
        ));
    }
    server.tell_of_missing_filter(lines);
    if request.insecure && request.network == Network::Isolated {
        return Err(BuildError::forbidden(
            "`RUN --security=insecure`",
            "it has the capabilities to change `network isolated`",
        ));
    }
    let scratch = Scratch(server.store.temporary_dir()?, task.cancel.clone());
    let changes = Changes::new(server, request, &scratch.0, &task.cancel)?;
    task.cancel.check()?;
    let prepared = Prepared::new(
        server,
        &request.mounts,
        &request.cache_scope,
        &scratch.0,
        task,
    )?;
    server.emulate(&request.architecture);
    let plan = plan(
        server,
        request,
        &changes,
        &prepared,
        &scratch.0.join("sandbox"),
    )?;
    let points = MadePoints::make(&plan)?;
    let running =
        rootfs::fork_exclusive(|| sandbox::start(&server.program, &plan, &request.limits))?;
    task.on_cancel(running.killer()?);
    let exit = follow(running, lines, server.isolation)?;
    task.cancel.check()?;
    points.remove()?;
    if let (Some(shell), 1..) = (shell, exit) {
        let scratch = scratch.0.join("shell");
        let plan = self::plan(server, request, &changes, &prepared, &scratch)?;
        lines.shell_opens(exit);
        open_shell(server, on_terminal(plan, shell), task, lines)?;
    }
    let layer = match exit {
        0 => Some(changes.finish(server, request, &plan, &task.cancel)?),
        _ => None,
    };
    let layer = layer.map(Box::new);
    Ok(Answer::Ran { exit, layer })
}

/// The same root, environment, directory, user and mounts; another command.
fn on_terminal(mut plan: Plan, shell: &ShellRequest) -> Plan {
    for (name, value) in &shell.environment {
        if !plan.env.iter().any(|(present, _)| present == name) {
            plan.env.push((name.clone(), value.clone()));
        }
    }
    Plan {
        argv: shell_of(&plan.argv),
        stdin: None,
        terminal: Some(shell.terminal.clone()),
        ..plan
    }
}

/// What fails here is a warning: the step's own failure is what counts.
fn open_shell(server: &Server, plan: Plan, task: &Task, lines: &Lines) -> Result<()> {
    if let Root::Overlay { work, .. } = &plan.root {
        // What the kernel leaves in a volatile overlay so that nobody mounts it again by mistake.
        drop(remove_tree(&work.join("work/incompat")));
    }
    // Whoever looks around has all the time and memory there is.
    let unlimited = sandbox::Limits::default();
    let open = || {
        // They stay: what is left of a failed step is thrown away.
        let _points = MadePoints::make(&plan)?;
        let running =
            rootfs::fork_exclusive(|| sandbox::start(&server.program, &plan, &unlimited))?;
        task.on_cancel(running.killer()?);
        follow(running, lines, server.isolation)
    };
    if let Err(error) = open() {
        lines.warn(&format!("no shell: {error:#}"));
    }
    task.cancel.check()?;
    Ok(())
}

const APT_CONFIG: &str = "etc/apt/apt.conf.d";

/// What gathers the changes of a step.
struct Changes {
    root: Root,
    /// Holds `fs`; becomes the tree of the layer.
    tree: PathBuf,
    upper: PathBuf,
    stubs: Vec<sandbox::Stub>,
    /// Where changes are made in place: how it was.
    before: Option<Snapshot>,
}

impl Changes {
    fn new(
        server: &Server,
        request: &RunRequest,
        scratch: &Path,
        cancel: &Cancel,
    ) -> Result<Changes> {
        let tree = scratch.join("tree");
        let upper = tree.join("fs");
        if uses_overlay(server, &request.layers)? {
            Changes::overlay(server, request, scratch, (tree, upper), cancel)
        } else {
            Changes::directory(server, request, (tree, upper), cancel)
        }
    }

    fn overlay(
        server: &Server,
        request: &RunRequest,
        scratch: &Path,
        (tree, upper): (PathBuf, PathBuf),
        cancel: &Cancel,
    ) -> Result<Changes> {
        let work = scratch.join("work");
        for (directory, mode) in [(&tree, PRIVATE), (&upper, VISIBLE), (&work, PRIVATE)] {
            modes::make_dir(directory, mode)?;
        }
        let stack = server.trees.stack(&request.layers, cancel)?;
        let mut lowers = stack.lowers.clone();
        if lowers.is_empty() {
            let empty = scratch.join("empty");
            modes::make_dir(&empty, VISIBLE)?;
            lowers.push(empty);
        }
        if let Some(like) = &stack.root_like {
            // The merged root shows the attributes of the upper directory.
            let like = sandbox::Stub {
                path: PathBuf::new(),
                like: like.clone(),
            };
            sandbox::write_stubs(&upper, &[like])?;
        }
        Ok(Changes {
            root: Root::Overlay {
                lowers,
                upper: upper.clone(),
                work,
                xattrs: server.xattrs,
            },
            tree,
            upper,
            stubs: stubs(&stack),
            before: None,
        })
    }

    fn directory(
        server: &Server,
        request: &RunRequest,
        (tree, upper): (PathBuf, PathBuf),
        cancel: &Cancel,
    ) -> Result<Changes> {
        rootfs::take_merged(&server.trees, &request.layers, &tree, cancel)?;
        let store = server.store.stopped_by(cancel);
        let indexes: Result<Vec<_>> = request
            .layers
            .iter()
            .map(|layer| Ok(store.index(layer)?))
            .collect();
        let before = Snapshot::of(&upper, View::new(&indexes?))?;
        Ok(Changes {
            root: Root::Directory(upper.clone()),
            tree,
            upper,
            stubs: Vec::new(),
            before: Some(before),
        })
    }

    fn has_apt(&self) -> bool {
        // A link of the image would lead out of its tree.
        let has = |tree: &PathBuf| {
            open_root(tree).is_ok_and(|root| open_beneath(root, APT_CONFIG.as_bytes()).is_ok())
        };
        match &self.root {
            Root::Overlay { lowers, .. } => lowers.iter().any(has),
            Root::Directory(directory) => has(directory),
        }
    }

    fn finish(
        &self,
        server: &Server,
        request: &RunRequest,
        plan: &Plan,
        cancel: &Cancel,
    ) -> Result<Layer> {
        let lowers;
        let changes = match (&self.before, &self.root) {
            (Some(before), _) => rootfs::Changes::InPlace(before),
            (
                None,
                Root::Overlay {
                    lowers: stacked, ..
                },
            ) => {
                lowers = sandbox::with_stubs(plan, stacked);
                let marks = server.trees.marks;
                rootfs::Changes::Above {
                    lowers: &lowers,
                    marks,
                }
            }
            (None, Root::Directory(_)) => {
                return Err(BuildError::internal("a snapshot was taken of a directory"));
            }
        };
        let options = DiffOptions {
            changes,
            owners: match server.isolation {
                IsolationMode::SingleId => Owners::Squashed,
                _ => Owners::Kept,
            },
            compression: request.compression,
            epoch: request.epoch,
        };
        let store = server.store.stopped_by(cancel);
        let layer = rootfs::write_layer(&self.upper, &options, &store)
            .context("cannot record what the command changed")?;
        if self.before.is_none() {
            server.trees.keep(&self.tree, &layer.diff_id)?;
        } else {
            let mut chain = request.layers.clone();
            // An empty layer is left out of the image.
            if !server.store.index(&layer)?.entries.is_empty() {
                chain.push(layer.clone());
            }
            rootfs::keep_merged(&server.trees, &chain, &self.tree)?;
        }
        Ok(layer)
    }
}

fn plan(
    server: &Server,
    request: &RunRequest,
    changes: &Changes,
    prepared: &Prepared,
    own: &Path,
) -> Result<Plan> {
    modes::make_dir(own, PRIVATE)?;
    let file = |target: &str, bytes: &[u8], mode: u32| Mount {
        target: PathBuf::from(target),
        kind: MountKind::File(PlanFile {
            bytes: bytes.to_vec(),
            mode,
            uid: 0,
            gid: 0,
        }),
    };
    let mut mounts = vec![
        file(
            "/etc/resolv.conf",
            names::resolv_conf(request.network, &request.resolver).as_bytes(),
            0o644,
        ),
        file("/etc/hosts", names::hosts(request).as_bytes(), 0o644),
    ];
    if server.isolation == IsolationMode::SingleId && changes.has_apt() {
        // apt checks that it became `_apt`, which no answer of a filter can make true.
        let config = b"APT::Sandbox::User \"root\";\n";
        mounts.push(file(&format!("/{APT_CONFIG}/zz-single-id"), config, 0o644));
    }
    mounts.extend(prepared.mounts.iter().cloned());
    if !request.authorities.is_empty() {
        mounts.extend(authorities::mounts(
            server,
            &request.layers,
            &request.authorities,
            &prepared.cancel,
        )?);
    }
    for (path, bytes, mode) in &request.files {
        mounts.push(file(path, bytes, *mode));
    }
    let hostname = if request.hostname.is_empty() {
        "buildkitsandbox".to_string()
    } else {
        request.hostname.clone()
    };
    Ok(Plan {
        isolation: server.isolation,
        root: changes.root.clone(),
        scratch: own.to_path_buf(),
        stubs: changes.stubs.clone(),
        mounts,
        argv: request.argv.clone(),
        env: request.env.clone(),
        workdir: if request.workdir.is_empty() {
            "/".to_string()
        } else {
            request.workdir.clone()
        },
        user: request.user.clone(),
        stdin: request.stdin.clone(),
        terminal: None,
        network: match request.network {
            Network::Host => sandbox::Network::Host,
            Network::None => sandbox::Network::None,
            Network::Isolated => sandbox::Network::Isolated,
        },
        hostname,
        insecure: request.insecure,
    })
}

/// Between looks for what a killed set-up process has left.
const STRAYS_EVERY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Passes lines on until both streams have ended, which they do only when nothing
/// of the sandbox is left.
fn follow(mut running: Running, lines: &Lines, isolation: IsolationMode) -> Result<i32> {
    let mut watch_end = isolation == IsolationMode::Chroot;
    let mut streams = [Splitter::new(false), Splitter::new(true)];
    // On a terminal there is no second stream.
    streams[1].open = running.stderr.is_some();
    let mut buffer = vec![0; 64 << 10];
    let mut was_killed = false;
    while streams.iter().any(|s| s.open) {
        let stdout = running.stdout.as_fd();
        let stderr = running.stderr.as_ref().map_or(stdout, AsFd::as_fd);
        let ends = [stdout, stderr, running.gone.as_fd()];
        let wanted = [streams[0].open, streams[1].open, watch_end];
        // What has ended is always ready: asked for, it would take all of a processor.
        let polled: Vec<usize> = (0..3).filter(|n| wanted[*n]).collect();
        let mut watched: Vec<PollFd> = polled
            .iter()
            .map(|n| PollFd::from_borrowed_fd(ends[*n], PollFlags::IN))
            .collect();
        let timeout = was_killed.then_some(&STRAYS_EVERY);
        match rustix::event::poll(&mut watched, timeout) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut ready = [false; 3];
        for (n, watched) in polled.iter().zip(&watched) {
            ready[*n] = !watched.revents().is_empty();
        }
        if ready[2] {
            watch_end = false;
            was_killed = running.was_killed();
        }
        if was_killed {
            // No pid namespace has ended what it looked after, and some of it may be on
            // its way from one parent to the next.
            sandbox::kill_strays();
        }
        for (i, stream) in streams.iter_mut().enumerate() {
            if !ready[i] || !stream.open {
                continue;
            }
            let read = match (i, &mut running.stderr) {
                (1, Some(stderr)) => stderr.read(&mut buffer),
                _ => running.stdout.read(&mut buffer),
            };
            match read? {
                0 => stream.end(lines),
                n => stream.take(&buffer[..n], lines),
            }
        }
    }
    let lost = running.lost_network();
    let exit = running.wait()?;
    match lost {
        Some(why) if exit != 0 => return Err(BuildError::NetworkLost { why, exit }),
        Some(why) => lines.warn(&format!(
            "the isolated network ended during the RUN ({why}); the command \
             succeeded"
        )),
        None => {}
    }
    Ok(exit)
}

/// Bytes to lines.
struct Splitter {
    stderr: bool,
    open: bool,
    partial: Vec<u8>,
}

/// A command that prints no line ends is still shown, and held in bounded memory.
const LONGEST_LINE: usize = 64 << 10;

impl Splitter {
    fn new(stderr: bool) -> Splitter {
        Splitter {
            stderr,
            open: true,
            partial: Vec::new(),
        }
    }

    fn take(&mut self, mut bytes: &[u8], lines: &Lines) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.partial.extend_from_slice(&bytes[..end]);
            self.flush(lines);
            bytes = &bytes[end + 1..];
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > LONGEST_LINE {
            self.flush(lines);
        }
    }

    fn flush(&mut self, lines: &Lines) {
        lines.send(self.stderr, &self.partial);
        self.partial.clear();
    }

    fn end(&mut self, lines: &Lines) {
        self.open = false;
        if !self.partial.is_empty() {
            self.flush(lines);
        }
    }
}
