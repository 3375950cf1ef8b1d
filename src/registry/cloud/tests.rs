//! Each cloud's exchange, played by a server that checks what it is sent.

use std::fs;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::super::testing::{Act, Authority, Between, answer, options, reply};
use super::super::{Auth, Client, ClientOptions, HostSettings, RegistryError, Secret};

/// A server that answers forms and JSON by its rule and keeps the bodies.
struct Service {
    between: Between,
    bodies: Arc<Mutex<Vec<String>>>,
}

fn service(rule: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> Service {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let (kept, rule) = (Arc::clone(&bodies), Arc::new(rule));
    let between = Between::new(None, move |seen| {
        let (kept, rule) = (Arc::clone(&kept), Arc::clone(&rule));
        let line = format!(
            "{} {} {}",
            seen.line(),
            seen.header("x-amz-target").unwrap_or(""),
            seen.header("Authorization").unwrap_or("")
        );
        Act::Read(
            usize::MAX,
            Box::new(move |body| {
                let body = String::from_utf8(body).unwrap();
                kept.lock().unwrap().push(body.clone());
                let (status, text) = rule(&line, &body);
                Some(reply(status, &[], text))
            }),
        )
    });
    Service { between, bodies }
}

impl Service {
    fn url(&self) -> String {
        format!("http://{}", self.between.host())
    }
}

/// A registry that wants this user and password.
fn registry(user: &str, password: &str) -> Between {
    let right = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    Between::new(None, move |seen| {
        if seen.header("Authorization") == Some(&right) {
            return answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#);
        }
        answer(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], "")
    })
}

fn secrets(options: &[(&str, &str)]) -> std::collections::BTreeMap<String, Secret> {
    options
        .iter()
        .map(|(k, v)| ((*k).to_string(), Secret((*v).to_string())))
        .collect()
}

fn ask(registry: &Between, auth: Auth, environment: &[(&str, &str)]) -> Result<(), RegistryError> {
    let client = Client::new(ClientOptions {
        hosts: vec![HostSettings {
            prefix: registry.host(),
            auth,
            ..HostSettings::default()
        }],
        environment: environment
            .iter()
            .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
            .collect(),
        ..options()
    })?;
    client
        .manifest(&format!("{}/app:1", registry.host()).parse().unwrap())
        .map(drop)
}

#[test]
fn ecr_gives_its_token_to_signed_keys_and_to_an_assumed_role() {
    let aws = service(|line, body| {
        if body.contains("Action=AssumeRole&") {
            assert!(
                line.contains("Credential=AK/") && line.contains("/eu-west-1/sts/aws4_request"),
                "{line}"
            );
            assert!(body.contains("ExternalId=ext"));
            return (200, "<R><Credentials><AccessKeyId>RK</AccessKeyId><SecretAccessKey>RS</SecretAccessKey><SessionToken>RT</SessionToken></Credentials></R>".into());
        }
        if body.contains("Action=AssumeRoleWithWebIdentity") {
            assert!(body.contains("WebIdentityToken=oidc") && !line.contains("Credential="));
            return (200, "<AccessKeyId>RK</AccessKeyId><SecretAccessKey>RS</SecretAccessKey><SessionToken>RT</SessionToken>".into());
        }
        assert!(
            line.contains("AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"),
            "{line}"
        );
        let password = if line.contains("Credential=RK/") {
            "role"
        } else {
            "keys"
        };
        let token = STANDARD.encode(format!("AWS:{password}"));
        (
            200,
            format!(
                r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":4102444800.0}}]}}"#
            ),
        )
    });
    let url = aws.url();
    let base = [
        ("region", "eu-west-1"),
        ("endpoint", url.as_str()),
        ("sts_endpoint", url.as_str()),
    ];
    let auth = |more: &[(&str, &str)]| Auth::AwsEcr {
        options: secrets(&[&base[..], more].concat()),
    };
    let keys = [("access-key", "AK"), ("secret-key", "SK")];
    ask(&registry("AWS", "keys"), auth(&keys), &[]).unwrap();
    ask(
        &registry("AWS", "keys"),
        auth(&[]),
        &[("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "SK")],
    )
    .unwrap();
    let role = [keys[0], keys[1], ("role", "arn:r"), ("external-id", "ext")];
    ask(&registry("AWS", "role"), auth(&role), &[]).unwrap();
    ask(
        &registry("AWS", "role"),
        auth(&[("role", "arn:r"), ("web-identity-token", "oidc")]),
        &[],
    )
    .unwrap();

    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".aws")).unwrap();
    fs::write(
        home.path().join(".aws/credentials"),
        "[base]\naws_access_key_id=AK\naws_secret_access_key=SK\n",
    )
    .unwrap();
    fs::write(
        home.path().join(".aws/config"),
        "[profile ci]\nrole_arn=arn:r\nsource_profile=base\nexternal_id=ext\n",
    )
    .unwrap();
    let home = home.path().display().to_string();
    ask(
        &registry("AWS", "role"),
        auth(&[("profile", "ci")]),
        &[("HOME", &home)],
    )
    .unwrap();
    ask(
        &registry("AWS", "keys"),
        auth(&[]),
        &[("HOME", &home), ("AWS_PROFILE", "base")],
    )
    .unwrap();
}

#[test]
fn an_ecr_repository_is_made_once_and_one_that_is_there_is_fine() {
    use super::super::testing::{Registry, Shelf, job, noise};
    let aws = service(|line, _| {
        if line.contains("CreateRepository") {
            return (
                400,
                r#"{"__type":"RepositoryAlreadyExistsException","message":"there"}"#.into(),
            );
        }
        (200, "{}".into())
    });
    let registry = Registry::start();
    let options_of = [
        ("access-key", "AK"),
        ("secret-key", "SK"),
        ("endpoint", &aws.url()),
        ("lifecycle-policy", r#"{"rules":[]}"#),
    ];
    let client = Client::new(ClientOptions {
        hosts: vec![HostSettings {
            prefix: registry.host(),
            auth: Auth::AwsEcr {
                options: secrets(&options_of),
            },
            create_repository: true,
            ..HostSettings::default()
        }],
        ..options()
    })
    .unwrap();
    let shelf = Shelf::new();
    for layer in 1..3 {
        let image = shelf.image("linux/amd64", &[noise(layer, 100)]);
        let job = job(&format!("{}/new:1", registry.host()), &image);
        client
            .push(&job, &shelf.store, &super::super::Work::unheard())
            .unwrap();
    }
    let bodies = aws.bodies.lock().unwrap().clone();
    assert_eq!(
        bodies,
        [
            r#"{"repositoryName":"new"}"#,
            r#"{"repositoryName":"new","lifecyclePolicyText":"{\"rules\":[]}"}"#
        ]
    );
}

#[test]
fn google_takes_a_key_in_three_shapes_and_the_metadata_server_serves_the_rest() {
    let authority = Authority::new();
    let google = service(|line, body| {
        if line.contains("/computeMetadata/v1/instance/service-accounts/default/token") {
            return (
                200,
                r#"{"access_token":"machine","expires_in":3599}"#.into(),
            );
        }
        let (_, jwt) = body.split_once("assertion=").unwrap();
        let claims = URL_SAFE_NO_PAD
            .decode(jwt.split('.').nth(1).unwrap())
            .unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["iss"], "robot@example.iam");
        (200, r#"{"access_token":"key","expires_in":3599}"#.into())
    });
    let key = serde_json::json!({
        "type": "service_account", "client_email": "robot@example.iam", "private_key_id": "1",
        "private_key": fs::read_to_string(authority.path("ca.key")).unwrap(),
        "token_uri": format!("{}/token", google.url()),
    })
    .to_string();
    let file = authority.path("key.json");
    fs::write(&file, &key).unwrap();
    let auth = |options: &[(&str, &str)]| Auth::Gcp {
        options: secrets(options),
    };
    let by_key = registry("oauth2accesstoken", "key");
    ask(&by_key, auth(&[("key", &key)]), &[]).unwrap();
    ask(&by_key, auth(&[("json_key", &STANDARD.encode(&key))]), &[]).unwrap();
    ask(
        &by_key,
        auth(&[("key-file", &file.display().to_string())]),
        &[],
    )
    .unwrap();
    ask(
        &by_key,
        auth(&[]),
        &[(
            "GOOGLE_APPLICATION_CREDENTIALS",
            &file.display().to_string(),
        )],
    )
    .unwrap();
    let host = google.between.host();
    ask(
        &registry("oauth2accesstoken", "machine"),
        auth(&[]),
        &[("GCE_METADATA_HOST", &host)],
    )
    .unwrap();
    let error = ask(&by_key, auth(&[("key", "nonsense")]), &[]).unwrap_err();
    assert!(
        error.to_string().contains("neither the document"),
        "{error}"
    );
}

/// Azure's registry: exchange, token, manifest.
fn azure_registry() -> Between {
    Between::new(None, move |seen| {
        let realm = format!(
            r#"Bearer realm="http://{}/oauth2/token",service="acr""#,
            seen.header("Host").unwrap()
        );
        match seen.target.as_str() {
            "/oauth2/exchange" => Act::Read(
                usize::MAX,
                Box::new(|body| {
                    let body = String::from_utf8(body).unwrap();
                    assert!(
                        body.contains("grant_type=access_token")
                            && body.contains("access_token=aad"),
                        "{body}"
                    );
                    Some(reply(200, &[], r#"{"refresh_token":"refresh"}"#))
                }),
            ),
            "/oauth2/token" => Act::Read(
                usize::MAX,
                Box::new(|body| {
                    let body = String::from_utf8(body).unwrap();
                    assert!(body.contains("refresh_token=refresh"), "{body}");
                    Some(reply(200, &[], r#"{"access_token":"good"}"#))
                }),
            ),
            _ if seen.header("Authorization") == Some("Bearer good") => {
                answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#)
            }
            _ => answer(401, &[("WWW-Authenticate", realm.as_str())], ""),
        }
    })
}

#[test]
fn azure_takes_a_secret_a_certificate_a_federated_token_and_the_machines_identity() {
    let authority = Authority::new();
    let login = service(|line, body| {
        if line.contains("/metadata/identity/oauth2/token") {
            return (200, r#"{"access_token":"aad"}"#.into());
        }
        assert!(
            line.contains("/tenant/oauth2/v2.0/token") && body.contains("client_id=client"),
            "{line} {body}"
        );
        let good = body.contains("client_secret=s3cret")
            || body.contains("client_assertion=federated")
            || body.contains("client_assertion=ey");
        if good {
            (200, r#"{"access_token":"aad"}"#.into())
        } else {
            (
                401,
                r#"{"error":"invalid_client","error_description":"wrong secret"}"#.into(),
            )
        }
    });
    let url = login.url();
    let base = [
        ("tenant", "tenant"),
        ("client-id", "client"),
        ("authority-host", url.as_str()),
    ];
    let auth = |more: &[(&str, &str)]| Auth::Azure {
        options: secrets(&[&base[..], more].concat()),
    };
    let registry = azure_registry();
    ask(&registry, auth(&[("client-secret", "s3cret")]), &[]).unwrap();
    ask(&registry, auth(&[("federated-token", "federated")]), &[]).unwrap();
    let pem = ["client.crt", "client.key"]
        .map(|f| fs::read_to_string(authority.path(f)).unwrap())
        .concat();
    ask(&registry, auth(&[("certificate", &pem)]), &[]).unwrap();
    ask(
        &registry,
        auth(&[("certificate", &STANDARD.encode(&pem))]),
        &[],
    )
    .unwrap();
    let machine = Auth::Azure {
        options: secrets(&[("metadata-endpoint", &url)]),
    };
    ask(&registry, machine, &[]).unwrap();
    let error = ask(&registry, auth(&[("client-secret", "other")]), &[]).unwrap_err();
    assert!(error.is_unauthorised());
    assert!(
        error.to_string().contains("log in to Azure") && error.to_string().contains("wrong secret"),
        "{error}"
    );
    assert!(!error.to_string().contains("other"));
}

#[test]
fn an_option_that_no_cloud_knows_is_named() {
    let registry = registry("u", "p");
    let error = ask(
        &registry,
        Auth::Gcp {
            options: secrets(&[("keyfile", "x")]),
        },
        &[],
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`auth gcp` has no option `keyfile`"),
        "{error}"
    );
}
