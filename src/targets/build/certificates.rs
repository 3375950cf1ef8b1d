//! The certificates that a build's RUN steps are to trust, from files.

use std::path::Path;

use ureq::tls::{PemItem, parse_pem};

use super::super::failure::plain;
use super::super::task::BuildTask;
use imgmake_core::execute::Failure;
use imgmake_core::files::ReadAs;

/// Bundles have some 200 kB.
const LARGEST: u64 = 4 << 20;

/// The certificates of `trust-ca`, as PEM.
pub(super) fn certificates(task: &BuildTask<'_>) -> Result<Vec<u8>, Failure> {
    let mut pem = Vec::new();
    for file in &task.target.trust_ca {
        let path = task.runner.path(&file.value);
        task.runner.record(&path, ReadAs::Text);
        let read = read(&path).map_err(|why| {
            let message = format!("cannot use the certificates `{}` of `trust-ca`", file.value);
            task.problem(file, message, why)
        })?;
        pem.extend(read);
    }
    Ok(pem)
}

/// The certificates of a PEM file, and nothing else of it: comments stay where they are.
///
/// # Errors
/// It cannot be read, holds none, or contains a private key, which no RUN may see.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let meta = std::fs::metadata(path).map_err(|error| plain(&error))?;
    if !meta.is_file() || meta.len() > LARGEST {
        return Err("this is not a file with certificates".to_string());
    }
    let bytes = std::fs::read(path).map_err(|error| plain(&error))?;
    let mut pem = Vec::new();
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => pem.extend(block(certificate.der())),
            Ok(PemItem::PrivateKey(_)) => {
                return Err("it contains a private key, which no RUN may see".to_string());
            }
            Ok(_) => return Err("it contains something other than certificates".to_string()),
            Err(error) => return Err(format!("it is not PEM: {error}")),
        }
    }
    match pem.is_empty() {
        true => Err("it contains no `-----BEGIN CERTIFICATE-----`".to_string()),
        false => Ok(pem),
    }
}

fn block(der: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line);
        pem.push(b'\n');
    }
    pem.extend(b"-----END CERTIFICATE-----\n");
    pem
}
