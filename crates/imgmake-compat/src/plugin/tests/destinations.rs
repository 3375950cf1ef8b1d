//! Names, tags, and whether there is a push.

use super::*;

/// Where the image to push comes from.
fn pushed_from(step: &Step) -> &PushFrom {
    let mut kinds = step.manifest.targets.iter().map(|target| &target.kind);
    let push = kinds.find_map(|kind| match kind {
        TargetKind::Push(push) => Some(&push.from),
        _ => None,
    });
    push.expect("the step pushes")
}

#[test]
fn build_and_push_is_what_happens_when_nothing_else_is_said() {
    let step = step(
        "kaniko-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_TAGS", "1, 2"),
            ("PLUGIN_DOCKERFILE", "./docker/Dockerfile"),
        ],
    );
    assert!(step.pushes() && step.build().is_some());
    assert_eq!(step.names, ["acme/app:1", "acme/app:2"]);
}

#[test]
fn a_tar_path_with_a_push_gives_both() {
    let step = step(
        "kaniko-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_TAR_PATH", "out/image.tar"),
        ],
    );
    assert!(step.pushes());
    let tar = build(&step).tar.as_ref().unwrap();
    assert_eq!(
        (tar.path.value.as_str(), tar.format),
        ("out/image.tar", TarFormat::Docker)
    );
    assert_eq!(step.results.image_tar.as_deref(), Some("out/image.tar"));
}

#[test]
fn build_only_is_asked_for_in_every_family() {
    for (name, variable) in [
        ("kaniko-docker", "PLUGIN_NO_PUSH"),
        ("drone-docker", "PLUGIN_DRY_RUN"),
        ("drone-docker", "PLUGIN_NO_PUSH"),
        ("buildah-docker", "PLUGIN_DRY_RUN"),
        ("buildah-docker", "PLUGIN_NO_PUSH"),
    ] {
        assert!(
            !step(name, &[("PLUGIN_REPO", "acme/app"), (variable, "true")]).pushes(),
            "{name} {variable}"
        );
    }
}

#[test]
fn push_only_takes_the_archive_or_the_named_image() {
    let tar = step(
        "kaniko-ecr",
        &[
            ("PLUGIN_REPO", "app"),
            ("PLUGIN_REGISTRY", "1.dkr.ecr.eu-west-1.amazonaws.com"),
            ("PLUGIN_PUSH_ONLY", "true"),
            ("PLUGIN_SOURCE_TAR_PATH", "image.tar"),
        ],
    );
    let archive = PushFrom::Tar {
        path: plain("image.tar"),
        pick: None,
    };
    assert_eq!(pushed_from(&tar), &archive);
    assert_eq!(tar.preparations.archive.as_deref(), Some("image.tar"));
    assert_eq!(tar.names, ["1.dkr.ecr.eu-west-1.amazonaws.com/app:latest"]);
    let named = step(
        "drone-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_PUSH_ONLY", "true"),
            ("PLUGIN_SOURCE_IMAGE", "acme/other:3"),
        ],
    );
    assert_eq!(
        named.preparations.image,
        Some(NamedImage {
            name: "acme/other:3".into(),
            remote: true
        })
    );
    let own = step(
        "kaniko-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_TAGS", "7"),
            ("PLUGIN_PUSH_ONLY", "true"),
        ],
    );
    assert_eq!(
        own.preparations.image,
        Some(NamedImage {
            name: "acme/app:7".into(),
            remote: false
        })
    );
    assert_eq!(pushed_from(&own), &PushFrom::Image(plain("acme/app:7")));
    let buildah = step(
        "buildah-docker",
        &[
            ("PLUGIN_REPO", "acme/app"),
            ("PLUGIN_TAG", "7"),
            ("PLUGIN_PUSH_ONLY", "true"),
            ("PLUGIN_SOURCE_TAR_PATH", "image.tar"),
        ],
    );
    assert_eq!((pushed_from(&buildah), buildah.pushes()), (&archive, true));
}

#[test]
fn a_clouds_plugin_never_falls_back_to_the_general_registry() {
    for name in ["kaniko-ecr", "drone-ecr", "kaniko-acr", "drone-acr"] {
        let message = refused(name, &[("PLUGIN_REPO", "app")]);
        assert!(message.contains("PLUGIN_REGISTRY"), "{name}: {message}");
        let built = step(name, &[("PLUGIN_REPO", "app"), ("PLUGIN_NO_PUSH", "true")]);
        assert_eq!(built.names, ["app:latest"], "{name}");
    }
    let google = step("drone-gcr", &[("PLUGIN_REPO", "project/app")]);
    assert_eq!(google.names, ["gcr.io/project/app:latest"]);
    let heroku = step(
        "drone-heroku",
        &[("PLUGIN_APP", "shop"), ("PLUGIN_API_KEY", "k")],
    );
    assert_eq!(heroku.names, ["registry.heroku.com/shop/web:latest"]);
}

#[test]
fn a_ref_that_is_not_for_publishing_fails_kaniko_and_satisfies_the_others() {
    let pairs = [
        ("PLUGIN_REPO", "a"),
        ("PLUGIN_AUTO_TAG", "true"),
        ("PLUGIN_TAR_PATH", "a.tar"),
        ("DRONE_COMMIT_REF", "refs/heads/topic"),
        ("DRONE_REPO_BRANCH", "main"),
    ];
    assert!(refused("kaniko-docker", &pairs).contains("DRONE_COMMIT_REF"));
    for name in ["drone-docker", "buildah-docker"] {
        assert!(matches!(
            outcome(name, &pairs).unwrap(),
            Outcome::NothingToDo(_)
        ));
    }
}

#[test]
fn a_destination_may_bring_its_own_tag() {
    let step = step(
        "drone-docker",
        &[
            ("PLUGIN_DESTINATIONS", "h:5000/a/b:own; h:5000/c;d.io/e:x"),
            ("PLUGIN_TAGS", "1,2"),
        ],
    );
    assert_eq!(
        step.names,
        ["h:5000/a/b:own", "h:5000/c:1", "h:5000/c:2", "d.io/e:x"]
    );
}

#[test]
fn a_wrong_tag_is_called_one_with_the_setting_that_it_comes_from() {
    for (name, pairs, says) in [
        (
            "kaniko-docker",
            &[("PLUGIN_TAGS", "1,feature/x")][..],
            "invalid tag `feature/x` (PLUGIN_TAGS)",
        ),
        (
            "drone-docker",
            &[("PLUGIN_TAG", "-1")],
            "invalid tag `-1` (PLUGIN_TAG)",
        ),
        (
            "kaniko-docker",
            &[
                ("PLUGIN_AUTO_TAG", "true"),
                ("PLUGIN_AUTO_TAG_SUFFIX", "a b"),
            ],
            "invalid tag `a b` (PLUGIN_AUTO_TAG_SUFFIX)",
        ),
        (
            "drone-docker",
            &[("PLUGIN_BUILDX_OPTIONS", "--tag=a:b@c")],
            "invalid tag `b@c` (PLUGIN_BUILDX_OPTIONS: --tag)",
        ),
        (
            "kaniko-docker",
            &[("PLUGIN_DESTINATIONS", "reg.io/a:.1")],
            "invalid tag `.1` (PLUGIN_DESTINATIONS)",
        ),
    ] {
        let message = refused(name, &[&[("PLUGIN_REPO", "a")][..], pairs].concat());
        assert!(message.starts_with(says), "{message}");
        assert!(message.contains("128 letters"), "{message}");
    }
}
