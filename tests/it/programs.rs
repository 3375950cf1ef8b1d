//! What a checkout holds is never taken for settings of the programs that we start:
//! a directory that looks like a repository, a program in the working directory, an
//! env file.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::{temporary, write};

/// A server of repositories that wants to know who asks. It ends with the test's process.
fn guarded() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // One request after the other; what is asked does not matter.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    host
}

/// A context that git takes for a bare repository: its helper leaves a mark.
struct Hostile {
    directory: tempfile::TempDir,
    host: String,
}

impl Hostile {
    fn new() -> Hostile {
        let (directory, host) = (temporary(), guarded());
        let at = directory.path();
        write(at, "HEAD", "ref: refs/heads/main\n");
        write(at, "objects/keep", "");
        write(at, "refs/keep", "");
        write(
            at,
            "config",
            format!(
                "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[credential]\n\thelper = \"!touch {}; echo\"\n",
                at.join("taken").display()
            ),
        );
        // The same by a program of the name that is asked for.
        for name in ["git", "docker-credential-box", "sh"] {
            let text = format!("#!/bin/sh\ntouch {}\n", at.join("taken").display());
            write(at, name, text);
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(at.join(name), mode).unwrap();
        }
        write(
            at,
            "Dockerfile",
            format!("FROM scratch\nADD http://{host}/app.git /app\n"),
        );
        write(
            at,
            "imgmake.kdl",
            "build app { context \".\"; tar \"out.tar\" }\ngroup default app\n",
        );
        Hostile { directory, host }
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    /// A user whose own helper leaves another mark, in the home.
    fn user(&self) -> (Imgmake, PathBuf) {
        let path = ".::/usr/local/bin:/usr/bin:/bin:";
        let imgmake = Imgmake::new().with("PATH", path);
        let asked = imgmake.home().join("asked");
        write(
            &imgmake.home(),
            ".gitconfig",
            format!(
                "[credential]\n\thelper = \"!pwd > {}; echo\"\n",
                asked.display()
            ),
        );
        (imgmake, asked)
    }

    /// The user's helper was asked, from elsewhere; nothing of the context ran.
    fn held(&self, ran: &Ran, asked: &Path) {
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        let from = std::fs::read_to_string(asked);
        let from = from.unwrap_or_else(|_| panic!("nobody asked git:\n{}", ran.stderr));
        assert!(!Path::new(from.trim()).starts_with(self.at()), "{from}");
        assert!(!self.at().join("taken").exists(), "{}", ran.stderr);
    }
}

#[test]
fn a_context_that_looks_like_a_repository_runs_nothing() {
    let hostile = Hostile::new();
    let (imgmake, asked) = hostile.user();
    let ran = imgmake.run(hostile.at(), &[]);
    hostile.held(&ran, &asked);
}

#[test]
fn nor_does_it_as_kanikos_context() {
    let hostile = Hostile::new();
    let (imgmake, asked) = hostile.user();
    let ran = imgmake.run(hostile.at(), &["kaniko", "--context=.", "--no-push"]);
    hostile.held(&ran, &asked);
    std::fs::remove_file(&asked).unwrap();
    // And when the context itself has to be asked for.
    let imgmake = imgmake.with("GIT_PULL_METHOD", "http");
    let context = format!("--context=git://{}/app.git", hostile.host);
    let ran = imgmake.run(hostile.at(), &["kaniko", &context, "--no-push"]);
    hostile.held(&ran, &asked);
}

#[test]
fn nor_does_it_as_a_plugins_workspace() {
    for plugin in ["drone-docker", "kaniko-docker"] {
        let hostile = Hostile::new();
        let (imgmake, asked) = hostile.user();
        let imgmake = imgmake
            .with("PLUGIN_REPO", "example.com/app")
            .with("PLUGIN_DRY_RUN", "true")
            .with("PLUGIN_NO_PUSH", "true");
        let ran = imgmake.run(hostile.at(), &["plugin", "--as", plugin]);
        hostile.held(&ran, &asked);
    }
}

#[test]
fn the_checkouts_facts_are_read_without_running_what_it_names() {
    let directory = temporary();
    let at = directory.path();
    write(
        at,
        "imgmake.kdl",
        "run say { command \"echo ${git.short}\" }\n",
    );
    crate::ground::run(
        "git",
        &["init", "-q", "--ref-format=reftable", at.to_str().unwrap()],
    );
    let commit = [
        "-C",
        at.to_str().unwrap(),
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
    ];
    crate::ground::run(
        "git",
        &[&commit[..], &["commit", "-q", "--allow-empty", "-m", "x"]].concat(),
    );
    let taken = at.join("taken");
    let hook = format!("touch {}", taken.display());
    for (key, value) in [
        ("core.fsmonitor", hook.as_str()),
        ("core.pager", hook.as_str()),
        ("core.sshCommand", hook.as_str()),
    ] {
        crate::ground::run("git", &["-C", at.to_str().unwrap(), "config", key, value]);
    }
    Imgmake::new().ok(at, &["say"]);
    assert!(!taken.exists());
}

#[test]
fn a_helper_is_a_program_of_the_path_and_starts_elsewhere() {
    let hostile = Hostile::new();
    let tools = temporary();
    let helper = tools.path().join("docker-credential-box");
    write(
        tools.path(),
        "docker-credential-box",
        "#!/bin/sh\ncat >/dev/null; { pwd; env; } > \"$HOME/asked\"\necho '{\"Username\":\"ann\",\"Secret\":\"word\"}'\n",
    );
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    write(
        hostile.at(),
        "Dockerfile",
        format!("FROM {}/base:1\n", hostile.host),
    );
    write(
        hostile.at(),
        "imgmake.kdl",
        format!(
            "registry base \"{}\" {{ insecure #true }}\nbuild app {{ context \".\"; tar \"out.tar\" }}\ngroup default app\n",
            hostile.host
        ),
    );
    let imgmake = Imgmake::new()
        .with(
            "PATH",
            &format!(".:{}:/usr/bin:/bin", tools.path().display()),
        )
        .with("CI_JOB_TOKEN", "token-of-the-job")
        .with("GIT_DIR", hostile.at().to_str().unwrap())
        .with("DOCKER_CONFIG", "settings");
    let config = format!("{{\"credHelpers\":{{\"{}\":\"box\"}}}}", hostile.host);
    write(hostile.at(), "settings/config.json", config);
    let ran = imgmake.run(hostile.at(), &[]);
    let seen = std::fs::read_to_string(imgmake.home().join("asked"));
    let seen = seen.unwrap_or_else(|_| panic!("the helper was not asked:\n{}", ran.stderr));
    let (place, variables) = seen.split_once('\n').unwrap();
    assert!(!Path::new(place).starts_with(hostile.at()), "{place}");
    assert!(!variables.contains("token-of-the-job") && !variables.contains("GIT_DIR="));
    let config = format!("DOCKER_CONFIG={}", hostile.at().join("settings").display());
    assert!(variables.contains(&config), "{variables}");
    assert!(!hostile.at().join("taken").exists());
}

#[test]
fn an_env_file_of_the_workspace_names_no_programs() {
    for (name, value) in [
        ("GIT_SSH_COMMAND", "touch taken; false"),
        ("AWS_CONFIG_FILE", "aws"),
        ("DOCKER_CONFIG", "docker"),
        ("LD_LIBRARY_PATH", "/tmp"),
        ("IMGMAKE_PROGRAM_ENV", "LD_PRELOAD"),
    ] {
        let directory = temporary();
        write(directory.path(), "Dockerfile", "FROM scratch\n");
        write(
            directory.path(),
            "step.env",
            format!("A=b\n{name}={value}\n"),
        );
        let imgmake = Imgmake::new()
            .with("PLUGIN_ENV_FILE", "step.env")
            .with("PLUGIN_REPO", "example.com/app")
            .with("PLUGIN_DRY_RUN", "true");
        imgmake.refused(
            directory.path(),
            &["plugin", "--as", "drone-docker"],
            1,
            &["step.env:2", name],
        );
    }
}

#[test]
fn a_scan_command_relative_to_the_manifest_still_runs() {
    let directory = temporary();
    let at = directory.path();
    write(at, "Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    write(
        at,
        "tools/scan",
        "#!/bin/sh\n[ -e imgmake.kdl ] && exit 9\n[ -s \"$1\" ] && [ -e \"$2/imgmake.kdl\" ] && cat \"$3\" >&2\n",
    );
    write(at, "rules.txt", "no rules");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(at.join("tools/scan"), mode).unwrap();
    for line in [
        "./tools/scan {archive} {project} ./rules.txt",
        "tools/scan {archive} {project} {project}/rules.txt",
        "sh ./tools/scan {archive} {project} ./rules.txt",
    ] {
        write(
            at,
            "imgmake.kdl",
            format!(
                "build app {{ context \".\"; tar \"out.tar\" }}\nscan judge {{ images app; scanner command \"{line}\" }}\n"
            ),
        );
        Imgmake::new().ok(at, &["judge"]);
    }
}
