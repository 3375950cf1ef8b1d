//! Lists of vulnerabilities that are exploited, or probably will be, as they are published:
//! EPSS of FIRST (CSV with a comment in front, also in gzip), and CISA's catalog (KEV, JSON).

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::settings::{ListFile, Policy};
use crate::Finding;
use crate::basis::{Basis, BasisKind};
use crate::error::{Context, Result, ScanError};
use imgmake_guard::bounded;
use imgmake_guard::excerpt::excerpt;

/// Unpacked; the published one has about ten million.
const LARGEST: u64 = 256 << 20;

/// What is known of exploits.
#[derive(Debug, Default)]
pub struct Lists {
    epss: HashMap<String, f64>,
    kev: HashSet<String>,
    /// Which files they are from.
    pub bases: Vec<Basis>,
}

impl Lists {
    /// # Errors
    /// A file that is not of its form, by name; one without entries, which would let everything pass.
    pub fn read(policy: &Policy) -> Result<Lists> {
        Lists::of(policy.epss.as_ref(), policy.kev.as_ref())
    }

    /// # Errors
    /// As for [`Lists::read`].
    pub fn of(epss: Option<&ListFile>, kev: Option<&ListFile>) -> Result<Lists> {
        let mut lists = Lists::default();
        if let Some(file) = epss {
            let of = || format!("cannot read the EPSS list `{}`", file.name);
            lists.read_epss(file).with_context(of)?;
        }
        if let Some(file) = kev {
            let of = || format!("cannot read the KEV catalog `{}`", file.name);
            lists.read_kev(file).with_context(of)?;
        }
        Ok(lists)
    }

    /// Any vulnerability that it names.
    pub fn is_exploited(&self, finding: &Finding) -> bool {
        names(finding).any(|name| self.kev.contains(&name))
    }

    /// The highest of any vulnerability that it names.
    pub fn probability(&self, finding: &Finding) -> Option<f64> {
        let known = names(finding).filter_map(|name| self.epss.get(&name).copied());
        known.reduce(f64::max)
    }

    fn read_epss(&mut self, file: &ListFile) -> Result<()> {
        let bytes = match file.bytes.starts_with(&[0x1f, 0x8b]) {
            true => bounded::take(flate2::read::MultiGzDecoder::new(&file.bytes[..]), LARGEST)?,
            false => bounded::take(&file.bytes[..], LARGEST)?,
        };
        let text = String::from_utf8(bytes).map_err(|_| ScanError::invalid("text", "not UTF-8"))?;
        let mut lines = (1..).zip(text.lines()).peekable();
        let mut date = None;
        while let Some((_, comment)) = lines.next_if(|(_, line)| line.starts_with('#')) {
            let mut fields = comment.trim_start_matches('#').split(',');
            date = date.or(fields.find_map(|field| field.strip_prefix("score_date:")));
        }
        let header = lines.next().map(|(_, line)| line.trim_end());
        if header != Some("cve,epss,percentile") {
            return Err(ScanError::invalid(
                "header",
                "expected `cve,epss,percentile`",
            ));
        }
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            match epss_row(line) {
                Some((cve, score)) => {
                    // Of two, the higher one counts.
                    let known = self.epss.entry(cve.to_ascii_uppercase()).or_insert(score);
                    *known = known.max(score);
                }
                None => {
                    let (place, what) = (format!("line {number}"), excerpt(line));
                    let expected = "expected `CVE-…,PROBABILITY,PERCENTILE`";
                    return Err(ScanError::invalid_at(
                        place,
                        format!("row `{what}`"),
                        expected,
                    ));
                }
            }
        }
        if self.epss.is_empty() {
            return Err(ScanError::not_found(
                "entries",
                "expected a row for each CVE",
            ));
        }
        let date = date.map(String::from);
        self.bases.push(basis(BasisKind::Epss, file, date));
        Ok(())
    }

    fn read_kev(&mut self, file: &ListFile) -> Result<()> {
        let catalog: Catalog = serde_json::from_slice(&file.bytes)?;
        let entries = catalog.vulnerabilities;
        if entries.is_empty() {
            return Err(ScanError::not_found(
                "entries",
                "expected `vulnerabilities`",
            ));
        }
        if let Some(count) = catalog.count.filter(|count| *count != entries.len() as u64) {
            let why = format!("it has {} entries", entries.len());
            return Err(ScanError::invalid(format!("`count` {count}"), why));
        }
        if let Some(wrong) = entries.iter().find(|entry| !is_cve(&entry.cve_id)) {
            let what = format!("`cveID` `{}`", excerpt(&wrong.cve_id));
            return Err(ScanError::invalid(what, "expected `CVE-…`"));
        }
        self.kev = entries
            .into_iter()
            .map(|entry| entry.cve_id.to_ascii_uppercase())
            .collect();
        self.bases
            .push(basis(BasisKind::Kev, file, catalog.date_released));
        Ok(())
    }
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(rename = "dateReleased")]
    date_released: Option<String>,
    count: Option<u64>,
    vulnerabilities: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "cveID")]
    cve_id: String,
}

/// `CVE-…,PROBABILITY,PERCENTILE`: of a line that was cut off, a number would be another.
fn epss_row(line: &str) -> Option<(&str, f64)> {
    let fields: Vec<&str> = line.trim_end().split(',').collect();
    let [cve, score, percentile] = fields[..] else {
        return None;
    };
    let number = |text: &str| {
        let number = text.parse::<f64>().ok()?;
        let is_whole = text.ends_with(|c: char| c.is_ascii_digit());
        (is_whole && (0.0..=1.0).contains(&number)).then_some(number)
    };
    number(percentile)?;
    Some((cve, number(score).filter(|_| is_cve(cve))?))
}

/// `CVE-`, and numbers.
fn is_cve(id: &str) -> bool {
    cves(id).next().is_some_and(|cve| cve.len() == id.len())
}

/// The CVE numbers in an id, in one case: scanners call their results `CVE-2026-1-openssl`, and
/// distributions theirs `DEBIAN-CVE-2026-1`.
fn cves(id: &str) -> impl Iterator<Item = String> {
    let id = id.to_ascii_uppercase();
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let starts: Vec<usize> = id.match_indices("CVE-").map(|(at, _)| at + 4).collect();
    starts.into_iter().filter_map(move |start| {
        let rest = &id[start..];
        let year = digits(rest);
        let number = rest[year..].strip_prefix('-').map_or(0, digits);
        let end = match number {
            0 => year,
            number => year + 1 + number,
        };
        (year > 0).then(|| format!("CVE-{}", &rest[..end]))
    })
}

fn names(finding: &Finding) -> impl Iterator<Item = String> {
    let others = finding.aliases.iter().chain(&finding.upstream);
    let ids = std::iter::once(&finding.id).chain(others);
    ids.chain(&finding.related).flat_map(|id| cves(id))
}

fn basis(kind: BasisKind, file: &ListFile, date: Option<String>) -> Basis {
    Basis {
        kind,
        name: file.name.clone(),
        digest: Some(imgmake_oci::image::Digest::of(&file.bytes).to_string()),
        date,
    }
}
