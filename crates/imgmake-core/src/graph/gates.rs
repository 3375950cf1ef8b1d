//! Whether the gates that a push needs judge everything that it publishes.

use super::edge::TargetId;
use crate::manifest::glob::clean;
use crate::manifest::*;

pub(super) struct Coverage<'m> {
    pub manifest: &'m Manifest,
    /// Per target: the builds that a scan or push names.
    pub images: &'m [Vec<TargetId>],
}

impl<'m> Coverage<'m> {
    /// Who needs a gate pushes nothing past it: one error per image that none of `gates` judges
    /// (`gates` with the place of the `needs` that names each), or one if there is no gate and the
    /// project demands one.
    pub(super) fn missing(
        &self,
        id: TargetId,
        target: &Target,
        push: &PushTarget,
        gates: &[(TargetId, Span)],
    ) -> Vec<Diagnostic> {
        let Some((_, first_need)) = gates.first().copied() else {
            if push.attest.documents.contains(&Attestation::Verdict) {
                return vec![without_verdict(target)];
            }
            let demand = self.manifest.settings.every_push_needs_gate;
            // A gate's verdict that was given before is one.
            let demand = demand.filter(|_| push.needs_attestations.is_empty());
            let missing = demand.map(|demand| without_gate(target, demand));
            return missing.into_iter().collect();
        };
        let names: Vec<&str> = gates.iter().map(|(gate, _)| self.name(*gate)).collect();
        let subjects = self.subjects(id, push).into_iter();
        subjects
            .filter(|subject| !gates.iter().any(|(gate, _)| self.covers(*gate, subject)))
            .map(|subject| ungated(target, &subject, &names, first_need))
            .collect()
    }

    fn name(&self, id: TargetId) -> &'m str {
        &self.manifest.targets[id.0].name.value
    }

    fn subjects(&self, id: TargetId, push: &PushTarget) -> Vec<Subject> {
        match &push.from {
            PushFrom::Images(patterns) => self.builds(id, patterns),
            PushFrom::Tar { path, pick } => vec![Subject {
                shown: match pick {
                    None => format!("the archive `{}`", path.value),
                    Some(ArchiveImage::Named(name)) => {
                        format!("`{name}` of the archive `{}`", path.value)
                    }
                    Some(ArchiveImage::Numbered(number)) => {
                        format!("image {number} of the archive `{}`", path.value)
                    }
                },
                what: SubjectKind::Tar(clean(&path.value), pick.clone()),
                span: path.span,
            }],
            PushFrom::Image(image) | PushFrom::Stored(image) => vec![Subject::image(image)],
            PushFrom::Index(index) => {
                let mut subjects = self.builds(id, &index.images);
                subjects.extend(index.from.iter().map(Subject::image));
                subjects
            }
        }
    }

    fn builds(&self, id: TargetId, patterns: &[Spanned<String>]) -> Vec<Subject> {
        let span = patterns
            .first()
            .map(|pattern| pattern.span)
            .unwrap_or_default();
        let images = self.images[id.0].iter();
        images
            .map(|image| {
                let name = self.name(*image);
                let own = patterns.iter().find(|pattern| pattern.value == name);
                Subject {
                    shown: format!("`{name}`"),
                    what: SubjectKind::Build(*image),
                    span: own.map_or(span, |own| own.span),
                }
            })
            .collect()
    }

    fn covers(&self, gate: TargetId, subject: &Subject) -> bool {
        let TargetKind::Scan(scan) = &self.manifest.targets[gate.0].kind else {
            return false;
        };
        match (&scan.from, &subject.what) {
            (ScanFrom::Images(_) | ScanFrom::Index(_), SubjectKind::Build(id)) => {
                self.images[gate.0].contains(id)
            }
            (ScanFrom::Tar { path, pick }, SubjectKind::Tar(pushed, of_it)) => {
                clean(&path.value) == *pushed && pick == of_it
            }
            (ScanFrom::Image(image), SubjectKind::Image(pushed)) => image.value == *pushed,
            (ScanFrom::Index(index), SubjectKind::Image(pushed)) => {
                index.from.iter().any(|image| image.value == *pushed)
            }
            _ => false,
        }
    }
}

/// What a push publishes and a gate may have judged.
struct Subject {
    shown: String,
    what: SubjectKind,
    span: Span,
}
enum SubjectKind {
    Build(TargetId),
    Tar(String, Option<ArchiveImage>),
    Image(String),
}

impl Subject {
    fn image(image: &Spanned<String>) -> Subject {
        Subject {
            shown: format!("the image `{}`", image.value),
            what: SubjectKind::Image(image.value.clone()),
            span: image.span,
        }
    }
}

/// By `every-push needs-gate` of the project.
fn without_gate(target: &Target, demand: Span) -> Diagnostic {
    let name = &target.name;
    let message = format!("target `{}` pushes without a gate", name.value);
    Diagnostic::at(name.span, message, "`needs` names no `scan` target")
        .with_related(demand, "every push needs a gate in this project")
        .with_help("write `needs GATE`, the name of a `scan` target for these images")
}

fn without_verdict(target: &Target) -> Diagnostic {
    let name = &target.name;
    let message = format!(
        "target `{}` attests a verdict, but no gate gives one",
        name.value
    );
    Diagnostic::at(name.span, message, "`needs` names no `scan` target")
        .with_help("write `needs GATE`, the name of a `scan` target for these images")
}

fn ungated(target: &Target, subject: &Subject, gates: &[&str], need: Span) -> Diagnostic {
    let message = format!(
        "target `{}`: {} is pushed, but no gate that it needs scans it",
        target.name.value, subject.shown
    );
    let names: Vec<String> = gates.iter().map(|gate| format!("`{gate}`")).collect();
    Diagnostic::at(subject.span, message, "not scanned")
        .with_related(need, "this push needs the gate")
        .with_help(format!(
            "add it to {}, or push it in a separate target",
            names.join(" or ")
        ))
}
