//! Who we are to a server, as the header that says it.

use std::fmt;

use base64::Engine as _;

/// The value of an `Authorization` header. It never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Login(String);

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[login]")
    }
}

impl Login {
    pub fn basic(user: &str, password: &str) -> Login {
        let pair = format!("{user}:{password}");
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Login(format!("Basic {encoded}"))
    }

    /// The header's value as it is; `None` if it cannot be sent.
    pub fn header(value: &str) -> Option<Login> {
        let value = value.trim();
        let sendable = !value.is_empty() && value.bytes().all(|b| matches!(b, b' '..=b'~'));
        sendable.then(|| Login(value.to_string()))
    }

    pub(super) fn value(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_never_prints() {
        let login = Login::basic("ann", "secret");
        assert_eq!(format!("{login:?}"), "[login]");
        assert_eq!(Login::header("Bearer x\ny"), None);
    }
}
