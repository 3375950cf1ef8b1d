//! Any bytes: the targets of `fuzz/targets.rs`, fed with mutations of real input. The
//! same mutations in every run; `FUZZ_SECONDS=60` goes on with others for as long per
//! target (`FUZZ_TARGET` picks one), and an input that breaks something is written
//! down. `fuzz/seeds/<target>/` holds inputs that once did.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use imgmake::layer::{Compression, Entry, LayerWriter};
use targets::{TARGETS, Target};

/// Words that mean something somewhere.
const WORDS: [&str; 64] = [
    "\\",
    "`",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\0",
    "#",
    "\"",
    "'",
    "$",
    "${",
    "}",
    "$A",
    "${A:-",
    "${A#",
    "${ODD//",
    "<<E",
    "<<-\"E\"",
    "\nE\n",
    "--",
    "=",
    ",",
    "[",
    "]",
    "[\"",
    "\"]",
    "{",
    "*",
    "**",
    "/",
    "/./",
    "..",
    "!",
    "?",
    "[!",
    "\\*",
    ":",
    "@sha256:",
    "FROM ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ONBUILD ",
    "HEALTHCHECK --interval=",
    "--mount=type=",
    " AS ",
    "# escape=`\n",
    "# check=skip=",
    "\u{feff}",
    "\u{e9}",
    "\u{85}",
    "\u{2028}",
    "null",
    "18446744073709551616",
    "-1",
    "1e999",
    "ustar",
    "././@PaxHeader",
    "GNU.sparse.map=",
    "\x1f\u{8b}",
    "\x28\u{b5}",
    "Bearer realm=",
    "sha512:",
];

/// xorshift64*: good enough to mix, the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Some changes to one of the seeds, a few of them taken from another.
fn mutated(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(6) {
        let (at, end) = (dice.below(bytes.len() + 1), dice.below(bytes.len() + 1));
        let range = at.min(end)..at.max(end);
        match dice.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            1 if at < bytes.len() => bytes[at] = dice.next() as u8,
            2 => drop(bytes.drain(range)),
            3 => {
                let part = bytes[range].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let other = &seeds[dice.below(seeds.len())];
                let from = dice.below(other.len());
                let to = from + dice.below((other.len() - from).min(600) + 1);
                bytes.splice(at..at, other[from..to].to_vec());
            }
            5 => {
                let part = bytes[range.start..range.end.min(range.start + 8)].to_vec();
                let many = part.repeat(dice.below(300));
                bytes.splice(at..at, many);
            }
            _ => {
                let word = WORDS[dice.below(WORDS.len())].as_bytes();
                bytes.splice(at..at, word.iter().copied());
            }
        }
        bytes.truncate(4 << 10);
    }
    bytes
}

fn below(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        match path.is_dir() {
            true => below(&path, found),
            false => found.push(path),
        }
    }
}

/// Files of the repository whose names hold a text.
fn files(directory: &str, named: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    below(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
        &mut found,
    );
    found.retain(|p| p.file_name().unwrap().to_str().unwrap().contains(named));
    found.iter().map(|p| fs::read(p).unwrap()).collect()
}

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|t| t.as_bytes().to_vec()).collect()
}

fn layers() -> Vec<Vec<u8>> {
    let entries = || {
        let mut capable = Entry::file("d/long/".to_string() + &"n".repeat(200), 0o4755, 5);
        capable
            .xattrs
            .insert(b"security.capability".to_vec(), b"\x01\n\x02".to_vec());
        [
            (Entry::directory("d", 0o755), &b""[..]),
            (capable, b"hello"),
            (Entry::symlink("d/link", "../x"), b""),
            (Entry::hard_link("d/other", "d/link", 0o644), b""),
            (Entry::file("d/.wh.gone", 0o644, 0), b""),
            (Entry::file("d/.wh..wh..opq", 0o644, 0), b""),
        ]
    };
    let kinds = [
        Compression::None,
        Compression::Gzip { level: 1 },
        Compression::Zstd { level: 1 },
    ];
    let pack = |kind| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = LayerWriter::new(file.reopen().unwrap(), kind).unwrap();
        for (entry, content) in entries() {
            let mut content = content;
            writer.append(&entry, &mut content).unwrap();
        }
        writer.finish().unwrap();
        fs::read(file.path()).unwrap()
    };
    let mut packed: Vec<Vec<u8>> = kinds.into_iter().map(pack).collect();
    packed.push(sparse());
    packed
}

/// What GNU tar makes of a file with holes.
fn sparse() -> Vec<u8> {
    let script =
        "cd \"$1\" && truncate -s 1M f && printf x >> f && tar --sparse --format=pax -cf - f";
    let directory = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

fn documents() -> Vec<Vec<u8>> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let manifest = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"D","size":7},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"D","size":3,"annotations":null}],"annotations":{"a":"b"}}"#;
    let index = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"D","size":7,"platform":{"architecture":"arm64","os":"linux","variant":"v8"},"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}"#;
    let config = r#"{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Env":["A=b"],"Cmd":null,"Entrypoint":["x"],"Healthcheck":{"Test":["CMD","y"],"Interval":1000000000},"Volumes":{"/v":{}},"Labels":null,"OnBuild":["RUN true"]},"rootfs":{"type":"layers","diff_ids":["D"]},"history":[{"created_by":"x","empty_layer":true}]}"#;
    let docker = r#"[{"Config":"config.json","RepoTags":["a:b"],"Layers":["layer.tar"]}]"#;
    texts(&[manifest, index, config, docker])
        .into_iter()
        .map(|t| {
            String::from_utf8(t)
                .unwrap()
                .replace("\"D\"", &format!("\"{digest}\""))
                .into_bytes()
        })
        .collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = match target {
        "dockerfile" => [files("tests", "Dockerfile"), files("tests", "context.sh")].concat(),
        "words" => texts(&[
            "${A:-${B:+\"x $A\"}} '$A' \\$A \"${ODD/a/b}\" $1 $@",
            "${A#*/} ${A##*.} ${A%.*} ${A%%/*} ${A//[a-c]/x} ${EMPTY?e}",
            "a<<E b << E `$A` \"\\\"\"",
        ]),
        "ignore" => texts(&[
            "# c\n*.tmp\n**/*.log\n!a/b/keep.log\ndocs/\n/root\n[a-c]x\\*\n\na/b/keep.log",
            "*\n!src\n!target/app\n\ntarget/app",
            "a/**/b\n!a/**/b/**\n**\n\na/x/y/b/c",
        ]),
        "manifest" => [
            files("tests/data/manifest", ".kdl"),
            files("examples", ".kdl"),
        ]
        .concat(),
        "reference" => texts(&[
            "docker.io/library/alpine:3.20@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "localhost:5000/a/b_c.d--e:Tag_1.x",
            "[::1]:5000/x",
            "linux/arm/v7",
            "busybox",
        ]),
        "layer" | "archive" => layers(),
        "challenge" => texts(&[
            "Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"repository:a/b:pull,push\"",
            "Basic realm=x, Bearer realm=\"y\" , error=insufficient_scope",
            "Negotiate, Digest nonce=\"a\\\"b\"",
        ]),
        _ => documents(),
    };
    let kept = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    if kept.is_dir() {
        seeds.extend(files(&format!("fuzz/seeds/{target}"), ""));
    }
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

fn written_down(target: &str, bytes: &[u8]) -> PathBuf {
    let name = format!("fuzz-{target}-{}", &blake3::hash(bytes).to_hex()[..12]);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn feed(name: &str, target: Target, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        let path = written_down(name, bytes);
        eprintln!(
            "{name} breaks on {}: {}",
            path.display(),
            String::from_utf8_lossy(bytes)
        );
        std::panic::resume_unwind(panic);
    }
}

/// Ends the process, with the input written down, when a target does not come back.
fn guarded(name: &'static str, target: Target, limit: Duration) {
    let current: Mutex<Option<(Instant, Vec<u8>)>> = Mutex::default();
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !finished.load(Ordering::Relaxed) {
                if let Some((since, bytes)) = &*current.lock().unwrap()
                    && since.elapsed() > Duration::from_secs(60)
                {
                    eprintln!("{name} hangs on {}", written_down(name, bytes).display());
                    std::process::abort();
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let seeds = seeds(name);
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let mut dice = Dice(clock.as_nanos() as u64 | 1);
        let (start, mut inputs) = (Instant::now(), 0u64);
        while start.elapsed() < limit {
            let bytes = mutated(&seeds, &mut dice);
            *current.lock().unwrap() = Some((Instant::now(), bytes.clone()));
            let fed = catch_unwind(AssertUnwindSafe(|| feed(name, target, &bytes)));
            *current.lock().unwrap() = None;
            if let Err(panic) = fed {
                finished.store(true, Ordering::Relaxed);
                std::panic::resume_unwind(panic);
            }
            inputs += 1;
        }
        finished.store(true, Ordering::Relaxed);
        eprintln!("{name}: {inputs} inputs");
    });
}

#[test]
fn whatever_reads_bytes_from_outside_takes_any_bytes() {
    if let Some(directory) = std::env::var_os("FUZZ_WRITE_SEEDS") {
        return write_seeds(Path::new(&directory));
    }
    let chosen = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let targets = TARGETS
        .iter()
        .filter(|(name, _)| chosen.is_empty() || *name == chosen);
    if let Ok(seconds) = std::env::var("FUZZ_SECONDS") {
        let limit = Duration::from_secs(seconds.parse().expect("a number of seconds"));
        return targets.for_each(|(name, target)| guarded(name, *target, limit));
    }
    for (name, target) in targets {
        let seeds = seeds(name);
        for seed in &seeds {
            feed(name, *target, seed);
        }
        let mut dice = Dice(0x1319_8A2E_0370_7344);
        // What goes through files and a store takes its time.
        let through_files = ["archive", "docker_manifest", "oci_index"].contains(name);
        for _ in 0..if through_files { 8 } else { 40 } {
            feed(name, *target, &mutated(&seeds, &mut dice));
        }
    }
}

fn write_seeds(directory: &Path) {
    for (name, _) in TARGETS {
        let corpus = directory.join(name);
        fs::create_dir_all(&corpus).unwrap();
        for seed in seeds(name) {
            fs::write(corpus.join(blake3::hash(&seed).to_hex().as_str()), &seed).unwrap();
        }
    }
}
