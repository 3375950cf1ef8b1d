//! What a registry lets in, and when that is found out.

use super::{kaniko, project, refused};
use crate::ground::imgmake::Imgmake;
use crate::ground::registry::{Access, Registry};
use crate::ground::web::Web;

#[test]
fn a_push_that_will_be_refused_is_refused_before_the_build() {
    let project = project();
    let registry = Registry::with(&Access {
        basic: Some(("ann", "secret-word")),
        tls: None,
    });
    let destination = format!("--destination={}/app:1", registry.host);
    let arguments = ["-c", "context", &destination, "--tar-path=a.tar"];
    refused(project.path(), &arguments, &[&registry.host, "401"]);
    assert!(!project.path().join("a.tar").exists());
    refused(
        project.path(),
        &[&arguments[..], &["--skip-push-permission-check"]].concat(),
        &[&registry.host],
    );
    assert!(project.path().join("a.tar").exists());

    let name = format!("KANIKO_{}", registry.host.replace('.', "_"));
    let imgmake = Imgmake::new()
        .with(&format!("{name}_USER"), "ann")
        .with(&format!("{name}_PASSWORD"), "secret-word");
    let ran = kaniko(&imgmake, project.path(), &arguments);
    assert_eq!(registry.tags(), ["app:1"]);
    assert!(!ran.stderr.contains("secret-word"));
}

#[test]
fn a_tag_that_cannot_be_moved_counts_as_pushed_where_that_is_wished() {
    let project = project();
    let registry = Registry::start();
    let fixed = Web::in_front_of(&registry.host, "/v2/app/manifests/fixed");
    let (one, two) = (
        format!("-d={}/app:fixed", fixed.host),
        format!("-d={}/app:free", fixed.host),
    );
    let arguments = ["-c", "context", &one, &two, "--digest-file=digest"];
    refused(project.path(), &arguments, &["tag is immutable"]);
    let wished = [&arguments[..], &["--push-ignore-immutable-tag-errors"]].concat();
    let ran = kaniko(&Imgmake::new(), project.path(), &wished);
    assert!(ran.stderr.contains("app:fixed"), "{}", ran.stderr);
    let digest = std::fs::read_to_string(project.path().join("digest")).unwrap();
    assert_eq!(registry.tags(), ["app:free"]);
    assert_eq!(registry.digest("app", "free"), Some(digest));
}
