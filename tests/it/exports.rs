//! `export`: the files of an image, in a directory or a tar archive, are outputs like others.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::ground::imgmake::{Imgmake, User};
use crate::ground::{run, temporary, write};

/// A file, its other names, a directory, and something that a layer takes away again.
const DOCKERFILE: &str = "FROM scratch AS made\nCOPY --chown=5:6 --chmod=750 tool /bin/tool\nCOPY gone /gone\n\
    FROM scratch\nCOPY --from=made /bin /bin\nCOPY --chmod=700 dir /dir\nCOPY --link tool /bin/second\n";

fn project(directory: &Path, more: &str) {
    write(directory, "src/Dockerfile", DOCKERFILE);
    write(directory, "src/tool", "#!/bin/sh\n");
    write(directory, "src/gone", "gone\n");
    write(directory, "src/dir/file", "text\n");
    symlink("file", directory.join("src/dir/link")).unwrap();
    let manifest = format!(
        "imgmake version=1 {{ epoch 1700000000 }}\nbuild app {{\ncontext \"src\"\n{more}\n}}\n"
    );
    write(directory, "imgmake.kdl", manifest);
}

#[test]
fn files_of_an_image_lie_in_a_directory_and_belong_to_whoever_builds() {
    for user in [User::Own, User::WithSubordinateIds, User::Plain] {
        let directory = temporary();
        let at = |path: &str| directory.path().join(path);
        project(directory.path(), "export \"out/files\"");
        write(directory.path(), "out/files/others", "stay");
        // Whatever a checkout holds there leads nowhere.
        write(directory.path(), "victim/file", "precious");
        symlink("../../victim", at("out/files/dir")).unwrap();
        let imgmake = Imgmake::run_by(user);
        imgmake.give(directory.path());
        imgmake.ok(directory.path(), &["app"]);
        assert_eq!(
            fs::read_to_string(at("out/files/bin/tool")).unwrap(),
            "#!/bin/sh\n"
        );
        assert_eq!(
            fs::read_to_string(at("out/files/dir/file")).unwrap(),
            "text\n"
        );
        assert_eq!(fs::read_to_string(at("out/files/others")).unwrap(), "stay");
        assert_eq!(
            fs::read_link(at("out/files/dir/link")).unwrap(),
            Path::new("file")
        );
        assert!(!at("out/files/gone").exists() && !at("victim/file/file").exists());
        assert_eq!(fs::read_dir(at("victim")).unwrap().count(), 1);
        let tool = fs::metadata(at("out/files/bin/tool")).unwrap();
        let own = fs::metadata(at("src/Dockerfile")).unwrap();
        assert_eq!((tool.uid(), tool.gid()), (own.uid(), own.gid()), "{user:?}");
        assert_eq!((tool.mode() & 0o7777, tool.mtime()), (0o750, 1_700_000_000));
        let held = fs::metadata(at("out/files/dir")).unwrap();
        assert_eq!((held.mode() & 0o7777, held.mtime()), (0o700, 1_700_000_000));
    }
}

#[test]
fn an_archive_keeps_owners_and_several_platforms_have_directories() {
    let directory = temporary();
    let more = "platforms \"linux/amd64\" \"linux/arm64\"\nexport \"out/files\"\nexport \"out/files.tar\" format=tar";
    project(directory.path(), more);
    Imgmake::new().ok(directory.path(), &["app"]);
    let at = |path: &str| directory.path().join(path);
    for platform in ["linux_amd64", "linux_arm64"] {
        let tool = at("out/files").join(platform).join("bin/tool");
        assert_eq!(fs::read_to_string(tool).unwrap(), "#!/bin/sh\n");
    }
    let tar = at("out/files.tar");
    let listed = run("tar", &["-tvf", tar.to_str().unwrap(), "--numeric-owner"]);
    assert!(
        listed
            .lines()
            .any(|line| line.starts_with("-rwxr-x--- 5/6")
                && line.ends_with(" linux_arm64/bin/tool")),
        "{listed}"
    );
    assert!(listed.contains("linux_amd64/dir/link -> file"), "{listed}");
    assert!(!listed.contains("gone"), "{listed}");
}

#[test]
fn exports_are_outputs_of_their_target() {
    let directory = temporary();
    project(directory.path(), "export \"out/files\"");
    let mut manifest = fs::read_to_string(directory.path().join("imgmake.kdl")).unwrap();
    manifest += "run count {\n command \"wc -c < out/files/bin/tool > size\"\n inputs \"out/files/bin/tool\"\n outputs \"size\"\n}\n";
    write(directory.path(), "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    // Whoever reads a file of it waits for it.
    imgmake.ok(directory.path(), &["count"]);
    let size = || fs::read_to_string(directory.path().join("size")).unwrap();
    assert_eq!(size().trim(), "10");
    imgmake.ok(directory.path(), &["check", "count"]);
    // An output that was damaged is made again; so is one whose input has changed.
    fs::remove_file(directory.path().join("out/files/bin/tool")).unwrap();
    imgmake.refused(directory.path(), &["check", "app"], 5, &[]);
    imgmake.ok(directory.path(), &["app"]);
    assert!(directory.path().join("out/files/bin/tool").exists());
    write(directory.path(), "src/tool", "#!/bin/bash\n");
    imgmake.ok(directory.path(), &["count"]);
    assert_eq!(size().trim(), "12");
    // It is in no context: otherwise every build would change its own sources.
    imgmake.ok(directory.path(), &["check"]);
}

#[test]
fn an_export_that_cannot_be_is_refused() {
    let directory = temporary();
    for (more, says) in [
        ("export \".\"", "an export needs a separate directory"),
        ("export \"./..\"", "an export needs a separate directory"),
        ("export \"a\" format=zip", "zip"),
        ("export \"a\"; export \"a\"", "duplicate export `a`"),
        ("export", "a path"),
    ] {
        fs::remove_dir_all(directory.path()).unwrap();
        fs::create_dir(directory.path()).unwrap();
        project(directory.path(), more);
        Imgmake::new().refused(directory.path(), &["check"], 2, &[says]);
    }
}

#[test]
fn bakes_local_output_is_an_export() {
    let directory = temporary();
    project(directory.path(), "");
    fs::remove_file(directory.path().join("imgmake.kdl")).unwrap();
    let bake = "variable \"OUT\" { default = \"out\" }\ntarget \"default\" {\n context = \"src\"\n output = [\"type=local,dest=${OUT}/bin\"]\n}\n";
    write(directory.path(), "docker-bake.hcl", bake);
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &["import"]);
    let manifest = fs::read_to_string(directory.path().join("imgmake.kdl")).unwrap();
    assert!(manifest.contains("export \"${OUT}/bin\""), "{manifest}");
    imgmake.ok(directory.path(), &["default"]);
    assert!(directory.path().join("out/bin/bin/tool").exists());
}

/// A link of the checkout leads nowhere, nor does one that an image brings along.
#[test]
fn an_export_goes_through_no_link_and_holds_no_other_output() {
    let directory = temporary();
    project(directory.path(), "export \"out/files\"");
    write(directory.path(), "victim/file", "precious");
    symlink("victim", directory.path().join("out")).unwrap();
    let imgmake = Imgmake::new();
    imgmake.refused(directory.path(), &["app"], 1, &["is a symbolic link"]);
    assert_eq!(
        fs::read_dir(directory.path().join("victim"))
            .unwrap()
            .count(),
        1
    );
    fs::remove_file(directory.path().join("out")).unwrap();

    project(
        &directory.path().join("second"),
        "export \"out\"; tar \"out/dir/image.tar\"",
    );
    let said = ["the output `out/dir/image.tar` is inside the export `out`"];
    imgmake.refused(&directory.path().join("second"), &["app"], 1, &said);
}
