//! The helper process: enters the namespaces, then answers requests, a thread for each.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::helper_state::{Lines, Server, Task, answer_to};
use super::protocol::{ARGV0_INSIDE, Answer, Asked, Hello, Request, Start, receive, send};
use super::step;
use crate::error::{BuildError, Context, Result};
use imgmake_guard::confined::remove_tree;
use imgmake_guard::mac::MacKey;
use imgmake_guard::printable::{self, Colors};
use imgmake_oci::store::{Guard, Store};
use imgmake_sandbox::{self as sandbox, IsolationMode, SandboxError};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Started by the parent just now.
    Outside,
    /// In its namespaces, re-executed through a read-only mount.
    Inside,
}

pub(super) fn main(stage: Stage) -> ! {
    let code = match serve(stage) {
        Ok(()) => 0,
        Err(error) => {
            let message = format!("imgmake: helper process: {error:#}");
            eprintln!("{}", printable::message(&message, Colors::Removed));
            1
        }
    };
    std::process::exit(code)
}

/// A signal for the whole process group is the parent's: it cancels what is to be cancelled, and
/// this process cleans up. Handlers, unlike ignored signals, are not inherited by commands.
fn leave_signals_to_the_parent() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())
            .context("cannot leave signals to the parent")?;
    }
    Ok(())
}

fn serve(stage: Stage) -> Result<()> {
    sandbox::die_with_parent()?;
    leave_signals_to_the_parent()?;
    sandbox::close_other_descriptors(1 + 2);
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let mut socket = UnixStream::from(socket);
    let hello = match stage {
        Stage::Outside => match receive::<Hello>(&mut socket)? {
            Some(hello) => hello,
            None => return Ok(()),
        },
        Stage::Inside => hello_from_arguments()?,
    };
    if rustix::process::getppid().map(|p| p.as_raw_nonzero().get().cast_unsigned())
        != Some(hello.parent)
    {
        return Ok(());
    }
    if stage == Stage::Outside {
        if let Err(error) = enter(&hello, &mut socket) {
            send(&mut socket, &Start::Refused(format!("{error:#}")))?;
            return Ok(());
        }
        reexecute(&hello);
    }
    sandbox::die_with_parent()?;
    sandbox::hide_memory()?;
    free_stdin()?;
    // Modes of what is made here are given explicitly.
    rustix::process::umask(rustix::fs::Mode::empty());
    let guard = match hello.shared {
        None => None,
        Some(found_again) => {
            send(&mut socket, &Start::NeedsKey)?;
            let key = receive::<MacKey>(&mut socket)?.ok_or_else(parent_is_gone)?;
            Some(Guard { found_again, key })
        }
    };
    let store = Store::attach(&hello.store, guard)?;
    let server = Arc::new(Server::new(&hello, store, &socket)?);
    send(&mut socket, &Start::Ready)?;
    if server.isolation == IsolationMode::Chroot {
        sandbox::become_subreaper()?;
    }
    sweep(&server);
    answer_requests(&server, &mut socket)
}

fn enter(hello: &Hello, socket: &mut UnixStream) -> Result<()> {
    sandbox::enter(hello.isolation, || {
        send(socket, &Start::NeedsIds)?;
        receive::<()>(socket)?.ok_or_else(parent_is_gone)
    })?;
    Ok(())
}

/// Goes on inside; if that cannot be done, this process serves as it is.
fn reexecute(hello: &Hello) {
    let Ok(hello) = postcard::to_stdvec(hello) else {
        return;
    };
    let text = |text: String| CString::new(text).expect("hex digits and names hold no NUL");
    let argv = [text(ARGV0_INSIDE.to_string()), text(hex::encode(hello))];
    // Settings of the libraries (RAYON_NUM_THREADS, RUST_BACKTRACE) stay.
    let env: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| {
            use std::os::unix::ffi::OsStrExt;
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        })
        .collect();
    sandbox::protected_program(&argv, &env);
}

fn parent_is_gone() -> BuildError {
    BuildError::Helper("the parent process has ended".to_string())
}

fn hello_from_arguments() -> Result<Hello> {
    let argument = std::env::args()
        .nth(1)
        .ok_or_else(|| BuildError::internal("the helper process is started with its greeting"))?;
    Ok(postcard::from_bytes(&hex::decode(argument)?)?)
}

/// The socket lives on under another number; children must not inherit it as their input.
fn free_stdin() -> Result<()> {
    let null = std::fs::File::open("/dev/null").context("cannot open /dev/null")?;
    Ok(rustix::stdio::dup2_stdin(null.as_fd())?)
}

/// Until nobody asks any more. What is still at work then is stopped and waited for:
/// it removes what it had begun.
fn answer_requests(server: &Arc<Server>, socket: &mut UnixStream) -> Result<()> {
    let mut threads = Vec::new();
    let asked_all = answer_each(server, socket, &mut threads);
    for task in server.tasks.lock().expect("no task panics").values() {
        task.cancel();
    }
    for thread in threads {
        // What panicked in there was an answer already.
        drop(thread.join());
    }
    asked_all
}

fn answer_each(
    server: &Arc<Server>,
    socket: &mut UnixStream,
    threads: &mut Vec<std::thread::JoinHandle<()>>,
) -> Result<()> {
    while let Some(Asked { id, request }) = receive::<Asked>(socket)? {
        if let Request::Cancel = request {
            let task = server
                .tasks
                .lock()
                .expect("no task panics")
                .get(&id)
                .cloned();
            if let Some(task) = task {
                task.cancel();
            }
            continue;
        }
        let task = Task::default();
        let mut tasks = server.tasks.lock().expect("no task panics");
        tasks.insert(id, task.clone());
        drop(tasks);
        let in_thread = server.clone();
        let spawned = std::thread::Builder::new()
            .name("request".to_string())
            // Trees may be deep, and their walks recurse.
            .stack_size(16 << 20)
            .spawn(move || answer_one(&in_thread, id, request, &task));
        threads.retain(|thread| !thread.is_finished());
        match spawned {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                let text = format!("cannot start a thread: {error}");
                let damaged = Vec::new();
                let answer = Answer::Failed {
                    message: text,
                    is_storage_full: false,
                    damaged,
                };
                answer_to(&server.out, id, answer);
            }
        }
    }
    Ok(())
}

fn answer_one(server: &Arc<Server>, id: u64, request: Request, task: &Task) {
    let lines = Lines {
        id,
        out: server.out.clone(),
    };
    // Of a layer that is unpacked ahead, the RUN that needs it warns.
    let warns = !matches!(request, Request::Unpack { .. });
    let work = || -> Result<Answer> {
        // The working directory is this thread's own from here on: mounts name
        // directories relative to it. Where nothing can be mounted, containers'
        // seccomp profiles forbid even this.
        if server.isolation != IsolationMode::Chroot {
            sandbox::own_working_directory().context("cannot separate a thread")?;
        }
        match request {
            Request::Run { request, shell } => {
                step::run(server, &request, shell.as_ref(), task, &lines)
            }
            Request::Unpack {
                layer,
                blob,
                indexing,
            } => {
                // Without overlay, layers are put together in one directory, once a step needs them.
                if server.has_overlay()? {
                    let trees = &server.trees;
                    trees.unpack_ahead(&layer, &blob, indexing, &task.cancel)?;
                }
                Ok(Answer::Unpacked)
            }
            Request::Delete(paths) => delete(server.store.root(), &paths),
            Request::Overlay => Ok(Answer::Overlay(server.probed_overlay().clone())),
            Request::Cancel => unreachable!("answered by the main thread"),
        }
    };
    let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    if warns {
        let warnings = server.trees.take_warnings().into_iter();
        warnings.for_each(|warning| lines.warn(&warning));
    }
    let damaged = server.store.take_damage();
    let failed = |message, is_storage_full| Answer::Failed {
        message,
        is_storage_full,
        damaged,
    };
    let answer = match worked {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) if task.cancel.is_cancelled() => Answer::Cancelled,
        Ok(Err(error)) => match error.find().and_then(SandboxError::exceeded) {
            Some(limit) => Answer::Exceeded(limit),
            None => failed(format!("{error:#}"), error.is_storage_full()),
        },
        Err(_) => failed(
            "the helper process has a bug: a request panicked".to_string(),
            false,
        ),
    };
    server.tasks.lock().expect("no task panics").remove(&id);
    answer_to(&server.out, id, answer);
}

fn delete(root: &Path, paths: &[PathBuf]) -> Result<Answer> {
    for path in paths {
        let below = path.strip_prefix(root).is_ok_and(|rest| {
            rest.components()
                .all(|c| matches!(c, std::path::Component::Normal(_)))
                && rest.components().count() > 1
        });
        if !below {
            let what = format!("path `{}`", path.display());
            return Err(BuildError::invalid(what, "it is not in the store"));
        }
        remove_tree(path).with_context(|| format!("cannot delete `{}`", path.display()))?;
    }
    Ok(Answer::Deleted)
}

/// Removes in the background what killed runs left and only this namespace may delete.
fn sweep(server: &Server) {
    sandbox::remove_left_groups();
    let leftovers = server.store.leftovers();
    if leftovers.is_empty() {
        return;
    }
    let isolation = server.isolation;
    std::thread::spawn(move || {
        for left in leftovers {
            if isolation == IsolationMode::Chroot {
                sandbox::kill_rooted_in(&left);
            }
            drop(remove_tree(&left));
        }
    });
}
