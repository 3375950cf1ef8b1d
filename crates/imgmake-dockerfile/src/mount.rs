//! `RUN --mount=…`: the options as written, and the mount that they mean once variables are expanded.

use super::ast::{Escape, MountOption, MountSpec};
use super::csv;
use super::error::{DockerfileError, Kind, Mistake};
use super::suggest;
use super::words::{self, Environment};
use std::collections::BTreeSet;

/// A mount with final values. A relative `target` is below the working directory; an empty one is the working directory itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    Bind {
        /// A stage, a named context or an image; the build context if missing.
        from: Option<String>,
        source: String,
        target: String,
        access: Access,
    },
    Cache {
        /// The cleaned target if not given.
        id: String,
        target: String,
        access: Access,
        sharing: CacheSharing,
        /// What an empty cache starts with.
        from: Option<String>,
        source: String,
        ownership: Ownership,
    },
    Tmpfs {
        target: String,
        /// In bytes.
        size: Option<u64>,
    },
    Secret {
        id: String,
        /// `None`: only in the environment.
        target: Option<String>,
        /// The variable that holds it during this step.
        env: Option<String>,
        required: bool,
        ownership: Ownership,
    },
    Ssh {
        id: String,
        target: Option<String>,
        required: bool,
        ownership: Ownership,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    /// On a bind mount, what is written is thrown away afterwards.
    ReadWrite,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheSharing {
    #[default]
    Shared,
    Private,
    Locked,
}
/// What was asked for; defaults: 0, 0, and 0755 (cache), 0400 (secret), 0600 (ssh).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mode: Option<u32>,
}

const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const SHARINGS: [&str; 3] = ["shared", "private", "locked"];
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
];

impl MountSpec {
    pub(super) fn parse(text: &str) -> Result<MountSpec, DockerfileError> {
        let fields = csv::fields(text).map_err(|mistake| mistake.in_word(text))?;
        let options = fields.iter().map(|field| {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (field.as_str(), None),
            };
            let key = key.to_lowercase();
            match KEYS.contains(&key.as_str()) {
                true => Ok(MountOption { key, value }),
                false => Err(unknown_key(&key, field)),
            }
        });
        let spec = MountSpec {
            options: options.collect::<Result<_, _>>()?,
        };
        spec.check()?;
        Ok(spec)
    }

    /// `from`, which never expands, because stages are ordered before anything runs.
    pub fn from(&self) -> Option<&str> {
        self.last("from").filter(|from| !from.is_empty())
    }

    /// All that can be known before variables are.
    fn check(&self) -> Result<(), DockerfileError> {
        if let Some(from) = self.from()
            && from.find('$').is_some_and(|at| at + 1 < from.len())
        {
            let option = format!("from={from}");
            return Err(Mistake::Variable { option }
                .in_word(from)
                .help("name a stage instead: FROM $IMAGE AS name, then from=name"));
        }
        let values = self.options.iter().filter_map(|o| o.value.as_deref());
        match values.clone().any(|v| v.contains('$')) {
            true => Ok(()),
            false => self
                .expand(&|_| None, Escape::Backslash)?
                .0
                .mount()
                .map(drop),
        }
    }

    /// The same options with values expanded, and the names that were looked up: used, unset.
    pub(super) fn expand(
        &self,
        environment: Environment<'_>,
        escape: Escape,
    ) -> Result<(MountSpec, BTreeSet<String>, BTreeSet<String>), DockerfileError> {
        let (mut used, mut unset) = (BTreeSet::new(), BTreeSet::new());
        let mut options = self.options.clone();
        for value in options.iter_mut().filter_map(|o| o.value.as_mut()) {
            let expanded = words::expand(value, environment, escape)?;
            *value = expanded.text;
            used.extend(expanded.used);
            unset.extend(expanded.unset);
        }
        Ok((MountSpec { options }, used, unset))
    }

    /// What the options mean; their values are final (see [`super::Located::expand`]).
    pub fn mount(&self) -> Result<Mount, DockerfileError> {
        for option in &self.options {
            let bare = ["readonly", "ro", "readwrite", "rw", "required"];
            if option.value.is_none() && !bare.contains(&option.key.as_str()) {
                let mistake = Mistake::missing(format!("mount option `{}`", option.key), "a value");
                return Err(mistake
                    .in_word(option.key.as_str())
                    .help(format!("write {}=…", option.key)));
            }
        }
        let kind = self.kind()?;
        self.reject_foreign(kind)?;
        let target = self.target();
        if target.starts_with('/') && clean(&target) == "/" {
            return Err(Mistake::invalid(format!("mount target `{target}`"))
                .in_word(target.as_str())
                .help("a mount must be below `/`"));
        }
        match kind {
            "cache" => self.cache(),
            "tmpfs" => Ok(Mount::Tmpfs {
                target: self.target(),
                size: self
                    .parsed("size", "a size such as 64m", bytes)?
                    .filter(|s| *s > 0),
            }),
            "secret" => self.secret(),
            "ssh" => Ok(Mount::Ssh {
                id: self.text("id").unwrap_or_else(|| "default".to_owned()),
                target: self.non_empty_target(),
                required: self.flag("required")?.unwrap_or(false),
                ownership: self.ownership()?,
            }),
            _ => Ok(Mount::Bind {
                from: self.from().map(str::to_owned),
                source: self.source(),
                target: self.target(),
                access: self.access(Access::ReadOnly)?,
            }),
        }
    }

    fn kind(&self) -> Result<&'static str, DockerfileError> {
        let written = self.last("type").unwrap_or("bind");
        let lower = written.to_lowercase();
        let known = TYPES.iter().find(|t| **t == lower);
        known.copied().ok_or_else(|| {
            Mistake::unknown(Kind::MountType, written)
                .in_word(written)
                .nearest(suggest::nearest(&lower, TYPES))
                .help(format!("the types are {}", TYPES.join(", ")))
        })
    }

    /// Options that mean nothing for a type would be silently lost: errors.
    fn reject_foreign(&self, kind: &str) -> Result<(), DockerfileError> {
        let foreign: &[&str] = match kind {
            "bind" => &["sharing", "mode", "uid", "gid", "required", "size", "env"],
            "cache" => &["required", "size", "env"],
            "tmpfs" => &["sharing", "mode", "uid", "gid", "required", "env", "from"],
            "secret" => &["from", "sharing", "size"],
            _ => &["from", "sharing", "size", "source", "src", "env"],
        };
        let found = self
            .options
            .iter()
            .find(|o| foreign.contains(&o.key.as_str()));
        match found {
            None => Ok(()),
            Some(option) => {
                let owner = format!("mount option `{}`", option.key);
                let why = format!("is not an option of type `{kind}`");
                Err(Mistake::unexpected(owner, why)
                    .in_word(option.key.as_str())
                    .help("the type of a mount is `bind` unless `type=` is given"))
            }
        }
    }

    fn cache(&self) -> Result<Mount, DockerfileError> {
        let target = self.target();
        Ok(Mount::Cache {
            id: self.text("id").unwrap_or_else(|| clean(&target)),
            access: self.access(Access::ReadWrite)?,
            sharing: self
                .parsed("sharing", "shared, private or locked", sharing)
                .map_err(|e| {
                    let near = e.word.as_deref().map(str::to_lowercase);
                    let near = near.and_then(|w| suggest::nearest(&w, SHARINGS));
                    e.nearest(near)
                })?
                .unwrap_or_default(),
            from: self.from().map(str::to_owned),
            source: self.source(),
            ownership: self.ownership()?,
            target,
        })
    }

    fn secret(&self) -> Result<Mount, DockerfileError> {
        let source = self.text("source");
        let (id, target) = (self.text("id"), self.non_empty_target());
        if source.is_some() && id.is_some() {
            let why = "takes `id` or `source`, not both";
            return Err(Mistake::unexpected("a secret mount", why).in_word("source"));
        }
        let named = source.or(id).or_else(|| target.as_deref().map(base_name));
        let Some(id) = named else {
            let mistake = Mistake::missing("a secret mount", "`id` or `target`");
            return Err(DockerfileError::from(mistake).help("write id=NAME"));
        };
        let env = self.last("env").map(|name| match name {
            "" => id.clone(),
            name => name.to_owned(),
        });
        let default_target = || format!("/run/secrets/{}", base_name(&id));
        Ok(Mount::Secret {
            target: match &env {
                Some(_) => target,
                None => Some(target.unwrap_or_else(default_target)),
            },
            env,
            required: self.flag("required")?.unwrap_or(false),
            ownership: self.ownership()?,
            id,
        })
    }

    fn last(&self, key: &str) -> Option<&str> {
        let same = |o: &&MountOption| canonical(&o.key) == key;
        self.options.iter().rev().find(same)?.value.as_deref()
    }
    fn text(&self, key: &str) -> Option<String> {
        self.last(key).filter(|v| !v.is_empty()).map(str::to_owned)
    }
    fn source(&self) -> String {
        self.text("source").unwrap_or_default()
    }
    fn target(&self) -> String {
        self.text("target").unwrap_or_default()
    }
    fn non_empty_target(&self) -> Option<String> {
        self.text("target")
    }

    /// The last of `ro`, `rw` and their longer names decides.
    fn access(&self, default: Access) -> Result<Access, DockerfileError> {
        let mut access = default;
        for option in &self.options {
            let read_only = match canonical(&option.key) {
                "readonly" => truth(option)?,
                "readwrite" => !truth(option)?,
                _ => continue,
            };
            access = if read_only {
                Access::ReadOnly
            } else {
                Access::ReadWrite
            };
        }
        Ok(access)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, DockerfileError> {
        let option = self.options.iter().rev().find(|o| o.key == key);
        option.map(truth).transpose()
    }

    fn ownership(&self) -> Result<Ownership, DockerfileError> {
        let octal = |v: &str| u32::from_str_radix(v, 8).ok().filter(|m| *m <= 0o7777);
        let decimal = |v: &str| v.parse().ok();
        Ok(Ownership {
            uid: self.parsed("uid", "a number", decimal)?,
            gid: self.parsed("gid", "a number", decimal)?,
            mode: self.parsed("mode", "an octal number up to 7777", octal)?,
        })
    }

    fn parsed<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, DockerfileError> {
        let Some(value) = self.last(key) else {
            return Ok(None);
        };
        parse(value).map(Some).ok_or_else(|| {
            let what = format!("mount option `{key}={value}`");
            Mistake::unusable(what, format!("is not {expected}")).in_word(value)
        })
    }
}

impl std::fmt::Display for MountSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields: Vec<String> = self.options.iter().map(MountOption::field).collect();
        f.write_str(&csv::join(fields.iter().map(String::as_str)))
    }
}

impl MountOption {
    fn field(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.key),
            None => self.key.clone(),
        }
    }
}

fn canonical(key: &str) -> &str {
    match key {
        "src" => "source",
        "dst" | "destination" => "target",
        "ro" => "readonly",
        "rw" => "readwrite",
        key => key,
    }
}

fn unknown_key(key: &str, field: &str) -> DockerfileError {
    let kind = Kind::MountOption {
        field: field.to_owned(),
    };
    Mistake::unknown(kind, key)
        .in_word(field)
        .nearest(suggest::nearest(key, KEYS))
        .help(format!("the options are {}", KEYS.join(", ")))
}

/// Go's `strconv.ParseBool`; a bare key means yes.
fn truth(option: &MountOption) -> Result<bool, DockerfileError> {
    match option.value.as_deref() {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => {
            let what = format!("mount option `{}={other}`", option.key);
            Err(Mistake::unusable(what, "is not true or false").in_word(other))
        }
    }
}

fn sharing(text: &str) -> Option<CacheSharing> {
    match text.to_lowercase().as_str() {
        "shared" => Some(CacheSharing::Shared),
        "private" => Some(CacheSharing::Private),
        "locked" => Some(CacheSharing::Locked),
        _ => None,
    }
}

/// `64m`, `1.5GiB`, `512 kb`: units are powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match &text[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let number: f64 = digits.trim_end_matches(' ').parse().ok()?;
    let bytes = number * 1024f64.powi(power);
    (bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// Go's `path.Clean`, which names a cache after its target.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => drop(parts.pop()),
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    match (path.starts_with('/'), parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

fn base_name(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    let name = trimmed.rsplit('/').next().unwrap_or(trimmed);
    if name.is_empty() { path } else { name }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Result<Mount, String> {
        let spec = MountSpec::parse(text).map_err(|e| e.mistake.to_string())?;
        spec.mount().map_err(|e| e.mistake.to_string())
    }

    #[test]
    fn a_bind_mount_is_read_only_unless_told_otherwise() {
        let bind = |access| Mount::Bind {
            from: None,
            source: "src".into(),
            target: "/x".into(),
            access,
        };
        assert_eq!(mount("source=src,target=/x"), Ok(bind(Access::ReadOnly)));
        assert_eq!(
            mount("TYPE=bind,src=src,dst=/x,rw"),
            Ok(bind(Access::ReadWrite))
        );
        assert_eq!(
            mount("src=src,dst=/x,ro=false"),
            Ok(bind(Access::ReadWrite))
        );
    }

    #[test]
    fn a_cache_is_named_after_its_target() {
        let Ok(Mount::Cache {
            id,
            access,
            sharing,
            ..
        }) = mount("type=cache,target=/root//.cache/,sharing=locked")
        else {
            panic!("no cache")
        };
        assert_eq!(
            (id.as_str(), access, sharing),
            ("/root/.cache", Access::ReadWrite, CacheSharing::Locked)
        );
    }

    #[test]
    fn a_secret_is_a_file_or_a_variable() {
        let secret = |text| match mount(text) {
            Ok(Mount::Secret {
                id, target, env, ..
            }) => (id, target, env),
            other => panic!("{other:?}"),
        };
        let s = |t: &str| t.to_owned();
        assert_eq!(
            secret("type=secret,id=a/npm"),
            (s("a/npm"), Some(s("/run/secrets/npm")), None)
        );
        assert_eq!(
            secret("type=secret,target=/etc/k"),
            (s("k"), Some(s("/etc/k")), None)
        );
        assert_eq!(
            secret("type=secret,id=t,env=TOKEN"),
            (s("t"), None, Some(s("TOKEN")))
        );
        assert_eq!(
            secret("type=secret,id=t,env=T,dst=/t"),
            (s("t"), Some(s("/t")), Some(s("T")))
        );
    }

    #[test]
    fn sizes_have_units() {
        let sizes = [
            ("64m", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("10", 10),
            ("2 kb", 2048),
        ];
        for (text, expected) in sizes {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        assert_eq!(bytes("lots"), None);
        assert_eq!(bytes("-1"), None);
    }

    #[test]
    fn options_that_cannot_work_are_errors() {
        for text in [
            "type=bnd",
            "targt=/x",
            "type=cache,target=/x,required",
            "type=bind,sharing=locked",
            "type=cache,target=/x,sharing=mine",
            "type=secret",
            "type=secret,id=a,source=b",
            "type=ssh,source=x",
            "type=cache,target=/x,mode=999",
            "type=tmpfs,target=/",
            "type=bind,target=/a/../.",
            "type=bind,from=$STAGE",
            "type=bind,target",
            "ro=perhaps",
        ] {
            assert!(mount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_wait_for_their_values() {
        let spec = MountSpec::parse("type=$T,target=/x,id=${ID}-c").unwrap();
        let environment = |name: &str| Some(if name == "T" { "cache" } else { "i" }.to_owned());
        let (spec, used, _) = spec.expand(&environment, Escape::Backslash).unwrap();
        assert_eq!(used, ["ID", "T"].map(String::from).into());
        assert!(matches!(spec.mount(), Ok(Mount::Cache { id, .. }) if id == "i-c"));
    }
}
