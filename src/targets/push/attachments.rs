//! What is put beside images in their registry before their tags are set: signatures, bills of materials,
//! provenances.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::Context as _;
use serde_json::json;

use super::super::cleared::Cleared;
use super::super::failure::failure;
use super::super::publish::{Destination, PutAttachments};
use super::super::runner::TargetRunner;
use super::super::task::PushTask;
use super::signer::signer;
use super::statements::{About, statements};
use imgmake_core::execute::{Failure, Upstream};
use imgmake_event::{Event, Events};
use imgmake_oci::image::{Descriptor, Digest, ImageManifest, Reference, media_type, to_json};
use imgmake_oci::signature::{
    self, MARK, MEDIA_TYPE, Mark, SIGNATURE_ANNOTATION, STATEMENT, SigningKey, Unsealed, Verdict,
    bundle, predicate,
};
use imgmake_registry::{
    Attachment, Client, LONGEST_DOCUMENT, OperationContext, RegistryError, Signed, Wanted,
};

/// The config of an artifact that has none.
pub(super) const EMPTY: &[u8] = b"{}";

/// What BuildKit says the predicate's type with, too.
pub(super) const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

pub(super) struct Attachments<'a> {
    runner: &'a TargetRunner<'a>,
    name: &'a str,
    key: Option<SigningKey>,
    /// Per image that is pushed.
    statements: Vec<Vec<About>>,
}

impl<'a> Attachments<'a> {
    /// `None` if the push asks for nothing. Keys are read and documents are made here, before anything is pushed.
    ///
    /// # Errors
    /// The key cannot be used; a document cannot be made.
    pub fn prepare(
        task: &PushTask<'a>,
        images: &[Cleared],
        upstream: &Upstream<'_>,
    ) -> Result<Option<Attachments<'a>>, Failure> {
        let target = task.target;
        if target.sign.is_none() && target.attest.documents.is_empty() {
            return Ok(None);
        }
        let key = target.sign.as_ref().map(|sign| signer(task, sign));
        let key = key.transpose()?;
        let statements = statements(task, images, key.is_some(), upstream)?;
        if key.is_some() {
            statements.iter().flatten().try_for_each(check_length)?;
        }
        Ok(Some(Attachments {
            runner: task.runner,
            name: task.name,
            key,
            statements,
        }))
    }
}

/// A bundle holds a statement in base64.
const LONGEST_STATEMENT: u64 = LONGEST_DOCUMENT / 4 * 3 - (1 << 20);

/// What nobody would read is not signed.
fn check_length(about: &About) -> Result<(), Failure> {
    let length = about.statement.to_json().len() as u64;
    if length <= LONGEST_STATEMENT {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let text = format!(
        "{} of the image {} has {} MiB; `verify` and `needs-attestation` read at most {} MiB",
        word(&about.statement.predicate_type),
        about.image.digest,
        mib(length),
        mib(LONGEST_STATEMENT)
    );
    Err(Failure::failed(text))
}

impl PutAttachments for Attachments<'_> {
    fn put(&self, destination: &Destination) -> Result<(), Failure> {
        let statements = &self.statements[destination.image];
        let mut put = Vec::new();
        for about in statements {
            if self.put_one(&destination.to, about).map_err(failure)? {
                put.push(about.statement.predicate_type.as_str());
            }
        }
        for kind in put {
            let message = format!("{}: attached {}", destination.to.name(), word(kind));
            let target = Some(self.name.to_string());
            self.runner
                .tools
                .events
                .send(Event::Note { target, message });
        }
        Ok(())
    }
}

fn word(predicate_type: &str) -> &str {
    match predicate_type {
        predicate::SIGNATURE => "a signature",
        predicate::CYCLONEDX => "a CycloneDX document",
        predicate::SPDX => "an SPDX document",
        predicate::PROVENANCE => "its provenance",
        imgmake_scan::VERDICT => "the verdict of a gate",
        other => other,
    }
}

impl Attachments<'_> {
    /// Whether it was not there yet.
    fn put_one(&self, to: &Reference, about: &About) -> anyhow::Result<bool> {
        let client = self.runner.tools.client()?;
        let Some(key) = &self.key else {
            let text = about.statement.to_json();
            let blob = self.blob(&text, STATEMENT)?;
            return self.attach(to, about, blob, STATEMENT, None);
        };
        let there = self.there(client, to, about, key)?;
        if !there.bundle {
            let text = bundle::seal(&about.statement, key);
            let blob = self.blob(&text, bundle::BUNDLE)?;
            let kind = &about.statement.predicate_type;
            let mark = Mark::new(&blob, about.time());
            let mark = mark.seal(&about.image.digest, kind, key);
            self.attach(to, about, blob, bundle::BUNDLE, Some(mark))?;
        }
        if !there.payload && about.statement.predicate_type == predicate::SIGNATURE {
            self.attach_payload(client, to, &about.image.digest, key)?;
        }
        Ok(!there.bundle)
    }

    /// What of it lies in the registry already, signed with the same key: signatures differ each time, and a
    /// second push must not add a second one.
    fn there(
        &self,
        client: &Client,
        to: &Reference,
        about: &About,
        key: &SigningKey,
    ) -> Result<There, RegistryError> {
        let public = key.public();
        let (keys, digest) = ([&public], &about.image.digest);
        let mut there = There::default();
        let work = self.runner.tools.operation(self.name);
        let kind = about.statement.predicate_type.as_str();
        let has_payload = kind == predicate::SIGNATURE;
        let wanted = Wanted { kind, keys: &keys };
        client.attached(to, digest, wanted, &work, |signed| {
            match signed {
                Signed::Payload {
                    payload, signature, ..
                } => {
                    let verdict = signature::judge(&payload, &signature, &keys, &[digest]);
                    there.payload |= matches!(verdict, Verdict::Good(_));
                }
                Signed::Bundle(text) => {
                    if let Unsealed::Good(found) = bundle::unseal(&text, &keys, &[digest]) {
                        there.bundle |= about.is_said_by(&found);
                    }
                }
                Signed::Damaged => {}
            }
            match there.bundle && (there.payload || !has_payload) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok(there)
    }

    fn attach(
        &self,
        to: &Reference,
        about: &About,
        blob: Descriptor,
        artifact_type: &str,
        mark: Option<String>,
    ) -> anyhow::Result<bool> {
        let kind = &about.statement.predicate_type;
        let mut layer = blob;
        let said = (PREDICATE_TYPE.to_string(), kind.clone());
        layer.annotations.insert(said.0, said.1);
        let mut manifest = ImageManifest {
            config: self.blob(EMPTY, media_type::OCI_EMPTY)?,
            layers: vec![layer],
            artifact_type: Some(artifact_type.to_string()),
            subject: Some(bare(&about.image)),
            ..artifact()
        };
        if artifact_type == bundle::BUNDLE {
            let content = ("dev.sigstore.bundle.content", "dsse-envelope");
            let predicate = ("dev.sigstore.bundle.predicateType", kind.as_str());
            for (name, value) in [content, predicate] {
                let annotation = (name.to_string(), value.to_string());
                manifest.annotations.insert(annotation.0, annotation.1);
            }
        }
        if let Some(mark) = mark {
            manifest.annotations.insert(MARK.to_string(), mark);
        }
        let root = self.blob(&to_json(&manifest), media_type::OCI_MANIFEST)?;
        let (tools, to) = (&self.runner.tools, to.clone());
        let work = self.operation();
        let attachment = Attachment { to, root };
        let image = &about.image.digest;
        Ok(tools
            .client()?
            .attach(&attachment, image, tools.store()?, &work)?)
    }

    /// Adds a signature in cosign's older form to those that are there.
    fn attach_payload(
        &self,
        client: &Client,
        to: &Reference,
        image: &Digest,
        key: &SigningKey,
    ) -> anyhow::Result<()> {
        use base64::Engine as _;
        let payload = signature::payload_of(&to.name(), image);
        let text = base64::engine::general_purpose::STANDARD.encode(key.sign(&payload));
        let mut layer = self.blob(&payload, MEDIA_TYPE)?;
        let annotation = (SIGNATURE_ANNOTATION.to_string(), text);
        layer.annotations.insert(annotation.0, annotation.1);
        let tools = &self.runner.tools;
        let work = self.operation();
        client.add_signatures(to, image, tools.store()?, &work, |mut layers| {
            layers.push(layer);
            let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
            let config = json!({
                "architecture": "", "os": "", "config": {},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            });
            let config = self.blob(&to_json(&config), media_type::OCI_CONFIG)?;
            let manifest = ImageManifest {
                config,
                layers,
                ..artifact()
            };
            self.blob(&to_json(&manifest), media_type::OCI_MANIFEST)
        })
    }

    /// What is put beside an image is no product of the target: a note names it.
    fn operation(&self) -> OperationContext {
        let work = self.runner.tools.operation(self.name);
        let events = work.events.clone();
        let others = move |event| match event {
            Event::Produced { .. } => {}
            event => events.send(event),
        };
        OperationContext {
            events: Events::to(others),
            ..work
        }
    }

    fn blob(&self, bytes: &[u8], kind: &str) -> anyhow::Result<Descriptor> {
        let digest = self.runner.tools.store()?.put_bytes(bytes);
        let digest = digest.context("cannot keep an attachment in the store")?;
        Ok(Descriptor::new(kind, digest, bytes.len() as u64))
    }
}

/// A manifest without content.
pub(super) fn artifact() -> ImageManifest {
    ImageManifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_string(),
        artifact_type: None,
        config: Descriptor::new(media_type::OCI_EMPTY, Digest::of(EMPTY), EMPTY.len() as u64),
        layers: Vec::new(),
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// What a subject says: no platform, no annotation.
pub(super) fn bare(image: &Descriptor) -> Descriptor {
    Descriptor::new(image.media_type.clone(), image.digest.clone(), image.size)
}

#[derive(Default)]
struct There {
    payload: bool,
    bundle: bool,
}
