//! git's configuration syntax, as far as `.gitmodules` and the format of a
//! repository need it: sections, names and values (git-config, "Syntax").

/// One `name = value`; section and name in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub section: String,
    /// What stands in quotes after the section's name.
    pub subsection: String,
    pub name: String,
    pub value: String,
}

/// All settings, in order. Lines that are none are passed over, as a reader of other
/// people's files must.
pub(super) fn settings(text: &str) -> Vec<Setting> {
    let mut found = Vec::new();
    let (mut section, mut subsection) = (String::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_string();
        // A backslash at the end continues a value.
        while line.ends_with('\\') && !line.ends_with("\\\\") {
            line.pop();
            line.push_str(lines.next().unwrap_or_default());
        }
        let mut rest = line.as_str();
        if let Some(after) = rest.strip_prefix('[') {
            let Some((heading, after)) = heading(after) else {
                continue;
            };
            (section, subsection) = heading;
            rest = after.trim_start();
        }
        if rest.is_empty() || rest.starts_with(['#', ';']) {
            continue;
        }
        let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
        found.push(Setting {
            section: section.clone(),
            subsection: subsection.clone(),
            name: name.trim().to_ascii_lowercase(),
            value: value_of(value),
        });
    }
    found
}

/// `submodule "lib"]` and what follows.
fn heading(text: &str) -> Option<((String, String), &str)> {
    let end = text.find(['"', ']'])?;
    let section = text[..end].trim().to_ascii_lowercase();
    if text[end..].starts_with(']') {
        return Some(((section, String::new()), &text[end + 1..]));
    }
    let mut subsection = String::new();
    let mut characters = text[end + 1..].char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => subsection.push(characters.next()?.1),
            '"' => {
                let rest = text[end + 1 + at + 1..].trim_start();
                return Some(((section, subsection), rest.strip_prefix(']')?));
            }
            other => subsection.push(other),
        }
    }
    None
}

fn value_of(text: &str) -> String {
    let mut value = String::new();
    // Blanks count when something follows them.
    let mut blanks = String::new();
    let mut is_quoted = false;
    let mut characters = text.trim_start().chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '#' | ';' if !is_quoted => break,
            ' ' | '\t' if !is_quoted => {
                blanks.push(character);
                continue;
            }
            _ => {
                value.push_str(&std::mem::take(&mut blanks));
                value.push(match character {
                    '\\' => match characters.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some(other) => other,
                        None => break,
                    },
                    other => other,
                });
                continue;
            }
        }
        value.push_str(&std::mem::take(&mut blanks));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_names_and_values_are_read_as_git_reads_them() {
        let text = "# x\n[core]\n\trepositoryFormatVersion = 1 ; y\n[Submodule \"a \\\"b\"] path = \"lib # one\"  \n\turl = ../x\\\n/y z  \n  bare\n[broken\n";
        let found: Vec<String> = settings(text)
            .iter()
            .map(|s| format!("{}.{}.{}={}", s.section, s.subsection, s.name, s.value))
            .collect();
        assert_eq!(
            found,
            [
                "core..repositoryformatversion=1",
                "submodule.a \"b.path=lib # one",
                "submodule.a \"b.url=../x/y z",
                "submodule.a \"b.bare=true",
            ]
        );
    }
}
