//! Trivy, Grype and commands, started the way each wants it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::handover::Handover;
use super::process::{self, json};
use super::{Scanned, command, grype, trivy};
use crate::cache::Cache;
use crate::error::{ProgramFailure, Result, ScanError};
use crate::subject::Child;
use crate::{ScanRequest, Scanner};
use imgmake_event::Cancel;
use imgmake_guard::program::{self, Kind, Program};
use imgmake_oci::store::Store;

/// Scans one image with another program.
pub fn scan(
    request: &ScanRequest,
    child: &Child,
    store: &Store,
    cache: &Cache,
    cancel: &Cancel,
) -> Result<Scanned> {
    let handover = Handover::new(store, &child.descriptor)?;
    match &request.scanner {
        Scanner::Builtin => unreachable!("the gate runs the built-in scanner itself"),
        Scanner::Trivy => supported("trivy", request, &handover, child, cache, cancel),
        Scanner::Grype => supported("grype", request, &handover, child, cache, cancel),
        Scanner::Command(line) => command::scan(line, request, &handover, cancel),
    }
}

/// A scanner whose arguments, output and database we know.
fn supported(
    name: &str,
    request: &ScanRequest,
    handover: &Handover,
    child: &Child,
    cache: &Cache,
    cancel: &Cancel,
) -> Result<Scanned> {
    let path = program::find(name, &request.environment).ok_or_else(|| {
        let what = format!("`{name}`");
        ScanError::not_found(
            what,
            "it is not in PATH: install it, or use `scanner builtin`",
        )
    })?;
    // What decides where its database is, and is part of what its findings depend on.
    let environment = program::seen(Kind::Scanner, &request.environment);
    let digest = child.descriptor.digest.as_str();
    let state = state(name, &path, &environment, request);
    let scanned = state.as_ref().and_then(|s| cache.get(&[name, digest, s]));
    if let Some(scanned) = scanned {
        return Ok(scanned);
    }
    let arguments = match name {
        "trivy" => trivy::arguments(&handover.archive()?),
        _ => grype::arguments(&handover.archive()?),
    };
    // In a directory of its own: `.trivyignore`, `trivy.yaml` and `.grype.yaml` of
    // the project are not theirs to apply; the policy is judged here.
    let program = Program::new(Kind::Scanner, &path, &request.environment).map(|program| {
        program.configure(|command| {
            command
                .args(arguments)
                .env("GRYPE_CHECK_FOR_APP_UPDATE", "false")
        })
    });
    let ended = process::run(name, program, request.timeout, cancel)?;
    if !ended.status.success() {
        let failure = ProgramFailure::Ended(process::describe(&ended));
        return Err(ScanError::program(name, failure));
    }
    let scanned = match name {
        "trivy" => trivy::findings(json(ended.stdout, name)?, database(name, &environment))
            .map_err(|why| ScanError::program(name, process::invalid_report(why)))?,
        _ => grype::findings(json(ended.stdout, name)?),
    };
    // The database may have been renewed by this very run.
    if let Some(state) = self::state(name, &path, &environment, request) {
        cache.put(&[name, digest, &state], &scanned)?;
    }
    Ok(scanned)
}

/// Program, settings and database as one text; none if the next run may use
/// another database than the one that lies there.
fn state(
    name: &str,
    program: &Path,
    environment: &BTreeMap<OsString, OsString>,
    request: &ScanRequest,
) -> Option<String> {
    let settled = match name {
        "trivy" => trivy::is_settled(
            &database(name, environment)?,
            environment,
            request.policy.now,
        ),
        _ => grype::is_settled(environment),
    };
    if !settled {
        return None;
    }
    let mut hash = blake3::Hasher::new();
    let m = fs::metadata(program).ok()?;
    for number in [
        m.ino() as i64,
        m.size() as i64,
        m.mtime(),
        m.mtime_nsec(),
        m.ctime(),
        m.ctime_nsec(),
    ] {
        hash.update(&number.to_le_bytes());
    }
    for (key, value) in environment {
        hash.update(key.as_encoded_bytes()).update(b"=");
        hash.update(value.as_encoded_bytes()).update(&[0]);
    }
    hash.update(&database(name, environment)?);
    Some(hash.finalize().to_hex().to_string())
}

/// The file in which a scanner describes its database.
fn database(name: &str, environment: &BTreeMap<OsString, OsString>) -> Option<Vec<u8>> {
    let variable = |key: &str| {
        let value = environment
            .get(std::ffi::OsStr::new(key))
            .filter(|v| !v.is_empty());
        value.map(PathBuf::from)
    };
    let home = || {
        let cache =
            variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(cache.join(name))
    };
    let candidates = match name {
        "trivy" => vec![
            variable("TRIVY_CACHE_DIR")
                .or_else(home)?
                .join("db/metadata.json"),
        ],
        _ => {
            let db = variable("GRYPE_DB_CACHE_DIR").or_else(|| Some(home()?.join("db")))?;
            vec![db.join("6/import.json"), db.join("5/metadata.json")]
        }
    };
    candidates
        .iter()
        .find_map(|path| imgmake_guard::bounded::read(path).ok())
}
