//! Two images compared, wherever they are.

use std::path::Path;

use serde_json::Value;

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

const MANIFEST: &str = r#"
build old {
    from "scratch"
    layer { file "/etc/a" "one"; file "/etc/same" "same"; file "/gone" "x" }
    env WORD="one" SAME="1"
    tags "team/app:old"
    tar "old.tar" format=oci
}
build new {
    from "scratch"
    layer { file "/etc/a" "three"; file "/etc/same" "same" mode="0600"; file "/added" "x" }
    env WORD="two" SAME="1"
    layout "new"
}
"#;

#[test]
fn config_and_files_are_compared_between_images_of_every_kind() {
    let directory = temporary();
    write(directory.path(), "imgmake.kdl", MANIFEST);
    let imgmake = Imgmake::new();
    let built = imgmake.ok(directory.path(), &[]).stdout;
    let digest = |target: &str| {
        let line = built.lines().find(|line| line.starts_with(target)).unwrap();
        line.split("sha256:").nth(1).unwrap()[..64].to_string()
    };
    let registry = Registry::start();
    let name = format!("{}/team/app:new", registry.host);
    let layout = format!("oci:{}/new", directory.path().display());
    let docker = format!("docker://{name}");
    run(
        "skopeo",
        &["copy", "--dest-tls-verify=false", &layout, &docker],
    );
    let text = imgmake.ok(directory.path(), &["diff", "old", "new"]).stdout;
    for line in [
        "config  config.Env.WORD one -> two\n",
        "~ /etc/a  size 3 -> 5, content ",
        "~ /etc/same  mode 0644 -> 0600  (layer 1)\n",
        "- /gone  (layer 1)\n",
        "+ /added  (layer 1)\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("SAME"), "{text}");
    // Wherever they are, the answer is one.
    for old in ["team/app:old", "old.tar", &digest("old")[..8]] {
        for new in ["new/", &digest("new"), &name] {
            let seen = imgmake.ok(directory.path(), &["diff", old, new]).stdout;
            assert_eq!(seen, text, "{old} {new}");
        }
    }
    let json = imgmake
        .ok(directory.path(), &["diff", "old", "new", "--json"])
        .stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    let files = json["platforms"][0]["files"].as_array().unwrap();
    let paths: Vec<&str> = files
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/added", "/etc/a", "/etc/same", "/gone"]);
    assert_eq!(
        json["platforms"][0]["files"][2]["changes"][0]["name"],
        "mode"
    );
    let same = imgmake.ok(directory.path(), &["diff", "old", "old.tar", "--exit-code"]);
    assert!(same.stdout.starts_with("the same image"), "{same:?}");
    let differ = imgmake.run(directory.path(), &["diff", "old", "new", "--exit-code"]);
    assert_eq!(differ.code, 1);
}

#[test]
fn inspect_shows_a_screenful_and_more_when_asked() {
    let directory = temporary();
    let variables: String = (0..40).map(|n| format!("env V{n}=\"x\"; ")).collect();
    let files: String = (0..30)
        .map(|n| format!("file \"/f{n:02}\" \"{}\"; ", "x".repeat(n + 1)))
        .collect();
    let manifest = format!("build app {{ from \"scratch\"; layer {{ {files} }}; {variables} }}\n");
    write(directory.path(), "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &[]);
    let seen = |more: &[&str]| {
        let arguments = [&["inspect", "app"][..], more].concat();
        imgmake.ok(directory.path(), &arguments).stdout
    };
    let first = seen(&[]);
    assert!(first.lines().count() <= 24, "{first}");
    assert!(
        first.contains("more variables: `--json` has all"),
        "{first}"
    );
    assert!(first.contains("/f29  (layer 1)"), "{first}");
    assert!(!first.contains("/f00  (layer"), "{first}");
    assert!(seen(&["--files"]).contains("  /f00\n"));
    let layers = seen(&["--layers"]);
    assert!(layers.contains("  /f00\n") && layers.contains("\nlayer     sha256:"));
    let json: Value = serde_json::from_str(&seen(&["--json", "--files"])).unwrap();
    let files = json["images"][0]["files"].as_array().unwrap();
    assert!(
        files
            .iter()
            .any(|file| file["path"] == "/f00" && file["layer"] == 1)
    );
    assert_eq!(json["images"][0]["layers"][0]["entries"], files.len());
}

const TWICE: &str = r#"
run stamp { command "date +%s%N > stamp; pwd > where"; outputs "stamp" "where" }
build steady { context "app" }
build leaks { from "scratch"; copy "stamp" to="/stamp"; copy "where" to="/where"; copy "app/x" to="/x" }
registry hub "127.0.0.1:1"
push publishes { images steady; to hub { tags "1" } }
build after { from "scratch"; file "/a" "x"; needs publishes }
"#;

#[test]
fn a_target_is_built_twice_and_what_leaks_into_it_is_shown() {
    let directory = temporary();
    let path = directory.path();
    write(path, "imgmake.kdl", TWICE);
    write(path, "app/Dockerfile", "FROM scratch\nCOPY x /x\n");
    write(path, "app/x", "x");
    std::os::unix::fs::symlink("app/x", path.join("link")).unwrap();
    let imgmake = Imgmake::new();
    let same = imgmake.ok(path, &["reproduce", "steady"]);
    assert!(
        same.stdout.starts_with("the same image: sha256:"),
        "{same:?}"
    );
    let other = imgmake.ok(path, &["reproduce", "steady", "--user", "4711:4711"]);
    assert!(
        other.stdout.starts_with("the same image: sha256:"),
        "{other:?}"
    );
    let differs = imgmake.run(path, &["reproduce", "leaks"]);
    assert_eq!(differs.code, 6, "{differs:?}");
    for says in ["~ /stamp  ", "~ /where  "] {
        assert!(differs.stdout.contains(says), "{differs:?}");
    }
    assert!(!differs.stdout.contains("/x"), "{differs:?}");
    // Nothing of it is left in the project.
    assert!(!path.join("stamp").exists() && !path.join(".imgmake/log").exists());
    let json = imgmake.run(path, &["reproduce", "leaks", "--json"]).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["same"], false);
    for (target, says) in [("after", "needs `publishes`"), ("stamp", "makes no image")] {
        imgmake.refused(path, &["reproduce", target], 2, &[says]);
    }
    // An ordinary run leaves what is looked for above.
    imgmake.ok(path, &["steady"]);
    assert!(path.join(".imgmake/log").exists());
    std::fs::remove_file(path.join("app/x")).unwrap();
    let says = ["the first build failed"];
    imgmake.refused(path, &["reproduce", "steady"], 1, &says);
}

/// The config of the only image in a layout, changed, with the digests that follow from it.
fn forge(layout: &Path, change: impl FnOnce(&mut Value)) {
    let read =
        |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let blob = |digest: &Value| {
        let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        layout.join("blobs/sha256").join(hex)
    };
    let store = |descriptor: &mut Value, value: &Value| {
        let text = value.to_string();
        let new = layout.join("new");
        std::fs::write(&new, &text).unwrap();
        let sum = run("sha256sum", &[new.to_str().unwrap()]);
        let digest = Value::from(format!("sha256:{}", sum.split(' ').next().unwrap()));
        std::fs::rename(&new, blob(&digest)).unwrap();
        (descriptor["digest"], descriptor["size"]) = (digest, text.len().into());
    };
    let mut index = read(&layout.join("index.json"));
    let mut manifest = read(&blob(&index["manifests"][0]["digest"]));
    let mut config = read(&blob(&manifest["config"]["digest"]));
    change(&mut config);
    store(&mut manifest["config"], &config);
    store(&mut index["manifests"][0], &manifest);
    let descriptor = index["manifests"][0].as_object_mut().unwrap();
    descriptor.remove("platform");
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn an_image_hides_no_layer_and_writes_no_line_of_its_platform() {
    let directory = temporary();
    let path = directory.path();
    let manifest = "build a { from \"scratch\"; file \"/empty\" \"\"; file \"/full\" \"x\"; layout \"out\" }\n";
    write(path, "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(path, &[]);
    let text = imgmake.ok(path, &["inspect", "out"]).stdout;
    assert!(text.contains("\nfiles     2, 1 B; the largest:"), "{text}");
    let text = imgmake
        .ok(path, &["inspect", "out", "--layers", "--files"])
        .stdout;
    assert_eq!(text.matches("  /full\n").count(), 2, "{text}");
    forge(&path.join("out"), |config| {
        config["variant"] = "v\nlayers  9".into()
    });
    let text = imgmake.ok(path, &["inspect", "out"]).stdout;
    assert!(text.contains("␊layers  9"), "{text}");
    forge(&path.join("out"), |config| {
        config["variant"] = "v".into();
        config["rootfs"]["diff_ids"] = serde_json::json!([]);
    });
    let says = ["the number of layers in the config is 0, expected"];
    imgmake.refused(path, &["inspect", "out"], 1, &says);
}

/// A value with a line break does not make a line of its own.
#[test]
fn values_of_an_image_write_no_lines() {
    let directory = temporary();
    let image = |name: &str, word: &str| {
        format!("build {name} {{ from \"scratch\"; file \"/a\" \"x\"; env WORD=\"{word}\" }}\n")
    };
    let manifest = image("old", "1") + &image("new", "1\\nlayers  the lowest 9 are the same");
    write(directory.path(), "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &[]);
    for arguments in [&["diff", "old", "new"][..], &["inspect", "new"]] {
        let text = imgmake.ok(directory.path(), arguments).stdout;
        assert!(text.contains("1␊layers  the"), "{text}");
        assert!(!text.contains("\nlayers  the lowest 9"), "{text}");
    }
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let directory = temporary();
    write(directory.path(), "imgmake.kdl", MANIFEST);
    let imgmake = Imgmake::new();
    let says = ["target `new` has no image yet", "`imgmake new` builds it"];
    imgmake.refused(directory.path(), &["inspect", "new"], 1, &says);
    imgmake.ok(directory.path(), &["old"]);
    let says = [
        "archive, layout, target or stored image `alpine` not found",
        "the store contains team/app:old",
        "write `docker.io/library/alpine` to pull it from its registry",
    ];
    imgmake.refused(directory.path(), &["inspect", "alpine"], 1, &says);
    for (digest, help) in [
        (
            "sha256:abc",
            "help: write 6 or more digits; the store contains",
        ),
        ("sha256:abcdef12", "help: the store contains"),
        ("0123456789ab", "help: the store contains"),
    ] {
        let message = format!("no image whose digest begins with `{digest}`");
        let ran = imgmake.refused(directory.path(), &["inspect", digest], 1, &[&message, help]);
        assert!(!ran.stderr.contains("docker.io"), "{ran:?}");
    }
}
