//! Copies of a project for builds that start from nothing: what is there before anything was built, and no way
//! back to the project.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::targets::git_ignore::{GitIgnore, Ignored};
use imgmake_event::Cancel;
use imgmake_guard::modes::{self, PRIVATE};

/// Directories nested deeper than this are refused.
const DEEPEST: usize = 200;

/// What is copied. All paths are absolute, and lead through no link.
pub struct Original {
    pub root: PathBuf,
    /// The directory of the copies, which may be inside.
    pub copies: PathBuf,
    /// What targets make.
    pub made: BTreeSet<PathBuf>,
    /// What git ignores, unless it is copied, too.
    pub ignore: Option<GitIgnore>,
    /// Files that the manifest reads, ignored or not.
    pub read: BTreeSet<PathBuf>,
}

impl Original {
    /// Files, directories and links with their modes and times; the state of runs is left out, and what is no file.
    /// Returns what was left out because it is made or ignored.
    ///
    /// # Errors
    /// Something cannot be copied.
    pub fn copy(&self, to: &Path, cancel: &Cancel) -> anyhow::Result<Vec<PathBuf>> {
        let mut walk = Walk {
            original: self,
            cancel,
            left_out: Vec::new(),
        };
        walk.directory(&self.root, to, false, 0)?;
        if let Some(problem) = self.ignore.as_ref().and_then(GitIgnore::problem) {
            anyhow::bail!(
                "cannot tell which files git tracks: its index cannot be read: {problem}"
            );
        }
        Ok(walk.left_out)
    }

    /// Where a link of the project leads in a copy: one back into the project, by its full path or by way of what
    /// is above it, leads to the same place of the copy.
    fn leads(&self, link: &Path) -> io::Result<PathBuf> {
        let text = fs::read_link(link)?;
        let directory = link.parent().unwrap_or(&self.root);
        let written = directory.join(&text);
        if text.is_relative() && self.stays_inside(directory, &text) {
            return Ok(text);
        }
        let place = straight(&written);
        let inside = [place.clone(), real(&place)]
            .into_iter()
            .find_map(|place| place.strip_prefix(&self.root).ok().map(Path::to_path_buf));
        let Some(inside) = inside else {
            return Ok(text);
        };
        let depth = directory.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let up = depth.components().map(|_| Component::ParentDir);
        let leads: PathBuf = up.chain(inside.components()).collect();
        Ok(match leads.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => leads,
        })
    }

    /// Whether a relative way never climbs above the project.
    fn stays_inside(&self, directory: &Path, text: &Path) -> bool {
        let mut at = directory.to_path_buf();
        text.components().all(|part| {
            match part {
                Component::ParentDir => {
                    at.pop();
                }
                part => at.push(part),
            }
            at.starts_with(&self.root)
        })
    }
}

struct Walk<'a> {
    original: &'a Original,
    cancel: &'a Cancel,
    left_out: Vec<PathBuf>,
}

impl Walk<'_> {
    fn directory(
        &mut self,
        from: &Path,
        to: &Path,
        is_ignored: bool,
        depth: usize,
    ) -> anyhow::Result<()> {
        self.cancel.check()?;
        if depth > DEEPEST {
            return Err(anyhow!("directories are nested more than {DEEPEST} deep"));
        }
        modes::make_dirs(to, PRIVATE)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if entry.file_name() == ".imgmake" || path == self.original.copies {
                continue;
            }
            let judged = self.judge(&path, kind.is_dir(), is_ignored);
            let ignored = judged == Ignored::Yes;
            let goes_on = kind.is_dir() && self.is_read_below(&path);
            if self.original.made.contains(&path)
                || (ignored && !goes_on && !self.original.read.contains(&path))
            {
                // What is ignored with its directory was named with it, or is of no matter.
                if !is_ignored {
                    let inside = path.strip_prefix(&self.original.root).unwrap_or(&path);
                    self.left_out.push(inside.to_path_buf());
                }
                continue;
            }
            let failed = || path.display().to_string();
            if kind.is_symlink() {
                symlink(self.original.leads(&path).with_context(failed)?, &target)?;
            } else if kind.is_dir() {
                self.directory(&path, &target, judged != Ignored::No, depth + 1)?;
            } else if kind.is_file() {
                self.cancel.check()?;
                fs::copy(&path, &target).with_context(failed)?;
                same_time(&path, &target).with_context(failed)?;
            }
        }
        same_time(from, to)?;
        fs::set_permissions(to, fs::metadata(from)?.permissions())?;
        Ok(())
    }

    fn judge(&self, path: &Path, is_directory: bool, is_ignored: bool) -> Ignored {
        let Some(ignore) = &self.original.ignore else {
            return Ignored::No;
        };
        let inside = path.strip_prefix(&self.original.root).unwrap_or(path);
        let inside = inside.to_string_lossy();
        match is_ignored {
            true if ignore.tracks(&inside) => Ignored::ButTracked,
            true => Ignored::Yes,
            false => ignore.judge_itself(&inside, || is_directory),
        }
    }

    fn is_read_below(&self, directory: &Path) -> bool {
        let mut read = self.original.read.range(directory.to_path_buf()..);
        read.next().is_some_and(|path| path.starts_with(directory))
    }
}

/// `make` and its like judge by it.
fn same_time(from: &Path, to: &Path) -> io::Result<()> {
    let modified = fs::metadata(from)?.modified()?;
    File::open(to)?.set_times(FileTimes::new().set_modified(modified))
}

/// A path without `.` and `..`, by text alone.
pub fn straight(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                straight.pop();
            }
            part => straight.push(part),
        }
    }
    straight
}

/// A path through no link, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let found = path
        .ancestors()
        .find_map(|above| above.canonicalize().ok().map(|real| (above, real)));
    found.map_or_else(
        || path.to_path_buf(),
        |(above, real)| real.join(path.strip_prefix(above).unwrap_or(Path::new(""))),
    )
}

/// Gives a directory and all that is in it to another user, the directory last: until then nobody else gets in,
/// and so nobody exchanges what is given.
///
/// # Errors
/// Something cannot be given.
pub fn give(path: &Path, user: u32, group: u32) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user, group)?;
        }
    }
    lchown(path, Some(user), Some(group))
}

/// Lets its owner remove all that is in a directory. What cannot be made so is said when it is removed.
pub fn unlock(path: &Path) {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    if !meta.is_dir() {
        return;
    }
    let mode = meta.permissions().mode();
    if mode & PRIVATE != PRIVATE {
        drop(fs::set_permissions(
            path,
            fs::Permissions::from_mode(mode | PRIVATE),
        ));
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        unlock(&entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(root: &Path) -> Original {
        Original {
            root: root.to_path_buf(),
            copies: root.join("tmp/copies"),
            made: BTreeSet::from([root.join("stamp")]),
            ignore: None,
            read: BTreeSet::from([root.join("private/deep/token")]),
        }
    }

    fn tree(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap().join("project");
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        (directory, root)
    }

    #[test]
    fn links_into_the_project_lead_into_the_copy() {
        let (directory, root) = tree(&["a/b/file"]);
        let full = |text: &str| root.join(text).display().to_string();
        for (text, expected) in [
            ("file", "file"),
            ("../../a/b/file", "../../a/b/file"),
            ("../gone", "../gone"),
            (&full("a/b/file"), "../../a/b/file"),
            (&full("not/there"), "../../not/there"),
            (&full("a/../../project/x"), "../../x"),
            ("../../../project/x", "../../x"),
            (&full(""), "../.."),
            ("/usr/share", "/usr/share"),
            ("../../../other", "../../../other"),
        ] {
            let link = root.join("a/b/link");
            drop(fs::remove_file(&link));
            symlink(text, &link).unwrap();
            let leads = original(&root).leads(&link).unwrap();
            assert_eq!(leads, Path::new(expected), "{text}");
        }
        // By another name of the project, too.
        let alias = directory.path().join("alias");
        symlink(&root, &alias).unwrap();
        let link = root.join("top");
        symlink(alias.join("new/file"), &link).unwrap();
        let leads = original(&root).leads(&link).unwrap();
        assert_eq!(leads, Path::new("new/file"));
    }

    #[test]
    fn what_is_made_or_ignored_is_left_out_and_times_stay() {
        let (directory, root) = tree(&[
            "stamp",
            "tmp/kept",
            "tmp/copies/x",
            ".imgmake/log",
            "target/x",
            "private/deep/token",
            "private/other",
            "src/own.o",
        ]);
        fs::create_dir(root.join(".git")).unwrap();
        fs::write(root.join(".gitignore"), "target/\nprivate/\n*.o\n").unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        for path in ["tmp/kept", "src"] {
            let file = File::open(root.join(path)).unwrap();
            file.set_times(FileTimes::new().set_modified(old)).unwrap();
        }
        let original = Original {
            ignore: Some(GitIgnore::of(&root, &Default::default())),
            ..original(&root)
        };
        let to = directory.path().join("copy");
        let mut left_out = original.copy(&to, &Cancel::default()).unwrap();
        left_out.sort();
        let named = ["src/own.o", "stamp", "target"].map(PathBuf::from);
        assert_eq!(left_out, named);
        for there in ["tmp/kept", "private/deep/token", ".gitignore", "src"] {
            assert!(to.join(there).exists(), "{there}");
        }
        for gone in ["tmp/copies", ".imgmake", "private/other"] {
            assert!(!to.join(gone).exists(), "{gone}");
        }
        for path in ["tmp/kept", "src"] {
            let modified = fs::metadata(to.join(path)).unwrap().modified().unwrap();
            assert_eq!(modified, old, "{path}");
        }
    }

    #[test]
    fn the_directory_itself_is_given_last() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        use std::os::unix::fs::MetadataExt;
        let (_directory, root) = tree(&["a/b"]);
        // So many that the first and the last have different times.
        for n in 0..8000 {
            fs::write(root.join(format!("a/{n}")), "").unwrap();
        }
        give(&root, 4711, 4712).unwrap();
        let times = ["a/b", "a", ""].map(|path| {
            let meta = fs::symlink_metadata(root.join(path)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (4711, 4712), "{path}");
            (meta.ctime(), meta.ctime_nsec())
        });
        assert!(times.is_sorted(), "{times:?}");
    }
}
