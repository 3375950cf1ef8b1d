//! A workspace's store, into which an earlier step or a stranger's checkout has laid unpacked
//! layers and cache mounts of its own: nobody builds with them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::{run, temporary, write};

const KEY: &str = "a secret of the pipeline, 40 letters long";

/// What the base holds and what the cache holds are in the image.
const STEPS: &str =
    "RUN --mount=type=cache,id=deps,target=/c ls -R /bin /c > /listing; touch /c/own\n";

fn context(workspace: &Path) {
    let base = format!("{}/library/busybox:latest", bases().host);
    write(workspace, "Dockerfile", format!("FROM {base}\n{STEPS}"));
}

/// A step that builds for nobody: its archive, with files that were made in the same second.
fn step(workspace: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Vec<u8>, String) {
    let store = workspace.join(".imgmake/store");
    let mut imgmake = Imgmake::new().with("IMGMAKE_STORE", store.to_str().unwrap());
    for (name, value) in variables {
        imgmake = imgmake.with(name, value);
    }
    let ran = imgmake.ok(workspace, arguments);
    let archive = fs::read(workspace.join("image.tar")).unwrap();
    fs::remove_file(workspace.join("image.tar")).unwrap();
    (archive, ran.stderr)
}

fn kaniko(workspace: &Path, key: Option<&str>) -> Vec<u8> {
    let arguments = [
        "kaniko",
        "--context=.",
        "--no-push",
        "--tar-path=image.tar",
        "--destination=example.com/app:1",
        "--insecure-pull",
        "--reproducible",
    ];
    let key = key.map(|key| ("IMGMAKE_STATE_KEY", key));
    step(workspace, &arguments, key.as_slice()).0
}

fn plugin(workspace: &Path, key: Option<&str>) -> Vec<u8> {
    let mut variables = vec![
        ("PLUGIN_REPO", "example.com/app"),
        ("PLUGIN_NO_PUSH", "true"),
        ("PLUGIN_TAR_PATH", "image.tar"),
        ("PLUGIN_INSECURE_PULL", "true"),
        ("PLUGIN_REPRODUCIBLE", "true"),
    ];
    variables.extend(key.map(|key| ("IMGMAKE_STATE_KEY", key)));
    step(workspace, &["plugin", "--as", "kaniko-docker"], &variables).0
}

/// The listing of the image in an archive.
fn listing(archive: &[u8]) -> String {
    let directory = temporary();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
    fs::write(at("image.tar"), archive).unwrap();
    run("tar", &["-xf", &at("image.tar"), "-C", &at("")]);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(at("manifest.json")).unwrap()).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    let last = at(layers.last().unwrap().as_str().unwrap());
    run("tar", &["-xOf", &last, "listing"])
}

fn below(directory: &Path, named: &str) -> Vec<PathBuf> {
    let found = run("find", &[directory.to_str().unwrap(), "-name", named]);
    found.lines().map(PathBuf::from).collect()
}

/// Puts a program into every unpacked layer, and a file into every cache.
fn plant(store: &Path) -> (usize, usize) {
    let trees: Vec<PathBuf> = below(&store.join("trees"), "busybox");
    for program in &trees {
        fs::write(program.with_file_name("planted-program"), "evil").unwrap();
    }
    let caches: Vec<PathBuf> = below(&store.join("cache"), "own");
    for own in &caches {
        fs::write(own.with_file_name("planted-cache"), "evil").unwrap();
    }
    (trees.len(), caches.len())
}

#[test]
fn a_planted_tree_or_cache_mount_in_a_workspaces_store_reaches_no_image() {
    let workspace = temporary();
    let path = workspace.path();
    let store = path.join(".imgmake/store");
    context(path);
    let manifest = format!(
        "registry base \"{}\" {{ insecure #true }}\n\
         build app {{ context \".\"; tags \"a:1\"; no-cache #true; tar \"out.tar\" }}\n",
        bases().host
    );
    write(path, "imgmake.kdl", manifest);
    // Whoever builds the same in a store of their own has all names that such a store has.
    let attacker = Imgmake::new();
    let theirs = || {
        attacker.ok(path, &["--force"]);
        listing(&fs::read(path.join("out.tar")).unwrap())
    };
    let before = theirs();
    let is_clean = before.contains("busybox") && !before.contains("planted");
    assert!(is_clean, "{before}");
    let (trees, caches) = plant(&attacker.store());
    assert!(trees > 0 && caches > 0, "{trees} {caches}");
    // It works on its maker, so nothing but the workspace stands in its way.
    let after = theirs();
    let works = after.contains("planted-program") && after.contains("planted-cache");
    assert!(works, "{after}");
    for name in ["imgmake.kdl", "out.tar"] {
        fs::remove_file(path.join(name)).unwrap();
    }

    for (name, build) in [
        ("kaniko", kaniko as fn(&Path, Option<&str>) -> Vec<u8>),
        ("plugin", plugin),
    ] {
        for key in [None, Some(KEY)] {
            drop(fs::remove_dir_all(path.join(".imgmake")));
            fs::create_dir(path.join(".imgmake")).unwrap();
            let (from, to) = (attacker.store(), store.to_str().unwrap());
            run("cp", &["-a", from.to_str().unwrap(), to]);
            let first = listing(&build(path, key));
            let is_clean = first.contains("busybox") && !first.contains("planted");
            assert!(is_clean, "{name} {key:?}: {first}");
            // A neighbor of the same pipeline sees what the step left, and plants again. With
            // the key a cache is found by the next step: the workspace is theirs together.
            plant(&store);
            fs::remove_dir_all(store.join("steps")).unwrap();
            let second = listing(&build(path, key));
            assert!(
                !second.contains("planted-program"),
                "{name} {key:?}: {second}"
            );
            let found_again = second.contains("planted-cache");
            assert_eq!(found_again, key.is_some(), "{name}: {second}");
        }
    }
}
