//! The directory of a store: nobody else gets in, and nobody else can put another in its place.
//!
//! Setuid programs of images lie below it, and what is there becomes what root builds. So the
//! directory is 0700 whatever was there, and refused where that cannot be.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use crate::error::{Context, OciError, Result};

use imgmake_guard::modes::{self, PRIVATE};

/// Links to links: more are a loop.
const MOST_LINKS: usize = 40;
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// What a directory may hold that is empty but for it: the key of MACs may be made before the store.
const NOTHING: [&str; 2] = ["lost+found", "key"];

/// Who else works where the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbors {
    /// A machine: other users may have programs running.
    Possible,
    /// A container of one image: whoever shares its volumes shares the pipeline.
    None,
}

/// What is done with what a store holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// It counts: nobody else may have written it.
    Believed,
    /// It counts as far as it is proven, whoever wrote it.
    Proven,
}

impl Neighbors {
    /// The root of a container is an overlay, of a machine it is not.
    pub(super) fn here() -> Neighbors {
        const OVERLAY: i64 = 0x794c_7630;
        match rustix::fs::statfs("/") {
            Ok(root) if root.f_type == OVERLAY => Neighbors::None,
            _ => Neighbors::Possible,
        }
    }
}

/// Makes the directory, or makes the one that is there private. Gives its path without links.
///
/// # Errors
/// It cannot be kept from others; the message says why, and what to do.
pub(super) fn prepare(root: &Path, content: Content, neighbors: Neighbors) -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let place = Place {
        user,
        content,
        neighbors,
    };
    let root = place.resolve(&std::path::absolute(root)?)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE)
        .create(&root)?;
    place.close(&root)?;
    for directory in ["blobs"].iter().chain(&DIRECTORIES) {
        place.inner(&root.join(directory))?;
    }
    Ok(root)
}

struct Place {
    user: u32,
    content: Content,
    neighbors: Neighbors,
}

impl Place {
    /// Follows links that nobody else made, through directories that nobody else can change.
    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let mut left: Vec<PathBuf> = parts(path);
        let mut at = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            self.no_one_else_changes(&at)?;
            let next = at.join(&part);
            let meta = match fs::symlink_metadata(&next) {
                Ok(meta) => meta,
                // Made by us then.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    at = next;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !meta.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                let link = format!("link `{}`", path.display());
                return Err(OciError::invalid(link, "it leads back to itself"));
            }
            if !self.is_trusted(meta.uid()) {
                let why = format!(
                    "`{}` is a link that user {} made, who can point it elsewhere at any time",
                    next.display(),
                    meta.uid()
                );
                return Err(OciError::untrusted(why, "name the directory itself"));
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            left.extend(parts(&target));
        }
        Ok(at)
    }

    /// Who may rename what is in a directory may put another store in the place of ours.
    fn no_one_else_changes(&self, directory: &Path) -> Result<()> {
        if self.neighbors == Neighbors::None {
            return Ok(());
        }
        let meta = match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            meta => meta?,
        };
        if !self.is_trusted(meta.uid()) {
            let why = format!(
                "the directory `{}` above it belongs to user {}, who can replace it",
                directory.display(),
                meta.uid()
            );
            let help = "choose a directory below one of your own";
            return Err(OciError::untrusted(why, help));
        }
        if meta.mode() & STICKY == 0 && self.others_write(&meta) {
            let directory = directory.display();
            let why = format!(
                "other users may write to the directory `{directory}` above it, and so can replace it"
            );
            let help = format!(
                "`chmod go-w '{directory}'` removes that right, or choose a directory below one of your own"
            );
            return Err(OciError::untrusted(why, help));
        }
        Ok(())
    }

    fn is_trusted(&self, owner: u32) -> bool {
        owner == 0 || owner == self.user || (owner == OVERFLOW && is_in_user_namespace())
    }

    /// Whether anybody but the owner and root may write, as the mode has it.
    fn others_write(&self, meta: &Metadata) -> bool {
        meta.mode() & OTHERS_WRITE != 0
            || (meta.mode() & GROUP_WRITES != 0 && !is_group_of_one(meta.gid(), self.user))
    }

    /// Takes everybody else's rights to the directory itself.
    fn close(&self, root: &Path) -> Result<()> {
        let meta = fs::symlink_metadata(root)?;
        if meta.uid() != self.user {
            let why = format!(
                "it belongs to user {}, and this is user {}: sharing a store would let one user choose \
                 what the other builds",
                meta.uid(),
                self.user
            );
            let help = "name a directory of your own, which may be inside this one";
            return Err(OciError::untrusted(why, help));
        }
        if meta.mode() & 0o077 == 0 {
            return Ok(());
        }
        let empty = is_empty(root)?;
        if !empty && !is_store(root) {
            let obstacle = "the directory contains other files, and other users can access it";
            let new = root.join("imgmake");
            let help = format!("name an empty or a new one, such as `{}`", new.display());
            return Err(OciError::conflict(obstacle, help));
        }
        let believed = self.content == Content::Believed;
        if !empty && believed && self.others_write(&meta) && self.neighbors == Neighbors::Possible {
            let why = format!(
                "other users could write to it (its mode is {:o}), so its content cannot be trusted",
                meta.mode() & 0o7777
            );
            let remove = format!("remove it (`rm -r '{}'`)", root.display());
            let help = format!("{remove}: imgmake builds again what it needs");
            return Err(OciError::untrusted(why, help));
        }
        make_private(&open_directory(root)?)
    }

    /// A directory of the store, made if need be.
    fn inner(&self, path: &Path) -> Result<()> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => modes::make_dirs(path, PRIVATE)?,
            Err(error) => return Err(error.into()),
            Ok(meta) if !meta.is_dir() || meta.uid() != self.user => {
                let (path, user) = (path.display(), self.user);
                let why = format!("`{path}` is not a directory of user {user}");
                return Err(OciError::untrusted(why, "remove it"));
            }
            Ok(meta) if meta.mode() & 0o077 != 0 => make_private(&open_directory(path)?)?,
            Ok(_) => {}
        }
        Ok(())
    }
}

/// In reverse, to be taken from the end.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut parts: Vec<PathBuf> = parts.collect();
    parts.reverse();
    parts
}

fn open_directory(path: &Path) -> Result<File> {
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW;
    Ok(File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?)
}

fn make_private(directory: &File) -> Result<()> {
    directory
        .set_permissions(fs::Permissions::from_mode(PRIVATE))
        .context("other users can enter it, and its mode cannot be changed")?;
    let mode = directory.metadata()?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let why = format!(
            "other users can enter it, and its file system does not store modes (it is still {mode:o})"
        );
        let help = "choose a directory on another file system";
        return Err(OciError::untrusted(why, help));
    }
    Ok(())
}

fn is_empty(directory: &Path) -> Result<bool> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if NOTHING.iter().all(|known| name != *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_store(root: &Path) -> bool {
    ["blobs/sha256", "steps", "tmp"]
        .iter()
        .all(|directory| root.join(directory).is_dir())
        && root.join("lock").is_file()
}

/// What stands for ids that a user namespace does not know.
const OVERFLOW: u32 = 65534;

fn is_in_user_namespace() -> bool {
    let whole = ["0", "0", "4294967295"];
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| !map.split_whitespace().eq(whole.iter().copied()))
}

/// Where every user has a group of the same name, a directory that its group may write to is
/// still the user's own. Root's group is root's.
fn is_group_of_one(group: u32, user: u32) -> bool {
    if group == 0 {
        return true;
    }
    let (Ok(groups), Ok(users)) = (
        fs::read_to_string("/etc/group"),
        fs::read_to_string("/etc/passwd"),
    ) else {
        return false;
    };
    has_no_other_members(&groups, &users, group, user)
}

fn has_no_other_members(groups: &str, users: &str, group: u32, user: u32) -> bool {
    let number = |field: Option<&str>| field.and_then(|text| text.parse::<u32>().ok());
    let mut name = None;
    for line in users.lines() {
        let mut fields = line.split(':');
        let login = fields.next().unwrap_or_default();
        let (id, own) = (number(fields.nth(1)), number(fields.next()));
        if id == Some(user) {
            name = Some(login);
        } else if own == Some(group) {
            return false;
        }
    }
    let listed = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (number(fields.nth(2)) == Some(group)).then(|| fields.next().unwrap_or_default())
    });
    // A group that is in no file comes from elsewhere, with members that nobody can tell here.
    listed.is_some_and(|members| {
        members
            .split(',')
            .map(str::trim)
            .all(|member| member.is_empty() || Some(member) == name)
    })
}

pub(super) const DIRECTORIES: [&str; 10] = [
    "blobs/sha256",
    "blocks",
    "indexes",
    "layers",
    "steps",
    "images",
    "trees",
    "cache",
    "db",
    "tmp",
];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn opened(root: &Path, neighbors: Neighbors) -> Result<PathBuf> {
        prepare(root, Content::Believed, neighbors)
    }

    fn refused(root: &Path, neighbors: Neighbors) -> String {
        format!("{:#}", opened(root, neighbors).unwrap_err())
    }

    #[test]
    fn a_directory_that_was_there_and_empty_becomes_private() {
        let keep = directory();
        let root = keep.path().join("volume");
        fs::create_dir_all(root.join("lost+found")).unwrap();
        chmod(&root, 0o777);
        assert_eq!(opened(&root, Neighbors::Possible).unwrap(), root);
        assert_eq!(mode(&root), 0o700);
        for inner in DIRECTORIES {
            assert_eq!(mode(&root.join(inner)), 0o700, "{inner}");
        }
    }

    #[test]
    fn a_store_that_others_could_read_is_closed_with_all_that_is_in_it() {
        let keep = directory();
        let root = keep.path().join("store");
        opened(&root, Neighbors::Possible).unwrap();
        fs::write(root.join("lock"), "").unwrap();
        chmod(&root, 0o755);
        chmod(&root.join("trees"), 0o777);
        opened(&root, Neighbors::Possible).unwrap();
        assert_eq!((mode(&root), mode(&root.join("trees"))), (0o700, 0o700));
    }

    #[test]
    fn a_store_that_others_could_write_to_is_not_believed_where_there_are_others() {
        let keep = directory();
        let root = keep.path().join("store");
        opened(&root, Neighbors::Possible).unwrap();
        fs::write(root.join("lock"), "").unwrap();
        chmod(&root, 0o757);
        let told = refused(&root, Neighbors::Possible);
        assert!(told.contains("cannot be trusted"), "{told}");
        assert!(
            told.contains(&format!("rm -r '{}'", root.display())),
            "{told}"
        );
        // What counts as far as it is proven may come from anybody.
        prepare(&root, Content::Proven, Neighbors::Possible).unwrap();
        assert_eq!(mode(&root), 0o700);
        chmod(&root, 0o757);
        // In a container whoever wrote there was of the same pipeline.
        opened(&root, Neighbors::None).unwrap();
        assert_eq!(mode(&root), 0o700);
    }

    #[test]
    fn a_directory_with_other_things_in_it_keeps_its_mode() {
        let keep = directory();
        let root = keep.path().join("home");
        fs::create_dir_all(root.join("documents")).unwrap();
        chmod(&root, 0o755);
        let told = refused(&root, Neighbors::None);
        assert!(told.contains("contains other files"), "{told}");
        assert_eq!(mode(&root), 0o755);
    }

    #[test]
    fn a_store_below_a_directory_of_everybody_is_refused() {
        let keep = directory();
        let open = keep.path().join("open");
        fs::create_dir(&open).unwrap();
        chmod(&open, 0o777);
        let told = refused(&open.join("a/store"), Neighbors::Possible);
        assert!(
            told.contains(&format!("chmod go-w '{}'", open.display())),
            "{told}"
        );
        assert!(!open.join("a").exists());
        // As in `/tmp`, where nobody renames what belongs to others.
        chmod(&open, 0o1777);
        opened(&open.join("a/store"), Neighbors::Possible).unwrap();
        // A container's workspace is often everybody's.
        chmod(&open, 0o777);
        opened(&open.join("a/store"), Neighbors::None).unwrap();
    }

    #[test]
    fn links_lead_to_a_store_but_not_in_circles() {
        let keep = directory();
        let root = keep.path().join("there");
        symlink("there/../there", keep.path().join("link")).unwrap();
        let by_link = keep.path().join("link/store");
        assert_eq!(
            opened(&by_link, Neighbors::Possible).unwrap(),
            root.join("store")
        );
        symlink("two", keep.path().join("one")).unwrap();
        symlink("one", keep.path().join("two")).unwrap();
        let told = refused(&keep.path().join("one/store"), Neighbors::Possible);
        assert!(told.contains("leads back to itself"), "{told}");
    }

    #[test]
    fn directories_of_a_store_are_no_links() {
        let keep = directory();
        let root = keep.path().join("store");
        opened(&root, Neighbors::Possible).unwrap();
        fs::remove_dir(root.join("steps")).unwrap();
        symlink("/", root.join("steps")).unwrap();
        let told = refused(&root, Neighbors::Possible);
        assert!(told.contains("is not a directory of user"), "{told}");
    }

    #[test]
    fn a_group_that_holds_its_user_alone_is_the_user() {
        let users =
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:50::/:/bin/sh\n";
        let groups = "root:x:0:\nann:x:1000:\nstaff:x:50:\nteam:x:60:ann,bob\nown:x:61:ann\n";
        let alone = |group| has_no_other_members(groups, users, group, 1000);
        assert!(alone(1000) && alone(61));
        assert!(!alone(50) && !alone(60) && !alone(4711));
    }
}
