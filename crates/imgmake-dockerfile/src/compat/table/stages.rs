//! Stages, their names, and what ONBUILD leaves to them.

use super::super::builder::Builder::*;
use super::super::difference::{Difference, Shown, says};
use super::super::sight::{Place, Sight};
use crate::ast::{Instruction, MountSpec};

pub const ROWS: &[Difference] = &[
    Difference {
        name: "stage-name-case",
        here: "names of stages are compared without case",
        elsewhere: &[says(Buildah, "`Build` and `build` are two names")],
        shown: Shown::Always(stage_name_case),
    },
    Difference {
        name: "stage-name-in-capitals",
        here: "FROM accepts a stage's name in any case",
        elsewhere: &[says(BuildKit, "refuses upper case in FROM")],
        shown: Shown::Always(stage_name_in_capitals),
    },
    Difference {
        name: "stage-name-twice",
        here: "of two stages with one name, the last one before a use counts",
        elsewhere: &[
            says(Buildah, "the first one counts"),
            says(Kaniko, "the first one counts in FROM"),
        ],
        shown: Shown::Always(stage_name_twice),
    },
    Difference {
        name: "unneeded-stages",
        here: "a stage that the image does not need is not built",
        elsewhere: &[
            says(
                Kaniko,
                "every stage up to the target is built, unless `--skip-unused-stages` is set",
            ),
            says(Docker, "every stage up to the target is built"),
        ],
        shown: Shown::Sometimes(unneeded_stages),
    },
    Difference {
        name: "stages-side-by-side",
        here: "stages that do not need each other run at the same time",
        elsewhere: &[
            says(Buildah, "one after the other, unless `--jobs` is set"),
            says(Kaniko, "one after the other"),
            says(Docker, "one after the other"),
        ],
        shown: Shown::Never,
    },
    Difference {
        name: "stage-names-unique",
        here: "two stages may have one name",
        elsewhere: &[says(Docker, "refuses it")],
        shown: Shown::Always(stage_names_unique),
    },
    Difference {
        name: "platform-from-an-argument",
        here: "`FROM --platform=$BUILDPLATFORM` and other arguments of platforms have values",
        elsewhere: &[says(Docker, "they have none")],
        shown: Shown::Always(platform_from_an_argument),
    },
    Difference {
        name: "nothing-but-from",
        here: "an image may have no layer and no instruction",
        elsewhere: &[says(
            Docker,
            "does not build an image of only `FROM scratch`, and does not save images without layers",
        )],
        shown: Shown::Sometimes(nothing_but_from),
    },
    Difference {
        name: "named-contexts",
        here: "the target can declare named contexts",
        elsewhere: &[says(Kaniko, "has none"), says(Docker, "has none")],
        shown: Shown::Never,
    },
    Difference {
        name: "stage-of-a-trigger",
        here: "a trigger may name a stage of the Dockerfile in which it runs",
        elsewhere: &[says(Buildah, "looks for an image of that name")],
        shown: Shown::Always(stage_of_a_trigger),
    },
    Difference {
        name: "targetstage",
        here: "TARGETSTAGE is the name of the stage that is built",
        elsewhere: &[
            says(Buildah, "it has no value"),
            says(Kaniko, "it has no value"),
            says(Docker, "it has no value"),
        ],
        shown: Shown::Always(|sight| {
            sight.each(|step| match step.written {
                Instruction::Arg(args) => args
                    .iter()
                    .any(|arg| arg.name == "TARGETSTAGE")
                    .then(|| "ARG TARGETSTAGE".into()),
                _ => None,
            })
        }),
    },
    Difference {
        name: "syntax-directive",
        here: "the built-in frontend reads every Dockerfile",
        elsewhere: &[says(
            BuildKit,
            "fetches the frontend that the directive names",
        )],
        shown: Shown::Sometimes(syntax_directive),
    },
];

/// Names of stages as others write them, with the lines.
fn references(sight: &Sight<'_>) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    for (number, stage) in sight.file.stages.iter().enumerate() {
        found.push((
            number,
            stage.line(),
            sight.file.base_of(number, &sight.globals),
        ));
    }
    for step in &sight.steps {
        let names: Vec<&str> = match step.written {
            Instruction::Copy(copy) => copy.from.iter().map(String::as_str).collect(),
            Instruction::Run(run) => run.mounts.iter().filter_map(MountSpec::from).collect(),
            _ => Vec::new(),
        };
        let names = names.into_iter();
        found.extend(names.map(|name| (step.stage, step.line, name.to_owned())));
    }
    found
}

fn stage_name_case(sight: &Sight<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    let asked = sight.asked_stage.iter();
    let asked = asked.map(|name| (sight.file.stages.len(), sight.target_line(), name.clone()));
    for (at, line, words) in references(sight).into_iter().chain(asked) {
        let stage = sight.file.base_stage(&words, at);
        let written = stage.and_then(|s| sight.file.stages[s].from.value.written.as_ref());
        if written.is_some_and(|(_, name)| *name != words) {
            places.push(Place { line, words });
        }
    }
    places
}

fn stage_name_in_capitals(sight: &Sight<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for (number, stage) in sight.file.stages.iter().enumerate() {
        let words = sight.file.base_of(number, &sight.globals);
        if sight.base(number).is_some() && words != words.to_lowercase() {
            let line = stage.line();
            places.push(Place { line, words });
        }
    }
    places
}

fn stage_name_twice(sight: &Sight<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for (at, line, words) in references(sight) {
        let lower = words.to_lowercase();
        let before = sight.file.stages[..at].iter();
        if before.filter(|s| s.name() == Some(&lower)).count() > 1 {
            places.push(Place { line, words });
        }
    }
    places
}

fn unneeded_stages(sight: &Sight<'_>) -> Vec<Place> {
    let needed = sight.file.needed_by(sight.target, &sight.globals);
    let stages = sight.file.stages[..sight.target].iter().enumerate();
    stages
        .filter(|(number, _)| !needed.contains(number))
        .map(|(number, stage)| Place {
            line: stage.line(),
            words: match stage.name() {
                Some(name) => format!("stage {name}"),
                None => format!("stage {number}"),
            },
        })
        .collect()
}

fn stage_names_unique(sight: &Sight<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for (number, stage) in sight.file.stages.iter().enumerate() {
        let earlier = &sight.file.stages[..number];
        let name = stage.name().unwrap_or_default();
        if !name.is_empty() && earlier.iter().any(|s| s.name() == Some(name)) {
            places.push(Place {
                line: stage.line(),
                words: format!("AS {name}"),
            });
        }
    }
    places
}

fn platform_from_an_argument(sight: &Sight<'_>) -> Vec<Place> {
    let stages = sight.file.stages.iter();
    let argument = |platform: &&String| platform.contains('$');
    stages
        .filter_map(|stage| {
            let platform = stage.from.value.platform.as_ref().filter(argument)?;
            Some(Place {
                line: stage.line(),
                words: format!("--platform={platform}"),
            })
        })
        .collect()
}

/// A final stage whose text makes no layer above the empty image.
fn nothing_but_from(sight: &Sight<'_>) -> Vec<Place> {
    let mut stages = vec![sight.target];
    while let Some(base) = sight.base(stages[stages.len() - 1]) {
        stages.push(base);
    }
    let first = sight.file.base_of(stages[stages.len() - 1], &sight.globals);
    let makes_layers = |step: &super::super::sight::Step<'_>| {
        let layers = matches!(
            step.written,
            Instruction::Copy(_)
                | Instruction::Add(_)
                | Instruction::Run(_)
                | Instruction::Workdir(_)
        );
        layers && !step.is_trigger && stages.contains(&step.stage)
    };
    match first == "scratch" && !sight.steps.iter().any(makes_layers) {
        true => vec![Place {
            line: sight.target_line(),
            words: "FROM".into(),
        }],
        false => Vec::new(),
    }
}

fn stage_of_a_trigger(sight: &Sight<'_>) -> Vec<Place> {
    sight.each(|step| {
        let name = match step.written {
            Instruction::Copy(copy) => copy.from.as_deref(),
            Instruction::Run(run) => run.mounts.iter().find_map(MountSpec::from),
            _ => None,
        };
        name.filter(|_| step.is_trigger)
            .map(|name| format!("from={name}"))
    })
}

fn syntax_directive(sight: &Sight<'_>) -> Vec<Place> {
    let Some(syntax) = &sight.file.directives.syntax else {
        return Vec::new();
    };
    let line = sight.text.lines().position(|line| line.contains(syntax));
    vec![Place {
        line: line.unwrap_or_default() + 1,
        words: format!("syntax={syntax}"),
    }]
}
