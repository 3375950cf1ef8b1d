//! Packages inside of other files, and lists of them that other tools write.

use std::io::{Cursor, Write};

use serde_json::json;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::ground::{File, Ground, file};
use crate::Verdict;

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const PROPERTIES: &[u8] = b"groupId=org.example\nartifactId=core\nversion=2.14.1\n";

fn jar() -> Vec<u8> {
    zip(&[
        ("a/B.class", b"\xca\xfe\xba\xbe"),
        ("META-INF/maven/org.example/core/pom.properties", PROPERTIES),
    ])
}

fn binary(path: &str, bytes: Vec<u8>) -> File {
    (path.to_string(), 0o755, bytes)
}

fn scan(file: File) -> Verdict {
    let about = |ecosystem: &str, name: &str| {
        json!({"id": format!("{ecosystem}-1"), "affected": [{"package": {"ecosystem": ecosystem, "name": name},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]})
    };
    let ground = Ground::new()
        .advisory(about("Maven", "org.example:core"))
        .advisory(about("npm", "left-pad"))
        .advisory(about("NuGet", "Newtonsoft.Json"))
        .advisory(about("PyPI", "tool"));
    let image = ground.image("app", &[&[file]]);
    ground.scan(&[image])
}

#[track_caller]
fn finds(file: File, package: &str) {
    let verdict = scan(file);
    let found = verdict.images[0].platforms[0].findings.iter();
    let mut found = found.map(|j| format!("{} {}", j.finding.package, j.finding.version));
    let said = verdict.refusals.join("\n");
    assert!(found.any(|found| found == package), "{package}: {said}");
}

#[track_caller]
fn refuses(file: File, why: &str) {
    let said = scan(file).refusals.join("\n");
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_jar_is_found_in_whatever_java_reads() {
    let core = "org.example:core 2.14.1";
    let distribution = zip(&[("README", b"x"), ("app-1.0/lib/core.jar", &jar())]);
    finds(binary("opt/app-1.0.zip", distribution.clone()), core);
    finds(binary("opt/noname", distribution.clone()), core);
    let nested = zip(&[("all/app.zip", &distribution)]);
    finds(binary("opt/all.zip", nested), core);
    // What starts by itself: a script before the archive.
    let script = |length: usize| [b"#!/bin/sh\n", &vec![b'#'; length][..], b"\nexit\n"].concat();
    for length in [10, 20_000] {
        let program = [script(length), jar()].concat();
        finds(binary("usr/bin/app", program), core);
    }
    let module = zip(&[
        ("classes/module-info.class", b"\xca\xfe\xba\xbe"),
        (
            "classes/META-INF/maven/org.example/core/pom.properties",
            PROPERTIES,
        ),
    ]);
    let module = [&b"JM\x01\0"[..], &module].concat();
    finds(binary("opt/mods/org.example.core.jmod", module), core);
}

#[test]
fn what_is_no_archive_of_java_needs_nothing() {
    let classes: &[(&str, &[u8])] = &[("classes/A.class", b"\xca\xfe\xba\xbe")];
    let module = [&b"JM\x01\0"[..], &zip(classes)].concat();
    for harmless in [
        binary("srv/photos.zip", zip(&[("a.jpg", b"x")])),
        binary("srv/broken.zip", b"PK\x03\x04broken".to_vec()),
        binary("opt/jdk/jmods/java.base.jmod", module.clone()),
        file(
            "usr/bin/long",
            &format!("#!/bin/sh\n{}", "# x\n".repeat(5000)),
        ),
    ] {
        let verdict = scan(harmless);
        assert!(verdict.passed, "{:?}", verdict.refusals);
    }
    let why = "neither its name, its manifest nor a `pom.properties` tells a version";
    refuses(binary("opt/mods/org.example.jmod", module), why);
    let damaged = zip(&[("lib/core.jar", b"PK\x03\x04broken")]);
    refuses(binary("opt/app.zip", damaged), "packages in `/opt/app.zip`");
}

#[test]
fn lists_of_deno_and_of_older_nuget_are_read() {
    let lock = r#"{"version":"4","npm":{"left-pad@1.3.0":{"integrity":"x"}}}"#;
    finds(file("app/deno.lock", lock), "left-pad 1.3.0");
    refuses(
        file("app/deno.lock", r#"{"version":"9"}"#),
        "unknown `version`",
    );
    let jsr = r#"{"version":"4","jsr":{"@std/fs@1.0.0":{}}}"#;
    refuses(
        file("app/deno.lock", jsr),
        "1 packages of JSR, for which no advisories are known",
    );
    let config = r#"<?xml version="1.0"?>
<packages>
  <!-- <package id="Commented" version="1.0.0" /> -->
  <package id="Tests" version="1.0.0" developmentDependency="true" />
  <package targetFramework='net45' id = "Newtonsoft.Json"
           version="6.0.4"/>
</packages>"#;
    finds(file("app/packages.config", config), "Newtonsoft.Json 6.0.4");
    finds(file("app/Packages.Config", config), "Newtonsoft.Json 6.0.4");
    refuses(
        file("app/packages.config", "<configuration/>"),
        "it has no `<packages>`",
    );
    let without = r#"<packages><package id="A"/></packages>"#;
    refuses(file("app/packages.config", without), "`A` has no version");
}

#[test]
fn databases_and_links_that_tell_nothing_are_named() {
    refuses(
        binary("lib/apk/db/installed.adb", b"ADBd".to_vec()),
        "package database `/lib/apk/db/installed.adb`: its format (apk-tools 3) is not read",
    );
    let link = file(
        "usr/lib/python3/site-packages/tool.egg-link",
        "/src/tool\n.\n",
    );
    refuses(
        link.clone(),
        "no `.egg-info` in `/src/tool` tells of the package",
    );
    let ground = Ground::new().advisory(json!({"id": "P", "affected": [{
        "package": {"ecosystem": "PyPI", "name": "tool"}, "versions": ["9"]}]}));
    let metadata = file(
        "src/tool/tool.egg-info/PKG-INFO",
        "Name: tool\nVersion: 1.0\n",
    );
    let image = ground.image("app", &[&[link, metadata]]);
    let verdict = ground.scan(&[image]);
    assert!(verdict.passed, "{:?}", verdict.refusals);
}
