//! The chain that the end of the run waited for.

use std::time::Duration;

use super::record::{Span, Timeline};

/// One target of the chain.
pub(super) struct Link {
    /// Its place in the timeline.
    pub target: usize,
    pub span: Span,
    /// How long it was ready and not begun: others had the places.
    pub waited: Duration,
}

/// From the target that began first to the one that ended last: of what each needs, the one that
/// ended last.
pub(super) fn path(timeline: &Timeline) -> Vec<Link> {
    let ran = |at: usize| timeline.targets[at].span.map(|span| (at, span));
    let places = (0..timeline.targets.len()).filter_map(ran);
    let mut next = places.max_by_key(|(_, span)| span.end);
    let mut links = Vec::new();
    while let Some((at, span)) = next {
        let needs = timeline.targets[at].needs.iter();
        next = needs
            .filter_map(|need| ran(*need))
            .max_by_key(|(_, span)| span.end);
        let ready = next.map_or(Duration::ZERO, |(_, before)| before.end);
        links.push(Link {
            target: at,
            span,
            waited: span.start.saturating_sub(ready),
        });
    }
    links.reverse();
    links
}

#[cfg(test)]
mod tests {
    use super::super::record::{Outcome, TargetSpan};
    use super::*;

    fn target(needs: &[usize], span: Option<(u64, u64)>) -> TargetSpan {
        TargetSpan {
            name: "t".into(),
            kind: "run",
            needs: needs.to_vec(),
            span: span.map(|(start, end)| Span {
                start: Duration::from_millis(start),
                end: Duration::from_millis(end),
            }),
            outcome: Outcome::Done,
            reasons: Vec::new(),
            parts: Vec::new(),
        }
    }

    #[test]
    fn the_path_goes_over_what_ended_last_and_says_who_waited() {
        let timeline = Timeline {
            began_at: String::new(),
            total: Duration::from_millis(100),
            targets: vec![
                target(&[], Some((0, 10))),
                target(&[], Some((5, 30))),
                // Up to date: it kept nobody waiting.
                target(&[], None),
                target(&[0, 1, 2], Some((40, 90))),
                target(&[3], Some((90, 100))),
                target(&[], Some((0, 95))),
            ],
            left_out: 0,
        };
        let links = path(&timeline);
        let places: Vec<(usize, u128)> = links
            .iter()
            .map(|link| (link.target, link.waited.as_millis()))
            .collect();
        assert_eq!(places, [(1, 5), (3, 10), (4, 0)]);
        let none = Timeline {
            targets: vec![target(&[], None)],
            ..timeline
        };
        assert!(path(&none).is_empty());
    }
}
