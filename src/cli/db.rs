//! `db`: the advisories that the built-in scanner knows.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::args::{DbCommand, Global};
use super::environment::Environment;
use super::output::print;
use super::signals;
use super::trust::open_store;
use crate::exit::Exit;
use imgmake_event::Cancel;
use imgmake_oci::store::Store;
use imgmake_scan as scan;

/// Where OSV publishes one archive for each ecosystem.
const PUBLISHED: &str = "https://osv-vulnerabilities.storage.googleapis.com";
/// Debian's has about 100 MB; anything much larger is not a database.
const LARGEST: u64 = 4 << 30;

pub fn db(command: &DbCommand, global: &Global, environment: &Environment) -> Result<u8, Exit> {
    let store = open_store(global, environment)?;
    let cancel = Cancel::default();
    let stopped = signals::listen(&cancel);
    let done = match command {
        DbCommand::Update { from } => update(from, &store, environment, &cancel),
        DbCommand::Status => Ok(()),
    };
    let text = done.and_then(|()| status(&store, &cancel));
    if let Some(code) = stopped.exit_code() {
        return Ok(code);
    }
    print(&text?)?;
    Ok(0)
}

fn status(store: &Store, cancel: &Cancel) -> Result<String> {
    let home = scan::advisory_home(store)?;
    let kept = names(&home)?;
    if kept.is_empty() {
        return Ok(
            "no advisories are kept; `imgmake db update Debian npm …` gets them\n".to_string(),
        );
    }
    let status = scan::import_advisories(&[home], store, cancel)?;
    let newest = status.newest.map(|at| format!(", the newest of {at}"));
    Ok(format!(
        "{} advisories{}\nfrom {}\n",
        status.advisories,
        newest.unwrap_or_default(),
        kept.join(", ")
    ))
}

fn names(home: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read `{}`", home.display()))?,
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !name.as_ref().is_ok_and(|name| name.starts_with('.')))
        .collect::<io::Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}

/// Fetches each source again; without any, those that are kept already.
fn update(
    from: &[String],
    store: &Store,
    environment: &Environment,
    cancel: &Cancel,
) -> Result<()> {
    if !store.keeps_database() {
        bail!(
            "advisories cannot be kept: the store is in a checkout, where others can change them, and the user has no other store\n  help: set HOME, or a store outside with `--store` or IMGMAKE_STORE"
        );
    }
    let home = scan::advisory_home(store)?;
    fs::create_dir_all(&home).with_context(|| format!("cannot make `{}`", home.display()))?;
    let again: Vec<String> = match from {
        [] => names(&home)?
            .iter()
            .filter_map(|name| name.strip_suffix(".zip").map(String::from))
            .collect(),
        from => from.to_vec(),
    };
    if again.is_empty() {
        bail!(
            "no source of advisories is known\n  help: name ecosystems as OSV does (`Debian`, `Alpine`, `npm`, `PyPI`, `Go`, …), archives or URLs"
        );
    }
    for source in &again {
        cancel.check()?;
        fetch(source, &home, environment, cancel)
            .with_context(|| format!("cannot update `{source}`"))?;
    }
    Ok(())
}

fn fetch(source: &str, home: &Path, environment: &Environment, cancel: &Cancel) -> Result<()> {
    let (mut content, name) = match source {
        url if url.contains("://") => (get(url, environment)?, file_name(url)),
        path if Path::new(path).exists() => (local(path)?, file_name(path)),
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
    file.persist(home.join(&name))?;
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
    if Path::new(name).extension().is_some_and(|e| e == "json") {
        let file = io::BufReader::new(fs::File::open(path)?);
        serde_json::from_reader::<_, serde::de::IgnoredAny>(file).context("it is not JSON")?;
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
            "it is a directory\n  help: a scan reads it in place with `advisories \"{}\"`",
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
