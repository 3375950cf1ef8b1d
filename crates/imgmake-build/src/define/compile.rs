//! A definition as the stages that its target reaches, in an order in which each comes after what it needs.
//! Names are resolved here: stages, named contexts, images; ONBUILD triggers of bases become steps.

use std::collections::{BTreeMap, BTreeSet};

use super::arguments::Globals;
use super::base::BaseImages;
use super::definition::ParsedDefinition;
use super::epoch::Epoch;
use super::graph::{Action, Stage, StageGraph, StageStep, Start, at_line};
use super::steps::describe;
use crate::error::{BuildError, Context, Place, Result};
use crate::files::download::with_redacted_sources;
use crate::files::source::Origin;
use crate::request::{
    AlsoStages, BuildDefinition, BuildRequest, NamedContext, RemoteContext, Step,
};
use imgmake_dockerfile::{
    Dockerfile, DockerfileErrors, Escape, Instruction, Located, StageReference, nearest,
    parse_trigger,
};
use imgmake_oci::image::{Platform, Reference};

/// Reads the definition for one platform.
///
/// # Errors
/// Mistakes in it, with file and line; bases that cannot be resolved.
pub fn compile(
    definition: &ParsedDefinition,
    request: &BuildRequest,
    bases: &dyn BaseImages,
    platform: &Platform,
) -> Result<StageGraph> {
    let mut compiler = Compiler {
        request,
        bases,
        platform,
        program: StageGraph {
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
        fetched: Vec::new(),
        depth: 0,
    };
    match (&request.definition, definition.dockerfile()) {
        (BuildDefinition::Dockerfile { stage, .. }, Some((file, parsed))) => {
            compiler.dockerfile(file, parsed, stage.as_deref(), &definition.epoch)?;
        }
        (BuildDefinition::Dockerfile { .. }, None) => {
            unreachable!("the Dockerfile of the request was read and parsed")
        }
        (BuildDefinition::Steps { base, steps }, _) => compiler.steps(base, steps)?,
    }
    Ok(compiler.program)
}

struct Compiler<'a> {
    request: &'a BuildRequest,
    bases: &'a dyn BaseImages,
    platform: &'a Platform,
    program: StageGraph,
    /// Stage of the Dockerfile -> stage of the program.
    by_number: BTreeMap<usize, usize>,
    /// Images and contexts that only `--from` names.
    external: BTreeMap<String, Origin>,
    /// Contexts that are fetched, and the stages that hold them.
    fetched: Vec<(RemoteContext, usize)>,
    /// How many stages are being compiled, each for the one before it.
    depth: usize,
}

/// Stages that are made of each other in one chain, each of which takes a part of the stack.
const DEEPEST: usize = 500;

impl Compiler<'_> {
    fn dockerfile(
        &mut self,
        file: &str,
        parsed: &Dockerfile,
        stage: Option<&str>,
        epoch: &Epoch,
    ) -> Result<()> {
        self.program.file = file.to_string();
        self.program.escape = parsed.directives.escape;
        let target = parsed
            .target(stage)
            .map_err(|error| BuildError::from(error).at(Place::file(file)))?;
        let globals = Globals::of((file, parsed), self.request, self.platform, target)?;
        self.program.globals = globals.values;
        self.program.taken_args = globals.taken;
        self.program.taken_args.extend(epoch.taken.iter().cloned());
        epoch.instead_of(&mut self.program.globals);
        self.check_stages(parsed)?;
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
                .map_err(|error| BuildError::from(error).at(Place::file(file))),
        }
    }

    fn steps(&mut self, base: &str, steps: &[Step]) -> Result<()> {
        self.program.file = "steps".into();
        let (start, platform) = self.start(base, &self.platform.clone())?;
        if let Start::Image(base) = &start {
            let wanted = (base.clone(), platform.clone());
            self.program.bases.insert(0, wanted);
        }
        let context = self.context();
        let steps = steps
            .iter()
            .map(|step| StageStep {
                text: describe(step),
                context: match step {
                    Step::Copy { .. } | Step::Layer(_) => context.clone(),
                    _ => Origin::Context,
                },
                action: Action::Step(step.clone()),
                line: 0,
                is_trigger: false,
                origins: BTreeMap::new(),
            })
            .collect();
        self.program.stages.push(Stage {
            name: String::new(),
            platform,
            start,
            steps,
            line: 0,
        });
        self.program.target = self.program.stages.len() - 1;
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
            let what = "stages that depend on each other in a chain";
            let error = BuildError::limit(what, DEEPEST, "join some of them");
            return Err(at_line(&file, stage.line(), error));
        }
        self.depth += 1;
        let at = |error: BuildError| at_line(&file, stage.line(), error);
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
        let mut compiled = Stage {
            name,
            platform,
            start,
            steps: Vec::new(),
            line: stage.line(),
        };
        if !replaced && !stage.mistakes.is_empty() {
            return Err(BuildError::Dockerfile {
                file,
                errors: DockerfileErrors(stage.mistakes.clone()),
            });
        }
        if !replaced {
            let triggers = self.triggers(&compiled.start, stage.line()).map_err(at)?;
            for (instruction, text, is_trigger) in triggers
                .into_iter()
                .map(|t| {
                    let text = format!("ONBUILD {}", t.text);
                    (t, text, true)
                })
                .chain(
                    stage
                        .instructions
                        .iter()
                        .map(|i| (i.clone(), i.text.clone(), false)),
                )
            {
                let mut step = self.step(parsed, number, instruction, text)?;
                step.is_trigger = is_trigger;
                compiled.steps.push(step);
            }
        }
        self.program.stages.push(compiled);
        let place = self.program.stages.len() - 1;
        self.by_number.insert(number, place);
        self.depth -= 1;
        Ok(place)
    }

    /// What must be right in stages that nothing needs, too, as BuildKit has it: their FROM, and the numbers of
    /// stages in COPY.
    fn check_stages(&self, parsed: &Dockerfile) -> Result<()> {
        for (number, stage) in parsed.stages.iter().enumerate() {
            let at = |line, error| at_line(&self.program.file, line, error);
            let replaced = stage.name().and_then(|name| self.named_context(name));
            let (image, _) = self
                .from(parsed, number)
                .map_err(|error| at(stage.line(), error))?;
            let is_known = image.eq_ignore_ascii_case("scratch")
                || replaced.is_some()
                || parsed.base_stage(&image, number).is_some()
                || self.named_context(&image).is_some();
            if !is_known {
                let reference: Result<Reference, _> = image.parse();
                reference.map_err(|error| at(stage.line(), BuildError::from(error)))?;
            }
            for located in &stage.instructions {
                if let Instruction::Copy(copy) = &located.value
                    && let Some(name) = &copy.from
                    && parsed.stage_reference(name, number) == StageReference::Other
                {
                    self.check_number(parsed, name)
                        .map_err(|error| at(located.first_line, error))?;
                }
            }
        }
        Ok(())
    }

    /// A number never means an image: one stage too few must not pull `library/4`.
    fn check_number(&self, parsed: &Dockerfile, name: &str) -> Result<()> {
        let number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        if number && self.named_context(name).is_none() {
            let last = parsed.stages.len() - 1;
            let help = format!("the last one is {last}");
            return Err(BuildError::not_found(format!("stage {name}"), help));
        }
        Ok(())
    }

    /// The image and the platform of a FROM, without variables.
    fn from(&self, parsed: &Dockerfile, number: usize) -> Result<(String, Platform)> {
        let from = &parsed.stages[number].from.value;
        let escape = self.program.escape;
        let globals = self.program.globals.clone();
        let lookup = |n: &str| globals.get(n).cloned();
        let image = from.expand_image(&lookup, escape)?.text;
        if image.is_empty() {
            let what = format!("`FROM {}`", from.image);
            return Err(BuildError::invalid(what, "the variables in it are empty"));
        }
        let platform = match from.expand_platform(&lookup, escape)? {
            Some(p) if p.text.is_empty() => {
                let written = from.platform.as_deref().unwrap_or("");
                let what = format!("`--platform={written}`");
                return Err(BuildError::invalid(what, "the variables in it are empty"));
            }
            Some(p) => p.text.parse()?,
            None => self.platform.clone(),
        };
        Ok((image, platform))
    }

    fn start_of_stage(&mut self, parsed: &Dockerfile, number: usize) -> Result<(Start, Platform)> {
        let (image, platform) = self.from(parsed, number)?;
        if let Some(base) = parsed.base_stage(&image, number) {
            let base = self.stage(parsed, base)?;
            let platform = self.program.stages[base].platform.clone();
            return Ok((Start::Stage(base), platform));
        }
        self.start_or_near(parsed, &image, &platform)
    }

    /// As [`start`](Self::start): an image that cannot be had may be a stage whose name is misspelt.
    fn start_or_near(
        &mut self,
        parsed: &Dockerfile,
        image: &str,
        platform: &Platform,
    ) -> Result<(Start, Platform)> {
        let started = self.start(image, platform);
        let names = parsed.stages.iter().filter_map(|stage| stage.name());
        match nearest(image, names) {
            Some(near) => started.with_context(|| {
                format!(
                    "stage `{image}` not found (did you mean `{near}`?), so it is used as an image"
                )
            }),
            None => started,
        }
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

    /// What COPY reads without `--from`.
    fn context(&mut self) -> Origin {
        match &self.request.fetched {
            None => Origin::Context,
            Some(fetched) => Origin::Stage(self.fetched("context", &fetched.context.clone())),
        }
    }

    /// The stage that holds the files of a context: fetched once, whoever reads it.
    fn fetched(&mut self, name: &str, context: &RemoteContext) -> usize {
        if let Some((_, stage)) = self.fetched.iter().find(|(known, _)| known == context) {
            return *stage;
        }
        let step = Step::Fetch(context.clone());
        self.program.stages.push(Stage {
            name: name.to_string(),
            platform: self.platform.clone(),
            start: Start::Scratch,
            steps: vec![StageStep {
                text: describe(&step),
                action: Action::Step(step),
                line: 0,
                is_trigger: false,
                origins: BTreeMap::new(),
                context: Origin::Context,
            }],
            line: 0,
        });
        let stage = self.program.stages.len() - 1;
        self.fetched.push((context.clone(), stage));
        stage
    }

    fn start_of_context(
        &mut self,
        name: &str,
        context: &NamedContext,
        platform: &Platform,
    ) -> Result<(Start, Platform)> {
        let start = match context {
            NamedContext::Target(root) => Start::Image(self.bases.built(name, root, platform)?),
            NamedContext::Image(reference) => Start::Image(self.bases.image(reference, platform)?),
            NamedContext::Path(directory) => Start::Directory(directory.clone()),
            NamedContext::Remote(remote) => Start::Stage(self.fetched(name, remote)),
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
    ) -> Result<StageStep> {
        let names: Vec<String> = match &instruction.value {
            Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
            Instruction::Run(run) => run
                .mounts
                .iter()
                .filter_map(|m| m.from().map(str::to_string))
                .collect(),
            _ => Vec::new(),
        };
        let reads_context = match &instruction.value {
            Instruction::Copy(copy) => copy.from.is_none() && copy.files.paths().next().is_some(),
            Instruction::Add(_) => true,
            Instruction::Run(run) => !run.mounts.is_empty(),
            _ => false,
        };
        let context = match reads_context {
            true => self.context(),
            false => Origin::Context,
        };
        let mut origins = BTreeMap::new();
        for name in names {
            let origin = self
                .origin(parsed, number, &name)
                .map_err(|e| at_line(&self.program.file, instruction.first_line, e))?;
            origins.insert(name, origin);
        }
        let text = match &instruction.value {
            Instruction::Add(add) => {
                with_redacted_sources(&text, add.files.paths(), &add.files.destination)
            }
            _ => text,
        };
        Ok(StageStep {
            line: instruction.first_line,
            text,
            is_trigger: false,
            action: Action::Instruction(instruction),
            origins,
            context,
        })
    }

    /// What `--from=name` means in a stage.
    fn origin(&mut self, parsed: &Dockerfile, number: usize, name: &str) -> Result<Origin> {
        match parsed.stage_reference(name, number) {
            StageReference::Stage(stage) => return Ok(Origin::Stage(self.stage(parsed, stage)?)),
            StageReference::NotYet(stage) if stage == number => {
                let why = "it is this stage itself: a stage cannot copy from itself";
                return Err(BuildError::invalid(format!("`from={name}`"), why));
            }
            StageReference::NotYet(_) => {
                let why = "it is a later stage: move it above this one";
                return Err(BuildError::invalid(format!("`from={name}`"), why));
            }
            StageReference::Other => {}
        }
        self.check_number(parsed, name)?;
        if let Some(origin) = self.external.get(name) {
            return Ok(origin.clone());
        }
        let platform = self.platform.clone();
        let origin = match self.start_or_near(parsed, name, &platform)? {
            (Start::Directory(directory), _) => Origin::Directory(directory),
            (start, platform) => {
                self.program.stages.push(Stage {
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
