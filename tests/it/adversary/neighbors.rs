//! Another user of the machine reaches nothing of a store: no tree, no cache, no program of
//! an image that becomes root, nothing unfinished; and cannot put a store in the way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, User};
use crate::ground::{run, temporary, write};

const NEIGHBOR: &str = "imgmake-plain";

fn neighbor(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let user = ["--reuid", NEIGHBOR, "--regid", NEIGHBOR, "--init-groups"];
    command.args(user).args(["--", program]);
    command
}

/// Those of the paths that the neighbor can look at.
fn seen_by_neighbor(paths: &[PathBuf]) -> Vec<String> {
    let script = r#"for path; do test -e "$path" && echo "$path"; done; true"#;
    let mut seen = Vec::new();
    for some in paths.chunks(500) {
        let output = neighbor("sh")
            .args(["-c", script, "sh"])
            .args(some)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        seen.extend(text.lines().map(String::from));
    }
    seen
}

/// All that is below a directory, for root.
fn below(directory: &Path) -> Vec<PathBuf> {
    let found = Command::new("find").arg(directory).output().unwrap();
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    text.lines().map(PathBuf::from).collect()
}

fn is_setuid(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o4000 != 0)
}

/// But what an image says so, such as its `/tmp`.
fn others_may_write(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        (meta.is_file() || meta.is_dir()) && meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0
    })
}

fn soon(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A step that makes a program of root's and then waits, its store in a directory that was
/// there, open, and no umask to help.
struct Waiting {
    imgmake: Imgmake,
    project: tempfile::TempDir,
    child: Child,
}

impl Waiting {
    fn start() -> Waiting {
        let imgmake = Imgmake::new();
        fs::create_dir(imgmake.store()).unwrap();
        fs::set_permissions(imgmake.store(), fs::Permissions::from_mode(0o755)).unwrap();
        let project = temporary();
        let host = &bases().host;
        let steps = "RUN cp /bin/busybox /bin/root && chmod 4755 /bin/root\n\
             RUN --mount=type=cache,target=/c cp /bin/root /tmp/another; touch /c/started; \
             while ! test -e /c/go; do sleep 0.05; done\n";
        let dockerfile = format!("FROM {host}/library/busybox:latest\n{steps}");
        write(project.path(), "Dockerfile", dockerfile);
        let manifest = format!(
            "imgmake version=1\nregistry base \"{host}\" {{ insecure #true }}\n\
             build app {{ context \".\" }}\n"
        );
        write(project.path(), "imgmake.kdl", manifest);
        let plain = imgmake.command(project.path());
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask 0; exec \"$0\""])
            .arg(plain.get_program())
            .env_clear()
            .envs(plain.get_envs().filter_map(|(n, v)| Some((n, v?))))
            .current_dir(project.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Waiting {
            imgmake,
            project,
            child,
        }
    }

    fn cached(&self, name: &str) -> Option<PathBuf> {
        let found = below(&self.imgmake.store().join("cache"));
        found.into_iter().find(|path| path.ends_with(name))
    }

    fn finish(mut self) -> (Imgmake, tempfile::TempDir) {
        let started = self.cached("data/started").unwrap();
        fs::write(started.with_file_name("go"), "").unwrap();
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        (self.imgmake, self.project)
    }
}

#[test]
fn a_neighbor_reaches_nothing_of_a_store_in_a_directory_that_was_open() {
    // The probe can tell: what lies open is seen.
    let open = temporary();
    write(open.path(), "a/file", "x");
    assert_eq!(seen_by_neighbor(&below(open.path())).len(), 3);

    let waiting = Waiting::start();
    soon("the step did not start", || {
        waiting.cached("data/started").is_some()
    });
    nothing_is_reached(&waiting.imgmake.store(), "tmp");

    let (imgmake, _project) = waiting.finish();
    nothing_is_reached(&imgmake.store(), "trees");
}

/// `busy`: where programs of root's lie now.
#[track_caller]
fn nothing_is_reached(store: &Path, busy: &str) {
    let all = below(store);
    let programs = all.iter().filter(|path| is_setuid(path));
    assert!(
        programs.clone().any(|p| p.starts_with(store.join(busy))),
        "no program of root's to be reached below {busy}"
    );
    assert_eq!(seen_by_neighbor(&all), [store.display().to_string()]);

    // No file is anybody's to change, whatever stands around it: there was no umask to help.
    let open: Vec<&PathBuf> = all.iter().filter(|path| others_may_write(path)).collect();
    assert!(open.is_empty(), "{open:?}");

    // Were the directory itself open, what is in it would still be closed.
    fs::set_permissions(store, fs::Permissions::from_mode(0o755)).unwrap();
    let seen = seen_by_neighbor(&all);
    fs::set_permissions(store, fs::Permissions::from_mode(0o700)).unwrap();
    let deeper = |path: &&String| Path::new(path).strip_prefix(store).unwrap().iter().count() > 1;
    let deep: Vec<&String> = seen.iter().filter(deeper).collect();
    assert_eq!(deep, [""; 0]);
    for name in ["trees", "cache", "tmp", "blobs", "steps"] {
        let mode = fs::metadata(store.join(name)).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o700, "{name}");
    }
}

#[test]
fn two_users_do_not_share_a_store_by_its_name() {
    let shared = temporary();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let project = temporary();
    let (own, other) = (Imgmake::new(), Imgmake::run_by(User::Plain));
    let named = |name: &str| format!("--store={}", shared.path().join(name).display());

    // Whoever comes second is refused, whichever of the two that is.
    own.ok(project.path(), &[&named("of-root"), "cache"]);
    let says = ["belongs to user 0", "name a directory of your own"];
    other.refused(project.path(), &[&named("of-root"), "cache"], 1, &says);
    other.ok(project.path(), &[&named("of-plain"), "cache"]);
    let says = ["belongs to user", "choose what the other builds"];
    own.refused(project.path(), &[&named("of-plain"), "cache"], 1, &says);

    // Nor may one lead the other to a directory of the other's.
    let victim = temporary();
    symlink(victim.path(), shared.path().join("link")).unwrap();
    let link = shared.path().join("link");
    run("chown", &["-h", NEIGHBOR, link.to_str().unwrap()]);
    let says = ["is a link that user", "name the directory itself"];
    own.refused(project.path(), &[&named("link"), "cache"], 1, &says);
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
}

#[test]
fn a_store_that_a_neighbor_could_exchange_is_refused() {
    let open = temporary();
    let project = temporary();
    let imgmake = Imgmake::new();
    let store = format!("--store={}", open.path().join("store").display());
    let at = open.path().display();

    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let says = ["other users may write", &format!("chmod go-w '{at}'")];
    imgmake.refused(project.path(), &[&store, "cache"], 1, &says);

    run("chown", &[NEIGHBOR, open.path().to_str().unwrap()]);
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let says = [
        "belongs to user",
        "choose a directory below one of your own",
    ];
    imgmake.refused(project.path(), &[&store, "cache"], 1, &says);

    run("chown", &["root", open.path().to_str().unwrap()]);
    imgmake.ok(project.path(), &[&store, "cache"]);
}
