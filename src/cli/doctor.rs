//! `doctor`: which ways of isolating RUN work here, which one is used and why, and how
//! to get a better one; what RUN for other platforms needs.

use std::fmt::Write;

use super::args::Global;
use super::environment::Environment;
use super::output::print_sentences;
use super::tools::isolation;
use super::trust::open_store;
use crate::exit::Exit;
use imgmake_build::worker::Worker;
use imgmake_sandbox::{
    self as sandbox, Controller, Emulation, IsolationMode, Probe, SyscallFilter,
};

pub fn doctor(global: &Global, environment: &Environment) -> Result<u8, Exit> {
    let path = environment.store(global)?;
    let mut text = format!(
        "imgmake {}\n\nstore: {}\n",
        env!("CARGO_PKG_VERSION"),
        path.display()
    );
    let store = match open_store(global, environment) {
        Ok(store) => store,
        Err(error) => {
            print_sentences(&format!("{text}  ✗ {error}\n"))?;
            return Ok(crate::exit::FAILED);
        }
    };
    let probes = sandbox::probe();
    let wanted = isolation(environment)?;
    text.push_str(&isolation_modes(&probes));
    text.push_str(&choice(&probes, wanted));
    text.push_str(&layers(&Worker::new(store, wanted)));
    text.push_str(&limits());
    text.push_str(&platforms());
    print_sentences(&text)?;
    Ok(0)
}

fn isolation_modes(probes: &[Probe]) -> String {
    let mut text = String::from("\nRUN isolation, best first:\n");
    for probe in probes {
        let isolation = probe.isolation;
        let line = match &probe.works {
            Ok(()) => format!(
                "  ✓ {isolation}: {}\n      capabilities: {}\n      system calls: {}\n      \
                 devices: {}\n",
                means(isolation),
                sandbox::capability_names(isolation).join(" "),
                filtered_by(isolation),
                devices_kept_by(isolation),
            ),
            Err(no) => format!(
                "  ✗ {isolation}: {}\n      to enable it: {}\n",
                no.why, no.remedy
            ),
        };
        text.push_str(&line);
    }
    text
}

fn means(isolation: IsolationMode) -> &'static str {
    match isolation {
        IsolationMode::Root => "namespaces and overlay mounts of real root",
        IsolationMode::Rootless => "the same in a user namespace, with a range of ids",
        IsolationMode::SingleId => {
            "a user namespace with one id; new files belong to root in the image"
        }
        IsolationMode::Chroot => {
            "a separate root directory only; commands see the container's processes \
             and network"
        }
    }
}

fn filtered_by(isolation: IsolationMode) -> &'static str {
    match sandbox::syscall_filter(isolation) {
        SyscallFilter::Own => "filtered, as container runtimes do by default",
        SyscallFilter::Containers => "filtered by the container's own profile",
        SyscallFilter::Missing => {
            "not filtered: the container has no profile, and imgmake may load its own only \
             with CAP_SYS_ADMIN"
        }
    }
}

/// What keeps the host's devices away.
fn devices_kept_by(isolation: IsolationMode) -> String {
    let first = match isolation {
        IsolationMode::Root => "every mount is nodev",
        IsolationMode::Rootless | IsolationMode::SingleId => {
            "mknod is not possible, and every mount is nodev"
        }
        IsolationMode::Chroot => "mknod is not possible, and devices of images are empty files",
    };
    match sandbox::device_controller(isolation) {
        Ok(version) => {
            format!("{first}; the device controller of control groups (version {version}) too")
        }
        Err(why) => format!("{first}; no device controller ({why})"),
    }
}

fn choice(probes: &[Probe], wanted: Option<IsolationMode>) -> String {
    let best = probes.iter().find(|p| p.works.is_ok()).map(|p| p.isolation);
    match (wanted, best) {
        (Some(wanted), best) => {
            let works = probes
                .iter()
                .any(|p| p.isolation == wanted && p.works.is_ok());
            let but = match best.filter(|best| *best < wanted) {
                _ if !works => ", which does not work here: unset it, or see above".to_string(),
                Some(best) => format!(", although {best} would work"),
                None => String::new(),
            };
            format!("\nRUN will use: {wanted}, as IMGMAKE_ISOLATION says{but}\n")
        }
        (None, Some(best)) => format!("\nRUN will use: {best}, the best that works\n"),
        (None, None) => "\nRUN cannot work here. Builds without RUN work.\n".to_string(),
    }
}

/// How steps get the image's files.
fn layers(worker: &Worker) -> String {
    match worker.overlay() {
        Ok(Ok(())) => "Layers are stacked by overlay mounts.\n".to_string(),
        Ok(Err(why)) => format!(
            "RUN works in one directory per stage and searches it for changes, which is slower than overlay mounts: {why}\n"
        ),
        // Said above already, isolation mode by isolation mode.
        Err(_) if worker.isolation().is_err() => String::new(),
        Err(error) => format!("The helper process cannot start: {error:#}\n"),
    }
}

/// How `limits` of a build target are enforced.
fn limits() -> String {
    let mut text = String::from("\nLimits of a RUN:\n");
    for (name, controller) in [
        ("memory", Controller::Memory),
        ("processes", Controller::Processes),
    ] {
        let how = match sandbox::has_controller(controller) {
            Ok(()) => "by the kernel, in a control group".to_string(),
            Err(why) => format!("by imgmake: cannot create a control group ({why})"),
        };
        writeln!(text, "  {name}: {how}").expect("a string takes everything");
    }
    text.push_str("  disk: by imgmake\n  time: by imgmake\n");
    text.push_str(&match sandbox::network_program() {
        Some(program) => format!("\n`network isolated`: by {}\n", program.display()),
        None => "\n`network isolated`: not possible\n      to enable it: install `slirp4netns`\n"
            .to_string(),
    });
    text
}

fn platforms() -> String {
    let mut text = String::from("\nRUN for other platforms:\n");
    let mut missing = Vec::new();
    for architecture in sandbox::emulated_architectures() {
        let how = match sandbox::emulation(architecture) {
            None | Some(Emulation::Native) => continue,
            Some(Emulation::Missing) => {
                missing.push(architecture);
                continue;
            }
            Some(Emulation::Registered(by)) => format!("✓ {architecture}: by {}", by.display()),
            Some(Emulation::RegisteredByPath(by)) => format!(
                "✗ {architecture}: {} is looked for in the image; register it with the flag F",
                by.display()
            ),
            Some(Emulation::Installed(by)) => format!(
                "✓ {architecture}: by {}, which builds without root register for themselves (Linux 6.7); \
                 it is not registered in the kernel",
                by.display()
            ),
        };
        writeln!(text, "  {how}").expect("a string takes everything");
    }
    if !missing.is_empty() {
        let names = missing.join(", ");
        let line = format!(
            "  ✗ {names}: no emulator\n      to enable it: install `qemu-user-static`, or \
             `docker run --privileged --rm tonistiigi/binfmt --install all`\n"
        );
        text.push_str(&line);
    }
    text.push_str("  Images without RUN can be built for every platform.\n");
    text
}
