//! `completions`: what clap generates, and the names of the targets, which the
//! shell asks `imgmake list` for.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::output::print_exactly;
use crate::exit::Exit;

const BASH: &str = r#"
_imgmake_targets() {
    _imgmake "$@"
    case "$2" in -*) return ;; esac
    COMPREPLY+=($(compgen -W "$(imgmake list 2>/dev/null | cut -d' ' -f1)" -- "$2"))
}
complete -F _imgmake_targets -o bashdefault -o default imgmake
"#;

const ZSH: &str = r#"
_imgmake_targets() {
    local -a names
    names=(${(f)"$(imgmake list 2>/dev/null | cut -d' ' -f1)"})
    compadd -a names
}
"#;

const FISH: &str = r#"
complete -c imgmake -f -a "(imgmake list 2>/dev/null | string split -f1 ' ')"
"#;

pub fn completions(shell: Shell) -> Result<u8, Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "imgmake", &mut script);
    print_exactly(&with_targets(shell, &String::from_utf8_lossy(&script)))?;
    Ok(0)
}

fn with_targets(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}{BASH}"),
        Shell::Fish => format!("{script}{FISH}"),
        Shell::Zsh => {
            let complete = |line: &str| match line.contains(":target") {
                true => line.replace(":_default'", ":_imgmake_targets'"),
                false => line.to_string(),
            };
            let lines: Vec<String> = script.lines().map(complete).collect();
            // `#compdef` stays the first line.
            lines.join("\n").replacen('\n', &format!("\n{ZSH}"), 1) + "\n"
        }
        _ => script.to_string(),
    }
}
