//! `output`, `push` and `load` of a target: archives, layouts, files, daemons, registries.

use super::fields::{annotation, fields, flag, named};
use super::given::{Given, Values};
use super::problem::Problem;
use super::value::Value;
use crate::nodes::plain;
use imgmake_core::manifest::{
    BuildTarget, ExportForm, ExportNode, ImageFormat, LoadInto, LoadNode, TarFormat, TarOutput,
    WithoutDaemon,
};

/// What becomes of the image beside what the build target says.
#[derive(Default)]
pub(super) struct Outputs {
    /// Whether the file itself asks for a push.
    pub pushed: bool,
    /// Whether `bake --push` would publish it: not where it is only written somewhere.
    pub publishable: bool,
    /// Names that stand in an `output`.
    pub names: Vec<String>,
}

const TYPES: [&str; 7] = [
    "cacheonly",
    "docker",
    "image",
    "local",
    "oci",
    "registry",
    "tar",
];
const HELP: &str = "write `type=local,dest=DIR`, `type=tar,dest=FILE`, `type=docker,dest=FILE`, `type=oci,dest=FILE`, `type=docker`, `type=registry` or `type=image,push=true`";

pub(super) fn outputs(
    name: &str,
    values: &Values,
    build: &mut BuildTarget,
    notes: &mut Vec<String>,
) -> Result<Outputs, Problem> {
    let mut outputs = Outputs {
        publishable: true,
        ..Outputs::default()
    };
    if let Some(given) = values.get("output") {
        let mut kinds = Vec::new();
        for fields in fields(given, "output")? {
            let output = Output {
                name,
                line: given.line,
                fields,
            };
            kinds.push(output.kind()?.to_string());
            output.apply(build, &mut outputs, notes)?;
        }
        let publishes = |kind: &String| ["docker", "image", "registry"].contains(&kind.as_str());
        outputs.publishable = kinds.is_empty() || kinds.iter().any(publishes);
    }
    if flag(values, "load")? {
        load(build);
    }
    // `--set *.push=false` takes the file's word back.
    if values.contains_key("push") {
        outputs.pushed = flag(values, "push")?;
        outputs.publishable = outputs.pushed;
    }
    Ok(outputs)
}

/// What one `output` asks for, in docker's way of writing.
pub(in crate::import) struct Asked {
    pub pushes: bool,
    pub is_named: bool,
}

/// Nothing where it is no output; [`outputs`] says why.
pub(in crate::import) fn asked(output: &str) -> Option<Asked> {
    let given = Given {
        value: Value::Array(vec![Value::from(output)]),
        line: None,
    };
    let fields = fields(&given, "output").ok()?.pop()?;
    let output = Output {
        name: "",
        line: None,
        fields,
    };
    let push = output.yes("push").ok()?;
    Some(Asked {
        pushes: match output.kind().ok()? {
            "registry" => push != Some(false),
            "image" => push == Some(true),
            _ => false,
        },
        is_named: output.field("name").is_some(),
    })
}

fn load(build: &mut BuildTarget) {
    build.load = vec![LoadNode {
        into: LoadInto::Docker,
        without: WithoutDaemon::Note,
    }];
}

struct Output<'a> {
    name: &'a str,
    line: Option<usize>,
    fields: Vec<(String, String)>,
}

impl Output<'_> {
    fn field(&self, key: &str) -> Option<&str> {
        let found = self.fields.iter().rev().find(|(name, _)| name == key);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn yes(&self, key: &str) -> Result<Option<bool>, Problem> {
        match self.field(key) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(self.refused(&format!(
                "has `{key}={other}`, which is neither true nor false"
            ))),
        }
    }

    fn kind(&self) -> Result<&str, Problem> {
        let kind = self.field("type").unwrap_or("local");
        match TYPES.contains(&kind) {
            true => Ok(kind),
            false => Err(self.refused(&format!("has `type={kind}`, which is unknown"))),
        }
    }

    fn refused(&self, why: &str) -> Problem {
        let message = format!("target `{}`: an `output` {why}", self.name);
        Problem::at(self.line, message).with_help(HELP)
    }

    fn apply(
        &self,
        build: &mut BuildTarget,
        outputs: &mut Outputs,
        notes: &mut Vec<String>,
    ) -> Result<(), Problem> {
        self.check(notes)?;
        let kind = self.kind()?;
        match (kind, self.field("dest")) {
            ("tar", None | Some("-")) | (_, Some("-")) => {
                return Err(self.refused("is written to the standard output (`dest=-`)"));
            }
            ("local" | "tar", dest) => return self.export(kind, dest, build),
            ("registry", None) => outputs.pushed |= self.yes("push")? != Some(false),
            ("image", None) => outputs.pushed |= self.yes("push")? == Some(true),
            ("cacheonly", None) => {}
            ("docker", None) => load(build),
            ("oci", None) => return Err(self.refused("of `type=oci` has no `dest`")),
            ("docker" | "oci", Some(path)) => self.archive(kind, path, build)?,
            (_, dest) => {
                let dest = dest.unwrap_or_default();
                return Err(self.refused(&format!("of `type={kind}` has no use for `dest={dest}`")));
            }
        }
        let names = self
            .field("name")
            .unwrap_or_default()
            .split(',')
            .map(str::trim);
        let names = names.filter(|name| !name.is_empty()).map(String::from);
        outputs.names.extend(names);
        self.tune(kind, build)
    }

    /// The files of the image.
    fn export(
        &self,
        kind: &str,
        dest: Option<&str>,
        build: &mut BuildTarget,
    ) -> Result<(), Problem> {
        let Some(path) = dest else {
            return Err(self.refused("of `type=local` has no `dest`"));
        };
        let form = match kind {
            "tar" => ExportForm::Tar,
            _ => ExportForm::Directory,
        };
        let is_nowhere = |part: &str| ["", ".", ".."].contains(&part);
        if form == ExportForm::Directory
            && !path.starts_with('/')
            && path.split('/').all(is_nowhere)
        {
            let why = format!("writes files to {path:?}, which contains the sources");
            return Err(self
                .refused(&why)
                .with_help("use a separate directory: `type=local,dest=out`"));
        }
        if self.yes("platform-split")? == Some(false) && build.platforms.len() > 1 {
            let why = "has `platform-split=false`: each platform has its own directory";
            return Err(self.refused(why));
        }
        if build.exports.iter().any(|other| other.path.value == path) {
            return Err(self.refused(&format!("is written to `{path}`, like another output")));
        }
        let path = plain(path);
        build.exports.push(ExportNode { path, form });
        Ok(())
    }

    fn archive(&self, kind: &str, path: &str, build: &mut BuildTarget) -> Result<(), Problem> {
        let unpacked = self.yes("tar")? == Some(false);
        if unpacked && kind == "oci" {
            build.layout = Some(plain(path));
            return Ok(());
        }
        if unpacked {
            return Err(self.refused("of `type=docker` has `tar=false`"));
        }
        if let Some(other) = &build.tar {
            let message = format!(
                "is a second archive, `{path}` beside `{}`",
                other.path.value
            );
            return Err(self.refused(&message));
        }
        let format = if kind == "oci" {
            TarFormat::Oci
        } else {
            TarFormat::Docker
        };
        let path = plain(path);
        build.tar = Some(TarOutput { path, format });
        Ok(())
    }

    fn tune(&self, kind: &str, build: &mut BuildTarget) -> Result<(), Problem> {
        match self.field("compression") {
            None => {}
            Some(name @ ("gzip" | "zstd")) => build.compression = Some(plain(name)),
            Some("uncompressed") => build.compression = Some(plain("none")),
            Some(other) => {
                let why =
                    format!("has `compression={other}`; gzip, zstd and uncompressed are known");
                return Err(self.refused(&why));
            }
        }
        if let Some(text) = self.field("compression-level") {
            let most = if self.field("compression") == Some("zstd") {
                22
            } else {
                12
            };
            let level = text.parse().ok().filter(|level| (0..=most).contains(level));
            let wrong = || self.refused(&format!("has `compression-level={text}`"));
            build.compression_level = Some(level.ok_or_else(wrong)?);
            build.compression.get_or_insert_with(|| plain("gzip"));
        }
        if self.yes("oci-mediatypes")? == Some(false) && kind != "oci" {
            build.format = ImageFormat::Docker;
        }
        for (key, value) in &self.fields {
            let Some((level, key)) = key
                .split_once('.')
                .filter(|(k, _)| k.starts_with("annotation"))
            else {
                continue;
            };
            // `annotation`, `annotation-index`, `annotation-manifest[linux/arm64]`
            let own = level.trim_start_matches("annotation");
            let own = match own.strip_prefix('-') {
                Some(own) => own.to_string(),
                None => format!("manifest{own}"),
            };
            let Some(key) = annotation(&own, key) else {
                let message = format!("has `{level}.{key}`, a level that is not written");
                return Err(self.refused(&message));
            };
            build.annotations.insert(key, plain(value));
        }
        Ok(())
    }

    /// No field goes by unread.
    fn check(&self, notes: &mut Vec<String>) -> Result<(), Problem> {
        const READ: [&str; 9] = [
            "compression",
            "compression-level",
            "dest",
            "name",
            "oci-mediatypes",
            "push",
            "rewrite-timestamp",
            "tar",
            "type",
        ];
        const NO_EFFECT: [&str; 13] = [
            "attestation-inline",
            "attestation-prefix",
            "buildinfo",
            "context",
            // As BuildKit writes it.
            "danging-name-empty-only",
            "dangling-name-prefix",
            "force-compression",
            "name-canonical",
            "oci-artifact",
            "platform-split",
            "prefer-nondist-layers",
            "store",
            "unpack",
        ];
        for (key, value) in &self.fields {
            if READ.contains(&key.as_str()) || key.starts_with("annotation") {
                continue;
            }
            match key.as_str() {
                "push-by-digest" | "registry.insecure" if value == "false" => {}
                "push-by-digest" => {
                    return Err(
                        self.refused(&format!("has `{key}={value}`: images are pushed by name"))
                    );
                }
                "registry.insecure" => {
                    let message = format!(
                        "has `{key}={value}`: that is a setting of the step or the registry"
                    );
                    return Err(self
                        .refused(&message)
                        .with_help("set PLUGIN_INSECURE, or `insecure` in a registry node"));
                }
                field if NO_EFFECT.contains(&field) => notes.push(format!(
                    "`{key}={value}` in `output` of `{}` has no effect",
                    self.name
                )),
                _ => {
                    let fields = READ.iter().chain(&NO_EFFECT).copied();
                    let problem = self.refused(&format!("has `{key}={value}`, which is unknown"));
                    return Err(problem.with_help(named(key, fields)));
                }
            }
        }
        Ok(())
    }
}
