//! Results on standard output, and files written whole.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Prints a result. A closed pipe is no error: its reader has seen enough.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Tells people something on standard error. A reader that is gone is no error,
/// and no panic, which `eprintln!` would make of it.
pub fn tell(text: impl std::fmt::Display) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Writes a file beside and renames it; parents are made.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let told = || format!("cannot write `{}`", path.display());
    let parent = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(told)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new()
        .prefix(".imgmake-")
        .permissions(permissions)
        .tempfile_in(parent)
        .with_context(told)?;
    file.write_all(bytes).with_context(told)?;
    file.persist(path)
        .map_err(|error| error.error)
        .with_context(told)?;
    Ok(())
}
