//! The verdict of a gate as an attestation that a later push demands, on another machine and of every platform.

use std::path::Path;

use serde_json::{Value, json};

use crate::ground::cosign::{Signer, put_manifest};
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::web::{Answer, Web};
use crate::ground::{temporary, write};
use crate::signing::{bundles, opened};

const VERDICT: &str = "https://github.com/imgmake/imgmake/verdict/v1";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// left-pad has a hole that the gate ignores.
fn advisory() -> String {
    r#"{"id":"CVE-2026-1","modified":"2026-01-01T00:00:00Z",
        "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},
            "ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}"#
        .to_string()
}

/// What the project says, with the lines of the gate and of what the promotion demands.
fn manifest(host: &str, source: &str, gate: &str, demand: &str) -> String {
    format!(
        r#"imgmake version=1 {{ every-push needs-gate }}
registry hub "{host}"
build app {{ context "."; platforms "linux/amd64" "linux/arm64"; format "oci" }}
scan gate {{
    images app
    advisories "advisories"
    ignore "CVE-2026-1" reason="not reachable"
    {gate}
}}
push release {{ images app; needs gate; to hub {{ tags "1" }}; sign key="cosign.key"; attest "verdict" }}
push promote {{ from image="{source}/app:1"; to hub {{ repository "prod"; tags "1" }}; needs-attestation gate key="ci.pub" {demand} }}
"#
    )
}

/// The machine that builds and scans.
fn ci(registry: &Registry, signer: &Signer, content: &str) -> tempfile::TempDir {
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "Dockerfile",
        "FROM scratch\nCOPY package.json /app/node_modules/left-pad/\n",
    );
    write(path, "package.json", content);
    write(path, "advisories/npm/a.json", advisory());
    write(
        path,
        "imgmake.kdl",
        manifest(&registry.host, &registry.host, "", ""),
    );
    std::fs::copy(signer.private(), path.join("cosign.key")).unwrap();
    std::fs::copy(signer.public(), path.join("ci.pub")).unwrap();
    directory
}

const LEFT_PAD: &str = r#"{"name":"left-pad","version":"1.3.0"}"#;

/// The machine that publishes: the project and the public key, an empty store.
fn elsewhere(signer: &Signer, manifest: &str) -> (tempfile::TempDir, Imgmake) {
    let directory = temporary();
    write(directory.path(), "imgmake.kdl", manifest);
    write(directory.path(), "advisories/npm/a.json", advisory());
    std::fs::copy(signer.public(), directory.path().join("ci.pub")).unwrap();
    (directory, Imgmake::new())
}

fn children(registry: &Registry, name: &str) -> Vec<Value> {
    let index = registry.manifest(name, "1");
    index["manifests"].as_array().unwrap().clone()
}

fn digest(child: &Value) -> &str {
    child["digest"].as_str().unwrap()
}

/// How the registry names what refers to a manifest, for it has no API for that.
fn fallback(digest: &str) -> String {
    digest.replace(':', "-")
}

#[test]
fn a_verdict_is_signed_and_publishes_the_image_elsewhere() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let built = ci(&registry, &signer, LEFT_PAD);
    let imgmake = Imgmake::new();
    let ran = imgmake.ok(built.path(), &["release"]);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("attached the verdict of a gate"));
    let found = children(&registry, "app");
    assert_eq!(found.len(), 2);
    for child in &found {
        let statements = bundles(&registry, digest(child));
        let verdicts = statements.iter().filter(|(kind, _)| kind == VERDICT);
        let verdicts: Vec<Value> = verdicts
            .map(|(_, bundle)| opened(&signer, bundle))
            .collect();
        assert_eq!(verdicts.len(), 1);
        let statement = &verdicts[0];
        let subject = statement["subject"][0]["digest"]["sha256"]
            .as_str()
            .unwrap();
        assert_eq!(digest(child), format!("sha256:{subject}"));
        let verdict = &statement["predicate"];
        assert_eq!(verdict["result"], "passed");
        assert_eq!(verdict["gate"], "gate");
        assert_eq!(verdict["scanner"], "builtin");
        assert_eq!(verdict["image"]["digest"], digest(child));
        assert_eq!(verdict["image"]["platform"], child["platform"]);
        let policy = verdict["policy"]["digest"].as_str().unwrap();
        assert!(policy.starts_with("blake3:"));
        let database = &verdict["databases"][0];
        assert_eq!(database["kind"], "advisories");
        assert_eq!(database["date"], "2026-01-01T00:00:00Z");
        assert!(database["digest"].as_str().unwrap().starts_with("blake3:"));
        assert_eq!(verdict["findings"]["refused"], 0);
        assert_eq!(verdict["findings"]["ignored"], 1);
        let ignored = &verdict["ignored"][0];
        assert_eq!(ignored["id"], "CVE-2026-1");
        assert!(
            ignored["reason"]
                .as_str()
                .unwrap()
                .contains("not reachable")
        );
        assert_eq!(verdict["verifier"]["version"], env!("CARGO_PKG_VERSION"));
        let time: jiff::Timestamp = verdict["timeJudged"].as_str().unwrap().parse().unwrap();
        assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 600);
    }
    let name = format!("{}/app:1", registry.host);
    imgmake.ok(
        built.path(),
        &["verify", &name, "-k", "ci.pub", "-t", "verdict"],
    );

    let text = manifest(&registry.host, &registry.host, "", "max-age=\"7d\"");
    let (directory, other) = elsewhere(&signer, &text);
    other.ok(directory.path(), &["promote"]);
    assert_eq!(registry.digest("prod", "1"), registry.digest("app", "1"));

    // The gate is up to date, and judges again for what it says, which is there.
    write(
        built.path(),
        "imgmake.kdl",
        manifest(&registry.host, &registry.host, "", "")
            .replace("tags \"1\" }; sign", "tags \"1\" \"2\" }; sign"),
    );
    imgmake.ok(built.path(), &["release"]);
    let again = bundles(&registry, digest(&found[0]));
    assert_eq!(again.iter().filter(|(kind, _)| kind == VERDICT).count(), 1);
    write(
        built.path(),
        "advisories/npm/a.json",
        advisory().replace("2026-01-01", "2026-01-02"),
    );
    imgmake.ok(built.path(), &["--force", "release"]);
    let later = bundles(&registry, digest(&found[0]));
    assert_eq!(later.iter().filter(|(kind, _)| kind == VERDICT).count(), 2);
}

/// Through the registry's API for referrers, where there is one.
#[test]
fn verdicts_are_found_by_the_api_for_referrers_too() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let built = ci(&registry, &signer, LEFT_PAD);
    Imgmake::new().ok(built.path(), &["release"]);
    let children = children(&registry, "app");
    let answers: Vec<Answer> = children
        .iter()
        .map(|child| Answer {
            request: format!("GET /v2/app/referrers/{}", digest(child)),
            status: 200,
            kind: INDEX,
            body: registry
                .manifest("app", &fallback(digest(child)))
                .to_string(),
        })
        .collect();
    let front = Web::answering(&registry.host, &answers);
    for child in &children {
        let tag = registry.link("app", &fallback(digest(child)));
        std::fs::remove_file(tag).unwrap();
    }
    let text = manifest(&registry.host, &front.host, "", "");
    let (directory, other) = elsewhere(&signer, &text);
    other.ok(directory.path(), &["promote"]);
    assert_eq!(registry.digest("prod", "1"), registry.digest("app", "1"));
}

/// Nothing is published for which not every verdict is what it must be.
#[test]
fn a_verdict_of_something_else_publishes_nothing() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let built = ci(&registry, &signer, LEFT_PAD);
    let imgmake = Imgmake::new();
    imgmake.ok(built.path(), &["release"]);
    let refused = |path: &Path, says: &[&str]| {
        Imgmake::new().refused(path, &["promote"], 3, says);
        assert_eq!(registry.digest("prod", "1"), None);
    };
    let with = |signer: &Signer, gate: &str, demand: &str| {
        elsewhere(
            signer,
            &manifest(&registry.host, &registry.host, gate, demand),
        )
        .0
    };

    // Signed by another key; of another policy; too old; no database here that could be the same.
    let foreign = with(&Signer::new("P-256"), "", "");
    refused(
        foreign.path(),
        &[
            "has no valid verdict of the gate `gate`, signed with the key `ci.pub`",
            "none is signed with this key",
        ],
    );
    let changed = with(&signer, "fail-on severity=critical", "");
    refused(
        changed.path(),
        &["of another policy", "`attest \"verdict\"`"],
    );
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let old = with(&signer, "", "max-age=\"1s\"");
    refused(old.path(), &["days ago; at most 0.0 are allowed"]);
    // The advisories of the project are always those that judged.
    let same = with(&signer, "", "");
    write(
        same.path(),
        "advisories/npm/a.json",
        advisory().replace("CVE-2026-1", "CVE-2026-2"),
    );
    refused(same.path(), &["judged by other advisories"]);

    // Another image, without a verdict: neither that of the first one, nor an index with one platform of each helps.
    let first = registry.manifest("app", "1");
    let passed = children(&registry, "app");
    let statements = registry.manifest("app", &fallback(digest(&passed[0])));
    let plain = ci(
        &registry,
        &signer,
        r#"{"name":"left-pad","version":"1.3.1"}"#,
    );
    let manifest_without = std::fs::read_to_string(plain.path().join("imgmake.kdl")).unwrap();
    write(
        plain.path(),
        "imgmake.kdl",
        manifest_without.replace("; sign key=\"cosign.key\"; attest \"verdict\"", ""),
    );
    Imgmake::new().ok(plain.path(), &["release"]);
    let good = with(&signer, "", "");
    refused(good.path(), &["none was found"]);
    let unjudged = children(&registry, "app");
    let swapped: Vec<Value> = statements["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let mut manifest = registry.json(entry["digest"].as_str().unwrap());
            manifest["subject"]["digest"] = json!(digest(&unjudged[0]));
            let mut entry = entry.clone();
            entry["digest"] = json!(put_manifest(&registry, "app", "swapped", &manifest));
            entry["size"] = json!(manifest.to_string().len());
            entry
        })
        .collect();
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": swapped});
    put_manifest(&registry, "app", &fallback(digest(&unjudged[0])), &list);
    refused(good.path(), &[digest(&unjudged[0]), "for other images"]);
    let mut mixed = first.clone();
    mixed["manifests"] = json!([passed[0], unjudged[1]]);
    put_manifest(&registry, "app", "1", &mixed);
    refused(good.path(), &[digest(&unjudged[1]), "none was found"]);

    // Named as an image of another platform; with an attestation beside it of which nobody said a word.
    let mut renamed = first.clone();
    let (one, two) = (passed[0]["platform"].clone(), passed[1]["platform"].clone());
    renamed["manifests"][0]["platform"] = two;
    renamed["manifests"][1]["platform"] = one;
    put_manifest(&registry, "app", "1", &renamed);
    refused(good.path(), &["the image is named as one for linux/"]);
    // Its layer is a blob that the registry has.
    let config = registry.json(digest(&passed[0]))["config"].clone();
    let beside = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [{
            "mediaType": "application/vnd.in-toto+json",
            "digest": config["digest"],
            "size": config["size"],
        }],
    });
    let mut attested = first.clone();
    attested["manifests"].as_array_mut().unwrap().push(json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": put_manifest(&registry, "app", "beside", &beside),
        "size": beside.to_string().len(),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": digest(&passed[0]),
        },
    }));
    put_manifest(&registry, "app", "1", &attested);
    refused(
        good.path(),
        &["an attestation by another builder", "--provenance=false"],
    );

    put_manifest(&registry, "app", "1", &first);
    Imgmake::new().ok(good.path(), &["promote"]);
}

/// Whoever may write beside an image can put any number of statements there. Those of the demanded key are known by
/// their marks, and nobody else can make one.
#[test]
fn a_flood_of_attestations_neither_hides_a_verdict_nor_gives_one() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let built = ci(&registry, &signer, LEFT_PAD);
    Imgmake::new().ok(built.path(), &["release"]);
    let image = digest(&children(&registry, "app")[0]).to_string();
    let listed = registry.manifest("app", &fallback(&image))["manifests"].clone();
    let own = &listed[0];
    let mark = own["annotations"]["dev.imgmake.statement"]
        .as_str()
        .unwrap();
    let other = |at: usize| {
        let mut entry = own.clone();
        entry["digest"] = json!(format!("sha256:{at:064x}"));
        entry
    };
    // The key's own, repeated; later than every other, as far as they say themselves; none.
    let copied: Vec<Value> = (0..3000).map(other).collect();
    let forged = (0..3000).map(|at| {
        let mut entry = other(at);
        entry["annotations"]["dev.imgmake.statement"] = json!(format!("9{at}{mark}"));
        entry
    });
    let bare = (0..3000).map(|at| {
        let mut entry = other(at);
        entry["annotations"] = json!({});
        entry
    });
    let (forged, bare): (Vec<Value>, Vec<Value>) = (forged.collect(), bare.collect());
    let list =
        |entries: Vec<Value>| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let with = |entries: Vec<Value>| {
        let request = format!("GET /v2/app/referrers/{image}");
        let answer = Answer {
            request,
            status: 200,
            kind: INDEX,
            body: list(entries).to_string(),
        };
        let front = Web::answering(&registry.host, &[answer]);
        let text = manifest(&registry.host, &front.host, "", "");
        let (project, imgmake) = elsewhere(&signer, &text);
        (front, project, imgmake)
    };
    let tagged = registry.link("app", &fallback(&image));
    std::fs::remove_file(tagged).unwrap();
    for flood in [&copied, &forged, &bare] {
        let all = flood.iter().chain([own]).cloned().collect();
        let (_front, project, imgmake) = with(all);
        imgmake.ok(project.path(), &["promote"]);
    }
    // Without the verdict the flood ends the search, not the machine.
    for flood in [&forged, &bare] {
        let (_front, project, imgmake) = with(flood.clone());
        let says = [
            "none is signed with this key",
            "too many attestations beside it",
        ];
        imgmake.refused(project.path(), &["promote"], 3, &says);
    }
    // A mark of the key whose bundle is gone may be a newer verdict.
    let bundle = mark
        .split(' ')
        .nth(1)
        .unwrap()
        .trim_start_matches("sha256:");
    let mut files = registry.blob_files().into_iter();
    let file = files.find(|file| file.to_string_lossy().contains(bundle));
    std::fs::remove_file(file.unwrap()).unwrap();
    let (_front, project, imgmake) = with(vec![own.clone()]);
    imgmake.refused(
        project.path(),
        &["promote"],
        3,
        &["none is signed with this key"],
    );
}

/// What was attached before the registry had an API for referrers is in the tag alone.
#[test]
fn a_verdict_in_the_fallback_tag_counts_beside_the_api() {
    let (registry, signer) = (Registry::start(), Signer::new("P-256"));
    let built = ci(&registry, &signer, LEFT_PAD);
    Imgmake::new().ok(built.path(), &["release"]);
    let answer = Answer {
        request: "GET /v2/app/referrers/".to_string(),
        status: 200,
        kind: INDEX,
        body: json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).to_string(),
    };
    let front = Web::answering(&registry.host, &[answer]);
    let text = manifest(&registry.host, &front.host, "", "");
    let (directory, other) = elsewhere(&signer, &text);
    other.ok(directory.path(), &["promote"]);
}

#[test]
fn what_demands_or_attests_a_verdict_must_name_a_gate_and_a_key() {
    let project = temporary();
    let refused = |push: &str, says: &[&str]| {
        let text = format!(
            "registry hub \"localhost:1\"\nbuild app {{ context \".\" }}\nscan gate {{ images app }}\nscan new {{ images app; only-new base=\"r.example.com/app:1\" }}\npush p {{ images app; to hub {{ tags \"1\" }}; {push} }}\n"
        );
        write(project.path(), "imgmake.kdl", text);
        Imgmake::new().refused(project.path(), &["plan", "p"], 2, says);
    };
    refused("needs-attestation gate", &["`key=\"FILE\"`"]);
    refused(
        "needs-attestation key=\"k\"",
        &["the name of a `scan` target"],
    );
    refused(
        "needs-attestation gat key=\"k\"",
        &["`gat` not found", "gate"],
    );
    refused("needs-attestation app key=\"k\"", &["`app` is not a gate"]);
    refused(
        "needs-attestation new key=\"k\"",
        &[
            "the gate `new` compares with `r.example.com/app:1`, which has no digest",
            "@sha256",
        ],
    );
    refused(
        "needs-attestation gate key=\"k\"; needs-attestation gate key=\"k\"",
        &["gate"],
    );
    refused("needs gate; attest \"verdict\"", &["without a signature"]);
    refused(
        "sign key=\"k\"; attest \"verdict\"",
        &["attests a verdict, but no gate gives one"],
    );
}
