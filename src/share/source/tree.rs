//! A source as files. Every name is there at once, with its mode and size, so that keys can be made: of contents the
//! list has the hashes. A content comes when somebody needs it, is checked, and takes the place of an empty file of
//! its length.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use imgmake_core::files::{ReadAs, StatCache};
use imgmake_core::share::{ContentPlace, Entry, decode_path};
use imgmake_guard::confined::open_directory;
use imgmake_guard::modes;
use imgmake_oci::store::Store;
use imgmake_registry::{Client, OperationContext};
use rustix::fs::AtFlags;

use super::filling::{Current, Filling, aside, hash_of, links};
use super::names::{create_beside, create_in, parent_of, signature_at};
use super::opened::Opened;
use super::pack::real_files;
use super::place::{Place, Turn};
use super::record::{Placed, Placement, numbers_of, read_record, write_record};

/// File systems that know every second second alone.
const COARSEST_CLOCK: Duration = Duration::from_secs(3);

/// A source on this machine.
pub struct Tree {
    pub opened: Opened,
    /// Absolute.
    pub root: PathBuf,
    held: OwnedFd,
    store: Store,
    /// Where it is recorded what is here.
    record: PathBuf,
    place: Place,
    placed: Mutex<Placed>,
}

impl Tree {
    /// Puts a source in place, unless it is there: in the store, or in a directory of the user that is empty.
    ///
    /// # Errors
    /// The directory has other files; it cannot be written.
    pub fn open(opened: Opened, store: &Store, directory: Option<&Path>) -> Result<Tree> {
        let place = Place::of(&opened.digest, store)?;
        let home = &place.home;
        let (root, record) = match directory {
            None => (home.join("tree"), home.join("placed")),
            Some(directory) => {
                modes::make_dirs(directory, 0o755)?;
                let root = directory.canonicalize()?;
                let name = blake3::hash(root.as_os_str().as_bytes()).to_hex();
                (root, home.join(format!("placed-{}", &name[..32])))
            }
        };
        let turn = Turn::take(home)?;
        let placed = match read_record(store, &record) {
            Some(placed) if has_files(&root) => placed,
            _ => {
                let placed = match directory {
                    None => create_beside(&opened, &root, home)?,
                    Some(_) => create_in(&opened, &root)?,
                };
                write_record(store, &record, &placed)?;
                placed
            }
        };
        let tree = Tree {
            held: open_directory(&root)?,
            opened,
            root,
            store: store.clone(),
            record,
            place,
            placed: Mutex::new(placed),
        };
        tree.mend()?;
        drop(turn);
        Ok(tree)
    }

    /// What a run was doing when it was killed: contents are whole or absent, but it is not recorded which are here.
    fn mend(&self) -> Result<()> {
        let begun = self.begun();
        if !begun.exists() {
            return Ok(());
        }
        let links = links(&self.opened.list.entries);
        let mut placed = self.placed();
        for (number, placement) in &mut placed.0 {
            let Entry::File { path, hash, .. } = &self.opened.list.entries[*number] else {
                continue;
            };
            let bytes = decode_path(path).unwrap_or_default();
            let (parent, name) = parent_of(&self.held, &bytes)?;
            let _ = rustix::fs::unlinkat(&parent, aside(*number).as_str(), AtFlags::empty());
            if placement.is_filled {
                continue;
            }
            let now = numbers_of(&signature_at(&self.held, &bytes)?);
            if now == placement.signature {
                continue;
            }
            let found = hash_of(&parent, &name, self.store.cancel())
                .with_context(|| format!("cannot read `{path}` of the source"))?;
            ensure!(
                found.to_hex().as_str() == hash,
                "`{path}` of the source was changed before its content was here\n  help: remove `{}`, and run it again",
                self.root.display()
            );
            self.filling(&links).link_all(path, &parent, &name)?;
            *placement = Placement {
                signature: numbers_of(&signature_at(&self.held, &bytes)?),
                is_filled: true,
            };
        }
        write_record(&self.store, &self.record, &placed)?;
        fs::remove_file(&begun)?;
        Ok(())
    }

    /// There while contents are brought.
    fn begun(&self) -> PathBuf {
        self.record.with_extension("begun")
    }

    /// The directory of the manifest, and its name in there.
    pub fn manifest(&self) -> (PathBuf, String) {
        let path = decode_path(&self.opened.list.manifest).unwrap_or_default();
        let path = super::pack::path_of(&self.root, &path);
        let directory = path.parent().unwrap_or(&self.root).to_path_buf();
        let name = path.file_name().unwrap_or_default();
        (directory, name.to_string_lossy().into_owned())
    }

    /// Brings what is read to make keys.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn bring_early(&self, client: &Client, work: &OperationContext) -> Result<bool> {
        let is_early = |entry: &Entry| matches!(entry, Entry::File { early: true, .. });
        self.bring(self.numbers(is_early), client, work)
    }

    /// Brings everything.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn bring_all(&self, client: &Client, work: &OperationContext) -> Result<bool> {
        self.bring(self.numbers(|_| true), client, work)
    }

    /// Brings the contents of files that a target reads, by what its key was made of; whether one was missing.
    ///
    /// # Errors
    /// It cannot be fetched.
    pub fn bring_read(
        &self,
        read: &BTreeMap<PathBuf, ReadAs>,
        client: &Client,
        work: &OperationContext,
    ) -> Result<bool> {
        let beneath = |path: PathBuf| {
            let beneath = path.strip_prefix(&self.root).ok()?;
            Some(beneath.as_os_str().as_bytes().to_vec())
        };
        let files = real_files(&self.root, read, &work.cancel)?.into_iter();
        let wanted: BTreeSet<Vec<u8>> = files.filter_map(beneath).collect();
        let is_wanted =
            |entry: &Entry| decode_path(entry.path()).is_some_and(|path| wanted.contains(&path));
        self.bring(self.numbers(is_wanted), client, work)
    }

    /// The files among these entries; of a further name, the first one's.
    fn numbers(&self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<usize> {
        let entries = &self.opened.list.entries;
        let mut through_others = BTreeSet::new();
        for entry in entries {
            if let Entry::Hardlink { target, .. } = entry
                && is_wanted(entry)
            {
                through_others.insert(target.as_str());
            }
        }
        let is_one = |entry: &Entry| match entry {
            Entry::File { path, .. } => is_wanted(entry) || through_others.contains(path.as_str()),
            _ => false,
        };
        let numbered = entries.iter().enumerate();
        let found = numbered.filter(|(_, entry)| is_one(entry));
        found.map(|(number, _)| number).collect()
    }

    fn bring(&self, files: Vec<usize>, client: &Client, work: &OperationContext) -> Result<bool> {
        let mut placed = self.placed();
        let is_missing = |placed: &Placed, file: &usize| {
            let placement = placed.0.get(file);
            placement.is_none_or(|placement| !placement.is_filled)
        };
        if !files.iter().any(|file| is_missing(&placed, file)) {
            return Ok(false);
        }
        let _turn = Turn::take(&self.place.home)?;
        // What another run has brought meanwhile.
        if let Some(now) = read_record(&self.store, &self.record) {
            *placed = now;
        }
        let missing = files.into_iter().filter(|file| is_missing(&placed, file));
        let missing: Vec<usize> = missing.collect();
        let chunks = missing.iter().flat_map(|file| self.chunks_of(*file));
        let chunks: BTreeSet<usize> = chunks.collect();
        self.opened.fetch(chunks, client, &self.store, work)?;
        File::create(self.begun())?;
        let links = links(&self.opened.list.entries);
        let mut current = Current::default();
        let filled = missing.iter().try_for_each(|number| {
            work.cancel.check()?;
            let signature = self.filling(&links).file(*number, &mut current)?;
            let placement = Placement {
                signature,
                is_filled: true,
            };
            placed.0.insert(*number, placement);
            Ok(())
        });
        // Also of what came before a failure.
        write_record(&self.store, &self.record, &placed)?;
        fs::remove_file(self.begun())?;
        filled.map(|()| true)
    }

    fn filling<'a>(&'a self, links: &'a HashMap<&'a str, Vec<&'a str>>) -> Filling<'a> {
        Filling {
            opened: &self.opened,
            store: &self.store,
            held: &self.held,
            links,
        }
    }

    /// The chunks that a file's content is in.
    fn chunks_of(&self, file: usize) -> Vec<usize> {
        let list = &self.opened.list;
        let Entry::File {
            size,
            content: Some(ContentPlace { chunk, offset }),
            ..
        } = &list.entries[file]
        else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut reached = 0;
        for (number, one) in list.chunks.iter().enumerate().skip(*chunk) {
            if reached >= offset + size {
                break;
            }
            found.push(number);
            reached += one.size;
        }
        found
    }

    /// Tells the hashes of files that are as they were put here; of one whose content is missing, nobody could find
    /// it out.
    ///
    /// # Errors
    /// A file cannot be looked at, or its place was written by somebody else.
    pub fn teach(&self, stats: &StatCache) -> Result<()> {
        let mut placed = self.placed();
        // Another run may be bringing contents.
        let turn = Turn::take(&self.place.home)?;
        if let Some(now) = read_record(&self.store, &self.record) {
            *placed = now;
        }
        let mut waiting = Vec::new();
        for (number, placement) in &placed.0 {
            let Entry::File { path, hash, .. } = &self.opened.list.entries[*number] else {
                continue;
            };
            let bytes = decode_path(path).unwrap_or_default();
            let now = match signature_at(&self.held, &bytes) {
                Ok(now) => now,
                // Whoever needs it says so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| format!("cannot read `{path}`")),
            };
            if numbers_of(&now) != placement.signature {
                ensure!(
                    placement.is_filled,
                    "`{path}` of the source was changed before its content was here\n  help: remove `{}`, and run it again",
                    self.root.display()
                );
                // A command changed it.
                continue;
            }
            let mut bytes = [0; 32];
            hex::decode_to_slice(hash, &mut bytes).context("a hash of the list")?;
            waiting.push((now, bytes));
        }
        drop(turn);
        // A file is believed once the clock of its file system has moved.
        let began = Instant::now();
        loop {
            waiting.retain(|(signature, hash)| !stats.believe(signature, hash));
            if waiting.is_empty() {
                return Ok(());
            }
            ensure!(
                began.elapsed() < COARSEST_CLOCK,
                "the clock of the file system of `{}` does not move",
                self.root.display()
            );
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn placed(&self) -> MutexGuard<'_, Placed> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_files(root: &Path) -> bool {
    let entries = fs::read_dir(root);
    entries.is_ok_and(|mut entries| entries.next().is_some())
}

/// Writes a whole source into a directory that is empty or does not exist.
///
/// # Errors
/// It has files; something cannot be fetched or written.
pub fn write_all(
    opened: Opened,
    store: &Store,
    directory: &Path,
    client: &Client,
    work: &OperationContext,
) -> Result<()> {
    Tree::open(opened, store, Some(directory))?
        .bring_all(client, work)
        .map(drop)
}
