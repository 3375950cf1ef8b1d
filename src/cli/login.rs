//! `login` and `logout`: what `docker login` remembers, where it remembers it.

use std::io::{IsTerminal, Read};

use super::args::LoginArgs;
use super::environment::Environment;
use super::exit::{self, Exit};
use super::output::print;
use crate::registry::{Client, ClientOptions, RegistryError, Secret, forget};

/// No password is longer, and a file given by mistake may be.
const LONGEST: u64 = 64 << 10;

pub fn login(args: &LoginArgs, environment: &Environment) -> Result<u8, Exit> {
    let password = password()?;
    let options = options(environment);
    let client = Client::new(options).map_err(refused)?;
    let path = client
        .login(&args.registry, &args.username, &password)
        .map_err(refused)?;
    print(&format!(
        "logged in to {}; remembered in {path}\n",
        args.registry
    ))?;
    Ok(0)
}

pub fn logout(registry: &str, environment: &Environment) -> Result<u8, Exit> {
    let known = forget(&options(environment), registry).map_err(refused)?;
    print(&match known {
        true => format!("logged out of {registry}\n"),
        false => format!("nothing was remembered for {registry}\n"),
    })?;
    Ok(0)
}

fn options(environment: &Environment) -> ClientOptions {
    ClientOptions {
        environment: environment.variables.clone(),
        ..ClientOptions::default()
    }
}

/// From standard input: words of a command line are seen by everybody.
fn password() -> Result<Secret, Exit> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(
            Exit::usage("the password is read from standard input, not from a terminal")
                .with_help("`printf %s \"$PASSWORD\" | imgmake login …`"),
        );
    }
    let mut text = String::new();
    let read = stdin.lock().take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| Exit::usage(format!("cannot read the password: {error}")))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Exit::usage("the password on standard input is empty"));
    }
    Ok(Secret(text.to_string()))
}

fn refused(error: RegistryError) -> Exit {
    Exit::error(exit::REGISTRY, error)
}
