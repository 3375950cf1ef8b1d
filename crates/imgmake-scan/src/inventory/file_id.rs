//! A file of an image, whatever its names are.

use imgmake_oci::layer::IndexEntry;

/// Where the bytes of a file are: the number of the layer, and that of the entry in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    pub layer: u32,
    pub entry: u32,
}

impl FileId {
    /// For the place where an index has the hash of a file: whoever merges layers hands it on,
    /// through hard links too.
    pub fn to_content(self) -> [u8; 32] {
        let mut content = [0; 32];
        content[..4].copy_from_slice(&self.layer.to_le_bytes());
        content[4..8].copy_from_slice(&self.entry.to_le_bytes());
        content
    }

    pub fn of(entry: &IndexEntry) -> Option<FileId> {
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        let content = entry.content.as_ref()?;
        Some(FileId {
            layer: number(&content[..4]),
            entry: number(&content[4..8]),
        })
    }
}
