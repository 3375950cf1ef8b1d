//! `semvercmp`: whether a version is within a constraint.

use semver::{Version, VersionReq};

use super::arguments::{Function, More, text_of};

pub(super) const FUNCTIONS: &[Function] = &[("semvercmp", 2, More::None, |a| {
    let (version, constraint) = (text_of(a, 0)?, text_of(a, 1)?);
    Ok(within(&parsed(&version)?, &constraint)?.into())
})];

/// `v1.2` is 1.2.0.
fn parsed(text: &str) -> Result<Version, String> {
    let wrong = || format!("invalid version {text:?}");
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let missing = 3usize
        .checked_sub(numbers.split('.').count())
        .ok_or_else(wrong)?;
    let full = format!("{numbers}{}{rest}", ".0".repeat(missing));
    Version::parse(&full).map_err(|_| wrong())
}

/// `>= 1.2, < 2 || ~3.1`
fn within(version: &Version, constraint: &str) -> Result<bool, String> {
    let mut any = false;
    for side in constraint.split("||") {
        any |= every(version, side.trim(), constraint)?;
    }
    Ok(any)
}

fn every(version: &Version, side: &str, constraint: &str) -> Result<bool, String> {
    let wrong = || format!("invalid version constraint {constraint:?}");
    let spaced = side.replace(',', " ");
    let mut words = spaced.split_whitespace().peekable();
    let mut all = words.peek().is_some();
    if !all {
        return Err(wrong());
    }
    while let Some(word) = words.next() {
        let digits = word
            .find(|c: char| !"<>=!~^".contains(c))
            .unwrap_or(word.len());
        let (operator, bound) = word.split_at(digits);
        let bound = match bound {
            "" => words.next().ok_or_else(wrong)?,
            bound => bound,
        };
        // `1.2 - 1.4`
        if operator.is_empty() && words.next_if_eq(&"-").is_some() {
            let end = words.next().ok_or_else(wrong)?;
            all &= holds(version, ">=", bound, constraint)?;
            all &= holds(version, "<=", end, constraint)?;
            continue;
        }
        all &= holds(version, operator, bound, constraint)?;
    }
    Ok(all)
}

fn holds(version: &Version, operator: &str, bound: &str, constraint: &str) -> Result<bool, String> {
    let wrong = || format!("invalid version constraint {constraint:?}");
    let bound = bound
        .strip_prefix('v')
        .unwrap_or(bound)
        .replace(['x', 'X'], "*");
    let operator = match operator {
        "" | "==" => "=",
        "=>" => ">=",
        "=<" => "<=",
        "~>" => "~",
        operator @ ("=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "^") => operator,
        _ => return Err(wrong()),
    };
    let read = |text: String| VersionReq::parse(&text).map_err(|_| wrong());
    // With an operator before it, a star means what was left out.
    let cut = bound.trim_end_matches(".*").to_string();
    if cut == "*" {
        return Ok(true);
    }
    if operator == "!=" {
        return Ok(!read(format!("={cut}"))?.matches(version));
    }
    Ok(read(format!("{operator}{cut}"))?.matches(version))
}
