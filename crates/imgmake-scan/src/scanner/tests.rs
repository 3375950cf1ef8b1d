//! Scanners played by shell scripts that take the real arguments and answer in
//! the real shapes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::tests::ground::{Ground, file};
use crate::{ScanRequest, Scanner, Severity, Verdict, scan};
use imgmake_event::{Cancel, Events};

const TRIVY_REPORT: &str = r#"{"SchemaVersion":2,"ArtifactName":"image.tar","ArtifactType":"container_image",
"Metadata":{"OS":{"Family":"debian","Name":"10.13"}},
"Results":[{"Target":"image.tar (debian 10.13)","Class":"os-pkgs","Type":"debian","Vulnerabilities":[
{"VulnerabilityID":"CVE-2026-2","PkgID":"libssl3@3.0.1","PkgName":"libssl3","PkgIdentifier":{"PURL":"pkg:deb/debian/libssl3@3.0.1?arch=amd64"},
"InstalledVersion":"3.0.1","FixedVersion":"3.0.2","Status":"fixed","Layer":{"Digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","DiffID":"sha256:00"},
"SeveritySource":"nvd","Title":"reads too far","Severity":"HIGH","CVSS":{"ghsa":{"V3Score":5.0},"nvd":{"V3Vector":"CVSS:3.1/AV:N","V3Score":7.5}}},
{"VulnerabilityID":"CVE-2026-3","PkgName":"zlib1g","InstalledVersion":"1.2","Status":"affected","Severity":"LOW"}]},
{"Target":"app/node_modules/x/package.json","Class":"lang-pkgs","Type":"node-pkg"}]}"#;

const GRYPE_REPORT: &str = r#"{"matches":[{"vulnerability":{"id":"GHSA-1","dataSource":"x","namespace":"github:language:javascript","severity":"Critical",
"description":"bad","cvss":[{"version":"3.1","vector":"x","metrics":{"baseScore":9.8}}],"fix":{"versions":["4.17.21"],"state":"fixed"}},
"relatedVulnerabilities":[{"id":"CVE-2026-4"}],"matchDetails":[],
"artifact":{"name":"lodash","version":"4.17.20","type":"npm","locations":[{"path":"/app/node_modules/lodash/package.json","layerID":"sha256:00"},{"path":"/srv/package-lock.json"}],"purl":"pkg:npm/lodash@4.17.20"}}],
"source":{"type":"image"},"descriptor":{"name":"grype","version":"0.90.0","db":{"status":{"schemaVersion":"v6.0.2","built":"2026-06-14T00:00:00Z","valid":true}}}}"#;

const SARIF_REPORT: &str = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"checker","rules":[{"id":"CVE-2026-5","properties":{"security-severity":"9.1"}}]}},
"results":[{"ruleId":"CVE-2026-5","ruleIndex":0,"level":"error","message":{"text":"Package: curl\nInstalled Version: 8.0\nFixed Version: 8.1"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"usr/bin/curl"}}},{"physicalLocation":{"artifactLocation":{"uri":"opt/curl"}}}]},
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
    assert_eq!(verdict.refusals.len(), 1, "{:?}", verdict.refusals);
}

/// What Trivy has no advisories for is not clean.
#[test]
fn a_release_that_trivy_calls_unsupported_is_not_judged() {
    let report = TRIVY_REPORT.replace("\"10.13\"", "\"10.13\",\"EOSL\":true");
    let verdict = trivy().file("report.json", &report).run();
    let refusals = verdict.refusals.join("\n");
    assert!(
        refusals.contains("packages of debian 10.13 not judged"),
        "{refusals}"
    );
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
    assert_eq!(finding.other_paths, ["srv/package-lock.json"]);
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
fn filters_in_the_environment_the_project_or_the_home_do_not_reach_the_scanner() {
    let script = format!(
        "env | grep -q -e TRIVY_SEVERITY -e TRIVY_PASSWORD -e TRIVY_IGNORE && exit 8\n[ -e .trivyignore ] && exit 7\n[ -e \"$HOME/.trivyignore\" ] && exit 6\n{TRIVY}"
    );
    let mut stage = trivy()
        .with("trivy", &script)
        .file(".trivyignore", "CVE-2026-2\n");
    let home = stage.ground.directory.path().to_path_buf();
    for (name, value) in [
        ("TRIVY_SEVERITY", "CRITICAL"),
        ("TRIVY_PASSWORD", "secret"),
        ("TRIVY_IGNORE_SOMETHING_NEW", "1"),
        ("HOME", home.to_str().unwrap()),
    ] {
        stage.request.environment.insert(name.into(), value.into());
    }
    stage.refused_because("CVE-2026-2");
    stage.request.scanner = Scanner::Command(
        "[ -e ~/.trivyignore ] && exit 6; env | grep TRIVY_ && exit 8; exit 0".into(),
    );
    assert!(stage.run().passed);
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
    assert_eq!(first.path.as_deref(), Some("usr/bin/curl"));
    assert_eq!(first.other_paths, ["opt/curl"]);
    assert_eq!(findings[1].finding.severity, Severity::Low);
}

/// A run of SARIF that found nothing, with these further fields.
fn sarif_run(fields: &str) -> String {
    format!(
        r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"name":"checker"}}}}{fields}}}]}}"#
    )
}

#[test]
fn a_command_whose_report_cannot_be_read_is_refused() {
    let clean = sarif_run(r#","results":[]"#);
    let printed = |text: &str| command("cat {project}/output").file("output", text);
    assert!(printed(&clean).run().passed);
    assert!(printed(&format!("\u{feff}{clean}")).run().passed);
    assert!(printed("[INFO] nothing found\n").run().passed);
    for (output, why) in [
        (format!("[INFO] scanning\n{SARIF_REPORT}"), "line 2"),
        (format!("[{SARIF_REPORT}]"), "it is a list"),
        (format!("{clean}\ndone\n"), "trailing characters"),
        (
            r#"{"runs":[],"matches":[]}"#.to_string(),
            "fields of several formats",
        ),
        (
            r#"{"SchemaVersion":3,"Results":[]}"#.to_string(),
            "unknown `SchemaVersion` 3",
        ),
    ] {
        printed(&output).refused_because(why);
        let table = printed(&output).run().table;
        assert!(table.contains("refused without a finding"), "{table}");
        assert!(!table.contains("nothing found"), "{table}");
        command("cat {project}/output >&2; cp {project}/output {report}")
            .file("output", &output)
            .refused_because("invalid report of `the scan command`");
    }
    let marked = format!("\u{feff}{clean}");
    assert!(
        command("cp {project}/output {report}")
            .file("output", &marked)
            .run()
            .passed
    );
    command("mkfifo {report}").refused_because("not a regular file");
    command("mkdir {report}").refused_because("not a regular file");
}

/// Of a repeated key, one would count; one in another case would not.
#[test]
fn a_key_of_a_report_twice_or_in_another_case_is_refused() {
    let clean = r#""matches":[],"descriptor":{}"#;
    for (report, why) in [
        (
            r#"{"SchemaVersion":2,"Results":[{"Vulnerabilities":[{"VulnerabilityID":"C"}],"Vulnerabilities":[]}]}"#,
            "duplicate key `Vulnerabilities`",
        ),
        (
            r#"{"SchemaVersion":2,"results":[{"Vulnerabilities":[]}]}"#,
            "the key `results` is written `Results`",
        ),
        (
            r#"{"SchemaVersion":2,"Results":[{"vulnerabilities":[]}]}"#,
            "the key `vulnerabilities` is written `Vulnerabilities`",
        ),
        (
            r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"a"}},"results":[],"Results":[{}]}]}"#,
            "the key `Results` is written `results`",
        ),
        (
            &format!(r#"{{{clean},"Matches":[{{}}]}}"#),
            "the key `Matches` is written `matches`",
        ),
        (
            &format!(r#"{{{clean},"matches":[]}}"#),
            "duplicate key `matches`",
        ),
        ("SchemaVersion: 2\nResults: []\n", "it is YAML"),
    ] {
        let stage = command("cat {project}/output").file("output", report);
        stage.refused_because(why);
    }
    let stage =
        Stage::new(Scanner::Grype).with("grype", &format!("echo '{{{clean},\"matches\":[]}}'"));
    stage.refused_because("duplicate key `matches`");
}

#[test]
fn a_run_of_sarif_that_did_not_scan_is_refused() {
    for (fields, why) in [
        ("", "has no `results`"),
        (r#","results":null"#, "has no `results`"),
        (
            r#","results":[],"externalPropertyFileReferences":{"results":[{"itemCount":3}]}"#,
            "in other files",
        ),
        (
            r#","results":[],"invocations":[{"executionSuccessful":false}]"#,
            "not successful",
        ),
        (
            r#","results":[],"invocations":[{"executionSuccessful":true,"toolExecutionNotifications":[{"level":"error","message":{"text":"no database"}}]}]"#,
            "reports an error: no database",
        ),
        (
            r#","results":[],"invocations":[{"executionSuccessful":true,"toolConfigurationNotifications":[{"level":"error","message":{"text":"no rules"}}]}]"#,
            "reports an error: no rules",
        ),
    ] {
        let stage = command("cat {project}/output").file("output", &sarif_run(fields));
        stage.refused_because(why);
    }
    let warned = r#","results":[],"invocations":[{"executionSuccessful":true,"toolExecutionNotifications":[{"message":{"text":"slow"}}]}]"#;
    let stage = command("cat {project}/output").file("output", &sarif_run(warned));
    assert!(stage.run().passed);
    for (report, why) in [
        (r#"{"version":"2.1.0","runs":[]}"#, "has no run"),
        (
            r#"{"version":"2.2.0","runs":[]}"#,
            "unknown version `2.2.0`",
        ),
    ] {
        command("cat {project}/output")
            .file("output", report)
            .refused_because(why);
    }
}

#[test]
fn rules_of_sarif_are_found_in_extensions_by_index_and_by_id() {
    let rule = |id: &str, score: &str| {
        format!(r#"{{"id":"{id}","properties":{{"security-severity":"{score}"}}}}"#)
    };
    let report = format!(
        r#"{{"version":"2.1.0","runs":[{{"tool":{{"driver":{{"name":"checker","rules":[{}]}},"extensions":[{{"name":"pack","guid":"g","rules":[{},{}]}}]}},"results":[
        {{"ruleId":"A","rule":{{"index":0,"toolComponent":{{"index":0}}}},"message":{{}}}},
        {{"rule":{{"id":"B","index":1,"toolComponent":{{"name":"pack"}}}},"message":{{}}}},
        {{"ruleId":"B/1","message":{{}}}},
        {{"ruleId":"B","ruleIndex":0,"message":{{}}}},
        {{"ruleId":"C","rule":{{"toolComponent":{{"index":9}}}},"message":{{}}}},
        {{"ruleId":"B","baselineState":"absent","message":{{}}}},
        {{"ruleId":"D","kind":"review","level":"none","message":{{}}}},
        {{"ruleId":"D","kind":"notApplicable","message":{{}}}}]}}]}}"#,
        rule("D", "1.0"),
        rule("A", "9.5"),
        rule("B", "8.0"),
    );
    let verdict = command("cat {project}/output")
        .file("output", &report)
        .run();
    let findings = verdict.images[0].platforms[0].findings.iter();
    let found: Vec<(&str, Severity)> = findings
        .map(|judged| (judged.finding.id.as_str(), judged.finding.severity))
        .collect();
    assert_eq!(
        found,
        [
            ("A", Severity::Critical),
            ("B", Severity::High),
            ("B/1", Severity::High),
            ("C", Severity::Medium),
            ("D", Severity::Low),
        ]
    );
}

/// Trivy writes 0 for what nobody has rated.
#[test]
fn a_score_of_0_in_sarif_is_unknown_unless_the_level_is_none() {
    let report = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"Trivy","rules":[{"id":"A","properties":{"security-severity":"0.0"}}]}},
        "results":[{"ruleId":"A","level":"note","message":{"text":"a"}},{"ruleId":"B","level":"none","properties":{"security-severity":"0.0"},"message":{"text":"b"}}]}]}"#;
    let verdict = command("cat {project}/output").file("output", report).run();
    assert!(!verdict.passed);
    let all = verdict.images[0].platforms[0].findings.iter();
    let found: Vec<_> = all
        .map(|j| (j.finding.id.as_str(), j.finding.severity))
        .collect();
    assert_eq!(found, [("B", Severity::None), ("A", Severity::Unknown)]);
}

#[test]
fn misconfigurations_secrets_and_licenses_of_trivy_count_and_what_it_left_out_is_shown() {
    let report = r#"{"SchemaVersion":2,"Results":[{"Target":"/etc/app.yaml","Misconfigurations":[
        {"ID":"DS002","AVDID":"AVD-DS-0002","Title":"root","Severity":"HIGH","Status":"FAIL"},
        {"ID":"DS003","Severity":"CRITICAL","Status":"PASS"}],
        "Secrets":[{"RuleID":"aws-access-key-id","Severity":"CRITICAL","Title":"key"}],
        "Licenses":[{"Severity":"CRITICAL","Category":"forbidden","PkgName":"a","FilePath":"","Name":"AGPL-3.0","Confidence":1}],
        "ExperimentalModifiedFindings":[{"Type":"vulnerability","Status":"ignored","Finding":{"VulnerabilityID":"CVE-2026-9","PkgName":"b"}}]}]}"#;
    let mut stage = command("cat {project}/output").file("output", report);
    let refused = |stage: &Stage| {
        let verdict = stage.run();
        let all = verdict.images[0].platforms[0].findings.iter();
        let refused = all.filter(|j| matches!(j.judgement, crate::Judgement::Refused(_)));
        let ids: Vec<String> = refused.map(|j| j.finding.id.clone()).collect();
        (ids.join(" "), verdict.warnings.join("\n"))
    };
    let (ids, warnings) = refused(&stage);
    assert_eq!(ids, "DS002 AGPL-3.0");
    assert!(
        warnings.contains("Trivy left 1 finding out by its own rules: CVE-2026-9 in b"),
        "{warnings}"
    );
    stage.request.policy.fail_on = vec![crate::FailRule {
        kind: Some(crate::FindingKind::Secret),
        ..crate::FailRule::default()
    }];
    assert_eq!(refused(&stage).0, "aws-access-key-id DS002 AGPL-3.0");
    let text = "misconfigurations:\n  - id: AVD-DS-0002\nlicenses:\n  - id: AGPL-3.0\n";
    stage.request.policy.ignore_files = vec![crate::TextFile {
        name: "ignore.yaml".into(),
        text: text.into(),
    }];
    assert_eq!(refused(&stage).0, "aws-access-key-id");
}

#[test]
fn what_grype_ignored_is_shown() {
    let report = r#"{"matches":[],"ignoredMatches":[{"vulnerability":{"id":"CVE-2026-7","severity":"High"},"artifact":{"name":"linux-libc-dev"},"appliedIgnoreRules":[{"namespace":""}]}]}"#;
    let stage = Stage::new(Scanner::Grype)
        .with("grype", "cat $here/report.json")
        .file("report.json", report);
    let verdict = stage.run();
    let shown = "Grype left 1 finding out by its own rules: CVE-2026-7 in linux-libc-dev";
    assert!(
        verdict.warnings[0].ends_with(shown),
        "{:?}",
        verdict.warnings
    );
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
