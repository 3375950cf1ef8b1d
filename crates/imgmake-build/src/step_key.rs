//! Keys of steps: how each begins, and the whole key of a layer of files. The key of a RUN is in
//! `run::prepare`. A key holds everything that the layer of a step follows from, and nothing else:
//! never a secret, a proxy variable, or the time of a source.

use imgmake_core::fingerprint::{Bytes, LengthPrefixedHasher, Semantics};
use imgmake_oci::layer::{Compression, Entry};

use crate::files::copy::{Plan, Planned};

/// For the key of a step, or of what is kept beside steps. Another `kind` is another key.
pub fn of(kind: &str) -> LengthPrefixedHasher {
    LengthPrefixedHasher::of(Semantics::Steps, kind)
}

/// Which modification times count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// All in the plan: they follow from inputs alone.
    All,
    /// The times of copied files are left out: they are those at which some RUN happened to run.
    ExceptOfCopies,
}

/// The key of a layer that a plan describes in full: nothing but the plan and how it is written counts.
pub fn of_plan(plan: &Plan, times: Times, compression: Compression, class: &str) -> String {
    let Plan {
        entries,
        // Where the bytes come from is not in the key: their hashes are.
        archives: _,
        changes: _,
        warnings: _,
    } = plan;
    let mut key = of("files");
    key.add(&compression).text(class);
    key.number(entries.len() as u64);
    for planned in entries.values() {
        let Planned {
            entry,
            content: _,
            hash,
            kept,
            stat: _,
        } = planned;
        metadata(&mut key, entry);
        let counts = *kept || times == Times::All;
        key.add(hash).add(&counts.then_some(entry.mtime));
    }
    key.hex()
}

/// An entry without its times.
fn metadata(key: &mut LengthPrefixedHasher, entry: &Entry) {
    let Entry {
        path,
        kind,
        mode,
        uid,
        gid,
        mtime: _,
        xattrs,
    } = entry;
    key.bytes(path).add(kind).add(mode).add(uid).add(gid);
    key.list(
        xattrs
            .iter()
            .map(|(name, value)| (Bytes(name), Bytes(value))),
    );
}
