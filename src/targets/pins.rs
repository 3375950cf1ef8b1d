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
    /// What links in it must not lead out of.
    checkout: Checkout,
    inner: Mutex<Inner>,
}

struct Inner {
    is_there: bool,
    /// As it was read.
    read: LockFile,
    /// As it is now.
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
        let checkout = Checkout::new([project]);
        let inner = Inner::read(&checkout, &path)?;
        Ok(LockedPins {
            path,
            name: name.to_string(),
            checkout,
            inner: Mutex::new(inner),
        })
    }

    /// As it is by now: another run may have written it before this one had the project's lock.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_again(&self) -> Result<(), LockFileProblem> {
        *self.inner() = Inner::read(&self.checkout, &self.path)?;
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn is_there(&self) -> bool {
        self.inner().is_there
    }

    /// As it was read, and as it is now.
    pub fn before_and_now(&self) -> (LockFile, LockFile) {
        let inner = self.inner();
        (inner.read.clone(), inner.file.clone())
    }

    /// What was asked for since it was read.
    pub fn seen(&self) -> BTreeSet<PinName> {
        self.inner().seen.clone()
    }

    /// Whether the file on disk says what is known here: it was written by this run.
    pub fn is_on_disk(&self) -> bool {
        let text = self.checkout.read_to_string(&self.path);
        text.is_ok_and(|text| text == self.inner().file.text())
    }

    /// Drops what nothing asked for.
    pub fn drop_unseen(&self) {
        let mut inner = self.inner();
        let Inner { file, seen, .. } = &mut *inner;
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
    /// It cannot be written; somebody else has written it since it was read.
    pub fn write(&self) -> anyhow::Result<()> {
        let inner = self.inner();
        let by_now = Inner::read(&self.checkout, &self.path);
        anyhow::ensure!(
            by_now.is_ok_and(|by_now| by_now.file == inner.read),
            "the lock file `{}` was changed by another program, and is not overwritten; run `imgmake update` again",
            self.name
        );
        let text = inner.file.text();
        let written = write_whole(&self.path, text.as_bytes());
        written.with_context(|| format!("cannot write the lock file `{}`", self.name))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics with the pins")
    }
}

impl Inner {
    fn read(checkout: &Checkout, path: &Path) -> Result<Inner, LockFileProblem> {
        let (read, is_there) = match checkout.read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (LockFile::default(), false),
            Err(error) => return Err(LockFileProblem::Unreadable(error)),
            Ok(text) => match LockFile::parse(&text) {
                Ok(file) => (file, true),
                Err(found) => return Err(LockFileProblem::Wrong(found, text)),
            },
        };
        Ok(Inner {
            is_there,
            file: read.clone(),
            read,
            seen: BTreeSet::new(),
        })
    }

    /// What is on disk by now, and what this run has used besides.
    fn merge(&mut self, on_disk: LockFile) {
        let LockFile { images, urls, git } = std::mem::replace(&mut self.file, on_disk);
        let seen = &self.seen;
        for (name, digest) in images {
            if seen.contains(&PinName::Image(name.clone())) {
                self.file.images.entry(name).or_insert(digest);
            }
        }
        for (url, pin) in urls {
            if seen.contains(&PinName::Url(url.clone())) {
                self.file.urls.entry(url).or_insert(pin);
            }
        }
        for ((address, reference), commit) in git {
            let at = (address.clone(), reference.clone());
            if seen.contains(&PinName::Git { address, reference }) {
                self.file.git.entry(at).or_insert(commit);
            }
        }
    }

    fn get(&self, name: &PinName) -> Option<String> {
        match name {
            PinName::Image(name) => self.file.images.get(name).map(ToString::to_string),
            PinName::Url(url) => self.file.urls.get(url).map(ToString::to_string),
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
    pub lock_file: Option<Arc<LockedPins>>,
    pub pin_use: PinUse,
    pub events: Events,
}

impl ProjectPins {
    /// The lock file, for what is reviewed; what follows from content alone is nobody's decision.
    fn lock_file_of(&self, name: &PinName) -> Option<&LockedPins> {
        match name {
            PinName::Image(_) | PinName::Url(_) | PinName::Git { .. } => self.lock_file.as_deref(),
            PinName::TimeOfCommit(_) | PinName::TimeOfArchive(_) => None,
        }
    }

    /// The signature of a URL is in its query, and the lock file is committed.
    fn warn_of_query(&self, name: &PinName, lock: &LockedPins) {
        let PinName::Url(url) = name else { return };
        let Some((url, _)) = url.split_once('?') else {
            return;
        };
        let message = format!(
            "lock file: `{url}` has a query, which is written into `{}`: it may contain a token; commit it only if it contains none",
            lock.name
        );
        self.events.send(Event::Warning {
            target: None,
            message,
        });
    }
}

impl Pins for ProjectPins {
    fn get(&self, name: &PinName) -> Result<Option<String>, PinError> {
        let Some(lock) = self.lock_file_of(name) else {
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
        let Some(lock) = self.lock_file_of(name) else {
            self.state.set_pin(&name.text(), value);
            return Ok(());
        };
        let mut inner = lock.inner();
        inner.seen.insert(name.clone());
        let before = inner.get(name);
        if before.as_deref() == Some(value) {
            return Ok(());
        }
        if self.pin_use == PinUse::Locked {
            let (name, file) = (label(name), lock.name.clone());
            return Err(match before {
                None => PinError::NotLocked { name, file },
                Some(before) => PinError::Outdated {
                    name,
                    file,
                    difference: difference(&before, value),
                },
            });
        }
        if before.is_none() && self.pin_use != PinUse::Read {
            self.warn_of_query(name, lock);
        }
        if self.pin_use != PinUse::Follow {
            inner.put(name, value);
            return Ok(());
        }
        // Other runs of the project pin as well.
        let pin = || pin(lock, &mut inner, name, before.as_deref(), value);
        let pinned = self
            .state
            .in_turn(pin)
            .map_err(|source| PinError::Unwritable {
                file: lock.name.clone(),
                source,
            })??;
        if let (Pinned::Here, Some(before)) = (pinned, before) {
            let difference = difference(&before, value);
            let message = format!("lock file: `{}` moved: {difference}", label(name));
            self.events.send(Event::Note {
                target: None,
                message,
            });
        }
        Ok(())
    }
}

enum Pinned {
    Here,
    /// By somebody else between the look and now.
    Already,
}

/// Writes a pin into the lock file. Somebody may have written it since it was read: what this run does
/// not change stays theirs.
fn pin(
    lock: &LockedPins,
    inner: &mut Inner,
    name: &PinName,
    before: Option<&str>,
    value: &str,
) -> Result<Pinned, PinError> {
    let unwritable = |why: String| PinError::Unwritable {
        file: lock.name.clone(),
        source: io::Error::other(why),
    };
    match Inner::read(&lock.checkout, &lock.path) {
        Ok(by_now) if by_now.is_there => inner.merge(by_now.file),
        Ok(_) => {}
        Err(LockFileProblem::Unreadable(error)) => return Err(unwritable(error.to_string())),
        Err(LockFileProblem::Wrong(..)) => {
            return Err(unwritable("the file is no longer a lock file".into()));
        }
    }
    match inner.get(name) {
        Some(by_now) if by_now == value || before != Some(by_now.as_str()) => {
            return Ok(Pinned::Already);
        }
        _ => inner.put(name, value),
    }
    // Each at once: a run that is killed has pinned what it has used.
    let written = write_whole(&lock.path, inner.file.text().as_bytes());
    written.map_err(|error| unwritable(format!("{error:#}")))?;
    Ok(Pinned::Here)
}

/// What is not the same in two values of a pin: `sha256:0123… → sha256:4567…, modified 1 → 2`.
pub fn difference(before: &str, now: &str) -> String {
    let mut parts = Vec::new();
    let (one, other) = (shortened(before), shortened(now));
    if before.split(' ').next() != now.split(' ').next() {
        parts.push(format!("{one} → {other}"));
    }
    if let (Some(before), Some(now)) = (locked_url(before), locked_url(now)) {
        let LockedUrl {
            digest: _,
            size,
            modified,
        } = before;
        if size != now.size {
            parts.push(format!("size {size} → {}", now.size));
        }
        if modified != now.modified {
            parts.push(format!("modified {modified} → {}", now.modified));
        }
    }
    parts.join(", ")
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
    use imgmake_guard::mac::MacKey;

    #[test]
    fn what_others_have_written_meanwhile_stays() {
        let made = tempfile::tempdir().unwrap();
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let image = |name: &str| PinName::Image(format!("docker.io/library/{name}:1"));
        let pins = |pin_use: PinUse| ProjectPins {
            state: Arc::new(State::read(made.path(), &MacKey::random().unwrap()).unwrap()),
            lock_file: LockedPins::read(made.path(), "l").ok().map(Arc::new),
            pin_use,
            events: Events::to(|_| {}),
        };
        let (ours, theirs) = (pins(PinUse::Follow), pins(PinUse::Follow));
        theirs.set(&image("a"), &digest("a")).unwrap();
        theirs.set(&image("b"), &digest("b")).unwrap();
        // A name that is on disk by now wins.
        assert_eq!(ours.get(&image("a")).unwrap(), None);
        ours.set(&image("a"), &digest("1")).unwrap();
        ours.set(&image("c"), &digest("c")).unwrap();
        let now = pins(PinUse::Locked);
        for (name, digit) in [("a", "a"), ("b", "b"), ("c", "c")] {
            let found = now.get(&image(name)).unwrap();
            assert_eq!(found, Some(digest(digit)), "{name}");
            assert!(now.set(&image(name), &digest(digit)).is_ok());
        }
        // Whoever knows what is there moves it; with `--locked` nobody does.
        ours.set(&image("b"), &digest("2")).unwrap();
        let error = now.set(&image("b"), &digest("3")).unwrap_err().to_string();
        assert!(
            error.contains("sha256:bbbbbbbbbbbb → sha256:3333"),
            "{error}"
        );
        assert!(now.set(&image("d"), &digest("3")).is_err());
        let (_, file) = pins(PinUse::Read).lock_file.unwrap().before_and_now();
        assert_eq!(
            file.images["docker.io/library/b:1"].to_string(),
            digest("2")
        );
        std::fs::write(made.path().join("l"), "<<<<<<<").unwrap();
        assert!(ours.set(&image("e"), &digest("e")).is_err());
    }

    #[test]
    fn every_part_of_a_value_that_differs_is_told() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let (before, now) = (format!("{digest} 1 5"), format!("{digest} 2 6"));
        assert_eq!(difference(&before, &now), "size 5 → 6, modified 1 → 2");
    }

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
