//! What a push says of how an image was built: SLSA provenance, field by field as the specification has it.

use serde_json::{Value, json};

use crate::ground::cosign::Signer;
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::web::{Transport, Web};
use crate::ground::{git, temporary, write};

const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// An image of two platforms made of everything that a build may take from elsewhere.
fn project(registry: &Registry, web: &Web, attest: &str) -> tempfile::TempDir {
    let directory = temporary();
    let path = directory.path();
    let host = &web.host;
    write(
        path,
        "app/Dockerfile",
        format!(
            r#"FROM {}/base:1
ARG VERSION
ARG NPM_TOKEN
ARG LINK
ARG UNUSED_BELOW
ADD http://{host}/tool.bin?sig=open-sesame /
ADD http://{host}/lib.git#v1 /lib/
COPY --from=proto /api.proto /
COPY --from=inner /inner /
COPY main.txt /
"#,
            registry.host
        ),
    );
    write(path, "app/main.txt", "main");
    write(path, "app/unread.txt", "unread");
    write(path, "proto/api.proto", "syntax");
    write(path, "inner/Dockerfile", "FROM scratch\nCOPY inner /\n");
    write(path, "inner/inner", "inner");
    let manifest = format!(
        r#"imgmake version=1 {{ epoch 0 }}
registry hub "{}" {{ insecure #true }}
secret npm env="SECRET"
build inner {{ context "inner"; platforms "linux/amd64" "linux/arm64" }}
build app {{
    context "app"
    contexts {{ proto (path)"proto"; inner (target)inner }}
    platforms "linux/amd64" "linux/arm64"
    args {{ VERSION "1.2"; NPM_TOKEN "abc"; LINK "https://u:${{env.SECRET}}@e.com"; ELSEWHERE "1" }}
    secrets npm
}}
push release {{ images app; to hub {{ tags "1" }}; attest {attest} }}
"#,
        registry.host
    );
    write(path, "imgmake.kdl", manifest);
    directory
}

/// A base in the registry, and on the server a file and a repository; its commit.
fn elsewhere(registry: &Registry, web: &Web) -> String {
    let base = temporary();
    write(
        base.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    let manifest = format!(
        "imgmake version=1 {{ epoch 0 }}\nregistry hub \"{}\"\nbuild base {{ context \".\"; platforms \"linux/amd64\" \"linux/arm64\" }}\npush out {{ images base; to hub {{ tags \"1\" }} }}\n",
        registry.host
    );
    write(base.path(), "imgmake.kdl", manifest);
    Imgmake::new().ok(base.path(), &["out"]);
    write(&web.root(), "tool.bin", "tool");
    let work = temporary();
    git(work.path(), &["init", "-q"]);
    write(work.path(), "lib.c", "int x;");
    git(work.path(), &["add", "."]);
    git(work.path(), &["commit", "-q", "-m", "one"]);
    git(work.path(), &["tag", "v1"]);
    let bare = web.root().join("lib.git");
    let bare = bare.to_str().unwrap();
    git(work.path(), &["clone", "-q", "--bare", ".", bare]);
    git(work.path(), &["rev-parse", "HEAD"]).trim().to_string()
}

/// The statements beside the image of each platform, with its digest and platform.
fn statements(registry: &Registry, name: &str) -> Vec<(String, String, Value)> {
    let index = registry.manifest(name, "1");
    let children = index["manifests"].as_array().unwrap().iter();
    let children = children.map(|child| {
        let digest = child["digest"].as_str().unwrap();
        let architecture = child["platform"]["architecture"].as_str().unwrap();
        let beside = registry.manifest(name, &digest.replace(':', "-"));
        let beside = beside["manifests"].as_array().unwrap();
        assert_eq!(beside.len(), 1);
        let manifest = registry.json(beside[0]["digest"].as_str().unwrap());
        let layer = &manifest["layers"][0];
        assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
        assert_eq!(layer["annotations"]["in-toto.io/predicate-type"], PREDICATE);
        let statement = registry.json(layer["digest"].as_str().unwrap());
        (digest.to_string(), architecture.to_string(), statement)
    });
    children.collect()
}

/// "REQUIRED" fields and types of <https://slsa.dev/spec/v1.0/provenance>, and the rules of its ResourceDescriptor.
fn is_valid(predicate: &Value) {
    let build = &predicate["buildDefinition"];
    let is_uri = |value: &Value| value.as_str().is_some_and(|text| text.contains(':'));
    assert!(is_uri(&build["buildType"]));
    assert!(build["externalParameters"].is_object());
    assert!(build["internalParameters"].is_object());
    for dependency in build["resolvedDependencies"].as_array().unwrap() {
        let known = [
            "uri",
            "digest",
            "name",
            "downloadLocation",
            "mediaType",
            "content",
            "annotations",
        ];
        let fields = dependency.as_object().unwrap();
        assert!(
            fields.keys().all(|name| known.contains(&name.as_str())),
            "{dependency}"
        );
        assert!(fields.contains_key("uri") || fields.contains_key("digest"));
        for (algorithm, hex) in fields["digest"].as_object().unwrap() {
            assert!(["sha256", "gitCommit", "blake3"].contains(&algorithm.as_str()));
            assert!(hex.as_str().unwrap().bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
    let run = &predicate["runDetails"];
    assert!(is_uri(&run["builder"]["id"]));
    assert!(run["builder"]["version"].is_object());
    let fields: Vec<&String> = predicate.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["buildDefinition", "runDetails"]);
}

#[test]
fn a_push_says_what_each_platform_was_built_of() {
    let (registry, web) = (Registry::start(), Web::start(Transport::Plain, ""));
    let commit = elsewhere(&registry, &web);
    let attest = "\"provenance\" builder=\"https://ci.example.com/runner\"";
    let project = project(&registry, &web, attest);
    let imgmake = Imgmake::new().with("SECRET", "open-sesame");
    let ran = imgmake.ok(project.path(), &["release"]);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("attached its provenance"));
    let found = statements(&registry, "app");
    assert_eq!(found.len(), 2);
    let base = registry.digest("base", "1").unwrap();
    for (digest, architecture, statement) in &found {
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(statement["predicateType"], PREDICATE);
        let subject = &statement["subject"];
        assert_eq!(subject.as_array().unwrap().len(), 1);
        let subject = subject[0]["digest"]["sha256"].as_str().unwrap();
        assert_eq!(*digest, format!("sha256:{subject}"));
        let predicate = &statement["predicate"];
        is_valid(predicate);
        let builder = &predicate["runDetails"]["builder"]["id"];
        assert_eq!(builder, "https://ci.example.com/runner");
        let build = &predicate["buildDefinition"];
        assert_eq!(
            build["externalParameters"],
            json!({
                "target": "app",
                "platform": format!("linux/{architecture}"),
                "dockerfile": "app/Dockerfile",
                // Not what no instruction takes.
                "args": {"LINK": "https://…@e.com", "NPM_TOKEN": "(hidden)", "VERSION": "1.2"},
                "secrets": ["npm"],
                "network": "host",
            })
        );
        assert_eq!(build["internalParameters"]["sourceDateEpoch"], 0);
        let dependencies = build["resolvedDependencies"].as_array().unwrap();
        let digest_of = |what: &str| -> Value {
            let mut all = dependencies.iter();
            let found = all.find(|d| {
                let name = |field: &str| d[field].as_str().unwrap_or_default().to_string();
                name("uri").starts_with(what) || name("name").starts_with(what)
            });
            found.unwrap_or_else(|| panic!("{what} in {dependencies:?}"))["digest"].clone()
        };
        let hex = base.trim_start_matches("sha256:");
        let uri = format!(
            "pkg:docker/{}/base@1?digest={base}&platform=linux%2F{architecture}",
            registry.host
        );
        assert_eq!(digest_of(&uri), json!({"sha256": hex}));
        let tool = imgmake_oci::image::Digest::of(b"tool");
        assert_eq!(
            digest_of(&format!("http://{}/tool.bin?…", web.host)),
            json!({"sha256": tool.hex()})
        );
        assert_eq!(
            digest_of(&format!("git+http://{}/lib.git", web.host)),
            json!({"gitCommit": commit})
        );
        let dockerfile = std::fs::read(project.path().join("app/Dockerfile")).unwrap();
        let dockerfile = imgmake_oci::image::Digest::of(&dockerfile);
        assert_eq!(
            digest_of("Dockerfile Dockerfile"),
            json!({"sha256": dockerfile.hex()})
        );
        assert!(digest_of("image of inner")["sha256"].is_string());
        assert!(digest_of("files of the context ../proto")["blake3"].is_string());
        assert_eq!(dependencies.len(), 7, "{dependencies:?}");
        assert!(
            !statement.to_string().contains("open-sesame"),
            "{statement}"
        );
    }

    // On another machine, in another directory, at another time: the same bytes.
    let before = registry.blobs();
    let other = self::project(&registry, &web, attest);
    write(other.path(), "app/unread.txt", "another");
    let elsewhere = Imgmake::new().with("SECRET", "open-sesame");
    elsewhere.ok(other.path(), &["release"]);
    assert_eq!(registry.blobs(), before);

    // Another content of a file that is read is another provenance, though nothing else changed.
    write(other.path(), "app/main.txt", "changed");
    elsewhere.ok(other.path(), &["release"]);
    let changed = statements(&registry, "app");
    let of = |statement: &Value| statement["predicate"]["buildDefinition"].clone();
    assert_ne!(of(&changed[0].2), of(&found[0].2));
}

/// The push is told what the build was made of, not what lies there now.
#[test]
fn provenance_is_signed_and_verified_and_told_of_built_images_alone() {
    let (registry, web) = (Registry::start(), Web::start(Transport::Plain, ""));
    elsewhere(&registry, &web);
    let signer = Signer::new("P-256");
    let project = project(&registry, &web, "\"provenance\"; sign key=\"cosign.key\"");
    let path = project.path();
    std::fs::copy(signer.private(), path.join("cosign.key")).unwrap();
    std::fs::copy(signer.public(), path.join("cosign.pub")).unwrap();
    let imgmake = Imgmake::new().with("SECRET", "open-sesame");
    imgmake.ok(path, &["release"]);
    let name = format!("{}/app:1", registry.host);
    let asked = [
        "verify",
        &name,
        "-k",
        "cosign.pub",
        "-t",
        "provenance",
        "--format",
        "json",
    ];
    let found: Value = serde_json::from_str(&imgmake.ok(path, &asked).stdout).unwrap();
    let verified = found["verified"].as_array().unwrap();
    assert_eq!(verified.len(), 2);
    for one in verified {
        assert_eq!(one["predicateType"], PREDICATE);
        is_valid(&one["predicate"]);
    }

    // The build is up to date, and it is told again.
    imgmake.ok(path, &["--force", "release"]);

    let elsewhere = temporary();
    let retag = format!(
        "registry hub \"{0}\"\npush again {{ from image=\"{0}/app:1\"; to hub {{ repository \"app\"; tags \"2\" }}; attest \"provenance\" }}\n",
        registry.host
    );
    write(elsewhere.path(), "imgmake.kdl", retag);
    imgmake.refused(
        elsewhere.path(),
        &["again"],
        2,
        &["one that was built elsewhere"],
    );
}
