//! kaniko builds every stage before the target's by default, and some pipelines run their tests in one.
//! Here nothing is built that nothing needs: a note names such stages where the step does not choose.

use std::collections::BTreeMap;
use std::path::Path;

use imgmake_core::manifest::{BuildTarget, RecipeNode};
use imgmake_dockerfile::{Dockerfile, Stage};
use imgmake_guard::checkout::Checkout;

/// A line about stages that run something and are left out; mistakes in the Dockerfile are the build's to report.
pub fn note(build: &BuildTarget, workspace: &Path) -> Option<String> {
    let RecipeNode::Dockerfile { stage, .. } = &build.recipe else {
        return None;
    };
    let path = build.dockerfile()?;
    let context = build.context.as_ref().map_or("", |path| &path.value);
    let checkout = Checkout::new([workspace.join(context).as_path(), workspace]);
    let text = checkout.read(&workspace.join(&path.value)).ok()?;
    let stage = stage.as_ref().map(|stage| stage.value.as_str());
    let also: Vec<&str> = build.also_stages.iter().map(|s| s.value.as_str()).collect();
    let args = build.args.iter();
    let args = args.map(|(name, arg)| (name.clone(), arg.value.clone()));
    let names = left_out(&text, stage, &also, &args.collect())?;
    let (stages, are) = match names.as_slice() {
        [] => return None,
        [_] => ("the stage", "is"),
        _ => ("the stages", "are"),
    };
    Some(format!(
        "{stages} {} {are} not built, since the image does not need it; skip-unused-stages=false builds every stage",
        imgmake_guard::printable::list(&names)
    ))
}

fn left_out(
    text: &[u8],
    stage: Option<&str>,
    also: &[&str],
    args: &BTreeMap<String, String>,
) -> Option<Vec<String>> {
    let file = Dockerfile::parse(text).ok()?;
    let target = file.target(stage).ok()?;
    let mut needed = file.needed_by(target, &file.global_values(args));
    for stage in also {
        needed.extend(file.target(Some(stage)).ok());
    }
    let earlier = file.stages.iter().enumerate().take(target);
    let idle = earlier.filter(|(number, stage)| !needed.contains(number) && stage.runs());
    let name = |(number, stage): (usize, &Stage)| match stage.name() {
        Some(name) => format!("`{name}`"),
        None => format!("{number}"),
    };
    Some(idle.map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_run_something_for_nobody_are_named() {
        let text = b"FROM a AS base\nFROM base AS test\nRUN t\nFROM base\nRUN u\nFROM b AS idle\nFROM base AS app\nFROM app AS later\nRUN v\n";
        let args = BTreeMap::new();
        let names = |stage, also: &[&str]| left_out(text, stage, also, &args).unwrap();
        assert_eq!(names(None, &[]), ["`test`", "2"]);
        assert_eq!(names(Some("app"), &["test"]), ["2"]);
        assert_eq!(names(Some("test"), &[]), Vec::<String>::new());
        assert_eq!(left_out(b"FORM x", None, &[], &args), None);
    }
}
