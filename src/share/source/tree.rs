//! A source as files. Every name is there at once, with its mode and size, so that keys can be made: of contents the
//! list has the hashes. A content comes when somebody needs it, is checked, and takes the place of an empty file of
//! its length.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use imgmake_core::files::{CONTENT_MISSING, ReadAs, Signature, StatCache};
use imgmake_core::share::{ContentPlace, Entry, decode_path};
use imgmake_guard::confined::{open_directory, open_parent, remove_tree};
use imgmake_guard::modes::{self, PRIVATE};
use imgmake_oci::store::{Store, is_still};
use imgmake_registry::{Client, OperationContext};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use serde::{Deserialize, Serialize};

use super::opened::Opened;
use super::pack::real_files;

/// The time of a file whose content is not here.
const NOT_HERE: Timespec = Timespec {
    tv_sec: CONTENT_MISSING.0,
    tv_nsec: CONTENT_MISSING.1,
};
/// How long a source stays that nobody asks for.
const UNUSED: Duration = Duration::from_secs(3 * 86_400);
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
    /// Held for as long as somebody works with it.
    _used: File,
    placed: Mutex<Placed>,
}

/// What was put in place, by the number of its entry.
#[derive(Default, Serialize, Deserialize)]
struct Placed(BTreeMap<usize, Placement>);

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Placement {
    /// As it was put there.
    signature: [u64; 5],
    /// Whether the content is here.
    is_filled: bool,
}

impl Tree {
    /// Puts a source in place, unless it is there: in the store, or in a directory of the user that is empty.
    ///
    /// # Errors
    /// The directory has other files; it cannot be written.
    pub fn open(opened: Opened, store: &Store, directory: Option<&Path>) -> Result<Tree> {
        let sources = store.root().join("sources");
        modes::make_dirs(&sources, PRIVATE)?;
        remove_unused(&sources, SystemTime::now());
        let home = sources.join(opened.digest.hex());
        modes::make_dirs(&home, PRIVATE)?;
        let used = File::open(&home)?;
        used.lock_shared()?;
        ensure!(
            is_still(&used, &home),
            "another run removed the source: run it again"
        );
        used.set_modified(SystemTime::now())?;
        let (root, record) = match directory {
            None => (home.join("tree"), home.join("placed")),
            Some(directory) => {
                modes::make_dirs(directory, 0o755)?;
                let root = directory.canonicalize()?;
                let name = blake3::hash(root.as_os_str().as_bytes()).to_hex();
                (root, home.join(format!("placed-{}", &name[..32])))
            }
        };
        let turn = Turn::take(&home)?;
        let placed = match read_record(store, &record) {
            Some(placed) if root.is_dir() => placed,
            _ => {
                let placed = match directory {
                    None => create_beside(&opened, &root, &home)?,
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
            _used: used,
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
            let found = hash_of(&parent, &name, &self.store)
                .with_context(|| format!("cannot read `{path}` of the source"))?;
            ensure!(
                found.to_hex().as_str() == hash,
                "`{path}` of the source was changed before its content was here\n  help: remove `{}`, and run it again",
                self.root.display()
            );
            let filling = Filling {
                tree: self,
                links: &links,
            };
            filling.link_all(path, &parent, &name)?;
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
        let wanted: BTreeSet<Vec<u8>> = real_files(&self.root, read, &work.cancel)?
            .into_iter()
            .filter_map(|path| {
                Some(
                    path.strip_prefix(&self.root)
                        .ok()?
                        .as_os_str()
                        .as_bytes()
                        .to_vec(),
                )
            })
            .collect();
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
        let home = self.record.parent().unwrap_or(&self.root);
        let _turn = Turn::take(home)?;
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
            let filling = Filling {
                tree: self,
                links: &links,
            };
            let signature = filling.file(*number, &mut current)?;
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
        let placed = self.placed();
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

/// The further names of each file.
fn links(entries: &[Entry]) -> HashMap<&str, Vec<&str>> {
    let mut links: HashMap<&str, Vec<&str>> = HashMap::new();
    for entry in entries {
        if let Entry::Hardlink { path, target } = entry {
            links.entry(target).or_default().push(path);
        }
    }
    links
}

/// The chunk that was read last.
#[derive(Default)]
struct Current {
    number: Option<usize>,
    bytes: Vec<u8>,
}

impl Current {
    fn chunk(&mut self, number: usize, tree: &Tree) -> Result<&[u8]> {
        if self.number != Some(number) {
            self.bytes = tree.opened.chunk(number, &tree.store)?;
            self.number = Some(number);
        }
        Ok(&self.bytes)
    }
}

struct Filling<'a> {
    tree: &'a Tree,
    links: &'a HashMap<&'a str, Vec<&'a str>>,
}

impl Filling<'_> {
    /// Puts a content in the place of an empty file.
    fn file(&self, number: usize, current: &mut Current) -> Result<[u64; 5]> {
        let Entry::File {
            path,
            mode,
            size,
            hash,
            content,
            ..
        } = &self.tree.opened.list.entries[number]
        else {
            bail!("entry {number} is not a file");
        };
        let bytes = decode_path(path).unwrap_or_default();
        let (parent, name) = parent_of(&self.tree.held, &bytes)?;
        let at = || format!("cannot write `{path}` of the source");
        let aside = aside(number);
        let write = || -> Result<()> {
            let _ = rustix::fs::unlinkat(&parent, aside.as_str(), AtFlags::empty());
            let mut file = create(&parent, aside.as_bytes(), 0o600)?;
            self.content(&mut file, *size, hash, *content, current)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(*mode))?;
            rustix::fs::renameat(&parent, aside.as_str(), &parent, &*name)?;
            Ok(())
        };
        let written = writable(&parent, write);
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&parent, aside.as_str(), AtFlags::empty());
        }
        written.with_context(at)?;
        self.link_all(path, &parent, &name).with_context(at)?;
        Ok(numbers_of(&signature_at(&self.tree.held, &bytes)?))
    }

    fn content(
        &self,
        file: &mut File,
        size: u64,
        hash: &str,
        content: Option<ContentPlace>,
        current: &mut Current,
    ) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut left = size;
        let mut place = content;
        while left > 0 {
            let ContentPlace { chunk, offset } = place.context("a content without a place")?;
            let bytes = current.chunk(chunk, self.tree)?;
            let rest = usize::try_from(offset)
                .ok()
                .and_then(|from| bytes.get(from..));
            let rest = rest
                .filter(|rest| !rest.is_empty())
                .context("a content is not there")?;
            let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            file.write_all(&rest[..taken])?;
            hasher.update(&rest[..taken]);
            left -= taken as u64;
            place = Some(ContentPlace {
                chunk: chunk + 1,
                offset: 0,
            });
        }
        ensure!(
            hasher.finalize().to_hex().as_str() == hash,
            "its content is not what the list says"
        );
        Ok(())
    }

    /// The further names of a file that has just got another inode.
    fn link_all(&self, path: &str, parent: &OwnedFd, name: &[u8]) -> Result<()> {
        let mut links = self.links.get(path).into_iter().flatten();
        links.try_for_each(|link| self.link(parent, name, link))
    }

    fn link(&self, parent: &OwnedFd, name: &[u8], link: &str) -> Result<()> {
        let bytes = decode_path(link).unwrap_or_default();
        let (above, link) = parent_of(&self.tree.held, &bytes)?;
        writable(&above, || {
            match rustix::fs::unlinkat(&above, &*link, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            rustix::fs::linkat(parent, name, &above, &*link, AtFlags::empty())?;
            Ok(())
        })
    }
}

/// The name that a content has until it is whole: what a run is writing is in no context.
fn aside(number: usize) -> String {
    format!(".imgmake-{:06}", number % 1_000_000)
}

fn hash_of(parent: &OwnedFd, name: &[u8], store: &Store) -> Result<blake3::Hash> {
    let mut file = imgmake_guard::confined::open_file(parent, name)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        store.cancel().check()?;
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            count => hasher.update(&buffer[..count]),
        };
    }
}

/// In a directory that its owner may not write, it may be written for a moment.
fn writable(directory: &OwnedFd, mut act: impl FnMut() -> Result<()>) -> Result<()> {
    let Err(error) = act() else {
        return Ok(());
    };
    let is_denied = error.downcast_ref::<io::Error>().map(io::Error::kind)
        == Some(io::ErrorKind::PermissionDenied)
        || error.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::ACCESS);
    if !is_denied {
        return Err(error);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    let mode = rustix::fs::fstat(&open)?.st_mode & 0o7777;
    rustix::fs::fchmod(&open, Mode::from_raw_mode(mode | 0o700))?;
    let done = act();
    rustix::fs::fchmod(&open, Mode::from_raw_mode(mode))?;
    done
}

/// All names of a source, in a directory that gets its own name when they are there.
fn create_beside(opened: &Opened, root: &Path, home: &Path) -> Result<Placed> {
    if root.symlink_metadata().is_ok() {
        remove_tree(root)?;
    }
    let made = tempfile::Builder::new().prefix(".new-").tempdir_in(home)?;
    let placed = create_all(&opened.list.entries, made.path())?;
    fs::rename(made.path(), root).with_context(|| format!("cannot make `{}`", root.display()))?;
    drop(made.keep());
    Ok(placed)
}

fn create_in(opened: &Opened, root: &Path) -> Result<Placed> {
    let mut entries = fs::read_dir(root)?;
    ensure!(
        entries.next().is_none(),
        "the directory `{}` is not empty, and does not hold this source\n  help: name another one with `-C`",
        root.display()
    );
    create_all(&opened.list.entries, root)
}

/// Directories, links, and files without content. The directories get their modes last.
fn create_all(entries: &[Entry], root: &Path) -> Result<Placed> {
    let held = open_directory(root)?;
    let mut placed = Placed::default();
    let mut made = BTreeSet::new();
    for entry in entries {
        let path = decode_path(entry.path()).unwrap_or_default();
        let at = || format!("cannot make `{}` of the source", entry.path());
        make_parents(&held, &path, &mut made).with_context(at)?;
        if matches!(entry, Entry::Directory { .. }) {
            make_directory(&held, &path, &mut made).with_context(at)?;
            continue;
        }
        let (parent, name) = parent_of(&held, &path).with_context(at)?;
        match entry {
            Entry::Directory { .. } => {}
            Entry::Symlink { target, .. } => {
                let target = decode_path(target).unwrap_or_default();
                rustix::fs::symlinkat(&*target, &parent, &*name).with_context(at)?;
            }
            Entry::Hardlink { target, .. } => {
                let target = decode_path(target).unwrap_or_default();
                let (above, target) = parent_of(&held, &target).with_context(at)?;
                let flags = AtFlags::empty();
                rustix::fs::linkat(&above, &*target, &parent, &*name, flags).with_context(at)?;
            }
            Entry::File {
                mode, size, text, ..
            } => {
                let mut file = create(&parent, &name, 0o600).with_context(at)?;
                match text {
                    Some(text) => file.write_all(text.as_bytes()).with_context(at)?,
                    None => file.set_len(*size).with_context(at)?,
                }
                rustix::fs::fchmod(&file, Mode::from_raw_mode(*mode)).with_context(at)?;
                if *size > 0 && text.is_none() {
                    let times = Timestamps {
                        last_access: NOT_HERE,
                        last_modification: NOT_HERE,
                    };
                    rustix::fs::futimens(&file, &times).with_context(at)?;
                }
            }
        }
    }
    // A further name changes a file.
    for (number, entry) in entries.iter().enumerate() {
        if let Entry::File {
            path, size, text, ..
        } = entry
        {
            let signature = signature_at(&held, &decode_path(path).unwrap_or_default())?;
            let placement = Placement {
                signature: numbers_of(&signature),
                is_filled: *size == 0 || text.is_some(),
            };
            placed.0.insert(number, placement);
        }
    }
    for entry in entries.iter().rev() {
        if let Entry::Directory { path, mode } = entry {
            let (parent, name) = parent_of(&held, &decode_path(path).unwrap_or_default())?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open = rustix::fs::openat(&parent, &*name, flags, Mode::empty())?;
            rustix::fs::fchmod(&open, Mode::from_raw_mode(*mode))?;
        }
    }
    Ok(placed)
}

/// Directories that no entry speaks of have the usual mode.
fn make_parents(held: &OwnedFd, path: &[u8], made: &mut BTreeSet<Vec<u8>>) -> Result<()> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for (at, _) in slashes {
        make_directory(held, &path[..at], made)?;
    }
    Ok(())
}

fn make_directory(held: &OwnedFd, path: &[u8], made: &mut BTreeSet<Vec<u8>>) -> Result<()> {
    if made.contains(path) {
        return Ok(());
    }
    let (parent, name) = parent_of(held, path)?;
    rustix::fs::mkdirat(&parent, &*name, Mode::from_raw_mode(0o700))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = rustix::fs::openat(&parent, &*name, flags, Mode::empty())?;
    rustix::fs::fchmod(&open, Mode::from_raw_mode(0o755))?;
    made.insert(path.to_vec());
    Ok(())
}

/// The directory of an entry: no part of the way is a link.
fn parent_of(held: &OwnedFd, path: &[u8]) -> io::Result<(OwnedFd, Vec<u8>)> {
    use std::ffi::OsStr;
    open_parent(held, Path::new(OsStr::from_bytes(path)))
}

fn create(parent: &OwnedFd, name: &[u8], mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode))?.into())
}

fn signature_at(held: &OwnedFd, path: &[u8]) -> io::Result<Signature> {
    let (parent, name) = parent_of(held, path)?;
    let stat = rustix::fs::statat(parent.as_fd(), &*name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Signature::of_stat(&stat))
}

fn numbers_of(signature: &Signature) -> [u64; 5] {
    let Signature {
        device,
        inode,
        size,
        mtime,
        ctime,
    } = signature;
    let time = |nanos: &i64| u64::from_le_bytes(nanos.to_le_bytes());
    [*device, *inode, *size, time(mtime), time(ctime)]
}

/// Kept by one process at a time while it changes what is in place.
struct Turn(File);

impl Turn {
    fn take(home: &Path) -> Result<Turn> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(home.join("turn"))?;
        file.lock()?;
        Ok(Turn(file))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Closing it would do the same.
        drop(self.0.unlock());
    }
}

fn read_record(store: &Store, path: &Path) -> Option<Placed> {
    let content = store.unseal(path, &fs::read(path).ok()?)?;
    postcard::from_bytes(&content).ok()
}

fn write_record(store: &Store, path: &Path, placed: &Placed) -> Result<()> {
    let content = postcard::to_stdvec(placed).context("a record has numbers")?;
    let sealed = store.seal(path, &content);
    crate::output_file::write_whole(path, &sealed)
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Removes sources that nobody has asked for, and nobody uses.
fn remove_unused(sources: &Path, now: SystemTime) {
    for entry in fs::read_dir(sources).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if !changed.is_ok_and(|changed| changed + UNUSED < now) {
            continue;
        }
        let path = entry.path();
        let Ok(open) = File::open(&path) else {
            continue;
        };
        if open.try_lock().is_ok() && is_still(&open, &path) {
            // What stays is tried again by every later run.
            drop(remove_tree(&path));
        }
    }
}
