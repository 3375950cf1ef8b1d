// Tries what no command of a build may do, one line for each: its name, and `refused`
// or `done`. Arguments: a process outside, a file outside, a disk as major:minor.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *name, int was_done) { printf("%s %s\n", name, was_done ? "done" : "refused"); }

static int opens(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) return 0;
    close(fd);
    return 1;
}

static int has_content(const char *path) {
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    int got = read(fd, &byte, 1) > 0;
    close(fd);
    return got;
}

static int writes(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    int wrote = text[0] == 0 || write(fd, text, strlen(text)) > 0;
    close(fd);
    return wrote;
}

static int device_works(const char *path, mode_t kind, unsigned major_number, unsigned minor_number) {
    unlink(path);
    mknod(path, kind | 0600, makedev(major_number, minor_number));
    struct stat meta;
    int is_device = stat(path, &meta) == 0 && (meta.st_mode & S_IFMT) == kind;
    return is_device && opens(path, O_RDONLY | O_NONBLOCK);
}

static int inherited_descriptors(void) {
    int found = 0;
    for (int fd = 3; fd < 4096; fd++) found += fcntl(fd, F_GETFD) >= 0;
    for (int fd = 0; fd < 3; fd++) {
        struct stat meta;
        found += fstat(fd, &meta) == 0 && S_ISDIR(meta.st_mode);
    }
    return found;
}

// The classical way out: a root below the working directory.
static int leaves_by_chroot(const char *outside) {
    int out = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mkdir("/tmp/jail", 0700);
    if (chroot("/tmp/jail") != 0 || fchdir(out) != 0) return 0;
    for (int i = 0; i < 64; i++)
        if (chdir("..") != 0) return 0;
    if (chroot(".") != 0) return 0;
    return has_content(outside);
}

static int in_child(int (*act)(const char *), const char *argument) {
    pid_t pid = fork();
    if (pid == 0) _exit(act(argument));
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status);
}

static int makes_user_namespace(const char *unused) { (void)unused; return unshare(CLONE_NEWUSER) == 0; }
static int makes_mount_namespace(const char *unused) { (void)unused; return unshare(CLONE_NEWNS) == 0; }

static int clones_into_namespace(const char *unused) {
    (void)unused;
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    if (pid > 0) waitpid(pid, NULL, 0);
    return pid > 0;
}

static int opens_by_handle(void) {
    // An ext4 handle of the root directory, as the "shocker" exploit had it.
    struct { struct file_handle head; unsigned char bytes[8]; } handle = {{8, 1}, {2}};
    int mount = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    return open_by_handle_at(mount, &handle.head, O_RDONLY) >= 0;
}

static int pushes_input(void) {
    char byte = 'x';
    for (int fd = 0; fd < 3; fd++)
        if (ioctl(fd, TIOCSTI, &byte) == 0) return 1;
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    return terminal >= 0 && ioctl(terminal, TIOCSTI, &byte) == 0;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    pid_t outside = atoi(arguments[1]);
    const char *file = arguments[2];
    unsigned major_number = atoi(arguments[3]), minor_number = atoi(strchr(arguments[3], ':') + 1);
    char path[4096];
    setvbuf(stdout, NULL, _IOLBF, 0);

    say("inherited-descriptors", inherited_descriptors());
    say("mount", mount("none", "/tmp", "tmpfs", 0, "") == 0);
    say("bind-mount", mount("/etc", "/tmp", NULL, MS_BIND, NULL) == 0);
    say("remount", mount("none", "/proc", NULL, MS_REMOUNT, NULL) == 0);
    say("umount", umount2("/proc", MNT_DETACH) == 0);
    say("pivot-root", syscall(SYS_pivot_root, ".", ".") == 0);
    say("open-tree", syscall(SYS_open_tree, -100, "/", 1) >= 0);
    say("fsopen", syscall(SYS_fsopen, "tmpfs", 0) >= 0);
    say("disk", device_works("/tmp/disk", S_IFBLK, major_number, minor_number));
    say("memory-device", device_works("/tmp/mem", S_IFCHR, 1, 1));
    say("kernel-log-device", device_works("/tmp/kmsg", S_IFCHR, 1, 11));
    say("init-module", syscall(SYS_init_module, "", 0, "") == 0 || errno == ENOEXEC);
    say("finit-module", syscall(SYS_finit_module, -1, "", 0) == 0 || errno == EBADF);
    say("delete-module", syscall(SYS_delete_module, "none", 0) == 0 || errno == ENOENT);
    say("kexec", syscall(SYS_kexec_load, 0, 0, NULL, 0) == 0);
    // Wrong magic numbers: nobody reboots, but who may would hear of them.
    say("reboot", syscall(SYS_reboot, 0, 0, 0, 0) == 0 || errno == EINVAL);
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    say("bpf", syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) >= 0);
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event};
    say("perf-event", syscall(SYS_perf_event_open, &event, -1, 0, -1, 0) >= 0);
    say("userfaultfd", syscall(SYS_userfaultfd, 0) >= 0);
    say("io-uring", syscall(SYS_io_uring_setup, 1, calloc(1, 256)) >= 0);
    say("ptrace", ptrace(PTRACE_SEIZE, outside, NULL, NULL) == 0);
    char here[8];
    struct iovec mine = {here, 8}, theirs = {(void *)main, 8};
    say("read-memory", process_vm_readv(outside, &mine, 1, &theirs, 1, 0) >= 0);
    say("signal", kill(outside, 0) == 0);
    say("sysrq", writes("/proc/sysrq-trigger", ""));
    say("kcore", has_content("/proc/kcore"));
    say("core-pattern", writes("/proc/sys/kernel/core_pattern", ""));
    say("sys", writes("/sys/kernel/uevent_helper", "") || writes("/sys/power/state", ""));
    say("add-key", syscall(SYS_add_key, "user", "probe", "x", 1, -3) >= 0);
    say("keyctl", syscall(SYS_keyctl, 0, -3, 0) >= 0);
    say("user-namespace", in_child(makes_user_namespace, ""));
    say("mount-namespace", in_child(makes_mount_namespace, ""));
    say("clone-namespace", in_child(clones_into_namespace, ""));
    say("setns", syscall(SYS_setns, -1, 0) == 0 || errno == EBADF);
    say("open-by-handle", opens_by_handle());
    snprintf(path, sizeof path, "/proc/1/root%s", file);
    say("root-of-1", has_content(path));
    snprintf(path, sizeof path, "/proc/self/root/../../../../../../..%s", file);
    say("root-of-self", has_content(path));
    snprintf(path, sizeof path, "/proc/%d/root%s", outside, file);
    say("root-of-outside", has_content(path));
    say("chroot", in_child(leaves_by_chroot, file));
    say("push-input", pushes_input());
    say("vsock", socket(AF_VSOCK, SOCK_STREAM, 0) >= 0);
    say("swapon", swapon("/tmp/disk", 0) == 0 || errno == EINVAL);
    say("acct", syscall(SYS_acct, "/tmp/acct") == 0 || errno == ENOENT);
    struct timeval now;
    gettimeofday(&now, NULL);
    say("set-time", settimeofday(&now, NULL) == 0);
    say("set-hostname", sethostname("probe", 5) == 0);
#ifdef SYS_iopl
    say("iopl", syscall(SYS_iopl, 3) == 0);
#endif
    say("personality", syscall(SYS_personality, 0x0040000) != -1);
    return 0;
}
