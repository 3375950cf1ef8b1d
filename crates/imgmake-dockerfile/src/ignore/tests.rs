use super::*;
use proptest::prelude::*;

fn hidden(rules: &str, path: &str) -> bool {
    Ignore::parse(rules).expect(rules).is_hidden(path)
}

fn check(table: &[(&str, &str, bool)]) {
    for (rules, path, expected) in table {
        assert_eq!(hidden(rules, path), *expected, "{rules:?} on {path}");
    }
}

#[test]
fn a_plain_rule_hides_that_path_and_everything_below() {
    check(&[
        ("dist", "dist", true),
        ("dist", "dist/a/b", true),
        ("dist", "src/dist", false),
        ("dist", "distance", false),
        ("a/b", "a/b/c", true),
        ("a/b", "a/bc", false),
        ("a/b", "a", false),
    ]);
}

#[test]
fn slashes_around_a_rule_mean_nothing() {
    check(&[
        ("/dist", "dist/x", true),
        ("dist/", "dist", true),
        ("./dist", "dist", true),
        ("a//b/../c", "a/c", true),
        ("/", "anything", false),
        (".", "anything", false),
        ("../x", "x", false),
    ]);
}

#[test]
fn single_stars_stop_at_slashes() {
    check(&[
        ("*.log", "a.log", true),
        ("*.log", "dir/a.log", false),
        ("*/temp*", "dir/temporary.txt", true),
        ("*/temp*", "dir/sub/temp", false),
        ("*", "deep/below/all", true),
        ("temp?", "tempa", true),
        ("temp?", "temp", false),
        ("a/?", "a//", false),
    ]);
}

#[test]
fn double_stars_cross_directories() {
    check(&[
        ("**", "any/thing", true),
        ("**/*.go", "main.go", true),
        ("**/*.go", "a/b/main.go", true),
        ("**/file", "file", true),
        ("**/file", "dir/file", true),
        ("**/file", "dir/afile", false),
        ("**file", "dir/afile", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir/dir2/*", "dir/dir2/dir2/file", true),
        ("dir/**", "dir/a/b", true),
        ("dir/**", "dir", false),
        ("dir/**", "dirx", false),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a/**/b", "a/xb", false),
        ("**/**", "a", true),
        ("a**/*.txt", "abc/x.txt", true),
        ("**/node_modules", "web/node_modules/left/pad.js", true),
        ("**/.DS_Store", ".DS_Store", true),
    ]);
}

#[test]
fn braces_and_dots_are_ordinary() {
    check(&[
        ("{a,b}*", "a", false),
        ("{a,b}*", "{a,b}c", true),
        ("a.c*", "abc", false),
        ("a+b(c)|d$*", "a+b(c)|d$x", true),
        ("a^*", "a^b", true),
    ]);
}

#[test]
fn classes_and_escapes_work_as_in_go() {
    check(&[
        ("[ab].txt", "a.txt", true),
        ("[^ab].txt", "a.txt", false),
        ("[a-c]x", "bx", true),
        ("[!a]x", "!x", true),
        ("a[.]b", "a.b", true),
        ("a[.]b", "axb", false),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("\\!keep", "!keep", true),
        ("\\d*", "7", false),
    ]);
}

#[test]
fn the_last_rule_that_matches_decides() {
    check(&[
        ("*.md\n!README.md", "README.md", false),
        ("*.md\n!README.md", "NOTES.md", true),
        ("!README.md\n*.md", "README.md", true),
        (
            "*.md\n!README*.md\nREADME-secret.md",
            "README-secret.md",
            true,
        ),
        ("docs\n!docs/keep", "docs/keep/a", false),
        ("docs\n!docs/keep", "docs/other", true),
        ("docs\n!docs/keep\ndocs/keep/not", "docs/keep/not/x", true),
        ("**\n!src", "src/main.c", false),
        ("**\n!src", "README", true),
        ("*\n!web/*.js", "web/a.js", false),
        ("*\n!web/*.js", "web/a.css", true),
        ("! src", "src", false),
    ]);
}

#[test]
fn comments_start_in_column_one_only() {
    check(&[
        ("#a\nb", "b", true),
        ("#a", "#a", false),
        (" #a", "#a", true),
        ("\u{feff}# c\r\nx\r\n", "x", true),
        ("  padded  ", "padded", true),
        ("\n\n", "x", false),
    ]);
}

#[test]
fn broken_rules_name_their_line() {
    for (text, line) in [("a\n!", 2), ("[", 1), ("ok\n\n[z-a]*x[", 3), ("a\\", 1)] {
        assert_eq!(Ignore::parse(text).unwrap_err().line, line, "{text:?}");
    }
}

#[test]
fn the_verdict_names_the_rule() {
    let ignore = Ignore::parse("# build\n\n dist/ \n!dist/keep").unwrap();
    let Verdict::Hidden(rule) = ignore.verdict("dist/app.js") else {
        panic!("kept");
    };
    assert_eq!((rule.text.as_str(), rule.line), ("dist/", 3));
    let Verdict::Kept(Some(rule)) = ignore.verdict("dist/keep") else {
        panic!("hidden");
    };
    assert_eq!((rule.text.as_str(), rule.line), ("!dist/keep", 4));
}

#[test]
fn a_hidden_directory_is_skipped_unless_something_may_come_back() {
    let skip = |rules, directory| {
        let ignore = Ignore::parse(rules).unwrap();
        ignore.hides_everything_below(directory, &Parent::default())
    };
    assert!(skip("target", "target"));
    assert!(!skip("target", "src"));
    assert!(!skip("target\n!target/out", "target"));
    assert!(skip("*\n!src/main.c", "docs"));
    assert!(!skip("*\n!src/main.c", "src"));
    assert!(!skip("*\n!**/keep", "docs"));
}

#[test]
fn excludes_of_copy_follow_the_same_rules() {
    let ignore = Ignore::from_patterns(["*.txt", "!a.txt"]).unwrap();
    assert!(ignore.is_hidden("b.txt"));
    assert!(!ignore.is_hidden("a.txt"));
}

proptest! {
    #[test]
    fn no_file_panics(text in "[a!#*?\\[\\]^\\\\/.\n é-]{0,60}", path in "[a/.!*é]{1,20}") {
        if let Ok(ignore) = Ignore::parse(&text) {
            let _ = ignore.verdict(&path);
        }
    }

    /// Skipping whole directories must never lose a path that the rules keep.
    #[test]
    fn skipping_agrees_with_asking(
        rules in prop::collection::vec("!?(\\*\\*/)?[ab*?]{1,2}(/[ab*]{1,2})?(/\\*\\*)?", 1..5),
        path in "[ab](/[ab]{1,2}){1,3}",
    ) {
        let Ok(ignore) = Ignore::parse(&rules.join("\n")) else { return Ok(()) };
        let mut parent = Parent::default();
        for (at, _) in path.match_indices('/') {
            let directory = &path[..at];
            if ignore.hides_everything_below(directory, &parent) {
                prop_assert!(ignore.is_hidden(&path), "{} is skipped", directory);
                break;
            }
            parent = ignore.descend(directory, &parent).1;
        }
    }
}
