//! What a build refuses for what its Dockerfile says, found without files, images or servers: for `lint`.
//!
//! Names are resolved and steps evaluated as a build does it, so that both agree. What depends on the environment of
//! a base, which nobody has fetched here, is left to the build.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::define::base::{BaseImage, BaseImages};
use crate::define::compile::compile;
use crate::define::definition::ParsedDefinition;
use crate::define::epoch;
use crate::define::evaluate::{self, Todo};
use crate::define::graph::{Action, Stage, StageGraph, StageStep, Start};
use crate::define::state::ImageState;
use crate::error::{BuildError, Result};
use crate::files::copy::owner::{self, Accounts};
use crate::files::copy::select;
use crate::files::patterns::Patterns;
use crate::files::source::{CopyMode, FileWork, Operation};
use crate::request::{
    AddedLayers, AlsoStages, BuildDefinition, BuildRequest, DefaultNetwork, Insecure, NamedContext,
    Resolver,
};
use crate::run::prepare::check_targets;
use imgmake_dockerfile::{ArgDeclaration, Escape, Instruction, Located};
use imgmake_guard::checkout::Checkout;
use imgmake_oci::image::{Descriptor, Digest, ImageConfig, ManifestFormat, Platform, Reference};
use imgmake_oci::layer::{Compression, is_reserved};
use imgmake_sandbox::Limits;

/// What is asked of a Dockerfile, as far as its text is concerned.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub stage: Option<String>,
    pub also: AlsoStages,
    pub args: BTreeMap<String, String>,
    pub contexts: BTreeMap<String, NamedContext>,
    /// The machine's, where none is named.
    pub platforms: Vec<Platform>,
}

/// Everything that a build of this Dockerfile is sure to refuse, in the order of a build; each once.
pub fn refusals(file: &str, bytes: &[u8], asked: &Asked) -> Vec<BuildError> {
    let request = request(asked);
    let definition = match ParsedDefinition::of(file, bytes.to_vec()) {
        Ok(definition) => definition,
        Err(error) => return vec![error],
    };
    let mut found = Found::default();
    for platform in request.platforms() {
        if let Some(dockerfile) = definition.dockerfile() {
            found.note(epoch::check(&request, dockerfile, &platform));
        }
        match compile(&definition, &request, &Unfetched, &platform) {
            Ok(graph) => walk(&graph, &request, &mut found),
            Err(error) => found.add(error),
        }
    }
    found.errors
}

#[derive(Default)]
struct Found {
    errors: Vec<BuildError>,
    texts: BTreeSet<String>,
}

impl Found {
    fn add(&mut self, error: BuildError) {
        if self.texts.insert(format!("{error:#}")) {
            self.errors.push(error);
        }
    }

    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }
}

fn request(asked: &Asked) -> BuildRequest {
    BuildRequest {
        definition: BuildDefinition::Dockerfile {
            path: PathBuf::new(),
            stage: asked.stage.clone(),
        },
        contexts: asked.contexts.clone(),
        args: asked.args.clone(),
        platforms: asked.platforms.clone(),
        also: asked.also.clone(),
        target: String::new(),
        context: PathBuf::new(),
        fetched: None,
        excluded: Vec::new(),
        checkout: Checkout::default(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        secrets: BTreeMap::new(),
        ssh: BTreeMap::new(),
        add_hosts: BTreeMap::new(),
        resolver: Resolver::default(),
        authorities: Vec::new(),
        network: DefaultNetwork::default(),
        limits: Limits::default(),
        insecure: Insecure::default(),
        epoch: None,
        compression: Compression::None,
        format: ManifestFormat::default(),
        added: AddedLayers::default(),
        no_cache: false,
        pull: false,
        jobs: 1,
    }
}

/// Images of which nothing is known but their names.
struct Unfetched;

impl Unfetched {
    fn named(&self, name: &str, platform: &Platform) -> Arc<BaseImage> {
        Arc::new(BaseImage {
            name: name.to_string(),
            named: Digest::of(&[]),
            config: ImageConfig::scratch(platform),
            layers: Vec::new(),
        })
    }
}

impl BaseImages for Unfetched {
    fn image(&self, reference: &Reference, platform: &Platform) -> Result<Arc<BaseImage>> {
        Ok(self.named(&reference.to_string(), platform))
    }

    fn built(&self, name: &str, _: &Descriptor, platform: &Platform) -> Result<Arc<BaseImage>> {
        Ok(self.named(name, platform))
    }
}

/// A stage so far, and what of its environment is known.
#[derive(Clone)]
struct Progress {
    state: ImageState,
    /// A variable that nothing has set may have a value: the base's.
    is_open: bool,
    /// What was set to something that is not known.
    unknown: BTreeSet<String>,
}

fn walk(graph: &StageGraph, request: &BuildRequest, found: &mut Found) {
    let mut stages: Vec<Progress> = Vec::new();
    for stage in &graph.stages {
        let mut progress = Progress::start(stage, &stages);
        for step in &stage.steps {
            let done = progress.step(step, graph, request);
            found.note(done.map_err(|error| step.at(&graph.file, error)));
        }
        stages.push(progress);
    }
}

impl Progress {
    fn start(stage: &Stage, stages: &[Progress]) -> Progress {
        let base = match &stage.start {
            Start::Stage(number) => stages.get(*number),
            Start::Scratch | Start::Image(_) | Start::Directory(_) => None,
        };
        Progress {
            state: evaluate::start(stage, base.map(|base| &base.state), None),
            is_open: match &stage.start {
                Start::Image(_) => true,
                Start::Stage(_) => base.is_some_and(|base| base.is_open),
                Start::Scratch | Start::Directory(_) => false,
            },
            unknown: base.map(|base| base.unknown.clone()).unwrap_or_default(),
        }
    }

    fn step(&mut self, step: &StageStep, graph: &StageGraph, request: &BuildRequest) -> Result<()> {
        if let Action::Instruction(located) = &step.action
            && !self.knows(located, request, graph.escape)
        {
            return Ok(());
        }
        match evaluate::step(&mut self.state, step, graph, request, &mut BTreeSet::new())? {
            Todo::Nothing => Ok(()),
            Todo::Files(work) => check_files(&work),
            Todo::Run(run) => check_targets(&run, &self.state.config),
        }
    }

    /// Whether all variables of an instruction are known. Those that it sets are, from here on, if these are.
    fn knows(
        &mut self,
        located: &Located<Instruction>,
        request: &BuildRequest,
        escape: Escape,
    ) -> bool {
        match &located.value {
            Instruction::Arg(declarations) => {
                let mut all = true;
                for declaration in declarations {
                    all &= self.knows_default(declaration, request, escape);
                }
                all
            }
            written => {
                let (known, expanded) = self.looking(|look_up| located.expand(look_up, escape));
                if let Instruction::Env(written) = written {
                    let meant = match expanded.map(|expanded| expanded.instruction) {
                        Ok(Instruction::Env(pairs)) => pairs,
                        _ => written.clone(),
                    };
                    for pair in meant {
                        self.set(&pair.key, known);
                    }
                }
                known
            }
        }
    }

    fn knows_default(
        &mut self,
        declaration: &ArgDeclaration,
        request: &BuildRequest,
        escape: Escape,
    ) -> bool {
        if request.args.contains_key(&declaration.name) {
            self.set(&declaration.name, true);
            return true;
        }
        let (known, _) = self.looking(|look_up| declaration.expand_default(look_up, escape));
        // Without a default nothing changes.
        if declaration.default.is_some() {
            self.set(&declaration.name, known);
        }
        known
    }

    fn set(&mut self, name: &str, known: bool) {
        match known {
            true => drop(self.unknown.remove(name)),
            false => drop(self.unknown.insert(name.to_string())),
        }
    }

    /// What an expansion gives, and whether it has looked at nothing that is not known.
    fn looking<T>(&self, expand: impl FnOnce(&dyn Fn(&str) -> Option<String>) -> T) -> (bool, T) {
        let known = Cell::new(true);
        let expanded = expand(&|name: &str| {
            let value = self.state.variable(name);
            let is_unknown = self.unknown.contains(name) || (self.is_open && value.is_none());
            known.set(known.get() && !is_unknown);
            value
        });
        (known.get(), expanded)
    }
}

/// Owners and names that nothing in any image makes right.
fn check_files(work: &FileWork) -> Result<()> {
    for step in &work.steps {
        if let Some(owner) = &step.owner {
            owner::check(owner)?;
            owner::resolve(owner, &Accounts::default())?;
        }
        if let Some(tree) = step.operation.tree() {
            for path in &tree.paths {
                match tree.mode {
                    CopyMode::Parents => drop(Patterns::new(&[path.trim_matches('/')])?),
                    CopyMode::Plain | CopyMode::Unpack => select::check(path)?,
                }
            }
        }
        let (Operation::Copy { to: path, .. }
        | Operation::Directory { path, .. }
        | Operation::Symlink { path, .. }) = &step.operation;
        if is_reserved(path.trim_matches('/').as_bytes()) {
            let action = format!("cannot put `{path}` into a layer");
            return Err(BuildError::WhiteoutName.during(action));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Vec<String> {
        let errors = refusals("Dockerfile", text.as_bytes(), &Asked::default());
        errors.iter().map(|error| format!("{error:#}")).collect()
    }

    #[test]
    fn what_variables_of_the_file_hold_counts() {
        let said = refused(
            "FROM scratch\nARG P=abc\nEXPOSE $P\nCOPY --chmod=$P a /\nCOPY --chown=1:2:3 a /",
        );
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(
            said[0].starts_with("Dockerfile:3: EXPOSE `abc`"),
            "{said:#?}"
        );
        assert!(
            said[2].starts_with("Dockerfile:5: invalid owner"),
            "{said:#?}"
        );
    }

    #[test]
    fn what_a_base_may_set_is_left_to_the_build() {
        for unsure in [
            "FROM base\nENV A=${B:?needed}",
            "FROM base\nENV A=$B/tcp\nEXPOSE $A",
            "FROM base\nARG P=$B\nCOPY --chmod=$P a /",
            "FROM base AS one\nFROM one\nSTOPSIGNAL $S",
            "ARG S\nFROM base\nARG S\nSTOPSIGNAL $S",
        ] {
            assert_eq!(refused(unsure), [""; 0], "{unsure}");
        }
        for sure in [
            "FROM scratch\nENV A=${B:?needed}",
            "FROM base\nENV A=$B\nENV A=/tcp\nEXPOSE $A",
            "FROM base\nARG P=$B\nARG P=x\nCOPY --chmod=$P a /",
            "ARG S=no\nFROM base\nARG S\nSTOPSIGNAL $S",
        ] {
            assert_eq!(refused(sure).len(), 1, "{sure}");
        }
    }

    #[test]
    fn arguments_platforms_and_contexts_are_those_of_the_target() {
        let text = "FROM base AS stage\nARG P=80\nEXPOSE $P\nCOPY --from=3 a /\nFROM stage";
        assert_eq!(refused(text).len(), 1);
        let asked = Asked {
            args: BTreeMap::from([("P".into(), "x".into())]),
            contexts: BTreeMap::from([("3".into(), NamedContext::Path("three".into()))]),
            ..Asked::default()
        };
        let errors = refusals("Dockerfile", text.as_bytes(), &asked);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().contains("Dockerfile:3"), "{errors:?}");
    }
}
