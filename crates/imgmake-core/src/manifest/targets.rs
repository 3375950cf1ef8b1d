//! `scan`, `push` and `run` targets.

use super::archive_image;
use super::check::{check_glob, check_label, check_path};
use super::context::DecodeContext;
use super::diagnostic::Diagnostic;
use super::fields::{Fields, pairs, twice};
use super::gate;
use super::glob::excluded;
use super::image_name::{check_image, check_repository, check_tag};
use super::index;
use super::signing;
use super::tree::Node;
use super::types::*;

/// Where a scan or push takes its images from: exactly one of the four.
enum From {
    Images(Vec<Spanned<String>>),
    Tar(Spanned<String>, Option<ArchiveImage>),
    Image(Spanned<String>),
    Index(IndexNode),
}

fn from(fields: &mut Fields) -> Option<From> {
    let cx = fields.cx;
    let nodes = [
        fields.child("images"),
        fields.child("from"),
        fields.child("index"),
    ];
    let mut written = nodes.iter().copied().flatten();
    if let (Some(first), Some(second)) = (written.next(), written.next()) {
        let (one, other) = (&first.name.value, &second.name.value);
        let message = format!("`{one}` and `{other}` exclude each other");
        let diagnostic = Diagnostic::at(second.span, message, "and here");
        cx.report(diagnostic.with_related(first.span, "images come from here"));
        return None;
    }
    match nodes {
        [Some(_), ..] => {
            let images = fields.texts("images");
            images.iter().for_each(|image| check_glob(image, cx));
            (!images.is_empty()).then_some(From::Images(images))
        }
        [_, Some(node), _] => archive_or_image(node, cx),
        [.., Some(node)] => index::index(node, cx).map(From::Index),
        [None, None, None] => {
            fields.missing("`images NAME…`, `from tar=\"…\"`, `from image=\"…\"` or `index { … }`");
            None
        }
    }
}

/// `from tar="x.tar"`, with `image=` or `index=` where it holds several; or `from image="…"`.
fn archive_or_image(node: &Node, cx: &DecodeContext) -> Option<From> {
    let mut fields = Fields::new(node, cx);
    let said = |name: &str| node.props.iter().any(|(key, _)| key.value == name);
    let tar = fields.prop_text("tar");
    let image = fields.prop_text("image");
    let index = archive_image::index(&mut fields);
    if !said("tar") && !said("image") {
        fields.missing("either `tar=\"path\"` or `image=\"name\"`");
    }
    fields.finish();
    let Some(tar) = tar else {
        if let (Some((span, _)), false) = (index, said("tar")) {
            cx.error(span, "`index=` chooses from a tar", "write `tar=` too");
        }
        let image = image.filter(|_| !said("tar"))?;
        check_image(&image, cx);
        return Some(From::Image(image));
    };
    check_path(&tar, cx);
    let pick = archive_image::pick(image, index, cx);
    Some(From::Tar(tar, pick))
}

pub(super) fn scan(fields: &mut Fields) -> Option<ScanTarget> {
    let cx = fields.cx;
    let from = from(fields).map(|from| match from {
        From::Images(images) => ScanFrom::Images(images),
        From::Tar(path, pick) => ScanFrom::Tar { path, pick },
        From::Image(image) => ScanFrom::Image(image),
        From::Index(index) => ScanFrom::Index(index),
    });
    let scanner = fields.child("scanner").and_then(|node| scanner(node, cx));
    let policy = gate::policy(fields);
    let reports = gate::reports(fields);
    Some(ScanTarget {
        scanner: scanner.unwrap_or_default(),
        fail_on: policy.fail_on,
        ignores: policy.ignores,
        only_new: policy.only_new,
        epss: policy.epss,
        kev: policy.kev,
        ignore_files: fields.all_texts("ignore-file"),
        vex_files: fields.all_texts("vex"),
        advisories: fields.all_texts("advisories"),
        db: gate::database(fields),
        max_db_age: fields.duration("max-db-age"),
        allow_unjudged: fields.flag("allow-unjudged").unwrap_or(false),
        reports,
        timeout: fields.duration("timeout"),
        from: from?,
    })
}

fn scanner(node: &Node, cx: &DecodeContext) -> Option<ScannerNode> {
    let mut fields = Fields::new(node, cx);
    let kind = fields
        .required("a scanner")
        .and_then(|value| cx.text(value));
    let kind = kind.and_then(|kind| cx.choice(&kind, &["builtin", "trivy", "grype", "command"]));
    let scanner = match kind {
        Some("builtin") => Some(ScannerNode::Builtin),
        Some("trivy") => Some(ScannerNode::Trivy),
        Some("grype") => Some(ScannerNode::Grype),
        Some(_) => fields
            .required("the command's text")
            .and_then(|value| cx.word(value, "the command"))
            .map(|text| ScannerNode::Command(text.value)),
        None => None,
    };
    fields.finish();
    scanner
}

pub(super) fn push(fields: &mut Fields) -> Option<PushTarget> {
    let cx = fields.cx;
    let from = from(fields).map(|from| match from {
        From::Images(images) => PushFrom::Images(images),
        From::Tar(path, pick) => PushFrom::Tar { path, pick },
        From::Image(image) => PushFrom::Image(image),
        From::Index(index) => PushFrom::Index(index),
    });
    // An image that a target makes is called as the target is.
    let named = !matches!(
        from,
        Some(PushFrom::Tar { .. } | PushFrom::Image(_) | PushFrom::Index(_))
    );
    let nodes: Vec<&Node> = fields.children("to").collect();
    if nodes.is_empty() {
        fields.missing("`to REGISTRY… { tags \"…\" }`");
    }
    let to: Vec<Destination> = nodes
        .iter()
        .filter_map(|node| destination(node, cx, named))
        .collect();
    let publish = fields.text("publish");
    let publish = publish.and_then(|text| cx.choice(&text, &["each", "together"]));
    let write_digests = fields.text("write-digests");
    if let Some(path) = &write_digests {
        check_path(path, cx);
    }
    let sign = signing::sign(fields);
    let attest = signing::attest(fields, from.as_ref(), sign.as_ref());
    let needs_attestations = signing::needs_attestations(fields);
    Some(PushTarget {
        from: from?,
        to,
        publish: match publish {
            Some("together") => Publish::Together,
            _ => Publish::Each,
        },
        write_digests,
        sign,
        attest,
        needs_attestations,
    })
}

/// `to hub gar { repository "app"; tags "1.0" latest }`
fn destination(node: &Node, cx: &DecodeContext, named: bool) -> Option<Destination> {
    let mut fields = Fields::new(node, cx);
    let registries = cx.list(fields.rest());
    if node.args.is_empty() {
        fields.missing("at least one registry");
    }
    for (at, name) in registries.iter().enumerate() {
        if let Some(first) = registries[..at].iter().find(|one| one.value == name.value) {
            twice(cx, first.span, name);
        }
    }
    let repository = fields.text("repository");
    let has_tags = fields.child("tags").is_some();
    let tags = fields.texts("tags");
    if !has_tags {
        fields.missing("`{ tags \"…\" }`");
    }
    if !named && repository.is_none() {
        cx.error_help(
            node.name.span,
            "no build target names this image, so the push needs a repository",
            "`repository` is missing",
            "write `to REGISTRY { repository \"app\"; tags \"1.0\" }`",
        );
    }
    fields.finish();
    tags.iter().for_each(|tag| check_tag(tag, cx));
    repository
        .iter()
        .for_each(|name| check_repository(name, cx));
    Some(Destination {
        registries,
        repository,
        tags,
    })
}

pub(super) fn run(fields: &mut Fields) -> Option<RunTarget> {
    let cx = fields.cx;
    let command = match fields.child("command") {
        Some(node) => super::steps::command(node, cx),
        None => {
            fields.missing("`command`");
            None
        }
    };
    let dir = fields.text("dir");
    let env = fields
        .child("env")
        .map(|node| pairs(node, cx))
        .unwrap_or_default();
    env.iter().for_each(|(key, _)| check_label(key, cx));
    let inputs = fields.all_texts("inputs");
    inputs.iter().for_each(|input| check_glob(input, cx));
    if let Some(first) = inputs.first()
        && inputs.iter().all(|input| excluded(&input.value).is_some())
    {
        let message = "`inputs` has only exclusions".to_string();
        let help = "name the files to read first: inputs \"src/**\" \"!src/generated/**\"";
        cx.error_help(
            first.span,
            message,
            "a file or a pattern is expected here",
            help,
        );
    }
    let outputs = fields.all_texts("outputs");
    outputs.iter().for_each(|output| check_output(output, cx));
    let timeout = fields.duration("timeout");
    let env_files = super::env_file::declared(fields);
    env_files.iter().for_each(|file| check_path(&file.path, cx));
    let interactive = fields.flag("interactive").unwrap_or(false);
    let git_ignore = fields.flag("gitignore").unwrap_or(false);
    Some(RunTarget {
        command: command?,
        dir,
        env: env
            .into_iter()
            .map(|(key, value)| (key.value, value.value))
            .collect(),
        env_files,
        inputs,
        git_ignore,
        outputs,
        timeout,
        interactive,
    })
}

/// An output is one file or directory: what a pattern would match is not known before it is made.
fn check_output(output: &Spanned<String>, cx: &DecodeContext) {
    check_path(output, cx);
    if super::glob::is_pattern(&output.value) {
        cx.error_help(
            output.span,
            format!("the output `{}` is a pattern", output.value),
            "a file or directory is expected here",
            "name the directory that contains the outputs",
        );
    } else if matches!(super::glob::clean(&output.value).as_str(), "" | "/") {
        let message = "the whole directory of the manifest cannot be an output";
        cx.error(output.span, message, "name a file or directory in it");
    }
}
