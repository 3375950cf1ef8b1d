//! `login` and `logout`, against a registry that asks for a password.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::registry::{Access, Registry};
use crate::ground::terminal::at_a_terminal;
use crate::ground::{temporary, write};

const USER: &str = "ann";
const PASSWORD: &str = "open-s3same";

fn guarded() -> Registry {
    Registry::with(&Access {
        basic: Some((USER, PASSWORD)),
        tls: None,
    })
}

fn with_input(imgmake: &Imgmake, arguments: &[&str], input: &str) -> Ran {
    let directory = temporary();
    let mut child = imgmake
        .command(directory.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that needs none may have ended already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn config(imgmake: &Imgmake) -> PathBuf {
    imgmake.home().join(".docker/config.json")
}

fn json(imgmake: &Imgmake) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(config(imgmake)).unwrap()).unwrap()
}

#[test]
fn what_is_right_is_kept_privately_beside_what_was_there_and_opens_the_registry() {
    let (registry, imgmake) = (guarded(), Imgmake::new());
    write(
        &imgmake.home(),
        ".docker/config.json",
        r#"{"HttpHeaders":{"X":"y"},"auths":{"b.io":{"auth":"eDp5"}},"currentContext":"here"}"#,
    );
    let login = [
        "login",
        registry.host.as_str(),
        "-u",
        USER,
        "--password-stdin",
    ];
    let ran = with_input(&imgmake, &login, &format!("{PASSWORD}\n"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(".docker/config.json"), "{}", ran.stdout);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(PASSWORD));
    let mode = std::fs::metadata(config(&imgmake))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = json(&imgmake);
    assert_eq!(
        (&kept["HttpHeaders"]["X"], &kept["currentContext"]),
        (&"y".into(), &"here".into())
    );
    assert_eq!(kept["auths"]["b.io"]["auth"], "eDp5");

    // It works, for us and for skopeo, which reads the same file.
    let project = temporary();
    write(
        project.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    write(
        project.path(),
        "imgmake.kdl",
        format!(
            "registry r \"{}\" {{ insecure #true }}\nbuild app {{ context \".\" }}\npush p {{ images app; to r {{ tags \"1\" }} }}\n",
            registry.host
        ),
    );
    imgmake.ok(project.path(), &["p"]);
    let image = format!("docker://{}/app:1", registry.host);
    let file = config(&imgmake);
    crate::ground::run(
        "skopeo",
        &[
            "inspect",
            "--tls-verify=false",
            "--authfile",
            file.to_str().unwrap(),
            &image,
        ],
    );

    let ran = with_input(&imgmake, &["logout", registry.host.as_str()], "");
    assert!(ran.stdout.contains("logged out"), "{}", ran.stdout);
    assert_eq!(json(&imgmake)["auths"].as_object().unwrap().len(), 1);
    let ran = with_input(&imgmake, &["logout", registry.host.as_str()], "");
    assert!(ran.stdout.contains("no login is stored"), "{}", ran.stdout);
}

#[test]
fn what_is_wrong_or_empty_is_refused_and_not_kept() {
    let (registry, imgmake) = (guarded(), Imgmake::new());
    let login = ["login", registry.host.as_str(), "-u", USER];
    let ran = with_input(&imgmake, &login, "wrong-word");
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("401") && !ran.stderr.contains("wrong-word"),
        "{}",
        ran.stderr
    );
    for nothing in ["", "\n"] {
        let ran = with_input(&imgmake, &login, nothing);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("empty"), "{}", ran.stderr);
    }
    assert!(!config(&imgmake).exists());
    // A file that is none is left alone.
    write(&imgmake.home(), ".docker/config.json", "{ not json");
    let ran = with_input(&imgmake, &login, PASSWORD);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_eq!(std::fs::read(config(&imgmake)).unwrap(), b"{ not json");
}

#[test]
fn on_a_terminal_the_user_and_the_password_are_asked_for_and_the_password_is_not_shown() {
    let (registry, imgmake) = (guarded(), Imgmake::new());
    let directory = temporary();
    let command = imgmake.command(directory.path());
    let login = ["login", registry.host.as_str()];
    let mut given = login.to_vec();
    given.extend(["-p", PASSWORD]);
    let output = at_a_terminal(&command, &given, &format!("{USER}\\r"), "User: ");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("logged in to"), "{shown}");
    let mut given = login.to_vec();
    given.extend(["-u", USER]);
    for (password, code) in [(PASSWORD, 0), ("wrong-word", 4)] {
        let typed = format!("{password}\\r");
        let output = at_a_terminal(&command, &given, &typed, "Password: ");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{shown}");
        assert!(!shown.contains(password), "{shown}");
    }
    let piped = with_input(&imgmake, &login, PASSWORD);
    assert_eq!(piped.code, 2, "{}", piped.stderr);
    assert!(
        piped.stderr.contains("the user is missing"),
        "{}",
        piped.stderr
    );
}

#[test]
fn a_password_on_the_command_line_is_taken_with_a_warning() {
    let (registry, imgmake) = (guarded(), Imgmake::new());
    let ran = with_input(
        &imgmake,
        &["login", "-u", USER, "-p", PASSWORD, &registry.host],
        "",
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("warning") && ran.stderr.contains("--password-stdin"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains(PASSWORD), "{}", ran.stderr);
    let both = [
        "login",
        "-u",
        USER,
        "-p",
        PASSWORD,
        "--password-stdin",
        &registry.host,
    ];
    assert_eq!(with_input(&imgmake, &both, PASSWORD).code, 2);
}

#[test]
fn a_helper_program_keeps_the_password_instead_of_the_file() {
    let registry = guarded();
    let tools = temporary();
    let helper = tools.path().join("docker-credential-box");
    let script = r#"#!/bin/sh
case $1 in
store) cat > "${0%/*}/box" ;;
get) cat >/dev/null; if [ -e "${0%/*}/box" ]; then cat "${0%/*}/box"; else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) cat >/dev/null; rm -f "${0%/*}/box" ;;
esac
"#;
    write(tools.path(), "docker-credential-box", script);
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", tools.path().display());
    let imgmake = Imgmake::new().with("PATH", &path);
    write(
        &imgmake.home(),
        ".docker/config.json",
        r#"{"credsStore":"box"}"#,
    );
    let ran = with_input(&imgmake, &["login", &registry.host, "-u", USER], PASSWORD);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("docker-credential-box"),
        "{}",
        ran.stdout
    );
    let kept = json(&imgmake);
    assert_eq!(kept["auths"][&registry.host], serde_json::json!({}));
    assert!(
        std::fs::read_to_string(tools.path().join("box"))
            .unwrap()
            .contains(PASSWORD)
    );
    let ran = with_input(&imgmake, &["logout", &registry.host], "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!tools.path().join("box").exists());
}
