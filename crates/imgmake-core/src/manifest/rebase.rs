//! An included file's targets as the including one sees them: paths lead through the
//! file's directory, names carry it in front (`services/api:app`).

use std::collections::{BTreeMap, HashSet};

use super::glob::{Glob, clean, excluded, is_pattern};
use super::remote::remote_kind;
use super::tree::Node;
use super::types::*;

pub(super) struct Rebase<'r> {
    /// The included file's directory, relative to the main manifest's.
    pub directory: &'r str,
    /// Names that the file declares itself: those are meant first.
    pub own: &'r HashSet<String>,
}

/// `services/api` and `app` → `services/api:app`.
pub(super) fn qualified(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_string(),
        directory => format!("{directory}:{name}"),
    }
}

/// `services/api/imgmake.kdl` → `services/api`.
pub(super) fn directory_of(path: &str) -> String {
    let path = clean(path);
    match path.rsplit_once('/') {
        Some(("", _)) => "/".to_string(),
        Some((directory, _)) => directory.to_string(),
        None => String::new(),
    }
}

/// A path of the included file, seen from the main one.
pub(super) fn joined(directory: &str, path: &str) -> String {
    let elsewhere = directory.is_empty() || path.starts_with('/') || path.starts_with("~/");
    match elsewhere {
        true => path.to_string(),
        false => clean(&format!("{directory}/{path}")),
    }
}

impl Rebase<'_> {
    pub fn target(&self, target: &mut Target, node_span: Span) {
        target.name.value = qualified(self.directory, &target.name.value);
        target.needs.iter_mut().for_each(|name| self.name(name));
        match &mut target.kind {
            TargetKind::Build(build) => self.build(build, node_span),
            TargetKind::Run(run) => self.run(run, node_span),
            TargetKind::Scan(scan) => self.scan(scan),
            TargetKind::Push(push) => self.push(push),
        }
    }

    pub fn group(&self, group: &mut Group) {
        group.name.value = qualified(self.directory, &group.name.value);
        group.members.iter_mut().for_each(|name| self.name(name));
    }

    /// A name of the file itself, else one of the project's.
    fn name(&self, name: &mut Spanned<String>) {
        let own = match is_pattern(&name.value) {
            true => Glob::new(&name.value)
                .is_ok_and(|glob| self.own.iter().any(|own| glob.matches(own))),
            false => self.own.contains(&name.value),
        };
        if own {
            name.value = qualified(&escaped(self.directory, &name.value), &name.value);
        }
    }

    fn path(&self, path: &mut Spanned<String>) {
        path.value = joined(self.directory, &path.value);
    }

    fn paths<'p>(&self, paths: impl IntoIterator<Item = &'p mut Spanned<String>>) {
        paths.into_iter().for_each(|path| self.path(path));
    }

    fn pattern(&self, pattern: &mut Spanned<String>) {
        let directory = escaped(self.directory, "*");
        pattern.value = match excluded(&pattern.value) {
            Some(taken_out) => format!("!{}", joined(&directory, taken_out)),
            None => joined(&directory, &pattern.value),
        };
    }

    fn here(&self, span: Span) -> Option<Spanned<String>> {
        (!self.directory.is_empty()).then(|| Spanned {
            value: self.directory.to_string(),
            span,
        })
    }

    fn build(&self, build: &mut BuildTarget, span: Span) {
        match &mut build.context {
            // What is fetched is nowhere in the project.
            Some(context) if remote_kind(&context.value).is_some() => {}
            Some(context) => self.path(context),
            None => build.context = self.here(span),
        }
        match &mut build.recipe {
            RecipeNode::Dockerfile {
                path,
                place: DockerfilePlace::Project,
                ..
            } => self.path(path),
            RecipeNode::Dockerfile { .. } => {}
            RecipeNode::Steps { from, base, .. } if *base == BaseKind::Target => self.name(from),
            RecipeNode::Steps { .. } => {}
        }
        for (_, context) in &mut build.contexts {
            match context {
                ContextNode::Target(name) => self.name(name),
                ContextNode::Path(path) | ContextNode::Layout { path, .. } => self.path(path),
                ContextNode::Image(_) | ContextNode::Git(_) => {}
            }
        }
        for (_, socket) in &mut build.ssh {
            *socket = socket.take().map(|socket| joined(self.directory, &socket));
        }
        self.paths(build.tar.as_mut().map(|tar| &mut tar.path));
        self.paths(&mut build.layout);
        self.paths(build.exports.iter_mut().map(|export| &mut export.path));
        self.paths(&mut build.trust_ca);
    }

    fn run(&self, run: &mut RunTarget, span: Span) {
        match &mut run.dir {
            Some(dir) => self.path(dir),
            None => run.dir = self.here(span),
        }
        let env_files = run.env_files.iter_mut();
        env_files.for_each(|file| self.path(&mut file.path));
        run.inputs.iter_mut().for_each(|input| self.pattern(input));
        self.paths(&mut run.outputs);
    }

    fn scan(&self, scan: &mut ScanTarget) {
        match &mut scan.from {
            ScanFrom::Images(names) => names.iter_mut().for_each(|name| self.name(name)),
            ScanFrom::Tar { path, .. } => self.path(path),
            ScanFrom::Index(index) => index.images.iter_mut().for_each(|name| self.name(name)),
            ScanFrom::Image(_) => {}
        }
        self.paths(&mut scan.ignore_files);
        self.paths(&mut scan.vex_files);
        let lists = scan.epss.iter_mut().chain(&mut scan.kev);
        lists.for_each(|path| self.path(path));
        for advisories in &mut scan.advisories {
            if !advisories.value.contains("://") {
                self.path(advisories);
            }
        }
        self.paths(scan.reports.values_mut());
    }

    fn push(&self, push: &mut PushTarget) {
        match &mut push.from {
            PushFrom::Images(names) => names.iter_mut().for_each(|name| self.name(name)),
            PushFrom::Tar { path, .. } => self.path(path),
            PushFrom::Index(index) => index.images.iter_mut().for_each(|name| self.name(name)),
            PushFrom::Image(_) | PushFrom::Stored(_) => {}
        }
        self.paths(&mut push.write_digests);
        if let Some(SignNode {
            key: SignKey::File(path),
            ..
        }) = &mut push.sign
        {
            self.path(path);
        }
        for NeedsAttestation { gate, signer, .. } in &mut push.needs_attestations {
            self.name(gate);
            for file in signer.files_mut() {
                self.path(file);
            }
        }
    }

    pub fn secret(&self, secret: &mut SecretNode) {
        if let SecretFrom::File(path) = &mut secret.source {
            *path = joined(self.directory, path);
        }
    }

    pub fn registry(&self, registry: &mut RegistryNode) {
        registry.ca = registry.ca.take().map(|path| joined(self.directory, &path));
        let pair = registry.client_cert.take();
        registry.client_cert = pair.map(|(certificate, key)| {
            (
                joined(self.directory, &certificate),
                joined(self.directory, &key),
            )
        });
        if let AuthNode::AwsEcr(options) | AuthNode::Gcp(options) | AuthNode::Azure(options) =
            &mut registry.auth
        {
            self.files_of_clouds(options);
        }
    }

    /// Options that take a file or the document itself.
    fn files_of_clouds(&self, options: &mut BTreeMap<String, PasswordFrom>) {
        const FILES: [&str; 4] = [
            "key-file",
            "certificate",
            "lifecycle-policy",
            "repository-policy",
        ];
        let is_path = |text: &str| text.len() < 512 && !text.starts_with(['{', '-']);
        for (name, value) in options {
            if let PasswordFrom::Literal(text) = value
                && FILES.contains(&name.as_str())
                && is_path(text)
            {
                *text = joined(self.directory, text);
            }
        }
    }
}

/// A directory whose name has `*` or `[` in it, within a pattern.
fn escaped(directory: &str, beside: &str) -> String {
    if !is_pattern(beside) {
        return directory.to_string();
    }
    let mut escaped = String::new();
    for c in directory.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The span of a target's head, for what it gets without having written it.
pub(super) fn head(nodes: &[Node], target: &Target) -> Span {
    let found = nodes.iter().find(|node| {
        node.args
            .first()
            .is_some_and(|name| name.span == target.name.span)
    });
    found.map_or(target.name.span, |node| node.span)
}
