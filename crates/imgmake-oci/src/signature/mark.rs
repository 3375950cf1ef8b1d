//! Marks: by them the reader of a list of referrers knows the statements of its own keys without fetching any of
//! them. Strangers may put as many others into the list as they want to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{PublicKey, SigningKey};
use crate::image::{Descriptor, Digest};

/// The annotation of a statement's manifest, which lists of referrers repeat.
pub const MARK: &str = "dev.imgmake.statement";

/// What a key says of one bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Nanoseconds since 1970: a greater one replaces what it contradicts.
    pub time: u64,
    pub bundle: Digest,
    /// Of the bundle.
    pub size: u64,
}

impl Mark {
    pub fn new(bundle: &Descriptor, time: u64) -> Mark {
        Mark {
            time,
            bundle: bundle.digest.clone(),
            size: bundle.size,
        }
    }

    /// The value of the annotation.
    pub fn seal(&self, about: &Digest, predicate_type: &str, key: &SigningKey) -> String {
        let signature = STANDARD.encode(key.sign(&self.signed(about, predicate_type)));
        format!("{} {} {} {signature}", self.time, self.bundle, self.size)
    }

    /// `None` if it is no mark that one of the keys made of a statement of this type about this image.
    pub fn open(
        text: &str,
        about: &Digest,
        predicate_type: &str,
        keys: &[&PublicKey],
    ) -> Option<Mark> {
        let words: Vec<&str> = text.split(' ').collect();
        let [time, bundle, size, signature] = words[..] else {
            return None;
        };
        let mark = Mark {
            time: time.parse().ok()?,
            bundle: bundle.parse().ok()?,
            size: size.parse().ok()?,
        };
        let signature = STANDARD.decode(signature).ok()?;
        let signed = mark.signed(about, predicate_type);
        let is_good = keys.iter().any(|key| key.verifies(&signed, &signature));
        is_good.then_some(mark)
    }

    /// Begins as nothing else does that these keys sign: a payload is JSON, an envelope begins with `DSSEv1`.
    fn signed(&self, about: &Digest, predicate_type: &str) -> Vec<u8> {
        let Mark { time, bundle, size } = self;
        format!("{MARK} v1\n{about}\n{predicate_type}\n{time}\n{bundle}\n{size}\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_of_one_key_one_image_and_one_type() {
        let pem = include_bytes!("../../tests/data/keys/plain.key");
        let key = SigningKey::from_pem(pem, None).unwrap();
        let public = key.public();
        let about = Digest::of(b"image");
        let mark = Mark::new(&Descriptor::of("x", b"bundle"), 17);
        let text = mark.seal(&about, "type", &key);
        let open = |text: &str, about: &Digest, kind: &str, keys: &[&PublicKey]| {
            Mark::open(text, about, kind, keys)
        };
        assert_eq!(open(&text, &about, "type", &[&public]), Some(mark));
        assert_eq!(open(&text, &about, "type", &[]), None);
        assert_eq!(open(&text, &Digest::of(b"other"), "type", &[&public]), None);
        assert_eq!(open(&text, &about, "other", &[&public]), None);
        for (from, to) in [("17 ", "18 "), (" 6 ", " 7 "), (" ", "  "), ("sha256:", "")] {
            let changed = text.replacen(from, to, 1);
            assert_eq!(open(&changed, &about, "type", &[&public]), None, "{from}");
        }
    }
}
