//! Databases whose newest pages are in a log beside them: both files are read together, whatever
//! layers they came with.

use super::classify::{Meaning, Reading};
use super::contents::{Inventory, Located};
use super::file_id::FileId;
use super::merge::{database_at, shown};
use super::names::Names;
use super::{rpm, walk};
use crate::error::Result;
use imgmake_event::Cancel;
use imgmake_oci::image::Descriptor;
use imgmake_oci::layer::{FollowLast, View};
use imgmake_oci::store::Store;

pub struct Pair {
    /// Of the database, by the name that tells what it is.
    path: Vec<u8>,
    /// The further ones.
    others: Vec<Vec<u8>>,
    database: FileId,
    log: Log,
}

enum Log {
    At(FileId),
    /// A log stands beside a link to the database, where nobody who reads the database looks.
    BesideLink,
}

/// rpm's databases that have a write-ahead log. It stands beside the database itself: SQLite
/// resolves links to a database before it looks for the log.
pub fn pairs(names: &Names, view: &View) -> Vec<Pair> {
    let resolved = |path: &[u8]| view.resolve(path, FollowLast::Yes).ok();
    let log_of = |path: &[u8]| {
        let log = resolved(&[path, b"-wal"].concat())?;
        FileId::of(view.get(&log)?)
    };
    let database = Meaning::Packages(Reading::RpmSqlite);
    let databases = names.found.iter().filter(|name| name.meaning == database);
    let pairs = databases.filter_map(|name| {
        let target = resolved(&name.path)?;
        let (own, beside) = (log_of(&target), log_of(&name.path));
        let log = match (own, beside) {
            (own, Some(beside)) if own != Some(beside) => Log::BesideLink,
            (own, _) => Log::At(own?),
        };
        Some(Pair {
            path: name.path.clone(),
            others: name.others.clone(),
            database: name.file,
            log,
        })
    });
    pairs.collect()
}

/// Replaces what a database told alone by what it tells with its log.
pub fn read(
    pair: &Pair,
    inventory: &mut Inventory,
    layers: &[Descriptor],
    store: &Store,
    cancel: &Cancel,
) -> Result<()> {
    let copy = |file: FileId| walk::copy_of(file, &layers[file.layer as usize], store, cancel);
    let path = String::from_utf8_lossy(&pair.path).into_owned();
    let read = match pair.log {
        Log::At(log) => match (copy(pair.database)?, copy(log)?) {
            (Some(database), Some(log)) => rpm::read_sqlite(&database, Some(&log), cancel),
            _ => Err("it or its write-ahead log is too large".to_string()),
        }
        .map(|packages| (packages, log.layer)),
        Log::BesideLink => Err(
            "a write-ahead log is beside a link to it, not beside the database itself".to_string(),
        ),
    };
    match read {
        Ok((packages, layer)) => {
            let own = format!("{}: ", database_at(&path));
            inventory.gaps.retain(|gap| !gap.starts_with(&own));
            inventory.packages.retain(|located| located.path != path);
            let layer = layers[layer as usize].digest.clone();
            let packages = packages.into_iter().map(|package| Located {
                package,
                path: path.clone(),
                layer: layer.clone(),
                other_paths: shown(&pair.others),
            });
            inventory.packages.extend(packages);
            inventory.packages.sort();
            inventory.packages.dedup();
        }
        Err(why) => {
            cancel.check()?;
            inventory
                .gaps
                .push(format!("{}: {why}", database_at(&path)));
        }
    }
    Ok(())
}
