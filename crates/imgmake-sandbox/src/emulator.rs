//! Programs of other architectures: what kind of program a file is, and the kernel's
//! `binfmt_misc`, which hands it to an emulator (qemu's user mode).
//!
//! Since Linux 6.7 every user namespace can have a `binfmt_misc` of its own: there an
//! installed emulator is registered for this run alone, without root.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use super::error::{During as _, Result, SandboxError};
use imgmake_guard::modes::{self, PRIVATE};

/// An architecture as ELF files and qemu name it.
struct Machine {
    /// As images name it.
    architecture: &'static str,
    /// As Rust names it.
    rust: &'static str,
    qemu: &'static str,
    /// ELF's class (1: 32 bits), byte order (1: little end first) and machine.
    class: u8,
    order: u8,
    number: u16,
}

const fn machine(
    architecture: &'static str,
    rust: &'static str,
    qemu: &'static str,
    (class, order, number): (u8, u8, u16),
) -> Machine {
    Machine {
        architecture,
        rust,
        qemu,
        class,
        order,
        number,
    }
}

const MACHINES: [Machine; 9] = [
    machine("amd64", "x86_64", "x86_64", (2, 1, 62)),
    machine("386", "x86", "i386", (1, 1, 3)),
    machine("arm64", "aarch64", "aarch64", (2, 1, 183)),
    machine("arm", "arm", "arm", (1, 1, 40)),
    machine("ppc64le", "powerpc64", "ppc64le", (2, 1, 21)),
    machine("s390x", "s390x", "s390x", (2, 2, 22)),
    machine("riscv64", "riscv64", "riscv64", (2, 1, 243)),
    machine("loong64", "loongarch64", "loongarch64", (2, 1, 258)),
    machine("mips64le", "mips64", "mips64el", (2, 1, 8)),
];

/// How programs of an architecture can be run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Emulation {
    /// The machine's own.
    Native,
    /// The kernel knows an emulator, and holds it open.
    Registered(PathBuf),
    /// The kernel knows an emulator, which it looks for in the image.
    RegisteredByPath(PathBuf),
    /// One is installed that the kernel does not know.
    Installed(PathBuf),
    Missing,
}

/// Where the kernel's own registrations are seen, when somebody has mounted them.
const REGISTRATIONS: &str = "/proc/sys/fs/binfmt_misc";

/// The architectures that there are emulators for.
pub fn emulated_architectures() -> impl Iterator<Item = &'static str> {
    let foreign = MACHINES.iter().filter(|m| !m.is_native());
    foreign.map(|m| m.architecture)
}

/// `None` for an architecture that nothing is known about.
pub fn emulation(architecture: &str) -> Option<Emulation> {
    let machine = MACHINES.iter().find(|m| m.architecture == architecture)?;
    Some(machine.emulation())
}

/// Registers an installed emulator in this process's user namespace, which must not
/// be the initial one. `at` is an empty directory of this run; the registration lasts
/// as long as the mount made there.
///
/// # Errors
/// No emulator is installed, or the kernel keeps `binfmt_misc` to real root.
pub fn register_emulator(architecture: &str, at: &Path) -> Result<()> {
    let machine = MACHINES.iter().find(|m| m.architecture == architecture);
    let machine = machine.ok_or_else(|| {
        SandboxError::Unsupported(format!("unknown architecture `{architecture}`"))
    })?;
    let program = match machine.emulation() {
        Emulation::Native | Emulation::Registered(_) => return Ok(()),
        Emulation::Installed(program) => program,
        Emulation::RegisteredByPath(_) => match machine.installed() {
            Some(program) => program,
            None => {
                return Err(SandboxError::Unsupported(
                    "the registered emulator is not installed".into(),
                ));
            }
        },
        Emulation::Missing => return Err(SandboxError::Unsupported(advice(machine))),
    };
    if !at.join("register").exists() {
        modes::make_dirs(at, PRIVATE)?;
        rustix::mount::mount("binfmt_misc", at, "binfmt_misc", MountFlags::empty(), c"")
            .during("cannot mount binfmt_misc in a user namespace (Linux 6.7)")?;
    }
    if at.join(machine.registration_name()).exists() {
        return Ok(());
    }
    let registered = File::options()
        .write(true)
        .open(at.join("register"))
        .and_then(|mut file| file.write_all(&machine.registration(&program)));
    registered.with_during(|| format!("cannot register `{}`", program.display()))
}

impl Machine {
    fn is_native(&self) -> bool {
        let own = std::env::consts::ARCH;
        self.rust == own || (own == "x86_64" && self.rust == "x86")
    }

    fn emulation(&self) -> Emulation {
        if self.is_native() {
            return Emulation::Native;
        }
        let registered = self.registered();
        match (registered, self.installed()) {
            (Some(found), _) => found,
            (None, Some(program)) => Emulation::Installed(program),
            (None, None) => Emulation::Missing,
        }
    }

    fn registered(&self) -> Option<Emulation> {
        for entry in fs::read_dir(REGISTRATIONS).ok()? {
            let Ok(text) = fs::read_to_string(entry.ok()?.path()) else {
                continue;
            };
            let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
            let magic = value("magic ").and_then(|hex| hex::decode(hex.trim()).ok());
            let is_this = magic.is_some_and(|magic| self.is_of(&magic));
            let Some(interpreter) = value("interpreter ").filter(|_| is_this) else {
                continue;
            };
            if !text.starts_with("enabled") {
                continue;
            }
            let interpreter = PathBuf::from(interpreter.trim());
            let held = value("flags: ").is_some_and(|flags| flags.contains('F'));
            return Some(match held {
                true => Emulation::Registered(interpreter),
                false => Emulation::RegisteredByPath(interpreter),
            });
        }
        None
    }

    /// A static one: in the image there are no libraries of this machine.
    fn installed(&self) -> Option<PathBuf> {
        let name = format!("qemu-{}", self.qemu);
        let places = ["/usr/bin", "/usr/local/bin", "/bin"];
        let names = [format!("{name}-static"), name];
        let paths = names
            .iter()
            .flat_map(|n| places.map(|place| Path::new(place).join(n)));
        paths
            .into_iter()
            .find(|path| Program::of(path).is_some_and(|p| p.loader.is_none()))
    }

    fn registration_name(&self) -> String {
        format!("imgmake-{}", self.architecture)
    }

    fn number_bytes(&self) -> [u8; 2] {
        match self.order {
            1 => self.number.to_le_bytes(),
            _ => self.number.to_be_bytes(),
        }
    }

    fn is_of(&self, head: &[u8]) -> bool {
        head.len() >= 20
            && head.starts_with(b"\x7fELF")
            && (head[4], head[5]) == (self.class, self.order)
            && head[18..20] == self.number_bytes()
    }

    /// What is written to `register`: the first twenty bytes of a program, executable
    /// or position independent, of any ABI.
    fn registration(&self, program: &Path) -> Vec<u8> {
        let (mut magic, mut mask) = ([0_u8; 20], [0xff_u8; 20]);
        magic[..4].copy_from_slice(b"\x7fELF");
        (magic[4], magic[5], magic[6]) = (self.class, self.order, 1);
        // The ABI and its version.
        (mask[7], mask[8]) = (0, 0);
        // The type: 2 or 3.
        let kind = if self.order == 1 { 16 } else { 17 };
        (magic[kind], mask[kind]) = (2, 0xfe);
        magic[18..].copy_from_slice(&self.number_bytes());
        let escaped = |bytes: &[u8]| -> String {
            bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
        };
        let name = self.registration_name();
        let (magic, mask) = (escaped(&magic), escaped(&mask));
        format!(":{name}:M::{magic}:{mask}:{}:F", program.display()).into_bytes()
    }
}

/// What the kernel looks at in a program.
struct Program {
    head: [u8; 64],
    /// The dynamic loader that it asks for.
    loader: Option<PathBuf>,
}

impl Program {
    fn of(path: &Path) -> Option<Program> {
        let mut file = File::open(path).ok()?;
        let mut head = [0; 64];
        file.read_exact(&mut head).ok()?;
        head.starts_with(b"\x7fELF").then_some(())?;
        let loader = loader(&file, &head);
        Some(Program { head, loader })
    }

    fn machine(&self) -> Option<&'static Machine> {
        MACHINES.iter().find(|m| m.is_of(&self.head))
    }
}

/// PT_INTERP's text.
fn loader(file: &File, head: &[u8; 64]) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    let wide = head[4] == 2;
    let number = |bytes: &[u8]| -> u64 {
        let all = bytes.iter();
        let join = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        match head[5] {
            1 => all.rev().fold(0, join),
            _ => all.fold(0, join),
        }
    };
    let (table, size, count) = match wide {
        true => (&head[32..40], &head[54..56], &head[56..58]),
        false => (&head[28..32], &head[42..44], &head[44..46]),
    };
    let (table, size, count) = (number(table), number(size), number(count));
    for i in 0..count.min(64) {
        let mut entry = [0; 56];
        let length = if wide { 56 } else { 32 };
        let at = table.checked_add(i * size)?;
        file.read_exact_at(&mut entry[..length], at).ok()?;
        if number(&entry[..4]) != PT_INTERP {
            continue;
        }
        let (offset, length) = match wide {
            true => (&entry[8..16], &entry[32..40]),
            false => (&entry[4..8], &entry[16..20]),
        };
        let length = usize::try_from(number(length)).ok().filter(|n| *n < 4096)?;
        let mut text = vec![0; length];
        file.read_exact_at(&mut text, number(offset)).ok()?;
        let text = String::from_utf8_lossy(&text)
            .trim_end_matches('\0')
            .to_string();
        return Some(PathBuf::from(text));
    }
    None
}

/// Why a program that is there cannot be executed, if more can be said than the kernel
/// does. Seen from inside of the image.
pub(super) fn why_not(program: &Path, error: &std::io::Error) -> Option<String> {
    if !program.exists() {
        return None;
    }
    let program = interpreted_by(program).unwrap_or_else(|| program.to_path_buf());
    let path = program.display();
    if !program.exists() {
        return Some(format!("its interpreter `{path}` is not in the image"));
    }
    let found = Program::of(&program)?;
    let machine = found.machine()?;
    if !machine.is_native() {
        let architecture = machine.architecture;
        let reason = format!(
            "`{path}` is a program for {architecture}, and this machine is {}",
            own_architecture()
        );
        return Some(match error.raw_os_error() {
            Some(libc::ENOEXEC) => format!("{reason}; {}", advice(machine)),
            _ => format!(
                "{reason}; the emulator that the kernel knows is looked for in the image: \
                 register it with the flag F, as Debian's `qemu-user-static` does"
            ),
        });
    }
    let loader = found.loader.filter(|loader| !loader.exists())?;
    Some(format!(
        "`{path}` was linked for the loader `{}`, which is not in the image \
         (a program for another libc?)",
        loader.display()
    ))
}

fn advice(machine: &Machine) -> String {
    let qemu = machine.qemu;
    let architecture = machine.architecture;
    format!(
        "install Debian's `qemu-user-static` (`qemu-{qemu}-static`), which rootless builds register \
         by themselves (Linux 6.7), or register an emulator for all users: \
         `docker run --privileged --rm tonistiigi/binfmt --install {architecture}`"
    )
}

fn own_architecture() -> &'static str {
    let own = std::env::consts::ARCH;
    let machine = MACHINES.iter().find(|m| m.rust == own);
    machine.map_or(own, |m| m.architecture)
}

/// What a `#!` line names.
fn interpreted_by(script: &Path) -> Option<PathBuf> {
    let mut head = [0; 256];
    let read = File::open(script).ok()?.read(&mut head).ok()?;
    let line = head[..read].strip_prefix(b"#!")?;
    let line = line.split(|b| *b == b'\n').next()?;
    let text = String::from_utf8_lossy(line).into_owned();
    text.split_whitespace().next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_native_and_names_its_loader() {
        let own = Program::of(Path::new("/proc/self/exe")).unwrap();
        assert!(own.machine().unwrap().is_native());
        let loader = own.loader.expect("tests are linked dynamically");
        assert!(loader.exists(), "{loader:?}");
    }

    #[test]
    fn a_registration_covers_programs_of_its_machine_alone() {
        let arm64 = MACHINES.iter().find(|m| m.architecture == "arm64").unwrap();
        let text = arm64.registration(Path::new("/usr/bin/qemu-aarch64-static"));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            r":imgmake-arm64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\x00\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F"
        );
        let s390x = MACHINES.iter().find(|m| m.architecture == "s390x").unwrap();
        let text = String::from_utf8(s390x.registration(Path::new("/q"))).unwrap();
        assert!(text.contains(r"\x00\x02\x00\x16:"), "{text}");
    }

    #[test]
    fn a_file_of_any_bytes_is_no_program() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        for bytes in [
            &b""[..],
            b"#!",
            b"\x7fELF",
            &[0xff; 64],
            b"\x7fELF\x02\x01\x01",
        ] {
            let mut text = bytes.to_vec();
            text.resize(64, 0xff);
            std::fs::write(&path, &text).unwrap();
            assert!(Program::of(&path).is_none_or(|p| p.machine().is_none()));
            std::fs::write(&path, bytes).unwrap();
            assert!(Program::of(&path).is_none() || bytes.len() >= 64);
        }
    }
}
