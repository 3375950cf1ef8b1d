//! Two images compared, wherever they are.

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

/// A value with a line break does not make a line of its own.
#[test]
fn values_of_an_image_write_no_lines() {
    let directory = temporary();
    let image = |name: &str, word: &str| {
        format!("build {name} {{ from \"scratch\"; file \"/a\" \"x\"; env WORD=\"{word}\" }}\n")
    };
    let manifest = image("old", "1") + &image("new", "1\\nlayers  9 at the bottom are the same");
    write(directory.path(), "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &[]);
    for arguments in [&["diff", "old", "new"][..], &["inspect", "new"]] {
        let text = imgmake.ok(directory.path(), arguments).stdout;
        assert!(text.contains("1␊layers  9"), "{text}");
        assert!(!text.contains("\nlayers  9"), "{text}");
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
        "the store holds team/app:old",
        "`docker.io/library/alpine` asks its registry",
    ];
    imgmake.refused(directory.path(), &["inspect", "alpine"], 1, &says);
}
