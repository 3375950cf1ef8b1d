//! `login` and `logout`: what `docker login` remembers, where it remembers it.

use std::io::{IsTerminal, Read};

use super::args::LoginArgs;
use super::environment::Environment;
use super::output::{print, tell};
use crate::exit::{self, Exit};
use imgmake_registry::{
    Checked, Client, ClientOptions, Forgotten, HostSettings, RegistryError, Secret, forget,
};

/// No password is longer, and a file given by mistake may be.
const LONGEST: u64 = 64 << 10;

pub fn login(args: &LoginArgs, environment: &Environment) -> Result<u8, Exit> {
    let username = username(args)?;
    let password = password(args)?;
    let mut options = options(environment);
    options.hosts.extend(args.insecure.then(|| HostSettings {
        prefix: args.registry.clone(),
        insecure: true,
        ..HostSettings::default()
    }));
    let client = Client::new(options).map_err(refused)?;
    let done = client
        .login(&args.registry, &username, &password)
        .map_err(refused)?;
    let unseen = match done.checked {
        Checked::Yes => "",
        Checked::NotAskedFor => {
            "; the registry did not ask for the password, so it was not checked"
        }
    };
    print(&format!(
        "logged in to {}; stored in {}{unseen}\n",
        args.registry, done.place
    ))?;
    Ok(0)
}

pub fn logout(registry: &str, environment: &Environment) -> Result<u8, Exit> {
    let found = forget(&options(environment), registry).map_err(refused)?;
    print(&match found {
        Forgotten::Entry => format!("logged out of {registry}\n"),
        Forgotten::Nothing => format!("no login is stored for {registry}\n"),
    })?;
    Ok(0)
}

fn options(environment: &Environment) -> ClientOptions {
    ClientOptions {
        environment: environment.variables.clone(),
        ..ClientOptions::default()
    }
}

/// Asked for on a terminal, as `docker login` does.
fn username(args: &LoginArgs) -> Result<String, Exit> {
    let missing = || {
        Exit::usage("the user is missing").with_help(
            "name the user: `imgmake login -u USER REGISTRY`; without `-u` it is asked for on a terminal",
        )
    };
    let name = match &args.username {
        Some(name) => name.clone(),
        // Standard input holds the password.
        None if args.password_stdin || !std::io::stdin().is_terminal() => return Err(missing()),
        None => {
            let terminal = console::Term::stderr();
            let written = terminal.write_str("User: ");
            written
                .and_then(|()| terminal.read_line())
                .map_err(|error| Exit::usage(format!("cannot read the user: {error}")))?
        }
    };
    match name.trim() {
        "" => Err(missing()),
        name => Ok(name.to_string()),
    }
}

/// From standard input; typed unseen where that is a terminal. Words of a command
/// line are seen by everybody, so one there is taken with a warning.
fn password(args: &LoginArgs) -> Result<Secret, Exit> {
    let text = match &args.password {
        Some(password) => {
            tell(
                "warning: every user of this machine can read the password on the command line; use `--password-stdin` instead",
            );
            password.clone()
        }
        None if std::io::stdin().is_terminal() => typed()?,
        None => piped()?,
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Exit::usage("the password is empty").with_help(
            "it is read from standard input: `printf %s \"$PASSWORD\" | imgmake login …`",
        ));
    }
    Ok(Secret(text.to_string()))
}

fn piped() -> Result<String, Exit> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(LONGEST)
        .read_to_string(&mut text);
    read.map_err(|error| Exit::usage(format!("cannot read the password: {error}")))?;
    Ok(text)
}

fn typed() -> Result<String, Exit> {
    let terminal = console::Term::stderr();
    let written = terminal.write_str("Password: ");
    written
        .and_then(|()| terminal.read_secure_line())
        .map_err(|error| Exit::usage(format!("cannot read the password: {error}")))
}

fn refused(error: RegistryError) -> Exit {
    Exit::error(exit::REGISTRY, error)
}
