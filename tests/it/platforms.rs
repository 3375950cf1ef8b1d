//! Images for other platforms: RUN by an emulator, everything else without one.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use imgmake_sandbox::{Emulation, emulation};

use crate::ground::imgmake::{Imgmake, User};
use crate::ground::tree::unpack;
use crate::ground::{run, temporary, write};

/// A program for arm64 that writes `aarch64` into `/made`.
fn arm64_program() -> Vec<u8> {
    let code: [u32; 13] = [
        0x9280_0c60, // movn x0, 99         (AT_FDCWD)
        0x1000_0181, // adr  x1, path
        0xd280_0822, // movz x2, 0101       (O_WRONLY | O_CREAT)
        0xd280_3483, // movz x3, 0644
        0xd280_0708, // movz x8, 56         (openat)
        0xd400_0001, // svc  0
        0x1000_0121, // adr  x1, text
        0xd280_0102, // movz x2, 8
        0xd280_0808, // movz x8, 64         (write)
        0xd400_0001, // svc  0
        0xd280_0000, // movz x0, 0
        0xd280_0ba8, // movz x8, 93         (exit)
        0xd400_0001, // svc  0
    ];
    let mut body: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(b"/made\0\0\0aarch64\n");
    let (base, head) = (0x40_0000_u64, 0x78_u64);
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(16, 0);
    program.extend([2_u16, 183].map(u16::to_le_bytes).concat());
    program.extend(1_u32.to_le_bytes());
    program.extend([base + head, 64, 0].map(u64::to_le_bytes).concat());
    program.extend(0_u32.to_le_bytes());
    program.extend([64_u16, 56, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    let size = head + body.len() as u64;
    program.extend([1_u32, 5].map(u32::to_le_bytes).concat());
    program.extend(
        [0, base, base, size, size, 0x1000]
            .map(u64::to_le_bytes)
            .concat(),
    );
    program.extend(body);
    program
}

fn project(directory: &Path, dockerfile: &str, platforms: &str) {
    write(directory, "program", arm64_program());
    run(
        "chmod",
        &["755", directory.join("program").to_str().unwrap()],
    );
    write(directory, "Dockerfile", dockerfile);
    let manifest = format!(
        "build app {{ context \".\"; platforms {platforms}; tar \"out.tar\" format=oci }}\n"
    );
    write(directory, "imgmake.kdl", manifest);
}

const RUN: &str = "FROM scratch\nCOPY program /program\nRUN [\"/program\"]\n";

#[track_caller]
fn the_program_has_run(directory: &Path) {
    let image = format!("oci-archive:{}", directory.join("out.tar").display());
    let tree = unpack(&image).tree;
    assert!(tree["made"].starts_with("file 8 "), "{tree:?}");
}

#[test]
fn without_root_an_installed_emulator_is_enough() {
    for user in [User::WithSubordinateIds, User::Plain] {
        let directory = temporary();
        project(directory.path(), RUN, "\"linux/arm64\"");
        let imgmake = Imgmake::run_by(user);
        imgmake.give(directory.path());
        imgmake.ok(directory.path(), &[]);
        the_program_has_run(directory.path());
    }
}

#[test]
fn where_the_kernel_knows_no_emulator_root_learns_what_to_install() {
    let directory = temporary();
    project(directory.path(), RUN, "\"linux/arm64\"");
    let imgmake = Imgmake::new().with("IMGMAKE_ISOLATION", "root");
    if let Some(Emulation::Registered(_)) = emulation("arm64") {
        imgmake.ok(directory.path(), &[]);
        return the_program_has_run(directory.path());
    }
    let says = [
        "cannot execute `/program`",
        "a program for arm64, and this machine is",
        "qemu-user-static",
        "tonistiigi/binfmt --install arm64",
        "Dockerfile:3",
    ];
    imgmake.refused(directory.path(), &[], 1, &says);
}

/// Runs imgmake as root of a user namespace, which has a `binfmt_misc` of its own.
fn with_registration(flags: &str, directory: &Path, imgmake: &Imgmake) -> std::process::Output {
    let command = imgmake.command(directory);
    let magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
    let mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
    let registration = format!(":arm64:M::{magic}:{mask}:/usr/bin/qemu-aarch64-static:{flags}");
    let script = "echo unshared; read -r _; mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && \
        printf %s \"$1\" > /proc/sys/fs/binfmt_misc/register && \
        exec setpriv --reuid 0 --regid 0 --clear-groups -- \"$0\"";
    let mut child = Command::new("unshare")
        .args(["--user", "--mount", "sh", "-c", script])
        .arg(imgmake.program())
        .arg(registration)
        .envs(command.get_envs().filter_map(|(n, v)| Some((n, v?))))
        .env("IMGMAKE_ISOLATION", "root")
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut unshared = [0; 9];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut unshared)
        .unwrap();
    for map in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{}/{map}", child.id()), "0 0 65536").unwrap();
    }
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_emulator_that_the_kernel_holds_open_is_used() {
    let directory = temporary();
    project(directory.path(), RUN, "\"linux/arm64\"");
    let output = with_registration("F", directory.path(), &Imgmake::new());
    crate::ground::succeeded("imgmake", &output);
    the_program_has_run(directory.path());
}

#[test]
fn one_that_is_looked_for_in_the_image_is_told_with_the_flag_that_helps() {
    let directory = temporary();
    project(directory.path(), RUN, "\"linux/arm64\"");
    let output = with_registration("", directory.path(), &Imgmake::new());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for piece in ["a program for arm64", "looked for in the image", "flag F"] {
        assert!(said.contains(piece), "`{piece}`: {said}");
    }
}

#[test]
fn a_program_whose_loader_is_missing_is_told_so() {
    let directory = temporary();
    project(directory.path(), RUN, "\"linux/amd64\"");
    std::fs::copy("/bin/true", directory.path().join("program")).unwrap();
    let says = ["was linked for the loader", "which is not in the image"];
    Imgmake::new().refused(directory.path(), &[], 1, &says);
}

#[test]
fn without_run_no_emulator_is_needed_and_the_index_keeps_the_order() {
    let directory = temporary();
    let asked = ["linux/s390x", "linux/arm/v7", "linux/amd64", "linux/arm64"];
    let platforms = asked.map(|p| format!("\"{p}\"")).join(" ");
    let dockerfile =
        "FROM scratch\nARG TARGETPLATFORM\nCOPY program /program\nLABEL for=$TARGETPLATFORM\n";
    project(directory.path(), dockerfile, &platforms);
    Imgmake::new().ok(directory.path(), &[]);
    assert_eq!(entries(directory.path()), asked);
}

#[test]
fn a_base_of_one_platform_gives_each_entry_its_own_and_a_warning_for_each_that_differs() {
    let directory = temporary();
    let path = directory.path();
    write(path, "Dockerfile", "FROM base\nLABEL a=b\n");
    let manifest = r#"
build base { from "scratch"; file "/a" "a"; platforms "linux/amd64" }
build app {
    context "."
    contexts { base (target)base }
    platforms "linux/amd64" "linux/arm64" "linux/arm/v7"
    tar "out.tar" format=oci
}
build steps { from (target)base; file "/b" "b"; platforms "linux/amd64" "linux/arm64" }
"#;
    write(path, "imgmake.kdl", manifest);
    let ran = Imgmake::new().ok(path, &[]);
    assert_eq!(
        entries(path),
        ["linux/amd64", "linux/arm64", "linux/arm/v7"]
    );
    let warned = |target: &str, platform: &str| {
        let end = format!("is for linux/amd64, but this build is for {platform}");
        let lines = ran.stderr.lines();
        let own = lines.filter(|line| line.starts_with(target) && line.contains("warning"));
        own.filter(|line| line.ends_with(&end)).count()
    };
    for (target, platform, times) in [
        ("app", "linux/arm64", 1),
        ("app", "linux/arm/v7", 1),
        ("app", "linux/amd64", 0),
        ("steps", "linux/arm64", 1),
    ] {
        let counted = warned(target, platform);
        assert_eq!(counted, times, "{target} {platform}: {}", ran.stderr);
    }
}

#[test]
fn lines_of_steps_name_the_platform_where_there_are_several() {
    let directory = temporary();
    let path = directory.path();
    let dockerfile = "FROM scratch AS made\nARG TARGETARCH\nENV FOR=$TARGETARCH\nCOPY program /$TARGETARCH\n\
         FROM scratch\nCOPY --from=made / /\n";
    project(path, dockerfile, "\"linux/amd64\" \"linux/arm64\"");
    let imgmake = Imgmake::new();
    let ran = imgmake.ok(path, &[]);
    for platform in ["linux/amd64", "linux/arm64"] {
        for step in [
            format!("[{platform} made] COPY program /$TARGETARCH"),
            format!("[{platform} stage-1] COPY --from=made / /"),
        ] {
            assert_eq!(ran.stderr.matches(&step).count(), 1, "{step}: {ran:?}");
        }
    }
    let logs = imgmake.ok(path, &["logs", "app", "linux/arm64"]);
    let shown = logs.stdout.matches("\nstep ").count();
    assert_eq!(shown, 2, "{logs:?}");
    assert!(!logs.stdout.contains("amd64"), "{logs:?}");

    let one = imgmake.ok(path, &["--set", "app.platforms=linux/arm64"]);
    assert!(one.stderr.contains("│ [made] COPY program"), "{one:?}");
}

/// The platforms of the archive's index, in its order.
fn entries(directory: &Path) -> Vec<String> {
    let archive = format!("oci-archive:{}", directory.join("out.tar").display());
    let index: serde_json::Value =
        serde_json::from_str(&run("skopeo", &["inspect", "--raw", &archive])).unwrap();
    let children = index["manifests"].as_array().unwrap().iter().map(|child| {
        let part = |name: &str| {
            child["platform"][name]
                .as_str()
                .unwrap_or_default()
                .to_string()
        };
        let text = format!(
            "{}/{}/{}",
            part("os"),
            part("architecture"),
            part("variant")
        );
        text.trim_end_matches('/').to_string()
    });
    children.map(|p| p.replace("arm64/v8", "arm64")).collect()
}
