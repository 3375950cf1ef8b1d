//! A store whose files were damaged: the same image, or an error that names the file and that
//! the next run mends; never another image. The same damage in every run; `DAMAGE_SEED=7`
//! chooses others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ground::images::bases;
use crate::ground::imgmake::{Imgmake, Ran};
use crate::ground::registry::Registry;
use crate::ground::{run, temporary, write};

const FLIPS: usize = 200;
/// Of each other way to damage a file.
const OTHERS: usize = 12;
const THREADS: usize = 3;

/// splitmix64.
fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed;
    move |end| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Bit(usize, u8),
    CutAt(usize),
    Emptied,
    /// Another file of the same kind under this name.
    Exchanged(PathBuf),
}

#[derive(Clone, Debug)]
struct Trial {
    number: usize,
    file: PathBuf,
    damage: Damage,
}

/// Builds and pushes an image that copies between stages; everything it makes is the same
/// each time.
fn project(directory: &Path, to: &str, repository: &str) {
    let host = &bases().host;
    let dockerfile = format!(
        "FROM {host}/library/busybox:latest AS a\nCOPY src /src\nRUN cat /src/* > /all\n\
         FROM {host}/library/busybox:latest\nCOPY --from=a --chown=user /all /bin/sh /got/\n\
         RUN ls -l /got > /list && chmod 4755 /got/sh\nLABEL done=1\n"
    );
    let manifest = format!(
        "imgmake version=1 {{ epoch 1700000000 }}\nregistry base \"{host}\" {{ insecure #true }}\n\
         registry to \"{to}\" {{ insecure #true }}\n\
         build app {{ context \".\"; tags \"acme/app:1\"; tar \"out.tar\" format=oci }}\n\
         push release {{ images app; to to {{ repository \"{repository}\"; tags \"1\" }} }}\n\
         group default app release\n"
    );
    write(directory, "Dockerfile", dockerfile);
    write(directory, "imgmake.kdl", manifest);
    write(directory, "src/one", "one\n".repeat(1000));
    write(directory, "src/two", "two\n".repeat(1000));
}

/// Files by kind, relative to the store; the content of unpacked layers is not verified.
fn kinds(store: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let found = run("find", &[store.to_str().unwrap(), "-type", "f"]);
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for line in found.lines() {
        let path = Path::new(line).strip_prefix(store).unwrap().to_path_buf();
        let top = path.iter().next().unwrap().to_str().unwrap().to_string();
        let is_record = path.ends_with("implied") && path.components().count() == 4;
        match top.as_str() {
            "blobs" | "indexes" | "layers" | "steps" | "images" => {}
            "trees" if is_record => {}
            _ => continue,
        }
        kinds.entry(top).or_default().push(path);
    }
    kinds.values_mut().for_each(|files| files.sort());
    kinds
}

fn trials(store: &Path) -> Vec<Trial> {
    let seed = std::env::var("DAMAGE_SEED").map_or(1, |text| text.parse().unwrap());
    eprintln!("DAMAGE_SEED={seed}");
    let mut dice = random(seed);
    let kinds: Vec<Vec<PathBuf>> = kinds(store).into_values().collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    let mut trials = Vec::new();
    for number in 0..FLIPS + 3 * OTHERS {
        let kind = &kinds[number % kinds.len()];
        let file = kind[dice(kind.len())].clone();
        let length = fs::metadata(store.join(&file)).unwrap().len() as usize;
        let others: Vec<&PathBuf> = kind.iter().filter(|other| **other != file).collect();
        let damage = match number.checked_sub(FLIPS).map(|other| other % 3) {
            None => Damage::Bit(dice(length), 1 << dice(8)),
            Some(0) => Damage::CutAt(dice(length)),
            Some(1) if !others.is_empty() => Damage::Exchanged(others[dice(others.len())].clone()),
            Some(_) => Damage::Emptied,
        };
        trials.push(Trial {
            number,
            file,
            damage,
        });
    }
    trials
}

fn inflict(trial: &Trial, store: &Path) {
    let path = store.join(&trial.file);
    let mut bytes = fs::read(&path).unwrap();
    match &trial.damage {
        Damage::Bit(at, bit) => bytes[*at] ^= bit,
        Damage::CutAt(length) => bytes.truncate(*length),
        Damage::Emptied => bytes.clear(),
        Damage::Exchanged(other) => bytes = fs::read(store.join(other)).unwrap(),
    }
    fs::write(path, bytes).unwrap();
}

/// A store to be copied, and what comes of it.
struct Ground {
    _keep: tempfile::TempDir,
    store: PathBuf,
    tar: Vec<u8>,
    digest: String,
    registry: Registry,
}

impl Ground {
    fn new() -> Ground {
        let (keep, registry) = (temporary(), Registry::start());
        let imgmake = Imgmake::new();
        let directory = keep.path().join("project");
        project(&directory, &registry.host, "app/first");
        imgmake.ok(&directory, &[]);
        let store = keep.path().join("store");
        run("cp", &["-a", path(&imgmake.store()), path(&store)]);
        Ground {
            store,
            tar: fs::read(directory.join("out.tar")).unwrap(),
            digest: registry.digest("app/first", "1").unwrap(),
            registry,
            _keep: keep,
        }
    }

    /// What is wrong with how the damage was met, and whether it was named.
    fn try_out(&self, trial: &Trial, imgmake: &Imgmake) -> Result<bool, String> {
        let store = imgmake.store();
        run("rm", &["-rf", path(&store)]);
        run("cp", &["-a", path(&self.store), path(&store)]);
        inflict(trial, &store);
        let directory = temporary();
        let repository = format!("app/t{}", trial.number);
        project(directory.path(), &self.registry.host, &repository);
        let run = || imgmake.run(directory.path(), &[]);
        let first = run();
        let named = first.stderr.contains("is damaged") || first.stdout.contains("is damaged");
        if first.code != 0 {
            if !named {
                return Err(format!(
                    "an error that does not say what is damaged: {first:?}"
                ));
            }
            let second = run();
            if second.code != 0 {
                return Err(format!("no rerun ends it: {first:?} {second:?}"));
            }
        }
        self.compare(directory.path(), &repository, &first)?;
        Ok(named)
    }

    fn compare(&self, directory: &Path, repository: &str, ran: &Ran) -> Result<(), String> {
        if fs::read(directory.join("out.tar")).ok().as_ref() != Some(&self.tar) {
            return Err(format!("another image in the archive: {ran:?}"));
        }
        match self.registry.digest(repository, "1") {
            Some(digest) if digest == self.digest => Ok(()),
            other => Err(format!("another image was pushed, {other:?}: {ran:?}")),
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_damaged_store_gives_the_same_image_or_says_what_is_damaged() {
    let ground = Ground::new();
    let trials = trials(&ground.store);
    let (next, named) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let imgmake = Imgmake::new();
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match ground.try_out(trial, &imgmake) {
                        Ok(was_named) => drop(named.fetch_add(was_named.into(), Ordering::SeqCst)),
                        Err(why) => wrong.lock().unwrap().push(format!("{trial:?}: {why}")),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let all = trials.len();
    assert!(
        wrong.is_empty(),
        "{} of {all}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // Otherwise nothing that was damaged was ever read.
    let named = named.into_inner();
    assert!(named > all / 4, "{named} of {all} were noticed");
}
