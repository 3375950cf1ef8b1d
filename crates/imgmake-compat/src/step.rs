//! One step of a pipeline, understood: manifest, result files, options, preparations.
//!
//! The plugins' variables and kaniko's command line both become one. Nothing is started here.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::credentials::Credentials;
use crate::hidden::Hidden;
use crate::nodes::{parts, plain, push_target, registry, target};
use crate::result_files::ResultFiles;
use imgmake_core::manifest::{
    Absence, AuthNode, BuildTarget, DockerfilePlace, Manifest, PushFrom, RecipeNode, RegistryNode,
    SecretFrom, SecretNode, TargetKind,
};

/// The names of the targets of a step that has one image.
pub const BUILD: &str = "image";
pub const PUSH: &str = "push";

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// What is built and pushed: [`BUILD`], [`PUSH`] or both, or the targets of a bake file.
    /// Holds no credential: its secrets name variables.
    pub manifest: Manifest,
    /// The image's complete names, `repository:tag`, pushed to or not, in the order given.
    pub names: Vec<String>,
    pub results: ResultFiles,
    pub options: StepOptions,
    pub preparations: Preparations,
    /// Lines for people: what was accepted and changes nothing.
    pub notes: Vec<String>,
}

/// How the manifest is run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepOptions {
    /// Whose words messages use.
    pub words: Words,
    pub log: Log,
    /// Resolve base tags again.
    pub pull: bool,
    pub immutable_tags: ImmutableTags,
    /// Base images that were fetched beforehand.
    pub warmed: Option<Warmed>,
    /// The directory that the context is a part of, and that no link in it leads out of.
    pub whole: Option<String>,
    /// Variables that the step has besides its environment: where its docker config is, and
    /// credentials that are a part of a file or of another variable.
    pub variables: BTreeMap<String, Hidden>,
}

/// How whoever wrote the step says things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Words {
    /// As flags.
    #[default]
    Kaniko,
    /// As variables of a plugin that is kaniko.
    KanikoPlugin,
    /// As variables of a plugin that is Docker or buildah.
    DockerPlugin,
}

/// What is done before anything is built or pushed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preparations {
    /// An image to push that an earlier step made.
    pub image: Option<NamedImage>,
    /// An archive to push that an earlier step wrote.
    pub archive: Option<String>,
    /// Name the stages that run something and are left out.
    pub name_unused_stages: bool,
    /// A private key for an agent of the step's own, `default`.
    pub ssh_key: Option<SecretFrom>,
    /// Dockerfiles of a bake file.
    pub files: Vec<TextFile>,
    /// Find a missing credential for a push before anything is built for it.
    pub check_permission: bool,
    /// What holds for the registries of base images, whichever these are: see
    /// [`Step::with_bases`].
    pub base_transport: Transport,
}

/// An image by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedImage {
    pub name: String,
    /// Whether a registry is asked when the workspace does not have it.
    pub remote: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    pub path: String,
    pub text: String,
}

/// How much a registry has to prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// Plain HTTP will do.
    pub insecure: bool,
    /// Any certificate will do.
    pub skip_tls_verify: bool,
}

/// What it means that a registry does not move a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImmutableTags {
    #[default]
    Refuse,
    /// The tag exists: as good as pushed.
    Accept,
}

/// A directory in which kaniko's warmer left base images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmed {
    pub directory: String,
    pub ttl: Option<Duration>,
}

/// How much a step writes to its log, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub verbosity: Verbosity,
    /// Lines begin with the time.
    pub timestamps: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Only warnings and errors.
    Quiet,
    #[default]
    Plain,
    /// Also what was cached.
    Verbose,
    /// Everything, as JSON lines.
    Json,
}

impl Step {
    /// The build of a step that has one image.
    pub fn build(&self) -> Option<&BuildTarget> {
        self.manifest
            .targets
            .iter()
            .find_map(|one| match &one.kind {
                TargetKind::Build(build) if one.name.value == BUILD => Some(&**build),
                _ => None,
            })
    }

    pub fn build_mut(&mut self) -> Option<&mut BuildTarget> {
        let mut targets = self.manifest.targets.iter_mut();
        targets.find_map(|one| match &mut one.kind {
            TargetKind::Build(build) if one.name.value == BUILD => Some(&mut **build),
            _ => None,
        })
    }

    pub fn builds(&self) -> bool {
        let mut kinds = self.manifest.targets.iter().map(|one| &one.kind);
        kinds.any(|kind| matches!(kind, TargetKind::Build(_)))
    }

    pub fn pushes(&self) -> bool {
        let mut kinds = self.manifest.targets.iter().map(|one| &one.kind);
        kinds.any(|kind| matches!(kind, TargetKind::Push(_)))
    }

    /// The step, now that it is known where the image to push is.
    pub fn push_from(&mut self, from: &PushFrom) {
        for target in &mut self.manifest.targets {
            if let TargetKind::Push(push) = &mut target.kind {
                push.from = from.clone();
            }
        }
    }

    /// The step, once it is known which images its Dockerfile names.
    #[must_use]
    pub fn with_bases(mut self, names: &[String]) -> Step {
        let transport = self.preparations.base_transport;
        if transport == Transport::default() {
            return self;
        }
        let registries = std::mem::take(&mut self.manifest.registries);
        let mut nodes: BTreeMap<String, RegistryNode> = registries
            .into_iter()
            .map(|node| (node.prefix.value.clone(), node))
            .collect();
        let mut hosts: Vec<String> = names.iter().map(|name| parts(name).0).collect();
        for host in hosts.clone() {
            hosts.extend(nodes.get(&host).into_iter().flat_map(|n| n.mirrors.clone()));
        }
        for host in hosts {
            let node = nodes
                .entry(host.clone())
                .or_insert_with(|| registry(&host, AuthNode::DockerConfig));
            transport.allow(node);
        }
        self.manifest.registries = nodes.into_values().collect();
        self
    }

    /// A secret that RUN steps of the build may use.
    pub(crate) fn add_secret(&mut self, build: &mut BuildTarget, id: &str, source: SecretFrom) {
        build.secrets.push(plain(id));
        self.manifest.secrets.push(SecretNode {
            name: plain(id),
            source,
            absence: Absence::Empty,
        });
    }

    /// The target that builds the step's one image, under its names.
    pub(crate) fn add_build(&mut self, mut build: BuildTarget) {
        build.tags = self.names.iter().map(plain).collect();
        let kind = TargetKind::Build(Box::new(build));
        self.manifest.targets.push(target(BUILD, kind));
    }

    pub(crate) fn add_push(&mut self, name: &str, from: PushFrom, to: &[String]) {
        let kind = TargetKind::Push(push_target(from, to));
        self.manifest.targets.push(target(name, kind));
    }

    /// The registries, and one for each host of a name that none of them is. Credentials leave
    /// the nodes, which from then on name secrets.
    pub(crate) fn add_registries(&mut self, registries: Vec<RegistryNode>) {
        let nodes = &mut self.manifest.registries;
        nodes.extend(registries);
        for name in &self.names {
            let (host, ..) = parts(name);
            if !nodes.iter().any(|node| node.prefix.value == host) {
                nodes.push(registry(&host, AuthNode::DockerConfig));
            }
        }
        let mut credentials = Credentials::default();
        for node in nodes {
            credentials.declare(node);
        }
        self.manifest.secrets.extend(credentials.secrets);
        self.options.variables.extend(credentials.variables);
    }
}

impl Transport {
    pub(crate) fn allow(self, node: &mut RegistryNode) {
        node.insecure |= self.insecure;
        node.skip_tls_verify |= self.skip_tls_verify;
    }
}

/// A build of one Dockerfile.
pub(crate) fn dockerfile_build(context: &str, path: &str, stage: Option<String>) -> BuildTarget {
    let recipe = RecipeNode::Dockerfile {
        path: plain(path),
        place: DockerfilePlace::Project,
        stage: stage.map(plain),
    };
    BuildTarget::new(Some(plain(context)), recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_one_repository_are_one_destination() {
        let names = ["h.io/a:1", "h.io/a:2", "h.io/b:1"].map(String::from);
        let mut step = Step {
            names: names.to_vec(),
            ..Step::default()
        };
        let from = PushFrom::Tar {
            path: plain("a.tar"),
            pick: None,
        };
        step.add_push(PUSH, from, &names);
        step.add_registries(Vec::new());
        let TargetKind::Push(push) = &step.manifest.targets[0].kind else {
            panic!()
        };
        let tags: Vec<usize> = push.to.iter().map(|d| d.tags.len()).collect();
        assert_eq!((tags, step.manifest.registries.len()), (vec![2, 1], 1));
    }
}
