//! DER, as far as keys and extensions of certificates need it.

/// The content of a value of this kind, and what follows it.
pub fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(der)?;
    (found == tag).then_some((content, rest))
}

/// The tag and the content of the first value, and what follows it.
pub fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A value with this content.
pub fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let bytes = content.len().to_be_bytes();
    let length = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(u8::try_from(short).unwrap_or_default()),
        _ => {
            out.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            out.extend(length);
        }
    }
    out.extend(content);
    out
}

pub const SEQUENCE: u8 = 0x30;
pub const OBJECT: u8 = 0x06;
pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const BITS: u8 = 0x03;
pub const UTF8: u8 = 0x0c;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let encoded = encode(OCTETS, &content);
            assert_eq!(value(&encoded, OCTETS), Some((&content[..], &[][..])));
        }
        for bad in [
            &[][..],
            &[4],
            &[4, 2, 1],
            &[4, 0x84, 0, 0, 0, 0],
            &[4, 0x80],
            &[4, 0x82, 1],
        ] {
            assert_eq!(value(bad, OCTETS), None, "{bad:?}");
        }
    }
}
