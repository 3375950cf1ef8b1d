//! OSV documents (ossf.github.io/osv-schema, 1.7) as databases publish them,
//! turned into [`Record`]s.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::range::{Event, Range, RangeKind};
use super::rating::{Rating, SeverityEntry, rate, rating_in_front};
use crate::findings::is_malicious;

/// The parts of an OSV document that decide something. `null` counts as absent.
#[derive(Debug, Deserialize)]
pub struct Document<'a> {
    pub id: String,
    /// Read to refuse another one.
    #[serde(default, rename = "schema_version")]
    _schema: SchemaVersion,
    #[serde(default)]
    pub modified: Option<String>,
    #[serde(default)]
    published: Option<String>,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    aliases: Option<Vec<String>>,
    #[serde(default)]
    upstream: Option<Vec<String>>,
    #[serde(default)]
    related: Option<Vec<String>>,
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    severity: Option<Vec<SeverityEntry>>,
    #[serde(default, borrow)]
    affected: Option<Vec<Affected<'a>>>,
    #[serde(default)]
    database_specific: Option<Value>,
}

/// The one in which `affected` has its packages and ranges; another may say it elsewhere.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Option<String>")]
struct SchemaVersion;

impl TryFrom<Option<String>> for SchemaVersion {
    type Error = String;

    fn try_from(version: Option<String>) -> Result<SchemaVersion, String> {
        match version.as_deref() {
            None => Ok(SchemaVersion),
            Some(version) if version.split('.').next() == Some("1") => Ok(SchemaVersion),
            Some(version) => Err(format!(
                "unknown `schema_version` `{version}`: 1 is expected"
            )),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Affected<'a> {
    #[serde(default)]
    package: Option<Package>,
    #[serde(default)]
    severity: Option<Vec<SeverityEntry>>,
    #[serde(default)]
    ranges: Option<Vec<RangeNode>>,
    #[serde(default, borrow)]
    versions: Option<Vec<Text<'a>>>,
    #[serde(default)]
    ecosystem_specific: Option<Value>,
    #[serde(default)]
    database_specific: Option<Value>,
}

/// Versions are most of a document, and the same ones stand in many: they stay where they are.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct RangeNode {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Option<Vec<EventNode>>,
}

#[derive(Debug, Deserialize)]
struct EventNode {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

/// A document's word on one package, with version texts still in place.
#[derive(Debug)]
pub struct Statement<'a> {
    pub ecosystem: String,
    pub name: String,
    pub id: String,
    pub aliases: Vec<String>,
    pub upstream: Vec<String>,
    /// What it may be about as well, for lists of exploits alone.
    pub related: Vec<String>,
    /// Whose severities count where it states none: what it is another name for, or about.
    pub stands_for: Vec<String>,
    pub rating: Rating,
    pub title: String,
    pub published: Option<String>,
    pub versions: Vec<Cow<'a, str>>,
    pub ranges: Vec<Range>,
}

impl<'a> Document<'a> {
    /// One document, or a list of them. GIT ranges do not apply to packages;
    /// withdrawn documents say nothing.
    pub fn parse(bytes: &'a [u8]) -> Result<Vec<Document<'a>>, serde_json::Error> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let documents: Vec<Document<'_>> = match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'[') => serde_json::from_slice(bytes)?,
            _ => vec![serde_json::from_slice(bytes)?],
        };
        for document in &documents {
            document.check(bytes)?;
        }
        Ok(documents)
    }

    /// That it does not hide in a misspelt key what it is about.
    fn check(&self, bytes: &[u8]) -> Result<(), serde_json::Error> {
        let affected = self.affected.as_deref().unwrap_or_default();
        if affected.iter().any(Affected::is_nameless) {
            return Err(custom("`affected` names no `package`"));
        }
        // Few name nothing, and only they are read once more.
        if affected.is_empty()
            && let Some(key) = miscased(&serde_json::from_slice(bytes)?)
        {
            return Err(custom(&format!("`{key}`: the key is written `affected`")));
        }
        Ok(())
    }

    pub fn statements(self) -> Vec<Statement<'a>> {
        if self.is_withdrawn() {
            return Vec::new();
        }
        let (aliases, upstream) = (self.all_aliases(), self.other_upstream());
        let (title, stands_for) = (self.title(), self.stands_for());
        let related = self.related_alone();
        let is_malicious = is_malicious(&self.id) || aliases.iter().any(|a| is_malicious(a));
        let general = rate(self.severity.as_deref(), [self.database_specific.as_ref()])
            .or(rating_in_front(self.summary.as_deref().unwrap_or_default()));
        let affected = self.affected.unwrap_or_default();
        let statements = affected.into_iter().filter_map(|affected| {
            let rating = match is_malicious {
                true => Rating::MALICIOUS,
                false => affected.rating().or(general),
            };
            let package = affected.package?;
            let versions = affected.versions.unwrap_or_default();
            let ranges = ranges(affected.ranges.unwrap_or_default(), versions.is_empty());
            Some(Statement {
                ecosystem: ecosystem(&package.ecosystem),
                name: package.name,
                id: self.id.clone(),
                aliases: aliases.clone(),
                upstream: upstream.clone(),
                related: related.clone(),
                stands_for: stands_for.clone(),
                rating,
                title: title.clone(),
                published: self.published.clone(),
                versions: versions.into_iter().map(|text| text.0).collect(),
                ranges,
            })
        });
        statements.collect()
    }

    /// What is withdrawn in the future is not, and neither is what names no time.
    fn is_withdrawn(&self) -> bool {
        let time = self.withdrawn.as_deref().map(str::parse::<Timestamp>);
        time.is_some_and(|time| time.is_ok_and(|time| time <= Timestamp::now()))
    }

    /// `upstream` names what a distribution's advisory is about. It is an alias
    /// only where there is one to one (`DEBIAN-CVE-2024-1` is about `CVE-2024-1`),
    /// not for a DSA that gathers several.
    fn all_aliases(&self) -> Vec<String> {
        let upstream = self.upstream.iter().flatten();
        let same = upstream.filter(|u| self.id.ends_with(&format!("-{u}")));
        let mut aliases: Vec<String> = self.aliases.iter().flatten().chain(same).cloned().collect();
        aliases.sort();
        aliases.dedup();
        aliases
    }

    /// What `upstream` names besides aliases.
    fn other_upstream(&self) -> Vec<String> {
        let upstream = self.upstream.iter().flatten();
        let others = upstream.filter(|u| !self.id.ends_with(&format!("-{u}")));
        let mut others: Vec<String> = others.cloned().collect();
        others.sort();
        others.dedup();
        others
    }

    /// Distributions that do not use `upstream` yet say in `related` what they are about.
    fn stands_for(&self) -> Vec<String> {
        let own = self.aliases.iter().chain(&self.upstream).flatten();
        let names: Vec<String> = own.cloned().collect();
        match names.is_empty() {
            true => self.related_alone(),
            false => names,
        }
    }

    /// `related`, where nothing else says what it is about.
    fn related_alone(&self) -> Vec<String> {
        let mut own = self.aliases.iter().chain(&self.upstream).flatten();
        let mut names = match own.next() {
            Some(_) => Vec::new(),
            None => self.related.clone().unwrap_or_default(),
        };
        names.sort();
        names.dedup();
        names
    }

    /// How many packages it names.
    pub fn packages(&self) -> usize {
        self.affected.iter().flatten().count()
    }

    /// Which ecosystems it is about, with their releases.
    pub fn ecosystems(&self) -> impl Iterator<Item = String> {
        let affected = self.affected.iter().flatten();
        affected.filter_map(|a| Some(ecosystem(&a.package.as_ref()?.ecosystem)))
    }

    fn title(&self) -> String {
        let text = self.summary.as_deref().or(self.details.as_deref());
        let line = text
            .unwrap_or_default()
            .lines()
            .find(|l| !l.trim().is_empty());
        let line = line.unwrap_or_default().trim();
        match line.char_indices().nth(160) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line.to_string(),
        }
    }
}

/// Whatever stands in the place of `affected`.
fn miscased(document: &Value) -> Option<&str> {
    match document {
        Value::Array(documents) => documents.iter().find_map(miscased),
        Value::Object(fields) => {
            let mut keys = fields.keys().map(String::as_str);
            keys.find(|key| *key != "affected" && key.eq_ignore_ascii_case("affected"))
        }
        _ => None,
    }
}

fn custom(why: &str) -> serde_json::Error {
    serde::de::Error::custom(why)
}

impl Affected<'_> {
    /// Whether it speaks of versions of nothing: repositories alone have no name.
    fn is_nameless(&self) -> bool {
        let ranges = self.ranges.as_deref().unwrap_or_default();
        let is_of_repository = !ranges.is_empty() && ranges.iter().all(|r| r.kind == "GIT");
        let says_versions = !ranges.is_empty() || self.versions.iter().flatten().next().is_some();
        self.package.is_none() && says_versions && !is_of_repository
    }

    fn rating(&self) -> Rating {
        let specific = [
            self.ecosystem_specific.as_ref(),
            self.database_specific.as_ref(),
        ];
        rate(self.severity.as_deref(), specific)
    }
}

/// As OSV writes it, whatever the case of who wrote it by hand: nobody asks for `debian:12`.
fn ecosystem(written: &str) -> String {
    const NAMES: [&str; 26] = [
        "AlmaLinux",
        "Alpaquita",
        "Alpine",
        "Azure Linux",
        "BellSoft Hardened Containers",
        "Chainguard",
        "crates.io",
        "Debian",
        "Echo",
        "Go",
        "Mageia",
        "Maven",
        "MinimOS",
        "npm",
        "NuGet",
        "openEuler",
        "openSUSE",
        "Packagist",
        "Photon OS",
        "PyPI",
        "Red Hat",
        "Rocky Linux",
        "RubyGems",
        "SUSE",
        "Ubuntu",
        "Wolfi",
    ];
    let written = written.trim();
    let (name, release) = written.split_at(written.find(':').unwrap_or(written.len()));
    let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
    format!("{}{release}", known.unwrap_or(&name))
}

/// GIT ranges are of repositories. What is left says which versions it is about, or that it does not.
fn ranges(nodes: Vec<RangeNode>, is_only_word: bool) -> Vec<Range> {
    let is_nothing = is_only_word && nodes.is_empty();
    let kept = nodes.into_iter().filter_map(|node| {
        let kind = match node.kind.as_str() {
            "SEMVER" => RangeKind::Semver,
            "ECOSYSTEM" => RangeKind::Ecosystem,
            "GIT" => return None,
            _ => return Some(Range::UNCLEAR),
        };
        let events = node.events.unwrap_or_default();
        let events: Vec<Event> = events.into_iter().flat_map(EventNode::events).collect();
        let begins = |event: &Event| matches!(event, Event::Introduced(_));
        Some(match events.iter().any(begins) {
            true => Range { kind, events },
            false => Range::UNCLEAR,
        })
    });
    let mut ranges: Vec<Range> = kept.collect();
    ranges.extend(is_nothing.then_some(Range::UNCLEAR));
    ranges
}

impl EventNode {
    /// The schema allows one per object; some databases write two.
    fn events(self) -> impl Iterator<Item = Event> {
        let events = [
            self.introduced.map(Event::Introduced),
            self.fixed.map(Event::Fixed),
            self.last_affected.map(Event::LastAffected),
            self.limit.map(Event::Limit),
        ];
        events.into_iter().flatten()
    }
}
