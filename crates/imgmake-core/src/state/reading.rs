//! What lies in `.imgmake/`, read: the log and the sightings, side by side. It may be read before the lock is had,
//! while others still write; whoever has the lock then asks whether it is still what lies there.

use std::path::Path;
use std::thread::JoinHandle;

use super::directory::{Directory, Sealed};
use super::log::{self, Found};
use super::records::Inner;
use crate::files::{Sightings, Signature};
use imgmake_guard::mac::MacKey;

pub(super) const SIGHTINGS: &str = "seen";

/// Files that were read, as they were before.
#[derive(PartialEq, Eq)]
struct Files {
    log: Option<Signature>,
    sightings: Option<Signature>,
}

impl Files {
    fn of(directory: &Directory) -> Files {
        Files {
            log: directory.signature(log::NAME),
            sightings: directory.signature(SIGHTINGS),
        }
    }
}

pub(super) struct Reading {
    files: Files,
    pub inner: Inner,
    pub found: Found,
    pub sightings: Sightings,
    pub has_foreign_sightings: bool,
}

impl Reading {
    /// Under the project's own key.
    pub fn of(directory: &Directory, key: &MacKey) -> Reading {
        let files = Files::of(directory);
        let ((inner, found), (sightings, has_foreign_sightings)) = std::thread::scope(|scope| {
            let sightings = scope.spawn(|| load_sightings(directory, key));
            let inner = Inner::load(directory, key);
            let sightings = sightings.join().expect("reading a cache does not panic");
            (inner, sightings)
        });
        Reading {
            files,
            inner,
            found,
            sightings,
            has_foreign_sightings,
        }
    }

    /// The inode of the sightings.
    pub fn sightings_inode(&self) -> Option<u64> {
        Some(self.files.sightings?.inode)
    }
}

/// A reading that goes on while its reader does something else.
pub struct Ahead {
    key: MacKey,
    reading: JoinHandle<Option<Reading>>,
}

impl std::fmt::Debug for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ahead")
    }
}

impl Ahead {
    /// Begins to read the state of a project.
    pub fn of(project: &Path, key: &MacKey) -> Ahead {
        let key = project_key(project, key);
        let (directory, own) = (project.to_path_buf(), key.clone());
        let read = move || {
            let directory = Directory::open(&directory).ok()??;
            Some(Reading::of(&directory, &own))
        };
        Ahead {
            key,
            reading: std::thread::spawn(read),
        }
    }

    /// What was read, if it is of this key and what lies there now.
    pub(super) fn of_now(self, directory: &Directory, key: &MacKey) -> Option<Reading> {
        let read = self
            .reading
            .join()
            .expect("reading a state does not panic")?;
        (self.key == *key && read.files == Files::of(directory)).then_some(read)
    }
}

/// What was saved under this key; and whether something else is there, which is ignored.
pub(super) fn load_sightings(directory: &Directory, key: &MacKey) -> (Sightings, bool) {
    let saved = match directory.sealed(SIGHTINGS, key) {
        Sealed::Absent => return (Sightings::default(), false),
        Sealed::Ours(records) => Sightings::from_records(records),
        Sealed::Foreign => None,
    };
    let is_foreign = saved.is_none();
    (saved.unwrap_or_default(), is_foreign)
}

/// A file of one project is none of another's.
pub(super) fn project_key(project: &Path, key: &MacKey) -> MacKey {
    key.derive("project", project.as_os_str().as_encoded_bytes())
}
