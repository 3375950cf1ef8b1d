//! COPY, ADD and heredocs.

use super::super::builder::Builder::*;
use super::super::difference::{Difference, Shown, says, until};
use super::super::sight::{Place, Sight, Step};
use crate::StageReference;
use crate::ast::{Add, Copy, Files, Instruction};

pub const ROWS: &[Difference] = &[
    Difference {
        name: "heredocs",
        here: "a heredoc is a file, or the script of a RUN",
        elsewhere: &[
            until(Buildah, "1.43", "refuses it"),
            says(
                Kaniko,
                "RUN does not get its lines, COPY and ADD write no file",
            ),
            says(Docker, "refuses it"),
        ],
        shown: Shown::Always(heredocs),
    },
    Difference {
        name: "heredoc-details",
        here: "a heredoc is allowed in a trigger, may be empty, and `\\$` in it is `$`",
        elsewhere: &[says(
            Buildah,
            "refuses it in a trigger, an empty heredoc is a line, and `\\$` is kept",
        )],
        shown: Shown::Always(heredoc_details),
    },
    Difference {
        name: "copy-link",
        here: "`--link` copies into a layer that is independent of the base: symbolic links in the destination are not followed",
        elsewhere: &[
            says(
                Buildah,
                "refuses the flag; 1.43 ignores it without `--layers`",
            ),
            says(Kaniko, "ignores the flag"),
            says(Docker, "ignores the flag"),
        ],
        shown: Shown::Always(|sight| flag(sight, "--link", |c| c.link, |a| a.link)),
    },
    Difference {
        name: "copy-parents",
        here: "`--parents` keeps the directories of a source",
        elsewhere: &[
            says(
                Buildah,
                "refuses the flag; 1.43 reads `/./` after a wildcard differently",
            ),
            says(Kaniko, "refuses the flag"),
            says(Docker, "refuses the flag"),
        ],
        shown: Shown::Always(|sight| flag(sight, "--parents", |c| c.parents, |_| false)),
    },
    Difference {
        name: "copy-exclude",
        here: "`--exclude` leaves files out",
        elsewhere: &[
            says(
                Buildah,
                "refuses the flag; 1.43 also applies patterns to names at other depths",
            ),
            says(Kaniko, "refuses the flag"),
            says(Docker, "refuses the flag"),
        ],
        shown: Shown::Always(|sight| {
            flag(
                sight,
                "--exclude",
                |c| !c.exclude.is_empty(),
                |a| !a.exclude.is_empty(),
            )
        }),
    },
    Difference {
        name: "copy-chmod",
        here: "`--chmod` sets the mode of the copied files",
        elsewhere: &[says(Docker, "refuses the flag")],
        shown: Shown::Always(|sight| {
            flag(
                sight,
                "--chmod",
                |c| c.chmod.is_some(),
                |a| a.chmod.is_some(),
            )
        }),
    },
    Difference {
        name: "chmod-of-new-directories",
        here: "`--chmod` is also the mode of directories that are created for the copied files",
        elsewhere: &[says(Buildah, "they have 0755")],
        shown: Shown::Sometimes(|sight| {
            flag(
                sight,
                "--chmod",
                |c| c.chmod.is_some(),
                |a| a.chmod.is_some(),
            )
        }),
    },
    Difference {
        name: "symbolic-chmod",
        here: "`--chmod` takes symbolic modes, such as `u+x`",
        elsewhere: &[
            says(Buildah, "takes octal modes only"),
            says(Kaniko, "takes octal modes only"),
        ],
        shown: Shown::Always(symbolic_chmod),
    },
    Difference {
        name: "add-checksum",
        here: "`ADD --checksum` checks the downloaded file",
        elsewhere: &[
            until(Buildah, "1.43", "refuses the flag"),
            says(Kaniko, "ignores the flag: checks nothing"),
            says(Docker, "refuses the flag"),
        ],
        shown: Shown::Always(|sight| add_flag(sight, "--checksum", |a| a.checksum.is_some())),
    },
    Difference {
        name: "add-keep-git-dir",
        here: "`ADD --keep-git-dir` keeps `.git`",
        elsewhere: &[
            says(
                Buildah,
                "refuses the flag, also in 1.43 for `https://….git`",
            ),
            says(Kaniko, "adds no repositories"),
            says(Docker, "refuses the flag"),
        ],
        shown: Shown::Always(|sight| {
            add_flag(sight, "--keep-git-dir", |a| a.keep_git_dir.is_some())
        }),
    },
    Difference {
        name: "add-unpack",
        here: "`ADD --unpack` says whether archives are unpacked",
        elsewhere: &[
            says(Buildah, "refuses the flag"),
            says(Kaniko, "ignores the flag"),
            says(Docker, "refuses the flag"),
        ],
        shown: Shown::Always(|sight| add_flag(sight, "--unpack", |a| a.unpack.is_some())),
    },
    Difference {
        name: "add-git",
        here: "ADD of a repository accepts a branch, a directory and options",
        elsewhere: &[
            until(Buildah, "1.43", "fetches `https://….git` as a file"),
            says(Kaniko, "adds no repositories"),
            says(Docker, "refuses it"),
        ],
        shown: Shown::Always(add_git),
    },
    Difference {
        name: "archive-chown",
        here: "`ADD --chown` gives an archive's files that owner",
        elsewhere: &[
            says(Buildah, "they keep the archive's owners"),
            says(Kaniko, "they keep the archive's owners"),
            says(Docker, "they keep the archive's owners"),
        ],
        shown: Shown::Sometimes(|sight| archives(sight, |add| add.chown.is_some())),
    },
    Difference {
        name: "archive-root",
        here: "an archive's entry for its root changes nothing",
        elsewhere: &[says(
            Buildah,
            "it changes mode and owner of the destination",
        )],
        shown: Shown::Sometimes(|sight| archives(sight, |_| true)),
    },
    Difference {
        name: "archive-root-file",
        here: "an archive's entry for its root that is not a directory is skipped",
        elsewhere: &[
            says(Buildah, "refuses the archive"),
            says(BuildKit, "refuses the archive"),
        ],
        shown: Shown::Never,
    },
    Difference {
        name: "several-sources-one-file",
        here: "a destination without `/` is a directory if several sources need one",
        elsewhere: &[
            says(
                Buildah,
                "requires a `/` at the end; 1.43 creates a directory",
            ),
            says(Kaniko, "requires a `/` at the end"),
            says(Docker, "requires a `/` at the end"),
        ],
        shown: Shown::Always(several_sources),
    },
    Difference {
        name: "wildcard-without-match",
        here: "a wildcard may match nothing",
        elsewhere: &[
            says(Buildah, "refuses it"),
            says(Docker, "refuses it if no source is left"),
        ],
        shown: Shown::Sometimes(wildcards),
    },
    Difference {
        name: "wildcard-below-nothing",
        here: "a wildcard may match nothing, also if the directory before it does not exist",
        elsewhere: &[says(BuildKit, "refuses a directory that does not exist")],
        shown: Shown::Sometimes(|sight| {
            sight.copies(|_, files| {
                let below = |path: &&str| {
                    let first = path.find(['*', '?', '[']);
                    first.is_some_and(|at| path[..at].trim_start_matches("./").contains('/'))
                };
                files.paths().find(below).map(str::to_owned)
            })
        }),
    },
    Difference {
        name: "wildcard-escaped",
        here: "`\\*` in a source is the character `*`",
        elsewhere: &[
            says(Docker, "looks for a name with the `\\`"),
            says(
                BuildKit,
                "looks for a name with the `\\`, if the source has no other wildcard",
            ),
        ],
        shown: Shown::Always(|sight| {
            sight.copies(|_, files| {
                let escaped = |path: &&str| {
                    let rest = path
                        .replace("\\*", "")
                        .replace("\\?", "")
                        .replace("\\[", "");
                    rest.len() < path.len() && !rest.contains(['*', '?', '['])
                };
                files.paths().find(escaped).map(str::to_owned)
            })
        }),
    },
    Difference {
        name: "wildcard-class",
        here: "`[^…]` in a source excludes, and `[*]`, `[[]` and `\\*` are the character",
        elsewhere: &[until(
            Buildah,
            "1.43",
            "treats `^` and `\\` as characters, and `[*]` as a wildcard",
        )],
        shown: Shown::Sometimes(|sight| {
            sight.copies(|_, files| {
                let odd = |path: &&str| ["[*]", "[[]", "[^", "\\"].iter().any(|o| path.contains(o));
                files.paths().find(odd).map(str::to_owned)
            })
        }),
    },
    Difference {
        name: "destination-above-the-root",
        here: "`..` in a destination does not lead above the root",
        elsewhere: &[says(Docker, "refuses `/..`")],
        shown: Shown::Sometimes(|sight| {
            sight.copies(|_, files| {
                let to = &files.destination;
                to.split('/').any(|part| part == "..").then(|| to.clone())
            })
        }),
    },
    Difference {
        name: "fifos",
        here: "fifos are copied as such",
        elsewhere: &[says(Docker, "waits forever")],
        shown: Shown::Never,
    },
    Difference {
        name: "ignore-file-of-the-dockerfile",
        here: "`<Dockerfile>.dockerignore` has priority",
        elsewhere: &[says(Docker, "does not read it")],
        shown: Shown::Never,
    },
    Difference {
        name: "links-at-the-destination",
        here: "a file is written to the target of a symbolic link at its destination",
        elsewhere: &[says(Buildah, "the file replaces the link")],
        shown: Shown::Never,
    },
    Difference {
        name: "links-as-sources",
        here: "a source that is a symbolic link is followed, links below it are copied as links",
        elsewhere: &[says(Kaniko, "is copied as a link")],
        shown: Shown::Never,
    },
    Difference {
        name: "hard-links",
        here: "hard links are kept",
        elsewhere: &[
            says(Buildah, "each name becomes a separate file"),
            says(Kaniko, "each name becomes a separate file"),
        ],
        shown: Shown::Never,
    },
    Difference {
        name: "special-bits",
        here: "set-id and sticky bits of a context are copied",
        elsewhere: &[
            says(Buildah, "they are dropped"),
            says(Docker, "those of files are dropped"),
        ],
        shown: Shown::Never,
    },
    Difference {
        name: "archive-attributes",
        here: "an archive's `user.*` attributes are kept",
        elsewhere: &[
            says(Buildah, "they are dropped"),
            says(Docker, "they are dropped"),
            says(BuildKit, "they are dropped"),
        ],
        shown: Shown::Never,
    },
    Difference {
        name: "attributes-of-a-context",
        here: "attributes and capabilities of files of a context are not part of the image",
        elsewhere: &[says(Buildah, "they are copied")],
        shown: Shown::Never,
    },
    Difference {
        name: "attributes-through-chown",
        here: "`COPY --from` with `--chown` keeps attributes and capabilities",
        elsewhere: &[
            says(Docker, "they are lost"),
            says(BuildKit, "they are lost"),
        ],
        shown: Shown::Sometimes(|sight| {
            sight.each(|step| {
                let copy = copy_of(step)?;
                let both = copy.from.is_some() && copy.chown.is_some();
                both.then(|| "COPY --from --chown".into())
            })
        }),
    },
    Difference {
        name: "sockets",
        here: "sockets are not copied",
        elsewhere: &[says(BuildKit, "they become empty files")],
        shown: Shown::Never,
    },
    Difference {
        name: "block-devices",
        here: "block devices of a stage are copied as such",
        elsewhere: &[says(BuildKit, "they become character devices")],
        shown: Shown::Never,
    },
    Difference {
        name: "same-size-and-time",
        here: "a file that is copied over another one replaces it",
        elsewhere: &[says(
            BuildKit,
            "does not, after `COPY --link`, if size and time are the same",
        )],
        shown: Shown::Sometimes(|sight| flag(sight, "--link", |c| c.link, |a| a.link)),
    },
    Difference {
        name: "xz-archives",
        here: "archives packed by xz are unpacked",
        elsewhere: &[
            says(Docker, "only if the program `xz` is installed"),
            says(BuildKit, "only if the program `xz` is installed"),
        ],
        shown: Shown::Never,
    },
    Difference {
        name: "source-date-epoch",
        here: "SOURCE_DATE_EPOCH is the time of the image and of its files",
        elsewhere: &[
            says(Buildah, "does not apply it to copied files"),
            says(Kaniko, "does not know it"),
            says(Docker, "does not know it"),
            says(
                BuildKit,
                "applies it only to the image, unless the output has `rewrite-timestamp=true`",
            ),
        ],
        shown: Shown::Never,
    },
    Difference {
        name: "ignore-file-of-a-named-context",
        here: "a named context has its own ignore file",
        elsewhere: &[until(Buildah, "1.43", "it has none")],
        shown: Shown::Never,
    },
    Difference {
        name: "times-of-a-context",
        here: "files of a context have one fixed time, so that images are the same everywhere",
        elsewhere: &[
            says(Buildah, "they keep their times"),
            says(Kaniko, "they have the time of the build"),
            says(Docker, "they keep their times"),
            says(BuildKit, "they keep their times"),
        ],
        shown: Shown::Never,
    },
    Difference {
        name: "unknown-owner",
        here: "a name of `--chown` that the image does not know is root, with a warning",
        elsewhere: &[says(Buildah, "refuses it")],
        shown: Shown::Sometimes(owners_by_name),
    },
    Difference {
        name: "file-onto-directory",
        here: "a file does not take a directory's place",
        elsewhere: &[says(Buildah, "removes the directory with what it holds")],
        shown: Shown::Never,
    },
    Difference {
        name: "hosts-of-a-stage",
        here: "what a RUN finds in `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` is not part of its stage",
        elsewhere: &[says(
            Buildah,
            "the stage has them afterwards, as empty files",
        )],
        shown: Shown::Sometimes(copies_of_etc),
    },
];

fn copy_of<'s>(step: &Step<'s>) -> Option<&'s Copy> {
    match step.written {
        Instruction::Copy(copy) => Some(copy),
        _ => None,
    }
}

fn add_of<'s>(step: &Step<'s>) -> Option<&'s Add> {
    match step.written {
        Instruction::Add(add) => Some(add),
        _ => None,
    }
}

fn flag(
    sight: &Sight<'_>,
    name: &str,
    copy: fn(&Copy) -> bool,
    add: fn(&Add) -> bool,
) -> Vec<Place> {
    sight.each(|step| {
        let found = copy_of(step).is_some_and(copy) || add_of(step).is_some_and(add);
        found.then(|| format!("{} {name}", step.written.name()))
    })
}

fn add_flag(sight: &Sight<'_>, name: &str, has: fn(&Add) -> bool) -> Vec<Place> {
    flag(sight, name, |_| false, has)
}

fn heredocs(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| {
        let first = match step.written {
            Instruction::Run(run) => run.heredocs.first(),
            Instruction::Copy(copy) => copy.files.inline().next(),
            Instruction::Add(add) => add.files.inline().next(),
            _ => None,
        };
        first.map(|heredoc| heredoc.written.clone())
    })
}

fn heredoc_details(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| {
        let files = match step.written {
            Instruction::Copy(copy) => Some(&copy.files),
            Instruction::Add(add) => Some(&add.files),
            _ => None,
        };
        let mut inline = files.into_iter().flat_map(Files::inline);
        let odd = inline.find(|h| h.content.is_empty() || h.expand && h.content.contains("\\$"));
        let of_a_trigger = match step.written {
            Instruction::Run(run) => run.heredocs.first(),
            _ => files.and_then(|files| files.inline().next()),
        };
        let of_a_trigger = of_a_trigger.filter(|_| step.is_trigger);
        odd.or(of_a_trigger).map(|heredoc| heredoc.written.clone())
    })
}

fn symbolic_chmod(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| {
        let mode = match &step.meant {
            Instruction::Copy(copy) => copy.chmod.as_deref(),
            Instruction::Add(add) => add.chmod.as_deref(),
            _ => None,
        }?;
        let octal = mode.bytes().all(|b| b.is_ascii_digit());
        (!octal).then(|| format!("--chmod={mode}"))
    })
}

fn is_git(source: &str) -> bool {
    let (base, _) = source.split_once('#').unwrap_or((source, ""));
    let (base, _) = base.split_once('?').unwrap_or((base, ""));
    let remote = base.contains("://");
    base.starts_with("git://")
        || base.starts_with("ssh://")
        || base.starts_with("git@")
        || remote && base.ends_with(".git")
}

fn add_git(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| match &step.meant {
        Instruction::Add(add) => {
            let written = add_of(step)?.files.paths().find(|path| is_git(path));
            let meant = add.files.paths().find(|path| is_git(path));
            meant.or(written).map(str::to_owned)
        }
        _ => None,
    })
}

/// Sources of ADD that may be archives: what they are is known by their bytes alone.
fn archives(sight: &Sight<'_>, counts: fn(&Add) -> bool) -> Vec<Place> {
    sight.each(|step| match &step.meant {
        Instruction::Add(add) if add.unpack != Some(false) && counts(add) => {
            let local = |path: &&str| !path.contains("://") && !is_git(path);
            add.files.paths().find(local).map(str::to_owned)
        }
        _ => None,
    })
}

fn several_sources(sight: &Sight<'_>) -> Vec<Place> {
    sight.copies(|_, files: &Files| {
        let to = &files.destination;
        let directory = to.ends_with('/') || to == "." || to.ends_with("/.");
        (files.sources.len() > 1 && !directory).then(|| to.clone())
    })
}

fn wildcards(sight: &Sight<'_>) -> Vec<Place> {
    sight.copies(|_, files| {
        let pattern = |path: &&str| crate::wildcard::is_pattern(path) && !path.contains("://");
        files.paths().find(pattern).map(str::to_owned)
    })
}

fn owners_by_name(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| {
        let owner = match &step.meant {
            Instruction::Copy(copy) => copy.chown.as_deref(),
            Instruction::Add(add) => add.chown.as_deref(),
            _ => None,
        }?;
        let is_name = |part: &str| !part.is_empty() && !part.bytes().all(|b| b.is_ascii_digit());
        let named = owner.split(':').any(is_name);
        named.then(|| format!("--chown={owner}"))
    })
}

/// COPY takes `/etc`, or what may have it, from a stage in which something ran.
fn copies_of_etc(sight: &Sight<'_>) -> Vec<Place> {
    let runs = |stage: usize| {
        let lineage = std::iter::successors(Some(stage), |stage| sight.base(*stage));
        let lineage: Vec<usize> = lineage.collect();
        sight.steps.iter().any(|step| {
            lineage.contains(&step.stage) && matches!(step.written, Instruction::Run(_))
        })
    };
    sight.each(|step| {
        let Instruction::Copy(copy) = &step.meant else {
            return None;
        };
        let StageReference::Stage(from) = sight
            .file
            .stage_reference(copy.from.as_deref()?, step.stage)
        else {
            return None;
        };
        let takes_etc = |path: &&str| {
            let first = path.split('/').find(|part| !matches!(*part, "" | "."));
            first.is_none_or(|first| first == "etc" || crate::wildcard::is_pattern(first))
        };
        let taken = copy.files.paths().find(takes_etc)?;
        runs(from).then(|| taken.to_owned())
    })
}
