//! How many targets and steps run at the same time.

use std::num::NonZero;

use super::args::RunArgs;
use crate::targets::Project;

/// Of memory that is left, for each: a compiler or a package manager takes as much.
const MEMORY_OF_ONE: u64 = 512 << 20;

/// `-j`, else the manifest's `jobs`, else more than there are processors (steps wait for disks,
/// networks and other programs as often as they compute), and no more than the memory is for.
pub fn jobs(args: &RunArgs, project: &Project) -> usize {
    if args.shell_on_fail {
        return 1;
    }
    let settings = &project.graph.manifest().settings;
    let written = args.jobs.map(NonZero::get).or(settings.jobs);
    written.unwrap_or_else(|| {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        by_default(processors, memory())
    })
}

fn by_default(processors: usize, memory: Option<u64>) -> usize {
    let wanted = (2 * processors).max(4);
    let fits = memory.map(|bytes| usize::try_from(bytes / MEMORY_OF_ONE).unwrap_or(usize::MAX));
    wanted.min(fits.unwrap_or(wanted)).max(1)
}

/// What may still be used, in bytes: of the machine, and of the control group that this process is in.
fn memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| available(&text));
    let group = read("/sys/fs/cgroup/memory.max").zip(read("/sys/fs/cgroup/memory.current"));
    let group = group.and_then(|(most, now)| {
        let most: u64 = most.trim().parse().ok()?;
        let now: u64 = now.trim().parse().ok()?;
        Some(most.saturating_sub(now))
    });
    machine.into_iter().chain(group).min()
}

/// `MemAvailable` of `/proc/meminfo`, which counts in KiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_memory_means_fewer_jobs_and_never_none() {
        for (processors, memory, jobs) in [
            (1, None, 4),
            (8, None, 16),
            (8, Some(64 << 30), 16),
            (8, Some(2 << 30), 4),
            (8, Some(1 << 20), 1),
        ] {
            assert_eq!(
                by_default(processors, memory),
                jobs,
                "{processors} {memory:?}"
            );
        }
        let text = "MemTotal:  16 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available(text), Some(2 << 20));
    }
}
