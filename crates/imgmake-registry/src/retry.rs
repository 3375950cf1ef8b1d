//! How often to try again, and how long to wait before the next attempt (`Retry-After`, backoff).
//! After which failures is decided elsewhere: in `error` for answers, in `session` for requests, in
//! `upload` for broken streams.

use std::time::{Duration, Instant, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Failure, RegistryError};
use imgmake_event::{Cancel, Cancelled};

/// A server may ask for a pause; beyond this we rather fail and say so.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// How often and how patiently.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub attempts: u32,
    /// The first and the longest pause.
    pub backoff: (Duration, Duration),
}

impl Policy {
    /// Waits before another attempt at something that `used` of them did not bring. Whether there is
    /// one: not after enough of them, and not where the server wants to be left alone for too long.
    pub(super) fn wait(
        self,
        used: u32,
        asked: Option<&str>,
        cancel: &Cancel,
    ) -> Result<bool, Cancelled> {
        if used >= self.attempts.max(1) {
            return Ok(false);
        }
        let asked = asked.and_then(|value| retry_after(value, SystemTime::now()));
        let own = || Attempts { policy: self, used }.pause(random_fraction());
        let pause = asked.unwrap_or_else(own);
        if pause > LONGEST_WAIT {
            return Ok(false);
        }
        cancel.wait(pause);
        cancel.check()?;
        Ok(true)
    }
}

/// The attempts of one operation.
pub(super) struct Attempts {
    policy: Policy,
    used: u32,
}

impl Attempts {
    pub(super) fn new(policy: Policy) -> Attempts {
        Attempts { policy, used: 1 }
    }

    /// Forgets earlier failures: the transfer moved on since.
    pub(super) fn renew(&mut self) {
        self.used = 1;
    }

    /// Waits before the next attempt, or gives the error back when there is none.
    /// An error that was given back is retried by nobody else.
    pub(super) fn again(
        &mut self,
        error: RegistryError,
        cancel: &Cancel,
    ) -> Result<(), RegistryError> {
        if self.used >= self.policy.attempts.max(1) {
            let error = error.with(|d| d.exhausted = Some(self.used));
            return Err(match error.advice() {
                None => advise(error),
                Some(_) => error,
            });
        }
        let pause = match error.pause() {
            Some(asked) if asked > LONGEST_WAIT => {
                let seconds = asked.as_secs();
                return Err(error.with(|d| d.exhausted = Some(self.used)).help(format!(
                    "it asks for a retry after {seconds} s, which is too long"
                )));
            }
            Some(asked) => asked,
            None => self.pause(random_fraction()),
        };
        self.used += 1;
        sleep(pause, cancel)
    }

    /// Exponential with full jitter: anything between nothing and the ceiling.
    fn pause(&self, fraction: f64) -> Duration {
        let (first, longest) = self.policy.backoff;
        let ceiling = first
            .saturating_mul(1 << (self.used - 1).min(20))
            .min(longest);
        ceiling.mul_f64(fraction)
    }
}

/// What remains when all attempts failed.
fn advise(error: RegistryError) -> RegistryError {
    match error.failure() {
        Failure::Server => error.help("the server has a problem: try later, or raise `retry`"),
        Failure::Throttled => {
            error.help("it limits requests: try later, use a mirror, or lower `concurrency`")
        }
        _ => error,
    }
}

/// Sleeps, waking early for a cancellation.
pub(super) fn sleep(pause: Duration, cancel: &Cancel) -> Result<(), RegistryError> {
    let until = Instant::now() + pause;
    loop {
        cancel.check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = http_date(value)?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn http_date(text: &str) -> Option<SystemTime> {
    // "Sun, 06 Nov 1994 08:49:37 GMT"; the week day may be wrong, it says nothing.
    let rest = text.split_once(',').map_or(text, |(_, rest)| rest).trim();
    let date = DateTime::strptime("%d %b %Y %H:%M:%S GMT", rest).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
}

fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    let random = ring::rand::SystemRandom::new();
    match ring::rand::SecureRandom::fill(&random, &mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::{ConnectionFault, Fault, Refusal};
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = http_date("Sun, 06 Nov 1994 08:49:07 GMT").unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            retry_after("Sat, 05 Nov 1994 08:49:37 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = Policy {
            attempts: 9,
            backoff: (Duration::from_secs(1), Duration::from_secs(5)),
        };
        let pauses: Vec<u64> = (1..5)
            .map(|used| Attempts { policy, used }.pause(1.0).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 5]);
        assert_eq!(Attempts { policy, used: 60 }.pause(0.0), Duration::ZERO);
    }

    #[test]
    fn attempts_end_and_the_error_says_how_many() {
        let policy = Policy {
            attempts: 2,
            backoff: (Duration::ZERO, Duration::ZERO),
        };
        let mut attempts = Attempts::new(policy);
        let error = || RegistryError::from(ConnectionFault::Other("reset".into()));
        assert!(attempts.again(error(), &Cancel::default()).is_ok());
        let last = attempts.again(error(), &Cancel::default()).unwrap_err();
        assert_eq!(last.to_string(), "reset (tried 2 times)");
        assert!(
            !last.is_retryable(),
            "whoever called would try it all again"
        );
    }

    #[test]
    fn an_hour_of_retry_after_is_an_error_at_once() {
        let policy = Policy {
            attempts: 5,
            backoff: (Duration::ZERO, Duration::ZERO),
        };
        let error = Attempts::new(policy)
            .again(
                RegistryError::from(Fault::Answer(Refusal {
                    pause: Some(Duration::from_secs(3600)),
                    ..Refusal::of_status(429)
                })),
                &Cancel::default(),
            )
            .unwrap_err();
        assert!(error.to_string().contains("3600 s"), "{error}");
    }
}
