//! Verdicts as documents. Each format is a pure function of the verdict; equal
//! verdicts give equal bytes. Written to a temporary name, then renamed.

mod code_quality;
mod cyclonedx;
mod document;
mod html;
mod json;
mod junit;
mod sarif;
mod spdx;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::Write;
use std::path::Path;

use jiff::Timestamp;

use super::error::{Context, Result};
use super::{ReportFormat, ScanRequest, Verdict};
use document::Header;
use imgmake_event::{Event, Events, Product};

pub use table::table;

/// Columns of a table in a file, where nobody knows the reader's window.
const FILE_WIDTH: usize = 120;

pub fn write(request: &ScanRequest, verdict: &Verdict, events: &Events) -> Result<()> {
    let header = Header {
        target: &request.target,
        scanner: request.scanner.word(),
        created: timestamp(request.policy.now),
    };
    for (format, path) in &request.reports {
        let text = render(*format, &header, verdict);
        put(path, text.as_bytes())
            .with_context(|| format!("cannot write report `{}`", path.display()))?;
        // As the manifest says it.
        let path = path
            .strip_prefix(&request.directory)
            .unwrap_or(path)
            .display()
            .to_string();
        let (target, what) = (request.target.clone(), Product::Report { path });
        events.send(Event::Produced { target, what });
    }
    Ok(())
}

/// The formats of a software bill of materials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SbomFormat {
    CycloneDx,
    Spdx,
}

/// A document about what an image holds, of a verdict that judged nothing.
pub fn sbom(
    format: SbomFormat,
    name: &str,
    created: String,
    verdict: &Verdict,
) -> serde_json::Value {
    let header = Header {
        target: name,
        scanner: "builtin",
        created,
    };
    match format {
        SbomFormat::CycloneDx => cyclonedx::document(&header, verdict),
        SbomFormat::Spdx => spdx::document(&header, verdict),
    }
}

fn render(format: ReportFormat, header: &Header, verdict: &Verdict) -> String {
    match format {
        ReportFormat::Table => table(verdict, FILE_WIDTH),
        ReportFormat::Json => pretty(&json::document(header, verdict)),
        ReportFormat::Sarif => pretty(&sarif::document(verdict)),
        ReportFormat::CycloneDx => pretty(&cyclonedx::document(header, verdict)),
        ReportFormat::Spdx => pretty(&spdx::document(header, verdict)),
        ReportFormat::JUnit => junit::document(header, verdict),
        ReportFormat::CodeQuality => pretty(&code_quality::document(verdict)),
        ReportFormat::Html => html::document(header, verdict),
    }
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a JSON value has text");
    text.push('\n');
    text
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// RFC 3339 in whole seconds, UTC.
/// RFC 3339, whole seconds.
pub fn timestamp(now: Timestamp) -> String {
    let seconds = Timestamp::from_second(now.as_second());
    seconds.expect("it was a time before").to_string()
}
