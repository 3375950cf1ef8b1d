//! Debian's `docker-registry`, started on a free loopback port with a storage
//! directory of its own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Registry {
    /// `127.0.0.1:port`.
    pub host: String,
    directory: tempfile::TempDir,
    guard: Child,
}

/// How clients must come.
#[derive(Default)]
pub struct Access<'a> {
    /// User and password, checked against an htpasswd file.
    pub basic: Option<(&'a str, &'a str)>,
    /// Certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Registry {
    pub fn start() -> Registry {
        Registry::with(&Access::default())
    }

    pub fn with(access: &Access) -> Registry {
        Registry::on(free_port(), access)
    }

    /// One that was down until now.
    pub fn at(port: u16) -> Registry {
        Registry::on(port, &Access::default())
    }

    fn on(port: u16, access: &Access) -> Registry {
        let directory = super::temporary();
        let host = format!("127.0.0.1:{port}");
        let config = directory.path().join("config.yml");
        std::fs::write(&config, configuration(directory.path(), &host, access)).unwrap();
        // The shell ends the server, by its process id, when this process closes
        // the pipe or dies in any way.
        let guard = Command::new("sh")
            .args([
                "-c",
                "docker-registry serve \"$0\" & pid=$!; read -r _; kill $pid; wait $pid",
            ])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(directory.path().join("access")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Registry {
            host,
            directory,
            guard,
        };
        registry.wait_until_it_listens();
        registry
    }

    fn wait_until_it_listens(&self) {
        let begun = Instant::now();
        while std::net::TcpStream::connect(&self.host).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "docker-registry did not start on {}",
                self.host
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn storage(&self) -> PathBuf {
        self.directory.path().join("data/docker/registry/v2")
    }

    /// `METHOD /path` of every request so far, without the questions for `/v2/`.
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.path().join("access")).unwrap();
        let request = |line: &str| {
            let (_, rest) = line.split_once('"')?;
            let (request, _) = rest.split_once(" HTTP/")?;
            Some(request.to_string())
        };
        log.lines()
            .filter_map(request)
            .filter(|line| line != "GET /v2/")
            .collect()
    }

    /// The directory with everything that it wrote.
    pub fn storage_root(&self) -> &Path {
        self.directory.path()
    }

    /// The manifest or index behind a tag.
    pub fn manifest(&self, repository: &str, tag: &str) -> serde_json::Value {
        self.json(&self.digest(repository, tag).expect("the tag is there"))
    }

    /// A manifest or config by its digest.
    pub fn json(&self, digest: &str) -> serde_json::Value {
        let hex = digest.trim_start_matches("sha256:");
        let path = format!("blobs/sha256/{}/{hex}/data", &hex[..2]);
        serde_json::from_slice(&std::fs::read(self.storage().join(path)).unwrap()).unwrap()
    }

    /// Digests of all blobs that it holds.
    pub fn blobs(&self) -> BTreeSet<String> {
        let mut blobs = BTreeSet::new();
        let Ok(prefixes) = std::fs::read_dir(self.storage().join("blobs/sha256")) else {
            return blobs;
        };
        for prefix in prefixes {
            for blob in std::fs::read_dir(prefix.unwrap().path()).unwrap() {
                blobs.insert(blob.unwrap().file_name().into_string().unwrap());
            }
        }
        blobs
    }

    /// The files of all blobs.
    pub fn blob_files(&self) -> Vec<PathBuf> {
        let of = |digest: &String| {
            self.storage()
                .join(format!("blobs/sha256/{}/{digest}/data", &digest[..2]))
        };
        self.blobs()
            .iter()
            .map(of)
            .filter(|f| f.is_file())
            .collect()
    }

    /// Every file of its storage.
    pub fn files(&self) -> Vec<PathBuf> {
        let listed = super::run("find", &[self.storage().to_str().unwrap(), "-type", "f"]);
        listed.lines().map(PathBuf::from).collect()
    }

    /// The file that says which digest a tag points at.
    pub fn link(&self, repository: &str, tag: &str) -> PathBuf {
        let link = format!("repositories/{repository}/_manifests/tags/{tag}/current/link");
        self.storage().join(link)
    }

    /// The manifest that a tag points at.
    pub fn manifest_file(&self, repository: &str, tag: &str) -> PathBuf {
        let digest = self.digest(repository, tag).unwrap();
        let hex = digest.trim().strip_prefix("sha256:").unwrap().to_string();
        self.storage()
            .join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// The digest that a tag points at.
    pub fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        std::fs::read_to_string(self.link(repository, tag)).ok()
    }

    /// Repositories that have a tag, with it, sorted: `app:1`.
    pub fn tags(&self) -> Vec<String> {
        let root = self.storage().join("repositories");
        let mut found = Vec::new();
        gather_tags(&root, &root, &mut found);
        found.sort();
        found
    }
}

fn gather_tags(root: &Path, directory: &Path, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "_manifests" {
            let repository = directory.strip_prefix(root).unwrap().display().to_string();
            let Ok(tags) = std::fs::read_dir(path.join("tags")) else {
                continue;
            };
            found.extend(
                tags.map(|t| format!("{repository}:{}", t.unwrap().file_name().to_string_lossy())),
            );
        } else if !name.starts_with('_') && path.is_dir() {
            gather_tags(root, &path, found);
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        drop(self.guard.wait());
    }
}

fn configuration(directory: &Path, host: &str, access: &Access) -> String {
    use std::fmt::Write;
    let mut text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}/data}}\n  delete: {{enabled: true}}\n\
         http:\n  addr: {host}\n",
        directory.display()
    );
    if let Some((certificate, key)) = &access.tls {
        writeln!(
            text,
            "  tls: {{certificate: {}, key: {}}}",
            certificate.display(),
            key.display()
        )
        .unwrap();
    }
    if let Some((user, password)) = access.basic {
        let file = directory.join("htpasswd");
        std::fs::write(&file, super::run("htpasswd", &["-Bbn", user, password])).unwrap();
        write!(
            text,
            "auth:\n  htpasswd: {{realm: test, path: {}}}\n",
            file.display()
        )
        .unwrap();
    }
    text
}

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
