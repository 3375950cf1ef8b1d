//! Random projects against a build from nothing: edits, kills and two runs at once, then what is
//! there is what a fresh copy makes, and `check` finds nothing to do.
//!
//! Some seconds by default; `MODEL_SECONDS=120` for as long. `MODEL_SEED` repeats one case, which a
//! failure names. `MODEL_ONLY` keeps to one kind: `edges`, `kills`, `always`, `names` or `edits`.
//! `MODEL_PROGRAM` is another build of imgmake, to be held against this one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::ground::imgmake::Imgmake;
use crate::ground::{run, temporary, write};

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit.max(1)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Edges,
    Kills,
    Always,
    Names,
    Edits,
}

const KINDS: [(&str, Kind); 5] = [
    ("edges", Kind::Edges),
    ("kills", Kind::Kills),
    ("always", Kind::Always),
    ("names", Kind::Names),
    ("edits", Kind::Edits),
];

/// A project as its manifest has it, and the files that people edit.
struct Model {
    manifest: String,
    files: BTreeMap<PathBuf, Vec<u8>>,
    targets: Vec<String>,
}

impl Model {
    fn new(random: &mut Random, kinds: &[Kind]) -> Model {
        let has = |kind| kinds.contains(&kind);
        let mut model = Model {
            manifest: String::new(),
            files: BTreeMap::new(),
            targets: Vec::new(),
        };
        let sources = 4 + random.below(4);
        for at in 0..sources {
            model.files.insert(format!("s/{at}").into(), text(random));
        }
        if has(Kind::Names) {
            for byte in [0xfd, 0xfe, 0xff] {
                let name = [b"s/odd/n-".as_slice(), &[byte]].concat();
                model
                    .files
                    .insert(OsStr::from_bytes(&name).into(), text(random));
            }
            model.files.insert("far/f".into(), text(random));
        }
        let mut outputs: Vec<String> = Vec::new();
        for at in 0..3 + random.below(6) {
            let name = format!("t{at}");
            let mut inputs = vec![format!("s/{}", random.below(sources))];
            if !outputs.is_empty() && random.chance(60) {
                inputs.push(outputs[random.below(outputs.len())].clone());
            }
            let mut needs = String::new();
            let mut patterns: Vec<String> = inputs.clone();
            // One at least that reads what is named oddly.
            match if at == 1 { 0 } else { random.below(5) } {
                0 if has(Kind::Names) => {
                    inputs.push("s/odd/*".into());
                    patterns.push("s/odd/*".into());
                }
                1 if has(Kind::Names) => {
                    inputs.push("s/l/f".into());
                    patterns.push("s/l".into());
                }
                2 if has(Kind::Always) => {
                    // What it reads nobody knows.
                    patterns.clear();
                    needs = earlier(&inputs);
                }
                3 if has(Kind::Always) => {
                    // A command without outputs, and one that is told of it by `needs` alone.
                    let side = format!("side/{at}");
                    let command = format!("mkdir -p side; cat {} > {side}", inputs.join(" "));
                    model.run(
                        &format!("n{at}"),
                        &command,
                        &patterns,
                        None,
                        &earlier(&inputs),
                    );
                    needs = format!("; needs n{at}");
                    patterns = vec![format!("s/{}", random.below(sources))];
                    inputs = vec![patterns[0].clone(), side];
                }
                4 if has(Kind::Edges) && !outputs.is_empty() => {
                    let copied = outputs[random.below(outputs.len())].clone();
                    model.image(random, at, &copied);
                    inputs.push(format!("a/{at}.tar"));
                    patterns.push(format!("a/{at}.tar"));
                    outputs.push(format!("o/smoke{at}"));
                }
                _ => {}
            }
            let output = format!("o/{at}");
            // Read first, written later: whoever is killed in between holds what is old.
            let is_alone = has(Kind::Kills) && random.chance(40);
            let pause = match ["", "sleep 0.02; ", "sleep 0.1; "][random.below(3)] {
                // As long as its first input says: one that was killed may be late.
                _ if is_alone => format!("sleep 0.$(cat {}); ", inputs[0]),
                pause => pause.to_string(),
            };
            let command = format!(
                "x=$(cat {} | cksum); {pause}echo \\\"{name} $x\\\" > {output}",
                inputs.join(" ")
            );
            // Where no signal to its group reaches it.
            let command = match is_alone {
                true => format!("setsid -w sh -ec '{command}'"),
                false => command,
            };
            model.run(&name, &command, &patterns, Some(&output), &needs);
            outputs.push(output);
        }
        let all = model.targets.join(" ");
        writeln!(model.manifest, "group default {all}").unwrap();
        model
    }

    fn run(
        &mut self,
        name: &str,
        command: &str,
        inputs: &[String],
        output: Option<&str>,
        needs: &str,
    ) {
        let quoted: Vec<String> = inputs.iter().map(|input| format!("\"{input}\"")).collect();
        let inputs = match quoted.is_empty() {
            true => String::new(),
            false => format!("; inputs {}", quoted.join(" ")),
        };
        let output = output.map_or(String::new(), |output| format!("; outputs \"{output}\""));
        writeln!(
            self.manifest,
            "run {name} {{ command \"{command}\"{inputs}{output}{needs} }}"
        )
        .unwrap();
        self.targets.push(name.to_string());
    }

    /// A build that copies an output, and a command that needs it and writes into its context. Mostly
    /// what it copies is made by a command that needs another build, in whose context all of it is:
    /// then edges that nobody wrote lead from each of them to all others.
    fn image(&mut self, random: &mut Random, at: usize, copied: &str) {
        let report = format!("o/report{at}");
        let copied = match random.chance(70) {
            true => {
                self.report(random, at, copied, &report);
                &report
            }
            false => copied,
        };
        let recipe = match random.below(2) {
            0 => format!("from scratch; copy \"{copied}\" to=\"/f\""),
            _ => {
                let file = format!("d/{at}");
                let text = format!("FROM scratch\nCOPY {copied} /f\n");
                self.files.insert(file.clone().into(), text.into());
                format!("context \".\"; dockerfile \"{file}\"")
            }
        };
        writeln!(
            self.manifest,
            "build i{at} {{ {recipe}; tar \"a/{at}.tar\" }}"
        )
        .unwrap();
        self.targets.push(format!("i{at}"));
        let smoke = format!("o/smoke{at}");
        let command = format!("cat s/0 > {smoke}");
        let needs = format!("; needs i{at}");
        self.run(
            &format!("smoke{at}"),
            &command,
            &["s/0".into()],
            Some(&smoke),
            &needs,
        );
    }

    fn report(&mut self, random: &mut Random, at: usize, input: &str, output: &str) {
        let (base, file) = (format!("b{at}"), format!("d/b{at}"));
        self.files
            .insert(file.clone().into(), "FROM scratch\nCOPY s/0 /f\n".into());
        writeln!(
            self.manifest,
            "build {base} {{ context \".\"; dockerfile \"{file}\"; tar \"a/{base}.tar\" }}"
        )
        .unwrap();
        self.targets.push(base.clone());
        let inputs = [input.to_string(), format!("a/{base}.tar")];
        let pause = ["", "sleep 0.1; "][random.below(2)];
        let command = format!(
            "x=$(cat {} | cksum); {pause}echo $x > {output}",
            inputs.join(" ")
        );
        let needs = format!("; needs {base}");
        self.run(&format!("r{at}"), &command, &inputs, Some(output), &needs);
    }

    fn lay_out(&self, directory: &Path) {
        write(directory, "imgmake.kdl", &self.manifest);
        for (path, content) in &self.files {
            put(directory, path, content);
        }
        if self.files.contains_key(Path::new("far/f")) && !directory.join("s/l").exists() {
            std::os::unix::fs::symlink("../far", directory.join("s/l")).unwrap();
        }
    }
}

/// Who makes the inputs must be named where the inputs are not.
fn earlier(inputs: &[String]) -> String {
    let made = inputs.iter().filter_map(|input| input.strip_prefix("o/"));
    let made: Vec<String> = made
        .map(|made| match made.strip_prefix("smoke") {
            Some(_) => made.to_string(),
            None => format!("t{made}"),
        })
        .collect();
    match made.is_empty() {
        true => String::new(),
        false => format!("; needs {}", made.join(" ")),
    }
}

fn text(random: &mut Random) -> Vec<u8> {
    // Few enough that a change may well be one back.
    format!("{}\n", random.below(50)).into_bytes()
}

fn put(directory: &Path, path: &Path, content: &[u8]) {
    let path = directory.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// What was made, by name.
fn made(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut made = BTreeMap::new();
    for part in ["o", "a", "side"] {
        for entry in std::fs::read_dir(directory.join(part))
            .into_iter()
            .flatten()
        {
            let entry = entry.unwrap();
            let name = format!("{part}/{}", entry.file_name().display());
            made.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    made
}

struct Case {
    random: Random,
    model: Model,
    imgmake: Imgmake,
    project: tempfile::TempDir,
    kinds: Vec<Kind>,
    is_killed: bool,
    /// What was done, for whoever reads of a failure.
    story: Vec<String>,
}

impl Case {
    fn new(seed: u64, kinds: &[Kind]) -> Case {
        let mut random = Random(seed | 1);
        let model = Model::new(&mut random, kinds);
        let imgmake = Imgmake::new();
        if let Some(program) = std::env::var_os("MODEL_PROGRAM") {
            // As in `Imgmake::new`: no handle for writing while others fork.
            let to = imgmake.program();
            run("cp", &[program.to_str().unwrap(), to.to_str().unwrap()]);
        }
        let project = temporary();
        model.lay_out(project.path());
        Case {
            random,
            model,
            imgmake,
            project,
            kinds: kinds.to_vec(),
            is_killed: false,
            story: Vec::new(),
        }
    }

    /// Whether what comes next must come at once.
    fn step(&mut self) -> bool {
        match self.random.below(4) {
            0 | 1 => self.edit(),
            2 => {
                let (one, other) = (self.some(), self.some());
                self.story.push(format!("two runs: {one:?} {other:?}"));
                let mut runs = [self.spawn(&one), self.spawn(&other)];
                for run in &mut runs {
                    run.wait().unwrap();
                }
            }
            _ => {
                self.edit();
                let mut run = self.spawn(&[]);
                self.pause();
                // Most of what the run has read.
                for _ in 0..6 {
                    self.edit();
                }
                if self.kinds.contains(&Kind::Kills) {
                    self.story.push("killed".into());
                    run.kill().unwrap();
                    self.is_killed = true;
                }
                run.wait().unwrap();
                return self.kinds.contains(&Kind::Kills);
            }
        }
        false
    }

    fn edit(&mut self) {
        let paths: Vec<PathBuf> = self.model.files.keys().cloned().collect();
        let sources: Vec<PathBuf> = paths
            .into_iter()
            .filter(|path| !path.starts_with("d"))
            .collect();
        let odd: Vec<PathBuf> = sources
            .iter()
            .filter(|path| path.starts_with("s/odd"))
            .cloned()
            .collect();
        let among = match self.random.chance(30) && !odd.is_empty() {
            true => &odd,
            false => &sources,
        };
        let path = among[self.random.below(among.len())].clone();
        let before = self.model.files[&path].clone();
        let after = text(&mut self.random);
        match self.random.below(4) {
            0 | 2 if self.kinds.contains(&Kind::Names) && path.starts_with("s/odd") => {
                let other = sources
                    .iter()
                    .find(|other| other.starts_with("s/odd") && **other != path);
                let other = other.unwrap().clone();
                self.story
                    .push(format!("{path:?} and {other:?} are exchanged"));
                let content = self.model.files[&other].clone();
                self.set(&path, content);
                self.set(&other, before);
            }
            1 if self.kinds.contains(&Kind::Edits) => {
                self.story
                    .push(format!("{path:?} changes and changes back"));
                self.set(&path, after);
                self.pause();
                self.set(&path, before);
            }
            _ => {
                self.story
                    .push(format!("{path:?} is {:?}", String::from_utf8_lossy(&after)));
                self.set(&path, after);
            }
        }
    }

    fn set(&mut self, path: &Path, content: Vec<u8>) {
        put(self.project.path(), path, &content);
        self.model.files.insert(path.to_path_buf(), content);
    }

    fn some(&mut self) -> Vec<String> {
        let targets = self.model.targets.clone();
        let some = targets.into_iter().filter(|_| self.random.chance(40));
        some.collect()
    }

    fn pause(&mut self) {
        let time = self.random.below(150);
        std::thread::sleep(Duration::from_millis(u64::try_from(time).unwrap()));
    }

    fn spawn(&self, targets: &[String]) -> Child {
        let mut command = self.imgmake.command(self.project.path());
        command
            .args(targets)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// What is there now against a copy that is made from nothing.
    fn verify(&mut self, seed: u64) {
        let tell = |what: &str| {
            format!(
                "MODEL_SEED={seed}: {what}\n{}\n{}",
                self.model.manifest,
                self.story.join("\n")
            )
        };
        let ran = self.imgmake.run(self.project.path(), &[]);
        assert_eq!(ran.code, 0, "{}\n{}", tell("the run failed"), ran.stderr);
        let fresh = temporary();
        self.model.lay_out(fresh.path());
        let from_nothing = self.imgmake.run(fresh.path(), &[]);
        assert_eq!(
            from_nothing.code,
            0,
            "{}\n{}",
            tell("from nothing"),
            from_nothing.stderr
        );
        // Whoever was killed may write late.
        if std::mem::take(&mut self.is_killed) {
            std::thread::sleep(Duration::from_secs(1));
        }
        let (here, there) = (made(self.project.path()), made(fresh.path()));
        let names = here.keys().chain(there.keys());
        let differs: Vec<&String> = names
            .filter(|name| here.get(*name) != there.get(*name))
            .collect();
        assert!(
            differs.is_empty(),
            "{}",
            tell(&format!("{differs:?} differ"))
        );
        let check = self.imgmake.run(self.project.path(), &["check"]);
        assert_eq!(check.code, 0, "{}\n{}", tell("check"), check.stdout);
    }
}

#[test]
fn what_is_there_is_what_a_build_from_nothing_makes() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let only = std::env::var("MODEL_ONLY").ok();
    let kinds: Vec<Kind> = KINDS
        .into_iter()
        .filter(|(name, _)| only.as_ref().is_none_or(|only| only == name))
        .map(|(_, kind)| kind)
        .collect();
    let seconds = Duration::from_secs(number("MODEL_SECONDS").unwrap_or(5));
    let chosen = number("MODEL_SEED");
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = chosen.unwrap_or(since.unwrap().as_secs());
    let begun = Instant::now();
    let cases = AtomicU64::new(0);
    let work = || loop {
        let number = cases.fetch_add(1, Ordering::Relaxed);
        let is_over = match chosen {
            Some(_) => number > 0,
            None => number > 0 && begun.elapsed() >= seconds,
        };
        if is_over {
            return;
        }
        let seed = first.wrapping_mul(1_000_003).wrapping_add(number);
        one(chosen.unwrap_or(seed), &kinds);
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(8) {
            scope.spawn(work);
        }
    });
    println!("{} random projects", cases.into_inner());
}

fn one(seed: u64, kinds: &[Kind]) {
    let mut case = Case::new(seed, kinds);
    case.verify(seed);
    for _ in 0..6 {
        if case.step() || case.random.chance(60) {
            case.verify(seed);
        }
    }
    case.verify(seed);
}
