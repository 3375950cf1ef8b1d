//! A `.git` that is being made: packs received into it, objects read from it,
//! references and configuration written.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gix_hash::{Kind, ObjectId};
use gix_object::{CommitRefIter, Exists, Find, TagRefIter, Write as _};
use gix_utils::progress::Discard;

use super::error::During as _;
use super::index::Hashed;
use super::session::Reference;
use super::{Address, GitError, Result};
use imgmake_event::Cancel;

const PACKS: &str = "cannot read the packs";
const LIST: &str = "cannot list the objects";
const WRITE_PACK: &str = "cannot write a pack";

/// git keeps fewer objects than this as files of their own.
const LOOSE_LIMIT: usize = 100;
/// An object that unfolds to more than this is no source file.
const LARGEST: usize = 2 << 30;
const PACK_CACHE: usize = 64 << 20;

pub(super) struct Repository {
    pub(super) directory: PathBuf,
    pub(super) kind: Kind,
    config: String,
}

impl Repository {
    /// Makes the directories that git looks for.
    pub(super) fn create(directory: &Path, kind: Kind) -> Result<Repository> {
        for inner in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
            fs::create_dir_all(directory.join(inner))
                .with_during(|| format!("cannot make `{}`", directory.display()))?;
        }
        let (version, extension) = match kind {
            Kind::Sha256 => (1, "[extensions]\n\tobjectformat = sha256\n"),
            _ => (0, ""),
        };
        Ok(Repository {
            directory: directory.to_path_buf(),
            kind,
            config: format!(
                "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n{extension}"
            ),
        })
    }

    pub(super) fn objects(&self) -> Result<gix_odb::Handle> {
        let place = self.directory.join("objects");
        let mut objects =
            gix_odb::at(place, self.kind).map_err(GitError::store("cannot open the objects"))?;
        objects.set_pack_cache(|| {
            Box::new(gix_pack::cache::lru::MemoryCappedHashmap::new(PACK_CACHE))
        });
        Ok(objects)
    }

    pub(super) fn has(&self, id: &ObjectId) -> Result<bool> {
        Ok(self.objects()?.exists(id))
    }

    /// Writes a pack as it comes, then its index.
    pub(super) fn receive(&self, pack: &mut dyn BufRead, cancel: &Cancel) -> Result<()> {
        let options = gix_pack::bundle::write::Options {
            alloc_limit_bytes: Some(LARGEST),
            ..Default::default()
        };
        let written = gix_pack::Bundle::write_to_directory(
            pack,
            Some(&self.directory.join("objects/pack")),
            &mut Discard,
            cancel.flag(),
            None::<gix_odb::Handle>,
            self.kind,
            options,
        );
        cancel.check()?;
        let written = written.map_err(|error| GitError::Damaged {
            what: "pack".into(),
            source: Some(error.into()),
        })?;
        if let Some(keep) = &written.keep_path {
            fs::remove_file(keep).during("cannot remove the pack's lock")?;
        }
        if written.index.num_objects == 0 {
            for empty in [&written.data_path, &written.index_path]
                .into_iter()
                .flatten()
            {
                fs::remove_file(empty).during("cannot remove an empty pack")?;
            }
        }
        Ok(())
    }

    /// The commit that an object stands for.
    pub(super) fn commit(&self, id: ObjectId) -> Result<ObjectId> {
        peeled(&self.objects()?, self.kind, id)
    }

    pub(super) fn tree_of(&self, commit: ObjectId) -> Result<ObjectId> {
        let (objects, mut buffer) = (self.objects()?, Vec::new());
        let data = find(&objects, commit, &mut buffer)?.data;
        let tree = CommitRefIter::from_bytes(data, self.kind).tree_id();
        tree.map_err(|_| GitError::damaged(format!("commit {commit}")))
    }

    /// When a commit was made, by its committer: seconds since the epoch.
    pub(super) fn time_of(&self, commit: ObjectId) -> Result<i64> {
        let (objects, mut buffer) = (self.objects()?, Vec::new());
        let data = find(&objects, commit, &mut buffer)?.data;
        let committer = CommitRefIter::from_bytes(data, self.kind).committer();
        let time = committer.ok().and_then(|committer| committer.time().ok());
        let time = time.ok_or_else(|| GitError::damaged(format!("commit {commit}")))?;
        Ok(time.seconds)
    }

    pub(super) fn add_config(&mut self, text: &str) {
        self.config.push_str(text);
    }

    pub(super) fn add_origin(&mut self, address: &Address, fetched: &str) {
        let url = quoted(&address.to_string());
        self.add_config(&format!(
            "[remote \"origin\"]\n\turl = {url}\n\tfetch = {fetched}\n"
        ));
    }

    /// HEAD, configuration, references and where histories are cut.
    pub(super) fn finish(
        &self,
        head: &str,
        references: &[Reference],
        shallow: &mut Vec<ObjectId>,
    ) -> Result<()> {
        let put = |name: &str, text: &str| {
            fs::write(self.directory.join(name), text)
                .with_during(|| format!("cannot write .git/{name}"))
        };
        put("HEAD", &format!("{head}\n"))?;
        put("config", &self.config)?;
        shallow.sort();
        shallow.dedup();
        if !shallow.is_empty() {
            let lines: String = shallow.iter().map(|id| format!("{id}\n")).collect();
            put("shallow", &lines)?;
        }
        if !references.is_empty() {
            put("packed-refs", &packed(references))?;
        }
        Ok(())
    }

    /// The same bytes for the same objects, however the server packed them: a few
    /// are files of their own, many are one pack without deltas, in the order of
    /// their names.
    pub(super) fn repack(&self, cancel: &Cancel) -> Result<()> {
        let packs = self.directory.join("objects/pack");
        let old: Vec<PathBuf> = entries(&packs).during(PACKS)?;
        let objects = self.objects()?;
        let mut ids: Vec<ObjectId> = Vec::new();
        for id in objects.iter().map_err(GitError::store(LIST))? {
            cancel.check()?;
            ids.push(id.map_err(GitError::store(LIST))?);
        }
        ids.sort();
        ids.dedup();
        let mut new = Vec::new();
        if ids.len() < LOOSE_LIMIT {
            self.loosen(&objects, &ids, cancel)?;
        } else {
            let mut plain = tempfile::tempfile_in(&packs).during(WRITE_PACK)?;
            self.pack(&objects, &ids, &mut plain, cancel)?;
            plain.rewind().during("cannot read the pack")?;
            self.receive(&mut BufReader::new(plain), cancel)?;
            new = entries(&packs).during(PACKS)?;
            new.retain(|path| !old.contains(path));
        }
        // A server may have sent just that pack.
        if ids.len() < LOOSE_LIMIT || !new.is_empty() {
            for path in old {
                fs::remove_file(path).during("cannot remove a pack")?;
            }
        }
        Ok(())
    }

    fn loosen(&self, objects: &gix_odb::Handle, ids: &[ObjectId], cancel: &Cancel) -> Result<()> {
        let loose = gix_odb::loose::Store::at(self.directory.join("objects"), self.kind);
        let mut buffer = Vec::new();
        for id in ids {
            cancel.check()?;
            let object = find(objects, *id, &mut buffer)?;
            loose
                .write_buf(object.kind, object.data)
                .map_err(GitError::store("cannot write an object"))?;
        }
        Ok(())
    }

    fn pack(
        &self,
        objects: &gix_odb::Handle,
        ids: &[ObjectId],
        to: &mut File,
        cancel: &Cancel,
    ) -> Result<()> {
        let mut to = BufWriter::new(to);
        let mut hashed = Hashed {
            hasher: gix_hash::hasher(self.kind),
            out: &mut to,
        };
        let count = u32::try_from(ids.len()).map_err(|_| GitError::Limit {
            what: "pack".into(),
            limit: u32::MAX as usize,
            unit: "objects",
        })?;
        let head = [b"PACK\0\0\0\x02", &count.to_be_bytes()[..]].concat();
        hashed.write_all(&head).during(WRITE_PACK)?;
        let mut buffer = Vec::new();
        for id in ids {
            cancel.check()?;
            let object = find(objects, *id, &mut buffer)?;
            write_entry(&object, &mut hashed, cancel).during(WRITE_PACK)?;
        }
        let sum = hashed.hasher.try_finalize();
        let sum = sum.map_err(GitError::store(WRITE_PACK))?;
        let written = to.write_all(sum.as_slice()).and_then(|()| to.flush());
        written.during(WRITE_PACK)
    }

    /// The modes that git gives, whatever the umask.
    pub(super) fn set_modes(&self, cancel: &Cancel) -> Result<()> {
        modes(&self.directory, false, cancel)
            .with_during(|| format!("cannot set modes in `{}`", self.directory.display()))
    }
}

/// An object's entry in a pack.
fn write_entry(
    object: &gix_object::Data<'_>,
    to: &mut Hashed<'_>,
    cancel: &Cancel,
) -> io::Result<()> {
    to.write_all(&entry_head(object.kind, object.data.len()))?;
    let mut encoder = ZlibEncoder::new(to, Compression::default());
    for part in object.data.chunks(1 << 20) {
        cancel.check()?;
        encoder.write_all(part)?;
    }
    encoder.finish()?;
    Ok(())
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?;
    entries.map(|entry| entry.map(|e| e.path())).collect()
}

fn modes(directory: &Path, is_of_objects: bool, cancel: &Cancel) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        cancel.check()?;
        let entry = entry?;
        let is_objects = is_of_objects || entry.file_name() == "objects";
        if entry.file_type()?.is_dir() {
            modes(&entry.path(), is_objects, cancel)?;
        } else {
            let mode = if is_objects { 0o444 } else { 0o644 };
            fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

pub(super) fn peeled(
    objects: &gix_odb::Handle,
    kind: gix_hash::Kind,
    mut id: ObjectId,
) -> Result<ObjectId> {
    let mut buffer = Vec::new();
    // Tags of tags can be nested without end.
    for _ in 0..16 {
        let object = find(objects, id, &mut buffer)?;
        match object.kind {
            gix_object::Kind::Commit => return Ok(id),
            gix_object::Kind::Tag => {
                let target = TagRefIter::from_bytes(object.data, kind).target_id();
                id = target.map_err(|_| GitError::damaged(format!("tag {id}")))?;
            }
            _ => break,
        }
    }
    Err(GitError::UnexpectedObject {
        id,
        expected: "a commit",
    })
}

pub(super) fn find<'a>(
    objects: &gix_odb::Handle,
    id: ObjectId,
    buffer: &'a mut Vec<u8>,
) -> Result<gix_object::Data<'a>> {
    match objects.try_find(&id, buffer) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(GitError::ObjectNotFound(id)),
        Err(error) => Err(GitError::Damaged {
            what: format!("object {id}"),
            source: Some(error.into()),
        }),
    }
}

/// Kind and size before an object in a pack (gitformat-pack).
fn entry_head(kind: gix_object::Kind, size: usize) -> Vec<u8> {
    let number = match kind {
        gix_object::Kind::Commit => 1,
        gix_object::Kind::Tree => 2,
        gix_object::Kind::Blob => 3,
        gix_object::Kind::Tag => 4,
    };
    let low = |value: usize, mask: usize| u8::try_from(value & mask).expect("it is masked");
    let mut rest = size >> 4;
    let mut head = vec![number << 4 | low(size, 0xf)];
    while rest > 0 {
        *head.last_mut().expect("one is there") |= 0x80;
        head.push(low(rest, 0x7f));
        rest >>= 7;
    }
    head
}

/// All references in one file, in order; tags with what they point at.
fn packed(references: &[Reference]) -> String {
    let mut sorted: Vec<&Reference> = references.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted.dedup_by(|a, b| a.name == b.name);
    let mut text = "# pack-refs with: peeled fully-peeled sorted \n".to_string();
    for reference in sorted {
        text.push_str(&format!("{} {}\n", reference.id, reference.name));
        if let Some(peeled) = &reference.peeled {
            text.push_str(&format!("^{peeled}\n"));
        }
    }
    text
}

/// A subsection's name in the configuration.
pub(super) fn in_quotes(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value of the configuration.
pub(super) fn quoted(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/:.@_-+~%".contains(&b);
    match !value.is_empty() && value.bytes().all(plain) {
        true => value.to_string(),
        false => in_quotes(value),
    }
}
