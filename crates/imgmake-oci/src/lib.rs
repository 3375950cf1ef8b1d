//! Images as the OCI specification has them: descriptions, layers, a store, archives.

pub mod archive;
mod error;
pub mod image;
pub mod layer;
pub mod signature;
pub mod store;

pub use error::OciError;
