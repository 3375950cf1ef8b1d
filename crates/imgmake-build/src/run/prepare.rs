//! RUN: an instruction with final values becomes a request to the helper process, and a key.

use crate::define::config::Configuring;
use crate::define::state::ImageState;
use crate::error::{BuildError, Result};
use crate::request::{BuildRequest, DefaultNetwork, Insecure, SecretSource};
use crate::run::fingerprint::{self, CacheBeginning, WrittenMount};
use crate::run::mounted::Mounted;
use crate::run::worker::{Network, RunMount, RunRequest, Sharing, authority_variables};
use crate::step_key;
use imgmake_core::fingerprint::LengthPrefixedHasher;
use imgmake_dockerfile::{
    Access, CacheSharing, Mount, Ownership, PROXY_ARGS, Run, RunCommand, RunNetwork, RunSecurity,
};

/// A step ready to run; `key` holds everything that may change what it makes.
pub struct Prepared {
    pub request: RunRequest,
    pub key: LengthPrefixedHasher,
    /// A secret that cannot be had: an error once the step runs, and none where its layer is known.
    pub absent: Option<BuildError>,
    /// What the history says after `RUN`.
    pub history: String,
}

/// Puts everything together but `layers`, which the caller adds once the key was not found.
///
/// # Errors
/// Mounts that cannot be had: a missing required secret, a source that is not there.
pub fn prepare(
    run: &Run,
    state: &ImageState,
    request: &BuildRequest,
    epoch: Option<i64>,
    mounted: &mut dyn FnMut(Option<&str>, &str) -> Result<Mounted>,
) -> Result<Prepared> {
    // Taken apart in full: a new field does not compile before it is decided what it does and whether
    // it counts for the key. `command` reads the first two.
    let Run {
        command: _,
        heredocs: _,
        mounts,
        network: wanted,
        security,
    } = run;
    if *security == RunSecurity::Insecure && request.insecure == Insecure::Refused {
        return Err(BuildError::forbidden(
            "`--security=insecure`",
            "it would give this command all rights of root on this machine; if you trust the Dockerfile, \
             write `allow \"security.insecure\"` in the target",
        ));
    }
    // With `--network=none` too: those capabilities lead back into the machine's network.
    if *security == RunSecurity::Insecure && request.network == DefaultNetwork::Isolated {
        return Err(BuildError::forbidden(
            "`RUN --security=insecure`",
            "it has the capabilities to change the network of the target, which is `isolated`, by the manifest \
             or by `--network`",
        ));
    }
    let config = &state.config;
    let (argv, files, text) = command(run, config);
    let mut prepared = Prepared {
        key: step_key::of("run"),
        absent: None,
        history: history(state, request, &text),
        request: RunRequest {
            layers: Vec::new(),
            argv,
            env: environment(state, request),
            workdir: match config.image.config.working_dir.as_str() {
                "" => "/".into(),
                dir => dir.into(),
            },
            user: config.image.config.user.clone(),
            stdin: None,
            files,
            mounts: Vec::new(),
            cache_scope: Default::default(),
            network: network(*wanted, request.network)?,
            // In no key: a limit changes no result.
            limits: request.limits,
            insecure: *security == RunSecurity::Insecure,
            hostname: request
                .args
                .get("BUILDKIT_SANDBOX_HOSTNAME")
                .cloned()
                .unwrap_or_else(|| "buildkitsandbox".into()),
            add_hosts: request.add_hosts.clone().into_iter().collect(),
            // In no key, like proxies: how names are found says nothing about the image.
            resolver: request.resolver.clone(),
            authorities: request.authorities.clone(),
            compression: request.compression,
            architecture: state.platform.architecture.clone(),
            epoch,
        },
    };
    fingerprint::add_command(&mut prepared.key, &prepared.request, state);
    for spec in mounts {
        prepared.mount(&spec.mount()?, config, request, mounted)?;
    }
    // After the key: proxies never count.
    let given = proxies(request);
    let is_given = |name: &String| given.iter().any(|(other, _)| other == name);
    prepared.request.env.retain(|(name, _)| !is_given(name));
    prepared.request.env.extend(given);
    if !request.authorities.is_empty() {
        // Neither do certificates: whom a command trusts says nothing about the image.
        let variables = authority_variables(&prepared.request.env);
        prepared.request.env.extend(variables);
    }
    Ok(prepared)
}

/// A Dockerfile may ask for less than its target has, and not for more than `isolated`.
fn network(written: RunNetwork, of_target: DefaultNetwork) -> Result<Network> {
    Ok(match (written, of_target) {
        (RunNetwork::None, _) | (RunNetwork::Default, DefaultNetwork::None) => Network::None,
        (RunNetwork::Default, DefaultNetwork::Isolated) => Network::Isolated,
        (RunNetwork::Host, DefaultNetwork::Isolated) => {
            return Err(BuildError::forbidden(
                "`RUN --network=host`",
                "the network of the target is `isolated`, by the manifest or by `--network`; leave the flag of \
                 the RUN out",
            ));
        }
        _ => Network::Host,
    })
}

/// Path, bytes, mode.
type ScriptFile = (String, Vec<u8>, u32);

/// The argument list, the script that it needs, and the command as the history shows it.
fn command(run: &Run, config: &Configuring) -> (Vec<String>, Vec<ScriptFile>, String) {
    match run.executes() {
        RunCommand::Exec(argv) => {
            let text = argv.join(" ");
            (argv, Vec::new(), text)
        }
        RunCommand::Shell(text) => {
            let argv: Vec<String> = config.shell().into_iter().chain([text]).collect();
            let text = argv.join(" ");
            (argv, Vec::new(), text)
        }
        RunCommand::Script { name, content } => {
            let path = format!("/dev/pipes/{name}");
            let files = vec![(path.clone(), content.into_bytes(), 0o755)];
            (vec![path.clone()], files, path)
        }
    }
}

/// ENV and the ARGs in scope; an ARG overrides an earlier ENV of the same name. Proxies that the request gives are
/// not among them.
fn environment(state: &ImageState, request: &BuildRequest) -> Vec<(String, String)> {
    let config = &state.config.image.config;
    let mut list: Vec<(String, String)> = config
        .env
        .iter()
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_string(), value.to_string())
        })
        .collect();
    for (name, value) in &state.args {
        let Some(value) = value else { continue };
        if given_proxy(request, name).is_some() {
            continue;
        }
        match list.iter_mut().find(|(known, _)| known == name) {
            Some(slot) => slot.1.clone_from(value),
            None => list.push((name.clone(), value.clone())),
        }
    }
    list
}

/// Both spellings of what was given.
fn proxies(request: &BuildRequest) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for name in PROXY_ARGS {
        if let Some(value) = given_proxy(request, name) {
            list.push((name.to_string(), value.clone()));
        }
    }
    list
}

/// What the request gives for a proxy argument, in this spelling or in the other one.
fn given_proxy<'a>(request: &'a BuildRequest, name: &str) -> Option<&'a String> {
    if !PROXY_ARGS.contains(&name) {
        return None;
    }
    let other = match name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
        true => name.to_ascii_lowercase(),
        false => name.to_ascii_uppercase(),
    };
    request.args.get(name).or_else(|| request.args.get(&other))
}

/// `|2 A=1 B=2 /bin/sh -c …`: the ARGs in force stand before the command.
fn history(state: &ImageState, request: &BuildRequest, command: &str) -> String {
    let args: Vec<String> = state
        .args
        .iter()
        .filter(|(name, _)| given_proxy(request, name).is_none())
        .map(|(name, _)| format!("{name}={}", state.variable(name).unwrap_or_default()))
        .collect();
    match args.is_empty() {
        true => format!("RUN {command} # buildkit"),
        false => format!(
            "RUN |{} {} {command} # buildkit",
            args.len(),
            args.join(" ")
        ),
    }
}

impl Prepared {
    fn mount(
        &mut self,
        mount: &Mount,
        config: &Configuring,
        build: &BuildRequest,
        mounted: &mut dyn FnMut(Option<&str>, &str) -> Result<Mounted>,
    ) -> Result<()> {
        self.key.add(&WrittenMount(mount));
        match mount {
            Mount::Bind {
                from,
                source,
                target,
                access,
            } => {
                let visible = mounted(from.as_deref(), source)?;
                fingerprint::add_tree(&mut self.key, &visible, source)?;
                self.request.mounts.push(RunMount::Bind {
                    from: visible.source,
                    source: source.clone(),
                    target: target_path(config, target)?,
                    writable: *access == Access::ReadWrite,
                });
                Ok(())
            }
            Mount::Tmpfs { target, size } => {
                self.request.mounts.push(RunMount::Tmpfs {
                    target: target_path(config, target)?,
                    size: *size,
                });
                Ok(())
            }
            Mount::Cache { .. } => self.cache(mount, config, mounted),
            Mount::Secret { .. } => self.secret(mount, config, build),
            Mount::Ssh { .. } => self.ssh(mount, config, build),
        }
    }

    /// What a cache holds does not count; what it is begun with does.
    fn cache(
        &mut self,
        mount: &Mount,
        config: &Configuring,
        mounted: &mut dyn FnMut(Option<&str>, &str) -> Result<Mounted>,
    ) -> Result<()> {
        let Mount::Cache {
            id,
            target,
            access,
            sharing,
            from,
            source,
            ownership,
        } = mount
        else {
            return Ok(());
        };
        let (uid, gid, mode) = owned(*ownership, 0o755);
        let mut beginning = CacheBeginning::new(uid, gid, mode);
        let seed = match from {
            Some(from) => {
                let visible = mounted(Some(from), source)?;
                beginning.add_seed(&visible, source)?;
                Some((visible.source, source.clone()))
            }
            None => None,
        };
        // The id includes the hash of the initial content.
        let id = beginning.cache_id(id);
        self.key.text(&id);
        self.request.mounts.push(RunMount::Cache {
            id,
            target: target_path(config, target)?,
            sharing: match sharing {
                CacheSharing::Shared => Sharing::Shared,
                CacheSharing::Private => Sharing::Private,
                CacheSharing::Locked => Sharing::Locked,
            },
            readonly: *access == Access::ReadOnly,
            mode,
            uid,
            gid,
            seed,
        });
        Ok(())
    }

    fn secret(&mut self, mount: &Mount, config: &Configuring, build: &BuildRequest) -> Result<()> {
        let Mount::Secret {
            id,
            target,
            env,
            required,
            ownership,
        } = mount
        else {
            return Ok(());
        };
        let found = match build.secrets.get(id) {
            Some(SecretSource::Value(bytes)) => Some(bytes.clone()),
            Some(SecretSource::Empty { why }) => {
                if *required {
                    let error = || BuildError::required(format!("secret `{id}`"), why);
                    self.absent.get_or_insert_with(error);
                }
                Some(Vec::new())
            }
            Some(SecretSource::Absent { why }) => {
                let error = || BuildError::not_found(format!("secret `{id}`"), why);
                self.absent.get_or_insert_with(error);
                return Ok(());
            }
            None => None,
        };
        if found.is_none() && *required {
            let what = format!("secret `{id}`");
            return Err(BuildError::required(
                what,
                "the target has no secret of that name",
            ));
        }
        if let Some(env) = env {
            // Without the secret the variable is there all the same, and empty.
            let text = String::from_utf8(found.clone().unwrap_or_default());
            let text = text.ok().ok_or_else(|| {
                BuildError::invalid(format!("secret `{id}`"), "a variable must be UTF-8")
            })?;
            self.request.env.retain(|(name, _)| name != env);
            self.request.env.push((env.clone(), text));
        }
        let Some(bytes) = found else { return Ok(()) };
        if let Some(target) = target {
            let (uid, gid, mode) = owned(*ownership, 0o400);
            self.request.mounts.push(RunMount::Secret {
                target: target_path(config, target)?,
                bytes,
                mode,
                uid,
                gid,
            });
        }
        Ok(())
    }

    fn ssh(&mut self, mount: &Mount, config: &Configuring, build: &BuildRequest) -> Result<()> {
        let Mount::Ssh {
            id,
            target,
            required,
            ownership,
        } = mount
        else {
            return Ok(());
        };
        let Some(socket) = build.ssh.get(id) else {
            if *required {
                let what = format!("ssh agent `{id}`");
                return Err(BuildError::required(
                    what,
                    "the target has none of that name",
                ));
            }
            return Ok(());
        };
        let mounts = self.request.mounts.iter();
        let number = mounts.filter(|m| matches!(m, RunMount::Ssh { .. })).count();
        let target = match target {
            Some(target) => target_path(config, target)?,
            None => format!("/run/buildkit/ssh_agent.{number}"),
        };
        let (uid, gid, mode) = owned(*ownership, 0o600);
        if number == 0 {
            let variable = ("SSH_AUTH_SOCK".to_string(), target.clone());
            self.request.env.push(variable);
        }
        self.request.mounts.push(RunMount::Ssh {
            socket: socket.display().to_string(),
            target,
            mode,
            uid,
            gid,
        });
        Ok(())
    }
}

/// Refuses mounts that lie nowhere.
///
/// # Errors
/// An option that is none; a target that is the root.
pub fn check_targets(run: &Run, config: &Configuring) -> Result<()> {
    for spec in &run.mounts {
        let mount = spec.mount()?;
        let (Mount::Bind { target, .. }
        | Mount::Cache { target, .. }
        | Mount::Tmpfs { target, .. }) = &mount
        else {
            let (Mount::Secret { target, .. } | Mount::Ssh { target, .. }) = &mount else {
                continue;
            };
            if let Some(target) = target {
                target_path(config, target)?;
            }
            continue;
        };
        target_path(config, target)?;
    }
    Ok(())
}

/// Relative targets, and the missing one, begin at the working directory.
fn target_path(config: &Configuring, target: &str) -> Result<String> {
    let path = config.absolute(target);
    match path.trim_end_matches('/') {
        "" => Err(BuildError::invalid(
            "mount target `/`",
            "a mount must be below `/`",
        )),
        path => Ok(path.to_string()),
    }
}

fn owned(ownership: Ownership, mode: u32) -> (u32, u32, u32) {
    (
        ownership.uid.unwrap_or(0),
        ownership.gid.unwrap_or(0),
        ownership.mode.unwrap_or(mode),
    )
}
