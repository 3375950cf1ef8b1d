//! Whatever is read gets an answer: huge, deep, damaged, and KDL in all its forms.

use super::*;

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
fn values_in_values_and_templates_in_templates_get_an_answer_at_once() {
    let begun = std::time::Instant::now();
    let mut text = "var V0 \"0123456789\"\n".to_string();
    for depth in 1..13 {
        let ten = format!("${{V{}}}", depth - 1).repeat(10);
        text += &format!("var V{depth} \"{ten}\"\n");
    }
    let found = answer(format!("{text}build a {{ context \"${{V12}}\" }}").as_bytes());
    assert!(found[0].message.contains("longer than 1 MiB"), "{found:?}");
    let many = "x".repeat(500_000);
    let mut text = format!("var V \"{many}\"\n");
    for number in 0..200 {
        text += &format!("build b{number} {{ context \"${{V}}\" }}\n");
    }
    let found = answer(text.as_bytes());
    assert!(found[0].message.contains("64 MiB together"), "{found:?}");
    let grown = "var A \"aaaaaaaaaa\"\n".to_string()
        + &(0..12)
            .map(|_| "${replace(A,'a',A)}")
            .fold(String::new(), |text, call| text + call);
    drop(answer(grown.as_bytes()));
    for (deep, is_fine) in [(14, true), (30, false)] {
        let mut text =
            "template t0 { args { A \"1\"; B \"0\" }; labels { l \"m\" } }\n".to_string();
        for depth in 1..=deep {
            let low = depth - 1;
            text += &format!(
                "template l{depth} {{ inherits t{low} }}\ntemplate r{depth} {{ inherits t{low}; args {{ B \"{depth}\" }} }}\ntemplate t{depth} {{ inherits l{depth} r{depth} }}\n"
            );
        }
        text += &format!("build a {{ context \".\"; inherits t{deep} }}\n");
        let found = answer(text.as_bytes());
        assert_eq!(found.is_empty(), is_fine, "{deep}: {found:?}");
        // What was not followed to its end is not called unused.
        let is_it = |found: &Diagnostic| found.message.contains("inherit too deeply");
        assert!(found.iter().all(is_it), "{deep}: {found:?}");
    }
    // Unoptimized, beside other tests.
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn nesting_to_the_limit_is_parsed_and_beyond_is_refused() {
    let nested = |depth: usize| format!("{}{}", "a {\n".repeat(depth), "}\n".repeat(depth));
    assert!(
        answer(nested(64).as_bytes())[0]
            .message
            .contains("unknown node `a`")
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

#[test]
fn other_line_ends_a_mark_of_byte_order_and_a_version_are_kdl() {
    for text in [
        COMPLETE.replace('\n', "\r\n"),
        format!("\u{feff}{COMPLETE}"),
        format!("/- kdl-version 2\n{COMPLETE}"),
    ] {
        let found = load_text(&text).map(|manifest| manifest.targets.len());
        assert_eq!(
            found.unwrap_or_else(|found| panic!("{}", render(&found, "x", &text, false, 100))),
            10
        );
    }
}

#[test]
fn what_is_left_out_or_continued_is_read_as_kdl_says() {
    let manifest = load_text(
        "build app {\n  /- context \"nowhere\"\n  context \\ // here\n    \"here\"\n  tags \"a\" /- \"b\" \"c\" /* d */\n  args { A #\"a\"b${\"#; B \"\"\"\n    one\n     two\n    \"\"\"; }\n}".replace("${", "").as_str(),
    )
    .unwrap_or_else(|found| panic!("{found:?}"));
    let build = build_of(&manifest, "app");
    assert_eq!(build.context.as_ref().unwrap().value, "here");
    assert_eq!(build.tags.len(), 2);
    assert_eq!(
        (arg(&manifest, "app", "A"), arg(&manifest, "app", "B")),
        ("a\"b", "one\n two")
    );
}
