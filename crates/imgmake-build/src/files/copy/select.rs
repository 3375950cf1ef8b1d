//! Which files a source names: wildcards, `--exclude`, `--parents`. Metadata only; what becomes of them
//! is the plan's business.

use std::collections::{BTreeMap, HashMap};

use crate::error::{BuildError, Context, Result};
use crate::files::patterns::{Matched, Patterns, Wildcard, ancestors_and_self};
use crate::files::tree::{Node, Tree, base_name, join, parent, relative, show};

/// The paths that a source stands for, wildcards expanded.
pub fn sources(tree: &dyn Tree, source: &str, exclude: &Patterns) -> Result<Vec<Vec<u8>>> {
    let mut selected = select(tree, source)?;
    if Wildcard::is_one(source) {
        selected.retain(|path| !exclude.matches(base_name(path)) || is_dir(tree, path));
    }
    Ok(selected)
}

/// What is beneath a directory, without what `--exclude` takes away. Excluded directories
/// come along after all when something beneath them was taken back by `!`.
pub fn kept_beneath(tree: &dyn Tree, directory: &Node, exclude: &Patterns) -> Result<Vec<Node>> {
    let all = tree.walk(&directory.path)?;
    if exclude.is_empty() {
        return Ok(all);
    }
    let cut = directory.path.len();
    let mut above: HashMap<Vec<u8>, Matched> = HashMap::new();
    let mut selection = Selection::default();
    for node in all {
        let inner = inner(&node.path, cut).to_vec();
        let inherited = above.get(parent(&inner)).cloned().unwrap_or_default();
        let (excluded, matched) = exclude.step(&inner, &inherited);
        if node.is_directory() {
            above.insert(inner.clone(), matched);
        }
        selection.add(inner, node, !excluded);
    }
    Ok(selection.kept)
}

/// What `--parents` takes from beneath one pivot (the part of a source before `/./`).
pub struct Pivoted {
    pub pivot: Vec<u8>,
    /// With the directories on the way.
    pub nodes: Vec<Node>,
}

/// `--parents`: what the pattern selects, for every directory that the pivot names: it may hold wildcards.
///
/// # Errors
/// A path without wildcards that is not there.
pub fn with_parents(tree: &dyn Tree, source: &str, exclude: &Patterns) -> Result<Vec<Pivoted>> {
    let (pivot, pattern) = source.split_once("/./").unwrap_or(("", source));
    let mut found = Vec::new();
    for pivot in select(tree, pivot)? {
        let pivot = tree.resolve(&pivot)?;
        let pivoted = beneath_pivot(tree, pivot, pattern, exclude)?;
        if pivoted.nodes.is_empty() && !Wildcard::is_one(source) {
            let path = join(&pivoted.pivot, &relative(pattern));
            return Err(missing(tree, &path, source));
        }
        found.push(pivoted);
    }
    Ok(found)
}

fn beneath_pivot(
    tree: &dyn Tree,
    pivot: Vec<u8>,
    pattern: &str,
    exclude: &Patterns,
) -> Result<Pivoted> {
    let pattern = show(&relative(pattern));
    let wanted = Patterns::new(&[if pattern.is_empty() { "**" } else { &pattern }])?;
    let mut selection = Selection::default();
    if tree.get(&pivot)?.is_none_or(|node| node.is_directory()) {
        for node in tree.walk(&pivot)? {
            let inner = inner(&node.path, pivot.len()).to_vec();
            let keep = wanted.matches(&inner) && !exclude.matches(&inner);
            selection.add(inner, node, keep);
        }
    }
    Ok(Pivoted {
        pivot,
        nodes: selection.kept,
    })
}

/// The paths of a tree that a source names: itself, or what its wildcards match, sorted.
/// The part before the first wildcard follows links, the rest does not.
///
/// # Errors
/// Brackets that are not closed; a directory that cannot be listed.
pub fn select(tree: &dyn Tree, source: &str) -> Result<Vec<Vec<u8>>> {
    if !Wildcard::is_one(source) {
        return Ok(vec![relative(&unescaped(source))]);
    }
    let pattern = show(&relative(source));
    let parts: Vec<&str> = pattern.split('/').collect();
    let plain = parts
        .iter()
        .take_while(|part| !Wildcard::is_one(part))
        .count();
    let base = tree.resolve(unescaped(&parts[..plain].join("/")).as_bytes())?;
    let mut directories = match tree.get(&base)? {
        Some(node) if node.is_directory() => vec![base],
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for part in &parts[plain..] {
        let wildcard = Wildcard::new(part).with_context(|| format!("source `{source}`"))?;
        found.clear();
        let mut deeper = Vec::new();
        for directory in &directories {
            for node in tree.children(directory)? {
                if wildcard.matches(base_name(&node.path)) {
                    if node.is_directory() {
                        deeper.push(node.path.clone());
                    }
                    found.push(node.path);
                }
            }
        }
        directories = deeper;
    }
    Ok(found)
}

/// Refuses a source that no tree can be asked for.
///
/// # Errors
/// Brackets that are not closed.
pub fn check(source: &str) -> Result<()> {
    let pattern = show(&relative(source));
    let wildcards = pattern.split('/').filter(|part| Wildcard::is_one(part));
    for part in wildcards {
        Wildcard::new(part).with_context(|| format!("source `{source}`"))?;
    }
    Ok(())
}

/// `\*` is a star in a source without wildcards.
fn unescaped(source: &str) -> String {
    let mut out = String::new();
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

fn is_dir(tree: &dyn Tree, path: &[u8]) -> bool {
    let found = tree.resolve(path).and_then(|p| tree.get(&p));
    matches!(found, Ok(Some(node)) if node.is_directory())
}

/// The file behind a top-level source; links are followed.
pub fn existing(tree: &dyn Tree, path: &[u8], source: &str) -> Result<Node> {
    let resolved = tree.resolve(path)?;
    match tree.get(&resolved)? {
        Some(node) => Ok(node),
        None if resolved != path => {
            let missing = missing(tree, &resolved, &show(&resolved));
            Err(missing.during(format!("`{source}` is a symbolic link without a target")))
        }
        None => Err(missing(tree, &resolved, source)),
    }
}

fn missing(tree: &dyn Tree, path: &[u8], source: &str) -> BuildError {
    let mut hint = tree.hint(path).unwrap_or_default();
    if leads_out(source) {
        hint.push_str(
            "; nothing outside of a context is copied: give the target a larger `context`, or the other directory as one of its `contexts`, for `COPY --from=NAME`",
        );
    }
    BuildError::not_found(format!("`{source}`"), hint)
}

/// Whether a source leads above the directory that it begins in: `../x`, which is read as `x`.
fn leads_out(source: &str) -> bool {
    let mut depth = 0usize;
    source.split('/').any(|part| {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
        false
    })
}

/// Chosen nodes, with the directories that lead to them.
#[derive(Default)]
struct Selection {
    kept: Vec<Node>,
    /// Directories that were not chosen themselves.
    waiting: BTreeMap<Vec<u8>, Node>,
}

impl Selection {
    /// `inner`: the path beneath the directory that is walked; nodes come sorted.
    fn add(&mut self, inner: Vec<u8>, node: Node, keep: bool) {
        if !keep {
            if node.is_directory() {
                self.waiting.insert(inner, node);
            }
            return;
        }
        if !self.waiting.is_empty() {
            for ancestor in ancestors_and_self(parent(&inner)) {
                self.kept.extend(self.waiting.remove(ancestor));
            }
        }
        self.kept.push(node);
    }
}

/// The part of a path beneath a directory whose path is `cut` long.
pub fn inner(path: &[u8], cut: usize) -> &[u8] {
    if cut == 0 { path } else { &path[cut + 1..] }
}
