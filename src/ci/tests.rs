mod apart;
mod refused;

use serde_json::{Value, json};

use super::jobs::{Job, Secret, SecretKind};
use super::{CiError, Options, Pipeline, System, export, names, note, pipeline, shell, yaml};
use imgmake_core::graph::Graph;
use imgmake_core::manifest::{Facts, load};
use imgmake_core::plan;

const MANIFEST: &str = r#"
secret npm env="NPM_TOKEN"
secret netrc file="~/.netrc" optional=#true
secret push env="PUSH_TOKEN"
registry own "registry.example.com/shop" { auth basic user="ci" password=(secret)push }
run assets { command "npm run build"; inputs "web/**"; outputs "web/dist" }
build app { desc "The shop"; context "."; secrets npm netrc; tar "out/app.tar" }
build tool { from "scratch"; copy "web/dist" to="/srv" }
scan gate { images app tool; advisories "advisories"; report junit="out/scan.xml" sarif="out/scan.sarif" }
push release { images app tool; needs gate; to own { tags "1" } }
run deploy { needs release; command "kubectl apply" }
group default app
"#;

const SYSTEMS: [System; 4] = [System::Github, System::Gitlab, System::Tekton, System::Argo];

fn graph(manifest: &str) -> Graph {
    let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let (manifest, _) = load("imgmake.kdl", manifest, &Facts::default(), &none).unwrap();
    Graph::new(manifest).unwrap()
}

fn planned(manifest: &str, targets: &[&str]) -> Result<Pipeline, CiError> {
    let graph = graph(manifest);
    let targets: Vec<String> = targets.iter().map(|t| t.to_string()).collect();
    let plan = plan::select(&graph, &targets).unwrap();
    pipeline(&graph, &plan)
}

fn options() -> Options {
    Options {
        cache: Some("registry.example.com/shop/cache".into()),
        ..Options::default()
    }
}

fn written(manifest: &str, system: System) -> String {
    export(&planned(manifest, &["deploy"]).unwrap(), system, &options()).unwrap()
}

fn read(text: &str) -> Value {
    serde_norway::from_str(text).unwrap()
}

fn needs(system: System, file: &Value) -> Vec<(String, Vec<String>)> {
    let texts = |value: &Value| {
        let texts = value.as_array().into_iter().flatten();
        let text = |one: &Value| {
            one.as_str()
                .unwrap_or_else(|| one["job"].as_str().unwrap())
                .to_string()
        };
        texts
            .map(text)
            .filter(|name| name != "imgmake-checkout")
            .collect::<Vec<String>>()
    };
    let of_list = |tasks: &Value, key: &str| {
        let tasks = tasks.as_array().unwrap().iter();
        tasks
            .map(|task| {
                (
                    task["name"].as_str().unwrap().to_string(),
                    texts(&task[key]),
                )
            })
            .filter(|(name, _)| name != "imgmake-checkout")
            .collect()
    };
    let of_map = |jobs: &Value| {
        let jobs = jobs.as_object().unwrap().iter();
        jobs.filter(|(name, _)| !["default", "variables"].contains(&name.as_str()))
            .map(|(name, job)| (name.clone(), texts(&job["needs"])))
            .collect()
    };
    match system {
        System::Github => of_map(&file["jobs"]),
        System::Gitlab => of_map(file),
        System::Tekton => of_list(&file["spec"]["tasks"], "runAfter"),
        System::Argo => of_list(
            &file["spec"]["templates"][0]["dag"]["tasks"],
            "dependencies",
        ),
    }
}

#[test]
fn every_system_has_a_job_for_each_target_and_an_edge_for_each_need() {
    let expected = [
        ("assets", &[][..]),
        ("app", &["assets"]),
        ("tool", &["assets"]),
        ("gate", &["app", "tool"]),
        ("release", &["app", "tool", "gate"]),
        ("deploy", &["release"]),
    ];
    let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let expected: Vec<(String, Vec<String>)> = expected
        .iter()
        .map(|(name, needs)| (name.to_string(), owned(needs)))
        .collect();
    for system in SYSTEMS {
        let file = read(&written(MANIFEST, system));
        assert_eq!(needs(system, &file), expected, "{system:?}");
    }
}

/// Lines that are in one text and not in the other.
fn other_lines<'t>(one: &'t str, other: &str) -> Vec<&'t str> {
    let mut left: Vec<&str> = other.lines().collect();
    one.lines()
        .filter(|line| match left.iter().position(|known| known == line) {
            Some(at) => {
                left.remove(at);
                false
            }
            None => true,
        })
        .collect()
}

#[test]
fn a_changed_manifest_changes_what_is_about_the_change() {
    let added = MANIFEST.to_string() + "build extra { from \"scratch\"; copy \"b\" to=\"/b\" }\n";
    let wider = added.replace("needs release; command", "needs release extra; command");
    let moved = MANIFEST.replace("desc \"The shop\"", "desc \"Our shop\"; args { A \"b\" }");
    for system in SYSTEMS {
        let before = written(MANIFEST, system);
        assert_eq!(before, written(MANIFEST, system), "{system:?}");
        // How a build is made is not in the file, nor is what nobody asked for.
        assert_eq!(before, written(&moved, system), "{system:?}");
        assert_eq!(before, written(&added, system), "{system:?}");
        let after = written(&wider, system);
        assert_eq!(
            other_lines(&before, &after),
            Vec::<&str>::new(),
            "{system:?}"
        );
        let (old, new) = (read(&before), read(&after));
        let (old, new) = (needs(system, &old), needs(system, &new));
        let changed: Vec<_> = new.iter().filter(|job| !old.contains(job)).collect();
        let names: Vec<&str> = changed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["extra", "deploy"], "{system:?}");
    }
}

#[test]
fn what_publishes_is_not_for_pull_requests() {
    let github = read(&written(MANIFEST, System::Github));
    let gitlab = read(&written(MANIFEST, System::Gitlab));
    for (target, publishes) in [
        ("app", false),
        ("gate", false),
        ("release", true),
        ("deploy", true),
    ] {
        assert_eq!(
            github["jobs"][target].get("if").is_some(),
            publishes,
            "{target}"
        );
        assert_eq!(gitlab[target].get("rules").is_some(), publishes, "{target}");
    }
}

#[test]
fn secrets_come_from_the_systems_own_store_and_only_where_they_are_needed() {
    let github = read(&written(MANIFEST, System::Github));
    assert_eq!(
        github["jobs"]["app"]["env"]["NPM_TOKEN"],
        "${{ secrets.NPM_TOKEN }}"
    );
    assert_eq!(
        github["jobs"]["app"]["env"]["NETRC"],
        "${{ secrets.NETRC }}"
    );
    assert!(github["jobs"]["assets"].get("env").is_none(), "{github}");
    assert!(
        github["jobs"]["tool"]["env"].get("NPM_TOKEN").is_none(),
        "{github}"
    );
    assert_eq!(
        github["jobs"]["tool"]["env"]["PUSH_TOKEN"],
        "${{ secrets.PUSH_TOKEN }}"
    );
    let script = github["jobs"]["app"]["steps"][2]["run"].as_str().unwrap();
    assert!(script.contains("> \"$HOME\"/.netrc"), "{script}");
    let tekton = read(&written(MANIFEST, System::Tekton));
    let env = &tekton["spec"]["tasks"][1]["taskSpec"]["steps"][0]["env"];
    let of = |name: &str| {
        env.as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == name)
    };
    assert_eq!(
        of("NETRC").unwrap()["valueFrom"],
        json!({"secretKeyRef": {"name": "imgmake", "key": "NETRC", "optional": true}})
    );
}

/// As a shell of Kubernetes reads it, in the checkout: nothing is written without the secret, and nothing
/// over a file that is there.
#[test]
fn a_secrets_file_is_written_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let secret = |file: String| Secret {
        name: "token".into(),
        variable: "TOKEN".into(),
        kind: SecretKind::File(file),
        optional: true,
    };
    let job = |file: String| Job {
        target: "app".into(),
        needs: Vec::new(),
        publishes: false,
        secrets: vec![secret(file)],
        files: Vec::new(),
        junit: Vec::new(),
        code_quality: None,
    };
    let run = |job: &Job, options: &Options, value: Option<&str>| {
        let script = shell::secret_files(job, options).join("\n");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-euc", &script]).env_remove("TOKEN");
        shell.envs(value.map(|value| ("TOKEN", value)));
        let status = shell.current_dir(directory.path()).status();
        assert!(status.unwrap().success(), "{script}");
    };
    let below = Options {
        directory: "shop".into(),
        ..Options::default()
    };
    let relative = "deep/a 'quoted' name".to_string();
    let absolute = directory.path().join("absolute").display().to_string();
    // Where the program looks: beside the manifest.
    for (file, options, at) in [
        (relative.clone(), Options::default(), relative.clone()),
        (relative.clone(), below.clone(), format!("shop/{relative}")),
        ("-n".into(), Options::default(), "-n".into()),
        (absolute, below, "absolute".into()),
    ] {
        let job = job(file);
        let path = directory.path().join(&at);
        let read = || std::fs::read_to_string(&path).ok();
        run(&job, &options, None);
        run(&job, &options, Some(""));
        assert_eq!(read(), None, "{at}");
        run(&job, &options, Some("first $(id)"));
        run(&job, &options, Some("second"));
        assert_eq!(read().as_deref(), Some("first $(id)\n"), "{at}");
        let mode = std::fs::metadata(&path).unwrap().permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode);
        assert_eq!(mode & 0o777, 0o600, "{at}");
    }
}

#[test]
fn a_command_that_is_run_every_time_is_nobodys_need() {
    let manifest =
        "run migrate { command \"true\" }\nrun notify { needs migrate; command \"true\" }\n";
    let refused = planned(manifest, &["notify"]).unwrap_err();
    let expected = CiError::RunAgain {
        target: "migrate".into(),
        needed_by: vec!["notify".into()],
    };
    assert_eq!(refused, expected);
    planned(manifest, &["migrate"]).unwrap();
}

#[test]
fn kubernetes_has_no_registry_of_its_own() {
    let jobs = planned(MANIFEST, &["app"]).unwrap();
    for system in SYSTEMS {
        let exported = export(&jobs, system, &Options::default());
        let has_one = matches!(system, System::Github | System::Gitlab);
        assert_eq!(exported.is_ok(), has_one, "{system:?}");
    }
    let own = "imgmake version=1 { cache { registry ref=\"registry.example.com/cache\" } }\nbuild app { context \".\" }\n";
    let jobs = planned(own, &["app"]).unwrap();
    for system in SYSTEMS {
        let text = export(&jobs, system, &Options::default()).unwrap();
        assert!(!text.contains("--cache-from"), "{text}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let texts = [
        "",
        " ",
        "a",
        "a b",
        " a",
        "a ",
        "true",
        "No",
        "null",
        "1",
        "1.5",
        ".5",
        "0x1",
        "+1",
        ".inf",
        ".NaN",
        "~",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "${{ secrets.A }}",
        "{a}",
        "[a]",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a`",
        "'a'",
        "\"a\"",
        "a\nb",
        "a\nb\n",
        "a\n\nb\n",
        "\na\n",
        " a\nb\n",
        "a\n\n",
        "\t",
        "a\tb\n",
        "\u{1b}[1m",
        "\u{85}",
        "é",
        "on",
        "=",
        "a:b",
        "a\r\nb\n",
        "---",
        "...",
        "? a",
        "| a",
        "> a",
        "1e3",
        "2026-01-01",
        "12:30",
        "\u{2028}",
        "\u{feff}",
    ];
    for text in texts {
        for value in [
            json!({ text: text, "list": [text, [text, {}], {"key": text, "more": [text]}], "empty": {}, "none": [] }),
            json!({"a": {"b": {"c": [{"d": text}, {"e": {"f": text}}]}}}),
        ] {
            let written = yaml::document(&value);
            let back: Value = serde_norway::from_str(&written)
                .unwrap_or_else(|error| panic!("{text:?}: {error}\n{written}"));
            assert_eq!(back, value, "{text:?}\n{written}");
        }
    }
}

#[test]
fn github_finds_no_expression_in_names_and_arguments() {
    let jobs = planned(MANIFEST, &["app"]).unwrap();
    let options = Options {
        arguments: vec!["--var".into(), "TAG=${{ github.token }}".into()],
        variables: vec![("TAG".into(), "${{ github.sha }}".into())],
        ..options()
    };
    let file = read(&export(&jobs, System::Github, &options).unwrap());
    let script = file["jobs"]["assets"]["steps"][2]["run"].as_str().unwrap();
    assert!(
        script.contains("'TAG=${{ '${{' }} github.token }}'"),
        "{script}"
    );
    assert_eq!(file["env"]["TAG"], "${{ github.sha }}");
}

#[test]
fn reports_of_a_scan_are_named_where_gitlab_shows_them() {
    let text = MANIFEST.replace(
        "sarif=\"out/scan.sarif\"",
        "code-quality=\"out/quality.json\"",
    );
    let gate = &read(&written(&text, System::Gitlab))["gate"]["artifacts"];
    assert_eq!(gate["reports"]["junit"], "out/scan.xml");
    assert_eq!(gate["reports"]["codequality"], "out/quality.json");
}
