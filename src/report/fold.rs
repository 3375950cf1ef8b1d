//! Parts of a log that a CI system can fold: `::group::` of GitHub, sections of GitLab.

use super::options::Folding;

/// Opens the part of a target; nothing where the log is not folded.
pub(super) fn opened(folding: Folding, target: &str) -> String {
    match folding {
        Folding::None => String::new(),
        Folding::Github => format!("::group::{target}\n"),
        Folding::Gitlab => format!(
            "\x1b[0Ksection_start:{}:{}[collapsed=false]\r\x1b[0K{target}\n",
            seconds(),
            id(target)
        ),
    }
}

pub(super) fn closed(folding: Folding, target: &str) -> String {
    match folding {
        Folding::None => String::new(),
        Folding::Github => "::endgroup::\n".to_string(),
        Folding::Gitlab => {
            format!("\x1b[0Ksection_end:{}:{}\r\x1b[0K\n", seconds(), id(target))
        }
    }
}

fn seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// GitLab takes letters, digits, `_`, `.` and `-`.
fn id(target: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("imgmake_{}", target.chars().map(legal).collect::<String>())
}
