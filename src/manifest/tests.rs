//! The manifest page as a specification.
use super::*;

fn read_nothing(_: &str) -> std::io::Result<String> {
    Err(std::io::ErrorKind::NotFound.into())
}

fn load_text(text: &str) -> Result<Manifest, Vec<Diagnostic>> {
    load("imgmake.kdl", text, &Facts::default(), &read_nothing).map(|(manifest, _)| manifest)
}

#[test]
fn a_first_manifest_loads() {
    let manifest = load_text("build app { context \".\" }").unwrap();
    assert_eq!(manifest.targets[0].name.value, "app");
}

const COMPLETE: &str = include_str!("../../tests/data/manifest/complete.kdl");

#[test]
fn the_complete_example_loads() {
    let manifest = load_text(COMPLETE)
        .unwrap_or_else(|found| panic!("{}", render(&found, "imgmake.kdl", COMPLETE, false, 100)));
    assert_eq!(manifest.targets.len(), 8);
    assert_eq!(manifest.registries.len(), 5);
}

/// Whatever comes in, an answer goes out: never a panic, never an overflow.
fn answer(bytes: &[u8]) -> Vec<Diagnostic> {
    let text = match decode(bytes.to_vec()) {
        Ok(text) => text,
        Err(diagnostic) => return vec![*diagnostic],
    };
    match load("x.kdl", &text, &Facts::default(), &read_nothing) {
        Ok((manifest, warnings)) => match crate::graph::Graph::new(manifest) {
            Ok(_) => warnings,
            Err(errors) => errors,
        },
        Err(errors) => {
            render(&errors, "x.kdl", &text, true, 80);
            errors
        }
    }
}

#[test]
fn hostile_rows_of_anything_are_refused_quickly() {
    for unit in [
        "{",
        "}",
        "a{",
        "a {",
        "a{}",
        "a{}\n",
        "(",
        ")",
        "(a)",
        "(a",
        "=",
        "a=",
        "a=1 ",
        "\"",
        "\"\"\"",
        "\"\"\"\n",
        "#",
        "#\"",
        "##\"",
        "/",
        "/-",
        "/-a ",
        "/-a{",
        "a /-{} ",
        "a /-b ",
        "/*",
        "*/",
        "/**/",
        "//\n",
        ";",
        "a;",
        "\\",
        "\\\n",
        "a \\\n",
        "[",
        "]",
        "-",
        "+",
        "0x",
        "1e",
        "1 ",
        "\u{feff}",
        "\u{0}",
        "\u{2028}",
        "é",
        "a ",
        "a\n",
        "\"\\",
        "\"a\"",
        "\"\\u{1}\" ",
        "${",
        "\"${",
        "a \"${a}\"\n",
        "#true ",
        "#true",
        "true",
        ",",
        ", ",
        "build ",
        "build a {",
        "\"${slug(",
        "\r",
        "a (b)c=(d)e ",
        "/-/-",
        "/- ",
        "\t",
        "'",
        "~",
        "<",
        "|",
    ] {
        // A smaller row where the parser itself (half a millisecond per kilobyte) has to read all of it.
        let begun = std::time::Instant::now();
        for length in [100, 20_000] {
            answer(unit.repeat(length / unit.len() + 1).as_bytes());
        }
        if std::env::var_os("TIMES").is_some() && begun.elapsed().as_millis() > 300 {
            eprintln!("{unit:?}: {:?}", begun.elapsed());
        }
    }
    for unit in [
        "{", "}", ")", "(", "=", "a{", "/-", "/*", ";", "\\\n", "[", "\"", "a{}", "\u{1}",
    ] {
        assert_eq!(
            answer(unit.repeat((1 << 20) / unit.len()).as_bytes()).len(),
            1,
            "{unit:?}"
        );
    }
    let huge = answer("{".repeat(10 << 20).as_bytes());
    assert!(huge[0].message.contains("too large"), "{huge:?}");
}

#[test]
fn nesting_to_the_limit_is_parsed_and_beyond_is_refused() {
    let nested = |depth: usize| format!("{}{}", "a {\n".repeat(depth), "}\n".repeat(depth));
    assert!(
        answer(nested(64).as_bytes())[0]
            .message
            .contains("no node `a`")
    );
    assert!(
        answer(nested(65).as_bytes())[0]
            .message
            .contains("deeper than 64")
    );
    let removed = format!("{}{}", "/- a {\n".repeat(64), "}\n".repeat(64));
    answer(removed.as_bytes());
    let broken = format!("{} b=c=d {}", "a {\n".repeat(60), "}\n".repeat(60));
    answer(broken.as_bytes());
    let broken = format!(
        "{}\n b \"\"\"\nx\n \"\"\"\n {}",
        "a {\n".repeat(60),
        "}\n".repeat(60)
    );
    answer(broken.as_bytes());
}

#[test]
fn bytes_that_are_no_text_get_one_message() {
    for bytes in [
        &b"\x7fELF\x02\x01\x01\0\0"[..],
        b"\xff\xfe",
        b"\x1f\x8b\x08",
        b"build \xc3(",
    ] {
        assert_eq!(answer(bytes).len(), 1, "{bytes:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        answer(&bytes);
    }

    #[test]
    fn anything_like_kdl_gets_an_answer(text in r#"([ab]|build|var|[{}();=\\/*#"\n .$-]|true|#true|1|"""|/-|[$]\{){0,60}"#) {
        answer(text.as_bytes());
    }

    #[test]
    fn a_damaged_manifest_gets_an_answer(at in 0usize..3000, length in 0usize..40, with in r#"[{}();=\\/*#"\n a$é-]{0,6}"#) {
        let mut text = COMPLETE.as_bytes().to_vec();
        let from = at.min(text.len());
        let to = (from + length).min(text.len());
        text.splice(from..to, with.bytes());
        answer(&text);
    }
}
