//! Entra's tokens, by a secret, a certificate, a federated token or the machine's
//! identity, exchanged for the registry's own.

use super::*;

/// The registry: exchange, token, manifest; `realm` is where it sends for tokens.
fn acr() -> FaultProxy {
    FaultProxy::new(None, move |seen| {
        let host = seen.header("Host").unwrap().to_string();
        let read = |then: fn(&str) -> Option<&'static str>| {
            Action::Read(
                usize::MAX,
                Box::new(move |body| {
                    let body = String::from_utf8(body).unwrap();
                    Some(match then(&body) {
                        Some(text) => reply(200, &[], text),
                        None => reply(401, &[], format!("refused: {body}")),
                    })
                }),
            )
        };
        match seen.target.as_str() {
            "/oauth2/exchange" => read(|form| {
                let right = field(form, "grant_type").as_deref() == Some("access_token")
                    && field(form, "service").as_deref() == Some("127.0.0.1")
                    && field(form, "access_token").as_deref() == Some("aad");
                right.then_some(r#"{"refresh_token":"refresh"}"#)
            }),
            "/oauth2/token" => read(|form| {
                let right = field(form, "grant_type").as_deref() == Some("refresh_token")
                    && field(form, "refresh_token").as_deref() == Some("refresh")
                    && field(form, "scope").as_deref() == Some("repository:app:pull");
                right.then_some(r#"{"access_token":"good"}"#)
            }),
            _ if seen.header("Authorization") == Some("Bearer good") => {
                answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#)
            }
            _ => {
                let realm =
                    format!(r#"Bearer realm="http://{host}/oauth2/token",service="{host}""#);
                answer(401, &[("WWW-Authenticate", realm.as_str())], "")
            }
        }
    })
}

/// Entra: who proves themselves gets `aad`.
fn entra(keys: &SigningKeys) -> FaultProxy {
    let (key, certificate) = (keys.path("client.key"), keys.path("client.crt"));
    service(move |seen, body| {
        if seen.target.starts_with("/metadata/identity/oauth2/token") {
            assert_eq!(seen.header("Metadata"), Some("true"));
            assert!(
                seen.target
                    .contains("resource=https%3A%2F%2Fcontainerregistry.azure.net"),
                "{}",
                seen.target
            );
            return (200, r#"{"access_token":"aad"}"#.into());
        }
        let field = |name| field(body, name);
        assert_eq!(seen.line(), "POST /tenant/oauth2/v2.0/token");
        assert_eq!(field("client_id").as_deref(), Some("client"));
        assert_eq!(
            field("scope").as_deref(),
            Some("https://containerregistry.azure.net/.default")
        );
        let good = match (field("client_secret"), field("client_assertion")) {
            (Some(secret), None) => secret == "s3cret",
            (None, Some(token)) if token == "federated" => true,
            (None, Some(token)) => {
                let (header, claims) = verified(&token, &key);
                let der =
                    ureq::tls::Certificate::from_pem(&fs::read(&certificate).unwrap()).unwrap();
                let print =
                    ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, der.der());
                assert_eq!(header["x5t"], URL_SAFE_NO_PAD.encode(print));
                let address = format!(
                    "http://{}/tenant/oauth2/v2.0/token",
                    seen.header("Host").unwrap()
                );
                assert_eq!(claims["aud"], address);
                assert_eq!(
                    (&claims["iss"], &claims["sub"]),
                    (&"client".into(), &"client".into())
                );
                assert!(claims["jti"].as_str().is_some_and(|id| id.len() == 32));
                true
            }
            _ => false,
        };
        match good {
            true => (200, r#"{"access_token":"aad"}"#.into()),
            false => (
                401,
                r#"{"error":"invalid_client","error_description":"wrong secret"}"#.into(),
            ),
        }
    })
}

fn auth(entra: &FaultProxy, more: &[(&str, &str)]) -> Auth {
    let url = url(entra);
    let base = [
        ("tenant", "tenant"),
        ("client-id", "client"),
        ("authority-host", url.as_str()),
    ];
    Auth::Azure {
        options: secrets(&[&base[..], more].concat()),
    }
}

/// A key as OpenSSL wrote it before version 3.
fn pkcs1(keys: &SigningKeys) -> String {
    let key = fs::read_to_string(keys.path("pkcs1.key")).unwrap();
    assert!(key.contains("BEGIN RSA PRIVATE KEY"), "{key}");
    key
}

#[test]
fn a_secret_a_certificate_a_federated_token_and_the_machine_are_let_in() {
    let keys = SigningKeys::new();
    let (entra, registry) = (entra(&keys), acr());
    ask(&registry, auth(&entra, &[("client-secret", "s3cret")]), &[]).unwrap();
    ask(
        &registry,
        auth(&entra, &[("federated-token", "federated")]),
        &[],
    )
    .unwrap();
    let certificate = fs::read_to_string(keys.path("client.crt")).unwrap();
    let pkcs8 = fs::read_to_string(keys.path("client.key")).unwrap();
    for key in [pkcs8, pkcs1(&keys)] {
        let pem = format!("{certificate}{key}");
        let file = keys.path("pem");
        fs::write(&file, &pem).unwrap();
        for given in [pem.as_str(), &STANDARD.encode(&pem), file.to_str().unwrap()] {
            ask(&registry, auth(&entra, &[("certificate", given)]), &[]).unwrap();
        }
        let path = [("AZURE_CLIENT_CERTIFICATE_PATH", file.to_str().unwrap())];
        ask(&registry, auth(&entra, &[]), &path).unwrap();
    }
    let token = keys.path("token");
    fs::write(&token, "federated\n").unwrap();
    let workload = [
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_FEDERATED_TOKEN_FILE", token.to_str().unwrap()),
        ("AZURE_AUTHORITY_HOST", &url(&entra)),
    ];
    let nothing = Auth::Azure {
        options: secrets(&[]),
    };
    ask(&registry, nothing, &workload).unwrap();
    let machine = Auth::Azure {
        options: secrets(&[("metadata-endpoint", &url(&entra))]),
    };
    ask(&registry, machine, &[]).unwrap();
    // Where the machine is meant, a secret in the environment is not.
    let id = "/subscriptions/s/resourceGroups/g/providers/x/userAssignedIdentities/i";
    let machine = Auth::Azure {
        options: secrets(&[
            ("metadata-endpoint", &url(&entra)),
            ("managed-identity", "true"),
            ("client-id", id),
        ]),
    };
    ask(&registry, machine, &[("AZURE_CLIENT_SECRET", "wrong")]).unwrap();
    let asked = entra.requests().into_iter().last().unwrap().target;
    assert!(asked.contains("msi_res_id=%2Fsubscriptions%2Fs"), "{asked}");
}

#[test]
fn what_is_wrong_is_said_without_the_secret() {
    let keys = SigningKeys::new();
    let (entra, registry) = (entra(&keys), acr());
    let error = ask(
        &registry,
        auth(&entra, &[("client-secret", "other-s3cret")]),
        &[],
    )
    .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(error.is_unauthorized());
    assert!(
        text.contains("log in to Azure") && text.contains("wrong secret"),
        "{text}"
    );
    assert!(!text.contains("other-s3cret"), "{text}");
    let certificate = fs::read_to_string(keys.path("client.crt")).unwrap();
    for (given, said) in [
        (certificate.as_str(), "no PEM private key"),
        ("-----BEGIN PRIVATE KEY-----", "no PEM certificate"),
        ("/nowhere.pem", "neither the document"),
    ] {
        let error = ask(&registry, auth(&entra, &[("certificate", given)]), &[]).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    let lone = Auth::Azure {
        options: secrets(&[("client-secret", "x"), ("authority-host", &url(&entra))]),
    };
    let error = ask(&registry, lone, &[]).unwrap_err().to_string();
    assert!(error.contains("`tenant` and `client-id`"), "{error}");
}

/// What `az acr login` leaves in docker's file: the refresh token of user 0000….
#[test]
fn the_refresh_token_that_az_leaves_in_dockers_file_is_spent() {
    let registry = acr();
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".docker")).unwrap();
    let user = STANDARD.encode("00000000-0000-0000-0000-000000000000:");
    fs::write(
        home.path().join(".docker/config.json"),
        format!(
            r#"{{"auths":{{"{}":{{"auth":"{user}","identitytoken":"refresh"}}}}}}"#,
            registry.host()
        ),
    )
    .unwrap();
    ask(
        &registry,
        Auth::DockerConfig,
        &[("HOME", home.path().to_str().unwrap())],
    )
    .unwrap();
}
