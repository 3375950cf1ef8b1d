//! Types back to text. Parsing the text gives the same types again.

use super::ast::*;
use std::fmt;
use std::time::Duration;

impl fmt::Display for Dockerfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directives.fmt(f)?;
        let escape = self.directives.escape;
        for args in &self.global_args {
            f.write_str(&commented(&args.comments, arg_text(&args.value, escape)))?;
        }
        for stage in &self.stages {
            let from = finished(from_text(&stage.from.value, escape), escape);
            f.write_str(&commented(&stage.from.comments, from))?;
            for instruction in &stage.instructions {
                let text = instruction.value.to_text(escape) + "\n";
                f.write_str(&commented(&instruction.comments, text))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(syntax) = &self.syntax {
            writeln!(f, "# syntax={syntax}")?;
        }
        if self.escape == Escape::Backtick {
            writeln!(f, "# escape=`")?;
        }
        if let Some(check) = self.check.text() {
            writeln!(f, "# check={check}")?;
        }
        // A blank line ends the block: a comment below must not become a directive.
        writeln!(f)
    }
}

fn commented(comments: &[String], text: String) -> String {
    let line = |comment: &String| match comment.is_empty() {
        true => "\n".to_owned(),
        false => format!("# {comment}\n"),
    };
    comments.iter().map(line).collect::<String>() + &text
}

fn arg_text(args: &[ArgDeclaration], escape: Escape) -> String {
    finished(words_text("ARG", &arg_words(args), escape), escape)
}

/// Ends the line. A last escape would continue it, so a blank that no parser keeps stands behind.
fn finished(mut text: String, escape: Escape) -> String {
    if text.ends_with(escape.character()) {
        text.push('\x0b');
    }
    text + "\n"
}

impl Instruction {
    /// The instruction as a line, heredoc bodies below, no line end.
    pub fn to_text(&self, escape: Escape) -> String {
        if let Instruction::Onbuild(onbuild) = self {
            return onbuild_text(onbuild, escape);
        }
        let (line, heredocs) = self.line(escape);
        let mut text = finished(line, escape);
        for heredoc in heredocs {
            text.push_str(&heredoc.content);
            text.push_str(&heredoc.name);
            text.push('\n');
        }
        text.pop();
        text
    }

    fn line(&self, escape: Escape) -> (String, Vec<&Heredoc>) {
        let name = self.name();
        let line = match self {
            Instruction::Add(add) => return (add_text(add, escape), add.files.inline().collect()),
            Instruction::Copy(copy) => {
                return (copy_text(copy, escape), copy.files.inline().collect());
            }
            Instruction::Run(run) => return (run_text(run, escape), run.heredocs.iter().collect()),
            Instruction::Onbuild(onbuild) => {
                return (onbuild_text(onbuild, escape), Vec::new());
            }
            Instruction::Arg(args) => words_text(name, &arg_words(args), escape),
            Instruction::Cmd(command) | Instruction::Entrypoint(command) => {
                with_arguments(name, &[], &command_text(command))
            }
            Instruction::Env(pairs) | Instruction::Label(pairs) => pairs_text(name, pairs, escape),
            Instruction::Expose(ports) => with_arguments(name, &[], &ports.join(" ")),
            Instruction::Healthcheck(check) => healthcheck_text(check, escape),
            Instruction::Shell(shell) => with_arguments(name, &[], &json(shell)),
            Instruction::Volume(list) => {
                with_arguments(name, &[], &list_text(&list.words, list.form))
            }
            Instruction::Maintainer(text)
            | Instruction::Stopsignal(text)
            | Instruction::User(text)
            | Instruction::Workdir(text) => with_arguments(name, &[], text),
        };
        (line, Vec::new())
    }
}

/// `NAME --flags arguments`; `--` protects arguments that look like flags.
fn with_arguments(name: &str, flags: &[String], arguments: &str) -> String {
    let mut words = vec![name];
    words.extend(flags.iter().map(String::as_str));
    if arguments.starts_with("--") {
        words.push("--");
    }
    words.push(arguments);
    words.join(" ")
}

fn flag(name: &str, value: &str, escape: Escape) -> String {
    let escape = escape.character();
    let special = |c: char| c.is_whitespace() || c == '\'' || c == '"' || c == escape;
    if !value.contains(special) {
        return format!("--{name}={value}");
    }
    let mut quoted = String::new();
    for c in value.chars() {
        if c == '"' || c == escape {
            quoted.push(escape);
        }
        quoted.push(c);
    }
    format!("--{name}=\"{quoted}\"")
}

/// The trigger is kept as written, readable or not, its bodies behind it.
fn onbuild_text(onbuild: &Onbuild, escape: Escape) -> String {
    let trigger = onbuild.trigger.as_str();
    let (line, bodies) = trigger.split_once('\n').unwrap_or((trigger, ""));
    let text = trigger_line(format!("ONBUILD {line}"), escape) + bodies;
    text.strip_suffix('\n').map_or(text.clone(), str::to_owned)
}

/// The line with its blanks at the end, which belong to the trigger.
fn trigger_line(line: String, escape: Escape) -> String {
    let written = line.trim_end_matches([' ', '\t']);
    let escape_character = escape.character();
    match written.strip_suffix(escape_character) {
        // It would continue the line. No blank between: only the end of a file leaves one like this.
        Some(before) if !before.ends_with(escape_character) => match written == line {
            true => finished(line, escape),
            false => format!("{line}{escape_character}\n"),
        },
        _ => line + "\n",
    }
}

fn from_text(from: &From, escape: Escape) -> String {
    let platform = from.platform.iter().map(|p| flag("platform", p, escape));
    let flags: Vec<String> = platform.collect();
    let mut arguments = from.image.clone();
    if let Some((separator, name)) = &from.written {
        arguments = format!("{arguments} {separator} {name}");
    }
    with_arguments("FROM", &flags, &arguments)
}

fn copy_text(copy: &Copy, escape: Escape) -> String {
    let Copy {
        files,
        from,
        chown,
        chmod,
        link,
        parents,
        exclude,
    } = copy;
    let mut flags = Vec::new();
    let texts = [("from", from), ("chown", chown), ("chmod", chmod)];
    for (name, value) in texts {
        flags.extend(value.iter().map(|v| flag(name, v, escape)));
    }
    flags.extend(link.then(|| "--link".to_owned()));
    flags.extend(parents.then(|| "--parents".to_owned()));
    flags.extend(exclude.iter().map(|e| flag("exclude", e, escape)));
    with_arguments("COPY", &flags, &files_text(files))
}

fn add_text(add: &Add, escape: Escape) -> String {
    let Add {
        files,
        chown,
        chmod,
        checksum,
        link,
        keep_git_dir,
        unpack,
        exclude,
    } = add;
    let mut flags = Vec::new();
    let texts = [("chown", chown), ("chmod", chmod), ("checksum", checksum)];
    for (name, value) in texts {
        flags.extend(value.iter().map(|v| flag(name, v, escape)));
    }
    flags.extend(link.then(|| "--link".to_owned()));
    flags.extend(keep_git_dir.map(|v| format!("--keep-git-dir={v}")));
    flags.extend(unpack.map(|v| format!("--unpack={v}")));
    flags.extend(exclude.iter().map(|e| flag("exclude", e, escape)));
    with_arguments("ADD", &flags, &files_text(files))
}

fn files_text(files: &Files) -> String {
    let sources = files.sources.iter().map(|source| match source {
        Source::Path(path) => path.clone(),
        Source::Inline(heredoc) => heredoc.written.clone(),
    });
    let words: Vec<String> = sources.chain([files.destination.clone()]).collect();
    list_text(&words, files.form)
}

fn run_text(run: &Run, escape: Escape) -> String {
    let mounts = run.mounts.iter().map(MountSpec::to_string);
    let mut flags: Vec<String> = mounts.map(|m| flag("mount", &m, escape)).collect();
    match run.network {
        RunNetwork::Default => {}
        RunNetwork::None => flags.push("--network=none".to_owned()),
        RunNetwork::Host => flags.push("--network=host".to_owned()),
    }
    if run.security == RunSecurity::Insecure {
        flags.push("--security=insecure".to_owned());
    }
    with_arguments("RUN", &flags, &command_text(&run.command))
}

fn healthcheck_text(healthcheck: &Healthcheck, escape: Escape) -> String {
    let check = match healthcheck {
        Healthcheck::None => return "HEALTHCHECK NONE".to_owned(),
        Healthcheck::Check(check) => check,
    };
    let times = [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start-period", check.start_period),
        ("start-interval", check.start_interval),
    ];
    let mut flags = Vec::new();
    for (name, time) in times {
        flags.extend(time.map(|t| flag(name, &duration_text(t), escape)));
    }
    flags.extend(check.retries.map(|n| format!("--retries={n}")));
    let command = format!("CMD {}", command_text(&check.command));
    with_arguments("HEALTHCHECK", &flags, &command)
}

/// In the largest unit that keeps it whole.
fn duration_text(duration: Duration) -> String {
    match duration.as_nanos() {
        n if n % 1_000_000_000 == 0 => format!("{}s", n / 1_000_000_000),
        n if n % 1_000_000 == 0 => format!("{}ms", n / 1_000_000),
        n => format!("{n}ns"),
    }
}

fn command_text(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(text) => text.clone(),
        CommandLine::Exec(arguments) => json(arguments),
    }
}

fn json(list: &[String]) -> String {
    serde_json::to_string(list).expect("strings are JSON")
}

fn list_text(words: &[String], form: ListForm) -> String {
    match form {
        ListForm::Words => words.join(" "),
        ListForm::Json => json(words),
    }
}

fn arg_words(args: &[ArgDeclaration]) -> Vec<String> {
    let words = args.iter().map(|arg| match &arg.default {
        Some(default) => format!("{}={default}", arg.name),
        None => arg.name.clone(),
    });
    words.collect()
}

fn pairs_text(name: &str, pairs: &[Pair], escape: Escape) -> String {
    if let [pair] = pairs
        && pair.separator == Separator::Space
    {
        return with_arguments(name, &[], &format!("{} {}", pair.key, pair.value));
    }
    let words: Vec<String> = pairs
        .iter()
        .map(|pair| format!("{}={}", pair.key, pair.value))
        .collect();
    words_text(name, &words, escape)
}

/// A last word that ends in a protected blank gets a lone escape behind it, which parsers drop.
fn words_text(name: &str, words: &[String], escape: Escape) -> String {
    let mut text = with_arguments(name, &[], &words.join(" "));
    if text.ends_with(char::is_whitespace) {
        text.push(escape.character());
    }
    text
}
