//! Every flag has an effect, a line, or a refusal.

use super::*;
use crate::plugin::kaniko::flags::{help, markdown};

/// What kaniko 1.24 and its forks declare.
const KANIKO: &str = "verbosity log-format log-timestamp force whitelist-var-run dockerfile context \
    context-sub-path bucket destination snapshot-mode custom-platform build-arg insecure skip-tls-verify \
    insecure-pull skip-tls-verify-pull push-retry push-ignore-immutable-tag-errors image-fs-extract-retry \
    image-download-retry kaniko-dir tar-path single-snapshot reproducible target no-push no-push-cache \
    cache-repo cache-dir digest-file image-name-with-digest-file image-name-tag-with-digest-file \
    oci-layout-path compression compression-level cache compressed-caching cleanup cache-ttl \
    insecure-registry skip-tls-verify-registry registry-certificate registry-client-cert registry-map \
    registry-mirror skip-default-registry-fallback ignore-var-run label skip-unused-stages use-new-run git \
    cache-copy-layers cache-run-layers ignore-path force-build-metadata skip-push-permission-check \
    snapshotMode customPlatform tarPath azure-container-registry-config help";
const FORKS: &str = "annotation image-format pre-cleanup preserve-context materialize secret dryrun credential-helpers";

#[test]
fn no_flag_of_kaniko_is_forgotten() {
    let ours: BTreeSet<&str> = FLAGS.iter().map(|flag| flag.name).collect();
    assert_eq!(ours.len(), FLAGS.len(), "a flag has two rows");
    let theirs = KANIKO.split_whitespace().chain(FORKS.split_whitespace());
    let missing: Vec<&str> = theirs.filter(|name| !ours.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for flag in FLAGS {
        if let Effect::SameAs(name) = flag.effect {
            assert!(ours.contains(name), "{name}");
        }
    }
}

#[test]
fn every_flag_that_is_used_is_asked_for() {
    let request = request(&["-d", "a/b", "--context=git://h/a.git"], &[]);
    let none = BTreeMap::new();
    let workspace = Workspace {
        environment: &none,
        read: &read,
        now: "",
    };
    request.step("x", "y", &[], &workspace).unwrap();
    let asked = request.asked();
    let forgotten: Vec<&str> = FLAGS
        .iter()
        .filter(|flag| flag.effect == Effect::Used && !asked.contains(flag.name))
        .map(|flag| flag.name)
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

#[test]
fn values_that_mean_nothing_are_refused_by_their_flag() {
    for (arguments, says) in [
        (&["--target=a,,b"][..], "--target=a,,b"),
        (
            &["--destination=reg.io/a:1+b"],
            "invalid tag `1+b` (--destination=reg.io/a:1+b)",
        ),
        (&["--custom-platform=linux"], "--custom-platform"),
        (&["--compression=lzma"], "--compression"),
        (&["--compression-level=12"], "--compression-level"),
        (&["--compression=zstd", "--tar-path=a.tar"], "--tar-path"),
        (
            &["--compression=zstd", "--image-format=docker"],
            "--image-format",
        ),
        (&["--snapshot-mode=fast"], "`full`"),
        (&["--label=k"], "--label"),
        (&["--build-arg==v"], "--build-arg"),
        (&["--push-retry=-1"], "--push-retry"),
        (&["--push-retry=many"], "--push-retry"),
        (&["--cache-ttl=6"], "--cache-ttl"),
        (&["--registry-map=a"], "--registry-map"),
        (&["--registry-mirror=a,b"], "--registry-mirror"),
        (&["--registry-client-cert=h=/c"], "--registry-client-cert"),
        (&["--registry-certificate=/c"], "--registry-certificate"),
        (&["--no-psh"], "--no-push"),
        (&["--no-push", "false"], "false"),
    ] {
        let all: Vec<&str> = [&["-d", "a/b"][..], arguments].concat();
        let message = refused(&all);
        assert!(message.contains(says), "{arguments:?}: {message}");
    }
}

#[test]
fn what_changes_nothing_is_accepted_with_one_line() {
    let notes = step(&[
        "-d",
        "a",
        "--use-new-run",
        "--snapshotMode=redo",
        "--cleanup=false",
        "--kaniko-dir=/a",
        "--kaniko-dir=/b",
    ])
    .notes;
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(
        notes
            .iter()
            .any(|note| note.starts_with("--snapshotMode: "))
    );
    for flag in FLAGS.iter().filter(|flag| flag.effect == Effect::Inherent) {
        assert!(!flag.does.is_empty(), "--{}", flag.name);
    }
    assert!(step(&["-d", "a", "--credential-helpers=vault"]).notes[0].contains("vault"));
}

#[test]
fn neither_a_log_level_nor_an_empty_optional_stops_a_build() {
    let loud = step(&["-d", "a", "--verbosity=loud", "--log-format=JSON"]);
    assert_eq!(loud.notes.len(), 1, "{:?}", loud.notes);
    assert!(
        loud.notes[0].contains("--verbosity=\"loud\""),
        "{:?}",
        loud.notes
    );
    assert_eq!(loud.options.log.verbosity, Verbosity::Json);
    let debug = step(&["-d", "a", "--verbosity=DEBUG"]);
    assert_eq!(debug.options.log.verbosity, Verbosity::Verbose);
    let empty = [
        "--build-arg=",
        "--target=",
        "--custom-platform=",
        "--compression=",
        "--cache-ttl=",
        "--label=",
        "--push-retry=",
        "--cache-repo=",
        "--registry-mirror=",
        "--tar-path=",
        "--snapshot-mode=",
    ];
    let all: Vec<&str> = ["-d", "a"].into_iter().chain(empty).collect();
    let (empty, plain) = (step(&all), step(&["-d", "a"]));
    assert_eq!(empty.manifest, plain.manifest);
    assert!(empty.notes.is_empty(), "{:?}", empty.notes);
}

#[test]
fn logs_are_chosen_by_level_and_format() {
    for (arguments, verbosity) in [
        (&[][..], Verbosity::Plain),
        (&["-v", "debug"], Verbosity::Verbose),
        (&["--verbosity=error"], Verbosity::Quiet),
        (&["--log-format=json"], Verbosity::Json),
        (&["--log-format=text"], Verbosity::Plain),
    ] {
        let all: Vec<&str> = [&["--no-push"][..], arguments].concat();
        let log = step(&all).options.log;
        assert_eq!(
            (log.verbosity, log.timestamps),
            (verbosity, false),
            "{arguments:?}"
        );
    }
    assert!(
        step(&["--no-push", "--log-timestamp"])
            .options
            .log
            .timestamps
    );
}

#[test]
fn help_and_version_need_no_destination() {
    assert!(matches!(
        invocation(&["--help"], &[]).unwrap(),
        Invocation::Help
    ));
    assert!(matches!(
        invocation(&["-h"], &[]).unwrap(),
        Invocation::Help
    ));
    assert!(matches!(
        invocation(&["version"], &[]).unwrap(),
        Invocation::Version
    ));
    assert!(help().contains("--destination"));
    assert!(is_called("/kaniko/executor") && is_called("executor") && !is_called("imgmake"));
}

#[test]
fn the_book_has_the_table_of_flags() {
    let page = include_str!("../../../../../../book/src/kaniko.md");
    assert!(page.contains(&markdown()), "the table is:\n{}", markdown());
}
