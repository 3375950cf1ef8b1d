//! Processes that have inherited the lock of a run that was killed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use imgmake_guard::program::process_of;
use rustix::process::{Signal, kill_process};

/// A process that the kernel cannot stop by then goes on holding the lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// Device and inode.
type File = (u64, u64);

/// Kills all of them but this one, and returns when they are gone. `lock` is the run's: this
/// process may have inherited locks of others, such as that of a shell that it was started from.
pub fn stop(lock: File) {
    let own = Path::new("/proc/self");
    if !descriptors(own).any(|descriptor| held(own, &descriptor) == Some(lock)) {
        return;
    }
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let holders = holders(lock);
        if holders.is_empty() {
            return;
        }
        for holder in holders.into_iter().filter_map(process_of) {
            // One that is gone already is what was wanted.
            let _ = kill_process(holder, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn holders(lock: File) -> Vec<i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = i32::try_from(std::process::id()).unwrap_or(0);
    let is_holder = |number: &i32| {
        let process = format!("/proc/{number}");
        let process = Path::new(&process);
        *number != ours && descriptors(process).any(|fd| held(process, &fd) == Some(lock))
    };
    numbers.filter(is_holder).collect()
}

fn descriptors(process: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(process.join("fd")).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok())
}

/// The file behind a descriptor, if it is by this one that it is locked: a run that looks who works
/// has opened the file as well.
fn held(process: &Path, descriptor: &str) -> Option<File> {
    let file = fs::metadata(process.join("fd").join(descriptor)).ok()?;
    if !file.is_file() {
        return None;
    }
    let facts = fs::read_to_string(process.join("fdinfo").join(descriptor)).ok()?;
    let is_locked = facts
        .lines()
        .any(|line| line.starts_with("lock:") && line.contains("FLOCK"));
    is_locked.then(|| (file.dev(), file.ino()))
}
