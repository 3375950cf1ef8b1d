//! Dockerfiles that a grammar writes ([`super::sample`]) give what buildah gives, trees and configs.
//! What the table of other builders knows is left out; what is left and differs is a finding.
//!
//! `DOCKERFILE_FUZZ_SECONDS` is for how long, and takes other ones each time; without it, it is a minute
//! from seed 1. `DOCKERFILE_FUZZ_SEED` is where it begins: a finding names its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use imgmake_dockerfile::Dockerfile;
use imgmake_dockerfile::compat::{Asked, Builder, Difference, compare};

use super::case::{Case, Request};
use super::difference;
use super::peer::{self, Buildah, Peer};
use super::sample::Sample;
use super::workshop::Workshop;
use crate::ground::temporary;

/// Findings after which it is enough.
const ENOUGH: usize = 12;

/// What comes of one Dockerfile.
enum Verdict {
    Same,
    /// Both refuse it.
    Refused,
    /// Known to be different, wherever it shows.
    LeftOut,
    /// Different as rows say, which depend on files.
    Foretold,
    Finding(String),
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: a number, not `{text}`")),
    )
}

#[test]
fn whatever_a_grammar_writes_is_what_buildah_makes_of_it() {
    let seconds = number("DOCKERFILE_FUZZ_SECONDS");
    // With the other tests the same ones every time: what is found by chance is for those who look for it.
    let clock = |_| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis() as u64
    };
    let usual = seconds.map_or(1, clock);
    let first = number("DOCKERFILE_FUZZ_SEED").unwrap_or(usual);
    let seconds = seconds.unwrap_or(60);
    let (workshop, buildah) = (Workshop::new(), Buildah::new());
    let (begun, limit) = (Instant::now(), Duration::from_secs(seconds));
    let [mut same, mut refused, mut left_out, mut foretold] = [0; 4];
    let mut findings: Vec<String> = Vec::new();
    for seed in first.. {
        if seed > first && (begun.elapsed() > limit || findings.len() == ENOUGH) {
            break;
        }
        let sample = Sample::new(seed);
        match judge(&sample, &workshop, &buildah) {
            Verdict::Same => same += 1,
            Verdict::Refused => refused += 1,
            Verdict::LeftOut => left_out += 1,
            Verdict::Foretold => foretold += 1,
            Verdict::Finding(text) => {
                let (small, text) = smaller(sample, text, &workshop, &buildah);
                let told = format!("DOCKERFILE_FUZZ_SEED={seed}\n{small}{text}\n");
                eprintln!("{told}");
                findings.push(told);
            }
        }
    }
    eprintln!(
        "from seed {first}: {same} the same, {refused} refused by both, {foretold} differ as rows say, \
         {left_out} left out, {} findings",
        findings.len()
    );
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

fn judge(sample: &Sample, workshop: &Workshop, buildah: &Buildah) -> Verdict {
    let text = sample.text();
    let file = Dockerfile::parse(text.as_bytes());
    let args = BTreeMap::new();
    let asked = Asked {
        args: &args,
        stage: None,
    };
    let rows = file.as_ref().map_or_else(
        |_| Vec::new(),
        |file| compare(file, text.as_bytes(), &asked, &[Builder::Buildah]),
    );
    let mut rows: Vec<&Difference> = rows.iter().map(|finding| finding.difference).collect();
    rows.retain(|row| {
        row.by(Builder::Buildah)
            .unwrap()
            .holds_for(buildah.version())
    });
    if rows.iter().any(|row| !row.depends_on_files()) {
        return Verdict::LeftOut;
    }
    let directory = temporary();
    let place = directory.path();
    sample.lay_out(place);
    let case = Case {
        directory: place.to_owned(),
        request: Request::default(),
    };
    let ours = workshop.build_at(&case, place);
    let archive = place.join("buildah.tar");
    let theirs = buildah.build_to(place, &[], &archive);
    let theirs = theirs.and_then(|()| peer::read(workshop, &case, Path::new(&archive)));
    let finding = match (ours, theirs) {
        (Err(_), Err(_)) => return Verdict::Refused,
        (Ok(ours), Ok(theirs)) => match difference(&theirs.essence(), &ours.essence()) {
            None => return Verdict::Same,
            // The row `order-of-env`.
            Some(text) if text.starts_with("the same lines") => return Verdict::Foretold,
            Some(text) => text,
        },
        (Err(error), Ok(_)) => match format!("{error:#}") {
            // The row `file-onto-directory`.
            text if text.ends_with("the destination is a directory") => return Verdict::Foretold,
            text => format!("refused here alone: {text}\n"),
        },
        (Ok(_), Err(error)) => format!("refused by buildah alone: {error}\n"),
    };
    match rows.is_empty() {
        true => Verdict::Finding(finding),
        false => Verdict::Foretold,
    }
}

/// The finding with as few lines as still show one.
fn smaller(
    mut sample: Sample,
    mut finding: String,
    workshop: &Workshop,
    buildah: &Buildah,
) -> (String, String) {
    let mut at = sample.lines.len();
    while at > 0 {
        at -= 1;
        let line = sample.lines.remove(at);
        match judge(&sample, workshop, buildah) {
            Verdict::Finding(text) => finding = text,
            _ => sample.lines.insert(at, line),
        }
    }
    let mut text = sample.text();
    if !sample.ignore.is_empty() {
        write!(text, ".dockerignore:\n{}", sample.ignore).unwrap();
    }
    (text, finding)
}
