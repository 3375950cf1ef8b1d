//! `gc` removes from the store what has not been used for long.

use std::path::Path;
use std::time::Duration;

use super::args::{GcArgs, Global};
use super::environment::Environment;
use super::output::print_sentences;
use super::project::manifest_path;
use super::tools::isolation;
use super::trust::open_store;
use crate::exit::Exit;
use crate::report::bytes;
use crate::run_logs;
use crate::share::{self, source::Sources};
use crate::targets::project_name;
use imgmake_build::worker::Worker;
use imgmake_guard::printable;
use imgmake_oci::store::{Garbage, Keep, Kept};

/// More names than this are counted.
const SHOWN_NAMES: usize = 8;

pub fn gc(global: &Global, args: &GcArgs, environment: &Environment) -> Result<u8, Exit> {
    let keep = &args.keep;
    let younger_than = match args.all {
        true => Duration::ZERO,
        false => time_of(keep).ok_or_else(|| {
            Exit::usage(format!("invalid time `--keep {keep}`"))
                .with_help("write `12h`, `7d` or `4w`")
        })?,
    };
    let at_most = args
        .max_size
        .as_deref()
        .map(|text| {
            size_of(text).ok_or_else(|| {
                Exit::usage(format!("invalid size `--max-size {text}`"))
                    .with_help("write `500MB` or `20GB`")
            })
        })
        .transpose()?;
    let project = match args.project {
        true => Some(project(global)?),
        false => None,
    };
    let store = open_store(global, environment)?;
    let mut garbage = store.collect(Keep {
        younger_than,
        at_most,
        project: project.as_deref(),
    })?;
    // Logs are outside of the store, and are not counted by project.
    if let (false, Some(logs)) = (args.project, environment.logs()) {
        let removed = run_logs::remove(&logs, younger_than);
        garbage.files += removed.files;
        garbage.bytes += removed.bytes;
    }
    let sources = match args.project {
        true => Sources::default(),
        false => share::source::remove(&store, younger_than)?,
    };
    garbage.bytes += sources.bytes;
    let paths = garbage.aside.iter().cloned().chain(store.leftovers());
    let paths: Vec<_> = paths.collect();
    if !paths.is_empty() {
        Worker::new(store, isolation(environment)?).delete(&paths)?;
    }
    let within = (!args.all).then_some(keep.as_str());
    print_sentences(&format!(
        "{}{}",
        removed(&garbage, sources),
        kept(&garbage.kept, within)
    ))?;
    Ok(0)
}

/// The directory of the manifest.
fn project(global: &Global) -> Result<String, Exit> {
    let manifest = manifest_path(global);
    if !manifest.is_file() {
        let message = format!(
            "`--project`: the manifest `{}` not found",
            manifest.display()
        );
        return Err(Exit::usage(message).with_help("`-C DIR` selects another directory"));
    }
    let directory = manifest.parent().filter(|p| !p.as_os_str().is_empty());
    Ok(project_name(directory.unwrap_or(Path::new(".")))?)
}

fn removed(garbage: &Garbage, sources: Sources) -> String {
    let mut text = format!(
        "removed {}: {} files, {} unpacked layers and {} cache mounts\n",
        bytes(garbage.bytes),
        garbage.files,
        garbage.unpacked_layers,
        garbage.cache_mounts
    );
    match garbage.databases {
        0 => {}
        1 => text.push_str("removed a database of advisories\n"),
        many => text.push_str(&format!("removed {many} databases of advisories\n")),
    }
    match sources.count {
        0 => {}
        1 => text.push_str("removed the files of a source\n"),
        many => text.push_str(&format!("removed the files of {many} sources\n")),
    }
    if !garbage.names.is_empty() {
        let names = garbage.names.iter().map(|name| (name.clone(), None));
        text.push_str(&format!(
            "removed names: {}\n",
            list(&names.collect::<Vec<_>>())
        ));
    }
    text
}

/// What stays, and why.
fn kept(kept: &Kept, within: Option<&str>) -> String {
    let mut text = String::new();
    let mut say = |size: u64, what: String| {
        if size > 0 {
            text.push_str(&format!("kept {}: {what}\n", bytes(size)));
        }
    };
    say(
        kept.running,
        "other runs use the store; run `imgmake gc` again when they are done".to_string(),
    );
    let named = match kept.names.is_empty() {
        // Their names have just gone, and they were used since.
        true => "images that had a name".to_string(),
        false => format!("images named {}", list(&kept.names)),
    };
    say(kept.named, named);
    if let Some(within) = within {
        say(kept.recent, format!("used within {within}"));
    }
    text
}

/// `app:1 (of /home/user/shop), app:2 and 3 more`
fn list(names: &[(String, Option<String>)]) -> String {
    let one = |(name, project): &(String, Option<String>)| match project {
        Some(project) => format!("{name} (of {project})"),
        None => name.clone(),
    };
    let shown: Vec<String> = names.iter().take(SHOWN_NAMES).map(one).collect();
    let shown = printable::listed(&shown, ", ");
    match names.len().saturating_sub(SHOWN_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn time_of(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(Duration::from_secs(
        number.parse::<u64>().ok()?.checked_mul(seconds)?,
    ))
}

fn size_of(text: &str) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let number = upper.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &upper[number.len()..] {
        "" | "B" => 1,
        "K" | "KB" => 1000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_a_number_and_a_unit() {
        assert_eq!(time_of("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(size_of("20gb"), Some(20_000_000_000));
        assert_eq!(size_of("500"), Some(500));
        for text in ["", "d", "7", "7y", "-1d", "99999999999999999999d"] {
            assert_eq!(time_of(text), None, "{text}");
        }
        assert_eq!(size_of("GB"), None);
    }
}
