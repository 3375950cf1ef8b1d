//! Manifests as a whole, and single attributes.

use super::*;

#[test]
fn a_first_manifest_loads() {
    let manifest = load_text("build app { context \".\" }").unwrap();
    assert_eq!(manifest.targets[0].name.value, "app");
}

#[test]
fn the_complete_example_loads() {
    let manifest = load_text(COMPLETE)
        .unwrap_or_else(|found| panic!("{}", render(&found, "imgmake.kdl", COMPLETE, false, 100)));
    assert_eq!(manifest.targets.len(), 10);
    assert_eq!(manifest.disabled[0].value, "release");
    assert_eq!(manifest.registries.len(), 5);
}

#[test]
fn a_manifest_survives_its_cache() {
    let manifest = load_text(COMPLETE).unwrap();
    let bytes = postcard::to_stdvec(&manifest).unwrap();
    assert_eq!(postcard::from_bytes::<Manifest>(&bytes).unwrap(), manifest);
}

#[test]
fn clouds_have_the_options_that_their_registries_need() {
    let text = r#"
registry ecr "1.dkr.ecr.eu-west-1.amazonaws.com" {
    auth aws-ecr role=r external-id=e session-name=s web-identity-token=(secret)t scan-on-push=#true lifecycle-policy="ecr/l.json" repository-policy="{}" sts-endpoint="https://sts" region=x
}
registry acr "a.azurecr.io" { auth azure tenant=t client-id=c certificate="acr.pem" }
registry own "b.azurecr.io" { auth azure managed-identity=#true client-id=c }
registry gar "x.pkg.dev" { auth gcp access-token=(secret)t }
secret t env="T"
build a { context x }
"#;
    let loaded = load_text(text).unwrap();
    let Some(AuthNode::AwsEcr(options)) = loaded.registries.first().map(|r| r.auth.clone()) else {
        panic!("{:?}", loaded.registries)
    };
    assert_eq!(options.len(), 9);
    assert_eq!(
        options["scan-on-push"],
        PasswordFrom::Literal("true".into())
    );
    let Some(AuthNode::Azure(options)) = loaded.registries.get(2).map(|r| r.auth.clone()) else {
        panic!("{:?}", loaded.registries)
    };
    assert_eq!(
        options["managed-identity"],
        PasswordFrom::Literal("true".into())
    );
    let wrong = "registry ecr \"a.io\" { auth aws-ecr scan-on-push=yes }\nbuild a { context x }";
    let refused = load_text(wrong).unwrap_err();
    assert!(refused[0].message.contains("boolean"), "{refused:?}");
}

#[test]
fn a_written_password_is_a_warning_and_never_shown() {
    let text = "registry hub \"docker.io/acme\" { auth basic user=x password=\"hunter2\" }\nbuild a { context x }";
    let (manifest, warnings) = load("x.kdl", text, &Facts::default(), &read_nothing).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].severity, Severity::Warning);
    assert!(!format!("{manifest:?}").contains("hunter2"));
    let facts = facts(&[("A", "hunter2")], &[("B", "hunter2")]);
    assert!(!format!("{facts:?}").contains("hunter2"));
}

#[test]
fn the_form_of_added_layers_is_read_and_paths_are_absolute() {
    let text = "build app { context \".\"; squash; ignore-paths \"/var/run\" \"/tmp/\"; also-stages \"test\" }";
    let manifest =
        load_text(text).unwrap_or_else(|f| panic!("{}", render(&f, "x", text, false, 100)));
    let build = build_of(&manifest, "app");
    assert!(build.squash);
    assert_eq!((build.ignore_paths.len(), build.also_stages.len()), (2, 1));
    for (wrong, says) in [
        ("ignore-paths \"var/run\"", "cannot be ignored"),
        ("ignore-paths \"/\"", "cannot be ignored"),
        ("ignore-paths \"/a/../b\"", "cannot be ignored"),
        ("ignore-path \"/a\"", "did you mean `ignore-paths`"),
        ("squash \"yes\"", "squash"),
        ("dns \"ns.example\"", "invalid address"),
        ("dns-search \"a b\"", "invalid domain"),
        (
            "from scratch; workdir \"/\"; also-stages \"x\"",
            "and this one has both",
        ),
    ] {
        let text = format!("build app {{ {wrong} }}");
        let failed = load_text(&text)
            .err()
            .unwrap_or_else(|| panic!("{wrong} was taken"));
        let told = render(&failed, "x", &text, false, 100);
        assert!(told.contains(says), "{wrong}:\n{told}");
    }
}
