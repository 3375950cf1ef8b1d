//! Functions about times. What "now" is, the caller says.

use crate::import::bake::value::Value;
use jiff::civil::Weekday;
use jiff::fmt::temporal::{DateTimePrinter, Pieces};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::arguments::{Evaluated, Function, More, object, text_of, whole_of};
use super::outside::{outside, spend};
use crate::import::bake::display::display;

pub(super) const FUNCTIONS: &[Function] = &[
    ("timestamp", 0, More::None, |_| {
        outside(|outside| Ok(outside.now.clone().into()))
    }),
    ("homedir", 0, More::None, |_| {
        outside(|outside| match outside.environment.get("HOME") {
            Some(home) => Ok(home.as_str().into()),
            None => Err("HOME is not set".into()),
        })
    }),
    ("timeadd", 2, More::None, |a| {
        let then = parsed(&text_of(a, 0)?)?;
        let sum = then.checked_add(duration(&text_of(a, 1)?)?);
        let sum = sum.map_err(|_| "the sum is beyond all dates")?;
        Ok(rfc3339(&sum).into())
    }),
    ("formatdate", 2, More::None, |a| {
        formatted(&text_of(a, 0)?, &parsed(&text_of(a, 1)?)?)
    }),
    ("formattimestamp", 2, More::None, |a| {
        let then = match &a[1] {
            Value::Number(_) => unix(whole_of(a, 1)?)?,
            _ => parsed(&text_of(a, 1)?)?,
        };
        match text_of(a, 0)?.as_str() {
            "X" => Ok(then.timestamp().as_second().to_string().into()),
            format => formatted(format, &then),
        }
    }),
    ("unixtimestampparse", 1, More::None, |a| match &a[0] {
        Value::Number(_) => parts(&unix(whole_of(a, 0)?)?),
        other => Err(format!("invalid number of seconds {}", display(other))),
    }),
];

/// RFC 3339, and the offset that it is written with.
fn parsed(text: &str) -> Result<Zoned, String> {
    let read = || {
        let pieces = Pieces::parse(text).ok()?;
        if pieces.time_zone_annotation().is_some() {
            return None;
        }
        let zone = TimeZone::fixed(pieces.to_numeric_offset()?);
        let then = pieces.date().to_datetime(pieces.time()?);
        then.to_zoned(zone).ok()
    };
    read()
        .ok_or_else(|| format!("invalid time {text:?}: expected one such as 2026-01-31T12:00:00Z"))
}

fn unix(seconds: i64) -> Result<Zoned, String> {
    Timestamp::from_second(seconds)
        .map(|then| then.to_zoned(TimeZone::UTC))
        .map_err(|_| format!("{seconds} is beyond all dates"))
}

fn rfc3339(then: &Zoned) -> String {
    match then.offset().is_zero() {
        true => then.timestamp().to_string(),
        false => {
            DateTimePrinter::new().timestamp_with_offset_to_string(&then.timestamp(), then.offset())
        }
    }
}

/// `1h30m`, `-5m`, `1.5s`, `250ms`
fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("invalid duration {text:?}: expected one such as 1h30m");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let count: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        seconds += count * unit;
        rest = &rest[end..];
    }
    match text.is_empty() || seconds > 1e11 {
        true => Err(wrong()),
        false => Ok(SignedDuration::from_secs_f64(sign * seconds)),
    }
}

/// Runs of one letter are a part of the time; text in quotes is itself.
fn formatted(format: &str, then: &Zoned) -> Evaluated {
    spend(format.len().saturating_mul(256))?;
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\'' {
            quoted(&mut rest, &mut out)?;
        } else if c.is_ascii_alphabetic() {
            let mut count = 1;
            while rest.next_if_eq(&c).is_some() {
                count += 1;
            }
            out.push_str(&part(c, count, then)?);
        } else {
            out.push(c);
        }
    }
    Ok(out.into())
}

fn quoted(rest: &mut std::iter::Peekable<std::str::Chars>, out: &mut String) -> Result<(), String> {
    loop {
        match rest.next() {
            Some('\'') if rest.next_if_eq(&'\'').is_some() => out.push('\''),
            Some('\'') => return Ok(()),
            Some(c) => out.push(c),
            None => return Err("a quote of the format is not closed".into()),
        }
    }
}

fn part(letter: char, count: usize, then: &Zoned) -> Result<String, String> {
    let (month, weekday) = (name(then, "%B"), name(then, "%A"));
    let hour12 = (then.hour() + 11) % 12 + 1;
    let offset = then.offset().seconds();
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    let noon = if then.hour() < 12 { "AM" } else { "PM" };
    Ok(match (letter, count) {
        ('Y', 4) => format!("{:04}", then.year()),
        ('Y', 2) => format!("{:02}", then.year().rem_euclid(100)),
        ('M', 4) => month,
        ('M', 3) => month[..3].to_string(),
        ('M', 2) => format!("{:02}", then.month()),
        ('M', 1) => then.month().to_string(),
        ('D', 2) => format!("{:02}", then.day()),
        ('D', 1) => then.day().to_string(),
        ('E', 4) => weekday,
        ('E', 3) => weekday[..3].to_string(),
        ('h', 2) => format!("{:02}", then.hour()),
        ('h', 1) => then.hour().to_string(),
        ('H', 2) => format!("{hour12:02}"),
        ('H', 1) => hour12.to_string(),
        ('A', 2) => noon.to_string(),
        ('a', 2) => noon.to_lowercase(),
        ('m', 2) => format!("{:02}", then.minute()),
        ('m', 1) => then.minute().to_string(),
        ('s', 2) => format!("{:02}", then.second()),
        ('s', 1) => then.second().to_string(),
        ('Z', 1) if offset == 0 => "Z".into(),
        ('Z', 3) if offset == 0 => "UTC".into(),
        ('Z', 1 | 5) => format!("{sign}{hours:02}:{minutes:02}"),
        ('Z', 3 | 4) => format!("{sign}{hours:02}{minutes:02}"),
        (letter, count) => {
            let run: String = std::iter::repeat_n(letter, count).collect();
            return Err(format!(
                "unknown part of a time `{run}`; put text in quotes"
            ));
        }
    })
}

fn name(then: &Zoned, of: &str) -> String {
    then.strftime(of).to_string()
}

fn parts(then: &Zoned) -> Evaluated {
    let iso = then.date().iso_week_date();
    let weekday: Weekday = then.weekday();
    let numbers = [
        ("year", i64::from(then.year())),
        ("year_day", i64::from(then.day_of_year())),
        ("day", i64::from(then.day())),
        ("month", i64::from(then.month())),
        ("weekday", i64::from(weekday.to_sunday_zero_offset())),
        ("hour", i64::from(then.hour())),
        ("minute", i64::from(then.minute())),
        ("second", i64::from(then.second())),
        ("iso_year", i64::from(iso.year())),
        ("iso_week", i64::from(iso.week())),
    ];
    let texts = [
        ("month_name", name(then, "%B")),
        ("weekday_name", name(then, "%A")),
        ("rfc3339", rfc3339(then)),
    ];
    let numbers = numbers.map(|(name, value)| (name.to_string(), Value::from(value)));
    let texts = texts.map(|(name, value)| (name.to_string(), Value::from(value)));
    Ok(object(numbers.into_iter().chain(texts)))
}
