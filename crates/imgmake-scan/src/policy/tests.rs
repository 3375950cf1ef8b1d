use jiff::civil::date;
use proptest::prelude::*;
use serde_json::json;

use super::*;

use crate::{Finding, FindingKind, Severity};
use imgmake_oci::image::Digest;

pub(super) fn policy() -> Policy {
    Policy::new("2026-06-15T12:00:00Z".parse().unwrap())
}

pub(super) fn finding(id: &str, severity: Severity) -> Finding {
    Finding {
        kind: FindingKind::Vulnerability,
        id: id.into(),
        aliases: vec!["GHSA-1".into()],
        upstream: Vec::new(),
        related: Vec::new(),
        package: "openssl".into(),
        version: "3.0.1".into(),
        purl: Some("pkg:deb/debian/openssl@3.0.1?arch=amd64".into()),
        path: Some("var/lib/dpkg/status".into()),
        other_paths: Vec::new(),
        layer: None,
        fixed: None,
        severity,
        score: None,
        source: "test".into(),
        title: String::new(),
        published: None,
        sums: Vec::new(),
    }
}

fn subject() -> Subject {
    Subject {
        name: "app".into(),
        digests: vec![Digest::of(b"image")],
    }
}

pub(super) fn judge(policy: &Policy, finding: Finding) -> Judgement {
    let rules = Rules::new(policy, Lists::read(policy).unwrap()).unwrap();
    let mut judged = rules.judge(vec![finding], Told::ByAdvisories, &subject(), None);
    judged.remove(0).judgement
}

fn file(name: &str, text: impl Into<String>) -> TextFile {
    TextFile {
        name: name.into(),
        text: text.into(),
    }
}

pub(super) fn is_refused(judgement: &Judgement) -> bool {
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
        fail_on: vec![FailRule {
            unknown: Gate::Warn,
            ..FailRule::default()
        }],
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
        fail_on: vec![FailRule {
            fixable: FixableOnly::Yes,
            ..FailRule::default()
        }],
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
            fail_on: vec![FailRule {
                kind: Some(FindingKind::Secret),
                ..FailRule::default()
            }],
            ..policy()
        },
        secret
    )));
}

#[test]
fn an_ignore_rule_holds_through_its_last_day_and_then_says_so() {
    let rule = |until| IgnoreRule {
        id: Some("ghsa-1".into()),
        until: Some(until),
        reason: Some("not reachable, SEC-88".into()),
        origin: "imgmake.kdl:7".into(),
        ..IgnoreRule::default()
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
        let error = Rules::new(&policy, Lists::default())
            .err()
            .expect(text)
            .to_string();
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
        Rules::new(&policy, Lists::default())
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
        let _ = Rules::new(&policy, Lists::default());
        let policy = Policy { vex: vec![file("x", text)], ..policy };
        let _ = Rules::new(&policy, Lists::default());
    }
}

pub(super) fn ignoring(rule: IgnoreRule) -> Policy {
    Policy {
        ignores: vec![rule],
        ..policy()
    }
}

fn is_ignored(judgement: &Judgement) -> bool {
    matches!(judgement, Judgement::Ignored(_))
}

#[test]
fn a_rule_about_one_kind_leaves_the_others_as_they_are() {
    let of_kind = |kind| Finding {
        kind,
        ..finding("X", Severity::Medium)
    };
    let strict = |rule: FailRule| Policy {
        fail_on: vec![rule],
        ..policy()
    };
    let licenses = strict(FailRule {
        kind: Some(FindingKind::License),
        severity: Some(Severity::Medium),
        ..FailRule::default()
    });
    assert!(is_refused(&judge(&licenses, of_kind(FindingKind::License))));
    assert!(!is_refused(&judge(
        &licenses,
        of_kind(FindingKind::Hygiene)
    )));
    assert!(is_refused(&judge(
        &licenses,
        finding("CVE-1", Severity::High)
    )));
    assert!(!is_refused(&judge(
        &licenses,
        finding("CVE-1", Severity::Medium)
    )));
    let hygiene = strict(FailRule {
        kind: Some(FindingKind::Hygiene),
        ..FailRule::default()
    });
    assert!(is_refused(&judge(&hygiene, of_kind(FindingKind::Hygiene))));
    let exploited = Policy {
        kev: Some(list(r#"{"vulnerabilities":[{"cveID":"CVE-9"}]}"#)),
        ..strict(FailRule {
            kev: true,
            ..FailRule::default()
        })
    };
    assert!(!is_refused(&judge(
        &exploited,
        finding("CVE-1", Severity::Critical)
    )));
    assert!(is_refused(&judge(
        &exploited,
        finding("CVE-9", Severity::Low)
    )));
    // Neither the list of exploits nor anything else lets an attack pass.
    assert!(is_refused(&judge(
        &exploited,
        finding("MAL-1", Severity::Critical)
    )));
    let misconfigured = Finding {
        kind: FindingKind::Misconfiguration,
        ..finding("X", Severity::High)
    };
    assert!(is_refused(&judge(&exploited, misconfigured)));
}

pub(super) fn list(text: &str) -> ListFile {
    ListFile {
        name: "list".into(),
        bytes: text.into(),
    }
}

#[test]
fn what_is_known_for_a_short_time_waits_and_what_has_no_date_does_not() {
    let patient = Policy {
        fail_on: vec![FailRule {
            older: Some(std::time::Duration::from_secs(14 * 86400)),
            ..FailRule::default()
        }],
        ..policy()
    };
    let published = |date: &str| Finding {
        published: Some(date.into()),
        ..finding("CVE-1", Severity::High)
    };
    assert!(is_refused(&judge(
        &patient,
        published("2026-06-01T12:00:00Z")
    )));
    let young = published("2026-06-02T00:00:00Z");
    let judgement = judge(&patient, young.clone());
    assert!(!is_refused(&judgement), "{judgement:?}");
    assert!(is_refused(&judge(
        &patient,
        finding("CVE-1", Severity::High)
    )));
    for date in ["soon", "2099-01-01T00:00:00Z"] {
        assert!(is_refused(&judge(&patient, published(date))), "{date}");
    }
    assert!(!is_refused(&judge(
        &patient,
        published("2026-06-15T12:30:00Z")
    )));
    let rules = Rules::new(&patient, Lists::default()).unwrap();
    let judged = rules.judge(vec![young], Told::ByAdvisories, &subject(), None);
    assert_eq!(rules.due(&judged[0]), "2026-06-16T00:00:00Z".parse().ok());
}

#[test]
fn a_rule_about_paths_holds_if_all_of_them_are_meant() {
    let at = |others: &[&str]| Finding {
        path: Some("tests/node_modules/a/package.json".into()),
        other_paths: others.iter().map(|path| path.to_string()).collect(),
        ..finding("CVE-1", Severity::High)
    };
    let rule = ignoring(IgnoreRule {
        path: Some("tests/**".into()),
        ..IgnoreRule::default()
    });
    assert!(is_ignored(&judge(&rule, at(&[]))));
    assert!(is_ignored(&judge(&rule, at(&["tests/package-lock.json"]))));
    assert!(is_refused(&judge(&rule, at(&["app/package-lock.json"]))));
}

#[test]
fn ignores_by_package_and_path_reach_what_they_name_and_no_attack() {
    let high = || finding("CVE-1", Severity::High);
    let rule = |package: Option<&str>, path: Option<&str>| IgnoreRule {
        package: package.map(String::from),
        path: path.map(String::from),
        reason: Some("not used".into()),
        ..IgnoreRule::default()
    };
    for (package, path, reached) in [
        (Some("openssl"), None, true),
        (Some("open*"), None, true),
        (Some("pkg:deb/debian/openssl"), None, true),
        (Some("pkg:deb/debian/other"), None, false),
        (Some("ssl"), None, false),
        (None, Some("var/lib/**"), true),
        (None, Some("/opt/**"), false),
        (Some("openssl"), Some("/opt/**"), false),
    ] {
        let judgement = judge(&ignoring(rule(package, path)), high());
        assert_eq!(is_ignored(&judgement), reached, "{package:?} {path:?}");
    }
    // A variable of the environment has a secret in it: no package, no path.
    let bare = || Finding {
        kind: FindingKind::Secret,
        package: String::new(),
        version: String::new(),
        purl: None,
        path: None,
        ..high()
    };
    for wide in [
        rule(Some("*"), None),
        rule(None, Some("**")),
        rule(Some("pkg:*"), None),
    ] {
        assert!(!is_ignored(&judge(&ignoring(wide), bare())));
    }
    let wide = ignoring(rule(Some("*"), None));
    assert!(is_refused(&judge(
        &wide,
        finding("MAL-1", Severity::Critical)
    )));
    let exploited = Policy {
        kev: Some(list(r#"{"vulnerabilities":[{"cveID":"CVE-1"}]}"#)),
        ..wide
    };
    assert!(is_refused(&judge(&exploited, high())));
    let by_id = Policy {
        ignores: vec![IgnoreRule {
            id: Some("CVE-1".into()),
            ..rule(Some("openssl"), None)
        }],
        ..exploited
    };
    assert!(is_ignored(&judge(&by_id, high())));
}

#[test]
fn only_what_is_new_refuses_except_for_exploited_and_malicious_ones() {
    let known = [
        finding("CVE-1", Severity::High),
        finding("MAL-1", Severity::Critical),
    ];
    let baseline = Baseline::new("app@sha256:1".into(), &known);
    let judge = |policy: &Policy, finding: Finding| {
        let rules = Rules::new(policy, Lists::read(policy).unwrap()).unwrap();
        let told = Told::ByAdvisories;
        let mut judged = rules.judge(vec![finding], told, &subject(), Some(&baseline));
        judged.remove(0).judgement
    };
    let old = judge(&policy(), known[0].clone());
    assert_eq!(
        old,
        Judgement::Tolerated("not new: app@sha256:1 has it, too".into())
    );
    assert!(is_refused(&judge(
        &policy(),
        finding("CVE-2", Severity::High)
    )));
    assert!(is_refused(&judge(&policy(), known[1].clone())));
    // Upgraded without a fix, or moved, it is the same; both at once, it is another.
    let upgraded = Finding {
        version: "3.0.2".into(),
        purl: Some("pkg:deb/debian/openssl@3.0.2?arch=amd64".into()),
        ..finding("CVE-1", Severity::High)
    };
    let moved = Finding {
        path: Some("opt/status".into()),
        ..finding("CVE-1", Severity::High)
    };
    assert!(!is_refused(&judge(&policy(), upgraded.clone())));
    assert!(!is_refused(&judge(&policy(), moved.clone())));
    let both = Finding {
        path: moved.path,
        ..upgraded
    };
    assert!(is_refused(&judge(&policy(), both)));
    let exploited = Policy {
        kev: Some(list(r#"{"vulnerabilities":[{"cveID":"CVE-1"}]}"#)),
        ..policy()
    };
    assert!(is_refused(&judge(&exploited, known[0].clone())));
    let expired = ignoring(IgnoreRule {
        id: Some("CVE-1".into()),
        until: Some(date(2026, 1, 1)),
        ..IgnoreRule::default()
    });
    assert!(is_refused(&judge(&expired, known[0].clone())));
}

#[test]
fn a_secret_is_not_new_by_its_text_and_not_by_its_place() {
    let secret = |sums: &[u8]| Finding {
        kind: FindingKind::Secret,
        package: String::new(),
        version: String::new(),
        purl: None,
        path: Some("root/id".into()),
        sums: sums.iter().map(|sum| [*sum; 32]).collect(),
        ..finding("private-key", Severity::High)
    };
    let strict = Policy {
        fail_on: vec![FailRule {
            kind: Some(FindingKind::Secret),
            ..FailRule::default()
        }],
        ..policy()
    };
    let known = [secret(&[1, 2]), secret(&[])];
    let baseline = Baseline::new("app@sha256:1".into(), &known);
    let rules = Rules::new(&strict, Lists::default()).unwrap();
    for (sums, refused) in [
        (&[1, 2][..], false),
        (&[2], false),
        (&[1, 3], true),
        (&[3], true),
        // Of other scanners, which do not tell it.
        (&[], true),
    ] {
        let told = Told::ByAdvisories;
        let judged = rules.judge(vec![secret(sums)], told, &subject(), Some(&baseline));
        assert_eq!(is_refused(&judged[0].judgement), refused, "{sums:?}");
    }
}
