//! Every flag of kaniko's executor, as data: kind, default, and what becomes of
//! it here. The help, the book's table and a test are made from it.

use crate::plugin::log::{FORMATS, LEVELS};

use Effect::{Inherent, NotYet, SameAs, Used};
use Kind::{Bool, Choice, Count, Duration, Int, Many, Pairs, Text};

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

/// A row a flag: name and short name, kind, default, effect, what it does.
macro_rules! flags {
    ($($name:literal $($short:literal)?: $kind:expr, $default:literal, $effect:expr, $does:literal;)*) => {
        &[$(Flag {
            name: $name,
            short: short!($($short)?),
            kind: $kind,
            default: $default,
            effect: $effect,
            does: $does,
        }),*]
    };
}

macro_rules! short {
    () => {
        None
    };
    ($short:literal) => {
        Some($short)
    };
}

pub const FLAGS: &[Flag] = flags! {
    "dockerfile" 'f': Text, "Dockerfile", Used, "the Dockerfile: as given if there is one, else in the context; an `https://` address is fetched";
    "context" 'c': Text, "/workspace/", Used, "a directory, `dir://`, `tar://`, `tar://stdin`, `git://`, `https://`";
    "context-sub-path": Text, "", Used, "a directory of the context, which becomes the context";
    "bucket" 'b': Text, "", NotYet, "fetch the archive first and give `--context=tar://FILE`";
    "destination" 'd': Many, "", Used, "a name to push to; may be repeated";
    "build-arg": Many, "", Used, "`NAME=VALUE`; `NAME` alone takes the environment's value";
    "label": Pairs, "", Used, "`KEY=VALUE` in the image's config";
    "annotation": Pairs, "", Used, "`KEY=VALUE` in the image's manifest";
    "target": Text, "", Used, "the stage whose image is wanted; further stages, after commas or in further flags, are built too";
    "secret": Many, "", Used, "`id=ID[,src=FILE][,env=NAME]`, for `RUN --mount=type=secret`";
    "custom-platform": Text, "", Used, "`os/architecture[/variant]`";
    "git": Pairs, "", Used, "`branch=`, `single-branch=`, `depth=`, `recurse-submodules=`, `insecure-skip-tls=`, for a git context";
    "no-push": Bool, "false", Used, "build, and write files, but push nothing";
    "tar-path": Text, "", Used, "write a Docker archive, with all destinations as its tags";
    "oci-layout-path": Text, "", Used, "write an OCI layout directory";
    "digest-file": Text, "", Used, "write the digest there; an `https://` address is PUT to";
    "image-name-with-digest-file": Text, "", Used, "write `repository@digest` lines";
    "image-name-tag-with-digest-file": Text, "", Used, "write `repository:tag@digest` lines";
    "image-format": Choice(&["docker", "oci"]), "", Used, "the manifest's media types; `oci` by default";
    "compression": Choice(&["gzip", "zstd"]), "", Used, "of layers; `gzip` by default";
    "compression-level": Int, "-1", Used, "of layers; -1 is the default";
    "reproducible": Bool, "false", Used, "every time in the image is SOURCE_DATE_EPOCH, or 0";
    "cache": Bool, "", Used, "share steps through a registry, in addition to the store; `--cache=false` builds them again";
    "cache-repo": Text, "", Used, "the repository for that; by default `cache` below the first destination";
    "cache-dir": Text, "", Used, "where kaniko's warmer keeps base images: one that exists, and is not older than `--cache-ttl`, need not be pulled; read only when given";
    "cache-ttl": Duration, "336h", Used, "older entries of that repository are built again";
    "cache-copy-layers": Bool, "false", Used, "share what COPY and ADD make, too";
    "cache-run-layers": Bool, "true", Used, "share what RUN makes";
    "no-push-cache": Bool, "false", Used, "read that repository only";
    "compressed-caching": Bool, "true", Inherent, "compressing needs little memory";
    "insecure": Bool, "false", Used, "plain HTTP for the destinations";
    "insecure-pull": Bool, "false", Used, "plain HTTP for base images' registries";
    "insecure-registry": Many, "", Used, "plain HTTP for this host";
    "skip-tls-verify": Bool, "false", Used, "any certificate for the destinations";
    "skip-tls-verify-pull": Bool, "false", Used, "any certificate for base images' registries";
    "skip-tls-verify-registry": Many, "", Used, "any certificate for this host";
    "registry-certificate": Pairs, "", Used, "`HOST=FILE`: a certificate to trust in addition to the system's";
    "registry-client-cert": Pairs, "", Used, "`HOST=CERTIFICATE,KEY`: the client certificate for the host";
    "registry-mirror": Many, "", Used, "a host to ask before Docker Hub";
    "registry-map": Many, "", Used, "`HOST=MIRROR;…`: hosts to ask before another";
    "skip-default-registry-fallback": Bool, "false", Used, "ask mirrors only";
    "credential-helpers": Many, "", Used, "of `env`, `google`, `ecr`, `acr`, `gitlab`: which to ask if the docker config has no login; an empty value asks none";
    "push-retry": Count, "4", Used, "tries after the first";
    "image-download-retry": Count, "4", Used, "tries after the first";
    "push-ignore-immutable-tag-errors": Bool, "false", Used, "a tag that exists and cannot be moved counts as pushed";
    "skip-push-permission-check": Bool, "false", Used, "do not look for credentials before the build";
    "dryrun": Bool, "false", Used, "print what would be done";
    "verbosity" 'v': Choice(&LEVELS), "info", Used, "`debug` and `trace` also report what was cached, `warn` and above only warnings";
    "log-format": Choice(&FORMATS), "color", Used, "`json` is a JSON line for each event";
    "log-timestamp": Bool, "false", Used, "lines begin with the time, in UTC; events in JSON carry it anyway";
    "snapshot-mode": Choice(&["full", "redo", "time"]), "full", Inherent, "changes are found through the file system, exactly and without hashing";
    "single-snapshot": Bool, "false", Used, "what the build adds to the base becomes one layer";
    "use-new-run": Bool, "false", Inherent, "RUN never needs a scan of the file system";
    "ignore-path": Many, "", Used, "changes at or below this path are left out of the layers; later steps still see them; may be repeated";
    "ignore-var-run": Bool, "false", Used, "`true` is `--ignore-path=/var/run`; by default, what the build makes there stays, as with Docker";
    "image-fs-extract-retry": Count, "0", Inherent, "unpacking is not retried; transfers have their own retries";
    "skip-unused-stages": Bool, "true", Used, "`false` builds every stage before the target's, such as one that runs tests; by default, only what the image needs";
    "force-build-metadata": Bool, "false", Inherent, "every instruction is in the history";
    "materialize": Bool, "false", Inherent, "no root file system is filled: the image is in the store";
    "initial-fs-unpacked": Bool, "false", Inherent, "the builder runs outside the image";
    "cleanup": Bool, "false", Inherent, "nothing outside the store is touched";
    "pre-cleanup": Bool, "false", Inherent, "nothing outside the store is touched";
    "preserve-context": Bool, "false", Inherent, "the context is only read";
    "force": Bool, "false", Inherent, "it is safe to run anywhere";
    "kaniko-dir": Text, "", Inherent, "files are kept in the store, which IMGMAKE_STORE names";
    "azure-container-registry-config": Text, "", Used, "Kubernetes' `azure.json`: the login for `azurecr` hosts";
    "tarPath": Text, "", SameAs("tar-path"), "a former name";
    "customPlatform": Text, "", SameAs("custom-platform"), "a former name";
    "snapshotMode": Choice(&["full", "redo", "time"]), "", SameAs("snapshot-mode"), "a former name";
    "whitelist-var-run": Bool, "false", SameAs("ignore-var-run"), "a former name";
    "run-v2": Bool, "false", SameAs("use-new-run"), "a former name";
    "help" 'h': Bool, "false", Used, "the list of flags";
};
