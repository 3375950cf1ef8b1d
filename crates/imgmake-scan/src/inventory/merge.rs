//! Layers on top of each other: what the facts of each leave in the final tree.

use std::collections::{BTreeMap, BTreeSet};

use super::classify::{self, Meaning, OS_RELEASE, Reading};
use super::contents::{Inventory, Located, Oddity, OddityRule};
use super::file_id::FileId;
use super::names::{Name, Names};
use super::package::PackageKind;
use super::secrets::{Broken, Secret};
use super::walk::{Fact, LayerFacts, Named};
use imgmake_oci::image::Digest;
use imgmake_oci::layer::{FollowLast, Index, View};

/// The final tree, and what its files tell.
pub struct Merged {
    pub view: View,
    layers: Vec<Digest>,
    facts: BTreeMap<(FileId, Option<Meaning>), Fact>,
    meanings: BTreeMap<FileId, Meaning>,
    secrets: Vec<Secret>,
}

pub fn merge(layers: Vec<LayerFacts>) -> Merged {
    let mut merged = Merged {
        view: View::default(),
        layers: Vec::new(),
        facts: BTreeMap::new(),
        meanings: BTreeMap::new(),
        secrets: Vec::new(),
    };
    for layer in layers {
        merged.view.push(&Index::new(layer.entries));
        merged.layers.push(layer.layer);
        merged.secrets.extend(layer.secrets);
        let key = |file| (file, layer.meanings.get(&file).copied());
        let facts = layer.facts.into_iter();
        merged
            .facts
            .extend(facts.map(|(file, fact)| (key(file), fact)));
        merged.meanings.extend(layer.meanings);
    }
    merged
}

impl Merged {
    /// The names that say something of files which were not read so yet: by layer, each file and
    /// meaning once.
    pub fn unread<'n>(&self, names: &'n Names) -> BTreeMap<u32, Vec<&'n Name>> {
        let mut seen = BTreeSet::new();
        let mut unread: BTreeMap<u32, Vec<&Name>> = BTreeMap::new();
        for name in &names.found {
            let is_read = self.meanings.get(&name.file) == Some(&name.meaning);
            if !is_read && seen.insert((name.file, name.meaning)) {
                unread.entry(name.file.layer).or_default().push(name);
            }
        }
        unread
    }

    /// What the files tell by all of their names, `named` being the further ones.
    pub fn tell(mut self, names: &Names, named: Vec<Named>) -> Inventory {
        let mut inventory = Inventory {
            secrets: std::mem::take(&mut self.secrets),
            ..Inventory::default()
        };
        if names.are_too_many {
            let why = "too many names beneath symbolic links: their targets were not scanned";
            inventory.gaps.push(why.to_string());
        }
        let mut broken: BTreeMap<FileId, Vec<Broken>> = BTreeMap::new();
        for one in named {
            broken.entry(one.file).or_default().extend(one.secrets);
            let fact = self.facts.entry((one.file, Some(one.meaning)));
            *fact.or_default() = one.fact;
        }
        inventory.distribution = self.distribution();
        let mut locked = Vec::new();
        for name in &names.found {
            if self.is_of_composers_package(name) {
                let path = String::from_utf8_lossy(&name.path).into_owned();
                inventory.left_out.push(path);
                continue;
            }
            if let Some(fact) = self.facts.get(&(name.file, Some(name.meaning))) {
                let paths = (name.path.as_slice(), name.others.as_slice());
                self.tell_fact(paths, name.file, fact, &mut inventory, &mut locked);
            }
            if name.meaning == Meaning::Passwords {
                let broken = broken.get(&name.file).into_iter().flatten();
                inventory.secrets.extend(broken.map(|broken| Secret {
                    rule: broken.rule.clone(),
                    path: String::from_utf8_lossy(&name.path).into_owned(),
                    layer: self.layer(name.file),
                    sums: broken.sums.clone(),
                }));
            }
        }
        self.tell_files(&mut inventory, &mut locked);
        inventory.secrets.sort();
        inventory.secrets.dedup();
        add_locked(&mut inventory.packages, locked);
        inventory.packages.sort();
        inventory.packages.dedup();
        inventory.left_out.sort();
        inventory.left_out.dedup();
        inventory
    }

    fn is_of_composers_package(&self, name: &Name) -> bool {
        let Meaning::Packages(reading) = name.meaning else {
            return false;
        };
        let is_there = |list: String| {
            let list = self.view.resolve(list.as_bytes(), FollowLast::Yes).ok();
            list.is_some_and(|list| self.view.get(&list).is_some())
        };
        let path = String::from_utf8_lossy(&name.path);
        reading.is_lockfile() && classify::composer_lists(&path).any(is_there)
    }

    /// What files tell whatever they are called.
    fn tell_files(&self, inventory: &mut Inventory, locked: &mut Vec<Located>) {
        for entry in self.view.walk(b"") {
            let Some(file) = FileId::of(entry) else {
                continue;
            };
            let path = String::from_utf8_lossy(&entry.entry.path);
            if classify::is_left_out(&path) {
                inventory.left_out.push(path.into_owned());
            }
            if let Some(rule) = oddity(entry.entry.mode) {
                inventory.oddities.push(Oddity {
                    rule,
                    path: String::from_utf8_lossy(&entry.entry.path).into_owned(),
                    layer: self.layer(file),
                });
            }
            let whatever = [None, Some(Meaning::Passwords)];
            for fact in whatever.iter().filter_map(|m| self.facts.get(&(file, *m))) {
                let paths = (entry.entry.path.as_slice(), &[][..]);
                self.tell_fact(paths, file, fact, inventory, locked);
            }
        }
    }

    fn tell_fact(
        &self,
        (path, others): (&[u8], &[Vec<u8>]),
        file: FileId,
        fact: &Fact,
        inventory: &mut Inventory,
        locked: &mut Vec<Located>,
    ) {
        let is_there = |beside: &str| {
            let directory = path.rsplit(|b| *b == b'/').next().map_or(0, <[u8]>::len);
            let beside = [&path[..path.len() - directory], beside.as_bytes()].concat();
            let beside = self.view.resolve(&beside, FollowLast::Yes).ok();
            beside.is_some_and(|beside| self.view.get(&beside).is_some())
        };
        let beside = fact.beside.filter(|beside| !is_there(beside));
        let path = String::from_utf8_lossy(path).into_owned();
        if let Some(beside) = beside {
            let why = format!("`{beside}`, in which its table is, is not beside it");
            inventory.unread.push(format!("`/{path}`: {why}"));
        }
        if let Some(why) = &fact.gap {
            inventory
                .gaps
                .push(format!("{}: {why}", database_at(&path)));
        }
        if let Some(why) = &fact.unread {
            inventory.unread.push(format!("`/{path}`: {why}"));
        }
        let list = match fact.lockfile {
            true => locked,
            false => &mut inventory.packages,
        };
        let layer = self.layer(file);
        list.extend(fact.packages.iter().map(|package| Located {
            package: package.clone(),
            path: path.clone(),
            layer: layer.clone(),
            other_paths: shown(others),
        }));
    }

    fn distribution(&self) -> Option<super::Distribution> {
        OS_RELEASE.iter().find_map(|place| {
            let path = self.view.resolve(place.as_bytes(), FollowLast::Yes).ok()?;
            let file = FileId::of(self.view.get(&path)?)?;
            let release = Meaning::Packages(Reading::OsRelease);
            self.facts.get(&(file, Some(release)))?.distribution.clone()
        })
    }

    fn layer(&self, file: FileId) -> Digest {
        self.layers[file.layer as usize].clone()
    }
}

/// As gaps name it.
pub fn database_at(path: &str) -> String {
    format!("package database `/{path}`")
}

fn oddity(mode: u32) -> Option<OddityRule> {
    if mode & 0o4000 != 0 && mode & 0o111 != 0 {
        Some(OddityRule::SetUserId)
    } else if mode & 0o002 != 0 {
        Some(OddityRule::WorldWritable)
    } else {
        None
    }
}

/// What a lock file names and what is installed too would be told twice. Unless it is installed
/// where that file says, the package is told of with both places.
fn add_locked(packages: &mut Vec<Located>, locked: Vec<Located>) {
    let key = |l: &Located| -> (PackageKind, String, String) {
        (
            l.package.kind,
            l.package.name.clone(),
            l.package.version.clone(),
        )
    };
    let mut installed: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, located) in packages.iter().enumerate() {
        installed.entry(key(located)).or_default().push(at);
    }
    for lock in locked {
        let Some(places) = installed.get(&key(&lock)) else {
            packages.push(lock);
            continue;
        };
        if places
            .iter()
            .any(|at| is_installed_by(&lock.path, &packages[*at].path))
        {
            continue;
        }
        for at in places {
            packages[*at].other_paths.push(lock.path.clone());
            packages[*at].other_paths.extend(lock.other_paths.clone());
        }
    }
    for located in packages {
        located.other_paths.sort();
        located.other_paths.dedup();
    }
}

/// Whether a file stands where the installation by a lock file puts it: `app/node_modules/…` by
/// `app/package-lock.json`.
fn is_installed_by(lock: &str, installed: &str) -> bool {
    let directory = lock.rfind('/').map_or(0, |at| at + 1);
    let inside = installed.strip_prefix(&lock[..directory]);
    inside.is_some_and(|rest| rest.starts_with("node_modules/") || rest.starts_with("vendor/"))
}

/// As texts.
pub fn shown(paths: &[Vec<u8>]) -> Vec<String> {
    let texts = paths.iter().map(|path| String::from_utf8_lossy(path));
    texts.map(|text| text.into_owned()).collect()
}
