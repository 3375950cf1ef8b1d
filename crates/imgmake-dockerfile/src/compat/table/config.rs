//! What an image's config says: volumes, ports, users, commands.

use std::path::Path;

use super::super::builder::Builder::*;
use super::super::difference::{Difference, Shown, says, until};
use super::super::sight::{Place, Sight};
use crate::ast::{CommandLine, Healthcheck, Instruction};

pub const ROWS: &[Difference] = &[
    Difference {
        name: "volume-makes-a-directory",
        here: "VOLUME creates no directory",
        elsewhere: &[
            says(Buildah, "creates the directory"),
            says(Kaniko, "creates the directory"),
            says(Docker, "creates the directory"),
        ],
        shown: Shown::Sometimes(|sight| {
            sight.each(|step| match step.written {
                Instruction::Volume(list) => list.words.first().map(|w| format!("VOLUME {w}")),
                _ => None,
            })
        }),
    },
    Difference {
        name: "changes-below-a-volume",
        here: "files written below a VOLUME are kept",
        elsewhere: &[
            says(Buildah, "files that RUN writes there are discarded"),
            says(
                Kaniko,
                "files that RUN writes there are not part of a layer",
            ),
            says(Docker, "files that RUN writes there are discarded"),
        ],
        shown: Shown::Sometimes(|sight| {
            sight.each(|step| match step.written {
                Instruction::Run(_) => {
                    let volume = step.before.volumes.first()?;
                    Some(format!("RUN after VOLUME {volume}"))
                }
                _ => None,
            })
        }),
    },
    Difference {
        name: "expose-range",
        here: "`EXPOSE 8000-8002` is three ports",
        elsewhere: &[
            says(Buildah, "the range is not expanded"),
            says(Kaniko, "the range is not expanded"),
        ],
        shown: Shown::Always(|sight| {
            written_ports(sight, |word| {
                let ports = word.split('/').next().unwrap_or_default();
                ports.contains('-')
            })
        }),
    },
    Difference {
        name: "expose-protocol-case",
        here: "the protocol of EXPOSE is converted to lower case",
        elsewhere: &[
            says(Buildah, "upper case is kept"),
            says(Kaniko, "refuses upper case"),
        ],
        shown: Shown::Always(|sight| {
            written_ports(sight, |word| {
                word.split_once('/')
                    .is_some_and(|(_, p)| p != p.to_lowercase())
            })
        }),
    },
    Difference {
        name: "expose-address",
        here: "addresses and host ports of EXPOSE are dropped, with a warning",
        elsewhere: &[says(Buildah, "refuses them"), says(Kaniko, "they are kept")],
        shown: Shown::Always(|sight| written_ports(sight, |word| word.contains(':'))),
    },
    Difference {
        name: "expose-other-protocol",
        here: "`EXPOSE 53/tcp` and `53/udp` of the base are two ports",
        elsewhere: &[says(Buildah, "the port of the base is dropped")],
        shown: Shown::Always(expose_other_protocol),
    },
    Difference {
        name: "root-without-passwd",
        here: "`root` is 0 without a passwd file, too",
        elsewhere: &[says(Buildah, "does not know `root` without the file")],
        shown: Shown::Never,
    },
    Difference {
        name: "order-of-env",
        here: "an ENV that is set again keeps its position",
        elsewhere: &[says(Buildah, "its position may change")],
        shown: Shown::Never,
    },
    Difference {
        name: "workdir-as-written",
        here: "WORKDIR is stored as it is written, also with `/` at its end or twice",
        elsewhere: &[says(Docker, "stores the shortest path")],
        shown: Shown::Never,
    },
    Difference {
        name: "workdir-with-dots",
        here: "with the working directory `/a/../b`, a RUN creates each directory of the path, as in BuildKit",
        elsewhere: &[says(Buildah, "creates only `/b`")],
        shown: Shown::Sometimes(|sight| {
            sight.each(|step| match &step.meant {
                Instruction::Workdir(path) => {
                    path.contains("..").then(|| format!("WORKDIR {path}"))
                }
                _ => None,
            })
        }),
    },
    Difference {
        name: "workdir-alone",
        here: "WORKDIR creates its directory, which belongs to the current user",
        elsewhere: &[says(
            Buildah,
            "with `--layers`, as Podman builds, the next RUN, COPY or ADD creates it for its own user; if none follows, it is missing",
        )],
        shown: Shown::Sometimes(workdir_alone),
    },
    Difference {
        name: "owner-of-workdir",
        here: "a directory that WORKDIR creates belongs to the current user",
        elsewhere: &[says(Docker, "belongs to root")],
        shown: Shown::Sometimes(|sight| {
            sight.each(|step| match step.written {
                Instruction::Workdir(path) => {
                    let user = step.before.user.as_deref()?;
                    (!["0", "root"].contains(&user)).then(|| format!("WORKDIR {path}"))
                }
                _ => None,
            })
        }),
    },
    Difference {
        name: "shell-of-commands",
        here: "CMD and ENTRYPOINT in shell form run in the shell that SHELL names",
        elsewhere: &[says(Buildah, "run in `/bin/sh -c`")],
        shown: Shown::Always(|sight| {
            sight.each(|step| {
                let (Instruction::Cmd(command) | Instruction::Entrypoint(command)) = step.written
                else {
                    return None;
                };
                let shell = step.before.shell.as_ref()?;
                let usual = *shell == ["/bin/sh", "-c"];
                let is_shell = matches!(command, CommandLine::Shell(_));
                (is_shell && !usual).then(|| format!("{} after SHELL", step.written.name()))
            })
        }),
    },
    Difference {
        name: "healthcheck-start-interval",
        here: "HEALTHCHECK has `--start-interval`",
        elsewhere: &[
            until(Buildah, "1.43", "refuses the flag"),
            says(Kaniko, "drops it"),
        ],
        shown: Shown::Always(|sight| {
            sight.each(|step| match step.written {
                Instruction::Healthcheck(Healthcheck::Check(check)) => {
                    check.start_interval.map(|_| "--start-interval".into())
                }
                _ => None,
            })
        }),
    },
    Difference {
        name: "healthcheck-zero",
        here: "a time of HEALTHCHECK may be 0, which is the engine's default",
        elsewhere: &[says(Buildah, "refuses a timeout of 0s")],
        shown: Shown::Always(|sight| {
            sight.each(|step| match step.written {
                Instruction::Healthcheck(_) => step
                    .text
                    .contains("--timeout=0s")
                    .then(|| "--timeout=0s".into()),
                _ => None,
            })
        }),
    },
    Difference {
        name: "maintainer",
        here: "MAINTAINER is the image's author",
        elsewhere: &[says(Kaniko, "skips it")],
        shown: Shown::Always(|sight| {
            sight.each(|step| match step.written {
                Instruction::Maintainer(_) => Some("MAINTAINER".into()),
                _ => None,
            })
        }),
    },
];

fn written_ports(sight: &Sight<'_>, counts: fn(&str) -> bool) -> Vec<Place> {
    sight.each(|step| match step.written {
        Instruction::Expose(words) => words.iter().find(|word| counts(word)).cloned(),
        _ => None,
    })
}

/// A WORKDIR whose directory, or a directory in it, is no longer the current one when the next files are written, or
/// when another user does that.
fn workdir_alone(sight: &Sight<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for (at, step) in sight.steps.iter().enumerate() {
        let Instruction::Workdir(path) = &step.meant else {
            continue;
        };
        let mut later = sight.steps[at + 1..]
            .iter()
            .take_while(|other| other.stage == step.stage)
            .filter(|other| !other.is_trigger);
        let leaves = |to: &str| match to.starts_with('/') {
            true => !Path::new(to).starts_with(path),
            false => to.split('/').any(|part| part == ".."),
        };
        let is_made = later.find_map(|other| match &other.meant {
            Instruction::Run(_) | Instruction::Copy(_) | Instruction::Add(_) => {
                Some(other.before.user == step.before.user)
            }
            Instruction::Workdir(to) if leaves(to) => Some(false),
            _ => None,
        });
        if !step.is_trigger && is_made != Some(true) {
            places.push(Place {
                line: step.line,
                words: format!("WORKDIR {path}"),
            });
        }
    }
    places
}

fn expose_other_protocol(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| {
        let Instruction::Expose(ports) = &step.meant else {
            return None;
        };
        let number = |port: &str| port.split('/').next().unwrap_or_default().to_owned();
        let other = |port: &&String| {
            let before = step.before.ports.iter();
            let mut same = before.filter(|p| number(p) == number(port));
            same.any(|p| p != *port)
        };
        sight.base(step.stage)?;
        ports.iter().find(other).cloned()
    })
}
