use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::documents::{self, Limits};
use super::osv::Document;
use super::range::{Event, Inclusion, RangeKind};
use super::*;
use crate::version::Scheme;
use imgmake_event::Cancel;

pub fn database(documents: &[serde_json::Value]) -> (tempfile::TempDir, Database) {
    let directory = tempfile::tempdir().unwrap();
    let advisories = directory.path().join("advisories");
    fs::create_dir(&advisories).unwrap();
    for (i, document) in documents.iter().enumerate() {
        fs::write(advisories.join(format!("{i}.json")), document.to_string()).unwrap();
    }
    let index = directory.path().join("db");
    let database = open(&[advisories], &index, &Cancel::default()).unwrap();
    (directory, database)
}

pub fn ids(answer: &Answer) -> Vec<&str> {
    answer.hits.iter().map(|h| h.id.as_str()).collect()
}

fn with_events(kind: &str, events: serde_json::Value) -> serde_json::Value {
    json!({"id": "TEST-1", "modified": "2025-01-01T00:00:00Z", "affected": [{
        "package": {"ecosystem": "npm", "name": "left"},
        "ranges": [{"type": kind, "events": events}]}]})
}

#[test]
fn what_a_distribution_calls_related_is_kept_where_nothing_else_says_what_it_is_about() {
    let document = |id: &str, upstream: &[&str]| {
        json!({"id": id, "related": ["CVE-2026-2", "CVE-2026-1"], "upstream": upstream, "affected": [{
            "package": {"ecosystem": "AlmaLinux:9", "name": id},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]})
    };
    let (_keep, db) = database(&[document("ALSA-1", &[]), document("ALSA-2", &["CVE-2026-3"])]);
    let related = |name: &str| {
        let answer = db.ask("AlmaLinux:9", name, "1").unwrap();
        answer.hits[0].related.clone()
    };
    assert_eq!(related("ALSA-1"), ["CVE-2026-1", "CVE-2026-2"]);
    assert_eq!(related("ALSA-2"), [""; 0]);
}

#[test]
fn a_database_has_an_end() {
    let keep = tempfile::tempdir().unwrap();
    let document = with_events("SEMVER", json!([{"introduced": "0"}])).to_string();
    let write = |name: &str, text: &str| fs::write(keep.path().join(name), text).unwrap();
    let read = |bytes: u64, records: u64| {
        let sources = super::sources::find(&[keep.path().to_path_buf()], &Cancel::default());
        let (mut count, limits) = (0, Limits { bytes, records });
        let read = documents::read(&sources.unwrap(), limits, &Cancel::default(), &mut |_| {
            count += 1;
        });
        read.map(|_| count).map_err(|error| format!("{error:#}"))
    };
    write("a.json", &document);
    write("b.jsonl", &format!("{document}\n{document}\n"));
    let bytes = 3 * document.len() as u64 + 2;
    // Each document names a package.
    assert_eq!(read(bytes, 6), Ok(3));
    assert!(
        read(bytes - 1, 6)
            .unwrap_err()
            .contains("bytes of documents")
    );
    assert!(
        read(bytes, 5)
            .unwrap_err()
            .contains("documents and packages")
    );
    // Blank lines are no documents, and take time.
    write("c.jsonl", &"\n".repeat(1000));
    assert!(read(bytes, 6).is_err());
    assert_eq!(read(bytes + 1000, 6), Ok(3));
    let cancel = Cancel::default();
    cancel.cancel();
    let source = super::sources::find(&[keep.path().join("c.jsonl")], &Cancel::default());
    let read = documents::read(&source.unwrap(), Limits::DATABASE, &cancel, &mut |_| {});
    assert!(read.unwrap_err().is_cancelled());
}

#[test]
fn an_index_that_nobody_asks_goes_after_a_time() {
    let keep = tempfile::tempdir().unwrap();
    let at = |name: &str| keep.path().join(name);
    let index = at("index");
    let count = || fs::read_dir(&index).unwrap().count();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(8 * 86400);
    let age = || {
        for entry in fs::read_dir(&index).unwrap() {
            let file = fs::File::open(entry.unwrap().path()).unwrap();
            file.set_modified(long_ago).unwrap();
        }
    };
    let ask = |name: &str| open(&[at(name)], &index, &Cancel::default()).unwrap();
    for name in ["a", "b", "c"] {
        fs::create_dir(at(name)).unwrap();
        let document = with_events("SEMVER", json!([{"introduced": "0"}]));
        fs::write(at(name).join("1.json"), document.to_string()).unwrap();
    }
    ask("a");
    ask("b");
    assert_eq!(count(), 2);
    age();
    // Asked again, it is not old.
    ask("b");
    ask("c");
    assert_eq!(count(), 2);
}

#[test]
fn a_version_is_affected_from_introduced_until_fixed() {
    let events = json!([{"introduced": "1.0.0"}, {"fixed": "1.2.0"}, {"introduced": "2.0.0"}, {"fixed": "2.1.0"}]);
    let (_keep, db) = database(&[with_events("SEMVER", events)]);
    for (version, affected, fixed) in [
        ("0.9.0", false, None),
        ("1.0.0", true, Some("1.2.0")),
        ("1.1.9", true, Some("1.2.0")),
        ("1.2.0", false, None),
        ("2.0.5", true, Some("2.1.0")),
        ("2.1.0", false, None),
    ] {
        let answer = db.ask("npm", "left", version).unwrap();
        assert_eq!(!answer.hits.is_empty(), affected, "{version}");
        let found = answer.hits.first().and_then(|h| h.fixed.as_deref());
        assert_eq!(found, fixed, "{version}");
    }
}

#[test]
fn events_count_by_version_whatever_their_order_in_the_file() {
    let events = json!([{"fixed": "2.1.0"}, {"introduced": "2.0.0"}, {"fixed": "1.2.0"}, {"introduced": "0"}]);
    let (_keep, db) = database(&[with_events("SEMVER", events)]);
    for (version, affected) in [
        ("0.0.1", true),
        ("1.2.0", false),
        ("2.0.0", true),
        ("3.0.0", false),
    ] {
        let answer = db.ask("npm", "left", version).unwrap();
        assert_eq!(!answer.hits.is_empty(), affected, "{version}");
    }
}

#[test]
fn the_last_affected_version_is_affected() {
    let events = json!([{"introduced": "0"}, {"last_affected": "1.5.0"}]);
    let (_keep, db) = database(&[with_events("ECOSYSTEM", events)]);
    assert_eq!(db.ask("npm", "left", "1.5.0").unwrap().hits.len(), 1);
    assert_eq!(db.ask("npm", "left", "1.5.1").unwrap().hits.len(), 0);
}

#[test]
fn a_limit_bounds_a_range() {
    let events = json!([{"introduced": "0"}, {"limit": "2.0.0"}]);
    let (_keep, db) = database(&[with_events("SEMVER", events)]);
    assert_eq!(db.ask("npm", "left", "1.9.9").unwrap().hits.len(), 1);
    assert_eq!(db.ask("npm", "left", "2.0.0").unwrap().hits.len(), 0);
}

#[test]
fn commit_ranges_say_nothing_about_packages() {
    let events = json!([{"introduced": "0"}]);
    let (_keep, db) = database(&[with_events("GIT", events)]);
    assert_eq!(db.ask("npm", "left", "1.0.0").unwrap(), Answer::default());
}

#[test]
fn a_version_that_cannot_be_compared_is_reported_not_passed_over() {
    let events = json!([{"introduced": "1.0.0"}, {"fixed": "1.2.0"}]);
    let (_keep, db) = database(&[with_events("SEMVER", events)]);
    let answer = db.ask("npm", "left", "(devel)").unwrap();
    assert_eq!(answer.unjudged, ["TEST-1"]);
}

#[test]
fn an_advisory_that_does_not_say_which_versions_it_is_about_is_not_judged() {
    let begin = json!([{"introduced": "0"}]);
    let mut nothing = with_events("SEMVER", json!([]));
    nothing["affected"][0]["ranges"] = json!([]);
    for document in [
        nothing,
        with_events("semver", begin.clone()),
        with_events("NEWER", begin),
        with_events("SEMVER", json!([])),
        with_events("SEMVER", json!([{"fixed": "2.0.0"}])),
    ] {
        let (_keep, db) = database(std::slice::from_ref(&document));
        let answer = db.ask("npm", "left", "1.0.0").unwrap();
        assert_eq!(answer.unclear, ["TEST-1"], "{document}");
        assert!(answer.hits.is_empty());
    }
    // What lists versions says it, whatever else is in it.
    let mut listed = with_events("NEWER", json!([]));
    listed["affected"][0]["versions"] = json!(["1.0.0"]);
    let (_keep, db) = database(&[listed]);
    assert_eq!(ids(&db.ask("npm", "left", "1.0.0").unwrap()), ["TEST-1"]);
    let mut git = with_events("GIT", json!([{"introduced": "0"}]));
    git["affected"][0]["versions"] = json!(["1.0.0"]);
    let (_keep, db) = database(&[git]);
    assert_eq!(db.ask("npm", "left", "2.0.0").unwrap(), Answer::default());
}

#[test]
fn what_is_withdrawn_some_day_or_at_no_time_counts() {
    for (time, count) in [
        (json!("2025-01-01T00:00:00Z"), 0),
        (json!("9000-01-01T00:00:00Z"), 1),
        (json!(""), 1),
        (json!(null), 1),
    ] {
        let mut document = with_events("SEMVER", json!([{"introduced": "0"}]));
        document["withdrawn"] = time.clone();
        let (_keep, db) = database(&[document]);
        let hits = db.ask("npm", "left", "1.0.0").unwrap().hits;
        assert_eq!(hits.len(), count, "{time}");
    }
}

#[test]
fn names_of_ecosystems_are_found_in_any_case() {
    let mut document = with_events("ECOSYSTEM", json!([{"introduced": "0"}]));
    document["affected"][0]["package"] = json!({"ecosystem": " debian:12 ", "name": "openssl"});
    let (_keep, db) = database(&[document]);
    assert!(db.covers("Debian:12"));
    assert_eq!(db.newest_of("Debian"), Some("2025-01-01T00:00:00Z"));
    assert_eq!(db.ask("Debian:12", "openssl", "1").unwrap().hits.len(), 1);
}

/// What somebody put among the advisories and nobody reads would be missing.
#[test]
fn files_in_other_forms_among_the_advisories_are_errors_and_no_endings_are_lost() {
    let text = with_events("SEMVER", json!([{"introduced": "0"}])).to_string();
    let zip = |name: &str| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        std::io::Write::write_all(&mut zip, text.as_bytes()).unwrap();
        zip.finish().unwrap().into_inner()
    };
    let line = || text.clone().into_bytes();
    for (name, content, is_read) in [
        ("A.JSON", line(), true),
        ("a.ndjson", line(), true),
        ("a.Zip", zip("A.JSON"), true),
        ("a.zip", zip("b.zip"), false),
        ("a.zip", zip("b.yaml"), false),
        ("a.zip", zip("b.jsonl"), false),
        ("a.yaml", line(), false),
        ("a.json.zst", line(), false),
        ("all.tar.gz", line(), false),
        ("a.osv", line(), false),
    ] {
        let keep = tempfile::tempdir().unwrap();
        let advisories = keep.path().join("advisories");
        fs::create_dir(&advisories).unwrap();
        fs::write(advisories.join("README.md"), "Ours.").unwrap();
        fs::write(advisories.join(name), content).unwrap();
        let opened = open(&[advisories], &keep.path().join("db"), &Cancel::default());
        match (opened, is_read) {
            (Ok(db), true) => assert_eq!(db.advisories(), 1, "{name}"),
            (Err(error), false) => {
                let text = format!("{error:#}");
                assert!(text.contains(name) && text.contains("expected"), "{text}");
            }
            (_, _) => panic!("{name}"),
        }
    }
}

#[test]
fn a_newer_schema_is_an_error() {
    let mut document = with_events("SEMVER", json!([{"introduced": "0"}]));
    for (version, is_read) in [("1.7.3", true), ("2.0.0", false)] {
        document["schema_version"] = json!(version);
        let text = document.to_string();
        assert_eq!(
            Document::parse(text.as_bytes()).is_ok(),
            is_read,
            "{version}"
        );
    }
}

#[test]
fn listed_versions_are_affected_and_withdrawn_advisories_say_nothing() {
    let listed = json!({"id": "PYSEC-1", "affected": [{
        "package": {"ecosystem": "PyPI", "name": "Flask_Login"}, "versions": ["1.0", "1.1rc1"]}]});
    let mut withdrawn = with_events("SEMVER", json!([{"introduced": "0"}]));
    withdrawn["withdrawn"] = json!("2025-01-01T00:00:00Z");
    let (_keep, db) = database(&[listed, withdrawn]);
    assert_eq!(
        ids(&db.ask("PyPI", "flask.login", "1.1.rc1").unwrap()),
        ["PYSEC-1"]
    );
    assert_eq!(db.ask("PyPI", "flask-login", "1.2").unwrap().hits.len(), 0);
    assert_eq!(db.ask("npm", "left", "1.0.0").unwrap().hits.len(), 0);
}

#[test]
fn a_listed_version_is_found_however_it_is_written() {
    let listed = |ecosystem: &str, version: &str| {
        json!({"id": format!("L-{ecosystem}"), "affected": [{
        "package": {"ecosystem": ecosystem, "name": "a/b"}, "versions": [version]}]})
    };
    let (_keep, db) = database(&[listed("Packagist", "v1.0.0"), listed("NuGet", "1.0-RC")]);
    for (ecosystem, version, found) in [
        ("Packagist", "1.0.0", 1),
        ("Packagist", "1.0", 1),
        ("Packagist", "1.0.1", 0),
        ("NuGet", "1.0.0-rc", 1),
        ("NuGet", "1.0.0", 0),
    ] {
        let hits = db.ask(ecosystem, "a/b", version).unwrap().hits;
        assert_eq!(hits.len(), found, "{ecosystem} {version}");
    }
}

#[test]
fn an_advisory_speaks_only_about_its_release() {
    let debian = |release: &str| {
        json!({"id": format!("D-{release}"), "affected": [{
        "package": {"ecosystem": format!("Debian:{release}"), "name": "openssl"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.0.11-1~deb12u2"}]}]}]})
    };
    let ubuntu = json!({"id": "U", "affected": [{
        "package": {"ecosystem": "Ubuntu:22.04:LTS", "name": "openssl"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]});
    let (_keep, db) = database(&[debian("11"), debian("12"), ubuntu]);
    assert_eq!(
        ids(&db.ask("Debian:12", "openssl", "3.0.11-1~deb12u1").unwrap()),
        ["D-12"]
    );
    assert_eq!(
        ids(&db.ask("Ubuntu:22.04", "openssl", "3.0.2-0ubuntu1").unwrap()),
        ["U"]
    );
    assert!(db.covers("Debian:11") && !db.covers("Debian:13") && !db.covers("Alpine:v3.20"));
}

#[test]
fn severity_comes_from_a_vector_else_from_the_databases_word() {
    let with = |id: &str, extra: serde_json::Value| {
        let mut document = with_events("SEMVER", json!([{"introduced": "0"}]));
        document["id"] = json!(id);
        document
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        document
    };
    let (_keep, db) = database(&[
        with(
            "a",
            json!({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}),
        ),
        with("b", json!({"database_specific": {"severity": "MODERATE"}})),
        with(
            "c",
            json!({"severity": [{"type": "Ubuntu", "score": "negligible"}]}),
        ),
        with("d", json!({})),
        with("e", json!({"severity": null, "aliases": null})),
    ]);
    let answer = db.ask("npm", "left", "1.0.0").unwrap();
    let severities: Vec<_> = answer
        .hits
        .iter()
        .map(|h| (h.id.as_str(), h.severity))
        .collect();
    assert_eq!(
        severities,
        [
            ("a", Severity::Critical),
            ("b", Severity::Medium),
            ("c", Severity::None),
            ("d", Severity::Unknown),
            ("e", Severity::Unknown),
        ]
    );
    assert_eq!(answer.hits[0].score, Some(9.8));
}

#[test]
fn an_upstream_id_is_an_alias_only_where_it_is_the_same_thing() {
    let parse = |text: &str| {
        Document::parse(text.as_bytes())
            .unwrap()
            .remove(0)
            .statements()
            .remove(0)
            .aliases
    };
    let affected = r#""affected":[{"package":{"ecosystem":"Debian:12","name":"x"}}]"#;
    let one = format!(r#"{{"id":"DEBIAN-CVE-2024-1","upstream":["CVE-2024-1"],{affected}}}"#);
    let many = format!(r#"{{"id":"DSA-1-1","upstream":["CVE-2024-1","CVE-2024-2"],{affected}}}"#);
    assert_eq!(parse(&one), ["CVE-2024-1"]);
    assert!(parse(&many).is_empty());
}

#[test]
fn a_zip_is_read_like_a_directory_and_an_edit_is_noticed() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    let (zip, index) = (
        directory.path().join("all.zip"),
        directory.path().join("db"),
    );
    let pack = |events: serde_json::Value| {
        let mut out = zip::ZipWriter::new(fs::File::create(&zip).unwrap());
        out.start_file("TEST-1.json", zip::write::SimpleFileOptions::default())
            .unwrap();
        out.write_all(with_events("SEMVER", events).to_string().as_bytes())
            .unwrap();
        out.finish().unwrap();
        open(std::slice::from_ref(&zip), &index, &Cancel::default()).unwrap()
    };
    let first = pack(json!([{"introduced": "0"}]));
    assert_eq!(first.ask("npm", "left", "1.0.0").unwrap().hits.len(), 1);
    let second = pack(json!([{"introduced": "0"}, {"fixed": "0.5.0"}]));
    assert_eq!(second.ask("npm", "left", "1.0.0").unwrap().hits.len(), 0);
    assert_ne!(first.digest(), second.digest());
    assert_eq!(
        fs::read_dir(&index).unwrap().count(),
        1,
        "the older index goes"
    );
    assert_eq!(second.newest(), Some("2025-01-01T00:00:00Z"));
}

#[test]
fn a_packed_batch_of_any_size_is_read_in_parts_or_refused() {
    let read = |bytes: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        let (zip, index) = (
            directory.path().join("all.zip"),
            directory.path().join("db"),
        );
        fs::write(&zip, bytes).unwrap();
        let opened = open(&[zip], &index, &Cancel::default());
        opened
            .map(|database| database.advisories())
            .map_err(|error| format!("{error:#}"))
    };
    let pack = |documents: &[(&str, &[u8])]| {
        use std::io::Write;
        let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in documents {
            let options = zip::write::SimpleFileOptions::default();
            out.start_file(*name, options).unwrap();
            out.write_all(bytes).unwrap();
        }
        out.finish().unwrap().into_inner()
    };
    let document = with_events("SEMVER", json!([{"introduced": "0"}])).to_string();
    let good = ("A-1.json", document.as_bytes());
    assert_eq!(read(&pack(&[good])), Ok(1));
    // 65 MiB of blanks, packed into some 64 kB; beside it what is sound does not count alone.
    let blanks = [document.as_bytes(), &vec![b' '; 65 << 20]].concat();
    let refused = read(&pack(&[good, ("B-1.json", &blanks)])).unwrap_err();
    assert!(
        refused.contains("B-1.json") && refused.contains("the document exceeds 64 MiB"),
        "{refused}"
    );
    // Documents that are large together are not held together.
    let large = [document.as_bytes(), &vec![b' '; 40 << 20]].concat();
    let names: Vec<String> = (0..6).map(|n| format!("C-{n}.json")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &large[..])).collect();
    assert!(read(&pack(&many)).is_ok());
    // Sizes that the packed bytes do not have, and names of the directory that lead nowhere.
    let sound = pack(&[good]);
    let central = sound.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    for (at, what) in [(16, "checksum"), (20, "packed size"), (42, "place")] {
        for value in [1u32, 0x7fff_ffff, 0xffff_fffe] {
            let mut hostile = sound.clone();
            hostile[central + at..central + at + 4].copy_from_slice(&value.to_le_bytes());
            // A packed text says itself where it ends; no size makes it none.
            let read = read(&hostile);
            let is_sound = what == "packed size" && read == Ok(1);
            assert!(is_sound || read.is_err(), "{what} {value}: {read:?}");
        }
    }
    for cut in [0, 1, sound.len() / 2, sound.len() - 1] {
        assert!(read(&sound[..cut]).is_err(), "{cut}");
    }
    // A text without an end in depth.
    let deep = [&b"{\"id\":"[..], &vec![b'['; 1 << 20]].concat();
    assert!(read(&pack(&[("D.json", &deep)])).is_err());
}

#[test]
fn a_document_that_is_not_osv_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("broken.json"), "{\"id\": 3").unwrap();
    let error = open(
        &[directory.path().to_path_buf()],
        &directory.path().join("db"),
        &Cancel::default(),
    );
    let text = format!("{:#}", error.err().unwrap());
    assert!(
        text.contains("broken.json") && text.contains("invalid OSV document"),
        "{text}"
    );
}

#[test]
fn a_damaged_index_is_made_again() {
    let (keep, _) = database(&[with_events("SEMVER", json!([{"introduced": "0"}]))]);
    let index = fs::read_dir(keep.path().join("db"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(&index, b"imgmake osv 0001 and then nothing").unwrap();
    let db = open(
        &[keep.path().join("advisories")],
        &keep.path().join("db"),
        &Cancel::default(),
    )
    .unwrap();
    assert_eq!(db.ask("npm", "left", "1.0.0").unwrap().hits.len(), 1);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Document::parse(&bytes);
    }

    #[test]
    fn a_range_from_zero_to_a_fix_holds_exactly_what_is_before_the_fix(a in 0u8..20, b in 0u8..20) {
        let range = Range { kind: RangeKind::Semver, events: vec![
            Event::Introduced("0".into()), Event::Fixed(format!("1.{b}.0")) ] };
        let inside = range.holds(&format!("1.{a}.0"), Scheme::Semver) != Inclusion::Outside;
        prop_assert_eq!(inside, a < b);
    }
}

#[test]
fn what_was_read_before_it_had_its_name_is_not_read_again() {
    let keep = tempfile::tempdir().unwrap();
    let (home, indexes) = (keep.path().join("osv"), keep.path().join("indexes"));
    std::fs::create_dir(&home).unwrap();
    let document = |id: &str| format!(r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z"}}"#);
    std::fs::write(home.join("b.json"), document("B")).unwrap();
    std::fs::write(home.join("c.json"), document("old")).unwrap();
    std::fs::write(home.join(".new-1"), document("C")).unwrap();
    let staged = [Staged {
        path: home.join(".new-1"),
        origin: "elsewhere/c.json".into(),
        name: "c.json".into(),
    }];
    let never = Cancel::default();
    let extended = extend(&home, &staged, &never).unwrap();
    std::fs::rename(home.join(".new-1"), home.join("c.json")).unwrap();
    extended.keep(&indexes, &never).unwrap();
    let names = || {
        let entries = std::fs::read_dir(&indexes).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let kept = names();
    let opened = open(std::slice::from_ref(&home), &indexes, &never).unwrap();
    assert_eq!((opened.advisories(), names()), (2, kept));
    std::fs::remove_dir_all(&indexes).unwrap();
    let again = open(&[home], &indexes, &never).unwrap();
    assert_eq!(again.digest(), opened.digest());
}
