//! The keys of the manifest's types: their values, never their place in the file.

use crate::manifest::{
    Attestation, CertificateNode, CommandNode, ExportForm, ExportNode, FailOn, IgnoreNode,
    KindNode, LoadInto, LoadNode, NeedsAttestation, Publish, ScannerNode, SignKey, SignerNode,
    Spanned, TarFormat, TarOutput,
};

use super::hasher::LengthPrefixedHasher;
use super::value::Fingerprint;

impl<T: Fingerprint> Fingerprint for Spanned<T> {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self { value, span: _ } = self;
        hasher.add(value);
    }
}

impl Fingerprint for CommandNode {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Self::Shell(text) => hasher.text("sh").add(text),
            Self::Argv(words) => hasher.text("argv").add(words),
        };
    }
}

impl Fingerprint for ExportNode {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self { path, form } = self;
        hasher.add(path).add(form);
    }
}

impl Fingerprint for ExportForm {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::Directory => "directory",
            Self::Tar => "tar",
        });
    }
}

impl Fingerprint for TarOutput {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self { path, format } = self;
        hasher.add(path).add(format);
    }
}

impl Fingerprint for TarFormat {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::Docker => "docker",
            Self::Oci => "oci",
        });
    }
}

impl Fingerprint for LoadNode {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        // Without a daemon there is a failure or a note, and no other result.
        let Self { into, without: _ } = self;
        hasher.add(into);
    }
}

impl Fingerprint for LoadInto {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        });
    }
}

impl Fingerprint for ScannerNode {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Self::Builtin => hasher.text("builtin"),
            Self::Trivy => hasher.text("trivy"),
            Self::Grype => hasher.text("grype"),
            Self::Command(command) => hasher.text("command").add(command),
        };
    }
}

impl Fingerprint for KindNode {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::Vulnerability => "vulnerability",
            Self::Secret => "secret",
            Self::Misconfiguration => "misconfiguration",
            Self::License => "license",
            Self::Hygiene => "hygiene",
        });
    }
}

impl Fingerprint for FailOn {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self {
            kind,
            severity,
            fixable,
            unknown,
            older,
            epss,
            kev,
        } = self;
        hasher.add(kind).add(severity).add(fixable).add(unknown);
        hasher.add(older).add(epss).add(kev);
    }
}

impl Fingerprint for IgnoreNode {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self {
            id,
            kind,
            package,
            path,
            until,
            reason,
        } = self;
        hasher.add(id).add(kind).add(package).add(path);
        hasher.add(until).add(reason);
    }
}

impl Fingerprint for SignKey {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            Self::File(path) => hasher.text("file").add(path),
            Self::Secret(name) => hasher.text("secret").add(name),
        };
    }
}

impl Fingerprint for Attestation {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(self.word());
    }
}

impl Fingerprint for NeedsAttestation {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self {
            gate,
            signer,
            max_age,
            same_db,
        } = self;
        hasher.add(gate).add(signer).add(max_age).add(same_db);
    }
}

impl Fingerprint for SignerNode {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        match self {
            // Before there were certificates, nothing but the key was written.
            Self::Key(key) => hasher.add(key),
            Self::Certificate(certificate) => {
                let CertificateNode {
                    identity,
                    issuer,
                    root,
                    log_key,
                } = &**certificate;
                let named = hasher.text("certificate").add(identity).add(issuer);
                named.add(root).add(log_key)
            }
        };
    }
}

impl Fingerprint for Publish {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        hasher.text(match self {
            Self::Each => "each",
            Self::Together => "together",
        });
    }
}
