//! Functions about texts.

use crate::import::bake::value::Value;
use regex::{Regex, RegexBuilder};
use std::collections::HashSet;

use super::arguments::{
    Evaluated, Function, More, float_of, list_of, number_of, text_of, whole_of,
};
use super::outside::{self, room, spend};
use crate::import::bake::budget::{EACH, LARGEST};
use crate::import::bake::display::as_text;

pub(super) const FUNCTIONS: &[Function] = &[
    ("upper", 1, More::None, |a| {
        Ok(text_of(a, 0)?.to_uppercase().into())
    }),
    ("lower", 1, More::None, |a| {
        Ok(text_of(a, 0)?.to_lowercase().into())
    }),
    (
        "title",
        1,
        More::None,
        |a| Ok(title(&text_of(a, 0)?).into()),
    ),
    ("reverse", 1, More::None, |a| {
        Ok(text_of(a, 0)?.chars().rev().collect::<String>().into())
    }),
    ("chomp", 1, More::None, |a| {
        Ok(text_of(a, 0)?.trim_end_matches(['\n', '\r']).into())
    }),
    ("indent", 2, More::None, |a| {
        let spaces = usize::try_from(whole_of(a, 0)?).unwrap_or(0).min(1000);
        let margin = format!("\n{}", " ".repeat(spaces));
        let text = text_of(a, 1)?;
        room(text.len() + text.matches('\n').count() * spaces)?;
        Ok(text.replace('\n', &margin).into())
    }),
    ("trim", 2, More::None, |a| {
        let cut: HashSet<char> = text_of(a, 1)?.chars().collect();
        let text = text_of(a, 0)?;
        Ok(text.trim_matches(|c| cut.contains(&c)).into())
    }),
    ("trimspace", 1, More::None, |a| {
        Ok(text_of(a, 0)?.trim().into())
    }),
    ("trimprefix", 2, More::None, |a| {
        let (whole, start) = (text_of(a, 0)?, text_of(a, 1)?);
        Ok(whole.strip_prefix(&start).unwrap_or(&whole).into())
    }),
    ("trimsuffix", 2, More::None, |a| {
        let (whole, end) = (text_of(a, 0)?, text_of(a, 1)?);
        Ok(whole.strip_suffix(&end).unwrap_or(&whole).into())
    }),
    ("replace", 3, More::None, |a| {
        let (whole, from, to) = (text_of(a, 0)?, text_of(a, 1)?, text_of(a, 2)?);
        let found = whole.matches(from.as_str()).count();
        room((whole.len() - found * from.len()).saturating_add(found.saturating_mul(to.len())))?;
        Ok(whole.replace(&from, &to).into())
    }),
    ("join", 2, More::Any, join),
    ("split", 2, More::None, |a| {
        let (by, whole) = (text_of(a, 0)?, text_of(a, 1)?);
        let count = match by.is_empty() {
            true => whole.len(),
            false => whole.matches(by.as_str()).count() + 1,
        };
        spend(count * EACH)?;
        let parts: Vec<Value> = match by.is_empty() {
            true => whole.chars().map(|c| c.to_string().into()).collect(),
            false => whole.split(by.as_str()).map(Value::from).collect(),
        };
        Ok(Value::Array(parts))
    }),
    ("strlen", 1, More::None, |a| {
        Ok(text_of(a, 0)?.chars().count().into())
    }),
    ("substr", 3, More::None, |a| {
        let whole = text_of(a, 0)?;
        substr(&whole, whole_of(a, 1)?, whole_of(a, 2)?)
    }),
    // What names of targets cannot hold becomes `_`.
    ("sanitize", 1, More::None, |a| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let kept = |c| if legal(c) { c } else { '_' };
        Ok(text_of(a, 0)?.chars().map(kept).collect::<String>().into())
    }),
    ("basename", 1, More::None, |a| {
        let path = text_of(a, 0)?;
        let cut = path.trim_end_matches('/');
        Ok(match cut.rsplit('/').next() {
            _ if path.is_empty() => ".".into(),
            Some(last) if !last.is_empty() => last.into(),
            _ => "/".into(),
        })
    }),
    ("dirname", 1, More::None, |a| {
        Ok(dirname(&text_of(a, 0)?).into())
    }),
    ("regex", 2, More::None, |a| {
        let text = text_of(a, 0)?;
        let pattern = pattern(&text)?;
        let whole = text_of(a, 1)?;
        search(&text, whole.len())?;
        let found = pattern
            .captures(&whole)
            .map(|found| captured(&pattern, &found));
        found.ok_or_else(|| format!("the pattern does not match in {whole:?}"))
    }),
    ("regexall", 2, More::None, |a| {
        let text = text_of(a, 0)?;
        let pattern = pattern(&text)?;
        let whole = text_of(a, 1)?;
        search(&text, whole.len())?;
        let mut all = Vec::new();
        for found in pattern.captures_iter(&whole) {
            let value = captured(&pattern, &found);
            spend(value.weight())?;
            all.push(value);
            search(&text, whole.len() - found.get_match().end())?;
        }
        Ok(Value::Array(all))
    }),
    ("regex_replace", 3, More::None, |a| {
        let (whole, text, by) = (text_of(a, 0)?, text_of(a, 1)?, text_of(a, 2)?);
        replaced(&whole, &text, &by).map(Value::from)
    }),
    ("format", 1, More::Any, |a| {
        format(&text_of(a, 0)?, &a[1..]).map(Value::from)
    }),
    ("formatlist", 1, More::Any, formatlist),
];

fn join(a: &[Value]) -> Evaluated {
    let mut parts = Vec::new();
    for at in 1..a.len() {
        for value in list_of(a, at)? {
            parts.push(as_text(&value)?);
        }
    }
    let between = text_of(a, 0)?;
    let own: usize = parts.iter().map(String::len).sum();
    let all = parts.len().saturating_sub(1).saturating_mul(between.len());
    room(all.saturating_add(own))?;
    Ok(parts.join(&between).into())
}

fn title(text: &str) -> String {
    let mut inside = false;
    let one = |c: char| {
        let begins = !inside;
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
        if begins {
            c.to_uppercase().next().unwrap_or(c)
        } else {
            c
        }
    };
    text.chars().map(one).collect()
}

/// A start below nothing counts from the end; a length of -1 is all that follows.
fn substr(whole: &str, start: i64, length: i64) -> Evaluated {
    let all: Vec<char> = whole.chars().collect();
    let count = all.len() as i64;
    let start = if start < 0 { start + count } else { start };
    if start < 0 {
        return Err(format!(
            "{whole:?} has no character {start} before its start"
        ));
    }
    let start = start.min(count);
    let end = match length {
        -1 => count,
        length if length < 0 => return Err("a length is -1 or more".into()),
        length => start.saturating_add(length).min(count),
    };
    Ok(all[start as usize..end as usize]
        .iter()
        .collect::<String>()
        .into())
}

fn dirname(path: &str) -> String {
    let Some((directory, _)) = path.rsplit_once('/') else {
        return ".".into();
    };
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for part in directory.split('/') {
        match part {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => drop(kept.pop()),
            ".." if rooted => {}
            part => kept.push(part),
        }
    }
    match (rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".into(),
        (false, false) => kept.join("/"),
    }
}

/// Programs of patterns are no larger than this.
const LARGEST_PATTERN: usize = 1 << 20;

fn pattern(text: &str) -> Result<Regex, String> {
    outside::pattern(text, || {
        // A class of Unicode's is some thousands of bytes.
        spend(states(text).saturating_mul(4096).min(2 * LARGEST_PATTERN) + text.len())?;
        let mut builder = RegexBuilder::new(text);
        let built = builder
            .size_limit(LARGEST_PATTERN)
            .dfa_size_limit(LARGEST_PATTERN)
            .build();
        built.map_err(|_| format!("invalid regular expression {text:?}"))
    })
}

/// How many states a pattern may be in, about: what is repeated counts as often.
fn states(pattern: &str) -> usize {
    let counts = pattern.split('{').skip(1).filter_map(|after| {
        let count = after
            .split('}')
            .next()?
            .rsplit(',')
            .find(|part| !part.is_empty())?;
        count.trim().parse::<usize>().ok()
    });
    counts.fold(pattern.len(), usize::saturating_mul)
}

/// A search looks at all that is left of the text, once for each state at worst.
fn search(pattern: &str, left: usize) -> Result<(), String> {
    let states = states(pattern).min(LARGEST_PATTERN / 32);
    spend(left.saturating_mul(1 + states / 16) + EACH)
}

fn replaced(whole: &str, text: &str, by: &str) -> Result<String, String> {
    let pattern = pattern(text)?;
    search(text, whole.len())?;
    let groups = by.matches('$').count();
    let mut out = String::new();
    let mut after = 0;
    for found in pattern.captures_iter(whole) {
        let range = found.get_match().range();
        // No group is longer than all that was found.
        let most = groups.saturating_mul(range.len()).saturating_add(by.len());
        room((out.len() + range.start - after).saturating_add(most))?;
        out.push_str(&whole[after..range.start]);
        found.expand(by, &mut out);
        after = range.end;
        search(text, whole.len() - after)?;
    }
    room(out.len() + whole.len() - after)?;
    out.push_str(&whole[after..]);
    Ok(out)
}

/// Without groups the text that was found, else what the groups hold, by name if they have one.
fn captured(pattern: &Regex, found: &regex::Captures) -> Value {
    let text = |one: Option<regex::Match>| one.map_or(Value::Null, |m| m.as_str().into());
    let mut names = pattern.capture_names().skip(1).peekable();
    match names.peek() {
        None => text(found.get(0)),
        Some(None) => Value::Array((1..found.len()).map(|at| text(found.get(at))).collect()),
        Some(Some(_)) => super::arguments::object(
            names
                .flatten()
                .map(|name| (name.to_string(), text(found.name(name)))),
        ),
    }
}

fn formatlist(a: &[Value]) -> Evaluated {
    let lengths = a[1..].iter().filter_map(|value| match value {
        Value::Array(list) => Some(list.len()),
        _ => None,
    });
    let lengths: Vec<usize> = lengths.collect();
    if lengths.iter().any(|length| *length != lengths[0]) {
        return Err("its lists differ in length".into());
    }
    let pattern = text_of(a, 0)?;
    let copied: usize = a
        .iter()
        .filter(|value| !matches!(value, Value::Array(_)))
        .map(Value::weight)
        .sum();
    let line = |at: usize| {
        spend(copied)?;
        let values = a[1..].iter().map(|value| match value {
            Value::Array(list) => list[at].clone(),
            other => other.clone(),
        });
        format(&pattern, &values.collect::<Vec<Value>>()).map(Value::from)
    };
    let count = lengths.first().copied().unwrap_or(1);
    (0..count)
        .map(line)
        .collect::<Result<Vec<_>, _>>()
        .map(Value::Array)
}

/// One `%…` of a format.
#[derive(Default)]
struct Verb {
    left: bool,
    zeros: bool,
    sign: Option<char>,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

fn format(pattern: &str, values: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut next = 0;
    let mut used = 0;
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        loop {
            match rest.peek() {
                Some('-') => verb.left = true,
                Some('0') => verb.zeros = true,
                Some('#') => verb.alternate = true,
                Some(sign @ ('+' | ' ')) => verb.sign = Some(*sign),
                _ => break,
            }
            rest.next();
        }
        verb.width = digits(&mut rest).unwrap_or(0);
        if rest.next_if_eq(&'.').is_some() {
            verb.precision = Some(digits(&mut rest).unwrap_or(0));
        }
        if rest.next_if_eq(&'[').is_some() {
            let at = digits(&mut rest).filter(|at| *at > 0);
            let closed = rest.next_if_eq(&']').is_some();
            next = at.filter(|_| closed).ok_or("its `%[` names no argument")? - 1;
        }
        let letter = rest.next().ok_or("it ends within a `%`")?;
        if letter == '%' {
            out.push('%');
            continue;
        }
        let value = values.get(next);
        let value = value.ok_or_else(|| format!("missing argument of `%{letter}`"))?;
        next += 1;
        used = used.max(next);
        if verb.width > 10_000 || verb.precision.is_some_and(|p| p > 10_000) {
            return Err("it needs more than 10000 characters".into());
        }
        spend(2 * value.weight() + verb.width + verb.precision.unwrap_or(0))?;
        out.push_str(&verb.padded(verb.written(letter, value)?, letter));
        if out.len() > LARGEST {
            return Err("the value is too long".into());
        }
    }
    match used < values.len() {
        true => Err(format!("it has {} arguments and uses {used}", values.len())),
        false => Ok(out),
    }
}

fn digits(rest: &mut std::iter::Peekable<std::str::Chars>) -> Option<usize> {
    let mut text = String::new();
    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
        text.push(digit);
    }
    text.parse().ok()
}

impl Verb {
    fn written(&self, letter: char, value: &Value) -> Result<String, String> {
        let one = [value.clone()];
        let cut = |text: String| match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        };
        let text = match letter {
            'v' if self.alternate => value.to_json(),
            'v' => match value {
                Value::Array(_) | Value::Object(_) => value.to_json(),
                Value::Null => "null".into(),
                other => as_text(other)?,
            },
            's' => cut(as_text(value)?),
            'q' => Value::from(cut(as_text(value)?)).to_json(),
            't' => super::arguments::flag_of(&one, 0)?.to_string(),
            'd' => whole(&one, 10)?,
            'b' => whole(&one, 2)?,
            'o' => whole(&one, 8)?,
            'x' | 'X' => match value {
                Value::String(text) if text.parse::<f64>().is_err() => hex::encode(text),
                _ => whole(&one, 16)?,
            },
            'f' => std::format!("{:.*}", self.precision.unwrap_or(6), float_of(&one, 0)?),
            'e' | 'E' => exponential(float_of(&one, 0)?, self.precision.unwrap_or(6)),
            'g' | 'G' => number_of(&one, 0)?.to_string(),
            other => return Err(format!("unknown verb `%{other}`")),
        };
        let text = match letter {
            'X' | 'E' | 'G' => text.to_uppercase(),
            _ => text,
        };
        let signed = matches!(letter, 'd' | 'f' | 'e' | 'g' | 'b' | 'o' | 'x');
        Ok(match self.sign {
            Some(sign) if signed && !text.starts_with('-') => std::format!("{sign}{text}"),
            _ => text,
        })
    }

    fn padded(&self, text: String, letter: char) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            return text + &" ".repeat(missing);
        }
        let numeric = !matches!(letter, 's' | 'v' | 'q' | 't');
        if self.zeros && numeric {
            let at = text.find(|c: char| !"+- ".contains(c)).unwrap_or(0);
            return std::format!("{}{}{}", &text[..at], "0".repeat(missing), &text[at..]);
        }
        " ".repeat(missing) + &text
    }
}

fn whole(one: &[Value], base: u32) -> Result<String, String> {
    let number = number_of(one, 0)?;
    let digits = number.whole_digits(base);
    digits.ok_or_else(|| std::format!("invalid whole number {number}"))
}

/// As C writes it: at least two digits after the `e`, with their sign.
fn exponential(value: f64, precision: usize) -> String {
    let text = std::format!("{value:.precision$e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    std::format!("{digits}e{sign}{:02}", power.abs())
}
