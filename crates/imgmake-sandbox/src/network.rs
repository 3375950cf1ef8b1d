//! `network isolated`: a network namespace of its own, which reaches servers elsewhere
//! through `slirp4netns`, and neither the host's loopback nor link-local addresses.
//!
//! The helper process starts the program in the host's network once the set-up process
//! has its namespace; the program ends when the helper's end of a pipe closes, however.
//! The init takes the routes away that must not be, and the command has no capability
//! to put them back, or to send a packet past them.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketType};
use rustix::process::Pid;

use super::error::{During as _, Result, SandboxError};
use imgmake_guard::program::{Kind, Program, Started};

/// Where a system keeps its programs; a PATH could be anybody's.
const DIRECTORIES: [&str; 5] = [
    "/usr/bin",
    "/usr/local/bin",
    "/bin",
    "/usr/sbin",
    "/run/current-system/sw/bin",
];
const PROGRAM: &str = "slirp4netns";
const TUN: &str = "/dev/net/tun";
const INTERFACE: &str = "tap0";
/// Who answers for names in the namespace, by asking whom the host asks.
pub const NAME_SERVER: &str = "10.0.2.3";
const NETWORK: &str = "10.0.2.0/24";
const PATIENCE: Duration = Duration::from_secs(20);

/// The program, for `imgmake doctor`.
pub fn network_program() -> Option<PathBuf> {
    let paths = DIRECTORIES.map(|directory| Path::new(directory).join(PROGRAM));
    paths.into_iter().find(|path| path.is_file())
}

/// Ends the program when dropped.
pub(super) struct Connected {
    child: Started,
    exit: Option<OwnedFd>,
    /// The end of its messages.
    messages: Arc<Mutex<Vec<u8>>>,
}

impl Connected {
    /// How it ended, and its last message, if it has.
    pub(super) fn lost(&mut self) -> Option<String> {
        let status = match self.child.try_wait().ok()? {
            Some(status) => status,
            // Its interface is gone a moment before it can be waited for.
            None if is_ending(self.child.id()) => self.child.wait().ok()?,
            None => return None,
        };
        let messages = self.messages.lock().expect("no reader panics");
        let messages = String::from_utf8_lossy(&messages);
        let mut lines = messages.lines().map(str::trim);
        Some(match lines.rfind(|line| !line.is_empty()) {
            Some(message) => format!("`{PROGRAM}`: {status}: {message}"),
            None => format!("`{PROGRAM}`: {status}"),
        })
    }
}

/// Whether the kernel is about to end a process (`PF_EXITING` of `/proc/PID/stat`).
fn is_ending(pid: u32) -> bool {
    const EXITING: u64 = 4;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let flags = fields.split_whitespace().nth(6);
    flags.and_then(|flags| flags.parse().ok()).unwrap_or(0) & EXITING != 0
}

/// Reads to the end: a program must not wait for its words to be read.
fn keep_the_end(mut from: impl Read, kept: &Mutex<Vec<u8>>) {
    const MOST: usize = 4096;
    let mut buffer = [0; MOST];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut kept = kept.lock().expect("no reader panics");
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(MOST);
        kept.drain(..surplus);
    }
}

/// Connects the network namespace of `setup`, as soon as it has one of its own.
///
/// # Errors
/// The program is not installed or fails; its own words are in the message.
pub(super) fn connect(setup: Pid) -> Result<Connected> {
    let program = network_program().ok_or_else(|| {
        SandboxError::Unsupported(format!(
            "`network isolated` needs the program `{PROGRAM}`: install the package `{PROGRAM}`"
        ))
    })?;
    let tun = rustix::fs::access(
        TUN,
        rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
    );
    tun.with_during(|| {
        format!("`network isolated` needs {TUN}, which this user cannot open (usual mode: 0666)")
    })?;
    let namespace = format!("/proc/{}/ns/net", setup.as_raw_nonzero());
    wait_for_own(&namespace)?;
    let (exit_here, exit) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let nothing: [(&str, &str); 0] = [];
    let connecting = Program::new(Kind::Network, &program, nothing)?.configure(|command| {
        command
            .args(["--configure", "--mtu=65520", "--disable-host-loopback"])
            .args(["--enable-sandbox", "--enable-seccomp"])
            .args(["--ready-fd=1", "--exit-fd=0", "--netns-type=path"])
            .arg(format!("--cidr={NETWORK}"))
            .args([&namespace, INTERFACE])
            .stdin(Stdio::from(exit_here))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
    });
    let mut child = connecting
        .spawn()
        .with_during(|| format!("cannot start `{}`", program.display()))?;
    let mut ready = child.stdout.take().expect("it was piped");
    let mut messages = child.stderr.take().expect("it was piped");
    let mut connected = Connected {
        child,
        exit: Some(exit),
        messages: Arc::default(),
    };
    if ready.read(&mut [0; 1])? == 1 {
        let kept = connected.messages.clone();
        std::thread::spawn(move || keep_the_end(messages, &kept));
        return Ok(connected);
    }
    drop(connected.exit.take());
    let mut text = String::new();
    drop((&mut messages).take(4096).read_to_string(&mut text));
    let failed = SandboxError::ProgramFailed {
        program: program.display().to_string(),
        message: text.trim().into(),
    };
    Err(failed).during("`network isolated`")
}

fn wait_for_own(namespace: &str) -> Result<()> {
    let own = std::fs::read_link("/proc/self/ns/net")?;
    let begun = Instant::now();
    loop {
        let theirs = std::fs::read_link(namespace).during("a sandbox ended as it began")?;
        if theirs != own {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(SandboxError::Timeout {
                what: "making a network namespace",
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        drop(self.exit.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// In the namespace, before the command: waits until it is connected, and makes
/// link-local addresses unreachable, where clouds answer with credentials.
///
/// # Errors
/// It was not connected, or a route is refused.
pub(super) fn close_off() -> Result<()> {
    let begun = Instant::now();
    while !is_connected() {
        if begun.elapsed() > PATIENCE {
            return Err(SandboxError::Timeout {
                what: "connecting the isolated network",
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    unreachable_route([169, 254, 0, 0], 16).during("cannot make 169.254.0.0/16 unreachable")
}

/// A default route through the interface.
fn is_connected() -> bool {
    let routes = std::fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    routes.lines().any(|line| {
        let mut fields = line.split_whitespace();
        fields.next() == Some(INTERFACE) && fields.next() == Some("00000000")
    })
}

/// `ip route add unreachable ADDRESS/PREFIX`, in rtnetlink's own words.
fn unreachable_route(address: [u8; 4], prefix: u8) -> Result<()> {
    const RTM_NEWROUTE: u16 = 24;
    const REQUEST_CREATE_ACK: u16 = 0x1 | 0x400 | 0x4;
    const AF_INET: u8 = 2;
    const TABLE_MAIN: u8 = 254;
    const PROTOCOL_BOOT: u8 = 3;
    const UNREACHABLE: u8 = 7;
    const RTA_DST: u16 = 1;
    let mut message = Vec::new();
    message.extend(36u32.to_ne_bytes());
    message.extend(RTM_NEWROUTE.to_ne_bytes());
    message.extend(REQUEST_CREATE_ACK.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend([
        AF_INET,
        prefix,
        0,
        0,
        TABLE_MAIN,
        PROTOCOL_BOOT,
        0,
        UNREACHABLE,
    ]);
    message.extend(0u32.to_ne_bytes());
    message.extend(8u16.to_ne_bytes());
    message.extend(RTA_DST.to_ne_bytes());
    message.extend(address);
    // Protocol zero of this family is routing.
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(socket.as_fd(), &message, SendFlags::empty(), &kernel)?;
    let mut answer = [0u8; 512];
    let length = rustix::io::read(&socket, &mut answer)?;
    // A header of 16 bytes, then the error: zero is the acknowledgement.
    let code = answer.get(16..20).filter(|_| length >= 20);
    let code = code.map(|bytes| i32::from_ne_bytes(bytes.try_into().expect("four bytes")));
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(std::io::Error::from_raw_os_error(-code).into()),
        None => Err(SandboxError::Invalid {
            what: "answer of the kernel",
            reason: "too short".into(),
        }),
    }
}
