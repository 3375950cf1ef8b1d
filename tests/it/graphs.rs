//! `graph` says the same in every format, and draws it without boxes over each other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::ground::imgmake::Imgmake;
use crate::ground::project::{Built, Project};
use crate::ground::{run, temporary, write};

const MANIFEST: &str = r#"
registry own "registry.example.com"
run assets { command "true"; inputs "a"; outputs "dist" }
build base { from "scratch"; copy "a" to="/" }
build app { from (target)base; copy "dist" to="/dist" }
build tool { from "scratch"; copy "a" to="/" }
build a-name-that-is-much-longer-than-others { from (target)app; copy "a" to="/b" }
scan gate { images app tool base }
push release { images app tool base; needs gate; to own { tags "1" } }
"#;

fn printed(format: &str) -> String {
    let project = temporary();
    write(project.path(), "imgmake.kdl", MANIFEST);
    let ran = Imgmake::new().ok(project.path(), &["graph", "--format", format]);
    ran.stdout
}

/// The values of an attribute in all elements of a kind.
fn numbers(svg: &str, element: &str, name: &str) -> Vec<usize> {
    let start = format!("<{element} ");
    let elements = svg.split(&start).skip(1);
    let value = |text: &str| {
        let (_, rest) = text.split_once(&format!("{name}=\""))?;
        rest.split_once('"')?.0.parse().ok()
    };
    elements.filter_map(value).collect()
}

#[test]
fn every_format_has_every_target_and_every_need() {
    let json: Value = serde_json::from_str(&printed("json")).unwrap();
    let targets: Vec<&str> = json["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert_eq!(targets.len(), 7);
    let needs: BTreeSet<(&str, &str)> = json["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            (
                edge["needs"].as_str().unwrap(),
                edge["target"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(needs.contains(&("assets", "app")) && needs.contains(&("gate", "release")));
    let (dot, mermaid, svg) = (printed("dot"), printed("mermaid"), printed("svg"));
    for name in &targets {
        assert!(dot.contains(&format!("\"{name}\" [label")), "{dot}");
        assert!(mermaid.contains(&format!("[\"{name} (")), "{mermaid}");
        let box_with_name = format!(">{name}</text><text class=\"kind\"");
        assert_eq!(svg.matches(&box_with_name).count(), 1, "{svg}");
    }
    assert_eq!(svg.matches("marker-end").count(), needs.len(), "{svg}");
    assert_eq!(svg, printed("svg"));
}

#[test]
fn the_picture_is_well_formed_and_its_boxes_stand_apart() {
    let svg = printed("svg");
    let folder = temporary();
    write(folder.path(), "graph.svg", &svg);
    let file = folder.path().join("graph.svg");
    let parse = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
    run("python3", &["-c", parse, file.to_str().unwrap()]);
    let values = |name| numbers(&svg, "rect", name);
    let (x, y) = (values("x"), values("y"));
    let (width, height) = (values("width"), values("height"));
    assert_eq!(x.len(), 7);
    let (whole_width, whole_height) = (
        numbers(&svg, "svg", "width")[0],
        numbers(&svg, "svg", "height")[0],
    );
    for one in 0..x.len() {
        assert!(x[one] + width[one] <= whole_width && y[one] + height[one] <= whole_height);
        for other in 0..one {
            let beside = x[one] + width[one] < x[other] || x[other] + width[other] < x[one];
            let below = y[one] + height[one] < y[other] || y[other] + height[other] < y[one];
            assert!(beside || below, "{one} and {other} overlap: {svg}");
        }
    }
}

#[test]
fn a_manifest_without_targets_is_an_empty_picture() {
    let project = temporary();
    write(project.path(), "imgmake.kdl", "imgmake version=1\n");
    let ran = Imgmake::new().ok(project.path(), &["graph", "--format", "svg"]);
    assert!(ran.stdout.ends_with("</svg>\n"), "{ran:?}");
}

const REPORTS: &str = r#"
build base { from "scratch"; file "/base" "1" }
run report { command "sleep 0.3; cat source > o/report"; inputs "source"; needs base; outputs "o/report" }
build app { context "."; contexts { base (target)base }; tags "app:1" }
run smoke { command "echo well > o/smoke"; inputs "smoke"; needs app; outputs "o/smoke" }
group default smoke
"#;

#[test]
fn a_file_that_a_dockerfile_names_is_made_before_it_is_copied() {
    let p = Project::new(REPORTS)
        .with("Dockerfile", "FROM base\nCOPY o/report /report\n")
        .with("source", "1")
        .with("smoke", "1");
    let built = p.build();
    built.succeeded().ran(["app", "base", "report", "smoke"]);
    assert!(!built.ran.stderr.contains("does not wait"), "{built:?}");
    p.imgmake.ok(p.path(), &["check"]);
    p.write("source", "2");
    p.build().succeeded().ran(["app", "report", "smoke"]);
    p.imgmake.ok(p.path(), &["check"]);
}

#[test]
fn a_circle_of_files_that_are_merely_possible_is_told_of_and_settles() {
    let p = Project::new(&REPORTS.replace("o/smoke", "along/smoke"))
        .with(
            "Dockerfile",
            "FROM base\nCOPY o/report /report\nCOPY along /along\n",
        )
        .with("source", "1")
        .with("along/there", "1")
        .with("smoke", "1");
    let built = p.build();
    built.succeeded().ran(["app", "base", "report", "smoke"]);
    let told = "target `app` does not wait for `smoke`, which waits for it";
    assert!(built.ran.stderr.contains(told), "{built:?}");
    p.imgmake.ok(p.path(), &["check"]);
    p.write("smoke", "2");
    p.build().succeeded().ran(["smoke"]);
}

#[test]
fn triggers_and_links_of_a_context_read_what_no_line_names() {
    let manifest = REPORTS
        .replace(
            r#"from "scratch"; file "/base" "1""#,
            r#"dockerfile "Dockerfile.base""#,
        )
        .replace("needs base; ", "");
    let dockerfiles = [
        (
            "FROM scratch\nONBUILD COPY o/report /report\n",
            "FROM base\n",
        ),
        ("FROM scratch\n", "FROM base\nCOPY link /link\n"),
    ];
    for (base, own) in dockerfiles {
        let p = Project::new(&manifest)
            .with("Dockerfile.base", base)
            .with("Dockerfile", own)
            .with("source", "1")
            .with("o/there", "1")
            .with("smoke", "1");
        std::os::unix::fs::symlink("o", p.path().join("link")).unwrap();
        p.build().succeeded();
        p.imgmake.ok(p.path(), &["check"]);
        p.write("source", "2");
        p.build().succeeded().ran(["app", "report", "smoke"]);
        p.imgmake.ok(p.path(), &["check"]);
    }
}

#[test]
fn whoever_reads_what_a_build_writes_waits_for_it() {
    let p = Project::new(
        r#"
        run size { command "wc -c < o/app.tar > size"; inputs "o/app.tar"; outputs "size" }
        build app { from "scratch"; copy "f" to="/f"; tar "o/app.tar"; layout "o/app" }
        build outer { from "scratch"; copy "o/app.tar" to="/app.tar" }
        build named { context "."; dockerfile "Named"; contexts { app (path)"o/app" } }
        build told { context "o"; dockerfile "Told" }
        group default size outer named told
        "#,
    )
    .with("Named", "FROM scratch\nCOPY --from=app index.json /\n")
    .with("Told", "FROM scratch\nCOPY app.tar /\n")
    .with("f", "1");
    let all = ["app", "named", "outer", "size", "told"];
    p.build().succeeded().ran(all);
    p.imgmake.ok(p.path(), &["check"]);
    p.write("f", "another");
    p.build().succeeded().ran(all);
    p.imgmake.ok(p.path(), &["check"]);
}

#[test]
fn the_longest_chain_is_begun_first() {
    let mut manifest = String::new();
    for short in 0..6 {
        manifest += &format!("run s{short} {{ command \"sleep 0.1\"; inputs \"in\" }}\n");
    }
    manifest += "run long { command \"sleep 0.5\"; inputs \"in\" }\n";
    for at in 0..3 {
        let need = match at {
            0 => String::new(),
            at => format!("; needs c{}", at - 1),
        };
        manifest += &format!("run c{at} {{ command \"sleep 0.1\"; inputs \"in\"{need} }}\n");
    }
    manifest += "group default \"s*\" \"c*\" long\n";
    let p = Project::new(&manifest).with("in", "1");
    // Two threads begin at once.
    let first = |built: &Built, threads: usize| {
        let events = built.events.iter();
        let started = events.filter(|event| event["event"] == "target-started");
        let names = started.map(|event| event["target"].as_str().unwrap().to_string());
        names.take(threads).collect::<Vec<_>>()
    };
    // By its length at first, then by how long each took.
    let built = p.run(&["-j2"]);
    assert!(
        first(built.succeeded(), 2).contains(&"c0".to_string()),
        "{built:?}"
    );
    p.write("in", "2");
    let built = p.run(&["-j2"]);
    assert!(
        first(built.succeeded(), 2).contains(&"long".to_string()),
        "{built:?}"
    );
    let built = p.run(&["-j1", "--force"]);
    assert_eq!(first(built.succeeded(), 1), ["s0"]);
}
