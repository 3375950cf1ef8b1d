//! Tags: made from the git ref of the build, expanded, checked.

use crate::error::{Refusal, invalid};
use imgmake_core::manifest::{TAG_RULE, is_tag};

/// What a ref gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AutoTags {
    Tags(Vec<String>),
    /// Neither a tag nor the default branch: nothing is to be published.
    NotForThisRef,
}

/// `auto_tag`: `vX.Y.Z` gives `X`, `X.Y`, `X.Y.Z` (with major 0: `0.Y`, `0.Y.Z`),
/// a prerelease or build metadata the one full version, the default branch
/// `latest`. A suffix makes `latest` the suffix itself and others `tag-suffix`.
pub fn auto_tags(git_ref: &str, default_branch: &str, suffix: &str) -> AutoTags {
    let tags = match git_ref.strip_prefix("refs/tags/") {
        Some(tag) => version_tags(tag),
        None => match git_ref.strip_prefix("refs/heads/") {
            // Without a known default branch upstream publishes any branch.
            Some(branch) if !default_branch.is_empty() && branch != default_branch => {
                return AutoTags::NotForThisRef;
            }
            Some(_) => vec!["latest".to_string()],
            None if git_ref.is_empty() => vec!["latest".to_string()],
            None => return AutoTags::NotForThisRef,
        },
    };
    AutoTags::Tags(
        tags.into_iter()
            .map(|tag| with_suffix(tag, suffix))
            .collect(),
    )
}

fn with_suffix(tag: String, suffix: &str) -> String {
    match (tag.as_str(), suffix) {
        (_, "") => tag,
        ("latest", suffix) => suffix.to_string(),
        (tag, suffix) => format!("{tag}-{suffix}"),
    }
}

fn version_tags(tag: &str) -> Vec<String> {
    let Some(version) = lenient_version(tag.strip_prefix('v').unwrap_or(tag)) else {
        return vec!["latest".to_string()];
    };
    if !version.pre.is_empty() || !version.build.is_empty() {
        return vec![legal(&version.to_string())];
    }
    let semver::Version {
        major,
        minor,
        patch,
        ..
    } = version;
    let minor_and_full = [
        format!("{major}.{minor}"),
        format!("{major}.{minor}.{patch}"),
    ];
    if major == 0 {
        minor_and_full.into()
    } else {
        [vec![major.to_string()], minor_and_full.into()].concat()
    }
}

/// `expand_tag`: `1.2.3` or `v1.2.3` becomes `1`, `1.2` and `1.2.3`, and `1.2` the same of
/// `1.2.0`, `v1` of `1.0.0`; a prerelease stays alone. What is no version (`latest`, a commit, a
/// build's number, `3.12-slim`) passes through. Versions have no underscores: they are dashes here.
pub fn expand_tag(tag: &str) -> Vec<String> {
    let dashed = tag.replace('_', "-");
    let written = dashed.strip_prefix('v').unwrap_or(&dashed);
    // A number alone may be a build's, and only a whole version has something after it.
    let (numbers, after) = written.split_at(written.find(['-', '+']).unwrap_or(written.len()));
    let is_one = match numbers.matches('.').count() {
        0 => after.is_empty() && written != dashed,
        1 => after.is_empty(),
        _ => true,
    };
    let version = lenient_version(written).filter(|_| is_one);
    let Some(version) = version else {
        return vec![tag.to_string()];
    };
    if !version.pre.is_empty() {
        return vec![legal(&version.to_string())];
    }
    let semver::Version { major, minor, .. } = version;
    vec![
        major.to_string(),
        format!("{major}.{minor}"),
        legal(&version.to_string()),
    ]
}

/// `+` introduces build metadata in versions and is not legal in a tag.
fn legal(version: &str) -> String {
    version.replace('+', "_")
}

/// Versions as people tag them: `1` and `1.2` count as `1.0.0` and `1.2.0`.
fn lenient_version(text: &str) -> Option<semver::Version> {
    let (numbers, rest) = match text.find(['-', '+']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let missing = match numbers.split('.').count() {
        1 => ".0.0",
        2 => ".0",
        _ => "",
    };
    semver::Version::parse(&format!("{numbers}{missing}{rest}")).ok()
}

/// The tag at the end of a name: what follows a colon that is no port's. A branch's name may have a
/// slash in it, which makes no tag, and is one for messages.
pub(crate) fn written_tag(name: &str) -> Option<&str> {
    let is_host = |first: &str| {
        let port = first.rsplit_once(':').map_or("", |(_, port)| port);
        let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        is_port || first == "localhost" || first.contains('.') || first.starts_with('[')
    };
    let after_host = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => rest,
        _ => name,
    };
    Some(after_host.split_once(':')?.1)
}

/// # Errors
/// It is no tag, in the name of the setting that it comes from.
pub(crate) fn check_tag(setting: &str, tag: &str) -> Result<(), Refusal> {
    match is_tag(tag) {
        true => Ok(()),
        false => Err(Refusal::new(
            invalid("tag", format!("`{tag}` ({setting})")),
            TAG_RULE,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(git_ref: &str, suffix: &str) -> Vec<String> {
        match auto_tags(git_ref, "main", suffix) {
            AutoTags::Tags(tags) => tags,
            AutoTags::NotForThisRef => vec!["(none)".into()],
        }
    }

    #[test]
    fn a_version_tag_gives_its_short_forms_too() {
        assert_eq!(tags("refs/tags/v1.2.3", ""), ["1", "1.2", "1.2.3"]);
        assert_eq!(tags("refs/tags/0.9.1", ""), ["0.9", "0.9.1"]);
        assert_eq!(tags("refs/tags/v1.0.0-rc.1", ""), ["1.0.0-rc.1"]);
        assert_eq!(tags("refs/tags/v1.0.0+7", ""), ["1.0.0_7"]);
        assert_eq!(
            tags("refs/tags/v1.2.3", "alpine"),
            ["1-alpine", "1.2-alpine", "1.2.3-alpine"]
        );
    }

    #[test]
    fn the_default_branch_is_latest_and_other_branches_are_nothing() {
        assert_eq!(tags("refs/heads/main", ""), ["latest"]);
        assert_eq!(tags("refs/heads/main", "alpine"), ["alpine"]);
        assert_eq!(tags("refs/heads/feature", ""), ["(none)"]);
        assert_eq!(tags("refs/pull/7/head", ""), ["(none)"]);
    }

    #[test]
    fn a_tag_is_told_from_a_port() {
        for (name, tag) in [
            ("app:1", Some("1")),
            ("reg.io:5000/app", None),
            ("reg:5000/a/b:1", Some("1")),
            ("[::1]:5000/x:1", Some("1")),
            ("reg.io/app:feature/x", Some("feature/x")),
            ("app:feature/x", Some("feature/x")),
            ("localhost/app", None),
        ] {
            assert_eq!(written_tag(name), tag, "{name}");
        }
    }

    #[test]
    fn expanding_takes_versions_and_leaves_everything_else() {
        for (tag, expanded) in [
            ("v1.2.3", &["1", "1.2", "1.2.3"][..]),
            ("1.2", &["1", "1.2", "1.2.0"]),
            ("1.2.3-rc1", &["1.2.3-rc1"]),
            ("1.2.3_rc1", &["1.2.3-rc1"]),
            ("1.2.3+b7", &["1", "1.2", "1.2.3_b7"]),
            ("latest", &["latest"]),
            ("0f3c9ab", &["0f3c9ab"]),
            ("1234567", &["1234567"]),
            ("feature_x", &["feature_x"]),
            ("1.2.3.4", &["1.2.3.4"]),
            ("v1", &["1", "1.0", "1.0.0"]),
            ("v1-rc1", &["v1-rc1"]),
            ("7", &["7"]),
            ("3.12-slim", &["3.12-slim"]),
            ("v1.2_beta", &["v1.2_beta"]),
        ] {
            assert_eq!(expand_tag(tag), expanded, "{tag}");
        }
    }
}
