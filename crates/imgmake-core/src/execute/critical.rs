//! The critical path: which of several ready actions the end of the run waits for longest.

use std::time::Duration;

use super::action::Action;

/// Of actions that nobody timed, where none was.
const USUAL: Duration = Duration::from_secs(1);

/// Per action, in milliseconds: its own time, and then that of the longest chain of those that
/// depend on it. What was never timed takes as long as the others do on average.
pub fn lengths(actions: &[Action], took: impl Fn(&str) -> Option<Duration>) -> Vec<u64> {
    let timed: Vec<Option<Duration>> = actions.iter().map(|a| took(&a.target)).collect();
    let known = timed.iter().flatten();
    let count = u32::try_from(known.clone().count()).unwrap_or(u32::MAX);
    let usual = match count {
        0 => USUAL,
        count => known.sum::<Duration>() / count,
    };
    let own = |at: usize| {
        let time = timed[at].unwrap_or(usual).as_millis();
        // No chain is shorter than one with less in it.
        u64::try_from(time).unwrap_or(u64::MAX).max(1)
    };
    let mut behind = vec![0; actions.len()];
    let mut lengths = vec![0; actions.len()];
    for at in (0..actions.len()).rev() {
        let length = own(at).saturating_add(behind[at]);
        lengths[at] = length;
        for need in &actions[at].needs {
            behind[*need] = behind[*need].max(length);
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::When;

    #[test]
    fn the_longest_chain_is_first_by_what_was_timed_and_by_its_length_otherwise() {
        let needs: [&[usize]; 5] = [&[], &[], &[1], &[2], &[]];
        let action = |(at, needs): (usize, &&[usize])| Action {
            target: format!("t{at}"),
            kind: "run",
            needs: needs.to_vec(),
            when: When::Stale,
            pool: None,
            alone: false,
        };
        let actions: Vec<Action> = needs.iter().enumerate().map(action).collect();
        assert_eq!(lengths(&actions, |_| None), [1000, 3000, 2000, 1000, 1000]);
        let took = |name: &str| match name {
            "t0" => Some(Duration::from_secs(9)),
            "t1" | "t2" => Some(Duration::ZERO),
            _ => None,
        };
        assert_eq!(lengths(&actions, took), [9000, 3002, 3001, 3000, 3000]);
    }
}
