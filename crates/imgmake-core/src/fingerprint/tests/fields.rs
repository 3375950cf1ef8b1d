//! Every field of every type that has a fingerprint counts, or is listed as one that does not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use imgmake_oci::image::{Digest, Healthcheck, ManifestFormat, Platform, Reference};
use imgmake_oci::layer::{Compression, EntryKind, Timestamp};

use crate::each_field;
use crate::fingerprint::each_field::assert_all_differ;
use crate::fingerprint::{
    GateFiles, Inputs, build_settings, fingerprint_of, gate_policy, push_settings, run_settings,
    scan_settings,
};
use crate::manifest::*;

fn at<T>(value: T) -> Spanned<T> {
    let span = Span::new(1, 2);
    Spanned { value, span }
}

fn texts(values: &[&str]) -> Vec<Spanned<String>> {
    values.iter().map(|value| at(value.to_string())).collect()
}

fn text(value: &str) -> Spanned<String> {
    at(value.to_string())
}

fn map(value: &str) -> BTreeMap<String, Spanned<String>> {
    BTreeMap::from([("name".to_string(), text(value))])
}

#[test]
fn of_values() {
    each_field!(fingerprint_of, text("a"), Spanned { value: "b".to_string() }
        ignoring { span: Span::new(3, 4) });
    assert_all_differ(&[
        CommandNode::Shell("a".into()),
        CommandNode::Shell("b".into()),
        CommandNode::Argv(vec!["a".into()]),
        CommandNode::Argv(vec!["b".into()]),
        CommandNode::Argv(vec!["a".into(), "b".into()]),
        CommandNode::Argv(vec!["a b".into()]),
    ]);
    assert_all_differ(&[TarFormat::Docker, TarFormat::Oci]);
    assert_all_differ(&[LoadInto::Docker, LoadInto::Podman]);
    assert_all_differ(&[Publish::Each, Publish::Together]);
    assert_all_differ(&[
        ScannerNode::Builtin,
        ScannerNode::Trivy,
        ScannerNode::Grype,
        ScannerNode::Command("a".into()),
        ScannerNode::Command("b".into()),
    ]);
    let tar = TarOutput {
        path: text("a.tar"),
        format: TarFormat::Oci,
    };
    each_field!(
        fingerprint_of,
        tar,
        TarOutput {
            path: text("b.tar"),
            format: TarFormat::Docker
        }
    );
    assert_all_differ(&[ExportForm::Directory, ExportForm::Tar]);
    let export = ExportNode {
        path: text("out"),
        form: ExportForm::Directory,
    };
    each_field!(
        fingerprint_of,
        export,
        ExportNode {
            path: text("other"),
            form: ExportForm::Tar
        }
    );
    let load = LoadNode {
        into: LoadInto::Docker,
        without: WithoutDaemon::Fail,
    };
    each_field!(fingerprint_of, load, LoadNode { into: LoadInto::Podman }
        ignoring { without: WithoutDaemon::Note });
    each_field!(
        fingerprint_of,
        FailOn::default(),
        FailOn {
            kind: Some(KindNode::Secret),
            severity: Some("high".into()),
            fixable: true,
            unknown: false,
            older: Some(Duration::from_secs(1)),
            epss: Some(1),
            kev: true,
        }
    );
    assert_all_differ(&[
        KindNode::Vulnerability,
        KindNode::Secret,
        KindNode::Misconfiguration,
        KindNode::License,
        KindNode::Hygiene,
    ]);
    let ignore = ignored("CVE-1");
    each_field!(
        fingerprint_of,
        ignore,
        IgnoreNode {
            id: None,
            kind: Some(KindNode::Secret),
            package: Some("left-pad".into()),
            path: Some("app/**".into()),
            until: Some(text("2026-12-31")),
            reason: Some("why".into()),
        }
    );
}

#[test]
fn of_images() {
    let digest = |text: &str| Digest::of(text.as_bytes());
    assert_all_differ(&[digest("a"), digest("b")]);
    let reference: Reference = "host/name".parse().unwrap();
    each_field!(
        fingerprint_of,
        reference,
        Reference {
            registry: "other".into(),
            repository: "other".into(),
            tag: Some("1".into()),
            digest: Some(digest("a")),
        }
    );
    let platform = Platform::new("linux", "amd64", None);
    each_field!(
        fingerprint_of,
        platform,
        Platform {
            architecture: "arm64".into(),
            os: "other".into(),
            os_version: Some("1".into()),
            os_features: vec!["f".into()],
            variant: Some("v8".into()),
        }
    );
    assert_all_differ(&[ManifestFormat::Oci, ManifestFormat::Docker]);
    each_field!(
        fingerprint_of,
        Healthcheck::default(),
        Healthcheck {
            test: vec!["NONE".into()],
            interval: 1,
            timeout: 1,
            start_period: 1,
            start_interval: 1,
            retries: 1,
        }
    );
}

#[test]
fn of_layers() {
    assert_all_differ(&[
        Compression::None,
        Compression::Gzip { level: 1 },
        Compression::Gzip { level: 2 },
        Compression::Zstd { level: 1 },
        Compression::Zstd { level: 2 },
    ]);
    each_field!(
        fingerprint_of,
        Timestamp::default(),
        Timestamp {
            seconds: 1,
            nanos: 1
        }
    );
    let target = |text: &str| text.as_bytes().to_vec();
    assert_all_differ(&[
        EntryKind::Directory,
        EntryKind::File { size: 1 },
        EntryKind::Symlink {
            target: target("a"),
        },
        EntryKind::Symlink {
            target: target("b"),
        },
        EntryKind::HardLink {
            target: target("a"),
        },
        EntryKind::HardLink {
            target: target("b"),
        },
        EntryKind::CharDevice { major: 1, minor: 2 },
        EntryKind::CharDevice { major: 1, minor: 1 },
        EntryKind::CharDevice { major: 2, minor: 2 },
        EntryKind::BlockDevice { major: 1, minor: 2 },
        EntryKind::BlockDevice { major: 1, minor: 1 },
        EntryKind::BlockDevice { major: 2, minor: 2 },
        EntryKind::Fifo,
    ]);
    let file = |size| fingerprint_of(&EntryKind::File { size });
    assert_eq!(file(1), file(2), "the content's hash counts instead");
}

/// The key that settings alone give.
fn key_by<T>(add: impl Fn(&mut Inputs, &T)) -> impl Fn(&T) -> crate::fingerprint::CacheKey {
    move |target| {
        let mut inputs = Inputs::new();
        add(&mut inputs, target);
        inputs.key()
    }
}

#[test]
fn of_run_targets() {
    let run = RunTarget {
        command: at(CommandNode::Shell("make".into())),
        dir: None,
        env: BTreeMap::new(),
        env_files: Vec::new(),
        inputs: Vec::new(),
        git_ignore: false,
        outputs: Vec::new(),
        timeout: None,
        interactive: false,
    };
    each_field!(key_by(run_settings), run, RunTarget {
        command: at(CommandNode::Shell("make all".into())),
        dir: Some(text("web")),
        env: BTreeMap::from([("A".to_string(), "1".to_string())]),
        outputs: texts(&["out"]),
    } ignoring {
        env_files: vec![EnvFile { path: text(".env"), optional: false }],
        inputs: texts(&["src/**"]),
        git_ignore: true,
        timeout: Some(Duration::from_secs(1)),
        interactive: true,
    });
}

fn a_gate() -> ScanTarget {
    ScanTarget {
        from: ScanFrom::Images(texts(&["app"])),
        scanner: ScannerNode::Builtin,
        fail_on: Vec::new(),
        ignores: Vec::new(),
        only_new: None,
        epss: None,
        kev: None,
        ignore_files: Vec::new(),
        vex_files: Vec::new(),
        advisories: Vec::new(),
        db: None,
        max_db_age: None,
        allow_unjudged: false,
        reports: BTreeMap::new(),
        timeout: None,
    }
}

#[test]
fn of_scan_targets() {
    let scan = a_gate();
    let ignore = ignored("CVE-1");
    each_field!(key_by(scan_settings), scan, ScanTarget {
        scanner: ScannerNode::Trivy,
        fail_on: vec![FailOn::default()],
        only_new: Some(text("host/app:1")),
        ignores: vec![ignore],
        max_db_age: Some(Duration::from_secs(1)),
        allow_unjudged: true,
        reports: map("out/scan.json"),
    } ignoring {
        from: ScanFrom::Tar { path: text("a.tar"), pick: None },
        ignore_files: texts(&["a"]),
        vex_files: texts(&["a"]),
        advisories: texts(&["a"]),
        db: Some(text("host/a")),
        epss: Some(text("a")),
        kev: Some(text("a")),
        timeout: Some(Duration::from_secs(1)),
    });
}

/// By content, and each for what it is.
#[test]
fn every_file_of_a_gate_is_in_its_policy() {
    let scan = a_gate();
    let none = GateFiles {
        ignore_files: Vec::new(),
        vex_files: Vec::new(),
        epss: None,
        kev: None,
        script: None,
        findings: None,
    };
    let policy = |change: &dyn Fn(&mut GateFiles<'static>)| {
        let mut files = none.clone();
        change(&mut files);
        gate_policy(&scan, &files)
    };
    let all = [
        policy(&|_| ()),
        policy(&|files| files.ignore_files = vec![b"a"]),
        policy(&|files| files.vex_files = vec![b"a"]),
        policy(&|files| files.epss = Some(b"a")),
        policy(&|files| files.epss = Some(b"b")),
        policy(&|files| files.kev = Some(b"a")),
        policy(&|files| files.script = Some(b"a")),
        policy(&|files| files.findings = Some("a")),
    ];
    let different: BTreeSet<[u8; 32]> = all.into_iter().collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn of_push_targets() {
    let push = PushTarget {
        from: PushFrom::Tar {
            path: text("a.tar"),
            pick: None,
        },
        to: Vec::new(),
        publish: Publish::Each,
        write_digests: None,
        sign: None,
        attest: AttestNode::default(),
        needs_attestations: Vec::new(),
    };
    let destination = Destination {
        registries: texts(&["hub"]),
        repository: None,
        tags: Vec::new(),
    };
    let index = |images: &[&str], from: &[&str]| {
        let (images, from) = (texts(images), texts(from));
        let from = PushFrom::Index(IndexNode { images, from });
        key_by(push_settings)(&PushTarget {
            from,
            ..push.clone()
        })
    };
    // Each alone, and as one: the images that a glob finds are upstream.
    let apart = PushTarget {
        from: PushFrom::Images(texts(&["a", "b"])),
        ..push.clone()
    };
    let keys = [
        key_by(push_settings)(&apart),
        index(&["a", "b"], &[]),
        index(&["a"], &["b"]),
        index(&[], &["a", "b"]),
        index(&[], &["b", "a"]),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key), "{at}");
    }
    each_field!(key_by(push_settings), push, PushTarget {
        from: PushFrom::Tar { path: text("a.tar"), pick: Some(ArchiveImage::Named("app".into())) },
        publish: Publish::Together,
        write_digests: Some(text("out/digests.json")),
        sign: Some(SignNode { key: SignKey::File(text("cosign.key")), password: None }),
        attest: AttestNode { documents: vec![Attestation::Spdx], ..AttestNode::default() },
        needs_attestations: vec![needed()],
    } ignoring { to: vec![destination] });
}

#[test]
fn of_attestations() {
    let push = |attest: AttestNode| PushTarget {
        from: PushFrom::Images(texts(&["a"])),
        to: Vec::new(),
        publish: Publish::Each,
        write_digests: None,
        sign: None,
        attest,
        needs_attestations: Vec::new(),
    };
    let key = |attest: &AttestNode| key_by(push_settings)(&push(attest.clone()));
    each_field!(
        key,
        AttestNode::default(),
        AttestNode {
            documents: vec![Attestation::Provenance],
            in_index: vec![Attestation::Provenance],
            builder: Some(text("https://ci.example.com")),
        }
    );
    assert_all_differ(&[
        Attestation::CycloneDx,
        Attestation::Spdx,
        Attestation::Provenance,
        Attestation::Verdict,
    ]);
    each_field!(
        fingerprint_of,
        needed(),
        NeedsAttestation {
            gate: text("other"),
            signer: SignerNode::Key(text("other.pub")),
            max_age: Some(Duration::from_secs(1)),
            same_db: true,
        }
    );
    let certificate = |names: [&str; 4]| {
        let [identity, issuer, root, log_key] = names.map(text);
        SignerNode::Certificate(Box::new(CertificateNode {
            identity,
            issuer,
            root,
            log_key: (!log_key.value.is_empty()).then_some(log_key),
        }))
    };
    assert_all_differ(&[
        SignerNode::Key(text("ci.pub")),
        certificate(["a", "b", "c", ""]),
        certificate(["x", "b", "c", ""]),
        certificate(["a", "x", "c", ""]),
        certificate(["a", "b", "x", ""]),
        certificate(["a", "b", "c", "x"]),
    ]);
}

fn needed() -> NeedsAttestation {
    NeedsAttestation {
        gate: text("gate"),
        signer: SignerNode::Key(text("ci.pub")),
        max_age: None,
        same_db: false,
    }
}

#[test]
fn of_build_targets() {
    let limits = LimitsNode {
        memory: Some(at(1)),
        ..LimitsNode::default()
    };
    let tar = TarOutput {
        path: text("a.tar"),
        format: TarFormat::Oci,
    };
    let load = LoadNode {
        into: LoadInto::Docker,
        without: WithoutDaemon::Fail,
    };
    let export = ExportNode {
        path: text("out"),
        form: ExportForm::Directory,
    };
    let recipe = |path: &str| RecipeNode::Dockerfile {
        place: crate::manifest::DockerfilePlace::Project,
        path: text(path),
        stage: None,
    };
    let build = BuildTarget::new(None, recipe("Dockerfile"));
    each_field!(key_by(build_settings), build, BuildTarget {
        tags: texts(&["app:1"]),
        tar: Some(tar),
        layout: Some(text("out")),
        exports: vec![export],
        load: vec![load],
        network: Some(text("none")),
        allow: texts(&["security.insecure"]),
        add_hosts: map("10.0.0.1"),
    } ignoring {
        // Inputs of the build itself, which has a test of its own.
        context: Some(text("app")),
        recipe: recipe("other.Dockerfile"),
        contexts: vec![(text("base"), ContextNode::Target(text("base")))],
        args: map("1"),
        labels: map("1"),
        annotations: map("1"),
        platforms: texts(&["linux/arm64"]),
        format: ImageFormat::Docker,
        compression: Some(text("zstd")),
        compression_level: Some(3),
        epoch: Some(1),
        also_stages: texts(&["test"]),
        squash: true,
        ignore_paths: texts(&["/tmp"]),
        // Say nothing about the image.
        secrets: texts(&["npm"]),
        ssh: vec![(text("default"), None)],
        limits: limits,
        dns: texts(&["10.0.0.1"]),
        dns_search: texts(&["example.com"]),
        trust_ca: texts(&["ca.pem"]),
        no_cache: true,
    });
}

fn ignored(id: &str) -> IgnoreNode {
    IgnoreNode {
        id: Some(text(id)),
        kind: None,
        package: None,
        path: None,
        until: None,
        reason: None,
    }
}
