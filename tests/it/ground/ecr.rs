//! As much of ECR's API as a login needs, on loopback: keys in, a password for
//! the registry out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;

pub const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI-example-secret";
/// What the registry behind it accepts.
pub const USER: &str = "AWS";
pub const TOKEN: &str = "a-token-for-twelve-hours";

pub struct Ecr {
    pub url: String,
    stopped: Arc<AtomicBool>,
}

impl Ecr {
    pub fn start() -> Ecr {
        Ecr::of("127.0.0.1")
    }

    /// One whose tokens are for the registry at this host.
    pub fn of(registry: &str) -> Ecr {
        let registry = registry.to_string();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stopped = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if asked.load(Ordering::SeqCst) {
                    return;
                }
                let registry = registry.clone();
                std::thread::spawn(move || answer(connection.unwrap(), &registry));
            }
        });
        Ecr { url, stopped }
    }
}

impl Drop for Ecr {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.url.trim_start_matches("http://")));
    }
}

fn answer(connection: TcpStream, registry: &str) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_string();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
        head.push_str(&line);
        head.push('\n');
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let signed = head.contains(&format!("Credential={ACCESS_KEY}/"))
        && ["eu-west-1", "us-east-1"]
            .iter()
            .any(|region| head.contains(&format!("/{region}/ecr/aws4_request")));
    let asks = head.contains("AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken");
    let (status, text) = if signed && asks {
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{TOKEN}"));
        let expires = 4_000_000_000_u64;
        let data = serde_json::json!({"authorizationToken": token, "expiresAt": expires, "proxyEndpoint": format!("http://{registry}")});
        ("200 OK", serde_json::json!({ "authorizationData": [data] }))
    } else {
        let said = serde_json::json!({"__type": "UnrecognizedClientException", "message": "the keys are not known"});
        ("400 Bad Request", said)
    };
    let text = text.to_string();
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .ok()
}
