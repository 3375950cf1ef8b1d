//! Which files a `run` target depends on: links, odd names, what is taken out, what moves meanwhile.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::ground::imgmake::{Imgmake, User};
use crate::ground::project::Project;
use crate::ground::{temporary, write};

fn one(inputs: &str) -> Project {
    Project::new(&format!(
        "run a {{ command \"echo made >> log\"; inputs {inputs} }}\ngroup default a\n"
    ))
}

#[test]
fn a_link_to_a_directory_counts_with_what_is_in_it() {
    for (inputs, link, target) in [
        ("\"l\"", "l", "o"),
        ("\"in/**\"", "in/l", "../o"),
        ("\"in/*/deep/*.txt\"", "in/l", "../o"),
    ] {
        let p = one(inputs).with("o/deep/f.txt", "1").with("in/there", "1");
        symlink(target, p.file(link)).unwrap();
        symlink("..", p.file("o/deep/back")).unwrap();
        symlink("/nowhere", p.file("o/deep/broken")).unwrap();
        p.build().succeeded().ran(["a"]);
        p.build().succeeded().reused(["a"]);
        p.write("o/deep/f.txt", "2");
        p.build().succeeded().ran(["a"]);
        p.write("o/deep/new.txt", "1");
        p.build().succeeded().ran(["a"]);
        p.build().succeeded().reused(["a"]);
    }
}

#[test]
fn each_pattern_follows_links_for_itself() {
    for (inputs, link, other) in [
        // A narrower one came before; and one of the same words.
        ("\"web/**/*.ts\" \"web/**/*.css\"", "web/l", None),
        ("\"web/l/*.ts\" \"web/**/*.css\"", "web/l", None),
        ("\"web/**/*.{ts,css}\"", "web/l", None),
        // A link that comes before leads to the same, and nothing matches there.
        ("\"web/**/b/*.css\"", "web/q/b", Some("web/p/a")),
        ("\"{web,src}/q/**/*.css\"", "web/q/b", Some("src/q/b")),
        // Nothing matches but the directory that holds the link.
        ("\"w?b/q\"", "web/q/b", None),
        // It is taken out under one name, not under the other.
        ("\"web/**\" \"!web/a/**\"", "web/b", Some("web/a/l")),
        ("\"web/**\" \"!web/a/*.css\"", "web/b", Some("web/a")),
    ] {
        let p = one(inputs).with("lib/x.css", "1").with("lib/x.ts", "1");
        let links = [Some(link), other];
        for link in links.into_iter().flatten() {
            let depth = link.matches('/').count();
            std::fs::create_dir_all(p.file(link).parent().unwrap()).unwrap();
            symlink(format!("{}lib", "../".repeat(depth)), p.file(link)).unwrap();
        }
        p.build().succeeded().ran(["a"]);
        p.build().succeeded().reused(["a"]);
        p.write("lib/x.css", "2");
        p.build().succeeded().ran(["a"]);
        p.build().succeeded().reused(["a"]);
    }
}

#[test]
fn many_ways_to_one_directory_are_gone_once() {
    let p = one("\"d0/**/*.txt\"");
    for at in 0..40 {
        p.write(&format!("d{at}/f.txt"), "1");
        for link in ["a", "b"] {
            let next = (at + 1) % 40;
            symlink(format!("../d{next}"), p.file(&format!("d{at}/{link}"))).unwrap();
        }
    }
    p.build().succeeded().ran(["a"]);
    p.write("d39/f.txt", "2");
    p.build().succeeded().ran(["a"]);
    p.build().succeeded().reused(["a"]);
}

#[test]
fn a_file_that_is_made_where_a_link_leads_touches_no_input() {
    let p = Project::new(
        "run assets { command \"mkdir -p web/dist; echo x > web/dist/$(date +%N)\"; inputs \"web/**\"; outputs \"web/dist\" }\ngroup default assets\n",
    )
    .with("web/a", "1")
    .with("web/dist/old", "1");
    symlink("dist", p.file("web/current")).unwrap();
    p.build().succeeded().ran(["assets"]);
    p.build().succeeded().reused(["assets"]);
}

#[test]
fn a_link_to_the_project_holds_neither_outputs_nor_the_state() {
    let p = Project::new(
        "run a { command \"cat f > out/f; date +%N >> out/g\"; inputs \"in/**\"; outputs \"out\" }\ngroup default a\n",
    )
    .with("f", "1")
    .with("in/there", "1");
    symlink("..", p.file("in/all")).unwrap();
    std::fs::create_dir(p.file("out")).unwrap();
    p.build().succeeded().ran(["a"]);
    p.build().succeeded().reused(["a"]);
    p.write("f", "2");
    p.build().succeeded().ran(["a"]);
}

#[test]
fn names_that_only_look_alike_are_two() {
    let p = one("\"in/**\"").with("in/there", "1");
    let odd = |byte: u8| {
        let name = [b"in/odd-".as_slice(), &[byte]].concat();
        p.path().join(OsStr::from_bytes(&name))
    };
    std::fs::write(odd(0xff), "1").unwrap();
    std::fs::write(odd(0xfe), "2").unwrap();
    p.build().succeeded().ran(["a"]);
    p.build().succeeded().reused(["a"]);
    std::fs::write(odd(0xff), "2").unwrap();
    std::fs::write(odd(0xfe), "1").unwrap();
    p.build().succeeded().ran(["a"]);
    std::fs::rename(odd(0xff), odd(0xfd)).unwrap();
    p.build().succeeded().ran(["a"]);
    let shown = p.file("in/odd-\\\\xfd");
    std::fs::rename(odd(0xfd), shown).unwrap();
    p.build().succeeded().ran(["a"]);
}

#[test]
fn what_is_taken_out_of_the_inputs_changes_nothing() {
    let p = one("\"src/**\" \"*.txt\" \"!src/gen\" \"!**/*.tmp\" \"!b.txt\"")
        .with("src/a.c", "1")
        .with("src/gen/x.c", "1")
        .with("a.txt", "1")
        .with("b.txt", "1");
    p.build().succeeded().ran(["a"]);
    for path in ["src/gen/x.c", "src/gen/deep/y.c", "src/n.tmp", "b.txt"] {
        p.write(path, "2");
        p.build().succeeded().reused(["a"]);
    }
    for path in ["src/a.c", "a.txt", "src/other/x.c"] {
        p.write(path, "2");
        p.build().succeeded().ran(["a"]);
    }
    p.write("imgmake.kdl", "run a { command \"true\"; inputs \"!x\" }\n");
    p.imgmake.refused(
        p.path(),
        &["a"],
        2,
        &["has only exclusions", "!src/generated"],
    );
}

#[test]
fn an_input_that_changes_and_changes_back_is_not_recorded() {
    for meanwhile in [
        "echo 2 > in; cat in > out; echo 1 > in",
        "mv in away; echo 2 > in; cat in > out; mv away in",
    ] {
        let p = Project::new(&format!(
            "run a {{ command \"test -e calm || sh -c '{meanwhile}'; test ! -e calm || cat in > out\"; inputs \"in\"; outputs \"out\" }}\ngroup default a\n"
        ))
        .with("in", "1\n");
        p.build()
            .succeeded()
            .warned("in was written or replaced during the build");
        assert_eq!(p.read("out"), "2\n");
        p.imgmake.refused(p.path(), &["check"], 5, &[]);
        p.write("calm", "");
        p.build().succeeded().ran(["a"]);
        assert_eq!(p.read("out"), "1\n");
        p.build().succeeded().reused(["a"]);
    }
}

#[test]
fn a_command_that_touches_its_own_inputs_is_done_twice_at_most() {
    let p = Project::new(
        "run a { command \"ln -f in linked; cat in > out\"; inputs \"in\"; outputs \"out\" }
         run b { command \"chmod +x in; cat in > two\"; inputs \"in\"; outputs \"two\" }\n",
    )
    .with("in", "1");
    p.run(&["a"]).succeeded().ran(["a"]);
    p.run(&["a"]).succeeded().reused(["a"]);
    std::fs::remove_file(p.file("linked")).unwrap();
    p.run(&["b"]).succeeded().ran(["b"]);
    p.run(&["b"]).succeeded().ran(["b"]);
    p.run(&["b"]).succeeded().ran(["b"]);
    p.run(&["b"]).succeeded().reused(["b"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_not_only_its_pattern() {
    use std::os::unix::fs::PermissionsExt;
    let imgmake = Imgmake::run_by(User::Plain);
    let project = temporary();
    let manifest = "run a { command \"true\"; inputs \"in/**\" }\nrun b { command \"true\"; inputs \"dir/**\" }\n";
    write(project.path(), "imgmake.kdl", manifest);
    write(project.path(), "in/deep/closed", "");
    write(project.path(), "dir/deep/f", "");
    imgmake.give(project.path());
    for closed in ["in/deep/closed", "dir/deep"] {
        let mode = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(project.path().join(closed), mode).unwrap();
    }
    for (target, file) in [("a", "in/deep/closed"), ("b", "dir/deep")] {
        let said = format!("`{file}`: Permission denied");
        imgmake.refused(project.path(), &[target], 1, &[&said]);
    }
}

#[test]
fn what_git_tracks_is_an_input_whatever_is_ignored() {
    let p = Project::new(
        "run t { command \"true\"; inputs \"src/**\" \"gen/*.c\" \"vendor/**\"; gitignore #true }\ngroup default t\n",
    )
    .with("vendor/lib/blob.log", "1")
    .with(".gitignore", "*.log\ntarget/\n/gen/\n.imgmake\n")
    .with("src/forced.log", "1")
    .with("src/other.log", "1")
    .with("src/target/deep/forced.c", "1")
    .with("src/target/deep/other.c", "1")
    .with("src/target/other/other.c", "1")
    .with("gen/forced.c", "1")
    .with("gen/other.c", "1");
    let git = |arguments: &[&str]| crate::ground::git(p.path(), arguments);
    git(&["init", "--quiet"]);
    for path in ["src/forced.log", "src/target/deep/forced.c", "gen/forced.c"] {
        git(&["add", "--force", path]);
    }
    // A submodule's files are in an index of its own.
    git(&["init", "--quiet", "vendor/lib"]);
    git(&[
        "-C",
        "vendor/lib",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "1",
    ]);
    git(&["add", "vendor/lib"]);
    p.build().ran(["t"]);
    for (path, counts) in [
        ("src/forced.log", true),
        ("src/other.log", false),
        ("src/target/deep/forced.c", true),
        ("src/target/deep/other.c", false),
        ("src/target/other/other.c", false),
        ("gen/forced.c", true),
        ("gen/other.c", false),
        ("vendor/lib/blob.log", true),
    ] {
        p.write(path, "2");
        match counts {
            true => p.build().ran(["t"]),
            false => p.build().reused(["t"]),
        };
    }
    git(&["add", "--force", "gen/other.c"]);
    p.build().ran(["t"]);
    git(&["update-index", "--split-index"]);
    let help = "`git update-index --no-split-index`";
    p.imgmake.refused(
        p.path(),
        &["t"],
        1,
        &["cannot tell which inputs git tracks", help],
    );
    // The shared part stays where it was.
    git(&["update-index", "--no-split-index"]);
    p.build().reused(["t"]);
}

#[test]
fn what_git_ignores_is_no_input_where_the_target_says_so() {
    let p = Project::new(
        "run t { command \"true\"; inputs \"src/**\" \"named.log\"; gitignore #true }\nrun all { command \"true\"; inputs \"src/**\" }\ngroup default t all\n",
    )
    .with(".git/HEAD", "ref: refs/heads/main\n")
    .with(".gitignore", "*.log\ntarget/\n")
    .with("src/.gitignore", "!kept.log\n")
    .with("src/a.c", "1")
    .with("src/a.log", "1")
    .with("src/kept.log", "1")
    .with("src/target/b.c", "1")
    .with("named.log", "1")
    .built();
    for (path, ran, reused) in [
        ("src/a.log", &["all"][..], &["t"][..]),
        ("src/target/b.c", &["all"], &["t"]),
        ("src/a.c", &["all", "t"], &[]),
        ("src/kept.log", &["all", "t"], &[]),
        ("named.log", &["t"], &["all"]),
        (".gitignore", &["t"], &["all"]),
    ] {
        match path {
            ".gitignore" => p.write(path, "*.log\n"),
            _ => p.write(path, "2"),
        }
        let built = p.build();
        match ran {
            [one] => built.ran([*one]),
            [one, other] => built.ran([*one, *other]),
            _ => unreachable!("a list of one or two"),
        };
        match reused {
            [] => built.reused([]),
            [one] => built.reused([*one]),
            _ => unreachable!("a list of one or none"),
        };
    }
}
