//! What a hash of files rests on: every file and directory that was looked at for it, as the kernel had it. While all
//! of them are the same, so is the hash, and nothing is listed, sorted or hashed.
//!
//! A directory stands for the names in it: its times move with each name that comes, goes, or is given to another
//! file. A file stands for its content. What neither says is [`Evidence::void`].

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rayon::prelude::*;
use rustix::fs::{AtFlags, statat};

use super::Signature;
use imgmake_event::Cancel;

/// How a place is looked at, and what was there.
const ABSENT: u8 = 0;
const THERE: u8 = 1;
/// Added where a link of the name itself is followed, as those above it always are.
const FOLLOWED: u8 = 2;

/// So many places are looked at by one thread, before somebody may cancel.
const CHUNK: usize = 512;

#[derive(Clone, Debug)]
pub struct Evidence {
    /// Nanoseconds since the epoch: nobody looked before.
    since: i64,
    /// The only device that counts.
    device: u64,
    is_void: bool,
    places: Vec<u8>,
}

impl Evidence {
    /// For what is looked at from now on; only what is on this device counts.
    pub(super) fn new(since: i64, device: u64) -> Evidence {
        Evidence {
            since,
            device,
            is_void: false,
            places: Vec::new(),
        }
    }

    /// It is none: something counts that the kernel's word on these places does not tell of.
    pub fn void(&mut self) {
        self.is_void = true;
        self.places = Vec::new();
    }

    /// A file or a directory that is no link.
    pub fn itself(&mut self, path: &[u8], signature: &Signature) {
        self.there(THERE, path, signature);
    }

    /// What a name leads to.
    pub fn followed(&mut self, path: &[u8], signature: &Signature) {
        self.there(THERE | FOLLOWED, path, signature);
    }

    /// Nothing is there; of a link, nothing where it leads.
    pub fn absent(&mut self, path: &[u8], follows: bool) {
        let follows = if follows { FOLLOWED } else { 0 };
        self.place(ABSENT | follows, path);
    }

    fn there(&mut self, kind: u8, path: &[u8], signature: &Signature) {
        if signature.device != self.device || !signature.would_move_after(self.since) {
            return self.void();
        }
        self.place(kind, path);
        if !self.is_void {
            self.places.extend_from_slice(&signature.bytes());
        }
    }

    fn place(&mut self, kind: u8, path: &[u8]) {
        let path = if path.is_empty() { b"." } else { path };
        let length = u16::try_from(path.len() + 1);
        match length {
            Ok(length) if !self.is_void => {
                self.places.push(kind);
                self.places.extend_from_slice(&length.to_le_bytes());
                self.places.extend_from_slice(path);
                // So that the kernel can be asked where it lies.
                self.places.push(0);
            }
            _ => self.void(),
        }
    }

    /// As it is kept; `None` of what is none.
    pub(super) fn places(&self) -> Option<&[u8]> {
        (!self.is_void).then_some(&self.places)
    }
}

/// Whether everything is as it was, in the directory from which paths are relative. No answer is no.
pub(super) fn holds(places: &[u8], directory: BorrowedFd<'_>, cancel: &Cancel) -> bool {
    // None is shorter than what is there without its path.
    let is_short = places.len() < CHUNK * 40;
    let all_hold = |chunk: &[u8]| {
        !cancel.is_cancelled()
            && Places(chunk).all(|place| place.is_some_and(|place| place.holds(directory)))
    };
    is_short && all_hold(places)
        || !is_short
            && chunks(places).is_some_and(|chunks| chunks.par_iter().all(|chunk| all_hold(chunk)))
}

/// Whether one of these names is among the places.
pub(super) fn mentions(places: &[u8], names: &BTreeSet<Vec<u8>>) -> bool {
    let is_named =
        |place: Option<Place<'_>>| place.is_none_or(|place| names.contains(place.path.to_bytes()));
    !names.is_empty() && Places(places).any(is_named)
}

fn chunks(places: &[u8]) -> Option<Vec<&[u8]>> {
    let mut chunks = Vec::new();
    let mut rest = places;
    while !rest.is_empty() {
        let chunk = rest;
        let mut all = Places(rest);
        for place in all.by_ref().take(CHUNK) {
            place?;
        }
        rest = all.0;
        chunks.push(&chunk[..chunk.len() - rest.len()]);
    }
    Some(chunks)
}

/// Gives `None` for what is no place, and nothing after it.
struct Places<'a>(&'a [u8]);

impl<'a> Iterator for Places<'a> {
    type Item = Option<Place<'a>>;

    fn next(&mut self) -> Option<Option<Place<'a>>> {
        if self.0.is_empty() {
            return None;
        }
        let first = Place::first(self.0);
        self.0 = first.as_ref().map_or(&[], |(_, rest)| rest);
        Some(first.map(|(place, _)| place))
    }
}

struct Place<'a> {
    kind: u8,
    path: &'a CStr,
    signature: &'a [u8],
}

impl Place<'_> {
    fn first(places: &[u8]) -> Option<(Place<'_>, &[u8])> {
        let (&[kind, low, high], rest) = places.split_first_chunk()?;
        let length = u16::from_le_bytes([low, high]);
        let (path, rest) = rest.split_at_checked(length.into())?;
        let signature = if kind & THERE == 0 { 0 } else { 40 };
        let (signature, rest) = rest.split_at_checked(signature)?;
        let path = CStr::from_bytes_with_nul(path).ok()?;
        let place = Place {
            kind,
            path,
            signature,
        };
        Some((place, rest))
    }

    fn holds(&self, directory: BorrowedFd<'_>) -> bool {
        let flags = match self.kind & FOLLOWED {
            0 => AtFlags::SYMLINK_NOFOLLOW,
            _ => AtFlags::empty(),
        };
        match statat(directory, self.path, flags) {
            Ok(stat) => {
                self.kind & THERE != 0 && Signature::of_stat(&stat).bytes() == self.signature
            }
            Err(error) => self.kind & THERE == 0 && error == rustix::io::Errno::NOENT,
        }
    }
}
