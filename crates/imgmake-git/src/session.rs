//! One conversation with a server: which references it has, and packs of what is
//! wanted. Versions 2 and 0 of the protocol (gitprotocol-v2, gitprotocol-pack).
//! Nothing is there yet when a fetch begins, so nothing is negotiated.

use std::collections::BTreeMap;
use std::io::Read;

use gix_hash::{Kind, ObjectId};

use super::address::Place;
use super::error::During as _;
use super::http::Http;
use super::line::{DELIMITER, FLUSH, Line, Lines, Pack, put};
use super::stream::Stream;
use super::{AGENT, Client, GitError, Remote, Result};

/// A reference as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub name: String,
    pub id: ObjectId,
    /// What a tag object points at in the end.
    pub peeled: Option<ObjectId>,
    /// The reference that a symbolic one stands for.
    pub target: Option<String>,
}

impl Reference {
    /// The commit, in most cases.
    pub(super) fn commit(&self) -> ObjectId {
        self.peeled.unwrap_or(self.id)
    }
}

/// What a fetch asks for.
pub(super) struct Want<'a> {
    pub ids: &'a [ObjectId],
    /// So many commits of each history; all without.
    pub depth: Option<u32>,
}

/// The ways to a server. Over HTTP each question is a request of its own.
enum Link {
    Http(Box<Http>),
    Stream(Box<Stream>),
}

#[derive(Debug)]
pub(super) enum Version {
    /// References came with the greeting.
    Zero(Vec<Reference>),
    Two,
}

pub(super) struct Session {
    client: Client,
    link: Link,
    version: Version,
    capabilities: BTreeMap<String, String>,
    /// How objects are named.
    pub kind: Kind,
}

type Answer<'a> = Box<dyn Read + 'a>;

impl Session {
    /// # Errors
    /// The server cannot be reached, wants a login, or speaks another protocol.
    pub(super) fn open(client: &Client, remote: &Remote) -> Result<Session> {
        let mut capabilities = BTreeMap::new();
        let (link, version) = match &remote.address.place {
            Place::Http(_) => {
                let mut http = Http::new(client, remote)?;
                let version = client.with_retries(|| {
                    capabilities.clear();
                    greeting(&mut Lines::new(http.greeting()?), &mut capabilities)
                })?;
                (Link::Http(Box::new(http)), version)
            }
            _ => {
                let mut stream = Stream::open(client, &remote.address)?;
                let greeted = greeting(&mut stream.lines, &mut capabilities);
                let repository = remote.address.to_string();
                let version = match greeted {
                    Err(error) if error.is_transient() => {
                        return Err(stream.explained(GitError::NoGreeting { repository }));
                    }
                    greeted => greeted.during(format!("`{repository}`"))?,
                };
                (Link::Stream(Box::new(stream)), version)
            }
        };
        let kind = match capabilities.get("object-format").map(String::as_str) {
            None | Some("sha1") => Kind::Sha1,
            Some("sha256") => Kind::Sha256,
            Some(other) => {
                return Err(GitError::Unsupported {
                    what: "object format",
                    value: other.into(),
                });
            }
        };
        Ok(Session {
            client: client.clone(),
            link,
            version,
            capabilities,
            kind,
        })
    }

    /// The references whose names begin like one of `prefixes`; the older protocol
    /// lists all.
    ///
    /// # Errors
    /// The connection's.
    pub(super) fn references(&mut self, prefixes: &[&str]) -> Result<Vec<Reference>> {
        if let Version::Zero(all) = &self.version {
            return Ok(all.clone());
        }
        let mut request = self.command("ls-refs");
        put(&mut request, "peel\n");
        put(&mut request, "symrefs\n");
        for prefix in prefixes {
            put(&mut request, &format!("ref-prefix {prefix}\n"));
        }
        request.extend_from_slice(FLUSH);
        let mut references = Vec::new();
        self.ask(&request, |lines| {
            references.clear();
            while let line @ Line::Data(_) = lines.next()? {
                // Names that are no text can be wanted by nobody here.
                references.extend(line.text().and_then(listed));
            }
            Ok(())
        })?;
        Ok(references)
    }

    /// Sends the want and hands the pack on; returns where histories were cut.
    ///
    /// # Errors
    /// The server refuses or breaks off; the receiver's own.
    pub(super) fn fetch(
        &mut self,
        want: &Want,
        mut receive: impl FnMut(&mut Pack<'_, Answer<'_>>) -> Result<()>,
    ) -> Result<Vec<ObjectId>> {
        // More than was asked for is no harm.
        let want = &Want {
            depth: want.depth.filter(|_| self.cuts()),
            ..*want
        };
        let request = match self.version {
            Version::Two => self.fetch_request(want),
            Version::Zero(_) => self.older_request(want)?,
        };
        let is_two = matches!(self.version, Version::Two);
        let mut shallow = Vec::new();
        self.ask(&request, |lines| {
            shallow.clear();
            match is_two {
                true => until_the_pack(lines, &mut shallow)?,
                false => until_acknowledged(lines, want, &mut shallow)?,
            }
            let mut pack = Pack::new(lines);
            let received = receive(&mut pack);
            match pack.broken {
                Some(broken) => Err(broken),
                None => received,
            }
        })?;
        Ok(shallow)
    }

    fn cuts(&self) -> bool {
        let fetch = self.capabilities.get("fetch");
        match self.version {
            Version::Zero(_) => self.capabilities.contains_key("shallow"),
            Version::Two => fetch.is_some_and(|can| can.split(' ').any(|word| word == "shallow")),
        }
    }

    /// A question over HTTP can be asked again, even after a part of the answer.
    fn ask(
        &mut self,
        request: &[u8],
        mut answered: impl FnMut(&mut Lines<Answer<'_>>) -> Result<()>,
    ) -> Result<()> {
        let is_two = matches!(self.version, Version::Two);
        match &mut self.link {
            Link::Http(http) => self.client.with_retries(|| {
                let body = http.ask(request, is_two)?;
                answered(&mut Lines::new(Box::new(body) as Answer))
            }),
            Link::Stream(stream) => {
                stream.send(request)?;
                answered(&mut stream.lines).map_err(|error| stream.explained(error))
            }
        }
    }

    /// The head of a request of version 2.
    fn command(&self, name: &str) -> Vec<u8> {
        let mut request = Vec::new();
        put(&mut request, &format!("command={name}\n"));
        if self.capabilities.contains_key("agent") {
            put(&mut request, &format!("agent={AGENT}\n"));
        }
        if let Some(format) = self.capabilities.get("object-format") {
            put(&mut request, &format!("object-format={format}\n"));
        }
        request.extend_from_slice(DELIMITER);
        request
    }

    fn fetch_request(&self, want: &Want) -> Vec<u8> {
        let mut request = self.command("fetch");
        put(&mut request, "ofs-delta\n");
        put(&mut request, "include-tag\n");
        if let Some(depth) = want.depth {
            put(&mut request, &format!("deepen {depth}\n"));
        }
        for id in want.ids {
            put(&mut request, &format!("want {id}\n"));
        }
        put(&mut request, "done\n");
        request.extend_from_slice(FLUSH);
        request
    }

    fn older_request(&self, want: &Want) -> Result<Vec<u8>> {
        let has = |name: &str| self.capabilities.contains_key(name);
        if !has("side-band-64k") {
            return Err(GitError::Protocol("packs without side bands"));
        }
        // Some servers insist on the last two: nothing is there that they could
        // acknowledge, or leave out of a pack.
        let features = [
            "side-band-64k",
            "ofs-delta",
            "include-tag",
            "multi_ack_detailed",
            "thin-pack",
        ];
        let features = features.into_iter().filter(|name| has(name));
        let mut features: Vec<String> = features.map(String::from).collect();
        if has("agent") {
            features.push(format!("agent={AGENT}"));
        }
        if let Some(format) = self.capabilities.get("object-format") {
            features.push(format!("object-format={format}"));
        }
        let mut request = Vec::new();
        let mut after = format!(" {}", features.join(" "));
        for id in want.ids {
            put(&mut request, &format!("want {id}{after}\n"));
            after.clear();
        }
        if let Some(depth) = want.depth {
            put(&mut request, &format!("deepen {depth}\n"));
        }
        request.extend_from_slice(FLUSH);
        put(&mut request, "done\n");
        Ok(request)
    }
}

/// Whether these bytes are what a server of either version may answer: its first words, and what
/// follows them up to the end of a pack.
pub fn understands_answer(bytes: &[u8]) -> bool {
    let read = || -> Result<()> {
        let mut lines = Lines::new(Box::new(bytes) as Answer<'_>);
        let mut capabilities = BTreeMap::new();
        greeting(&mut lines, &mut capabilities)?;
        while let line @ Line::Data(_) = lines.next()? {
            let _ = line.text().and_then(listed);
        }
        until_the_pack(&mut lines, &mut Vec::new())?;
        let mut pack = Pack::new(&mut lines);
        std::io::copy(&mut pack, &mut std::io::sink()).during("cannot read the pack")?;
        pack.broken.map_or(Ok(()), Err)
    };
    read().is_ok()
}

/// The server's first words: its version, what it can, and in version 0 what it has.
pub(super) fn greeting(
    lines: &mut Lines<impl Read>,
    capabilities: &mut BTreeMap<String, String>,
) -> Result<Version> {
    let mut references: Vec<Reference> = Vec::new();
    let mut version = None;
    loop {
        let line = lines.next()?;
        if line == Line::Flush && version.is_none() {
            // After the service's name, or of a repository without anything.
            version = Some(0);
            if lines.is_at_end()? {
                break;
            }
            continue;
        }
        let Line::Data(bytes) = &line else { break };
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let (text, features) = match bytes.iter().position(|b| *b == 0) {
            Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
            None => (bytes, None),
        };
        let text = String::from_utf8_lossy(text);
        if text.starts_with("# service=") {
            continue;
        }
        if let Some(number) = text.strip_prefix("version ") {
            let number = number.parse();
            version = Some(number.map_err(|_| GitError::Protocol("invalid version"))?);
            continue;
        }
        if version == Some(2) {
            let (name, value) = text.split_once('=').unwrap_or((&text, ""));
            capabilities.insert(name.to_string(), value.to_string());
            continue;
        }
        version = Some(version.unwrap_or(0));
        if let Some(features) = features {
            read_features(&String::from_utf8_lossy(features), capabilities);
        }
        if let Some(name) = text
            .split_once(' ')
            .and_then(|(_, name)| name.strip_suffix("^{}"))
        {
            if let Some(last) = references.last_mut().filter(|last| last.name == name) {
                let id = text.split(' ').next().unwrap_or_default();
                last.peeled = ObjectId::from_hex(id.as_bytes()).ok();
            }
            continue;
        }
        references.extend(listed(&text));
    }
    match version {
        Some(2) => Ok(Version::Two),
        Some(0 | 1) => {
            let symbolic = capabilities.get("symref HEAD").cloned();
            if let Some(head) = references.iter_mut().find(|r| r.name == "HEAD") {
                head.target = symbolic;
            }
            Ok(Version::Zero(references))
        }
        Some(other) => Err(GitError::Unsupported {
            what: "version of git's protocol",
            value: other.to_string(),
        }),
        None => Err(GitError::Protocol("no greeting")),
    }
}

/// `multi_ack symref=HEAD:refs/heads/main agent=git/2`.
fn read_features(text: &str, capabilities: &mut BTreeMap<String, String>) {
    for feature in text.split(' ').filter(|feature| !feature.is_empty()) {
        let (name, value) = feature.split_once('=').unwrap_or((feature, ""));
        match (name, value.split_once(':')) {
            ("symref", Some(("HEAD", target))) => {
                capabilities.insert("symref HEAD".into(), target.into());
            }
            _ => drop(capabilities.insert(name.into(), value.into())),
        }
    }
}

/// `ID NAME[ symref-target:NAME][ peeled:ID]`.
fn listed(text: &str) -> Option<Reference> {
    let mut words = text.split(' ');
    let id = ObjectId::from_hex(words.next()?.as_bytes()).ok()?;
    let name = words.next()?.to_string();
    // A name goes into files of the repository.
    gix_validate::reference::name(name.as_str().into()).ok()?;
    let mut reference = Reference {
        name,
        id,
        peeled: None,
        target: None,
    };
    for word in words {
        match word.split_once(':') {
            Some(("symref-target", target)) => reference.target = Some(target.to_string()),
            Some(("peeled", id)) => reference.peeled = ObjectId::from_hex(id.as_bytes()).ok(),
            _ => {}
        }
    }
    Some(reference)
}

/// The sections of an answer in version 2 before its pack.
fn until_the_pack(lines: &mut Lines<Answer<'_>>, shallow: &mut Vec<ObjectId>) -> Result<()> {
    loop {
        let line = lines.next()?;
        match line.text() {
            Some("packfile") => return Ok(()),
            Some(text) => shallow.extend(cut(text)?),
            None if line == Line::Delimiter => {}
            None => return Err(GitError::Protocol("no pack")),
        }
    }
}

/// The lines of an answer in version 0 before its pack.
fn until_acknowledged(
    lines: &mut Lines<Answer<'_>>,
    want: &Want,
    shallow: &mut Vec<ObjectId>,
) -> Result<()> {
    if want.depth.is_some() {
        loop {
            let line = lines.next()?;
            match line.text() {
                Some(text) => shallow.extend(cut(text)?),
                None => break,
            }
        }
    }
    let line = lines.next()?;
    match line.text() {
        Some(text) if text == "NAK" || text.starts_with("ACK ") => Ok(()),
        _ => Err(GitError::Protocol("no pack")),
    }
}

/// `shallow ID`; headings of sections say nothing.
fn cut(text: &str) -> Result<Option<ObjectId>> {
    match text.split_once(' ') {
        Some(("shallow", id)) => {
            let id = ObjectId::from_hex(id.as_bytes());
            let id = id.map_err(|_| GitError::Protocol("invalid shallow commit"))?;
            Ok(Some(id))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";

    fn greeted(texts: &[&str]) -> (Version, BTreeMap<String, String>) {
        let mut bytes = Vec::new();
        for text in texts {
            match *text {
                "" => bytes.extend_from_slice(FLUSH),
                text => put(&mut bytes, text),
            }
        }
        let mut capabilities = BTreeMap::new();
        let version = greeting(&mut Lines::new(bytes.as_slice()), &mut capabilities).unwrap();
        (version, capabilities)
    }

    #[test]
    fn the_older_greeting_lists_references_with_what_tags_point_at() {
        let first = format!("{A} HEAD\0side-band-64k symref=HEAD:refs/heads/main agent=git/2\n");
        let tag = format!("{A} refs/tags/v1\n");
        let peeled = format!("{B} refs/tags/v1^{{}}\n");
        let (version, capabilities) =
            greeted(&["# service=git-upload-pack\n", "", &first, &tag, &peeled, ""]);
        let Version::Zero(references) = version else {
            panic!()
        };
        assert_eq!(references.len(), 2);
        assert_eq!(references[0].target.as_deref(), Some("refs/heads/main"));
        assert_eq!(references[1].commit().to_string(), B);
        assert!(capabilities.contains_key("side-band-64k"));
    }

    #[test]
    fn version_two_greets_with_what_it_can() {
        let (version, capabilities) = greeted(&[
            "# service=git-upload-pack\n",
            "",
            "version 2\n",
            "agent=git/2\n",
            "fetch=shallow\n",
            "object-format=sha256\n",
            "",
        ]);
        assert!(matches!(version, Version::Two));
        assert_eq!(capabilities["object-format"], "sha256");
    }

    #[test]
    fn an_empty_repository_has_no_references() {
        let nothing = format!("{} capabilities^{{}}\0side-band-64k\n", "0".repeat(40));
        let (version, _) = greeted(&["# service=git-upload-pack\n", "", &nothing, ""]);
        let Version::Zero(references) = version else {
            panic!()
        };
        assert!(references.is_empty());
    }

    #[test]
    fn listed_references_have_attributes() {
        let text = format!("{A} HEAD symref-target:refs/heads/main peeled:{B}");
        let reference = listed(&text).unwrap();
        assert_eq!(reference.target.as_deref(), Some("refs/heads/main"));
        assert_eq!(reference.commit().to_string(), B);
        assert_eq!(listed("unborn HEAD symref-target:refs/heads/main"), None);
    }
}
