//! Tries what no command of a build may do. A program of its own, without crates: the tests
//! link it statically with `rustc` alone and put it into images.
//!
//! ```text
//! probe status                     what this process may do
//! probe attempts PID FILE MAJ:MIN PORT
//!                                  one line for each attempt: its name, and `done` or `refused`
//! probe hunt PATH...               ways that lead to files outside
//! probe give-capability FILE       CAP_NET_BIND_SERVICE, as `setcap` does it
//! probe has-key NAME               whether a key of that name can be found
//! probe with-key NAME PROGRAM...   executes a program in a session that has the key
//! ```

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_ulong, c_void};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn prctl(option: c_int, ...) -> c_int;
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(code: c_int) -> !;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn umount2(target: *const c_char, flags: c_int) -> c_int;
    fn mknod(path: *const c_char, mode: u32, device: u64) -> c_int;
    fn chroot(path: *const c_char) -> c_int;
    fn fchdir(fd: c_int) -> c_int;
    fn unshare(flags: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn sethostname(name: *const c_char, length: usize) -> c_int;
    fn setxattr(
        path: *const c_char,
        name: *const c_char,
        value: *const c_void,
        size: usize,
        flags: c_int,
    ) -> c_int;
    fn geteuid() -> u32;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn openat(directory: c_int, path: *const c_char, flags: c_int, ...) -> c_int;
}

/// System calls by number, where the C library has no name for them.
#[cfg(target_arch = "x86_64")]
mod calls {
    pub const PTRACE: i64 = 101;
    pub const CAPGET: i64 = 125;
    pub const PIVOT_ROOT: i64 = 155;
    pub const ACCT: i64 = 163;
    pub const SETTIMEOFDAY: i64 = 164;
    pub const SWAPON: i64 = 167;
    pub const REBOOT: i64 = 169;
    pub const IOPL: i64 = 172;
    pub const INIT_MODULE: i64 = 175;
    pub const DELETE_MODULE: i64 = 176;
    pub const PERSONALITY: i64 = 135;
    pub const CLONE: i64 = 56;
    pub const KEXEC_LOAD: i64 = 246;
    pub const KEXEC_FILE_LOAD: i64 = 320;
    pub const ADD_KEY: i64 = 248;
    pub const KEYCTL: i64 = 250;
    pub const PERF_EVENT_OPEN: i64 = 298;
    pub const OPEN_BY_HANDLE_AT: i64 = 304;
    pub const SETNS: i64 = 308;
    pub const PROCESS_VM_READV: i64 = 310;
    pub const FINIT_MODULE: i64 = 313;
    pub const BPF: i64 = 321;
    pub const USERFAULTFD: i64 = 323;
}
// The same everywhere.
const IO_URING_SETUP: i64 = 425;
const OPEN_TREE: i64 = 428;
const FSOPEN: i64 = 430;

macro_rules! call {
    ($number:expr $(, $argument:expr)*) => {
        // SAFETY: the kernel checks every argument; pointers come from values that live on.
        unsafe { syscall($number $(, $argument)*) }
    };
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn c(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["status"] => status(),
        ["attempts", process, file, device, port] => attempts(
            process.parse().unwrap(),
            file,
            device,
            port.parse().unwrap(),
        ),
        ["hunt", paths @ ..] => hunt(paths),
        ["give-capability", file] => give_capability(file),
        ["has-key", name] => has_key(name),
        ["with-key", name, program @ ..] => with_key(name, program),
        _ => std::process::exit(2),
    }
}

fn status() {
    // SAFETY: plain numbers go in, a number comes out.
    let option = |option: c_int| unsafe { prctl(option, 0, 0, 0, 0) };
    // SAFETY: as above; PR_CAPBSET_READ, and PR_CAP_AMBIENT_IS_SET.
    let bounding = |n: c_int| unsafe { prctl(23, n, 0, 0, 0) } == 1;
    let ambient = |n: c_int| unsafe { prctl(47, 1, n, 0, 0) } == 1;
    let set = |has: &dyn Fn(c_int) -> bool| {
        (0..64)
            .filter(|n| has(*n))
            .fold(0u64, |set, n| set | 1 << n)
    };
    let (header, mut data) = ([0x2008_0522_u32, 0], [0u32; 6]);
    call!(calls::CAPGET, header.as_ptr(), data.as_mut_ptr());
    let word = |i: usize| u64::from(data[i + 3]) << 32 | u64::from(data[i]);
    println!("user {}", unsafe { geteuid() });
    println!("effective {:x}", word(0));
    println!("permitted {:x}", word(1));
    println!("inheritable {:x}", word(2));
    println!("bounding {:x}", set(&bounding));
    println!("ambient {:x}", set(&ambient));
    println!("seccomp {}", option(21));
    println!("no-new-privileges {}", option(39));
}

fn give_capability(file: &str) {
    // VFS_CAP_REVISION_2, effective; CAP_NET_BIND_SERVICE permitted.
    let mut value = [0u8; 20];
    value[..8].copy_from_slice(&[1, 0, 0, 2, 0, 4, 0, 0]);
    let name = c"security.capability";
    // SAFETY: the value has the length that is given.
    let done = unsafe {
        setxattr(
            c(file).as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// In the keyrings of the session and of the user; in what `/proc/keys` shows.
fn has_key(name: &str) {
    const SEARCH: c_long = 10;
    let found = |ring: c_long| {
        call!(
            calls::KEYCTL,
            SEARCH,
            ring,
            c"user".as_ptr(),
            c(name).as_ptr(),
            0 as c_long
        ) >= 0
    };
    let listed = fs::read_to_string("/proc/keys")
        .unwrap_or_default()
        .contains(name);
    let (session, user, user_session) = (found(-3), found(-4), found(-5));
    println!(
        "{}",
        if session || user || user_session || listed {
            "found"
        } else {
            "not found"
        }
    );
}

fn with_key(name: &str, program: &[&str]) {
    const JOIN: c_long = 1;
    assert!(call!(calls::KEYCTL, JOIN, std::ptr::null::<c_char>()) >= 0);
    let value = c"secret";
    let added = call!(
        calls::ADD_KEY,
        c"user".as_ptr(),
        c(name).as_ptr(),
        value.as_ptr(),
        6 as c_long,
        -3 as c_long
    );
    assert!(added >= 0, "{}", std::io::Error::last_os_error());
    panic!("{}", Command::new(program[0]).args(&program[1..]).exec());
}

/// Says by which way a file outside could be read, if any.
fn hunt(paths: &[&str]) {
    let up = "../".repeat(64);
    for path in paths {
        let inside = path.trim_start_matches('/');
        let mut ways = vec![
            (*path).to_string(),
            format!("/{up}{inside}"),
            format!("{up}{inside}"),
        ];
        for process in ["self", "thread-self", "1"]
            .map(str::to_string)
            .into_iter()
            .chain(processes())
        {
            for link in [
                "root", "cwd", "fd/0", "fd/1", "fd/2", "fd/3", "fd/4", "fd/5",
            ] {
                ways.push(format!("/proc/{process}/{link}/{inside}"));
                ways.push(format!("/proc/{process}/{link}/{up}{inside}"));
            }
        }
        for way in &ways {
            if fs::metadata(way).is_ok() {
                println!("{path} by {way}");
            }
        }
        for fd in 0..4096 {
            for relative in [inside.to_string(), format!("{up}{inside}")] {
                // SAFETY: descriptors that are not open, or no directories, give errors.
                if unsafe { openat(fd, c(&relative).as_ptr(), 0) } >= 0 {
                    println!("{path} by descriptor {fd}");
                }
            }
            // SAFETY: as above.
            if unsafe { fchdir(fd) } == 0 {
                println!("descriptor {fd} is a directory");
            }
        }
        if in_child(|| leaves_by_chroot(path)) {
            println!("{path} by a second chroot");
        }
    }
    for (name, value) in std::env::vars() {
        if paths
            .iter()
            .any(|path| path.starts_with(&value) && value.len() > 1)
        {
            println!("the environment names it: {name}");
        }
    }
    println!("hunted");
}

fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.parse::<u32>().is_ok()).collect()
}

fn in_child(act: impl FnOnce() -> bool) -> bool {
    // SAFETY: this program has one thread.
    match unsafe { fork() } {
        // SAFETY: _exit has no preconditions.
        0 => unsafe { _exit(c_int::from(act())) },
        pid => {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            unsafe { waitpid(pid, &mut status, 0) };
            status == 0x100
        }
    }
}

fn has_content(path: &str) -> bool {
    File::open(path).is_ok_and(|mut file| file.read(&mut [0]).is_ok_and(|read| read > 0))
}

fn writes(path: &str) -> bool {
    OpenOptions::new().write(true).open(path).is_ok()
}

/// The classical way out: a root below the working directory.
fn leaves_by_chroot(outside: &str) -> bool {
    let out = File::open("/").unwrap();
    drop(fs::create_dir("/tmp/jail"));
    // SAFETY: C strings and an open descriptor.
    if unsafe { chroot(c"/tmp/jail".as_ptr()) != 0 || fchdir(out.as_raw_fd()) != 0 } {
        return false;
    }
    for _ in 0..64 {
        drop(std::env::set_current_dir(".."));
    }
    // SAFETY: as above.
    let moved = unsafe { chroot(c".".as_ptr()) == 0 };
    moved && fs::metadata(outside).is_ok()
}

fn device_opens(path: &str, kind: u32, device: (u32, u32)) -> bool {
    let number = u64::from(device.0) << 8 | u64::from(device.1 & 0xff);
    drop(fs::remove_file(path));
    // SAFETY: a C string.
    unsafe { mknod(c(path).as_ptr(), kind | 0o600, number) };
    let is_device = fs::metadata(path)
        .is_ok_and(|meta| meta.file_type().is_block_device() || meta.file_type().is_char_device());
    let non_blocking = OpenOptions::new()
        .read(true)
        .custom_flags(0o4000)
        .open(path);
    is_device && non_blocking.is_ok()
}

fn inherited_descriptors() -> bool {
    let duplicate = |fd: RawFd| {
        // SAFETY: an invalid descriptor gives -1. F_DUPFD_CLOEXEC.
        let copied = unsafe { fcntl(fd, 1030, 0) };
        // SAFETY: the descriptor is new, and nobody else's.
        (copied >= 0).then(|| unsafe { File::from_raw_fd(copied) })
    };
    let extra = (3..4096).any(|fd| duplicate(fd).is_some());
    let directory =
        |fd| duplicate(fd).is_some_and(|file| file.metadata().is_ok_and(|m| m.is_dir()));
    extra || (0..3).any(directory)
}

fn pushes_input() -> bool {
    const TIOCSTI: c_ulong = 0x5412;
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let mut fds: Vec<RawFd> = vec![0, 1, 2];
    fds.extend(terminal.as_ref().ok().map(AsRawFd::as_raw_fd));
    let byte = b'x';
    // SAFETY: the ioctl reads one byte.
    fds.into_iter()
        .any(|fd| unsafe { ioctl(fd, TIOCSTI, &raw const byte) } == 0)
}

/// An ext4 handle of the root directory, as the "shocker" exploit had it.
fn opens_by_handle() -> bool {
    let handle: [u32; 4] = [8, 1, 2, 0];
    let file = File::open("/etc/passwd").unwrap();
    call!(
        calls::OPEN_BY_HANDLE_AT,
        c_long::from(file.as_raw_fd()),
        handle.as_ptr(),
        0 as c_long
    ) >= 0
}

/// Whether some process other than these has its root elsewhere and shows it.
fn shows_a_foreign_root(outside: &str) -> bool {
    processes()
        .into_iter()
        .any(|process| has_content(&format!("/proc/{process}/root{outside}")))
}

/// A cgroup whose release agent the host would run.
fn sets_release_agent() -> bool {
    [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/devices",
        "/sys/fs/cgroup/rdma",
    ]
    .iter()
    .any(|at| {
        writes(&format!("{at}/release_agent")) || fs::create_dir(format!("{at}/probe")).is_ok()
    })
}

/// Root is not the owner of what is outside: a setuid program of the image that is not
/// root's own gives no capability that the set does not hold.
fn raises_capabilities() -> bool {
    // SAFETY: PR_CAP_AMBIENT_RAISE of CAP_SYS_ADMIN.
    let ambient = unsafe { prctl(47, 2, 21, 0, 0) } == 0;
    let (header, all) = ([0x2008_0522_u32, 0], [u32::MAX; 6]);
    const CAPSET_AFTER_CAPGET: i64 = calls::CAPGET + 1;
    ambient || call!(CAPSET_AFTER_CAPGET, header.as_ptr(), all.as_ptr()) == 0
}

fn abstract_socket(process: i32) -> bool {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("imgmake-probe-{process}");
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    UnixStream::connect_addr(&address).is_ok()
}

fn raw_socket() -> bool {
    // SAFETY: plain numbers. AF_PACKET, SOCK_RAW.
    unsafe { socket(17, 3, 0x0300) >= 0 }
}

fn attempts(outside: i32, file: &str, device: &str, port: u16) {
    let (major, minor) = device.split_once(':').unwrap();
    let disk = (major.parse().unwrap(), minor.parse().unwrap());
    let out = std::io::stdout();
    let say = |name: &str, done: bool| {
        writeln!(&out, "{name} {}", if done { "done" } else { "refused" }).unwrap();
    };
    let none = std::ptr::null::<c_void>();
    let (zero, minus) = (0 as c_long, -1 as c_long);
    let mounts = |source: &CStr, at: &CStr, kind: &CStr, flags: c_ulong| {
        // SAFETY: C strings, no data.
        unsafe { mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, none) == 0 }
    };
    let (block, character) = (0o060_000, 0o020_000);
    say("inherited-descriptors", inherited_descriptors());
    say("mount", mounts(c"none", c"/tmp", c"tmpfs", 0));
    say("bind-mount", mounts(c"/etc", c"/tmp", c"", 4096));
    say("remount", mounts(c"none", c"/proc", c"", 32));
    // SAFETY: a C string.
    say("umount", unsafe { umount2(c"/proc".as_ptr(), 2) == 0 });
    say(
        "pivot-root",
        call!(calls::PIVOT_ROOT, c".".as_ptr(), c".".as_ptr()) == 0,
    );
    say(
        "open-tree",
        call!(OPEN_TREE, -100 as c_long, c"/".as_ptr(), 1 as c_long) >= 0,
    );
    say("fsopen", call!(FSOPEN, c"tmpfs".as_ptr(), zero) >= 0);
    say("disk", device_opens("/tmp/disk", block, disk));
    say("disk-in-dev", device_opens("/dev/disk", block, disk));
    say("disk-in-root", device_opens("/disk", block, disk));
    say("memory-device", device_opens("/tmp/mem", character, (1, 1)));
    say(
        "kernel-log-device",
        device_opens("/dev/kmsg", character, (1, 11)),
    );
    let missing = |number: i64, first: *const c_char, expected: i32| {
        call!(number, first, zero, c"".as_ptr()) == 0 || errno() == expected
    };
    say("init-module", missing(calls::INIT_MODULE, c"".as_ptr(), 8));
    say(
        "finit-module",
        call!(calls::FINIT_MODULE, minus, c"".as_ptr(), zero) == 0 || errno() == 9,
    );
    say(
        "delete-module",
        missing(calls::DELETE_MODULE, c"none".as_ptr(), 2),
    );
    say(
        "kexec",
        call!(calls::KEXEC_LOAD, zero, zero, none, zero) == 0,
    );
    // Descriptors that are not open.
    say(
        "kexec-file",
        call!(calls::KEXEC_FILE_LOAD, minus, minus, zero, none, zero) == 0 || errno() == 9,
    );
    // Wrong magic numbers: nobody reboots, but who may would hear of them.
    say(
        "reboot",
        call!(calls::REBOOT, zero, zero, zero, none) == 0 || errno() == 22,
    );
    let map: [u32; 32] = {
        let mut map = [0; 32];
        map[..4].copy_from_slice(&[2, 4, 4, 1]);
        map
    };
    say(
        "bpf",
        call!(calls::BPF, zero, map.as_ptr(), 128 as c_long) >= 0,
    );
    let event: [u32; 32] = {
        let mut event = [0; 32];
        event[..2].copy_from_slice(&[1, 128]);
        event
    };
    say(
        "perf-event",
        call!(
            calls::PERF_EVENT_OPEN,
            event.as_ptr(),
            zero,
            minus,
            minus,
            zero
        ) >= 0,
    );
    say("userfaultfd", call!(calls::USERFAULTFD, zero) >= 0);
    say(
        "io-uring",
        call!(IO_URING_SETUP, 1 as c_long, [0u64; 32].as_mut_ptr()) >= 0,
    );
    say(
        "ptrace",
        call!(
            calls::PTRACE,
            0x4206 as c_long,
            c_long::from(outside),
            zero,
            zero
        ) == 0,
    );
    let mut here = [0u8; 8];
    let mine = [here.as_mut_ptr() as usize, 8];
    let theirs = [main as fn() as usize, 8];
    let read = call!(
        calls::PROCESS_VM_READV,
        c_long::from(outside),
        mine.as_ptr(),
        1 as c_long,
        theirs.as_ptr(),
        1 as c_long,
        zero
    );
    say("read-memory", read >= 0);
    // SAFETY: signal 0 asks whether one could be sent.
    say("signal", unsafe { kill(outside, 0) == 0 });
    say("sysrq", writes("/proc/sysrq-trigger"));
    say("kcore", has_content("/proc/kcore"));
    say("core-pattern", writes("/proc/sys/kernel/core_pattern"));
    say(
        "sysctl",
        writes("/proc/sys/kernel/hostname") || writes("/proc/sys/vm/drop_caches"),
    );
    say(
        "sys",
        writes("/sys/kernel/uevent_helper") || writes("/sys/power/state"),
    );
    say("release-agent", sets_release_agent());
    let (user, probe) = (c"user", c"probe");
    let added = call!(
        calls::ADD_KEY,
        user.as_ptr(),
        probe.as_ptr(),
        c"x".as_ptr(),
        1 as c_long,
        -3 as c_long
    );
    say("add-key", added >= 0);
    say(
        "keyctl",
        call!(calls::KEYCTL, zero, -3 as c_long, zero) >= 0,
    );
    // SAFETY: namespaces of a child that ends at once.
    let unshares = |flags: c_int| in_child(|| unsafe { unshare(flags) == 0 });
    say("user-namespace", unshares(0x1000_0000));
    say("mount-namespace", unshares(0x0002_0000));
    say("network-namespace", unshares(0x4000_0000));
    let clones = || {
        let pid = call!(calls::CLONE, 0x1000_0011 as c_long, zero, zero, zero, zero);
        if pid == 0 {
            // SAFETY: _exit has no preconditions.
            unsafe { _exit(0) };
        }
        pid > 0
    };
    say("clone-namespace", in_child(clones));
    say(
        "setns",
        call!(calls::SETNS, minus, zero) == 0 || errno() == 9,
    );
    say("open-by-handle", opens_by_handle());
    say("root-of-1", has_content(&format!("/proc/1/root{file}")));
    say(
        "root-of-self",
        has_content(&format!("/proc/self/root/{}{file}", "../".repeat(16))),
    );
    say(
        "root-of-outside",
        has_content(&format!("/proc/{outside}/root{file}")),
    );
    say("root-of-any", shows_a_foreign_root(file));
    say(
        "environment-of-outside",
        has_content(&format!("/proc/{outside}/environ")),
    );
    say("chroot", in_child(|| leaves_by_chroot(file)));
    say("push-input", pushes_input());
    // SAFETY: plain numbers. AF_VSOCK.
    say("vsock", unsafe { socket(40, 1, 0) >= 0 });
    say("packet-socket", raw_socket());
    say("abstract-socket", abstract_socket(outside));
    let local = std::net::TcpStream::connect(("127.0.0.1", port));
    say("loopback", local.is_ok());
    say("swapon", missing(calls::SWAPON, c"/tmp/disk".as_ptr(), 22));
    say("acct", missing(calls::ACCT, c"/tmp/acct".as_ptr(), 2));
    // With a time zone alone nothing moves.
    let zone = [0i32; 2];
    say(
        "set-time",
        call!(calls::SETTIMEOFDAY, none, zone.as_ptr()) == 0,
    );
    // SAFETY: the name has five bytes.
    say("set-hostname", unsafe {
        sethostname(c"probe".as_ptr(), 5) == 0
    });
    say("iopl", call!(calls::IOPL, 3 as c_long) == 0);
    say(
        "personality",
        call!(calls::PERSONALITY, 0x0004_0000 as c_long) != -1,
    );
    say("raise-capabilities", raises_capabilities());
}
