//! Pages of a run and of the graph, in the browser that shows them; and the trace of a run.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::ground::imgmake::Imgmake;
use crate::ground::project::Project;
use crate::ground::{temporary, write};

const MANIFEST: &str = r#"
run fetch { command "sleep 0.2; echo 1 > fetched"; outputs "fetched"; inputs "a" }
run quick { command "true"; inputs "a" }
build app { context "."; dockerfile "Dockerfile" }
run after { command "sleep 0.1"; inputs "a"; needs app }
run test { command "true" }
group default after quick test
"#;

/// What a file of a checkout may say.
const HOSTILE: &str = "FROM scratch\nCOPY fetched \"/<script>document.title=1</script>\"\nCOPY [\"a\", \"/<img src=x onerror=x>&\"]\n";

fn project() -> Project {
    Project::new(MANIFEST)
        .with("a", "1")
        .with("Dockerfile", HOSTILE)
}

/// The document as Chromium has it once the page is loaded.
fn dom(page: &Path) -> String {
    dom_of(&format!("file://{}", page.display()))
}

/// The same of an address, which may have a fragment.
pub fn dom_of(address: &str) -> String {
    let profile = temporary();
    let answer = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .arg("--disable-dev-shm-usage")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=2000", "--dump-dom"])
        .arg(address)
        .env("HOME", profile.path())
        .output()
        .expect("`chromium` is there: tests/run installs it");
    crate::ground::succeeded("chromium", &answer)
}

/// Between two texts, each time.
fn all<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let parts = text.split(from).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(to)?.0))
        .collect()
}

#[test]
fn a_run_is_a_page_with_its_critical_path_and_a_trace() {
    let project = project();
    let arguments = ["--timing", "out/run.html", "--timing", "trace.json", "-j4"];
    let imgmake = Imgmake::new();
    let ran = imgmake
        .command(project.path())
        .args(arguments)
        .current_dir(project.path())
        .output()
        .unwrap();
    crate::ground::succeeded("imgmake", &ran);
    let page = dom(&project.file("out/run.html"));
    assert_eq!(all(&page, "<title>", "</title>").len(), 1);
    let title = all(&page, "<title>", "</title>")[0];
    assert!(title.starts_with("imgmake: 5 targets in "), "{title}");
    assert!(
        !page.contains("<script") && !page.contains("<img"),
        "{page}"
    );
    assert!(page.contains("&lt;script&gt;document.title=1&lt;/script&gt;"));
    let path = all(&page, "<ol class=\"path\">", "</ol>");
    assert_eq!(all(path[0], "<b>", "</b>"), ["fetch", "app", "after"]);
    let rows = all(&page, "target-row", "</small>");
    assert_eq!(rows.len(), 5, "a row for each target");
    let critical = rows
        .iter()
        .filter(|row| row.starts_with(" critical"))
        .count()
        + rows
            .iter()
            .filter(|row| row.starts_with(" plain critical"))
            .count();
    assert_eq!(critical, 3);
    let steps = all(&page, "row part", "</code>");
    assert_eq!(steps.len(), 2, "both COPY");
    assert!(page.contains("<td>COPY</td>"), "where time went");
    assert!(!page.contains("://"), "it needs nothing else");

    let trace: Value = serde_json::from_str(&project.read("trace.json")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named = |name: &str| {
        let fits = |event: &&Value| event["ph"] == "X" && event["name"] == name;
        events.iter().find(fits).unwrap_or_else(|| panic!("{name}"))
    };
    let end = |event: &Value| event["ts"].as_u64().unwrap() + event["dur"].as_u64().unwrap();
    assert!(
        named("fetch")["dur"].as_u64().unwrap() >= 200_000,
        "microseconds"
    );
    assert!(end(named("fetch")) <= named("app")["ts"].as_u64().unwrap());
    assert!(end(named("app")) <= named("after")["ts"].as_u64().unwrap());
    assert_eq!(named("app")["args"]["critical"], true);
    assert_eq!(named("quick")["args"]["critical"], false);
    assert_eq!(named("app")["args"]["outcome"], "done");
    for step in events.iter().filter(|event| event["cat"] == "step") {
        assert!(step["ts"].as_u64() >= named("app")["ts"].as_u64());
        assert!(end(step) <= end(named("app")));
        assert_ne!(step["tid"], named("app")["tid"]);
    }

    // What was up to date has no time; a failed run is written, too.
    write(
        project.path(),
        "imgmake.kdl",
        MANIFEST.replace("sleep 0.1", "exit 1"),
    );
    let file = project.file("again.json").display().to_string();
    let ran = imgmake.run(project.path(), &["--timing", &file]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let trace: Value = serde_json::from_str(&project.read("again.json")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let targets = events.iter().filter(|event| event["cat"] == "run");
    let mut outcomes: Vec<(&str, &str)> = targets
        .map(|event| {
            let outcome = event["args"]["outcome"].as_str().unwrap();
            (event["name"].as_str().unwrap(), outcome)
        })
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes[0], ("after", "failed"));
    assert!(!outcomes.iter().any(|(name, _)| *name == "fetch"));

    imgmake.refused(
        project.path(),
        &["--timing", "run.txt"],
        2,
        &[
            "`--timing run.txt`: unknown kind of file",
            "`.html`",
            "`.json`",
        ],
    );
    imgmake.refused(
        project.path(),
        &["-n", "--timing", "x.json"],
        2,
        &["cannot be used with"],
    );
}

#[test]
fn the_graph_is_a_page_with_states_and_reasons() {
    let project = project().built();
    let imgmake = &project.imgmake;
    write(
        project.path(),
        "Dockerfile",
        format!("{HOSTILE}LABEL a=b\n"),
    );
    let page = imgmake
        .ok(project.path(), &["graph", "--format", "html"])
        .stdout;
    let file = project.file("graph.html");
    fs::write(&file, page).unwrap();
    let page = dom(&file);
    let rows = all(&page, "<tr><td><b>", "</tr>");
    let state = |name: &str| {
        let start = format!("{name}</b>");
        let row = rows.iter().find(|row| row.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("{name}: {page}"));
        let reasons = all(row, "<li>", "</li>").join(", ");
        (
            all(row, "<span class=\"state ", "\"")[0].to_string(),
            reasons,
        )
    };
    assert_eq!(state("fetch"), ("fresh".to_string(), String::new()));
    let (kind, reasons) = state("app");
    assert_eq!(kind, "stale");
    assert!(reasons.contains("Dockerfile"), "{reasons}");
    assert_eq!(
        state("after"),
        (
            "stale".to_string(),
            "dependency app will be rebuilt".to_string()
        )
    );
    assert_eq!(state("test").0, "always");
    // The picture has them, too.
    assert_eq!(all(&page, "<g class=\"", "\"").len(), 5);
    assert!(
        page.contains("<g class=\"build stale\"><title>stale: "),
        "{page}"
    );
    assert!(page.contains("<g class=\"run fresh\"><title>up to date</title>"));
    assert!(!page.contains("<script"));
}

#[test]
fn the_page_has_the_targets_of_includes_too() {
    let inner = "run unit { command \"true\" }\nrun lint { command \"true\"; inputs \"x\" }";
    let manifest = "include \"services/*/imgmake.kdl\"\nrun own { command \"true\" }";
    let project = Project::new(manifest)
        .with("services/api/imgmake.kdl", inner)
        .with("services/api/x", "1");
    let imgmake = &project.imgmake;
    let page = imgmake
        .ok(project.path(), &["graph", "--format", "html"])
        .stdout;
    for (name, state) in [
        ("own", "always"),
        ("services/api:unit", "always"),
        ("services/api:lint", "stale"),
    ] {
        let row = format!("<tr><td><b>{name}</b>");
        let row = all(&page, &row, "</tr>");
        assert!(row.len() == 1 && row[0].contains(state), "{name}: {page}");
    }
    // One without targets is drawn as it is.
    let none = Project::new("var A \"1\"");
    imgmake.ok(none.path(), &["graph", "--format", "html"]);
}

#[test]
fn rehash_reads_files_whose_times_say_that_they_are_unchanged() {
    let project =
        Project::new("run a { command \"true\"; inputs \"a-file-to-hash\" }\ngroup default a")
            .with("a-file-to-hash", "1")
            .built();
    // What was hashed as it was written is hashed once more.
    std::thread::sleep(std::time::Duration::from_millis(50));
    project.build().succeeded();
    let opened = |arguments: &[&str]| {
        let log = project.file("log");
        let program = project.imgmake.command(project.path());
        let mut traced = Command::new("strace");
        traced
            .args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"])
            .arg(&log)
            .arg(program.get_program())
            .args(arguments)
            .current_dir(project.path());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => traced.env(name, value),
                None => traced.env_remove(name),
            };
        }
        let output = traced.output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{said}");
        let calls = fs::read_to_string(&log).unwrap();
        (calls.matches("a-file-to-hash").count(), said)
    };
    let all = ["-C", project.path().to_str().unwrap()];
    for command in [&[][..], &["plan"], &["check"], &["why", "a"]] {
        let arguments = [command, &all].concat();
        let (count, said) = opened(&arguments);
        assert_eq!(count, 0, "{command:?}: known by its times: {said}");
        let (count, said) = opened(&[&arguments[..], &["--rehash"]].concat());
        assert_eq!(count, 1, "{command:?}: {said}");
        assert!(!said.contains("stale"), "{command:?}: {said}");
    }
}
