//! Whole builds without RUN, into a real store; what a layer holds is read back from its index.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::image::{ImageConfig, ImageManifest, from_json};
use crate::layer::EntryKind;

/// A directory with a context and a store.
struct Project {
    dir: tempfile::TempDir,
    engine: Engine,
    events: Arc<Mutex<Vec<crate::event::Event>>>,
}

#[derive(Default)]
struct MemoryPins(Mutex<BTreeMap<String, String>>);
impl Pins for MemoryPins {
    fn get(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap().get(name).cloned()
    }
    fn set(&self, name: &str, value: &str) {
        self.0
            .lock()
            .unwrap()
            .insert(name.to_string(), value.to_string());
    }
}

struct Image {
    manifest: ImageManifest,
    config: ImageConfig,
    /// One per layer: `path mode uid:gid kind`.
    layers: Vec<Vec<String>>,
    built: Built,
}

impl Image {
    fn files(&self) -> Vec<String> {
        self.layers.concat()
    }
    fn created_by(&self) -> Vec<&str> {
        let history = self.config.history.iter();
        history.map(|h| h.created_by.as_str()).collect()
    }
}

impl Project {
    fn new() -> Project {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ctx")).unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let events: Arc<Mutex<Vec<crate::event::Event>>> = Arc::default();
        let seen = events.clone();
        let engine = Engine {
            registry: Client::new(crate::registry::ClientOptions {
                hosts: Vec::new(),
                docker_config: None,
                attempts: 1,
                backoff: Default::default(),
                idle_timeout: std::time::Duration::from_secs(5),
                user_agent: "imgmake".into(),
                environment: BTreeMap::new(),
            })
            .unwrap(),
            worker: Arc::new(worker::Worker::new(store.clone(), None)),
            store,
            events: Events::to(move |e| seen.lock().unwrap().push(e)),
            cancel: Cancel::default(),
            pins: Arc::new(MemoryPins::default()),
        };
        Project {
            dir,
            engine,
            events,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("ctx").join(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Project {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        self
    }

    fn mode(&self, path: &str, mode: u32) -> &Project {
        std::fs::set_permissions(self.path(path), PermissionsExt::from_mode(mode)).unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &Project {
        symlink(target, self.path(path)).unwrap();
        self
    }

    fn request(&self, dockerfile: &str) -> BuildRequest {
        let file = self.dir.path().join("Dockerfile");
        std::fs::write(&file, dockerfile).unwrap();
        BuildRequest {
            target: "t".into(),
            recipe: Recipe::Dockerfile {
                path: file,
                stage: None,
            },
            context: self.path(""),
            excluded: Vec::new(),
            contexts: BTreeMap::new(),
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            platforms: vec!["linux/amd64".parse().unwrap()],
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            epoch: None,
            compression: Compression::Gzip { level: 1 },
            format: Default::default(),
            no_cache: false,
            pull: false,
            jobs: 4,
        }
    }

    fn run(&self, request: &BuildRequest) -> Result<Image> {
        let built = build(request, &self.engine)?;
        let read = |d: &crate::image::Digest| self.engine.store.read_blob(d, 1 << 20).unwrap();
        let manifest: ImageManifest = from_json(&read(&built.root.digest))?;
        let config: ImageConfig = from_json(&read(&manifest.config.digest))?;
        assert_eq!(config.rootfs.diff_ids.len(), manifest.layers.len());
        let made = config.history.iter().filter(|h| !h.empty_layer).count();
        assert_eq!(made, manifest.layers.len(), "history counts the layers");
        let layers = manifest
            .layers
            .iter()
            .zip(&config.rootfs.diff_ids)
            .map(|(l, diff_id)| {
                let blob = crate::layer::LayerBlob {
                    diff_id: diff_id.clone(),
                    digest: l.digest.clone(),
                    size: l.size,
                    media_type: l.media_type.clone(),
                };
                // A base that nothing read has none.
                let index = self.engine.store.index(&blob).unwrap_or_default();
                index.entries.iter().map(shown).collect()
            })
            .collect();
        Ok(Image {
            manifest,
            config,
            layers,
            built,
        })
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

    fn warnings(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let warnings = events.iter().filter_map(|e| match e {
            crate::event::Event::Warning { message, .. } => Some(message.clone()),
            _ => None,
        });
        warnings.collect()
    }

    fn inputs(&self, dockerfile: &str) -> Vec<String> {
        let request = self.request(dockerfile);
        let hash = |path: &Path, _: &std::fs::Metadata| {
            std::fs::read(path).map(|b| *blake3::hash(&b).as_bytes())
        };
        let inputs = inputs(&request, &self.engine, &hash).unwrap_or_else(|e| panic!("{e:#}"));
        inputs
            .entries
            .iter()
            .filter(|i| i.kind != "dockerfile")
            .map(|i| format!("{} {}", i.kind, i.name))
            .collect()
    }
}

fn shown(found: &crate::layer::IndexEntry) -> String {
    let entry = &found.entry;
    let kind = match &entry.kind {
        EntryKind::Directory => "/".to_string(),
        EntryKind::File { size } => format!(" {size}"),
        EntryKind::Symlink { target } => format!(" -> {}", String::from_utf8_lossy(target)),
        EntryKind::HardLink { target } => format!(" = {}", String::from_utf8_lossy(target)),
        other => format!(" {other:?}"),
    };
    format!(
        "{:o} {}:{} {}{kind}",
        entry.mode,
        entry.uid,
        entry.gid,
        String::from_utf8_lossy(&entry.path)
    )
}

#[test]
fn a_file_goes_to_a_file_or_into_a_directory() {
    let p = Project::new();
    p.write("f", "x");
    assert_eq!(
        p.build("FROM scratch\nCOPY f /d\n").files(),
        ["644 0:0 d 1"]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY f /d/\n").files(),
        ["755 0:0 d/", "644 0:0 d/f 1"]
    );
    assert_eq!(
        p.build("FROM scratch\nWORKDIR /w\nCOPY f .\n").layers[1],
        ["755 0:0 w/", "644 0:0 w/f 1"]
    );
}

#[test]
fn a_directory_gives_its_contents() {
    let p = Project::new();
    p.write("src/a", "1").write("src/sub/b", "22");
    p.mode("src/sub", 0o750).mode("src", 0o700);
    // The directory itself does not travel: /app is new, 0755.
    assert_eq!(
        p.build("FROM scratch\nCOPY src /app\n").files(),
        [
            "755 0:0 app/",
            "644 0:0 app/a 1",
            "750 0:0 app/sub/",
            "644 0:0 app/sub/b 2"
        ]
    );
}

#[test]
fn several_sources_need_a_directory() {
    let p = Project::new();
    p.write("a", "1").write("b", "2");
    let error = p.error("FROM scratch\nCOPY a b /d\n");
    assert!(
        error.contains("Dockerfile:2:10: ") && error.contains("`/d/`"),
        "{error}"
    );
    let error = p.error("FROM scratch\nCOPY * /d\n");
    assert!(
        error.contains("Dockerfile:2: ") && error.contains("`/d/`"),
        "{error}"
    );
    assert_eq!(p.build("FROM scratch\nCOPY a b /d/\n").files().len(), 3);
    assert_eq!(
        p.build("FROM scratch\nWORKDIR /x\nCOPY a b ./\n").layers[1].len(),
        3
    );
}

#[test]
fn copying_onto_an_existing_directory_keeps_its_mode_and_owner() {
    let p = Project::new();
    p.write("f", "x").write("d/g", "y");
    let image =
        p.build("FROM scratch\nCOPY --chmod=1777 --chown=5:6 d /tmp/\nCOPY f /tmp/\nCOPY d /tmp\n");
    assert_eq!(image.layers[0][0], "777 5:6 tmp/");
    assert_eq!(image.layers[1], ["777 5:6 tmp/", "644 0:0 tmp/f 1"]);
    assert_eq!(image.layers[2], ["777 5:6 tmp/", "644 0:0 tmp/g 1"]);
}

#[test]
fn new_parents_take_chown_and_an_octal_chmod() {
    let p = Project::new();
    p.write("f", "x");
    assert_eq!(
        p.build("FROM scratch\nCOPY --chown=1:2 --chmod=700 f /a/b/f\n")
            .files(),
        ["700 1:2 a/", "700 1:2 a/b/", "700 1:2 a/b/f 1"]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY --chmod=u+x,go= f /a/f\n")
            .files(),
        ["755 0:0 a/", "700 0:0 a/f 1"]
    );
}

#[test]
fn links_at_the_top_are_followed_and_inner_ones_kept() {
    let p = Project::new();
    p.write("real/f", "x")
        .link("real/inner", "f")
        .link("top", "real");
    p.link("file", "real/f").link("out", "/../../real/f");
    let image = p.build("FROM scratch\nCOPY top /t\nCOPY file /f\nCOPY out /o\n");
    assert_eq!(
        image.layers[0],
        ["755 0:0 t/", "644 0:0 t/f 1", "777 0:0 t/inner -> f"]
    );
    assert_eq!(image.layers[1], ["644 0:0 f 1"]);
    assert_eq!(image.layers[2], ["644 0:0 o 1"]);
}

#[test]
fn destinations_run_through_links_inside_the_image() {
    let p = Project::new();
    p.write("root/usr/lib/x", "x").link("root/lib", "usr/lib");
    p.link("root/up", "../../..");
    p.write("f", "y");
    let image =
        p.build("FROM scratch\nCOPY root /\nCOPY f /lib/f\nCOPY f /up/g\nCOPY --link f /lib/h\n");
    assert_eq!(
        image.layers[1],
        ["755 0:0 usr/", "755 0:0 usr/lib/", "644 0:0 usr/lib/f 1"]
    );
    assert_eq!(image.layers[2], ["644 0:0 g 1"]);
    assert_eq!(image.layers[3], ["755 0:0 lib/", "644 0:0 lib/h 1"]);
}

#[test]
fn a_wildcard_may_match_nothing_beside_another_source() {
    let p = Project::new();
    p.write("a.txt", "1")
        .write("b.txt", "2")
        .write("sub/c.txt", "3");
    assert_eq!(
        p.build("FROM scratch\nCOPY *.txt nothing* /d/\n").files(),
        ["755 0:0 d/", "644 0:0 d/a.txt 1", "644 0:0 d/b.txt 1"]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY s*/*.txt /d/\n").files().len(),
        2
    );
    assert!(
        p.error("FROM scratch\nCOPY nothing* /d/\n")
            .contains("matches nothing")
    );
    assert!(
        p.error("FROM scratch\nCOPY a.txt gone /d/\n")
            .contains("`gone` not found")
    );
}

#[test]
fn the_ignore_file_hides_and_says_so() {
    let p = Project::new();
    p.write("keep", "1")
        .write("secret/key", "2")
        .write("log/a", "3")
        .write("log/keep", "4");
    p.write(".dockerignore", "secret\nlog/*\n!log/keep\n.dockerignore\n");
    assert_eq!(
        p.build("FROM scratch\nCOPY . /\n").files(),
        ["644 0:0 keep 1", "755 0:0 log/", "644 0:0 log/keep 1"]
    );
    let error = p.error("FROM scratch\nCOPY secret/key /\n");
    assert!(
        error.contains(".dockerignore") && error.contains("line 1: secret"),
        "{error}"
    );
    std::fs::write(p.dir.path().join("Dockerfile.dockerignore"), "log\n").unwrap();
    assert_eq!(p.build("FROM scratch\nCOPY . /\n").files().len(), 4);
}

#[test]
fn outputs_leave_the_context_unless_named() {
    let p = Project::new();
    p.write("f", "1").write("out/image.tar", "2");
    let mut request = p.request("FROM scratch\nCOPY . /\nCOPY out/image.tar /named\n");
    request.excluded = vec![p.path("out/image.tar"), p.path(".imgmake")];
    let image = p.run(&request).unwrap();
    assert_eq!(image.layers[0], ["644 0:0 f 1", "755 0:0 out/"]);
    assert_eq!(image.layers[1], ["644 0:0 named 1"]);
}

#[test]
fn excluded_names_stay_behind() {
    let p = Project::new();
    p.write("d/a.txt", "1")
        .write("d/b.md", "2")
        .write("d/s/c.txt", "3")
        .write("x.txt", "4")
        .write("x.md", "5");
    assert_eq!(
        p.build("FROM scratch\nCOPY --exclude=*.txt d /d\n").files(),
        [
            "755 0:0 d/",
            "644 0:0 d/b.md 1",
            "755 0:0 d/s/",
            "644 0:0 d/s/c.txt 1"
        ]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY --exclude=*.txt x* /d/\n")
            .files(),
        ["755 0:0 d/", "644 0:0 d/x.md 1"]
    );
}

#[test]
fn parents_are_kept_when_asked() {
    let p = Project::new();
    p.write("a/b/c.txt", "1")
        .write("a/b/d.md", "2")
        .write("a/e.txt", "3");
    assert_eq!(
        p.build("FROM scratch\nCOPY --parents a/b/c.txt /d/\n")
            .files(),
        [
            "755 0:0 d/",
            "755 0:0 d/a/",
            "755 0:0 d/a/b/",
            "644 0:0 d/a/b/c.txt 1"
        ]
    );
    assert_eq!(
        p.build("FROM scratch\nCOPY --parents ./a/./**/*.txt /d/\n")
            .files(),
        [
            "755 0:0 d/",
            "755 0:0 d/b/",
            "644 0:0 d/b/c.txt 1",
            "644 0:0 d/e.txt 1"
        ]
    );
}

#[test]
fn hard_links_stay_one_file() {
    let p = Project::new();
    p.write("d/a", "1");
    std::fs::hard_link(p.path("d/a"), p.path("d/b")).unwrap();
    assert_eq!(
        p.build("FROM scratch\nCOPY d /\n").files(),
        ["644 0:0 a 1", "644 0:0 b = a"]
    );
    let copied = p.build("FROM scratch AS s\nCOPY d /\nFROM scratch\nCOPY --from=s / /x/\n");
    assert_eq!(
        copied.files(),
        ["755 0:0 x/", "644 0:0 x/a 1", "644 0:0 x/b = x/a"]
    );
}

#[test]
fn sockets_are_left_out_and_special_bits_survive() {
    let p = Project::new();
    p.write("d/tool", "1")
        .mode("d/tool", 0o4755)
        .mode("d", 0o755);
    let _socket = std::os::unix::net::UnixListener::bind(p.path("d/sock")).unwrap();
    assert_eq!(
        p.build("FROM scratch\nCOPY d /\n").files(),
        ["4755 0:0 tool 1"]
    );
}

#[test]
fn heredocs_become_files() {
    let p = Project::new();
    let image = p.build("FROM scratch\nARG V=7\nCOPY <<one <<\"two\" /d/\nv=$V\none\nv=$V\ntwo\nCOPY <<E /conf\nx\nE\n");
    assert_eq!(
        image.files(),
        [
            "755 0:0 d/",
            "644 0:0 d/one 4",
            "644 0:0 d/two 5",
            "644 0:0 conf 2"
        ]
    );
}

#[test]
fn archives_are_unpacked_by_add_alone() {
    let p = Project::new();
    p.write("root/usr/lib/keep", "x")
        .link("root/lib", "usr/lib");
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, mode, body: &str, link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(body.len() as u64);
        (header.set_uid(7), header.set_gid(8), header.set_mtime(1000));
        match link {
            "" => tar.append_data(&mut header, path, body.as_bytes()).unwrap(),
            link => tar.append_link(&mut header, path, link).unwrap(),
        }
    };
    use tar::EntryType as T;
    add("./", T::Directory, 0o700, "", "");
    add("lib/new", T::Regular, 0o640, "abc", "");
    add("z", T::Regular, 0o600, "zz", "");
    add("a-link", T::Link, 0o600, "", "z");
    add("z", T::Regular, 0o644, "z2!", "");
    let bytes = tar.into_inner().unwrap();
    p.write("some.bin", zstd::encode_all(bytes.as_slice(), 1).unwrap());
    let image = p.build("FROM scratch\nCOPY root /\nADD some.bin /\nCOPY some.bin /copy\nADD --unpack=false some.bin /add\n");
    assert_eq!(
        image.layers[1],
        [
            "600 7:8 a-link = z",
            "755 0:0 usr/",
            "755 0:0 usr/lib/",
            "640 7:8 usr/lib/new 3",
            "644 7:8 z 3"
        ]
    );
    assert!(image.layers[2][0].starts_with("644 0:0 copy "));
    assert!(image.layers[3][0].starts_with("644 0:0 add "));
}

#[test]
fn owners_by_name_come_from_the_image() {
    let p = Project::new();
    p.write("f", "x");
    p.write("etc/passwd", "root:x:0:0::/:\napp:x:1000:1001::/:\n")
        .write("etc/group", "staff:x:50:\n");
    let image = p.build("FROM scratch\nCOPY etc /etc\nCOPY --chown=app f /a\nCOPY --chown=app:staff f /b\nUSER app\nWORKDIR /home/app\nCOPY f .\n");
    assert_eq!(image.layers[1], ["644 1000:1001 a 1"]);
    assert_eq!(image.layers[2], ["644 1000:50 b 1"]);
    assert_eq!(
        image.layers[3],
        ["755 1000:1001 home/", "755 1000:1001 home/app/"]
    );
    assert_eq!(image.layers[4][2], "644 0:0 home/app/f 1");
    let error = p.error("FROM scratch\nCOPY --chown=nobody f /a\n");
    assert!(
        error.contains("Dockerfile:2") && error.contains("/etc/passwd"),
        "{error}"
    );
}

#[test]
fn files_and_directories_do_not_take_each_others_place() {
    let p = Project::new();
    p.write("f", "x").write("d/g", "y").write("e/f/h", "z");
    let error = p.error("FROM scratch\nCOPY f /x\nCOPY d /x\n");
    assert!(error.contains("no directory"), "{error}");
    let error = p.error("FROM scratch\nCOPY e /\nCOPY f /\n");
    assert!(error.contains("is a directory"), "{error}");
    let error = p.error("FROM scratch\nCOPY f /x\nCOPY f /x/y\n");
    assert!(error.contains("must be a directory"), "{error}");
}

#[test]
fn a_workdir_that_exists_makes_no_layer() {
    let p = Project::new();
    p.write("d/x", "1");
    let image = p.build("FROM scratch\nCOPY d /a\nWORKDIR /a\nWORKDIR b\n");
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.layers[1], ["755 0:0 a/", "755 0:0 a/b/"]);
    assert_eq!(image.config.config.working_dir, "/a/b");
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
fn a_second_build_takes_everything_from_the_cache() {
    let p = Project::new();
    p.write("f", "x");
    let file = "FROM scratch\nWORKDIR /w\nCOPY f .\nCOPY f /g\n";
    let first = p.build(file);
    assert_eq!((first.built.steps_run, first.built.steps_cached), (3, 0));
    std::fs::File::options()
        .append(true)
        .open(p.path("f"))
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    let second = p.build(file);
    assert_eq!((second.built.steps_run, second.built.steps_cached), (0, 3));
    assert_eq!(first.built.root.digest, second.built.root.digest);
    p.write("f", "y");
    let third = p.build(file);
    assert_eq!((third.built.steps_run, third.built.steps_cached), (2, 1));
    assert_ne!(first.built.root.digest, third.built.root.digest);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let p = Project::new();
    for n in 0..200 {
        p.write(&format!("d{}/f{n}", n % 7), vec![b'a'; n * 37]);
    }
    let file = "FROM scratch AS a\nCOPY d1 /\nFROM scratch AS b\nCOPY d2 /\nFROM scratch\nCOPY . /ctx/\nCOPY --from=a / /a/\nCOPY --from=b / /b/\n";
    let mut request = p.request(file);
    let one = p
        .run(&BuildRequest {
            jobs: 1,
            ..request.clone()
        })
        .unwrap();
    request.no_cache = true;
    let many = p.run(&BuildRequest { jobs: 8, ..request }).unwrap();
    assert_eq!(one.built.root.digest, many.built.root.digest);
}

#[test]
fn configuration_and_history_are_as_buildkit_writes_them() {
    let p = Project::new();
    p.write("f", "x");
    let mut request = p.request(
        "ARG BASE=scratch\nFROM $BASE\nARG V=1\nARG N\nENV A=$V B=\"x y\"\nLABEL k=v\nEXPOSE 80 443/udp\n\
         VOLUME /data\nUSER 1:2\nCOPY f /f\nSTOPSIGNAL SIGTERM\nHEALTHCHECK --interval=5s CMD true\nCMD [\"a\"]\nENTRYPOINT run\nONBUILD COPY . /\n",
    );
    request.args.insert("V".into(), "9".into());
    request.labels.insert("extra".into(), "l".into());
    request.epoch = Some(1_700_000_000);
    let image = p.run(&request).unwrap();
    let config = &image.config.config;
    assert_eq!(config.env[1..], ["A=9", "B=x y"]);
    assert_eq!(config.labels["extra"], "l");
    assert_eq!(
        config.exposed_ports.keys().collect::<Vec<_>>(),
        ["443/udp", "80/tcp"]
    );
    assert_eq!(config.on_build, ["COPY . /"]);
    assert_eq!(
        config.entrypoint.as_ref().unwrap(),
        &["/bin/sh", "-c", "run"]
    );
    assert_eq!(
        image.config.created.as_deref(),
        Some("2023-11-14T22:13:20Z")
    );
    assert_eq!(
        image.created_by(),
        [
            "ARG V=9",
            "ARG N",
            "ENV A=9 B=x y",
            "LABEL k=v",
            "EXPOSE [80/tcp 443/udp]",
            "VOLUME [/data]",
            "USER 1:2",
            "COPY f /f # buildkit",
            "STOPSIGNAL SIGTERM",
            "HEALTHCHECK {Test:[CMD-SHELL true] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            "CMD [\"a\"]",
            "ENTRYPOINT [\"/bin/sh\" \"-c\" \"run\"]",
        ]
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
    let index: crate::image::ImageIndex = from_json(&bytes).unwrap();
    let platforms: Vec<String> = index
        .manifests
        .iter()
        .map(|m| m.platform.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert_ne!(index.manifests[0].digest, index.manifests[1].digest);
}

#[test]
fn steps_of_a_manifest_need_no_dockerfile() {
    let p = Project::new();
    p.write("web/index.html", "hi");
    let mut request = p.request("");
    request.recipe = Recipe::Steps {
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

#[test]
fn inputs_are_what_the_reached_stages_select() {
    let p = Project::new();
    p.write("src/a", "1")
        .write("src/b", "2")
        .write("other", "3")
        .write("lock", "4");
    p.write(".dockerignore", "src/b\n");
    let inputs = p.inputs(
        "FROM scratch AS no\nCOPY other /\nFROM scratch\nARG D=src\nCOPY $D /s\nCOPY loc* /\nCOPY --from=no other /\n",
    );
    assert_eq!(
        inputs,
        [
            "file lock",
            "file other",
            "file src",
            "file src/a",
            &format!(
                "ignore file {}",
                program::shown(&p.path(".dockerignore").canonicalize().unwrap())
            ),
        ]
    );
}

#[test]
fn a_build_argument_that_nothing_takes_is_reported() {
    let p = Project::new();
    let mut request = p.request("FROM scratch\nARG USED\nENV X=$USED\n");
    request.args.insert("USED".into(), "1".into());
    request.args.insert("MISSPELT".into(), "1".into());
    request.args.insert("HTTP_PROXY".into(), "http://p".into());
    p.run(&request).unwrap();
    let warnings = p.warnings();
    assert_eq!(warnings, ["no ARG takes the build argument `MISSPELT`"]);
}

#[test]
fn mistakes_name_file_and_line() {
    let p = Project::new();
    for (file, expected) in [
        ("FROM scratch\nCOPY gone /\n", "Dockerfile:2"),
        (
            "FROM scratch\nCOPY --chmod=99 x /\n",
            "Dockerfile:2:14: `--chmod=99`",
        ),
        (
            "FROM scratch\n\nADD --keep-git-dir=true git://x/y.git?odd=1 /\n",
            "Dockerfile:3: `odd`",
        ),
        ("FROM $NOPE\n", "Dockerfile:1"),
        ("FROM scratch\nCOPPY a b\n", "Dockerfile:2:1: "),
    ] {
        let error = p.error(file);
        assert!(error.contains(expected), "{file}: {error}");
    }
}

#[test]
fn build_checks_are_warnings_and_errors_when_the_file_says_so() {
    let p = Project::new();
    p.build("FROM scratch\nMAINTAINER me\n");
    let warnings = p.warnings();
    assert!(
        warnings[0].contains("Dockerfile:2: MaintainerDeprecated: "),
        "{warnings:?}"
    );
    let error = p.error("# check=error=true\nFROM scratch\nMAINTAINER me\n");
    assert!(error.contains("1 build checks failed"), "{error}");
}

/// Debian's registry on a free port; it ends when this test's end of the pipe closes.
struct Registry {
    host: String,
    _directory: tempfile::TempDir,
    _guard: std::process::Child,
}

impl Registry {
    fn start() -> Registry {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        let config = directory.path().join("config.yml");
        let data = directory.path().join("data");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {host}}}\n",
                data.display()
            ),
        )
        .unwrap();
        let guard = std::process::Command::new("sh")
            .args([
                "-c",
                "docker-registry serve \"$0\" & pid=$!; read -r _; kill $pid",
            ])
            .arg(&config)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(&host).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Registry {
            host,
            _directory: directory,
            _guard: guard,
        }
    }

    fn push(&self, p: &Project, image: &Image, name: &str) {
        let to: Reference = format!("{}/{name}", self.host).parse().unwrap();
        let job = crate::registry::PushJob {
            root: image.built.root.clone(),
            tags: vec![to.tag_or_latest().unwrap().to_string()],
            to,
            sources: Vec::new(),
            phase: crate::registry::PushPhase::All,
        };
        let work = state::work(&p.engine, "push");
        p.engine
            .registry
            .push(&job, &p.engine.store, &work)
            .unwrap();
    }
}

#[test]
fn a_base_stays_remote_until_a_step_reads_it_and_moves_only_when_pulled() {
    let registry = Registry::start();
    let author = Project::new();
    author
        .write("tmp/x", "x")
        .write("other", "y")
        .mode("tmp", 0o1777);
    let base = author.build("FROM scratch\nCOPY . /\nENV B=1\nUSER 7\nLABEL b=1\n");
    registry.push(&author, &base, "base:1");

    let p = Project::new();
    p.write("f", "1");
    let file = format!("FROM {}/base:1\nENV C=$B\n", registry.host);
    let image = p.build(&file);
    assert_eq!(image.config.config.env[1..], ["B=1", "C=1"]);
    let layer = &image.manifest.layers[0].digest;
    assert_eq!(*layer, base.manifest.layers[0].digest, "the very bytes");
    assert!(!p.engine.store.has(layer), "nothing needed the layer");
    assert_eq!(image.built.sources.len(), 1);
    assert!(p.inputs(&file)[0].starts_with("base 127.0.0.1"));

    let copying = format!("FROM {}/base:1\nCOPY f /tmp/\n", registry.host);
    let image = p.build(&copying);
    assert!(p.engine.store.has(layer) && image.built.sources.is_empty());
    assert_eq!(image.layers[1], ["1777 0:0 tmp/", "644 0:0 tmp/f 1"]);

    author.write("other", "changed");
    let moved = author.build("FROM scratch\nCOPY . /\nENV B=2\n");
    registry.push(&author, &moved, "base:1");
    assert_eq!(p.build(&file).config.config.env[2], "C=1");
    let mut request = p.request(&file);
    request.pull = true;
    assert_eq!(p.run(&request).unwrap().config.config.env[2], "C=2");
    assert_eq!(p.build(&file).config.config.env[2], "C=2");
}

#[test]
fn urls_are_added_once_and_checked() {
    let served = tempfile::tempdir().unwrap();
    std::fs::write(served.path().join("tool.txt"), "tool").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/tool.txt", listener.local_addr().unwrap());
    let hits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = hits.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let n = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let body = if n < 2 { "tool" } else { "else" };
            let head = "HTTP/1.1 200 OK\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let p = Project::new();
    let image = p.build(&format!("FROM scratch\nADD {url} /bin/\n"));
    assert_eq!(image.files(), ["755 0:0 bin/", "600 0:0 bin/tool.txt 4"]);
    let again = p.build(&format!("FROM scratch\nADD --chmod=755 {url} /bin/t\n"));
    assert_eq!(again.files(), ["755 0:0 bin/", "755 0:0 bin/t 4"]);
    assert_eq!(
        hits.load(std::sync::atomic::Ordering::SeqCst),
        1,
        "remembered"
    );
    let wrong = format!(
        "FROM scratch\nADD --checksum=sha256:{} {url} /\n",
        "0".repeat(64)
    );
    assert!(p.error(&wrong).contains("Dockerfile:2"));
}

fn prepared(p: &Project, run: &str, request: &BuildRequest) -> Result<run::Prepared> {
    let text = format!("FROM scratch\n{run}");
    let parsed = crate::dockerfile::Dockerfile::parse(text.as_bytes()).unwrap();
    let crate::dockerfile::Instruction::Run(run) = &parsed.stages[0].instructions[0].value else {
        panic!("not a RUN: {run}");
    };
    let mut config = config::Configuring::default();
    config.image.config.set_env("E", "env");
    config.image.config.working_dir = "/w".into();
    let mut state = state::ImageState::new(config, Vec::new(), request.platforms[0].clone());
    state.declare("A", Some("arg".into()));
    state.declare("E", Some("hidden".into()));
    let loaded = recipe::Loaded::read(request)?;
    let context = Arc::new(loaded.context(request, None)?);
    run::prepare(run, &state, request, None, &mut |_, _| {
        Ok(run::Mounted {
            tree: context.clone(),
            source: worker::TreeSource::Empty,
            directory: Some(p.path("")),
        })
    })
}

#[test]
fn a_run_sees_env_before_arg_and_its_key_no_secret_and_no_proxy() {
    let p = Project::new();
    let mut request = p.request("FROM scratch\n");
    let command = "RUN --mount=type=secret,id=s,env=TOKEN --mount=type=secret,id=s,required echo\n";
    let error = prepared(&p, command, &request).err().unwrap().to_string();
    assert!(error.contains("secret `s` is required"), "{error}");
    let secret = |text: &str| SecretSource::Value(text.into());
    request.secrets.insert("s".into(), secret("one"));
    let first = prepared(&p, command, &request).unwrap();
    assert_eq!(first.request.argv, ["/bin/sh", "-c", "echo"]);
    let env: Vec<String> = first
        .request
        .env
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    assert_eq!(env, ["E=env", "A=arg", "TOKEN=one"]);
    assert!(matches!(
        &first.request.mounts[..],
        [worker::RunMount::Secret { target, mode: 0o400, .. }] if target == "/run/secrets/s"
    ));
    assert_eq!(
        first.history,
        "RUN |2 A=arg E=env /bin/sh -c echo # buildkit"
    );
    request.secrets.insert("s".into(), secret("two"));
    request.args.insert("HTTP_PROXY".into(), "http://p".into());
    let second = prepared(&p, command, &request).unwrap();
    assert_eq!(first.key.hex(), second.key.hex());
    let proxies = second.request.env.iter().filter(|(_, v)| v == "http://p");
    assert_eq!(proxies.count(), 2, "both spellings");
}

#[test]
fn a_bind_mount_counts_by_content_and_a_cache_by_name() {
    let p = Project::new();
    p.write("src/a", "1");
    let request = p.request("FROM scratch\n");
    let bind = "RUN --mount=source=src,target=/s --mount=type=cache,target=c make\n";
    let first = prepared(&p, bind, &request).unwrap();
    assert!(matches!(
        &first.request.mounts[1],
        worker::RunMount::Cache { target, mode: 0o755, .. } if target == "/w/c"
    ));
    let again = prepared(&p, bind, &request).unwrap();
    assert_eq!(first.key.hex(), again.key.hex());
    p.write("src/a", "2");
    let changed = prepared(&p, bind, &request).unwrap();
    assert_ne!(first.key.hex(), changed.key.hex());
    let gone = "RUN --mount=source=gone,target=/s make\n";
    let error = prepared(&p, gone, &request).err().unwrap().to_string();
    assert!(error.contains("`gone` is missing"), "{error}");
}

#[test]
fn scripts_run_by_their_own_interpreter() {
    let p = Project::new();
    let request = p.request("FROM scratch\n");
    let run = prepared(&p, "RUN <<go\n#!/usr/bin/python3\nprint(1)\ngo\n", &request).unwrap();
    assert_eq!(run.request.argv, ["/dev/pipes/go"]);
    assert_eq!(run.request.files[0].0, "/dev/pipes/go");
    assert_eq!(run.request.files[0].2, 0o755);
    let shell = prepared(&p, "RUN <<go\necho 1\necho 2\ngo\n", &request).unwrap();
    assert_eq!(shell.request.argv, ["/bin/sh", "-c", "echo 1\necho 2\n"]);
}

#[test]
fn repositories_are_added_at_the_commit_they_were_first_seen_at() {
    let p = Project::new();
    let remote = p.dir.path().join("tool.git");
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@x", "-C"])
            .arg(&remote)
            .args(arguments)
            .status();
        assert!(status.unwrap().success());
    };
    std::fs::create_dir_all(remote.join("src")).unwrap();
    std::fs::write(remote.join("src/run.sh"), "1").unwrap();
    std::fs::write(remote.join("README"), "r").unwrap();
    git(&["init", "-q", "-b", "main", "."]);
    git(&["add", "."]);
    git(&["update-index", "--chmod=+x", "src/run.sh"]);
    git(&["commit", "-qm", "one"]);
    git(&["tag", "-am", "v", "v1"]);
    let daemon = GitDaemon::serve(p.dir.path());
    let source = |tail: &str| {
        let remote = format!("git://127.0.0.1:{}/tool.git", daemon.port);
        format!("FROM scratch\nADD {tail} /g/\n").replace("REMOTE", &remote)
    };
    let tagged = source("REMOTE#v1:src");
    assert_eq!(
        p.build(&tagged).files(),
        ["755 0:0 g/", "755 0:0 g/run.sh 1"]
    );
    let whole = source("REMOTE");
    assert_eq!(p.build(&whole).files().len(), 4);
    std::fs::write(remote.join("README"), "more").unwrap();
    git(&["commit", "-qam", "two"]);
    assert_eq!(p.build(&whole).files()[1], "644 0:0 g/README 1");
    let mut request = p.request(&whole);
    request.pull = true;
    assert_eq!(p.run(&request).unwrap().files()[1], "644 0:0 g/README 4");
    let wrong = source("--checksum=abcdef0 REMOTE#v1");
    assert!(p.error(&wrong).contains("--checksum says abcdef0"));
}

struct GitDaemon {
    port: u16,
    process: std::process::Child,
}

impl GitDaemon {
    fn serve(directory: &Path) -> GitDaemon {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let place = std::process::Command::new("git")
            .arg("--exec-path")
            .output();
        let place = String::from_utf8(place.unwrap().stdout).unwrap();
        let process = std::process::Command::new(format!("{}/git-daemon", place.trim()))
            .args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", directory.display()))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        GitDaemon { port, process }
    }
}

impl Drop for GitDaemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
