//! Message authentication: what was written under a key, and for which purpose.
//!
//! Whatever lies in a checkout is input from strangers, also what looks like our own
//! state. It counts only with a MAC (keyed blake3) under a key that a checkout cannot
//! hold. A MAC binds a purpose and a name, so that one file cannot stand for another.
//!
//! ```text
//! sealed content:  MAC (32 bytes)  blake3 of the content (32)  length (u64, little endian)  content
//! ```
//!
//! The MAC covers the two fields behind it: a reader refuses a stranger's file, however
//! large, after 72 bytes.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

/// The length of what stands before sealed content, in bytes.
pub const HEAD: usize = 72;
/// A shorter text can be found by trying.
pub const SHORTEST_TEXT: usize = 32;
/// The environment's variable that holds a key for the steps of a pipeline.
pub const VARIABLE: &str = "IMGMAKE_STATE_KEY";
/// The key's name in the user's store.
const FILE: &str = "key";

/// 32 secret bytes. Does not show them.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MacKey([u8; 32]);

#[derive(Debug, thiserror::Error)]
#[error("it has {found} characters; expected are at least {SHORTEST_TEXT}")]
pub struct TooShort {
    found: usize,
}

impl MacKey {
    /// A key that everybody knows: a MAC under it is a checksum, for directories that
    /// nobody but the user can write.
    pub fn checksum() -> MacKey {
        MacKey(blake3::derive_key("imgmake 2026-11 checksum", b""))
    }

    /// The key that a text of any characters stands for; blanks and ends of lines around
    /// it do not count.
    ///
    /// # Errors
    /// It has fewer than [`SHORTEST_TEXT`] characters.
    pub fn of_text(text: &str) -> Result<MacKey, TooShort> {
        let text = text.trim();
        let found = text.chars().count();
        if found < SHORTEST_TEXT {
            return Err(TooShort { found });
        }
        let key = blake3::derive_key("imgmake 2026-11 key from a text", text.as_bytes());
        Ok(MacKey(key))
    }

    /// A key of this process alone.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> io::Result<MacKey> {
        let mut key = [0; 32];
        let filled = SystemRandom::new().fill(&mut key);
        filled.map_err(|_| io::Error::other("the system provides no random numbers"))?;
        Ok(MacKey(key))
    }

    /// The key of the user whose directory this is; `None` when there is none yet.
    ///
    /// # Errors
    /// It cannot be read, or others could have written or read it.
    pub fn read(directory: &Path) -> io::Result<Option<MacKey>> {
        let path = directory.join(FILE);
        let opened = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let (found, around) = (file.metadata()?, fs::metadata(directory)?);
        let user = rustix::process::geteuid().as_raw();
        let wrong = |what: &str| Err(io::Error::other(format!("`{}` {what}", path.display())));
        if !found.is_file() {
            return wrong("is not a regular file");
        }
        if found.uid() != user || around.uid() != user {
            return wrong("belongs to another user");
        }
        if found.mode() & 0o077 != 0 {
            return wrong("can be read by other users; remove it, and imgmake creates a new one");
        }
        let mut key = [0; 32];
        if found.len() != 32 || file.read_exact(&mut key).is_err() {
            return wrong("is damaged; remove it, and imgmake creates a new one");
        }
        Ok(Some(MacKey(key)))
    }

    /// The same, made where there is none: 0600, from random bytes.
    ///
    /// # Errors
    /// As for [`MacKey::read`]; the directory cannot be made or written.
    pub fn read_or_make(directory: &Path) -> io::Result<MacKey> {
        if let Some(key) = MacKey::read(directory)? {
            return Ok(key);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        // Complete before it has its name, and never over one that is there.
        let mut file = tempfile::Builder::new()
            .prefix(".key-")
            .tempfile_in(directory)?;
        file.write_all(&MacKey::random()?.0)?;
        match file.persist_noclobber(directory.join(FILE)) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error.error);
            }
            _ => {}
        }
        MacKey::read(directory)?.ok_or_else(|| io::Error::other("the key was removed meanwhile"))
    }

    /// The key for one purpose in one place, such as a project's log.
    pub fn derive(&self, purpose: &str, place: &[u8]) -> MacKey {
        MacKey(self.mac(&[purpose.as_bytes(), place]))
    }

    /// The MAC of these parts, in this order and divided like this.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// A directory's name that nobody finds without the key.
    pub fn name(&self, purpose: &str) -> String {
        hex::encode(&self.mac(&[b"name", purpose.as_bytes()])[..16])
    }

    /// What stands before this content when it is kept under this name.
    pub fn head(&self, name: &str, content: &[u8]) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[32..64].copy_from_slice(blake3::hash(content).as_bytes());
        head[64..].copy_from_slice(&(content.len() as u64).to_le_bytes());
        let mac = self.mac(&[name.as_bytes(), &head[32..]]);
        head[..32].copy_from_slice(&mac);
        head
    }

    /// Head and content.
    pub fn seal(&self, name: &str, content: &[u8]) -> Vec<u8> {
        [&self.head(name, content), content].concat()
    }

    /// The length of the content behind a head that was made under this key for this name.
    pub fn content_length(&self, name: &str, head: &[u8]) -> Option<u64> {
        let (mac, fields) = head.get(..HEAD)?.split_at(32);
        let sound = same(&self.mac(&[name.as_bytes(), fields]), mac);
        let length: [u8; 8] = fields[32..].try_into().expect("eight bytes");
        sound.then(|| u64::from_le_bytes(length))
    }

    /// The content of what was sealed under this key for this name; `None` for anything else.
    pub fn open<'a>(&self, name: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (head, content) = sealed.split_at_checked(HEAD)?;
        let length = self.content_length(name, head)?;
        let sound =
            content.len() as u64 == length && blake3::hash(content).as_bytes() == &head[32..64];
        sound.then_some(content)
    }

    /// The same from a reader, of which no more is read than a sound head promises.
    ///
    /// # Errors
    /// The reader's.
    pub fn read_sealed(&self, name: &str, from: &mut dyn Read) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; HEAD];
        match from.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let Some(length) = self.content_length(name, &head) else {
            return Ok(None);
        };
        // The length is ours. What cannot be had at once is not promised by it.
        let mut content = Vec::new();
        drop(content.try_reserve_exact(usize::try_from(length).unwrap_or(0).saturating_add(1)));
        from.take(length.saturating_add(1))
            .read_to_end(&mut content)?;
        let sound =
            content.len() as u64 == length && blake3::hash(&content).as_bytes() == &head[32..64];
        Ok(sound.then_some(content))
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey")
    }
}

/// In the same time whatever differs.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn sealed_content_opens_under_its_own_key_and_name_alone() {
        let key = MacKey::random().unwrap();
        let sealed = key.seal("a", b"content");
        assert_eq!(key.open("a", &sealed), Some(&b"content"[..]));
        assert_eq!(key.open("b", &sealed), None);
        assert_eq!(MacKey::random().unwrap().open("a", &sealed), None);
        assert_eq!(MacKey::checksum().open("a", &sealed), None);
        assert_eq!(key.derive("x", b"1").open("a", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open("a", &changed), None, "{at}");
            assert_eq!(key.open("a", &sealed[..at]), None, "{at}");
            let read = key.read_sealed("a", &mut &changed[..]).unwrap();
            assert_eq!(read, None, "{at}");
        }
        let longer = [&sealed[..], b"x"].concat();
        assert_eq!(key.open("a", &longer), None);
        assert_eq!(key.read_sealed("a", &mut &longer[..]).unwrap(), None);
        let read = key.read_sealed("a", &mut &sealed[..]).unwrap();
        assert_eq!(read.as_deref(), Some(&b"content"[..]));
    }

    #[test]
    fn purpose_and_place_are_told_apart_wherever_their_boundary_lies() {
        let key = MacKey::random().unwrap();
        let all = [
            key.derive("log", b"/a/b"),
            key.derive("log/a", b"/b"),
            key.derive("stat", b"/a/b"),
            key.derive("log", b"/a"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
    }

    #[test]
    fn a_text_of_32_characters_is_a_key_and_a_shorter_one_is_refused() {
        let text = "0123456789abcdef0123456789abcdef";
        let key = MacKey::of_text(text).unwrap();
        assert_eq!(key, MacKey::of_text(&format!("{text}\n")).unwrap());
        assert_ne!(key, MacKey::of_text(&text.replace('0', "1")).unwrap());
        for short in ["", "short", &text[1..], &format!("{:32}", "x")] {
            let refused = MacKey::of_text(short).unwrap_err().to_string();
            assert!(refused.contains("at least 32"), "{refused}");
        }
    }

    #[test]
    fn a_key_is_made_once_private_and_random() {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        assert_eq!(MacKey::read(&store).unwrap(), None);
        let keys: Vec<MacKey> = std::thread::scope(|scope| {
            let make = || MacKey::read_or_make(&store).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        let mode = fs::metadata(store.join("key")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<_> = fs::read_dir(&store).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let other = MacKey::read_or_make(directory.path()).unwrap();
        assert_ne!(other, keys[0]);
    }

    #[test]
    fn a_key_that_others_could_have_chosen_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let refused = || MacKey::read_or_make(directory.path()).unwrap_err();
        fs::write(&path, [7; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(refused().to_string().contains("other users"));
        for length in [0, 31, 33] {
            fs::write(&path, vec![7; length]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(refused().to_string().contains("damaged"), "{length}");
        }
        fs::remove_file(&path).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        fs::write(&elsewhere, [7; 32]).unwrap();
        symlink(&elsewhere, &path).unwrap();
        refused();
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        assert!(refused().to_string().contains("regular"));
    }
}
