//! CycloneDX 1.6: what is in the images, and what is known against it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{Header, each, sentences, shown, unread, uuid, word};
use crate::inventory::{Inventory, Located, PackageKind};
use crate::{FindingKind, ImageVerdict, Judged, PlatformVerdict, Severity, Verdict, purl};

pub fn document(header: &Header, verdict: &Verdict) -> Value {
    let images: Vec<(&ImageVerdict, &PlatformVerdict)> = verdict
        .images
        .iter()
        .flat_map(|i| i.platforms.iter().map(move |p| (i, p)))
        .collect();
    let digests: Vec<&str> = images.iter().map(|(_, p)| p.digest.as_str()).collect();
    let (subject, components) = match &images[..] {
        [(image, platform)] => (
            container(image, platform, verdict),
            contents(verdict, platform),
        ),
        several => {
            let subject = json!({ "type": "application", "bom-ref": format!("target:{}", header.target), "name": header.target });
            let nested = several.iter().map(|(image, platform)| {
                let mut component = container(image, platform, verdict);
                component["components"] = Value::Array(contents(verdict, platform));
                component
            });
            (subject, nested.collect())
        }
    };
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(&digests.join(" "))),
        "version": 1,
        "metadata": {
            "timestamp": header.created,
            "tools": { "components": [{ "type": "application", "name": "imgmake", "version": env!("CARGO_PKG_VERSION") }] },
            "component": subject,
        },
        "components": components,
        "vulnerabilities": vulnerabilities(verdict),
    });
    let bases = sentences(verdict).into_iter();
    let bases = bases.map(|value| json!({ "name": "imgmake:basis", "value": value }));
    if !verdict.bases.is_empty() {
        document["metadata"]["properties"] = bases.collect();
    }
    let incomplete = images.iter().map(|(_, platform)| &platform.digest);
    let incomplete: Vec<&str> = incomplete
        .filter(|digest| !unread(verdict, digest).is_empty())
        .map(|digest| digest.as_str())
        .collect();
    if !incomplete.is_empty() {
        document["compositions"] = json!([{ "aggregate": "incomplete", "assemblies": incomplete }]);
    }
    document
}

fn container(image: &ImageVerdict, platform: &PlatformVerdict, verdict: &Verdict) -> Value {
    let named = |name: &str, value: &str| json!({ "name": name, "value": value });
    let mut properties = vec![named("imgmake:platform", &platform.platform.to_string())];
    let unread = unread(verdict, &platform.digest);
    properties.extend(
        unread
            .iter()
            .map(|what| named("imgmake:not-read", &shown(what))),
    );
    json!({
        "type": "container",
        "bom-ref": platform.digest.as_str(),
        "name": image.name,
        "version": platform.digest.as_str(),
        "hashes": [{ "alg": "SHA-256", "content": platform.digest.hex() }],
        "properties": properties,
    })
}

fn contents(verdict: &Verdict, platform: &PlatformVerdict) -> Vec<Value> {
    let Some(inventory) = verdict.inventories.get(&platform.digest) else {
        return Vec::new();
    };
    let system = inventory.distribution.iter().map(|d| {
        json!({
            "type": "operating-system",
            "bom-ref": format!("{}#os", platform.digest),
            "name": shown(&d.id),
            "version": shown(&d.version),
            "description": shown(&d.name),
        })
    });
    let packages = inventory
        .packages
        .iter()
        .map(|l| component(l, inventory, platform));
    system.chain(packages).collect()
}

fn component(located: &Located, inventory: &Inventory, platform: &PlatformVerdict) -> Value {
    let package = &located.package;
    let purl = purl::of(package, inventory.distribution.as_ref());
    let (group, name) = match (package.kind, package.name.split_once([':', '/'])) {
        (PackageKind::Maven | PackageKind::Npm | PackageKind::Composer, Some((group, name))) => {
            (Some(group), name)
        }
        _ => (None, package.name.as_str()),
    };
    let path = shown(&located.path);
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(platform, &purl, &path),
        "name": shown(name),
        "version": shown(&package.version),
        "purl": purl,
        "properties": [
            { "name": "imgmake:path", "value": path },
            { "name": "imgmake:layer", "value": located.layer.as_str() },
        ],
    });
    if let Some(group) = group {
        component["group"] = json!(shown(group));
    }
    if let Some(license) = &package.license {
        component["licenses"] = json!([{ "license": { "name": shown(license) } }]);
    }
    component
}

/// Unique in the document: the same package may stand at several places.
fn reference(platform: &PlatformVerdict, purl: &str, path: &str) -> String {
    format!("{}#{purl}#{path}", platform.digest)
}

/// One entry per id, with every component that it affects.
fn vulnerabilities(verdict: &Verdict) -> Vec<Value> {
    let mut by_id: BTreeMap<&str, Vec<(&PlatformVerdict, &Judged)>> = BTreeMap::new();
    for (_, platform, judged) in each(verdict) {
        if judged.finding.kind == FindingKind::Vulnerability {
            by_id
                .entry(&judged.finding.id)
                .or_default()
                .push((platform, judged));
        }
    }
    by_id
        .values()
        .map(|found| vulnerability(found, verdict))
        .collect()
}

fn vulnerability(found: &[(&PlatformVerdict, &Judged)], verdict: &Verdict) -> Value {
    let (_, first) = found[0];
    let finding = &first.finding;
    let mut rating = json!({ "severity": severity(finding.severity) });
    if let Some(score) = finding.score {
        rating["score"] = json!(score);
    }
    let affects = found.iter().map(|(platform, judged)| {
        let f = &judged.finding;
        let has_inventory = verdict.inventories.contains_key(&platform.digest);
        let inside = f
            .purl
            .as_ref()
            .zip(f.path.as_ref())
            .filter(|_| has_inventory && f.source.starts_with("builtin"));
        let reference = inside.map(|(purl, path)| reference(platform, purl, path));
        json!({
            "ref": reference.unwrap_or_else(|| platform.digest.to_string()),
            "versions": [{ "version": f.version, "status": "affected" }],
        })
    });
    let mut affects: Vec<Value> = affects.collect();
    affects.dedup();
    let (result, reason) = word(&first.judgement);
    let mut entry = json!({
        "id": finding.id,
        "source": { "name": finding.source },
        "references": finding.aliases.iter().map(|a| json!({ "id": a, "source": { "name": "alias" } })).collect::<Vec<_>>(),
        "ratings": [rating],
        "description": finding.title,
        "affects": affects,
        "properties": [
            { "name": "imgmake:result", "value": result },
            { "name": "imgmake:reason", "value": reason },
        ],
    });
    if let Some(fixed) = &finding.fixed {
        entry["recommendation"] = json!(format!("Upgrade {} to {fixed}", finding.package));
    }
    entry
}

fn severity(severity: Severity) -> &'static str {
    severity.word()
}
