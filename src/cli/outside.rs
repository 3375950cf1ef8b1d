//! `--locked` and `--offline`: what may be asked of the world outside.

use super::args::OutsideArgs;
use crate::exit::Exit;
use crate::targets::{PinUse, Project};
use imgmake_guard::offline;

/// Before anything could connect.
pub fn apply(args: OutsideArgs) {
    if args.offline {
        offline::forbid();
    }
}

/// What the pins are used for: with `--locked`, for nothing that the lock file does not have.
///
/// # Errors
/// `--locked`, and there is no lock file.
pub fn pin_use(project: &Project, args: OutsideArgs, otherwise: PinUse) -> Result<PinUse, Exit> {
    match (&project.lock, args.locked) {
        (_, false) => Ok(otherwise),
        (None, true) => Err(no_lock("`--locked`: the manifest has no `lock`")),
        (Some(lock), true) if !lock.is_there() => {
            let message = format!("`--locked`: lock file `{}` not found", lock.name());
            Err(Exit::usage(message).with_help("`imgmake update` writes it; commit it"))
        }
        (Some(_), true) => Ok(PinUse::Locked),
    }
}

/// What is missing, and how it is written.
pub fn no_lock(message: &str) -> Exit {
    Exit::usage(message).with_help("write `imgmake version=1 { lock \"imgmake.lock\" }`")
}
