//! `verify`: whether an image of a registry, or what is said about it, is signed by a key or by who a certificate names.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{Global, ListFormat, VerifyArgs};
use super::environment::Environment;
use super::output::{print, print_json};
use crate::exit::{self, Exit};
use crate::targets::{Certificate, public_key, trusted};
use imgmake_core::manifest::suggest;
use imgmake_guard::printable;
use imgmake_oci::image::{DEEPEST, Descriptor, Digest, ImageTree, Reference, TreeError};
use imgmake_oci::signature::certificate::Refusal;
use imgmake_oci::signature::{PublicKey, Statement, Unsealed, bundle, predicate};
use imgmake_registry::{
    Client, ClientOptions, HostSettings, OperationContext, RegistryError, Signed, Wanted,
};

/// A key, and the file that it is in.
struct Key {
    file: PathBuf,
    public: PublicKey,
}

/// Who must have signed.
enum Signer {
    Key(Key),
    Certificate(Certificate),
}

/// One image, and the statement about it that one of the signers signed.
struct Verified<'k> {
    image: Digest,
    signer: &'k Signer,
    /// `None` for a signature in cosign's older form, which says nothing else.
    statement: Option<Statement>,
}

pub fn verify(global: &Global, args: &VerifyArgs, environment: &Environment) -> Result<u8, Exit> {
    let kind = predicate_of(&args.r#type)?;
    let signers = signers(global, args)?;
    let reference: Reference = args.image.parse().map_err(Exit::usage)?;
    let client = client(args, &reference, environment)?;
    let named = client.manifest(&reference).map_err(refused)?.descriptor;
    let images = match kind == predicate::SIGNATURE {
        true => vec![named.digest.clone()],
        // What is inside differs by platform.
        false => platforms(&client, &reference, &named)?,
    };
    if images.is_empty() {
        let message = format!("`{reference}` ({}) contains no image", named.digest);
        return Err(Exit::error(exit::GATE, message));
    }
    let mut verified = Vec::new();
    for image in images {
        verified.push(one(&client, &reference, image, kind, &signers)?);
    }
    match args.format {
        ListFormat::Text => print(&text(&reference, &named.digest, kind, &verified))?,
        ListFormat::Json => {
            let document = document(&reference, &named.digest, &verified);
            let text = serde_json::to_string_pretty(&document).expect("strings are JSON");
            print_json(&format!("{text}\n"))?;
        }
    }
    Ok(0)
}

/// The types that have a short name; any other is a URI.
fn predicate_of(named: &str) -> Result<&str, Exit> {
    Ok(match named {
        "signature" => predicate::SIGNATURE,
        "cyclonedx" => predicate::CYCLONEDX,
        "spdx" => predicate::SPDX,
        "provenance" => predicate::PROVENANCE,
        "verdict" => imgmake_scan::VERDICT,
        uri if uri.contains(':') => uri,
        unknown => {
            let types = ["signature", "cyclonedx", "spdx", "provenance", "verdict"];
            let help = suggest::help(unknown, types).unwrap_or_default();
            return Err(Exit::usage(format!("`--type {unknown}`: unknown type"))
                .with_help(format!("{help}; any other type is a URI")));
        }
    })
}

fn signers(global: &Global, args: &VerifyArgs) -> Result<Vec<Signer>, Exit> {
    let base = global.directory.as_deref().unwrap_or(Path::new("."));
    let keys = args.key.iter().map(|file| {
        let public = public_key::read(&base.join(file)).map_err(|error| {
            Exit::usage(format!("cannot use the key `{}`: {error}", file.display()))
                .with_help(public_key::EXPECTED)
        })?;
        let file = file.clone();
        Ok(Signer::Key(Key { file, public }))
    });
    let mut signers: Vec<Signer> = keys.collect::<Result<_, Exit>>()?;
    let args = &args.certificate;
    let named = (&args.certificate_identity, &args.certificate_oidc_issuer);
    let (Some(root), (Some(identity), Some(issuer))) = (&args.certificate_root, named) else {
        return Ok(signers);
    };
    let trusted = trusted(base, root, args.rekor_key.as_deref()).map_err(Exit::usage)?;
    signers.push(Signer::Certificate(Certificate {
        trusted,
        identity: identity.clone(),
        issuer: issuer.clone(),
        without_entry: args.without_log_entry,
    }));
    Ok(signers)
}

fn client(
    args: &VerifyArgs,
    reference: &Reference,
    environment: &Environment,
) -> Result<Client, Exit> {
    let insecure = args.insecure.then(|| HostSettings {
        prefix: reference.registry.clone(),
        insecure: true,
        ..HostSettings::default()
    });
    Client::new(ClientOptions {
        hosts: insecure.into_iter().collect(),
        environment: environment.variables.clone(),
        ..ClientOptions::default()
    })
    .map_err(refused)
}

fn refused(error: RegistryError) -> Exit {
    Exit::error(exit::REGISTRY, error)
}

/// The manifests of all platforms; attestations are none.
fn platforms(
    client: &Client,
    reference: &Reference,
    root: &Descriptor,
) -> Result<Vec<Digest>, Exit> {
    let read = |at: &Descriptor| {
        let fetched = client.manifest(&reference.with_digest(&at.digest));
        fetched.map(|fetched| fetched.bytes)
    };
    let tree = ImageTree::read(root, DEEPEST, read).map_err(|error| match error {
        TreeError::Read { error, .. } => refused(error),
        TreeError::Invalid { digest, error } => Exit::error(
            exit::REGISTRY,
            format!("invalid manifest {digest}: {error}"),
        ),
        TreeError::TooDeep { digest } => Exit::error(
            exit::REGISTRY,
            format!("index {digest} is nested too deeply"),
        ),
    })?;
    Ok(tree
        .images()
        .map(|(image, _)| image.digest.clone())
        .collect())
}

/// The first statement of the type about an image that one of them signed.
fn one<'k>(
    client: &Client,
    reference: &Reference,
    image: Digest,
    kind: &str,
    signers: &'k [Signer],
) -> Result<Verified<'k>, Exit> {
    let mut seen = 0;
    let mut refusals: Vec<String> = Vec::new();
    let work = OperationContext::background();
    let keys = signers.iter().filter_map(|signer| match signer {
        Signer::Key(key) => Some(&key.public),
        Signer::Certificate(_) => None,
    });
    let keys: Vec<&PublicKey> = keys.collect();
    let wanted = Wanted { kind, keys: &keys };
    let found = client.signatures(reference, &[&image], wanted, &work, |signed| {
        seen += 1;
        for signer in signers {
            match signer.signed(&signed, &image, kind) {
                Ok(statement) => return ControlFlow::Break((signer, statement)),
                Err(Some(refusal)) if refusals.len() < MOST_REFUSALS => {
                    let refusal = refusal.to_string();
                    if !refusals.contains(&refusal) {
                        refusals.push(refusal);
                    }
                }
                Err(_) => {}
            }
        }
        ControlFlow::Continue(())
    });
    let (signer, statement) = found.map_err(refused)?.ok_or_else(|| {
        let names: Vec<String> = signers.iter().map(Signer::name).collect();
        let what = word(kind);
        let found = match (seen, refusals.as_slice()) {
            (0, _) => "it has no signature and no signed document".to_string(),
            (seen, []) => format!("{seen} found, but none is valid"),
            (seen, why) => format!("{seen} found, but none is valid: {}", why.join("; ")),
        };
        let message = format!(
            "`{reference}` ({image}) has no {what} by {}: {found}",
            printable::list(&names)
        );
        Exit::error(exit::GATE, message)
    })?;
    Ok(Verified {
        image,
        signer,
        statement,
    })
}

/// Sentences of one message.
const MOST_REFUSALS: usize = 3;

impl Signer {
    /// As messages name it.
    fn name(&self) -> String {
        match self {
            Signer::Key(key) => format!("`{}`", key.file.display()),
            Signer::Certificate(certificate) => certificate.name(),
        }
    }

    /// What it signed about an image, if it is of the type; why not, if there is a reason to tell.
    fn signed(
        &self,
        signed: &Signed,
        image: &Digest,
        kind: &str,
    ) -> Result<Option<Statement>, Option<Refusal>> {
        match self {
            Signer::Key(key) => by_key(signed, key, image, kind).ok_or(None),
            Signer::Certificate(certificate) => {
                signed.signed_by(&certificate.demanded(), image, kind)
            }
        }
    }
}

/// What one key signed about an image, if it is of the type.
fn by_key(signed: &Signed, key: &Key, image: &Digest, kind: &str) -> Option<Option<Statement>> {
    match signed {
        Signed::Payload { .. } => {
            let counts = kind == predicate::SIGNATURE && signed.signs(image, &key.public);
            counts.then_some(None)
        }
        Signed::Bundle(text) => match bundle::unseal(text, &[&key.public], &[image]) {
            Unsealed::Good(statement) if statement.predicate_type == kind => Some(Some(statement)),
            _ => None,
        },
        Signed::Damaged => None,
    }
}

fn word(kind: &str) -> String {
    match kind {
        predicate::SIGNATURE => "signature".to_string(),
        predicate::CYCLONEDX => "CycloneDX document that is signed".to_string(),
        predicate::SPDX => "SPDX document that is signed".to_string(),
        predicate::PROVENANCE => "provenance that is signed".to_string(),
        imgmake_scan::VERDICT => "verdict of a gate that is signed".to_string(),
        other => format!(
            "statement of the type `{}` that is signed",
            other.escape_debug()
        ),
    }
}

fn text(reference: &Reference, named: &Digest, kind: &str, verified: &[Verified]) -> String {
    let mut text = format!("{reference} is {named}\n");
    for one in verified {
        let by = match one.signer {
            Signer::Key(_) => format!("with {}", one.signer.name()),
            Signer::Certificate(_) => format!("by {}", one.signer.name()),
        };
        let of = match one.image == *named {
            true => String::new(),
            false => format!(" of {}", one.image),
        };
        let what = word(kind).replace(" that is signed", "");
        text.push_str(&format!("{what}{of}: signed {by}\n"));
    }
    text
}

fn document(reference: &Reference, named: &Digest, verified: &[Verified]) -> Value {
    let statements = verified.iter().map(|one| {
        let statement = one.statement.as_ref();
        let (key, certificate) = match one.signer {
            Signer::Key(key) => (Some(key.file.display().to_string()), None),
            Signer::Certificate(of) => {
                let named = json!({"identity": of.identity, "issuer": of.issuer});
                (None, Some(named))
            }
        };
        json!({
            "image": one.image.as_str(),
            "key": key,
            "certificate": certificate,
            "predicateType": statement.map(|statement| &statement.predicate_type),
            "predicate": statement.map(|statement| &statement.predicate),
        })
    });
    json!({
        "reference": reference.to_string(),
        "digest": named.as_str(),
        "verified": statements.collect::<Vec<Value>>(),
    })
}
