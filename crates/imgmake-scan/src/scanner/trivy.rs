//! Trivy: asked for JSON without a gate of its own, because with one its exit
//! code does not tell findings from errors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Finding, FindingKind, Scanned, Severity, first_line, left_out, reported_by};

/// It refuses OCI archives; the archive is a docker one.
pub fn arguments(archive: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "image",
        "--quiet",
        "--format",
        "json",
        "--exit-code",
        "0",
        "--input",
    ]
    .map(OsString::from)
    .into();
    arguments.push(archive.into());
    arguments
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    /// Present in every report since 2021; tells a report from other JSON.
    #[serde(rename = "SchemaVersion")]
    schema_version: u32,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    results: Option<Vec<ResultNode>>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(rename = "OS")]
    os: Option<Os>,
}

#[derive(Deserialize)]
struct Os {
    #[serde(rename = "Family", default)]
    family: String,
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "EOSL", default)]
    end_of_life: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultNode {
    #[serde(default)]
    target: String,
    #[serde(default)]
    vulnerabilities: Option<Vec<Vulnerability>>,
    #[serde(default)]
    secrets: Option<Vec<Secret>>,
    #[serde(default)]
    misconfigurations: Option<Vec<Misconfiguration>>,
    #[serde(default)]
    licenses: Option<Vec<License>>,
    /// What Trivy left out by rules of its own, if it was asked to tell.
    #[serde(default)]
    experimental_modified_findings: Option<Vec<Modified>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    #[serde(rename = "VendorIDs", default)]
    vendor_ids: Option<Vec<String>>,
    #[serde(default)]
    pkg_name: String,
    #[serde(default)]
    pkg_path: Option<String>,
    #[serde(default)]
    pkg_identifier: PkgIdentifier,
    #[serde(default)]
    installed_version: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    severity_source: Option<String>,
    #[serde(rename = "CVSS", default)]
    cvss: Option<BTreeMap<String, Cvss>>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    published_date: Option<String>,
    #[serde(default)]
    layer: Layer,
}

#[derive(Deserialize, Default)]
struct PkgIdentifier {
    #[serde(rename = "PURL")]
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Cvss {
    #[serde(rename = "V3Score")]
    v3: Option<f64>,
    #[serde(rename = "V40Score")]
    v4: Option<f64>,
    #[serde(rename = "V2Score")]
    v2: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Layer {
    #[serde(rename = "Digest")]
    digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    #[serde(rename = "RuleID")]
    id: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    title: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Misconfiguration {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "AVDID", default)]
    avd_id: Option<String>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    severity: String,
    /// `PASS`, `FAIL` or `EXCEPTION`.
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct License {
    name: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    category: String,
    #[serde(default)]
    pkg_name: String,
    #[serde(default)]
    file_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Modified {
    #[serde(default)]
    status: String,
    #[serde(default)]
    finding: ModifiedFinding,
}

#[derive(Deserialize, Default)]
struct ModifiedFinding {
    #[serde(
        alias = "VulnerabilityID",
        alias = "RuleID",
        alias = "ID",
        alias = "Name",
        default
    )]
    id: String,
    #[serde(rename = "PkgName", default)]
    package: String,
}

/// The one that Trivy has written since 0.20: another may hold its results elsewhere.
const SCHEMA_VERSION: u32 = 2;

/// `database` is Trivy's own `metadata.json`, if it lies where it should.
///
/// # Errors
/// A schema that this reader does not know, and what to do.
pub fn findings(report: Report, database: Option<Vec<u8>>) -> Result<Scanned, String> {
    if report.schema_version != SCHEMA_VERSION {
        return Err(format!(
            "unknown `SchemaVersion` {} of Trivy's JSON: {SCHEMA_VERSION} is expected; use a release of Trivy that writes it",
            report.schema_version
        ));
    }
    let mut scanned = Scanned {
        database_date: database.and_then(|d| metadata(&d)?.updated_at),
        ..Scanned::default()
    };
    if let Some(os) = report.metadata.os.filter(|os| os.end_of_life) {
        scanned.unjudged.push(format!(
            "packages of {} {} not judged: Trivy says that the release is no longer supported, so advisories are missing",
            os.family, os.name
        ));
    }
    let mut gone = Vec::new();
    for result in report.results.unwrap_or_default() {
        let vulnerabilities = result.vulnerabilities.into_iter().flatten();
        scanned
            .findings
            .extend(vulnerabilities.map(|v| v.finding(&result.target)));
        let secrets = result.secrets.into_iter().flatten();
        scanned.findings.extend(secrets.map(|s| Finding {
            kind: FindingKind::Secret,
            path: Some(result.target.trim_start_matches('/').to_string()),
            severity: Severity::of_word(&s.severity),
            title: s.title,
            ..reported_by("trivy", &s.id)
        }));
        let failed = result.misconfigurations.into_iter().flatten();
        let failed = failed.filter(|m| m.status != "PASS");
        scanned
            .findings
            .extend(failed.map(|m| m.finding(&result.target)));
        let licenses = result.licenses.into_iter().flatten();
        scanned
            .findings
            .extend(licenses.map(|l| l.finding(&result.target)));
        let modified = result.experimental_modified_findings.into_iter().flatten();
        gone.extend(modified.map(Modified::words));
    }
    scanned.warnings.extend(left_out("Trivy", &gone));
    Ok(scanned.settled())
}

impl Modified {
    fn words(self) -> String {
        let (id, package, status) = (self.finding.id, self.finding.package, self.status);
        match package.as_str() {
            "" => format!("{id} ({status})"),
            package => format!("{id} in {package} ({status})"),
        }
    }
}

impl Misconfiguration {
    fn finding(self, target: &str) -> Finding {
        let text = match self.message.is_empty() {
            true => &self.title,
            false => &self.message,
        };
        Finding {
            kind: FindingKind::Misconfiguration,
            aliases: self.avd_id.into_iter().filter(|a| *a != self.id).collect(),
            path: Some(target.trim_start_matches('/').to_string()),
            severity: Severity::of_word(&self.severity),
            title: first_line(text),
            ..reported_by("trivy", &self.id)
        }
    }
}

impl License {
    fn finding(self, target: &str) -> Finding {
        let file = self.file_path.filter(|p| !p.is_empty());
        let path = file.unwrap_or_else(|| target.to_string());
        Finding {
            kind: FindingKind::License,
            package: self.pkg_name,
            path: Some(path.trim_start_matches('/').to_string()),
            severity: Severity::of_word(&self.severity),
            title: first_line(&format!("license {} ({})", self.name, self.category)),
            ..reported_by("trivy", &self.name)
        }
    }
}

impl Vulnerability {
    fn finding(self, target: &str) -> Finding {
        let source = self.severity_source.as_deref().unwrap_or_default();
        let cvss = self.cvss.unwrap_or_default();
        // Of who stated the severity, else of the NVD, else of anybody.
        let by = cvss
            .get(source)
            .or_else(|| cvss.get("nvd"))
            .or_else(|| cvss.values().next());
        let text = self.title.or(self.description).unwrap_or_default();
        let path = self.pkg_path.filter(|p| !p.is_empty());
        Finding {
            aliases: self.vendor_ids.unwrap_or_default(),
            package: self.pkg_name,
            version: self.installed_version,
            purl: self.pkg_identifier.purl,
            path: Some(path.unwrap_or_else(|| target.to_string())),
            layer: self.layer.digest.and_then(|d| d.parse().ok()),
            fixed: self.fixed_version.filter(|v| !v.is_empty()),
            severity: Severity::of_word(&self.severity),
            score: by.and_then(|c| c.v3.or(c.v4).or(c.v2)),
            title: first_line(&text),
            published: self.published_date,
            ..reported_by("trivy", &self.id)
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DatabaseMetadata {
    updated_at: Option<String>,
    next_update: Option<String>,
}

fn metadata(bytes: &[u8]) -> Option<DatabaseMetadata> {
    serde_json::from_slice(bytes).ok()
}

/// Whether the next run will use the database that lies there.
pub fn is_settled(
    database: &[u8],
    environment: &BTreeMap<OsString, OsString>,
    now: Timestamp,
) -> bool {
    let has = |key: &str| environment.contains_key(std::ffi::OsStr::new(key));
    if has("TRIVY_SERVER") {
        return false;
    }
    let next = metadata(database).and_then(|m| m.next_update?.parse::<Timestamp>().ok());
    has("TRIVY_SKIP_DB_UPDATE") || next.is_some_and(|next| now < next)
}
