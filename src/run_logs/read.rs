//! Logs that were written before. In a directory that others can write, only the user's own are read.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{LAST_LINES, LONGEST_LOG, prefix};

/// Bytes that are read of one log.
const MOST: u64 = LONGEST_LOG + 8 * LAST_LINES as u64;

/// The log of one target in one run.
#[derive(Clone, Debug)]
pub struct RunOfTarget {
    path: PathBuf,
}

/// What a log says.
#[derive(Debug, Default)]
pub struct Run {
    pub target: String,
    /// As ISO 8601.
    pub begun: String,
    pub reasons: Vec<String>,
    pub steps: Vec<Step>,
    /// What belongs to no step: of a command, and what was said of the target.
    pub output: Vec<String>,
    /// `done`, `failed`, …; none where the run was killed.
    pub outcome: Option<String>,
    pub seconds: f64,
    /// Of the failure.
    pub message: Option<String>,
    /// As they were written.
    pub events: Vec<Value>,
}

#[derive(Debug, Default)]
pub struct Step {
    pub id: u64,
    pub stage: String,
    /// Where the target was built for several.
    pub platform: Option<String>,
    pub text: String,
    pub output: Vec<String>,
    /// Equal for steps with the same result.
    pub key: Option<String>,
    /// `done`, `cached`, …; none where it was not finished.
    pub outcome: Option<String>,
    pub seconds: f64,
}

/// The runs of a target that are kept in a directory, the last one first.
pub fn last_runs(directory: &Path, project: &str, target: &str) -> Vec<RunOfTarget> {
    let mut logs = of_project(directory, project);
    let paths = logs.remove(&prefix(project, target)).unwrap_or_default();
    paths.into_iter().map(|path| RunOfTarget { path }).collect()
}

/// By what the names begin with, that is by target: the newest first.
pub(super) fn of_project(directory: &Path, project: &str) -> BTreeMap<String, Vec<PathBuf>> {
    let whole = prefix(project, "");
    // `run-` and the project.
    let own = &whole[..21];
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(directory) else {
        return found;
    };
    let user = rustix::process::geteuid().as_raw();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let is_own = name.starts_with(own) && name.ends_with(".log") && name.len() > whole.len();
        let is_ours = |meta: std::fs::Metadata| meta.is_file() && meta.uid() == user;
        if is_own && name.is_ascii() && entry.metadata().is_ok_and(is_ours) {
            let target = name[..whole.len()].to_string();
            found.entry(target).or_default().push(entry.path());
        }
    }
    for paths in found.values_mut() {
        paths.sort();
        paths.reverse();
    }
    found
}

impl RunOfTarget {
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> io::Result<Run> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&self.path)?;
        let mut run = Run::default();
        for line in BufReader::new(file.take(MOST)).split(b'\n') {
            // The last line of a run that was killed may be cut.
            if let Ok(value) = serde_json::from_slice::<Value>(&line?) {
                run.add(value);
            }
        }
        Ok(run)
    }
}

impl Run {
    fn add(&mut self, value: Value) {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_string();
        let seconds = value["seconds"].as_f64().unwrap_or_default();
        match value["event"].as_str() {
            None => (self.target, self.begun) = (text("target"), text("begun")),
            Some("target-started") => {
                let reasons = value["reasons"].as_array().into_iter().flatten();
                let reasons = reasons.filter_map(|reason| reason.as_str());
                self.reasons = reasons.map(str::to_string).collect();
            }
            Some("target-finished") => {
                self.outcome = Some(text("outcome"));
                self.seconds = seconds;
                self.message = value["message"].as_str().map(str::to_string);
            }
            Some("step-started") => self.steps.push(Step {
                id: value["id"].as_u64().unwrap_or_default(),
                stage: text("stage"),
                platform: value["platform"].as_str().map(str::to_string),
                text: text("text"),
                ..Step::default()
            }),
            Some("step-finished") => {
                let outcome = text("outcome");
                if let Some(step) = self.step(&value["id"]) {
                    step.key = value["key"].as_str().map(str::to_string);
                    (step.outcome, step.seconds) = (Some(outcome), seconds);
                }
            }
            Some("output") => {
                let line = text("line");
                match self.step(&value["step"]) {
                    Some(step) => step.output.push(line),
                    None => self.output.push(line),
                }
            }
            Some(kind @ ("warning" | "note")) => {
                self.output.push(format!("{kind}: {}", text("message")));
            }
            Some(_) => {}
        }
        self.events.push(value);
    }

    fn step(&mut self, id: &Value) -> Option<&mut Step> {
        let id = id.as_u64()?;
        self.steps.iter_mut().rev().find(|step| step.id == id)
    }
}
