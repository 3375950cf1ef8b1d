//! Lists of exploits: what they name, and what is none.

use super::tests::{finding, ignoring, is_refused, judge, list, policy};
use super::*;
use crate::{Finding, Severity};

#[test]
fn probabilities_of_exploits_decide_and_unknown_ones_do_not_pass() {
    let rows = "#model_version:v2025.03.14,score_date:2026-06-14T12:55:00+0000\ncve,epss,percentile\nCVE-1,0.9,0.99\nCVE-1,0.01,0.5\nCVE-2,0.01,0.5\n";
    let with = |unknown| Policy {
        epss: Some(list(rows)),
        fail_on: vec![FailRule {
            epss: Some(0.1),
            unknown,
            ..FailRule::default()
        }],
        ..policy()
    };
    for (id, strict, lax) in [
        ("CVE-1", true, true),
        ("CVE-2", false, false),
        ("CVE-3", true, false),
    ] {
        let one = finding(id, Severity::Low);
        assert_eq!(
            is_refused(&judge(&with(Gate::Refuse), one.clone())),
            strict,
            "{id}"
        );
        assert_eq!(is_refused(&judge(&with(Gate::Warn), one)), lax, "{id}");
    }
    let lists = Lists::read(&with(Gate::Refuse)).unwrap();
    assert_eq!(lists.bases[0].days(policy().now), Some(0));
}

#[test]
fn lists_that_cannot_be_read_are_errors() {
    for text in [
        "",
        "cve,epss\nCVE-1,0.1\n",
        "cve,epss,percentile\n",
        "cve,epss,percentile\nCVE-1,high,1\n",
        "cve,epss,percentile\nCVE-1,NaN,1\n",
        "cve,epss,percentile\n<html>\n",
        "cve,epss,percentile\nCVE-1,0.9,0.99\nCVE-2,0.",
        "cve,epss,percentile\nCVE-1,0.9,0.99\nCVE-2,0.9,",
        "cve,epss,percentile\nCVE-1,0.,0.99\n",
        "cve,epss,percentile\nCVE-1 ,0.9,0.99\n",
        "\u{1f}\u{8b}",
    ] {
        let policy = Policy {
            epss: Some(list(text)),
            ..policy()
        };
        assert!(Lists::read(&policy).is_err(), "{text:?}");
    }
    for text in [
        "",
        "{}",
        r#"{"vulnerabilities":[]}"#,
        r#"{"count":2,"vulnerabilities":[{"cveID":"CVE-1"}]}"#,
        r#"{"vulnerabilities":[{"id":"CVE-1"}]}"#,
        r#"{"vulnerabilities":[{"cveID":"CVE-1"},{"cveID":" CVE-2"}]}"#,
        r#"{"vulnerabilities":[{"cveID":"2026-1"}]}"#,
    ] {
        let policy = Policy {
            kev: Some(list(text)),
            ..policy()
        };
        let error = Lists::read(&policy).expect_err(text).to_string();
        assert!(error.contains("KEV catalog `list`"), "{error}");
    }
}

#[test]
fn lists_know_a_vulnerability_by_whatever_names_it() {
    let lists = Policy {
        kev: Some(list(r#"{"vulnerabilities":[{"cveID":"CVE-2026-1"}]}"#)),
        epss: Some(list("cve,epss,percentile\nCVE-2026-1,0.9,0.99\n")),
        ..policy()
    };
    let lists = Lists::read(&lists).unwrap();
    let related = Finding {
        related: vec!["CVE-2025-7".into(), "CVE-2026-1".into()],
        ..finding("ALSA-2026:1", Severity::High)
    };
    for (named, known) in [
        (related.clone(), true),
        (finding("CVE-2026-1-openssl", Severity::High), true),
        (finding("cve-2026-1", Severity::High), true),
        (finding("DEBIAN-CVE-2026-1", Severity::High), true),
        (finding("CVE-2026-11", Severity::High), false),
        (finding("CVE-2026", Severity::High), false),
        (finding("ALSA-2026:1", Severity::High), false),
    ] {
        assert_eq!(lists.is_exploited(&named), known, "{}", named.id);
        assert_eq!(lists.probability(&named).is_some(), known, "{}", named.id);
    }
    // An exception of one CVE does not reach what is merely related to it.
    let by_id = ignoring(IgnoreRule {
        id: Some("CVE-2026-1".into()),
        ..IgnoreRule::default()
    });
    assert!(is_refused(&judge(&by_id, related)));
}

#[test]
fn a_list_in_gzip_is_unpacked() {
    use std::io::Write;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer
        .write_all(b"cve,epss,percentile\nCVE-1,0.5,0.9\n")
        .unwrap();
    let policy = Policy {
        epss: Some(ListFile {
            name: "epss.csv.gz".into(),
            bytes: writer.finish().unwrap(),
        }),
        ..policy()
    };
    let lists = Lists::read(&policy).unwrap();
    assert_eq!(
        lists.probability(&finding("CVE-1", Severity::Low)),
        Some(0.5)
    );
}
