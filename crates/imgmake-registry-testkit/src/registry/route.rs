//! What a request asks for: repository, kind of thing, name of the thing.

use crate::http::Head;

pub(super) struct Route {
    /// Empty where the address names none.
    pub repository: String,
    pub target: Target,
    query: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/v2/`
    Root,
    Token,
    Catalog,
    Tags,
    /// A tag or a digest.
    Manifest(String),
    Blob(String),
    /// Where uploads begin.
    Uploads,
    Upload(String),
    Referrers(String),
    Unknown,
}

impl Route {
    pub(super) fn parse(head: &Head) -> Route {
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        let query = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let (repository, target) = match path {
            "/token" => (String::new(), Target::Token),
            "/v2" | "/v2/" => (String::new(), Target::Root),
            "/v2/_catalog" => (String::new(), Target::Catalog),
            path => match path.strip_prefix("/v2/") {
                Some(rest) => below(rest),
                None => (String::new(), Target::Unknown),
            },
        };
        Route {
            repository,
            target,
            query,
        }
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// `NAME/KIND/REFERENCE`: a name may have slashes, and even a part that is called like a kind.
fn below(path: &str) -> (String, Target) {
    if let Some(name) = path.strip_suffix("/tags/list") {
        return (name.to_string(), Target::Tags);
    }
    let uploads = path.rsplit_once("/blobs/uploads/");
    if let Some((name, id)) = uploads.filter(|(_, id)| !id.contains('/')) {
        let target = match id {
            "" => Target::Uploads,
            id => Target::Upload(id.to_string()),
        };
        return (name.to_string(), target);
    }
    let mut parts = path.rsplitn(3, '/');
    let (Some(reference), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next())
    else {
        return (String::new(), Target::Unknown);
    };
    let reference = reference.to_string();
    let target = match kind {
        "manifests" => Target::Manifest(reference),
        "blobs" => Target::Blob(reference),
        "referrers" => Target::Referrers(reference),
        _ => return (String::new(), Target::Unknown),
    };
    (name.to_string(), target)
}
