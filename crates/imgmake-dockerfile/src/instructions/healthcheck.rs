//! HEALTHCHECK and Go's durations.

use super::*;
use std::time::Duration;

impl Request<'_> {
    pub(super) fn healthcheck(mut self) -> Result<Instruction> {
        let (kind, rest) = match self.arguments.split_once(char::is_whitespace) {
            Some((kind, rest)) => (kind, rest.trim()),
            None => (self.arguments, ""),
        };
        match kind.to_uppercase().as_str() {
            "" => Err(self.needs("CMD or NONE")),
            "NONE" => self.none(rest),
            "CMD" => {
                self.arguments = rest;
                self.check_command()
            }
            _ => {
                let nearest = suggest::nearest(&kind.to_uppercase(), ["CMD", "NONE"]);
                Err(Mistake::unknown(Kind::HealthcheckType, kind)
                    .in_word(kind)
                    .nearest(nearest)
                    .help("write HEALTHCHECK CMD command or HEALTHCHECK NONE"))
            }
        }
    }

    fn none(self, rest: &str) -> Result<Instruction> {
        if let Some(flag) = self.flags.first() {
            let flag = format!("--{flag}");
            let why = format!("takes no flags: `{flag}`");
            return Err(Mistake::unexpected("HEALTHCHECK NONE", why).in_word(flag));
        }
        match rest {
            "" => Ok(Instruction::Healthcheck(Healthcheck::None)),
            rest => Err(Mistake::unexpected("HEALTHCHECK NONE", "takes no command").in_word(rest)),
        }
    }

    fn check_command(mut self) -> Result<Instruction> {
        let interval = self.duration("interval")?;
        let timeout = self.duration("timeout")?;
        let start_period = self.duration("start-period")?;
        let start_interval = self.duration("start-interval")?;
        let retries = self.retries()?;
        let needs = |request: &Self| {
            let error = request.needs("a command");
            error.help("write HEALTHCHECK CMD command, or HEALTHCHECK NONE to check nothing")
        };
        if self.arguments.is_empty() {
            return Err(needs(&self));
        }
        let command = self.command_line()?;
        if command == CommandLine::Exec(Vec::new()) {
            return Err(needs(&self));
        }
        self.flags.finish()?;
        Ok(Instruction::Healthcheck(Healthcheck::Check(Check {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        })))
    }

    fn duration(&mut self, flag: &'static str) -> Result<Option<Duration>> {
        let Some(text) = self.flags.text(flag)? else {
            return Ok(None);
        };
        let invalid = |why: Option<&str>| {
            let what = format!("duration `--{flag}={text}`");
            let why = why.map(str::to_owned);
            Mistake::Invalid { what, why }
                .in_word(text.as_str())
                .help("write a duration such as 30s, 1m30s or 500ms")
        };
        let duration = go_duration(&text).ok_or_else(|| invalid(None))?;
        match duration {
            Duration::ZERO => Ok(None),
            d if d < Duration::from_millis(1) => Err(invalid(Some("it is less than 1ms"))),
            d => Ok(Some(d)),
        }
    }

    fn retries(&mut self) -> Result<Option<u32>> {
        let Some(text) = self.flags.text("retries")? else {
            return Ok(None);
        };
        let number = text.parse::<u32>().ok().filter(|n| *n <= i32::MAX as u32);
        match number {
            Some(0) => Ok(None),
            Some(number) => Ok(Some(number)),
            None => Err(Mistake::invalid(format!("count `--retries={text}`")).in_word(text)),
        }
    }
}

/// Go's `time.ParseDuration` without negative values: `1h2m3.5s`, `300ms`, `0`.
fn go_duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        let units = &rest[digits..];
        let end = units
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(units.len());
        total += number * nanoseconds(&units[..end])?;
        rest = &units[end..];
    }
    // Go counts nanoseconds in an i64.
    let fits = !text.is_empty() && total < i64::MAX as f64;
    fits.then(|| Duration::from_nanos(total.round() as u64))
}

fn nanoseconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 6e10,
        "h" => 3.6e12,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_gos() {
        let ms = Duration::from_millis;
        let table = [
            ("30s", Some(ms(30_000))),
            ("1m30s", Some(ms(90_000))),
            ("1.5h", Some(ms(5_400_000))),
            (".5s", Some(ms(500))),
            ("250ms", Some(ms(250))),
            ("0", Some(ms(0))),
            ("", None),
            ("30", None),
            ("s", None),
            ("-1s", None),
            ("1d", None),
            ("9999999h", None),
            ("1..s", None),
        ];
        for (text, expected) in table {
            assert_eq!(go_duration(text), expected, "{text}");
        }
    }
}
