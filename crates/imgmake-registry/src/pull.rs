//! Pull: manifests by tag or digest, blobs into the store. Digest and size are
//! verified while streaming; a download that breaks goes on where it stopped.

use std::io::{Read, Write};

use ureq::http::Method;

use super::client::PullEndpoint;
use super::http::{Answer, Call, broken};
use super::retry::Attempts;
use super::session::{Request, Retry, Session, pull_scope};
use super::transfer::{BLOCK, PROGRESS, Progress, in_parallel};
use super::{Client, Failure, Fetched, OperationContext, RegistryError, Resolved};
use imgmake_event::{Direction, Event};
use imgmake_oci::image::{
    Descriptor, Digest, ImageIndex, ManifestOrIndex, Platform, Reference, media_type,
};
use imgmake_oci::store::{BlobWriter, Store};

/// The specification lets registries refuse manifests above this size.
pub(super) const MANIFEST_LIMIT: u64 = 4 << 20;

/// Everything that we can read; registries convert or refuse what is not named.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

impl Client {
    /// GET of a manifest or index by tag or digest, verified against the digest when there is one.
    ///
    /// # Errors
    /// It is missing, forbidden, unreachable, too large, or not what its digest says.
    pub fn manifest(&self, reference: &Reference) -> Result<Fetched, RegistryError> {
        self.read(reference, &self.inner.options.work, |place| {
            get_manifest(place, reference)
        })
    }

    /// HEAD; `None` when it does not exist.
    ///
    /// # Errors
    /// As for [`Client::manifest`].
    pub fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        let found = self.read(reference, &self.inner.options.work, |place| {
            head_manifest(&place.session, &place.repository, reference.target())
        });
        match found {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Streams a blob of the repository into the store, verified, resumed with Range; nothing to do when it is there.
    ///
    /// # Errors
    /// As for [`Client::manifest`], or the store cannot be written.
    pub fn pull_blob(
        &self,
        from: &Reference,
        blob: &Descriptor,
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        let turn = self.pulling(&blob.digest);
        let _turn = turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if store.holds(blob) {
            return Ok(());
        }
        if blob.digest.algorithm() != "sha256" {
            return Err(RegistryError::invalid(format!(
                "{} is not a sha256 digest, the only kind that the store verifies",
                blob.digest
            ))
            .during(&from.registry, &from.repository, "pull a blob"));
        }
        self.read(from, work, |place| {
            let _permit = place.session.limiter.acquire();
            Download {
                place,
                blob,
                store,
                work,
            }
            .run()
        })
    }

    /// Several blobs in parallel.
    ///
    /// # Errors
    /// Of the first blob that fails.
    pub fn pull_blobs(
        &self,
        from: &Reference,
        blobs: &[Descriptor],
        store: &Store,
        work: &OperationContext,
    ) -> Result<(), RegistryError> {
        let missing: Vec<&Descriptor> = blobs.iter().filter(|b| !store.holds(b)).collect();
        in_parallel(&missing, self.connections(from), |blob| {
            self.pull_blob(from, blob, store, work)
        })
    }

    /// Manifest and config of the image for a platform into the store; layers stay remote.
    ///
    /// # Errors
    /// As for [`Client::manifest`]; or no image of the index is for the platform.
    pub fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        store: &Store,
        work: &OperationContext,
    ) -> Result<Resolved, RegistryError> {
        work.cancel.check()?;
        let fetched = self.stored_manifest(reference, store, work)?;
        let named = fetched.descriptor.clone();
        let told = |e: RegistryError| {
            e.during(
                &reference.registry,
                &reference.repository,
                "read the manifest",
            )
        };
        let parsed = parse(&fetched).map_err(told)?;
        let (manifest, image) = match parsed {
            ManifestOrIndex::Manifest(image) => (named.clone(), image),
            ManifestOrIndex::Index(index) => {
                let child = choose(&index, platform).map_err(told)?;
                let at = reference.with_digest(&child.digest);
                let fetched = self.stored_manifest(&at, store, work)?;
                match parse(&fetched).map_err(told)? {
                    ManifestOrIndex::Manifest(image) => (
                        Descriptor {
                            platform: child.platform.clone(),
                            ..fetched.descriptor
                        },
                        image,
                    ),
                    ManifestOrIndex::Index(_) => {
                        return Err(told(RegistryError::invalid(
                            "the index names another index for this platform, which is not supported",
                        )));
                    }
                }
            }
        };
        self.pull_blob(reference, &image.config, store, work)?;
        Ok(Resolved { named, manifest })
    }

    /// A manifest in the store: from there when its digest is named and held.
    pub(super) fn stored_manifest(
        &self,
        reference: &Reference,
        store: &Store,
        work: &OperationContext,
    ) -> Result<Fetched, RegistryError> {
        if let Some(digest) = &reference.digest
            && store.has(digest)
            && let Ok(bytes) = store.read_blob(digest, MANIFEST_LIMIT)
            && Digest::of(&bytes) == *digest
        {
            let said = media_type_of(&bytes, None);
            return Ok(Fetched {
                descriptor: Descriptor::of(said, &bytes),
                bytes,
            });
        }
        let fetched = self.read(reference, work, |place| get_manifest(place, reference))?;
        store
            .put_bytes(&fetched.bytes)
            .map_err(|e| RegistryError::store(&e))?;
        Ok(fetched)
    }

    /// Tries the mirrors in order, then the registry itself.
    pub(super) fn read<T>(
        &self,
        reference: &Reference,
        work: &OperationContext,
        act: impl Fn(&PullEndpoint) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let places = self.pull_endpoints(reference)?;
        let last = places.len().saturating_sub(1);
        for (at, place) in places.iter().enumerate() {
            match act(place) {
                Err(error)
                    if at < last && !error.is_cancelled() && error.failure() != Failure::Store =>
                {
                    if !error.is_missing() {
                        self.warn(work, format!("mirror skipped: {error}"));
                    }
                    if error.failure() == Failure::Connection {
                        place.session.give_up();
                    }
                }
                other => return other,
            }
        }
        Err(RegistryError::new(
            Failure::Connection,
            format!(
                "no mirror of `{}` can be reached, and falling back to the registry is turned off",
                reference.registry
            ),
        ))
    }

    pub(super) fn warn(&self, work: &OperationContext, message: String) {
        work.events.send(Event::Warning {
            target: Some(work.target.clone()).filter(|t| !t.is_empty()),
            message,
        });
    }
}

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
        RegistryError::new(
            Failure::Missing,
            format!(
                "the index has no image for {platform}; it has {}",
                imgmake_guard::printable::list(&have)
            ),
        )
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

fn get_manifest(place: &PullEndpoint, reference: &Reference) -> Result<Fetched, RegistryError> {
    let session = &place.session;
    let scopes = [pull_scope(&place.repository)];
    let path = format!("v2/{}/manifests/{}", place.repository, reference.target());
    let operation = format!("pull the manifest `{}`", reference.target());
    let request = Request {
        operation: &operation,
        repository: &place.repository,
        scopes: &scopes,
        call: Call::new(Method::GET, session.url(&path)?).header("Accept", ACCEPT),
        retry: Retry::Whole,
        cancel: session.cancel(),
    };
    let fetched = session.send_and_read(&request, |answer| {
        read_manifest(answer, reference.digest.as_ref())
    });
    fetched.map_err(|e| match e.is_missing() {
        true => e.help("check the name and the tag; a private repository may look missing to those without the right"),
        false => e,
    })
}

fn read_manifest(answer: Answer, expected: Option<&Digest>) -> Result<Fetched, RegistryError> {
    let said = answer.header("Content-Type").map(bare_media_type);
    let named: Option<Digest> = answer
        .header("Docker-Content-Digest")
        .and_then(|d| d.parse().ok());
    let bytes = answer
        .bytes(MANIFEST_LIMIT)
        .map_err(|e| match e.failure() {
            Failure::Invalid => RegistryError::invalid(
                "the manifest is larger than 4 MiB, which no manifest may be",
            ),
            _ => e,
        })?;
    let digest = Digest::of(&bytes);
    let wanted = expected
        .or(named.as_ref())
        .filter(|d| d.algorithm() == "sha256");
    if let Some(wanted) = wanted
        && *wanted != digest
    {
        return Err(RegistryError::invalid(format!(
            "the registry sent a manifest with digest {digest} for {wanted}"
        )));
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
        return Err(no_manifest(&bytes, said.as_deref()));
    }
    let media_type = media_type_of(&bytes, said.as_deref());
    Ok(Fetched {
        descriptor: Descriptor::new(media_type, digest, bytes.len() as u64),
        bytes,
    })
}

/// A login page of a proxy comes with 200 too.
fn no_manifest(bytes: &[u8], said: Option<&str>) -> RegistryError {
    let begins = super::error::first_line(&String::from_utf8_lossy(bytes));
    let kind = said.filter(|s| !s.is_empty()).unwrap_or("no type");
    RegistryError::invalid(match begins.as_str() {
        "" => format!(
            "what came is no manifest but {} bytes of {kind}",
            bytes.len()
        ),
        begins => format!("what came is no manifest but {kind}: {begins}"),
    })
    .help("is this the address of a registry?")
}

fn bare_media_type(header: &str) -> String {
    header.split(';').next().unwrap_or("").trim().to_string()
}

/// The document's own word, else the header's, else what its shape says.
pub(super) fn media_type_of(bytes: &[u8], said: Option<&str>) -> String {
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
        _ if said.is_some_and(known) => said.unwrap_or_default().to_string(),
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
            let said = answer.header("Content-Type").map(bare_media_type);
            if let (Some(digest), Some(size), Some(said)) = (digest, size, said) {
                return Ok(Descriptor::new(said, digest, size));
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

/// One blob on its way into the store.
struct Download<'a> {
    place: &'a PullEndpoint,
    blob: &'a Descriptor,
    store: &'a Store,
    work: &'a OperationContext,
}

impl Download<'_> {
    fn run(&self) -> Result<(), RegistryError> {
        let session = &self.place.session;
        let operation = format!("pull the blob {}", self.blob.digest);
        self.transfer(&operation).map_err(|e| {
            e.during(
                &session.endpoint.registry,
                &self.place.repository,
                &operation,
            )
        })
    }

    fn transfer(&self, operation: &str) -> Result<(), RegistryError> {
        let mut attempts = Attempts::new(self.place.session.policy());
        let what = format!(
            "{} {}",
            self.place.session.endpoint.registry,
            self.blob.digest.short()
        );
        let mut progress = Progress::new(self.work, what, Direction::Pull, self.blob.size);
        let mut writer = self.writer()?;
        let mut corrupt = false;
        loop {
            let before = writer.size();
            match self.fetch(&mut writer, &mut progress, operation) {
                Ok(()) => match self.commit(writer) {
                    // What was put together from two answers, or by a broken cache, may be right the next time.
                    Err(error) if !corrupt && error.failure() == Failure::Invalid => {
                        corrupt = true;
                        writer = self.writer()?;
                    }
                    other => return other,
                },
                Err(error) if error.is_retryable() => {
                    if writer.size() > before + PROGRESS {
                        attempts.renew();
                    }
                    attempts.again(error, &self.work.cancel)?;
                }
                // A range that the server does not serve, or served wrongly: from the start.
                Err(error)
                    if before > 0
                        && (error.status() == Some(416) || error.failure() == Failure::Invalid) =>
                {
                    writer = self.writer()?;
                    attempts.again(error, &self.work.cancel)?;
                }
                Err(error) if error.is_missing() => {
                    return Err(error.help("the registry has lost a blob that its manifest names"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn writer(&self) -> Result<BlobWriter, RegistryError> {
        self.store
            .blob_writer()
            .map_err(|e| RegistryError::store(&e))
    }

    fn commit(&self, writer: BlobWriter) -> Result<(), RegistryError> {
        let size = writer.size();
        match writer.commit(Some(self.blob)) {
            Ok(_) => Ok(()),
            Err(error) if error.downcast_ref::<std::io::Error>().is_some() => {
                Err(RegistryError::store(&error))
            }
            Err(error) => Err(RegistryError::invalid(format!(
                "what came is not the blob that the manifest names ({size} bytes): {error:#}"
            ))),
        }
    }

    /// Reads from where the writer stands to the end of the blob.
    fn fetch(
        &self,
        writer: &mut BlobWriter,
        progress: &mut Progress,
        operation: &str,
    ) -> Result<(), RegistryError> {
        let answer = self.open(writer.size(), operation)?;
        let mut skip = match answer.status {
            206 => {
                let from = answer.header("Content-Range").and_then(range_start);
                if from.is_some_and(|f| f != writer.size()) {
                    return Err(RegistryError::invalid(
                        "the registry answered with another range than was asked",
                    ));
                }
                0
            }
            // No ranges here: what we have comes again.
            _ => writer.size(),
        };
        let coming = answer
            .header("Content-Length")
            .and_then(|l| l.trim().parse::<u64>().ok());
        if coming.is_some_and(|c| (writer.size() - skip).saturating_add(c) > self.blob.size) {
            return Err(self.too_long());
        }
        let mut reader = answer.reader();
        let mut block = vec![0; BLOCK];
        loop {
            self.work.cancel.check()?;
            let count = match reader.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(&error.into())),
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
            skip -= known as u64;
            if writer.size() + (count - known) as u64 > self.blob.size {
                return Err(self.too_long());
            }
            writer
                .write_all(&block[known..count])
                .map_err(|e| RegistryError::store(&e.into()))?;
            progress.at(writer.size());
        }
        if writer.size() < self.blob.size {
            return Err(RegistryError::new(
                Failure::Connection,
                format!(
                    "the blob ended after {} of {} bytes",
                    writer.size(),
                    self.blob.size
                ),
            ));
        }
        Ok(())
    }

    fn too_long(&self) -> RegistryError {
        RegistryError::invalid(format!(
            "the blob is longer than the {} bytes that the manifest says",
            self.blob.size
        ))
    }

    fn open(&self, from: u64, operation: &str) -> Result<Answer, RegistryError> {
        let PullEndpoint {
            session,
            repository,
            ..
        } = self.place;
        let scopes = [pull_scope(repository)];
        let url = session.url(&format!("v2/{repository}/blobs/{}", self.blob.digest))?;
        let mut call = Call::new(Method::GET, url);
        if from > 0 {
            call = call.header("Range", format!("bytes={from}-"));
        }
        session.send(&Request {
            operation,
            repository,
            scopes: &scopes,
            call,
            // Counted together with what breaks later.
            retry: Retry::Never,
            cancel: &self.work.cancel,
        })
    }
}

/// `bytes 100-199/200` starts at 100.
fn range_start(header: &str) -> Option<u64> {
    header
        .trim()
        .strip_prefix("bytes")?
        .trim()
        .split('-')
        .next()?
        .parse()
        .ok()
}
