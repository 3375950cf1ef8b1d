//! `graph` says the same in every format, and draws it without boxes over each other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::ground::imgmake::Imgmake;
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
