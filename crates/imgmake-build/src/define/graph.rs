//! What a target's image is made of, for one platform: stages with their steps, each after what it needs. Every
//! name in it is resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::base::BaseImage;
use crate::error::{BuildError, Place};
use crate::files::source::Origin;
use crate::request::Step;
use imgmake_dockerfile::{Escape, Instruction, Located};
use imgmake_oci::image::Platform;

/// What to execute for one platform.
pub struct StageGraph {
    /// In order: everything that a stage needs stands before it.
    pub stages: Vec<Stage>,
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

pub struct Stage {
    /// `build`, `stage-1`, or the image's name for `COPY --from=image`.
    pub name: String,
    pub platform: Platform,
    pub start: Start,
    pub steps: Vec<StageStep>,
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
pub struct StageStep {
    pub action: Action,
    pub line: usize,
    /// As shown to people.
    pub text: String,
    /// Whether the base image brought it, as ONBUILD.
    pub is_trigger: bool,
    /// `--from` names of COPY and of mounts.
    pub origins: BTreeMap<String, Origin>,
    /// What is read where no name is said: the context, or the stage that a fetched one becomes.
    pub context: Origin,
}

impl StageStep {
    /// What `from` means; without a name, the context.
    ///
    /// # Panics
    /// Names are resolved before there is a step.
    pub fn origin(&self, from: Option<&str>) -> &Origin {
        match from {
            None => &self.context,
            Some(name) => self
                .origins
                .get(name)
                .expect("every from was resolved before the build began"),
        }
    }

    /// An error of this step, at its line. A trigger's line is the FROM that brought it.
    pub fn at(&self, file: &str, error: BuildError) -> BuildError {
        at_place(self.place(file), error)
    }

    pub fn place(&self, file: &str) -> Place {
        Place {
            trigger: self.is_trigger.then(|| self.text.clone()),
            ..line_of(file, self.line)
        }
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

/// An error at a line of the Dockerfile.
pub fn at_line(file: &str, line: usize, error: impl Into<BuildError>) -> BuildError {
    at_place(line_of(file, line), error.into())
}

pub fn line_of(file: &str, line: usize) -> Place {
    Place {
        line: (line > 0).then_some(line),
        ..Place::file(file)
    }
}

fn at_place(place: Place, error: BuildError) -> BuildError {
    match &error {
        // A stage that this line needs: its own line says more.
        BuildError::At { place: nearer, .. } if nearer.file == place.file => error,
        BuildError::Dockerfile { file, .. } if *file == place.file => error,
        _ => error.at(place),
    }
}
