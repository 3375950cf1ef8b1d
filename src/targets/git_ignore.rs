//! What a repository's `.gitignore` files leave out (gitignore, "Pattern Format"). What is ignored on one
//! machine alone, by `.git/info/exclude` and the user's settings, does not count: keys are everybody's. What
//! git tracks is never ignored, whatever the files say.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::git_index::{GitIndex, TrackedPaths};
use imgmake_core::manifest::Glob;
use imgmake_core::manifest::glob::clean;
use imgmake_guard::checkout::Checkout;

const FILE: &str = ".gitignore";

/// The `.gitignore` files of a project, and of its repository above it, each read once.
pub struct GitIgnore {
    /// Above it no file counts.
    top: PathBuf,
    checkout: Checkout,
    /// The project as seen from there.
    project: String,
    repository: Option<Repository>,
    files: Mutex<HashMap<String, Arc<Vec<Rule>>>>,
}

/// The work tree that a project is in, if anybody's files there are believed.
struct Repository {
    top: PathBuf,
    /// The project as seen from there.
    project: String,
    index: Arc<GitIndex>,
    tracked: OnceLock<Arc<TrackedPaths>>,
}

/// What becomes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    No,
    /// It matches, and git tracks it, or something in it: of what is in it, what is tracked alone counts.
    ButTracked,
    Yes,
}

struct Rule {
    glob: Glob,
    takes_back: bool,
    of_directories: bool,
}

impl GitIgnore {
    pub fn of(project: &Path, index: &Arc<GitIndex>) -> GitIgnore {
        let mut above = project.ancestors();
        let top = above.find(|path| path.join(".git").exists());
        // What another user put above, as into a directory for everybody, is not asked.
        let top = top.filter(|top| is_believed(top, project));
        let repository = top.map(|top| Repository {
            top: top.to_path_buf(),
            project: inside(top, project),
            index: Arc::clone(index),
            tracked: OnceLock::new(),
        });
        let whole = GitIgnore::below(top.unwrap_or(project), project);
        // Nobody means a project to have no inputs: that its directory is ignored from above says nothing.
        let ignore = match !whole.project.is_empty() && whole.matches("", || true) {
            true => GitIgnore::below(project, project),
            false => whole,
        };
        GitIgnore {
            repository,
            ..ignore
        }
    }

    fn below(top: &Path, project: &Path) -> GitIgnore {
        GitIgnore {
            top: top.to_path_buf(),
            checkout: Checkout::new([top]),
            project: inside(top, project),
            repository: None,
            files: Mutex::default(),
        }
    }

    /// The top of the repository's work tree, if the project is in one that is believed.
    pub fn work_tree(&self) -> Option<&Path> {
        self.repository.as_ref().map(|one| one.top.as_path())
    }

    /// What becomes of a path of the project, by itself and the directories that it is in.
    pub fn judge(&self, path: &str, is_directory: impl FnOnce() -> bool) -> Ignored {
        self.unless_tracked(path, self.matches(path, is_directory))
    }

    /// The same of the path alone, for who has been asking about the directories above it.
    pub fn judge_itself(&self, path: &str, is_directory: impl FnOnce() -> bool) -> Ignored {
        let seen = seen_from(&self.project, path);
        let matches = seen.is_some_and(|path| self.names(&path, is_directory));
        self.unless_tracked(path, matches)
    }

    fn unless_tracked(&self, path: &str, matches: bool) -> Ignored {
        match matches {
            false => Ignored::No,
            true if self.tracks(path) => Ignored::ButTracked,
            true => Ignored::Yes,
        }
    }

    /// Whether git tracks a path of the project, or something in it.
    pub fn tracks(&self, path: &str) -> bool {
        let Some(repository) = &self.repository else {
            return false;
        };
        let path = seen_from(&repository.project, path);
        path.is_some_and(|path| repository.tracked().has(&path))
    }

    /// Why nobody knows what git tracks, if that was asked.
    pub fn problem(&self) -> Option<&str> {
        let tracked = self.repository.as_ref()?.tracked.get()?;
        tracked.problem.as_deref()
    }

    fn matches(&self, path: &str, is_directory: impl FnOnce() -> bool) -> bool {
        let Some(path) = seen_from(&self.project, path) else {
            return false;
        };
        let mut above = path.match_indices('/').map(|(at, _)| &path[..at]);
        above.any(|above| self.names(above, || true)) || self.names(&path, is_directory)
    }

    /// The last rule of the nearest file that has one decides.
    fn names(&self, path: &str, is_directory: impl FnOnce() -> bool) -> bool {
        let mut is_directory = Some(is_directory);
        let mut known = None;
        let mut is_one =
            || *known.get_or_insert_with(|| is_directory.take().is_some_and(|ask| ask()));
        let mut end = path.len();
        loop {
            let slash = path[..end].rfind('/');
            let (directory, inside) = match slash {
                Some(slash) => (&path[..slash], &path[slash + 1..]),
                None => ("", path),
            };
            for rule in self.rules(directory).iter().rev() {
                if rule.glob.matches(inside) && (!rule.of_directories || is_one()) {
                    return !rule.takes_back;
                }
            }
            match slash {
                Some(slash) => end = slash,
                None => return false,
            }
        }
    }

    fn rules(&self, directory: &str) -> Arc<Vec<Rule>> {
        let mut files = self.files.lock().expect("no thread panics with the rules");
        if let Some(rules) = files.get(directory) {
            return Arc::clone(rules);
        }
        // One that leads out of the repository, or cannot be read, says nothing, as for git.
        let text = self
            .checkout
            .read_to_string(&self.top.join(directory).join(FILE));
        let rules = Arc::new(parse(&text.unwrap_or_default()));
        files.insert(directory.to_string(), Arc::clone(&rules));
        rules
    }
}

impl Repository {
    fn tracked(&self) -> &TrackedPaths {
        self.tracked.get_or_init(|| self.index.of(&self.top))
    }
}

fn inside(top: &Path, project: &Path) -> String {
    let inside = project.strip_prefix(top).unwrap_or(Path::new(""));
    inside.to_string_lossy().into_owned()
}

/// A path of the project as seen from above it; `None` where it is not below there.
fn seen_from(project: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let path = match project {
        "" => clean(path),
        project => clean(&format!("{project}/{path}")),
    };
    (!path.is_empty() && path != ".." && !path.starts_with("../")).then_some(path)
}

/// Of the user's own, root's, or whose the project is.
fn is_believed(top: &Path, project: &Path) -> bool {
    let owner = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.uid());
    let believed = [
        Some(0),
        Some(rustix::process::geteuid().as_raw()),
        owner(project),
    ];
    let git = owner(&top.join(".git"));
    git.is_some() && believed.contains(&git)
}

fn parse(text: &str) -> Vec<Rule> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().filter_map(rule).collect()
}

fn rule(line: &str) -> Option<Rule> {
    let line = without_blanks_at_the_end(line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (takes_back, pattern) = match line.strip_prefix('!') {
        Some(pattern) => (true, pattern),
        None => (false, line),
    };
    let (of_directories, pattern) = match pattern.strip_suffix('/') {
        Some(pattern) => (true, pattern),
        None => (false, pattern),
    };
    // With a slash it is meant from this directory on, without one at any depth.
    let anchored = pattern.contains('/');
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    if pattern.is_empty() {
        return None;
    }
    // Braces are letters to git.
    let pattern = pattern.replace('{', "\\{").replace('}', "\\}");
    let pattern = match anchored {
        true => pattern,
        false => format!("**/{pattern}"),
    };
    Some(Rule {
        // What git could not read either matches nothing.
        glob: Glob::new(&pattern).ok()?,
        takes_back,
        of_directories,
    })
}

/// A blank counts where a backslash stands before it.
fn without_blanks_at_the_end(line: &str) -> &str {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.ends_with('\\') && trimmed.len() < line.len() {
        true => &line[..=trimmed.len()],
        false => trimmed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(".git")).unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        directory
    }

    fn of(project: &Path) -> GitIgnore {
        GitIgnore::of(project, &Arc::default())
    }

    fn ignores(ignore: &GitIgnore, path: &str, is_directory: impl FnOnce() -> bool) -> bool {
        ignore.judge(path, is_directory) == Ignored::Yes
    }

    #[test]
    fn rules_are_gits() {
        let text = "# comment\n*.log\n!keep.log\n/top\ntarget/\ndocs/*.html\na/**/z\nx{1}\nblank\\ \n\\#hash\n\\!bang\n[ab]c\n";
        let repository = repository(&[(".gitignore", text), ("sub/.gitignore", "!in.log\nown\n")]);
        let ignore = of(repository.path());
        for (path, is_directory, expected) in [
            ("a.log", false, true),
            ("deep/er/a.log", false, true),
            ("keep.log", false, false),
            ("sub/in.log", false, false),
            ("sub/other.log", false, true),
            ("top", false, true),
            ("sub/top", false, false),
            ("target", true, true),
            ("target", false, false),
            ("sub/target", true, true),
            ("target/x/y", false, true),
            ("docs/a.html", false, true),
            ("docs/b/a.html", false, false),
            ("sub/docs/a.html", false, false),
            ("a/z", false, true),
            ("a/b/c/z", false, true),
            ("x{1}", false, true),
            ("x1", false, false),
            ("blank ", false, true),
            ("#hash", false, true),
            ("!bang", false, true),
            ("ac", false, true),
            ("sub/own", false, true),
            ("own", false, false),
            ("../a.log", false, false),
            ("/a.log", false, false),
        ] {
            assert_eq!(ignores(&ignore, path, || is_directory), expected, "{path}");
        }
        assert_eq!(ignore.judge_itself("target/x/y", || false), Ignored::No);
    }

    #[test]
    fn an_ignored_project_has_inputs_of_its_own() {
        let outer = repository(&[
            (".gitignore", "/vendor/\n"),
            ("vendor/.gitignore", "*.tmp\n"),
        ]);
        let ignore = of(&outer.path().join("vendor"));
        for (path, expected) in [("main.c", false), ("a.tmp", true)] {
            assert_eq!(ignores(&ignore, path, || false), expected, "{path}");
        }
    }

    #[test]
    #[ignore = "only root gives a file to another user"]
    fn a_repository_of_another_user_above_a_project_is_not_asked() {
        let outer = repository(&[(".gitignore", "*\n"), ("mine/main.c", "")]);
        std::os::unix::fs::chown(outer.path().join(".git"), Some(4711), None).unwrap();
        let ignore = of(&outer.path().join("mine"));
        assert!(!ignores(&ignore, "main.c", || false));
    }

    #[test]
    fn files_of_the_repository_above_a_project_count_and_none_above_that() {
        let outer = repository(&[
            (".gitignore", "*.o\n/api/gen\n"),
            ("api/.gitignore", "*.tmp\n"),
        ]);
        let ignore = of(&outer.path().join("api"));
        assert!(ignores(&ignore, "x.o", || false));
        assert!(ignores(&ignore, "gen/x", || false));
        assert!(ignores(&ignore, "x.tmp", || false));
        assert!(!ignores(&ignore, "api/gen", || false));
        std::fs::create_dir(outer.path().join("api/.git")).unwrap();
        let ignore = of(&outer.path().join("api"));
        assert!(!ignores(&ignore, "x.o", || false));
        assert!(ignores(&ignore, "x.tmp", || false));
    }
}
