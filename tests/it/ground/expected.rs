//! Expected texts, which a run with `UPDATE=1` writes anew.

use std::path::Path;

/// Whether expected texts are written instead of compared. `UPDATE=` asks for nothing.
pub fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty())
}

/// The part of a page between two marks is what the code makes. The first mark says how it is written.
#[track_caller]
pub fn assert_part(page: &str, start: &str, end: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(start).expect("the page has the first mark");
    let (written, after) = rest.split_once(end).expect("the page has the second mark");
    if is_update() {
        std::fs::write(path, format!("{before}{start}{made}{end}{after}")).unwrap();
        return;
    }
    assert!(written == made, "{page} is behind: {start}{made}");
}
