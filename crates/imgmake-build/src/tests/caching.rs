//! What is reused, and what a target depends on.

use super::*;

#[test]
fn a_second_build_takes_everything_from_the_cache() {
    let p = Project::new();
    p.write("f", "x");
    let file = "FROM scratch\nWORKDIR /w\nCOPY f .\nCOPY f /g\n";
    let first = p.build(file);
    assert_eq!((first.built.steps_run, first.built.steps_cached), (3, 0));
    std::fs::File::options()
        .append(true)
        .open(p.path("f"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    let second = p.build(file);
    assert_eq!((second.built.steps_run, second.built.steps_cached), (0, 3));
    assert_eq!(first.built.root.digest, second.built.root.digest);
    p.write("f", "y");
    let third = p.build(file);
    assert_eq!((third.built.steps_run, third.built.steps_cached), (2, 1));
    assert_ne!(first.built.root.digest, third.built.root.digest);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let p = Project::new();
    for n in 0..200 {
        p.write(&format!("d{}/f{n}", n % 7), vec![b'a'; n * 37]);
    }
    let file = "FROM scratch AS a\nCOPY d1 /\nFROM scratch AS b\nCOPY d2 /\nFROM scratch\nCOPY . /ctx/\nCOPY --from=a / /a/\nCOPY --from=b / /b/\n";
    let mut request = p.request(file);
    let one = p
        .run(&BuildRequest {
            jobs: 1,
            ..request.clone()
        })
        .unwrap();
    request.no_cache = true;
    let many = p.run(&BuildRequest { jobs: 8, ..request }).unwrap();
    assert_eq!(one.built.root.digest, many.built.root.digest);
}

#[test]
fn inputs_are_what_the_reached_stages_select() {
    let p = Project::new();
    p.write("src/a", "1")
        .write("src/b", "2")
        .write("other", "3")
        .write("lock", "4");
    p.write(".dockerignore", "src/b\n");
    let inputs = p.inputs(
        "FROM scratch AS no\nCOPY other /\nFROM scratch\nARG D=src\nCOPY $D /s\nCOPY loc* /\nCOPY --from=no other /\n",
    );
    assert_eq!(
        inputs,
        [
            "file lock",
            "file other",
            "file src",
            "file src/a",
            "ignore file .dockerignore",
        ]
    );
}
