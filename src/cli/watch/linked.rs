//! Directories that links among the inputs lead to, and the names under which their files count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Default)]
pub struct Linked(BTreeMap<PathBuf, BTreeSet<PathBuf>>);

impl Linked {
    pub fn add(&mut self, directory: &Path, link: &Path) {
        let links = self.0.entry(directory.to_path_buf()).or_default();
        links.insert(link.to_path_buf());
    }

    pub fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }

    pub fn has(&self, link: &Path) -> bool {
        self.0.values().any(|links| links.contains(link))
    }

    /// What a path is called by way of each link that leads to it or to a directory above it.
    pub fn names(&self, path: &Path) -> Vec<PathBuf> {
        let mut names = Vec::new();
        for above in path.ancestors() {
            let Some(links) = self.0.get(above) else {
                continue;
            };
            let inside = path.strip_prefix(above).unwrap_or(Path::new(""));
            names.extend(links.iter().map(|link| match inside.as_os_str() {
                // With an empty word joined to it, it would end with a slash.
                empty if empty.is_empty() => link.clone(),
                _ => link.join(inside),
            }));
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_name_for_each_way_to_it() {
        let mut linked = Linked::default();
        linked.add(Path::new("/p/lib"), Path::new("/p/web/a"));
        linked.add(Path::new("/p/lib"), Path::new("/p/web/b"));
        linked.add(Path::new("/p/lib/in"), Path::new("/p/c"));
        let names = |path: &str| -> Vec<String> {
            let names = linked.names(Path::new(path)).into_iter();
            names.map(|name| name.display().to_string()).collect()
        };
        assert_eq!(names("/p/lib"), ["/p/web/a", "/p/web/b"]);
        assert_eq!(
            names("/p/lib/in/x"),
            ["/p/c/x", "/p/web/a/in/x", "/p/web/b/in/x"]
        );
        assert!(names("/p/library").is_empty());
        assert!(linked.has(Path::new("/p/c")) && !linked.has(Path::new("/p/lib")));
    }
}
