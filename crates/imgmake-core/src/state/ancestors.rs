//! The processes that this one descends from.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Deeper than any tree of shells.
const MOST: usize = 256;

/// Whether a process is a parent of this one, or a parent's parent.
pub fn has(pid: u32) -> bool {
    leads_to(std::os::unix::process::parent_id(), pid, parent)
}

/// `parent` gives 0 for who has none here. The first process of a container may be a run.
fn leads_to(from: u32, pid: u32, parent: impl Fn(u32) -> Option<u32>) -> bool {
    let mut at = from;
    for _ in 0..MOST {
        if at == pid {
            return true;
        }
        match parent(at) {
            Some(parent) if parent > 0 => at = parent,
            _ => return false,
        }
    }
    false
}

pub fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether this process was started with a descriptor of a file, by its device and inode. What it has
/// opened itself ends with an exec.
pub fn is_inherited(file: (u64, u64)) -> bool {
    let descriptors = fs::read_dir("/proc/self/fd").into_iter().flatten();
    descriptors.flatten().any(|descriptor| {
        let found = fs::metadata(descriptor.path());
        found.is_ok_and(|found| (found.dev(), found.ino()) == file)
            && stays_open(&descriptor.file_name().to_string_lossy())
    })
}

fn stays_open(descriptor: &str) -> bool {
    let facts = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap_or_default();
    let flags = facts.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlags::CLOEXEC.bits() == 0)
}

/// The fourth word, behind a name that may hold anything.
fn parent(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_stays_open_is_inherited_and_another_descriptor_of_it_is_not() {
        let file = tempfile::tempfile().unwrap();
        let found = file.metadata().unwrap();
        let identity = (found.dev(), found.ino());
        assert!(!is_inherited(identity));
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        assert!(is_inherited(identity));
        assert!(!is_inherited((identity.0, 1)));
    }

    #[test]
    fn the_first_process_of_all_is_an_ancestor_too() {
        let parent = |pid: u32| Some(pid / 2);
        assert!(leads_to(13, 1, parent) && leads_to(13, 3, parent));
        assert!(!leads_to(13, 2, parent));
    }

    #[test]
    fn a_parent_and_its_parents_are_and_others_are_not() {
        let parent_of_ours = std::os::unix::process::parent_id();
        assert!(has(parent_of_ours));
        assert!(!has(std::process::id()));
        assert_eq!(parent(std::process::id()), Some(parent_of_ours));
    }
}
