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

use imgmake_oci::layer::{Compression, Entry, LayerWriter};
use targets::{TARGETS, Target};

/// Words that mean something somewhere.
const WORDS: [&str; 68] = [
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
    "Slot",
    "BlbS",
    "0000",
    "PLUGIN_",
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
    packed.extend(sparse());
    packed
}

/// What GNU tar makes of a file with holes, in each of its formats.
fn sparse() -> Vec<Vec<u8>> {
    ["gnu", "oldgnu", "pax --sparse-version=0.0", "pax --sparse-version=0.1", "pax"]
        .map(|format| {
            made(&format!(
                "for at in 0 1 2 3 4 5; do printf x | dd of=f bs=1 seek=$((at * 99999)) conv=notrunc; done 2>&-; \
                 truncate -s 1M f; tar --sparse --format={format} -cf - f"
            ))
        })
        .to_vec()
}

/// What a script writes, in a directory of its own.
fn made(script: &str) -> Vec<u8> {
    let script = format!("cd \"$1\" && {script}");
    let directory = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

fn unpacked(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let output = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(path)
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

/// One package in rpm's own database.
fn ndb() -> Vec<u8> {
    let mut data = Vec::new();
    let mut entries = Vec::new();
    for (tag, text) in [
        (1000u32, "a\0"),
        (1001, "1.0\0"),
        (1002, "2\0"),
        (1044, "a-1.0-2.src.rpm\0"),
    ] {
        for word in [tag, 6, data.len() as u32, 1] {
            entries.extend_from_slice(&word.to_be_bytes());
        }
        data.extend_from_slice(text.as_bytes());
    }
    let count = (entries.len() / 16) as u32;
    let header = [
        &count.to_be_bytes()[..],
        &(data.len() as u32).to_be_bytes(),
        &entries,
        &data,
    ]
    .concat();
    let mut file = vec![0; 4096];
    let mut put = |at: usize, words: &[u32]| {
        for (n, word) in words.iter().enumerate() {
            file[at + 4 * n..at + 4 * n + 4].copy_from_slice(&word.to_le_bytes());
        }
    };
    let four = |text: &[u8; 4]| u32::from_le_bytes(*text);
    put(0, &[four(b"RpmP"), 0, 0, 1]);
    for slot in 2..256 {
        let used = u32::from(slot == 2);
        put(slot * 16, &[four(b"Slot"), used, used * 256, 1]);
    }
    let block = [four(b"BlbS"), 1, 0, header.len() as u32];
    file.extend(block.iter().flat_map(|word| word.to_le_bytes()));
    file.extend_from_slice(&header);
    file
}

/// A database with one row more in its log, behind the length of the database.
fn logged() -> Vec<u8> {
    let both = made(
        "sqlite3 db 'PRAGMA page_size=512; CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB); \
         INSERT INTO Packages (blob) VALUES (zeroblob(300));' && sqlite3 db 'PRAGMA journal_mode=WAL; \
         INSERT INTO Packages (blob) VALUES (zeroblob(900));' '.shell cat db db-wal > both' > said && cat both",
    );
    let log = both.windows(3).position(|bytes| bytes == b"\x37\x7f\x06");
    let length = log.expect("a log begins so") as u16;
    [&length.to_le_bytes()[..], &both].concat()
}

/// An executable with the build information of a Go program, or with a section table.
fn program(list: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    if list.is_empty() {
        // One section, whose name is in itself.
        file[40] = 64;
        file[60] = 1;
        let mut entry = vec![0; 64];
        entry[24] = 128;
        entry[32] = 9;
        file.extend_from_slice(&entry);
        file.extend_from_slice(b".dep-v0\0");
        return file;
    }
    let mut blob = b"\xff Go buildinf:\x08\x02".to_vec();
    blob.resize(32, 0);
    for text in [&b"go1.24.1"[..], &[&[b'<'; 16], list, &[b'>'; 16]].concat()] {
        blob.push(text.len() as u8);
        blob.extend_from_slice(text);
    }
    file.extend_from_slice(&blob);
    file
}

/// A jar with a jar in it, and a document of advisories.
fn zipped() -> Vec<u8> {
    let pack = |files: &[(&str, &[u8])]| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, content) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            std::io::Write::write_all(&mut zip, content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let properties = b"groupId=g\nartifactId=a\nversion=1.0\n";
    let inner = pack(&[("META-INF/maven/g/a/pom.properties", properties)]);
    let advisory =
        br#"{"id":"A-1","affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":["1"]}]}"#;
    pack(&[
        ("lib/inner.jar", &inner),
        ("META-INF/maven/pom.properties", properties),
        ("A-1.json", advisory),
    ])
}

/// Records as a store writes them.
fn store_records() -> Vec<Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let store = imgmake_oci::store::Store::open(&directory.path().join("store")).unwrap();
    store.put_step("a", b"{}").unwrap();
    store.put_step("b", b"").unwrap();
    ["a", "b"]
        .map(|name| fs::read(store.root().join("steps").join(name)).unwrap())
        .to_vec()
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
            files("crates/imgmake-core/tests/data/manifest", ".kdl"),
            files("examples", ".kdl"),
        ]
        .concat(),
        "source_list" => texts(&[
            r#"{"version":1,"manifest":"imgmake.kdl","targets":["app"],"facts":{"variables":{"TAG":"1"},"environment":{},"git":{},"sets":[],"env_files":[".env"]},"pins":{},"entries":[{"type":"file","path":"a\\\xff","mode":420,"size":3,"hash":"abababababababababababababababababababababababababababababababab","content":{"chunk":0,"offset":0}},{"type":"directory","path":"d","mode":493},{"type":"file","path":"imgmake.kdl","mode":420,"size":0,"hash":"abababababababababababababababababababababababababababababababab"},{"type":"symlink","path":"l","target":"../x"},{"type":"hardlink","path":"n","target":"imgmake.kdl"}],"chunks":[{"hash":"abababababababababababababababababababababababababababababababab","size":3}]}"#,
        ]),
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
        "registry_answer" => [
            documents(),
            texts(&[
                r#"{"token":"t","access_token":null,"expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}"#,
                r#"{"errors":[{"code":"DENIED","message":"no","detail":{"a":[1]}}]}"#,
                r#"{"error":"invalid_grant","error_description":"no"}"#,
                "<html><head><title>502 Bad Gateway</title></head></html>",
            ]),
        ]
        .concat(),
        "logins" => texts(&[
            r#"{"auths":{"r.example":{"auth":"dTpw"},"https://index.docker.io/v1/":{"identitytoken":"t","username":"u","password":"p"}},"credHelpers":{"a.example":"b"},"credsStore":"c"}"#,
            r#"{"AUTHS":null,"credsstore":null,"proxies":{"default":{"httpProxy":"x"}}}"#,
        ]),
        "docker_build" => texts(&[
            "c.\nfDockerfile\nta/b:c\naA=b\naC\ngstage\nplinux/amd64,linux/arm64\nlA=b\nnindex:a=b\nsid=a,env=B\nhdefault\nda:1.2.3.4\nxa=docker-image://b\notype=tar,dest=x.tar\nP",
            "chttps://example.com/a.git#b:c\nxbase=oci-layout://d:t\notype=local,dest=out\notype=registry,ref=r/a:b\nL",
        ]),
        "jar_texts" => texts(&[
            "Manifest-Version: 1.0\r\nImplementation-Title: a\r\nImplementation-Version: 1.0\r\nBundle-SymbolicName: org.example.a;sing\r\n leton:=true\r\n\r\nName: x\r\n",
            "#c\ngroupId=g\nartifactId : a\\u002db\nversion 1\\\n  .0\n",
        ]),
        "sparse" => sparse(),
        "pax" => {
            let mut seeds = layers();
            seeds.truncate(1);
            seeds.extend(sparse());
            seeds
        }
        "rpm_sqlite" => vec![made(
            "sqlite3 db 'PRAGMA page_size=512; CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB); \
             INSERT INTO Packages (blob) VALUES (zeroblob(300)), (zeroblob(900)), (zeroblob(20)); \
             CREATE TABLE Name (k TEXT);' && cat db",
        )],
        "rpm_sqlite_log" => vec![logged()],
        "systems" => [
            vec![zipped()],
            texts(&[
                "Package: a\nVersion: 1-2\nArchitecture: x\nStatus: install user installed\n\n",
                "%NAME%\na\n\n%VERSION%\n1.0-1\n\n%ARCH%\nx86_64\n",
                "a-1.0-r2\n",
                r#"{"name":"a","version":"1.0","build_number":0}"#,
                "a\t1.0-2.cm2\t1\t2\tvendor\t(none)\t9\tx86_64\t0\ta-1.0-2.src.rpm\n",
                r#"{"packages":[{"name":"a","versionInfo":"1.0-1","externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:bitnami/a@1.0-1"}]}]}"#,
                "<?php\n$wp_version = '6.4.1';\n",
                "<?php\n/*\n * Plugin Name: A\n * Version: 1.0\n */\n",
                "const RAW_RUNTIME_STATE =\n'{\\\n  \"packageRegistryData\": [[\"a\", [[\"npm:1.0.0\", {}]]]]\\\n}';\n",
                r#"{"packageRegistryData":[[null,[[null,{}]]],["a",[["npm:1.0.0",{"packageLocation":"./x/"}],["patch:b@npm%3A1.0#~/x",{}]]]]}"#,
            ]),
            vec![made(
                "printf '%s\\n' '{\"jsonwall\":\"1.0\",\"schema\":\"1.0\",\"count\":2}' \
                 '{\"kind\":\"package\",\"name\":\"a\",\"version\":\"1.0\",\"arch\":\"amd64\"}' | zstd -c",
            )],
        ]
        .concat(),
        "lists" => texts(&[
            "#model_version:v2025.03.14,score_date:2026-01-01T00:00:00+0000\ncve,epss,percentile\nCVE-2026-1,0.5,0.9\nCVE-2026-2,1e-5,0.1\n",
            r#"{"catalogVersion":"2026.01.01","dateReleased":"2026-01-01T00:00:00Z","count":1,"vulnerabilities":[{"cveID":"CVE-2026-1"}]}"#,
        ]),
        "report" => texts(&[
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x","rules":[{"id":"CVE-2026-1","properties":{"security-severity":"9.8"}}]},"extensions":[]},"invocations":[{"executionSuccessful":true}],"results":[{"ruleId":"CVE-2026-1","ruleIndex":0,"rule":{"index":0,"toolComponent":{"index":0}},"level":"error","message":{"text":"a"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a"}}}],"baselineState":"new"}]}]}"#,
            r#"{"SchemaVersion":2,"Results":[{"Target":"a","Type":"debian","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-1","PkgName":"a","InstalledVersion":"1","FixedVersion":"2","Severity":"HIGH","PkgIdentifier":{"PURL":"pkg:deb/debian/a@1"}}],"Secrets":[{"RuleID":"x","Severity":"HIGH","Title":"t"}],"Misconfigurations":[],"Licenses":[]}]}"#,
            r#"{"matches":[{"vulnerability":{"id":"CVE-2026-1","severity":"High","fix":{"versions":["2"],"state":"fixed"}},"artifact":{"name":"a","version":"1","type":"deb","purl":"pkg:deb/debian/a@1","locations":[{"path":"/a"}]}}],"ignoredMatches":[]}"#,
        ]),
        "signed" => [
            files("crates/imgmake-oci/tests/data/keys", ""),
            texts(&[
                r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"00"}}],"predicateType":"x","predicate":{}}"#,
                r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"},"tlogEntries":[]},"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEUCIQ==","keyid":""}]}}"#,
            ]),
        ]
        .concat(),
        "rpm_ndb" => vec![ndb()],
        "rpm_berkeley" => vec![unpacked("crates/imgmake-scan/tests/data/rpm-packages.bdb.gz")],
        "program" => vec![program(b"path\ta\ndep\tb\tv1.0.0\th1:x=\n=>\tc\tv1.1.0\n"), program(b"")],
        "jar" | "advisory_zip" => vec![zipped()],
        "package_lists" => texts(&[
            "Package: a\nStatus: install ok installed\nVersion: 1:2-3\nSource: b (4)\n\nPackage: c\n",
            "P:musl\nV:1.2-r3\no:src\nA:x86_64\n\n",
            "ID=debian\nVERSION_ID=\"12\"\n",
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n",
            r#"{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0.0","dev":true}},"dependencies":{"b":{"version":"2","dependencies":{}}}}"#,
            "\"a@^1\":\n  version \"1.0.0\"\n\na@npm:1:\n  version: 1\n",
            "packages:\n  /a/1.0.0:\n  'b@2.0.0(c@1)':\n",
            "{\n  \"packages\": {\n    \"a\": [\"a@1.0.0\", \"\", {}, \"x\"],\n  }\n}\n",
            "[[package]]\nname = \"a\"\nversion = \"1\"\ngroups = [\"dev\"]\nsource = { virtual = \".\" }\n",
            "groupId=g\nartifactId=a\nversion=1\n",
            "Metadata-Version: 2.1\nName: a\nVersion: 1.0\n",
            "Gem::Specification.new do |s|\n  s.name = \"a\".freeze\n  s.version = \"1.0\"\nend\n",
            "GEM\n  specs:\n    a (1.0)\n",
            r#"{"packages":[{"name":"a/b","version":"v1.0"}],"libraries":{"A/1.0":{"type":"package"}},"auths":{"r":{"auth":"eDp5"}}}"#,
        ]),
        "advisory" => texts(&[
            r#"{"id":"A-1","modified":"2026-01-01T00:00:00Z","aliases":["CVE-1"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],"affected":[{"package":{"ecosystem":"Debian:12","name":"a"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1-2"}]}],"versions":["1"],"database_specific":{"severity":"HIGH"}}]}"#,
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\nCVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N\n(AV:N/AC:L/Au:N/C:P/I:P/A:P)\n9.8",
        ]),
        "versions" => texts(&[
            "1:2.3~rc1-4+deb12u1\n2.3-4",
            "1.2.3_alpha1-r4\n1.2.3b_p5",
            "1!2.0.post1.dev3+local.1\n2.0rc1",
            "1.0-alpha-1-SNAPSHOT\n1.0.RELEASE",
            "1.0.0-rc.1+build\nv1.0",
        ]),
        "policy" => texts(&[
            "# why\nCVE-2026-1 exp:2026-12-31\nCVE-2026-2\n",
            "vulnerabilities:\n  - id: CVE-2026-1\n    paths:\n      - \"usr/**\"\n    expired_at: 2026-12-31\n    statement: why\nsecrets:\n  - id: aws\n",
            r#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"CVE-1","aliases":["A"]},"products":[{"@id":"pkg:oci/a","subcomponents":[{"@id":"pkg:deb/b"}]}],"status":"not_affected","justification":"x"}]}"#,
        ]),
        "git_answer" => texts(&[
            "000eversion 2\n0015agent=git/2.47.0\n0013ls-refs=unborn\n0012fetch=shallow\n0000003daaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa refs/heads/main\n0000000dpackfile\n0009\u{1}PACK0006\u{2}x0000",
            "001e# service=git-upload-pack\n00000049aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HEAD\0side-band-64k ofs-delta\n0000",
            "0011ERR not found0000",
        ]),
        "bake" => [
            files("tests", ".hcl"),
            texts(&[
                "variable \"A\" { default = \"x\" }\ngroup \"default\" { targets = [\"a\"] }\ntarget \"a\" {\n  inherits = [\"b\"]\n  args = { V = upper(\"${A}-${A == \"x\" ? 1 : 2}\") }\n  tags = [for t in [\"1\", \"2\"] : \"r/a:${t}\"]\n}\ntarget \"b\" { matrix = { k = [1, 2] }, name = \"b-${k}\" }\nfunction \"f\" { params = [x], result = x }\n",
                r#"{"variable":{"A":{"default":"x"}},"target":{"default":{"tags":["a:${A}"],"args":{"B":"${upper(A)}"}}}}"#,
            ]),
        ]
        .concat(),
        "plugin" => texts(&[
            "PLUGIN_REPO=a/b\nPLUGIN_TAGS=1,latest\nPLUGIN_USERNAME=u\nPLUGIN_PASSWORD=p\nPLUGIN_BUILD_ARGS=A=b,C=d\nPLUGIN_AUTO_TAG=true\nDRONE_COMMIT_REF=refs/tags/v1.2.3\nPLUGIN_PLATFORM=linux/arm64\nPLUGIN_CACHE_FROM=type=registry,ref=x",
            "PLUGIN_REGISTRY=1.dkr.ecr.eu-west-1.amazonaws.com\nPLUGIN_REPO=x\nPLUGIN_ACCESS_KEY=a\nPLUGIN_SECRET_KEY=b\nPLUGIN_REGION=eu-west-1\nPLUGIN_CREATE_REPOSITORY=true\nPLUGIN_BAKE_FILE=docker-bake.hcl",
        ]),
        "kaniko" => texts(&[
            "--context=dir:///workspace\n--destination=r.example/a:1\n--build-arg=A=b\n--cache=true\n--cache-ttl=6h\n--custom-platform=linux/arm64\n--registry-mirror=m",
            "-c\ntar://stdin\n--no-push\n--tar-path=x.tar\n--label\na=b\n--ignore-path=/x\n--git=branch=main,single-branch=true",
            "--context=git://github.com/a/b.git#refs/heads/main#0123456789012345678901234567890123456789\n--context-sub-path=d",
        ]),
        "store_record" => [store_records(), documents()].concat(),
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
        let through_files = [
            "archive",
            "docker_manifest",
            "oci_index",
            "advisory_zip",
            "store_record",
        ]
        .contains(name);
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
