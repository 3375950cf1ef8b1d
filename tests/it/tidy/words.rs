//! Words that were retired: the field's own stand in their places.

use super::source::root;

/// Names of code that are not used any more, and the field's.
const NAMES: [(&str, &str); 32] = [
    ("Tier", "IsolationMode"),
    ("tier", "isolation"),
    ("Recalled", "SnapshotBaseline"),
    ("Stacked", "OverlayLowers"),
    ("Heard", "ResultCollector"),
    ("Wishes", "RunOptions"),
    ("unheard", "background"),
    ("nowhere()", "discard()"),
    ("is_passing", "is_transient"),
    ("Manner", "UploadMode, FetchOptions"),
    ("Ledger", "BlobLocations"),
    ("Proof", "AuthMaterial"),
    ("conceal", "redact"),
    ("disappointed", "take_needs_rebuild"),
    ("Outbox", "ExportQueue"),
    ("Unfit", "InvalidEntry"),
    ("Recipe", "BuildDefinition"),
    ("Frame", "LengthPrefixedHasher"),
    ("Framed", "LengthPrefixedHasher"),
    ("Reached", "Poll"),
    ("Paused", "StageProgress"),
    ("go_on", "resume"),
    ("adopt_strays", "become_subreaper"),
    ("carry_out", "exec_plan"),
    ("become_user", "switch_user"),
    ("is_kanikos", "is_kaniko_context"),
    ("dockers", "docker_git_context"),
    ("Amount", "Verbosity"),
    ("Cx", "DecodeContext"),
    ("Standing", "DestinationEntry"),
    ("is_noise", "is_incompressible"),
    ("while_nothing_is_written", "fork_exclusive"),
];

/// Words of sentences: in comments, messages, README and book.
const PROSE: [(&str, &str); 7] = [
    ("tier", "isolation mode"),
    ("tiers", "isolation modes"),
    ("rooms", "modules, crates"),
    ("was never made", "not built yet"),
    ("published all the same", "already published"),
    ("` is no", "invalid X `…`"),
    ("stands twice", "duplicate X"),
];

/// Phrases that readers stumbled over: in README and book, and in texts of the code.
const PLAIN: [(&str, &str); 54] = [
    ("all the same", "nevertheless, or nothing"),
    ("anew", "again"),
    ("anybody", "anyone, any user"),
    ("are gone", "has ended, was removed"),
    ("as ever", "as usual"),
    ("as far as", "if, up to"),
    ("be had", "is available"),
    ("by watching", "by imgmake"),
    ("cannot stand", "is not allowed"),
    ("everybody", "every user, anyone"),
    ("fell silent", "sent no data"),
    ("goes before", "has priority over"),
    ("goes first", "has priority"),
    ("goes on", "continues"),
    ("in clear", "over plain HTTP"),
    ("in no key", "never part of a cache key"),
    ("in no layer", "never part of a layer"),
    ("in no log", "never part of a log"),
    ("in place of", "instead of"),
    ("in the place of", "replaces"),
    ("in the way", "exists already"),
    ("is none", "is not …"),
    ("keeps no", "does not store"),
    ("leads nowhere", "has no target"),
    ("leave alone", "ignore"),
    ("left alone", "ignored"),
    ("lies beside", "is beside"),
    ("made up", "invented"),
    ("make room", "free space"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("nobody", "no user, nothing"),
    ("none counts", "none is valid"),
    ("of a kind", "of one type"),
    ("of ours", "of imgmake"),
    ("of their own", "separate"),
    ("outright", "explicitly"),
    ("passed over", "skipped"),
    ("passes over", "skips"),
    ("say so", "write it"),
    ("somebody", "another user, a stranger"),
    ("somebody's", "of another user"),
    ("spent", "exchanged"),
    ("spoken", "supported"),
    ("stands", "is"),
    ("stays behind", "is not copied"),
    ("take it out", "remove it"),
    ("taken along", "copied, sent"),
    ("takes it out", "removes it"),
    ("takes the place", "replaces"),
    ("thrown away", "discarded"),
    ("told", "reported"),
    ("wants", "needs, requires"),
    ("whoever", "a user who"),
];

/// Parts of words as the British write them, within names too.
const BRITISH: [(&str, &str); 15] = [
    ("authoris", "authoriz"),
    ("behaviour", "behavior"),
    ("catalogue", "catalog"),
    ("colour", "color"),
    ("favour", "favor"),
    ("honour", "honor"),
    ("initialis", "initializ"),
    ("labelled", "labeled"),
    ("licence", "license"),
    ("neighbour", "neighbor"),
    ("normalis", "normaliz"),
    ("recognis", "recogniz"),
    ("serialis", "serializ"),
    ("signalled", "signaled"),
    ("summaris", "summariz"),
];

#[test]
fn retired_words_stay_retired() {
    let mut found = Vec::new();
    for path in texts() {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        let is_code = path.ends_with(".rs");
        let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines_before_tests = before_tests.lines().count();
        for (number, line) in text.lines().enumerate() {
            let names = NAMES.iter().filter(|_| is_code);
            for (word, instead) in names.chain(&PROSE) {
                if has_word(line, word) {
                    found.push(format!("{path}:{}: `{word}`: {instead}", number + 1));
                }
            }
            let for_users = match number < lines_before_tests {
                true => read_by_users(&path, line),
                false => Vec::new(),
            };
            for (phrase, instead) in for_users {
                found.push(format!("{path}:{}: `{phrase}`: {instead}", number + 1));
            }
            let lower = line.to_lowercase();
            for (part, instead) in BRITISH.iter().filter(|(part, _)| lower.contains(part)) {
                found.push(format!("{path}:{}: `{part}`: {instead}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What of a line users read: all of a page, and the texts between quotes of code. The table of
/// modules in the page about architecture is of comments.
fn read_by_users(path: &str, line: &str) -> Vec<(&'static str, &'static str)> {
    let is_code = path.ends_with(".rs");
    if path.ends_with("architecture.md") || is_code && is_for_tests(path, line) {
        return Vec::new();
    }
    let texts: String = match is_code {
        true => line
            .split('"')
            .skip(1)
            .step_by(2)
            .collect::<Vec<_>>()
            .join("\n"),
        false => line.to_string(),
    };
    let stumbled = PLAIN.iter().filter(|(phrase, _)| has_word(&texts, phrase));
    stumbled.copied().collect()
}

/// Tests quote what others say, and panics are read by nobody but us.
fn is_for_tests(path: &str, line: &str) -> bool {
    let of_tests = ["/tests", "/trials", "testkit", "_tests", "golden"];
    let states_a_promise = [".expect(", "assert", "panic!"];
    of_tests.iter().any(|part| path.contains(part))
        || states_a_promise.iter().any(|part| line.contains(part))
        || line.trim_start().starts_with("//")
}

fn has_word(line: &str, word: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !joins(line[..at].chars().next_back()) && !joins(line[at + word.len()..].chars().next())
    })
}

/// Code of the program and its crates, README and book; this file names the words.
fn texts() -> Vec<String> {
    let mut paths = Vec::new();
    for directory in ["src", "crates", "book/src"] {
        walk(directory, &mut paths);
    }
    paths.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(String::from));
    assert!(paths.len() > 300, "{} files", paths.len());
    paths
}

fn walk(directory: &str, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(directory)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            walk(&path, paths);
        } else if path.ends_with(".rs") || path.ends_with(".md") {
            paths.push(path);
        }
    }
}

#[test]
fn a_word_is_found_as_a_whole() {
    assert!(has_word("one tier.", "tier"));
    assert!(!has_word("frontier, tiered", "tier"));
}
