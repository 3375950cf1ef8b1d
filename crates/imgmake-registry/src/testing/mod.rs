//! What unit tests of the client are made with: the registry of the testkit, and keys.
//!
//! The tests of `tests/real/` have the same names for a `docker-registry` process.

mod ground;
mod tls;

use std::path::PathBuf;

use imgmake_registry_testkit::RegistryOptions;

pub use ground::*;
pub use imgmake_registry_testkit::Registry;
pub use tls::{ClientCertificates, TlsRegistry};

/// One that does what `docker-registry` 2.8 does: the older half of those in use.
pub fn start_registry() -> Registry {
    Registry::with(RegistryOptions {
        referrers: false,
        forgets_cut_uploads: true,
        ..RegistryOptions::default()
    })
}

macro_rules! keys {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../tests/data/keys/", $name)))),*]
    };
}

/// `self-signed.crt`, `expired.crt`, `not-yet.crt` and `other-names.crt` are authorities of their own, as
/// `openssl req -x509` makes them; `signed.crt` is by `ca.crt`. All four have `server.key`.
const KEYS: [(&str, &str); 11] = keys![
    "ca.crt",
    "ca.key",
    "client.crt",
    "client.key",
    "expired.crt",
    "not-yet.crt",
    "other-names.crt",
    "pkcs1.key",
    "self-signed.crt",
    "server.key",
    "signed.crt"
];

/// Keys that sign, and certificates, in a directory of their own. They were made for tests with openssl,
/// hold for a hundred years, and open nothing.
pub struct SigningKeys {
    pub dir: tempfile::TempDir,
}

impl SigningKeys {
    pub fn new() -> SigningKeys {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in KEYS {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        SigningKeys { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// One whose `Location` has no host.
pub fn start_relative_registry() -> Registry {
    Registry::with(RegistryOptions {
        relative_locations: true,
        ..RegistryOptions::default()
    })
}
