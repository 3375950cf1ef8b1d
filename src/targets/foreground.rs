//! The foreground of the terminal, lent to a command: what is typed, Ctrl-C included, goes to it alone.

use std::fs::File;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpgrp, kill_process_group};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use imgmake_sandbox::may_hand_the_terminal_over;

const TERMINAL: &str = "/dev/tty";

/// Taken back when dropped.
pub struct Foreground {
    terminal: File,
    before: Pid,
}

impl Foreground {
    /// `None` where there is no terminal, or this process works in its background.
    pub fn lend(group: Pid) -> Option<Foreground> {
        let terminal = File::options().read(true).write(true).open(TERMINAL).ok()?;
        let before = tcgetpgrp(&terminal).ok()?;
        if before != getpgrp() {
            return None;
        }
        may_hand_the_terminal_over();
        tcsetpgrp(&terminal, group).ok()?;
        let lent = Foreground { terminal, before };
        // It may have been stopped because it read before it had the terminal.
        resume(group);
        Some(lent)
    }
}

/// Whether this process works in the background of its terminal: what reads there is stopped.
pub fn is_background() -> bool {
    let Ok(terminal) = File::open(TERMINAL) else {
        // Nobody is stopped where none is in charge.
        return false;
    };
    match tcgetpgrp(&terminal) {
        Ok(group) => group != getpgrp(),
        // That group has no number in this namespace of process numbers, so nothing can be lent.
        Err(Errno::OPNOTSUPP) => true,
        Err(_) => false,
    }
}

/// A stopped command would keep the terminal, and nobody could wake it.
pub fn resume(group: Pid) {
    // One that is gone needs nothing.
    let _ = kill_process_group(group, Signal::CONT);
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // A terminal that is gone is lent to nobody.
        let _ = tcsetpgrp(&self.terminal, self.before);
    }
}
