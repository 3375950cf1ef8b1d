//! `--offline`: this process opens no connection. One switch for all of it, asked where connections
//! are made, so that no part can forget to hand it on.

use std::sync::atomic::{AtomicBool, Ordering};

static FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// From now on nothing connects.
pub fn forbid() {
    FORBIDDEN.store(true, Ordering::Relaxed);
}

pub fn is_forbidden() -> bool {
    FORBIDDEN.load(Ordering::Relaxed)
}

/// Asked before a connection to a host, and before a program that would make one.
///
/// # Errors
/// `--offline` is given.
pub fn check(host: &str) -> Result<(), Offline> {
    match is_forbidden() {
        false => Ok(()),
        true => Err(Offline {
            host: host.to_string(),
        }),
    }
}

/// What would have been asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`--offline` is set, and this is not in the store: it needs a connection to `{host}`")]
pub struct Offline {
    pub host: String,
}
