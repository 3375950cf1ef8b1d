//! How old what is known may be. Ages are judged in every run, also of a verdict that is up to
//! date: so a verdict says until when it holds.

use std::time::Duration;

use jiff::Timestamp;

use crate::scanner::Scanned;
use crate::skew::SKEW;

/// Until when what a scan knows is young enough, and why it is not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ages {
    pub valid_until: Option<Timestamp>,
    pub refusals: Vec<String>,
}

/// Of each ecosystem that was asked; of the database as a whole where none was.
pub fn judge(scanned: &Scanned, limit: Duration, now: Timestamp) -> Ages {
    let mut ages = Ages::default();
    if scanned.ecosystem_dates.is_empty() {
        ages.judge("", scanned.database_date.as_deref(), limit, now);
    }
    for (ecosystem, date) in &scanned.ecosystem_dates {
        ages.judge(ecosystem, date.as_deref(), limit, now);
    }
    ages
}

impl Ages {
    fn judge(&mut self, ecosystem: &str, date: Option<&str>, limit: Duration, now: Timestamp) {
        let what = match ecosystem {
            "" => "the advisory database".to_string(),
            ecosystem => format!("the advisory database of {ecosystem}"),
        };
        let most = span(limit.as_secs_f64());
        let refusal = match date.map(|date| (date, date.parse::<Timestamp>())) {
            None => {
                format!("the age of {what} is unknown; at most {most} are allowed")
            }
            Some((date, Err(_))) => format!("invalid date of {what}: `{date}`"),
            Some((date, Ok(then))) if then > now + SKEW => {
                format!("invalid date of {what}: `{date}` is in the future")
            }
            Some((date, Ok(then))) => {
                let age = now.duration_since(then).as_secs_f64();
                if age <= limit.as_secs_f64() {
                    let until = then.checked_add(limit).unwrap_or(Timestamp::MAX);
                    self.valid_until = self.valid_until.into_iter().chain([until]).min();
                    return;
                }
                format!(
                    "{what} is too old: its newest entry is of {date}, {} ago; at most {most} are allowed",
                    span(age)
                )
            }
        };
        self.refusals.push(refusal);
    }
}

/// `5.0 hours` below two days.
fn span(seconds: f64) -> String {
    let hours = seconds / 3600.0;
    match hours < 48.0 {
        true => format!("{hours:.1} hours"),
        false => format!("{:.1} days", hours / 24.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86400;

    fn judged(dates: &[(&str, Option<&str>)], days: u64) -> Ages {
        let dates = dates
            .iter()
            .map(|(name, date)| (name.to_string(), date.map(String::from)));
        let scanned = Scanned {
            database_date: Some("2026-06-14T00:00:00Z".into()),
            ecosystem_dates: dates.collect(),
            ..Scanned::default()
        };
        let now = "2026-06-15T12:00:00Z".parse().unwrap();
        judge(&scanned, Duration::from_secs(days * DAY), now)
    }

    #[test]
    fn each_ecosystem_that_was_asked_must_be_young_enough() {
        let (young, old) = (Some("2026-06-14T00:00:00Z"), Some("2026-05-01T00:00:00Z"));
        assert_eq!(judged(&[("npm", young)], 7).refusals, [""; 0]);
        let ages = judged(&[("Debian", old), ("npm", young)], 7);
        assert_eq!(ages.refusals.len(), 1);
        assert!(
            ages.refusals[0].contains("of Debian is too old")
                && ages.refusals[0].ends_with("45.5 days ago; at most 7.0 days are allowed"),
            "{ages:?}"
        );
        // None was asked: the whole counts.
        assert_eq!(judged(&[], 7).refusals, [""; 0]);
        assert_eq!(judged(&[], 1).refusals.len(), 1);
    }

    #[test]
    fn a_date_that_is_none_or_in_the_future_is_not_believed() {
        for date in [Some("2030-01-01T00:00:00Z"), Some("zzz"), None] {
            let ages = judged(&[("npm", date)], 7);
            assert_eq!(
                (ages.refusals.len(), ages.valid_until),
                (1, None),
                "{date:?}"
            );
        }
        let skewed = judged(&[("npm", Some("2026-06-15T12:30:00Z"))], 7);
        assert_eq!(skewed.refusals, [""; 0]);
    }

    #[test]
    fn a_verdict_holds_until_the_first_ecosystem_is_too_old() {
        let ages = judged(
            &[
                ("Debian", Some("2026-06-12T00:00:00Z")),
                ("npm", Some("2026-06-14T00:00:00Z")),
            ],
            7,
        );
        assert_eq!(
            ages.valid_until,
            Some("2026-06-19T00:00:00Z".parse().unwrap())
        );
    }
}
