//! One step of a CI pipeline: what `imgmake-compat` says has to be done around its manifest.
//! Knows no arguments and no terminal.
//!
//! ```text
//! context       contexts that are elsewhere
//! bases         images that its Dockerfile names
//! image         the image to push, by the name that an earlier step gave it
//! preparations  an ssh agent, files, repositories, permission to push
//! unused_stages stages that run something and are left out
//! results       the files that the platform reads afterwards
//! card            what it shows beside the step
//! ```

pub mod bases;
mod card;
pub mod context;
pub mod image;
pub mod preparations;
pub mod results;
mod ssh_agent;
pub mod unused_stages;
