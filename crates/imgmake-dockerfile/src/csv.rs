//! One line of comma-separated fields, as `--mount` takes them.

use super::error::Mistake;

/// Splits a line; a field in double quotes may hold commas, and `""` for a quote.
pub fn fields(line: &str) -> Result<Vec<String>, Mistake> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(rest)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn plain_field(rest: &str) -> Result<(String, Option<&str>), Mistake> {
    let (field, after) = match rest.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (rest, None),
    };
    match field.contains('"') {
        true => {
            let why = format!("a quote inside the unquoted option `{field}`");
            Err(Mistake::Syntax(why))
        }
        false => Ok((field.to_owned(), after)),
    }
}

fn quoted_field(mut rest: &str) -> Result<(String, Option<&str>), Mistake> {
    let mut field = String::new();
    loop {
        let Some((text, after)) = rest.split_once('"') else {
            let why = format!("a quote is not closed: `\"{rest}`");
            return Err(Mistake::Syntax(why));
        };
        field.push_str(text);
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if after.is_empty() {
            return Ok((field, None));
        } else if let Some(after) = after.strip_prefix(',') {
            return Ok((field, Some(after)));
        } else {
            let why = format!("a comma is missing after the quote before `{after}`");
            return Err(Mistake::Syntax(why));
        }
    }
}

/// The inverse of [`fields`].
pub fn join<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = fields
        .into_iter()
        .map(|field| match field.contains([',', '"']) {
            true => format!("\"{}\"", field.replace('"', "\"\"")),
            false => field.to_owned(),
        });
    quoted.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_protect_commas() {
        assert_eq!(fields("a=1,b").unwrap(), ["a=1", "b"]);
        assert_eq!(
            fields("\"a=1,2\",\"say \"\"x\"\"\"").unwrap(),
            ["a=1,2", "say \"x\""]
        );
        assert_eq!(fields("a,").unwrap(), ["a", ""]);
    }

    #[test]
    fn stray_quotes_are_errors() {
        for line in ["a\"b", "\"a", "\"a\"b"] {
            assert!(fields(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn joining_and_splitting_are_inverse(list in prop::collection::vec("[a,\" =]{0,6}", 1..5)) {
            prop_assert_eq!(fields(&join(list.iter().map(String::as_str))).unwrap(), list);
        }
    }
}
