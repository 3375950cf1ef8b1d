//! SPDX 2.3, JSON: images and the packages that they contain.

use serde_json::{Value, json};

use super::document::{Header, sentences, shown, unread, uuid};
use crate::inventory::{Inventory, Located};
use crate::{ImageVerdict, PlatformVerdict, Verdict, purl};

pub fn document(header: &Header, verdict: &Verdict) -> Value {
    let mut packages = Vec::new();
    let mut relationships = Vec::new();
    let mut digests = Vec::new();
    for image in &verdict.images {
        for platform in &image.platforms {
            digests.push(platform.digest.as_str());
            let id = format!("SPDXRef-Image-{}", packages.len());
            packages.push(container(&id, image, platform, verdict));
            relationships.push(relation("SPDXRef-DOCUMENT", "DESCRIBES", &id));
            if let Some(inventory) = verdict.inventories.get(&platform.digest) {
                contents(&id, inventory, &mut packages, &mut relationships);
            }
        }
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": header.target,
        "documentNamespace": format!("https://imgmake.invalid/spdx/{}", uuid(&digests.join(" "))),
        "creationInfo": {
            "created": header.created,
            "creators": [concat!("Tool: imgmake-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !verdict.bases.is_empty() {
        document["comment"] = json!(sentences(verdict).join("\n"));
    }
    document
}

fn container(
    id: &str,
    image: &ImageVerdict,
    platform: &PlatformVerdict,
    verdict: &Verdict,
) -> Value {
    let mut package = package(id, &image.name, platform.digest.as_str());
    package["primaryPackagePurpose"] = json!("CONTAINER");
    package["checksums"] =
        json!([{ "algorithm": "SHA256", "checksumValue": platform.digest.hex() }]);
    let platform_line = std::iter::once(platform.platform.to_string());
    let unread = unread(verdict, &platform.digest).iter();
    let lines = platform_line.chain(unread.map(|what| format!("not read: {}", shown(what))));
    package["comment"] = json!(lines.collect::<Vec<_>>().join("\n"));
    package
}

fn contents(
    image: &str,
    inventory: &Inventory,
    packages: &mut Vec<Value>,
    relationships: &mut Vec<Value>,
) {
    for located in &inventory.packages {
        let id = format!("SPDXRef-Package-{}", packages.len());
        packages.push(library(&id, located, inventory));
        relationships.push(relation(image, "CONTAINS", &id));
    }
}

fn library(id: &str, located: &Located, inventory: &Inventory) -> Value {
    let p = &located.package;
    let mut package = package(id, &shown(&p.name), &shown(&p.version));
    package["externalRefs"] = json!([{
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl::of(p, inventory.distribution.as_ref()),
    }]);
    package["sourceInfo"] = json!(format!(
        "found in /{} of layer {}",
        shown(&located.path),
        located.layer
    ));
    if let Some(license) = &p.license {
        package["licenseComments"] = json!(format!("declared as: {}", shown(license)));
    }
    package
}

fn package(id: &str, name: &str, version: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    })
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({
        "spdxElementId": from,
        "relationshipType": kind,
        "relatedSpdxElement": to,
    })
}
