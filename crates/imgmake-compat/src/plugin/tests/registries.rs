//! Logins, transport, and the registries that they are for.

use super::*;

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
fn a_credential_is_for_the_registry_that_it_was_given_for() {
    const USER: [(&str, &str); 2] = [("PLUGIN_USERNAME", "ann"), ("PLUGIN_PASSWORD", "pw")];
    let basic = Some(("ann".to_string(), "pw".to_string()));
    let of = |entry: &str, more: &[(&str, &str)], host: &str| {
        let pairs = [&USER[..], more].concat();
        let step = step(entry, &pairs);
        let said = step.notes.iter().any(|note| note.contains("gets none"));
        (login(&step, host, &pairs), said)
    };
    let several = ("PLUGIN_TAGS", "1,2,3");
    let elsewhere = ("PLUGIN_REPO", "own.example/app");
    for entry in ["drone-docker", "kaniko-docker", "buildah-docker"] {
        // A step that names none means the one that it pushes to, under however many tags.
        for tags in [("PLUGIN_TAGS", "1"), several] {
            let login = of(entry, &[elsewhere, tags], "own.example");
            assert_eq!(login, (basic.clone(), false), "{entry} {tags:?}");
        }
        // One that names another one keeps it from this one, which need not be its owner's.
        for registry in ["push.example", "https://index.docker.io/v1/"] {
            let named = [("PLUGIN_REGISTRY", registry), elsewhere, several];
            assert_eq!(of(entry, &named, "own.example"), (None, true), "{entry}");
        }
        let hub = [
            ("PLUGIN_REGISTRY", "push.example"),
            ("PLUGIN_REPO", "team/app"),
        ];
        assert_eq!(of(entry, &hub, "docker.io"), (None, true), "{entry}");
        for own in ["own.example", "https://own.example/v2/", "own.example/team"] {
            let named = [("PLUGIN_REGISTRY", own), elsewhere, several];
            let login = of(entry, &named, "own.example");
            assert_eq!(login, (basic.clone(), false), "{entry} {own}");
        }
    }
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
