//! RUN, CMD, ENTRYPOINT, HEALTHCHECK and their flags.

use super::*;

#[test]
fn json_is_exec_form_and_everything_else_is_shell_form() {
    assert_eq!(run("RUN [\"a\", \"b c\"]").command, exec(&["a", "b c"]));
    assert_eq!(run("RUN ['a']").command, shell("['a']"));
    assert_eq!(run("RUN [ -f x ] && y").command, shell("[ -f x ] && y"));
    assert_eq!(one("CMD []"), Instruction::Cmd(exec(&[])));
    assert_eq!(
        one("entrypoint x $Y"),
        Instruction::Entrypoint(shell("x $Y"))
    );
    assert_eq!(
        one("SHELL [\"sh\",\"-c\"]"),
        Instruction::Shell(vec!["sh".into(), "-c".into()])
    );
}

#[test]
fn run_takes_mounts_network_and_security() {
    let run = run(
        "RUN --mount=type=cache,target=/c --mount=type=bind,source=.,target=/s,rw --network=none --security=insecure make",
    );
    assert_eq!(run.mounts.len(), 2);
    assert!(matches!(
        run.mounts[1].mount(),
        Ok(Mount::Bind {
            access: Access::ReadWrite,
            ..
        })
    ));
    assert_eq!(
        (run.network, run.security),
        (RunNetwork::None, RunSecurity::Insecure)
    );
    assert_eq!(run.command, shell("make"));
}

#[test]
fn healthchecks_have_five_flags() {
    let Instruction::Healthcheck(Healthcheck::Check(check)) = one(
        "HEALTHCHECK --interval=5m --timeout=3s --start-period=1s --start-interval=500ms --retries=4 CMD curl x",
    ) else {
        panic!("no check");
    };
    assert_eq!(check.interval, Some(Duration::from_secs(300)));
    assert_eq!(check.start_interval, Some(Duration::from_millis(500)));
    assert_eq!((check.retries, check.command), (Some(4), shell("curl x")));
    assert_eq!(
        one("healthcheck none"),
        Instruction::Healthcheck(Healthcheck::None)
    );
}

#[test]
fn mistakes_in_commands_are_errors() {
    for line in [
        "RUN []",
        "SHELL sh -c",
        "SHELL []",
        "RUN [1]",
        "RUN --mount=typ=bind x",
        "RUN --net=host x",
        "RUN --network=lan x",
        "RUN --device=gpu x",
        "HEALTHCHECK",
        "HEALTHCHECK CMD",
        "HEALTHCHECK curl x",
        "HEALTHCHECK --interval=1 CMD x",
        "HEALTHCHECK --retries=-1 CMD x",
        "HEALTHCHECK NONE x",
        "HEALTHCHECK --interval=1s NONE",
        "CMD --x y",
        "STOPSIGNAL --x y",
        "ARG --x y",
    ] {
        error(line);
    }
}
