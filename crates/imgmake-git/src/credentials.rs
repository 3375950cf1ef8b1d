//! Logins stored on this machine: the user's `.netrc`, and git's own credential helpers,
//! once the server has asked.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use url::Url;

use super::Client;
use super::login::Login;
use super::stream::Attentive;
use imgmake_guard::bounded;
use imgmake_guard::program::{Kind, Program};

impl Client {
    /// What this machine knows for an address that asked.
    pub(super) fn stored_login(&self, url: &Url) -> Option<Login> {
        self.netrc_login(url).or_else(|| self.helpers_login(url))
    }

    fn netrc_login(&self, url: &Url) -> Option<Login> {
        let path = match self.variable("NETRC") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(self.variable("HOME")?).join(".netrc"),
        };
        let file = self.cancel.open(&path).ok()?;
        let text = bounded::take(file, bounded::LARGEST_TEXT).ok()?;
        netrc(&String::from_utf8(text).ok()?, url.host_str()?)
    }

    /// `git credential fill`, where there is a git: helpers are its business.
    fn helpers_login(&self, url: &Url) -> Option<Login> {
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str()?),
            None => url.host_str()?.to_string(),
        };
        let path = url.path().trim_start_matches('/');
        let question = format!("protocol={}\nhost={host}\npath={path}\n\n", url.scheme());
        let git = Program::new(Kind::Git, "git", &*self.environment).ok()?;
        let git = git.configure(|command| {
            command
                .args(["credential", "fill"])
                .env("GIT_ASKPASS", "")
                .env("SSH_ASKPASS", "")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
        });
        let mut child = git.spawn().ok()?;
        let mut input = child.stdin.take()?;
        let asked = input.write_all(question.as_bytes());
        drop(input);
        // A helper may wait for somebody; a cancellation ends the wait.
        let output = child.stdout.take()?;
        let mut answer = String::new();
        let read = Attentive::new(output.into(), self)
            .and_then(|mut output| output.read_to_string(&mut answer));
        // What still runs of it is ended.
        drop(child);
        asked.and(read).ok()?;
        let field = |name: &str| {
            let lines = answer.lines().filter_map(|line| line.split_once('='));
            lines
                .filter(|(key, _)| *key == name)
                .map(|(_, v)| v)
                .next_back()
        };
        let user = field("username")?;
        Some(Login::basic(user, field("password")?))
    }
}

/// The entry of a host, else the default.
fn netrc(text: &str, host: &str) -> Option<Login> {
    let mut words = text.split_ascii_whitespace();
    let (mut user, mut password) = (None, None);
    let mut ours = false;
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" if ours => break,
            "machine" => ours = words.next() == Some(host),
            "default" => ours = true,
            "login" if ours => user = words.next(),
            "password" if ours => password = words.next(),
            "login" | "password" | "account" => drop(words.next()),
            _ => {}
        }
    }
    Some(Login::basic(user?, password.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netrc_has_one_entry_for_a_host() {
        let text = "machine a.example login ann password one\nmachine b.example\n  login ben\n  password two\ndefault login any password three\n";
        assert_eq!(netrc(text, "a.example"), Some(Login::basic("ann", "one")));
        assert_eq!(netrc(text, "b.example"), Some(Login::basic("ben", "two")));
        assert_eq!(netrc(text, "c.example"), Some(Login::basic("any", "three")));
        assert_eq!(netrc("machine a.example password x", "a.example"), None);
    }
}
