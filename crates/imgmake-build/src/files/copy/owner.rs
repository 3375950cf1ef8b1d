//! `--chown` and `USER`: names looked up in the image's own `/etc/passwd` and `/etc/group`.

use crate::error::{BuildError, Result};

/// The two files as the image has them; empty when it has none.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    pub passwd: Vec<u8>,
    pub group: Vec<u8>,
}

/// `user[:group]`, each a name or a number.
///
/// # Errors
/// A name that the image does not know.
pub fn resolve(text: &str, accounts: &Accounts) -> Result<(u64, u64)> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, (!group.is_empty()).then_some(group)),
        None => (text, None),
    };
    let (uid, primary) = match number(user) {
        // A number without a group: the group is that number too.
        Some(uid) => (uid, uid),
        None if user.is_empty() => (0, 0),
        None => named(&accounts.passwd, user)
            .and_then(|fields| Some((field(&fields, 2)?, field(&fields, 3)?)))
            .ok_or_else(|| unknown("user", user, "/etc/passwd"))?,
    };
    let gid = match group {
        None => primary,
        Some(group) => match number(group) {
            Some(gid) => gid,
            None => named(&accounts.group, group)
                .and_then(|fields| field(&fields, 2))
                .ok_or_else(|| unknown("group", group, "/etc/group"))?,
        },
    };
    Ok((uid, gid))
}

/// Whether a look-up in the image is needed at all.
pub fn needs_accounts(text: &str) -> bool {
    text.split(':')
        .any(|part| !part.is_empty() && number(part).is_none())
}

fn number(text: &str) -> Option<u64> {
    text.parse::<u32>().ok().map(u64::from)
}

fn named(file: &[u8], name: &str) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(file);
    text.lines()
        .map(|line| line.split(':').map(str::to_string).collect::<Vec<_>>())
        .find(|fields| fields[0] == name)
}

fn field(fields: &[String], at: usize) -> Option<u64> {
    number(fields.get(at)?.trim())
}

fn unknown(what: &str, name: &str, file: &str) -> BuildError {
    let is_number = || name.bytes().all(|b| b.is_ascii_digit());
    match name.is_empty() {
        true => BuildError::invalid(what, "it is empty"),
        false if is_number() => BuildError::invalid(
            format!("{what} `{name}`"),
            format!("numbers go up to {}", u32::MAX),
        ),
        false => BuildError::not_found(
            format!("{what} `{name}`"),
            format!("it is not in the image's {file}; add it before, or write its number"),
        ),
    }
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
        ] {
            assert_eq!(resolve(text, &accounts).unwrap(), owner, "{text}");
        }
        let error = resolve("nobody", &accounts).unwrap_err().to_string();
        assert!(
            error.contains("nobody") && error.contains("/etc/passwd"),
            "{error}"
        );
    }
}
