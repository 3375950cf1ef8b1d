//! The settings of targets that are inputs, as the manifest has them. What must be read first (files,
//! images, registries) is added by whoever reads it.

use super::hasher::LengthPrefixedHasher;
use super::inputs::Inputs;
use super::value::Fingerprint;
use crate::manifest::{
    ArchiveImage, AttestNode, BuildTarget, IndexNode, PushFrom, PushTarget, RunTarget, ScanTarget,
    SignNode,
};

/// The settings of a `run` target that affect its result.
pub fn run_settings(inputs: &mut Inputs, run: &RunTarget) {
    let RunTarget {
        command,
        dir,
        env,
        // By their files.
        inputs: _,
        git_ignore: _,
        outputs,
        // Their values are among those of `env`.
        env_files: _,
        // Affects only whether it finishes, not the result.
        timeout: _,
        // What it is lent.
        interactive: _,
    } = run;
    inputs.add("setting", "command", command);
    let dir = dir.as_ref().map_or(".", |dir| dir.value.as_str());
    inputs.add("setting", "dir", dir);
    for (name, value) in env {
        inputs.add("env", name, value);
    }
    inputs.add("setting", "outputs", outputs);
}

/// What a build's request does not say: names and files that the image gets, and what RUN may do.
pub fn build_settings(inputs: &mut Inputs, build: &BuildTarget) {
    let BuildTarget {
        tags,
        tar,
        layout,
        exports,
        load,
        network,
        allow,
        add_hosts,
        // Inputs of the build, which knows their final values.
        context: _,
        recipe: _,
        contexts: _,
        args: _,
        labels: _,
        annotations: _,
        platforms: _,
        format: _,
        compression: _,
        compression_level: _,
        epoch: _,
        also_stages: _,
        squash: _,
        ignore_paths: _,
        // Say nothing about the image.
        secrets: _,
        ssh: _,
        limits: _,
        dns: _,
        dns_search: _,
        trust_ca: _,
        no_cache: _,
    } = build;
    inputs.add("setting", "tags", tags);
    if let Some(tar) = tar {
        inputs.add("setting", "tar", tar);
    }
    if !exports.is_empty() {
        inputs.add("setting", "export", exports);
    }
    if !load.is_empty() {
        inputs.add("setting", "load", load);
    }
    for (name, address) in add_hosts {
        inputs.add("host", name, address);
    }
    if let Some(network) = network {
        inputs.add("setting", "network", network);
    }
    if !allow.is_empty() {
        inputs.add("setting", "allow", allow);
    }
    if let Some(layout) = layout {
        inputs.add("setting", "layout", layout);
    }
}

/// What decides about a gate's verdict and where it is reported.
pub fn scan_settings(inputs: &mut Inputs, scan: &ScanTarget) {
    inputs.add("setting", "policy", &ScanPolicy(scan));
}

struct ScanPolicy<'a>(&'a ScanTarget);

impl Fingerprint for ScanPolicy<'_> {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self(ScanTarget {
            scanner,
            fail_on,
            ignores,
            only_new,
            max_db_age,
            allow_unjudged,
            reports,
            // By what they hold.
            from: _,
            ignore_files: _,
            vex_files: _,
            advisories: _,
            db: _,
            epss: _,
            kev: _,
            // Affects only whether it finishes, not the result.
            timeout: _,
        }) = self;
        hasher.add(scanner).add(fail_on).add(ignores).add(only_new);
        hasher.add(max_db_age).add(allow_unjudged).add(reports);
    }
}

/// What a gate's files held when it judged, or hold now.
#[derive(Clone)]
pub struct GateFiles<'a> {
    pub ignore_files: Vec<&'a [u8]>,
    pub vex_files: Vec<&'a [u8]>,
    pub epss: Option<&'a [u8]>,
    pub kev: Option<&'a [u8]>,
    /// The script of the project that is the scanner.
    pub script: Option<&'a [u8]>,
    /// The version of what the gate itself finds, if it does.
    pub findings: Option<&'a str>,
}

/// What a gate finds acceptable: whoever was judged by the same was judged alike.
pub fn gate_policy(scan: &ScanTarget, files: &GateFiles<'_>) -> [u8; 32] {
    let ScanTarget {
        scanner,
        fail_on,
        ignores,
        only_new,
        max_db_age,
        allow_unjudged,
        advisories,
        db,
        // By their contents.
        epss: _,
        kev: _,
        ignore_files: _,
        vex_files: _,
        // What is judged and what is told of it.
        from: _,
        reports: _,
        timeout: _,
    } = scan;
    let mut hasher = LengthPrefixedHasher::new();
    hasher.text("policy of a gate").number(2);
    hasher.add(scanner).add(fail_on).add(ignores).add(only_new);
    hasher.add(max_db_age).add(allow_unjudged);
    hasher.add(advisories).add(db);
    let GateFiles {
        ignore_files,
        vex_files,
        epss,
        kev,
        script,
        findings,
    } = files;
    let lists = [epss, kev, script].map(|file| file.map_or(Vec::new(), |file| vec![file]));
    for files in [ignore_files, vex_files].into_iter().chain(&lists) {
        hasher.number(files.len() as u64);
        for file in files {
            hasher.bytes(file);
        }
    }
    hasher.text(findings.unwrap_or_default());
    hasher.finish()
}

/// How images are published. Where to is known once the images are.
pub fn push_settings(inputs: &mut Inputs, push: &PushTarget) {
    let PushTarget {
        from,
        to: _,
        publish,
        write_digests,
        sign,
        attest,
        needs_attestations,
    } = push;
    inputs.add("setting", "publish", publish);
    // Not the key itself, which is a secret.
    if let Some(SignNode { key, password: _ }) = sign {
        inputs.add("setting", "sign", key);
    }
    let AttestNode {
        documents,
        in_index,
        builder,
    } = attest;
    if !in_index.is_empty() {
        inputs.add("setting", "attest as index", in_index);
    }
    if !documents.is_empty() {
        inputs.add("setting", "attest", documents);
    }
    if let Some(builder) = builder {
        inputs.add("setting", "builder", builder);
    }
    if !needs_attestations.is_empty() {
        inputs.add("setting", "needs-attestation", needs_attestations);
    }
    if let Some(path) = write_digests {
        inputs.add("setting", "write-digests", path);
    }
    match from {
        PushFrom::Tar { path: _, pick } => match pick {
            None => inputs.add("setting", "pick", &None::<String>),
            Some(pick) => archive_image(inputs, pick),
        },
        // Its images stand apart when they are pushed each by itself. Which those are is upstream's
        // and the registries'; in which order the index has them, is here.
        PushFrom::Index(IndexNode { images, from }) => {
            inputs.add("setting", "index", &(images, from));
        }
        PushFrom::Images(_) | PushFrom::Image(_) | PushFrom::Stored(_) => {}
    }
}

/// Which image of an archive.
pub fn archive_image(inputs: &mut Inputs, image: &ArchiveImage) {
    match image {
        ArchiveImage::Named(name) => inputs.add("setting", "pick", &Some(name.clone())),
        ArchiveImage::Numbered(number) => inputs.add("setting", "index", &(*number as u64)),
    }
}

/// What a target that this one depends on made.
pub fn upstream(inputs: &mut Inputs, name: &str, digest: &[u8; 32]) {
    inputs.hashed("target", name, *digest);
}
