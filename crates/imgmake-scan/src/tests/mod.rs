//! Gates from outside: real stores, real layers, real databases.

pub mod ground;
mod links;
mod packed;
mod releases;
mod unread;

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use ground::{Ground, OPENSSL, file};

use super::*;
use imgmake_event::{Cancel, Events};

#[test]
fn a_vulnerable_package_refuses_and_an_upgraded_one_passes() {
    let ground = Ground::new().advisory(OPENSSL);
    let old = ground.debian("app", "3.0.11-1~deb12u1");
    let verdict = ground.scan(&[old]);
    assert!(!verdict.passed);
    assert!(verdict.passed_digests().is_empty());
    assert!(
        verdict.refusals[0].contains("CVE-2026-1 in libssl3 3.0.11-1~deb12u1"),
        "{:?}",
        verdict.refusals
    );
    let finding = &verdict.images[0].platforms[0].findings[0].finding;
    assert_eq!(finding.fixed.as_deref(), Some("3.0.11-1~deb12u2"));
    assert_eq!(finding.path.as_deref(), Some("var/lib/dpkg/status"));
    assert_eq!(finding.severity, Severity::Critical);

    let new = ground.debian("app", "3.0.11-1~deb12u2");
    let verdict = ground.scan(std::slice::from_ref(&new));
    assert!(verdict.passed, "{:?}", verdict.refusals);
    assert!(verdict.passed_digests().contains(&&new.root.digest));
}

#[test]
fn one_bad_image_withholds_all() {
    let ground = Ground::new().advisory(OPENSSL);
    let (good, bad) = (
        ground.debian("good", "3.0.11-1~deb12u2"),
        ground.debian("bad", "3.0.0-1"),
    );
    let verdict = ground.scan(&[good, bad]);
    assert!(!verdict.passed && verdict.images[0].passed && !verdict.images[1].passed);
    assert!(verdict.passed_digests().is_empty());
}

#[test]
fn an_index_passes_only_if_every_child_does() {
    let ground = Ground::new().advisory(OPENSSL);
    let (good, bad) = (
        ground.debian("x", "3.0.11-1~deb12u2"),
        ground.debian("x", "3.0.0-1"),
    );
    let index = ground.index("both", &[&good, &bad]);
    let verdict = ground.scan(&[index]);
    assert!(!verdict.passed);
    let platforms: Vec<bool> = verdict.images[0]
        .platforms
        .iter()
        .map(|p| p.passed)
        .collect();
    assert_eq!(platforms, [true, false]);
    assert!(ground.scan(&[ground.index("good", &[&good, &good])]).passed);
}

#[test]
fn an_image_that_is_called_an_attestation_is_scanned() {
    let ground = Ground::new().advisory(OPENSSL);
    let (good, bad) = (
        ground.debian("good", "3.0.11-1~deb12u2"),
        ground.debian("bad", "3.0.0-1"),
    );
    let nested = ground.index("nested", &[&bad]);
    for hidden in [bad, nested] {
        let mut root = hidden.root;
        root.platform = Some("unknown/unknown".parse().unwrap());
        let type_of = ("vnd.docker.reference.type", "attestation-manifest");
        let digest = good.root.digest.to_string();
        for (name, value) in [type_of, ("vnd.docker.reference.digest", &digest)] {
            root.annotations.insert(name.to_string(), value.to_string());
        }
        let hidden = ScanImage {
            name: "hidden".to_string(),
            root,
        };
        assert!(ground.scan(&[ground.index("app", &[&good, &good])]).passed);
        assert!(
            !ground
                .scan(&[ground.index("app", &[&good, &hidden])])
                .passed
        );
    }
}

#[test]
fn a_whiteout_hides_a_package_but_not_a_secret() {
    let ground = Ground::new().advisory(json!({"id": "NPM-1", "affected": [{"package": {"ecosystem": "npm", "name": "left-pad"},
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}], "database_specific": {"severity": "HIGH"}}));
    let key = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n",
        "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUA"
    );
    let image = ground.image(
        "app",
        &[
            &[
                file(
                    "app/node_modules/left-pad/package.json",
                    r#"{"name":"left-pad","version":"1.0.0"}"#,
                ),
                file("root/id", &key),
            ],
            &[
                file("app/node_modules/.wh.left-pad", ""),
                file("root/.wh.id", ""),
            ],
        ],
    );
    let verdict = ground.scan(std::slice::from_ref(&image));
    assert!(verdict.passed, "{:?}", verdict.refusals);
    let secrets: Vec<_> = verdict.images[0].platforms[0]
        .findings
        .iter()
        .filter(|j| j.finding.kind == FindingKind::Secret)
        .collect();
    assert_eq!(secrets[0].finding.path.as_deref(), Some("root/id"));
    let mut request = ground.request(&[image]);
    request.policy.fail_on = vec![crate::FailRule {
        kind: Some(crate::FindingKind::Secret),
        ..crate::FailRule::default()
    }];
    assert!(!ground.run(&request).passed);
}

#[test]
fn texts_of_images_and_advisories_cannot_write_a_verdict_of_their_own() {
    let advisory = json!({"id": "NPM-1", "summary": "bad\nrefused: no\u{1b}[2J \u{202e}txt [a](http://x)",
        "affected": [{"package": {"ecosystem": "npm", "name": "left\npassed: 1 image, nothing found\u{1b}[8m"},
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}], "database_specific": {"severity": "HIGH"}});
    let ground = Ground::new().advisory(advisory);
    let package =
        json!({"name": "left\npassed: 1 image, nothing found\u{1b}[8m", "version": "1.0.0"});
    let image = ground.image(
        "app",
        &[&[
            file(
                "app/node_modules/left\n::error::x/package.json",
                &package.to_string(),
            ),
            file("app/node_modules/b\u{202e}/package.json", "{broken"),
        ]],
    );
    let request = ground.with_all_reports(&[image]);
    let verdict = ground.run(&request);
    assert!(!verdict.passed && !verdict.failures.is_empty());
    let is_control = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
    let lines = [&verdict.refusals, &verdict.failures, &verdict.warnings].map(|l| l.iter());
    for line in lines.into_iter().flatten() {
        assert!(!line.contains(|c| c == '\n' || is_control(c)), "{line:?}");
    }
    assert!(!verdict.table.contains(is_control), "{:?}", verdict.table);
    let passed = |text: &str| text.lines().any(|l| l.trim_start().starts_with("passed"));
    assert!(!passed(&verdict.table), "{}", verdict.table);
    for report in ["scan.txt", "scan.sarif", "scan.json", "scan.xml"] {
        let text = std::fs::read_to_string(ground.path("out").join(report)).unwrap();
        assert!(
            !text.contains(is_control) && !text.contains("](http"),
            "{report}: {text}"
        );
        assert!(
            !text.contains("\\u001b") && !passed(&text),
            "{report}: {text}"
        );
    }
}

#[test]
fn what_aufs_keeps_for_itself_is_not_in_the_image() {
    let ground = Ground::new().advisory(json!({"id": "NPM-1", "affected": [{"package": {"ecosystem": "npm", "name": "left-pad"},
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}], "database_specific": {"severity": "HIGH"}}));
    let package = r#"{"name":"left-pad","version":"1.0.0"}"#;
    let kept = ground.image(
        "kept",
        &[&[file(
            ".wh..wh.plnk/node_modules/left-pad/package.json",
            package,
        )]],
    );
    assert!(ground.scan(std::slice::from_ref(&kept)).passed);
    let installed = ground.image(
        "installed",
        &[
            &[file("app/node_modules/left-pad/package.json", package)],
            &[file("app/.wh..wh.node_modules", "")],
        ],
    );
    assert!(!ground.scan(std::slice::from_ref(&installed)).passed);
}

#[test]
fn verdicts_are_judged_anew_from_cached_findings() {
    let ground = Ground::new().advisory(OPENSSL);
    let image = ground.debian("app", "3.0.0-1");
    assert!(!ground.scan(std::slice::from_ref(&image)).passed);
    // The layers are gone; findings are looked up by digest.
    ground.forget_layers(&image);
    let mut request = ground.request(&[image]);
    request.policy.ignores = vec![IgnoreRule {
        id: Some("CVE-2026-1".into()),
        until: None,
        reason: Some("not reachable".into()),
        origin: "imgmake.kdl:3".into(),
        ..crate::IgnoreRule::default()
    }];
    assert!(ground.run(&request).passed);
    request.policy.ignores.clear();
    assert!(!ground.run(&request).passed);
}

#[test]
fn a_new_advisory_is_noticed_in_an_image_scanned_before() {
    let ground = Ground::new().advisory(OPENSSL.replace("openssl", "tar"));
    let image = ground.debian("app", "3.0.0-1");
    assert!(ground.scan(std::slice::from_ref(&image)).passed);
    let ground = ground.advisory(OPENSSL);
    assert!(!ground.scan(&[image]).passed);
}

#[test]
fn without_a_database_nothing_passes() {
    let ground = Ground::new();
    let image = ground.debian("app", "3.0.0-1");
    let mut request = ground.request(&[image]);
    request.advisories.clear();
    let verdict = ground.run(&request);
    assert!(
        !verdict.passed && verdict.refusals[0].contains("imgmake db update"),
        "{:?}",
        verdict.refusals
    );
}

#[test]
fn an_image_whose_blobs_are_missing_is_refused() {
    let ground = Ground::new().advisory(OPENSSL);
    let image = ground.debian("app", "3.0.11-1~deb12u2");
    ground.forget_layers(&image);
    let verdict = ground.scan(&[image]);
    assert!(
        !verdict.passed && verdict.refusals[0].contains("app"),
        "{:?}",
        verdict.refusals
    );
}

#[test]
fn a_package_database_that_cannot_be_read_is_refused() {
    let ground = Ground::new().advisory(OPENSSL);
    let image = ground.image("app", &[&[file("var/lib/rpm/Packages", "Berkeley")]]);
    let verdict = ground.scan(&[image]);
    assert!(
        !verdict.passed && verdict.refusals[0].contains("/var/lib/rpm/Packages"),
        "{:?}",
        verdict.refusals
    );
}

#[test]
fn distribution_packages_without_a_distribution_are_refused() {
    let ground = Ground::new().advisory(OPENSSL);
    let image = ground.image(
        "app",
        &[&[file("lib/apk/db/installed", "P:musl\nV:1.2.5-r0\n\n")]],
    );
    let verdict = ground.scan(&[image]);
    assert!(
        !verdict.passed && verdict.refusals[0].contains("os-release"),
        "{:?}",
        verdict.refusals
    );
}

#[test]
fn what_the_database_does_not_cover_is_refused_unless_it_is_allowed() {
    let ground = Ground::new().advisory(OPENSSL);
    let image = ground.image(
        "app",
        &[&[
            file("lib/apk/db/installed", "P:musl\nV:1.2.5-r0\n\n"),
            file("etc/os-release", "ID=alpine\nVERSION_ID=3.20.1\n"),
        ]],
    );
    let module = r#"{"name":"left-pad","version":"1.0.0"}"#;
    let modules = ground.image(
        "modules",
        &[&[file("node_modules/left-pad/package.json", module)]],
    );
    let debian = |release: &str| {
        let release = format!("ID=debian\nVERSION_ID={release}\n");
        let status = "Package: tar\nStatus: install ok installed\nVersion: 1.34\n\n";
        let files = [
            file("etc/os-release", &release),
            file("var/lib/dpkg/status", status),
        ];
        ground.image("debian", &[&files])
    };
    let unknown = ground.image(
        "unknown",
        &[&[
            file("lib/apk/db/installed", "P:musl\nV:1.2.5-r0\n\n"),
            file("etc/os-release", "ID=own\nPRETTY_NAME=\"Our own\"\n"),
        ]],
    );
    for (image, says) in [
        (
            image,
            "a package of Alpine:v3.20 not judged: the advisory database has no entries for it; fetch them with `imgmake db update \"Alpine\"`",
        ),
        (modules, "a package of npm not judged"),
        (debian("13"), "a package of Debian:13 not judged"),
        (
            unknown,
            "a package of Our own not judged: no advisories for this distribution are known",
        ),
    ] {
        let mut request = ground.request(&[image]);
        let verdict = ground.run(&request);
        assert!(
            !verdict.passed && verdict.refusals[0].contains(says) && verdict.table.contains(says),
            "{:?}",
            verdict.refusals
        );
        request.policy.unjudged = Gate::Warn;
        let verdict = ground.run(&request);
        assert!(
            verdict.passed && verdict.warnings[0].contains(says),
            "{:?}",
            verdict.warnings
        );
    }
    assert!(ground.scan(&[debian("12")]).passed);
    // What is said of all releases is no knowledge of one.
    let ground = Ground::new().advisory(OPENSSL.replace("Debian:12", "Debian"));
    let verdict = ground.scan(&[ground.debian("app", "9")]);
    let says = "a package of Debian:12 not judged";
    assert!(verdict.refusals[0].contains(says), "{:?}", verdict.refusals);
}

#[test]
fn a_version_that_nobody_can_order_is_not_judged() {
    let ground = Ground::new().advisory(json!({"id": "NPM-1", "database_specific": {"severity": "LOW"}, "affected": [{"package": {"ecosystem": "npm", "name": "left-pad"},
        "ranges": [{"type": "SEMVER", "events": [{"introduced": "1.0.0"}]}]}]}));
    let module = r#"{"name":"left-pad","version":"(devel)"}"#;
    let image = ground.image(
        "app",
        &[&[file("node_modules/left-pad/package.json", module)]],
    );
    let verdict = ground.scan(&[image]);
    let says = "npm package left-pad has version `(devel)`, which is not a version of that ecosystem: an advisory is not judged";
    assert!(
        !verdict.passed && verdict.refusals[0].contains(says),
        "{:?}",
        verdict.refusals
    );
}

/// Words, aliases and what a notice is about say how bad it is; what nobody says is named first.
#[test]
fn severities_are_found_where_distributions_state_them() {
    let about = |id: &str, more: Value| {
        let mut document = json!({"id": id, "affected": [{
            "package": {"ecosystem": "Debian:12", "name": "openssl"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]});
        document
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        document
    };
    // Of another ecosystem, and rated there.
    let rated = |id: &str, severity: &str| {
        json!({"id": format!("GHSA-{id}"), "aliases": [id], "database_specific": {"severity": severity},
            "affected": [{"package": {"ecosystem": "npm", "name": "x"}, "versions": ["1"]}]})
    };
    let cves = json!({"cves_map": {"cves": [
        {"id": "CVE-1", "severity": [{"type": "Ubuntu", "score": "low"}]},
        {"id": "CVE-2", "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}]}});
    for (more, severity) in [
        (
            json!({"summary": "Important: openssl security update"}),
            Severity::High,
        ),
        (
            json!({"summary": "Moderate: openssl security update"}),
            Severity::Medium,
        ),
        (json!({"summary": "Note: nothing"}), Severity::Unknown),
        (
            json!({"upstream": ["CVE-2026-7", "CVE-2026-8"]}),
            Severity::Critical,
        ),
        (json!({"aliases": ["CVE-2026-7"]}), Severity::Low),
        (json!({"related": ["CVE-2026-8"]}), Severity::Critical),
        // What it is about is stated; what is merely related does not count then.
        (
            json!({"upstream": ["CVE-2026-7"], "related": ["CVE-2026-8"]}),
            Severity::Low,
        ),
        (json!({"upstream": ["CVE-2026-9"]}), Severity::Unknown),
        (json!({"database_specific": cves}), Severity::Critical),
        (
            json!({"aliases": ["MAL-2026-1"], "database_specific": {"severity": "LOW"}}),
            Severity::Critical,
        ),
    ] {
        let ground = Ground::new()
            .advisory(about("A-1", more.clone()))
            .advisory(rated("CVE-2026-7", "LOW"))
            .advisory(rated("CVE-2026-8", "CRITICAL"));
        let verdict = ground.scan(&[ground.debian("app", "3.0.0-1")]);
        let findings = &verdict.images[0].platforms[0].findings;
        let found = findings
            .iter()
            .find(|j| j.finding.kind == FindingKind::Vulnerability);
        assert_eq!(found.unwrap().finding.severity, severity, "{more}");
    }
}

#[test]
fn what_nobody_rates_is_refused_and_named_first() {
    let ground = Ground::new().advisory(OPENSSL).advisory(
        OPENSSL
            .replace("CVE-2026-1", "A-1")
            .replace("CVSS_V3", "own")
            .replace("CVSS:3.1", "no"),
    );
    let mut request = ground.request(&[ground.debian("app", "3.0.0-1")]);
    let unrated = "image `app` (linux/amd64): severity unknown: A-1 in libssl3 3.0.0-1";
    let verdict = ground.run(&request);
    assert!(
        verdict.refusals[0].starts_with(unrated),
        "{:?}",
        verdict.refusals
    );
    assert_eq!(verdict.table.lines().next(), Some(unrated));
    assert_eq!(verdict.refusals.len(), 2);
    request.policy.ignores = vec![ignoring("CVE-2026-1")];
    assert!(!ground.run(&request).passed);
    request.policy.fail_on = vec![crate::FailRule {
        unknown: Gate::Warn,
        ..crate::FailRule::default()
    }];
    let verdict = ground.run(&request);
    assert!(verdict.passed, "{:?}", verdict.refusals);
    assert_eq!(verdict.table.lines().next(), Some(unrated));
    request.policy.ignores = vec![ignoring("CVE-2026-1"), ignoring("A-1")];
    request.policy.fail_on = vec![crate::FailRule {
        unknown: Gate::Refuse,
        ..crate::FailRule::default()
    }];
    assert!(ground.run(&request).passed);
}

/// SUSE speaks of a package by the module that it comes in.
#[test]
fn all_modules_of_a_release_speak_about_its_packages() {
    for (ecosystem, found) in [
        ("SUSE:Linux Enterprise Module for Basesystem 15 SP5", true),
        ("SUSE:Linux Enterprise Server 15 SP5-LTSS", true),
        ("SUSE:Linux Enterprise Server 15 SP4", false),
        ("SUSE:Linux Enterprise Micro 5.5", false),
        ("SUSE:Linux Enterprise Module for Python 3 15 SP5", true),
        ("SUSE:Linux Enterprise Module for Python 3 15 SP4", false),
        ("SUSE:Linux Enterprise Module for Containers 12", false),
    ] {
        let ground = Ground::new()
            .advisory(OPENSSL.replace("Debian:12", ecosystem))
            .advisory(
                OPENSSL
                    .replace("Debian:12", "SUSE:Linux Enterprise Server 15 SP5")
                    .replace("openssl", "tar"),
            );
        let database = advisory::open(
            &[ground.path("advisories")],
            &ground.path("index"),
            &Cancel::default(),
        );
        let database = database.unwrap();
        let hits = |asked: &str| database.ask(asked, "openssl", "1.1-1").unwrap().hits.len();
        let asked = "SUSE:Linux Enterprise Server 15 SP5";
        assert_eq!(hits(asked) == 1, found, "{ecosystem}");
        let of_all_packs = ecosystem.ends_with("Containers 12");
        for asked in [
            "SUSE:Linux Enterprise Server 12 SP5",
            "SUSE:Linux Enterprise Server 12",
        ] {
            assert_eq!(hits(asked) == 1, of_all_packs, "{ecosystem}");
            assert!(!of_all_packs || database.covers(asked));
        }
    }
}

#[test]
fn a_database_that_is_too_old_is_refused() {
    let ground = Ground::new().advisory(OPENSSL);
    let mut request = ground.request(&[ground.debian("app", "3.0.11-1~deb12u2")]);
    request.policy.max_database_age = Some(Duration::from_secs(86400 * 30));
    assert!(ground.run(&request).passed);
    request.policy.now = "2026-09-01T00:00:00Z".parse().unwrap();
    let verdict = ground.run(&request);
    assert!(
        verdict.refusals[0].contains("too old"),
        "{:?}",
        verdict.refusals
    );
}

#[test]
fn advisories_that_name_each_other_are_one_finding() {
    let ground = Ground::new().advisory(OPENSSL).advisory(json!({"id": "DEBIAN-CVE-2026-1", "upstream": ["CVE-2026-1"], "summary": "x", "affected": [{
        "package": {"ecosystem": "Debian:12", "name": "openssl"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]}));
    let verdict = ground.scan(&[ground.debian("app", "3.0.0-1")]);
    let found: Vec<_> = verdict.images[0].platforms[0]
        .findings
        .iter()
        .filter(|j| j.finding.kind == FindingKind::Vulnerability)
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (
            found[0].finding.id.as_str(),
            found[0].finding.aliases.as_slice()
        ),
        ("CVE-2026-1", &["DEBIAN-CVE-2026-1".to_string()][..])
    );
}

fn ignoring(id: &str) -> IgnoreRule {
    IgnoreRule {
        id: Some(id.into()),
        until: None,
        reason: Some("not reachable".into()),
        origin: "imgmake.kdl:3".into(),
        ..IgnoreRule::default()
    }
}

#[test]
fn an_ignore_reaches_exactly_the_advisories_that_carry_its_id() {
    let advisory = |id: &str, more: Value| {
        let mut document = json!({"id": id, "database_specific": {"severity": "CRITICAL"}, "affected": [{
            "package": {"ecosystem": "Debian:12", "name": "openssl"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]});
        document
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        document
    };
    let ground = Ground::new()
        .advisory(advisory("CVE-2026-1", json!({})))
        .advisory(advisory("CVE-2026-2", json!({})))
        .advisory(advisory(
            "GHSA-1",
            json!({"aliases": ["CVE-2026-1", "CVE-2026-2"]}),
        ))
        .advisory(advisory(
            "DSA-1-1",
            json!({"upstream": ["CVE-2026-1", "CVE-2026-3"]}),
        ));
    let mut request = ground.request(&[ground.debian("app", "3.0.0-1")]);
    let mut refused = |ids: &[&str]| {
        request.policy.ignores = ids.iter().map(|id| ignoring(id)).collect();
        let verdict = ground.run(&request);
        let all = verdict.images[0].platforms[0].findings.iter();
        let refused = all.filter(|j| matches!(j.judgement, Judgement::Refused(_)));
        let ids: Vec<String> = refused.map(|j| j.finding.id.clone()).collect();
        assert_eq!(verdict.passed, ids.is_empty());
        ids
    };
    // Those that name each other are one for the reader.
    assert_eq!(refused(&[]), ["CVE-2026-1", "DSA-1-1"]);
    assert_eq!(refused(&["CVE-2026-1"]), ["CVE-2026-2"]);
    assert_eq!(
        refused(&["GHSA-1"]),
        ["CVE-2026-1", "CVE-2026-2", "DSA-1-1"]
    );
    assert_eq!(refused(&["CVE-2026-3"]), ["CVE-2026-1"]);
    assert_eq!(refused(&["CVE-2026-1", "CVE-2026-2"]), [""; 0]);
}

#[test]
fn reports_are_written_and_equal_for_equal_verdicts() {
    let ground = Ground::new().advisory(OPENSSL);
    let request = ground.with_all_reports(&[ground.debian("app", "3.0.0-1")]);
    ground.run(&request);
    let read = || -> Vec<String> {
        request
            .reports
            .values()
            .map(|p| fs::read_to_string(p).unwrap())
            .collect()
    };
    let first = read();
    ground.run(&request);
    assert_eq!(first, read());
    for (format, text) in request.reports.keys().zip(&first) {
        assert!(
            text.contains("CVE-2026-1") || *format == ReportFormat::Spdx,
            "{format:?}: {text}"
        );
    }
    let spdx: Value = serde_json::from_str(&first[4]).unwrap();
    assert!(
        spdx["packages"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| p["name"] == "libssl3")
    );
}

#[test]
fn a_cancelled_scan_is_an_error_and_no_verdict() {
    let ground = Ground::new().advisory(OPENSSL);
    let cancel = Cancel::default();
    cancel.cancel();
    let request = ground.request(&[ground.debian("app", "3.0.0-1")]);
    assert!(scan(&request, &ground.store, &Events::discard(), &cancel).is_err());
}
