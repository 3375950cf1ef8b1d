//! Packages are found by every name that they have in the final tree.

use super::ground::{Ground, OPENSSL};
use crate::inventory;
use imgmake_event::Cancel;
use imgmake_oci::image::{ImageManifest, from_json};
use imgmake_oci::layer::Entry;

type Files = Vec<(Entry, Vec<u8>)>;

fn file(path: &str, text: &str) -> (Entry, Vec<u8>) {
    (Entry::file(path, 0o644, text.len() as u64), text.into())
}

fn link(path: &str, target: &str) -> (Entry, Vec<u8>) {
    (Entry::symlink(path, target), Vec::new())
}

fn hard(path: &str, target: &str) -> (Entry, Vec<u8>) {
    (Entry::hard_link(path, target, 0o644), Vec::new())
}

fn module(name: &str, version: &str) -> String {
    format!(r#"{{"name":"{name}","version":"{version}"}}"#)
}

const DPKG: &str = "Package: tar\nStatus: install ok installed\nVersion: 1.34\n\n";
const DEBIAN: &str = "ID=debian\nVERSION_ID=12\n";

/// `name@version path` of each package, and the number of its layer; then the release.
fn found(layers: Vec<Files>) -> (Vec<String>, Option<String>) {
    let ground = Ground::new().advisory(OPENSSL);
    let image = ground.image_of("app", layers);
    let bytes = ground.store.read_blob(&image.root.digest, 1 << 20).unwrap();
    let manifest: ImageManifest = from_json(&bytes).unwrap();
    let layers = &manifest.layers;
    let inventory = inventory::take(layers, &ground.store, &Cancel::default()).unwrap();
    assert!(inventory.gaps.is_empty(), "{:?}", inventory.gaps);
    let of = |located: &inventory::Located| {
        let package = &located.package;
        let layer = layers.iter().position(|l| l.digest == located.layer);
        let (path, layer) = (&located.path, layer.unwrap());
        format!("{}@{} {path} {layer}", package.name, package.version)
    };
    let secrets = inventory.secrets.iter();
    let secrets = secrets.map(|s| format!("{} {}", s.rule, s.path));
    let packages = inventory.packages.iter().map(of).chain(secrets);
    (packages.collect(), inventory.distribution.map(|d| d.id))
}

fn packages(layers: Vec<Files>) -> Vec<String> {
    found(layers).0
}

#[test]
fn the_last_layer_wins_and_whiteouts_hide_only_what_is_below() {
    let at = |directory: &str| format!("{directory}/node_modules/a/package.json");
    let layers = vec![
        ["a", "b", "c/d", "c2", "e"]
            .map(|d| file(&at(d), &module("a", "1.0")))
            .to_vec(),
        vec![
            file(&at("a"), &module("a", "2.0")),
            file(".wh.b", ""),
            file("c/.wh..wh..opq", ""),
            file("e/node_modules/x/package.json", &module("x", "2.0")),
            file("e/.wh..wh..opq", ""),
        ],
    ];
    let (a, c2, e) = (at("a"), at("c2"), "e/node_modules/x/package.json");
    let expected = [
        format!("a@1.0 {c2} 0"),
        format!("a@2.0 {a} 1"),
        format!("x@2.0 {e} 1"),
    ];
    assert_eq!(packages(layers), expected);
}

/// The place of each package and the further ones.
fn places(layers: Vec<Files>) -> Vec<(String, Vec<String>)> {
    let ground = Ground::new().advisory(OPENSSL);
    let image = ground.image_of("app", layers);
    let bytes = ground.store.read_blob(&image.root.digest, 1 << 20).unwrap();
    let manifest: ImageManifest = from_json(&bytes).unwrap();
    let layers = &manifest.layers;
    let inventory = inventory::take(layers, &ground.store, &Cancel::default()).unwrap();
    let packages = inventory.packages.into_iter();
    packages.map(|l| (l.path, l.other_paths)).collect()
}

#[test]
fn a_package_has_every_place_in_which_it_is_used() {
    // By way of two links: the shorter one first.
    let layers = vec![vec![
        file("store/1/package.json", &module("a", "1.0")),
        link("tests/node_modules/a", "/store/1"),
        link("srv/app/node_modules/a", "/store/1"),
    ]];
    let (short, long) = (
        "tests/node_modules/a/package.json",
        "srv/app/node_modules/a/package.json",
    );
    assert_eq!(
        places(layers),
        [(short.to_string(), vec![long.to_string()])]
    );
    // Locked elsewhere than it is installed.
    let text = r#"{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0"}}}"#;
    let installed = file(short, &module("a", "1.0"));
    for (lock, others) in [
        ("app/package-lock.json", vec!["app/package-lock.json"]),
        ("package-lock.json", vec!["package-lock.json"]),
        ("tests/package-lock.json", vec![]),
    ] {
        let found = places(vec![vec![installed.clone(), file(lock, text)]]);
        let others: Vec<String> = others.into_iter().map(String::from).collect();
        assert_eq!(found, [(short.to_string(), others)], "{lock}");
    }
    // Installed where the lock file says, and elsewhere: each by itself.
    let own = "app/node_modules/a/package.json";
    let found = places(vec![vec![
        installed,
        file(own, &module("a", "1.0")),
        file("app/package-lock.json", text),
    ]]);
    let expected = [own, short].map(|path| (path.to_string(), Vec::new()));
    assert_eq!(found, expected);
}

/// Yarn without inlining: the program asks for its table.
#[test]
fn a_table_of_plug_n_play_may_be_beside_its_program() {
    let program = file(
        ".pnp.cjs",
        "return hydrateRuntimeState(require(dataLocation), {});",
    );
    let table = file(
        ".pnp.data.json",
        r#"{"packageRegistryData":[["a",[["npm:1.0.0",{}]]]]}"#,
    );
    for (files, packages, unread) in [(vec![program.clone()], 0, 1), (vec![program, table], 1, 0)] {
        let ground = Ground::new().advisory(OPENSSL);
        let image = ground.image_of("app", vec![files]);
        let verdict = ground.scan(&[image]);
        let inventory = verdict.inventories.into_values().next().unwrap();
        assert_eq!(inventory.packages.len(), packages);
        assert_eq!(inventory.unread.len(), unread, "{:?}", inventory.unread);
    }
}

#[test]
fn a_hard_link_is_what_each_of_its_names_says() {
    // As pnpm installs: one store, and hard links to its files.
    let store = "root/.local/share/pnpm/store/v3/files/ab/cdef";
    let at = "app/node_modules/.pnpm/a@1.0/node_modules/a/package.json";
    let installed = vec![file(store, &module("a", "1.0")), hard(at, store)];
    let expected = [format!("a@1.0 {at} 0")];
    assert_eq!(packages(vec![installed.clone()]), expected);
    // The store is gone, or the link comes with a later layer.
    let without = vec![file("root/.local/share/pnpm/.wh.store", "")];
    assert_eq!(packages(vec![installed.clone(), without]), expected);
    let [stored, linked] = &installed[..] else {
        panic!()
    };
    let later = vec![vec![stored.clone()], vec![linked.clone()]];
    assert_eq!(packages(later), expected);
    // A name that says nothing keeps nothing installed.
    let backup = hard("var/backups/status", "var/lib/dpkg/status");
    let layers = vec![
        vec![file("var/lib/dpkg/status", DPKG), backup],
        vec![file("var/lib/dpkg/status", "")],
    ];
    assert_eq!(packages(layers), [""; 0]);
    // Links to links, and a name that is taken by another file after it was linked.
    let layers = vec![vec![
        file("x", &module("a", "1.0")),
        hard("y", "x"),
        hard("node_modules/a/package.json", "y"),
        file("x", &module("a", "3.0")),
    ]];
    assert_eq!(packages(layers), ["a@1.0 node_modules/a/package.json 0"]);
    // Passwords are what they are by any name.
    let layers = vec![vec![
        file("store/x", "machine a password b\n"),
        hard("root/.netrc", "store/x"),
    ]];
    assert_eq!(packages(layers), ["netrc root/.netrc"]);
}

#[test]
fn databases_are_found_behind_links_on_any_part_of_the_way() {
    let release = ("etc/os-release", "../data/release");
    for (links, at) in [
        (vec![("var/lib/dpkg", "/opt/dpkg")], "opt/dpkg/status"),
        (vec![("var/lib/dpkg/status", "../../../s")], "s"),
        (vec![("var", "data/var")], "data/var/lib/dpkg/status"),
        (vec![("var/lib", "/a/b"), ("a", "/c")], "c/b/dpkg/status"),
        (vec![("var/lib/dpkg/status.d", "/d")], "d/tar"),
    ] {
        let mut layer = vec![file(at, DPKG), file("data/release", DEBIAN)];
        layer.extend(links.iter().chain([&release]).map(|(a, b)| link(a, b)));
        let (packages, distribution) = found(vec![layer]);
        let place = match at {
            "d/tar" => "var/lib/dpkg/status.d/tar",
            _ => "var/lib/dpkg/status",
        };
        assert_eq!(packages, [format!("tar@1.34 {place} 0")], "{links:?}");
        assert_eq!(distribution.as_deref(), Some("debian"), "{links:?}");
    }
}

/// What a later layer writes to the place lands where the link leads.
#[test]
fn a_database_that_is_written_through_a_link_is_the_one_that_counts() {
    let layers = vec![
        vec![
            link("var/lib/dpkg", "/opt/dpkg"),
            file("opt/dpkg/status", &DPKG.replace("1.34", "1.0")),
        ],
        vec![file("var/lib/dpkg/status", DPKG)],
    ];
    assert_eq!(packages(layers), ["tar@1.34 var/lib/dpkg/status 1"]);
}

#[test]
fn packages_are_found_behind_links() {
    let a = module("a", "1.0");
    for (at, links, expected) in [
        (
            "deps/a/package.json",
            vec![("app/node_modules", "/deps")],
            "app/node_modules/a/package.json",
        ),
        (
            "src/a/package.json",
            vec![("app/node_modules/a", "../../src/a")],
            "app/node_modules/a/package.json",
        ),
        (
            "src/a/package.json",
            vec![("app/node_modules", "/n"), ("n/a", "/src/a")],
            "app/node_modules/a/package.json",
        ),
        (
            "deps/@s/a/package.json",
            vec![("app/node_modules", "/deps")],
            "app/node_modules/@s/a/package.json",
        ),
        (
            "x/m",
            vec![("app/node_modules/a/package.json", "/x/m")],
            "app/node_modules/a/package.json",
        ),
        // Found at its own name: told once, there.
        (
            ".pnpm/a@1.0/node_modules/a/package.json",
            vec![("node_modules/a", "../.pnpm/a@1.0/node_modules/a")],
            ".pnpm/a@1.0/node_modules/a/package.json",
        ),
        (
            "usr/lib/node_modules/a/package.json",
            vec![("lib", "usr/lib")],
            "usr/lib/node_modules/a/package.json",
        ),
    ] {
        let mut layer = vec![file(at, &a)];
        layer.extend(links.iter().map(|(path, target)| link(path, target)));
        assert_eq!(packages(vec![layer]), [format!("a@1.0 {expected} 0")]);
    }
}

#[test]
fn links_in_circles_and_to_nowhere_are_nothing() {
    let layer = vec![
        link("a", "b"),
        link("b", "a"),
        link("var/lib/dpkg", "dpkg"),
        link("etc/os-release", "../nowhere"),
        link("node_modules/a", "/"),
        link("up", "."),
        file("usr/lib/os-release", DEBIAN),
        file("package.json", &module("a", "1.0")),
    ];
    let (packages, distribution) = found(vec![layer]);
    assert_eq!(packages, ["a@1.0 node_modules/a/package.json 0"]);
    assert_eq!(distribution.as_deref(), Some("debian"));
}

#[test]
fn what_is_locked_and_installed_is_told_once() {
    let lock = r#"{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0"},"node_modules/b":{"version":"1.0"}}}"#;
    let at = "node_modules/a/package.json";
    let layer = vec![
        file("package-lock.json", lock),
        file(at, &module("a", "1.0")),
    ];
    assert_eq!(
        packages(vec![layer]),
        [format!("a@1.0 {at} 0"), "b@1.0 package-lock.json 0".into()]
    );
}
