//! Any command as scanner: `{archive}`, `{layout}` and `{report}` are filled in;
//! SARIF, Trivy or Grype JSON is read from the report or, without one, from
//! stdout. Its exit code alone is a gate too.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::external::json;
use super::handover::Handover;
use super::process::{self, Ended, Program};
use super::{Scanned, ScannerError, grype, sarif, trivy};
use crate::event::Cancel;
use crate::scan::ScanRequest;

const REPORT: &str = "{report}";

pub fn scan(
    line: &str,
    request: &ScanRequest,
    handover: &Handover,
    cancel: &Cancel,
) -> Result<Scanned, ScannerError> {
    let program = Program {
        path: PathBuf::from("/bin/sh"),
        arguments: vec![
            "-ec".into(),
            filled_in(line, handover).map_err(ScannerError::of)?.into(),
        ],
        environment: request.environment.clone(),
        directory: &request.directory,
        timeout: request.timeout,
    };
    let ended = program.run(cancel)?;
    // The shell's own words for a command that is not there or cannot be run.
    let missing = matches!(ended.status.code(), Some(126 | 127) | None);
    if missing {
        return Err(ScannerError::Failed(process::describe(
            "the scan command",
            &ended,
        )));
    }
    let gate = (!ended.status.success()).then(|| process::describe("the scan command", &ended));
    let report = report(line, handover, ended)?;
    match (report, gate) {
        (Some(report), gate) => match read(report) {
            Ok(scanned) => Ok(Scanned { gate, ..scanned }),
            // The exit code says more than the report that went wrong with it.
            Err(error) => Err(ScannerError::Failed(match gate {
                Some(gate) => format!("{gate}; {error}"),
                None => error.to_string(),
            })),
        },
        (None, Some(gate)) => Ok(Scanned {
            gate: Some(gate),
            ..Scanned::default()
        }),
        (None, None) if line.contains(REPORT) => Err(ScannerError::Failed(
            "the scan command wrote no report to {report}".into(),
        )),
        (None, None) => Ok(Scanned::default()),
    }
}

fn filled_in(line: &str, handover: &Handover) -> anyhow::Result<String> {
    let mut line = line.to_string();
    if line.contains("{archive}") {
        line = line.replace("{archive}", &quoted(&handover.archive()?)?);
    }
    if line.contains("{layout}") {
        line = line.replace("{layout}", &quoted(&handover.layout()?)?);
    }
    Ok(line.replace(REPORT, &quoted(&handover.report())?))
}

/// Plain paths stay as they are, so that they may stand inside the user's quotes.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .ok_or_else(|| anyhow::anyhow!("the store's path `{}` is not UTF-8", path.display()))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    Ok(if text.chars().all(plain) {
        text.to_string()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    })
}

/// What there is to read: the report file, or stdout if it begins as JSON does.
fn report(line: &str, handover: &Handover, ended: Ended) -> Result<Option<File>, ScannerError> {
    if line.contains(REPORT) {
        return Ok(File::open(handover.report()).ok());
    }
    let mut stdout = ended.stdout;
    let mut first = [0; 64];
    let read = stdout
        .read(&mut first)
        .and_then(|n| stdout.rewind().map(|()| n));
    let read = read.map_err(|e| ScannerError::of(e.into()))?;
    let begins = first[..read].iter().find(|b| !b.is_ascii_whitespace());
    Ok((begins == Some(&b'{')).then_some(stdout))
}

/// The three formats are told apart by what only one of them has.
fn read(report: File) -> Result<Scanned, ScannerError> {
    const NAME: &str = "the scan command";
    let value: Value = json(report, NAME)?;
    let wrong = |e: serde_json::Error| {
        ScannerError::Failed(format!(
            "the report of {NAME} is not what it should be: {e}"
        ))
    };
    if value.get("runs").is_some() {
        Ok(sarif::findings(
            serde_json::from_value(value).map_err(wrong)?,
        ))
    } else if value.get("SchemaVersion").is_some() {
        Ok(trivy::findings(
            serde_json::from_value(value).map_err(wrong)?,
            None,
        ))
    } else if value.get("matches").is_some() {
        Ok(grype::findings(
            serde_json::from_value(value).map_err(wrong)?,
        ))
    } else {
        Err(ScannerError::Failed(
            "the report is neither SARIF, Trivy's JSON nor Grype's JSON".into(),
        ))
    }
}
