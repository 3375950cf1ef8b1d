//! `reproduce`: builds a target twice from nothing and compares the images.
//!
//! Each build has a copy of the project, a store and a number of jobs of its own, and perhaps another user: what
//! leaks of them into an image is a difference.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, anyhow};
use clap::Args;

use super::args::{DiffArgs, Global, ListFormat};
use super::diff;
use super::environment::Environment;
use super::image_source::Found;
use super::output::tell;
use super::project::{self, manifest_path};
use super::signals::{self, Stopped};
use crate::exit::{self, Exit};
use crate::targets::Project;
use imgmake_core::manifest::TargetKind;
use imgmake_event::Cancel;
use imgmake_guard::modes::{self, PRIVATE};
use imgmake_guard::program;
use imgmake_oci::archive;
use imgmake_oci::store::Store;

/// Directories nested deeper than this are refused.
const DEEPEST: usize = 200;

#[derive(Clone, Debug, Args)]
pub struct ReproduceArgs {
    /// A build target
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Copy this directory, which holds the manifest's, instead of the manifest's own
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The user of the second build, for root alone
    #[arg(long, value_name = "UID[:GID]", value_parser = user)]
    pub user: Option<User>,
    /// List all files that differ
    #[arg(long)]
    pub files: bool,
    /// List files that differ in their times alone, too
    #[arg(long)]
    pub times: bool,
    /// The form of the answer
    #[arg(long, default_value = "text")]
    pub format: ListFormat,
    /// As `--format json`
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
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let loaded = project::load(global, environment)?;
    refuse(&loaded.project, &args.target)?;
    if args.user.is_some() && !rustix::process::geteuid().is_root() {
        return Err(
            Exit::usage("`--user` needs root").with_help("without it both builds are yours")
        );
    }
    let (root, within) = copied(global, args, &loaded.project)?;
    let directory = tempfile::tempdir().map_err(anyhow::Error::from)?;
    let made = builds(args, directory.path())?;
    let mut result = Ok(());
    for attempt in &made {
        result = build(attempt, global, args, (&root, &within), (&cancel, &stopped));
        if result.is_err() {
            break;
        }
    }
    let compared = result.and_then(|()| compare(args, directory.path(), &made));
    for attempt in &made {
        clean(attempt);
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
            directory: directory.join("1"),
            jobs: 1,
            user: None,
        },
        Attempt {
            name: "second",
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

/// What cannot be done twice without a trace.
fn refuse(project: &Project, target: &str) -> Result<(), Exit> {
    let plan = project::select(project, &[target.to_string()])?;
    let kind = |id| &project.graph.target(id).kind;
    let asked = match &plan.requested[..] {
        [one] => kind(*one),
        _ => return Err(Exit::usage(format!("`{target}` is not one build target"))),
    };
    if !matches!(asked, TargetKind::Build(_)) {
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
            "`{target}` needs `{name}`, and that {what}"
        )));
    }
    Ok(())
}

/// The directory that is copied, and the manifest's in it.
fn copied(
    global: &Global,
    args: &ReproduceArgs,
    project: &Project,
) -> Result<(PathBuf, PathBuf), Exit> {
    if global.file.as_os_str() == "-" {
        return Err(Exit::usage(
            "`reproduce` takes no manifest from standard input",
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
            "`--root {shown}` does not hold the manifest's directory `{}`",
            own.display()
        ))),
    }
}

/// Copies the project and builds it with nothing known.
fn build(
    attempt: &Attempt,
    global: &Global,
    args: &ReproduceArgs,
    (root, within): (&Path, &Path),
    (cancel, stopped): (&Cancel, &Stopped),
) -> Result<(), Exit> {
    let name = attempt.name;
    tell(format!(
        "the {name} build: in `{}`, with {} at once{}",
        attempt.project().display(),
        attempt.jobs,
        attempt
            .user
            .map(|user| format!(", as user {}", user.user))
            .unwrap_or_default()
    ));
    copy(root, &attempt.project(), &attempt.directory, cancel, 0)
        .with_context(|| format!("cannot copy `{}`", root.display()))?;
    if let Some(user) = attempt.user {
        give(&attempt.directory, user).context("cannot give the copy to the other user")?;
    }
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
        .args(["-j", &attempt.jobs.to_string()]);
    for variable in &global.vars {
        command.args(["--var", variable]);
    }
    for set in &global.sets {
        command.args(["--set", set]);
    }
    let layout = format!("{}.layout={}", args.target, attempt.layout().display());
    command.args(["--set", &layout, &args.target]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(user) = attempt.user {
        command.uid(user.user).gid(user.group);
    }
    // A signal reaches the build, too, which is in our group.
    let status = command
        .status()
        .with_context(|| format!("cannot start the {name} build"))?;
    if let Some(code) = stopped.exit_code() {
        return Err(Exit::silent(code));
    }
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(Exit::error(
        code.unwrap_or(exit::FAILED),
        format!("the {name} build failed: see above"),
    ))
}

/// Files, directories and links with their modes; the state of runs is left out, and what is no file.
fn copy(from: &Path, to: &Path, own: &Path, cancel: &Cancel, depth: usize) -> anyhow::Result<()> {
    cancel.check()?;
    if depth > DEEPEST {
        return Err(anyhow!("directories are nested more than {DEEPEST} deep"));
    }
    modes::make_dirs(to, PRIVATE)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let is_left_out = entry.file_name() == ".imgmake" || own.starts_with(&path);
        let kind = entry.file_type()?;
        if is_left_out {
        } else if kind.is_symlink() {
            symlink(fs::read_link(&path)?, &target)?;
        } else if kind.is_dir() {
            copy(&path, &target, own, cancel, depth + 1)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).with_context(|| path.display().to_string())?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    Ok(())
}

/// Everything below, without following links.
fn give(path: &Path, user: User) -> io::Result<()> {
    lchown(path, Some(user.user), Some(user.group))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    Ok(())
}

fn compare(args: &ReproduceArgs, directory: &Path, made: &[Attempt; 2]) -> Result<u8, Exit> {
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
    diff::of_images(&store, &args, &first, &second)
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
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Ok(meta) = fs::symlink_metadata(attempt.store())
        && let Some(user) = attempt.user
        && meta.uid() == user.user
    {
        command.uid(user.user).gid(user.group);
    }
    // What stays is said when the directory is removed.
    drop(command.status());
}
