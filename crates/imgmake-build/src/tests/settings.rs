//! Configuration, history, warnings, mistakes.

use super::*;

#[test]
fn configuration_and_history_are_as_buildkit_writes_them() {
    let p = Project::new();
    p.write("f", "x");
    let mut request = p.request(
        "ARG BASE=scratch\nFROM $BASE\nARG V=1\nARG N\nENV A=$V B=\"x y\"\nLABEL k=v\nEXPOSE 80 443/udp\n\
         VOLUME /data\nUSER 1:2\nCOPY f /f\nSTOPSIGNAL SIGTERM\nHEALTHCHECK --interval=5s CMD true\nCMD [\"a\"]\nENTRYPOINT run\nONBUILD COPY . /\n",
    );
    request.args.insert("V".into(), "9".into());
    request.labels.insert("extra".into(), "l".into());
    request.epoch = Some(1_700_000_000);
    let image = p.run(&request).unwrap();
    let config = &image.config.config;
    assert_eq!(config.env[1..], ["A=9", "B=x y"]);
    assert_eq!(config.labels["extra"], "l");
    assert_eq!(
        config.exposed_ports.keys().collect::<Vec<_>>(),
        ["443/udp", "80/tcp"]
    );
    assert_eq!(config.on_build, ["COPY . /"]);
    assert_eq!(
        config.entrypoint.as_ref().unwrap(),
        &["/bin/sh", "-c", "run"]
    );
    assert_eq!(
        image.config.created.as_deref(),
        Some("2023-11-14T22:13:20Z")
    );
    assert_eq!(
        image.created_by(),
        [
            "ARG V=9",
            "ARG N",
            "ENV A=9 B=x y",
            "LABEL k=v",
            "EXPOSE [80/tcp 443/udp]",
            "VOLUME [/data]",
            "USER 1:2",
            "COPY f /f # buildkit",
            "STOPSIGNAL SIGTERM",
            "HEALTHCHECK {Test:[CMD-SHELL true] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            "CMD [\"a\"]",
            "ENTRYPOINT [\"/bin/sh\" \"-c\" \"run\"]",
        ]
    );
}

#[test]
fn a_build_argument_that_nothing_takes_is_reported() {
    let p = Project::new();
    let mut request = p.request("FROM scratch\nARG USED\nENV X=$USED\n");
    request.args.insert("USED".into(), "1".into());
    request.args.insert("MISSPELT".into(), "1".into());
    request.args.insert("HTTP_PROXY".into(), "http://p".into());
    p.run(&request).unwrap();
    let warnings = p.warnings();
    assert_eq!(warnings, ["no ARG declares the build argument `MISSPELT`"]);
}

#[test]
fn mistakes_name_file_and_line() {
    let p = Project::new();
    for (file, expected) in [
        ("FROM scratch\nCOPY gone /\n", "Dockerfile:2"),
        (
            "FROM scratch\nCOPY --chmod=99 x /\n",
            "Dockerfile:2:14: invalid mode `--chmod=99`",
        ),
        (
            "FROM scratch\n\nADD --keep-git-dir=true git://x/y.git?odd=1 /\n",
            "Dockerfile:3: unknown option `odd`",
        ),
        ("FROM $NOPE\n", "Dockerfile:1"),
        ("FROM scratch\nCOPPY a b\n", "Dockerfile:2:1: "),
    ] {
        let error = p.error(file);
        assert!(error.contains(expected), "{file}: {error}");
    }
}

#[test]
fn build_checks_are_warnings_and_errors_when_the_file_says_so() {
    let p = Project::new();
    p.build("FROM scratch\nMAINTAINER me\n");
    let warnings = p.warnings();
    assert!(
        warnings[0].contains("Dockerfile:2: MaintainerDeprecated: "),
        "{warnings:?}"
    );
    let error = p.error("# check=error=true\nFROM scratch\nMAINTAINER me\n");
    assert!(error.contains("MaintainerDeprecated (line 3)"), "{error}");
}
