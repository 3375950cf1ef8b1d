//! What is believed of files by how they look, without listing or reading them: never longer than it is true.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use crate::ground::project::Project;

/// Two targets, of which one reads what the other makes; looked at often enough that their files are
/// remembered by their looks.
fn settled() -> Project {
    let p = Project::new(
        "run a { command \"cat in/*.txt in/deep/x > out/a\"; inputs \"in/**/*\"; outputs \"out/a\" }\n\
         run b { command \"mkdir -p tree; cat out/a > tree/b\"; inputs \"out/a\" \"maybe/*\"; outputs \"tree\" }\n\
         group default a b\n",
    )
    .with("in/f.txt", "1")
    .with("in/g.txt", "1")
    .with("in/deep/x", "1");
    p.build().succeeded().ran(["a", "b"]);
    settle(&p);
    p
}

fn settle(p: &Project) {
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(60));
        p.build().succeeded().reused(["a", "b"]);
    }
    let seen = std::fs::read(p.file(".imgmake/seen")).unwrap();
    for name in ["inputs a", "inputs b", "output out/a", "output tree"] {
        let name = name.as_bytes();
        let is_there = seen.windows(name.len()).any(|window| window == name);
        assert!(is_there, "{}", name.escape_ascii());
    }
}

fn shell(p: &Project, script: &str) {
    let status = Command::new("sh")
        .args(["-ec", script])
        .current_dir(p.path())
        .status();
    assert!(status.unwrap().success(), "{script}");
}

#[test]
fn each_change_is_seen_that_leaves_names_sizes_or_times_as_they_were() {
    let p = settled();
    for (script, ran) in [
        // The same length and time.
        (
            "touch -r in/f.txt t; echo -n 2 > in/f.txt; touch -r t in/f.txt; rm t",
            &["a", "b"][..],
        ),
        (
            "touch -r in/f.txt t; echo -n 3 > n; mv n in/f.txt; touch -r t in/f.txt; rm t",
            &["a", "b"],
        ),
        // And those of the directory.
        (
            "touch -r in t; echo -n 4 > in/h.txt; touch -r t in; rm t",
            &["a", "b"],
        ),
        (
            "touch -r in/deep t; mv in/deep/x in/deep/y; touch -r t in/deep; rm t; echo -n > in/deep/x",
            &["a"],
        ),
        ("echo -n 5 > in/deep/y", &["a"]),
        ("chmod +x in/g.txt", &["a"]),
        // Another directory of the same files.
        (
            "cp -a in copy; rm -r in; mv copy in; echo -n 6 > in/f.txt",
            &["a", "b"],
        ),
        (
            "cp -a in copy; echo -n 7 > copy/f.txt; touch -r in/f.txt copy/f.txt; mv in old; mv copy in; rm -r old",
            &["a", "b"],
        ),
        // What was not there when it was looked for.
        ("mkdir maybe; echo 1 > maybe/m", &["b"]),
        ("rm -r maybe", &["b"]),
        // What was made.
        (
            "touch -r out/a t; echo -n x > out/a; touch -r t out/a; rm t",
            &["a"],
        ),
        (
            "touch -r tree t; echo 1 > tree/more; touch -r t tree; rm t",
            &["b"],
        ),
        (
            "touch -r tree/b t; echo -n y > tree/b; touch -r t tree/b; rm t",
            &["b"],
        ),
    ] {
        shell(&p, script);
        let build = p.build();
        build.succeeded();
        for target in ran {
            build.because(target, "");
        }
        p.imgmake.ok(p.path(), &["check"]);
        let a = p.read("out/a");
        let expected = ["in/f.txt", "in/g.txt", "in/h.txt", "in/deep/x"].map(|path| {
            let file = p.file(path);
            std::fs::read_to_string(file).unwrap_or_default()
        });
        assert_eq!(a, expected.concat(), "{script}");
        assert_eq!(p.read("tree/b"), a, "{script}");
        settle(&p);
    }
}

#[test]
fn a_link_in_the_place_of_a_directory_is_seen_and_so_is_what_it_leads_to() {
    let p = settled();
    shell(&p, "cp -a in other; echo -n 2 > other/f.txt; mv in away");
    symlink("other", p.file("in")).unwrap();
    p.build().succeeded();
    assert_eq!(p.read("tree/b"), "211");
    p.write("other/f.txt", "3");
    p.build().succeeded();
    assert_eq!(p.read("tree/b"), "311");
    shell(&p, "ln -s ../away/g.txt in/linked.txt");
    p.build().succeeded();
    assert_eq!(p.read("tree/b"), "3111");
    for value in ["4", "5"] {
        std::thread::sleep(Duration::from_millis(60));
        p.build().succeeded().reused(["a", "b"]);
        p.write("away/g.txt", value);
        p.build().succeeded();
        assert_eq!(p.read("tree/b"), format!("31{value}1"));
    }
}

#[test]
fn a_change_right_after_a_run_is_seen_however_soon_it_comes() {
    let p = settled();
    for round in 0..20 {
        p.write("in/f.txt", &(round % 10).to_string());
        p.build().succeeded();
        assert_eq!(p.read("tree/b"), format!("{}11", round % 10), "{round}");
        // Without a change, so that what was seen in this moment is remembered if anything is.
        p.build().succeeded().reused(["a", "b"]);
    }
}

#[test]
fn a_project_that_was_copied_with_its_state_is_looked_at_anew() {
    let p = settled();
    // In its own place: the state is believed, and what it says of files is not of these.
    shell(
        &p,
        "mkdir c; cp -a in out tree c; rm -r in out tree; mv c/* .; rmdir c",
    );
    p.build().succeeded().reused(["a", "b"]);
    shell(
        &p,
        "cp -a in/f.txt t; echo -n 2 > in/f.txt; touch -r t in/f.txt; rm t",
    );
    p.build().succeeded().ran(["a", "b"]);
    assert_eq!(p.read("tree/b"), "211");
}

#[test]
fn what_was_seen_by_another_or_is_damaged_is_told_of_and_not_believed() {
    let p = settled();
    let other = settled();
    std::fs::copy(other.file(".imgmake/seen"), p.file(".imgmake/seen")).unwrap();
    let told = p.imgmake.ok(p.path(), &[]).stderr;
    assert!(told.contains("is ignored"), "{told}");
    settle(&p);
    let mut bytes = std::fs::read(p.file(".imgmake/seen")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(p.file(".imgmake/seen"), bytes).unwrap();
    p.write("in/f.txt", "2");
    let told = p.imgmake.ok(p.path(), &[]).stderr;
    assert!(told.contains("is ignored"), "{told}");
    assert_eq!(p.read("tree/b"), "211");
}
