//! The nearest legal word for a misspelt one.

use strsim::osa_distance;

/// The candidate that differs least from `word`, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words cannot be typing mistakes for an option, and would cost quadratic time.
    if word.len() > 64 {
        return None;
    }
    let limit = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognized() {
        assert_eq!(nearest("COPPY", ["RUN", "COPY"]), Some("COPY"));
        assert_eq!(nearest("chonw", ["chown", "chmod"]), Some("chown"));
        assert_eq!(nearest("tpye", ["type", "size"]), Some("type"));
    }

    #[test]
    fn another_word_is_not_a_slip() {
        assert_eq!(nearest("banana", ["chown", "chmod"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
