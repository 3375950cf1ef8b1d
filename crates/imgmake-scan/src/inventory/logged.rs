//! Databases whose newest pages are in a log beside them: both files are read together, whatever
//! layers they came with.

use super::classify::{Meaning, Reading};
use super::contents::{Inventory, Located};
use super::file_id::FileId;
use super::merge::database_at;
use super::names::Names;
use super::{rpm, walk};
use crate::error::Result;
use imgmake_event::Cancel;
use imgmake_oci::image::Descriptor;
use imgmake_oci::store::Store;

pub struct Pair {
    path: Vec<u8>,
    database: FileId,
    log: FileId,
}

/// rpm's databases that have a write-ahead log.
pub fn pairs(names: &Names) -> Vec<Pair> {
    let of = |reading| {
        let names = names.found.iter();
        names.filter(move |name| name.meaning == Meaning::Packages(reading))
    };
    let pairs = of(Reading::RpmSqliteLog).filter_map(|log| {
        let path = log.path.strip_suffix(b"-wal")?;
        let database = of(Reading::RpmSqlite).find(|name| name.path == path)?;
        Some(Pair {
            path: path.to_vec(),
            database: database.file,
            log: log.file,
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
    let read = match (copy(pair.database)?, copy(pair.log)?) {
        (Some(database), Some(log)) => rpm::read_sqlite(&database, Some(&log), cancel),
        _ => Err("it or its write-ahead log is too large".to_string()),
    };
    match read {
        Ok(packages) => {
            let own = format!("{}: ", database_at(&path));
            inventory.gaps.retain(|gap| !gap.starts_with(&own));
            inventory.packages.retain(|located| located.path != path);
            let layer = layers[pair.log.layer as usize].digest.clone();
            let packages = packages.into_iter().map(|package| Located {
                package,
                path: path.clone(),
                layer: layer.clone(),
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
