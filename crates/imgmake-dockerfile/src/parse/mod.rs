//! Logical lines to stages; every independent mistake is collected.

use super::ast::*;
use super::error::{DockerfileError, DockerfileErrors, Mistake, Position};
use super::expand::check_syntax;
use super::flags;
use super::instructions;
use super::lines::{self, LogicalLine};
use super::values;
use super::words;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

impl Dockerfile {
    /// Parses a file; several independent mistakes are reported together.
    pub fn parse(bytes: &[u8]) -> Result<Dockerfile, DockerfileErrors> {
        parse(bytes)
    }
}

/// A file with more mistakes is no Dockerfile: the rest of the list would help nobody.
const MOST_ERRORS: usize = 50;

fn parse(bytes: &[u8]) -> Result<Dockerfile, DockerfileErrors> {
    let text = text(bytes)?;
    let reading = lines::read(text);
    let mut parser = Parser {
        escape: reading.directives.escape,
        errors: reading.errors,
        global_args: Vec::new(),
        stages: Vec::new(),
        orphan: false,
    };
    for line in reading.lines {
        if parser.errors.len() >= MOST_ERRORS {
            break;
        }
        let last_line = line.last_line;
        let first_line = line.first_line;
        let place = |error| place(error, first_line, last_line, text);
        match parser.line(line) {
            Ok(None) => {}
            Ok(Some(mistake)) => parser.mistake(place(mistake)),
            Err(error) => parser.errors.push(place(error)),
        }
    }
    parser.finish(reading.directives, reading.empty_continuations)
}

/// Parses an ONBUILD trigger as an image's configuration stores it.
pub fn parse_trigger(trigger: &str) -> Result<Located<Instruction>, DockerfileErrors> {
    let mut reading = lines::read(trigger);
    if !reading.errors.is_empty() {
        return Err(DockerfileErrors(reading.errors));
    }
    let (Some(line), true) = (reading.lines.pop(), reading.lines.is_empty()) else {
        let what = format!("the ONBUILD trigger `{trigger}`");
        let mistake = Mistake::unusable(what, "is not one instruction");
        return Err(DockerfileErrors(vec![mistake.at(1)]));
    };
    let (keyword, _) = flags::keyword(&line.text);
    let allowed = instructions::allowed_in_onbuild(keyword);
    let parsed = allowed.and_then(|()| instructions::parse(&line, reading.directives.escape));
    match parsed {
        Ok(instruction) => Ok(located(line, instruction)),
        Err(error) => Err(DockerfileErrors(vec![error.at(1)])),
    }
}

fn text(bytes: &[u8]) -> Result<&str, DockerfileErrors> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let byte = bytes[error.valid_up_to()];
        let error = Mistake::NotUtf8 { byte }.at(line);
        DockerfileErrors(vec![error.help("save the file as UTF-8")])
    })
}

struct Parser {
    escape: Escape,
    errors: Vec<DockerfileError>,
    global_args: Vec<Located<Vec<ArgDeclaration>>>,
    stages: Vec<Stage>,
    /// Whether an instruction before the first FROM was already reported.
    orphan: bool,
}

impl Parser {
    /// Gives a mistake that matters only when its stage is built.
    fn line(&mut self, line: LogicalLine) -> Result<Option<DockerfileError>, DockerfileError> {
        let (keyword, rest) = flags::keyword(&line.text);
        if keyword.eq_ignore_ascii_case("FROM") {
            let from = instructions::from(rest, self.escape);
            return self.stage(line, from).map(|()| None);
        }
        let instruction = instructions::parse(&line, self.escape)?;
        match (self.stages.last_mut(), instruction) {
            (Some(stage), instruction) => {
                let values = values::check(&instruction, self.escape);
                if let Err(error) = values.and_then(|()| check_syntax(&instruction, self.escape)) {
                    return Ok(Some(error));
                }
                stage.instructions.push(located(line, instruction));
            }
            (None, instruction) => {
                check_syntax(&instruction, self.escape)?;
                match instruction {
                    Instruction::Arg(args) => self.global_args.push(located(line, args)),
                    other => self.outside_of_stage(&other)?,
                }
            }
        }
        Ok(None)
    }

    fn mistake(&mut self, mistake: DockerfileError) {
        match self.stages.last_mut() {
            Some(stage) if stage.mistakes.len() < MOST_ERRORS => stage.mistakes.push(mistake),
            _ => {}
        }
    }

    /// A broken FROM still opens a stage: what follows must not be reported as homeless.
    fn stage(
        &mut self,
        line: LogicalLine,
        from: Result<From, DockerfileError>,
    ) -> Result<(), DockerfileError> {
        let checked = from.and_then(|from| self.check_from(&from).map(|()| from));
        let (from, result) = match checked {
            Ok(from) => (from, Ok(())),
            Err(error) => (From::placeholder(), Err(error)),
        };
        self.stages.push(Stage {
            from: located(line, from),
            instructions: Vec::new(),
            mistakes: Vec::new(),
        });
        result
    }

    fn check_from(&self, from: &From) -> Result<(), DockerfileError> {
        let anything = |_: &str| Some("1".to_owned());
        words::expand(&from.image, &anything, self.escape)?;
        from.expand_platform(&anything, self.escape)?;
        Ok(())
    }

    fn outside_of_stage(&mut self, instruction: &Instruction) -> Result<(), DockerfileError> {
        if std::mem::replace(&mut self.orphan, true) {
            return Ok(());
        }
        Err(Mistake::misplaced(instruction.name(), Position::BeforeFrom)
            .in_word(instruction.name())
            .help("only ARG is allowed there; start with `FROM image`"))
    }

    fn finish(
        mut self,
        directives: Directives,
        empty_continuations: Vec<usize>,
    ) -> Result<Dockerfile, DockerfileErrors> {
        if self.stages.is_empty() && self.errors.is_empty() {
            let error = Mistake::NoFrom.at(1);
            self.errors
                .push(error.help("start with `FROM image` or `FROM scratch`"));
        }
        if !self.errors.is_empty() {
            // One list, where it is a refusal anyway.
            let mistakes = self.stages.into_iter().flat_map(|stage| stage.mistakes);
            self.errors.extend(mistakes);
            self.errors.sort_by_key(|e| e.line);
            self.errors.truncate(MOST_ERRORS);
            return Err(DockerfileErrors(self.errors));
        }
        Ok(Dockerfile {
            directives,
            global_args: self.global_args,
            stages: self.stages,
            empty_continuations,
        })
    }
}

impl From {
    fn placeholder() -> From {
        From {
            platform: None,
            image: "scratch".to_owned(),
            name: None,
            written: None,
        }
    }
}

fn located<T>(line: LogicalLine, value: T) -> Located<T> {
    let keyword = flags::keyword(&line.text).0.to_owned();
    Located {
        value,
        keyword,
        first_line: line.first_line,
        last_line: line.last_line,
        text: line.text,
        comments: line.comments,
    }
}

/// Where a word stands; within another word only if it stands nowhere by itself.
fn position(line: &str, word: &str) -> Option<usize> {
    let alone = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric());
    let mut found = line.match_indices(word).map(|(at, _)| at);
    let first = found.next()?;
    match alone(first) {
        true => Some(first),
        false => found.find(|at| alone(*at)).or(Some(first)),
    }
}

/// Points at the offending word if it can be found in the lines of the instruction.
fn place(error: DockerfileError, first: usize, last: usize, text: &str) -> DockerfileError {
    let error = error.at(first);
    let Some(word) = error.word.clone().filter(|w| !w.is_empty()) else {
        return error;
    };
    let lines = text
        .lines()
        .enumerate()
        .skip(first - 1)
        .take(last + 1 - first);
    for (index, line) in lines {
        if let Some(at) = position(line, &word) {
            let column = line[..at].chars().count() + 1;
            let mut error = error.at(index + 1);
            error.column = Some(column);
            return error;
        }
    }
    error
}
