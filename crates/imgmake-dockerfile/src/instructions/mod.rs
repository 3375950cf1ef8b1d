//! One logical line to one [`Instruction`].

use super::ast::*;
use super::error::{DockerfileError, Kind, Mistake, Position};
use super::flags::{self, Flags};
use super::lines::LogicalLine;
use super::suggest;

mod files;
mod healthcheck;
mod pairs;

pub(crate) use files::is_url;

type Result<T, E = DockerfileError> = std::result::Result<T, E>;

/// Every instruction there is.
pub const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What an instruction's parser gets to see.
struct Request<'a> {
    name: &'static str,
    flags: Flags,
    /// Everything behind the flags, trimmed.
    arguments: &'a str,
    heredocs: &'a [Heredoc],
    escape: Escape,
}

pub fn parse(line: &LogicalLine, escape: Escape) -> Result<Instruction> {
    let mut instruction = instruction(&line.text, &line.heredocs, escape)?;
    if let Instruction::Onbuild(onbuild) = &mut instruction {
        let end_of_line = onbuild.trigger.find('\n');
        let end_of_line = end_of_line.unwrap_or(onbuild.trigger.len());
        onbuild.trigger.insert_str(end_of_line, &line.trailing);
    }
    Ok(instruction)
}

fn instruction(text: &str, heredocs: &[Heredoc], escape: Escape) -> Result<Instruction> {
    let (keyword, rest) = flags::keyword(text);
    let name = known(keyword)?;
    if name == "ONBUILD" {
        return onbuild(rest, heredocs, escape);
    }
    let (given, arguments) = flags::split(rest, escape);
    let request = Request {
        name,
        flags: Flags::new(name, given),
        arguments,
        heredocs,
        escape,
    };
    request.parse()
}

fn known(keyword: &str) -> Result<&'static str> {
    let upper = keyword.to_uppercase();
    let name = NAMES.iter().find(|name| **name == upper);
    name.copied().ok_or_else(|| {
        Mistake::unknown(Kind::Instruction, keyword)
            .in_word(keyword)
            .nearest(suggest::nearest(&upper, NAMES))
            .help(match keyword.ends_with('\\') || keyword.ends_with('`') {
                true => "a blank must separate the instruction from the continuation".to_owned(),
                false => "does the line before lack its `\\`?".to_owned(),
            })
    })
}

pub fn allowed_in_onbuild(keyword: &str) -> Result<()> {
    let upper = keyword.to_uppercase();
    match upper.as_str() {
        "ONBUILD" | "FROM" | "MAINTAINER" => {
            Err(Mistake::misplaced(upper, Position::InOnbuild).in_word(keyword))
        }
        _ => Ok(()),
    }
}

fn onbuild(rest: &str, heredocs: &[Heredoc], escape: Escape) -> Result<Instruction> {
    if rest.is_empty() {
        return Err(Mistake::missing("ONBUILD", "an instruction").in_word("ONBUILD"));
    }
    allowed_in_onbuild(flags::keyword(rest).0)?;
    let bodies = heredocs.iter();
    let trigger = bodies.fold(rest.to_owned(), |trigger, heredoc| {
        trigger + "\n" + &heredoc.content + &heredoc.name
    });
    Ok(Instruction::Onbuild(Onbuild {
        trigger,
        instruction: instruction(rest, heredocs, escape).ok().map(Box::new),
    }))
}

/// The rest of a FROM line.
pub fn from(rest: &str, escape: Escape) -> Result<From> {
    let (given, arguments) = flags::split(rest, escape);
    let mut flags = Flags::new("FROM", given);
    let platform = flags.text("platform")?;
    flags.finish()?;
    let words: Vec<&str> = flags::words(arguments).collect();
    let (image, written) = match words.as_slice() {
        [image] => (*image, None),
        [image, separator, name] if separator.eq_ignore_ascii_case("as") => {
            (*image, Some(((*separator).to_owned(), (*name).to_owned())))
        }
        words => return Err(wrong_from(words)),
    };
    let name = written.as_ref().map(|(_, name)| stage_name(name));
    Ok(From {
        platform,
        image: image.to_owned(),
        name: name.transpose()?,
        written,
    })
}

fn wrong_from(words: &[&str]) -> DockerfileError {
    let error = match words {
        [] => Mistake::missing("FROM", "an image").in_word("FROM"),
        [_, separator] if separator.eq_ignore_ascii_case("as") => {
            Mistake::missing(format!("`{separator}`"), "a name").in_word(*separator)
        }
        [_, separator, _, word, ..] if separator.eq_ignore_ascii_case("as") => {
            Mistake::unexpected(format!("`{word}`"), "is one word too many").in_word(*word)
        }
        [_, word, ..] => {
            let why = format!("does not know what `{word}` means here");
            Mistake::unexpected("FROM", why).in_word(*word)
        }
        [word] => Mistake::unexpected("FROM", "takes one image").in_word(*word),
    };
    error.help("write FROM image or FROM image AS name")
}

fn stage_name(written: &str) -> Result<String> {
    let name = written.to_lowercase();
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    match starts && name.chars().all(goes_on) {
        true => Ok(name),
        false => Err(
            Mistake::unusable(format!("`{written}`"), "cannot name a stage")
                .in_word(written)
                .help("a name starts with a letter; letters, digits, `-`, `_` and `.` follow"),
        ),
    }
}

impl Request<'_> {
    fn parse(self) -> Result<Instruction> {
        match self.name {
            "ADD" => self.add(),
            "COPY" => self.copy(),
            "RUN" => self.run(),
            "HEALTHCHECK" => self.healthcheck(),
            "FROM" => Err(Mistake::misplaced("FROM", Position::InStage).in_word("FROM")),
            _ => self.without_flags(),
        }
    }

    fn without_flags(mut self) -> Result<Instruction> {
        let flags = std::mem::replace(&mut self.flags, Flags::new(self.name, Vec::new()));
        flags.finish()?;
        match self.name {
            "ARG" => self.arg(),
            "CMD" => self.command_line().map(Instruction::Cmd),
            "ENTRYPOINT" => self.command_line().map(Instruction::Entrypoint),
            "ENV" => self.pairs().map(Instruction::Env),
            "EXPOSE" => self.expose(),
            "LABEL" => self.pairs().map(Instruction::Label),
            "MAINTAINER" => self.one().map(Instruction::Maintainer),
            "SHELL" => self.shell(),
            "STOPSIGNAL" => self.one().map(Instruction::Stopsignal),
            "USER" => self.one().map(Instruction::User),
            "VOLUME" => self.volume(),
            _ => self.one().map(Instruction::Workdir),
        }
    }

    fn needs(&self, what: &str) -> DockerfileError {
        Mistake::missing(self.name, what).in_word(self.name)
    }

    /// The rest of the line, blanks and quotes included.
    fn one(&self) -> Result<String> {
        match self.arguments {
            "" => Err(self.needs("an argument")),
            text => Ok(text.to_owned()),
        }
    }

    fn list(&self) -> Result<WordList> {
        Ok(match flags::json_strings(self.arguments)? {
            Some(words) => WordList {
                words,
                form: ListForm::Json,
            },
            None => WordList {
                words: flags::words(self.arguments).map(str::to_owned).collect(),
                form: ListForm::Words,
            },
        })
    }

    fn command_line(&self) -> Result<CommandLine> {
        match flags::json_strings(self.arguments)? {
            Some(arguments) => Ok(CommandLine::Exec(arguments)),
            // Also an empty one, which the shell runs.
            None => Ok(CommandLine::Shell(self.arguments.to_owned())),
        }
    }

    fn run(mut self) -> Result<Instruction> {
        let mounts = self.flags.texts("mount")?;
        let network = self.flags.text("network")?;
        let security = self.flags.text("security")?;
        if let [device, ..] = self.flags.texts("device")?.as_slice() {
            let what = format!("RUN --device={device}");
            let feature = "devices";
            let mistake = Mistake::Unsupported { what, feature };
            return Err(mistake.in_word("--device"));
        }
        let command = self.command_line()?;
        if command == CommandLine::Exec(Vec::new()) {
            return Err(self.needs("a command").word(self.arguments));
        }
        self.flags.finish()?;
        Ok(Instruction::Run(Run {
            command,
            heredocs: self.heredocs.to_vec(),
            mounts: mounts
                .iter()
                .map(|m| MountSpec::parse(m))
                .collect::<Result<_>>()?,
            network: network.map_or(Ok(RunNetwork::default()), |n| run_network(&n))?,
            security: security.map_or(Ok(RunSecurity::default()), |s| run_security(&s))?,
        }))
    }

    fn expose(&self) -> Result<Instruction> {
        let words: Vec<String> = flags::words(self.arguments).map(str::to_owned).collect();
        if words.is_empty() {
            return Err(self.needs("a port"));
        }
        Ok(Instruction::Expose(words))
    }

    fn shell(&self) -> Result<Instruction> {
        match flags::json_strings(self.arguments)? {
            Some(shell) if !shell.is_empty() => Ok(Instruction::Shell(shell)),
            _ => Err(self
                .needs("a JSON array")
                .help("write SHELL [\"/bin/bash\", \"-c\"], in double quotes")),
        }
    }

    fn volume(&self) -> Result<Instruction> {
        let mut list = self.list()?;
        if list.words.is_empty() {
            return Err(self.needs("a path"));
        }
        for path in &mut list.words {
            *path = path.trim().to_owned();
            if path.is_empty() {
                return Err(Mistake::unusable("a VOLUME path", "is empty").in_word("VOLUME"));
            }
        }
        Ok(Instruction::Volume(list))
    }
}

fn run_network(text: &str) -> Result<RunNetwork> {
    match text {
        "default" => Ok(RunNetwork::Default),
        "none" => Ok(RunNetwork::None),
        "host" => Ok(RunNetwork::Host),
        other => Err(choice("network", other, &["default", "none", "host"])),
    }
}

fn run_security(text: &str) -> Result<RunSecurity> {
    match text {
        "sandbox" => Ok(RunSecurity::Sandbox),
        "insecure" => Ok(RunSecurity::Insecure),
        other => Err(choice("security", other, &["sandbox", "insecure"])),
    }
}

fn choice(flag: &'static str, word: &str, legal: &[&'static str]) -> DockerfileError {
    Mistake::unknown(Kind::FlagValue { flag }, word)
        .in_word(word)
        .nearest(suggest::nearest(word, legal.iter().copied()))
        .help(format!("it can be {}", legal.join(", ")))
}

/// Whether a word says the same with every environment.
fn is_constant(word: &str) -> bool {
    !word.contains('$')
}
