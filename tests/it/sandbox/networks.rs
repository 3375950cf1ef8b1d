//! The networks of a RUN: what `isolated` reaches and what it does not.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use imgmake_build::worker::{Network, RunRequest};
use imgmake_event::Cancel;
use imgmake_sandbox::IsolationMode;

use super::{Ground, isolation, isolation_mode};
use crate::ground::addresses::{Addresses, Held, serve};
use crate::ground::run;

/// `/dev/net/tun` as udev has it, for everybody, while this lives: virtual machines
/// without udev keep it for root.
pub(super) struct OpenTun(std::fs::Permissions);

impl OpenTun {
    const PATH: &str = "/dev/net/tun";

    pub(super) fn new() -> OpenTun {
        let before = std::fs::metadata(Self::PATH).unwrap().permissions();
        run("chmod", &["0666", Self::PATH]);
        OpenTun(before)
    }
}

impl Drop for OpenTun {
    fn drop(&mut self) {
        drop(std::fs::set_permissions(Self::PATH, self.0.clone()));
    }
}

fn request(ground: &Ground, script: &str) -> RunRequest {
    RunRequest {
        network: Network::Isolated,
        ..ground.request(script)
    }
}

#[test]
fn a_network_that_ends_in_the_middle_of_a_run_is_not_the_commands_failure() {
    if isolation_mode() == IsolationMode::Chroot {
        return;
    }
    let ground = Arc::new(Ground::new());
    for exit in [7, 0] {
        let (started, seen) = std::sync::mpsc::channel();
        let script = format!(
            "PATH=/bin; echo up; while busybox ip link show tap0 >/dev/null 2>&1; \
             do sleep 0.1; done; exit {exit}"
        );
        let thread = {
            let ground = ground.clone();
            std::thread::spawn(move || {
                let mut said = String::new();
                let ran = ground.worker.run(
                    &request(&ground, &script),
                    &Cancel::default(),
                    &mut |_, line| {
                        said += &String::from_utf8_lossy(line);
                        if line == b"up" {
                            started.send(()).unwrap();
                        }
                    },
                );
                (ran, said)
            })
        };
        seen.recv().unwrap();
        let helper = super::ending::helper_of_this_test(ground.store.root());
        run("pkill", &["-9", "-P", &helper, "-x", "slirp4netns"]);
        let (ran, said) = thread.join().unwrap();
        let told = match (exit, ran) {
            (0, Ok(ran)) => {
                assert_eq!(ran.exit, 0);
                assert!(said.contains("warning: "), "{said}");
                said
            }
            (_, Err(error)) => {
                let text = format!("{error:#}");
                assert!(text.contains("failed with exit code 7"), "{text}");
                text
            }
            (_, Ok(ran)) => panic!("it is the command's: {ran:?}"),
        };
        for piece in ["the isolated network ended", "`slirp4netns`: signal: 9"] {
            assert!(told.contains(piece), "{told}");
        }
    }
    // The helper goes on, and the next network works.
    assert_eq!(ground.run(&request(&ground, "true")).exit, 0);
}

#[test]
fn an_isolated_network_reaches_others_and_nothing_of_the_host() {
    let ground = Ground::new();
    if isolation_mode() == IsolationMode::Chroot {
        let error = ground.try_run(&request(&ground, "true")).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("`network isolated` needs namespaces"),
            "{text}"
        );
        return;
    }
    let (addresses, _held) = match isolation() {
        None => {
            let held = Held(Addresses::of(253).added());
            (Addresses::of(253), Some(held))
        }
        // Root holds them for ordinary users.
        Some(_) => (Addresses::of(254), None),
    };
    let (elsewhere, _) = serve(&addresses.elsewhere);
    let (metadata, of_metadata) = serve(&addresses.metadata);
    let (local, of_local) = serve("127.0.0.1");
    let name = format!("imgmake-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let ask = |address: &str, port: u16| {
        format!("echo x | busybox timeout 5 busybox nc {address} {port} 2>&1 | head -c 20; echo;")
    };
    let script = [
        ask(&addresses.elsewhere, elsewhere),
        ask(&addresses.metadata, metadata),
        ask("127.0.0.1", local),
        ask("10.0.2.2", local),
        "cat /proc/net/unix; busybox grep CapEff /proc/self/status; cat /etc/resolv.conf"
            .to_string(),
        "; busybox ip route del unreachable 169.254.0.0/16 2>/dev/null && echo undone".to_string(),
    ]
    .concat();
    let ran = ground.run(&request(&ground, &format!("PATH=/bin; {script}; true")));
    let mut lines = ran.out.lines();
    assert_eq!(lines.next(), Some("reached"), "{ran:?}");
    assert_eq!(ran.out.matches("reached").count(), 1, "{ran:?}");
    assert_eq!(of_metadata.load(Ordering::SeqCst), 0);
    assert_eq!(of_local.load(Ordering::SeqCst), 0);
    assert!(!ran.out.contains(&name), "{ran:?}");
    assert!(!ran.out.contains("undone"), "{ran:?}");
    // Neither NET_ADMIN nor NET_RAW.
    let capabilities = ran
        .out
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .unwrap();
    let capabilities = u64::from_str_radix(capabilities.trim(), 16).unwrap();
    assert_eq!(capabilities & (1 << 12 | 1 << 13), 0, "{ran:?}");
    assert!(ran.out.contains("nameserver 10.0.2.3"), "{ran:?}");
    let helper = super::ending::helper_of_this_test(ground.store.root());
    let left = Command::new("pgrep")
        .args(["-P", &helper, "-x", "slirp4netns"])
        .output()
        .unwrap();
    assert!(left.stdout.is_empty(), "{left:?}");
}
