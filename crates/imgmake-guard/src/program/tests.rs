//! What a program that we start finds around it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use super::*;

fn output_of(kind: Kind, line: &str, environment: &[(&str, &str)]) -> String {
    let program = Program::shell(kind, line, environment.iter().copied()).unwrap();
    let program = program.configure(|command| command.stdout(Stdio::piped()));
    let output = program.spawn().unwrap().output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_starts_in_an_empty_directory_for_the_owner_alone_which_goes_with_it() {
    let text = output_of(Kind::Git, "pwd -P; ls -A; stat -c %a .", &[]);
    let (directory, rest) = text.split_once('\n').unwrap();
    assert_eq!(rest, "700\n");
    assert_ne!(Path::new(directory), std::env::current_dir().unwrap());
    assert!(!Path::new(directory).exists());
}

#[test]
fn it_sees_the_variables_of_its_kind_alone() {
    let ours = [
        ("HOME", "/home/a"),
        ("LC_ALL", "C"),
        ("https_proxy", "http://p"),
        ("AWS_PROFILE", "prod"),
        ("TRIVY_CACHE_DIR", "/t"),
        ("CI_JOB_TOKEN", "secret"),
        ("PLUGIN_PASSWORD", "secret"),
        ("GIT_DIR", "/checkout"),
        ("GIT_CONFIG_GLOBAL", "/checkout/config"),
        ("GIT_SSH_COMMAND", "/checkout/run"),
        ("LD_PRELOAD", "/checkout/lib.so"),
        ("BASH_ENV", "/checkout/rc"),
        ("DOCKER_CONFIG", "relative"),
    ];
    let seen = |kind| {
        let allowed = environment::allowed(kind, ours);
        let names = allowed.into_keys().map(|name| name.into_string().unwrap());
        let names: Vec<String> = names.filter(|n| !n.starts_with("GIT_")).collect();
        names.join(" ")
    };
    assert_eq!(seen(Kind::Git), "HOME LC_ALL PATH https_proxy");
    assert_eq!(
        seen(Kind::CredentialHelper),
        "AWS_PROFILE DOCKER_CONFIG HOME LC_ALL PATH https_proxy"
    );
    assert_eq!(
        seen(Kind::Scanner),
        "DOCKER_CONFIG LC_ALL PATH TRIVY_CACHE_DIR XDG_CACHE_HOME https_proxy"
    );
    assert_eq!(seen(Kind::ScanCommand), seen(Kind::Scanner));
    assert_eq!(seen(Kind::IdMap), "PATH");
    for kind in [Kind::Git, Kind::ScanCommand] {
        let allowed = environment::allowed(kind, ours);
        let value = |name: &str| allowed.get(OsStr::new(name)).and_then(|v| v.to_str());
        assert_eq!(value("GIT_CONFIG_KEY_0"), Some("safe.bareRepository"));
        assert_eq!(value("GIT_TERMINAL_PROMPT"), Some("0"));
        for lost in [
            "GIT_DIR",
            "GIT_CONFIG_GLOBAL",
            "GIT_SSH_COMMAND",
            "BASH_ENV",
        ] {
            assert_eq!(value(lost), None, "{lost}");
        }
    }
}

#[test]
fn a_scanner_finds_databases_but_neither_settings_nor_filters_nor_passwords() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".grype.yaml"), "ignore: []").unwrap();
    let home = home.path().to_str().unwrap();
    let ours = [
        ("HOME", home),
        ("XDG_CONFIG_HOME", home),
        ("TRIVY_SEVERITY", "CRITICAL"),
        ("TRIVY_IGNOREFILE", "/all"),
        ("TRIVY_PASSWORD", "secret"),
        ("TRIVY_DB_REPOSITORY", "mirror"),
        ("GRYPE_EXCLUDE", "/**"),
        ("SYFT_EXCLUDE", "/**"),
        ("ANYTHING", "else"),
    ];
    let line = "ls -A \"$HOME\"; echo $XDG_CONFIG_HOME $TRIVY_SEVERITY $TRIVY_IGNOREFILE $TRIVY_PASSWORD \
                $GRYPE_EXCLUDE $SYFT_EXCLUDE $ANYTHING; echo $TRIVY_DB_REPOSITORY $XDG_CACHE_HOME";
    for kind in [Kind::Scanner, Kind::ScanCommand] {
        let text = output_of(kind, line, &ours);
        assert_eq!(text, format!("\nmirror {home}/.cache\n"));
    }
    // What the user names is the user's decision.
    let mut ours = ours.to_vec();
    ours.push(("IMGMAKE_PROGRAM_ENV", "HOME,ANYTHING"));
    let text = output_of(Kind::ScanCommand, "echo $HOME $ANYTHING", &ours);
    assert_eq!(text, format!("{home} else\n"));
}

#[test]
fn a_relative_file_is_still_the_one_that_was_meant() {
    let allowed = environment::allowed(Kind::CredentialHelper, [("DOCKER_CONFIG", "ours")]);
    let expected = std::env::current_dir().unwrap().join("ours");
    assert_eq!(allowed[OsStr::new("DOCKER_CONFIG")], expected);
}

#[test]
fn the_user_may_name_further_variables() {
    let ours = [("IMGMAKE_PROGRAM_ENV", "A, B"), ("A", "1"), ("C", "3")];
    let text = output_of(Kind::CredentialHelper, "echo $A$B$C", &ours);
    assert_eq!(text, "1\n");
}

#[test]
fn programs_are_found_in_absolute_entries_of_path_alone() {
    let directory = tempfile::tempdir().unwrap();
    let hostile = directory.path().join("git");
    fs::write(&hostile, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&hostile, fs::Permissions::from_mode(0o755)).unwrap();
    let absolute = directory.path().to_str().unwrap();
    // From here a relative entry would lead to it.
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let relative = format!("{up}{}", absolute.trim_start_matches('/'));
    let new = |name: &str, path: &str| {
        Program::new(Kind::Git, name, [("PATH", path)]).map(|p| p.command.get_program().to_owned())
    };
    assert_eq!(new("git", absolute).unwrap(), hostile);
    for path in [&relative, ":.:", "", &format!(".:{relative}")] {
        let found = new("git", path);
        assert!(!matches!(&found, Ok(p) if *p == hostile), "{path}");
    }
    assert!(matches!(
        new("./git", absolute),
        Err(StartError::Relative(_))
    ));
    assert!(matches!(
        new("imgmake-is-not-there", absolute),
        Err(StartError::NotFound(_))
    ));
    // Nor do programs that this one starts find it.
    let path = format!(":{relative}:/usr/bin:/bin");
    assert_eq!(
        output_of(Kind::Git, "echo $PATH", &[("PATH", &path)]),
        "/usr/bin:/bin\n"
    );
}

#[test]
fn what_is_dropped_while_it_runs_is_killed_with_its_group() {
    let line = "sleep 765 >/dev/null & echo $!; exec 1>&-; wait";
    let program = Program::shell(Kind::Git, line, [("PATH", "/usr/bin:/bin")]).unwrap();
    let program = program.configure(|command| command.stdout(Stdio::piped()));
    let mut running = program.spawn().unwrap();
    let mut pid = String::new();
    io::Read::read_to_string(&mut running.stdout.take().unwrap(), &mut pid).ok();
    drop(running);
    // The signal has been sent; the kernel may still be about it.
    let is_there = || {
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        state.is_ok_and(|s| !s.contains(") Z"))
    };
    for _ in 0..400 {
        if !is_there() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    panic!("process {pid} is still there");
}
