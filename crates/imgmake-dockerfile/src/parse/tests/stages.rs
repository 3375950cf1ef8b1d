//! FROM and the stages that it begins.

use super::*;

#[test]
fn from_takes_platform_and_name() {
    let file = parsed("ARG V=1\nFROM --platform=$BUILDPLATFORM golang:$V as Build\nFROM scratch\n");
    let from = &file.stages[0].from.value;
    assert_eq!(from.platform.as_deref(), Some("$BUILDPLATFORM"));
    assert_eq!(
        (from.image.as_str(), from.name.as_deref()),
        ("golang:$V", Some("build"))
    );
    assert_eq!(file.global_args[0].value[0].default.as_deref(), Some("1"));
}

#[test]
fn references_find_earlier_stages_by_name_or_number() {
    let file = parsed("FROM a AS one\nFROM b\nFROM c AS three\n");
    assert_eq!(file.stage_reference("ONE", 2), StageReference::Stage(0));
    assert_eq!(file.stage_reference("1", 2), StageReference::Stage(1));
    assert_eq!(file.stage_reference("three", 2), StageReference::NotYet(2));
    assert_eq!(file.stage_reference("2", 1), StageReference::NotYet(2));
    assert_eq!(file.stage_reference("7", 2), StageReference::Other);
    assert_eq!(file.stage_reference("alpine", 2), StageReference::Other);
    assert_eq!(file.base_stage("0", 2), None);
}

#[test]
fn the_target_is_the_last_stage_or_a_named_one() {
    let file = parsed("FROM a AS build\nFROM b AS final\n");
    assert_eq!(file.target(None), Ok(1));
    assert_eq!(file.target(Some("Build")), Ok(0));
    let error = file.target(Some("biuld")).unwrap_err();
    assert_eq!(error.nearest.as_deref(), Some("build"));
}

#[test]
fn what_cannot_be_a_from_is_an_error() {
    for line in [
        "FROM",
        "FROM a b",
        "FROM a AS",
        "FROM a AS 1x",
        "FROM a AS b c",
        "FROM --as=x a",
        "FROM ${a",
    ] {
        assert!(Dockerfile::parse(line.as_bytes()).is_err(), "{line}");
    }
}

#[test]
fn only_arg_stands_before_the_first_from() {
    let found = errors("ARG a\nRUN x\nRUN y\nFROM z\n");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].column), (2, Some(1)));
}

#[test]
fn a_file_without_from_is_an_error() {
    for text in ["", "# nothing\n", "ARG x\n"] {
        assert_eq!(errors(text).len(), 1, "{text:?}");
    }
}
