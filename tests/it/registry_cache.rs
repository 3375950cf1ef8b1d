//! Machines that share nothing but a registry share their steps through it, and nothing that a registry says
//! or does breaks a build.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::registry::{Access, Registry, free_port};
use crate::ground::{run, temporary, write};

/// RUN steps that give other bytes whenever they really run.
const DOCKERFILE: &str = "FROM BASE AS tools\n\
    RUN head -c 200000 /dev/urandom > /noise && echo tool > /tool\n\
    FROM BASE\n\
    COPY --chown=user:staff conf /etc/app/conf\n\
    RUN cat /etc/app/conf > /made && head -c 300000 /dev/urandom > /random\n\
    COPY --from=tools /tool /usr/bin/tool\n\
    RUN echo last > /last\n";

/// A computer: a checkout of the project, a home, a store.
struct Machine {
    imgmake: Imgmake,
    project: tempfile::TempDir,
}

/// What a run of imgmake did.
#[derive(Debug)]
struct Did {
    ran: Ran,
    steps: Vec<String>,
    lines: Vec<String>,
}

impl Machine {
    /// `cache` stands in the manifest's `cache { … }`.
    fn new(cache: &str, image: &str) -> Machine {
        let project = temporary();
        let base = format!("{}/library/busybox", bases().host);
        write(
            project.path(),
            "Dockerfile",
            DOCKERFILE.replace("BASE", &base),
        );
        write(project.path(), "conf", "one\n");
        let manifest = format!(
            "imgmake version=1 {{\n  retry backoff=\"10ms..100ms\" attempts=3\n  cache {{ {cache} }}\n}}\n{image}\n"
        );
        write(project.path(), "imgmake.kdl", manifest);
        Machine {
            imgmake: Imgmake::new(),
            project,
        }
    }

    /// Builds into the store only.
    fn building(cache: &str) -> Machine {
        Machine::new(cache, "build app { context \".\" }")
    }

    fn with(mut self, name: &str, value: &str) -> Machine {
        self.imgmake = self.imgmake.with(name, value);
        self
    }

    fn write(&self, path: &str, content: &str) {
        write(self.project.path(), path, content);
    }

    fn run(&self, arguments: &[&str]) -> Did {
        let mut all = vec!["--progress=json"];
        all.extend(arguments);
        let ran = self.imgmake.run(self.project.path(), &all);
        let events: Vec<Value> = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |kind: &str, field: &str| -> Vec<String> {
            let found = events.iter().filter(|e| e["event"] == kind);
            found
                .map(|e| e[field].as_str().unwrap_or_default().to_string())
                .collect()
        };
        let mut lines = of("warning", "message");
        lines.extend(of("note", "message"));
        Did {
            steps: of("step-finished", "outcome"),
            lines,
            ran,
        }
    }

    fn build(&self) -> Did {
        let did = self.run(&[]);
        assert_eq!(did.ran.code, 0, "{did:?}");
        did
    }

    /// Digests of the blobs in its store.
    fn blobs(&self) -> BTreeSet<String> {
        let directory = self.imgmake.store().join("blobs/sha256");
        let entries = std::fs::read_dir(directory).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn bytes(&self) -> u64 {
        let directory = self.imgmake.store().join("blobs/sha256");
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|e| e.unwrap().metadata().unwrap().len()).sum()
    }
}

impl Did {
    #[track_caller]
    fn made(&self, steps: usize) -> &Did {
        let made = self.steps.iter().filter(|s| *s == "done").count();
        assert_eq!(made, steps, "{self:?}");
        self
    }

    /// In exactly one line for people.
    #[track_caller]
    fn says(&self, what: &str) -> &Did {
        let lines = self.lines.iter().filter(|line| line.contains(what)).count();
        assert_eq!(lines, 1, "`{what}` in {self:?}");
        self
    }
}

fn ours(registry: &Registry) -> String {
    format!("registry ref=\"{}/cache\"", registry.host)
}

/// Everything that the registry holds, as text where it is text.
fn documents(registry: &Registry) -> String {
    let mut all = String::new();
    for path in registry.files() {
        let bytes = std::fs::read(&path).unwrap();
        all.push_str(&path.display().to_string());
        all.push_str(&String::from_utf8_lossy(&bytes));
        // Layers and indexes, too.
        if bytes.starts_with(&[0x1f, 0x8b]) {
            all.push_str(&run(
                "sh",
                &["-c", &format!("zcat < '{}' | tr -d '\\0'", path.display())],
            ));
        }
        if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            all.push_str(&run(
                "sh",
                &[
                    "-c",
                    &format!("zstdcat < '{}' | tr -cd '\\n -~'", path.display()),
                ],
            ));
        }
    }
    all
}

#[test]
fn a_clean_machine_runs_nothing_and_pulls_no_layer() {
    let registry = Registry::start();
    let image = format!(
        "registry r \"{0}\"\nbuild app {{ context \".\" }}\npush all {{ images app; to r {{ tags \"1\" }} }}",
        registry.host
    );
    let first = Machine::new(&ours(&registry), &image);
    first.run(&["all"]).made(5).says("written");
    let digest = registry.digest("app", "1").unwrap();

    let second = Machine::new(&ours(&registry), &image);
    let did = second.run(&["all"]);

    did.made(0).says("cache: 5 found");
    assert_eq!(did.ran.code, 0, "{did:?}");
    assert_eq!(registry.digest("app", "1").unwrap(), digest);
    // Manifests, configurations, indexes and two account files.
    assert!(second.bytes() < 200_000, "{} bytes", second.bytes());
}

#[test]
fn one_layer_is_made_of_steps_that_another_machine_has_made() {
    let registry = Registry::start();
    let push = |squash: &str, tag: &str| {
        format!(
            "registry r \"{0}\"\nbuild app {{ context \".\"; {squash} }}\npush all {{ images app; to r {{ tags \"{tag}\" }} }}",
            registry.host
        )
    };
    let first = Machine::new(&ours(&registry), &push("", "plain"));
    first.run(&["all"]).made(5);
    // The steps are found; the one layer of them is new.
    let second = Machine::new(&ours(&registry), &push("squash", "one"));
    let did = second.run(&["all"]);
    did.made(1).says("cache: 5 found, 1 written");
    // A third machine finds that, too, and pulls nothing for it.
    let third = Machine::new(&ours(&registry), &push("squash", "again"));
    third.run(&["all"]).made(0).says("cache: 6 found");
    assert!(third.bytes() < 200_000, "{} bytes", third.bytes());
    let digest = |tag: &str| registry.digest("app", tag).unwrap();
    assert_eq!(digest("one"), digest("again"));
    let layers = |tag: &str| {
        registry.manifest("app", tag)["layers"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((layers("plain"), layers("one")), (5, 2));
}

#[test]
fn what_a_tar_needs_is_pulled_and_no_more() {
    let registry = Registry::start();
    let tar = "build app { context \".\"; tar \"app.tar\" }";
    Machine::new(&ours(&registry), tar).build().made(5);
    let machine = Machine::new(&ours(&registry), tar);
    machine.build().made(0);

    let list = run(
        "tar",
        &[
            "-tf",
            machine.project.path().join("app.tar").to_str().unwrap(),
        ],
    );
    assert!(list.contains("manifest.json"), "{list}");
    // The layer of the stage that only lent a file stays where it is.
    let noise = machine.bytes();
    assert!((300_000..450_000 + base_size()).contains(&noise), "{noise}");
}

fn base_size() -> u64 {
    // The busybox layer as the bases' registry serves it.
    std::fs::metadata("/bin/busybox").map_or(2_000_000, |m| m.len())
}

#[test]
fn a_step_changed_in_the_middle_is_made_with_what_follows_it() {
    let registry = Registry::start();
    Machine::building(&ours(&registry)).build().made(5);
    let machine = Machine::building(&ours(&registry));
    machine.write("conf", "two\n");
    // COPY conf, RUN and the RUN on it. What is copied from tools does not depend on them.
    machine.build().made(3).says("cache: 2 found, 3 written");
    // The next machine finds both ways.
    for conf in ["one\n", "two\n"] {
        let machine = Machine::building(&ours(&registry));
        machine.write("conf", conf);
        machine.build().made(0);
    }
}

#[test]
fn mode_min_keeps_the_steps_of_the_image_alone() {
    let registry = Registry::start();
    let cache = format!("{} mode=min", ours(&registry));
    Machine::building(&cache).build().made(5);
    let steps = registry
        .tags()
        .iter()
        .filter(|t| t.starts_with("cache:step-"))
        .count();
    assert_eq!(steps, 4, "{:?}", registry.tags());
    // The helper's stage has to be made to know what is copied from it; that gives the same file.
    Machine::building(&cache).build().made(1);
}

#[test]
fn a_machine_that_only_reads_writes_nothing() {
    let registry = Registry::start();
    let reading = format!("{} access=read", ours(&registry));
    Machine::building(&reading).build().made(5);
    assert_eq!(registry.tags(), Vec::<String>::new());
    Machine::building(&ours(&registry)).build().made(5);
    let before = registry.blobs();
    let machine = Machine::building(&reading);
    machine.write("conf", "two\n");
    machine.build().made(3);
    assert_eq!(registry.blobs(), before);
}

#[test]
fn the_command_line_names_caches_too() {
    let registry = Registry::start();
    let cache = format!("{}/cache", registry.host);
    let machine = || {
        Machine::new(
            "registry ref=\"127.0.0.1:1/x\" access=off",
            "build app { context \".\" }",
        )
    };
    let to = format!("--cache-to=type=registry,ref={cache},mode=max");
    machine().run(&[&to]).made(5).says("5 written");
    machine()
        .run(&["--cache-from", &cache])
        .made(0)
        .says("5 found");
    let aged = ["--cache-from", &cache, "--cache-ttl", "0"];
    std::thread::sleep(std::time::Duration::from_millis(1100));
    machine().run(&aged).made(5);
    let refused = machine().run(&["--cache-from=type=s3,bucket=b,secret_access_key=hunter2"]);
    assert_eq!(refused.ran.code, 2, "{refused:?}");
    assert!(
        refused.ran.stderr.contains("type=s3") && !refused.ran.stderr.contains("hunter2"),
        "{refused:?}"
    );
}

#[test]
fn forced_steps_are_made_and_replace_what_was_cached() {
    let registry = Registry::start();
    Machine::building(&ours(&registry)).build().made(5);
    let before = registry.tags();
    Machine::building(&ours(&registry))
        .run(&["--force"])
        .made(5)
        .says("written");
    // The RUN steps gave other bytes, so what lies on them has other keys.
    assert!(registry.tags().len() > before.len());
    Machine::building(&ours(&registry)).build().made(0);
}

#[test]
fn without_its_registry_the_build_goes_on() {
    let cache = format!("registry ref=\"127.0.0.1:{}/cache\"", free_port());
    let did = Machine::building(&cache).build();
    did.made(5).says("the build continues without the cache");
    // Unless it was asked to fail.
    let did = Machine::building(&format!("{cache} on-error=fail")).run(&[]);
    assert_eq!(did.ran.code, 1, "{did:?}");
    assert!(
        did.ran.stderr.contains("cache") || did.ran.stdout.contains("cannot write the cache"),
        "{did:?}"
    );
}

#[test]
fn wrong_credentials_are_one_line() {
    let registry = Registry::with(&Access {
        basic: Some(("robot", "right")),
        ..Access::default()
    });
    let auth = format!(
        "secret password env=\"PASSWORD\"\nregistry r \"{}\" {{ auth basic user=\"robot\" password=(secret)password }}\n\
         build app {{ context \".\" }}",
        registry.host
    );
    let machine = |password| Machine::new(&ours(&registry), &auth).with("PASSWORD", password);
    let did = machine("wr0ng-one").build();
    did.made(5).says("the build continues without the cache");
    assert!(!format!("{did:?}").contains("wr0ng-one"), "{did:?}");
    machine("right").build().made(5).says("written");
    machine("right").build().made(0);
}

/// Does something to every entry of one kind, and says how a clean machine takes it.
fn after_damage(kind: &str, damage: impl Fn(&Registry, &str)) -> Did {
    let registry = Registry::start();
    Machine::building(&ours(&registry)).build().made(5);
    for tag in registry.tags() {
        if let Some(tag) = tag
            .strip_prefix("cache:")
            .filter(|tag| tag.starts_with(kind))
        {
            damage(&registry, tag);
        }
    }
    Machine::building(&ours(&registry)).build()
}

#[test]
fn entries_of_other_keys_and_foreign_images_are_passed_by() {
    let swapped = after_damage("step-", |registry, tag| {
        // Somebody's image under the tag of an entry.
        let image = format!("docker://{}/library/busybox", bases().host);
        let to = format!("docker://{}/cache:{tag}", registry.host);
        run(
            "skopeo",
            &[
                "copy",
                "-q",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                &image,
                &to,
            ],
        );
    });
    swapped.made(5);
    let told = swapped
        .lines
        .iter()
        .filter(|l| l.contains("is not a cache entry of imgmake"))
        .count();
    assert_eq!(told, 4, "the last RUN has another key now: {swapped:?}");

    let renamed = after_damage("step-", |registry, tag| {
        let tags = registry.tags();
        let other = tags
            .iter()
            .find_map(|t| t.strip_prefix("cache:").filter(|t| t.starts_with("index-")));
        std::fs::copy(
            registry.link("cache", other.unwrap()),
            registry.link("cache", tag),
        )
        .unwrap();
    });
    renamed.made(5);
    assert!(
        renamed.lines.iter().any(|l| l.contains("another key")),
        "{renamed:?}"
    );
}

#[test]
fn nonsense_instead_of_an_entry_is_passed_by() {
    for nonsense in [
        "",
        "{",
        "[1,2]",
        "{\"schemaVersion\":2}",
        "{\"manifests\":[]}",
    ] {
        let did = after_damage("", |registry, tag| {
            std::fs::write(registry.manifest_file("cache", tag), nonsense).unwrap();
        });
        did.made(5);
        assert!(
            did.lines
                .iter()
                .any(|l| l.contains("is not used") || l.contains("without the cache")),
            "{did:?}"
        );
    }
}

#[test]
fn blobs_that_were_cut_short_or_lost_are_made_again() {
    for loss in ["cut", "lost"] {
        let registry = Registry::start();
        Machine::building(&ours(&registry)).build().made(5);
        for blob in registry
            .blob_files()
            .into_iter()
            .filter(|b| b.metadata().unwrap().len() > 150_000)
        {
            match loss {
                "cut" => std::fs::File::options()
                    .write(true)
                    .open(blob)
                    .unwrap()
                    .set_len(1000)
                    .unwrap(),
                _ => std::fs::remove_file(blob).unwrap(),
            }
        }
        let did = Machine::building(&ours(&registry)).build();
        assert!(
            did.lines
                .iter()
                .any(|l| l.contains("its step is run again")),
            "{loss}: {did:?}"
        );
    }
}

#[test]
fn a_layer_with_other_bytes_of_the_same_length_is_made_again() {
    let registry = Registry::start();
    let tar = "build app { context \".\"; tar \"app.tar\" }";
    Machine::new(&ours(&registry), tar).build().made(5);
    for blob in registry
        .blob_files()
        .into_iter()
        .filter(|b| b.metadata().unwrap().len() > 150_000)
    {
        let bytes = vec![7; std::fs::metadata(&blob).unwrap().len() as usize];
        std::fs::write(blob, bytes).unwrap();
    }
    let machine = Machine::new(&ours(&registry), tar);
    let did = machine.build();
    did.says("its step is run again");
    let list = run(
        "tar",
        &[
            "-tf",
            machine.project.path().join("app.tar").to_str().unwrap(),
        ],
    );
    assert!(list.contains("manifest.json"), "{list}");
}

#[test]
fn nothing_secret_is_in_the_cache() {
    let registry = Registry::start();
    let image = "secret token env=\"TOKEN\"\n\
        build app { context \".\"; secrets token; args { PASSWORD \"hunter2-arg\"; HTTPS_PROXY \"http://user:hunter2-proxy@proxy.example:3128\" } }";
    let machine = || Machine::new(&ours(&registry), image).with("TOKEN", "hunter2-secret");
    let base = format!("{}/library/busybox", bases().host);
    let dockerfile = format!(
        "FROM {base}\nARG PASSWORD\nRUN --mount=type=secret,id=token test \"$(cat /run/secrets/token)\" = hunter2-secret && test \"$PASSWORD\" = hunter2-arg\n\
         RUN --mount=type=secret,id=token,env=T test \"$T\" = hunter2-secret && echo \"${{#HTTPS_PROXY}}\" > /length\n"
    );
    let first = machine();
    first.write("Dockerfile", &dockerfile);
    first.build().made(2).says("2 written");
    let all = documents(&registry);
    assert!(
        all.contains("step-") && all.contains("etc/passwd"),
        "the test looks at what is there"
    );
    assert!(!all.contains("hunter2"), "something secret is in the cache");
    assert!(
        !all.contains("PASSWORD") && !all.contains("run/secrets"),
        "commands are in the cache"
    );

    let second = machine().with("TOKEN", "another");
    second.write("Dockerfile", &dockerfile);
    second.build().made(0);
}

#[test]
fn machines_that_write_at_the_same_time_do_no_harm() {
    let registry = Registry::start();
    let machines: Vec<Machine> = (0..3)
        .map(|_| Machine::building(&ours(&registry)))
        .collect();
    std::thread::scope(|scope| {
        for machine in &machines {
            scope.spawn(|| machine.build());
        }
    });
    let did = Machine::building(&ours(&registry)).build();
    assert!(
        did.steps.iter().all(|s| s == "cached" || s == "done"),
        "{did:?}"
    );
    assert!(!did.lines.iter().any(|l| l.contains("not used")), "{did:?}");
    assert!(Path::new(&machines[0].imgmake.store()).is_dir() && !machines[0].blobs().is_empty());
}

#[test]
fn a_step_that_fails_keeps_those_before_it() {
    let registry = Registry::start();
    let base = format!("{}/library/busybox", bases().host);
    let dockerfile =
        |last: &str| format!("FROM {base}\nRUN head -c 1000 /dev/urandom > /x\nRUN {last}\n");
    let failing = Machine::building(&ours(&registry));
    failing.write("Dockerfile", &dockerfile("false"));
    assert_eq!(failing.run(&[]).ran.code, 1);
    let mended = Machine::building(&ours(&registry));
    mended.write("Dockerfile", &dockerfile("true"));
    mended.build().made(1).says("1 found");
}

/// A step of a pipeline on a computer of its own: the plugin, called by its name.
fn step(name: &str, variables: &[(&str, &str)]) -> (String, Imgmake) {
    let workspace = temporary();
    let base = format!("{}/library/busybox", bases().host);
    write(
        workspace.path(),
        "Dockerfile",
        DOCKERFILE.replace("BASE", &base),
    );
    write(workspace.path(), "conf", "one\n");
    let mut imgmake = Imgmake::new();
    for (name, value) in variables {
        imgmake = imgmake.with(name, value);
    }
    let ran = imgmake.ok(workspace.path(), &["plugin", "--as", name]);
    let metrics = std::fs::read_to_string(workspace.path().join("metrics.json"));
    (
        format!(
            "{}{}{}",
            ran.stdout,
            ran.stderr,
            metrics.unwrap_or_default()
        ),
        imgmake,
    )
}

#[test]
fn pipelines_share_steps_as_buildx_and_kaniko_are_told_to() {
    let registry = Registry::start();
    let repo = format!("{}/app", registry.host);
    let cache = format!(
        "type=registry,ref={}/steps:x,mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true",
        registry.host
    );
    let s3 = format!("type=s3,bucket=b,access_key_id=harness_placeholder_aws_creds;{cache}");
    let buildx = [
        ("PLUGIN_REPO", repo.as_str()),
        ("PLUGIN_CACHE_FROM", &s3),
        ("PLUGIN_CACHE_TO", &cache),
        ("PLUGIN_HARNESS_SELF_HOSTED_S3_ACCESS_KEY", "hunter2"),
        ("PLUGIN_CACHE_METRICS_FILE", "metrics.json"),
    ];
    let (first, _) = step("drone-docker", &buildx);
    assert!(
        first.contains("type=s3 has no effect") && !first.contains("hunter2"),
        "{first}"
    );
    assert!(first.contains("\"done\":5"), "{first}");
    let (second, _) = step("drone-docker", &buildx);
    assert!(second.contains("\"done\":0,\"cached\":5"), "{second}");

    let kaniko = [
        ("PLUGIN_REPO", repo.as_str()),
        ("PLUGIN_ENABLE_CACHE", "true"),
        ("PLUGIN_CACHE_TTL", "6"),
    ];
    let (first, _) = step("kaniko-docker", &kaniko);
    assert!(
        first.contains("cache: 0 found, 3 written"),
        "RUN alone: {first}"
    );
    let (second, _) = step("kaniko-docker", &kaniko);
    assert!(second.contains("cache: 3 found"), "{second}");
    assert!(
        registry
            .tags()
            .iter()
            .any(|t| t.starts_with("app/cache:step-")),
        "{:?}",
        registry.tags()
    );
}

#[test]
fn kanikos_arguments_share_steps() {
    let registry = Registry::start();
    let build = |more: &[&str]| {
        let machine = Machine::building("");
        let destination = format!("--destination={}/app:1", registry.host);
        let mut all = vec!["kaniko", "--context=.", &destination, "--cache"];
        all.extend(more);
        let ran = machine.imgmake.ok(machine.project.path(), &all);
        format!("{}{}", ran.stdout, ran.stderr)
    };
    let repository = format!("--cache-repo={}/kept", registry.host);
    let first = build(&[&repository, "--cache-copy-layers"]);
    assert!(first.contains("cache: 0 found, 5 written"), "{first}");
    let second = build(&[&repository, "--cache-copy-layers", "--no-push-cache"]);
    assert!(second.contains("cache: 5 found"), "{second}");
    let third = build(&["--no-push-cache", "--cache-run-layers=false"]);
    assert!(!third.contains("cache:"), "{third}");
}
