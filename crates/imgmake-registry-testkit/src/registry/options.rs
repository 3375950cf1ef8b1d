//! How a registry behaves.

/// Who is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Everybody.
    #[default]
    Open,
    /// Whoever sends this user and password with each request.
    Basic { user: String, password: String },
    /// Whoever has a token of the registry's own `/token`, which gives one to this user.
    Token { user: String, password: String },
}

/// How a registry behaves.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    pub credentials: Credentials,
    /// `/referrers/` and `OCI-Subject`; without it clients keep the fallback tag.
    pub referrers: bool,
    /// Manifests and blobs can be deleted; 405 otherwise.
    pub delete: bool,
    /// Blobs can be mounted from other repositories; an upload begins otherwise.
    pub mount: bool,
    /// An upload whose connection broke is forgotten, as `docker-registry` 2.8 does.
    pub forgets_cut_uploads: bool,
    /// `Location` is a path, without scheme and host.
    pub relative_locations: bool,
}

impl Default for RegistryOptions {
    fn default() -> RegistryOptions {
        RegistryOptions {
            credentials: Credentials::Open,
            referrers: true,
            delete: true,
            mount: true,
            forgets_cut_uploads: false,
            relative_locations: false,
        }
    }
}
