//! Which document of an image an annotation is written into, by the front of its name, as buildx has it:
//! `index:key`, `manifest[linux/arm64]:key`.

use super::platform::Platform;

/// Where an annotation belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationLevel {
    Manifest,
    /// The index's description of a manifest: `manifest-descriptor`.
    Descriptor,
    Index,
}

/// An annotation's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationPlace<'a> {
    pub level: AnnotationLevel,
    /// Of the image of this platform alone.
    pub platform: Option<Platform>,
    pub name: &'a str,
}

impl<'a> AnnotationPlace<'a> {
    /// A front that is no level belongs to the name, as in `com.example:key`.
    pub fn of(key: &'a str) -> AnnotationPlace<'a> {
        let whole = AnnotationPlace {
            level: AnnotationLevel::Manifest,
            platform: None,
            name: key,
        };
        let Some((front, name)) = key.split_once(':') else {
            return whole;
        };
        let (level, platform) = match front.strip_suffix(']').and_then(|f| f.split_once('[')) {
            Some((level, platform)) => match platform.parse() {
                Ok(platform) => (level, Some(platform)),
                Err(_) => return whole,
            },
            None => (front, None),
        };
        let level = match (level, &platform) {
            ("manifest", _) => AnnotationLevel::Manifest,
            ("manifest-descriptor", _) => AnnotationLevel::Descriptor,
            ("index", None) => AnnotationLevel::Index,
            _ => return whole,
        };
        AnnotationPlace {
            level,
            platform,
            name,
        }
    }

    /// Whether a front looks like a level with a platform and is none, which nobody writes on purpose.
    pub fn is_mistaken(key: &str) -> bool {
        let front = key.split_once(':').map(|(front, _)| front);
        front.is_some_and(|front| front.ends_with(']') && AnnotationPlace::of(key).name == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_names_document_and_platform() {
        let arm = "linux/arm64".parse().ok();
        for (key, level, platform, name) in [
            ("a.b", AnnotationLevel::Manifest, None, "a.b"),
            ("a:b", AnnotationLevel::Manifest, None, "a:b"),
            ("manifest:a:b", AnnotationLevel::Manifest, None, "a:b"),
            (
                "manifest[linux/arm64]:a",
                AnnotationLevel::Manifest,
                arm.clone(),
                "a",
            ),
            (
                "manifest-descriptor[linux/arm64]:a",
                AnnotationLevel::Descriptor,
                arm,
                "a",
            ),
            (
                "manifest-descriptor:a",
                AnnotationLevel::Descriptor,
                None,
                "a",
            ),
            ("index:a", AnnotationLevel::Index, None, "a"),
        ] {
            let expected = AnnotationPlace {
                level,
                platform,
                name,
            };
            assert_eq!(AnnotationPlace::of(key), expected, "{key}");
            assert!(!AnnotationPlace::is_mistaken(key));
        }
        for key in [
            "index[linux/arm64]:a",
            "manifest[]:a",
            "manifst[linux/arm64]:a",
        ] {
            assert!(AnnotationPlace::is_mistaken(key), "{key}");
        }
    }
}
