//! `verify`: whether an image of a registry, or what is said about it, is signed by a key.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::{Global, ListFormat, VerifyArgs};
use super::environment::Environment;
use super::output::{print, print_json};
use crate::exit::{self, Exit};
use crate::targets::public_key;
use imgmake_guard::printable;
use imgmake_oci::image::{DEEPEST, Descriptor, Digest, ImageTree, Reference, TreeError};
use imgmake_oci::signature::{PublicKey, Statement, Unsealed, Verdict, bundle, judge, predicate};
use imgmake_registry::{
    Client, ClientOptions, HostSettings, OperationContext, RegistryError, Signed, Wanted,
};

/// A key, and the file that it is in.
struct Key {
    file: PathBuf,
    public: PublicKey,
}

/// One image, and the statement about it that one of the keys signed.
struct Verified<'k> {
    image: Digest,
    key: &'k Key,
    /// `None` for a signature in cosign's older form, which says nothing else.
    statement: Option<Statement>,
}

pub fn verify(global: &Global, args: &VerifyArgs, environment: &Environment) -> Result<u8, Exit> {
    let keys: Vec<Key> = args
        .key
        .iter()
        .map(|file| key(global, file))
        .collect::<Result<_, _>>()?;
    let reference: Reference = args.image.parse().map_err(Exit::usage)?;
    let kind = predicate_of(&args.r#type);
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
        verified.push(one(&client, &reference, image, kind, &keys)?);
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
fn predicate_of(named: &str) -> &str {
    match named {
        "signature" => predicate::SIGNATURE,
        "cyclonedx" => predicate::CYCLONEDX,
        "spdx" => predicate::SPDX,
        "provenance" => predicate::PROVENANCE,
        "verdict" => imgmake_scan::VERDICT,
        uri => uri,
    }
}

fn key(global: &Global, file: &Path) -> Result<Key, Exit> {
    let base = global.directory.as_deref().unwrap_or(Path::new("."));
    let public = public_key::read(&base.join(file)).map_err(|error| {
        Exit::usage(format!("cannot use the key `{}`: {error}", file.display()))
            .with_help(public_key::EXPECTED)
    })?;
    Ok(Key {
        file: file.to_path_buf(),
        public,
    })
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

/// The first statement of the type about an image that a key signed.
fn one<'k>(
    client: &Client,
    reference: &Reference,
    image: Digest,
    kind: &str,
    keys: &'k [Key],
) -> Result<Verified<'k>, Exit> {
    let mut seen = 0;
    let work = OperationContext::background();
    let publics: Vec<&PublicKey> = keys.iter().map(|key| &key.public).collect();
    let wanted = Wanted {
        kind,
        keys: &publics,
    };
    let found = client.signatures(reference, &[&image], wanted, &work, |signed| {
        seen += 1;
        let good = keys.iter().find_map(|key| {
            let statement = by_key(&signed, key, &image, kind)?;
            Some((key, statement))
        });
        good.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    });
    let (key, statement) = found.map_err(refused)?.ok_or_else(|| {
        let files: Vec<String> = keys
            .iter()
            .map(|key| format!("`{}`", key.file.display()))
            .collect();
        let what = word(kind);
        let found = match seen {
            0 => "it has no signature and no signed document".to_string(),
            seen => format!("{seen} found, but none is valid"),
        };
        let message = format!(
            "`{reference}` ({image}) has no {what} by {}: {found}",
            printable::list(&files)
        );
        Exit::error(exit::GATE, message)
    })?;
    Ok(Verified {
        image,
        key,
        statement,
    })
}

/// What one key signed about an image, if it is of the type.
fn by_key(signed: &Signed, key: &Key, image: &Digest, kind: &str) -> Option<Option<Statement>> {
    match signed {
        Signed::Payload { payload, signature } => {
            let verdict = judge(payload, signature, &[&key.public], &[image]);
            let counts = kind == predicate::SIGNATURE && matches!(verdict, Verdict::Good(_));
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
        let key = one.key.file.display();
        let of = match one.image == *named {
            true => String::new(),
            false => format!(" of {}", one.image),
        };
        let what = word(kind).replace(" that is signed", "");
        text.push_str(&format!("{what}{of}: signed with `{key}`\n"));
    }
    text
}

fn document(reference: &Reference, named: &Digest, verified: &[Verified]) -> Value {
    let statements = verified.iter().map(|one| {
        let statement = one.statement.as_ref();
        json!({
            "image": one.image.as_str(),
            "key": one.key.file.display().to_string(),
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
