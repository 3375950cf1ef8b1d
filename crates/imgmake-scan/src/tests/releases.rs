//! Images whose files speak of two releases, or whose program does not say of which version it is.

use super::ground::{Ground, OPENSSL, file};

const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n";
const STATUS: &str = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\nVersion: 3.0.11-1~deb12u2\n\n";

#[test]
fn an_image_of_two_releases_is_judged_by_neither() {
    let base_files = |version: &str| {
        format!(
            "{STATUS}Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        )
    };
    for (place, text, why) in [
        ("etc/debian_version", "12.5\n", None),
        (
            "etc/debian_version",
            "11.9\n",
            Some("`/etc/debian_version` (`11.9`)"),
        ),
        (
            "etc/alpine-release",
            "3.20.3\n",
            Some("`/etc/alpine-release` (`3.20.3`)"),
        ),
        (
            "usr/lib/os-release",
            "ID=debian\nVERSION_ID=\"11\"\nPRETTY_NAME=\"Debian 11\"\n",
            Some("`/usr/lib/os-release` (`Debian 11`)"),
        ),
        ("usr/lib/os-release", DEBIAN, None),
        (
            "var/lib/dpkg/status",
            &base_files("11.1+deb11u9"),
            Some("the package base-files 11.1+deb11u9"),
        ),
        ("var/lib/dpkg/status", &base_files("12.4+deb12u5"), None),
    ] {
        let ground = Ground::new().advisory(OPENSSL);
        let files = [
            file("etc/os-release", DEBIAN),
            file("var/lib/dpkg/status", STATUS),
        ];
        let image = ground.image("app", &[&files, &[file(place, text)]]);
        let verdict = ground.scan(&[image]);
        let said = verdict.refusals.join("\n");
        assert_eq!(verdict.passed, why.is_none(), "{place}: {said}");
        if let Some(why) = why {
            let says = format!("it says Debian 12, and {why} speaks of another release");
            assert!(said.contains(&says), "{said}");
        }
    }
}

/// Built where it was written, a program of Go does not say which version it is.
#[test]
fn a_go_program_of_no_version_is_judged_where_there_are_advisories_about_it() {
    let program = || {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize(64, 0);
        bytes.extend_from_slice(b"\xff Go buildinf:\x08\x02");
        bytes.resize(96, 0);
        let list = "<<<<<<<<<<<<<<<<path\texample.com/app\nmod\texample.com/app\t(devel)\t\n>>>>>>>>>>>>>>>>";
        for text in ["go1.22.1", list] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.resize(4096, 0);
        ("usr/bin/app".to_string(), 0o755, bytes)
    };
    let advisory = |module: &str| {
        format!(
            r#"{{"id":"GO-1","affected":[{{"package":{{"ecosystem":"Go","name":"{module}"}},
                "ranges":[{{"type":"SEMVER","events":[{{"introduced":"1.0.0"}},{{"fixed":"1.2.0"}}]}}]}}]}}"#
        )
    };
    for (module, passes) in [("example.com/other", true), ("example.com/app", false)] {
        let ground = Ground::new().advisory(advisory(module));
        let image = ground.image("app", &[&[program()]]);
        let verdict = ground.scan(&[image]);
        let said = verdict.refusals.join("\n");
        assert_eq!(verdict.passed, passes, "{said}");
        let says = "Go package example.com/app has version `(devel)`";
        assert!(passes || said.contains(says), "{said}");
    }
}
