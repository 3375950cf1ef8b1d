//! How many targets and steps run at the same time.

use std::num::NonZero;
use std::path::Path;

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

/// What may still be used, in bytes: of the machine, and of the control group that this process is in
/// and those above it. Files that the kernel keeps in memory and gives up for programs are free.
fn memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| available(&text));
    let group = imgmake_sandbox::own_unified_group()
        .and_then(|(group, mount)| left_of_groups(&group, &mount));
    machine.into_iter().chain(group).min()
}

/// The least that is left of a group and those above it, up to the mount; of those with a limit.
fn left_of_groups(group: &Path, mount: &Path) -> Option<u64> {
    let groups = group.ancestors().take_while(|one| one.starts_with(mount));
    groups.filter_map(left_of_group).min()
}

/// `None` without a limit (`max`), or where memory is not counted.
fn left_of_group(group: &Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let most: u64 = read("memory.max")?.trim().parse().ok()?;
    let now: u64 = read("memory.current")?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let files = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "));
    let files: u64 = files.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(now.saturating_sub(files)))
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

    #[test]
    fn the_tightest_group_counts_and_cached_files_are_free() {
        let mount = tempfile::tempdir().unwrap();
        let group = |path: &str, files: &[(&str, &str)]| {
            let path = mount.path().join(path);
            std::fs::create_dir_all(&path).unwrap();
            for (name, text) in files {
                std::fs::write(path.join(name), text).unwrap();
            }
            path
        };
        let left = |path: &Path| left_of_groups(path, mount.path());
        let gib = |n: u64| (n << 30).to_string() + "\n";
        let unlimited = group("a", &[("memory.max", "max\n"), ("memory.current", "5\n")]);
        assert_eq!(left(&unlimited), None);
        let stat = format!("anon 7\ninactive_file {}active_file 9\n", gib(3));
        let files = [
            ("memory.max", &*gib(8)),
            ("memory.current", &gib(7)),
            ("memory.stat", &stat),
        ];
        let warm = group("a/warm", &files);
        assert_eq!(left(&warm), Some(4 << 30));
        let files = [("memory.max", &*gib(64)), ("memory.current", &gib(1))];
        assert_eq!(left(&group("a/warm/own", &files)), Some(4 << 30));
        let full = [("memory.max", &*gib(1)), ("memory.current", &gib(2))];
        assert_eq!(left(&group("a/warm/full", &full)), Some(0));
    }
}
