//! Image names, `[registry/]repository[:tag][@digest]`, by the grammar of
//! distribution's `reference` package, with Docker Hub's defaults filled in.

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// The name under which Docker Hub's images are known.
pub const DOCKER_HUB: &str = "docker.io";

/// A parsed name. `registry` is `host[:port]`, `repository` has no tag.
/// `alpine` is `docker.io/library/alpine`, without a tag.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// What a tag may be, for messages.
pub const TAG_RULE: &str =
    "a tag has up to 128 letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("invalid image name `{text}`: {reason}")]
    Name { text: String, reason: String },
    #[error("invalid tag `{tag}` in `{text}`: {TAG_RULE}")]
    Tag { text: String, tag: String },
}

impl Reference {
    /// The tag that is meant: the written one, or `latest` when there is no digest.
    pub fn tag_or_latest(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag),
            (None, None) => Some("latest"),
            (None, Some(_)) => None,
        }
    }

    /// What stands after `/manifests/`: the digest if there is one, else the tag.
    pub fn target(&self) -> &str {
        match &self.digest {
            Some(digest) => digest.as_str(),
            None => self.tag.as_deref().unwrap_or("latest"),
        }
    }

    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    pub fn with_tag(&self, tag: &str) -> Reference {
        Reference {
            tag: Some(tag.to_string()),
            digest: None,
            ..self.clone()
        }
    }

    pub fn with_digest(&self, digest: &Digest) -> Reference {
        Reference {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }

    /// As people write it: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(hub) = full.strip_prefix("docker.io/") else {
            return full;
        };
        // `docker.io/library/a/b` is not `a/b`, and `docker.io/a.b/c` is not on a host `a.b`.
        let shorter = [hub.strip_prefix("library/"), Some(hub)]
            .into_iter()
            .flatten();
        let mut same = shorter.filter(|text| text.parse().ok().as_ref() == Some(self));
        same.next().unwrap_or(&full).to_string()
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        let shortened = || text.chars().take(300).collect();
        let refused = |reason: &str| ReferenceError::Name {
            text: shortened(),
            reason: reason.to_string(),
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest: Digest = digest
                    .parse()
                    .map_err(|e: super::DigestError| refused(&e.to_string()))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rfind(':') {
            // A colon before the last slash belongs to a port, one in brackets to IPv6.
            Some(at) if !rest[at..].contains('/') && !rest[at..].contains(']') => {
                (&rest[..at], Some(&rest[at + 1..]))
            }
            _ => (rest, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(ReferenceError::Tag {
                text: shortened(),
                tag: tag.chars().take(150).collect(),
            });
        }
        if name.is_empty() {
            return Err(refused("it is empty"));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path))
                if first.contains(['.', ':'])
                    || first == "localhost"
                    || first.bytes().any(|b| b.is_ascii_uppercase()) =>
            {
                (first, path)
            }
            _ => (DOCKER_HUB, name),
        };
        // `app:feature/x`: a branch's name where a tag is expected.
        let port = registry.rsplit_once(':').map(|(_, port)| port);
        let slashed = match path.split_once(':') {
            Some((_, tag)) => Some(tag.to_string()),
            None => port
                .filter(|port| {
                    !registry.contains('.') && port.contains(|c: char| !c.is_ascii_digit())
                })
                .filter(|_| !registry.ends_with(']'))
                .map(|port| format!("{port}/{path}")),
        };
        if let Some(tag) = slashed.filter(|_| tag.is_none()) {
            return Err(ReferenceError::Tag {
                text: shortened(),
                tag: tag.chars().take(150).collect(),
            });
        }
        if !is_host(registry) {
            return Err(refused("the registry is not `host` or `host:port`"));
        }
        let registry = if matches!(registry, "index.docker.io" | "registry-1.docker.io") {
            DOCKER_HUB
        } else {
            registry
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(refused("repository names are lower-case"));
        }
        if !path.split('/').all(is_path_component) {
            return Err(refused(
                "a repository name has lower-case letters and digits, single `.` or `-` or `_` between them, and `/`",
            ));
        }
        let repository = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_string()
        };
        if repository.len() > 255 {
            return Err(refused("a repository name has at most 255 characters"));
        }
        Ok(Reference {
            registry: registry.to_string(),
            repository,
            tag: tag.map(str::to_string),
            digest,
        })
    }
}

/// The distribution specification: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
                ("v6", rest.strip_prefix(':'))
            }
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(label) && port.is_none_or(|p| !p.is_empty() && p.parse::<u16>().is_ok())
}

/// `[a-z0-9]+ ( ( [.] | _ | __ | -+ ) [a-z0-9]+ )*`
fn is_path_component(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = part.as_bytes();
    loop {
        let word = rest.iter().take_while(|b| plain(**b)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let gap = rest.iter().take_while(|b| !plain(**b)).count();
        let separator = &rest[..gap];
        if !(separator == b"."
            || separator == b"_"
            || separator == b"__"
            || separator.iter().all(|b| *b == b'-'))
        {
            return false;
        }
        rest = &rest[gap..];
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Reference, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_docker_hubs() {
        for (text, full) in [
            ("alpine", "docker.io/library/alpine"),
            ("acme/app:1", "docker.io/acme/app:1"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/a/b:tag", "localhost:5000/a/b:tag"),
            ("[::1]:5000/x", "[::1]:5000/x"),
            ("index.docker.io/library/alpine", "docker.io/library/alpine"),
            ("ghcr.io/a__b/c-d.e", "ghcr.io/a__b/c-d.e"),
        ] {
            let parsed: Reference = text.parse().unwrap();
            assert_eq!(parsed.to_string(), full);
            assert_eq!(full.parse::<Reference>().unwrap(), parsed);
        }
    }

    #[test]
    fn a_tag_and_a_digest_may_stand_together_and_the_digest_counts() {
        let digest = Digest::of(b"x");
        let parsed: Reference = format!("a/b:1@{digest}").parse().unwrap();
        assert_eq!(
            (parsed.tag.as_deref(), parsed.target()),
            (Some("1"), digest.as_str())
        );
    }

    #[test]
    fn a_tag_with_a_slash_is_called_a_tag() {
        for text in ["h.io/e:feature/x", "h:5000/a/b:feature/x", "app:feature/x"] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.starts_with("invalid tag `feature/x` in "), "{error}");
        }
        for text in ["h.io:port/e", "[::1/e"] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains("the registry is not"), "{error}");
        }
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for text in [
            "",
            ":",
            "a/B",
            "a//b",
            "a/b:",
            "a/-b",
            "a/b_",
            "a/b:.x",
            "a/../b",
            "host:99999/x",
            "a b",
            "-h.io/x",
            "a/b@sha256:12",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
