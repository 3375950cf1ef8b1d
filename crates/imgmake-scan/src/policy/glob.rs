//! Path patterns of ignore files: `*` and `?` within a name, `**` across names.

use regex::Regex;

/// Paths in findings have no leading `/`; patterns may.
pub fn matches(pattern: &str, path: &str) -> bool {
    let mut expression = String::from("^");
    let mut rest = pattern.trim_start_matches('/');
    while let Some(c) = rest.chars().next() {
        let (taken, meaning) = if rest.starts_with("**/") {
            (3, "(?:.*/)?".to_string())
        } else if rest.starts_with("**") {
            (2, ".*".to_string())
        } else if c == '*' {
            (1, "[^/]*".to_string())
        } else if c == '?' {
            (1, "[^/]".to_string())
        } else {
            (c.len_utf8(), regex::escape(&rest[..c.len_utf8()]))
        };
        expression.push_str(&meaning);
        rest = &rest[taken..];
    }
    expression.push('$');
    Regex::new(&expression).is_ok_and(|r| r.is_match(path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn one_star_stays_within_a_name_and_two_do_not() {
        for (pattern, path, expected) in [
            ("usr/lib/*.so", "usr/lib/a.so", true),
            ("usr/*.so", "usr/lib/a.so", false),
            ("**/a.so", "usr/lib/a.so", true),
            ("**/a.so", "a.so", true),
            ("/app/**", "app/x/y", true),
            ("app/[x]", "app/[x]", true),
            ("app/?", "app/xy", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
