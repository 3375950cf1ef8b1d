//! A real proxy process between us and a registry: Debian's tinyproxy, which
//! wants a password. The registry is reached as 0.0.0.0, this machine under an
//! address that is not loopback, for loopback is never proxied.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::testing::{
    Authority, Registry, Shelf, client, free_port, job, options, random_bytes, start_registry,
};
use crate::{Client, ClientOptions, HostSettings, OperationContext, RegistryError};

struct Proxy {
    child: Child,
    port: u16,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

impl Proxy {
    fn start() -> Proxy {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let (log, config) = (dir.path().join("log"), dir.path().join("conf"));
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nLogFile \"{}\"\nLogLevel Connect\nBasicAuth ann s3cr3t\n",
            log.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("tinyproxy")
            .args(["-d", "-c"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tinyproxy is installed");
        let until = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the proxy does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Proxy {
            child,
            port,
            log,
            _dir: dir,
        }
    }

    fn url(&self, login: &str) -> String {
        format!("http://{login}@127.0.0.1:{}", self.port)
    }

    /// How many connections it was asked to make.
    fn connections(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.matches("CONNECT 0.0.0.0").count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Pushes a small image to a registry of this machine.
fn push(
    registry: &Registry,
    settings: HostSettings,
    environment: &[(&str, &str)],
) -> Result<(), RegistryError> {
    let host = format!("0.0.0.0:{}", registry.port());
    let client = Client::new(ClientOptions {
        hosts: vec![HostSettings {
            prefix: host.clone(),
            ..settings
        }],
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_string(), (*value).to_string()))
            .collect(),
        attempts: 2,
        ..options()
    })?;
    let here = Shelf::new();
    let image = here.image("linux/amd64", &[random_bytes(800, 3_000_000)]);
    client
        .push(
            &job(&format!("{host}/app:1"), &image),
            &here.store,
            &OperationContext::background(),
        )
        .map(drop)
}

fn plain() -> HostSettings {
    HostSettings {
        insecure: true,
        ..HostSettings::default()
    }
}

#[test]
fn a_plain_and_a_tls_registry_are_reached_through_a_proxy_with_a_password() {
    let proxy = Proxy::start();
    let url = proxy.url("ann:s3cr3t");
    let registry = start_registry();
    push(
        &registry,
        plain(),
        &[("HTTP_PROXY", &url), ("HTTPS_PROXY", &url)],
    )
    .unwrap();
    assert!(proxy.connections() > 0);
    let there = format!("{}/app:1", registry.host()).parse().unwrap();
    assert!(client().head(&there).unwrap().is_some());

    let authority = Authority::new();
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        authority.path("server.crt").display(),
        authority.path("server.key").display()
    );
    let registry = Registry::with(&tls, "");
    let before = proxy.connections();
    let skip = HostSettings {
        skip_tls_verify: true,
        ..HostSettings::default()
    };
    push(&registry, skip, &[("https_proxy", &url)]).unwrap();
    assert!(proxy.connections() > before);
}

#[test]
fn no_proxy_is_heeded_by_network_port_and_name() {
    let proxy = Proxy::start();
    let url = proxy.url("ann:s3cr3t");
    let registry = start_registry();
    let with_port = format!("example.com,0.0.0.0:{}", registry.port());
    for exempt in ["0.0.0.0/8", "0.0.0.0", with_port.as_str(), "*"] {
        let all = [("ALL_PROXY", url.as_str()), ("NO_PROXY", exempt)];
        push(&registry, plain(), &all).unwrap();
        assert_eq!(proxy.connections(), 0, "{exempt}");
    }
    for other in ["10.0.0.0/8", "0.0.0.0:1", ".0.0.0.0"] {
        let before = proxy.connections();
        let all = [("ALL_PROXY", url.as_str()), ("NO_PROXY", other)];
        push(&registry, plain(), &all).unwrap();
        assert!(proxy.connections() > before, "{other}");
    }
}

#[test]
fn what_a_proxy_refuses_names_the_proxy_and_not_its_password() {
    let proxy = Proxy::start();
    let registry = start_registry();
    let url = proxy.url("ann:wr0ng");
    let text = push(&registry, plain(), &[("ALL_PROXY", &url)])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("the proxy refused: 407") || text.contains("the proxy refused: 401"),
        "{text}"
    );
    assert!(
        text.contains(&format!("proxy 127.0.0.1:{}", proxy.port)),
        "{text}"
    );
    assert!(!text.contains("wr0ng") && !text.contains("ann:"), "{text}");

    let nobody = format!("http://ann:s3cr3t@127.0.0.1:{}", free_port());
    let text = push(&registry, plain(), &[("ALL_PROXY", &nobody)])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("nothing listens there") && text.contains("through the proxy 127.0.0.1:"),
        "{text}"
    );
    assert!(!text.contains("s3cr3t"), "{text}");

    let socks = "socks5://127.0.0.1:1080";
    let text = push(&registry, plain(), &[("ALL_PROXY", socks)])
        .unwrap_err()
        .to_string();
    assert!(text.contains("SOCKS"), "{text}");
}
