//! Options of a run, and of the commands that say what it would do.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Headings of `--help`.
const REGISTRY_CACHE: &str = "Registry cache";
const ISOLATION: &str = "RUN";
const REPORTS: &str = "Reports";

#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Targets, groups, patterns such as `'web-*'`, or a kind: build, push, scan, load
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Run up to N targets and steps at the same time
    #[arg(short, long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// After a failure, continue with all targets that do not depend on it; with N, until N targets have failed
    #[arg(short, long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub keep_going: Option<usize>,
    /// Print what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do everything again, and use no cache
    #[arg(long, visible_alias = "no-cache")]
    pub force: bool,
    /// Resolve the tags of base images and the URLs of ADD again
    #[arg(long, conflicts_with_all = ["locked", "offline"])]
    pub pull: bool,
    #[command(flatten)]
    pub outside: OutsideArgs,
    /// Use steps from a registry: `HOST/REPOSITORY`
    ///
    /// Options follow after commas, and the syntax of buildx works, too:
    /// `type=registry,ref=HOST/REPOSITORY`.
    #[arg(long, value_name = "REF", help_heading = REGISTRY_CACHE)]
    pub cache_from: Vec<String>,
    /// Write the steps of this run to a registry: `HOST/REPOSITORY[,mode=min]`
    ///
    /// `mode=max`, the default, shares the steps of every stage that is built; `mode=min` shares only the steps of
    /// the stages whose layers are in the image.
    #[arg(long, value_name = "REF", help_heading = REGISTRY_CACHE)]
    pub cache_to: Vec<String>,
    /// Ignore entries of the registry cache that are older than this: `12h`, `14d`
    #[arg(long, value_name = "TIME", help_heading = REGISTRY_CACHE)]
    pub cache_ttl: Option<String>,
    /// Print at the end how many targets were reused, and how much time this saved
    #[arg(long)]
    pub summary: bool,
    /// Write the run as a timeline: FILE.html is a page, FILE.json a trace for Perfetto or Chrome
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "dry_run",
        hide_short_help = true
    )]
    pub timing: Vec<PathBuf>,
    /// Hash every file again, even if its size and times are unchanged
    #[arg(long, hide_short_help = true)]
    pub rehash: bool,
    /// Write the run as JUnit XML: each target is a case
    #[arg(
        long,
        value_name = "FILE",
        help_heading = REPORTS,
        conflicts_with = "dry_run",
        hide_short_help = true
    )]
    pub junit: Option<PathBuf>,
    /// Write warnings and failures as GitLab's code quality report
    #[arg(
        long,
        value_name = "FILE",
        help_heading = REPORTS,
        conflicts_with = "dry_run",
        hide_short_help = true
    )]
    pub code_quality: Option<PathBuf>,
    /// Exit with 9 if another run works on the same targets, instead of waiting
    #[arg(long)]
    pub no_wait: bool,
    /// Open a shell after a RUN failed
    ///
    /// The shell has the root of the RUN as the command left it, with its user, environment, directory and mounts.
    /// Changes in the shell are discarded. The option needs a terminal, runs one step at a time, and shows plain progress.
    #[arg(long, help_heading = ISOLATION)]
    pub shell_on_fail: bool,
    /// For the builds of `reproduce`, which start it: write the image of the one target there as a layout, share no
    /// steps with a registry whatever the manifest says, and end with the process that started this one
    #[arg(long, value_name = "DIR", hide = true)]
    pub attempt: Option<PathBuf>,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Arguments for the command of the `run` target
    #[arg(last = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

impl RunArgs {
    /// For `--dry-run`.
    pub fn planned(&self) -> PlanArgs {
        PlanArgs {
            targets: self.targets.clone(),
            rehash: self.rehash,
            outside: self.outside,
            network: self.network,
            arguments: self.arguments.clone(),
        }
    }
}

/// What a run has in common with the commands that say what it would do.
#[derive(Clone, Debug, Default, Args)]
pub struct PlanArgs {
    /// Targets, groups, patterns such as `'web-*'`, or a kind: build, push, scan, load
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Hash every file again, even if its size and times are unchanged
    #[arg(long)]
    pub rehash: bool,
    #[command(flatten)]
    pub outside: OutsideArgs,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Arguments for the command of the `run` target
    #[arg(last = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

/// How much is asked of the world outside.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct OutsideArgs {
    /// Fail if a name is not in the lock file, instead of resolving it
    #[arg(long)]
    pub locked: bool,
    /// Open no connection, and report what is missing
    #[arg(long)]
    pub offline: bool,
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub struct NetworkArgs {
    /// Use this network for RUN in every build target, instead of the manifest's `network`
    #[arg(long = "network", value_name = "MODE", help_heading = ISOLATION)]
    pub mode: Option<NetworkMode>,
}

/// A number that something can be done with.
fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "write a number from 1; without `-j` imgmake chooses one".to_string())
}

/// The values of a build target's `network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkMode {
    /// The network of the machine
    Default,
    /// No network, unless the RUN has `--network`
    None,
    /// The network of the machine
    Host,
    /// Other machines, but no service of this machine
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
