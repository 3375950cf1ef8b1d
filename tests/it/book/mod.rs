//! The book and the README are run: what they show works.
//!
//! Every page has a directory of its own. A fenced block below a line that holds nothing but a path,
//! as in "`app/run`:", is that file. The others mean, by their info string:
//!
//! | block | meaning |
//! |---|---|
//! | `kdl` | a whole manifest, which must load |
//! | `kdl,refused` | a whole manifest, which must not (exit 2) |
//! | `kdl,fragment` | only for reading |
//! | `sh` | commands, run in the page's directory with `imgmake` on the path; they must succeed |
//! | `sh,exit=N` | commands whose last one ends with N |
//! | `sh,norun` | only for reading: needs what a test has not |
//! | `text,output` | lines that the commands before printed, where times and digests may be others; `…` stands for anything |
//! | `yaml,platform=NAME` | a pipeline of GitLab, Tekton, Argo, GitHub or Kubernetes: held against its schema |
//!
//! On pages that name `$REGISTRY` or `${REGISTRY}`, it is a registry that takes pushes and holds `library/busybox`.

mod names;
mod picture;
mod specification;

use std::path::{Path, PathBuf};

use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

pub struct Block {
    line: usize,
    language: String,
    options: Vec<String>,
    /// The path that the line above it names.
    file: Option<String>,
    pub text: String,
}

impl Block {
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find_map(|o| o.strip_prefix(name)?.strip_prefix('='))
    }

    fn has(&self, name: &str) -> bool {
        self.options.iter().any(|o| o == name)
    }
}

pub fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut fence: Option<(String, usize)> = None;
    let mut above = "";
    for (number, line) in page.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match &fence {
            None if line.trim_start().starts_with("```") => {
                let ticks: String = line
                    .trim_start()
                    .chars()
                    .take_while(|c| *c == '`')
                    .collect();
                let mut words = line.trim_start()[ticks.len()..]
                    .trim()
                    .split(',')
                    .map(|w| w.trim().to_string());
                let language = words.next().unwrap_or_default();
                found.push(Block {
                    line: number + 1,
                    language,
                    options: words.collect(),
                    file: path_above(above).map(String::from),
                    text: String::new(),
                });
                fence = Some((ticks, indent));
            }
            None if line.trim().is_empty() => {}
            None => above = line,
            Some((ticks, _)) if line.trim() == ticks => {
                fence = None;
                above = "";
            }
            Some((_, indent)) => {
                let block = found.last_mut().expect("a fence opened a block");
                block
                    .text
                    .push_str(line.get(*indent..).unwrap_or(line.trim_start()));
                block.text.push('\n');
            }
        }
    }
    assert!(fence.is_none(), "a code block is not closed");
    found
}

/// "`app/run`:" names the file of the block below it.
fn path_above(line: &str) -> Option<&str> {
    let path = line.trim().strip_prefix('`')?.strip_suffix("`:")?;
    (!path.is_empty() && !path.contains(['`', ' '])).then_some(path)
}

pub fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("book/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

#[test]
fn every_snippet_of_the_book_and_the_readme_does_what_it_shows() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let directory = temporary();
        let mut imgmake = Imgmake::new();
        let asks = text.contains("$REGISTRY") || text.contains("${REGISTRY}");
        let registry = asks.then(with_a_base);
        if let Some(registry) = &registry {
            imgmake = imgmake.with("REGISTRY", &registry.host);
        }
        let mut printed = String::new();
        for block in blocks(&text) {
            let place = format!("{}:{}", page.display(), block.line);
            if let Err(problem) = check(&block, directory.path(), &imgmake, &mut printed) {
                wrong.push(format!("{place}: {problem}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn with_a_base() -> Registry {
    let registry = Registry::start();
    let name = |host: &str| format!("docker://{host}/library/busybox:latest");
    let plain = [
        "copy",
        "-q",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
    ];
    let (from, to) = (name(&bases().host), name(&registry.host));
    run("skopeo", &[&plain[..], &[&from, &to]].concat());
    registry
}

fn check(
    block: &Block,
    directory: &Path,
    imgmake: &Imgmake,
    printed: &mut String,
) -> Result<(), String> {
    if let Some(file) = &block.file {
        write(directory, file, &block.text);
        return Ok(());
    }
    match block.language.as_str() {
        "kdl" if block.has("fragment") => Ok(()),
        "kdl" => {
            let alone = temporary();
            write(alone.path(), "imgmake.kdl", &block.text);
            let ran = imgmake.run(alone.path(), &["list"]);
            let expected = if block.has("refused") { 2 } else { 0 };
            (ran.code == expected)
                .then_some(())
                .ok_or(format!("exit {}, not {expected}\n{}", ran.code, ran.stderr))
        }
        "sh" if block.has("norun") => Ok(()),
        "sh" => {
            let program = imgmake.command(directory);
            let folder = Path::new(program.get_program())
                .parent()
                .unwrap()
                .display()
                .to_string();
            let variables = program.get_envs().filter(|(name, _)| *name == "REGISTRY");
            let registry = variables.filter_map(|(name, value)| Some((name, value?)));
            let output = std::process::Command::new("sh")
                .args(["-euc", &block.text])
                .current_dir(directory)
                .env_clear()
                .env(
                    "PATH",
                    format!("{folder}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
                )
                .env("HOME", imgmake.home())
                .env("IMGMAKE_STORE", imgmake.store())
                .envs(registry)
                .output()
                .unwrap();
            *printed = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            let expected: i32 = block.option("exit").map_or(0, |code| code.parse().unwrap());
            (output.status.code() == Some(expected))
                .then_some(())
                .ok_or(format!("{}, not {expected}\n{printed}", output.status))
        }
        "text" if block.has("output") => block
            .text
            .lines()
            .filter(|l| !l.trim().is_empty())
            .try_for_each(|line| {
                let found = printed
                    .lines()
                    .any(|candidate| matches(line.trim(), candidate.trim()));
                found
                    .then_some(())
                    .ok_or(format!("`{line}` is not in what was printed:\n{printed}"))
            }),
        "text" | "dockerfile" | "yaml" | "json" | "toml" | "rust" | "mermaid" | "" => Ok(()),
        other => Err(format!(
            "`{other}` is a kind of block that no rule here knows"
        )),
    }
}

/// `…` stands for anything, a time for any time, a digest for any digest.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (&steady(pattern), &steady(text));
    let mut rest = text.as_str();
    for (n, piece) in pattern.split('…').enumerate() {
        match rest.find(piece) {
            Some(at) if n > 0 || at == 0 => rest = &rest[at + piece.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || pattern.ends_with('…')
}

/// A line without what differs from run to run: `12 ms`, `1.5 s` and hexadecimal digests.
fn steady(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let unit = word.trim_end_matches([')', ':', ',', ';']);
        if let ("ms" | "s" | "days", Some(last)) = (unit, words.last_mut()) {
            let number = last.trim_start_matches('(');
            if !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.') {
                *last = last.replace(number, "N");
                words.push(word.replace(unit, "s"));
                continue;
            }
        }
        let is_hex = |part: &str| {
            [12, 64].contains(&part.len()) && part.chars().all(|c| c.is_ascii_hexdigit())
        };
        let hex = word
            .split(|c: char| !c.is_ascii_alphanumeric())
            .find(|part| is_hex(part));
        words.push(match hex {
            Some(hex) => word.replace(hex, "D"),
            None => word.to_string(),
        });
    }
    words.join(" ")
}

#[test]
fn times_and_digests_of_two_runs_are_alike_and_nothing_else_is() {
    let pattern = "app │ built (1.5 s), d232bb771ddf: 2 hints in 4 ms";
    assert!(matches(
        pattern,
        "app │ built (12 ms), 8f1a1f88f209: 2 hints in 0.2 s"
    ));
    assert!(!matches(
        pattern,
        "app │ built (12 ms), 8f1a1f88f209: 3 hints in 0.2 s"
    ));
    assert!(!matches("3 files", "4 files"));
    assert!(matches("…app/run…", "file app/run changed"));
}

#[test]
fn a_path_alone_above_a_block_is_its_file() {
    let page = "`a/b`:\n\n```sh\nx\n```\n\nsee `c`:\n\n```sh\ny\n```\n\n```sh\nz\n```\n";
    let files: Vec<Option<String>> = blocks(page).into_iter().map(|block| block.file).collect();
    assert_eq!(files, [Some("a/b".to_string()), None, None]);
}
