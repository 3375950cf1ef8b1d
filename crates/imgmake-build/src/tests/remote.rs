//! What comes from elsewhere: bases in a registry, URLs, repositories.

use super::*;

/// A registry that images are pushed to before they are bases.
struct Registry {
    host: String,
    _inner: imgmake_registry_testkit::Registry,
}

impl Registry {
    fn start() -> Registry {
        let inner = imgmake_registry_testkit::Registry::start();
        Registry {
            host: inner.host(),
            _inner: inner,
        }
    }

    fn push(&self, p: &Project, image: &Image, name: &str) {
        let to: Reference = format!("{}/{name}", self.host).parse().unwrap();
        let job = imgmake_registry::PushJob {
            root: image.built.root.clone(),
            tags: vec![to.tag_or_latest().unwrap().to_string()],
            to,
            sources: Vec::new(),
            phase: imgmake_registry::PushPhase::All,
        };
        let work = p.engine.for_target("push").operation();
        p.engine
            .registry
            .push(&job, &p.engine.store, &work)
            .unwrap();
    }
}

#[test]
fn a_base_stays_remote_until_a_step_reads_it_and_moves_only_when_pulled() {
    let registry = Registry::start();
    let author = Project::new();
    author
        .write("tmp/x", "x")
        .write("other", "y")
        .mode("tmp", 0o1777);
    let base = author.build("FROM scratch\nCOPY . /\nENV B=1\nUSER 7\nLABEL b=1\n");
    registry.push(&author, &base, "base:1");

    let p = Project::new();
    p.write("f", "1");
    let file = format!("FROM {}/base:1\nENV C=$B\n", registry.host);
    let image = p.build(&file);
    assert_eq!(image.config.config.env[1..], ["B=1", "C=1"]);
    let layer = &image.manifest.layers[0].digest;
    assert_eq!(*layer, base.manifest.layers[0].digest, "the very bytes");
    assert!(!p.engine.store.has(layer), "nothing needed the layer");
    assert_eq!(image.built.sources.len(), 1);
    assert!(p.inputs(&file)[0].starts_with("base 127.0.0.1"));

    let copying = format!("FROM {}/base:1\nCOPY f /tmp/\n", registry.host);
    let image = p.build(&copying);
    assert!(p.engine.store.has(layer) && image.built.sources.is_empty());
    assert_eq!(image.layers[1], ["1777 0:0 tmp/", "644 0:0 tmp/f 1"]);

    author.write("other", "changed");
    let moved = author.build("FROM scratch\nCOPY . /\nENV B=2\n");
    registry.push(&author, &moved, "base:1");
    assert_eq!(p.build(&file).config.config.env[2], "C=1");
    let mut request = p.request(&file);
    request.pull = true;
    assert_eq!(p.run(&request).unwrap().config.config.env[2], "C=2");
    assert_eq!(p.build(&file).config.config.env[2], "C=2");
}

#[test]
fn urls_are_added_once_and_checked() {
    let served = tempfile::tempdir().unwrap();
    std::fs::write(served.path().join("tool.txt"), "tool").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/tool.txt", listener.local_addr().unwrap());
    let hits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = hits.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let n = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let body = if n < 2 { "tool" } else { "else" };
            let head = "HTTP/1.1 200 OK\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let p = Project::new();
    let image = p.build(&format!("FROM scratch\nADD {url} /bin/\n"));
    assert_eq!(image.files(), ["755 0:0 bin/", "600 0:0 bin/tool.txt 4"]);
    let again = p.build(&format!("FROM scratch\nADD --chmod=755 {url} /bin/t\n"));
    assert_eq!(again.files(), ["755 0:0 bin/", "755 0:0 bin/t 4"]);
    assert_eq!(
        hits.load(std::sync::atomic::Ordering::SeqCst),
        1,
        "remembered"
    );
    let wrong = format!(
        "FROM scratch\nADD --checksum=sha256:{} {url} /\n",
        "0".repeat(64)
    );
    assert!(p.error(&wrong).contains("Dockerfile:2"));
}

#[test]
fn a_download_is_tried_as_often_as_a_registry() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap();
            let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            let answer = match counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                _ if head[..read].starts_with(b"GET /gone") => {
                    "HTTP/1.1 404 Gone\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                }
                _ if head[..read].starts_with(b"GET /busy") => busy,
                0 => busy,
                // The connection breaks in the middle.
                1 => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nto",
                _ => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntool",
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let count = || asked.swap(0, std::sync::atomic::Ordering::SeqCst);
    let mut p = Project::new();
    p.engine.registry = imgmake_registry::Client::new(imgmake_registry::ClientOptions {
        attempts: 3,
        backoff: Default::default(),
        ..Default::default()
    })
    .unwrap();
    let image = p.build(&format!("FROM scratch\nADD http://{host}/tool /\n"));
    assert_eq!(image.files(), ["600 0:0 tool 4"]);
    assert_eq!(count(), 3);
    let refused = p.error(&format!("FROM scratch\nADD http://{host}/gone /\n"));
    assert!(refused.ends_with("http status: 404"), "{refused}");
    assert_eq!(count(), 1);
    let refused = p.error(&format!("FROM scratch\nADD http://{host}/busy /\n"));
    assert_eq!(count(), 3);
    let text = "tried 3 times: http status: 503";
    assert!(refused.ends_with(text), "{refused}");
}

/// A server that says nothing of when a file was changed.
fn timeless(body: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    url
}

#[test]
fn a_pinned_time_stays_whatever_the_server_says_of_it() {
    use sha2::Digest as _;
    let p = Project::new();
    let url = timeless(b"text".to_vec());
    let name = PinName::Url(url.clone());
    let digest = format!("sha256:{}", hex::encode(sha2::Sha256::digest(b"text")));
    let pin = |rest: &str| {
        let pins = &p.engine.pins;
        pins.set(&name, &format!("{digest} {rest}")).unwrap();
    };
    pin("77 4");
    let dockerfile = format!("FROM scratch\nADD {url} /\n");
    let key = || {
        inputs(&p.request(&dockerfile), &p.engine)
            .unwrap()
            .key()
            .to_string()
    };
    // The store has none of it: it is downloaded, and the server has no time.
    let first = key();
    let built = p.build(&dockerfile).built.root.digest;
    let pinned = p.engine.pins.get(&name).unwrap().unwrap();
    assert_eq!(pinned, format!("{digest} 77 4"));
    pin("78 4");
    assert_ne!(key(), first, "the layer has the time");
    assert_ne!(p.build(&dockerfile).built.root.digest, built);

    pin("77 5");
    let error = p.error(&dockerfile);
    for said in ["`size=5`", "has 4 bytes", "lock file"] {
        assert!(error.contains(said), "{error}");
    }
    let other = format!(
        "FROM scratch\nADD --checksum=sha512:{} {url} /\n",
        "0".repeat(128)
    );
    pin("77 4");
    let error = p.error(&other);
    assert!(error.contains("does not match --checksum"), "{error}");
    let right = hex::encode(sha2::Sha512::digest(b"text"));
    let checked = format!("FROM scratch\nADD --checksum=sha512:{right} {url} /\n");
    assert_eq!(p.build(&checked).files(), ["600 0:0 f 4"]);
}

#[test]
fn platforms_have_one_time_or_none() {
    let p = Project::new();
    let url = timeless(b"text".to_vec());
    let mut request = p.request(&format!(
        "ARG SOURCE_DATE_EPOCH=times\nFROM scratch AS times\nARG TARGETARCH\nADD {url}/$TARGETARCH /\n\
         FROM scratch\nLABEL a=b\n"
    ));
    request.platforms = vec![
        "linux/amd64".parse().unwrap(),
        "linux/arm64".parse().unwrap(),
    ];
    inputs(&request, &p.engine).unwrap();
    build(&request, &p.engine).unwrap();
    let notes = p.notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("SOURCE_DATE_EPOCH `times` has no time"));
    let modified = |architecture: &str, seconds: &str| {
        let name = PinName::Url(format!("{url}/{architecture}"));
        let pin = p.engine.pins.get(&name).unwrap().unwrap();
        let words: Vec<&str> = pin.split(' ').collect();
        let changed = format!("{} {seconds} {}", words[0], words[2]);
        p.engine.pins.set(&name, &changed).unwrap();
    };
    modified("arm64", "77");
    let error = build(&request, &p.engine).unwrap_err().to_string();
    let told = "it is none for linux/amd64 and 77 for linux/arm64";
    assert!(error.contains(told), "{error}");
    modified("amd64", "77");
    build(&request, &p.engine).unwrap();
}

#[test]
fn the_newest_file_of_an_archive_is_the_time_of_a_url_that_has_none() {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, mtime) in [
        ("old", tar::EntryType::Regular, 4000),
        ("new", tar::EntryType::Regular, 5000),
        ("directory", tar::EntryType::Directory, 6000),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mtime(mtime);
        tar.append_data(&mut header, path, &b""[..]).unwrap();
    }
    let packed = zstd::encode_all(tar.into_inner().unwrap().as_slice(), 1).unwrap();
    let p = Project::new();
    let of = |body: Vec<u8>| {
        format!(
            "ARG SOURCE_DATE_EPOCH=Times\nFROM scratch AS times\nADD {} /\n\
             FROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL at=[$SOURCE_DATE_EPOCH]\n",
            timeless(body)
        )
    };
    for (body, label, created) in [
        (packed.clone(), "[5000]", "1970-01-01T01:23:20Z"),
        (
            packed[..packed.len() - 9].to_vec(),
            "[]",
            "1970-01-01T00:00:00Z",
        ),
        (b"text".to_vec(), "[]", "1970-01-01T00:00:00Z"),
    ] {
        let image = p.build(&of(body));
        assert_eq!(image.config.config.labels["at"], label);
        assert_eq!(image.config.created.as_deref(), Some(created));
    }
    // Looked for once: by the content, whatever its address is.
    let digest = blake3::hash(&packed);
    let pin = PinName::TimeOfArchive(digest.to_string());
    assert_eq!(p.engine.pins.get(&pin).unwrap().as_deref(), Some("5000"));
    p.engine.pins.set(&pin, "5001").unwrap();
    let image = p.build(&of(packed.clone()));
    assert_eq!(image.config.config.labels["at"], "[5001]");
    // A time that the request has goes before, and nothing is fetched for it.
    let mut request = p.request(&of(packed).replace("http://", "http://0.0.0.0:1/"));
    request.epoch = Some(7);
    let image = p.run(&request).unwrap();
    assert_eq!(image.config.config.labels["at"], "[7]");
}

#[test]
#[ignore = "needs git and its daemon: tests/run runs it"]
fn repositories_are_added_at_the_commit_they_were_first_seen_at() {
    let p = Project::new();
    let remote = p.dir.path().join("tool.git");
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@x", "-C"])
            .arg(&remote)
            .args(arguments)
            .status();
        assert!(status.unwrap().success());
    };
    std::fs::create_dir_all(remote.join("src")).unwrap();
    std::fs::write(remote.join("src/run.sh"), "1").unwrap();
    std::fs::write(remote.join("README"), "r").unwrap();
    git(&["init", "-q", "-b", "main", "."]);
    git(&["add", "."]);
    git(&["update-index", "--chmod=+x", "src/run.sh"]);
    git(&["commit", "-qm", "one"]);
    git(&["tag", "-am", "v", "v1"]);
    let daemon = GitDaemon::serve(p.dir.path());
    let source = |tail: &str| {
        let remote = format!("git://127.0.0.1:{}/tool.git", daemon.port);
        format!("FROM scratch\nADD {tail} /g/\n").replace("REMOTE", &remote)
    };
    let tagged = source("REMOTE#v1:src");
    assert_eq!(
        p.build(&tagged).files(),
        ["755 0:0 g/", "755 0:0 g/run.sh 1"]
    );
    let whole = source("REMOTE");
    assert_eq!(p.build(&whole).files().len(), 4);
    std::fs::write(remote.join("README"), "more").unwrap();
    git(&["commit", "-qam", "two"]);
    assert_eq!(p.build(&whole).files()[1], "644 0:0 g/README 1");
    let mut request = p.request(&whole);
    request.pull = true;
    assert_eq!(p.run(&request).unwrap().files()[1], "644 0:0 g/README 4");
    let wrong = source("--checksum=abcdef0 REMOTE#v1");
    assert!(p.error(&wrong).contains("--checksum says abcdef0"));
}

struct GitDaemon {
    port: u16,
    process: std::process::Child,
}

impl GitDaemon {
    fn serve(directory: &Path) -> GitDaemon {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let place = std::process::Command::new("git")
            .arg("--exec-path")
            .output();
        let place = String::from_utf8(place.unwrap().stdout).unwrap();
        let process = std::process::Command::new(format!("{}/git-daemon", place.trim()))
            .args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", directory.display()))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        GitDaemon { port, process }
    }
}

impl Drop for GitDaemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
