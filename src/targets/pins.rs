//! Where a project remembers what names outside stand for: in its lock file, when it has one, else in
//! its state.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context as _;

use crate::output_file::write_whole;
use imgmake_build::{PinError, PinName, Pins};
use imgmake_core::manifest::{Diagnostic, Glob, LockFile, LockedUrl};
use imgmake_core::state::State;
use imgmake_event::{Event, Events};
use imgmake_guard::checkout::Checkout;
use imgmake_oci::image::Reference;

/// What pins are used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PinUse {
    /// What is not pinned is resolved, and pinned.
    #[default]
    Follow,
    /// The same, and nothing is written.
    Read,
    /// What is not in the lock file is an error.
    Locked,
    /// What these select is resolved again; written by whoever asked.
    Move(Selected),
}

/// Which pins are moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    All,
    Named(Vec<String>),
}

impl Selected {
    pub fn includes(&self, name: &PinName) -> bool {
        match self {
            Selected::All => true,
            Selected::Named(names) => names.iter().any(|one| is_called(name, one)),
        }
    }
}

/// Whether a pin is meant by a word: by its whole name, by one that is shorter, or by a pattern.
pub fn is_called(name: &PinName, word: &str) -> bool {
    let glob = Glob::new(word).ok();
    let fits = |text: &str| text == word || glob.as_ref().is_some_and(|glob| glob.matches(text));
    match name {
        PinName::Url(url) => fits(url),
        PinName::Git { address, reference } => {
            fits(address) || fits(&format!("{address}#{reference}"))
        }
        PinName::Image(full) => {
            let parsed = full.parse::<Reference>().ok();
            let familiar = parsed.map_or(full.clone(), |reference| reference.familiar());
            let untagged = |text: &str| match text.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => fits(name),
                _ => false,
            };
            fits(full) || fits(&familiar) || untagged(full) || untagged(&familiar)
        }
        PinName::TimeOfCommit(_) | PinName::TimeOfArchive(_) => false,
    }
}

/// The lock file of a project, as it is now and as it was read.
pub struct LockedPins {
    path: PathBuf,
    /// As the manifest has it.
    name: String,
    is_there: bool,
    read: LockFile,
    inner: Mutex<Inner>,
}

struct Inner {
    file: LockFile,
    /// What was asked for since it was read.
    seen: BTreeSet<PinName>,
}

/// Why a lock file cannot be used.
pub enum LockFileProblem {
    Unreadable(io::Error),
    /// With the text that they are about.
    Wrong(Vec<Diagnostic>, String),
}

impl LockedPins {
    /// One that is not there is empty.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(project: &Path, name: &str) -> Result<LockedPins, LockFileProblem> {
        let path = project.join(name);
        let (read, is_there) = match Checkout::new([project]).read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (LockFile::default(), false),
            Err(error) => return Err(LockFileProblem::Unreadable(error)),
            Ok(text) => match LockFile::parse(&text) {
                Ok(file) => (file, true),
                Err(found) => return Err(LockFileProblem::Wrong(found, text)),
            },
        };
        Ok(LockedPins {
            path,
            name: name.to_string(),
            is_there,
            inner: Mutex::new(Inner {
                file: read.clone(),
                seen: BTreeSet::new(),
            }),
            read,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// As it was read, and as it is now.
    pub fn before_and_now(&self) -> (LockFile, LockFile) {
        (self.read.clone(), self.inner().file.clone())
    }

    /// What was asked for since it was read.
    pub fn seen(&self) -> BTreeSet<PinName> {
        self.inner().seen.clone()
    }

    /// Whether the file on disk says what is known here: it was written by this run.
    pub fn is_on_disk(&self) -> bool {
        let text = std::fs::read_to_string(&self.path);
        text.is_ok_and(|text| text == self.inner().file.text())
    }

    /// Drops what nothing asked for.
    pub fn drop_unseen(&self) {
        let mut inner = self.inner();
        let Inner { file, seen } = &mut *inner;
        file.images
            .retain(|name, _| seen.contains(&PinName::Image(name.clone())));
        file.urls
            .retain(|url, _| seen.contains(&PinName::Url(url.clone())));
        file.git.retain(|(address, reference), _| {
            let (address, reference) = (address.clone(), reference.clone());
            seen.contains(&PinName::Git { address, reference })
        });
    }

    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> anyhow::Result<()> {
        let inner = self.inner();
        let text = inner.file.text();
        let written = write_whole(&self.path, text.as_bytes());
        written.with_context(|| format!("cannot write the lock file `{}`", self.name))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics with the pins")
    }
}

impl Inner {
    fn get(&self, name: &PinName) -> Option<String> {
        match name {
            PinName::Image(name) => self.file.images.get(name).map(ToString::to_string),
            PinName::Url(url) => self.file.urls.get(url).map(|pin| {
                let LockedUrl {
                    digest,
                    size,
                    modified,
                } = pin;
                format!("{digest} {modified} {size}")
            }),
            PinName::Git { address, reference } => {
                let at = (address.clone(), reference.clone());
                self.file.git.get(&at).cloned()
            }
            PinName::TimeOfCommit(_) | PinName::TimeOfArchive(_) => None,
        }
    }

    fn put(&mut self, name: &PinName, value: &str) {
        match name {
            PinName::Image(name) => {
                if let Ok(digest) = value.parse() {
                    self.file.images.insert(name.clone(), digest);
                }
            }
            PinName::Url(url) => {
                self.file
                    .urls
                    .extend(locked_url(value).map(|pin| (url.clone(), pin)));
            }
            PinName::Git { address, reference } => {
                let at = (address.clone(), reference.clone());
                self.file.git.insert(at, value.to_string());
            }
            PinName::TimeOfCommit(_) | PinName::TimeOfArchive(_) => {}
        }
    }
}

/// `DIGEST SECONDS BYTES`
fn locked_url(value: &str) -> Option<LockedUrl> {
    let mut words = value.split(' ');
    Some(LockedUrl {
        digest: words.next()?.parse().ok()?,
        modified: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
    })
}

/// The pins of one run.
pub struct ProjectPins {
    pub state: Arc<State>,
    pub lock: Option<Arc<LockedPins>>,
    pub pin_use: PinUse,
    pub events: Events,
}

impl ProjectPins {
    /// The lock file, for what is reviewed; what follows from content alone is nobody's decision.
    fn lock_of(&self, name: &PinName) -> Option<&LockedPins> {
        match name {
            PinName::Image(_) | PinName::Url(_) | PinName::Git { .. } => self.lock.as_deref(),
            PinName::TimeOfCommit(_) | PinName::TimeOfArchive(_) => None,
        }
    }
}

impl Pins for ProjectPins {
    fn get(&self, name: &PinName) -> Result<Option<String>, PinError> {
        let Some(lock) = self.lock_of(name) else {
            return Ok(self.state.pin(&name.text()));
        };
        let mut inner = lock.inner();
        let is_new = inner.seen.insert(name.clone());
        let moves = matches!(&self.pin_use, PinUse::Move(selected) if selected.includes(name));
        if moves && is_new {
            return Ok(None);
        }
        match (inner.get(name), &self.pin_use) {
            (None, PinUse::Locked) => Err(PinError::NotLocked {
                name: label(name),
                file: lock.name.clone(),
            }),
            (found, _) => Ok(found),
        }
    }

    fn set(&self, name: &PinName, value: &str) -> Result<(), PinError> {
        let Some(lock) = self.lock_of(name) else {
            self.state.set_pin(&name.text(), value);
            return Ok(());
        };
        let mut inner = lock.inner();
        inner.seen.insert(name.clone());
        let before = inner.get(name);
        if before.as_deref() == Some(value) {
            return Ok(());
        }
        inner.put(name, value);
        if self.pin_use != PinUse::Follow {
            return Ok(());
        }
        // Each at once: a run that is killed has pinned what it has used.
        let written = write_whole(&lock.path, inner.file.text().as_bytes());
        written.map_err(|error| PinError::Unwritable {
            file: lock.name.clone(),
            source: io::Error::other(format!("{error:#}")),
        })?;
        if let Some(before) = before {
            let (before, now) = (shortened(&before), shortened(value));
            let message = format!("lock file: `{}` moved: {before} → {now}", label(name));
            self.events.send(Event::Note {
                target: None,
                message,
            });
        }
        Ok(())
    }
}

/// As people call it.
pub fn label(name: &PinName) -> String {
    match name {
        PinName::Image(full) => match full.parse::<Reference>() {
            Ok(reference) => reference.familiar(),
            Err(_) => full.clone(),
        },
        PinName::Git { address, reference } => format!("{address}#{reference}"),
        other => other.text(),
    }
}

/// The part of a pin's value that people compare: `sha256:0123456789ab`, or the beginning of a commit.
pub fn shortened(value: &str) -> String {
    let first = value.split(' ').next().unwrap_or_default();
    let (kind, digits) = first
        .split_once(':')
        .map_or(("", first), |(kind, digits)| (kind, digits));
    let digits: String = digits.chars().take(12).collect();
    match kind {
        "" => digits,
        kind => format!("{kind}:{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_as_people_write_it() {
        let name = PinName::Image("docker.io/library/alpine:3.22".into());
        for word in [
            "alpine",
            "alpine:3.22",
            "alp*",
            "docker.io/library/alpine",
            "docker.io/library/alpine:3.22",
        ] {
            assert!(is_called(&name, word), "{word}");
        }
        for word in ["alpin", "alpine:3.2", "library"] {
            assert!(!is_called(&name, word), "{word}");
        }
        let local = PinName::Image("localhost:5000/app:1".into());
        assert!(is_called(&local, "localhost:5000/app"));
        assert!(!is_called(&local, "localhost"));
    }
}
