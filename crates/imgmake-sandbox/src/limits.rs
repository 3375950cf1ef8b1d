//! What one RUN may use, and the limit that one went beyond.

use std::time::Duration;

/// `None`: without a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Bytes, of all processes together, with what lies in memory file systems.
    pub memory: Option<u64>,
    /// Processes and threads at a time.
    pub processes: Option<u64>,
    /// Bytes that are on disk, and in memory file systems, more than before.
    pub disk: Option<u64>,
    /// Of the wall clock.
    pub time: Option<Duration>,
}

impl Limits {
    pub fn is_none(&self) -> bool {
        *self == Limits::default()
    }
}

/// One limit with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Limit {
    Memory(u64),
    Processes(u64),
    Disk(u64),
    Time(Duration),
}

/// The error of a command that was killed because it used more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded(pub Limit);

impl std::error::Error for Exceeded {}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Limit::Memory(bytes) => write!(
                f,
                "RUN used more than the {} of memory that `limits` allows",
                size(bytes)
            ),
            Limit::Processes(count) => write!(
                f,
                "RUN had more than the {count} processes and threads that `limits` allows"
            ),
            Limit::Disk(bytes) => write!(
                f,
                "RUN wrote more than the {} of disk that `limits` allows",
                size(bytes)
            ),
            Limit::Time(time) => write!(
                f,
                "RUN took longer than the {} that `limits` allows",
                duration(time)
            ),
        }
    }
}

/// In the largest unit that it is a multiple of, so that it reads as it was written.
fn size(bytes: u64) -> String {
    let units = [
        (1 << 40, "Ti"),
        (1 << 30, "Gi"),
        (1 << 20, "Mi"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1 << 10, "Ki"),
        (1_000, "K"),
    ];
    match units.iter().find(|(unit, _)| bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

fn duration(time: Duration) -> String {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let mut rest = milliseconds;
    let mut text = String::new();
    for (unit, name) in units {
        if rest >= unit {
            text.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shown_as_it_was_written() {
        for (limit, expected) in [
            (Limit::Memory(256 << 20), "256Mi of memory"),
            (Limit::Memory(5 << 30), "5Gi of memory"),
            (Limit::Disk(20_000_000), "20M of disk"),
            (Limit::Disk(1_025), "1025 bytes of disk"),
            (Limit::Processes(50), "the 50 processes"),
            (Limit::Time(Duration::from_secs(1800)), "the 30m that"),
            (Limit::Time(Duration::from_millis(90_500)), "the 1m30s500ms"),
        ] {
            let text = Exceeded(limit).to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
