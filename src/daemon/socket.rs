//! HTTP over a Unix socket, as a connection for ureq. A read or write that a
//! cancellation finds waiting is given up within a moment.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use imgmake_event::Cancel;

/// How soon a cancellation is seen.
const GLANCE: Duration = Duration::from_millis(50);

pub(super) fn agent(socket: PathBuf, cancel: &Cancel) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_idle_connections(0)
        .build();
    let connector = Unix {
        socket,
        cancel: cancel.clone(),
    };
    // The address is a number: nothing is looked up.
    ureq::Agent::with_parts(config, connector, DefaultResolver::default())
}

struct Unix {
    socket: PathBuf,
    cancel: Cancel,
}

impl std::fmt::Debug for Unix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unix({})", self.socket.display())
    }
}

impl Connector<()> for Unix {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _chained: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(GLANCE))?;
        stream.set_write_timeout(Some(GLANCE))?;
        let config = details.config;
        Ok(Some(Connection {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            cancel: self.cancel.clone(),
        }))
    }
}

struct Connection {
    stream: UnixStream,
    buffers: LazyBuffers,
    cancel: Cancel,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

/// A pause in which the cancellation is looked at.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

impl Connection {
    fn check(&self) -> Result<(), Error> {
        let told = |cancelled| Error::Io(io::Error::other(cancelled));
        self.cancel.check().map_err(told)
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), Error> {
        let mut sent = 0;
        while sent < amount {
            self.check()?;
            match self.stream.write(&self.buffers.output()[sent..amount]) {
                Ok(0) => return Err(Error::Io(io::ErrorKind::WriteZero.into())),
                Ok(count) => sent += count,
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, Error> {
        loop {
            self.check()?;
            let free = self.buffers.input_append_buf();
            match self.stream.read(free) {
                Ok(count) => {
                    self.buffers.input_appended(count);
                    return Ok(count > 0);
                }
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // Each request has a connection of its own.
        false
    }
}
