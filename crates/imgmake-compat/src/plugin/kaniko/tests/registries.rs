//! Logins, transport and mirrors.

use super::*;

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
