//! Checks of what stands in stages, with the environment followed along.

use super::facts::Facts;
use super::from::Globals;
use super::report::{Report, description, suggestion};
use super::rule::Rule;
use crate::ast::*;
use crate::suggest;
use crate::words;
use crate::{expose, parse_trigger};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

pub fn check(file: &Dockerfile, facts: &Facts<'_>, report: &mut Report) {
    let globals = Globals::new(file, facts.build_args);
    let mut scopes: Vec<Scope> = Vec::new();
    for (index, stage) in file.stages.iter().enumerate() {
        let mut walk = Walk {
            scope: Scope::of_base(file, facts, index, &globals, &scopes),
            escape: file.directives.escape,
            facts,
            globals: &globals,
            last: BTreeMap::new(),
            report: &mut *report,
        };
        walk.triggers(file, index);
        for instruction in &stage.instructions {
            walk.instruction(instruction);
        }
        scopes.push(walk.scope);
    }
}

/// What one stage hands on to the stages that continue it.
#[derive(Clone, Default)]
struct Scope {
    environment: BTreeMap<String, String>,
    /// ARGs, also those without a value.
    declared: BTreeSet<String>,
    /// The base's environment is unknown: an undefined variable may well come from there.
    open: bool,
    /// From scratch, and nothing was put into it so far.
    is_empty: bool,
    workdir_is_set: bool,
    shell_is_set: bool,
}

impl Scope {
    fn of_base(
        file: &Dockerfile,
        facts: &Facts<'_>,
        index: usize,
        globals: &Globals,
        earlier: &[Scope],
    ) -> Scope {
        let from = &file.stages[index].from.value;
        let image = globals.image(from, file.directives.escape);
        if let Some(base) = file.base_stage(&image, index) {
            return earlier[base].clone();
        }
        let known = facts.base_environments.and_then(|all| all.get(&index));
        let mut environment = known.cloned().unwrap_or_default();
        environment.entry("PATH".to_owned()).or_default();
        Scope {
            environment,
            open: known.is_none() && image != "scratch",
            is_empty: image == "scratch",
            ..Scope::default()
        }
    }
}

/// The ONBUILD instructions of a stage's base, as the stage will run them.
fn triggers(
    file: &Dockerfile,
    facts: &Facts<'_>,
    globals: &Globals,
    index: usize,
) -> Vec<Located<Instruction>> {
    let from = &file.stages[index].from.value;
    let image = globals.image(from, file.directives.escape);
    let texts: Vec<&str> = match file.base_stage(&image, index) {
        Some(base) => {
            let instructions = file.stages[base].instructions.iter();
            instructions.filter_map(trigger_of).collect()
        }
        None => {
            let of_images = facts.base_triggers.and_then(|all| all.get(&index));
            of_images
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect()
        }
    };
    // One that cannot be read fails the build, not the lint.
    let parsed = texts.into_iter().filter_map(|t| parse_trigger(t).ok());
    parsed.collect()
}

fn trigger_of(place: &Located<Instruction>) -> Option<&str> {
    match &place.value {
        Instruction::Onbuild(onbuild) => Some(&onbuild.trigger),
        _ => None,
    }
}

struct Walk<'a> {
    scope: Scope,
    escape: Escape,
    facts: &'a Facts<'a>,
    globals: &'a Globals,
    /// The last CMD, ENTRYPOINT and HEALTHCHECK of this stage.
    last: BTreeMap<&'static str, Located<()>>,
    report: &'a mut Report,
}

impl Walk<'_> {
    /// What the base's triggers define counts here; what is wrong with them is told where they are written.
    fn triggers(&mut self, file: &Dockerfile, index: usize) {
        let mut silent = Report::silent();
        let mut walk = Walk {
            scope: std::mem::take(&mut self.scope),
            escape: self.escape,
            facts: self.facts,
            globals: self.globals,
            last: BTreeMap::new(),
            report: &mut silent,
        };
        for trigger in triggers(file, self.facts, self.globals, index) {
            walk.instruction(&trigger);
        }
        self.scope = walk.scope;
    }

    fn instruction(&mut self, place: &Located<Instruction>) {
        let environment = &self.scope.environment;
        let expansion = place.expand(&|n| environment.get(n).cloned(), self.escape);
        // What cannot be expanded is an error of the build, not a matter of taste.
        let expanded = match expansion {
            Ok(expansion) => {
                self.undefined(place, &expansion.unset);
                expansion.instruction
            }
            Err(_) => place.value.clone(),
        };
        self.as_written(place);
        self.as_meant(place, &expanded);
    }

    fn as_written(&mut self, place: &Located<Instruction>) {
        match &place.value {
            Instruction::Maintainer(_) => {
                let message =
                    "MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors=…";
                self.report.at(place, Rule::MaintainerDeprecated, message);
            }
            Instruction::Cmd(command) | Instruction::Entrypoint(command) => {
                self.shell_form(place, command);
                self.once(place);
            }
            Instruction::Healthcheck(_) => self.once(place),
            Instruction::Expose(words) => self.ports(place, words),
            Instruction::Arg(args) => self.arg(place, args),
            Instruction::Onbuild(onbuild) if onbuild.instruction.is_none() => {
                let message = "the trigger is invalid: builds on this image fail";
                self.report.at(place, Rule::InvalidOnbuild, message);
            }
            _ => {}
        }
    }

    fn as_meant(&mut self, place: &Located<Instruction>, expanded: &Instruction) {
        match expanded {
            Instruction::Env(pairs) => {
                self.legacy(place, pairs);
                for pair in pairs {
                    self.secret(place, &pair.key);
                    let environment = &mut self.scope.environment;
                    environment.insert(pair.key.clone(), pair.value.clone());
                }
            }
            Instruction::Label(pairs) => self.legacy(place, pairs),
            Instruction::Workdir(path) => self.workdir(place, path),
            Instruction::Shell(_) => self.scope.shell_is_set = true,
            Instruction::Copy(copy) => {
                self.owner(place, copy.chown.as_deref());
                if copy.from.is_none() {
                    self.ignored(place, &copy.files);
                    self.above(place, &copy.files);
                }
                self.scope.is_empty = false;
            }
            Instruction::Add(add) => {
                self.owner(place, add.chown.as_deref());
                self.ignored(place, &add.files);
                self.above(place, &add.files);
                self.scope.is_empty = false;
            }
            Instruction::Run(_) => self.scope.is_empty = false,
            _ => {}
        }
    }

    /// Names that no file can know, because there is none. A build looks into the image itself, and says more.
    fn owner(&mut self, place: &Located<Instruction>, owner: Option<&str>) {
        if !self.scope.is_empty || self.facts.base_environments.is_some() {
            return;
        }
        let names = owner.unwrap_or_default().split(':');
        let is_name = |part: &&str| {
            !part.is_empty() && *part != "root" && !part.bytes().all(|b| b.is_ascii_digit())
        };
        for name in names.filter(is_name) {
            let message = format!(
                "--chown names `{name}`, and an empty image has no names: 0 is set instead"
            );
            self.report.at(place, Rule::UnknownOwner, message);
        }
    }

    fn undefined<T>(&mut self, place: &Located<T>, unset: &BTreeSet<String>) {
        for name in unset.difference(&self.scope.declared) {
            let known = self.scope.environment.keys().chain(&self.scope.declared);
            let nearest = suggest::nearest(name, known.map(String::as_str));
            // With an unknown base only a likely slip is worth a word.
            if self.scope.open && nearest.is_none() {
                continue;
            }
            let message = format!("`${name}` is not defined above{}", suggestion(nearest));
            self.report.at(place, Rule::UndefinedVar, message);
        }
    }

    fn arg(&mut self, place: &Located<Instruction>, args: &[ArgDeclaration]) {
        let names: Vec<&str> = args.iter().map(|a| a.name.as_str()).collect();
        description(place, "ARG", &names, self.report);
        for arg in args {
            self.secret(place, &arg.name);
            if let Some(value) = self.arg_value(place, arg) {
                self.scope.environment.insert(arg.name.clone(), value);
            }
            self.scope.declared.insert(arg.name.clone());
        }
    }

    fn arg_value(&mut self, place: &Located<Instruction>, arg: &ArgDeclaration) -> Option<String> {
        let given = self.facts.build_args.and_then(|args| args.get(&arg.name));
        if let Some(given) = given {
            return Some(given.clone());
        }
        let environment = &self.scope.environment;
        let default = arg.expand_default(&|n| environment.get(n).cloned(), self.escape);
        match default.ok().flatten() {
            Some(default) => {
                self.undefined(place, &default.unset);
                Some(default.text)
            }
            None => self.globals.values.get(&arg.name).cloned(),
        }
    }

    fn secret(&mut self, place: &Located<Instruction>, name: &str) {
        if looks_secret(name) {
            let instruction = place.value.name();
            let message = format!(
                "{instruction} `{name}` looks like a secret and would be part of the image: use RUN --mount=type=secret"
            );
            self.report.at(place, Rule::SecretsUsedInArgOrEnv, message);
        }
    }

    fn legacy(&mut self, place: &Located<Instruction>, pairs: &[Pair]) {
        for pair in pairs.iter().filter(|p| p.separator == Separator::Space) {
            let instruction = place.value.name();
            let message = format!("write `{instruction} {}=…` with `=`", pair.key);
            self.report.at(place, Rule::LegacyKeyValueFormat, message);
        }
    }

    fn workdir(&mut self, place: &Located<Instruction>, path: &str) {
        if !self.scope.workdir_is_set && !path.starts_with('/') {
            let message =
                format!("WORKDIR `{path}` depends on the base image: make the first one absolute");
            self.report.at(place, Rule::WorkdirRelativePath, message);
        }
        self.scope.workdir_is_set = true;
    }

    fn shell_form(&mut self, place: &Located<Instruction>, command: &CommandLine) {
        if matches!(command, CommandLine::Shell(_)) && !self.scope.shell_is_set {
            let name = place.value.name();
            let message = format!(
                "{name} runs in a shell that does not pass signals to it: write {name} [\"…\"]"
            );
            self.report.at(place, Rule::JSONArgsRecommended, message);
        }
    }

    /// The earlier one is useless, so that one is reported.
    fn once(&mut self, place: &Located<Instruction>) {
        let name = place.value.name();
        if let Some(earlier) = self.last.insert(name, place.with(())) {
            let message = format!(
                "this {name} has no effect: line {} replaces it",
                place.first_line
            );
            self.report
                .at(&earlier, Rule::MultipleInstructionsDisallowed, message);
        }
    }

    fn ports(&mut self, place: &Located<Instruction>, written: &[String]) {
        let environment = &self.scope.environment;
        let look_up = |name: &str| environment.get(name).cloned();
        let split = written
            .iter()
            .filter_map(|w| words::expand_words(w, &look_up, self.escape).ok());
        for word in split.flat_map(|(words, _)| words) {
            let Ok(port) = expose::Word::parse(&word) else {
                continue;
            };
            if port.protocol != port.protocol.to_lowercase() {
                let message = format!("write the protocol of `{word}` in lower case");
                self.report.at(place, Rule::ExposeProtoCasing, message);
            }
            if !port.address.is_empty() || !port.host_port.is_empty() {
                let message = format!("EXPOSE does not support addresses or host ports: `{word}`");
                self.report.at(place, Rule::ExposeInvalidFormat, message);
            }
        }
    }

    /// `COPY ../x` takes the context's own `x`: nothing above the context can be copied.
    fn above(&mut self, place: &Located<Instruction>, files: &Files) {
        let local = |path: &&str| !path.contains("://") && !path.starts_with("git@");
        for path in files.paths().filter(local) {
            let mut depth = 0_i32;
            let leaves = path.split('/').any(|part| {
                depth += match part {
                    "" | "." => 0,
                    ".." => -1,
                    _ => 1,
                };
                depth < 0
            });
            // A variable may hold any number of directories.
            if leaves && !path.contains('$') {
                let message = format!(
                    "`{path}` leaves the context, so the context's own file of this name is copied; use a context that contains the file, or a named context"
                );
                self.report.at(place, Rule::SourceAboveContext, message);
            }
        }
    }

    /// With exceptions in the ignore file, a hidden directory may still hold visible files.
    fn ignored(&mut self, place: &Located<Instruction>, files: &Files) {
        let Some(ignore) = self.facts.ignore.filter(|i| !i.has_exceptions()) else {
            return;
        };
        for path in files
            .paths()
            .filter(|p| !p.contains("://") && !p.starts_with("git@"))
        {
            let relative = path.trim_start_matches("./").trim_matches('/');
            let root = relative.is_empty() || relative == ".";
            let Some(rule) = (!root).then(|| ignore.hiding_rule(relative)).flatten() else {
                continue;
            };
            let message = format!(
                "the ignore rule `{}` (line {}) hides `{path}`",
                rule.text, rule.line
            );
            self.report.at(place, Rule::CopyIgnoredFile, message);
        }
    }
}

/// Whole words within a name, as BuildKit's check has them.
/// Whether a variable of this name mostly holds a secret.
pub fn looks_secret(name: &str) -> bool {
    SECRET.is_match(name) && !HARMLESS.is_match(name)
}

static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        "(?i)(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)",
    )
    .expect("the pattern is constant")
});
static HARMLESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(?i)(?:_|^)(?:public|file|version)(?:_|$)").expect("the pattern is constant")
});
