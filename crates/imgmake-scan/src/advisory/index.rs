//! The advisory index: one file that is asked package by package, so that a
//! whole distribution's database costs a scan only what the image's packages need.
//!
//! Layout: magic, one chunk per package (postcard), the directory (postcard), which
//! holds the checksums of the chunks, then the directory's offset and blake3 (8 + 32
//! bytes). So what is read is verified, and the rest is not read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::osv::{Document, Statement};
use super::range::Inclusion;
use super::rating::Rating;
use super::{Answer, Hit, Record, canonical_name, names};
use crate::Severity;
use crate::error::{Result, ScanError};
use crate::version::Scheme;

const MAGIC: &[u8; 16] = b"imgmake osv 0007";
const TRAILER: u64 = 8 + 32;
/// No chunk or directory of a real database comes near; a damaged length must
/// not become an allocation.
const LARGEST: u64 = 1 << 30;

/// All records about one package, and the version texts that they name.
#[derive(Default, Serialize, Deserialize)]
struct Chunk {
    versions: Vec<String>,
    records: Vec<Record>,
}

#[derive(Default, Serialize, Deserialize)]
struct Directory {
    /// Sorted by ecosystem without release, then name.
    packages: Vec<Place>,
    ecosystems: BTreeSet<String>,
    /// Of the newest document, RFC 3339.
    newest: Option<String>,
    /// The same of each ecosystem, without releases.
    newest_of: BTreeMap<String, String>,
    advisories: u64,
}

#[derive(Serialize, Deserialize)]
struct Place {
    ecosystem: String,
    name: String,
    offset: u64,
    length: u64,
    /// blake3 of the chunk.
    sum: [u8; 32],
}

/// An open index.
pub struct Database {
    file: File,
    path: PathBuf,
    directory: Directory,
    digest: String,
}

impl Database {
    /// # Errors
    /// A file that is no index of this version, or damaged.
    pub fn open(path: &Path) -> Result<Database> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut magic = [0; 16];
        file.read_exact_at(&mut magic, 0)?;
        if &magic != MAGIC {
            let path = path.to_path_buf();
            return Err(ScanError::ForeignIndex { path });
        }
        let damaged = || damaged(path, false);
        if length < 16 + TRAILER {
            return Err(damaged());
        }
        let mut trailer = [0; TRAILER as usize];
        file.read_exact_at(&mut trailer, length - TRAILER)?;
        let (place, digest) = trailer.split_at(8);
        let offset = u64::from_le_bytes(place.try_into().expect("eight bytes were split off"));
        let end = length - TRAILER;
        if offset > end {
            return Err(damaged());
        }
        let bytes = read_part(&file, path, offset, end - offset)?;
        if sum_of_directory(&bytes, place).as_bytes() != digest {
            return Err(damaged());
        }
        Ok(Database {
            file,
            path: path.to_path_buf(),
            directory: postcard::from_bytes(&bytes).map_err(|_| damaged())?,
            digest: hex::encode(digest),
        })
    }

    /// Of the content: equal advisories give an equal digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn advisories(&self) -> u64 {
        self.directory.advisories
    }

    /// When the newest advisory was modified, as it says.
    pub fn newest(&self) -> Option<&str> {
        self.directory.newest.as_deref()
    }

    /// When the newest advisory of an ecosystem, of any release, was modified.
    pub fn newest_of(&self, ecosystem: &str) -> Option<&str> {
        let newest = self.directory.newest_of.get(base(ecosystem));
        newest.map(String::as_str)
    }

    /// Whether anything at all is known about an ecosystem's release: what is said of all
    /// releases is no knowledge of this one.
    pub fn covers(&self, ecosystem: &str) -> bool {
        let mut covered = self.directory.ecosystems.iter();
        covered.any(|name| {
            let is_of_release = name == ecosystem || name != base(ecosystem);
            is_of_release && concerns(name, ecosystem)
        })
    }

    /// What is known against one version of a package.
    pub fn ask(&self, ecosystem: &str, name: &str, version: &str) -> Result<Answer> {
        let mut answer = Answer::default();
        let Some(place) = self.place(ecosystem, name) else {
            return Ok(answer);
        };
        let chunk = self.chunk(place)?;
        let scheme = Scheme::of_ecosystem(ecosystem);
        let listed = listed(&chunk.versions, version, scheme);
        for record in chunk.records {
            if concerns(&record.ecosystem, ecosystem) {
                judge(record, version, &listed, scheme, &mut answer);
            }
        }
        Ok(answer)
    }

    /// Whether there are advisories about a package.
    pub fn knows(&self, ecosystem: &str, name: &str) -> bool {
        self.place(ecosystem, name).is_some()
    }

    /// Packages with advisories that are called `GROUP:ARTIFACT`.
    pub fn artifacts<'a>(
        &'a self,
        ecosystem: &str,
        artifact: &str,
    ) -> impl Iterator<Item = &'a str> {
        let base = base(ecosystem);
        let packages = &self.directory.packages;
        let begin = packages.partition_point(|p| p.ecosystem.as_str() < base);
        let own = packages[begin..]
            .iter()
            .take_while(move |p| p.ecosystem == base);
        own.filter(move |p| {
            let name = p.name.rsplit_once(':');
            name.is_some_and(|(_, name)| name.eq_ignore_ascii_case(artifact))
        })
        .map(|p| p.name.as_str())
    }

    fn chunk(&self, place: &Place) -> Result<Chunk> {
        let bytes = read_part(&self.file, &self.path, place.offset, place.length)?;
        if *blake3::hash(&bytes).as_bytes() != place.sum {
            // Open, it is of use to nobody; gone, the next scan imports it again.
            let removed = std::fs::remove_file(&self.path).is_ok();
            return Err(damaged(&self.path, removed));
        }
        postcard::from_bytes(&bytes).map_err(|_| damaged(&self.path, false))
    }

    fn place(&self, ecosystem: &str, name: &str) -> Option<&Place> {
        let key = (base(ecosystem), canonical_name(ecosystem, name));
        let packages = &self.directory.packages;
        let found = packages
            .binary_search_by(|p| (p.ecosystem.as_str(), p.name.as_str()).cmp(&(key.0, &key.1)));
        found.ok().map(|i| &packages[i])
    }
}

/// Of the directory and where it begins; through it, of all chunks.
fn sum_of_directory(directory: &[u8], offset: &[u8]) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    hash.update(MAGIC).update(offset).update(directory);
    hash.finalize()
}

fn read_part(file: &File, path: &Path, offset: u64, length: u64) -> Result<Vec<u8>> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length as u64 > LARGEST {
        return Err(damaged(path, false));
    }
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, offset) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(damaged(path, false)),
        read => Ok(read.map(|()| bytes)?),
    }
}

fn damaged(path: &Path, removed: bool) -> ScanError {
    ScanError::DamagedIndex {
        path: path.to_path_buf(),
        removed,
    }
}

fn judge(record: Record, version: &str, listed: &[u32], scheme: Scheme, answer: &mut Answer) {
    let mut inside = listed
        .iter()
        .any(|i| record.versions.binary_search(i).is_ok());
    let (mut unknown, mut unclear) = (false, false);
    let mut fixed = None;
    for range in &record.ranges {
        match range.holds(version, scheme) {
            Inclusion::Inside(fix) => {
                inside = true;
                fixed = fixed.or(fix);
            }
            Inclusion::Unknown => unknown = true,
            Inclusion::Unclear => unclear = true,
            Inclusion::Outside => {}
        }
    }
    if inside {
        answer.hits.push(Hit {
            id: record.id,
            aliases: record.aliases,
            upstream: record.upstream,
            related: record.related,
            severity: record.severity,
            score: record.score,
            title: record.title,
            published: record.published,
            fixed,
        });
    } else if unknown {
        answer.unjudged.push(record.id);
    } else if unclear {
        answer.unclear.push(record.id);
    }
}

/// Positions of the version in the table: the same text, or an equal version, since one is written in
/// several ways: `v1.0.0`, `1.0` and `1.0.0`, `0:1.0-1`.
fn listed(table: &[String], version: &str, scheme: Scheme) -> Vec<u32> {
    let same = |text: &String| {
        text == version || scheme.compare(text, version) == Some(std::cmp::Ordering::Equal)
    };
    (0u32..)
        .zip(table)
        .filter(|(_, t)| same(t))
        .map(|(i, _)| i)
        .collect()
}

/// An ecosystem without its release: `Debian` of `Debian:12`.
pub fn base(ecosystem: &str) -> &str {
    ecosystem.split(':').next().unwrap_or_default()
}

/// Whether an advisory for `written` speaks about a package of `asked`. One
/// without a release speaks about all; Ubuntu adds `:LTS`, Red Hat writes CPEs.
fn concerns(written: &str, asked: &str) -> bool {
    if written == asked || written == base(asked) {
        return true;
    }
    if base(written) != base(asked) {
        return false;
    }
    match base(asked) {
        "Ubuntu" => written.strip_suffix(":LTS") == Some(asked),
        "SUSE" => match (suse_release(written), suse_release(asked)) {
            // Modules of 12 go with each of its service packs.
            (Some("12"), Some(asked)) if written.contains(" Module ") => {
                asked.split(' ').next() == Some("12")
            }
            (Some(own), Some(asked)) => own == asked,
            _ => false,
        },
        // `Red Hat:enterprise_linux:9::baseos` for `Red Hat:enterprise_linux:9`.
        "Red Hat" => written
            .strip_prefix(asked)
            .is_some_and(|rest| rest.starts_with([':', '.'])),
        _ => false,
    }
}

/// SUSE has an ecosystem for each product; a package may come from any module of a release, and
/// with long-term support: `15 SP5` of `SUSE:Linux Enterprise Module for Basesystem 15 SP5` and
/// of `SUSE:Linux Enterprise Server 15 SP5-LTSS`. It stands at the end, since names of modules have
/// numbers too: `SUSE:Linux Enterprise Module for Python 3 15 SP5`.
fn suse_release(ecosystem: &str) -> Option<&str> {
    let numbered = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    // Its numbers are its own.
    if ecosystem.contains("Micro") {
        return None;
    }
    let name = ecosystem.split('-').next()?.trim();
    let (before, last) = name.rsplit_once(' ')?;
    if last.strip_prefix("SP").is_some_and(numbered) {
        let major = before.rsplit(' ').next().filter(|word| numbered(word))?;
        return Some(&name[before.len() - major.len()..]);
    }
    numbered(last).then_some(last)
}

/// Gathers statements, then writes the index in one pass.
#[derive(Default)]
pub struct Builder {
    packages: BTreeMap<(String, String), PackageBuilder>,
    ecosystems: BTreeSet<String>,
    newest: Option<String>,
    newest_of: BTreeMap<String, String>,
    /// The worst that is said of an id, under any of its names.
    ratings: HashMap<String, Rating>,
    advisories: u64,
}

/// Distributions list the same hundreds of versions in every advisory about a
/// package; each text is kept once. Records are packed until they are written.
#[derive(Default)]
struct PackageBuilder {
    positions: HashMap<Box<str>, u32>,
    /// One after the other, as postcard writes them.
    records: Vec<u8>,
    count: usize,
    /// Records without a severity, and whose severities count for them.
    unrated: Vec<(usize, Vec<String>)>,
}

impl Builder {
    pub fn saw_document(&mut self, document: &Document<'_>) {
        self.advisories += 1;
        let Some(modified) = document.modified.as_deref() else {
            return;
        };
        if Some(modified) > self.newest.as_deref() {
            self.newest = Some(modified.to_string());
        }
        for ecosystem in document.ecosystems() {
            let newest = self.newest_of.entry(base(&ecosystem).to_string());
            let newest = newest.or_default();
            if modified > newest.as_str() {
                *newest = modified.to_string();
            }
        }
    }

    pub fn add(&mut self, statement: Statement<'_>) {
        if !self.ecosystems.contains(&statement.ecosystem) {
            self.ecosystems.insert(statement.ecosystem.clone());
        }
        let rating = statement.rating;
        if rating.severity != Severity::Unknown {
            for name in std::iter::once(&statement.id).chain(&statement.aliases) {
                let known = self.ratings.entry(name.clone()).or_default();
                *known = known.worse(rating);
            }
        }
        for name in names(&statement.ecosystem, &statement.name) {
            let key = (base(&statement.ecosystem).to_string(), name);
            self.packages.entry(key).or_default().add(&statement);
        }
    }

    /// Writes to a temporary name beside `path`, then renames.
    pub fn write(self, path: &Path) -> Result<()> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let file = tempfile::NamedTempFile::new_in(parent)?;
        let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
        let mut written = MAGIC.len() as u64;
        out.write_all(MAGIC)?;
        let mut directory = Directory {
            ecosystems: self.ecosystems,
            newest: self.newest,
            newest_of: self.newest_of,
            advisories: self.advisories,
            packages: Vec::with_capacity(self.packages.len()),
        };
        for ((ecosystem, name), package) in self.packages {
            let bytes = postcard::to_stdvec(&package.chunk(&self.ratings)?)?;
            directory.packages.push(Place {
                ecosystem,
                name,
                offset: written,
                length: bytes.len() as u64,
                sum: *blake3::hash(&bytes).as_bytes(),
            });
            out.write_all(&bytes)?;
            written += bytes.len() as u64;
        }
        let bytes = postcard::to_stdvec(&directory)?;
        let offset = written.to_le_bytes();
        out.write_all(&bytes)?;
        out.write_all(&offset)?;
        out.write_all(sum_of_directory(&bytes, &offset).as_bytes())?;
        out.flush()?;
        drop(out);
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }
}

impl PackageBuilder {
    fn add(&mut self, statement: &Statement<'_>) {
        let mut versions: Vec<u32> = statement
            .versions
            .iter()
            .map(|v| self.position(v))
            .collect();
        versions.sort_unstable();
        versions.dedup();
        if statement.rating.severity == Severity::Unknown {
            self.unrated
                .push((self.count, statement.stands_for.clone()));
        }
        self.count += 1;
        let record = Record {
            id: statement.id.clone(),
            aliases: statement.aliases.clone(),
            upstream: statement.upstream.clone(),
            related: statement.related.clone(),
            ecosystem: statement.ecosystem.clone(),
            severity: statement.rating.severity,
            score: statement.rating.score,
            title: statement.title.clone(),
            published: statement.published.clone(),
            versions,
            ranges: statement.ranges.clone(),
        };
        let records = std::mem::take(&mut self.records);
        self.records =
            postcard::to_extend(&record, records).expect("memory takes what it is given");
    }

    /// What is written of the package. An advisory that states no severity has the worst of those
    /// that it stands for.
    fn chunk(self, ratings: &HashMap<String, Rating>) -> Result<Chunk> {
        let mut chunk = Chunk {
            versions: vec![String::new(); self.positions.len()],
            records: Vec::with_capacity(self.count),
        };
        for (text, position) in self.positions {
            chunk.versions[position as usize] = text.into_string();
        }
        let mut rest = self.records.as_slice();
        for _ in 0..self.count {
            let (record, after) = postcard::take_from_bytes(rest)?;
            chunk.records.push(record);
            rest = after;
        }
        for (record, names) in &self.unrated {
            let known = names.iter().filter_map(|name| ratings.get(name));
            let worst = known.fold(Rating::default(), |worst, one| worst.worse(*one));
            let record = &mut chunk.records[*record];
            (record.severity, record.score) = (worst.severity, worst.score);
        }
        Ok(chunk)
    }

    fn position(&mut self, version: &str) -> u32 {
        if let Some(position) = self.positions.get(version) {
            return *position;
        }
        let position =
            u32::try_from(self.positions.len()).expect("no package has four billion versions");
        self.positions.insert(version.into(), position);
        position
    }
}
