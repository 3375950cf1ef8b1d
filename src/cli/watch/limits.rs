//! Why the kernel watches no more directories for us.

use std::fs;

use rustix::io::Errno;

use crate::exit::{self, Exit};
use crate::file_notices::Unwatchable;

/// What the error means for whoever reads it, and what to do.
pub(super) fn unwatchable(failed: &Unwatchable) -> Exit {
    let is = |wanted: Errno| failed.error.raw_os_error() == Some(wanted.raw_os_error());
    if is(Errno::NOSPC) {
        let at = match &failed.directory {
            Some(path) => format!(" at `{}`", path.display()),
            None => String::new(),
        };
        let message = format!(
            "cannot watch for changes: the user's limit of inotify watches{} is reached{at}",
            limit("watches")
        );
        return Exit::error(exit::FAILED, message).with_help(
            "each directory needs one: as root, `sysctl fs.inotify.max_user_watches=524288` raises the limit, and a line in a file of /etc/sysctl.d keeps it; or name large directories that no target reads in the manifest: `watch { ignore \"node_modules/**\" }`",
        );
    }
    if is(Errno::MFILE) {
        let message = format!(
            "cannot watch for changes: the user's limit of inotify instances{} is reached",
            limit("instances")
        );
        return Exit::error(exit::FAILED, message).with_help(
            "editors and other watchers use one each: close some, or as root `sysctl fs.inotify.max_user_instances=512` raises the limit",
        );
    }
    Exit::error(exit::FAILED, format!("cannot watch for changes: {failed}"))
}

/// The smaller of the two that hold for this user, as ` (8192)`.
fn limit(what: &str) -> String {
    let files = [
        format!("/proc/sys/fs/inotify/max_user_{what}"),
        format!("/proc/sys/user/max_inotify_{what}"),
    ];
    let read = |file: &String| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let least = files.iter().filter_map(read).min();
    least.map_or(String::new(), |least| format!(" ({least})"))
}
