//! SARIF 2.1.0 of any scanner.

use serde::Deserialize;

use super::{Finding, Scanned, Severity, first_line, reported_by};

#[derive(Deserialize)]
pub struct Log {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    tool: Tool,
    #[serde(default)]
    results: Option<Vec<ResultNode>>,
    #[serde(default)]
    invocations: Vec<Invocation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    #[serde(default)]
    execution_successful: Option<bool>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    #[serde(default)]
    name: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    #[serde(default)]
    default_configuration: Configuration,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize, Default)]
struct Configuration {
    level: Option<String>,
}

#[derive(Deserialize, Default)]
struct Properties {
    #[serde(rename = "security-severity")]
    security_severity: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultNode {
    #[serde(default)]
    rule_id: Option<String>,
    #[serde(default)]
    rule_index: Option<usize>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    level: Option<String>,
    #[serde(default)]
    message: Message,
    #[serde(default)]
    locations: Vec<Location>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize, Default)]
struct Message {
    #[serde(default)]
    text: String,
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
pub fn findings(log: Log) -> Scanned {
    let mut scanned = Scanned::default();
    for run in log.runs {
        if run
            .invocations
            .iter()
            .any(|i| i.execution_successful == Some(false))
        {
            let name = &run.tool.driver.name;
            scanned
                .gaps
                .push(format!("{name} says that its run was not successful"));
        }
        let results = run.results.into_iter().flatten();
        let failed = results.filter(|r| r.kind.as_deref().is_none_or(|k| k == "fail"));
        scanned
            .findings
            .extend(failed.map(|r| r.finding(&run.tool.driver)));
    }
    scanned.settled()
}

impl ResultNode {
    fn finding(self, tool: &Driver) -> Finding {
        let by_index = self.rule_index.and_then(|i| tool.rules.get(i));
        let by_id = || {
            tool.rules
                .iter()
                .find(|r| Some(&r.id) == self.rule_id.as_ref())
        };
        let rule = by_index.or_else(by_id);
        let id = self
            .rule_id
            .as_deref()
            .or(rule.map(|r| r.id.as_str()))
            .unwrap_or("unnamed");
        let score = number(&self.properties).or_else(|| number(&rule?.properties));
        let level = self.level.as_deref();
        let level = level.or_else(|| rule?.default_configuration.level.as_deref());
        let text = &self.message.text;
        Finding {
            package: labeled(text, "Package:").unwrap_or_default(),
            version: labeled(text, "Installed Version:").unwrap_or_default(),
            fixed: labeled(text, "Fixed Version:"),
            path: self.locations.iter().find_map(|l| {
                l.physical_location
                    .as_ref()?
                    .artifact_location
                    .as_ref()?
                    .uri
                    .clone()
            }),
            severity: score.map_or_else(|| of_level(level), Severity::of_score),
            score,
            title: first_line(text),
            ..reported_by(&tool.name, id)
        }
    }
}

/// A number, or one in quotes, as code hosts want it.
fn number(properties: &Properties) -> Option<f64> {
    let value = properties.security_severity.as_ref()?;
    let score = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    (0.0..=10.0).contains(&score).then_some(score)
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
