//! `--offline`: no connection is made, and what is missing has a name.

use std::sync::atomic::Ordering;

use crate::ground::addresses::serve;
use crate::ground::images::busybox;
use crate::ground::project::Project;
use crate::ground::registry::Registry;
use crate::ground::run;

const OFFLINE: &[&str] = &["--offline"];

#[test]
fn nothing_is_asked_and_what_is_missing_is_named() {
    let (port, asked) = serve("127.0.0.1");
    let at = format!("127.0.0.1:{port}");
    for (name, dockerfile) in [
        ("base", format!("FROM {at}/team/app:1\n")),
        (
            "digest",
            format!("FROM {at}/team/app@sha256:{}\n", "a".repeat(64)),
        ),
        ("url", format!("FROM scratch\nADD http://{at}/tool /\n")),
        (
            "http",
            format!("FROM scratch\nADD http://{at}/app.git#main /\n"),
        ),
        (
            "daemon",
            format!("FROM scratch\nADD git://{at}/app.git#main /\n"),
        ),
        (
            "ssh",
            format!("FROM scratch\nADD ssh://git@{at}/app.git#main /\n"),
        ),
    ] {
        let p = Project::new("build app { context \".\" }").with("Dockerfile", &dockerfile);
        let code = if name == "base" || name == "digest" {
            4
        } else {
            1
        };
        let says = [
            "`--offline` is set",
            "it needs a connection to `127.0.0.1`",
            "Dockerfile",
        ];
        let refused = p.imgmake.refused(p.path(), OFFLINE, code, &says);
        assert!(!refused.stderr.contains("attempt"), "{name}: {refused:?}");
        p.imgmake.refused(p.path(), &["check", "--offline"], 5, &[]);
    }
    let p = Project::new(&format!(
        "registry own \"{at}/team\" {{ insecure #true }}\n\
         build app {{ from \"scratch\"; file \"/a\" \"b\" }}\n\
         push release {{ images app; to own {{ tags \"1\" }} }}"
    ));
    p.imgmake.refused(
        p.path(),
        &["release", "--offline"],
        4,
        &["`--offline` is set"],
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    p.imgmake
        .refused(p.path(), &["--offline", "--pull"], 2, &["--offline"]);
}

#[test]
fn what_is_here_is_built_without_a_connection_and_a_run_only_without_a_network() {
    let registry = Registry::start();
    let from = format!("oci:{}:base", busybox().display());
    let to = format!("docker://{}/library/busybox", registry.host);
    run(
        "skopeo",
        &["copy", "-q", "--dest-tls-verify=false", &from, &to],
    );
    let base = format!("{}/library/busybox", registry.host);
    let p = Project::new("build app { context \".\" }")
        .with("a", "1")
        .with(
            "Dockerfile",
            &format!("FROM {base}\nRUN echo x > /x\nCOPY a /a\n"),
        );
    p.build().succeeded();
    let asked = registry.requests().len();
    p.write("a", "2");
    // The step is cached, and the base is pinned and here. No cache is asked.
    let cache = format!("--cache-from={}/cache", registry.host);
    p.run(&["--offline", &cache]).succeeded().ran(["app"]);
    p.write(
        "Dockerfile",
        &format!("FROM {base}\nRUN echo y > /y\nCOPY a /a\n"),
    );
    let says = [
        "a RUN that may use the network is refused",
        "Dockerfile:2",
        "--network=none",
    ];
    p.imgmake.refused(p.path(), OFFLINE, 1, &says);
    p.write(
        "Dockerfile",
        &format!("FROM {base}\nRUN --network=none echo y > /y\nCOPY a /a\n"),
    );
    p.run(OFFLINE).succeeded();
    assert_eq!(registry.requests().len(), asked);
}
