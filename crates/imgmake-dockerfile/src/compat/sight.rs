//! A Dockerfile as differences look at it: its steps in order, each with what was set before it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ast::*;

/// Where in a Dockerfile, and which words there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub words: String,
}

/// What is asked of a build, as far as it counts here.
pub struct Asked<'a> {
    pub args: &'a BTreeMap<String, String>,
    /// The stage that is the target; the last one otherwise.
    pub stage: Option<&'a str>,
}

/// What a find function looks at.
pub struct Sight<'a> {
    pub file: &'a Dockerfile,
    /// The file as it was written.
    pub text: String,
    pub steps: Vec<Step<'a>>,
    pub globals: BTreeMap<String, String>,
    /// The stage that is built, and as what it was asked for.
    pub target: usize,
    pub asked_stage: Option<String>,
}

/// An instruction of a stage; that of a trigger for ONBUILD.
pub struct Step<'a> {
    pub stage: usize,
    pub line: usize,
    /// As one line, without the bodies of heredocs.
    pub text: &'a str,
    pub written: &'a Instruction,
    /// With its variables replaced; as written where that is not possible.
    pub meant: Instruction,
    pub is_trigger: bool,
    pub before: Scope,
}

/// What earlier steps of a stage have set, those of the stages that it continues included.
#[derive(Clone, Default)]
pub struct Scope {
    pub env: BTreeMap<String, String>,
    /// ARGs with their values.
    pub args: BTreeMap<String, Option<String>>,
    /// ARGs that got a value after the ENV of their name.
    pub superseding: BTreeSet<String>,
    pub shell: Option<Vec<String>>,
    pub user: Option<String>,
    /// What VOLUME named.
    pub volumes: BTreeSet<String>,
    pub ports: BTreeSet<String>,
}

impl<'a> Sight<'a> {
    pub fn new(file: &'a Dockerfile, bytes: &[u8], asked: &Asked<'_>) -> Sight<'a> {
        let args = asked.args;
        let globals = file.global_values(args);
        let mut ends: Vec<Scope> = Vec::new();
        let mut steps = Vec::new();
        for (number, stage) in file.stages.iter().enumerate() {
            let base = file.base_stage(&file.base_of(number, &globals), number);
            let mut scope = base.map(|base| ends[base].clone()).unwrap_or_default();
            for place in &stage.instructions {
                let (written, is_trigger) = match &place.value {
                    // What cannot be read here is stored as it is.
                    Instruction::Onbuild(onbuild) => match onbuild.instruction.as_deref() {
                        Some(instruction) => (instruction, true),
                        None => continue,
                    },
                    other => (other, false),
                };
                let look_up = |name: &str| scope.look_up(name);
                let inner = place.with(written.clone());
                let expanded = inner.expand(&look_up, file.directives.escape);
                let meant = expanded.map_or_else(|_| written.clone(), |e| e.instruction);
                let step = Step {
                    stage: number,
                    line: place.first_line,
                    text: &place.text,
                    written,
                    meant,
                    is_trigger,
                    before: scope.clone(),
                };
                if !is_trigger {
                    scope.take(&step, args, &globals, file.directives.escape);
                }
                steps.push(step);
            }
            ends.push(scope);
        }
        Sight {
            file,
            text: String::from_utf8_lossy(bytes).into_owned(),
            steps,
            globals,
            // A name that is none fails the build, not this.
            target: file.target(asked.stage).unwrap_or(file.stages.len() - 1),
            asked_stage: asked.stage.map(str::to_owned),
        }
    }

    pub fn target_line(&self) -> usize {
        self.file.stages[self.target].line()
    }

    /// The stage that another continues.
    pub fn base(&self, stage: usize) -> Option<usize> {
        let image = self.file.base_of(stage, &self.globals);
        self.file.base_stage(&image, stage)
    }

    /// Places of the steps of which a function says which words count.
    pub fn each(&self, words: impl Fn(&Step<'_>) -> Option<String>) -> Vec<Place> {
        let place = |step: &Step<'_>| {
            words(step).map(|words| Place {
                line: step.line,
                words,
            })
        };
        self.steps.iter().filter_map(place).collect()
    }

    /// The same of COPY and ADD.
    pub fn copies(&self, words: impl Fn(&Step<'_>, &Files) -> Option<String>) -> Vec<Place> {
        self.each(|step| match &step.meant {
            Instruction::Copy(copy) => words(step, &copy.files),
            Instruction::Add(add) => words(step, &add.files),
            _ => None,
        })
    }

    /// The same of the mounts of RUN, with what they mean.
    pub fn mounts(&self, words: impl Fn(&Step<'_>, &MountSpec) -> Option<String>) -> Vec<Place> {
        self.each(|step| match &step.meant {
            Instruction::Run(run) => run.mounts.iter().find_map(|mount| words(step, mount)),
            _ => None,
        })
    }

    /// The same of the texts in which variables are replaced.
    pub fn words(&self, words: impl Fn(&str) -> Option<String>) -> Vec<Place> {
        let mut places = self.each(|step| match step.written {
            Instruction::Run(run) => {
                let options = run.mounts.iter().flat_map(|mount| &mount.options);
                let mut values = options.filter_map(|option| option.value.as_deref());
                values.find_map(&words)
            }
            Instruction::Cmd(_)
            | Instruction::Entrypoint(_)
            | Instruction::Shell(_)
            | Instruction::Maintainer(_)
            | Instruction::Healthcheck(_)
            | Instruction::Onbuild(_) => None,
            _ => words(step.text),
        });
        let args = self
            .file
            .global_args
            .iter()
            .map(|a| (a.first_line, &a.text));
        let froms = self.file.stages.iter().map(|s| &s.from);
        let froms = froms.map(|from| (from.first_line, &from.text));
        places.extend(
            args.chain(froms)
                .filter_map(|(line, text)| words(text).map(|words| Place { line, words })),
        );
        places
    }
}

impl Scope {
    /// As a build has it: of an ENV and an ARG with a value, the later one.
    pub fn look_up(&self, name: &str) -> Option<String> {
        let arg = || self.args.get(name).cloned().flatten();
        let env = || self.env.get(name).cloned();
        match self.superseding.contains(name) {
            true => arg().or_else(env),
            false => env().or_else(arg),
        }
    }

    fn take(
        &mut self,
        step: &Step<'_>,
        given: &BTreeMap<String, String>,
        globals: &BTreeMap<String, String>,
        escape: Escape,
    ) {
        match &step.meant {
            Instruction::Env(pairs) => {
                for pair in pairs {
                    self.superseding.remove(&pair.key);
                    self.env.insert(pair.key.clone(), pair.value.clone());
                }
            }
            Instruction::Arg(args) => {
                for arg in args {
                    let default = arg.expand_default(&|name| self.look_up(name), escape);
                    let default = default.ok().flatten().map(|word| word.text);
                    let given = given.get(&arg.name).cloned();
                    let own = given.or(default);
                    let own = own.or_else(|| globals.get(&arg.name).cloned());
                    if own.is_some() {
                        self.superseding.insert(arg.name.clone());
                    }
                    let value = own.or_else(|| self.args.get(&arg.name).cloned().flatten());
                    self.args.insert(arg.name.clone(), value);
                }
            }
            Instruction::Shell(shell) => self.shell = Some(shell.clone()),
            Instruction::User(user) => self.user = Some(user.clone()),
            Instruction::Volume(list) => self.volumes.extend(list.words.iter().cloned()),
            Instruction::Expose(ports) => self.ports.extend(ports.iter().cloned()),
            _ => {}
        }
    }
}
