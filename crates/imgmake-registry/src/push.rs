//! Push: what a root manifest needs, in the order in which registries accept it:
//! blobs, manifests by digest with children before their index, tags last.
//!
//! A manifest that is there vouches for all that it names, so pushing the same
//! again costs one HEAD and one per tag.

use std::collections::BTreeMap;
use std::sync::Arc;

use ureq::http::Method;

use super::http::{Body, Call};
use super::manifest::{MANIFEST_LIMIT, head_manifest_with};
use super::repositories;
use super::session::{Request, Retry, Session, push_scope};
use super::transfer::in_parallel;
use super::upload::Upload;
use super::{Client, OperationContext, PushJob, PushPhase, Pushed, RegistryError};
use imgmake_event::{Event, Product};
use imgmake_oci::image::{
    DEEPEST, Descriptor, Digest, ImageConfig, ImageTree, ManifestOrIndex, Reference, TreeError,
    media_type,
};
use imgmake_oci::store::Store;

/// A manifest or index and its bytes, as they are in the store.
struct Document {
    descriptor: Descriptor,
    bytes: Vec<u8>,
    content: ManifestOrIndex,
}

/// Everything below a root; children stand before their parents.
struct Tree {
    documents: Vec<Document>,
}

impl Tree {
    fn read(root: &Descriptor, store: &Store) -> Result<Tree, RegistryError> {
        let read = |at: &Descriptor| store.read_blob(&at.digest, MANIFEST_LIMIT);
        let tree = ImageTree::read(root, DEEPEST, read).map_err(|error| match error {
            TreeError::Read { error, .. } => RegistryError::store(error),
            TreeError::Invalid { digest, error } => {
                RegistryError::invalid(format!("{digest} in the store: {error}"))
            }
            TreeError::TooDeep { digest } => {
                RegistryError::invalid(format!("{digest} in the store is nested too deeply"))
            }
        })?;
        let documents = tree.into_documents().into_iter().map(|read| {
            let at = &read.descriptor;
            let media_type = super::manifest::media_type_of(&read.bytes, Some(&at.media_type));
            let size = read.bytes.len() as u64;
            Document {
                descriptor: Descriptor::new(media_type, at.digest.clone(), size),
                bytes: read.bytes,
                content: read.content,
            }
        });
        Ok(Tree {
            documents: documents.collect(),
        })
    }

    fn root(&self) -> &Document {
        self.documents.last().expect("a tree has its root")
    }
}

impl Document {
    fn subject(&self) -> Option<&Descriptor> {
        match &self.content {
            ManifestOrIndex::Manifest(m) => m.subject.as_ref(),
            ManifestOrIndex::Index(i) => i.subject.as_ref(),
        }
    }

    /// Layers and config that are ours to push, the config last.
    fn blobs(&self) -> Vec<&Descriptor> {
        match &self.content {
            ManifestOrIndex::Index(_) => Vec::new(),
            ManifestOrIndex::Manifest(m) => m
                .layers
                .iter()
                .filter(|l| !l.is_foreign())
                .chain([&m.config])
                .collect(),
        }
    }
}

/// One job under way.
struct Push<'a> {
    client: &'a Client,
    session: Arc<Session>,
    job: &'a PushJob,
    store: &'a Store,
    work: &'a OperationContext,
    scopes: [String; 1],
}

/// What a HEAD by digest answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remote {
    There,
    Missing,
}

impl Client {
    /// One push of an image under its tags to one repository (see `PushJob`); blobs by digest first, then manifests, tags last.
    ///
    /// # Errors
    /// A blob is nowhere to be had, or the registry refuses; nothing is tagged
    /// before everything is there.
    pub fn push(
        &self,
        job: &PushJob,
        store: &Store,
        work: &OperationContext,
    ) -> Result<Vec<Pushed>, RegistryError> {
        let push = Push {
            client: self,
            session: self.session(&job.to),
            job,
            store,
            work,
            scopes: [push_scope(&job.to.repository)],
        };
        push.run()
            .map_err(|e| repositories::explain(&push.session, e))
            .map_err(|e| e.during(&job.to.registry, &job.to.repository, "push"))
    }
}

impl Push<'_> {
    fn run(&self) -> Result<Vec<Pushed>, RegistryError> {
        let tree = Tree::read(&self.job.root, self.store)?;
        let mut root_was = Remote::There;
        if self.job.phase != PushPhase::TagsOnly {
            root_was = self.content(&tree)?;
        }
        if self.job.phase != PushPhase::ContentOnly {
            self.tags(&tree, root_was)?;
        }
        Ok(self.pushed(tree.root()))
    }

    /// Brings everything but the tags; says whether the root had been there.
    fn content(&self, tree: &Tree) -> Result<Remote, RegistryError> {
        if self.looked_up(&tree.root().descriptor)? == Remote::There {
            return Ok(Remote::There);
        }
        repositories::create_repository(&self.session, &self.job.to.repository)?;
        let mut missing = Vec::new();
        for (at, document) in tree.documents.iter().enumerate() {
            let is_root = at + 1 == tree.documents.len();
            if is_root || self.looked_up(&document.descriptor)? == Remote::Missing {
                missing.push(document);
            }
        }
        for document in &missing {
            if let Some(why) = self.disagreement(document) {
                let text = format!("{}: {why}; some registries refuse that", self.job.to.name());
                self.client.warn(self.work, text);
            }
        }
        self.blobs(&missing)?;
        for document in missing {
            self.put(document, document.descriptor.digest.as_str())?;
            self.client
                .inner
                .locations
                .note(&self.job.to, &document.descriptor.digest);
        }
        Ok(Remote::Missing)
    }

    fn looked_up(&self, manifest: &Descriptor) -> Result<Remote, RegistryError> {
        self.work.cancel.check()?;
        let digest = manifest.digest.as_str();
        match head_manifest_with(&self.session, &self.job.to.repository, digest, &self.scopes) {
            Ok(_) => Ok(Remote::There),
            Err(error) if error.is_missing() => Ok(Remote::Missing),
            // ECR may close the connection on a repository that is yet to be made.
            Err(error)
                if self.session.endpoint.settings.create_repository
                    && error.status().is_none()
                    && error.is_transient() =>
            {
                Ok(Remote::Missing)
            }
            Err(error) => Err(error),
        }
    }

    fn blobs(&self, documents: &[&Document]) -> Result<(), RegistryError> {
        let mut blobs: BTreeMap<&Digest, &Descriptor> = BTreeMap::new();
        let mut configs = Vec::new();
        for document in documents {
            let mut own = document.blobs();
            configs.extend(own.pop());
            blobs.extend(own.into_iter().map(|b| (&b.digest, b)));
        }
        let mut layers: Vec<&Descriptor> = blobs.into_values().collect();
        // The largest first: the others fit beside it.
        layers.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.digest.cmp(&b.digest)));
        configs.sort_by(|a, b| a.digest.cmp(&b.digest));
        configs.dedup_by(|a, b| a.digest == b.digest);
        let connections = self.client.connections(&self.job.to);
        in_parallel(&layers, connections, |blob| self.bring(blob))?;
        in_parallel(&configs, connections, |blob| self.bring(blob))
    }

    /// Makes sure that the repository holds a blob; done once per run.
    fn bring(&self, blob: &Descriptor) -> Result<(), RegistryError> {
        let locations = &self.client.inner.locations;
        let to = &self.job.to;
        let turn = locations.turn(to, &blob.digest);
        let _turn = turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if locations.holds(to, &blob.digest) {
            return Ok(());
        }
        self.work.cancel.check()?;
        let upload = Upload {
            session: &self.session,
            repository: &to.repository,
            blob,
            store: self.store,
            work: self.work,
        };
        if !self.with_permit(|| upload.exists())? {
            self.send(&upload)?;
        }
        locations.note(to, &blob.digest);
        Ok(())
    }

    fn send(&self, upload: &Upload) -> Result<(), RegistryError> {
        let mount_candidates = self.mount_candidates(upload.blob);
        if self.store.holds(upload.blob) {
            let sent = self.with_permit(|| upload.mount_or_send(&mount_candidates));
            // Found damaged on the way, it is not there any more, but may be had again.
            if sent.is_ok() || self.store.holds(upload.blob) || self.job.sources.is_empty() {
                return sent;
            }
        }
        if self.with_permit(|| upload.mount_only(&mount_candidates))? {
            return Ok(());
        }
        // Without a permit: the source has a limiter of its own.
        self.fetch(upload.blob)?;
        self.with_permit(|| upload.mount_or_send(&[]))
    }

    /// One of the transfers that the registry sees at once.
    fn with_permit<T>(&self, act: impl FnOnce() -> T) -> T {
        let _permit = self.session.limiter.acquire();
        act()
    }

    /// Repositories of the same registry that may hold the blob.
    fn mount_candidates(&self, blob: &Descriptor) -> Vec<String> {
        let to = &self.job.to;
        let known = self
            .client
            .inner
            .locations
            .mount_candidate(to, &blob.digest);
        let sources = self
            .job
            .sources
            .iter()
            .filter(|s| s.registry == to.registry && s.repository != to.repository);
        let mut all: Vec<String> = known
            .into_iter()
            .chain(sources.map(|s| s.repository.clone()))
            .collect();
        all.dedup();
        all
    }

    /// Pulls a blob that only its source holds.
    fn fetch(&self, blob: &Descriptor) -> Result<(), RegistryError> {
        let mut last = None;
        for source in &self.job.sources {
            match self.client.pull_blob(source, blob, self.store, self.work) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            RegistryError::store(format!(
                "the blob {} is not in the store, and no source registry is known",
                blob.digest
            ))
        }))
    }

    fn put(&self, document: &Document, target: &str) -> Result<(), RegistryError> {
        self.work.cancel.check()?;
        let repository = &self.job.to.repository;
        let operation = format!("push the manifest `{target}`");
        let url = self
            .session
            .url(&format!("v2/{repository}/manifests/{target}"))?;
        let answer = self
            .session
            .send(&Request {
                operation: &operation,
                repository,
                scopes: &self.scopes,
                call: Call::new(Method::PUT, url)
                    .header("Content-Type", document.descriptor.media_type.clone())
                    .body(Body::Bytes(&document.bytes)),
                retry: Retry::Whole,
                cancel: &self.work.cancel,
            })
            .map_err(|e| self.explain(document, e))?;
        let digest = answer.header("Docker-Content-Digest").map(str::to_string);
        let listed = answer.header("OCI-Subject").is_some();
        answer.drain();
        if let Some(subject) = document
            .subject()
            .filter(|_| !listed && target.contains(':'))
        {
            self.client.enter_referrer(
                &self.job.to,
                &document.descriptor,
                &document.bytes,
                &subject.digest,
            )?;
        }
        if let Some(digest) = digest
            && digest != document.descriptor.digest.as_str()
        {
            self.client.warn(
                self.work,
                format!(
                    "{} stored `{target}` as {digest}, not as {}: it changes manifests",
                    self.job.to.name(),
                    document.descriptor.digest
                ),
            );
        }
        Ok(())
    }

    /// Where an image's config and its manifest count its layers differently.
    /// Artifactory refuses such a push, with words that do not say so.
    fn disagreement(&self, document: &Document) -> Option<String> {
        let ManifestOrIndex::Manifest(manifest) = &document.content else {
            return None;
        };
        let config = &manifest.config;
        let types = [media_type::OCI_CONFIG, media_type::DOCKER_CONFIG];
        if !types.contains(&config.media_type.as_str()) || !self.store.holds(config) {
            return None;
        }
        let bytes = self.store.read_blob(&config.digest, MANIFEST_LIMIT).ok()?;
        let config: ImageConfig = imgmake_oci::image::from_json(&bytes).ok()?;
        let layers = manifest.layers.len();
        let diff_ids = config.rootfs.diff_ids.len();
        let entries = config.history.iter().filter(|h| !h.empty_layer).count();
        let digest = document.descriptor.digest.short();
        if diff_ids != layers {
            return Some(format!(
                "the config of {digest} has {diff_ids} layers, its manifest {layers}"
            ));
        }
        (!config.history.is_empty() && entries != layers).then(|| {
            format!("the history of {digest} has {entries} entries with a layer, its manifest {layers} layers")
        })
    }

    fn explain(&self, document: &Document, error: RegistryError) -> RegistryError {
        match error.code() {
            Some("MANIFEST_INVALID") => match self.disagreement(document) {
                Some(why) => error.help(why),
                None => error.help("it may support only older media types; try `format docker`"),
            },
            Some("MANIFEST_BLOB_UNKNOWN") => {
                error.help("the registry no longer has a blob that it confirmed; push again")
            }
            _ => error,
        }
    }

    /// Points the tags at the root; tags that point there already are left alone.
    fn tags(&self, tree: &Tree, root_was: Remote) -> Result<(), RegistryError> {
        let root = tree.root();
        for tag in &self.job.tags {
            let current = root_was == Remote::There && self.points_here(tag, root)?;
            if !current {
                self.put(root, tag)?;
            }
            self.tell(&self.job.to.with_tag(tag), root);
        }
        if self.job.tags.is_empty() {
            self.tell(&self.job.to.with_digest(&root.descriptor.digest), root);
        }
        Ok(())
    }

    fn tell(&self, reference: &Reference, root: &Document) {
        self.work.events.send(Event::Produced {
            target: self.work.target.clone(),
            what: Product::Pushed {
                reference: reference.to_string(),
                digest: root.descriptor.digest.to_string(),
            },
        });
    }

    fn points_here(&self, tag: &str, root: &Document) -> Result<bool, RegistryError> {
        self.work.cancel.check()?;
        match head_manifest_with(&self.session, &self.job.to.repository, tag, &self.scopes) {
            Ok(found) => Ok(found.digest == root.descriptor.digest),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn pushed(&self, root: &Document) -> Vec<Pushed> {
        let digest = &root.descriptor.digest;
        let of = |reference: Reference| Pushed {
            reference,
            digest: digest.clone(),
        };
        if self.job.tags.is_empty() || self.job.phase == PushPhase::ContentOnly {
            return vec![of(self.job.to.with_digest(digest))];
        }
        self.job
            .tags
            .iter()
            .map(|tag| of(self.job.to.with_tag(tag)))
            .collect()
    }
}
