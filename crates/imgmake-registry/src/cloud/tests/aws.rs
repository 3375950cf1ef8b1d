//! Keys from every place, repositories on demand.

use super::super::super::session::Session;
use super::super::super::testing::*;
use super::super::super::{HostSettings, OperationContext};
use super::amazon::{Amazon, MACHINE, ROLE, ROLE_ARN, USER};
use super::*;

fn auth(amazon: &FaultProxy, more: &[(&str, &str)]) -> Auth {
    let url = url(amazon);
    let base = [
        ("region", "eu-west-1"),
        ("endpoint", url.as_str()),
        ("sts_endpoint", url.as_str()),
        ("metadata-endpoint", url.as_str()),
    ];
    Auth::AwsEcr {
        options: secrets(&[&base[..], more].concat()),
    }
}

/// A registry that lets in whoever ECR gave a password for this access key.
fn ecr(access: &str) -> FaultProxy {
    registry("AWS", &format!("{access}-password"))
}

fn home(config: &str, credentials: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".aws")).unwrap();
    fs::write(home.path().join(".aws/config"), config).unwrap();
    fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
    home
}

const USER_KEYS: &str =
    "[user]\naws_access_key_id = AKIDUSER\naws_secret_access_key = user/secret+key\n";

#[test]
fn keys_of_the_settings_and_of_the_environment_sign() {
    let amazon = Amazon::default();
    let aws = amazon.serve();
    let keys = [("access-key", USER.0), ("secret-key", USER.1)];
    ask(&ecr(USER.0), auth(&aws, &keys), &[]).unwrap();
    let environment = [
        ("AWS_ACCESS_KEY_ID", USER.0),
        ("AWS_SECRET_ACCESS_KEY", USER.1),
    ];
    ask(&ecr(USER.0), auth(&aws, &[]), &environment).unwrap();
    let with_session = [
        ("AWS_ACCESS_KEY_ID", ROLE.0),
        ("AWS_SECRET_ACCESS_KEY", ROLE.1),
        ("AWS_SESSION_TOKEN", ROLE.2.unwrap()),
    ];
    ask(&ecr(ROLE.0), auth(&aws, &[]), &with_session).unwrap();
    assert_eq!(amazon.actions(), ["GetAuthorizationToken"; 3]);
}

#[test]
fn a_wrong_key_is_named_by_its_source_and_never_shown() {
    let aws = Amazon::default().serve();
    let keys = [("access-key", USER.0), ("secret-key", "wrong-secret")];
    let error = ask(&ecr(USER.0), auth(&aws, &keys), &[]).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("InvalidSignatureException"), "{text}");
    assert!(text.contains("the keys in the settings"), "{text}");
    assert!(!text.contains("wrong-secret"), "{text}");
}

#[test]
fn a_role_is_assumed_with_keys_or_with_a_web_identity() {
    let amazon = Amazon::default();
    let aws = amazon.serve();
    let role = [
        ("access-key", USER.0),
        ("secret-key", USER.1),
        ("role", ROLE_ARN),
        ("external-id", "ex+ternal"),
        ("session-name", "ci-42"),
    ];
    ask(&ecr(ROLE.0), auth(&aws, &role), &[]).unwrap();
    let web = [("role", ROLE_ARN), ("web-identity-token", "oidc+token")];
    ask(&ecr(ROLE.0), auth(&aws, &web), &[]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "oidc+token\n").unwrap();
    let environment = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.path().to_str().unwrap()),
        ("AWS_ROLE_ARN", ROLE_ARN),
    ];
    ask(&ecr(ROLE.0), auth(&aws, &[]), &environment).unwrap();
    let named = amazon.records.lock().unwrap().calls[0].1.clone();
    assert_eq!(field(&named, "RoleSessionName").as_deref(), Some("ci-42"));
    let wrong = [("role", ROLE_ARN), ("web-identity-token", "other-token")];
    let error = ask(&ecr(ROLE.0), auth(&aws, &wrong), &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("assume the role `{ROLE_ARN}`")),
        "{error}"
    );
    assert!(!error.contains("other-token"), "{error}");
}

#[test]
fn profiles_give_keys_roles_chains_of_roles_and_programs() {
    let aws = Amazon::default().serve();
    let config = format!(
        "[profile ci]\nrole_arn = {ROLE_ARN}\nsource_profile = user\nexternal_id = ex+ternal\n\
         [profile vault]\ncredential_process = printf '{{\"Version\":1,\"AccessKeyId\":\"AKIDUSER\",\"SecretAccessKey\":\"%s\"}}' \"user/secret+key\"\n\
         [profile above]\nrole_arn = {ROLE_ARN}\nexternal_id = ex+ternal\nsource_profile = vault\n\
         [profile machine]\nrole_arn = {ROLE_ARN}\nexternal_id = ex+ternal\ncredential_source = Ec2InstanceMetadata\n"
    );
    let home = home(&config, USER_KEYS);
    let home = home.path().to_str().unwrap();
    for (profile, access) in [
        ("user", USER.0),
        ("ci", ROLE.0),
        ("vault", USER.0),
        ("above", ROLE.0),
        ("machine", ROLE.0),
    ] {
        let by_setting = ask(
            &ecr(access),
            auth(&aws, &[("profile", profile)]),
            &[("HOME", home), ("PATH", "/usr/bin:/bin")],
        );
        by_setting.unwrap_or_else(|e| panic!("{profile}: {e}"));
        let environment = [
            ("HOME", home),
            ("AWS_PROFILE", profile),
            ("PATH", "/usr/bin:/bin"),
        ];
        ask(&ecr(access), auth(&aws, &[]), &environment).unwrap();
    }
}

#[test]
fn profiles_that_a_build_cannot_use_say_why_and_what_to_do() {
    let aws = Amazon::default().serve();
    let config = format!(
        "[profile browser]\nsso_session = corp\nsso_account_id = 1\n\
         [profile code]\nrole_arn = {ROLE_ARN}\nsource_profile = user\nmfa_serial = arn:aws:iam::1:mfa/me\n\
         [profile a]\nrole_arn = {ROLE_ARN}\nsource_profile = b\n\
         [profile b]\nrole_arn = {ROLE_ARN}\nsource_profile = a\n\
         [profile odd]\nrole_arn = {ROLE_ARN}\ncredential_source = Moon\n\
         [profile lone]\nrole_arn = {ROLE_ARN}\n\
         [profile fails]\ncredential_process = echo s3cret-on-stdout; echo no vault here >&2; exit 3\n\
         [profile text]\ncredential_process = echo s3cret-on-stdout\n\
         [profile old]\ncredential_process = echo '{{\"Version\":2}}'\n\
         [profile empty]\nregion = eu-west-1\n"
    );
    let home = home(&config, USER_KEYS);
    for (profile, said) in [
        ("browser", "aws sso login --profile browser"),
        ("code", "mfa_serial"),
        ("a", "a -> b -> a"),
        ("odd", "`credential_source` of profile `odd` is `Moon`"),
        ("lone", "no keys to assume it with"),
        ("fails", "no vault here (exit status: 3)"),
        ("text", "not JSON"),
        ("old", "version 1"),
        ("empty", "the profile `empty` has no keys"),
        ("none", "the profile `none` has no keys"),
    ] {
        let environment = [
            ("HOME", home.path().to_str().unwrap()),
            ("PATH", "/usr/bin:/bin"),
        ];
        let error = ask(
            &ecr(USER.0),
            auth(&aws, &[("profile", profile)]),
            &environment,
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains(said), "{profile}: {error}");
        assert!(!error.contains("s3cret"), "{profile}: {error}");
    }
}

#[test]
fn machines_and_containers_have_keys_of_their_own() {
    let aws = Amazon::default().serve();
    ask(&ecr(MACHINE.0), auth(&aws, &[]), &[]).unwrap();
    let address = format!("{}/container", url(&aws));
    let mut environment = vec![
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token"),
    ];
    ask(&ecr(MACHINE.0), auth(&aws, &[]), &environment).unwrap();
    environment[1].1 = "http://collector.example/container";
    let error = ask(&ecr(MACHINE.0), auth(&aws, &[]), &environment)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("collector.example") && !error.contains("pod-token"),
        "{error}"
    );
    let error = ask(&ecr(MACHINE.0), auth(&aws, &[]), &environment[..1])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no AWS credential") && error.contains("AWS_ACCESS_KEY_ID"),
        "{error}"
    );
}

/// Settings of a registry by its real name, its services on loopback.
fn session(registry: &str, aws: &FaultProxy, more: &[(&str, &str)]) -> Session {
    use super::super::super::endpoint::{Declared, Endpoint};
    let keys = [("access-key", USER.0), ("secret-key", USER.1)];
    let settings = HostSettings {
        prefix: registry.into(),
        auth: auth(aws, &[&keys[..], more].concat()),
        create_repository: true,
        ..HostSettings::default()
    };
    let options = Arc::new(options());
    let endpoint = Endpoint::new(registry, settings, Declared::default(), &options);
    Session::new(endpoint, options)
}

const PRIVATE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

#[test]
fn a_repository_is_made_once_in_the_account_of_its_registry_with_what_is_wished() {
    use super::super::super::repositories::create_repository;
    let amazon = Amazon::default();
    let aws = amazon.serve();
    let policies = [
        ("scan-on-push", "true"),
        ("lifecycle-policy", r#"{"rules":[]}"#),
        ("repository-policy", r#"{"Statement":[]}"#),
    ];
    let own = session(PRIVATE, &aws, &policies);
    create_repository(&own, "team/app").unwrap();
    create_repository(&own, "team/app").unwrap();
    assert_eq!(
        amazon.actions(),
        [
            "CreateRepository",
            "PutLifecyclePolicy",
            "SetRepositoryPolicy"
        ]
    );
    assert_eq!(
        amazon.bodies("CreateRepository"),
        [serde_json::json!({
            "repositoryName": "team/app", "registryId": "123456789012",
            "imageScanningConfiguration": {"scanOnPush": true},
        })]
    );
    assert_eq!(
        amazon.bodies("PutLifecyclePolicy"),
        [serde_json::json!({
            "repositoryName": "team/app", "registryId": "123456789012",
            "lifecyclePolicyText": "{\"rules\":[]}",
        })]
    );
    // The next run finds it there, and still gives it what is wished.
    create_repository(&session(PRIVATE, &aws, &policies), "team/app").unwrap();
    assert_eq!(
        amazon.actions()[3..],
        [
            "CreateRepository",
            "PutImageScanningConfiguration",
            "PutLifecyclePolicy",
            "SetRepositoryPolicy"
        ]
    );
    let wrong = session(PRIVATE, &aws, &[("scan-on-push", "maybe")]);
    let error = create_repository(&wrong, "team/app")
        .unwrap_err()
        .to_string();
    assert!(error.contains("not `maybe`"), "{error}");
}

#[test]
fn policies_are_given_to_a_repository_that_is_there_already() {
    use super::super::super::repositories::create_repository;
    let amazon = Amazon::default();
    let aws = amazon.serve();
    let mut own = session(PRIVATE, &aws, &[("lifecycle-policy", r#"{"rules":[]}"#)]);
    own.endpoint.settings.create_repository = false;
    create_repository(&own, "team/app").unwrap();
    assert_eq!(amazon.actions(), ["PutLifecyclePolicy"]);
    let mut none = session(PRIVATE, &aws, &[("scan-on-push", "true")]);
    none.endpoint.settings.create_repository = false;
    create_repository(&none, "team/app").unwrap();
    assert_eq!(amazon.actions(), ["PutLifecyclePolicy"]);
}

#[test]
fn public_repositories_are_made_without_the_alias_and_without_what_they_lack() {
    use super::super::super::repositories::create_repository;
    let amazon = Amazon::default();
    let aws = amazon.serve();
    create_repository(&session("public.ecr.aws", &aws, &[]), "acme/app").unwrap();
    assert_eq!(
        amazon.bodies("CreateRepository"),
        [serde_json::json!({"repositoryName": "app"})]
    );
    for (repository, option, said) in [
        ("app", ("region", "x"), "<alias>/<name>"),
        ("acme/app", ("scan-on-push", "true"), "scan-on-push"),
        ("acme/app", ("lifecycle-policy", "{}"), "lifecycle-policy"),
    ] {
        let error = create_repository(&session("public.ecr.aws", &aws, &[option]), repository)
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(amazon.actions(), ["CreateRepository"]);
}

/// ECR under its own name before a registry: closes the connection on whoever asks
/// for a repository that is not there.
fn ecr_before(behind: &Registry, amazon: &Amazon) -> FaultProxy {
    let amazon = amazon.clone();
    let right = format!(
        "Basic {}",
        STANDARD.encode(format!("AWS:{}-password", USER.0))
    );
    FaultProxy::new(Some(behind.port()), move |seen| {
        if seen.through.as_deref() == Some("api.ecr.eu-west-1.amazonaws.com") {
            return amazon.act(seen);
        }
        assert_eq!(seen.through.as_deref(), Some(PRIVATE));
        if seen.header("Authorization") != Some(&right) {
            return answer(401, &[("WWW-Authenticate", "Basic realm=\"ecr\"")], "");
        }
        let there = &amazon.records.lock().unwrap().repositories;
        match seen.target.contains("/new/") && !there.contains("new") {
            true => Action::Read(0, Box::new(|_| None)),
            false => Action::Forward,
        }
    })
}

fn ecr_client(world: &FaultProxy, create_repository: bool) -> Client {
    let endpoint = "http://api.ecr.eu-west-1.amazonaws.com";
    let keys = [
        ("access-key", USER.0),
        ("secret-key", USER.1),
        ("endpoint", endpoint),
    ];
    let host = HostSettings {
        prefix: PRIVATE.into(),
        auth: Auth::AwsEcr {
            options: secrets(&keys),
        },
        create_repository,
        ..HostSettings::default()
    };
    Client::new(everywhere(world, vec![host], &[])).unwrap()
}

#[test]
fn a_connection_that_ecr_closes_on_a_missing_repository_is_understood() {
    let (behind, amazon, shelf) = (start_registry(), Amazon::default(), Shelf::new());
    let world = ecr_before(&behind, &amazon);
    let image = shelf.image("linux/amd64", &[random_bytes(1, 100)]);
    let push = |client: &Client| {
        let job = job(&format!("{PRIVATE}/new:1"), &image);
        client.push(&job, &shelf.store, &OperationContext::background())
    };
    let error = push(&ecr_client(&world, false)).unwrap_err().to_string();
    assert!(error.contains("create-repo"), "{error}");
    let name = format!("{PRIVATE}/new:1").parse().unwrap();
    let check = |client: &Client| client.check_push(&name, &OperationContext::background());
    let error = check(&ecr_client(&world, false)).unwrap_err().to_string();
    assert!(error.contains("create-repo"), "{error}");
    // Asking for the right to push makes the repository that the push needs.
    check(&ecr_client(&world, true)).unwrap();
    check(&ecr_client(&world, false)).unwrap();
    push(&ecr_client(&world, true)).unwrap();
    let plain = super::super::super::testing::client();
    let there = format!("{}/new:1", behind.host()).parse().unwrap();
    assert_eq!(plain.head(&there).unwrap().unwrap().digest, image.digest);
}
