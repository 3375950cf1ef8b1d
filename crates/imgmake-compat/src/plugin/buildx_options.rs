//! `PLUGIN_BUILDX_OPTIONS`: arguments that the buildx plugin would have handed to `docker buildx build`. Each is
//! given its meaning here, or refused: none is dropped without a word.

use std::collections::BTreeMap;

use super::building::{add_host, secret_option};
use super::reader::Reader;
use super::tags::{check_tag, written_tag};
use super::{Refusal, cache, value};
use crate::error::malformed;
use crate::nodes::{all_plain, plain};
use crate::oci_layout;
use crate::step::Step;
use imgmake_core::manifest::{
    BuildTarget, CacheAccess, CacheNode, ContextNode, ExportForm, ExportNode, RecipeNode,
    RemoteKind, TarFormat, TarOutput, remote_kind, suggest,
};

/// What the options come to beside the build itself.
#[derive(Default)]
pub(super) struct More {
    pub cache: CacheNode,
    pub tar: Option<TarOutput>,
    /// Further names.
    pub tags: Vec<String>,
    pub load: bool,
    pub metadata: Option<String>,
}

const WITH_VALUE: [&str; 30] = [
    "add-host",
    "allow",
    "annotation",
    "attest",
    "build-arg",
    "build-context",
    "builder",
    "cache-from",
    "cache-to",
    "call",
    "cgroup-parent",
    "file",
    "iidfile",
    "label",
    "metadata-file",
    "network",
    "no-cache-filter",
    "output",
    "platform",
    "progress",
    "provenance",
    "sbom",
    "secret",
    "shm-size",
    "ssh",
    "tag",
    "target",
    "ulimit",
    "policy",
    "memory",
];
const FLAGS: [&str; 10] = [
    "no-cache", "pull", "push", "load", "quiet", "rm", "force-rm", "compress", "debug", "squash",
];

/// Reads the options of the variables into the build.
///
/// # Errors
/// One that is unknown, malformed or not supported.
pub(super) fn apply(
    reader: &Reader,
    environment: &BTreeMap<String, String>,
    build: &mut BuildTarget,
    step: &mut Step,
) -> Result<More, Refusal> {
    let mut more = More::default();
    let semicolons = value::list(&reader.text("PLUGIN_BUILDX_OPTIONS_SEMICOLON"), ';');
    for (name, words) in [
        (
            "PLUGIN_BUILDX_OPTIONS",
            reader.list("PLUGIN_BUILDX_OPTIONS"),
        ),
        ("PLUGIN_BUILDX_OPTIONS_SEMICOLON", semicolons),
    ] {
        let mut options = Options {
            name,
            words: arranged(words),
            environment,
            build: &mut *build,
            step: &mut *step,
            more: &mut more,
        };
        options.read()?;
    }
    Ok(more)
}

/// One word for each argument: people also write `--label a=b` between two separators.
fn arranged(words: Vec<String>) -> Vec<String> {
    let mut arranged = Vec::new();
    for word in words.into_iter().filter(|word| !word.is_empty()) {
        match word.split_once(char::is_whitespace) {
            Some((option, value)) if option.starts_with('-') && !option.contains('=') => {
                arranged.push(option.to_string());
                arranged.push(value.trim().to_string());
            }
            _ => arranged.push(word),
        }
    }
    arranged
}

struct Options<'a> {
    name: &'static str,
    words: Vec<String>,
    environment: &'a BTreeMap<String, String>,
    build: &'a mut BuildTarget,
    step: &'a mut Step,
    more: &'a mut More,
}

impl Options<'_> {
    fn read(&mut self) -> Result<(), Refusal> {
        let mut words = std::mem::take(&mut self.words).into_iter();
        while let Some(word) = words.next() {
            let Some(written) = word.strip_prefix('-') else {
                return Err(self.refused(
                    "a word without an option",
                    "begin each with `--`; a value follows its option after `=`",
                ));
            };
            let written = written.strip_prefix('-').unwrap_or(written);
            let (option, given) = match written.split_once('=') {
                Some((option, value)) => (option, Some(value.to_string())),
                None => (written, None),
            };
            let option = match option {
                "t" => "tag",
                "f" => "file",
                "o" => "output",
                "q" => "quiet",
                "D" => "debug",
                other => other,
            };
            if FLAGS.contains(&option) {
                let text = given.as_deref().unwrap_or("true");
                let on = value::boolean(&format!("{}: --{option}", self.name), text)?;
                self.flag(option, on);
            } else if WITH_VALUE.contains(&option) {
                let value = given.or_else(|| words.next()).ok_or_else(|| {
                    self.refused(
                        &format!("missing value of `--{option}`"),
                        "write it after `=`",
                    )
                })?;
                self.option(option, value)?;
            } else {
                return Err(self.unknown(option));
            }
        }
        Ok(())
    }

    fn refused(&self, what: &str, help: &str) -> Refusal {
        Refusal::new(malformed(self.name, what), help)
    }

    fn unknown(&self, option: &str) -> Refusal {
        let options = WITH_VALUE.iter().chain(&FLAGS).copied();
        let help = match suggest::nearest(option, options) {
            Some(near) => format!("did you mean `--{near}`?"),
            None => "write an option of `docker buildx build`".to_string(),
        };
        self.refused(&format!("unknown option `--{option}`"), &help)
    }

    fn no_effect(&mut self, option: &str, why: &str) {
        self.step
            .notes
            .push(format!("{}: --{option} has no effect: {why}", self.name));
    }

    fn flag(&mut self, option: &str, on: bool) {
        match option {
            "no-cache" => self.build.no_cache |= on,
            "pull" => self.step.options.pull |= on,
            "squash" => self.build.squash |= on,
            "load" => self.more.load |= on,
            "push" if on => self.no_effect("push", "the step pushes unless PLUGIN_DRY_RUN is set"),
            // What these ask for is so, or is a matter of taste.
            _ => {}
        }
    }

    fn option(&mut self, option: &str, value: String) -> Result<(), Refusal> {
        match option {
            "build-arg" => self.build_arg(&value),
            "label" => {
                let (key, value) = self.pair(option, &value)?;
                self.build.labels.insert(key, plain(value));
                Ok(())
            }
            "annotation" => {
                let (key, value) = self.pair(option, &value)?;
                self.build.annotations.insert(key, plain(value));
                Ok(())
            }
            "platform" => {
                let platforms = value.split(',').map(str::trim);
                self.build.platforms = all_plain(platforms.filter(|p| !p.is_empty()));
                Ok(())
            }
            "target" => {
                self.set_recipe(None, Some(value));
                Ok(())
            }
            "file" => {
                self.set_recipe(Some(value), None);
                Ok(())
            }
            "network" => self.network(value),
            "secret" => {
                let (id, source) = secret_option(self.name, &value)?;
                self.step.add_secret(self.build, &id, source);
                Ok(())
            }
            "ssh" => self.ssh(&value),
            "add-host" => {
                let (host, address) = add_host(self.name, &value)?;
                self.build.add_hosts.insert(host, plain(address));
                Ok(())
            }
            "build-context" => self.context(&value),
            "cache-from" => self.cache(&value, CacheAccess::Read),
            "cache-to" => self.cache(&value, CacheAccess::Write),
            "output" => self.output(&value),
            "tag" => {
                if let Some(tag) = written_tag(&value) {
                    check_tag(&format!("{}: --tag", self.name), tag)?;
                }
                self.more.tags.push(value);
                Ok(())
            }
            "metadata-file" => {
                self.more.metadata = Some(value);
                Ok(())
            }
            "provenance" | "sbom" if value == "false" || value == "0" => Ok(()),
            "provenance" | "sbom" | "attest" => Err(self.refused(
                &format!("`--{option}` is not supported: a plugin makes no attestations"),
                "leave it out, or write `--provenance=false`; the `push` of a manifest attaches them (`attest \"spdx\" \"provenance\" as=\"index\"`)",
            )),
            "iidfile" => Err(self.refused(
                "`--iidfile` is not supported",
                "PLUGIN_METADATA_FILE contains the image's digests",
            )),
            "call" => Err(self.refused("`--call` is not supported", "`imgmake lint` checks Dockerfiles")),
            "no-cache-filter" | "policy" => Err(self.refused(
                &format!("`--{option}` is not supported"),
                "leave it out",
            )),
            _ => {
                self.no_effect(option, "it configures a builder, and imgmake uses none");
                Ok(())
            }
        }
    }

    fn pair(&self, option: &str, text: &str) -> Result<(String, String), Refusal> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_string(), value.to_string())),
            _ => Err(self.refused(&format!("invalid `--{option}`"), "write NAME=VALUE")),
        }
    }

    fn set_recipe(&mut self, file: Option<String>, target: Option<String>) {
        if let RecipeNode::Dockerfile { path, stage, .. } = &mut self.build.recipe {
            *path = file.map_or_else(|| path.clone(), plain);
            *stage = target.map(plain).or_else(|| stage.take());
        }
    }

    fn build_arg(&mut self, text: &str) -> Result<(), Refusal> {
        match text.split_once('=') {
            None => {
                if let Some(value) = self.environment.get(text) {
                    self.build.args.insert(text.to_string(), plain(value));
                }
            }
            Some(_) => {
                let (key, value) = self.pair("build-arg", text)?;
                self.build.args.insert(key, plain(value));
            }
        }
        Ok(())
    }

    fn network(&mut self, value: String) -> Result<(), Refusal> {
        if !["default", "host", "none"].contains(&value.as_str()) {
            return Err(self.refused(
                &format!("invalid `--network={value}`"),
                "write default, host or none",
            ));
        }
        self.build.network = Some(plain(value));
        Ok(())
    }

    /// `default`, `id=socket`; keys are an agent's business.
    fn ssh(&mut self, text: &str) -> Result<(), Refusal> {
        let (id, socket) = match text.split_once('=') {
            Some((id, socket)) => (id, Some(socket.to_string())),
            None => (text, None),
        };
        self.build.ssh.push((plain(id), socket));
        Ok(())
    }

    fn context(&mut self, text: &str) -> Result<(), Refusal> {
        let (name, place) = self.pair("build-context", text)?;
        let context = match place.split_once("://") {
            Some(("docker-image", image)) => ContextNode::Image(plain(image)),
            _ if remote_kind(&place) == Some(RemoteKind::Git) => ContextNode::Git(plain(&place)),
            Some((scheme, _)) => oci_layout::context(&place).ok_or_else(|| {
                self.refused(
                    &format!("`--build-context={name}={scheme}://…` is not supported"),
                    "name a directory, a repository in Git, or an image as `docker-image://NAME` or `oci-layout://DIR`",
                )
            })?,
            None => ContextNode::Path(plain(&place)),
        };
        let name = plain(name);
        self.build.contexts.retain(|(other, _)| *other != name);
        self.build.contexts.push((name, context));

        Ok(())
    }

    fn cache(&mut self, text: &str, access: CacheAccess) -> Result<(), Refusal> {
        let found = cache::option(self.name, text, access, &mut self.step.notes)?;
        self.more.cache.registries.extend(found);
        Ok(())
    }

    /// `type=docker,dest=F`, `type=oci,dest=F`, or what a push does anyway.
    fn output(&mut self, text: &str) -> Result<(), Refusal> {
        let field = |name: &str| {
            let mut fields = text
                .split(',')
                .rev()
                .filter_map(|part| part.trim().split_once('='));
            let found = fields.find(|(key, _)| *key == name);
            found.map(|(_, value)| value.to_string())
        };
        let kind = field("type").unwrap_or_default();
        let file = field("dest").filter(|file| file != "-");
        match (kind.as_str(), file) {
            ("docker", Some(file)) => self.more.tar = Some(archive(file, TarFormat::Docker)),
            ("oci", Some(file)) => self.more.tar = Some(archive(file, TarFormat::Oci)),
            ("docker", None) => self.more.load = true,
            ("local", Some(path)) => self.export(path, ExportForm::Directory)?,
            ("tar", Some(path)) => self.export(path, ExportForm::Tar)?,
            ("image" | "registry", _) => {
                self.no_effect("output", "the step pushes unless PLUGIN_DRY_RUN is set");
            }
            _ => {
                return Err(self.refused(
                    "such an `--output` is not supported",
                    "write `type=docker,dest=FILE`, `type=oci,dest=FILE`, `type=local,dest=DIRECTORY` or `type=tar,dest=FILE`, with PLUGIN_BUILDX_OPTIONS_SEMICOLON if it has a comma",
                ));
            }
        }
        Ok(())
    }

    /// The files of the image; the directory of the sources is no place for them.
    fn export(&mut self, path: String, form: ExportForm) -> Result<(), Refusal> {
        let is_nowhere = |part: &str| ["", ".", ".."].contains(&part);
        if form == ExportForm::Directory
            && !path.starts_with('/')
            && path.split('/').all(is_nowhere)
        {
            return Err(self.refused(
                &format!("`--output` writes files to `{path}`, which contains the sources"),
                "use a separate directory: `type=local,dest=out`",
            ));
        }
        let path = plain(path);
        self.build.exports.push(ExportNode { path, form });
        Ok(())
    }
}

fn archive(path: String, format: TarFormat) -> TarOutput {
    TarOutput {
        path: plain(path),
        format,
    }
}
