//! Files that keys are made of, as the entries of a list: links on the way to them included, nothing else.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use imgmake_core::files::{ReadAs, Signature, StatCache};
use imgmake_core::share::{Entry, LONGEST_TEXT, MOST_TEXT, decode_path, encode_path};
use imgmake_event::Cancel;

/// Links on the way to one file, as the kernel counts them.
const MOST_LINKS: usize = 40;
/// Directories within directories.
const DEEPEST: usize = 200;

/// What is sent.
pub struct Packed {
    /// What paths of the entries begin at: absolute, and through no link.
    pub root: PathBuf,
    /// In order; contents have no place yet.
    pub entries: Vec<Entry>,
}

/// Finds what has to be sent so that these files are read elsewhere as they are here.
///
/// # Errors
/// One cannot be read, is no file, or has nothing in common with the project.
pub fn pack(
    project: &Path,
    read: &BTreeMap<PathBuf, ReadAs>,
    home: Option<&Path>,
    stats: &StatCache,
    cancel: &Cancel,
) -> Result<Packed> {
    let (project, found) = Found::of(project, read, cancel)?;
    let root = common(&project, found.all.keys(), home)?;
    let mut files = Files::default();
    let mut entries = Vec::with_capacity(found.all.len());
    let mut inside: Vec<(Vec<u8>, PathBuf, (ReadAs, Kind))> = Vec::new();
    for (path, what) in found.all {
        let relative = path.strip_prefix(&root).expect("the root is common to all");
        let relative = relative.as_os_str().as_bytes().to_vec();
        if !relative.is_empty() {
            inside.push((relative, path, what));
        }
    }
    // By bytes, as the list has it: the order of paths is another.
    inside.sort();
    for (relative, path, (how, kind)) in inside {
        cancel.check()?;
        let at = || format!("cannot read `{}`", path.display());
        let name = encode_path(&relative);
        let metadata = fs::symlink_metadata(&path).with_context(at)?;
        entries.push(match kind {
            Kind::Directory => Entry::Directory {
                path: name,
                mode: metadata.mode() & 0o7777,
            },
            Kind::Link => Entry::Symlink {
                path: name,
                target: encode_path(
                    fs::read_link(&path)
                        .with_context(at)?
                        .as_os_str()
                        .as_bytes(),
                ),
            },
            Kind::Other(what) => bail!(
                "`{}` is {what}, which no source contains\n  help: leave it out with the ignore file, or with an input `\"!…\"`",
                path.display()
            ),
            Kind::File => {
                let hash = |signature: &Signature| {
                    stats.hash_file(signature, || File::open(&path), cancel)
                };
                files
                    .entry(name, &metadata, how, entries.len(), hash)
                    .with_context(at)?
            }
        });
    }
    for place in files.early {
        if let Entry::File { early, .. } = &mut entries[place] {
            *early = true;
        }
    }
    put_texts(&root, &mut entries)?;
    Ok(Packed { root, entries })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Directory,
    Link,
    File,
    /// What it is.
    Other(&'static str),
}

/// By real paths.
#[derive(Default)]
struct Found {
    all: BTreeMap<PathBuf, (ReadAs, Kind)>,
}

impl Found {
    /// With the project's real name, to which no link leads.
    fn of(
        written: &Path,
        read: &BTreeMap<PathBuf, ReadAs>,
        cancel: &Cancel,
    ) -> Result<(PathBuf, Found)> {
        let project = written
            .canonicalize()
            .with_context(|| format!("cannot find `{}`", written.display()))?;
        let mut found = Found::default();
        found.add(project.clone(), ReadAs::Itself, Kind::Directory);
        for (path, how) in read {
            cancel.check()?;
            let path = match path.strip_prefix(written) {
                Ok(rest) => project.join(rest),
                Err(_) => path.clone(),
            };
            found.follow(&path, *how, 0, cancel)?;
        }
        Ok((project, found))
    }

    fn add(&mut self, path: PathBuf, how: ReadAs, kind: Kind) {
        let known = self.all.entry(path).or_insert((how, kind));
        known.0 = known.0.max(how);
    }

    /// Goes the way to a file, and takes what is on it.
    fn follow(&mut self, path: &Path, how: ReadAs, depth: usize, cancel: &Cancel) -> Result<()> {
        ensure!(
            depth <= DEEPEST,
            "`{}`: directories are nested more than {DEEPEST} deep",
            path.display()
        );
        let mut links = 0;
        let mut at = PathBuf::from("/");
        let mut todo: Vec<PathBuf> = parts(path);
        while let Some(part) = todo.pop() {
            match part.components().next() {
                Some(Component::RootDir) => {
                    at = PathBuf::from("/");
                    continue;
                }
                Some(Component::ParentDir) => {
                    at.pop();
                    continue;
                }
                Some(Component::CurDir) | None => continue,
                Some(Component::Normal(_) | Component::Prefix(_)) => at.push(&part),
            }
            let metadata = match fs::symlink_metadata(&at) {
                // Whoever needs it says so.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(()),
                metadata => metadata.with_context(|| format!("cannot read `{}`", at.display()))?,
            };
            let is_last = todo.is_empty();
            if metadata.is_symlink() && (!is_last || how > ReadAs::Itself) {
                links += 1;
                ensure!(links <= MOST_LINKS, "`{}`: too many links", path.display());
                self.add(at.clone(), how, Kind::Link);
                todo.extend(parts(&fs::read_link(&at)?));
                at.pop();
            } else if is_last {
                self.last(&at, &metadata, how, depth, cancel)?;
            }
        }
        Ok(())
    }

    fn last(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        how: ReadAs,
        depth: usize,
        cancel: &Cancel,
    ) -> Result<()> {
        let kind = metadata.file_type();
        if kind.is_symlink() {
            self.add(path.to_path_buf(), how, Kind::Link);
            return Ok(());
        }
        if kind.is_file() {
            self.add(path.to_path_buf(), how, Kind::File);
            return Ok(());
        }
        if kind.is_dir() {
            self.add(path.to_path_buf(), how, Kind::Directory);
            if how == ReadAs::Tree {
                let entries = fs::read_dir(path);
                let entries =
                    entries.with_context(|| format!("cannot list `{}`", path.display()))?;
                for entry in entries {
                    cancel.check()?;
                    self.follow(&entry?.path(), how, depth + 1, cancel)?;
                }
            }
            return Ok(());
        }
        let what = match kind {
            kind if kind.is_fifo() => "a pipe",
            kind if kind.is_socket() => "a socket",
            _ => "a device",
        };
        self.add(path.to_path_buf(), how, Kind::Other(what));
        Ok(())
    }
}

/// What a walk takes from the end of.
fn parts(path: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = path
        .components()
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect();
    parts.reverse();
    parts
}

/// The directory that everything is in.
fn common<'a>(
    project: &Path,
    paths: impl Iterator<Item = &'a PathBuf>,
    home: Option<&Path>,
) -> Result<PathBuf> {
    let mut root = project.to_path_buf();
    for path in paths {
        while !path.starts_with(&root) {
            root.pop();
        }
        let is_too_high = |home: &Path| home.starts_with(&root);
        ensure!(
            root != Path::new("/") && !home.is_some_and(is_too_high),
            "`{}` is read, and is too far from the project to be sent: they have only `{}` in common\n  help: copy it into the project",
            path.display(),
            root.display()
        );
    }
    Ok(root)
}

/// Puts short texts that are read to make keys into the list, so that keys need nothing else.
fn put_texts(root: &Path, entries: &mut [Entry]) -> Result<()> {
    let mut left = MOST_TEXT;
    for entry in entries {
        let Entry::File {
            path,
            size,
            hash,
            early: true,
            text,
            ..
        } = entry
        else {
            continue;
        };
        if *size > LONGEST_TEXT.min(left) || *size == 0 {
            continue;
        }
        let bytes = path_of(root, &decode_path(path).unwrap_or_default());
        let bytes = fs::read(bytes).with_context(|| format!("cannot read `{path}`"))?;
        ensure!(
            blake3::hash(&bytes).to_hex().as_str() == hash,
            "`{path}` was changed while it was read: run it again"
        );
        *text = String::from_utf8(bytes).ok();
        if text.is_some() {
            left -= *size;
        }
    }
    Ok(())
}

/// Files by what they are, so that a second name of one is sent as such.
#[derive(Default)]
struct Files {
    known: HashMap<(u64, u64), (usize, String)>,
    /// Places of files that are read through another name.
    early: Vec<usize>,
}

impl Files {
    fn entry(
        &mut self,
        path: String,
        metadata: &Metadata,
        how: ReadAs,
        place: usize,
        hash: impl FnOnce(&Signature) -> std::io::Result<[u8; 32]>,
    ) -> std::io::Result<Entry> {
        let is_early = how >= ReadAs::Text;
        let identity = (metadata.dev(), metadata.ino());
        if let Some((first, target)) = self.known.get(&identity) {
            if is_early {
                self.early.push(*first);
            }
            let target = target.clone();
            return Ok(Entry::Hardlink { path, target });
        }
        if metadata.nlink() > 1 {
            self.known.insert(identity, (place, path.clone()));
        }
        Ok(Entry::File {
            path,
            mode: metadata.mode() & 0o7777,
            size: metadata.len(),
            hash: hex::encode(hash(&Signature::of(metadata))?),
            content: None,
            early: is_early,
            text: None,
        })
    }
}

/// The files that are read, by the paths to which links lead.
///
/// # Errors
/// As [`pack`].
pub(super) fn real_files(
    root: &Path,
    read: &BTreeMap<PathBuf, ReadAs>,
    cancel: &Cancel,
) -> Result<Vec<PathBuf>> {
    let (_, found) = Found::of(root, read, cancel)?;
    let files = found.all.into_iter();
    let files = files.filter(|(_, (_, kind))| *kind == Kind::File);
    Ok(files.map(|(path, _)| path).collect())
}

/// The path of an entry on this machine.
pub(super) fn path_of(root: &Path, bytes: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(bytes))
}
