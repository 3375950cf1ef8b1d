//! What is built, and with which secrets.

use super::*;

fn stage(build: &BuildTarget) -> Option<&str> {
    match &build.recipe {
        RecipeNode::Dockerfile { stage, .. } => stage.as_ref().map(|stage| stage.value.as_str()),
        RecipeNode::Steps { .. } => panic!(),
    }
}

fn values(map: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, String> {
    let owned = map.iter().map(|(k, v)| (k.clone(), v.value.clone()));
    owned.collect()
}

#[test]
fn the_build_is_as_the_flags_say() {
    let made = attempt(
        &[
            "-d",
            "a/b",
            "--build-arg",
            "A=1,2",
            "--build-arg=HOME",
            "--build-arg=NONE",
            "--label",
            "k=v=w",
            "--annotation=n=m",
            "--target=t",
            "--customPlatform=linux/arm64",
            "--compression=zstd",
            "--compression-level=5",
            "--image-format=oci",
            "--reproducible",
            "--cache=false",
        ],
        &[("HOME", "/root"), ("SOURCE_DATE_EPOCH", "7")],
    )
    .unwrap();
    let build = made.build().unwrap();
    assert_eq!(
        values(&build.args),
        environment(&[("A", "1,2"), ("HOME", "/root"), ("NONE", "")])
    );
    assert_eq!(values(&build.labels), environment(&[("k", "v=w")]));
    assert_eq!(values(&build.annotations), environment(&[("n", "m")]));
    assert_eq!(stage(build), Some("t"));
    assert_eq!(texts(&build.platforms), ["linux/arm64"]);
    assert_eq!(build.compression.as_ref().unwrap().value, "zstd");
    assert_eq!(build.compression_level, Some(5));
    assert_eq!(
        (build.format, build.epoch, build.no_cache),
        (ImageFormat::Oci, Some(7), true)
    );
    let quiet = self::build(&["-d", "a/b"]);
    assert_eq!(
        (quiet.epoch, quiet.no_cache, quiet.compression),
        (None, false, None)
    );
    assert_eq!(
        self::build(&["-d", "a", "--image-format=docker"]).format,
        ImageFormat::Docker
    );
}

#[test]
fn secrets_are_files_or_variables_and_never_printed() {
    let secrets = |text: &str, pairs: &[(&str, &str)]| {
        let step = attempt(&["-d", "a", "--secret", text], pairs).unwrap();
        let named = &step.build().unwrap().secrets[0];
        let declared = &step.manifest.secrets[0];
        assert_eq!(declared.name, *named);
        declared.source.clone()
    };
    let set = [("V", "hunter2"), ("i", "x")];
    assert_eq!(secrets("id=x,src=/f", &[]), SecretFrom::File("/f".into()));
    assert_eq!(
        secrets("id=x,source=/f,type=file", &[]),
        SecretFrom::File("/f".into())
    );
    assert_eq!(secrets("id=x,env=V", &set), SecretFrom::Env("V".into()));
    assert_eq!(
        secrets("type=env,src=V,id=x", &set),
        SecretFrom::Env("V".into())
    );
    assert_eq!(secrets("id=i", &set), SecretFrom::Env("i".into()));
    assert_eq!(secrets("id=x", &[]), SecretFrom::File("x".into()));
    for text in [
        "hunter2",
        "token=hunter2",
        "id=x,src=a,env=b",
        "id=x,type=hunter2",
        "src=f",
        "id=x,type=file,env=V",
    ] {
        let message = refused(&["-d", "a", "--secret", text]);
        assert!(
            message.contains("--secret") && !message.contains("hunter2"),
            "{message}"
        );
    }
    // Docker's and BuildKit's builds have an empty one then.
    let unset = SecretFrom::Env("UNSET".into());
    assert_eq!(secrets("id=x,env=UNSET", &[]), unset);
    assert!(refused(&["-d", "a", "--secret=id=x", "--secret=id=x"]).contains("duplicate"));
}

#[test]
fn stages_besides_the_wanted_one_are_built_where_that_is_said() {
    for (arguments, stage, also) in [
        (&[][..], None, &[][..]),
        (&["--target=a"], Some("a"), &[]),
        (&["--target=a, b", "--target=c"], Some("a"), &["b", "c"]),
        (&["--skip-unused-stages"], None, &[]),
        (&["--skip-unused-stages=false"], None, &["*"]),
    ] {
        let built = build(&[&["-d", "a"], arguments].concat());
        assert_eq!(self::stage(&built), stage, "{arguments:?}");
        assert_eq!(texts(&built.also_stages), also, "{arguments:?}");
    }
}

#[test]
fn one_snapshot_and_ignored_paths_reach_the_build() {
    let plain = build(&["-d", "a"]);
    assert!(!plain.squash && plain.ignore_paths.is_empty());
    let asked = build(&[
        "-d",
        "a",
        "--single-snapshot",
        "--ignore-path=/a",
        "--ignore-path",
        "/b/",
        "--whitelist-var-run",
    ]);
    assert!(asked.squash);
    assert_eq!(texts(&asked.ignore_paths), ["/a", "/b/", "/var/run"]);
    assert!(
        build(&["-d", "a", "--ignore-var-run=false"])
            .ignore_paths
            .is_empty()
    );
    assert!(refused(&["-d", "a", "--ignore-path=/"]).contains("--ignore-path=/"));
}

#[test]
fn a_warmed_directory_counts_only_where_it_is_named() {
    assert_eq!(step(&["-d", "a"]).options.warmed, None);
    let warmed = step(&["-d", "a", "--cache-dir=/cache", "--cache-ttl=6h"])
        .options
        .warmed
        .unwrap();
    assert_eq!(warmed.directory, "/cache");
    assert_eq!(warmed.ttl.unwrap().as_secs(), 6 * 3600);
}
