//! Secrets and words that no job could have as they are.

use super::*;

fn exported(secrets: &str, system: System, options: &Options) -> Result<String, CiError> {
    let names: Vec<&str> = secrets
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap())
        .collect();
    let manifest = format!(
        "{secrets}\nbuild app {{ context \".\"; secrets {} }}\n",
        names.join(" ")
    );
    export(&planned(&manifest, &["app"]).unwrap(), system, options)
}

fn of(secrets: &str, system: System) -> Result<String, CiError> {
    exported(secrets, system, &options())
}

#[test]
fn a_host_in_the_name_of_a_secret_is_in_its_variable() {
    let secret = "secret GIT_AUTH_TOKEN.git-1.example.com file=\"~/.token\"";
    for system in SYSTEMS {
        let text = of(secret, system).unwrap();
        assert!(text.contains("GIT_AUTH_TOKEN_GIT_1_EXAMPLE_COM"), "{text}");
        assert!(!text.contains("EXAMPLE.COM"), "{text}");
    }
}

#[test]
fn what_is_no_variable_is_refused() {
    for (secret, variable, is_file) in [
        ("secret \"1pass\" file=\"~/x\"", "1PASS", true),
        ("secret x env=\"A }} x\"", "A }} x", false),
        ("secret x env=\"1A\"", "1A", false),
        ("secret x env=\"a-b\"", "a-b", false),
        ("secret x env=\"É\"", "É", false),
    ] {
        for system in SYSTEMS {
            let error = of(secret, system).unwrap_err();
            let expected = CiError::NoVariable {
                secret: secret.split(' ').nth(1).unwrap().replace('"', ""),
                variable: variable.into(),
                is_file,
            };
            assert_eq!(error, expected, "{system:?}");
        }
    }
    let said = of("secret \"1pass\" file=\"~/x\"", System::Gitlab).unwrap_err();
    let said = said.to_string();
    assert!(
        said.contains("secret `1pass`: `1PASS`")
            && said.contains("help: give the secret another name")
    );
}

#[test]
fn what_rules_a_job_is_no_secret() {
    let rules = |secret: &str, system: System| match of(secret, system) {
        Err(CiError::RulesJob { .. }) => true,
        Ok(_) => false,
        other => panic!("{secret}: {other:?}"),
    };
    for system in SYSTEMS {
        for name in [
            "path",
            "home",
            "docker-config",
            "docker-auth-config",
            "docker_auth.config",
            "github-token",
            "imgmake-state-key",
        ] {
            assert!(
                rules(&format!("secret {name} file=\"~/x\""), system),
                "{name}"
            );
        }
        for variable in [
            "PATH",
            "HOME",
            "DOCKER_CONFIG",
            "IMGMAKE_CACHE",
            "LD_PRELOAD",
        ] {
            assert!(
                rules(&format!("secret x env=\"{variable}\""), system),
                "{variable}"
            );
        }
        // Asked for by their own names.
        for variable in ["GITHUB_TOKEN", "DOCKER_AUTH_CONFIG", "LD_API_KEY", "TOKEN"] {
            assert!(
                !rules(&format!("secret x env=\"{variable}\""), system),
                "{variable}"
            );
        }
        let github = system == System::Github;
        assert_eq!(rules("secret x env=\"GITHUB_PAT\"", system), github);
        let gitlab = system == System::Gitlab;
        assert_eq!(
            rules("secret ci-registry-password file=\"~/x\"", system),
            gitlab
        );
        assert!(!rules("secret x env=\"CI_REGISTRY_PASSWORD\"", system));
    }
}

#[test]
fn two_secrets_are_not_one_variable() {
    for (first, second) in [
        ("secret a-b file=\"~/x\"", "secret a_b file=\"~/y\""),
        ("secret a.b file=\"~/x\"", "secret a-b file=\"~/x\""),
        ("secret a-b file=\"~/x\"", "secret other env=\"A_B\""),
    ] {
        for system in SYSTEMS {
            let error = of(&format!("{first}\n{second}"), system).unwrap_err();
            assert!(matches!(error, CiError::OneVariable { .. }), "{error}");
        }
    }
    // In two jobs as well: the system has one of that name.
    let apart = "secret a-b file=\"~/x\"\nsecret a_b file=\"~/y\"\n\
        build one { context \".\"; secrets a-b }\nbuild two { context \".\"; secrets a_b }\n";
    let jobs = planned(apart, &["one", "two"]).unwrap();
    for system in SYSTEMS {
        let error = export(&jobs, system, &options()).unwrap_err();
        assert!(matches!(error, CiError::OneVariable { .. }), "{error}");
    }
    // GitHub's have no case.
    let case = "secret one env=\"token\"\nsecret two env=\"TOKEN\"";
    assert!(matches!(
        of(case, System::Github),
        Err(CiError::OneVariable { .. })
    ));
    of(case, System::Gitlab).unwrap();
    // One variable under two names is one secret, which the job has once.
    let same = "secret one env=\"TOKEN\" optional=#true\nsecret two env=\"TOKEN\"";
    for system in SYSTEMS {
        let text = of(same, system).unwrap();
        assert!(!text.contains("optional"), "{text}");
    }
    let tekton = read(&of(same, System::Tekton).unwrap());
    let env = &tekton["spec"]["tasks"][0]["taskSpec"]["steps"][0]["env"];
    let named = env.as_array().unwrap().iter();
    assert_eq!(named.filter(|one| one["name"] == "TOKEN").count(), 1);
}

#[test]
fn a_secrets_file_does_not_stay_in_a_checkout_of_all_jobs() {
    for file in [
        "token",
        "deep/token",
        "../token",
        "/workspace/source/token",
        "/tmp/../workspace/token",
    ] {
        let secret = format!("secret x file=\"{file}\"");
        for system in SYSTEMS {
            let refused = match of(&secret, system) {
                Err(error) => {
                    let said = error.to_string();
                    assert!(
                        said.contains("secret `x`") && said.contains("~/token"),
                        "{said}"
                    );
                    assert!(matches!(error, CiError::SharedFile { .. }), "{error}");
                    true
                }
                Ok(_) => false,
            };
            let is_shared = matches!(system, System::Tekton | System::Argo);
            assert_eq!(refused, is_shared, "{system:?} {file}");
        }
    }
    for file in ["~/token", "/run/token", "/workspaces/token"] {
        for system in SYSTEMS {
            of(&format!("secret x file=\"{file}\""), system).unwrap();
        }
    }
}

fn is_replaced(result: Result<String, CiError>) -> bool {
    match result {
        Err(CiError::Replaced { .. }) => true,
        Ok(_) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn words_reach_a_job_as_they_are_or_are_refused() {
    for (text, tekton, argo) in [
        ("{{workflow.name}}", false, true),
        ("{{ x", false, true),
        ("$(params.x)", true, true),
        ("$(params['x'])", true, true),
        ("$(tasks.a.results.b)", true, true),
        ("$(context.pipelineRun.name)", true, true),
        ("$(workspaces.source.path)", true, true),
        // A variable of the container, for Kubernetes.
        ("$(HOME)", false, true),
        ("$$", false, true),
        ("$(date)", false, true),
        ("$x {y} (z)", false, false),
    ] {
        let argument = Options {
            arguments: vec!["--var".into(), format!("TAG={text}")],
            ..options()
        };
        let file = format!("secret x file=\"~/{text}\"");
        for (system, expected) in [
            (System::Tekton, tekton),
            (System::Argo, argo),
            (System::Gitlab, false),
            (System::Github, false),
        ] {
            let secret = "secret y env=\"Y\"";
            assert_eq!(
                is_replaced(exported(secret, system, &argument)),
                expected,
                "{text}"
            );
            assert_eq!(is_replaced(of(&file, system)), expected, "{text}");
        }
    }
}

/// `--env` is written for the system to read: what nothing in the file declares is refused.
#[test]
fn variables_name_what_the_run_has() {
    for (text, tekton, argo) in [
        ("{{workflow.parameters.revision}}", false, false),
        ("{{ workflow.uid }}-{{pod.name}}", false, false),
        ("{{=workflow.name}}", false, false),
        ("{{inputs.parameters.x}}", false, true),
        ("{{workflow.uid}} {{name}}", false, true),
        ("$(params.tag)", true, false),
        ("$(tasks.a.results.b)", true, false),
        ("$(context.pipelineRun.name)", false, false),
    ] {
        let given = Options {
            variables: vec![("TAG".into(), text.into())],
            ..options()
        };
        let image = Options {
            image: Some(text.into()),
            ..options()
        };
        for options in [given, image] {
            let jobs = planned(MANIFEST, &["app"]).unwrap();
            let of = |system| is_replaced(export(&jobs, system, &options));
            assert_eq!(of(System::Tekton), tekton, "{text}");
            assert_eq!(of(System::Argo), argo, "{text}");
            assert!(!of(System::Github) && !of(System::Gitlab), "{text}");
        }
    }
}
