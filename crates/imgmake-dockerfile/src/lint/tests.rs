use super::*;
use crate::ignore::Ignore;
use std::collections::BTreeMap;

fn warnings_with(text: &str, facts: &Facts<'_>) -> Vec<(usize, Rule)> {
    let file = Dockerfile::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}\n{e}"));
    lint(&file, facts)
        .into_iter()
        .map(|w| (w.line, w.rule))
        .collect()
}

fn warnings(text: &str) -> Vec<(usize, Rule)> {
    warnings_with(text, &Facts::default())
}

/// The warnings of `body` behind `FROM scratch`, which gives line 2 to its first line.
fn body(body: &str) -> Vec<(usize, Rule)> {
    warnings(&format!("FROM scratch\n{body}\n"))
}

#[test]
fn a_clean_file_has_no_warnings() {
    let text = "# syntax=docker/dockerfile:1\nARG GO=1.24\nFROM --platform=$BUILDPLATFORM golang:$GO AS build\n\
        WORKDIR /src\nCOPY . .\nARG TARGETARCH\nENV GOARCH=$TARGETARCH PATH=/x:$PATH\nRUN go build\nFROM scratch\n\
        COPY --from=build /src/app /\nEXPOSE 80/tcp\nENTRYPOINT [\"/app\"]\n";
    assert_eq!(warnings(text), []);
}

#[test]
fn stage_names_are_checked() {
    assert_eq!(warnings("FROM a AS Build\n"), [(1, Rule::StageNameCasing)]);
    assert_eq!(warnings("FROM a as build\n"), [(1, Rule::FromAsCasing)]);
    assert_eq!(warnings("from a AS build\n"), [(1, Rule::FromAsCasing)]);
    assert_eq!(
        warnings("FROM a AS b\nFROM a AS B\n"),
        [(2, Rule::StageNameCasing), (2, Rule::DuplicateStageName)]
    );
    assert_eq!(
        warnings("FROM a AS scratch\n"),
        [(1, Rule::ReservedStageName)]
    );
}

#[test]
fn owners_of_an_empty_image_have_no_names() {
    assert_eq!(
        body("COPY --chown=app:root x /\nCOPY --chown=app x /"),
        [(2, Rule::UnknownOwner)]
    );
    assert_eq!(body("ADD --chown=1:staff x /"), [(2, Rule::UnknownOwner)]);
    assert_eq!(body("COPY --chown=1:root x /\nRUN x"), []);
    assert_eq!(warnings("FROM a\nCOPY --chown=app x /\n"), []);
    let two = "FROM scratch AS low\nENV A=b\nFROM low\nCOPY --chown=app x /\n";
    assert_eq!(warnings(two), [(4, Rule::UnknownOwner)]);
}

#[test]
fn names_that_nearly_are_a_stages_are_reported() {
    let misspelled = Rule::MisspelledStage;
    let behind = |line: &str| warnings(&format!("FROM a AS builder\nFROM scratch\n{line}\n"));
    for line in [
        "COPY --from=bulder x /",
        "COPY --from=builde x /",
        "RUN --mount=from=biulder,target=/x y",
    ] {
        assert_eq!(behind(line), [(3, misspelled)], "{line}");
    }
    for line in [
        "COPY --from=builder x /",
        "COPY --from=golang x /",
        "COPY --from=bulder:1 x /",
        "COPY --from=team/builder x /",
    ] {
        assert_eq!(behind(line), [], "{line}");
    }
    assert_eq!(
        warnings("FROM a AS builder\nFROM buidler\n"),
        [(2, misspelled)]
    );
    assert_eq!(warnings("FROM debian AS debian-1\nFROM debian\n"), []);
    let contexts = ["bulder".to_string()].into();
    let facts = Facts {
        contexts: Some(&contexts),
        ..Facts::default()
    };
    let text = "FROM a AS builder\nFROM scratch\nCOPY --from=bulder x /\n";
    assert_eq!(warnings_with(text, &facts), []);
    let skipped = format!("# check=skip=MisspelledStage\n{text}");
    assert_eq!(warnings(&skipped), []);
}

#[test]
fn sources_above_the_context_are_reported() {
    let rule = Rule::SourceAboveContext;
    for (line, is_told) in [
        ("COPY ../x /", true),
        ("COPY a/../../x b /", true),
        ("ADD ./../x /", true),
        ("COPY a/../x /", false),
        ("COPY ..x /", false),
        ("COPY $DIR/../x /", false),
        ("ADD https://a.example/../x /", false),
        ("COPY --from=b ../x /", false),
    ] {
        let told = body(&format!("ARG DIR=a\n{line}"));
        let expected: &[(usize, Rule)] = if is_told { &[(3, rule)] } else { &[] };
        assert_eq!(told, expected, "{line}");
    }
}

#[test]
fn triggers_that_cannot_be_read_are_told() {
    let text = "ONBUILD FOO x\nONBUILD COPY --nope a b\nONBUILD RUN x";
    let rule = Rule::InvalidOnbuild;
    assert_eq!(body(text), [(2, rule), (3, rule)]);
}

#[test]
fn the_majority_decides_about_casing() {
    assert_eq!(
        body("run x\nRUN y"),
        [(2, Rule::ConsistentInstructionCasing)]
    );
    assert_eq!(
        warnings("from a\nrun x\nRun y\n"),
        [(3, Rule::ConsistentInstructionCasing)]
    );
}

#[test]
fn blank_lines_in_continuations_are_reported() {
    assert_eq!(body("RUN a \\\n\n b"), [(3, Rule::NoEmptyContinuation)]);
}

#[test]
fn shell_form_is_fine_where_a_shell_was_chosen() {
    assert_eq!(body("CMD x"), [(2, Rule::JSONArgsRecommended)]);
    assert_eq!(body("ENTRYPOINT x"), [(2, Rule::JSONArgsRecommended)]);
    assert_eq!(body("SHELL [\"sh\", \"-c\"]\nCMD x"), []);
}

#[test]
fn replaced_instructions_are_reported_where_they_stand() {
    assert_eq!(
        body("CMD [\"a\"]\nUSER x\nCMD [\"b\"]"),
        [(2, Rule::MultipleInstructionsDisallowed)]
    );
    assert_eq!(
        body("HEALTHCHECK NONE\nHEALTHCHECK CMD x"),
        [(2, Rule::MultipleInstructionsDisallowed)]
    );
}

#[test]
fn old_forms_are_reported() {
    assert_eq!(body("MAINTAINER x"), [(2, Rule::MaintainerDeprecated)]);
    assert_eq!(body("ENV a b"), [(2, Rule::LegacyKeyValueFormat)]);
    assert_eq!(body("LABEL a b"), [(2, Rule::LegacyKeyValueFormat)]);
}

#[test]
fn the_first_workdir_should_be_absolute() {
    assert_eq!(
        body("WORKDIR app\nWORKDIR sub"),
        [(2, Rule::WorkdirRelativePath)]
    );
    assert_eq!(body("WORKDIR /app\nWORKDIR sub"), []);
    assert_eq!(warnings("FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y\n"), []);
    assert_eq!(body("ARG D=/x\nWORKDIR $D/y"), []);
}

#[test]
fn undefined_variables_are_reported() {
    assert_eq!(body("COPY $NOPE /x"), [(2, Rule::UndefinedVar)]);
    assert_eq!(body("ARG A\nCOPY $A /x"), []);
    assert_eq!(body("ENV A=1 B=$A"), [(2, Rule::UndefinedVar)]);
    assert_eq!(body("ARG A=$B"), [(2, Rule::UndefinedVar)]);
    assert_eq!(body("USER ${NOPE:-x}"), []);
    assert_eq!(warnings("FROM a AS b\nARG A=1\nFROM b\nUSER $A\n"), []);
    assert_eq!(
        warnings("FROM scratch AS b\nARG A=1\nFROM scratch\nUSER $A\n"),
        [(4, Rule::UndefinedVar)]
    );
}

#[test]
fn a_base_that_nobody_looked_at_may_define_anything() {
    assert_eq!(warnings("FROM node\nUSER $NODE_VERSION\n"), []);
    assert_eq!(
        warnings("FROM node\nARG VERSION=1\nUSER $VERSOIN\n"),
        [(3, Rule::UndefinedVar)]
    );
    let node = BTreeMap::from([("NODE_VERSION".to_owned(), "24".to_owned())]);
    let bases = BTreeMap::from([(0, node)]);
    let facts = Facts {
        base_environments: Some(&bases),
        ..Facts::default()
    };
    assert_eq!(
        warnings_with("FROM node\nUSER $NODE_VERSION$X\n", &facts),
        [(2, Rule::UndefinedVar)]
    );
}

#[test]
fn from_uses_declared_arguments_only() {
    assert_eq!(
        warnings("ARG TAG=1\nFROM a:$TGA\n"),
        [
            (2, Rule::UndefinedArgInFrom),
            (2, Rule::InvalidDefaultArgInFrom)
        ]
    );
    assert_eq!(
        warnings("FROM --platform=$BUILDPLATFROM a\n"),
        [(1, Rule::UndefinedArgInFrom)]
    );
    assert_eq!(warnings("FROM a:${TAG:-1}\n"), []);
}

#[test]
fn default_arguments_should_name_an_image() {
    assert_eq!(
        warnings("ARG TAG\nFROM a:$TAG\n"),
        [(2, Rule::InvalidDefaultArgInFrom)]
    );
    assert_eq!(
        warnings("ARG I=Upper\nFROM $I\n"),
        [(2, Rule::InvalidDefaultArgInFrom)]
    );
    assert_eq!(warnings("ARG I=r.io:5000/a/b:1\nFROM $I\n"), []);
    assert_eq!(warnings("ARG I=Base\nFROM a AS base\nFROM $I\n"), []);
}

#[test]
fn platforms_should_vary_and_not_repeat_the_default() {
    assert_eq!(
        warnings("FROM --platform=linux/amd64 a\n"),
        [(1, Rule::FromPlatformFlagConstDisallowed)]
    );
    assert_eq!(
        warnings("FROM --platform=linux/amd64 a AS build-amd64\n"),
        []
    );
    assert_eq!(
        warnings("FROM --platform=$TARGETPLATFORM a\n"),
        [(1, Rule::RedundantTargetPlatform)]
    );
    assert_eq!(warnings("FROM --platform=${BUILDPLATFORM} a\n"), []);
}

#[test]
fn a_base_for_another_platform_is_reported() {
    let mismatch = [PlatformMismatch {
        stage: 0,
        image: "a".into(),
        expected: "linux/arm64".into(),
        actual: "linux/amd64".into(),
    }];
    let facts = Facts {
        base_platforms: &mismatch,
        ..Facts::default()
    };
    assert_eq!(
        warnings_with("FROM a\n", &facts),
        [(1, Rule::InvalidBaseImagePlatform)]
    );
}

#[test]
fn secrets_do_not_belong_into_arg_or_env() {
    assert_eq!(body("ARG NPM_TOKEN"), [(2, Rule::SecretsUsedInArgOrEnv)]);
    assert_eq!(
        body("ENV db_password=x"),
        [(2, Rule::SecretsUsedInArgOrEnv)]
    );
    assert_eq!(body("ENV TOKEN_FILE=/x PUBLIC_KEY=y TOKENIZER=z"), []);
}

#[test]
fn ignored_files_cannot_be_copied() {
    let ignore = Ignore::parse("dist\n*.log").unwrap();
    let facts = Facts {
        ignore: Some(&ignore),
        ..Facts::default()
    };
    let text = "FROM scratch\nCOPY dist/app /\nCOPY ./x.log /\nCOPY . /\nCOPY --from=0 dist /\nADD https://x/a.log /\n";
    assert_eq!(
        warnings_with(text, &facts),
        [(2, Rule::CopyIgnoredFile), (3, Rule::CopyIgnoredFile)]
    );
}

#[test]
fn ports_are_plain_numbers_with_small_protocols() {
    assert_eq!(body("EXPOSE 80/TCP"), [(2, Rule::ExposeProtoCasing)]);
    assert_eq!(
        body("EXPOSE 127.0.0.1:80:80"),
        [(2, Rule::ExposeInvalidFormat)]
    );
    assert_eq!(
        body("ARG P=80/UDP\nEXPOSE $P"),
        [(3, Rule::ExposeProtoCasing)]
    );
}

#[test]
fn descriptions_are_checked_on_request() {
    let text =
        "# other words\nARG VERSION\n# build compiles\nFROM a AS build\n# wrong\nFROM a AS test\n";
    assert_eq!(warnings(text), []);
    let text = format!("# check=experimental=all\n{text}");
    assert_eq!(
        warnings(&text),
        [
            (3, Rule::InvalidDefinitionDescription),
            (7, Rule::InvalidDefinitionDescription)
        ]
    );
}

#[test]
fn checks_can_be_skipped() {
    assert_eq!(
        warnings("# check=skip=StageNameCasing\nFROM a as B\n"),
        [(2, Rule::FromAsCasing)]
    );
    assert_eq!(warnings("# check=skip=all\nFROM a as B\nCMD x\n"), []);
    assert_eq!(body("# check=skip=JSONArgsRecommended\nCMD x"), []);
    let options = CheckOptions::parse("skip=all").unwrap();
    let facts = Facts {
        check: Some(&options),
        ..Facts::default()
    };
    assert_eq!(warnings_with("FROM a as B\n", &facts), []);
}

#[test]
fn warnings_can_be_fatal() {
    let fatal = |text: &str| {
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let facts = Facts::default();
        is_fatal(&file, &facts, &lint(&file, &facts))
    };
    assert!(fatal("# check=error=true\nFROM a as b\n"));
    assert!(!fatal("# check=error=true\nFROM a AS b\n"));
    assert!(!fatal("FROM a as b\n"));
}

#[test]
fn messages_say_what_to_do() {
    let file = Dockerfile::parse(b"FROM scratch\nARG VERSION=1\nUSER $VERSOIN\n").unwrap();
    let found = lint(&file, &Facts::default());
    let expected = "line 3: UndefinedVar: `$VERSOIN` is not defined above; did you mean `VERSION`?";
    assert_eq!(found[0].to_string(), expected);
}
