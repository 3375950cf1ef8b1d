//! What is built, and with which options of buildx.

use super::*;

fn values(map: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
    let owned = map.iter().map(|(k, v)| (k.clone(), v.value.clone()));
    owned.collect()
}

#[test]
fn build_args_are_one_list_or_the_other() {
    let args = |pairs: &[(&str, &str)]| {
        let all: Vec<_> = [&[("PLUGIN_REPO", "a"), ("PLUGIN_NO_PUSH", "1")][..], pairs].concat();
        values(&build(&step("kaniko-docker", &all)).args)
    };
    assert_eq!(
        args(&[("PLUGIN_BUILD_ARGS", "A=1,B=2")]),
        environment(&[("A", "1"), ("B", "2")])
    );
    let both = [
        ("PLUGIN_BUILD_ARGS", "A=1"),
        ("PLUGIN_BUILD_ARGS_NEW", "A=1,2;B=3"),
        ("PLUGIN_MULTIPLE_BUILD_ARGS", "true"),
    ];
    assert_eq!(args(&both), environment(&[("A", "1,2"), ("B", "3")]));
    assert_eq!(
        args(&[("HARNESS_HTTP_PROXY", "http://p:1")]),
        environment(&[("http_proxy", "http://p:1"), ("HTTP_PROXY", "http://p:1")])
    );
}

fn built(pairs: &[(&str, &str)]) -> (BuildTarget, Step) {
    let step = step(
        "drone-docker",
        &[&[("PLUGIN_REPO", "acme/app")], pairs].concat(),
    );
    (build(&step).clone(), step)
}

#[test]
fn options_of_buildx_get_their_meaning() {
    let (build, step) = built(&[
        (
            "PLUGIN_BUILDX_OPTIONS",
            "--build-arg=A=1,--label,team=core,--platform=linux/arm64,--no-cache,--ssh=default,--network=none,-t,acme/other:2",
        ),
        (
            "PLUGIN_BUILDX_OPTIONS_SEMICOLON",
            "--cache-to=type=registry,ref=r.io/c,mode=max; --annotation a=b;--secret id=n,env=N;--build-context base=docker-image://alpine:3;--add-host=gw:host-gateway;--progress=plain",
        ),
    ]);
    assert_eq!(build.args["A"].value, "1");
    assert_eq!(build.labels["team"].value, "core");
    assert_eq!(build.annotations["a"].value, "b");
    assert_eq!(
        (texts(&build.platforms), build.no_cache),
        (vec!["linux/arm64"], true)
    );
    assert_eq!(build.network, Some(plain("none")));
    assert_eq!(build.add_hosts["gw"].value, "127.0.0.1");
    assert_eq!(
        (build.ssh.len(), build.secrets.len(), build.contexts.len()),
        (1, 1, 1)
    );
    assert_eq!(step.names, ["acme/app:latest", "acme/other:2"]);
    assert_eq!(
        step.manifest.settings.cache.registries[0].reference.value,
        "r.io/c"
    );
    assert!(
        step.notes.iter().any(|note| note.contains("--progress")),
        "{:?}",
        step.notes
    );
}

#[test]
fn options_that_nothing_here_means_are_refused_with_the_nearest() {
    for (options, says) in [
        ("--buld-arg=A=1", "did you mean `--build-arg`?"),
        ("--attest=type=sbom", "no attestations"),
        ("--provenance=mode=max", "no attestations"),
        ("--label", "missing value"),
        ("hunter", "without an option"),
        ("--output=type=local", "not supported"),
        ("--add-host=x", "invalid host"),
        ("--network=bridge", "default, host or none"),
        ("--frobnicate", "unknown option"),
    ] {
        let pairs = [
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_BUILDX_OPTIONS", options),
        ];
        let refusal = refused("drone-docker", &pairs);
        assert!(refusal.contains(says), "{options}: {refusal}");
    }
}

#[test]
fn unused_stages_are_built_where_a_step_says_so() {
    for (value, also) in [("true", false), ("", false), ("false", true)] {
        let pairs = [("PLUGIN_REPO", "a/b"), ("PLUGIN_SKIP_UNUSED_STAGES", value)];
        let step = step("kaniko-docker", &pairs);
        assert_eq!(!build(&step).also_stages.is_empty(), also, "{value:?}");
    }
    let retries = [
        ("PLUGIN_REPO", "a/b"),
        ("PLUGIN_PUSH_RETRY", "1"),
        ("PLUGIN_IMAGE_DOWNLOAD_RETRY", "6"),
    ];
    let step = step("kaniko-docker", &retries);
    assert_eq!(step.manifest.settings.retry.attempts, 7);
}

#[test]
fn servers_for_names_reach_the_build() {
    let (build, _) = built(&[
        ("PLUGIN_CUSTOM_DNS", "10.0.0.2, fd00::2"),
        ("PLUGIN_CUSTOM_DNS_SEARCH", "corp.example"),
    ]);
    assert_eq!(texts(&build.dns), ["10.0.0.2", "fd00::2"]);
    assert_eq!(texts(&build.dns_search), ["corp.example"]);
    let pairs = [("PLUGIN_REPO", "a/b"), ("PLUGIN_CUSTOM_DNS", "ns.example")];
    assert!(refused("drone-docker", &pairs).contains("PLUGIN_CUSTOM_DNS"));
}

#[test]
fn one_layer_and_ignored_paths_reach_the_build_in_every_family() {
    let build = |entry: &str, pairs: &[(&str, &str)]| {
        let step = step(entry, &[&[("PLUGIN_REPO", "acme/app")], pairs].concat());
        (self::build(&step).clone(), step.notes)
    };
    let (kaniko, _) = build(
        "kaniko-docker",
        &[
            ("PLUGIN_SINGLE_SNAPSHOT", "true"),
            ("PLUGIN_IGNORE_PATH", "/one"),
            ("PLUGIN_IGNORE_PATHS", "/two, /three"),
            ("PLUGIN_IGNORE_VAR_RUN", "true"),
        ],
    );
    assert!(kaniko.squash);
    assert_eq!(
        texts(&kaniko.ignore_paths),
        ["/one", "/two", "/three", "/var/run"]
    );
    let (kaniko, _) = build("kaniko-docker", &[("PLUGIN_IGNORE_VAR_RUN", "false")]);
    assert!(!kaniko.squash && kaniko.ignore_paths.is_empty());
    let (buildx, notes) = build("drone-docker", &[("PLUGIN_SQUASH", "true")]);
    assert!(buildx.squash && notes.is_empty(), "{notes:?}");
    let (buildx, _) = build("drone-docker", &[("PLUGIN_BUILDX_OPTIONS", "--squash")]);
    assert!(buildx.squash);
    let (buildah, notes) = build("drone-buildah", &[("PLUGIN_SQUASH", "true")]);
    assert!(
        buildah.squash && notes.iter().any(|note| note.contains("base")),
        "{notes:?}"
    );
}

#[test]
fn a_private_key_is_in_no_debug_output() {
    let (build, step) = built(&[
        ("PLUGIN_SSH_AGENT_KEY", "hunter2"),
        ("PLUGIN_ADD_HOST", "a:10.0.0.1, b:::1"),
    ]);
    let key = SecretFrom::Env("PLUGIN_SSH_AGENT_KEY".into());
    assert_eq!(step.preparations.ssh_key, Some(key));
    assert!(!format!("{step:?}").contains("hunter2"));
    assert_eq!(build.add_hosts["b"].value, "::1");
}
