//! What advisories call packages, versions and their own parts, however they write it.

use serde_json::{Value, json};

use super::osv::Document;
use super::tests::{database, ids};

fn about(id: &str, ecosystem: &str, name: &str) -> Value {
    json!({"id": id, "affected": [{
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]})
}

#[test]
fn a_name_in_another_case_is_no_other_package() {
    let (_keep, db) = database(&[
        about("D", "Debian:12", "OpenSSL"),
        about("A", "Alpine:v3.20", " busybox "),
        about("G", "Go", "github.com/sirupsen/logrus"),
        about("M", "Maven", "Org.Apache.Logging.Log4j:Log4j-Core"),
        about("R", "RubyGems", "redcloth"),
        about("C", "crates.io", "Serde_JSON"),
        about("L", "AlmaLinux:9", "imagemagick"),
    ]);
    for (id, ecosystem, name) in [
        ("D", "Debian:12", "openssl"),
        ("A", "Alpine:v3.20", "busybox"),
        ("G", "Go", "github.com/Sirupsen/logrus"),
        ("M", "Maven", "org.apache.logging.log4j:log4j-core"),
        ("R", "RubyGems", "RedCloth"),
        ("C", "crates.io", "serde_json"),
        ("L", "AlmaLinux:9", "ImageMagick"),
    ] {
        let answer = db.ask(ecosystem, name, "1").unwrap();
        assert_eq!(ids(&answer), [id], "{ecosystem} {name}");
    }
}

/// `JSONStream` and `jsonstream` are two packages. An advisory that says neither wrongly reaches
/// its own alone; one with capitals may mean the newer.
#[test]
fn old_packages_of_npm_are_told_apart_by_case() {
    let (_keep, db) = database(&[about("S", "npm", "JSONStream"), about("B", "npm", "base64")]);
    let found = |name: &str| db.ask("npm", name, "1.0.0").unwrap().hits.len();
    assert_eq!(found("JSONStream"), 1);
    assert_eq!(found("jsonstream"), 1);
    assert_eq!(found("base64"), 1);
    assert_eq!(found("Base64"), 0);
}

#[test]
fn a_listed_version_is_found_however_it_is_written() {
    let listed = |ecosystem: &str, version: &str| {
        json!({"id": "V", "affected": [{
            "package": {"ecosystem": ecosystem, "name": "a"}, "versions": [version]}]})
    };
    for (ecosystem, written, installed) in [
        ("npm", "v1.3.0", "1.3.0"),
        ("npm", "=1.3.0", "1.3.0"),
        ("Go", "1.2.0", "v1.2.0"),
        ("crates.io", "1.0", "1.0.0"),
        ("Maven", "1.0", "1.0.0"),
        ("RubyGems", "1.0", "1.0.0"),
        ("Debian:12", "0:1.0-1", "1.0-1"),
    ] {
        let (_keep, db) = database(&[listed(ecosystem, written)]);
        let answer = db.ask(ecosystem, "a", installed).unwrap();
        assert_eq!(ids(&answer), ["V"], "{ecosystem} {written} {installed}");
        let answer = db.ask(ecosystem, "a", "3.0.0").unwrap();
        assert_eq!(ids(&answer), [""; 0], "{ecosystem} {written}");
    }
}

#[test]
fn a_document_that_hides_what_it_is_about_is_an_error() {
    let versions = json!(["1.0.0"]);
    let package = json!({"ecosystem": "npm", "name": "a"});
    for (document, why) in [
        (
            json!({"id": "K", "Affected": [{"package": package, "versions": versions}]}),
            "the key is written `affected`",
        ),
        (
            json!({"id": "K", "affected": [], "AFFECTED": []}),
            "the key is written `affected`",
        ),
        (
            json!({"id": "K", "affected": [{"Package": package, "versions": versions}]}),
            "names no `package`",
        ),
        (
            json!([{"id": "K", "affected": [{"ranges": [{"type": "SEMVER", "events": []}]}]}]),
            "names no `package`",
        ),
    ] {
        let error = Document::parse(document.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(why), "{document}: {error}");
    }
    for document in [
        json!({"id": "K"}),
        json!({"id": "K", "affected": [{"ranges": [{"type": "GIT", "events": []}], "versions": versions}]}),
    ] {
        assert!(Document::parse(document.to_string().as_bytes()).is_ok());
    }
}
