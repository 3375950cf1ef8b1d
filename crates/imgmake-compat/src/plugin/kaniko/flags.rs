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
    "dockerfile" 'f': Text, "Dockerfile", Used, "the Dockerfile: the path as given if the file exists, otherwise the path in the context; an `https://` address is fetched";
    "context" 'c': Text, "/workspace/", Used, "a directory, `dir://`, `tar://`, `tar://stdin`, `git://`, `https://`";
    "context-sub-path": Text, "", Used, "use this directory of the context as the context";
    "bucket" 'b': Text, "", NotYet, "fetch the archive first and give `--context=tar://FILE`";
    "destination" 'd': Many, "", Used, "a name to push to; may be repeated";
    "build-arg": Many, "", Used, "`NAME=VALUE`; `NAME` alone takes its value from the environment";
    "label": Pairs, "", Used, "`KEY=VALUE` in the image's config";
    "annotation": Pairs, "", Used, "`KEY=VALUE` in the image's manifest";
    "target": Text, "", Used, "build the image of this stage; further stages, after commas or in further flags, are built, too";
    "secret": Many, "", Used, "`id=ID[,src=FILE][,env=NAME]`, for `RUN --mount=type=secret`";
    "custom-platform": Text, "", Used, "`os/architecture[/variant]`";
    "git": Pairs, "", Used, "`branch=`, `single-branch=`, `depth=`, `recurse-submodules=`, `insecure-skip-tls=`, for a git context";
    "no-push": Bool, "false", Used, "build, and write files, but push nothing";
    "tar-path": Text, "", Used, "write a Docker archive, with all destinations as its tags";
    "oci-layout-path": Text, "", Used, "write an OCI layout directory";
    "digest-file": Text, "", Used, "write the digest to this file; with an `https://` address, send it with PUT";
    "image-name-with-digest-file": Text, "", Used, "write lines of `repository@digest` to this file";
    "image-name-tag-with-digest-file": Text, "", Used, "write lines of `repository:tag@digest` to this file";
    "image-format": Choice(&["docker", "oci"]), "", Used, "the media types of the manifest; default: `oci`";
    "compression": Choice(&["gzip", "zstd"]), "", Used, "the compression of layers; default: `gzip`";
    "compression-level": Int, "-1", Used, "the compression level of layers; -1 is the default level";
    "reproducible": Bool, "false", Used, "set all times in the image to SOURCE_DATE_EPOCH, or 0";
    "cache": Bool, "", Used, "share steps through a registry, in addition to the store; `--cache=false` builds them again";
    "cache-repo": Text, "", Used, "the repository of the cache; default: `cache` below the first destination";
    "cache-dir": Text, "", Used, "the directory in which kaniko's warmer keeps base images: an image that is not older than `--cache-ttl` is not pulled; without the flag, no directory is read";
    "cache-ttl": Duration, "336h", Used, "ignore cache entries that are older, and build them again";
    "cache-copy-layers": Bool, "false", Used, "also share the layers of COPY and ADD";
    "cache-run-layers": Bool, "true", Used, "share the layers of RUN";
    "no-push-cache": Bool, "false", Used, "read the cache, but do not write it";
    "compressed-caching": Bool, "true", Inherent, "compressing needs little memory";
    "insecure": Bool, "false", Used, "use plain HTTP for the destinations";
    "insecure-pull": Bool, "false", Used, "use plain HTTP for the registries of base images";
    "insecure-registry": Many, "", Used, "use plain HTTP for this host";
    "skip-tls-verify": Bool, "false", Used, "accept any certificate for the destinations";
    "skip-tls-verify-pull": Bool, "false", Used, "accept any certificate for the registries of base images";
    "skip-tls-verify-registry": Many, "", Used, "accept any certificate for this host";
    "registry-certificate": Pairs, "", Used, "`HOST=FILE`: a certificate to trust in addition to the system's";
    "registry-client-cert": Pairs, "", Used, "`HOST=CERTIFICATE,KEY`: the client certificate for the host";
    "registry-mirror": Many, "", Used, "pull from this host before Docker Hub";
    "registry-map": Many, "", Used, "`HOST=MIRROR;…`: pull from the mirror before the host";
    "skip-default-registry-fallback": Bool, "false", Used, "pull only from mirrors";
    "credential-helpers": Many, "", Used, "use these of `env`, `google`, `ecr`, `acr`, `gitlab` if the docker config has no login; an empty value uses none";
    "push-retry": Count, "4", Used, "the number of attempts after the first";
    "image-download-retry": Count, "4", Used, "the number of attempts after the first";
    "push-ignore-immutable-tag-errors": Bool, "false", Used, "count an existing tag that cannot be moved as pushed";
    "skip-push-permission-check": Bool, "false", Used, "do not check the permission to push before the build";
    "dryrun": Bool, "false", Used, "print what would be done, and do nothing";
    "verbosity" 'v': Choice(&LEVELS), "info", Used, "`debug` and `trace` also report what was cached, `warn` and above only warnings";
    "log-format": Choice(&FORMATS), "color", Used, "`json` writes a line of JSON for each event";
    "log-timestamp": Bool, "false", Used, "begin each line with the time, in UTC; events in JSON always have the time";
    "snapshot-mode": Choice(&["full", "redo", "time"]), "full", Inherent, "changes are found through the file system, exactly and without hashing";
    "single-snapshot": Bool, "false", Used, "write everything that the build adds to the base as one layer";
    "use-new-run": Bool, "false", Inherent, "RUN never needs a scan of the file system";
    "ignore-path": Many, "", Used, "leave changes at or below this path out of the layers; later steps still see them; may be repeated";
    "ignore-var-run": Bool, "false", Used, "`true` is `--ignore-path=/var/run`; by default, changes there are kept, as with Docker";
    "image-fs-extract-retry": Count, "0", Inherent, "unpacking is not retried; transfers have their own retries";
    "skip-unused-stages": Bool, "true", Used, "`false` builds every stage before the target's, such as one that runs tests; by default, only stages that the image needs are built";
    "force-build-metadata": Bool, "false", Inherent, "every instruction is in the history";
    "materialize": Bool, "false", Inherent, "imgmake unpacks no root file system: the image is in the store";
    "initial-fs-unpacked": Bool, "false", Inherent, "the builder runs outside the image";
    "cleanup": Bool, "false", Inherent, "imgmake changes nothing outside the store";
    "pre-cleanup": Bool, "false", Inherent, "imgmake changes nothing outside the store";
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
