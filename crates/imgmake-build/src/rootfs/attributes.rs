//! Owner, mode, xattrs and times of what is being unpacked. The order matters: a
//! change of owner clears setuid bits and capabilities, and any change moves times.

use std::os::fd::{AsFd, BorrowedFd};

use std::collections::BTreeMap;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::Marks;
use crate::error::{BuildError, Context, Result};
use imgmake_oci::layer::{Entry, Timestamp};

/// What a layer may set: `trusted.*` and overlay's own marks would change what the
/// kernel shows, labels belong to the machine, and the marks of placeholders are ours.
pub(super) fn is_imported(name: &[u8]) -> bool {
    let is_mark = name.starts_with(b"user.overlay.") || name == super::placeholder::MARK;
    name == b"security.capability" || (name.starts_with(b"user.") && !is_mark)
}

/// Who things belong to in this tree.
pub(super) fn ids(entry: &Entry) -> Result<(u32, u32)> {
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    match (id(entry.uid), id(entry.gid)) {
        (Some(uid), Some(gid)) => Ok((uid, gid)),
        _ => Err(BuildError::invalid(
            format!("owner {}:{}", entry.uid, entry.gid),
            "",
        )),
    }
}

pub(super) fn chown(fd: impl AsFd, (uid, gid): (u32, u32)) -> Result<()> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .with_context(|| unmapped(uid, gid))
}

pub(super) fn chown_at(parent: BorrowedFd<'_>, name: &[u8], (uid, gid): (u32, u32)) -> Result<()> {
    let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(parent, name, owner, group, AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| unmapped(uid, gid))
}

fn unmapped(uid: u32, gid: u32) -> String {
    format!(
        "cannot give it to {uid}:{gid} (rootless builds need these ids in the ranges of \
         /etc/subuid and /etc/subgid)"
    )
}

pub(super) fn chmod(fd: impl AsFd, mode: u32) -> Result<()> {
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).context("cannot set its mode")
}

pub(super) fn set_xattrs(fd: impl AsFd, entry: &Entry) -> Result<()> {
    for (name, value) in &entry.xattrs {
        if is_imported(name) {
            rustix::fs::fsetxattr(&fd, &**name, value, XattrFlags::empty())
                .with_context(|| format!("cannot set `{}`", String::from_utf8_lossy(name)))?;
        }
    }
    Ok(())
}

pub(super) fn times(time: Timestamp) -> Timestamps {
    let spec = Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanos.min(999_999_999).into(),
    };
    Timestamps {
        last_access: spec,
        last_modification: spec,
    }
}

pub(super) fn is_opaque(directory: impl AsFd, marks: Marks) -> Result<bool> {
    let mut value = [0; 8];
    match rustix::fs::fgetxattr(directory, marks.opaque(), &mut value) {
        Ok(length) => Ok(value[..length] == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error).context("cannot read overlay's marks"),
    }
}

/// The xattrs that a layer records.
pub(super) fn xattrs_of(fd: impl AsFd) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut list = vec![0; 1024];
    let length = loop {
        match rustix::fs::flistxattr(&fd, &mut list[..]) {
            Ok(length) => break length,
            Err(Errno::RANGE) => list.resize(list.len() * 8, 0),
            Err(Errno::OPNOTSUPP) => return Ok(found),
            Err(error) => return Err(error).context("cannot list its xattrs"),
        }
    };
    for name in list[..length].split(|b| *b == 0).filter(|n| is_imported(n)) {
        // The kernel's limit for one value.
        let mut value = vec![0; 65536];
        match rustix::fs::fgetxattr(&fd, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error).context("cannot read its xattrs"),
        }
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}
