//! One HTML page about a scan: what decides, severities by layer, what to upgrade first, and all
//! findings with a filter. It asks for nothing from elsewhere, and everything in it is escaped:
//! names and titles are those of images and advisories.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::document::{Header, each, sentences, word};
use crate::purl;
use crate::{Finding, FindingKind, Judged, Judgement, PlatformVerdict, Severity, Verdict};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// As reports order them.
const SEVERITIES: [Severity; 6] = [
    Severity::Critical,
    Severity::High,
    Severity::Medium,
    Severity::Low,
    Severity::None,
    Severity::Unknown,
];

pub fn document(header: &Header, verdict: &Verdict) -> String {
    let mut page = Page::default();
    let outcome = if verdict.passed { "passed" } else { "refused" };
    // Nothing is loaded, whatever a name of a package says.
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width\">\n");
    page.element("title", &format!("{}: {outcome}", header.target));
    page.raw(&format!("<style>\n{STYLE}</style>\n</head>\n<body>\n"));
    page.raw(&format!("<h1 class=\"{outcome}\">"));
    page.text(&format!("{}: {outcome}", header.target));
    page.raw("</h1>\n");
    page.element(
        "p",
        &format!("scanner {}, {}", header.scanner, header.created),
    );
    page.list("Data used", &sentences(verdict));
    page.list("Refused", &verdict.refusals);
    page.list("Warnings", &verdict.warnings);
    for image in &verdict.images {
        for platform in &image.platforms {
            page.element("h2", &format!("{} {}", image.name, platform.platform));
            page.element("p", platform.digest.as_str());
            layers(platform, &mut page);
        }
    }
    upgrades(verdict, &mut page);
    findings(verdict, &mut page);
    page.raw(&format!("<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    page.0
}

/// A page while it is written: text goes in escaped.
#[derive(Default)]
struct Page(String);

impl Page {
    /// Of this program alone.
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
    }

    fn element(&mut self, name: &str, text: &str) {
        write!(self.0, "<{name}>").expect("writing to a string succeeds");
        self.text(text);
        writeln!(self.0, "</{name}>").expect("writing to a string succeeds");
    }

    fn list(&mut self, title: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.element("h2", title);
        self.raw("<ul>\n");
        for item in items {
            self.element("li", item);
        }
        self.raw("</ul>\n");
    }

    fn row(&mut self, cell: &str, cells: &[String]) {
        self.raw("<tr>");
        for text in cells {
            write!(self.0, "<{cell}>").expect("writing to a string succeeds");
            self.text(text);
            write!(self.0, "</{cell}>").expect("writing to a string succeeds");
        }
        self.raw("</tr>\n");
    }

    /// The beginning of a table with these headings.
    fn table(&mut self, id: &str, headings: &[&str]) {
        self.raw(&format!("<table id=\"{id}\">\n<thead>\n"));
        let headings: Vec<String> = headings.iter().map(ToString::to_string).collect();
        self.row("th", &headings);
        self.raw("</thead>\n<tbody>\n");
    }

    fn end_of_table(&mut self) {
        self.raw("</tbody>\n</table>\n");
    }
}

/// How many findings of each severity came with each layer, bottom first.
fn layers(platform: &PlatformVerdict, page: &mut Page) {
    let counted = |layer: Option<&str>| {
        let of_layer = platform.findings.iter().filter(|judged| {
            let own = judged.finding.layer.as_ref().map(|digest| digest.as_str());
            own == layer && judged.finding.kind != FindingKind::Hygiene
        });
        let of_layer: Vec<&Judged> = of_layer.collect();
        SEVERITIES.map(|severity| {
            let same = of_layer.iter().filter(|j| j.finding.severity == severity);
            same.count()
        })
    };
    page.raw("<table class=\"layers\">\n<thead>\n");
    let words = SEVERITIES.iter().map(|s| s.word().to_string());
    let headings: Vec<String> = std::iter::once("layer".to_string()).chain(words).collect();
    page.row("th", &headings);
    page.raw("</thead>\n<tbody>\n");
    let named = (1..).zip(&platform.layers).map(|(number, digest)| {
        let name = format!("{number}: {}", digest.short());
        (name, counted(Some(digest.as_str())))
    });
    let rows = named.chain([("of the image".to_string(), counted(None))]);
    for (name, counts) in rows.filter(|(_, counts)| counts.iter().any(|count| *count > 0)) {
        let counts = counts.iter().map(|count| match count {
            0 => String::new(),
            count => count.to_string(),
        });
        let cells: Vec<String> = std::iter::once(name).chain(counts).collect();
        page.row("td", &cells);
    }
    page.end_of_table();
}

/// One package, and what its upgrade would fix.
struct Upgrade<'a> {
    worst: Severity,
    is_exploited: bool,
    refused: usize,
    fixed: &'a str,
    ids: Vec<&'a str>,
}

/// Packages with a fixed version: what refuses and is exploited first, then by severity.
fn upgrades(verdict: &Verdict, page: &mut Page) {
    let mut packages: BTreeMap<(&str, &str, &str), Upgrade<'_>> = BTreeMap::new();
    for (_, _, judged) in each(verdict) {
        let finding = &judged.finding;
        let (Some(fixed), false) = (&finding.fixed, is_ignored(judged)) else {
            continue;
        };
        // Packages of two ecosystems may have one name; platforms are qualifiers.
        let purl = finding.purl.as_deref().unwrap_or_default();
        let purl = purl.split(['?', '#']).next().unwrap_or_default();
        let package = (finding.package.as_str(), finding.version.as_str(), purl);
        let upgrade = packages.entry(package).or_insert(Upgrade {
            worst: Severity::Unknown,
            is_exploited: false,
            refused: 0,
            fixed,
            ids: Vec::new(),
        });
        upgrade.worst = upgrade.worst.max(finding.severity);
        upgrade.is_exploited |= judged.is_exploited;
        upgrade.refused += usize::from(matches!(judged.judgement, Judgement::Refused(_)));
        if is_later(finding, fixed, upgrade.fixed) {
            upgrade.fixed = fixed;
        }
        if !upgrade.ids.contains(&finding.id.as_str()) {
            upgrade.ids.push(&finding.id);
        }
    }
    let mut packages: Vec<_> = packages.into_iter().collect();
    packages.sort_by_key(|(_, u)| {
        std::cmp::Reverse((u.is_exploited, u.refused > 0, u.worst, u.ids.len()))
    });
    page.element("h2", "Upgrade first");
    let headings = ["package", "version", "to", "worst", "fixes", "ids"];
    page.table("upgrades", &headings);
    for ((package, version, _), upgrade) in packages {
        let worst = match upgrade.is_exploited {
            true => format!("{}, exploited", upgrade.worst),
            false => upgrade.worst.to_string(),
        };
        let cells = [
            package.to_string(),
            version.to_string(),
            upgrade.fixed.to_string(),
            worst,
            upgrade.ids.len().to_string(),
            upgrade.ids.join(" "),
        ];
        page.row("td", &cells);
    }
    page.end_of_table();
}

fn is_later(finding: &Finding, one: &str, other: &str) -> bool {
    let scheme = purl::scheme(finding.purl.as_deref().unwrap_or_default());
    scheme
        .compare(one, other)
        .is_some_and(std::cmp::Ordering::is_gt)
}

fn is_ignored(judged: &Judged) -> bool {
    matches!(judged.judgement, Judgement::Ignored(_))
}

fn findings(verdict: &Verdict, page: &mut Page) {
    page.element("h2", "Findings");
    page.raw("<p><label>filter <input id=\"filter\" type=\"search\"></label> ");
    for result in ["refused", "tolerated", "ignored"] {
        page.raw(&format!(
            "<label><input type=\"checkbox\" class=\"result\" value=\"{result}\" checked> {result}</label> "
        ));
    }
    page.raw("<span id=\"shown\"></span></p>\n");
    let headings = [
        "severity", "id", "kind", "package", "version", "fixed", "place", "result", "reason",
        "title", "image",
    ];
    page.table("findings", &headings);
    for (image, platform, judged) in each(verdict) {
        let finding = &judged.finding;
        let (result, reason) = word(&judged.judgement);
        let place = finding.path.as_deref().map(|path| format!("/{path}"));
        let cells = [
            finding.severity.word().to_string(),
            finding.id.clone(),
            finding.kind.to_string(),
            finding.package.clone(),
            finding.version.clone(),
            finding.fixed.clone().unwrap_or_default(),
            place.unwrap_or_default(),
            result.to_string(),
            reason.to_string(),
            finding.title.clone(),
            format!("{} {}", image.name, platform.platform),
        ];
        page.row("td", &cells);
    }
    page.end_of_table();
}
