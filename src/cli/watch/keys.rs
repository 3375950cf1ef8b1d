//! What is typed while `watch` waits: `r` runs again, `q` ends it.

use std::io::{BufRead, IsTerminal};

use imgmake_event::Cancel;

/// Only where a person sits: whoever is in the background would be stopped by the terminal.
pub fn listen(ask: impl Fn() + Send + 'static, ended: Cancel) {
    let stdin = std::io::stdin();
    let group = rustix::process::getpgrp();
    let in_front = rustix::termios::tcgetpgrp(&stdin).is_ok_and(|front| front == group);
    if !stdin.is_terminal() || !in_front {
        return;
    }
    std::thread::spawn(move || {
        for line in stdin.lock().lines().map_while(Result::ok) {
            match line.trim() {
                "r" => ask(),
                "q" => return ended.cancel(),
                _ => {}
            }
        }
    });
}
