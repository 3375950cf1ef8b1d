//! Files of a directory that a manifest can be made of.

use std::path::{Path, PathBuf};

/// Deeper folders hold dependencies rather than the project's own images.
const DEEPEST: usize = 3;

/// As bake reads them, a later one over the earlier.
const FILES: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// Dockerfiles here and below, sorted.
pub fn dockerfiles(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(directory, Path::new(""), 0, &mut found);
    found.sort();
    found
}

/// The files that bake would read here; an override alone is none.
pub fn files_of_bake(directory: &Path) -> Vec<String> {
    let here = FILES.iter().filter(|file| directory.join(file).exists());
    let here: Vec<String> = here.map(|file| (*file).to_string()).collect();
    match here.iter().any(|file| !file.contains(".override.")) {
        true => here,
        false => Vec::new(),
    }
}

fn walk(root: &Path, relative: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(root.join(relative)) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = relative.join(&name);
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory
            && depth < DEEPEST
            && !name.starts_with('.')
            && !["node_modules", "vendor", "target"].contains(&name.as_str())
        {
            walk(root, &path, depth + 1, found);
        }
        let lower = name.to_ascii_lowercase();
        let is_one = lower == "dockerfile"
            || lower == "containerfile"
            || lower.ends_with(".dockerfile")
            || lower.starts_with("dockerfile.");
        if !is_directory
            && is_one
            && ![".dockerignore", ".md"]
                .iter()
                .any(|end| lower.ends_with(end))
        {
            found.push(path);
        }
    }
}
