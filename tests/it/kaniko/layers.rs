//! `--single-snapshot`, `--ignore-path` and `--ignore-var-run`.

use super::*;
use crate::ground::tree;

/// The layers of the image in a layout, and its tree.
fn built(arguments: &[&str]) -> (usize, tree::Tree) {
    let directory = temporary();
    write(
        directory.path(),
        "Dockerfile",
        "FROM busybox\n\
         RUN mkdir -p /var/run/app /tmp/cache && echo 1 > /tmp/cache/x && echo 1 > /var/run/app/pid\n\
         COPY Dockerfile /tmp/cache/copied\n\
         RUN cat /tmp/cache/x /var/run/app/pid /tmp/cache/copied > /all\n",
    );
    let mirror = format!("--registry-mirror={}", bases().host);
    let always = [
        "-c",
        ".",
        "--no-push",
        "--insecure-pull",
        "--oci-layout-path=oci",
        "--digest-file=digest",
        &mirror,
    ];
    let all = [&always[..], arguments].concat();
    kaniko(&Imgmake::new(), directory.path(), &all);
    let digest = std::fs::read_to_string(directory.path().join("digest")).unwrap();
    let blobs = directory.path().join("oci/blobs/sha256");
    let manifest = std::fs::read(blobs.join(digest.strip_prefix("sha256:").unwrap())).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layout = format!("oci:{}", directory.path().join("oci").display());
    let layers = manifest["layers"].as_array().unwrap().len();
    (layers, tree::unpack(&layout).tree)
}

#[test]
fn one_snapshot_is_one_layer_with_the_same_files() {
    let (several, plain) = built(&["--reproducible"]);
    let (one, squashed) = built(&["--reproducible", "--single-snapshot"]);
    assert_eq!(several, one + 2);
    tree::assert_same(&squashed, &plain);
    assert!(plain.contains_key("var/run/app/pid"), "kept unless said");
}

#[test]
fn ignored_paths_are_there_for_later_steps_and_not_in_the_image() {
    let (_, plain) = built(&[]);
    let (_, without) = built(&["--ignore-path=/tmp/cache", "--ignore-var-run=true"]);
    assert_eq!(plain["all"], without["all"]);
    let gone: Vec<&String> = plain.keys().filter(|p| !without.contains_key(*p)).collect();
    let expected = [
        "tmp/cache",
        "tmp/cache/copied",
        "tmp/cache/x",
        "var/run",
        "var/run/app",
        "var/run/app/pid",
    ];
    assert_eq!(gone, expected);
}
