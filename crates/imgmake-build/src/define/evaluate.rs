//! One step after the other: variables replaced, configuration applied. What needs files is handed back as
//! [`Todo`], so that a dry walk (keys) and a build evaluate a stage in exactly the same way.

use std::collections::BTreeSet;

use crate::define::chmod;
use crate::define::config::{Configuring, DEFAULT_PATH, created};
use crate::define::graph::{Action, Stage, StageGraph, StageStep, Start};
use crate::define::state::ImageState;
use crate::define::steps::{Meaning, meaning};
use crate::error::{BuildError, Context, Result};
use crate::files::copy::owner::UnknownNames;
use crate::files::download::{self, Download};
use crate::files::git::GitSource;
use crate::files::patterns::Patterns;
use crate::files::source::{
    CopyMode, FileStep, FileWork, Operation, Origin, Source, TreeSource, inline, of_copy,
};
use crate::request::{BuildRequest, Step};
use imgmake_dockerfile::{self as dockerfile, ArgDeclaration, Instruction, Run};
use imgmake_oci::image::ImageConfig;
use imgmake_oci::layer::Chmod;

/// What is left to do once the configuration is up to date.
pub enum Todo {
    Nothing,
    Files(FileWork),
    Run(Box<Run>),
}

/// The state that a stage begins with, but for a directory's files.
pub fn start(stage: &Stage, base: Option<&ImageState>, epoch: Option<i64>) -> ImageState {
    let mut state = match (&stage.start, base) {
        (Start::Stage(_), Some(base)) => {
            let mut state = base.clone();
            state.config.image.config.on_build.clear();
            state.config.cmd_is_own = false;
            state.begin_again();
            state
        }
        (Start::Image(image), _) => {
            let mut config = image.config.clone();
            config.created = None;
            config.config.on_build.clear();
            ImageState::new(
                configuring(config, epoch),
                image.layers.clone(),
                stage.platform.clone(),
            )
        }
        _ => {
            let mut config = ImageConfig::scratch(&stage.platform);
            config.config.working_dir = "/".into();
            ImageState::new(
                configuring(config, epoch),
                Vec::new(),
                stage.platform.clone(),
            )
        }
    };
    let config = &mut state.config.image.config;
    if config.env_value("PATH").is_none() {
        config.set_env("PATH", DEFAULT_PATH);
    }
    state
}

fn configuring(image: ImageConfig, epoch: Option<i64>) -> Configuring {
    Configuring {
        image,
        cmd_is_own: false,
        created: created(epoch),
    }
}

/// Evaluates one step.
///
/// # Errors
/// What cannot be expanded or is not supported; the caller adds file and line.
pub fn step(
    state: &mut ImageState,
    step: &StageStep,
    program: &StageGraph,
    request: &BuildRequest,
    taken_args: &mut BTreeSet<String>,
) -> Result<Todo> {
    let mut todo = evaluated(state, step, program, request, taken_args)?;
    if let Todo::Files(work) = &mut todo {
        for file_step in &mut work.steps {
            if let Operation::Copy {
                source: Source::Tree(tree),
                ..
            } = &mut file_step.operation
                && tree.from == Origin::Context
            {
                tree.from = step.context.clone();
            }
        }
    }
    Ok(todo)
}

fn evaluated(
    state: &mut ImageState,
    step: &StageStep,
    program: &StageGraph,
    request: &BuildRequest,
    taken_args: &mut BTreeSet<String>,
) -> Result<Todo> {
    match &step.action {
        Action::Step(written) => {
            let meant = meaning(written, &|path: &str| state.config.absolute(path))?;
            match meant {
                Meaning::Files(steps) => Ok(Todo::Files(FileWork {
                    steps,
                    link: false,
                    unknown_names: UnknownNames::Refused,
                    is_one_instruction: false,
                    is_context: matches!(written, Step::Fetch(_)),
                    history: format!("{} # imgmake", step.text),
                })),
                Meaning::Instruction(instruction) => instruct(state, instruction, step),
            }
        }
        Action::Instruction(located) => {
            if let Instruction::Arg(declarations) = &located.value {
                args(state, declarations, program, request, taken_args)?;
                return Ok(Todo::Nothing);
            }
            let variables = state.clone_variables();
            let expanded = located.expand(&|name| variables.get(name).cloned(), program.escape)?;
            instruct(state, expanded.instruction, step)
        }
    }
}

fn instruct(state: &mut ImageState, instruction: Instruction, step: &StageStep) -> Result<Todo> {
    if state.config.apply(&instruction)? {
        if let Instruction::Env(pairs) = &instruction {
            for pair in pairs {
                state.supersede(&pair.key);
            }
        }
        return Ok(Todo::Nothing);
    }
    match instruction {
        Instruction::Workdir(path) => {
            let path = state.config.workdir(&path);
            let user = &state.config.image.config.user;
            let directory = FileStep {
                owner: (!user.is_empty()).then(|| user.clone()),
                ..FileStep::plain(Operation::Directory {
                    path: path.clone(),
                    mode: None,
                })
            };
            Ok(Todo::Files(FileWork {
                steps: vec![directory],
                link: false,
                unknown_names: UnknownNames::Root,
                is_one_instruction: true,
                is_context: false,
                history: format!("WORKDIR {path}"),
            }))
        }
        Instruction::Copy(copy) => copied(state, &copy, step).map(Todo::Files),
        Instruction::Add(add) => added(state, &add).map(Todo::Files),
        Instruction::Run(run) => Ok(Todo::Run(Box::new(run))),
        other => Err(BuildError::unsupported(
            format!("{} here", other.name()),
            "",
        )),
    }
}

fn args(
    state: &mut ImageState,
    declarations: &[ArgDeclaration],
    program: &StageGraph,
    request: &BuildRequest,
    taken: &mut BTreeSet<String>,
) -> Result<()> {
    let mut texts = Vec::new();
    for declaration in declarations {
        let name = &declaration.name;
        let value = match request.args.get(name) {
            Some(value) => {
                taken.insert(name.clone());
                Some(value.clone())
            }
            None => {
                let variables = state.clone_variables();
                declaration
                    .expand_default(&|n| variables.get(n).cloned(), program.escape)?
                    .map(|e| e.text)
                    .or_else(|| program.globals.get(name).cloned())
            }
        };
        texts.push(match &value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        state.declare(name, value);
    }
    state.config.history(
        format!("ARG {}", texts.join(" ")),
        crate::define::config::HistoryKind::Empty,
    );
    Ok(())
}

fn copied(state: &ImageState, copy: &dockerfile::Copy, step: &StageStep) -> Result<FileWork> {
    let dockerfile::Copy {
        files,
        from,
        chown,
        chmod,
        link,
        parents,
        exclude,
    } = copy;
    let flags = flags_text(chown.as_deref(), chmod.as_deref());
    let chmod = parsed_chmod(chmod.as_deref())?;
    let exclude = Patterns::new(exclude).context("--exclude")?;
    let owner = chown.clone().filter(|o| !o.is_empty());
    let from = match from {
        Some(name) => step
            .origins
            .get(name)
            .ok_or_else(|| BuildError::internal("every --from was resolved before"))?,
        None => &Origin::Context,
    };
    let file_step = |operation| FileStep {
        operation,
        owner: owner.clone(),
        chmod: chmod.clone(),
        exclude: exclude.clone(),
    };
    let operations = of_copy(copy, from, |to| state.config.absolute(to));
    let mut history = String::from("COPY");
    if *parents {
        history += " --parents";
    }
    history += &flags;
    Ok(FileWork {
        steps: operations.into_iter().map(file_step).collect(),
        // BuildKit links only when no mode is to be set.
        link: *link && chmod.is_none(),
        unknown_names: UnknownNames::Root,
        is_one_instruction: true,
        is_context: false,
        history: history + &sources_text(files),
    })
}

fn added(state: &ImageState, add: &dockerfile::Add) -> Result<FileWork> {
    let dockerfile::Add {
        files,
        chown,
        chmod,
        checksum,
        link,
        // What belongs to a git source takes it from the instruction.
        keep_git_dir: _,
        unpack,
        exclude,
    } = add;
    let flags = flags_text(chown.as_deref(), chmod.as_deref());
    let chmod = parsed_chmod(chmod.as_deref())?;
    let exclude = Patterns::new(exclude).context("--exclude")?;
    let owner = chown.clone().filter(|o| !o.is_empty());
    let to = state.config.absolute(&files.destination);
    // In the order in which they are written: an archive may make the directory that the next one goes into.
    let mut sources = Vec::new();
    let mut remote = 0;
    for source in files.paths() {
        if download::is_git(source) {
            remote += 1;
            sources.push(Source::Git(GitSource::parse(
                source,
                add.keep_git_dir,
                add.checksum.as_deref(),
            )?));
        } else if download::is_url(source) {
            remote += 1;
            sources.push(Source::Download(Download::new(source, add)?));
        } else if let Some(Source::Tree(tree)) = sources.last_mut() {
            tree.paths.push(source.to_string());
        } else {
            sources.push(Source::Tree(TreeSource {
                from: Origin::Context,
                paths: vec![source.to_string()],
                mode: match unpack {
                    Some(false) => CopyMode::Plain,
                    _ => CopyMode::Unpack,
                },
            }));
        }
    }
    if checksum.is_some() && (remote != 1 || sources.len() != 1) {
        let why = "it needs exactly one http(s) or git source";
        return Err(BuildError::invalid("--checksum", why));
    }
    let copy = |source| Operation::Copy {
        source,
        to: to.clone(),
    };
    let mut operations: Vec<Operation> = sources.into_iter().map(copy).collect();
    operations.extend(inline(files, &to));
    let steps = operations
        .into_iter()
        .map(|operation| FileStep {
            operation,
            owner: owner.clone(),
            chmod: chmod.clone(),
            exclude: exclude.clone(),
        })
        .collect();
    Ok(FileWork {
        steps,
        link: *link && chmod.is_none(),
        unknown_names: UnknownNames::Root,
        is_one_instruction: true,
        is_context: false,
        history: format!("ADD{flags}{}", sources_text(files)),
    })
}

fn parsed_chmod(text: Option<&str>) -> Result<Option<Chmod>> {
    text.filter(|t| !t.is_empty())
        .map(chmod::parse)
        .transpose()
        .context("--chmod")
}

fn flags_text(chown: Option<&str>, chmod: Option<&str>) -> String {
    let flag = |name: &str, value: Option<&str>| match value {
        Some(value) if !value.is_empty() => format!(" --{name}={value}"),
        _ => String::new(),
    };
    flag("chown", chown) + &flag("chmod", chmod)
}

fn sources_text(files: &dockerfile::Files) -> String {
    let mut text = String::new();
    for path in files.paths() {
        text += &format!(" {path}");
    }
    for heredoc in files.inline() {
        text += &format!(" <<{}", heredoc.name);
    }
    text + " " + &files.destination + " # buildkit"
}
