//! Contexts that are elsewhere, told from paths as BuildKit tells them: a repository in Git by its scheme, and over
//! HTTP by a path that ends in `.git`; everything else at a URL is an archive.

/// What the text of a context names, where that is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteKind {
    Git,
    Archive,
}

/// `None` for a path.
pub fn remote_kind(context: &str) -> Option<RemoteKind> {
    let scheme = context.split_once("://").map(|(scheme, _)| scheme);
    match scheme.map(str::to_ascii_lowercase).as_deref() {
        Some("git" | "ssh") => return Some(RemoteKind::Git),
        Some("http" | "https") => {
            let path = context.split(['#', '?']).next().unwrap_or_default();
            return Some(match path.ends_with(".git") {
                true => RemoteKind::Git,
                false => RemoteKind::Archive,
            });
        }
        _ => {}
    }
    is_scp(context).then_some(RemoteKind::Git)
}

/// `git@host:path`: a directory of this name would be written `./git@host:path`.
fn is_scp(context: &str) -> bool {
    let Some((server, path)) = context.split_once(':') else {
        return false;
    };
    let Some((user, host)) = server.split_once('@') else {
        return false;
    };
    let is_name = |text: &str, more: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && !text.starts_with('-') && text.chars().all(legal)
    };
    is_name(user, "-_") && is_name(host, "-_.") && !path.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_archives_and_paths_are_told_apart_as_buildkit_tells_them() {
        for repository in [
            "https://h.io/a.git",
            "HTTPS://h.io/a.git#main:sub",
            "http://h.io/a.git?ref=v1&subdir=x",
            "git://h.io/a",
            "ssh://git@h.io:22/a",
            "git@h.io:a/b",
            "git@h.io:a.git#v1",
            "deploy-1@h.io:a",
        ] {
            assert_eq!(
                remote_kind(repository),
                Some(RemoteKind::Git),
                "{repository}"
            );
        }
        for archive in [
            "https://h.io/a.tar.gz",
            "https://h.io/a#x.git",
            "https://h.io/a?b=.git",
            "https://h.io/a.git/",
        ] {
            assert_eq!(remote_kind(archive), Some(RemoteKind::Archive), "{archive}");
        }
        for path in [
            ".",
            "a.git",
            "./git@h.io:a",
            "dir/git@h.io:a",
            "github.com/a/b",
            "git@h.io",
            "-x@h.io:a",
            "file:///a",
            "a:b@c",
        ] {
            assert_eq!(remote_kind(path), None, "{path}");
        }
    }
}
