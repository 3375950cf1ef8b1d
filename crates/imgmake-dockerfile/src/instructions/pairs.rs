//! ENV, LABEL and ARG: `key=value` words that keep their quotes until they are expanded.

use super::*;

impl Request<'_> {
    pub(super) fn pairs(&self) -> Result<Vec<Pair>> {
        let words = quoted_words(self.arguments, self.escape);
        let Some(first) = words.first() else {
            return Err(self.needs("key=value"));
        };
        if !first.contains('=') {
            return self.legacy_pair().map(|pair| vec![pair]);
        }
        words.iter().map(|word| self.pair(word)).collect()
    }

    /// `ENV key the whole rest`.
    fn legacy_pair(&self) -> Result<Pair> {
        let Some((key, value)) = self.arguments.split_once(flags::BLANKS) else {
            let help = format!("write {} {}=value", self.name, self.arguments);
            return Err(self.needs("a value").word(self.arguments).help(help));
        };
        Ok(Pair {
            key: key.to_owned(),
            value: value.trim_start_matches(flags::BLANKS).to_owned(),
            separator: Separator::Space,
        })
    }

    fn pair(&self, word: &str) -> Result<Pair> {
        let Some((key, value)) = word.split_once('=') else {
            return Err(Mistake::Syntax(format!("`{word}` lacks a `=`"))
                .in_word(word)
                .help("every word must be key=value; quote values that contain spaces"));
        };
        if key.is_empty() {
            return Err(self.nameless(word));
        }
        Ok(Pair {
            key: key.to_owned(),
            value: value.to_owned(),
            separator: Separator::Equals,
        })
    }

    fn nameless(&self, word: &str) -> DockerfileError {
        Mistake::Syntax(format!("{} `{word}` has no name", self.name)).in_word(word)
    }

    pub(super) fn arg(&self) -> Result<Instruction> {
        let words = quoted_words(self.arguments, self.escape);
        if words.is_empty() {
            return Err(self
                .needs("a name")
                .help("write ARG name or ARG name=default"));
        }
        let declarations = words.iter().map(|word| match word.split_once('=') {
            Some(("", _)) => Err(self.nameless(word)),
            Some((name, default)) => Ok(ArgDeclaration {
                name: name.to_owned(),
                default: Some(default.to_owned()),
            }),
            None => Ok(ArgDeclaration {
                name: word.clone(),
                default: None,
            }),
        });
        declarations.collect::<Result<_>>().map(Instruction::Arg)
    }
}

/// Words in which quotes and escapes protect blanks; both stay where they are.
fn quoted_words(text: &str, escape: Escape) -> Vec<String> {
    let escape = escape.character();
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            // Nothing can be escaped between single quotes.
            (open, c) if c == escape && open != Some('\'') => {
                // At the very end it escapes nothing, and is dropped.
                if let Some(next) = characters.next() {
                    word.extend([c, next]);
                }
            }
            (open, c) => {
                match open {
                    None if c == '\'' || c == '"' => quote = Some(c),
                    Some(open) if c == open => quote = None,
                    _ => {}
                }
                word.push(c);
            }
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}
