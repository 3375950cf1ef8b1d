//! Making room in the store: names of images age, are removed by hand, and keep what they need until then.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::ground::imgmake::Imgmake;
use crate::ground::{run, temporary, write};

fn project(directory: &Path, manifest: &str) {
    write(directory, "imgmake.kdl", manifest);
}

fn tagged(tag: &str) -> String {
    format!("build app {{ from \"scratch\"; file \"/a\" \"{tag}\"; tags \"team/app:{tag}\" }}\n")
}

/// Everything in the store was last used so many days ago.
fn age(imgmake: &Imgmake, days: u32) {
    let store = imgmake.store();
    let touch = format!("touch -d '{days} days ago'");
    let script = format!(
        "find {0}/blobs {0}/images {0}/steps {0}/indexes {0}/layers -type f -exec {touch} {{}} +",
        store.display()
    );
    run("sh", &["-c", &script]);
}

#[test]
fn names_age_and_what_is_built_again_keeps_its_name() {
    let directory = temporary();
    let imgmake = Imgmake::new();
    for tag in ["1", "2", "3"] {
        project(directory.path(), &tagged(tag));
        imgmake.ok(directory.path(), &[]);
    }
    age(&imgmake, 20);
    // Nothing is built, and the name is used.
    let again = imgmake.ok(directory.path(), &[]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    let gc = imgmake.ok(directory.path(), &["gc"]).stdout;
    assert!(
        gc.contains("removed names: team/app:1, team/app:2\n"),
        "{gc}"
    );
    let project = directory.path().canonicalize().unwrap();
    let kept = format!("images named team/app:3 (of {})\n", project.display());
    assert!(gc.contains(&kept), "{gc}");
    let again = imgmake.ok(directory.path(), &[]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    let names = imgmake.ok(directory.path(), &["cache"]).stdout;
    assert_eq!(names.matches("team/app").count(), 1, "{names}");
    let json = imgmake.ok(directory.path(), &["cache", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["images"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["images"][0]["name"], "team/app:3");
    let digest = json["images"][0]["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"), "{json}");
    assert!(json["bytes"].as_u64().unwrap() > 0, "{json}");
    let gc = imgmake
        .ok(directory.path(), &["gc", "--max-size", "1"])
        .stdout;
    assert!(gc.contains("removed names: team/app:3\n"), "{gc}");
}

#[test]
fn names_are_removed_by_name_digest_and_pattern() {
    let directory = temporary();
    let imgmake = Imgmake::new();
    for tag in ["1", "2", "latest"] {
        project(directory.path(), &tagged(tag));
        imgmake.ok(directory.path(), &[]);
    }
    let built = imgmake.ok(directory.path(), &["--force"]).stdout;
    let digest = built.split("sha256:").nth(1).unwrap()[..12].to_string();
    let rmi = imgmake.ok(directory.path(), &["rmi", "docker.io/team/app:1", &digest]);
    for name in ["team/app:1", "team/app:latest"] {
        assert!(rmi.stdout.contains(&format!("removed {name} (")), "{rmi:?}");
    }
    let says = ["image `team/app:1` not found in the store"];
    imgmake.refused(directory.path(), &["rmi", "*:2", "team/app:1"], 1, &says);
    // Of several, none went.
    imgmake.ok(directory.path(), &["rmi", "team/*"]);
    let names = imgmake.ok(directory.path(), &["cache"]).stdout;
    assert!(!names.contains("team/app"), "{names}");
    // A name that is gone is given again.
    let again = imgmake.ok(directory.path(), &[]);
    assert!(again.stderr.contains("1 done"), "{}", again.stderr);
}

/// A run that goes on until its standard input ends.
fn waiting_run(imgmake: &Imgmake, directory: &Path) -> Child {
    let manifest = "build app { from \"scratch\"; file \"/a\" \"new\" }\n\
        run wait { needs app; command \"touch ready; cat gate\" }\n";
    project(directory, manifest);
    run("mkfifo", &[directory.join("gate").to_str().unwrap()]);
    let mut command = imgmake.command(directory);
    command.args(["app", "wait"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    while !directory.join("ready").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child
}

#[test]
fn beside_a_running_build_only_what_it_cannot_use_goes() {
    let directory = temporary();
    let old = temporary();
    let imgmake = Imgmake::new();
    project(old.path(), &tagged("old"));
    imgmake.ok(old.path(), &[]);
    age(&imgmake, 20);
    let mut child = waiting_run(&imgmake, directory.path());
    let gc = imgmake.ok(directory.path(), &["gc", "--all"]).stdout;
    assert!(gc.contains("removed names: team/app:old\n"), "{gc}");
    assert!(gc.contains("other runs use the store"), "{gc}");
    write(directory.path(), "done", "");
    run(
        "sh",
        &["-c", &format!("echo > {}/gate", directory.path().display())],
    );
    assert!(child.wait().unwrap().success());
    let again = imgmake.ok(directory.path(), &["app"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    let gc = imgmake.ok(directory.path(), &["gc", "--all"]).stdout;
    assert!(!gc.contains("kept"), "{gc}");
}

#[test]
fn gc_of_a_project_leaves_the_names_of_others() {
    let (one, other) = (temporary(), temporary());
    let imgmake = Imgmake::new();
    project(one.path(), &tagged("one"));
    project(other.path(), &tagged("other"));
    imgmake.ok(one.path(), &[]);
    imgmake.ok(other.path(), &[]);
    let gc = imgmake
        .ok(one.path(), &["gc", "--project", "--keep", "0s"])
        .stdout;
    assert!(gc.contains("removed names: team/app:one\n"), "{gc}");
    let again = imgmake.ok(other.path(), &[]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
}
