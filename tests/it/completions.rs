//! What bash, zsh and fish propose for a command line.

use crate::ground::project::Project;

/// What a shell proposes for the end of a line.
fn completed(p: &Project, shell: &str, line: &str) -> Vec<String> {
    let script = p.imgmake.ok(p.path(), &["completions", shell]).stdout;
    p.write(".imgmake/completions", &script);
    let ask = match shell {
        "bash" => {
            r#". .imgmake/completions; COMP_LINE=$1; COMP_POINT=${#1}; last=${1##*[ :=]}
            _imgmake imgmake "$last" imgmake; printf '%s\n' "${COMPREPLY[@]}""#
        }
        "fish" => "source .imgmake/completions; complete -C $argv[1] | string split -f1 \\t; true",
        // Its own functions say what it would show.
        _ => {
            r#"compdef() { }; _files() { print -r -- "(files)" }; _describe() { print -rl -- "${(@P)2%%:*}" }
            . ./.imgmake/completions
            words=("${(@s: :)1}"); CURRENT=${#words}; PREFIX=${words[-1]}
            _imgmake; true"#
        }
    };
    let mut command = std::process::Command::new(shell);
    match shell {
        "bash" => command.args(["-c", ask, "bash", line]),
        "fish" => command.args(["--no-config", "-c", ask, line]),
        _ => command.args(["-f", "-c", ask, "zsh", line]),
    };
    let bin = p.imgmake.home().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{bin}:{path}"));
    let output = command.current_dir(p.path()).output().unwrap();
    let said = crate::ground::succeeded(shell, &output);
    said.lines().map(String::from).collect()
}

#[test]
fn shells_complete_commands_targets_and_values() {
    let p = Project::new("run web { command \"true\" }\nrun api { command \"true\" }\n");
    p.write(
        "services/shop/imgmake.kdl",
        "run app { command \"true\" }\n",
    );
    let manifest = p.read("imgmake.kdl");
    p.write(
        "imgmake.kdl",
        &format!("include \"services/*/imgmake.kdl\"\n{manifest}"),
    );
    for shell in ["bash", "zsh", "fish"] {
        for (line, expected) in [
            ("imgmake ins", &["inspect"][..]),
            ("imgmake run we", &["web"]),
            ("imgmake why ap", &["api"]),
            ("imgmake --progress pl", &["plain"]),
            ("imgmake gc --ke", &["--keep"]),
            ("imgmake gc ", &[]),
        ] {
            let found = completed(&p, shell, line);
            let found: Vec<&str> = found
                .iter()
                .map(String::as_str)
                .filter(|word| !word.is_empty())
                .collect();
            assert_eq!(found, expected, "{shell}: {line}");
        }
        let all = completed(&p, shell, "imgmake ");
        for word in ["plan", "web", "api"] {
            assert!(
                all.iter().any(|one| one == word),
                "{shell}: {word} in {all:?}"
            );
        }
        assert!(!all.iter().any(|one| one.contains("attempt")), "{all:?}");
        // bash takes it apart at the colon, and wants the rest.
        let whole = match shell {
            "bash" => "app",
            "zsh" => "services/shop\\",
            _ => "services/shop:app",
        };
        assert_eq!(
            completed(&p, shell, "imgmake services/shop:a"),
            [whole],
            "{shell}"
        );
    }
}
