//! Reads OSV documents of directories and zips and keeps their index: made once,
//! used until a file comes, goes or changes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::documents::{self, Limits};
use super::index::{Builder, Database};
use super::sources::{self, Source, Staged};
use crate::error::{Context, Result, ScanError};
use imgmake_event::Cancel;

/// Part of the index's name: another reading of OSV makes another index.
const READING: &str = "osv reading 6";

/// Opens the database that the given directories and files make, importing it
/// first if `index_dir` holds no index of exactly these files.
///
/// # Errors
/// Paths that do not exist or hold no advisory; documents that are not OSV, by name.
pub fn open(paths: &[PathBuf], index_dir: &Path, cancel: &Cancel) -> Result<Database> {
    let sources = sources::find(paths, cancel)?;
    if sources.is_empty() {
        return Err(ScanError::not_found(
            format!("advisories in {}", named(paths)),
            "expected OSV documents, `*.json`, `*.jsonl`, each also in gzip, or `*.zip`",
        ));
    }
    let index = index_dir.join(index_name(paths, &sources)?);
    if let Ok(database) = Database::open(&index) {
        mark_used(&index);
        return Ok(database);
    }
    write(import(&sources, cancel)?.0, &index)?;
    Database::open(&index)
}

fn write(builder: Builder, index: &Path) -> Result<()> {
    let directory = index.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create `{}`", directory.display()))?;
    builder.write(index)?;
    drop_older(index);
    drop_unused(directory, index, SystemTime::now());
    Ok(())
}

/// A directory of advisories with further files, all of which were read.
pub struct Extended {
    directory: PathBuf,
    index: Builder,
}

/// Reads a directory of advisories as it will be with further files: so nothing is read twice.
///
/// # Errors
/// As for [`open`]; a further file without an advisory.
pub fn extend(directory: &Path, staged: &[Staged], cancel: &Cancel) -> Result<Extended> {
    let (sources, new) = sources::find_with(directory, staged, cancel)?;
    let (index, counts) = import(&sources, cancel)?;
    if let Some(empty) = new.into_iter().find(|at| counts[*at] == 0) {
        return Err(ScanError::not_found(
            format!("advisories in `{}`", sources[empty].shown.display()),
            "expected OSV documents",
        ));
    }
    Ok(Extended {
        directory: directory.to_path_buf(),
        index,
    })
}

impl Extended {
    /// Keeps the index, once the files have their names.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(self, index_dir: &Path, cancel: &Cancel) -> Result<()> {
        let paths = [self.directory];
        let sources = sources::find(&paths, cancel)?;
        write(self.index, &index_dir.join(index_name(&paths, &sources)?))
    }
}

fn named(paths: &[PathBuf]) -> String {
    imgmake_guard::printable::list(paths.iter().map(|p| format!("`{}`", p.display())))
}

/// `<paths>-<files>`.
fn index_name(paths: &[PathBuf], sources: &[Source]) -> Result<String> {
    let mut place = blake3::Hasher::new();
    for path in paths {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        place.update(path.as_os_str().as_encoded_bytes());
        place.update(&[0]);
    }
    let mut state = blake3::Hasher::new();
    state.update(READING.as_bytes());
    sources::add_state(sources, &mut state)?;
    let (place, state) = (place.finalize().to_hex(), state.finalize().to_hex());
    Ok(format!("{}-{}.osv", &place[..16], &state[..32]))
}

/// Indexes of earlier states of the same paths. A run that still reads one keeps
/// its open file.
fn drop_older(index: &Path) {
    let (Some(directory), Some(name)) = (index.parent(), index.file_name()) else {
        return;
    };
    let name = name.to_string_lossy();
    let place = &name[..name.find('-').map_or(0, |i| i + 1)];
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let other = entry.file_name();
        let other = other.to_string_lossy();
        if other.starts_with(place) && other != name {
            // Losing the race against another run that drops it is fine.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// How long an index stays that nobody asks: of a directory that is gone, or of an earlier state
/// of a database that is kept by its digest.
const UNUSED: Duration = Duration::from_secs(7 * 86400);

fn mark_used(index: &Path) {
    // In a store that cannot be written, nothing is dropped either.
    let _ = fs::File::open(index).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Indexes of any paths that were not asked for long. A run that still reads one keeps its open
/// file, and what is dropped is made again.
fn drop_unused(directory: &Path, own: &Path, now: SystemTime) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let used = entry.metadata().and_then(|metadata| metadata.modified());
        let is_unused = used.is_ok_and(|used| used + UNUSED < now);
        if is_unused && path != own && path.extension().is_some_and(|e| e == "osv") {
            let _ = fs::remove_file(path);
        }
    }
}

/// The index, and how many documents each source has.
fn import(sources: &[Source], cancel: &Cancel) -> Result<(Builder, Vec<u64>)> {
    let mut builder = Builder::default();
    let counts = documents::read(sources, Limits::DATABASE, cancel, &mut |document| {
        builder.saw_document(&document);
        document
            .statements()
            .into_iter()
            .for_each(|statement| builder.add(statement));
    })?;
    Ok((builder, counts))
}

/// Writes the documents of a directory as one file with a document in each line.
///
/// # Errors
/// As for [`open`]; it cannot be written.
pub fn gather(directory: &Path, to: &mut dyn Write, cancel: &Cancel) -> Result<()> {
    for source in sources::find(&[directory.to_path_buf()], cancel)? {
        documents::copy(&source, to, cancel)?;
    }
    Ok(())
}
