//! Which stage a name or a number means: in FROM, in `--from=`, as the target of a build.

use std::collections::HashMap;

use super::ast::{Dockerfile, Stage};
use super::error::{DockerfileError, Kind, Mistake};
use super::suggest;

/// What a stage reference (`COPY --from=`, `--mount=from=`, `FROM`) leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageReference {
    /// An earlier stage.
    Stage(usize),
    /// A stage, but this very one or a later one: an error for the caller to report.
    NotYet(usize),
    /// No stage: a named context or an image.
    Other,
}

fn number(text: &str) -> Option<usize> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// The names of a file's stages, for who asks about many.
pub(crate) struct StageNames<'a> {
    /// Of each name: the stages that have it, in order.
    stages: HashMap<&'a str, Vec<usize>>,
    count: usize,
}

impl StageNames<'_> {
    /// As [`Dockerfile::base_stage`].
    pub fn base(&self, image: &str, at: usize) -> Option<usize> {
        let named = self.stages.get(image.to_lowercase().as_str())?;
        let before = named.partition_point(|stage| *stage < at);
        before.checked_sub(1).map(|last| named[last])
    }

    /// As [`Dockerfile::stage_reference`].
    pub fn reference(&self, reference: &str, at: usize) -> StageReference {
        let name = reference.to_lowercase();
        let first = || self.stages.get(name.as_str()).map(|named| named[0]);
        meaning(
            reference,
            at,
            self.count,
            self.base(reference, at).or_else(first),
        )
    }
}

/// `named`: the last stage before `at` that has the name, else the first one.
fn meaning(reference: &str, at: usize, count: usize, named: Option<usize>) -> StageReference {
    let by_number = || number(reference).filter(|n| *n < count);
    match named.or_else(by_number) {
        Some(stage) if stage < at => StageReference::Stage(stage),
        // A later stage is only good for the error.
        Some(stage) => StageReference::NotYet(stage),
        None => StageReference::Other,
    }
}

impl Dockerfile {
    pub(crate) fn stage_names(&self) -> StageNames<'_> {
        let mut stages: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, stage) in self.stages.iter().enumerate() {
            if let Some(name) = stage.name() {
                stages.entry(name).or_default().push(at);
            }
        }
        let count = self.stages.len();
        StageNames { stages, count }
    }

    /// The stage that `FROM image` in stage `at` continues, by name.
    pub fn base_stage(&self, image: &str, at: usize) -> Option<usize> {
        let before = self.stages.get(..at).unwrap_or(&self.stages);
        let image = image.to_lowercase();
        before.iter().rposition(|s| s.name() == Some(&image))
    }

    /// What `--from=reference` means inside stage `at`: names go before numbers.
    pub fn stage_reference(&self, reference: &str, at: usize) -> StageReference {
        let name = reference.to_lowercase();
        let named = |s: &Stage| s.name() == Some(&name);
        let first = || self.stages.iter().position(named);
        let earlier = self.base_stage(reference, at);
        meaning(reference, at, self.stages.len(), earlier.or_else(first))
    }

    /// The stage to build: the last one, or the one that `--target` names.
    pub fn target(&self, name: Option<&str>) -> Result<usize, DockerfileError> {
        let Some(name) = name else {
            return Ok(self.stages.len() - 1);
        };
        let lower = name.to_lowercase();
        let by_name = self.stages.iter().rposition(|s| s.name() == Some(&lower));
        by_name
            .or_else(|| number(name).filter(|n| *n < self.stages.len()))
            .ok_or_else(|| self.unknown_target(name))
    }

    fn unknown_target(&self, name: &str) -> DockerfileError {
        let names: Vec<&str> = self.stages.iter().filter_map(Stage::name).collect();
        let help = match names.is_empty() {
            true => "no stage has a name: write `FROM image AS name`".to_owned(),
            false => format!("the stages are: {}", imgmake_guard::printable::list(&names)),
        };
        Mistake::unknown(Kind::Stage, name)
            .at(1)
            .word(name)
            .nearest(suggest::nearest(&name.to_lowercase(), names))
            .help(help)
    }
}
