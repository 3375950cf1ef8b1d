//! Build once, scan, push to many: the whole way, against real registries.

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::{Access, Registry};
use crate::ground::{run, temporary, write};

fn example() -> tempfile::TempDir {
    let directory = temporary();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/build-scan-push/.");
    run("cp", &["-r", source, directory.path().to_str().unwrap()]);
    drop(std::fs::remove_dir_all(directory.path().join(".imgmake")));
    directory
}

fn variables(registries: &[Registry]) -> Vec<String> {
    ["EAST", "WEST", "NORTH", "SOUTH"]
        .iter()
        .zip(registries)
        .map(|(n, r)| format!("--var={n}={}", r.host))
        .collect()
}

#[test]
fn one_build_reaches_four_registries_with_one_digest() {
    let project = example();
    let registries: Vec<Registry> = (0..4).map(|_| Registry::start()).collect();
    let mut arguments = variables(&registries);
    arguments.push("release".into());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let imgmake = Imgmake::new();

    imgmake.ok(project.path(), &arguments);

    let digests = [
        ("shop", 0),
        ("shop", 1),
        ("mirror/shop", 2),
        ("mirror/shop", 3),
    ]
    .map(|(name, n)| registries[n].digest(name, "dev"));
    assert!(
        digests[0].is_some() && digests.iter().all(|d| *d == digests[0]),
        "{digests:?}"
    );
    assert_eq!(registries[0].tags(), ["shop:dev", "shop:latest"]);
    let written = std::fs::read_to_string(project.path().join("out/digests.json")).unwrap();
    assert!(written.contains(digests[0].as_ref().unwrap()), "{written}");
    // Again: everything is there, so nothing is done.
    let again = imgmake.ok(project.path(), &arguments);
    assert!(
        again.stderr.contains("nothing to do") || again.stdout.contains("nothing to do"),
        "{}{}",
        again.stdout,
        again.stderr
    );
}

#[test]
fn a_refusing_gate_publishes_nothing() {
    let project = example();
    write(
        project.path(),
        "advisories/EXAMPLE-2026-0002.json",
        r#"{"schema_version":"1.6.0","id":"EXAMPLE-2026-0002","modified":"2026-01-01T00:00:00Z","summary":"all of it",
            "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}"#,
    );
    let registries: Vec<Registry> = (0..4).map(|_| Registry::start()).collect();
    let mut arguments = variables(&registries);
    arguments.push("release".into());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();

    Imgmake::new().refused(
        project.path(),
        &arguments,
        3,
        &["EXAMPLE-2026-0002", "left-pad"],
    );

    for registry in &registries {
        assert!(registry.blobs().is_empty() && registry.tags().is_empty());
    }
}

#[test]
fn a_registry_that_is_down_stops_no_other_and_is_tried_alone_the_next_time() {
    let directory = temporary();
    let up = Registry::start();
    let down = format!("127.0.0.1:{}", crate::ground::registry::free_port());
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    let manifest = |second: &str| {
        format!(
            "imgmake version=1 {{ retry attempts=1 }}\nregistry up \"{}\" {{ insecure #true }}\nregistry down \"{second}\" {{ insecure #true }}\n\
             build app {{ context \".\" }}\npush release {{ images app; to up down {{ tags \"1\" }} }}\n",
            up.host
        )
    };
    write(directory.path(), "imgmake.kdl", manifest(&down));
    write(directory.path(), ".dockerignore", "imgmake.kdl\n");
    let imgmake = Imgmake::new();

    imgmake.refused(directory.path(), &["release"], 4, &[&down]);
    assert_eq!(up.tags(), ["app:1"]);

    let second = Registry::start();
    write(directory.path(), "imgmake.kdl", manifest(&second.host));
    imgmake.ok(directory.path(), &["release"]);
    assert_eq!(second.digest("app", "1"), up.digest("app", "1"));
}

#[test]
fn credentials_come_from_dockers_config_and_wrong_ones_say_so() {
    let directory = temporary();
    let registry = Registry::with(&Access {
        basic: Some(("ann", "secret-word")),
        tls: None,
    });
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    write(
        directory.path(),
        "imgmake.kdl",
        format!(
            "registry r \"{}\" {{ insecure #true }}\nbuild app {{ context \".\" }}\npush release {{ images app; to r {{ tags \"1\" }} }}\n",
            registry.host
        ),
    );
    let login = |password: &str| {
        let imgmake = Imgmake::new();
        let auth = run("sh", &["-c", &format!("printf 'ann:{password}' | base64")]);
        write(
            &imgmake.home(),
            ".docker/config.json",
            format!(
                "{{\"auths\":{{\"{}\":{{\"auth\":\"{}\"}}}}}}",
                registry.host,
                auth.trim()
            ),
        );
        imgmake
    };
    let refused = login("wrong-word").refused(
        directory.path(),
        &["release"],
        4,
        &[&registry.host, "config.json"],
    );
    assert!(!refused.stderr.contains("wrong-word") && !refused.stdout.contains("wrong-word"));
    assert!(registry.tags().is_empty());
    login("secret-word").ok(directory.path(), &["release"]);
    assert_eq!(registry.tags(), ["app:1"]);
}

#[test]
fn archives_are_pushed_and_remote_images_retagged_without_a_build() {
    let directory = temporary();
    let registry = Registry::start();
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    write(
        directory.path(),
        "imgmake.kdl",
        format!(
            "registry r \"{}\" {{ insecure #true }}\n\
             build app {{ context \".\"; tags \"x/app:1\"; tar \"docker.tar\" }}\n\
             build oci {{ context \".\"; tags \"x/app:1\"; tar \"oci.tar\" format=oci }}\n\
             push a {{ from tar=\"docker.tar\"; to r {{ repository \"from/docker\"; tags \"1\" }} }}\n\
             push b {{ from tar=\"oci.tar\"; to r {{ repository \"from/oci\"; tags \"1\" }} }}\n\
             push c {{ from image=\"{0}/from/oci:1\"; to r {{ repository \"again/oci\"; tags \"2\" \"latest\" }} }}\n",
            registry.host
        ),
    );
    write(directory.path(), ".dockerignore", "*.tar\nimgmake.kdl\n");
    let imgmake = Imgmake::new();
    imgmake.ok(directory.path(), &["app", "oci"]);
    imgmake.ok(directory.path(), &["a", "b"]);
    imgmake.ok(directory.path(), &["c"]);
    let digest = registry.digest("from/oci", "1");
    assert!(digest.is_some());
    assert_eq!(registry.digest("from/docker", "1"), digest);
    assert_eq!(registry.digest("again/oci", "latest"), digest);
}
