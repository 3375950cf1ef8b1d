//! Paths that a build's layers leave out.

use imgmake_core::fingerprint::{Bytes, Fingerprint, LengthPrefixedHasher};
use imgmake_oci::layer::{Whiteout, clean};

/// What a build changes at or beneath these paths is in no layer of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoredPaths(Vec<Vec<u8>>);

impl Fingerprint for IgnoredPaths {
    fn fingerprint(&self, hasher: &mut LengthPrefixedHasher) {
        let Self(paths) = self;
        hasher.list(paths.iter().map(|path| Bytes(path)));
    }
}

impl IgnoredPaths {
    /// Absolute paths of the image.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> IgnoredPaths {
        let mut paths: Vec<Vec<u8>> = paths.into_iter().map(|p| clean(p.as_bytes())).collect();
        paths.sort();
        paths.dedup();
        IgnoredPaths(paths)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn display(&self) -> String {
        let paths = self.0.iter();
        imgmake_guard::printable::list(paths.map(|p| format!("/{}", String::from_utf8_lossy(p))))
    }

    /// Whether an entry of a layer is left out; a whiteout counts as what it removes.
    pub fn hold(&self, path: &[u8]) -> bool {
        let meant = match Whiteout::parse(path) {
            Some(Whiteout::Removes(path) | Whiteout::Opaque(path)) => path,
            Some(Whiteout::Reserved) | None => path.to_vec(),
        };
        let beneath = |ignored: &Vec<u8>| {
            let rest = meant.strip_prefix(ignored.as_slice());
            rest.is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'))
        };
        self.0.iter().any(beneath)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_holds_itself_and_what_is_beneath_it() {
        let paths = IgnoredPaths::new(["/var/run", "/tmp/x/../y/"]);
        for (path, held) in [
            ("var/run", true),
            ("var/run/app.pid", true),
            ("var/runner", false),
            ("var", false),
            ("run", false),
            ("tmp/y/z", true),
            ("tmp/x", false),
            ("var/.wh.run", true),
            ("var/run/.wh.app.pid", true),
            ("var/run/.wh..wh..opq", true),
            ("var/.wh..wh..opq", false),
            (".wh.var", false),
        ] {
            assert_eq!(paths.hold(path.as_bytes()), held, "{path}");
        }
    }
}
