//! A registry inside a test's process, and a proxy that breaks things on purpose.
//!
//! Knows the OCI distribution specification (section numbers are those of version 1.1)
//! and plain HTTP. Knows no client: what a client does with it is that client's test.
//!
//! ```text
//! Registry      repositories in memory, behind the API that registries have
//! FaultProxy    a server of its own, or one in front of a registry, that follows a rule
//! random_bytes  content that no compression hides
//! ```

mod fault_proxy;
mod http;
mod random;
mod registry;
mod server;

pub use fault_proxy::{Action, FaultProxy, RecordedRequest, Reply, answer, reply};
pub use random::random_bytes;
pub use registry::{Credentials, Registry, RegistryOptions};
