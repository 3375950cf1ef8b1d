//! Test ground: a real `docker-registry` on loopback, a server between us and it
//! that breaks things on purpose, small images, certificates and tokens.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use imgmake_oci::image::{
    Descriptor, ImageConfig, ImageIndex, ImageManifest, ManifestFormat, Platform, media_type,
    to_json,
};
use imgmake_oci::store::Store;

use super::{Client, ClientOptions, HostSettings, PushJob, PushPhase};

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A `docker-registry` process with its own data, stopped when dropped.
pub struct Registry {
    child: Child,
    pub port: u16,
    /// Removed with the registry.
    _dir: tempfile::TempDir,
}

impl Registry {
    pub fn start() -> Registry {
        Registry::with("", "")
    }

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

/// A request as it arrived, before its body.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// How many requests with this method and target came before.
    pub earlier: usize,
    /// The host that was asked for, when this server played a proxy.
    pub through: Option<String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

pub type Reply = (u16, Vec<(String, String)>, Vec<u8>);

/// What the server between does with a request.
pub enum Act {
    Forward,
    /// Forwards, and closes after so many bytes of the answer's body.
    ForwardCut(usize),
    /// Hands so many bytes of the body on, then closes both sides.
    Swallow(usize),
    Answer(Reply),
    /// Reads the whole body (or so many bytes of it), then answers; `None` closes.
    Read(usize, Box<dyn FnOnce(Vec<u8>) -> Option<Reply>>),
    /// Says nothing until the peer goes away.
    Stall,
    /// Sends these bytes as they are, one by one with a pause where there is one, and closes.
    Raw(Vec<u8>, Duration),
    /// Sends these bytes as they are, then says nothing.
    RawStall(Vec<u8>),
    /// Hands everything on, and closes instead of answering.
    Lose,
    /// Reads nothing of the body until the peer goes away.
    Unread,
    /// Never says that a body is wanted, takes it all the same, then answers.
    ReadUnasked(Reply),
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Reply {
    let headers = headers
        .iter()
        .map(|(n, v)| ((*n).to_string(), (*v).to_string()))
        .collect();
    (status, headers, body.into())
}

pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Act {
    Act::Answer(reply(status, headers, body))
}

/// A plain HTTP server, one thread per connection, one request per connection.
pub struct Between {
    pub port: u16,
    log: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Between {
    pub fn new(
        upstream: Option<u16>,
        rule: impl Fn(&Seen) -> Act + Send + Sync + 'static,
    ) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::<Seen>::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stopped, rule) = (Arc::clone(&log), Arc::clone(&stop), Arc::new(rule));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (told, rule) = (Arc::clone(&told), Arc::clone(&rule));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(stream, upstream, &told, &*rule));
            }
        });
        Between { port, log, stop }
    }

    /// Forwards everything and remembers it.
    pub fn watching(upstream: &Registry) -> Between {
        Between::new(Some(upstream.port), |_| Act::Forward)
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    /// `METHOD target` of what came, without the probe of `/v2/`.
    pub fn lines(&self) -> Vec<String> {
        self.seen()
            .iter()
            .map(Seen::line)
            .filter(|l| l != "GET /v2/")
            .collect()
    }

    pub fn forget(&self) {
        self.log.lock().unwrap().clear();
    }
}

/// A server that plays every host under its own name: the environment that leads
/// there, and settings by which these hosts are spoken to in clear.
pub fn everywhere(
    world: &Between,
    hosts: Vec<HostSettings>,
    environment: &[(&str, &str)],
) -> ClientOptions {
    let mut options = options();
    let proxy = format!("http://{}", world.host());
    options.environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
        .chain(["HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name.to_string(), proxy.clone())))
        .collect();
    options.hosts = hosts
        .into_iter()
        .map(|host| HostSettings {
            insecure: true,
            ..host
        })
        .collect();
    options
}

impl Drop for Between {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn serve(
    stream: TcpStream,
    upstream: Option<u16>,
    log: &Mutex<Vec<Seen>>,
    rule: &(dyn Fn(&Seen) -> Act + Send + Sync),
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some((mut seen, mut length)) = head(&mut reader) else {
        return;
    };
    if seen.method == "CONNECT" {
        // A proxy that is every host there is, in clear: see `everywhere`.
        let (host, port) = seen.target.rsplit_once(':').unwrap();
        let host = host.to_string();
        let status = if port == "443" { "403 No" } else { "200 OK" };
        drop((&stream).write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()));
        let Some(inner) = head(&mut reader) else {
            return;
        };
        (seen, length) = inner;
        seen.through = Some(host);
    }
    {
        let mut log = log.lock().unwrap();
        seen.earlier = log.iter().filter(|s| s.line() == seen.line()).count();
        log.push(seen.clone());
    }
    let mut body = Incoming {
        body: reader.take(length),
        asked: seen.header("Expect").is_some(),
        back: stream.try_clone().unwrap(),
    };
    let wanted = !body.asked;
    match rule(&seen) {
        Act::Forward => forward(&seen, &mut body, length, upstream, stream, usize::MAX),
        Act::ForwardCut(most) => forward(&seen, &mut body, length, upstream, stream, most),
        Act::Swallow(most) => {
            let mut to = open(&seen, length, upstream);
            drop(std::io::copy(&mut body.take(most as u64), &mut to));
        }
        Act::Answer(reply) => {
            // Who asks first is told without sending.
            if wanted {
                drop(std::io::copy(&mut body, &mut std::io::sink()));
            }
            send(stream, &seen, reply);
        }
        Act::Raw(bytes, pause) => {
            drop(std::io::copy(&mut body, &mut std::io::sink()));
            drip(&stream, &bytes, pause);
        }
        Act::RawStall(bytes) => {
            drop(std::io::copy(&mut body, &mut std::io::sink()));
            drip(&stream, &bytes, Duration::ZERO);
            wait_for_the_end(&stream);
        }
        Act::Unread => {
            drop(body.read(&mut [0; 1]));
            while !is_gone(&stream) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Act::ReadUnasked(reply) => {
            body.asked = false;
            drop(std::io::copy(&mut body, &mut std::io::sink()));
            send(stream, &seen, reply);
        }
        Act::Lose => {
            let mut to = open(&seen, length, upstream);
            drop(std::io::copy(&mut body, &mut to));
            drop(to.read(&mut [0; 1]));
        }
        Act::Read(most, then) => {
            let mut bytes = Vec::new();
            drop(body.by_ref().take(most as u64).read_to_end(&mut bytes));
            if let Some(reply) = then(bytes) {
                send(stream, &seen, reply);
            }
        }
        Act::Stall => {
            drop(std::io::copy(&mut body, &mut std::io::sink()));
            wait_for_the_end(&stream);
        }
    }
}

fn drip(mut stream: &TcpStream, bytes: &[u8], pause: Duration) {
    let size = if pause.is_zero() { bytes.len() } else { 1 };
    for part in bytes.chunks(size.max(1)) {
        drop(stream.write_all(part));
        std::thread::sleep(pause);
    }
}

fn wait_for_the_end(mut stream: &TcpStream) {
    drop(stream.read(&mut [0]));
}

/// The peer closed, whatever it sent before.
fn is_gone(stream: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let now = Timespec::default();
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    rustix::event::poll(&mut polled, Some(&now)).unwrap() > 0
}

/// A body; who waits for the word to send it gets that with the first read.
struct Incoming {
    body: std::io::Take<BufReader<TcpStream>>,
    asked: bool,
    back: TcpStream,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if std::mem::take(&mut self.asked) {
            self.back.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        self.body.read(buffer)
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<(Seen, u64)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_string(), value.trim().to_string()));
    }
    let seen = Seen {
        method,
        target,
        headers,
        earlier: 0,
        through: None,
    };
    let length = seen
        .header("Content-Length")
        .map_or(0, |l| l.parse().unwrap());
    Some((seen, length))
}

fn open(seen: &Seen, length: u64, upstream: Option<u16>) -> TcpStream {
    let port = upstream.expect("forwarding needs a registry behind");
    let mut to = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut text = format!(
        "{} {} HTTP/1.1\r\nConnection: close\r\n",
        seen.method, seen.target
    );
    for (name, value) in &seen.headers {
        if !["connection", "content-length", "expect"].contains(&name.to_ascii_lowercase().as_str())
        {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    to.write_all(text.as_bytes()).unwrap();
    to
}

fn forward(
    seen: &Seen,
    body: &mut impl Read,
    length: u64,
    upstream: Option<u16>,
    mut back: TcpStream,
    most: usize,
) {
    let mut to = open(seen, length, upstream);
    drop(std::io::copy(body, &mut to));
    let mut from = BufReader::new(to);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        drop(back.write_all(line.as_bytes()));
        if line == "\r\n" {
            break;
        }
    }
    drop(std::io::copy(&mut from.take(most as u64), &mut back));
}

fn send(mut stream: TcpStream, seen: &Seen, (status, headers, body): Reply) {
    let mut text = format!("HTTP/1.1 {status} Said\r\nConnection: close\r\n");
    if !headers.iter().any(|(n, _)| n == "Content-Length") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    drop(stream.write_all(text.as_bytes()));
    if seen.method != "HEAD" {
        drop(stream.write_all(&body));
    }
}

/// Bytes that no compression or deduplication can hide.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// A store in a directory of its own.
pub struct Shelf {
    pub store: Store,
    _dir: tempfile::TempDir,
}

impl Shelf {
    pub fn new() -> Shelf {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Shelf { store, _dir: dir }
    }

    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        self.store.put_bytes(bytes).unwrap();
        Descriptor::of(media_type, bytes)
    }

    /// An image of layers with these contents.
    pub fn image(&self, platform: &str, layers: &[Vec<u8>]) -> Descriptor {
        let platform: Platform = platform.parse().unwrap();
        let config = ImageConfig::scratch(&platform);
        let config = self.blob(media_type::OCI_CONFIG, &to_json(&config));
        let layers = layers
            .iter()
            .map(|l| self.blob(media_type::OCI_LAYER_GZIP, l))
            .collect();
        let manifest = ImageManifest::new(ManifestFormat::Oci, config, layers);
        let mut descriptor = self.blob(media_type::OCI_MANIFEST, &to_json(&manifest));
        descriptor.platform = Some(platform);
        descriptor
    }

    pub fn index(&self, images: Vec<Descriptor>) -> Descriptor {
        let index = ImageIndex::new(ManifestFormat::Oci, images);
        self.blob(media_type::OCI_INDEX, &to_json(&index))
    }
}

/// Quick retries, nothing from this machine's user.
pub fn options() -> ClientOptions {
    ClientOptions {
        attempts: 4,
        backoff: (Duration::from_millis(1), Duration::from_millis(5)),
        idle_timeout: Duration::from_secs(20),
        ..ClientOptions::default()
    }
}

pub fn client() -> Client {
    Client::new(options()).unwrap()
}

pub fn client_with(host: HostSettings) -> Client {
    Client::new(ClientOptions {
        hosts: vec![host],
        ..options()
    })
    .unwrap()
}

pub fn job(to: &str, root: &Descriptor) -> PushJob {
    let to: imgmake_oci::image::Reference = to.parse().unwrap();
    PushJob {
        tags: to.tag.clone().into_iter().collect(),
        to,
        root: root.clone(),
        sources: Vec::new(),
        phase: PushPhase::All,
    }
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
