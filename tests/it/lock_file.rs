//! `lock`: what names outside stand for is in a file that is reviewed, and moves when somebody says so.

use crate::ground::imgmake::Imgmake;
use crate::ground::project::Project;
use crate::ground::registry::Registry;
use crate::ground::web::{Transport, Web};
use crate::ground::{run, temporary, write};
use crate::watching::Watching;

const LOCK: &str = "imgmake version=1 { lock \"imgmake.lock\"; watch { debounce \"50ms\" } }\n";

/// An image of one file under a tag; its digest.
fn publish(registry: &Registry, name: &str, content: &str) -> String {
    let made = temporary();
    let manifest =
        format!("build image {{ from \"scratch\"; file \"/v\" \"{content}\"; layout \"out\" }}");
    write(made.path(), "imgmake.kdl", manifest);
    Imgmake::new().ok(made.path(), &[]);
    let from = format!("oci:{}", made.path().join("out").display());
    let to = format!("docker://{}/{name}", registry.host);
    let quiet = [
        "copy",
        "-q",
        "--preserve-digests",
        "--dest-tls-verify=false",
    ];
    run("skopeo", &[&quiet[..], &[&from, &to]].concat());
    let (repository, tag) = name.split_once(':').unwrap();
    registry.digest(repository, tag).unwrap()
}

/// The same project elsewhere, with what git would bring, and nothing that was made.
fn clone(of: &Project) -> Project {
    let clone = Project::new(&of.read("imgmake.kdl"));
    for file in ["imgmake.lock", "Dockerfile"] {
        if of.file(file).exists() {
            clone.write(file, &of.read(file));
        }
    }
    clone
}

fn value(p: &Project) -> String {
    let listed = p
        .imgmake
        .ok(p.path(), &["inspect", "--format", "json", "app:1"])
        .stdout;
    let inspected: serde_json::Value = serde_json::from_str(&listed).unwrap();
    inspected["digest"].as_str().unwrap().to_string()
}

#[test]
fn a_tag_stays_what_it_was_in_every_clone_until_update_moves_it() {
    let registry = Registry::start();
    let first = publish(&registry, "team/base:1", "one");
    let host = &registry.host;
    let p = Project::new(&format!(
        "{LOCK}build app {{ context \".\"; tags \"app:1\" }}"
    ))
    .with("Dockerfile", &format!("FROM {host}/team/base:1\n"));
    // Reading commands write nothing.
    p.imgmake.refused(p.path(), &["check"], 5, &[]);
    p.imgmake.ok(p.path(), &["plan"]);
    assert!(!p.file("imgmake.lock").exists());
    let locked = &["--locked"];
    let refused = p
        .imgmake
        .refused(p.path(), locked, 2, &["lock file `imgmake.lock` not found"]);
    assert!(refused.stderr.contains("`imgmake update`"), "{refused:?}");

    p.build().succeeded();
    let text = p.read("imgmake.lock");
    let line = format!("image \"{host}/team/base:1\" digest=\"{first}\"");
    assert_eq!(text.lines().last(), Some(line.as_str()), "{text}");
    let made_of_first = value(&p);

    let second = publish(&registry, "team/base:1", "two");
    let elsewhere = clone(&p);
    elsewhere.run(locked).succeeded();
    assert_eq!(value(&elsewhere), made_of_first);
    assert_eq!(elsewhere.read("imgmake.lock"), text);

    // What it does not have is not resolved, and named.
    elsewhere.write(
        "Dockerfile",
        &format!("FROM {host}/team/base:1\nCOPY --from={host}/team/base:2 /v /w\n"),
    );
    publish(&registry, "team/base:2", "other");
    let says = format!("`{host}/team/base:2` is not in the lock file `imgmake.lock`");
    elsewhere
        .imgmake
        .refused(elsewhere.path(), locked, 1, &[&says]);
    elsewhere
        .imgmake
        .refused(elsewhere.path(), &["check", "--locked"], 5, &[]);
    elsewhere.build().succeeded();
    assert_eq!(elsewhere.read("imgmake.lock").lines().count(), 5);
    elsewhere.run(locked).succeeded();

    let update = p.imgmake.ok(p.path(), &["update"]);
    let (before, now) = (&first[..19], &second[..19]);
    let moved = format!("moved    {host}/team/base:1  {before} → {now}\n");
    assert_eq!(update.stdout, moved);
    p.imgmake.refused(p.path(), &["check", "--locked"], 5, &[]);
    p.run(locked).succeeded().ran(["app"]);
    assert_ne!(value(&p), made_of_first);
    let again = p.imgmake.ok(p.path(), &["update"]).stdout;
    assert!(again.starts_with("nothing moved"), "{again}");

    // `--pull` moves what it uses, and says so.
    let third = publish(&registry, "team/base:1", "three");
    let pulled = p.imgmake.ok(p.path(), &["--pull"]);
    assert!(pulled.stderr.contains("lock file: "), "{pulled:?}");
    assert!(p.read("imgmake.lock").contains(&third));
    p.imgmake
        .refused(p.path(), &["--pull", "--locked"], 2, &["--locked"]);

    // What could not be asked is not said to be as it was.
    publish(&registry, "team/base:1", "four");
    let told = p.imgmake.ok(p.path(), &["update", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    let fourth = registry.digest("team/base", "1").unwrap();
    let change = serde_json::json!({
        "change": "moved", "name": format!("{host}/team/base:1"), "from": third, "to": fourth,
    });
    assert_eq!(
        told,
        serde_json::json!({"changes": [change], "complete": true})
    );
    let text = p.read("imgmake.lock");
    drop(registry);
    let dead = p
        .imgmake
        .refused(p.path(), &["update"], 4, &["team/base:1"]);
    assert!(
        dead.stdout.contains("not every name could be resolved"),
        "{dead:?}"
    );
    assert_eq!(p.read("imgmake.lock"), text);
}

#[test]
fn update_moves_what_is_named_and_drops_what_nothing_uses() {
    let registry = Registry::start();
    let host = &registry.host;
    for name in ["a", "b"] {
        publish(&registry, &format!("team/{name}:1"), name);
    }
    let p = Project::new(&format!(
        "{LOCK}build app {{ context \".\"; contexts {{ other (target)other }}; tags \"app:1\" }}\n\
         build other {{ from \"{host}/team/b:1\"; file \"/x\" \"y\" }}"
    ))
    .with(
        "Dockerfile",
        &format!("FROM {host}/team/a:1\nCOPY --from=other /x /\nCOPY not-there /\n"),
    );
    // Nothing is built for it, and no file is read.
    let added = p.imgmake.ok(p.path(), &["update"]).stdout;
    assert_eq!(added.matches("added ").count(), 2, "{added}");
    let (a, b) = (
        publish(&registry, "team/a:1", "a2"),
        publish(&registry, "team/b:1", "b2"),
    );
    let word = format!("{host}/team/a");
    p.imgmake.ok(p.path(), &["update", &word]);
    let again = p.imgmake.ok(p.path(), &["update", &word]).stdout;
    assert!(again.contains("what you named"), "{again}");
    let text = p.read("imgmake.lock");
    assert!(text.contains(&a) && !text.contains(&b), "{text}");
    p.imgmake.refused(
        p.path(),
        &["update", "nothing"],
        2,
        &["`nothing` not found", "team/a:1"],
    );
    assert_eq!(p.read("imgmake.lock"), text);
    p.write("Dockerfile", "FROM scratch\nCOPY --from=other /x /\n");
    // What was never built may hold what leads to more names.
    let kept = p.imgmake.ok(p.path(), &["update"]);
    let moved = format!("moved    {host}/team/b:1");
    assert!(kept.stdout.contains(&moved), "{kept:?}");
    assert!(kept.stderr.contains("not built yet: other"), "{kept:?}");
    p.run(&["other"]).succeeded();
    let removed = p.imgmake.ok(p.path(), &["update"]).stdout;
    assert_eq!(removed, format!("removed  {word}:1\n"));

    let bare = Project::new("build app { from \"scratch\"; file \"/a\" \"b\" }");
    for arguments in [&["update"][..], &["--locked"]] {
        bare.imgmake.refused(
            bare.path(),
            arguments,
            2,
            &["has no `lock`", "lock \"imgmake.lock\""],
        );
    }
}

#[test]
fn urls_and_git_references_are_locked_without_a_login() {
    let web = Web::start(Transport::Plain, "user:secret");
    write(&web.root(), "tool", "one");
    let source = web.root().join("source");
    std::fs::create_dir(&source).unwrap();
    let git = |arguments: &[&str]| {
        let all = [&["-C", source.to_str().unwrap()], arguments].concat();
        run("git", &all).trim().to_string()
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["config", "user.email", "a@example.com"]);
    git(&["config", "user.name", "a"]);
    write(&source, "f", "1");
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "1"]);
    let first = git(&["rev-parse", "HEAD"]);
    let bare = web.root().join("app.git");
    let copy = || {
        run(
            "git",
            &[
                "clone",
                "-q",
                "--bare",
                source.to_str().unwrap(),
                bare.to_str().unwrap(),
            ],
        )
    };
    copy();
    let (url, plain) = (
        format!("http://user:secret@{}", web.host),
        format!("http://{}", web.host),
    );
    let p = Project::new(&format!(
        "{LOCK}build app {{ context \".\"; tags \"app:1\" }}"
    ))
    .with(
        "Dockerfile",
        &format!("FROM scratch\nADD {url}/tool /tool\nADD {url}/app.git#main /app\n"),
    );
    p.build().succeeded();
    let text = p.read("imgmake.lock");
    assert!(!text.contains("secret"), "{text}");
    assert!(
        text.contains(&format!("url \"{plain}/tool\" digest=\"sha256:")),
        "{text}"
    );
    let commit = format!("git \"{plain}/app.git\" ref=\"main\" commit=\"{first}\"");
    assert!(text.contains(&commit), "{text}");
    write(&source, "f", "2");
    git(&["commit", "-q", "-a", "-m", "2"]);
    std::fs::remove_dir_all(&bare).unwrap();
    copy();
    write(&web.root(), "tool", "two");
    let elsewhere = clone(&p);
    // The old content is nowhere any more: it is not exchanged for other.
    elsewhere
        .imgmake
        .refused(elsewhere.path(), &["--locked"], 1, &["has changed since"]);
    p.run(&["--locked"]).succeeded().reused(["app"]);
    let moved = p.imgmake.ok(p.path(), &["update"]).stdout;
    assert_eq!(moved.matches("moved ").count(), 2, "{moved}");
    p.run(&["--locked"]).succeeded().ran(["app"]);
}

#[test]
fn what_a_line_says_of_a_download_goes_before_what_the_server_says() {
    let web = Web::start(Transport::Plain, "");
    write(&web.root(), "tool", "one");
    let url = format!("http://{}/tool?token=hidden", web.host);
    let p = Project::new(&format!(
        "{LOCK}build app {{ context \".\"; tags \"app:1\" }}"
    ))
    .with("Dockerfile", &format!("FROM scratch\nADD {url} /tool\n"));
    let built = p.imgmake.ok(p.path(), &[]);
    assert!(built.stderr.contains("has a query"), "{built:?}");
    let text = p.read("imgmake.lock");
    let (line, modified) = text.trim_end().rsplit_once(" modified=").unwrap();
    p.write("imgmake.lock", &format!("{line} modified=77\n"));
    let first = value(&p);
    p.run(&["--locked"]).succeeded().ran(["app"]);
    let second = value(&p);
    assert_ne!(second, first);
    // The store of another machine has none of it.
    let elsewhere = clone(&p);
    elsewhere.run(&["--locked"]).succeeded();
    assert_eq!(value(&elsewhere), second);
    let told = p.imgmake.ok(p.path(), &["update"]).stdout;
    assert!(
        told.ends_with(&format!("modified 77 → {modified}\n")),
        "{told}"
    );
    p.write("imgmake.lock", &text.replace("size=3", "size=4"));
    p.imgmake
        .refused(p.path(), &["--locked"], 1, &["`size=4`", "has 3 bytes"]);
    // A checksum that is another one needs another line.
    p.write("imgmake.lock", &text);
    write(&web.root(), "tool", "two");
    let two = run("sha256sum", &[web.root().join("tool").to_str().unwrap()]);
    let add = format!("ADD --checksum=sha256:{} {url} /tool", &two[..64]);
    p.write("Dockerfile", &format!("FROM scratch\n{add}\n"));
    let says = "is not what the lock file `imgmake.lock` says";
    p.imgmake.refused(p.path(), &["--locked"], 1, &[says]);
    assert_eq!(p.read("imgmake.lock"), text);
    p.build().succeeded();
    assert_ne!(p.read("imgmake.lock"), text);
}

#[test]
fn watch_follows_a_lock_file_that_others_write_and_not_its_own() {
    let registry = Registry::start();
    let first = publish(&registry, "team/base:1", "one");
    let p = Project::new(&format!(
        "{LOCK}build app {{ context \".\"; tags \"app:1\" }}"
    ))
    .with(
        "Dockerfile",
        &format!("FROM {}/team/base:1\n", registry.host),
    );
    let watching = Watching::of(&p, &[]);
    watching.settles(1);
    let second = publish(&registry, "team/base:1", "two");
    let text = p.read("imgmake.lock");
    p.write("imgmake.lock", &text.replace(&first, &second));
    watching.settles(2);
    watching.ends();
    p.run(&["--locked"]).succeeded().reused(["app"]);
}

#[test]
fn jobs_of_a_ci_system_go_by_the_lock_file() {
    let p = Project::new(&format!(
        "{LOCK}build app {{ from \"scratch\"; file \"/a\" \"b\" }}"
    ));
    for system in ["github", "gitlab"] {
        let file = p.imgmake.ok(p.path(), &["ci", "--to", system]).stdout;
        assert!(file.contains("imgmake run --locked"), "{file}");
    }
}

#[test]
fn what_is_no_lock_file_is_refused_with_its_line() {
    let p = Project::new(&format!(
        "{LOCK}build app {{ from \"scratch\"; file \"/a\" \"b\" }}"
    ));
    for (text, says) in [
        ("lock version=2\n", "has version 2"),
        ("<<<<<<< HEAD\n", "imgmake.lock"),
        (
            "lock version=1\nimage \"a\" digest=\"x\"\n",
            "invalid digest `x`",
        ),
    ] {
        p.write("imgmake.lock", text);
        let refused = p.imgmake.refused(p.path(), &[], 2, &[says]);
        assert!(refused.stderr.contains("imgmake.lock:"), "{refused:?}");
        assert_eq!(p.read("imgmake.lock"), text);
    }
    p.write(
        "imgmake.lock",
        &format!(
            "lock version=1\nimage \"alpine:3.22\" digest=\"sha256:{}\"\n",
            "a".repeat(64)
        ),
    );
    let help = "docker.io/library/alpine:3.22";
    p.imgmake.refused(
        p.path(),
        &[],
        2,
        &["`alpine:3.22` is not a full name", help],
    );
    // A link leads nowhere outside, and is not replaced by a file.
    p.write("elsewhere", "lock version=1\n");
    std::fs::remove_file(p.file("imgmake.lock")).unwrap();
    std::os::unix::fs::symlink("elsewhere", p.file("imgmake.lock")).unwrap();
    p.imgmake
        .refused(p.path(), &[], 2, &["imgmake.lock", "symbolic link"]);
    let outside = temporary();
    write(outside.path(), "victim", "lock version=1\n");
    std::fs::remove_file(p.file("imgmake.lock")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("victim"), p.file("imgmake.lock")).unwrap();
    p.imgmake
        .refused(p.path(), &["update"], 2, &["imgmake.lock"]);
    assert_eq!(
        std::fs::read_to_string(outside.path().join("victim")).unwrap(),
        "lock version=1\n"
    );
}

#[test]
fn a_run_that_pins_changes_no_input_of_its_own_unless_the_file_is_copied_by_name() {
    let registry = Registry::start();
    publish(&registry, "team/base:1", "one");
    let host = &registry.host;
    let p = Project::new(&format!(
        "{LOCK}build app {{ context \".\"; tags \"app:1\"; export \"out\" }}\ngroup default app\n"
    ))
    .with(
        "Dockerfile",
        &format!("FROM {host}/team/base:1\nCOPY . /all\n"),
    );
    p.build().ran(["app"]);
    assert!(p.read("imgmake.lock").contains("team/base:1"));
    p.imgmake.ok(p.path(), &["check"]);
    p.build().reused(["app"]);
    assert!(p.file("out/all/Dockerfile").exists());
    assert!(!p.file("out/all/imgmake.lock").exists());
    p.write(
        "Dockerfile",
        &format!("FROM {host}/team/base:1\nCOPY imgmake.lock /\n"),
    );
    p.build().succeeded();
    assert_eq!(p.read("out/imgmake.lock"), p.read("imgmake.lock"));
}
