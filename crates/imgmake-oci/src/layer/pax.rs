//! PAX extended headers (POSIX pax, "pax Header Block"): `length key=value\n`,
//! where a value is any bytes, newlines and NUL included.

use std::collections::BTreeMap;

use crate::error::{OciError, Result};

use super::entry::Timestamp;

pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

/// The records of one header; a later one of the same key counts.
#[derive(Clone, Default)]
pub(super) struct Records {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// GNU sparse 0.0 repeats its keys; the order is the map.
    pub sparse_pairs: Vec<(u64, u64)>,
}

impl Records {
    pub fn parse(mut bytes: &[u8]) -> Result<Records> {
        let mut records = Records::default();
        let mut offset = None;
        while !bytes.is_empty() {
            let (key, value, rest) = split_record(bytes)?;
            bytes = rest;
            match key {
                b"GNU.sparse.offset" => offset = Some(decimal(key, value)?),
                b"GNU.sparse.numbytes" => {
                    let offset = offset
                        .take()
                        .ok_or_else(|| OciError::invalid("sparse map", "a length has no offset"))?;
                    records.sparse_pairs.push((offset, decimal(key, value)?));
                }
                _ => {
                    records.values.insert(key.to_vec(), value.to_vec());
                }
            }
        }
        Ok(records)
    }

    /// These records, over global ones.
    pub fn over(self, global: &Records) -> Records {
        if global.values.is_empty() {
            return self;
        }
        let mut values = global.values.clone();
        values.extend(self.values);
        Records {
            values,
            sparse_pairs: self.sparse_pairs,
        }
    }

    /// The value; `None` also for an empty one, which takes a record back.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        let value = self.values.get(key.as_bytes())?;
        (!value.is_empty()).then_some(value)
    }

    pub fn text(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self.get(key) {
            Some(value) if value.contains(&0) => Err(OciError::invalid(
                format!("PAX record `{key}`"),
                "it contains a NUL byte",
            )),
            value => Ok(value.map(<[u8]>::to_vec)),
        }
    }

    pub fn number(&self, key: &str) -> Result<Option<u64>> {
        self.get(key)
            .map(|value| decimal(key.as_bytes(), value))
            .transpose()
    }

    pub fn time(&self, key: &str) -> Result<Option<Timestamp>> {
        self.get(key)
            .map(|value| {
                parse_time(value).ok_or_else(|| {
                    let why = format!("expected a time, not `{}`", value.escape_ascii());
                    OciError::invalid(format!("PAX record `{key}`"), why)
                })
            })
            .transpose()
    }

    pub fn xattrs(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.values
            .range(XATTR.to_vec()..)
            .map_while(|(key, value)| Some((key.strip_prefix(XATTR)?.to_vec(), value.clone())))
            .collect()
    }

    /// Bytes of keys and values.
    pub fn size(&self) -> u64 {
        let values = self.values.iter();
        values.map(|(k, v)| (k.len() + v.len()) as u64).sum()
    }

    /// Keys that make no sense for more than one entry.
    pub fn names_one_entry(&self) -> Option<&[u8]> {
        self.values.keys().map(Vec::as_slice).find(|key| {
            matches!(*key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.")
        })
    }
}

/// `length key=value\n`, counting itself.
pub(super) fn push_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The space, `=` and newline.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + decimal_digits(rest);
    if decimal_digits(length) > decimal_digits(rest) {
        length = rest + decimal_digits(length);
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Seconds with as many decimals as it takes.
pub(super) fn format_time(time: Timestamp) -> String {
    let (sign, whole, nanos) = match (time.seconds, time.nanos) {
        (seconds, nanos) if seconds < 0 && nanos > 0 => {
            ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos)
        }
        (seconds, nanos) if seconds < 0 => ("-", seconds.unsigned_abs(), nanos),
        (seconds, nanos) => ("", seconds.unsigned_abs(), nanos),
    };
    let text = format!("{sign}{whole}.{nanos:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn parse_time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let nanos: i128 = format!("{fraction:0<9}")[..9].parse().ok()?;
    let total = whole.parse::<u64>().ok()? as i128 * 1_000_000_000 + nanos;
    let total = if negative { -total } else { total };
    Some(Timestamp {
        seconds: i64::try_from(total.div_euclid(1_000_000_000)).ok()?,
        nanos: total.rem_euclid(1_000_000_000) as u32,
    })
}

type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Key, value, and what follows.
fn split_record(bytes: &[u8]) -> Result<Record<'_>> {
    let malformed = || {
        let start = &bytes[..bytes.len().min(40)];
        OciError::invalid("PAX record", format!("`{}`", start.escape_ascii()))
    };
    let parse = || -> Option<Record<'_>> {
        let space = bytes.iter().take(20).position(|b| *b == b' ')?;
        let length = usize::try_from(parse_decimal(&bytes[..space])?).ok()?;
        let body = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = body.iter().position(|b| *b == b'=')?;
        (equals > 0).then(|| (&body[..equals], &body[equals + 1..], &bytes[length..]))
    };
    parse().ok_or_else(malformed)
}

pub(super) fn decimal(key: &[u8], value: &[u8]) -> Result<u64> {
    parse_decimal(value).ok_or_else(|| {
        let (key, value) = (key.escape_ascii(), value.escape_ascii());
        let why = format!("expected a number of 64 bits, not `{value}`");
        OciError::invalid(format!("PAX record `{key}`"), why)
    })
}

fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn decimal_digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}
