//! What pipelines meet outside of their containers: a repository, registries that
//! want a login, secrets, volumes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::ground::images::path;
use crate::ground::registry::{Access, Registry};
use crate::ground::{git, run, temporary, write};

pub const USER: &str = "robot";
pub const PASSWORD: &str = "hunter2-of-the-registry";

pub struct Site {
    directory: tempfile::TempDir,
    pub east: Registry,
    pub west: Registry,
}

/// What the advisory of the project says of its only dependency, which is at 1.3.0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Findings {
    None,
    One,
}

impl Site {
    pub fn new(findings: Findings) -> Site {
        let start = || {
            let basic = Some((USER, PASSWORD));
            Registry::with(&Access {
                basic,
                ..Access::default()
            })
        };
        let site = Site {
            directory: temporary(),
            east: start(),
            west: start(),
        };
        site.make_repository(findings);
        let login = format!(r#"{{"auth":"{}"}}"#, base64(&format!("{USER}:{PASSWORD}")));
        let (east, west) = (&site.east.host, &site.west.host);
        let config = format!(r#"{{"auths":{{"{east}":{login},"{west}":{login}}}}}"#);
        write(site.directory.path(), "docker/config.json", config);
        site
    }

    /// `examples/ci/project` in git.
    fn make_repository(&self, findings: Findings) {
        let work = temporary();
        let project = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/ci/project/.");
        run("cp", &["-r", project, path(work.path())]);
        for leftover in ["out", ".imgmake"] {
            drop(std::fs::remove_dir_all(work.path().join(leftover)));
        }
        self.edit(&work.path().join("imgmake.kdl"), |text| self.hosts(text));
        if findings == Findings::One {
            let advisory = work.path().join("advisories/EXAMPLE-2026-0001.json");
            self.edit(&advisory, |text| text.replace("1.2.0", "9.0.0"));
        }
        let git = |arguments: &[&str]| git(work.path(), arguments);
        git(&["init", "-q", "-b", "main"]);
        git(&["add", "-A", "-f"]);
        git(&["commit", "-qm", "all"]);
        run(
            "git",
            &[
                "clone",
                "-q",
                "--bare",
                path(work.path()),
                path(&self.repository()),
            ],
        );
    }

    fn edit(&self, file: &Path, change: impl Fn(&str) -> String) {
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, change(&text)).unwrap();
    }

    fn repository(&self) -> PathBuf {
        self.directory.path().join("app.git")
    }

    /// A directory of its own for a volume or a job's checkout.
    pub fn volume(&self, name: &str) -> PathBuf {
        let volume = self.directory.path().join("volumes").join(name);
        std::fs::create_dir_all(&volume).unwrap();
        volume
    }

    /// A secret with a docker config.
    pub fn docker_config(&self) -> PathBuf {
        self.directory.path().join("docker")
    }

    pub fn checkout(&self, name: &str) -> PathBuf {
        let to = self.volume(name);
        run("git", &["clone", "-q", path(&self.repository()), path(&to)]);
        to
    }

    /// The hosts that the files name, as they are called here.
    pub fn hosts(&self, text: &str) -> String {
        let repository = format!("file://{}", self.repository().display());
        text.replace("https://git.example.com/team/app.git", &repository)
            .replace("registry.example.com", &self.east.host)
            .replace("registry.example.net", &self.west.host)
            .replace("ghcr.io", &self.east.host)
    }

    /// Repository and tag that each registry has, with the digests.
    pub fn published(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (name, registry) in [("east", &self.east), ("west", &self.west)] {
            for image in registry.tags() {
                let (repository, tag) = image.rsplit_once(':').unwrap();
                let digest = registry.digest(repository, tag).unwrap();
                all.insert(format!("{name}/{image}"), digest);
            }
        }
        all
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
