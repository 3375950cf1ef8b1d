//! A link in a checkout that leads out of it is not read: neither its text nor a part
//! of it is in a message, an image or a key.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::{temporary, write};

const SECRET: &str = "{\"auths\":{\"r.example\":{\"auth\":\"c2VjcmV0LW9mLXRoZS1qb2I=\"}}}";

/// A home with a docker config, and a checkout beside it.
struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    fn new(files: &[(&str, &str)], links: &[(&str, &str)]) -> Ground {
        let directory = temporary();
        write(directory.path(), "outside/config.json", SECRET);
        write(
            directory.path(),
            "outside/shared.kdl",
            "a \"\u{7}\" c2VjcmV0 {\n",
        );
        std::fs::create_dir(directory.path().join("checkout")).unwrap();
        let ground = Ground { directory };
        for (path, text) in files {
            write(&ground.checkout(), path, text);
        }
        for (path, target) in links {
            let path = ground.checkout().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target.replace("OUTSIDE", &ground.outside()), path).unwrap();
        }
        ground
    }

    fn checkout(&self) -> std::path::PathBuf {
        self.directory.path().join("checkout")
    }

    fn outside(&self) -> String {
        self.directory.path().join("outside").display().to_string()
    }

    fn refuses(&self, imgmake: &Imgmake, arguments: &[&str], says: &str) -> Ran {
        let ran = imgmake.run(&self.checkout(), arguments);
        assert_ne!(ran.code, 0, "{arguments:?}: {}", ran.stdout);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(says), "`{says}` is not in: {said}");
        for part in ["auths", "r.example", "c2Vj"] {
            assert!(!said.contains(part), "{arguments:?}: {said}");
        }
        ran
    }
}

const MANIFEST: &str = "build app { context \".\"; tar \"out.tar\" }\n";
const FILE: &str = "FROM scratch\nCOPY f /f\n";

#[test]
fn a_dockerfile_or_an_ignore_file_does_not_lead_out() {
    for (name, target) in [
        ("Dockerfile", "../outside/config.json"),
        ("Dockerfile", "OUTSIDE/config.json"),
        (".dockerignore", "../outside/config.json"),
        ("Dockerfile.dockerignore", "OUTSIDE/config.json"),
    ] {
        let mut files = vec![("imgmake.kdl", MANIFEST), ("f", "x")];
        if name != "Dockerfile" {
            files.push(("Dockerfile", FILE));
        }
        let ground = Ground::new(&files, &[(name, target)]);
        for command in [&["app"][..], &["lint", "app"]] {
            if command[0] == "lint" && name != "Dockerfile" {
                continue;
            }
            ground.refuses(&Imgmake::new(), command, "leads out of");
        }
        ground.refuses(
            &Imgmake::new(),
            &["kaniko", "--context=.", "--no-push"],
            "leads out of",
        );
        let context = format!("--context=dir://{}", ground.checkout().display());
        let other = Imgmake::new();
        let ran = other.run(Path::new("/"), &["kaniko", &context, "--no-push"]);
        assert!(ran.stderr.contains("leads out of"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("auths"), "{}", ran.stderr);
        for plugin in ["drone-docker", "kaniko-docker"] {
            let step = Imgmake::new()
                .with("PLUGIN_REPO", "example.com/app")
                .with("PLUGIN_NO_PUSH", "true")
                .with("PLUGIN_DRY_RUN", "true");
            ground.refuses(&step, &["plugin", "--as", plugin], "leads out of");
        }
    }
}

#[test]
fn links_inside_and_files_that_the_user_names_are_read() {
    let ground = Ground::new(
        &[("imgmake.kdl", MANIFEST), ("f", "x"), ("docker/app", FILE)],
        &[("Dockerfile", "docker/app")],
    );
    Imgmake::new().ok(&ground.checkout(), &["app"]);
    let kaniko = ["kaniko", "--context=.", "--no-push"];
    Imgmake::new().ok(&ground.checkout(), &kaniko);
    write(ground.directory.path(), "outside/Dockerfile", FILE);
    let named = format!("--dockerfile={}/Dockerfile", ground.outside());
    Imgmake::new().ok(&ground.checkout(), &[&kaniko[..], &[&named]].concat());
}

#[test]
fn a_context_does_not_lead_out() {
    let manifest = "build app { context \"ctx\"; dockerfile \"Dockerfile\"; tar \"out.tar\" }\n\
                    build named { context \".\"; contexts { other (path)\"ctx\" }; tar \"other.tar\" }\n";
    let ground = Ground::new(
        &[
            ("imgmake.kdl", manifest),
            ("Dockerfile", "FROM scratch\nCOPY . /all\n"),
        ],
        &[("ctx", "../outside")],
    );
    for target in ["app", "named"] {
        ground.refuses(&Imgmake::new(), &[target], "leads out of");
    }
    let step = Imgmake::new()
        .with("PLUGIN_REPO", "example.com/app")
        .with("PLUGIN_CONTEXT", "ctx")
        .with("PLUGIN_DOCKERFILE", "Dockerfile")
        .with("PLUGIN_NO_PUSH", "true")
        .with("PLUGIN_DRY_RUN", "true");
    ground.refuses(&step, &["plugin", "--as", "drone-docker"], "leads out of");
}

#[test]
fn what_the_manifest_reads_does_not_lead_out() {
    for (manifest, link) in [
        ("include \"more.kdl\"\n", "more.kdl"),
        ("imgmake version=1 { env-file \"vars\" }\n", "vars"),
        (
            "build app { context \".\" }\nscan judge { images app; scanner builtin; ignore-file \"ignored\" }\n",
            "ignored",
        ),
    ] {
        let ground = Ground::new(
            &[("imgmake.kdl", manifest), ("Dockerfile", FILE), ("f", "x")],
            &[(link, "../outside/config.json")],
        );
        let arguments: &[&str] = if link == "ignored" {
            &["judge"]
        } else {
            &["list"]
        };
        ground.refuses(&Imgmake::new(), arguments, "leads out of");
    }
}

#[test]
fn what_lies_outside_of_the_project_is_not_quoted() {
    for name in ["config.json", "shared.kdl"] {
        let manifest = format!("include \"../outside/{name}\"\n{MANIFEST}");
        let ground = Ground::new(&[("imgmake.kdl", &manifest)], &[]);
        ground.refuses(&Imgmake::new(), &["list"], &format!("outside/{name}:1:"));
    }
    let manifest =
        format!("imgmake version=1 {{ env-file \"../outside/config.json\" }}\n{MANIFEST}");
    let ground = Ground::new(&[("imgmake.kdl", &manifest)], &[]);
    ground.refuses(&Imgmake::new(), &["list"], "line 1");

    // A file of the right form says no more, whichever check its value fails.
    let secret = "c2VjcmV0LW9mLXRoZS1qb2I";
    for check in [
        "{ one-of \"a\" \"b\" }",
        "{ matches \"^[A-Z]$\" }",
        "type=number",
    ] {
        let (before, after) = match check.starts_with('{') {
            true => ("", check),
            false => (check, ""),
        };
        let manifest = format!(
            "imgmake version=1 {{ env-file \"../outside/env\" }}\nvar TOKEN {before} {after}\n\
             build app {{ context \".\"; args {{ T \"${{TOKEN}}\" }} }}\n"
        );
        let ground = Ground::new(&[("imgmake.kdl", &manifest)], &[]);
        write(
            &ground.checkout().join("../outside"),
            "env",
            format!("TOKEN={secret}\n"),
        );
        let ran = Imgmake::new().run(&ground.checkout(), &["list"]);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            ran.code != 0 && said.contains("`TOKEN` in the env-file"),
            "{said}"
        );
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn what_a_step_reads_of_its_workspace_does_not_lead_out() {
    let ground = Ground::new(
        &[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")],
        &[
            (".tags", "../outside/config.json"),
            ("step.env", "OUTSIDE/config.json"),
        ],
    );
    let step = || {
        Imgmake::new()
            .with("PLUGIN_REPO", "example.com/app")
            .with("PLUGIN_DRY_RUN", "true")
            .with("PLUGIN_NO_PUSH", "true")
    };
    let tags = step();
    let ran = tags.run(&ground.checkout(), &["plugin", "--as", "drone-docker"]);
    assert!(!ran.stderr.contains("auths"), "{}", ran.stderr);
    let env = step().with("PLUGIN_ENV_FILE", "step.env");
    ground.refuses(&env, &["plugin", "--as", "kaniko-docker"], "leads out of");
}

#[test]
fn little_is_quoted_of_what_is_no_instruction() {
    let long = "c2VjcmV0LW9mLXRoZS1qb2ItdGhhdC1ub2JvZHktbWF5LXJlYWQ";
    let ground = Ground::new(
        &[
            ("imgmake.kdl", MANIFEST),
            ("Dockerfile", &format!("FROM scratch\n{long} \u{1b}[2K\n")),
        ],
        &[],
    );
    for arguments in [
        &["app"][..],
        &["lint", "app"],
        &["kaniko", "--context=.", "--no-push"],
    ] {
        let ran = Imgmake::new().run(&ground.checkout(), arguments);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.code, 1, "{said}");
        assert!(
            !said.to_lowercase().contains(&long[..25].to_lowercase()),
            "{said}"
        );
        assert!(!said.contains("\u{1b}[2K"), "{said:?}");
    }
}
