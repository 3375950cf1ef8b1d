//! What a gate must not pass: databases that changed, and what nobody has judged.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{temporary, write};

const LOCK: &str = r#"{"name":"app","lockfileVersion":3,"packages":{"node_modules/left-pad":{"version":"1.3.0"}}}"#;

/// What is known against left-pad.
fn advisory(id: &str, introduced: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z",
            "severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],
            "affected":[{{"package":{{"ecosystem":"npm","name":"left-pad"}},
                "ranges":[{{"type":"SEMVER","events":[{{"introduced":"{introduced}"}}]}}]}}]}}"#
    )
}

/// A project whose image has left-pad 1.3.0, and the gate with these lines in it.
fn project(path: &Path, gate: &str) {
    write(path, "package-lock.json", LOCK);
    write(
        path,
        "Dockerfile",
        "FROM scratch\nCOPY package-lock.json /app/\n",
    );
    let manifest =
        format!("build app {{ context \".\" }}\nscan gate {{\n    images app\n{gate}\n}}\n");
    write(path, "imgmake.kdl", manifest);
    write(path, ".dockerignore", "*\n!package-lock.json\n");
}

/// As Kubernetes mounts a volume: names are links by way of `..data`; and as people share a
/// directory: by a link to it.
#[test]
fn advisories_behind_links_are_noticed_when_they_change() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    project(path, "    advisories \"advisories\"");
    write(path, "volume/..1/npm/a.json", advisory("A-1", "9.0.0"));
    write(path, "volume/..2/npm/a.json", advisory("A-1", "0"));
    symlink("..1", path.join("volume/..data")).unwrap();
    symlink("..data/npm", path.join("volume/npm")).unwrap();
    symlink("volume", path.join("advisories")).unwrap();
    imgmake.ok(path, &["gate"]);
    let said = imgmake.ok(path, &["gate"]);
    assert!(said.stderr.contains("nothing to do"), "{}", said.stderr);

    std::fs::remove_file(path.join("volume/..data")).unwrap();
    symlink("..2", path.join("volume/..data")).unwrap();

    let stale = imgmake.run(path, &["check", "gate"]);
    assert_eq!(stale.code, 5, "{}{}", stale.stdout, stale.stderr);
    imgmake.refused(path, &["gate"], 3, &["A-1"]);
}

#[test]
fn a_layout_behind_a_link_is_scanned_again_when_it_changes() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    write(path, "advisories/a.json", advisory("A-1", "1.3.0"));
    let layout = |version: &str| {
        write(path, "package-lock.json", LOCK.replace("1.3.0", version));
        write(
            path,
            "Dockerfile",
            "FROM scratch\nCOPY package-lock.json /app/\n",
        );
        let build = "build app { context \".\"; layout \"kept/image\" }\n";
        write(path, "build.kdl", build);
        imgmake.ok(path, &["-f", "build.kdl", "app"]);
    };
    symlink("kept/image", path.join("image")).unwrap();
    let gate = "scan gate { from tar=\"image\"; advisories \"advisories\" }\n";
    write(path, "imgmake.kdl", gate);
    layout("1.2.0");
    imgmake.ok(path, &["gate"]);
    layout("1.3.0");
    imgmake.refused(path, &["gate"], 3, &["A-1"]);
}

/// A directory of modules that is elsewhere: its name is a link.
#[test]
fn packages_behind_links_of_the_image_are_found() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    write(path, "advisories/a.json", advisory("A-1", "0"));
    write(
        path,
        "package.json",
        r#"{"name":"left-pad","version":"1.3.0"}"#,
    );
    let build = |steps: &str| {
        let manifest = format!(
            "build app {{ from scratch; layer {{ {steps} }} }}\nscan gate {{ images app; advisories \"advisories\" }}\n"
        );
        write(path, "imgmake.kdl", manifest);
    };
    let copy = "copy \"package.json\" to=";
    build(&format!("{copy}\"/deps/left-pad/package.json\""));
    imgmake.ok(path, &["gate"]);
    build(&format!(
        "{copy}\"/deps/left-pad/package.json\"; symlink \"/app/node_modules\" to=\"/deps\""
    ));
    let says = ["A-1", "left-pad 1.3.0"];
    imgmake.refused(path, &["gate"], 3, &says);
}

/// Two vulnerabilities that a third advisory is about together: each exception reaches the
/// advisories that carry its id, and no other one.
#[test]
fn an_ignored_vulnerability_clears_no_other_one() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    write(path, "advisories/1.json", advisory("CVE-2026-1", "0"));
    write(path, "advisories/2.json", advisory("CVE-2026-2", "0"));
    let both =
        advisory("GHSA-1", "0").replacen('{', r#"{"aliases":["CVE-2026-1","CVE-2026-2"],"#, 1);
    write(path, "advisories/3.json", both);
    let gate = |ignored: &[&str]| {
        let rules = ignored
            .iter()
            .map(|id| format!("    ignore \"{id}\" reason=\"not reachable\"\n"));
        project(
            path,
            &format!(
                "    advisories \"advisories\"\n{}",
                rules.collect::<String>()
            ),
        );
    };
    gate(&[]);
    imgmake.refused(path, &["gate"], 3, &["1 finding not accepted"]);
    gate(&["CVE-2026-1"]);
    imgmake.refused(path, &["gate"], 3, &["CVE-2026-2 in left-pad"]);
    gate(&["CVE-2026-1", "CVE-2026-2"]);
    imgmake.ok(path, &["gate"]);
}

#[test]
fn what_nobody_judged_or_rated_is_refused_unless_the_gate_allows_it() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    write(
        path,
        "advisories/1.json",
        advisory("A-1", "0").replace("npm", "PyPI"),
    );
    let gate = |lines: &str| project(path, &format!("    advisories \"advisories\"\n{lines}"));
    gate("");
    let says = "a package of npm not judged: the advisory database has no entries for it";
    imgmake.refused(path, &["gate"], 3, &[says, "imgmake db update \"npm\""]);
    gate("    allow-unjudged");
    let passed = imgmake.ok(path, &["gate"]);
    assert!(passed.stderr.contains(says), "{}", passed.stderr);

    write(
        path,
        "advisories/1.json",
        advisory("A-1", "0")
            .replace("CVSS_V3", "own")
            .replace("CVSS:", "no "),
    );
    gate("");
    let says = ["severity unknown: A-1 in left-pad 1.3.0", "unknown=#false"];
    imgmake.refused(path, &["gate"], 3, &says);
    gate("    fail-on severity=high unknown=#false");
    let passed = imgmake.ok(path, &["gate"]);
    let said = format!("{}{}", passed.stdout, passed.stderr);
    assert!(said.contains(says[0]), "{said}");

    write(
        path,
        "advisories/1.json",
        advisory("MAL-2026-1", "0")
            .replace("CVSS_V3", "own")
            .replace("CVSS:", "no "),
    );
    gate("    fail-on severity=critical fixable=#true unknown=#false");
    imgmake.refused(path, &["gate"], 3, &["MAL-2026-1", "critical"]);
}

/// The age of advisories is judged in every run, of a verdict that is up to date too.
#[test]
fn a_verdict_does_not_outlive_its_advisories() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    let made = |seconds: i64| {
        let moment = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        let document = advisory("A-1", "9.0.0");
        write(
            path,
            "advisories/1.json",
            document.replace("2026-01-01T00:00:00Z", &moment.to_string()),
        );
    };
    project(path, "    advisories \"advisories\"\n    max-db-age \"1h\"");
    made(-3600 + 20);
    imgmake.ok(path, &["gate"]);
    let again = imgmake.ok(path, &["gate"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    std::thread::sleep(std::time::Duration::from_secs(22));
    let stale = imgmake.run(path, &["check", "gate"]);
    assert_eq!(stale.code, 5, "{}{}", stale.stdout, stale.stderr);
    let says = ["the advisory database of npm is too old"];
    imgmake.refused(path, &["gate"], 3, &says);
    made(2 * 3600);
    imgmake.refused(path, &["gate"], 3, &["is in the future"]);
}

/// Neither another target, nor `--set`, nor an archive, nor another registry's image gets past it.
#[test]
fn a_project_can_demand_a_gate_for_every_push() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let registry = Registry::start();
    let path = directory.path();
    write(path, "advisories/1.json", advisory("A-1", "0"));
    write(path, "package-lock.json", LOCK);
    let manifest = |more: &str| {
        let text = format!(
            "imgmake version=1 {{ every-push needs-gate }}\nregistry hub \"{}\"\nvar GATED #true\n\
             build app {{ from scratch; copy \"package-lock.json\" to=\"/app/package-lock.json\"; tar \"app.tar\" }}\n\
             scan gate {{ images app; advisories \"advisories\"; if \"${{GATED}}\" }}\n\
             push release {{ images app; needs gate; to hub {{ tags \"1\" }} }}\n{more}\n",
            registry.host
        );
        write(path, "imgmake.kdl", text);
    };
    manifest("");
    imgmake.refused(path, &["release"], 3, &["A-1"]);
    for (set, code) in [("release.needs=app", 2), ("release.needs=#null", 2)] {
        let ran = imgmake.run(path, &["--set", set, "release"]);
        assert_eq!(ran.code, code, "{set}: {}{}", ran.stdout, ran.stderr);
    }
    let ran = imgmake.run(path, &["--var", "GATED=false", "release"]);
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    let says = [
        "target `x` pushes without a gate",
        "every push needs a gate in this project",
    ];
    for (from, place) in [
        ("images app", ""),
        ("from tar=\"app.tar\"", "repository \"x\"; "),
        ("from image=\"example.com/a:1\"", "repository \"x\"; "),
    ] {
        manifest(&format!(
            "push x {{ {from}; to hub {{ {place}tags \"1\" }} }}"
        ));
        for command in [&["x"][..], &["push", "x"], &["plan", "x"]] {
            imgmake.refused(path, command, 2, &says);
        }
    }
    assert_eq!(registry.tags(), [""; 0]);
}

/// What is not in the manifest is pushed from the project all the same.
#[test]
fn a_demanded_gate_holds_for_pushes_without_the_manifest() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let registry = Registry::start();
    let path = directory.path();
    let host = &registry.host;
    let demand = "imgmake version=1 { every-push needs-gate }\nvar UNKNOWN type=\"string\"\n";
    write(path, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    write(
        path,
        "services/api/Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    let bake = format!(
        "target \"app\" {{\n  context = \".\"\n  tags = [\"{host}/bake:1\"]\n  output = [\"type=registry\"]\n}}\n"
    );
    write(path, "docker-bake.hcl", bake);
    let other = format!(
        "registry hub \"{host}\"\nbuild app {{ context \".\" }}\npush release {{ images app; to hub {{ tags \"1\" }} }}\n"
    );
    write(path, "other.kdl", other);
    let image = format!("{host}/app:1");
    let compose = format!("services:\n  app:\n    build: .\n    image: {host}/compose:1\n");
    write(path, "compose.yaml", compose);
    let kaniko = format!("--destination={host}/kaniko:1");
    let commands: [&[&str]; 6] = [
        &["build", "-t", &image, "--push", "."],
        &["build", "-t", &image, "--push", "services/api"],
        &["-f", "docker-bake.hcl", "push"],
        &["-f", "other.kdl", "release"],
        &["-f", "compose.yaml", "push"],
        &["kaniko", "--context=.", "--insecure", &kaniko],
    ];
    for text in [demand, &demand[..demand.find("var").unwrap()]] {
        write(path, "imgmake.kdl", text);
        for command in commands {
            let ran = imgmake.run(path, command);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert_ne!(ran.code, 0, "{command:?}: {said}");
            let says = "every push needs a gate in this project";
            assert!(said.contains(says), "{command:?}: {said}");
        }
        assert_eq!(registry.tags(), [""; 0]);
    }
    imgmake.ok(path, &["build", "-t", "app:1", "."]);
    std::fs::remove_file(path.join("imgmake.kdl")).unwrap();
    imgmake.ok(path, commands[0]);
    assert_eq!(registry.tags().len(), 1);
}
