//! OSV's affected ranges (schema, "Evaluation").

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::version::Scheme;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    pub kind: RangeKind,
    pub events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeKind {
    Semver,
    Ecosystem,
    /// Of a kind that the schema does not have, or without a beginning: which versions it is about is not known.
    Unclear,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Introduced(String),
    Fixed(String),
    LastAffected(String),
    Limit(String),
}

/// What a range says about a version.
#[derive(Clone, Debug, PartialEq)]
pub enum Inclusion {
    Outside,
    /// With the first `fixed` that ends it.
    Inside(Option<String>),
    /// The versions cannot be compared.
    Unknown,
    /// The range does not say what is in it.
    Unclear,
}

impl Event {
    fn version(&self) -> &str {
        match self {
            Event::Introduced(v) | Event::Fixed(v) | Event::LastAffected(v) | Event::Limit(v) => v,
        }
    }
}

impl Range {
    pub const UNCLEAR: Range = Range {
        kind: RangeKind::Unclear,
        events: Vec::new(),
    };

    pub fn holds(&self, version: &str, ecosystem: Scheme) -> Inclusion {
        let scheme = match self.kind {
            RangeKind::Semver => Scheme::Semver,
            RangeKind::Ecosystem => ecosystem,
            RangeKind::Unclear => return Inclusion::Unclear,
        };
        self.evaluate(version, scheme).unwrap_or(Inclusion::Unknown)
    }

    fn evaluate(&self, version: &str, scheme: Scheme) -> Option<Inclusion> {
        if !self.before_limits(version, scheme)? {
            return Some(Inclusion::Outside);
        }
        let mut inside = false;
        for event in self.sorted(scheme) {
            let at = to_event(version, event.version(), scheme)?;
            inside = match event {
                Event::Introduced(_) if at.is_ge() => true,
                Event::Fixed(_) if at.is_ge() => false,
                Event::LastAffected(_) if at.is_gt() => false,
                _ => inside,
            };
        }
        Some(if inside {
            Inclusion::Inside(self.first_fix(version, scheme))
        } else {
            Inclusion::Outside
        })
    }

    fn before_limits(&self, version: &str, scheme: Scheme) -> Option<bool> {
        let limits = self.events.iter().filter_map(|e| match e {
            Event::Limit(limit) => Some(limit.as_str()),
            _ => None,
        });
        let mut any = false;
        for limit in limits {
            any = true;
            if limit == "*" || to_event(version, limit, scheme)?.is_lt() {
                return Some(true);
            }
        }
        Some(!any)
    }

    /// By version; those that cannot be compared stay where they are written.
    fn sorted(&self, scheme: Scheme) -> Vec<&Event> {
        let mut events: Vec<&Event> = self.events.iter().collect();
        let limit = |e: &&Event| !matches!(e, Event::Limit(_));
        events.retain(limit);
        events.sort_by(|a, b| {
            between_events(a.version(), b.version(), scheme).unwrap_or(Ordering::Equal)
        });
        events
    }

    fn first_fix(&self, version: &str, scheme: Scheme) -> Option<String> {
        let fixes = self.events.iter().filter_map(|e| match e {
            Event::Fixed(fix) => Some(fix),
            _ => None,
        });
        let later = fixes.filter(|fix| to_event(version, fix, scheme).is_some_and(Ordering::is_lt));
        let earliest = later.min_by(|a, b| scheme.compare(a, b).unwrap_or(Ordering::Equal));
        earliest.cloned()
    }
}

/// `"0"` is before every version, in any scheme.
fn to_event(version: &str, event: &str, scheme: Scheme) -> Option<Ordering> {
    if event == "0" {
        return Some(Ordering::Greater);
    }
    scheme.compare(version, event)
}

fn between_events(a: &str, b: &str, scheme: Scheme) -> Option<Ordering> {
    match (a, b) {
        ("0", "0") => Some(Ordering::Equal),
        ("0", _) => Some(Ordering::Less),
        (_, "0") => Some(Ordering::Greater),
        _ => scheme.compare(a, b),
    }
}
