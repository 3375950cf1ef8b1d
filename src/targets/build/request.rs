//! The target's values as the build wants them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::task::BuildTask;
use super::certificates::certificates;
use super::compression::compression;
use super::limits::limits;
use super::secrets::{secrets, ssh};
use super::steps::step_of;
use super::{contexts, dockerfile};
use imgmake_build::{
    AddedLayers, AlsoStages, BuildDefinition, BuildRequest, DefaultNetwork, IgnoredPaths, Insecure,
    LayerCount, Resolver,
};
use imgmake_core::execute::{Failure, Upstream};
use imgmake_core::manifest::{BaseKind, DockerfilePlace, ImageFormat, RecipeNode, Spanned};
use imgmake_oci::image::ManifestFormat;

const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The target's values as the build wants them; images of other targets are among what is upstream.
pub(super) fn request(
    task: &BuildTask<'_>,
    upstream: &Upstream<'_>,
) -> Result<BuildRequest, Failure> {
    let settings = &task.runner.project.graph.manifest().settings;
    let name = task.name;
    let epoch = task
        .target
        .epoch
        .or(settings.epoch)
        .or_else(|| task.runner.variable(EPOCH)?.parse().ok());
    let mut args = values(&task.target.args);
    // A name of what has a time is for whoever reads the Dockerfile.
    if let (None, Some(name)) = (epoch, task.runner.variable(EPOCH))
        && !name.is_empty()
    {
        args.entry(EPOCH.into()).or_insert_with(|| name.into());
    }
    let context = contexts::main(task)?;
    Ok(BuildRequest {
        target: name.to_string(),
        definition: definition(task)?,
        excluded: contexts::excluded(task, &context),
        checkout: task
            .runner
            .project
            .checkout(&context)
            .stopped_by(&task.runner.tools.cancel),
        context,
        fetched: contexts::fetched(task),
        contexts: contexts::named(task, upstream)?,
        args,
        labels: values(&task.target.labels),
        annotations: values(&task.target.annotations),
        platforms: parsed(task, &task.target.platforms)?,
        secrets: secrets(task)?,
        ssh: ssh(task)?,
        add_hosts: values(&task.target.add_hosts),
        authorities: certificates(task)?,
        resolver: Resolver {
            servers: task.target.dns.iter().map(|s| s.value.clone()).collect(),
            search: task
                .target
                .dns_search
                .iter()
                .map(|s| s.value.clone())
                .collect(),
        },
        insecure: match task.target.allow.is_empty() {
            true => Insecure::Refused,
            false => Insecure::Allowed,
        },
        network: match task.target.network.as_ref().map(|n| n.value.as_str()) {
            Some("none") => DefaultNetwork::None,
            Some("isolated") => DefaultNetwork::Isolated,
            _ => DefaultNetwork::Host,
        },
        limits: limits(&task.target.limits),
        epoch,
        compression: compression(task)?,
        format: if task.target.format == ImageFormat::Docker {
            ManifestFormat::Docker
        } else {
            ManifestFormat::Oci
        },
        also: match task.target.also_stages.as_slice() {
            [] => AlsoStages::None,
            stages if stages.iter().any(|s| s.value == "*") => AlsoStages::Earlier,
            stages => AlsoStages::Named(stages.iter().map(|s| s.value.clone()).collect()),
        },
        added: AddedLayers {
            count: match task.target.squash {
                true => LayerCount::One,
                false => LayerCount::OnePerStep,
            },
            without: IgnoredPaths::new(task.target.ignore_paths.iter().map(|p| p.value.as_str())),
        },
        no_cache: task.target.no_cache || task.runner.options.no_cache,
        pull: task.runner.options.pull,
        jobs: task.runner.options.jobs,
    })
}

fn values(map: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
    map.iter()
        .map(|(name, value)| (name.clone(), value.value.clone()))
        .collect()
}

fn parsed<T: std::str::FromStr>(
    task: &BuildTask<'_>,
    texts: &[Spanned<String>],
) -> Result<Vec<T>, Failure>
where
    T::Err: std::fmt::Display,
{
    texts
        .iter()
        .map(|text| {
            text.value
                .parse()
                .map_err(|error: T::Err| task.problem(text, error.to_string(), "invalid value"))
        })
        .collect()
}

fn definition(task: &BuildTask<'_>) -> Result<BuildDefinition, Failure> {
    match &task.target.recipe {
        RecipeNode::Dockerfile { path, place, stage } => {
            let path = match place {
                DockerfilePlace::Context => PathBuf::from(&path.value),
                DockerfilePlace::Project => {
                    dockerfile::check_readable(task, path)?;
                    task.runner.path(&path.value)
                }
            };
            Ok(BuildDefinition::Dockerfile {
                path,
                stage: stage.as_ref().map(|s| s.value.clone()),
            })
        }
        // An image's reference, or the name of a target, under which the contexts hold its image.
        RecipeNode::Steps {
            from,
            base: BaseKind::Image | BaseKind::Target,
            steps,
        } => Ok(BuildDefinition::Steps {
            base: from.value.clone(),
            steps: steps.iter().map(|step| step_of(&step.value)).collect(),
        }),
    }
}
