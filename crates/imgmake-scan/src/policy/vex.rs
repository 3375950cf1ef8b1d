//! OpenVEX documents (openvex/spec v0.2.0, and v0.0.1's shorter forms): who says
//! that a product is not affected.

use serde::Deserialize;

use super::judgement::Subject;
use super::settings::TextFile;
use crate::error::{Result, ScanError};
use crate::{Finding, purl};
use imgmake_guard::excerpt::excerpt;

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@context")]
    context: String,
    statements: Vec<StatementNode>,
}

#[derive(Deserialize)]
struct StatementNode {
    vulnerability: Named,
    #[serde(default)]
    products: Vec<Product>,
    /// v0.0.1.
    #[serde(default)]
    subcomponents: Vec<Named>,
    status: Status,
    #[serde(default)]
    justification: Option<String>,
    #[serde(default)]
    impact_statement: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Status {
    NotAffected,
    Affected,
    Fixed,
    UnderInvestigation,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Object {
        #[serde(rename = "@id", default)]
        id: String,
        #[serde(default)]
        name: String,
        #[serde(default)]
        aliases: Vec<String>,
        #[serde(default)]
        identifiers: Identifiers,
    },
}

#[derive(Deserialize, Default)]
struct Identifiers {
    purl: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Product {
    Text(String),
    Object {
        #[serde(rename = "@id", default)]
        id: String,
        #[serde(default)]
        identifiers: Identifiers,
        #[serde(default)]
        subcomponents: Vec<Named>,
    },
}

/// One statement, ready to be asked.
pub struct Statement {
    vulnerabilities: Vec<String>,
    products: Vec<(String, Vec<String>)>,
    status: Status,
    reason: String,
}

pub fn read(file: &TextFile) -> Result<Vec<Statement>> {
    let invalid = |why: String| ScanError::invalid_at(&file.name, "OpenVEX document", why);
    let document: Document =
        serde_json::from_str(&file.text).map_err(|error| invalid(error.to_string()))?;
    if !document.context.contains("openvex") {
        let context = excerpt(&document.context);
        return Err(invalid(format!("its `@context` is `{context}`")));
    }
    Ok(document
        .statements
        .into_iter()
        .map(|s| statement(s, &file.name))
        .collect())
}

fn statement(node: StatementNode, file: &str) -> Statement {
    let shared: Vec<String> = node.subcomponents.iter().map(Named::purl).collect();
    let products = node.products.into_iter().map(|product| match product {
        Product::Text(id) => (id, shared.clone()),
        Product::Object {
            id,
            identifiers,
            subcomponents,
        } => {
            let own = subcomponents.iter().map(Named::purl);
            (
                identifiers.purl.unwrap_or(id),
                own.chain(shared.clone()).collect(),
            )
        }
    });
    let why = node.justification.or(node.impact_statement);
    let status = match node.status {
        Status::Fixed => "fixed",
        _ => "not affected",
    };
    Statement {
        vulnerabilities: node.vulnerability.names(),
        products: products.collect(),
        status: node.status,
        reason: format!(
            "VEX `{file}`: {}",
            why.map_or(status.into(), |w| format!("{status}, {w}"))
        ),
    }
}

impl Named {
    fn names(self) -> Vec<String> {
        match self {
            Named::Text(name) => vec![name],
            Named::Object {
                id, name, aliases, ..
            } => {
                let id = id.rsplit('/').next().unwrap_or_default().to_string();
                let own = [name, id].into_iter().filter(|n| !n.is_empty());
                own.chain(aliases).collect()
            }
        }
    }

    fn purl(&self) -> String {
        match self {
            Named::Text(purl) => purl.clone(),
            Named::Object {
                id, identifiers, ..
            } => identifiers.purl.clone().unwrap_or_else(|| id.clone()),
        }
    }
}

impl Statement {
    fn is_about(&self, finding: &Finding, subject: &Subject) -> bool {
        self.vulnerabilities.iter().any(|v| finding.is_named(v))
            && self
                .products
                .iter()
                .any(|(product, parts)| is_product(product, parts, finding, subject))
    }
}

/// A product is the image itself, with the packages in it as subcomponents, or
/// directly a package.
fn is_product(product: &str, parts: &[String], finding: &Finding, subject: &Subject) -> bool {
    let has = |pattern: &str| {
        finding
            .purl
            .as_deref()
            .is_some_and(|p| purl::covers(pattern, p))
    };
    if has(product) {
        return true;
    }
    is_image(product, subject) && (parts.is_empty() || parts.iter().any(|p| has(p)))
}

fn is_image(product: &str, subject: &Subject) -> bool {
    let Some(rest) = ["pkg:oci/", "pkg:docker/"]
        .iter()
        .find_map(|t| product.strip_prefix(t))
    else {
        return subject.digests.iter().any(|d| product == d.as_str()) || product == subject.name;
    };
    let parts = purl::Parts::of(rest);
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_string();
    let plain = subject.name.split(['@', ':']).next().unwrap_or_default();
    match parts.version {
        Some(digest) if digest.starts_with("sha256:") => {
            subject.digests.iter().any(|d| digest == d.as_str())
        }
        _ => last(&parts.name) == last(plain),
    }
}

/// The last statement about a finding decides; the reason if it clears it.
pub fn cleared<'a>(
    statements: &'a [Statement],
    finding: &Finding,
    subject: &Subject,
) -> Option<&'a str> {
    let last = statements
        .iter()
        .rev()
        .find(|s| s.is_about(finding, subject))?;
    matches!(last.status, Status::NotAffected | Status::Fixed).then_some(last.reason.as_str())
}
