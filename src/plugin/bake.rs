//! `PLUGIN_BAKE_FILE`: one step that builds and pushes what a bake file says.

use super::family::EntryPoint;
use super::interpret::{Workspace, files};
use super::job::{Baked, ImmutableTags, Job, Source};
use super::reader::Reader;
use super::{Refusal, credentials};
use crate::import::bake;
use crate::manifest::{CacheNode, suggest};

/// What is read here of `PLUGIN_BAKE_OPTIONS`; what tunes a display changes nothing.
const OPTIONS: [&str; 8] = [
    "--set",
    "--no-cache",
    "--pull",
    "--push",
    "--load",
    "--progress",
    "--provenance",
    "--sbom",
];

/// # Errors
/// The file is not there or wrong, or an option is unknown.
pub(super) fn job(
    entry: EntryPoint,
    reader: &Reader,
    workspace: &Workspace,
    file: &str,
    push: bool,
) -> Result<Box<Job>, Refusal> {
    let text = (workspace.read)(file).map_err(|error| {
        Refusal::new(
            format!("PLUGIN_BAKE_FILE: cannot read `{file}`: {error}"),
            "give its path from the working directory",
        )
    })?;
    let mut notes = reader.notes();
    let options = Options::read(&reader.text("PLUGIN_BAKE_OPTIONS"), &mut notes)?;
    let imported = bake::read(&bake::Request {
        file,
        text: &text,
        environment: workspace.environment,
        wanted: &options.wanted,
        overrides: &options.overrides,
    });
    let imported = imported.map_err(|mistake| {
        Refusal::new(
            mistake.to_string(),
            mistake.help.clone().unwrap_or_default(),
        )
    })?;
    notes.extend(imported.notes);
    let names = imported
        .published
        .iter()
        .flat_map(|(_, names)| names.clone());
    let mut destinations: Vec<String> = names.collect();
    destinations.dedup();
    if destinations.is_empty() && push {
        return Err(Refusal::new(
            format!("nothing would be pushed: no target of `{file}` has `tags`"),
            "give them names, or set PLUGIN_DRY_RUN=true to build only",
        ));
    }
    let registries = credentials::registries(entry, reader, &destinations, &[], &mut notes)?;
    Ok(Box::new(Job {
        source: Source::Baked(Box::new(Baked {
            targets: imported.targets,
            secrets: imported.secrets,
            published: imported.published,
        })),
        destinations,
        push,
        tar: None,
        layout: None,
        registries,
        cache: CacheNode::default(),
        attempts: None,
        check_permission: !reader.flag("PLUGIN_SKIP_PUSH_PERMISSION_CHECK"),
        docker_config: None,
        immutable_tags: ImmutableTags::default(),
        files: files(entry, reader, workspace.environment),
        notes,
    }))
}

#[derive(Default)]
struct Options {
    wanted: Vec<String>,
    overrides: Vec<String>,
}

impl Options {
    /// Words, separated by semicolons or blanks: options of `buildx bake`, and targets.
    fn read(text: &str, notes: &mut Vec<String>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        let mut words = text
            .split(|c: char| c == ';' || c.is_whitespace())
            .filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                options.wanted.push(word.to_string());
                continue;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            match name {
                "--set" => {
                    let value = value.or_else(|| words.next()).ok_or_else(|| {
                        refused("`--set` lacks its value", "write `--set TARGET.KEY=VALUE`")
                    })?;
                    options.overrides.push(value.to_string());
                }
                "--no-cache" => options.overrides.push("*.no-cache=true".to_string()),
                // The plugin's own variables say whether there is a push, and bases are
                // looked up again anyway.
                "--pull" | "--push" => {}
                "--load" | "--provenance" | "--sbom" => {
                    notes.push(format!(
                        "`{name}` of PLUGIN_BAKE_OPTIONS changes nothing here"
                    ));
                }
                "--progress" => {
                    // Its value is a word of its own, unless it came with `=`.
                    if value.is_none() {
                        words.next();
                    }
                }
                _ => {
                    let help = suggest::help(name, OPTIONS).unwrap_or_default();
                    return Err(refused(&format!("`{name}` is not supported"), &help));
                }
            }
        }
        Ok(options)
    }
}

fn refused(why: &str, help: &str) -> Refusal {
    Refusal::new(format!("PLUGIN_BAKE_OPTIONS: {why}"), help)
}
