//! A real `docker-registry` on loopback, certificates and tokens, besides what all tests
//! of the client are made with.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[path = "../../src/testing/ground.rs"]
mod ground;

pub use ground::*;

/// A `docker-registry` process with its own data, stopped when dropped.
pub struct Registry {
    child: Child,
    port: u16,
    /// Removed with the registry.
    _dir: tempfile::TempDir,
}

impl Registry {
    /// `http` continues the `http:` section, `rest` stands at the top level.
    pub fn with(http: &str, rest: &str) -> Registry {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n{http}{rest}",
            dir.path().join("data").display()
        );
        let file = dir.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let registry = Registry {
            child,
            port,
            _dir: dir,
        };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the registry does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        registry
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn start_registry() -> Registry {
    Registry::with("", "")
}

/// One whose `Location` has no host.
pub fn start_relative_registry() -> Registry {
    Registry::with("  relativeurls: true\n", "")
}

/// A certificate authority, a server certificate for 127.0.0.1, a client
/// certificate, all made by openssl.
pub struct Authority {
    pub dir: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let dir = tempfile::tempdir().unwrap();
        let here = |args: &[&str]| openssl(dir.path(), args);
        here(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ]);
        fs::write(
            dir.path().join("san.cnf"),
            "subjectAltName=IP:127.0.0.1,DNS:localhost\n",
        )
        .unwrap();
        for name in ["server", "client"] {
            let request = format!("{name}.csr");
            let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
            here(&[
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                &format!("/CN={name}"),
                "-keyout",
                &key,
                "-out",
                &request,
            ]);
            here(&[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                &request,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-extfile",
                "san.cnf",
                "-out",
                &certificate,
            ]);
        }
        Authority { dir }
    }

    /// `expired.crt`: a certificate for the server's key that ended yesterday.
    pub fn expire(&self) {
        openssl(
            self.dir.path(),
            &[
                "x509",
                "-req",
                "-days",
                "-1",
                "-in",
                "server.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-extfile",
                "san.cnf",
                "-out",
                "expired.crt",
            ],
        );
    }

    /// `own.crt`: what the registry's documentation makes for `server.key`, an authority that is
    /// its own server.
    pub fn sign_itself(&self) {
        let names = "subjectAltName=IP:127.0.0.1";
        let arguments = [
            "req",
            "-x509",
            "-key",
            "server.key",
            "-days",
            "2",
            "-subj",
            "/CN=own",
            "-addext",
            names,
            "-out",
            "own.crt",
        ];
        openssl(self.dir.path(), &arguments);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl")
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// distribution takes tokens this long after their end.
const LEEWAY: u64 = 60;

/// Signs what distribution takes as a token: RS256 with the certificate in `x5c`.
pub fn signed_token(
    authority: &Authority,
    issuer: &str,
    service: &str,
    scopes: &[(&str, &[&str])],
    lifetime: u64,
) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let pem = fs::read(authority.path("ca.crt")).unwrap();
    let certificate = ureq::tls::Certificate::from_pem(&pem).unwrap();
    let key = fs::read(authority.path("ca.key")).unwrap();
    let key = ureq::tls::PrivateKey::from_pem(&key).unwrap();
    let pair = ring::signature::RsaKeyPair::from_pkcs8(key.der()).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    static SERIAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::SeqCst);
    let access: Vec<serde_json::Value> = scopes
        .iter()
        .map(|(name, actions)| serde_json::json!({"type": "repository", "name": name, "actions": actions}))
        .collect();
    let header = serde_json::json!({"typ": "JWT", "alg": "RS256", "x5c": [STANDARD.encode(certificate.der())]});
    let claims = serde_json::json!({
        "iss": issuer, "sub": "user", "aud": service, "exp": now + lifetime - LEEWAY, "nbf": now - 2 * LEEWAY,
        "iat": now, "jti": format!("{now}-{serial}"), "access": access,
    });
    let body = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &ring::signature::RSA_PKCS1_SHA256,
        &ring::rand::SystemRandom::new(),
        body.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}
