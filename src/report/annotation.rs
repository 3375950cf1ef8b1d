//! GitHub's workflow commands: a message at its place in a file
//! (<https://docs.github.com/actions>, "Workflow commands").

use imgmake_guard::printable::{self, Colors};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
}

/// `::error file=Dockerfile,line=4,title=app::message`, as one line.
pub fn annotation(level: Level, title: &str, message: &str) -> String {
    let kind = match level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    // Colors would be shown as they are written; other controls are not for a log at all.
    let message = printable::message(message, Colors::Removed);
    let mut properties = Vec::new();
    if let Some((file, line, column)) = place(&message) {
        properties.push(format!("file={}", property(file)));
        properties.push(format!("line={line}"));
        properties.extend(column.map(|column| format!("col={column}")));
    }
    if !title.is_empty() {
        let title = printable::line(title, Colors::Removed);
        properties.push(format!("title={}", property(&title)));
    }
    let properties = match properties.is_empty() {
        true => String::new(),
        false => format!(" {}", properties.join(",")),
    };
    format!("::{kind}{properties}::{}", data(&message))
}

fn data(text: &str) -> String {
    let text = text.replace('%', "%25");
    text.replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// What a message is about: `--> imgmake.kdl:3:5` below it, or `Dockerfile:4: ` or
/// `Dockerfile:4:1: ` in front.
pub(super) fn place(message: &str) -> Option<(&str, usize, Option<usize>)> {
    let shown = message
        .lines()
        .find_map(|line| line.trim().strip_prefix("--> "));
    if let Some(shown) = shown {
        let (rest, column) = shown.trim().rsplit_once(':')?;
        let (file, line) = rest.rsplit_once(':')?;
        return Some((file, line.parse().ok()?, column.parse().ok()));
    }
    let (front, _) = message.split_once(": ")?;
    let (front, last) = numbered(front)?;
    let (file, line, column) = match numbered(front) {
        Some((file, line)) => (file, line, Some(last)),
        None => (front, last, None),
    };
    let is_path = !file.is_empty() && !file.contains([' ', '\n']);
    is_path.then_some((file, line, column))
}

/// `Dockerfile:4` taken apart.
fn numbered(text: &str) -> Option<(&str, usize)> {
    let (rest, number) = text.rsplit_once(':')?;
    Some((rest, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_at_its_place() {
        for (message, shown) in [
            ("a b", "::error title=app::a b"),
            (
                "Dockerfile:4: no",
                "::error file=Dockerfile,line=4,title=app::Dockerfile:4: no",
            ),
            (
                "a/Dockerfile:4:7: no: x",
                "::error file=a/Dockerfile,line=4,col=7,title=app::a/Dockerfile:4:7: no: x",
            ),
            ("cannot read: b", "::error title=app::cannot read: b"),
            ("see host:80: no", "::error title=app::see host:80: no"),
            (
                "wrong\n --> a,b.kdl:3:5\n",
                "::error file=a%2Cb.kdl,line=3,col=5,title=app::wrong%0A --> a,b.kdl:3:5%0A",
            ),
        ] {
            assert_eq!(annotation(Level::Error, "app", message), shown);
        }
        assert_eq!(annotation(Level::Warning, "", "50%"), "::warning::50%25");
    }
}
