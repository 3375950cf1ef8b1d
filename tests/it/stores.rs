//! Where a store can be: a container's volume, a directory that cannot be written, a file system
//! that does not store modes. It works there, or it is refused in words that say what to do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::ground::docker::docker;
use crate::ground::fat::Fat;
use crate::ground::images::{bases, busybox};
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

/// A step that makes a program of root's, and an archive.
fn project(directory: &Path, host: &str) {
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/busybox:latest\n\
             RUN cp /bin/busybox /bin/root && chmod 4755 /bin/root && ln /bin/root /bin/again && ln -s root /bin/leads\n"
        ),
    );
    let manifest = format!(
        "imgmake version=1 {{ epoch 1700000000 }}\nregistry base \"{host}\" {{ insecure #true }}\n\
         build app {{ context \".\"; tags \"a:1\"; tar \"out.tar\" format=oci }}\n"
    );
    write(directory, "imgmake.kdl", manifest);
}

fn modes_below(directory: &Path) -> Vec<(PathBuf, u32)> {
    let found = run("find", &[directory.to_str().unwrap(), "-maxdepth", "1"]);
    let mode = |path: &str| {
        (
            PathBuf::from(path),
            fs::metadata(path).unwrap().mode() & 0o7777,
        )
    };
    found.lines().map(mode).collect()
}

#[test]
fn a_volume_of_a_container_becomes_private_and_is_used_again() {
    let (work, volume, registry) = (temporary(), temporary(), Registry::start());
    let from = format!("oci:{}:base", busybox().display());
    let to = format!("docker://{}/library/busybox:latest", registry.host);
    run(
        "skopeo",
        &["copy", "-q", "--dest-tls-verify=false", &from, &to],
    );
    project(work.path(), &registry.host);
    let pulled = || {
        let requests = registry.requests();
        let of_blobs = |r: &&String| r.starts_with("GET") && r.contains("/blobs/");
        requests.iter().filter(of_blobs).count()
    };
    // As an engine makes it, and one that everybody may write to.
    for mode in [0o755, 0o777] {
        let place = volume.path().join(format!("{mode:o}"));
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        let mounted = format!("{}:/cache", place.display());
        let options = ["--volume", &mounted, "--env", "IMGMAKE_STORE=/cache"];
        let first = docker().run(work.path(), &options, &["imgmake"]);
        assert_eq!(first.code, 0, "{first:?}");
        let image = fs::read(work.path().join("out.tar")).unwrap();
        for (path, mode) in modes_below(&place) {
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
        // The next container pulls nothing.
        let before = pulled();
        assert!(before > 0);
        fs::remove_dir_all(work.path().join(".imgmake")).unwrap();
        fs::remove_file(work.path().join("out.tar")).unwrap();
        let again = docker().run(work.path(), &options, &["imgmake"]);
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(pulled(), before);
        assert_eq!(fs::read(work.path().join("out.tar")).unwrap(), image);
        fs::remove_dir_all(work.path().join(".imgmake")).unwrap();
    }
    // A directory with other things in it is nobody's store.
    let home = volume.path().join("home");
    write(&home, "documents/letter", "x");
    let mounted = format!("{}:/cache", home.display());
    let options = ["--volume", &mounted, "--env", "IMGMAKE_STORE=/cache"];
    let refused = docker().run(work.path(), &options, &["imgmake"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let said = refused.stderr.contains("contains other files")
        && refused.stderr.contains("/cache/imgmake");
    assert!(said, "{}", refused.stderr);
    // Nothing was made in it but the user's key.
    for entry in fs::read_dir(&home).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(name == "documents" || name == "key", "{name:?}");
    }
}

/// Mounted read-only for one process and what it starts.
fn with_read_only(
    imgmake: &Imgmake,
    project: &Path,
    place: &Path,
    arguments: &[&str],
) -> (i32, String) {
    let plain = imgmake.command(project);
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "--propagation=private", "sh", "-c", script])
        .arg(place)
        .arg(plain.get_program())
        .args(arguments)
        .env_clear()
        .envs(
            plain
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(project);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_store_that_cannot_be_written_is_refused_with_a_way_out() {
    let work = temporary();
    project(work.path(), &bases().host);
    let imgmake = Imgmake::new();
    let says = |(code, text): (i32, String)| {
        assert_eq!(code, 1, "{text}");
        let place = imgmake.store().display().to_string();
        for expected in [place.as_str(), "Read-only file system", "IMGMAKE_STORE"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    };
    // There is none yet, and there is one that is full of what is needed.
    says(with_read_only(&imgmake, work.path(), &imgmake.home(), &[]));
    imgmake.ok(work.path(), &[]);
    let made = run("find", &[imgmake.store().to_str().unwrap()]);
    says(with_read_only(
        &imgmake,
        work.path(),
        &imgmake.store(),
        &["--force"],
    ));
    assert_eq!(run("find", &[imgmake.store().to_str().unwrap()]), made);

    // A directory in which an ordinary user may not write.
    let user = Imgmake::run_by(User::Plain);
    user.give(work.path());
    let place = temporary();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = format!("--store={}", place.path().join("store").display());
    let says = [
        "cannot open the store",
        "Permission denied",
        "IMGMAKE_STORE",
    ];
    user.refused(work.path(), &[&store], 1, &says);
}

#[test]
fn a_file_system_without_modes_and_links_holds_what_needs_none_and_is_refused_for_the_rest() {
    let work = temporary();
    project(work.path(), &bases().host);
    let imgmake = Imgmake::new();
    let on = |fat: &Fat| format!("--store={}", fat.path().join("store").display());
    // Everybody may read what is there, and nothing can be done about it.
    let open = Fat::mounted(0o022);
    let says = [
        "other users can enter it",
        "cannot be changed",
        "IMGMAKE_STORE",
    ];
    imgmake.refused(work.path(), &[&on(&open)], 1, &says);

    let private = Fat::mounted(0o077);
    let says = ["Dockerfile:2", "does not store modes", "IMGMAKE_STORE"];
    for _ in 0..2 {
        imgmake.refused(work.path(), &["--force", &on(&private)], 1, &says);
    }
    assert!(!work.path().join("out.tar").exists());
    // Layers, records and archives are plain files.
    let dockerfile = format!(
        "FROM {}/library/busybox:latest\nCOPY --chmod=4755 Dockerfile /bin/special\n",
        bases().host
    );
    write(work.path(), "Dockerfile", dockerfile);
    let built = |arguments: &[&str]| {
        imgmake.ok(work.path(), arguments);
        fs::read(work.path().join("out.tar")).unwrap()
    };
    let elsewhere = built(&["--force"]);
    let on_it = built(&["--force", &on(&private)]);
    assert_eq!(built(&["--force", &on(&private)]), on_it);
    assert!(elsewhere == on_it);
    imgmake.ok(work.path(), &["gc", "--keep", "0s", &on(&private)]);
}
