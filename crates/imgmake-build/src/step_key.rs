//! Step keys: blake3 over framed values, so that no two different inputs can look alike.
//! Never a secret, a proxy variable, or the time of a source.

use imgmake_oci::layer::{Compression, Entry, EntryKind};

use crate::files::copy::Plan;

/// Raised whenever the same inputs give another layer than before.
const SEMANTICS: u64 = 2;

/// Length-prefixed values into one hash.
pub struct Framed(blake3::Hasher);

impl Framed {
    pub fn new(kind: &str) -> Framed {
        let mut framed = Framed(blake3::Hasher::new());
        framed.number(SEMANTICS);
        framed.text(kind);
        framed
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Framed {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Framed {
        self.bytes(text.as_bytes())
    }

    pub fn number(&mut self, number: u64) -> &mut Framed {
        self.bytes(&number.to_le_bytes())
    }

    pub fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) -> &mut Framed {
        let texts: Vec<&str> = texts.into_iter().collect();
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text);
        }
        self
    }

    pub fn option(&mut self, value: Option<&[u8]>) -> &mut Framed {
        match value {
            Some(bytes) => self.number(1).bytes(bytes),
            None => self.number(0),
        }
    }

    pub fn hash(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }

    pub fn hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// Which modification times count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// All in the plan: they follow from inputs alone.
    Count,
    /// Copied files carry the time at which some RUN happened to run, which says nothing about them.
    OfCopiesDoNot,
}

/// The key of a layer that a plan describes in full: nothing but the plan and how it is written counts.
pub fn of_plan(plan: &Plan, times: Times, compression: Compression, class: &str) -> String {
    let mut key = Framed::new("files");
    key.text(&format!("{compression:?}"))
        .text(class)
        .number(plan.entries.len() as u64);
    for planned in plan.entries.values() {
        metadata(&mut key, &planned.entry);
        key.option(planned.hash.as_ref().map(<[u8; 32]>::as_slice));
        let mtime = planned.entry.mtime;
        if planned.kept || times == Times::Count {
            key.number(mtime.seconds as u64)
                .number(u64::from(mtime.nanos));
        }
    }
    key.hex()
}

/// A file's framed metadata, without times.
pub fn metadata(key: &mut Framed, entry: &Entry) {
    key.bytes(&entry.path)
        .number(u64::from(entry.mode))
        .number(entry.uid)
        .number(entry.gid);
    kind(key, &entry.kind);
    key.number(entry.xattrs.len() as u64);
    for (name, value) in &entry.xattrs {
        key.bytes(name).bytes(value);
    }
}

pub fn kind(key: &mut Framed, kind: &EntryKind) {
    match kind {
        EntryKind::Directory => key.text("directory"),
        EntryKind::File { .. } => key.text("file"),
        EntryKind::Symlink { target } => key.text("symlink").bytes(target),
        EntryKind::HardLink { target } => key.text("hardlink").bytes(target),
        EntryKind::CharDevice { major, minor } => key
            .text("char")
            .number(u64::from(*major))
            .number(u64::from(*minor)),
        EntryKind::BlockDevice { major, minor } => key
            .text("block")
            .number(u64::from(*major))
            .number(u64::from(*minor)),
        EntryKind::Fifo => key.text("fifo"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_values_cannot_run_together() {
        let key = |values: [&str; 2]| Framed::new("t").text(values[0]).text(values[1]).hex();
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
        assert_ne!(
            Framed::new("t").option(None).hex(),
            Framed::new("t").option(Some(b"")).hex()
        );
    }
}
