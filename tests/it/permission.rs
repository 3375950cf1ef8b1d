//! A missing credential is found before the build starts, not after it: for every plugin, for push-only, for each
//! of several destinations, and for registries that let read and not push.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::registry::{Access, Registry};
use crate::ground::{temporary, write};

const PLUGINS: [&str; 15] = [
    "kaniko-docker",
    "kaniko-ecr",
    "kaniko-gcr",
    "kaniko-gar",
    "kaniko-acr",
    "drone-docker",
    "drone-ecr",
    "drone-gcr",
    "drone-gar",
    "drone-acr",
    "drone-heroku",
    "drone-buildah",
    "buildah-docker",
    "buildah-ecr",
    "buildah-gcr",
];

/// A project whose build fails, should it ever begin.
fn project() -> tempfile::TempDir {
    let directory = temporary();
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY nothing /\n",
    );
    directory
}

fn guarded() -> Registry {
    Registry::with(&Access {
        basic: Some(("ann", "secret-word")),
        ..Access::default()
    })
}

/// Runs a step; nobody's cloud is near.
fn step(plugin: &str, directory: &Path, variables: &[(&str, &str)]) -> Ran {
    let mut imgmake = Imgmake::new()
        .with("AWS_EC2_METADATA_DISABLED", "true")
        .with("GCE_METADATA_HOST", "127.0.0.1:9");
    for (name, value) in variables {
        imgmake = imgmake.with(name, value);
    }
    imgmake.run(directory, &["plugin", "--as", plugin])
}

fn before_the_build(ran: &Ran, what: &str) {
    assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
    assert!(
        ran.stderr.contains("nothing is built"),
        "{what}: {}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("`nothing`"), "{what}: {}", ran.stderr);
}

fn in_the_build(ran: &Ran, what: &str) {
    assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
    assert!(ran.stderr.contains("`nothing`"), "{what}: {}", ran.stderr);
    assert!(
        !ran.stderr.contains("nothing is built"),
        "{what}: {}",
        ran.stderr
    );
}

#[test]
fn every_plugin_finds_a_missing_credential_before_the_build() {
    let (project, registry) = (project(), guarded());
    std::thread::scope(|scope| {
        for plugin in PLUGINS {
            let (directory, host) = (project.path(), &registry.host);
            scope.spawn(move || {
                // Heroku's has a registry of its own, unless destinations are named.
                let named = format!("{host}/team/app");
                let variables = match plugin {
                    "drone-heroku" => vec![("PLUGIN_DESTINATIONS", named.as_str())],
                    _ => vec![
                        ("PLUGIN_REPO", "team/app"),
                        ("PLUGIN_REGISTRY", host.as_str()),
                    ],
                };
                let named = format!("{host}/team/app");
                let variables = match plugin {
                    "kaniko-docker" | "drone-docker" | "drone-buildah" | "buildah-docker" => {
                        vec![("PLUGIN_REPO", named.as_str())]
                    }
                    _ => variables,
                };
                before_the_build(&step(plugin, directory, &variables), plugin);
                let skipped = [
                    &variables[..],
                    &[("PLUGIN_SKIP_PUSH_PERMISSION_CHECK", "true")],
                ]
                .concat();
                let ran = step(plugin, directory, &skipped);
                // Only kaniko's have that variable.
                match plugin.starts_with("kaniko") {
                    true => in_the_build(&ran, plugin),
                    false => before_the_build(&ran, plugin),
                }
                let dry = [&variables[..], &[("PLUGIN_NO_PUSH", "true")]].concat();
                in_the_build(&step(plugin, directory, &dry), plugin);
            });
        }
    });
    assert!(registry.tags().is_empty());
}

#[test]
fn push_only_finds_it_before_anything_is_sent() {
    let (directory, registry) = (temporary(), guarded());
    write(
        directory.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    let named = format!("{}/team/app", registry.host);
    let variables = [("PLUGIN_REPO", named.as_str()), ("PLUGIN_TAGS", "1")];
    let build = [("PLUGIN_NO_PUSH", "true"), ("PLUGIN_TAR_PATH", "image.tar")];
    let ran = step(
        "kaniko-docker",
        directory.path(),
        &[&variables[..], &build].concat(),
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let push = [
        ("PLUGIN_PUSH_ONLY", "true"),
        ("PLUGIN_SOURCE_TAR_PATH", "image.tar"),
    ];
    for plugin in ["kaniko-docker", "drone-docker", "drone-buildah"] {
        let ran = step(plugin, directory.path(), &[&variables[..], &push].concat());
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("nothing is pushed: "),
            "{plugin}: {}",
            ran.stderr
        );
        assert!(
            !ran.stderr.contains("nothing is built"),
            "{plugin}: {}",
            ran.stderr
        );
    }
    let right = [
        ("PLUGIN_USERNAME", "ann"),
        ("PLUGIN_PASSWORD", "secret-word"),
    ];
    let ran = step(
        "kaniko-docker",
        directory.path(),
        &[
            &variables[..],
            &push,
            &right,
            &[("PLUGIN_REGISTRY", &registry.host)],
        ]
        .concat(),
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(registry.tags(), ["team/app:1"]);
}

#[test]
fn each_of_several_destinations_is_asked_for() {
    let (project, open) = (project(), Registry::start());
    let (one, two) = (guarded(), guarded());
    let names = [
        format!("{}/app:1", open.host),
        format!("{}/app:1", one.host),
        format!("{}/app:2", one.host),
        format!("{}/app:1", two.host),
    ];
    let listed = names.join(";");
    let variables = [("PLUGIN_DESTINATIONS", listed.as_str())];
    let of_plugin = step("drone-docker", project.path(), &variables);
    let flags: Vec<String> = names
        .iter()
        .map(|name| format!("--destination={name}"))
        .collect();
    let mut arguments = vec!["kaniko", "-c", "."];
    arguments.extend(flags.iter().map(String::as_str));
    let of_kaniko = Imgmake::new().run(project.path(), &arguments);
    for ran in [of_plugin, of_kaniko] {
        before_the_build(&ran, "several");
        for host in [&one.host, &two.host] {
            assert_eq!(
                ran.stderr.matches(&format!("{host}/app")).count(),
                1,
                "{}",
                ran.stderr
            );
        }
        assert!(!ran.stderr.contains(&open.host), "{}", ran.stderr);
    }
    assert!(open.tags().is_empty());
}

#[test]
fn a_registry_that_lets_read_and_not_push_is_found_out() {
    let project = project();
    for (status, said) in [("403 Forbidden", "403"), ("401 Unauthorized", "401")] {
        let registry = ReadOnly::start(status);
        let destination = format!("--destination={}/team/app:1", registry.host);
        let arguments = ["kaniko", "-c", ".", &destination];
        let ran = Imgmake::new().run(project.path(), &arguments);
        before_the_build(&ran, said);
        assert!(
            ran.stderr.contains(said) && ran.stderr.contains("only read"),
            "{}",
            ran.stderr
        );
        let unasked = [&arguments[..], &["--skip-push-permission-check"]].concat();
        in_the_build(&Imgmake::new().run(project.path(), &unasked), said);
        let named = format!("{}/team/app", registry.host);
        let variables = [("PLUGIN_REPO", named.as_str())];
        for plugin in ["kaniko-docker", "drone-docker", "drone-buildah"] {
            before_the_build(&step(plugin, project.path(), &variables), plugin);
        }
    }
}

/// A registry that answers every upload with a refusal.
struct ReadOnly {
    host: String,
    stopped: Arc<AtomicBool>,
}

impl ReadOnly {
    fn start(refusal: &'static str) -> ReadOnly {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let stopped = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stopped);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if asked.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::spawn(move || answer(connection.unwrap(), refusal));
            }
        });
        ReadOnly { host, stopped }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.host));
    }
}

fn answer(mut connection: TcpStream, refusal: &str) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
        head.push_str(line);
        head.push('\n');
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    let (status, body) = match head.split(' ').next()? {
        "POST" | "PUT" | "PATCH" => (
            refusal,
            r#"{"errors":[{"code":"DENIED","message":"you may only read"}]}"#,
        ),
        _ => ("200 OK", "{}"),
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()
}
