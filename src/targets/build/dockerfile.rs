//! The Dockerfile that a target names.

use std::path::{Path, PathBuf};

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
    let message = format!("cannot read the Dockerfile `{}`", path.value);
    let span = if path.span == Span::default() {
        task.runner.target(task.id).name.span
    } else {
        path.span
    };
    let mut diagnostic = Diagnostic::at(span, message, plain(&error));
    if error.kind() == std::io::ErrorKind::NotFound
        && let Some(name) = beside(&full)
    {
        let shown = Path::new(&path.value).with_file_name(name);
        let shown = shown.display();
        let write = match task.runner.project.is_written() {
            true => format!("write `dockerfile \"{shown}\"`"),
            false => format!("add `-f {shown}`"),
        };
        diagnostic = diagnostic.with_help(format!("`{shown}` exists: {write}"));
    }
    let kind = FailureKind::Failed;
    Err(task.runner.project.failed_at(task.name, kind, diagnostic))
}

/// More names than this are not looked at.
const MOST_NAMES: usize = 10_000;

/// Another file in the same directory, or in one of the usual directories there, that looks like what was meant.
fn beside(path: &Path) -> Option<PathBuf> {
    let directory = path.parent()?;
    let places = ["", "docker", "build", ".docker"];
    places.iter().find_map(|place| {
        let mut names: Vec<String> = std::fs::read_dir(directory.join(place))
            .ok()?
            .take(MOST_NAMES)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| is_dockerfile(name))
            .collect();
        names.sort();
        let mut names = names.into_iter().map(|name| Path::new(place).join(name));
        names.find(|name| directory.join(name).is_file())
    })
}

fn is_dockerfile(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // `dockerfile.md` is about Dockerfiles.
    let is_other = [".dockerignore", ".md"]
        .iter()
        .any(|end| name.ends_with(end));
    name.contains("dockerfile") && !is_other || name == "containerfile"
}
