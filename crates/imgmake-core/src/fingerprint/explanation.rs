//! What a key was made of, and what is different between two of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::input::Input;

/// What a key was made of, kept with the outcome so that a later run can say
/// which of it changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    entries: Vec<(String, String, [u8; 32])>,
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
        let before = by_name(self);
        let after = by_name(now);
        let mut changes = Vec::new();
        for (kind, name, _) in &now.entries {
            let place = (kind.as_str(), name.as_str());
            let how = match before.get(&place) {
                None => How::Added,
                Some(hashes) if *hashes != after[&place] => How::Changed,
                Some(_) => continue,
            };
            changes.push(change(how, place));
        }
        let gone = self
            .entries
            .iter()
            .map(|(k, n, _)| (k.as_str(), n.as_str()));
        changes.extend(
            gone.filter(|place| !after.contains_key(place))
                .map(|place| change(How::Removed, place)),
        );
        changes.dedup();
        if changes.is_empty() && self != now {
            changes.push(change(How::Changed, ("order of", "inputs")));
        }
        changes
    }
}

type Place<'a> = (&'a str, &'a str);

fn by_name(explanation: &Explanation) -> BTreeMap<Place<'_>, Vec<[u8; 32]>> {
    let mut map: BTreeMap<Place<'_>, Vec<[u8; 32]>> = BTreeMap::new();
    for (kind, name, hash) in &explanation.entries {
        map.entry((kind, name)).or_default().push(*hash);
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
