//! What a project demands of each push, where a run is not of its manifest: `imgmake build --push`, a bake or Compose
//! file, another manifest, kaniko's arguments, a plugin's variables.

use std::path::Path;

use super::environment::Environment;
use super::manifest_files::{Disk, LARGEST_MANIFEST, manifest_of};
use imgmake_core::manifest::{self, Facts};
use imgmake_guard::bounded;

/// Whether the manifest of a directory says `every-push needs-gate`. One that cannot be understood
/// here, since it lacks a variable for instance, says it with these words.
pub fn demands_gate(directory: &Path, environment: &Environment) -> bool {
    let Some(path) = manifest_of(directory) else {
        return false;
    };
    let file = std::fs::File::open(&path);
    let bytes = file.and_then(|file| bounded::take(file, LARGEST_MANIFEST));
    let Ok(bytes) = bytes else {
        return false;
    };
    let text = String::from_utf8_lossy(&bytes);
    let facts = Facts {
        environment: environment.variables.clone(),
        ..Facts::default()
    };
    let disk = Disk {
        directory: path.parent().unwrap_or(directory),
        left_out: &[],
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match manifest::load_project(&name, &text, &facts, &disk).0 {
        Ok((manifest, _)) => manifest.settings.every_push_needs_gate.is_some(),
        Err(_) => text.contains("every-push"),
    }
}
