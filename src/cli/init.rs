//! `init`: a manifest for the Dockerfiles that are here.

use std::path::{Path, PathBuf};

use super::args::Global;
use super::importable::dockerfiles;
use super::output::print;
use crate::exit::Exit;
use crate::output_file::write_whole;

pub fn init(global: &Global) -> Result<u8, Exit> {
    let directory = global
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from("."));
    let manifest = directory.join(&global.file);
    if manifest.exists() {
        return Err(
            Exit::usage(format!("`{}` exists already", manifest.display()))
                .with_help("`imgmake list` shows its targets"),
        );
    }
    let found = dockerfiles(&directory);
    let text = manifest_for(&found, &directory);
    write_whole(&manifest, text.as_bytes())?;
    let what = match found.len() {
        0 => "an example, because no Dockerfile was found".to_string(),
        1 => "1 build target".to_string(),
        n => format!("{n} build targets"),
    };
    print(&format!("wrote {} with {what}\n", manifest.display()))?;
    Ok(0)
}

fn manifest_for(found: &[PathBuf], directory: &Path) -> String {
    let mut text =
        String::from("imgmake version=1\n\nvar TAG \"dev\" desc=\"the tag that images get\"\n");
    if found.is_empty() {
        text.push_str("\n// From steps, without a Dockerfile.\nbuild app {\n    from \"scratch\"\n    file \"/etc/motd\" \"hello\\n\"\n    tags \"app:${TAG}\"\n}\n");
        return text;
    }
    let mut names: Vec<String> = Vec::new();
    for path in found {
        let name = unique(target_name(path, directory), &names);
        let parent = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .map_or(".".to_string(), |p| p.display().to_string());
        text.push_str(&format!("\nbuild {name} {{\n    context {parent:?}\n"));
        if path.file_name().is_some_and(|n| n != "Dockerfile") {
            text.push_str(&format!(
                "    dockerfile {:?}\n",
                path.display().to_string()
            ));
        }
        text.push_str(&format!("    tags \"{name}:${{TAG}}\"\n}}\n"));
        names.push(name);
    }
    text
}

/// `api/Dockerfile` is `api`, `web.Dockerfile` and `Dockerfile.web` are `web`.
fn target_name(path: &Path, directory: &Path) -> String {
    let file = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let special = file
        .strip_prefix("Dockerfile.")
        .or_else(|| file.strip_suffix(".Dockerfile"))
        .map(String::from);
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .map(|n| n.to_string_lossy().into_owned());
    let project = || {
        directory
            .canonicalize()
            .ok()?
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
    };
    let name = special.or(folder).or_else(project).unwrap_or_default();
    let legal: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let legal = legal.trim_matches('-').to_string();
    if legal.is_empty() {
        "app".to_string()
    } else {
        legal
    }
}

fn unique(name: String, taken: &[String]) -> String {
    let candidates = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
    candidates
        .into_iter()
        .find(|candidate| !taken.contains(candidate))
        .expect("there are numbers enough")
}
