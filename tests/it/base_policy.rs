//! `bases` in the `imgmake` node: which images a build may take content from, by name and
//! by signature. Whatever way a recipe names an image, the answer is the same, and it comes
//! before a layer is pulled.

use std::path::Path;

use crate::ground::cosign::{Signature, Signer, attach, payload, payload_of, refer};
use crate::ground::images::{bases, busybox};
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

fn copy(layout: &Path, registry: &Registry, name: &str) {
    let from = format!("oci:{}", layout.display());
    let to = format!("docker://{}/{name}", registry.host);
    let quiet = [
        "copy",
        "-q",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
    ];
    run("skopeo", &[&quiet[..], &[&from, &to]].concat());
}

fn allowing(patterns: &str, target: &str) -> tempfile::TempDir {
    let directory = temporary();
    let manifest = format!("imgmake version=1 {{\n    bases {{ {patterns} }}\n}}\n{target}\n");
    write(directory.path(), "imgmake.kdl", manifest);
    directory
}

#[test]
fn an_image_whose_name_is_not_allowed_is_refused_wherever_it_is_named_and_never_contacted() {
    let (imgmake, other) = (Imgmake::new(), Registry::start());
    let (good, evil) = (&bases().host, &other.host);
    // An image of the allowed registry whose trigger names another.
    let trap = temporary();
    write(
        trap.path(),
        "imgmake.kdl",
        "build trap { context \".\"; tags \"t:1\"; layout \"out\" }",
    );
    write(
        trap.path(),
        "Dockerfile",
        format!("FROM scratch\nONBUILD COPY --from={evil}/team/app /a /b\n"),
    );
    imgmake.ok(trap.path(), &[]);
    copy(&trap.path().join("out"), bases(), "library/trap:1");

    let from_file = "build app { context \".\" }";
    let arg = format!("build app {{ context \".\"; args {{ BASE \"{evil}/team/app\" }} }}");
    let context = format!(
        "build app {{ context \".\"; contexts {{ busybox (image)\"{evil}/team/app:1\" }} }}"
    );
    let steps = format!("build app {{ from \"{evil}/team/app\"; file \"/x\" \"y\" }}");
    let cases = [
        (from_file, format!("FROM {evil}/team/app\n"), "Dockerfile:1"),
        (
            from_file,
            format!("FROM {good}/library/busybox\nCOPY --from={evil}/team/app /a /b\n"),
            "Dockerfile:2",
        ),
        (
            from_file,
            format!(
                "FROM {good}/library/busybox\n\nRUN --mount=type=bind,from={evil}/team/app,target=/m true\n"
            ),
            "Dockerfile:3",
        ),
        (
            from_file,
            format!(
                "FROM {evil}/team/app AS a\nFROM {good}/library/busybox\nCOPY --from=a /a /b\n"
            ),
            "Dockerfile:1",
        ),
        (
            from_file,
            format!("FROM {good}/library/trap:1\n"),
            "Dockerfile:1",
        ),
        (
            &arg,
            format!("ARG BASE={good}/library/busybox\nFROM $BASE\n"),
            "Dockerfile:2",
        ),
        (&context, "FROM busybox\n".to_string(), "Dockerfile:1"),
        (&steps, String::new(), "target `app`"),
        // A digest decides which image it is, whatever tag stands beside it.
        (
            from_file,
            format!(
                "FROM {good}/library/debian:bookworm@sha256:{}\n",
                "0".repeat(64)
            ),
            "Dockerfile:1",
        ),
    ];
    for (target, dockerfile, line) in &cases {
        let patterns = format!(
            "allow \"{good}/library/busybox\" \"{good}/library/trap:1\" \"{good}/library/debian:bookworm\"\n"
        );
        let project = allowing(&patterns, target);
        write(project.path(), "Dockerfile", dockerfile);
        let says = ["is not allowed", line, "imgmake.kdl:2"];
        let ran = imgmake.refused(project.path(), &[], 3, &says);
        let named = ran.stderr.contains(&format!("{evil}/team/app")) || dockerfile.contains('@');
        assert!(named, "{}", ran.stderr);
    }
    assert_eq!(other.requests(), Vec::<String>::new());
    // What is allowed is built, and so is what has no base.
    let project = allowing(&format!("allow \"{good}/library/*\""), from_file);
    write(
        project.path(),
        "Dockerfile",
        format!(
            "FROM {good}/library/busybox AS a\nRUN true\nFROM scratch\nCOPY --from=a /bin/busybox /\n"
        ),
    );
    imgmake.ok(project.path(), &[]);
}

/// A registry with one image for each case, and a project that demands a signature.
struct Ground {
    registry: Registry,
    imgmake: Imgmake,
    digest: String,
}

impl Ground {
    fn new() -> Ground {
        Ground {
            registry: Registry::start(),
            imgmake: Imgmake::new(),
            digest: String::new(),
        }
    }

    /// The digest of busybox, pushed under this name.
    fn image(&mut self, name: &str) -> String {
        copy(
            format!("{}:base", busybox().display()).as_ref(),
            &self.registry,
            &format!("{name}:1"),
        );
        self.digest = self.registry.digest(name, "1").unwrap();
        self.digest.clone()
    }

    fn project(&self, from: &str, keys: &[&Signer]) -> tempfile::TempDir {
        let demands: String = (0..keys.len())
            .map(|n| format!("require-signature key=\"{n}.pub\"\n"))
            .collect();
        let project = allowing(&demands, "build app { context \".\" }");
        for (n, key) in keys.iter().enumerate() {
            std::fs::copy(key.public(), project.path().join(format!("{n}.pub"))).unwrap();
        }
        write(
            project.path(),
            "Dockerfile",
            format!("FROM {}/{from}\nRUN true\n", self.registry.host),
        );
        project
    }

    /// The layers of images are the only blobs here that are fetched by this digest.
    fn pulled_layers(&self) -> usize {
        let manifest = self.registry.json(&self.digest);
        let layer = manifest["layers"][0]["digest"].as_str().unwrap();
        let requests = self.registry.requests();
        requests
            .iter()
            .filter(|r| r.starts_with("GET") && r.contains(layer))
            .count()
    }
}

#[test]
fn a_base_is_used_when_one_of_the_keys_signed_it_and_its_layers_are_pulled_only_then() {
    let mut ground = Ground::new();
    let keys = [
        Signer::new("P-256"),
        Signer::new("P-384"),
        Signer::new("ED25519"),
        Signer::new("RSA-2048"),
    ];
    let all: Vec<&Signer> = keys.iter().collect();
    let stranger = Signer::new("P-256");
    let other_digest = format!("sha256:{}", "5".repeat(64));
    type Make<'a> = Box<dyn Fn(&str) -> Vec<Signature> + 'a>;
    let bad: Vec<(&str, Make, &str)> = vec![
        (
            "stranger",
            Box::new(|d| vec![stranger.sign(payload(d))]),
            "1 by another key",
        ),
        (
            "digest",
            Box::new(|_| vec![keys[0].sign(payload(&other_digest))]),
            "one is about `sha256:555",
        ),
        (
            "kind",
            Box::new(|d| vec![keys[1].sign(payload_of(d, "atomic container signature"))]),
            "of another kind: `atomic",
        ),
        (
            "json",
            Box::new(|_| vec![keys[1].sign(b"yes".to_vec())]),
            "of another kind",
        ),
        (
            "tampered",
            Box::new(|d| {
                let signed = keys[0].sign(payload(&other_digest));
                vec![Signature {
                    payload: payload(d),
                    ..signed
                }]
            }),
            "1 by another key",
        ),
        (
            "base64",
            Box::new(|d| {
                vec![Signature {
                    signature: "%%%".to_string(),
                    ..keys[0].sign(payload(d))
                }]
            }),
            "1 damaged",
        ),
        (
            "type",
            Box::new(|d| {
                vec![Signature {
                    media_type: "text/plain",
                    ..keys[0].sign(payload(d))
                }]
            }),
            "no signature found",
        ),
        (
            "long",
            Box::new(|d| {
                let mut long = payload(d);
                long.resize(100_000, b' ');
                vec![keys[0].sign(long)]
            }),
            "1 damaged",
        ),
        ("none", Box::new(|_| Vec::new()), "no signature found"),
    ];
    for (name, make, why) in &bad {
        let digest = ground.image(&format!("bad/{name}"));
        if *name != "none" {
            attach(
                &ground.registry,
                &format!("bad/{name}"),
                &digest,
                &make(&digest),
            );
        }
        let project = ground.project(&format!("bad/{name}:1"), &all);
        let says = [
            "is not signed by `0.pub` (imgmake.kdl:2)",
            "Dockerfile:1",
            &digest,
            why,
        ];
        ground.imgmake.refused(project.path(), &[], 3, &says);
    }
    assert_eq!(
        ground.pulled_layers(),
        0,
        "nothing of a refused base is pulled"
    );

    for (n, key) in keys.iter().enumerate() {
        let digest = ground.image(&format!("good/{n}"));
        // Beside others that say nothing.
        let signatures = [stranger.sign(payload(&digest)), key.sign(payload(&digest))];
        attach(&ground.registry, &format!("good/{n}"), &digest, &signatures);
        let project = ground.project(&format!("good/{n}:1"), &all);
        ground.imgmake.ok(project.path(), &[]);
        // By digest, too; and not by another's key alone.
        let project = ground.project(&format!("good/{n}@{digest}"), &[key]);
        ground.imgmake.ok(project.path(), &[]);
        let project = ground.project(&format!("good/{n}:1"), &[&keys[(n + 1) % 3]]);
        ground.imgmake.refused(
            project.path(),
            &[],
            3,
            &["is not signed by", "2 by another key"],
        );
    }
    assert!(ground.pulled_layers() > 0);
}

#[test]
fn a_signature_may_be_among_the_referrers_and_of_the_index_or_of_the_platforms_manifest() {
    let mut ground = Ground::new();
    let key = Signer::new("P-256");
    let digest = ground.image("referred");
    refer(
        &ground.registry,
        "referred",
        &digest,
        ARTIFACT,
        &[key.sign(payload(&digest))],
    );
    let project = ground.project("referred:1", &[&key]);
    ground.imgmake.ok(project.path(), &[]);
    let digest = ground.image("bundled");
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    refer(
        &ground.registry,
        "bundled",
        &digest,
        bundle,
        &[key.sign(payload(&digest))],
    );
    let project = ground.project("bundled:1", &[&key]);
    ground.imgmake.ok(project.path(), &[]);

    let made = temporary();
    let two = "build two { context \".\"; platforms \"linux/amd64\" \"linux/arm64\"; tags \"t:1\"; layout \"out\" }";
    write(made.path(), "imgmake.kdl", two);
    write(
        made.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    ground.imgmake.ok(made.path(), &[]);
    for (name, child) in [("index", None), ("amd", Some(0)), ("arm", Some(1))] {
        copy(
            &made.path().join("out"),
            &ground.registry,
            &format!("{name}:1"),
        );
        let mut digest = ground.registry.digest(name, "1").unwrap();
        if let Some(child) = child {
            let index = ground.registry.manifest(name, "1");
            digest = index["manifests"][child]["digest"]
                .as_str()
                .unwrap()
                .to_string();
        }
        attach(
            &ground.registry,
            name,
            &digest,
            &[key.sign(payload(&digest))],
        );
        let project = ground.project(&format!("{name}:1"), &[&key]);
        let dockerfile = format!(
            "FROM --platform=linux/amd64 {}/{name}:1\nCOPY Dockerfile /b\n",
            ground.registry.host
        );
        write(project.path(), "Dockerfile", dockerfile);
        match name {
            "arm" => drop(
                ground
                    .imgmake
                    .refused(project.path(), &[], 3, &["no signature found"]),
            ),
            _ => drop(ground.imgmake.ok(project.path(), &[])),
        }
    }
}

#[test]
fn what_the_store_holds_and_what_was_built_before_is_asked_about_again_in_every_run() {
    let mut ground = Ground::new();
    let (key, other) = (Signer::new("P-256"), Signer::new("P-256"));
    let digest = ground.image("kept");
    attach(
        &ground.registry,
        "kept",
        &digest,
        &[key.sign(payload(&digest))],
    );
    let project = ground.project("kept:1", &[&key]);
    ground.imgmake.ok(project.path(), &[]);
    ground.imgmake.ok(project.path(), &[]);
    // Another key is demanded now: nothing of the finished build counts.
    std::fs::copy(other.public(), project.path().join("0.pub")).unwrap();
    ground
        .imgmake
        .refused(project.path(), &[], 3, &["is not signed by"]);
    std::fs::copy(key.public(), project.path().join("0.pub")).unwrap();
    ground.imgmake.ok(project.path(), &["check"]);
    // Two targets with the same base ask once.
    let manifest = std::fs::read_to_string(project.path().join("imgmake.kdl")).unwrap();
    write(
        project.path(),
        "imgmake.kdl",
        format!("{manifest}build again {{ context \".\"; labels {{ a b }} }}\n"),
    );
    let before = ground.registry.requests().len();
    ground.imgmake.ok(project.path(), &["-j1"]);
    let asked = ground.registry.requests();
    let asked = asked[before..]
        .iter()
        .filter(|r| r.contains(".sig"))
        .count();
    assert_eq!(asked, 1);
    // Without the registry nobody can say that it is signed.
    drop(ground.registry);
    let says = [
        "cannot look for a signature of the base image",
        "imgmake.kdl:2",
    ];
    ground.imgmake.refused(project.path(), &[], 4, &says);
}

#[test]
fn a_flood_of_signatures_is_tried_up_to_a_number() {
    let mut ground = Ground::new();
    let (key, stranger) = (Signer::new("P-256"), Signer::new("P-256"));
    let digest = ground.image("flood");
    let one = stranger.sign(payload(&digest));
    let mut flood: Vec<Signature> = (0..150)
        .map(|_| Signature {
            payload: one.payload.clone(),
            signature: one.signature.clone(),
            media_type: one.media_type,
        })
        .collect();
    flood.push(key.sign(payload(&digest)));
    attach(&ground.registry, "flood", &digest, &flood);
    let project = ground.project("flood:1", &[&key]);
    ground
        .imgmake
        .refused(project.path(), &[], 3, &["at most 100 are tried"]);
}

#[test]
fn a_key_that_cannot_be_used_is_an_error_at_its_place() {
    let (imgmake, good) = (Imgmake::new(), Signer::new("P-256"));
    let project = allowing(
        "require-signature key=\"k.pub\"",
        "build app { from scratch; file \"/x\" \"y\" }",
    );
    let refused = |why: &str| {
        let says = ["cannot use the key `k.pub`", "imgmake.kdl:2", why];
        drop(imgmake.refused(project.path(), &[], 2, &says));
    };
    refused("No such file");
    std::fs::copy(good.private(), project.path().join("k.pub")).unwrap();
    refused("private key");
    for (kind, why) in [
        ("P-521", "neither ECDSA P-256 or P-384"),
        ("RSA-1024", "1024 bits"),
    ] {
        std::fs::copy(Signer::new(kind).public(), project.path().join("k.pub")).unwrap();
        refused(why);
    }
    let pem = std::fs::read_to_string(good.public()).unwrap();
    for (text, why) in [
        (String::new(), "no `-----BEGIN PUBLIC KEY"),
        (format!("{pem}{pem}"), "several public keys"),
        (pem.replacen("MFk", "MFj", 1), "damaged"),
        (pem.replace("-----END", ""), "damaged"),
        (
            pem.lines().take(2).collect::<Vec<_>>().join("\n") + "\n-----END PUBLIC KEY-----\n",
            "damaged",
        ),
    ] {
        write(project.path(), "k.pub", text);
        refused(why);
    }
    write(project.path(), "k.pub", pem);
    imgmake.ok(project.path(), &[]);
}

#[test]
fn a_signature_comes_through_a_mirror_with_its_image_and_counts_as_it_does_elsewhere() {
    let mut mirror = Ground::new();
    let (key, stranger) = (Signer::new("P-256"), Signer::new("P-256"));
    let behind = Registry::start();
    // Of these two the mirror alone has the image: who demands a signature asks where the image is.
    for name in ["good", "referred", "stranger", "none", "stale"] {
        let digest = mirror.image(name);
        let payload = payload(&digest);
        match name {
            "good" => attach(&mirror.registry, name, &digest, &[key.sign(payload)]),
            "referred" => refer(
                &mirror.registry,
                name,
                &digest,
                ARTIFACT,
                &[key.sign(payload)],
            ),
            "stranger" => attach(&mirror.registry, name, &digest, &[stranger.sign(payload)]),
            _ => {}
        }
    }
    // What a mirror lacks is asked of the registry itself, also when that is a signature.
    copy(
        format!("{}:base", busybox().display()).as_ref(),
        &behind,
        "stale:1",
    );
    let digest = behind.digest("stale", "1").unwrap();
    attach(&behind, "stale", &digest, &[key.sign(payload(&digest))]);

    let project = |name: &str| {
        let manifest = format!(
            "imgmake version=1 {{\n    bases {{ require-signature key=\"0.pub\" }}\n}}\n\
             registry behind \"{}\" {{ insecure #true; mirrors \"http://{}\" }}\n\
             build app {{ context \".\" }}\n",
            behind.host, mirror.registry.host
        );
        let directory = temporary();
        write(directory.path(), "imgmake.kdl", manifest);
        write(
            directory.path(),
            "Dockerfile",
            format!("FROM {}/{name}:1\nRUN true\n", behind.host),
        );
        std::fs::copy(key.public(), directory.path().join("0.pub")).unwrap();
        directory
    };
    for (name, why) in [
        ("stranger", "1 by another key"),
        ("none", "no signature found"),
    ] {
        let says = [
            "is not signed by `0.pub` (imgmake.kdl:2)",
            "Dockerfile:1",
            why,
        ];
        mirror.imgmake.refused(project(name).path(), &[], 3, &says);
    }
    assert_eq!(
        mirror.pulled_layers(),
        0,
        "nothing of a refused base is pulled"
    );
    for name in ["good", "referred", "stale"] {
        mirror.imgmake.ok(project(name).path(), &[]);
    }
    assert!(mirror.pulled_layers() > 0);
    // The layers came from the mirror; a registry that is asked in vain has none to give.
    let from_behind = behind.requests();
    assert!(
        from_behind.iter().all(|r| !r.contains("/good/blobs/")),
        "{from_behind:?}"
    );
}
