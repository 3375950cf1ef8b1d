//! What a key was made of, and what is different between two of them.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::input::Input;

/// What a key was made of, kept with the outcome so that a later run can say
/// which of it changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    entries: Vec<Entry>,
}

/// One difference between two explanations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub how: How,
    pub kind: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Changed,
    Added,
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Changed => "changed",
            How::Added => "added",
            How::Removed => "removed",
        };
        match self.kind.as_str() {
            "imgmake" => write!(f, "made by another version of imgmake"),
            kind => write!(f, "{kind} {} {how}", self.name),
        }
    }
}

impl Explanation {
    pub(super) fn of(inputs: &[Input]) -> Explanation {
        let entry = |Input { kind, name, hash }: &Input| (kind.to_string(), name.clone(), *hash);
        Explanation {
            entries: inputs.iter().map(entry).collect(),
        }
    }

    pub fn entries(&self) -> &[(String, String, [u8; 32])] {
        &self.entries
    }

    /// What is different in `now`, in the order of its inputs; what is gone comes last.
    pub fn changes(&self, now: &Explanation) -> Vec<Change> {
        let differ = differing(&self.entries, &now.entries);
        let before = by_name(&self.entries, &differ);
        let after = by_name(&now.entries, &differ);
        let mut changes = Vec::new();
        for place in now.entries.iter().map(place).filter(|p| differ.contains(p)) {
            let how = match before.get(&place) {
                None => How::Added,
                Some(hashes) if *hashes != after[&place] => How::Changed,
                Some(_) => continue,
            };
            changes.push(change(how, place));
        }
        let gone = self.entries.iter().map(place);
        let gone = gone.filter(|p| differ.contains(p) && !after.contains_key(p));
        changes.extend(gone.map(|place| change(How::Removed, place)));
        changes.dedup();
        if changes.is_empty() && self != now {
            changes.push(change(How::Changed, ("order of", "inputs")));
        }
        changes
    }
}

type Entry = (String, String, [u8; 32]);
type Place<'a> = (&'a str, &'a str);

fn place((kind, name, _): &Entry) -> Place<'_> {
    (kind, name)
}

/// The names between the first difference and the last: mostly a few of many thousands.
fn differing<'a>(before: &'a [Entry], now: &'a [Entry]) -> HashSet<Place<'a>> {
    let same = before.iter().zip(now).take_while(|(b, n)| b == n).count();
    let (before, now) = (&before[same..], &now[same..]);
    let pairs = before.iter().rev().zip(now.iter().rev());
    let same = pairs.take_while(|(b, n)| b == n).count();
    let before = &before[..before.len() - same];
    let now = &now[..now.len() - same];
    before.iter().chain(now).map(place).collect()
}

fn by_name<'a>(entries: &'a [Entry], of: &HashSet<Place<'_>>) -> HashMap<Place<'a>, Vec<[u8; 32]>> {
    let mut map: HashMap<Place<'_>, Vec<[u8; 32]>> = HashMap::new();
    for entry in entries.iter().filter(|entry| of.contains(&place(entry))) {
        map.entry(place(entry)).or_default().push(entry.2);
    }
    map
}

fn change(how: How, (kind, name): Place<'_>) -> Change {
    Change {
        how,
        kind: kind.to_string(),
        name: name.to_string(),
    }
}
