//! What the requests of a helper process share: the store, its trees, what this machine can do, and the
//! socket to the parent.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, OnceLock};

use super::protocol::{Answer, Answered, Hello, send};
use crate::error::Result;
use crate::rootfs::{Devices, Marks, Trees};
use imgmake_event::Cancel;
use imgmake_guard::confined::remove_tree;
use imgmake_oci::store::Store;
use imgmake_sandbox::{self as sandbox, IsolationMode, OverlayXattrs, SyscallFilter};

/// Everything that requests share.
pub(super) struct Server {
    pub store: Store,
    pub isolation: IsolationMode,
    pub xattrs: OverlayXattrs,
    pub trees: Arc<Trees>,
    pub program: PathBuf,
    pub(super) out: Arc<Mutex<UnixStream>>,
    pub(super) tasks: Mutex<HashMap<u64, Task>>,
    overlay: OnceLock<Result<(), String>>,
    missing_filter: Once,
    /// Where this run's registrations of emulators are mounted.
    emulators: Mutex<Option<PathBuf>>,
}

/// One request in progress.
#[derive(Clone, Default)]
pub(super) struct Task {
    pub cancel: Cancel,
    killers: Arc<Mutex<Vec<Killer>>>,
}

type Killer = Box<dyn Fn() + Send>;

impl Task {
    /// To be called when the task is cancelled, now or later.
    pub(super) fn on_cancel(&self, kill: impl Fn() + Send + 'static) {
        let mut killers = self.killers.lock().expect("no killer panics");
        if self.cancel.is_cancelled() {
            kill();
        }
        killers.push(Box::new(kill));
    }

    pub(super) fn cancel(&self) {
        let killers = self.killers.lock().expect("no killer panics");
        self.cancel.cancel();
        for kill in &*killers {
            kill();
        }
    }
}

/// Where the lines of one request go.
#[derive(Clone)]
pub(super) struct Lines {
    pub(super) id: u64,
    pub(super) out: Arc<Mutex<UnixStream>>,
}

impl Lines {
    pub(super) fn send(&self, stderr: bool, line: &[u8]) {
        let answer = Answer::Line {
            stderr,
            line: line.to_vec(),
        };
        answer_to(&self.out, self.id, answer);
    }

    pub(super) fn shell_opens(&self, exit: i32) {
        answer_to(&self.out, self.id, Answer::Shell { exit });
    }

    pub(super) fn warn(&self, text: &str) {
        self.send(true, format!("imgmake: warning: {text}").as_bytes());
    }
}

pub(super) fn answer_to(out: &Mutex<UnixStream>, id: u64, answer: Answer) {
    let mut out = out.lock().expect("no sender panics");
    // The parent may be gone; then the kernel is about to end this process.
    drop(send(&mut *out, &Answered { id, answer }));
}

impl Server {
    pub(super) fn new(hello: &Hello, store: Store, socket: &UnixStream) -> Result<Server> {
        let out = Arc::new(Mutex::new(socket.try_clone()?));
        let inside = sandbox::inside();
        let id_map = match (hello.isolation, inside.xattrs) {
            // Real root of a container's user namespace: other marks, other trees.
            (IsolationMode::Root, OverlayXattrs::User) => "root-nested".to_string(),
            _ => hello.id_map.clone(),
        };
        let trees = Trees::new(
            store.clone(),
            id_map,
            match inside.xattrs {
                OverlayXattrs::Trusted => Marks::Trusted,
                OverlayXattrs::User => Marks::User,
            },
            // In chroot isolation no mount is `nodev`.
            if inside.devices && hello.isolation == IsolationMode::Root {
                Devices::Real
            } else {
                Devices::Placeholders
            },
            hello.isolation == IsolationMode::SingleId,
        );
        Ok(Server {
            store,
            isolation: hello.isolation,
            xattrs: inside.xattrs,
            trees: Arc::new(trees),
            program: PathBuf::from("/proc/self/exe"),
            out,
            tasks: Mutex::new(HashMap::new()),
            overlay: OnceLock::new(),
            missing_filter: Once::new(),
            emulators: Mutex::default(),
        })
    }

    /// Says once that nothing stands before the system calls of a RUN.
    pub(super) fn tell_of_missing_filter(&self, lines: &Lines) {
        self.missing_filter.call_once(|| {
            if sandbox::syscall_filter(self.isolation) == SyscallFilter::Missing {
                lines.warn(
                    "no system call filter: this container has none (Docker: leave out \
                     `--security-opt seccomp=unconfined`; Kubernetes: `seccompProfile: {type: RuntimeDefault}`), \
                     and imgmake may load its own only with CAP_SYS_ADMIN",
                );
            }
        });
    }

    /// Whether overlay works on the store's file system; probed once.
    pub(super) fn has_overlay(&self) -> Result<bool> {
        Ok(self.probed_overlay().is_ok())
    }

    pub(super) fn probed_overlay(&self) -> &Result<(), String> {
        self.overlay.get_or_init(|| {
            if self.isolation == IsolationMode::Chroot {
                return Err("the chroot isolation cannot mount".to_string());
            }
            let probe = || -> Result<()> {
                let scratch = self.store.temporary_dir()?;
                let probed = sandbox::probe_overlay(&scratch, self.xattrs);
                drop(remove_tree(&scratch));
                Ok(probed?)
            };
            probe().map_err(|error| format!("{error:#}"))
        })
    }

    /// Sees to it that programs of an architecture can be executed, where this run can.
    /// Failure is no error yet: the step may not execute any, and if it does, it says more.
    pub(super) fn emulate(&self, architecture: &str) {
        // Elsewhere a registration would be everybody's.
        if architecture.is_empty()
            || !matches!(
                self.isolation,
                IsolationMode::Rootless | IsolationMode::SingleId
            )
        {
            return;
        }
        let mut at = self.emulators.lock().expect("no registering panics");
        if at.is_none() {
            *at = self.store.temporary_dir().ok();
        }
        if let Some(at) = &*at {
            // Without one a command of that architecture fails, and `doctor` says why.
            let _ = sandbox::register_emulator(architecture, at);
        }
    }
}
