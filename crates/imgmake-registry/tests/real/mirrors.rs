//! A real `docker-registry` as a pull-through cache of another, found in
//! containers' `registries.conf` and in Docker's `daemon.json`.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::testing::{
    FaultProxy, Registry, Shelf, client, free_port, job, options, random_bytes, start_registry,
};
use crate::{Client, ClientOptions, HostSettings, MirrorFallback, OperationContext};
use imgmake_event::{Event, Events};
use imgmake_oci::image::{
    Descriptor, ImageManifest, ManifestFormat, Reference, media_type, to_json,
};

/// An upstream registry with `library/app:1`, watched, and its cache.
struct Ground {
    upstream: FaultProxy,
    cache: Registry,
    image: Descriptor,
    home: tempfile::TempDir,
    warnings: Arc<Mutex<Vec<String>>>,
    _behind: Registry,
}

impl Ground {
    fn new() -> Ground {
        let behind = start_registry();
        let here = Shelf::new();
        let image = here.image("linux/amd64", &[random_bytes(700, 200_000)]);
        let name = format!("{}/library/app:1", behind.host());
        client()
            .push(
                &job(&name, &image),
                &here.store,
                &OperationContext::background(),
            )
            .unwrap();
        let upstream = FaultProxy::recording(behind.port());
        let remote = format!("proxy:\n  remoteurl: http://{}\n", upstream.host());
        Ground {
            cache: Registry::with("", &remote),
            upstream,
            image,
            home: tempfile::tempdir().unwrap(),
            warnings: Arc::default(),
            _behind: behind,
        }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.home.path().join(".config").join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A client of the user whose home this is.
    fn client(&self, hosts: Vec<HostSettings>) -> Client {
        let heard = Arc::clone(&self.warnings);
        let home = self.home.path().display().to_string();
        Client::new(ClientOptions {
            hosts,
            environment: [("HOME".to_string(), home)].into(),
            work: OperationContext {
                events: Events::to(move |event| {
                    if let Event::Warning { message, .. } = event {
                        heard.lock().unwrap().push(message);
                    }
                }),
                ..OperationContext::background()
            },
            ..options()
        })
        .unwrap()
    }

    fn pull(&self, client: &Client, from: &Reference) {
        let shelf = Shelf::new();
        let amd64 = "linux/amd64".parse().unwrap();
        let resolved = client
            .resolve(from, &amd64, &shelf.store, &OperationContext::background())
            .unwrap();
        assert_eq!(resolved.manifest.digest, self.image.digest);
        let blob = Descriptor::of("x", &random_bytes(700, 200_000));
        client
            .pull_blob(from, &blob, &shelf.store, &OperationContext::background())
            .unwrap();
        assert!(shelf.store.holds(&blob));
    }

    /// How many requests came to the upstream from us, not from its cache.
    fn direct(&self) -> usize {
        let ours = |agent: &str| agent.starts_with("imgmake");
        let seen = self.upstream.requests();
        seen.iter()
            .filter(|s| s.header("User-Agent").is_some_and(ours))
            .count()
    }

    fn origin(&self) -> Reference {
        format!("{}/library/app:1", self.upstream.host())
            .parse()
            .unwrap()
    }

    fn mirror_at(&self, location: &str) {
        self.write(
            "containers/registries.conf",
            &format!(
                "[[registry]]\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{location}\"\ninsecure = true\n",
                self.upstream.host()
            ),
        );
    }
}

#[test]
fn a_cache_of_registries_conf_serves_manifests_and_blobs() {
    let ground = Ground::new();
    ground.mirror_at(&ground.cache.host());
    let client = ground.client(Vec::new());
    ground.pull(&client, &ground.origin());
    assert_eq!(ground.direct(), 0);
    assert!(ground.warnings.lock().unwrap().is_empty());
}

#[test]
fn a_dead_cache_is_told_once_and_the_registry_itself_serves() {
    let ground = Ground::new();
    ground.mirror_at(&format!("127.0.0.1:{}", free_port()));
    let client = ground.client(Vec::new());
    client.head(&ground.origin()).unwrap().unwrap();
    ground.pull(&client, &ground.origin());
    assert!(ground.direct() > 0);
    let warnings = ground.warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("mirror skipped") && warnings[0].contains("nothing listens there"),
        "{warnings:?}"
    );
}

#[test]
fn dockers_registry_mirrors_serve_the_hubs_images() {
    let ground = Ground::new();
    ground.write(
        "docker/daemon.json",
        &format!(
            "{{\"registry-mirrors\": [\"http://{}\"]}}",
            ground.cache.host()
        ),
    );
    let client = ground.client(Vec::new());
    ground.pull(&client, &"app:1".parse().unwrap());
}

#[test]
fn with_falling_back_turned_off_the_registry_is_never_asked() {
    let ground = Ground::new();
    let only = |mirror: String| {
        vec![HostSettings {
            prefix: ground.upstream.host(),
            mirrors: vec![mirror],
            mirror_fallback: MirrorFallback::Off,
            ..HostSettings::default()
        }]
    };
    let client = ground.client(only(format!("127.0.0.1:{}", free_port())));
    let error = client.manifest(&ground.origin()).unwrap_err().to_string();
    assert!(error.contains("nothing listens there"), "{error}");
    assert_eq!(ground.direct(), 0);
    let client = ground.client(only(ground.cache.host()));
    ground.pull(&client, &ground.origin());
    let missing = client.manifest(&ground.origin().with_tag("2")).unwrap_err();
    assert!(missing.is_missing(), "{missing}");
    assert!(
        missing.to_string().contains(&ground.cache.host()),
        "{missing}"
    );
    assert_eq!(ground.direct(), 0);
}

#[test]
fn referrers_come_through_a_mirror_and_from_the_registry_where_the_mirror_has_none() {
    let ground = Ground::new();
    let here = Shelf::new();
    let config = here.blob(media_type::OCI_EMPTY, b"{}");
    let layer = here.blob("text/plain", b"a signature");
    let mut manifest = ImageManifest::new(ManifestFormat::Oci, config, vec![layer]);
    manifest.artifact_type = Some("application/x.signature".into());
    manifest.subject = Some(ground.image.clone());
    let root = here.blob(media_type::OCI_MANIFEST, &to_json(&manifest));
    let to = format!("{}/library/app", ground._behind.host());
    client()
        .push(
            &job(&to, &root),
            &here.store,
            &OperationContext::background(),
        )
        .unwrap();
    let image = ground.origin().with_digest(&ground.image.digest);
    let only = |mirror: &Registry, mirror_fallback| {
        let settings = HostSettings {
            prefix: ground.upstream.host(),
            mirrors: vec![mirror.host()],
            mirror_fallback,
            ..HostSettings::default()
        };
        ground.client(vec![settings])
    };
    let found = |client: &Client| {
        let all = client.referrers(&image, None).unwrap();
        all.into_iter().map(|d| d.digest).collect::<Vec<_>>()
    };
    let through = only(&ground.cache, MirrorFallback::Off);
    assert_eq!(found(&through), std::slice::from_ref(&root.digest));
    assert_eq!(ground.direct(), 0);
    let empty = start_registry();
    let around = only(&empty, MirrorFallback::Allowed);
    assert_eq!(found(&around), [root.digest]);
    assert!(ground.direct() > 0);
    assert!(found(&only(&empty, MirrorFallback::Off)).is_empty());
}

#[test]
fn a_cache_takes_no_push_and_says_so_before_anything_is_built() {
    let ground = Ground::new();
    let name = format!("{}/library/new:1", ground.cache.host());
    let error = client()
        .check_push(&name.parse().unwrap(), &OperationContext::background())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("405 UNSUPPORTED") && error.contains("it may be a pull-through mirror"),
        "{error}"
    );
}
