//! Where context and Dockerfile are.

use super::*;

#[test]
fn contexts_are_read_by_their_scheme() {
    let context = |text: &str| {
        request(&["--no-push", "--context", text], &[])
            .context
            .clone()
    };
    assert_eq!(
        request(&["--no-push"], &[]).context,
        Context::Directory("/workspace/".into())
    );
    assert_eq!(context("."), Context::Directory(".".into()));
    assert_eq!(context("dir://a/b"), Context::Directory("a/b".into()));
    assert_eq!(context("tar:///c.tgz"), Context::Tar("/c.tgz".into()));
    assert_eq!(context("tar://stdin"), Context::StandardInput);
    assert_eq!(
        context("https://h.io/c.tgz?x=1"),
        Context::Https(Hidden("https://h.io/c.tgz?x=1".into()))
    );
    assert!(matches!(
        context("https://h.io/a.git#main"),
        Context::Git(_)
    ));
}

#[test]
fn contexts_that_cannot_be_read_say_what_to_do() {
    for (text, says) in [
        ("gs://bucket/c.tgz", "gcloud storage cp gs://bucket/c.tgz"),
        ("s3://bucket/c.tgz", "aws s3 cp"),
        (
            "https://acc.blob.core.windows.net/b/c.tgz?sig=hunter2",
            "az storage blob download",
        ),
        ("http://h.io/c.tgz", "`http://`"),
        ("ftp://u:hunter2@h/c", "`ftp://`"),
        ("tar://", "tar:///path"),
        ("dir://", "dir:///workspace"),
        ("", "--context"),
        ("git://", "git://host/path.git"),
        ("git://h/a#b#c#d", "git://host/path.git"),
        ("git://h/a#--upload-pack=x", "--upload-pack=x"),
    ] {
        let message = refused(&["--no-push", "--context", text]);
        assert!(
            message.contains(says) && !message.contains("hunter2"),
            "{text}: {message}"
        );
    }
    assert!(refused(&["-d", "a/b", "--bucket=b"]).contains("--context=tar://"));
}

#[test]
fn git_contexts_have_a_reference_a_commit_and_a_login() {
    let git = |arguments: &[&str], pairs: &[(&str, &str)]| {
        let all: Vec<&str> = [&["--no-push"][..], arguments].concat();
        match request(&all, pairs).context.clone() {
            Context::Git(git) => git,
            other => panic!("{other:?}"),
        }
    };
    let plain = git(&["-c", "git://github.com/a/b.git#refs/heads/m#0123"], &[]);
    assert_eq!(plain.url, "https://github.com/a/b.git");
    assert_eq!(plain.reference.as_deref(), Some("refs/heads/m"));
    assert_eq!(plain.commit.as_deref(), Some("0123"));
    assert_eq!(plain.login, None);
    let token = git(&["-c", "git://hunter2@github.com/a/b.git"], &[]);
    assert_eq!(token.url, "https://github.com/a/b.git");
    assert_eq!(token.login.as_ref().unwrap().0.0, "hunter2");
    assert!(!format!("{token:?}").contains("hunter2"));
    let named = git(
        &["-c", "git://x@h/a"],
        &[
            ("GIT_USERNAME", "u"),
            ("GIT_PASSWORD", "p"),
            ("GIT_PULL_METHOD", "http"),
        ],
    );
    assert_eq!(
        (named.url.as_str(), named.login.unwrap().1.0.as_str()),
        ("http://h/a", "p")
    );
    let options = git(
        &[
            "-c",
            "git://h/a#main:dir",
            "--git=branch=b",
            "--git",
            "depth=3",
            "--git=recurse-submodules=true",
        ],
        &[],
    );
    assert_eq!(
        (
            options.branch.as_deref(),
            options.depth,
            options.recurse_submodules
        ),
        (Some("b"), 3, true)
    );
    assert_eq!(
        (options.reference.as_deref(), options.directory.as_deref()),
        (Some("main"), Some("dir"))
    );
    assert!(refused(&["--no-push", "-c", "git://h/a", "--git=branches=x"]).contains("`branch`"));
    assert!(refused(&["--no-push", "-c", "git://h/a", "--git=depth=-1"]).contains("depth"));
}

#[test]
fn a_sub_path_stays_inside() {
    let within = |path: &str| {
        request(&["--no-push", "--context-sub-path", path], &[])
            .within()
            .unwrap()
    };
    assert_eq!(within("./a//b/../c/"), "a/c");
    assert_eq!(within("/a"), "a");
    assert!(refused(&["--no-push", "--context-sub-path=a/../../b"]).contains("a/../../b"));
}

#[test]
fn the_dockerfile_is_the_given_path_or_in_the_context() {
    let none = BTreeMap::new();
    let workspace = Workspace {
        environment: &none,
        read: &read,
        now: "",
    };
    let find = |file: &str, context: &str| {
        request(&["--no-push", "-f", file], &[]).find_dockerfile(context, &workspace)
    };
    assert_eq!(
        find("Dockerfile", "/workspace/").unwrap(),
        "/workspace/Dockerfile"
    );
    assert_eq!(find("Other", "src").unwrap(), "Other");
    let message = find("Gone", "src").unwrap_err().to_string();
    assert!(message.contains("--dockerfile=Gone"), "{message}");
    assert_eq!(
        request(&["--no-push", "-f", "https://h.io/D"], &[]).dockerfile_address(),
        Some("https://h.io/D")
    );
}
