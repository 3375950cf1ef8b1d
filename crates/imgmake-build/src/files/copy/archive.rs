//! ADD of a local archive: its entries become entries of the layer, as if it had been unpacked with the destination
//! as its root. Archives are known by their content, whatever their name.

use std::io::Read;

use super::contents::{Contents, open_content};
use super::entries::{Content, Planned};
use super::planner::{DestinationEntry, Planner};
use crate::error::{BuildError, Context, Result};
use crate::files::tree::{base_name, join, parent, relative, show};
use imgmake_event::Cancel;
use imgmake_oci::layer::{Entry, EntryKind, LayerReader, decompress, is_reserved, looks_like_tar};

/// Of directories that are made for an archive.
const MODE: u32 = 0o755;

/// Reads an archive's entries, decompressed.
pub fn reader<'a>(
    archive: &'a Content,
    contents: &'a mut dyn Contents,
    cancel: &Cancel,
) -> Result<LayerReader<Box<dyn Read + Send + 'a>>> {
    let packed = cancel.reader(open_content(archive, contents)?);
    Ok(LayerReader::of_archive(decompress(packed)?).stopped_by(cancel))
}

/// Whether these bytes are a tar archive, compressed or not.
pub fn is_archive(content: &Content, contents: &mut dyn Contents, cancel: &Cancel) -> bool {
    let mut start = Vec::new();
    let read = open_content(content, contents)
        .and_then(|bytes| Ok(decompress(cancel.reader(bytes))?))
        .and_then(|bytes| Ok(bytes.take(512).read_to_end(&mut start)?));
    // An empty archive is copied; what begins like one and goes wrong later is a mistake.
    read.is_ok() && looks_like_tar(&start) && start.iter().any(|byte| *byte != 0)
}

impl Planner<'_> {
    /// Unpacks an archive into a directory of the image, which is made when it is not there. `--chmod` has no part
    /// in it: the archive has the modes. Gives false, and plans nothing, when the bytes are no archive.
    ///
    /// # Errors
    /// A broken archive, or one that holds what no layer can say.
    pub fn unpack(
        &mut self,
        archive: Content,
        contents: &mut dyn Contents,
        to: &str,
        cancel: &Cancel,
    ) -> Result<bool> {
        if !is_archive(&archive, contents, cancel) {
            return Ok(false);
        }
        let written = relative(to);
        self.ensure_directory_as(&written, MODE, self.rules().owner)?;
        let directory = self.resolve(&written, true)?;
        let archives = &mut self.plan_mut().archives;
        archives.push(archive.clone());
        let which = archives.len() - 1;
        let mut entries = reader(&archive, contents, cancel)?;
        let mut number = 0;
        while let Some(entry) = entries.next_entry().context("the archive is damaged")? {
            self.unpack_entry(entry, &directory, which, number)?;
            number += 1;
        }
        Ok(true)
    }

    fn unpack_entry(
        &mut self,
        entry: Entry,
        directory: &[u8],
        archive: usize,
        number: u64,
    ) -> Result<()> {
        if entry.path.is_empty() {
            return Ok(()); // `./`: the destination keeps what it is.
        }
        let Some(path) = self.place(directory, &entry.path)? else {
            self.warn(format!(
                "`{}` of the archive is left out: in a layer, such a name means that a file is deleted",
                show(&entry.path)
            ));
            return Ok(());
        };
        if let EntryKind::HardLink { target } = &entry.kind {
            return self.link(&entry, path, directory, target);
        }
        let kind = entry.kind;
        let content = match kind {
            EntryKind::File { .. } => Content::Archive { archive, number },
            _ => Content::None,
        };
        let (uid, gid) = self.rules().owner.unwrap_or((entry.uid, entry.gid));
        let entry = Entry {
            path,
            kind,
            uid,
            gid,
            mode: entry.mode & 0o7777,
            mtime: self.clamped(entry.mtime),
            xattrs: entry.xattrs,
        };
        self.insert(Planned {
            entry,
            content,
            hash: None,
            kept: false,
            stat: None,
        })
    }

    /// Another name for what is there already. As when BuildKit unpacks, that is what lies there at
    /// this moment: a later entry is not there yet, and one that is replaced later stays under this name.
    fn link(
        &mut self,
        entry: &Entry,
        path: Vec<u8>,
        directory: &[u8],
        target: &[u8],
    ) -> Result<()> {
        let refused = |why: &str| {
            let (entry, target) = (show(&entry.path), show(target));
            BuildError::invalid(
                format!("hard link `{entry}` to `{target}` in the archive"),
                why,
            )
        };
        let nothing = || refused("not found; a file must come before the links to it");
        let written = target;
        let above = self.resolve_beneath(directory, parent(target), true)?;
        let target = join(&above, base_name(written));
        // The link takes the place of a directory, which goes with all that it holds.
        if target.starts_with(&join(&path, b"")) {
            return Err(nothing());
        }
        let Some(there) = self.plan_mut().entries.get(&target).cloned() else {
            return match self.standing(&target) {
                DestinationEntry::Nothing => Err(nothing()),
                DestinationEntry::Directory => Err(refused("it is a directory")),
                DestinationEntry::Link(_) | DestinationEntry::Other => Err(refused(
                    "it is in the image and not in the archive: a layer cannot link to a file of another layer; put the file into the archive",
                )),
            };
        };
        let file = match &there.entry.kind {
            EntryKind::Directory => return Err(refused("it is a directory")),
            // These have no content that two names could share.
            EntryKind::Symlink { .. }
            | EntryKind::CharDevice { .. }
            | EntryKind::BlockDevice { .. }
            | EntryKind::Fifo => None,
            EntryKind::File { .. } => Some(target.clone()),
            EntryKind::HardLink { target } => Some(target.clone()),
        };
        if target == path {
            // What stood there is taken away before the link is made.
            return Err(nothing());
        }
        if file.as_ref() == Some(&path) {
            // Both are names of one file already.
            return Ok(());
        }
        let mut linked = there;
        linked.entry.path = path;
        if let Some(target) = file {
            linked.entry.kind = EntryKind::HardLink { target };
            linked.content = Content::None;
            linked.hash = None;
        }
        self.insert(linked)
    }

    /// Where an archive's path lies once links of the image and of the archive are followed, all of which lead
    /// to somewhere beneath the destination. Directories that the archive only implies belong to root. `None` where
    /// the path, as written or by a link, has a name that layers keep for whiteouts.
    fn place(&mut self, directory: &[u8], path: &[u8]) -> Result<Option<Vec<u8>>> {
        let above = self.resolve_beneath(directory, parent(path), true)?;
        if is_reserved(path) || is_reserved(&above) {
            return Ok(None);
        }
        if !matches!(self.standing(&above), DestinationEntry::Directory) {
            self.ensure_directory_as(&above, MODE, None)?;
        }
        Ok(Some(join(&above, base_name(path))))
    }
}
