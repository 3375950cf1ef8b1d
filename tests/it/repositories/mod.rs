//! Repositories are fetched without the `git` program, and the program judges what
//! came: files, references, history.
//!
//! | module | what it claims |
//! |---|---|
//! | `clones` | a clone has the files, references and history of git's |
//! | `commits` | one commit's files, and a `.git` of the same bytes for the same commit |
//! | `hostile` | names, links and submodules of a hostile repository lead nowhere |
//! | `plugins` | a plugin's context may be a repository |
//! | `servers` | redirects, logins, silence and cancellation |
//! | `facts` | commit, branch and tag are what git says |

mod clones;
mod commits;
mod facts;
mod hostile;
mod plugins;
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use imgmake_event::Cancel;
use imgmake_git::{Client, CloneOf, GitDirectory, GitError, Remote, Submodules};

use crate::ground::images::path;
use crate::ground::web::Web;
use crate::ground::{run, temporary, write};

pub fn client() -> Client {
    Client::new(BTreeMap::new(), &Cancel::default())
}

pub fn remote(web: &Web, name: &str) -> Remote {
    Remote::parse(&format!("http://{}/{name}", web.host)).unwrap()
}

/// The error with its causes.
pub fn text(error: GitError) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

/// Everything, as `git clone` takes it without options.
pub fn everything() -> CloneOf {
    CloneOf {
        branch: None,
        reference: None,
        commit: None,
        single_branch: false,
        depth: None,
        submodules: Submodules::Leave,
        git_directory: GitDirectory::Keep,
    }
}

/// The program, with nobody's configuration.
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let place = [
        "GIT_CONFIG_GLOBAL=/dev/null",
        "GIT_CONFIG_SYSTEM=/dev/null",
        "git",
        "-C",
        path(directory),
    ];
    let author = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "init.defaultBranch=main",
    ];
    let quiet = ["-c", "safe.directory=*", "-c", "advice.detachedHead=false"];
    run("env", &[&place[..], &author, &quiet, arguments].concat())
        .trim_end()
        .to_string()
}

/// Puts a work tree's repository where the server has it.
pub fn publish(web: &Web, work: &Path, name: &str) {
    let bare = web.root().join(name);
    git(work, &["clone", "-q", "--bare", ".", path(&bare)]);
}

/// Path → kind, permissions and content of all files, without those of `.git`.
pub fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    list(root, root, &mut found);
    found
}

fn list(root: &Path, directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() == ".git" {
            continue;
        }
        let name = path
            .strip_prefix(root)
            .unwrap()
            .as_os_str()
            .as_bytes()
            .escape_ascii();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let mode = meta.permissions().mode() & 0o7777;
        let text = if meta.is_symlink() {
            format!("link {}", std::fs::read_link(&path).unwrap().display())
        } else if meta.is_dir() {
            list(root, &path, found);
            format!("dir {mode:o}")
        } else {
            let content = std::fs::read(&path).unwrap();
            format!("file {mode:o} {}", content.escape_ascii())
        };
        found.insert(name.to_string(), text);
    }
}

/// What `git for-each-ref` lists.
pub fn references(repository: &Path) -> BTreeSet<String> {
    let format = "--format=%(objectname) %(refname) %(symref)";
    let listed = git(repository, &["for-each-ref", format]);
    listed.lines().map(String::from).collect()
}

/// A repository with whatever a tree can hold, two submodules in each other, three
/// branches and two kinds of tags: `app.git`.
pub fn rich(web: &Web) {
    let deep = temporary();
    git(deep.path(), &["init", "-q"]);
    write(deep.path(), "deep.txt", "deep\n");
    commit(deep.path(), "deep");
    publish(web, deep.path(), "deep.git");

    let lib = temporary();
    git(lib.path(), &["init", "-q"]);
    write(lib.path(), "lib.c", "int lib;\n");
    write(
        lib.path(),
        ".gitmodules",
        format!(
            "[submodule \"deep one\"]\n\tpath = in/deep\n\turl = http://{}/deep.git\n",
            web.host
        ),
    );
    link(
        lib.path(),
        "in/deep",
        &git(deep.path(), &["rev-parse", "HEAD"]),
    );
    commit(lib.path(), "lib");
    let old = git(lib.path(), &["rev-parse", "HEAD"]);
    write(lib.path(), "lib.c", "int newer;\n");
    commit(lib.path(), "newer");
    publish(web, lib.path(), "lib.git");

    let app = temporary();
    git(app.path(), &["init", "-q"]);
    files(app.path());
    write(
        app.path(),
        ".gitmodules",
        "[submodule \"lib\"]\n\tpath = third/lib\n\turl = ../lib.git\n[submodule \"unused\"]\n\tpath = gone\n\turl = ../gone.git\n",
    );
    link(app.path(), "third/lib", &old);
    commit(app.path(), "first");
    git(app.path(), &["tag", "v1"]);
    git(app.path(), &["checkout", "-q", "-b", "topic/one"]);
    write(app.path(), "plain", "topic\n");
    commit(app.path(), "topic");
    git(app.path(), &["tag", "-a", "-m", "two", "v2"]);
    git(app.path(), &["checkout", "-q", "main"]);
    for number in 0..5 {
        write(app.path(), "plain", format!("{number}\n").repeat(40));
        commit(app.path(), "more");
    }
    git(app.path(), &["tag", "-a", "-m", "three", "v3", "HEAD~1"]);
    publish(web, app.path(), "app.git");
    git(
        &web.root().join("app.git"),
        &["update-ref", "refs/pull/7/head", "v1"],
    );
}

pub fn commit(work: &Path, message: &str) {
    git(work, &["add", "-A"]);
    git(work, &["commit", "-q", "-m", message]);
}

/// A submodule at a commit, without asking anybody for it: its directory is empty.
fn link(work: &Path, at: &str, commit: &str) {
    std::fs::create_dir_all(work.join(at)).unwrap();
    let entry = format!("160000,{commit},{at}");
    git(work, &["update-index", "--add", "--cacheinfo", &entry]);
}

fn files(work: &Path) {
    let attributes = "*.crlf text eol=crlf\n*.auto text=auto\n*.id ident\n*.bin binary\n*.wide text working-tree-encoding=UTF-16LE\n[attr]windows text eol=crlf\n*.win windows\n*.utf16 text working-tree-encoding=UTF-16\n*.utf32 working-tree-encoding=UTF-32\n*.latin1 working-tree-encoding=ISO-8859-1\n*.marked working-tree-encoding=UTF-16LE-BOM\n*.autocrlf text=auto eol=crlf\n*.older crlf eol=crlf\n*.inputs text=input eol=crlf\n*.psd filter=lfs diff=lfs merge=lfs -text\nhidden export-ignore\n";
    write(work, ".gitattributes", attributes);
    write(work, "a.crlf", "one\r\ntwo\r\n");
    write(work, "b.auto", "one\ntwo\n");
    write(work, "c.id", "$Id$ and $Id: old $\n");
    write(work, "d.bin", "one\r\n\0two\n");
    write(work, "e.win", "one\r\n");
    write(
        work,
        "f.psd",
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    );
    let wide: Vec<u8> = "wide\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    write(work, "g.wide", wide);
    for (name, bytes) in [
        ("h.utf16", &b"\xff\xfea\0\n\0"[..]),
        ("h.utf32", b"\0\0\xfe\xff\0\0\0a"),
        ("h.latin1", b"\xfc\n"),
        ("h.marked", b"\xff\xfea\0"),
        ("i.id", b"$Id: a b $ $Id: c $ $Id:\n$ $Idx$ $Id"),
        ("j.autocrlf", b"one\ntwo\n"),
        ("k.autocrlf", b"one\ntwo\0\n"),
        ("l.older", b"one\n"),
        ("m.inputs", b"one\n"),
    ] {
        write(work, name, bytes);
    }
    write(
        work,
        "sub/.gitattributes",
        "*.crlf -text\n/top.txt eol=crlf\n",
    );
    write(work, "sub/a.crlf", "left\nalone\n");
    write(work, "sub/top.txt", "top\r\n");
    write(work, "sub/in/top.txt", "top\n");
    write(work, "sub/in/b.crlf", "left\n");
    write(work, "sub.crlf", "after\r\n");
    write(work, "hidden", "here all the same\n");
    for odd in [
        "a b",
        "b\\c",
        "c:d",
        "aux.c",
        "ü",
        "new\nline",
        "-x",
        "sub-",
        "sub0",
        "~1",
    ] {
        write(work, odd, odd);
    }
    write(work, "empty", "");
    write(work, "plain", "first\n");
    write(work, "bin/tool", "#!/bin/sh\n");
    std::fs::set_permissions(work.join("bin/tool"), PermissionsExt::from_mode(0o755)).unwrap();
    for (name, target) in [
        ("to-file", "plain"),
        ("to-dir", "sub"),
        ("away", "/etc/passwd"),
        ("broken", "../../x"),
    ] {
        std::os::unix::fs::symlink(target, work.join(name)).unwrap();
    }
}
