//! `trust-ca`: certificates that a RUN trusts and no layer has.
//!
//! No file of the image is changed, and none is mounted over: `update-ca-certificates` replaces
//! its bundle by a rename, which fails on a mounted file. Instead variables (`SSL_CERT_FILE`, …)
//! name files in a directory of imgmake's, mounted for the one RUN as secrets are.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::helper_state::Server;
use super::views::View;
use crate::error::{BuildError, Context, Result};
use imgmake_event::Cancel;
use imgmake_guard::confined;
use imgmake_oci::layer::Layer;
use imgmake_sandbox::{Mount, MountKind, PlanFile};

/// The image's own bundle, then the target's certificates.
const BUNDLE: &str = "/run/imgmake/ca-bundle.pem";
/// The target's certificates alone, for programs that add them to their own.
const ADDED: &str = "/run/imgmake/ca-added.pem";
const APT: &str = "/run/imgmake/apt.conf";
const WGET: &str = "/run/imgmake/wgetrc";

/// What programs take instead of the place that they were built with.
const VARIABLES: [(&str, &str); 11] = [
    // OpenSSL, Go, Rust's rustls-native-certs, Ruby, PHP, uv
    ("SSL_CERT_FILE", BUNDLE),
    ("CURL_CA_BUNDLE", BUNDLE),
    ("REQUESTS_CA_BUNDLE", BUNDLE),
    ("PIP_CERT", BUNDLE),
    ("GIT_SSL_CAINFO", BUNDLE),
    ("CARGO_HTTP_CAINFO", BUNDLE),
    ("AWS_CA_BUNDLE", BUNDLE),
    ("BUNDLE_SSL_CA_CERT", BUNDLE),
    ("NODE_EXTRA_CA_CERTS", ADDED),
    // apt and GNU wget read no variable for it, but one that names a file of settings.
    ("APT_CONFIG", APT),
    ("SYSTEM_WGETRC", WGET),
];

/// Where distributions keep the bundle of trusted certificates.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Bundles have some 200 kB.
const LONGEST: u64 = 8 << 20;

/// Variables for a RUN, but none that the image or the Dockerfile has set.
pub fn variables(set: &[(String, String)]) -> Vec<(String, String)> {
    VARIABLES
        .iter()
        .filter(|(name, _)| !set.iter().any(|(present, _)| present == name))
        .map(|(name, value)| ((*name).to_string(), (*value).to_string()))
        .collect()
}

/// The files that the variables name. `pem` holds certificates, each in a block of its own.
pub(super) fn mounts(
    server: &Server,
    layers: &[Layer],
    pem: &[u8],
    cancel: &Cancel,
) -> Result<Vec<Mount>> {
    let view = View::of_layers(server, layers, cancel)?;
    let mut bundle = Vec::new();
    for path in BUNDLES {
        if let Some(found) = read(view.path(), path)? {
            bundle = found;
            break;
        }
    }
    let wgetrc = read(view.path(), "/etc/wgetrc")?.unwrap_or_default();
    let apt = format!("Acquire::https::CaInfo \"{BUNDLE}\";\n");
    let files = [
        (BUNDLE, joined(bundle, pem)),
        (ADDED, pem.to_vec()),
        (APT, apt.into_bytes()),
        (
            WGET,
            joined(wgetrc, format!("ca_certificate = {BUNDLE}\n").as_bytes()),
        ),
    ];
    let mount = |(target, bytes): (&str, Vec<u8>)| Mount {
        target: PathBuf::from(target),
        kind: MountKind::File(PlanFile {
            bytes,
            mode: 0o444,
            uid: 0,
            gid: 0,
        }),
    };
    Ok(files.into_iter().map(mount).collect())
}

fn joined(mut first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    if first.last().is_some_and(|last| *last != b'\n') {
        first.push(b'\n');
    }
    first.extend_from_slice(second);
    first
}

/// A file of the image; links are followed inside it. What is no regular file is not read.
fn read(root: &Path, path: &str) -> Result<Option<Vec<u8>>> {
    let action = || format!("cannot read `{path}` of the image");
    let root = confined::open_root(root).with_context(action)?;
    let resolved = match confined::resolve(&root, Path::new(path)) {
        // A file where a directory would be, links without end: it is not there.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP)) => {
            return Ok(None);
        }
        other => other.with_context(action)?,
    };
    if resolved.found.is_none() {
        return Ok(None);
    }
    let (directory, name) = confined::open_parent(&root, &resolved.path).with_context(action)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty()).with_context(action)?;
    let file = File::from(file);
    let meta = file.metadata().with_context(action)?;
    if !meta.is_file() {
        return Ok(None);
    }
    if meta.len() > LONGEST {
        let what = format!("`{path}` of the image has {} bytes", meta.len());
        return Err(BuildError::limit(what, LONGEST, ""));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut bytes)
        .with_context(action)?;
    Ok(Some(bytes))
}
