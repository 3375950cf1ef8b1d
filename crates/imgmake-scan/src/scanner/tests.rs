//! Scanners played by shell scripts that take the real arguments and answer in
//! the real shapes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::tests::ground::{Ground, file};
use crate::{ScanRequest, Scanner, Severity, Verdict, scan};
use imgmake_event::{Cancel, Events};

const TRIVY_REPORT: &str = r#"{"SchemaVersion":2,"ArtifactName":"image.tar","ArtifactType":"container_image",
"Metadata":{"OS":{"Family":"debian","Name":"10.13","EOSL":true}},
"Results":[{"Target":"image.tar (debian 10.13)","Class":"os-pkgs","Type":"debian","Vulnerabilities":[
{"VulnerabilityID":"CVE-2026-2","PkgID":"libssl3@3.0.1","PkgName":"libssl3","PkgIdentifier":{"PURL":"pkg:deb/debian/libssl3@3.0.1?arch=amd64"},
"InstalledVersion":"3.0.1","FixedVersion":"3.0.2","Status":"fixed","Layer":{"Digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","DiffID":"sha256:00"},
"SeveritySource":"nvd","Title":"reads too far","Severity":"HIGH","CVSS":{"ghsa":{"V3Score":5.0},"nvd":{"V3Vector":"CVSS:3.1/AV:N","V3Score":7.5}}},
{"VulnerabilityID":"CVE-2026-3","PkgName":"zlib1g","InstalledVersion":"1.2","Status":"affected","Severity":"LOW"}]},
{"Target":"app/node_modules/x/package.json","Class":"lang-pkgs","Type":"node-pkg"}]}"#;

const GRYPE_REPORT: &str = r#"{"matches":[{"vulnerability":{"id":"GHSA-1","dataSource":"x","namespace":"github:language:javascript","severity":"Critical",
"description":"bad","cvss":[{"version":"3.1","vector":"x","metrics":{"baseScore":9.8}}],"fix":{"versions":["4.17.21"],"state":"fixed"}},
"relatedVulnerabilities":[{"id":"CVE-2026-4"}],"matchDetails":[],
"artifact":{"name":"lodash","version":"4.17.20","type":"npm","locations":[{"path":"/app/node_modules/lodash/package.json","layerID":"sha256:00"}],"purl":"pkg:npm/lodash@4.17.20"}}],
"source":{"type":"image"},"descriptor":{"name":"grype","version":"0.90.0","db":{"status":{"schemaVersion":"v6.0.2","built":"2026-06-14T00:00:00Z","valid":true}}}}"#;

const SARIF_REPORT: &str = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"checker","rules":[{"id":"CVE-2026-5","properties":{"security-severity":"9.1"}}]}},
"results":[{"ruleId":"CVE-2026-5","ruleIndex":0,"level":"error","message":{"text":"Package: curl\nInstalled Version: 8.0\nFixed Version: 8.1"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"usr/bin/curl"}}}]},
{"ruleId":"X-1","level":"note","message":{"text":"a hint"}},{"ruleId":"X-2","kind":"pass","message":{"text":"fine"}}]}]}"#;

struct Stage {
    ground: Ground,
    request: ScanRequest,
}

impl Stage {
    fn new(scanner: Scanner) -> Stage {
        let ground = Ground::new();
        fs::create_dir(ground.path("bin")).unwrap();
        let image = ground.image("app", &[&[file("a", "1")]]);
        let mut request = ground.request(&[image]);
        request.scanner = scanner;
        let path = format!("{}:/usr/bin:/bin", ground.path("bin").display());
        request.environment.insert("PATH".into(), path.into());
        Stage { ground, request }
    }

    /// A script in PATH; `$here` is the directory of the test.
    fn with(self, name: &str, script: &str) -> Stage {
        let path = self.ground.path("bin").join(name);
        let text = format!(
            "#!/bin/sh\nhere={}\n{script}\n",
            self.ground.directory.path().display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn file(self, name: &str, text: &str) -> Stage {
        let path = self.ground.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn run(&self) -> Verdict {
        self.ground.run(&self.request)
    }

    fn refused_because(&self, words: &str) {
        let verdict = self.run();
        assert!(!verdict.passed);
        assert!(
            verdict.refusals.iter().any(|r| r.contains(words)),
            "{:?}",
            verdict.refusals
        );
    }
}

/// Trivy refuses OCI archives and takes the archive from `--input`.
const TRIVY: &str = r#"echo run >> $here/runs
[ "$1" = image ] || exit 9
while [ $# -gt 0 ]; do case "$1" in --input) archive=$2; shift;; --format) format=$2; shift;; esac; shift; done
[ "$format" = json ] || exit 9
tar -tf "$archive" | grep -qx manifest.json || { echo "FATAL not a docker archive" >&2; exit 1; }
cat $here/report.json"#;

fn trivy() -> Stage {
    Stage::new(Scanner::Trivy)
        .with("trivy", TRIVY)
        .file("report.json", TRIVY_REPORT)
}

#[test]
fn trivy_gets_a_docker_archive_and_its_findings_are_judged_here() {
    let verdict = trivy().run();
    assert!(!verdict.passed);
    let findings = &verdict.images[0].platforms[0].findings;
    assert_eq!(findings.len(), 2);
    let worst = &findings[0].finding;
    assert_eq!(
        (worst.id.as_str(), worst.severity, worst.score),
        ("CVE-2026-2", Severity::High, Some(7.5))
    );
    assert_eq!(worst.fixed.as_deref(), Some("3.0.2"));
    assert!(worst.layer.is_some() && worst.purl.is_some());
    assert!(verdict.warnings[0].contains("no longer supported"));
    assert_eq!(verdict.refusals.len(), 1, "{:?}", verdict.refusals);
}

#[test]
fn grype_and_its_database_date_are_read() {
    let grype = r#"case "$1" in docker-archive:*) cat $here/report.json;; *) exit 1;; esac"#;
    let mut stage = Stage::new(Scanner::Grype)
        .with("grype", grype)
        .file("report.json", GRYPE_REPORT);
    stage.request.policy.max_database_age = Some(Duration::from_secs(3 * 86400));
    let verdict = stage.run();
    let finding = &verdict.images[0].platforms[0].findings[0].finding;
    assert_eq!(
        (finding.id.as_str(), finding.aliases[0].as_str()),
        ("GHSA-1", "CVE-2026-4")
    );
    assert_eq!(
        finding.path.as_deref(),
        Some("app/node_modules/lodash/package.json")
    );
    assert_eq!(verdict.refusals.len(), 1, "{:?}", verdict.refusals);
    stage.request.policy.max_database_age = Some(Duration::from_secs(86400));
    stage.refused_because("too old");
}

#[test]
fn a_scanner_that_is_missing_fails_or_babbles_is_a_refusal() {
    Stage::new(Scanner::Trivy).refused_because("`trivy` not found: it is not in PATH");
    Stage::new(Scanner::Trivy)
        .with("trivy", "echo no database >&2; exit 1")
        .refused_because("no database");
    Stage::new(Scanner::Trivy)
        .with("trivy", "exit 0")
        .refused_because("wrote no report");
    Stage::new(Scanner::Trivy)
        .with("trivy", "echo '{}'")
        .refused_because("SchemaVersion");
    Stage::new(Scanner::Trivy)
        .with("trivy", "kill -9 $$")
        .refused_because("signal 9");
    Stage::new(Scanner::Grype)
        .with("grype", "echo '{\"matches\": 3}'")
        .refused_because("invalid report of");
}

#[test]
fn a_scanner_that_hangs_is_a_refusal() {
    let mut stage = Stage::new(Scanner::Trivy).with("trivy", "sleep 300 & wait; sleep 300");
    stage.request.timeout = Some(Duration::from_millis(500));
    stage.refused_because("took longer than 500 ms");
}

/// Waits for what another process does in its own time.
fn until(what: &str, done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_cancelled_scanner_ends_with_its_children_even_if_it_does_not_want_to() {
    let script = "trap '' TERM\nsleep 300 & echo $! > $here/child.new; mv $here/child.new $here/child\nwait; sleep 300";
    let stage = Stage::new(Scanner::Trivy).with("trivy", script);
    let cancel = Cancel::default();
    let child = stage.ground.path("child");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the scanner starts", || child.exists());
            cancel.cancel();
        });
        assert!(
            scan(
                &stage.request,
                &stage.ground.store,
                &Events::discard(),
                &cancel
            )
            .is_err()
        );
    });
    let number = fs::read_to_string(&child).unwrap();
    until("the child is gone", || {
        let state = fs::read_to_string(format!("/proc/{}/stat", number.trim()));
        state.is_ok_and(|s| s.contains(") Z"))
            || !std::path::Path::new(&format!("/proc/{}", number.trim())).exists()
    });
}

#[test]
fn filters_in_the_environment_or_the_project_do_not_reach_the_scanner() {
    let script =
        format!("env | grep -q TRIVY_SEVERITY && exit 8\n[ -e .trivyignore ] && exit 7\n{TRIVY}");
    let mut stage = trivy()
        .with("trivy", &script)
        .file(".trivyignore", "CVE-2026-2\n");
    stage
        .request
        .environment
        .insert("TRIVY_SEVERITY".into(), "CRITICAL".into());
    stage.refused_because("CVE-2026-2");
}

#[test]
fn findings_are_kept_until_image_program_or_database_change() {
    let metadata = |updated: &str| {
        format!(
            r#"{{"Version":2,"NextUpdate":"2026-06-16T00:00:00Z","UpdatedAt":"{updated}","DownloadedAt":"2026-06-15T00:00:00Z"}}"#
        )
    };
    let mut stage = trivy().file("cache/db/metadata.json", &metadata("2026-06-15T00:00:00Z"));
    let cache = stage.ground.path("cache");
    stage
        .request
        .environment
        .insert("TRIVY_CACHE_DIR".into(), cache.into());
    let runs = |stage: &Stage| {
        stage.run();
        fs::read_to_string(stage.ground.path("runs"))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!((runs(&stage), runs(&stage)), (1, 1));
    let mut stage = stage.file("cache/db/metadata.json", &metadata("2026-06-15T06:00:00Z"));
    assert_eq!((runs(&stage), runs(&stage)), (2, 2));
    // From its next update on, nobody knows which database the program would use.
    stage.request.policy.now += jiff::SignedDuration::from_hours(48);
    assert_eq!((runs(&stage), runs(&stage)), (3, 4));
}

fn command(line: &str) -> Stage {
    Stage::new(Scanner::Command(line.into()))
}

#[test]
fn a_command_gets_archive_layout_and_report() {
    let check = "tar -tf \"$1\" | grep -qx manifest.json && [ -e \"$2/oci-layout\" ] && cp $here/report.json \"$3\"";
    for (report, id) in [
        (TRIVY_REPORT, "CVE-2026-2"),
        (GRYPE_REPORT, "GHSA-1"),
        (SARIF_REPORT, "CVE-2026-5"),
    ] {
        let stage = command("check '{archive}' {layout} {report}")
            .with("check", check)
            .file("report.json", report);
        stage.refused_because(id);
    }
}

#[test]
fn sarif_tells_packages_severities_and_places() {
    let stage = command("cat {project}/report.json").file("report.json", SARIF_REPORT);
    let verdict = stage.run();
    let findings = &verdict.images[0].platforms[0].findings;
    assert_eq!(findings.len(), 2, "what passed is not a finding");
    let first = &findings[0].finding;
    assert_eq!(
        (
            first.package.as_str(),
            first.fixed.as_deref(),
            first.severity
        ),
        ("curl", Some("8.1"), Severity::Critical)
    );
    assert_eq!(findings[1].finding.severity, Severity::Low);
}

#[test]
fn the_exit_code_of_a_command_is_a_gate() {
    assert!(command("true").run().passed);
    command("echo bad things >&2; exit 4").refused_because("exited with 4: bad things");
    command("no-such-scanner {archive}").refused_because("exited with 127");
    command("true {report}").refused_because("wrote no report");
    command("echo '{\"some\": \"json\"}'").refused_because("neither SARIF");
    command("echo '{}' > {report}; exit 1").refused_because("exited with 1");
}
