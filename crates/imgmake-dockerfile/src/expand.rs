//! Instructions with their variables replaced: which fields expand, and which never do.

use super::ast::*;
use super::error::{DockerfileError, Mistake};
use super::expose;
use super::words::{self, Environment, Expanded};
use std::collections::BTreeSet;

/// An instruction with final values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    pub instruction: Instruction,
    /// Variables that had a value and were looked up.
    pub used: BTreeSet<String>,
    /// Variables that were looked up in vain: empty text, and material for lint.
    pub unset: BTreeSet<String>,
}

impl Located<Instruction> {
    /// Replaces variables wherever the reference says so, with the environment as it was *before* the instruction.
    ///
    /// Expanded: ADD, COPY (sources, destination, `--chown`, `--chmod`, `--checksum`, unquoted heredocs), ENV, EXPOSE,
    /// LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR and the values of `RUN --mount`. As written: commands, SHELL,
    /// HEALTHCHECK, ONBUILD, `--from`, `--exclude`, and ARG (see [`ArgDeclaration::expand_default`]).
    pub fn expand(
        &self,
        environment: Environment<'_>,
        escape: Escape,
    ) -> Result<Expansion, DockerfileError> {
        let mut expander = Expander::new(environment, escape);
        let instruction = expander
            .instruction(&self.value)
            .map_err(|error| self.place(error))?;
        Ok(Expansion {
            instruction,
            used: expander.used,
            unset: expander.unset,
        })
    }

    fn place(&self, error: DockerfileError) -> DockerfileError {
        error.at(self.first_line)
    }
}

impl ArgDeclaration {
    /// The default's final value; `None` when there is no default.
    pub fn expand_default(
        &self,
        environment: Environment<'_>,
        escape: Escape,
    ) -> Result<Option<Expanded>, Mistake> {
        let default = self.default.as_deref();
        default
            .map(|word| words::expand(word, environment, escape))
            .transpose()
    }
}

impl From {
    /// The image's final name; `environment` holds global and platform ARGs.
    pub fn expand_image(
        &self,
        environment: Environment<'_>,
        escape: Escape,
    ) -> Result<Expanded, Mistake> {
        words::expand(&self.image, environment, escape)
    }
    /// The final platform, if one was written.
    pub fn expand_platform(
        &self,
        environment: Environment<'_>,
        escape: Escape,
    ) -> Result<Option<Expanded>, Mistake> {
        let platform = self.platform.as_deref();
        platform
            .map(|word| words::expand(word, environment, escape))
            .transpose()
    }
}

struct Expander<'a> {
    environment: Environment<'a>,
    escape: Escape,
    values: Values,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    Final,
    /// Only the syntax of words is being checked: what they expand to means nothing.
    Placeholders,
}

/// Finds words that no environment can expand: open quotes, unknown modifiers.
pub(super) fn check_syntax(instruction: &Instruction, escape: Escape) -> Result<()> {
    let anything = |_: &str| Some("1".to_owned());
    if let Instruction::Arg(declarations) = instruction {
        for declaration in declarations {
            declaration.expand_default(&anything, escape)?;
        }
        return Ok(());
    }
    let mut expander = Expander::new(&anything, escape);
    expander.values = Values::Placeholders;
    expander.instruction(instruction).map(drop)
}

type Result<T, E = DockerfileError> = std::result::Result<T, E>;

impl<'a> Expander<'a> {
    fn new(environment: Environment<'a>, escape: Escape) -> Expander<'a> {
        Expander {
            environment,
            escape,
            values: Values::Final,
            used: BTreeSet::new(),
            unset: BTreeSet::new(),
        }
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<Instruction> {
        Ok(match instruction {
            Instruction::Add(add) => Instruction::Add(self.add(add)?),
            Instruction::Copy(copy) => Instruction::Copy(self.copy(copy)?),
            Instruction::Env(pairs) => Instruction::Env(self.pairs(pairs)?),
            Instruction::Label(pairs) => Instruction::Label(self.pairs(pairs)?),
            Instruction::Expose(ports) => Instruction::Expose(self.ports(ports)?),
            Instruction::Run(run) => Instruction::Run(self.run(run)?),
            Instruction::Stopsignal(signal) => Instruction::Stopsignal(self.signal(signal)?),
            Instruction::User(user) => Instruction::User(self.word(user)?),
            Instruction::Volume(volumes) => Instruction::Volume(self.volumes(volumes)?),
            Instruction::Workdir(path) => Instruction::Workdir(self.word(path)?),
            Instruction::Arg(_)
            | Instruction::Cmd(_)
            | Instruction::Entrypoint(_)
            | Instruction::Healthcheck(_)
            | Instruction::Maintainer(_)
            | Instruction::Onbuild(_)
            | Instruction::Shell(_) => instruction.clone(),
        })
    }

    fn note(&mut self, expanded: Expanded) -> String {
        self.used.extend(expanded.used);
        self.unset.extend(expanded.unset);
        expanded.text
    }

    fn word(&mut self, word: &str) -> Result<String> {
        let expanded = words::expand(word, self.environment, self.escape)?;
        Ok(self.note(expanded))
    }

    /// A flag whose variable is empty counts as not given.
    fn flag(&mut self, flag: &Option<String>) -> Result<Option<String>> {
        let value = flag.as_deref().map(|word| self.word(word)).transpose()?;
        Ok(value.filter(|v| !v.is_empty()))
    }

    fn copy(&mut self, copy: &Copy) -> Result<Copy> {
        Ok(Copy {
            chown: self.flag(&copy.chown)?,
            chmod: self.flag(&copy.chmod)?,
            files: self.files(&copy.files)?,
            ..copy.clone()
        })
    }

    fn add(&mut self, add: &Add) -> Result<Add> {
        Ok(Add {
            chown: self.flag(&add.chown)?,
            chmod: self.flag(&add.chmod)?,
            checksum: self.flag(&add.checksum)?,
            files: self.files(&add.files)?,
            ..add.clone()
        })
    }

    fn files(&mut self, files: &Files) -> Result<Files> {
        let sources = files.sources.iter().map(|source| match source {
            Source::Path(path) => self.word(path).map(Source::Path),
            Source::Inline(heredoc) => self.heredoc(heredoc).map(Source::Inline),
        });
        Ok(Files {
            sources: sources.collect::<Result<_>>()?,
            destination: self.word(&files.destination)?,
            form: files.form,
        })
    }

    fn heredoc(&mut self, heredoc: &Heredoc) -> Result<Heredoc> {
        if !heredoc.expand {
            return Ok(heredoc.clone());
        }
        let expanded = words::expand_text(&heredoc.text(), self.environment)?;
        Ok(Heredoc {
            content: self.note(expanded),
            // Done: a second expansion or stripping would read values as source text.
            expand: false,
            strip_tabs: false,
            ..heredoc.clone()
        })
    }

    fn pairs(&mut self, pairs: &[Pair]) -> Result<Vec<Pair>> {
        let expanded = pairs.iter().map(|pair| {
            Ok(Pair {
                key: self.word(&pair.key)?,
                value: self.word(&pair.value)?,
                separator: pair.separator,
            })
        });
        expanded.collect()
    }

    fn ports(&mut self, ports: &[String]) -> Result<Vec<String>> {
        let mut words = Vec::new();
        for port in ports {
            let (split, expanded) = words::expand_words(port, self.environment, self.escape)?;
            self.note(expanded);
            words.extend(split);
        }
        match self.values {
            Values::Final => expose::exposed_ports(&words),
            Values::Placeholders => Ok(words),
        }
    }

    fn run(&mut self, run: &Run) -> Result<Run> {
        let mut mounts = Vec::new();
        for spec in &run.mounts {
            let (spec, used, unset) = spec.expand(self.environment, self.escape)?;
            self.used.extend(used);
            self.unset.extend(unset);
            if self.values == Values::Final {
                spec.mount()?;
            }
            mounts.push(spec);
        }
        // Commands and heredocs are the shell's to expand. Written out, so that a new field is decided on.
        Ok(Run {
            command: run.command.clone(),
            heredocs: run.heredocs.clone(),
            mounts,
            network: run.network,
            security: run.security,
        })
    }

    fn signal(&mut self, word: &str) -> Result<String> {
        let signal = self.word(word)?;
        match self.values == Values::Placeholders || is_signal(&signal) {
            true => Ok(signal),
            false => Err(not_a_signal(&signal, word)),
        }
    }

    fn volumes(&mut self, volumes: &WordList) -> Result<WordList> {
        let words = volumes.words.iter().map(|v| {
            let path = self.word(v)?;
            match path.is_empty() {
                false => Ok(path),
                true => Err(Mistake::unusable(format!("VOLUME `{v}`"), "is empty").in_word(v)),
            }
        });
        Ok(WordList {
            words: words.collect::<Result<_>>()?,
            form: volumes.form,
        })
    }
}

const SIGNALS: &str = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV \
    STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX";

pub(super) fn not_a_signal(signal: &str, word: &str) -> DockerfileError {
    Mistake::invalid(format!("signal `{signal}`"))
        .in_word(word)
        .help("write a name such as SIGTERM or a number such as 15")
}

/// Whether STOPSIGNAL can be this: a positive number or a Linux signal's name, with or without `SIG`.
pub fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        return number > 0;
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix, most| {
        let offset = name.strip_prefix(prefix).and_then(|n| n.parse::<u8>().ok());
        offset.is_some_and(|n| (1..=most).contains(&n))
    };
    SIGNALS.split_whitespace().any(|s| s == name)
        || real_time("RTMIN+", 15)
        || real_time("RTMAX-", 14)
}
