//! Lines: continuations, comments, marks of byte order.

use super::*;

#[test]
fn byte_order_mark_and_crlf_are_fine() {
    let file = parsed("\u{feff}FROM a\r\nRUN x \\\r\n  y\r\n");
    let Instruction::Run(run) = &file.stages[0].instructions[0].value else {
        panic!("no RUN");
    };
    assert_eq!(run.command, shell("x   y"));
}

#[test]
fn continuations_join_and_skip_comments() {
    assert_eq!(
        run("RUN a \\\n# comment\n   # another \\\n b \\\n c").command,
        shell("a  b  c")
    );
}

#[test]
fn an_escaped_escape_does_not_continue() {
    let file = parsed("FROM a\nRUN echo \\\\\nUSER x\n");
    assert_eq!(file.stages[0].instructions.len(), 2);
}

#[test]
fn blanks_behind_a_continuation_do_not_matter() {
    assert_eq!(run("RUN a \\ \t\nb").command, shell("a b"));
}

#[test]
fn blank_lines_in_a_continuation_are_skipped_and_noted() {
    let file = parsed("FROM a\nRUN x \\\n\n  \n y\nUSER z\n");
    assert_eq!(file.empty_continuations, [3, 4]);
    assert_eq!(file.stages[0].instructions.len(), 2);
}

#[test]
fn instructions_know_their_lines_and_text() {
    let file = parsed("# top\nFROM a\n\n# about\n\trun x \\\n  y\nCOPY <<E /f\nbody\nE\n");
    let [first, second] = file.stages[0].instructions.as_slice() else {
        panic!("two instructions");
    };
    assert_eq!((first.first_line, first.last_line), (5, 6));
    assert_eq!(first.text, "run x   y");
    assert_eq!(first.keyword, "run");
    assert_eq!(first.comments, ["about"]);
    assert_eq!((second.first_line, second.last_line), (7, 9));
}

#[test]
fn a_file_may_end_in_a_continuation() {
    assert_eq!(run("RUN a \\").command, shell("a"));
}

#[test]
fn the_backtick_continues_where_it_is_declared() {
    let file = parsed("# escape=`\nFROM a\nRUN dir c:\\ `\n /s\n");
    assert_eq!(file.stages[0].instructions[0].text, "RUN dir c:\\  /s");
}
