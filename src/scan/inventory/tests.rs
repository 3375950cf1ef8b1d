use proptest::prelude::*;

use super::classify::{Reading, classify};
use super::walk::{Change, Fact, LayerFacts};
use super::*;
use crate::image::Digest;

fn named(packages: &[Package]) -> Vec<String> {
    packages
        .iter()
        .map(|p| format!("{}@{}", p.name, p.version))
        .collect()
}

#[test]
fn dpkg_tells_source_packages_and_leaves_out_what_was_removed() {
    let found = dpkg::read(
        "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl (3.0.11-1)\nVersion: 3.0.11-1+b1\nDescription: x\n more: lines\n\n\
         Package: old\nStatus: deinstall ok config-files\nVersion: 1\n\n\
         Package: tar\nStatus: install ok half-configured\nVersion: 1.34\n\n",
    );
    assert_eq!(named(&found), ["libssl3@3.0.11-1+b1", "tar@1.34"]);
    assert_eq!(found[0].source, Some(("openssl".into(), "3.0.11-1".into())));
    assert_eq!(found[1].source, Some(("tar".into(), "1.34".into())));
}

#[test]
fn a_distroless_status_file_has_no_status_field() {
    let found = dpkg::read("Package: base-files\nVersion: 12.4\nArchitecture: amd64\n");
    assert_eq!(named(&found), ["base-files@12.4"]);
}

#[test]
fn apk_tells_the_origin() {
    let found = apk::read(
        "C:Q1\nP:libcrypto3\nV:3.3.1-r0\nA:x86_64\nL:Apache-2.0\no:openssl\nF:lib\n\nP:musl\nV:1.2.5-r0\n\n",
    );
    assert_eq!(named(&found), ["libcrypto3@3.3.1-r0", "musl@1.2.5-r0"]);
    assert_eq!(found[0].source.as_ref().unwrap().0, "openssl");
    assert_eq!(found[1].source.as_ref().unwrap().0, "musl");
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
        named(&npm_lock::read_yarn(classic)),
        ["@s/b@2.1.0", "a@1.0.0"]
    );
    let berry = "__metadata:\n  version: 6\n\n\"a@npm:^1\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n";
    assert_eq!(named(&npm_lock::read_yarn(berry)), ["a@1.0.0"]);
    let nine = "lockfileVersion: '9.0'\n\npackages:\n\n  '@s/b@2.0.0':\n    resolution: {}\n\n  a@1.0.0(peer@2.0.0):\n    resolution: {}\n\nsnapshots:\n\n  x@1.0.0: {}\n";
    assert_eq!(named(&npm_lock::read_pnpm(nine)), ["@s/b@2.0.0", "a@1.0.0"]);
    let five = "packages:\n\n  /@s/b/2.0.0_x@1:\n    dev: false\n  /a/1.0.0:\n    dev: false\n";
    assert_eq!(named(&npm_lock::read_pnpm(five)), ["@s/b@2.0.0", "a@1.0.0"]);
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
        )),
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

#[test]
fn a_jar_tells_of_itself_and_of_the_jars_in_it() {
    use std::io::{Cursor, Seek, Write};
    let pack = |files: &[(&str, &[u8])]| {
        let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            out.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            out.write_all(bytes).unwrap();
        }
        out.finish().unwrap().into_inner()
    };
    let properties =
        |a: &str, v: &str| format!("#made\ngroupId=org.example\nartifactId={a}\nversion={v}\n");
    let inner = pack(&[(
        "META-INF/maven/g/inner/pom.properties",
        properties("inner", "1.0").as_bytes(),
    )]);
    let outer = pack(&[
        (
            "META-INF/maven/g/outer/pom.properties",
            properties("outer", "2.0").as_bytes(),
        ),
        ("BOOT-INF/lib/inner.jar", &inner),
    ]);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&outer).unwrap();
    file.rewind().unwrap();
    assert_eq!(
        named(&java::read(&file).unwrap()),
        ["org.example:inner@1.0", "org.example:outer@2.0"]
    );
}

#[test]
fn distributions_have_the_ecosystem_of_their_release() {
    for (text, ecosystem) in [
        ("ID=debian\nVERSION_ID=\"12\"\n", Some("Debian:12")),
        ("ID=debian\nVERSION_CODENAME=trixie\n", Some("Debian:13")),
        ("ID=ubuntu\nVERSION_ID=\"22.04\"\n", Some("Ubuntu:22.04")),
        ("ID=alpine\nVERSION_ID=3.20.3\n", Some("Alpine:v3.20")),
        (
            "ID=alpine\nVERSION_ID=3.22_alpha20250108\n",
            Some("Alpine:edge"),
        ),
        ("ID=\"rocky\"\nVERSION_ID=\"9.4\"\n", Some("Rocky Linux:9")),
        (
            "ID=\"almalinux\"\nVERSION_ID=\"8.10\"\n",
            Some("AlmaLinux:8"),
        ),
        ("ID=wolfi\n", Some("Wolfi")),
        ("ID=nixos\n", None),
    ] {
        assert_eq!(
            Distribution::parse(text).unwrap().ecosystem().as_deref(),
            ecosystem
        );
    }
    assert_eq!(Distribution::parse("# nothing\n"), None);
}

#[test]
fn files_are_known_by_their_place() {
    for (path, reading) in [
        ("var/lib/dpkg/status", Some(Reading::DpkgStatus)),
        ("var/lib/dpkg/status.d/tzdata", Some(Reading::DpkgStatus)),
        ("var/lib/dpkg/status.d/tzdata.md5sums", None),
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

fn layer(name: &str, changes: Vec<Change>) -> LayerFacts {
    LayerFacts {
        layer: Digest::of(name.as_bytes()),
        changes,
        secrets: Vec::new(),
    }
}

fn found(path: &str, version: &str) -> Change {
    let packages = vec![Package::new(PackageKind::Npm, "a", version)];
    Change::Found(
        path.into(),
        Box::new(Fact {
            packages,
            ..Fact::default()
        }),
    )
}

#[test]
fn the_last_layer_wins_and_whiteouts_hide_only_what_is_below() {
    let remove = |p: &str| Change::Remove(p.into());
    let inventory = merge::merge(vec![
        layer(
            "one",
            vec![
                found("a/x", "1.0"),
                found("b/x", "1.0"),
                found("c/d/x", "1.0"),
                found("c2", "1.0"),
                found("e/x", "1.0"),
            ],
        ),
        layer(
            "two",
            vec![
                found("a/x", "2.0"),
                remove("b"),
                Change::Opaque("c".into()),
                found("e/y", "2.0"),
                Change::Opaque("e".into()),
            ],
        ),
    ]);
    let told: Vec<_> = inventory
        .packages
        .iter()
        .map(|l| {
            (
                l.path.as_str(),
                l.package.version.as_str(),
                l.layer == Digest::of(b"two"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("c2", "1.0", false),
            ("a/x", "2.0", true),
            ("e/y", "2.0", true)
        ]
    );
}

#[test]
fn a_hard_link_tells_what_its_target_tells() {
    let link = Change::Link {
        path: "b".into(),
        target: "a".into(),
    };
    let inventory = merge::merge(vec![layer("one", vec![found("a", "1.0"), link])]);
    let paths: Vec<_> = inventory.packages.iter().map(|l| l.path.as_str()).collect();
    assert_eq!(paths, ["a", "b"]);
}

#[test]
fn what_is_locked_and_installed_is_told_once() {
    let mut locked = Fact {
        packages: vec![
            Package::new(PackageKind::Npm, "a", "1.0"),
            Package::new(PackageKind::Npm, "b", "1.0"),
        ],
        ..Fact::default()
    };
    locked.lockfile = true;
    let inventory = merge::merge(vec![layer(
        "one",
        vec![
            Change::Found("package-lock.json".into(), Box::new(locked)),
            found("node_modules/a/package.json", "1.0"),
        ],
    )]);
    let told: Vec<_> = inventory
        .packages
        .iter()
        .map(|l| (l.package.name.as_str(), l.path.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("a", "node_modules/a/package.json"),
            ("b", "package-lock.json")
        ]
    );
}

proptest! {
    #[test]
    fn no_reader_panics_on_any_text(text in "(.|\\n){0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        dpkg::read(&text);
        apk::read(&text);
        python::read(&text);
        ruby::read_specification(&text);
        ruby::read_lock(&text);
        npm_lock::read_yarn(&text);
        npm_lock::read_pnpm(&text);
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
        let _ = java::read(&file);
    }
}
