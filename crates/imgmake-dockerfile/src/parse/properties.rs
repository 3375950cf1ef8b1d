//! What holds for every input: printing is the inverse of parsing, and nothing panics.

use super::*;
use proptest::prelude::*;

/// Without places: what printing keeps.
fn values(file: &Dockerfile) -> impl PartialEq + std::fmt::Debug + use<> {
    let stages = file.stages.iter().map(|stage| {
        let instructions = stage.instructions.iter();
        let instructions: Vec<_> = instructions
            .map(|i| (i.value.clone(), i.comments.clone()))
            .collect();
        (
            stage.from.value.clone(),
            stage.from.comments.clone(),
            instructions,
        )
    });
    let args = file
        .global_args
        .iter()
        .map(|a| (a.value.clone(), a.comments.clone()));
    (
        file.directives.clone(),
        args.collect::<Vec<_>>(),
        stages.collect::<Vec<_>>(),
    )
}

fn dockerfile_text() -> impl Strategy<Value = String> {
    let word = "[a-z$\\\\'\"=/{}:.<# \t-]{1,12}";
    let instruction = prop_oneof![
        "(ENV|LABEL|ARG|env) [a-c]=[a-z$'\"\\\\ ]{0,8}( [d-f]=[a-z' \\\\]{0,5})?",
        "(COPY|ADD)( --chown=[a-z\"' \\\\]{0,5})? [a-z$*\\\\]{1,4} /[a-z$ /]{0,5}/",
        "COPY \\[\"[a-z \\\\u0-9\"]{1,6}\", *\"/x\"\\]",
        "(RUN|CMD|ENTRYPOINT|run) [a-z$'\"\\\\\\[\\] -]{1,12}",
        "RUN --mount=type=cache,target=/[a-z]{1,3}(,id=[a-z\"\\\\, ]{0,4})? --network=host x",
        "RUN [a-z ]{0,3}<<-?['\"]?E['\"]?\n[a-z$\t \n]{0,12}\n\t?E",
        "ONBUILD (RUN|USER|COPY a) [a-z$\\\\ ]{1,8}",
        "HEALTHCHECK (--interval=[1-9](s|ms|m) )?(--retries=[0-9] )?CMD [a-z \\\\]{1,5}",
        "(EXPOSE|VOLUME|USER|WORKDIR|SHELL|STOPSIGNAL|MAINTAINER) [a-z0-9/\\[\\]\"]{1,8}",
        "FROM( --platform=[a-z/\"]{1,4})? [a-z:]{1,4}( [aA][sS] [a-zA-Z]{1,4})?",
        "# [a-z=` ]{0,8}",
        word,
    ];
    let head = prop_oneof!["", "# escape=`\n", "# syntax=x y\n# check=skip=A\n"];
    let end = prop_oneof!["\n", "\r\n", " \\\n", "\x0b\n", "\\\x0c\n", "\n\n"];
    (head, prop::collection::vec((instruction, end), 0..6)).prop_map(|(head, lines)| {
        let body: String = lines.into_iter().map(|(line, end)| line + &end).collect();
        format!("{head}ARG z=1\nFROM base AS first\n{body}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn printing_and_parsing_again_changes_nothing(text in dockerfile_text()) {
        if let Ok(file) = Dockerfile::parse(text.as_bytes()) {
            let printed = file.to_string();
            let again = Dockerfile::parse(printed.as_bytes());
            let again = again.map_err(|e| TestCaseError::fail(format!("{printed}\n{e}")))?;
            prop_assert_eq!(values(&again), values(&file), "{}", printed);
        }
    }

    #[test]
    fn any_bytes_give_a_file_or_an_error_with_a_line(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(errors) = Dockerfile::parse(&bytes) {
            prop_assert!(!errors.0.is_empty() && errors.0.iter().all(|e| e.line > 0));
        }
    }

    #[test]
    fn any_text_gives_a_file_or_an_error_with_a_line(text in dockerfile_text()) {
        let lines = text.lines().count();
        if let Err(errors) = Dockerfile::parse(text.as_bytes()) {
            prop_assert!(errors.0.iter().all(|e| (1..=lines).contains(&e.line)), "{}", errors);
        }
    }
}

#[test]
fn a_large_file_of_garbage_is_refused_quickly() {
    let text = "x\n".repeat(200_000);
    let errors = Dockerfile::parse(text.as_bytes()).unwrap_err();
    assert_eq!(errors.0.len(), MOST_ERRORS);
}
