//! A file as it was when it was read: what its content does not tell.

/// What the kernel changes when somebody writes a file, or puts another in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Device, inode, size.
    pub identity: [u64; 3],
    /// Nanoseconds since the epoch.
    pub modified: i64,
    pub changed: i64,
    pub links: i64,
}

impl Seen {
    /// Whether it is untouched: a further name of it, which moves its time too, does it no harm.
    pub fn is_as(&self, before: &Seen) -> bool {
        let is_the_same = self.identity == before.identity && self.modified == before.modified;
        is_the_same && (self.changed == before.changed || self.links != before.links)
    }
}
