//! A shell in the root of a command that meant harm, and failed: what a person sees
//! there, and what is left when it is closed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use imgmake_build::worker::{RunMount, Terminal, TerminalError, Terminals, Worker};
use imgmake_event::Cancel;
use imgmake_sandbox::IsolationMode;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::ending::files_with;
use super::moved::{cache, listing, secret, tmpfs, victims};
use super::{Ground, isolation, isolation_mode, program};

/// Somebody who types this as soon as there is a shell, and what was shown.
struct Typist {
    typed: String,
    shown: Arc<Mutex<Vec<u8>>>,
}

struct Lent {
    master: Arc<OwnedFd>,
    device: PathBuf,
    /// While it is open, the other end does not end.
    kept: Option<OwnedFd>,
    typed: String,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminals for Typist {
    fn open(&self) -> Result<Box<dyn Terminal>, TerminalError> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?.into_bytes();
        let device = PathBuf::from(std::ffi::OsString::from_vec(name));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let kept = rustix::fs::open(&device, flags, Mode::empty())?;
        Ok(Box::new(Lent {
            master: Arc::new(master),
            device,
            kept: Some(kept),
            typed: self.typed.clone(),
            shown: self.shown.clone(),
            reader: None,
        }))
    }
}

impl Terminal for Lent {
    fn device(&self) -> &Path {
        &self.device
    }

    fn environment(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn begin(&mut self, _: i32) -> Result<(), TerminalError> {
        let mut master = File::from(self.master.try_clone()?);
        master.write_all(self.typed.as_bytes())?;
        let shown = self.shown.clone();
        self.reader = Some(std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = master.read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        }));
        Ok(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.kept.take());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

/// Runs a command that fails and types into its shell: what the shell showed, and what
/// imgmake said.
fn shell_after(ground: &Ground, script: &str, mount: &RunMount, typed: &str) -> (String, String) {
    let shown = Arc::default();
    let typist = Typist {
        typed: format!("{typed}\necho =end$((40+2))=; exit\n"),
        shown: Arc::clone(&shown),
    };
    let worker = Worker::new(ground.store.clone(), isolation())
        .with_program(program())
        .with_shell_on_failure(Arc::new(typist));
    let mut request = ground.request(&format!("({script}) 2>/dev/null; exit 7"));
    request.mounts = vec![mount.clone()];
    let mut said = String::new();
    let ran = worker.run(&request, &Cancel::default(), &mut |_, line| {
        said += &String::from_utf8_lossy(line);
        said.push('\n');
    });
    assert_eq!(ran.unwrap().exit, 7);
    drop(worker);
    let shown = String::from_utf8_lossy(&shown.lock().unwrap()).into_owned();
    (shown, said)
}

#[test]
fn a_shell_after_names_were_swapped_sees_the_images_tree_and_leaves_the_hosts_alone() {
    let ground = Ground::new();
    let typed = "cat /a/b/precious /a/precious; ls /a /a/b; echo left > /a/b/left; \
                 echo planted > /a/planted; rm -rf /a2 /moved; mkdir -p /a/made/deep";
    for victim in &victims(&ground) {
        let before = listing(victim);
        let link = victim.to_str().unwrap();
        for script in [
            format!("mv /a /a2; ln -s {link} /a"),
            format!("rm -rf /a; ln -s {link} /a"),
            format!("mv /a/b /moved; ln -s {link}/b /a/b"),
            format!("mv /a/b /moved; mv /a /a2; ln -s {link} /a"),
        ] {
            for mount in [cache("/a/b"), tmpfs("/a/b"), secret("/a/b")] {
                let (shown, said) = shell_after(&ground, &script, &mount, typed);
                assert_eq!(listing(victim), before, "{script}: {shown}");
                assert!(!shown.contains("mine"), "{script}: {shown}");
                // A cache that the command took away is not there for the shell, either.
                let taken = isolation_mode() == IsolationMode::Chroot
                    && matches!(mount, RunMount::Cache { .. });
                assert!(
                    shown.contains("=end42=") || (taken && said.contains("warning: no shell: ")),
                    "{script} {mount:?}: {shown}{said}"
                );
                let left = files_with(ground.store.root(), "hush-hush");
                assert_eq!(left, "", "{script}");
                // What was typed changed nothing but the cache, which is the store's own.
                let mut next = ground.request("ls -A /c; test ! -L /c && test ! -e /a");
                next.mounts = vec![cache("/c")];
                let next = ground.run(&next);
                assert_eq!(next.exit, 0, "{script}: {}", next.err);
                assert!(!next.out.contains("precious"), "{script}: {}", next.out);
            }
        }
    }
}
