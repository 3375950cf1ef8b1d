//! What decides about a verdict and comes from outside: databases, lists, the image with which one is compared.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::findings::printable_line;

/// Something from outside that decides about a verdict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Basis {
    pub kind: BasisKind,
    pub name: String,
    /// Of its content.
    pub digest: Option<String>,
    /// When it was made, or its newest entry, as it says.
    pub date: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BasisKind {
    Advisories,
    Epss,
    Kev,
    /// `only-new`.
    Baseline,
}

impl BasisKind {
    pub fn word(self) -> &'static str {
        match self {
            BasisKind::Advisories => "advisories",
            BasisKind::Epss => "epss",
            BasisKind::Kev => "kev",
            BasisKind::Baseline => "baseline",
        }
    }
}

impl Basis {
    /// With texts that can be shown: dates are those of scanners and lists.
    #[must_use]
    pub fn printable(mut self) -> Basis {
        let optional = [&mut self.date, &mut self.digest].into_iter().flatten();
        for text in optional.chain([&mut self.name]) {
            *text = printable_line(text);
        }
        self
    }

    /// One line: `advisories: advisories, newest entry of 2026-06-01T00:00:00Z (14 days old), blake3:…`
    pub fn sentence(&self, at: Timestamp) -> String {
        let mut text = format!("{}: {}", self.kind.word(), self.name);
        if let Some(date) = &self.date {
            text += match self.kind {
                BasisKind::Advisories => ", newest entry of ",
                BasisKind::Epss | BasisKind::Kev | BasisKind::Baseline => " of ",
            };
            text += date;
            text += &self.age(at);
        }
        if let Some(digest) = &self.digest {
            text += ", ";
            text += digest;
        }
        text
    }

    /// The same for a table: without the time of day, and with the first digits of the digest.
    pub fn short(&self, at: Timestamp) -> String {
        let mut text = format!("{}: {}", self.kind.word(), self.name);
        if let Some(date) = &self.date {
            let day: String = date.chars().take(10).collect();
            text += &format!(", {day}");
            text += &self.age(at);
        }
        if let Some(digest) = &self.digest {
            let (algorithm, hex) = digest.split_once(':').unwrap_or(("", digest));
            let start: String = hex.chars().take(12).collect();
            text += &format!(", {algorithm}:{start}");
        }
        text
    }

    fn age(&self, at: Timestamp) -> String {
        match self.days(at) {
            Some(1) => " (1 day old)".to_string(),
            Some(days) => format!(" ({days} days old)"),
            None => String::new(),
        }
    }

    /// How old it was then, in whole days.
    pub fn days(&self, at: Timestamp) -> Option<i64> {
        // FIRST writes its zone without a colon.
        let date = self.date.as_deref()?;
        let time = date
            .parse::<Timestamp>()
            .or_else(|_| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", date));
        let hours = at.duration_since(time.ok()?).as_hours();
        Some(hours.max(0) / 24)
    }
}
