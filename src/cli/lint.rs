//! `lint`: the build checks of the reference, for the Dockerfiles of targets, or what other
//! builders would do differently.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::{Global, LintArgs, ListFormat};
use super::environment::Environment;
use super::output::{print, print_exactly, print_json, tell};
use super::project;
use crate::exit::{self, Exit};
use crate::report::{Level, annotation};
use crate::targets::{Project, plain};
use imgmake_build::{AlsoStages, BuildError, NamedContext, refusals};
use imgmake_core::manifest::{
    BuildTarget, ContextNode, DockerfilePlace, RecipeNode, Spanned, TargetKind,
};
use imgmake_dockerfile::compat::{Asked, Builder, Finding, compare};
use imgmake_dockerfile::{Dockerfile, DockerfileError, lint as checks};
use imgmake_oci::image::Descriptor;

/// One thing to tell, in both forms.
struct Told {
    line: usize,
    text: String,
    json: Value,
}

pub fn lint(global: &Global, args: &LintArgs, environment: &Environment) -> Result<u8, Exit> {
    let project = project::load(global, environment)?.project;
    let plan = project::select(&project, &args.targets)?;
    let mut files: Vec<Linted> = Vec::new();
    let mut places = BTreeMap::new();
    for id in plan.order {
        let TargetKind::Build(build) = &project.graph.target(id).kind else {
            continue;
        };
        let RecipeNode::Dockerfile { path, place, stage } = &build.recipe else {
            continue;
        };
        if *place == DockerfilePlace::Context {
            let name = &project.graph.target(id).name.value;
            tell(format!(
                "note: `{name}`: its Dockerfile is in a context that is fetched, and `lint` fetches nothing"
            ));
            continue;
        }
        let place = *places.entry(path.value.as_str()).or_insert(files.len());
        if place == files.len() {
            files.push(Linted::read(&project, &path.value)?);
        }
        files[place].uses.insert(Use {
            stage: stage.as_ref().map(|stage| stage.value.as_str()),
            args: arguments(build),
            also: texts(&build.also_stages),
            platforms: texts(&build.platforms),
            contexts: contexts(&project, build),
        });
    }
    let mut told = Vec::new();
    for file in &files {
        told.extend(file.look(args.compat.as_deref())?);
    }
    match args.format {
        ListFormat::Text => {
            print(&as_text(&told, files.len(), args.compat.is_some()))?;
            if environment.is_github() && args.compat.is_none() {
                for told in &told {
                    let text = annotation(Level::Warning, "imgmake lint", told.text.trim_end());
                    print_exactly(&format!("{text}\n"))?;
                }
            }
        }
        ListFormat::Json => {
            let all: Vec<&Value> = told.iter().map(|told| &told.json).collect();
            let text = serde_json::to_string_pretty(&all).expect("strings are JSON");
            print_json(&format!("{text}\n"))?;
        }
    }
    Ok(if told.is_empty() { 0 } else { exit::FAILED })
}

fn read(project: &Project, path: &str) -> Result<Vec<u8>, Exit> {
    project
        .checkout(&project.directory)
        .read(&project.directory.join(path))
        .map_err(|error| {
            Exit::error(
                exit::FAILED,
                format!("cannot read `{path}`: {}", plain(&error)),
            )
        })
}

fn arguments(build: &BuildTarget) -> BTreeMap<String, String> {
    let args = build.args.iter();
    args.map(|(n, v)| (n.clone(), v.value.clone())).collect()
}

fn texts(written: &[Spanned<String>]) -> Vec<&str> {
    written.iter().map(|text| text.value.as_str()).collect()
}

/// Their directories; images have none.
fn contexts<'a>(project: &Project, build: &'a BuildTarget) -> BTreeMap<&'a str, Option<PathBuf>> {
    let named = build.contexts.iter().map(|(name, context)| {
        let directory = match context {
            ContextNode::Path(path) => Some(project.directory.join(&path.value)),
            ContextNode::Image(_)
            | ContextNode::Target(_)
            | ContextNode::Git(_)
            | ContextNode::Layout { .. } => None,
        };
        (name.value.as_str(), directory)
    });
    named.collect()
}

fn as_text(told: &[Told], files: usize, compat: bool) -> String {
    if !told.is_empty() {
        return told.iter().map(|told| told.text.as_str()).collect();
    }
    let plural = if files == 1 { "" } else { "s" };
    match compat {
        true => format!("{files} Dockerfile{plural} without a known difference\n"),
        false => format!("{files} Dockerfile{plural} without a finding\n"),
    }
}

/// A Dockerfile, and what its targets make of it: another stage or other arguments may find more.
struct Linted<'a> {
    path: &'a str,
    bytes: Vec<u8>,
    uses: BTreeSet<Use<'a>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Use<'a> {
    stage: Option<&'a str>,
    args: BTreeMap<String, String>,
    also: Vec<&'a str>,
    platforms: Vec<&'a str>,
    contexts: BTreeMap<&'a str, Option<PathBuf>>,
}

impl Use<'_> {
    /// Which of the file's stages are built; none where what is asked for is not there.
    fn stages(&self, file: &Dockerfile) -> BTreeSet<usize> {
        let globals = file.global_values(&self.args);
        let Ok(target) = file.target(self.stage) else {
            return BTreeSet::new();
        };
        let mut asked = vec![target];
        match self.also.contains(&"*") {
            true => asked.extend(0..target),
            false => asked.extend(
                self.also
                    .iter()
                    .filter_map(|name| file.target(Some(name)).ok()),
            ),
        }
        let needed = asked.into_iter();
        needed
            .flat_map(|stage| file.needed_by(stage, &globals))
            .collect()
    }

    fn asked(&self) -> imgmake_build::Asked {
        let image = || NamedContext::Target(Descriptor::of("", &[]));
        let contexts = self.contexts.iter().map(|(name, directory)| {
            let context = directory.clone().map_or_else(image, NamedContext::Path);
            ((*name).to_owned(), context)
        });
        imgmake_build::Asked {
            stage: self.stage.map(str::to_owned),
            also: match self.also.as_slice() {
                [] => AlsoStages::None,
                stages if stages.contains(&"*") => AlsoStages::Earlier,
                stages => AlsoStages::Named(stages.iter().map(|s| (*s).to_owned()).collect()),
            },
            args: self.args.clone(),
            contexts: contexts.collect(),
            // What is none is a mistake of the manifest.
            platforms: self
                .platforms
                .iter()
                .filter_map(|p| p.parse().ok())
                .collect(),
        }
    }
}

impl<'a> Linted<'a> {
    fn read(project: &Project, path: &'a str) -> Result<Linted<'a>, Exit> {
        Ok(Linted {
            path,
            bytes: read(project, path)?,
            uses: BTreeSet::new(),
        })
    }

    /// What is the same for two targets is told once.
    fn look(&self, builders: Option<&[Builder]>) -> Result<Vec<Told>, Exit> {
        let file = match Dockerfile::parse(&self.bytes) {
            Err(errors) => return Ok(errors.0.iter().map(|e| mistake(self.path, e)).collect()),
            Ok(file) => file,
        };
        let mut told = self.refused(&file);
        let mut found = Vec::new();
        for used in &self.uses {
            found.extend(match builders {
                None => self.checked(&file, used)?,
                Some(builders) => self.compared(&file, used, builders),
            });
        }
        // One target's are in this order already.
        found.sort_by_key(|told| told.line);
        told.extend(found);
        let mut seen = HashSet::new();
        told.retain(|told: &Told| seen.insert(told.text.clone()));
        Ok(told)
    }

    /// What a build refuses. Mistakes of stages that nothing needs fail none.
    fn refused(&self, file: &Dockerfile) -> Vec<Told> {
        let asked = self.uses.iter().map(Use::asked);
        let errors: Vec<BuildError> = asked
            .flat_map(|asked| refusals(self.path, &self.bytes, &asked))
            .collect();
        let told = errors.iter().filter_map(|error| refusal(self.path, error));
        let mut told: Vec<Told> = told.collect();
        // Those of a stage that the build reads for something else, its time, are refused, too.
        let named = |mistake: &DockerfileError| {
            errors.iter().any(|refused| match refused {
                BuildError::Dockerfile { errors, .. } => errors.0.contains(mistake),
                _ => false,
            })
        };
        let built = self.uses.iter().flat_map(|used| used.stages(file));
        let built: BTreeSet<usize> = built.collect();
        for (number, stage) in file.stages.iter().enumerate() {
            for error in &stage.mistakes {
                told.push(match built.contains(&number) || named(error) {
                    true => mistake(self.path, error),
                    false => unneeded(self.path, error),
                });
            }
        }
        told.sort_by_key(|told| told.line);
        told
    }

    fn checked(&self, file: &Dockerfile, used: &Use<'_>) -> Result<Vec<Told>, Exit> {
        let options = used.args.get("BUILDKIT_DOCKERFILE_CHECK");
        let options = options.map(|text| checks::CheckOptions::parse(text));
        let options = options.transpose().map_err(|error| {
            Exit::error(exit::FAILED, format!("BUILDKIT_DOCKERFILE_CHECK: {error}"))
        })?;
        let contexts = used.contexts.keys().map(|name| (*name).to_string());
        let contexts: BTreeSet<String> = contexts.collect();
        let facts = checks::Facts {
            build_args: Some(&used.args),
            check: options.as_ref(),
            contexts: Some(&contexts),
            ..checks::Facts::default()
        };
        let told = |warning: checks::Warning| {
            let (path, line, check) = (self.path, warning.line, warning.rule.name());
            let message = warning.message;
            Told {
                line,
                text: format!("{path}:{line}: {check}: {message}\n"),
                json: json!({"file": path, "line": line, "check": check, "message": message}),
            }
        };
        Ok(checks::lint(file, &facts).into_iter().map(told).collect())
    }

    fn compared(&self, file: &Dockerfile, used: &Use<'_>, builders: &[Builder]) -> Vec<Told> {
        let asked = Asked {
            args: &used.args,
            stage: used.stage,
        };
        let found = compare(file, &self.bytes, &asked, builders);
        let told = found.iter().map(|f| difference(self.path, f, builders));
        told.collect()
    }
}

/// The place and what happens here, then a line for each builder that does something else.
fn difference(path: &str, finding: &Finding, builders: &[Builder]) -> Told {
    let (line, words) = (finding.place.line, &finding.place.words);
    let row = finding.difference;
    let depends = row.depends_on_files();
    let sure = if depends {
        " (may make no difference)"
    } else {
        ""
    };
    let mut text = format!("{path}:{line}: {}: {words}{sure}\n", row.name);
    text += &format!("    here: {}\n", row.here);
    let mut others = Vec::new();
    for other in row
        .elsewhere
        .iter()
        .filter(|e| builders.contains(&e.builder))
    {
        let (builder, does) = (other.builder.name(), other.does);
        let before = other.until.map(|v| format!(" before {v}"));
        text += &format!("    {builder}{}: {does}\n", before.unwrap_or_default());
        others.push(json!({"builder": builder, "before": other.until, "does": does}));
    }
    Told {
        line,
        text,
        json: json!({
            "file": path, "line": line, "difference": row.name, "words": words,
            "here": row.here, "elsewhere": others, "depends-on-files": depends,
        }),
    }
}

/// `Dockerfile:2: error: what is wrong`; nothing for the mistakes of a stage, which have columns and are told already.
fn refusal(file: &str, error: &BuildError) -> Option<Told> {
    let (place, fact) = match error {
        BuildError::Dockerfile { .. } => return None,
        BuildError::At { place, source } => (Some(place), format!("{source:#}")),
        other => (None, format!("{other:#}")),
    };
    let line = place.and_then(|place| place.line);
    let place = place.map_or(file.to_owned(), ToString::to_string);
    Some(Told {
        line: line.unwrap_or_default(),
        text: format!("{place}: error: {fact}\n"),
        json: json!({"file": file, "line": line, "column": null, "error": fact, "help": null}),
    })
}

/// The `check` of what [`unneeded`] tells.
const UNNEEDED: &str = "mistake-in-unneeded-stage";

/// `Dockerfile:2:14: what is wrong (what to do); no target needs this stage`.
fn unneeded(file: &str, error: &DockerfileError) -> Told {
    let column = error.column.map_or(String::new(), |c| format!(":{c}"));
    let advice = error.advice().map_or(String::new(), |a| format!(" ({a})"));
    let (line, fact) = (error.line, &error.mistake);
    let message = format!("{fact}{advice}; no target needs this stage");
    Told {
        line,
        text: format!("{file}:{line}{column}: {message}\n"),
        json: json!({"file": file, "line": line, "check": UNNEEDED, "message": message}),
    }
}

/// `Dockerfile:2:14: error: what is wrong (what to do)`.
fn mistake(file: &str, error: &DockerfileError) -> Told {
    let column = error.column.map_or(String::new(), |c| format!(":{c}"));
    let advice = error.advice().map_or(String::new(), |a| format!(" ({a})"));
    Told {
        line: error.line,
        text: format!(
            "{file}:{}{column}: error: {}{advice}\n",
            error.line, error.mistake
        ),
        json: json!({
            "file": file, "line": error.line, "column": error.column,
            "error": error.mistake.to_string(), "help": error.advice(),
        }),
    }
}
