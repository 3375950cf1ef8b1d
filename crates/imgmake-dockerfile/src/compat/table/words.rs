//! Variables, quotes and escapes.

use std::sync::LazyLock;

use regex::Regex;

use super::super::builder::Builder::*;
use super::super::difference::{Difference, Shown, says, until};
use super::super::sight::{Place, Sight};
use crate::ast::{Escape, Instruction};

pub const ROWS: &[Difference] = &[
    Difference {
        name: "arg-after-env",
        here: "if an ARG and an ENV have the same name, the later one wins",
        elsewhere: &[
            says(Buildah, "the ENV wins"),
            says(Kaniko, "the ENV wins"),
            says(Docker, "the ENV wins"),
        ],
        shown: Shown::Always(arg_after_env),
    },
    Difference {
        name: "arg-without-value",
        here: "an ARG without a value keeps the value that the name already has",
        elsewhere: &[
            until(Buildah, "1.43", "the name then has no value"),
            says(Docker, "the name then has no value"),
        ],
        shown: Shown::Always(arg_without_value),
    },
    Difference {
        name: "arg-of-base-stage",
        here: "a stage has the ARGs of the stage that it continues",
        elsewhere: &[
            until(Buildah, "1.43", "the stage does not have them"),
            says(Docker, "the stage does not have them"),
        ],
        shown: Shown::Always(arg_of_base_stage),
    },
    Difference {
        name: "escape-in-words",
        here: "`# escape=` applies to words, too: `\\` is an ordinary character there",
        elsewhere: &[
            says(Buildah, "`\\` escapes within words, too"),
            says(Kaniko, "`\\` escapes within words, too"),
        ],
        shown: Shown::Always(escape_in_words),
    },
    Difference {
        name: "directive-in-capitals",
        here: "directives may be in upper or lower case",
        elsewhere: &[says(Buildah, "only lower case is a directive")],
        shown: Shown::Always(directive_in_capitals),
    },
    Difference {
        name: "patterns-in-variables",
        here: "`${name#pattern}`, `##`, `%`, `%%`, `/` and `//` remove parts of a value",
        elsewhere: &[until(Buildah, "1.43", "refuses them")],
        shown: Shown::Always(|sight| sight.words(|text| matched(&PATTERNS, text))),
    },
    Difference {
        name: "forms-without-colon",
        here: "`${name-word}`, `${name+word}` and `${name?word}` test whether a name is set",
        elsewhere: &[says(Buildah, "refuses them")],
        shown: Shown::Always(|sight| sight.words(|text| matched(&WITHOUT_COLON, text))),
    },
    Difference {
        name: "shell-parameters",
        here: "`$1`, `$@`, `$*`, `$#`, `$?`, `$$`, `$!` and `$-` are empty",
        elsewhere: &[says(Buildah, "refuses some")],
        shown: Shown::Always(|sight| sight.words(|text| matched(&PARAMETERS, text))),
    },
];

static PATTERNS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{\w+[#%/][^}]*\}").expect("the pattern is constant"));
static WITHOUT_COLON: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{\w+[-+?][^}]*\}").expect("the pattern is constant"));
static PARAMETERS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|[^\\$])(\$(?:[0-9@*#?$!-]|\{[0-9]+\}))").expect("the pattern is constant")
});

/// What is between single quotes stays as it is.
fn matched(pattern: &Regex, text: &str) -> Option<String> {
    let found = pattern.captures(text)?;
    let found = found.get(1).or_else(|| found.get(0))?;
    let quotes = text[..found.start()].matches('\'').count();
    quotes.is_multiple_of(2).then(|| found.as_str().to_owned())
}

fn arg_after_env(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| {
        let Instruction::Arg(args) = step.written else {
            return None;
        };
        let wins = |name: &str| step.before.env.contains_key(name);
        let has_value = |name: &str| sight.globals.contains_key(name);
        let arg = args
            .iter()
            .find(|a| wins(&a.name) && (a.default.is_some() || has_value(&a.name)))?;
        Some(format!("ARG {}", arg.name))
    })
}

fn arg_without_value(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| {
        let Instruction::Arg(args) = step.written else {
            return None;
        };
        let had = |name: &str| step.before.args.get(name).is_some_and(Option::is_some);
        let arg = args.iter().find(|a| {
            a.default.is_none() && had(&a.name) && !sight.globals.contains_key(&a.name)
        })?;
        Some(format!("ARG {}", arg.name))
    })
}

/// Where a stage uses what only a stage below declares.
fn arg_of_base_stage(sight: &Sight<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for stage in 0..sight.file.stages.len() {
        if sight.base(stage).is_none() {
            continue;
        }
        let mut declared = Vec::new();
        for step in sight.steps.iter().filter(|step| step.stage == stage) {
            if let Instruction::Arg(args) = step.written {
                declared.extend(args.iter().map(|arg| arg.name.as_str()));
            }
            let inherited = step.before.args.iter().filter(|(name, value)| {
                value.is_some()
                    && !declared.contains(&name.as_str())
                    && !step.before.env.contains_key(*name)
            });
            let used = inherited
                .map(|(name, _)| name)
                .find(|name| uses(step.text, name));
            if let Some(name) = used {
                let words = format!("${name}");
                let line = step.line;
                places.push(Place { line, words });
            }
        }
    }
    places
}

/// Whether a text has `$name` or `${name…`.
fn uses(text: &str, name: &str) -> bool {
    text.match_indices('$').any(|(at, _)| {
        let rest = &text[at + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.strip_prefix(name)
            .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

fn escape_in_words(sight: &Sight<'_>) -> Vec<Place> {
    if sight.file.directives.escape == Escape::Backslash {
        return Vec::new();
    }
    sight.words(|text| {
        let word = text.split_whitespace().find(|word| word.contains('\\'))?;
        Some(word.to_owned())
    })
}

fn directive_in_capitals(sight: &Sight<'_>) -> Vec<Place> {
    if sight.file.directives.escape == Escape::Backslash {
        return Vec::new();
    }
    let lines = sight.text.lines().enumerate();
    let mut lines = lines.take_while(|(_, line)| line.trim_start().starts_with('#'));
    let found = lines.find_map(|(number, line)| {
        let name = line
            .trim_start()
            .strip_prefix('#')?
            .split('=')
            .next()?
            .trim();
        (name != "escape" && name.eq_ignore_ascii_case("escape")).then(|| Place {
            line: number + 1,
            words: name.to_owned(),
        })
    });
    found.into_iter().collect()
}
