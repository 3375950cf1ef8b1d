//! `reproduce`: builds a target twice from nothing and compares the images.
//!
//! Each build has a copy of the project, a store and a number of jobs of its own, and perhaps another user: what
//! leaks of them into an image is a difference.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use rustix::process::{Pid, Signal, kill_process};

use super::args::{DiffArgs, Global, ListFormat, Progress};
use super::diff::{self, Difference};
use super::environment::{Environment, LOGS};
use super::image_source::Found;
use super::output::tell;
use super::project::{self, manifest_path};
use super::project_copy::{self, Original, straight};
use super::signals::{self, Stopped};
use crate::exit::{self, Exit};
use crate::targets::Project;
use crate::targets::git_ignore::GitIgnore;
use imgmake_core::manifest::{SecretFrom, TargetKind};
use imgmake_core::plan::Plan;
use imgmake_event::Cancel;
use imgmake_guard::modes::{self, PRIVATE};
use imgmake_guard::printable::{self, Colors};
use imgmake_guard::program;
use imgmake_oci::archive;
use imgmake_oci::store::Store;

#[derive(Clone, Debug, Args)]
pub struct ReproduceArgs {
    /// A build target
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Copy this directory, which contains the manifest's directory, instead of the manifest's directory
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Also copy files that git ignores
    #[arg(long)]
    pub ignored: bool,
    /// Run the second build as this user; only root can use this option
    #[arg(long, value_name = "UID[:GID]", value_parser = user)]
    pub user: Option<User>,
    /// List all files that differ
    #[arg(long)]
    pub files: bool,
    /// Also list files that differ only in their times
    #[arg(long)]
    pub times: bool,
    /// Print the result in this format
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
    /// The same as `--format json`
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct User {
    user: u32,
    group: u32,
}

fn user(text: &str) -> Result<User, String> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    match (user.parse(), group.parse()) {
        (Ok(user), Ok(group)) if user > 0 && group > 0 => Ok(User { user, group }),
        _ => Err("write numbers such as `1000:1000`, none of them 0".to_string()),
    }
}

/// One of the two builds.
struct Attempt {
    name: &'static str,
    is_first: bool,
    /// Holds everything of it.
    directory: PathBuf,
    jobs: usize,
    user: Option<User>,
}

impl Attempt {
    fn project(&self) -> PathBuf {
        self.directory.join("project")
    }

    fn store(&self) -> PathBuf {
        self.directory.join("store")
    }

    fn layout(&self) -> PathBuf {
        self.directory.join("image")
    }
}

pub fn reproduce(
    global: &Global,
    args: &ReproduceArgs,
    environment: &Environment,
) -> Result<u8, Exit> {
    if global.progress == Progress::Json {
        return Err(Exit::usage(
            "`reproduce` does not support `--progress json`, because it runs two builds",
        )
        .with_help("`--json` prints the answer as JSON"));
    }
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let loaded = project::load(global, environment)?;
    let plan = project::select(&loaded.project, std::slice::from_ref(&args.target))?;
    let target = refuse(&loaded.project, &plan, &args.target)?;
    if args.user.is_some() && !rustix::process::geteuid().is_root() {
        return Err(
            Exit::usage("`--user` needs root").with_help("without it, both builds run as you")
        );
    }
    let (root, within) = copied(global, args, &loaded.project)?;
    let directory = tempfile::tempdir().map_err(anyhow::Error::from)?;
    let copies = directory.path().canonicalize();
    let copies = copies.map_err(anyhow::Error::from)?;
    let original = original(args, &loaded.project, &plan, (&root, &within), &copies)?;
    let made = builds(args, &copies)?;
    let mut result = Ok(());
    for attempt in &made {
        let signals = (&cancel, &stopped);
        result = build(attempt, global, (target, &within), &original, signals);
        if result.is_err() {
            break;
        }
    }
    let compared = result.and_then(|()| compare(args, environment, &copies, &made));
    for attempt in &made {
        clean(attempt);
    }
    if !rustix::process::geteuid().is_root() {
        project_copy::unlock(&copies);
    }
    if let Err(error) = directory.close() {
        tell(format!("warning: cannot remove the copies: {error}"));
    }
    compared
}

fn builds(args: &ReproduceArgs, directory: &Path) -> Result<[Attempt; 2], Exit> {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let made = [
        Attempt {
            name: "first",
            is_first: true,
            directory: directory.join("1"),
            jobs: 1,
            user: None,
        },
        Attempt {
            name: "second",
            is_first: false,
            directory: directory.join("in/another/directory"),
            jobs: 2 * processors,
            user: args.user,
        },
    ];
    for attempt in &made {
        modes::make_dirs(&attempt.directory, PRIVATE).map_err(anyhow::Error::from)?;
    }
    if args.user.is_some() {
        // The other user passes through them, and sees nothing.
        let between = [
            directory.to_path_buf(),
            directory.join("in"),
            directory.join("in/another"),
        ];
        for path in between {
            let mode = fs::Permissions::from_mode(0o711);
            fs::set_permissions(path, mode).map_err(anyhow::Error::from)?;
        }
    }
    Ok(made)
}

/// Refuses what cannot be done twice without a trace; returns the name of the one build.
fn refuse<'p>(project: &'p Project, plan: &Plan, target: &str) -> Result<&'p str, Exit> {
    let kind = |id| &project.graph.target(id).kind;
    let one = match &plan.requested[..] {
        [one] => *one,
        _ => return Err(Exit::usage(format!("`{target}` is not one build target"))),
    };
    if !matches!(kind(one), TargetKind::Build(_)) {
        let message = format!("target `{target}` makes no image");
        return Err(Exit::usage(message).with_help("name a `build` target"));
    }
    for id in &plan.order {
        let name = project.graph.name(*id);
        let what = match kind(*id) {
            TargetKind::Push(_) => "is a push, which would publish twice",
            TargetKind::Build(build) if !build.load.is_empty() => {
                "loads its image into a daemon; write `--set 'NAME.load=#null'`"
            }
            _ => continue,
        };
        return Err(Exit::usage(format!(
            "`{target}` needs `{name}`, which {what}"
        )));
    }
    Ok(project.graph.name(one))
}

/// The directory that is copied, and the manifest's in it.
fn copied(
    global: &Global,
    args: &ReproduceArgs,
    project: &Project,
) -> Result<(PathBuf, PathBuf), Exit> {
    if global.file.as_os_str() == "-" {
        return Err(Exit::usage(
            "`reproduce` cannot read the manifest from standard input",
        ));
    }
    let own = project
        .directory
        .canonicalize()
        .map_err(anyhow::Error::from)?;
    let Some(root) = &args.root else {
        return Ok((own, PathBuf::new()));
    };
    let shown = root.display();
    let root = root
        .canonicalize()
        .with_context(|| format!("cannot find `{shown}`"))?;
    match own.strip_prefix(&root) {
        Ok(within) => {
            let within = within.to_path_buf();
            Ok((root, within))
        }
        Err(_) => Err(Exit::usage(format!(
            "`--root {shown}` does not contain the manifest's directory `{}`",
            own.display()
        ))),
    }
}

/// What is copied for each of the builds.
fn original(
    args: &ReproduceArgs,
    project: &Project,
    plan: &Plan,
    (root, within): (&Path, &Path),
    copies: &Path,
) -> Result<Original, Exit> {
    let own = root.join(within);
    let mut made = BTreeSet::new();
    for id in &plan.order {
        for output in project.graph.outputs(*id) {
            let path = straight(&own.join(output));
            let name = project.graph.name(*id);
            if Path::new(output).is_absolute() || !path.starts_with(root) {
                let message = format!(
                    "`{}` needs `{name}`, which writes `{output}`, outside of `{}`: both builds would write there",
                    args.target,
                    root.display()
                );
                return Err(Exit::usage(message).with_help(
                    "write a path relative to the manifest's directory; `--root` names a larger directory",
                ));
            }
            if !own.starts_with(&path) {
                made.insert(path);
            }
        }
        if let TargetKind::Run(run) = &project.graph.target(*id).kind
            && let Some(dir) = &run.dir
            && (Path::new(&dir.value).is_absolute()
                || !straight(&own.join(&dir.value)).starts_with(root))
        {
            let message = format!(
                "`{}` needs `{}`, whose command works in `{}`, outside of `{}`",
                args.target,
                project.graph.name(*id),
                dir.value,
                root.display()
            );
            return Err(
                Exit::usage(message).with_help("write a path relative to the manifest's directory")
            );
        }
    }
    let manifest = project.graph.manifest();
    let secrets = manifest
        .secrets
        .iter()
        .filter_map(|secret| match &secret.source {
            SecretFrom::File(path) => Some(path),
            SecretFrom::Env(_) => None,
        });
    let of_commands = plan.order.iter().flat_map(|id| {
        let files = match &project.graph.target(*id).kind {
            TargetKind::Run(run) => &run.env_files[..],
            _ => &[],
        };
        files.iter().map(|file| &file.path.value)
    });
    let read = manifest.read_files.iter().chain(secrets).chain(of_commands);
    let mut read: BTreeSet<PathBuf> = read.map(|path| straight(&own.join(path))).collect();
    read.extend(project.lock.iter().map(|lock| straight(lock.path())));
    read.insert(own.join(Path::new(&project.file).file_name().unwrap_or_default()));
    let is_checkout = root.ancestors().any(|above| above.join(".git").exists());
    Ok(Original {
        root: root.to_path_buf(),
        copies: copies.to_path_buf(),
        made,
        ignore: (is_checkout && !args.ignored).then(|| GitIgnore::of(root, &project.git_index)),
        read,
    })
}

/// A few of the paths that are in no copy.
fn tell_left_out(left_out: &[PathBuf]) {
    const SHOWN: usize = 5;
    if left_out.is_empty() {
        return;
    }
    let mut names: Vec<String> = left_out
        .iter()
        .take(SHOWN)
        .map(|path| {
            format!(
                "`{}`",
                printable::line(&path.to_string_lossy(), Colors::Removed)
            )
        })
        .collect();
    if left_out.len() > SHOWN {
        names.push(format!("{} more", left_out.len() - SHOWN));
    }
    tell(format!(
        "note: not copied, because targets write it or git ignores it: {}",
        names.join(", ")
    ));
}

/// Copies the project and builds it with nothing known.
fn build(
    attempt: &Attempt,
    global: &Global,
    (target, within): (&str, &Path),
    original: &Original,
    (cancel, stopped): (&Cancel, &Stopped),
) -> Result<(), Exit> {
    let name = attempt.name;
    let is_quiet = global.quiet || global.progress == Progress::Quiet;
    if !is_quiet {
        tell(format!(
            "the {name} build: in `{}`, with {} at once{}",
            attempt.project().display(),
            attempt.jobs,
            attempt
                .user
                .map(|user| format!(", as user {}", user.user))
                .unwrap_or_default()
        ));
    }
    let copied = original.copy(&attempt.project(), cancel);
    if let Some(code) = stopped.exit_code() {
        return Err(Exit::silent(code));
    }
    let left_out = copied.with_context(|| format!("cannot copy `{}`", original.root.display()))?;
    if attempt.is_first && !is_quiet {
        tell_left_out(&left_out);
    }
    if let Some(user) = attempt.user {
        project_copy::give(&attempt.directory, user.user, user.group)
            .context("cannot give the copy to the other user")?;
    }
    let mut child = command(attempt, global, target, within)
        .spawn()
        .with_context(|| format!("cannot start the {name} build"))?;
    let status = attend(&mut child, stopped).context("cannot wait for the build")?;
    if let Some(code) = stopped.exit_code() {
        return Err(Exit::silent(code));
    }
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let exit = Exit::error(
        code.unwrap_or(exit::FAILED),
        format!("the {name} build failed: see above"),
    );
    let is_ignored = original.ignore.is_some() && !left_out.is_empty();
    Err(match is_ignored {
        true => exit.with_help("if it needs files that git ignores: `--ignored` copies them, too"),
        false => exit,
    })
}

fn command(attempt: &Attempt, global: &Global, target: &str, within: &Path) -> Command {
    let manifest = manifest_path(global);
    let mut command = program::ourselves("/proc/self/exe".as_ref());
    command
        .arg("run")
        .arg("-C")
        .arg(attempt.project().join(within))
        .arg("-f")
        .arg(manifest.file_name().unwrap_or(manifest.as_os_str()))
        .arg("--store")
        .arg(attempt.store())
        .arg("--attempt")
        .arg(attempt.layout())
        .args(["-j", &attempt.jobs.to_string()]);
    for variable in &global.vars {
        command.args(["--var", variable]);
    }
    for set in &global.sets {
        command.args(["--set", set]);
    }
    let given = |value: Option<PossibleValue>| value.map(|value| value.get_name().to_string());
    for (option, value) in [
        ("--progress", given(global.progress.to_possible_value())),
        ("--color", given(global.color.to_possible_value())),
    ] {
        command.arg(option).args(value);
    }
    for (option, is_given) in [
        ("--quiet", global.quiet),
        ("--verbose", global.verbose),
        ("--timestamps", global.timestamps),
    ] {
        command.args(is_given.then_some(option));
    }
    command.arg(target);
    // The job has one summary, and it is not about builds that nobody asked for.
    command.env_remove("GITHUB_STEP_SUMMARY");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // A signal of the terminal comes once: by way of us.
    command.process_group(0);
    if let Some(user) = attempt.user {
        command.uid(user.user).gid(user.group);
    }
    command
}

/// Waits for a build, and stops it when we are to stop.
fn attend(child: &mut Child, stopped: &Stopped) -> io::Result<ExitStatus> {
    let mut is_told = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if !is_told && stopped.exit_code().is_some() {
            is_told = true;
            // One that has just ended needs nothing.
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn compare(
    args: &ReproduceArgs,
    environment: &Environment,
    directory: &Path,
    made: &[Attempt; 2],
) -> Result<u8, Exit> {
    let store = Store::open(&directory.join("compared"))?;
    let read = |attempt: &Attempt| -> Result<Found, Exit> {
        let image = archive::read(&store, &attempt.layout(), None)?;
        Ok(Found {
            root: image.root,
            names: Vec::new(),
        })
    };
    let (first, second) = (read(&made[0])?, read(&made[1])?);
    let args = DiffArgs {
        from: "first".into(),
        to: "second".into(),
        files: args.files,
        times: args.times,
        exit_code: true,
        format: args.format,
        json: args.json,
    };
    let help = match diff::of_images(&store, &args, environment, &first, &second)? {
        Difference::None => return Ok(0),
        Difference::Times => {
            "files that RUN writes have the time of the build: set `epoch` in the manifest's `imgmake` node, or SOURCE_DATE_EPOCH"
        }
        Difference::Content => "`imgmake inspect` shows which step made a layer",
    };
    Err(Exit::error(exit::DIFFER, "the two builds made different images").with_help(help))
}

/// Unpacked layers may belong to ids that only a user namespace can remove.
fn clean(attempt: &Attempt) {
    if !attempt.store().is_dir() {
        return;
    }
    let mut command = program::ourselves("/proc/self/exe".as_ref());
    command
        .args(["gc", "--all", "--store"])
        .arg(attempt.store())
        // `gc --all` removes logs, too, and those of the user stay.
        .env(LOGS, attempt.directory.join("logs"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(user) = attempt.user {
        command.uid(user.user).gid(user.group);
    }
    // What stays is said when the directory is removed.
    drop(command.status());
}
