//! Contexts of steps that are elsewhere: each becomes a directory.
//!
//! ```text
//! kaniko     one of kaniko's contexts, and the directory of it that is wanted
//! variables  PLUGIN_CONTEXT: kaniko's contexts, or Docker's
//! fetch      what is fetched for it
//! git          a repository
//! http         an archive or a Dockerfile from a server
//! ```

pub mod fetch;
pub mod git;
pub mod http;
pub mod kaniko;
pub mod variables;
