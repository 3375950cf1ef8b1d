//! The lock file: what base tags, URLs and git references stand for, in a form that is reviewed in
//! a pull request.
//!
//! ```text
//! lock version=1
//! image "docker.io/library/alpine:3.22" digest="sha256:…"
//! url "https://example.com/tool.tgz" digest="sha256:…" size=1234 modified=1700000000
//! git "https://example.com/app.git" ref="main" commit="…"
//! ```
//!
//! Sorted, one line each: the same content is the same text. Reads no disk.

use std::collections::BTreeMap;
use std::fmt::Write;

use imgmake_oci::image::{Digest, Reference};

use super::Span;
use super::diagnostic::Diagnostic;
use super::tree::{Data, Node, Value, parse};

const VERSION: i128 = 1;
const HEAD: &str = "\
// What base tags, URLs and git references stand for. imgmake writes this file: commit it.
// `imgmake update` resolves them again.
lock version=1
";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFile {
    /// Full names with a tag, and the digest that the registry had for it.
    pub images: BTreeMap<String, Digest>,
    pub urls: BTreeMap<String, LockedUrl>,
    /// Address and reference, and the commit.
    pub git: BTreeMap<(String, String), String>,
}

/// What was downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedUrl {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970, by the server's `Last-Modified`; 0 without one.
    pub modified: i64,
}

/// As pins have it: `DIGEST SECONDS BYTES`.
impl std::fmt::Display for LockedUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LockedUrl {
            digest,
            size,
            modified,
        } = self;
        write!(f, "{digest} {modified} {size}")
    }
}

impl LockFile {
    /// # Errors
    /// Each line that is none of a lock file, or one of a newer version.
    pub fn parse(text: &str) -> Result<LockFile, Vec<Diagnostic>> {
        let nodes = parse(text, 0)?;
        let Some((head, pins)) = nodes.split_first() else {
            let message = "the lock file is empty";
            return Err(vec![
                Diagnostic::plain(message).with_help("`imgmake update` writes it again"),
            ]);
        };
        version(head).map_err(|problem| vec![problem])?;
        let mut file = LockFile::default();
        let mut problems = Vec::new();
        for node in pins {
            if let Err(problem) = file.add(node) {
                problems.push(problem);
            }
        }
        match problems.is_empty() {
            true => Ok(file),
            false => Err(problems),
        }
    }

    /// The whole file.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_string();
        for (name, digest) in &self.images {
            let _ = writeln!(
                text,
                "image {} digest={}",
                quoted(name),
                quoted(digest.as_str())
            );
        }
        for (url, pin) in &self.urls {
            let LockedUrl {
                digest,
                size,
                modified,
            } = pin;
            let digest = quoted(digest.as_str());
            let _ = writeln!(
                text,
                "url {} digest={digest} size={size} modified={modified}",
                quoted(url)
            );
        }
        for ((address, reference), commit) in &self.git {
            let _ = writeln!(
                text,
                "git {} ref={} commit={}",
                quoted(address),
                quoted(reference),
                quoted(commit)
            );
        }
        text
    }

    fn add(&mut self, node: &Node) -> Result<(), Diagnostic> {
        let is_new = match node.name.value.as_str() {
            "image" => {
                let mut line = Line::of(node, &["digest"])?;
                let digest = line.digest()?;
                line.image_in_full()?;
                self.images.insert(line.name, digest).is_none()
            }
            "url" => {
                let mut line = Line::of(node, &["digest", "size", "modified"])?;
                let pin = LockedUrl {
                    digest: line.digest()?,
                    size: line.number("size")?,
                    modified: line.number("modified")?,
                };
                line.url_without_login()?;
                self.urls.insert(line.name, pin).is_none()
            }
            "git" => {
                let mut line = Line::of(node, &["ref", "commit"])?;
                let commit = line.commit()?;
                let reference = line.word("ref")?.0;
                self.git.insert((line.name, reference), commit).is_none()
            }
            other => {
                return Err(Diagnostic::at(
                    node.name.span,
                    format!("unknown entry `{other}` of a lock file"),
                    "`image`, `url` or `git` is expected here",
                ));
            }
        };
        match is_new {
            true => Ok(()),
            false => Err(Diagnostic::at(
                node.span,
                format!("duplicate {} in the lock file", node.name.value),
                "the second one",
            )
            .with_help("keep one of the lines; after a merge, `imgmake update` decides")),
        }
    }
}

fn version(head: &Node) -> Result<(), Diagnostic> {
    let help = "`imgmake update` writes it again, if the file is removed";
    if head.name.value != "lock" {
        let message = "this is not a lock file";
        let label = "`lock version=1` is expected here";
        return Err(Diagnostic::at(head.name.span, message, label).with_help(help));
    }
    if let Some(argument) = head.args.first() {
        let message = "`lock` in a lock file has no argument";
        return Err(Diagnostic::at(argument.span, message, "not expected here").with_help(help));
    }
    let line = Line {
        span: head.name.span,
        name: String::new(),
        name_span: head.name.span,
        values: values(head, &["version"])?,
    };
    match line.number::<i128>("version")? {
        VERSION => Ok(()),
        newer => Err(Diagnostic::at(
            head.span,
            format!("the lock file has version {newer}, and this imgmake reads version {VERSION}"),
            "another version",
        )
        .with_help("use a newer imgmake")),
    }
}

/// The properties, each of them known and there once; nothing else below it.
fn values<'n>(node: &'n Node, keys: &[&str]) -> Result<BTreeMap<&'n str, &'n Value>, Diagnostic> {
    let kind = &node.name.value;
    if let Some(children) = &node.children {
        let span = children.first().map_or(node.span, |child| child.span);
        let message = format!("`{kind}` in a lock file has no block");
        return Err(Diagnostic::at(span, message, "not expected here"));
    }
    let mut values = BTreeMap::new();
    for (key, value) in &node.props {
        let word = key.value.as_str();
        let message = match keys.contains(&word) {
            false => format!("unknown property `{word}=` of `{kind}`"),
            true if values.contains_key(word) => format!("duplicate `{word}=`"),
            true => {
                values.insert(word, value);
                continue;
            }
        };
        return Err(Diagnostic::at(key.span, message, "not expected here"));
    }
    Ok(values)
}

/// One entry: a name, and values by their keys.
struct Line<'n> {
    span: Span,
    name: String,
    name_span: Span,
    values: BTreeMap<&'n str, &'n Value>,
}

impl<'n> Line<'n> {
    fn of(node: &'n Node, keys: &[&str]) -> Result<Line<'n>, Diagnostic> {
        let [
            Value {
                data: Data::Text(name),
                span: name_span,
                ..
            },
        ] = node.args.as_slice()
        else {
            let message = format!("`{}` in a lock file has one name", node.name.value);
            return Err(Diagnostic::at(
                node.span,
                message,
                "a string is expected here",
            ));
        };
        Ok(Line {
            span: node.span,
            name: name.clone(),
            name_span: *name_span,
            values: values(node, keys)?,
        })
    }

    /// What else would never be looked up.
    fn image_in_full(&self) -> Result<(), Diagnostic> {
        let name = &self.name;
        let refused = |message: String, help: String| {
            let label = "a host, a repository and a tag are expected here";
            Err(Diagnostic::at(self.name_span, message, label).with_help(help))
        };
        let Ok(reference) = name.parse::<Reference>() else {
            let help = "such as `docker.io/library/alpine:3.22`";
            return refused(format!("invalid image `{name}`"), help.into());
        };
        if reference.digest.is_some() {
            let help = "remove the line: a name with a digest is not resolved";
            return refused(
                format!("image `{name}` has a digest in its name"),
                help.into(),
            );
        }
        let full = reference.to_string();
        if reference.tag.is_none() {
            return refused(
                format!("image `{name}` has no tag"),
                format!("write `{full}:latest`"),
            );
        }
        match full == *name {
            true => Ok(()),
            false => refused(
                format!("image `{name}` is not a full name"),
                format!("write `{full}`"),
            ),
        }
    }

    fn url_without_login(&self) -> Result<(), Diagnostic> {
        let name = &self.name;
        let rest = name.strip_prefix("https://");
        let Some(rest) = rest.or_else(|| name.strip_prefix("http://")) else {
            let message = format!("invalid URL `{name}`");
            let label = "`https://` or `http://` is expected here";
            return Err(Diagnostic::at(self.name_span, message, label));
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match authority.contains('@') {
            false => Ok(()),
            true => Err(Diagnostic::at(
                self.name_span,
                "a URL has a login in the lock file",
                "the login is not expected here",
            )
            .with_help("write the URL without it, and change the password")),
        }
    }

    fn value(&self, key: &str) -> Result<&'n Value, Diagnostic> {
        self.values.get(key).copied().ok_or_else(|| {
            Diagnostic::at(
                self.span,
                format!("`{key}=` is missing"),
                "in this entry of the lock file",
            )
        })
    }

    fn word(&self, key: &str) -> Result<(String, Span), Diagnostic> {
        let value = self.value(key)?;
        match &value.data {
            Data::Text(text) => Ok((text.clone(), value.span)),
            other => Err(Diagnostic::at(
                value.span,
                format!("`{key}=` is {}", other.kind()),
                "a string is expected here",
            )),
        }
    }

    fn number<N: TryFrom<i128>>(&self, key: &str) -> Result<N, Diagnostic> {
        let value = self.value(key)?;
        let number = match value.data {
            Data::Integer(number) => N::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| {
            let message = format!("invalid `{key}=`");
            Diagnostic::at(value.span, message, "a number is expected here")
        })
    }

    fn digest(&mut self) -> Result<Digest, Diagnostic> {
        let (text, span) = self.word("digest")?;
        text.parse().map_err(|_| {
            let message = format!("invalid digest `{text}`");
            Diagnostic::at(span, message, "such as `sha256:…`, with 64 digits")
        })
    }

    fn commit(&mut self) -> Result<String, Diagnostic> {
        let (text, span) = self.word("commit")?;
        let is_commit =
            matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        match is_commit {
            true => Ok(text.to_ascii_lowercase()),
            false => {
                let message = format!("invalid commit `{text}`");
                Err(Diagnostic::at(
                    span,
                    message,
                    "all of its digits are expected",
                ))
            }
        }
    }
}

/// As KDL writes a string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() || !is_plain(c) => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Neither a line break nor a mark that turns the direction of text.
fn is_plain(c: char) -> bool {
    !matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(digit: char) -> Digest {
        let hex: String = std::iter::repeat_n(digit, 64).collect();
        format!("sha256:{hex}").parse().unwrap()
    }

    #[test]
    fn what_was_written_is_read_again_whatever_its_names_hold() {
        let mut file = LockFile::default();
        file.images
            .insert("docker.io/library/alpine:3.22".into(), digest('a'));
        let pin = LockedUrl {
            digest: digest('b'),
            size: 12,
            modified: -3,
        };
        file.urls
            .insert("https://e.com/a\"\\\n\u{202e}b".into(), pin);
        let reference = ("git://e.com/a".into(), "refs/heads/ä".into());
        file.git.insert(reference, "0".repeat(40));
        let text = file.text();
        assert_eq!(text.lines().count(), 6, "{text}");
        assert_eq!(LockFile::parse(&text).unwrap(), file);
        assert_eq!(LockFile::parse(&text).unwrap().text(), text);
    }

    #[test]
    fn what_is_no_lock_file_is_refused_with_its_reason() {
        let d = digest('a');
        for (text, says) in [
            (String::new(), "empty"),
            ("image \"a\"".into(), "not a lock file"),
            ("lock version=2".into(), "version 2"),
            ("lock".into(), "`version=` is missing"),
            ("lock version=1\nfoo \"a\"".into(), "unknown entry `foo`"),
            ("lock version=1\nimage \"a\"".into(), "`digest=` is missing"),
            (
                "lock version=1\nimage \"a\" digest=\"x\"".into(),
                "invalid digest `x`",
            ),
            (
                format!("lock version=1\nimage \"a\" digest=\"{d}\" size=1"),
                "unknown property `size=`",
            ),
            (
                format!(
                    "lock version=1\nimage \"e.com/a:1\" digest=\"{d}\"\nimage \"e.com/a:1\" digest=\"{d}\""
                ),
                "duplicate image",
            ),
            (
                format!("lock version=1\nimage \"alpine:3.22\" digest=\"{d}\""),
                "`alpine:3.22` is not a full name",
            ),
            (
                format!("lock version=1\nimage \"e.com/a\" digest=\"{d}\""),
                "has no tag",
            ),
            (
                format!("lock version=1\nimage \"e.com/a:1@{d}\" digest=\"{d}\""),
                "has a digest in its name",
            ),
            (
                format!("lock version=1\nimage \"E com\" digest=\"{d}\""),
                "invalid image `E com`",
            ),
            ("lock 2 version=1".into(), "has no argument"),
            (
                "lock version=1 other=2".into(),
                "unknown property `other=` of `lock`",
            ),
            ("lock version=1 version=1".into(), "version"),
            ("lock version=1 { image \"a\"; }".into(), "has no block"),
            ("lock version=1 {}".into(), "has no block"),
            (
                format!("lock version=1\nurl \"a\" digest=\"{d}\" size=1 modified=0"),
                "invalid URL `a`",
            ),
            (
                format!(
                    "lock version=1\nurl \"https://u:p@e.com/a@b\" digest=\"{d}\" size=1 modified=0"
                ),
                "has a login",
            ),
            (
                "lock version=1\ngit \"a\" ref=\"b\" commit=\"abc\"".into(),
                "invalid commit `abc`",
            ),
            (
                format!("lock version=1\nurl \"a\" digest=\"{d}\" size=-1 modified=0"),
                "invalid `size=`",
            ),
        ] {
            let found = LockFile::parse(&text).unwrap_err();
            assert!(found[0].message.contains(says), "{text}: {found:?}");
        }
    }
}
