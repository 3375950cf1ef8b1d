//! Databases of advisories: imported, shared by a registry, and large.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::web::{Transport, Web};
use crate::ground::{run, temporary, write};

fn advisory(id: &str, package: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","database_specific":{{"severity":"HIGH"}},"affected":[{{"package":{{"ecosystem":"npm","name":"{package}"}},"ranges":[{{"type":"SEMVER","events":[{{"introduced":"0"}}]}}]}}]}}"#
    )
}

fn project(path: &Path, head: &str, gate: &str) {
    let lock = r#"{"name":"app","lockfileVersion":3,"packages":{"node_modules/left-pad":{"version":"1.3.0"}}}"#;
    write(path, "package-lock.json", lock);
    let manifest = format!(
        "{head}\nbuild app {{ from scratch; copy \"package-lock.json\" to=\"/app/package-lock.json\" }}\nscan gate {{ images app; report json=\"scan.json\"; {gate} }}\n"
    );
    write(path, "imgmake.kdl", manifest);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

#[test]
fn advisories_are_imported_in_each_form_and_damaged_ones_replace_nothing() {
    let directory = temporary();
    let path = directory.path();
    project(path, "", "");
    let bad = advisory("A-1", "left-pad");
    write(path, "osv/npm/A-1.json", &bad);
    write(
        path,
        "list.json",
        format!("[{bad},{}]", advisory("B-1", "other")),
    );
    write(
        path,
        "lines.jsonl",
        format!("{bad}\n\n{}\n", advisory("B-1", "other")),
    );
    write(path, "one.json.gz", gzip(&bad));
    write(path, "lines.jsonl.gz", gzip(&format!("{bad}\n")));
    for name in [
        "osv",
        "list.json",
        "lines.jsonl",
        "one.json.gz",
        "lines.jsonl.gz",
    ] {
        let imgmake = Imgmake::new();
        let said = imgmake.ok(path, &["db", "import", name]);
        assert!(
            said.stdout.contains("digest blake3:"),
            "{name}: {}",
            said.stdout
        );
        imgmake.refused(path, &["gate"], 3, &["A-1 in left-pad"]);
    }
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["db", "import", "lines.jsonl"]);
    for damaged in [&b"{\"id\":1}\n"[..], b"", b"\x1f\x8b", &gzip("x")[..]] {
        std::fs::write(path.join("lines.jsonl"), damaged).unwrap();
        imgmake.refused(
            path,
            &["db", "import", "lines.jsonl"],
            1,
            &["cannot import"],
        );
    }
    // All of them, or none.
    write(path, "good.jsonl", advisory("C-1", "left-pad"));
    for more in [
        ["good.jsonl", "lines.jsonl"],
        ["good.jsonl", "./good.jsonl"],
    ] {
        let arguments = ["db", "import", more[0], more[1]];
        imgmake.refused(path, &arguments, 1, &["cannot import"]);
        let said = imgmake.ok(path, &["db", "status"]);
        assert!(said.stdout.starts_with("2 advisories"), "{}", said.stdout);
    }
    write(path, "advisories.txt", "x");
    imgmake.refused(
        path,
        &["db", "import", "advisories.txt"],
        1,
        &["not a file of advisories"],
    );
    imgmake.refused(path, &["gate"], 3, &["A-1 in left-pad"]);
}

/// A machine of CI that knows the registry and nothing else.
#[test]
fn a_database_is_shared_by_way_of_a_registry() {
    let directory = temporary();
    let (path, registry) = (directory.path(), Registry::start());
    let name = format!("{}/osv:today", registry.host);
    write(path, "a.jsonl", advisory("A-1", "other"));
    let keeper = Imgmake::new();
    let nothing = ["no advisories are stored"];
    project(
        path,
        &format!("registry hub \"{}\"", registry.host),
        &format!("db \"{name}\""),
    );
    keeper.refused(path, &["db", "push", &name], 1, &nothing);
    keeper.ok(path, &["db", "import", "a.jsonl"]);
    let pushed = keeper.ok(path, &["db", "push", &name]);
    let first = registry.digest("osv", "today").unwrap();
    assert!(pushed.stdout.contains(&first), "{}", pushed.stdout);

    let machine = Imgmake::new();
    machine.ok(path, &["gate"]);
    let report = std::fs::read_to_string(path.join("scan.json")).unwrap();
    assert!(report.contains(&first), "{report}");
    let again = machine.ok(path, &["gate"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);

    write(path, "a.jsonl", advisory("A-2", "left-pad"));
    keeper.ok(path, &["db", "import", "a.jsonl"]);
    keeper.ok(path, &["db", "push", &name]);
    machine.refused(path, &["gate"], 3, &["A-2 in left-pad"]);
    // A damaged copy is fetched again; a copy under another tag is the same one.
    let report = std::fs::read_to_string(path.join("scan.json")).unwrap();
    let second = registry.digest("osv", "today").unwrap();
    assert!(report.contains(&second), "{report}");
    keeper.ok(path, &["db", "push", &name.replace("today", "again")]);
    assert_eq!(registry.digest("osv", "again"), Some(second));
    project(
        path,
        &format!("registry hub \"{}\"", registry.host),
        &format!("db \"{}\"", name.replace("today", "again")),
    );
    machine.refused(path, &["gate"], 3, &["A-2 in left-pad"]);

    // An image is no database.
    let head = format!(
        "registry hub \"{0}\"\npush image {{ images app; to hub {{ tags \"1\" }} }}",
        registry.host
    );
    project(path, &head, &format!("db \"{}/app:1\"", registry.host));
    machine.ok(path, &["image"]);
    machine.refused(path, &["gate"], 1, &["is not a database of advisories"]);
    project(path, "", "advisories \"a.jsonl\"; db \"host/a\"");
    machine.refused(
        path,
        &["gate"],
        2,
        &["`advisories` and `db` exclude each other"],
    );
}

fn aged(imgmake: &Imgmake, days: u32) {
    let db = imgmake.store().join("db");
    let script = format!(
        "find {} -mindepth 1 -not -path '*/osv/*' -exec touch -d '{days} days ago' {{}} +",
        db.display()
    );
    run("sh", &["-c", &script]);
}

#[test]
fn databases_that_no_project_uses_age() {
    let directory = temporary();
    let (path, registry) = (directory.path(), Registry::start());
    let name = format!("{}/osv:today", registry.host);
    write(path, "a.jsonl", advisory("A-1", "other"));
    let of_registry = format!("db \"{name}\"");
    let head = format!("registry hub \"{}\"", registry.host);
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["db", "import", "a.jsonl"]);
    imgmake.ok(path, &["db", "push", &name]);
    project(path, &head, &of_registry);
    imgmake.ok(path, &["gate"]);
    let cache = imgmake.ok(path, &["cache"]).stdout;
    let digest = registry.digest("osv", "today").unwrap();
    let pulled = format!("{name}, {}", &digest[..19]);
    for told in ["databases of advisories", "`imgmake db`: a.jsonl", &pulled] {
        assert!(cache.contains(told), "{told}: {cache}");
    }

    // What a scan asked for stays, also one that is up to date.
    project(path, "", "");
    imgmake.ok(path, &["gate"]);
    aged(&imgmake, 20);
    let again = imgmake.ok(path, &["gate"]).stderr;
    assert!(again.contains("nothing to do"), "{again}");
    let gc = imgmake.ok(path, &["gc"]).stdout;
    assert!(gc.contains("removed a database of advisories\n"), "{gc}");
    let cache = imgmake.ok(path, &["cache"]).stdout;
    assert!(
        !cache.contains(&name) && cache.contains("a.jsonl"),
        "{cache}"
    );
    let entries = |folder: &str| {
        let entries = std::fs::read_dir(imgmake.store().join("db").join(folder));
        entries.map_or(0, Iterator::count)
    };
    assert_eq!(
        (entries("pulled"), entries("findings"), entries("index")),
        (0, 0, 0)
    );
    imgmake.ok(path, &["gate", "--force"]);
    assert!(entries("findings") > 0 && entries("index") > 0);

    let gc = imgmake.ok(path, &["gc", "--max-size", "1"]).stdout;
    assert!(gc.contains("removed a database of advisories\n"), "{gc}");
    imgmake.refused(path, &["gate"], 3, &["imgmake db update"]);
    imgmake.ok(path, &["db", "import", "a.jsonl"]);
    project(path, &head, &of_registry);
    imgmake.ok(path, &["gate"]);
    let gc = imgmake.ok(path, &["gc", "--all"]).stdout;
    assert!(gc.contains("removed 2 databases of advisories\n"), "{gc}");
    // It is fetched again.
    imgmake.ok(path, &["gate", "--force"]);
}

#[test]
fn an_update_without_sources_asks_for_what_is_in_the_images() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    project(path, "", "");
    imgmake.refused(
        path,
        &["db", "update"],
        1,
        &["target `app` has no image yet"],
    );
    imgmake.ok(path, &["app"]);
    // Nobody listens there: no request leaves this machine.
    let proxy = format!("http://127.0.0.1:{}", crate::ground::registry::free_port());
    let imgmake = imgmake.with("https_proxy", &proxy);
    imgmake.refused(path, &["db", "update"], 1, &["cannot update `npm`"]);
}

fn archive(documents: &[String]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (number, document) in documents.iter().enumerate() {
        let options = zip::write::SimpleFileOptions::default();
        writer
            .start_file(format!("{number}.json"), options)
            .unwrap();
        writer.write_all(document.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn an_update_fetches_what_was_fetched_and_leaves_what_was_imported() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    let web = Web::start(Transport::Plain, "");
    let one = advisory("A-1", "other");
    for name in ["one", "two"] {
        std::fs::write(
            web.root().join(format!("{name}.zip")),
            archive(std::slice::from_ref(&one)),
        )
        .unwrap();
    }
    write(path, "company.zip", archive(&[advisory("B-1", "left-pad")]));
    imgmake.ok(path, &["db", "import", "company.zip"]);
    let url = |name: &str| format!("http://{}/{name}.zip", web.host);
    imgmake.ok(path, &["db", "update", &url("one"), &url("two")]);
    // The first of them is gone: the other one is fetched nevertheless.
    std::fs::remove_file(web.root().join("one.zip")).unwrap();
    let more = archive(&[one, advisory("A-2", "other")]);
    std::fs::write(web.root().join("two.zip"), more).unwrap();
    let failed = format!("cannot update `{}`", url("one"));
    let kept = "`company.zip` was not fetched";
    imgmake.refused(path, &["db", "update"], 1, &[&failed, kept]);
    let status = imgmake.ok(path, &["db", "status"]);
    assert!(status.stdout.contains("4 advisories"), "{}", status.stdout);

    // What was imported under the name of an ecosystem is not overwritten.
    let imgmake = Imgmake::new();
    let proxy = format!("http://127.0.0.1:{}", crate::ground::registry::free_port());
    let imgmake = imgmake.with("https_proxy", &proxy);
    project(path, "", "");
    imgmake.ok(path, &["app"]);
    write(path, "npm.zip", archive(&[advisory("A-1", "left-pad")]));
    imgmake.ok(path, &["db", "import", "npm.zip"]);
    let left = imgmake.ok(path, &["db", "update"]);
    assert!(
        left.stderr.contains("`npm.zip` was not fetched"),
        "{}",
        left.stderr
    );
    imgmake.refused(path, &["db", "update", "npm"], 1, &["cannot update `npm`"]);
}

/// 60,000 advisories about 3,000 packages, each listing a hundred versions, as Debian's do.
#[test]
fn a_large_database_takes_little_memory() {
    let (directory, imgmake) = (temporary(), Imgmake::new());
    let path = directory.path();
    let file = std::fs::File::create(path.join("large.jsonl")).unwrap();
    let mut out = std::io::BufWriter::new(file);
    for number in 0..60_000 {
        let package = number % 3000;
        let versions: Vec<String> = (0..100)
            .map(|minor| format!("\"7.{minor}-{package}+deb12u1\""))
            .collect();
        writeln!(
            out,
            r#"{{"id":"DEBIAN-CVE-2026-{number}","modified":"2026-01-01T00:00:00Z","published":"2025-12-01T00:00:00Z","details":"{}","upstream":["CVE-2026-{number}"],"severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}}],"affected":[{{"package":{{"ecosystem":"Debian:12","name":"package-{package}"}},"versions":[{}],"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}},{{"fixed":"9.{}-1"}}]}}]}}]}}"#,
            "What it is about, at some length. ".repeat(15),
            versions.join(","),
            number % 90
        )
        .unwrap();
    }
    out.flush().unwrap();
    drop(out);
    let mut command: Command = imgmake.command(path);
    let command = command.args(["db", "import", "large.jsonl"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(ended.success());
    println!("peak: {} MiB", peak >> 10);
    assert!(peak > 0 && peak < 256 << 10, "{} MiB", peak >> 10);
}
