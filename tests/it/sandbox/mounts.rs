//! Mounts of a RUN: there for the step, gone without a trace.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use imgmake_build::worker::{RunMount, Sharing, TreeSource};
use imgmake_sandbox::IsolationMode;

use super::{Ground, isolation_mode};

#[test]
fn mount_points_leave_no_trace() {
    let ground = Ground::new();
    let mut request = ground.request(
        "stat -c %Y /etc; cat /run/secrets/deep/token; ls /cache /scratch; echo x > /cache/y; \
         cat /etc/resolv.conf > /dev/null; ls -d /sys /proc/1 > /dev/null",
    );
    request.mounts = vec![
        RunMount::Secret {
            target: "/run/secrets/deep/token".to_string(),
            bytes: b"hush\n".to_vec(),
            mode: 0o400,
            uid: 0,
            gid: 0,
        },
        RunMount::Cache {
            id: "c".to_string(),
            target: "/cache".to_string(),
            sharing: Sharing::Shared,
            readonly: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
            seed: None,
        },
        RunMount::Tmpfs {
            target: "/scratch".to_string(),
            size: Some(1 << 20),
        },
    ];
    let ran = ground.run(&request);
    assert_eq!(
        ran.out, "1600000000\nhush\n/cache:\n\n/scratch:\n",
        "{}",
        ran.err
    );
    assert_eq!(ran.paths(), Vec::<&str>::new());
    // What was written to the cache is there in the next step.
    request.argv[2] = "cat /cache/y".to_string();
    assert_eq!(ground.run(&request).out, "x\n");
}

#[test]
fn a_secret_belongs_to_whom_it_says_and_is_read_only() {
    let ground = Ground::new();
    let mut request = ground.request("stat -c '%a %u' /s; cat /s; ! echo x 2>/dev/null > /s");
    request.user = "app".to_string();
    request.mounts = vec![RunMount::Secret {
        target: "/s".to_string(),
        bytes: b"token".to_vec(),
        mode: 0o400,
        uid: 1000,
        gid: 1000,
    }];
    let ran = ground.run(&request);
    assert_eq!(ran.exit, 0, "{}", ran.err);
    assert_eq!(ran.out, "400 1000\ntoken\n");
}

#[test]
fn bind_mounts_read_layers_and_directories_and_lose_what_is_written() {
    let ground = Ground::new();
    let host = ground.dir.path().join("context");
    fs::create_dir_all(host.join("src")).unwrap();
    fs::set_permissions(ground.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(host.join("src/a"), "A").unwrap();
    fs::write(host.join("src/b"), "B").unwrap();
    let bind = |from: TreeSource, source: &str, target: &str, writable: bool| RunMount::Bind {
        from,
        source: source.to_string(),
        target: target.to_string(),
        writable,
    };
    let whole = TreeSource::Host {
        dir: host.to_str().unwrap().to_string(),
        only: None,
    };
    let chosen = TreeSource::Host {
        dir: host.to_str().unwrap().to_string(),
        only: Some(vec!["src/a".to_string()]),
    };
    let mut request = ground.request(
        "cat /w/a /c/src/a /base/passwd | head -c 6; ls /c/src; \
         ! touch /w/x 2>/dev/null; echo y > /rw/a && cat /rw/a",
    );
    request.mounts = vec![
        bind(whole.clone(), "src", "/w", false),
        bind(chosen, "", "/c", false),
        bind(
            TreeSource::Layers(vec![ground.base.clone()]),
            "/etc",
            "/base",
            false,
        ),
        bind(whole, "src", "/rw", true),
    ];
    let ran = ground.run(&request);
    assert_eq!(ran.exit, 0, "{} {}", ran.out, ran.err);
    assert_eq!(ran.out, "AAroota\ny\n");
    assert_eq!(fs::read_to_string(host.join("src/a")).unwrap(), "A");
    assert_eq!(ran.paths(), Vec::<&str>::new());
}

#[test]
fn the_agents_socket_is_there_for_whom_the_step_says_and_leads_to_the_host() {
    let ground = Ground::new();
    let agent = ground.dir.path().join("agent");
    let listener = std::os::unix::net::UnixListener::bind(&agent).unwrap();
    let mut request = ground.request("test -S /run/ssh/a && stat -c '%a %u' /run/ssh/a");
    request.user = "app".to_string();
    request.mounts = vec![RunMount::Ssh {
        socket: agent.to_str().unwrap().to_string(),
        target: "/run/ssh/a".to_string(),
        mode: 0o600,
        uid: 1000,
        gid: 1000,
    }];
    let ran = ground.run(&request);
    assert_eq!(ran.out, "600 1000\n", "{}", ran.err);
    assert_eq!(ran.paths(), Vec::<&str>::new());
    // The helper has tried the agent before it promised one.
    listener.accept().unwrap();
    drop(listener);
    // A program that another test is starting holds it until it is executed.
    while std::os::unix::net::UnixStream::connect(&agent).is_ok() {
        std::thread::yield_now();
    }
    let error = format!("{:#}", ground.try_run(&request).unwrap_err());
    assert!(error.contains("agent"), "{error}");
}

#[test]
fn a_locked_cache_has_one_user_at_a_time_and_a_private_one_is_each_ones_own() {
    let ground = Ground::new();
    let cache = |sharing: Sharing, script: &str| {
        let mut request = ground.request(script);
        request.mounts = vec![RunMount::Cache {
            id: "c".to_string(),
            target: "/c".to_string(),
            sharing,
            readonly: false,
            mode: 0o755,
            uid: 0,
            gid: 0,
            seed: None,
        }];
        request
    };
    let alone = "mkdir /c/busy && sleep 0.3 && rmdir /c/busy";
    let (a, b) = (cache(Sharing::Locked, alone), cache(Sharing::Locked, alone));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ground.run(&a).exit);
        assert_eq!((ground.run(&b).exit, first.join().unwrap()), (0, 0));
    });
    if isolation_mode() == IsolationMode::Chroot {
        // Caches are renamed in and out there: one user at a time, whatever was asked.
        return;
    }
    let (a, b) = (
        cache(Sharing::Private, alone),
        cache(Sharing::Private, alone),
    );
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ground.run(&a).exit);
        assert_eq!((ground.run(&b).exit, first.join().unwrap()), (0, 0));
    });
}
