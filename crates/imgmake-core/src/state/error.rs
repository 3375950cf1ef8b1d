//! What can go wrong with a project's state.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot write the project's state in `{}`", project.display())]
    Directory { project: PathBuf, source: io::Error },
    #[error("cannot write the project's state in `.imgmake/log`")]
    Log(#[source] io::Error),
}
