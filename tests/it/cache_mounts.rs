//! Who finds what in a cache mount: builds of one project, unless the manifest says
//! that all builds of a user share.

use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::{temporary, write};

const BUILD: &str = "build app { context \".\"; no-cache #true }";

/// Two checkouts with the same Dockerfile, which says whether it was in its cache before.
fn checkout(settings: &str) -> tempfile::TempDir {
    let directory = temporary();
    let manifest = format!("imgmake version=1 {{ {settings} }}\n{BUILD}");
    write(directory.path(), "imgmake.kdl", manifest);
    let dockerfile = format!(
        "FROM {}/library/busybox\nRUN --mount=type=cache,id=deps,target=/c \
         if [ -e /c/mark ]; then echo was here; else echo first; touch /c/mark; fi\n",
        bases().host
    );
    write(directory.path(), "Dockerfile", dockerfile);
    directory
}

fn says(imgmake: &Imgmake, directory: &std::path::Path) -> &'static str {
    let ran = imgmake.ok(directory, &["--force", "--progress=plain"]);
    let printed = format!("{}{}", ran.stdout, ran.stderr);
    match (printed.contains("was here"), printed.contains("first")) {
        // The command itself is printed, too, with both words in it.
        (true, true) if printed.matches("was here").count() > printed.matches("first").count() => {
            "again"
        }
        (true, true) => "first",
        _ => panic!("{printed}"),
    }
}

#[test]
fn strangers_checkouts_have_caches_of_their_own_unless_the_manifest_shares() {
    let imgmake = Imgmake::new();
    let (one, other) = (checkout(""), checkout("cache-mounts scope=project"));
    assert_eq!(says(&imgmake, one.path()), "first");
    assert_eq!(says(&imgmake, one.path()), "again");
    assert_eq!(says(&imgmake, other.path()), "first");
    // A link to the project is the same project.
    let links = temporary();
    let link = links.path().join("link");
    std::os::unix::fs::symlink(one.path(), &link).unwrap();
    assert_eq!(says(&imgmake, &link), "again");
    let shared = "cache-mounts scope=user";
    let (one_shared, other_shared) = (checkout(shared), checkout(shared));
    assert_eq!(says(&imgmake, one_shared.path()), "first");
    assert_eq!(says(&imgmake, other_shared.path()), "again");

    let listed = imgmake.ok(one.path(), &["cache"]).stdout;
    for expected in [
        format!("cache mounts of {}\n", one.path().display()),
        format!("cache mounts of {}\n", other.path().display()),
        "cache mounts of all projects\n".to_string(),
    ] {
        assert_eq!(listed.matches(&expected).count(), 1, "{listed}");
    }
    assert_eq!(listed.matches("  deps\n").count(), 3, "{listed}");
    let removed = imgmake.ok(one.path(), &["gc", "--keep", "0s"]).stdout;
    assert!(removed.contains("3 cache mounts"), "{removed}");
    let listed = imgmake.ok(one.path(), &["cache"]).stdout;
    assert!(!listed.contains("cache mounts of"), "{listed}");
}

#[test]
fn a_dockerfile_cannot_choose_whose_cache_it_is() {
    let imgmake = Imgmake::new();
    let one = checkout("");
    assert_eq!(says(&imgmake, one.path()), "first");
    let other = checkout("");
    let id = format!("{}\u{1}deps", one.path().display());
    let dockerfile = std::fs::read_to_string(other.path().join("Dockerfile")).unwrap();
    write(
        other.path(),
        "Dockerfile",
        dockerfile.replace("id=deps", &format!("id={id}")),
    );
    assert_eq!(says(&imgmake, other.path()), "first");
    write(
        other.path(),
        "Dockerfile",
        dockerfile.replace("id=deps", "id=deps,scope=user"),
    );
    imgmake.refused(other.path(), &["--force"], 1, &["scope", "Dockerfile:2"]);
}

#[test]
fn a_ci_steps_caches_belong_to_its_workspace() {
    let imgmake = Imgmake::new();
    let step = |workspace: &std::path::Path| {
        let output = imgmake
            .command(workspace)
            .args(["plugin", "--as", "drone-docker", "--store"])
            .arg(imgmake.store())
            .env("PLUGIN_REPO", "acme/app")
            .env("PLUGIN_DRY_RUN", "true")
            .env("PLUGIN_NO_CACHE", "true")
            .output()
            .unwrap();
        crate::ground::succeeded("plugin", &output);
    };
    let (one, other) = (checkout(""), checkout(""));
    step(one.path());
    step(one.path());
    step(other.path());
    let listed = imgmake.ok(one.path(), &["cache"]).stdout;
    assert_eq!(listed.matches("  deps\n").count(), 2, "{listed}");
}
