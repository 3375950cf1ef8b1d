//! The policy for base images, with the keys that the manifest names.

use std::sync::Mutex;

use crate::exit::{Exit, USAGE};
use crate::targets::{Project, public_key};
use imgmake_build::{BasePolicy, TrustedKey};
use imgmake_core::manifest::{Diagnostic, ImagePattern, Spanned};

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
        let diagnostic = Diagnostic::at(file.span, message, label).with_help(public_key::EXPECTED);
        anyhow::Error::new(Exit::rendered(USAGE, project.problem(diagnostic)))
    };
    let key = public_key::read(&project.directory.join(&file.value));
    Ok(TrustedKey {
        key: key.map_err(refused)?,
        file: file.value.clone(),
        place: place(project, file.span.start),
    })
}

/// `imgmake.kdl:3`
fn place(project: &Project, at: usize) -> String {
    let place = project.place(at);
    place.unwrap_or_else(|| "the manifest".to_string())
}
