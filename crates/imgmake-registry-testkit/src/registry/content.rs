//! What repositories hold: blobs, manifests, tags, and what refers to what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imgmake_oci::image::Digest;
use serde_json::{Value, json};

use super::answers::error;
use super::route::Route;
use crate::http::Response;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[derive(Default)]
pub(super) struct Content {
    repositories: BTreeMap<String, Repository>,
}

#[derive(Default)]
struct Repository {
    blobs: BTreeMap<String, Arc<Vec<u8>>>,
    manifests: BTreeMap<String, Manifest>,
    tags: BTreeMap<String, String>,
}

pub(super) struct Manifest {
    media_type: String,
    bytes: Vec<u8>,
}

impl Content {
    pub(super) fn blob(&self, repository: &str, digest: &str) -> Option<&Arc<Vec<u8>>> {
        self.repositories.get(repository)?.blobs.get(digest)
    }

    /// By tag or by digest.
    pub(super) fn manifest(&self, repository: &str, reference: &str) -> Option<(&str, &Manifest)> {
        let repository = self.repositories.get(repository)?;
        let digest = repository
            .tags
            .get(reference)
            .map_or(reference, String::as_str);
        let (digest, manifest) = repository.manifests.get_key_value(digest)?;
        Some((digest, manifest))
    }

    pub(super) fn tags(&self, repository: &str) -> Option<Vec<String>> {
        let repository = self.repositories.get(repository)?;
        Some(repository.tags.keys().cloned().collect())
    }

    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_string()).or_default()
    }

    pub(super) fn get_blob(&self, name: &str, digest: &str, range: Option<&str>) -> Response {
        let Some(bytes) = self.blob(name, digest) else {
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let whole = Response::new(200)
            .header("Content-Type", "application/octet-stream")
            .header("Docker-Content-Digest", digest)
            .header("Accept-Ranges", "bytes");
        let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")) else {
            return whole.body(bytes.to_vec());
        };
        let (begin, end) = range.split_once('-').unwrap_or((range, ""));
        let length = bytes.len();
        let begin: usize = begin.parse().unwrap_or(0);
        let end = end.parse().map_or(length, |end: usize| end + 1).min(length);
        if begin >= end {
            return Response::new(416).header("Content-Range", format!("bytes */{length}"));
        }
        Response {
            status: 206,
            ..whole
        }
        .header(
            "Content-Range",
            format!("bytes {begin}-{}/{length}", end - 1),
        )
        .body(bytes[begin..end].to_vec())
    }

    pub(super) fn put_blob(&mut self, name: &str, digest: &str, bytes: Vec<u8>) -> Response {
        if !is_digest_of(digest, &bytes) {
            return error(
                400,
                "DIGEST_INVALID",
                "provided digest did not match uploaded content",
            );
        }
        let blobs = &mut self.repository(name).blobs;
        blobs.insert(digest.to_string(), Arc::new(bytes));
        self.created_blob(name, digest)
    }

    /// Whether the other repository had it.
    pub(super) fn mount(&mut self, name: &str, digest: &str, from: &str) -> bool {
        let Some(bytes) = self.blob(from, digest).cloned() else {
            return false;
        };
        let blobs = &mut self.repository(name).blobs;
        blobs.insert(digest.to_string(), bytes);
        true
    }

    pub(super) fn created_blob(&self, name: &str, digest: &str) -> Response {
        Response::new(201)
            .header("Location", format!("/v2/{name}/blobs/{digest}"))
            .header("Docker-Content-Digest", digest)
    }

    pub(super) fn delete_blob(&mut self, name: &str, digest: &str) -> Response {
        let repository = self.repositories.get_mut(name);
        match repository.and_then(|repository| repository.blobs.remove(digest)) {
            Some(_) => Response::new(202),
            None => error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
        }
    }

    pub(super) fn get_manifest(&self, name: &str, reference: &str) -> Response {
        let Some((digest, manifest)) = self.manifest(name, reference) else {
            return match self.repositories.contains_key(name) {
                true => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
                false => error(404, "NAME_UNKNOWN", "repository name not known to registry"),
            };
        };
        Response::new(200)
            .header("Content-Type", manifest.media_type.as_str())
            .header("Docker-Content-Digest", digest)
            .body(manifest.bytes.clone())
    }

    /// Takes a manifest whose blobs and children are there; `referrers` says whether the
    /// registry confirms that it entered the subject.
    pub(super) fn put_manifest(
        &mut self,
        name: &str,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
        referrers: bool,
    ) -> Response {
        let Ok(document) = serde_json::from_slice::<Value>(&bytes) else {
            return error(400, "MANIFEST_INVALID", "manifest invalid");
        };
        let by_digest = reference.contains(':');
        let digest = match by_digest {
            true if is_digest_of(reference, &bytes) => reference.to_string(),
            true => {
                return error(
                    400,
                    "DIGEST_INVALID",
                    "provided digest did not match uploaded content",
                );
            }
            false => Digest::of(&bytes).to_string(),
        };
        let missing = self.missing(name, &document);
        if let Some(missing) = missing {
            let message = format!("blob unknown to registry: {missing}");
            return error(400, "MANIFEST_BLOB_UNKNOWN", &message);
        }
        let media_type = match media_type {
            "" => document["mediaType"].as_str().unwrap_or_default(),
            given => given,
        };
        let manifest = Manifest {
            media_type: media_type.to_string(),
            bytes,
        };
        let repository = self.repository(name);
        repository.manifests.insert(digest.clone(), manifest);
        if !by_digest {
            let tags = &mut repository.tags;
            tags.insert(reference.to_string(), digest.clone());
        }
        let answer = Response::new(201)
            .header("Location", format!("/v2/{name}/manifests/{digest}"))
            .header("Docker-Content-Digest", digest.as_str());
        match document["subject"]["digest"].as_str() {
            Some(subject) if referrers => answer.header("OCI-Subject", subject),
            _ => answer,
        }
    }

    /// What a manifest names and the repository does not hold. Layers that have addresses
    /// of their own may be elsewhere.
    fn missing(&self, name: &str, document: &Value) -> Option<String> {
        let none = Vec::new();
        let repository = self.repositories.get(name);
        let blobs: BTreeSet<&str> = repository
            .into_iter()
            .flat_map(|r| r.blobs.keys().map(String::as_str))
            .collect();
        let layers = document["layers"].as_array().unwrap_or(&none);
        let own = layers.iter().filter(|layer| layer["urls"].is_null());
        let needed = [&document["config"]].into_iter().chain(own);
        let needed = needed.filter_map(|one| one["digest"].as_str());
        if let Some(blob) = needed.into_iter().find(|digest| !blobs.contains(digest)) {
            return Some(blob.to_string());
        }
        let children = document["manifests"].as_array().unwrap_or(&none);
        let mut children = children.iter().filter_map(|one| one["digest"].as_str());
        let held = |digest: &&str| self.manifest(name, digest).is_some();
        children.find(|digest| !held(digest)).map(String::from)
    }

    /// A tag alone, or a manifest with all of its tags.
    pub(super) fn delete_manifest(&mut self, name: &str, reference: &str) -> Response {
        let unknown = || error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        let Some(repository) = self.repositories.get_mut(name) else {
            return unknown();
        };
        if repository.tags.remove(reference).is_some() {
            return Response::new(202);
        }
        if repository.manifests.remove(reference).is_none() {
            return unknown();
        }
        repository.tags.retain(|_, digest| digest != reference);
        Response::new(202)
    }

    /// `n` and `last`, as the specification has pages ("Content Discovery").
    pub(super) fn tag_list(&self, name: &str, route: &Route) -> Response {
        let Some(tags) = self.tags(name) else {
            return error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let (tags, next) = page(tags, route);
        let answer = json_answer(json!({ "name": name, "tags": tags }));
        match next {
            Some(next) => answer.header(
                "Link",
                format!("</v2/{name}/tags/list?{next}>; rel=\"next\""),
            ),
            None => answer,
        }
    }

    pub(super) fn catalog(&self, route: &Route) -> Response {
        let (names, next) = page(self.repositories.keys().cloned().collect(), route);
        let answer = json_answer(json!({ "repositories": names }));
        match next {
            Some(next) => answer.header("Link", format!("</v2/_catalog?{next}>; rel=\"next\"")),
            None => answer,
        }
    }

    /// An index of the manifests whose `subject` is this digest; empty for one that nobody knows.
    pub(super) fn referrers(&self, name: &str, subject: &str, route: &Route) -> Response {
        let wanted = route.query("artifactType");
        let manifests = self
            .repositories
            .get(name)
            .into_iter()
            .flat_map(|r| &r.manifests);
        let found: Vec<Value> = manifests
            .filter_map(|(digest, manifest)| referrer(digest, manifest, subject))
            .filter(|one| wanted.is_none_or(|wanted| one["artifactType"] == wanted))
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": found });
        let answer = Response::new(200)
            .header("Content-Type", INDEX)
            .body(index.to_string());
        match wanted {
            Some(_) => answer.header("OCI-Filters-Applied", "artifactType"),
            None => answer,
        }
    }
}

/// The descriptor of a manifest that refers to the subject.
fn referrer(digest: &str, manifest: &Manifest, subject: &str) -> Option<Value> {
    let document: Value = serde_json::from_slice(&manifest.bytes).ok()?;
    if document["subject"]["digest"] != subject {
        return None;
    }
    let kind = match &document["artifactType"] {
        Value::Null => &document["config"]["mediaType"],
        kind => kind,
    };
    let mut descriptor = json!({
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": manifest.bytes.len(),
        "artifactType": kind,
    });
    if !document["annotations"].is_null() {
        descriptor["annotations"] = document["annotations"].clone();
    }
    Some(descriptor)
}

fn is_digest_of(digest: &str, bytes: &[u8]) -> bool {
    Digest::of(bytes).as_str() == digest
}

fn json_answer(value: Value) -> Response {
    Response::new(200)
        .header("Content-Type", "application/json")
        .body(value.to_string())
}

/// One page of sorted names, and the query of the next page.
fn page(names: Vec<String>, route: &Route) -> (Vec<String>, Option<String>) {
    let last = route.query("last").unwrap_or_default();
    let most = route.query("n").and_then(|n| n.parse().ok());
    let most: usize = most.unwrap_or(usize::MAX);
    let mut rest: Vec<String> = names.into_iter().filter(|n| n.as_str() > last).collect();
    let more = rest.len() > most;
    rest.truncate(most);
    let next = rest
        .last()
        .filter(|_| more)
        .map(|last| format!("n={most}&last={last}"));
    (rest, next)
}
