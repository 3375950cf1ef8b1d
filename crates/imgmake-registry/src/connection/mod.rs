//! TCP connections that are given up the moment a run is cancelled: looking a name
//! up, reaching a host, waiting for it and sending to it all wake up then, however
//! long their time-outs are. Whoever cancels shuts the sockets down; no thread waits for it.
//!
//! Knows ureq's transport interface; knows no HTTP, no registry and no repository.
//! [`proxy`] says what stands between here and a host, `tls` whom a connection trusts.

mod certificate;
mod failure;
pub mod proxy;
mod tls;
pub mod trust;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    Transport,
};
use ureq::{Error, Timeout};

use imgmake_event::{Cancel, Cancelled, OnCancel};

pub use failure::{SettingNames, TlsFailure};

/// What is wrong with an address, and what to write where its host name is not ASCII.
pub fn url_problem(error: url::ParseError) -> String {
    match error {
        url::ParseError::IdnaError => {
            "invalid international domain name; write the `xn--` form of the host name".to_string()
        }
        other => other.to_string(),
    }
}

/// An agent whose connections end with the cancellation.
pub fn agent(config: Config, cancel: &Cancel) -> ureq::Agent {
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(Tcp(cancel.clone()))
            .chain(tls::Tls::default());
    ureq::Agent::with_parts(config, connector, Names(cancel.clone()))
}

/// A connection to the first address that answers, for what is not HTTP.
///
/// # Errors
/// None answers in time, or the run is cancelled.
pub fn tcp(addresses: &[SocketAddr], patience: Duration, cancel: &Cancel) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match Tcp(cancel.clone()).one(address, Some(patience)) {
            Err(error) if !cancel.is_cancelled() => failed = error.into_io(),
            Ok(socket) => return socket.into_stream(),
            Err(error) => return Err(error.into_io()),
        }
    }
    Err(failed)
}

fn check(cancel: &Cancel) -> Result<(), Error> {
    let ended = |cancelled: Cancelled| Error::Io(io::Error::other(cancelled));
    cancel.check().map_err(ended)
}

/// Looks names up on a thread of its own: the system's resolver cannot be interrupted.
struct Names(Cancel);

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default();
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return DefaultResolver::default().resolve(uri, config, timeout);
        }
        let (sender, answer) = mpsc::channel();
        let (uri, config) = (uri.clone(), config.clone());
        // A sender that only the thread keeps: one that ends without an answer ends the wait.
        let sender = Arc::new(sender);
        let cancelled = Arc::downgrade(&sender);
        let _wakes = self.0.on_cancel(move || {
            if let Some(sender) = cancelled.upgrade() {
                drop(sender.send(None));
            }
        });
        std::thread::spawn(move || {
            // Nobody listens any more after a cancellation.
            drop(sender.send(Some(
                DefaultResolver::default().resolve(&uri, &config, timeout),
            )));
        });
        let answer = answer.recv();
        check(&self.0)?;
        match answer {
            Ok(Some(found)) => found.map_err(not_found),
            // The thread ended without an answer.
            Ok(None) | Err(mpsc::RecvError) => Err(Error::HostNotFound),
        }
    }
}

/// A name that the resolver does not know, with its reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameNotFound {
    pub reason: String,
}

impl fmt::Display for NameNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host name cannot be resolved")?;
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(f, ": {reason}"),
        }
    }
}

impl std::error::Error for NameNotFound {}

/// Whatever input and output fails while a name is looked up is a name that was not found.
fn not_found(error: Error) -> Error {
    let Error::Io(error) = error else {
        return error;
    };
    let text = error.to_string();
    // How the standard library begins it.
    let reason = text.trim_start_matches("failed to lookup address information: ");
    let reason = reason.to_string();
    io::Error::new(error.kind(), NameNotFound { reason }).into()
}

/// Opens TCP connections where the chain before it did not.
struct Tcp(Cancel);

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tcp")
    }
}

impl<In: Transport> Connector<In> for Tcp {
    type Out = Either<In, Connection>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let socket = self.any(&details.addrs, details.timeout)?;
        socket.stream.set_nodelay(true)?;
        let config = details.config;
        Ok(Some(Either::B(Connection {
            socket,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            cancel: self.0.clone(),
        })))
    }
}

impl Tcp {
    /// The first address that answers. Each but the last may take half of the time
    /// that is left, so that a dead one hides none of the others.
    fn any(&self, addresses: &[SocketAddr], timeout: NextTimeout) -> Result<Socket, Error> {
        let until = timeout.not_zero().map(|t| Instant::now() + *t);
        let mut failed = Error::ConnectionFailed;
        for (at, address) in addresses.iter().enumerate() {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let share = match at + 1 == addresses.len() {
                true => left,
                false => left.map(|left| left / 2),
            };
            match self.one(address, share) {
                Err(error) if !self.0.is_cancelled() => failed = error,
                other => return other,
            }
        }
        Err(failed)
    }

    fn one(&self, address: &SocketAddr, share: Option<Duration>) -> Result<Socket, Error> {
        let until = share.map(|share| Instant::now() + share);
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)
            .map_err(io::Error::from)?;
        match rustix::net::connect(&socket, address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let socket = Socket::new(TcpStream::from(socket), &self.0);
        socket.wait(PollFlags::OUT, until, &self.0, Timeout::Connect)?;
        rustix::net::sockopt::socket_error(&socket.stream)
            .map_err(io::Error::from)?
            .map_err(io::Error::from)?;
        Ok(socket)
    }
}

/// A socket that never blocks, and that a cancellation shuts down: a wait for it ends then.
struct Socket {
    stream: Arc<TcpStream>,
    _shut_down: OnCancel,
}

impl Socket {
    fn new(stream: TcpStream, cancel: &Cancel) -> Socket {
        let stream = Arc::new(stream);
        let shared = Arc::clone(&stream);
        Socket {
            stream,
            // One that is not connected yet is taken back by the same call.
            _shut_down: cancel.on_cancel(move || drop(shared.shutdown(Shutdown::Both))),
        }
    }

    /// For whoever reads and writes it in the usual way.
    fn into_stream(self) -> io::Result<TcpStream> {
        let stream = self.stream.try_clone()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Until it can be read or written, or has failed.
    fn wait(
        &self,
        what: PollFlags,
        until: Option<Instant>,
        cancel: &Cancel,
        reason: Timeout,
    ) -> Result<(), Error> {
        loop {
            check(cancel)?;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let is_ready = ready(&self.stream, what, left)?;
            check(cancel)?;
            if is_ready {
                return Ok(());
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Err(Error::Timeout(reason));
            }
        }
    }
}

/// Waits until a socket can be read or written, or has failed; without a limit, for ever.
fn ready(
    socket: &impl std::os::fd::AsFd,
    what: PollFlags,
    patience: Option<Duration>,
) -> Result<bool, Error> {
    // What cannot be counted is longer than any run.
    let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
    match rustix::event::poll(&mut [PollFd::new(socket, what)], patience.as_ref()) {
        Ok(events) => Ok(events > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(io::Error::from(error).into()),
    }
}

/// One open connection.
struct Connection {
    socket: Socket,
    buffers: LazyBuffers,
    cancel: Cancel,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({:?})", self.socket.stream.peer_addr().ok())
    }
}

impl Connection {
    /// What a read or write that did not succeed means: wait, or give up.
    fn wait_after(
        &self,
        error: io::Error,
        what: PollFlags,
        since: Instant,
        timeout: NextTimeout,
    ) -> Result<(), Error> {
        use io::ErrorKind::{Interrupted, WouldBlock};
        check(&self.cancel)?;
        match error.kind() {
            Interrupted => Ok(()),
            WouldBlock => {
                // What cannot be counted is longer than any run.
                let until = timeout.not_zero().and_then(|t| since.checked_add(*t));
                self.socket.wait(what, until, &self.cancel, timeout.reason)
            }
            _ => Err(error.into()),
        }
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        let mut sent = 0;
        let mut moved = Instant::now();
        while sent < amount {
            let rest = &self.buffers.output()[sent..amount];
            match (&*self.socket.stream).write(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => {
                    sent += count;
                    moved = Instant::now();
                    check(&self.cancel)?;
                }
                Err(error) => self.wait_after(error, PollFlags::OUT, moved, timeout)?,
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let since = Instant::now();
        loop {
            match (&*self.socket.stream).read(self.buffers.input_append_buf()) {
                Ok(count) => {
                    // The end of a stream that a cancellation shut down is not the host's.
                    check(&self.cancel)?;
                    self.buffers.input_appended(count);
                    return Ok(count > 0);
                }
                Err(error) => self.wait_after(error, PollFlags::IN, since, timeout)?,
            }
        }
    }

    /// Bytes that nobody asked for, and the end of the stream, both make it readable.
    fn is_open(&mut self) -> bool {
        !self.cancel.is_cancelled()
            && matches!(
                ready(&self.socket.stream, PollFlags::IN, Some(Duration::ZERO)),
                Ok(false)
            )
    }
}
