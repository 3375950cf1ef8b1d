//! Durations as people write them: `200ms`, `1m30s`, `7d`.

use std::time::Duration;

/// `None` for anything else, for zero-length text and beyond a century.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        total = total.checked_add(number.checked_mul(milliseconds(&rest[..letters])?)?)?;
        rest = rest[letters..].trim_start();
    }
    let century = 100 * 366 * 86_400_000;
    (!text.trim().is_empty() && total <= century).then(|| Duration::from_millis(total))
}

fn milliseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(parse("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(parse("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse("7d"), Some(Duration::from_secs(604_800)));
        for wrong in [
            "",
            "5",
            "s",
            "5x",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "9999999w",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
