//! An archive as files of a directory: what a build takes for its context, and an image's files outside of it.
//!
//! Entries are made as those of layers are, by descriptors from the directory on:
//! nothing is made, changed or removed outside of it. Unlike a layer's, owners are
//! ours, names that begin with `.wh.` are names, and devices are refused.

use std::io::Read;
use std::path::Path;

use super::Devices;
use super::tree::{Tree, Whiteouts};
use crate::error::{BuildError, Context, Result};
use imgmake_event::Cancel;
use imgmake_oci::layer::{Entry, EntryKind, LayerReader, decompress};

/// Unpacks a tar archive, compressed or not, into a directory that is there.
///
/// # Errors
/// The archive is damaged or empty, leads out of the directory, or holds what no
/// context can have; the run is cancelled.
pub fn unpack_archive(archive: impl Read + Send, to: &Path, cancel: &Cancel) -> Result<()> {
    let help = "leave it out of the archive";
    let is_empty = unpack(archive, to, ("a context", help), 0o7777, cancel)?;
    match is_empty {
        true => Err(BuildError::invalid("archive", "it is empty")),
        false => Ok(()),
    }
}

/// Unpacks an image's files among those of a directory that is there. An image may hold none.
///
/// They belong to whoever builds, in whose name nobody else shall run them: without setuid and setgid bits.
///
/// # Errors
/// As [`unpack_archive`].
pub fn unpack_files(files: impl Read + Send, to: &Path, cancel: &Cancel) -> Result<()> {
    let help = "leave it out of the image, or export `format=tar`";
    unpack(files, to, ("an exported directory", help), 0o1777, cancel).map(drop)
}

/// Whether nothing was in it.
fn unpack(
    archive: impl Read + Send,
    to: &Path,
    (place, help): (&str, &str),
    mode_bits: u32,
    cancel: &Cancel,
) -> Result<bool> {
    let plain = decompress(cancel.reader(archive)).context("cannot read the archive")?;
    let mut reader = LayerReader::new(plain).stopped_by(cancel);
    let mut tree =
        Tree::new(to, Whiteouts::None, Devices::Placeholders, true, &[])?.stopped_by(cancel);
    let mut is_empty = true;
    while let Some(mut entry) = reader.next_entry().context("the archive is damaged")? {
        cancel.check()?;
        is_empty = false;
        // The directory itself stays what it is.
        if entry.path.is_empty() {
            continue;
        }
        if let EntryKind::CharDevice { .. } | EntryKind::BlockDevice { .. } | EntryKind::Fifo =
            entry.kind
        {
            let what = format!("a device or a pipe in {place}");
            return Err(BuildError::unsupported(what, help).during(action(&entry)));
        }
        // Contexts have none, and an ordinary user could not set them all.
        entry.xattrs.clear();
        entry.mode &= mode_bits;
        tree.add(&entry, &mut reader)
            .with_context(|| action(&entry))?;
    }
    tree.finish()?;
    Ok(is_empty)
}

fn action(entry: &Entry) -> String {
    format!("cannot unpack `{}`", entry.display())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use tar::EntryType;

    use super::*;

    /// Name, kind, link, text or mode: an entry whose header is written byte by byte, as
    /// a library would refuse most of these.
    #[derive(Clone, Copy)]
    struct Line<'a>(&'a str, EntryType, &'a str, u32);

    const DIR: EntryType = EntryType::Directory;
    const FILE: EntryType = EntryType::Regular;
    const SYM: EntryType = EntryType::Symlink;
    const HARD: EntryType = EntryType::Link;

    fn archive(lines: &[Line<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for Line(name, kind, link, mode) in lines {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            let text = if *kind == FILE { "hostile" } else { "" };
            header.set_size(text.len() as u64);
            let bytes = header.as_mut_bytes();
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// A victim outside, and the directory of the context beside it.
    struct Ground {
        directory: tempfile::TempDir,
    }

    impl Ground {
        fn new() -> Ground {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            fs::create_dir(at("context")).unwrap();
            fs::create_dir(at("victim")).unwrap();
            fs::write(at("victim/file"), "precious").unwrap();
            for name in ["victim", "victim/file"] {
                fs::set_permissions(at(name), Permissions::from_mode(0o750)).unwrap();
            }
            Ground { directory }
        }

        fn victim(&self) -> String {
            self.directory.path().join("victim").display().to_string()
        }

        fn context(&self) -> std::path::PathBuf {
            self.directory.path().join("context")
        }

        fn unpack(&self, bytes: &[u8]) -> Result<()> {
            unpack_archive(bytes, &self.context(), &Cancel::default())
        }

        fn outside(&self) -> BTreeMap<String, (u32, u64, String)> {
            let mut found = BTreeMap::new();
            let victim = self.directory.path().join("victim");
            let mut paths = vec![victim.clone(), self.directory.path().to_path_buf()];
            paths.extend(fs::read_dir(victim).unwrap().map(|e| e.unwrap().path()));
            for path in paths {
                let meta = fs::symlink_metadata(&path).unwrap();
                let text = fs::read_to_string(&path).unwrap_or_default();
                // More names of the file would be a way in, too.
                let links = if meta.is_dir() { 0 } else { meta.nlink() };
                found.insert(path.display().to_string(), (meta.mode(), links, text));
            }
            found
        }
    }

    #[test]
    fn files_links_and_modes_arrive() {
        let ground = Ground::new();
        let lines = [
            Line("./", DIR, "", 0o000),
            Line("d/", DIR, "", 0o555),
            Line("d/f", FILE, "", 0o640),
            Line("deep/g", FILE, "", 0o6755),
            Line("s", SYM, "d/f", 0o777),
            Line("h", HARD, "d/f", 0o640),
            Line(".wh.plain", FILE, "", 0o644),
        ];
        ground.unpack(&archive(&lines)).unwrap();
        let at = |path: &str| ground.context().join(path);
        for path in ["d/f", "deep/g", "s", "h", ".wh.plain"] {
            assert_eq!(fs::read_to_string(at(path)).unwrap(), "hostile", "{path}");
        }
        let mode = |path: &str| fs::symlink_metadata(at(path)).unwrap().mode() & 0o7777;
        assert_eq!(
            (mode("d"), mode("d/f"), mode("deep/g")),
            (0o555, 0o640, 0o6755)
        );
        assert_eq!(fs::metadata(at("h")).unwrap().nlink(), 2);
        assert!(mode("") & 0o700 == 0o700);
        fs::set_permissions(at("d"), Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn exported_files_run_in_no_other_name() {
        let ground = Ground::new();
        let lines = [
            Line("tmp/", DIR, "", 0o3777),
            Line("tmp/su", FILE, "", 0o6755),
        ];
        let context = ground.context();
        unpack_files(&archive(&lines)[..], &context, &Cancel::default()).unwrap();
        let mode = |path: &str| fs::metadata(context.join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("tmp"), mode("tmp/su")), (0o1777, 0o755));
    }

    #[test]
    fn a_directory_that_became_a_link_changes_nothing_outside() {
        for mode in [0o777, 0o4777, 0o000] {
            let ground = Ground::new();
            let before = ground.outside();
            let (victim, file) = (ground.victim(), format!("{}/file", ground.victim()));
            for target in [
                victim.as_str(),
                file.as_str(),
                "../victim",
                "../victim/file",
            ] {
                let lines = [Line("a", DIR, "", mode), Line("a", SYM, target, mode)];
                ground.unpack(&archive(&lines)).unwrap();
                assert_eq!(ground.outside(), before, "{target} {mode:o}");
                let link = fs::symlink_metadata(ground.context().join("a")).unwrap();
                assert!(link.is_symlink());
            }
        }
    }

    #[test]
    fn no_archive_reaches_anything_outside() {
        let ground = Ground::new();
        let victim = ground.victim();
        let file = format!("{victim}/file");
        let up = "../victim";
        let hostile: Vec<Vec<Line<'_>>> = vec![
            // Written, made and removed through links.
            vec![Line("l", SYM, &victim, 0), Line("l/file", FILE, "", 0o4777)],
            vec![Line("l", SYM, up, 0), Line("l/file", FILE, "", 0o777)],
            vec![Line("l", SYM, &victim, 0), Line("l/new", DIR, "", 0o777)],
            vec![Line("l", SYM, &victim, 0), Line("l/", DIR, "", 0o4777)],
            vec![Line("l", SYM, &victim, 0), Line("l", DIR, "", 0o777)],
            vec![Line("l", SYM, &file, 0), Line("l", FILE, "", 0o4777)],
            vec![Line("l", SYM, &victim, 0), Line("l/file", SYM, "x", 0)],
            vec![Line("l", SYM, &victim, 0), Line("l/file", HARD, "l", 0)],
            vec![
                Line("a", DIR, "", 0o777),
                Line("a/b", DIR, "", 0o777),
                Line("a", SYM, &victim, 0),
                Line("a/b", DIR, "", 0o4777),
            ],
            // A chain of links, and one that passes through another.
            vec![
                Line("a", SYM, "b/..", 0),
                Line("b", SYM, up, 0),
                Line("a/victim/file", FILE, "", 0o777),
                Line("b/file", FILE, "", 0o777),
            ],
            // Hard links out, by name and through links.
            vec![Line("h", HARD, &file, 0), Line("h", FILE, "", 0o777)],
            vec![Line("h", HARD, "../victim/file", 0o777)],
            vec![Line("l", SYM, &victim, 0), Line("h", HARD, "l/file", 0o777)],
            vec![Line("l", SYM, &file, 0), Line("h", HARD, "l", 0o4777)],
            // Names that lead out.
            vec![Line("../victim/file", FILE, "", 0o777)],
            vec![Line("a/../../victim/file", FILE, "", 0o777)],
            vec![Line(&file, FILE, "", 0o777)],
            vec![Line("..", DIR, "", 0o777)],
            vec![Line("..", SYM, &victim, 0o777)],
            vec![Line("/", DIR, "", 0o777), Line("/", SYM, &victim, 0o777)],
            // A file where a directory was, and the other way round.
            vec![Line("a", FILE, "", 0o600), Line("a/file", FILE, "", 0o777)],
            vec![
                Line("a/b/c", FILE, "", 0o600),
                Line("a", SYM, &victim, 0),
                Line("a/file", FILE, "", 0o777),
                Line("a", FILE, "", 0o4755),
                Line("a", DIR, "", 0o4755),
            ],
            vec![Line("n", EntryType::Char, "", 0o666)],
            vec![Line("n", EntryType::Block, "", 0o666)],
            vec![Line("n", EntryType::Fifo, "", 0o666)],
        ];
        let before = ground.outside();
        for (number, lines) in hostile.iter().enumerate() {
            // Refused or confined: both are fine.
            drop(ground.unpack(&archive(lines)));
            assert_eq!(ground.outside(), before, "archive {number}");
            drop(fs::remove_dir_all(ground.context()));
            fs::create_dir(ground.context()).unwrap();
        }
    }

    #[test]
    fn a_hard_link_needs_a_file_that_is_there() {
        let file = Line("f", FILE, "", 0o644);
        for lines in [
            vec![file, Line("h", HARD, "nothing", 0o644)],
            vec![Line("h", HARD, "f", 0o644), file],
            vec![Line("h", HARD, "h", 0o644)],
            vec![Line("d", DIR, "", 0o755), Line("h", HARD, "d", 0o644)],
            vec![file, Line("h", HARD, "../f", 0o644)],
        ] {
            let ground = Ground::new();
            let error = format!("{:#}", ground.unpack(&archive(&lines)).unwrap_err());
            assert!(error.contains("`h`") || error.contains("`/h`"), "{error}");
        }
    }

    #[test]
    fn what_is_no_archive_or_cut_off_or_a_device_is_refused() {
        let whole = archive(&[Line("f", FILE, "", 0o644), Line("g", FILE, "", 0o644)]);
        let device = archive(&[Line("n", EntryType::Char, "", 0o644)]);
        for bytes in [&b""[..], b"hello", &whole[..1200], &device] {
            assert!(Ground::new().unpack(bytes).is_err());
        }
    }

    #[test]
    fn a_cancelled_run_unpacks_nothing_more() {
        let ground = Ground::new();
        let cancel = Cancel::default();
        cancel.cancel();
        let bytes = archive(&[Line("f", FILE, "", 0o644)]);
        assert!(unpack_archive(&*bytes, &ground.context(), &cancel).is_err());
    }
}
