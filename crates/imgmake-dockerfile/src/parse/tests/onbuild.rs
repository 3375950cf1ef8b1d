//! ONBUILD.

use super::*;

#[test]
fn it_holds_one_other_instruction() {
    let Instruction::Onbuild(onbuild) = one("onbuild copy --from=0 a  b") else {
        panic!("no ONBUILD");
    };
    assert_eq!(onbuild.trigger, "copy --from=0 a  b");
    assert_eq!(onbuild.instruction.as_ref().unwrap().name(), "COPY");
}

#[test]
fn some_instructions_cannot_be_deferred() {
    for line in [
        "ONBUILD",
        "ONBUILD ONBUILD RUN x",
        "ONBUILD FROM x",
        "ONBUILD maintainer x",
    ] {
        error(line);
    }
    let Instruction::Onbuild(onbuild) = one("ONBUILD NOPE x") else {
        panic!("no ONBUILD");
    };
    assert_eq!(
        (onbuild.trigger.as_str(), onbuild.instruction),
        ("NOPE x", None)
    );
    assert!(parse_trigger("FROM x").is_err());
    assert!(parse_trigger("RUN x\nRUN y").is_err());
}

#[test]
fn blanks_at_its_end_stay() {
    for (text, expected) in [
        ("ONBUILD  RUN x \t", "RUN x \t"),
        ("ONBUILD RUN x \\\n \t\n# nothing\n", "RUN x "),
        ("ONBUILD RUN a\\ \\\n", "RUN a\\ "),
        ("ONBUILD RUN x\\\\ ", "RUN x\\\\ "),
        ("ONBUILD RUN <<E \nx \nE\n", "RUN <<E \nx \nE"),
    ] {
        let Instruction::Onbuild(onbuild) = one(text) else {
            panic!("ONBUILD");
        };
        assert_eq!(onbuild.trigger, expected);
        let printed = Instruction::Onbuild(onbuild.clone()).to_text(Escape::Backslash);
        assert_eq!(one(&printed), Instruction::Onbuild(onbuild), "{text}");
    }
}
