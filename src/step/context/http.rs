//! One file from a server, to disk, and one small text to a server. Addresses
//! are not part of errors: those of buckets hold signatures.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ureq::tls::{RootCerts, TlsConfig};

use imgmake_event::Cancel;

/// How long a connection may stay silent.
const IDLE: Duration = Duration::from_secs(90);

fn agent() -> ureq::Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(IDLE))
        .timeout_per_write(Some(IDLE))
        .user_agent(concat!("imgmake/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// # Errors
/// The address is invalid, the server answers anything but 200, or the transfer breaks.
pub fn download(address: &str, to: &Path, cancel: &Cancel) -> Result<()> {
    checked(address)?;
    let file = File::create(to).context("cannot write the download")?;
    let (done, ended) = std::sync::mpsc::channel();
    let (address, stop) = (address.to_string(), cancel.clone());
    // A server can be silent for long; a signal is handled all the same, and then
    // the thread ends with the process.
    std::thread::spawn(move || drop(done.send(transfer(&address, file, &stop))));
    loop {
        cancel.check()?;
        match ended.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the download ended without a result"),
        }
    }
}

fn transfer(address: &str, mut file: File, cancel: &Cancel) -> Result<()> {
    let answer = agent().get(address).call().map_err(quiet)?;
    if answer.status() != 200 {
        bail!("the server answered {}", answer.status());
    }
    let length = answer.body().content_length();
    let mut body = answer.into_body().into_reader();
    let mut block = vec![0; 256 << 10];
    let mut done = 0_u64;
    loop {
        cancel.check()?;
        let read = body.read(&mut block).context("the download broke")?;
        if read == 0 {
            break;
        }
        file.write_all(&block[..read])
            .context("cannot write the download")?;
        done += read as u64;
    }
    if length.is_some_and(|length| length != done) {
        bail!("the download broke after {done} bytes");
    }
    Ok(())
}

/// # Errors
/// As [`download`].
pub fn put(address: &str, text: &str) -> Result<()> {
    checked(address)?;
    let request = agent().put(address).header("Content-Type", "text/plain");
    let answer = request.send(text).map_err(quiet)?;
    if answer.status().as_u16() >= 400 {
        bail!("the server answered {}", answer.status());
    }
    Ok(())
}

fn checked(address: &str) -> Result<()> {
    match url::Url::parse(address) {
        Ok(url) if url.has_host() => Ok(()),
        _ => bail!("invalid address"),
    }
}

/// The transport's errors repeat the address in some cases.
fn quiet(error: ureq::Error) -> anyhow::Error {
    match error {
        ureq::Error::BadUri(_) => anyhow::anyhow!("invalid address"),
        ureq::Error::Timeout(_) => anyhow::anyhow!("the server does not answer"),
        other => anyhow::anyhow!("{other}"),
    }
}
