//! rpm's databases: package headers (rpm's `format.md`, "Header") kept in SQLite,
//! in ndb or in Berkeley DB. What cannot be read is an error, never an empty inventory.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use super::berkeley;
use super::package::{Package, PackageKind};
use super::sqlite::{Database, Value};
use imgmake_event::Cancel;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const LICENSE: u32 = 1014;
const ARCHITECTURE: u32 = 1022;
const SOURCE_RPM: u32 = 1044;

const INT32: u32 = 4;
const STRING: u32 = 6;

/// Bytes of one header.
const LARGEST_HEADER: u64 = 256 << 20;

/// With its write-ahead log, if there is one.
pub fn read_sqlite(
    file: &File,
    log: Option<&File>,
    cancel: &Cancel,
) -> Result<Vec<Package>, String> {
    let mut found = Vec::new();
    Database::open(file, log, cancel)?.rows("Packages", |row| {
        // hnum, an alias of the row id and so stored as NULL, then the header.
        let header = row.iter().find_map(|value| match value {
            Value::Blob(blob) => Some(blob),
            _ => None,
        });
        let header = header.ok_or("a row of `Packages` without a header")?;
        found.extend(package(header)?);
        Ok(())
    })?;
    Ok(found)
}

/// How many packages a database and its log tell of.
pub fn count_with_log(database: &[u8], log: &[u8]) -> Result<usize, String> {
    let file = |bytes: &[u8]| -> Result<File, String> {
        let mut file = tempfile::tempfile().map_err(|error| error.to_string())?;
        file.write_all(bytes).map_err(|error| error.to_string())?;
        Ok(file)
    };
    let packages = read_sqlite(&file(database)?, Some(&file(log)?), &Cancel::default())?;
    Ok(packages.len())
}

/// Berkeley DB, as rpm wrote it before version 4.16: header numbers, and headers.
pub fn read_berkeley(file: &File, cancel: &Cancel) -> Result<Vec<Package>, String> {
    let mut found = Vec::new();
    berkeley::each(file, cancel, |number, header| {
        // Under 0 is the largest number.
        if number.iter().any(|byte| *byte != 0) {
            found.extend(package(header)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// ndb: pages of 4096 bytes, the first ones with slots of 16 bytes, each of which
/// names a block with one header.
pub fn read_ndb(file: &File, cancel: &Cancel) -> Result<Vec<Package>, String> {
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    // Each block has one slot: all that is read is in the file once.
    let mut left = length.saturating_mul(2);
    let mut at = |offset: u64, size: u64| -> Result<Vec<u8>, String> {
        left = left
            .checked_sub(size)
            .ok_or("ndb database that uses its blocks more than once")?;
        if size > LARGEST_HEADER {
            return Err("damaged ndb database".into());
        }
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, offset)
            .map_err(|_| "ndb database cut short")?;
        Ok(bytes)
    };
    let word = |bytes: &[u8], i: usize| {
        u32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().expect("four bytes"))
    };
    let header = at(0, 32)?;
    if &header[..4] != b"RpmP" {
        return Err("not an ndb database".into());
    }
    let slot_pages = u64::from(word(&header, 3));
    // An empty database has a page of slots, too.
    if slot_pages == 0 {
        return Err("damaged ndb database".into());
    }
    if slot_pages * 4096 > length {
        return Err("ndb database cut short".into());
    }
    let mut found = Vec::new();
    // The first two slots' room is the file's header.
    for slot in 2..slot_pages * 4096 / 16 {
        cancel.check().map_err(|e| e.to_string())?;
        let slot = at(slot * 16, 16)?;
        if &slot[..4] != b"Slot" {
            return Err("damaged ndb database".into());
        }
        let (index, offset) = (word(&slot, 1), u64::from(word(&slot, 2)) * 16);
        if index == 0 {
            continue;
        }
        let block = at(offset, 16)?;
        if &block[..4] != b"BlbS" || word(&block, 1) != index {
            return Err("damaged ndb database".into());
        }
        found.extend(package(&at(offset + 16, u64::from(word(&block, 3)))?)?);
    }
    Ok(found)
}

/// Counts of entries and bytes, the entries, the bytes.
fn package(header: &[u8]) -> Result<Option<Package>, String> {
    let header = Header::parse(header).ok_or("damaged package header")?;
    let (Some(name), Some(version)) = (header.text(NAME), header.text(VERSION)) else {
        return Err("a package header without name or version".into());
    };
    // Keys are kept as packages; they are none.
    if name == "gpg-pubkey" {
        return Ok(None);
    }
    let release = header.text(RELEASE).unwrap_or_default();
    let epoch = header.number(EPOCH).filter(|e| *e != 0);
    let version = with_epoch(epoch, &format!("{version}-{release}"));
    let source = header.text(SOURCE_RPM).and_then(|s| source(&s, epoch));
    Ok(Some(Package {
        source,
        architecture: header.text(ARCHITECTURE),
        license: header.text(LICENSE),
        ..Package::new(PackageKind::Rpm, name, version)
    }))
}

fn with_epoch(epoch: Option<u32>, version: &str) -> String {
    epoch.map_or_else(|| version.to_string(), |e| format!("{e}:{version}"))
}

/// `name-version-release.src.rpm`.
fn source(file: &str, epoch: Option<u32>) -> Option<(String, String)> {
    let stem = file.strip_suffix(".rpm")?;
    let stem = stem.rsplit_once('.')?.0;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((
        name.to_string(),
        with_epoch(epoch, &format!("{version}-{release}")),
    ))
}

struct Header<'a> {
    entries: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Header<'a>> {
        let count = be(bytes, 0)? as usize;
        let size = be(bytes, 4)? as usize;
        let entries = bytes.get(8..8usize.checked_add(count.checked_mul(16)?)?)?;
        let data = bytes.get(8 + entries.len()..)?.get(..size)?;
        Some(Header { entries, data })
    }

    /// Where the value of a tag starts, if it is of this type (string arrays and
    /// translated strings begin as strings do).
    fn value(&self, tag: u32, kinds: &[u32]) -> Option<&'a [u8]> {
        let entry = self
            .entries
            .chunks_exact(16)
            .find(|e| be(e, 0) == Some(tag))?;
        if !kinds.contains(&be(entry, 4)?) {
            return None;
        }
        self.data.get(be(entry, 8)? as usize..)
    }

    fn text(&self, tag: u32) -> Option<String> {
        let bytes = self.value(tag, &[STRING, 8, 9])?;
        let end = bytes.iter().position(|b| *b == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    fn number(&self, tag: u32) -> Option<u32> {
        be(self.value(tag, &[INT32])?, 0)
    }
}

fn be(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn header(name: &str, epoch: Option<u32>, padding: usize) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut data = Vec::new();
        let mut add = |tag: u32, kind: u32, value: &[u8]| {
            while kind == INT32 && data.len() % 4 != 0 {
                data.push(0);
            }
            for word in [tag, kind, data.len() as u32, 1] {
                entries.extend_from_slice(&word.to_be_bytes());
            }
            data.extend_from_slice(value);
        };
        add(NAME, STRING, format!("{name}\0").as_bytes());
        add(VERSION, STRING, b"3.0.7\0");
        add(RELEASE, STRING, b"27.el9\0");
        if let Some(epoch) = epoch {
            add(EPOCH, INT32, &epoch.to_be_bytes());
        }
        add(SOURCE_RPM, STRING, b"openssl-3.0.7-27.el9.src.rpm\0");
        add(ARCHITECTURE, STRING, b"x86_64\0");
        add(
            9999,
            STRING,
            format!("{}\0", "x".repeat(padding)).as_bytes(),
        );
        let count = (entries.len() / 16) as u32;
        [
            &count.to_be_bytes()[..],
            &(data.len() as u32).to_be_bytes(),
            &entries,
            &data,
        ]
        .concat()
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_header_tells_epoch_and_source() {
        let found = package(&header("openssl-libs", Some(1), 0))
            .unwrap()
            .unwrap();
        assert_eq!(found.version, "1:3.0.7-27.el9");
        assert_eq!(
            found.source,
            Some(("openssl".into(), "1:3.0.7-27.el9".into()))
        );
        assert_eq!(package(&header("gpg-pubkey", None, 0)).unwrap(), None);
    }

    /// Written by SQLite itself, with records that fill several pages, and more
    /// rows than one page's children.
    #[test]
    fn a_database_written_by_sqlite_is_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rpmdb.sqlite");
        for page_size in [512, 4096, 65536] {
            let mut sql = format!(
                "PRAGMA page_size={page_size}; CREATE TABLE 'Name' (k TEXT); CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL); BEGIN;\n"
            );
            for i in 0..400usize {
                let bytes = header(&format!("p{i}"), None, i * i % 9000);
                sql += &format!(
                    "INSERT INTO Packages (blob) VALUES (x'{}');\n",
                    hex::encode(bytes)
                );
            }
            sql += "COMMIT;\n";
            let script = directory.path().join("script");
            std::fs::write(&script, sql).unwrap();
            let _ = std::fs::remove_file(&path);
            let status = Command::new("sqlite3")
                .arg(&path)
                .stdin(File::open(&script).unwrap())
                .status();
            if !status.is_ok_and(|s| s.success()) {
                eprintln!("sqlite3 is not here: nothing was read");
                return;
            }
            let found = read_sqlite(&File::open(&path).unwrap(), None, &Cancel::default()).unwrap();
            let names: Vec<String> = found.into_iter().map(|p| p.name).collect();
            let expected: Vec<String> = (0..400).map(|i| format!("p{i}")).collect();
            assert_eq!(names, expected, "pages of {page_size}");
        }
    }

    /// Made by Berkeley DB 5.3 of headers that rpm wrote; rpm itself reads the same of them.
    const SAMPLES: [&[u8]; 2] = [
        include_bytes!("../../tests/data/rpm-packages.bdb.gz"),
        include_bytes!("../../tests/data/rpm-packages-big-endian.bdb.gz"),
    ];

    fn unpacked(sample: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(sample), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_berkeley_db_is_read_in_either_byte_order() {
        for sample in SAMPLES.map(unpacked) {
            let mut found = read_berkeley(&file(&sample), &Cancel::default()).unwrap();
            found.sort();
            let found: Vec<String> = found
                .into_iter()
                .map(|p| format!("{} {}", p.name, p.version))
                .collect();
            // The last one's header fills pages of its own.
            assert_eq!(
                found,
                [
                    "pkg1 1:1.1-2",
                    "pkg2 2:1.2-2",
                    "pkg29 2:1.29-2",
                    "pkg3 1.3-2"
                ]
            );
            let half = &sample[..sample.len() / 2];
            let cut = read_berkeley(&file(half), &Cancel::default()).unwrap_err();
            assert_eq!(cut, "Berkeley DB file cut short");
            let cancel = Cancel::default();
            cancel.cancel();
            let error = read_berkeley(&file(&sample), &cancel).unwrap_err();
            assert_eq!(error, "cancelled");
        }
        assert!(read_berkeley(&file(b"random"), &Cancel::default()).is_err());
    }

    #[test]
    fn an_ndb_database_is_read() {
        let blob = header("bash", None, 0);
        let words = |w: [u32; 4]| w.map(u32::to_le_bytes).concat();
        let mut bytes = vec![0; 4096];
        bytes[..16].copy_from_slice(&words([u32::from_le_bytes(*b"RpmP"), 0, 1, 1]));
        for slot in 2..256 {
            let used = slot == 2;
            let words = words([
                u32::from_le_bytes(*b"Slot"),
                used.into(),
                256 * u32::from(used),
                0,
            ]);
            bytes[slot * 16..slot * 16 + 16].copy_from_slice(&words);
        }
        bytes.extend(words([
            u32::from_le_bytes(*b"BlbS"),
            1,
            1,
            blob.len() as u32,
        ]));
        bytes.extend(blob);
        let found = read_ndb(&file(&bytes), &Cancel::default()).unwrap();
        assert_eq!(found[0].name, "bash");
        assert!(read_ndb(&file(&bytes[..4200]), &Cancel::default()).is_err());
        let cancel = Cancel::default();
        cancel.cancel();
        let error = read_ndb(&file(&bytes), &cancel).unwrap_err();
        assert_eq!(error, "cancelled");
    }

    /// Pages of 512 bytes, of which the first holds the schema.
    fn sqlite(pages: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; 512 * (pages.len() + 1)];
        bytes[..16].copy_from_slice(b"SQLite format 3\0");
        bytes[16..18].copy_from_slice(&[2, 0]);
        // One cell: table, Packages, Packages, root page 2, no text.
        let record = [
            &[6u8, 23, 29, 29, 1, 13][..],
            b"tablePackagesPackages",
            &[2],
        ]
        .concat();
        let cell = [&[record.len() as u8, 1][..], &record].concat();
        let at = 512 - cell.len();
        bytes[at..512].copy_from_slice(&cell);
        bytes[100] = 13;
        bytes[104] = 1;
        bytes[108..110].copy_from_slice(&(at as u16).to_be_bytes());
        for (number, page) in pages.iter().enumerate() {
            let at = 512 * (number + 1);
            bytes[at..at + page.len()].copy_from_slice(page);
        }
        bytes
    }

    /// A page whose children are these: cells as often as they fit, then the last.
    fn interior(children: &[u32]) -> Vec<u8> {
        let (last, cells) = children.split_last().unwrap();
        let mut page = vec![0; 512];
        page[0] = 5;
        page[4] = cells.len() as u8;
        page[8..12].copy_from_slice(&last.to_be_bytes());
        for (number, child) in cells.iter().enumerate() {
            let at = 512 - 5 * (number + 1);
            page[at..at + 4].copy_from_slice(&child.to_be_bytes());
            page[12 + 2 * number..14 + 2 * number].copy_from_slice(&(at as u16).to_be_bytes());
        }
        page
    }

    /// A leaf with one record, whose first bytes are here and the others on the page that is named.
    fn overflowing(length: u64, here: usize, next: u32) -> Vec<u8> {
        let mut varint = Vec::new();
        for group in (1..5).rev() {
            varint.push(0x80 | (length >> (7 * group)) as u8 & 0x7f);
        }
        varint.push(length as u8 & 0x7f);
        let cell = [&varint[..], &[1], &vec![1; here], &next.to_be_bytes()].concat();
        let mut page = vec![0; 512];
        page[0] = 13;
        page[4] = 1;
        let at = 512 - cell.len();
        page[8..10].copy_from_slice(&(at as u16).to_be_bytes());
        page[at..].copy_from_slice(&cell);
        page
    }

    #[test]
    fn pages_that_name_each_other_or_themselves_are_an_error() {
        let read = |pages: &[Vec<u8>]| read_sqlite(&file(&sqlite(pages)), None, &Cancel::default());
        // The schema leads to the table: an empty leaf is an empty table.
        let mut leaf = vec![0; 512];
        leaf[0] = 13;
        assert_eq!(read(&[leaf.clone()]).unwrap(), []);
        assert_eq!(read(&[interior(&[3]), leaf.clone()]).unwrap(), []);
        let many = |page: u32| interior(&vec![page; 60]);
        let hostile: Vec<(&str, Vec<Vec<u8>>)> = vec![
            ("one page, often", vec![interior(&[3, 3]), leaf.clone()]),
            ("itself", vec![interior(&[2])]),
            ("itself, often", vec![many(2)]),
            ("each other", vec![many(3), many(2)]),
            ("the schema", vec![many(1)]),
            // 60^8 visits of eight pages.
            ("a fan", (3..11).map(many).chain([leaf.clone()]).collect()),
            ("nothing", vec![interior(&[0])]),
            ("what is not there", vec![interior(&[9])]),
            ("u32::MAX", vec![interior(&[u32::MAX])]),
            ("another kind", vec![vec![2; 512]]),
            // A record goes on where it began, or in a circle.
            (
                "a record on its own page",
                vec![overflowing(100_000, 39, 2)],
            ),
            (
                "a record in a circle",
                vec![overflowing(100_000, 39, 3), {
                    let mut page = vec![0; 512];
                    page[..4].copy_from_slice(&3u32.to_be_bytes());
                    page
                }],
            ),
            (
                "a record without end",
                vec![overflowing((1 << 35) - 1, 39, 3), leaf.clone()],
            ),
            ("a record on page 0", vec![overflowing(100_000, 39, 0)]),
        ];
        for (what, pages) in hostile {
            assert!(read(&pages).is_err(), "{what}");
        }
    }

    #[test]
    fn slots_that_share_a_block_or_lie_about_it_are_an_error() {
        let blob = header("bash", None, 3000);
        let words = |w: [u32; 4]| w.map(u32::to_le_bytes).concat();
        let database = |pages: u32, slot: &dyn Fn(u32) -> [u32; 2], length: u32| {
            let mut bytes = words([u32::from_le_bytes(*b"RpmP"), 0, 1, pages]);
            bytes.extend([0; 16]);
            for number in 2..pages * 256 {
                let [index, block] = slot(number);
                bytes.extend(words([u32::from_le_bytes(*b"Slot"), index, block, 0]));
            }
            bytes.extend(words([u32::from_le_bytes(*b"BlbS"), 1, 1, length]));
            bytes.extend(&blob);
            read_ndb(&file(&bytes), &Cancel::default())
        };
        let length = blob.len() as u32;
        let first = |number: u32| [u32::from(number == 2), 256];
        assert_eq!(database(1, &first, length).unwrap().len(), 1);
        // Every slot names the one block.
        assert!(database(1, &|_| [1, 256], length).is_err());
        // The file's own slots as blocks, beyond the end, and lengths that nothing has.
        assert!(database(1, &|number| [1, number], length).is_err());
        for block in [0, 2, 255, 257, 100_000, u32::MAX] {
            assert!(
                database(1, &|number| [u32::from(number == 2), block], length).is_err(),
                "{block}"
            );
        }
        for length in [0, 7, length + 1, 1 << 28, u32::MAX] {
            assert!(database(1, &first, length).is_err(), "{length}");
        }
        let mut bytes = words([u32::from_le_bytes(*b"RpmP"), 0, 1, 0]);
        bytes.resize(4096, 0);
        for pages in [2, 1 << 20, u32::MAX] {
            bytes[12..16].copy_from_slice(&pages.to_le_bytes());
            assert!(
                read_ndb(&file(&bytes), &Cancel::default()).is_err(),
                "{pages}"
            );
        }
        // Without a page of slots it is no empty database.
        bytes[12..16].fill(0);
        assert!(read_ndb(&file(&bytes), &Cancel::default()).is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_berkeley_db_is_read_or_refused(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..20), which in 0usize..2) {
            let mut bytes = unpacked(SAMPLES[which]);
            for (at, byte) in changes {
                let length = bytes.len();
                bytes[usize::from(at) % length] = byte;
            }
            let _ = read_berkeley(&file(&bytes), &Cancel::default());
        }

        #[test]
        fn damaged_databases_are_errors(mut bytes in proptest::collection::vec(any::<u8>(), 100..2048), kind in 0u8..3) {
            match kind {
                0 => { bytes[..16].copy_from_slice(b"SQLite format 3\0"); bytes[16] = 2; bytes[17] = 0; }
                1 => { bytes[..4].copy_from_slice(b"RpmP"); bytes[12..16].copy_from_slice(&[1, 0, 0, 0]); }
                _ => {}
            }
            let _ = read_sqlite(&file(&bytes), None, &Cancel::default());
            let _ = read_sqlite(&file(&bytes), Some(&file(&bytes)), &Cancel::default());
            let _ = read_ndb(&file(&bytes), &Cancel::default());
            let _ = package(&bytes);
        }
    }
}
