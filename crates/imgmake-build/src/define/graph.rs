//! A recipe as the stages that its target reaches, in an order in which each comes after what it needs.
//! Names are resolved here: stages, named contexts, images; ONBUILD triggers of bases become steps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};

use crate::base::image::{BaseImage, Bases};
use crate::{AlsoStages, BuildRequest, NamedContext, Step};
use imgmake_dockerfile::{
    ArgDeclaration, Dockerfile, Escape, Instruction, Located, PLATFORM_ARGS, StageReference,
    parse_trigger,
};
use imgmake_oci::image::{Platform, Reference};

/// What to execute for one platform.
pub struct Program {
    /// In order: everything that a stage needs stands before it.
    pub stages: Vec<ProgramStage>,
    pub target: usize,
    /// The Dockerfile as messages name it; empty for steps.
    pub file: String,
    pub escape: Escape,
    /// Global and platform ARGs: what a stage's `ARG name` without a value takes.
    pub globals: BTreeMap<String, String>,
    /// Build arguments that some ARG took.
    pub taken_args: BTreeSet<String>,
    /// Images that reached stages begin with, by the stage's number in the Dockerfile, and the platform wanted.
    pub bases: BTreeMap<usize, (Arc<BaseImage>, Platform)>,
}

pub struct ProgramStage {
    /// `build`, `stage-1`, or the image's name for `COPY --from=image`.
    pub name: String,
    pub platform: Platform,
    pub start: Start,
    pub steps: Vec<ProgramStep>,
    pub line: usize,
}

pub enum Start {
    Scratch,
    /// A stage of the same program.
    Stage(usize),
    Image(Arc<BaseImage>),
    /// A named context that is a directory: its files are the root.
    Directory(PathBuf),
}

/// One thing to do.
pub struct ProgramStep {
    pub action: Action,
    pub line: usize,
    /// As shown to people.
    pub text: String,
    /// `--from` names of COPY and of mounts.
    pub origins: BTreeMap<String, Origin>,
}

impl ProgramStep {
    /// An error of this step, at its line. A trigger's line is the FROM that brought it.
    pub fn at(&self, file: &str, error: anyhow::Error) -> anyhow::Error {
        let told = error.to_string();
        let error = match self.text.starts_with("ONBUILD ") && !told.contains(&self.text) {
            true => error.context(format!("`{}`", self.text)),
            false => error,
        };
        at_line(file, self.line, error)
    }

    /// Whether the step looks at the files below it.
    pub fn reads_below(&self) -> bool {
        match &self.action {
            Action::Instruction(located) => match &located.value {
                Instruction::Copy(copy) => !copy.link,
                Instruction::Add(add) => !add.link,
                Instruction::Run(_) | Instruction::Workdir(_) => true,
                _ => false,
            },
            Action::Step(step) => matches!(
                step,
                Step::Copy { .. }
                    | Step::Layer(_)
                    | Step::File { .. }
                    | Step::Symlink { .. }
                    | Step::Mkdir { .. }
                    | Step::Run { .. }
                    | Step::Workdir(_)
            ),
        }
    }
}

pub enum Action {
    Instruction(Located<Instruction>),
    /// A step of the manifest, which has no variables.
    Step(Step),
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Stage(usize),
    Directory(PathBuf),
}

impl Origin {
    pub fn stage(&self) -> Option<usize> {
        match self {
            Origin::Stage(number) => Some(*number),
            Origin::Directory(_) => None,
        }
    }
}

/// An error at a line of the Dockerfile.
pub fn at_line(file: &str, line: usize, error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    let told = error.to_string();
    if told.strip_prefix(file).is_some_and(|r| r.starts_with(':')) {
        // A stage that this line needs: its own line says more.
        return error;
    }
    error.context(match line {
        0 => file.to_string(),
        line => format!("{file}:{line}"),
    })
}

/// Reads the recipe for one platform.
///
/// # Errors
/// Mistakes in it, with file and line; bases that cannot be resolved.
pub fn compile(
    recipe: &Source<'_>,
    request: &BuildRequest,
    bases: &Bases<'_>,
    platform: &Platform,
) -> Result<Program> {
    let mut compiler = Compiler {
        request,
        bases,
        platform,
        program: Program {
            stages: Vec::new(),
            target: 0,
            file: String::new(),
            escape: Escape::default(),
            globals: BTreeMap::new(),
            taken_args: BTreeSet::new(),
            bases: BTreeMap::new(),
        },
        by_number: BTreeMap::new(),
        external: BTreeMap::new(),
        depth: 0,
    };
    match recipe {
        Source::Dockerfile {
            file,
            parsed,
            stage,
        } => compiler.dockerfile(file, parsed, *stage)?,
        Source::Steps { base, steps } => compiler.steps(base, steps)?,
    }
    Ok(compiler.program)
}

/// A recipe, parsed.
pub enum Source<'a> {
    Dockerfile {
        file: String,
        parsed: &'a Dockerfile,
        stage: Option<&'a str>,
    },
    Steps {
        base: &'a str,
        steps: &'a [Step],
    },
}

struct Compiler<'a> {
    request: &'a BuildRequest,
    bases: &'a Bases<'a>,
    platform: &'a Platform,
    program: Program,
    /// Stage of the Dockerfile -> stage of the program.
    by_number: BTreeMap<usize, usize>,
    /// Images and contexts that only `--from` names.
    external: BTreeMap<String, Origin>,
    /// How many stages are being compiled, each for the one before it.
    depth: usize,
}

/// Stages that are made of each other in one chain, each of which takes a part of the stack.
const DEEPEST: usize = 500;

impl Compiler<'_> {
    fn dockerfile(&mut self, file: &str, parsed: &Dockerfile, stage: Option<&str>) -> Result<()> {
        self.program.file = file.to_string();
        self.program.escape = parsed.directives.escape;
        let target = parsed
            .target(stage)
            .map_err(|e| anyhow!("{file}: {}", crate::define::definition::mistake(&e)))?;
        self.globals(parsed, target)?;
        self.program.target = self.stage(parsed, target)?;
        for stage in self.also(file, parsed, target)? {
            self.stage(parsed, stage)?;
        }
        Ok(())
    }

    fn also(&self, file: &str, parsed: &Dockerfile, target: usize) -> Result<Vec<usize>> {
        match &self.request.also {
            AlsoStages::None => Ok(Vec::new()),
            AlsoStages::Earlier => Ok((0..target).collect()),
            AlsoStages::Named(names) => names
                .iter()
                .map(|name| parsed.target(Some(name)))
                .collect::<Result<_, _>>()
                .map_err(|e| anyhow!("{file}: {}", crate::define::definition::mistake(&e))),
        }
    }

    fn steps(&mut self, base: &str, steps: &[Step]) -> Result<()> {
        self.program.file = "steps".into();
        let (start, platform) = self.start(base, &self.platform.clone())?;
        let steps = steps
            .iter()
            .map(|step| ProgramStep {
                text: crate::define::steps::describe(step),
                action: Action::Step(step.clone()),
                line: 0,
                origins: BTreeMap::new(),
            })
            .collect();
        self.program.stages.push(ProgramStage {
            name: String::new(),
            platform,
            start,
            steps,
            line: 0,
        });
        self.program.target = self.program.stages.len() - 1;
        Ok(())
    }

    /// Platform arguments, then the ARGs before the first FROM, each seeing those before it.
    fn globals(&mut self, parsed: &Dockerfile, target: usize) -> Result<()> {
        let stage = parsed.stages[target].name().unwrap_or("default");
        for (name, value) in platform_args(self.platform, stage) {
            let value = self.request.args.get(name).cloned().unwrap_or(value);
            self.program.globals.insert(name.to_string(), value);
        }
        for located in &parsed.global_args {
            for declaration in &located.value {
                self.global(declaration)
                    .map_err(|e| at_line(&self.program.file, located.first_line, e))?;
            }
        }
        Ok(())
    }

    fn global(&mut self, declaration: &ArgDeclaration) -> Result<()> {
        let name = &declaration.name;
        let value = match self.request.args.get(name) {
            Some(value) => {
                self.program.taken_args.insert(name.clone());
                Some(value.clone())
            }
            None => {
                let globals = &self.program.globals;
                declaration
                    .expand_default(&|n| globals.get(n).cloned(), self.program.escape)?
                    .map(|e| e.text)
            }
        };
        if let Some(value) = value {
            self.program.globals.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Compiles a stage and what it needs; gives its place in the program.
    fn stage(&mut self, parsed: &Dockerfile, number: usize) -> Result<usize> {
        if let Some(done) = self.by_number.get(&number) {
            return Ok(*done);
        }
        let stage = &parsed.stages[number];
        let file = self.program.file.clone();
        if self.depth == DEEPEST {
            let error = anyhow!(
                "more than {DEEPEST} stages are made of each other, one after the other; join some of them"
            );
            return Err(at_line(&file, stage.line(), error));
        }
        self.depth += 1;
        let at = |e: anyhow::Error| at_line(&file, stage.line(), e);
        let named = stage
            .name()
            .and_then(|name| self.named_context(name).cloned());
        let replaced = named.is_some();
        let (start, platform) = match named {
            Some(context) => {
                self.start_of_context(stage.name().unwrap_or(""), &context, self.platform)
            }
            None => self.start_of_stage(parsed, number),
        }
        .map_err(at)?;
        if let Start::Image(base) = &start {
            let wanted = (base.clone(), platform.clone());
            self.program.bases.insert(number, wanted);
        }
        let name = match stage.name() {
            Some(name) => name.to_string(),
            None if parsed.stages.len() == 1 => String::new(),
            None => format!("stage-{number}"),
        };
        let mut compiled = ProgramStage {
            name,
            platform,
            start,
            steps: Vec::new(),
            line: stage.line(),
        };
        if !replaced {
            let triggers = self.triggers(&compiled.start, stage.line()).map_err(at)?;
            for (instruction, text) in triggers
                .into_iter()
                .map(|t| {
                    let text = format!("ONBUILD {}", t.text);
                    (t, text)
                })
                .chain(
                    stage
                        .instructions
                        .iter()
                        .map(|i| (i.clone(), i.text.clone())),
                )
            {
                let step = self.step(parsed, number, instruction, text)?;
                compiled.steps.push(step);
            }
        }
        self.program.stages.push(compiled);
        let place = self.program.stages.len() - 1;
        self.by_number.insert(number, place);
        self.depth -= 1;
        Ok(place)
    }

    fn start_of_stage(&mut self, parsed: &Dockerfile, number: usize) -> Result<(Start, Platform)> {
        let from = &parsed.stages[number].from.value;
        let escape = self.program.escape;
        let globals = self.program.globals.clone();
        let lookup = |n: &str| globals.get(n).cloned();
        let image = from.expand_image(&lookup, escape)?.text;
        if image.is_empty() {
            bail!(
                "`FROM {}` names no image: a variable in it is empty",
                from.image
            );
        }
        let platform = match from.expand_platform(&lookup, escape)? {
            Some(p) if p.text.is_empty() => bail!(
                "`--platform={}` is empty",
                from.platform.as_deref().unwrap_or("")
            ),
            Some(p) => p.text.parse()?,
            None => self.platform.clone(),
        };
        if let Some(base) = parsed.base_stage(&image, number) {
            let base = self.stage(parsed, base)?;
            let platform = self.program.stages[base].platform.clone();
            return Ok((Start::Stage(base), platform));
        }
        self.start(&image, &platform)
    }

    /// What an image name begins with: nothing, a named context, an image.
    fn start(&mut self, image: &str, platform: &Platform) -> Result<(Start, Platform)> {
        if image.eq_ignore_ascii_case("scratch") {
            return Ok((Start::Scratch, platform.clone()));
        }
        if let Some(context) = self.named_context(image).cloned() {
            return self.start_of_context(image, &context, platform);
        }
        let reference: Reference = image.parse()?;
        let base = self.bases.image(&reference, platform)?;
        Ok((Start::Image(base), platform.clone()))
    }

    fn start_of_context(
        &self,
        name: &str,
        context: &NamedContext,
        platform: &Platform,
    ) -> Result<(Start, Platform)> {
        let start = match context {
            NamedContext::Target(root) => Start::Image(self.bases.built(name, root, platform)?),
            NamedContext::Image(reference) => Start::Image(self.bases.image(reference, platform)?),
            NamedContext::Path(directory) => Start::Directory(directory.clone()),
        };
        Ok((start, platform.clone()))
    }

    /// `alpine`, `alpine:latest` and `docker.io/library/alpine` name the same context.
    fn named_context(&self, name: &str) -> Option<&NamedContext> {
        let contexts = &self.request.contexts;
        contexts.get(name).or_else(|| {
            let familiar = |text: &str| {
                let full = text.parse::<Reference>().ok()?.familiar();
                Some(full.strip_suffix(":latest").unwrap_or(&full).to_string())
            };
            let wanted = familiar(name)?;
            contexts
                .iter()
                .find(|(n, _)| {
                    n.eq_ignore_ascii_case(name) || familiar(n).as_ref() == Some(&wanted)
                })
                .map(|(_, c)| c)
        })
    }

    /// ONBUILD instructions of the base, as instructions of this stage.
    fn triggers(&self, start: &Start, line: usize) -> Result<Vec<Located<Instruction>>> {
        let texts: Vec<String> = match start {
            Start::Image(base) => base.config.config.on_build.clone(),
            Start::Stage(base) => self.program.stages[*base]
                .steps
                .iter()
                .filter_map(|step| match &step.action {
                    Action::Instruction(i) => match &i.value {
                        Instruction::Onbuild(onbuild) => Some(onbuild.trigger.clone()),
                        _ => None,
                    },
                    Action::Step(_) => None,
                })
                .collect(),
            Start::Scratch | Start::Directory(_) => Vec::new(),
        };
        texts
            .iter()
            .map(|text| {
                let mut parsed = parse_trigger(text)
                    .with_context(|| format!("the base's ONBUILD trigger `{text}`"))?;
                (parsed.first_line, parsed.last_line) = (line, line);
                Ok(parsed)
            })
            .collect()
    }

    fn step(
        &mut self,
        parsed: &Dockerfile,
        number: usize,
        instruction: Located<Instruction>,
        text: String,
    ) -> Result<ProgramStep> {
        let names: Vec<String> = match &instruction.value {
            Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
            Instruction::Run(run) => run
                .mounts
                .iter()
                .filter_map(|m| m.from().map(str::to_string))
                .collect(),
            _ => Vec::new(),
        };
        let mut origins = BTreeMap::new();
        for name in names {
            let origin = self
                .origin(parsed, number, &name)
                .map_err(|e| at_line(&self.program.file, instruction.first_line, e))?;
            origins.insert(name, origin);
        }
        Ok(ProgramStep {
            line: instruction.first_line,
            text,
            action: Action::Instruction(instruction),
            origins,
        })
    }

    /// What `--from=name` means in a stage.
    fn origin(&mut self, parsed: &Dockerfile, number: usize, name: &str) -> Result<Origin> {
        match parsed.stage_reference(name, number) {
            StageReference::Stage(stage) => return Ok(Origin::Stage(self.stage(parsed, stage)?)),
            StageReference::NotYet(stage) if stage == number => {
                bail!("`from={name}` is this very stage: it has nothing to copy from yet")
            }
            StageReference::NotYet(_) => {
                bail!("`from={name}` is a later stage: move it above this one")
            }
            StageReference::Other => {}
        }
        // A number never means an image: one stage too few must not pull `library/4`.
        let number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        if number && self.named_context(name).is_none() {
            let last = parsed.stages.len() - 1;
            bail!("`from={name}`: there is no stage of that number, the last one is {last}")
        }
        if let Some(known) = self.external.get(name) {
            return Ok(known.clone());
        }
        let origin = match self.start(name, &self.platform.clone())? {
            (Start::Directory(directory), _) => Origin::Directory(directory),
            (start, platform) => {
                self.program.stages.push(ProgramStage {
                    name: name.to_string(),
                    platform,
                    start,
                    steps: Vec::new(),
                    line: 0,
                });
                Origin::Stage(self.program.stages.len() - 1)
            }
        };
        self.external.insert(name.to_string(), origin.clone());
        Ok(origin)
    }
}

fn platform_args(target: &Platform, stage: &str) -> Vec<(&'static str, String)> {
    let host = Platform::host();
    PLATFORM_ARGS
        .into_iter()
        .map(|name| {
            let platform = if name.starts_with("BUILD") {
                &host
            } else {
                target
            };
            let value = match name
                .trim_start_matches("BUILD")
                .trim_start_matches("TARGET")
            {
                "PLATFORM" => platform.to_string(),
                "OS" => platform.os.clone(),
                "ARCH" => platform.architecture.clone(),
                "VARIANT" => platform.variant.clone().unwrap_or_default(),
                _ => stage.to_string(),
            };
            (name, value)
        })
        .collect()
}

/// A path as messages show it: relative to the working directory where that is shorter.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    here.and_then(|h| path.strip_prefix(&h).ok().map(Path::to_path_buf))
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or_else(|| path.to_path_buf())
        .display()
        .to_string()
}
