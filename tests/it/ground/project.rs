//! A project in a directory of its own, and what a run of it did.
//!
//! ```ignore
//! let p = Project::new(WEB_AND_API).built();
//! p.write("api/main.c", "int main(){return 1;}");
//! p.build().ran(["api"]).reused(["web"]);
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::imgmake::{Imgmake, Ran};

pub struct Project {
    directory: tempfile::TempDir,
    pub imgmake: Imgmake,
}

/// The events of one run, by target.
#[derive(Debug)]
pub struct Built {
    pub ran: Ran,
    outcomes: BTreeMap<String, String>,
    reasons: BTreeMap<String, Vec<String>>,
    pub events: Vec<Value>,
}

impl Project {
    pub fn new(manifest: &str) -> Project {
        let directory = super::temporary();
        super::write(directory.path(), "imgmake.kdl", manifest);
        Project {
            directory,
            imgmake: Imgmake::new(),
        }
    }

    /// With one more file.
    pub fn with(self, path: &str, content: &str) -> Project {
        self.write(path, content);
        self
    }

    /// Once built, and long enough ago that its files count as settled.
    pub fn built(self) -> Project {
        self.build().succeeded();
        self
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub fn write(&self, path: &str, content: &str) {
        super::write(self.path(), path, content);
    }

    pub fn read(&self, path: &str) -> String {
        let read = std::fs::read_to_string(self.file(path));
        read.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// `imgmake` without arguments.
    pub fn build(&self) -> Built {
        self.run(&[])
    }

    pub fn run(&self, arguments: &[&str]) -> Built {
        let mut all = vec!["--progress=json"];
        all.extend(arguments);
        Built::of(self.imgmake.run(self.path(), &all))
    }
}

impl Built {
    fn of(ran: Ran) -> Built {
        let events: Vec<Value> = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            .collect();
        let mut outcomes = BTreeMap::new();
        let mut reasons = BTreeMap::new();
        for event in &events {
            let target = event["target"].as_str().unwrap_or_default().to_string();
            match event["event"].as_str() {
                Some("target-finished") => {
                    let outcome = event["outcome"].as_str().unwrap().to_string();
                    outcomes.insert(target, outcome);
                }
                Some("target-started") => {
                    let list = event["reasons"].as_array().unwrap().iter();
                    let list = list.map(|r| r.as_str().unwrap().to_string()).collect();
                    reasons.insert(target, list);
                }
                _ => {}
            }
        }
        Built {
            ran,
            outcomes,
            reasons,
            events,
        }
    }

    fn with_outcome(&self, wanted: &[&str]) -> Vec<&str> {
        let fits = |outcome: &String| wanted.contains(&outcome.as_str());
        let all = self.outcomes.iter().filter(|(_, outcome)| fits(outcome));
        all.map(|(target, _)| target.as_str()).collect()
    }

    /// Exactly these were made, whether or not that changed anything.
    #[track_caller]
    pub fn ran<const N: usize>(&self, targets: [&str; N]) -> &Built {
        assert_eq!(
            self.with_outcome(&["done", "unchanged"]),
            targets,
            "{self:?}"
        );
        self
    }

    /// Exactly these were fresh.
    #[track_caller]
    pub fn reused<const N: usize>(&self, targets: [&str; N]) -> &Built {
        assert_eq!(self.with_outcome(&["fresh"]), targets, "{self:?}");
        self
    }

    #[track_caller]
    pub fn failed<const N: usize>(&self, targets: [&str; N]) -> &Built {
        assert_eq!(self.with_outcome(&["failed"]), targets, "{self:?}");
        self
    }

    #[track_caller]
    pub fn skipped<const N: usize>(&self, targets: [&str; N]) -> &Built {
        assert_eq!(self.with_outcome(&["skipped"]), targets, "{self:?}");
        self
    }

    #[track_caller]
    pub fn exited(&self, code: i32) -> &Built {
        assert_eq!(self.ran.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub fn succeeded(&self) -> &Built {
        self.exited(0)
    }

    #[track_caller]
    pub fn because(&self, target: &str, reason: &str) -> &Built {
        let reasons = self.reasons.get(target).cloned().unwrap_or_default();
        assert!(reasons.iter().any(|r| r.contains(reason)), "{reasons:?}");
        self
    }

    #[track_caller]
    pub fn warned(&self, of: &str) -> &Built {
        let warnings = self.events.iter().filter(|e| e["event"] == "warning");
        let mut messages = warnings.map(|e| e["message"].as_str().unwrap_or_default());
        assert!(messages.any(|m| m.contains(of)), "{self:?}");
        self
    }
}
