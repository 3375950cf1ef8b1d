//! What makes a target stale: a list of named inputs, and the key over them.
//!
//! [`Inputs`] is filled once and walked by two visitors: one hashes
//! ([`CacheKey`]), one writes the explanation that `why` and `plan` compare
//! later ([`Explanation`]), so the two can never disagree about what counts.
//! Receives values; reads no disk, environment or clock.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::{CommandNode, RunTarget};

/// Raised when the same inputs would be treated differently by a newer version.
const SEMANTICS: u32 = 1;

/// blake3 over the framed inputs of one target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CacheKey(pub [u8; 32]);

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..8]))
    }
}

/// One thing that a target depends on. `kind` and `name` are what `why` shows:
/// `file src/main.c`, `variable TAG`, `target base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub kind: &'static str,
    pub name: String,
    pub hash: [u8; 32],
}

/// Everything that one target depends on, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    entries: Vec<Input>,
}

/// Receives each input of a walk, in order.
trait Visitor {
    fn input(&mut self, kind: &str, name: &str, hash: &[u8; 32]);
}

impl Inputs {
    pub fn new() -> Inputs {
        let mut inputs = Inputs::default();
        inputs.value("imgmake", "semantics", &SEMANTICS.to_le_bytes());
        inputs
    }

    /// An input whose value is short: a setting, a variable.
    pub fn value(&mut self, kind: &'static str, name: impl Into<String>, value: &[u8]) {
        self.hashed(kind, name, *blake3::hash(value).as_bytes());
    }

    /// A list of strings; `["a b"]` and `["a", "b"]` differ.
    pub fn list<S: AsRef<str>>(
        &mut self,
        kind: &'static str,
        name: impl Into<String>,
        values: impl IntoIterator<Item = S>,
    ) {
        let mut frame = Frame::new();
        for value in values {
            frame.part(value.as_ref().as_bytes());
        }
        self.hashed(kind, name, frame.finish());
    }

    /// An input that was hashed elsewhere.
    pub fn hashed(&mut self, kind: &'static str, name: impl Into<String>, hash: [u8; 32]) {
        self.entries.push(Input {
            kind,
            name: name.into(),
            hash,
        });
    }

    pub fn entries(&self) -> &[Input] {
        &self.entries
    }

    pub fn key(&self) -> CacheKey {
        let mut hasher = KeyVisitor(Frame::new());
        self.walk(&mut hasher);
        CacheKey(hasher.0.finish())
    }

    pub fn explanation(&self) -> Explanation {
        let mut explanation = Explanation::default();
        self.walk(&mut explanation);
        explanation
    }

    fn walk(&self, visitor: &mut impl Visitor) {
        for input in &self.entries {
            visitor.input(input.kind, &input.name, &input.hash);
        }
    }
}

struct KeyVisitor(Frame);

impl Visitor for KeyVisitor {
    fn input(&mut self, kind: &str, name: &str, hash: &[u8; 32]) {
        self.0.part(kind.as_bytes());
        self.0.part(name.as_bytes());
        self.0.part(hash);
    }
}

/// Hashes byte strings so that no two different lists give the same bytes.
#[derive(Default)]
pub struct Frame {
    /// Small parts are gathered: blake3 is several times faster over long input.
    gathered: Vec<u8>,
    /// What came before them; most frames are short and need none.
    hasher: Option<Box<blake3::Hasher>>,
}

const GATHERED: usize = 16 << 10;

impl Frame {
    pub fn new() -> Frame {
        Frame::default()
    }

    pub fn part(&mut self, bytes: &[u8]) -> &mut Frame {
        self.gathered
            .extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() > GATHERED {
            self.hasher.get_or_insert_default().update(&self.gathered);
            self.gathered.clear();
        }
        self
    }

    pub fn finish(&self) -> [u8; 32] {
        let hash = match &self.hasher {
            None => blake3::hash(&self.gathered),
            Some(before) => before.clone().update(&self.gathered).finalize(),
        };
        *hash.as_bytes()
    }
}

/// What a key was made of, kept with the outcome so that a later run can say
/// which of it changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    entries: Vec<(String, String, [u8; 32])>,
}

impl Visitor for Explanation {
    fn input(&mut self, kind: &str, name: &str, hash: &[u8; 32]) {
        self.entries
            .push((kind.to_string(), name.to_string(), *hash));
    }
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
    pub fn entries(&self) -> &[(String, String, [u8; 32])] {
        &self.entries
    }

    /// What is different in `now`, files first named by the walk, then what is gone.
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

/// The settings of a `run` target that decide what its command does. Its
/// timeout is none of them: it decides only whether.
pub fn run_settings(inputs: &mut Inputs, run: &RunTarget) {
    match &run.command.value {
        CommandNode::Shell(text) => inputs.list("setting", "command", ["sh", text]),
        CommandNode::Argv(argv) => {
            inputs.list(
                "setting",
                "command",
                std::iter::once("argv").chain(argv.iter().map(String::as_str)),
            );
        }
    }
    let dir = run.dir.as_ref().map_or(".", |dir| dir.value.as_str());
    inputs.value("setting", "dir", dir.as_bytes());
    for (name, value) in &run.env {
        inputs.value("env", name, value.as_bytes());
    }
    inputs.list("setting", "outputs", run.outputs.iter().map(|o| &o.value));
}

/// What a target that this one depends on made.
pub fn upstream(inputs: &mut Inputs, name: &str, digest: &[u8; 32]) {
    inputs.hashed("target", name, *digest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(entries: &[(&'static str, &str, &str)]) -> Inputs {
        let mut inputs = Inputs::default();
        for (kind, name, value) in entries {
            inputs.value(kind, *name, value.as_bytes());
        }
        inputs
    }

    #[test]
    fn every_input_and_its_order_reach_the_key() {
        let base = inputs(&[("file", "a", "1"), ("file", "b", "2")]);
        for other in [
            inputs(&[("file", "a", "1")]),
            inputs(&[("file", "a", "1"), ("file", "b", "3")]),
            inputs(&[("file", "a", "1"), ("file", "c", "2")]),
            inputs(&[("file", "b", "2"), ("file", "a", "1")]),
            inputs(&[("env", "a", "1"), ("file", "b", "2")]),
        ] {
            assert_ne!(base.key(), other.key());
            assert!(!base.explanation().changes(&other.explanation()).is_empty());
        }
        assert_eq!(base.key(), base.clone().key());
    }

    #[test]
    fn an_explanation_names_exactly_what_was_added_removed_and_changed() {
        let before = inputs(&[
            ("file", "a", "1"),
            ("file", "b", "2"),
            ("variable", "TAG", "x"),
        ]);
        let after = inputs(&[
            ("file", "b", "9"),
            ("file", "c", "3"),
            ("variable", "TAG", "x"),
        ]);
        let changes = before.explanation().changes(&after.explanation());
        let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["file b changed", "file c added", "file a removed"]);
    }

    #[test]
    fn a_frame_is_the_hash_of_its_parts_with_their_lengths_however_many_there_are() {
        let parts: Vec<Vec<u8>> = (0..300).map(|n| vec![n as u8; n * 3]).collect();
        let (mut frame, mut whole) = (Frame::new(), blake3::Hasher::new());
        for part in &parts {
            frame.part(part);
            whole
                .update(&(part.len() as u64).to_le_bytes())
                .update(part);
        }
        assert_eq!(frame.finish(), *whole.finalize().as_bytes());
    }

    #[test]
    fn a_list_is_not_its_joined_text() {
        let mut one = Inputs::default();
        one.list("setting", "command", ["a b"]);
        let mut two = Inputs::default();
        two.list("setting", "command", ["a", "b"]);
        assert_ne!(one.key(), two.key());
    }
}
