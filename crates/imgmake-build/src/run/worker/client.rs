//! The run's side of the helper process: starts it, sends it requests, hands on what it says.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

// Not the standard library's: a wait is for an answer or for the cancellation, whichever comes first.
use crossbeam_channel::{Receiver, Sender};

use super::protocol::{ARGV0, Answer, Answered, Asked, Hello, Request, Start, receive, send};
use super::shell::{ShellRequest, Terminals};
use super::{RunOutcome, RunRequest};
use crate::error::{BuildError, Context, Result};
use crate::rootfs::{Blob, Indexing};
use imgmake_event::{Cancel, Cancelled, Stream};
use imgmake_oci::layer::Layer;
use imgmake_oci::store::{Guard, Store};
use imgmake_sandbox::{self as sandbox, IdMaps, IsolationMode, NoIsolation};

/// Nothing is started before the first request.
pub struct Worker {
    store: Store,
    wanted: Option<IsolationMode>,
    program: PathBuf,
    terminals: Option<Arc<dyn Terminals>>,
    isolation: OnceLock<Result<IsolationMode, NoIsolation>>,
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Worker {
    /// `isolation` is what the user insists on (`IMGMAKE_ISOLATION`).
    pub fn new(store: Store, isolation: Option<IsolationMode>) -> Worker {
        Worker {
            store,
            wanted: isolation,
            program: PathBuf::from("/proc/self/exe"),
            terminals: None,
            isolation: OnceLock::new(),
            connection: Mutex::new(None),
        }
    }

    /// Another program to execute as the helper: one whose `main` begins with
    /// [`super::reexec_entry`]. For callers whose own `main` does not, such as tests.
    #[must_use]
    pub fn with_program(mut self, program: PathBuf) -> Worker {
        self.program = program;
        self
    }

    /// A shell opens in the root of a step that failed, before the failure is told.
    #[must_use]
    pub fn with_shell_on_failure(mut self, terminals: Arc<dyn Terminals>) -> Worker {
        self.terminals = Some(terminals);
        self
    }

    /// The isolation mode that RUN uses here, probed once.
    ///
    /// # Errors
    /// Nothing works here; with the reason for each.
    pub fn isolation(&self) -> Result<IsolationMode> {
        let probed = self.isolation.get_or_init(|| match self.wanted {
            Some(isolation) => Ok(isolation),
            None => sandbox::first_working(),
        });
        Ok(probed.clone()?)
    }

    /// Runs a step; calls from several threads run at the same time. Cancellation
    /// kills the process tree.
    ///
    /// # Errors
    /// The step could not be set up, or its layer not be written; the command went beyond a
    /// limit ([`sandbox::Exceeded`]). A command that fails is no error.
    pub fn run(
        &self,
        request: &RunRequest,
        cancel: &Cancel,
        on_line: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<RunOutcome> {
        let mut terminal = match &self.terminals {
            Some(terminals) => Some(terminals.open().map_err(BuildError::Other)?),
            None => None,
        };
        let request = Request::Run {
            request: Box::new(request.clone()),
            shell: terminal.as_ref().map(|t| ShellRequest {
                terminal: t.device().to_path_buf(),
                environment: t.environment(),
            }),
        };
        let mut on_shell = |exit| {
            terminal
                .as_mut()
                .map_or(Ok(()), |t| t.begin(exit).map_err(BuildError::Other))
        };
        match self.ask_on(request, cancel, on_line, &mut on_shell)? {
            Answer::Ran { exit, layer } => Ok(RunOutcome {
                exit,
                layer: layer.map(|layer| *layer),
            }),
            other => Err(unexpected(&other, "RUN")),
        }
    }

    /// Deletes trees inside the namespaces that made them.
    ///
    /// # Errors
    /// Something is not below the store, or cannot be deleted.
    pub fn delete(&self, paths: &[PathBuf]) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let request = Request::Delete(paths.to_vec());
        match self.ask(request, &Cancel::default(), &mut |_, _| {})? {
            Answer::Deleted => Ok(()),
            other => Err(unexpected(&other, "deletion")),
        }
    }

    /// Unpacks a layer that later steps are going to need, where trees of layers are of use;
    /// with `indexing`, the store has the index of what was unpacked then.
    ///
    /// # Errors
    /// The layer is damaged or missing, or needs those below it; it stopped arriving; the disk is full.
    pub fn unpack(
        &self,
        layer: &Layer,
        blob: Blob,
        indexing: Indexing,
        cancel: &Cancel,
    ) -> Result<()> {
        let request = Request::Unpack {
            layer: Box::new(layer.clone()),
            blob,
            indexing,
        };
        match self.ask(request, cancel, &mut |_, _| {})? {
            Answer::Unpacked => Ok(()),
            other => Err(unexpected(&other, "unpacking")),
        }
    }

    /// Whether steps stack layers by overlay mounts, or why not.
    ///
    /// # Errors
    /// The helper process cannot be started.
    pub fn overlay(&self) -> Result<Result<(), String>> {
        match self.ask(Request::Overlay, &Cancel::default(), &mut |_, _| {})? {
            Answer::Overlay(works) => Ok(works),
            other => Err(unexpected(&other, "question")),
        }
    }

    fn ask(
        &self,
        request: Request,
        cancel: &Cancel,
        on_line: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Answer> {
        self.ask_on(request, cancel, on_line, &mut |_| Ok(()))
    }

    fn ask_on(
        &self,
        request: Request,
        cancel: &Cancel,
        on_line: &mut dyn FnMut(Stream, &[u8]),
        on_shell: &mut dyn FnMut(i32) -> Result<()>,
    ) -> Result<Answer> {
        cancel.check()?;
        let connection = self.connection()?;
        let (id, answers) = connection.ask(request)?;
        let (cancelled, mut cancellation) = crossbeam_channel::bounded(1);
        let _registered = cancel.on_cancel(move || {
            let _ = cancelled.try_send(());
        });
        loop {
            let answer = crossbeam_channel::select! {
                recv(answers) -> answer => answer,
                recv(cancellation) -> _ => {
                    connection.send(id, Request::Cancel)?;
                    cancellation = crossbeam_channel::never();
                    continue;
                }
            };
            match answer {
                Ok(Answer::Line { stderr, line }) => {
                    let stream = if stderr {
                        Stream::Stderr
                    } else {
                        Stream::Stdout
                    };
                    on_line(stream, &line);
                }
                Ok(Answer::Shell { exit }) => on_shell(exit)?,
                Ok(Answer::Cancelled) => return Err(Cancelled.into()),
                Ok(Answer::Failed { .. }) if cancel.explains_an_end() => {
                    return Err(Cancelled.into());
                }
                Ok(Answer::Exceeded(limit)) => return Err(sandbox::Exceeded(limit).into()),
                Ok(Answer::Failed {
                    message,
                    is_storage_full,
                    damaged,
                }) => {
                    damaged.into_iter().for_each(|d| self.store.note_damage(d));
                    if is_storage_full {
                        let full = std::io::ErrorKind::StorageFull;
                        return Err(std::io::Error::new(full, message).into());
                    }
                    return Err(BuildError::Helper(message));
                }
                Ok(answer) => return Ok(answer),
                Err(_) if cancel.explains_an_end() => {
                    return Err(Cancelled.into());
                }
                Err(_) => {
                    let text =
                        "the helper process ended unexpectedly (was it killed, or out of memory?)";
                    return Err(BuildError::Helper(text.to_string()));
                }
            }
        }
    }

    fn connection(&self) -> Result<Arc<Connection>> {
        let mut current = self.connection.lock().expect("no asker panics");
        if let Some(connection) = &*current
            && connection.is_alive()
        {
            return Ok(connection.clone());
        }
        let started = Connection::start(&self.program, &self.store, self.isolation()?)?;
        Ok(current.insert(started).clone())
    }
}

struct Connection {
    socket: Mutex<UnixStream>,
    /// `None` once the helper is gone.
    waiting: Mutex<Option<HashMap<u64, Sender<Answer>>>>,
    next: AtomicU64,
    /// Ends when the helper process has.
    ended: Receiver<()>,
    reader: std::thread::ThreadId,
}

/// How long a helper that was asked to end may remove what it had begun. If this process is the
/// first one of a container, its exit kills the helper, so it waits that long.
const LEAVING: Duration = Duration::from_secs(5);

impl Connection {
    /// The thread that starts the helper is the one that reads from it: the kernel
    /// kills a helper when the thread that made it ends.
    fn start(program: &Path, store: &Store, isolation: IsolationMode) -> Result<Arc<Connection>> {
        let (report, reported) = crossbeam_channel::bounded(1);
        let (program, guard) = (program.to_path_buf(), store.guard());
        let store = store.root().to_path_buf();
        std::thread::Builder::new()
            .name("helper".to_string())
            .spawn(move || match launch(&program, store, guard, isolation) {
                Err(error) => drop(report.send(Err(error))),
                Ok((mut child, socket)) => {
                    let (running, ended) = crossbeam_channel::bounded(0);
                    let serve = || -> Result<(Arc<Connection>, UnixStream)> {
                        let connection = Connection {
                            socket: Mutex::new(socket.try_clone()?),
                            waiting: Mutex::new(Some(HashMap::new())),
                            next: AtomicU64::new(0),
                            ended,
                            reader: std::thread::current().id(),
                        };
                        Ok((Arc::new(connection), socket))
                    };
                    match serve() {
                        Err(error) => drop(report.send(Err(error))),
                        Ok((connection, socket)) => {
                            let weak = Arc::downgrade(&connection);
                            drop(report.send(Ok(connection)));
                            dispatch(&weak, socket);
                        }
                    }
                    drop(child.wait());
                    drop(running);
                }
            })
            .context("cannot start a thread")?;
        reported
            .recv()
            .map_err(|_| BuildError::internal("the helper's thread ended"))?
            .with_context(|| format!("cannot start the helper process ({isolation} isolation)"))
    }

    fn is_alive(&self) -> bool {
        self.waiting.lock().expect("no asker panics").is_some()
    }

    fn ask(&self, request: Request) -> Result<(u64, Receiver<Answer>)> {
        // Bounded: a command that prints faster than anybody reads has to wait.
        let (sender, receiver) = crossbeam_channel::bounded(256);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        match &mut *self.waiting.lock().expect("no asker panics") {
            Some(waiting) => waiting.insert(id, sender),
            None => {
                return Err(BuildError::Helper(
                    "the helper process has ended".to_string(),
                ));
            }
        };
        self.send(id, request)?;
        Ok((id, receiver))
    }

    fn send(&self, id: u64, request: Request) -> Result<()> {
        let mut socket = self.socket.lock().expect("no asker panics");
        send(&mut *socket, &Asked { id, request }).context("cannot reach the helper process")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The helper sees the end and leaves; the reading thread then does, too.
        let socket = self.socket.get_mut().expect("no asker panics");
        drop(socket.shutdown(std::net::Shutdown::Write));
        if std::thread::current().id() != self.reader {
            let _ = self.ended.recv_timeout(LEAVING);
        }
    }
}

fn dispatch(connection: &std::sync::Weak<Connection>, mut socket: UnixStream) {
    while let Ok(Some(Answered { id, answer })) = receive::<Answered>(&mut socket) {
        let Some(connection) = connection.upgrade() else {
            continue;
        };
        let is_last = !matches!(answer, Answer::Line { .. } | Answer::Shell { .. });
        let sender = {
            let mut waiting = connection.waiting.lock().expect("no asker panics");
            let Some(waiting) = &mut *waiting else {
                return;
            };
            if is_last {
                waiting.remove(&id)
            } else {
                waiting.get(&id).cloned()
            }
        };
        // Whoever asked may have gone.
        if let Some(sender) = sender {
            drop(sender.send(answer));
        }
    }
    if let Some(connection) = connection.upgrade() {
        // Whoever waits learns it by the end of its channel.
        drop(connection.waiting.lock().expect("no asker panics").take());
    }
}

fn launch(
    program: &Path,
    store: PathBuf,
    guard: Option<Guard>,
    isolation: IsolationMode,
) -> Result<(Child, UnixStream)> {
    let maps = match isolation {
        IsolationMode::Rootless => Some(IdMaps::of_this_user()?),
        _ => None,
    };
    let hello = Hello {
        store,
        isolation,
        id_map: id_map_name(isolation, maps.as_ref()),
        parent: std::process::id(),
        shared: guard.as_ref().map(|guard| guard.found_again),
    };
    let (mut socket, theirs) = UnixStream::pair().context("cannot make a socket")?;
    let mut child = imgmake_guard::program::ourselves(program)
        .arg0(ARGV0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // It is asked for over the socket.
        .env_remove(imgmake_guard::mac::VARIABLE)
        .spawn()
        .with_context(|| format!("cannot execute `{}`", program.display()))?;
    let done = introduce(
        &mut socket,
        &hello,
        guard.as_ref(),
        maps.as_ref(),
        child.id(),
    );
    if let Err(error) = done {
        drop(child.kill());
        drop(child.wait());
        return Err(error);
    }
    Ok((child, socket))
}

fn introduce(
    socket: &mut UnixStream,
    hello: &Hello,
    guard: Option<&Guard>,
    maps: Option<&IdMaps>,
    pid: u32,
) -> Result<()> {
    send(socket, hello)?;
    loop {
        match receive::<Start>(socket)? {
            Some(Start::Ready) => return Ok(()),
            Some(Start::Refused(reason)) => return Err(BuildError::Helper(reason)),
            Some(Start::NeedsIds) => {
                let maps = maps.ok_or_else(|| BuildError::internal("rootless has id maps"))?;
                maps.apply(pid)?;
                send(socket, &())?;
            }
            Some(Start::NeedsKey) => {
                let guard =
                    guard.ok_or_else(|| BuildError::internal("a shared store has a key"))?;
                send(socket, &guard.key)?;
            }
            None => return Err(BuildError::Helper("it ended at once".to_string())),
        }
    }
}

fn unexpected(answer: &Answer, request: &str) -> BuildError {
    BuildError::internal(format!(
        "the helper process answered {answer:?} to a {request}"
    ))
}

fn id_map_name(isolation: IsolationMode, maps: Option<&IdMaps>) -> String {
    match (isolation, maps) {
        (_, Some(maps)) => {
            let hash = blake3::hash(maps.fingerprint().as_bytes()).to_hex();
            format!("rootless-{}", &hash.as_str()[..12])
        }
        (IsolationMode::SingleId, _) => "single".to_string(),
        // Trees and caches of the name `chroot` may hold device nodes.
        (IsolationMode::Chroot, _) => "chroot-2".to_string(),
        (IsolationMode::Root | IsolationMode::Rootless, _) => "root".to_string(),
    }
}
