//! When targets work, for how long, how often, and how many of them at once.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::ground::addresses::serve;
use crate::ground::images::bases;
use crate::ground::project::Project;

#[test]
fn every_kind_has_a_limit_of_time_and_is_stopped_at_it() {
    let base = format!("{}/library/busybox", bases().host);
    // A server that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let p = Project::new(&format!(
        "registry own \"{host}/team\" {{ insecure #true }}\n\
         build slow {{ from \"{base}\"; run \"sleep 60\"; timeout \"1s\" }}\n\
         build image {{ from \"scratch\"; file \"/a\" \"b\" }}\n\
         push release {{ images image; timeout \"1s\"; to own {{ tags \"1\" }} }}\n\
         build based {{ from \"{host}/team/base:1\"; timeout \"1s\" }}\n\
         build loaded {{ context \".\"; timeout \"1s\" }}\n\
         run command {{ command \"sleep 60\"; timeout \"1s\" }}\n"
    ))
    .with(
        "Dockerfile",
        &format!("FROM scratch\nADD http://{host}/file /\n"),
    );
    for target in ["slow", "release", "based", "loaded", "command"] {
        let begun = Instant::now();
        let refused = p
            .imgmake
            .refused(p.path(), &[target], 124, &["took longer than 1.0 s"]);
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{target}: {refused:?}"
        );
    }
}

#[test]
fn a_failure_is_tried_again_as_often_as_the_target_says() {
    let p = Project::new(
        "imgmake version=1 { retry backoff=\"10ms..20ms\" }\n\
         run flaky { command \"echo x >> tries; test $(wc -l < tries) -ge 3\"; retry 2 }\n\
         run never { command \"echo x >> never; exit 7\"; retry 1 }\n\
         run once { command \"echo x >> once; exit 7\" }\n",
    );
    p.run(&["flaky"])
        .succeeded()
        .ran(["flaky"])
        .warned("attempt 2 of 3 failed");
    assert_eq!(p.read("tries").lines().count(), 3);
    p.run(&["never"])
        .exited(1)
        .failed(["never"])
        .warned("attempt 1 of 2 failed (its command ended with exit code 7)");
    assert_eq!(p.read("never").lines().count(), 2);
    p.run(&["once"]).exited(1);
    assert_eq!(p.read("once").lines().count(), 1);
    // A push, too, with all that it asks.
    let (port, asked) = serve("127.0.0.1");
    let q = Project::new(&format!(
        "imgmake version=1 {{ retry backoff=\"10ms..20ms\" attempts=1 }}\n\
         registry own \"127.0.0.1:{port}/team\" {{ insecure #true }}\n\
         build image {{ from \"scratch\"; file \"/a\" \"b\" }}\n\
         push release {{ images image; retry 2; to own {{ tags \"1\" }} }}\n\
         build based {{ from \"127.0.0.1:{port}/team/base:1\"; retry 2 }}\n\
         build missing {{ context \"nowhere\"; retry 2 }}\n\
         build loaded {{ context \".\"; retry 2 }}\n"
    ))
    .with(
        "Dockerfile",
        &format!("FROM scratch\nADD http://{}/file /\n", busy()),
    );
    q.run(&["loaded"])
        .exited(1)
        .warned("attempt 2 of 3 failed")
        .warned("http status: 503");
    // What is looked up before the work as well, but not what is wrong here.
    q.run(&["based"]).exited(4).warned("attempt 2 of 3 failed");
    assert!(!q.run(&["missing"]).ran.stderr.contains("attempt"));
    let before = asked.swap(0, std::sync::atomic::Ordering::SeqCst);
    assert!(before >= 3);
    q.run(&["release"])
        .exited(4)
        .warned("attempt 2 of 3 failed");
    assert!(asked.load(std::sync::atomic::Ordering::SeqCst) >= 3);
}

/// The address of a server that always has too much to do.
fn busy() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.read(&mut [0; 4096]));
            let answer = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    host
}

#[test]
fn keep_going_ends_after_so_many_failures() {
    let p = Project::new(
        "run a { command \"exit 1\" }\nrun b { command \"exit 1\" }\nrun c { command \"exit 1\" }\n\
         run d { command \"true\" }\ngroup default a b c d\n",
    );
    for arguments in [
        &["-j1", "-k", "2"][..],
        &["-j1", "-k2"],
        &["-j1", "--keep-going=2"],
    ] {
        p.run(arguments).exited(1).failed(["a", "b"]);
    }
    p.run(&["-j1", "-k"])
        .exited(1)
        .failed(["a", "b", "c"])
        .ran(["d"]);
    p.run(&["-j1"]).exited(1).failed(["a"]);
}

#[test]
fn no_more_of_a_pool_work_at_once_than_it_has_places() {
    let count = "n=$(ls at-work | wc -l); echo $n >> seen; sleep 0.2; rm at-work/$0";
    let target = |name: &str, pool: &str| {
        format!(
            "run {name} {{ command \"sh\" \"-c\" \"touch at-work/$0; {count}\" \"{name}\"; {pool} }}\n"
        )
    };
    let all = ["a", "b", "c", "d"]
        .map(|name| target(name, "pool disk"))
        .concat();
    let p = Project::new(&format!(
        "imgmake version=1 {{ pool disk=1 }}\n{all}group default a b c d\n"
    ))
    .with("at-work/.keep", "");
    p.run(&["-j8"]).succeeded().ran(["a", "b", "c", "d"]);
    assert_eq!(p.read("seen"), "1\n1\n1\n1\n");

    let refused =
        Project::new("imgmake version=1 { pool disk=1 }\nrun a { command \"true\"; pool dsk }\n");
    refused.imgmake.refused(
        refused.path(),
        &["list"],
        2,
        &["pool `dsk` not found", "did you mean `disk`"],
    );
}

#[test]
fn a_manifest_for_another_imgmake_says_only_that() {
    let p = Project::new("imgmake version=1 requires=\">=99.1\"\nfuture app { new #true }\n");
    let refused = p.imgmake.refused(
        p.path(),
        &["list"],
        2,
        &["requires imgmake >=99.1, and this is "],
    );
    assert!(!refused.stderr.contains("future"), "{refused:?}");
    p.write(
        "imgmake.kdl",
        "imgmake version=1 requires=\">=0.0.1, <99\"\nrun a { command \"true\" }\n",
    );
    p.imgmake.ok(p.path(), &["list"]);
    p.write("imgmake.kdl", "imgmake version=1 requires=\"0.3\"\n");
    p.imgmake
        .refused(p.path(), &["list"], 2, &["invalid requirement `0.3`"]);
}

#[test]
fn large_manifests_and_matrices_are_read_and_their_results_are_counted() {
    let inputs: String = (0..20)
        .map(|n| format!(" \"a/rather/long/path/{n}\""))
        .collect();
    let target = |n: usize| format!("run t{n} {{ command \"true\"; inputs{inputs} }}\n");
    let p = Project::new(&(0..3000).map(target).collect::<String>());
    assert!(p.read("imgmake.kdl").len() > 1 << 20);
    assert_eq!(
        p.imgmake.ok(p.path(), &["list"]).stdout.lines().count(),
        3000
    );

    let numbers: String = (0..300).map(|n| format!(" \"{n}\"")).collect();
    let q = Project::new(&format!(
        "run t {{ matrix {{ n{numbers}; include n=\"more\" }}; command \"touch out-${{n}}\"; inputs \"imgmake.kdl\"; outputs \"out-${{n}}\" }}\ngroup default t\n"
    ));
    let ran = q.imgmake.ok(q.path(), &[]);
    assert_eq!(ran.stdout, "301 files; `-v` names each\n");
    assert!(q.file("out-more").exists());
    q.write(
        "imgmake.kdl",
        "run t { matrix { a x; b y; include a=z }; command \"true\" }\n",
    );
    q.imgmake.refused(q.path(), &["list"], 2, &["`b=`"]);
    q.write(
        "imgmake.kdl",
        "run t { matrix { a x; include a=x }; command \"true\" }\n",
    );
    q.imgmake
        .refused(q.path(), &["list"], 2, &["is in the matrix already"]);
}

/// The names that the book has for programs, and no others.
#[test]
fn plans_for_programs_have_states_reasons_and_sources() {
    let p = Project::new(
        "var V \"1\"\nvar W \"1\"\nrun a { command \"echo ${V} ${W} > out\"; inputs \"in\"; outputs \"out\" }\n\
         run b { command \"cat out\"; inputs \"out\" }\nrun c { command \"true\" }\ngroup default a b c\n",
    )
    .with("in", "1");
    let json = |arguments: &[&str], code: i32| {
        let ran = p.imgmake.run(p.path(), arguments);
        assert_eq!(ran.code, code, "{ran:?}");
        serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap()
    };
    let first = json(&["plan", "--format", "json"], 0);
    assert_eq!(first["version"], 1);
    assert_eq!(first["targets"][0]["reasons"][0]["kind"], "not-built-yet");
    assert_eq!(first["targets"][0]["place"], "imgmake.kdl:3");
    p.build().succeeded();
    p.write("in", "2");
    let now = json(&["check", "--format", "json", "--var", "V=2"], 5);
    let states: Vec<&str> = now["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["stale", "stale", "always"]);
    let reasons = now["targets"][0]["reasons"].as_array().unwrap();
    let input = reasons
        .iter()
        .find(|reason| reason["input"]["name"] == "in")
        .unwrap();
    assert_eq!(
        (&input["kind"], &input["input"]["change"]),
        (&"input".into(), &"changed".into())
    );
    assert_eq!(now["targets"][1]["reasons"][0]["target"], "a");
    assert_eq!(now["targets"][1]["needs"][0], "a");
    let sources: Vec<&str> = now["variables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["command-line", "manifest"]);
    assert_eq!(now["variables"][0]["place"], "imgmake.kdl:1");
    let resolved = |value: &serde_json::Value| {
        ["inputs", "outputs", "variables"].map(|list| value[list].to_string())
    };
    let lists = ["[\"in\"]", "[\"out\"]", "[\"V\",\"W\"]"];
    assert_eq!(resolved(&now["targets"][0]), lists);
    let listed = json(&["list", "--format", "json"], 0);
    assert_eq!(resolved(&listed[0]), lists);
    assert_eq!(listed[1]["needs"].to_string(), "[\"a\"]");
    assert_eq!(listed[3]["kind"], "group");
    assert_eq!(listed[3]["members"].to_string(), "[\"a\",\"b\",\"c\"]");
    assert!(listed[3]["description"].is_null(), "{listed}");
    assert_eq!(
        json(&["why", "c", "--format", "json"], 0)["targets"][0]["state"],
        "always"
    );
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/book/src/json.md")).unwrap();
    let mut names: Vec<String> = Vec::new();
    keys(&now, &mut names);
    keys(&listed, &mut names);
    for name in names {
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is not in json.md"
        );
    }
}

fn keys(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                into.push(key.clone());
                keys(value, into);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, into)),
        _ => {}
    }
}

#[test]
fn a_command_that_changes_its_file_in_place_is_done_when_it_is_not_what_it_made() {
    let p = Project::new(
        "run a { command \"echo made > f\"; inputs \"f\"; outputs \"f\" }\ngroup default a\n",
    )
    .with("f", "1");
    p.build().succeeded().ran(["a"]);
    p.build().reused(["a"]);
    p.write("f", "by hand");
    p.build().ran(["a"]);
    assert_eq!(p.read("f"), "made\n");
}

#[test]
fn a_summary_says_what_was_reused_and_the_time_that_it_took() {
    let p = Project::new(
        "run a { command \"sleep 1.2\"; inputs \"in\" }\nrun b { command \"true\"; inputs \"other\" }\ngroup default a b\n",
    )
    .with("in", "1")
    .with("other", "1");
    let first = p.imgmake.ok(p.path(), &["--summary"]).stderr;
    assert!(
        first.contains("reused 0 of 2 targets; building them took 0 ms"),
        "{first}"
    );
    p.write("other", "2");
    let second = p.imgmake.ok(p.path(), &["--summary"]).stderr;
    assert!(
        second.contains("reused 1 of 2 targets; building them took 1."),
        "{second}"
    );
}
