//! Options of `build`: those of a run, and docker's.

use clap::Args;

use super::run_args::RunArgs;

/// A heading of `--help`.
const DOCKER: &str = "docker's flags";

const AFTER_HELP: &str = "\
With docker's flags, TARGET is the directory to build, a repository or an archive at a URL, and `-f FILE` is the Dockerfile, relative to the working directory.";

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct BuildArgs {
    /// Name the image, as docker does: `imgmake build -t NAME DIR`
    #[arg(short = 't', long = "tag", value_name = "NAME", help_heading = DOCKER)]
    pub tags: Vec<String>,
    /// Set a build argument; `NAME` alone takes its value from the environment, and with `--write` becomes a variable of the manifest
    #[arg(long = "build-arg", value_name = "NAME=VALUE", help_heading = DOCKER)]
    pub build_args: Vec<String>,
    /// Build the image of this stage
    #[arg(long, value_name = "STAGE", help_heading = DOCKER)]
    pub target: Option<String>,
    /// Build for this platform, such as `linux/arm64`; separate several with commas
    #[arg(long = "platform", value_name = "PLATFORM", help_heading = DOCKER)]
    pub platforms: Vec<String>,
    /// Add a label to the image
    #[arg(long = "label", value_name = "KEY=VALUE", help_heading = DOCKER)]
    pub labels: Vec<String>,
    /// Add an annotation to the image manifest
    #[arg(long = "annotation", value_name = "KEY=VALUE", help_heading = DOCKER, hide_short_help = true)]
    pub annotations: Vec<String>,
    /// Give RUN a secret: `id=npm,env=NPM_TOKEN` or `id=npm,src=FILE`
    #[arg(long = "secret", value_name = "SECRET", help_heading = DOCKER)]
    pub secrets: Vec<String>,
    /// Give RUN an ssh agent: `default` or `ID=SOCKET`
    #[arg(long, value_name = "AGENT", help_heading = DOCKER, hide_short_help = true)]
    pub ssh: Vec<String>,
    /// Add an entry to `/etc/hosts` during RUN: `HOST:IP` or `HOST=IP`
    #[arg(long = "add-host", value_name = "HOST:IP", help_heading = DOCKER, hide_short_help = true)]
    pub add_hosts: Vec<String>,
    /// Add a named context: `NAME=DIR`, `NAME=docker-image://IMAGE` or `NAME=oci-layout://DIR:TAG`
    #[arg(long = "build-context", value_name = "NAME=PLACE", help_heading = DOCKER, hide_short_help = true)]
    pub build_contexts: Vec<String>,
    /// Write files or an archive, or push: `DIR`, `type=tar,dest=FILE`, `type=oci,dest=FILE`, `type=docker[,dest=FILE]`, `type=registry`
    #[arg(short = 'o', long = "output", value_name = "OUTPUT", help_heading = DOCKER, hide_short_help = true)]
    pub outputs: Vec<String>,
    /// Push the image under its names
    #[arg(long, help_heading = DOCKER)]
    pub push: bool,
    /// Load the image into Docker
    #[arg(long, help_heading = DOCKER)]
    pub load: bool,
    /// Also write an equivalent manifest, `imgmake.kdl`
    #[arg(long, help_heading = DOCKER)]
    pub write: bool,
    #[command(flatten)]
    pub run: RunArgs,
}

impl BuildArgs {
    /// One of docker's flags that is given.
    pub fn flag(&self) -> Option<&'static str> {
        [
            ("-t", !self.tags.is_empty()),
            ("--build-arg", !self.build_args.is_empty()),
            ("--target", self.target.is_some()),
            ("--platform", !self.platforms.is_empty()),
            ("--label", !self.labels.is_empty()),
            ("--annotation", !self.annotations.is_empty()),
            ("--secret", !self.secrets.is_empty()),
            ("--ssh", !self.ssh.is_empty()),
            ("--add-host", !self.add_hosts.is_empty()),
            ("--build-context", !self.build_contexts.is_empty()),
            ("--output", !self.outputs.is_empty()),
            ("--push", self.push),
            ("--load", self.load),
            ("--write", self.write),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }
}
