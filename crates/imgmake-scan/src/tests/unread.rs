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
        ("app/packages.lock.json", r#"{"version":1}"#),
        ("app/Pipfile.lock", "{}"),
        ("app/poetry.lock", ""),
        ("app/a.deps.json", deps),
        ("usr/share/gems/specifications/a-1.gemspec", "x"),
        ("app/META-INF/maven/g/a/pom.properties", "groupId=g\n"),
        (metadata, "Name: a\n"),
        (metadata, ""),
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
        ("app/a.deps.json", "{}"),
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
