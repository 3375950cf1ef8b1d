//! Every reference in the manifest, as edges between targets; names that are unknown.

use std::collections::{BTreeSet, HashMap};

use super::edge::{Edge, EdgeKind, Strength, TargetId};
use super::gates::Coverage;
use super::paths::{Producers, matching};
use super::reading::{Reading, Reads};
use crate::manifest::glob::{clean, deeper, excluded, is_pattern};
use crate::manifest::*;
use imgmake_oci::image::Reference;

#[derive(Default)]
pub(super) struct Found {
    pub edges: Vec<Edge>,
    /// Per target: the builds that a scan or push names.
    pub images: Vec<Vec<TargetId>>,
}

struct Finder<'m> {
    manifest: &'m Manifest,
    by_name: &'m HashMap<String, TargetId>,
    producers: &'m Producers,
    reads: &'m dyn Reads,
    diagnostics: &'m mut Vec<Diagnostic>,
    found: Found,
}

pub(super) fn find(
    manifest: &Manifest,
    by_name: &HashMap<String, TargetId>,
    producers: &Producers,
    reads: &dyn Reads,
    diagnostics: &mut Vec<Diagnostic>,
) -> Found {
    let mut finder = Finder {
        manifest,
        by_name,
        producers,
        reads,
        diagnostics,
        found: Found {
            edges: Vec::new(),
            images: vec![Vec::new(); manifest.targets.len()],
        },
    };
    finder.registries();
    for at in 0..manifest.targets.len() {
        finder.target(TargetId(at), &manifest.targets[at]);
    }
    // Gates are judged when all images are known: a push may stand before its scan.
    for at in 0..manifest.targets.len() {
        finder.gates(TargetId(at), &manifest.targets[at]);
    }
    finder.found
}

impl<'m> Finder<'m> {
    fn edge(&mut self, from: TargetId, to: TargetId, kind: EdgeKind, span: Span) {
        self.found.edges.push(Edge {
            from,
            to,
            kind,
            span,
            strength: Strength::Written,
        });
    }

    fn output_edge(&mut self, from: TargetId, to: TargetId, span: Span, strength: Strength) {
        self.found.edges.push(Edge {
            from,
            to,
            kind: EdgeKind::Output,
            span,
            strength,
        });
    }

    fn unknown<'n>(
        &mut self,
        about: &str,
        what: &str,
        name: &Spanned<String>,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        let message = format!("{about}{what} `{}` not found", name.value);
        let mut diagnostic = Diagnostic::at(name.span, message, "not declared");
        let known: Vec<&str> = known.into_iter().collect();
        diagnostic.help = suggest::help(&name.value, known.iter().copied())
            .filter(|_| !known.is_empty())
            .or_else(|| Some(format!("the manifest declares no {what} of a similar name")));
        self.diagnostics.push(diagnostic);
    }

    fn registries(&mut self) {
        for registry in &self.manifest.registries {
            let about = format!("registry `{}`: ", registry.name.value);
            let credentials: Vec<&PasswordFrom> = match &registry.auth {
                AuthNode::DockerConfig | AuthNode::Anonymous => Vec::new(),
                AuthNode::Basic { password, .. } => vec![password],
                AuthNode::Bearer { token } => vec![token],
                AuthNode::AwsEcr(options) | AuthNode::Gcp(options) | AuthNode::Azure(options) => {
                    options.values().collect()
                }
            };
            for credential in credentials {
                if let PasswordFrom::Secret(name) = credential {
                    self.secret(&about, name);
                }
            }
        }
    }

    /// The secrets of a push's signatures.
    fn signer(&mut self, target: &Target, sign: &SignNode) {
        let about = format!("target `{}`: ", target.name.value);
        let SignNode { key, password } = sign;
        if let SignKey::Secret(name) = key {
            self.secret(&about, name);
        }
        if let Some(name) = password {
            self.secret(&about, name);
        }
    }

    /// The gate whose verdict a push demands: it is not run, so there is no edge.
    fn attesting_gate(&mut self, target: &Target, needed: &NeedsAttestation) {
        let gate = &needed.gate;
        let Some(at) = self
            .manifest
            .targets
            .iter()
            .position(|t| t.name.value == gate.value)
        else {
            self.no_target(target, gate);
            return;
        };
        let TargetKind::Scan(scan) = &self.manifest.targets[at].kind else {
            let message = format!(
                "target `{}`: `{}` is not a gate",
                target.name.value, gate.value
            );
            let diagnostic = Diagnostic::at(gate.span, message, "a `scan` target is expected here");
            self.diagnostics.push(diagnostic);
            return;
        };
        // What a tag meant when the gate judged, nobody knows later.
        let is_pinned = |base: &str| base.parse::<Reference>().is_ok_and(|r| r.digest.is_some());
        if let Some(base) = scan
            .only_new
            .as_ref()
            .filter(|base| !is_pinned(&base.value))
        {
            let message = format!(
                "target `{}`: the gate `{}` compares with `{}`, which has no digest",
                target.name.value, gate.value, base.value
            );
            let label = "`NAME@sha256:…` is expected here, for `needs-attestation` names this gate";
            self.diagnostics
                .push(Diagnostic::at(base.span, message, label));
        }
    }

    fn secret(&mut self, about: &str, name: &Spanned<String>) {
        let manifest = self.manifest;
        let known = manifest
            .secrets
            .iter()
            .map(|secret| secret.name.value.as_str());
        if !known.clone().any(|secret| secret == name.value) {
            self.unknown(about, "secret", name, known);
        }
    }

    fn target(&mut self, id: TargetId, target: &'m Target) {
        for need in &target.needs {
            self.need(id, target, need);
        }
        self.pool(target);
        match &target.kind {
            TargetKind::Build(build) => self.build(id, target, build),
            TargetKind::Run(run) => self.run(id, run),
            TargetKind::Scan(scan) => self.scan(id, target, scan),
            TargetKind::Push(push) => {
                self.push(id, target, push);
                push.sign.iter().for_each(|sign| self.signer(target, sign));
                for needed in &push.needs_attestations {
                    self.attesting_gate(target, needed);
                }
            }
        }
    }

    fn pool(&mut self, target: &Target) {
        let manifest = self.manifest;
        let known = manifest.settings.pools.keys().map(String::as_str);
        if let Some(pool) = &target.pool
            && !manifest.settings.pools.contains_key(&pool.value)
        {
            let about = format!("target `{}`: ", target.name.value);
            self.unknown(&about, "pool", pool, known);
        }
    }

    /// A target, a group (all its members) or a glob.
    fn need(&mut self, id: TargetId, target: &Target, need: &Spanned<String>) {
        let members = self.named(&need.value);
        if members.is_empty() {
            self.no_target(target, need);
        }
        for member in members {
            // A glob may well match the target itself.
            if member != id || !is_pattern(&need.value) {
                self.edge(id, member, EdgeKind::Needs, need.span);
            }
        }
    }

    /// What a name stands for: a target, the members of a group at any depth, what a glob matches.
    fn named(&self, name: &str) -> Vec<TargetId> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![name];
        while let Some(name) = todo.pop() {
            found.extend(matching(self.manifest, self.by_name, name));
            let mut groups = self.manifest.groups.iter();
            if let Some(group) = groups.find(|group| group.name.value == name)
                && seen.insert(name)
            {
                todo.extend(group.members.iter().map(|member| member.value.as_str()));
            }
        }
        found.into_iter().collect()
    }

    fn no_target(&mut self, target: &Target, name: &Spanned<String>) {
        let about = format!("target `{}`: ", target.name.value);
        let mut disabled = self.manifest.disabled.iter();
        if let Some(off) = disabled.find(|off| off.value == name.value) {
            let message = format!("{about}`{}` is disabled by its `if`", name.value);
            self.diagnostics.push(
                Diagnostic::at(name.span, message, "used here")
                    .with_related(off.span, "disabled here")
                    .with_help(
                        "give this target the same `if`, or name them in a group, which skips disabled targets",
                    ),
            );
            return;
        }
        if is_pattern(&name.value) {
            let message = format!("{about}no target matches `{}`", name.value);
            let mut diagnostic = Diagnostic::at(name.span, message, "matches nothing");
            let targets = self.manifest.targets.iter();
            let names = targets.map(|target| target.name.value.as_str());
            diagnostic.help = deeper(&name.value, names);
            self.diagnostics.push(diagnostic);
            return;
        }
        let manifest = self.manifest;
        let targets = manifest
            .targets
            .iter()
            .map(|target| target.name.value.as_str());
        self.unknown(&about, "target", name, targets);
    }

    fn build(&mut self, id: TargetId, target: &'m Target, build: &'m BuildTarget) {
        let about = format!("target `{}`: ", target.name.value);
        for name in &build.secrets {
            self.secret(&about, name);
            self.secret_file(id, name);
        }
        for (name, context) in &build.contexts {
            match context {
                ContextNode::Target(name) => self.base(id, target, name),
                ContextNode::Path(path) => self.context(id, build, Some(&name.value), path),
                ContextNode::Layout { path, .. } => self.archive(id, path),
                ContextNode::Image(_) | ContextNode::Git(_) => {}
            }
        }
        for file in &build.trust_ca {
            self.output(id, file);
        }
        match &build.recipe {
            RecipeNode::Dockerfile { path, .. } => {
                if let Some(path) = build.dockerfile() {
                    self.output(id, path);
                }
                match &build.context {
                    // No target makes what is fetched.
                    Some(_) if build.directory().is_none() => {}
                    Some(context) => self.context(id, build, None, context),
                    None => self.whole_directory(id, build, path.span),
                }
            }
            RecipeNode::Steps { from, base, steps } => {
                if *base == BaseKind::Target {
                    self.base(id, target, from);
                }
                if build.directory().is_some() {
                    self.steps(id, steps, build.context.as_ref());
                }
            }
        }
    }

    /// Another build whose image this one begins with or copies from.
    fn base(&mut self, id: TargetId, target: &Target, name: &Spanned<String>) {
        match self.by_name.get(&name.value) {
            Some(base) if is_build(&self.manifest.targets[base.0]) => {
                self.edge(id, *base, EdgeKind::Context, name.span)
            }
            Some(_) => self.not_a_build(target, name),
            None => self.no_target(target, name),
        }
    }

    fn not_a_build(&mut self, target: &Target, name: &Spanned<String>) {
        let message = format!(
            "target `{}`: `{}` is not an image",
            target.name.value, name.value
        );
        self.diagnostics.push(
            Diagnostic::at(name.span, message, "not a `build` target")
                .with_help("name a `build`; `needs` takes targets of every kind"),
        );
    }

    /// A directory that a build reads from: what makes it, and what makes something in it.
    fn context(
        &mut self,
        id: TargetId,
        build: &BuildTarget,
        name: Option<&str>,
        context: &Spanned<String>,
    ) {
        self.output(id, context);
        self.held(id, build, name, &context.value, context.span);
    }

    fn whole_directory(&mut self, id: TargetId, build: &BuildTarget, span: Span) {
        self.held(id, build, None, "", span);
    }

    /// Outputs in a context, by how its Dockerfile reads them.
    fn held(
        &mut self,
        id: TargetId,
        build: &BuildTarget,
        name: Option<&str>,
        context: &str,
        span: Span,
    ) {
        let producers = self.producers;
        let directory = clean(context);
        let is_made = match &build.recipe {
            RecipeNode::Dockerfile { .. } => build
                .dockerfile()
                .is_some_and(|path| !producers.of_path(&path.value).is_empty()),
            RecipeNode::Steps { .. } => false,
        };
        let (reads, mut judge) = (self.reads, None);
        for (path, producer) in producers.beneath(context) {
            let inside = path
                .strip_prefix(directory.as_str())
                .map_or(path, |rest| rest.trim_start_matches('/'));
            let reading = match inside.is_empty() {
                // The context itself, which is linked already.
                true => continue,
                // What the Dockerfile will say is not known yet.
                false if is_made => Reading::Unknown,
                false => judge.get_or_insert_with(|| reads.of(build, name))(inside),
            };
            let strength = match (reading, self.is_run(producer)) {
                (Reading::ByName, _) => Strength::Written,
                // What builds, scans and pushes write is in no context unless it is named.
                (_, false) => continue,
                (Reading::No, true) => Strength::Held,
                (Reading::Unknown | Reading::Along, true) => Strength::Guessed,
            };
            if producer != id {
                self.output_edge(id, producer, span, strength);
            }
        }
    }

    fn is_run(&self, id: TargetId) -> bool {
        matches!(self.manifest.targets[id.0].kind, TargetKind::Run(_))
    }

    /// A secret that a command writes before a build takes it.
    fn secret_file(&mut self, id: TargetId, name: &Spanned<String>) {
        let mut secrets = self.manifest.secrets.iter();
        let secret = secrets.find(|secret| secret.name.value == name.value);
        if let Some(SecretFrom::File(path)) = secret.map(|secret| &secret.source) {
            let path = Spanned {
                value: path.clone(),
                span: name.span,
            };
            self.output(id, &path);
        }
    }

    fn scan(&mut self, id: TargetId, target: &Target, scan: &ScanTarget) {
        match &scan.from {
            ScanFrom::Images(patterns) => self.images(id, target, patterns),
            ScanFrom::Tar { path, .. } => self.archive(id, path),
            ScanFrom::Index(index) => self.images(id, target, &index.images),
            ScanFrom::Image(_) => {}
        }
        for file in scan.files() {
            self.output(id, file);
        }
        for directory in &scan.advisories {
            self.output(id, directory);
            let producers = self.producers;
            for (_, producer) in producers.beneath(&directory.value) {
                if producer != id {
                    self.edge(id, producer, EdgeKind::Output, directory.span);
                }
            }
        }
    }

    /// A path that may be an output or lie in one.
    fn output(&mut self, id: TargetId, path: &Spanned<String>) {
        for run in self.producers.of_path(&path.value) {
            if run != id {
                self.edge(id, run, EdgeKind::Output, path.span);
            }
        }
    }

    fn steps(
        &mut self,
        id: TargetId,
        steps: &[Spanned<StepNode>],
        context: Option<&Spanned<String>>,
    ) {
        for step in steps {
            match &step.value {
                StepNode::Layer(steps) => self.steps(id, steps, context),
                StepNode::Copy { sources, .. } => {
                    for source in sources {
                        self.copied(id, source, context);
                    }
                }
                _ => {}
            }
        }
    }

    /// Sources are relative to the context.
    fn copied(
        &mut self,
        id: TargetId,
        source: &Spanned<String>,
        context: Option<&Spanned<String>>,
    ) {
        let directory = context.map_or(".", |context| context.value.as_str());
        let path = format!("{directory}/{}", source.value);
        for (producer, strength) in self.producers.of_pattern(&path, &[]) {
            let is_named = strength == Strength::Written;
            // What builds, scans and pushes write is in no context unless it is named.
            if is_named || (producer != id && self.is_run(producer)) {
                self.output_edge(id, producer, source.span, strength);
            }
        }
    }

    fn run(&mut self, id: TargetId, run: &RunTarget) {
        let taken_out = run.inputs.iter().filter_map(|input| excluded(&input.value));
        let taken_out: Vec<Glob> = taken_out.filter_map(|text| Glob::new(text).ok()).collect();
        let inputs = run
            .inputs
            .iter()
            .filter(|input| excluded(&input.value).is_none());
        for input in inputs {
            let found = self.producers.of_pattern(&input.value, &taken_out);
            for (producer, strength) in found {
                // Its own outputs among its inputs make no circle: they are left out of the inputs.
                if producer != id {
                    self.output_edge(id, producer, input.span, strength);
                }
            }
        }
    }

    /// Only builds have images: a glob passes the others by, a name must be one.
    fn images(&mut self, id: TargetId, target: &Target, patterns: &[Spanned<String>]) {
        let mut images = BTreeSet::new();
        for pattern in patterns {
            let all = self.named(&pattern.value);
            let builds: Vec<TargetId> = all
                .iter()
                .copied()
                .filter(|id| is_build(&self.manifest.targets[id.0]))
                .collect();
            match (all.is_empty(), builds.is_empty()) {
                (true, _) => self.no_target(target, pattern),
                (_, true) => self.not_a_build(target, pattern),
                _ => {}
            }
            for build in &builds {
                self.edge(id, *build, EdgeKind::Image, pattern.span);
            }
            images.extend(builds);
        }
        self.found.images[id.0] = images.into_iter().collect();
    }

    fn push(&mut self, id: TargetId, target: &Target, push: &PushTarget) {
        match &push.from {
            PushFrom::Images(patterns) => self.images(id, target, patterns),
            PushFrom::Tar { path, .. } => self.archive(id, path),
            PushFrom::Index(index) => self.images(id, target, &index.images),
            PushFrom::Image(_) | PushFrom::Stored(_) => {}
        }
        let manifest = self.manifest;
        let known = manifest
            .registries
            .iter()
            .map(|registry| registry.name.value.as_str());
        let about = format!("target `{}`: ", target.name.value);
        for destination in &push.to {
            for name in &destination.registries {
                if !known.clone().any(|registry| registry == name.value) {
                    self.unknown(&about, "registry", name, known.clone());
                }
            }
            if matches!(push.from, PushFrom::Images(_)) {
                self.one_repository(id, &about, destination);
            }
        }
    }

    /// An archive that is made here, by a `run` or by a build's `tar`.
    fn archive(&mut self, id: TargetId, path: &Spanned<String>) {
        for producer in self.producers.of_path(&path.value) {
            let kind = match is_build(&self.manifest.targets[producer.0]) {
                true => EdgeKind::Image,
                false => EdgeKind::Output,
            };
            if producer != id {
                self.edge(id, producer, kind, path.span);
            }
        }
        // A layout whose files are outputs each.
        let producers = self.producers;
        for (_, producer) in producers.beneath(&path.value) {
            if producer != id && !producers.of_path(&path.value).contains(&producer) {
                self.edge(id, producer, EdgeKind::Output, path.span);
            }
        }
    }

    /// Several images under one name and tag: only the last would remain.
    fn one_repository(&mut self, id: TargetId, about: &str, destination: &Destination) {
        let count = self.found.images[id.0].len();
        if let (Some(repository), 2..) = (&destination.repository, count) {
            let message = format!("{about}{count} images would be pushed to one repository");
            self.diagnostics.push(
                Diagnostic::at(repository.span, message, "the same name and tags for all of them")
                    .with_help("remove `repository` (each image then has the name of its target), or use a `push` target for each image"),
            );
        }
    }

    /// A push waits for each gate that it needs, and publishes only what they judge.
    fn gates(&mut self, id: TargetId, target: &Target) {
        let TargetKind::Push(push) = &target.kind else {
            return;
        };
        let is_gate =
            |gate: &TargetId| matches!(self.manifest.targets[gate.0].kind, TargetKind::Scan(_));
        let gates: Vec<(TargetId, Span)> = target
            .needs
            .iter()
            .flat_map(|need| {
                let gates = self.named(&need.value).into_iter().filter(is_gate);
                gates.map(|gate| (gate, need.span))
            })
            .collect();
        for (gate, span) in &gates {
            self.edge(id, *gate, EdgeKind::Gate, *span);
        }
        let coverage = Coverage {
            manifest: self.manifest,
            images: &self.found.images,
        };
        let missing = coverage.missing(id, target, push, &gates);
        self.diagnostics.extend(missing);
    }
}

fn is_build(target: &Target) -> bool {
    matches!(target.kind, TargetKind::Build(_))
}
