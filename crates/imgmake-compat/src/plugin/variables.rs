//! Every variable that the Harness and Drone plugins declare, as data: names in
//! the order in which they are looked up, type, default, who reads it, and what
//! becomes of it here. The book's table and a test are made from it.

use super::family::Cloud::{self, Acr, Docker, Ecr, Gar, Gcr};
use super::family::Family::{self, Buildah, Buildx, Kaniko};

use Effect::{Daemon, Inherent, Used};
use Kind::{Bool, Int, List, Text};

/// How the text of a variable is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Bool,
    Int,
    /// Split at this character.
    List(char),
}

/// What becomes of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Used,
    /// What it asks for is so anyway, or has no meaning here, for this reason.
    Inherent(&'static str),
    /// Not supported yet: setting it is an error, since leaving it out would
    /// quietly do something else.
    NotYet,
    /// It tunes a Docker daemon or a BuildKit container, and there is none.
    Daemon,
}

#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The first that is present wins, even when it is empty.
    pub names: &'static [&'static str],
    pub kind: Kind,
    pub default: &'static str,
    pub readers: &'static [(Family, &'static [Cloud])],
    pub effect: Effect,
}

impl Variable {
    pub fn is_read_by(&self, family: Family, cloud: Cloud) -> bool {
        self.readers
            .iter()
            .any(|(f, clouds)| *f == family && (clouds.is_empty() || clouds.contains(&cloud)))
    }
}

/// A row a variable: names, kind, default, who reads it (of which clouds, where not of all), effect.
macro_rules! variables {
    ($($first:literal $(| $name:literal)*: $kind:expr, $default:literal, [$($family:ident $(($($cloud:ident)+))?)+], $effect:expr;)*) => {
        &[$(Variable {
            names: &[$first $(, $name)*],
            kind: $kind,
            default: $default,
            readers: &[$(($family, &[$($($cloud),+)?])),+],
            effect: $effect,
        }),*]
    };
}

pub const VARIABLES: &[Variable] = variables! {
    "PLUGIN_ACCESS_KEY": Text, "", [Kaniko(Ecr)], Used;
    "ACCESS_TOKEN": Text, "", [Buildx], Used;
    "PLUGIN_ADD_HOST": List(','), "", [Buildx Buildah], Used;
    "PLUGIN_ARTIFACT_FILE": Text, "", [Kaniko Buildx], Used;
    "ARTIFACT_REGISTRY" | "PLUGIN_REGISTRY" | "DOCKER_REGISTRY": Text, "https://index.docker.io/v1/", [Buildx], Used;
    "PLUGIN_ASSUME_ROLE": Text, "", [Kaniko(Ecr)], Used;
    "PLUGIN_AUTO_LABEL": Bool, "true", [Buildx Buildah], Used;
    "PLUGIN_AUTO_TAG": Bool, "", [Kaniko], Used;
    "PLUGIN_AUTO_TAG_SUFFIX": Text, "", [Kaniko], Used;
    "AZURE_AUTHORITY_HOST": Text, "", [Kaniko(Acr)], Used;
    "PLUGIN_BAKE_FILE": Text, "", [Buildx], Used;
    "PLUGIN_BAKE_OPTIONS": Text, "", [Buildx], Used;
    "PLUGIN_BIP": Text, "", [Buildx], Inherent("RUN uses the network of the step's container");
    "PLUGIN_BUILDER_CONFIG": Text, "", [Buildx], Inherent("BuildKit's file is not read; PLUGIN_MIRROR names mirrors, PLUGIN_INSECURE plain HTTP");
    "PLUGIN_BUILDER_DRIVER": Text, "", [Buildx], Daemon;
    "PLUGIN_BUILDER_DRIVER_OPTS": List(';'), "", [Buildx], Daemon;
    "PLUGIN_BUILDER_DRIVER_OPTS_NEW": List(';'), "", [Buildx], Daemon;
    "PLUGIN_BUILDER_NAME": Text, "", [Buildx], Daemon;
    "PLUGIN_BUILDER_REMOTE_CONN": Text, "", [Buildx], Inherent("the build happens here, not on that builder");
    "PLUGIN_BUILDKIT_ASSETS_DIR": Text, "buildkit", [Buildx], Daemon;
    "PLUGIN_BUILDKIT_INHERIT_AUTH": Bool, "", [Buildx], Daemon;
    "PLUGIN_BUILDKIT_RESPONSE_HEADER_TIMEOUT": Text, "", [Buildx], Daemon;
    "PLUGIN_BUILDKIT_TLS_HANDSHAKE_TIMEOUT": Text, "", [Buildx], Daemon;
    "PLUGIN_BUILDKIT_VERSION": Text, "", [Buildx], Daemon;
    "PLUGIN_BUILDX_LOAD": Bool, "", [Buildx], Used;
    "PLUGIN_BUILDX_OPTIONS": List(','), "", [Buildx], Used;
    "PLUGIN_BUILDX_OPTIONS_SEMICOLON": Text, "", [Buildx], Used;
    "PLUGIN_BUILDX_OUTPUT_FORMAT": Text, "", [Buildx], Used;
    "PLUGIN_BUILD_ARGS": List(','), "", [Kaniko Buildx Buildah], Used;
    "PLUGIN_BUILD_ARGS_FROM_ENV": List(','), "", [Buildx Buildah], Used;
    "PLUGIN_BUILD_ARGS_NEW": List(';'), "", [Kaniko Buildx], Used;
    "PLUGIN_CACHE_COPY_LAYERS": Bool, "", [Kaniko], Used;
    "PLUGIN_CACHE_DIR": Text, "", [Kaniko], Used;
    "PLUGIN_CACHE_FROM": List(';'), "", [Buildx], Used;
    "PLUGIN_CACHE_METRICS_FILE": Text, "", [Buildx], Used;
    "PLUGIN_CACHE_REPO": Text, "", [Kaniko], Used;
    "PLUGIN_CACHE_RUN_LAYERS": Bool, "", [Kaniko], Inherent("layers of RUN are always cached");
    "PLUGIN_CACHE_TLS_INSECURE": Bool, "", [Buildx], Used;
    "PLUGIN_CACHE_TO": List(';'), "", [Buildx], Used;
    "PLUGIN_CACHE_TTL": Int, "", [Kaniko], Used;
    "PLUGIN_CLEANUP": Bool, "", [Kaniko], Inherent("the container has nothing to clean up");
    "CLIENT_CERTIFICATE" | "PLUGIN_CLIENT_CERTIFICATE": Text, "", [Kaniko(Acr)], Used;
    "CLIENT_ID" | "AZURE_CLIENT_ID" | "PLUGIN_CLIENT_ID" | "AZURE_APP_ID": Text, "", [Kaniko(Acr)], Used;
    "CLIENT_SECRET" | "PLUGIN_CLIENT_SECRET": Text, "", [Kaniko(Acr)], Used;
    "PLUGIN_COMPRESS": Bool, "", [Buildx Buildah], Inherent("layers are always compressed, and the context is not sent to a daemon");
    "PLUGIN_COMPRESSED_CACHING": Bool, "", [Kaniko], Inherent("caching never keeps layers in memory");
    "PLUGIN_CONFIG": Text, "", [Kaniko(Docker)], Used;
    "PLUGIN_CONFIG" | "DOCKER_PLUGIN_CONFIG": Text, "", [Buildx Buildah], Used;
    "PLUGIN_CONTEXT": Text, ".", [Kaniko Buildx Buildah], Used;
    "PLUGIN_CONTEXT_SUB_PATH": Text, "", [Kaniko], Used;
    "PLUGIN_COSIGN_PARAMS": Text, "", [Buildx], Used;
    "PLUGIN_COSIGN_PASSWORD": Text, "", [Buildx], Used;
    "PLUGIN_COSIGN_PRIVATE_KEY": Text, "", [Buildx], Used;
    "PLUGIN_CREATE_REPOSITORY": Bool, "", [Kaniko(Ecr Acr)], Used;
    "PLUGIN_CUSTOM_DNS": List(','), "", [Buildx], Used;
    "PLUGIN_CUSTOM_DNS_SEARCH": List(','), "", [Buildx], Used;
    "PLUGIN_CUSTOM_LABELS": List(','), "", [Kaniko Buildx Buildah], Used;
    "PLUGIN_DAEMON_OFF": Bool, "", [Buildx], Daemon;
    "PLUGIN_DAEMON_RETRY_COUNT": Int, "15", [Buildx], Daemon;
    "PLUGIN_DEBUG" | "DOCKER_LAUNCH_DEBUG": Bool, "", [Buildx], Used;
    "PLUGIN_DEFAULT_SUFFIX" | "PLUGIN_AUTO_TAG_SUFFIX": Text, "", [Buildx Buildah], Used;
    "PLUGIN_DEFAULT_TAGS" | "PLUGIN_AUTO_TAG": Bool, "", [Buildx Buildah], Used;
    "PLUGIN_DOCKERFILE": Text, "Dockerfile", [Kaniko Buildx Buildah], Used;
    "PLUGIN_DOCKER_PASSWORD" | "PLUGIN_BASE_IMAGE_PASSWORD" | "DOCKER_PASSWORD": Text, "", [Kaniko(Docker Gcr Gar Acr)], Used;
    "PLUGIN_DOCKER_PASSWORD" | "PLUGIN_BASE_IMAGE_PASSWORD": Text, "", [Buildx], Used;
    "PLUGIN_DOCKER_REGISTRY" | "PLUGIN_BASE_IMAGE_REGISTRY" | "DOCKER_REGISTRY": Text, "", [Kaniko(Docker Gcr Gar Acr)], Used;
    "PLUGIN_DOCKER_REGISTRY" | "DOCKER_REGISTRY" | "PLUGIN_BASE_IMAGE_REGISTRY": Text, "", [Kaniko(Ecr)], Used;
    "PLUGIN_DOCKER_REGISTRY" | "PLUGIN_BASE_IMAGE_REGISTRY": Text, "", [Buildx], Used;
    "PLUGIN_DOCKER_USERNAME" | "PLUGIN_BASE_IMAGE_USERNAME" | "DOCKER_USERNAME": Text, "", [Kaniko(Docker Gcr Gar Acr)], Used;
    "PLUGIN_DOCKER_USERNAME" | "PLUGIN_BASE_IMAGE_USERNAME": Text, "", [Buildx], Used;
    "DRONE_CARD_PATH": Text, "", [Buildx], Used;
    "DRONE_COMMIT_REF": Text, "", [Kaniko Buildx Buildah], Used;
    "DRONE_COMMIT_SHA": Text, "00000000", [Buildx Buildah], Used;
    "DRONE_OUTPUT": Text, "", [Kaniko(Docker)], Used;
    "DRONE_REMOTE_URL": Text, "", [Buildx Buildah], Used;
    "DRONE_REPO_BRANCH": Text, "", [Kaniko Buildx Buildah], Used;
    "PLUGIN_DRY_RUN" | "PLUGIN_NO_PUSH": Bool, "", [Buildx], Used;
    "PLUGIN_DRY_RUN": Bool, "", [Buildah], Used;
    "PLUGIN_EMAIL" | "DOCKER_EMAIL": Text, "", [Buildx Buildah], Inherent("registries do not use it");
    "PLUGIN_ENABLE_CACHE": Bool, "", [Kaniko], Used;
    "PLUGIN_EXPAND_REPO": Bool, "", [Kaniko(Docker)], Used;
    "PLUGIN_EXPAND_TAG": Bool, "", [Kaniko], Used;
    "PLUGIN_EXTERNAL_ID": Text, "", [Kaniko(Ecr)], Used;
    "PLUGIN_FORCE": Bool, "", [Kaniko], Inherent("builds run outside containers as well; nothing needs to be forced");
    "PLUGIN_HARNESS_SELF_HOSTED_AZURE_ACCOUNT_KEY": Text, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_HARNESS_SELF_HOSTED_AZURE_CLIENT_ID": Text, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_HARNESS_SELF_HOSTED_AZURE_CLIENT_SECRET": Text, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_HARNESS_SELF_HOSTED_AZURE_OIDC_TOKEN": Text, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_HARNESS_SELF_HOSTED_AZURE_TENANT_ID": Text, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_HARNESS_SELF_HOSTED_GCP_JSON_KEY": Text, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_HARNESS_SELF_HOSTED_S3_ACCESS_KEY": Text, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_HARNESS_SELF_HOSTED_S3_SECRET_KEY": Text, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_IGNORE_PATH": Text, "", [Kaniko], Used;
    "PLUGIN_IGNORE_PATHS": List(','), "", [Kaniko(Docker)], Used;
    "PLUGIN_IGNORE_VAR_RUN": Bool, "", [Kaniko], Used;
    "PLUGIN_IMAGE_DOWNLOAD_RETRY": Int, "", [Kaniko], Used;
    "PLUGIN_IMAGE_FS_EXTRACT_RETRY": Int, "", [Kaniko], Inherent("unpacking is not retried; transfers have their own retries");
    "PLUGIN_IMAGE_NAME_TAG_WITH_DIGEST_FILE": Text, "", [Kaniko], Used;
    "PLUGIN_IMAGE_NAME_WITH_DIGEST_FILE": Text, "", [Kaniko(Docker Ecr Gcr Gar)], Used;
    "PLUGIN_IMAGE_NAME_WITH_DIGEST_FILE": List(','), "", [Kaniko(Acr)], Used;
    "PLUGIN_INSECURE": Bool, "", [Kaniko Buildx], Used;
    "PLUGIN_INSECURE_PULL": Bool, "", [Kaniko], Used;
    "PLUGIN_INSECURE_REGISTRY": Text, "", [Kaniko], Used;
    "PLUGIN_IPV6": Bool, "", [Buildx], Inherent("RUN uses the network of the step's container");
    "PLUGIN_JSON_KEY": Text, "", [Kaniko(Gcr Gar)], Used;
    "PLUGIN_LABEL_SCHEMA": List(','), "", [Buildx Buildah], Used;
    "PLUGIN_LAYERS": Bool, "", [Buildah], Inherent("every step is cached and has its own layer; PLUGIN_SQUASH makes one layer of them");
    "PLUGIN_LIFECYCLE_POLICY": Text, "", [Kaniko(Ecr Acr)], Used;
    "PLUGIN_LOG_FORMAT": Text, "", [Kaniko], Used;
    "PLUGIN_LOG_TIMESTAMP": Bool, "", [Kaniko], Used;
    "PLUGIN_METADATA_FILE": Text, "", [Buildx], Used;
    "PLUGIN_MIRROR" | "DOCKER_PLUGIN_MIRROR": Text, "", [Buildx], Used;
    "PLUGIN_MTU": Text, "", [Buildx], Inherent("RUN uses the network of the step's container");
    "PLUGIN_MULTIPLE_BUILD_ARGS": Bool, "", [Kaniko Buildx], Used;
    "PLUGIN_NO_CACHE": Bool, "", [Buildx Buildah], Used;
    "PLUGIN_NO_PUSH": Bool, "", [Kaniko], Used;
    "PLUGIN_OCI_LAYOUT_PATH": Text, "", [Kaniko], Used;
    "PLUGIN_OIDC_TOKEN_ID": Text, "", [Kaniko(Ecr Acr)], Used;
    "PLUGIN_PASSWORD": Text, "", [Kaniko(Docker)], Used;
    "PLUGIN_PASSWORD" | "PLUGIN_DOCKER_PASSWORD" | "PLUGIN_BASE_IMAGE_PASSWORD" | "DOCKER_PASSWORD": Text, "", [Kaniko(Ecr)], Used;
    "PLUGIN_PASSWORD" | "DOCKER_PASSWORD": Text, "", [Buildx Buildah], Used;
    "PLUGIN_PATH_STYLE" | "AWS_PLUGIN_PATH_STYLE": Bool, "", [Buildx], Inherent("it is for a cache in a bucket, which is not supported");
    "PLUGIN_PLATFORM" | "PLUGIN_CUSTOM_PLATFORM": Text, "", [Kaniko], Used;
    "PLUGIN_PLATFORM": Text, "", [Buildx], Used;
    "PLUGIN_PULL_IMAGE": Bool, "true", [Buildx Buildah], Used;
    "PLUGIN_PURGE": Bool, "true", [Buildx Buildah], Inherent("only the workspace store is left, which later steps need");
    "PLUGIN_PUSH_ONLY": Bool, "", [Kaniko(Docker Ecr Gar Acr) Buildx], Used;
    "PLUGIN_PUSH_RETRY": Int, "", [Kaniko], Used;
    "PLUGIN_QUIET": Bool, "", [Buildx Buildah], Used;
    "PLUGIN_REGION": Text, "us-east-1", [Kaniko(Ecr)], Used;
    "PLUGIN_REGISTRY": Text, "https://index.docker.io/v1/", [Kaniko(Docker)], Used;
    "PLUGIN_REGISTRY": Text, "", [Kaniko(Ecr Gar Acr)], Used;
    "PLUGIN_REGISTRY" | "BASE_REGISTRY": Text, "gcr.io", [Kaniko(Gcr)], Used;
    "PLUGIN_REGISTRY" | "DOCKER_REGISTRY": Text, "https://index.docker.io/v1/", [Buildx Buildah], Used;
    "PLUGIN_REGISTRY_CERTIFICATE": Text, "", [Kaniko], Used;
    "PLUGIN_REGISTRY_CLIENT_CERT": Text, "", [Kaniko], Used;
    "PLUGIN_REGISTRY_MIRRORS": List(','), "", [Kaniko], Used;
    "PLUGIN_REGISTRY_TYPE": Text, "", [Buildx], Used;
    "PLUGIN_REPO": Text, "", [Kaniko Buildx Buildah], Used;
    "PLUGIN_REPOSITORY_POLICY": Text, "", [Kaniko(Ecr Acr)], Used;
    "PLUGIN_REPO_LINK" | "DRONE_REPO_LINK": Text, "", [Buildx Buildah], Used;
    "PLUGIN_REPRODUCIBLE": Bool, "", [Kaniko], Used;
    "PLUGIN_S3_ACCESS_KEY": Text, "", [Buildah], Inherent("a cache in a bucket is not supported; steps are kept in the workspace's store");
    "PLUGIN_S3_BUCKET": Text, "", [Buildah], Inherent("a cache in a bucket is not supported; steps are kept in the workspace's store");
    "PLUGIN_S3_ENDPOINT": Text, "", [Buildah], Inherent("a cache in a bucket is not supported; steps are kept in the workspace's store");
    "PLUGIN_S3_LOCAL_CACHE_DIR": Text, "", [Buildah], Inherent("a cache in a bucket is not supported; steps are kept in the workspace's store");
    "PLUGIN_S3_REGION": Text, "", [Buildah], Inherent("a cache in a bucket is not supported; steps are kept in the workspace's store");
    "PLUGIN_S3_SECRET": Text, "", [Buildah], Inherent("a cache in a bucket is not supported; steps are kept in the workspace's store");
    "PLUGIN_S3_USE_SSL": Bool, "", [Buildah], Inherent("a cache in a bucket is not supported; steps are kept in the workspace's store");
    "PLUGIN_SECRET": Text, "", [Buildx], Used;
    "PLUGIN_SECRETS_FROM_ENV": List(','), "", [Buildx], Used;
    "PLUGIN_SECRETS_FROM_FILE": List(','), "", [Buildx], Used;
    "PLUGIN_SECRET_KEY": Text, "", [Kaniko(Ecr)], Used;
    "PLUGIN_SINGLE_SNAPSHOT": Bool, "", [Kaniko], Used;
    "PLUGIN_SKIP_DEFAULT_REGISTRY_FALLBACK": Bool, "", [Kaniko], Used;
    "PLUGIN_SKIP_PUSH_PERMISSION_CHECK": Bool, "", [Kaniko], Used;
    "PLUGIN_SKIP_TLS_VERIFY": Bool, "", [Kaniko(Docker)], Used;
    "PLUGIN_SKIP_TLS_VERIFY_PULL": Bool, "", [Kaniko], Used;
    "PLUGIN_SKIP_TLS_VERIFY_REGISTRY": Bool, "", [Kaniko], Used;
    "PLUGIN_SKIP_UNUSED_STAGES": Bool, "", [Kaniko], Used;
    "PLUGIN_SNAPSHOT_MODE": Text, "", [Kaniko], Inherent("changes are found through the file system, exactly and without hashing");
    "PLUGIN_SOURCE_IMAGE": Text, "", [Buildx], Used;
    "PLUGIN_SOURCE_TAR_PATH": Text, "", [Kaniko(Docker Ecr Gar Acr) Buildx], Used;
    "PLUGIN_SQUASH": Bool, "", [Buildx Buildah], Used;
    "PLUGIN_SSH_AGENT_KEY": Text, "", [Buildx], Used;
    "PLUGIN_STORAGE_DRIVER": Text, "", [Buildx], Daemon;
    "PLUGIN_STORAGE_PATH": Text, "/var/lib/docker", [Buildx], Daemon;
    "SUBSCRIPTION_ID" | "PLUGIN_SUBSCRIPTION_ID": Text, "", [Kaniko(Acr)], Inherent("the token exchange needs none; the artifact file names the registry, not its page in the portal");
    "PLUGIN_TAG" | "PLUGIN_TAGS": List(','), "latest", [Buildx Buildah], Used;
    "PLUGIN_TAGS": List(','), "latest", [Kaniko], Used;
    "PLUGIN_TARGET": Text, "", [Kaniko Buildx Buildah], Used;
    "PLUGIN_TAR_PATH" | "PLUGIN_DESTINATION_TAR_PATH": Text, "", [Kaniko(Docker Ecr Gar Acr) Buildx], Used;
    "TENANT_ID" | "AZURE_TENANT_ID" | "PLUGIN_TENANT_ID": Text, "", [Kaniko(Acr)], Used;
    "PLUGIN_USERNAME": Text, "", [Kaniko(Docker)], Used;
    "PLUGIN_USERNAME" | "PLUGIN_DOCKER_USERNAME" | "PLUGIN_BASE_IMAGE_USERNAME" | "DOCKER_USERNAME": Text, "", [Kaniko(Ecr)], Used;
    "PLUGIN_USERNAME" | "DOCKER_USERNAME": Text, "", [Buildx Buildah], Used;
    "PLUGIN_USE_LOADED_BUILDKIT": Bool, "true", [Buildx], Daemon;
    "PLUGIN_USE_NEW_RUN": Bool, "", [Kaniko], Inherent("RUN never needs a full scan of the file system");
    "PLUGIN_VERBOSITY": Text, "", [Kaniko], Used;
};
