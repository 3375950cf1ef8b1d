//! The user's content-addressed store: blobs, layer indexes, unpacked layers,
//! step records, named images. Shared by projects and by concurrent runs.
//!
//! Knows image names and layers; knows no registry, Dockerfile or manifest. How far what
//! lies there is believed: `trust`.
//!
//! ```text
//! blobs/sha256/<hex>            content, written beside and renamed: whole or absent
//! blocks/<blob hex>            of which compressed blocks a layer's blob consists
//! indexes/<diff id hex>         what a layer holds (metadata and content hashes)
//! layers/<diff id hex>.<form>   which blob is that layer in that compression
//! steps/<key>                   step key → what it made
//! images/<hash of name>         names given to images
//! trees/<id map>/<diff id hex>  unpacked layers, made and deleted by the helper process
//! cache/<id map>/<hash>         cache mounts, by project and id
//! db/                           advisory indexes
//! sources/<digest hex>/         files of sources in registries, made and deleted by whoever uses them
//! logs/                         what steps printed
//! tmp/<process>/                everything unfinished; swept once its process is gone
//! format                        which format the records have
//! lock                          runs hold it shared; gc that has it alone need not look out for others
//! ```
//!
//! Nothing is fsync'ed: a file under its final name was complete when renamed, so
//! a killed process leaves the store whole; after a power failure a blob of the
//! wrong length counts as absent ([`Store::holds`]).

mod blob;
mod blocks;
mod cache_mounts;
mod checks;
mod databases;
mod find;
mod format;
mod gc;
mod images;
mod layers;
mod place;
mod record;
mod steps;
mod temporary;
#[cfg(test)]
mod tests;
mod trust;
mod usage;
mod verify;
mod waiting;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::error::{Context, Result};

pub use blob::BlobWriter;
pub use blocks::LayerFile;
pub use cache_mounts::{CacheMount, describe_cache_mount};
pub use checks::Damaged;
pub use databases::is_still;
pub use format::Rebuilt;
pub use gc::{Garbage, Keep, Kept};
pub use trust::{FoundAgain, Guard, Names, Shared, Trust};
pub use usage::{Usage, size_on_disk};
pub use verify::BlobReader;
pub use waiting::{Busy, Waiting};

use crate::image::Digest;
use crate::layer::{Index, KnownBlocks};
use imgmake_event::Cancel;
use imgmake_guard::confined::remove_tree;
use imgmake_guard::mac::MacKey;
use temporary::ProcessDir;
use trust::Place;

/// Cheap to clone; safe to use from many threads and many processes at once.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// Ends what this handle reads and writes.
    cancel: Cancel,
    on_blob: Option<OnBlob>,
}

/// Hears where a blob is being written.
type OnBlob = Arc<dyn Fn(&Path) + Send + Sync>;

struct Inner {
    root: PathBuf,
    /// Held shared for as long as the store is open; `None` in helper processes.
    lock: Option<File>,
    process: OnceLock<ProcessDir>,
    indexes: Mutex<HashMap<Digest, Arc<Index>>>,
    blocks: OnceLock<Arc<KnownBlocks>>,
    turns: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    /// Of records: in the user's own store one that everybody knows, which makes a checksum.
    key: MacKey,
    trees: Place,
    mounts: Place,
    trust: Trust,
    /// The user's own store, when this one is shared and there is such a store.
    own: Option<Store>,
    checks: checks::Checks,
    /// Until somebody has asked.
    rebuilt: Mutex<Option<Rebuilt>>,
}

impl Store {
    /// Opens the store below `root`, creating it when there is none, and takes
    /// the shared lock (waiting while a garbage collection runs).
    ///
    /// # Errors
    /// The directory belongs to another user or cannot be kept from others, or cannot be made; a newer
    /// imgmake wrote it.
    pub fn open(root: &Path) -> Result<Store> {
        Store::open_with(root, Trust::Private)
    }

    /// The same for a store whose directory others may write.
    ///
    /// # Errors
    /// As for [`Store::open`]; it holds symbolic links.
    pub fn open_with(root: &Path, trust: Trust) -> Result<Store> {
        let waiting = Waiting {
            on_wait: &|_| (),
            cancel: &Cancel::default(),
        };
        Store::open_waiting(root, trust, &waiting)
    }

    /// The same, and says what is waited for.
    ///
    /// # Errors
    /// As for [`Store::open_with`]; somebody cancelled.
    pub fn open_waiting(root: &Path, trust: Trust, waiting: &Waiting<'_>) -> Result<Store> {
        let told = || {
            format!(
                "cannot open the store `{}`; `--store` or IMGMAKE_STORE names another directory",
                root.display()
            )
        };
        let content = match trust {
            Trust::Private => place::Content::Believed,
            Trust::Shared(_) => {
                trust::refuse_links(root)?;
                place::Content::Proven
            }
        };
        // Without links: helper processes and mounts have other working directories.
        let root = &place::prepare(root, content, place::Neighbors::here()).with_context(told)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(root.join("lock"))
            .with_context(told)?;
        waiting.lock_shared(&lock).with_context(told)?;
        let rebuilt = format::prepare(root, &lock, waiting)?;
        let store = Store::with_lock(root, Some(lock), trust)?;
        *store.rebuilt_cell() = rebuilt;
        store.sweep();
        // Says since when this process may rely on what it finds. A full disk is no obstacle: gc then
        // thinks of the longest run.
        drop(store.process_dir());
        Ok(store)
    }

    /// The same store in a helper process that runs inside namespaces: its parent
    /// holds the lock and has checked the owner.
    ///
    /// # Errors
    /// A directory of this process cannot be made.
    pub fn attach(root: &Path, guard: Option<Guard>) -> Result<Store> {
        let trust = match guard {
            None => Trust::Private,
            Some(guard) => Trust::Shared(Shared {
                key: guard.key,
                found_again: guard.found_again,
                names: Names::WithMac,
                own: None,
            }),
        };
        Store::with_lock(root, None, trust)
    }

    /// What a helper process attaches with.
    pub fn guard(&self) -> Option<Guard> {
        match &self.inner.trust {
            Trust::Private => None,
            Trust::Shared(shared) => Some(Guard {
                found_again: shared.found_again,
                key: shared.key.clone(),
            }),
        }
    }

    fn with_lock(root: &Path, lock: Option<File>, trust: Trust) -> Result<Store> {
        let mut inner = Inner {
            root: root.to_path_buf(),
            lock,
            process: OnceLock::new(),
            indexes: Mutex::new(HashMap::new()),
            blocks: OnceLock::new(),
            turns: Mutex::default(),
            key: MacKey::checksum(),
            trees: Place::Plain,
            mounts: Place::Plain,
            trust,
            own: None,
            checks: checks::Checks::default(),
            rebuilt: Mutex::new(None),
        };
        if let Trust::Shared(shared) = &inner.trust {
            let path = root.as_os_str().as_encoded_bytes();
            inner.key = shared.key.derive("store", path);
            let process = ProcessDir::create(&root.join("tmp"))?;
            let named = |again| match again {
                true => Ok(Place::Named(inner.key.name("directories"))),
                false => process.directory().map(Place::Below),
            };
            inner.trees = named(shared.found_again == FoundAgain::Everything)?;
            inner.mounts = named(shared.found_again != FoundAgain::Nothing)?;
            inner.process = OnceLock::from(process);
            // Of no use when it cannot be opened, such as below a read-only home: then
            // findings go with this process, and `db update` says that it keeps nothing.
            let own = shared.own.as_deref();
            inner.own = own.and_then(|own| Store::open(own).ok());
        }
        Ok(Store {
            inner: Arc::new(inner),
            cancel: Cancel::default(),
            on_blob: None,
        })
    }

    /// Whether its records were of an older format as it was opened. Answered once.
    pub fn take_rebuilt(&self) -> Option<Rebuilt> {
        self.rebuilt_cell().take()
    }

    fn rebuilt_cell(&self) -> std::sync::MutexGuard<'_, Option<Rebuilt>> {
        self.inner.rebuilt.lock().expect("no thread panics in here")
    }

    /// Whether others may have written what lies here.
    pub fn is_shared(&self) -> bool {
        matches!(self.inner.trust, Trust::Shared(_))
    }

    /// Whether what is in [`Store::database`] outlives this process.
    pub fn keeps_database(&self) -> bool {
        !self.is_shared() || self.inner.own.is_some()
    }

    /// Where advisories and findings are kept: nothing proves them, so they lie in the
    /// user's own store, and without one they go with this process.
    ///
    /// # Errors
    /// A directory of this process cannot be made.
    pub fn database(&self) -> Result<PathBuf> {
        if let Some(own) = &self.inner.own {
            return own.database();
        }
        match self.is_shared() {
            true => Ok(self.process_dir()?.path().join("db")),
            false => Ok(self.root().join("db")),
        }
    }

    /// The same store, whose long reads and writes end once somebody cancels.
    #[must_use]
    pub fn stopped_by(&self, cancel: &Cancel) -> Store {
        Store {
            cancel: cancel.clone(),
            ..self.clone()
        }
    }

    /// The same store; `on_blob` hears of each file that this handle writes a blob to, before its first byte. It
    /// grows at its end, and has no name any more once the blob is given up.
    #[must_use]
    pub fn announcing_blobs(&self, on_blob: impl Fn(&Path) + Send + Sync + 'static) -> Store {
        Store {
            on_blob: Some(Arc::new(on_blob)),
            ..self.clone()
        }
    }

    /// What ends this handle's long reads and writes.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Where the layer with this diff id is unpacked for one id map (`root`,
    /// `rootless-<hash>`, `single`). Made and deleted by the helper process alone.
    pub fn tree_path(&self, id_map: &str, diff_id: &Digest) -> PathBuf {
        let directory = self.inner.trees.directory(self.root(), "trees", id_map);
        directory.join(diff_id.hex())
    }

    /// A fresh directory on the store's own file system, empty, 0700. It is the
    /// caller's to remove; when this process dies first, a later one sweeps it.
    ///
    /// # Errors
    /// The file system is full or read-only.
    pub fn temporary_dir(&self) -> Result<PathBuf> {
        self.process_dir()?.directory()
    }

    /// What threads hold while they make the thing of this key: targets of one run that
    /// share a step wait for the first to make it.
    pub fn turn(&self, key: &str) -> Arc<Mutex<()>> {
        let mut turns = self.inner.turns.lock().expect("no thread panics in here");
        turns.entry(key.to_string()).or_default().clone()
    }

    fn process_dir(&self) -> Result<&ProcessDir> {
        if let Some(process) = self.inner.process.get() {
            return Ok(process);
        }
        let made = ProcessDir::create(&self.root().join("tmp"))?;
        // Of two threads that come here at once, the loser's directory is removed as it is dropped.
        Ok(self.inner.process.get_or_init(|| made))
    }

    /// Removes what dead processes left, as far as this user may. What a user
    /// namespace owns stays for [`Store::leftovers`].
    fn sweep(&self) {
        for left in self.leftovers() {
            // Best effort: what stays is tried again by every later run.
            drop(remove_tree(&left));
        }
    }

    /// Directories of processes that are gone.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        temporary::leftovers(&self.root().join("tmp"))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.inner.root).finish()
    }
}
