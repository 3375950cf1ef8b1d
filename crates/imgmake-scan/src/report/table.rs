//! The table for people: what refuses first, then the rest by severity.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::document::word;
use crate::{FindingKind, Judged, Judgement, PlatformVerdict, Severity, Verdict};

const HEADINGS: [&str; 6] = ["SEVERITY", "ID", "PACKAGE", "VERSION", "FIXED", "RESULT"];
/// Below this a column says nothing.
const NARROWEST: usize = 8;

pub fn table(verdict: &Verdict, width: usize) -> String {
    let mut text = String::new();
    for unrated in &verdict.unrated {
        writeln!(text, "{unrated}").expect("writing to a string succeeds");
    }
    for image in &verdict.images {
        for platform in &image.platforms {
            let width = width.max(40);
            heading(&image.name, platform, width, &mut text);
            rows(platform, width, &mut text);
        }
    }
    for refusal in &verdict.failures {
        writeln!(text, "refused: {refusal}").expect("writing to a string succeeds");
    }
    for basis in &verdict.bases {
        writeln!(text, "{}", basis.short(verdict.at)).expect("writing to a string succeeds");
    }
    text.push_str(&summary(verdict));
    text.push('\n');
    text
}

fn heading(name: &str, platform: &PlatformVerdict, width: usize, text: &mut String) {
    let hints = platform
        .findings
        .iter()
        .filter(|j| j.finding.kind == FindingKind::Hygiene);
    let hints = hints.count();
    // A scanner that failed, and packages that it could not judge, found nothing either.
    let counted = match platform.passed || has_findings(platform) {
        true => counted(platform.findings.iter()),
        false => "refused without a finding".to_string(),
    };
    let found = format!(
        "{name} {} {}: {counted}",
        platform.platform,
        platform.digest.short()
    );
    let hints = match hints {
        0 => String::new(),
        1 => "1 hint: use `report`".to_string(),
        many => format!("{many} hints: use `report`"),
    };
    let is_short = found.chars().count() + 2 + hints.chars().count() <= width;
    let line = match (hints.is_empty(), is_short) {
        (true, _) => found,
        (false, true) => format!("{found}; {hints}"),
        (false, false) => format!("{found}\n{hints}"),
    };
    writeln!(text, "{line}").expect("writing to a string succeeds");
}

fn has_findings(platform: &PlatformVerdict) -> bool {
    let mut findings = platform.findings.iter();
    findings.any(|judged| judged.finding.kind != FindingKind::Hygiene)
}

/// `1 critical, 2 high`, of vulnerabilities and secrets.
fn counted<'a>(findings: impl Iterator<Item = &'a Judged>) -> String {
    let mut counts: BTreeMap<std::cmp::Reverse<Severity>, usize> = BTreeMap::new();
    for judged in findings.filter(|j| j.finding.kind != FindingKind::Hygiene) {
        *counts
            .entry(std::cmp::Reverse(judged.finding.severity))
            .or_default() += 1;
    }
    let words: Vec<String> = counts.iter().map(|(s, n)| format!("{n} {}", s.0)).collect();
    if words.is_empty() {
        "nothing found".to_string()
    } else {
        words.join(", ")
    }
}

fn rows(platform: &PlatformVerdict, width: usize, text: &mut String) {
    let mut listed: Vec<&Judged> = platform
        .findings
        .iter()
        .filter(|j| j.finding.kind != FindingKind::Hygiene)
        .collect();
    if listed.is_empty() {
        return;
    }
    let rank = |j: &Judged| match j.judgement {
        Judgement::Refused(_) => 0,
        Judgement::Tolerated(_) => 1,
        Judgement::Ignored(_) => 2,
    };
    listed.sort_by(|a, b| {
        rank(a)
            .cmp(&rank(b))
            .then_with(|| b.finding.severity.cmp(&a.finding.severity))
            .then_with(|| a.finding.order(&b.finding))
    });
    let cells: Vec<[String; 6]> = listed.iter().map(|j| row(j)).collect();
    let columns = columns(&cells, width);
    line(&HEADINGS.map(String::from), &columns, text);
    for row in &cells {
        line(row, &columns, text);
    }
}

fn row(judged: &Judged) -> [String; 6] {
    let finding = &judged.finding;
    let path = || format!("/{}", finding.path.as_deref().unwrap_or_default());
    let package = if finding.package.is_empty() {
        path()
    } else {
        finding.package.clone()
    };
    [
        finding.severity.word().to_ascii_uppercase(),
        finding.id.clone(),
        package,
        finding.version.clone(),
        finding.fixed.clone().unwrap_or_else(|| "-".into()),
        word(&judged.judgement).0.to_string(),
    ]
}

/// As wide as the content; the widest of package and versions give way first.
/// Severity, id and result are never cut: they are what is looked up.
fn columns(cells: &[[String; 6]], width: usize) -> [usize; 6] {
    let mut widths = HEADINGS.map(str::len);
    for row in cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let indent_and_gaps = 2 + 2 * (widths.len() - 1);
    while widths.iter().sum::<usize>() + indent_and_gaps > width {
        let widest = [2, 3, 4]
            .into_iter()
            .max_by_key(|i| widths[*i])
            .expect("there are three");
        if widths[widest] <= NARROWEST {
            break;
        }
        widths[widest] -= 1;
    }
    widths
}

fn line(cells: &[String; 6], widths: &[usize; 6], text: &mut String) {
    let cut = cells.iter().zip(widths).map(|(cell, width)| {
        let count = cell.chars().count();
        if count > *width {
            let kept: String = cell.chars().take(width - 1).collect();
            format!("{kept}…")
        } else {
            format!("{cell}{}", " ".repeat(width - count))
        }
    });
    let line = cut.collect::<Vec<_>>().join("  ");
    text.push_str("  ");
    text.push_str(line.trim_end());
    text.push('\n');
}

fn summary(verdict: &Verdict) -> String {
    let all = || {
        verdict
            .images
            .iter()
            .flat_map(|i| &i.platforms)
            .flat_map(|p| &p.findings)
    };
    let refused = all()
        .filter(|j| matches!(j.judgement, Judgement::Refused(_)))
        .count();
    let ignored = all()
        .filter(|j| matches!(j.judgement, Judgement::Ignored(_)))
        .count();
    let ignored = if ignored > 0 {
        format!(", {ignored} ignored")
    } else {
        String::new()
    };
    let (images, s) = (
        verdict.images.len(),
        if verdict.images.len() == 1 { "" } else { "s" },
    );
    if verdict.passed {
        format!("passed: {images} image{s}, {}{ignored}", counted(all()))
    } else if refused == 0 {
        format!("refused: {images} image{s}{ignored}")
    } else {
        let findings = if refused == 1 { "finding" } else { "findings" };
        format!("refused: {images} image{s}, {refused} {findings} not accepted{ignored}")
    }
}
