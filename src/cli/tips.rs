//! Tips for a command line that clap refuses: what docker's flags are here, and which command has an option.

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Cli;
use imgmake_core::manifest::suggest;

/// Flags of `docker build` and `docker buildx build`, and what they are in a manifest.
const OF_DOCKER: [(&[&str], &str); 16] = [
    (
        &["-t", "--tag"],
        "`tags \"NAME\"` in the `build` target; `imgmake build -t NAME DIR` needs no manifest",
    ),
    (
        &["--build-arg"],
        "`args { NAME \"VALUE\" }` in the `build` target, or once `--set 'TARGET.args.NAME=VALUE'`",
    ),
    (
        &["--platform"],
        "`platforms \"linux/arm64\"` in the `build` target, or once `--set '*.platforms=linux/arm64'`",
    ),
    (&["--target"], "`stage NAME` in the `build` target"),
    (&["--push"], "a `push` target; `imgmake push` runs it"),
    (
        &["--load"],
        "`load docker` in the `build` target; `imgmake load` runs it",
    ),
    (
        &["-o", "--output"],
        "`tar \"FILE\"`, `tar \"FILE\" format=oci` or `layout \"DIR\"` in the `build` target",
    ),
    (
        &["--label"],
        "`labels { KEY \"VALUE\" }` in the `build` target",
    ),
    (
        &["--annotation"],
        "`annotations { KEY \"VALUE\" }` in the `build` target",
    ),
    (
        &["--secret"],
        "`secret NAME env=\"VARIABLE\"`, and `secrets NAME` in the `build` target",
    ),
    (&["--ssh"], "`ssh default` in the `build` target"),
    (
        &["--add-host"],
        "`add-hosts { NAME \"10.0.0.5\" }` in the `build` target",
    ),
    (
        &["--build-context"],
        "`contexts { NAME (path)\"DIR\" }` in the `build` target",
    ),
    (
        &["--allow"],
        "`allow \"security.insecure\"` in the `build` target",
    ),
    (
        &["--metadata-file", "--iidfile"],
        "`write-digests \"FILE\"` in a `push` target, or `--progress json`",
    ),
    (&["--squash"], "`squash #true` in the `build` target"),
];

/// Commands of docker and of other tools that are none here, and what does the same.
const COMMANDS: [(&[&str], &str); 13] = [
    (
        &["images", "ls"],
        "`imgmake cache` lists the images in the store",
    ),
    (
        &["prune", "system", "clean"],
        "`imgmake gc` frees disk space; `imgmake gc --all` removes everything that no running build uses",
    ),
    (
        &["tag"],
        "write `tags` in a `build` target; a `push` target with `from image=\"NAME\"` gives an image of a registry another tag",
    ),
    (
        &["pull"],
        "a build pulls its base images; a `push` target with `from image=\"NAME\"` copies an image to another registry",
    ),
    (
        &["history"],
        "`imgmake inspect IMAGE` shows the instruction of each layer",
    ),
    (&["save"], "write `tar \"FILE\"` in a `build` target"),
    (&["sign"], "write `sign key=\"FILE\"` in a `push` target"),
    (
        &["buildx", "builder", "image"],
        "leave the word out: `imgmake build`, `imgmake inspect`, `imgmake rmi`",
    ),
    (&["bake"], "`imgmake -f docker-bake.hcl` reads a bake file"),
    (
        &["compose", "up", "down"],
        "`imgmake -f compose.yaml` builds the images of a Compose file; imgmake starts no containers",
    ),
    (
        &["ps", "exec", "start", "stop", "kill"],
        "imgmake builds images and starts no containers",
    ),
    (
        &["info"],
        "`imgmake doctor` shows what works on this machine",
    ),
    (&["version"], "`imgmake --version` prints the version"),
];

/// Flags of `docker run`.
const OF_CONTAINERS: [&str; 12] = [
    "-i",
    "--interactive",
    "--tty",
    "-d",
    "--detach",
    "--rm",
    "--name",
    "--entrypoint",
    "--volume",
    "--publish",
    "-p",
    "-e",
];

/// What does the same here as a command of docker.
pub fn of_docker_command(word: &str) -> Option<&'static str> {
    let found = COMMANDS.iter().find(|(words, _)| words.contains(&word));
    found.map(|(_, here)| *here)
}

/// clap proposes to pass what it does not know as a value, which helps nobody here, and shows the usage
/// with the option that it takes for the meant one, as if that had been written.
pub fn improved(mut error: clap::Error) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let name = unknown.split('=').next().unwrap_or_default().to_string();
    error.remove(ContextKind::Suggested);
    let mut command = String::new();
    if let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage)
        && let Some((path, plain)) = plain_usage(&usage.to_string())
    {
        command = path;
        error.insert(ContextKind::Usage, ContextValue::StyledStr(plain));
    }
    let similar = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(similar)) => Some(similar.clone()),
        _ => None,
    };
    let tip = of_docker(&name)
        .or_else(|| of_containers(&name))
        .or_else(|| of_dry_run(&name, &command))
        .or_else(|| of_another_command(&name))
        .or_else(|| near_docker(&name, similar.as_deref()));
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedArg);
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

/// The command whose own usage this is, and its usage.
fn plain_usage(usage: &str) -> Option<(String, clap::builder::StyledStr)> {
    let mut cli = Cli::command();
    cli.build();
    let mut command = &mut cli;
    let mut path = Vec::new();
    for word in usage.split_whitespace().skip(2) {
        if command.find_subcommand(word).is_none() {
            break;
        }
        command = command.find_subcommand_mut(word)?;
        path.push(word);
    }
    Some((path.join(" "), command.render_usage()))
}

/// What is misspelt may be a flag of docker's rather than the option that clap found.
fn near_docker(name: &str, similar: Option<&str>) -> Option<String> {
    // Every letter is near every other.
    if !name.starts_with("--") {
        return None;
    }
    let flags = || OF_DOCKER.iter().flat_map(|(names, _)| *names).copied();
    let near = suggest::nearest(name, similar.into_iter().chain(flags()))?;
    match Some(near) == similar {
        true => None,
        false => of_docker(near),
    }
}

fn of_docker(name: &str) -> Option<String> {
    let found = OF_DOCKER.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, here)| format!("docker's `{name}` is {here}"))
}

fn of_containers(name: &str) -> Option<String> {
    let is_known = OF_CONTAINERS.contains(&name);
    is_known.then(|| "imgmake builds images and starts no containers".to_string())
}

/// `-n` of commands that run no targets.
fn of_dry_run(name: &str, command: &str) -> Option<String> {
    if !["-n", "--dry-run"].contains(&name) {
        return None;
    }
    Some(match command {
        "gc" | "rmi" => format!(
            "`imgmake {command}` has no `{name}`: `imgmake cache` shows what is in the store"
        ),
        "list" | "graph" | "lint" | "inspect" | "diff" | "cache" | "logs" | "doctor" | "plan"
        | "why" | "check" | "verify" => {
            format!("`imgmake {command}` changes nothing, so it needs no `{name}`")
        }
        _ => return None,
    })
}

fn of_another_command(name: &str) -> Option<String> {
    let has = |command: &clap::Command| {
        command.get_arguments().any(|argument| {
            let short = argument.get_short().map(|short| format!("-{short}"));
            let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
            short.as_deref() == Some(name) || longs.iter().any(|long| format!("--{long}") == name)
        })
    };
    let cli = Cli::command();
    let command = cli.get_subcommands().find(|command| has(command))?;
    Some(format!("`imgmake {}` has `{name}`", command.get_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_docker_that_are_ours_are_not_explained() {
        let own = Cli::command();
        for word in COMMANDS.iter().flat_map(|(words, _)| *words) {
            assert!(own.find_subcommand(word).is_none(), "{word}");
        }
    }

    #[test]
    fn flags_of_docker_that_are_ours_are_not_explained() {
        let own = Cli::command();
        let run = own.find_subcommand("run").unwrap();
        for name in OF_DOCKER.iter().flat_map(|(names, _)| *names) {
            let is_own = |argument: &clap::Arg| {
                argument
                    .get_short()
                    .map(|short| format!("-{short}"))
                    .as_deref()
                    == Some(name)
                    || argument
                        .get_long()
                        .map(|long| format!("--{long}"))
                        .as_deref()
                        == Some(name)
            };
            assert!(!run.get_arguments().any(is_own), "{name}");
        }
    }
}
