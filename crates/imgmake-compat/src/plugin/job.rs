//! One step of a pipeline, understood: what to build, from what to push, where
//! to, and which files the platform expects afterwards. The plugins' variables
//! and kaniko's command line both end here; a manifest is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::log::Log;
use imgmake_core::manifest::{
    AuthNode, BuildTarget, CacheNode, ContextNode, Destination, ImageFormat, LimitsNode, LoadInto,
    LoadNode, Manifest, PasswordFrom, Publish, PushFrom, PushTarget, RecipeNode, RegistryNode,
    SecretFrom, SecretNode, Settings, Spanned, TarFormat, TarOutput, Target, TargetKind,
    WithoutDaemon,
};

/// The names of the targets in the manifest that a job becomes.
pub const BUILD: &str = "image";
pub const PUSH: &str = "push";

#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub source: Source,
    /// `repository:tag`, complete names; none is "do not push".
    pub destinations: Vec<String>,
    /// Whether the destinations are pushed to, or only name the image.
    pub push: bool,
    pub tar: Option<(String, TarFormat)>,
    pub layout: Option<String>,
    pub registries: Vec<RegistryNode>,
    /// What holds for the registries of base images, whichever these are.
    pub base_registries: Transport,
    /// Where steps are shared with other machines.
    pub cache: CacheNode,
    pub attempts: Option<u32>,
    /// Whether a missing credential is to be found before the build starts.
    pub check_permission: bool,
    /// The docker config to read, where it is not where docker has it.
    pub docker_config: Option<String>,
    pub immutable_tags: ImmutableTags,
    pub log: Log,
    /// Base images that were fetched beforehand.
    pub warmed: Option<Warmed>,
    pub files: ResultFiles,
    /// Lines for people: what was accepted and changes nothing.
    pub notes: Vec<String>,
}

/// How much a registry has to prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// Plain HTTP will do.
    pub insecure: bool,
    /// Any certificate will do.
    pub skip_tls_verify: bool,
}

/// What it means that a registry will not move a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImmutableTags {
    #[default]
    Refuse,
    /// The tag is there: as good as pushed.
    Accept,
}

/// A directory in which kaniko's warmer left base images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmed {
    pub directory: String,
    pub ttl: Option<Duration>,
}

/// Where the image comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Build(Box<Build>),
    /// Several images, from a bake file.
    Baked(Box<Baked>),
    /// An archive, docker or OCI.
    Tar(String),
    /// An image that an earlier step made, by its name.
    Named {
        name: String,
        /// Whether a registry is asked when the workspace does not have it.
        remote: bool,
    },
    /// The same, once it is known to be in the workspace's store.
    Stored(String),
}

/// What a bake file came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Baked {
    pub targets: Vec<Target>,
    pub secrets: Vec<SecretNode>,
    /// Dockerfiles that are written before the build: path and text.
    pub files: Vec<(String, String)>,
    /// Contexts to be fetched: target, address, and where that stands.
    pub repositories: Vec<(String, String, String)>,
    /// The names that each target is pushed to.
    pub published: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Build {
    pub context: String,
    /// The directory that the context is a part of, and that no link in it leads out of.
    pub whole: Option<String>,
    pub dockerfile: String,
    pub stage: Option<String>,
    /// Stages that are built besides; `*` is every one before it.
    pub also_stages: Vec<String>,
    /// Whether to say which stages are left out.
    pub tell_unused_stages: bool,
    pub args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub platforms: Vec<String>,
    pub no_cache: bool,
    /// Look base tags up again.
    pub pull: bool,
    pub secrets: Vec<(String, SecretFrom)>,
    /// Agents: id, then a socket, or the environment's.
    pub ssh: Vec<(String, Option<String>)>,
    /// A private key for an agent of the step's own, `default`.
    pub ssh_key: Option<PasswordFrom>,
    pub add_hosts: BTreeMap<String, String>,
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub network: Option<String>,
    pub contexts: BTreeMap<String, ContextNode>,
    /// Docker daemons that get the image, if they are there.
    pub load: bool,
    pub compression: Option<(String, Option<i32>)>,
    pub format: ImageFormat,
    /// One time for everything in the image.
    pub epoch: Option<i64>,
    /// What is added to the base becomes one layer.
    pub squash: bool,
    /// Absolute paths whose changes are in no layer.
    pub ignore_paths: Vec<String>,
}

/// Files that the platform reads after the step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultFiles {
    pub artifact: Option<String>,
    /// `Docker`, `ECR`, …: `registryType` in the artifact file.
    pub registry_type: String,
    pub registry_url: String,
    /// Dotenv lines for the next steps (`DRONE_OUTPUT`).
    pub output: Option<String>,
    pub digest: Vec<String>,
    /// A JSON line `{"name":…,"digest":…}` for each destination.
    pub images: Option<String>,
    pub name_with_digest: Vec<String>,
    pub name_tag_with_digest: Vec<String>,
    pub metadata: Option<String>,
    pub cache_metrics: Option<String>,
    pub card: Option<String>,
}

impl ResultFiles {
    /// Whether the step is asked for one.
    pub fn any(&self) -> bool {
        let lists = [
            &self.digest,
            &self.name_with_digest,
            &self.name_tag_with_digest,
        ];
        let files = [
            &self.artifact,
            &self.output,
            &self.images,
            &self.metadata,
            &self.cache_metrics,
            &self.card,
        ];
        lists.iter().any(|list| !list.is_empty()) || files.iter().any(|file| file.is_some())
    }
}

impl Job {
    /// The manifest that does this job: a target [`BUILD`], a target [`PUSH`], or both.
    pub fn manifest(&self) -> Manifest {
        let mut targets = Vec::new();
        let mut secrets = Vec::new();
        if let Source::Build(build) = &self.source {
            targets.push(target(
                BUILD,
                TargetKind::Build(Box::new(self.build_target(build))),
            ));
            let declared = build.secrets.iter();
            secrets.extend(declared.map(|(id, from)| SecretNode {
                name: plain(id),
                source: from.clone(),
                optional: false,
            }));
        }
        if let Source::Baked(baked) = &self.source {
            targets.extend(baked.targets.clone());
            secrets.extend(baked.secrets.clone());
        }
        if self.push {
            targets.extend(self.push_targets());
        }
        let mut settings = Settings {
            cache: self.cache.clone(),
            ..Settings::default()
        };
        settings.retry.attempts = self.attempts.unwrap_or(settings.retry.attempts);
        Manifest {
            settings,
            secrets,
            registries: self.all_registries(),
            targets,
            ..Manifest::default()
        }
    }

    fn build_target(&self, build: &Build) -> BuildTarget {
        let spanned = |map: &BTreeMap<String, String>| {
            map.iter().map(|(k, v)| (k.clone(), plain(v))).collect()
        };
        BuildTarget {
            context: Some(plain(&build.context)),
            recipe: RecipeNode::Dockerfile {
                path: plain(&build.dockerfile),
                stage: build.stage.as_ref().map(|s| plain(s)),
            },
            contexts: build
                .contexts
                .iter()
                .map(|(name, context)| (plain(name), context.clone()))
                .collect(),
            args: spanned(&build.args),
            labels: spanned(&build.labels),
            annotations: spanned(&build.annotations),
            platforms: build.platforms.iter().map(|p| plain(p)).collect(),
            secrets: build.secrets.iter().map(|(id, _)| plain(id)).collect(),
            ssh: build
                .ssh
                .iter()
                .map(|(id, socket)| (plain(id), socket.clone()))
                .collect(),
            tags: self.destinations.iter().map(|d| plain(d)).collect(),
            tar: self.tar.as_ref().map(|(path, format)| TarOutput {
                path: plain(path),
                format: *format,
            }),
            layout: self.layout.as_ref().map(|path| plain(path)),
            load: match build.load {
                true => vec![LoadNode {
                    into: LoadInto::Docker,
                    without: WithoutDaemon::Note,
                }],
                false => Vec::new(),
            },
            format: build.format,
            compression: build.compression.as_ref().map(|(name, _)| plain(name)),
            compression_level: build.compression.as_ref().and_then(|(_, level)| *level),
            network: build.network.as_ref().map(|network| plain(network)),
            limits: LimitsNode::default(),
            allow: Vec::new(),
            add_hosts: spanned(&build.add_hosts),
            dns: build.dns.iter().map(|s| plain(s)).collect(),
            dns_search: build.dns_search.iter().map(|s| plain(s)).collect(),
            trust_ca: Vec::new(),
            epoch: build.epoch,
            also_stages: build.also_stages.iter().map(|s| plain(s)).collect(),
            squash: build.squash,
            ignore_paths: build.ignore_paths.iter().map(|p| plain(p)).collect(),
            no_cache: build.no_cache,
        }
    }

    fn push_targets(&self) -> Vec<Target> {
        let from = match &self.source {
            Source::Build(_) => PushFrom::Images(vec![plain(BUILD)]),
            Source::Tar(path) => PushFrom::Tar {
                path: plain(path),
                pick: None,
            },
            Source::Named { name, .. } => PushFrom::Image(plain(name)),
            Source::Stored(name) => PushFrom::Stored(plain(name)),
            Source::Baked(baked) => {
                let named = baked.published.iter().filter(|(_, to)| !to.is_empty());
                // No target of a bake file has a slash in its name.
                let push = |(name, to): &(String, Vec<String>)| {
                    let from = PushFrom::Images(vec![plain(name)]);
                    let kind = TargetKind::Push(push_target(from, to));
                    target(&format!("{PUSH}/{name}"), kind)
                };
                return named.map(push).collect();
            }
        };
        let kind = TargetKind::Push(push_target(from, &self.destinations));
        vec![target(PUSH, kind)]
    }

    /// The declared registries, and one for each host of a destination that none of them is.
    fn all_registries(&self) -> Vec<RegistryNode> {
        let mut registries = self.registries.clone();
        for destination in &self.destinations {
            let (host, ..) = parts(destination);
            if !registries.iter().any(|node| node.prefix.value == host) {
                registries.push(registry(&host, AuthNode::DockerConfig));
            }
        }
        registries
    }
}

fn push_target(from: PushFrom, destinations: &[String]) -> PushTarget {
    let mut to: Vec<Destination> = Vec::new();
    for destination in destinations {
        let (host, repository, tag) = parts(destination);
        let registry = plain(&node_name(&host));
        let repository = plain(&repository);
        let same = |d: &&mut Destination| {
            d.registries[0].value == registry.value && d.repository.as_ref() == Some(&repository)
        };
        match to.iter_mut().find(same) {
            Some(known) => known.tags.push(plain(&tag)),
            None => to.push(Destination {
                registries: vec![registry],
                repository: Some(repository),
                tags: vec![plain(&tag)],
            }),
        }
    }
    PushTarget {
        from,
        to,
        publish: Publish::Each,
        write_digests: None,
    }
}

/// A registry node for a host, named so that two hosts never share a name.
pub fn registry(host: &str, auth: AuthNode) -> RegistryNode {
    RegistryNode {
        name: plain(&node_name(host)),
        prefix: plain(host),
        auth,
        insecure: false,
        skip_tls_verify: false,
        ca: None,
        client_cert: None,
        concurrency: None,
        create_repo: false,
        mirrors: Vec::new(),
        mirrors_only: false,
    }
}

fn node_name(host: &str) -> String {
    format!("host-{host}")
}

/// Host, repository and tag of a complete name, as the image grammar splits it:
/// the first part is a host when it has a dot or a colon, or is `localhost`.
pub fn parts(name: &str) -> (String, String, String) {
    let (name, tag) = match name.rfind(':') {
        Some(at) if !name[at..].contains('/') => (&name[..at], &name[at + 1..]),
        _ => (name, "latest"),
    };
    let (host, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (first, rest.to_string())
        }
        Some(_) => ("docker.io", name.to_string()),
        None => ("docker.io", format!("library/{name}")),
    };
    (host.to_string(), repository, tag.to_string())
}

/// A value that stands nowhere in a file.
pub fn plain(text: &str) -> Spanned<String> {
    Spanned {
        value: text.to_string(),
        ..Spanned::default()
    }
}

fn target(name: &str, kind: TargetKind) -> Target {
    Target {
        name: plain(name),
        description: None,
        needs: Vec::new(),
        kind,
        used_variables: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_names_split_as_the_image_grammar_says() {
        for (name, host, repository, tag) in [
            ("app", "docker.io", "library/app", "latest"),
            ("acme/app:1", "docker.io", "acme/app", "1"),
            ("localhost:5000/a/b:x", "localhost:5000", "a/b", "x"),
            ("gcr.io/p/app", "gcr.io", "p/app", "latest"),
        ] {
            assert_eq!(
                parts(name),
                (host.into(), repository.into(), tag.into()),
                "{name}"
            );
        }
    }

    #[test]
    fn tags_of_one_repository_are_one_destination() {
        let job = Job {
            source: Source::Tar("a.tar".into()),
            destinations: ["h.io/a:1", "h.io/a:2", "h.io/b:1"]
                .map(String::from)
                .into(),
            push: true,
            tar: None,
            layout: None,
            registries: vec![],
            cache: CacheNode::default(),
            attempts: None,
            check_permission: true,
            docker_config: None,
            base_registries: Transport::default(),
            immutable_tags: ImmutableTags::default(),
            log: Log::default(),
            warmed: None,
            files: ResultFiles::default(),
            notes: vec![],
        };
        let manifest = job.manifest();
        let TargetKind::Push(push) = &manifest.targets[0].kind else {
            panic!()
        };
        let tags: Vec<usize> = push.to.iter().map(|d| d.tags.len()).collect();
        assert_eq!((tags, manifest.registries.len()), (vec![2, 1], 1));
    }
}
