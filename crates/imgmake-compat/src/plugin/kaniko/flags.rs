//! Every flag of kaniko's executor, as data: kind, default, and what becomes of
//! it here. The help, the book's table and a test are made from it.

use crate::plugin::log::{FORMATS, LEVELS};

/// How the text of a flag is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Bool,
    Int,
    /// A number of retries.
    Count,
    /// As `1h30m`.
    Duration,
    Choice(&'static [&'static str]),
    /// Repeatable; a comma is part of the value.
    Many,
    /// Repeatable, each `key=value`.
    Pairs,
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Used,
    /// What it asks for is so anyway or has no meaning here; giving it says so in one line.
    Inherent,
    /// Refused, since leaving it out would quietly do something else.
    NotYet,
    /// Another name of this flag.
    SameAs(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: &'static str,
    pub effect: Effect,
    /// What it does; for the others, why nothing, or what to do instead.
    pub does: &'static str,
}

const fn flag(
    name: &'static str,
    short: Option<char>,
    kind: Kind,
    default: &'static str,
    effect: Effect,
    does: &'static str,
) -> Flag {
    Flag {
        name,
        short,
        kind,
        default,
        effect,
        does,
    }
}

/// `imgmake kaniko --help`.
pub fn help() -> String {
    let mut text = String::from(
        "Build an image as kaniko's executor does, and push it\n\n\
         Usage: imgmake kaniko --context=CONTEXT --destination=NAME [FLAG…]\n\nFlags:\n",
    );
    for flag in FLAGS {
        let short = flag
            .short
            .map_or_else(String::new, |short| format!("-{short}, "));
        let does = match flag.effect {
            Effect::Used => flag.does.to_string(),
            Effect::Inherent => format!("no effect: {}", flag.does),
            Effect::NotYet => format!("refused: {}", flag.does),
            Effect::SameAs(name) => format!("{} of --{name}", flag.does),
        };
        text.push_str(&format!("  {short}--{}\n        {does}\n", flag.name));
    }
    text
}

/// The book's table.
pub fn markdown() -> String {
    let mut text = String::from("| flag | default | here |\n|---|---|---|\n");
    for flag in FLAGS {
        let short = flag
            .short
            .map_or_else(String::new, |short| format!(", `-{short}`"));
        let default = match flag.default {
            "" => String::new(),
            default => format!("`{default}`"),
        };
        let does = match flag.effect {
            Effect::Used => flag.does.to_string(),
            Effect::Inherent => format!("*no effect:* {}", flag.does),
            Effect::NotYet => format!("*refused:* {}", flag.does),
            Effect::SameAs(name) => format!("{} of `--{name}`", flag.does),
        };
        let does = does.replace('|', "\\|");
        text.push_str(&format!(
            "| `--{}`{short} | {default} | {does} |\n",
            flag.name
        ));
    }
    text
}

pub const FLAGS: &[Flag] = &[
    flag(
        "dockerfile",
        Some('f'),
        Kind::Text,
        "Dockerfile",
        Effect::Used,
        "the Dockerfile: as given if there is one, else in the context; an `https://` address is fetched",
    ),
    flag(
        "context",
        Some('c'),
        Kind::Text,
        "/workspace/",
        Effect::Used,
        "a directory, `dir://`, `tar://`, `tar://stdin`, `git://`, `https://`",
    ),
    flag(
        "context-sub-path",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "a directory of the context, which becomes the context",
    ),
    flag(
        "bucket",
        Some('b'),
        Kind::Text,
        "",
        Effect::NotYet,
        "fetch the archive first and give `--context=tar://FILE`",
    ),
    flag(
        "destination",
        Some('d'),
        Kind::Many,
        "",
        Effect::Used,
        "a name to push to; as many as wanted",
    ),
    flag(
        "build-arg",
        None,
        Kind::Many,
        "",
        Effect::Used,
        "`NAME=VALUE`; `NAME` alone takes the environment's value",
    ),
    flag(
        "label",
        None,
        Kind::Pairs,
        "",
        Effect::Used,
        "`KEY=VALUE` in the image's config",
    ),
    flag(
        "annotation",
        None,
        Kind::Pairs,
        "",
        Effect::Used,
        "`KEY=VALUE` in the image's manifest",
    ),
    flag(
        "target",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "the stage whose image is wanted; further ones, after commas or in flags of their own, are built besides",
    ),
    flag(
        "secret",
        None,
        Kind::Many,
        "",
        Effect::Used,
        "`id=ID[,src=FILE][,env=NAME]`, for `RUN --mount=type=secret`",
    ),
    flag(
        "custom-platform",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "`os/architecture[/variant]`",
    ),
    flag(
        "git",
        None,
        Kind::Pairs,
        "",
        Effect::Used,
        "`branch=`, `single-branch=`, `depth=`, `recurse-submodules=`, `insecure-skip-tls=`, for a git context",
    ),
    flag(
        "no-push",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "build, and write files, but push nothing",
    ),
    flag(
        "tar-path",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "write a Docker archive, with all destinations as its tags",
    ),
    flag(
        "oci-layout-path",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "write an OCI layout directory",
    ),
    flag(
        "digest-file",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "write the digest there; an `https://` address is PUT to",
    ),
    flag(
        "image-name-with-digest-file",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "write `repository@digest` lines",
    ),
    flag(
        "image-name-tag-with-digest-file",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "write `repository:tag@digest` lines",
    ),
    flag(
        "image-format",
        None,
        Kind::Choice(&["docker", "oci"]),
        "",
        Effect::Used,
        "the manifest's media types; `oci` unless said",
    ),
    flag(
        "compression",
        None,
        Kind::Choice(&["gzip", "zstd"]),
        "",
        Effect::Used,
        "of layers; `gzip` unless said",
    ),
    flag(
        "compression-level",
        None,
        Kind::Int,
        "-1",
        Effect::Used,
        "of layers; -1 is the default",
    ),
    flag(
        "reproducible",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "every time in the image is SOURCE_DATE_EPOCH, or 0",
    ),
    flag(
        "cache",
        None,
        Kind::Bool,
        "",
        Effect::Used,
        "share steps through a registry, besides the store; `--cache=false` builds them anew",
    ),
    flag(
        "cache-repo",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "the repository for that; `cache` below the first destination unless said",
    ),
    flag(
        "cache-dir",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "where kaniko's warmer keeps base images: one that is there, and not older than `--cache-ttl`, need not be pulled; looked into only when given",
    ),
    flag(
        "cache-ttl",
        None,
        Kind::Duration,
        "336h",
        Effect::Used,
        "entries of that repository that are older are made again",
    ),
    flag(
        "cache-copy-layers",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "share what COPY and ADD make, too",
    ),
    flag(
        "cache-run-layers",
        None,
        Kind::Bool,
        "true",
        Effect::Used,
        "share what RUN makes",
    ),
    flag(
        "no-push-cache",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "read that repository only",
    ),
    flag(
        "compressed-caching",
        None,
        Kind::Bool,
        "true",
        Effect::Inherent,
        "compressing needs no memory to speak of",
    ),
    flag(
        "insecure",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "plain HTTP for the destinations",
    ),
    flag(
        "insecure-pull",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "plain HTTP for base images' registries",
    ),
    flag(
        "insecure-registry",
        None,
        Kind::Many,
        "",
        Effect::Used,
        "plain HTTP for this host",
    ),
    flag(
        "skip-tls-verify",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "any certificate for the destinations",
    ),
    flag(
        "skip-tls-verify-pull",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "any certificate for base images' registries",
    ),
    flag(
        "skip-tls-verify-registry",
        None,
        Kind::Many,
        "",
        Effect::Used,
        "any certificate for this host",
    ),
    flag(
        "registry-certificate",
        None,
        Kind::Pairs,
        "",
        Effect::Used,
        "`HOST=FILE`: a certificate to trust besides the system's",
    ),
    flag(
        "registry-client-cert",
        None,
        Kind::Pairs,
        "",
        Effect::Used,
        "`HOST=CERTIFICATE,KEY`: who we are to the host",
    ),
    flag(
        "registry-mirror",
        None,
        Kind::Many,
        "",
        Effect::Used,
        "a host to ask before Docker Hub",
    ),
    flag(
        "registry-map",
        None,
        Kind::Many,
        "",
        Effect::Used,
        "`HOST=MIRROR;…`: hosts to ask before another",
    ),
    flag(
        "skip-default-registry-fallback",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "ask mirrors only",
    ),
    flag(
        "credential-helpers",
        None,
        Kind::Many,
        "",
        Effect::Used,
        "of `env`, `google`, `ecr`, `acr`, `gitlab`: who is asked when the docker config knows nothing; empty is none",
    ),
    flag(
        "push-retry",
        None,
        Kind::Count,
        "4",
        Effect::Used,
        "tries after the first",
    ),
    flag(
        "image-download-retry",
        None,
        Kind::Count,
        "4",
        Effect::Used,
        "tries after the first",
    ),
    flag(
        "push-ignore-immutable-tag-errors",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "a tag that is there and cannot be moved counts as pushed",
    ),
    flag(
        "skip-push-permission-check",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "do not look for credentials before the build",
    ),
    flag(
        "dryrun",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "say what would be done",
    ),
    flag(
        "verbosity",
        Some('v'),
        Kind::Choice(&LEVELS),
        "info",
        Effect::Used,
        "`debug` and `trace` also tell what was cached, `warn` and above tell only that",
    ),
    flag(
        "log-format",
        None,
        Kind::Choice(&FORMATS),
        "color",
        Effect::Used,
        "`json` is a JSON line for each event",
    ),
    flag(
        "log-timestamp",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "lines begin with the time, in UTC; events in JSON carry it anyway",
    ),
    flag(
        "snapshot-mode",
        None,
        Kind::Choice(&["full", "redo", "time"]),
        "full",
        Effect::Inherent,
        "changes are found through the file system, exactly and without hashing",
    ),
    flag(
        "single-snapshot",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "what the build adds to the base becomes one layer",
    ),
    flag(
        "use-new-run",
        None,
        Kind::Bool,
        "false",
        Effect::Inherent,
        "RUN never needs a scan of the file system",
    ),
    flag(
        "ignore-path",
        None,
        Kind::Many,
        "",
        Effect::Used,
        "what the build changes at or below this path is in no layer; later steps still see it; as many as wanted",
    ),
    flag(
        "ignore-var-run",
        None,
        Kind::Bool,
        "false",
        Effect::Used,
        "`true` is `--ignore-path=/var/run`; unless said, what the build makes there stays, as with Docker",
    ),
    flag(
        "image-fs-extract-retry",
        None,
        Kind::Count,
        "0",
        Effect::Inherent,
        "unpacking works or says why; transfers have retries of their own",
    ),
    flag(
        "skip-unused-stages",
        None,
        Kind::Bool,
        "true",
        Effect::Used,
        "`false` builds every stage before the target's, such as one that runs tests; unless said, only what the image needs",
    ),
    flag(
        "force-build-metadata",
        None,
        Kind::Bool,
        "false",
        Effect::Inherent,
        "every instruction is in the history",
    ),
    flag(
        "materialize",
        None,
        Kind::Bool,
        "false",
        Effect::Inherent,
        "there is no root file system to fill: the image is in the store",
    ),
    flag(
        "initial-fs-unpacked",
        None,
        Kind::Bool,
        "false",
        Effect::Inherent,
        "the builder runs outside the image",
    ),
    flag(
        "cleanup",
        None,
        Kind::Bool,
        "false",
        Effect::Inherent,
        "nothing outside the store is touched",
    ),
    flag(
        "pre-cleanup",
        None,
        Kind::Bool,
        "false",
        Effect::Inherent,
        "nothing outside the store is touched",
    ),
    flag(
        "preserve-context",
        None,
        Kind::Bool,
        "false",
        Effect::Inherent,
        "the context is only read",
    ),
    flag(
        "force",
        None,
        Kind::Bool,
        "false",
        Effect::Inherent,
        "it is safe to run anywhere",
    ),
    flag(
        "kaniko-dir",
        None,
        Kind::Text,
        "",
        Effect::Inherent,
        "files are kept in the store, which IMGMAKE_STORE names",
    ),
    flag(
        "azure-container-registry-config",
        None,
        Kind::Text,
        "",
        Effect::Used,
        "Kubernetes' `azure.json`: the login for `azurecr` hosts",
    ),
    flag(
        "tarPath",
        None,
        Kind::Text,
        "",
        Effect::SameAs("tar-path"),
        "a former name",
    ),
    flag(
        "customPlatform",
        None,
        Kind::Text,
        "",
        Effect::SameAs("custom-platform"),
        "a former name",
    ),
    flag(
        "snapshotMode",
        None,
        Kind::Choice(&["full", "redo", "time"]),
        "",
        Effect::SameAs("snapshot-mode"),
        "a former name",
    ),
    flag(
        "whitelist-var-run",
        None,
        Kind::Bool,
        "false",
        Effect::SameAs("ignore-var-run"),
        "a former name",
    ),
    flag(
        "run-v2",
        None,
        Kind::Bool,
        "false",
        Effect::SameAs("use-new-run"),
        "a former name",
    ),
    flag(
        "help",
        Some('h'),
        Kind::Bool,
        "false",
        Effect::Used,
        "the list of flags",
    ),
];
