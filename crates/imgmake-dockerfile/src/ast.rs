//! What a Dockerfile says, as types. Words are still unexpanded: `$VERSION` stands as it was written.

use super::checks::CheckOptions;
use super::error::DockerfileError;
use std::time::Duration;

/// A whole Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    pub directives: Directives,
    /// `ARG` before the first `FROM`: visible to `FROM` lines, and to stages that declare them again.
    pub global_args: Vec<Located<Vec<ArgDeclaration>>>,
    /// Never empty.
    pub stages: Vec<Stage>,
    /// Lines that are blank inside a continuation; for the lint rule `NoEmptyContinuation`.
    pub empty_continuations: Vec<usize>,
}

/// The `# name=value` lines at the very top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Accepted and kept for display: the built-in frontend is always used.
    pub syntax: Option<String>,
    pub escape: Escape,
    pub check: CheckOptions,
}

/// The character that escapes and continues lines: `# escape=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    #[default]
    Backslash,
    Backtick,
}

impl Escape {
    pub fn character(self) -> char {
        match self {
            Escape::Backslash => '\\',
            Escape::Backtick => '`',
        }
    }
}

/// A value, and where it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    /// First and last line, counted from 1, heredoc bodies included.
    pub first_line: usize,
    pub last_line: usize,
    /// The instruction as one line: continuations joined, comments gone, heredoc bodies left out.
    pub text: String,
    /// The instruction's name as written (`Run`).
    pub keyword: String,
    /// Comments since the instruction before, without `#`; an empty text for blank lines between them.
    pub comments: Vec<String>,
}

impl<T> Located<T> {
    /// The same place, another value.
    pub fn with<U>(&self, value: U) -> Located<U> {
        Located {
            value,
            first_line: self.first_line,
            last_line: self.last_line,
            text: self.text.clone(),
            keyword: self.keyword.clone(),
            comments: self.comments.clone(),
        }
    }
}

/// One `FROM` and everything up to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    pub from: Located<From>,
    pub instructions: Vec<Located<Instruction>>,
    /// Values that cannot be used, with their places: they matter when the stage is built. The instructions that
    /// they stand in are left out.
    pub mistakes: Vec<DockerfileError>,
}

impl Stage {
    pub fn line(&self) -> usize {
        self.from.first_line
    }
    /// `AS name`, in lower case.
    pub fn name(&self) -> Option<&str> {
        self.from.value.name.as_deref()
    }
}

/// `FROM [--platform=PLATFORM] IMAGE [AS NAME]`; platform and image expand with the global ARGs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    pub platform: Option<String>,
    /// A reference, `scratch` or the name of an earlier stage.
    pub image: String,
    /// In lower case: stage names compare without case.
    pub name: Option<String>,
    /// `(AS, Name)` as written, for lint.
    pub written: Option<(String, String)>,
}

/// Everything that may stand in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    Add(Add),
    Arg(Vec<ArgDeclaration>),
    Cmd(CommandLine),
    Copy(Copy),
    Entrypoint(CommandLine),
    Env(Vec<Pair>),
    /// Words as written; expanded: `80/tcp`, one per port.
    Expose(Vec<String>),
    Healthcheck(Healthcheck),
    Label(Vec<Pair>),
    Maintainer(String),
    Onbuild(Onbuild),
    Run(Run),
    Shell(Vec<String>),
    Stopsignal(String),
    User(String),
    Volume(WordList),
    Workdir(String),
}

impl Instruction {
    /// The name in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Instruction::Add(_) => "ADD",
            Instruction::Arg(_) => "ARG",
            Instruction::Cmd(_) => "CMD",
            Instruction::Copy(_) => "COPY",
            Instruction::Entrypoint(_) => "ENTRYPOINT",
            Instruction::Env(_) => "ENV",
            Instruction::Expose(_) => "EXPOSE",
            Instruction::Healthcheck(_) => "HEALTHCHECK",
            Instruction::Label(_) => "LABEL",
            Instruction::Maintainer(_) => "MAINTAINER",
            Instruction::Onbuild(_) => "ONBUILD",
            Instruction::Run(_) => "RUN",
            Instruction::Shell(_) => "SHELL",
            Instruction::Stopsignal(_) => "STOPSIGNAL",
            Instruction::User(_) => "USER",
            Instruction::Volume(_) => "VOLUME",
            Instruction::Workdir(_) => "WORKDIR",
        }
    }
}

/// Shell form is one text for the SHELL in force; exec form is an argument list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    Shell(String),
    /// Empty (`CMD []`) clears what was inherited.
    Exec(Vec<String>),
}

/// `ARG NAME[=DEFAULT]`. The default expands only when no build argument replaces it, so it has its own
/// [`ArgDeclaration::expand_default`]; `ARG a=1 b=$a` goes one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDeclaration {
    pub name: String,
    pub default: Option<String>,
}

/// One `key=value` of ENV and LABEL; both sides expand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub key: String,
    pub value: String,
    pub separator: Separator,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    Equals,
    /// The legacy form `ENV key value`.
    Space,
}

/// How a list was written: a JSON array can hold blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListForm {
    Words,
    Json,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordList {
    pub words: Vec<String>,
    pub form: ListForm,
}

/// Sources and destination of COPY and ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// As written, in order; BuildKit copies paths before inline files.
    pub sources: Vec<Source>,
    /// The trailing `/`, if any, is still there.
    pub destination: String,
    pub form: ListForm,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern, a URL (ADD), a git reference (ADD).
    Path(String),
    /// `<<NAME`: a file of that name (mode 0644) with the heredoc's text.
    Inline(Heredoc),
}
impl Files {
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().filter_map(|s| match s {
            Source::Path(path) => Some(path.as_str()),
            Source::Inline(_) => None,
        })
    }
    pub fn inline(&self) -> impl Iterator<Item = &Heredoc> {
        self.sources.iter().filter_map(|s| match s {
            Source::Inline(heredoc) => Some(heredoc),
            Source::Path(_) => None,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub files: Files,
    /// A stage, a named context or an image; never expands.
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub link: bool,
    pub parents: bool,
    /// Patterns of the ignore file's kind; never expand.
    pub exclude: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    pub files: Files,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    pub checksum: Option<String>,
    pub link: bool,
    /// `None`: not said (a git URL's own `keep-git-dir` query may say it).
    pub keep_git_dir: Option<bool>,
    /// `None`: local archives are unpacked, downloaded ones are not.
    pub unpack: Option<bool>,
    pub exclude: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub command: CommandLine,
    pub heredocs: Vec<Heredoc>,
    pub mounts: Vec<MountSpec>,
    pub network: RunNetwork,
    pub security: RunSecurity,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunNetwork {
    #[default]
    Default,
    None,
    Host,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunSecurity {
    #[default]
    Sandbox,
    Insecure,
}

/// `HEALTHCHECK NONE` or `HEALTHCHECK [flags] CMD command`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    None,
    Check(Check),
}
/// Times not given (or given as 0) are inherited from the engine's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub command: CommandLine,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
    pub retries: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// What the image's configuration stores; [`super::parse_trigger`] reads it back in a child.
    pub trigger: String,
    /// `None` where it cannot be read, which is a mistake of whoever builds on the image.
    pub instruction: Option<Box<Instruction>>,
}

/// Proxy arguments that need no ARG, never reach the image and never count for a key.
pub const PROXY_ARGS: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Arguments that the builder sets for FROM lines, and for stages that declare them.
pub const PLATFORM_ARGS: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// One heredoc of RUN, COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes; COPY uses it as the file's name.
    pub name: String,
    /// `3<<NAME`; the shell's default otherwise.
    pub file_descriptor: Option<u32>,
    /// False when the delimiter is quoted. COPY and ADD expand, RUN leaves it to its shell.
    pub expand: bool,
    /// `<<-`: tabs at the beginning of lines, and before the delimiter, go away.
    pub strip_tabs: bool,
    /// The lines as written, line ends included.
    pub content: String,
    /// The word that opened it.
    pub written: String,
}

/// The options of one `--mount`, in order. Values expand, keys do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    pub options: Vec<MountOption>,
}

/// `key=value`, or a bare `key` such as `ro`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    pub key: String,
    pub value: Option<String>,
}
