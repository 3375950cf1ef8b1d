use proptest::prelude::*;

use super::classify::{Reading, classify};
use super::*;

fn named(packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .map(|p| format!("{}@{}", p.name, p.version))
        .collect()
}

#[test]
fn dpkg_tells_source_packages_and_leaves_out_what_was_removed() {
    let found = dpkg::read(
        b"Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl (3.0.11-1)\nVersion: 3.0.11-1+b1\nDescription: x\n more: lines\n\n\
         Package: old\nStatus: deinstall ok config-files\nVersion: 1\n\n\
         Package: tar\nStatus: install ok half-configured\nVersion: 1.34\n\n",
    )
    .unwrap();
    assert_eq!(named(&found), ["libssl3@3.0.11-1+b1", "tar@1.34"]);
    assert_eq!(found[0].source, Some(("openssl".into(), "3.0.11-1".into())));
    assert_eq!(found[1].source, Some(("tar".into(), "1.34".into())));
}

#[test]
fn a_distroless_status_file_has_no_status_field() {
    let found = dpkg::read(b"Package: base-files\nVersion: 12.4\nArchitecture: amd64\n").unwrap();
    assert_eq!(named(&found), ["base-files@12.4"]);
}

#[test]
fn apk_tells_the_origin() {
    let found = apk::read(
        b"C:Q1\nP:libcrypto3\nV:3.3.1-r0\nA:x86_64\nL:Apache-2.0\no:openssl\nF:lib\n\nP:musl\nV:1.2.5-r0\n\n",
    )
    .unwrap();
    assert_eq!(named(&found), ["libcrypto3@3.3.1-r0", "musl@1.2.5-r0"]);
    assert_eq!(found[0].source.as_ref().unwrap().0, "openssl");
    assert_eq!(found[1].source.as_ref().unwrap().0, "musl");
}

#[test]
fn what_is_no_database_of_dpkg_or_apk_is_an_error() {
    let dpkg = "Package: a\nStatus: install ok installed\nVersion: 1\n";
    let apk = "P:a\nV:1\n\n";
    let wide = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let packed = |text: &str| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
        writer.finish().unwrap()
    };
    let text = |text: &str| text.as_bytes().to_vec();
    for (bytes, why) in [
        (wide(dpkg), "not text in UTF-8"),
        (packed(dpkg), "compressed"),
        (vec![0x9c, 0x13, 0xff, 0x0a, 0x80], "line 1"),
        (
            text("Package: a\nStatus: install ok installed\n"),
            "line 1 has no `Version`",
        ),
        (text("Package: a\nVersion: \n"), "has no `Version`"),
        (
            text(&format!("{dpkg}\nVersion: 1\n")),
            "line 5 has no `Package`",
        ),
        (text(&format!("{dpkg}words\n")), "line 4"),
        (text(" Package: a\nVersion: 1\n"), "line 1"),
    ] {
        let error = dpkg::read(&bytes).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    for (bytes, why) in [
        (wide(apk), "not text in UTF-8"),
        (packed(apk), "compressed"),
        (vec![0x9c, 0x13, 0xff, 0x0a, 0x80], "line 1"),
        (text("P:a\n\nP:b\nV:1\n"), "line 1 has no `V:`"),
        (text(&format!("{apk}V:1\n")), "line 4 has no `P:`"),
        (text("P:a\nV:1\nwords\n"), "line 3"),
    ] {
        let error = apk::read(&bytes).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    // Old databases have names of people in Latin-1; empty ones have no package.
    assert_eq!(
        dpkg::read(b"Package: a\nMaintainer: J\xe9\nVersion: 1\n")
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        (dpkg::read(b"\n"), apk::read(b"")),
        (Ok(vec![]), Ok(vec![]))
    );
}

/// Made by SQLite: one row in the file, another one in the log alone.
#[test]
fn rows_in_the_write_ahead_log_of_rpm_are_read() {
    use crate::tests::ground::{Ground, OPENSSL, file};
    let mut packed = &include_bytes!("../../tests/data/rpm-packages.bdb.gz")[..];
    let mut sample = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&mut packed), &mut sample)
        .unwrap();
    let mut source = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut source, &sample).unwrap();
    let mut rows = Vec::new();
    berkeley::each(&source, &Cancel::default(), |number, header| {
        if number != [0; 4] {
            rows.push(format!(
                "INSERT INTO Packages (blob) VALUES (x'{}');",
                hex::encode(header)
            ));
        }
        Ok(())
    })
    .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let script = format!(
        "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL);\n\
         {}\nPRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint=0;\n{}\n{}\n\
         .shell cp rpmdb.sqlite kept; cp rpmdb.sqlite-wal kept-wal\n",
        rows[0], rows[1], rows[2]
    );
    std::fs::write(at("script"), script).unwrap();
    let status = std::process::Command::new("sqlite3")
        .arg("rpmdb.sqlite")
        .current_dir(directory.path())
        .stdin(std::fs::File::open(at("script")).unwrap())
        .stdout(std::process::Stdio::null())
        .status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "the test needs `sqlite3`"
    );
    let of = |name: &str| std::fs::read(at(name)).unwrap();
    let count = |log: Vec<u8>| {
        let ground = Ground::new().advisory(OPENSSL);
        let home = "var/lib/rpm/rpmdb.sqlite";
        let image = ground.image(
            "app",
            &[
                &[
                    file("etc/os-release", "ID=rocky\nVERSION_ID=9\n"),
                    (home.into(), 0o644, of("kept")),
                ],
                &[(format!("{home}-wal"), 0o644, log)],
            ],
        );
        let verdict = ground.scan(&[image]);
        let inventory = verdict.inventories.into_values().next().unwrap();
        (inventory.packages.len(), inventory.gaps.join(""))
    };
    let log = of("kept-wal");
    assert_eq!(count(log.clone()), (3, String::new()));
    // Without its last commit, without any, of another time, and empty.
    assert_eq!(count(log[..log.len() - 1].to_vec()).0, 2);
    assert_eq!(count(log[..40].to_vec()), (1, String::new()));
    let mut stale = log.clone();
    stale[32 + 8..32 + 16].fill(0);
    assert_eq!(count(stale), (1, String::new()));
    assert_eq!(count(Vec::new()), (1, String::new()));
    let (_, gap) = count(b"no log, but long enough for one".to_vec());
    assert!(
        gap.contains("rpmdb.sqlite`: its write-ahead log has no header"),
        "{gap}"
    );
    // A link to the database is resolved before its log is looked for.
    let behind_link = |log_at: &str| {
        use imgmake_oci::layer::Entry;
        let ground = Ground::new().advisory(OPENSSL);
        let whole =
            |path: &str, bytes: Vec<u8>| (Entry::file(path, 0o644, bytes.len() as u64), bytes);
        let link = Entry::symlink("var/lib/rpm/rpmdb.sqlite", "/data/rows");
        let image = ground.image_of(
            "app",
            vec![vec![
                whole("etc/os-release", b"ID=rocky\nVERSION_ID=9\n".to_vec()),
                whole("data/rows", of("kept")),
                (link, Vec::new()),
                whole(log_at, log.clone()),
            ]],
        );
        let verdict = ground.scan(&[image]);
        let inventory = verdict.inventories.into_values().next().unwrap();
        (inventory.packages.len(), inventory.gaps.join(""))
    };
    assert_eq!(behind_link("data/rows-wal"), (3, String::new()));
    let (_, gap) = behind_link("var/lib/rpm/rpmdb.sqlite-wal");
    assert!(gap.contains("beside a link to it"), "{gap}");
}

#[test]
fn npm_locks_of_all_versions_tell_the_same_packages() {
    let one = br#"{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","dependencies":{"@s/b":{"version":"2.0.0"}}},"t":{"version":"9.0.0","dev":true},"l":{"version":"file:../l"}}}"#;
    let three = br#"{"lockfileVersion":3,"packages":{"":{"name":"app","version":"0.1.0"},"node_modules/a":{"version":"1.0.0","dependencies":{"@s/b":"^2"}},"node_modules/a/node_modules/@s/b":{"version":"2.0.0"},"node_modules/t":{"version":"9.0.0","dev":true},"node_modules/l":{"link":true,"resolved":"l"}}}"#;
    for lock in [&one[..], &three[..]] {
        let mut found = npm_lock::read_npm(lock).unwrap();
        found.sort();
        assert_eq!(named(&found), ["@s/b@2.0.0", "a@1.0.0"]);
    }
}

#[test]
fn yarn_and_pnpm_locks_are_read() {
    let classic = "# yarn lockfile v1\n\n\"@s/b@^2\", \"@s/b@^2.1\":\n  version \"2.1.0\"\n  resolved \"x\"\n\na@^1:\n  version \"1.0.0\"\n";
    assert_eq!(
        named(&yarn_lock::read(classic).unwrap()),
        ["@s/b@2.1.0", "a@1.0.0"]
    );
    let berry = "__metadata:\n  version: 6\n\n\"a@npm:^1\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n";
    assert_eq!(named(&yarn_lock::read(berry).unwrap()), ["a@1.0.0"]);
    let nine = "lockfileVersion: '9.0'\n\npackages:\n\n  '@s/b@2.0.0':\n    resolution: {}\n\n  a@1.0.0(peer@2.0.0):\n    resolution: {}\n\nsnapshots:\n\n  x@1.0.0: {}\n";
    assert_eq!(
        named(&pnpm_lock::read(nine).unwrap()),
        ["@s/b@2.0.0", "a@1.0.0"]
    );
    let five = "lockfileVersion: 5.4\n\npackages:\n\n  /@s/b/2.0.0_x@1:\n    dev: false\n  /a/1.0.0:\n    dev: false\n";
    assert_eq!(
        named(&pnpm_lock::read(five).unwrap()),
        ["@s/b@2.0.0", "a@1.0.0"]
    );
}

#[test]
fn aliases_development_marks_and_repeated_keys_are_read_as_their_tools_do() {
    let alias = br#"{"lockfileVersion":1,"dependencies":{"old":{"version":"npm:@s/real@1.2.0"},"b":{"version":"github:a/b#1"}}}"#;
    assert_eq!(
        named(&npm_lock::read_npm(alias).unwrap()),
        ["@s/real@1.2.0"]
    );
    let six = "lockfileVersion: '6.0'\n\npackages:\n\n  /a@1.0.0:\n    resolution: {integrity: x}\n    dev: true\n\n  /b@2.0.0:\n    resolution: {integrity: y}\n    dev: false\n";
    assert_eq!(named(&pnpm_lock::read(six).unwrap()), ["b@2.0.0"]);
    let package = b"\xef\xbb\xbf{\"name\":\"a\",\"version\":\"1.0.0\",\"version\":\"1.0.1\"}";
    let path = "node_modules/a/package.json";
    let Ok(npm::Installed::Package(found)) = npm::read_installed(path, package) else {
        panic!("it is a package");
    };
    assert_eq!(named(&[found]), ["a@1.0.1"]);
    let bun = "{\n  \"lockfileVersion\": 1,\n  \"workspaces\": {\n    \"\": { \"name\": \"app\" },\n  },\n  \"packages\": {\n    \"@s/b\": [\"@s/b@2.0.0\", \"\", {}, \"sha512-x\"],\n\n    \"a/c\": [\"c@1.0.0\", \"\", { \"dependencies\": { \"x\": \"^1\" } }, \"sha512-y\"],\n    \"w\": [\"w@workspace:w\"],\n  }\n}\n";
    let read = |text: &str| npm_lock::read_bun(text.as_bytes()).map(|found| named(&found));
    assert_eq!(read(bun).unwrap(), ["@s/b@2.0.0", "c@1.0.0"]);
    // However it was formatted since.
    let one_line = bun.replace(['\n', ' '], "");
    assert_eq!(read(&one_line).unwrap(), ["@s/b@2.0.0", "c@1.0.0"]);
    let spread = bun
        .replace("[\"", "[ // a, ]\n /* } */ \"")
        .replace("\": ", "\" :");
    assert_eq!(read(&spread).unwrap(), ["@s/b@2.0.0", "c@1.0.0"]);
    let text = r#"{"packages":{"a":["a@1.0.0",",]\"//x,}"]},}"#;
    assert_eq!(read(text).unwrap(), ["a@1.0.0"]);
    assert!(read("{\"packages\": {\"a\": [\"").is_err());
}

/// As poetry 1 and 2, uv and pipenv write them, cut short.
#[test]
fn lock_files_of_python_and_nuget_tell_what_is_meant_to_be_installed() {
    let poetry = "# This file is automatically @generated by Poetry 2.1.0\n\n[[package]]\nname = \"idna\"\nversion = \"3.10\"\ngroups = [\"main\", \"dev\"]\nfiles = []\n\n[[package]]\nname = \"pytest\"\nversion = \"8.0.0\"\ngroups = [\"dev\"]\n\n[[package]]\nname = \"old\"\nversion = \"1\"\ncategory = \"dev\"\n\n[metadata]\nlock-version = \"2.1\"\n";
    assert_eq!(
        named(&python_lock::read_toml(poetry).unwrap()),
        ["idna@3.10"]
    );
    let uv = "version = 1\nrevision = 3\nrequires-python = \">=3.11\"\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\nsource = { virtual = \".\" }\ndependencies = [{ name = \"idna\" }]\n\n[[package]]\nname = \"idna\"\nversion = \"3.10\"\nsource = { registry = \"https://index.example/simple\" }\n";
    assert_eq!(named(&python_lock::read_toml(uv).unwrap()), ["idna@3.10"]);
    assert!(python_lock::read_toml("[[package]\n").is_err());
    let pipfile = br#"{"_meta":{"hash":{}},"default":{"idna":{"hashes":[],"version":"==3.10"},"own":{"path":"."}},"develop":{"pytest":{"version":"==8"}}}"#;
    assert_eq!(
        named(&python_lock::read_pipfile(pipfile).unwrap()),
        ["idna@3.10"]
    );
    assert!(python_lock::read_pipfile(b"{").is_err());
    let nuget = br#"{"version":1,"dependencies":{"net8.0":{"Serilog":{"type":"Direct","requested":"[4.0.0, )","resolved":"4.0.0"},"own":{"type":"Project"}},"net9.0":{"Serilog":{"type":"Direct","resolved":"4.0.0"}}}}"#;
    assert_eq!(named(&dotnet::read_lock(nuget).unwrap()), ["Serilog@4.0.0"]);
    assert!(dotnet::read_lock(b"3").is_err());
}

#[test]
fn a_jar_without_maven_files_is_known_by_its_manifest_and_its_name() {
    let manifest = |fields: &str| {
        let text = format!(
            "Manifest-Version: 1.0\r\n{fields}\r\nName: a/b.class\r\nImplementation-Version: 9\r\n"
        );
        zipped(&[
            ("META-INF/MANIFEST.MF", text.as_bytes()),
            ("a/b.class", b"\xca\xfe"),
        ])
    };
    let read = |path: &str, bytes: &[u8]| -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        let (found, unread) = of(java::read(path, &file, &Cancel::default()));
        assert_eq!(unread, None);
        let source = |p: &Package| {
            p.source
                .as_ref()
                .map_or(String::new(), |(n, _)| format!(" or {n}"))
        };
        found
            .iter()
            .map(|p| format!("{}@{}{}", p.name, p.version, source(p)))
            .collect()
    };
    for (path, fields, expected) in [
        (
            "lib/log4j-core-2.14.1.jar",
            "Implementation-Vendor-Id: org.apache.logging.log4j\r\nImplementation-Title: Apache Log4j Core\r\nBundle-SymbolicName: org.apache.logging.log4j.core\r\n",
            "org.apache.logging.log4j:log4j-core@2.14.1 or org.apache.logging.log4j.core:log4j-core",
        ),
        (
            "guava.jar",
            "Implementation-Title: guava\r\nBundle-SymbolicName: com.goo\r\n gle.guava;singleton:=true\r\nBundle-Version: 31.0.1\r\n",
            "com.google:guava@31.0.1 or com.google.guava:guava",
        ),
        (
            "opt/snakeyaml-1.26.JAR",
            "Bundle-SymbolicName: org.yaml.snakeyaml\r\n",
            "org.yaml:snakeyaml@1.26 or org.yaml.snakeyaml:snakeyaml",
        ),
        (
            "plugins/git-4.11.3.hpi",
            "Specification-Title: Git\r\n",
            "git@4.11.3",
        ),
        ("plain-1.0-SNAPSHOT.jar", "", "plain@1.0-SNAPSHOT"),
    ] {
        assert_eq!(read(path, &manifest(fields)), [expected], "{path}");
    }
    for nothing in ["app.jar", "-1.0.jar", "a b-1.jar"] {
        assert!(read(nothing, &manifest("")).is_empty(), "{nothing}");
    }
    // Maven's own files may be of what was packed into an archive, and archives in archives have names of their own.
    let own = properties("outer");
    let ear = zipped(&[
        ("META-INF/maven/g/outer/pom.properties", own.as_bytes()),
        (
            "META-INF/MANIFEST.MF",
            b"Implementation-Title: other\nImplementation-Version: 3\n",
        ),
        (
            "web.WAR",
            &zipped(&[("WEB-INF/lib/inner-2.0.Jar", &manifest(""))]),
        ),
    ]);
    assert_eq!(
        read("shop.ear", &ear),
        ["g:outer@1", "inner@2.0", "other@3"]
    );
    let same = zipped(&[("META-INF/maven/g/outer/pom.properties", own.as_bytes())]);
    assert_eq!(read("outer-1-all.jar", &same), ["g:outer@1"]);
}

#[test]
fn other_languages_are_read() {
    assert_eq!(
        named(&python::read(
            "Metadata-Version: 2.1\nName: Flask\nVersion: 2.0.1\n\nVersion: no"
        )),
        ["Flask@2.0.1"]
    );
    assert_eq!(
        named(&ruby::read_specification(
            "# -*- encoding: utf-8 -*-\n# stub: rake 13.0.6 ruby lib\n"
        )),
        ["rake@13.0.6"]
    );
    assert_eq!(
        named(&ruby::read_specification(
            "Gem::Specification.new do |s|\n  s.name = \"x\".freeze\n  s.version = \"1.2\"\n"
        )),
        ["x@1.2"]
    );
    assert_eq!(
        named(&ruby::read_lock(
            "GEM\n  specs:\n    rack (2.2.3)\n      other (>= 1)\n    nokogiri (1.13.0-x86_64-linux)\n"
        ).unwrap()),
        ["rack@2.2.3", "nokogiri@1.13.0"]
    );
    assert_eq!(
        named(&php::read(br#"{"packages":[{"name":"a/b","version":"v1.2.0"}]}"#).unwrap()),
        ["a/b@1.2.0"]
    );
    assert_eq!(
        named(&php::read(br#"[{"name":"a/b","version":"1.2.0"}]"#).unwrap()),
        ["a/b@1.2.0"]
    );
    assert_eq!(
        named(
            &dotnet::read(
                br#"{"libraries":{"A.B/1.0.0":{"type":"package"},"App/1.0.0":{"type":"project"}}}"#
            )
            .unwrap()
        ),
        ["A.B@1.0.0"]
    );
    let cargo = "[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\nsource = \"registry+https://index.example\"\n";
    assert_eq!(named(&rust::read_lock(cargo).unwrap()), ["libc@0.2.1"]);
}

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    use std::io::{Cursor, Write};
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        out.start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

fn of(told: java::Told) -> (Vec<Package>, Option<String>) {
    (told.packages, told.unread)
}

fn jar(bytes: &[u8]) -> (Vec<String>, String) {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let (found, unread) = of(java::read("app.jar", &file, &Cancel::default()));
    (named(&found), unread.unwrap_or_default())
}

#[test]
fn a_cancellation_ends_the_reading_of_a_jar() {
    use std::io::Write;
    let inner = zipped(&[("x/pom.properties", properties("inner").as_bytes())]);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&zipped(&[("inner.jar", &inner)])).unwrap();
    let cancel = Cancel::default();
    assert_eq!(java::read("app.jar", &file, &cancel).packages.len(), 1);
    cancel.cancel();
    let (found, unread) = of(java::read("app.jar", &file, &cancel));
    assert!(found.is_empty());
    assert_eq!(unread.as_deref(), Some("cancelled"));
}

fn properties(artifact: &str) -> String {
    format!("#made\ngroupId=g\nartifactId={artifact}\nversion=1\n")
}

#[test]
fn a_jar_tells_of_itself_and_of_the_archives_in_it() {
    let inner = zipped(&[(
        "META-INF/maven/g/inner/pom.properties",
        properties("inner").as_bytes(),
    )]);
    for name in ["BOOT-INF/lib/inner.jar", "inner.war", "inner.ear"] {
        let own = properties("outer");
        let outer = zipped(&[
            ("META-INF/maven/g/outer/pom.properties", own.as_bytes()),
            (name, &inner),
        ]);
        let all = ["g:inner@1", "g:outer@1"].map(String::from).to_vec();
        assert_eq!(jar(&outer), (all, String::new()), "{name}");
    }
}

#[test]
fn what_is_not_read_of_a_jar_is_told_and_hides_nothing_of_the_rest() {
    let own = properties("known");
    let known = ("META-INF/maven/g/known/pom.properties", own.as_bytes());
    let mut deep = zipped(&[(
        "META-INF/maven/g/deep/pom.properties",
        properties("deep").as_bytes(),
    )]);
    for depth in 1..200 {
        deep = zipped(&[("next.jar", &deep)]);
        let (found, unread) = jar(&zipped(&[("deep.jar", &deep), known]));
        let reached = depth <= 2;
        assert_eq!(found.contains(&"g:deep@1".to_string()), reached, "{depth}");
        assert_eq!(unread.is_empty(), reached, "{depth}: {unread}");
        assert!(found.contains(&"g:known@1".to_string()), "{depth}");
    }
    let padded = format!("#{}\n{}", "x".repeat(64 << 10), properties("hidden"));
    let mut broken = zipped(&[known]);
    let middle = broken.len() / 2;
    broken.truncate(middle);
    let latin = [&b"#\xe9\n"[..], properties("latin").as_bytes()].concat();
    for (name, bytes, expected) in [
        ("x/pom.properties", padded.as_bytes(), "more than 64 KiB"),
        ("no.jar", b"no archive", "invalid Zip"),
        ("cut.jar", broken.as_slice(), "invalid Zip"),
    ] {
        let (found, unread) = jar(&zipped(&[(name, bytes), known]));
        assert_eq!(found, ["g:known@1"], "{name}");
        assert!(unread.contains(expected), "{name}: {unread}");
    }
    assert_eq!(
        jar(&zipped(&[("x/pom.properties", &latin)])),
        (vec!["g:latin@1".to_string()], String::new())
    );
}

#[test]
fn the_directory_of_a_jar_has_an_end() {
    let names: Vec<String> = (0..600).map(|n| format!("{n:060000}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&name[..], &b""[..])).collect();
    assert_eq!(jar(&zipped(&files[..10])).1, "");
    let (_, unread) = jar(&zipped(&files));
    assert!(unread.contains("directory of more than 32 MiB"), "{unread}");
}

#[test]
fn what_a_jar_unpacks_to_has_an_end() {
    // 40 GiB: thousands of entries that are the same packed bytes.
    let zeros = vec![0; 8 << 20];
    let bomb = many_names_of_one(&zipped(&[("aaaa.jar", &zeros)]), 5000);
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &bomb).unwrap();
    let (found, unread) = of(java::read_at_most(
        64 << 20,
        "a.jar",
        &file,
        &Cancel::default(),
    ));
    assert!(found.is_empty());
    assert!(unread.unwrap().contains("more than any jar has"));
    // So do the texts that it reads.
    let text = properties("a") + &" ".repeat(60 << 10);
    let many = many_names_of_one(&zipped(&[("aaaa/pom.properties", text.as_bytes())]), 5000);
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &many).unwrap();
    let (found, unread) = of(java::read_at_most(
        1 << 20,
        "a.jar",
        &file,
        &Cancel::default(),
    ));
    assert_eq!(named(&found), ["g:a@1"]);
    assert!(unread.unwrap().contains("more than any jar has"));
    assert_eq!(
        java::read_at_most(1 << 30, "a.jar", &file, &Cancel::default()).unread,
        None
    );
}

/// A zip whose directory names its one entry again and again.
fn many_names_of_one(zip: &[u8], count: u16) -> Vec<u8> {
    let end = zip.len() - 22;
    let field = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let (size, start) = (field(end + 12), field(end + 16));
    let entry = &zip[start..start + size];
    let mut bytes = zip[..start].to_vec();
    for number in 0..count {
        let mut entry = entry.to_vec();
        // Another name each time, of the same length.
        entry[46..50].copy_from_slice(format!("{number:04}").as_bytes());
        bytes.extend(entry);
    }
    let mut last = zip[end..].to_vec();
    last[8..10].copy_from_slice(&count.to_le_bytes());
    last[10..12].copy_from_slice(&count.to_le_bytes());
    last[12..16].copy_from_slice(&((size * usize::from(count)) as u32).to_le_bytes());
    bytes.extend(last);
    bytes
}

#[test]
fn distributions_have_the_ecosystem_of_their_release() {
    for (text, ecosystems) in [
        ("ID=debian\nVERSION_ID=\"12\"\n", &["Debian:12"][..]),
        ("ID=debian\nVERSION_CODENAME=trixie\n", &["Debian:13"]),
        (
            "ID=ubuntu\nVERSION_ID=\"22.04\"\nID_LIKE=debian\nVERSION_CODENAME=jammy\n",
            &["Ubuntu:22.04"],
        ),
        ("ID=alpine\nVERSION_ID=3.20.3\n", &["Alpine:v3.20"]),
        (
            "ID=alpine\nVERSION_ID=3.22_alpha20250108\n",
            &["Alpine:edge"],
        ),
        (
            "ID=\"rocky\"\nVERSION_ID=\"9.4\"\nID_LIKE=\"rhel centos fedora\"\n",
            &["Rocky Linux:9", "Red Hat:enterprise_linux:9"],
        ),
        ("ID=\"almalinux\"\nVERSION_ID=\"8.10\"\n", &["AlmaLinux:8"]),
        ("ID=wolfi\n", &["Wolfi"]),
        ("ID=minimos\n", &["MinimOS"]),
        ("ID=alpaquita\nVERSION_ID=23\n", &["Alpaquita:23"]),
        (
            "ID=\"openEuler\"\nVERSION=\"24.03 (LTS-SP1)\"\nVERSION_ID=\"24.03\"\n",
            &["openEuler:24.03-LTS-SP1"],
        ),
        (
            "ID=\"sles\"\nVERSION_ID=\"15.5\"\nID_LIKE=\"suse\"\n",
            &["SUSE:Linux Enterprise Server 15 SP5"],
        ),
        (
            "ID=\"sles\"\nVERSION_ID=\"16.0\"\n",
            &["SUSE:Linux Enterprise Server 16.0"],
        ),
        // Made from others: by the release that they name, not by their own numbers.
        (
            "ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
            &["Debian:12"],
        ),
        (
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"21.3\"\nUBUNTU_CODENAME=jammy\n",
            &["Ubuntu:22.04"],
        ),
        (
            "ID=linuxmint\nID_LIKE=debian\nVERSION_ID=6\nDEBIAN_CODENAME=bookworm\n",
            &["Debian:12"],
        ),
        (
            "ID=centos\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n",
            &["Red Hat:enterprise_linux:7"],
        ),
        (
            "ID=amzn\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\n",
            &[],
        ),
        (
            "ID=devuan\nID_LIKE=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=daedalus\n",
            &[],
        ),
        ("ID=nixos\n", &[]),
    ] {
        let distribution = Distribution::parse(text).unwrap();
        assert_eq!(distribution.ecosystems(), ecosystems, "{text}");
    }
    assert_eq!(Distribution::parse("# nothing\n"), None);
}

#[test]
fn files_are_known_by_their_place() {
    for (path, reading) in [
        ("var/lib/dpkg/status", Some(Reading::DpkgStatus)),
        ("var/lib/dpkg/status.d/tzdata", Some(Reading::DpkgStatus)),
        (
            "var/lib/dpkg/status.d/tzdata.md5sums",
            Some(Reading::DpkgFiles),
        ),
        ("srv/var/lib/dpkg/status", None),
        ("app/node_modules/a/package.json", Some(Reading::NpmPackage)),
        (
            "app/node_modules/@s/b/package.json",
            Some(Reading::NpmPackage),
        ),
        ("app/node_modules/a/lib/package.json", None),
        ("app/package.json", None),
        ("app/package-lock.json", Some(Reading::NpmLock)),
        ("app/node_modules/a/package-lock.json", None),
        ("usr/lib/python3/dist-packages/a/Cargo.lock", None),
        ("venv/site-packages/a/poetry.lock", None),
        ("usr/lib/ruby/gems/3.1.0/gems/rack-2.2.3/Gemfile.lock", None),
        (
            "srv/vendor/symfony/console/composer.lock",
            Some(Reading::ComposerLock),
        ),
        ("usr/local/cargo/registry/src/index/a-1.0/Cargo.lock", None),
        (
            "src/registry/src/index/Cargo.lock",
            Some(Reading::CargoLock),
        ),
        ("app/pkg/mod/yarn.lock", Some(Reading::YarnLock)),
        ("root/.cargo/registry/src/index/a-1.0/Cargo.lock", None),
        ("go/pkg/mod/example.com/a@v1.0.0/yarn.lock", None),
        ("app/vendor/composer.lock", Some(Reading::ComposerLock)),
        ("gems/app/Gemfile.lock", Some(Reading::GemfileLock)),
        ("app/uv.lock", Some(Reading::PoetryLock)),
        ("app/Pipfile.lock", Some(Reading::PipfileLock)),
        ("app/bun.lock", Some(Reading::BunLock)),
        ("src/packages.lock.json", Some(Reading::NuGetLock)),
        ("opt/plugins/git.HPI", Some(Reading::Jar)),
        (
            "app/BOOT-INF/classes/META-INF/maven/g/a/pom.properties",
            Some(Reading::PomProperties),
        ),
        ("app/pom.properties", None),
        (
            "x/Flask-2.0.dist-info/METADATA",
            Some(Reading::PythonMetadata),
        ),
        ("x/METADATA", None),
        ("opt/app.jar", Some(Reading::Jar)),
        ("var/lib/rpm/rpmdb.sqlite", Some(Reading::RpmSqlite)),
        ("var/lib/rpm/Packages", Some(Reading::RpmBerkeley)),
    ] {
        assert_eq!(classify(path), reading, "{path}");
    }
}

proptest! {
    #[test]
    fn no_reader_panics_on_any_text(text in "(.|\\n){0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (dpkg::read(text.as_bytes()), apk::read(text.as_bytes()));
        let _ = (dpkg::read(&bytes), apk::read(&bytes));
        python::read(&text);
        ruby::read_specification(&text);
        let _ = ruby::read_lock(&text);
        let _ = yarn_lock::read(&text);
        let _ = pnpm_lock::read(&text);
        let _ = npm_lock::read_bun(text.as_bytes());
        let _ = python_lock::read_toml(&text);
        let _ = python_lock::read_pipfile(&bytes);
        let _ = dotnet::read_lock(&bytes);
        java::read_properties(&bytes);
        java_manifest::package(&text, Some(&bytes));
        java_manifest::package("a-1.jar", Some(text.as_bytes()));
        let _ = rust::read_lock(&text);
        let _ = npm_lock::read_npm(&bytes);
        let _ = php::read(&bytes);
        let _ = dotnet::read(&bytes);
        Distribution::parse(&text);
        secrets::in_text(&bytes);
        let mut go = vec![0u8; 16];
        go.extend_from_slice(b"\xff Go buildinf:\x08\x02");
        go.extend_from_slice(&[0; 16]);
        go.extend_from_slice(&bytes);
        golang::scan(&go[..]).unwrap();
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.extend_from_slice(&bytes);
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &elf).unwrap();
        rust::read_program(&file);
        let _ = java::read("app.jar", &file, &Cancel::default());
    }
}
