//! Second opinions: other builders on what a Dockerfile means, umoci on what our layers unpack to.

mod buildah;
mod buildkit;
mod docker;
pub mod umoci;

use std::path::Path;
use std::process::Command;

use imgmake_dockerfile::compat::{Builder, Version};
use imgmake_oci::archive;

use super::case::Case;
use super::text::Image;
use super::workshop::Workshop;

pub use buildah::Buildah;
use buildkit::BuildKit;
use docker::{Docker, Frontend};

/// Another builder, ready for any number of cases: it has the base as `busybox`.
pub trait Peer: Sync {
    fn builder(&self) -> Builder;
    fn version(&self) -> &Version;
    /// What it makes of a case that is laid out.
    fn build(&self, workshop: &Workshop, case: &Case) -> Result<Image, String>;
}

/// Those that can be had here: buildah (`BUILDAH` names another program, or none), BuildKit with the
/// address in `BUILDKIT_HOST`, and the daemon of `DOCKER_HOST`: its own builder, and the
/// BuildKit inside of it.
pub fn all() -> Vec<Box<dyn Peer>> {
    let mut peers: Vec<Box<dyn Peer>> = Vec::new();
    if std::env::var_os("BUILDAH").is_none_or(|program| !program.is_empty()) {
        peers.push(Box::new(Buildah::new()));
    }
    if let Ok(address) = std::env::var("BUILDKIT_HOST") {
        peers.push(Box::new(BuildKit::at(&address)));
    }
    if let Ok(address) = std::env::var("DOCKER_HOST") {
        peers.push(Box::new(Docker::at(&address, Frontend::Own)));
        peers.push(Box::new(Docker::at(&address, Frontend::BuildKit)));
    }
    peers
}

/// A program that is ended after some minutes: Docker's own builder waits for the writer of a fifo.
fn program(name: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["240", name]);
    command
}

/// Standard output, or what the program says instead.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

pub fn read(workshop: &Workshop, case: &Case, file: &Path) -> Result<Image, String> {
    let read = archive::read(&workshop.store, file, None).map_err(|e| format!("{e:#}"))?;
    Ok(workshop.read(case, &read.root))
}

/// What a case asks for, as the options that docker and buildah both have.
fn arguments(workshop: &Workshop, case: &Case, place: &Path) -> Vec<String> {
    let asked = &case.request;
    let mut arguments = Vec::new();
    for (name, value) in &workshop.arguments(case) {
        arguments.push(format!("--build-arg={name}={value}"));
    }
    for (name, value) in &asked.labels {
        arguments.push(format!("--label={name}={value}"));
    }
    for (name, folder) in &asked.contexts {
        let folder = place.join("context").join(folder);
        arguments.push(format!("--build-context={name}={}", folder.display()));
    }
    let secrets = secrets(case, place).into_iter();
    arguments.extend(secrets.map(|secret| format!("--secret={secret}")));
    for id in &asked.ssh {
        let socket = workshop.agent().socket();
        arguments.push(format!("--ssh={id}={}", socket.display()));
    }
    arguments.extend(asked.stage.iter().map(|stage| format!("--target={stage}")));
    arguments.extend(asked.platforms.iter().map(|p| format!("--platform={p}")));
    arguments
}

/// Secrets as files, each as `id=ID,src=FILE`.
fn secrets(case: &Case, place: &Path) -> Vec<String> {
    let asked = &case.request;
    let option = |id: &str, file: &Path| format!("id={id},src={}", file.display());
    let mut options = Vec::new();
    for (id, value) in &asked.secrets {
        let file = place.join(format!("secret-{id}"));
        std::fs::write(&file, value).unwrap();
        options.push(option(id, &file));
    }
    for (id, _) in &asked.secret_files {
        options.push(option(id, &place.join(format!("secret-file-{id}"))));
    }
    options
}
