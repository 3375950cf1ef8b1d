//! The 512-byte block before every entry: POSIX ustar, read also in its v7, GNU
//! and star dialects. Knows fields and numbers, not what entries mean.

use crate::error::{OciError, Result};

pub(super) const BLOCK: usize = 512;

/// Bytes that fill the last block of content.
pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// A block whose checksum was right.
pub(super) struct Header(pub [u8; BLOCK]);

impl Header {
    /// `None` when the sum does not match: this is no header.
    pub fn parse(block: [u8; BLOCK]) -> Option<Header> {
        let header = Header(block);
        let expected = octal(header.field(148, 8)).ok()?;
        let (unsigned, signed) = header.sums();
        // Old tars summed signed bytes.
        (expected == unsigned || i64::try_from(expected) == Ok(signed)).then_some(header)
    }

    pub fn field(&self, at: usize, length: usize) -> &[u8] {
        &self.0[at..at + length]
    }

    pub fn typeflag(&self) -> u8 {
        self.0[156]
    }

    pub fn dialect(&self) -> Dialect {
        match self.field(257, 8) {
            [b'u', b's', b't', b'a', b'r', 0, ..] if self.field(508, 4) == b"tar\0" => {
                Dialect::Star
            }
            [b'u', b's', b't', b'a', b'r', 0, ..] => Dialect::Ustar,
            b"ustar  \0" => Dialect::Gnu,
            _ => Dialect::V7,
        }
    }

    pub fn name(&self) -> Vec<u8> {
        let name = text(self.field(0, 100));
        let prefix = match self.dialect() {
            Dialect::Ustar => text(self.field(345, 155)),
            Dialect::Star => text(self.field(345, 131)),
            Dialect::V7 | Dialect::Gnu => &[],
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    pub fn link(&self) -> &[u8] {
        text(self.field(157, 100))
    }

    pub fn mode(&self) -> Result<u32> {
        Ok((unsigned("mode", self.field(100, 8))? & 0o7777) as u32)
    }

    pub fn uid(&self) -> Result<u64> {
        unsigned("owner", self.field(108, 8))
    }

    pub fn gid(&self) -> Result<u64> {
        unsigned("group", self.field(116, 8))
    }

    pub fn size(&self) -> Result<u64> {
        unsigned("size", self.field(124, 12))
    }

    pub fn mtime(&self) -> Result<i64> {
        number("modification time", self.field(136, 12))
    }

    /// Major and minor.
    pub fn device(&self) -> Result<(u32, u32)> {
        let part = |at| -> Result<u32> {
            let value = unsigned("device number", self.field(at, 8))?;
            u32::try_from(value).map_err(|_| {
                OciError::invalid("device number", format!("{value} is beyond 32 bits"))
            })
        };
        match self.dialect() {
            Dialect::V7 => Ok((0, 0)),
            _ => Ok((part(329)?, part(337)?)),
        }
    }

    fn sums(&self) -> (u64, i64) {
        let (mut unsigned, mut signed) = (0_u64, 0_i64);
        for (at, byte) in self.0.iter().enumerate() {
            let byte = if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            };
            unsigned += u64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        (unsigned, signed)
    }
}

/// Builds a ustar header; what does not fit is the caller's to put into PAX records.
pub(super) struct HeaderBuilder([u8; BLOCK]);

impl HeaderBuilder {
    pub fn new(typeflag: u8) -> HeaderBuilder {
        let mut block = [0; BLOCK];
        block[156] = typeflag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        HeaderBuilder(block)
    }

    pub fn bytes(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Octal digits and a NUL in a field of `length`; `false` (and zeros) if it takes more.
    pub fn octal(&mut self, at: usize, length: usize, value: u64) -> bool {
        let fits = value >> (3 * (length - 1)) == 0;
        let mut rest = if fits { value } else { 0 };
        for digit in self.0[at..at + length - 1].iter_mut().rev() {
            *digit = b'0' + (rest & 7) as u8;
            rest >>= 3;
        }
        fits
    }

    pub fn finish(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u64 = self.0.iter().map(|b| u64::from(*b)).sum();
        // Six digits, NUL, space: the form that every tar writes.
        self.octal(148, 7, sum);
        self.0[154] = 0;
        let digits = format!("{sum:06o}");
        self.0[148..154].copy_from_slice(digits.as_bytes());
        self.0[155] = b' ';
        self.0
    }
}

/// Up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    &field[..end]
}

pub(super) fn unsigned(what: &str, field: &[u8]) -> Result<u64> {
    if field[0] & 0x80 == 0 {
        return octal(field).map_err(|()| malformed(what, field));
    }
    let value = number(what, field)?;
    u64::try_from(value).map_err(|_| OciError::invalid(what, format!("{value} is negative")))
}

/// Octal, or GNU's base 256 (first bit set, two's complement).
pub(super) fn number(what: &str, field: &[u8]) -> Result<i64> {
    if field[0] & 0x80 == 0 {
        let value = octal(field).map_err(|()| malformed(what, field))?;
        return i64::try_from(value).map_err(|_| malformed(what, field));
    }
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (at, byte) in field.iter().enumerate() {
        let byte = match (at, negative) {
            (0, false) => byte & 0x7f,
            _ => *byte,
        };
        value = (value << 8) | i128::from(byte);
    }
    i64::try_from(value).map_err(|_| OciError::invalid(what, "it is beyond 64 bits"))
}

fn octal(field: &[u8]) -> Result<u64, ()> {
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let start = field.iter().position(|b| !blank(b)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let mut value = 0_u64;
    for digit in &digits[..end] {
        if !(b'0'..=b'7').contains(digit) || value >> 61 != 0 {
            return Err(());
        }
        value = value << 3 | u64::from(digit - b'0');
    }
    Ok(value)
}

fn malformed(what: &str, field: &[u8]) -> OciError {
    OciError::invalid(
        what,
        format!("expected a number, not `{}`", field.escape_ascii()),
    )
}
