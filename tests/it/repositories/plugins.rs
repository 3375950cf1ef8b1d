//! A plugin's context may be a repository.

use super::*;
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::Registry;
use crate::ground::web::{Transport, Web};

/// `app.git` with a Dockerfile at its root and one in a directory.
fn served(web: &Web) {
    let work = temporary();
    git(work.path(), &["init", "-q"]);
    write(work.path(), "Dockerfile", "FROM scratch\nCOPY . /\n");
    write(
        work.path(),
        "sub/Dockerfile",
        "FROM scratch\nCOPY inner /\n",
    );
    write(work.path(), "sub/inner", "inner\n");
    commit(work.path(), "one");
    git(work.path(), &["checkout", "-q", "-b", "topic"]);
    write(work.path(), "of-topic", "topic\n");
    commit(work.path(), "two");
    git(work.path(), &["checkout", "-q", "main"]);
    publish(web, work.path(), "app.git");
}

/// The files of the image that a plugin pushes.
fn pushed(registry: &Registry, plugin: &str, variables: &[(&str, &str)]) -> BTreeSet<String> {
    let workspace = temporary();
    let image = format!("{}/team/{plugin}", registry.host);
    let mut imgmake = Imgmake::new()
        .with("PATH", "/nowhere")
        .with("GIT_PULL_METHOD", "http")
        .with("PLUGIN_REPO", &image)
        .with("PLUGIN_REGISTRY", &registry.host)
        .with("PLUGIN_TAGS", "1");
    for (name, value) in variables {
        imgmake = imgmake.with(name, value);
    }
    imgmake.ok(workspace.path(), &["plugin", "--as", plugin]);
    let left = std::fs::read_dir(imgmake.store().join("tmp")).map(Iterator::count);
    assert_eq!(left.unwrap_or(0), 0, "what was fetched is gone");
    let tree = crate::ground::tree::unpack(&format!("docker://{image}:1")).tree;
    let names = tree
        .into_keys()
        .map(|name| name.trim_matches('/').to_string());
    names
        .filter(|name| !name.is_empty() && !name.contains(".git/"))
        .collect()
}

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(ToString::to_string).collect()
}

#[test]
fn kanikos_plugins_take_kanikos_contexts_and_the_others_dockers() {
    let (web, registry) = (Web::start(Transport::Plain, ""), Registry::start());
    served(&web);
    let kaniko = format!("git://{}/app.git", web.host);
    let docker = format!("http://{}/app.git", web.host);
    let of = |plugin: &str, context: &str, more: &[(&str, &str)]| {
        pushed(
            &registry,
            plugin,
            &[&[("PLUGIN_CONTEXT", context)][..], more].concat(),
        )
    };
    let topic = [
        "Dockerfile",
        "of-topic",
        "sub",
        "sub/Dockerfile",
        "sub/inner",
    ];
    let with_git = names(&[&topic[..], &[".git"]].concat());
    assert_eq!(
        of("kaniko-docker", &format!("{kaniko}#topic"), &[]),
        with_git
    );
    let sub = [("PLUGIN_CONTEXT_SUB_PATH", "sub")];
    assert_eq!(of("kaniko-docker", &kaniko, &sub), names(&["inner"]));
    for plugin in ["drone-docker", "buildah-docker"] {
        assert_eq!(
            of(plugin, &format!("{docker}#topic"), &[]),
            names(&topic),
            "{plugin}"
        );
        assert_eq!(
            of(plugin, &format!("{docker}#main:sub"), &[]),
            names(&["inner"])
        );
        let keep = [("PLUGIN_BUILD_ARGS", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1")];
        assert_eq!(
            of(plugin, &format!("{docker}#topic"), &keep),
            with_git,
            "{plugin}"
        );
    }
}

#[test]
fn a_context_that_cannot_be_had_is_named_with_what_to_do() {
    let web = Web::start(Transport::Plain, "");
    served(&web);
    let workspace = temporary();
    let docker = format!("http://{}/app.git", web.host);
    for (plugin, context, says) in [
        (
            "drone-docker",
            format!("{docker}#topik"),
            "did you mean `topic`?",
        ),
        (
            "drone-docker",
            format!("{docker}#main:sup"),
            "has no directory `sup`",
        ),
        (
            "drone-docker",
            format!("http://{}/gone.git", web.host),
            "not found",
        ),
        (
            "drone-docker",
            "s3://bucket/x.tgz".into(),
            "a context at `s3://`",
        ),
        (
            "kaniko-docker",
            format!("git://{}/app.git#topik", web.host),
            "did you mean `topic`?",
        ),
    ] {
        let imgmake = Imgmake::new()
            .with("GIT_PULL_METHOD", "http")
            .with("PLUGIN_REPO", "localhost:1/x")
            .with("PLUGIN_CONTEXT", &context);
        imgmake.refused(
            workspace.path(),
            &["plugin", "--as", plugin],
            1,
            &["PLUGIN_CONTEXT=", says],
        );
    }
}

#[test]
fn a_bake_file_names_repositories_as_contexts() {
    let (web, registry) = (Web::start(Transport::Plain, ""), Registry::start());
    served(&web);
    let bake = r#"
variable "HOST" {}
variable "GIT" {}
group "default" { targets = ["topic", "sub", "mixed"] }
target "topic" {
  context = "${GIT}/app.git#topic"
  tags = ["${HOST}/team/topic:1"]
}
target "sub" {
  context = "${GIT}/app.git#main:sub/"
  tags = ["${HOST}/team/sub:1"]
}
target "mixed" {
  contexts = { src = "${GIT}/app.git#topic" }
  dockerfile-inline = "FROM scratch\nCOPY --from=src of-topic /\n"
  tags = ["${HOST}/team/mixed:1"]
}
"#;
    let workspace = temporary();
    write(workspace.path(), "docker-bake.hcl", bake);
    let git = format!("http://{}", web.host);
    let imgmake = || {
        Imgmake::new()
            .with("PLUGIN_BAKE_FILE", "docker-bake.hcl")
            .with("HOST", &registry.host)
            .with("GIT", &git)
    };
    let plugin = ["plugin", "--as", "drone-docker"];
    imgmake().ok(workspace.path(), &plugin);
    let files = |name: &str| {
        let image = format!("docker://{}/team/{name}:1", registry.host);
        let tree = crate::ground::tree::unpack(&image).tree.into_keys();
        let names = tree.map(|name| name.trim_matches('/').to_string());
        names
            .filter(|name| !name.is_empty())
            .collect::<BTreeSet<_>>()
    };
    let topic = [
        "Dockerfile",
        "of-topic",
        "sub",
        "sub/Dockerfile",
        "sub/inner",
    ];
    assert_eq!(files("topic"), names(&topic));
    assert_eq!(files("sub"), names(&["inner"]));
    assert_eq!(files("mixed"), names(&["of-topic"]));
    // What cannot be fetched says where it stands.
    let gone = imgmake().with(
        "PLUGIN_BAKE_OPTIONS",
        "--set=topic.context=http://127.0.0.1:1/gone.git topic",
    );
    gone.refused(workspace.path(), &plugin, 1, &["`topic`", "gone.git"]);
    let typo = bake.replace("#topic\"\n  tags", "#topik\"\n  tags");
    write(workspace.path(), "docker-bake.hcl", typo);
    imgmake().refused(
        workspace.path(),
        &plugin,
        1,
        &["`topic`", "topik", "did you mean `topic`?"],
    );
}
