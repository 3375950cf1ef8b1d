//! `source`: what targets read, sent to a registry and fetched from there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::args::{Global, ListFormat, NetworkArgs, SourceCommand};
use super::environment::Environment;
use super::imported::is_imported;
use super::output::{print, print_json, tell, warnings};
use super::outside::pin_use;
use super::project::{self, Loaded, STDIN};
use super::run::today;
use super::run_args::OutsideArgs;
use super::signals;
use super::source_project::{Connection, of_registry, reference};
use super::tools::tools;
use super::trust::Keys;
use crate::exit::{self, Exit};
use crate::share::source::{self, Opened, Sent, pack};
use crate::targets::{PinUse, Project, Recording, RunOptions, TargetRunner, Tools, Verdicts};
use imgmake_core::execute::Upstream;
use imgmake_core::files::{ReadAs, ReadFiles};
use imgmake_core::manifest::{Manifest, SecretFrom, SignerNode, VariableSource, env_file_values};
use imgmake_core::plan::Plan;
use imgmake_core::share::{Entry, SourceFacts, SourceList, VERSION, encode_path};
use imgmake_core::state::State;
use imgmake_event::Cancel;
use imgmake_guard::checkout::Checkout;

/// Of the environment, but read by no manifest.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// # Errors
/// A wrong name; something that cannot be read or sent; a directory that is not empty.
pub fn source(
    command: &SourceCommand,
    global: &Global,
    environment: &Environment,
) -> Result<u8, Exit> {
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let done = match command {
        SourceCommand::Push { to, targets } => push(to, targets, global, environment, &cancel),
        SourceCommand::Pull { from, directory } => {
            pull(from, directory, global, environment, &cancel)
        }
        SourceCommand::Show { from, format } => show(from, *format, global, environment, &cancel),
    };
    match (stopped.exit_code(), done) {
        (Some(code), _) => Ok(code),
        (None, done) => done.map(|()| 0),
    }
}

fn push(
    to: &str,
    targets: &[String],
    global: &Global,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<(), Exit> {
    let to = reference(to)?;
    if to.tag.is_some() || to.digest.is_some() {
        let message = format!("`{to}` has a tag or a digest: a repository is expected");
        return Err(Exit::usage(message).with_help("the digest of the source is printed"));
    }
    if global.file == Path::new("-") || is_imported(&global.file.to_string_lossy()) {
        return Err(
            Exit::usage("a source has its manifest in a file of its own")
                .with_help("`imgmake import` writes one for a bake file or a Compose file"),
        );
    }
    let loaded = project::load_with(global, environment, Keys::Read, NetworkArgs::default())?;
    let project = &loaded.project;
    let plan = project::select(project, targets)?;
    let mut state = State::read(&project.directory, &loaded.trust.key)?;
    state.look_at_files(&project.directory);
    let state = Arc::new(state);
    let mut tools = tools(
        project,
        loaded.trust.of_store(),
        environment,
        environment.store(global)?,
        warnings(),
        cancel.clone(),
    )?;
    tools.pin_use = pin_use(project, OutsideArgs::default(), PinUse::Read)?;
    let files = files(&loaded, &plan, &tools, &state, environment)?;
    let home = environment.get("HOME").map(PathBuf::from);
    let packed = pack(
        &project.directory,
        &files.found(),
        home.as_deref(),
        &state.stats,
        cancel,
    )?;
    let manifest = manifest_path(project, &packed.root)?;
    let list = SourceList {
        version: VERSION,
        manifest,
        targets: targets.to_vec(),
        facts: facts(&loaded, global, environment)?,
        pins: state.pins(),
        entries: Vec::new(),
        chunks: Vec::new(),
    };
    let sent = source::send(
        tools.client()?,
        tools.store()?,
        &to,
        list,
        packed,
        &tools.operation("source"),
    );
    let sent = sent.map_err(of_registry)?;
    tell(summary(&sent));
    print(&format!("oci://{}@{}\n", to.name(), sent.digest))?;
    Ok(())
}

fn summary(sent: &Sent) -> String {
    let files = match sent.files {
        1 => "1 file".to_string(),
        files => format!("{files} files"),
    };
    let size = crate::report::bytes;
    match sent.was_there {
        true => format!("{files}, {}: the registry has them", size(sent.bytes)),
        false => format!(
            "{files}, {}: {} new",
            size(sent.bytes),
            size(sent.bytes - sent.known)
        ),
    }
}

/// The files that the targets of a plan read, and those of the manifest.
fn files(
    loaded: &Loaded,
    plan: &Plan,
    tools: &Tools,
    state: &Arc<State>,
    environment: &Environment,
) -> Result<ReadFiles, Exit> {
    let project = &loaded.project;
    let graph = &project.graph;
    let outputs = plan.order.iter().flat_map(|id| graph.outputs(*id));
    let outputs = outputs.map(|output| project.directory.join(output));
    let files = ReadFiles::except(outputs.collect());
    let unbuilt = tools.store()?.temporary_dir()?.canonicalize();
    let unbuilt = unbuilt.map_err(anyhow::Error::from)?;
    let runner = TargetRunner {
        arguments: None,
        project,
        plan,
        variables: &loaded.variables(environment),
        tools,
        state: Arc::clone(state),
        verdicts: Verdicts::default(),
        options: RunOptions {
            jobs: 1,
            only_resolves: true,
            ..RunOptions::default()
        },
        today: today(),
        recording: Some(Recording {
            files: files.clone(),
            unbuilt: Some(unbuilt.clone()),
        }),
    };
    let actions = project.actions(plan);
    let upstream = Upstream::recorded(&actions, state);
    for id in &plan.order {
        runner.record_files(*id, &upstream).map_err(|failure| {
            let text = format!(
                "target `{}`: {}",
                project.graph.name(*id),
                failure.message.trim_end()
            );
            Exit::error(exit::code_of(failure.kind), text)
        })?;
    }
    drop(std::fs::remove_dir(&unbuilt));
    of_manifest(project, &files);
    Ok(files)
}

/// What is read before any target: the manifest and what it includes, the lock file, keys and certificates.
fn of_manifest(project: &Project, files: &ReadFiles) {
    let manifest = project.graph.manifest();
    let included = manifest.included.iter().map(Path::new);
    let lock = manifest.settings.lock.iter().map(|lock| &lock.value);
    let bases = manifest.settings.bases.iter();
    let signers = bases.flat_map(|bases| &bases.signers);
    let keys = signers.flat_map(SignerNode::files);
    let keys = keys.map(|file| &file.value);
    let authorities = manifest.registries.iter().filter_map(|one| one.ca.as_ref());
    let named = lock.chain(keys).chain(authorities).map(Path::new);
    files.add(manifest_file(project), ReadAs::Text);
    for path in included.chain(named) {
        files.add(project.directory.join(path), ReadAs::Text);
    }
}

fn manifest_file(project: &Project) -> PathBuf {
    let name = Path::new(&project.file).file_name().unwrap_or_default();
    project.directory.join(name)
}

/// The path of the manifest in the source.
fn manifest_path(project: &Project, root: &Path) -> Result<String, Exit> {
    let real = manifest_file(project)
        .canonicalize()
        .map_err(anyhow::Error::from)?;
    let inside = real.strip_prefix(root).map_err(anyhow::Error::from)?;
    if project.file == STDIN || inside.parent() != project.directory.strip_prefix(root).ok() {
        let message = format!(
            "the manifest `{}` is a link to another directory",
            project.file
        );
        return Err(Exit::usage(message).with_help("`-C` names the directory that it is in"));
    }
    Ok(encode_path(inside.as_os_str().as_encoded_bytes()))
}

/// What the values of the manifest came from.
fn facts(loaded: &Loaded, global: &Global, environment: &Environment) -> Result<SourceFacts, Exit> {
    let project = &loaded.project;
    let manifest = project.graph.manifest();
    let text = std::fs::read_to_string(manifest_file(project)).map_err(anyhow::Error::from)?;
    let found = match &loaded.source {
        Some(source) => super::source_project::facts(&source.opened.list.facts, global)?,
        None => project::facts(global, environment, &project.directory, &text)?,
    };
    let env_files = env_files(manifest);
    let mut variables = of_env_files(project, manifest, &env_files);
    variables.extend(found.vars);
    let is_secret = |name: &String| {
        let mut secrets = manifest.secrets.iter();
        secrets.any(|one| matches!(&one.source, SecretFrom::Env(variable) if variable == name))
    };
    let read = manifest.read_environment.iter().map(String::as_str);
    let read = read.chain([EPOCH]);
    let values = read.filter_map(|name| {
        let value = found.environment.get(name)?;
        Some((name.to_string(), value.clone()))
    });
    Ok(SourceFacts {
        variables,
        environment: values.filter(|(name, _)| !is_secret(name)).collect(),
        git: found.git,
        sets: found.sets,
        env_files,
    })
}

/// Files that the manifest reads and that are no manifests: those of variables.
fn env_files(manifest: &Manifest) -> Vec<String> {
    let read = manifest.read_files.iter();
    let is_other = |path: &&String| !manifest.included.contains(path);
    let mut files: Vec<String> = read.filter(is_other).cloned().collect();
    files.sort();
    files.dedup();
    files
}

/// The values that came from them, without all that else is in there.
fn of_env_files(
    project: &Project,
    manifest: &Manifest,
    env_files: &[String],
) -> BTreeMap<String, String> {
    let checkout = Checkout::new([project.directory.as_path()]);
    let mut values = BTreeMap::new();
    for file in env_files {
        let text = checkout.read_to_string(&project.directory.join(file));
        values.extend(env_file_values(&text.unwrap_or_default()).unwrap_or_default());
    }
    let is_used = |name: &String| {
        let mut variables = manifest.variables.iter();
        variables.any(|one| one.name.value == *name && one.source == VariableSource::EnvFile)
    };
    values.retain(|name, _| is_used(name));
    values
}

fn pull(
    from: &str,
    directory: &Path,
    global: &Global,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<(), Exit> {
    let connection = Connection::new(global, environment)?.stopped_by(cancel);
    let opened = connection.open(from)?;
    let files = opened.list.entries.len();
    let Connection {
        client,
        store,
        work,
    } = &connection;
    source::write_all(opened, store, directory, client, work).map_err(of_registry)?;
    tell(format!("wrote {files} files and directories"));
    Ok(())
}

fn show(
    from: &str,
    format: ListFormat,
    global: &Global,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<(), Exit> {
    let connection = Connection::new(global, environment)?.stopped_by(cancel);
    let opened = connection.open(from)?;
    match format {
        ListFormat::Json => print_json(&for_programs(&opened))?,
        ListFormat::Text => print(&for_people(&opened))?,
    }
    Ok(())
}

fn for_people(opened: &Opened) -> String {
    let list = &opened.list;
    let mut lines = vec![
        format!("source    {}", opened.digest),
        format!("manifest  {}", list.manifest),
        format!(
            "targets   {}",
            match list.targets.is_empty() {
                true => "those that run by default".to_string(),
                false => list.targets.join(", "),
            }
        ),
    ];
    let facts = &list.facts;
    let values = facts.variables.iter().chain(&facts.environment);
    lines.extend(values.map(|(name, value)| format!("variable  {name}={value}")));
    let git = facts.git.iter();
    lines.extend(git.map(|(name, value)| format!("git       {name}={value}")));
    lines.extend(facts.sets.iter().map(|set| format!("set       {set}")));
    let pins = list.pins.iter();
    lines.extend(pins.map(|(name, value)| format!("pin       {name} {value}")));
    lines.push(String::new());
    for entry in &list.entries {
        lines.push(match entry {
            Entry::File {
                path, mode, size, ..
            } => format!("{mode:04o} {size:>11}  {path}"),
            Entry::Directory { path, mode } => format!("{mode:04o}           -  {path}/"),
            Entry::Symlink { path, target } => format!("link           -  {path} -> {target}"),
            Entry::Hardlink { path, target } => format!("name           -  {path} = {target}"),
        });
    }
    let bytes: u64 = list.chunks.iter().map(|chunk| chunk.size).sum();
    lines.push(String::new());
    lines.push(format!(
        "{} in {}",
        crate::report::bytes(bytes),
        match list.chunks.len() {
            1 => "1 chunk".to_string(),
            chunks => format!("{chunks} chunks"),
        }
    ));
    lines.join("\n") + "\n"
}

fn for_programs(opened: &Opened) -> String {
    let list = serde_json::to_value(&opened.list).expect("a list has texts and numbers");
    let document = json!({
        "source": opened.from.to_string(),
        "digest": opened.digest.to_string(),
        "list": list,
    });
    let text = serde_json::to_string_pretty(&document).expect("JSON is text");
    text + "\n"
}
