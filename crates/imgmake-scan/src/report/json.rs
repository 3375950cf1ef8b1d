//! Our own JSON: the verdict, and all findings in one list.

use serde_json::{Value, json};

use super::document::{Header, each, word};
use crate::{ImageVerdict, Judged, PlatformVerdict, Verdict};

pub fn document(header: &Header, verdict: &Verdict) -> Value {
    json!({
        "version": 1,
        "target": header.target,
        "scanner": header.scanner,
        "created": header.created,
        "passed": verdict.passed,
        "refusals": verdict.refusals,
        "unrated": verdict.unrated,
        "warnings": verdict.warnings,
        "bases": verdict.bases.iter().map(|basis| json!({
            "kind": basis.kind.word(),
            "name": basis.name,
            "digest": basis.digest,
            "date": basis.date,
            "days": basis.days(verdict.at),
        })).collect::<Vec<_>>(),
        "images": verdict.images.iter().map(image).collect::<Vec<_>>(),
        "findings": each(verdict).map(finding).collect::<Vec<_>>(),
    })
}

fn image(image: &ImageVerdict) -> Value {
    let platforms = image.platforms.iter().map(|p| {
        json!({
            "platform": p.platform.to_string(),
            "digest": p.digest.as_str(),
            "passed": p.passed,
        })
    });
    json!({
        "name": image.name,
        "digest": image.digest.as_str(),
        "passed": image.passed,
        "platforms": platforms.collect::<Vec<_>>(),
    })
}

fn finding((image, platform, judged): (&ImageVerdict, &PlatformVerdict, &Judged)) -> Value {
    let (result, reason) = word(&judged.judgement);
    let f = &judged.finding;
    json!({
        "image": image.name,
        "platform": platform.platform.to_string(),
        "digest": platform.digest.as_str(),
        "kind": f.kind,
        "id": f.id,
        "aliases": f.aliases,
        "upstream": f.upstream,
        "package": f.package,
        "version": f.version,
        "purl": f.purl,
        "path": f.path,
        "other_paths": f.other_paths,
        "layer": f.layer,
        "fixed_version": f.fixed,
        "severity": f.severity.word(),
        "score": f.score,
        "source": f.source,
        "title": f.title,
        "published": f.published,
        "epss": judged.epss,
        "exploited": judged.is_exploited,
        "result": result,
        "reason": reason,
    })
}
