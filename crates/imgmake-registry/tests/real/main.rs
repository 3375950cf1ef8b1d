//! The client against real programs: `docker-registry`, skopeo, htpasswd, openssl, tinyproxy.
//! Plain `cargo test` does not build this target: `cargo test -p imgmake-registry --test real`.
//!
//! Files with a path are the client's own tests, which meet the testkit's registry there.

use imgmake_registry::{
    Auth, Checked, Client, ClientOptions, Failure, HostSettings, MirrorFallback, OperationContext,
    PushJob, PushPhase, RegistryError, Secret,
};

#[path = "../../src/tests/both/faults.rs"]
mod faults;
mod mirrors;
mod proxies;
#[path = "../../src/tests/both/quirks.rs"]
mod quirks;
mod refusals;
mod servers;
#[path = "../../src/tests/both/sharing.rs"]
mod sharing;
mod testing;
mod tokens;
#[path = "../../src/tests/both/transfers.rs"]
mod transfers;
