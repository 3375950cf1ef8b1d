//! "Did you mean": the nearest of some names by edit distance. Knows strings only.

use strsim::osa_distance;

/// Bytes of a word that is compared.
const LONGEST: usize = 256;

/// The candidate that a typing error of `word` most likely meant: at most a third
/// of its letters differ (swapped neighbors count once), or it differs in case only.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are no typing errors, and would cost quadratic time.
    if word.len() > LONGEST {
        return None;
    }
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let folded = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| (1..=LONGEST).contains(&candidate.len()))
        .map(|candidate| (osa_distance(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean `x`?`, or the whole list when nothing is near and the list is short.
pub fn help<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    let candidates: Vec<&str> = candidates
        .into_iter()
        .filter(|candidate| seen.insert(*candidate))
        .collect();
    match nearest(word, candidates.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if candidates.is_empty() || candidates.len() > 40 => None,
        None => Some(format!("expected {}", one_of(&candidates))),
    }
}

/// `` `a` ``, `` `a` or `b` ``, `` one of `a`, `b`, `c` ``.
pub fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [one] => one.clone(),
        [one, other] => format!("{one} or {other}"),
        many => format!("one of {}", imgmake_guard::printable::list(many)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_word() {
        let words = ["dockerfile", "context", "contexts", "tags", "from"];
        assert_eq!(nearest("dockerfle", words), Some("dockerfile"));
        assert_eq!(nearest("contxets", words), Some("contexts"));
        assert_eq!(nearest("form", words), Some("from"));
        assert_eq!(nearest("TAGS", words), Some("tags"));
        assert_eq!(nearest("platform", words), None);
        assert_eq!(nearest("x", ["y"]), None);
    }

    #[test]
    fn help_lists_the_choices_when_nothing_is_near() {
        assert_eq!(help("zzz", ["a", "b"]).unwrap(), "expected `a` or `b`");
        assert_eq!(help("zzz", ["a", "b", "a"]).unwrap(), "expected `a` or `b`");
        assert_eq!(help("zzz", []), None);
    }
}
