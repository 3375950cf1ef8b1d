//! Images that machines of different kinds pushed become one, in real registries.

use serde_json::Value;

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

fn example() -> tempfile::TempDir {
    let directory = temporary();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/native-machines/.");
    run("cp", &["-r", source, directory.path().to_str().unwrap()]);
    drop(std::fs::remove_dir_all(directory.path().join(".imgmake")));
    directory
}

fn platforms(index: &Value) -> Vec<String> {
    let children = index["manifests"].as_array().expect("an index");
    let platform = |child: &Value| {
        let part = |name: &str| child["platform"][name].as_str().unwrap().to_string();
        format!("{}/{}", part("os"), part("architecture"))
    };
    children.iter().map(platform).collect()
}

/// Both machines have stores of their own; a third one joins what they pushed.
#[test]
fn the_example_joins_what_two_machines_built() {
    let registry = Registry::start();
    let project = example();
    let at = format!("--var=REGISTRY={}", registry.host);
    for architecture in ["amd64", "arm64"] {
        let own = format!("--var=ARCH={architecture}");
        Imgmake::new().ok(project.path(), &[&at, &own, "native"]);
    }
    let third = Imgmake::new();

    third.ok(project.path(), &[&at, "release"]);

    let index = registry.manifest("app", "dev");
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
    let children = index["manifests"].as_array().unwrap();
    for (child, tag) in children.iter().zip(["dev-amd64", "dev-arm64"]) {
        assert_eq!(
            child["digest"].as_str(),
            registry.digest("app", tag).as_deref()
        );
    }
    let again = third.ok(project.path(), &[&at, "release"]);
    let said = format!("{}{}", again.stdout, again.stderr);
    assert!(said.contains("nothing to do"), "{said}");

    // One machine pushes again: the image of both follows.
    write(
        project.path(),
        "src/package-lock.json",
        "{\"name\":\"other\",\"lockfileVersion\":3,\"packages\":{}}",
    );
    Imgmake::new().ok(project.path(), &[&at, "--var=ARCH=arm64", "native"]);
    third.ok(project.path(), &[&at, "release"]);
    let new = registry.manifest("app", "dev");
    assert_eq!(new["manifests"][0], index["manifests"][0]);
    assert_eq!(
        new["manifests"][1]["digest"].as_str(),
        registry.digest("app", "dev-arm64").as_deref()
    );
    assert_ne!(new["manifests"][1], index["manifests"][1]);
}

/// The images lie in two registries, and go to a third and to another repository of the first.
#[test]
fn children_are_copied_or_mounted_with_every_byte() {
    let (here, there, third) = (Registry::start(), Registry::start(), Registry::start());
    let directory = temporary();
    let path = directory.path();
    write(path, "a", "layer ".repeat(1000));
    let registries: String = [("here", &here), ("there", &there), ("third", &third)]
        .iter()
        .map(|(name, r)| format!("registry {name} \"{}\" {{ insecure #true }}\n", r.host))
        .collect();
    let manifest = format!(
        "{registries}\
         build amd {{ from \"scratch\"; copy \"a\" to=\"/\"; platforms \"linux/amd64\" }}\n\
         build arms {{ from \"scratch\"; copy \"a\" to=\"/b\"; platforms \"linux/arm64\" \"linux/arm/v6\" }}\n\
         push one {{ images amd; to here {{ repository \"one\"; tags \"1\" }} }}\n\
         push two {{ images arms; to there {{ repository \"two\"; tags \"1\" }} }}\n\
         push all {{ index {{ from image=\"{}/one:1\"; from image=\"{}/two:1\" }}\n\
             to here third {{ repository \"all\"; tags \"1\" latest }}; publish together; write-digests \"digests.json\" }}\n",
        here.host, there.host
    );
    write(path, "imgmake.kdl", manifest);
    Imgmake::new().ok(path, &["one", "two"]);
    let before = here.requests().len();

    Imgmake::new().ok(path, &["all"]);

    let index = here.manifest("all", "1");
    assert_eq!(
        platforms(&index),
        ["linux/amd64", "linux/arm64", "linux/arm"]
    );
    assert_eq!(index["manifests"][2]["platform"]["variant"], "v6");
    for registry in [&here, &third] {
        assert_eq!(
            registry.tags(),
            match registry.host == here.host {
                true => vec!["all:1", "all:latest", "one:1"],
                false => vec!["all:1", "all:latest"],
            }
        );
        assert_eq!(registry.digest("all", "1"), here.digest("all", "1"));
        for child in index["manifests"].as_array().unwrap() {
            let manifest = registry.json(child["digest"].as_str().unwrap());
            let layer = manifest["layers"][0]["digest"].as_str().unwrap();
            assert!(
                registry
                    .blobs()
                    .contains(layer.trim_start_matches("sha256:")),
                "{layer}"
            );
        }
    }
    // What its own repository has is mounted: the layer is sent to `here` by nobody.
    let layer = here.json(index["manifests"][0]["digest"].as_str().unwrap());
    let layer = layer["layers"][0]["digest"].as_str().unwrap().to_string();
    let requests = here.requests().split_off(before);
    let of_layer: Vec<&String> = requests
        .iter()
        .filter(|line| line.contains(&layer.replace(':', "%3A")) || line.contains(&layer))
        .collect();
    assert!(
        of_layer
            .iter()
            .any(|line| line.starts_with("POST ") && line.contains("mount=")),
        "{requests:#?}"
    );
    assert!(
        !of_layer.iter().any(|line| line.starts_with("PUT ")),
        "{requests:#?}"
    );
    let digests = std::fs::read_to_string(path.join("digests.json")).unwrap();
    assert_eq!(
        digests.matches(&here.digest("all", "1").unwrap()).count(),
        4,
        "{digests}"
    );
}

#[test]
fn builds_and_images_of_registries_join_and_a_platform_is_there_once() {
    let own = Registry::start();
    let directory = temporary();
    let path = directory.path();
    write(path, "a", "a");
    let manifest = format!(
        "registry own \"{}\" {{ insecure #true }}\n\
         build amd {{ from \"scratch\"; copy \"a\" to=\"/\"; platforms \"linux/amd64\"; format docker }}\n\
         build arm {{ from \"scratch\"; copy \"a\" to=\"/\"; platforms \"linux/arm64\"; format docker }}\n\
         push far {{ images arm; to own {{ repository \"app\"; tags \"1-arm64\" }} }}\n\
         push both {{ index {{ images amd; from image=\"{}/app:1-arm64\" }}; to own {{ repository \"app\"; tags \"1\" }} }}\n\
         push twice {{ index {{ images amd arm; from image=\"{}/app:1-arm64\" }}; to own {{ repository \"app\"; tags \"2\" }} }}\n",
        own.host, own.host, own.host
    );
    write(path, "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["far"]);

    imgmake.ok(path, &["both"]);

    let index = own.manifest("app", "1");
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
    // Docker's manifests make a list of Docker's.
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    assert_eq!(index["mediaType"], list);

    let name = format!("{}/app:1-arm64", own.host);
    let says = ["duplicate platform `linux/arm64`", "`arm`", &name];
    imgmake.refused(path, &["twice"], 1, &says);
    assert_eq!(own.tags(), ["app:1", "app:1-arm64"]);
}

/// The gate is asked about each of the images; one that is refused keeps all of them.
#[test]
fn one_refused_child_publishes_nothing() {
    let registry = Registry::start();
    let project = example();
    let at = format!("--var=REGISTRY={}", registry.host);
    Imgmake::new().ok(project.path(), &[&at, "--var=ARCH=amd64", "native"]);
    write(
        project.path(),
        "src/package-lock.json",
        r#"{"name":"x","lockfileVersion":3,"packages":{"node_modules/left-pad":{"version":"1.3.0"}}}"#,
    );
    Imgmake::new().ok(project.path(), &[&at, "--var=ARCH=arm64", "native"]);
    write(
        project.path(),
        "advisories/EXAMPLE-2026-0002.json",
        r#"{"schema_version":"1.6.0","id":"EXAMPLE-2026-0002","modified":"2026-01-01T00:00:00Z","summary":"all of it",
            "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"1.3.0"},{"fixed":"1.3.1"}]}]}]}"#,
    );

    let refused = ["EXAMPLE-2026-0002", "app:dev-arm64"];
    Imgmake::new().refused(project.path(), &[&at, "release"], 3, &refused);

    assert_eq!(registry.tags(), ["app:dev-amd64", "app:dev-arm64"]);
}
