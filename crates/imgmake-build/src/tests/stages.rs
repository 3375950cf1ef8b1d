//! Stages, triggers, arguments, named contexts, platforms, manifest steps.

use super::*;

#[test]
fn stages_that_the_image_does_not_need_are_built_where_they_are_asked_for() {
    let p = Project::new();
    p.write("a", "1").write("b", "2");
    let file = "FROM scratch AS test\nCOPY b /\nFROM scratch AS broken\nCOPY gone /\nFROM scratch\nCOPY a /\n";
    let plain = p.run(&p.request(file)).unwrap();
    assert_eq!(plain.built.steps_run, 1);
    let also = |also: AlsoStages| {
        p.run(&BuildRequest {
            also,
            ..p.request(file)
        })
    };
    let image = also(AlsoStages::Named(vec!["test".into()])).unwrap();
    assert_eq!((image.built.steps_run, image.built.steps_cached), (1, 1));
    assert_eq!(image.built.root.digest, plain.built.root.digest);
    let error = |also_stages| format!("{:#}", also(also_stages).err().unwrap());
    assert!(error(AlsoStages::Earlier).contains("`gone`"));
    let unknown = error(AlsoStages::Named(vec!["tset".into()]));
    assert!(unknown.contains("stage `tset` not found"), "{unknown}");
}

#[test]
fn only_reached_stages_are_built_and_stages_run_side_by_side() {
    let p = Project::new();
    p.write("f", "x");
    let image = p.build(
        "FROM scratch AS unused\nCOPY gone /\nFROM scratch AS a\nCOPY f /a\nFROM scratch AS b\nCOPY f /b\n\
         FROM a AS c\nENV X=1\nFROM scratch\nCOPY --from=c /a /\nCOPY --from=B /b /\nCOPY --from=1 /a /again\n",
    );
    assert_eq!(
        image.files(),
        ["644 0:0 a 1", "644 0:0 b 1", "644 0:0 again 1"]
    );
    let error =
        p.error("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n");
    assert!(
        error.contains("Dockerfile:2") && error.contains("later stage"),
        "{error}"
    );
}

#[test]
fn arguments_are_scoped_and_env_beats_them() {
    let p = Project::new();
    let image = p.build(
        "ARG G=global\nFROM scratch AS a\nARG G\nARG S=stage\nENV G1=$G S1=$S\nFROM a AS b\nENV S2=$S\nFROM scratch\nARG T=2\nENV T=3\nENV U=$T NO=$S PLAT=$TARGETARCH\nARG TARGETARCH\nENV P2=$TARGETARCH\nCOPY --from=b / /\n",
    );
    assert_eq!(
        image.config.config.env[1..],
        ["T=3", "U=3", "NO=", "PLAT=", "P2=amd64"]
    );
    let inherits = p.build("FROM scratch AS a\nARG S=stage\nFROM a\nENV S2=$S\n");
    assert_eq!(inherits.config.config.env[1..], ["S2=stage"]);
}

#[test]
fn onbuild_triggers_run_in_the_child_and_are_gone_there() {
    let p = Project::new();
    p.write("f", "x").write("g", "y");
    let image = p.build("FROM scratch AS tools\nCOPY g /g\nFROM scratch AS base\nONBUILD COPY f /from-trigger\nONBUILD COPY --from=tools /g /tool\nFROM base\nCOPY g /own\n");
    assert_eq!(
        image.files(),
        ["644 0:0 from-trigger 1", "644 0:0 tool 1", "644 0:0 own 1"]
    );
    assert!(image.config.config.on_build.is_empty());
}

#[test]
fn named_contexts_stand_in_for_stages_and_images() {
    let p = Project::new();
    p.write("f", "x");
    let proto = p.dir.path().join("proto");
    std::fs::create_dir_all(&proto).unwrap();
    std::fs::write(proto.join("a.proto"), "1").unwrap();
    std::fs::write(proto.join(".dockerignore"), "*.md\n.dockerignore").unwrap();
    std::fs::write(proto.join("b.md"), "1").unwrap();
    let base = p.build("FROM scratch\nCOPY f /base\nENV FROM_BASE=1\n");
    let mut request = p.request("FROM alpine:latest\nCOPY --from=proto . /p/\n");
    request
        .contexts
        .insert("proto".into(), NamedContext::Path(proto.clone()));
    request.contexts.insert(
        "alpine".into(),
        NamedContext::Target(base.built.root.clone()),
    );
    let image = p.run(&request).unwrap();
    assert_eq!(image.layers[0], ["644 0:0 base 1"]);
    assert_eq!(image.layers[1].len(), 2);
    assert_eq!(image.config.config.env[1], "FROM_BASE=1");
    let mut request = p.request("FROM proto\n");
    request
        .contexts
        .insert("proto".into(), NamedContext::Path(proto));
    assert_eq!(p.run(&request).unwrap().layers[0].len(), 1);
}

#[test]
fn platforms_become_one_index() {
    let p = Project::new();
    let mut request = p.request("FROM scratch\nARG TARGETARCH\nCOPY <<f /f\n$TARGETARCH\nf\n");
    request.platforms = vec![
        "linux/amd64".parse().unwrap(),
        "linux/arm64".parse().unwrap(),
    ];
    let built = build(&request, &p.engine).unwrap();
    let bytes = p
        .engine
        .store
        .read_blob(&built.root.digest, 1 << 20)
        .unwrap();
    let index: imgmake_oci::image::ImageIndex = from_json(&bytes).unwrap();
    let platforms: Vec<String> = index
        .manifests
        .iter()
        .map(|m| m.platform.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_ne!(index.manifests[0].digest, index.manifests[1].digest);
}

#[test]
fn build_arguments_beat_those_of_platforms_in_from() {
    let p = Project::new();
    let dockerfile =
        "FROM --platform=$BUILDPLATFORM scratch\nARG TARGETARCH\nCOPY <<f /f\n$TARGETARCH\nf\n";
    let mut request = p.request(dockerfile);
    let own = inputs(&request, &p.engine).unwrap();
    for (name, value) in [("BUILDPLATFORM", "linux/s390x"), ("TARGETARCH", "mine")] {
        request.args.insert(name.into(), value.into());
    }
    let image = p.run(&request).unwrap();
    assert_eq!(image.config.architecture, "s390x");
    assert_eq!(image.layers[0], ["644 0:0 f 5"]);
    let found = inputs(&request, &p.engine).unwrap();
    let args = |inputs: &imgmake_core::fingerprint::Inputs| {
        let args = inputs.entries().iter().filter(|input| input.kind == "arg");
        args.map(|input| input.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(args(&own), Vec::<String>::new());
    assert_eq!(args(&found), ["BUILDPLATFORM", "TARGETARCH"]);
    request.args.insert("BUILDPLATFORM".into(), "none".into());
    let error = p.run(&request).err().unwrap().to_string();
    assert!(error.contains("Dockerfile:1"), "{error}");
}

#[test]
fn steps_of_a_manifest_need_no_dockerfile() {
    let p = Project::new();
    p.write("web/index.html", "hi");
    let mut request = p.request("");
    request.definition = BuildDefinition::Steps {
        base: "scratch".into(),
        steps: vec![
            Step::Copy {
                sources: vec!["web/".into()],
                to: "/srv/".into(),
                mode: Some("0640".into()),
                owner: Some("65532:65532".into()),
            },
            Step::Layer(vec![
                Step::File {
                    path: "/etc/motd".into(),
                    content: "$hello\n".into(),
                    mode: None,
                    owner: None,
                },
                Step::Symlink {
                    path: "/srv/current".into(),
                    to: "/srv/v1".into(),
                },
                Step::Mkdir {
                    path: "/var/cache".into(),
                    mode: Some("1777".into()),
                    owner: Some("3".into()),
                },
            ]),
            Step::Env(vec![("LANG".into(), "$C".into())]),
            Step::Cmd(vec!["/x".into()]),
        ],
    };
    let image = p.run(&request).unwrap();
    assert_eq!(
        image.layers[0],
        ["640 65532:65532 srv/", "640 65532:65532 srv/index.html 2"]
    );
    assert_eq!(
        image.layers[1],
        [
            "755 0:0 etc/",
            "644 0:0 etc/motd 7",
            "640 65532:65532 srv/",
            "777 0:0 srv/current -> /srv/v1",
            "755 3:3 var/",
            "1777 3:3 var/cache/"
        ]
    );
    assert_eq!(image.config.config.env[1], "LANG=$C");
    assert_eq!(image.config.config.cmd.unwrap(), ["/x"]);
}
