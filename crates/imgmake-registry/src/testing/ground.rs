//! What tests of the client are made with, whatever registry they meet: small images,
//! quick retries, a server that breaks things.

use std::net::TcpListener;
use std::time::Duration;

use imgmake_oci::image::{
    Descriptor, ImageConfig, ImageIndex, ImageManifest, ManifestFormat, Platform, Reference,
    media_type, to_json,
};
use imgmake_oci::store::Store;

pub use imgmake_registry_testkit::{
    Action, FaultProxy, RecordedRequest, answer, random_bytes, reply,
};

use crate::{Client, ClientOptions, HostSettings, PushJob, PushPhase};

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A server that plays every host under its own name: the environment that leads
/// there, and settings by which these hosts are spoken to in clear.
pub fn everywhere(
    world: &FaultProxy,
    hosts: Vec<HostSettings>,
    environment: &[(&str, &str)],
) -> ClientOptions {
    let mut options = options();
    let proxy = format!("http://{}", world.host());
    options.environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
        .chain(["HTTP_PROXY", "HTTPS_PROXY"].map(|name| (name.to_string(), proxy.clone())))
        .collect();
    options.hosts = hosts
        .into_iter()
        .map(|host| HostSettings {
            insecure: true,
            ..host
        })
        .collect();
    options
}

/// A store in a directory of its own.
pub struct Shelf {
    pub store: Store,
    _dir: tempfile::TempDir,
}

impl Shelf {
    pub fn new() -> Shelf {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Shelf { store, _dir: dir }
    }

    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Descriptor {
        self.store.put_bytes(bytes).unwrap();
        Descriptor::of(media_type, bytes)
    }

    /// An image of layers with these contents.
    pub fn image(&self, platform: &str, layers: &[Vec<u8>]) -> Descriptor {
        let platform: Platform = platform.parse().unwrap();
        let config = ImageConfig::scratch(&platform);
        let config = self.blob(media_type::OCI_CONFIG, &to_json(&config));
        let layers = layers
            .iter()
            .map(|l| self.blob(media_type::OCI_LAYER_GZIP, l))
            .collect();
        let manifest = ImageManifest::new(ManifestFormat::Oci, config, layers);
        let mut descriptor = self.blob(media_type::OCI_MANIFEST, &to_json(&manifest));
        descriptor.platform = Some(platform);
        descriptor
    }

    pub fn index(&self, images: Vec<Descriptor>) -> Descriptor {
        let index = ImageIndex::new(ManifestFormat::Oci, images);
        self.blob(media_type::OCI_INDEX, &to_json(&index))
    }
}

/// Quick retries, nothing from this machine's user.
pub fn options() -> ClientOptions {
    ClientOptions {
        attempts: 4,
        backoff: (Duration::from_millis(1), Duration::from_millis(5)),
        idle_timeout: Duration::from_secs(20),
        ..ClientOptions::default()
    }
}

pub fn client() -> Client {
    Client::new(options()).unwrap()
}

pub fn client_with(host: HostSettings) -> Client {
    Client::new(ClientOptions {
        hosts: vec![host],
        ..options()
    })
    .unwrap()
}

pub fn job(to: &str, root: &Descriptor) -> PushJob {
    let to: imgmake_oci::image::Reference = to.parse().unwrap();
    PushJob {
        tags: to.tag.clone().into_iter().collect(),
        to,
        root: root.clone(),
        sources: Vec::new(),
        phase: PushPhase::All,
    }
}

pub fn is_blob_get(seen: &RecordedRequest) -> bool {
    seen.method == "GET" && seen.target.contains("/blobs/sha256")
}

/// `app:1` at a server.
pub fn app(between: &FaultProxy) -> Reference {
    format!("{}/app:1", between.host()).parse().unwrap()
}

/// From which bytes a blob was asked for, in order; all of it is 0.
pub fn asked_from(between: &FaultProxy) -> Vec<u64> {
    let from = |seen: &RecordedRequest| match seen.header("Range") {
        None => 0,
        Some(range) => range
            .strip_prefix("bytes=")
            .and_then(|r| r.strip_suffix('-'))
            .unwrap()
            .parse()
            .unwrap(),
    };
    between
        .requests()
        .iter()
        .filter(|s| is_blob_get(s))
        .map(from)
        .collect()
}
