//! `completions`: scripts that ask the program what may follow; for other shells, what clap generates.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::candidates::ASK;
use super::output::print_exactly;
use crate::exit::Exit;

/// bash takes words apart at `:` and `=`, and wants what follows the last of them.
const BASH: &str = r#"_imgmake() {
    local words line kind value current=$2 names=
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    case ${COMP_LINE:0:COMP_POINT} in *[[:space:]]) words+=("") ;; esac
    case $current in = | :) current= ;; esac
    local last=${words[${#words[@]} - 1]}
    local head=${last%"$current"}
    COMPREPLY=()
    while IFS=$'\t' read -r kind value line; do
        case $kind in
            w) names=1; COMPREPLY+=("${value#"$head"}") ;;
            f) while read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current") ;;
            d) while read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$current") ;;
        esac
    done < <("${words[0]}" ASK "${words[@]:1}" 2>/dev/null)
    # Names of images have a `:`, which is quoted in names of files.
    [ -n "$names" ] || compopt -o filenames 2>/dev/null
}
complete -F _imgmake imgmake
"#;

const ZSH: &str = r#"#compdef imgmake
_imgmake() {
    local -a lines found
    local line value
    lines=("${(@f)$("${words[1]}" ASK "${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    for line in $lines; do
        case $line in
            w*)
                value=${${line#*$'\t'}%%$'\t'*}
                found+=("${value//:/\\:}:${line##*$'\t'}") ;;
            f) _files ;;
            d) _files -/ ;;
        esac
    done
    (( $#found )) && _describe 'imgmake' found
}
if [ "$funcstack[1]" = _imgmake ]; then
    _imgmake "$@"
else
    compdef _imgmake imgmake
fi
"#;

const FISH: &str = r#"function __imgmake_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    for line in ($words[1] ASK $words[2..-1] "$last" 2>/dev/null)
        switch $line
            case f
                __fish_complete_path "$last"
            case d
                __fish_complete_directories "$last"
            case '*'
                string replace -r '^w\t' '' -- $line
        end
    end
end
complete -c imgmake -f -a '(__imgmake_complete)'
"#;

pub fn completions(shell: Shell) -> Result<u8, Exit> {
    let script = match shell {
        Shell::Bash => asking(BASH),
        Shell::Zsh => asking(ZSH),
        Shell::Fish => asking(FISH),
        _ => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "imgmake", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    };
    print_exactly(&script)?;
    Ok(0)
}

fn asking(script: &str) -> String {
    script.replace("ASK", ASK)
}
