//! `db`: the advisories that the built-in scanner knows.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::advisory_origins;
use super::args::{DbCommand, Global};
use super::environment::Environment;
use super::image_source::{Chosen, Finder};
use super::output::{print, tell};
use super::project::{self, manifest_path};
use super::signals;
use super::trust::open_store;
use crate::exit::{self, Exit};
use crate::targets::advisories;
use imgmake_core::manifest::{ScanFrom, ScannerNode, TargetKind};
use imgmake_event::Cancel;
use imgmake_guard::printable;
use imgmake_oci::image::Reference;
use imgmake_oci::store::Store;
use imgmake_registry::{OperationContext, RegistryError};
use imgmake_scan as scan;
use imgmake_scan::StagedAdvisories;
use tempfile::NamedTempFile;

/// Where OSV publishes one archive for each ecosystem.
const PUBLISHED: &str = "https://osv-vulnerabilities.storage.googleapis.com";
/// Debian's has about 100 MB; anything much larger is not a database.
const LARGEST: u64 = 4 << 30;

pub fn db(command: &DbCommand, global: &Global, environment: &Environment) -> Result<u8, Exit> {
    let store = open_store(global, environment)?;
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let done = match command {
        DbCommand::Update { from } => update(from, &store, global, environment, &cancel),
        DbCommand::Import { from } => import(from, &store, global, &cancel).map_err(Exit::from),
        DbCommand::Push { to } => push(to, &store, global, environment, &cancel),
        DbCommand::Status => Ok(()),
    };
    let text = done.and_then(|()| Ok(status(&store, &cancel)?));
    if let Some(code) = stopped.exit_code() {
        return Ok(code);
    }
    print(&text?)?;
    Ok(0)
}

fn status(store: &Store, cancel: &Cancel) -> Result<String> {
    let home = scan::advisory_home(store)?;
    let kept = advisories::file_names(&home)?;
    if kept.is_empty() {
        return Ok(
            "no advisories are stored; `imgmake db update Debian npm …` fetches them\n".to_string(),
        );
    }
    let status = scan::import_advisories(&[home], store, cancel)?;
    let newest = status.newest.map(|at| format!(", the newest of {at}"));
    Ok(format!(
        "{} advisories{}\ndigest blake3:{}\nfrom {}\n",
        status.advisories,
        newest.unwrap_or_default(),
        status.digest,
        kept.join(", ")
    ))
}

/// Where advisories are kept, made if it is not there.
fn home(store: &Store) -> Result<PathBuf> {
    if !store.keeps_database() {
        bail!(
            "advisories cannot be stored: the store is in a checkout, where others can change them, and the user has no other store\n  help: set HOME, or a store outside with `--store` or IMGMAKE_STORE"
        );
    }
    let home = scan::advisory_home(store)?;
    fs::create_dir_all(&home).with_context(|| format!("cannot make `{}`", home.display()))?;
    advisory_origins::remove_unfinished(&home, SystemTime::now());
    Ok(home)
}

/// Fetches each source again; without any, for what is in the images that are scanned, and those
/// that were fetched before. What was imported stays; one that fails does not keep the others back.
fn update(
    from: &[String],
    store: &Store,
    global: &Global,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<(), Exit> {
    let home = home(store)?;
    let mut imported = Vec::new();
    let again: Vec<String> = match from {
        [] => {
            let mut names = BTreeSet::new();
            for name in advisories::file_names(&home)? {
                match advisory_origins::of(&home, &name)? {
                    Some(source) => drop(names.insert(source)),
                    None => imported.push(name),
                }
            }
            let scanned = scanned(store, global, environment, cancel)?.into_iter();
            names.extend(scanned.filter(|name| !imported.contains(&format!("{name}.zip"))));
            names.into_iter().collect()
        }
        from => from.to_vec(),
    };
    for name in &imported {
        tell(format!(
            "`{name}` was not fetched from OSV or a URL: it is not updated"
        ));
    }
    if again.is_empty() && imported.is_empty() {
        return Err(Exit::error(exit::FAILED, "no source of advisories is known").with_help(
            "name ecosystems as OSV does (`Debian`, `Alpine`, `npm`, `PyPI`, `Go`, …), archives or URLs",
        ));
    }
    let mut failed = Vec::new();
    for source in &again {
        cancel.check().map_err(anyhow::Error::from)?;
        let fetched = fetch(source, &home, environment, cancel)
            .with_context(|| format!("cannot update `{source}`"));
        match fetched {
            Err(error) if cancel.is_cancelled() => return Err(error.into()),
            Err(error) => failed.push(error),
            Ok(()) => {}
        }
    }
    match failed.len() {
        0 => Ok(()),
        1 => Err(failed.remove(0).into()),
        _ => {
            let texts: Vec<String> = failed.iter().map(|error| format!("{error:#}")).collect();
            Err(Exit::error(exit::FAILED, texts.join("\n")))
        }
    }
}

/// The ecosystems of the images that the built-in scanner looks into in this project, without
/// advisories of its own.
fn scanned(
    store: &Store,
    global: &Global,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<BTreeSet<String>, Exit> {
    let mut ecosystems = BTreeSet::new();
    if !manifest_path(global).is_file() {
        return Ok(ecosystems);
    }
    let loaded = project::load(global, environment)?;
    let graph = &loaded.project.graph;
    let finder = Finder::new(global, environment)?;
    for id in graph.ids() {
        let TargetKind::Scan(scan) = &graph.target(id).kind else {
            continue;
        };
        let is_kept = scan.advisories.is_empty() && scan.db.is_none();
        if scan.scanner != ScannerNode::Builtin || !is_kept {
            continue;
        }
        let mut images: Vec<String> = Vec::new();
        images.extend(
            graph
                .images(id)
                .into_iter()
                .map(|id| graph.name(id).to_string()),
        );
        match &scan.from {
            ScanFrom::Images(_) => {}
            ScanFrom::Tar { path, .. } => images.push(path.value.clone()),
            ScanFrom::Image(name) => images.push(name.value.clone()),
            ScanFrom::Index(index) => images.extend(index.from.iter().map(|n| n.value.clone())),
        }
        for image in images {
            let found = finder.find(&image, Chosen::Only)?;
            let of_image = imgmake_scan::ecosystems(&found.root, store, cancel);
            ecosystems.extend(of_image.map_err(anyhow::Error::from)?);
        }
    }
    Ok(ecosystems)
}

/// Advisories of this machine, read before they replace those of the same name: all of them, or none.
fn import(from: &[PathBuf], store: &Store, global: &Global, cancel: &Cancel) -> Result<()> {
    let home = home(store)?;
    let base = global.directory.as_deref().unwrap_or(Path::new("."));
    let mut files = Vec::new();
    let mut staged: Vec<StagedAdvisories> = Vec::new();
    for path in from {
        let context = || format!("cannot import `{}`", path.display());
        let (file, name) = stage(&base.join(path), &home, cancel).with_context(context)?;
        if staged.iter().any(|other| other.name == name) {
            bail!(
                "cannot import `{}`: another one is called `{name}`, too",
                path.display()
            );
        }
        staged.push(StagedAdvisories {
            path: file.path().to_path_buf(),
            origin: path.clone(),
            name,
        });
        files.push(file);
    }
    let context = || {
        let paths = from.iter().map(|path| format!("`{}`", path.display()));
        format!("cannot import {}", printable::list(paths))
    };
    let imported = scan::read_staged(&home, &staged, cancel).with_context(context)?;
    for (file, staged) in files.into_iter().zip(&staged) {
        advisory_origins::forget(&home, &staged.name)?;
        file.persist(home.join(&staged.name))?;
    }
    Ok(imported.keep(store, cancel)?)
}

/// A copy without its name yet, and this name.
fn stage(path: &Path, home: &Path, cancel: &Cancel) -> Result<(NamedTempFile, String)> {
    let path = fs::canonicalize(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_directory = path.is_dir();
    let name = match is_directory {
        true => format!("{}.jsonl", name.trim_start_matches('.')),
        false => name.trim_start_matches('.').to_string(),
    };
    if !scan::is_advisory_file(&name) {
        bail!(
            "it is not a file of advisories\n  help: a directory, `.zip`, `.json`, `.jsonl`, `.json.gz` or `.jsonl.gz` of OSV documents is expected"
        );
    }
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(home)?;
    match is_directory {
        true => {
            let mut out = io::BufWriter::new(file.as_file_mut());
            scan::gather_advisories(&path, &mut out, cancel)?;
            io::Write::flush(&mut out)?;
        }
        false => copy(&mut fs::File::open(&path)?, file.as_file_mut(), cancel)?,
    }
    Ok((file, name))
}

/// Publishes what is kept.
fn push(
    to: &str,
    store: &Store,
    global: &Global,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<(), Exit> {
    let to: Reference = to
        .parse()
        .map_err(|error| Exit::usage(format!("{error}")))?;
    if to.digest.is_some() {
        let message = format!("`{to}` has a digest: a tag is expected");
        return Err(Exit::usage(message));
    }
    let work = OperationContext {
        cancel: cancel.clone(),
        ..OperationContext::background()
    };
    let finder = Finder::new(global, environment)?;
    let digest = finder.with_client(|client| {
        let pushed = advisories::push(client, store, &to, &work);
        pushed.map_err(|error| {
            let code = match error.chain().any(|cause| cause.is::<RegistryError>()) {
                true => exit::REGISTRY,
                false => exit::FAILED,
            };
            Exit::error(code, format!("{error:#}"))
        })
    })?;
    print(&format!("pushed {to}@{digest}\n"))?;
    Ok(())
}

fn fetch(source: &str, home: &Path, environment: &Environment, cancel: &Cancel) -> Result<()> {
    let is_local = !source.contains("://") && Path::new(source).exists();
    let (mut content, name) = match source {
        url if url.contains("://") => (get(url, environment)?, file_name(url)),
        path if is_local => (local(path)?, file_name(path)),
        ecosystem => {
            let escaped = ecosystem.replace(' ', "%20");
            (
                get(&format!("{PUBLISHED}/{escaped}/all.zip"), environment)?,
                format!("{ecosystem}.zip"),
            )
        }
    };
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(home)?;
    copy(&mut content, file.as_file_mut(), cancel)?;
    // Read before it gets its name: a broken archive must not replace a good one.
    check(file.path(), &name)?;
    // In this order: what is killed in between is not fetched again, but nothing imported is lost.
    advisory_origins::forget(home, &name)?;
    file.persist(home.join(&name))?;
    if !is_local {
        advisory_origins::keep(home, &name, source)?;
    }
    Ok(())
}

fn copy(from: &mut dyn Read, to: &mut fs::File, cancel: &Cancel) -> Result<()> {
    use std::io::Write;
    let mut buffer = vec![0; 128 << 10];
    let mut from = from.take(LARGEST);
    loop {
        cancel.check()?;
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&buffer[..count])?,
        }
    }
}

/// OSV documents come as one JSON file or as a zip of them.
fn check(path: &Path, name: &str) -> Result<()> {
    if Path::new(name).extension().is_none_or(|e| e != "zip") {
        return Ok(());
    }
    let archive = zip::ZipArchive::new(fs::File::open(path)?).context("it is not a zip archive")?;
    if archive.is_empty() {
        bail!("the archive is empty");
    }
    Ok(())
}

fn local(path: &str) -> Result<Box<dyn Read>> {
    let path = PathBuf::from(path);
    if path.is_dir() {
        bail!(
            "it is a directory\n  help: `imgmake db import {}` stores it; a scan reads it in place with `advisories \"{}\"`",
            path.display(),
            path.display()
        );
    }
    Ok(Box::new(fs::File::open(path)?))
}

fn get(url: &str, environment: &Environment) -> Result<Box<dyn Read>> {
    let proxy = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        .iter()
        .find_map(|name| environment.get(name));
    let proxy = proxy.map(ureq::Proxy::new).transpose()?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(proxy)
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .user_agent(concat!("imgmake/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let answer = agent
        .get(url)
        .call()
        .with_context(|| format!("GET {url}"))?;
    Ok(Box::new(
        answer
            .into_body()
            .into_with_config()
            .limit(LARGEST)
            .reader(),
    ))
}

/// The last part of a path or URL, with an extension that tells what it is.
fn file_name(source: &str) -> String {
    let plain = source.split(['?', '#']).next().unwrap_or_default();
    let last = plain
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    match last.ends_with(".json") || last.ends_with(".zip") {
        true => last.trim_start_matches('.').to_string(),
        false => format!("{}.zip", last.trim_start_matches('.')),
    }
}
