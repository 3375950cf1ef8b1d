use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::flags::{Effect, FLAGS};
use super::*;
use crate::credentials::of_variable;
use crate::hidden::Hidden;
use crate::plugin::{Refusal, Workspace};
use crate::step::{ImmutableTags, Step, Verbosity};
use imgmake_core::manifest::{
    AuthNode, BuildTarget, ImageFormat, PasswordFrom, RecipeNode, SecretFrom, Spanned, TarFormat,
};

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect()
}

fn read(path: &str) -> io::Result<String> {
    match path {
        "/workspace/Dockerfile" | "here/Dockerfile" | "Other" | "src/Other" => {
            Ok("FROM scratch\n".into())
        }
        "azure.json" => {
            Ok(r#"{"tenantId": "t", "aadClientId": "c", "aadClientSecret": "s"}"#.into())
        }
        "/secret/config.json" => Ok(r#"{"auths": {"https://known.io/v1/": {}}}"#.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn invocation(arguments: &[&str], pairs: &[(&str, &str)]) -> Result<Invocation, Refusal> {
    let environment = environment(pairs);
    let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
    let workspace = Workspace {
        environment: &environment,
        read: &read,
        now: "",
    };
    interpret(&arguments, &workspace)
}

fn request(arguments: &[&str], pairs: &[(&str, &str)]) -> Box<Request> {
    match invocation(arguments, pairs).unwrap() {
        Invocation::Build(request) => request,
        _ => panic!("{arguments:?} is no build"),
    }
}

fn attempt(arguments: &[&str], pairs: &[(&str, &str)]) -> Result<Step, Refusal> {
    let Invocation::Build(request) = invocation(arguments, pairs)? else {
        panic!("{arguments:?} is no build")
    };
    let environment = environment(pairs);
    let workspace = Workspace {
        environment: &environment,
        read: &read,
        now: "",
    };
    let bases = ["base.io/os:1".to_string(), "alpine".to_string()];
    request.step("/workspace", "/workspace/Dockerfile", &bases, &workspace)
}

fn step(arguments: &[&str]) -> Step {
    attempt(arguments, &[]).unwrap_or_else(|refusal| panic!("{arguments:?}: {refusal}"))
}

fn build(arguments: &[&str]) -> BuildTarget {
    step(arguments).build().expect("the step builds").clone()
}

fn stage(build: &BuildTarget) -> Option<&str> {
    match &build.recipe {
        RecipeNode::Dockerfile { stage, .. } => stage.as_ref().map(|stage| stage.value.as_str()),
        RecipeNode::Steps { .. } => panic!(),
    }
}

fn texts(values: &[Spanned<String>]) -> Vec<&str> {
    values.iter().map(|one| one.value.as_str()).collect()
}

fn values(map: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
    let owned = map.iter().map(|(k, v)| (k.clone(), v.value.clone()));
    owned.collect()
}

fn refused(arguments: &[&str]) -> String {
    match attempt(arguments, &[]) {
        Ok(_) => panic!("{arguments:?} was taken"),
        Err(refusal) => refusal.to_string(),
    }
}

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
fn the_usual_command_line_builds_and_pushes() {
    let request = request(
        &[
            "--dockerfile=Dockerfile",
            "--context=dir:///workspace",
            "-d",
            "reg.io/team/app:1",
            "--destination",
            "reg.io/team/app:2",
            "--cache=true",
        ],
        &[],
    );
    assert_eq!(request.context, Context::Directory("/workspace".into()));
    let step = step(&["-c", "/workspace", "-d", "reg.io/team/app:1", "-d", "app"]);
    assert!(step.pushes());
    assert_eq!(step.names, ["reg.io/team/app:1", "app"]);
}

#[test]
fn a_place_for_the_image_is_needed() {
    assert!(refused(&[]).contains("--destination"));
    assert!(refused(&["--no-push=false"]).contains("--destination"));
    assert!(!step(&["--no-push", "-d", "a/b"]).pushes());
    for output in [
        "--tar-path=a.tar",
        "--tarPath=a.tar",
        "--oci-layout-path=oci",
    ] {
        assert!(!step(&[output]).pushes(), "{output}");
    }
    for output in ["--tar-path=", "--digest-file=d"] {
        assert!(refused(&[output]).contains("--destination"), "{output}");
    }
    for file in [
        "--image-name-with-digest-file=f",
        "--image-name-tag-with-digest-file=f",
    ] {
        assert!(refused(&["--no-push", file]).contains("name-"), "{file}");
    }
    let by_environment = attempt(&["-d", "a/b"], &[("KANIKO_NO_PUSH", "true")]).unwrap();
    assert!(!by_environment.pushes());
    assert!(attempt(&["-d", "a/b"], &[("KANIKO_NO_PUSH", "yes")]).is_err());
}

#[test]
fn destinations_that_are_no_names_are_refused() {
    for name in [
        "",
        "https://reg.io/a:1",
        "reg.io/a@sha256:00",
        "reg.io/App",
        "a/b,c/d",
        "reg.io/a:",
        "a b",
        "reg.io//a",
    ] {
        let message = refused(&["--destination", name]);
        assert!(message.contains("--destination"), "{name}: {message}");
    }
}

#[test]
fn outputs_go_where_they_are_told() {
    let step = step(&[
        "--no-push",
        "-d",
        "reg.io/a:1",
        "--tar-path=out/a.tar",
        "--oci-layout-path=oci",
        "--digest-file=d",
        "--image-name-with-digest-file=n",
        "--image-name-tag-with-digest-file=t",
    ]);
    let build = step.build().unwrap();
    let tar = build.tar.as_ref().unwrap();
    assert_eq!(
        (tar.path.value.as_str(), tar.format),
        ("out/a.tar", TarFormat::Docker)
    );
    assert_eq!(build.layout.as_ref().unwrap().value, "oci");
    assert_eq!(step.results.digest, ["d"]);
    assert_eq!(step.results.name_with_digest, ["n"]);
    assert_eq!(step.results.name_tag_with_digest, ["t"]);
}

#[test]
fn contexts_are_read_by_their_scheme() {
    let context = |text: &str| {
        request(&["--no-push", "--context", text], &[])
            .context
            .clone()
    };
    assert_eq!(
        request(&["--no-push"], &[]).context,
        Context::Directory("/workspace/".into())
    );
    assert_eq!(context("."), Context::Directory(".".into()));
    assert_eq!(context("dir://a/b"), Context::Directory("a/b".into()));
    assert_eq!(context("tar:///c.tgz"), Context::Tar("/c.tgz".into()));
    assert_eq!(context("tar://stdin"), Context::StandardInput);
    assert_eq!(
        context("https://h.io/c.tgz?x=1"),
        Context::Https(Hidden("https://h.io/c.tgz?x=1".into()))
    );
    assert!(matches!(
        context("https://h.io/a.git#main"),
        Context::Git(_)
    ));
}

#[test]
fn contexts_that_cannot_be_read_say_what_to_do() {
    for (text, says) in [
        ("gs://bucket/c.tgz", "gcloud storage cp gs://bucket/c.tgz"),
        ("s3://bucket/c.tgz", "aws s3 cp"),
        (
            "https://acc.blob.core.windows.net/b/c.tgz?sig=hunter2",
            "az storage blob download",
        ),
        ("http://h.io/c.tgz", "`http://`"),
        ("ftp://u:hunter2@h/c", "`ftp://`"),
        ("tar://", "tar:///path"),
        ("dir://", "dir:///workspace"),
        ("", "--context"),
        ("git://", "git://host/path.git"),
        ("git://h/a#b#c#d", "git://host/path.git"),
        ("git://h/a#--upload-pack=x", "--upload-pack=x"),
    ] {
        let message = refused(&["--no-push", "--context", text]);
        assert!(
            message.contains(says) && !message.contains("hunter2"),
            "{text}: {message}"
        );
    }
    assert!(refused(&["-d", "a/b", "--bucket=b"]).contains("--context=tar://"));
}

#[test]
fn git_contexts_have_a_reference_a_commit_and_a_login() {
    let git = |arguments: &[&str], pairs: &[(&str, &str)]| {
        let all: Vec<&str> = [&["--no-push"][..], arguments].concat();
        match request(&all, pairs).context.clone() {
            Context::Git(git) => git,
            other => panic!("{other:?}"),
        }
    };
    let plain = git(&["-c", "git://github.com/a/b.git#refs/heads/m#0123"], &[]);
    assert_eq!(plain.url, "https://github.com/a/b.git");
    assert_eq!(plain.reference.as_deref(), Some("refs/heads/m"));
    assert_eq!(plain.commit.as_deref(), Some("0123"));
    assert_eq!(plain.login, None);
    let token = git(&["-c", "git://hunter2@github.com/a/b.git"], &[]);
    assert_eq!(token.url, "https://github.com/a/b.git");
    assert_eq!(token.login.as_ref().unwrap().0.0, "hunter2");
    assert!(!format!("{token:?}").contains("hunter2"));
    let named = git(
        &["-c", "git://x@h/a"],
        &[
            ("GIT_USERNAME", "u"),
            ("GIT_PASSWORD", "p"),
            ("GIT_PULL_METHOD", "http"),
        ],
    );
    assert_eq!(
        (named.url.as_str(), named.login.unwrap().1.0.as_str()),
        ("http://h/a", "p")
    );
    let options = git(
        &[
            "-c",
            "git://h/a#main:dir",
            "--git=branch=b",
            "--git",
            "depth=3",
            "--git=recurse-submodules=true",
        ],
        &[],
    );
    assert_eq!(
        (
            options.branch.as_deref(),
            options.depth,
            options.recurse_submodules
        ),
        (Some("b"), 3, true)
    );
    assert_eq!(
        (options.reference.as_deref(), options.directory.as_deref()),
        (Some("main"), Some("dir"))
    );
    assert!(refused(&["--no-push", "-c", "git://h/a", "--git=branches=x"]).contains("`branch`"));
    assert!(refused(&["--no-push", "-c", "git://h/a", "--git=depth=-1"]).contains("depth"));
}

#[test]
fn a_sub_path_stays_inside() {
    let within = |path: &str| {
        request(&["--no-push", "--context-sub-path", path], &[])
            .within()
            .unwrap()
    };
    assert_eq!(within("./a//b/../c/"), "a/c");
    assert_eq!(within("/a"), "a");
    assert!(refused(&["--no-push", "--context-sub-path=a/../../b"]).contains("a/../../b"));
}

#[test]
fn the_dockerfile_is_the_given_path_or_in_the_context() {
    let none = BTreeMap::new();
    let workspace = Workspace {
        environment: &none,
        read: &read,
        now: "",
    };
    let find = |file: &str, context: &str| {
        request(&["--no-push", "-f", file], &[]).find_dockerfile(context, &workspace)
    };
    assert_eq!(
        find("Dockerfile", "/workspace/").unwrap(),
        "/workspace/Dockerfile"
    );
    assert_eq!(find("Other", "src").unwrap(), "Other");
    let message = find("Gone", "src").unwrap_err().to_string();
    assert!(message.contains("--dockerfile=Gone"), "{message}");
    assert_eq!(
        request(&["--no-push", "-f", "https://h.io/D"], &[]).dockerfile_address(),
        Some("https://h.io/D")
    );
}

#[test]
fn the_build_is_as_the_flags_say() {
    let made = attempt(
        &[
            "-d",
            "a/b",
            "--build-arg",
            "A=1,2",
            "--build-arg=HOME",
            "--build-arg=NONE",
            "--label",
            "k=v=w",
            "--annotation=n=m",
            "--target=t",
            "--customPlatform=linux/arm64",
            "--compression=zstd",
            "--compression-level=5",
            "--image-format=oci",
            "--reproducible",
            "--cache=false",
        ],
        &[("HOME", "/root"), ("SOURCE_DATE_EPOCH", "7")],
    )
    .unwrap();
    let build = made.build().unwrap();
    assert_eq!(
        values(&build.args),
        environment(&[("A", "1,2"), ("HOME", "/root"), ("NONE", "")])
    );
    assert_eq!(values(&build.labels), environment(&[("k", "v=w")]));
    assert_eq!(values(&build.annotations), environment(&[("n", "m")]));
    assert_eq!(stage(build), Some("t"));
    assert_eq!(texts(&build.platforms), ["linux/arm64"]);
    assert_eq!(build.compression.as_ref().unwrap().value, "zstd");
    assert_eq!(build.compression_level, Some(5));
    assert_eq!(
        (build.format, build.epoch, build.no_cache),
        (ImageFormat::Oci, Some(7), true)
    );
    let quiet = self::build(&["-d", "a/b"]);
    assert_eq!(
        (quiet.epoch, quiet.no_cache, quiet.compression),
        (None, false, None)
    );
    assert_eq!(
        self::build(&["-d", "a", "--image-format=docker"]).format,
        ImageFormat::Docker
    );
}

#[test]
fn values_that_mean_nothing_are_refused_by_their_flag() {
    for (arguments, says) in [
        (&["--target=a,,b"][..], "--target=a,,b"),
        (&["--custom-platform=linux"], "--custom-platform"),
        (&["--compression=lzma"], "--compression"),
        (&["--compression-level=12"], "--compression-level"),
        (&["--compression=zstd", "--tar-path=a.tar"], "--tar-path"),
        (
            &["--compression=zstd", "--image-format=docker"],
            "--image-format",
        ),
        (&["--snapshot-mode=fast"], "`full`"),
        (&["--verbosity=loud"], "--verbosity"),
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
fn secrets_are_files_or_variables_and_never_shown() {
    let secrets = |text: &str, pairs: &[(&str, &str)]| {
        let step = attempt(&["-d", "a", "--secret", text], pairs).unwrap();
        let named = &step.build().unwrap().secrets[0];
        let declared = &step.manifest.secrets[0];
        assert_eq!(declared.name, *named);
        declared.source.clone()
    };
    let set = [("V", "hunter2"), ("i", "x")];
    assert_eq!(secrets("id=x,src=/f", &[]), SecretFrom::File("/f".into()));
    assert_eq!(
        secrets("id=x,source=/f,type=file", &[]),
        SecretFrom::File("/f".into())
    );
    assert_eq!(secrets("id=x,env=V", &set), SecretFrom::Env("V".into()));
    assert_eq!(
        secrets("type=env,src=V,id=x", &set),
        SecretFrom::Env("V".into())
    );
    assert_eq!(secrets("id=i", &set), SecretFrom::Env("i".into()));
    assert_eq!(secrets("id=x", &[]), SecretFrom::File("x".into()));
    for text in [
        "hunter2",
        "token=hunter2",
        "id=x,src=a,env=b",
        "id=x,type=hunter2",
        "src=f",
        "id=x,type=file,env=V",
    ] {
        let message = refused(&["-d", "a", "--secret", text]);
        assert!(
            message.contains("--secret") && !message.contains("hunter2"),
            "{message}"
        );
    }
    assert!(refused(&["-d", "a", "--secret=id=x,env=UNSET"]).contains("UNSET"));
    assert!(refused(&["-d", "a", "--secret=id=x", "--secret=id=x"]).contains("twice"));
}

#[test]
fn registries_are_spoken_to_as_the_flags_say() {
    let step = step(&[
        "-d",
        "push.io/a",
        "--insecure",
        "--skip-tls-verify-pull",
        "--insecure-registry=plain.io:5000",
        "--skip-tls-verify-registry=any.io",
        "--registry-certificate=own.io=/ca.pem",
        "--registry-client-cert=own.io=/c.pem,/k.pem",
        "--registry-mirror=mirror.io/hub",
        "--registry-map=gcr.io=m1.io;gcr.io=m2.io",
        "--skip-default-registry-fallback",
        "--push-retry=2",
        "--image-download-retry=4",
        "--push-ignore-immutable-tag-errors",
        "--skip-push-permission-check",
    ]);
    let node = |host: &str| {
        let found = step
            .manifest
            .registries
            .iter()
            .find(|node| node.prefix.value == host);
        found.unwrap_or_else(|| panic!("no {host}")).clone()
    };
    assert!(node("push.io").insecure && !node("push.io").skip_tls_verify);
    assert!(node("base.io").skip_tls_verify && !node("base.io").insecure);
    assert!(node("mirror.io/hub").skip_tls_verify);
    assert!(node("plain.io:5000").insecure && node("any.io").skip_tls_verify);
    assert_eq!(node("own.io").ca.as_deref(), Some("/ca.pem"));
    assert_eq!(
        node("own.io").client_cert,
        Some(("/c.pem".into(), "/k.pem".into()))
    );
    assert_eq!(node("docker.io").mirrors, ["mirror.io/hub"]);
    assert_eq!(node("gcr.io").mirrors, ["m1.io", "m2.io"]);
    assert!(node("gcr.io").mirrors_only && node("docker.io").mirrors_only);
    assert_eq!(step.manifest.settings.retry.attempts, 5);
    assert!(!step.preparations.check_permission);
    assert_eq!(step.options.immutable_tags, ImmutableTags::Accept);
    let by_environment = attempt(
        &["--no-push"],
        &[
            ("KANIKO_REGISTRY_MIRROR", "m.io"),
            ("KANIKO_REGISTRY_MAP", "index.docker.io=n.io"),
        ],
    )
    .unwrap();
    let hub = by_environment
        .manifest
        .registries
        .iter()
        .find(|n| n.prefix.value == "docker.io")
        .unwrap();
    assert_eq!(hub.mirrors, ["n.io", "m.io"]);
}

#[test]
fn credentials_come_from_the_docker_config_and_then_from_the_helpers() {
    let auth = |destination: &str, arguments: &[&str], pairs: &[(&str, &str)]| {
        let all: Vec<&str> = [&["-d", destination][..], arguments].concat();
        let step = attempt(&all, pairs).unwrap();
        for secret in &step.manifest.secrets {
            let is_set = |name: &String| pairs.iter().any(|(set, _)| set == name);
            assert!(matches!(&secret.source, SecretFrom::Env(name) if is_set(name)));
        }
        let host = crate::nodes::parts(destination).0;
        let node = step
            .manifest
            .registries
            .iter()
            .find(|n| n.prefix.value == host);
        node.unwrap().auth.clone()
    };
    let basic = |user: &str, variable: &str| AuthNode::Basic {
        user: user.into(),
        password: of_variable(variable),
    };
    let named = [
        ("KANIKO_KNOWN_IO_USER", "u"),
        ("KANIKO_KNOWN_IO_PASSWORD", "p"),
    ];
    let config = ("DOCKER_CONFIG", "/secret/");
    assert_eq!(
        auth("known.io/a", &[], &named),
        basic("u", "KANIKO_KNOWN_IO_PASSWORD")
    );
    assert_eq!(
        auth("eu.known.io/a", &[], &named),
        basic("u", "KANIKO_KNOWN_IO_PASSWORD")
    );
    assert_eq!(
        auth("known.io/a", &[], &[named[0], named[1], config]),
        AuthNode::DockerConfig
    );
    assert_eq!(
        auth("known.io/a", &["--credential-helpers="], &named),
        AuthNode::DockerConfig
    );
    assert!(matches!(
        auth("1.dkr.ecr.eu-west-1.amazonaws.com/a", &[], &[]),
        AuthNode::AwsEcr(_)
    ));
    assert!(matches!(
        auth("europe-docker.pkg.dev/p/r/a", &[], &[]),
        AuthNode::Gcp(_)
    ));
    assert!(matches!(
        auth("team.azurecr.io/a", &[], &[]),
        AuthNode::Azure(_)
    ));
    assert_eq!(
        auth("team.azurecr.io/a", &["--credential-helpers=env"], &[]),
        AuthNode::DockerConfig
    );
    let job_token = [("CI_REGISTRY", "reg.lab.io"), ("CI_JOB_TOKEN", "t")];
    assert_eq!(
        auth("reg.lab.io/a", &[], &job_token),
        basic("gitlab-ci-token", "CI_JOB_TOKEN")
    );
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
fn stages_besides_the_wanted_one_are_built_where_that_is_said() {
    for (arguments, stage, also) in [
        (&[][..], None, &[][..]),
        (&["--target=a"], Some("a"), &[]),
        (&["--target=a, b", "--target=c"], Some("a"), &["b", "c"]),
        (&["--skip-unused-stages"], None, &[]),
        (&["--skip-unused-stages=false"], None, &["*"]),
    ] {
        let built = build(&[&["-d", "a"], arguments].concat());
        assert_eq!(self::stage(&built), stage, "{arguments:?}");
        assert_eq!(texts(&built.also_stages), also, "{arguments:?}");
    }
}

#[test]
fn one_snapshot_and_ignored_paths_reach_the_build() {
    let plain = build(&["-d", "a"]);
    assert!(!plain.squash && plain.ignore_paths.is_empty());
    let asked = build(&[
        "-d",
        "a",
        "--single-snapshot",
        "--ignore-path=/a",
        "--ignore-path",
        "/b/",
        "--whitelist-var-run",
    ]);
    assert!(asked.squash);
    assert_eq!(texts(&asked.ignore_paths), ["/a", "/b/", "/var/run"]);
    assert!(
        build(&["-d", "a", "--ignore-var-run=false"])
            .ignore_paths
            .is_empty()
    );
    assert!(refused(&["-d", "a", "--ignore-path=/"]).contains("--ignore-path=/"));
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
fn a_warmed_directory_counts_only_where_it_is_named() {
    assert_eq!(step(&["-d", "a"]).options.warmed, None);
    let warmed = step(&["-d", "a", "--cache-dir=/cache", "--cache-ttl=6h"])
        .options
        .warmed
        .unwrap();
    assert_eq!(warmed.directory, "/cache");
    assert_eq!(warmed.ttl.unwrap().as_secs(), 6 * 3600);
}

#[test]
fn azures_file_is_the_login_of_azures_registries_alone() {
    let step = step(&[
        "-d",
        "acme.azurecr.io/app",
        "-d",
        "other.io/app",
        "--azure-container-registry-config=azure.json",
    ]);
    let auth = |host: &str| {
        let node = step
            .manifest
            .registries
            .iter()
            .find(|node| node.prefix.value == host);
        node.unwrap().auth.clone()
    };
    let AuthNode::Azure(options) = auth("acme.azurecr.io") else {
        panic!()
    };
    assert_eq!(
        options.get("tenant"),
        Some(&PasswordFrom::Literal("t".into()))
    );
    let key = "client-secret of acme.azurecr.io";
    assert_eq!(options.get("client-secret"), Some(&of_variable(key)));
    assert_eq!(step.options.variables[key].0, "s");
    assert_eq!(auth("other.io"), AuthNode::DockerConfig);
    let missing = refused(&["-d", "a", "--azure-container-registry-config=none.json"]);
    assert!(
        missing.contains("--azure-container-registry-config=none.json"),
        "{missing}"
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
    assert!(flags::help().contains("--destination"));
    assert!(is_called("/kaniko/executor") && is_called("executor") && !is_called("imgmake"));
}

#[test]
fn the_book_has_the_table_of_flags() {
    let page = include_str!("../../../../../book/src/kaniko.md");
    assert!(
        page.contains(&flags::markdown()),
        "the table is:\n{}",
        flags::markdown()
    );
}
