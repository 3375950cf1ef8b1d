//! Images go into the stores of Docker and Podman, and come out of Docker's, through the daemons' sockets.

use crate::ground::docker::docker;
use crate::ground::images::bases;
use crate::ground::imgmake::Imgmake;
use crate::ground::podman::Podman;
use crate::ground::project::Project;
use crate::ground::registry::Registry;
use crate::ground::{temporary, write};

fn dockerfile() -> String {
    let base = format!("{}/library/busybox", bases().host);
    format!("FROM {base}\nCOPY greeting /greeting\nRUN cp /greeting /copied\n")
}

fn address(socket: &std::path::Path) -> String {
    format!("unix://{}", socket.display())
}

fn project(load: &str) -> Project {
    let manifest = format!(
        "build app {{ context \".\"; tags \"shop/app:1\" \"shop/app:{load}\"; load {load} }}\n"
    );
    Project::new(&manifest)
        .with("Dockerfile", &dockerfile())
        .with("greeting", "hello\n")
}

#[test]
fn docker_runs_what_was_loaded_and_gets_it_again_when_it_was_removed() {
    let mut project = project("docker");
    project.imgmake = Imgmake::new().with("DOCKER_HOST", &address(docker().socket()));
    project.build().succeeded().ran(["app"]);
    let id = docker().ok(&["image", "inspect", "--format", "{{.Id}}", "shop/app:1"]);
    assert!(id.starts_with("sha256:"), "{id}");
    let said = docker().ok(&[
        "run",
        "--rm",
        "--network",
        "host",
        "shop/app:docker",
        "cat",
        "/copied",
    ]);
    assert_eq!(said, "hello\n");
    project.build().succeeded().reused(["app"]);

    docker().ok(&["rmi", "--force", "shop/app:1"]);
    project
        .build()
        .succeeded()
        .ran(["app"])
        .because("app", "docker no longer has shop/app:1");
    assert_eq!(
        docker().ok(&["image", "inspect", "--format", "{{.Id}}", "shop/app:1"]),
        id
    );
}

#[test]
fn podman_runs_no_daemon_but_takes_images_on_its_socket() {
    let podman = Podman::start();
    let mut project = project("podman");
    project.imgmake = Imgmake::new().with("CONTAINER_HOST", &address(&podman.socket()));
    project.build().succeeded().ran(["app"]);
    let images = podman.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(images.contains("shop/app:podman"), "{images}");
    project.build().succeeded().reused(["app"]);
}

#[test]
fn without_a_daemon_it_is_said_where_one_was_looked_for() {
    let project = project("docker");
    let nowhere = Imgmake::new().with("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let says = [
        "there is no Docker daemon",
        "/nowhere/docker.sock",
        "DOCKER_HOST",
    ];
    nowhere.refused(project.path(), &[], 1, &says);
}

#[test]
fn a_step_without_push_loads_and_a_later_one_pushes_what_docker_has() {
    let registry = Registry::start();
    let workspace = temporary();
    write(workspace.path(), "Dockerfile", dockerfile());
    write(workspace.path(), "greeting", "from the step\n");
    let repository = format!("{}/team/app", registry.host);
    let step = |pairs: &[(&str, &str)]| {
        let mut imgmake = Imgmake::new().with("DOCKER_HOST", &address(docker().socket()));
        for (name, value) in pairs {
            imgmake = imgmake.with(name, value);
        }
        imgmake.ok(workspace.path(), &["plugin", "--as", "drone-docker"])
    };
    let name = format!("{repository}:loaded");
    step(&[
        ("PLUGIN_REPO", &repository),
        ("PLUGIN_TAGS", "loaded"),
        ("PLUGIN_DRY_RUN", "true"),
        ("PLUGIN_BUILDX_LOAD", "true"),
    ]);
    let said = docker().ok(&["run", "--rm", "--network", "host", &name, "cat", "/copied"]);
    assert_eq!(said, "from the step\n");
    assert_eq!(registry.tags(), Vec::<String>::new());

    // Another computer's store, the same daemon.
    let ran = step(&[
        ("PLUGIN_REPO", &repository),
        ("PLUGIN_TAGS", "1,2"),
        ("PLUGIN_PUSH_ONLY", "true"),
        ("PLUGIN_SOURCE_IMAGE", &name),
    ]);
    assert!(
        ran.stderr.contains("comes from the Docker daemon"),
        "{ran:?}"
    );
    assert_eq!(registry.tags(), ["team/app:1", "team/app:2"]);
}

#[test]
fn loading_is_only_a_note_where_a_plugin_finds_no_daemon() {
    let workspace = temporary();
    write(
        workspace.path(),
        "Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\n",
    );
    let ran = Imgmake::new()
        .with("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .with("PLUGIN_REPO", "team/app")
        .with("PLUGIN_DRY_RUN", "true")
        .with("PLUGIN_BUILDX_LOAD", "true")
        .ok(workspace.path(), &["plugin", "--as", "drone-docker"]);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        all.contains("there is no docker daemon to load the image into"),
        "{all}"
    );
}

#[test]
fn options_of_buildx_hosts_and_keys_reach_the_steps() {
    let workspace = temporary();
    let base = format!("{}/library/busybox", bases().host);
    let text = format!(
        "FROM {base} AS a\nARG A\nRUN grep -q '10.1.2.3.*db.internal' /etc/hosts && grep -q '10.1.2.4.*other' /etc/hosts\n\
         RUN --mount=type=ssh test -S \"$SSH_AUTH_SOCK\" && echo \"$A\" > /a\nFROM a AS b\nRUN false\n"
    );
    write(workspace.path(), "Dockerfile", text);
    crate::ground::run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            workspace.path().join("key").to_str().unwrap(),
        ],
    );
    let key = std::fs::read_to_string(workspace.path().join("key")).unwrap();
    let secret_line = key.lines().nth(1).unwrap().to_string();
    let ran = Imgmake::new()
        .with("PLUGIN_REPO", "team/app")
        .with("PLUGIN_DRY_RUN", "true")
        .with("PLUGIN_ADD_HOST", "db.internal:10.1.2.3")
        .with("PLUGIN_SSH_AGENT_KEY", &key)
        .with("PLUGIN_BUILDX_OPTIONS_SEMICOLON", "--add-host=other:10.1.2.4;--target=a;--build-arg;A=1,2;--label x=y;--provenance=false;--output=type=oci,dest=out.tar")
        .ok(workspace.path(), &["plugin", "--as", "drone-docker"]);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!all.contains(&secret_line), "{all}");
    let list = crate::ground::run(
        "skopeo",
        &[
            "inspect",
            "--config",
            &format!("oci-archive:{}", workspace.path().join("out.tar").display()),
        ],
    );
    assert!(
        list.contains("\"x\": \"y\"") && list.contains("A=1,2"),
        "{list}"
    );
}
