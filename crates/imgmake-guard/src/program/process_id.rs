//! Processes by numbers that were read somewhere. `kill` gives zero and what is below it
//! meanings of their own, and to the kernel group 1 is the whole system.

use rustix::process::Pid;

/// The process of a number above zero. The kernel writes 0 for a process of another
/// namespace, and -1 for what a process that just ended no longer has.
#[must_use]
pub fn process_of(number: i32) -> Option<Pid> {
    #[expect(clippy::disallowed_methods, reason = "the number is above zero")]
    match number {
        1.. => Pid::from_raw(number),
        _ => None,
    }
}

/// A process group that may be signaled: group 1 would be every process there is.
#[must_use]
pub fn group_of(number: i32) -> Option<Pid> {
    process_of(number).filter(|group| !group.is_init())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_mean_many_processes_are_nobodys() {
        let raw = |pid: Option<Pid>| pid.map(|pid| pid.as_raw_nonzero().get());
        for number in [i32::MIN, -2, -1, 0] {
            assert_eq!(process_of(number), None);
            assert_eq!(group_of(number), None);
        }
        assert_eq!(raw(process_of(1)), Some(1));
        assert_eq!(group_of(1), None);
        assert_eq!(raw(process_of(2)), Some(2));
        assert_eq!(raw(group_of(i32::MAX)), Some(i32::MAX));
    }
}
