//! Which tiers work here, tried in a short-lived child each.

use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

use super::{IdMaps, Tier, system};

#[derive(Clone, Debug)]
pub struct Probe {
    pub tier: Tier,
    /// Why it does not work here.
    pub works: Result<(), String>,
}

/// Every tier, strongest first, for `imgmake doctor`.
pub fn probe() -> Vec<Probe> {
    Tier::ALL
        .into_iter()
        .map(|tier| Probe {
            tier,
            works: try_tier(tier),
        })
        .collect()
}

/// The tier that RUN uses: the strongest that works.
///
/// # Errors
/// None does; the message has each one's reason.
pub fn first_working() -> Result<Tier, String> {
    let mut reasons = Vec::new();
    for tier in Tier::ALL {
        match try_tier(tier) {
            Ok(()) => return Ok(tier),
            Err(reason) => reasons.push(format!("{tier}: {reason}")),
        }
    }
    Err(format!(
        "no way to isolate RUN works here (`imgmake doctor` says how to get one):\n  {}",
        reasons.join("\n  ")
    ))
}

fn try_tier(tier: Tier) -> Result<(), String> {
    let is_root = rustix::process::geteuid().is_root();
    match tier {
        Tier::Root if !is_root => Err("this user is not root".to_string()),
        Tier::Root => try_unshare(UnshareFlags::empty()),
        Tier::Rootless => {
            IdMaps::of_this_user().map_err(|e| format!("{e:#}"))?;
            try_unshare(UnshareFlags::NEWUSER)
        }
        Tier::SingleId => try_unshare(UnshareFlags::NEWUSER),
        Tier::Chroot if !is_root => Err("this user is not root".to_string()),
        Tier::Chroot => {
            let sets = rustix::thread::capabilities(None).map_err(|e| e.to_string())?;
            if sets
                .effective
                .contains(rustix::thread::CapabilitySet::SYS_CHROOT)
            {
                Ok(())
            } else {
                Err("CAP_SYS_CHROOT is missing".to_string())
            }
        }
    }
}

fn try_unshare(user: UnshareFlags) -> Result<(), String> {
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
    .map_err(|e| format!("cannot start a process: {e}"))?;
    let error = |number: i32| std::io::Error::from_raw_os_error(number);
    match code {
        0 => Ok(()),
        refused @ 1..UNSHARE => {
            let what = if user.is_empty() {
                "new namespaces (CAP_SYS_ADMIN is missing, or a seccomp profile forbids `unshare`)"
            } else {
                "new user namespaces (a seccomp profile, or user.max_user_namespaces)"
            };
            Err(format!("the system refuses {what}: {}", error(refused)))
        }
        refused => Err(format!(
            "mounting is refused inside new namespaces (a security module such as AppArmor): {}",
            error(refused - UNSHARE)
        )),
    }
}
