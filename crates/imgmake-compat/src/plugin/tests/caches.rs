//! Where steps are shared.

use super::*;

#[test]
fn caches_are_read_as_each_plugin_reads_them() {
    let caches = |name: &str, pairs: &[(&str, &str)]| {
        let step = step(name, pairs);
        let found = step.manifest.settings.cache.registries.iter();
        let found = found.map(|r| format!("{} {:?} {:?}", r.reference.value, r.access, r.mode));
        (
            found.collect::<Vec<_>>(),
            step.manifest.settings.cache.ttl.map(|t| t.as_secs() / 3600),
            step.manifest.settings.cache.steps,
        )
    };
    let run_only = imgmake_core::manifest::CacheSteps {
        run: true,
        copy: false,
    };
    assert_eq!(
        caches(
            "kaniko-docker",
            &[("PLUGIN_REPO", "acme/app"), ("PLUGIN_ENABLE_CACHE", "true")]
        ),
        (
            vec!["acme/app/cache ReadWrite Max".to_string()],
            Some(336),
            run_only
        )
    );
    let ecr = [
        ("PLUGIN_REPO", "app"),
        ("PLUGIN_REGISTRY", "1.dkr.ecr.eu-west-1.amazonaws.com"),
        ("PLUGIN_ENABLE_CACHE", "true"),
        ("PLUGIN_CACHE_REPO", "app-cache"),
        ("PLUGIN_CACHE_TTL", "6"),
        ("PLUGIN_CACHE_COPY_LAYERS", "true"),
    ];
    assert_eq!(
        caches("kaniko-ecr", &ecr),
        (
            vec!["1.dkr.ecr.eu-west-1.amazonaws.com/app-cache ReadWrite Max".to_string()],
            Some(6),
            Default::default()
        )
    );
    assert_eq!(
        caches(
            "kaniko-docker",
            &[("PLUGIN_REPO", "acme/app"), ("PLUGIN_CACHE_REPO", "acme/c")]
        )
        .0,
        Vec::<String>::new()
    );
    let buildx = [
        ("PLUGIN_REPO", "acme/app"),
        (
            "PLUGIN_CACHE_FROM",
            "type=registry,ref=r.io/a; type=local,src=x;acme/plain",
        ),
        (
            "PLUGIN_CACHE_TO",
            "type=registry,ref=r.io/a,mode=max;type=inline",
        ),
    ];
    assert_eq!(
        caches("drone-docker", &buildx).0,
        ["r.io/a Read Min", "acme/plain Read Max", "r.io/a Write Max"]
    );
}

#[test]
fn a_cache_that_cannot_be_meant_is_refused_by_the_name_of_its_variable() {
    for (name, value) in [
        ("PLUGIN_CACHE_FROM", "type=registry"),
        ("PLUGIN_CACHE_TO", "type=registry,ref=a/b,mode=most"),
        ("PLUGIN_CACHE_TO", "type=s4,secret_access_key=hunter2"),
    ] {
        let pairs = [("PLUGIN_REPO", "acme/app"), (name, value)];
        let refusal = refused("drone-docker", &pairs);
        assert!(
            refusal.contains(name) && !refusal.contains("hunter2"),
            "{refusal}"
        );
    }
}

#[test]
fn plain_references_of_a_cache_may_have_commas_between_them() {
    let pairs = [
        ("PLUGIN_REPO", "a"),
        (
            "PLUGIN_CACHE_FROM",
            "reg.io/a:1, reg.io/b ;type=registry,ref=reg.io/c",
        ),
    ];
    let step = step("drone-docker", &pairs);
    let caches = step.manifest.settings.cache.registries.iter();
    let caches: Vec<&str> = caches.map(|one| one.reference.value.as_str()).collect();
    assert_eq!(caches, ["reg.io/a:1", "reg.io/b", "reg.io/c"]);
}
