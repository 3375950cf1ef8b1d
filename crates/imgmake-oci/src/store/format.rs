//! Which format a store has: records of another one are never read.
//!
//! Blobs are proven by their digests in any format, cache mounts are what steps wrote, and names of images
//! are JSON: they stay. Advisories and findings say their own formats. Everything else is set aside, and
//! made again.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::temporary::ProcessDir;
use super::waiting::{Busy, Waiting};
use crate::error::{Context, OciError, Result};
use imgmake_guard::modes;

/// Raised when a record, an unpacked layer or a name is written differently.
pub(super) const FORMAT: u32 = 1;
const FILE: &str = "format";
const BEGIN: &str = "imgmake store ";
/// Longer than any that was written.
const LONGEST: u64 = 64;
/// What a format says how to read.
const READ_BY_FORMAT: [&str; 5] = ["blocks", "indexes", "layers", "steps", "trees"];

/// The store had an older format, whose records were set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt;

/// Makes a store readable for this program. `lock` is the store's, held shared, also afterwards.
///
/// # Errors
/// The store has a newer format; the file system is full or read-only.
pub(super) fn prepare(root: &Path, lock: &File, waiting: &Waiting<'_>) -> Result<Option<Rebuilt>> {
    if is_current(root)? {
        return Ok(None);
    }
    // Of two that make one store at once, the other one's format came before its records. One of an
    // older format may work there already, though it has recorded nothing yet.
    if read(root)? == Found::Absent && !holds_records(root) && write_first(root)? {
        return Ok(None);
    }
    if is_current(root)? {
        return Ok(None);
    }
    // Older programs read and write as they know it, and hold the lock as long as they do.
    lock.unlock().context("cannot let go of the store's lock")?;
    let is_alone = waiting.lock(lock, Busy::OlderInUse, &|| is_current(root))?;
    let rebuilt = match is_current(root)? {
        true => None,
        false => {
            set_aside(root)?;
            write(root)?;
            Some(Rebuilt)
        }
    };
    if is_alone {
        lock.unlock().context("cannot let go of the store's lock")?;
    }
    waiting.lock_shared(lock)?;
    // A newer one may have been next.
    is_current(root)?;
    Ok(rebuilt)
}

/// What the file of the format says.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// Also a store from before formats were written down.
    Absent,
    /// Nothing that any imgmake wrote.
    Foreign,
    Number(u32),
    /// Written as no imgmake up to this one did.
    Other(String),
}

/// # Errors
/// It is a newer one.
fn is_current(root: &Path) -> Result<bool> {
    match read(root)? {
        Found::Absent | Found::Foreign => Ok(false),
        Found::Number(number) if number <= FORMAT => Ok(number == FORMAT),
        Found::Number(number) => Err(newer(root, number.to_string())),
        Found::Other(text) => Err(newer(root, text)),
    }
}

fn newer(root: &Path, found: String) -> OciError {
    OciError::Newer {
        what: format!("the store `{}`", root.display()),
        found,
        known: FORMAT,
        help: "use that version, or another store with `--store` or IMGMAKE_STORE".to_string(),
    }
}

fn read(root: &Path) -> Result<Found> {
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(root.join(FILE));
    let file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Absent),
        opened => opened.context("cannot read the store's format")?,
    };
    let mut text = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut text)
        .context("cannot read the store's format")?;
    let text = String::from_utf8_lossy(&text);
    Ok(match text.strip_prefix(BEGIN).map(str::trim_end) {
        None => Found::Foreign,
        Some(number) => match number.parse() {
            Ok(number) => Found::Number(number),
            Err(_) => Found::Other(number.escape_debug().to_string()),
        },
    })
}

fn write(root: &Path) -> Result<()> {
    let told = || told(root);
    written(root)?
        .persist(root.join(FILE))
        .map_err(|error| error.error)
        .with_context(told)?;
    Ok(())
}

/// `false` where somebody else was first.
fn write_first(root: &Path) -> Result<bool> {
    match written(root)?.persist_noclobber(root.join(FILE)) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error).with_context(|| told(root)),
    }
}

fn told(root: &Path) -> String {
    format!("cannot write to the store at `{}`", root.display())
}

/// Complete, and still without its name.
fn written(root: &Path) -> Result<tempfile::NamedTempFile> {
    let told = || told(root);
    let mut file = tempfile::Builder::new()
        .prefix(".format-")
        .tempfile_in(root)
        .with_context(told)?;
    std::io::Write::write_all(&mut file, format!("{BEGIN}{FORMAT}\n").as_bytes())
        .with_context(told)?;
    Ok(file)
}

fn holds_records(root: &Path) -> bool {
    READ_BY_FORMAT
        .iter()
        .any(|name| fs::read_dir(root.join(name)).is_ok_and(|mut entries| entries.next().is_some()))
}

/// Into a directory that counts as left by a process that is gone: what belongs to other ids of a
/// user namespace is removed by the next helper process.
fn set_aside(root: &Path) -> Result<()> {
    let told = || format!("cannot set records of the store `{}` aside", root.display());
    let aside = ProcessDir::create(&root.join("tmp"))?;
    for name in READ_BY_FORMAT {
        let from = root.join(name);
        match fs::rename(&from, aside.path().join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            renamed => renamed.with_context(told)?,
        }
        modes::make_dir(&from, modes::PRIVATE).with_context(told)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::super::{Store, Trust};
    use super::*;
    use crate::image::{Descriptor, Digest};
    use crate::layer::{Index, Layer};
    use imgmake_event::Cancel;

    fn with_a_step(format: Option<&str>) -> (tempfile::TempDir, Digest) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.take_rebuilt(), None);
        store.put_step("ab", b"a record").unwrap();
        let blob = store.put_bytes(b"content").unwrap();
        drop(store);
        match format {
            Some(text) => fs::write(directory.path().join(FILE), text).unwrap(),
            None => fs::remove_file(directory.path().join(FILE)).unwrap(),
        }
        (directory, blob)
    }

    #[test]
    fn a_store_of_this_format_keeps_its_records() {
        let (directory, _) = with_a_step(Some(&format!("{BEGIN}{FORMAT}\n")));
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.take_rebuilt(), None);
        assert_eq!(store.step("ab").as_deref(), Some(&b"a record"[..]));
    }

    #[test]
    fn records_of_an_older_format_are_set_aside_and_blobs_stay() {
        for older in [None, Some("imgmake store 0\n"), Some("who knows")] {
            let (directory, blob) = with_a_step(older);
            fs::create_dir(directory.path().join("trees/root")).unwrap();
            let store = Store::open(directory.path()).unwrap();
            assert_eq!(store.take_rebuilt(), Some(Rebuilt));
            assert_eq!(store.step("ab"), None);
            assert!(!directory.path().join("trees/root").exists());
            assert!(store.blob_path(&blob).exists());
            drop(store);
            let again = Store::open(directory.path()).unwrap();
            assert_eq!((again.take_rebuilt(), again.leftovers().len()), (None, 0));
        }
    }

    #[test]
    fn a_newer_store_is_refused_and_left_as_it_is() {
        let (directory, _) = with_a_step(Some("imgmake store 2\n"));
        let error = Store::open(directory.path()).unwrap_err();
        assert!(error.is_newer(), "{error:#}");
        let told = format!("{error:#}");
        assert!(
            told.contains("has format 2, written by a newer imgmake; this one reads format 1"),
            "{told}"
        );
        assert!(directory.path().join("steps/ab").exists());
    }

    #[test]
    fn a_format_that_cannot_be_read_is_a_newer_one() {
        for text in ["99999999999", "2b", "-1"] {
            let (directory, _) = with_a_step(Some(&format!("{BEGIN}{text}\n")));
            let error = Store::open(directory.path()).unwrap_err();
            assert!(error.is_newer(), "{error:#}");
            let told = format!("{error:#}");
            assert!(
                told.contains(&format!("has format {text}, written")),
                "{told}"
            );
            assert!(directory.path().join("steps/ab").exists());
        }
    }

    /// An older imgmake that has recorded nothing yet.
    fn older_run() -> (tempfile::TempDir, File) {
        let (directory, _) = with_a_step(Some("imgmake store 0\n"));
        fs::remove_file(directory.path().join("steps/ab")).unwrap();
        let lock = File::open(directory.path().join("lock")).unwrap();
        lock.lock_shared().unwrap();
        assert!(!holds_records(directory.path()));
        (directory, lock)
    }

    fn format_of(root: &Path) -> String {
        fs::read_to_string(root.join(FILE)).unwrap()
    }

    #[test]
    fn a_store_in_which_an_older_imgmake_works_is_waited_for_though_it_holds_nothing() {
        let (directory, lock) = older_run();
        let told = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| {
                let waiting = Waiting {
                    on_wait: &|busy| told.lock().unwrap().push(busy),
                    cancel: &Cancel::default(),
                };
                Store::open_waiting(directory.path(), Trust::Private, &waiting).unwrap()
            });
            while told.lock().unwrap().is_empty() && !opened.is_finished() {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(100));
            assert!(!opened.is_finished());
            assert_eq!(format_of(directory.path()), "imgmake store 0\n");
            fs::write(directory.path().join("steps/old"), "as it knows it").unwrap();
            drop(lock);
            let store = opened.join().unwrap();
            assert_eq!(store.take_rebuilt(), Some(Rebuilt));
            assert_eq!(store.step("old"), None);
        });
        assert_eq!(*told.lock().unwrap(), [Busy::OlderInUse]);
    }

    #[test]
    fn a_wait_for_a_store_ends_with_a_cancellation() {
        let (directory, _lock) = older_run();
        let collecting = tempfile::tempdir().unwrap();
        drop(Store::open(collecting.path()).unwrap());
        let alone = File::open(collecting.path().join("lock")).unwrap();
        alone.lock().unwrap();
        for (root, why) in [
            (directory.path(), Busy::OlderInUse),
            (collecting.path(), Busy::TakenAlone),
        ] {
            let cancel = Cancel::default();
            let told = Mutex::new(Vec::new());
            let waiting = Waiting {
                on_wait: &|busy| {
                    told.lock().unwrap().push(busy);
                    cancel.cancel();
                },
                cancel: &cancel,
            };
            let error = Store::open_waiting(root, Trust::Private, &waiting).unwrap_err();
            assert!(matches!(error.root(), OciError::Cancelled(_)), "{error:#}");
            assert_eq!(*told.lock().unwrap(), [why]);
        }
        assert_eq!(format_of(directory.path()), "imgmake store 0\n");
    }

    /// What a record looks like is what the format promises.
    #[test]
    fn records_of_this_format_look_as_they_did() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let descriptor = Descriptor::new(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            Digest::of(b"x"),
            1,
        );
        store.put_step("ab", b"a record").unwrap();
        store
            .record_layer(&Layer::new(Digest::of(b"y"), descriptor))
            .unwrap();
        store
            .put_index(&Digest::of(b"y"), &Index::default())
            .unwrap();
        let mut written = Vec::new();
        for folder in ["steps", "layers", "indexes"] {
            for entry in fs::read_dir(directory.path().join(folder)).unwrap() {
                written.extend(fs::read(entry.unwrap().path()).unwrap());
            }
        }
        let found = Digest::of(&written).hex()[..16].to_string();
        assert_eq!(
            (FORMAT, found.as_str()),
            (1, "62cae3252847fbe1"),
            "other records are another `FORMAT`"
        );
    }
}
