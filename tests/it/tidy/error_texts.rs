//! Nothing is decided by the text of an error: what is asked of it is a variant or a kind.

use super::source::sources;

/// How a text made on the spot is looked into. Texts that are kept in a variable first are not seen.
const LOOKS: [&str; 4] = ["contains(", "starts_with(", "ends_with(", "find("];

#[test]
fn nothing_is_decided_by_the_text_of_an_error() {
    let mut wrong = Vec::new();
    for source in sources() {
        let code: String = source.code().split_whitespace().collect();
        for look in LOOKS {
            for made in [
                "error.to_string().",
                "err.to_string().",
                "e.to_string().",
                "format!(\"{error}\").",
                "format!(\"{error:#}\").",
                "format!(\"{e}\").",
                "format!(\"{e:#}\").",
                "failure.message.",
            ] {
                let wanted = format!("{made}{look}");
                if code.contains(&wanted) {
                    wrong.push(format!("{}: `{wanted}`", source.path));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "match variants or kinds:\n{}",
        wrong.join("\n")
    );
}
