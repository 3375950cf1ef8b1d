//! Registries, mirrors and token servers that want what is not theirs. Hosts are
//! played under their names; whatever reaches one that has no right to it shows.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use imgmake_event::{Event, Events};

use crate::challenge::Bearer;
use crate::credentials::Credential;
use crate::endpoint::{Declared, Endpoint};
use crate::session::Session;
use crate::testing::{
    Action, FaultProxy, RecordedRequest, Shelf, answer, everywhere, job, options, random_bytes,
    reply,
};
use crate::{Auth, Client, ClientOptions, HostSettings, OperationContext, RegistryError, Secret};

const HOME: &str = "reg.example";
const TOKENS: &str = "auth.example";
const EVIL: &str = "evil.example";
const PASSWORD: &str = "pa55-s3cret";
const TOKEN: &str = "t0ken-s3cret";

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("ann:{PASSWORD}")))
}

/// A registry that sends to its token server, and does what `own` says to whoever
/// brings a token; every other host asks for a password.
fn world(own: impl Fn(&RecordedRequest) -> Action + Send + Sync + 'static) -> FaultProxy {
    FaultProxy::new(None, move |seen| match seen.through.as_deref() {
        Some(TOKENS) if seen.header("Authorization") == Some(&basic()) => answer(
            200,
            &[],
            format!(r#"{{"token":"{TOKEN}","expires_in":3600}}"#),
        ),
        Some(TOKENS) => answer(401, &[], ""),
        Some(HOME) if seen.header("Authorization") == Some(&format!("Bearer {TOKEN}")) => own(seen),
        Some(HOME) => {
            let realm = format!(r#"Bearer realm="http://{TOKENS}/token",service="reg""#);
            answer(401, &[("WWW-Authenticate", &realm)], "")
        }
        _ => grab(seen),
    })
}

/// Asks for everything that a client might have.
fn grab(_: &RecordedRequest) -> Action {
    let bearer = format!(r#"Bearer realm="http://{EVIL}/token",service="reg""#);
    let wanted = [
        ("WWW-Authenticate", r#"Basic realm="x""#),
        ("WWW-Authenticate", &bearer),
    ];
    answer(401, &wanted, "")
}

fn client(world: &FaultProxy, mirrors: &[&str]) -> Client {
    let host = HostSettings {
        prefix: HOME.into(),
        auth: Auth::Basic {
            user: "ann".into(),
            password: Secret(PASSWORD.into()),
            source: "imgmake.kdl:1".into(),
        },
        mirrors: mirrors.iter().map(ToString::to_string).collect(),
        ..HostSettings::default()
    };
    Client::new(everywhere(world, vec![host], &[])).unwrap()
}

/// Nobody has seen more than is theirs, and the evil one was really asked.
fn nothing_leaked(world: &FaultProxy) {
    let mut evil = 0;
    for seen in world.requests() {
        let text = format!("{} {:?}", seen.target, seen.headers);
        let (password, token) = (
            text.contains(PASSWORD) || text.contains(&basic()),
            text.contains(TOKEN),
        );
        match seen.through.as_deref() {
            Some(HOME) => assert!(!password, "the registry wants tokens: {text}"),
            Some(TOKENS) => assert!(!token, "{text}"),
            _ => {
                evil += 1;
                assert!(
                    !password && !token && seen.header("Authorization").is_none(),
                    "{text}"
                );
            }
        }
    }
    assert!(evil > 0, "{:?}", world.lines());
}

fn manifest(client: &Client) -> RegistryError {
    client
        .manifest(&format!("{HOME}/app:1").parse().unwrap())
        .unwrap_err()
}

#[test]
fn a_redirect_takes_no_credential_along_and_its_challenge_is_not_answered() {
    for status in [301, 302, 303, 307, 308] {
        let world =
            world(move |_| answer(status, &[("Location", &format!("http://{EVIL}/m"))], ""));
        let error = manifest(&client(&world, &[])).to_string();
        assert!(error.contains(EVIL), "{error}");
        nothing_leaked(&world);
    }
}

#[test]
fn uploads_that_are_sent_elsewhere_carry_the_bytes_and_no_credential() {
    for by_redirect in [false, true] {
        let world = world(move |seen| match (seen.method.as_str(), by_redirect) {
            ("HEAD", _) => answer(404, &[], ""),
            ("POST", true) => answer(202, &[("Location", "/v2/app/blobs/uploads/1")], ""),
            ("PUT", true) => answer(
                307,
                &[("Location", &format!("http://{EVIL}/upload?x=1"))],
                "",
            ),
            _ => answer(
                202,
                &[("Location", &format!("http://{EVIL}/upload?x=1"))],
                "",
            ),
        });
        let shelf = Shelf::new();
        let image = shelf.image("linux/amd64", &[random_bytes(1, 1000)]);
        let job = job(&format!("{HOME}/app:1"), &image);
        client(&world, &[])
            .push(&job, &shelf.store, &OperationContext::background())
            .unwrap_err();
        nothing_leaked(&world);
    }
}

/// end-8a, end-8b: A `Link` to another host is not followed.
#[test]
fn the_next_page_may_not_be_somewhere_else() {
    let world = world(|_| {
        let next = format!(r#"<http://{EVIL}/v2/app/tags/list>; rel="next""#);
        answer(200, &[("Link", &next)], r#"{"tags":["1"]}"#)
    });
    let of = format!("{HOME}/app").parse().unwrap();
    client(&world, &[]).tags(&of).unwrap_err();
    nothing_leaked(&world);
}

#[test]
fn a_mirror_gets_its_own_credentials_and_not_those_of_whom_it_mirrors() {
    let world = world(|_| answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#));
    let client = client(&world, &[&format!("http://{EVIL}")]);
    client
        .manifest(&format!("{HOME}/app:1").parse().unwrap())
        .unwrap();
    nothing_leaked(&world);
}

#[test]
fn a_token_server_that_redirects_is_not_followed() {
    let world = FaultProxy::new(None, |seen| match seen.through.as_deref() {
        Some(TOKENS) => answer(307, &[("Location", &format!("http://{EVIL}/token"))], ""),
        Some(HOME) => {
            let realm = format!(r#"Bearer realm="http://{TOKENS}/token""#);
            answer(401, &[("WWW-Authenticate", &realm)], "")
        }
        _ => grab(seen),
    });
    let error = manifest(&client(&world, &[])).to_string();
    assert!(error.contains(TOKENS), "{error}");
    assert!(
        world
            .requests()
            .iter()
            .all(|seen| seen.through.as_deref() != Some(EVIL))
    );
}

#[test]
fn a_token_goes_to_the_registry_that_wanted_it_and_to_no_other_port_of_it() {
    let world = FaultProxy::new(None, |seen| {
        let port = seen.header("Host").unwrap_or("").to_string();
        match seen.through.as_deref() {
            Some(HOME) if port.ends_with(":8080") => grab(seen),
            Some(HOME) if seen.header("Authorization").is_some() => {
                answer(302, &[("Location", &format!("http://{HOME}:8080/m"))], "")
            }
            Some(HOME) => answer(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], ""),
            _ => grab(seen),
        }
    });
    manifest(&client(&world, &[]));
    let other: Vec<RecordedRequest> = world
        .requests()
        .into_iter()
        .filter(|seen| seen.header("Host").is_some_and(|h| h.ends_with(":8080")))
        .collect();
    assert!(!other.is_empty() && other.iter().all(|s| s.header("Authorization").is_none()));
}

#[test]
fn realms_that_hide_where_they_lead_or_lead_here_are_refused() {
    let session = |host: &str| {
        let settings = HostSettings::default();
        let options = Arc::new(options());
        let endpoint = Endpoint::new(host, settings, Declared::default(), &options);
        Session::new(endpoint, options)
    };
    let ask = |host: &str, realm: &str, credential: &Credential| {
        let bearer = Bearer {
            realm: realm.into(),
            ..Bearer::default()
        };
        session(host)
            .realm(&bearer, credential)
            .map(|url| url.to_string())
    };
    let ann = Credential::basic("ann", PASSWORD, "x");
    let nobody = Credential::anonymous("x");
    for realm in [
        "https://reg.example@evil.example/token",
        "https://u:p@auth.example/token",
        "http://auth.example/token",
        "http://127.0.0.1:8080/token",
        "https://localhost/token",
        "http://[::1]/token",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/latest/",
        "http://[::ffff:169.254.169.254]/",
        "file:///etc/passwd",
        "data:,x",
        "https://",
    ] {
        let error = ask(HOME, realm, &ann).expect_err(realm);
        let text = format!("{error} {error:?}");
        assert!(!text.contains(PASSWORD) && !text.contains("u:p"), "{text}");
    }
    ask(HOME, "http://169.254.169.254/latest/meta-data/", &nobody).unwrap_err();
    // Who is nobody may go in clear, and a realm may be relative or of another host.
    ask(HOME, "http://auth.example/token", &nobody).unwrap();
    assert_eq!(
        ask(HOME, "/token", &ann).unwrap(),
        "https://reg.example/token"
    );
    ask(HOME, "https://auth.example/token", &ann).unwrap();
    // A registry that is spoken to in clear may have its token server anywhere.
    let local = Bearer {
        realm: "http://127.0.0.1:5001/token".into(),
        ..Bearer::default()
    };
    let world = FaultProxy::new(None, |_| answer(200, &[], ""));
    session(&world.host()).realm(&local, &ann).unwrap();
}

#[test]
fn many_challenges_and_enormous_ones_do_no_harm() {
    let many: String = (0..100).map(|n| format!("Scheme{n} a=\"b,c\", ")).collect();
    let right = format!("{many}Bearer realm=\"http://{TOKENS}/token\"");
    let cases = [
        (right, true),
        (
            format!("Bearer realm=\"http://{TOKENS}/{}\"", "x".repeat(1 << 20)),
            false,
        ),
        (format!("Basic realm=\"{}", "\\\"".repeat(20_000)), false),
        ("Bearer ".repeat(8_000), false),
        (",".repeat(40_000), false),
    ];
    for (header, lets_in) in cases {
        let begin: String = header.chars().take(40).collect();
        let world = FaultProxy::new(None, move |seen| match seen.through.as_deref() {
            Some(TOKENS) if seen.target.starts_with("/token") => {
                answer(200, &[], format!(r#"{{"token":"{TOKEN}"}}"#))
            }
            Some(HOME) if seen.header("Authorization") == Some(&format!("Bearer {TOKEN}")) => {
                answer(200, &[], r#"{"schemaVersion":2,"manifests":[]}"#)
            }
            _ => answer(401, &[("WWW-Authenticate", &header)], ""),
        });
        let got = client(&world, &[]).manifest(&format!("{HOME}/app:1").parse().unwrap());
        assert_eq!(got.is_ok(), lets_in, "{begin}: {got:?}");
    }
}

#[test]
fn a_server_that_repeats_what_it_was_sent_tells_nobody_else() {
    // The registry quotes the token; a token server its request, by GET and by POST.
    let quoting = world(|seen| {
        let text = format!("you sent {}, ann", seen.header("Authorization").unwrap());
        answer(
            400,
            &[],
            format!(r#"{{"errors":[{{"code":"{TOKEN}","message":"{text}"}}]}}"#),
        )
    });
    let mut told = vec![manifest(&client(&quoting, &[]))];
    for user in ["ann", "<token>"] {
        let world = FaultProxy::new(None, |seen| match seen.through.as_deref() {
            Some(TOKENS) => {
                let proof = seen.header("Authorization").unwrap_or("").to_string();
                Action::Read(
                    usize::MAX,
                    Box::new(move |body| {
                        let body = String::from_utf8(body).unwrap();
                        Some(reply(403, &[], format!("{proof} {PASSWORD} {body}")))
                    }),
                )
            }
            _ => {
                let realm = format!(r#"Bearer realm="http://{TOKENS}/token""#);
                answer(401, &[("WWW-Authenticate", &realm)], "")
            }
        });
        let host = HostSettings {
            prefix: HOME.into(),
            auth: Auth::Basic {
                user: user.into(),
                password: Secret(PASSWORD.into()),
                source: "imgmake.kdl:1".into(),
            },
            ..HostSettings::default()
        };
        told.push(manifest(
            &Client::new(everywhere(&world, vec![host], &[])).unwrap(),
        ));
    }
    for error in told {
        let text = format!("{error} {error:?}");
        assert!(text.contains("[secret]"), "{text}");
        for secret in [PASSWORD, TOKEN, &basic()[6..]] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[test]
fn a_warning_that_repeats_what_was_sent_tells_nobody_else() {
    let quoting = world(|seen| {
        let warning = format!(
            "299 - \"you sent {}\"",
            seen.header("Authorization").unwrap()
        );
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        answer(200, &[("Warning", &warning)], index)
    });
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let listener = Arc::clone(&heard);
    let host = HostSettings {
        prefix: HOME.into(),
        auth: Auth::Basic {
            user: "ann".into(),
            password: Secret(PASSWORD.into()),
            source: "imgmake.kdl:1".into(),
        },
        ..HostSettings::default()
    };
    let options = everywhere(&quoting, vec![host], &[]);
    let work = OperationContext {
        events: Events::to(move |event| {
            if let Event::Warning { message, .. } = event {
                listener.lock().unwrap().push(message);
            }
        }),
        ..options.work.clone()
    };
    let client = Client::new(ClientOptions { work, ..options }).unwrap();
    client
        .manifest(&format!("{HOME}/app:1").parse().unwrap())
        .unwrap();
    let expected = format!("{HOME} warns: you sent Bearer [secret]");
    assert_eq!(*heard.lock().unwrap(), [expected]);
}

#[test]
fn an_entry_for_one_host_is_for_no_other() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".docker")).unwrap();
    let auth = STANDARD.encode(format!("ann:{PASSWORD}"));
    std::fs::write(
        home.path().join(".docker/config.json"),
        format!(
            r#"{{"auths":{{"{HOME}":{{"auth":"{auth}"}},"{HOME}/team":{{"auth":"{auth}"}}}}}}"#
        ),
    )
    .unwrap();
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let world = FaultProxy::new(None, move |seen| {
        *count.lock().unwrap() += 1;
        assert!(seen.header("Authorization").is_none(), "{seen:?}");
        answer(401, &[("WWW-Authenticate", "Basic realm=\"r\"")], "")
    });
    let hosts = [
        "reg.example.evil.net",
        "sub.reg.example",
        "eg.example",
        "reg.example:8080",
    ];
    let settings = hosts.map(|prefix| HostSettings {
        prefix: prefix.into(),
        ..HostSettings::default()
    });
    let environment = [("HOME", home.path().to_str().unwrap())];
    let client = Client::new(everywhere(&world, settings.into(), &environment)).unwrap();
    for host in hosts {
        let error = client
            .manifest(&format!("{host}/team/app:1").parse().unwrap())
            .unwrap_err();
        assert!(error.is_unauthorized(), "{error}");
    }
    assert!(*asked.lock().unwrap() >= hosts.len());
}
