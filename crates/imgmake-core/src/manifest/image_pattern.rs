//! Patterns of image names: `registry.example.com/*`, `docker.io/library/debian:12*`.
//!
//! A pattern is matched part by part, so that no part of a name stands for another: the
//! repository with its registry, then the tag or the digest if the pattern has one.
//! `*` matches within one component, `**` any number of them, as sigstore's
//! policy-controller has it and as globs of files do.

/// A pattern that was found to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePattern {
    name: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImagePattern {
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn parse(text: &str) -> Result<ImagePattern, (&'static str, String)> {
        if text.contains("://") {
            return Err(("a name of an image has no scheme", "remove it".to_string()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_string())),
            None => (text, None),
        };
        let slash = rest.rfind('/').unwrap_or(0);
        let (name, tag) = match rest.rfind(':') {
            Some(at) if at > slash && slash > 0 => (&rest[..at], Some(rest[at + 1..].to_string())),
            _ => (rest, None),
        };
        let known = |c: char| c.is_ascii_alphanumeric() || "._-/:*[]".contains(c);
        if text.is_empty() || !rest.chars().all(known) {
            return Err(("it is not a name with `*` in it", String::new()));
        }
        check_name(name)?;
        if tag.as_deref() == Some("") || digest.as_deref().is_some_and(|d| !is_digest(d)) {
            let help = "write `…:TAG`, or `…@sha256:` with 64 hexadecimal digits";
            return Err(("its tag or digest is invalid", help.to_string()));
        }
        Ok(ImagePattern {
            name: name.to_string(),
            tag,
            digest,
        })
    }

    /// Whether an image is meant: `docker.io/library/debian`, its tag, its digest. A digest
    /// decides which image it is; a tag beside it is a remark, so that a pattern with a tag
    /// does not match then.
    pub fn matches(&self, name: &str, tag: Option<&str>, digest: Option<&str>) -> bool {
        let tag = tag.filter(|_| digest.is_none());
        fits(&self.name, name)
            && self
                .tag
                .as_ref()
                .is_none_or(|pattern| tag.is_some_and(|tag| fits(pattern, tag)))
            && self
                .digest
                .as_ref()
                .is_none_or(|wanted| digest == Some(wanted))
    }
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64
        && hex
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

fn check_name(name: &str) -> Result<(), (&'static str, String)> {
    if name == "**" {
        return Ok(());
    }
    let (host, path) = name.split_once('/').unwrap_or(("", name));
    if !host.contains(['.', ':', '*']) && host != "localhost" {
        if !name.contains('/') && name.contains('.') {
            let help = format!("write `{name}/**` for all images of a registry");
            return Err(("a pattern names repositories", help));
        }
        let library = if name.contains('/') { "" } else { "library/" };
        return Err((
            "patterns match complete names, with the registry",
            format!("write `docker.io/{library}{name}` for an image of Docker Hub"),
        ));
    }
    if matches!(host, "index.docker.io" | "registry-1.docker.io") {
        let help = format!("write `docker.io/{path}`");
        return Err(("the name of Docker Hub is `docker.io`", help));
    }
    if host.trim_start_matches("*.").contains('*') && host != "*" {
        return Err((
            "`*` replaces the beginning of a host, as in `*.example.com`",
            "otherwise the pattern could match a host of another owner".to_string(),
        ));
    }
    let odd = |part: &str| part.is_empty() || part != "**" && part.contains("**");
    if path.split('/').any(odd) {
        return Err((
            "`**` must be a whole component, and no component may be empty",
            "write `registry.example.com/**` for all images of a registry".to_string(),
        ));
    }
    Ok(())
}

/// Every place in the pattern that the text's beginning can have led to: time is bounded
/// by the product of both lengths.
fn fits(pattern: &str, text: &str) -> bool {
    let pattern = pattern.as_bytes();
    let mut at = vec![false; pattern.len() + 1];
    at[0] = true;
    skip_stars(pattern, &mut at);
    for byte in text.bytes() {
        let mut next = vec![false; pattern.len() + 1];
        for (i, p) in pattern.iter().enumerate().filter(|(i, _)| at[*i]) {
            let double = *p == b'*'
                && (pattern.get(i + 1) == Some(&b'*') || i > 0 && pattern[i - 1] == b'*');
            match p {
                b'*' if double || byte != b'/' => next[i] = true,
                p if *p == byte => next[i + 1] = true,
                _ => {}
            }
        }
        skip_stars(pattern, &mut next);
        at = next;
    }
    at[pattern.len()]
}

/// A star may match nothing.
fn skip_stars(pattern: &[u8], at: &mut [bool]) {
    for (i, byte) in pattern.iter().enumerate() {
        if at[i] && *byte == b'*' {
            at[i + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str, tag: Option<&str>, digest: Option<&str>) -> bool {
        ImagePattern::parse(pattern)
            .unwrap()
            .matches(name, tag, digest)
    }

    #[test]
    fn a_star_matches_within_a_component_and_two_match_any_number() {
        let name = |pattern: &str, name: &str| matches(pattern, name, Some("1"), None);
        for (pattern, yes, no) in [
            (
                "r.example.com/*",
                "r.example.com/app",
                "r.example.com/team/app",
            ),
            (
                "r.example.com/**",
                "r.example.com/team/app",
                "r.example.com.evil.net/app",
            ),
            (
                "r.example.com/*/app",
                "r.example.com/team/app",
                "r.example.com/app",
            ),
            (
                "r.example.com/**/app",
                "r.example.com/a/b/app",
                "r.example.com/a/b/app2",
            ),
            ("*.example.com/**", "a.b.example.com/x", "example.com/x"),
            (
                "*.example.com/**",
                "r.example.com/x",
                "evil.net/r.example.com/x",
            ),
            (
                "docker.io/library/deb*",
                "docker.io/library/debian",
                "docker.io/library/alpine",
            ),
            (
                "docker.io/library/debian",
                "docker.io/library/debian",
                "docker.io/library/debian2",
            ),
            ("localhost:5000/*", "localhost:5000/x", "localhost:5001/x"),
            ("[::1]:5000/*", "[::1]:5000/x", "[::2]:5000/x"),
        ] {
            assert!(name(pattern, yes), "{pattern} {yes}");
            assert!(!name(pattern, no), "{pattern} {no}");
        }
        for everything in ["**", "*/**"] {
            assert!(name(everything, "docker.io/library/debian"));
        }
    }

    #[test]
    fn a_pattern_with_a_tag_matches_no_digest_that_a_tag_only_adorns() {
        let digest = format!("sha256:{}", "1".repeat(64));
        let name = "docker.io/library/debian";
        let (tagged, any) = ("docker.io/library/debian:1*", "docker.io/library/debian");
        assert!(matches(tagged, name, Some("12"), None));
        assert!(!matches(tagged, name, Some("9"), None));
        assert!(!matches(tagged, name, Some("12"), Some(&digest)));
        assert!(!matches(tagged, name, None, Some(&digest)));
        assert!(matches(any, name, Some("12"), Some(&digest)));
        let exact = format!("{any}@{digest}");
        assert!(matches(&exact, name, None, Some(&digest)));
        assert!(!matches(&exact, name, Some("12"), None));
        assert!(!matches(
            &exact,
            name,
            None,
            Some(&digest.replace('1', "2"))
        ));
        // Neither does a repository's star reach into the tag.
        assert!(!matches("docker.io/library/*:1", name, Some("21"), None));
    }

    #[test]
    fn a_pattern_that_could_never_match_or_matches_too_much_is_refused() {
        for wrong in [
            "",
            "debian",
            "debian:12",
            "library/debian",
            "index.docker.io/library/x",
            "r.example.com",
            "r.example.com*/x",
            "r.*.com/x",
            "r.example.com/",
            "r.example.com/a**",
            "r.example.com//x",
            "https://r.example.com/x",
            "r.example.com/x:",
            "r.example.com/x@sha256:12",
            "r.example.com/a b",
            "r.example.com**",
            "**/x",
        ] {
            assert!(ImagePattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = format!("r.example.com/{}b", "*a".repeat(2000));
        assert!(!matches(
            &pattern,
            &format!("r.example.com/{}", "a".repeat(200)),
            None,
            None
        ));
    }
}
