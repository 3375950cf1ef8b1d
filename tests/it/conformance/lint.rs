//! `imgmake lint` beside the build: what one refuses, the other refuses, with the same words.
//!
//! What the text of a Dockerfile alone says, `lint` knows. What it cannot know stands in the case's request:
//! `beyond-lint WHY`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use imgmake_build::BuildError;
use imgmake_dockerfile::{Kind, Mistake, PatternProblem, Position, WordProblem};

use super::case::Case;
use super::for_each;
use super::workshop::Workshop;
use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::write;

/// What `lint` says of a case that is laid out.
fn linted(imgmake: &Imgmake, workshop: &Workshop, case: &Case, place: &Path) -> Ran {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let asked = &case.request;
    let mut manifest = format!("build {} {{\n    context \"context\"\n", text(case.name()));
    manifest += "    dockerfile \"Dockerfile\"\n";
    if let Some(stage) = &asked.stage {
        manifest += &format!("    stage {}\n", text(stage));
    }
    manifest += "    args {\n";
    for (name, value) in workshop.arguments(case) {
        manifest += &format!("        {} {}\n", text(&name), text(&value));
    }
    manifest += "    }\n    contexts {\n";
    for (name, directory) in &asked.contexts {
        let directory = text(&format!("context/{directory}"));
        manifest += &format!("        {} (path){directory}\n", text(name));
    }
    for (name, _) in &asked.images {
        manifest += &format!("        {} (image)\"made/before\"\n", text(name));
    }
    manifest += "    }\n";
    write(place, "imgmake.kdl", manifest + "}\n");
    imgmake.run(place, &["lint"])
}

/// The lines of `lint` that are errors.
fn errors(ran: &Ran) -> Vec<&str> {
    let lines = ran.stdout.lines().chain(ran.stderr.lines());
    lines.filter(|line| line.contains("error: ")).collect()
}

#[test]
fn what_a_dockerfile_alone_gets_wrong_lint_says_too() {
    let workshop = Workshop::new();
    let imgmake = Imgmake::new();
    let cases = Case::all("conformance-errors");
    let agreed = Mutex::new(BTreeSet::new());
    let failures = for_each(&cases, |case| {
        let Err(error) = workshop.build(case) else {
            return Some("it builds\n".into());
        };
        let ran = linted(&imgmake, &workshop, case, &workshop.place(case));
        let error: &BuildError = error.downcast_ref().unwrap();
        // Findings, which are no errors by themselves.
        let said = match error {
            BuildError::Checks { .. } => ran.stdout.lines().collect(),
            _ => errors(&ran),
        };
        match (&case.request.beyond_lint, said.is_empty()) {
            (Some(_), true) => None,
            (None, false) => {
                agreed.lock().unwrap().extend(facts(error));
                None
            }
            (Some(why), false) => Some(format!("lint says it, although {why}: {said:?}\n")),
            (None, true) => Some(format!(
                "lint says nothing of\n{error:#}\nbut\n{}{}",
                ran.stdout, ran.stderr
            )),
        }
    });
    assert!(failures.is_empty(), "{failures}");
    if std::env::var_os("CASE").is_none() {
        let agreed = agreed.into_inner().unwrap();
        let facts: BTreeSet<&str> = FACTS.into_iter().collect();
        let unshown: Vec<_> = facts.difference(&agreed).collect();
        let unlisted: Vec<_> = agreed.difference(&facts).collect();
        assert!(
            unshown.is_empty() && unlisted.is_empty(),
            "no case shows {unshown:?}; not listed: {unlisted:?}"
        );
    }
}

/// What the text of a Dockerfile alone can get wrong, each shown by a case.
const FACTS: [&str; 39] = [
    "bad substitution",
    "checks",
    "deep word",
    "duplicate",
    "empty class",
    "escape in a pattern",
    "instruction before FROM",
    "instruction in ONBUILD",
    "invalid part",
    "invalid value",
    "missing part",
    "modifier",
    "name of a whiteout",
    "negation alone",
    "no FROM",
    "no replacement",
    "not UTF-8",
    "number of a stage",
    "open brace",
    "open heredoc",
    "open pattern",
    "open quote",
    "port",
    "reference, digest or platform",
    "required value",
    "syntax",
    "unexpected part",
    "unknown check option",
    "unknown flag",
    "unknown health check",
    "unknown instruction",
    "unknown mount option",
    "unknown mount type",
    "unknown option of an address",
    "unknown target",
    "unknown value of a flag",
    "unsupported",
    "unusable part",
    "variable in an option",
];

/// Exhaustive: whoever adds a fact decides whether a Dockerfile alone can cause it.
fn facts(error: &BuildError) -> Vec<&'static str> {
    match error {
        BuildError::At { source, .. } | BuildError::During { source, .. } => facts(source),
        BuildError::Dockerfile { errors, .. } => {
            let errors = errors.0.iter();
            errors.map(|error| fact(&error.mistake)).collect()
        }
        BuildError::Instruction(error) => vec![fact(&error.mistake)],
        BuildError::Invalid { .. } => vec!["invalid value"],
        BuildError::NotFound { .. } => vec!["number of a stage"],
        BuildError::Unknown { .. } => vec!["unknown option of an address"],
        BuildError::WhiteoutName => vec!["name of a whiteout"],
        BuildError::Checks { .. } => vec!["checks"],
        BuildError::Other(source) => match source.downcast_ref::<Mistake>() {
            Some(mistake) => vec![fact(mistake)],
            None => vec!["reference, digest or platform"],
        },
        // Files, images, servers, secrets, commands, limits: none of them is in the text.
        BuildError::Changed(_)
        | BuildError::Advised { .. }
        | BuildError::Required { .. }
        | BuildError::Unsupported { .. }
        | BuildError::Forbidden { .. }
        | BuildError::Conflict { .. }
        | BuildError::LimitExceeded { .. }
        | BuildError::Mismatch { .. }
        | BuildError::Damaged { .. }
        | BuildError::LinkIntoLower(_)
        | BuildError::NoModes { .. }
        | BuildError::CommandFailed { .. }
        | BuildError::NetworkLost { .. }
        | BuildError::Helper(_)
        | BuildError::Internal(_)
        | BuildError::Cancelled(_)
        | BuildError::Io(_) => Vec::new(),
    }
}

fn fact(mistake: &Mistake) -> &'static str {
    match mistake {
        Mistake::NotUtf8 { .. } => "not UTF-8",
        Mistake::NoFrom => "no FROM",
        Mistake::Unknown { kind, .. } => match kind {
            Kind::Instruction => "unknown instruction",
            Kind::Directive => "unknown directive",
            Kind::Flag { .. } => "unknown flag",
            Kind::FlagValue { .. } => "unknown value of a flag",
            Kind::HealthcheckType => "unknown health check",
            Kind::CheckOption => "unknown check option",
            Kind::MountType => "unknown mount type",
            Kind::MountOption { .. } => "unknown mount option",
            Kind::Stage => "unknown target",
        },
        Mistake::Duplicate { .. } => "duplicate",
        Mistake::Missing { .. } => "missing part",
        Mistake::Misplaced { place, .. } => match place {
            Position::BeforeFrom => "instruction before FROM",
            Position::InStage => "instruction in a stage",
            Position::InOnbuild => "instruction in ONBUILD",
        },
        Mistake::Unexpected { .. } => "unexpected part",
        Mistake::Invalid { .. } => "invalid part",
        Mistake::Unusable { .. } => "unusable part",
        Mistake::Syntax(_) => "syntax",
        Mistake::Variable { .. } => "variable in an option",
        Mistake::Unsupported { .. } => "unsupported",
        Mistake::HeredocNotClosed { .. } => "open heredoc",
        Mistake::Port { .. } => "port",
        Mistake::Word { problem, .. } => match problem {
            WordProblem::TooDeep => "deep word",
            WordProblem::UnclosedQuote(_) => "open quote",
            WordProblem::UnclosedBrace => "open brace",
            WordProblem::NoReplacement => "no replacement",
            WordProblem::BadSubstitution => "bad substitution",
            WordProblem::UnsupportedModifier(_) => "modifier",
            WordProblem::ValueRequired { .. } => "required value",
            WordProblem::InvalidEscape { .. } => "escape in a pattern",
            WordProblem::PatternTooLarge { .. } => "large pattern",
        },
        Mistake::Pattern { problem, .. } => match problem {
            PatternProblem::Open => "open pattern",
            PatternProblem::EmptyClass => "empty class",
            PatternProblem::OnlyNegation => "negation alone",
        },
    }
}

#[test]
fn what_builds_lint_does_not_refuse() {
    let workshop = Workshop::new();
    let imgmake = Imgmake::new();
    let cases = Case::all("conformance");
    let failures = for_each(&cases, |case| {
        let place = workshop.place(case);
        std::fs::create_dir(&place).unwrap();
        case.lay_out(&place);
        let ran = linted(&imgmake, &workshop, case, &place);
        let said = errors(&ran);
        (!said.is_empty()).then(|| format!("{}\n", said.join("\n")))
    });
    assert!(failures.is_empty(), "{failures}");
}
