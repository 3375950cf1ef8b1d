//! What people read when a registry, or the way to it, says no: host, repository,
//! operation, scope, where the credential came from, the server's own words, and
//! what to try. The texts stand in `tests/data/registry/refusals.txt`, whole, to
//! be read as they are read; `UPDATE=1` writes them anew.

use std::time::Duration;

use crate::testing::{
    Action, Authority, FaultProxy, RecordedRequest, Registry, Shelf, answer, app, free_port, job,
    options, start_registry,
};
use crate::{Auth, Client, ClientOptions, HostSettings, OperationContext, RegistryError, Secret};
use imgmake_oci::image::{Descriptor, Reference};

/// Who asks.
#[derive(Clone, Copy)]
enum Who {
    Nobody,
    User,
}

fn asking(host: &str, who: Who, settings: HostSettings) -> Client {
    let auth = match who {
        Who::Nobody => Auth::Anonymous,
        Who::User => Auth::Basic {
            user: "u".into(),
            password: Secret("xyzzy".into()),
            source: "imgmake.kdl:14".into(),
        },
    };
    Client::new(ClientOptions {
        hosts: vec![HostSettings {
            prefix: host.to_string(),
            auth,
            ..settings
        }],
        attempts: 2,
        idle_timeout: Duration::from_millis(300),
        ..options()
    })
    .unwrap()
}

fn json(code: &str, message: &str) -> String {
    serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string()
}

/// The text with what differs from run to run replaced.
fn told(error: &RegistryError, host: &str) -> String {
    let text = error.to_string().replace(host, "HOST");
    assert!(!text.contains("xyzzy"), "a secret is told: {text}");
    text
}

/// What `act` is told by a server that answers all but `/v2/` with this.
fn refused(
    who: Who,
    answer_with: impl Fn(&RecordedRequest) -> Action + Send + Sync + 'static,
    act: impl FnOnce(&Client, &Reference) -> RegistryError,
) -> String {
    let between = FaultProxy::new(None, move |seen| match seen.target.as_str() {
        "/v2/" => answer(200, &[], ""),
        _ => answer_with(seen),
    });
    let client = asking(&between.host(), who, HostSettings::default());
    told(&act(&client, &app(&between)), &between.host())
}

fn pull(client: &Client, from: &Reference) -> RegistryError {
    client.manifest(from).unwrap_err()
}

fn pull_blob(client: &Client, from: &Reference) -> RegistryError {
    let shelf = Shelf::new();
    let blob = Descriptor::of("x", b"blob");
    client
        .pull_blob(from, &blob, &shelf.store, &OperationContext::background())
        .unwrap_err()
}

fn push(client: &Client, to: &Reference) -> RegistryError {
    let shelf = Shelf::new();
    let image = shelf.image("linux/amd64", &[b"layer".to_vec()]);
    client
        .push(
            &job(&to.to_string(), &image),
            &shelf.store,
            &OperationContext::background(),
        )
        .unwrap_err()
}

/// Answers so that a push comes as far as the request of this method and place.
fn at(
    method: &'static str,
    place: &'static str,
    status: u16,
    body: String,
) -> impl Fn(&RecordedRequest) -> Action {
    move |seen| {
        if seen.method == method && seen.target.contains(place) {
            return answer(status, &[], body.clone());
        }
        match seen.method.as_str() {
            "HEAD" => answer(404, &[], ""),
            "POST" => answer(202, &[("Location", "/v2/app/blobs/uploads/1")], ""),
            _ => answer(201, &[], ""),
        }
    }
}

const BASIC: (&str, &str) = ("WWW-Authenticate", "Basic realm=\"r\"");

/// The texts, each under what happened.
#[derive(Default)]
struct Told(String);

impl Told {
    fn chapter(&mut self, title: &str) {
        self.0.push_str(&format!("\n== {title}\n"));
    }

    fn add(&mut self, what: &str, text: &str) {
        self.0.push_str(&format!("\n{what}\n    {text}\n"));
    }
}

fn who_is_not_let_in(told: &mut Told) {
    told.chapter("401 and 403");
    let asked = |_: &RecordedRequest| {
        answer(
            401,
            &[BASIC],
            json("UNAUTHORIZED", "authentication required"),
        )
    };
    told.add(
        "pull without a credential",
        &refused(Who::Nobody, asked, pull),
    );
    told.add("pull with a wrong one", &refused(Who::User, asked, pull));
    told.add(
        "push without a credential",
        &refused(Who::Nobody, asked, push),
    );
    told.add("push with a wrong one", &refused(Who::User, asked, push));
    let bare = |_: &RecordedRequest| answer(401, &[], "");
    told.add(
        "a 401 that asks for nothing",
        &refused(Who::User, bare, pull_blob),
    );
    let denied = |_: &RecordedRequest| {
        answer(
            403,
            &[],
            json("DENIED", "requested access to the resource is denied"),
        )
    };
    told.add(
        "a credential without the right to read",
        &refused(Who::User, denied, pull),
    );
    let writes = at("POST", "uploads", 403, json("DENIED", "no right to push"));
    told.add(
        "a credential without the right to write",
        &refused(Who::User, writes, push),
    );
    let page = |_: &RecordedRequest| {
        answer(
            403,
            &[],
            "<html><head>\n<title>Blocked by policy 7</title></head></html>",
        )
    };
    told.add("a proxy that forbids", &refused(Who::Nobody, page, pull));
}

fn tokens_that_are_not_given(told: &mut Told) {
    told.chapter("tokens");
    let wrong = r#"{"details":"incorrect username or password"}"#;
    let refusing = FaultProxy::new(None, move |_| answer(401, &[], wrong));
    let empty = FaultProxy::new(None, |_| answer(200, &[], "{}"));
    for (what, port) in [
        (
            "a token server that does not take the password",
            refusing.port(),
        ),
        ("a token server that is down", free_port()),
        ("a token server without a token", empty.port()),
    ] {
        let realm = format!(
            r#"Bearer realm="http://127.0.0.1:{port}/token",service="s",scope="repository:app:pull""#
        );
        let challenge =
            move |_: &RecordedRequest| answer(401, &[("WWW-Authenticate", realm.as_str())], "");
        told.add(what, &refused(Who::User, challenge, pull));
    }
}

fn what_is_not_there(told: &mut Told) {
    told.chapter("404");
    let gone = |code, words| {
        let body = json(code, words);
        move |_: &RecordedRequest| answer(404, &[], body.clone())
    };
    let repository = gone("NAME_UNKNOWN", "repository name not known to registry");
    told.add(
        "no such repository",
        &refused(Who::Nobody, repository, pull),
    );
    let tag = gone("MANIFEST_UNKNOWN", "manifest unknown");
    told.add("no such tag", &refused(Who::Nobody, tag, pull));
    let blob = gone("BLOB_UNKNOWN", "blob unknown to registry");
    told.add("no such blob", &refused(Who::Nobody, blob, pull_blob));
    let uploads = at(
        "POST",
        "uploads",
        404,
        json("NAME_UNKNOWN", "no such repository"),
    );
    told.add(
        "a push to no repository",
        &refused(Who::User, uploads, push),
    );
}

fn what_a_registry_does_not_do(told: &mut Told) {
    told.chapter("other refusals");
    let unsupported = || json("UNSUPPORTED", "The operation is unsupported.");
    let delete = |client: &Client, from: &Reference| client.delete_manifest(from).unwrap_err();
    let no_deletion = move |_: &RecordedRequest| answer(405, &[], unsupported());
    told.add("a deletion", &refused(Who::User, no_deletion, delete));
    told.add(
        "a push to a mirror",
        &refused(Who::User, at("POST", "uploads", 405, unsupported()), push),
    );
    let large = "<title>413 Request Entity Too Large</title>";
    told.add(
        "a large blob",
        &refused(Who::User, at("PUT", "blobs", 413, large.into()), push),
    );
    told.add(
        "a large manifest",
        &refused(Who::User, at("PUT", "manifests", 413, large.into()), push),
    );
    let invalid = at(
        "PUT",
        "manifests",
        400,
        json("MANIFEST_INVALID", "manifest invalid"),
    );
    told.add(
        "a manifest that the registry does not like",
        &refused(Who::User, invalid, push),
    );
    let unknown = at(
        "PUT",
        "manifests",
        400,
        json("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"),
    );
    told.add(
        "a manifest whose blob is lost",
        &refused(Who::User, unknown, push),
    );
    told.add(
        "a range",
        &refused(Who::Nobody, |_| answer(416, &[], ""), pull_blob),
    );
    let login = |_: &RecordedRequest| {
        let html = ("Content-Type", "text/html; charset=utf-8");
        answer(
            200,
            &[html],
            "<!doctype html><title>Welcome to the guest network</title>",
        )
    };
    told.add(
        "a page in place of a manifest",
        &refused(Who::Nobody, login, pull),
    );
    told.add(
        "nothing in place of a manifest",
        &refused(Who::Nobody, |_| answer(200, &[], ""), pull),
    );
}

fn what_may_pass(told: &mut Told) {
    told.chapter("what was tried again");
    for (what, status) in [
        ("a limit on requests", 429),
        ("an error", 500),
        ("a dead backend", 502),
        ("maintenance", 503),
    ] {
        let always = move |_: &RecordedRequest| answer(status, &[], "<title>Oops</title>");
        told.add(what, &refused(Who::Nobody, always, pull));
    }
    let upload = at("PUT", "blobs", 504, String::new());
    told.add(
        "an upload into a dead backend",
        &refused(Who::User, upload, push),
    );
    let tomorrow =
        |_: &RecordedRequest| answer(429, &[("Retry-After", "86400")], "come back tomorrow");
    told.add("a long pause", &refused(Who::Nobody, tomorrow, pull));
    told.add("silence", &refused(Who::Nobody, |_| Action::Stall, pull));
    let closed = |_: &RecordedRequest| Action::Raw(Vec::new(), Duration::ZERO);
    told.add("no answer", &refused(Who::Nobody, closed, pull));
    let half = |_: &RecordedRequest| {
        Action::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec(),
            Duration::ZERO,
        )
    };
    told.add("half an answer", &refused(Who::Nobody, half, pull));
}

/// The text about a host that cannot be spoken to.
fn unreachable(host: &str, settings: HostSettings) -> String {
    let client = asking(host, Who::Nobody, settings);
    let error = pull(&client, &format!("{host}/app:1").parse().unwrap());
    told(&error, host)
}

fn hosts_that_cannot_be_reached(told: &mut Told) {
    told.chapter("the way there");
    let nameless = unreachable("registry.invalid", HostSettings::default());
    // The reason is the system's, and differs with its network.
    let (before, reason) = nameless.split_once("resolved: ").unwrap();
    let (_, after) = reason.split_once(" (").unwrap();
    told.add(
        "no such host",
        &format!("{before}resolved: REASON ({after}"),
    );
    let nobody = format!("127.0.0.1:{}", free_port());
    told.add(
        "nobody there",
        &unreachable(&nobody, HostSettings::default()),
    );
    let authority = Authority::new();
    authority.expire();
    let path = |name: &str| authority.path(name);
    let tls = |certificate: &str, more: &str| {
        let (certificate, key) = (path(certificate), path("server.key"));
        let files = format!(
            "  tls:\n    certificate: {}\n    key: {}\n{more}",
            certificate.display(),
            key.display()
        );
        Registry::with(&files, "")
    };
    let known = HostSettings {
        ca: Some(path("ca.crt")),
        ..HostSettings::default()
    };
    let good = tls("server.crt", "");
    told.add(
        "a certificate by somebody unknown",
        &unreachable(&good.host(), HostSettings::default()),
    );
    let expired = tls("expired.crt", "");
    let text = unreachable(&expired.host(), known.clone());
    let (before, time) = text.split_once("expired on ").unwrap();
    let (_, after) = time.split_once(';').unwrap();
    let text = format!("{before}expired on TIME;{after}");
    told.add("a certificate that ended", &text);
    // The same machine by a name that is in no certificate.
    let other = good.host().replace("127.0.0.1", "0.0.0.0");
    told.add(
        "a certificate for other names",
        &unreachable(&other, known.clone()),
    );
    let wanted = format!("    clientcas:\n      - {}\n", path("ca.crt").display());
    let strict = tls("server.crt", &wanted);
    told.add(
        "no client certificate",
        &unreachable(&strict.host(), known.clone()),
    );
    let plain = start_registry();
    let plain = format!("0.0.0.0:{}", plain.port());
    told.add("TLS to a plain port", &unreachable(&plain, known));
    let mirror = HostSettings {
        mirrors: vec![format!("http://{}", good.host())],
        mirror_fallback: crate::MirrorFallback::Off,
        ..HostSettings::default()
    };
    let text = unreachable("example.com", mirror).replace(&good.host(), "MIRROR");
    told.add("plain HTTP to a TLS port", &text);
}

#[test]
fn every_refusal_reads_as_it_stands_in_the_file() {
    let mut told = Told::default();
    who_is_not_let_in(&mut told);
    tokens_that_are_not_given(&mut told);
    what_is_not_there(&mut told);
    what_a_registry_does_not_do(&mut told);
    what_may_pass(&mut told);
    hosts_that_cannot_be_reached(&mut told);
    let text = told.0.trim_start();
    let file =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/registry/refusals.txt");
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap();
    for (told, expected) in text.split("\n\n").zip(expected.split("\n\n")) {
        assert_eq!(told, expected);
    }
    assert_eq!(text, expected);
}
