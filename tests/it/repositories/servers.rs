//! Redirects, logins, silence and cancellation.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use imgmake_git::{GitError, Login, LoginRefused};

use super::*;
use crate::ground::web::{Transport, Web};

/// A server that answers every request with the same bytes, and keeps their heads.
struct Canned {
    host: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    fn start(answer: &str) -> Canned {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&heads), answer.to_string());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while reader.read_line(&mut head).unwrap_or(0) > 2 {}
                kept.lock().unwrap().push(head);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Canned { host, heads }
    }

    fn redirecting(to: &str) -> Canned {
        Canned::start(&format!(
            "HTTP/1.1 301 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    }
}

/// How an error says that a login was refused.
fn refused(error: &GitError) -> Option<LoginRefused> {
    match error.root() {
        GitError::Login { refused, .. } => Some(*refused),
        _ => None,
    }
}

fn cloned(remote: &Remote) -> Result<tempfile::TempDir, GitError> {
    let place = temporary();
    client().clone_to(remote, &everything(), place.path())?;
    Ok(place)
}

fn of(host: &str, login: Option<Login>) -> Remote {
    let mut remote = Remote::parse(&format!("http://{host}/app.git")).unwrap();
    remote.login = login;
    remote
}

#[test]
fn a_redirect_is_followed_and_never_with_the_login() {
    let open = Web::start(Transport::Plain, "");
    let closed = Web::start(Transport::Plain, "ann:secret");
    rich(&open);
    rich(&closed);
    let service = "info/refs?service=git-upload-pack";
    let login = || Some(Login::basic("ann", "secret"));
    let away = Canned::redirecting(&format!("http://{}/app.git/{service}", open.host));
    let ours = cloned(&of(&away.host, login())).unwrap();
    assert!(ours.path().join("plain").is_file());
    assert!(away.heads.lock().unwrap()[0].contains("Basic "));
    let away = Canned::redirecting(&format!("http://{}/app.git/{service}", closed.host));
    let error = cloned(&of(&away.host, login())).unwrap_err();
    assert_eq!(refused(&error), Some(LoginRefused::Required), "{error}");
    // On the same server it goes along; the clone does not hold it.
    let inside = format!("http://ann:secret@{}/app.git", closed.host);
    let ours = cloned(&Remote::parse(&inside).unwrap()).unwrap();
    let config = std::fs::read_to_string(ours.path().join(".git/config")).unwrap();
    assert!(
        config.contains(&closed.host) && !config.contains("secret"),
        "{config}"
    );
    let page = Canned::redirecting("/users/sign_in");
    let error = cloned(&of(&page.host, None)).unwrap_err();
    let anonymous = Some(LoginRefused::NotFoundAnonymously);
    assert_eq!(refused(&error), anonymous, "{error}");
    let round = Canned::redirecting(&format!("/app.git/{service}"));
    let error = text(cloned(&of(&round.host, None)).unwrap_err());
    assert!(error.contains("answered 301"), "{error}");
}

/// Stands before a server: the first connections get so many bytes of an answer.
fn cutting(behind: &str, after: &'static [u64]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let behind = behind.to_string();
    std::thread::spawn(move || {
        let mut after = after.iter();
        for stream in listener.incoming() {
            let (mut near, mut far) = (stream.unwrap(), TcpStream::connect(&behind).unwrap());
            let most = after.next().copied().unwrap_or(u64::MAX);
            let (mut asked, mut asks) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || drop(std::io::copy(&mut asked, &mut asks)));
            std::thread::spawn(move || {
                drop(std::io::copy(&mut (&mut far).take(most), &mut near));
                let _ = near.shutdown(Shutdown::Both);
                let _ = far.shutdown(Shutdown::Both);
            });
        }
    });
    host
}

#[test]
fn a_connection_that_breaks_is_tried_again_and_not_for_ever() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    // In the greeting; in the list of references; in the pack.
    let mut client = client();
    client.pause = Duration::from_millis(10);
    let place = temporary();
    let host = cutting(&web.host, &[0, 300, 9000, 250, 9000, 400, 1500]);
    client
        .clone_to(&of(&host, None), &everything(), place.path())
        .unwrap();
    git(place.path(), &["fsck"]);
    assert_eq!(git(place.path(), &["status", "--porcelain"]), "");
    let host = cutting(&web.host, &[100; 9]);
    let error = client.resolve(&of(&host, None), "main").unwrap_err();
    let error = text(error);
    assert!(
        error.contains("connection") || error.contains("reached"),
        "{error}"
    );
}

#[test]
fn logins_come_from_netrc_when_a_server_asks() {
    let web = Web::start(Transport::Plain, "ann:secret");
    rich(&web);
    let home = temporary();
    let remote = remote(&web, "app.git");
    let environment = BTreeMap::from([("HOME".to_string(), path(home.path()).to_string())]);
    let client = Client::new(environment, &Cancel::default());
    let place = temporary();
    let wanted = client
        .clone_to(&remote, &everything(), place.path())
        .unwrap_err();
    assert_eq!(refused(&wanted), Some(LoginRefused::Required), "{wanted}");
    write(
        home.path(),
        ".netrc",
        "machine 127.0.0.1 login ann password secret\n",
    );
    client
        .clone_to(&remote, &everything(), temporary().path())
        .unwrap();
    write(
        home.path(),
        ".netrc",
        "machine 127.0.0.1 login ann password wrong-secret\n",
    );
    let wrong = client
        .clone_to(&remote, &everything(), temporary().path())
        .unwrap_err();
    assert_eq!(refused(&wrong), Some(LoginRefused::Wrong), "{wrong}");
    assert!(!format!("{wrong:?}").contains("secret"));
    assert!(!text(wrong).contains("secret"));
}

#[test]
fn certificates_are_checked_unless_that_is_switched_off() {
    let web = Web::start(Transport::Tls, "");
    rich(&web);
    let mut remote = Remote::parse(&format!("https://{}/app.git", web.host)).unwrap();
    assert!(cloned(&remote).is_err());
    let variable = (
        "GIT_SSL_CAINFO".to_string(),
        path(&web.certificate()).to_string(),
    );
    let trusting = Client::new(BTreeMap::from([variable]), &Cancel::default());
    trusting
        .clone_to(&remote, &everything(), temporary().path())
        .unwrap();
    remote.verification = imgmake_git::Verification::Off;
    assert!(cloned(&remote).is_ok());
}

#[test]
fn a_silent_server_is_given_up_and_a_cancelled_wait_ends() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for scheme in ["http", "git"] {
        let remote = Remote::parse(&format!("{scheme}://127.0.0.1:{port}/app.git")).unwrap();
        let mut hasty = client();
        hasty.patience = Duration::from_millis(200);
        let error = text(hasty.resolve(&remote, "main").unwrap_err());
        assert!(error.contains("does not answer"), "{error}");
        // Nothing but the cancellation ends this one before the test's own end.
        let cancel = Cancel::default();
        let patient = Client::new(BTreeMap::new(), &cancel);
        let waiting = std::thread::spawn(move || patient.resolve(&remote, "main"));
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        let error = waiting.join().unwrap().unwrap_err();
        assert!(error.is_cancelled(), "{error}");
    }
}

#[test]
fn a_pack_that_breaks_off_is_an_error() {
    let head =
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/x-git-upload-pack-";
    let greeting = Canned::start(&format!(
        "{head}advertisement\r\n\r\n000eversion 2\n0012fetch=shallow\n0000"
    ));
    let error = text(cloned(&of(&greeting.host, None)).unwrap_err());
    assert!(error.contains("not an answer of git"), "{error}");
}

#[test]
fn ssh_is_spoken_through_the_program() {
    let web = Web::start(Transport::Plain, "");
    rich(&web);
    // What `ssh` would start there is started here; its options and host go.
    let script = temporary();
    let shim = script.path().join("ssh");
    write(
        script.path(),
        "ssh",
        "#!/bin/sh\nwhile [ \"$1\" = -o ] || [ \"$1\" = -p ]; do shift 2; done\necho \"$1\" >> \"$0.hosts\"\nexec env -u GIT_PROTOCOL sh -c \"$2\"\n",
    );
    std::fs::set_permissions(&shim, PermissionsExt::from_mode(0o755)).unwrap();
    let variable = ("GIT_SSH_COMMAND".to_string(), path(&shim).to_string());
    let client = Client::new(BTreeMap::from([variable]), &Cancel::default());
    let place = web.root().join("app.git");
    let remote = Remote::parse(&format!("git@example.com:{}", place.display())).unwrap();
    let commit = client.resolve(&remote, "v2").unwrap();
    assert_eq!(commit, git(&place, &["rev-parse", "v2^{}"]));
    let ours = temporary();
    client
        .clone_to(&remote, &everything(), ours.path())
        .unwrap();
    assert_eq!(git(ours.path(), &["status", "--porcelain"]), "");
    let hosts = std::fs::read_to_string(script.path().join("ssh.hosts")).unwrap();
    assert_eq!(hosts, "git@example.com\n".repeat(2));
    // Over this way the older protocol refuses by closing the connection.
    let old = git(&place, &["rev-parse", "main~2"]);
    let files = temporary();
    let leave = Submodules::Leave;
    let remove = GitDirectory::Remove;
    client
        .checkout(&remote, &old, files.path(), remove, leave)
        .unwrap();
    assert!(files.path().join("plain").is_file());
    let gone = Remote::parse("git@example.com:/nowhere.git").unwrap();
    let error = text(client.resolve(&gone, "main").unwrap_err());
    assert!(
        error.contains("ssh:") && error.contains("nowhere"),
        "{error}"
    );
}
