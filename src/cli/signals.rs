//! Ctrl-C, SIGTERM and SIGHUP: the first one stops the run, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::{Signal, set_parent_process_death_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use imgmake_event::Cancel;

/// Remembers which signal came.
#[derive(Clone)]
pub struct Stopped(Arc<AtomicI32>);

impl Stopped {
    /// The exit code that says so: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    pub fn exit_code(&self) -> Option<u8> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            signal => u8::try_from(128 + signal).ok(),
        }
    }
}

/// Stops this run when the process that started it is gone, however it ended.
pub fn end_with_parent() {
    // Where the kernel refuses, its parent still passes signals on.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
}

/// Cancels when a signal comes.
pub fn listen(cancel: &Cancel) -> Stopped {
    let stopped = Stopped(Arc::new(AtomicI32::new(0)));
    let (cancel, remembered) = (cancel.clone(), Arc::clone(&stopped.0));
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return stopped;
    };
    std::thread::spawn(move || {
        for signal in &mut signals {
            if remembered.swap(signal, Ordering::SeqCst) != 0 {
                // The second signal: exit at once; the kernel kills what is left.
                std::process::exit(128 + signal);
            }
            cancel.cancel();
        }
    });
    stopped
}
