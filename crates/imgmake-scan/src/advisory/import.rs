//! Reads OSV documents of directories and zips and keeps their index: made once,
//! used until a file comes, goes or changes.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::index::{Builder, Database};
use super::osv::Document;
use super::sources::{self, Kind, Source};
use crate::error::{Context, Result, ScanError};
use imgmake_event::Cancel;

/// Bytes; the largest published documents have about two million.
const LARGEST_DOCUMENT: u64 = 64 << 20;
/// Documents in memory at once.
const BATCH: usize = 512;
/// Part of the index's name: another reading of OSV makes another index.
const READING: &str = "osv reading 4";

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
            "expected OSV documents, `*.json` or `*.zip`",
        ));
    }
    let index = index_dir.join(index_name(paths, &sources)?);
    if let Ok(database) = Database::open(&index) {
        return Ok(database);
    }
    fs::create_dir_all(index_dir)
        .with_context(|| format!("cannot create `{}`", index_dir.display()))?;
    import(&sources, cancel)?.write(&index)?;
    drop_older(&index);
    Database::open(&index)
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

fn import(sources: &[Source], cancel: &Cancel) -> Result<Builder> {
    let mut builder = Builder::default();
    let json: Vec<&Path> = paths_of(sources, Kind::Json);
    for batch in json.chunks(BATCH) {
        cancel.check()?;
        let documents: Vec<Result<Vec<Document>>> = batch
            .par_iter()
            .map(|path| {
                let context = || format!("cannot read advisory `{}`", path.display());
                let file = File::open(path).with_context(context)?;
                let bytes = read_limited(file).with_context(context)?;
                parse(&bytes, &path.display().to_string())
            })
            .collect();
        gather(documents, &mut builder)?;
    }
    for path in paths_of(sources, Kind::Zip) {
        import_zip(path, cancel, &mut builder)
            .with_context(|| format!("cannot read advisories `{}`", path.display()))?;
    }
    Ok(builder)
}

fn paths_of(sources: &[Source], kind: Kind) -> Vec<&Path> {
    let of_kind = sources.iter().filter(|s| s.kind == kind);
    of_kind.map(|s| s.path.as_path()).collect()
}

fn import_zip(path: &Path, cancel: &Cancel, builder: &mut Builder) -> Result<()> {
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(File::open(path)?))?;
    let mut batch = Vec::with_capacity(BATCH);
    let count = archive.len();
    // Bytes of the batch: packed, they are almost nothing.
    let mut held = 0;
    for i in 0..count {
        let entry = archive.by_index(i)?;
        let name = entry.name().to_string();
        if name.ends_with(".json") {
            let bytes = read_limited(entry).with_context(|| name.clone())?;
            held += bytes.len() as u64;
            batch.push((bytes, name));
        }
        if batch.len() == BATCH || held > LARGEST_DOCUMENT || i + 1 == count {
            held = 0;
            cancel.check()?;
            let documents = batch
                .par_drain(..)
                .map(|(bytes, name)| parse(&bytes, &name));
            gather(documents.collect(), builder)?;
        }
    }
    Ok(())
}

fn gather(documents: Vec<Result<Vec<Document>>>, builder: &mut Builder) -> Result<()> {
    for list in documents {
        for document in list? {
            builder.saw_document(&document);
            document
                .statements()
                .into_iter()
                .for_each(|s| builder.add(s));
        }
    }
    Ok(())
}

fn parse(bytes: &[u8], name: &str) -> Result<Vec<Document>> {
    Document::parse(bytes)
        .map_err(|error| ScanError::invalid_at(name, "OSV document", error.to_string()))
}

fn read_limited(from: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LARGEST_DOCUMENT + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        0..=LARGEST_DOCUMENT => Ok(bytes),
        _ => {
            let limit = format!("{} MiB", LARGEST_DOCUMENT >> 20);
            Err(ScanError::limit("the document", limit))
        }
    }
}
