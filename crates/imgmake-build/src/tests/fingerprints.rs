//! Every field of what a build is asked for counts in its keys, or is listed as one that does not; and
//! the keys of ten projects.

use imgmake_core::each_field;
use imgmake_core::fingerprint::each_field::assert_all_differ;
use imgmake_core::fingerprint::fingerprint_of;
use imgmake_oci::image::Healthcheck;
use imgmake_oci::layer::{Entry, Timestamp};

use imgmake_dockerfile::{Dockerfile, Instruction};

use super::*;
use crate::files::copy::{Content, Plan, Planned};
use crate::request::Resolver;
use crate::run::fingerprint::WrittenMount;
use crate::run::worker::{CacheScope, Network, RunMount, RunRequest};
use crate::step_key::{Times, of_plan};

fn map(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("NAME".to_string(), value.to_string())])
}

fn resolver() -> Resolver {
    Resolver {
        servers: vec!["10.0.0.1".into()],
        search: Vec::new(),
    }
}

fn limits() -> imgmake_sandbox::Limits {
    imgmake_sandbox::Limits {
        memory: Some(1 << 30),
        ..Default::default()
    }
}

#[test]
fn of_a_request() {
    let p = Project::new();
    p.write("a", "1");
    std::fs::create_dir(p.dir.path().join("other")).unwrap();
    let request =
        p.request("FROM scratch AS test\nFROM scratch\nARG NAME\nENV A=$NAME\nCOPY . /\n");
    let key = |request: &BuildRequest| {
        let inputs = inputs(request, &p.engine);
        inputs.unwrap_or_else(|e| panic!("{e:#}")).key()
    };
    let steps = BuildDefinition::Steps {
        base: "scratch".into(),
        steps: Vec::new(),
    };
    let image = NamedContext::Image("alpine".parse().unwrap());
    let added = AddedLayers {
        count: LayerCount::One,
        without: IgnoredPaths::default(),
    };
    let fetched = FetchedContext {
        context: RemoteContext {
            address: format!("https://h.io/a.git#{}", "1".repeat(40)),
            kind: imgmake_core::manifest::RemoteKind::Git,
            keep_git_directory: false,
        },
        holds_dockerfile: false,
    };
    each_field!(key, request, BuildRequest {
        definition: steps,
        context: p.dir.path().join("other"),
        fetched: Some(fetched),
        excluded: vec![p.path("a")],
        contexts: BTreeMap::from([("other".to_string(), image)]),
        args: map("1"),
        labels: map("1"),
        annotations: map("1"),
        platforms: vec!["linux/arm64".parse().unwrap()],
        epoch: Some(1),
        compression: Compression::None,
        format: imgmake_oci::image::ManifestFormat::Docker,
        also: AlsoStages::Earlier,
        added: added,
    } ignoring {
        target: "u".into(),
        // Where it may lie; what is there counts.
        checkout: imgmake_guard::checkout::Checkout::new([p.dir.path()]),
        // Settings of the target.
        network: DefaultNetwork::None,
        add_hosts: map("10.0.0.1"),
        insecure: Insecure::Allowed,
        // Say nothing about the image.
        secrets: BTreeMap::from([("s".to_string(), SecretSource::Value(vec![1]))]),
        ssh: BTreeMap::from([("s".to_string(), PathBuf::from("/s"))]),
        resolver: resolver(),
        authorities: vec![1],
        limits: limits(),
        no_cache: true,
        pull: true,
        jobs: 1,
    });
}

#[test]
fn of_settings() {
    let named = |name: &str| AlsoStages::Named(vec![name.to_string()]);
    assert_all_differ(&[
        AlsoStages::None,
        AlsoStages::Earlier,
        named("a"),
        named("b"),
    ]);
    assert_all_differ(&[LayerCount::OnePerStep, LayerCount::One]);
    assert_all_differ(&[
        IgnoredPaths::default(),
        IgnoredPaths::new(["/a"]),
        IgnoredPaths::new(["/b"]),
        IgnoredPaths::new(["/a", "/b"]),
    ]);
    each_field!(
        fingerprint_of,
        AddedLayers::default(),
        AddedLayers {
            count: LayerCount::One,
            without: IgnoredPaths::new(["/a"]),
        }
    );
    assert_all_differ(&[
        Command::Shell("a".into()),
        Command::Shell("b".into()),
        Command::Argv(vec!["a".into()]),
        Command::Argv(vec!["a".into(), "b".into()]),
    ]);
}

#[test]
fn of_steps() {
    let text = |text: &str| text.to_string();
    let some = |text: &str| Some(text.to_string());
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| word.to_string())
            .collect::<Vec<_>>()
    };
    let pairs = |value: &str| vec![(text("A"), text(value))];
    let copy = |source: &str, to: &str, mode, owner| Step::Copy {
        sources: vec![text(source)],
        to: text(to),
        mode,
        owner,
    };
    let file = |path: &str, content: &str, mode, owner| Step::File {
        path: text(path),
        content: text(content),
        mode,
        owner,
    };
    let symlink = |path: &str, to: &str| Step::Symlink {
        path: text(path),
        to: text(to),
    };
    let mkdir = |path: &str, mode, owner| Step::Mkdir {
        path: text(path),
        mode,
        owner,
    };
    let run = |command: &str| Step::Run {
        command: Command::Shell(text(command)),
    };
    let check = |retries| Healthcheck {
        retries,
        ..Healthcheck::default()
    };
    assert_all_differ(&[
        copy("a", "b", None, None),
        copy("c", "b", None, None),
        copy("a", "c", None, None),
        copy("a", "b", some("0644"), None),
        copy("a", "b", None, some("0644")),
        Step::Layer(vec![mkdir("a", None, None)]),
        Step::Layer(vec![mkdir("b", None, None)]),
        file("a", "b", None, None),
        file("c", "b", None, None),
        file("a", "c", None, None),
        file("a", "b", some("0644"), None),
        file("a", "b", None, some("0644")),
        symlink("a", "b"),
        symlink("c", "b"),
        symlink("a", "c"),
        mkdir("a", None, None),
        mkdir("b", None, None),
        mkdir("a", some("0755"), None),
        mkdir("a", None, some("0755")),
        run("a"),
        run("b"),
        Step::Env(pairs("1")),
        Step::Env(pairs("2")),
        Step::User(text("a")),
        Step::User(text("b")),
        Step::Workdir(text("a")),
        Step::Workdir(text("b")),
        Step::Expose(words(&["80"])),
        Step::Expose(words(&["81"])),
        Step::Entrypoint(words(&["a"])),
        Step::Entrypoint(words(&["a", "b"])),
        Step::Cmd(words(&["a"])),
        Step::Cmd(words(&["a", "b"])),
        Step::Label(pairs("1")),
        Step::Label(pairs("2")),
        Step::Volume(words(&["a"])),
        Step::Volume(words(&["b"])),
        Step::StopSignal(text("a")),
        Step::StopSignal(text("b")),
        Step::Healthcheck(check(1)),
        Step::Healthcheck(check(2)),
    ]);
}

#[test]
fn of_a_run() {
    assert_all_differ(&[Network::Host, Network::None, Network::Isolated]);
    let pair = || vec![("a".to_string(), "b".to_string())];
    let run = RunRequest {
        layers: Vec::new(),
        argv: vec!["true".into()],
        env: Vec::new(),
        workdir: "/".into(),
        user: String::new(),
        stdin: None,
        files: Vec::new(),
        mounts: Vec::new(),
        cache_scope: CacheScope::User,
        network: Network::Host,
        limits: Default::default(),
        insecure: false,
        hostname: "h".into(),
        add_hosts: Vec::new(),
        resolver: Resolver::default(),
        authorities: Vec::new(),
        compression: Compression::None,
        architecture: "amd64".into(),
        epoch: None,
    };
    let mount = RunMount::Tmpfs {
        target: "/t".into(),
        size: None,
    };
    let layer = imgmake_oci::layer::Layer::new(
        imgmake_oci::image::Digest::of(b"b"),
        imgmake_oci::image::Descriptor::of("", b"a"),
    );
    each_field!(fingerprint_of, run, RunRequest {
        argv: vec!["false".into()],
        env: pair(),
        workdir: "/w".into(),
        user: "u".into(),
        stdin: Some(Vec::new()),
        files: vec![("f".into(), vec![1], 0o755)],
        network: Network::None,
        insecure: true,
        hostname: "i".into(),
        add_hosts: pair(),
        compression: Compression::Gzip { level: 1 },
        epoch: Some(1),
    } ignoring {
        layers: vec![layer],
        mounts: vec![mount],
        cache_scope: CacheScope::Project("/p".into()),
        limits: limits(),
        resolver: resolver(),
        authorities: vec![1],
        architecture: "arm64".into(),
    });
}

#[test]
fn of_the_mounts_of_a_run() {
    let parse = |options: &str| {
        let text = format!("FROM scratch\nRUN --mount={options} true\n");
        let file = Dockerfile::parse(text.as_bytes()).unwrap();
        let Instruction::Run(run) = &file.stages[0].instructions[0].value else {
            panic!("{options}");
        };
        run.mounts[0].mount().unwrap()
    };
    let hash = |options: &str| fingerprint_of(&WrittenMount(&parse(options)));
    let counts = [
        "type=bind,target=/a",
        "type=bind,target=/b",
        "type=bind,target=/a,rw",
        "type=tmpfs,target=/a",
        "type=tmpfs,target=/a,size=1",
        "type=cache,target=/a",
        "type=cache,target=/b",
        "type=cache,target=/a,id=c",
        "type=cache,target=/a,ro",
        "type=cache,target=/a,uid=1",
        "type=cache,target=/a,gid=1",
        "type=cache,target=/a,mode=0700",
        "type=secret,id=a",
        "type=secret,id=b",
        "type=secret,id=a,target=/a",
        "type=secret,id=a,env=A",
        "type=secret,id=a,uid=1",
        "type=secret,id=a,gid=1",
        "type=secret,id=a,mode=0444",
        "type=ssh",
        "type=ssh,id=a",
        "type=ssh,target=/a",
        "type=ssh,uid=1",
        "type=ssh,gid=1",
        "type=ssh,mode=0666",
    ];
    let hashes = counts.map(hash);
    for (at, one) in hashes.iter().enumerate() {
        for (other, options) in counts.iter().enumerate().skip(at + 1) {
            assert_ne!(*one, hashes[other], "{} and {options}", counts[at]);
        }
    }
    // Found by content, or of no effect on what is made.
    for (one, other) in [
        ("type=bind,target=/a", "type=bind,target=/a,source=x,from=y"),
        (
            "type=cache,target=/a",
            "type=cache,target=/a,sharing=locked",
        ),
        (
            "type=cache,target=/a",
            "type=cache,target=/a,source=x,from=y",
        ),
        ("type=secret,id=a", "type=secret,id=a,required"),
        ("type=ssh", "type=ssh,required"),
    ] {
        assert_eq!(hash(one), hash(other), "{one} and {other}");
    }
}

fn plan_of(planned: &Planned) -> Plan {
    let entries = BTreeMap::from([(planned.entry.path.clone(), planned.clone())]);
    Plan {
        entries,
        ..Plan::default()
    }
}

#[test]
fn of_a_plan() {
    let stat = imgmake_core::files::Signature {
        device: 1,
        inode: 2,
        size: 3,
        mtime: 4,
        ctime: 5,
    };
    let key = |planned: &Planned| of_plan(&plan_of(planned), Times::All, Compression::None, "");
    let of_entry = |entry: &Entry| {
        key(&Planned {
            entry: entry.clone(),
            content: Content::None,
            hash: None,
            kept: false,
            stat: None,
        })
    };
    let file = Entry::file("f", 0o644, 1);
    each_field!(
        of_entry,
        file.clone(),
        Entry {
            path: b"g".to_vec(),
            kind: EntryKind::Directory,
            mode: 0o755,
            uid: 1,
            gid: 1,
            mtime: Timestamp::from_seconds(1),
            xattrs: BTreeMap::from([(b"user.a".to_vec(), b"1".to_vec())]),
        }
    );
    let planned = Planned {
        entry: file.modified(Timestamp::from_seconds(1)),
        content: Content::None,
        hash: None,
        kept: false,
        stat: None,
    };
    let copied = |planned: &Planned| {
        let plan = plan_of(planned);
        of_plan(&plan, Times::ExceptOfCopies, Compression::None, "")
    };
    // Kept directories carry their time into the layer.
    each_field!(copied, planned.clone(), Planned {
        entry: Entry::file("g", 0o644, 1),
        hash: Some([1; 32]),
        kept: true,
    } ignoring { content: Content::Bytes(vec![1]), stat: Some(stat) });
    let plan = plan_of(&planned);
    let by = |times, compression, class| of_plan(&plan, times, compression, class);
    let keys = [
        by(Times::All, Compression::None, ""),
        by(Times::ExceptOfCopies, Compression::None, ""),
        by(Times::All, Compression::Gzip { level: 1 }, ""),
        by(Times::All, Compression::None, "single"),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[at + 1..].contains(key), "{at}");
    }
}

/// Ten projects: Dockerfiles over the same files.
const PROJECTS: [(&str, &str); 10] = [
    ("empty", "FROM scratch\n"),
    ("copy", "FROM scratch\nCOPY . /\n"),
    ("add", "FROM scratch\nADD src/a /\n"),
    (
        "arg",
        "FROM scratch\nARG VERSION=1\nENV V=$VERSION\nCOPY src /\n",
    ),
    (
        "stages",
        "FROM scratch AS a\nCOPY src /\nFROM scratch\nCOPY --from=a a /\n",
    ),
    (
        "unused stage",
        "FROM scratch AS a\nCOPY lock /\nFROM scratch\nCOPY src /\n",
    ),
    (
        "owner",
        "FROM scratch\nCOPY --chown=1:2 --chmod=0600 src /\n",
    ),
    ("wildcard", "FROM scratch\nCOPY s*/* /\n"),
    ("link", "FROM scratch\nCOPY link /\n"),
    ("inline", "FROM scratch\nCOPY <<EOF /hello\nhello\nEOF\n"),
];

/// `UPDATE=1 cargo test -p imgmake-build keys_of_projects` rewrites them, once the versions in
/// `imgmake_core::fingerprint::Semantics` are raised.
#[test]
fn keys_of_projects_change_on_purpose_alone() {
    let p = Project::new();
    p.write("src/a", "1").write("src/b", "2").write("lock", "3");
    p.link("link", "src/a")
        .mode("src", 0o755)
        .mode("src/b", 0o755);
    let mut found = String::new();
    for (name, dockerfile) in PROJECTS {
        let mut request = p.request(dockerfile);
        request.args = BTreeMap::from([("VERSION".to_string(), "2".to_string())]);
        request.labels = map("label");
        let inputs = inputs(&request, &p.engine).unwrap_or_else(|e| panic!("{e:#}"));
        found += &format!("{name} {}\n", inputs.key());
        for input in inputs.entries() {
            let hash = blake3::Hash::from(input.hash).to_hex();
            found += &format!("    {} {} {}\n", input.kind, input.name, &hash[..16]);
        }
    }
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/projects.keys");
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
        std::fs::create_dir_all(pinned.parent().unwrap()).unwrap();
        std::fs::write(&pinned, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&pinned).unwrap_or_default());
}
