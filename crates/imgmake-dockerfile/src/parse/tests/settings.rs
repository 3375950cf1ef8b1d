//! ENV, LABEL, ARG and the other settings of an image.

use super::*;

#[test]
fn env_and_label_take_pairs() {
    assert_eq!(
        pairs("ENV a=1 b=\"x y\" c=x\\ y d="),
        owned(&[("a", "1"), ("b", "\"x y\""), ("c", "x\\ y"), ("d", "")])
    );
    assert_eq!(pairs("LABEL \"a b\"='c d'"), owned(&[("\"a b\"", "'c d'")]));
    assert_eq!(pairs("ENV a=b=c"), owned(&[("a", "b=c")]));
}

#[test]
fn the_legacy_form_takes_the_whole_rest() {
    assert_eq!(
        pairs("ENV key   some value = x"),
        owned(&[("key", "some value = x")])
    );
}

#[test]
fn arg_takes_names_with_or_without_default() {
    let Instruction::Arg(args) = one("ARG a b=1 c=\"x y\" d=") else {
        panic!("no ARG");
    };
    let args: Vec<_> = args
        .iter()
        .map(|a| (a.name.as_str(), a.default.as_deref()))
        .collect();
    assert_eq!(
        args,
        [
            ("a", None),
            ("b", Some("1")),
            ("c", Some("\"x y\"")),
            ("d", Some(""))
        ]
    );
}

#[test]
fn the_rest_of_the_line_is_one_argument() {
    assert_eq!(one("WORKDIR /a b"), Instruction::Workdir("/a b".into()));
    assert_eq!(one("USER  a:b "), Instruction::User("a:b".into()));
    assert_eq!(
        one("MAINTAINER Jo <j@x>"),
        Instruction::Maintainer("Jo <j@x>".into())
    );
    assert_eq!(
        one("STOPSIGNAL SIGINT"),
        Instruction::Stopsignal("SIGINT".into())
    );
}

#[test]
fn volumes_are_words_or_json() {
    let volume = |text| match one(text) {
        Instruction::Volume(list) => list.words,
        other => panic!("{other:?}"),
    };
    assert_eq!(volume("VOLUME /a /b"), ["/a", "/b"]);
    assert_eq!(volume("VOLUME [\"/a b\"]"), ["/a b"]);
}

#[test]
fn mistakes_in_settings_are_errors() {
    for line in [
        "ENV",
        "ENV a",
        "ENV =b",
        "ENV a=b c",
        "ENV a=\"b",
        "ENV a=${b",
        "LABEL x",
        "ARG",
        "ARG =x",
        "EXPOSE",
        "EXPOSE 80/icmp",
        "EXPOSE x",
        "VOLUME",
        "VOLUME [\"\"]",
        "USER",
        "WORKDIR",
        "STOPSIGNAL SIGNOT",
        "LABEL a=${b^}",
    ] {
        error(line);
    }
}
