//! The command line as it is written.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// make for container images: build, scan, push and run what has changed
#[derive(Debug, Parser)]
#[command(
    name = "imgmake",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
#[command(
    after_help = "`imgmake [TARGET…]` is short for `imgmake run [TARGET…]`. Without targets: the group `default`, else every build."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(flatten)]
    pub run: RunArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What every command knows.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Work in this directory
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// The manifest; `-` is standard input
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
    /// Override an attribute of every target that matches: `PATTERN.KEY=VALUE`
    #[arg(long = "set", value_name = "PATTERN.KEY=VALUE", global = true)]
    pub sets: Vec<String>,
    /// Where images and steps are kept
    #[arg(long, value_name = "DIR", env = "IMGMAKE_STORE", global = true)]
    pub store: Option<PathBuf>,
    /// Style of progress
    #[arg(long, value_name = "STYLE", default_value = "auto", global = true)]
    pub progress: Progress,
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: When,
    /// Lines of progress begin with the time, in UTC
    #[arg(long, global = true)]
    pub timestamps: bool,
    /// Only warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Also what is fresh or cached
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    Auto,
    Tty,
    Plain,
    Json,
    Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Targets, groups or globs
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// How many targets and steps at once
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<std::num::NonZeroUsize>,
    /// After a failure, continue with what does not depend on it
    #[arg(short, long)]
    pub keep_going: bool,
    /// Print what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do everything again, taking nothing from caches
    #[arg(long, visible_alias = "no-cache")]
    pub force: bool,
    /// Always re-resolve base images and URLs
    #[arg(long)]
    pub pull: bool,
    /// Take steps from a registry: `HOST/REPOSITORY`, or as buildx writes it
    #[arg(long, value_name = "REF")]
    pub cache_from: Vec<String>,
    /// Share the steps that are built here in a registry: `HOST/REPOSITORY[,mode=min]`
    #[arg(long, value_name = "REF")]
    pub cache_to: Vec<String>,
    /// Ignore entries of the registry cache that are older: `12h`, `14d`
    #[arg(long, value_name = "TIME")]
    pub cache_ttl: Option<String>,
    /// Fail when a lock file would change
    #[arg(long, hide = true)]
    pub locked: bool,
    /// Give up at once when another run works in the project
    #[arg(long)]
    pub no_wait: bool,
    /// Open a shell in the root of a RUN that failed (one step at a time, plain progress)
    #[arg(long)]
    pub shell_on_fail: bool,
    #[command(flatten)]
    pub network: NetworkArgs,
}

impl RunArgs {
    /// For `--dry-run`.
    pub fn planned(&self) -> PlanArgs {
        PlanArgs {
            targets: self.targets.clone(),
            network: self.network,
        }
    }
}

/// What a run has in common with the commands that say what it would do.
#[derive(Clone, Debug, Default, Args)]
pub struct PlanArgs {
    /// Targets, groups or globs
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    #[command(flatten)]
    pub network: NetworkArgs,
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub struct NetworkArgs {
    /// The network of RUN in every build target, in place of the manifest's `network`
    #[arg(long = "network", value_name = "MODE")]
    pub mode: Option<NetworkMode>,
}

/// The values of a build target's `network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkMode {
    /// The machine's
    Default,
    /// No network, unless a RUN has its own
    None,
    /// The machine's
    Host,
    /// Servers elsewhere, and nothing of the machine
    Isolated,
}

impl NetworkMode {
    /// As the manifest writes it.
    pub fn name(self) -> &'static str {
        match self {
            NetworkMode::Default => "default",
            NetworkMode::None => "none",
            NetworkMode::Host => "host",
            NetworkMode::Isolated => "isolated",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring targets up to date
    Run(RunArgs),
    /// Print what would run and why, and change nothing
    Plan(PlanArgs),
    /// Every input whose change makes a target stale
    Why {
        target: String,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// The targets, with kinds and descriptions
    List {
        #[arg(long, default_value = "text")]
        format: ListFormat,
    },
    /// How targets depend on each other
    Graph {
        #[arg(long, default_value = "dot")]
        format: GraphFormat,
    },
    /// Write targets as jobs of a CI system, one a target
    Ci(CiArgs),
    /// Run, and again whenever an input changes
    Watch(RunArgs),
    /// Exit with 5 when something is stale; do nothing
    Check(PlanArgs),
    /// What an archive, a layout or an image of the store holds
    Inspect {
        image: String,
        #[arg(long, default_value = "text")]
        format: ListFormat,
    },
    /// Remove from the store what has not been used for long
    Gc {
        /// Keep what was used within this time: `12h`, `7d`, `4w`
        #[arg(long, value_name = "TIME", default_value = "14d")]
        keep: String,
        /// Then the oldest, until the store is this small: `500MB`, `20GB`
        #[arg(long, value_name = "SIZE")]
        max_size: Option<String>,
    },
    /// What the store holds
    Cache,
    /// Write a manifest for the Dockerfiles here
    Init,
    /// Convert a bake file to a manifest
    Import {
        /// `docker-bake.hcl` or `docker-bake.json` by default
        bake_file: Option<String>,
        /// Its groups and targets; all by default
        targets: Vec<String>,
    },
    /// Which ways of isolating RUN work here, and why the others do not
    Doctor,
    /// Check the Dockerfiles of the targets
    Lint { targets: Vec<String> },
    /// Advisories of the built-in scanner
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Check a user and a password (on standard input) and remember them as docker does
    Login(LoginArgs),
    /// Remove a remembered login
    Logout {
        /// Host, with a port if it has one
        #[arg(default_value = "docker.io")]
        registry: String,
    },
    /// Completions for a shell
    Completions { shell: clap_complete::Shell },
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
}

#[derive(Debug, Args)]
pub struct CiArgs {
    /// For which system
    #[arg(long, value_name = "SYSTEM")]
    pub to: CiSystem,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where jobs share what they built: `HOST/REPOSITORY`; by default the manifest's cache, or GitHub's or GitLab's own registry
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
    /// Fetch advisories; without a source, again those that are kept
    Update {
        /// OSV's name of an ecosystem (`Debian`, `npm`, …), an archive or a URL
        from: Vec<String>,
    },
    /// What is kept
    Status,
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Host, with a port if it has one
    #[arg(default_value = "docker.io")]
    pub registry: String,
    #[arg(short, long, value_name = "USER")]
    pub username: String,
    /// Read the password from standard input (the default)
    #[arg(long, conflicts_with = "password")]
    pub password_stdin: bool,
    /// The password, where everybody on this machine can read it: better on standard input
    #[arg(short, long, value_name = "PASSWORD")]
    pub password: Option<String>,
    /// Plain HTTP, or TLS with a certificate that is not checked
    #[arg(long)]
    pub insecure: bool,
}

/// Options that take the next word as their value.
const TAKE_A_VALUE: [&str; 15] = [
    "-C",
    "--directory",
    "-f",
    "--file",
    "--var",
    "--set",
    "--store",
    "--progress",
    "--color",
    "--cache-from",
    "--cache-to",
    "--cache-ttl",
    "-j",
    "--jobs",
    "--network",
];

/// Moves the command before the options, so that `imgmake -C dir plan` is
/// `imgmake plan -C dir`. A first word that is not a command is a target.
pub fn command_first(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut at = 1;
    while let Some(word) = arguments.get(at) {
        match word.to_str() {
            Some("--") => break,
            Some(option) if TAKE_A_VALUE.contains(&option) => at += 2,
            Some(option) if option.len() > 1 && option.starts_with('-') => at += 1,
            Some(word) if Command::has_subcommand(word) => {
                let command = arguments.remove(at);
                arguments.insert(1, command);
                break;
            }
            _ => break,
        }
    }
    arguments
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    Dot,
    Mermaid,
    Json,
    Svg,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn arranged(words: &[&str]) -> Vec<String> {
        let words = std::iter::once("imgmake")
            .chain(words.iter().copied())
            .map(OsString::from);
        let arranged = command_first(words).into_iter().skip(1);
        arranged.map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn a_command_may_stand_behind_options_and_a_target_may_have_its_name() {
        for (words, meant) in [
            (&["-C", "plan", "list"][..], &["list", "-C", "plan"][..]),
            (
                &["--progress=json", "run", "list"],
                &["run", "--progress=json", "list"],
            ),
            (
                &["--network", "none", "plan"],
                &["plan", "--network", "none"],
            ),
            (&["-j", "4", "app", "plan"], &["-j", "4", "app", "plan"]),
            (&["-k", "run", "a"], &["run", "-k", "a"]),
            (&["--", "plan"], &["--", "plan"]),
            (&["-j4", "-v", "plan"], &["plan", "-j4", "-v"]),
        ] {
            assert_eq!(arranged(words), meant);
        }
    }

    #[test]
    fn the_networks_are_those_of_the_manifest() {
        let names = NetworkMode::value_variants().iter().map(|mode| {
            let value = mode.to_possible_value().unwrap();
            assert_eq!(value.get_name(), mode.name());
            mode.name()
        });
        assert!(names.eq(imgmake_core::manifest::NETWORKS));
    }

    #[test]
    fn every_option_with_a_value_is_known_to_take_one() {
        for option in Cli::command()
            .get_arguments()
            .filter(|a| a.get_action().takes_values())
        {
            let short = option.get_short().map(|short| format!("-{short}"));
            let long = option.get_long().map(|long| format!("--{long}"));
            for name in short.into_iter().chain(long) {
                let takes = TAKE_A_VALUE.contains(&name.as_str());
                assert!(takes, "{name}");
            }
        }
    }
}
