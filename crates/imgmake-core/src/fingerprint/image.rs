//! What of images and of the entries of layers counts.

use imgmake_oci::image::{Digest, Healthcheck, ManifestFormat, Platform, Reference};
use imgmake_oci::layer::{Compression, EntryKind, Timestamp};

use super::hasher::LengthPrefixedHasher;
use super::value::{Bytes, Fingerprint};

impl Fingerprint for Digest {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(self.as_str());
    }
}

impl Fingerprint for Reference {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self {
            registry,
            repository,
            tag,
            digest,
        } = self;
        hasher.add(registry).add(repository).add(tag).add(digest);
    }
}

impl Fingerprint for Platform {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self {
            architecture,
            os,
            os_version,
            os_features,
            variant,
        } = self;
        hasher.add(architecture).add(os).add(os_version);
        hasher.add(os_features).add(variant);
    }
}

impl Fingerprint for ManifestFormat {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::Oci => "oci",
            Self::Docker => "docker",
        });
    }
}

impl Fingerprint for Healthcheck {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self {
            test,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } = self;
        hasher.add(test).add(interval).add(timeout);
        hasher.add(start_period).add(start_interval).add(retries);
    }
}

impl Fingerprint for Compression {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Self::None => hasher.text("none"),
            Self::Gzip { level } => hasher.text("gzip").number(u64::from(*level)),
            Self::Zstd { level } => hasher.text("zstd").add(level),
        };
    }
}

impl Fingerprint for Timestamp {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self { seconds, nanos } = self;
        hasher.add(seconds).add(nanos);
    }
}

impl Fingerprint for EntryKind {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Self::Directory => hasher.text("directory"),
            // Its content's hash says more.
            Self::File { size: _ } => hasher.text("file"),
            Self::Symlink { target } => hasher.text("symlink").add(&Bytes(target)),
            Self::HardLink { target } => hasher.text("hardlink").add(&Bytes(target)),
            Self::CharDevice { major, minor } => hasher.text("char").add(major).add(minor),
            Self::BlockDevice { major, minor } => hasher.text("block").add(major).add(minor),
            Self::Fifo => hasher.text("fifo"),
        };
    }
}
