//! Small files that say something about content: sealed (see `mac`) under the store's key
//! for their own place, so that a damaged, foreign or exchanged one is no record.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::Result;

use super::Store;
use imgmake_guard::mac::{self, MacKey};

impl Store {
    /// The content of a record, if there is a sound one. In the user's own store an unsound one
    /// is damaged: it is removed. In a shared one it may be somebody else's, and stays.
    pub(super) fn record(&self, folder: &str, name: &str) -> Option<Vec<u8>> {
        let mut file = self.open_record(folder, name)?;
        let key = &self.inner.key;
        let content = key.read_sealed(&purpose(folder, name), &mut file).ok()?;
        if content.is_none() && !self.is_shared() {
            let path = self.record_path(folder, name);
            self.discard(&path, &file, "its checksum does not match".to_string());
        }
        content
    }

    /// What is written beside a tree: sealed for its place, as records are.
    pub fn seal(&self, path: &Path, content: &[u8]) -> Vec<u8> {
        self.inner.key.seal(&self.purpose_of(path), content)
    }

    /// The content of what was sealed for this place; `None` for anything else.
    pub fn unseal(&self, path: &Path, sealed: &[u8]) -> Option<Vec<u8>> {
        let content = self.inner.key.open(&self.purpose_of(path), sealed);
        content.map(<[u8]>::to_vec)
    }

    fn purpose_of(&self, path: &Path) -> String {
        let path = path.strip_prefix(self.root()).unwrap_or(path);
        format!("place/{}", path.display())
    }

    /// The same whoever wrote it, for what is proven otherwise.
    pub(super) fn record_of_anybody(&self, folder: &str, name: &str) -> Option<Vec<u8>> {
        const MOST: u64 = 4 << 20;
        if let Some(content) = self.record(folder, name) {
            return Some(content);
        }
        let mut bytes = Vec::new();
        let file = self.open_record(folder, name)?;
        file.take(MOST).read_to_end(&mut bytes).ok()?;
        bytes.get(mac::HEAD..).map(<[u8]>::to_vec)
    }

    /// Whether there is one, by its first bytes.
    pub(super) fn has_record(&self, folder: &str, name: &str) -> bool {
        let head = || {
            let mut file = self.open_record(folder, name)?;
            let mut head = [0; mac::HEAD];
            file.read_exact(&mut head).ok()?;
            let key: &MacKey = &self.inner.key;
            let length = key.content_length(&purpose(folder, name), &head)?;
            let whole = file.metadata().ok()?.len();
            (whole.checked_sub(mac::HEAD as u64)? == length).then_some(())
        };
        head().is_some()
    }

    pub(super) fn put_record(&self, folder: &str, name: &str, content: &[u8]) -> Result<()> {
        let head = self.inner.key.head(&purpose(folder, name), content);
        self.write_file(&self.record_path(folder, name), &[&head, content])
    }

    pub(super) fn record_path(&self, folder: &str, name: &str) -> PathBuf {
        self.root().join(folder).join(name)
    }

    /// What is no regular file here was not written by us, and could make a reader wait.
    fn open_record(&self, folder: &str, name: &str) -> Option<File> {
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.record_path(folder, name))
            .ok()?;
        file.metadata().ok()?.is_file().then_some(file)
    }
}

fn purpose(folder: &str, name: &str) -> String {
    format!("{folder}/{name}")
}
