//! Which files a stage reads, as far as the text alone tells: the sources of COPY, ADD and mounts.

use std::collections::{BTreeMap, HashMap};

use super::ignore::Ignore;
use super::instructions::is_url;
use super::stages::StageNames;
use super::wildcard::{self, Wildcard};
use super::{Dockerfile, Instruction, Located, Mount, Stage, StageReference};

/// One source of a COPY, an ADD or a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The context by its name in the file; `None` for the one of the build.
    pub from: Option<String>,
    /// Relative and clean, empty for the whole context. `None` where a variable decides that
    /// only the base image or the builder knows.
    pub path: Option<String>,
}

/// How far a file or a directory is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    No,
    /// Along with everything else in a directory, or by a wildcard.
    Along,
    /// By its name, or something in it by its.
    ByName,
}

impl Dockerfile {
    /// What the stage and those that it is made of read.
    pub fn reads(&self, stage: usize, args: &BTreeMap<String, String>) -> Vec<Read> {
        let globals = self.global_values(args);
        let stages = self.stage_names();
        let needed = self.needed_by(stage, &globals);
        let mut beginning: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for number in &needed {
            let base = stages.base(&self.base_of(*number, &globals), *number);
            beginning.entry(base).or_default().push(*number);
        }
        let mut walk = Walk {
            file: self,
            stages: &stages,
            number: stage,
            is_base: false,
            args,
            globals: &globals,
            variables: Variables::default(),
            reads: Vec::new(),
        };
        let mut reads: BTreeMap<usize, Vec<Read>> = BTreeMap::new();
        let mut begun = |base: Option<usize>| {
            let stages = beginning.remove(&base).unwrap_or_default();
            stages.into_iter().map(Visit::Enter)
        };
        // Each is walked once, with what its base has left.
        let mut ahead: Vec<Visit> = begun(None).collect();
        while let Some(visit) = ahead.pop() {
            match visit {
                Visit::Enter(number) => {
                    ahead.push(Visit::Leave(walk.variables.mark()));
                    walk.number = number;
                    // What ONBUILD says happens in the stage that begins with this one.
                    walk.is_base = number != stage;
                    for instruction in &self.stages[number].instructions {
                        walk.instruction(instruction);
                    }
                    walk.variables.arguments.clear();
                    reads.insert(number, std::mem::take(&mut walk.reads));
                    ahead.extend(begun(Some(number)));
                }
                Visit::Leave(mark) => walk.variables.undo(mark),
            }
        }
        let bases = self.bases(stage, args).into_iter().map(|image| Read {
            from: Some(image),
            path: Some(String::new()),
        });
        reads.into_values().flatten().chain(bases).collect()
    }

    /// What the stage and those that it is made of begin with that is no stage: their triggers, which only whoever
    /// has them knows, read too.
    pub fn bases(&self, stage: usize, args: &BTreeMap<String, String>) -> Vec<String> {
        let globals = self.global_values(args);
        let stages = self.stage_names();
        let needed = self.needed_by(stage, &globals).into_iter();
        let images = needed.map(|number| (number, self.base_of(number, &globals)));
        images
            .filter(|(number, image)| stages.base(image, *number).is_none())
            .map(|(_, image)| image)
            .collect()
    }
}

impl Stage {
    /// Whether it leaves something to do to whatever begins with it.
    pub fn has_triggers(&self) -> bool {
        let mut instructions = self.instructions.iter();
        instructions.any(|located| matches!(located.value, Instruction::Onbuild(_)))
    }
}

/// A step of the walk over stages.
enum Visit {
    Enter(usize),
    /// Back to where ENV was there.
    Leave(usize),
}

/// Those that the file itself gives a value.
#[derive(Default)]
struct Variables {
    /// ENV, also of the stages that this one begins with; `None` holds what is not known here.
    environment: HashMap<String, Option<String>>,
    /// What they were before, change by change.
    before: Vec<(String, Option<Option<String>>)>,
    /// ARG of this stage.
    arguments: HashMap<String, String>,
}

impl Variables {
    /// ENV goes before ARG.
    fn value(&self, name: &str) -> Option<String> {
        match self.environment.get(name) {
            Some(value) => value.clone(),
            None => self.arguments.get(name).cloned(),
        }
    }

    fn set(&mut self, name: String, value: Option<String>) {
        let before = self.environment.insert(name.clone(), value);
        self.before.push((name, before));
    }

    fn mark(&self) -> usize {
        self.before.len()
    }

    fn undo(&mut self, mark: usize) {
        while self.before.len() > mark
            && let Some((name, before)) = self.before.pop()
        {
            match before {
                Some(value) => self.environment.insert(name, value),
                None => self.environment.remove(&name),
            };
        }
    }
}

struct Walk<'a> {
    file: &'a Dockerfile,
    stages: &'a StageNames<'a>,
    number: usize,
    is_base: bool,
    args: &'a BTreeMap<String, String>,
    globals: &'a BTreeMap<String, String>,
    variables: Variables,
    /// Of the stage that is walked.
    reads: Vec<Read>,
}

impl Walk<'_> {
    fn assign(&mut self, located: &Located<Instruction>) {
        let escape = self.file.directives.escape;
        match &located.value {
            Instruction::Arg(declarations) => {
                for declaration in declarations {
                    let default = || {
                        let lookup = |name: &str| self.variables.value(name);
                        let expanded = declaration.expand_default(&lookup, escape);
                        expanded.ok().flatten().map(|word| word.text)
                    };
                    let name = &declaration.name;
                    let value = self.args.get(name).cloned();
                    let value = value.or_else(default);
                    let value = value.or_else(|| self.globals.get(name).cloned());
                    if let Some(value) = value {
                        self.variables.arguments.insert(name.clone(), value);
                    }
                }
            }
            Instruction::Env(_) => {
                let lookup = |name: &str| self.variables.value(name);
                let Ok(expanded) = located.expand(&lookup, escape) else {
                    return;
                };
                let Instruction::Env(pairs) = expanded.instruction else {
                    return;
                };
                let is_known = expanded.unset.is_empty();
                for pair in pairs {
                    let value = is_known.then_some(pair.value);
                    self.variables.set(pair.key, value);
                }
            }
            _ => {}
        }
    }

    fn instruction(&mut self, located: &Located<Instruction>) {
        self.assign(located);
        if let Instruction::Onbuild(onbuild) = &located.value {
            if let (true, Some(instruction)) = (self.is_base, &onbuild.instruction) {
                self.sources(&located.with((**instruction).clone()));
            }
            return;
        }
        self.sources(located);
    }

    fn sources(&mut self, located: &Located<Instruction>) {
        let lookup = |name: &str| self.variables.value(name);
        let expanded = located.expand(&lookup, self.file.directives.escape);
        let (instruction, is_known) = match expanded {
            Ok(expanded) => (expanded.instruction, expanded.unset.is_empty()),
            Err(_) => (located.value.clone(), false),
        };
        match instruction {
            Instruction::Copy(copy) => {
                for path in copy.files.paths() {
                    self.read(copy.from.as_deref(), is_known.then_some(path));
                }
            }
            Instruction::Add(add) => {
                for path in add.files.paths().filter(|path| !is_remote(path)) {
                    self.read(None, is_known.then_some(path));
                }
            }
            Instruction::Run(run) => {
                for spec in &run.mounts {
                    match spec.mount() {
                        Ok(Mount::Bind { from, source, .. }) => {
                            self.read(from.as_deref(), is_known.then_some(&source));
                        }
                        Ok(Mount::Cache {
                            from: Some(from),
                            source,
                            ..
                        }) => self.read(Some(&from), is_known.then_some(&source)),
                        Ok(_) => {}
                        Err(_) => self.read(spec.from(), None),
                    }
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, from: Option<&str>, path: Option<&str>) {
        if let Some(name) = from
            && self.stages.reference(name, self.number) != StageReference::Other
        {
            return;
        }
        self.reads.push(Read {
            from: from.map(str::to_owned),
            path: path.map(clean),
        });
    }
}

impl Read {
    /// A source from the build's own context.
    pub fn of_context(source: &str) -> Read {
        Read {
            from: None,
            path: Some(clean(source)),
        }
    }

    /// How far it reads what lies at `path` of its context, relative and clean.
    pub fn extent(&self, path: &str) -> Extent {
        let Some(source) = &self.path else {
            return Extent::Along;
        };
        if source.is_empty() {
            return Extent::Along;
        }
        if !wildcard::is_pattern(source) {
            return match () {
                () if is_within(source, path) => Extent::ByName,
                () if is_within(path, source) => Extent::Along,
                () => Extent::No,
            };
        }
        let literal = source.find(['*', '?', '[', '\\']).unwrap_or(source.len());
        let root = source[..literal].rfind('/').map_or("", |at| &source[..at]);
        if is_within(root, path) {
            return Extent::ByName;
        }
        // Of any depth, with --parents.
        if source[literal..].contains("**") {
            return match root.is_empty() || is_within(path, root) {
                true => Extent::Along,
                false => Extent::No,
            };
        }
        let Ok(pattern) = Wildcard::new(source) else {
            return Extent::Along;
        };
        let depth = source.matches('/').count();
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        let matches = above
            .chain([path])
            .any(|path| pattern.matches(path.as_bytes()));
        // A directory on the way of a deeper pattern.
        let leads_on = path.matches('/').count() < depth;
        match matches || leads_on {
            true => Extent::Along,
            false => Extent::No,
        }
    }
}

/// Whether an ignore file leaves a path out, with everything that may be in it.
pub fn hides_all(ignore: &Ignore, path: &str) -> bool {
    ignore.is_hidden(path) && !ignore.has_exceptions()
}

/// What ADD fetches: an address, or a repository.
fn is_remote(source: &str) -> bool {
    is_url(source)
        || ["git://", "ssh://", "git@"]
            .iter()
            .any(|scheme| source.starts_with(scheme))
}

/// Whether `path` is `directory`, or lies in it.
fn is_within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| !directory.is_empty() && (rest.is_empty() || rest.starts_with('/')))
}

/// A source from the root of its context, which `..` does not leave.
fn clean(source: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str, args: &[(&str, &str)]) -> Vec<String> {
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let args = args.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let reads = file.reads(file.stages.len() - 1, &args.collect());
        let told = |read: Read| {
            let from = read.from.map_or(String::new(), |from| format!("{from}:"));
            format!("{from}{}", read.path.unwrap_or("?".to_owned()))
        };
        reads.into_iter().map(told).collect()
    }

    #[test]
    fn sources_are_those_of_the_stages_that_are_needed() {
        let text = "ARG DIR=o\nFROM a AS base\nARG DIR\nENV SUB=$DIR/x\nCOPY ./$DIR/report /r\n\
            ONBUILD COPY later /l\nFROM b AS test\nCOPY tests /t\nFROM base\nCOPY $SUB $HOME/y /\n\
            ADD --chmod=600 ../z* /\nCOPY --from=base /no /no\nCOPY --from=out /f /f\n\
            RUN --mount=type=bind,source=m,target=/m true\nRUN --mount=type=bind,target=/m true\n\
            ONBUILD COPY never /n\n";
        assert_eq!(
            reads(text, &[]),
            ["o/report", "later", "?", "?", "z*", "out:f", "m", "", "a:"]
        );
        assert_eq!(reads(text, &[("DIR", "p")])[0], "p/report");
        let known = "FROM a AS base\nENV SUB=x\nFROM base\nCOPY $SUB/y /\n";
        assert_eq!(reads(known, &[]), ["x/y", "a:"]);
    }

    #[test]
    fn an_argument_is_its_stages_own_and_env_goes_before_it() {
        let text = "FROM a AS base\nARG A=a\nENV E=e KEPT=$A\nFROM base AS left\nENV E=left\nCOPY $E /\n\
            FROM base\nARG E=arg\nCOPY $A/x $E $KEPT /\nCOPY --from=left /f /f\n";
        assert_eq!(reads(text, &[]), ["left", "?", "?", "?", "a:"]);
        let text = text.replace("$A/x ", "");
        assert_eq!(reads(&text, &[]), ["left", "e", "a", "a:"]);
    }

    #[test]
    fn thousands_of_stages_are_each_walked_once() {
        const COUNT: usize = 20_000;
        let mut text = "FROM a AS s0\n".to_owned();
        for at in 1..COUNT {
            let before = at - 1;
            text += &format!("FROM s{before} AS s{at}\nENV V{at}=v{at}\nCOPY $V{at} /\n");
        }
        let found = reads(&text, &[]);
        assert_eq!(found.len(), COUNT);
        assert_eq!(found[COUNT - 2..], ["v19999", "a:"]);
    }

    #[test]
    fn what_add_fetches_is_no_path_of_the_context() {
        let text = "FROM scratch\nADD https://example.org/a.tgz http://example.org/$V git@example.org:a/b.git \\\n\
            ssh://git@example.org/a.git a.tgz /\n";
        assert_eq!(reads(text, &[]), ["?", "scratch:"]);
        let text = text.replace("$V", "v");
        assert_eq!(reads(&text, &[]), ["a.tgz", "scratch:"]);
    }

    #[test]
    fn bases_outside_of_the_file_are_those_of_all_stages_that_are_needed() {
        let text = "ARG B=b\nFROM a AS base\nONBUILD COPY x /\nFROM c AS unused\nFROM $B AS other\nFROM base\n\
            COPY --from=other /f /f\n";
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.bases(3, &BTreeMap::new()), ["a", "b"]);
        let triggers: Vec<bool> = file.stages.iter().map(Stage::has_triggers).collect();
        assert_eq!(triggers, [true, false, false, false]);
    }

    #[test]
    fn a_path_is_read_by_name_along_with_others_or_not() {
        for (source, path, extent) in [
            ("o/report", "o/report", Extent::ByName),
            ("o/report/a", "o/report", Extent::ByName),
            ("o", "o/report", Extent::Along),
            ("", "o/report", Extent::Along),
            ("out", "o", Extent::No),
            ("o/*.txt", "o/report", Extent::No),
            ("o/r*", "o/report", Extent::Along),
            ("o/report/*.txt", "o/report", Extent::ByName),
            ("*/report", "o", Extent::Along),
            ("*", "o/report", Extent::Along),
            ("**/*.go", "a/b/c.go", Extent::Along),
            ("a/**/*.go", "a/b/c.go", Extent::Along),
            ("a/**/*.go", "b/c.go", Extent::No),
            ("a/**/*.go", "a", Extent::ByName),
            ("a*/**/c.go", "ab/x/y/c.go", Extent::Along),
        ] {
            let read = Read {
                from: None,
                path: Some(source.to_owned()),
            };
            assert_eq!(read.extent(path), extent, "{source} {path}");
        }
    }
}
