//! No words of a manifest, a Dockerfile, a command or an image speak to the terminal or to the CI
//! system that reads the log, whichever command prints them.

use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::terminal::at_a_terminal;
use crate::ground::{temporary, write};

/// As it stands in the files below: controls, line ends, and commands of CI systems.
pub const HOSTILE: &str = "ok\r##vso[task.setvariable variable=x]y \x1b]0;title\x07\x1b[2J\u{9b}31m\x0bvt\x0cff\u{85}nel\u{2028}ls\
     \u{202e}rlo ##teamcity[x] ##[error] \x1b[0Ksection_start:1:x\r\x1b[0K";

pub fn assert_harmless(what: &str, ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        let special = |c: char| {
            (c.is_control() && c != '\n' && c != '\t')
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202e}')
        };
        if let Some(at) = text.find(special) {
            let around: String = text[at..].chars().take(40).collect();
            panic!("{what} prints {around:?}\n{text:?}");
        }
        for mark in ["##vso[", "##teamcity[", "##["] {
            assert!(!text.contains(mark), "{what} prints {mark}: {text}");
        }
        for line in text.lines() {
            let begins = |word: &str| line.trim_start().starts_with(word);
            assert!(
                !begins("::add-mask::") && !begins("::set-output "),
                "{what}: {line}"
            );
        }
    }
}

/// In a string of KDL.
fn in_kdl(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_ascii_graphic() || c == ' ' => c.to_string(),
        c => format!("\\u{{{:x}}}", u32::from(c)),
    };
    text.chars().map(escaped).collect()
}

/// For the format of printf(1).
fn in_printf(text: &str) -> String {
    text.bytes().map(|b| format!("\\{b:03o}")).collect()
}

#[test]
fn no_command_prints_what_others_say_as_it_is() {
    let directory = temporary();
    let description = in_kdl(&format!("{HOSTILE}\n::add-mask::z"));
    let said = in_printf(&format!("{HOSTILE}\n::add-mask::z\n"));
    write(
        directory.path(),
        "imgmake.kdl",
        format!(
            "build app {{ context \".\"; desc \"{description}\"; tar \"out.tar\"; labels \"l\"=\"{description}\" }}\n\
             run talk {{ desc \"{description}\"; command \"printf '{}'\" }}\n\
             run fails {{ command \"printf '{}' >&2; exit 3\" }}\n\
             group everything app talk {{ desc \"{description}\" }}\n",
            in_kdl(&said),
            in_kdl(&said)
        ),
    );
    let one_line: String = HOSTILE.chars().filter(|c| *c != '\n').collect();
    write(
        directory.path(),
        "Dockerfile",
        format!("FROM scratch\n# {one_line}\nLABEL hostile=\"{one_line}\"\nCOPY imgmake.kdl /x\n"),
    );
    let imgmake = Imgmake::new();
    for arguments in [
        &["app"][..],
        &["talk"],
        &["talk", "--force", "--progress=plain"],
        &["talk", "--force", "--progress=json"],
        &["fails"],
        &["fails", "--progress=json"],
        &["fails", "--quiet"],
        &["list"],
        &["list", "--format=json"],
        &["plan"],
        &["why", "fails"],
        &["check"],
        &["graph"],
        &["graph", "--format=mermaid"],
        &["graph", "--format=json"],
        &["graph", "--format=svg"],
        &["lint"],
        &["inspect", "out.tar"],
        &["inspect", "out.tar", "--format=json"],
        &["inspect", one_line.as_str()],
        &[one_line.as_str()],
        &["--set", one_line.as_str()],
        &["--no-such-option", one_line.as_str()],
    ] {
        let ran = imgmake.run(directory.path(), arguments);
        assert_harmless(&format!("{arguments:?}"), &ran);
    }
    // The hunt is for something: the words are there.
    let listed = imgmake.ok(directory.path(), &["list"]);
    assert!(listed.stdout.contains("␛]0;title␇"), "{}", listed.stdout);
    let inspected = imgmake.ok(directory.path(), &["inspect", "out.tar", "--format=json"]);
    assert!(inspected.stdout.contains("title"), "{}", inspected.stdout);
}

#[test]
fn every_line_of_a_command_has_its_prefix() {
    let directory = temporary();
    let said = in_kdl(&in_printf(&format!("{HOSTILE}\n::add-mask::z\n")));
    write(
        directory.path(),
        "imgmake.kdl",
        format!("run talk {{ command \"printf '{said}'\" }}\n"),
    );
    let ran = Imgmake::new().ok(directory.path(), &["talk", "--progress=plain"]);
    let of_talk = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("talk │ "));
    assert!(of_talk.clone().count() > 8, "{}", ran.stderr);
    let others: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| !line.starts_with("talk │ "))
        .collect();
    assert!(
        others.iter().all(|line| line.starts_with("1 target")),
        "{others:?}"
    );
}

/// What a terminal shows, without the sequences that a live view needs: colors, and the
/// cursor's moves by lines and to the beginning of one.
fn without_its_own_sequences(shown: &str) -> String {
    let mut rest = shown;
    let mut text = String::new();
    while let Some(at) = rest.find('\x1b') {
        text.push_str(&rest[..at]);
        let sequence: String = rest[at..].chars().take(60).collect();
        let parameters = rest[at + 1..].strip_prefix('[');
        let parameters = parameters.unwrap_or_else(|| panic!("{sequence:?}"));
        let end = parameters
            .find(|c: char| !matches!(c, '0'..='9' | ';' | '?'))
            .unwrap_or_else(|| panic!("{sequence:?}"));
        let known = matches!(
            (&parameters[..end], &parameters[end..=end]),
            (_, "m" | "A" | "B" | "K" | "G") | ("?25", "l" | "h") | ("" | "0", "J")
        );
        assert!(known, "{sequence:?} in {shown:?}");
        rest = &parameters[end + 1..];
    }
    text + rest
}

#[test]
fn a_live_view_shows_one_line_of_what_a_command_prints_and_sends_none_of_it() {
    let directory = temporary();
    let hostile = in_printf(&format!("{HOSTILE}\n::add-mask::z\n"));
    let long = "printf '%0100000d\\n' 7; printf '\\342\\200\\256%0500d\\r' 7; sleep 0.6";
    // Each line stands alone for a while, so that it is drawn.
    let script = format!(
        "printf '{hostile}'; sleep 0.6; printf '{}'; sleep 0.6; {long}; printf '\\033[999A\\033[2Jgone\\033]0;t\\007'; sleep 0.6; echo said",
        in_printf(HOSTILE)
    );
    let in_file = in_kdl(&script);
    write(
        directory.path(),
        "imgmake.kdl",
        format!(
            "run talk {{ command \"{in_file}\" }}\n\
             run fails {{ command \"{in_file}; exit 3\" }}\n\
             build app {{\n    from scratch\n    copy \"busybox\" to=\"/bin/\"\n    \
             env PATH=\"/bin\"\n    run \"/bin/busybox\" \"sh\" \"-c\" \"sleep() {{ /bin/busybox sleep $1; }}; {in_file}\"\n}}\n"
        ),
    );
    std::fs::copy("/usr/bin/busybox", directory.path().join("busybox")).unwrap();
    let imgmake = Imgmake::new().with("TERM", "xterm-256color");
    for (target, code) in [("talk", 0), ("fails", 3), ("app", 0)] {
        let command = imgmake.command(directory.path());
        let output = at_a_terminal(&command, &[target], "", "");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let ended = output.status.code().unwrap();
        assert_eq!(ended == 0, code == 0, "{target}: {shown}");
        // It was the live view, and it has shown what the command printed, as pictures. (The
        // words of a RUN itself leave no room for that in 80 columns.)
        assert!(shown.contains('⠋'), "{target}: {shown}");
        let has_room = target != "app";
        assert!(
            !has_room || shown.contains("gone␛]0;t␇"),
            "{target}: {shown}"
        );
        let text = without_its_own_sequences(&shown);
        let ran = Ran {
            code: ended,
            stdout: text.replace('\r', ""),
            stderr: String::new(),
        };
        assert_harmless(target, &ran);
        // Nothing wraps around: the view counts its lines to find its beginning again.
        if code == 0 {
            assert!(
                !has_room || text.contains(&"0".repeat(40)),
                "{target}: {text}"
            );
            assert!(!text.contains(&"0".repeat(80)), "{target}: {text}");
        }
    }
}

#[test]
fn diagnostics_show_what_a_file_holds_and_send_none_of_it() {
    let one_line: String = HOSTILE
        .chars()
        .filter(|c| !matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\x0b' | '\x0c'))
        .collect();
    let imgmake = Imgmake::new();
    let directory = temporary();
    write(
        directory.path(),
        "imgmake.kdl",
        "build app { context \".\" }\n",
    );
    for dockerfile in [
        format!("FROM scratch\nNONSENSE {one_line}\n"),
        format!("FROM {one_line}\n"),
        format!("FROM scratch\nCOPY --from={one_line} a b\n"),
        format!("FROM scratch\nCOPY {one_line} /b\n"),
        format!("FROM scratch\nENV {one_line}\n"),
    ] {
        write(directory.path(), "Dockerfile", dockerfile);
        let ran = imgmake.run(directory.path(), &[]);
        assert_harmless("a Dockerfile", &ran);
    }
    for manifest in [
        format!("build app {{ contxt \"{}\" }}\n", in_kdl(HOSTILE)),
        format!("build \"{}\" {{ }}\n", in_kdl(HOSTILE)),
        format!("nonsense \"{}\"\n", in_kdl(HOSTILE)),
        format!(
            "run app {{ command \"true\"; needs \"{}\" }}\n",
            in_kdl(HOSTILE)
        ),
        format!("// {one_line}\nbuild {one_line}\n"),
    ] {
        write(directory.path(), "imgmake.kdl", manifest);
        let ran = imgmake.run(directory.path(), &[]);
        assert_ne!(ran.code, 0);
        assert_harmless("a manifest", &ran);
    }
    for bake in [
        format!("target \"default\" {{ nonsense = \"{one_line}\" }}\n"),
        format!("{one_line}\n"),
        format!("target \"default\" {{ tags = [undefined(\"{one_line}\")] }}\n"),
    ] {
        write(directory.path(), "docker-bake.hcl", bake);
        let ran = imgmake.run(directory.path(), &["import"]);
        assert_harmless("a bake file", &ran);
    }
}

#[test]
fn a_cycle_of_thousands_of_targets_is_one_readable_message() {
    let directory = temporary();
    let mut manifest = String::new();
    for n in 0..10_000 {
        let next = (n + 1) % 10_000;
        manifest += &format!("run t{n} {{ command \"true\"; needs t{next} }}\n");
    }
    write(directory.path(), "imgmake.kdl", manifest);
    let ran = Imgmake::new().run(directory.path(), &["t0"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("more"), "{}", ran.stderr);
    assert!(ran.stderr.len() < 20_000, "{} bytes", ran.stderr.len());
}
