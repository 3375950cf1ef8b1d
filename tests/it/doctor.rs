//! `imgmake doctor`: which isolation is used and why, and how to get a better one.

use std::process::Command;

use crate::ground::docker::docker;
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::temporary;

fn says(text: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(text.contains(piece), "`{piece}` is not in:\n{text}");
    }
}

fn doctor(imgmake: &Imgmake) -> String {
    imgmake.ok(temporary().path(), &["doctor"]).stdout
}

#[test]
fn root_uses_everything_there_is() {
    says(
        &doctor(&Imgmake::new()),
        &[
            "  ✓ root: namespaces",
            "      capabilities: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP \
             NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP\n\
             \x20     system calls: filtered, as container runtimes do by default\n",
            "  ✓ chroot: ",
            "      capabilities: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP \
             NET_BIND_SERVICE AUDIT_WRITE SETFCAP\n",
            "      devices: every mount is nodev; ",
            "      devices: mknod is not possible, and devices of images are empty files; ",
            "RUN will use: root, the best that works",
            "Layers are stacked by overlay mounts.",
        ],
    );
}

#[test]
fn a_device_controller_that_root_can_use_is_named() {
    use imgmake_sandbox::{IsolationMode, device_controller};
    let text = doctor(&Imgmake::new());
    let expected = match device_controller(IsolationMode::Root) {
        Ok(version) => format!("; the device controller of control groups (version {version}) too"),
        Err(why) => format!("; no device controller ({why})"),
    };
    says(
        &text,
        &[&format!("devices: every mount is nodev{expected}\n")],
    );
}

#[test]
fn how_each_limit_and_the_isolated_network_come_about_is_told() {
    use imgmake_sandbox::{Controller, has_controller, network_program};
    let how = |controller| match has_controller(controller) {
        Ok(()) => "by the kernel, in a control group".to_string(),
        Err(why) => format!("by imgmake: cannot create a control group ({why})"),
    };
    let program = network_program().expect("`tests/run` installs slirp4netns");
    let text = format!(
        "\nLimits of a RUN:\n  memory: {}\n  processes: {}\n  disk: by imgmake\n  \
         time: by imgmake\n\n`network isolated`: by {}\n",
        how(Controller::Memory),
        how(Controller::Processes),
        program.display()
    );
    says(&doctor(&Imgmake::new()), &[&text]);
}

#[test]
fn a_user_with_subordinate_ids_lacks_nothing() {
    says(
        &doctor(&Imgmake::run_by(User::WithSubordinateIds)),
        &[
            "  ✗ root: this user is not root",
            "      devices: mknod is not possible, and every mount is nodev; no device controller \
             (it cannot be set from a user namespace)\n",
            "to enable it: not needed if an isolation mode below works",
            "RUN will use: rootless, the best that works",
        ],
    );
}

#[test]
fn a_user_without_learns_how_to_get_them() {
    says(
        &doctor(&Imgmake::run_by(User::Plain)),
        &[
            "  ✗ rootless: /etc/subuid has no range for `imgmake-plain`",
            "--add-subuids 100000-165535 --add-subgids 100000-165535 imgmake-plain`",
            "RUN will use: single-id, the best that works",
        ],
    );
}

#[test]
fn a_setting_that_forbids_user_namespaces_is_named() {
    let imgmake = Imgmake::run_by(User::Plain);
    let command = imgmake.command(temporary().path());
    // In a namespace of its own that setting is this test's alone.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" doctor";
    let user = [
        "--reuid",
        "imgmake-plain",
        "--regid",
        "imgmake-plain",
        "--init-groups",
    ];
    let mut inside = Command::new("setpriv");
    inside
        .args(user)
        .args(["unshare", "--user", "--map-root-user", "sh", "-c", script])
        .arg(imgmake.program())
        .envs(command.get_envs().filter_map(|(n, v)| Some((n, v?))));
    let output = inside.output().unwrap();
    says(
        &crate::ground::succeeded("imgmake doctor", &output),
        &[
            "  ✗ rootless: the system refuses new user namespaces: user.max_user_namespaces is 0",
            "to enable it: as root: `sysctl user.max_user_namespaces=15000`",
        ],
    );
}

#[test]
fn a_choice_by_hand_is_told_with_what_would_be_better() {
    let chosen =
        |isolation_mode: &str| doctor(&Imgmake::new().with("IMGMAKE_ISOLATION", isolation_mode));
    says(
        &chosen("chroot"),
        &[
            "RUN will use: chroot, as IMGMAKE_ISOLATION says, although root would work",
            "RUN works in one directory per stage and searches it for changes",
        ],
    );
    let plain = Imgmake::run_by(User::Plain).with("IMGMAKE_ISOLATION", "root");
    says(
        &doctor(&plain),
        &["RUN will use: root, as IMGMAKE_ISOLATION says, which does not work here"],
    );
}

#[test]
fn in_a_container_it_names_the_options_that_help() {
    let directory = temporary();
    let root = docker().run(directory.path(), &[], &["imgmake", "doctor"]);
    says(
        &root.stdout,
        &[
            "  ✗ root: the system refuses new namespaces",
            "to enable it: Docker: `--cap-add SYS_ADMIN`",
            "  ✗ rootless: the system refuses new user namespaces: a seccomp profile forbids",
            "to enable it: Docker: `--security-opt seccomp=unconfined`",
            "RUN will use: chroot, the best that works",
            "  memory: by imgmake: cannot create a control group (",
            "`network isolated`: not possible\n      to enable it: install `slirp4netns`\n",
        ],
    );
    crate::ground::run(
        "chmod",
        &["-R", "a+rwX", directory.path().to_str().unwrap()],
    );
    let other = temporary();
    crate::ground::run("chmod", &["a+rwX", other.path().to_str().unwrap()]);
    let user = docker().run(other.path(), &["--user", "1234"], &["imgmake", "doctor"]);
    says(
        &user.stdout,
        &[
            "  ✗ chroot: this user is not root",
            "to enable it: in a container: run it as root (Docker: `--user 0`",
            "RUN cannot work here. Builds without RUN work.",
        ],
    );
}

#[test]
fn it_tells_which_platforms_can_run() {
    let text = doctor(&Imgmake::new());
    says(
        &text,
        &[
            "RUN for other platforms:",
            " arm64: by /usr/bin/qemu-aarch64-static",
        ],
    );
    assert!(!text.contains("amd64: "), "{text}");
}
