//! `PLUGIN_BAKE_FILE`: one step that builds and pushes what a bake file says.

use super::family::EntryPoint;
use super::job::{Baked, ImmutableTags, Job, Source, Transport};
use super::reader::Reader;
use super::results;
use super::workspace::Workspace;
use super::{Refusal, cache, credentials, value};
use crate::import::bake;
use imgmake_core::manifest::{CacheNode, suggest};

/// What is read here of `PLUGIN_BAKE_OPTIONS`.
const OPTIONS: [&str; 11] = [
    "--allow",
    "--builder",
    "--debug",
    "--load",
    "--metadata-file",
    "--no-cache",
    "--progress",
    "--pull",
    "--push",
    "--set",
    "--var",
];

/// What a bake file could be asked for beside a build.
const REFUSED: [(&str, &str); 9] = [
    ("--call", "`imgmake lint` checks a Dockerfile"),
    ("--check", "`imgmake lint` checks a Dockerfile"),
    ("--file", "one file is read: name it in PLUGIN_BAKE_FILE"),
    ("--list", "the step builds; read the file for its targets"),
    (
        "--list-targets",
        "the step builds; read the file for its targets",
    ),
    (
        "--list-variables",
        "the step builds; read the file for its variables",
    ),
    ("--policy", "nothing would check it here"),
    ("--print", "the step builds; it prints what it does"),
    ("-f", "one file is read: name it in PLUGIN_BAKE_FILE"),
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
    let mut environment = workspace.environment.clone();
    environment.extend(options.variables);
    let imported = bake::read(&bake::Request {
        file,
        text: &text,
        environment: &environment,
        wanted: &options.wanted,
        overrides: &options.overrides,
        now: workspace.now,
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
            "give them names, or set PLUGIN_DRY_RUN=true to build only; a target whose `output` is an archive is not pushed",
        ));
    }
    let cache = CacheNode {
        registries: imported.caches,
        ..CacheNode::default()
    };
    let caches = cache::names(&cache);
    let registries = credentials::registries(entry, reader, &destinations, &caches, &mut notes)?;
    let mut files = results::files(entry, reader, workspace.environment);
    files.metadata = files.metadata.or(options.metadata);
    if imported.targets.len() > 1 && files.any() {
        notes.push(format!(
            "`{file}` has {} targets: files about the image (artifact, digests, metadata) are written for one target alone",
            imported.targets.len()
        ));
    }
    let log = results::log(reader)?;
    let check_permission = !reader.flag("PLUGIN_SKIP_PUSH_PERMISSION_CHECK");
    let unasked = reader.unasked().into_iter();
    notes
        .extend(unasked.map(|name| format!("{name}: no effect, the bake file says what is built")));
    Ok(Box::new(Job {
        source: Source::Baked(Box::new(Baked {
            targets: imported.targets,
            secrets: imported.secrets,
            files: imported
                .inline
                .into_iter()
                .map(|inline| (inline.path, inline.text))
                .collect(),
            repositories: imported
                .repositories
                .into_iter()
                .map(|one| {
                    let line = one.line.map(|line| format!(":{line}"));
                    let place = format!("{file}{}: context", line.unwrap_or_default());
                    (one.target, one.address, place)
                })
                .collect(),
            published: imported.published,
        })),
        destinations,
        push,
        tar: None,
        layout: None,
        registries,
        base_registries: Transport::default(),
        cache,
        attempts: None,
        check_permission,
        docker_config: None,
        immutable_tags: ImmutableTags::default(),
        log,
        warmed: None,
        files,
        notes,
    }))
}

#[derive(Default)]
struct Options {
    wanted: Vec<String>,
    overrides: Vec<String>,
    /// `--var`: what the environment would say.
    variables: Vec<(String, String)>,
    metadata: Option<String>,
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
            let (name, given) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word, None),
            };
            let mut value = || {
                let value = given.or_else(|| words.next());
                value.map(String::from).ok_or_else(|| {
                    refused(&format!("`{name}` lacks its value"), "write it after `=`")
                })
            };
            match name {
                "--set" => options.overrides.push(value()?),
                "--var" => options.variable(&value()?)?,
                "--metadata-file" => options.metadata = Some(value()?),
                // Nothing here asks for leave, and there is no builder to choose.
                "--allow" | "--builder" | "--progress" => drop(value()?),
                "--call" if given == Some("build") => {}
                "--no-cache" | "--load" | "--push" | "--pull" | "--debug" | "-D" => {
                    options.flag(name, given.unwrap_or("true"), notes)?;
                }
                "--provenance" | "--sbom" if given == Some("false") => {}
                "--provenance" | "--sbom" => notes.push(format!(
                    "PLUGIN_BAKE_OPTIONS: `{word}` has no effect: no attestations are made"
                )),
                _ => return Err(unsupported(name)),
            }
        }
        Ok(options)
    }

    fn variable(&mut self, text: &str) -> Result<(), Refusal> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair
            .ok_or_else(|| refused(&format!("`--var {text}` is no NAME=VALUE"), "write it so"))?;
        self.variables.push((name.to_string(), value.to_string()));
        Ok(())
    }

    fn flag(&mut self, name: &str, text: &str, notes: &mut Vec<String>) -> Result<(), Refusal> {
        let on = value::boolean(&format!("PLUGIN_BAKE_OPTIONS: {name}"), text)?;
        match name {
            "--no-cache" => self.overrides.push(format!("*.no-cache={on}")),
            "--load" if on => self.overrides.push("*.load=true".to_string()),
            // Base tags are looked up in every step, and the step pushes anyway.
            "--push" if !on => notes.push(format!(
                "PLUGIN_BAKE_OPTIONS: `--push={text}` has no effect: PLUGIN_DRY_RUN=true builds only"
            )),
            "--pull" if !on => notes.push(format!(
                "PLUGIN_BAKE_OPTIONS: `--pull={text}` has no effect: base tags are looked up in every step"
            )),
            _ => {}
        }
        Ok(())
    }
}

fn unsupported(name: &str) -> Refusal {
    let known = REFUSED.iter().find(|(known, _)| *known == name);
    let help = match known {
        Some((_, help)) => (*help).to_string(),
        None => suggest::help(name, OPTIONS).unwrap_or_default(),
    };
    refused(&format!("`{name}` is not supported"), &help)
}

fn refused(why: &str, help: &str) -> Refusal {
    Refusal::new(format!("PLUGIN_BAKE_OPTIONS: {why}"), help)
}
