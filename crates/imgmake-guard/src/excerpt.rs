//! Excerpts of files that strangers wrote, for messages: other people read the log, and what
//! looks like a mistake may be a secret.

/// As many characters are quoted of what is not understood.
const MOST: usize = 20;

/// The beginning of a text, control characters visible and not sent.
pub fn excerpt(text: &str) -> String {
    let mut excerpt: String = text
        .chars()
        .take(MOST)
        .flat_map(|c| {
            let escaped: Box<dyn Iterator<Item = char>> = match c.is_control() {
                true => Box::new(c.escape_default()),
                false => Box::new(std::iter::once(c)),
            };
            escaped
        })
        .collect();
    if text.chars().nth(MOST).is_some() {
        excerpt.push('…');
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_quoted_and_nothing_is_sent_to_the_terminal() {
        assert_eq!(excerpt("COPPY"), "COPPY");
        assert_eq!(excerpt(&"x".repeat(20)), "x".repeat(20));
        assert_eq!(excerpt(&"é".repeat(21)), format!("{}…", "é".repeat(20)));
        assert_eq!(excerpt("a\r\u{1b}[2Kb"), "a\\r\\u{1b}[2Kb");
    }
}
