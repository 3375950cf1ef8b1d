//! The lines of an image's `/etc/passwd` and `/etc/group`. What is no account is passed by, as the
//! C library does.

/// A line of `/etc/passwd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'t> {
    pub name: &'t str,
    pub uid: u32,
    pub gid: u32,
    /// Empty where the line has none.
    pub home: &'t str,
}

/// A line of `/etc/group`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'t> {
    pub name: &'t str,
    pub gid: u32,
    /// Names with commas between them.
    members: &'t str,
}

impl Group<'_> {
    pub fn has_member(&self, name: &str) -> bool {
        self.members.split(',').any(|member| member == name)
    }
}

pub fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some(User {
            name: fields.next()?,
            uid: fields.nth(1)?.trim().parse().ok()?,
            gid: fields.next()?.trim().parse().ok()?,
            home: fields.nth(1).unwrap_or_default(),
        })
    })
}

pub fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some(Group {
            name: fields.next()?,
            gid: fields.nth(1)?.trim().parse().ok()?,
            members: fields.next().unwrap_or_default(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_account_are_passed_by() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\n+::::::\nwww:x:33: 44\n:x:a:b\n";
        let found: Vec<User> = users(passwd).collect();
        let user = |name, uid, gid, home| User {
            name,
            uid,
            gid,
            home,
        };
        assert_eq!(
            found,
            [user("root", 0, 0, "/root"), user("www", 33, 44, "")]
        );
        let group = "root:x:0:\nstaff:x:50:www,app\nshort:x:7\nbroken:x\n";
        let found: Vec<(&str, u32)> = groups(group).map(|g| (g.name, g.gid)).collect();
        assert_eq!(found, [("root", 0), ("staff", 50), ("short", 7)]);
        let staff = groups(group).nth(1).unwrap();
        assert!(staff.has_member("app") && !staff.has_member("ap"));
    }
}
