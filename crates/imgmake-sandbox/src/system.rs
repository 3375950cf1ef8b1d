//! The system calls that have no safe interface, each made safe here.

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

use imgmake_guard::program::process_of;

pub(super) enum Forked {
    Parent(Pid),
    Child,
}

/// Only for processes with one thread: the child goes on with all of Rust.
pub(super) fn fork() -> io::Result<Forked> {
    // SAFETY: the callers are processes re-executed for one plan, which start no
    // thread, so no lock is held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(
            process_of(pid).expect("fork gives a pid above zero"),
        )),
    }
}

/// [`fork`], with the child in a control group of version 2 from its first moment: moving
/// a process there later waits for all others of the system.
pub(super) fn fork_into(group: BorrowedFd<'_>) -> io::Result<Forked> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    #[repr(C)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let arguments = CloneArgs {
        flags: CLONE_INTO_CGROUP,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD.cast_unsigned().into(),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: group.as_raw_fd().cast_unsigned().into(),
    };
    // SAFETY: no flag shares memory, so this is a fork, with the same callers; they have
    // registered nothing that the C library's own fork would have to call.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<CloneArgs>(),
        )
    };
    match i32::try_from(pid) {
        Ok(0) => Ok(Forked::Child),
        Ok(pid) if pid > 0 => Ok(Forked::Parent(
            process_of(pid).expect("a fork gives a pid above zero"),
        )),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Forks a child that makes plain system calls only, and gives its exit code.
/// `body` must not allocate, lock or panic: other threads may hold locks.
pub(super) fn in_forked_child(body: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: the child runs `body`, which by contract is made of system calls
    // alone, and leaves through _exit without running destructors.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = body();
            // SAFETY: _exit has no preconditions.
            unsafe { libc::_exit(code) }
        }
        pid => {
            let pid = process_of(pid).expect("fork gives a pid above zero");
            let status = wait_for(pid)?;
            Ok(status.exit_status().unwrap_or(-1))
        }
    }
}

/// # Errors
/// The process is not a child of this one.
pub(super) fn wait_for(pid: Pid) -> io::Result<rustix::process::WaitStatus> {
    loop {
        match rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(code) }
}

pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: CLONE_FILES is what makes unshare unsafe (descriptors differ between
    // threads); no caller passes it.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// The kernel kills this process as soon as the thread that made it is gone.
/// To be repeated after every change of ids, which forgets it.
///
/// # Errors
/// Never on Linux.
pub fn die_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)
}

/// Takes [`die_with_parent`] back.
pub(super) fn outlive_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(None).map_err(io::Error::from)
}

/// No other process may read this one's memory or reach through `/proc/<pid>`.
///
/// # Errors
/// Never on Linux.
pub fn hide_memory() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(io::Error::from)
}

/// A process in the background that gives the terminal to another one, or takes it back, is not stopped for it.
pub fn may_hand_the_terminal_over() {
    // SAFETY: no handler runs; what this process starts inherits no more than that its writes in the
    // background are not stopped either.
    unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
}

/// Descriptors that whoever started imgmake left open must not reach a RUN:
/// everything from `first` on is closed on exec.
pub fn close_other_descriptors(first: u32) {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: marks descriptors close-on-exec; none is closed under its owner.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Kernels before 5.11 know no such flag.
    for fd in first..1024 {
        // SAFETY: as above; a descriptor that is not open gives EBADF.
        unsafe { libc::fcntl(fd.cast_signed(), libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

pub(super) const ATTR_RDONLY: u64 = 0x1;
pub(super) const ATTR_NOSUID: u64 = 0x2;
pub(super) const ATTR_NODEV: u64 = 0x4;
pub(super) const ATTR_NOEXEC: u64 = 0x8;

/// `mount_setattr(2)` on a mount and everything below it.
pub(super) fn set_mount_attributes(at: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attributes = MountAttr {
        set,
        clear: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the structure outlives the call and its size is given; the path is
    // the empty C string, so the descriptor names the mount.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Loads a filter without `no_new_privs`: the caller has CAP_SYS_ADMIN in its
/// user namespace, and setuid programs of the image must go on working.
pub(super) fn load_filter(program: &[seccompiler::sock_filter]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const seccompiler::sock_filter,
    }
    let length = u16::try_from(program.len())
        .map_err(|_| io::Error::other("the system call filter is too long"))?;
    let program = Program {
        length,
        filter: program.as_ptr(),
    };
    // SAFETY: the kernel copies `length` instructions from `filter`, both from one slice.
    let done = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// A session keyring of its own: keys of whoever runs imgmake stay outside.
pub(super) fn join_new_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring. Failure leaves a kernel
    // without keyrings, which has none to leak.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<c_char>(),
        )
    };
}

/// Signals as a fresh process has them; Rust ignores SIGPIPE, and exec would hand that on.
pub(super) fn default_signals() {
    // SAFETY: resets dispositions and the mask of a process with one thread that
    // is about to exec; sigset_t is plain data that sigemptyset initializes.
    unsafe {
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Returns only when it failed.
pub(super) fn execute(program: &Path, argv: &[CString], env: &[CString]) -> io::Error {
    use std::os::unix::ffi::OsStrExt;
    let Ok(program) = CString::new(program.as_os_str().as_bytes()) else {
        return io::Error::from_raw_os_error(libc::ENOENT);
    };
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        let ends = std::iter::once(std::ptr::null());
        list.iter().map(|s| s.as_ptr()).chain(ends).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both lists end in null and point into CStrings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Replaces this process by the program behind a descriptor.
pub(super) fn execute_descriptor(
    program: BorrowedFd<'_>,
    argv: &[CString],
    env: &[CString],
) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        let ends = std::iter::once(std::ptr::null());
        list.iter().map(|s| s.as_ptr()).chain(ends).collect()
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: as in `execute`; the empty path makes the descriptor the program.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Brings loopback up in a fresh network namespace; a command without any network
/// may still talk to itself. Best effort.
pub(super) fn loopback_up() {
    use rustix::net::{AddressFamily, SocketType};
    let Ok(socket) = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None) else {
        return;
    };
    // SAFETY: ifreq is plain data; the name is shorter than its field and zeroed
    // behind; the ioctls read and write within the structure.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l'.cast_signed() as c_char;
        request.ifr_name[1] = b'o'.cast_signed() as c_char;
        if libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCGIFFLAGS as libc::Ioctl,
            &raw mut request,
        ) == 0
        {
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
            libc::ioctl(
                socket.as_raw_fd(),
                libc::SIOCSIFFLAGS as libc::Ioctl,
                &raw const request,
            );
        }
    }
}

/// Gives the calling thread a working directory of its own.
///
/// # Errors
/// The system refuses.
pub fn own_working_directory() -> io::Result<()> {
    unshare(UnshareFlags::FS)
}

/// Loads a program that decides which devices the processes of a control group may open.
pub(super) fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    const BPF_PROG_LOAD: libc::c_long = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    /// The head of `union bpf_attr`, as the first kernels had it.
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: *const u64,
        license: *const c_char,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    let load = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(instructions.len())
            .map_err(|_| io::Error::other("the program is too long"))?,
        instructions: instructions.as_ptr(),
        // It calls none of the kernel's functions.
        license: c"".as_ptr(),
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `count` instructions of eight bytes and a C string, all of
    // which outlive the call, and is told the size of the structure.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw const load,
            size_of::<Load>(),
        )
    };
    match i32::try_from(fd) {
        // SAFETY: a fresh descriptor that nobody else has.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// It stays for as long as the group is there, beside those of the groups above.
pub(super) fn attach_device_program(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    const BPF_PROG_ATTACH: libc::c_long = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    #[repr(C)]
    struct Attach {
        target: i32,
        program: i32,
        kind: u32,
        flags: u32,
    }
    let attach = Attach {
        target: group.as_raw_fd(),
        program: program.as_raw_fd(),
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the structure outlives the call and its size is given; both descriptors are
    // borrowed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            &raw const attach,
            size_of::<Attach>(),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
