//! COPY and ADD from a context: what the layer holds.

use super::*;

#[test]
fn a_file_goes_to_a_file_or_into_a_directory() {
    let p = Project::new();
    p.write("f", "x");
    assert_eq!(
        p.build("FROM scratch\nCOPY f /d\n").files(),
        ["644 0:0 d 1"]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY f /d/\n").files(),
        ["755 0:0 d/", "644 0:0 d/f 1"]
    );
    assert_eq!(
        p.build("FROM scratch\nWORKDIR /w\nCOPY f .\n").layers[1],
        ["755 0:0 w/", "644 0:0 w/f 1"]
    );
}

#[test]
fn no_name_of_a_whiteout_comes_into_a_layer_by_any_way() {
    let p = Project::new();
    p.write("f", "x").write("root/a", "1");
    p.link("root/up", ".wh.a")
        .link("root/opaque", ".wh..wh..opq");
    for written in [
        "WORKDIR /x/.wh.y",
        "COPY f /x/.wh.y/",
        "COPY f /.wh.y",
        "COPY --link f /.wh..wh..opq/f",
        "COPY f /up/",
        "COPY f /up/inner/f",
        "COPY root/ /opaque/inner/",
        "WORKDIR /opaque/w",
        "COPY <<E /up/f\nE",
    ] {
        let error = p.error(&format!("FROM scratch\nCOPY root /\n{written}\n"));
        let told = "in an image layer, names that begin with `.wh.` delete a file";
        assert!(
            error.contains("Dockerfile:3: ") && error.contains(told),
            "{written}: {error}"
        );
    }
}

#[test]
fn a_directory_gives_its_contents() {
    let p = Project::new();
    p.write("src/a", "1").write("src/sub/b", "22");
    p.mode("src/sub", 0o750).mode("src", 0o700);
    // The directory itself does not travel: /app is new, 0755.
    assert_eq!(
        p.build("FROM scratch\nCOPY src /app\n").files(),
        [
            "755 0:0 app/",
            "644 0:0 app/a 1",
            "750 0:0 app/sub/",
            "644 0:0 app/sub/b 2"
        ]
    );
}

#[test]
fn several_sources_need_a_directory() {
    let p = Project::new();
    p.write("a", "1").write("b", "2");
    let error = p.error("FROM scratch\nCOPY a b /d\n");
    assert!(
        error.contains("Dockerfile:2: ") && error.contains("`/d/`"),
        "{error}"
    );
    let error = p.error("FROM scratch\nCOPY * /d\n");
    assert!(
        error.contains("Dockerfile:2: ") && error.contains("`/d/`"),
        "{error}"
    );
    assert_eq!(p.build("FROM scratch\nCOPY a b /d/\n").files().len(), 3);
    assert_eq!(
        p.build("FROM scratch\nWORKDIR /x\nCOPY a b ./\n").layers[1].len(),
        3
    );
}

#[test]
fn copying_onto_an_existing_directory_keeps_its_mode_and_owner() {
    let p = Project::new();
    p.write("f", "x").write("d/g", "y");
    let image =
        p.build("FROM scratch\nCOPY --chmod=1777 --chown=5:6 d /tmp/\nCOPY f /tmp/\nCOPY d /tmp\n");
    assert_eq!(image.layers[0][0], "777 5:6 tmp/");
    assert_eq!(image.layers[1], ["777 5:6 tmp/", "644 0:0 tmp/f 1"]);
    assert_eq!(image.layers[2], ["777 5:6 tmp/", "644 0:0 tmp/g 1"]);
}

#[test]
fn new_parents_take_chown_and_an_octal_chmod() {
    let p = Project::new();
    p.write("f", "x");
    assert_eq!(
        p.build("FROM scratch\nCOPY --chown=1:2 --chmod=700 f /a/b/f\n")
            .files(),
        ["700 1:2 a/", "700 1:2 a/b/", "700 1:2 a/b/f 1"]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY --chmod=u+x,go= f /a/f\n")
            .files(),
        ["755 0:0 a/", "700 0:0 a/f 1"]
    );
}

#[test]
fn links_at_the_top_are_followed_and_inner_ones_kept() {
    let p = Project::new();
    p.write("real/f", "x")
        .link("real/inner", "f")
        .link("top", "real");
    p.link("file", "real/f").link("out", "/../../real/f");
    let image = p.build("FROM scratch\nCOPY top /t\nCOPY file /f\nCOPY out /o\n");
    assert_eq!(
        image.layers[0],
        ["755 0:0 t/", "644 0:0 t/f 1", "777 0:0 t/inner -> f"]
    );
    assert_eq!(image.layers[1], ["644 0:0 f 1"]);
    assert_eq!(image.layers[2], ["644 0:0 o 1"]);
}

#[test]
fn destinations_run_through_links_inside_the_image() {
    let p = Project::new();
    p.write("root/usr/lib/x", "x").link("root/lib", "usr/lib");
    p.link("root/up", "../../..");
    p.write("f", "y");
    let image =
        p.build("FROM scratch\nCOPY root /\nCOPY f /lib/f\nCOPY f /up/g\nCOPY --link f /lib/h\n");
    assert_eq!(
        image.layers[1],
        ["755 0:0 usr/", "755 0:0 usr/lib/", "644 0:0 usr/lib/f 1"]
    );
    assert_eq!(image.layers[2], ["644 0:0 g 1"]);
    assert_eq!(image.layers[3], ["755 0:0 lib/", "644 0:0 lib/h 1"]);
}

#[test]
fn a_wildcard_may_match_nothing_beside_another_source() {
    let p = Project::new();
    p.write("a.txt", "1")
        .write("b.txt", "2")
        .write("sub/c.txt", "3");
    assert_eq!(
        p.build("FROM scratch\nCOPY *.txt nothing* /d/\n").files(),
        ["755 0:0 d/", "644 0:0 d/a.txt 1", "644 0:0 d/b.txt 1"]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY s*/*.txt /d/\n").files().len(),
        2
    );
    assert!(
        p.build("FROM scratch\nCOPY nothing* /d/\n")
            .files()
            .is_empty()
    );
    assert!(
        p.error("FROM scratch\nCOPY a.txt gone /d/\n")
            .contains("`gone` not found")
    );
}

#[test]
fn the_ignore_file_hides_and_says_so() {
    let p = Project::new();
    p.write("keep", "1")
        .write("secret/key", "2")
        .write("log/a", "3")
        .write("log/keep", "4");
    p.write(".dockerignore", "secret\nlog/*\n!log/keep\n.dockerignore\n");
    assert_eq!(
        p.build("FROM scratch\nCOPY . /\n").files(),
        ["644 0:0 keep 1", "755 0:0 log/", "644 0:0 log/keep 1"]
    );
    let error = p.error("FROM scratch\nCOPY secret/key /\n");
    assert!(
        error.contains(".dockerignore") && error.contains("line 1: secret"),
        "{error}"
    );
    std::fs::write(p.dir.path().join("Dockerfile.dockerignore"), "log\n").unwrap();
    assert_eq!(p.build("FROM scratch\nCOPY . /\n").files().len(), 4);
}

#[test]
fn outputs_leave_the_context_unless_named() {
    let p = Project::new();
    p.write("f", "1").write("out/image.tar", "2");
    let mut request = p.request("FROM scratch\nCOPY . /\nCOPY out/image.tar /named\n");
    request.excluded = vec![p.path("out/image.tar"), p.path(".imgmake")];
    let image = p.run(&request).unwrap();
    // Nor is the folder there that was made for it: the first build saw none.
    assert_eq!(image.layers[0], ["644 0:0 f 1"]);
    assert_eq!(image.layers[1], ["644 0:0 named 1"]);
}

#[test]
fn what_another_run_is_writing_is_not_in_the_context() {
    let p = Project::new();
    p.write("f", "1").write(".imgmake-x7Yz12", "2");
    p.write(".imgmake-notes.md", "3");
    let image = p.build("FROM scratch\nCOPY . /\n");
    assert_eq!(
        image.layers[0],
        ["644 0:0 .imgmake-notes.md 1", "644 0:0 f 1"]
    );
}

#[test]
fn what_exclude_takes_is_not_blamed_on_the_ignore_file() {
    let p = Project::new();
    p.write("d/a.log", "1").write("d/b.txt", "2");
    p.write(".dockerignore", "**/*.txt\n");
    let copies = "COPY --parents --exclude=d/*.log d/*.log /\nCOPY --parents d/*.txt /\n";
    p.build(&format!("FROM scratch\n{copies}"));
    let warnings = p.warnings();
    let empty: Vec<&String> = warnings
        .iter()
        .filter(|warning| warning.contains("matches nothing"))
        .collect();
    assert_eq!(empty.len(), 1, "{warnings:?}");
    assert!(empty[0].contains("Dockerfile:3: ") && empty[0].contains("`d/b.txt`"));
}

#[test]
fn an_unknown_owner_is_told_of_once_per_instruction() {
    let p = Project::new();
    p.write("f", "1");
    p.build("FROM scratch\nCOPY --chown=ghost <<a f <<b /d/\n1\na\n2\nb\n");
    let warnings = p.warnings();
    let told = warnings.iter().filter(|warning| warning.contains("ghost"));
    assert_eq!(told.count(), 1, "{warnings:?}");
}

#[test]
fn excluded_names_stay_behind() {
    let p = Project::new();
    p.write("d/a.txt", "1")
        .write("d/b.md", "2")
        .write("d/s/c.txt", "3")
        .write("x.txt", "4")
        .write("x.md", "5");
    assert_eq!(
        p.build("FROM scratch\nCOPY --exclude=*.txt d /d\n").files(),
        [
            "755 0:0 d/",
            "644 0:0 d/b.md 1",
            "755 0:0 d/s/",
            "644 0:0 d/s/c.txt 1"
        ]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY --exclude=*.txt x* /d/\n")
            .files(),
        ["755 0:0 d/", "644 0:0 d/x.md 1"]
    );
}

#[test]
fn parents_are_kept_when_asked() {
    let p = Project::new();
    p.write("a/b/c.txt", "1")
        .write("a/b/d.md", "2")
        .write("a/e.txt", "3");
    assert_eq!(
        p.build("FROM scratch\nCOPY --parents a/b/c.txt /d/\n")
            .files(),
        [
            "755 0:0 d/",
            "755 0:0 d/a/",
            "755 0:0 d/a/b/",
            "644 0:0 d/a/b/c.txt 1"
        ]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY --parents ./a/./**/*.txt /d/\n")
            .files(),
        [
            "755 0:0 d/",
            "755 0:0 d/b/",
            "644 0:0 d/b/c.txt 1",
            "644 0:0 d/e.txt 1"
        ]
    );
}

#[test]
fn hard_links_stay_one_file() {
    let p = Project::new();
    p.write("d/a", "1");
    std::fs::hard_link(p.path("d/a"), p.path("d/b")).unwrap();
    assert_eq!(
        p.build("FROM scratch\nCOPY d /\n").files(),
        ["644 0:0 a 1", "644 0:0 b = a"]
    );
    let copied = p.build("FROM scratch AS s\nCOPY d /\nFROM scratch\nCOPY --from=s / /x/\n");
    assert_eq!(
        copied.files(),
        ["755 0:0 x/", "644 0:0 x/a 1", "644 0:0 x/b = x/a"]
    );
}

#[test]
fn sockets_are_left_out_and_special_bits_survive() {
    let p = Project::new();
    p.write("d/tool", "1")
        .mode("d/tool", 0o4755)
        .mode("d", 0o755);
    let _socket = std::os::unix::net::UnixListener::bind(p.path("d/sock")).unwrap();
    assert_eq!(
        p.build("FROM scratch\nCOPY d /\n").files(),
        ["4755 0:0 tool 1"]
    );
}

#[test]
fn heredocs_become_files() {
    let p = Project::new();
    let image = p.build("FROM scratch\nARG V=7\nCOPY <<one <<\"two\" /d/\nv=$V\none\nv=$V\ntwo\nCOPY <<E /conf\nx\nE\n");
    assert_eq!(
        image.files(),
        [
            "755 0:0 d/",
            "644 0:0 d/one 4",
            "644 0:0 d/two 5",
            "644 0:0 conf 2"
        ]
    );
}

#[test]
fn archives_are_unpacked_by_add_alone() {
    let p = Project::new();
    p.write("root/usr/lib/keep", "x")
        .link("root/lib", "usr/lib");
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, mode, body: &str, link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(body.len() as u64);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1000);
        match link {
            "" => tar.append_data(&mut header, path, body.as_bytes()).unwrap(),
            link => tar.append_link(&mut header, path, link).unwrap(),
        }
    };
    use tar::EntryType as T;
    add("./", T::Directory, 0o700, "", "");
    add("lib/new", T::Regular, 0o640, "abc", "");
    add("z", T::Regular, 0o600, "zz", "");
    add("a-link", T::Link, 0o600, "", "z");
    add("z", T::Regular, 0o644, "z2!", "");
    let bytes = tar.into_inner().unwrap();
    p.write("some.bin", zstd::encode_all(bytes.as_slice(), 1).unwrap());
    let image = p.build("FROM scratch\nCOPY root /\nADD some.bin /\nCOPY some.bin /copy\nADD --unpack=false some.bin /add\n");
    assert_eq!(
        image.layers[1],
        [
            "600 7:8 a-link 2",
            "755 0:0 usr/",
            "755 0:0 usr/lib/",
            "640 7:8 usr/lib/new 3",
            "644 7:8 z 3"
        ]
    );
    assert!(image.layers[2][0].starts_with("644 0:0 copy "));
    assert!(image.layers[3][0].starts_with("644 0:0 add "));
}

/// An archive of entries: name, link target, text.
fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, said) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let is_file = *kind == tar::EntryType::Regular;
        header.set_size(if is_file { said.len() as u64 } else { 0 });
        if !is_file && !said.is_empty() {
            header.as_mut_bytes()[157..157 + said.len()].copy_from_slice(said.as_bytes());
        }
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        let text = if is_file { said.as_bytes() } else { b"" };
        tar.append(&header, text).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn a_hard_link_of_an_archive_needs_a_file_before_it() {
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    let p = Project::new();
    p.write("base/there", "x");
    let file = ("f", Regular, "text");
    for (entries, why) in [
        (vec![file, ("h", Link, "nothing")], "not found"),
        (vec![("h", Link, "f"), file], "not found"),
        (vec![("h", Link, "h")], "not found"),
        (
            vec![file, ("h", Regular, "x"), ("h", Link, "h")],
            "not found",
        ),
        (vec![("d", Directory, ""), ("h", Link, "d")], "a directory"),
        (vec![("h", Link, "base")], "a directory"),
        (vec![("h", Link, "base/there")], "in the image"),
        (vec![("h", Link, "/base/there")], "in the image"),
        (vec![("h", Link, "../../etc/passwd")], "`etc/passwd`"),
        (vec![("h/f", Regular, "x"), ("h", Link, "h/f")], "not found"),
    ] {
        p.write("a.tar", archive(&entries));
        let error = p.error("FROM scratch\nCOPY base /base\nADD a.tar /\n");
        assert!(
            error.contains("`h`") && error.contains(why),
            "{why}: {error}"
        );
    }
    // To what is there every name leads, also one that is replaced, or goes with its directory.
    let entries = [
        ("d/f", Regular, "first"),
        ("h", Link, "d/f"),
        ("i", Link, "h"),
        ("s", Symlink, "d/f"),
        ("t", Link, "s"),
        ("d/f", Regular, "second!"),
        ("j", Link, "d/f"),
        ("d", Regular, ""),
        ("k", Link, "/j"),
        ("j", Link, "k"),
    ];
    p.write("a.tar", archive(&entries));
    let image = p.build("FROM scratch\nADD a.tar /\n");
    assert_eq!(
        image.layers[0],
        [
            "644 0:0 d 0",
            "644 0:0 h 5",
            "644 0:0 i = h",
            "644 0:0 j 7",
            "644 0:0 k = j",
            "644 0:0 s -> d/f",
            "644 0:0 t -> d/f",
        ]
    );
}

#[test]
fn owners_by_name_come_from_the_image() {
    let p = Project::new();
    p.write("f", "x");
    p.write("etc/passwd", "root:x:0:0::/:\napp:x:1000:1001::/:\n")
        .write("etc/group", "staff:x:50:\n");
    let image = p.build("FROM scratch\nCOPY etc /etc\nCOPY --chown=app f /a\nCOPY --chown=app:staff f /b\nUSER app\nWORKDIR /home/app\nCOPY f .\n");
    assert_eq!(image.layers[1], ["644 1000:1001 a 1"]);
    assert_eq!(image.layers[2], ["644 1000:50 b 1"]);
    assert_eq!(
        image.layers[3],
        ["755 1000:1001 home/", "755 1000:1001 home/app/"]
    );
    assert_eq!(image.layers[4][2], "644 0:0 home/app/f 1");
    let image = p.build("FROM scratch\nCOPY --chown=nobody f /a\n");
    assert_eq!(image.layers[0], ["644 0:0 a 1"]);
    let steps = vec![Step::Copy {
        sources: vec!["f".into()],
        to: "/a".into(),
        mode: None,
        owner: Some("nobody".into()),
    }];
    let mut request = p.request("FROM scratch\n");
    request.definition = BuildDefinition::Steps {
        base: "scratch".into(),
        steps,
    };
    let error = format!("{:#}", p.run(&request).err().unwrap());
    assert!(error.contains("/etc/passwd"), "{error}");
}

#[test]
fn files_and_directories_do_not_take_each_others_place() {
    let p = Project::new();
    p.write("f", "x").write("d/g", "y").write("e/f/h", "z");
    let error = p.error("FROM scratch\nCOPY f /x\nCOPY d /x\n");
    assert!(error.contains("not a directory"), "{error}");
    let error = p.error("FROM scratch\nCOPY e /\nCOPY f /\n");
    assert!(error.contains("is a directory"), "{error}");
    let error = p.error("FROM scratch\nCOPY f /x\nCOPY f /x/y\n");
    assert!(error.contains("cannot make the directory `/x`"), "{error}");
}

#[test]
fn a_workdir_that_exists_makes_no_layer() {
    let p = Project::new();
    p.write("d/x", "1");
    let image = p.build("FROM scratch\nCOPY d /a\nWORKDIR /a\nWORKDIR b\n");
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.layers[1], ["755 0:0 a/", "755 0:0 a/b/"]);
    assert_eq!(image.config.config.working_dir, "/a/b");
}

fn open_context(p: &Project) -> crate::files::context::ContextTree {
    crate::files::context::ContextTree::open(
        &p.path(""),
        &imgmake_guard::checkout::Checkout::default(),
        crate::files::context::IgnoreFiles::none(),
        &[],
        imgmake_oci::layer::Timestamp::default(),
    )
    .unwrap()
}

#[test]
fn a_context_may_be_as_deep_as_paths_are_long() {
    let p = Project::new();
    let mut at = imgmake_guard::confined::open_directory(&p.path("")).unwrap();
    let mut dig = |levels: usize| {
        for _ in 0..levels {
            rustix::fs::mkdirat(&at, "d", 0o755.into()).unwrap();
            at = imgmake_guard::confined::open_child(&at, b"d").unwrap();
        }
    };
    let walk = || {
        let context = open_context(&p);
        crate::files::tree::Tree::walk(&context, b"")
    };
    dig(1900);
    let found = walk().unwrap();
    assert_eq!(found.len(), 1900);
    assert_eq!(found[1899].path.len(), 2 * 1900 - 1);
    dig(2000);
    let error = format!("{:#}", walk().unwrap_err());
    assert!(error.contains("too long"), "{error}");
}
