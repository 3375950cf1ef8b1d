use std::fs;

use serde_json::{Value, json};

use crate::tests::ground::{Ground, OPENSSL, file};
use crate::{Gate, IgnoreRule, ReportFormat, ScanRequest, Verdict};

/// A Debian image with a refused and an ignored vulnerability, a secret, odd
/// files and packages of several languages; and a second platform of it.
fn everything() -> (Ground, ScanRequest) {
    let ground = Ground::new().advisory(OPENSSL).advisory(json!({"id": "GHSA-aaaa-bbbb-cccc", "aliases": ["CVE-2026-9"],
        "summary": "says \"no\" & <yes>\u{7}", "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
        "affected": [{"package": {"ecosystem": "npm", "name": "@s/left"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}]}))
        .advisory(json!({"id": "U-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "flask"}, "versions": ["2.0"]}]}));
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUA\n";
    let mut setuid = file("usr/bin/su do", "x");
    setuid.1 = 0o4755;
    let image = ground.image("shop/app:1", &[&[
        file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n"),
        file("var/lib/dpkg/status", "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\nVersion: 3.0.0-1\n\n"),
        file("app/node_modules/@s/left/package.json", r#"{"name":"@s/left","version":"1.0.0","license":"MIT"}"#),
        file("app/node_modules/x/node_modules/@s/left/package.json", r#"{"name":"@s/left","version":"1.0.0"}"#),
        file("py/Flask-2.0.dist-info/METADATA", "Name: Flask\nVersion: 2.0\nLicense: BSD\n"),
        file("root/id", key),
        setuid,
    ]]);
    let plain = ground.image("shop/app:1", &[&[file("a", "b")]]);
    let index = ground.index("shop/app:1", &[&image, &plain]);
    let mut request = ground.with_all_reports(&[index]);
    request.policy.fail_on = vec![crate::FailRule {
        unknown: Gate::Warn,
        ..crate::FailRule::default()
    }];
    request.policy.ignores.push(IgnoreRule {
        id: Some("CVE-2026-9".into()),
        until: None,
        reason: Some("not <reachable>".into()),
        origin: "imgmake.kdl:9".into(),
        ..crate::IgnoreRule::default()
    });
    (ground, request)
}

fn read(request: &ScanRequest, format: ReportFormat) -> String {
    fs::read_to_string(&request.reports[&format]).unwrap()
}

fn json_of(request: &ScanRequest, format: ReportFormat) -> Value {
    serde_json::from_str(&read(request, format)).unwrap()
}

fn run() -> (Ground, ScanRequest, Verdict) {
    let (ground, request) = everything();
    let verdict = ground.run(&request);
    (ground, request, verdict)
}

#[test]
fn the_table_names_what_refuses_first_and_keeps_to_its_width() {
    let (_keep, _, verdict) = run();
    let lines: Vec<&str> = verdict.table.lines().collect();
    assert!(
        lines.iter().all(|l| l.chars().count() <= 80),
        "{}",
        verdict.table
    );
    let unrated = "image `shop/app:1` (linux/amd64): severity unknown: U-1 in Flask 2.0";
    assert_eq!(lines[0], unrated);
    let rows: Vec<&&str> = lines.iter().filter(|l| l.starts_with("  ")).collect();
    assert!(
        rows[0].contains("SEVERITY")
            && rows[1].contains("CVE-2026-1")
            && rows[1].ends_with("refused"),
        "{}",
        verdict.table
    );
    assert!(
        rows.last().unwrap().ends_with("ignored"),
        "{}",
        verdict.table
    );
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("refused: 1 image, 1 finding not accepted, 2 ignored"),
        "{}",
        verdict.table
    );
}

#[test]
fn json_has_one_list_of_findings_with_results_and_reasons() {
    let (_keep, request, _) = run();
    let document = json_of(&request, ReportFormat::Json);
    assert_eq!(document["passed"], false);
    let findings = document["findings"].as_array().unwrap();
    let openssl = findings.iter().find(|f| f["id"] == "CVE-2026-1").unwrap();
    assert_eq!(openssl["result"], "refused");
    assert_eq!(openssl["fixed_version"], "3.0.11-1~deb12u2");
    assert_eq!(openssl["severity"], "critical");
    assert_eq!(openssl["path"], "var/lib/dpkg/status");
    let ignored = findings.iter().find(|f| f["id"] == "CVE-2026-9").unwrap();
    assert!(
        ignored["reason"]
            .as_str()
            .unwrap()
            .contains("not <reachable>")
    );
    assert_eq!(ignored["aliases"], json!(["GHSA-aaaa-bbbb-cccc"]));
    assert_eq!(
        document["images"][0]["platforms"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn sarif_results_point_to_rules_and_ignored_ones_are_suppressed() {
    let (_keep, request, _) = run();
    let run = json_of(&request, ReportFormat::Sarif)["runs"][0].clone();
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for result in run["results"].as_array().unwrap() {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert_eq!(
            result.get("suppressions").is_some(),
            result["ruleId"] == "CVE-2026-9"
        );
    }
    let setuid = run["results"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["ruleId"] == "setuid-file")
        .unwrap();
    assert_eq!(
        setuid["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "usr/bin/su%20do"
    );
}

#[test]
fn cyclonedx_references_are_unique_and_lead_to_components() {
    let (_keep, request, _) = run();
    let document = json_of(&request, ReportFormat::CycloneDx);
    let mut references = vec![document["metadata"]["component"]["bom-ref"].clone()];
    for image in document["components"].as_array().unwrap() {
        references.push(image["bom-ref"].clone());
        references.extend(
            image["components"]
                .as_array()
                .unwrap()
                .iter()
                .map(|c| c["bom-ref"].clone()),
        );
    }
    let texts: std::collections::BTreeSet<String> =
        references.iter().map(Value::to_string).collect();
    assert_eq!(texts.len(), references.len());
    let vulnerabilities = document["vulnerabilities"].as_array().unwrap();
    assert_eq!(vulnerabilities.len(), 3);
    for affected in vulnerabilities
        .iter()
        .flat_map(|v| v["affects"].as_array().unwrap())
    {
        assert!(references.contains(&affected["ref"]), "{affected}");
    }
    assert_eq!(
        vulnerabilities[1]["affects"].as_array().unwrap().len(),
        2,
        "both places of @s/left"
    );
}

#[test]
fn spdx_relations_lead_to_packages() {
    let (_keep, request, _) = run();
    let document = json_of(&request, ReportFormat::Spdx);
    let ids: Vec<&Value> = document["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["SPDXID"])
        .collect();
    for relation in document["relationships"].as_array().unwrap() {
        assert!(ids.contains(&&relation["relatedSpdxElement"]));
    }
    assert_eq!(ids.len(), 2 + 4);
}

#[test]
fn junit_counts_what_it_lists_and_escapes_what_xml_forbids() {
    let (_keep, request, _) = run();
    let text = read(&request, ReportFormat::JUnit);
    assert_eq!(text.matches("<failure").count(), 1);
    assert_eq!(text.matches("<skipped").count(), 2);
    assert!(
        text.contains("tests=\"8\" failures=\"1\" errors=\"0\" skipped=\"2\""),
        "{text}"
    );
    assert_eq!(text.matches("<testcase").count(), 10);
    assert!(
        !text.contains('\u{7}') && text.contains("not &lt;reachable&gt;"),
        "{text}"
    );
}

#[test]
fn the_page_is_one_file_and_escapes_what_is_somebody_elses() {
    let ground = Ground::new().advisory(json!({"id": "NPM-1", "modified": "2026-06-01T00:00:00Z",
        "summary": "<script>alert(1)</script> \" onload='x' &amp;", "database_specific": {"severity": "HIGH"},
        "affected": [{"package": {"ecosystem": "npm", "name": "a"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.0"}]}]}]}))
        .advisory(json!({"id": "NPM-2", "modified": "2026-06-01T00:00:00Z", "database_specific": {"severity": "CRITICAL"},
        "affected": [{"package": {"ecosystem": "npm", "name": "a"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.10.0"}]}]}]}))
        .advisory(json!({"id": "PY-1", "modified": "2026-06-01T00:00:00Z", "database_specific": {"severity": "LOW"},
        "affected": [{"package": {"ecosystem": "PyPI", "name": "a"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3"}]}]}]}));
    let package = |name: &str| {
        let text = format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
        file(&format!("app/node_modules/{name}/package.json"), &text)
    };
    let image = ground.image(
        "</title><b>",
        &[
            &[file("a", "b")],
            &[
                package("a"),
                file("py/a-1.0.0.dist-info/METADATA", "Name: a\nVersion: 1.0.0\n"),
            ],
        ],
    );
    let request = ground.with_all_reports(&[image]);
    let verdict = ground.run(&request);
    let page = read(&request, ReportFormat::Html);
    let script = page.find("<script>").unwrap();
    assert_eq!(page.matches("<script>").count(), 1, "{page}");
    assert_eq!(page.matches("</title>").count(), 1, "{page}");
    assert!(
        !page.contains("<b>") && page.contains("&lt;/title&gt;&lt;b&gt;"),
        "{page}"
    );
    let shown = "&lt;script&gt;alert(1)&lt;/script&gt; &quot; onload=&#39;x&#39; &amp;amp;";
    assert!(page[..script].contains(shown), "{page}");
    for outside in ["src=", "href=", "url(", "@import", "http:", "https:"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // What to upgrade: one row, to the version that fixes both.
    let row = "<tr><td>a</td><td>1.0.0</td><td>1.10.0</td><td>critical</td><td>2</td><td>NPM-2 NPM-1</td></tr>";
    assert!(page.contains(row), "{page}");
    // The package of that name and version in another ecosystem is another one.
    let row = "<tr><td>a</td><td>1.0.0</td><td>3</td><td>low</td><td>1</td><td>PY-1</td></tr>";
    assert!(page.contains(row), "{page}");
    let layer = verdict.images[0].platforms[0].layers[1].short();
    let counted = format!("<tr><td>2: {layer}</td><td>1</td><td>1</td><td></td><td>1</td>");
    assert!(page.contains(&counted), "{page}");
}

#[test]
fn each_finding_is_an_issue_of_code_quality_that_stays_the_same() {
    let issues = |verdict: &str| {
        let ground = Ground::new().advisory(OPENSSL);
        let mut request = ground.with_all_reports(&[ground.debian("app", verdict)]);
        request.policy.fail_on = vec![crate::FailRule::default()];
        ground.run(&request);
        json_of(&request, ReportFormat::CodeQuality)
    };
    let (one, other) = (issues("3.0.0-1"), issues("3.0.0-2"));
    let found = one.as_array().unwrap();
    let openssl = found
        .iter()
        .find(|issue| issue["check_name"] == "CVE-2026-1");
    let openssl = openssl.unwrap_or_else(|| panic!("{one}"));
    assert_eq!(openssl["location"]["path"], "var/lib/dpkg/status");
    assert_eq!(openssl["location"]["lines"]["begin"], 1);
    let words = ["info", "minor", "major", "critical", "blocker"];
    assert!(words.iter().any(|word| openssl["severity"] == *word));
    let fingerprints = |issues: &Value| -> Vec<String> {
        let all = issues.as_array().unwrap().iter();
        all.map(|issue| issue["fingerprint"].to_string()).collect()
    };
    assert_eq!(fingerprints(&one), fingerprints(&other));

    // Ignored findings are none; each is there once, whatever the platforms.
    let (_keep, request, _) = run();
    let all = json_of(&request, ReportFormat::CodeQuality);
    assert!(!all.to_string().contains("GHSA-aaaa-bbbb-cccc"), "{all}");
    let mut known = fingerprints(&all);
    let count = known.len();
    known.sort();
    known.dedup();
    assert!(count > 0 && known.len() == count, "{all}");
}

/// Escape sequences, line breaks that begin commands of CI systems, and marks that reorder a line.
#[test]
fn no_text_of_an_image_reaches_a_terminal_by_way_of_a_report() {
    const HOSTILE: &str = "x\u{1b}[31m\r\n::error::y\u{9b}2J\u{202e}\u{2066}\u{85}\u{2028}";
    let metadata = "Name: evil\u{202e}\nVersion: 1\u{1b}[0m\nLicense: MIT\u{9b}\n";
    let name = format!("left{HOSTILE}");
    let module = json!({"name": name, "version": format!("1.0.0{HOSTILE}")}).to_string();
    let ground = Ground::new().advisory(json!({"id": format!("A{HOSTILE}"), "summary": HOSTILE, "upstream": [format!("U{HOSTILE}")],
        "aliases": [HOSTILE], "affected": [{"package": {"ecosystem": "npm", "name": name},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}], "versions": [format!("1.0.0{HOSTILE}")]}]}));
    let image = ground.image(
        "shop/app:1",
        &[&[
            file(
                "etc/os-release",
                "ID=debian\u{1b}\nVERSION_ID=\"12\"\nPRETTY_NAME=\"D\u{9b}\"\n",
            ),
            file(
                &format!("d{HOSTILE}/node_modules/left/package.json"),
                &module,
            ),
            file(&format!("d{HOSTILE}/evil-1.dist-info/METADATA"), metadata),
            file(&format!("d{HOSTILE}/broken.jar"), "PK"),
        ]],
    );
    let mut request = ground.with_all_reports(&[image]);
    request.policy.unjudged = Gate::Warn;
    request.policy.ignores.push(IgnoreRule {
        package: Some("evil*".into()),
        reason: Some(HOSTILE.into()),
        origin: "imgmake.kdl:9".into(),
        ..IgnoreRule::default()
    });
    ground.run(&request);
    fn strings(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(list) => list.iter().for_each(|one| strings(one, found)),
            Value::Object(fields) => fields.values().for_each(|one| strings(one, found)),
            _ => {}
        }
    }
    let is_hostile = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}')
    };
    for (format, path) in &request.reports {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("left"), "{format:?}");
        let mut texts = vec![text];
        if let Ok(document) = serde_json::from_str(&texts[0]) {
            strings(&document, &mut texts);
        }
        for text in texts {
            assert!(!text.contains(is_hostile), "{format:?}: {text:?}");
            assert!(
                !text.lines().any(|line| line.starts_with("::")),
                "{format:?}: {text:?}"
            );
        }
    }
}
