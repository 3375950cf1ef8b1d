//! Who makes which path: outputs of all targets, collisions, and look-up by prefix.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::edge::{Strength, TargetId};
use crate::manifest::glob::{clean, cleaned};
use crate::manifest::{Diagnostic, Glob, Manifest, Spanned, TargetKind};

/// Cleaned output path → the target that makes it.
#[derive(Debug, Default)]
pub(super) struct Producers {
    /// For "what lies beneath": a range.
    made: BTreeMap<String, TargetId>,
    /// For "is this one": most inputs of most targets are nobody's output.
    by_path: HashMap<String, TargetId>,
    /// Every directory that an output lies in.
    above: HashSet<String>,
}

/// An output of any target, while collisions are looked for.
struct Output<'m> {
    target: TargetId,
    name: &'m str,
    path: &'m Spanned<String>,
}

impl Producers {
    pub fn new(manifest: &Manifest, diagnostics: &mut Vec<Diagnostic>) -> Producers {
        let mut all: BTreeMap<String, Output> = BTreeMap::new();
        let mut made = BTreeMap::new();
        for (at, target) in manifest.targets.iter().enumerate() {
            let id = TargetId(at);
            for path in outputs(&target.kind) {
                let key = clean(&path.value);
                let output = Output {
                    target: id,
                    name: &target.name.value,
                    path,
                };
                if let Some(first) = collision(&all, &key, id) {
                    diagnostics.push(duplicate_output(first, &output));
                    continue;
                }
                made.insert(key.clone(), id);
                all.insert(key, output);
            }
        }
        let by_path = made.iter().map(|(path, id)| (path.clone(), *id)).collect();
        let above = made.keys().flat_map(|path| prefixes(path).skip(1));
        let mut above: HashSet<String> = above.map(str::to_string).collect();
        if !made.is_empty() {
            above.insert(String::new());
        }
        Producers {
            made,
            by_path,
            above,
        }
    }

    /// The output itself, or a directory above it that is an output.
    pub fn of_path(&self, path: &str) -> Vec<TargetId> {
        let path = cleaned(path);
        let found = prefixes(&path).filter_map(|prefix| self.by_path.get(prefix).copied());
        let mut found: Vec<TargetId> = found.collect();
        found.sort();
        found.dedup();
        found
    }

    /// Outputs in this directory, the directory itself included.
    pub fn beneath(&self, directory: &str) -> impl Iterator<Item = (&str, TargetId)> {
        let directory = clean(directory);
        let below = match directory.as_str() {
            "" => String::new(),
            "/" => "/".to_string(),
            other => format!("{other}/"),
        };
        let itself = self.made.get_key_value(&directory);
        let range = self.made.range(below.clone()..);
        range
            .take_while(move |(path, _)| path.starts_with(&below))
            // An absolute or climbing output is not within the manifest's directory.
            .filter(move |(path, _)| {
                !directory.is_empty() || !path.starts_with(['/', '.']) || is_hidden(path)
            })
            .chain(itself)
            .map(|(path, id)| (path.as_str(), *id))
    }

    /// Targets with an output that a source pattern may select, or that lies in what it selects.
    /// `**/*.go` may select from every output there is: such edges are guessed.
    /// What is taken out with all that lies in it is of no matter.
    pub fn of_pattern(&self, pattern: &str, taken_out: &[Glob]) -> BTreeMap<TargetId, Strength> {
        // Compiling is the dear part: only for a pattern with an output near it.
        if pattern.find(['{', '\\']).is_none() {
            let root = cleaned(literal_root(pattern));
            let near = self.above.contains(root.as_ref())
                || root.starts_with('/')
                || prefixes(&root).any(|prefix| self.by_path.contains_key(prefix));
            if !near {
                return BTreeMap::new();
            }
        }
        let mut found = BTreeMap::new();
        let is_taken_out = |path: &str| taken_out.iter().any(|glob| covers(glob, path));
        let name = cleaned(pattern);
        if pattern.find(['{', '\\', '*', '?', '[']).is_none() && !name.is_empty() {
            let near = self.beneath(&name).filter(|(path, _)| !is_taken_out(path));
            found.extend(near.map(|(_, id)| (id, Strength::Guessed)));
            found.extend(
                self.of_path(&name)
                    .into_iter()
                    .map(|id| (id, Strength::Written)),
            );
            return found;
        }
        let Ok(glob) = Glob::new(pattern) else {
            return found;
        };
        for root in glob.roots() {
            let near = self.beneath(&root).filter(|(path, _)| !is_taken_out(path));
            let matching = near.filter(|(path, _)| {
                glob.matches(path) || glob.may_match_under(path) || covers(&glob, path)
            });
            for (_, id) in matching {
                found.entry(id).or_insert(Strength::Guessed);
            }
            // What stands before the first wildcard lies in the output: that is meant.
            for id in self.of_path(&root) {
                found.insert(id, Strength::Written);
            }
        }
        found
    }
}

/// `web/src/**/*.ts` → `web/src`: whole components before the first wildcard.
fn literal_root(pattern: &str) -> &str {
    match pattern.find(['*', '?', '[']) {
        None => pattern,
        Some(at) => pattern[..at]
            .rfind('/')
            .map_or("", |slash| &pattern[..slash.max(1).min(pattern.len())]),
    }
}

/// `.cache/x` begins with a dot as `../x` does, and is inside.
fn is_hidden(path: &str) -> bool {
    path.starts_with('.') && !path.starts_with("../") && path != ".."
}

/// The pattern selects a directory above the path: all of it is selected.
fn covers(glob: &Glob, path: &str) -> bool {
    prefixes(path).any(|prefix| glob.matches(prefix))
}

/// `a/b/c` → `a/b/c`, `a/b`, `a`.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path).filter(|path| !path.is_empty());
    std::iter::from_fn(move || {
        let this = next?;
        next = this
            .rfind('/')
            .map(|at| &this[..at])
            .filter(|rest| !rest.is_empty());
        Some(this)
    })
}

pub(super) fn outputs(kind: &TargetKind) -> Vec<&Spanned<String>> {
    match kind {
        TargetKind::Run(run) => run.outputs.iter().collect(),
        TargetKind::Build(build) => {
            let tar = build.tar.as_ref().map(|tar| &tar.path);
            let exports = build.exports.iter().map(|export| &export.path);
            tar.into_iter()
                .chain(&build.layout)
                .chain(exports)
                .collect()
        }
        TargetKind::Scan(scan) => scan.reports.values().collect(),
        TargetKind::Push(push) => push.write_digests.iter().collect(),
    }
}

/// The same path, or one in the other: whoever is made last would damage the other one.
/// A target may well name a directory and a file in it.
fn collision<'a, 'm>(
    all: &'a BTreeMap<String, Output<'m>>,
    key: &str,
    target: TargetId,
) -> Option<&'a Output<'m>> {
    if let Some(same) = all.get(key) {
        return Some(same);
    }
    let other = |output: &&Output| output.target != target;
    let above = prefixes(key)
        .skip(1)
        .find_map(|prefix| all.get(prefix).filter(other));
    above.or_else(|| {
        let below = format!("{key}/");
        let mut range = all.range(below.clone()..);
        range
            .by_ref()
            .take_while(|(path, _)| path.starts_with(&below))
            .map(|(_, output)| output)
            .find(other)
    })
}

fn duplicate_output(first: &Output, second: &Output) -> Diagnostic {
    let message = match first.target == second.target {
        true => format!(
            "target `{}`: duplicate output `{}`",
            second.name, second.path.value
        ),
        false => format!(
            "target `{}`: the output `{}` is also made by `{}`",
            second.name, second.path.value, first.name
        ),
    };
    Diagnostic::at(second.path.span, message, "also an output of this target")
        .with_related(first.path.span, format!("an output of `{}`", first.name))
        .with_help("use a different output path for each target")
}

/// Globs over target names: plain names by look-up, patterns over all.
pub(super) fn matching(
    manifest: &Manifest,
    by_name: &HashMap<String, TargetId>,
    pattern: &str,
) -> Vec<TargetId> {
    if let Some(id) = by_name.get(pattern) {
        return vec![*id];
    }
    let Some(glob) = Glob::new(pattern)
        .ok()
        .filter(|_| crate::manifest::glob::is_pattern(pattern))
    else {
        return Vec::new();
    };
    let targets = manifest.targets.iter().enumerate();
    let matching = targets.filter(|(_, target)| glob.matches(&target.name.value));
    matching.map(|(at, _)| TargetId(at)).collect()
}
