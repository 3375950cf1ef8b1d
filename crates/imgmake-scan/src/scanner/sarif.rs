//! SARIF 2.1.0 of any scanner.

use serde::Deserialize;

use super::sarif_rules::{Message, Properties, Rule, RuleReference, Tool};
use super::{Finding, Scanned, Severity, first_line, reported_by};
use imgmake_guard::printable;

#[derive(Deserialize)]
pub struct Log {
    #[serde(default)]
    version: Option<String>,
    runs: Option<Vec<Run>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    #[serde(default)]
    results: Option<Vec<ResultNode>>,
    #[serde(default)]
    invocations: Option<Vec<Invocation>>,
    #[serde(default)]
    external_property_file_references: Option<ExternalFiles>,
}

#[derive(Deserialize)]
struct ExternalFiles {
    #[serde(default)]
    results: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    #[serde(default)]
    execution_successful: Option<bool>,
    #[serde(default)]
    tool_execution_notifications: Option<Vec<Notification>>,
    #[serde(default)]
    tool_configuration_notifications: Option<Vec<Notification>>,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(default)]
    level: Option<String>,
    #[serde(default)]
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultNode {
    #[serde(default)]
    rule_id: Option<String>,
    #[serde(default)]
    rule_index: Option<i64>,
    #[serde(default)]
    rule: Option<RuleReference>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    level: Option<String>,
    #[serde(default)]
    baseline_state: Option<String>,
    #[serde(default)]
    message: Message,
    #[serde(default)]
    locations: Option<Vec<Location>>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Option<PhysicalLocation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: Option<ArtifactLocation>,
}

#[derive(Deserialize)]
struct ArtifactLocation {
    uri: Option<String>,
}

/// Suppressions of the tool are not ours: whatever it names is judged here.
///
/// # Errors
/// Another version of SARIF, whose results may be elsewhere.
pub fn findings(log: Log) -> Result<Scanned, String> {
    if let Some(version) = log.version.filter(|version| version != "2.1.0") {
        return Err(format!(
            "unknown version `{version}` of SARIF: 2.1.0 is expected"
        ));
    }
    let mut scanned = Scanned::default();
    let runs = log.runs.unwrap_or_default();
    if runs.is_empty() {
        let why = "the SARIF report has no run: nothing was scanned";
        scanned.gaps.push(why.to_string());
    }
    for run in runs {
        scanned.gaps.extend(run.gaps());
        let results = run.results.into_iter().flatten();
        let here = results.filter(ResultNode::speaks_against);
        scanned
            .findings
            .extend(here.map(|result| result.finding(&run.tool)));
    }
    Ok(scanned.settled())
}

impl Run {
    /// What it should have looked into and did not, or could not.
    fn gaps(&self) -> Vec<String> {
        let name = &self.tool.driver.name;
        let mut gaps = Vec::new();
        let elsewhere = self.external_property_file_references.as_ref();
        let elsewhere = elsewhere.and_then(|files| files.results.as_ref());
        if elsewhere.is_some_and(|files| !files.is_empty()) {
            gaps.push(format!(
                "{name} keeps its results in other files, which are not read"
            ));
        } else if self.results.is_none() {
            // 3.14.23: an empty list says that nothing was found, none that nobody looked.
            gaps.push(format!("{name} has no `results`: it did not scan"));
        }
        for invocation in self.invocations.iter().flatten() {
            let errors = invocation.errors();
            if !errors.is_empty() {
                let errors = printable::sentences(errors, "; ");
                gaps.push(format!("{name} reports an error: {errors}"));
            } else if invocation.execution_successful == Some(false) {
                gaps.push(format!("{name} says that its run was not successful"));
            }
        }
        gaps
    }
}

impl Invocation {
    fn errors(&self) -> Vec<String> {
        let execution = self.tool_execution_notifications.iter().flatten();
        let configuration = self.tool_configuration_notifications.iter().flatten();
        let all = execution.chain(configuration);
        let errors = all.filter(|n| n.level.as_deref() == Some("error"));
        let text = |n: &Notification| match first_line(&n.message.text) {
            text if text.is_empty() => "without a text".to_string(),
            text => text,
        };
        errors.map(text).collect()
    }
}

impl ResultNode {
    /// What is not there any more, and what is known to be fine, do not; what waits for
    /// somebody's review does.
    fn speaks_against(&self) -> bool {
        let fine = ["pass", "informational", "notApplicable"];
        let kind = self.kind.as_deref().unwrap_or("fail");
        !fine.contains(&kind) && self.baseline_state.as_deref() != Some("absent")
    }

    fn finding(self, tool: &Tool) -> Finding {
        let reference = self.rule.unwrap_or_default();
        let id = self.rule_id.or_else(|| reference.id.clone());
        let rule = tool.rule(id.as_deref(), self.rule_index, &reference);
        let id = id.as_deref().or(rule.map(|r| r.id.as_str()));
        let score = self.properties.score().or_else(|| rule?.properties.score());
        // 3.27.10: of what did not fail, the level says nothing.
        let failed = self.kind.as_deref().is_none_or(|kind| kind == "fail");
        let level = self.level.as_deref().filter(|_| failed);
        let level = level.or_else(|| rule?.default_configuration.level.as_deref());
        let severity = match score {
            // Of what nobody has rated, scanners write 0.
            Some(score) if score <= 0.0 && level != Some("none") => Severity::Unknown,
            Some(score) => Severity::of_score(score),
            None => of_level(level),
        };
        let text = match self.message.text.as_str() {
            "" => rule.map_or("", Rule::text),
            text => text,
        };
        let mut paths = self.locations.iter().flatten().filter_map(|l| {
            let place = l.physical_location.as_ref()?.artifact_location.as_ref()?;
            place.uri.clone()
        });
        Finding {
            package: labeled(text, "Package:").unwrap_or_default(),
            version: labeled(text, "Installed Version:").unwrap_or_default(),
            fixed: labeled(text, "Fixed Version:"),
            path: paths.next(),
            other_paths: paths.collect(),
            severity,
            score: score.filter(|_| severity != Severity::Unknown),
            title: first_line(text),
            ..reported_by(&tool.driver.name, id.unwrap_or("unnamed"))
        }
    }
}

/// Without a level a result is a warning (3.27.10).
fn of_level(level: Option<&str>) -> Severity {
    Severity::of_word(level.unwrap_or("warning"))
}

/// Scanners of images write such lines into their messages.
fn labeled(text: &str, label: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|l| l.trim().strip_prefix(label))?
        .trim();
    (!value.is_empty()).then(|| value.to_string())
}
