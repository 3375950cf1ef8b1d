//! The files of a tree and of all trees in it, by their paths.

use std::collections::BTreeMap;

use gix_hash::ObjectId;
use gix_object::TreeRefIter;

use super::local::LocalRepository;
use super::repository::find;
use super::{GitError, Result};
use imgmake_event::Cancel;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub mode: u32,
    pub id: ObjectId,
}

pub(super) type Files = BTreeMap<Vec<u8>, Content>;

/// What may still be met: a repository that has more was made to have it. A tree that is in others many
/// times is met as often.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    levels: usize,
    directories: usize,
    files: usize,
    /// Of all paths.
    bytes: usize,
}

impl Budget {
    pub const WHOLE: Budget = Budget {
        levels: 512,
        directories: 1_000_000,
        files: 5_000_000,
        bytes: 1 << 30,
    };

    fn left(&self) -> [(usize, &'static str, &'static str); 3] {
        [
            (self.directories, "directories of a commit", "directories"),
            (self.files, "files of a commit", "files"),
            (self.bytes, "paths of a commit", "bytes"),
        ]
    }
}

/// Reads trees of a repository, all of them together within one budget.
pub(super) struct TreeFiles<'r> {
    repository: &'r LocalRepository,
    cancel: &'r Cancel,
    given: Budget,
    used: Budget,
}

impl<'r> TreeFiles<'r> {
    pub fn new(repository: &'r LocalRepository, budget: Budget, cancel: &'r Cancel) -> Self {
        let used = Budget {
            levels: 0,
            directories: 0,
            files: 0,
            bytes: 0,
        };
        TreeFiles {
            repository,
            cancel,
            given: budget,
            used,
        }
    }

    /// Adds the files of a tree that lies at a path, which ends with a slash or is empty.
    ///
    /// # Errors
    /// There is no such tree; the budget is used up; somebody cancelled.
    pub fn add(&mut self, tree: ObjectId, at: &[u8], to: &mut Files) -> Result<()> {
        self.tree(tree, &mut at.to_vec(), 0, to)
    }

    fn tree(
        &mut self,
        id: ObjectId,
        path: &mut Vec<u8>,
        depth: usize,
        to: &mut Files,
    ) -> Result<()> {
        if depth > self.given.levels {
            return Err(GitError::Limit {
                what: "directories within each other".into(),
                limit: self.given.levels,
                unit: "levels",
            });
        }
        if self.cancel.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        self.used.directories += 1;
        self.check()?;
        let mut data = Vec::new();
        find(&self.repository.objects, id, &mut data)?;
        for entry in TreeRefIter::from_bytes(&data, self.repository.kind) {
            let entry = entry.map_err(|_| GitError::damaged(format!("tree {id}")))?;
            let length = path.len();
            path.extend_from_slice(entry.filename);
            self.used.bytes += path.len();
            let content = Content {
                mode: u32::from(entry.mode.value()),
                id: entry.oid.to_owned(),
            };
            if entry.mode.is_tree() {
                path.push(b'/');
                self.tree(content.id, path, depth + 1, to)?;
            } else {
                self.used.files += 1;
                self.check()?;
                to.insert(path.clone(), content);
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        for ((used, ..), (given, what, unit)) in self.used.left().into_iter().zip(self.given.left())
        {
            if used > given {
                return Err(GitError::Limit {
                    what: what.into(),
                    limit: given,
                    unit,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::repository::Repository;
    use super::*;
    use gix_hash::Kind;
    use gix_object::Write as _;

    const BUDGET: Budget = Budget {
        levels: 50,
        directories: 1000,
        files: 1000,
        bytes: 100_000,
    };

    fn tree(entries: &[(&str, &str, ObjectId)]) -> Vec<u8> {
        let one = |(mode, name, id): &(&str, &str, ObjectId)| {
            [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat()
        };
        entries.iter().flat_map(one).collect()
    }

    /// Trees in which each level holds the one below twice, and what reading them says.
    fn doubled(levels: usize, name: &str, innermost: &[(&str, &str)]) -> Result<Files> {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("git");
        let repository = Repository::create(&path, Kind::Sha1).unwrap();
        let objects = repository.objects().unwrap();
        let write = |kind, bytes: &[u8]| objects.write_buf(kind, bytes).unwrap();
        let blob = write(gix_object::Kind::Blob, b"1");
        let entries: Vec<_> = innermost
            .iter()
            .map(|(mode, name)| (*mode, *name, blob))
            .collect();
        let mut top = write(gix_object::Kind::Tree, &tree(&entries));
        let (one, other) = (format!("a{name}"), format!("b{name}"));
        for _ in 0..levels {
            let entries = [("40000", one.as_str(), top), ("40000", &other, top)];
            top = write(gix_object::Kind::Tree, &tree(&entries));
        }
        let environment = [("GIT_DIR".to_string(), path.display().to_string())];
        let local = LocalRepository::around(around.path(), &environment.into())
            .unwrap()
            .unwrap();
        let mut files = Files::new();
        let cancel = Cancel::default();
        TreeFiles::new(&local, BUDGET, &cancel).add(top, b"at/", &mut files)?;
        Ok(files)
    }

    #[test]
    fn few_objects_that_are_many_directories_files_or_bytes_are_refused() {
        let files = doubled(3, "", &[("100644", "f")]).unwrap();
        assert_eq!(files.len(), 8);
        assert!(files.contains_key(&b"at/a/b/a/f"[..]));
        let said = |answer: Result<Files>| match answer {
            Ok(files) => panic!("{} files", files.len()),
            Err(error) => error.to_string(),
        };
        let limit = said(doubled(40, "", &[]));
        assert_eq!(
            limit,
            "directories of a commit: limit of 1000 directories exceeded"
        );
        let many: Vec<String> = (0..600).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(|name| ("100644", name.as_str())).collect();
        let limit = said(doubled(1, "", &many));
        assert_eq!(limit, "files of a commit: limit of 1000 files exceeded");
        let limit = said(doubled(8, &"x".repeat(200), &[]));
        assert_eq!(limit, "paths of a commit: limit of 100000 bytes exceeded");
        assert!(said(doubled(60, "", &[])).contains("levels"));
    }
}
