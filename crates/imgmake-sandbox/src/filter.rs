//! The system call filter: what container runtimes allow by default (moby's profile
//! for Docker's default capabilities), and the answers of the single-id isolation mode.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

use super::system::load_filter;

/// Calls added after this one are unknown to the list: programs probe for them
/// and want to hear that they do not exist.
const NEWEST_KNOWN: u32 = 470;
/// CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
pub(super) const RET_ALLOW: u32 = 0x7fff_0000;
const RET_ERRNO: u32 = 0x0005_0000;

/// Loads the default filter; CAP_SYS_ADMIN is needed and may be dropped afterwards.
pub(super) fn load_default() -> io::Result<()> {
    let mut program = prologue();
    program.extend(compile(
        allowed(),
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        SeccompAction::Allow,
    )?);
    load_filter(&program)?;
    // Its flags are behind a pointer, which no filter can read: libraries fall back to clone.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    load_filter(&compile(
        clone3,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
    )?)
}

/// With one id, giving files away and changing ids cannot work; package managers
/// do it all the time and are told that it was done.
pub(super) fn load_single_id_answers() -> io::Result<()> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = [
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_setgroups,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setfsuid,
        libc::SYS_setfsgid,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    rules.insert(libc::SYS_mknodat, device_rules(2)?);
    #[cfg(target_arch = "x86_64")]
    {
        rules.insert(libc::SYS_chown, Vec::new());
        rules.insert(libc::SYS_lchown, Vec::new());
        rules.insert(libc::SYS_mknod, device_rules(1)?);
    }
    load_filter(&compile(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(0),
    )?)
}

/// Devices, but no whiteouts (character device 0:0), fifos, sockets or files.
fn device_rules(mode_argument: u8) -> io::Result<Vec<SeccompRule>> {
    let of_type = |kind: u32| {
        condition(
            mode_argument,
            SeccompCmpOp::MaskedEq(u64::from(libc::S_IFMT)),
            u64::from(kind),
        )
    };
    let numbered = condition(mode_argument + 1, SeccompCmpOp::Ne, 0)?;
    Ok(vec![
        rule(vec![of_type(libc::S_IFCHR)?, numbered])?,
        rule(vec![of_type(libc::S_IFBLK)?])?,
    ])
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    SeccompFilter::new(rules, otherwise, matched, arch)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
        .map_err(io::Error::other)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn allowed() -> BTreeMap<i64, Vec<SeccompRule>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED
        .iter()
        .chain(ALLOWED_HERE)
        .map(|call| (*call, Vec::new()))
        .collect();
    let only = |argument, operator, value| {
        let condition = condition(argument, operator, value).expect("arguments are 0 to 5");
        rule(vec![condition]).expect("a rule has a condition")
    };
    rules.insert(
        libc::SYS_clone,
        vec![only(0, SeccompCmpOp::MaskedEq(NEW_NAMESPACES), 0)],
    );
    let personalities = [0, 8, 0x20000, 0x20008, 0xffff_ffff];
    let personalities = personalities.map(|p| only(0, SeccompCmpOp::Eq, p));
    rules.insert(libc::SYS_personality, personalities.into());
    // AF_VSOCK reaches the hypervisor past every network namespace.
    rules.insert(libc::SYS_socket, vec![only(0, SeccompCmpOp::Ne, 40)]);
    rules
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    let code = u16::try_from(code).expect("BPF codes have 16 bits");
    sock_filter { code, jt, jf, k }
}

/// Before the list proper: 32-bit programs, whose numbers differ, and calls newer than the list.
fn prologue() -> Vec<sock_filter> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let load = |offset| instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
    let give = |action| instruction(BPF_RET | BPF_K, 0, 0, action);
    let eperm = RET_ERRNO | libc::EPERM.cast_unsigned();
    let enosys = RET_ERRNO | libc::ENOSYS.cast_unsigned();
    let mut program = Vec::new();
    if cfg!(target_arch = "x86_64") {
        let mut compat = vec![load(0)];
        let jump_if = |k| instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, k);
        compat.extend([jump_if(435), give(enosys)]);
        for call in REFUSED_I386 {
            compat.extend([jump_if(*call), give(eperm)]);
        }
        // clone: its first argument's lower half lies at offset 16.
        compat.extend([
            instruction(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 120),
            load(16),
            instruction(
                BPF_JMP | BPF_JSET | BPF_K,
                0,
                1,
                u32::try_from(NEW_NAMESPACES).expect("flags have 32 bits"),
            ),
            give(eperm),
            give(RET_ALLOW),
        ]);
        let length = u8::try_from(compat.len()).expect("fewer than 256 instructions");
        const AUDIT_ARCH_I386: u32 = 0x4000_0003;
        program.push(load(4));
        program.push(instruction(
            BPF_JMP | BPF_JEQ | BPF_K,
            0,
            length,
            AUDIT_ARCH_I386,
        ));
        program.extend(compat);
    }
    program.push(load(0));
    program.push(instruction(BPF_JMP | BPF_JGT | BPF_K, 0, 1, NEWEST_KNOWN));
    program.push(give(enosys));
    program
}

/// i386 numbers of: mount, umount, stime, acct, umount2, settimeofday, uselib, swapon,
/// reboot, ioperm, iopl, vhangup, vm86old, swapoff, create_module, init_module,
/// delete_module, get_kernel_syms, quotactl, bdflush, sysfs, vm86, query_module,
/// nfsservctl, pivot_root, lookup_dcookie, clock_settime, kexec_load, add_key,
/// request_key, keyctl, migrate_pages, unshare, move_pages, perf_event_open,
/// fanotify_init, open_by_handle_at, setns, kcmp, finit_module, bpf, userfaultfd,
/// clock_settime64, io_uring (3), open_tree, move_mount, fsopen, fsconfig, fsmount,
/// fspick, mount_setattr, quotactl_fd.
const REFUSED_I386: &[u32] = &[
    21, 22, 25, 51, 52, 79, 86, 87, 88, 101, 110, 111, 113, 115, 127, 128, 129, 130, 131, 134, 135,
    166, 167, 169, 217, 253, 264, 283, 286, 287, 288, 294, 310, 317, 336, 338, 342, 346, 349, 350,
    357, 374, 404, 425, 426, 427, 428, 429, 430, 431, 432, 433, 442, 443,
];

macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

const ALLOWED: &[i64] = calls! {
    SYS_accept SYS_accept4 SYS_adjtimex SYS_bind SYS_brk SYS_capget SYS_capset SYS_chdir SYS_chroot
    SYS_clock_adjtime SYS_clock_getres SYS_clock_gettime SYS_clock_nanosleep SYS_clone3 SYS_close
    SYS_close_range SYS_connect SYS_copy_file_range SYS_dup SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl
    SYS_epoll_pwait SYS_epoll_pwait2 SYS_eventfd2 SYS_execve SYS_execveat SYS_exit SYS_exit_group
    SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fanotify_mark SYS_fchdir SYS_fchmod
    SYS_fchmodat SYS_fchmodat2 SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_fgetxattr
    SYS_flistxattr SYS_flock SYS_fremovexattr SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync
    SYS_ftruncate SYS_futex SYS_futex_waitv SYS_getcpu SYS_getcwd SYS_getdents64 SYS_getegid
    SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer SYS_getpeername SYS_getpgid SYS_getpid
    SYS_getppid SYS_getpriority SYS_getrandom SYS_getresgid SYS_getresuid SYS_getrlimit
    SYS_get_robust_list SYS_getrusage SYS_getsid SYS_getsockname SYS_getsockopt SYS_gettid
    SYS_gettimeofday SYS_getuid SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1
    SYS_inotify_rm_watch SYS_io_cancel SYS_ioctl SYS_io_destroy SYS_io_getevents
    SYS_ioprio_get SYS_ioprio_set SYS_io_setup SYS_io_submit SYS_kill SYS_landlock_add_rule
    SYS_landlock_create_ruleset SYS_landlock_restrict_self SYS_lgetxattr SYS_linkat SYS_listen
    SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr SYS_madvise SYS_membarrier
    SYS_memfd_create SYS_memfd_secret SYS_mincore SYS_mkdirat SYS_mknodat SYS_mlock SYS_mlock2
    SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify SYS_mq_open
    SYS_mq_timedreceive SYS_mq_timedsend SYS_mq_unlink SYS_mremap SYS_msgctl SYS_msgget SYS_msgrcv
    SYS_msgsnd SYS_msync SYS_munlock SYS_munlockall SYS_munmap SYS_name_to_handle_at SYS_nanosleep
    SYS_newfstatat SYS_openat SYS_openat2 SYS_pidfd_getfd SYS_pidfd_open SYS_pidfd_send_signal
    SYS_pipe2 SYS_pkey_alloc SYS_pkey_free SYS_pkey_mprotect SYS_ppoll SYS_prctl SYS_pread64
    SYS_preadv SYS_preadv2 SYS_prlimit64 SYS_process_mrelease SYS_process_vm_readv
    SYS_process_vm_writev SYS_pselect6 SYS_ptrace SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_read
    SYS_readahead SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmmsg SYS_recvmsg
    SYS_remap_file_pages SYS_removexattr SYS_renameat SYS_renameat2 SYS_restart_syscall SYS_rseq
    SYS_rt_sigaction SYS_rt_sigpending SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigreturn
    SYS_rt_sigsuspend SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_getaffinity
    SYS_sched_getattr SYS_sched_getparam SYS_sched_get_priority_max SYS_sched_get_priority_min
    SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr
    SYS_sched_setparam SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_semctl SYS_semget
    SYS_semop SYS_semtimedop SYS_sendfile SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_setfsgid
    SYS_setfsuid SYS_setgid SYS_setgroups SYS_setitimer SYS_setpgid SYS_setpriority SYS_setregid
    SYS_setresgid SYS_setresuid SYS_setreuid SYS_setrlimit SYS_set_robust_list SYS_setsid
    SYS_setsockopt SYS_set_tid_address SYS_setuid SYS_setxattr SYS_shmat SYS_shmctl SYS_shmdt
    SYS_shmget SYS_shutdown SYS_sigaltstack SYS_signalfd4 SYS_socketpair SYS_splice SYS_statfs
    SYS_statx SYS_symlinkat SYS_sync SYS_sync_file_range SYS_syncfs SYS_sysinfo SYS_tee SYS_tgkill
    SYS_timer_create SYS_timer_delete SYS_timer_getoverrun SYS_timer_gettime SYS_timer_settime
    SYS_timerfd_create SYS_timerfd_gettime SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate
    SYS_umask SYS_uname SYS_unlinkat SYS_utimensat SYS_vmsplice SYS_wait4 SYS_waitid SYS_write
    SYS_writev
};

/// cachestat, map_shadow_stack, futex_wake, futex_wait, futex_requeue, statmount,
/// listmount, setxattrat, getxattrat, listxattrat, removexattrat: the same number everywhere.
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[292, 451, 453, 454, 455, 456, 457, 458, 463, 464, 465, 466];

#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[
    333,
    451,
    453,
    454,
    455,
    456,
    457,
    458,
    463,
    464,
    465,
    466,
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_creat,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_ctl_old,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_wait_old,
    libc::SYS_eventfd,
    libc::SYS_fork,
    libc::SYS_futimesat,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_get_thread_area,
    libc::SYS_inotify_init,
    libc::SYS_lchown,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_modify_ldt,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_set_thread_area,
    libc::SYS_signalfd,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_vfork,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_and_fits_the_kernel() {
        let listed = compile(allowed(), SeccompAction::Errno(1), SeccompAction::Allow).unwrap();
        assert!(listed.len() + prologue().len() < 4096);
    }

    #[test]
    fn mounting_and_new_namespaces_are_not_listed() {
        let rules = allowed();
        for call in [
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
        ] {
            assert!(!rules.contains_key(&call));
        }
        assert_eq!(rules[&libc::SYS_clone].len(), 1);
    }
}
