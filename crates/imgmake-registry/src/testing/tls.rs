//! A registry that speaks TLS and holds nothing, with the certificates of `tests/data/keys`.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::SigningKeys;

/// Whether clients have to present a certificate of `ca.crt`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    Wanted,
    NotWanted,
}

pub struct TlsRegistry {
    port: u16,
}

impl TlsRegistry {
    /// Presents the certificate, whose key is `server.key`. It ends with the test's process.
    pub fn new(certificate: &str, clients: ClientCertificates) -> TlsRegistry {
        let keys = SigningKeys::new();
        let read = |name: &str| CertificateDer::from_pem_file(keys.path(name)).unwrap();
        let key = PrivateKeyDer::from_pem_file(keys.path("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            ClientCertificates::NotWanted => builder.with_no_client_auth(),
            ClientCertificates::Wanted => {
                let mut roots = RootCertStore::empty();
                roots.add(read("ca.crt")).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = builder
            .with_single_cert(vec![read(certificate)], key)
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || drop(serve(stream, config)));
            }
        });
        TlsRegistry { port }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// `/v2/` is there, everything else is not; one request per connection.
fn serve(stream: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    let status = match request.split(' ').nth(1) {
        Some("/v2/") => "200 OK",
        _ => "404 Not Found",
    };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
    let stream = stream.get_mut();
    stream.write_all(answer.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}
