//! Java's properties, as `java.util.Properties` reads them: `key=value`, `key: value` or `key value`,
//! lines that go on behind a backslash, and escapes.

/// The fields in their order; of equal ones, the last counts.
pub fn read(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut lines = text.split(['\n', '\r']);
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_string();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while goes_on(&line) {
            line.pop();
            let Some(more) = lines.next() else {
                break;
            };
            line.push_str(more.trim_start());
        }
        let end = end_of_key(&line);
        let (key, value) = line.split_at(end);
        let value = value.trim_start();
        let value = value.strip_prefix(['=', ':']).unwrap_or(value);
        fields.push((unescaped(key), unescaped(value.trim_start())));
    }
    fields
}

fn goes_on(line: &str) -> bool {
    let backslashes = line.bytes().rev().take_while(|b| *b == b'\\').count();
    backslashes % 2 == 1
}

fn end_of_key(line: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '=' | ':' => return at,
            c if c.is_whitespace() => return at,
            _ => {}
        }
    }
    line.len()
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('u') => {
                let digits: String = rest.by_ref().take(4).collect();
                let number = u32::from_str_radix(&digits, 16).ok();
                plain.extend(number.and_then(char::from_u32));
            }
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            other => plain.extend(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_java_does() {
        let text = "# a=b\n! c\na=1\r\nb : 2\n  c\t3\nd\\ e = \\u0034\\\n   5\nf\na = 6\n\\";
        let read = read(text);
        let read: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("d e", "45"),
            ("f", ""),
            ("a", "6"),
            ("", ""),
        ];
        assert_eq!(read, expected);
    }
}
