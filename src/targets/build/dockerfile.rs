//! The Dockerfile that a target names.

use std::path::Path;

use super::super::failure::plain;
use super::super::task::BuildTask;
use super::contexts;
use imgmake_core::execute::{Failure, FailureKind};
use imgmake_core::manifest::{Diagnostic, Span, Spanned};

/// A Dockerfile that cannot be read is an error with the manifest's place.
pub(super) fn check_readable(task: &BuildTask<'_>, path: &Spanned<String>) -> Result<(), Failure> {
    let full = task.runner.path(&path.value);
    let checkout = task.runner.project.checkout(&contexts::main(task)?);
    let error = match checkout.open(&full).and_then(|file| file.metadata()) {
        Ok(meta) if meta.is_dir() => std::io::Error::from(std::io::ErrorKind::IsADirectory),
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let message = format!(
        "target `{}`: cannot read the Dockerfile `{}`",
        task.name, path.value
    );
    let span = if path.span == Span::default() {
        task.runner.target(task.id).name.span
    } else {
        path.span
    };
    let mut diagnostic = Diagnostic::at(span, message, plain(&error));
    if error.kind() == std::io::ErrorKind::NotFound
        && let Some(sibling) = sibling(&full)
    {
        let shown = Path::new(&path.value).with_file_name(sibling);
        diagnostic = diagnostic.with_help(format!(
            "`{}` exists; name it with `dockerfile`",
            shown.display()
        ));
    }
    let kind = FailureKind::Failed;
    Err(task.runner.project.failed_at(kind, diagnostic))
}

/// Another file in the same directory that looks like what was meant.
fn sibling(path: &Path) -> Option<String> {
    let mut names: Vec<String> = std::fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let lower = |name: &str| name.to_ascii_lowercase();
    names.into_iter().find(|name| {
        lower(name).contains("dockerfile") && !lower(name).ends_with(".dockerignore")
            || lower(name) == "containerfile"
    })
}
