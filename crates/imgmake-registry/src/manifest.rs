//! A manifest or an index of one registry: asked for, verified, and which image of an index is
//! for a platform.
//!
//! Knows one place to read from; knows no mirrors and no store.

use ureq::http::Method;

use super::client::PullEndpoint;
use super::error::Fault;
use super::http::{Answer, Call};
use super::refusal::first_line;
use super::session::{Request, Retry, Session, pull_scope};
use super::{Fetched, RegistryError};
use imgmake_oci::image::{
    Descriptor, Digest, ImageIndex, ManifestOrIndex, Platform, Reference, media_type,
};

/// The specification lets registries refuse manifests above this size.
pub(super) const MANIFEST_LIMIT: u64 = 4 << 20;

/// Everything that we can read; registries convert or refuse what is not named.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// The child for a platform; attestations (`unknown/unknown`) are no images.
pub(super) fn choose<'i>(
    index: &'i ImageIndex,
    platform: &Platform,
) -> Result<&'i Descriptor, RegistryError> {
    let images: Vec<&Descriptor> = index
        .manifests
        .iter()
        .filter(|d| {
            d.platform
                .as_ref()
                .is_none_or(|p| p.os != "unknown" && p.architecture != "unknown")
        })
        .collect();
    let exact = images
        .iter()
        .find(|d| d.platform.as_ref().is_some_and(|p| p.serves(platform)));
    // `linux/arm/v7` hosts run `v6` and `v5` images; the highest is the best.
    let lower = || {
        images
            .iter()
            .filter(|d| d.platform.as_ref().is_some_and(|p| runs_on(p, platform)))
            .max_by_key(|d| d.platform.as_ref().and_then(|p| p.variant.clone()))
    };
    let only = || match images[..] {
        [one] if one.platform.is_none() => images.first(),
        _ => None,
    };
    exact.or_else(lower).or_else(only).copied().ok_or_else(|| {
        let have: std::collections::BTreeSet<String> = images
            .iter()
            .filter_map(|d| Some(d.platform.as_ref()?.to_string()))
            .collect();
        RegistryError::not_found(format!(
            "the index has no image for {platform}; it has {}",
            imgmake_guard::printable::list(&have)
        ))
    })
}

fn runs_on(image: &Platform, host: &Platform) -> bool {
    let host = Platform::new(&host.os, &host.architecture, host.variant.as_deref());
    let image = Platform::new(&image.os, &image.architecture, image.variant.as_deref());
    let number = |p: &Platform| {
        p.variant
            .as_deref()
            .map_or(Some(1), |v| v.strip_prefix('v')?.parse::<u32>().ok())
    };
    image.os == host.os
        && image.architecture == host.architecture
        && matches!(host.architecture.as_str(), "arm" | "amd64")
        && match (number(&image), number(&host)) {
            (Some(image), Some(host)) => image <= host,
            _ => false,
        }
}

pub(super) fn parse(fetched: &Fetched) -> Result<ManifestOrIndex, RegistryError> {
    ManifestOrIndex::parse(&fetched.bytes, Some(&fetched.descriptor.media_type))
        .map_err(|e| RegistryError::invalid(e.to_string()))
}

pub(super) fn get_manifest(
    endpoint: &PullEndpoint,
    reference: &Reference,
) -> Result<Fetched, RegistryError> {
    let session = &endpoint.session;
    let scopes = [pull_scope(&endpoint.repository)];
    let path = format!(
        "v2/{}/manifests/{}",
        endpoint.repository,
        reference.target()
    );
    let operation = format!("pull the manifest `{}`", reference.target());
    let request = Request {
        operation: &operation,
        repository: &endpoint.repository,
        scopes: &scopes,
        call: Call::new(Method::GET, session.url(&path)?).header("Accept", ACCEPT),
        retry: Retry::Whole,
        cancel: session.cancel(),
    };
    let fetched = session.send_and_read(&request, |answer| {
        read_manifest(answer, reference.digest.as_ref())
    });
    fetched.map_err(|e| match e.is_missing() {
        true => e.help("check the name and the tag; without the right to read it, a private repository may look missing"),
        false => e,
    })
}

fn read_manifest(answer: Answer, expected: Option<&Digest>) -> Result<Fetched, RegistryError> {
    let media_type = answer.header("Content-Type").map(bare_media_type);
    let named: Option<Digest> = answer
        .header("Docker-Content-Digest")
        .and_then(|d| d.parse().ok());
    let bytes = answer.bytes(MANIFEST_LIMIT).map_err(|e| match e.fault() {
        Fault::TooLarge { .. } => {
            RegistryError::invalid("the manifest is larger than 4 MiB, the limit")
        }
        _ => e,
    })?;
    let digest = Digest::of(&bytes);
    let wanted = expected
        .or(named.as_ref())
        .filter(|d| d.algorithm() == "sha256");
    if let Some(wanted) = wanted
        && *wanted != digest
    {
        let mismatch = Fault::DigestMismatch {
            what: "a manifest",
            found: digest,
            expected: wanted.clone(),
        };
        return Err(mismatch.into());
    }
    if let Some(other) = expected.filter(|d| d.algorithm() != "sha256") {
        return Err(RegistryError::invalid(format!(
            "{other} is not a sha256 digest, the only kind that is verified"
        )));
    }
    if !matches!(
        serde_json::from_slice(&bytes),
        Ok(serde_json::Value::Object(_))
    ) {
        return Err(no_manifest(&bytes, media_type.as_deref()));
    }
    let media_type = media_type_of(&bytes, media_type.as_deref());
    Ok(Fetched {
        descriptor: Descriptor::new(media_type, digest, bytes.len() as u64),
        bytes,
    })
}

/// A login page of a proxy comes with 200 too.
fn no_manifest(bytes: &[u8], media_type: Option<&str>) -> RegistryError {
    let begins = first_line(&String::from_utf8_lossy(bytes));
    let kind = media_type.filter(|s| !s.is_empty()).unwrap_or("no type");
    RegistryError::invalid(match begins.as_str() {
        "" => format!("invalid manifest: {} bytes of {kind}", bytes.len()),
        json if json.starts_with(['{', '[', '"']) => {
            format!(
                "invalid manifest: {} bytes of {kind}, which are not a JSON object",
                bytes.len()
            )
        }
        begins => format!("invalid manifest: {kind}: {begins}"),
    })
    .help("is this the address of a registry?")
}

fn bare_media_type(header: &str) -> String {
    header.split(';').next().unwrap_or("").trim().to_string()
}

/// The document's own word, else the header's, else what its shape says.
pub(super) fn media_type_of(bytes: &[u8], media_type: Option<&str>) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        media_type: Option<String>,
        manifests: Option<serde_json::Value>,
    }
    let own: Option<Own> = imgmake_oci::image::from_json(bytes).ok();
    let known = |m: &str| media_type::is_manifest(m) || media_type::is_index(m);
    match own {
        Some(Own {
            media_type: Some(own),
            ..
        }) if !own.is_empty() => own,
        _ if media_type.is_some_and(known) => media_type.unwrap_or_default().to_string(),
        Some(Own {
            manifests: Some(_), ..
        }) => media_type::OCI_INDEX.to_string(),
        _ => media_type::OCI_MANIFEST.to_string(),
    }
}

/// HEAD of a manifest; a GET where a registry answers HEAD without a digest.
pub(super) fn head_manifest(
    session: &Session,
    repository: &str,
    target: &str,
) -> Result<Descriptor, RegistryError> {
    head_manifest_with(session, repository, target, &[pull_scope(repository)])
}

pub(super) fn head_manifest_with(
    session: &Session,
    repository: &str,
    target: &str,
    scopes: &[String],
) -> Result<Descriptor, RegistryError> {
    let url = session.url(&format!("v2/{repository}/manifests/{target}"))?;
    let operation = format!("look for the manifest `{target}`");
    let request = Request {
        operation: &operation,
        repository,
        scopes,
        call: Call::new(Method::HEAD, url).header("Accept", ACCEPT),
        retry: Retry::Whole,
        cancel: session.cancel(),
    };
    match session.send(&request) {
        Ok(answer) => {
            let digest = answer
                .header("Docker-Content-Digest")
                .and_then(|d| d.parse().ok());
            let size = answer.header("Content-Length").and_then(|s| s.parse().ok());
            let media_type = answer.header("Content-Type").map(bare_media_type);
            if let (Some(digest), Some(size), Some(media_type)) = (digest, size, media_type) {
                return Ok(Descriptor::new(media_type, digest, size));
            }
        }
        // HEAD is what small registries and strict proxies leave out.
        Err(error) if matches!(error.status(), Some(405 | 501)) => {}
        Err(error) => return Err(error),
    }
    let request = Request {
        call: Call {
            method: Method::GET,
            ..request.call.clone()
        },
        ..request.clone()
    };
    let expected = target.parse().ok();
    session
        .send_and_read(&request, |answer| read_manifest(answer, expected.as_ref()))
        .map(|f| f.descriptor)
}
