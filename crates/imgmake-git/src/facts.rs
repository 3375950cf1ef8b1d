//! Commit, branch and tag of a directory of this machine, as `git rev-parse`,
//! `git symbolic-ref` and `git describe --tags --exact-match` print them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix_hash::{Kind, ObjectId};
use gix_object::TagRefIter;
use gix_odb::store::prefix::disambiguate::Candidate;
use gix_ref::{Target, file};

use super::config::{Setting, settings};
use super::repository::find;
use super::{GitError, Result};

/// git shows no fewer digits by default.
const FEWEST_DIGITS: usize = 7;

/// `sha`, `short`, `branch` and `tag` of the repository around a directory, as far
/// as there are any; nothing where there is no repository.
///
/// # Errors
/// The repository is of a kind that only git itself can read, or damaged.
pub fn facts(
    directory: &Path,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    let Some(checkout) = Checkout::around(directory, environment)? else {
        return Ok(facts);
    };
    let mut set = |name: &str, value: String| drop(facts.insert(name.to_string(), value));
    let head = checkout.references.try_find("HEAD").map_err(unreadable)?;
    let Some(head) = head else {
        return Ok(facts);
    };
    let commit = match head.target {
        Target::Object(id) => Some(id),
        Target::Symbolic(name) => {
            set("branch", name.shorten().to_string());
            checkout.followed(Target::Symbolic(name))?
        }
    };
    if let Some(commit) = commit {
        set("sha", commit.to_string());
        set("short", checkout.short(commit)?);
        if let Some(tag) = checkout.tag_at(commit)? {
            set("tag", tag);
        }
    }
    Ok(facts)
}

struct Checkout {
    kind: Kind,
    settings: Vec<Setting>,
    references: file::Store,
    objects: gix_odb::Handle,
}

impl Checkout {
    fn around(
        directory: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Option<Checkout>> {
        let own = match environment.get("GIT_DIR").filter(|path| !path.is_empty()) {
            Some(path) => directory.join(path),
            None => match gix_discover::upwards(directory) {
                Ok((found, _)) => found.into_repository_and_work_tree_directories().0,
                Err(_) => return Ok(None),
            },
        };
        // What linked work trees share lies with the first one.
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
        Ok(Some(Checkout {
            kind,
            settings,
            references: references(own, common.clone(), kind),
            objects: gix_odb::at(common.join("objects"), kind).map_err(unreadable)?,
        }))
    }

    fn followed(&self, target: Target) -> Result<Option<ObjectId>> {
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

    /// The digits that git shows: more of them in larger repositories, and so many
    /// that no other object begins with them.
    fn short(&self, id: ObjectId) -> Result<String> {
        let longest = self.kind.len_in_hex();
        let asked = value(&self.settings, "core", "abbrev").and_then(|text| text.parse().ok());
        let digits = match asked {
            Some(digits) => digits,
            None => {
                let count = self.objects.packed_object_count().map_err(unreadable)?;
                let bits = (u64::BITS - count.leading_zeros()) as usize;
                bits.div_ceil(2).max(FEWEST_DIGITS)
            }
        };
        let candidate = Candidate::new(id, digits.clamp(4, longest)).map_err(unreadable)?;
        let prefix = self
            .objects
            .disambiguate_prefix(candidate)
            .map_err(unreadable)?;
        Ok(prefix.map_or_else(|| id.to_string(), |prefix| prefix.to_string()))
    }

    /// An annotated tag before a plain one, of several the newest; of plain ones the
    /// first by name.
    fn tag_at(&self, commit: ObjectId) -> Result<Option<String>> {
        let mut best: Option<(Option<i64>, String)> = None;
        let all = self.references.iter().map_err(unreadable)?;
        let prefix: &gix_ref::bstr::BStr = "refs/tags/".into();
        let prefix = prefix.try_into().map_err(unreadable)?;
        for tag in all.prefixed(prefix).map_err(unreadable)? {
            let tag = tag.map_err(unreadable)?;
            let Some(id) = self.followed(tag.target)? else {
                continue;
            };
            let Some(date) = self.leads_to(id, commit)? else {
                continue;
            };
            if best.as_ref().is_none_or(|(newest, _)| *newest < date) {
                best = Some((date, tag.name.shorten().to_string()));
            }
        }
        Ok(best.map(|(_, name)| name))
    }

    /// Whether an object stands for the commit, and since when if it is a tag object.
    fn leads_to(&self, id: ObjectId, commit: ObjectId) -> Result<Option<Option<i64>>> {
        let (mut id, mut date, mut buffer) = (id, None, Vec::new());
        for _ in 0..16 {
            if id == commit {
                return Ok(Some(date));
            }
            let object = find(&self.objects, id, &mut buffer)?;
            if object.kind != gix_object::Kind::Tag {
                return Ok(None);
            }
            let tag = || TagRefIter::from_bytes(object.data, self.kind);
            let tagger = tag().tagger().ok().flatten();
            let seconds = tagger
                .and_then(|tagger| tagger.time().ok())
                .map(|time| time.seconds);
            date = date.or(Some(seconds.unwrap_or(0)));
            id = tag().target_id().map_err(unreadable)?;
        }
        Ok(None)
    }
}

fn references(own: PathBuf, common: PathBuf, kind: Kind) -> file::Store {
    match own == common {
        true => file::Store::at(own, kind),
        false => file::Store::for_linked_worktree(own, common, kind),
    }
}

fn value<'a>(settings: &'a [Setting], section: &str, name: &str) -> Option<&'a str> {
    let fits = |s: &&Setting| s.section == section && s.subsection.is_empty() && s.name == name;
    settings.iter().rev().find(fits).map(|s| s.value.as_str())
}

fn unsupported(what: &'static str, value: &str) -> GitError {
    GitError::Unsupported {
        what,
        value: value.into(),
    }
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> GitError {
    GitError::store("cannot read the repository")(error)
}
