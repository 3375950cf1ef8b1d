//! Dockerfiles with RUN, through the library: what steps see, what is reused, how failures read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use imgmake_build::worker::Worker;
use imgmake_build::{
    BuildDefinition, BuildRequest, Built, Engine, IgnoredPaths, LayerCount, PinError, PinName,
    Pins, SecretSource, build,
};
use imgmake_event::{Cancel, Event, Events};
use imgmake_oci::image::{ImageConfig, ImageManifest, from_json};
use imgmake_oci::layer::{Compression, Index, IndexEntry, decompress};
use imgmake_oci::store::Store;
use imgmake_registry::{Client, ClientOptions};

struct NoPins;
impl Pins for NoPins {
    fn get(&self, _: &PinName) -> Result<Option<String>, PinError> {
        Ok(None)
    }
    fn set(&self, _: &PinName, _: &str) -> Result<(), PinError> {
        Ok(())
    }
}

struct Project {
    dir: tempfile::TempDir,
    engine: Engine,
    events: Arc<Mutex<Vec<Event>>>,
}

struct Image {
    built: Built,
    config: ImageConfig,
    /// One per layer.
    layers: Vec<BTreeMap<String, (IndexEntry, Vec<u8>)>>,
}

impl Image {
    /// A file's text in the merged image.
    fn text(&self, path: &str) -> String {
        let found = self.layers.iter().rev().find_map(|l| l.get(path));
        let (_, bytes) = found.unwrap_or_else(|| panic!("no {path} in the image"));
        String::from_utf8(bytes.clone()).unwrap()
    }
}

/// Every Dockerfile here begins with a shell.
const BASE: &str = "FROM scratch AS base\nCOPY busybox /bin/busybox\n\
    RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nCOPY etc /etc\n";

impl Project {
    fn new() -> Project {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().join("ctx");
        std::fs::create_dir_all(context.join("etc")).unwrap();
        std::fs::copy("/bin/busybox", context.join("busybox")).unwrap();
        std::fs::write(
            context.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(context.join("etc/group"), "root:x:0:\napp:x:1000:\n").unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let seen = events.clone();
        let worker = Worker::new(store.clone(), None)
            .with_program(PathBuf::from(env!("CARGO_BIN_EXE_imgmake")));
        let registry = Client::new(ClientOptions {
            hosts: Vec::new(),
            docker_config: None,
            attempts: 1,
            backoff: Default::default(),
            idle_timeout: std::time::Duration::from_secs(5),
            ..imgmake_registry::ClientOptions::default()
        })
        .unwrap();
        Project {
            engine: Engine {
                logs: Some(dir.path().join("logs")),
                store,
                registry,
                worker: Arc::new(worker),
                events: Events::to(move |e| seen.lock().unwrap().push(e)),
                cancel: Cancel::default(),
                checkouts: Default::default(),
                git: imgmake_git::Client::new(Default::default(), &Cancel::default()),
                pins: Arc::new(NoPins),
                stats: Arc::default(),
                coming: Default::default(),
                cache: None,
                warmed: None,
                cache_scope: Default::default(),
                bases: Default::default(),
            },
            dir,
            events,
        }
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.dir.path().join("ctx").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn request(&self, dockerfile: &str) -> BuildRequest {
        let path = self.dir.path().join("Dockerfile");
        std::fs::write(&path, format!("{BASE}{dockerfile}")).unwrap();
        BuildRequest {
            target: "t".into(),
            definition: BuildDefinition::Dockerfile { path, stage: None },
            context: self.dir.path().join("ctx"),
            fetched: None,
            excluded: Vec::new(),
            checkout: Default::default(),
            contexts: BTreeMap::new(),
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: Vec::new(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            add_hosts: BTreeMap::new(),
            resolver: Default::default(),
            authorities: Vec::new(),
            network: Default::default(),
            limits: Default::default(),
            insecure: Default::default(),
            epoch: None,
            compression: Compression::Gzip { level: 1 },
            format: Default::default(),
            also: Default::default(),
            added: Default::default(),
            no_cache: false,
            pull: false,
            jobs: 2,
        }
    }

    fn run(&self, request: &BuildRequest) -> anyhow::Result<Image> {
        let built = build(request, &self.engine)?;
        let read =
            |d: &imgmake_oci::image::Digest| self.engine.store.read_blob(d, 1 << 20).unwrap();
        let manifest: ImageManifest = from_json(&read(&built.root.digest))?;
        let config: ImageConfig = from_json(&read(&manifest.config.digest))?;
        let layers = manifest.layers.iter().map(|l| self.contents(&l.digest));
        Ok(Image {
            layers: layers.collect(),
            config,
            built,
        })
    }

    fn contents(
        &self,
        digest: &imgmake_oci::image::Digest,
    ) -> BTreeMap<String, (IndexEntry, Vec<u8>)> {
        use std::io::Read;
        let open = || decompress(self.engine.store.open_blob(digest).unwrap()).unwrap();
        let index = Index::read(open()).unwrap();
        let mut reader = imgmake_oci::layer::LayerReader::new(open());
        let mut bytes = BTreeMap::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            bytes.insert(entry.path, content);
        }
        let named = |found: IndexEntry| {
            let name = String::from_utf8_lossy(&found.entry.path).into_owned();
            let content = bytes.get(&found.entry.path).cloned().unwrap_or_default();
            (name, (found, content))
        };
        index.entries.into_iter().map(named).collect()
    }

    fn build(&self, dockerfile: &str) -> Image {
        self.run(&self.request(dockerfile))
            .unwrap_or_else(|e| panic!("{e:#}"))
    }

    fn error(&self, dockerfile: &str) -> String {
        match self.run(&self.request(dockerfile)) {
            Ok(_) => panic!("it built: {dockerfile}"),
            Err(error) => format!("{error:#}"),
        }
    }

    fn output(&self) -> String {
        let events = self.events.lock().unwrap();
        let lines = events.iter().filter_map(|e| match e {
            Event::Output { line, .. } => Some(String::from_utf8_lossy(line).into_owned()),
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn steps_see_what_a_shell_would_see() {
    let p = Project::new();
    let image = p.build(
        "ARG A=arg\nARG E=hidden\nENV E=env\nUSER app\nWORKDIR /home/app\n\
         RUN echo \"$A $E $(id -u):$(id -g) $PWD $HOME\" > seen\n\
         RUN <<EOF\nset -e\necho two >> seen\nEOF\n\
         RUN <<EOF\n#!/bin/sh\necho \"script $0\" >> seen\nEOF\n",
    );
    assert_eq!(
        image.text("home/app/seen"),
        "arg env 1000:1000 /home/app /home/app\ntwo\nscript /dev/pipes/EOF\n"
    );
    let history: Vec<&str> = image
        .config
        .history
        .iter()
        .map(|h| h.created_by.as_str())
        .filter(|h| h.starts_with("RUN"))
        .collect();
    assert!(
        history[1].starts_with("RUN |2 A=arg E=env /bin/sh -c echo "),
        "{history:?}"
    );
}

#[test]
fn stages_hand_files_on_and_a_second_build_runs_nothing() {
    let p = Project::new();
    p.write("src/a", "1");
    let file = "FROM base AS build\nCOPY src /src\nRUN mkdir /out && cat /src/a > /out/a && chown app /out/a && chmod 4750 /out/a\n\
        FROM scratch\nCOPY --from=build /out /\n";
    let first = p.build(file);
    let (entry, _) = &first.layers[0]["a"];
    assert_eq!((entry.entry.mode, entry.entry.uid), (0o4750, 1000));
    assert_eq!(first.text("a"), "1");
    let second = p.build(file);
    assert_eq!(second.built.steps_run, 0);
    assert_eq!(second.built.root.digest, first.built.root.digest);
    // The source changes, what is made of it does not: the copy comes from the cache.
    p.write("src/unused", "2");
    let third = p.build(file);
    assert_eq!(third.built.steps_run, 2, "COPY src and RUN");
    assert_eq!(third.built.root.digest, first.built.root.digest);
}

#[test]
fn a_failing_command_says_what_it_said() {
    let p = Project::new();
    let error = p.error("RUN echo before\nRUN for i in $(seq 30); do echo line $i; done; exit 3\n");
    assert!(error.contains("Dockerfile:6"), "{error}");
    assert!(
        error.contains("exit code 3") && error.contains("| line 30"),
        "{error}"
    );
    assert!(error.contains("the whole output: "), "{error}");
    let log = error.split("the whole output: ").nth(1).unwrap().trim();
    assert!(std::fs::read_to_string(log).unwrap().contains("line 1\n"));
    let error = p.error("RUN no-such-program\n");
    assert!(error.contains("127"), "{error}");
}

#[test]
fn mounts_show_what_they_should_and_leave_nothing() {
    let p = Project::new();
    p.write("src/a", "from-context");
    p.write(".dockerignore", "src/hidden\n");
    p.write("src/hidden", "x");
    let mut request = p.request(
        "FROM base AS other\nRUN echo from-stage > /made\n\
         FROM base\n\
         RUN --mount=target=/ctx --mount=from=other,target=/o --mount=type=tmpfs,target=/t \\\n\
             --mount=type=cache,target=/c --mount=type=secret,id=s --mount=type=secret,id=s,env=TOKEN \\\n\
             cat /ctx/src/a /o/made > /out; ls /ctx/src >> /out; touch /t/x; echo $TOKEN > /c/kept; cat /run/secrets/s\n\
         RUN --mount=type=cache,target=/c cat /c/kept >> /cached\n",
    );
    let secret = SecretSource::Value(b"hush".to_vec());
    request.secrets.insert("s".into(), secret);
    let image = p.run(&request).unwrap_or_else(|e| panic!("{e:#}"));
    assert_eq!(image.text("out"), "from-contextfrom-stage\na\n");
    assert_eq!(image.text("cached"), "hush\n");
    let names: Vec<&String> = image.layers[image.layers.len() - 2].keys().collect();
    assert_eq!(names, ["out"], "mount points are not in the layer");
    assert!(p.output().contains("hush"));
}

#[test]
fn a_command_that_wrote_to_its_mount_is_no_answer_for_one_that_may_not() {
    let p = Project::new();
    p.write("src/a", "1");
    p.build("RUN --mount=target=/ctx,rw touch /ctx/b\n");
    let error = p.error("RUN --mount=target=/ctx touch /ctx/b\n");
    assert!(error.contains("touch /ctx/b"), "{error}");
}

#[test]
fn a_run_that_changes_nothing_makes_no_layer() {
    let p = Project::new();
    let image = p.build("RUN true\n");
    let last = image.config.history.last().unwrap();
    assert!(last.empty_layer && last.created_by.contains("true"));
}

#[test]
fn equal_inputs_with_an_epoch_give_equal_images() {
    let build = || {
        let p = Project::new();
        let mut request =
            p.request("RUN mkdir /d && echo x > /d/f && ln -s f /d/l && ln /d/f /d/h\n");
        request.epoch = Some(1_700_000_000);
        p.run(&request).unwrap().built.root.digest
    };
    assert_eq!(build(), build());
}

#[test]
fn run_asks_the_servers_for_names_that_the_target_names() {
    let p = Project::new();
    let mut request = p.request("RUN cat /etc/resolv.conf > /names\n");
    request.resolver.servers = vec!["10.9.8.7".into()];
    request.resolver.search = vec!["corp.example".into()];
    let image = p.run(&request).unwrap();
    let names = image.text("names");
    let servers: Vec<&str> = names
        .lines()
        .filter(|l| l.starts_with("nameserver"))
        .collect();
    assert_eq!(servers, ["nameserver 10.9.8.7"]);
    assert!(names.contains("search corp.example\n"), "{names}");
    assert!(!image.layers.last().unwrap().contains_key("etc/resolv.conf"));
    // The image is the same whoever is asked.
    request.resolver = Default::default();
    assert_eq!(p.run(&request).unwrap().built.steps_run, 0);
}

#[test]
fn what_run_changes_at_ignored_paths_is_seen_by_later_steps_and_is_in_no_layer() {
    let p = Project::new();
    let mut request = p.request(
        "RUN mkdir -p /var/cache/deep && echo kept > /var/kept\n\
         RUN echo 1 > /var/cache/deep/one\n\
         RUN cat /var/cache/deep/one > /seen && echo 2 >> /var/cache/deep/one && ln /var/cache/deep/one /var/name && rm /var/kept\n\
         RUN cat /var/cache/deep/one >> /seen && rm -r /var/cache\n",
    );
    let plain = p.run(&request).unwrap();
    request.added.without = IgnoredPaths::new(["/var/cache"]);
    let image = p.run(&request).unwrap();
    assert_eq!(image.text("seen"), "1\n1\n2\n");
    assert_eq!(image.text("var/name"), "1\n2\n");
    assert_eq!(
        image.built.steps_run, 4,
        "one for each layer that holds such a path"
    );
    // The second RUN has come to nothing.
    assert_eq!(image.layers.len(), plain.layers.len() - 1);
    let names: Vec<&String> = image.layers.iter().flat_map(|l| l.keys()).collect();
    assert!(
        !names
            .iter()
            .any(|n| n.starts_with("var/cache") || n.ends_with(".wh.cache"))
    );
    assert!(names.iter().any(|n| *n == "var/.wh.kept"), "{names:?}");
    let made = image.config.history.iter().filter(|h| !h.empty_layer);
    assert_eq!(made.count(), image.layers.len());

    request.added.count = LayerCount::One;
    let single = p.run(&request).unwrap();
    let names: Vec<&String> = single.layers.iter().flat_map(|l| l.keys()).collect();
    assert_eq!(single.layers.len(), 1);
    assert!(
        !names
            .iter()
            .any(|n| n.contains(".wh.") || n.starts_with("var/cache")),
        "{names:?}"
    );
    assert_eq!(single.text("seen"), "1\n1\n2\n");
}
