//! What fails in a build: facts for callers, and one text for people.
//!
//! Callers decide by variants: [`BuildError::root`] is the fact beneath places and actions, [`BuildError::find`] an
//! error of another crate. Knows no exit code and no target.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use imgmake_dockerfile::{DockerfileError, DockerfileErrors};
use imgmake_event::{Cancelled, causes};
use imgmake_oci::OciError;

pub type Result<T, E = BuildError> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
pub enum BuildError {
    /// What failed at a place of the definition.
    At {
        place: Place,
        source: Box<BuildError>,
    },
    /// What was being done when something else failed: "cannot read `x`".
    During {
        action: String,
        source: Box<BuildError>,
    },
    /// All mistakes of a Dockerfile that does not parse.
    Dockerfile {
        file: String,
        errors: DockerfileErrors,
    },
    /// One mistake, whose place is known to the caller.
    Instruction(DockerfileError),
    /// Something written that cannot be used: a flag, a value, a path.
    Invalid {
        what: String,
        why: String,
    },
    NotFound {
        what: String,
        help: String,
    },
    Unknown {
        what: String,
        help: String,
    },
    /// A file that was written while a layer was made of it.
    Changed(String),
    /// What another crate says, and what to do about it here.
    Advised {
        fact: String,
        advice: String,
    },
    /// Something that is needed and was not given.
    Required {
        what: String,
        help: String,
    },
    /// What images, layers or contexts cannot hold, or what this machine cannot do.
    Unsupported {
        what: String,
        help: String,
    },
    /// What the definition asks for and whoever builds does not allow.
    Forbidden {
        what: String,
        help: String,
    },
    /// Something else has the place.
    Conflict {
        action: String,
        obstacle: String,
    },
    LimitExceeded {
        what: String,
        limit: String,
        help: String,
    },
    /// Bytes that are not those that were promised.
    Mismatch {
        what: String,
        found: String,
        /// Who expected what: "--checksum says x".
        promised: String,
    },
    /// Something of ours, or of an image, that cannot be read.
    Damaged {
        what: String,
        why: String,
    },
    /// A hard link to something that only lower layers hold.
    LinkIntoLower(String),
    /// A name that would be a whiteout in a layer.
    WhiteoutName,
    /// A file system on which a directory has another mode than it was given.
    NoModes {
        path: PathBuf,
        given: u32,
        found: u32,
    },
    /// A command of a RUN ended with another code than 0.
    CommandFailed {
        exit: i32,
        /// The instruction and the end of its output, for people.
        report: String,
    },
    /// A command failed after its isolated network had ended.
    NetworkLost {
        why: String,
        exit: i32,
    },
    /// What Dockerfile checks found, where warnings are errors.
    Checks {
        file: String,
        report: String,
    },
    /// What the helper process answers for a request that failed, or why it does not work.
    Helper(String),
    /// A promise of the program that was broken.
    Internal(String),
    Cancelled(Cancelled),
    Io(io::Error),
    /// An error of another crate, as it came.
    Other(Source),
}

/// Where in the definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As messages name it: `Dockerfile`, `steps`.
    pub file: String,
    /// From 1; `None` for all of the file, and for steps of a manifest.
    pub line: Option<usize>,
    /// The instruction that the base image brought to this line.
    pub trigger: Option<String>,
}

impl BuildError {
    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> BuildError {
        BuildError::Invalid {
            what: what.into(),
            why: why.into(),
        }
    }

    pub(crate) fn not_found(what: impl Into<String>, help: impl Into<String>) -> BuildError {
        BuildError::NotFound {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn unknown(what: impl Into<String>, help: impl Into<String>) -> BuildError {
        BuildError::Unknown {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn required(what: impl Into<String>, help: impl Into<String>) -> BuildError {
        BuildError::Required {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn unsupported(what: impl Into<String>, help: impl Into<String>) -> BuildError {
        BuildError::Unsupported {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn forbidden(what: impl Into<String>, help: impl Into<String>) -> BuildError {
        BuildError::Forbidden {
            what: what.into(),
            help: help.into(),
        }
    }

    pub(crate) fn conflict(action: impl Into<String>, obstacle: impl Into<String>) -> BuildError {
        BuildError::Conflict {
            action: action.into(),
            obstacle: obstacle.into(),
        }
    }

    pub(crate) fn limit(
        what: impl Into<String>,
        limit: impl ToString,
        help: impl Into<String>,
    ) -> BuildError {
        BuildError::LimitExceeded {
            what: what.into(),
            limit: limit.to_string(),
            help: help.into(),
        }
    }

    pub(crate) fn mismatch(
        what: impl Into<String>,
        found: impl ToString,
        promised: impl Into<String>,
    ) -> BuildError {
        BuildError::Mismatch {
            what: what.into(),
            found: found.to_string(),
            promised: promised.into(),
        }
    }

    pub(crate) fn damaged(what: impl Into<String>, why: impl Into<String>) -> BuildError {
        BuildError::Damaged {
            what: what.into(),
            why: why.into(),
        }
    }

    pub(crate) fn internal(promise: impl Into<String>) -> BuildError {
        BuildError::Internal(promise.into())
    }

    pub(crate) fn during(self, action: impl Into<String>) -> BuildError {
        BuildError::During {
            action: action.into(),
            source: Box::new(self),
        }
    }

    pub(crate) fn at(self, place: Place) -> BuildError {
        BuildError::At {
            place,
            source: Box::new(self),
        }
    }

    /// The fact beneath places and actions.
    pub fn root(&self) -> &BuildError {
        match self {
            BuildError::At { source, .. } | BuildError::During { source, .. } => source.root(),
            fact => fact,
        }
    }

    /// The error of another crate that this one stands for, else itself.
    pub fn as_cause(&self) -> &(dyn StdError + 'static) {
        match self {
            BuildError::Cancelled(error) => error,
            BuildError::Io(error) => error,
            BuildError::Other(error) => &**error,
            own => own,
        }
    }

    /// The first error of this type among this one and its sources.
    pub fn find<E: StdError + 'static>(&self) -> Option<&E> {
        self.causes().find_map(|cause| cause.downcast_ref())
    }

    /// Whether a cancellation is why it failed.
    pub fn is_cancelled(&self) -> bool {
        use imgmake_git::GitError;
        use imgmake_registry::RegistryError;
        Cancelled::caused(self.as_cause())
            || self.find().is_some_and(RegistryError::is_cancelled)
            || self.find().is_some_and(GitError::is_cancelled)
    }

    /// Whether the disk was full, or the user's quota used up.
    pub fn is_storage_full(&self) -> bool {
        use imgmake_registry::RegistryError;
        self.causes().any(imgmake_core::files::is_storage_full)
            || self.find().is_some_and(RegistryError::is_storage_full)
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        causes(self.as_cause())
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_fact(f)?;
        if f.alternate() {
            for cause in self.causes().skip(1) {
                write!(f, ": {cause}")?;
            }
        }
        Ok(())
    }
}

impl BuildError {
    /// Without what it follows from.
    fn write_fact(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (fact, after, more) = match self {
            BuildError::At { place, source } => return place.write(f, source),
            BuildError::During { action, .. } => return f.write_str(action),
            BuildError::Dockerfile { file, errors } => return write_mistakes(f, file, errors),
            BuildError::Instruction(error) => return f.write_str(&mistake(error)),
            BuildError::Cancelled(error) => return write!(f, "{error}"),
            BuildError::Io(error) => return write!(f, "{error}"),
            BuildError::Other(error) => return write!(f, "{error}"),
            BuildError::Internal(text) | BuildError::Helper(text) => return f.write_str(text),
            BuildError::CommandFailed { report, .. } => return f.write_str(report),
            BuildError::NetworkLost { why, exit } => {
                return write!(
                    f,
                    "the isolated network ended during the RUN ({why}); the command then failed with exit \
                     code {exit}, perhaps because of that: run it again"
                );
            }
            BuildError::Checks { file, report } => return write!(f, "{file}: {report}"),
            BuildError::LinkIntoLower(target) => {
                return write!(
                    f,
                    "a hard link to `{target}`, which this layer does not contain"
                );
            }
            BuildError::WhiteoutName => {
                return f
                    .write_str("in an image layer, names that begin with `.wh.` delete a file");
            }
            BuildError::NoModes { path, given, found } => {
                return write!(
                    f,
                    "the file system of `{}` does not store modes (a directory of {given:o} has {found:o}), which unpacked \
                     layers need; `--store` or IMGMAKE_STORE names a directory on another one",
                    path.display()
                );
            }
            BuildError::LimitExceeded { what, limit, help } => {
                (format!("{what}: the limit is {limit}"), "; ", help)
            }
            BuildError::Mismatch {
                what,
                found,
                promised,
            } => return write!(f, "{what} is {found}, but {promised}"),
            BuildError::Changed(path) => {
                return write!(
                    f,
                    "`{path}` changed while it was copied; run the build again"
                );
            }
            BuildError::Advised { fact, advice } => return write!(f, "{fact}; {advice}"),
            BuildError::Unknown { what, help } => (format!("unknown {what}"), ": ", help),
            BuildError::Invalid { what, why } => (format!("invalid {what}"), ": ", why),
            BuildError::NotFound { what, help } => (format!("{what} not found"), ": ", help),
            BuildError::Required { what, help } => (format!("{what} is required"), ": ", help),
            BuildError::Unsupported { what, help } => {
                (format!("{what} is not supported"), "; ", help)
            }
            BuildError::Forbidden { what, help } => (format!("{what} is refused"), ": ", help),
            BuildError::Damaged { what, why } => (format!("{what} is damaged"), ": ", why),
            BuildError::Conflict { action, obstacle } => {
                (format!("cannot {action}"), ": ", obstacle)
            }
        };
        f.write_str(&fact)?;
        if !more.is_empty() {
            write!(f, "{after}{more}")?;
        }
        Ok(())
    }
}

impl Place {
    /// All of a file.
    pub(crate) fn file(file: &str) -> Place {
        Place {
            file: file.to_string(),
            line: None,
            trigger: None,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, source: &BuildError) -> fmt::Result {
        let place = match source {
            // The report names its instruction.
            BuildError::CommandFailed { .. } => Place {
                trigger: None,
                ..self.clone()
            },
            _ => self.clone(),
        };
        write!(f, "{place}")
    }
}

/// ``Dockerfile:2``, ``Dockerfile:2: `ONBUILD …` ``.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        match &self.trigger {
            Some(trigger) => write!(f, ": `{trigger}`"),
            None => Ok(()),
        }
    }
}

/// Each with its place: `Dockerfile:2:14: …`.
fn write_mistakes(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    DockerfileErrors(errors): &DockerfileErrors,
) -> fmt::Result {
    for (number, error) in errors.iter().enumerate() {
        if number > 0 {
            writeln!(f)?;
        }
        write!(f, "{file}:{}:", error.line)?;
        if let Some(column) = error.column {
            write!(f, "{column}:")?;
        }
        write!(f, " {}", mistake(error))?;
    }
    Ok(())
}

/// What is wrong and what to do, without the place.
fn mistake(error: &DockerfileError) -> String {
    match error.advice() {
        Some(advice) => format!("{} ({advice})", error.mistake),
        None => error.mistake.to_string(),
    }
}

impl StdError for BuildError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            BuildError::At { source, .. } | BuildError::During { source, .. } => {
                Some(source.as_cause())
            }
            BuildError::Io(error) => error.source(),
            BuildError::Other(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Cancelled> for BuildError {
    fn from(error: Cancelled) -> BuildError {
        BuildError::Cancelled(error)
    }
}

impl From<DockerfileError> for BuildError {
    fn from(error: DockerfileError) -> BuildError {
        BuildError::Instruction(error)
    }
}

impl From<io::Error> for BuildError {
    fn from(error: io::Error) -> BuildError {
        match Cancelled::ended(&error) {
            true => BuildError::Cancelled(Cancelled),
            false => BuildError::Io(error),
        }
    }
}

impl From<rustix::io::Errno> for BuildError {
    fn from(error: rustix::io::Errno) -> BuildError {
        BuildError::Io(error.into())
    }
}

/// Errors of other crates, which `?` hands on as they are.
macro_rules! handed_on {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for BuildError {
            fn from(error: $error) -> BuildError {
                BuildError::Other(Box::new(error))
            }
        })*
    };
}

handed_on!(
    imgmake_dockerfile::Mistake,
    DockerfileErrors,
    imgmake_oci::image::DigestError,
    imgmake_oci::image::ParseError,
    imgmake_oci::image::PlatformError,
    imgmake_oci::image::ReferenceError,
    imgmake_git::GitError,
    crate::pins::PinError,
    imgmake_guard::offline::Offline,
    imgmake_registry::RegistryError,
    imgmake_sandbox::Exceeded,
    imgmake_sandbox::NoIsolation,
    imgmake_sandbox::SandboxError,
    hex::FromHexError,
    postcard::Error,
    ureq::Error,
);

impl From<OciError> for BuildError {
    fn from(error: OciError) -> BuildError {
        match error {
            OciError::Cancelled(error) => BuildError::Cancelled(error),
            OciError::Io(error) => error.into(),
            error => BuildError::Other(Box::new(error)),
        }
    }
}

/// Says what was being done.
pub(crate) trait Context<T> {
    fn context(self, action: &str) -> Result<T>;
    fn with_context(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<BuildError>> Context<T> for Result<T, E> {
    fn context(self, action: &str) -> Result<T> {
        self.map_err(|error| error.into().during(action))
    }

    fn with_context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().during(action()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(trigger: Option<&str>) -> Place {
        Place {
            file: "Dockerfile".to_string(),
            line: Some(3),
            trigger: trigger.map(str::to_string),
        }
    }

    #[test]
    fn an_error_names_place_action_and_fact() {
        let error = BuildError::invalid("mode `9`", "expected octal digits")
            .during("--chmod")
            .at(place(None));
        assert_eq!(
            format!("{error:#}"),
            "Dockerfile:3: --chmod: invalid mode `9`: expected octal digits"
        );
        assert_eq!(error.to_string(), "Dockerfile:3");
        assert!(matches!(error.root(), BuildError::Invalid { .. }));
    }

    #[test]
    fn a_trigger_is_named_unless_its_report_names_it() {
        let trigger = Some("ONBUILD RUN false");
        let failed = || BuildError::CommandFailed {
            exit: 1,
            report: "`ONBUILD RUN false` failed".to_string(),
        };
        let texts =
            [BuildError::invalid("x", ""), failed()].map(|e| e.at(place(trigger)).to_string());
        assert_eq!(texts, ["Dockerfile:3: `ONBUILD RUN false`", "Dockerfile:3"]);
    }

    #[test]
    fn what_other_crates_say_is_found_beneath_places_and_actions() {
        let cancelled = BuildError::from(io::Error::from(Cancelled));
        assert!(cancelled.is_cancelled());
        let error = BuildError::from(io::Error::other("disk"))
            .during("x")
            .at(place(None));
        assert_eq!(error.find::<io::Error>().unwrap().to_string(), "disk");
        let chained = anyhow::Error::new(error);
        assert!(chained.chain().any(|cause| cause.is::<io::Error>()));
        assert_eq!(format!("{chained:#}"), "Dockerfile:3: x: disk");
    }
}
