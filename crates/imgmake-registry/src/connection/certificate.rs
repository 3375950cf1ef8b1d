//! What a certificate says of itself: who it is for, who signed it, how long it holds (RFC 5280 §4.1).
//!
//! Reads DER; verifies nothing.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Characters of a name that are worth printing.
const NAME_LENGTH: usize = 100;

const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// UTF-8, printable, T.61, IA5.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];
/// Common name, organization.
const NAMES: [&[u8]; 2] = [&[0x55, 4, 3], &[0x55, 4, 10]];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub subject: String,
    pub issuer: String,
    /// Its issuer is its subject.
    pub is_self_signed: bool,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Summary {
    pub(super) fn of(der: &[u8]) -> Option<Summary> {
        let mut certificate = Der(Der(der).take(SEQUENCE)?);
        let mut fields = Der(certificate.take(SEQUENCE)?);
        // Version 1 has no version.
        if fields.0.first() == Some(&VERSION) {
            fields.take(VERSION)?;
        }
        fields.take(INTEGER)?;
        fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?;
        let mut validity = Der(fields.take(SEQUENCE)?);
        let subject = fields.take(SEQUENCE)?;
        Some(Summary {
            subject: name(subject),
            issuer: name(issuer),
            is_self_signed: subject == issuer,
            not_before: validity.time()?,
            not_after: validity.time()?,
        })
    }
}

/// The rest of an encoding, read value by value.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..0x80 => (usize::from(*first), rest),
            _ => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                // Certificates are shorter than 4 GiB.
                if bytes.len() > 4 {
                    return None;
                }
                let length = bytes.iter().fold(0, |sum, b| sum << 8 | usize::from(*b));
                (length, rest)
            }
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, value))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, value)| value)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let (tag, value) = self.next()?;
        let text = std::str::from_utf8(value).ok()?;
        let text = match tag {
            // RFC 5280 §4.1.2.5.1: two digits from 50 on are of the last century.
            UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
            UTC_TIME => format!("20{text}"),
            GENERALIZED_TIME => text.to_string(),
            _ => return None,
        };
        let time = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

/// The common name, else the organization, printable.
fn name(encoded: &[u8]) -> String {
    let mut found: [Option<String>; 2] = [None, None];
    let mut sets = Der(encoded);
    while let Some(set) = sets.take(SET) {
        let mut attribute = Der(set);
        let Some(pair) = attribute.take(SEQUENCE) else {
            continue;
        };
        let mut pair = Der(pair);
        let at = pair
            .take(OID)
            .and_then(|oid| NAMES.iter().position(|n| *n == oid));
        if let (Some(at), Some((tag, value))) = (at, pair.next())
            && STRINGS.contains(&tag)
        {
            let text = String::from_utf8_lossy(value);
            let text = text.chars().filter(|c| !c.is_control());
            found[at] = Some(text.take(NAME_LENGTH).collect());
        }
    }
    found.into_iter().flatten().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_whom_it_is_for_who_signed_it_and_how_long_it_holds() {
        let pem = include_bytes!("../../tests/data/keys/self-signed.crt");
        let certificate = ureq::tls::Certificate::from_pem(pem).unwrap();
        let summary = Summary::of(certificate.der()).unwrap();
        assert_eq!(summary.subject, "registry.example");
        assert!(summary.is_self_signed && summary.issuer == summary.subject);
        let years = summary.not_after.as_second() - summary.not_before.as_second();
        assert_eq!(years / 86_400, 36_500);
    }

    #[test]
    fn years_of_two_digits_are_of_two_centuries() {
        let year = |digits: &str| {
            let text = format!("{digits}0102030405Z");
            let encoded = [&[UTC_TIME, 13], text.as_bytes()].concat();
            Der(&encoded).time().unwrap().to_string()
        };
        assert_eq!(year("49"), "2049-01-02T03:04:05Z");
        assert_eq!(year("50"), "1950-01-02T03:04:05Z");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(0_u8.., 0..80), at in 0_usize..700, byte in 0_u8..) {
            drop(Summary::of(&bytes));
            let pem = include_bytes!("../../tests/data/keys/self-signed.crt");
            let mut der = ureq::tls::Certificate::from_pem(pem).unwrap().der().to_vec();
            let at = at % der.len();
            der[at] = byte;
            drop(Summary::of(&der[..]));
            drop(Summary::of(&der[..at]));
        }
    }
}
