//! What an instruction does to the image's configuration and history. Receives final values; touches no file.

use std::time::Duration;

use crate::error::{BuildError, Result};
use crate::files::patterns::clean;
use imgmake_dockerfile::{CommandLine, Healthcheck, Instruction};
use imgmake_oci::image::{History, ImageConfig};

/// What BuildKit puts into an image without a PATH.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A configuration that instructions are applied to, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Configuring {
    pub image: ImageConfig,
    /// The stage itself set CMD: ENTRYPOINT leaves it then.
    pub cmd_is_own: bool,
    /// RFC 3339, for `created`.
    pub created: String,
}

/// Whether an instruction made a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryKind {
    Layer,
    Empty,
}

impl Configuring {
    /// Applies an instruction that changes nothing but the configuration; gives false for the others.
    ///
    /// # Errors
    /// Values that no configuration can hold.
    pub fn apply(&mut self, instruction: &Instruction) -> Result<bool> {
        let text = match instruction {
            Instruction::Env(pairs) => {
                for pair in pairs {
                    self.image.config.set_env(&pair.key, &pair.value);
                }
                joined(
                    "ENV",
                    pairs.iter().map(|p| format!("{}={}", p.key, p.value)),
                )
            }
            Instruction::Label(pairs) => {
                for pair in pairs {
                    self.image
                        .config
                        .labels
                        .insert(pair.key.clone(), pair.value.clone());
                }
                joined(
                    "LABEL",
                    pairs.iter().map(|p| format!("{}={}", p.key, p.value)),
                )
            }
            Instruction::Maintainer(name) => {
                self.image.author.clone_from(name);
                format!("MAINTAINER {name}")
            }
            Instruction::Cmd(command) => self.cmd(command),
            Instruction::Entrypoint(command) => self.entrypoint(command),
            Instruction::Shell(words) => {
                self.image.config.shell = Some(words.clone());
                format!("SHELL [{}]", words.join(" "))
            }
            Instruction::User(user) => {
                self.image.config.user.clone_from(user);
                format!("USER {user}")
            }
            Instruction::Volume(volumes) => self.volumes(&volumes.words)?,
            Instruction::Expose(ports) => {
                for port in ports {
                    self.image
                        .config
                        .exposed_ports
                        .insert(port.clone(), Default::default());
                }
                format!("EXPOSE [{}]", ports.join(" "))
            }
            Instruction::Stopsignal(signal) => {
                self.image.config.stop_signal.clone_from(signal);
                format!("STOPSIGNAL {signal}")
            }
            Instruction::Healthcheck(check) => self.healthcheck(check),
            Instruction::Onbuild(onbuild) => {
                self.image.config.on_build.push(onbuild.trigger.clone());
                return Ok(true); // BuildKit writes no history for it.
            }
            _ => return Ok(false),
        };
        self.history(text, HistoryKind::Empty);
        Ok(true)
    }

    pub fn history(&mut self, created_by: String, kind: HistoryKind) {
        self.image.history.push(History {
            created: Some(self.created.clone()),
            created_by,
            comment: "buildkit.dockerfile.v0".into(),
            empty_layer: kind == HistoryKind::Empty,
            ..History::default()
        });
    }

    /// The command line in the shell in force.
    pub fn with_shell(&self, command: &CommandLine) -> Vec<String> {
        match command {
            CommandLine::Exec(words) => words.clone(),
            CommandLine::Shell(text) => self.shell().into_iter().chain([text.clone()]).collect(),
        }
    }

    pub fn shell(&self) -> Vec<String> {
        match &self.image.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".into(), "-c".into()],
        }
    }

    /// The working directory after `WORKDIR path`: an absolute one as it is written, a relative one joined to
    /// where it was.
    pub fn workdir(&mut self, path: &str) -> String {
        let current = match self.image.config.working_dir.as_str() {
            "" => "/",
            current => current,
        };
        let workdir = match path {
            "" => current.to_string(),
            path if path.starts_with('/') => path.to_string(),
            path => {
                let cleaned = clean(format!("/{current}/{path}").as_bytes());
                String::from_utf8(cleaned).expect("cleaning keeps UTF-8")
            }
        };
        self.image.config.working_dir.clone_from(&workdir);
        workdir
    }

    /// A path of COPY, ADD or a mount in the image: relative ones begin at the working directory.
    /// A trailing `/` (or `.`) stays, because it makes the path a directory.
    pub fn absolute(&self, path: &str) -> String {
        let directory = crate::files::copy::planner::names_directory(path) || path.is_empty();
        let joined = if path.starts_with('/') {
            path.to_string()
        } else {
            format!("{}/{path}", self.image.config.working_dir)
        };
        let cleaned = clean(format!("/{joined}").as_bytes());
        let mut cleaned = String::from_utf8(cleaned).expect("cleaning keeps UTF-8");
        if directory && !cleaned.ends_with('/') {
            cleaned.push('/');
        }
        cleaned
    }

    fn cmd(&mut self, command: &CommandLine) -> String {
        let words = self.with_shell(command);
        let text = format!("CMD {}", quoted(&words));
        self.image.config.cmd = Some(words);
        self.image.config.args_escaped = true;
        self.cmd_is_own = true;
        text
    }

    fn entrypoint(&mut self, command: &CommandLine) -> String {
        let words = self.with_shell(command);
        let text = format!("ENTRYPOINT {}", quoted(&words));
        self.image.config.entrypoint = Some(words);
        if !self.cmd_is_own {
            self.image.config.cmd = None;
        }
        text
    }

    fn volumes(&mut self, volumes: &[String]) -> Result<String> {
        for volume in volumes {
            if volume.is_empty() {
                return Err(BuildError::invalid("VOLUME", "a path is empty"));
            }
            self.image
                .config
                .volumes
                .insert(volume.clone(), Default::default());
        }
        Ok(format!("VOLUME [{}]", volumes.join(" ")))
    }

    fn healthcheck(&mut self, check: &Healthcheck) -> String {
        let config = match check {
            Healthcheck::None => imgmake_oci::image::Healthcheck {
                test: vec!["NONE".into()],
                ..Default::default()
            },
            Healthcheck::Check(check) => imgmake_oci::image::Healthcheck {
                test: match &check.command {
                    CommandLine::Shell(text) => vec!["CMD-SHELL".into(), text.clone()],
                    CommandLine::Exec(words) => [vec!["CMD".to_string()], words.clone()].concat(),
                },
                interval: nanoseconds(check.interval),
                timeout: nanoseconds(check.timeout),
                start_period: nanoseconds(check.start_period),
                start_interval: nanoseconds(check.start_interval),
                retries: check.retries.map_or(0, i64::from),
            },
        };
        let text = format!(
            "HEALTHCHECK {{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
            config.test.join(" "),
            go_duration(config.interval),
            go_duration(config.timeout),
            go_duration(config.start_period),
            go_duration(config.start_interval),
            config.retries
        );
        self.image.config.healthcheck = Some(config);
        text
    }
}

fn joined(name: &str, words: impl Iterator<Item = String>) -> String {
    words.fold(name.to_string(), |line, word| line + " " + &word)
}

/// Go's `%q` of a list, which is what histories show.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|w| format!("{w:?}")).collect();
    format!("[{}]", words.join(" "))
}

fn nanoseconds(duration: Option<Duration>) -> i64 {
    duration.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

/// `1m30s` as Go prints it.
fn go_duration(nanoseconds: i64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let rest = nanoseconds % 1_000_000_000;
    if seconds == 0 && rest != 0 {
        return match rest {
            r if r % 1_000_000 == 0 => format!("{}ms", r / 1_000_000),
            r => format!("{}µs", r as f64 / 1000.0),
        };
    }
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = match rest {
        0 => String::new(),
        r => format!(".{:09}", r).trim_end_matches('0').to_string(),
    };
    match (hours, minutes) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, m) => format!("{m}m{seconds}{fraction}s"),
        (h, m) => format!("{h}h{m}m{seconds}{fraction}s"),
    }
}

/// RFC 3339 of a moment; the year 1970 for none.
pub fn created(epoch: Option<i64>) -> String {
    jiff::Timestamp::from_second(epoch.unwrap_or(0))
        .map(|then| then.to_string())
        .unwrap_or_else(|_| "1970-01-01T00:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(instructions: &[Instruction]) -> Configuring {
        let mut config = Configuring {
            created: created(None),
            ..Configuring::default()
        };
        for instruction in instructions {
            assert!(config.apply(instruction).unwrap());
        }
        config
    }

    #[test]
    fn entrypoint_clears_an_inherited_cmd_but_not_an_own_one() {
        let shell = |s: &str| CommandLine::Shell(s.into());
        let mut inherited = Configuring::default();
        inherited.image.config.cmd = Some(vec!["bash".into()]);
        inherited
            .apply(&Instruction::Entrypoint(shell("x")))
            .unwrap();
        assert_eq!(inherited.image.config.cmd, None);
        let own = configured(&[
            Instruction::Cmd(shell("c")),
            Instruction::Entrypoint(shell("x")),
        ]);
        assert_eq!(own.image.config.cmd.unwrap(), ["/bin/sh", "-c", "c"]);
    }

    #[test]
    fn shell_form_uses_the_shell_in_force() {
        let config = configured(&[
            Instruction::Shell(vec!["/bin/bash".into(), "-ec".into()]),
            Instruction::Cmd(CommandLine::Shell("run".into())),
        ]);
        assert_eq!(
            config.image.config.cmd.unwrap(),
            ["/bin/bash", "-ec", "run"]
        );
        assert_eq!(
            config.image.history[1].created_by,
            r#"CMD ["/bin/bash" "-ec" "run"]"#
        );
        assert!(config.image.history[1].empty_layer);
    }

    #[test]
    fn working_directories_chain() {
        let mut config = Configuring::default();
        assert_eq!(config.workdir("/a"), "/a");
        assert_eq!(config.workdir("b"), "/a/b");
        assert_eq!(config.workdir("../c/"), "/a/c");
        assert_eq!(config.absolute("."), "/a/c/");
        assert_eq!(config.absolute("x"), "/a/c/x");
        assert_eq!(config.absolute("/y/"), "/y/");
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_000_000, "5ms"),
        ] {
            assert_eq!(go_duration(nanoseconds), text);
        }
    }

    #[test]
    fn created_is_the_epoch() {
        assert_eq!(created(None), "1970-01-01T00:00:00Z");
        assert_eq!(created(Some(1_700_000_000)), "2023-11-14T22:13:20Z");
    }
}
