//! What a registry says in its errors, and what an image says of itself to a scan, speaks neither
//! to the terminal nor to the CI system that reads the log, and fills neither.

use serde_json::{Value, json};

use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::registry::Registry;
use crate::ground::web::{Answer, Web};
use crate::ground::{temporary, write};
use crate::hostile_text::{HOSTILE, assert_harmless};

fn hostile() -> String {
    format!("{HOSTILE}\n::set-output name=x::y\n::add-mask::z\n")
}

/// What a log gets of 10 MB is a few screens.
fn assert_short(what: &str, ran: &Ran) {
    let length = ran.stdout.len() + ran.stderr.len();
    assert!(length < 64 << 10, "{what} prints {length} bytes");
}

/// Bodies of errors, each with its media type.
fn bodies() -> Vec<(&'static str, &'static str, String)> {
    let errors = |message: &str| {
        let error = json!({"code": message, "message": message, "detail": {"name": message}});
        json!({"errors": [error.clone(), error]}).to_string()
    };
    let long = hostile().repeat((10 << 20) / hostile().len());
    let many = vec![json!({"code": "DENIED", "message": hostile()}); 50_000];
    vec![
        ("json", "application/json", errors(&hostile())),
        ("text", "text/plain", hostile()),
        ("html", "text/html", format!("<html>{}</html>", hostile())),
        ("long json", "application/json", errors(&long)),
        ("long text", "text/plain", long),
        (
            "many",
            "application/json",
            json!({"errors": many}).to_string(),
        ),
        ("deep", "application/json", "[".repeat(10 << 20)),
    ]
}

#[test]
fn what_a_registry_says_in_its_errors_is_shown_and_not_sent() {
    let registry = Registry::start();
    let requests = [
        ("pull", "HEAD /v2/base/manifests/"),
        ("pull", "GET /v2/base/manifests/"),
        ("pull", "GET /v2/base/blobs/"),
        ("push", "POST /v2/app/blobs/uploads/"),
        ("push", "PUT /v2/app/manifests/"),
    ];
    let imgmake = Imgmake::new();
    let directory = temporary();
    let manifest = |host: &str| {
        let text = format!(
            "registry r \"{host}\" {{ insecure #true }}\n\
             build base {{ context \".\"; tags \"base:1\" }}\n\
             build app {{ context \".\"; dockerfile \"app\"; no-cache #true }}\n\
             push upload {{ images base; to r {{ repository \"base\"; tags \"1\" }} }}\n\
             push again {{ images base; to r {{ repository \"app\"; tags \"1\" }} }}\n"
        );
        write(directory.path(), "imgmake.kdl", text);
        write(
            directory.path(),
            "Dockerfile",
            "FROM scratch\nCOPY imgmake.kdl /\n",
        );
        write(
            directory.path(),
            "app",
            format!("FROM {host}/base:1\nCOPY --from={host}/base:1 imgmake.kdl /b\n"),
        );
    };
    manifest(&registry.host);
    imgmake.ok(directory.path(), &["upload"]);
    let (mut shown, mut round) = (0, 0);
    for (kind, request) in requests {
        for (name, media_type, body) in bodies() {
            let answer = |request: &str| Answer {
                request: request.to_string(),
                status: 403,
                kind: media_type,
                body: body.clone(),
            };
            // Who is refused by HEAD may ask by GET.
            let own = match request.split_once(' ') {
                Some(("HEAD", path)) => vec![answer(request), answer(&format!("GET {path}"))],
                _ => vec![answer(request)],
            };
            let front = Web::answering(&registry.host, &own);
            manifest(&front.host);
            let target = if kind == "pull" { "app" } else { "again" };
            // A store that holds nothing yet.
            round += 1;
            let store = format!(
                "--store={}",
                directory.path().join(format!("store{round}")).display()
            );
            let arguments: &[&str] = match round % 2 {
                0 => &[&store, target],
                _ => &[&store, target, "--progress=json"],
            };
            let what = format!("{request} {name} {arguments:?}");
            let ran = imgmake.run(directory.path(), arguments);
            assert_ne!(ran.code, 0, "{what}: {ran:?}");
            assert!(!ran.stderr.contains("panicked"), "{what}: {ran:?}");
            assert_harmless(&what, &ran);
            assert_short(&what, &ran);
            shown += usize::from(ran.stderr.contains("title") || ran.stdout.contains("title"));
        }
    }
    // The hunt is for something: words of registries are told.
    assert!(shown >= 5, "{shown}");
}

#[test]
fn what_an_image_says_of_itself_to_a_scan_is_shown_and_not_sent() {
    let registry = Registry::start();
    let (imgmake, directory) = (Imgmake::new(), temporary());
    let path = directory.path();
    let mut packages = serde_json::Map::new();
    packages.insert(
        String::new(),
        json!({"name": hostile(), "version": hostile()}),
    );
    let long = "x".repeat(1 << 20);
    for name in [hostile(), long.clone()] {
        let package = json!({"version": "1.0.0", "license": hostile()});
        packages.insert(format!("node_modules/{name}"), package);
    }
    let lock = json!({"name": hostile(), "lockfileVersion": 3, "packages": packages});
    write(path, "package-lock.json", lock.to_string());
    let advisory = |id: &str, name: &str| -> Value {
        json!({
            "id": id, "summary": hostile().repeat(1000), "details": hostile(), "aliases": [hostile()],
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"}],
            "affected": [{"package": {"ecosystem": "npm", "name": name},
                "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}]}],
            "references": [{"type": "WEB", "url": hostile()}],
        })
    };
    write(
        path,
        "advisories/1.json",
        advisory(&hostile(), &hostile()).to_string(),
    );
    write(
        path,
        "advisories/2.json",
        advisory("EXAMPLE-2", &long).to_string(),
    );
    let os = format!(
        "ID=debian\nVERSION_ID=\"{}\"\nPRETTY_NAME=x\n",
        HOSTILE.replace('\n', "")
    );
    write(path, "os-release", os);
    let status = format!(
        "Package: {0}\nStatus: install ok installed\nVersion: {0}\nArchitecture: {0}\n\n",
        HOSTILE.replace('\n', "")
    );
    write(path, "status", status);
    write(path, "broken.jar", hostile());
    let dockerfile = "FROM scratch\nCOPY package-lock.json /app/\nCOPY os-release /etc/\nCOPY status /var/lib/dpkg/\n\
                      COPY broken.jar /\n";
    write(path, "Dockerfile", dockerfile);
    let host = &registry.host;
    let manifest = format!(
        "registry r \"{host}\" {{ insecure #true }}\n\
         build app {{ context \".\" }}\n\
         push upload {{ images app; to r {{ repository \"app\"; tags \"1\" }} }}\n\
         scan gate {{ from image=\"{host}/app:1\"; advisories \"advisories\"; fail-on severity=critical }}\n"
    );
    write(path, "imgmake.kdl", manifest);
    imgmake.ok(path, &["upload"]);
    for arguments in [
        &["gate"][..],
        &["gate", "--progress=plain"],
        &["gate", "--progress=json"],
        &["gate", "--quiet"],
        &["inspect", &format!("{host}/app:1")],
    ] {
        let what = format!("{arguments:?}");
        let ran = imgmake.run(path, arguments);
        if arguments[0] == "gate" {
            assert_eq!(ran.code, 3, "{what}: {ran:?}");
        }
        assert_harmless(&what, &ran);
        assert_short(&what, &ran);
    }
    let ran = imgmake.run(path, &["gate"]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        said.contains("title") && said.contains("EXAMPLE-2"),
        "{said}"
    );
}
