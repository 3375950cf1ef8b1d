//! What unit tests of the client are made with: the registry of the testkit, and keys.
//!
//! The tests of `tests/real/` have the same names for a `docker-registry` process.

mod ground;

use std::path::PathBuf;

use imgmake_registry_testkit::RegistryOptions;

pub use ground::*;
pub use imgmake_registry_testkit::Registry;

/// One that does what `docker-registry` 2.8 does: the older half of those in use.
pub fn start_registry() -> Registry {
    Registry::with(RegistryOptions {
        referrers: false,
        forgets_cut_uploads: true,
        ..RegistryOptions::default()
    })
}

/// SigningKeys that sign, in a directory of their own. They were made for tests with openssl,
/// hold for a hundred years, and open nothing.
pub struct SigningKeys {
    pub dir: tempfile::TempDir,
}

impl SigningKeys {
    pub fn new() -> SigningKeys {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("ca.key", include_str!("../../tests/data/keys/ca.key")),
            (
                "client.key",
                include_str!("../../tests/data/keys/client.key"),
            ),
            (
                "client.crt",
                include_str!("../../tests/data/keys/client.crt"),
            ),
            ("pkcs1.key", include_str!("../../tests/data/keys/pkcs1.key")),
        ] {
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
