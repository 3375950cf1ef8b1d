//! What reads bytes from outside, as functions of bytes. Whatever the bytes, a target
//! returns: it does not panic, loop or ask for memory without bounds, and what it
//! asserts holds. `fuzz/` drives them with libFuzzer; `tests/it/fuzz.rs` with mutations
//! of real input on a stable compiler.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::Read;

use imgmake_dockerfile::ignore::{Ignore, Parent};
use imgmake_dockerfile::lint::{Facts, lint};
use imgmake_dockerfile::wildcard::Wildcard;
use imgmake_dockerfile::{Dockerfile, Escape, parse_trigger, words};
use imgmake_event::Cancel;
use imgmake_oci::image::{
    Digest, ImageConfig, ImageIndex, ImageManifest, ManifestOrIndex, Platform, Reference,
    from_json, to_json,
};
use imgmake_oci::layer::{Content, Index, LayerReader, View, decompress, write_content};
use imgmake_oci::signature::{PublicKey, SigningKey, Statement, Unsealed, Verdict, bundle, judge};
use imgmake_oci::store::Store;
use imgmake_scan as scan;

pub type Target = fn(&[u8]);

/// By name; each has a file of that name in `fuzz_targets/`.
pub const TARGETS: [(&str, Target); 38] = [
    ("dockerfile", dockerfile),
    ("words", words_of_dockerfiles),
    ("ignore", ignore),
    ("manifest", manifest),
    ("reference", reference),
    ("source_list", source_list),
    ("layer", layer),
    ("archive", archive),
    ("docker_manifest", docker_manifest),
    ("oci_index", oci_index),
    ("documents", documents),
    ("challenge", challenge),
    ("registry_answer", registry_answer),
    ("logins", logins),
    ("sparse", sparse),
    ("pax", pax),
    ("rpm_sqlite", rpm_sqlite),
    ("rpm_ndb", rpm_ndb),
    ("rpm_berkeley", rpm_berkeley),
    ("rpm_sqlite_log", rpm_sqlite_log),
    ("program", program),
    ("jar", jar),
    ("jar_texts", jar_texts),
    ("package_lists", package_lists),
    ("systems", systems),
    ("advisory", advisory),
    ("advisory_zip", advisory_zip),
    ("versions", versions),
    ("policy", policy),
    ("lists", lists),
    ("report", report),
    ("signed", signed),
    ("git_answer", git_answer),
    ("bake", bake),
    ("plugin", plugin),
    ("kaniko", kaniko),
    ("docker_build", docker_build),
    ("store_record", store_record),
];

fn environment(name: &str) -> Option<String> {
    match name {
        "A" => Some("a/b-c.tar.gz".into()),
        "EMPTY" => Some(String::new()),
        "ODD" => Some("${A} $A 'q' \"\\".into()),
        _ => None,
    }
}

/// Parsing, printing and parsing again agree; everything expands or says why not.
pub fn dockerfile(bytes: &[u8]) {
    let lines = 1 + bytes.iter().filter(|b| **b == b'\n').count();
    let file = match Dockerfile::parse(bytes) {
        Ok(file) => file,
        Err(errors) => {
            let placed = |line: usize| (1..=lines).contains(&line);
            assert!(
                !errors.0.is_empty() && errors.0.iter().all(|e| placed(e.line)),
                "{errors}"
            );
            return;
        }
    };
    let printed = file.to_string();
    let again = Dockerfile::parse(printed.as_bytes()).expect("what was printed parses");
    assert_eq!(printed, again.to_string());
    let escape = file.directives.escape;
    for stage in &file.stages {
        for instruction in &stage.instructions {
            let _ = instruction.expand(&environment, escape);
            let _ = parse_trigger(&instruction.text);
        }
        let _ = stage.from.value.expand_image(&environment, escape);
    }
    let args: BTreeMap<String, String> = [("A".to_string(), "x".to_string())].into();
    let facts = Facts {
        build_args: Some(&args),
        ..Facts::default()
    };
    for warning in lint(&file, &facts) {
        assert!((1..=lines).contains(&warning.line), "{warning}");
    }
}

pub fn words_of_dockerfiles(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for escape in [Escape::Backslash, Escape::Backtick] {
        let _ = words::expand(&text, &environment, escape);
        let _ = words::expand_words(&text, &environment, escape);
        let _ = words::expand_for_display(&text, &environment, escape);
    }
    let _ = words::expand_text(&text, &environment);
}

/// Patterns, a blank line, a path. A walk from the root comes to the verdict of the path alone.
pub fn ignore(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (patterns, path) = text.rsplit_once("\n\n").unwrap_or((&text, "a/b/c"));
    if let Ok(wildcard) = Wildcard::new(patterns.lines().next().unwrap_or_default()) {
        let _ = wildcard.matches(path.as_bytes());
    }
    let Ok(ignore) = Ignore::parse(patterns) else {
        return;
    };
    let parts: Vec<&str> = path
        .split('/')
        .filter(|p| !["", ".", ".."].contains(p))
        .collect();
    let mut parent = Parent::default();
    for depth in 1..=parts.len().min(40) {
        let here = parts[..depth].join("/");
        let (verdict, next) = ignore.descend(&here, &parent);
        assert_eq!(
            verdict.is_hidden(),
            ignore.is_hidden(&here),
            "{here:?} in {patterns:?}"
        );
        parent = next;
    }
}

pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let missing = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let facts = imgmake_core::manifest::Facts::default();
    if let Err(found) = imgmake_core::manifest::load("imgmake.kdl", text, &facts, &missing) {
        assert!(!found.is_empty());
        for diagnostic in found {
            assert!(diagnostic.span.end <= text.len(), "{diagnostic:?}");
        }
    }
}

/// A list that is accepted is written as one that is accepted, and none of its paths leads out of the source.
pub fn source_list(bytes: &[u8]) {
    let Ok(list) = imgmake_core::share::SourceList::parse(bytes) else {
        return;
    };
    let written = list.to_bytes();
    assert_eq!(
        imgmake_core::share::SourceList::parse(&written),
        Ok(list.clone())
    );
    for entry in &list.entries {
        let path = imgmake_core::share::decode_path(entry.path()).expect("it was accepted");
        let mut parts = path.split(|byte| *byte == b'/');
        assert!(parts.all(|part| !matches!(part, b"" | b"." | b".." | b".imgmake")));
    }
}

/// What parses prints as something that parses to the same.
pub fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(
            reference.to_string().parse::<Reference>().ok(),
            Some(reference.clone())
        );
        assert_eq!(
            reference.familiar().parse::<Reference>().ok(),
            Some(reference)
        );
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(
            platform.to_string().parse::<Platform>().ok(),
            Some(platform)
        );
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
    }
}

/// Expansion beyond this is a matter of time, not of reading.
const MOST: u64 = 8 << 20;

/// A layer's tar, packed or not: entries, index, whiteouts, merged view.
pub fn layer(bytes: &[u8]) {
    if let Ok(plain) = decompress(bytes)
        && let Ok(index) = Index::read(plain.take(MOST))
    {
        let encoded = index.encode();
        let again = Index::decode(&encoded).expect("what was encoded is decoded");
        assert_eq!(again.entries, index.entries);
        let view = View::new(&[index.into(), again.into()]);
        let _ = view.walk(b"").count();
    }
    let _ = Index::decode(bytes);
    let mut reader = LayerReader::new(bytes);
    while let Ok(Some(entry)) = reader.next_entry() {
        let read = std::io::copy(&mut (&mut reader).take(MOST), &mut std::io::sink());
        assert!(
            read.map_or(true, |n| n <= entry.size()),
            "more than {} bytes",
            entry.size()
        );
    }
}

/// A directory of this thread, with a store in it.
struct Ground {
    directory: tempfile::TempDir,
    store: Store,
}

fn with_ground<T>(act: impl FnOnce(&Ground) -> T) -> T {
    thread_local!(static GROUND: OnceCell<Ground> = const { OnceCell::new() });
    GROUND.with(|ground| {
        act(ground.get_or_init(|| {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let store = Store::open(&directory.path().join("store")).expect("a store");
            Ground { directory, store }
        }))
    })
}

/// The whole file: docker archive, OCI archive, root file system, or nothing of the kind.
pub fn archive(bytes: &[u8]) {
    with_ground(|ground| {
        let file = ground.directory.path().join("image.tar");
        std::fs::write(&file, bytes).expect("the directory takes files");
        let _ = imgmake_oci::archive::read(&ground.store, &file, None);
    });
}

/// `manifest.json` of a docker archive whose other members are there.
pub fn docker_manifest(bytes: &[u8]) {
    let mut tar = tar::Builder::new(Vec::new());
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    for (name, content) in [
        ("manifest.json", bytes),
        ("config.json", config),
        ("layer.tar", b""),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content)
            .expect("a vector takes bytes");
    }
    archive(&tar.into_inner().expect("a vector takes bytes"));
}

/// `index.json` of a layout.
pub fn oci_index(bytes: &[u8]) {
    with_ground(|ground| {
        let layout = ground.directory.path().join("layout");
        std::fs::create_dir_all(layout.join("blobs/sha256")).expect("the directory takes files");
        let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
        std::fs::write(layout.join("oci-layout"), version).expect("the directory takes files");
        std::fs::write(layout.join("index.json"), bytes).expect("the directory takes files");
        let _ = imgmake_oci::archive::read(&ground.store, &layout, None);
    });
}

/// Whatever a record's file holds, the store gives what was written under that name, or
/// nothing; and what it gives nothing of is gone.
pub fn store_record(bytes: &[u8]) {
    with_ground(|ground| {
        let store = &ground.store;
        let layer = Digest::of(b"a layer");
        let write = |path: &str| {
            let file = store.root().join(path);
            std::fs::write(&file, bytes).expect("the store takes files");
            file
        };
        store.put_step("a", bytes).expect("the store takes files");
        assert_eq!(store.step("a").as_deref(), Some(bytes));
        // The head alone, which is what a reader meets first, and nothing of what it promises.
        let kept = std::fs::read(store.root().join("steps/a")).expect("it was written");
        let head = &kept[..kept.len() - bytes.len()];
        let cut = [head, &bytes[..bytes.len() / 2]].concat();
        std::fs::write(store.root().join("steps/a"), &cut).expect("the store takes files");
        assert_eq!(store.step("a").is_some(), bytes.is_empty());
        let unsealed = write("steps/another");
        assert_eq!(store.step("another"), None);
        assert!(!unsealed.exists() && !store.take_damage().is_empty());
        write(&format!("indexes/{}", layer.hex()));
        assert!(!store.has_index(&layer));
        write("images/b");
        assert!(store.images().is_empty());
        let _ = Index::decode(bytes);
        let tree = store.tree_path("root", &layer);
        let sealed = store.seal(&tree, bytes);
        assert_eq!(store.unseal(&tree, &sealed).as_deref(), Some(bytes));
        assert_eq!(store.unseal(&store.root().join("other"), &sealed), None);
        assert_eq!(store.unseal(&tree, bytes), None);
    });
}

/// What registries answer: manifests, indexes, configurations.
pub fn documents(bytes: &[u8]) {
    if let Ok(manifest) = from_json::<ImageManifest>(bytes) {
        let again: ImageManifest = from_json(&to_json(&manifest)).expect("ours is read");
        assert_eq!(to_json(&again), to_json(&manifest));
    }
    if let Ok(index) = from_json::<ImageIndex>(bytes) {
        let _: ImageIndex = from_json(&to_json(&index)).expect("ours is read");
    }
    if let Ok(config) = from_json::<ImageConfig>(bytes) {
        let again: ImageConfig = from_json(&to_json(&config)).expect("ours is read");
        assert_eq!(to_json(&again), to_json(&config));
        let _ = config.platform().to_string();
    }
    let _ = ManifestOrIndex::parse(bytes, None);
}

/// Checksums put right, so that mutations get past them: of the first header, and of every
/// block that looks like one.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut tar = bytes.to_vec();
    for (number, block) in tar.as_chunks_mut::<512>().0.iter_mut().enumerate() {
        if number > 0 && &block[257..262] != b"ustar" {
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

/// Holes skipped and holes read as zeros are the same file.
pub fn sparse(bytes: &[u8]) {
    let tar = with_checksums(bytes);
    let (mut read, mut skipped) = (LayerReader::new(&tar[..]), LayerReader::new(&tar[..]));
    loop {
        let (one, other) = (read.next_entry(), skipped.next_entry());
        assert_eq!(one.is_ok(), other.is_ok());
        let (Ok(Some(one)), Ok(Some(other))) = (one, other) else {
            return;
        };
        assert_eq!(one, other);
        if one.size() > MOST {
            // Of what claims to be huge, the holes alone.
            while skipped.skip_hole().is_ok_and(|hole| hole > 0) {}
            continue;
        }
        let mut whole = Vec::new();
        let all = read.read_to_end(&mut whole);
        let file = tempfile::tempfile().expect("a temporary file");
        let written = write_content(&mut skipped, &file, 0, &mut vec![0; 64 << 10]);
        assert_eq!(all.is_ok(), written.is_ok());
        if let Ok(written) = written {
            let mut found = vec![1; written as usize];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, 0)
                .expect("it was written");
            assert_eq!((found.len() as u64, &found), (one.size(), &whole));
        }
    }
}

/// Any tar with right checksums, wherever its records and long names lead.
pub fn pax(bytes: &[u8]) {
    layer(&with_checksums(bytes));
}

pub fn rpm_sqlite(bytes: &[u8]) {
    let _ = scan::packages_in("usr/lib/sysimage/rpm/rpmdb.sqlite", bytes);
}

pub fn rpm_ndb(bytes: &[u8]) {
    let _ = scan::packages_in("usr/lib/sysimage/rpm/Packages.db", bytes);
}

pub fn rpm_berkeley(bytes: &[u8]) {
    let _ = scan::packages_in("var/lib/rpm/Packages", bytes);
}

/// A database of pages of 512 bytes, and what stands in a log behind it: both follow a length.
pub fn rpm_sqlite_log(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let at = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (database, log) = rest.split_at(at);
    let _ = scan::packages_in_logged(database, log);
}

/// An executable: what Go and `cargo auditable` leave in it.
pub fn program(bytes: &[u8]) {
    let _ = scan::packages_in("usr/bin/program", bytes);
}

pub fn jar(bytes: &[u8]) {
    let _ = scan::packages_in("app.jar", bytes);
}

/// The manifest of a jar, and Maven's properties in it.
pub fn jar_texts(bytes: &[u8]) {
    let mut archive = stored_zip(&[
        ("META-INF/MANIFEST.MF", bytes),
        ("META-INF/maven/g/a/pom.properties", bytes),
    ]);
    for path in ["app.jar", "a-1.0.jar", "repository/g/a/1/a-1.jar"] {
        let _ = scan::packages_in(path, &archive);
    }
    archive.truncate(bytes.len());
    let _ = scan::packages_in("app.jar", &archive);
}

/// Stored files in a zip.
fn stored_zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let (begin, size) = (archive.len() as u32, content.len() as u32);
        let mut fields = vec![10, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        fields.extend(crc(content).to_le_bytes());
        fields.extend(size.to_le_bytes());
        fields.extend(size.to_le_bytes());
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0, 0]);
        archive.extend(b"PK\x03\x04");
        archive.extend(&fields);
        archive.extend(name.as_bytes());
        archive.extend(*content);
        directory.extend(b"PK\x01\x02\x0a\0");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend(begin.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (count, begin) = (files.len() as u16, archive.len() as u32);
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(count.to_le_bytes());
    archive.extend(count.to_le_bytes());
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(begin.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

/// Lists that are text, each reader with every input.
pub fn package_lists(bytes: &[u8]) {
    for path in [
        "var/lib/dpkg/status",
        "lib/apk/db/installed",
        "etc/os-release",
        "app/Cargo.lock",
        "app/package-lock.json",
        "app/node_modules/a/package.json",
        "app/yarn.lock",
        "app/pnpm-lock.yaml",
        "usr/lib/python3/site-packages/a.dist-info/METADATA",
        "usr/lib/ruby/specifications/a.gemspec",
        "app/Gemfile.lock",
        "app/composer.lock",
        "app/vendor/composer/installed.json",
        "app/a.deps.json",
        "app/bun.lock",
        "app/uv.lock",
        "app/poetry.lock",
        "app/Pipfile.lock",
        "app/packages.lock.json",
        "app/META-INF/maven/g/a/pom.properties",
        "root/.docker/config.json",
    ] {
        let _ = scan::packages_in(path, bytes);
    }
}

/// What systems without advisories, runtimes and vendors write, each reader with every input.
pub fn systems(bytes: &[u8]) {
    for path in [
        "var/lib/opkg/status",
        "var/lib/pacman/local/a-1-1/desc",
        "var/db/pkg/sys-libs/a-1/PF",
        "opt/conda/conda-meta/a-1-0.json",
        "var/lib/rpmmanifest/container-manifest-2",
        "var/lib/chisel/manifest.wall",
        "opt/bitnami/a/.spdx-a.spdx",
        "srv/wp-includes/version.php",
        "srv/wp-content/plugins/a/a.php",
        "srv/.pnp.cjs",
        "srv/.pnp.data.json",
        "usr/lib/python3/site-packages/a-1.0-py3.egg",
    ] {
        let _ = scan::packages_in(path, bytes);
    }
}

/// An OSV document; vectors of its own as well.
pub fn advisory(bytes: &[u8]) {
    let _ = scan::advisories_in(bytes);
    for line in String::from_utf8_lossy(bytes).lines() {
        let _ = scan::severity_of(line);
    }
}

/// The archive that advisories come in.
pub fn advisory_zip(bytes: &[u8]) {
    with_ground(|ground| {
        let file = ground.directory.path().join("all.zip");
        std::fs::write(&file, bytes).expect("the directory takes files");
        let _ = scan::import_advisories(&[file], &ground.store, &Cancel::default());
    });
}

/// An order is one: the other way round it is the other way round.
pub fn versions(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (a, b) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    for ecosystem in [
        "Debian",
        "Alpine",
        "AlmaLinux",
        "PyPI",
        "Maven",
        "RubyGems",
        "Packagist",
        "npm",
    ] {
        let order = scan::compare_versions(ecosystem, a, b);
        let back = scan::compare_versions(ecosystem, b, a);
        assert_eq!(
            order.map(std::cmp::Ordering::reverse),
            back,
            "{ecosystem}: {a:?} {b:?}"
        );
    }
}

/// `.trivyignore`, plain or YAML, and OpenVEX.
pub fn policy(bytes: &[u8]) {
    let _ = scan::understands_policy(&scan::TextFile {
        name: "file".to_string(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    });
}

/// EPSS, plain and in gzip, and KEV.
pub fn lists(bytes: &[u8]) {
    let _ = scan::understands_list(&scan::ListFile {
        name: "file".to_string(),
        bytes: bytes.to_vec(),
    });
}

/// SARIF, Trivy's JSON and Grype's.
pub fn report(bytes: &[u8]) {
    let _ = scan::findings_in(bytes);
}

/// What is beside an image that is signed, and keys: nothing that a key did not sign counts.
pub fn signed(bytes: &[u8]) {
    let image = Digest::of(b"an image");
    if let Ok(key) = PublicKey::from_pem(bytes) {
        assert!(!key.verifies(b"message", bytes));
    }
    let _ = SigningKey::from_pem(bytes, Some(b"password"));
    let _ = Statement::parse(bytes).is_some_and(|statement| statement.is_about(&image));
    let pem = include_bytes!("../crates/imgmake-oci/tests/data/keys/cosign.pub");
    let key = PublicKey::from_pem(pem).expect("a key of ours");
    assert!(!matches!(
        bundle::unseal(bytes, &[&key], &[&image]),
        Unsealed::Good(_)
    ));
    let text = String::from_utf8_lossy(bytes);
    assert!(!matches!(
        judge(bytes, &text, &[&key], &[&image]),
        Verdict::Good(_)
    ));
}

/// Everything that a git server may say, up to the end of a pack.
pub fn git_answer(bytes: &[u8]) {
    let _ = imgmake_git::understands_answer(bytes);
}

/// A bake file, as HCL and as JSON.
pub fn bake(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for file in ["docker-bake.hcl", "docker-bake.json"] {
        let _ = imgmake_compat::import::bake::read(&imgmake_compat::import::bake::Request {
            files: &[imgmake_compat::import::bake::File {
                name: file,
                text: &text,
            }],
            environment: &BTreeMap::new(),
            wanted: &[],
            overrides: &[],
            now: "2026-01-31T23:59:59Z",
            unsayable: imgmake_compat::import::bake::Unsayable::Refused,
            others: &imgmake_compat::import::bake::NO_OTHERS,
            valueless: imgmake_compat::import::bake::Valueless::Now,
        });
    }
}

/// `NAME=value` lines as a step's variables, for a plugin of each family.
pub fn plugin(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let environment: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let workspace = workspace(&environment);
    for name in [
        "kaniko-docker",
        "drone-docker",
        "drone-ecr",
        "buildah-docker",
    ] {
        let entry =
            imgmake_compat::plugin::EntryPoint::named(name).expect("there is such a plugin");
        let _ = imgmake_compat::plugin::interpret(entry, &workspace);
    }
}

/// kaniko's arguments, one a line.
pub fn kaniko(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let arguments: Vec<String> = text.lines().map(str::to_string).collect();
    let environment = BTreeMap::new();
    let _ = imgmake_compat::plugin::kaniko::interpret(&arguments, &workspace(&environment));
}

/// Without any file.
fn workspace(environment: &BTreeMap<String, String>) -> imgmake_compat::plugin::Workspace<'_> {
    imgmake_compat::plugin::Workspace {
        environment,
        read: &|_| Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        now: "2026-01-31T23:59:59Z",
    }
}

/// The command line of `docker build`: a letter for the flag in each line, then its value.
pub fn docker_build(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut build = imgmake_compat::import::docker::DockerBuild {
        context: ".".to_string(),
        ..Default::default()
    };
    for line in text.lines() {
        let Some(flag) = line.chars().next() else {
            continue;
        };
        let value = line[flag.len_utf8()..].to_string();
        match flag {
            'c' => build.context = value,
            'f' => build.dockerfile = Some(value),
            't' => build.tags.push(value),
            'a' => build.args.push(value),
            'g' => build.target = Some(value),
            'p' => build.platforms.push(value),
            'l' => build.labels.push(value),
            'n' => build.annotations.push(value),
            's' => build.secrets.push(value),
            'h' => build.ssh.push(value),
            'd' => build.add_hosts.push(value),
            'x' => build.contexts.push(value),
            'o' => build.outputs.push(value),
            'P' => build.push = true,
            _ => build.load = true,
        }
    }
    let _ = imgmake_compat::import::docker::manifest(&build);
}

/// Tokens, errors and lists of what refers to an image.
pub fn registry_answer(bytes: &[u8]) {
    imgmake_registry::fuzzing::answer(bytes);
}

/// docker's `config.json`.
pub fn logins(bytes: &[u8]) {
    imgmake_registry::fuzzing::logins(bytes);
}

pub fn challenge(bytes: &[u8]) {
    let _ = imgmake_registry::understands_challenge(&String::from_utf8_lossy(bytes));
}
