//! Commits of a repository of this machine: by their names, and how they descend from each other.

use std::collections::{BinaryHeap, HashMap, HashSet};

use gix_hash::ObjectId;
use gix_object::CommitRefIter;
use gix_ref::PartialNameRef;

use super::local::{LocalRepository, unreadable};
use super::repository::{find, peeled};
use super::{GitError, Result};
use imgmake_event::Cancel;

/// More parents than these are named by nobody.
const MOST_GENERATIONS: usize = 1_000_000;

impl LocalRepository {
    /// The commit of a revision: a reference, an id or its beginning, then any number of `~N` and `^N`.
    pub fn commit_named(&self, revision: &str) -> Result<ObjectId> {
        if revision.contains("..") {
            return Err(GitError::invalid(
                "revision",
                revision,
                "expected where the range begins; it ends with the files that are here",
            ));
        }
        let at = revision.find(['~', '^']).unwrap_or(revision.len());
        let (name, mut steps) = revision.split_at(at);
        let mut commit = self.commit_of(self.object_named(name)?)?;
        let wrong = |reason| GitError::invalid("revision", revision, reason);
        while !steps.is_empty() {
            let Some((is_parent, number, rest)) = step(steps) else {
                return Err(wrong("expected `~N` or `^N` after the name"));
            };
            let none = || wrong("there is no such parent, or it was not fetched");
            let (times, parent) = match (is_parent, number) {
                (false, number) => (number, 0),
                (true, 0) => (0, 0),
                (true, number) => (1, number - 1),
            };
            for _ in 0..times {
                let parents = self.parents(commit)?.parents;
                commit = *parents.get(parent).ok_or_else(none)?;
            }
            steps = rest;
        }
        Ok(commit)
    }

    fn object_named(&self, name: &str) -> Result<ObjectId> {
        let name = match name {
            "" | "@" => "HEAD",
            name => name,
        };
        if name.len() == self.kind.len_in_hex()
            && let Ok(id) = ObjectId::from_hex(name.as_bytes())
        {
            return match self.has(id) {
                true => Ok(id),
                false => Err(self.not_found(name)),
            };
        }
        // What cannot be a reference's name is none.
        let found = match <&PartialNameRef>::try_from(name) {
            Ok(partial) => self.references.try_find(partial).map_err(unreadable)?,
            Err(_) => None,
        };
        if let Some(found) = found
            && let Some(id) = self.followed(found.target)?
        {
            return Ok(id);
        }
        if let Ok(prefix) = gix_hash::Prefix::from_hex(name) {
            match self
                .objects
                .lookup_prefix(prefix, None)
                .map_err(unreadable)?
            {
                Some(Ok(id)) => return Ok(id),
                Some(Err(())) => {
                    let reason = "more than one object begins with it";
                    return Err(GitError::invalid("revision", name, reason));
                }
                None => {}
            }
        }
        Err(self.not_found(name))
    }

    fn has(&self, id: ObjectId) -> bool {
        gix_object::Exists::exists(&self.objects, &id)
    }

    fn not_found(&self, name: &str) -> GitError {
        let repository = self.top.as_ref().unwrap_or(&self.own);
        let all = self.references.iter().ok();
        let all = all.as_ref().and_then(|all| all.all().ok());
        let existing = all.into_iter().flatten().flatten();
        GitError::ReferenceNotFound {
            repository: repository.display().to_string(),
            name: name.to_string(),
            existing: existing.map(|one| one.name.shorten().to_string()).collect(),
        }
    }

    fn commit_of(&self, id: ObjectId) -> Result<ObjectId> {
        peeled(&self.objects, self.kind, id)
    }

    /// The newest commit that both descend from; of a shallow clone, as far as its history goes.
    pub fn common_ancestor(
        &self,
        one: ObjectId,
        other: ObjectId,
        cancel: &Cancel,
    ) -> Result<Option<ObjectId>> {
        const BOTH: u8 = 3;
        const STALE: u8 = 4;
        const RESULT: u8 = 8;
        let mut seen: HashMap<ObjectId, u8> = HashMap::from([(one, 1)]);
        *seen.entry(other).or_default() |= 2;
        let mut waiting = BinaryHeap::new();
        for id in HashSet::from([one, other]) {
            waiting.push((self.parents(id)?.time, id));
        }
        let shallow = self.shallow();
        let mut results = Vec::new();
        // As git's own: what both reach is passed on as reached, until nothing else waits.
        while waiting.iter().any(|(_, id)| seen[id] & STALE == 0) {
            if cancel.is_cancelled() {
                return Err(GitError::Cancelled);
            }
            let Some((time, id)) = waiting.pop() else {
                break;
            };
            let mut flags = seen[&id] & (BOTH | STALE);
            if flags == BOTH {
                let known = seen.entry(id).or_default();
                if *known & RESULT == 0 {
                    *known |= RESULT;
                    results.push((time, id));
                }
                flags |= STALE;
            }
            if shallow.contains(&id) {
                continue;
            }
            for parent in self.parents(id)?.parents {
                let known = seen.entry(parent).or_default();
                if *known & flags == flags {
                    continue;
                }
                *known |= flags;
                waiting.push((self.parents(parent)?.time, parent));
            }
        }
        let best = results.into_iter().filter(|(_, id)| seen[id] & STALE == 0);
        Ok(best.max().map(|(_, id)| id))
    }

    /// Commits whose parents were not fetched.
    fn shallow(&self) -> HashSet<ObjectId> {
        let text = imgmake_guard::bounded::read(self.common.join("shallow")).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        lines
            .filter_map(|line| ObjectId::from_hex(line).ok())
            .collect()
    }

    fn parents(&self, id: ObjectId) -> Result<Descent> {
        let mut buffer = Vec::new();
        let object = find(&self.objects, id, &mut buffer)?;
        if object.kind != gix_object::Kind::Commit {
            return Err(GitError::UnexpectedObject {
                id,
                expected: "a commit",
            });
        }
        let commit = || CommitRefIter::from_bytes(object.data, self.kind);
        let time = commit().committer().ok().and_then(|by| by.time().ok());
        Ok(Descent {
            time: time.map_or(0, |time| time.seconds),
            parents: commit().parent_ids().collect(),
        })
    }

    pub fn tree_of(&self, commit: ObjectId) -> Result<ObjectId> {
        let mut buffer = Vec::new();
        let data = find(&self.objects, commit, &mut buffer)?.data;
        let tree = CommitRefIter::from_bytes(data, self.kind).tree_id();
        tree.map_err(|_| GitError::damaged(format!("commit {commit}")))
    }
}

/// The first of `~N` and `^N`: whether it is `^`, the number, and what follows.
fn step(steps: &str) -> Option<(bool, usize, &str)> {
    let is_parent = steps.starts_with('^');
    let after = steps.strip_prefix(['~', '^'])?;
    let digits = after.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = after.split_at(digits);
    let number = match number {
        "" => 1,
        number => number.parse().ok()?,
    };
    // Not `^{…}`.
    let is_step = number <= MOST_GENERATIONS && !rest.starts_with('{');
    is_step.then_some((is_parent, number, rest))
}

struct Descent {
    time: i64,
    parents: Vec<ObjectId>,
}
