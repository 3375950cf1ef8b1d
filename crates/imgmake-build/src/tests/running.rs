//! RUN up to the helper process: command, environment, mounts, key.

use super::*;

fn prepared(run: &str, request: &BuildRequest) -> Result<run::prepare::Prepared> {
    let text = format!("FROM scratch\n{run}");
    let parsed = imgmake_dockerfile::Dockerfile::parse(text.as_bytes()).unwrap();
    let imgmake_dockerfile::Instruction::Run(run) = &parsed.stages[0].instructions[0].value else {
        panic!("not a RUN: {run}");
    };
    let mut config = crate::define::config::Configuring::default();
    config.image.config.set_env("E", "env");
    config.image.config.working_dir = "/w".into();
    let mut state =
        crate::define::state::ImageState::new(config, Vec::new(), request.platforms[0].clone());
    state.declare("A", Some("arg".into()));
    state.declare("E", Some("hidden".into()));
    state.supersede("E");
    let loaded = crate::define::definition::ParsedDefinition::read(request)?;
    let context = Arc::new(loaded.context(request, None)?);
    run::prepare::prepare(run, &state, request, None, &mut |_, _| {
        Ok(run::mounted::Mounted {
            tree: context.clone(),
            source: worker::TreeSource::Empty,
            context: Some(context.clone()),
            hashes: crate::files::hash::FileHashes {
                stats: Default::default(),
                cancel: Default::default(),
            },
        })
    })
}

#[test]
fn a_run_sees_the_env_after_an_arg_and_its_key_no_secret_and_no_proxy() {
    let p = Project::new();
    let mut request = p.request("FROM scratch\n");
    let command = "RUN --mount=type=secret,id=s,env=TOKEN --mount=type=secret,id=s,required echo\n";
    let error = prepared(command, &request).err().unwrap().to_string();
    assert!(error.contains("secret `s` is required"), "{error}");
    let secret = |text: &str| SecretSource::Value(text.into());
    request.secrets.insert("s".into(), secret("one"));
    let first = prepared(command, &request).unwrap();
    assert_eq!(first.request.argv, ["/bin/sh", "-c", "echo"]);
    let env: Vec<String> = first
        .request
        .env
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    assert_eq!(env, ["E=env", "A=arg", "TOKEN=one"]);
    assert!(matches!(
        &first.request.mounts[..],
        [worker::RunMount::Secret { target, mode: 0o400, .. }] if target == "/run/secrets/s"
    ));
    assert_eq!(
        first.history,
        "RUN |2 A=arg E=env /bin/sh -c echo # buildkit"
    );
    request.secrets.insert("s".into(), secret("two"));
    request.args.insert("HTTP_PROXY".into(), "http://p".into());
    let second = prepared(command, &request).unwrap();
    assert_eq!(first.key.hex(), second.key.hex());
    let proxies = second.request.env.iter().filter(|(_, v)| v == "http://p");
    assert_eq!(proxies.count(), 2, "both spellings");
}

#[test]
fn a_secret_that_cannot_be_had_is_an_error_of_the_step_that_runs() {
    let p = Project::new();
    let mut request = p.request("FROM scratch\n");
    let command = "RUN --mount=type=secret,id=s,env=TOKEN,required --mount=type=secret,id=t echo\n";
    for name in ["s", "t"] {
        let value = SecretSource::Value(b"1".to_vec());
        request.secrets.insert(name.into(), value);
    }
    let had = prepared(command, &request).unwrap();
    assert!(had.absent.is_none());
    for name in ["s", "t"] {
        let why = format!("the variable `{name}` is not set");
        let absent = SecretSource::Absent { why };
        request.secrets.insert(name.into(), absent);
    }
    let lacking = prepared(command, &request).unwrap();
    assert_eq!(had.key.hex(), lacking.key.hex());
    let error = lacking.absent.unwrap().to_string();
    assert!(error.contains("secret `s` not found"), "{error}");
    for (name, is_error) in [("t", false), ("s", true)] {
        let why = "the variable `V` is not set".to_string();
        let value = SecretSource::Value(b"1".to_vec());
        request.secrets.insert("s".into(), value);
        request
            .secrets
            .insert(name.into(), SecretSource::Empty { why });
        let empty = prepared(command, &request).unwrap();
        assert_eq!(had.key.hex(), empty.key.hex());
        assert_eq!(empty.absent.is_some(), is_error, "{name}");
    }
}

#[test]
fn a_bind_mount_counts_by_content_and_a_cache_by_name() {
    let p = Project::new();
    p.write("src/a", "1");
    let request = p.request("FROM scratch\n");
    let bind = "RUN --mount=source=src,target=/s --mount=type=cache,target=c make\n";
    let first = prepared(bind, &request).unwrap();
    assert!(matches!(
        &first.request.mounts[1],
        worker::RunMount::Cache { target, mode: 0o755, .. } if target == "/w/c"
    ));
    let again = prepared(bind, &request).unwrap();
    assert_eq!(first.key.hex(), again.key.hex());
    p.write("src/a", "2");
    let changed = prepared(bind, &request).unwrap();
    assert_ne!(first.key.hex(), changed.key.hex());
    let gone = "RUN --mount=source=gone,target=/s make\n";
    let error = prepared(gone, &request).err().unwrap().to_string();
    assert!(
        error.contains("source `gone` of the mount not found"),
        "{error}"
    );
}

#[test]
fn scripts_run_by_their_own_interpreter() {
    let p = Project::new();
    let request = p.request("FROM scratch\n");
    let run = prepared("RUN <<go\n#!/usr/bin/python3\nprint(1)\ngo\n", &request).unwrap();
    assert_eq!(run.request.argv, ["/dev/pipes/go"]);
    assert_eq!(run.request.files[0].0, "/dev/pipes/go");
    assert_eq!(run.request.files[0].2, 0o755);
    let shell = prepared("RUN <<go\necho 1\necho 2\ngo\n", &request).unwrap();
    assert_eq!(shell.request.argv, ["/bin/sh", "-c", "echo 1\necho 2\n"]);
}
