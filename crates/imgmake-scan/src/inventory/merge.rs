//! Layers on top of each other: what the facts of each leave in the final tree.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Inventory, Located, Oddity};
use super::package::PackageKind;
use super::walk::{Change, Fact, LayerFacts};
use imgmake_oci::image::Digest;

/// The facts that hold, by path, each with the layer that it came with.
#[derive(Default)]
struct Tree {
    files: BTreeMap<Vec<u8>, (Digest, Fact)>,
}

pub fn merge(layers: Vec<LayerFacts>) -> Inventory {
    let mut tree = Tree::default();
    let mut inventory = Inventory::default();
    for mut layer in layers {
        inventory.secrets.append(&mut layer.secrets);
        tree.apply(layer);
    }
    inventory.secrets.sort();
    inventory.secrets.dedup();
    tree.tell(&mut inventory);
    inventory
}

impl Tree {
    /// Removals speak of the layers below only, wherever they stand in the archive.
    fn apply(&mut self, layer: LayerFacts) {
        for change in &layer.changes {
            match change {
                Change::Remove(path) => {
                    self.files.remove(path);
                    self.remove_under(path);
                }
                Change::Opaque(path) => self.remove_under(path),
                Change::Found(..) | Change::Link { .. } => {}
            }
        }
        for change in layer.changes {
            match change {
                Change::Found(path, fact) => {
                    self.files.insert(path, (layer.layer.clone(), *fact));
                }
                Change::Link { path, target } => {
                    if let Some(same) = self.files.get(&target).cloned() {
                        self.files.insert(path, same);
                    }
                }
                Change::Remove(_) | Change::Opaque(_) => {}
            }
        }
    }

    fn remove_under(&mut self, path: &[u8]) {
        let mut start = path.to_vec();
        if !start.is_empty() {
            start.push(b'/');
        }
        let under = self.files.range(start.clone()..);
        let under = under.take_while(|(p, _)| p.starts_with(&start));
        let under: Vec<Vec<u8>> = under.map(|(p, _)| p.clone()).collect();
        for path in under {
            self.files.remove(&path);
        }
    }

    fn tell(self, inventory: &mut Inventory) {
        let release = |path: &str| {
            let (_, fact) = self.files.get(path.as_bytes())?;
            fact.distribution.clone()
        };
        inventory.distribution =
            release("etc/os-release").or_else(|| release("usr/lib/os-release"));
        let mut locked = Vec::new();
        for (path, (layer, fact)) in self.files {
            let path = String::from_utf8_lossy(&path).into_owned();
            if let Some(why) = fact.gap {
                inventory
                    .gaps
                    .push(format!("package database `/{path}`: {why}"));
            }
            if let Some(warning) = fact.warning {
                inventory.warnings.push(format!("`/{path}`: {warning}"));
            }
            if let Some(rule) = fact.oddity {
                let (path, layer) = (path.clone(), layer.clone());
                inventory.oddities.push(Oddity { rule, path, layer });
            }
            let list = if fact.lockfile {
                &mut locked
            } else {
                &mut inventory.packages
            };
            list.extend(fact.packages.into_iter().map(|package| Located {
                package,
                path: path.clone(),
                layer: layer.clone(),
            }));
        }
        add_locked(&mut inventory.packages, locked);
        inventory.packages.sort();
        inventory.packages.dedup();
    }
}

/// What a lock file names and what is installed too would be told twice.
fn add_locked(packages: &mut Vec<Located>, locked: Vec<Located>) {
    let key = |l: &Located| -> (PackageKind, String, String) {
        (
            l.package.kind,
            l.package.name.clone(),
            l.package.version.clone(),
        )
    };
    let installed: BTreeSet<_> = packages.iter().map(key).collect();
    packages.extend(locked.into_iter().filter(|l| !installed.contains(&key(l))));
}
