//! Mistakes in a Dockerfile or an ignore file: facts for callers, and one text for people.
//!
//! A [`Mistake`] is what is wrong; a [`DockerfileError`] is that with its line, its column and what to do.
//! Knows no file name: text comes in as bytes, and whoever read the file writes its name in front.

use std::fmt;

use imgmake_guard::excerpt::excerpt;

/// What is wrong, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    NotUtf8 {
        byte: u8,
    },
    /// A file without a stage.
    NoFrom,
    /// A name outside the list of its kind.
    Unknown {
        kind: Kind,
        name: String,
    },
    /// What may be written once.
    Duplicate {
        kind: Kind,
        name: String,
    },
    /// Something that its owner cannot do without.
    Missing {
        owner: String,
        what: String,
    },
    /// An instruction where it cannot be.
    Misplaced {
        instruction: String,
        place: Position,
    },
    /// More than its owner takes.
    Unexpected {
        owner: String,
        why: String,
    },
    /// A value that cannot be read as what it should be.
    Invalid {
        what: String,
        why: Option<String>,
    },
    /// A value that can be read, but not be used where it is.
    Unusable {
        what: String,
        why: String,
    },
    /// Text that does not follow the grammar of its place.
    Syntax(String),
    /// A variable in an option that is never expanded.
    Variable {
        option: String,
    },
    /// Legal elsewhere, and not done here.
    Unsupported {
        what: String,
        /// In the plural.
        feature: &'static str,
    },
    HeredocNotClosed {
        written: String,
    },
    /// A word of EXPOSE.
    Port {
        word: String,
        why: String,
    },
    /// A word that cannot be expanded.
    Word {
        /// As written.
        word: String,
        problem: WordProblem,
    },
    /// A pattern of COPY, `--exclude` or an ignore file.
    Pattern {
        pattern: String,
        problem: PatternProblem,
    },
}

/// What a name that is unknown or duplicate is the name of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Instruction,
    Directive,
    Flag {
        instruction: &'static str,
    },
    /// A word out of those that a flag takes.
    FlagValue {
        flag: &'static str,
    },
    HealthcheckType,
    CheckOption,
    MountType,
    MountOption {
        /// The whole option, as written.
        field: String,
    },
    Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    BeforeFrom,
    InStage,
    InOnbuild,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WordProblem {
    TooDeep,
    UnclosedQuote(char),
    UnclosedBrace,
    /// `${name/pattern` without the replacement.
    NoReplacement,
    BadSubstitution,
    UnsupportedModifier(String),
    /// `${name:?why}`: whoever wrote the Dockerfile wants a value.
    ValueRequired {
        name: String,
        why: String,
    },
    InvalidEscape {
        escaped: String,
        pattern: String,
    },
    PatternTooLarge {
        pattern: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternProblem {
    /// An open class, or a trailing `\`.
    Open,
    /// A class that can match nothing.
    EmptyClass,
    /// `!` alone.
    OnlyNegation,
}

impl Mistake {
    pub(crate) fn unknown(kind: Kind, name: impl Into<String>) -> Mistake {
        let name = name.into();
        Mistake::Unknown { kind, name }
    }

    pub(crate) fn duplicate(kind: Kind, name: impl Into<String>) -> Mistake {
        let name = name.into();
        Mistake::Duplicate { kind, name }
    }

    pub(crate) fn missing(owner: impl Into<String>, what: impl Into<String>) -> Mistake {
        let (owner, what) = (owner.into(), what.into());
        Mistake::Missing { owner, what }
    }

    pub(crate) fn misplaced(instruction: impl Into<String>, place: Position) -> Mistake {
        let instruction = instruction.into();
        Mistake::Misplaced { instruction, place }
    }

    pub(crate) fn unexpected(owner: impl Into<String>, why: impl Into<String>) -> Mistake {
        let (owner, why) = (owner.into(), why.into());
        Mistake::Unexpected { owner, why }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Mistake {
        let what = what.into();
        Mistake::Invalid { what, why: None }
    }

    pub(crate) fn unusable(what: impl Into<String>, why: impl Into<String>) -> Mistake {
        let (what, why) = (what.into(), why.into());
        Mistake::Unusable { what, why }
    }

    pub(crate) fn pattern(pattern: &str, problem: PatternProblem) -> Mistake {
        let pattern = pattern.to_owned();
        Mistake::Pattern { pattern, problem }
    }

    /// With the line of the file, which counts from 1.
    pub(crate) fn at(self, line: usize) -> DockerfileError {
        DockerfileError {
            line,
            column: None,
            mistake: Box::new(self),
            help: None,
            word: None,
            nearest: None,
        }
    }

    /// The same; the line is filled in by whoever knows that of the instruction.
    pub(crate) fn in_word(self, word: impl Into<String>) -> DockerfileError {
        DockerfileError::from(self).word(word)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::NotUtf8 { byte } => write!(f, "the byte 0x{byte:02x} is not UTF-8"),
            Mistake::NoFrom => f.write_str("the Dockerfile has no FROM"),
            Mistake::Unknown { kind, name } => write_unknown(f, kind, name),
            Mistake::Duplicate { kind, name } => match kind {
                Kind::Flag { .. } => write!(f, "duplicate flag `--{name}`"),
                kind => write!(f, "duplicate {} `{name}`", kind.noun()),
            },
            Mistake::Missing { owner, what } => write!(f, "{owner} needs {what}"),
            Mistake::Misplaced { instruction, place } => match place {
                Position::BeforeFrom => write!(f, "{instruction} before the first FROM"),
                Position::InStage => write!(f, "{instruction} is not allowed here"),
                Position::InOnbuild => write!(f, "{instruction} is not allowed in ONBUILD"),
            },
            Mistake::Unexpected { owner, why } => write!(f, "{owner} {why}"),
            Mistake::Invalid { what, why: None } => write!(f, "invalid {what}"),
            Mistake::Invalid {
                what,
                why: Some(why),
            } => write!(f, "invalid {what}: {why}"),
            Mistake::Unusable { what, why } => write!(f, "{what} {why}"),
            Mistake::Syntax(why) => f.write_str(why),
            Mistake::Variable { option } => write!(f, "`{option}` cannot contain a variable"),
            Mistake::Unsupported { what, feature } => {
                write!(f, "{what}: {feature} are not supported")
            }
            Mistake::HeredocNotClosed { written } => {
                write!(f, "the heredoc `{written}` is never closed")
            }
            Mistake::Port { word, why } => write!(f, "EXPOSE `{word}`: {why}"),
            Mistake::Word { word, problem } => write!(f, "{problem} in `{word}`"),
            Mistake::Pattern { pattern, problem } => match problem {
                PatternProblem::Open => write!(
                    f,
                    "invalid pattern `{pattern}`: close `[` with `]`, and let a character follow `\\`"
                ),
                PatternProblem::EmptyClass => write!(
                    f,
                    "invalid pattern `{pattern}`: a class in `[]` is empty or runs backwards"
                ),
                PatternProblem::OnlyNegation => f.write_str("`!` needs a pattern after it"),
            },
        }
    }
}

fn write_unknown(f: &mut fmt::Formatter<'_>, kind: &Kind, name: &str) -> fmt::Result {
    match kind {
        Kind::Instruction => write!(f, "unknown instruction `{}`", excerpt(name)),
        Kind::Flag { instruction } => write!(f, "{instruction} has no flag `--{name}`"),
        Kind::FlagValue { flag } => write!(f, "`--{flag}` cannot be `{name}`"),
        Kind::HealthcheckType => write!(f, "HEALTHCHECK does not know `{name}`"),
        Kind::CheckOption => write!(
            f,
            "unknown check option `{name}`: write skip=, experimental= or error="
        ),
        Kind::MountOption { field } => {
            write!(f, "unknown mount option `{name}` (in `{field}`)")
        }
        Kind::Stage => write!(f, "stage `{name}` not found"),
        Kind::MountType | Kind::Directive => write!(f, "unknown {} `{name}`", kind.noun()),
    }
}

impl Kind {
    fn noun(&self) -> &'static str {
        match self {
            Kind::Instruction => "instruction",
            Kind::Directive => "directive",
            Kind::Flag { .. } => "flag",
            Kind::FlagValue { .. } => "value",
            Kind::HealthcheckType => "type",
            Kind::CheckOption => "check option",
            Kind::MountType => "mount type",
            Kind::MountOption { .. } => "mount option",
            Kind::Stage => "stage",
        }
    }
}

impl fmt::Display for WordProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WordProblem::TooDeep => f.write_str("variables are nested too deeply"),
            WordProblem::UnclosedQuote('\'') => f.write_str("unclosed single quote `'`"),
            WordProblem::UnclosedQuote(quote) => write!(f, "unclosed double quote `{quote}`"),
            WordProblem::UnclosedBrace => f.write_str("missing `}`"),
            WordProblem::NoReplacement => f.write_str("missing `/` in `${…/pattern/replacement}`"),
            WordProblem::BadSubstitution => f.write_str("bad substitution"),
            WordProblem::UnsupportedModifier(modifier) => {
                write!(f, "unsupported modifier `{modifier}`")
            }
            WordProblem::ValueRequired { name, why } => write!(f, "{name}: {why}"),
            WordProblem::InvalidEscape { escaped, pattern } => {
                write!(f, "invalid escape `\\{escaped}` in pattern `{pattern}`")
            }
            WordProblem::PatternTooLarge { pattern } => {
                write!(f, "pattern `{pattern}` is too large")
            }
        }
    }
}

impl WordProblem {
    fn help(&self) -> Option<&'static str> {
        match self {
            WordProblem::UnclosedQuote(_) => Some(
                "names with blanks or quotes can be written as a JSON array: [\"a b\", \"/to/\"]",
            ),
            WordProblem::UnclosedBrace => Some("close `${` with `}`"),
            WordProblem::UnsupportedModifier(_) => {
                Some("the modifiers are :- - :+ + :? ? # ## % %% / //")
            }
            _ => None,
        }
    }
}

impl std::error::Error for Mistake {}

/// One mistake and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerfileError {
    /// Counts from 1; 0 until whoever knows the line of the instruction fills it in.
    pub line: usize,
    /// Of the offending word, in characters from 1, where it could be found in the line.
    pub column: Option<usize>,
    /// In a box: every parser returns one of these or its result.
    pub mistake: Box<Mistake>,
    pub help: Option<String>,
    /// The offending word as written, for underlining.
    pub word: Option<String>,
    /// The nearest legal word.
    pub nearest: Option<String>,
}

impl DockerfileError {
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
    pub(crate) fn word(mut self, word: impl Into<String>) -> Self {
        self.word = Some(word.into());
        self
    }
    pub(crate) fn nearest(mut self, nearest: Option<&str>) -> Self {
        self.nearest = nearest.map(str::to_owned);
        self
    }
    pub(crate) fn at(mut self, line: usize) -> Self {
        self.line = line;
        self
    }

    /// The help text, with the nearest legal word in front.
    pub fn advice(&self) -> Option<String> {
        let near = self
            .nearest
            .as_ref()
            .map(|n| format!("did you mean `{n}`?"));
        match (near, &self.help) {
            (Some(near), Some(help)) => Some(format!("{near} {help}")),
            (near, help) => near.or_else(|| help.clone()),
        }
    }
}

impl From<Mistake> for DockerfileError {
    /// The line is filled in by whoever knows that of the instruction.
    fn from(mistake: Mistake) -> DockerfileError {
        let (word, help) = match &mistake {
            Mistake::Word { word, problem } => (Some(word.clone()), problem.help()),
            _ => (None, None),
        };
        DockerfileError {
            word,
            help: help.map(str::to_owned),
            ..mistake.at(0)
        }
    }
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(column) = self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": {}", self.mistake)?;
        match self.advice() {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DockerfileError {}

/// Every mistake found in one file, in the order of lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerfileErrors(pub Vec<DockerfileError>);

impl fmt::Display for DockerfileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DockerfileErrors {}
