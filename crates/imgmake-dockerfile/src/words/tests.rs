use super::*;
use proptest::prelude::*;

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "V" => "value",
        "EMPTY" => "",
        "FILE" => "a/b/c.tar.gz",
        "BLANKS" => "80 443",
        "QUOTED" => "\"q\"",
        "PATTERN" => "*.gz",
        "ÄB" => "umlaut",
        _ => return None,
    };
    Some(value.to_owned())
}

fn text(word: &str) -> String {
    match expand(word, &environment, Escape::Backslash) {
        Ok(expanded) => expanded.text,
        Err(Mistake::Word { problem, .. }) => format!("error: {problem}"),
        Err(other) => panic!("not a mistake of words: {other}"),
    }
}

fn check(table: &[(&str, &str)]) {
    for (word, expected) in table {
        assert_eq!(&text(word), expected, "for {word}");
    }
}

#[test]
fn variables_are_replaced_by_their_values() {
    check(&[
        ("$V", "value"),
        ("${V}", "value"),
        ("a${V}b", "avalueb"),
        ("$V.x", "value.x"),
        ("$UNSET", ""),
        ("x${UNSET}y", "xy"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("${ÄB}", "umlaut"),
        ("$V$V", "valuevalue"),
    ]);
}

#[test]
fn positional_and_special_parameters_are_empty() {
    check(&[
        ("a$1b", "ab"),
        ("$@", ""),
        ("$*", ""),
        ("$12x", "x"),
        ("$$", ""),
        ("$?!", "!"),
    ]);
}

#[test]
fn modifiers_choose_between_value_and_word() {
    check(&[
        ("${V:-w}", "value"),
        ("${UNSET:-w}", "w"),
        ("${EMPTY:-w}", "w"),
        ("${EMPTY-w}", ""),
        ("${UNSET-w}", "w"),
        ("${V:+w}", "w"),
        ("${EMPTY:+w}", ""),
        ("${EMPTY+w}", "w"),
        ("${UNSET+w}", ""),
        ("${V:?e}", "value"),
        ("${EMPTY?e}", ""),
        ("${UNSET:-${V}}", "value"),
        ("${UNSET:-${ALSO:-deep}}", "deep"),
        ("${UNSET:-'a b'}", "a b"),
        ("${UNSET:-a\\}b}", "a}b"),
    ]);
}

#[test]
fn required_variables_fail_with_their_message() {
    check(&[
        ("${UNSET:?set it}", "error: UNSET: set it"),
        ("${EMPTY:?}", "error: EMPTY: is not allowed to be empty"),
        ("${UNSET?}", "error: UNSET: is not allowed to be unset"),
    ]);
}

#[test]
fn patterns_trim_and_replace() {
    check(&[
        ("${FILE#*/}", "b/c.tar.gz"),
        ("${FILE##*/}", "c.tar.gz"),
        ("${FILE%.*}", "a/b/c.tar"),
        ("${FILE%%.*}", "a/b/c"),
        ("${FILE%$PATTERN}", "a/b/c.tar"),
        ("${FILE#nothing}", "a/b/c.tar.gz"),
        ("${FILE/b/X}", "a/X/c.tar.gz"),
        ("${FILE//\\//-}", "a-b-c.tar.gz"),
        ("${FILE/[/x}", "a/b/c.tar.gz"),
        ("${FILE//?/x}", "xxxxxxxxxxxx"),
        ("${FILE/.*/}", "a/b/c"),
        ("${UNSET#x}", ""),
        ("${V/v/$V}", "valuealue"),
        (
            "${QUOTED//\\\"/}",
            "error: invalid escape `\\\"` in pattern `\\\"`",
        ),
    ]);
}

#[test]
fn quotes_group_and_go_away() {
    check(&[
        ("'$V'", "$V"),
        ("\"$V\"", "value"),
        ("a'b c'd", "ab cd"),
        ("\"it's\"", "it's"),
        ("'a\\'", "a\\"),
        ("$QUOTED", "\"q\""),
        ("''", ""),
    ]);
}

#[test]
fn escapes_protect_one_character() {
    check(&[
        ("\\$V", "$V"),
        ("\\\\$V", "\\value"),
        ("\"\\$V\"", "$V"),
        ("\"\\n\"", "\\n"),
        ("\\n", "n"),
        ("\"\\\"\"", "\""),
        ("a\\", "a"),
    ]);
}

#[test]
fn the_backtick_escapes_where_it_is_declared() {
    let text = |word| expand(word, &environment, Escape::Backtick).unwrap().text;
    assert_eq!(text("`$V"), "$V");
    assert_eq!(text("c:\\$V"), "c:\\value");
}

#[test]
fn broken_words_are_errors() {
    check(&[
        ("'a", "error: unclosed single quote `'`"),
        ("\"a", "error: unclosed double quote `\"`"),
        ("${V", "error: missing `}`"),
        ("${", "error: missing `}`"),
        ("${}", "error: bad substitution"),
        ("${:-x}", "error: bad substitution"),
        ("${V:#x}", "error: unsupported modifier `:#`"),
        ("${V^^}", "error: unsupported modifier `^`"),
        ("${V:-x", "error: missing `}`"),
        ("${V/a}", "error: missing `/` in `${…/pattern/replacement}`"),
    ]);
}

#[test]
fn looked_up_names_are_reported() {
    let expanded = expand(
        "$V${UNSET:-$OTHER}${EMPTY}",
        &environment,
        Escape::Backslash,
    )
    .unwrap();
    assert_eq!(expanded.used, ["EMPTY", "V"].map(String::from).into());
    // `${UNSET:-…}` provides for the case.
    assert_eq!(expanded.unset, ["OTHER".to_owned()].into());
}

#[test]
fn splitting_happens_after_expansion_and_spares_quotes() {
    let words = |w| expand_words(w, &environment, Escape::Backslash).unwrap().0;
    assert_eq!(words("$BLANKS"), ["80", "443"]);
    assert_eq!(words("\"$BLANKS\""), ["80 443"]);
    assert_eq!(words("1${UNSET:-2}3"), ["123"]);
    assert!(words("$UNSET").is_empty());
}

#[test]
fn running_text_keeps_its_quotes() {
    let text = expand_text("say \"$V\" 'and $V' \\$V", &environment).unwrap();
    assert_eq!(text.text, "say \"value\" 'and value' $V");
}

#[test]
fn display_keeps_what_is_unknown() {
    let shown = expand_for_display(
        "echo \"$V\" $HOME \\$V ${X:-y}",
        &environment,
        Escape::Backslash,
    );
    assert_eq!(shown, "echo \"value\" $HOME \\$V ${X:-y}");
}

#[test]
fn nesting_without_end_is_refused() {
    let word = "${a:-".repeat(10_000);
    assert_eq!(text(&word), "error: variables are nested too deeply");
}

proptest! {
    #[test]
    fn no_word_panics(word in "[a$V{}:+?#%/\\\\'\"` <é-]{0,40}") {
        let _ = expand(&word, &environment, Escape::Backslash);
        let _ = expand_words(&word, &environment, Escape::Backtick);
        let _ = expand_text(&word, &environment);
    }

    #[test]
    fn words_without_special_characters_stay(word in "[a-z0-9./ _-]{0,40}") {
        prop_assert_eq!(text(&word), word);
    }
}
