//! What of a project's surroundings is believed: under which key its state counts, and
//! whether the store lies where others write.

use std::path::{Path, PathBuf};
use std::sync::Once;

use super::args::Global;
use super::environment::Environment;
use super::output::tell;
use crate::exit::Exit;
use crate::no_links::refuse_links;
use imgmake_core::state::{DIRECTORY, Ignored};
use imgmake_event::Cancel;
use imgmake_git::{Tracked, tracks};
use imgmake_guard::mac::{self, MacKey};
use imgmake_oci::store::{self, FoundAgain, Names, Shared, Store};

#[derive(Clone, Debug)]
pub struct Trust {
    /// Of the project's state.
    pub key: MacKey,
    /// Why the key goes with this process: then no state is believed.
    no_key: Option<String>,
    store: store::Trust,
}

/// Whether a missing key is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    Read,
    Make,
}

impl Trust {
    /// For a project in this directory (canonical).
    ///
    /// # Errors
    /// The key in the environment is too short.
    pub fn of_project(
        project: &Path,
        global: &Global,
        environment: &Environment,
        keys: Keys,
    ) -> Result<Trust, Exit> {
        let given = given_key(environment)?;
        let usual = usual_place(project, environment);
        let set = match &global.store {
            None => environment.usual_store(),
            Some(set) => Some(set.clone()),
        };
        // The usual place inside of the project is no safer than another. Elsewhere it is
        // the user's own, also when a repository of settings lies around it.
        let is_usual = |set: &PathBuf| {
            let usual = environment.usual_store();
            usual.is_some_and(|usual| absolute_and_real(&usual) == absolute_and_real(set))
        };
        let is_shared = match &set {
            Some(set) if !is_usual(set) => is_within(set, project) || is_in_checkout(set),
            Some(_) => usual.is_none(),
            None => false,
        };
        let own = match is_shared {
            true => usual,
            false => set.clone(),
        };
        let (key, no_key) = match (&given, &own) {
            (Some(key), _) => (Ok(key.clone()), None),
            (None, Some(own)) => user_key(own, keys),
            (None, None) => (
                MacKey::random(),
                Some("the store is in the checkout, and no other place for a key was found".into()),
            ),
        };
        let key = key.map_err(|error| Exit::error(crate::exit::FAILED, error))?;
        let found_again = match (&given, &no_key) {
            (Some(_), _) => FoundAgain::CacheMounts,
            (None, None) => FoundAgain::Everything,
            (None, Some(_)) => FoundAgain::Nothing,
        };
        let store = match is_shared {
            false => store::Trust::Private,
            true => store::Trust::Shared(Shared {
                key: key.clone(),
                found_again,
                names: Names::WithMac,
                own,
            }),
        };
        Ok(Trust { key, no_key, store })
    }

    /// For a step of a pipeline, whose neighbors write into the workspace: nothing but the
    /// environment can hold a key.
    ///
    /// # Errors
    /// The key in the environment is too short.
    pub fn of_step(
        workspace: &Path,
        store: &Path,
        environment: &Environment,
    ) -> Result<Trust, Exit> {
        let given = given_key(environment)?;
        let is_given = given.is_some();
        let key = given.map_or_else(MacKey::random, Ok);
        let key = key.map_err(|error| Exit::error(crate::exit::FAILED, error))?;
        let workspace = workspace.canonicalize().unwrap_or(workspace.to_path_buf());
        let shared = Shared {
            key: key.clone(),
            found_again: match is_given {
                true => FoundAgain::CacheMounts,
                false => FoundAgain::Nothing,
            },
            names: Names::Any,
            own: None,
        };
        let is_shared = is_within(store, &workspace) || is_in_checkout(store);
        Ok(Trust {
            key,
            no_key: (!is_given).then(|| format!("{} is not set", mac::VARIABLE)),
            store: match is_shared {
                true => store::Trust::Shared(shared),
                false => store::Trust::Private,
            },
        })
    }

    pub fn has_key(&self) -> bool {
        self.no_key.is_none()
    }

    pub fn is_shared(&self) -> bool {
        matches!(self.store, store::Trust::Shared(_))
    }

    /// How a store of these surroundings is opened.
    pub fn of_store(&self) -> store::Trust {
        self.store.clone()
    }

    /// Says once what was not used of the project's state.
    pub fn tell_ignored(&self, ignored: Ignored) {
        static TOLD: Once = Once::new();
        let text = match (&self.no_key, ignored) {
            (Some(why), _) => format!(
                "note: the state in `{DIRECTORY}` is ignored: {why}; {} can contain a key",
                mac::VARIABLE
            ),
            (None, Ignored::Foreign) => format!(
                "note: the state in `{DIRECTORY}` belongs to another user, machine or directory: it is ignored"
            ),
            (None, Ignored::Older) => format!(
                "note: the state in `{DIRECTORY}` was written by an older version: imgmake checks everything again"
            ),
            (None, Ignored::DamagedEnd) => {
                format!("note: the end of the state in `{DIRECTORY}/log` is damaged: it is ignored")
            }
        };
        TOLD.call_once(|| tell(text));
    }
}

/// The store of commands that work without a manifest.
///
/// # Errors
/// No place for one is found, or it cannot be opened.
pub fn open_store(global: &Global, environment: &Environment) -> Result<Store, Exit> {
    let directory = global.directory.as_deref().unwrap_or(Path::new("."));
    let directory = directory.canonicalize().unwrap_or(directory.to_path_buf());
    let mut trust = Trust::of_project(&directory, global, environment, Keys::Read)?.of_store();
    if let store::Trust::Shared(shared) = &mut trust {
        // Who looks at an image by its name believes no more than he sees.
        shared.names = Names::Any;
    }
    let path = environment.store(global)?;
    refuse_links(&path, &directory)?;
    open_told(&path, trust, &Cancel::default())
}

/// Opens a store for who has no events: what is waited for and what was made anew is said at once.
pub fn open_told(path: &Path, trust: store::Trust, cancel: &Cancel) -> Result<Store, Exit> {
    let on_wait = |busy| {
        tell(format!(
            "waiting for the store `{}`: {busy}",
            path.display()
        ));
    };
    let waiting = store::Waiting {
        on_wait: &on_wait,
        cancel,
    };
    let store = Store::open_waiting(path, trust, &waiting)?;
    if store.take_rebuilt().is_some() {
        tell(rebuilt(path));
    }
    Ok(store)
}

/// What is said once of a store of an older version.
pub fn rebuilt(store: &Path) -> String {
    format!(
        "note: the store `{}` was written by an older version: its steps are built again",
        store.display()
    )
}

/// State that came with a checkout is refused, not only ignored: whoever put it there meant
/// somebody to believe it.
///
/// # Errors
/// git tracks the project's state.
pub fn refuse_tracked(project: &Path) -> Result<(), Exit> {
    if std::fs::symlink_metadata(project.join(DIRECTORY)).is_err() {
        return Ok(());
    }
    match tracks(project, DIRECTORY) {
        Tracked::No => {}
        Tracked::Yes => {
            return Err(Exit::usage(format!(
                "git tracks `{DIRECTORY}`: state must not be committed"
            ))
            .with_help(format!(
                "`git rm -r --cached {DIRECTORY}` removes it from the repository; it may contain files of other people, so remove the directory as well"
            )));
        }
        Tracked::Unknown(why) => tell(format!(
            "note: cannot read from the repository's index whether git tracks `{DIRECTORY}`: {why}"
        )),
    }
    Ok(())
}

fn given_key(environment: &Environment) -> Result<Option<MacKey>, Exit> {
    let Some(text) = environment.state_key() else {
        return Ok(None);
    };
    let key = MacKey::of_text(text);
    let key = key.map_err(|error| {
        Exit::usage(format!("invalid key {}: {error}", mac::VARIABLE)).with_help(
            "`openssl rand -hex 32` makes one; store it as a secret that pipelines of unknown authors do not get",
        )
    })?;
    Ok(Some(key))
}

fn user_key(own: &Path, keys: Keys) -> (std::io::Result<MacKey>, Option<String>) {
    let found = match keys {
        Keys::Read => MacKey::read(own),
        Keys::Make => MacKey::read_or_make(own).map(Some),
    };
    match found {
        Ok(Some(key)) => (Ok(key), None),
        Ok(None) => (
            MacKey::random(),
            Some(format!("no key in `{}` yet", own.display())),
        ),
        Err(error) => (
            MacKey::random(),
            Some(format!("no key in `{}`: {error}", own.display())),
        ),
    }
}

/// Where the user's own store is unless another is set; `None` when that is inside of the
/// project, or of the repository that the project belongs to.
fn usual_place(project: &Path, environment: &Environment) -> Option<PathBuf> {
    let usual = environment.usual_store()?;
    let top = project.ancestors().find(|path| path.join(".git").exists());
    let around = top.unwrap_or(project);
    (!is_within(&usual, project) && !is_within(&usual, around)).then_some(usual)
}

/// Also when it is only written so, and a link leads out.
fn is_within(path: &Path, directory: &Path) -> bool {
    let written = std::path::absolute(path).unwrap_or(path.to_path_buf());
    written.starts_with(directory) || real(&written).starts_with(directory)
}

fn is_in_checkout(path: &Path) -> bool {
    absolute_and_real(path)
        .ancestors()
        .any(|path| path.join(".git").exists())
}

fn absolute_and_real(path: &Path) -> PathBuf {
    real(&std::path::absolute(path).unwrap_or(path.to_path_buf()))
}

/// With links followed as far as the path is there.
fn real(path: &Path) -> PathBuf {
    let known = path
        .ancestors()
        .find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    match known {
        Some((ancestor, found)) => match path.strip_prefix(ancestor) {
            Ok(rest) if !rest.as_os_str().is_empty() => found.join(rest),
            _ => found,
        },
        None => path.to_path_buf(),
    }
}
