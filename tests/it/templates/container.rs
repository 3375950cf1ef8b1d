//! One container of a pipeline, started as its platform would start it: entry point
//! or command, arguments, environment and mounts as the file says. Paths of the
//! container stand for directories here; the images of imgmake stand for the
//! program under test, under the name that the image starts as.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use imgmake_compat::plugin::EntryPoint;

use super::site::{PASSWORD, Site};
use crate::ground::temporary;

#[derive(Default)]
pub struct Container {
    pub name: String,
    pub image: String,
    /// In place of the image's entry point.
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub directory: String,
    /// Path in the container → directory here.
    pub mounts: Vec<(String, PathBuf)>,
}

#[derive(Debug)]
pub struct Ran {
    pub name: String,
    pub code: i32,
    pub output: String,
}

impl Ran {
    /// # Panics
    /// The output holds a secret.
    pub fn of(name: String, output: &std::process::Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = text(&output.stdout) + &text(&output.stderr);
        assert!(!all.contains(PASSWORD), "a secret is shown: {all}");
        assert!(!all.contains("panicked"), "{all}");
        Ran {
            name,
            code: output.status.code().unwrap_or(-1),
            output: all,
        }
    }
}

impl Container {
    pub fn run(&self, site: &Site) -> Ran {
        // What is written in the container and not to a volume is gone afterwards.
        let inside = temporary();
        for folder in ["kaniko/.docker", "kaniko/.cache", "root", "bin"] {
            std::fs::create_dir_all(inside.path().join(folder)).unwrap();
        }
        let mut mounts = self.mounts.clone();
        for own in ["/kaniko", "/root"] {
            mounts.push((own.to_string(), inside.path().join(&own[1..])));
        }
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let here = |text: &str| site.hosts(&translated(text, &mounts));

        let entry = self.entry_point();
        let words = match self.command.as_slice() {
            [] => [&[entry][..], &self.args].concat(),
            command => [command, &self.args].concat(),
        };
        let bin = inside.path().join("bin");
        for name in self.programs() {
            let link = bin.join(name.rsplit('/').next().unwrap());
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_imgmake"), link).unwrap();
        }
        let program = self.program(&words[0], &bin);
        let mut environment: BTreeMap<String, String> = [
            ("PATH", format!("{}:/usr/bin:/bin", bin.display())),
            ("HOME", "/root".into()),
            ("DOCKER_CONFIG", "/kaniko/.docker".into()),
            ("XDG_CACHE_HOME", "/kaniko/.cache".into()),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        environment.extend(self.env.iter().cloned());
        let output = Command::new(program)
            .args(words[1..].iter().map(|word| here(word)))
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, here(value))))
            .current_dir(here(&self.directory))
            .output()
            .unwrap();
        Ran::of(self.name.clone(), &output)
    }

    /// `registry.example.com/imgmake/debug:latest` is `debug`.
    fn image_name(&self) -> &str {
        let name = self.image.rsplit('/').next().unwrap();
        name.split(':').next().unwrap()
    }

    fn is_ours(&self) -> bool {
        self.image.starts_with("registry.example.com/imgmake/")
    }

    /// What the image starts as.
    fn entry_point(&self) -> String {
        let name = match self.image_name() {
            "imgmake" | "debug" => "imgmake",
            "executor" | "executor-debug" => "executor",
            name => name,
        };
        name.to_string()
    }

    /// Every name that our images have for the program.
    fn programs(&self) -> Vec<&'static str> {
        match self.is_ours() {
            true => ["imgmake", "executor"]
                .into_iter()
                .chain(EntryPoint::names())
                .collect(),
            false => Vec::new(),
        }
    }

    /// # Panics
    /// The image does not have it: a mistake in the file.
    fn program(&self, name: &str, bin: &std::path::Path) -> PathBuf {
        let short = name.rsplit('/').next().unwrap();
        let own = bin.join(short);
        if own.exists() {
            return own;
        }
        let has_a_shell = !self.is_ours() || self.image_name().ends_with("debug");
        let found = match short {
            "sh" if has_a_shell => "/bin/sh",
            "git" if self.image.contains("alpine/git") => "/usr/bin/git",
            other => panic!("{}: the image {} has no `{other}`", self.name, self.image),
        };
        found.into()
    }
}

/// A text with the paths of the container replaced by those of the mounts, longest first.
fn translated(text: &str, mounts: &[(String, PathBuf)]) -> String {
    let mut done = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let starts_here = |path: &str| {
            let after = rest[path.len()..].chars().next();
            let whole = after.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
            let before = done.chars().next_back();
            whole && before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '.' && c != ':')
        };
        let mut mounts = mounts.iter();
        let mount = mounts.find(|(path, _)| rest.starts_with(path.as_str()) && starts_here(path));
        let taken = match mount {
            Some((path, directory)) => {
                done.push_str(directory.to_str().unwrap());
                path.len()
            }
            None => {
                let first = rest.chars().next().unwrap();
                done.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    done
}
