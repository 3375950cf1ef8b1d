//! How bad an advisory says it is: CVSS vectors, then the words of databases.

use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;

use crate::Severity;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rating {
    pub severity: Severity,
    /// CVSS base score.
    pub score: Option<f64>,
}

impl Rating {
    /// Of a package that does harm by itself.
    pub const MALICIOUS: Rating = Rating {
        severity: Severity::Critical,
        score: None,
    };

    pub fn worse(self, other: Rating) -> Rating {
        let key = |r: &Rating| (r.severity, r.score.unwrap_or_default());
        match key(&other) > key(&self) {
            true => other,
            false => self,
        }
    }

    pub fn or(self, other: Rating) -> Rating {
        if self.severity == Severity::Unknown {
            other
        } else {
            self
        }
    }
}

/// CVSS v3 first, because thresholds in use were made for it; then v4, v2, and
/// words such as `database_specific.severity` or Debian's `urgency`.
pub fn rate<'a>(
    entries: Option<&[SeverityEntry]>,
    specific: impl IntoIterator<Item = Option<&'a Value>>,
) -> Rating {
    let entries = entries.unwrap_or_default();
    let scored = ["CVSS_V3", "CVSS_V4", "CVSS_V2"]
        .iter()
        .flat_map(|kind| entries.iter().filter(move |e| e.kind == **kind))
        .find_map(|e| score(&e.score));
    if let Some(rating) = scored {
        return rating;
    }
    // Ubuntu writes its priority as a severity of its own type.
    let texts = entries.iter().map(|e| e.score.as_str());
    let specific: Vec<&Value> = specific.into_iter().flatten().collect();
    let words = specific
        .iter()
        .flat_map(|v| ["severity", "urgency"].map(|k| v.get(k).and_then(Value::as_str)))
        .flatten();
    let severity = texts
        .chain(words)
        .map(Severity::of_word)
        .find(|s| *s != Severity::Unknown)
        .unwrap_or_default();
    let in_words = Rating {
        severity,
        score: None,
    };
    let by_parts = specific.iter().map(|value| rating_of_parts(value));
    in_words.or(by_parts.fold(Rating::default(), Rating::worse))
}

/// The worst of what a notice of Ubuntu fixes: `cves_map.cves[].severity`.
fn rating_of_parts(specific: &Value) -> Rating {
    let cves = specific.get("cves_map").and_then(|map| map.get("cves"));
    let cves = cves.and_then(Value::as_array).into_iter().flatten();
    let ratings = cves.map(|cve| {
        let severity = cve.get("severity").cloned().unwrap_or_default();
        let entries: Vec<SeverityEntry> = serde_json::from_value(severity).unwrap_or_default();
        rate(Some(&entries), [])
    });
    ratings.fold(Rating::default(), Rating::worse)
}

/// `Important: kernel security update`, as AlmaLinux, Rocky Linux and their like write.
pub fn rating_in_front(summary: &str) -> Rating {
    let word = summary.split_once(':').map_or("", |(word, _)| word.trim());
    let severity = match word.to_ascii_lowercase().as_str() {
        "critical" | "important" | "moderate" | "low" => Severity::of_word(word),
        _ => Severity::Unknown,
    };
    Rating {
        severity,
        score: None,
    }
}

/// The base score of a CVSS vector of any version, or a bare number.
pub fn score(vector: &str) -> Option<Rating> {
    let vector = vector.trim().trim_end_matches('/');
    if let Ok(score) = vector.parse::<f64>() {
        return (0.0..=10.0).contains(&score).then(|| rated(score));
    }
    if vector.starts_with("CVSS:4.") {
        let vector = cvss::v4::Vector::from_str(vector).ok()?;
        Some(rated(vector.score().value()))
    } else if vector.starts_with("CVSS:3.") {
        let vector = cvss::v3::Vector::from_str(&base_of_three(vector)).ok()?;
        Some(rated(vector.score().value()))
    } else {
        let base = vector.trim_matches(['(', ')']);
        let vector = cvss::v2::Vector::from_str(&base_of_two(base)).ok()?;
        let score = vector.score().value();
        // v2 knows no critical and no none (NVD's table).
        let severity = match score {
            s if s < 4.0 => Severity::Low,
            s if s < 7.0 => Severity::Medium,
            _ => Severity::High,
        };
        Some(Rating {
            severity,
            score: Some(tenth(score)),
        })
    }
}

fn rated(score: f64) -> Rating {
    Rating {
        severity: Severity::of_score(score),
        score: Some(tenth(score)),
    }
}

fn tenth(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}

/// The rating is the base score's: temporal and environmental metrics go.
fn base_of_three(vector: &str) -> String {
    keep(
        vector,
        &["CVSS", "AV", "AC", "PR", "UI", "S", "C", "I", "A"],
    )
}

fn base_of_two(vector: &str) -> String {
    keep(vector, &["AV", "AC", "Au", "C", "I", "A"])
}

fn keep(vector: &str, names: &[&str]) -> String {
    let metrics = vector.split('/');
    let kept: Vec<&str> = metrics
        .filter(|m| {
            m.split_once(':')
                .is_some_and(|(name, _)| names.contains(&name))
        })
        .collect();
    kept.join("/")
}

#[derive(Debug, Deserialize)]
pub struct SeverityEntry {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub score: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_give_the_scores_that_were_published() {
        for (vector, published, severity) in [
            // Log4Shell, Heartbleed, Shellshock, Spectre, and scope and rounding cases.
            (
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H",
                10.0,
                Severity::Critical,
            ),
            (
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",
                7.5,
                Severity::High,
            ),
            (
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
                9.8,
                Severity::Critical,
            ),
            (
                "CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:C/C:H/I:N/A:N",
                5.6,
                Severity::Medium,
            ),
            (
                "CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N",
                6.4,
                Severity::Medium,
            ),
            (
                "CVSS:3.0/AV:N/AC:M/PR:N/UI:N/S:U/C:N/I:N/A:N",
                -1.0,
                Severity::Unknown,
            ),
            (
                "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L",
                1.6,
                Severity::Low,
            ),
            (
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N",
                0.0,
                Severity::None,
            ),
            (
                "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N/E:U/RL:O/RC:C",
                7.5,
                Severity::High,
            ),
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8, Severity::High),
            ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5, Severity::High),
            ("AV:L/AC:H/Au:N/C:C/I:C/A:C", 6.2, Severity::Medium),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H",
                10.0,
                Severity::Critical,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                9.3,
                Severity::Critical,
            ),
            (
                "CVSS:4.0/AV:L/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                8.5,
                Severity::High,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N",
                0.0,
                Severity::None,
            ),
        ] {
            let rating = score(vector);
            if published < 0.0 {
                assert_eq!(rating, None, "{vector}");
                continue;
            }
            let expected = Rating {
                severity,
                score: Some(published),
            };
            assert_eq!(rating, Some(expected), "{vector}");
        }
    }
}
