//! Numbers as people read them.

use std::borrow::Cow;
use std::time::Duration;

use super::options::Options;
use imgmake_guard::printable::{self, Colors};

/// `512 B`, `1.4 kB`, `67 MB`: powers of 1,000, two digits that matter.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// `12 ms`, `1.3 s`, `2 min 5 s`.
pub fn duration(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 0.9995 {
        format!("{} ms", (seconds * 1000.0).round())
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

/// `0 s`, `12 s`, `2 min 5 s`: what is still running.
pub(super) fn seconds(took: Duration) -> String {
    match took.as_secs() {
        whole @ 0..60 => format!("{whole} s"),
        _ => duration(took),
    }
}

/// `stopped: RUN make, RUN npm ci`, with the steps that a target was at.
pub(super) fn stopped(steps: &[String]) -> String {
    match steps {
        [] => "stopped".to_string(),
        steps => format!("stopped: {}", steps.join(", ")),
    }
}

/// `2026-01-31T23:59:59.123Z`
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The first 12 digits, as people compare them.
pub fn short_digest(digest: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').unwrap_or(("", digest));
    let short: String = hex.chars().take(12).collect();
    match algorithm.is_empty() {
        true => short,
        false => format!("{algorithm}:{short}"),
    }
}

/// Lines with the time before each, where that is wished: `2026-01-31T23:59:59.123Z `.
pub(super) fn stamped(lines: &[u8], options: Options) -> Cow<'_, [u8]> {
    if !options.timestamps || lines.is_empty() {
        return lines.into();
    }
    let stamp = now() + " ";
    let mut stamped = Vec::with_capacity(lines.len() + stamp.len());
    for line in lines.split_inclusive(|b| *b == b'\n') {
        stamped.extend_from_slice(stamp.as_bytes());
        stamped.extend_from_slice(line);
    }
    stamped.into()
}

/// What precedes a step: `[stage] `, or nothing where there is one stage only; with the platform, where the target
/// is built for several.
pub fn stage(platform: Option<&str>, name: &str) -> String {
    match labeled(platform, name).as_str() {
        "" => String::new(),
        label => format!("[{label}] "),
    }
}

/// `linux/arm64 stage`, of which each part may be missing.
pub(super) fn labeled(platform: Option<&str>, name: &str) -> String {
    let parts = platform.into_iter().chain([name]);
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// One line for a screen, printable, cut at `width`.
pub(super) fn line(bytes: &[u8], width: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    // A carriage return redraws the line: what stands after the last one counts.
    let text = text
        .trim_end_matches('\r')
        .rsplit('\r')
        .next()
        .unwrap_or_default();
    let text = printable::line(text, Colors::Removed).replace('\t', " ");
    console::truncate_str(&text, width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_digits_that_matter() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1400, "1.4 kB"),
            (67_000_000, "67 MB"),
            (999_600, "1.0 MB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times_grow_their_unit() {
        for (millis, text) in [
            (12, "12 ms"),
            (1300, "1.3 s"),
            (125_000, "2 min 5 s"),
            (999, "999 ms"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_progress_line_that_redraws_itself_is_shown_as_it_ended() {
        assert_eq!(line(b"10%\r20%\r\x1b[32mdone\x1b[0m", 80), "done");
        assert_eq!(line(b"a\x07b\tc", 80), "a␇b c");
        assert_eq!(line("äöü".as_bytes(), 2), "ä…");
    }
}
