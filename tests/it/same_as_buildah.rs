//! The same Dockerfile gives the same tree and the same config as buildah gives,
//! for root and for an ordinary user, and other tools take what we write.

use std::path::{Path, PathBuf};

use tar::EntryType;

use crate::ground::images::{bases, path};
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::{peers, run, temporary, tree, write};

/// A real-life Dockerfile: a package from Debian's own archive format, thousands
/// of files, a second stage that copies from the first.
fn project(directory: &Path) {
    let host = &bases().host;
    local_package(directory);
    for i in 0..2000 {
        write(
            directory,
            &format!("src/d{:02}/f{i:04}.txt", i % 40),
            format!("{i}\n").repeat(i % 50),
        );
    }
    write(directory, "src/d00/run.sh", "#!/bin/sh\necho run\n");
    run("chmod", &["755", path(&directory.join("src/d00/run.sh"))]);
    std::os::unix::fs::symlink("d01", directory.join("src/current")).unwrap();
    write(
        directory,
        "Dockerfile",
        format!(
            "FROM {host}/library/debian:bookworm AS build\n\
             ARG MODE=release\n\
             COPY greet.deb /tmp/\n\
             RUN apt-get install -y --no-install-recommends /tmp/greet.deb && rm -f /tmp/greet.deb /var/log/apt/* /var/log/dpkg.log /var/cache/ldconfig/aux-cache\n\
             WORKDIR /work/out\n\
             COPY src /work/src\n\
             RUN echo $MODE > mode && ln mode mode2 && ln -s mode mode3 && mkdir -m 2750 keep && chown 7:8 keep && rm -rf /usr/share/doc && mkdir /usr/share/doc && touch /usr/share/doc/new && rm /etc/issue\n\
             FROM {host}/library/debian:bookworm\n\
             LABEL org.example.a=\"b c\" org.example.d=e\n\
             ENV A=1 B=two\\ words PATH=/opt/bin:$PATH\n\
             COPY --from=build /work /work\n\
             COPY --from=build /usr/bin/greet /usr/local/bin/\n\
             COPY --chown=12:34 src/d01/ /srv/data/\n\
             ADD src/d02 /srv/more/\n\
             RUN useradd -m app && install -d -o app -g app -m 1777 /srv/shared\n\
             USER app\n\
             WORKDIR /home/app\n\
             RUN id -un > who && pwd > where\n\
             VOLUME /data\n\
             EXPOSE 80 53/udp\n\
             STOPSIGNAL SIGINT\n\
             ENTRYPOINT [\"/usr/local/bin/greet\"]\n\
             CMD [\"hello\", \"world\"]\n"
        ),
    );
    write(directory, ".dockerignore", "imgmake.kdl\nout.tar\n*.tmp\n");
    write(
        directory,
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\nbuild app {{ context \".\"; tags \"app:1\"; tar \"out.tar\" format=oci }}\n"
        ),
    );
}

/// `greet.deb`, made by dpkg itself.
fn local_package(directory: &Path) {
    let package = temporary();
    write(
        package.path(),
        "DEBIAN/control",
        "Package: greet\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: says hello\n",
    );
    write(package.path(), "usr/bin/greet", "#!/bin/sh\necho hello\n");
    run("chmod", &["-R", "u=rwX,go=rX", path(package.path())]);
    run(
        "chmod",
        &["755", path(&package.path().join("usr/bin/greet"))],
    );
    run(
        "dpkg-deb",
        &[
            "--root-owner-group",
            "-b",
            path(package.path()),
            path(&directory.join("greet.deb")),
        ],
    );
}

fn same_for(user: User) {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::run_by(user);
    imgmake.give(directory.path());

    imgmake.ok(directory.path(), &["app"]);
    let theirs_tar = directory.path().join("theirs.tar");
    peers::buildah(directory.path(), &theirs_tar);

    let mut ours = tree::unpack(&format!(
        "oci-archive:{}",
        directory.path().join("out.tar").display()
    ));
    let mut theirs = tree::unpack(&format!("oci-archive:{}", theirs_tar.display()));
    for side in [&mut ours.tree, &mut theirs.tree] {
        forget_noise(side);
    }
    tree::assert_same(&ours.tree, &theirs.tree);
    // The same in one layer above the base.
    let once = [
        "app",
        "--set",
        "app.squash=true",
        "--set",
        "app.tar=one.tar",
    ];
    imgmake.ok(directory.path(), &once);
    let archive = directory.path().join("one.tar");
    let mut one = tree::unpack(&format!("docker-archive:{}", archive.display()));
    forget_noise(&mut one.tree);
    tree::assert_same(&one.tree, &ours.tree);
    let layers =
        |image: &tree::Unpacked| image.config["rootfs"]["diff_ids"].as_array().unwrap().len();
    assert_eq!((layers(&one), layers(&ours) > 5), (2, true));

    for field in [
        "Cmd",
        "Entrypoint",
        "User",
        "WorkingDir",
        "ExposedPorts",
        "Volumes",
        "StopSignal",
    ] {
        assert_eq!(
            ours.config["config"][field], theirs.config["config"][field],
            "{field}"
        );
    }
    // A base without PATH: BuildKit sets its default first, buildah appends where ENV names it.
    assert_eq!(sorted_env(&ours.config), sorted_env(&theirs.config));
    for label in ["org.example.a", "org.example.d"] {
        assert_eq!(
            ours.config["config"]["Labels"][label],
            theirs.config["config"]["Labels"][label]
        );
    }
}

fn sorted_env(config: &serde_json::Value) -> Vec<String> {
    let list = config["config"]["Env"].as_array().unwrap();
    let mut env: Vec<String> = list
        .iter()
        .map(|v| v.as_str().unwrap().to_string())
        .collect();
    env.sort();
    env
}

/// What differs between two runs of the same commands anywhere: dates in
/// databases, and buildah's own traces of mounts.
fn forget_noise(tree: &mut tree::Tree) {
    for path in [
        "etc/shadow",
        "etc/shadow-",
        "etc/.pwd.lock",
        "var/lib/dpkg/status-old",
        "etc/resolv.conf",
        "etc/hosts",
    ] {
        tree.remove(path);
    }
    // buildah leaves mount points behind; size and time stamps of folders are not compared.
    for path in ["run/secrets", "proc", "sys", "dev", "run", "data"] {
        tree.remove(path);
    }
    tree.retain(|path, _| {
        !path.starts_with("dev/") && !path.starts_with("var/lib/apt/extended_states")
    });
}

#[test]
fn a_real_dockerfile_gives_buildahs_tree_and_config_for_root() {
    same_for(User::Own);
}

#[test]
fn a_real_dockerfile_gives_buildahs_tree_and_config_for_an_ordinary_user() {
    same_for(User::WithSubordinateIds);
}

#[test]
fn a_user_without_subordinate_ids_installs_packages_and_the_image_is_roots() {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::run_by(User::Plain);
    imgmake.give(directory.path());
    imgmake.ok(directory.path(), &["app"]);
    let ours = tree::unpack(&format!(
        "oci-archive:{}",
        directory.path().join("out.tar").display()
    ));
    assert!(ours.tree["usr/local/bin/greet"].contains(" 755 0:0"));
    assert!(ours.tree.contains_key("work/out/mode2"));
}

#[test]
fn skopeo_podman_and_buildah_take_every_form_that_we_write() {
    let directory = temporary();
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /file\nCMD [\"/file\"]\n",
    );
    write(
        directory.path(),
        "imgmake.kdl",
        "build docker { context \".\"; tags \"it/app:1\"; tar \"out/docker.tar\"; layout \"out/layout\" }\n\
         build oci { context \".\"; tags \"it/app:1\"; tar \"out/oci.tar\" format=oci }\n",
    );
    write(directory.path(), ".dockerignore", "out\n");
    Imgmake::new().ok(directory.path(), &[]);
    let out = directory.path().join("out");
    let copies = directory.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    for (n, form) in [
        "docker-archive:docker.tar",
        "oci-archive:oci.tar",
        "oci:layout",
    ]
    .iter()
    .enumerate()
    {
        let (transport, file) = form.split_once(':').unwrap();
        let image = format!("{transport}:{}", out.join(file).display());
        let seen = run("skopeo", &["inspect", &image]);
        assert!(seen.contains("\"Layers\""), "{seen}");
        run(
            "skopeo",
            &[
                "copy",
                "-q",
                &image,
                &format!("dir:{}/{n}", copies.display()),
            ],
        );
    }
    let storage = temporary();
    let root = path(storage.path()).to_owned();
    let storage = [
        "--root",
        &format!("{root}/r"),
        "--runroot",
        &format!("{root}/rr"),
        "--storage-driver",
        "vfs",
    ];
    for archive in ["docker.tar", "oci.tar"] {
        let archive = out.join(archive);
        let loaded = run(
            "podman",
            &[&storage[..], &["load", "-q", "-i", path(&archive)]].concat(),
        );
        assert!(loaded.contains("it/app:1"), "{loaded}");
    }
    let from = format!("oci-archive:{}", out.join("oci.tar").display());
    run("buildah", &[&storage[..], &["from", "-q", &from]].concat());
}

/// A tar of entries: path, kind, and a file's text or a link's target.
fn tarball(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, said) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        let text = if kind.is_file() { *said } else { "" };
        if !kind.is_file() {
            header.set_link_name_literal(said).unwrap();
        }
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn hard_links_for(user: User) {
    let directory = temporary();
    let at = |name: &str| directory.path().join(name);
    // By tar itself, and packed: three names of one file, in two directories.
    write(directory.path(), "from/a/file", "text");
    std::fs::create_dir(at("from/b")).unwrap();
    std::fs::hard_link(at("from/a/file"), at("from/a/second")).unwrap();
    std::fs::hard_link(at("from/a/file"), at("from/b/third")).unwrap();
    let packed = at("packed.tar.gz");
    let from = at("from");
    let owned = ["--sort=name", "--owner=0", "--group=0", "-C", path(&from)];
    run(
        "tar",
        &[&owned[..], &["-czf", path(&packed), "a", "b"]].concat(),
    );
    // The name that came first means another file in the end: its links keep the old one.
    let replaced = tarball(&[
        ("r", EntryType::Directory, ""),
        ("r/file", EntryType::Regular, "first"),
        ("r/kept", EntryType::Link, "r/file"),
        ("r/also", EntryType::Link, "r/kept"),
        ("r/file", EntryType::Regular, "second!"),
        ("r/new", EntryType::Link, "r/file"),
    ]);
    write(directory.path(), "replaced.tar", replaced);
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nADD packed.tar.gz /\nADD replaced.tar /opt/\n",
    );
    write(
        directory.path(),
        ".dockerignore",
        "out\nfrom\ntheirs.tar\nimgmake.kdl\n",
    );
    write(
        directory.path(),
        "imgmake.kdl",
        "build app { context \".\"; tags \"it/app:1\"; layout \"out/l\"; tar \"out/oci.tar\" format=oci }\n",
    );
    let imgmake = Imgmake::run_by(user);
    imgmake.give(directory.path());
    imgmake.ok(directory.path(), &["app"]);

    let layout = format!("oci:{}:1", at("out/l").display());
    let archive = format!("oci-archive:{}", at("out/oci.tar").display());
    for (image, copy) in [(&layout, "one"), (&archive, "two")] {
        let to = format!("dir:{}", at(copy).display());
        run("skopeo", &["copy", "-q", image, &to]);
    }
    // As it was written, and as an ordinary user unpacks it.
    let image = format!("{}:1", at("out/l").display());
    let bundle = at("bundle");
    run(
        "umoci",
        &["unpack", "--rootless", "--image", &image, path(&bundle)],
    );
    let text = |name: &str| std::fs::read_to_string(bundle.join("rootfs").join(name)).unwrap();
    let texts = ["a/file", "a/second", "b/third"].map(text);
    assert_eq!(texts, ["text", "text", "text"]);
    let texts = ["file", "kept", "also", "new"].map(|name| text(&format!("opt/r/{name}")));
    assert_eq!(texts, ["second!", "first", "first", "second!"]);

    let ours = tree::unpack(&layout).tree;
    tree::assert_same(&ours, &tree::unpack(&archive).tree);
    for (name, links) in [("b/third", 3), ("opt/r/also", 2), ("opt/r/new", 2)] {
        let node = &ours[name];
        assert!(node.contains(&format!("links {links} ")), "{name}: {node}");
    }
    let theirs_tar = at("theirs.tar");
    peers::buildah(directory.path(), &theirs_tar);
    let theirs = tree::unpack(&format!("oci-archive:{}", theirs_tar.display())).tree;
    tree::assert_same(&ours, &theirs);
}

#[test]
fn hard_links_of_an_added_archive_are_those_that_buildah_makes_and_umoci_unpacks() {
    hard_links_for(User::Own);
}

#[test]
fn hard_links_of_an_archive_that_an_ordinary_user_adds_are_those_that_buildah_makes() {
    hard_links_for(User::Plain);
}

#[test]
fn a_hard_link_to_what_is_not_there_is_refused_and_no_output_is_left() {
    let file = ("file", EntryType::Regular, "text");
    for (entries, why) in [
        (
            vec![file, ("stray", EntryType::Link, "nothing")],
            "to `nothing` in the archive: not found",
        ),
        (
            vec![("stray", EntryType::Link, "file"), file],
            "to `file` in the archive: not found",
        ),
        (
            vec![file, ("stray", EntryType::Link, "base")],
            "to `base` in the archive: ",
        ),
    ] {
        let directory = temporary();
        let at = |name: &str| directory.path().join(name);
        write(directory.path(), "base", "of the image");
        write(directory.path(), "a.tar", tarball(&entries));
        write(
            directory.path(),
            "Dockerfile",
            "FROM scratch\nCOPY base /\nADD a.tar /\n",
        );
        write(
            directory.path(),
            "imgmake.kdl",
            "build oci { context \".\"; layout \"out/l\"; tar \"out/oci.tar\" format=oci }\n\
             build docker { context \".\"; tags \"it/app:1\"; layout \"out/tagged\"; tar \"out/docker.tar\" }\n",
        );
        write(directory.path(), ".dockerignore", "out\n");
        // A layer of these entries would be of no use: nobody can unpack it.
        let (alone, archive) = (at("alone"), at("a.tar"));
        std::fs::create_dir(&alone).unwrap();
        let unpacked = std::process::Command::new("tar")
            .args(["-C", path(&alone), "-xf", path(&archive)])
            .output()
            .unwrap();
        assert!(!unpacked.status.success(), "{why}");

        let imgmake = Imgmake::new();
        for target in ["oci", "docker"] {
            let says = ["invalid hard link `stray`", why];
            imgmake.refused(directory.path(), &[target], 1, &says);
            assert_eq!(files(&at("out")), Vec::<PathBuf>::new(), "{target}: {why}");
        }
    }
}

/// Every file below a directory, which may be missing.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn a_layout_without_tags_holds_the_newest_image_which_skopeo_need_not_choose() {
    let directory = temporary();
    let at = |name: &str| directory.path().join(name);
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY file /\n",
    );
    write(directory.path(), ".dockerignore", "out\n");
    let imgmake = Imgmake::new();
    let layout = format!("oci:{}", at("out/l").display());
    let digest = |image: &str| run("skopeo", &["inspect", "--format={{.Digest}}", image]);
    // Its digest, by what the same build wrote into a file that holds nothing else.
    let built = |text: &str, tags: &str| {
        let target = "context \".\"; layout \"out/l\"; tar \"out/alone.tar\" format=oci";
        let manifest = format!("build app {{ {target}; {tags} }}\n");
        write(directory.path(), "imgmake.kdl", manifest);
        write(directory.path(), "file", text);
        imgmake.ok(directory.path(), &["app"]);
        digest(&format!("oci-archive:{}", at("out/alone.tar").display()))
    };
    let (untagged, tagged) = ("", "tags \"it/app:1\"");

    let old = built("old", untagged);
    assert_eq!(digest(&layout), old);
    let new = built("new content", untagged);
    assert_ne!(new, old);
    assert_eq!(digest(&layout), new);
    let copy = format!("dir:{}", at("copy").display());
    run("skopeo", &["copy", "-q", &layout, &copy]);
    assert_eq!(digest(&copy), new);

    // One with a tag stands beside it, and is chosen by that; each replaces its own alone.
    let in_index = || -> Vec<String> {
        let index = std::fs::read(at("out/l/index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let manifests = index["manifests"].as_array().unwrap().iter();
        manifests
            .map(|entry| format!("{}\n", entry["digest"].as_str().unwrap()))
            .collect()
    };
    let by_tag = format!("{layout}:1");
    let first = built("with a tag", tagged);
    assert_eq!(digest(&by_tag), first);
    assert_eq!(in_index(), [new, first.clone()]);
    let newer = built("newer", untagged);
    assert_eq!(in_index(), [newer.clone(), first.clone()]);
    assert_eq!(digest(&by_tag), first);
    let second = built("newer, with a tag", tagged);
    assert_ne!(second, first);
    assert_eq!(in_index(), [newer, second.clone()]);
    assert_eq!(digest(&by_tag), second);
}
