use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::family::{Cloud, Family};
use super::variables::{Effect, VARIABLES};
use super::*;
use crate::nodes::plain;
use crate::step::{NamedImage, Step, Verbosity};
use imgmake_core::manifest::{
    AuthNode, BuildTarget, PasswordFrom, PushFrom, SecretFrom, SecretNode, Spanned, TarFormat,
    TargetKind,
};

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect()
}

fn read(path: &str) -> io::Result<String> {
    match path {
        "Dockerfile" | "docker/Dockerfile" | "./docker/Dockerfile" | "./Dockerfile" => {
            Ok("FROM scratch\n".into())
        }
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn outcome(name: &str, pairs: &[(&str, &str)]) -> Result<Outcome, Refusal> {
    let environment = environment(pairs);
    let workspace = Workspace {
        environment: &environment,
        read: &read,
        now: "2026-01-01T00:00:00Z",
    };
    interpret(EntryPoint::named(name).unwrap(), &workspace)
}

fn step(name: &str, pairs: &[(&str, &str)]) -> Step {
    match outcome(name, pairs).unwrap() {
        Outcome::Run(step) => *step,
        Outcome::NothingToDo(why) => panic!("{why}"),
    }
}

fn build(step: &Step) -> &BuildTarget {
    step.build().expect("the step builds")
}

/// Where the image to push comes from.
fn pushed_from(step: &Step) -> &PushFrom {
    let mut kinds = step.manifest.targets.iter().map(|target| &target.kind);
    let push = kinds.find_map(|kind| match kind {
        TargetKind::Push(push) => Some(&push.from),
        _ => None,
    });
    push.expect("the step pushes")
}

fn texts(values: &[Spanned<String>]) -> Vec<&str> {
    values.iter().map(|one| one.value.as_str()).collect()
}

fn values(map: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
    let owned = map.iter().map(|(k, v)| (k.clone(), v.value.clone()));
    owned.collect()
}

/// A login of the step with the password that its secret stands for.
fn login(step: &Step, host: &str, pairs: &[(&str, &str)]) -> Option<(String, String)> {
    let mut nodes = step.manifest.registries.iter();
    let node = nodes.find(|node| node.prefix.value == host)?;
    match &node.auth {
        AuthNode::Basic { user, password } => {
            let secrets = &step.manifest.secrets;
            Some((user.clone(), secret(password, secrets, step, pairs)))
        }
        _ => None,
    }
}

fn secret(
    from: &PasswordFrom,
    secrets: &[SecretNode],
    step: &Step,
    pairs: &[(&str, &str)],
) -> String {
    let PasswordFrom::Secret(name) = from else {
        panic!("a credential is in the manifest: {from:?}")
    };
    let declared = secrets.iter().find(|secret| secret.name == *name);
    let SecretFrom::Env(variable) = &declared.expect("it is declared").source else {
        panic!()
    };
    match step.options.variables.get(variable) {
        Some(own) => own.0.clone(),
        None => environment(pairs)[variable].clone(),
    }
}

fn refused(name: &str, pairs: &[(&str, &str)]) -> String {
    outcome(name, pairs).unwrap_err().to_string()
}

#[test]
fn build_and_push_is_what_happens_when_nothing_else_is_said() {
    let step = step(
        "kaniko-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_TAGS", "1, 2"),
            ("PLUGIN_DOCKERFILE", "./docker/Dockerfile"),
        ],
    );
    assert!(step.pushes() && step.build().is_some());
    assert_eq!(step.names, ["acme/app:1", "acme/app:2"]);
}

#[test]
fn a_tar_path_with_a_push_gives_both() {
    let step = step(
        "kaniko-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_TAR_PATH", "out/image.tar"),
        ],
    );
    assert!(step.pushes());
    let tar = build(&step).tar.as_ref().unwrap();
    assert_eq!(
        (tar.path.value.as_str(), tar.format),
        ("out/image.tar", TarFormat::Docker)
    );
    assert_eq!(step.results.image_tar.as_deref(), Some("out/image.tar"));
}

#[test]
fn build_only_is_asked_for_in_every_family() {
    for (name, variable) in [
        ("kaniko-docker", "PLUGIN_NO_PUSH"),
        ("drone-docker", "PLUGIN_DRY_RUN"),
        ("drone-docker", "PLUGIN_NO_PUSH"),
        ("buildah-docker", "PLUGIN_DRY_RUN"),
        ("buildah-docker", "PLUGIN_NO_PUSH"),
    ] {
        assert!(
            !step(name, &[("PLUGIN_REPO", "acme/app"), (variable, "true")]).pushes(),
            "{name} {variable}"
        );
    }
}

#[test]
fn push_only_takes_the_archive_or_the_named_image() {
    let tar = step(
        "kaniko-ecr",
        &[
            ("PLUGIN_REPO", "app"),
            ("PLUGIN_REGISTRY", "1.dkr.ecr.eu-west-1.amazonaws.com"),
            ("PLUGIN_PUSH_ONLY", "true"),
            ("PLUGIN_SOURCE_TAR_PATH", "image.tar"),
        ],
    );
    let archive = PushFrom::Tar {
        path: plain("image.tar"),
        pick: None,
    };
    assert_eq!(pushed_from(&tar), &archive);
    assert_eq!(tar.preparations.archive.as_deref(), Some("image.tar"));
    assert_eq!(tar.names, ["1.dkr.ecr.eu-west-1.amazonaws.com/app:latest"]);
    let named = step(
        "drone-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_PUSH_ONLY", "true"),
            ("PLUGIN_SOURCE_IMAGE", "acme/other:3"),
        ],
    );
    assert_eq!(
        named.preparations.image,
        Some(NamedImage {
            name: "acme/other:3".into(),
            remote: true
        })
    );
    let own = step(
        "kaniko-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_TAGS", "7"),
            ("PLUGIN_PUSH_ONLY", "true"),
        ],
    );
    assert_eq!(
        own.preparations.image,
        Some(NamedImage {
            name: "acme/app:7".into(),
            remote: false
        })
    );
    assert_eq!(pushed_from(&own), &PushFrom::Image(plain("acme/app:7")));
    let buildah = step(
        "buildah-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_TAG", "7"),
            ("PLUGIN_PUSH_ONLY", "true"),
            ("PLUGIN_SOURCE_TAR_PATH", "image.tar"),
        ],
    );
    assert_eq!((pushed_from(&buildah), buildah.pushes()), (&archive, true));
}

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
fn a_clouds_plugin_never_falls_back_to_the_general_registry() {
    for name in ["kaniko-ecr", "drone-ecr", "kaniko-acr", "drone-acr"] {
        let message = refused(name, &[("PLUGIN_REPO", "app")]);
        assert!(message.contains("PLUGIN_REGISTRY"), "{name}: {message}");
        let built = step(name, &[("PLUGIN_REPO", "app"), ("PLUGIN_NO_PUSH", "true")]);
        assert_eq!(built.names, ["app:latest"], "{name}");
    }
    let google = step("drone-gcr", &[("PLUGIN_REPO", "project/app")]);
    assert_eq!(google.names, ["gcr.io/project/app:latest"]);
    let heroku = step(
        "drone-heroku",
        &[("PLUGIN_APP", "shop"), ("PLUGIN_API_KEY", "k")],
    );
    assert_eq!(heroku.names, ["registry.heroku.com/shop/web:latest"]);
}

#[test]
fn a_ref_that_is_not_for_publishing_fails_kaniko_and_satisfies_the_others() {
    let pairs = [
        ("PLUGIN_REPO", "a"),
        ("PLUGIN_AUTO_TAG", "true"),
        ("PLUGIN_TAR_PATH", "a.tar"),
        ("DRONE_COMMIT_REF", "refs/heads/topic"),
        ("DRONE_REPO_BRANCH", "main"),
    ];
    assert!(refused("kaniko-docker", &pairs).contains("DRONE_COMMIT_REF"));
    for name in ["drone-docker", "buildah-docker"] {
        assert!(matches!(
            outcome(name, &pairs).unwrap(),
            Outcome::NothingToDo(_)
        ));
    }
}

#[test]
fn the_same_name_means_the_base_registry_for_kaniko_and_the_push_registry_for_buildx() {
    let pairs = [
        ("PLUGIN_REPO", "reg.io/app"),
        ("DOCKER_REGISTRY", "reg.io"),
        ("DOCKER_USERNAME", "ann"),
        ("DOCKER_PASSWORD", "pw"),
    ];
    let basic = Some(("ann".to_string(), "pw".to_string()));
    let buildx = step("drone-docker", &pairs);
    assert_eq!(login(&buildx, "reg.io", &pairs), basic);
    let kaniko = step(
        "kaniko-docker",
        &[
            &pairs[..],
            &[
                ("PLUGIN_REGISTRY", "push.io"),
                ("PLUGIN_USERNAME", "bob"),
                ("PLUGIN_PASSWORD", "x"),
                ("PLUGIN_REPO", "push.io/app"),
            ][..],
        ]
        .concat(),
    );
    assert_eq!(login(&kaniko, "reg.io", &pairs), basic);
}

#[test]
fn a_docker_config_in_a_variable_is_a_login_for_each_host() {
    let with = |config: &str| {
        let pairs = [("PLUGIN_REPO", "reg.io/app"), ("PLUGIN_CONFIG", config)];
        outcome("drone-docker", &pairs)
    };
    let config = r#"{"auths":{"https://index.docker.io/v1/":{"username":"bob","password":"b"},"reg.io":{"auth":"YW5uOnB3OjE="}}}"#;
    let Outcome::Run(step) = with(config).unwrap() else {
        panic!()
    };
    let login = |host: &str| login(&step, host, &[]).unwrap();
    assert_eq!(login("docker.io"), ("bob".into(), "b".into()));
    assert_eq!(login("reg.io"), ("ann".into(), "pw:1".into()));
    for wrong in [
        "hunter2",
        "{}",
        r#"{"auths":{"reg.io":{"auth":"hunter2"}}}"#,
        r#"{"credsStore":"hunter2"}"#,
    ] {
        let refusal = with(wrong).unwrap_err().to_string();
        assert!(refusal.contains("PLUGIN_CONFIG"), "{refusal}");
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
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
fn caches_are_read_as_each_plugin_reads_them() {
    let caches = |name: &str, pairs: &[(&str, &str)]| {
        let step = step(name, pairs);
        let found = step.manifest.settings.cache.registries.iter();
        let found = found.map(|r| format!("{} {:?} {:?}", r.reference.value, r.access, r.mode));
        (
            found.collect::<Vec<_>>(),
            step.manifest.settings.cache.ttl.map(|t| t.as_secs() / 3600),
            step.manifest.settings.cache.steps,
        )
    };
    let run_only = imgmake_core::manifest::CacheSteps {
        run: true,
        copy: false,
    };
    assert_eq!(
        caches(
            "kaniko-docker",
            &[("PLUGIN_REPO", "acme/app"), ("PLUGIN_ENABLE_CACHE", "true")]
        ),
        (
            vec!["acme/app/cache ReadWrite Max".to_string()],
            Some(336),
            run_only
        )
    );
    let ecr = [
        ("PLUGIN_REPO", "app"),
        ("PLUGIN_REGISTRY", "1.dkr.ecr.eu-west-1.amazonaws.com"),
        ("PLUGIN_ENABLE_CACHE", "true"),
        ("PLUGIN_CACHE_REPO", "app-cache"),
        ("PLUGIN_CACHE_TTL", "6"),
        ("PLUGIN_CACHE_COPY_LAYERS", "true"),
    ];
    assert_eq!(
        caches("kaniko-ecr", &ecr),
        (
            vec!["1.dkr.ecr.eu-west-1.amazonaws.com/app-cache ReadWrite Max".to_string()],
            Some(6),
            Default::default()
        )
    );
    assert_eq!(
        caches(
            "kaniko-docker",
            &[("PLUGIN_REPO", "acme/app"), ("PLUGIN_CACHE_REPO", "acme/c")]
        )
        .0,
        Vec::<String>::new()
    );
    let buildx = [
        ("PLUGIN_REPO", "acme/app"),
        (
            "PLUGIN_CACHE_FROM",
            "type=registry,ref=r.io/a; type=local,src=x;acme/plain",
        ),
        (
            "PLUGIN_CACHE_TO",
            "type=registry,ref=r.io/a,mode=max;type=inline",
        ),
    ];
    assert_eq!(
        caches("drone-docker", &buildx).0,
        ["r.io/a Read Min", "acme/plain Read Max", "r.io/a Write Max"]
    );
}

#[test]
fn a_cache_that_cannot_be_meant_is_refused_by_the_name_of_its_variable() {
    for (name, value) in [
        ("PLUGIN_CACHE_FROM", "type=registry"),
        ("PLUGIN_CACHE_TO", "type=registry,ref=a/b,mode=most"),
        ("PLUGIN_CACHE_TO", "type=s4,secret_access_key=hunter2"),
    ] {
        let pairs = [("PLUGIN_REPO", "acme/app"), (name, value)];
        let refusal = refused("drone-docker", &pairs);
        assert!(
            refusal.contains(name) && !refusal.contains("hunter2"),
            "{refusal}"
        );
    }
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
        ("--label", "without a value"),
        ("hunter", "belongs to no option"),
        ("--output=type=local", "not supported"),
        ("--add-host=x", "is no host"),
        ("--network=bridge", "default, host or none"),
        ("--frobnicate", "not known"),
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
fn ecr_is_asked_for_a_registry_only_where_one_is_missing() {
    let unnamed = |entry: &str, pairs: &[(&str, &str)]| {
        let environment = environment(pairs);
        unnamed_registry(EntryPoint::named(entry).unwrap(), &environment).unwrap()
    };
    let repo = ("PLUGIN_REPO", "team/app");
    for entry in ["kaniko-ecr", "drone-ecr", "buildah-ecr"] {
        for registry in [&[][..], &[("PLUGIN_REGISTRY", "")]] {
            let pairs = [&[repo, ("PLUGIN_ACCESS_KEY", "k")], registry].concat();
            let Some(UnnamedRegistry::OfTheKeys { options, secrets }) = unnamed(entry, &pairs)
            else {
                panic!("{entry} asks nobody");
            };
            let key = secret(&options["access-key"], &secrets, &Step::default(), &pairs);
            assert_eq!(key, "k", "{entry}");
        }
        for nobody in [
            &[repo, ("PLUGIN_REGISTRY", "own.example")][..],
            &[("PLUGIN_DESTINATIONS", "h.io/app:1")],
            &[repo, ("PLUGIN_NO_PUSH", "true")],
            &[],
        ] {
            assert_eq!(unnamed(entry, nobody), None, "{entry}: {nobody:?}");
        }
        let complete = unnamed(entry, &[("PLUGIN_REPO", "own.example/app")]);
        let host = UnnamedRegistry::OfTheName("own.example".into());
        assert_eq!(complete, Some(host), "{entry}");
    }
    assert_eq!(unnamed("drone-docker", &[repo]), None);
    let Some(UnnamedRegistry::OfTheKeys { options, .. }) = unnamed("kaniko-ecr", &[repo]) else {
        panic!()
    };
    let default = PasswordFrom::Literal("us-east-1".into());
    assert_eq!(options.get("region"), Some(&default));
}

#[test]
fn the_ecr_wrappers_make_repositories_by_either_name() {
    for (name, value, made) in [
        ("PLUGIN_CREATE_REPOSITORY", "true", true),
        ("ECR_CREATE_REPOSITORY", "1", true),
        ("PLUGIN_CREATE_REPOSITORY", "perhaps", false),
    ] {
        let pairs = [
            ("PLUGIN_REPO", "app"),
            ("PLUGIN_REGISTRY", "own.example"),
            ("PLUGIN_SCAN_ON_PUSH", "true"),
            (name, value),
        ];
        let step = step("drone-ecr", &pairs);
        let node = &step.manifest.registries[0];
        assert_eq!(node.create_repo, made, "{name}");
        let AuthNode::AwsEcr(options) = &node.auth else {
            panic!()
        };
        assert!(options.contains_key("scan-on-push"));
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
fn a_destination_may_bring_its_own_tag() {
    let step = step(
        "drone-docker",
        &[
            ("PLUGIN_DESTINATIONS", "h:5000/a/b:own; h:5000/c;d.io/e:x"),
            ("PLUGIN_TAGS", "1,2"),
        ],
    );
    assert_eq!(
        step.names,
        ["h:5000/a/b:own", "h:5000/c:1", "h:5000/c:2", "d.io/e:x"]
    );
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
    let refusal = refused(
        "kaniko-docker",
        &[("PLUGIN_REPO", "acme/app"), ("PLUGIN_VERBOSITY", "inf")],
    );
    assert!(
        refusal.contains("PLUGIN_VERBOSITY") && refusal.contains("`info`"),
        "{refusal}"
    );
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

#[test]
fn what_holds_for_pulls_holds_for_whatever_registries_the_dockerfile_names() {
    let named = ["base.example/os:1".to_string(), "alpine".to_string()];
    let of = |pairs: &[(&str, &str)]| {
        let mut pairs = pairs.to_vec();
        pairs.extend([
            ("PLUGIN_REPO", "push.example/app"),
            ("PLUGIN_NO_PUSH", "true"),
        ]);
        let step = step("kaniko-docker", &pairs).with_bases(&named);
        let nodes = step.manifest.registries.into_iter();
        nodes
            .map(|node| (node.prefix.value, (node.insecure, node.skip_tls_verify)))
            .collect::<BTreeMap<String, (bool, bool)>>()
    };
    let usual = of(&[]);
    assert!(!usual.contains_key("base.example"));
    let plain = of(&[
        ("PLUGIN_INSECURE_PULL", "true"),
        ("PLUGIN_REGISTRY_MIRRORS", "mirror.example"),
    ]);
    for host in ["base.example", "docker.io", "mirror.example"] {
        assert_eq!(plain[host], (true, false), "{host}");
    }
    let pulls = of(&[("PLUGIN_SKIP_TLS_VERIFY_PULL", "true")]);
    assert_eq!(pulls["base.example"], (false, true));
    assert_eq!(pulls.get("push.example"), usual.get("push.example"));
    let both = of(&[("PLUGIN_SKIP_TLS_VERIFY_REGISTRY", "true")]);
    assert_eq!(both["base.example"], (false, true));
    assert_eq!(both["push.example"], (false, true));
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
