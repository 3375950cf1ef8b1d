//! Layers on top of each other: what the facts of each leave in the final tree.

use std::collections::{BTreeMap, BTreeSet};

use super::classify::{self, Meaning, OS_RELEASE, Reading};
use super::contents::{Inventory, Located, Oddity, OddityRule};
use super::distribution::Distribution;
use super::file_id::FileId;
use super::names::{Name, Names};
use super::package::PackageKind;
use super::reading::Fact;
use super::secrets::{Broken, Secret};
use super::walk::{LayerFacts, Named};
use super::{python, release, ruby};
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
        self.tell_nameless(names, &mut inventory);
        self.tell_unlisted(names, &mut inventory);
        self.tell_elsewhere(names, &mut inventory);
        self.tell_releases(&mut inventory);
        self.tell_links(names, &mut inventory);
        inventory.secrets.sort();
        inventory.secrets.dedup();
        add_locked(&mut inventory.packages, locked);
        inventory.packages.sort();
        inventory.packages.dedup();
        inventory.left_out.sort();
        inventory.left_out.dedup();
        inventory
    }

    /// What is some package and tells not which: not judged, unless the distribution's package is.
    fn tell_nameless(&self, names: &Names, inventory: &mut Inventory) {
        let lists = names.found.iter().filter_map(|name| {
            let lists = Meaning::Packages(Reading::DpkgFiles);
            (name.meaning == lists).then(|| self.facts.get(&(name.file, Some(name.meaning))))?
        });
        let owned = lists.flat_map(|fact| &fact.owned);
        let owned: BTreeSet<FileId> = owned.filter_map(|path| self.file(path)).collect();
        let by_name = names.found.iter().map(|name| {
            let fact = self.facts.get(&(name.file, Some(name.meaning)));
            (name.path.as_slice(), name.file, fact)
        });
        let by_content = self.view.walk(b"").filter_map(|entry| {
            let file = FileId::of(entry)?;
            let path = entry.entry.path.as_slice();
            Some((path, file, self.facts.get(&(file, None))))
        });
        for (path, file, fact) in by_name.chain(by_content) {
            let Some(why) = fact.and_then(|fact| fact.nameless.as_ref()) else {
                continue;
            };
            if !owned.contains(&file) && !self.is_of_workspace(path, file) {
                let path = String::from_utf8_lossy(path);
                inventory.unread.push(format!("`/{path}`: {why}"));
            }
        }
    }

    /// Packages whose files dpkg lists, and of which its status says nothing: somebody shortened it.
    fn tell_unlisted(&self, names: &Names, inventory: &mut Inventory) {
        let status = Meaning::Packages(Reading::DpkgStatus);
        let states = names.found.iter().filter(|name| name.meaning == status);
        let states = states.filter_map(|name| self.facts.get(&(name.file, Some(status))));
        let told = states.flat_map(|fact| {
            let packages = fact.packages.iter().map(|package| package.name.as_str());
            packages.chain(fact.removed.iter().map(String::as_str))
        });
        let told: BTreeSet<&str> = told.collect();
        // Without any, signs tell of it.
        if told.is_empty() {
            return;
        }
        let lists = names
            .found
            .iter()
            .map(|name| String::from_utf8_lossy(&name.path));
        let lists: BTreeSet<String> = lists
            .filter(|path| {
                let package = classify::package_of_list(path);
                package.is_some_and(|package| !told.contains(package))
            })
            .map(|path| path.into_owned())
            .collect();
        if let Some(first) = lists.first() {
            let others = match lists.len() {
                1 => String::new(),
                many => format!(" and {} further lists", many - 1),
            };
            inventory.unread.push(format!(
                "`/{first}`{others}: files of a package of which dpkg's status tells nothing"
            ));
        }
    }

    /// Files and packages that are of another release than os-release says: by which of the two would the
    /// packages be judged?
    fn tell_releases(&self, inventory: &mut Inventory) {
        let Some(distribution) = &inventory.distribution else {
            return;
        };
        let of_file = |place: &&str| -> Option<String> {
            let file = self.file(place.as_bytes())?;
            let fact = self
                .facts
                .get(&(file, Some(Meaning::Packages(Reading::Release))));
            release::contradiction(distribution, place, fact?.release.as_deref()?)
        };
        let mut others: Vec<String> = classify::RELEASES.iter().filter_map(of_file).collect();
        let packages = inventory.packages.iter().map(|located| &located.package);
        others.extend(release::contradicting_package(distribution, packages));
        let [own, other] = OS_RELEASE.map(|place| self.os_release(place));
        if let (Some(own), Some(other)) = (own, other)
            && own.ecosystems() != other.ecosystems()
            && !(own.is_rolling() && other.is_rolling())
        {
            others.push(format!("`/{}` (`{}`)", OS_RELEASE[1], other.name));
        }
        inventory.unread.extend(others.iter().map(|other| {
            let name = &distribution.name;
            format!("`/etc/os-release`: it says {name}, and {other} speaks of another release")
        }));
    }

    /// Packages of Python that were installed to be worked on, whose directory tells nothing of them.
    fn tell_links(&self, names: &Names, inventory: &mut Inventory) {
        let metadata = Meaning::Packages(Reading::PythonMetadata);
        let told = names.found.iter().filter(|name| name.meaning == metadata);
        let told: Vec<&[u8]> = told.map(|name| name.path.as_slice()).collect();
        for name in &names.found {
            let fact = self.facts.get(&(name.file, Some(name.meaning)));
            let Some(directory) = fact.and_then(|fact| fact.directory.as_deref()) else {
                continue;
            };
            let real = self.view.resolve(directory.as_bytes(), FollowLast::Yes);
            let real = real.unwrap_or_else(|_| directory.as_bytes().to_vec());
            let is_inside = |path: &&[u8]| {
                let inside = path.strip_prefix(real.as_slice());
                inside.is_some_and(|inside| inside.starts_with(b"/"))
            };
            if !told.iter().any(is_inside) {
                let path = String::from_utf8_lossy(&name.path);
                let why = format!("no `.egg-info` in `/{directory}` tells of the package");
                inventory.unread.push(format!("`/{path}`: {why}"));
            }
        }
    }

    /// Package databases of directories that are roots of their own, and what package managers installed
    /// for which there are no advisories.
    fn tell_elsewhere(&self, names: &Names, inventory: &mut Inventory) {
        let known: BTreeSet<FileId> = names.found.iter().map(|name| name.file).collect();
        for entry in self.view.walk(b"") {
            let path = String::from_utf8_lossy(&entry.entry.path);
            let is_new = || FileId::of(entry).is_some_and(|file| !known.contains(&file));
            if classify::is_of_another_root(&path) && entry.entry.size() > 0 && is_new() {
                let why = "a package database of another root directory than the image's";
                inventory.unread.push(format!("`/{path}`: {why}"));
            }
        }
        for (place, manager) in classify::FOREIGN {
            let mut beneath = self.view.walk(place.as_bytes());
            if beneath.any(|entry| FileId::of(entry).is_some()) {
                inventory.unread.push(format!(
                    "`/{place}`: installed by {manager}, for which no advisories are known"
                ));
            }
        }
    }

    /// Whether a module is a link from `node_modules` to a directory of the same project: what npm
    /// calls a workspace need have no version.
    fn is_of_workspace(&self, path: &[u8], file: FileId) -> bool {
        let text = String::from_utf8_lossy(path);
        let Some((project, _)) = text.split_once("node_modules/") else {
            return false;
        };
        let own = self.view.resolve(path, FollowLast::Yes).unwrap_or_default();
        let own = String::from_utf8_lossy(&own);
        let is_beside = !project.is_empty() && own.starts_with(project);
        is_beside && !own.contains("node_modules/") && self.file(path) == Some(file)
    }

    /// The file that a path leads to.
    fn file(&self, path: &[u8]) -> Option<FileId> {
        let path = self.view.resolve(path, FollowLast::Yes).ok()?;
        FileId::of(self.view.get(&path)?)
    }

    /// Directories of packages in which the file is missing that tells which: a
    /// directory's name may tell, too.
    fn tell_directories(&self, directories: BTreeMap<String, FileId>, inventory: &mut Inventory) {
        for (directory, file) in directories {
            let description = classify::description(&directory).unwrap_or("package.json");
            if self
                .file(format!("{directory}/{description}").as_bytes())
                .is_some()
            {
                continue;
            }
            match python::of_directory(&directory) {
                Some(package) => inventory.packages.push(Located {
                    package,
                    path: directory,
                    layer: self.layer(file),
                    other_paths: Vec::new(),
                }),
                None => inventory
                    .unread
                    .push(format!("`/{directory}`: it has no `{description}`")),
            }
        }
    }

    /// Databases and other signs of a distribution of whose packages none is known.
    pub fn signs(&self, names: &Names) -> Vec<String> {
        let databases = names.found.iter().filter(|name| match name.meaning {
            Meaning::Packages(reading) => reading.is_database(),
            Meaning::Passwords => false,
        });
        let databases = databases.map(|name| String::from_utf8_lossy(&name.path).into_owned());
        let is_there = |sign: &&str| {
            let path = self.view.resolve(sign.as_bytes(), FollowLast::Yes).ok();
            path.is_some_and(|path| self.view.get(&path).is_some())
        };
        let signs = classify::SIGNS.iter().filter(|sign| is_there(sign));
        databases.chain(signs.map(ToString::to_string)).collect()
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
        let (mut directories, mut gems) = (BTreeMap::new(), BTreeSet::new());
        for entry in self.view.walk(b"") {
            let Some(file) = FileId::of(entry) else {
                continue;
            };
            let path = String::from_utf8_lossy(&entry.entry.path);
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let directory = match classify::description(directory) {
                Some(_) => Some(directory),
                None => classify::module_of(&path),
            };
            if let Some(directory) = directory.filter(|d| !directories.contains_key(*d)) {
                directories.insert(directory.to_string(), file);
            }
            if let Some((directory, described)) = classify::gem_of(&path)
                && gems.insert(directory.to_string())
                && !described
                    .iter()
                    .any(|path| self.file(path.as_bytes()).is_some())
            {
                let gem = ruby::of_directory(directory);
                inventory.packages.extend(gem.map(|package| Located {
                    package,
                    path: directory.to_string(),
                    layer: self.layer(file),
                    other_paths: Vec::new(),
                }));
            }
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
        self.tell_directories(directories, inventory);
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

    fn distribution(&self) -> Option<Distribution> {
        let mut places = OS_RELEASE.iter();
        places.find_map(|place| self.os_release(place).cloned())
    }

    fn os_release(&self, place: &str) -> Option<&Distribution> {
        let file = self.file(place.as_bytes())?;
        let release = Meaning::Packages(Reading::OsRelease);
        self.facts
            .get(&(file, Some(release)))?
            .distribution
            .as_ref()
    }

    fn layer(&self, file: FileId) -> Digest {
        self.layers[file.layer as usize].clone()
    }
}

/// What a distribution installed and no database tells of any more.
pub fn tell_signs(signs: Vec<String>, inventory: &mut Inventory) {
    let is_of_distribution = |located: &Located| located.package.kind.is_of_distribution();
    if inventory.gaps.is_empty() && !inventory.packages.iter().any(is_of_distribution) {
        let why = "a sign of a distribution, of whose packages no database in the image names one";
        let signs = signs.into_iter().map(|path| format!("`/{path}`: {why}"));
        inventory.unread.extend(signs);
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
