//! Commit, branch and tag of a directory of this machine, as `git rev-parse`,
//! `git symbolic-ref` and `git describe --tags --exact-match` print them.

use std::collections::BTreeMap;
use std::path::Path;

use gix_hash::ObjectId;
use gix_object::TagRefIter;
use gix_odb::store::prefix::disambiguate::Candidate;
use gix_ref::Target;

use super::Result;
use super::local::{LocalRepository, unreadable, value};
use super::repository::find;

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
    let Some(checkout) = LocalRepository::around(directory, environment)? else {
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

impl LocalRepository {
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
