//! Ctrl-C without `^C` on the screen: the terminal would write it at the end of the last line, which is full,
//! and the view would lose count of its lines.

use rustix::stdio::stdin;
use rustix::termios::{
    LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr,
};

/// The terminal as it was, until this is dropped.
pub(super) struct NoEcho(Termios);

impl NoEcho {
    /// Nothing, without a terminal that is ours: changing another's would stop the process.
    pub(super) fn begin() -> Option<NoEcho> {
        let is_ours =
            isatty(stdin()) && tcgetpgrp(stdin()).ok() == Some(rustix::process::getpgrp());
        let before = tcgetattr(stdin()).ok().filter(|_| is_ours)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHOCTL);
        tcsetattr(stdin(), OptionalActions::Now, &silent).ok()?;
        Some(NoEcho(before))
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        if tcgetpgrp(stdin()).ok() == Some(rustix::process::getpgrp()) {
            tcsetattr(stdin(), OptionalActions::Now, &self.0).unwrap_or_default();
        }
    }
}
