//! Where time went: by what was done, and the longest steps.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::{Part, PartState, TargetSpan, Timeline, What};

/// Of one kind of work.
#[derive(Default)]
pub(super) struct Total {
    pub took: Duration,
    pub count: usize,
    pub cached: usize,
}

/// By instruction, transfer, or kind of target where that has no steps; the longest first.
pub(super) fn by_kind(timeline: &Timeline) -> Vec<(String, Total)> {
    let mut totals: BTreeMap<String, Total> = BTreeMap::new();
    for target in &timeline.targets {
        let mut has_steps = false;
        for part in &target.parts {
            has_steps = true;
            let total = totals.entry(word(part)).or_default();
            total.took += part.span.took();
            total.count += 1;
            total.cached += usize::from(part.state == PartState::Cached);
        }
        if let (Some(span), false) = (target.span, has_steps) {
            let name = match target.kind {
                "run" => "commands".to_string(),
                kind => format!("{kind} targets"),
            };
            let total = totals.entry(name).or_default();
            total.took += span.took();
            total.count += 1;
        }
    }
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_by_key(|(_, total)| std::cmp::Reverse(total.took));
    totals
}

/// The instruction of a step.
fn word(part: &Part) -> String {
    match part.what {
        What::Pull => "downloads".to_string(),
        What::Push => "uploads".to_string(),
        What::Step { .. } => {
            let first = part.text.split_whitespace().next().unwrap_or("");
            match !first.is_empty()
                && first.len() < 16
                && first.bytes().all(|b| b.is_ascii_alphabetic())
            {
                true => first.to_uppercase(),
                false => "other steps".to_string(),
            }
        }
    }
}

/// Steps and transfers that took longest, with their targets.
pub(super) fn longest(timeline: &Timeline, most: usize) -> Vec<(&TargetSpan, &Part)> {
    let targets = timeline.targets.iter();
    let mut parts: Vec<_> = targets
        .flat_map(|target| target.parts.iter().map(move |part| (target, part)))
        .filter(|(_, part)| part.span.took() >= Duration::from_millis(1))
        .collect();
    parts.sort_by_key(|(_, part)| std::cmp::Reverse(part.span.took()));
    parts.truncate(most);
    parts
}
