//! One push to many: counted in the registries' own access logs.

use crate::ground::imgmake::Imgmake;
use crate::ground::registry::{Registry, free_port};
use crate::ground::{temporary, write};

/// Two images on one base, `big` is in both.
fn family(to: &str, more: &str) -> tempfile::TempDir {
    let directory = temporary();
    let path = directory.path();
    write(path, "big", "shared ".repeat(20_000));
    write(path, "one/Dockerfile", "FROM base\nCOPY Dockerfile /one\n");
    write(
        path,
        "two/Dockerfile",
        "FROM base\nCOPY Dockerfile /two\nLABEL a=b\n",
    );
    write(path, "base.Dockerfile", "FROM scratch\nCOPY big /\n");
    write(path, ".dockerignore", "*\n!big\n");
    write(
        path,
        "imgmake.kdl",
        format!(
            "imgmake version=1 {{ retry attempts=1 }}\n{to}\
             build base {{ context \".\"; dockerfile \"base.Dockerfile\" }}\n\
             build one {{ context \"one\"; contexts {{ base (target)base }} }}\n\
             build two {{ context \"two\"; contexts {{ base (target)base }} }}\n{more}"
        ),
    );
    directory
}

fn registry(name: &str, host: &str) -> String {
    format!("registry {name} \"{host}\" {{ insecure #true }}\n")
}

fn starting<'l>(lines: &'l [String], start: &str, part: &str) -> Vec<&'l String> {
    let wanted = |line: &&String| line.starts_with(start) && line.contains(part);
    lines.iter().filter(wanted).collect()
}

#[test]
fn images_and_tags_that_share_a_layer_send_it_once_to_each_registry() {
    let registries = [Registry::start(), Registry::start()];
    let to: String = ["a", "b"]
        .iter()
        .zip(&registries)
        .map(|(n, r)| registry(n, &r.host))
        .collect();
    let push = "push release { images one two; to a b { tags \"1\" \"1.2\" latest } }\n";
    let project = family(&to, push);

    Imgmake::new().ok(project.path(), &["release"]);

    for registry in &registries {
        let lines = registry.requests();
        // `big`, a layer and a config for each image.
        assert_eq!(
            starting(&lines, "PUT ", "/blobs/uploads/").len(),
            5,
            "{lines:#?}"
        );
        let mounts = starting(&lines, "POST ", "mount=");
        assert_eq!(mounts.len(), 1, "{lines:#?}");
        // By digest, then the tags.
        assert_eq!(
            starting(&lines, "PUT ", "/manifests/").len(),
            2 + 6,
            "{lines:#?}"
        );
        assert_eq!(
            registry.tags(),
            [
                "one:1",
                "one:1.2",
                "one:latest",
                "two:1",
                "two:1.2",
                "two:latest"
            ]
        );
    }
}

#[test]
fn nothing_is_tagged_before_everything_is_everywhere_and_the_next_run_completes_it() {
    let up = Registry::start();
    let port = free_port();
    let to = registry("up", &up.host) + &registry("down", &format!("127.0.0.1:{port}"));
    let push = "push release { images one two; to up down { tags \"1\" }; publish together; write-digests \"digests.json\" }\n";
    let project = family(&to, push);
    let imgmake = Imgmake::new();

    imgmake.refused(
        project.path(),
        &["release"],
        4,
        &["no tag was moved", &port.to_string()],
    );
    assert!(up.tags().is_empty(), "{:?}", up.tags());
    assert!(!up.blobs().is_empty(), "what could be sent was sent");
    assert!(!project.path().join("digests.json").exists());

    let down = Registry::at(port);
    let before = up.requests().len();
    imgmake.ok(project.path(), &["release"]);
    assert_eq!(up.tags(), ["one:1", "two:1"]);
    assert_eq!(down.tags(), ["one:1", "two:1"]);
    // The one that had everything got its tags and nothing else.
    let again = up.requests().split_off(before);
    assert!(starting(&again, "POST ", "").is_empty(), "{again:#?}");
    assert_eq!(starting(&again, "PUT ", "").len(), 2, "{again:#?}");
    let digests = std::fs::read_to_string(project.path().join("digests.json")).unwrap();
    for registry in [&up, &down] {
        for image in ["one", "two"] {
            let digest = registry.digest(image, "1").unwrap();
            assert!(
                digests.contains(&format!("\"{}/{image}:1\": \"{digest}\"", registry.host)),
                "{digests}"
            );
        }
    }
}

#[test]
fn a_registry_that_failed_is_retried_alone() {
    let up = Registry::start();
    let port = free_port();
    let to = registry("up", &up.host) + &registry("down", &format!("127.0.0.1:{port}"));
    let project = family(
        &to,
        "push release { images one two; to up down { tags \"1\" } }\n",
    );
    let imgmake = Imgmake::new();
    imgmake.refused(
        project.path(),
        &["release"],
        4,
        &["2 of 4 pushes failed", "already published"],
    );
    assert_eq!(up.tags(), ["one:1", "two:1"]);

    let down = Registry::at(port);
    let before = up.requests().len();
    imgmake.ok(project.path(), &["release"]);
    let again = up.requests().split_off(before);
    assert!(
        again.iter().all(|line| line.starts_with("HEAD ")),
        "{again:#?}"
    );
    assert_eq!(down.digest("one", "1"), up.digest("one", "1"));
    assert_eq!(down.digest("two", "1"), up.digest("two", "1"));
}

#[test]
fn tags_that_are_set_are_reported_though_others_are_not() {
    let up = Registry::start();
    let directory = temporary();
    write(
        directory.path(),
        "imgmake.kdl",
        format!(
            "imgmake version=1 {{ retry backoff=\"1ms..2ms\" attempts=1 }}\n{}\
             build one {{ from \"scratch\"; file \"/a\" \"b\" }}\n\
             push release {{ images one; retry 1; to up {{ tags \"1\" \"2\" \"3\" }} }}\n",
            registry("up", &up.host)
        ),
    );
    // The registry cannot store where this tag points.
    let link = up.link("one", "2");
    let tag = link.ancestors().nth(2).unwrap();
    std::fs::create_dir_all(tag.parent().unwrap()).unwrap();
    std::fs::write(tag, "").unwrap();
    let text = format!("already published: {}/one:1", up.host);
    let ran = Imgmake::new().refused(directory.path(), &["release", "--progress", "json"], 4, &[]);
    assert!(ran.stdout.contains(&text), "{}", ran.stdout);
    let events: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let finished = events.iter().find(|event| event["event"] == "finished");
    let products = finished.unwrap()["products"].as_array().unwrap();
    let references: Vec<&str> = products
        .iter()
        .filter_map(|product| product["reference"].as_str())
        .collect();
    assert_eq!(references, [format!("{}/one:1", up.host)], "{products:#?}");
}

#[test]
fn an_included_target_has_its_directory_in_its_repository() {
    let own = Registry::start();
    let directory = temporary();
    let path = directory.path();
    write(
        path,
        "services/Api/Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    write(
        path,
        "services/Api/imgmake.kdl",
        "build App { context \".\" }\n",
    );
    let manifest = format!(
        "{}include \"services/*/imgmake.kdl\"\npush release {{ images \"services/Api:App\"; to own {{ tags \"1\" }} }}\n",
        registry("own", &own.host)
    );
    write(path, "imgmake.kdl", manifest);
    Imgmake::new().ok(path, &["release"]);
    assert_eq!(own.tags(), ["services/api/app:1"]);
}

#[test]
fn several_platforms_and_their_annotations_arrive_as_one_index() {
    let own = Registry::start();
    let directory = temporary();
    let path = directory.path();
    write(path, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let manifest = format!(
        "{}build app {{ context \".\"; platforms \"linux/amd64\" \"linux/arm64\"; annotations {{ org.opencontainers.image.source \"https://example.com/app\" }} }}\n\
         push release {{ images app; to own {{ tags \"1\" }} }}\n\
         push again {{ from image=\"{}/app:1\"; to own {{ repository \"copy\"; tags \"2\" }} }}\n",
        registry("own", &own.host),
        own.host
    );
    write(path, "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["release"]);
    let index = own.manifest("app", "1");
    let platforms: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| child["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    let children = index["manifests"].as_array().unwrap().iter();
    for child in children {
        let manifest = own.json(child["digest"].as_str().unwrap());
        assert_eq!(
            manifest["annotations"]["org.opencontainers.image.source"],
            "https://example.com/app"
        );
    }
    // A copy keeps every byte.
    imgmake.ok(path, &["again"]);
    assert_eq!(own.digest("copy", "2"), own.digest("app", "1"));
}

/// Between the look and the work somebody may move the tag: what was recorded would be of another image.
#[test]
fn what_a_tag_stood_for_when_it_was_looked_up_is_what_is_copied() {
    let own = Registry::start();
    let directory = temporary();
    let path = directory.path();
    write(path, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let manifest = format!(
        "{}build app {{ context \".\" }}\n\
         push release {{ images app; to own {{ tags \"1\" }} }}\n\
         push again {{ from image=\"{1}/app:1\"; to own {{ repository \"copy\"; tags \"2\" }} }}\n\
         push after {{ needs release; from image=\"{1}/app:1\"; to own {{ repository \"after\"; tags \"2\" }} }}\n",
        registry("own", &own.host),
        own.host
    );
    write(path, "imgmake.kdl", manifest);
    let imgmake = Imgmake::new();
    imgmake.ok(path, &["release"]);
    imgmake.ok(path, &["again"]);
    let reads = own.requests().into_iter();
    let by_tag: Vec<String> = reads
        .filter(|request| request.starts_with("GET") && request.contains("/app/manifests/1"))
        .collect();
    assert_eq!(by_tag, [""; 0]);
    assert_eq!(own.digest("copy", "2"), own.digest("app", "1"));
    // What this run has moved is looked up again.
    write(path, "Dockerfile", "FROM scratch\nCOPY Dockerfile /other\n");
    imgmake.ok(path, &["again", "after"]);
    assert_eq!(own.digest("after", "2"), own.digest("app", "1"));
    imgmake.ok(path, &["check", "after"]);
}
