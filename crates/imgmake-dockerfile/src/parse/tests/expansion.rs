//! Instructions after the expansion of their words.

use super::*;

fn expanded(text: &str) -> Instruction {
    let environment = |name: &str| match name {
        "A" => Some("one two".to_owned()),
        "P" => Some("80 443".to_owned()),
        "E" => Some(String::new()),
        _ => None,
    };
    let file = parsed(&format!("FROM x\n{text}\n"));
    let instruction = &file.stages[0].instructions[0];
    instruction
        .expand(&environment, Escape::Backslash)
        .unwrap()
        .instruction
}

#[test]
fn final_values_replace_words() {
    let text = |line| expanded(line).to_text(Escape::Backslash);
    assert_eq!(
        text("ENV a=$A b='$A' \"c d\"=1"),
        "ENV a=one two b=$A c d=1"
    );
    assert_eq!(text("WORKDIR /$A"), "WORKDIR /one two");
    assert_eq!(text("EXPOSE $P/udp"), "EXPOSE 80/tcp 443/udp");
    assert_eq!(text("VOLUME /${A%?two}"), "VOLUME /one");
    assert_eq!(
        text("COPY --chown=$E --chmod=${U:-755} $A /x"),
        "COPY --chmod=755 one two /x"
    );
    assert_eq!(
        text("RUN --mount=type=cache,target=/${A#one?} $A"),
        "RUN --mount=type=cache,target=/two $A"
    );
    assert_eq!(text("CMD $A"), "CMD $A");
    assert_eq!(text("ENV a \"$A\""), "ENV a one two");
}

#[test]
fn defaults_that_no_environment_can_expand_are_mistakes_wherever_they_stand() {
    for text in ["ARG V=${x\nFROM a\n", "FROM a\nARG A V=${x\n"] {
        let found = errors(text);
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].to_string().contains("missing `}` in `${x`"));
    }
    assert_eq!(errors("ARG V=${x\nFROM a\n")[0].line, 1);
    parsed("ARG V=${x:?unset}\nFROM a\nARG W=${y:?unset}\n");
}

#[test]
fn used_and_unset_names_are_reported() {
    let file = parsed("FROM x\nCOPY $A $B$C /d/\n");
    let environment = |name: &str| (name == "A").then(|| "a".to_owned());
    let expansion = file.stages[0].instructions[0]
        .expand(&environment, Escape::Backslash)
        .unwrap();
    assert_eq!(expansion.used, ["A".to_owned()].into());
    assert_eq!(expansion.unset, ["B", "C"].map(String::from).into());
}

#[test]
fn values_that_turn_out_wrong_are_errors() {
    for line in [
        "EXPOSE $X",
        "STOPSIGNAL $X",
        "VOLUME $E",
        "USER ${U:?who}",
        "RUN --mount=type=$X y",
    ] {
        let file = parsed(&format!("FROM x\n{line}\n"));
        let environment = |name: &str| (name == "X").then(|| "wrong".to_owned());
        let result = file.stages[0].instructions[0].expand(&environment, Escape::Backslash);
        assert_eq!(result.expect_err(line).line, 2);
    }
}
