//! Registries: pull, push, credentials, mirrors, referrers. Blocking, on ureq;
//! one client for everything, cheap to clone, used from many threads.
//!
//! Knows image names and manifests, the store and events; knows no build, no
//! target and no terminal. Reads no environment: it comes in as values.
//!
//! ```text
//! client      the handle: which session serves a reference
//! pull        manifests and blobs in, verified, mirrors first
//!   manifest    one manifest: asked for, verified, chosen by platform
//!   download    one blob: streamed, verified, resumed
//! push        blobs, manifests, tags out, in the order registries want
//!   permission  whether a push would be let in
//!   upload      one blob: ask, mount, stream, resume
//! limiter     how many transfers a registry sees at once
//! session     one registry: requests, redirects, retries
//!   authorization  which proof a request carries
//!   probe       TLS or plain HTTP
//!   refusal, explain  what an unwelcome answer says; what its reader needs to know
//!   endpoint    where it is; certificates, proxy: how it is reached
//!   challenge, token, credentials, helper, login, cloud: who we are to it
//!   redact      no secret comes back in a server's words
//!   http, retry one exchange; when to try again
//! mirrors     registries.conf and docker's registry-mirrors
//! blobs       whether one is there
//! referrers   what refers to an image; manage: tags, deletion, login
//! signatures  signatures of an image and statements about it: found, and put beside it
//! ```

mod artifact;
mod authorization;
mod blobs;
mod cache_push;
mod certificates;
mod challenge;
mod client;
mod cloud;
pub mod connection;
mod credentials;
mod download;
mod endpoint;
mod error;
mod explain;
#[doc(hidden)]
pub mod fuzzing;
mod helper;
mod http;
mod limiter;
mod login;
mod manage;
mod manifest;
mod mirrors;
mod options;
mod permission;
mod probe;
mod pull;
mod push;
mod redact;
mod referrers;
mod refusal;
mod repositories;
mod retry;
mod session;
mod signatures;
mod source_push;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod token;
mod transfer;
mod upload;
mod warnings;

pub use cache_push::{CachePush, CacheTag};
pub use challenge::understands_challenge;
pub use client::Client;
pub use error::{ConnectionFault, Failure, Fault, Refusal, RegistryError};
pub use http::is_transient;
pub use login::{Forgotten, forget, remember};
pub use manage::{Checked, LoggedIn};
pub use options::{
    Auth, ClientOptions, Fetched, HostSettings, MirrorFallback, OperationContext, PushJob,
    PushPhase, Pushed, Resolved, Secret,
};
pub use signatures::{
    Attachment, LONGEST_DOCUMENT, Listing, MOST_SIGNATURES, Signed, Wanted, signature_tag,
};
pub use source_push::SourcePush;
