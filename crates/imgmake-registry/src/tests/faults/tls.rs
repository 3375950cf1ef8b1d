//! Whom a connection trusts, and what is said of those whom it does not.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use crate::connection::SettingNames;
use crate::testing::{ClientCertificates, SigningKeys, TlsRegistry, options};
use crate::{Client, ClientOptions, Failure, HostSettings, RegistryError};

fn presenting(certificate: &str) -> TlsRegistry {
    TlsRegistry::new(certificate, ClientCertificates::NotWanted)
}

/// Asks for a manifest that is not there.
fn ask(host: &str, ca: Option<&Path>, options: ClientOptions) -> Result<(), RegistryError> {
    let settings = HostSettings {
        prefix: host.to_string(),
        ca: ca.map(Path::to_path_buf),
        ..HostSettings::default()
    };
    let client = Client::new(ClientOptions {
        hosts: vec![settings],
        ..options
    });
    let reference = format!("{host}/app:1").parse().unwrap();
    let found = client.unwrap().head(&reference)?;
    assert!(found.is_none());
    Ok(())
}

fn refused(host: &str, ca: Option<&Path>) -> String {
    let error = ask(host, ca, options()).unwrap_err();
    assert_eq!(error.failure(), Failure::Tls, "{error}");
    error.to_string().replace(host, "HOST")
}

#[test]
fn a_certificate_that_is_given_is_trusted_by_every_way_of_giving_it() {
    let keys = SigningKeys::new();
    // The last is signed by another, which nobody gives.
    for name in ["self-signed.crt", "signed.crt"] {
        let registry = presenting(name);
        let path = keys.path(name);
        ask(&registry.host(), Some(&path), options()).unwrap_or_else(|e| panic!("{name}: {e}"));

        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join(".config/containers/certs.d");
        let directory = directory.join(registry.host());
        fs::create_dir_all(&directory).unwrap();
        fs::copy(&path, directory.join("own.crt")).unwrap();
        for (variable, value) in [("HOME", home.path()), ("SSL_CERT_FILE", path.as_path())] {
            let mut options = options();
            let value = value.display().to_string();
            options.environment.insert(variable.to_string(), value);
            ask(&registry.host(), None, options)
                .unwrap_or_else(|e| panic!("{name} by {variable}: {e}"));
        }
    }
    let signed = presenting("signed.crt");
    ask(&signed.host(), Some(&keys.path("ca.crt")), options()).unwrap();
}

#[test]
fn a_certificate_that_is_given_still_needs_the_name_and_the_time() {
    let keys = SigningKeys::new();
    let path = |name: &str| keys.path(name);
    let expired = presenting("expired.crt");
    assert_eq!(
        refused(&expired.host(), Some(&path("expired.crt"))),
        "HOST: cannot reach the registry: the certificate of `127.0.0.1` expired on 2021-01-01T00:00:00Z; \
         its operator has to renew it, unless the clock of this machine is wrong"
    );
    let later = presenting("not-yet.crt");
    assert_eq!(
        refused(&later.host(), Some(&path("not-yet.crt"))),
        "HOST: cannot reach the registry: the certificate of `127.0.0.1` is not valid before 2090-01-01T00:00:00Z; \
         the clock of this machine, or of who signed it, is wrong"
    );
    let other = presenting("other-names.crt");
    assert_eq!(
        refused(&other.host(), Some(&path("other-names.crt"))),
        "HOST: cannot reach the registry: the certificate of `127.0.0.1` is for other names: \
         `registry.example`, `mirror.example`; use a name that the certificate has, or declare the registry \
         `skip-tls-verify`"
    );
}

#[test]
fn another_certificate_of_the_same_key_and_name_is_not_the_one_that_was_given() {
    let keys = SigningKeys::new();
    let registry = presenting("self-signed.crt");
    let text = refused(&registry.host(), Some(&keys.path("signed.crt")));
    assert!(
        text.contains("is self-signed (`registry.example`)"),
        "{text}"
    );
}

#[test]
fn what_is_not_trusted_is_named_with_what_to_do() {
    let keys = SigningKeys::new();
    let ca = keys.path("ca.crt");
    let no_bundle = keys.path("pkcs1.key");
    assert_eq!(
        refused(&presenting("self-signed.crt").host(), Some(&ca)),
        "HOST: cannot reach the registry: the certificate of `127.0.0.1` is self-signed (`registry.example`) \
         and not trusted here; give this certificate with `ca`, or declare the registry `skip-tls-verify`"
    );
    let mine = keys.path("self-signed.crt");
    assert_eq!(
        refused(&presenting("signed.crt").host(), Some(&mine)),
        "HOST: cannot reach the registry: the certificate of `127.0.0.1` has an unknown issuer \
         (`test authority`); give the issuer's certificate with `ca`, or declare the registry `skip-tls-verify`"
    );
    let strict = TlsRegistry::new("signed.crt", ClientCertificates::Wanted);
    assert_eq!(
        refused(&strict.host(), Some(&ca)),
        "HOST: cannot reach the registry: `127.0.0.1` requires a client certificate that it trusts; \
         give one with `client-cert`"
    );
    let error = ask(&strict.host(), Some(&no_bundle), options()).unwrap_err();
    assert_eq!(error.failure(), Failure::Configuration);
    assert!(
        error.to_string().contains("no PEM certificate found in"),
        "{error}"
    );
}

#[test]
fn advice_names_the_settings_that_its_reader_has() {
    let keys = SigningKeys::new();
    let ca = keys.path("ca.crt");
    let registry = presenting("self-signed.crt");
    for (names, says) in [
        (
            SettingNames::KANIKO,
            ["--registry-certificate=", "--skip-tls-verify-registry="],
        ),
        (
            SettingNames::KANIKO_PLUGIN,
            [
                "PLUGIN_REGISTRY_CERTIFICATE=",
                "PLUGIN_SKIP_TLS_VERIFY_REGISTRY=true",
            ],
        ),
        (
            SettingNames::DOCKER_PLUGIN,
            ["/etc/docker/certs.d/", "SSL_CERT_FILE"],
        ),
    ] {
        let options = ClientOptions { names, ..options() };
        let text = ask(&registry.host(), Some(&ca), options)
            .unwrap_err()
            .to_string();
        assert!(says.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("`ca`"), "{text}");
    }
}

#[test]
fn whoever_answers_is_trusted_where_nothing_is_verified() {
    for name in ["self-signed.crt", "expired.crt", "other-names.crt"] {
        let registry = presenting(name);
        let settings = HostSettings {
            prefix: registry.host(),
            skip_tls_verify: true,
            ..HostSettings::default()
        };
        let client = crate::testing::client_with(settings);
        let reference = format!("{}/app:1", registry.host()).parse().unwrap();
        assert!(client.head(&reference).unwrap().is_none(), "{name}");
    }
}

#[test]
fn plain_http_in_the_place_of_tls_is_called_that() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("0.0.0.0:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    assert_eq!(
        refused(&host, None),
        "HOST/app: cannot look for the manifest `1`: `0.0.0.0` does not use TLS; \
         declare the registry `insecure` if it uses plain HTTP"
    );
}
