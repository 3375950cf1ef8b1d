//! One case as it lies on disk, and its working copy.
//!
//! `request` asks one thing per line:
//!
//! ```text
//! arg NAME=value          label NAME=value        annotation NAME=value
//! secret ID=text          secret-file ID=text     ssh ID
//! stage NAME              platform linux/arm64    context NAME DIRECTORY
//! image NAME FILE         epoch SECONDS           absent TEXT
//! show times              show created
//! differs ROW ROW…
//! alone why no other builder is asked
//! isolation NAME why the image is another one there
//! not-in NAME why it says nothing there
//! beyond-lint why the text of the Dockerfile alone does not tell of the mistake
//! ```
//!
//! `differs` names rows of the table of other builders (`imgmake lint --compat`); one that shows
//! in the Dockerfile counts without being named.
//!
//! `absent` is a text that must be in no layer, config or manifest. `image` builds
//! another file of the case first, with an annotation and a time of its own, and
//! calls the result NAME. A `web.sh` makes what a server on loopback shows below the
//! argument `WEB`. With `isolation` the image there is the one of `expected.NAME.txt`; a case is
//! not built in an isolation mode in which its image depends on the machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::ground::images::path;
use crate::ground::{run, temporary};

pub struct Case {
    pub directory: PathBuf,
    pub request: Request,
}

#[derive(Default)]
pub struct Request {
    pub args: Vec<(String, String)>,
    pub secrets: Vec<(String, String)>,
    pub secret_files: Vec<(String, String)>,
    pub ssh: Vec<String>,
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    pub images: Vec<(String, String)>,
    pub contexts: Vec<(String, String)>,
    pub platforms: Vec<String>,
    pub stage: Option<String>,
    pub epoch: Option<i64>,
    pub times: bool,
    pub created: bool,
    pub absent: Vec<String>,
    /// Rows of the table of other builders.
    pub differs: Vec<String>,
    /// Why it is compared with no other builder.
    pub alone: Option<String>,
    /// Isolation mode to reason.
    pub isolation_modes: BTreeMap<String, String>,
    /// The same, of isolation modes in which the case says nothing.
    pub not_in: BTreeMap<String, String>,
    /// Why `lint` cannot know of its mistake.
    pub beyond_lint: Option<String>,
}

pub fn cases(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

impl Case {
    pub fn all(kind: &str) -> Vec<Case> {
        let wanted = std::env::var("CASE").unwrap_or_default();
        let entries = fs::read_dir(cases(kind)).unwrap();
        let paths = entries.map(|e| e.unwrap().path());
        let mut directories: Vec<PathBuf> = paths.filter(|p| p.is_dir()).collect();
        directories.sort();
        let named = |d: &&PathBuf| d.to_str().unwrap().contains(&wanted);
        directories
            .iter()
            .filter(named)
            .map(|d| Case::read(d))
            .collect()
    }

    pub fn read(directory: &Path) -> Case {
        let text = fs::read_to_string(directory.join("request")).unwrap_or_default();
        Case {
            directory: directory.to_owned(),
            request: Request::parse(&text),
        }
    }

    pub fn name(&self) -> &str {
        self.directory.file_name().unwrap().to_str().unwrap()
    }

    /// Whether something in it is executed, so that its image depends on how that is isolated.
    pub fn runs(&self) -> bool {
        let runs = |name: &str| {
            let text = fs::read_to_string(self.directory.join(name)).unwrap_or_default();
            text.contains("RUN ")
        };
        ["Dockerfile", "Dockerfile.parent", "context.sh"]
            .into_iter()
            .any(runs)
    }

    /// The text of each of its Dockerfiles, once it is laid out where a script writes it.
    pub fn dockerfiles(&self) -> Vec<Vec<u8>> {
        let written = temporary();
        let scripted = self.directory.join("context.sh").exists();
        let directory = match scripted {
            true => {
                self.lay_out(written.path());
                written.path()
            }
            false => &self.directory,
        };
        let entries = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path());
        let is_one = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("Dockerfile") && !name.ends_with("ignore")
        };
        let mut files: Vec<PathBuf> = entries.filter(is_one).collect();
        files.sort();
        files.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// What the server shows for this case, if it has one.
    pub fn serve(&self, served: &Path) -> bool {
        let script = self.directory.join("web.sh");
        if !script.exists() {
            return false;
        }
        fs::create_dir_all(served).unwrap();
        let at = "umask 022; cd \"$1\" && . \"$2\"";
        run("bash", &["-euc", at, "web", path(served), path(&script)]);
        true
    }

    /// The Dockerfile, and the context with the modes that a umask of 022 gives.
    pub fn lay_out(&self, place: &Path) {
        let context = place.join("context");
        let script = "umask 022; mkdir \"$1\" && cd \"$1\" || exit 1; \
            cp \"$2\"/Dockerfile* ..; \
            if [ -d \"$2/context\" ]; then cp -R \"$2/context/.\" . && chmod -R u=rwX,go=rX .; fi; \
            if [ -f \"$2/context.sh\" ]; then . \"$2/context.sh\"; fi";
        run(
            "bash",
            &[
                "-euc",
                script,
                "context",
                path(&context),
                path(&self.directory),
            ],
        );
    }
}

impl Request {
    fn parse(text: &str) -> Request {
        let mut request = Request::default();
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let pair = |by: char| {
                let (name, value) = rest.split_once(by).unwrap_or((rest, ""));
                (name.to_string(), value.to_string())
            };
            match word {
                "arg" => request.args.push(pair('=')),
                "secret" => request.secrets.push(pair('=')),
                "secret-file" => request.secret_files.push(pair('=')),
                "ssh" => request.ssh.push(rest.into()),
                "label" => request.labels.push(pair('=')),
                "annotation" => request.annotations.push(pair('=')),
                "image" => request.images.push(pair(' ')),
                "context" => request.contexts.push(pair(' ')),
                "platform" => request.platforms.push(rest.into()),
                "stage" => request.stage = Some(rest.into()),
                "epoch" => request.epoch = Some(rest.parse().unwrap()),
                "show" if rest == "times" => request.times = true,
                "show" if rest == "created" => request.created = true,
                "absent" => request.absent.push(rest.into()),
                "differs" => request.differs.extend(rest.split(' ').map(String::from)),
                "alone" => request.alone = Some(rest.into()),
                "isolation" => request.isolation_modes.extend([pair(' ')]),
                "not-in" => request.not_in.extend([pair(' ')]),
                "beyond-lint" => request.beyond_lint = Some(rest.into()),
                other => panic!("a request knows no `{other}`"),
            }
        }
        request
    }
}
