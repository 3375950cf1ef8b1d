//! JUnit XML: an image is a suite, a finding a case; what refuses is a failure.

use std::fmt::Write;

use super::document::{Header, sentence, sentences};
use crate::{ImageVerdict, Judged, Judgement, PlatformVerdict, Verdict};

pub fn document(header: &Header, verdict: &Verdict) -> String {
    let mut suites = String::new();
    let (mut tests, mut failures) = (0, 0);
    let bases = sentences(verdict);
    for image in &verdict.images {
        for platform in &image.platforms {
            let counted = suite(header, image, platform, &bases, &mut suites);
            tests += counted.0;
            failures += counted.1;
        }
    }
    // Refusals that no finding stands for: a scanner that failed.
    let other = &verdict.failures;
    if !other.is_empty() {
        tests += other.len();
        let count = other.len();
        line(
            &mut suites,
            1,
            &format!(
                r#"<testsuite name="{}" tests="{count}" failures="0" errors="{count}" skipped="0" time="0" timestamp="{}">"#,
                escape(header.target),
                local(&header.created)
            ),
        );
        for refusal in other {
            line(
                &mut suites,
                2,
                &format!(
                    r#"<testcase classname="{}" name="scan" time="0">"#,
                    escape(header.target)
                ),
            );
            line(
                &mut suites,
                3,
                &format!(r#"<error message="{}"/>"#, escape(refusal)),
            );
            line(&mut suites, 2, "</testcase>");
        }
        line(&mut suites, 1, "</testsuite>");
    }
    let errors = other.len();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\">\n{suites}</testsuites>\n",
        escape(header.target)
    )
}

fn suite(
    header: &Header,
    image: &ImageVerdict,
    platform: &PlatformVerdict,
    bases: &[String],
    text: &mut String,
) -> (usize, usize) {
    let count = |wanted: fn(&Judgement) -> bool| {
        platform
            .findings
            .iter()
            .filter(|j| wanted(&j.judgement))
            .count()
    };
    let is_failed = platform.findings.is_empty() && !platform.passed;
    let failures = count(|j| matches!(j, Judgement::Refused(_))) + usize::from(is_failed);
    let skipped = count(|j| matches!(j, Judgement::Ignored(_)));
    // Without findings, one case: an empty suite looks like no scan.
    let tests = platform.findings.len().max(1);
    let name = escape(&format!("{} {}", image.name, platform.platform));
    line(
        text,
        1,
        &format!(
            r#"<testsuite name="{name}" tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}" time="0" timestamp="{}">"#,
            local(&header.created)
        ),
    );
    properties(bases, text);
    if platform.findings.is_empty() {
        let found = match is_failed {
            false => r#"name="nothing found" time="0"/>"#,
            true => {
                r#"name="refused without a finding" time="0"><failure message="the reasons are those of the gate"/></testcase>"#
            }
        };
        line(text, 2, &format!(r#"<testcase classname="{name}" {found}"#));
    }
    for judged in &platform.findings {
        case(&name, judged, text);
    }
    line(text, 1, "</testsuite>");
    (tests, failures)
}

/// By what it was judged.
fn properties(bases: &[String], text: &mut String) {
    if bases.is_empty() {
        return;
    }
    line(text, 2, "<properties>");
    for basis in bases {
        let value = escape(basis);
        line(
            text,
            3,
            &format!(r#"<property name="basis" value="{value}"/>"#),
        );
    }
    line(text, 2, "</properties>");
}

fn case(class: &str, judged: &Judged, text: &mut String) {
    let finding = &judged.finding;
    let place = finding.path.as_deref().unwrap_or_default();
    let severity = format!("[{}]", finding.severity.word());
    let words = [severity.as_str(), &finding.id, &finding.package, place];
    let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
    let open = format!(
        r#"<testcase classname="{class}" name="{}" time="0""#,
        escape(&words.join(" "))
    );
    let inner = match &judged.judgement {
        Judgement::Refused(why) => format!(
            r#"<failure type="{}" message="{}">{}</failure>"#,
            finding.severity.word(),
            escape(why),
            escape(&sentence(finding))
        ),
        Judgement::Ignored(why) => format!(r#"<skipped message="{}"/>"#, escape(why)),
        Judgement::Tolerated(_) => {
            line(text, 2, &format!("{open}/>"));
            return;
        }
    };
    line(text, 2, &format!("{open}>"));
    line(text, 3, &inner);
    line(text, 2, "</testcase>");
}

/// JUnit's timestamps carry no zone; ours is UTC.
fn local(timestamp: &str) -> &str {
    timestamp.trim_end_matches('Z')
}

fn line(text: &mut String, depth: usize, line: &str) {
    writeln!(text, "{}{line}", "  ".repeat(depth)).expect("writing to a string succeeds");
}

/// XML 1.0 forbids most control characters, even escaped.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
