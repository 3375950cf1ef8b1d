//! The policy for base images, with the keys that the manifest names.

use std::sync::Mutex;

use crate::exit::{Exit, USAGE};
use crate::targets::{Project, plain};
use imgmake_build::{BasePolicy, TrustedKey};
use imgmake_core::manifest::{Diagnostic, ImagePattern, Spanned};
use imgmake_oci::signature::PublicKey;

/// A key file holds a few lines.
const LARGEST_KEY: u64 = 64 << 10;

/// # Errors
/// A key that cannot be read or is invalid, with its place in the manifest.
pub fn read(project: &Project) -> anyhow::Result<BasePolicy> {
    let Some(node) = &project.graph.manifest().settings.bases else {
        return Ok(BasePolicy::default());
    };
    let patterns = node.allow.iter().map(|p| ImagePattern::parse(&p.value));
    let first = node.allow.first().map_or(node.span, |first| first.span);
    Ok(BasePolicy {
        allow: patterns
            .collect::<Result<_, _>>()
            .map_err(|(why, _)| anyhow::anyhow!("invalid pattern of image names: {why}"))?,
        place: place(project, first.start),
        keys: node
            .keys
            .iter()
            .map(|file| key(project, file))
            .collect::<anyhow::Result<_>>()?,
        found_good: Mutex::default(),
    })
}

fn key(project: &Project, file: &Spanned<String>) -> anyhow::Result<TrustedKey> {
    let refused = |label: String| {
        let message = format!("cannot use the key `{}` of `require-signature`", file.value);
        let diagnostic = Diagnostic::at(file.span, message, label)
            .with_help("a public key in PEM is expected, as `cosign.pub` is");
        anyhow::Error::new(Exit::rendered(USAGE, project.problem(diagnostic)))
    };
    let path = project.directory.join(&file.value);
    let size = std::fs::metadata(&path).map_err(|error| refused(plain(&error)))?;
    if !size.is_file() || size.len() > LARGEST_KEY {
        return Err(refused("this is not a file with a key".to_string()));
    }
    let pem = std::fs::read(&path).map_err(|error| refused(plain(&error)))?;
    let key = PublicKey::from_pem(&pem).map_err(|error| refused(error.to_string()))?;
    Ok(TrustedKey {
        key,
        file: file.value.clone(),
        place: place(project, file.span.start),
    })
}

/// `imgmake.kdl:3`
fn place(project: &Project, at: usize) -> String {
    let place = project.place(at);
    place.unwrap_or_else(|| "the manifest".to_string())
}
