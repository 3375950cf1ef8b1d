//! What networks, proxies and registries do to a client, one file per direction.
//! Each test says what is sent again, from which byte, and what people read.
//!
//! ```text
//! pull      blobs and manifests that come broken, late, wrong or from elsewhere
//! push      mounts that are refused, rights, subjects
//! uploads   uploads that break, are limited, redirected or half refused
//! unasked   refusals that do not say what is wanted
//! large     a gigabyte through a proxy that cuts
//! wire      HTTP itself: old servers, kept connections, compression, slowness
//! tls       who is trusted, and what is said of others
//! stopping  a cancellation is seen at once, whatever is waited for
//! ```

mod large;
mod pull;
mod push;
mod stopping;
mod tls;
mod unasked;
mod uploads;
mod wire;
