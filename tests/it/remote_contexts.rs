//! A context may be a repository or an archive at a URL: what was fetched decides, and nothing else is in it.

use crate::ground::imgmake::Imgmake;
use crate::ground::project::Project;
use crate::ground::tree::unpack;
use crate::ground::web::{Transport, Web};
use crate::ground::{run, temporary, write};
use crate::repositories::{git, publish};

/// A repository with a Dockerfile in its root and one in `sub`, on branches `main` and `other` and a tag `v1`, and
/// one beside it that is a named context.
fn repositories(web: &Web) {
    let work = temporary();
    git(work.path(), &["init", "-q", "-b", "main"]);
    let dockerfile = "FROM scratch\nCOPY . /all/\nADD packed.tar /unpacked/\n";
    write(work.path(), "Dockerfile", dockerfile);
    write(
        work.path(),
        "sub/Dockerfile",
        "FROM scratch\nARG V\nLABEL v=$V\nCOPY . /\n",
    );
    write(work.path(), "sub/inner", "1");
    // Docker reads none of a context that it fetches.
    write(work.path(), ".dockerignore", "sub\n");
    write(work.path(), "tar/in", "packed");
    std::os::unix::fs::symlink("/etc", work.path().join("away")).unwrap();
    let packed = work.path().join("packed.tar");
    let tar = work.path().join("tar");
    run(
        "tar",
        &[
            "-cf",
            packed.to_str().unwrap(),
            "-C",
            tar.to_str().unwrap(),
            "in",
        ],
    );
    let commit = |message: &str| {
        git(work.path(), &["add", "-A"]);
        git(work.path(), &["commit", "-q", "-m", message]);
    };
    commit("1");
    git(work.path(), &["tag", "v1"]);
    git(work.path(), &["checkout", "-q", "-b", "other"]);
    std::fs::remove_file(work.path().join("sub/inner")).unwrap();
    write(work.path(), "sub/new", "2");
    commit("2");
    git(work.path(), &["checkout", "-q", "main"]);
    drop(std::fs::remove_dir_all(web.root().join("app.git")));
    publish(web, work.path(), "app.git");
    let work = temporary();
    git(work.path(), &["init", "-q", "-b", "main"]);
    write(work.path(), "lib", "of lib");
    git(work.path(), &["add", "-A"]);
    git(work.path(), &["commit", "-q", "-m", "1"]);
    publish(web, work.path(), "lib.git");
}

/// The files of the image in an archive.
fn files(p: &Project, archive: &str) -> Vec<String> {
    let image = format!("docker-archive:{}", p.file(archive).display());
    let names = unpack(&image).tree.into_keys();
    let names = names.map(|name| name.trim_matches('/').to_string());
    let mut names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    names.sort();
    names
}

#[test]
fn a_repository_is_the_context_and_its_commit_decides() {
    let web = Web::start(Transport::Plain, "");
    repositories(&web);
    let at = format!("http://{}/app.git", web.host);
    let p = Project::new(&format!(
        "imgmake version=1 {{ lock \"imgmake.lock\" }}\nvar REF \"v1\"\n\
         build app {{ context \"{at}#${{REF}}\"; tar \"app.tar\" }}\n\
         build sub {{ context \"{at}#${{REF}}:sub\"; args {{ V \"1\" }}; tar \"sub.tar\" }}\n"
    ));
    p.build().succeeded().ran(["app", "sub"]);
    let all = files(&p, "app.tar");
    for name in [
        "all/.dockerignore",
        "all/sub/inner",
        "unpacked/in",
        "all/away",
    ] {
        assert!(all.contains(&name.to_string()), "{name}: {all:?}");
    }
    assert!(!all.iter().any(|name| name.contains(".git")), "{all:?}");
    assert_eq!(files(&p, "sub.tar"), ["Dockerfile", "inner"]);
    let lock = p.read("imgmake.lock");
    assert!(
        lock.contains(&format!("git \"{at}\" ref=\"v1\" commit=\"")),
        "{lock}"
    );
    p.build().succeeded().reused(["app", "sub"]);
    // Another reference is another commit: what the first one had is not in the second.
    p.run(&["--var", "REF=other"])
        .succeeded()
        .ran(["app", "sub"]);
    assert_eq!(files(&p, "sub.tar"), ["Dockerfile", "new"]);
    let why = p.imgmake.ok(p.path(), &["why", "sub"]).stdout;
    assert!(why.contains("app.git#v1:sub"), "{why}");
    // Without a server, from what is in the store, and with what the lock file says.
    drop(web);
    p.run(&["--locked", "--offline"]).succeeded();
    assert_eq!(files(&p, "sub.tar"), ["Dockerfile", "inner"]);
    p.run(&["--locked", "--offline", "--set", "sub.args.V=2", "sub"])
        .succeeded()
        .because("sub", "arg V changed");
    let unknown = ["--locked", "--var", "REF=main"];
    let says = [&*format!("{at}#main"), "not in the lock file"];
    p.imgmake.refused(p.path(), &unknown, 1, &says);
}

#[test]
fn a_moved_branch_is_followed_by_pull_and_update_alone() {
    let web = Web::start(Transport::Plain, "");
    repositories(&web);
    let at = format!("http://{}/app.git", web.host);
    let manifest = |settings: &str| {
        format!(
            "{settings}build sub {{ context \"{at}?branch=main&subdir=sub\"; tar \"sub.tar\" }}\n"
        )
    };
    let p = Project::new(&manifest(""));
    p.build().succeeded();
    let move_main = || {
        let bare = web.root().join("app.git");
        git(
            &bare,
            &["update-ref", "refs/heads/main", "refs/heads/other"],
        );
    };
    move_main();
    p.build().succeeded().reused(["sub"]);
    p.run(&["--pull"]).succeeded().ran(["sub"]);
    assert_eq!(files(&p, "sub.tar"), ["Dockerfile", "new"]);
    let locked = Project::new(&manifest("imgmake version=1 { lock \"imgmake.lock\" }\n"));
    let told = locked.imgmake.ok(locked.path(), &["update"]).stdout;
    assert!(told.contains("refs/heads/main"), "{told}");
    locked.run(&["--locked"]).succeeded().ran(["sub"]);
}

#[test]
fn named_contexts_are_repositories_with_a_dockerfile_of_the_project() {
    let web = Web::start(Transport::Plain, "");
    repositories(&web);
    let at = format!("http://{}", web.host);
    let p = Project::new(&format!(
        "build a {{ contexts {{ lib \"{at}/lib.git\"; app (git)\"{at}/app.git#v1:sub\" }}; tar \"a.tar\" }}\n\
         build b {{ context \"{at}/app.git#v1:sub\"; dockerfile (path)\"b.Dockerfile\"; tar \"b.tar\" }}\n\
         build c {{ context \"{at}/app.git#v1\"; from scratch; copy \"sub/inner\" to=\"/c\"; tar \"c.tar\" }}\n"
    ))
    .with("Dockerfile", "FROM lib AS l\nFROM scratch\nCOPY --from=l lib /\nCOPY --from=app inner /i\n")
    .with("b.Dockerfile", "FROM scratch\nCOPY inner /b\n");
    p.build().succeeded();
    assert_eq!(files(&p, "a.tar"), ["i", "lib"]);
    assert_eq!(files(&p, "b.tar"), ["b"]);
    assert_eq!(files(&p, "c.tar"), ["c"]);
    p.write("b.Dockerfile", "FROM scratch\nCOPY inner /b2\n");
    p.build().succeeded().ran(["b"]).reused(["a", "c"]);
    let linted = p.imgmake.ok(p.path(), &["lint"]);
    assert!(linted.stdout.contains("2 Dockerfiles"), "{linted:?}");
}

#[test]
fn nothing_leads_out_of_a_repository_and_mistakes_are_named() {
    let web = Web::start(Transport::Plain, "ann:secret");
    repositories(&web);
    let at = format!("http://ann:secret@{}/app.git", web.host);
    for (context, more, says) in [
        ("#v1:away", "", &["`away`", "not found"][..]),
        ("#v1:../..", "", &[]),
        ("#v1:nowhere", "", &["`nowhere`", "not found"]),
        ("#v9", "", &["`v9`", "did you mean `v1`"]),
        (
            "#v1",
            "dockerfile \"away/passwd\"",
            &["Dockerfile `away/passwd`"],
        ),
        (
            "#v1",
            "dockerfile \"none\"",
            &["Dockerfile `none`", "app.git#v1"],
        ),
        ("?ref=v1#main", "", &["`ref`", "`main`"]),
        ("?tag=v1&tag=v1", "", &["`tag`", "duplicate"]),
        ("?depth=1", "", &["unknown option `depth`"]),
        ("?checksum=0000000#v1", "", &["0000000"]),
    ] {
        let p = Project::new(&format!(
            "build app {{ context \"{at}{context}\"; {more} }}"
        ));
        match says {
            [] => drop(p.build().succeeded()),
            says => {
                let ran = p.imgmake.refused(p.path(), &[], 1, says);
                assert!(!format!("{ran:?}").contains("secret@"), "{ran:?}");
            }
        }
    }
    for (context, says) in [
        ("ftp://h.io/a", "cannot be fetched by `ftp://`"),
        ("file:///a", "cannot be fetched by `file://`"),
    ] {
        let p = Project::new(&format!("build app {{ context \"{context}\" }}"));
        p.imgmake.refused(p.path(), &[], 2, &[says]);
    }
    let p = Project::new(&format!(
        "build app {{ context \"{at}\"; dockerfile \"/Dockerfile\" }}"
    ));
    p.imgmake
        .refused(p.path(), &[], 2, &["its path is relative"]);
}

#[test]
fn an_archive_at_a_url_is_a_context() {
    let web = Web::start(Transport::Plain, "");
    let work = temporary();
    write(work.path(), "Dockerfile", "FROM scratch\nCOPY a /\n");
    write(work.path(), "a", "1");
    let archive = web.root().join("app.tar.gz");
    let pack = || {
        let (archive, work) = (archive.to_str().unwrap(), work.path().to_str().unwrap());
        run("tar", &["-czf", archive, "-C", work, "."]);
    };
    pack();
    write(&web.root(), "text", "no archive");
    let at = format!("http://{}", web.host);
    let p = Project::new(&format!(
        "build app {{ context \"{at}/app.tar.gz\"; tar \"app.tar\" }}"
    ));
    p.build().succeeded();
    assert_eq!(files(&p, "app.tar"), ["a"]);
    write(work.path(), "Dockerfile", "FROM scratch\nCOPY a /b\n");
    pack();
    p.build().succeeded().reused(["app"]);
    p.run(&["--pull"]).succeeded().ran(["app"]);
    assert_eq!(files(&p, "app.tar"), ["b"]);
    drop(web);
    p.run(&["--offline", "--force"]).succeeded();
    let web = Web::start(Transport::Plain, "");
    write(&web.root(), "text", "no archive");
    let p = Project::new(&format!(
        "build app {{ context \"http://{}/text\" }}",
        web.host
    ));
    p.imgmake
        .refused(p.path(), &[], 1, &["/text", "as a context"]);
}

#[test]
fn bake_files_and_docker_commands_name_them() {
    let web = Web::start(Transport::Plain, "");
    repositories(&web);
    let at = format!("http://{}", web.host);
    let bake = format!(
        "variable \"REF\" {{ default = \"v1\" }}\n\
         target \"default\" {{\n  context = \"{at}/app.git#${{REF}}:sub\"\n  dockerfile = \"./Dockerfile\"\n  \
         output = [\"type=docker,dest=app.tar\"]\n}}\n\
         target \"mixed\" {{\n  context = \"{at}/lib.git\"\n  contexts = {{ src = \"{at}/app.git#v1\" }}\n  \
         dockerfile-inline = \"FROM scratch\\nCOPY lib /\\nCOPY --from=src sub/inner /\\n\"\n  \
         output = [\"type=docker,dest=mixed.tar\"]\n}}\n"
    );
    let p = Project::new("").with("docker-bake.hcl", &bake);
    std::fs::remove_file(p.file("imgmake.kdl")).unwrap();
    p.imgmake.ok(p.path(), &["import", "docker-bake.hcl"]);
    let manifest = p.read("imgmake.kdl");
    assert!(manifest.contains("app.git#${REF}:sub\""), "{manifest}");
    assert!(manifest.contains("dockerfile (path)\""), "{manifest}");
    p.imgmake.ok(p.path(), &["run", "*"]);
    assert_eq!(files(&p, "app.tar"), ["Dockerfile", "inner"]);
    assert_eq!(files(&p, "mixed.tar"), ["inner", "lib"]);
    let direct = temporary();
    let ran = Imgmake::new().ok(
        direct.path(),
        &["build", "-t", "x:1", &format!("{at}/app.git#v1:sub")],
    );
    assert!(ran.stdout.contains("sha256:"), "{ran:?}");
}
