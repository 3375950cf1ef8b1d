//! Referrers: what names an image as its subject (signatures, SBOMs), through the
//! registry's API or, where there is none, the fallback tag `sha256-<hex>`.

use std::collections::{BTreeMap, BTreeSet};

use ureq::http::Method;

use super::client::PullEndpoint;
use super::http::{Body, Call};
use super::manage::next_page;
use super::manifest::{ACCEPT, MANIFEST_LIMIT};
use super::session::{Request, Retry, Session, pull_scope, push_scope};
use super::{Client, Failure, RegistryError};
use imgmake_oci::image::{
    Descriptor, Digest, ImageIndex, ManifestFormat, ManifestOrIndex, Reference, media_type, to_json,
};

const PAGES: usize = 1000;
/// Bytes of all pages of one list.
const LONGEST_LIST: usize = 32 << 20;

impl Client {
    /// What refers to the manifest that `reference` names by digest; of one
    /// artifact type, or of all. The registry itself is asked, since a mirror need not copy referrers; mirrors are
    /// where it may not be.
    ///
    /// # Errors
    /// The registry forbids it or answers nonsense; a registry without the API
    /// and without the fallback tag has no referrers.
    pub fn referrers(
        &self,
        reference: &Reference,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let digest = match &reference.digest {
            Some(digest) => digest.clone(),
            None => match self.head(reference)? {
                Some(found) => found.digest,
                None => return Ok(Vec::new()),
            },
        };
        let mut found: Vec<Descriptor> = Vec::new();
        for place in self.authoritative(reference)? {
            add(&mut found, list(&place, &digest, artifact_type)?);
        }
        Ok(found)
    }

    /// Enters a manifest with a subject into the fallback tag, for registries
    /// that did not say `OCI-Subject`.
    pub(super) fn enter_referrer(
        &self,
        to: &Reference,
        manifest: &Descriptor,
        bytes: &[u8],
        subject: &Digest,
    ) -> Result<(), RegistryError> {
        let session = self.session(to);
        // Read, change, write: one at a time, at least within this process.
        let turn = self.inner.locations.turn(to, subject);
        let _turn = turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut all = from_tag(&session, &to.repository, subject)?;
        if all.iter().any(|d| d.digest == manifest.digest) {
            return Ok(());
        }
        all.push(described(manifest, bytes));
        let index = to_json(&ImageIndex::new(ManifestFormat::Oci, all));
        let tag = fallback_tag(subject);
        let url = session.url(&format!("v2/{}/manifests/{tag}", to.repository))?;
        session
            .send(&Request {
                operation: "add a referrer",
                repository: &to.repository,
                scopes: &[push_scope(&to.repository)],
                call: Call::new(Method::PUT, url)
                    .header("Content-Type", media_type::OCI_INDEX)
                    .body(Body::Bytes(&index)),
                retry: Retry::Whole,
                cancel: session.cancel(),
            })
            .map(super::http::Answer::drain)
    }
}

/// What one place knows: by its API and by the fallback tag. What was pushed before a registry had the API may be in
/// no other list.
pub(super) fn list(
    place: &PullEndpoint,
    digest: &Digest,
    artifact_type: Option<&str>,
) -> Result<Vec<Descriptor>, RegistryError> {
    let (session, repository) = (&place.session, &place.repository);
    let from_api = match from_api(session, repository, digest, artifact_type) {
        Err(error) if matches!(error.status(), Some(400 | 404 | 405 | 501)) => None,
        other => Some(other?),
    };
    let has_api = from_api.is_some();
    let mut found = from_api.unwrap_or_default();
    match from_tag(session, repository, digest) {
        // Such a tag means nothing there: anybody may have set it to anything.
        Err(error) if has_api && error.failure() == Failure::Invalid => {}
        tagged => add(&mut found, tagged?),
    }
    // Registries may filter; that they did is not promised.
    found.retain(|one| artifact_type.is_none_or(|t| one.artifact_type.as_deref() == Some(t)));
    Ok(found)
}

/// Each once.
fn add(found: &mut Vec<Descriptor>, more: Vec<Descriptor>) {
    let known: BTreeSet<Digest> = found.iter().map(|one| one.digest.clone()).collect();
    found.extend(more.into_iter().filter(|one| !known.contains(&one.digest)));
}

fn fallback_tag(digest: &Digest) -> String {
    let hex = digest.hex();
    // A tag has at most 128 characters.
    format!("{}-{}", digest.algorithm(), &hex[..hex.len().min(64)])
}

/// A referrer's descriptor says its type and annotations, so that nobody need fetch it.
fn described(manifest: &Descriptor, bytes: &[u8]) -> Descriptor {
    let mut descriptor = manifest.clone();
    let (artifact_type, annotations) =
        match ManifestOrIndex::parse(bytes, Some(&manifest.media_type)) {
            Ok(ManifestOrIndex::Manifest(m)) => {
                (m.artifact_type.or(Some(m.config.media_type)), m.annotations)
            }
            Ok(ManifestOrIndex::Index(i)) => (i.artifact_type, i.annotations),
            Err(_) => (None, BTreeMap::new()),
        };
    descriptor.artifact_type = artifact_type;
    descriptor.annotations = annotations;
    descriptor
}

fn from_api(
    session: &Session,
    repository: &str,
    digest: &Digest,
    artifact_type: Option<&str>,
) -> Result<Vec<Descriptor>, RegistryError> {
    let mut url = session.url(&format!("v2/{repository}/referrers/{digest}"))?;
    if let Some(artifact_type) = artifact_type {
        url.query_pairs_mut()
            .append_pair("artifactType", artifact_type);
    }
    let mut found = Vec::new();
    let mut read = 0;
    for _ in 0..PAGES {
        let page = get(session, repository, url.clone())?;
        found.extend(page.index.manifests);
        read += page.bytes;
        match page.next {
            Some(next) if read <= LONGEST_LIST => url = session.locate(&url, &next)?,
            // Half of a list would hide what is in the other half.
            Some(_) => break,
            None => return Ok(found),
        }
    }
    let message = format!(
        "the list of referrers of {digest} does not end within {LONGEST_LIST} bytes and {PAGES} pages"
    );
    Err(RegistryError::invalid(message))
}

fn from_tag(
    session: &Session,
    repository: &str,
    digest: &Digest,
) -> Result<Vec<Descriptor>, RegistryError> {
    let url = session.url(&format!(
        "v2/{repository}/manifests/{}",
        fallback_tag(digest)
    ))?;
    match get(session, repository, url) {
        Ok(page) => Ok(page.index.manifests),
        Err(error) if error.is_missing() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

struct Page {
    index: ImageIndex,
    bytes: usize,
    next: Option<String>,
}

fn get(session: &Session, repository: &str, url: url::Url) -> Result<Page, RegistryError> {
    let request = Request {
        operation: "look for referrers",
        repository,
        scopes: &[pull_scope(repository)],
        call: Call::new(Method::GET, url).header("Accept", ACCEPT),
        retry: Retry::Whole,
        cancel: session.cancel(),
    };
    session.send_and_read(&request, |answer| {
        let next = answer.header("Link").and_then(next_page);
        let next = next.map(str::to_string);
        let bytes = answer.bytes(MANIFEST_LIMIT)?;
        Ok(Page {
            index: read_index(&bytes)?,
            bytes: bytes.len(),
            next,
        })
    })
}

/// For [`super::fuzzing`].
pub(super) fn read(bytes: &[u8]) {
    let _ = read_index(bytes);
}

fn read_index(bytes: &[u8]) -> Result<ImageIndex, RegistryError> {
    match ManifestOrIndex::parse(bytes, Some(media_type::OCI_INDEX)) {
        Ok(ManifestOrIndex::Index(index)) => Ok(index),
        _ => Err(RegistryError::invalid(
            "the list of referrers is not an index",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        FaultProxy, Shelf, answer, client, job, options, random_bytes, start_registry,
    };
    use super::*;
    use crate::{ClientOptions, HostSettings, MirrorFallback, OperationContext};
    use imgmake_oci::image::ImageManifest;

    /// end-12a: 404 of the referrers API: the index of the fallback tag `sha256-…` is read, and filtered here.
    #[test]
    fn a_registry_without_the_api_lists_referrers_in_the_fallback_tag() {
        let registry = start_registry();
        let shelf = Shelf::new();
        let image = shelf.image("linux/amd64", &[random_bytes(50, 10)]);
        let name = format!("{}/app:1", registry.host());
        let client = client();
        client
            .push(
                &job(&name, &image),
                &shelf.store,
                &OperationContext::background(),
            )
            .unwrap();
        let reference: Reference = name.parse().unwrap();
        assert!(client.referrers(&reference, None).unwrap().is_empty());
        let mut digests = Vec::new();
        for kind in ["application/x.sbom", "application/x.signature"] {
            let config = shelf.blob(media_type::OCI_EMPTY, b"{}");
            let layer = shelf.blob("text/plain", kind.as_bytes());
            let mut manifest = ImageManifest::new(ManifestFormat::Oci, config.clone(), vec![layer]);
            manifest.config.media_type = media_type::OCI_EMPTY.into();
            manifest.artifact_type = Some(kind.into());
            manifest.subject = Some(image.clone());
            let root = shelf.blob(media_type::OCI_MANIFEST, &to_json(&manifest));
            client
                .push(
                    &job(&format!("{}/app", registry.host()), &root),
                    &shelf.store,
                    &OperationContext::background(),
                )
                .unwrap();
            digests.push(root.digest);
        }
        let all = client.referrers(&reference, None).unwrap();
        assert_eq!(
            all.iter().map(|d| d.digest.clone()).collect::<Vec<_>>(),
            digests
        );
        let one = client
            .referrers(
                &reference.with_digest(&image.digest),
                Some("application/x.sbom"),
            )
            .unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].digest, digests[0]);
    }

    /// A server that always has a next page is asked for a while, and what it lists is not taken for a whole.
    #[test]
    fn a_list_without_an_end_is_refused() {
        let many = vec![Descriptor::new(media_type::OCI_MANIFEST, Digest::of(b"o"), 1); 20_000];
        let body = to_json(&ImageIndex::new(ManifestFormat::Oci, many));
        let between = FaultProxy::new(None, move |_| {
            let next = [("Link", "</v2/a/referrers/more?n=1>; rel=\"next\"")];
            answer(200, &next, body.clone())
        });
        let reference: Reference = format!("{}/a@{}", between.host(), Digest::of(b"x"))
            .parse()
            .unwrap();
        let refused = client()
            .referrers(&reference, None)
            .unwrap_err()
            .to_string();
        assert!(refused.contains("does not end"), "{refused}");
        assert!(between.lines().len() < 100);
    }

    /// Lists by the API and by the fallback tag, which are `None` where they are not there.
    fn listed(api: Option<Vec<u8>>, tag: Option<Vec<u8>>) -> Vec<Digest> {
        let between = FaultProxy::new(None, move |seen| {
            let body = match seen.line().contains("/referrers/") {
                true => &api,
                false => &tag,
            };
            match body {
                Some(body) => answer(200, &[], body.clone()),
                None => answer(404, &[], ""),
            }
        });
        let of = format!("{}/a@{}", between.host(), Digest::of(b"x"));
        let found = client().referrers(&of.parse().unwrap(), None).unwrap();
        found.into_iter().map(|one| one.digest).collect()
    }

    /// end-12a: What was pushed before a registry had the API may be in the fallback tag alone.
    #[test]
    fn the_tag_counts_beside_the_api() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let index = |digests: &[&Digest]| {
            let of =
                |digest: &&Digest| Descriptor::new(media_type::OCI_MANIFEST, (*digest).clone(), 1);
            let all = digests.iter().map(of).collect();
            Some(to_json(&ImageIndex::new(ManifestFormat::Oci, all)))
        };
        let both = [one.clone(), two.clone()];
        assert_eq!(listed(index(&[&one]), index(&[&two, &one])), both);
        assert_eq!(listed(index(&[]), index(&[&one, &two])), both);
        assert_eq!(listed(None, index(&[&one, &two])), both);
        assert_eq!(listed(index(&[&one, &two]), None), both);
        // Anybody may call something else so.
        let other = Some(b"{\"schemaVersion\": 2}".to_vec());
        assert_eq!(listed(index(&[&one, &two]), other), both);
    }

    /// A mirror that knows nothing, or lies, hides nothing that the registry knows.
    #[test]
    fn the_registry_itself_says_what_refers_to_an_image() {
        let list = |what: &[u8]| {
            let one = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(what), 1);
            let body = to_json(&ImageIndex::new(ManifestFormat::Oci, vec![one]));
            FaultProxy::new(None, move |_| answer(200, &[], body.clone()))
        };
        let (origin, mirror) = (list(b"origin"), list(b"mirror"));
        let of = format!("{}/a@{}", origin.host(), Digest::of(b"x"));
        let of: Reference = of.parse().unwrap();
        for (mirror_fallback, expected) in [
            (MirrorFallback::Allowed, b"origin"),
            (MirrorFallback::Off, b"mirror"),
        ] {
            let settings = HostSettings {
                prefix: origin.host(),
                mirrors: vec![format!("http://{}", mirror.host())],
                mirror_fallback,
                ..HostSettings::default()
            };
            let client = Client::new(ClientOptions {
                hosts: vec![settings],
                ..options()
            })
            .unwrap();
            let found = client.referrers(&of, None).unwrap();
            assert_eq!(found[0].digest, Digest::of(expected));
            assert_eq!(found.len(), 1);
        }
    }

    /// end-12a, end-12b: Referrers come from the API; a filter that the registry did not apply is applied here.
    #[test]
    fn the_api_is_used_where_it_is() {
        let other = Digest::of(b"other");
        let index = ImageIndex::new(
            ManifestFormat::Oci,
            vec![Descriptor::new(media_type::OCI_MANIFEST, other.clone(), 1)],
        );
        let body = to_json(&index);
        let between = FaultProxy::new(None, move |_| answer(200, &[], body.clone()));
        let reference: Reference = format!("{}/a@{}", between.host(), Digest::of(b"x"))
            .parse()
            .unwrap();
        assert_eq!(
            client().referrers(&reference, None).unwrap()[0].digest,
            other
        );
        assert!(
            client()
                .referrers(&reference, Some("t"))
                .unwrap()
                .is_empty()
        );
        assert!(between.lines()[0].contains("/v2/a/referrers/sha256:"));
    }
}
