//! What of a certificate the verification of its chain does not read: a few extensions, found by walking its DER. The
//! chain was verified before, so that somebody who is trusted wrote them.

use super::super::der::{BITS, BOOLEAN, OBJECT, OCTETS, SEQUENCE, any, encode, value};

/// `[3]` of a `TBSCertificate`.
const EXTENSIONS: u8 = 0xa3;
/// `rfc822Name` and `uniformResourceIdentifier` of a `GeneralName`.
const NAMES: [u8; 2] = [0x81, 0x86];

/// The parts of a certificate (RFC 5280, 4.1).
pub struct Parts<'a> {
    /// The values before the extensions, each as it is encoded.
    before: Vec<&'a [u8]>,
    /// Each as it is encoded.
    pub(super) extensions: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    pub fn of(certificate: &'a [u8]) -> Option<Parts<'a>> {
        let (content, _) = value(certificate, SEQUENCE)?;
        let (mut rest, _) = value(content, SEQUENCE)?;
        let mut before = Vec::new();
        while !rest.is_empty() {
            let (tag, content, next) = any(rest)?;
            if tag == EXTENSIONS {
                let (mut list, _) = value(content, SEQUENCE)?;
                let mut extensions = Vec::new();
                while !list.is_empty() {
                    let (_, _, next) = any(list)?;
                    extensions.push(&list[..list.len() - next.len()]);
                    list = next;
                }
                return Some(Parts { before, extensions });
            }
            before.push(&rest[..rest.len() - next.len()]);
            rest = next;
        }
        let extensions = Vec::new();
        Some(Parts { before, extensions })
    }

    /// What the extension of this name holds.
    pub fn extension(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.extensions.iter().find_map(|one| {
            let (found, content) = named(one)?;
            (found == name).then_some(content)
        })
    }

    /// The `TBSCertificate` as it was before an extension was added.
    pub fn without(&self, name: &[u8]) -> Vec<u8> {
        let others = self.extensions.iter();
        let others = others.filter(|one| named(one).is_none_or(|(found, _)| found != name));
        let list: Vec<u8> = others.copied().flatten().copied().collect();
        let list = encode(EXTENSIONS, &encode(SEQUENCE, &list));
        let before = self.before.iter().copied().flatten().copied();
        let content: Vec<u8> = before.chain(list).collect();
        encode(SEQUENCE, &content)
    }

    /// Whether it says that its key makes signatures, of code or documents.
    pub fn signs_documents(&self) -> bool {
        let bits = self.extension(oid::KEY_USAGE);
        let bits = bits.and_then(|bits| value(bits, BITS));
        // `digitalSignature` is the first bit, after the number of unused ones.
        let is_first_set = bits.is_some_and(|(bits, _)| bits.get(1).is_some_and(|b| b & 0x80 != 0));
        let purposes = self.extension(oid::PURPOSES);
        let purposes = purposes.and_then(|list| value(list, SEQUENCE));
        let mut purposes = purposes.map_or(&[][..], |(list, _)| list);
        while let Some((name, rest)) = value(purposes, OBJECT) {
            if name == oid::CODE_SIGNING {
                return is_first_set;
            }
            purposes = rest;
        }
        false
    }

    /// Its addresses and URIs.
    pub fn names(&self) -> Vec<String> {
        let mut found = Vec::new();
        let list = self.extension(oid::ALTERNATIVE_NAMES);
        let mut list = list
            .and_then(|list| value(list, SEQUENCE))
            .map_or(&[][..], |(list, _)| list);
        while let Some((tag, content, rest)) = any(list) {
            if NAMES.contains(&tag)
                && let Ok(name) = std::str::from_utf8(content)
            {
                found.push(name.to_string());
            }
            list = rest;
        }
        found
    }
}

/// The name of an extension and what it holds.
fn named(extension: &[u8]) -> Option<(&[u8], &[u8])> {
    let (content, _) = value(extension, SEQUENCE)?;
    let (name, rest) = value(content, OBJECT)?;
    let rest = value(rest, BOOLEAN).map_or(rest, |(_, rest)| rest);
    Some((name, value(rest, OCTETS)?.0))
}

/// Object identifiers, as DER has them.
pub mod oid {
    pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    pub const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
    pub const PURPOSES: &[u8] = &[0x55, 0x1d, 0x25];
    /// 1.3.6.1.5.5.7.3.3
    pub const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
    /// 1.3.6.1.4.1.57264.1.1, where the text stands without a tag.
    pub const ISSUER: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x01];
    /// 1.3.6.1.4.1.57264.1.8
    pub const ISSUER_V2: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x08];
    /// 1.3.6.1.4.1.11129.2.4.2 (RFC 6962, 3.3).
    pub const TIMESTAMPS: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];
}
