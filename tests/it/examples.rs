//! Each example is run as its README or the book says.

use crate::ground::imgmake::{Imgmake, User};
use crate::ground::{run, temporary, tree};

#[test]
fn hello_builds_scans_and_writes_without_server_root_or_network() {
    let directory = temporary();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello/.");
    run("cp", &["-r", source, directory.path().to_str().unwrap()]);
    for leftover in ["out", ".imgmake"] {
        drop(std::fs::remove_dir_all(directory.path().join(leftover)));
    }
    let imgmake = Imgmake::run_by(User::Plain);
    imgmake.give(directory.path());

    let first = imgmake.ok(directory.path(), &[]);

    let said = format!("{}{}", first.stdout, first.stderr);
    for result in [
        "out/site.tar",
        "out/site-oci",
        "out/app.tar",
        "out/scan.json",
    ] {
        assert!(said.contains(result), "{result} is not in:\n{said}");
        assert!(directory.path().join(result).exists(), "{result}");
    }
    let app = tree::unpack(&format!(
        "oci-archive:{}",
        directory.path().join("out/app.tar").display()
    ));
    assert!(
        app.tree["app/run"].contains(" 755 1000:1000"),
        "{}",
        app.tree["app/run"]
    );
    assert_eq!(
        app.config["config"]["Env"][0],
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    );

    let second = imgmake.ok(directory.path(), &[]);
    let said = format!("{}{}", second.stdout, second.stderr);
    assert!(said.contains("nothing to do"), "{said}");
}
