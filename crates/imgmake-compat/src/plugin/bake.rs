//! `PLUGIN_BAKE_FILE`: one step that builds and pushes what a bake file says.

use super::family::EntryPoint;
use super::reader::Reader;
use super::results;
use super::tags::{check_tag, written_tag};
use super::workspace::Workspace;
use super::{Refusal, cache, registries, value};
use crate::error::{Fact, malformed, missing, unreadable};
use crate::import::bake;
use crate::nodes::plain;
use crate::result_files::ResultFiles;
use crate::step::{PUSH, Step, TextFile};
use imgmake_core::manifest::{CacheNode, PushFrom, suggest};

/// What is read here of `PLUGIN_BAKE_OPTIONS`.
const OPTIONS: [&str; 12] = [
    "--allow",
    "--builder",
    "--debug",
    "--file",
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
const REFUSED: [(&str, &str); 7] = [
    ("--call", "`imgmake lint` checks a Dockerfile"),
    ("--check", "`imgmake lint` checks a Dockerfile"),
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
];

/// # Errors
/// The file is not there or wrong, or an option is unknown.
pub(super) fn step(
    entry: EntryPoint,
    reader: &Reader,
    workspace: &Workspace,
    file: &str,
    push: bool,
) -> Result<Step, Refusal> {
    let mut step = Step {
        notes: reader.notes(),
        ..Step::default()
    };
    let options = Options::read(&reader.text("PLUGIN_BAKE_OPTIONS"), &mut step.notes)?;
    let mut environment = workspace.environment.clone();
    environment.extend(options.variables);
    let mut names = vec![("PLUGIN_BAKE_FILE", file)];
    names.extend(
        options
            .files
            .iter()
            .map(|name| ("PLUGIN_BAKE_OPTIONS", name.as_str())),
    );
    names.dedup_by(|one, other| one.1 == other.1);
    let mut texts = Vec::new();
    for (setting, name) in &names {
        let text = (workspace.read)(name).map_err(|error| {
            Refusal::new(
                unreadable(setting, name, error),
                "give its path from the working directory",
            )
        })?;
        texts.push((*name, text));
    }
    let files = texts.iter().map(|(name, text)| bake::File { name, text });
    let files: Vec<bake::File> = files.collect();
    let request = bake::Request {
        files: &files,
        environment: &environment,
        wanted: &options.wanted,
        overrides: &options.overrides,
        now: workspace.now,
        unsayable: bake::Unsayable::Refused,
        others: &bake::NO_OTHERS,
        valueless: bake::Valueless::Now,
    };
    let refused = |mistake: bake::Mistake| {
        let help = mistake.help.clone().unwrap_or_default();
        Refusal::new(Fact::Bake(mistake), help)
    };
    let mut others = bake::Others::new();
    loop {
        let known = bake::Request {
            others: &others,
            ..request
        };
        let missing = bake::missing(&known).map_err(refused)?;
        if missing.is_empty() {
            break;
        }
        for name in missing {
            let text = match (workspace.read)(&name) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => {
                    return Err(Refusal::new(
                        unreadable("include", &name, error),
                        "`include` and `extends` of a Compose file name it",
                    ));
                }
            };
            others.insert(name, text);
        }
    }
    let imported = bake::read(&bake::Request {
        others: &others,
        ..request
    });
    let imported = imported.map_err(refused)?;
    step.notes.extend(imported.notes);
    for (target, names) in &imported.published {
        let place = imported.tag_lines.get(target);
        let place = place.map_or(file, |place| place.place.as_str());
        for tag in names.iter().filter_map(|name| written_tag(name)) {
            check_tag(place, tag)?;
        }
    }
    let published = imported.published.iter();
    step.names = published.flat_map(|(_, names)| names.clone()).collect();
    step.names.dedup();
    if step.names.is_empty() && push {
        return Err(Refusal::new(
            missing(format!("`tags` in `{file}`"), "nothing would be pushed"),
            "give them names, or set PLUGIN_DRY_RUN=true to build only; a target whose `output` is an archive is not pushed",
        ));
    }
    let cache = CacheNode {
        registries: imported.caches,
        ..CacheNode::default()
    };
    let caches = cache::names(&cache);
    step.manifest.settings.cache = cache;
    let names = step.names.clone();
    let registries = registries::registries(entry, reader, &names, &caches, &mut step.notes)?;
    let mut files = results::files(entry, reader, workspace.environment);
    files.metadata = files.metadata.or(options.metadata);
    if imported.targets.len() > 1 && files.any() {
        step.notes.push(format!(
            "`{file}` has {} targets: files about the image (artifact, digests, metadata) are written only for one target",
            imported.targets.len()
        ));
        files = ResultFiles::default();
    }
    step.results = files;
    step.options.log = results::log(reader, &mut step.notes);
    step.options.pull = true;
    step.preparations.check_permission = push && !reader.flag("PLUGIN_SKIP_PUSH_PERMISSION_CHECK");
    let unasked = reader.unasked().into_iter();
    let notes = unasked.map(|name| format!("{name}: no effect, the bake file says what is built"));
    step.notes.extend(notes);
    step.manifest.targets = imported.targets;
    step.manifest.secrets = imported.secrets;
    let pushed = imported.published.iter().filter(|_| push);
    for (name, to) in pushed.filter(|(_, to)| !to.is_empty()) {
        // No target of a bake file has a slash in its name.
        let from = PushFrom::Images(vec![plain(name)]);
        step.add_push(&format!("{PUSH}/{name}"), from, to);
    }
    step.add_registries(registries);
    let files = imported.inline.into_iter();
    step.preparations.files = files
        .map(|inline| TextFile {
            path: inline.path,
            text: inline.text,
        })
        .collect();
    Ok(step)
}

#[derive(Default)]
struct Options {
    wanted: Vec<String>,
    overrides: Vec<String>,
    /// `--var`: what the environment would say.
    variables: Vec<(String, String)>,
    metadata: Option<String>,
    /// Further files.
    files: Vec<String>,
}

impl Options {
    /// Words: options of `buildx bake`, and targets. Semicolons separate them; blanks do only
    /// where there is no semicolon, since a value may hold some.
    fn read(text: &str, notes: &mut Vec<String>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        let words: Vec<&str> = match text.contains(';') {
            // A line may still hold an option and its value, or two targets.
            true => text.split(';').flat_map(own_words).collect(),
            false => text.split_whitespace().collect(),
        };
        let mut words = words.into_iter().filter(|word| !word.is_empty());
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
                    refused(&format!("missing value of `{name}`"), "write it after `=`")
                })
            };
            match name {
                "--set" => options.overrides.push(value()?),
                "--var" => options.variable(&value()?)?,
                "--file" | "-f" => options.files.push(value()?),
                "--metadata-file" => options.metadata = Some(value()?),
                // Neither entitlements nor builders exist here.
                "--allow" | "--builder" | "--progress" => drop(value()?),
                "--call" if given == Some("build") => {}
                "--no-cache" | "--load" | "--push" | "--pull" | "--debug" | "-D" => {
                    options.flag(name, given.unwrap_or("true"), notes)?;
                }
                "--provenance" | "--sbom" if given == Some("false") => {}
                "--provenance" | "--sbom" => notes.push(format!(
                    "PLUGIN_BAKE_OPTIONS: `{word}` has no effect: a plugin makes no attestations"
                )),
                _ => return Err(unsupported(name)),
            }
        }
        Ok(options)
    }

    fn variable(&mut self, text: &str) -> Result<(), Refusal> {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or_else(|| {
            refused(
                &format!("invalid `--var {text}`"),
                "write `--var NAME=VALUE`",
            )
        })?;
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
                "PLUGIN_BAKE_OPTIONS: `--pull={text}` has no effect: base tags are resolved in every step"
            )),
            _ => {}
        }
        Ok(())
    }
}

/// What stands between two semicolons: one word, or an option that its value follows.
fn own_words(part: &str) -> Vec<&str> {
    let part = part.trim();
    match part.split_once(char::is_whitespace) {
        Some((option, value)) if option.starts_with('-') && !option.contains('=') => {
            vec![option, value.trim()]
        }
        _ => vec![part],
    }
}

fn unsupported(name: &str) -> Refusal {
    let help = match REFUSED.iter().find(|(option, _)| *option == name) {
        Some((_, help)) => (*help).to_string(),
        None => suggest::help(name, OPTIONS).unwrap_or_default(),
    };
    refused(&format!("`{name}` is not supported"), &help)
}

fn refused(why: &str, help: &str) -> Refusal {
    Refusal::new(malformed("PLUGIN_BAKE_OPTIONS", why), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Options {
        Options::read(text, &mut Vec::new()).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    #[test]
    fn a_blank_separates_only_where_no_semicolon_does() {
        let blanks = read("app --set app.args.A=1 -f b.hcl");
        assert_eq!(blanks.wanted, ["app"]);
        assert_eq!(blanks.overrides, ["app.args.A=1"]);
        assert_eq!(blanks.files, ["b.hcl"]);
        let semicolons =
            read("app; --set=app.args.A=one other ;--set app.args.B=x y;--file=c.hcl;");
        assert_eq!(semicolons.wanted, ["app"]);
        assert_eq!(
            semicolons.overrides,
            ["app.args.A=one other", "app.args.B=x y"]
        );
        assert_eq!(semicolons.files, ["c.hcl"]);
    }
}
