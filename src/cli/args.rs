//! The command line as it is written.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use imgmake_dockerfile::compat::Builder;

pub use super::build_args::BuildArgs;
pub use super::logs::LogsArgs;
pub use super::reproduce::ReproduceArgs;
pub use super::run_args::{NetworkArgs, OutsideArgs, PlanArgs, RunArgs};

const AFTER_HELP: &str = "\
`imgmake [TARGET…]` is short for `imgmake run [TARGET…]`. Without targets: the group `default`, or every build.
`imgmake build`, `push`, `scan` and `load` run the targets of that kind.
`imgmake help COMMAND` explains a command; so does the book, https://github.com/imgmake/imgmake/tree/main/book/src.";

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
    #[command(flatten)]
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
    /// The manifest, or a Compose file; `-` is standard input
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "imgmake.kdl",
        global = true
    )]
    pub file: PathBuf,
    /// Set a variable
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
    /// The directory in which images and steps are kept
    #[arg(
        long,
        value_name = "DIR",
        env = "IMGMAKE_STORE",
        hide_env_values = true,
        global = true,
        hide_short_help = true
    )]
    pub store: Option<PathBuf>,
    /// How progress is shown
    #[arg(
        long,
        value_name = "STYLE",
        default_value = "auto",
        global = true,
        hide_short_help = true
    )]
    pub progress: Progress,
    /// When output has colors
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
    /// Moving lines on a terminal, plain lines elsewhere
    Auto,
    /// Moving lines
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
    /// Build the build targets, or, with docker's flags, a directory without a manifest
    Build(Box<BuildArgs>),
    /// Run, and again whenever an input changes
    Watch(RunArgs),
    /// Print what would run and why, and change nothing
    Plan {
        #[command(flatten)]
        args: PlanArgs,
        /// Print what a run with `--force` would do
        #[arg(long, visible_alias = "no-cache", conflicts_with = "since")]
        force: bool,
        /// Print instead what is touched by changes since a git revision, such as `origin/main`; needs no state
        ///
        /// Changes since the last common commit count, as far as git tracks the files: committed or not.
        #[arg(long, value_name = "REF", allow_hyphen_values = true)]
        since: Option<String>,
        /// The form of the answer
        #[arg(long, default_value = "text")]
        format: PlanFormat,
    },
    /// Print every input that makes a target stale
    Why {
        /// The target
        target: String,
        /// The form of the answer
        #[arg(long, default_value = "text")]
        format: ListFormat,
        /// Hash every file again, whatever its times say
        #[arg(long)]
        rehash: bool,
        #[command(flatten)]
        outside: OutsideArgs,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Exit with 5 if something is stale; run nothing
    Check {
        #[command(flatten)]
        args: PlanArgs,
        /// The form of the answer
        #[arg(long, default_value = "text")]
        format: ListFormat,
    },
    /// Resolve base tags, URLs and git references again, and write the lock file
    Update {
        /// What is in the lock file, such as `alpine` or `alpine:3.22`, or a pattern; all by default
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// List the targets, with kinds and descriptions
    List {
        /// The form of the list
        #[arg(long, default_value = "text")]
        format: ListFormat,
    },
    /// Show how targets depend on each other
    Graph {
        /// `svg` is a picture and needs no other program; `html` is a page with the state of each target, and the reasons
        #[arg(long, default_value = "dot")]
        format: GraphFormat,
    },
    /// Write targets as jobs of a CI system, one for each target
    Ci(CiArgs),
    /// Check the Dockerfiles of the targets, or compare other builders
    Lint(LintArgs),
    /// Show config, layers and files of an image
    Inspect(InspectArgs),
    /// Show what is different between two images
    Diff(DiffArgs),
    /// Build a target twice from nothing and show what differs
    Reproduce(ReproduceArgs),
    /// Show what a target and its steps printed in the last runs
    Logs(LogsArgs),
    /// Show what the store holds
    Cache,
    /// Remove from the store what has not been used for a long time
    Gc(GcArgs),
    /// Remove names of images from the store
    Rmi {
        /// A name, a digest or its beginning (all of its names), or a pattern such as `'team/*'`
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
    },
    /// Write a manifest for the Dockerfiles here
    Init,
    /// Convert a bake file or a Compose file to a manifest
    Import {
        /// The file; by default those that bake reads: `compose.yaml`, `docker-bake.hcl`, …
        bake_file: Option<String>,
        /// Its groups and targets; all by default
        targets: Vec<String>,
        /// Further files: what they say adds to the first, or takes its place
        #[arg(long, value_name = "FILE")]
        merge: Vec<String>,
    },
    /// Fetch and show advisories of the built-in scanner
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Check that an image of a registry, or what is said of it, is signed
    Verify(VerifyArgs),
    /// Check a user and a password, and store them where docker does
    Login(LoginArgs),
    /// Remove a stored login
    Logout {
        /// Host, with a port if it has one
        #[arg(default_value = "docker.io")]
        registry: String,
    },
    /// Show which ways of isolating RUN work here, and why the others do not
    Doctor,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// Is created if it does not exist
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Build and push as kaniko's executor does, with its arguments
    #[command(disable_help_flag = true)]
    Kaniko {
        /// `--context`, `--destination`, …: `imgmake kaniko --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Act as a Harness or Drone plugin: read PLUGIN_* variables
    Plugin {
        /// The plugin that is replaced: kaniko-docker, drone-ecr, buildah-docker, …
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
    /// An image, as `inspect` takes it
    #[arg(value_name = "IMAGE")]
    pub from: String,
    /// The other one
    #[arg(value_name = "OTHER")]
    pub to: String,
    /// List all files
    #[arg(long)]
    pub files: bool,
    /// List files that differ in their times alone, too
    #[arg(long)]
    pub times: bool,
    /// Exit with 1 if the images differ
    #[arg(long)]
    pub exit_code: bool,
    /// The form of the answer
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
    /// As `--format json`
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct InspectArgs {
    /// An archive, a directory in the OCI layout, a target, a name, a digest or its beginning, or a name with its registry
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Of an archive that holds several: a name, a tag, a digest or a platform
    #[arg(long = "image", value_name = "NAME", conflicts_with = "index")]
    pub of_archive: Option<String>,
    /// Of an archive that holds several: its number, from 1
    #[arg(long, value_name = "N")]
    pub index: Option<usize>,
    /// List all files of the image
    #[arg(long)]
    pub files: bool,
    /// List each layer with its digest and what is in it
    #[arg(long)]
    pub layers: bool,
    /// The form of the answer
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
    /// As `--format json`
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
    /// Keep what was used within this time: `12h`, `7d`, `4w`
    #[arg(long, value_name = "TIME", default_value = "14d")]
    pub keep: String,
    /// Then remove the least recently used until the store has this size: `500MB`, `20GB`
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Remove everything that no running build uses
    #[arg(long, conflicts_with_all = ["keep", "max_size"])]
    pub all: bool,
    /// Look only at names and cache mounts of the project here, and at what its images alone need
    #[arg(long, conflicts_with = "max_size")]
    pub project: bool,
}

#[derive(Debug, Args)]
pub struct CiArgs {
    /// For which system
    #[arg(long, value_name = "SYSTEM")]
    pub to: CiSystem,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where jobs share what they built: `HOST/REPOSITORY`; by default the manifest's cache, or GitHub's or GitLab's own registry. Pull requests get a repository of their own beside it
    #[arg(long, value_name = "REF")]
    pub cache: Option<String>,
    /// The image that jobs run in; for GitHub, the one that the program is taken from
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// A variable of every job; the value is written as it is: `TAG=${{ github.sha }}`
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
    /// Targets, groups or globs; what they need becomes jobs, too
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
    /// Fetch advisories; without a source, for what is in the images that the manifest scans
    ///
    /// Without a source, the ecosystems are those of the images that the `scan` targets of the manifest name, as they
    /// were built last, and those that were fetched before.
    Update {
        /// An ecosystem as OSV names it (`Debian`, `npm`, …), an archive or a URL
        #[arg(value_name = "SOURCE")]
        from: Vec<String>,
    },
    /// Store advisories of this machine: directories, `.zip`, `.json`, `.jsonl`, the last two also with `.gz`
    Import {
        /// A directory, an archive or a file; several become one database each
        #[arg(value_name = "PATH", required = true)]
        from: Vec<PathBuf>,
    },
    /// Push the stored advisories to a registry, for scans with `db "REFERENCE"`
    Push {
        /// As `registry.example.com/acme/advisories:latest`
        #[arg(value_name = "REFERENCE")]
        to: String,
    },
    /// Show which advisories are stored
    Status,
}

#[derive(Debug, Args)]
pub struct LintArgs {
    /// Targets or patterns; all by default
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Say instead what other builders would do differently: buildah, kaniko, docker, buildkit; all by default
    #[arg(
        long,
        value_name = "BUILDER,…",
        num_args = 0..=1,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "buildah,kaniko,docker,buildkit"
    )]
    pub compat: Option<Vec<Builder>>,
    /// `json` is for programs
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The image, by its name in a registry
    pub image: String,
    /// A file with a public key in PEM; any of several may have signed
    #[arg(short, long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,
    /// What must be signed: signature, cyclonedx, spdx, provenance, verdict, or the URI of a predicate's type
    #[arg(short, long, value_name = "TYPE", default_value = "signature")]
    pub r#type: String,
    /// How the result is printed; JSON has the documents
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    pub format: ListFormat,
    /// Plain HTTP, or TLS without a check of the certificate
    #[arg(long)]
    pub insecure: bool,
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Host, with a port if it has one
    #[arg(default_value = "docker.io")]
    pub registry: String,
    /// The user
    #[arg(short, long, value_name = "USER")]
    pub username: String,
    /// Read the password from standard input (the default)
    #[arg(long, conflicts_with = "password")]
    pub password_stdin: bool,
    /// The password, which every user of this machine can read in the list of processes
    #[arg(short, long, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// Plain HTTP, or TLS without a check of the certificate
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
    /// A page: the picture, the state of each target, and why it is stale
    Html,
}
