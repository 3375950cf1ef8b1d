//! Files that targets write, as the state remembers them.

use super::runner::TargetRunner;
use imgmake_core::execute::Failure;
use imgmake_core::state::{FileKind, Output};

/// A file that was written.
///
/// # Errors
/// It cannot be read back.
pub fn written(runner: &TargetRunner<'_>, what: FileKind, path: &str) -> Result<Output, Failure> {
    let signature = runner
        .tree_signature(&runner.path(path))
        .map_err(|error| Failure::failed(format!("cannot read `{path}` back: {error}")))?;
    Ok(Output::File {
        what,
        path: path.to_string(),
        signature,
    })
}

/// Whether a file is as it was written.
pub fn verify_file(runner: &TargetRunner<'_>, path: &str, signature: &[u8; 32]) -> Option<String> {
    compare(path, runner.tree_signature(&runner.path(path)), signature)
}

/// Whether a file is what it was, by any hash of it.
pub fn compare(path: &str, now: std::io::Result<[u8; 32]>, recorded: &[u8; 32]) -> Option<String> {
    match now {
        Ok(now) if now == *recorded => None,
        Ok(_) => Some(format!("output {path} changed")),
        Err(_) => Some(format!("output {path} is missing")),
    }
}

/// A record that no target of this kind writes.
pub fn foreign() -> Option<String> {
    Some("its record is of another kind of target".to_string())
}
