use jiff::civil::date;
use proptest::prelude::*;
use serde_json::json;

use super::*;

use crate::{Finding, FindingKind, Severity};
use imgmake_oci::image::Digest;

fn policy() -> Policy {
    Policy::new("2026-06-15T12:00:00Z".parse().unwrap())
}

fn finding(id: &str, severity: Severity) -> Finding {
    Finding {
        kind: FindingKind::Vulnerability,
        id: id.into(),
        aliases: vec!["GHSA-1".into()],
        upstream: Vec::new(),
        package: "openssl".into(),
        version: "3.0.1".into(),
        purl: Some("pkg:deb/debian/openssl@3.0.1?arch=amd64".into()),
        path: Some("var/lib/dpkg/status".into()),
        layer: None,
        fixed: None,
        severity,
        score: None,
        source: "test".into(),
        title: String::new(),
    }
}

fn subject() -> Subject {
    Subject {
        name: "app".into(),
        digests: vec![Digest::of(b"image")],
    }
}

fn judge(policy: &Policy, finding: Finding) -> Judgement {
    let rules = Rules::new(policy).unwrap();
    let mut judged = rules.judge(vec![finding], Told::ByAdvisories, &subject());
    judged.remove(0).judgement
}

fn file(name: &str, text: impl Into<String>) -> TextFile {
    TextFile {
        name: name.into(),
        text: text.into(),
    }
}

fn is_refused(judgement: &Judgement) -> bool {
    matches!(judgement, Judgement::Refused(_))
}

#[test]
fn a_finding_at_the_threshold_refuses_and_one_below_does_not() {
    for (severity, refused) in [
        (Severity::Critical, true),
        (Severity::High, true),
        (Severity::Medium, false),
        (Severity::None, false),
        (Severity::Unknown, true),
    ] {
        assert_eq!(
            is_refused(&judge(&policy(), finding("CVE-1", severity))),
            refused,
            "{severity}"
        );
    }
}

#[test]
fn unknown_severity_is_tolerated_only_if_asked() {
    let lax = Policy {
        unknown: Gate::Warn,
        ..policy()
    };
    assert!(!is_refused(&judge(
        &lax,
        finding("CVE-1", Severity::Unknown)
    )));
}

#[test]
fn what_has_no_fix_passes_a_fixable_gate() {
    let fixable = Policy {
        fixable: FixableOnly::Yes,
        ..policy()
    };
    assert!(!is_refused(&judge(
        &fixable,
        finding("CVE-1", Severity::High)
    )));
    let fixed = Finding {
        fixed: Some("3.0.2".into()),
        ..finding("CVE-1", Severity::High)
    };
    assert!(is_refused(&judge(&fixable, fixed)));
    // Nobody fixes an attack.
    let malicious = finding("MAL-2026-1", Severity::Critical);
    assert!(is_refused(&judge(&fixable, malicious)));
}

#[test]
fn secrets_warn_unless_asked_to_refuse() {
    let secret = Finding {
        kind: FindingKind::Secret,
        ..finding("private-key", Severity::High)
    };
    assert!(!is_refused(&judge(&policy(), secret.clone())));
    assert!(is_refused(&judge(
        &Policy {
            secrets: Gate::Refuse,
            ..policy()
        },
        secret
    )));
}

#[test]
fn an_ignore_rule_holds_through_its_last_day_and_then_says_so() {
    let rule = |until| IgnoreRule {
        id: "ghsa-1".into(),
        until: Some(until),
        reason: Some("not reachable, SEC-88".into()),
        origin: "imgmake.kdl:7".into(),
    };
    let with = |until| Policy {
        ignores: vec![rule(until)],
        ..policy()
    };
    let Judgement::Ignored(why) = judge(&with(date(2026, 6, 15)), finding("CVE-1", Severity::High))
    else {
        panic!("the rule holds on its last day");
    };
    assert!(why.contains("SEC-88"));
    let Judgement::Refused(why) = judge(&with(date(2026, 6, 14)), finding("CVE-1", Severity::High))
    else {
        panic!("the rule has expired");
    };
    assert!(
        why.contains("expired") && why.contains("2026-06-14") && why.contains("imgmake.kdl:7"),
        "{why}"
    );
    assert!(!is_refused(&judge(
        &with(date(2026, 6, 14)),
        finding("CVE-1", Severity::Low)
    )));
}

#[test]
fn a_trivyignore_is_ids_comments_and_expiries() {
    let text =
        "# accepted\nCVE-1 # until the rewrite\n\nCVE-2 exp:2026-06-16\nCVE-3 exp:2026-06-15\n";
    let policy = Policy {
        ignore_files: vec![file(".trivyignore", text)],
        ..policy()
    };
    for (id, refused) in [
        ("CVE-1", false),
        ("CVE-2", false),
        ("CVE-3", true),
        ("CVE-4", true),
    ] {
        assert_eq!(
            is_refused(&judge(&policy, finding(id, Severity::High))),
            refused,
            "{id}"
        );
    }
    let Judgement::Refused(why) = judge(&policy, finding("CVE-3", Severity::High)) else {
        panic!()
    };
    assert!(why.contains(".trivyignore:5"), "{why}");
}

#[test]
fn the_yaml_form_limits_rules_to_paths_and_packages() {
    let text = "vulnerabilities:\n  - id: CVE-1\n    paths:\n      - \"var/lib/**\"\n    statement: Accepted  # by us\n  - id: CVE-2\n    paths: [usr/*, \"etc\"]\n  - id: CVE-3\n    purls:\n    - pkg:deb/debian/openssl\n    expired_at: 2027-01-01\n  - id: CVE-4\n    expired_at: 2026-01-01\nmisconfigurations:\n  - id: CVE-5\nsecrets:\n- id: CVE-6\n";
    let policy = Policy {
        ignore_files: vec![file("ignore.yaml", text)],
        ..policy()
    };
    for (id, refused) in [
        ("CVE-1", false),
        ("CVE-2", true),
        ("CVE-3", false),
        ("CVE-4", true),
        ("CVE-5", true),
        ("CVE-6", true),
    ] {
        assert_eq!(
            is_refused(&judge(&policy, finding(id, Severity::High))),
            refused,
            "{id}"
        );
    }
}

#[test]
fn what_is_not_understood_in_an_ignore_file_is_an_error_with_its_line() {
    for (text, place) in [
        ("CVE-1 until:2026\n", "x:1"),
        ("CVE-1 exp:tomorrow\n", "x:1"),
        ("vulnerabilities:\n  - id: A\n    pats:\n", "x:3"),
        ("vulnerabilities:\n  - statement: A\n", "x:2"),
        ("secrets:\n  - id: A\nothers:\n", "x:3"),
    ] {
        let policy = Policy {
            ignore_files: vec![file("x", text)],
            ..policy()
        };
        let error = Rules::new(&policy).err().expect(text).to_string();
        assert!(error.starts_with(place), "{error}");
    }
}

fn vex(statements: serde_json::Value) -> Policy {
    let document = json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "author": "a", "statements": statements});
    Policy {
        vex: vec![file("vex.json", document.to_string())],
        ..policy()
    }
}

#[test]
fn a_vex_statement_clears_the_product_that_it_names() {
    let digest = Digest::of(b"image");
    for (products, cleared) in [
        (json!([{"@id": "pkg:deb/debian/openssl"}]), true),
        (json!(["pkg:deb/debian/openssl@3.0.1"]), true),
        (json!([{"@id": "pkg:deb/debian/openssl@3.0.2"}]), false),
        (
            json!([{"@id": "x", "identifiers": {"purl": "pkg:deb/debian/openssl"}}]),
            true,
        ),
        (json!([{"@id": format!("pkg:oci/app@{digest}")}]), true),
        (json!([{"@id": "pkg:oci/app@sha256%3A00"}]), false),
        (
            json!([{"@id": "pkg:oci/app", "subcomponents": [{"@id": "pkg:deb/debian/openssl"}]}]),
            true,
        ),
        (
            json!([{"@id": "pkg:oci/app", "subcomponents": [{"@id": "pkg:deb/debian/zlib"}]}]),
            false,
        ),
        (json!([{"@id": "pkg:oci/other"}]), false),
        (json!([]), false),
    ] {
        let policy = vex(
            json!([{"vulnerability": {"name": "CVE-1"}, "products": products, "status": "not_affected", "justification": "vulnerable_code_not_present"}]),
        );
        let judgement = judge(&policy, finding("CVE-1", Severity::High));
        assert_eq!(!is_refused(&judgement), cleared, "{products}");
    }
}

#[test]
fn the_last_vex_statement_decides() {
    let about = |status: &str| json!({"vulnerability": {"name": "CVE-1"}, "products": ["pkg:deb/debian/openssl"], "status": status});
    let cleared =
        |statements| !is_refused(&judge(&vex(statements), finding("CVE-1", Severity::High)));
    assert!(cleared(json!([
        about("under_investigation"),
        about("fixed")
    ])));
    assert!(!cleared(json!([about("not_affected"), about("affected")])));
}

#[test]
fn a_file_that_is_no_vex_document_is_an_error() {
    let policy = Policy {
        vex: vec![file("vex.json", "{}")],
        ..policy()
    };
    assert!(
        Rules::new(&policy)
            .err()
            .unwrap()
            .to_string()
            .contains("vex.json")
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in "(vulnerabilities:\n)?([ -]{0,4}(id|paths|x)?:? ?.{0,12}\n){0,8}") {
        let policy = Policy { ignore_files: vec![file("x", text.clone())], vex: vec![], ..policy() };
        let _ = Rules::new(&policy);
        let policy = Policy { vex: vec![file("x", text)], ..policy };
        let _ = Rules::new(&policy);
    }
}
