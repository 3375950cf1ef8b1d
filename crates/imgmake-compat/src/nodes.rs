//! Nodes of a manifest that is in no file, and the names of images in them.

use std::collections::BTreeMap;

use imgmake_core::manifest::{
    Attempts, AttestNode, AuthNode, Destination, LoadInto, LoadNode, Publish, PushFrom, PushTarget,
    RegistryNode, Spanned, Target, TargetKind, WithoutDaemon,
};

/// A value without a place.
pub fn plain(text: impl Into<String>) -> Spanned<String> {
    Spanned {
        value: text.into(),
        ..Spanned::default()
    }
}

/// Values without a place.
pub(crate) fn all_plain<T: Into<String>>(
    texts: impl IntoIterator<Item = T>,
) -> Vec<Spanned<String>> {
    texts.into_iter().map(plain).collect()
}

/// The same for a map's values.
pub(crate) fn plain_values(map: BTreeMap<String, String>) -> BTreeMap<String, Spanned<String>> {
    map.into_iter().map(|(k, v)| (k, plain(v))).collect()
}

pub(crate) fn target(name: &str, kind: TargetKind) -> Target {
    Target {
        name: plain(name),
        description: None,
        needs: Vec::new(),
        kind,
        attempts: Attempts::default(),
        pool: None,
        used_variables: Vec::new(),
    }
}

/// Docker gets the image, where there is one.
pub(crate) fn into_docker() -> LoadNode {
    LoadNode {
        into: LoadInto::Docker,
        without: WithoutDaemon::Note,
    }
}

/// A push to complete names; those of one repository are one destination.
pub(crate) fn push_target(from: PushFrom, names: &[String]) -> PushTarget {
    let mut to: Vec<Destination> = Vec::new();
    for name in names {
        let (host, repository, tag) = parts(name);
        let registry = plain(node_name(&host));
        let repository = plain(repository);
        let same = |d: &&mut Destination| {
            d.registries[0].value == registry.value && d.repository.as_ref() == Some(&repository)
        };
        match to.iter_mut().find(same) {
            Some(destination) => destination.tags.push(plain(tag)),
            None => to.push(Destination {
                registries: vec![registry],
                repository: Some(repository),
                tags: vec![plain(tag)],
            }),
        }
    }
    PushTarget {
        from,
        to,
        publish: Publish::Each,
        write_digests: None,
        sign: None,
        attest: AttestNode::default(),
        needs_attestations: Vec::new(),
    }
}

/// A registry node for a host, named so that two hosts never share a name.
pub(crate) fn registry(host: &str, auth: AuthNode) -> RegistryNode {
    RegistryNode {
        name: plain(node_name(host)),
        prefix: plain(host),
        auth,
        insecure: false,
        skip_tls_verify: false,
        ca: None,
        client_cert: None,
        concurrency: None,
        create_repo: false,
        mirrors: Vec::new(),
        mirrors_only: false,
    }
}

fn node_name(host: &str) -> String {
    format!("host-{host}")
}

/// Host, repository and tag of a complete name, as the image grammar splits it:
/// the first part is a host when it has a dot or a colon, or is `localhost`.
pub fn parts(name: &str) -> (String, String, String) {
    let (name, tag) = match name.rfind(':') {
        Some(at) if !name[at..].contains('/') => (&name[..at], &name[at + 1..]),
        _ => (name, "latest"),
    };
    let (host, repository) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (first, rest.to_string())
        }
        Some(_) => ("docker.io", name.to_string()),
        None => ("docker.io", format!("library/{name}")),
    };
    (host.to_string(), repository, tag.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_names_split_as_the_image_grammar_says() {
        for (name, host, repository, tag) in [
            ("app", "docker.io", "library/app", "latest"),
            ("acme/app:1", "docker.io", "acme/app", "1"),
            ("localhost:5000/a/b:x", "localhost:5000", "a/b", "x"),
            ("gcr.io/p/app", "gcr.io", "p/app", "latest"),
        ] {
            assert_eq!(
                parts(name),
                (host.into(), repository.into(), tag.into()),
                "{name}"
            );
        }
    }
}
