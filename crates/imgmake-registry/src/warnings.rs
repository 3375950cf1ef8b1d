//! `Warning` headers: what a registry wants people to know about its answer
//! (distribution specification 1.1, "Warnings").

use std::collections::BTreeSet;

/// What all headers of one answer may say together, in bytes.
const LONGEST: usize = 4096;
/// Different ones of one registry in one run.
const MOST: usize = 20;

/// Those that were not heard before, in order. Others than `299 - "text"` without a date are ignored, as the
/// specification wants it.
pub fn new<'h>(
    headers: impl Iterator<Item = &'h str>,
    heard: &mut BTreeSet<String>,
) -> Vec<String> {
    let mut left = LONGEST;
    let mut found = Vec::new();
    for header in headers {
        left = left.saturating_sub(header.len());
        if left == 0 || heard.len() == MOST {
            break;
        }
        if let Some(text) = text(header)
            && heard.insert(text.clone())
        {
            found.push(text);
        }
    }
    found
}

fn text(header: &str) -> Option<String> {
    let quoted = header.trim().strip_prefix("299 - \"")?;
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return characters.as_str().is_empty().then_some(text),
            '\\' => text.push(characters.next()?),
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(headers: &[&str]) -> Vec<String> {
        new(headers.iter().copied(), &mut BTreeSet::new())
    }

    #[test]
    fn only_the_form_of_the_specification_is_a_warning() {
        assert_eq!(said(&[r#"299 - "a \"b\" c""#]), [r#"a "b" c"#]);
        for other in [
            "",
            "299 - a",
            r#"199 - "a""#,
            r#"299 agent "a""#,
            r#"299 - "a" "Sat, 25 Aug 2012 23:34:45 GMT""#,
            r#"299 - "a"#,
            r#"299 - "a\"#,
        ] {
            assert_eq!(said(&[other]), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn each_is_told_once_and_there_is_an_end_to_them() {
        let one = r#"299 - "a""#;
        assert_eq!(said(&[one, one]), ["a"]);
        let long = format!("299 - \"{}\"", "x".repeat(5000));
        assert_eq!(said(&[&long, one]), Vec::<String>::new());
        let mut heard = BTreeSet::new();
        for at in 0..100 {
            new([format!("299 - \"{at}\"").as_str()].into_iter(), &mut heard);
        }
        assert_eq!(heard.len(), MOST);
    }
}
