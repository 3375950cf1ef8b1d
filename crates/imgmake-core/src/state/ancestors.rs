//! The processes that this one descends from.

use std::path::Path;

/// Deeper than any tree of shells.
const MOST: usize = 256;

/// Whether a process is a parent of this one, or a parent's parent.
pub fn has(pid: u32) -> bool {
    let mut at = std::os::unix::process::parent_id();
    for _ in 0..MOST {
        if at == pid {
            return true;
        }
        match parent(at) {
            Some(parent) if parent > 1 => at = parent,
            _ => return false,
        }
    }
    false
}

pub fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
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
    fn a_parent_and_its_parents_are_and_others_are_not() {
        let parent_of_ours = std::os::unix::process::parent_id();
        assert!(has(parent_of_ours));
        assert!(!has(std::process::id()));
        assert_eq!(parent(std::process::id()), Some(parent_of_ours));
    }
}
