//! The picture of a run is of a real run: `book/picture` draws it, and a test draws it again.

use super::steady;
use crate::ground::imgmake::Imgmake;
use crate::ground::{run, temporary};
use crate::tidy::source::root;

#[test]
fn the_picture_of_a_run_shows_what_imgmake_prints_today() {
    let directory = temporary();
    let drawn = directory.path().join("run.svg");
    let imgmake = Imgmake::new();
    let program = imgmake.command(directory.path());
    let script = root().join("book/picture");
    let arguments = [
        program.get_program().to_str().unwrap(),
        drawn.to_str().unwrap(),
    ];
    run(script.to_str().unwrap(), &arguments);
    let kept = std::fs::read_to_string(root().join("book/src/run.svg")).unwrap();
    let again = std::fs::read_to_string(drawn).unwrap();
    assert_eq!(
        rows(&kept),
        rows(&again),
        "draw it again: book/picture target/debug/imgmake"
    );
}

/// The text of each row; targets at the same time may print in another order.
fn rows(picture: &str) -> Vec<String> {
    let rows = picture.lines().filter(|line| line.starts_with("<text"));
    let mut rows: Vec<String> = rows.map(|row| steady(&text(row))).collect();
    assert!(rows.len() > 20, "{picture}");
    rows.sort();
    rows
}

/// Without tags: where a row stands does not matter.
fn text(row: &str) -> String {
    let pieces = row.split('<').filter_map(|piece| piece.split_once('>'));
    pieces.map(|(_, text)| text).collect()
}
