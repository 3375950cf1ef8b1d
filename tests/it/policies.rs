//! What a gate's policy says, from the manifest to the exit code.

use std::path::Path;

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{temporary, write};
use crate::pages::dom_of;

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUA\n-----END OPENSSH PRIVATE KEY-----\n";

fn advisory(id: &str, published: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","published":"{published}",
            "severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}}],
            "affected":[{{"package":{{"ecosystem":"npm","name":"left-pad"}},
                "ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}}]}}]}}]}}"#
    )
}

/// An image with left-pad 1.3.0 and a private key, and the gate with these lines in it.
fn project(path: &Path, gate: &str) {
    let lock = r#"{"name":"app","lockfileVersion":3,"packages":{"node_modules/left-pad":{"version":"1.3.0"}}}"#;
    write(path, "package-lock.json", lock);
    write(path, "id", KEY);
    let manifest = format!(
        "build app {{ from scratch; layer {{ copy \"package-lock.json\" to=\"/app/\"; copy \"id\" to=\"/root/\" }} }}\n\
         scan gate {{\n    images app\n    advisories \"advisories\"\n    report json=\"scan.json\"\n{gate}\n}}\n"
    );
    write(path, "imgmake.kdl", manifest);
}

#[test]
fn findings_refuse_by_kind_by_age_and_by_what_is_known_of_exploits() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    let published = |days: i64| {
        let moment = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
        write(
            path,
            "advisories/1.json",
            advisory("CVE-2026-1", &moment.to_string()),
        );
    };
    published(20);
    let gate = |lines: &str| project(path, lines);
    gate("    fail-on severity=critical");
    imgmake.ok(path, &["gate"]);
    gate("    fail-on severity=critical\n    fail-on kind=secret");
    imgmake.refused(
        path,
        &["gate"],
        3,
        &["private-key", "a secret in the image"],
    );
    gate("    fail-on severity=critical\n    fail-on kind=hygiene severity=medium");
    imgmake.refused(path, &["gate"], 3, &["runs-as-root"]);

    gate("    fail-on severity=high older=\"30d\"");
    let waits = imgmake.ok(path, &["gate"]);
    assert!(waits.stderr.contains("tolerated"), "{}", waits.stderr);
    published(31);
    imgmake.refused(path, &["gate"], 3, &["CVE-2026-1"]);

    let kev = |cve: &str| {
        let catalog = format!(
            r#"{{"catalogVersion":"2026.11.30","dateReleased":"2026-11-30T12:00:00.0000Z","count":1,"vulnerabilities":[{{"cveID":"{cve}","dueDate":"2026-12-21"}}]}}"#
        );
        write(path, "kev.json", catalog);
    };
    kev("CVE-2025-9");
    gate("    fail-on kev=#true\n    kev \"kev.json\"");
    imgmake.ok(path, &["gate"]);
    // A new list is a new question.
    kev("CVE-2026-1");
    imgmake.refused(path, &["gate"], 3, &["known to be exploited"]);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path.join("scan.json")).unwrap()).unwrap();
    let kinds: Vec<&str> = report["bases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["advisories", "kev"]);
    assert!(
        report["bases"][0]["digest"]
            .as_str()
            .unwrap()
            .starts_with("blake3:")
    );

    let epss = |rows: &str| {
        let header =
            "#model_version:v2026.01.01,score_date:2026-11-30T12:55:00+0000\ncve,epss,percentile\n";
        write(path, "epss.csv", format!("{header}{rows}"));
    };
    epss("CVE-2026-1,0.00042,0.05\n");
    gate("    fail-on severity=high epss=0.1\n    epss \"epss.csv\"");
    imgmake.ok(path, &["gate"]);
    epss("CVE-2026-1,0.5,0.99\n");
    imgmake.refused(path, &["gate"], 3, &["EPSS 0.5 reaches 0.1"]);
}

#[test]
fn lists_that_cannot_be_read_refuse() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    write(
        path,
        "advisories/1.json",
        advisory("CVE-2026-1", "2026-01-01T00:00:00Z"),
    );
    for (line, name) in [
        (
            "fail-on epss=0.9 unknown=#false\n    epss \"list\"",
            "EPSS list `list`",
        ),
        ("fail-on kev=#true\n    kev \"list\"", "KEV catalog `list`"),
    ] {
        project(path, &format!("    {line}"));
        write(path, "list", "<html>moved</html>");
        imgmake.refused(path, &["gate"], 3, &[name]);
        std::fs::remove_file(path.join("list")).unwrap();
        imgmake.refused(path, &["gate"], 3, &["cannot read `list`"]);
    }
    for (line, says) in [
        ("fail-on epss=0.5", "`epss=` needs the list"),
        ("fail-on kev=#true", "`kev=` needs the list"),
        ("fail-on epss=5\n    epss \"list\"", "invalid probability"),
        (
            "fail-on kind=secret fixable=#true",
            "`fixable=` is about vulnerabilities",
        ),
        ("fail-on kind=secrets", "`secrets` is not known here"),
        ("ignore package=\"left-pad\"", "`ignore` needs `reason=`"),
        (
            "ignore reason=\"x\"",
            "`ignore` needs an id, `package=` or `path=`",
        ),
        ("only-new", "`only-new` needs `base="),
    ] {
        project(path, &format!("    {line}"));
        imgmake.refused(path, &["gate"], 2, &[says]);
    }
}

/// What a file is for is in the key, not its name alone.
#[test]
fn two_files_that_change_their_roles_are_a_new_question() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    write(
        path,
        "advisories/1.json",
        advisory("CVE-2026-1", "2026-01-01T00:00:00Z"),
    );
    write(path, "a", "CVE-2026-1\n");
    write(
        path,
        "b",
        r#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[]}"#,
    );
    project(path, "    ignore-file \"a\"\n    vex \"b\"");
    imgmake.ok(path, &["gate"]);
    project(path, "    ignore-file \"b\"\n    vex \"a\"");
    imgmake.refused(path, &["gate"], 1, &["invalid OpenVEX document"]);
}

#[test]
fn findings_are_ignored_by_package_and_path() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    write(
        path,
        "advisories/1.json",
        advisory("CVE-2026-1", "2026-01-01T00:00:00Z"),
    );
    let secrets = "    fail-on kind=secret\n";
    project(
        path,
        &format!("{secrets}    ignore package=\"left-*\" reason=\"never called\""),
    );
    imgmake.refused(path, &["gate"], 3, &["private-key"]);
    project(
        path,
        &format!(
            "{secrets}    ignore package=\"left-*\" reason=\"never called\"\n    ignore path=\"/root/*\" kind=secret reason=\"an example\""
        ),
    );
    imgmake.ok(path, &["gate"]);
    write(
        path,
        "advisories/2.json",
        advisory("MAL-2026-1", "2026-01-01T00:00:00Z"),
    );
    imgmake.refused(path, &["gate"], 3, &["MAL-2026-1"]);
}

#[test]
fn what_the_published_image_has_is_not_new() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let registry = Registry::start();
    let path = directory.path();
    write(
        path,
        "advisories/1.json",
        advisory("CVE-2026-1", "2026-01-01T00:00:00Z"),
    );
    let image = format!("{}/app:1", registry.host);
    project(path, &format!("    only-new base=\"{image}\""));
    let manifest = std::fs::read_to_string(path.join("imgmake.kdl")).unwrap();
    write(
        path,
        "imgmake.kdl",
        format!(
            "registry hub \"{}\"\npush first {{ images app; to hub {{ tags \"1\" }} }}\n{manifest}",
            registry.host
        ),
    );
    imgmake.refused(path, &["gate"], 4, &["not found"]);
    imgmake.ok(path, &["first"]);
    let passed = imgmake.ok(path, &["gate"]);
    assert!(passed.stderr.contains("baseline: "), "{}", passed.stderr);
    let digest = registry.digest("app", "1").unwrap();
    let report = std::fs::read_to_string(path.join("scan.json")).unwrap();
    assert!(report.contains(&digest), "{report}");
    assert!(report.contains("not new: "), "{report}");
    // What became known since then is of the old image as well; what is malicious never passes.
    write(
        path,
        "advisories/2.json",
        advisory("MAL-2026-2", "2026-01-01T00:00:00Z"),
    );
    imgmake.refused(path, &["gate"], 3, &["MAL-2026-2"]);
    std::fs::remove_file(path.join("advisories/2.json")).unwrap();
    // Another key in the same place.
    let manifest = std::fs::read_to_string(path.join("imgmake.kdl")).unwrap();
    let strict = manifest.replace("    only-new", "    fail-on kind=secret\n    only-new");
    write(path, "imgmake.kdl", strict);
    imgmake.ok(path, &["gate"]);
    write(path, "id", KEY.replace("ABG5", "ABG6"));
    imgmake.refused(path, &["gate"], 3, &["private-key"]);
    write(path, "id", KEY);
    write(path, "imgmake.kdl", manifest);
    // A package that the old image does not have.
    let lock = r#"{"name":"app","lockfileVersion":3,"packages":{"node_modules/left-pad":{"version":"1.3.0"},"node_modules/right-pad":{"version":"1.0.0"}}}"#;
    write(path, "package-lock.json", lock);
    let other = advisory("CVE-2026-3", "2026-01-01T00:00:00Z").replace("left-pad", "right-pad");
    write(path, "advisories/3.json", other);
    imgmake.refused(path, &["gate"], 3, &["CVE-2026-3 in right-pad"]);
}

/// The page works in a browser: what it shows is counted by its own script, and a link brings a filter.
#[test]
fn the_page_of_a_scan_filters_in_a_browser() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    write(
        path,
        "advisories/1.json",
        advisory("CVE-2026-1", "2026-01-01T00:00:00Z"),
    );
    project(path, "    report html=\"scan.html\"");
    imgmake.refused(path, &["gate"], 3, &["CVE-2026-1"]);
    let page = path.join("scan.html");
    let shown = |filter: &str| dom_of(&format!("file://{}#{filter}", page.display()));
    // A vulnerability, a secret and two hints.
    let all = shown("");
    assert!(all.contains(">4 of 4 shown<"), "{all}");
    let one = shown("left-pad%20cve");
    assert!(one.contains(">1 of 4 shown<"), "{one}");
    assert_eq!(one.matches("<tr hidden").count(), 3, "{one}");
}
