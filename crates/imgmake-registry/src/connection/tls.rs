//! TLS on an open connection. A server is trusted when its chain leads to a trusted certificate, or
//! when its own certificate is one of them, byte for byte; its name and its time count either way.
//!
//! Knows rustls and ureq's TLS settings; knows no HTTP. What failed is a [`TlsFailure`].

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct,
    InvalidMessage, OtherError, RootCertStore, SignatureScheme, StreamOwned,
};
use ureq::Error;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use super::certificate::Summary;
use super::failure::TlsFailure;
use super::trust;

/// Speaks TLS where the address wants it.
#[derive(Default)]
pub(super) struct Tls {
    /// Of the agent, made for its first connection: reading a bundle takes milliseconds.
    config: OnceLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Encrypted>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let failed = |error| broken(host, error);
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| Error::Tls("the host is neither a DNS name nor an address"))?;
        let config = self.config(details.config.tls_config()).map_err(failed)?;
        let mut connection =
            ClientConnection::new(config, name).map_err(|e| failed(io::Error::other(e)))?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(left(details));
        connection.complete_io(&mut socket).map_err(failed)?;
        let sizes = details.config;
        Ok(Some(Either::B(Encrypted {
            host: host.to_string(),
            buffers: LazyBuffers::new(sizes.input_buffer_size(), sizes.output_buffer_size()),
            stream: StreamOwned::new(connection, socket),
        })))
    }
}

/// What is left of the time to connect.
fn left(details: &ConnectionDetails) -> NextTimeout {
    let mut timeout = details.timeout;
    if let (Duration::Exact(limit), Instant::Exact(began), Instant::Exact(now)) =
        (timeout.after, details.now, (details.current_time)())
    {
        timeout.after = Duration::Exact(limit.saturating_sub(now.saturating_duration_since(began)));
    }
    timeout
}

impl Tls {
    fn config(&self, settings: &TlsConfig) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(client_config(settings)?);
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }
}

fn client_config(settings: &TlsConfig) -> io::Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier = match settings.disable_verification() {
        true => Verifier::of_nothing(&provider),
        false => Verifier::new(&roots(settings)?, &provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(own) = settings.client_cert() else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = own.certs().iter().map(owned).collect();
    let key = PrivateKeyDer::try_from(own.private_key().der())
        .map_err(io::Error::other)?
        .clone_key();
    builder
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)
}

fn roots(settings: &TlsConfig) -> io::Result<Vec<CertificateDer<'static>>> {
    Ok(match settings.root_certs() {
        RootCerts::Specific(certificates) => certificates.iter().map(owned).collect(),
        _ => {
            let certificates = trust::system(&BTreeMap::new()).map_err(io::Error::other)?;
            certificates.iter().map(owned).collect()
        }
    })
}

fn owned(certificate: &Certificate<'_>) -> CertificateDer<'static> {
    CertificateDer::from(certificate.der()).into_owned()
}

/// Who is trusted.
#[derive(Debug)]
struct Verifier {
    trusted: Vec<CertificateDer<'static>>,
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Trust {
    /// Chains that lead to a trusted certificate; none where there is no such certificate.
    Chains(Option<Arc<WebPkiServerVerifier>>),
    /// Whoever answers.
    Anybody,
}

impl Verifier {
    fn of_nothing(provider: &Arc<CryptoProvider>) -> Verifier {
        Verifier {
            trusted: Vec::new(),
            trust: Trust::Anybody,
            provider: Arc::clone(provider),
        }
    }

    fn new(trusted: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Verifier {
        let mut roots = RootCertStore::empty();
        // What cannot be parsed signs nothing.
        roots.add_parsable_certificates(trusted.iter().cloned());
        let provider = Arc::clone(provider);
        let chains =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        Verifier {
            trusted: trusted.to_vec(),
            trust: Trust::Chains(chains.build().ok()),
            provider,
        }
    }

    fn verify(
        &self,
        chains: Option<&Arc<WebPkiServerVerifier>>,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), TlsFailure> {
        let host = server.to_str().to_string();
        if self.trusted.iter().any(|trusted| trusted == leaf) {
            return pinned(leaf, server, now);
        }
        let Some(chains) = chains else {
            return Err(TlsFailure::NothingTrusted { host });
        };
        match chains.verify_server_cert(leaf, intermediates, server, &[], now) {
            Ok(_) => Ok(()),
            Err(error) => Err(refused(host, Summary::of(leaf), error)),
        }
    }
}

/// A certificate that is trusted itself: only its name and its time are left to check.
fn pinned(
    leaf: &CertificateDer<'_>,
    server: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), TlsFailure> {
    let host = server.to_str().to_string();
    let summary = Summary::of(leaf);
    let parsed = ParsedCertificate::try_from(leaf)
        .and_then(|parsed| rustls::client::verify_server_name(&parsed, server));
    if let Err(error) = parsed {
        return Err(refused(host, summary, error));
    }
    let Some(summary) = summary else {
        return Err(unusable(host, &CertificateError::BadEncoding));
    };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > summary.not_after.as_second() {
        let since = summary.not_after;
        return Err(TlsFailure::Expired { host, since });
    }
    if now < summary.not_before.as_second() {
        let from = summary.not_before;
        return Err(TlsFailure::NotYetValid { host, from });
    }
    Ok(())
}

/// What rustls says of a certificate.
fn refused(host: String, summary: Option<Summary>, error: rustls::Error) -> TlsFailure {
    let rustls::Error::InvalidCertificate(reason) = error else {
        let detail = error.to_string();
        return TlsFailure::Handshake { host, detail };
    };
    match (reason, summary) {
        (
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
            Some(Summary {
                not_after: since, ..
            }),
        ) => TlsFailure::Expired { host, since },
        (
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            Some(Summary {
                not_before: from, ..
            }),
        ) => TlsFailure::NotYetValid { host, from },
        (CertificateError::NotValidForNameContext { presented, .. }, _) => TlsFailure::WrongName {
            host,
            names: presented.iter().map(|name| bare_name(name)).collect(),
        },
        // One that signed itself is refused as an unknown issuer or as an authority in the
        // place of a server, whichever is looked at first.
        (
            CertificateError::UnknownIssuer | CertificateError::Other(_),
            Some(Summary {
                is_self_signed: true,
                subject,
                ..
            }),
        ) => TlsFailure::SelfSigned { host, subject },
        (CertificateError::UnknownIssuer, Some(Summary { issuer, .. })) => {
            TlsFailure::UnknownIssuer { host, issuer }
        }
        (reason, _) => unusable(host, &reason),
    }
}

/// webpki's names of a certificate: `DnsName("a.io")`, `IpAddress(127.0.0.1)`.
fn bare_name(presented: &str) -> String {
    let inner = presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"').to_string()
}

fn unusable(host: String, reason: &CertificateError) -> TlsFailure {
    let reason = match reason {
        CertificateError::BadEncoding => "it is not correctly encoded",
        CertificateError::BadSignature => "its signature is wrong",
        CertificateError::Revoked => "it is revoked",
        CertificateError::UnhandledCriticalExtension => {
            "it has a critical extension that is unknown"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its signature has an algorithm that is not supported"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for servers"
        }
        CertificateError::NotValidForName => "it has no subjectAltName",
        // An authority's certificate in the place of a server's, version 1, a constraint of names.
        _ => "it is not a server's certificate of version 3 within the limits of its issuer",
    };
    TlsFailure::Unusable {
        host,
        reason: reason.to_string(),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Trust::Chains(chains) = &self.trust {
            self.verify(chains.as_ref(), leaf, intermediates, server, now)
                .map_err(|failure| CertificateError::Other(OtherError(Arc::new(failure))))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.trust {
            Trust::Anybody => Ok(HandshakeSignatureValid::assertion()),
            Trust::Chains(_) => {
                let algorithms = &self.provider.signature_verification_algorithms;
                verify_tls12_signature(message, leaf, signature, algorithms)
            }
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.trust {
            Trust::Anybody => Ok(HandshakeSignatureValid::assertion()),
            Trust::Chains(_) => {
                let algorithms = &self.provider.signature_verification_algorithms;
                verify_tls13_signature(message, leaf, signature, algorithms)
            }
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme as S;
        let mut schemes = self
            .provider
            .signature_verification_algorithms
            .supported_schemes();
        if matches!(self.trust, Trust::Anybody) {
            // Their signatures are not looked at.
            schemes.extend([S::RSA_PKCS1_SHA1, S::ECDSA_NISTP521_SHA512, S::ED448]);
        }
        schemes
    }
}

/// A connection with TLS on it.
pub(super) struct Encrypted {
    host: String,
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypted({:?})", self.stream.sock.get_ref())
    }
}

impl Transport for Encrypted {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        let written = self.stream.write_all(output);
        written.map_err(|error| broken(&self.host, error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let read = self.stream.read(self.buffers.input_append_buf());
        let count = read.map_err(|error| broken(&self.host, error))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// The error of a stream, with what TLS says in it as a fact.
fn broken(host: &str, error: io::Error) -> Error {
    let found = error.get_ref().and_then(|inner| {
        let inner = inner.downcast_ref::<rustls::Error>()?;
        Some(failure(host.to_string(), inner))
    });
    match found {
        Some(failure) => io::Error::new(io::ErrorKind::InvalidData, failure).into(),
        None => error.into(),
    }
}

fn failure(host: String, error: &rustls::Error) -> TlsFailure {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            match inner.downcast_ref::<TlsFailure>() {
                Some(failure) => failure.clone(),
                None => unusable(host, &CertificateError::ApplicationVerificationFailure),
            }
        }
        rustls::Error::InvalidCertificate(reason) => unusable(host, reason),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            TlsFailure::NotTls { host }
        }
        // Go says "bad certificate" both without one and to one that it does not know.
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate,
        ) => TlsFailure::ClientCertificate { host },
        rustls::Error::AlertReceived(alert) => TlsFailure::Alert {
            host,
            alert: alert
                .as_str()
                .map_or_else(|| format!("number {}", u8::from(*alert)), words),
        },
        other => TlsFailure::Handshake {
            host,
            detail: other.to_string(),
        },
    }
}

/// `HandshakeFailure` is "handshake failure".
fn words(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}
