//! What people come from: `PLUGIN_*` variables, kaniko's arguments, bake files; each becomes a manifest.
//!
//! ```text
//! plugin        the variables of one step → a Step
//! plugin/kaniko   the arguments of kaniko's executor → a Step
//! import        a bake file → targets, and a manifest's text
//! step          a Step: manifest, options, preparations
//! result_files  the reports that the platform reads after it
//! error         why a step is refused
//! credentials   logins of registries as secrets
//! nodes         nodes of a manifest that is in no file
//! oci_layout    `oci-layout://…` as a context
//! ```

mod credentials;
mod error;
mod hidden;
pub mod import;
pub mod nodes;
mod oci_layout;
pub mod plugin;
mod result_files;
pub mod step;

pub use error::{Fact, Refusal};
pub use hidden::Hidden;
pub use result_files::ResultFiles;
pub use step::Step;
