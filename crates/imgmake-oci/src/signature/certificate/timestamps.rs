//! Signed certificate timestamps: by them a log of certificates says, inside of a certificate, that it has it
//! (RFC 6962, 3.2 and 3.3).

use jiff::Timestamp;
use ring::digest::{SHA256, digest};

use super::super::der;
use super::parts::{Parts, oid};
use super::trust::Log;

/// Whether one of the logs says so. `issuer` is the key of whoever issued the certificate.
pub fn is_logged(certificate: &Parts<'_>, issuer: &[u8], logs: &[Log]) -> bool {
    let list = certificate.extension(oid::TIMESTAMPS);
    let list = list.and_then(|bytes| der::value(bytes, der::OCTETS));
    let Some((mut list, _)) = list.and_then(|(list, _)| sized(list)) else {
        return false;
    };
    let before = certificate.without(oid::TIMESTAMPS);
    let issuer = digest(&SHA256, issuer);
    while let Some((one, rest)) = sized(list) {
        if says(one, &before, issuer.as_ref(), logs).unwrap_or(false) {
            return true;
        }
        list = rest;
    }
    false
}

/// What its length in two bytes says, and what follows.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn says(stamp: &[u8], before: &[u8], issuer: &[u8], logs: &[Log]) -> Option<bool> {
    let (version, rest) = stamp.split_first()?;
    let (id, rest) = rest.split_at_checked(32)?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (extensions, rest) = sized(rest)?;
    // Hash and signature algorithms: those of the key.
    let (signature, _) = sized(rest.get(2..)?)?;
    let log = logs.iter().find(|log| log.id == id)?;
    let milliseconds = i64::try_from(u64::from_be_bytes(*time)).ok()?;
    let is_valid = log
        .valid
        .has(Timestamp::from_millisecond(milliseconds).ok()?);
    let length = u32::try_from(before.len()).ok()?.to_be_bytes();
    let size = u16::try_from(extensions.len()).ok()?.to_be_bytes();
    let signed = [
        &[*version, 0][..],
        time,
        // A certificate without this extension, of an issuer with this key.
        &[0, 1],
        issuer,
        &length[1..],
        before,
        &size,
        extensions,
    ];
    Some(*version == 0 && is_valid && log.key.verifies(&signed.concat(), signature))
}
