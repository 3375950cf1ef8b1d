//! Who a command runs as: `USER` looked up in the image's own `/etc/passwd` and `/etc/group`.

use super::accounts::{self, User};
use super::error::{Result, SandboxError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

const ROOT: &str = "root";

/// `user` is empty (root), `name`, `id`, and either with `:group`. The primary group is always
/// among the supplementary ones: a command could otherwise give it up and pass a permission that is
/// denied to it. Without a group those of `/etc/group` are there too.
///
/// # Errors
/// A name that the files do not hold.
pub(super) fn identify(user: &str, passwd: &str, group: &str) -> Result<Identity> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|g| !g.is_empty())),
        None => (user, None),
    };
    let asked = if name.is_empty() { "0" } else { name };
    let entry = find_user(asked, passwd);
    let uid = match (&entry, asked.parse::<u32>()) {
        (Some(entry), _) => entry.uid,
        (None, Ok(uid)) => uid,
        // Without any file, too.
        (None, Err(_)) if name == ROOT => 0,
        (None, Err(_)) => {
            return Err(SandboxError::NotInImage {
                what: "user",
                name: name.into(),
                file: "/etc/passwd",
            });
        }
    };
    let gid = match group_name {
        Some(group_name) => group_id(group_name, group)?,
        None => entry.as_ref().map_or(0, |e| e.gid),
    };
    let mut groups = match (&entry, group_name, user.is_empty()) {
        (Some(entry), None, false) => memberships(entry.name, group),
        _ => Vec::new(),
    };
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    let home = entry.map(|e| e.home).filter(|h| !h.is_empty());
    let home = home.unwrap_or(if uid == 0 { "/root" } else { "/" });
    Ok(Identity {
        uid,
        gid,
        groups,
        home: home.to_string(),
    })
}

/// A number is an id, even where somebody has that name.
fn find_user<'t>(asked: &str, passwd: &'t str) -> Option<User<'t>> {
    let mut users = accounts::users(passwd);
    match asked.parse::<u32>() {
        Ok(id) => users.find(|user| user.uid == id),
        Err(_) => users.find(|user| user.name == asked),
    }
}

fn group_id(asked: &str, group: &str) -> Result<u32> {
    let by_name = || accounts::groups(group).find(|group| group.name == asked);
    match asked.parse().ok().or_else(|| Some(by_name()?.gid)) {
        Some(gid) => Ok(gid),
        None if asked == ROOT => Ok(0),
        None => Err(SandboxError::NotInImage {
            what: "group",
            name: asked.into(),
            file: "/etc/group",
        }),
    }
}

fn memberships(name: &str, group: &str) -> Vec<u32> {
    let groups = accounts::groups(group).filter(|group| group.has_member(name));
    groups.map(|group| group.gid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\napp:x:100:101::/home/app:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\napp:x:101:\nvideo:x:44:root,app\nwheel:x:10:app\n";

    #[test]
    fn a_user_has_the_groups_of_etc_group() {
        let app = identify("app", PASSWD, GROUP).unwrap();
        assert_eq!(
            (app.uid, app.gid, app.groups),
            (100, 101, vec![10, 44, 101])
        );
        assert_eq!(app.home, "/home/app");
        assert_eq!(
            identify("100", PASSWD, GROUP).unwrap().groups,
            [10, 44, 101]
        );
    }

    #[test]
    fn a_user_with_a_group_has_that_one_alone() {
        let app = identify("app:video", PASSWD, GROUP).unwrap();
        assert_eq!((app.uid, app.gid, app.groups), (100, 44, vec![44]));
    }

    #[test]
    fn ids_need_no_entry_and_names_do() {
        let unknown = identify("4711", PASSWD, GROUP).unwrap();
        assert_eq!((unknown.uid, unknown.gid), (4711, 0));
        assert_eq!(unknown.home, "/");
        assert!(identify("nobody", PASSWD, GROUP).is_err());
        assert!(identify("app:nogroup", PASSWD, GROUP).is_err());
        let named = identify("root:root", "", "").unwrap();
        assert_eq!((named.uid, named.gid, named.home.as_str()), (0, 0, "/root"));
        let root = identify("", "", "").unwrap();
        assert_eq!((root.home.as_str(), root.groups), ("/root", vec![0]));
    }

    #[test]
    fn a_number_is_a_number_even_where_somebody_has_that_name() {
        let passwd = "1500:x:7:8::/seven:/bin/sh\n";
        let group = "1500:x:9:\nextra:x:10:1500\n";
        let found = identify("1500:1500", passwd, group).unwrap();
        assert_eq!((found.uid, found.gid), (1500, 1500));
        let alone = identify("1500", passwd, group).unwrap();
        assert_eq!((alone.uid, alone.gid, alone.groups), (1500, 0, vec![0]));
    }
}
