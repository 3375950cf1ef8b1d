//! A plan as jobs. Knows no CI system.

use std::collections::{BTreeMap, BTreeSet};

use imgmake_core::graph::{Graph, TargetId};
use imgmake_core::manifest::{
    Absence, AuthNode, CacheAccess, CacheRegistry, PasswordFrom, RegistryNode, RunTarget,
    SecretFrom, SecretNode, TargetKind,
};
use imgmake_core::plan::Plan;

use super::error::CiError;

/// Jobs in the order of the plan: each after those that it needs.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub jobs: Vec<Job>,
    /// Whether the manifest itself names a registry cache.
    pub has_cache: bool,
    /// Whether the manifest lets every job write one.
    pub writes_cache: bool,
    /// Hosts of registries whose credentials are docker's.
    pub docker_hosts: BTreeSet<String>,
    /// Whether a cloud gives credentials to the job itself.
    pub wants_identity: bool,
}

#[derive(Clone, Debug)]
pub struct Job {
    pub target: String,
    /// Targets.
    pub needs: Vec<String>,
    /// It pushes, or needs one that does: not for strangers' branches.
    pub publishes: bool,
    pub secrets: Vec<Secret>,
    /// Files that it leaves, as the manifest writes them.
    pub files: Vec<String>,
    /// Test reports among them.
    pub junit: Vec<String>,
    /// GitLab's report of code quality.
    pub code_quality: Option<String>,
}

/// A secret of the system's own store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret {
    /// Its name in the manifest.
    pub name: String,
    /// As a variable: what the job finds it in.
    pub variable: String,
    pub kind: SecretKind,
    pub optional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretKind {
    Variable,
    /// The job writes it to this file.
    File(String),
}

/// # Errors
/// A target would be done more than once though it must not.
pub fn pipeline(graph: &Graph, plan: &Plan) -> Result<Pipeline, CiError> {
    let manifest = graph.manifest();
    let mut publishing: BTreeSet<TargetId> = BTreeSet::new();
    let mut jobs = Vec::new();
    for id in &plan.order {
        let target = graph.target(*id);
        let mut needs: Vec<TargetId> = graph.dependencies(*id).iter().map(|(id, _)| *id).collect();
        needs.sort_unstable();
        needs.dedup();
        let publishes = matches!(target.kind, TargetKind::Push(_))
            || needs.iter().any(|need| publishing.contains(need));
        if publishes {
            publishing.insert(*id);
        }
        if let TargetKind::Run(run) = &target.kind {
            once(graph, plan, *id, run)?;
        }
        let names = needs.iter().map(|need| graph.name(*need).to_string());
        let (files, junit) = files(&target.kind);
        jobs.push(Job {
            target: graph.name(*id).to_string(),
            needs: names.collect(),
            publishes,
            secrets: secrets(graph, *id),
            files,
            junit,
            code_quality: code_quality(&target.kind),
        });
    }
    let of_docker = |node: &&RegistryNode| matches!(node.auth, AuthNode::DockerConfig);
    let hosts = manifest.registries.iter().filter(of_docker);
    let caches = &manifest.settings.cache.registries;
    let is_written =
        |cache: &CacheRegistry| matches!(cache.access, CacheAccess::ReadWrite | CacheAccess::Write);
    Ok(Pipeline {
        jobs,
        has_cache: !caches.is_empty(),
        writes_cache: caches.iter().any(is_written),
        docker_hosts: hosts.map(|node| host(&node.prefix.value)).collect(),
        wants_identity: manifest.registries.iter().any(|node| is_cloud(&node.auth)),
    })
}

fn host(prefix: &str) -> String {
    prefix.split('/').next().unwrap_or(prefix).to_string()
}

fn is_cloud(auth: &AuthNode) -> bool {
    matches!(
        auth,
        AuthNode::AwsEcr(_) | AuthNode::Gcp(_) | AuthNode::Azure(_)
    )
}

/// Each job does again what it needs, and finds most of it done. A command without inputs is never
/// done: only its own job may run it.
fn once(graph: &Graph, plan: &Plan, id: TargetId, run: &RunTarget) -> Result<(), CiError> {
    let planned = graph.dependents(id).iter();
    let needed_by: BTreeSet<&str> = planned
        .filter(|dependent| plan.order.contains(dependent))
        .map(|dependent| graph.name(*dependent))
        .collect();
    if !run.inputs.is_empty() || needed_by.is_empty() {
        return Ok(());
    }
    Err(CiError::RunAgain {
        target: graph.name(id).to_string(),
        needed_by: needed_by.into_iter().map(str::to_string).collect(),
    })
}

/// What a target writes beside the manifest, and which of it is JUnit's.
fn files(kind: &TargetKind) -> (Vec<String>, Vec<String>) {
    let mut files: Vec<&str> = Vec::new();
    let mut junit = Vec::new();
    match kind {
        TargetKind::Build(build) => {
            files.extend(build.tar.iter().map(|tar| tar.path.value.as_str()));
            files.extend(build.layout.iter().map(|layout| layout.value.as_str()));
            files.extend(
                build
                    .exports
                    .iter()
                    .map(|export| export.path.value.as_str()),
            );
        }
        TargetKind::Scan(scan) => {
            files.extend(scan.reports.values().map(|path| path.value.as_str()));
            junit.extend(scan.reports.get("junit").map(|path| path.value.clone()));
        }
        TargetKind::Push(push) => {
            files.extend(push.write_digests.iter().map(|path| path.value.as_str()));
        }
        TargetKind::Run(run) => files.extend(run.outputs.iter().map(|path| path.value.as_str())),
    }
    let files: BTreeSet<String> = files.into_iter().map(str::to_string).collect();
    (files.into_iter().collect(), junit)
}

fn code_quality(kind: &TargetKind) -> Option<String> {
    let TargetKind::Scan(scan) = kind else {
        return None;
    };
    let report = scan.reports.get("code-quality");
    report.map(|path| path.value.clone())
}

/// Those of the target and of all that it needs, which its job does too; and of the registries,
/// which give bases and take images.
fn secrets(graph: &Graph, id: TargetId) -> Vec<Secret> {
    let manifest = graph.manifest();
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut seen = BTreeSet::from([id]);
    let mut waiting = vec![id];
    let mut speaks_to_registries = false;
    while let Some(id) = waiting.pop() {
        match &graph.target(id).kind {
            TargetKind::Build(build) => {
                wanted.extend(build.secrets.iter().map(|name| name.value.as_str()));
                speaks_to_registries = true;
            }
            TargetKind::Scan(_) | TargetKind::Push(_) => speaks_to_registries = true,
            TargetKind::Run(_) => {}
        }
        let needs = graph.dependencies(id).iter().map(|(need, _)| *need);
        waiting.extend(needs.filter(|need| seen.insert(*need)));
    }
    if speaks_to_registries {
        for node in &manifest.registries {
            wanted.extend(credentials(&node.auth));
        }
    }
    let by_name: BTreeMap<&str, &SecretNode> = manifest
        .secrets
        .iter()
        .map(|node| (node.name.value.as_str(), node))
        .collect();
    let nodes = wanted.into_iter().filter_map(|name| by_name.get(name));
    let mut found: Vec<Secret> = Vec::new();
    for one in nodes.map(|node| secret(node)) {
        let same = |known: &&mut Secret| {
            let kinds = (&known.kind, &one.kind);
            known.variable == one.variable
                && matches!(kinds, (SecretKind::Variable, SecretKind::Variable))
        };
        match found.iter_mut().find(same) {
            Some(known) => known.optional &= one.optional,
            None => found.push(one),
        }
    }
    found.sort_by(|one, other| (&one.variable, &one.kind).cmp(&(&other.variable, &other.kind)));
    found
}

fn credentials(auth: &AuthNode) -> Vec<&str> {
    let values: Vec<&PasswordFrom> = match auth {
        AuthNode::DockerConfig | AuthNode::Anonymous => Vec::new(),
        AuthNode::Basic { password, .. } => vec![password],
        AuthNode::Bearer { token } => vec![token],
        AuthNode::AwsEcr(map) | AuthNode::Gcp(map) | AuthNode::Azure(map) => map.values().collect(),
    };
    let names = values.into_iter().filter_map(|value| match value {
        PasswordFrom::Secret(name) => Some(name.value.as_str()),
        PasswordFrom::Literal(_) => None,
    });
    names.collect()
}

fn secret(node: &SecretNode) -> Secret {
    let name = node.name.value.clone();
    let (variable, kind) = match &node.source {
        SecretFrom::Env(variable) => (variable.clone(), SecretKind::Variable),
        SecretFrom::File(path) => (
            name.to_uppercase().replace(['-', '.'], "_"),
            SecretKind::File(path.clone()),
        ),
    };
    Secret {
        name,
        variable,
        kind,
        optional: node.absence != Absence::Fails,
    }
}
