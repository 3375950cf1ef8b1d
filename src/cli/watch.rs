//! `watch`: runs, then again whenever an input changes. The lock is held only
//! while a run goes on.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::args::{Global, RunArgs};
use super::environment::Environment;
use super::output::tell;
use super::project::{self, Loaded};
use super::run::once;
use super::signals;
use super::trust::Keys;
use crate::exit::{self, Exit};
use crate::targets::Project;
use crate::watch::{Change, Watcher};
use imgmake_core::manifest::{Glob, OnBusy, TargetKind};
use imgmake_event::Cancel;

pub fn watch(global: &Global, args: &RunArgs, environment: &Environment) -> Result<u8, Exit> {
    let ended = Cancel::default();
    let stopped = signals::listen(&ended);
    loop {
        let project = project::load_with(global, environment, Keys::Make, args.network);
        // A manifest that is wrong is watched until it is right.
        let watched = match &project {
            Ok(loaded) => Watched::of(&loaded.project, args)?,
            Err(error) => {
                tell(error.text.trim_end());
                Watched::manifest_only(global)
            }
        };
        let watcher = watched.watcher()?;
        let change = match &project {
            Ok(loaded) => run_until_change(
                loaded,
                global,
                &watched,
                &watcher,
                environment,
                &ended,
                &stopped,
            )?,
            Err(_) => None,
        };
        let change = match change {
            Some(change) => change,
            None => {
                if !ended.is_cancelled() {
                    tell(format!(
                        "watching {} for changes; Ctrl-C ends it",
                        watched.display()
                    ));
                }
                loop {
                    match watcher.wait(Duration::from_millis(200), &|path| watched.counts(path)) {
                        Change::Nothing if ended.is_cancelled() => break Change::Nothing,
                        Change::Nothing => {}
                        change => break change,
                    }
                }
            }
        };
        if ended.is_cancelled() {
            return Ok(stopped.exit_code().unwrap_or(0));
        }
        tell(format!("\n{}", watched.describe(&change)));
    }
}

/// Runs once; a change that comes meanwhile stops the run (`on-busy restart`) or waits for its end.
fn run_until_change(
    loaded: &Loaded,
    global: &Global,
    watched: &Watched,
    watcher: &Watcher,
    environment: &Environment,
    ended: &Cancel,
    stopped: &signals::Stopped,
) -> Result<Option<Change>, Exit> {
    let cancel = Cancel::default();
    let on_busy = loaded.project.graph.manifest().settings.watch.on_busy;
    let args = RunArgs {
        targets: watched.targets.clone(),
        ..watched.args.clone()
    };
    std::thread::scope(|scope| {
        let (sender, done) = channel();
        let cancel_run = cancel.clone();
        scope.spawn(move || {
            drop(sender.send(once(
                loaded,
                global,
                &args,
                environment,
                &cancel_run,
                stopped,
            )))
        });
        let mut change = None;
        loop {
            if let Ok(result) = done.try_recv() {
                if let Err(error) = result
                    && !error.text.is_empty()
                {
                    tell(error.text.trim_end());
                }
                return Ok(change);
            }
            if ended.is_cancelled() {
                cancel.cancel();
            }
            match watcher.wait(Duration::from_millis(50), &|path| watched.counts(path)) {
                Change::Nothing => {}
                found => {
                    if on_busy == OnBusy::Restart {
                        cancel.cancel();
                    }
                    change = Some(found);
                }
            }
        }
    })
}

/// What is observed, and what of it counts.
struct Watched {
    root: PathBuf,
    directories: Vec<PathBuf>,
    outputs: Vec<PathBuf>,
    ignored: Vec<Glob>,
    targets: Vec<String>,
    args: RunArgs,
    debounce: Duration,
    longest: Duration,
}

impl Watched {
    fn of(project: &Project, args: &RunArgs) -> Result<Watched, Exit> {
        let settings = &project.graph.manifest().settings.watch;
        let declared: Vec<String> = settings
            .targets
            .iter()
            .map(|target| target.value.clone())
            .collect();
        let targets = if args.targets.is_empty() {
            declared
        } else {
            args.targets.clone()
        };
        let plan = project::select(project, &targets)?;
        let root = project.directory.clone();
        let mut directories = vec![root.clone()];
        let mut outputs = vec![root.join(imgmake_core::state::DIRECTORY)];
        for id in plan.order {
            match &project.graph.target(id).kind {
                TargetKind::Build(build) => {
                    directories.extend(
                        build
                            .context
                            .iter()
                            .map(|context| root.join(&context.value)),
                    );
                    for (_, context) in &build.contexts {
                        if let imgmake_core::manifest::ContextNode::Path(path) = context {
                            directories.push(root.join(&path.value));
                        }
                    }
                    outputs.extend(build.tar.iter().map(|tar| root.join(&tar.path.value)));
                    outputs.extend(build.layout.iter().map(|layout| root.join(&layout.value)));
                }
                TargetKind::Run(run) => {
                    outputs.extend(run.outputs.iter().map(|output| root.join(&output.value)));
                    directories.extend(
                        run.inputs
                            .iter()
                            .filter_map(|input| fixed_directory(&root, &input.value)),
                    );
                }
                TargetKind::Scan(scan) => {
                    outputs.extend(scan.reports.values().map(|path| root.join(&path.value)));
                    directories.extend(scan.advisories.iter().map(|path| root.join(&path.value)));
                }
                TargetKind::Push(push) => {
                    outputs.extend(push.write_digests.iter().map(|path| root.join(&path.value)))
                }
            }
        }
        let ignored = settings.ignore.iter().map(|pattern| {
            Glob::new(pattern)
                .map_err(|error| Exit::usage(format!("watch ignore `{pattern}`: {error}")))
        });
        Ok(Watched {
            directories: directories
                .into_iter()
                .filter_map(|d| d.canonicalize().ok())
                .collect(),
            outputs,
            ignored: ignored.collect::<Result<_, _>>()?,
            targets,
            args: args.clone(),
            debounce: settings.debounce,
            longest: settings.max,
            root,
        })
    }

    fn manifest_only(global: &Global) -> Watched {
        let root = global
            .directory
            .clone()
            .unwrap_or_else(|| PathBuf::from("."));
        let root = root.canonicalize().unwrap_or(root);
        Watched {
            directories: vec![root.clone()],
            outputs: vec![root.join(imgmake_core::state::DIRECTORY)],
            root,
            ignored: Vec::new(),
            targets: Vec::new(),
            args: RunArgs::default(),
            debounce: Duration::from_millis(200),
            longest: Duration::from_secs(5),
        }
    }

    fn watcher(&self) -> Result<Watcher, Exit> {
        Watcher::new(&self.directories, self.debounce, self.longest).map_err(|error| {
            Exit::error(exit::FAILED, format!("cannot watch `{}`: {error}", self.root.display()))
                .with_help("when the limit of watches is reached, raise the sysctl fs.inotify.max_user_watches")
        })
    }

    fn display(&self) -> String {
        match self.directories.len() {
            0 | 1 => format!("`{}`", self.root.display()),
            n => format!("{n} directories"),
        }
    }

    fn counts(&self, path: &Path) -> bool {
        if self.outputs.iter().any(|output| path.starts_with(output)) {
            return false;
        }
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        // Half-written outputs: a dot, and a random part.
        if name.starts_with(".tmp") || path.components().any(|c| c.as_os_str() == ".git") {
            return false;
        }
        let relative = path
            .strip_prefix(&self.root)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned();
        !self.ignored.iter().any(|glob| glob.matches(&relative))
    }

    fn describe(&self, change: &Change) -> String {
        let Change::Paths(paths) = change else {
            return "something changed".to_string();
        };
        let names: Vec<String> = paths
            .iter()
            .take(3)
            .map(|p| {
                p.strip_prefix(&self.root)
                    .unwrap_or(p)
                    .display()
                    .to_string()
            })
            .collect();
        let more = paths.len().saturating_sub(3);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("changed: {}{more}", names.join(", "))
    }
}

/// The directory that a pattern begins in.
fn fixed_directory(root: &Path, pattern: &str) -> Option<PathBuf> {
    let fixed: PathBuf = pattern
        .split('/')
        .take_while(|part| !imgmake_core::manifest::glob::is_pattern(part))
        .collect();
    let path = root.join(fixed);
    if path.is_dir() {
        Some(path)
    } else {
        path.parent().map(Path::to_path_buf)
    }
}
