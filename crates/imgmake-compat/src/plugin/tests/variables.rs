//! Every variable has an effect, a line, or a refusal.

use super::*;

#[test]
fn contradictions_are_refused_in_the_names_of_both_variables() {
    for (name, pairs, says) in [
        (
            "kaniko-docker",
            vec![("PLUGIN_NO_PUSH", "true"), ("PLUGIN_PUSH_ONLY", "true")],
            vec!["PLUGIN_NO_PUSH", "PLUGIN_PUSH_ONLY"],
        ),
        (
            "drone-docker",
            vec![("PLUGIN_BAKE_FILE", "b.hcl"), ("PLUGIN_PUSH_ONLY", "true")],
            vec!["PLUGIN_BAKE_FILE", "PLUGIN_PUSH_ONLY"],
        ),
        (
            "kaniko-docker",
            vec![("PLUGIN_AUTO_TAG", "true"), ("PLUGIN_EXPAND_TAG", "true")],
            vec!["PLUGIN_AUTO_TAG", "PLUGIN_EXPAND_TAG"],
        ),
        (
            "kaniko-docker",
            vec![("PLUGIN_AUTO_TAG", "true"), ("PLUGIN_TAGS", "5")],
            vec!["PLUGIN_AUTO_TAG", "PLUGIN_TAGS"],
        ),
        // By the names that were written.
        (
            "drone-docker",
            vec![("PLUGIN_AUTO_TAG", "true"), ("PLUGIN_TAGS", "5")],
            vec!["PLUGIN_AUTO_TAG", "PLUGIN_TAGS"],
        ),
        (
            "drone-docker",
            vec![("PLUGIN_REPO", "reg.io/Acme/App")],
            vec!["PLUGIN_REPO=reg.io/Acme/App", "upper-case"],
        ),
        (
            "drone-docker",
            vec![("PLUGIN_REPO", "reg.io/a,reg.io/b")],
            vec!["PLUGIN_REPO=reg.io/a,reg.io/b", "comma"],
        ),
        (
            "kaniko-docker",
            vec![("PLUGIN_USERNAME", "ann")],
            vec!["PLUGIN_USERNAME", "PLUGIN_PASSWORD"],
        ),
        (
            "kaniko-docker",
            vec![("PLUGIN_DOCKERFILE", "nowhere")],
            vec!["PLUGIN_DOCKERFILE", "nowhere"],
        ),
    ] {
        let pairs: Vec<_> = [vec![("PLUGIN_REPO", "acme/app")], pairs].concat();
        let message = refused(name, &pairs);
        assert!(says.iter().all(|word| message.contains(word)), "{message}");
    }
    assert!(refused("kaniko-docker", &[]).contains("PLUGIN_REPO"));
    assert!(
        refused(
            "kaniko-docker",
            &[("PLUGIN_REPO", "a"), ("PLUGIN_CLEANUP", "maybe")]
        )
        .contains("PLUGIN_CLEANUP")
    );
}

#[test]
fn what_tunes_a_daemon_is_accepted_with_one_line() {
    let step = step(
        "drone-docker",
        &[
            ("PLUGIN_REPO", "a"),
            ("PLUGIN_BIP", "10.0.0.1/8"),
            ("PLUGIN_IPV6", "false"),
            ("PLUGIN_PURGE", "true"),
            ("PLUGIN_DAEMON_OFF", "true"),
        ],
    );
    assert_eq!(
        step.notes
            .iter()
            .filter(|note| note.starts_with("PLUGIN_"))
            .count(),
        2,
        "{:?}",
        step.notes
    );
}

#[test]
fn a_setting_that_the_plugin_does_not_know_gets_one_line() {
    let notes = |entry: &str, pairs: &[(&str, &str)]| {
        let pairs = [&[("PLUGIN_REPO", "a"), ("OTHER", "x")], pairs].concat();
        step(entry, &pairs).notes
    };
    for (entry, setting, says) in [
        (
            "drone-docker",
            ("PLUGIN_PLATFORMS", "linux/amd64"),
            "PLUGIN_PLATFORMS has no effect: unknown variable; did you mean PLUGIN_PLATFORM?",
        ),
        (
            "kaniko-docker",
            ("PLUGIN_BANANA", "hunter2"),
            "PLUGIN_BANANA has no effect: unknown variable",
        ),
        (
            "kaniko-docker",
            ("PLUGIN_BUILDX_LOAD", "true"),
            "PLUGIN_BUILDX_LOAD has no effect: only other plugins (buildx) read it",
        ),
    ] {
        assert_eq!(notes(entry, &[setting]), [says], "{setting:?}");
    }
    for silent in [
        ("PLUGIN_BANANA", ""),
        ("PLUGIN_BANANA", "false"),
        ("PLUGIN_ENV_FILE", "step.env"),
        // Read where no row has it.
        ("PLUGIN_DESTINATIONS", "a.example/b"),
    ] {
        let notes = notes("drone-docker", &[silent]);
        assert!(notes.is_empty(), "{silent:?}: {notes:?}");
    }
}

#[test]
fn no_message_and_no_debug_print_holds_a_secret() {
    let pairs = [
        ("PLUGIN_REPO", "a/b"),
        ("PLUGIN_USERNAME", "ann"),
        ("PLUGIN_PASSWORD", "hunter2"),
        ("PLUGIN_SECRET", "id=x,nonsense=hunter2"),
    ];
    assert!(!refused("drone-docker", &pairs).contains("hunter2"));
    let step = step("drone-docker", &pairs[..3]);
    assert!(!format!("{step:?}").contains("hunter2"));
}

#[test]
fn an_env_file_fills_in_and_never_overrides() {
    let set = environment(&[("PLUGIN_ENV_FILE", "e"), ("PLUGIN_REPO", "mine")]);
    let read = |_: &str| Ok("# c\nexport PLUGIN_REPO=theirs\nPLUGIN_TAGS=\"1\"\n".to_string());
    let merged = with_env_file(EntryPoint::named("kaniko-docker").unwrap(), &set, &read).unwrap();
    assert_eq!(
        (
            merged["PLUGIN_REPO"].as_str(),
            merged["PLUGIN_TAGS"].as_str()
        ),
        ("mine", "1")
    );
    let missing = |_: &str| Err(io::ErrorKind::NotFound.into());
    assert!(with_env_file(EntryPoint::named("kaniko-gar").unwrap(), &set, &missing).is_err());
    assert!(with_env_file(EntryPoint::named("drone-docker").unwrap(), &set, &missing).is_ok());
}

#[test]
fn every_variable_of_the_table_is_asked_for_or_says_why_not() {
    let mut forgotten = BTreeSet::new();
    for (family, cloud, name) in [
        (Family::Kaniko, Cloud::Docker, "kaniko-docker"),
        (Family::Kaniko, Cloud::Ecr, "kaniko-ecr"),
        (Family::Kaniko, Cloud::Gcr, "kaniko-gcr"),
        (Family::Kaniko, Cloud::Gar, "kaniko-gar"),
        (Family::Kaniko, Cloud::Acr, "kaniko-acr"),
        (Family::Buildx, Cloud::Docker, "drone-docker"),
        (Family::Buildah, Cloud::Docker, "buildah-docker"),
    ] {
        let mut asked = BTreeSet::new();
        for mode in [
            ("PLUGIN_PULL_IMAGE", "true"),
            ("PLUGIN_PUSH_ONLY", "true"),
            ("PLUGIN_MULTIPLE_BUILD_ARGS", "true"),
            ("PLUGIN_ENABLE_CACHE", "true"),
            ("PLUGIN_AUTO_TAG", "true"),
            ("PLUGIN_TAR_PATH", "a.tar"),
        ] {
            let environment =
                environment(&[("PLUGIN_REPO", "a"), ("PLUGIN_REGISTRY", "reg.io"), mode]);
            asked.extend(interpret::asked(
                EntryPoint::named(name).unwrap(),
                &environment,
                &read,
            ));
        }
        let rows = VARIABLES
            .iter()
            .filter(|row| row.effect == Effect::Used && row.is_read_by(family, cloud));
        forgotten.extend(
            rows.map(|row| row.names[0])
                .filter(|n| !asked.contains(n))
                .map(|n| format!("{name} {n}")),
        );
    }
    assert!(forgotten.is_empty(), "{forgotten:#?}");
}

#[test]
fn steps_tell_as_much_as_their_variables_ask_for() {
    let told = |entry: &str, pairs: &[(&str, &str)]| {
        step(entry, &[&[("PLUGIN_REPO", "acme/app")], pairs].concat())
            .options
            .log
    };
    for (entry, pairs, verbosity) in [
        ("kaniko-docker", &[][..], Verbosity::Plain),
        (
            "kaniko-docker",
            &[("PLUGIN_LOG_FORMAT", "json")],
            Verbosity::Json,
        ),
        (
            "kaniko-docker",
            &[("PLUGIN_VERBOSITY", "debug")],
            Verbosity::Verbose,
        ),
        (
            "kaniko-docker",
            &[("PLUGIN_VERBOSITY", "warn")],
            Verbosity::Quiet,
        ),
        (
            "drone-docker",
            &[("PLUGIN_QUIET", "true")],
            Verbosity::Quiet,
        ),
        (
            "drone-docker",
            &[("PLUGIN_DEBUG", "true")],
            Verbosity::Verbose,
        ),
        (
            "drone-docker",
            &[("PLUGIN_VERBOSITY", "warn")],
            Verbosity::Plain,
        ),
    ] {
        assert_eq!(told(entry, pairs).verbosity, verbosity, "{entry} {pairs:?}");
    }
    assert!(told("kaniko-gcr", &[("PLUGIN_LOG_TIMESTAMP", "true")]).timestamps);
    let odd = step(
        "kaniko-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_VERBOSITY", "inf"),
            ("PLUGIN_PUSH_RETRY", ""),
        ],
    );
    assert_eq!(odd.options.log.verbosity, Verbosity::Plain);
    let said = |note: &String| note.contains("PLUGIN_VERBOSITY") && note.contains("`info`");
    assert!(odd.notes.iter().any(said), "{:?}", odd.notes);
    let upper = [("PLUGIN_REPO", "a"), ("PLUGIN_VERBOSITY", "DEBUG")];
    let upper = step("kaniko-docker", &upper);
    assert_eq!(upper.options.log.verbosity, Verbosity::Verbose);
}

#[test]
fn what_a_step_says_beside_its_bake_file_is_not_passed_over_in_silence() {
    let environment = environment(&[
        ("PLUGIN_BAKE_FILE", "bake.json"),
        ("PLUGIN_DRY_RUN", "true"),
        ("PLUGIN_SQUASH", "true"),
        ("PLUGIN_TARGET", "release"),
        ("PLUGIN_NO_CACHE", "false"),
        ("PLUGIN_USERNAME", "me"),
        ("PLUGIN_PASSWORD", "secret"),
        ("DRONE_COMMIT_REF", "refs/heads/main"),
    ]);
    let read = |_: &str| Ok(r#"{"target": {"default": {"tags": ["app:1"]}}}"#.to_string());
    let workspace = Workspace {
        environment: &environment,
        read: &read,
        now: "2026-01-01T00:00:00Z",
    };
    let entry = EntryPoint::named("drone-docker").unwrap();
    let Outcome::Run(step) = interpret(entry, &workspace).unwrap() else {
        panic!("there is something to do");
    };
    let why = "no effect, the bake file says what is built";
    assert_eq!(
        step.notes,
        [
            format!("PLUGIN_SQUASH: {why}"),
            format!("PLUGIN_TARGET: {why}")
        ]
    );
}
