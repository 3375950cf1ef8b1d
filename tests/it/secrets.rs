//! Passwords go to whom they are for. A run that uses every kind of them, as loudly
//! as it can, is searched: what it prints, what it writes, what it builds, what it
//! starts.

use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ground::ecr::{ACCESS_KEY, Ecr, SECRET_KEY, TOKEN, USER};
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::{Access, Registry};
use crate::ground::{run, temporary, write};

const IN_FILE: &str = "password-in-dockers-file";
const IN_NODE: &str = "password-of-a-node";
const OF_BUILD: &str = "password-for-a-step";
const PLUGIN: &str = "password-of-a-plugin";

/// Shows what a process is given.
const GIVEN: &str = "env; tr '\\0' '\\n' < /proc/self/environ";
/// Shows all that a process can see of itself and of others.
const CURIOUS: &str =
    "env; cat /proc/self/environ /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'";

/// Every form in which a secret may stand somewhere.
fn forms() -> Vec<String> {
    let plain = [IN_FILE, IN_NODE, OF_BUILD, PLUGIN, SECRET_KEY, TOKEN];
    let mut forms: Vec<String> = plain.iter().map(ToString::to_string).collect();
    for (user, password) in [("ann", IN_FILE), ("bob", IN_NODE), (USER, TOKEN)] {
        forms.push(STANDARD.encode(format!("{user}:{password}")));
    }
    forms
}

/// What a file holds, unpacked where it is packed.
fn bytes_of(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let mut unpacked = Vec::new();
    let read = match bytes.as_slice() {
        [0x1f, 0x8b, ..] => {
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::stream::read::Decoder::new(&bytes[..])
            .and_then(|mut stream| stream.read_to_end(&mut unpacked)),
        _ => Ok(0),
    };
    read.unwrap_or_default();
    [bytes, unpacked].concat()
}

fn search(what: &str, bytes: &[u8]) {
    for secret in forms() {
        let found = memchr::memmem::find(bytes, secret.as_bytes());
        assert!(
            found.is_none(),
            "`{secret}` stands in {what}:\n{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

fn search_tree(root: &Path, but: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            files += search_tree(&path, but);
        } else if kind.is_file() && path != but {
            search(&path.display().to_string(), &bytes_of(&path));
            files += 1;
        }
    }
    files
}

fn guarded(user: &str, password: &str) -> Registry {
    Registry::with(&Access {
        basic: Some((user, password)),
        tls: None,
    })
}

fn project(registries: &[Registry; 3], ecr: &Ecr) -> tempfile::TempDir {
    let directory = temporary();
    let path = directory.path();
    std::fs::copy("/bin/busybox", path.join("busybox")).unwrap();
    write(
        path,
        "Dockerfile",
        format!(
            "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
             RUN --mount=type=secret,id=step test -s /run/secrets/step\n\
             RUN {CURIOUS}\nRUN {CURIOUS} > /seen\n"
        ),
    );
    write(
        path,
        "scanner.sh",
        format!(
            "#!/bin/sh\n{{ echo \"$@\"; {GIVEN}; }} > \"$(dirname \"$0\")/scanner-saw\"\nprintf '{{\"version\":\"2.1.0\",\"runs\":[{{\"tool\":{{\"driver\":{{\"name\":\"sh\"}}}},\"results\":[]}}]}}' > \"$1\"\n"
        ),
    );
    run("chmod", &["+x", path.join("scanner.sh").to_str().unwrap()]);
    let [file, node, aws] = registries.each_ref().map(|r| r.host.as_str());
    let manifest = format!(
        "secret node env=\"NODE_PASSWORD\"\nsecret step env=\"STEP_PASSWORD\"\n\
         registry file \"{file}\" {{ insecure #true }}\n\
         registry node \"{node}\" {{ insecure #true; auth basic user=bob password=(secret)node }}\n\
         registry aws \"{aws}\" {{ insecure #true; auth aws-ecr region=\"eu-west-1\" endpoint=\"{}\" }}\n\
         build app {{ context \".\"; secrets step; tags \"app:1\"; tar \"out/app.tar\"; layout \"out/layout\" }}\n\
         scan gate {{ images app; scanner command \"{}/scanner.sh {{report}} {{archive}}\" }}\n\
         push release {{ images app; needs gate; to file node aws {{ tags \"1\" }}; write-digests \"out/digests.json\" }}\n",
        ecr.url,
        path.display(),
    );
    write(path, "imgmake.kdl", manifest);
    write(path, ".dockerignore", "*\n!busybox\n");
    directory
}

fn imgmake(file: &Registry, password: &str) -> Imgmake {
    let imgmake = Imgmake::new()
        .with("NODE_PASSWORD", IN_NODE)
        .with("STEP_PASSWORD", OF_BUILD)
        .with("PLUGIN_PASSWORD", PLUGIN)
        .with("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .with("RUST_LOG", "trace");
    let auth = STANDARD.encode(format!("ann:{password}"));
    let text = format!(
        "{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}",
        file.host
    );
    write(&imgmake.home(), ".docker/config.json", text);
    imgmake
}

#[test]
fn no_password_is_printed_written_built_in_or_handed_on() {
    for progress in ["plain", "json"] {
        let registries = [
            guarded("ann", IN_FILE),
            guarded("bob", IN_NODE),
            guarded(USER, TOKEN),
        ];
        let ecr = Ecr::start();
        let project = project(&registries, &ecr);
        let imgmake = imgmake(&registries[0], IN_FILE);
        let config = imgmake.home().join(".docker/config.json");
        let mut said = Vec::new();
        for arguments in [
            &["release", "-v"][..],
            &["why", "release"],
            &["plan", "-v"],
            &["release", "--force", "-v"],
        ] {
            let progress = format!("--progress={progress}");
            let ran = imgmake.ok(project.path(), &[arguments, &[&progress]].concat());
            said.extend([ran.stdout, ran.stderr]);
        }
        let said = said.concat();
        assert!(said.contains("PATH=") && said.contains("release"), "{said}");
        search("what it prints", said.as_bytes());
        let saw = std::fs::read_to_string(project.path().join("scanner-saw")).unwrap();
        assert!(
            saw.contains("PATH=") && !saw.contains("AWS_ACCESS_KEY_ID"),
            "{saw}"
        );
        assert!(search_tree(project.path(), &config) > 10);
        assert!(search_tree(&imgmake.home(), &config) > 10);
        for registry in &registries {
            assert_eq!(registry.tags(), ["app:1"]);
            assert!(search_tree(registry.storage_root(), &config) > 5);
        }
    }
}

#[test]
fn no_refusal_shows_the_password_that_was_refused() {
    let registries = [
        guarded("ann", "other"),
        guarded("bob", "other"),
        guarded(USER, "other"),
    ];
    let ecr = Ecr::start();
    let project = project(&registries, &ecr);
    let imgmake = imgmake(&registries[0], IN_FILE);
    let ran = imgmake.refused(
        project.path(),
        &["release", "-v"],
        4,
        &["3 of 3 pushes failed", "401"],
    );
    search(
        "what it prints",
        format!("{}{}", ran.stdout, ran.stderr).as_bytes(),
    );
    assert!(search_tree(project.path(), Path::new("")) > 5);
}

/// Needs the secret `tok` in its second stage alone.
fn project_with_a_secret() -> tempfile::TempDir {
    let project = temporary();
    std::fs::copy("/bin/busybox", project.path().join("sh")).unwrap();
    write(
        project.path(),
        "Dockerfile",
        "FROM scratch AS base\nCOPY sh /bin/sh\nFROM base AS needs\n\
         RUN --mount=type=secret,id=tok,env=TOK,required=true echo \"<$TOK>\" > /seen\n",
    );
    project
}

#[test]
fn a_secret_without_its_source_fails_the_step_that_needs_it() {
    let project = project_with_a_secret();
    for (source, why) in [
        ("env=\"TOKEN\"", "the variable `TOKEN` is not set"),
        ("file=\"no/token\"", "the file `no/token` does not exist"),
    ] {
        let manifest = format!(
            "secret tok {source}\n\
             build other {{ context \".\"; stage \"base\"; secrets tok }}\n\
             build needs {{ context \".\"; secrets tok }}\n"
        );
        write(project.path(), "imgmake.kdl", &manifest);
        Imgmake::new().ok(project.path(), &["other"]);
        let says = [
            "Dockerfile:4",
            "secret `tok` not found",
            why,
            "optional=#true",
        ];
        Imgmake::new().refused(project.path(), &["needs"], 1, &says);
    }
    let optional =
        "secret tok env=\"TOKEN\" optional=#true\nbuild needs { context \".\"; secrets tok }\n";
    write(project.path(), "imgmake.kdl", optional);
    Imgmake::new().refused(project.path(), &["needs"], 1, &["secret `tok` is required"]);
    Imgmake::new()
        .with("TOKEN", "given")
        .ok(project.path(), &["needs"]);
    // Where the layer is known, nothing is run that would need it.
    let imgmake = Imgmake::new();
    let of_file = "secret tok file=\"token\"\nbuild needs { context \".\"; secrets tok }\n";
    write(project.path(), "imgmake.kdl", of_file);
    write(project.path(), "token", "given");
    imgmake.ok(project.path(), &["needs"]);
    std::fs::remove_file(project.path().join("token")).unwrap();
    let dockerfile = std::fs::read_to_string(project.path().join("Dockerfile")).unwrap();
    let labelled = dockerfile + "LABEL later=1\n";
    write(project.path(), "Dockerfile", &labelled);
    imgmake.ok(project.path(), &["needs"]);
    let changed = labelled.replace("> /seen", "> /also");
    write(project.path(), "Dockerfile", &changed);
    imgmake.refused(project.path(), &["needs"], 1, &["secret `tok` not found"]);
}

#[test]
fn a_variable_that_is_not_set_is_an_empty_secret_of_a_step_unless_it_is_required() {
    let project = project_with_a_secret();
    let required = std::fs::read_to_string(project.path().join("Dockerfile")).unwrap();
    let optional = required.replace(",required=true", "");
    let note = "secret `tok` is empty: the variable `TOKEN` is not set";
    let bake = "target \"needs\" {\n  secret = [\"id=tok,env=TOKEN\"]\n}\n";
    write(project.path(), "docker-bake.hcl", bake);
    Imgmake::new().ok(project.path(), &["import", "-f", "imported.kdl"]);
    let plugin = ["plugin", "--as", "drone-docker"];
    let kaniko = [
        "kaniko",
        "--no-push",
        "--context=.",
        "--secret=id=tok,env=TOKEN",
    ];
    for (arguments, variables) in [
        (
            &plugin[..],
            &[
                ("PLUGIN_DRY_RUN", "true"),
                ("PLUGIN_REPO", "r/app"),
                ("PLUGIN_SECRET", "id=tok,env=TOKEN"),
            ][..],
        ),
        (&kaniko[..], &[]),
        (&["-f", "docker-bake.hcl", "needs", "--no-cache"][..], &[]),
        (&["-f", "imported.kdl", "needs", "--no-cache"][..], &[]),
    ] {
        let imgmake = variables
            .iter()
            .fold(Imgmake::new(), |imgmake, (name, value)| {
                imgmake.with(name, value)
            });
        // Nothing is run where the layer is known: first.
        write(project.path(), "Dockerfile", &required);
        let says = [
            "Dockerfile:4",
            "secret `tok` is required: the variable `TOKEN` is not set",
        ];
        imgmake.refused(project.path(), arguments, 1, &says);
        write(project.path(), "Dockerfile", &optional);
        let ran = imgmake.ok(project.path(), arguments);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert_eq!(said.matches(note).count(), 1, "{said}");
        write(project.path(), "Dockerfile", &required);
        // A variable that is set may be empty.
        imgmake.with("TOKEN", "").ok(project.path(), arguments);
    }
}

/// Messages about the address of a repository show neither its login nor its options.
#[test]
fn a_login_in_the_address_of_a_repository_is_in_no_message() {
    let directory = temporary();
    let path = directory.path();
    write(path, "imgmake.kdl", "build app { context \".\" }\n");
    for (flag, options, says) in [
        (
            "",
            "submodules=maybe&x=hunter2",
            "option `submodules=maybe`",
        ),
        ("", "tokn=hunter2", "option `tokn`"),
        (
            "--keep-git-dir=true",
            "keep-git-dir=0&x=hunter2",
            "--keep-git-dir",
        ),
    ] {
        let address = format!("https://ann:hunter2@127.0.0.1:1/a.git?{options}");
        let text = format!("FROM scratch\nADD {flag} {address} /\n");
        write(path, "Dockerfile", text);
        for arguments in [&["app"][..], &["lint"], &["plan"]] {
            let ran = Imgmake::new().run(path, arguments);
            let said = ran.stdout.clone() + &ran.stderr;
            assert!(!said.contains("hunter2"), "{arguments:?}: {said}");
            if arguments == ["app"] {
                assert_ne!(ran.code, 0, "{said}");
                assert!(said.contains(says), "{said}");
                assert!(said.contains("https://127.0.0.1:1/a.git"), "{said}");
            }
        }
    }
}
