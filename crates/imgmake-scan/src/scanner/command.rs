//! Any command as scanner: `{archive}`, `{layout}` and `{report}` are filled in;
//! SARIF, Trivy or Grype JSON is read from the report or, without one, from
//! stdout. Its exit code alone is a gate too.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;

use serde_json::Value;

use super::handover::Handover;
use super::output::Form;
use super::process::{self, Ended, invalid_report, json};
use super::{Scanned, grype, sarif, trivy};
use crate::ScanRequest;
use crate::error::{ProgramFailure, Result, ScanError};
use imgmake_event::Cancel;
use imgmake_guard::program::{Kind, Program};

const REPORT: &str = "{report}";
/// As messages name it.
const NAME: &str = "the scan command";

pub fn scan(
    line: &str,
    request: &ScanRequest,
    handover: &Handover,
    cancel: &Cancel,
) -> Result<Scanned> {
    let filled = filled_in(line, &request.directory, handover)?;
    let shell = Program::new(Kind::ScanCommand, "/bin/sh", &request.environment);
    let program = shell.map(|shell| shell.configure(|command| command.arg("-ec").arg(filled)));
    let ended = process::run(NAME, program, request.timeout, cancel)?;
    let failed = |failure| Err(ScanError::program(NAME, failure));
    // The shell's own words for a command that is not there or cannot be run.
    let missing = matches!(ended.status.code(), Some(126 | 127) | None);
    if missing {
        return failed(ProgramFailure::Ended(process::describe(&ended)));
    }
    let end = (!ended.status.success()).then(|| process::describe(&ended));
    let gate = end.as_ref().map(|end| format!("`{NAME}` {end}"));
    match report(line, handover, ended)? {
        Some(report) => match read(report) {
            Ok(scanned) => Ok(Scanned { gate, ..scanned }),
            // The exit code says more than the report that went wrong with it.
            Err(error) => Err(with_end(error, end)),
        },
        None if gate.is_some() => Ok(Scanned {
            gate,
            ..Scanned::default()
        }),
        None if line.contains(REPORT) => failed(ProgramFailure::NoReport),
        None => Ok(Scanned::default()),
    }
}

/// How the program ended, beside what is wrong with its report.
fn with_end(error: ScanError, end: Option<String>) -> ScanError {
    match (error, end) {
        (
            ScanError::Program {
                name,
                failure: ProgramFailure::InvalidReport { why, .. },
            },
            ended @ Some(_),
        ) => ScanError::Program {
            name,
            failure: ProgramFailure::InvalidReport { why, ended },
        },
        (
            ScanError::Program {
                name,
                failure: ProgramFailure::NoReport,
            },
            Some(end),
        ) => ScanError::Program {
            name,
            failure: ProgramFailure::Ended(format!("{end}, and wrote no report")),
        },
        (error, _) => error,
    }
}

/// The line with its placeholders filled in. It runs in a directory of its own, so that
/// no program takes settings from the project unasked; what is written relative to the
/// manifest is found there nevertheless.
fn filled_in(line: &str, project: &Path, handover: &Handover) -> Result<String> {
    let mut line = with_absolute_paths(line, project)?;
    if line.contains("{project}") {
        line = line.replace("{project}", &quoted(project)?);
    }
    if line.contains("{archive}") {
        line = line.replace("{archive}", &quoted(&handover.archive()?)?);
    }
    if line.contains("{layout}") {
        line = line.replace("{layout}", &quoted(&handover.layout()?)?);
    }
    Ok(line.replace(REPORT, &quoted(&handover.report())?))
}

/// Words that begin with `./` or `../`, and the program if it is a path, are meant from
/// the manifest's directory.
fn with_absolute_paths(line: &str, project: &Path) -> Result<String> {
    let project = std::path::absolute(project)?;
    let ends = |c: char| c.is_whitespace() || ";|&<>()".contains(c);
    let mut whole = String::new();
    let mut is_program = true;
    for piece in line.split_inclusive(ends) {
        let word = piece.trim_end_matches(ends);
        let relative = word.starts_with("./")
            || word.starts_with("../")
            || (is_program && word.contains('/') && !word.starts_with('/'));
        if relative && word.chars().all(is_plain) {
            let word = word.strip_prefix("./").unwrap_or(word);
            whole.push_str(&quoted(&project.join(word))?);
        } else {
            whole.push_str(word);
        }
        whole.push_str(&piece[word.len()..]);
        is_program &= word.is_empty();
    }
    Ok(whole)
}

/// Means itself to a shell, inside quotes and outside.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/._-+:@,".contains(c)
}

/// Plain paths stay as they are, so that they may stand inside the user's quotes.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| {
        ScanError::invalid(format!("path `{}`", path.display()), "it is not UTF-8")
    })?;
    Ok(if text.chars().all(is_plain) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    })
}

/// What there is to read: the report file, or stdout if it is one. Words that are none are
/// for people; what holds a report without being one is refused, since nobody would judge it.
fn report(line: &str, handover: &Handover, ended: Ended) -> Result<Option<File>> {
    if line.contains(REPORT) {
        return report_file(&handover.report());
    }
    let mut stdout = ended.stdout;
    let form = Form::of(&stdout);
    stdout.rewind()?;
    match form? {
        Form::Json => Ok(Some(stdout)),
        Form::Words => Ok(None),
        Form::Unreadable(why) => Err(ScanError::program(NAME, invalid_report(why))),
    }
}

/// A pipe or a device under the report's name would never end.
fn report_file(path: &Path) -> Result<Option<File>> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(unreadable(format!("it cannot be opened: {error}"))),
    };
    match file.metadata()?.is_file() {
        true => Ok(Some(file)),
        false => Err(unreadable("it is not a regular file".to_string())),
    }
}

fn unreadable(why: String) -> ScanError {
    ScanError::program(NAME, invalid_report(why))
}

/// How many findings a report has, whatever its format.
///
/// # Errors
/// It is no report.
pub fn count(report: &[u8]) -> Result<usize> {
    let mut file = tempfile::tempfile()?;
    file.write_all(report)?;
    file.rewind()?;
    let form = Form::of(&file)?;
    file.rewind()?;
    match form {
        Form::Json => Ok(read(file)?.findings.len()),
        Form::Words => Err(unreadable("words".to_string())),
        Form::Unreadable(why) => Err(unreadable(why)),
    }
}

/// The three formats are told apart by what only one of them has.
fn read(report: File) -> Result<Scanned> {
    let value: Value = json(report, NAME)?;
    let wrong = |e: serde_json::Error| unreadable(e.to_string());
    let known = ["runs", "SchemaVersion", "matches"].map(|key| value.get(key).is_some());
    match known {
        [true, false, false] => {
            sarif::findings(serde_json::from_value(value).map_err(wrong)?).map_err(unreadable)
        }
        [false, true, false] => {
            let report = serde_json::from_value(value).map_err(wrong)?;
            trivy::findings(report, None).map_err(unreadable)
        }
        [false, false, true] => Ok(grype::findings(
            serde_json::from_value(value).map_err(wrong)?,
        )),
        [false, false, false] => {
            let why = "it is neither SARIF, Trivy's JSON nor Grype's JSON";
            Err(unreadable(why.to_string()))
        }
        _ => {
            let why = "it has fields of several formats (SARIF, Trivy's JSON, Grype's JSON)";
            Err(unreadable(why.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_meant_from_the_manifests_directory() {
        let absolute = |line: &str| with_absolute_paths(line, Path::new("/p")).unwrap();
        assert_eq!(absolute("./scan.sh -c x"), "/p/scan.sh -c x");
        assert_eq!(absolute("  tools/scan a/b"), "  /p/tools/scan a/b");
        assert_eq!(
            absolute("sh ./a.sh <./b >../c; trivy"),
            "sh /p/a.sh </p/b >/p/../c; trivy"
        );
        assert_eq!(absolute("/bin/scan {archive} é"), "/bin/scan {archive} é");
        assert_eq!(absolute("echo './a'"), "echo './a'");
        assert_eq!(
            with_absolute_paths("./s", Path::new("/a b")).unwrap(),
            "'/a b/s'"
        );
    }
}
