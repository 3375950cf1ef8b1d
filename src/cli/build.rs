//! `build`: the build targets of the manifest, or, with docker's flags and a directory, one
//! image without a manifest.

use std::path::Path;

use super::args::{BuildArgs, Global, RunArgs};
use super::environment::Environment;
use super::output::{print, tell};
use super::project::{self, MANIFEST, is_dockerfile};
use super::trust::open_store;
use super::{plan, run};
use crate::exit::Exit;
use crate::output_file::write_whole;
use imgmake_compat::import::docker::{self, DockerBuild};
use imgmake_compat::import::kdl::Written;
use imgmake_core::manifest::{UNWRITTEN, remote_kind};
use imgmake_guard::printable::{self, Colors};

pub fn build(global: &Global, args: &BuildArgs, environment: &Environment) -> Result<u8, Exit> {
    let Some(directory) = directory(global, args)? else {
        no_manifest(global, args)?;
        let mut run = args.run.clone();
        run.targets.insert(0, "build".to_string());
        return plan::or_run(global, &run, environment);
    };
    if global.source.is_some() {
        return Err(Exit::usage(
            "`--source` brings a manifest, and a directory is built without one",
        ));
    }
    let written = docker::manifest(&docker_build(global, args, directory, environment));
    let written = written.map_err(|mistake| {
        let exit = Exit::usage(&mistake.message);
        match mistake.help {
            Some(help) => exit.with_help(help),
            None => exit,
        }
    })?;
    let missing = args.build_args.iter().filter(|arg| {
        let is_alone = !arg.contains('=');
        let is_given = || {
            let others = args.build_args.iter();
            let mut names = others.filter_map(|other| Some(other.split_once('=')?.0));
            names.any(|name| name == *arg) || environment.get(arg).is_some()
        };
        is_alone && args.write && !is_given()
    });
    let missing = missing.map(|name| {
        format!(
            "`--build-arg {name}`: the environment has no `{name}`, and the manifest leaves it out"
        )
    });
    for note in written.notes.iter().cloned().chain(missing) {
        tell(format!("note: {note}"));
    }
    let run = RunArgs {
        targets: vec!["*".to_string()],
        ..args.run.clone()
    };
    if args.write {
        return write(global, &written, &run, environment);
    }
    let base = global.directory.as_deref().unwrap_or(Path::new("."));
    // What is remembered of it ends with it; steps are kept in the store.
    let store = open_store(global, environment)?;
    let memory = store.temporary_dir()?;
    let loaded = project::of_text(
        global,
        environment,
        base,
        UNWRITTEN,
        &written.text,
        run.network,
    )?;
    run::in_memory(&loaded.remembering(memory), global, &run, environment)
}

/// Writes the manifest, and does what it says.
fn write(
    global: &Global,
    written: &Written,
    run: &RunArgs,
    environment: &Environment,
) -> Result<u8, Exit> {
    let base = global.directory.as_deref().unwrap_or(Path::new("."));
    let path = base.join(MANIFEST);
    if path.exists() {
        let message = format!("`{}` exists already", path.display());
        return Err(Exit::usage(message).with_help("without `--write`, only the image is built"));
    }
    write_whole(&path, written.text.as_bytes())?;
    print(&format!("wrote {}\n", path.display()))?;
    let global = Global {
        file: MANIFEST.into(),
        ..global.clone()
    };
    plan::or_run(&global, run, environment)
}

/// The directory to build, when docker's way of writing is meant: one of its flags is there, or a path
/// in place of targets.
fn directory<'a>(global: &Global, args: &'a BuildArgs) -> Result<Option<&'a str>, Exit> {
    let is_path = |word: &String| {
        let word = word.as_str();
        [".", ".."].contains(&word)
            || word.ends_with('/')
            || ["./", "../", "/"]
                .iter()
                .any(|start| word.starts_with(start))
            || word.starts_with("file://")
            || remote_kind(word).is_some()
    };
    let flag = args
        .flag()
        .or_else(|| is_dockerfile(&global.file).then_some("-f"));
    let targets = &args.run.targets;
    if flag.is_none() && !targets.iter().any(is_path) {
        return Ok(None);
    }
    match &targets[..] {
        [directory] => Ok(Some(directory)),
        [] => {
            let flag = flag.unwrap_or_default();
            let help = match flag {
                "--build-arg" => {
                    "or, once for a target of the manifest, `--set 'TARGET.args.NAME=VALUE'`"
                }
                "--platform" => {
                    "or, once for the targets of the manifest, `--set '*.platforms=linux/arm64'`"
                }
                "--push" => "`imgmake push` runs the `push` targets of the manifest",
                "--load" => "`imgmake load` runs the targets of the manifest that have `load`",
                _ => "`imgmake build` without docker's flags builds the targets of the manifest",
            };
            let file = match global.file.to_str() {
                Some(MANIFEST) | None => "",
                Some(_) => " -f FILE",
            };
            let message = format!("`{flag}` needs the directory to build");
            Err(Exit::usage(message)
                .with_help(format!("write `imgmake build {flag} …{file} DIR`; {help}")))
        }
        [_, second, ..] => Err(
            Exit::usage(format!("`{second}`: only one directory can be built"))
                .with_help("targets of a manifest are built without docker's flags"),
        ),
    }
}

/// Where no manifest is, a word is no target of it: docker's users mean a directory.
fn no_manifest(global: &Global, args: &BuildArgs) -> Result<(), Exit> {
    let Some(word) = args.run.targets.first() else {
        return Ok(());
    };
    if global.file != Path::new(MANIFEST) || project::manifest_path(global).exists() {
        return Ok(());
    }
    let base = global.directory.as_deref().unwrap_or(Path::new("."));
    let word = printable::line(word, Colors::Removed);
    Err(match base.join(&*word).is_dir() {
        true => Exit::usage(format!(
            "there is no `{MANIFEST}`, so `{word}` is not a target"
        ))
        .with_help(format!("`imgmake build ./{word}` builds the directory")),
        false => Exit::usage(format!(
            "there is no `{MANIFEST}`, so `{word}` is not a target, and it is not a directory"
        ))
        .with_help(project::offer(&base.join(MANIFEST).to_string_lossy())),
    })
}

fn docker_build(
    global: &Global,
    args: &BuildArgs,
    directory: &str,
    environment: &Environment,
) -> DockerBuild {
    let named = global.file.to_string_lossy().into_owned();
    // A name alone is whatever the environment says, and nothing where it says nothing. What is in the
    // environment is in no file.
    let given = |arg: &String| match (arg.contains('='), environment.get(arg)) {
        (true, _) => Some(arg.clone()),
        (false, Some(_)) if args.write => Some(arg.clone()),
        (false, value) => value.map(|value| format!("{arg}={value}")),
    };
    DockerBuild {
        context: directory.to_string(),
        dockerfile: Some(named).filter(|file| file != MANIFEST),
        tags: args.tags.clone(),
        args: args.build_args.iter().filter_map(given).collect(),
        target: args.target.clone(),
        platforms: args.platforms.clone(),
        labels: args.labels.clone(),
        annotations: args.annotations.clone(),
        secrets: args.secrets.clone(),
        ssh: args.ssh.clone(),
        add_hosts: args.add_hosts.clone(),
        contexts: args.build_contexts.clone(),
        outputs: args.outputs.clone(),
        push: args.push,
        load: args.load,
    }
}
