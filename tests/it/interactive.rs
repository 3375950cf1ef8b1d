//! Commands that are lent the terminal, and commands with values of env-files.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::ground::imgmake::Imgmake;
use crate::ground::project::Project;
use crate::ground::terminal::at_a_terminal;

const ASKS: &str = r#"
run ask { command "printf 'your %s? ' name; read name; test -t 0 && test -t 1 && echo got=$name="; interactive #true }
run catches { command "trap 'echo caught=it=; exit 0' INT; sleep 0.5; echo rea''dy; while :; do sleep 0.05; done"; interactive #true }
run stops { command "echo at=work=; kill -STOP $$; echo went=on="; interactive #true }
"#;

fn typed(p: &Project, target: &str, typed: &str, awaited: &str) -> (Option<i32>, String) {
    let command = p.imgmake.command(p.path());
    let output = at_a_terminal(&command, &[target], typed, awaited);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), shown)
}

#[test]
fn what_is_typed_goes_to_the_command() {
    let p = Project::new(ASKS);
    let (code, shown) = typed(&p, "ask", r"Ann\n", "your name? ");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("got=Ann="), "{shown}");
    // Ctrl-C is the command's.
    let (code, shown) = typed(&p, "catches", r"\x03", "ready");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("caught=it="), "{shown}");
    // Nobody could wake it.
    let (code, shown) = typed(&p, "stops", "", "-");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("went=on="), "{shown}");
}

/// The command of a shell that has a terminal, with `$@` for imgmake and its target.
fn in_a_shell(p: &Project, script: &str, target: &str) -> String {
    let imgmake = p.imgmake.command(p.path());
    let mut shell = Command::new("sh");
    shell.args(["-mc", script, "sh"]).arg(imgmake.get_program());
    shell.current_dir(p.path());
    for (name, value) in imgmake.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let output = at_a_terminal(&shell, &[target], "", "-");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_command_that_uses_a_terminal_which_it_does_not_have_fails_at_once() {
    let p = Project::new(
        r#"
run ask { command "read name; touch asked"; interactive #true; timeout "60s" }
run direct { command "read name < /dev/tty; touch asked"; interactive #true; timeout "60s" }
run plain { command "read name < /dev/tty; touch asked"; timeout "60s" }
run sets { command "stty -echo < /dev/tty; touch asked"; timeout "60s" }
run waits { command "(sleep 0.5; kill -CONT $$) & kill -STOP $$; touch went-on"; timeout "60s" }
"#,
    );
    for (script, target, says) in [
        (
            "\"$@\" & wait $!",
            "ask",
            "run imgmake in the foreground, or",
        ),
        (
            "\"$@\" < /dev/null & wait $!",
            "direct",
            "run imgmake in the foreground of its terminal",
        ),
        (
            "\"$@\"",
            "plain",
            "`interactive #true` lends it the terminal",
        ),
        (
            "\"$@\"",
            "sets",
            "`interactive #true` lends it the terminal",
        ),
    ] {
        let begun = std::time::Instant::now();
        let shown = in_a_shell(&p, &format!("{script}; echo code=$?"), target);
        assert!(shown.contains(says), "{target}: {shown}");
        assert!(shown.contains("code=1"), "{target}: {shown}");
        assert!(begun.elapsed().as_secs() < 55, "{target}: {shown}");
        assert!(!p.file("asked").exists(), "{target}");
    }
    // Who stopped it can wake it.
    let shown = in_a_shell(&p, "\"$@\"; echo code=$?", "waits");
    assert!(
        shown.contains("code=0") && p.file("went-on").exists(),
        "{shown}"
    );
}

#[test]
fn without_a_terminal_it_has_what_imgmake_has() {
    let p =
        Project::new("run ask { command \"read name; echo got=$name= > out\"; interactive #true }");
    for (arguments, expected) in [
        (&["ask"][..], "got=Ann=\n"),
        (&["--progress=json", "ask"], ""),
    ] {
        drop(std::fs::remove_file(p.file("out")));
        let mut command = p.imgmake.command(p.path());
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        drop(child.stdin.take().unwrap().write_all(b"Ann\n"));
        // Where events are read, nothing else is on the standard output.
        assert_eq!(child.wait().unwrap().success(), !expected.is_empty());
        let written = std::fs::read_to_string(p.file("out")).unwrap_or_default();
        assert_eq!(written, expected, "{arguments:?}");
    }
}

#[test]
fn nothing_else_works_while_it_does() {
    let mut manifest = String::new();
    for n in 0..3 {
        manifest += &format!("run w{n} {{ command \"sh ./work w{n}\" }}\n");
        manifest += &format!(
            "run i{n} {{ command \"sh ./work i{n} & sleep 0.05; ls running | tr -d '\\n' >> seen; echo >> seen; wait\"; interactive #true }}\n"
        );
    }
    let p = Project::new(&manifest).with(
        "work",
        "mkdir -p running; touch running/$1; sleep 0.2; rm running/$1\n",
    );
    p.run(&["*", "-j6"]).succeeded();
    let mut seen: Vec<String> = p.read("seen").lines().map(str::to_string).collect();
    seen.sort();
    assert_eq!(seen, ["i0", "i1", "i2"]);
}

#[test]
fn values_of_an_env_file_are_in_the_environment_and_in_the_key() {
    let p = Project::new(
        "run t { command \"echo $A-$B > out\"; inputs \"in\"; outputs \"out\"; env-file \"a.env\"; env B=\"own\" }\ngroup default t\n",
    )
    .with("in", "")
    .with("a.env", "A='1 2'\nB=file\n")
    .built();
    assert_eq!(p.read("out"), "1 2-own\n");
    p.build().reused(["t"]);
    p.write("a.env", "A=3\n");
    p.imgmake.refused(p.path(), &["check"], 5, &[]);
    p.build().ran(["t"]);
    assert_eq!(p.read("out"), "3-own\n");
    let why = p.imgmake.ok(p.path(), &["why", "t"]);
    assert!(
        !format!("{}{}", why.stdout, why.stderr).contains("own"),
        "{why:?}"
    );
    std::fs::remove_file(p.file("a.env")).unwrap();
    p.imgmake.refused(
        p.path(),
        &["t"],
        2,
        &["cannot read env-file `a.env`", "optional=#true"],
    );
}

#[test]
fn ctrl_c_stops_a_silent_command_with_one_sentence_and_leaves_no_line_of_the_view() {
    let p = Project::new("run slow { command \"echo be''gun; sleep 60\" }");
    let imgmake = Imgmake::new().with("TERM", "xterm");
    let command = imgmake.command(p.path());
    let output = at_a_terminal(&command, &["slow"], r"\x03", "begun");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{shown}");
    assert!(shown.contains("slow  stopped"), "{shown}");
    assert!(shown.contains("1 stopped"), "{shown}");
    // The terminal would write it over the end of a line.
    assert!(!shown.contains("^C"), "{shown}");
}
