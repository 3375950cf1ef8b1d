//! Where mistakes are, and what was probably meant.

use super::*;

#[test]
fn a_misspelt_word_names_its_place_and_the_nearest_legal_one() {
    let instruction = error("COPPY a b");
    assert_eq!(
        (
            instruction.line,
            instruction.column,
            instruction.nearest.as_deref()
        ),
        (2, Some(1), Some("COPY"))
    );
    let flag = error("COPY --chwon=a b c");
    assert_eq!(
        (flag.column, flag.nearest.as_deref()),
        (Some(6), Some("chown"))
    );
    let option = error("RUN --mount=type=cache,taget=/x y");
    assert_eq!(
        (option.column, option.nearest.as_deref()),
        (Some(24), Some("target"))
    );
    let kind = error("RUN --mount=type=cahce,target=/x y");
    assert_eq!(kind.nearest.as_deref(), Some("cache"));
}

#[test]
fn several_are_reported_together() {
    let found = errors("FROM a\nCOPPY x y\nRUN ok\nEXPOSE high \\\n 80\nFROM b c\nUSER\n");
    let lines: Vec<usize> = found.iter().map(|e| e.line).collect();
    assert_eq!(lines, [2, 4, 6, 7]);
}

#[test]
fn the_word_is_found_on_its_own_line() {
    let found = errors("FROM a\nRUN \\\n  --mount=type=cache,targt=/x \\\n  y\n");
    assert_eq!((found[0].line, found[0].column), (3, Some(22)));
}

#[test]
fn bytes_that_are_no_text_name_their_line() {
    let found = Dockerfile::parse(b"FROM a\nRUN \xff\n").unwrap_err();
    assert_eq!(found.0[0].line, 2);
}
