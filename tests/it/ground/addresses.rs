//! Servers, and addresses of this machine that stand for others.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::run;

/// Answers everybody with a word, and counts them.
pub fn serve(address: &str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            drop((&stream).write_all(b"reached\n"));
        }
    });
    (port, asked)
}

/// Addresses of a server elsewhere, and of a stand-in for what clouds have there: on the
/// host's loopback interface while it lives. Each test has its own pair, by its number.
pub struct Addresses {
    pub elsewhere: String,
    pub metadata: String,
}

impl Addresses {
    pub fn of(number: u8) -> Addresses {
        Addresses {
            elsewhere: format!("198.51.100.{number}"),
            metadata: format!("169.254.169.{number}"),
        }
    }

    pub fn added(self) -> Addresses {
        // A run that was killed leaves them.
        self.all("replace");
        self
    }

    fn all(&self, verb: &str) {
        for address in [&self.elsewhere, &self.metadata] {
            run("ip", &["addr", verb, &format!("{address}/32"), "dev", "lo"]);
        }
    }
}

/// Takes them away when dropped. Ordinary users cannot add any: root holds theirs.
pub struct Held(pub Addresses);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.all("del");
    }
}
