//! A file system as FAT is, which not every kernel has: one owner and one mode for all, neither
//! links nor devices nor attributes. What it cannot keep it refuses, as Linux's does.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Speaks FUSE's protocol (linux/fuse.h) with the kernel; files lie in a directory behind it.
/// Ends, and takes its mount along, when its standard input does.
const SERVER: &str = r#"
import ctypes, errno, os, stat, struct, sys, threading
backing, at, mask = sys.argv[1], sys.argv[2], int(sys.argv[3], 8)
libc = ctypes.CDLL(None, use_errno=True)
dev = os.open('/dev/fuse', os.O_RDWR)
options = 'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions' % dev
if libc.mount(b'fat', at.encode(), b'fuse.fat', 0, options.encode()):
    print('cannot mount:', os.strerror(ctypes.get_errno()), flush=True); sys.exit(1)
print('mounted', flush=True)
def ended():
    sys.stdin.read()
    libc.umount2(at.encode(), 2)
    os._exit(0)
threading.Thread(target=ended, daemon=True).start()
nodes = {1: ''}; ids = {'': 1}; handles = {}; count = 1
def path(node, name=None):
    p = nodes[node]
    if name is not None: p = p + '/' + name if p else name
    return p
def real(p): return os.path.join(backing, p) if p else backing
def node_of(p):
    global count
    if p not in ids: count += 1; ids[p] = count; nodes[count] = p
    return ids[p]
def attr(p):
    s = os.lstat(real(p)); kind = stat.S_IFMT(s.st_mode)
    mode = kind | (0o777 & ~mask)
    return struct.pack('<QQQQQQIIIIIIIIII', node_of(p), s.st_size, s.st_blocks, int(s.st_atime), int(s.st_mtime), int(s.st_ctime),
        0, s.st_mtime_ns % 10**9, s.st_ctime_ns % 10**9, mode, s.st_nlink, 0, 0, 0, 4096, 0)
def entry(p): return struct.pack('<QQQQII', node_of(p), 0, 0, 0, 0, 0) + attr(p)
def text(b): return b.split(b'\0')[0].decode()
def moved(old, new):
    for p in [p for p in ids if p == new or p.startswith(new + '/')]: nodes.pop(ids.pop(p), None)
    for p in [p for p in ids if p == old or p.startswith(old + '/')]:
        n = ids.pop(p); q = new + p[len(old):]; ids[q] = n; nodes[n] = q
def gone(p):
    if p in ids: nodes.pop(ids.pop(p), None)
def fh(fd):
    handles[fd] = fd
    return fd
def answer(op, node, body):
    if op == 26: return struct.pack('<IIIIHHIIHHI', 7, 31, 65536, 0, 0, 0, 65536, 1, 0, 0, 0) + b'\0' * 24
    if op == 1: return entry(checked(path(node, text(body))))
    if op == 3: return struct.pack('<QII', 0, 0, 0) + attr(path(node))
    if op == 4:
        valid, _, h, size, _, atime, mtime, _, ans, mns, _, mode, _, uid, gid, _ = struct.unpack('<IIQQQQQQIIIIIIII', body[:88])
        p = path(node)
        # As FAT without `quiet`: what it cannot keep it refuses.
        if valid & 1 and mode & 0o777 != 0o777 & ~mask or valid & 1 and mode & 0o7000: raise OSError(errno.EPERM, '')
        if valid & 2 and uid or valid & 4 and gid: raise OSError(errno.EPERM, '')
        if valid & 8: os.truncate(real(p), size)
        if valid & 32: os.utime(real(p), ns=(mtime * 10**9 + mns, mtime * 10**9 + mns))
        return struct.pack('<QII', 0, 0, 0) + attr(p)
    if op == 9:
        p = path(node, text(body[8:])); os.mkdir(real(p)); return entry(p)
    if op == 8:
        mode = struct.unpack('<I', body[:4])[0]
        if not stat.S_ISREG(mode): raise OSError(errno.EPERM, '')
        p = path(node, text(body[16:])); os.close(os.open(real(p), os.O_CREAT | os.O_EXCL, 0o600)); return entry(p)
    if op == 35:
        flags = struct.unpack('<I', body[:4])[0]
        p = path(node, text(body[16:]))
        fd = os.open(real(p), (flags & ~os.O_APPEND & ~os.O_NOFOLLOW & ~3) | os.O_RDWR | os.O_CREAT, 0o600)
        return entry(p) + struct.pack('<QII', fh(fd), 0, 0)
    if op == 14:
        flags = struct.unpack('<I', body[:4])[0]
        return struct.pack('<QII', fh(os.open(real(path(node)), (flags & (os.O_TRUNC | 3)))), 0, 0)
    if op == 15:
        h, at_, size = struct.unpack('<QQI', body[:20]); return os.pread(h, size, at_)
    if op == 16:
        h, at_, size = struct.unpack('<QQI', body[:20]); return struct.pack('<II', os.pwrite(h, body[40:40 + size], at_), 0)
    if op == 18: os.close(struct.unpack('<Q', body[:8])[0]); return b''
    if op == 10: p = path(node, text(body)); os.unlink(real(p)); gone(p); return b''
    if op == 11: p = path(node, text(body)); os.rmdir(real(p)); gone(p); return b''
    if op in (12, 45):
        new = struct.unpack('<Q', body[:8])[0]
        skip = 8 if op == 12 else 16
        if op == 45 and struct.unpack('<I', body[8:12])[0] & ~1: raise OSError(errno.EINVAL, '')
        a, b = body[skip:].split(b'\0')[:2]
        p, q = path(node, a.decode()), path(new, b.decode())
        if op == 45 and struct.unpack('<I', body[8:12])[0] & 1 and os.path.lexists(real(q)): raise OSError(errno.EEXIST, '')
        os.rename(real(p), real(q)); moved(p, q); return b''
    if op == 27: return struct.pack('<QII', 0, 0, 0)
    if op == 28:
        _, at_, size = struct.unpack('<QQI', body[:20])
        out = b''
        names = ['.', '..'] + sorted(os.listdir(real(path(node))))
        for number, name in enumerate(names):
            if number < at_: continue
            n = name.encode(); one = struct.pack('<QQII', 1, number + 1, len(n), 0) + n
            one += b'\0' * (-len(one) % 8)
            if len(out) + len(one) > size: break
            out += one
        return out
    if op in (29, 25): return b''
    if op == 17: return struct.pack('<QQQQQIIII', 1 << 20, 1 << 20, 1 << 20, 0, 0, 4096, 255, 4096, 0) + b'\0' * 24
    if op in (20, 30): return b''
    raise OSError({6: errno.EPERM, 13: errno.EPERM}.get(op, errno.ENOSYS), '')
def checked(p):
    os.lstat(real(p)); return p
while True:
    try: request = os.read(dev, 1 << 20)
    except OSError as e:
        if e.errno == errno.EINTR: continue
        break
    length, op, unique, node = struct.unpack('<IIQQ', request[:24])
    if op in (2, 42, 36): continue
    try: error, out = 0, answer(op, node, request[40:])
    except OSError as e: error, out = -e.errno, b''
    except KeyError: error, out = -errno.ENOENT, b''
    os.write(dev, struct.pack('<IiQ', 16 + len(out), error, unique) + out)
"#;

pub struct Fat {
    directory: tempfile::TempDir,
    server: Child,
}

impl Fat {
    /// `mask` is what the mode of everything lacks, as in `mount -o umask=`.
    pub fn mounted(mask: u32) -> Fat {
        let directory = super::temporary();
        for name in ["files", "mounted"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let mut server = Command::new("python3")
            .args(["-c", SERVER])
            .arg(directory.path().join("files"))
            .arg(directory.path().join("mounted"))
            .arg(format!("{mask:o}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(server.stdout.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(said, "mounted\n");
        Fat { directory, server }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }
}

impl Drop for Fat {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        drop(self.server.wait());
    }
}
