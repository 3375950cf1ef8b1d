//! `imgmake kaniko`, and the program called as `executor`: fetches the context,
//! finds the Dockerfile, and runs the step that the arguments say.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::output::print;
use super::signals;
use super::step::{self, Place};
use crate::exit::{Exit, FAILED};
use crate::step::bases;
use crate::step::context::git::KEEP_GIT;
use crate::step::context::kaniko::{fetch_failed, here, refused, within};
use crate::step::context::{fetch, git, http};
use imgmake_compat::Step;
use imgmake_compat::plugin::Workspace;
use imgmake_compat::plugin::kaniko::{self, Context, Invocation, Request};
use imgmake_core::manifest::RecipeNode;
use imgmake_event::Cancel;
use imgmake_git::Client;
use imgmake_guard::bounded;
use imgmake_guard::checkout::Checkout;
use imgmake_oci::store::Store;

/// kaniko's arguments, when the program was called as `executor …` or `imgmake kaniko …`.
/// They never go through our own options: `-f` and `-c` mean other things here.
pub fn called(argv: &[String]) -> Option<&[String]> {
    match argv {
        [program, arguments @ ..] if kaniko::is_called(program) => Some(arguments),
        [_, word, arguments @ ..] if word == "kaniko" => Some(arguments),
        _ => None,
    }
}

/// Does what kaniko's executor does with these arguments. Errors end with 1, as there.
pub fn kaniko(arguments: &[String], environment: &Environment) -> Result<u8, Exit> {
    let cancel = Cancel::default();
    let workspace = Workspace {
        environment: &environment.variables,
        read: &|path| here().stopped_by(&cancel).read_to_string(Path::new(path)),
        now: "",
    };
    match kaniko::interpret(arguments, &workspace).map_err(refused)? {
        Invocation::Help => print(&kaniko::flags::help())?,
        Invocation::Version => print(&format!(
            "imgmake {}, compatible with kaniko 1.24\n",
            env!("CARGO_PKG_VERSION")
        ))?,
        Invocation::Build(request) => return build(*request, &workspace, environment, &cancel),
    }
    Ok(0)
}

fn build(
    request: Request,
    workspace: &Workspace,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<u8, Exit> {
    let stopped = signals::listen(cancel);
    let directory = std::env::current_dir().map_err(|error| {
        Exit::error(
            FAILED,
            format!("cannot find the working directory: {error}"),
        )
    })?;
    let store_path = store_path(environment, &directory);
    let mut place = Place::new(directory, store_path, environment).map_err(as_failure)?;
    if let Context::Directory(context) = &request.context {
        place = place
            .of_context(Path::new(context), environment)
            .map_err(as_failure)?;
    }
    let store = place.open_store()?;
    let client = Client::new(environment.variables.clone(), cancel);
    let prepared = prepare(request, workspace, &store, client);
    if let Some(code) = stopped.exit_code() {
        return Ok(code);
    }
    let (request, step) = prepared.map_err(as_failure)?;
    if request.dry_run {
        print(&describe(&step))?;
        return Ok(0);
    }
    let ended = step::run_in(step, &place, environment, cancel, &stopped);
    ended.map_err(as_failure)
}

/// The context as a directory, the Dockerfile as a path, and so the step.
fn prepare(
    mut request: Request,
    workspace: &Workspace,
    store: &Store,
    client: Client,
) -> Result<(Request, Step), Exit> {
    let args = request.build_args(workspace).map_err(refused)?;
    let cancel = client.cancel.clone();
    let repositories = git::Repositories {
        client,
        git_directory: git::git_directory(args.get(KEEP_GIT).map(String::as_str)),
    };
    let whole = fetch::context(&request.context, store, &repositories, &standard_input)
        .map_err(|error| fetch_failed(&request, &error))?;
    let context = within(&request, &whole)?;
    if let Some(address) = request.dockerfile_address() {
        let file = store.temporary_dir()?.join("Dockerfile");
        http::download(address, &file, &cancel)
            .map_err(|error| Exit::error(FAILED, format!("--dockerfile: {error:#}")))?;
        request.dockerfile = utf8(&file)?;
    }
    if let Some(file) = piped(&request.dockerfile, store, &cancel)? {
        request.dockerfile = utf8(&file)?;
    }
    let context = utf8(&context)?;
    let dockerfile = request
        .find_dockerfile(&context, workspace)
        .map_err(refused)?;
    let checkout = Checkout::new([whole.as_path(), Path::new(&context)]).stopped_by(&cancel);
    let text = checkout.read(Path::new(&dockerfile)).map_err(|error| {
        Exit::error(
            FAILED,
            format!("cannot read the Dockerfile `{dockerfile}`: {error}"),
        )
    })?;
    let bases = bases::names(&text, &args);
    let step = request.step(&context, &dockerfile, &bases, workspace);
    let mut step = step.map_err(refused)?;
    step.options.whole = Some(utf8(&whole)?);
    Ok((request, step))
}

/// A Dockerfile that comes through a pipe (`/dev/stdin`, `<(…)`) can be read once: it becomes a file.
fn piped(written: &str, store: &Store, cancel: &Cancel) -> Result<Option<PathBuf>, Exit> {
    let path = Path::new(written);
    let passes = std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
    if !passes {
        return Ok(None);
    }
    let read = || -> anyhow::Result<Vec<u8>> {
        let source = match written {
            "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0" => cancel.attentive(standard_input()?)?,
            _ => cancel.open(path)?,
        };
        Ok(bounded::take(source, bounded::LARGEST_TEXT)?)
    };
    let failed = |error| Exit::error(FAILED, format!("--dockerfile={written}: {error:#}"));
    let text = read().map_err(failed)?;
    let file = store.temporary_dir()?.join("Dockerfile");
    std::fs::write(&file, text).map_err(|error| failed(error.into()))?;
    Ok(Some(file))
}

/// # Errors
/// It is a terminal.
pub fn standard_input() -> anyhow::Result<File> {
    let input = std::io::stdin();
    if input.is_terminal() {
        anyhow::bail!(
            "standard input is a terminal; pipe the archive into it; with docker or kubectl, add `-i`"
        );
    }
    Ok(File::from(input.as_fd().try_clone_to_owned()?))
}

/// What a dry run would do.
fn describe(step: &Step) -> String {
    let mut text = String::new();
    if let Some(build) = step.build() {
        if let (RecipeNode::Dockerfile { path, .. }, Some(context)) =
            (&build.recipe, &build.context)
        {
            text.push_str(&format!("build  {} in {}\n", path.value, context.value));
        }
        let tar = build.tar.iter().map(|tar| &tar.path);
        let exports = build.exports.iter().map(|export| &export.path);
        for path in tar.chain(&build.layout).chain(exports) {
            text.push_str(&format!("write  {}\n", path.value));
        }
    }
    let pushed = step.names.iter().filter(|_| step.pushes());
    pushed.for_each(|name| text.push_str(&format!("push   {name}\n")));
    text
}

/// The user's store, as for every command; without a home, one in the working directory.
fn store_path(environment: &Environment, directory: &Path) -> PathBuf {
    let named = environment.get("IMGMAKE_STORE").map(PathBuf::from);
    let cached = || {
        let cache = environment.get("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || Some(Path::new(environment.get("HOME")?).join(".cache"));
        cache.or_else(home).map(|cache| cache.join("imgmake"))
    };
    named
        .or_else(cached)
        .unwrap_or_else(|| directory.join(".imgmake/store"))
}

fn utf8(path: &Path) -> Result<String, Exit> {
    path.to_str().map(String::from).ok_or_else(|| {
        Exit::error(
            FAILED,
            format!("the path `{}` is not UTF-8", path.display()),
        )
    })
}

/// kaniko knows no other code for an error of its own.
fn as_failure(exit: Exit) -> Exit {
    Exit {
        code: FAILED,
        ..exit
    }
}
