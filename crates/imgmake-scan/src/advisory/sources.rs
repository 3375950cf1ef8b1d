//! Which files a database consists of, and whether they are still the ones that were read.
//! Whoever signs a database and whoever reads it walk the same way: a link counts as what it
//! leads to, so that a volume of Kubernetes is read like any directory.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::disguise::{self, is_data};
use crate::error::{Context, Result, ScanError};
use imgmake_event::Cancel;

const EXPECTED: &str = "expected a directory, `.json`, `.jsonl`, `.ndjson`, `.json.gz`, `.jsonl.gz`, `.ndjson.gz` or `.zip`";
/// Directories in each other; links may have made more of them than there are.
const DEEPEST: usize = 64;

/// One file of a database.
#[derive(Debug)]
pub struct Source {
    pub path: PathBuf,
    /// As messages name it.
    pub shown: PathBuf,
    /// As the database was named, and beneath it.
    name: PathBuf,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Json,
    JsonGzip,
    /// A document in each line.
    Lines,
    LinesGzip,
    Zip,
}

/// Of the files that a reader of `path` would read: who they are, and when they changed.
///
/// # Errors
/// It does not exist, or something in it cannot be read.
pub fn signature(path: &Path, cancel: &Cancel) -> Result<[u8; 32]> {
    let mut hash = blake3::Hasher::new();
    add_state(&find(&[path.to_path_buf()], cancel)?, &mut hash)?;
    Ok(*hash.finalize().as_bytes())
}

pub fn find(paths: &[PathBuf], cancel: &Cancel) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path)
            .with_context(|| format!("cannot read advisories `{}`", path.display()))?;
        if metadata.is_dir() {
            let mut walk = Walk {
                visited: BTreeSet::from([identity(&metadata)]),
                sources: &mut sources,
                cancel,
            };
            walk.directory(path, Path::new(""), 0)?;
        } else {
            let not_a_file = || format!("cannot read advisories `{}`", path.display());
            regular(&metadata).with_context(not_a_file)?;
            match kind(path) {
                Some(kind) => sources.push(Source {
                    path: path.clone(),
                    shown: path.clone(),
                    name: PathBuf::new(),
                    kind,
                }),
                None => {
                    let what = format!("advisories `{}`", path.display());
                    return Err(ScanError::invalid(what, EXPECTED));
                }
            }
        }
    }
    Ok(sources)
}

/// A file that is to be in a directory of advisories under a name.
#[derive(Clone, Debug)]
pub struct Staged {
    pub path: PathBuf,
    /// Where it comes from.
    pub origin: PathBuf,
    pub name: String,
}

/// What a directory will consist of with files that take their names in it, and the numbers of those.
pub fn find_with(
    directory: &Path,
    staged: &[Staged],
    cancel: &Cancel,
) -> Result<(Vec<Source>, Vec<usize>)> {
    let mut sources = find(&[directory.to_path_buf()], cancel)?;
    sources.retain(|source| staged.iter().all(|new| source.name != Path::new(&new.name)));
    for new in staged {
        let name = PathBuf::from(&new.name);
        let kind = kind(&name).ok_or_else(|| {
            let what = format!("advisories `{}`", new.origin.display());
            ScanError::invalid(what, EXPECTED)
        })?;
        sources.push(Source {
            path: new.path.clone(),
            shown: new.origin.clone(),
            name,
            kind,
        });
    }
    // In the order of a walk.
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    let is_new = |source: &Source| staged.iter().any(|new| new.path == source.path);
    let new = (0..sources.len())
        .filter(|at| is_new(&sources[*at]))
        .collect();
    Ok((sources, new))
}

struct Walk<'a> {
    /// Directories that were read already, by whatever name: links may lead in circles.
    visited: BTreeSet<(u64, u64)>,
    sources: &'a mut Vec<Source>,
    cancel: &'a Cancel,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, name: &Path, depth: usize) -> Result<()> {
        self.cancel.check()?;
        let context = || format!("cannot read advisories `{}`", directory.display());
        if depth > DEEPEST {
            let what = format!("the nesting of `{}`", directory.display());
            return Err(ScanError::limit(what, format!("{DEEPEST} directories")));
        }
        let mut entries = fs::read_dir(directory)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(context)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), name.join(entry.file_name()));
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let file_type = entry.file_type().with_context(context)?;
            let kind = kind(&path);
            // What is being written has such a name, and so have the states of a volume.
            if hidden {
                continue;
            }
            // What is read may not be missing.
            let is_file = file_type.is_file();
            let leads_to = (!is_file).then(|| fs::metadata(&path)).transpose();
            let context = || format!("cannot read advisories `{}`", path.display());
            let leads_to = leads_to.with_context(context)?;
            if let Some(metadata) = leads_to.as_ref().filter(|metadata| metadata.is_dir()) {
                if self.visited.insert(identity(metadata)) {
                    self.directory(&path, &name, depth + 1)?;
                }
                continue;
            }
            // A pipe would be waited for.
            let is_regular = leads_to.as_ref().is_none_or(Metadata::is_file);
            if let Some(kind) = kind {
                leads_to
                    .as_ref()
                    .map_or(Ok(()), regular)
                    .with_context(context)?;
                self.sources.push(Source {
                    shown: path.clone(),
                    path,
                    name,
                    kind,
                });
            } else if is_unreadable_data(&name.to_string_lossy())
                || (is_regular && is_data(&head(&path).with_context(context)?))
            {
                let what = format!("advisories `{}`", path.display());
                return Err(ScanError::invalid(what, EXPECTED));
            }
        }
        Ok(())
    }
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::other("not a regular file")),
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?
        .take(disguise::HEAD)
        .read_to_end(&mut head)?;
    Ok(head)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Whether a name is that of a file of advisories: no path, and not hidden.
pub fn is_advisory_file(name: &str) -> bool {
    !name.starts_with('.') && !name.contains(['/', '\0']) && kind(Path::new(name)).is_some()
}

fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let kinds = [
        (".json", Kind::Json),
        (".json.gz", Kind::JsonGzip),
        (".jsonl", Kind::Lines),
        (".ndjson", Kind::Lines),
        (".jsonl.gz", Kind::LinesGzip),
        (".ndjson.gz", Kind::LinesGzip),
        (".zip", Kind::Zip),
    ];
    let known = kinds.iter().find(|(ending, _)| name.ends_with(ending));
    known.map(|(_, kind)| *kind)
}

/// Whether a file is data in a form that is not read: advisories that somebody put there would be missing, and
/// nobody would see it. Other files are of those who keep the directory: a README, a license, a script.
pub fn is_unreadable_data(name: &str) -> bool {
    const ENDINGS: [&str; 14] = [
        "osv", "yaml", "yml", "toml", "xml", "gz", "tgz", "tar", "xz", "zst", "bz2", "7z",
        "sqlite", "db",
    ];
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_known = kind(Path::new(name)).is_some();
    !is_known && ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e))
}

/// Change times tell of every edit, even one that keeps the modification time.
pub fn add_state(sources: &[Source], hash: &mut blake3::Hasher) -> Result<()> {
    let stats: Vec<Result<Metadata>> = sources
        .par_iter()
        .map(|source| {
            fs::metadata(&source.path)
                .with_context(|| format!("cannot read advisory `{}`", source.path.display()))
        })
        .collect();
    for (source, metadata) in sources.iter().zip(stats) {
        let m = metadata?;
        let name = source.name.as_os_str().as_encoded_bytes();
        hash.update(&(name.len() as u64).to_le_bytes()).update(name);
        for number in [
            m.size() as i64,
            m.dev() as i64,
            m.ino() as i64,
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec(),
        ] {
            hash.update(&number.to_le_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let found = find(&[path.to_path_buf()], &Cancel::default()).unwrap();
        found.iter().map(|s| s.name.display().to_string()).collect()
    }

    #[test]
    fn a_volume_of_links_is_read_and_signed_as_what_it_leads_to() {
        let keep = tempfile::tempdir().unwrap();
        let at = |name: &str| keep.path().join(name);
        for (directory, text) in [("v/..1", "{}"), ("v/..2", "{\"a\":1}")] {
            fs::create_dir_all(at(directory).join("npm")).unwrap();
            fs::write(at(directory).join("a.json"), text).unwrap();
            fs::write(at(directory).join("npm/b.json"), text).unwrap();
        }
        // As Kubernetes mounts a volume: its names are links by way of `..data`.
        symlink("..1", at("v/..data")).unwrap();
        symlink("..data/a.json", at("v/a.json")).unwrap();
        symlink("..data/npm", at("v/npm")).unwrap();
        symlink("v", at("named")).unwrap();
        let sign = || signature(&at("named"), &Cancel::default()).unwrap();
        assert_eq!(names(&at("named")), ["a.json", "npm/b.json"]);
        let first = sign();
        assert_eq!(first, signature(&at("v"), &Cancel::default()).unwrap());
        fs::remove_file(at("v/..data")).unwrap();
        symlink("..2", at("v/..data")).unwrap();
        let second = sign();
        assert_ne!(first, second);
        fs::write(at("v/..2/npm/b.json"), "{\"b\":2}").unwrap();
        assert_ne!(second, sign());
    }

    #[test]
    fn links_in_circles_end_and_links_to_nowhere_are_errors() {
        let keep = tempfile::tempdir().unwrap();
        let at = |name: &str| keep.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/a.json"), "{}").unwrap();
        symlink("..", at("d/up")).unwrap();
        symlink("a.json", at("d/b.json")).unwrap();
        symlink("nowhere", at("d/.hidden")).unwrap();
        // An import that goes on, or was killed.
        fs::write(at("d/.new-1-lines.jsonl"), "{\"id\":").unwrap();
        assert_eq!(names(&at("d")), ["a.json", "b.json"]);
        assert!(signature(&at("d"), &Cancel::default()).is_ok());
        symlink("nowhere", at("d/npm")).unwrap();
        let error = signature(&at("d"), &Cancel::default()).unwrap_err();
        assert!(format!("{error:#}").contains("d/npm"), "{error:#}");
    }
    #[test]
    fn what_looks_like_advisories_and_is_not_read_is_an_error() {
        let keep = tempfile::tempdir().unwrap();
        let at = |name: &str| keep.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/a.json"), "{}").unwrap();
        fs::write(at("d/README"), "Advisories of the team.").unwrap();
        assert_eq!(names(&at("d")), ["a.json"]);
        let refused = |why: &str| {
            let error = find(&[at("d")], &Cancel::default()).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
        };
        fs::write(at("npm.zip"), "PK\x03\x04").unwrap();
        symlink("../npm.zip", at("d/npm")).unwrap();
        refused("d/npm");
        fs::remove_file(at("d/npm")).unwrap();
        fs::write(at("d/b.json.bak"), r#"{"id":"A-1"}"#).unwrap();
        refused("d/b.json.bak");
        fs::remove_file(at("d/b.json.bak")).unwrap();
        // Who opens a pipe waits.
        let owner = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("d/c.json"),
            rustix::fs::FileType::Fifo,
            owner,
            0,
        )
        .unwrap();
        refused("not a regular file");
        let error = find(&[at("d/c.json")], &Cancel::default()).unwrap_err();
        assert!(
            format!("{error:#}").contains("not a regular file"),
            "{error:#}"
        );
    }
}
