//! The client against real programs: `docker-registry`, skopeo, htpasswd, openssl, tinyproxy.
//! Plain `cargo test` does not build this target: `cargo test -p imgmake-registry --test real`.
//!
//! Files with a path are the client's own tests, which meet the testkit's registry there.

use imgmake_registry::{
    Auth, Checked, Client, ClientOptions, Failure, HostSettings, MirrorFallback, OperationContext,
    PushJob, PushPhase, RegistryError, Secret,
};

#[path = "../../src/faults.rs"]
mod faults;
mod mirrors;
mod proxies;
#[path = "../../src/quirks.rs"]
mod quirks;
mod refusals;
mod servers;
#[path = "../../src/sharing.rs"]
mod sharing;
mod testing;
#[path = "../../src/tests.rs"]
mod tests;
mod tokens;
