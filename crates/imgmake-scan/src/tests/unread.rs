//! Files that tell of packages and cannot be read: nothing that they hide passes.

use super::ground::{File, Ground, OPENSSL, file};
use crate::report::SbomFormat;
use crate::sbom::sboms;
use crate::{Gate, Inventory, ScanImage};
use imgmake_event::Cancel;
use imgmake_oci::layer::{Entry, EntryKind};

fn inventory(ground: &Ground, image: ScanImage) -> Inventory {
    let verdict = ground.scan(&[image]);
    verdict.inventories.into_values().next().unwrap()
}

fn old_go_program() -> File {
    let mut bytes = b"\x7fELF".to_vec();
    bytes.resize(64, 0);
    bytes.extend_from_slice(b"\xff Go buildinf:\x08\x00");
    bytes.resize(128, 0);
    ("usr/bin/tool".to_string(), 0o755, bytes)
}

#[test]
fn what_cannot_be_read_is_not_judged() {
    for (file, says) in [
        (
            file("app/x.jar", "no archive"),
            "packages in `/app/x.jar`: ",
        ),
        (
            file("app/Cargo.lock", "[[package"),
            "packages in `/app/Cargo.lock`: ",
        ),
        (
            file("app/package-lock.json", "{"),
            "packages in `/app/package-lock.json`: ",
        ),
        (
            old_go_program(),
            "packages in `/usr/bin/tool`: built by Go before 1.18",
        ),
    ] {
        let ground = Ground::new().advisory(OPENSSL);
        let image = ground.image("app", &[&[file]]);
        let mut request = ground.request(std::slice::from_ref(&image));
        let verdict = ground.run(&request);
        let refusal = &verdict.refusals.join("\n");
        assert!(!verdict.passed && refusal.contains(says), "{refusal}");
        assert!(refusal.ends_with("not judged"), "{refusal}");
        request.policy.unjudged = Gate::Warn;
        let verdict = ground.run(&request);
        assert!(
            verdict.passed && verdict.warnings[0].contains(says),
            "{:?}",
            verdict.warnings
        );
        let formats = [SbomFormat::CycloneDx, SbomFormat::Spdx];
        let never = Cancel::default();
        let found = sboms("app", &image.root, &formats, &ground.store, &never).unwrap();
        let documents = [&found[0].document, &found[1].document];
        let place = says.split('`').nth(1).unwrap();
        for document in documents {
            assert!(document.to_string().contains(place), "{document}");
        }
        let composition = &documents[0]["compositions"][0];
        assert_eq!(composition["aggregate"], "incomplete");
    }
}

/// A file that tells of packages by its name and of none by its content.
#[test]
fn what_tells_of_no_package_though_it_should_is_not_judged() {
    let metadata = "usr/lib/python3/site-packages/a.dist-info/METADATA";
    let deps = r#"{"runtimeTarget":{"name":".NETCoreApp,Version=v8.0"}}"#;
    for (path, text) in [
        ("app/package-lock.json", "{}"),
        (
            "app/package-lock.json",
            r#"{"lockfileVersion":4,"packages":{}}"#,
        ),
        ("app/bun.lock", r#"{"lockfileVersion":1}"#),
        ("app/bun.lock", r#"{"lockfileVersion":2,"packages":{}}"#),
        (
            "app/bun.lockb",
            "#!/usr/bin/env bun\nbun-lockfile-format-v0\n",
        ),
        ("app/Gemfile.lock", "nothing"),
        ("app/gems.locked", "nothing"),
        ("app/pdm.lock", "[[package]]\nname = \"a\"\n"),
        ("app/pylock.toml", "[[packages]]\nname = \"a\"\n"),
        (
            "app/pnpm-lock.yaml",
            "lockfileVersion: '10.0'\n\nimporters:\n",
        ),
        ("app/packages.lock.json", r#"{"version":1}"#),
        ("app/Pipfile.lock", "{}"),
        ("app/poetry.lock", ""),
        ("app/a.deps.json", deps),
        ("usr/share/gems/specifications/a-1.gemspec", "x"),
        ("app/META-INF/maven/g/a/pom.properties", "groupId=g\n"),
        (metadata, "Name: a\n"),
        (metadata, ""),
        ("app/Cargo.lock", "version = 3\n"),
        ("app/Gemfile.lock", "GEM\n  specs:\n\track (2.2.3)\n"),
        (
            "app/package-lock.json",
            r#"{"lockfileVersion":3,"packages":{"node_modules/a":{"dev":false}}}"#,
        ),
        (
            "app/package-lock.json",
            r#"{"lockfileVersion":1,"dependencies":{"a":{}}}"#,
        ),
        ("app/composer.lock", r#"{"packages":[{"name":"a/b"}]}"#),
        (
            "app/composer.lock",
            r#"{"packages":[{"name":"a/b","version":""}]}"#,
        ),
        (
            "app/packages.lock.json",
            r#"{"dependencies":{"net8.0":{"a":{"type":"Direct"}}}}"#,
        ),
        ("app/Pipfile.lock", r#"{"default":{"a":{"hashes":[]}}}"#),
        ("app/poetry.lock", "[[package]]\nname = \"a\"\n"),
        (
            "app/a.deps.json",
            r#"{"libraries":{"a":{"type":"package"}}}"#,
        ),
        ("app/node_modules/a/package.json", r#"{"name":"a"}"#),
        (
            "app/node_modules/@s/a/package.json",
            r#"{"name":"@s/a","version":""}"#,
        ),
    ] {
        let ground = Ground::new().advisory(OPENSSL);
        let image = ground.image("app", &[&[file(path, text)]]);
        let verdict = ground.scan(&[image]);
        let refusal = verdict.refusals.join("\n");
        let says = format!("packages in `/{path}`: ");
        assert!(
            !verdict.passed && refusal.contains(&says),
            "{path}: {refusal}"
        );
    }
    // Of projects without dependencies.
    for (path, text) in [
        (
            "app/package-lock.json",
            r#"{"name":"a","lockfileVersion":1}"#,
        ),
        (
            "app/package-lock.json",
            r#"{"lockfileVersion":3,"packages":{}}"#,
        ),
        ("app/bun.lock", r#"{"lockfileVersion":0,"packages":{},}"#),
        ("app/Gemfile.lock", "GEM\n  specs:\n\nDEPENDENCIES\n"),
        (
            "app/packages.lock.json",
            r#"{"version":1,"dependencies":{}}"#,
        ),
        (
            "app/Pipfile.lock",
            r#"{"_meta":{},"default":{},"develop":{}}"#,
        ),
        ("app/poetry.lock", "package = []\n[metadata]\n"),
        ("app/uv.lock", "version = 1\n"),
        ("app/pylock.toml", "lock-version = \"1.0\"\npackages = []\n"),
        (
            "app/pylock.toml",
            "[[packages]]\nname = \"own\"\ndirectory = { path = \".\" }\n",
        ),
        (
            "app/pnpm-lock.yaml",
            "lockfileVersion: '9.0'\n\nimporters:\n",
        ),
        ("app/a.deps.json", "{}"),
        ("app/Pipfile.lock", r#"{"default":{"a":{"path":"."}}}"#),
        (
            "app/packages.lock.json",
            r#"{"dependencies":{"net8.0":{"a":{"type":"Project"}}}}"#,
        ),
        ("app/node_modules/a/package.json", r#"{"private":true}"#),
    ] {
        let ground = Ground::new().advisory(OPENSSL);
        let image = ground.image("app", &[&[file(path, text)]]);
        let verdict = ground.scan(&[image]);
        assert!(verdict.passed, "{path}: {:?}", verdict.refusals);
    }
}

/// Whoever removes or empties dpkg's list removes what was to be judged.
#[test]
fn a_distribution_without_packages_is_not_judged() {
    let release = file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let other = file("etc/os-release", "ID=buildroot\n");
    for (files, passes) in [
        (vec![release.clone()], false),
        (vec![release, file("var/lib/dpkg/status", "")], false),
        (vec![other], true),
    ] {
        let ground = Ground::new().advisory(OPENSSL);
        let image = ground.image("app", &[&files]);
        let verdict = ground.scan(&[image]);
        let refusal = verdict.refusals.join("\n");
        assert_eq!(verdict.passed, passes, "{refusal}");
        assert!(
            passes || refusal.contains("no database of them is in the image"),
            "{refusal}"
        );
    }
}

fn refusal(files: &[File]) -> String {
    let ground = Ground::new().advisory(OPENSSL);
    let image = ground.image("app", &[files]);
    ground.scan(&[image]).refusals.join("\n")
}

/// Whoever empties or removes the lists of packages and `os-release` with them leaves other signs.
#[test]
fn signs_of_a_distribution_without_its_packages_are_not_judged() {
    for path in [
        "var/lib/dpkg/status",
        "lib/apk/db/installed",
        "usr/lib/opkg/status",
        "var/lib/dpkg/info/libc6.list",
        "etc/alpine-release",
        "usr/bin/dpkg",
    ] {
        let refusal = refusal(&[file(path, "")]);
        let sign = match path.contains("/info/") {
            true => "var/lib/dpkg/info",
            false => path,
        };
        let says = format!("packages in `/{sign}`: a sign of a distribution");
        assert!(refusal.contains(&says), "{path}: {refusal}");
    }
    let status = "Package: a\nStatus: install ok installed\nVersion: 1\n";
    let release = file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let passing = [
        release,
        file("var/lib/dpkg/status", ""),
        file("var/lib/dpkg/status.d/a", status),
        file("usr/bin/dpkg", ""),
    ];
    assert_eq!(refusal(&passing), "");
}

/// The status of dpkg, shortened or not yet written.
#[test]
fn what_dpkg_has_files_of_and_what_it_did_last_is_not_passed_over() {
    let release = || file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    let package = |name: &str, state: &str| {
        format!("Package: {name}\nStatus: install ok {state}\nVersion: 3.0.0-1\n\n")
    };
    let status = |text: &str| file("var/lib/dpkg/status", text);
    let list = |name: &str| file(&format!("var/lib/dpkg/info/{name}.list"), "/.\n");
    let own = package("base-passwd", "installed");
    let short = refusal(&[
        release(),
        status(&own),
        list("base-passwd"),
        list("zlib1g:amd64"),
    ]);
    let says = "`/var/lib/dpkg/info/zlib1g:amd64.list`: files of a package of which dpkg's status";
    assert!(short.contains(says), "{short}");
    let removed = own.clone() + &package("zlib1g", "config-files");
    let whole = [
        release(),
        status(&removed),
        list("base-passwd"),
        list("zlib1g:amd64"),
    ];
    assert_eq!(refusal(&whole), "");
    let interrupted = [
        release(),
        status(&own),
        file("var/lib/dpkg/updates/0003", &package("openssl", "unpacked")),
        file("var/lib/dpkg/updates/tmp.i", "#"),
    ];
    let refused = refusal(&interrupted);
    assert!(refused.contains("CVE-2026-1"), "{refused}");
}

/// Packages that are elsewhere than the image's own.
#[test]
fn other_roots_and_package_managers_without_advisories_are_not_judged() {
    let own = [
        file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        file(
            "var/lib/dpkg/status",
            "Package: a\nStatus: install ok installed\nVersion: 1\n",
        ),
    ];
    for (path, says) in [
        ("opt/rootfs/var/lib/dpkg/status", "another root directory"),
        ("srv/a/lib/apk/db/installed", "another root directory"),
        (
            "srv/a/usr/lib/sysimage/rpm/rpmdb.sqlite",
            "another root directory",
        ),
        ("nix/store/0a-zlib-1.3/lib/libz.so", "installed by Nix"),
        (
            "home/linuxbrew/.linuxbrew/Cellar/zlib/1.3/a",
            "installed by Homebrew",
        ),
        ("var/lib/flatpak/app/org.example/a", "installed by Flatpak"),
    ] {
        let refused = refusal(&[&own[..], &[file(path, "x")]].concat());
        assert!(refused.contains(says), "{path}: {refused}");
    }
    let passing = [
        file("opt/rootfs/var/lib/dpkg/status", ""),
        file("srv/status", "x"),
        file("srv/Packages", "x"),
    ];
    assert_eq!(refusal(&[&own[..], &passing].concat()), "");
}

/// Images carry programs for other systems, for others to download.
#[test]
fn programs_of_other_systems_are_read_or_not_judged() {
    let list = "<<<<<<<<<<<<<<<<path\tx\ndep\tgolang.org/x/net\tv0.1.0\n>>>>>>>>>>>>>>>>";
    let program = |magic: &[u8], content: &[u8]| {
        let mut bytes = magic.to_vec();
        bytes.resize(64, 0);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + 512, 0);
        ("srv/tool".to_string(), 0o755, bytes)
    };
    let mut go = b"\xff Go buildinf:\x08\x02".to_vec();
    go.resize(32, 0);
    go.extend_from_slice(b"\x08go1.21.3");
    go.push(u8::try_from(list.len()).unwrap());
    go.extend_from_slice(list.as_bytes());
    for magic in [
        &b"MZ"[..],
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
        b"\0asm",
    ] {
        let refused = refusal(&[program(magic, &go)]);
        assert!(refused.contains("2 packages of Go not judged"), "{refused}");
        let refused = refusal(&[program(magic, b".dep-v0\0")]);
        assert!(
            refused.contains("`/srv/tool`: its list of crates"),
            "{refused}"
        );
    }
    assert_eq!(
        refusal(&[("srv/text".into(), 0o644, b"MZ is not a program".to_vec())]),
        ""
    );
}

/// What describes a package was removed, and the package stayed.
#[test]
fn packages_without_their_description_are_known_by_their_directory_or_not_judged() {
    let site = "usr/lib/python3/site-packages";
    for (path, says) in [
        (
            format!("{site}/requests-2.0.dist-info/RECORD"),
            "a package of PyPI not judged",
        ),
        (
            format!("{site}/old_name-1.0-py3.11.egg-info/top_level.txt"),
            "a package of PyPI not judged",
        ),
        (
            "usr/lib/ruby/gems/3.1.0/gems/rack-2.2.3/lib/rack.rb".into(),
            "a package of RubyGems not judged",
        ),
        (
            "app/vendor/composer/autoload_real.php".into(),
            "`/app/vendor/composer`: it has no `installed.json`",
        ),
        (
            format!("{site}/own.egg-info/SOURCES.txt"),
            "own.egg-info`: it has no `PKG-INFO`",
        ),
        (
            "app/node_modules/a/lib/index.js".into(),
            "`/app/node_modules/a`: it has no `package.json`",
        ),
        (
            "app/node_modules/@s/a/index.mjs".into(),
            "`/app/node_modules/@s/a`: it has no `package.json`",
        ),
        (
            "var/lib/pacman/local/zlib-1-1/files".into(),
            "`/var/lib/pacman/local/zlib-1-1`: it has no `desc`",
        ),
        (
            "var/db/pkg/sys-libs/zlib-1/SLOT".into(),
            "`/var/db/pkg/sys-libs/zlib-1`: it has no `PF`",
        ),
    ] {
        let refusal = refusal(&[file(&path, "")]);
        assert!(refusal.contains(says), "{path}: {refusal}");
    }
    for path in [
        format!("{site}/~equests-2.0.dist-info/RECORD"),
        "app/node_modules/.bin/tool.js".into(),
        "app/node_modules/.cache/x/y.js".into(),
        "app/old_node_modules/a/index.js".into(),
    ] {
        assert_eq!(refusal(&[file(&path, "")]), "", "{path}");
    }
}

/// Programs whose origin nothing tells: stripped jars, Go without its list, packed files.
#[test]
fn programs_that_tell_of_nothing_are_not_judged_unless_the_distribution_brought_them() {
    let jar = |entries: &[(&str, &str)]| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, text) in entries {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(*name, options).unwrap();
            std::io::Write::write_all(&mut zip, text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let manifest = ("META-INF/MANIFEST.MF", "Main-Class: a.B\r\n");
    let nameless = jar(&[manifest, ("a/B.class", "")]);
    let at = |path: &str, bytes: &[u8]| (path.to_string(), 0o644, bytes.to_vec());
    let says = "neither its name, its manifest nor a `pom.properties` tells a version";
    for path in ["app/app.jar", "app/APP.Jar", "app/program"] {
        let refusal = refusal(&[at(path, &nameless)]);
        assert!(refusal.contains(says), "{path}: {refusal}");
    }
    let status = "Package: a\nStatus: install ok installed\nVersion: 1\n";
    let debian = [
        at("app/app.jar", &nameless),
        file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        file("var/lib/dpkg/status", status),
        file("var/lib/dpkg/info/a.list", "/.\n/app\n/app/app.jar\n"),
    ];
    assert_eq!(refusal(&debian), "");
    let odd = jar(&[("META-INF/maven/g/a/pom.properties", "version=1\n")]);
    let unread = refusal(&[at("app/app-1.jar", &odd)]);
    assert!(unread.contains("tells no group"), "{unread}");
    let resources = jar(&[manifest, ("messages.properties", "")]);
    assert_eq!(refusal(&[at("app/app.jar", &resources)]), "");
    let packed = [b"\x7fELF".as_slice(), &[0; 200], b"UPX!", &[0; 2000]].concat();
    let refusal = refusal(&[at("usr/bin/tool", &packed)]);
    assert!(refusal.contains("packed by UPX"), "{refusal}");
}

/// A jar that was built by Gradle does not tell its group: its artifact may be that of any.
#[test]
fn a_jar_of_an_unknown_group_is_judged_by_its_artifact() {
    let advisory = |group: &str| {
        let name = format!("{group}:okhttp");
        serde_json::json!({
            "id": format!("GHSA-{group}"), "modified": "2026-06-01T00:00:00Z",
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected": [{"package": {"ecosystem": "Maven", "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "4.9.2"}]}]}]
        })
    };
    let ground = Ground::new().advisory(advisory("com.squareup.okhttp3"));
    let ground = ground.advisory(advisory("org.other"));
    let empty = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let found = |path: &str| {
        let image = ground.image("app", &[&[(path.to_string(), 0o644, empty.to_vec())]]);
        let verdict = ground.scan(&[image]);
        let judged = &verdict.images[0].platforms[0].findings;
        let ids = judged.iter().map(|j| j.finding.id.clone());
        ids.filter(|id| id.starts_with("GHSA")).collect::<Vec<_>>()
    };
    let both = ["GHSA-com.squareup.okhttp3", "GHSA-org.other"];
    assert_eq!(found("app/okhttp-4.9.0.jar"), both);
    assert!(found("app/okhttp-4.9.2.jar").is_empty());
    // Repositories name the group by their directories.
    let home = "root/.m2/repository/com/squareup/okhttp3/okhttp/4.9.0/okhttp-4.9.0.jar";
    assert_eq!(found(home), both[..1]);
    let gradle = "files-2.1/org.other/okhttp/4.9.0/0123/okhttp-4.9.0.jar";
    assert_eq!(found(gradle), both[1..]);
}

#[test]
fn packages_of_another_package_manager_than_the_distributions_are_not_judged() {
    let status = "Package: a\nStatus: install ok installed\nVersion: 1\n";
    let refusal = refusal(&[
        file("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        file("var/lib/dpkg/status", status),
        file("lib/apk/db/installed", "P:musl\nV:1-r0\n\n"),
    ]);
    let says = "a package in the format apk not judged: Debian:12 has none of them";
    assert!(refusal.contains(says), "{refusal}");
}

#[test]
fn password_files_are_read_whatever_their_size_and_bytes() {
    let ground = Ground::new().advisory(OPENSSL);
    let mut long = vec![0; 17 << 20];
    long.extend_from_slice(b"\nmachine a password b\n");
    let link = |path: &str, target: &str| {
        let kind = EntryKind::Symlink {
            target: target.as_bytes().to_vec(),
        };
        Entry {
            kind,
            ..Entry::file(path, 0o777, 0)
        }
    };
    let token = b"\0\n//registry.example/:_authToken=abcdef\n".to_vec();
    let image = ground.image_of(
        "app",
        vec![vec![
            (
                Entry::file("store/long", 0o600, long.len() as u64),
                long.clone(),
            ),
            (link("root/.netrc", "/store/long"), Vec::new()),
            (
                Entry::file("root/.npmrc", 0o600, token.len() as u64),
                token.clone(),
            ),
        ]],
    );
    let found = inventory(&ground, image).secrets;
    let found: Vec<_> = found.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(found, ["root/.netrc", "root/.npmrc"]);
}

/// Whether a directory that is called `vendor` is Composer's, Composer's list says.
#[test]
fn lock_files_of_installed_packages_alone_are_left_out_and_it_is_said() {
    let lock = r#"{"packages":[{"name":"a/b","version":"1.0.0"}]}"#;
    let at = "srv/vendor/shop/app/composer.lock";
    let list = "srv/vendor/composer/installed.json";
    let inside = "app/node_modules/x/yarn.lock";
    for (files, packages, left_out) in [
        (vec![file(at, lock)], 1, vec![]),
        (vec![file(at, lock), file(list, "[]")], 0, vec![at]),
        (vec![file(inside, ""), file(at, lock)], 1, vec![inside]),
    ] {
        let ground = Ground::new().advisory(OPENSSL);
        let image = ground.image("app", &[&files]);
        let verdict = ground.scan(&[image]);
        let warnings = verdict.warnings.join("\n");
        let inventory = verdict.inventories.into_values().next().unwrap();
        assert_eq!(inventory.packages.len(), packages, "{files:?}");
        assert_eq!(inventory.left_out, left_out);
        assert!(left_out.iter().all(|path| warnings.contains(path)));
    }
}
