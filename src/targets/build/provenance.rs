//! SLSA provenance, version 1, of what a build made: facts of the build, as the specification names them
//! (<https://slsa.dev/spec/v1.0/provenance>). Holds no time, no path of this machine and no value of a secret:
//! the same build says the same wherever it is done.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::failure::failure;
use super::super::secrets::secret_value;
use super::super::task::BuildTask;
use super::publishable::{self, HIDDEN};
use super::request::request;
use imgmake_build::{BuildRequest, DefaultNetwork, Material, Materials};
use imgmake_core::execute::{Failure, Upstream};
use imgmake_core::manifest::RecipeNode;
use imgmake_oci::image::{Digest, ManifestFormat, Platform, Reference};
use imgmake_oci::layer::Compression;

/// How the parameters of a build are to be read; the book describes them.
const BUILD_TYPE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/provenance/v1");
/// Who builds where nobody says so.
const BUILDER: &str = env!("CARGO_PKG_REPOSITORY");

/// The provenance of the image of each platform.
pub struct Provenances(Vec<(Platform, Value)>);

impl Provenances {
    /// Of an image of this platform.
    pub fn of(&self, platform: &Platform) -> Option<&Value> {
        if let [(_, only)] = self.0.as_slice() {
            return Some(only);
        }
        let same = self.0.iter().find(|(known, _)| known == platform);
        let serves = || self.0.iter().find(|(known, _)| known.serves(platform));
        same.or_else(serves).map(|(_, predicate)| predicate)
    }
}

/// What the build is made of now; its caller sees to it that this is what was built.
///
/// # Errors
/// As for the inputs of the build.
pub fn provenances(
    task: &BuildTask<'_>,
    upstream: &Upstream<'_>,
    builder: Option<&str>,
) -> Result<Provenances, Failure> {
    let request = request(task, upstream)?;
    let engine = task.runner.engine()?;
    let found = imgmake_build::materials(&request, &engine).map_err(failure)?;
    let secrets = secrets(task);
    let predicates = found.into_iter().map(|materials| {
        let mut predicate = predicate(task, &request, &materials, builder.unwrap_or(BUILDER));
        publishable::hide(&mut predicate, &secrets);
        (materials.platform, predicate)
    });
    Ok(Provenances(predicates.collect()))
}

fn predicate(
    task: &BuildTask<'_>,
    request: &BuildRequest,
    materials: &Materials,
    builder: &str,
) -> Value {
    let dependencies = materials.materials.iter().map(dependency);
    let dependencies: Vec<Value> = dependencies.collect();
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external(task, request, materials),
            "internalParameters": internal(request, materials),
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": builder, "version": {"imgmake": env!("CARGO_PKG_VERSION")}},
        },
    })
}

/// What the user said.
fn external(task: &BuildTask<'_>, request: &BuildRequest, materials: &Materials) -> Value {
    let args = materials.args.iter().map(|(name, value)| {
        let value = match publishable::names_secret(name) {
            true => HIDDEN.to_string(),
            false => publishable::without_logins(value),
        };
        (name.clone(), json!(value))
    });
    let mut said = Map::new();
    said.insert("target".into(), json!(task.name));
    said.insert("platform".into(), json!(materials.platform.to_string()));
    said.insert("args".into(), Value::Object(args.collect()));
    match &task.target.recipe {
        RecipeNode::Dockerfile {
            path,
            place: _,
            stage,
        } => {
            said.insert("dockerfile".into(), json!(path.value));
            if let Some(stage) = stage {
                said.insert("stage".into(), json!(stage.value));
            }
        }
        RecipeNode::Steps { from, .. } => {
            said.insert("from".into(), json!(from.value));
        }
    }
    // By their names: what they hold is nobody's business.
    let secrets: Vec<&String> = request.secrets.keys().collect();
    if !secrets.is_empty() {
        said.insert("secrets".into(), json!(secrets));
    }
    let agents: Vec<&String> = request.ssh.keys().collect();
    if !agents.is_empty() {
        said.insert("ssh".into(), json!(agents));
    }
    let network = match request.network {
        DefaultNetwork::Host => "host",
        DefaultNetwork::None => "none",
        DefaultNetwork::Isolated => "isolated",
    };
    said.insert("network".into(), json!(network));
    Value::Object(said)
}

/// What else decides about the bytes.
fn internal(request: &BuildRequest, materials: &Materials) -> Value {
    let format = match request.format {
        ManifestFormat::Docker => "docker",
        ManifestFormat::Oci => "oci",
    };
    let compression = match request.compression {
        Compression::None => json!({"kind": "none"}),
        Compression::Gzip { level } => json!({"kind": "gzip", "level": level}),
        Compression::Zstd { level } => json!({"kind": "zstd", "level": level}),
    };
    let mut parameters = json!({"format": format, "compression": compression});
    if let Some(epoch) = materials.epoch {
        parameters["sourceDateEpoch"] = json!(epoch);
    }
    parameters
}

/// A ResourceDescriptor of in-toto's attestation framework.
fn dependency(material: &Material) -> Value {
    match material {
        Material::Base {
            name,
            digest,
            platform,
        } => json!({
            "uri": image_uri(name, digest, platform),
            "digest": digest_set(digest),
        }),
        Material::Built { name, digest } => json!({
            "name": format!("image of {name}"),
            "digest": digest_set(digest),
        }),
        Material::Url { address, digest } => json!({
            "uri": address,
            "digest": digest_set(digest),
        }),
        Material::Git {
            address,
            subdirectory,
            commit,
        } => {
            let directory = match subdirectory.as_str() {
                "" => String::new(),
                directory => format!("#:{directory}"),
            };
            json!({
                "uri": publishable::without_logins(&format!(
                    "git+{}{directory}",
                    address.trim_start_matches("git+")
                )),
                "digest": {"gitCommit": commit},
            })
        }
        Material::Dockerfile { path, digest } => json!({
            "name": format!("Dockerfile {path}"),
            "digest": digest_set(digest),
        }),
        Material::Directory { path, hash } => {
            let name = match path.as_str() {
                "" => "files of the context".to_string(),
                path => format!("files of the context {path}"),
            };
            json!({"name": name, "digest": {"blake3": hex::encode(hash)}})
        }
    }
}

fn digest_set(digest: &Digest) -> BTreeMap<&str, &str> {
    BTreeMap::from([(digest.algorithm(), digest.hex())])
}

/// A package URL of the type `docker`, as BuildKit writes it.
fn image_uri(name: &str, digest: &Digest, platform: &str) -> String {
    let (name, version) = match name.parse::<Reference>() {
        Ok(reference) => {
            let bare = Reference {
                tag: None,
                digest: None,
                ..reference.clone()
            };
            let tag = reference.tag.map(|tag| format!("@{tag}"));
            (bare.familiar(), tag.unwrap_or_default())
        }
        Err(_) => (name.to_string(), String::new()),
    };
    let platform = platform.replace('/', "%2F");
    format!("pkg:docker/{name}{version}?digest={digest}&platform={platform}")
}

/// The values of all secrets of the project, the longest first: one may be the beginning of another.
fn secrets(task: &BuildTask<'_>) -> Vec<String> {
    let runner = task.runner;
    let (directory, cancel) = (&runner.project.directory, &runner.tools.cancel);
    let declared = runner.project.graph.manifest().secrets.iter();
    // What cannot be read was interpolated nowhere.
    let values = declared.filter_map(|secret| {
        secret_value(&secret.source, directory, runner.variables, cancel).ok()?
    });
    let texts = values.filter_map(|value| String::from_utf8(value).ok());
    let trimmed = texts.map(|text| text.trim_end_matches(['\r', '\n']).to_string());
    let mut found: Vec<String> = trimmed.filter(|text| !text.is_empty()).collect();
    found.sort_by_key(|text| std::cmp::Reverse(text.len()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_by_package_urls() {
        let digest: Digest = Digest::of(b"x");
        for (name, expected) in [
            ("alpine:3.22", "pkg:docker/alpine@3.22?digest="),
            (
                "ghcr.io/acme/app:1",
                "pkg:docker/ghcr.io/acme/app@1?digest=",
            ),
        ] {
            let uri = image_uri(name, &digest, "linux/arm64/v8");
            assert!(uri.starts_with(expected), "{uri}");
            assert!(uri.ends_with("&platform=linux%2Farm64%2Fv8"), "{uri}");
        }
    }
}
