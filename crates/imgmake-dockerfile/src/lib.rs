//! Dockerfiles: text in, stages and instructions out; words and their expansion; ignore rules; lint.
//!
//! Knows the Dockerfile reference and what BuildKit's frontend makes of it. Pure: reads no file, no
//! environment, no registry; facts such as build arguments or base images come in as values.
//!
//! ```text
//! bytes ─lines→ logical lines ─parse→ Dockerfile ─expand(environment)→ final values
//!                                        └─lint(facts)→ warnings
//! ```

mod ast;
mod checks;
pub mod compat;
mod csv;
mod error;
mod expand;
mod expose;
mod flags;
mod heredoc;
pub mod ignore;
mod instructions;
mod lines;
pub mod lint;
mod mount;
mod needed;
mod parse;
mod print;
mod reads;
mod run_command;
mod stages;
mod suggest;

mod values;
pub mod wildcard;
pub mod words;

pub use error::{
    DockerfileError, DockerfileErrors, Kind, Mistake, PatternProblem, Position, WordProblem,
};
pub use expand::{Expansion, is_signal};
pub use expose::exposed_ports;

pub use ast::*;
pub use instructions::NAMES as INSTRUCTIONS;
pub use mount::{Access, CacheSharing, Mount, Ownership};
pub use parse::parse_trigger;
pub use reads::{Extent, Read, hides_all};
pub use run_command::RunCommand;
pub use stages::StageReference;
pub use suggest::nearest;
