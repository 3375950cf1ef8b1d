//! Which ids a user namespace maps: `/etc/subuid`, `/etc/subgid` and the programs that apply them.

use std::process::Stdio;

use super::error::{During as _, Result, SandboxError};
use imgmake_guard::program::{Kind, Program};

/// `count` ids from `inside` on are those from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdMaps {
    pub uids: Vec<Range>,
    pub gids: Vec<Range>,
    applied_by: AppliedBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum AppliedBy {
    /// `newuidmap` and `newgidmap`, which are setuid and check the ranges.
    Programs,
    /// This process, which is root (in a container) and may write them itself.
    Us,
}

impl IdMaps {
    /// The maps of this user.
    ///
    /// # Errors
    /// There are no ranges, or not the programs; the message says what to install or write.
    pub fn of_this_user() -> Result<IdMaps> {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        if uid == 0 {
            return IdMaps::of_container_root();
        }
        let name = user_name(uid);
        for program in ["newuidmap", "newgidmap"] {
            if find_program(program).is_none() {
                return Err(not_installed(program));
            }
        }
        let maps = IdMaps {
            uids: with_own(uid, &sub_ids("/etc/subuid", name.as_deref(), uid)?),
            gids: with_own(gid, &sub_ids("/etc/subgid", name.as_deref(), uid)?),
            applied_by: AppliedBy::Programs,
        };
        Ok(maps)
    }

    /// Every id that this process has, under the same number.
    fn of_container_root() -> Result<IdMaps> {
        let read = |path: &str| -> Result<Vec<Range>> {
            let text =
                std::fs::read_to_string(path).with_during(|| format!("cannot read {path}"))?;
            let same = text.lines().filter_map(|line| {
                let mut numbers = line.split_whitespace();
                let inside = numbers.next()?.parse().ok()?;
                let count = numbers.nth(1)?.parse().ok()?;
                Some(Range {
                    inside,
                    outside: inside,
                    count,
                })
            });
            Ok(same.collect())
        };
        Ok(IdMaps {
            uids: read("/proc/self/uid_map")?,
            gids: read("/proc/self/gid_map")?,
            applied_by: AppliedBy::Us,
        })
    }

    /// Gives these maps to a process that has just made its user namespace.
    ///
    /// # Errors
    /// The system refuses; with the words of `newuidmap`.
    pub fn apply(&self, pid: u32) -> Result<()> {
        for (program, file, ranges) in [
            ("newuidmap", "uid_map", &self.uids),
            ("newgidmap", "gid_map", &self.gids),
        ] {
            match self.applied_by {
                AppliedBy::Us => {
                    let text: String = ranges.iter().map(line).collect();
                    let path = format!("/proc/{pid}/{file}");
                    std::fs::write(&path, text).with_during(|| format!("cannot write {path}"))?;
                }
                AppliedBy::Programs => run_map_program(program, pid, ranges)?,
            }
        }
        Ok(())
    }

    /// A stable text: trees made under one map are of no use under another.
    pub fn fingerprint(&self) -> String {
        let text = |ranges: &[Range]| ranges.iter().map(line).collect::<String>();
        format!("uid\n{}gid\n{}", text(&self.uids), text(&self.gids))
    }
}

fn line(range: &Range) -> String {
    format!("{} {} {}\n", range.inside, range.outside, range.count)
}

fn run_map_program(program: &str, pid: u32, ranges: &[Range]) -> Result<()> {
    let path = find_program(program).ok_or_else(|| not_installed(program))?;
    let nothing: [(&str, &str); 0] = [];
    let mapping = Program::new(Kind::IdMap, path, nothing)?.configure(|command| {
        command.arg(pid.to_string());
        for range in ranges {
            command.args([range.inside, range.outside, range.count].map(|n| n.to_string()));
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped())
    });
    let output = mapping
        .spawn()?
        .output()
        .with_during(|| format!("cannot run `{program}`"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(SandboxError::ProgramFailed {
            program: program.into(),
            message: message.trim().into(),
        });
    }
    Ok(())
}

fn not_installed(program: &str) -> SandboxError {
    SandboxError::NotInstalled {
        program: program.into(),
        package: "the package `uidmap` or `shadow-utils`".into(),
    }
}

/// Not through PATH alone: cron and CI jobs often lack the system directories.
fn find_program(name: &str) -> Option<std::path::PathBuf> {
    [
        "/usr/bin",
        "/bin",
        "/usr/sbin",
        "/usr/local/bin",
        "/run/wrappers/bin",
    ]
    .iter()
    .map(|dir| std::path::Path::new(dir).join(name))
    .find(|path| path.is_file())
}

/// Its number where it has no name.
pub(super) fn name_of_this_user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    user_name(uid).unwrap_or_else(|| uid.to_string())
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == uid).then(|| name.to_string())
    })
}

fn sub_ids(file: &'static str, name: Option<&str>, uid: u32) -> Result<Vec<(u32, u32)>> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let ranges = parse_sub_ids(&text, name, uid);
    if ranges.is_empty() {
        let user = name.map_or_else(|| uid.to_string(), str::to_string);
        return Err(SandboxError::NoIds { file, user });
    }
    Ok(ranges)
}

fn parse_sub_ids(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    let mine = |owner: &str| Some(owner) == name || owner == uid;
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            let start: u32 = fields.next()?.parse().ok()?;
            let count: u32 = fields.next()?.parse().ok()?;
            (mine(owner) && count > 0).then_some((start, count))
        })
        .collect()
}

/// Root inside is the user; the ranges follow from 1 on.
fn with_own(own: u32, ranges: &[(u32, u32)]) -> Vec<Range> {
    let mut map = vec![Range {
        inside: 0,
        outside: own,
        count: 1,
    }];
    let mut next = 1u32;
    for (start, count) in ranges {
        map.push(Range {
            inside: next,
            outside: *start,
            count: *count,
        });
        next = next.saturating_add(*count);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_id_and_follow_each_other() {
        let text = "other:1:1\nann:100000:65536\n# no\n1000:300000:10\nann:x:y\n";
        let ranges = parse_sub_ids(text, Some("ann"), 1000);
        assert_eq!(ranges, [(100_000, 65536), (300_000, 10)]);
        let map = with_own(1000, &ranges);
        let text: String = map.iter().map(line).collect();
        assert_eq!(text, "0 1000 1\n1 100000 65536\n65537 300000 10\n");
    }
}
