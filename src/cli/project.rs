//! Finds the project that a command works on: its manifest, decoded or taken from the
//! cache, and what of it was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::args::{Global, NetworkArgs};
use super::demanded_gate::demands_gate;
use super::environment::Environment;
use super::git_facts::git_facts;
use super::importable::{dockerfiles, files_of_bake};
use super::imported::{is_imported, manifest_of_import};
use super::kinds;
use super::manifest_cache::Source;
pub use super::manifest_files::MANIFEST;
use super::manifest_files::{Disk, LARGEST_MANIFEST, manifests_above};
use super::source_project::{self, Brought};
use super::trust::{Keys, Trust, refuse_tracked};
use super::variables::variables;
use crate::exit::{Exit, USAGE};
use crate::no_links::refuse_links;
use crate::share::source::Tree;
use crate::targets::{Dockerfiles, LockFileProblem, LockedPins, Project, plain};
use imgmake_core::graph::Graph;
use imgmake_core::manifest::{self, Diagnostic, Facts, Files, Manifest, Sources, Spanned};
use imgmake_core::plan::Plan;
use imgmake_core::state::{Ahead, State};
use imgmake_guard::printable::{self, Colors};

/// What messages call a manifest from standard input.
pub const STDIN: &str = "<stdin>";

/// A project and what of its surroundings is believed.
pub struct Loaded {
    pub project: Project,
    pub trust: Trust,
    /// Where its state is, if not beside the manifest.
    pub memory: Option<PathBuf>,
    /// Where the files come from, if they are not a checkout's.
    pub source: Option<Arc<Tree>>,
    /// The state beside the manifest, for whoever runs something first.
    ahead: Mutex<Option<Ahead>>,
}

impl Loaded {
    /// The state beside the manifest, which was read meanwhile: once.
    pub fn take_ahead(&self) -> Option<Ahead> {
        let mut ahead = self.ahead.lock().expect("no thread panics with it");
        ahead.take().filter(|_| self.memory.is_none())
    }

    /// The variables that targets see: of a source, those of the machine that it comes from go first.
    pub fn variables(&self, environment: &Environment) -> BTreeMap<String, String> {
        let mut variables = environment.variables.clone();
        if let Some(source) = &self.source {
            variables.extend(source.opened.list.facts.environment.clone());
        }
        variables
    }

    /// What a source says of files and of names outside of the project.
    ///
    /// # Errors
    /// A file of the source was changed before its content was here.
    pub fn teach(&self, state: &State) -> anyhow::Result<()> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        for (name, value) in &source.opened.list.pins {
            if state.pin(name).is_none() {
                state.set_pin(name, value);
            }
        }
        source.teach(&state.stats)
    }

    /// The same with its state in another directory.
    #[must_use]
    pub fn remembering(self, memory: PathBuf) -> Loaded {
        Loaded {
            memory: Some(memory),
            ..self
        }
    }
}

/// Reads the manifest that the options name.
///
/// # Errors
/// It cannot be read, or is wrong; every error in it is printed.
pub fn load(global: &Global, environment: &Environment) -> Result<Loaded, Exit> {
    load_with(global, environment, Keys::Read, NetworkArgs::default())
}

/// The same for a command that records what it makes, under a key, or that knows
/// the options of one. All files of a source are here then.
///
/// # Errors
/// As for [`load`].
pub fn load_with(
    global: &Global,
    environment: &Environment,
    keys: Keys,
    network: NetworkArgs,
) -> Result<Loaded, Exit> {
    load_brought(global, environment, keys, network, Brought::All)
}

/// The same for a command that works with [`Loaded::source`]: of a source, only what is read to make keys is here.
///
/// # Errors
/// As for [`load`].
pub fn load_lazily(
    global: &Global,
    environment: &Environment,
    keys: Keys,
    network: NetworkArgs,
) -> Result<Loaded, Exit> {
    load_brought(global, environment, keys, network, Brought::Early)
}

fn load_brought(
    global: &Global,
    environment: &Environment,
    keys: Keys,
    network: NetworkArgs,
    brought: Brought,
) -> Result<Loaded, Exit> {
    match &global.source {
        Some(name) => {
            let source = source_project::put(name, global, environment, brought)?;
            of_source(global, environment, keys, network, Arc::new(source))
        }
        None => load_file(global, environment, keys, network),
    }
}

fn load_file(
    global: &Global,
    environment: &Environment,
    keys: Keys,
    network: NetworkArgs,
) -> Result<Loaded, Exit> {
    let (directory, file, text) = read(global)?;
    let (text, others) = match is_imported(&file) {
        true => manifest_of_import(&file, &text, &directory)?,
        false => (text, Vec::new()),
    };
    let manifest = Text {
        directory,
        file,
        text,
        others,
        is_cached: true,
        source: None,
    };
    decoded(global, environment, keys, network, manifest)
}

/// A manifest that is in no file: its paths start at the working directory.
///
/// # Errors
/// As for [`load`].
pub fn of_text(
    global: &Global,
    environment: &Environment,
    directory: &Path,
    name: &str,
    text: &str,
    network: NetworkArgs,
) -> Result<Loaded, Exit> {
    let manifest = Text {
        directory: absolute(directory)?,
        file: name.to_string(),
        text: text.to_string(),
        others: Vec::new(),
        is_cached: false,
        source: None,
    };
    decoded(global, environment, Keys::Make, network, manifest)
}

/// The manifest of a source that is in place.
fn of_source(
    global: &Global,
    environment: &Environment,
    keys: Keys,
    network: NetworkArgs,
    source: Arc<Tree>,
) -> Result<Loaded, Exit> {
    let (directory, file) = source.manifest();
    let path = directory.join(&file);
    let open = fs::File::open(&path).map_err(|error| missing(&file, &error))?;
    let bytes = imgmake_guard::bounded::take(open, LARGEST_MANIFEST);
    let bytes = bytes.map_err(|error| missing(&file, &error))?;
    let manifest = Text {
        text: text_of(bytes, &file)?,
        directory,
        file,
        others: Vec::new(),
        is_cached: true,
        source: Some(source),
    };
    decoded(global, environment, keys, network, manifest)
}

/// A manifest's text, its name, and where its paths start.
struct Text {
    directory: PathBuf,
    file: String,
    text: String,
    /// Files that it was made of, beside its own.
    others: Vec<String>,
    /// Whether it is kept beside the manifest, decoded.
    is_cached: bool,
    /// Of which source it is.
    source: Option<Arc<Tree>>,
}

fn decoded(
    global: &Global,
    environment: &Environment,
    keys: Keys,
    network: NetworkArgs,
    manifest: Text,
) -> Result<Loaded, Exit> {
    let Text {
        directory,
        file,
        text,
        others,
        is_cached,
        source: files_of,
    } = manifest;
    let facts = match &files_of {
        Some(source) => source_project::facts(&source.opened.list.facts, global)?,
        None => facts(global, environment, &directory, &text)?,
    };
    refuse_tracked(&directory)?;
    if let Some(store) = global.store.clone().or_else(|| environment.usual_store()) {
        refuse_links(&store, &directory)?;
    }
    if let Some(logs) = environment.kept_logs() {
        refuse_links(&logs, &directory)?;
    }
    let trust = Trust::of_project(&directory, global, environment, keys)?;
    // Whoever has a key made goes on with the state.
    let ahead = (keys == Keys::Make).then(|| Ahead::of(&directory, &trust.key));
    let color = environment.color(global.color);
    let source = Source {
        directory: &directory,
        text: &text,
        facts: &facts,
        trust: &trust,
    };
    let disk = Disk {
        directory: &directory,
        left_out: files_of
            .as_ref()
            .map_or(&[], |source| &source.opened.list.facts.env_files),
    };
    let (mut manifest, sources) = match source.cached().filter(|_| is_cached) {
        Some(manifest) => {
            let sources = Sources::of(&file, &text, &manifest, &|path| disk.read(path));
            (manifest, sources)
        }
        None => {
            let (loaded, sources) = manifest::load_project(&file, &text, &facts, &disk);
            let render = |found: &[Diagnostic]| sources.render(found, color, environment.width);
            let (manifest, warnings) = loaded.map_err(|errors| {
                let mut text = render(&errors);
                if errors.iter().any(is_of_another_manifest)
                    && let Some(above) = includer(&directory)
                {
                    text.push_str(&format!(
                        "\nhelp: the manifest in `{0}` includes others, and may declare it: `imgmake -C {0}` runs their targets\n",
                        printable::line(&above.to_string_lossy(), Colors::Removed)
                    ));
                }
                Exit::rendered(USAGE, text)
            })?;
            if warnings.is_empty() && is_cached {
                source.cache(&manifest);
            } else if !warnings.is_empty() {
                super::output::tell(render(&warnings).trim_end());
            }
            (manifest, sources)
        }
    };
    manifest.read_files.extend(others);
    if let Some(mode) = network.mode {
        manifest.set_network(mode.name());
    }
    let refused = |errors: Vec<Diagnostic>| {
        Exit::rendered(USAGE, sources.render(&errors, color, environment.width))
    };
    let dockerfiles = Dockerfiles::of(&directory, &manifest);
    let graph = Graph::with_dockerfiles(manifest, &dockerfiles).map_err(refused)?;
    if !graph.warnings().is_empty() {
        let warnings = sources.render(graph.warnings(), color, environment.width);
        super::output::tell(warnings.trim_end());
    }
    let lock = lock_file(&directory, graph.manifest(), &sources, color, environment)?;
    // Its own demand is among its settings.
    let is_of_directory = Path::new(&file).file_name() == Some(MANIFEST.as_ref());
    let demands_gate = !is_of_directory && demands_gate(&directory, environment);
    let project = Project {
        directory,
        file,
        sources,
        graph,
        lock,
        demands_gate,
        whole: None,
        git_index: Arc::default(),
        color,
        width: environment.width,
    };
    Ok(Loaded {
        project,
        trust,
        memory: None,
        source: files_of,
        ahead: Mutex::new(ahead),
    })
}

/// What a manifest's values come from, beside its own text.
///
/// # Errors
/// A `--var` is not NAME=VALUE.
pub fn facts(
    global: &Global,
    environment: &Environment,
    directory: &Path,
    text: &str,
) -> Result<Facts, Exit> {
    Ok(Facts {
        vars: variables(&global.vars)?,
        environment: environment.variables.clone(),
        git: match text.contains("git") {
            true => git_facts(directory, environment),
            false => BTreeMap::new(),
        },
        sets: global.sets.clone(),
    })
}

/// The lock file, if the manifest names one.
fn lock_file(
    directory: &Path,
    manifest: &Manifest,
    sources: &Sources,
    color: bool,
    environment: &Environment,
) -> Result<Option<Arc<LockedPins>>, Exit> {
    let Some(written) = &manifest.settings.lock else {
        return Ok(None);
    };
    match LockedPins::read(directory, &written.value) {
        Ok(lock) => Ok(Some(Arc::new(lock))),
        Err(problem) => Err(wrong_lock_file(
            problem,
            written,
            sources,
            color,
            environment.width,
        )),
    }
}

/// The lock file as it is by now, once this run has the project's lock.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read_lock_file_again(project: &Project) -> Result<(), Exit> {
    let written = &project.graph.manifest().settings.lock;
    match (&project.lock, written) {
        (Some(lock), Some(written)) => lock.read_again().map_err(|problem| {
            let Project {
                sources,
                color,
                width,
                ..
            } = project;
            wrong_lock_file(problem, written, sources, *color, *width)
        }),
        _ => Ok(()),
    }
}

fn wrong_lock_file(
    problem: LockFileProblem,
    written: &Spanned<String>,
    sources: &Sources,
    color: bool,
    width: usize,
) -> Exit {
    let name = &written.value;
    match problem {
        LockFileProblem::Wrong(found, text) => {
            Exit::rendered(USAGE, manifest::render(&found, name, &text, color, width))
        }
        LockFileProblem::Unreadable(error) => {
            let message = format!("cannot read the lock file `{name}`");
            let found = Diagnostic::at(written.span, message, plain(&error));
            Exit::rendered(USAGE, sources.render(&[found], color, width))
        }
    }
}

/// A project without a file: the manifest of a CI step.
pub fn in_memory(
    directory: PathBuf,
    manifest: Manifest,
    environment: &Environment,
) -> Result<Project, Exit> {
    let graph = Graph::new(manifest).map_err(|diagnostics| {
        let texts: Vec<String> = diagnostics
            .iter()
            .map(|d| format!("error: {}", d.message))
            .collect();
        Exit::rendered(USAGE, texts.join("\n"))
    })?;
    let demands_gate = demands_gate(&directory, environment);
    Ok(Project {
        demands_gate,
        directory,
        file: String::new(),
        sources: Sources::default(),
        graph,
        lock: None,
        whole: None,
        git_index: Arc::default(),
        color: false,
        width: environment.width,
    })
}

/// The plan for the requested names, or for the targets of a kind.
pub fn select(project: &Project, requested: &[String]) -> Result<Plan, Exit> {
    let names = kinds::expanded(&project.graph, requested)?;
    kinds::select(&project.graph, &names)
}

/// The manifest that the options name. One of the usual name is looked for in the directories above,
/// too: only those of the user, of root, or of whoever has the directory itself are believed.
pub fn manifest_path(global: &Global) -> PathBuf {
    let base = global
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from("."));
    let here = base.join(&global.file);
    if global.file != Path::new(MANIFEST) || here.symlink_metadata().is_ok() {
        return here;
    }
    let Ok(real) = base.canonicalize() else {
        return here;
    };
    manifests_above(&real).next().unwrap_or(here)
}

/// Whether a manifest that includes this one may declare what is missing here.
fn is_of_another_manifest(found: &Diagnostic) -> bool {
    let missing = ["template `", "variable `"];
    found.message.ends_with(" not found") && missing.iter().any(|what| found.message.contains(what))
}

/// The directory of a manifest above that includes others.
fn includer(directory: &Path) -> Option<PathBuf> {
    let real = directory.canonicalize().ok()?;
    let mut above = manifests_above(&real);
    let found = above.find(|path| {
        let text = imgmake_guard::bounded::read_text(path).unwrap_or_default();
        let mut lines = text.lines();
        lines.any(|line| line.trim_start().starts_with("include "))
    });
    found?.parent().map(Path::to_path_buf)
}

/// Whether it was said that the manifest was found in a directory above: `watch` reads it often.
static FOUND_ABOVE: AtomicBool = AtomicBool::new(false);

/// The manifest's directory, its name and its text.
fn read(global: &Global) -> Result<(PathBuf, String, String), Exit> {
    let base = global
        .directory
        .clone()
        .unwrap_or_else(|| PathBuf::from("."));
    if global.file == Path::new("-") {
        let mut bytes = Vec::new();
        let limited = std::io::stdin()
            .lock()
            .take(LARGEST_MANIFEST + 1)
            .read_to_end(&mut bytes);
        limited.map_err(|error| {
            Exit::usage(format!(
                "cannot read the manifest from standard input: {error}"
            ))
        })?;
        return Ok((absolute(&base)?, STDIN.to_string(), text_of(bytes, STDIN)?));
    }
    refuse_dockerfile(&global.file)?;
    let path = manifest_path(global);
    if path != base.join(&global.file) && !FOUND_ABOVE.swap(true, Ordering::Relaxed) {
        let shown = path.to_string_lossy();
        let shown = printable::line(&shown, Colors::Removed);
        super::output::tell(format!("note: the manifest is `{shown}`"));
    }
    let display_path = path
        .strip_prefix(".")
        .unwrap_or(&path)
        .display()
        .to_string();
    let size = fs::metadata(&path)
        .map(|meta| meta.len())
        .map_err(|error| missing(&display_path, &error))?;
    if size > LARGEST_MANIFEST {
        return Err(too_large(&display_path));
    }
    let file = fs::File::open(&path).map_err(|error| missing(&display_path, &error))?;
    let bytes = imgmake_guard::bounded::take(file, LARGEST_MANIFEST);
    let bytes = bytes.map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => too_large(&display_path),
        _ => missing(&display_path, &error),
    })?;
    let directory = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Ok((
        absolute(directory)?,
        display_path.clone(),
        text_of(bytes, &display_path)?,
    ))
}

/// Whether the name is that of a Dockerfile rather than of a manifest.
pub(super) fn is_dockerfile(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let kdl = file.extension().is_some_and(|extension| extension == "kdl");
    !kdl && (name.contains("Dockerfile") || name.contains("Containerfile"))
}

/// docker's `-f` names a Dockerfile.
fn refuse_dockerfile(file: &Path) -> Result<(), Exit> {
    if !is_dockerfile(file) {
        return Ok(());
    }
    let shown = file.display();
    Err(Exit::usage(format!(
        "`-f {shown}`: a manifest is expected, not a Dockerfile"
    ))
    .with_help(format!(
        "write `dockerfile \"{shown}\"` in a `build` target of imgmake.kdl"
    )))
}

fn absolute(directory: &Path) -> Result<PathBuf, Exit> {
    directory
        .canonicalize()
        .map_err(|error| Exit::usage(format!("cannot work in `{}`: {error}", directory.display())))
}

fn missing(display_path: &str, error: &std::io::Error) -> Exit {
    let exit = Exit::usage(format!(
        "cannot read the manifest `{display_path}`: {}",
        plain(error)
    ));
    match error.kind() {
        std::io::ErrorKind::NotFound => exit.with_help(offer(display_path)),
        _ => exit,
    }
}

/// What would be found where no manifest is.
pub fn offer(display_path: &str) -> String {
    let path = Path::new(display_path);
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let elsewhere = "`-C DIR` selects another directory, `-f FILE` another manifest";
    if path.file_name() != Some(MANIFEST.as_ref()) {
        return elsewhere.to_string();
    }
    let mut offers = Vec::new();
    let dockerfiles = dockerfiles(directory);
    if let Some(first) = dockerfiles.first() {
        let more = match dockerfiles.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        offers.push(format!(
            "`imgmake init` writes one for `{}`{more}",
            first.display()
        ));
    }
    for file in files_of_bake(directory).iter().take(1) {
        offers.push(format!("`imgmake import` writes one for `{file}`"));
    }
    if dockerfiles
        .iter()
        .any(|file| file.as_path() == Path::new("Dockerfile"))
    {
        offers.push("`imgmake build -t NAME .` needs no manifest".to_string());
    }
    if offers.is_empty() {
        offers.push("`imgmake init` writes an example".to_string());
    }
    offers.push(elsewhere.to_string());
    offers.join("; ")
}

fn too_large(display_path: &str) -> Exit {
    Exit::usage(format!(
        "the manifest `{display_path}` is larger than 8 MB, the limit"
    ))
    .with_help("write variables and groups instead of a target for each case")
}

fn text_of(bytes: Vec<u8>, display_path: &str) -> Result<String, Exit> {
    if bytes.len() as u64 > LARGEST_MANIFEST {
        return Err(too_large(display_path));
    }
    String::from_utf8(bytes).map_err(|error| {
        Exit::usage(format!(
            "the manifest `{display_path}` is not text: byte {} is not UTF-8",
            error.utf8_error().valid_up_to() + 1
        ))
    })
}
