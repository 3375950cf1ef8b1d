//! A repository of this machine, found from a directory of its checkout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix_hash::{Kind, ObjectId};
use gix_ref::{Target, file};

use super::config::{Setting, settings};
use super::{GitError, Result};

pub(super) struct LocalRepository {
    /// `.git` of this checkout.
    pub own: PathBuf,
    /// What linked work trees share lies with the first one.
    pub common: PathBuf,
    /// Of the files; `None` where there are none.
    pub top: Option<PathBuf>,
    pub kind: Kind,
    pub settings: Vec<Setting>,
    pub references: file::Store,
    pub objects: gix_odb::Handle,
}

impl LocalRepository {
    /// `None` where there is no repository.
    pub fn around(
        directory: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Option<LocalRepository>> {
        let named = |name: &str| {
            let path = environment.get(name).filter(|path| !path.is_empty());
            path.map(|path| directory.join(path))
        };
        let (own, top) = match named("GIT_DIR") {
            Some(own) => {
                let top = named("GIT_WORK_TREE").unwrap_or_else(|| directory.to_path_buf());
                (own, Some(top))
            }
            None => match gix_discover::upwards(directory) {
                Ok((found, _)) => found.into_repository_and_work_tree_directories(),
                Err(_) => return Ok(None),
            },
        };
        let common = match std::fs::read_to_string(own.join("commondir")) {
            Ok(text) => own.join(text.trim_end_matches('\n')),
            Err(_) => own.clone(),
        };
        let text = imgmake_guard::bounded::read(common.join("config")).unwrap_or_default();
        let settings = settings(&String::from_utf8_lossy(&text));
        let kind = match value(&settings, "extensions", "objectformat") {
            None | Some("sha1") => Kind::Sha1,
            Some("sha256") => Kind::Sha256,
            Some(other) => return Err(unsupported("object format", other)),
        };
        if let Some(other) = value(&settings, "extensions", "refstorage").filter(|s| *s != "files")
        {
            return Err(unsupported("reference storage", other));
        }
        Ok(Some(LocalRepository {
            kind,
            settings,
            references: references(own.clone(), common.clone(), kind),
            objects: gix_odb::at(common.join("objects"), kind).map_err(unreadable)?,
            own,
            common,
            top,
        }))
    }

    pub fn followed(&self, target: Target) -> Result<Option<ObjectId>> {
        let mut target = target;
        for _ in 0..5 {
            match target {
                Target::Object(id) => return Ok(Some(id)),
                Target::Symbolic(name) => {
                    match self
                        .references
                        .try_find(name.as_ref())
                        .map_err(unreadable)?
                    {
                        Some(found) => target = found.target,
                        None => return Ok(None),
                    }
                }
            }
        }
        Err(GitError::damaged(
            "symbolic reference: it leads to another 5 times",
        ))
    }
}

fn references(own: PathBuf, common: PathBuf, kind: Kind) -> file::Store {
    match own == common {
        true => file::Store::at(own, kind),
        false => file::Store::for_linked_worktree(own, common, kind),
    }
}

/// The last value of a setting.
pub(super) fn value<'a>(settings: &'a [Setting], section: &str, name: &str) -> Option<&'a str> {
    let fits = |s: &&Setting| s.section == section && s.subsection.is_empty() && s.name == name;
    settings.iter().rev().find(fits).map(|s| s.value.as_str())
}

fn unsupported(what: &'static str, value: &str) -> GitError {
    GitError::Unsupported {
        what,
        value: value.into(),
    }
}

pub(super) fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> GitError {
    GitError::store("cannot read the repository")(error)
}
