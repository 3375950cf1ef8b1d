//! The certificates that a machine trusts: its distribution's bundle, or what `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name in its place.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, PemItem, parse_pem};

/// Where distributions keep the bundle.
const BUNDLES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where they keep single files, on machines without a bundle.
const DIRECTORIES: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/// A variable names certificates, and none could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoCertificates {
    pub variable: &'static str,
    pub value: String,
}

impl fmt::Display for NoCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no PEM certificate found in `{}`, which {} names",
            self.value, self.variable
        )
    }
}

impl std::error::Error for NoCertificates {}

/// None when the machine has no bundle, as in minimal images.
///
/// # Errors
/// A variable names certificates, and none can be read.
pub fn system(
    environment: &BTreeMap<String, String>,
) -> Result<Vec<Certificate<'static>>, NoCertificates> {
    let named = |name: &str| environment.get(name).filter(|text| !text.is_empty());
    let (file, directories) = (named("SSL_CERT_FILE"), named("SSL_CERT_DIR"));
    let mut found: Vec<_> = file.into_iter().flat_map(in_file).collect();
    let directories_named = directories.iter().flat_map(|all| all.split(':'));
    found.extend(directories_named.flat_map(in_directory));
    let named = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", directories)];
    let named = named
        .into_iter()
        .find_map(|(variable, value)| Some((variable, value?)));
    match named {
        None => Ok(of_distribution()),
        Some(_) if !found.is_empty() => Ok(found),
        Some((variable, value)) => Err(NoCertificates {
            variable,
            value: value.clone(),
        }),
    }
}

fn of_distribution() -> Vec<Certificate<'static>> {
    let bundles = BUNDLES.iter().map(in_file);
    let directories = DIRECTORIES.iter().map(in_directory);
    bundles
        .chain(directories)
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn in_directory(path: impl AsRef<Path>) -> Vec<Certificate<'static>> {
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    paths.iter().flat_map(in_file).collect()
}

/// Bundles hold comments and other things between their certificates.
fn in_file(path: impl AsRef<Path>) -> Vec<Certificate<'static>> {
    let pem = fs::read(path).unwrap_or_default();
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    certificates.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_for_the_bundle_and_name_something() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own.pem");
        let pem = include_bytes!("../../tests/data/keys/self-signed.crt");
        fs::write(&path, pem).unwrap();
        let system = |name: &str, value: &Path| {
            let value = value.display().to_string();
            system(&[(name.to_string(), value)].into())
        };
        let own = Certificate::from_pem(pem).unwrap();
        for (name, value) in [
            ("SSL_CERT_FILE", &*path),
            ("SSL_CERT_DIR", directory.path()),
        ] {
            let found = system(name, value).unwrap();
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].der(), own.der(), "{name}");
        }
        let error = system("SSL_CERT_FILE", Path::new("/none.pem")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no PEM certificate found in `/none.pem`, which SSL_CERT_FILE names"
        );
    }
}
