//! Heredocs as scripts and as files.

use super::*;

#[test]
fn a_lone_body_is_the_script() {
    assert_eq!(
        run("RUN <<EOF\na\n  b\nEOF").executes(),
        RunCommand::Shell("a\n  b\n".into())
    );
    assert_eq!(
        run("RUN <<-EOF\n\ta\n\t\tb\n\tEOF").executes(),
        RunCommand::Shell("a\nb\n".into())
    );
}

#[test]
fn a_body_with_an_interpreter_becomes_a_file() {
    let expected = RunCommand::Script {
        name: "EOF".into(),
        content: "#!/usr/bin/python\nprint()\n".into(),
    };
    assert_eq!(
        run("RUN <<EOF\n#!/usr/bin/python\nprint()\nEOF").executes(),
        expected
    );
}

#[test]
fn a_command_with_bodies_is_left_to_the_shell() {
    let run = run("RUN cat <<A 3<<'B' > x\n$one\nA\ntwo\nB");
    assert_eq!(run.heredocs.len(), 2);
    assert_eq!(
        run.executes(),
        RunCommand::Shell("cat <<A 3<<'B' > x\n$one\nA\ntwo\nB".into())
    );
}

#[test]
fn copy_makes_files_of_them() {
    let copy = copy("COPY <<a.txt plain <<\"b.txt\" /d/\n$A\na.txt\n$B\nb.txt");
    let files: Vec<_> = copy
        .files
        .inline()
        .map(|h| (h.name.as_str(), h.text(), h.expand))
        .collect();
    assert_eq!(
        files,
        [
            ("a.txt", "$A\n".into(), true),
            ("b.txt", "$B\n".into(), false)
        ]
    );
    assert_eq!(copy.files.paths().collect::<Vec<_>>(), ["plain"]);
}

#[test]
fn bodies_expand_unless_quoted() {
    let file = parsed("FROM a\nCOPY <<a <<'b' /d/\n$X \"$X\" \\$X\na\n$X\nb\n");
    let expanded = file.stages[0].instructions[0]
        .expand(&|_| Some("v".into()), Escape::Backslash)
        .unwrap();
    let Instruction::Copy(copy) = expanded.instruction else {
        panic!("no COPY");
    };
    let texts: Vec<String> = copy.files.inline().map(Heredoc::text).collect();
    assert_eq!(texts, ["v \"v\" $X\n", "$X\n"]);
}

#[test]
fn they_stand_in_onbuild_too() {
    let Instruction::Onbuild(onbuild) = one("ONBUILD RUN <<EOF\nx\nEOF") else {
        panic!("no ONBUILD");
    };
    assert_eq!(onbuild.trigger, "RUN <<EOF\nx\nEOF");
    assert_eq!(
        parse_trigger(&onbuild.trigger).unwrap().value,
        *onbuild.instruction.unwrap()
    );
}

#[test]
fn a_trigger_is_printed_with_its_bodies_whether_it_can_be_read_or_not() {
    for text in [
        "ONBUILD RUN <<E\nx\nE",
        "ONBUILD RUN --bogus <<E\nx\ny\nE",
        "ONBUILD COPY <<A <<-B /d/\nx\nA\n\ty\nB",
    ] {
        let trigger = one(text);
        let printed = trigger.to_text(Escape::Backslash);
        assert_eq!(one(&printed), trigger, "{text}");
        assert_eq!(printed.lines().count(), text.lines().count());
    }
}

#[test]
fn a_body_without_end_is_an_error() {
    let found = errors("FROM a\nRUN <<EOF\nx\nUSER y\n");
    assert_eq!((found.len(), found[0].line), (1, 2));
}

#[test]
fn arithmetic_and_quotes_open_none() {
    assert!(run("RUN echo \"<<EOF\" $((1<<2))").heredocs.is_empty());
    assert!(run("RUN [\"cat\", \"<<EOF\"]").heredocs.is_empty());
}
