//! Programs that are there besides the registry, and what only a real registry has:
//! passwords of htpasswd, TLS with certificates by openssl, tokens that are signed.

use std::process::Command;

use super::testing::{
    Authority, Registry, Shelf, client, client_with, job, options, random_bytes, start_registry,
};
use super::tokens::{LONG, guarded};
use super::{
    Auth, Checked, Client, ClientOptions, Failure, HostSettings, OperationContext, Secret,
};
use imgmake_oci::image::Reference;

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn skopeo_reads_what_we_pushed_and_we_read_what_skopeo_pushed() {
    let registry = start_registry();
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(3, 500_000)]);
    let name = format!("{}/app", registry.host());
    client()
        .push(
            &job(&format!("{name}:ours"), &image),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let copied = Command::new("skopeo")
        .args([
            "copy",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            "--preserve-digests",
        ])
        .args([
            format!("docker://{name}:ours"),
            format!("docker://{name}2:theirs"),
        ])
        .output()
        .unwrap();
    assert!(
        copied.status.success(),
        "{}",
        String::from_utf8_lossy(&copied.stderr)
    );
    let found = client()
        .head(&reference(&format!("{name}2:theirs")))
        .unwrap()
        .unwrap();
    assert_eq!((found.digest, found.size), (image.digest, image.size));
}

fn basic(prefix: &str, password: &str) -> HostSettings {
    HostSettings {
        prefix: prefix.to_string(),
        auth: Auth::Basic {
            user: "alice".into(),
            password: Secret(password.into()),
            source: "the test".into(),
        },
        ..HostSettings::default()
    }
}

#[test]
fn a_password_opens_a_registry_and_a_wrong_one_says_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let passwords = Command::new("htpasswd")
        .args(["-Bbn", "alice", "s3cret"])
        .output()
        .unwrap();
    std::fs::write(dir.path().join("htpasswd"), passwords.stdout).unwrap();
    let registry = Registry::with(
        "",
        &format!(
            "auth:\n  htpasswd:\n    realm: here\n    path: {}\n",
            dir.path().join("htpasswd").display()
        ),
    );
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(17, 300_000)]);
    let name = format!("{}/app:1", registry.host());
    let push = |client: &super::Client| {
        client.push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
    };

    let error = push(&client()).unwrap_err();
    assert!(error.is_unauthorized());
    assert!(
        error.to_string().contains("imgmake login 127.0.0.1"),
        "{error}"
    );
    let error = push(&client_with(basic(&registry.host(), "wrong"))).unwrap_err();
    assert!(error.is_unauthorized());
    assert!(
        error.to_string().contains("credential: the test") && !error.to_string().contains("wrong"),
        "{error}"
    );
    let client = client_with(basic(&registry.host(), "s3cret"));
    push(&client).unwrap();
    assert!(client.head(&reference(&name)).unwrap().is_some());
}

#[test]
fn tls_needs_the_authority_and_may_need_a_client_certificate() {
    let authority = Authority::new();
    let path = |name: &str| authority.path(name);
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n    clientcas:\n      - {}\n",
        path("server.crt").display(),
        path("server.key").display(),
        path("ca.crt").display()
    );
    let registry = Registry::with(&tls, "");
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(18, 300_000)]);
    let push = |host: HostSettings| {
        let name = format!("{}/app:1", registry.host());
        client_with(HostSettings {
            prefix: registry.host(),
            ..host
        })
        .push(
            &job(&name, &image),
            &here.store,
            &OperationContext::background(),
        )
    };
    let unknown = push(HostSettings::default()).unwrap_err();
    assert_eq!(unknown.failure(), Failure::Tls, "{unknown}");
    assert!(
        unknown
            .to_string()
            .contains("has an unknown issuer (`test authority`)"),
        "{unknown}"
    );
    let nobody = push(HostSettings {
        ca: Some(path("ca.crt")),
        ..HostSettings::default()
    });
    assert!(nobody.is_err());
    let own = HostSettings {
        ca: Some(path("ca.crt")),
        client_certificate: Some((path("client.crt"), path("client.key"))),
        ..HostSettings::default()
    };
    push(own.clone()).unwrap();
    push(HostSettings {
        ca: None,
        skip_tls_verify: true,
        ..own.clone()
    })
    .unwrap();
    let mixed = push(HostSettings {
        client_certificate: Some((path("client.crt"), path("server.key"))),
        ..own
    })
    .unwrap_err();
    assert!(
        mixed
            .to_string()
            .contains("the key belongs to another certificate"),
        "{mixed}"
    );
}

#[test]
fn a_self_signed_certificate_of_openssl_is_trusted_when_it_is_given() {
    let authority = Authority::new();
    authority.sign_itself();
    let own = authority.path("own.crt");
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        own.display(),
        authority.path("server.key").display()
    );
    let registry = Registry::with(&tls, "");
    let head = |ca: &std::path::Path| {
        let host = HostSettings {
            prefix: registry.host(),
            ca: Some(ca.to_path_buf()),
            ..HostSettings::default()
        };
        client_with(host).head(&reference(&format!("{}/app:1", registry.host())))
    };
    assert!(head(&own).unwrap().is_none());
    let error = head(&authority.path("ca.crt")).unwrap_err();
    assert!(
        error.to_string().contains("is self-signed (`own`)"),
        "{error}"
    );
}

#[test]
fn certificates_are_found_in_certs_d() {
    let authority = Authority::new();
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        authority.path("server.crt").display(),
        authority.path("server.key").display()
    );
    let registry = Registry::with(&tls, "");
    let home = tempfile::tempdir().unwrap();
    let certs = home
        .path()
        .join(".config/containers/certs.d")
        .join(registry.host());
    std::fs::create_dir_all(&certs).unwrap();
    std::fs::copy(authority.path("ca.crt"), certs.join("own.crt")).unwrap();
    let mut options = super::testing::options();
    options
        .environment
        .insert("HOME".into(), home.path().display().to_string());
    let client = super::Client::new(options).unwrap();
    assert!(
        client
            .head(&reference(&format!("{}/app:1", registry.host())))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_login_is_checked_by_the_token_server_of_a_real_registry() {
    let guarded = guarded(LONG);
    let home = tempfile::tempdir().unwrap();
    let client = Client::new(ClientOptions {
        docker_config: Some(home.path().join("config.json")),
        ..options()
    })
    .unwrap();
    let login = |password: &str| {
        let host = guarded.registry.host();
        client.login(&host, "u", &Secret(password.into()))
    };
    let error = login("wrong-word").unwrap_err();
    assert!(
        error.is_unauthorized() && !error.to_string().contains("wrong-word"),
        "{error}"
    );
    assert!(!home.path().join("config.json").exists());
    assert_eq!(login("p").unwrap().checked, Checked::Yes);
    assert!(home.path().join("config.json").exists());
}
