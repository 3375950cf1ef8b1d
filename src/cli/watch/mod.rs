//! `watch`: runs, then again whenever something changes that a target reads. The lock is held
//! only while a run goes on.
//!
//! ```text
//! watched     what of a project counts, and for whom; where it lies
//!   gathering   what each target reads
//!   interest    the files of one target
//!   linked      directories elsewhere, by the links that lead there
//!   tracked     what git tracks
//! keys        what is typed meanwhile
//! limits      why the kernel watches no more directories
//! ```

mod gathering;
mod interest;
mod keys;
mod limits;
mod linked;
mod tracked;
mod watched;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::args::{Global, RunArgs};
use super::environment::Environment;
use super::output::tell;
use super::project::{self, Loaded};
use super::run::{Listener, Watch, once};
use super::signals;
use super::trust::Keys;
use crate::exit::Exit;
use crate::file_notices::{Change, Watcher};
use imgmake_core::manifest::OnBusy;
use imgmake_event::{Cancel, Event};
use limits::unwatchable;
pub(super) use watched::Watched;

pub fn watch(global: &Global, args: &RunArgs, environment: &Environment) -> Result<u8, Exit> {
    let ended = Cancel::default();
    let stopped = signals::listen(&ended);
    let mut watcher = Watcher::new().map_err(|error| unwatchable(&error))?;
    let _woken = ended.on_cancel(watcher.waker());
    if !args.shell_on_fail {
        keys::listen(watcher.asker(), ended.clone());
    }
    let session = Session {
        global,
        args,
        environment,
        ended: &ended,
        stopped: &stopped,
    };
    let mut project: Option<(Loaded, Watched)> = None;
    let mut reads_again = true;
    let mut is_first = true;
    let mut repeats = 0;
    let mut changed = BTreeSet::new();
    loop {
        let since = SystemTime::now();
        if reads_again {
            project = session.load(is_first)?;
            watcher.look_again();
        }
        is_first = false;
        let only_manifest;
        let watched = match &project {
            Some((_, watched)) => watched,
            None => {
                only_manifest = Watched::manifest_only(global);
                &only_manifest
            }
        };
        watcher.pace(watched.debounce, watched.longest);
        let observe = |watcher: &Watcher| {
            let observed = watcher.observe(&watched.places(), watched);
            observed.map_err(|error| unwatchable(&error))
        };
        observe(&watcher)?;
        // Between the reading and the watching nobody looked. A clock that is wrong is asked twice.
        if reads_again && repeats < 2 && watched.has_moved_since(since) {
            repeats += 1;
            continue;
        }
        repeats = 0;
        let mut news = News::default();
        if let Some((loaded, watched)) = &project {
            let changed = std::mem::take(&mut changed);
            news = session.run_until_change(loaded, watched, &watcher, changed)?;
            // The run may have made directories, and links that lead elsewhere.
            watched.look_again();
            observe(&watcher)?;
        }
        if news.is_empty() && !ended.is_cancelled() {
            tell(format!(
                "watching {} for changes; Ctrl-C ends it",
                watched.display()
            ));
        }
        while news.is_empty() && !ended.is_cancelled() {
            let change = watcher.wait(Duration::from_millis(200), watched);
            news.add(change, watched);
        }
        if ended.is_cancelled() {
            return Ok(stopped.exit_code().unwrap_or(0));
        }
        tell(format!("\n{}", news.describe(watched)));
        reads_again = project.is_none() || news.is_of_manifest;
        changed = news.paths;
    }
}

/// What has changed since the last run began.
#[derive(Default)]
struct News {
    paths: BTreeSet<PathBuf>,
    targets: BTreeSet<String>,
    is_of_manifest: bool,
    /// Somebody asked for a run, or the kernel lost count.
    otherwise: Option<&'static str>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.otherwise.is_none()
    }

    fn add(&mut self, change: Change, watched: &Watched) {
        match change {
            Change::Nothing => {}
            Change::Asked => self.otherwise = Some("requested"),
            Change::Unknown => {
                self.otherwise = Some("something changed");
                self.is_of_manifest = true;
            }
            Change::Paths(paths) => {
                for path in &paths {
                    self.is_of_manifest |= watched.is_of_manifest(path);
                    self.targets.extend(watched.readers(path));
                }
                self.paths.extend(paths);
            }
        }
    }

    fn describe(&self, watched: &Watched) -> String {
        if self.paths.is_empty() {
            return self.otherwise.unwrap_or("something changed").to_string();
        }
        let shown = self.paths.iter().take(3).map(|path| watched.shown(path));
        let more = self.paths.len().saturating_sub(3);
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("changed: {}{more}", shown.collect::<Vec<_>>().join(", "))
    }
}

struct Session<'a> {
    global: &'a Global,
    args: &'a RunArgs,
    environment: &'a Environment,
    ended: &'a Cancel,
    stopped: &'a signals::Stopped,
}

impl Session<'_> {
    /// `None` of a manifest that is wrong, or that has not what is to be watched any more: it is
    /// watched until it is right.
    fn load(&self, is_first: bool) -> Result<Option<(Loaded, Watched)>, Exit> {
        let network = self.args.network;
        let loaded = project::load_with(self.global, self.environment, Keys::Make, network);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                tell(error.text.trim_end());
                return Ok(None);
            }
        };
        match Watched::of(&loaded.project, self.args, &self.environment.variables) {
            Ok(watched) => Ok(Some((loaded, watched))),
            Err(error) if is_first => Err(error),
            Err(error) => {
                tell(error.text.trim_end());
                Ok(None)
            }
        }
    }

    /// Runs once. A change that comes meanwhile stops the run if a target is at work that reads
    /// it (`on-busy restart`), waits for its end (`queue`), or starts nothing (`ignore`).
    fn run_until_change(
        &self,
        loaded: &Loaded,
        watched: &Watched,
        watcher: &Watcher,
        changed: BTreeSet<PathBuf>,
    ) -> Result<News, Exit> {
        let cancel = Cancel::default();
        let on_busy = loaded.project.graph.manifest().settings.watch.on_busy;
        let args = RunArgs {
            targets: watched.targets.clone(),
            ..self.args.clone()
        };
        let running = Arc::new(Mutex::new(BTreeSet::new()));
        let watch = Watch {
            listener: listener(&running),
            changed,
        };
        std::thread::scope(|scope| {
            let (sender, done) = channel();
            let (cancel_run, asker) = (cancel.clone(), watcher.waker());
            scope.spawn(move || {
                let (environment, stopped) = (self.environment, self.stopped);
                let ran = once(
                    loaded,
                    self.global,
                    &args,
                    environment,
                    &cancel_run,
                    stopped,
                    Some(watch),
                );
                drop(sender.send(ran));
                asker();
            });
            let mut news = News::default();
            loop {
                if let Ok(result) = done.try_recv() {
                    if let Err(error) = result
                        && !error.text.is_empty()
                    {
                        tell(error.text.trim_end());
                    }
                    return Ok(news);
                }
                if self.ended.is_cancelled() {
                    cancel.cancel();
                }
                let change = watcher.wait(Duration::from_millis(50), watched);
                let mut now = News::default();
                // Stopped whenever the kernel loses count, a run that makes it do so would never end.
                let is_known = change != Change::Unknown;
                now.add(change, watched);
                if now.is_empty() {
                    continue;
                }
                let running = running.lock().expect("no thread panics with the list");
                let is_asked = is_known && now.otherwise.is_some();
                let is_read = is_asked || !now.targets.is_disjoint(&running);
                let is_of_manifest = is_known && now.is_of_manifest;
                drop(running);
                match on_busy {
                    OnBusy::Restart if is_of_manifest || is_read => cancel.cancel(),
                    OnBusy::Restart | OnBusy::Queue => {}
                    OnBusy::Ignore if now.is_of_manifest => {}
                    OnBusy::Ignore => continue,
                }
                news.paths.extend(now.paths);
                news.targets.extend(now.targets);
                news.is_of_manifest |= now.is_of_manifest;
                news.otherwise = news.otherwise.or(now.otherwise);
            }
        })
    }
}

/// Keeps the list of those that are at work.
fn listener(running: &Arc<Mutex<BTreeSet<String>>>) -> Listener {
    let running = Arc::clone(running);
    Arc::new(move |event: &Event| {
        let mut running = running.lock().expect("no thread panics with the list");
        match event {
            Event::TargetStarted { target, .. } => drop(running.insert(target.clone())),
            Event::TargetFinished { target, .. } => drop(running.remove(target)),
            _ => {}
        }
    })
}
