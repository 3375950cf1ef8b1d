//! Heredocs: `<<NAME`, `3<<-"NAME"` and the lines up to NAME.

use super::ast::Heredoc;
use super::error::Mistake;
use super::words::{self, Quotes};

impl Heredoc {
    /// Reads a word such as `<<EOF`; `None` if it is no heredoc.
    pub fn from_word(word: &str) -> Option<Heredoc> {
        Heredoc::read(word).ok().flatten()
    }

    fn read(word: &str) -> Result<Option<Heredoc>, Mistake> {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let Some(rest) = word[digits..].strip_prefix("<<") else {
            return Ok(None);
        };
        let (strip_tabs, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let delimiter = rest.trim_start_matches([' ', '\t', '\r', '\x0c']);
        if delimiter.is_empty() || delimiter.contains('<') {
            return Ok(None);
        }
        let plain = words::split(delimiter, Quotes::Removed, false)?;
        let quoted = words::split(delimiter, Quotes::Kept, false)?;
        let ([name], [with_quotes]) = (plain.as_slice(), quoted.as_slice()) else {
            return Ok(None);
        };
        Ok(Some(Heredoc {
            name: name.clone(),
            file_descriptor: word[..digits].parse().ok(),
            expand: quotes_in(name) == quotes_in(with_quotes),
            strip_tabs,
            content: String::new(),
            written: word.to_owned(),
        }))
    }

    /// The heredocs that a line opens, in order.
    pub(super) fn in_line(line: &str) -> Result<Vec<Heredoc>, Mistake> {
        // A line whose quotes do not close opens none: the shell will say what is wrong with it.
        let words = words::split(line, Quotes::Kept, true).unwrap_or_default();
        let heredocs = words.iter().map(|word| Heredoc::read(word));
        heredocs.filter_map(Result::transpose).collect()
    }

    /// Whether a line of the file ends this heredoc.
    pub(super) fn ends_at(&self, line: &str) -> bool {
        let line = line.trim_end_matches(['\r', '\n']);
        match self.strip_tabs {
            true => line.trim_start_matches('\t') == self.name,
            false => line == self.name,
        }
    }

    /// The content with its tabs stripped, if `<<-` asks for it.
    pub fn text(&self) -> String {
        match self.strip_tabs {
            false => self.content.clone(),
            true => self
                .content
                .split_inclusive('\n')
                .map(|line| line.trim_start_matches('\t'))
                .collect(),
        }
    }
}

fn quotes_in(text: &str) -> usize {
    text.matches(['\'', '"']).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> (String, Option<u32>, bool, bool) {
        let h = Heredoc::from_word(word).expect("a heredoc");
        (h.name, h.file_descriptor, h.expand, h.strip_tabs)
    }

    #[test]
    fn delimiters_say_how_to_read_the_body() {
        assert_eq!(read("<<EOF"), ("EOF".into(), None, true, false));
        assert_eq!(read("<<-EOF"), ("EOF".into(), None, true, true));
        assert_eq!(read("3<<'EOF'"), ("EOF".into(), Some(3), false, false));
        assert_eq!(read("<<E\"O\"F"), ("EOF".into(), None, false, false));
        assert_eq!(read("<< EOF"), ("EOF".into(), None, true, false));
    }

    #[test]
    fn other_words_are_no_heredocs() {
        for word in ["<<", "<EOF", "<<<EOF", "a<<EOF", "<<a b", "<<\"a"] {
            assert!(Heredoc::from_word(word).is_none(), "{word}");
        }
    }

    #[test]
    fn a_line_can_open_several() {
        let names = |line| -> Vec<String> {
            let found = Heredoc::in_line(line).unwrap();
            found.into_iter().map(|h| h.name).collect()
        };
        assert_eq!(names("COPY <<a <<b /x/"), ["a", "b"]);
        assert_eq!(names("RUN cat <<A 3<< B && echo '<<C'"), ["A", "B"]);
        assert!(names("RUN echo \"1<<2\" $((1<<3)) 'x").is_empty());
    }
}
