//! The texts that a manifest is made of: the main file and what it includes, one
//! after the other, so that a span says file and place in one number.

use super::Manifest;

/// What messages call a manifest that is in no file, because a command line says everything: its lines are not
/// shown, since nobody wrote them.
pub const UNWRITTEN: &str = "imgmake build";

#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub(super) files: Vec<Source>,
}

#[derive(Clone, Debug)]
pub(super) struct Source {
    pub name: String,
    pub text: String,
    /// Where its spans begin.
    pub base: usize,
}

impl Sources {
    pub fn new(name: &str, text: &str) -> Sources {
        let mut sources = Sources::default();
        sources.add(name, text.to_string());
        sources
    }

    /// For a manifest out of the cache: its files, read again.
    pub fn of(
        name: &str,
        text: &str,
        manifest: &Manifest,
        read: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Sources {
        let mut sources = Sources::new(name, text);
        for file in &manifest.included {
            // What has gone leaves its place empty: the spans of the others stay right.
            sources.add(file, read(file).unwrap_or_default());
        }
        sources
    }

    /// Where the new file's spans begin.
    pub(super) fn add(&mut self, name: &str, text: String) -> usize {
        let base = self
            .files
            .last()
            .map_or(0, |last| last.base + last.text.len() + 1);
        self.files.push(Source {
            name: name.to_string(),
            text,
            base,
        });
        base
    }

    /// The file that a span stands in.
    pub(super) fn at(&self, offset: usize) -> Option<&Source> {
        self.files.iter().rev().find(|file| file.base <= offset)
    }

    /// The name of the file and the line (from 1) of an offset.
    pub fn place(&self, offset: usize) -> Option<(&str, usize)> {
        let file = self.at(offset)?;
        let end = (offset - file.base).min(file.text.len());
        let before = file.text.as_bytes()[..end].iter();
        Some((&file.name, 1 + before.filter(|b| **b == b'\n').count()))
    }

    /// File, line and column (from 1) of an offset in a file that was included from outside of
    /// the main file's directory.
    pub(super) fn place_outside(&self, offset: usize) -> Option<(&str, usize, usize)> {
        let main = self.files.first()?;
        let file = self.at(offset)?;
        let is_outside = file.name.starts_with("../") || file.name.starts_with('/');
        if file.base == main.base || !is_outside {
            return None;
        }
        let (name, line) = self.place(offset)?;
        let before = &file.text.as_bytes()[..(offset - file.base).min(file.text.len())];
        let start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let column = 1 + String::from_utf8_lossy(&before[start..]).chars().count();
        Some((name, line, column))
    }
}
