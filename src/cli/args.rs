//! The command line as it is written.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use imgmake_dockerfile::compat::Builder;

pub use super::build_args::BuildArgs;
pub use super::logs::LogsArgs;
pub use super::reproduce::ReproduceArgs;
pub use super::run_args::{NetworkArgs, OutsideArgs, PlanArgs, RunArgs};

const AFTER_HELP: &str = "\
`imgmake [TARGET…]` is short for `imgmake run [TARGET…]`. Without targets, it runs the group `default`, or every build target if there is no such group.
`imgmake build`, `push`, `scan` and `load` run the targets of that kind.
`imgmake help COMMAND` explains a command. The book explains everything: https://github.com/imgmake/imgmake/tree/main/book/src.";

/// A heading of `--help`.
const EVERYWHERE: &str = "Options of every command";

/// make for container images: build, scan, push and run what has changed
#[derive(Debug, Parser)]
#[command(
    name = "imgmake",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(flatten, next_help_heading = "Options of `run`")]
    pub run: RunArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What every command knows. The rarer options are in the long help alone.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = EVERYWHERE)]
pub struct Global {
    /// Work in this directory
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// Use this manifest, bake file or Compose file; `-` is standard input
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "imgmake.kdl",
        global = true
    )]
    pub file: PathBuf,
    /// Use the manifest and the files of this source: `oci://HOST/REPOSITORY@sha256:…`
    ///
    /// `imgmake source push` sends one, and prints its name. The files are put into the store; with `-C DIR`, into that
    /// directory, which must be empty.
    #[arg(
        long,
        value_name = "REFERENCE",
        global = true,
        hide_short_help = true,
        conflicts_with = "file"
    )]
    pub source: Option<String>,
    /// Set a variable of the manifest
    #[arg(long = "var", value_name = "NAME=VALUE", global = true)]
    pub vars: Vec<String>,
    /// Override an attribute of every target that matches
    ///
    /// For instance `--set 'app.args.VERSION=2'` or `--set '*.platforms=linux/arm64'`.
    #[arg(
        long = "set",
        value_name = "PATTERN.KEY=VALUE",
        global = true,
        hide_short_help = true
    )]
    pub sets: Vec<String>,
    /// Use this directory as the store, which keeps images and steps
    #[arg(
        long,
        value_name = "DIR",
        env = "IMGMAKE_STORE",
        hide_env_values = true,
        global = true,
        hide_short_help = true
    )]
    pub store: Option<PathBuf>,
    /// Show progress in this style
    #[arg(
        long,
        value_name = "STYLE",
        default_value = "auto",
        global = true,
        hide_short_help = true
    )]
    pub progress: Progress,
    /// Use colors in the output
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        global = true,
        hide_short_help = true
    )]
    pub color: When,
    /// Begin each line of progress with the time, in UTC
    #[arg(long, global = true, hide_short_help = true)]
    pub timestamps: bool,
    /// Show only warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Also show what is up to date or cached
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// `tty` on a terminal, otherwise `plain`
    Auto,
    /// Lines that are updated in place
    Tty,
    /// A line for each event
    Plain,
    /// A JSON object on each line
    Json,
    /// Only warnings and errors
    Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal; NO_COLOR and CLICOLOR_FORCE override it
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring targets up to date
    Run(RunArgs),
    /// Build the build targets; with docker's flags, build a directory without a manifest
    Build(Box<BuildArgs>),
    /// Run targets, and run them again whenever an input changes
    Watch(RunArgs),
    /// Print which targets would run and why, and change nothing
    Plan {
        #[command(flatten)]
        args: PlanArgs,
        /// Print what a run with `--force` would do
        #[arg(long, visible_alias = "no-cache", conflicts_with = "since")]
        force: bool,
        /// Print the targets that are touched by changes since a git revision, such as `origin/main`
        ///
        /// It compares the files that git tracks, committed or not, with the last common commit. It needs no state of
        /// earlier runs.
        #[arg(long, value_name = "REF", allow_hyphen_values = true)]
        since: Option<String>,
        /// Print the result in this format
        #[arg(long, default_value = "text")]
        format: PlanFormat,
    },
    /// Print every input that makes a target stale
    Why {
        /// The target
        target: String,
        /// Print the result in this format
        #[arg(long, default_value = "text")]
        format: ListFormat,
        /// Hash every file again, even if its size and times are unchanged
        #[arg(long)]
        rehash: bool,
        #[command(flatten)]
        outside: OutsideArgs,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Exit with 5 if a target is stale; run nothing
    Check {
        #[command(flatten)]
        args: PlanArgs,
        /// Print the result in this format
        #[arg(long, default_value = "text")]
        format: ListFormat,
    },
    /// Resolve base tags, URLs and git references again, and write the lock file
    Update {
        /// A name in the lock file, such as `alpine` or `alpine:3.22`, or a pattern; default: all names
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Print the changes in this format
        #[arg(long, default_value = "text")]
        format: ListFormat,
    },
    /// List the targets, with kinds and descriptions
    List {
        /// Print the list in this format
        #[arg(long, default_value = "text")]
        format: ListFormat,
    },
    /// Show how targets depend on each other
    Graph {
        /// Write the graph in this format: `svg` is a picture; `html` is a page with the state of each target and the reasons
        #[arg(long, default_value = "dot")]
        format: GraphFormat,
    },
    /// Write targets as jobs of a CI system, one for each target
    Ci(CiArgs),
    /// Check the Dockerfiles of the targets, or show what other builders do differently
    Lint(LintArgs),
    /// Show config, layers and files of an image
    Inspect(InspectArgs),
    /// Show the differences between two images
    Diff(DiffArgs),
    /// Build a target twice without any cache and show the differences
    Reproduce(ReproduceArgs),
    /// Show the output of a target and its steps in the last runs
    Logs(LogsArgs),
    /// Show the content of the store
    Cache {
        /// Print the result in this format
        #[arg(long, default_value = "text")]
        format: ListFormat,
        /// The same as `--format json`
        #[arg(long)]
        json: bool,
    },
    /// Remove content from the store that has not been used for a long time
    Gc(GcArgs),
    /// Remove names of images from the store
    Rmi {
        /// A name, a digest or its beginning (all of its names), or a pattern such as `'team/*'`
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
    },
    /// Write a manifest for the Dockerfiles in this directory
    Init,
    /// Convert a bake file or a Compose file to a manifest
    Import {
        /// The file; default: the files that bake reads, such as `compose.yaml` and `docker-bake.hcl`
        #[arg(value_name = "FILE")]
        bake_file: Option<String>,
        /// Groups and targets of the file; default: all
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
        /// Read a further file, which adds to the first or overrides it
        #[arg(long, value_name = "FILE")]
        merge: Vec<String>,
    },
    /// Fetch and show advisories of the built-in scanner
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Send a manifest with the files that its targets read to a registry, or fetch them
    Source {
        #[command(subcommand)]
        command: SourceCommand,
    },
    /// Check that an image of a registry, or a document attached to it, is signed
    Verify(VerifyArgs),
    /// Check a user and a password, and store them where docker does
    Login(LoginArgs),
    /// Remove a stored login
    Logout {
        /// The host of the registry, with the port if it has one
        #[arg(default_value = "docker.io")]
        registry: String,
    },
    /// Show which isolation modes of RUN work on this machine, and why the others do not
    Doctor,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory; it is created if it does not exist
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Build and push as kaniko's executor does, with its arguments
    #[command(disable_help_flag = true)]
    Kaniko {
        /// Arguments such as `--context` and `--destination`: `imgmake kaniko --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Act as a Harness or Drone plugin: read PLUGIN_* variables
    Plugin {
        /// Act as this plugin: kaniko-docker, drone-ecr, buildah-docker, …
        #[arg(long = "as", value_name = "NAME")]
        name: String,
    },
    /// Explain a command
    Help {
        /// The command, as in `imgmake help db update`
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first image: an archive, a layout, a target, a name or a digest, as for `inspect`
    #[arg(value_name = "IMAGE")]
    pub from: String,
    /// The second image
    #[arg(value_name = "OTHER")]
    pub to: String,
    /// List all files that differ
    #[arg(long)]
    pub files: bool,
    /// Also list files that differ only in their times
    #[arg(long)]
    pub times: bool,
    /// Exit with 1 if the images differ
    #[arg(long)]
    pub exit_code: bool,
    /// Print the result in this format
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
    /// The same as `--format json`
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// An archive, a directory in the OCI layout, a target, a name, a digest or its beginning, or a name with its registry
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Choose one image of an archive by name, tag, digest or platform
    #[arg(long = "image", value_name = "NAME", conflicts_with = "index")]
    pub of_archive: Option<String>,
    /// Choose one image of an archive by number, from 1
    #[arg(long, value_name = "N")]
    pub index: Option<usize>,
    /// List all files of the image
    #[arg(long)]
    pub files: bool,
    /// List each layer with its digest and its files
    #[arg(long)]
    pub layers: bool,
    /// Print the result in this format
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
    /// The same as `--format json`
    #[arg(long)]
    pub json: bool,
}

impl InspectArgs {
    pub fn format(&self) -> ListFormat {
        match self.json {
            true => ListFormat::Json,
            false => self.format,
        }
    }
}

impl DiffArgs {
    pub fn format(&self) -> ListFormat {
        match self.json {
            true => ListFormat::Json,
            false => self.format,
        }
    }
}

#[derive(Debug, Args)]
pub struct GcArgs {
    /// Keep content that was used within this time: `12h`, `7d`, `4w`
    #[arg(long, value_name = "TIME", default_value = "14d")]
    pub keep: String,
    /// Then remove the least recently used content until the store has this size: `500MB`, `20GB`
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Remove everything that no running build uses
    #[arg(long, conflicts_with_all = ["keep", "max_size"])]
    pub all: bool,
    /// Remove only names and cache mounts of the project in this directory, and content that only its images need
    #[arg(long, conflicts_with = "max_size")]
    pub project: bool,
}

#[derive(Debug, Args)]
pub struct CiArgs {
    /// Write jobs for this system
    #[arg(long, value_name = "SYSTEM")]
    pub to: CiSystem,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Share steps between the jobs through this registry cache: `HOST/REPOSITORY`; default: the manifest's cache, or GitHub's or GitLab's own registry. Pull requests use a separate repository
    #[arg(long, value_name = "REF")]
    pub cache: Option<String>,
    /// Run the jobs in this image; for GitHub, copy the program from this image
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Set a variable in every job; the value is written as it is: `TAG=${{ github.sha }}`
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// Targets, groups or patterns; their dependencies become jobs, too
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
}

/// As `crate::ci::System`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CiSystem {
    /// A workflow of GitHub Actions
    Github,
    /// A pipeline of GitLab CI
    Gitlab,
    /// A Pipeline of Tekton
    Tekton,
    /// A Workflow of Argo
    Argo,
}

#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Fetch advisories; without a source, for the ecosystems of the images that the manifest scans
    ///
    /// Without a source, the ecosystems are those of the images that the `scan` targets of the manifest name, as they
    /// were last built, and those that were fetched before.
    Update {
        /// An ecosystem as OSV names it (`Debian`, `npm`, …), an archive or a URL
        #[arg(value_name = "SOURCE")]
        from: Vec<String>,
    },
    /// Store advisories from local files: directories, `.zip`, `.json`, `.jsonl`, the last two also with `.gz`
    Import {
        /// A directory, an archive or a file; each becomes a database
        #[arg(value_name = "PATH", required = true)]
        from: Vec<PathBuf>,
    },
    /// Push the stored advisories to a registry, for scans with `db "REFERENCE"`
    Push {
        /// The name in the registry, such as `registry.example.com/acme/advisories:latest`
        #[arg(value_name = "REFERENCE")]
        to: String,
    },
    /// Show which advisories are stored
    Status,
}

#[derive(Debug, Subcommand)]
pub enum SourceCommand {
    /// Send the files that targets read, and print the name for `--source`
    Push {
        /// The repository: `HOST/REPOSITORY`
        #[arg(value_name = "REPOSITORY")]
        to: String,
        /// Targets, groups or patterns; default: as for `imgmake run`
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
    },
    /// Write the files of a source into a directory that is empty or does not exist
    Pull {
        /// The name that `source push` printed
        #[arg(value_name = "REFERENCE")]
        from: String,
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Show what a source contains; only its list is fetched
    Show {
        /// The name that `source push` printed
        #[arg(value_name = "REFERENCE")]
        from: String,
        /// Print the result in this format
        #[arg(long, default_value = "text")]
        format: ListFormat,
    },
}

#[derive(Debug, Args)]
pub struct LintArgs {
    /// Targets or patterns; default: all targets
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Show instead what other builders would do differently: buildah, kaniko, docker, buildkit; default: all of them
    #[arg(
        long,
        value_name = "BUILDER,…",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "buildah,kaniko,docker,buildkit"
    )]
    pub compat: Option<Vec<Builder>>,
    /// Print the result in this format
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The image, by its name in a registry
    pub image: String,
    /// A file with a public key in PEM, unless `--certificate-root` is given; with several, a signature by one of them is enough
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present = "certificate_root"
    )]
    pub key: Vec<PathBuf>,
    #[command(flatten)]
    pub certificate: CertificateArgs,
    /// Check this: signature, cyclonedx, spdx, provenance, verdict, or the URI of a predicate type
    #[arg(short, long, value_name = "TYPE", default_value = "signature")]
    pub r#type: String,
    /// Print the result in this format; `json` also has the documents
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
    /// Use plain HTTP, or TLS without a check of the certificate
    #[arg(long)]
    pub insecure: bool,
}

/// Who must have signed by a certificate.
#[derive(Debug, Args)]
pub struct CertificateArgs {
    /// Accept signatures by a certificate of these authorities: certificates in PEM, or Sigstore's `trusted_root.json`
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "key",
        requires = "certificate_identity",
        requires = "certificate_oidc_issuer"
    )]
    pub certificate_root: Option<PathBuf>,
    /// The address or URI that the certificate must name
    #[arg(long, value_name = "NAME", requires = "certificate_root")]
    pub certificate_identity: Option<String>,
    /// The login service that the certificate must name
    #[arg(long, value_name = "URL", requires = "certificate_root")]
    pub certificate_oidc_issuer: Option<String>,
    /// The public key of the transparency log, in PEM; `trusted_root.json` has keys of its own
    #[arg(long, value_name = "FILE", requires = "certificate_root")]
    pub rekor_key: Option<PathBuf>,
    /// Accept a signature without an entry in a transparency log, if its certificate is valid now
    #[arg(long, requires = "certificate_root")]
    pub without_log_entry: bool,
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The host of the registry, with the port if it has one
    #[arg(default_value = "docker.io")]
    pub registry: String,
    /// The user; asked for on a terminal
    #[arg(short, long, value_name = "USER")]
    pub username: Option<String>,
    /// Read the password from standard input (the default)
    #[arg(long, conflicts_with = "password")]
    pub password_stdin: bool,
    /// The password; every user of this machine can read it in the list of processes
    #[arg(short, long, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// Use plain HTTP, or TLS without a check of the certificate
    #[arg(long)]
    pub insecure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people
    Text,
    /// For programs
    Json,
    /// For `strategy.matrix` of a GitHub workflow: a job for each target
    GithubMatrix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// For programs
    Json,
    /// A picture
    Svg,
    /// A page with the picture, the state of each target, and the reasons
    Html,
}
