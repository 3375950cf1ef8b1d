//! `SOURCE_DATE_EPOCH`: the time of everything that a build makes.
//!
//! As in BuildKit's frontend, the argument is a number of seconds, or names what has a time: `context`, a named
//! context, or a stage that holds nothing but one remote ADD. A commit has the time of its committer, a URL its
//! `Last-Modified`, an archive without one the time of its newest file. Directories and images have none.

use std::collections::{BTreeMap, BTreeSet};

use super::arguments::Globals;
use super::graph::at_line;
use super::steps::fetched;
use crate::error::{BuildError, Result};
use crate::files::copy::Content;
use crate::files::copy::archive::{is_archive, reader};
use crate::files::copy::contents::StoredFile;
use crate::files::download::{self, Download, Fetched};
use crate::files::git::{self, GitSource};
use crate::files::source::Source;
use crate::pins::PinName;
use crate::request::{BuildDefinition, BuildRequest, NamedContext};
use crate::target::TargetContext;
use imgmake_dockerfile::{Add, Dockerfile, DockerfileErrors, Instruction, Stage};
use imgmake_oci::image::Platform;
use imgmake_oci::layer::EntryKind;

const NAME: &str = "SOURCE_DATE_EPOCH";

/// The time, and what instructions see of the argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    pub seconds: Option<i64>,
    pub argument: Argument,
    /// Build arguments that the stage takes which has the time.
    pub taken: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Argument {
    #[default]
    AsGiven,
    /// In place of the name of a source.
    Seconds(String),
    /// It named something that has no time: this.
    Gone(String),
}

impl Epoch {
    /// What a person should know before a build.
    pub fn note(&self) -> Option<String> {
        match &self.argument {
            Argument::Gone(written) => Some(format!(
                "{NAME} `{written}` has no time, because directories and images have none: it has no effect"
            )),
            Argument::AsGiven | Argument::Seconds(_) => None,
        }
    }

    /// Puts the number in the place of a name, where the argument is among these.
    pub fn instead_of(&self, arguments: &mut BTreeMap<String, String>) {
        match &self.argument {
            Argument::AsGiven => {}
            Argument::Gone(_) => drop(arguments.remove(NAME)),
            Argument::Seconds(seconds) => {
                if let Some(value) = arguments.get_mut(NAME) {
                    value.clone_from(seconds);
                }
            }
        }
    }
}

/// # Errors
/// The argument names nothing, or a stage that is no source; the source cannot be had; platforms have different
/// times.
pub fn resolve(
    request: &BuildRequest,
    cx: &TargetContext,
    dockerfile: Option<(&str, &Dockerfile)>,
) -> Result<Epoch> {
    let Some((file, parsed)) = dockerfile else {
        return of_number(request);
    };
    let BuildDefinition::Dockerfile { stage, .. } = &request.definition else {
        return of_number(request);
    };
    // A target that is not there is told about with its place, later.
    let target = parsed.target(stage.as_deref()).unwrap_or_default();
    let mut platforms = request.platforms().into_iter();
    let first = platforms.next().unwrap_or_else(Platform::host);
    let mut epoch = of_platform(request, cx, (file, parsed), &first, target)?;
    for platform in platforms {
        let other = of_platform(request, cx, (file, parsed), &platform, target)?;
        if (other.seconds, &other.argument) != (epoch.seconds, &epoch.argument) {
            let told = |epoch: &Epoch| match epoch.seconds {
                Some(seconds) => seconds.to_string(),
                None => "none".to_string(),
            };
            return Err(BuildError::invalid(
                NAME,
                format!(
                    "it is {} for {first} and {} for {platform}; expected one time for all platforms of an image: \
                     give a number of seconds, or build each platform by itself",
                    told(&epoch),
                    told(&other),
                ),
            ));
        }
        epoch.taken.extend(other.taken);
    }
    Ok(epoch)
}

fn of_platform(
    request: &BuildRequest,
    cx: &TargetContext,
    (file, parsed): (&str, &Dockerfile),
    platform: &Platform,
    target: usize,
) -> Result<Epoch> {
    let mut globals = Globals::of((file, parsed), request, platform, target)?;
    let Some(written) = written(request, &mut globals) else {
        return of_number(request);
    };
    if written.is_empty() || seconds(&written).is_some() {
        return Ok(Epoch {
            seconds: request.epoch.or_else(|| seconds(&written)),
            ..Epoch::default()
        });
    }
    let found = match request.epoch {
        Some(epoch) => Some(epoch),
        None => match of_source(&written, (file, parsed), request, &mut globals)? {
            Some((remote, line)) => remote
                .time(cx, request)
                .map_err(|error| at_line(file, line, error))?,
            None => None,
        },
    };
    Ok(Epoch {
        seconds: found,
        argument: match found {
            Some(seconds) => Argument::Seconds(seconds.to_string()),
            None => Argument::Gone(written),
        },
        taken: globals.taken,
    })
}

/// Refuses what names nothing that has a time, without asking it.
///
/// # Errors
/// As [`resolve`], but for what only servers know.
pub fn check(
    request: &BuildRequest,
    (file, parsed): (&str, &Dockerfile),
    platform: &Platform,
) -> Result<()> {
    let BuildDefinition::Dockerfile { stage, .. } = &request.definition else {
        return Ok(());
    };
    let Ok(target) = parsed.target(stage.as_deref()) else {
        return Ok(());
    };
    let mut globals = Globals::of((file, parsed), request, platform, target)?;
    match written(request, &mut globals) {
        Some(name) if !name.is_empty() && seconds(&name).is_none() => {
            of_source(&name, (file, parsed), request, &mut globals).map(drop)
        }
        _ => Ok(()),
    }
}

fn written(request: &BuildRequest, globals: &mut Globals) -> Option<String> {
    let declared = globals.values.remove(NAME);
    request.args.get(NAME).cloned().or(declared)
}

/// Where there is nothing that a name could mean.
fn of_number(request: &BuildRequest) -> Result<Epoch> {
    let written = request.args.get(NAME).filter(|text| !text.is_empty());
    let given = match (request.epoch, written) {
        (Some(epoch), _) => Some(epoch),
        (None, Some(text)) => Some(seconds(text).ok_or_else(|| {
            BuildError::invalid(format!("{NAME} `{text}`"), "expected a number of seconds")
        })?),
        (None, None) => None,
    };
    Ok(Epoch {
        seconds: given,
        ..Epoch::default()
    })
}

fn seconds(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn of_source(
    name: &str,
    (file, parsed): (&str, &Dockerfile),
    request: &BuildRequest,
    globals: &mut Globals,
) -> Result<Option<(Remote, usize)>> {
    let is_context = |known: &String| known.eq_ignore_ascii_case(name);
    let named = request.contexts.iter().find(|(known, _)| is_context(known));
    let context = match (name, &request.fetched, named) {
        ("context", Some(fetched), _) => Some(&fetched.context),
        ("context", None, _) => return Ok(None),
        (_, _, Some((_, NamedContext::Remote(remote)))) => Some(remote),
        (_, _, Some(_)) => return Ok(None),
        (_, _, None) => None,
    };
    if let Some(context) = context {
        return Ok(match fetched(context)? {
            Source::Git(source) => Some((Remote::Repository(source), 0)),
            Source::Download(source) => Some((Remote::Url(source), 0)),
            Source::Tree(_) | Source::Inline(_) => None,
        });
    }
    let named = |stage: &&Stage| {
        stage
            .name()
            .is_some_and(|known| known.eq_ignore_ascii_case(name))
    };
    let Some(stage) = parsed.stages.iter().find(named) else {
        let error = BuildError::invalid(
            format!("{NAME} `{name}`"),
            "expected a number of seconds, `context`, a named context or a stage",
        );
        let mut declared = parsed.global_args.iter().filter(|located| {
            let names = located.value.iter().map(|declaration| &declaration.name);
            !request.args.contains_key(NAME) && names.into_iter().any(|known| known == NAME)
        });
        return Err(match declared.next_back() {
            Some(located) => at_line(file, located.first_line, error),
            None => error,
        });
    };
    of_stage(stage, file, parsed, request, globals).map(Some)
}

/// Of a stage that is `FROM scratch`, ARGs and one ADD of a URL or a repository.
fn of_stage(
    stage: &Stage,
    file: &str,
    parsed: &Dockerfile,
    request: &BuildRequest,
    globals: &mut Globals,
) -> Result<(Remote, usize)> {
    if !stage.mistakes.is_empty() {
        return Err(BuildError::Dockerfile {
            file: file.to_string(),
            errors: DockerfileErrors(stage.mistakes.clone()),
        });
    }
    let escape = parsed.directives.escape;
    let refused = |line: usize, why: &str| {
        let name = stage.name().unwrap_or_default();
        let error = BuildError::invalid(format!("stage `{name}` of {NAME}"), why);
        at_line(file, line, error)
    };
    let at_from = |error: BuildError| at_line(file, stage.line(), error);
    let values = globals.values.clone();
    let from = &stage.from.value;
    let image = from.expand_image(&|n| values.get(n).cloned(), escape);
    let image = image.map_err(|error| at_from(error.into()))?.text;
    if image != "scratch" {
        return Err(refused(stage.line(), "it must be `FROM scratch`"));
    }
    let mut added = None;
    for located in &stage.instructions {
        let line = located.first_line;
        match &located.value {
            Instruction::Arg(declarations) => {
                for declaration in declarations {
                    let declared = globals.declare(declaration, request, escape);
                    declared.map_err(|error| at_line(file, line, error))?;
                }
            }
            Instruction::Add(_) if added.is_some() => {
                return Err(refused(line, "it must have exactly one ADD"));
            }
            Instruction::Add(_) => {
                let values = &globals.values;
                let expanded = located.expand(&|n| values.get(n).cloned(), escape);
                let expanded = expanded.map_err(|error| at_line(file, line, error))?;
                added = Some((expanded.instruction, line));
            }
            other => {
                let why = format!(
                    "it may contain ARG and one ADD of a URL or a repository, and no {}",
                    other.name()
                );
                return Err(refused(line, &why));
            }
        }
    }
    let Some((Instruction::Add(add), line)) = added else {
        return Err(refused(stage.line(), "it must have exactly one ADD"));
    };
    let remote = Remote::of(&add).map_err(|error| at_line(file, line, error))?;
    let remote =
        remote.ok_or_else(|| refused(line, "its ADD must be of one URL or one repository"))?;
    Ok((remote, line))
}

/// What has a time.
enum Remote {
    Repository(GitSource),
    Url(Download),
}

impl Remote {
    /// `None` when it is no remote source.
    fn of(add: &Add) -> Result<Option<Remote>> {
        let sources: Vec<&str> = add.files.paths().collect();
        let [source] = sources[..] else {
            return Ok(None);
        };
        if add.files.sources.len() != 1 {
            return Ok(None);
        }
        if download::is_git(source) {
            return Ok(Some(Remote::Repository(GitSource::parse(
                source,
                add.keep_git_dir,
                add.checksum.as_deref(),
            )?)));
        }
        if !download::is_url(source) {
            return Ok(None);
        }
        Ok(Some(Remote::Url(Download::new(source, add)?)))
    }

    /// Its time, if it has one.
    fn time(&self, cx: &TargetContext, request: &BuildRequest) -> Result<Option<i64>> {
        match self {
            Remote::Repository(source) => git::time(source, cx, request).map(Some),
            Remote::Url(source) => {
                let fetched = download::fetch(source, cx, request)?;
                match fetched.mtime.seconds {
                    0 => time_of_archive(&fetched, cx),
                    modified => Ok(Some(modified)),
                }
            }
        }
    }
}

/// As a pin has it.
const NO_TIME: &str = "none";

/// The time of the newest file in what was fetched: looked for once for each content.
fn time_of_archive(fetched: &Fetched, cx: &TargetContext) -> Result<Option<i64>> {
    let name = PinName::TimeOfArchive(blake3::Hash::from(fetched.hash).to_string());
    match cx.pins.get(&name)?.as_deref() {
        Some(NO_TIME) => return Ok(None),
        Some(text) if seconds(text).is_some() => return Ok(seconds(text)),
        _ => {}
    }
    let found = newest(fetched, cx)?;
    let text = found.map_or(NO_TIME.to_string(), |seconds| seconds.to_string());
    cx.pins.set(&name, &text)?;
    Ok(found)
}

/// The time of the newest file in an archive; `None` for what is no archive, or a damaged one.
///
/// # Errors
/// The store cannot be read.
fn newest(fetched: &Fetched, cx: &TargetContext) -> Result<Option<i64>> {
    let mut file = StoredFile::new(&fetched.path);
    let content = Content::Source(Vec::new());
    let found = match is_archive(&content, &mut file, &cx.cancel) {
        true => newest_entry(&content, &mut file, cx),
        false => Ok(None),
    };
    cx.cancel.check()?;
    file.check()?;
    // Whatever else fails is in the archive.
    Ok(found.unwrap_or(None))
}

fn newest_entry(
    content: &Content,
    file: &mut StoredFile,
    cx: &TargetContext,
) -> Result<Option<i64>> {
    let mut entries = reader(content, file, &cx.cancel)?;
    let mut newest = None;
    while let Some(entry) = entries.next_entry()? {
        if matches!(
            entry.kind,
            EntryKind::File { .. } | EntryKind::HardLink { .. }
        ) {
            newest = newest.max(Some(entry.mtime.seconds));
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imgmake_event::Cancel;

    #[test]
    fn what_cannot_be_read_is_no_archive_without_a_time() {
        let directory = tempfile::tempdir().unwrap();
        // It opens, and gives an error when it is read.
        let mut file = StoredFile::new(directory.path());
        let content = Content::Source(Vec::new());
        assert!(!is_archive(&content, &mut file, &Cancel::default()));
        assert!(file.check().is_err());
        let mut gone = StoredFile::new(&directory.path().join("gone"));
        assert!(!is_archive(&content, &mut gone, &Cancel::default()));
        assert!(gone.check().is_err());
        let path = directory.path().join("text");
        std::fs::write(&path, "text").unwrap();
        let mut text = StoredFile::new(&path);
        assert!(!is_archive(&content, &mut text, &Cancel::default()));
        text.check().unwrap();
    }
}
