//! `run` targets: skipped while nothing changed, explained when something did,
//! cut off early, stopped as a tree, and never recorded when they did not finish.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::ground::project::Project;

const WEB_AND_API: &str = r#"
var MODE "debug"
run web { command "cat web/* > out/web"; inputs "web/*"; outputs "out/web" }
run api { command "echo ${MODE} | cat - api/main.c > out/api"; inputs "api/**"; outputs "out/api" }
run all { command "cat out/web out/api > out/all"; inputs "out/web" "out/api"; outputs "out/all" }
group default all
"#;

fn web_and_api() -> Project {
    Project::new(WEB_AND_API)
        .with("web/index.html", "<p>")
        .with("api/main.c", "int main(){}")
        .with("out/.keep", "")
}

#[test]
fn everything_is_made_in_order_and_then_nothing() {
    let p = web_and_api();
    p.build().succeeded().ran(["all", "api", "web"]);
    assert_eq!(p.read("out/all"), "<p>debug\nint main(){}");
    p.build().succeeded().ran([]).reused(["all", "api", "web"]);
    let said = p.imgmake.ok(p.path(), &[]);
    assert!(said.stderr.contains("nothing to do"), "{said:?}");
}

#[test]
fn what_fails_names_its_target() {
    let p = Project::new(
        r#"
        run start { command "no-such-program" "x" }
        run here { command "true"; dir "nowhere" }
        run made { command "true"; outputs "out/x" }
        run seen { command "true"; inputs "missing" }
        run late { command "sleep 60"; timeout "100ms" }
        "#,
    );
    for target in ["start", "here", "made", "seen", "late"] {
        let code = if target == "late" { 124 } else { 1 };
        let says = format!("error: target `{target}`: ");
        p.imgmake.refused(p.path(), &[target], code, &[&says]);
    }
}

#[test]
fn logs_show_what_was_printed_in_the_last_runs() {
    let p = Project::new(
        r#"run test { command "cat said; exit $(cat code)" }
        group default test"#,
    )
    .with("said", "first \u{1b}[2Jrun\n")
    .with("code", "0")
    .built();
    let logs = |more: &[&str]| {
        let arguments = [&["logs", "test"][..], more].concat();
        p.imgmake.ok(p.path(), &arguments).stdout
    };
    let text = logs(&[]);
    assert!(text.starts_with("test: done in "), "{text}");
    assert!(text.contains("  first ␛[2Jrun\n"), "{text}");
    p.write("said", "second run\n");
    p.write("code", "3");
    p.build().failed(["test"]);
    let text = logs(&[]);
    for says in [
        "test: failed in ",
        "  second run\n",
        "ended with exit code 3",
    ] {
        assert!(text.contains(says), "{text}");
    }
    assert!(logs(&["--run", "2"]).contains("  first "));
    let json: serde_json::Value = serde_json::from_str(&logs(&["--format", "json"])).unwrap();
    assert_eq!(json["events"][0]["event"], "target-started");
    let says = ["run 3 of the target `test` not found: 2 are stored"];
    p.imgmake
        .refused(p.path(), &["logs", "test", "--run", "3"], 1, &says);
    let says = ["no run of the target `tset` is stored"];
    p.imgmake.refused(p.path(), &["logs", "tset"], 1, &says);
    p.imgmake.ok(p.path(), &["gc", "--all"]);
    let says = ["no run of the target `test` is stored"];
    p.imgmake.refused(p.path(), &["logs", "test"], 1, &says);
}

#[test]
fn a_command_without_inputs_is_run_every_time() {
    let p = Project::new(
        r#"
        run now { command "echo x >> runs; cat given > made"; outputs "made" }
        run after { command "true"; inputs "given-too"; needs now }
        group default after
        "#,
    )
    .with("given", "1")
    .with("given-too", "1")
    .built();
    p.build().succeeded().ran(["now"]).reused(["after"]);
    assert_eq!(p.read("runs"), "x\nx\n");
    let said = p.imgmake.ok(p.path(), &["check"]);
    assert_eq!(said.stdout, "now: always\n");
    let said = p.imgmake.ok(p.path(), &["plan"]);
    assert_eq!(said.stdout, "run    now  always\n");
    p.write("given", "2");
    p.build().succeeded().ran(["after", "now"]);
    std::fs::remove_file(p.file("given")).unwrap();
    p.build().failed(["now"]).skipped(["after"]);
}

#[test]
fn a_command_without_outputs_passes_on_that_it_ran() {
    let p = Project::new(
        r#"
        run test { command "true"; inputs "src" }
        run after { command "true"; inputs "other"; needs test }
        group default after
        "#,
    )
    .with("src", "1")
    .with("other", "1")
    .built();
    p.build().succeeded().ran([]);
    p.write("src", "2");
    p.build().succeeded().ran(["after", "test"]);
    p.build().succeeded().ran([]);
}

#[test]
fn changing_a_source_remakes_only_its_dependents() {
    let p = web_and_api().built();
    p.write("api/main.c", "int main(){return 1;}");
    p.build()
        .ran(["all", "api"])
        .reused(["web"])
        .because("api", "file api/main.c changed");
    assert_eq!(p.read("out/all"), "<p>debug\nint main(){return 1;}");
}

#[test]
fn adding_and_removing_files_counts() {
    let p = web_and_api().built();
    p.write("api/deep/new.h", "");
    p.build().because("api", "file api/deep/new.h added");
    std::fs::remove_file(p.file("api/deep/new.h")).unwrap();
    p.build().because("api", "file api/deep/new.h removed");
}

#[test]
fn touching_a_file_is_no_change_and_a_mode_is_one() {
    let p = web_and_api().built();
    p.write("web/index.html", "<p>");
    p.build().ran([]);
    crate::ground::run(
        "chmod",
        &["755", p.file("web/index.html").to_str().unwrap()],
    );
    p.build().because("web", "file web/index.html changed");
}

#[test]
fn a_change_of_the_same_length_within_the_same_moment_is_seen() {
    let p = web_and_api().built();
    for round in 0..20 {
        p.write("web/index.html", &format!("{:03}", round));
        p.build();
        let made = p.read("out/web");
        assert_eq!(made, format!("{round:03}"));
    }
}

#[test]
fn an_upstream_that_gives_the_same_bytes_stops_there() {
    let p = Project::new(
        r#"
        run strip { command "sed 's/#.*//' in > mid"; inputs "in"; outputs "mid" }
        run use { command "cp mid end; echo x >> count"; inputs "mid"; outputs "end" }
        group default use
        "#,
    )
    .with("in", "a#one\n")
    .built();
    p.write("in", "a#two\n");
    p.build().ran(["strip"]).reused(["use"]);
    assert_eq!(p.read("count"), "x\n");
}

#[test]
fn a_variable_that_is_used_counts_and_another_does_not() {
    let p = web_and_api().built();
    p.run(&["--var", "MODE=release"])
        .ran(["all", "api"])
        .because("api", "variable MODE changed");
    assert_eq!(p.read("out/api"), "release\nint main(){}");
}

#[test]
fn the_command_itself_counts() {
    let p = web_and_api().built();
    p.write(
        "imgmake.kdl",
        &WEB_AND_API.replace("cat web/*", "cat  web/*"),
    );
    p.build().because("web", "command changed").ran(["web"]);
}

#[test]
fn an_output_that_is_gone_or_was_tampered_with_is_made_again() {
    let p = web_and_api().built();
    std::fs::remove_file(p.file("out/web")).unwrap();
    p.build().ran(["web"]).reused(["all", "api"]);
    p.write("out/web", "not this");
    p.build().ran(["web"]).because("web", "out/web");
    assert_eq!(p.read("out/web"), "<p>");
}

#[test]
fn a_promised_output_that_is_not_there_is_a_failure() {
    let p = Project::new("run a { command \"true\"; outputs \"out/never\" }\ngroup default a\n");
    let built = p.build();
    built.exited(1).failed(["a"]);
    assert!(built.ran.stdout.contains("out/never"), "{built:?}");
}

#[test]
fn a_failure_stops_and_keep_going_does_what_it_can() {
    let p = Project::new(
        r#"
        run bad { command "echo the reason; exit 3" }
        run after { command "true"; needs bad }
        run other { command "touch other"; outputs "other" }
        group default bad after other
        "#,
    );
    let stopped = p.run(&["-j1"]);
    stopped.exited(1).failed(["bad"]);
    assert!(!p.file("other").exists());
    let went_on = p.run(&["-k"]);
    went_on
        .exited(1)
        .failed(["bad"])
        .skipped(["after"])
        .ran(["other"]);
    let plain = p.imgmake.run(p.path(), &["bad"]);
    assert!(
        plain.stderr.contains("the reason") && plain.stderr.contains('3'),
        "{plain:?}"
    );
}

#[test]
fn a_failed_target_is_tried_again_with_unchanged_inputs() {
    let p = Project::new("run a { command \"test -e flag\"; inputs \"in/**\" }\ngroup default a\n");
    p.build().exited(1);
    p.write("flag", "");
    p.build()
        .succeeded()
        .ran(["a"])
        .because("a", "the last run failed");
    p.build().reused(["a"]);
}

#[test]
fn dry_run_and_plan_say_why_and_touch_nothing() {
    let p = web_and_api();
    for arguments in [&["-n"][..], &["plan"]] {
        let said = p.imgmake.ok(p.path(), arguments);
        assert!(
            said.stdout.contains("web") && said.stdout.contains("not built yet"),
            "{said:?}"
        );
    }
    assert!(!p.file(".imgmake").exists() && !p.file("out/web").exists());
    let p = p.built();
    p.write("api/main.c", "int x;");
    let said = p.imgmake.ok(p.path(), &["plan"]);
    assert!(said.stdout.contains("api/main.c"), "{said:?}");
    assert_eq!(p.read("out/api"), "debug\nint main(){}");
}

#[test]
fn check_is_five_when_stale_and_zero_when_fresh() {
    let p = web_and_api();
    p.imgmake.refused(p.path(), &["check"], 5, &[]);
    assert!(!p.file(".imgmake").exists());
    let p = p.built();
    p.imgmake.ok(p.path(), &["check"]);
    p.write("web/index.html", "<h1>");
    p.imgmake.refused(p.path(), &["check", "all"], 5, &[]);
    p.imgmake.ok(p.path(), &["check", "api"]);
}

#[test]
fn why_names_exactly_what_changed() {
    let p = web_and_api().built();
    p.write("api/main.c", "int x;");
    p.write("api/new.c", "int y;");
    let said = p
        .imgmake
        .ok(p.path(), &["why", "api", "--var", "MODE=release"])
        .stdout;
    for line in ["api/main.c changed", "api/new.c added", "MODE changed"] {
        assert!(said.contains(line), "{line} is not in:\n{said}");
    }
    assert!(!said.contains("web"), "{said}");
    let fresh = p.imgmake.ok(p.path(), &["why", "web"]).stdout;
    assert!(
        fresh.contains("up to date") || fresh.contains("fresh"),
        "{fresh}"
    );
}

#[test]
fn force_makes_everything_again() {
    let p = web_and_api().built();
    p.run(&["--force"]).ran(["all", "api", "web"]);
}

#[test]
fn a_command_with_arguments_is_not_a_shells() {
    let p = Project::new(
        "run a { command \"printf\" \"%s\" \"$HOME;x\"; dir \"sub\" }\ngroup default a\n",
    )
    .with("sub/.keep", "");
    let built = p.build();
    built.succeeded();
    let lines: Vec<&str> = built
        .events
        .iter()
        .filter_map(|e| e["line"].as_str())
        .collect();
    assert_eq!(lines, ["$HOME;x"]);
}

#[test]
fn a_target_may_have_the_name_of_a_command() {
    let p = Project::new("run list { command \"touch made\"; outputs \"made\" }\n");
    p.run(&["run", "list"]).ran(["list"]);
}

#[test]
fn inputs_that_move_while_the_command_works_are_not_recorded() {
    let p = Project::new(
        "run a { command \"cp in out; echo x >> in\"; inputs in; outputs out }\ngroup default a\n",
    )
    .with("in", "1\n");
    p.build().succeeded().warned("in changed");
    p.build().ran(["a"]);
}

#[test]
fn an_input_that_does_not_exist_is_named() {
    let p = Project::new("run a { command \"true\"; inputs \"src/absent.c\" }\n");
    p.imgmake.refused(p.path(), &["a"], 1, &["src/absent.c"]);
}

#[test]
fn a_timeout_stops_the_whole_tree() {
    let p = Project::new("run a { command \"sleep 86 & sleep 86\"; timeout \"300ms\" }\n");
    let begun = Instant::now();
    p.imgmake.refused(p.path(), &["a"], 124, &["300"]);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(!running("sleep 86"));
}

fn running(pattern: &str) -> bool {
    let found = std::process::Command::new("pgrep")
        .args(["-f", &format!("^{pattern}$")])
        .output();
    found.unwrap().status.success()
}

/// Starts a run and waits until its command has begun; what it prints later is
/// read to the end beside.
fn started(p: &Project, arguments: &[&str]) -> Child {
    let mut child = p
        .imgmake
        .command(p.path())
        .arg("--progress=json")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let began = lines.any(|line| line.unwrap().contains("\"at work\""));
    assert!(began, "the run ended before the work began");
    std::thread::spawn(move || lines.count());
    child
}

const SLOW: &str = "run a { command \"echo at work; sleep 87; touch made\"; inputs \"in/**\"; outputs \"made\" }\nrun quick { command \"true\" }\ngroup default a\n";

#[test]
fn signals_stop_the_commands_and_give_their_codes() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let p = Project::new(&SLOW.replace("87", "88"));
        let mut child = started(&p, &[]);
        crate::ground::run("kill", &[&format!("-{signal}"), &child.id().to_string()]);
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
        assert!(!running("sleep 88"));
        let said = p.imgmake.ok(p.path(), &["plan"]).stdout;
        assert!(said.contains("the last run was interrupted"), "{said}");
    }
}

#[test]
fn a_killed_run_makes_it_again_and_leaves_no_process() {
    let p = Project::new(&SLOW.replace("87", "89"));
    let mut child = started(&p, &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..100 {
        if !running("sleep 89") {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!running("sleep 89"));
    p.write(
        "imgmake.kdl",
        "run a { command \"touch made\"; inputs \"in/**\"; outputs \"made\" }\ngroup default a\n",
    );
    p.build().succeeded().ran(["a"]).because("a", "interrupted");
}

#[test]
fn a_second_run_waits_and_without_waiting_exits_nine_naming_the_first() {
    let p = Project::new(&SLOW.replace("87", "2"));
    let mut first = started(&p, &[]);
    let pid = first.id().to_string();
    p.imgmake.refused(p.path(), &["--no-wait", "a"], 9, &[&pid]);
    let second = p.imgmake.ok(p.path(), &["a"]);
    assert!(second.stderr.contains(&pid), "{second:?}");
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

#[test]
fn many_targets_finish_whatever_the_number_of_jobs() {
    let mut manifest = String::new();
    for i in 0..200 {
        let need = if i >= 7 {
            format!("; needs t{}", i - 7)
        } else {
            String::new()
        };
        manifest += &format!("run t{i} {{ command \"true\"{need} }}\n");
    }
    manifest += &format!(
        "group default {}\n",
        (0..200)
            .map(|i| format!("t{i}"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    for jobs in ["-j1", "-j3", "-j64"] {
        let p = Project::new(&manifest);
        let built = p.run(&[jobs]);
        built.succeeded();
        let done = built
            .events
            .iter()
            .filter(|e| e["outcome"] == "done")
            .count();
        assert_eq!(done, 200);
    }
}

#[test]
fn watch_runs_again_when_an_input_changes_and_not_for_its_own_outputs() {
    let p = Project::new(
        "run a { command \"cat in > out\"; inputs \"in*\"; outputs out }\ngroup default a\n",
    )
    .with("in", "1\n");
    let mut child = p
        .imgmake
        .command(p.path())
        .args(["watch", "--progress=json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| p.file("out").exists());
    std::thread::sleep(Duration::from_millis(500));
    p.write("in", "2\n");
    wait_until(|| std::fs::read_to_string(p.file("out")).unwrap_or_default() == "2\n");
    std::thread::sleep(Duration::from_millis(1500));
    crate::ground::run("kill", &["-INT", &child.id().to_string()]);
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 130)));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut said).unwrap();
    let starts = said
        .lines()
        .filter(|l| l.contains("target-started"))
        .count();
    assert_eq!(starts, 2, "{said}");
}

#[test]
fn a_reader_that_is_gone_is_no_error_and_no_panic() {
    let p = web_and_api();
    for arguments in [&["nope"][..], &["-v"], &["list"]] {
        let mut command = p.imgmake.command(p.path());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let code = command.args(arguments).status().unwrap().code();
        assert_eq!(code, Some(if arguments[0] == "nope" { 2 } else { 0 }));
    }
}

fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..400 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it did not happen within twenty seconds");
}

#[test]
fn no_command_runs_on_when_what_it_takes_to_attend_to_it_cannot_be_had() {
    let p = Project::new("run a { command \"echo $$ > pid; sleep 30\"; timeout \"500ms\" }\n");
    let is_alive = || {
        std::fs::read_to_string(p.file("pid")).is_ok_and(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        })
    };
    let mut failed = 0;
    for descriptors in 8..40 {
        drop(std::fs::remove_file(p.file("pid")));
        let imgmake = p.imgmake.command(p.path());
        let mut limited = std::process::Command::new("sh");
        limited
            .args(["-c", "ulimit -n $0; exec \"$@\""])
            .arg(descriptors.to_string())
            .arg(imgmake.get_program())
            .args(["run", "a"])
            .current_dir(p.path());
        for (name, value) in imgmake.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        let ran = limited.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let is_timeout = said.contains("took longer");
        if !is_timeout {
            failed += 1;
            // One that was started may not have come to its first line.
            std::thread::sleep(Duration::from_millis(150));
        }
        assert!(!is_alive(), "{descriptors}: {said}");
        if is_timeout {
            break;
        }
    }
    assert!(failed > 0);
}
