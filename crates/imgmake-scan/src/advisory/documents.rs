//! The documents of a database, one after the other: of JSON files, lines of JSON, and zips.
//! A few megabytes are in memory at once, however long the database is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rayon::prelude::*;

use super::disguise::{self, is_data};
use super::osv::Document;
use super::sources::{Kind, Source, is_unreadable_data};
use crate::error::{Context, Result, ScanError};
use imgmake_event::Cancel;

/// Bytes; the largest published documents have about two million.
const LARGEST_DOCUMENT: u64 = 64 << 20;
/// Bytes of documents that are parsed at once: parsed, they are several times as long.
const BATCH: usize = 4 << 20;

/// How much a database may have. OSV's own of all ecosystems has a tenth.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes, unpacked.
    pub bytes: u64,
    /// Documents, and packages that they name.
    pub records: u64,
}

impl Limits {
    pub const DATABASE: Limits = Limits {
        bytes: 32 << 30,
        records: 20_000_000,
    };
}

/// What is left of the limits.
struct Budget<'a> {
    limits: Limits,
    bytes: u64,
    records: u64,
    cancel: &'a Cancel,
}

impl Budget<'_> {
    fn of(limits: Limits, cancel: &Cancel) -> Budget<'_> {
        let Limits { bytes, records } = limits;
        Budget {
            limits,
            bytes,
            records,
            cancel,
        }
    }

    fn take_bytes(&mut self, count: usize) -> Result<()> {
        self.cancel.check()?;
        let left = self.bytes.checked_sub(count as u64);
        self.bytes = left.ok_or_else(|| {
            let limit = format!("{} bytes of documents", self.limits.bytes);
            ScanError::limit("the database of advisories", limit)
        })?;
        Ok(())
    }

    fn take_records(&mut self, count: usize) -> Result<()> {
        let left = self.records.checked_sub(count as u64);
        self.records = left.ok_or_else(|| {
            let limit = format!("{} documents and packages", self.limits.records);
            ScanError::limit("the database of advisories", limit)
        })?;
        Ok(())
    }
}

/// What to do with each document.
pub type Each<'a> = &'a mut dyn FnMut(Document<'_>);

/// Gives the number of documents of each source.
///
/// # Errors
/// A file that cannot be read, a document that is not OSV, by name; more than the limits;
/// cancellation.
pub fn read(
    sources: &[Source],
    limits: Limits,
    cancel: &Cancel,
    each: Each<'_>,
) -> Result<Vec<u64>> {
    let mut batch = Batch {
        texts: Vec::new(),
        counts: vec![0; sources.len()],
        held: 0,
        each,
        budget: Budget::of(limits, cancel),
    };
    let mut bytes = Budget::of(limits, cancel);
    for (number, source) in sources.iter().enumerate() {
        let name = source.shown.display().to_string();
        texts(source, &mut bytes, &mut |text, inner| {
            batch.add(Text {
                bytes: text,
                name: inner.map_or_else(|| name.clone(), String::from),
                source: number,
            })
        })
        .with_context(|| format!("cannot read advisories `{name}`"))?;
    }
    batch.parse()?;
    Ok(batch.counts)
}

struct Text {
    bytes: Vec<u8>,
    name: String,
    /// The number of the source.
    source: usize,
}

/// The documents of one file as lines.
///
/// # Errors
/// As for [`read`].
pub fn copy(source: &Source, to: &mut dyn Write, cancel: &Cancel) -> Result<()> {
    let name = source.shown.display().to_string();
    let mut budget = Budget::of(Limits::DATABASE, cancel);
    texts(source, &mut budget, &mut |text, inner| {
        let value: serde_json::Value = serde_json::from_slice(without_mark(&text))
            .map_err(|error| not_osv(inner.unwrap_or(&name), &error))?;
        let values = match value {
            serde_json::Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            serde_json::to_writer(&mut *to, &value)?;
            to.write_all(b"\n")?;
        }
        Ok(())
    })
    .with_context(|| format!("cannot read advisories `{name}`"))
}

/// Texts that wait for being parsed together.
struct Batch<'a> {
    texts: Vec<Text>,
    held: usize,
    /// Documents by source.
    counts: Vec<u64>,
    each: Each<'a>,
    /// Of records.
    budget: Budget<'a>,
}

impl Batch<'_> {
    fn add(&mut self, text: Text) -> Result<()> {
        self.held += text.bytes.len();
        self.texts.push(text);
        match self.held < BATCH {
            true => Ok(()),
            false => self.parse(),
        }
    }

    fn parse(&mut self) -> Result<()> {
        self.budget.cancel.check()?;
        self.held = 0;
        let texts = std::mem::take(&mut self.texts);
        let parsed: Vec<Result<Vec<Document<'_>>>> = texts
            .par_iter()
            .map(|text| Document::parse(&text.bytes).map_err(|e| not_osv(&text.name, &e)))
            .collect();
        for (documents, text) in parsed.into_iter().zip(&texts) {
            for document in documents? {
                self.budget.take_records(1 + document.packages())?;
                self.counts[text.source] += 1;
                (self.each)(document);
            }
        }
        Ok(())
    }
}

fn not_osv(name: &str, error: &serde_json::Error) -> ScanError {
    ScanError::invalid_at(name, "OSV document", error.to_string())
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Each text of a file, with its name if it has one of its own.
type EachText<'a> = &'a mut dyn FnMut(Vec<u8>, Option<&str>) -> Result<()>;

fn texts(source: &Source, budget: &mut Budget<'_>, each: EachText<'_>) -> Result<()> {
    let path = &source.path;
    let file = File::open(path)?;
    match source.kind {
        Kind::Json => each(limited(file, 0, budget)?, None),
        Kind::JsonGzip => {
            let unpacked = MultiGzDecoder::new(BufReader::new(file));
            each(limited(unpacked, 0, budget)?, None)
        }
        Kind::Lines => lines(&mut BufReader::new(file), path, budget, each),
        Kind::LinesGzip => {
            let unpacked = MultiGzDecoder::new(BufReader::new(file));
            lines(&mut BufReader::new(unpacked), path, budget, each)
        }
        Kind::Zip => entries(file, budget, each),
    }
}

fn entries(file: File, budget: &mut Budget<'_>, each: EachText<'_>) -> Result<()> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file))?;
    for at in 0..archive.len() {
        budget.cancel.check()?;
        let mut entry = archive.by_index(at)?;
        let name = entry.name().to_string();
        let is_hidden = name.split('/').any(|part| part.starts_with('.'));
        // A zip in a zip, or lines in one, are none that OSV publishes.
        let ending = name.to_ascii_lowercase();
        let ending = ending.rsplit_once('.').map_or("", |(_, ending)| ending);
        let is_other = is_unreadable_data(&name) || matches!(ending, "zip" | "jsonl" | "ndjson");
        let is_read = ending == "json";
        if !is_hidden && !is_read && (is_other || is_data(&head(&mut entry)?)) {
            return Err(ScanError::invalid(format!("`{name}`"), "expected `.json`"));
        }
        if is_read {
            let size = entry.size();
            let text = limited(entry, size, budget).with_context(|| name.clone())?;
            each(text, Some(&name))?;
        }
    }
    Ok(())
}

fn head(entry: &mut impl Read) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    entry.take(disguise::HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn lines(
    from: &mut impl BufRead,
    path: &Path,
    budget: &mut Budget<'_>,
    each: EachText<'_>,
) -> Result<()> {
    for number in 1_u64.. {
        let mut line = Vec::new();
        from.take(LARGEST_DOCUMENT + 1)
            .read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        check_length(line.len())?;
        // Blank ones count: packed, a thousand of them take a byte.
        budget.take_bytes(line.len())?;
        if !line.trim_ascii().is_empty() {
            each(line, Some(&format!("{}:{number}", path.display())))?;
        }
    }
    Ok(())
}

/// `size` is what somebody says that it has: so much memory is taken at once, within reason.
fn limited(from: impl Read, size: u64, budget: &mut Budget<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size.min(1 << 20) as usize + 1);
    from.take(LARGEST_DOCUMENT + 1).read_to_end(&mut bytes)?;
    check_length(bytes.len())?;
    budget.take_bytes(bytes.len())?;
    Ok(bytes)
}

fn check_length(length: usize) -> Result<()> {
    match length as u64 {
        0..=LARGEST_DOCUMENT => Ok(()),
        _ => {
            let limit = format!("{} MiB", LARGEST_DOCUMENT >> 20);
            Err(ScanError::limit("the document", limit))
        }
    }
}
