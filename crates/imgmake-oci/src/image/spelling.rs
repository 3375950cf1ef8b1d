//! Keys of an image's documents as other programs read them: those in Go take a key in any case for the one that
//! is meant, and of a repeated one the last. What they would read otherwise than we do is refused, since an image
//! would have other layers there than here.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Of a manifest, an index and a config.
const DOCUMENT: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "rootfs",
    "history",
    "created",
];
/// Of a descriptor and its platform, of `rootfs`, and of the settings of a container.
const PART: &[&str] = &[
    "mediaType",
    "artifactType",
    "digest",
    "size",
    "urls",
    "data",
    "annotations",
    "platform",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "type",
    "diff_ids",
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Healthcheck",
    "Volumes",
    "WorkingDir",
    "OnBuild",
    "Labels",
    "StopSignal",
    "Shell",
];
/// Where a document has parts.
const PARTS: [&str; 5] = ["config", "layers", "manifests", "subject", "rootfs"];

/// That no key of a document, or of its parts, is another one in another case.
pub fn check(document: &Value) -> Result<(), serde_json::Error> {
    let Value::Object(fields) = document else {
        return Ok(());
    };
    check_keys(fields, DOCUMENT)?;
    for part in PARTS.iter().filter_map(|name| fields.get(*name)) {
        match part {
            Value::Array(parts) => parts.iter().try_for_each(check_part)?,
            part => check_part(part)?,
        }
    }
    Ok(())
}

fn check_part(part: &Value) -> Result<(), serde_json::Error> {
    let Value::Object(fields) = part else {
        return Ok(());
    };
    check_keys(fields, PART)?;
    match fields.get("platform") {
        Some(Value::Object(platform)) => check_keys(platform, PART),
        _ => Ok(()),
    }
}

/// That no key is one of those that are known in another case.
///
/// # Errors
/// One is.
pub fn check_keys(fields: &Map<String, Value>, known: &[&str]) -> Result<(), serde_json::Error> {
    for key in fields.keys().filter(|key| !known.contains(&key.as_str())) {
        let folded = fold(key);
        if let Some(meant) = known.iter().find(|known| fold(known) == folded) {
            let text = format!("the key `{}` is written `{meant}`", key.escape_debug());
            return Err(serde_json::Error::custom(text));
        }
    }
    Ok(())
}

/// As `encoding/json` folds: by Unicode's simple folding, in which two letters beyond ASCII are of ASCII's.
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            'ſ' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}

/// JSON in which no object has a key twice.
pub struct Unrepeated(pub Value);

impl<'de> Deserialize<'de> for Unrepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unrepeated, D::Error> {
        deserializer.deserialize_any(Reader).map(Unrepeated)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        while let Some(Unrepeated(value)) = list.next_element()? {
            found.push(value);
        }
        Ok(Value::Array(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some((key, Unrepeated(value))) = fields.next_entry::<String, Unrepeated>()? {
            if found.contains_key(&key) {
                let text = format!("duplicate key `{}`", key.escape_debug());
                return Err(A::Error::custom(text));
            }
            found.insert(key, value);
        }
        Ok(Value::Object(found))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ImageConfig, ImageManifest, ManifestOrIndex, from_json};

    const CONFIG: &str = r#""config":{"mediaType":"m","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":1}"#;

    #[test]
    fn a_key_that_other_programs_take_for_another_is_refused() {
        let why = |text: &str| {
            ManifestOrIndex::parse(text.as_bytes(), None)
                .unwrap_err()
                .to_string()
        };
        for (layers, said) in [
            (
                r#","layers":[],"Layers":[]"#,
                "the key `Layers` is written `layers`",
            ),
            (r#","LAYERS":[]"#, "the key `LAYERS` is written `layers`"),
            (",\"layer\u{17f}\":[]", "is written `layers`"),
            (r#","layers":[],"layers":[]"#, "duplicate key `layers`"),
            (
                r#","layers":[{"Digest":"x"}]"#,
                "the key `Digest` is written `digest`",
            ),
        ] {
            let text = format!(r#"{{"schemaVersion":2,{CONFIG}{layers}}}"#);
            assert!(why(&text).contains(said), "{text}: {}", why(&text));
        }
        let index = r#"{"schemaVersion":2,"manifests":[{"platform":{"OS":"linux"}}]}"#;
        assert!(
            why(index).contains("the key `OS` is written `os`"),
            "{}",
            why(index)
        );
        let config = r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]},"config":{"user":"1"}}"#;
        let error = from_json::<ImageConfig>(config.as_bytes()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the key `user` is written `User`"),
            "{error}"
        );
    }

    #[test]
    fn names_that_people_chose_may_differ_in_case_alone() {
        let text = format!(
            r#"{{"schemaVersion":2,{CONFIG},"layers":[],"annotations":{{"a":"1","A":"2","Layers":"3"}}}}"#
        );
        let manifest: ImageManifest = from_json(text.as_bytes()).unwrap();
        assert_eq!(manifest.annotations.len(), 3);
        let config = r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]},"container_config":{"user":"1"},"config":{"Labels":{"user":"1","User":"2"}}}"#;
        let config: ImageConfig = from_json(config.as_bytes()).unwrap();
        assert_eq!(config.config.labels.len(), 2);
    }
}
