//! Which isolation modes work here, tried in a short-lived child each.

use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

use super::{IdMaps, IsolationMode, system};

#[derive(Clone, Debug)]
pub struct Probe {
    pub isolation: IsolationMode,
    pub works: Result<(), Refusal>,
}

/// Why an isolation mode does not work here, and what would have to change.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub why: String,
    pub remedy: String,
}

impl Refusal {
    fn new(why: impl Into<String>, remedy: impl Into<String>) -> Refusal {
        Refusal {
            why: why.into(),
            remedy: remedy.into(),
        }
    }
}

/// No isolation mode works here: each with its reason.
#[derive(Clone, Debug)]
pub struct NoIsolation(pub Vec<(IsolationMode, Refusal)>);

impl std::fmt::Display for NoIsolation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no way to isolate RUN works here (`imgmake doctor` says how to get one):")?;
        for (isolation, refusal) in &self.0 {
            write!(f, "\n  {isolation}: {}", refusal.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for NoIsolation {}

/// Every isolation mode, strongest first, for `imgmake doctor`.
pub fn probe() -> Vec<Probe> {
    IsolationMode::ALL
        .into_iter()
        .map(|isolation| Probe {
            isolation,
            works: try_isolation_mode(isolation),
        })
        .collect()
}

/// The isolation mode that RUN uses: the strongest that works.
///
/// # Errors
/// None does; each one's reason.
pub fn first_working() -> Result<IsolationMode, NoIsolation> {
    let mut refusals = Vec::new();
    for isolation in IsolationMode::ALL {
        match try_isolation_mode(isolation) {
            Ok(()) => return Ok(isolation),
            Err(refusal) => refusals.push((isolation, refusal)),
        }
    }
    Err(NoIsolation(refusals))
}

fn try_isolation_mode(isolation: IsolationMode) -> Result<(), Refusal> {
    let is_root = rustix::process::geteuid().is_root();
    match isolation {
        IsolationMode::Root if !is_root => Err(Refusal::new(
            "this user is not root",
            "not needed if an isolation mode below works: all build the same images",
        )),
        IsolationMode::Root => try_unshare(UnshareFlags::empty()),
        IsolationMode::Rootless => {
            let maps = IdMaps::of_this_user();
            maps.map_err(|error| Refusal::new(format!("{error:#}"), subordinate_ids()))?;
            try_unshare(UnshareFlags::NEWUSER)
        }
        IsolationMode::SingleId => try_unshare(UnshareFlags::NEWUSER),
        IsolationMode::Chroot if !is_root => Err(Refusal::new(
            "this user is not root",
            "in a container: run it as root (Docker: `--user 0`; Kubernetes: `runAsUser: 0`)",
        )),
        IsolationMode::Chroot => {
            let sets = rustix::thread::capabilities(None);
            let may = |sets: rustix::thread::CapabilitySets| {
                sets.effective
                    .contains(rustix::thread::CapabilitySet::SYS_CHROOT)
            };
            match sets.is_ok_and(may) {
                true => Ok(()),
                false => Err(Refusal::new(
                    "CAP_SYS_CHROOT is missing",
                    "Docker: leave out `--cap-drop`, or add `--cap-add SYS_CHROOT`; \
                     Kubernetes: `capabilities: {add: [SYS_CHROOT]}`",
                )),
            }
        }
    }
}

fn subordinate_ids() -> String {
    let name = super::id_map::name_of_this_user();
    format!(
        "as root: install `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora), and \
         `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}`"
    )
}

fn try_unshare(user: UnshareFlags) -> Result<(), Refusal> {
    const UNSHARE: i32 = 100;
    let code = system::in_forked_child(|| {
        let flags = user | UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC;
        if let Err(error) = system::unshare(flags) {
            return error.raw_os_error().unwrap_or(1).min(UNSHARE - 1);
        }
        // A security module may give namespaces away and keep back their rights.
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        match rustix::mount::mount_change("/", private) {
            Ok(()) => 0,
            Err(error) => UNSHARE + error.raw_os_error().min(UNSHARE),
        }
    })
    .map_err(|e| Refusal::new(format!("cannot start a process: {e}"), "free some memory"))?;
    let error = |number: i32| std::io::Error::from_raw_os_error(number);
    match code {
        0 => Ok(()),
        refused @ 1..UNSHARE if user.is_empty() => Err(Refusal::new(
            format!(
                "the system refuses new namespaces: CAP_SYS_ADMIN is missing, or a seccomp profile \
                 forbids `unshare` ({})",
                error(refused)
            ),
            "Docker: `--cap-add SYS_ADMIN`; Kubernetes: `capabilities: {add: [SYS_ADMIN]}`",
        )),
        refused @ 1..UNSHARE => Err(no_user_namespaces(&error(refused))),
        refused => Err(Refusal::new(
            format!(
                "mounting is refused inside new namespaces: {}",
                error(refused - UNSHARE)
            ),
            "a security module forbids it; AppArmor: \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or a profile for imgmake with `userns,`; \
             Docker: `--security-opt apparmor=unconfined`",
        )),
    }
}

/// Which of the things that forbid user namespaces it was.
fn no_user_namespaces(error: &std::io::Error) -> Refusal {
    let setting = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let reason = |by: &str| format!("the system refuses new user namespaces: {by} ({error})");
    if setting("/proc/sys/user/max_user_namespaces").trim() == "0" {
        return Refusal::new(
            reason("user.max_user_namespaces is 0"),
            "as root: `sysctl user.max_user_namespaces=15000`",
        );
    }
    if setting("/proc/sys/kernel/unprivileged_userns_clone").trim() == "0" {
        return Refusal::new(
            reason("kernel.unprivileged_userns_clone is 0"),
            "as root: `sysctl kernel.unprivileged_userns_clone=1`",
        );
    }
    let status = setting("/proc/self/status");
    if status.lines().any(|line| line == "Seccomp:\t2") {
        return Refusal::new(
            reason("a seccomp profile forbids `unshare`"),
            "Docker: `--security-opt seccomp=unconfined`; \
             Kubernetes: `seccompProfile: {type: Unconfined}`",
        );
    }
    Refusal::new(
        reason("the kernel, or a security module"),
        "imgmake must not run in a chroot, and the kernel needs CONFIG_USER_NS",
    )
}
