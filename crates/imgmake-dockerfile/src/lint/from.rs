//! Checks of FROM lines: names, platforms, global arguments.

use super::facts::Facts;
use super::report::{Report, description, suggestion};
use super::rule::Rule;
use crate::ast::*;
use crate::suggest;
use crate::words::{self, Expanded};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

pub fn check(file: &Dockerfile, facts: &Facts<'_>, report: &mut Report) {
    for args in &file.global_args {
        let names: Vec<&str> = args.value.iter().map(|a| a.name.as_str()).collect();
        description(args, "ARG", &names, report);
    }
    let globals = Globals::new(file, facts.build_args);
    let defaults = Globals::new(file, None);
    let mut names = BTreeSet::new();
    for (index, stage) in file.stages.iter().enumerate() {
        stage_name(&stage.from, &mut names, report);
        arguments(file, &stage.from, &globals, report);
        default_image(file, index, &defaults, report);
        platform(file, &stage.from, report);
    }
    for mismatch in facts.base_platforms {
        if let Some(stage) = file.stages.get(mismatch.stage) {
            let message = mismatch.to_string();
            report.at(&stage.from, Rule::InvalidBaseImagePlatform, message);
        }
    }
}

/// ARGs that FROM lines see.
pub(super) struct Globals {
    pub values: BTreeMap<String, String>,
    /// With and without a value.
    declared: BTreeSet<String>,
}

impl Globals {
    pub(super) fn new(file: &Dockerfile, build_args: Option<&BTreeMap<String, String>>) -> Globals {
        // Which platform is built for makes no difference here: any legal value will do.
        let platform = PLATFORM_ARGS
            .iter()
            .map(|name| ((*name).to_owned(), "x".to_owned()));
        let mut values: BTreeMap<String, String> = platform.collect();
        let mut declared: BTreeSet<String> = values.keys().cloned().collect();
        for arg in file.global_args.iter().flat_map(|a| &a.value) {
            let given = build_args.and_then(|args| args.get(&arg.name)).cloned();
            let default = arg.expand_default(&|n| values.get(n).cloned(), file.directives.escape);
            let default = default.ok().flatten().map(|e| e.text);
            if let Some(value) = given.or(default) {
                values.insert(arg.name.clone(), value);
            }
            declared.insert(arg.name.clone());
        }
        Globals { values, declared }
    }

    /// The name that a FROM line ends up with.
    pub(super) fn image(&self, from: &From, escape: Escape) -> String {
        let expanded = self.expand(&from.image, escape);
        expanded.map(|e| e.text).unwrap_or_default()
    }

    fn expand(&self, word: &str, escape: Escape) -> Option<Expanded> {
        words::expand(word, &|name| self.values.get(name).cloned(), escape).ok()
    }
}

fn stage_name(from: &Located<From>, names: &mut BTreeSet<String>, report: &mut Report) {
    let (Some(name), Some((separator, written))) = (&from.value.name, &from.value.written) else {
        return;
    };
    if written != name {
        let message = format!("name the stage `{name}` instead of `{written}`");
        report.at(from, Rule::StageNameCasing, message);
    }
    let keyword = from.keyword.as_str();
    let expected = match (
        keyword == keyword.to_lowercase(),
        keyword == keyword.to_uppercase(),
    ) {
        (true, _) => separator.to_lowercase(),
        (_, true) => separator.to_uppercase(),
        // Mixed: that is reported as inconsistent casing already.
        _ => separator.clone(),
    };
    if *separator != expected {
        let message = format!("write `{expected}` together with `{keyword}`, not `{separator}`");
        report.at(from, Rule::FromAsCasing, message);
    }
    if ["context", "scratch"].contains(&name.as_str()) {
        let message = format!("`{name}` is reserved and should not be the name of a stage");
        report.at(from, Rule::ReservedStageName, message);
    }
    if !names.insert(name.clone()) {
        let message = format!("another stage is named `{name}` already");
        report.at(from, Rule::DuplicateStageName, message);
    }
    description(from, "FROM", &[name], report);
}

fn arguments(file: &Dockerfile, from: &Located<From>, globals: &Globals, report: &mut Report) {
    let words = [Some(&from.value.image), from.value.platform.as_ref()];
    for word in words.into_iter().flatten() {
        let Some(expanded) = globals.expand(word, file.directives.escape) else {
            continue;
        };
        for name in expanded.unset.difference(&globals.declared) {
            let nearest = suggest::nearest(name, globals.declared.iter().map(String::as_str));
            let hint = suggestion(nearest);
            let message = format!("no ARG before the first FROM declares `{name}`{hint}");
            report.at(from, Rule::UndefinedArgInFrom, message);
        }
    }
}

/// With every ARG at its default the base must still be an image.
fn default_image(file: &Dockerfile, index: usize, defaults: &Globals, report: &mut Report) {
    let from = &file.stages[index].from;
    let word = &from.value.image;
    let Some(image) = defaults
        .expand(word, file.directives.escape)
        .filter(|_| word.contains('$'))
    else {
        return;
    };
    let known = file.base_stage(&image.text, index).is_some();
    if !known && !REFERENCE.is_match(&image.text) {
        let message = format!(
            "with the default ARGs, `{word}` is `{}`: no image",
            image.text
        );
        report.at(from, Rule::InvalidDefaultArgInFrom, message);
    }
}

/// The grammar of distribution's references: host, path in small letters, tag, digest.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let host = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?";
    let part = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
    let tag = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?";
    let digest = r"(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,})?";
    let whole = format!("^(?:{host}/)?{part}(?:/{part})*{tag}{digest}$");
    Regex::new(&whole).expect("the grammar is constant")
});

fn platform(file: &Dockerfile, from: &Located<From>, report: &mut Report) {
    let Some(word) = &from.value.platform else {
        return;
    };
    if ["$TARGETPLATFORM", "${TARGETPLATFORM}"].contains(&word.as_str()) {
        let message = format!("--platform={word} is the default; leave it out");
        report.at(from, Rule::RedundantTargetPlatform, message);
    }
    let nothing = |_: &str| None;
    let Ok(expanded) = words::expand(word, &nothing, file.directives.escape) else {
        return;
    };
    // A stage that is named after the platform means it.
    let name = from.value.name.as_deref().unwrap_or_default();
    let named_after = platform_parts(&expanded.text).any(|part| name.contains(&part));
    if !word.contains('$') && platform_parts(&expanded.text).next().is_some() && !named_after {
        let message = format!("--platform={word} restricts this stage to one platform");
        report.at(from, Rule::FromPlatformFlagConstDisallowed, message);
    }
}

/// System and architecture, in the names that images use; nothing if it is no platform.
fn platform_parts(text: &str) -> impl Iterator<Item = String> {
    let lower = text.to_lowercase();
    let known = [
        "linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "wasi", "js",
        "plan9", "aix", "android",
    ];
    let parts: Vec<String> = lower.split('/').take(2).map(normal_architecture).collect();
    let system = known.contains(&lower.split('/').next().unwrap_or_default());
    let architectures = [
        "amd64", "386", "arm64", "arm", "ppc64le", "s390x", "riscv64", "mips64le", "mips64",
        "loong64", "wasm",
    ];
    let valid = match parts.as_slice() {
        [one] => system || architectures.contains(&one.as_str()),
        parts => parts.iter().all(|p| !p.is_empty()),
    };
    parts.into_iter().filter(move |_| valid)
}

fn normal_architecture(part: &str) -> String {
    match part {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" => "386",
        "armhf" | "armel" => "arm",
        other => other,
    }
    .to_owned()
}
