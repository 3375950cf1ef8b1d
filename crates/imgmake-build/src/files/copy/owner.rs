//! `--chown`: names looked up in the image's own `/etc/passwd` and `/etc/group`. The user of a RUN is
//! found in the sandbox (`imgmake_sandbox`, `user`).

use crate::error::{BuildError, Result};
use imgmake_sandbox::accounts::{groups, users};

/// The two files as the image has them; empty when it has none.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    pub passwd: Vec<u8>,
    pub group: Vec<u8>,
}

/// Ids, and the names that the image does not have, for which others stand in.
#[derive(Debug, PartialEq, Eq)]
pub struct Owner {
    pub ids: (u64, u64),
    pub unknown: Vec<UnknownName>,
}

/// A name in no file of the image.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownName {
    what: &'static str,
    name: String,
    file: &'static str,
    /// As in BuildKit: 0, and for a group the one that the user has without it.
    instead: u64,
}

impl UnknownName {
    pub fn warning(&self) -> String {
        let UnknownName {
            what,
            name,
            file,
            instead,
        } = self;
        format!("{what} `{name}` not found in the image's {file}: {instead} is set instead")
    }

    pub fn into_error(self) -> BuildError {
        BuildError::not_found(
            format!("{} `{}`", self.what, self.name),
            format!(
                "it is not in the image's {}; add it before, or write its number",
                self.file
            ),
        )
    }
}

/// What a name of an owner that the image does not have comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownNames {
    /// In Dockerfiles, as with BuildKit: a warning, and root.
    Root,
    /// In steps of a manifest.
    Refused,
}

/// `user[:group]`, each a name or a number.
///
/// # Errors
/// A number that no id can be.
pub fn resolve(text: &str, accounts: &Accounts) -> Result<Owner> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, (!group.is_empty()).then_some(group)),
        None => (text, None),
    };
    let mut unknown = Vec::new();
    let (uid, primary) = match number(user) {
        // A number without a group: the group is that number too.
        Some(uid) => (uid, uid),
        None if user.is_empty() => (0, 0),
        None => {
            let passwd = String::from_utf8_lossy(&accounts.passwd);
            let found = users(&passwd).find(|found| found.name == user);
            match found {
                Some(found) => (found.uid.into(), found.gid.into()),
                None => {
                    unknown.push(not_found("user", user, "/etc/passwd", 0)?);
                    (0, 0)
                }
            }
        }
    };
    let gid = match group.map(|group| (group, number(group))) {
        None => primary,
        Some((_, Some(gid))) => gid,
        Some((group, None)) => {
            let lines = String::from_utf8_lossy(&accounts.group);
            let found = groups(&lines).find(|found| found.name == group);
            match found {
                Some(found) => found.gid.into(),
                None => {
                    unknown.push(not_found("group", group, "/etc/group", primary)?);
                    primary
                }
            }
        }
    };
    Ok(Owner {
        ids: (uid, gid),
        unknown,
    })
}

/// Whether a look-up in the image is needed at all.
pub fn needs_accounts(text: &str) -> bool {
    text.split(':')
        .any(|part| !part.is_empty() && number(part).is_none())
}

/// `root` is 0, whatever the files say.
fn number(text: &str) -> Option<u64> {
    match text {
        "root" => Some(0),
        text => text.parse::<u32>().ok().map(u64::from),
    }
}

fn not_found(
    what: &'static str,
    name: &str,
    file: &'static str,
    instead: u64,
) -> Result<UnknownName> {
    if name.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BuildError::invalid(
            format!("{what} `{name}`"),
            format!("numbers go up to {}", u32::MAX),
        ));
    }
    Ok(UnknownName {
        what,
        name: name.to_string(),
        file,
        instead,
    })
}

/// Refuses what is no owner before anything is looked up.
///
/// # Errors
/// More than one colon.
pub fn check(text: &str) -> Result<()> {
    if text.split(':').count() > 2 || text.trim().is_empty() {
        return Err(BuildError::invalid(
            format!("owner `{text}`"),
            "expected `user`, `user:group` or numbers",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_resolved_as_documented() {
        let accounts = Accounts {
            passwd: b"root:x:0:0::/root:/bin/sh\nwww:x:33:44:,,,:/var/www:/bin/false\n".to_vec(),
            group: b"root:x:0:\nstaff:x:50:www\n".to_vec(),
        };
        for (text, owner) in [
            ("www", (33, 44)),
            ("www:staff", (33, 50)),
            ("www:7", (33, 7)),
            ("12", (12, 12)),
            ("12:34", (12, 34)),
            ("12:staff", (12, 50)),
            ("0:0", (0, 0)),
            ("root", (0, 0)),
            ("12:root", (12, 0)),
        ] {
            let found = resolve(text, &accounts).unwrap();
            assert_eq!((found.ids, found.unknown), (owner, Vec::new()), "{text}");
        }
        let none = Accounts::default();
        assert!(resolve("root:root", &none).unwrap().unknown.is_empty());
        for (text, owner, unknown) in [
            ("nobody", (0, 0), &["user `nobody`"][..]),
            ("nobody:staff", (0, 50), &["user `nobody`"]),
            ("www:x", (33, 44), &["group `x`"]),
            ("12:x", (12, 12), &["group `x`"]),
            ("a:b", (0, 0), &["user `a`", "group `b`"]),
        ] {
            let found = resolve(text, &accounts).unwrap();
            assert_eq!(found.ids, owner, "{text}");
            let warnings: Vec<String> = found.unknown.iter().map(UnknownName::warning).collect();
            assert_eq!(warnings.len(), unknown.len());
            for (warning, begin) in warnings.iter().zip(unknown) {
                assert!(warning.starts_with(begin), "{warning}");
            }
        }
        assert!(resolve("99999999999", &accounts).is_err());
    }
}
