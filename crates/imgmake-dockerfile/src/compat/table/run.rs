//! RUN and its mounts.

use super::super::builder::Builder::*;
use super::super::difference::{Difference, Shown, says, until};
use super::super::sight::{Place, Sight};
use crate::ast::{Instruction, MountSpec, PROXY_ARGS, RunNetwork, RunSecurity};

pub const ROWS: &[Difference] = &[
    Difference {
        name: "run-mount",
        here: "`RUN --mount` gives files, caches and secrets to one command",
        elsewhere: &[
            says(Kaniko, "ignores the flag"),
            says(Docker, "refuses the flag"),
        ],
        shown: Shown::Always(|sight| {
            sight.mounts(|_, mount| Some(format!("--mount=type={}", kind(mount))))
        }),
    },
    Difference {
        name: "mount-points-left",
        here: "mount points are not part of a layer",
        elsewhere: &[until(
            Buildah,
            "1.43",
            "leaves them behind, as empty files and directories",
        )],
        shown: Shown::Sometimes(|sight| {
            sight.mounts(|_, mount| Some(format!("--mount=type={}", kind(mount))))
        }),
    },
    Difference {
        name: "bind-mount-writes",
        here: "files that are written to a bind mount with `rw` are discarded",
        elsewhere: &[until(
            Buildah,
            "1.43",
            "they are in the stage or the context afterwards",
        )],
        shown: Shown::Sometimes(|sight| {
            sight.mounts(|_, mount| {
                let writable = ["rw", "readwrite"]
                    .into_iter()
                    .find(|key| option(mount, key).is_some_and(|value| value != "false"))?;
                (kind(mount) == "bind").then(|| writable.to_owned())
            })
        }),
    },
    Difference {
        name: "mount-from-number",
        here: "`from=` of a mount accepts the number of a stage",
        elsewhere: &[says(BuildKit, "looks for an image of that name")],
        shown: Shown::Always(|sight| {
            sight.mounts(|_, mount| {
                let from = mount.from()?;
                let number = from.bytes().all(|b| b.is_ascii_digit());
                number.then(|| format!("from={from}"))
            })
        }),
    },
    Difference {
        name: "mount-without-target",
        here: "a mount without a target is at the working directory",
        elsewhere: &[says(Buildah, "requires a target")],
        shown: Shown::Always(mount_without_target),
    },
    Difference {
        name: "mount-relative-target",
        here: "a mount's target may be relative to the working directory",
        elsewhere: &[until(Buildah, "1.43", "refuses it")],
        shown: Shown::Always(|sight| {
            sight.mounts(|_, mount| {
                let refused = ["bind", "cache", "tmpfs"].contains(&kind(mount));
                let target = target(mount).filter(|target| refused && !target.starts_with('/'))?;
                Some(format!("target={target}"))
            })
        }),
    },
    Difference {
        name: "mount-flag-values",
        here: "flags of a mount may have a value (`ro=true`), and `required` needs none",
        elsewhere: &[says(Buildah, "refuses some")],
        shown: Shown::Sometimes(|sight| {
            sight.mounts(|_, mount| {
                let flags = ["ro", "readonly", "rw", "readwrite"];
                let odd = mount.options.iter().find(|option| match option.value {
                    Some(_) => flags.contains(&option.key.as_str()),
                    None => option.key == "required",
                });
                odd.map(|option| option.key.clone())
            })
        }),
    },
    Difference {
        name: "ignored-files-in-mounts",
        here: "a bind mount of the context shows only files that the ignore file does not exclude",
        elsewhere: &[says(Buildah, "shows ignored files, too")],
        shown: Shown::Sometimes(|sight| {
            sight.mounts(|_, mount| {
                let of_context = kind(mount) == "bind" && mount.from().is_none();
                of_context.then(|| "--mount=type=bind".into())
            })
        }),
    },
    Difference {
        name: "cache-mounts-of-one-id",
        here: "caches with the same id but different owners, modes or sources are separate caches",
        elsewhere: &[until(Buildah, "1.43", "they are the same cache")],
        shown: Shown::Always(cache_mounts_of_one_id),
    },
    Difference {
        name: "cache-mount-private",
        here: "`sharing=private` gives each running step its own cache",
        elsewhere: &[says(Buildah, "refuses it")],
        shown: Shown::Always(|sight| {
            sight.mounts(|_, mount| {
                let sharing = option(mount, "sharing")?;
                (sharing == "private").then(|| "sharing=private".into())
            })
        }),
    },
    Difference {
        name: "cache-mount-mode",
        here: "`mode=`, `uid=` and `gid=` of a cache apply, whatever its source is",
        elsewhere: &[says(
            BuildKit,
            "they are ignored with `from=`; set-id and sticky bits are always ignored",
        )],
        shown: Shown::Sometimes(|sight| {
            sight.mounts(|_, mount| {
                let has = |key: &str| option(mount, key).is_some();
                let special = option(mount, "mode").is_some_and(|mode| {
                    u32::from_str_radix(mode, 8).is_ok_and(|mode| mode > 0o777)
                });
                let owned = has("mode") || has("uid") || has("gid");
                let counts = special || owned && has("from");
                (counts && kind(mount) == "cache").then(|| "--mount=type=cache".into())
            })
        }),
    },
    Difference {
        name: "agent-that-is-absent",
        here: "SSH_AUTH_SOCK is not set if no agent was given",
        elsewhere: &[says(BuildKit, "it names a socket that does not exist")],
        shown: Shown::Sometimes(|sight| {
            sight.mounts(|_, mount| (kind(mount) == "ssh").then(|| "--mount=type=ssh".into()))
        }),
    },
    Difference {
        name: "secret-as-variable",
        here: "`env=` of a secret puts it into the environment of one command",
        elsewhere: &[says(Buildah, "refuses `env=`")],
        shown: Shown::Always(|sight| {
            sight.mounts(|_, mount| {
                let name = option(mount, "env")?;
                (kind(mount) == "secret").then(|| format!("env={name}"))
            })
        }),
    },
    Difference {
        name: "tmpfs-size",
        here: "`size=` of a tmpfs is its maximum size",
        elsewhere: &[says(Buildah, "refuses `size=`")],
        shown: Shown::Always(|sight| {
            sight.mounts(|_, mount| {
                let size = option(mount, "size").filter(|size| !size.is_empty())?;
                Some(format!("size={size}"))
            })
        }),
    },
    Difference {
        name: "run-network",
        here: "`RUN --network` selects the network of one command",
        elsewhere: &[
            says(Kaniko, "ignores the flag"),
            says(Docker, "refuses the flag"),
        ],
        shown: Shown::Always(|sight| {
            sight.each(|step| match step.written {
                Instruction::Run(run) if run.network != RunNetwork::Default => {
                    Some("RUN --network".into())
                }
                _ => None,
            })
        }),
    },
    Difference {
        name: "run-security",
        here: "`RUN --security=insecure` has every capability, if the target allows it",
        elsewhere: &[
            says(Buildah, "refuses the flag"),
            says(Kaniko, "ignores the flag"),
            says(Docker, "refuses the flag"),
        ],
        shown: Shown::Always(|sight| {
            sight.each(|step| match step.written {
                Instruction::Run(run) if run.security != RunSecurity::Sandbox => {
                    Some("RUN --security".into())
                }
                _ => None,
            })
        }),
    },
    Difference {
        name: "run-is-mounted",
        here: "a RUN uses the image's `/run`",
        elsewhere: &[says(Buildah, "mounts a directory over it")],
        shown: Shown::Sometimes(|sight| {
            sight.each(|step| match step.written {
                Instruction::Run(_) => {
                    let words = step.text.split([' ', '"', '\'', '=', '>']);
                    let mut words = words.filter(|w| *w == "/run" || w.starts_with("/run/"));
                    words.next().map(str::to_owned)
                }
                _ => None,
            })
        }),
    },
    Difference {
        name: "mknod",
        here: "RUN can create device nodes if the kernel allows it, as in Docker's containers",
        elsewhere: &[says(Buildah, "not with `--isolation chroot`")],
        shown: Shown::Sometimes(|sight| {
            sight.each(|step| match step.written {
                Instruction::Run(_) => step.text.contains("mknod").then(|| "mknod".into()),
                _ => None,
            })
        }),
    },
    Difference {
        name: "proxy-spellings",
        here: "a proxy argument is set in both spellings, `HTTPS_PROXY` and `https_proxy`",
        elsewhere: &[
            says(Buildah, "a declared argument is set only as it is written"),
            says(Docker, "a declared argument is set only as it is written"),
        ],
        shown: Shown::Sometimes(|sight| {
            sight.each(|step| match step.written {
                Instruction::Arg(args) => {
                    let proxy = |name: &&str| PROXY_ARGS.contains(name);
                    let name = args.iter().map(|arg| arg.name.as_str()).find(proxy)?;
                    Some(format!("ARG {name}"))
                }
                _ => None,
            })
        }),
    },
    Difference {
        name: "tracing-variables",
        here: "a RUN has only the image's variables",
        elsewhere: &[says(
            BuildKit,
            "a daemon that traces adds `TRACEPARENT` and `OTEL_…`",
        )],
        shown: Shown::Never,
    },
    Difference {
        name: "hostname-of-run",
        here: "the host of a RUN is called `buildkitsandbox`",
        elsewhere: &[
            says(Buildah, "has another name"),
            says(Kaniko, "has the container's name"),
            says(Docker, "has another name"),
        ],
        shown: Shown::Never,
    },
];

fn option<'m>(mount: &'m MountSpec, key: &str) -> Option<&'m str> {
    let found = mount
        .options
        .iter()
        .rev()
        .find(|option| option.key == key)?;
    Some(found.value.as_deref().unwrap_or_default())
}

fn kind(mount: &MountSpec) -> &str {
    option(mount, "type").unwrap_or("bind")
}

fn target(mount: &MountSpec) -> Option<&str> {
    ["target", "dst", "destination"]
        .into_iter()
        .find_map(|key| option(mount, key))
        .filter(|target| !target.is_empty())
}

fn mount_without_target(sight: &Sight<'_>) -> Vec<Place> {
    sight.mounts(|_, mount| {
        let needs = ["bind", "cache", "tmpfs"].contains(&kind(mount));
        (needs && target(mount).is_none()).then(|| format!("--mount=type={}", kind(mount)))
    })
}

/// What a cache is besides its id.
fn beginning(mount: &MountSpec) -> Vec<&str> {
    let keys = ["from", "source", "src", "uid", "gid", "mode"];
    keys.iter()
        .map(|key| option(mount, key).unwrap_or_default())
        .collect()
}

fn cache_mounts_of_one_id(sight: &Sight<'_>) -> Vec<Place> {
    let mut seen: Vec<(String, Vec<String>)> = Vec::new();
    let mut places = Vec::new();
    for step in &sight.steps {
        let Instruction::Run(run) = &step.meant else {
            continue;
        };
        for mount in run.mounts.iter().filter(|mount| kind(mount) == "cache") {
            let id = option(mount, "id").or_else(|| target(mount));
            let id = id.unwrap_or_default().to_owned();
            let how: Vec<String> = beginning(mount).into_iter().map(String::from).collect();
            if seen
                .iter()
                .any(|(other, as_well)| *other == id && *as_well != how)
            {
                places.push(Place {
                    line: step.line,
                    words: format!("id={id}"),
                });
            }
            seen.push((id, how));
        }
    }
    places
}
