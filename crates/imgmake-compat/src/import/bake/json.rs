//! JSON with lines, names that may stand more than once, and numbers as they are written.

use super::problem::Problem;

pub(super) struct Json {
    pub line: usize,
    pub kind: Kind,
}

impl Json {
    /// Its lines are counted on from those of the files before.
    pub(super) fn move_down(&mut self, by: usize) {
        self.line += by;
        match &mut self.kind {
            Kind::List(list) => list.iter_mut().for_each(|one| one.move_down(by)),
            Kind::Object(pairs) => {
                for (name, value) in pairs {
                    name.line += by;
                    value.move_down(by);
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
        }
    }
}

pub(super) enum Kind {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(Name, Json)>),
}

pub(super) struct Name {
    pub line: usize,
    pub text: String,
}

/// Keys of a map and their values, in the order of the file.
pub(super) type Pairs<'a> = &'a [(Name, Json)];

/// # Errors
/// It is not a map; null is an empty one.
pub(super) fn object<'a>(value: &'a Json, what: &str) -> Result<Pairs<'a>, Problem> {
    match &value.kind {
        Kind::Object(pairs) => Ok(pairs),
        Kind::Null => Ok(&[]),
        _ => Err(Problem::at(Some(value.line), format!("{what} is a map"))),
    }
}

pub(super) fn find<'a>(pairs: Pairs<'a>, key: &str) -> Option<&'a Json> {
    pairs
        .iter()
        .find(|(name, _)| name.text == key)
        .map(|(_, value)| value)
}

/// Lists within lists; more are a mistake.
const DEEPEST: usize = 64;

/// # Errors
/// Not JSON, with the line.
pub(super) fn parse(text: &str) -> Result<Json, Problem> {
    let mut reader = Reader {
        text,
        at: 0,
        counted: (0, 1),
        depth: 0,
    };
    let value = reader.value()?;
    reader.space();
    match reader.rest().chars().next() {
        None => Ok(value),
        Some(c) => Err(reader.wrong(&format!("{c:?} follows the end"))),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// A place that was passed, and its line.
    counted: (usize, usize),
    depth: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Counted on from where it was counted last.
    fn line(&mut self) -> usize {
        let (from, line) = self.counted;
        let more = self.text.as_bytes()[from..self.at].iter();
        let line = line + more.filter(|byte| **byte == b'\n').count();
        self.counted = (self.at, line);
        line
    }

    fn wrong(&mut self, what: &str) -> Problem {
        Problem::at(Some(self.line()), format!("invalid JSON: {what}"))
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, text: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn value(&mut self) -> Result<Json, Problem> {
        self.space();
        let line = self.line();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("lists within lists go too deep"));
        }
        let kind = match self.rest().chars().next() {
            Some('{') => self.object()?,
            Some('[') => self.list()?,
            Some('"') => Kind::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            _ if self.take("null") => Kind::Null,
            _ if self.take("true") => Kind::Bool(true),
            _ if self.take("false") => Kind::Bool(false),
            Some(c) => return Err(self.wrong(&format!("a value is expected, and not {c:?}"))),
            None => return Err(self.wrong("it ends where a value is expected")),
        };
        self.depth -= 1;
        Ok(Json { line, kind })
    }

    fn object(&mut self) -> Result<Kind, Problem> {
        let mut pairs = Vec::new();
        self.take("{");
        if self.take("}") {
            return Ok(Kind::Object(pairs));
        }
        loop {
            self.space();
            let line = self.line();
            if !self.rest().starts_with('"') {
                return Err(self.wrong("a name in quotes is expected"));
            }
            let text = self.string()?;
            if !self.take(":") {
                return Err(self.wrong("`:` is expected"));
            }
            pairs.push((Name { line, text }, self.value()?));
            if self.take("}") {
                return Ok(Kind::Object(pairs));
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `}` is expected"));
            }
        }
    }

    fn list(&mut self) -> Result<Kind, Problem> {
        let mut list = Vec::new();
        self.take("[");
        if self.take("]") {
            return Ok(Kind::List(list));
        }
        loop {
            list.push(self.value()?);
            if self.take("]") {
                return Ok(Kind::List(list));
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `]` is expected"));
            }
        }
    }

    fn number(&mut self) -> Result<Kind, Problem> {
        let rest = self.rest();
        let part = |c: char| !c.is_ascii_digit() && !"+-.eE".contains(c);
        let text = rest[..rest.find(part).unwrap_or(rest.len())].to_string();
        // Its grammar is serde_json's.
        match serde_json::from_str::<serde_json::Number>(&text) {
            Ok(_) => {
                self.at += text.len();
                Ok(Kind::Number(text))
            }
            Err(_) => Err(self.wrong(&format!("invalid number `{text}`"))),
        }
    }

    fn string(&mut self) -> Result<String, Problem> {
        let bytes = self.rest().as_bytes();
        let mut end = 1;
        while bytes.get(end).is_some_and(|byte| *byte != b'"') {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let written = self.rest().get(..=end);
        let read = written.and_then(|written| serde_json::from_str(written).ok());
        match read {
            Some(text) => {
                self.at += end + 1;
                Ok(text)
            }
            None => Err(self.wrong("invalid string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_stand_twice_and_everything_knows_its_line() {
        let json = parse("{\"a\": 1.50,\n \"a\": [null, true],\n\"b\": \"x\\n\\\"\"}")
            .unwrap_or_else(|p| panic!("{p:?}"));
        let Kind::Object(pairs) = json.kind else {
            panic!()
        };
        let lines: Vec<(&str, usize)> = pairs
            .iter()
            .map(|(name, _)| (name.text.as_str(), name.line))
            .collect();
        assert_eq!(lines, [("a", 1), ("a", 2), ("b", 3)]);
        assert!(matches!(&pairs[0].1.kind, Kind::Number(text) if text == "1.50"));
        assert!(matches!(&pairs[2].1.kind, Kind::Text(text) if text == "x\n\""));
        for (text, line) in [
            ("{", 1),
            ("{\n\"a\" 1}", 2),
            ("[1,\n\n]", 3),
            ("01", 1),
            ("\"a\n", 1),
            ("[1] 2", 1),
            ("nul", 1),
        ] {
            let problem = parse(text).err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(problem.line, Some(line), "{text}: {problem:?}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
