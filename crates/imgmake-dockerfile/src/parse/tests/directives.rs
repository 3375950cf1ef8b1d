//! Parser directives at the top of a file.

use super::*;

#[test]
fn they_stand_on_top_in_any_case() {
    let file =
        parsed("#Syntax = docker/dockerfile:1\n# ESCAPE=`\n#check=skip=all;error=true\nFROM a\n");
    assert_eq!(
        file.directives.syntax.as_deref(),
        Some("docker/dockerfile:1")
    );
    assert_eq!(file.directives.escape, Escape::Backtick);
    assert!(file.directives.check.error);
}

#[test]
fn anything_else_ends_the_block() {
    for above in ["# a comment\n", "\n", "# unknown=x\n", "ARG x\n"] {
        let file = parsed(&format!("{above}# escape=`\nFROM a\n"));
        assert_eq!(file.directives.escape, Escape::Backslash, "{above:?}");
    }
}

#[test]
fn each_stands_once() {
    let found = errors("# escape=`\n# Escape=`\nFROM a\n");
    assert_eq!(
        (found[0].line, found[0].mistake.to_string().as_str()),
        (2, "duplicate directive `escape`")
    );
}

#[test]
fn only_two_characters_escape() {
    assert_eq!(errors("# escape=x\nFROM a")[0].line, 1);
    assert_eq!(errors("# check=skipp=x\nFROM a")[0].line, 1);
}
