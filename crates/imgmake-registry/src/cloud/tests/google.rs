//! Service accounts, other accounts, the metadata server, and keys as passwords.

use super::*;

fn auth(options: &[(&str, &str)]) -> Auth {
    Auth::Gcp {
        options: secrets(options),
    }
}

fn by(password: &str) -> FaultProxy {
    registry("oauth2accesstoken", password)
}

/// Token server and metadata server.
fn google(key: std::path::PathBuf) -> FaultProxy {
    service(move |seen, body| {
        let token = |name: &str| {
            (
                200,
                format!(r#"{{"access_token":"{name}","expires_in":3599,"token_type":"Bearer"}}"#),
            )
        };
        if seen.target == "/computeMetadata/v1/instance/service-accounts/default/token" {
            assert_eq!(seen.header("Metadata-Flavor"), Some("Google"));
            return token("machine");
        }
        if seen.target == "/impersonate" {
            assert_eq!(seen.header("Authorization"), Some("Bearer federated"));
            return (200, r#"{"accessToken":"impersonated"}"#.into());
        }
        match field(body, "grant_type").as_deref() {
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                let (header, claims) = verified(&field(body, "assertion").unwrap(), &key);
                assert_eq!(
                    (&header["alg"], &header["kid"]),
                    (&"RS256".into(), &"key-1".into())
                );
                assert_eq!(claims["iss"], "robot@example.iam");
                assert_eq!(
                    claims["scope"],
                    "https://www.googleapis.com/auth/cloud-platform"
                );
                let address = format!("http://{}/token", seen.header("Host").unwrap());
                assert_eq!(claims["aud"], address);
                let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
                assert_eq!(life, 3600);
                token("key")
            }
            Some("refresh_token") if field(body, "refresh_token").as_deref() == Some("r") => {
                token("user")
            }
            Some("urn:ietf:params:oauth:grant-type:token-exchange") => {
                assert_eq!(field(body, "subject_token").as_deref(), Some("oidc"));
                assert_eq!(field(body, "audience").as_deref(), Some("//iam/pool"));
                token("federated")
            }
            other => panic!("{other:?}"),
        }
    })
}

fn service_account(google: &FaultProxy, keys: &SigningKeys) -> String {
    serde_json::json!({
        "type": "service_account", "client_email": "robot@example.iam", "private_key_id": "key-1",
        "private_key": fs::read_to_string(keys.path("ca.key")).unwrap(),
        "token_uri": format!("{}/token", url(google)),
    })
    .to_string()
}

#[test]
fn a_key_is_taken_as_json_as_base64_and_as_a_file_and_signs_for_a_token() {
    let keys = SigningKeys::new();
    let google = google(keys.path("ca.key"));
    let key = service_account(&google, &keys);
    let path = keys.path("key.json");
    let path = path.to_str().unwrap();
    fs::write(path, &key).unwrap();
    ask(&by("key"), auth(&[("key", &key)]), &[]).unwrap();
    ask(
        &by("key"),
        auth(&[("json_key", &STANDARD.encode(&key))]),
        &[],
    )
    .unwrap();
    ask(&by("key"), auth(&[("key-file", path)]), &[]).unwrap();
    ask(
        &by("key"),
        auth(&[]),
        &[("GOOGLE_APPLICATION_CREDENTIALS", path)],
    )
    .unwrap();
    ask(&by("given"), auth(&[("access-token", "given")]), &[]).unwrap();
    let error = ask(&by("key"), auth(&[("key", "nonsense")]), &[]).unwrap_err();
    assert!(
        error.to_string().contains("neither the document"),
        "{error}"
    );
}

#[test]
fn other_accounts_and_the_metadata_server_give_tokens_too() {
    let keys = SigningKeys::new();
    let google = google(keys.path("ca.key"));
    let host = google.host();
    ask(&by("machine"), auth(&[]), &[("GCE_METADATA_HOST", &host)]).unwrap();

    let home = keys.dir.path().to_str().unwrap();
    let folder = keys.path(".config/gcloud");
    fs::create_dir_all(&folder).unwrap();
    let user =
        r#"{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}"#;
    fs::write(folder.join("application_default_credentials.json"), user).unwrap();
    let tokens = format!("{}/token", url(&google));
    ask(
        &by("user"),
        auth(&[("token-endpoint", &tokens)]),
        &[("HOME", home)],
    )
    .unwrap();

    fs::write(keys.path("subject"), "oidc\n").unwrap();
    let mut federated = serde_json::json!({
        "type": "external_account", "audience": "//iam/pool", "token_url": tokens,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "credential_source": {"file": keys.path("subject")},
    });
    ask(
        &by("federated"),
        auth(&[("key", &federated.to_string())]),
        &[],
    )
    .unwrap();
    federated["service_account_impersonation_url"] = format!("{}/impersonate", url(&google)).into();
    ask(
        &by("impersonated"),
        auth(&[("key", &federated.to_string())]),
        &[],
    )
    .unwrap();
}

#[test]
fn no_message_quotes_a_key() {
    for key in [
        r#"{"type":"service_account","private_key":"s3cret","client_email":"x"}"#,
        r#"{"type":"service_account","private_key":s3cret"#,
        r#"{"type":"s3cret-type-of-account"}"#,
    ] {
        let error = ask(&by("x"), auth(&[("key", key)]), &[]).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            !text.contains("\"s3cret\"") && !text.contains("key\":s3"),
            "{text}"
        );
    }
}

const GAR: &str = "europe-west1-docker.pkg.dev";

/// Artifact Registry under its own name, which takes `password` for a token and
/// knows no chunked uploads; the first upload breaks.
fn artifact_registry(behind: u16, user: &'static str, password: String) -> FaultProxy {
    FaultProxy::new(Some(behind), move |seen| {
        assert_eq!(seen.through.as_deref(), Some(GAR));
        if seen.target.starts_with("/v2/token") {
            let right = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            assert!(
                seen.target.contains("service=europe-west1-docker.pkg.dev"),
                "{}",
                seen.target
            );
            return match seen.header("Authorization") == Some(&right) {
                true => answer(200, &[], r#"{"token":"gar","expires_in":3600}"#),
                false => answer(403, &[], r#"{"errors":[{"code":"DENIED","message":"no"}]}"#),
            };
        }
        if seen.header("Authorization") != Some("Bearer gar") {
            let realm = format!(r#"Bearer realm="http://{GAR}/v2/token",service="{GAR}""#);
            return answer(401, &[("WWW-Authenticate", &realm)], "");
        }
        match seen.method.as_str() {
            "PATCH" => answer(
                400,
                &[],
                r#"{"errors":[{"code":"UNSUPPORTED","message":"no chunks"}]}"#,
            ),
            "PUT"
                if seen.target.contains("/blobs/uploads/")
                    && seen.header("Content-Length") == Some("300000")
                    && seen.earlier == 0
                    && BROKEN.swap(false, std::sync::atomic::Ordering::SeqCst) =>
            {
                Action::CutRequest(100_000)
            }
            _ => Action::Forward,
        }
    })
}

static BROKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);

#[test]
fn artifact_registry_takes_a_key_as_password_and_whole_uploads_alone() {
    use super::super::super::OperationContext;
    use super::super::super::testing::{Shelf, everywhere, job, random_bytes, start_registry};
    let (behind, shelf) = (start_registry(), Shelf::new());
    let key = r#"{"type":"service_account","private_key":"-----BEGIN"}"#;
    for (user, password) in [
        ("_json_key", key.to_string()),
        ("_json_key_base64", STANDARD.encode(key)),
    ] {
        let world = artifact_registry(behind.port(), user, password.clone());
        let host = HostSettings {
            prefix: GAR.into(),
            auth: Auth::Basic {
                user: user.into(),
                password: Secret(password),
                source: "imgmake.kdl:1".into(),
            },
            ..HostSettings::default()
        };
        let client = Client::new(everywhere(&world, vec![host], &[])).unwrap();
        let image = shelf.image("linux/amd64", &[random_bytes(user.len() as u64, 300_000)]);
        let job = job(
            &format!("{GAR}/acme/images/{}:1", user.trim_start_matches('_')),
            &image,
        );
        client
            .push(&job, &shelf.store, &OperationContext::background())
            .unwrap();
    }
}
