//! What networks, proxies and registries do to a client, one file per direction.
//! Each test says what is sent again, from which byte, and what people read.
//!
//! ```text
//! pull      blobs and manifests that come broken, late, wrong or from elsewhere
//! push      uploads that break, are limited, redirected or half refused
//! large     a gigabyte through a proxy that cuts
//! wire      HTTP itself: old servers, kept connections, compression, slowness
//! tokens    token authentication of a real registry
//! mirrors   pull-through caches, as registries.conf and docker name them
//! proxies   a real proxy process
//! stopping  a cancellation is seen at once, whatever is waited for
//! refusals  the text of every refusal
//! ```

mod large;
mod mirrors;
mod proxies;
mod pull;
mod push;
mod refusals;
mod stopping;
pub(super) mod tokens;
mod wire;

use super::testing::{Between, Seen};
use imgmake_oci::image::Reference;

fn is_blob_get(seen: &Seen) -> bool {
    seen.method == "GET" && seen.target.contains("/blobs/sha256")
}

/// `app:1` at a server.
fn app(between: &Between) -> Reference {
    format!("{}/app:1", between.host()).parse().unwrap()
}

/// From which bytes a blob was asked for, in order; all of it is 0.
fn asked_from(between: &Between) -> Vec<u64> {
    let from = |seen: &Seen| match seen.header("Range") {
        None => 0,
        Some(range) => range
            .strip_prefix("bytes=")
            .and_then(|r| r.strip_suffix('-'))
            .unwrap()
            .parse()
            .unwrap(),
    };
    between
        .seen()
        .iter()
        .filter(|s| is_blob_get(s))
        .map(from)
        .collect()
}
