//! The directories behind cache mounts: where each is, and which of them there are.
//!
//! `data` in such a directory is what a RUN sees; beside it lie a lock, and `about`,
//! which says whose cache this is.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Store;
use super::usage::{entries, measure};

const ABOUT: &str = "about";
/// Ids and paths are short; a longer description is not one of ours.
const LONGEST: u64 = 64 << 10;

/// One cache mount of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMount {
    /// As the Dockerfile says it; `None` for one that was made before caches had descriptions.
    pub id: Option<String>,
    /// The project's directory; `None` is a cache that all builds of the user share.
    pub project: Option<String>,
    /// As far as this user may read it.
    pub bytes: u64,
    pub path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct About {
    id: String,
    project: Option<String>,
}

impl Store {
    /// The directory behind a cache mount: of a project's builds alone, or of all the user's.
    pub fn cache_mount_path(&self, id_map: &str, project: Option<&str>, id: &str) -> PathBuf {
        let name = match project {
            // Both lengths are in the hash: no project and id look like another pair.
            Some(project) => {
                let mut hasher = blake3::Hasher::new();
                for part in ["project", project, id] {
                    hasher.update(&(part.len() as u64).to_le_bytes());
                    hasher.update(part.as_bytes());
                }
                hasher.finalize()
            }
            None => blake3::hash(id.as_bytes()),
        };
        let directory = self.inner.mounts.directory(self.root(), "cache", id_map);
        directory.join(&name.to_hex().as_str()[..32])
    }

    /// Every cache mount, by project and id.
    pub fn cache_mounts(&self) -> Vec<CacheMount> {
        let maps = entries(&self.root().join("cache"));
        let mut found: Vec<CacheMount> = maps
            .iter()
            .flat_map(|map| entries(&map.path))
            .map(|item| {
                let about = read(&item.path);
                CacheMount {
                    bytes: measure(&item.path).0,
                    path: item.path,
                    project: about.as_ref().and_then(|about| about.project.clone()),
                    id: about.map(|about| about.id),
                }
            })
            .collect();
        found.sort_by(|a, b| (&a.project, &a.id, &a.path).cmp(&(&b.project, &b.id, &b.path)));
        found
    }
}

/// Writes beside a cache whose it is, once.
///
/// # Errors
/// The store cannot be written.
pub fn describe_cache_mount(path: &Path, project: Option<&str>, id: &str) -> io::Result<()> {
    let about = About {
        // What follows tells instances of a cache apart.
        id: id.split('\0').next().unwrap_or_default().to_string(),
        project: project.map(str::to_string),
    };
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path.join(ABOUT));
    match made {
        Ok(mut file) => file.write_all(&crate::image::to_json(&about)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Option<About> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path.join(ABOUT))
        .ok()?;
    if !fs::File::metadata(&file).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_belongs_to_a_project_or_to_the_user_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let places = [
            (Some("/a"), "npm"),
            (Some("/b"), "npm"),
            (Some("/a"), "go"),
            (None, "npm"),
            (None, "project/anpm"),
        ];
        let paths: Vec<PathBuf> = places
            .iter()
            .map(|(project, id)| store.cache_mount_path("root", *project, id))
            .collect();
        for (at, (project, id)) in places.iter().enumerate() {
            assert!(!paths[..at].contains(&paths[at]), "{project:?} {id}");
            fs::create_dir_all(&paths[at]).unwrap();
            describe_cache_mount(&paths[at], *project, id).unwrap();
            // A second step of the same cache finds it described.
            describe_cache_mount(&paths[at], *project, id).unwrap();
        }
        let instance = store.cache_mount_path("root", Some("/a"), "npm\u{0}1");
        fs::create_dir_all(&instance).unwrap();
        describe_cache_mount(&instance, Some("/a"), "npm\u{0}1").unwrap();
        let nameless = store.cache_mount_path("root", None, "old");
        fs::create_dir_all(&nameless).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", nameless.join(ABOUT)).unwrap();
        let listed: Vec<(Option<String>, Option<String>)> = store
            .cache_mounts()
            .into_iter()
            .map(|cache| (cache.project, cache.id))
            .collect();
        let (a, b) = (Some("/a".to_string()), Some("/b".to_string()));
        let named = |id: &str| Some(id.to_string());
        assert_eq!(
            listed,
            [
                (None, None),
                (None, named("npm")),
                (None, named("project/anpm")),
                (a.clone(), named("go")),
                (a.clone(), named("npm")),
                (a, named("npm")),
                (b, named("npm")),
            ]
        );
    }
}
